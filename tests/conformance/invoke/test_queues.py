"""Event source mappings on queues: CRUD, batches, partial failures, filters, concurrency."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.conformance.invoke.box import Box, teller, until

WORKS = "def handler(event, context): pass"


def refused(call: Callable[[], Any]) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call()
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def told(box: Box, body: str, **options: Any) -> tuple[str, str]:
    """Return a function that does something with a batch, and the queue that it tells."""
    url, _ = box.queue()
    return box.function(teller(body), Environment={"Variables": {"QUEUE": url}}, **options), url


def send(box: Box, url: str, *bodies: str) -> None:
    for number in range(0, len(bodies), 10):
        entries = [{"Id": str(at), "MessageBody": body} for at, body in enumerate(bodies[number : number + 10])]
        box.sqs.send_message_batch(QueueUrl=url, Entries=entries)


def test_a_mapping_is_made_enabled_changed_and_deleted_as_on_aws(box: Box) -> None:
    name, (_, arn) = box.function(WORKS), box.queue()
    made = box.lambda_.create_event_source_mapping(FunctionName=name, EventSourceArn=arn)
    uuid, function = made["UUID"], f"arn:aws:lambda:{box.aws.region}:{box.aws.account_id}:function:{name}"
    del made["ResponseMetadata"], made["LastModified"]
    assert made == {
        "UUID": uuid,
        "BatchSize": 10,
        "EventSourceArn": arn,
        "EventSourceMappingArn": f"arn:aws:lambda:{box.aws.region}:{box.aws.account_id}:event-source-mapping:{uuid}",
        "FunctionArn": function,
        "FunctionResponseTypes": [],
        "MaximumBatchingWindowInSeconds": 0,
        "State": "Creating",
        "StateTransitionReason": "USER_INITIATED",
    }
    until(lambda: box.lambda_.get_event_source_mapping(UUID=uuid)["State"] == "Enabled")
    found = box.lambda_.list_event_source_mappings(FunctionName=name, EventSourceArn=arn)["EventSourceMappings"]
    assert [each["UUID"] for each in found] == [uuid]
    assert box.lambda_.update_event_source_mapping(UUID=uuid, BatchSize=5)["State"] == "Updating"
    assert box.lambda_.update_event_source_mapping(UUID=uuid, Enabled=False)["State"] == "Disabling"
    until(lambda: box.lambda_.get_event_source_mapping(UUID=uuid)["State"] == "Disabled")
    assert box.lambda_.update_event_source_mapping(UUID=uuid, Enabled=True)["State"] == "Enabling"
    assert box.lambda_.delete_event_source_mapping(UUID=uuid)["State"] == "Deleting"
    for gone in (box.lambda_.get_event_source_mapping, box.lambda_.delete_event_source_mapping):
        assert refused(lambda gone=gone: gone(UUID=uuid)) == (  # type: ignore[misc]
            "ResourceNotFoundException",
            "The resource you requested does not exist.",
        )


def test_what_aws_refuses_of_a_mapping_is_refused_in_its_words(box: Box) -> None:
    name, (_, arn) = box.function(WORKS), box.queue()
    make = box.lambda_.create_event_source_mapping
    invalid = "InvalidParameterValueException"
    assert refused(lambda: make(FunctionName="doesnotexist", EventSourceArn=arn)) == (
        invalid,
        "Function does not exist",
    )
    assert refused(lambda: make(FunctionName=name)) == (invalid, "Unrecognized event source.")
    assert refused(lambda: make(FunctionName=name, EventSourceArn=f"{arn}-no")) == (
        invalid,
        "Error occurred while ReceiveMessage. SQS Error Code: AWS.SimpleQueueService.NonExistentQueue. "
        "SQS Error Message: The specified queue does not exist.",
    )
    assert refused(lambda: make(FunctionName=name, EventSourceArn=arn, BatchSize=11)) == (
        invalid,
        "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10",
    )
    for pattern in ("simple string", '{"a": "b"}'):
        filters = {"Filters": [{"Pattern": pattern}]}
        assert refused(lambda f=filters: make(FunctionName=name, EventSourceArn=arn, FilterCriteria=f)) == (  # type: ignore[misc]
            invalid,
            "Invalid filter pattern definition.",
        )
    for kind in ("OnFailure", "OnSuccess"):
        config = {kind: {"Destination": arn}}
        assert refused(lambda c=config: make(FunctionName=name, EventSourceArn=arn, DestinationConfig=c)) == (  # type: ignore[misc]
            invalid,
            "Unsupported DestinationConfig parameter for given event source mapping type.",
        )
    uuid = make(FunctionName=name, EventSourceArn=arn)["UUID"]
    assert refused(lambda: make(FunctionName=name, EventSourceArn=arn)) == (
        "ResourceConflictException",
        f'An event source mapping with SQS arn (" {arn} ") and function (" {name} ") already exists. '
        f"Please update or delete the existing mapping with UUID {uuid}",
    )
    powerless = box.function(WORKS, Role=box.role({"Effect": "Allow", "Action": "sqs:ReceiveMessage", "Resource": "*"}))
    assert refused(lambda: make(FunctionName=powerless, EventSourceArn=arn)) == (
        invalid,
        "The function execution role does not have permissions to call DeleteMessage on SQS",
    )


def test_messages_reach_the_function_and_leave_the_queue(box: Box) -> None:
    name, answers = told(box, "tell([record['body'] for record in event['Records']])")
    url, arn = box.queue()
    box.mapping(name, arn)
    send(box, url, *map(str, range(25)))
    assert sorted(box.items(answers, 25), key=int) == list(map(str, range(25)))
    until(lambda: box.left(url) == 0)


def test_a_batch_waits_for_its_window(box: Box) -> None:
    name, answers = told(box, "tell(len(event['Records']))")
    url, arn = box.queue()
    box.mapping(name, arn, BatchSize=100, MaximumBatchingWindowInSeconds=2)
    for number in range(15):
        send(box, url, str(number))
    assert box.bodies(answers, 1) == [15]


def test_a_failed_batch_comes_again_after_the_visibility_timeout_and_then_goes_to_the_dead_letters(box: Box) -> None:
    name, answers = told(
        box, "tell(event['Records'][0]['attributes']['ApproximateReceiveCount'])\nraise ValueError", Timeout=2
    )
    letters, letters_arn = box.queue()
    policy = json.dumps({"deadLetterTargetArn": letters_arn, "maxReceiveCount": 2})
    url, arn = box.queue(VisibilityTimeout="2", RedrivePolicy=policy)
    box.mapping(name, arn)
    send(box, url, "poison")
    assert box.bodies(answers, 2) == ["1", "2"]
    assert [letter["Body"] for letter in box.messages(letters, 1)] == ["poison"]


@pytest.mark.parametrize(
    ("answer", "left"),
    [
        ("{'batchItemFailures': [{'itemIdentifier': event['Records'][1]['messageId']}]}", 1),
        ("{'batchItemFailures': [{'itemIdentifier': ''}]}", 3),
        ("{'batchItemFailures': [{'itemIdentifier': None}]}", 3),
        ("{'batchItemFailures': [{'foo': 'notvalid'}]}", 3),
        ("{'batchItemFailures': [{'itemIdentifier': 'unknown'}]}", 3),
        ("{}", 0),
        ("None", 0),
    ],
)
def test_what_a_function_reports_decides_which_messages_are_deleted(box: Box, answer: str, left: int) -> None:
    name, answers = told(box, f"answer = {answer}\ntell(len(event['Records']))\nreturn answer")
    url, arn = box.queue()
    uuid = box.mapping(
        name, arn, Enabled=False, FunctionResponseTypes=["ReportBatchItemFailures"], MaximumBatchingWindowInSeconds=0
    )
    send(box, url, "a", "b", "c")
    box.lambda_.update_event_source_mapping(UUID=uuid, Enabled=True)
    assert box.bodies(answers, 1) == [3]
    time.sleep(0.5)
    until(lambda: box.left(url) == left, 5)


def test_a_filter_drops_what_it_does_not_let_through(box: Box) -> None:
    name, answers = told(box, "tell([json.loads(record['body']) for record in event['Records']])")
    url, arn = box.queue()
    box.mapping(name, arn, FilterCriteria={"Filters": [{"Pattern": '{"body": {"n": [{"numeric": [">", 100]}]}}'}]})
    send(box, url, '{"n": 99}', "text", '{"n": 101}')
    assert box.bodies(answers, 1) == [[{"n": 101}]]
    until(lambda: box.left(url) == 0)


def test_an_aliases_weights_share_a_queues_messages(box: Box) -> None:
    url, _ = box.queue()
    variables = {"Environment": {"Variables": {"QUEUE": url}}}
    source = teller("tell(context.function_version)")
    name = box.function(source, **variables)
    old, new = box.version(name), box.version(name, source + "\n#")
    box.lambda_.create_alias(
        FunctionName=name, Name="live", FunctionVersion=old, RoutingConfig={"AdditionalVersionWeights": {new: 0.5}}
    )
    source_url, arn = box.queue()
    box.mapping(f"{name}:live", arn, BatchSize=1)
    send(box, source_url, *map(str, range(60)))
    counted = Counter(box.bodies(url, 60))
    assert set(counted) == {old, new}


def test_a_mapping_runs_as_many_batches_at_once_as_it_may(box: Box) -> None:
    source = """
import time
def handler(event, context):
    begin = time.time()
    time.sleep(1)
    return None
"""
    name = box.function(source)
    url, arn = box.queue()
    box.mapping(name, arn, BatchSize=1, ScalingConfig={"MaximumConcurrency": 2})
    send(box, url, *map(str, range(6)))
    begin = time.monotonic()
    until(lambda: box.left(url) == 0)
    assert time.monotonic() - begin > 2.5


def test_messages_of_a_group_stay_in_order(box: Box) -> None:
    name, answers = told(box, "for record in event['Records']: tell(record['body'])")
    url, arn = box.queue(FifoQueue="true", ContentBasedDeduplication="true")
    box.mapping(name, arn, BatchSize=2)
    for number in range(12):
        box.sqs.send_message(QueueUrl=url, MessageBody=f"{number % 2}-{number // 2}", MessageGroupId=str(number % 2))
    seen = box.bodies(answers, 12)
    for group in "01":
        assert [body for body in seen if body[0] == group] == [f"{group}-{number}" for number in range(6)]


def test_a_queue_of_a_function_without_concurrency_keeps_its_messages(box: Box) -> None:
    name, (url, arn) = box.function(WORKS), box.queue()
    box.lambda_.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    box.mapping(name, arn)
    send(box, url, "a")
    time.sleep(1.5)
    assert box.left(url) == 1
    box.lambda_.delete_function_concurrency(FunctionName=name)
    until(lambda: box.left(url) == 0)

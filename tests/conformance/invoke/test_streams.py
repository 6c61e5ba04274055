"""Event source mappings on DynamoDB streams: order, retries, bisecting, partial failures, destinations, positions."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from greenroom.embedded import EmbeddedAws
from tests.conformance.invoke.box import Box, teller, until

IDS = "[record['dynamodb']['Keys']['id']['S'] for record in event['Records']]"


def told(box: Box, body: str) -> tuple[str, str]:
    """Return a function that does something with a batch, and the queue that it tells."""
    url, _ = box.queue()
    return box.function(teller(body), Environment={"Variables": {"QUEUE": url}}), url


def refused(call: Callable[[], Any]) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call()
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def test_a_mapping_has_lambdas_defaults_and_refuses_what_lambda_refuses(box: Box) -> None:
    name, (_, stream) = box.function("def handler(event, context): pass"), box.table()
    make = box.lambda_.create_event_source_mapping
    assert refused(lambda: make(FunctionName=name, EventSourceArn=stream)) == (
        "InvalidParameterValueException",
        "1 validation error detected: Value null at 'startingPosition' failed to satisfy constraint: "
        "Member must not be null.",
    )
    assert refused(lambda: make(FunctionName=name, EventSourceArn=stream, StartingPosition="AT_TIMESTAMP")) == (
        "InvalidParameterValueException",
        f"Unsupported starting position for arn type: {stream}",
    )
    succeeded = {"OnSuccess": {"Destination": box.queue()[1]}}
    assert refused(
        lambda: make(FunctionName=name, EventSourceArn=stream, StartingPosition="LATEST", DestinationConfig=succeeded)
    ) == (
        "InvalidParameterValueException",
        "Unsupported DestinationConfig parameter for given event source mapping type.",
    )
    gone = stream[:-3] + "000"
    assert refused(lambda: make(FunctionName=name, EventSourceArn=gone, StartingPosition="LATEST")) == (
        "InvalidParameterValueException",
        f"Stream not found: {gone}",
    )
    made = make(FunctionName=name, EventSourceArn=stream, StartingPosition="LATEST", FilterCriteria={"Filters": []})
    for varying in ("ResponseMetadata", "LastModified", "UUID", "EventSourceMappingArn"):
        del made[varying]
    assert made == {
        "BatchSize": 100,
        "BisectBatchOnFunctionError": False,
        "DestinationConfig": {"OnFailure": {}},
        "EventSourceArn": stream,
        "FunctionArn": f"arn:aws:lambda:{box.aws.region}:{box.aws.account_id}:function:{name}",
        "FunctionResponseTypes": [],
        "LastProcessingResult": "No records processed",
        "MaximumBatchingWindowInSeconds": 0,
        "MaximumRecordAgeInSeconds": -1,
        "MaximumRetryAttempts": -1,
        "ParallelizationFactor": 1,
        "StartingPosition": "LATEST",
        "State": "Creating",
        "StateTransitionReason": "User action",
        "TumblingWindowInSeconds": 0,
    }
    assert refused(lambda: make(FunctionName=name, EventSourceArn=stream, StartingPosition="LATEST"))[0] == (
        "ResourceConflictException"
    )


def test_records_come_in_order_as_aws_sends_them(box: Box) -> None:
    name, answers = told(box, "for record in event['Records']: tell(record)")
    table, stream = box.table()
    box.dynamodb.put_item(TableName=table, Item={"id": {"S": "id_value"}, "id2": {"S": "id2_value"}})
    box.mapping(name, stream, StartingPosition="TRIM_HORIZON")
    box.put(table, "second")
    first, second = box.bodies(answers, 2)
    assert [first["eventName"], second["dynamodb"]["Keys"]] == ["INSERT", {"id": {"S": "second"}}]
    change = first["dynamodb"]
    assert isinstance(change.pop("ApproximateCreationDateTime"), float)
    assert change.pop("SequenceNumber") < second["dynamodb"]["SequenceNumber"]
    # Recorded: test_dynamodb_event_filter[insert_same_entry_twice].
    assert change == {
        "Keys": {"id": {"S": "id_value"}},
        "NewImage": {"id": {"S": "id_value"}, "id2": {"S": "id2_value"}},
        "SizeBytes": 32,
        "StreamViewType": "NEW_AND_OLD_IMAGES",
    }


def test_the_latest_position_is_where_the_stream_was_when_the_mapping_was_made(box: Box) -> None:
    name, answers = told(box, f"tell({IDS})")
    table, stream = box.table()
    box.put(table, "before")
    box.mapping(name, stream, StartingPosition="LATEST")
    box.put(table, "after")
    assert box.bodies(answers, 1) == [["after"]]


def test_a_poison_record_is_given_up_and_told_and_those_behind_it_go_on(box: Box) -> None:
    name, answers = told(box, f"ids = {IDS}\ntell(ids)\nassert 'poison' not in ids")
    failures, failures_arn = box.queue()
    table, stream = box.table()
    box.put(table, "a", "poison", "b")
    box.mapping(
        name,
        stream,
        StartingPosition="TRIM_HORIZON",
        BatchSize=1,
        MaximumRetryAttempts=1,
        DestinationConfig={"OnFailure": {"Destination": failures_arn}},
    )
    assert box.bodies(answers, 4) == [["a"], ["poison"], ["poison"], ["b"]]
    (told_,) = box.bodies(failures, 1)
    assert list(told_) == ["requestContext", "responseContext", "version", "timestamp", "DDBStreamBatchInfo"]
    assert told_["requestContext"]["condition"] == "RetryAttemptsExhausted"
    assert told_["requestContext"]["approximateInvokeCount"] == 2
    assert told_["responseContext"] == {
        "statusCode": 200,
        "executedVersion": "$LATEST",
        "functionError": "Unhandled",
    }
    assert told_["DDBStreamBatchInfo"]["batchSize"] == 1
    assert told_["DDBStreamBatchInfo"]["streamArn"] == stream


def test_a_batch_is_bisected_until_the_poison_is_alone(box: Box) -> None:
    name, answers = told(box, f"ids = {IDS}\nassert 'poison' not in ids\ntell(ids)")
    failures, failures_arn = box.queue()
    table, stream = box.table()
    box.put(table, "a", "b", "c", "poison", "d")
    box.mapping(
        name,
        stream,
        StartingPosition="TRIM_HORIZON",
        MaximumRetryAttempts=0,
        BisectBatchOnFunctionError=True,
        DestinationConfig={"OnFailure": {"Destination": failures_arn}},
    )
    assert box.items(answers, 4) == ["a", "b", "c", "d"]
    (told_,) = box.bodies(failures, 1)
    assert told_["DDBStreamBatchInfo"]["batchSize"] == 1


def test_a_function_may_say_where_to_go_on(box: Box) -> None:
    body = f"""
ids = {IDS}
tell(ids)
if "bad" in ids:
    number = event["Records"][ids.index("bad")]["dynamodb"]["SequenceNumber"]
    return {{"batchItemFailures": [{{"itemIdentifier": number}}]}}
""".strip()
    name, answers = told(box, body)
    failures, failures_arn = box.queue()
    table, stream = box.table()
    box.put(table, "a", "bad", "c")
    box.mapping(
        name,
        stream,
        StartingPosition="TRIM_HORIZON",
        MaximumRetryAttempts=1,
        FunctionResponseTypes=["ReportBatchItemFailures"],
        DestinationConfig={"OnFailure": {"Destination": failures_arn}},
    )
    assert box.bodies(answers, 2) == [["a", "bad", "c"], ["bad", "c"]]
    (told_,) = box.bodies(failures, 1)
    assert told_["responseContext"]["functionError"] is None
    assert told_["DDBStreamBatchInfo"]["batchSize"] == 2


def test_a_bucket_is_told_with_the_records_themselves(box: Box) -> None:
    name = box.function("def handler(event, context): raise ValueError")
    s3 = box.client("s3")
    s3.create_bucket(Bucket="given-up")
    table, stream = box.table()
    box.put(table, "poison")
    uuid = box.mapping(
        name,
        stream,
        StartingPosition="TRIM_HORIZON",
        MaximumRetryAttempts=0,
        DestinationConfig={"OnFailure": {"Destination": "arn:aws:s3:::given-up"}},
    )
    until(lambda: s3.list_objects_v2(Bucket="given-up").get("KeyCount", 0) == 1)
    (found,) = s3.list_objects_v2(Bucket="given-up")["Contents"]
    assert found["Key"].startswith(f"aws/lambda/{uuid}/shardId-")
    record = json.loads(s3.get_object(Bucket="given-up", Key=found["Key"])["Body"].read())
    assert json.loads(record["payload"])["Records"][0]["dynamodb"]["Keys"] == {"id": {"S": "poison"}}


def test_records_over_their_age_are_given_up(box: Box) -> None:
    name = box.function("def handler(event, context): raise ValueError")
    _, failures_arn = box.queue()
    _, stream = box.table()
    destination = {"OnFailure": {"Destination": failures_arn}}
    assert refused(lambda: box.mapping(name, stream, StartingPosition="LATEST", MaximumRecordAgeInSeconds=59))[
        0
    ].startswith(("Invalid", "Validation"))
    box.mapping(name, stream, StartingPosition="LATEST", MaximumRecordAgeInSeconds=60, DestinationConfig=destination)


def test_lanes_keep_the_order_of_each_item(box: Box) -> None:
    name, answers = told(
        box, "for r in event['Records']: tell([r['dynamodb']['Keys']['id']['S'], r['dynamodb']['NewImage']['n']['N']])"
    )
    table, stream = box.table()
    box.mapping(name, stream, StartingPosition="TRIM_HORIZON", ParallelizationFactor=4, BatchSize=3)
    for number in range(5):
        for item in "abcd":
            box.dynamodb.put_item(TableName=table, Item={"id": {"S": item}, "n": {"N": str(number)}})
    seen = box.bodies(answers, 20)
    for item in "abcd":
        assert [number for key, number in seen if key == item] == list("01234")


def test_reading_goes_on_where_it_was_after_a_restart(tmp_path: Any) -> None:
    with EmbeddedAws.start(tmp_path, port=0) as aws:
        box = Box(aws)
        name, answers = told(box, f"tell({IDS})")
        table, stream = box.table()
        uuid = box.mapping(name, stream, StartingPosition="TRIM_HORIZON")
        box.put(table, "a")
        assert box.bodies(answers, 1) == [["a"]]
        box.lambda_.update_event_source_mapping(UUID=uuid, Enabled=False)
        box.put(table, "b")
        time.sleep(0.3)
    with EmbeddedAws.start(tmp_path, port=0) as aws:
        box = Box(aws)
        box.put(table, "c")
        box.lambda_.update_event_source_mapping(UUID=uuid, Enabled=True)
        url = box.sqs.get_queue_url(QueueName=answers.rpartition("/")[2])["QueueUrl"]
        box.lambda_.update_function_configuration(FunctionName=name, Environment={"Variables": {"QUEUE": url}})
        assert box.items(url, 2) == ["b", "c"]

"""Asynchronous invocations: the durable queue, destinations, dead letters. Records as on AWS: see `invoke/`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from greenroom.embedded import EmbeddedAws
from tests.conformance.invoke.box import Box, teller, until

FAILS = "def handler(event, context): raise ValueError('no')"
WORKS = "def handler(event, context): return {'got': event}"


def configure(box: Box, name: str, **options: Any) -> None:
    box.lambda_.put_function_event_invoke_config(FunctionName=name, **options)


def send(box: Box, name: str, payload: bytes = b'{"a": 1}', **options: Any) -> str:
    answer = box.lambda_.invoke(FunctionName=name, InvocationType="Event", Payload=payload, **options)
    assert (answer["StatusCode"], answer["Payload"].read()) == (202, b"")
    assert "ExecutedVersion" not in answer
    return str(answer["ResponseMetadata"]["RequestId"])


def test_a_success_is_told_to_its_destination(box: Box) -> None:
    name, (url, arn) = box.function(WORKS), box.queue()
    configure(box, name, DestinationConfig={"OnSuccess": {"Destination": arn}})
    request_id = send(box, name)
    (told,) = box.bodies(url, 1)
    assert list(told) == [
        "version",
        "timestamp",
        "requestContext",
        "requestPayload",
        "responseContext",
        "responsePayload",
    ]
    assert told["requestContext"] == {
        "requestId": request_id,
        "functionArn": f"arn:aws:lambda:{box.aws.region}:{box.aws.account_id}:function:{name}:$LATEST",
        "condition": "Success",
        "approximateInvokeCount": 1,
    }
    assert (told["requestPayload"], told["responsePayload"]) == ({"a": 1}, {"got": {"a": 1}})
    assert told["responseContext"] == {"statusCode": 200, "executedVersion": "$LATEST"}


def test_a_failure_is_told_to_its_destination_and_the_event_goes_to_the_dead_letter_queue(box: Box) -> None:
    (failures, failures_arn), (letters, letters_arn) = box.queue(), box.queue()
    name = box.function(FAILS, DeadLetterConfig={"TargetArn": letters_arn})
    configure(box, name, MaximumRetryAttempts=0, DestinationConfig={"OnFailure": {"Destination": failures_arn}})
    request_id = send(box, name, b'{"raise_error": 1}')
    (told,) = box.bodies(failures, 1)
    assert (told["requestContext"]["condition"], told["requestContext"]["approximateInvokeCount"]) == (
        "RetriesExhausted",
        1,
    )
    assert told["responseContext"]["functionError"] == "Unhandled"
    assert told["responsePayload"]["errorMessage"] == "no"
    (letter,) = box.messages(letters, 1)
    assert letter["Body"] == '{"raise_error": 1}'
    attributes = {name: (each["DataType"], each["StringValue"]) for name, each in letter["MessageAttributes"].items()}
    assert attributes == {
        "RequestID": ("String", request_id),
        "ErrorCode": ("Number", "200"),
        "ErrorMessage": ("String", "no"),
    }


def test_an_event_whose_retry_would_come_too_late_is_given_up(box: Box) -> None:
    name, (url, arn) = box.function(FAILS), box.queue()
    configure(box, name, MaximumEventAgeInSeconds=60, DestinationConfig={"OnFailure": {"Destination": arn}})
    send(box, name)
    (told,) = box.bodies(url, 1)
    assert told["requestContext"]["condition"] == "EventAgeExceeded"
    assert told["requestContext"]["approximateInvokeCount"] == 1


def test_an_event_for_a_stopped_function_is_told_without_an_answer(box: Box) -> None:
    name, (url, arn) = box.function(WORKS), box.queue()
    box.lambda_.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    configure(box, name, DestinationConfig={"OnFailure": {"Destination": arn}})
    send(box, name)
    (told,) = box.bodies(url, 1)
    assert told["requestContext"]["condition"] == "ZeroReservedConcurrency"
    assert told["requestContext"]["approximateInvokeCount"] == 0
    assert "responseContext" not in told


def test_a_throttled_event_waits_for_its_turn(box: Box) -> None:
    url, arn = box.queue()
    name = box.function("import time\ndef handler(event, context): time.sleep(1); return event")
    box.lambda_.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=1)
    configure(box, name, MaximumRetryAttempts=0, DestinationConfig={"OnSuccess": {"Destination": arn}})
    with ThreadPoolExecutor() as pool:
        running = pool.submit(box.lambda_.invoke, FunctionName=name)
        time.sleep(0.3)
        send(box, name, b'"waited"')
        (told,) = box.bodies(url, 1)
        assert running.result()["StatusCode"] == 200
    assert (told["responsePayload"], told["requestContext"]["approximateInvokeCount"]) == ("waited", 1)


def test_settings_belong_to_a_qualifier(box: Box) -> None:
    name, (url, arn) = box.function(WORKS), box.queue()
    version = box.version(name)
    box.lambda_.create_alias(FunctionName=name, Name="live", FunctionVersion=version)
    configure(box, name, Qualifier="live", DestinationConfig={"OnSuccess": {"Destination": arn}})
    send(box, name)
    send(box, name, b'"by alias"', Qualifier="live")
    (told,) = box.bodies(url, 1)
    assert told["requestPayload"] == "by alias"
    assert told["requestContext"]["functionArn"].endswith(f":{name}:live")
    assert told["responseContext"]["executedVersion"] == version


def test_topics_buses_and_functions_are_destinations_too(box: Box) -> None:
    url, arn = box.queue()
    topic = box.client("sns").create_topic(Name="outcomes")["TopicArn"]
    may_send = {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [{**may_send, "Resource": arn}]})
    box.sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    box.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes={"RawMessageDelivery": "true"})
    events = box.client("events")
    bus = events.create_event_bus(Name="outcomes")["EventBusArn"]
    events.put_rule(Name="all", EventBusName="outcomes", EventPattern='{"source": ["lambda"]}')
    events.put_targets(Rule="all", EventBusName="outcomes", Targets=[{"Id": "q", "Arn": arn}])
    teller_ = box.function(teller("tell({'function': event})"), Environment={"Variables": {"QUEUE": url}})
    function = box.lambda_.get_function(FunctionName=teller_)["Configuration"]["FunctionArn"]
    for destination in (topic, bus, function):
        name = box.function(WORKS)
        configure(box, name, DestinationConfig={"OnSuccess": {"Destination": destination}})
        send(box, name)
    told = box.bodies(url, 3)
    from_topic = next(each for each in told if "requestContext" in each)
    from_bus = next(each for each in told if "detail" in each)
    from_function = next(each["function"] for each in told if "function" in each)
    assert from_topic["requestContext"]["condition"] == "Success"
    assert from_bus["detail-type"] == "Lambda Function Invocation Result - Success"
    assert from_bus["source"] == "lambda"
    assert from_bus["resources"] == [bus, from_bus["detail"]["requestContext"]["functionArn"]]
    assert from_function["requestContext"]["condition"] == "Success"


def test_nothing_is_delivered_where_the_role_may_not(box: Box) -> None:
    (closed, closed_arn), (open_, open_arn) = box.queue(), box.queue()
    role = box.role()
    names = [box.function(WORKS, Role=role) for _ in range(2)]
    for name, arn in zip(names, (closed_arn, open_arn), strict=True):
        configure(box, name, DestinationConfig={"OnSuccess": {"Destination": arn}})
    box.allow(role, {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": open_arn})
    for name in names:
        send(box, name)
    box.messages(open_, 1)
    time.sleep(1)
    assert box.left(closed) == 0


def test_services_that_notify_invoke_asynchronously(box: Box) -> None:
    (url, _), (failures, failures_arn) = box.queue(), box.queue()
    source = teller(
        "tell(event['Records'][0].get('EventSource') or event['Records'][0]['eventSource'])\nraise ValueError"
    )
    name = box.function(source, Environment={"Variables": {"QUEUE": url}})
    configure(box, name, MaximumRetryAttempts=0, DestinationConfig={"OnFailure": {"Destination": failures_arn}})
    arn = box.lambda_.get_function(FunctionName=name)["Configuration"]["FunctionArn"]
    box.lambda_.add_permission(
        FunctionName=name, StatementId="s", Action="lambda:InvokeFunction", Principal="s3.amazonaws.com"
    )
    topic = box.client("sns").create_topic(Name="news")["TopicArn"]
    box.client("sns").subscribe(TopicArn=topic, Protocol="lambda", Endpoint=arn)
    box.client("sns").publish(TopicArn=topic, Message="x")
    s3 = box.client("s3")
    s3.create_bucket(Bucket="notifies")
    s3.put_bucket_notification_configuration(
        Bucket="notifies",
        NotificationConfiguration={
            "LambdaFunctionConfigurations": [{"LambdaFunctionArn": arn, "Events": ["s3:ObjectCreated:*"]}]
        },
    )
    s3.put_object(Bucket="notifies", Key="k", Body=b"x")
    assert sorted(box.bodies(url, 2)) == ["aws:s3", "aws:sns"]
    assert {told["requestContext"]["condition"] for told in box.bodies(failures, 2)} == {"RetriesExhausted"}


def test_an_accepted_event_survives_a_kill(tmp_path: Path) -> None:
    with EmbeddedAws.start(tmp_path, port=0) as aws:
        box = Box(aws)
        url, arn = box.queue()
        name = box.function("import time\ndef handler(event, context): time.sleep(2); return event")
        configure(box, name, DestinationConfig={"OnSuccess": {"Destination": arn}})
        for number in range(5):
            send(box, name, str(number).encode())
        queue_name = url.rpartition("/")[2]
        time.sleep(6.5)  # until the queue itself is saved
        for number in range(5, 10):
            send(box, name, str(number).encode())
        os.kill(aws.pid, signal.SIGKILL)
    with EmbeddedAws.start(tmp_path, port=0) as aws:
        box = Box(aws)
        url = box.sqs.get_queue_url(QueueName=queue_name)["QueueUrl"]
        seen: set[int] = set()

        def all_seen() -> bool:
            answer = box.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)
            seen.update(json.loads(each["Body"])["responsePayload"] for each in answer.get("Messages", []))
            return seen >= set(range(5, 10))

        until(all_seen, 30)


def test_an_event_that_fails_is_tried_three_times_with_growing_waits_also_over_a_restart(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.conformance.invoke.retries", str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    told = found["told"]
    assert told["requestContext"]["condition"] == "RetriesExhausted"
    assert told["requestContext"]["approximateInvokeCount"] == 3
    # Each attempt has the request id of the event.
    assert told["responsePayload"]["errorMessage"] == told["requestContext"]["requestId"]
    assert found["took_s"] >= 0.3 + 0.6

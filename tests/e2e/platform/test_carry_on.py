"""After the worst: what was going on goes on, what contradicts itself is found, and nobody moves `prod` who may not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.e2e.packages import GREET, package, write
from tests.e2e.stage import Platform, denied, edit_release, eventually, invoke, request, sweep, swept_by_hand


@pytest.fixture(autouse=True)
def by_hand(platform: Platform) -> Iterator[None]:
    with swept_by_hand(platform):
        yield


def greet(name: str, number: int) -> bytes:
    """One of several releases that all pass."""
    return package(name, f"{GREET}\n# {number}\n", num=1, powerValues=[512])


def live(platform: Platform, name: str, number: int = 1) -> str:
    """Make a release live; return its id."""
    release = platform.push_and_wait(greet(name, number))
    assert release.status == "LIVE", release.reason
    return release.release_id


def test_ten_rollbacks_at_once_are_one_change_and_nine_clear_answers(platform: Platform) -> None:
    first, second = live(platform, "ten-at-once", 1), live(platform, "ten-at-once", 2)
    url = f"{platform.deployment.url}/algorithms/ten-at-once/rollback"
    headers = {"Authorization": f"Bearer {platform.deployment.token}"}
    with ThreadPoolExecutor(10) as threads:
        answers = list(
            threads.map(lambda _: request("POST", url, headers=headers, json={"fromReleaseId": second}), range(10))
        )
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 9
    assert {answer.json()["error"]["code"] for answer in answers if answer.status_code == 409} == {"conflict"}
    assert platform.client.algorithm("ten-at-once").live_release_id == first
    assert platform.aliases("ten-at-once") == {"prod": platform.client.release(first).version}


def test_an_algorithm_whose_stack_was_deleted_by_hand_is_made_again_with_its_queue(platform: Platform) -> None:
    live(platform, "deleted", 1)
    cloudformation = platform.service("cloudformation")
    s3, bucket = (
        platform.service("s3"),
        f"{platform.function('deleted')}-{platform.aws.account_id}-{platform.aws.region}",
    )
    for key in s3.list_objects_v2(Bucket=bucket).get("Contents", ()):
        s3.delete_object(Bucket=bucket, Key=key["Key"])
    cloudformation.delete_stack(StackName=platform.function("deleted"))
    cloudformation.get_waiter("stack_delete_complete").wait(
        StackName=platform.function("deleted"), WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
    live(platform, "deleted", 2)
    assert platform.answer(platform.send("deleted", {"name": "Bo"}), "deleted") == {"greeting": "hello Bo"}


def test_a_release_whose_flow_succeeded_although_the_registry_has_lost_it_goes_on(platform: Platform) -> None:
    with denied(platform, "dispatch", "states:StartExecution"):
        release_id = platform.push(greet("without-result", 1))
        eventually(lambda: platform.client.release(release_id).status == "REGISTERED")
        # By hand, as the stream is not followed: the sweeper starts the first flow.
        edit_release(platform, release_id, updatedAt="2026-01-01T00:00:00.000Z")
        assert sweep(platform)[release_id] == "started again"
        assert platform.execution(release_id, "provision")["status"] == "SUCCEEDED"
        assert platform.client.release(release_id).status == "PROVISIONED"
        edit_release(platform, release_id, status="PROVISIONING")
        assert sweep(platform)[release_id] == "started again"
    release = platform.ended(release_id)
    assert release.status == "LIVE", release.reason


def test_a_late_call_to_promote_an_older_release_moves_nothing(platform: Platform) -> None:
    older, newer = live(platform, "late-call", 1), live(platform, "late-call", 2)
    version = platform.client.release(newer).version
    answer = platform.service("lambda").invoke(
        FunctionName=f"{platform.deployment.prefix}-promote", Payload=json.dumps({"releaseId": older}).encode()
    )
    assert answer["FunctionError"]
    assert older in answer["Payload"].read().decode()
    assert platform.aliases("late-call") == {"prod": version}


def look_around(platform: Platform) -> Any:
    """Let the sweeper look at everything; return what it put right and what it found."""
    return invoke(platform, "sweep", {"everything": True})


def test_what_contradicts_the_registry_is_put_right_where_that_is_safe(platform: Platform) -> None:
    release = platform.client.release(live(platform, "put-right", 1))
    lambda_, function = platform.service("lambda"), platform.function("put-right")
    stray = lambda_.publish_version(FunctionName=function, Description="left by a killed test")["Version"]
    if stray == release.version:  # nothing had changed since: publishing gives the same version
        lambda_.update_function_configuration(FunctionName=function, MemorySize=256)
        lambda_.get_waiter("function_updated").wait(FunctionName=function)
        stray = lambda_.publish_version(FunctionName=function)["Version"]
    lambda_.create_alias(FunctionName=function, Name="test-256", FunctionVersion=stray)
    lambda_.update_alias(FunctionName=function, Name="prod", FunctionVersion=stray)
    lambda_.update_function_configuration(FunctionName=function, MemorySize=256)
    lock = {
        "pk": {"S": "ALGORITHM#put-right"},
        "sk": {"S": "LOCK"},
        "owner": {"S": release.release_id},
        "expiresAt": {"S": "2999-01-01T00:00:00.000Z"},
    }
    table = f"{platform.deployment.prefix}-registry"
    platform.service("dynamodb").put_item(TableName=table, Item=lock)
    done = look_around(platform)
    assert len(done["repaired"]["put-right"]) == 4, done
    assert "put-right" not in done["differences"]
    assert platform.aliases("put-right") == {"prod": release.version}
    assert platform.versions("put-right") == {release.version}
    assert lambda_.get_function_configuration(FunctionName=function)["MemorySize"] == 128
    key = {"pk": lock["pk"], "sk": lock["sk"]}
    assert "Item" not in platform.service("dynamodb").get_item(TableName=table, Key=key)
    assert "put-right" not in look_around(platform)["repaired"]


def test_what_somebody_has_taken_away_is_reported_with_what_to_do(platform: Platform) -> None:
    live(platform, "taken-away", 1)
    topic, sqs = platform.deployment.outputs["TopicArn"], platform.service("sqs")
    inbox = sqs.create_queue(QueueName="told-of-differences")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=inbox, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    everybody = {"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": arn}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [everybody]})
    sqs.set_queue_attributes(QueueUrl=inbox, Attributes={"Policy": policy})
    platform.service("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    queue_arn = f"arn:aws:sqs:{platform.aws.region}:{platform.aws.account_id}:{platform.function('taken-away')}-input"
    lambda_ = platform.service("lambda")
    (mapping,) = lambda_.list_event_source_mappings(EventSourceArn=queue_arn)["EventSourceMappings"]
    lambda_.delete_event_source_mapping(UUID=mapping["UUID"])
    sqs.delete_queue(QueueUrl=sqs.get_queue_url(QueueName=f"{platform.function('taken-away')}-dlq")["QueueUrl"])
    eventually(lambda: not lambda_.list_event_source_mappings(EventSourceArn=queue_arn)["EventSourceMappings"])
    for _ in range(2):  # a person is told once
        found = look_around(platform)["differences"]["taken-away"]
        assert [text for text in found if "dead-letter queue" in text and "push" in text]
        assert [text for text in found if "leads to nothing" in text]
    shown = [each for each in platform.client.status().differences if each.algorithm == "taken-away"]
    assert [each.message for each in shown] == found
    assert all(each.since for each in shown)
    told = eventually(lambda: sqs.receive_message(QueueUrl=inbox, MaxNumberOfMessages=10).get("Messages"))
    about = [json.loads(json.loads(message["Body"])["Message"]) for message in told]
    assert [each["differences"] for each in about if each.get("algorithm") == "taken-away"] == [found]


ENDS = """
import os, time

class Algorithm:
    def translate(self, document):
        if document["how"] == "exit":
            os._exit(3)
        if document["how"] == "timeout":
            time.sleep(30)
        return document
"""


@pytest.mark.parametrize(("how", "why"), [("exit", "its process ended"), ("timeout", "longer than its timeout")])
def test_a_message_that_ends_its_function_is_told_as_failed_with_the_reason(
    platform: Platform, how: str, why: str
) -> None:
    name = f"ends-by-{how}"
    tests = {"one/input.json": {"how": "not"}, "one/expected.json": {"how": "not"}}
    made = package(name, ENDS, tests=tests, type="out", num=1, powerValues=[512], timeout=2)
    release = platform.push_and_wait(made)
    assert release.status == "LIVE", release.reason
    sqs = platform.service("sqs")
    queue = sqs.get_queue_url(QueueName=f"{platform.function(name)}-input")["QueueUrl"]
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"VisibilityTimeout": "3"})
    message = platform.client.send(name, write(platform.folder, json.dumps({"how": how}).encode(), f"{how}.json"))
    eventually(lambda: platform.client.failures(name).total == 1)
    assert platform.client.message(name, message.message_id).status == "pending"
    look_around(platform)
    told = platform.client.message(name, message.message_id)
    assert told.status == "failed"
    assert told.results[0].reason and why in told.results[0].reason
    # Its document is still there, to be sent again; then it is pending again.
    assert platform.client.failures(name).total == 1
    assert platform.client.redrive(name).redriven == 1
    assert platform.client.message(name, message.message_id).status == "pending"
    platform.client.delete_failures(name)

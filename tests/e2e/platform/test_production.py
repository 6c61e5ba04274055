"""Documents in production: in to out, large ones, delivered twice, and while releases change under them."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import pytest

from greenroom.wire.models import Message
from tests.e2e.packages import GREET, package, write
from tests.e2e.stage import Platform, eventually, request

COUNT = """
class Algorithm:
    def translate(self, document):
        return {"things": len(document["things"]), "payload": document["things"][:1]}
"""
COUNT_TESTS = {"two/input.json": {"things": [1, 2]}, "two/expected.json": {"things": 2, "payload": [1]}}

ECHO = """
class Algorithm:
    def translate(self, document):
        return document
"""
ECHO_TESTS = {"one/input.json": {"a": 1}, "one/expected.json": {"a": 1}}

RENDER = """
class Algorithm:
    def translate(self, document):
        return "things: %d\\n" % len(document["things"])
"""
RENDER_TESTS = {"one/input.json": {"things": [1]}, "one/expected.txt": "things: 1\n"}


@pytest.fixture(scope="module")
def route(platform: Platform) -> Platform:
    """An `in` algorithm that forwards to two `out` algorithms, all live."""
    for body in (
        package("count-out", COUNT, tests=COUNT_TESTS, type="out", num=1),
        package("render-out", RENDER, tests=RENDER_TESTS, type="out", num=1),
        package("echo-in", ECHO, tests=ECHO_TESTS, num=1, next=["count-out", "render-out"]),
    ):
        release = platform.push_and_wait(body)
        assert release.status == "LIVE", release.reason
    return platform


def test_a_document_goes_from_in_to_every_out(route: Platform) -> None:
    message = route.send("echo-in", {"things": [1, 2, 3]})
    assert message.status == "done", message
    assert route.answer(message, "count-out") == {"things": 3, "payload": [1]}
    (rendered,) = (result for result in message.results if result.algorithm == "render-out")
    assert rendered.content_type == "text/plain"
    assert rendered.size_bytes == len("things: 3\n")


def test_a_sender_may_choose_among_the_next_algorithms(route: Platform) -> None:
    message = route.send("echo-in", {"things": []}, to=["count-out"])
    assert [result.algorithm for result in message.results] == ["count-out"]
    bucket = f"{route.deployment.prefix}-alg-render-out-{route.deployment.account_id}-{route.deployment.region}"
    found = route.service("s3").list_objects_v2(Bucket=bucket, Prefix=f"results/{message.message_id}/")
    assert found["KeyCount"] == 0


def test_a_document_larger_than_a_message_travels_as_a_claim_check(route: Platform) -> None:
    things = [{"number": number, "text": "x" * 100} for number in range(20_000)]
    document = {"things": things}
    assert len(json.dumps(document)) > 2 * 1024 * 1024
    message = route.send("echo-in", document, to=["count-out"])
    assert route.answer(message, "count-out") == {"things": 20_000, "payload": things[:1]}


def test_a_message_delivered_twice_is_answered_once(route: Platform) -> None:
    message = route.send("echo-in", {"things": [1]}, to=["count-out"])
    bucket = f"{route.deployment.prefix}-alg-count-out-{route.deployment.account_id}-{route.deployment.region}"
    s3, key = route.service("s3"), f"results/{message.message_id}/count-out.json"
    before = s3.head_object(Bucket=bucket, Key=key)
    queue = route.service("sqs").get_queue_url(QueueName=f"{route.function('count-out')}-input")["QueueUrl"]
    again = {
        "greenroom": 1,
        "messageId": message.message_id,
        "route": None,
        "contentType": "application/json",
        "document": {"things": [1, 2, 3, 4]},
    }
    route.service("sqs").send_message(QueueUrl=queue, MessageBody=json.dumps(again))
    marker = route.send("count-out", {"things": []})
    assert marker.status == "done"
    eventually(lambda: _is_empty(route, queue))
    after = s3.head_object(Bucket=bucket, Key=key)
    assert (after["ETag"], after["LastModified"]) == (before["ETag"], before["LastModified"])
    dead = route.service("sqs").get_queue_url(QueueName=f"{route.function('count-out')}-dlq")["QueueUrl"]
    assert _is_empty(route, dead)


def test_a_document_the_algorithm_cannot_handle_is_reported_and_rests_with_its_reason(route: Platform) -> None:
    sqs = route.service("sqs")
    queue = sqs.get_queue_url(QueueName=f"{route.function('count-out')}-input")["QueueUrl"]
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"VisibilityTimeout": "1"})
    document = write(route.folder, json.dumps({"nothing": "counted"}).encode(), "uncounted.json")
    sent = route.client.send("count-out", document)
    told: list[Message] = []
    message = route.client.wait_for_message("count-out", sent.message_id, on_update=told.append, timeout_s=60)
    assert message.status == "failed"
    # It is told why from the first try on.
    assert [each for each in told if each.status == "pending" and "things" in (each.results[0].reason or "")]
    (result,) = message.results
    assert result.reason and "things" in result.reason
    dead = sqs.get_queue_url(QueueName=f"{route.function('count-out')}-dlq")["QueueUrl"]
    (resting,) = eventually(
        lambda: sqs.receive_message(
            QueueUrl=dead, MessageAttributeNames=["All"], VisibilityTimeout=0, WaitTimeSeconds=1
        ).get("Messages")
    )
    assert "things" in resting["MessageAttributes"]["reason"]["StringValue"]
    assert json.loads(resting["Body"])["messageId"] == message.message_id
    assert route.client.delete_failures("count-out").deleted == 1
    assert _is_empty(route, dead)


def test_what_rests_is_looked_at_and_redriven_once_the_algorithm_is_mended(platform: Platform) -> None:
    broken = COUNT.replace('document["things"]', 'document["thing"]')
    tests = {"two/input.json": {"thing": [1, 2]}, "two/expected.json": {"things": 2, "payload": [1]}}
    assert platform.push_and_wait(package("mended", broken, tests=tests, type="out", num=1)).status == "LIVE"
    sqs = platform.service("sqs")
    queue = sqs.get_queue_url(QueueName=f"{platform.function('mended')}-input")["QueueUrl"]
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"VisibilityTimeout": "1"})
    sent = []
    for number in range(3):
        document = write(platform.folder, json.dumps({"things": [number]}).encode(), f"mended-{number}.json")
        sent.append(platform.client.send("mended", document))
    for message in sent:
        assert platform.client.wait_for_message("mended", message.message_id, timeout_s=60).status == "failed"
    # Somebody else's words, that lie in the queue as they are.
    dead = sqs.get_queue_url(QueueName=f"{platform.function('mended')}-dlq")["QueueUrl"]
    claim = {"bucket": "another-bucket", "key": "inbox/x", "sizeBytes": 1, "sha256": None}
    for body in ("<b>no envelope</b>", json.dumps({"greenroom": 1, "messageId": "../x", "claim": claim})):
        sqs.send_message(QueueUrl=dead, MessageBody=body)

    for _ in range(2):  # looking takes nothing away
        resting = platform.client.failures("mended")
        assert (resting.total, len(resting.failures)) == (5, 5)
    by_message = {failure.message_id: failure for failure in resting.failures}
    first = by_message[sent[0].message_id]
    assert first.reason and "thing" in first.reason
    assert first.url and request("GET", first.url).json() == {"things": [0]}
    foreign = [failure for failure in resting.failures if failure.message_id is None]
    assert {failure.url for failure in foreign} == {None}
    assert "<b>no envelope</b>" in {failure.document for failure in foreign}

    assert platform.push_and_wait(package("mended", COUNT, tests=COUNT_TESTS, type="out", num=1)).status == "LIVE"
    handled = platform.client.redrive("mended", [first.failure_id])
    assert (handled.redriven, handled.left) == (1, 4)
    answered = platform.client.wait_for_message("mended", sent[0].message_id, timeout_s=60)
    assert platform.answer(answered, "mended") == {"things": 1, "payload": [0]}
    deleted = platform.client.delete_failures("mended", [failure.failure_id for failure in foreign])
    assert (deleted.deleted, deleted.left) == (2, 2)
    assert platform.client.redrive("mended").redriven == 2
    for number in (1, 2):
        answered = platform.client.wait_for_message("mended", sent[number].message_id, timeout_s=60)
        assert platform.answer(answered, "mended") == {"things": 1, "payload": [number]}
    assert platform.client.failures("mended").total == 0
    assert platform.client.redrive("mended", [first.failure_id]).redriven == 0


def test_nothing_can_be_sent_where_nothing_is_live(platform: Platform) -> None:
    from greenroom.client.errors import Conflict, NotFound

    with pytest.raises(NotFound):
        platform.send("no-such-algorithm", {})
    failed = platform.push_and_wait(package("never-live", GREET.replace("hello", "hullo"), num=1))
    assert failed.status == "FAILED"
    with pytest.raises(Conflict):
        platform.send("never-live", {})


def test_live_traffic_never_notices_a_test_or_a_promotion(platform: Platform) -> None:
    """A stream of messages while two releases are tested and promoted: each is answered, once, by one version."""

    def numbered(number: int) -> bytes:
        source = f"""
        class Algorithm:
            def translate(self, document):
                return {{"by": {number}, "number": document["number"]}}
        """
        tests = {"t/input.json": {"number": -1}, "t/expected.json": {"by": number, "number": -1}}
        return package("steady", source, tests=tests, num=10)

    first = platform.push_and_wait(numbered(0))
    assert first.status == "LIVE", first.reason
    versions = {first.release_id: (first.version, 0)}
    sent: dict[str, int] = {}
    stop = threading.Event()
    errors: list[BaseException] = []
    queue = platform.service("sqs").get_queue_url(QueueName=f"{platform.function('steady')}-input")["QueueUrl"]

    def stream() -> None:
        sqs = platform.service("sqs")
        number = 0
        try:
            while not stop.is_set():
                envelope = {
                    "greenroom": 1,
                    "messageId": f"STEADY{number:020d}",
                    "route": None,
                    "contentType": "application/json",
                    "document": {"number": number},
                }
                sqs.send_message(QueueUrl=queue, MessageBody=json.dumps(envelope))
                sent[envelope["messageId"]] = number  # type: ignore[index]
                number += 1
                stop.wait(0.05)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=stream)
    thread.start()
    try:
        for number in (1, 2):
            release = platform.push_and_wait(numbered(number))
            assert release.status == "LIVE", release.reason
            versions[release.release_id] = (release.version, number)
            time.sleep(2)  # the stream goes on for a while with this one live
    finally:
        stop.set()
        thread.join()
    assert not errors
    bucket = f"{platform.deployment.prefix}-alg-steady-{platform.deployment.account_id}-{platform.deployment.region}"
    s3 = platform.service("s3")

    def answers() -> list[Any]:
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="results/STEADY")
        return [entry["Key"] for page in pages for entry in page.get("Contents", ())]

    eventually(lambda: len(answers()) >= len(sent))
    keys = answers()
    assert len(keys) == len(sent) > 20
    seen = set()
    for key in keys:
        answer = s3.get_object(Bucket=bucket, Key=key)
        body, meta = json.loads(answer["Body"].read()), answer["Metadata"]
        version, number = versions[meta["greenroom-release"]]
        assert meta["greenroom-version"] == version
        assert body == {"by": number, "number": sent[key.split("/")[1]]}
        seen.add(number)
    assert seen == {0, 1, 2}
    assert _is_empty(platform, queue)
    dead = platform.service("sqs").get_queue_url(QueueName=f"{platform.function('steady')}-dlq")["QueueUrl"]
    assert _is_empty(platform, dead)


def _is_empty(platform: Platform, queue: str) -> bool:
    attributes = platform.service("sqs").get_queue_attributes(
        QueueUrl=queue, AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    )["Attributes"]
    return all(int(value) == 0 for value in attributes.values())

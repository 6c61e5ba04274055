"""Batches: what a function's answer means for their items, what follows a failure, what a destination is told."""

from __future__ import annotations

from typing import Any

import pytest

from greenroom.lambda_api.invoke.ports import Message
from greenroom.lambda_api.invoke.sources import batches, partial
from greenroom.lambda_api.invoke.sources.batches import Batch, LastRun, Rules


def records(*numbers: int, at: float = 0.0) -> tuple[dict[str, Any], ...]:
    return tuple(
        {"dynamodb": {"SequenceNumber": str(number), "ApproximateCreationDateTime": at + number}} for number in numbers
    )


@pytest.mark.parametrize(
    "answer", [b"null", b'""', b"[]", b"{}", b"", b'{"batchItemFailures": []}', b'{"batchItemFailures": null}']
)
def test_an_empty_answer_means_that_nothing_failed(answer: bytes) -> None:
    assert partial.failed_items(answer, {"a", "b"}) == set()


def test_the_items_that_a_function_reports_failed() -> None:
    answer = b'{"batchItemFailures": [{"itemIdentifier": "b"}]}'
    assert partial.failed_items(answer, {"a", "b"}) == {"b"}


@pytest.mark.parametrize(
    "answer",
    [
        b'{"batchItemFailures": [{"itemIdentifier": ""}]}',
        b'{"batchItemFailures": [{"itemIdentifier": null}]}',
        b'{"batchItemFailures": [{"foo": "notvalid"}]}',
        b'{"batchItemFailures": [{"foo": null}]}',
        b'{"batchItemFailures": [{"itemIdentifier": "a"}, {"itemIdentifier": "unknown"}]}',
        b'{"batchItemFailures": "b"}',
        b'{"batchItemFailures": ["b"]}',
        b'"text"',
        b"not json",
    ],
)
def test_an_answer_that_cannot_be_believed_means_that_all_failed(answer: bytes) -> None:
    with pytest.raises(partial.WholeBatchFailed):
        partial.failed_items(answer, {"a", "b"})


def test_a_failed_batch_comes_again_as_a_whole_without_end_by_default() -> None:
    batch = Batch(records(1, 2, 3), failures=1_000, invokes=1_001)
    plan = batches.after_failure(batch, None, Rules())
    assert plan.again == (Batch(records(1, 2, 3), 1_001, 1_001),)
    assert not plan.done
    assert plan.given_up is None


@pytest.mark.parametrize(("retries", "runs"), [(0, 1), (1, 2), (3, 4)])
def test_a_batch_is_given_up_after_as_many_retries_as_are_allowed(retries: int, runs: int) -> None:
    batch = Batch(records(1))
    for run in range(1, runs + 1):
        batch = Batch(batch.records, batch.failures, batch.invokes + 1)
        plan = batches.after_failure(batch, None, Rules(max_retries=retries))
        assert (plan.given_up is not None) == (run == runs)
        batch = plan.again[0] if plan.again else batch
    assert plan.given_up == Batch(records(1), runs, runs)


def test_a_batch_is_split_until_the_bad_record_is_alone_and_splitting_is_no_retry() -> None:
    rules = Rules(max_retries=0, bisect=True)
    first = batches.after_failure(Batch(records(1, 2, 3, 4, 5), invokes=1), None, rules)
    assert [each.records for each in first.again] == [records(1, 2), records(3, 4, 5)]
    assert [each.failures for each in first.again] == [0, 0]
    two = batches.after_failure(Batch(records(3, 4), invokes=2), None, rules)
    assert [each.records for each in two.again] == [records(3), records(4)]
    alone = batches.after_failure(Batch(records(4), invokes=3), None, rules)
    assert alone.given_up is not None


def test_what_comes_before_the_first_reported_record_is_done() -> None:
    plan = batches.after_failure(Batch(records(1, 2, 3, 4), invokes=1), {"3", "4"}, Rules(max_retries=2))
    assert plan.done == records(1, 2)
    assert plan.again == (Batch(records(3, 4), 1, 1),)


def test_a_batch_is_split_where_the_function_reported() -> None:
    plan = batches.after_failure(Batch(records(1, 2, 3, 4), invokes=1), {"2"}, Rules(bisect=True))
    assert plan.done == records(1)
    assert [each.records for each in plan.again] == [records(2, 3, 4)]


def test_records_over_their_age_are_taken_out_of_a_batch() -> None:
    old, young = batches.without_old(Batch(records(1, 2, 3)), 60, now=62.5)
    assert old is not None
    assert young is not None
    assert (old.records, young.records) == (records(1, 2), records(3))
    assert batches.without_old(Batch(records(1)), -1, now=1e9) == (None, Batch(records(1)))


def test_all_records_of_an_item_go_through_one_lane() -> None:
    def record(key: str) -> dict[str, Any]:
        return {"dynamodb": {"Keys": {"id": {"S": key}}}}

    lanes = {key: batches.lane(record(key), 4) for key in map(str, range(40))}
    assert set(lanes.values()) == {0, 1, 2, 3}
    assert all(batches.lane(record(key), 4) == lane for key, lane in lanes.items())


def test_a_batch_holds_what_an_event_can_hold() -> None:
    assert batches.within_size([1_000_000] * 10) == 6
    assert batches.within_size([10_000_000, 1]) == 1
    assert batches.within_size([1, 1, 1]) == 3


def test_a_destination_is_told_as_recorded_on_aws() -> None:
    mapping = {"FunctionArn": "arn:f", "EventSourceArn": "arn:s", "UUID": "u"}
    told = batches.failure_record(
        Batch(records(1_657_720_081), 2, 2),
        mapping,
        "RetryAttemptsExhausted",
        LastRun("r", "$LATEST", "Unhandled"),
        1.5,
    )
    assert told == {
        "requestContext": {
            "requestId": "r",
            "functionArn": "arn:f",
            "condition": "RetryAttemptsExhausted",
            "approximateInvokeCount": 2,
        },
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
        "version": "1.0",
        "timestamp": "1970-01-01T00:00:01.500Z",
        "DDBStreamBatchInfo": {
            "shardId": "shardId-00000000000000000000-00000000",
            "startSequenceNumber": "1657720081",
            "endSequenceNumber": "1657720081",
            "approximateArrivalOfFirstRecord": "2022-07-13T13:48:01Z",
            "approximateArrivalOfLastRecord": "2022-07-13T13:48:01Z",
            "batchSize": 1,
            "streamArn": "arn:s",
        },
    }


def test_a_message_looks_as_recorded_on_aws() -> None:
    arn = "arn:aws:sqs:us-east-1:111111111111:q"
    message = Message(
        "id",
        "receipt",
        "{}",
        "md5",
        {"ApproximateReceiveCount": "1"},
        {"Title": {"StringValue": "x", "DataType": "String"}},
    )
    assert batches.queue_record(message, arn) == {
        "messageId": "id",
        "receiptHandle": "receipt",
        "body": "{}",
        "attributes": {"ApproximateReceiveCount": "1"},
        "messageAttributes": {
            "Title": {"stringValue": "x", "stringListValues": [], "binaryListValues": [], "dataType": "String"}
        },
        "md5OfBody": "md5",
        "eventSource": "aws:sqs",
        "eventSourceARN": arn,
        "awsRegion": "us-east-1",
    }

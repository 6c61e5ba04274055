"""Filter patterns: what they let through is recorded on AWS by LocalStack (`event_source_mapping/*.snapshot.json`)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from greenroom.lambda_api.invoke.sources.batches import filtered_view
from greenroom.lambda_api.invoke.sources.filters import BadPattern, matches, parsed


def lets_through(pattern: Any, record: Any) -> bool:
    return matches(record, [parsed(json.dumps(pattern))])


def inserted(image: dict[str, Any]) -> dict[str, Any]:
    return {"eventName": "INSERT", "eventSource": "aws:dynamodb", "dynamodb": {"NewImage": image}}


@pytest.mark.parametrize(
    ("pattern", "image", "passes"),
    [
        ({"presentKey": {"S": ["presentValue"]}}, {"presentKey": {"S": "presentValue"}}, True),
        ({"presentKey": {"S": ["presentValue"]}}, {"id": {"S": "1"}}, False),
        ({"presentKey": {"S": [{"exists": True}]}}, {"presentKey": {"S": "x"}}, True),
        ({"presentKey": {"S": [{"exists": True}]}}, {}, False),
        ({"presentKey": [{"exists": False}]}, {"id": {"S": "1"}}, True),
        # A field that has fields of its own does not exist for a filter: only leaves do (exists_false_filter).
        ({"presentKey": [{"exists": False}]}, {"presentKey": {"S": "x"}}, True),
        # DynamoDB's numbers are texts. Recorded (numeric_filter): 42 passes by anything-but, 101 does not pass.
        ({"n": {"N": [{"numeric": [">", 100]}, {"anything-but": "101"}]}}, {"n": {"N": "42"}}, True),
        ({"n": {"N": [{"numeric": [">", 100]}, {"anything-but": "101"}]}}, {"n": {"N": "101"}}, False),
        ({"prefix": {"S": [{"prefix": "us-1"}]}}, {"prefix": {"S": "us-1-other-suffix"}}, True),
        ({"prefix": {"S": [{"prefix": "us-1"}]}}, {"prefix": {"S": "other-suffix"}}, False),
    ],
)
def test_records_of_a_stream_pass_as_recorded_on_aws(
    pattern: dict[str, Any], image: dict[str, Any], passes: bool
) -> None:
    assert lets_through({"dynamodb": {"NewImage": pattern}}, inserted(image)) is passes


@pytest.mark.parametrize(
    ("body_pattern", "body", "passes"),
    [
        ({"k": ["a", "b"]}, '{"k": "b"}', True),
        ({"k": ["a"], "l": ["go"]}, '{"k": "a"}', False),
        ({"k": [{"exists": True}]}, '{"k": "7411"}', True),
        ({"k": [{"numeric": [">=", 100, "<", 200]}]}, '{"k": 100}', True),
        ({"k": [{"numeric": [">=", 100, "<", 200]}]}, '{"k": 200}', False),
        ({"k": [{"numeric": [">", 100]}]}, '{"k": "101"}', False),
        ({"k": [{"numeric": [">", 0]}]}, "this is a test string", False),
        ({"k": [True]}, '{"k": 1}', False),
        ({"k": ["1"]}, '{"k": 1}', False),
        ({"k": [1]}, '{"k": "1"}', False),
        ({"k": ["a"]}, '{"k": ["c", "a"]}', True),
        (["plain-string"], "plain-string", True),
        (["plain-string"], '{"k": 1}', False),
    ],
)
def test_messages_of_a_queue_pass_by_their_body(body_pattern: Any, body: str, passes: bool) -> None:
    assert lets_through({"body": body_pattern}, filtered_view({"body": body})) is passes


@pytest.mark.parametrize(
    ("rule", "value", "passes"),
    [
        ({"suffix": ".png"}, "a.png", True),
        ({"equals-ignore-case": "Alice"}, "alice", True),
        ({"prefix": {"equals-ignore-case": "AL"}}, "alice", True),
        ({"anything-but": ["a", "b"]}, "c", True),
        ({"anything-but": ["a", "b"]}, "a", False),
        ({"anything-but": {"prefix": "x"}}, "xy", False),
        ({"wildcard": "a*c*e"}, "abcde", True),
        ({"wildcard": "a*c*e"}, "abde", False),
        ({"numeric": ["=", 3.5]}, 3.5, True),
        (None, None, True),
    ],
)
def test_each_rule_decides_on_a_value(rule: Any, value: Any, passes: bool) -> None:
    assert lets_through({"k": [rule]}, {"k": value}) is passes


def test_one_of_several_patterns_is_enough_and_or_takes_either() -> None:
    patterns = [parsed('{"a": [1]}'), parsed('{"b": [2]}')]
    assert matches({"b": 2}, patterns)
    assert not matches({"b": 3}, patterns)
    assert lets_through({"$or": [{"a": [1]}, {"b": [2]}]}, {"b": 2})
    assert matches({"anything": 1}, [])


@pytest.mark.parametrize(
    "pattern",
    [
        "simple string",
        "null",
        '"text"',
        '{"eventName": "INSERT"}',
        '{"eventName": []}',
        '{"eventName": ["INSERT"=123}',
        '{"k": [{"numeric": [">", "100"]}]}',
        '{"k": [{"unknown": 1}]}',
        '{"k": [{"exists": "yes"}]}',
        '{"k": [["a"]]}',
    ],
)
def test_a_pattern_that_aws_refuses_is_refused(pattern: str) -> None:
    with pytest.raises(BadPattern):
        parsed(pattern)

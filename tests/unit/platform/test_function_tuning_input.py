"""The execution input of AWS Lambda Power Tuning, as a function tuning reads it."""

from __future__ import annotations

import base64
import json
import struct
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenroom.platform.function_tuning.input import InputError, Payloads, TuningInput
from greenroom.platform.function_tuning.output import visualization
from greenroom.tuning import LADDER_MB

LEAST = {"lambdaARN": "shop"}


def read(**fields: Any) -> TuningInput:
    return TuningInput.parse({**LEAST, **fields})


def test_its_own_sample_input_is_read_as_it_is() -> None:
    asked = TuningInput.parse(
        {
            "lambdaARN": "arn:aws:lambda:eu-central-1:123456789012:function:shop",
            "powerValues": [128, 256, 512, 1024, 1536, 3008],
            "num": 50,
            "payload": {},
            "parallelInvocation": True,
            "strategy": "speed",
            "allowedExceptions": ["HandledError"],
        }
    )
    assert asked.sizes_mb == (128, 256, 512, 1024, 1536, 3008)
    assert (asked.objective, asked.is_adaptive, asked.num) == ("duration", False, 50)


def test_numbers_may_be_text() -> None:
    asked = read(num="20", powerValues=["512", "128"])
    assert (asked.num, asked.listed_mb) == (20, (128, 512))


@pytest.mark.parametrize("fields", [{}, {"powerValues": "ALL"}, {"powerValues": []}])
def test_where_no_sizes_are_listed_the_whole_range_is_searched(fields: dict[str, Any]) -> None:
    assert read(**fields).sizes_mb == LADDER_MB
    assert read(**fields).is_adaptive
    assert not read(**fields, search="fixed").is_adaptive
    assert not read(**fields, dryRun=True).is_adaptive


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"lambdaARN": "a b"}, "a function's name or ARN is needed"),
        ({"lambdaARN": "shop:prod"}, "leave it out"),
        ({"powerValues": [64]}, "64 MB: Lambda allows 128 to 10240 MB"),
        ({"powerValues": "all"}, "powerValues is 'all'"),
        ({"num": 0}, "num is '0'"),
        ({"num": 1001}, "num is '1001'"),
        ({"strategy": "fast"}, "strategy is 'fast'"),
        ({"nmu": 1}, "nmu is not known"),
        ({"payload": 1, "payloadS3": "s3://bucket/key"}, "one of them is allowed"),
        ({"payloadS3": "https://bucket/key"}, "payloadS3 is 'https"),
        ({"autoOptimizeAlias": "prod"}, "autoOptimizeAlias is for autoOptimize true"),
        ({"autoOptimize": True, "autoOptimizeAlias": "12"}, "autoOptimizeAlias is '12'"),
        ({"discardTopBottom": 0.5}, "discardTopBottom is '0.5'"),
        ({"sleepBetweenRunsMs": -1}, "sleepBetweenRunsMs is '-1'"),
        ({"onlyColdStarts": True, "num": 100}, "onlyColdStarts would need 1800 versions"),
        ({"budgetUsd": 1, "powerValues": [128]}, "budgetUsd is for an adaptive search"),
        ({"preProcessorARN": "arn:aws:s3:::x"}, "preProcessorARN"),
    ],
)
def test_what_is_wrong_is_said_with_its_field(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as caught:
        read(**fields)
    assert said in str(caught.value)


@pytest.mark.parametrize("document", [None, [], "x", 3])
def test_what_is_no_object_is_refused(document: Any) -> None:
    with pytest.raises(InputError):
        TuningInput.parse(document)


@pytest.mark.parametrize(
    ("payload", "body"),
    [
        ({"a": 1}, '{"a": 1}'),
        ([1, 2], "[1, 2]"),
        ([], "[]"),
        ("just text", '"just text"'),
        ('{"json": "text"}', '{"json": "text"}'),
        ([{"payload": 1}], '[{"payload": 1}]'),
        ([{"payload": 1, "weight": 0}], '[{"payload": 1, "weight": 0}]'),
    ],
)
def test_a_payload_goes_as_json(payload: Any, body: str) -> None:
    assert Payloads.parse(payload).bodies == {"payload": body}


@given(st.lists(st.integers(1, 100), min_size=2, max_size=10), st.integers(1, 200))
def test_each_payload_is_used_as_often_as_it_weighs(weights: list[int], num: int) -> None:
    payloads = Payloads.parse([{"payload": {"n": n}, "weight": weight} for n, weight in enumerate(weights)])
    try:
        order = payloads.cases(read(num=num, powerValues=[128]))
    except InputError as error:
        assert "raise num" in str(error)
        return
    assert num % len(order) == 0
    used = Counter(order * (num // len(order)))
    assert set(used) == set(payloads.bodies)
    for name, weight in payloads.weights.items():
        assert abs(used[name] - num * weight / sum(weights)) < len(weights)


def test_an_adaptive_search_takes_each_payload_as_often_and_weighs_the_figures() -> None:
    payloads = Payloads.parse([{"payload": {}, "weight": 9}, {"payload": {}, "weight": 1}])
    assert payloads.cases(read()) == ("payload 1", "payload 2")
    assert payloads.averaging(read()).weights == {"payload 1": 9, "payload 2": 1}


@pytest.mark.parametrize("weight", [True, "5", -1, float("inf")])
def test_a_weight_has_to_be_a_number_above_0(weight: Any) -> None:
    with pytest.raises(InputError):
        Payloads.parse([{"payload": {}, "weight": weight}])


def test_the_link_holds_sizes_as_int16_and_times_and_costs_as_float32() -> None:
    link = visualization([128, 10_240], [11.5, 2.25], [0.5, 0.25])
    address, _, fragment = link.partition("#")
    assert address == "https://lambda-power-tuning.show/"
    parts = [base64.b64decode(part) for part in fragment.split(";")]
    assert struct.unpack("<2h", parts[0]) == (128, 10_240)
    assert struct.unpack("<2f", parts[1]) == (11.5, 2.25)
    assert struct.unpack("<2f", parts[2]) == (0.5, 0.25)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=5))
def test_no_input_is_a_fault_of_ours(value: Any) -> None:
    for field in ("lambdaARN", "powerValues", "num", "payloadS3", "autoOptimizeAlias", "search", "tolerance"):
        try:
            asked = read(**{field: value})
        except InputError as error:
            assert str(error)
        else:
            assert asked.sizes_mb
    json.dumps(Payloads.parse(value).bodies)

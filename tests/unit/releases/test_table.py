"""Python's values as DynamoDB has them, and back."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from boto3.dynamodb.types import TypeDeserializer

from greenroom.releases.table import pack, unpack

VALUES: dict[str, Any] = {
    "text": "x",
    "number": 3,
    "float": 0.1,
    "floats": [0.1, 2.5],
    "nothing": None,
    "truth": True,
    "list": ["a", {"b": "c"}],
    "map": {"a": {"b": ["c"]}},
}


def test_values_are_packed_and_unpacked() -> None:
    packed = pack(VALUES)
    assert packed["float"] == {"N": "0.1"}
    assert unpack(packed) == {**VALUES, "float": Decimal("0.1"), "floats": [Decimal("0.1"), Decimal("2.5")]}


def test_unpacking_is_what_boto3_does() -> None:
    packed = pack(VALUES)
    boto3s = TypeDeserializer()
    assert unpack(packed) == {key: boto3s.deserialize(value) for key, value in packed.items()}


def test_a_type_that_the_registry_does_not_have_is_an_error() -> None:
    with pytest.raises(TypeError, match="type SS"):
        unpack({"names": {"SS": ["a"]}})

"""Conditions of templates that join parameters, as they are handed to ministack's evaluation."""

from __future__ import annotations

from typing import Any

import pytest

from greenroom.embedded.conditions import joined

PARAMETERS = {
    "none": {"Value": "", "Type": "CommaDelimitedList"},
    "some": {"Value": "a, b", "Type": "CommaDelimitedList"},
    "one": {"Value": "x", "Type": "String"},
}


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"Fn::Join": ["", {"Ref": "none"}]}, ""),
        ({"Fn::Join": ["-", {"Ref": "some"}]}, "a-b"),
        ({"Fn::Join": ["/", ["p", {"Ref": "one"}, 5]]}, "p/x/5"),
        ({"Fn::Join": ["", [{"Fn::Join": ["", {"Ref": "some"}]}, "c"]]}, "abc"),
    ],
)
def test_a_join_of_parameters_is_its_text(condition: Any, expected: str) -> None:
    assert joined(condition, PARAMETERS) == expected
    assert joined({"Fn::Not": [{"Fn::Equals": [condition, ""]}]}, PARAMETERS) == {
        "Fn::Not": [{"Fn::Equals": [expected, ""]}]
    }


@pytest.mark.parametrize(
    "condition", [{"Ref": "one"}, {"Condition": "Other"}, {"Fn::Join": ["", [{"Ref": "AWS::Region"}]]}, True, "x"]
)
def test_everything_else_is_left_as_it_is(condition: Any) -> None:
    assert joined(condition, PARAMETERS) == condition

"""What `send` says of the warnings in an answer."""

from __future__ import annotations

import json

import pytest

from greenroom.cli.warnings import SHOWN, summary, warnings_of

ACCESS_LIST = b"""! greenroom
access-list greenroom remark WARNING rule 4 (office): profiles narrows the rule: left out
access-list greenroom remark a rule
access-list greenroom extended deny ip any any
"""


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (ACCESS_LIST, ["rule 4 (office): profiles narrows the rule: left out"]),
        (json.dumps({"warnings": ["one", {"rule": "4", "message": "two\nlines", "effect": "left out"}]}).encode(),
         ["one", "4: two lines: left out"]),
        (json.dumps({"Resources": {}, "Metadata": {"Warnings": [{"message": "three"}]}}).encode(), ["three"]),
        (b'{"warnings": "many", "Metadata": []}', []),
        (b"[1, 2]", []),
        (b"\xff\xfe", []),
        (b"[" * 100_000, []),
        (b"", []),
    ],
)  # fmt: skip
def test_the_warnings_of_an_answer_are_found_where_it_has_them(answer: bytes, expected: list[str]) -> None:
    assert warnings_of(answer) == expected


def test_an_answer_with_many_warnings_is_shown_with_the_first_and_their_number() -> None:
    lines = summary("asa", [f"w{number}" for number in range(SHOWN + 2)])
    assert lines[0] == f"asa: {SHOWN + 2} warnings in the answer"
    assert lines[1] == "  w0" and lines[-1] == "  and 2 more" and len(lines) == SHOWN + 2
    assert summary("asa", ["one"]) == ["asa: 1 warning in the answer", "  one"]
    assert summary("asa", []) == []

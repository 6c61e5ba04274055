"""Whether an answer is the expected one, and how a difference is shown."""

from __future__ import annotations

import difflib
import json
import tracemalloc
from typing import Any

import pytest
from aws_equipment import comparison
from aws_equipment.comparison import json_difference, text_difference
from hypothesis import given
from hypothesis import strategies as st

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
VALUES = st.recursive(
    SCALARS,
    lambda some: st.lists(some, max_size=4) | st.dictionaries(st.text(max_size=3), some, max_size=4),
    max_leaves=12,
)


def strict(value: Any) -> Any:
    """JSON as this language sees it: true is no number."""
    if isinstance(value, dict):
        return {key: strict(item) for key, item in value.items()}
    if isinstance(value, list):
        return [strict(item) for item in value]
    return ("boolean", value) if isinstance(value, bool) else value


@given(VALUES, VALUES)
def test_json_differs_exactly_where_its_values_do(one: Any, other: Any) -> None:
    assert (json_difference(one, other) is None) == (strict(one) == strict(other))
    assert json_difference(one, json.loads(json.dumps(one))) is None


@pytest.mark.parametrize(("one", "other"), [(True, 1), (False, 0), (None, False), ("1", 1), ([], {}), ([[]], [[[]]])])
def test_values_that_python_confuses_differ(one: Any, other: Any) -> None:
    assert json_difference({"a": one}, {"a": other}) is not None
    assert json_difference({"a": other}, {"a": one}) is not None


def test_numbers_are_compared_by_value_and_keys_in_any_order() -> None:
    assert json_difference({"a": 1, "b": [2.0]}, {"b": [2], "a": 1.0}) is None


def test_a_difference_names_its_path_and_shows_both_sides() -> None:
    expected = {"rules": [{"id": n, "action": "allow"} for n in range(50)]}
    actual = json.loads(json.dumps(expected))
    actual["rules"][40]["action"] = "deny"
    difference = json_difference(expected, actual)
    assert difference is not None
    lines = difference.split("\n")
    assert lines[0] == "first difference at $.rules[40].action"
    assert lines[1:3] == ["--- expected", "+++ actual"]
    assert '-      "action": "allow",' in lines and '+      "action": "deny",' in lines
    number = json.dumps(expected, indent=2, sort_keys=True).split("\n").index('      "id": 40') + 1
    assert lines[3] == f"@@ -{number - 4},7 +{number - 4},7 @@"


def test_looking_for_a_difference_takes_next_to_no_memory() -> None:
    """A function of 128 MB has little room next to a large document."""
    one = {"rows": list(range(200_000))}
    other = {"rows": [*range(199_999), -1]}
    tracemalloc.start()
    try:
        found = comparison._first_difference(one, other)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found == ("$.rows[199999]", 199_999, -1)
    assert peak_bytes < 100_000


def test_a_value_that_one_side_lacks_is_shown() -> None:
    assert "first difference at $.a" in str(json_difference({"a": 1}, {}))
    assert "first difference at $[1]" in str(json_difference([1], [1, 2]))
    assert 'first difference at $["a b"]' in str(json_difference({}, {"a b": 1}))


@given(st.text(st.characters(exclude_characters="\r"), max_size=200))
def test_text_is_the_same_whatever_its_ends_of_lines(text: str) -> None:
    unix = text.removesuffix("\n")
    assert text_difference(unix, unix.replace("\n", "\r\n")) is None
    assert text_difference(unix + "\n", unix) is None


def test_a_change_in_text_is_shown_with_its_line() -> None:
    before = "".join(f"line {n}\n" for n in range(1000))
    difference = text_difference(before, before.replace("line 700\n", "other\n"))
    assert difference is not None
    assert "@@ -698,7 +698,7 @@" in difference
    assert "-line 700" in difference and "+other" in difference
    assert text_difference("a\n", "a\n\n") is not None


@pytest.mark.parametrize("end", ["", "x"])
def test_large_answers_are_compared_in_bounded_steps_and_bytes(end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted, not timed: difflib is given no more lines than the window holds."""
    given_lines = []
    original = difflib.unified_diff

    def counting(one: list[str], other: list[str], *rest: Any, **more: Any) -> Any:
        given_lines.append(max(len(one), len(other)))
        return original(one, other, *rest, **more)

    monkeypatch.setattr(difflib, "unified_diff", counting)
    before = "\n".join("same" for _ in range(100_000)) + end
    after = "\n".join(f"other {'é' * 500}" if n > 50_000 else "same" for n in range(100_000))
    difference = text_difference(before, after)
    assert difference is not None
    assert max(given_lines) <= comparison.MAX_WINDOW_LINES + comparison.CONTEXT_LINES
    assert len(difference.encode()) <= comparison.MAX_DIFFERENCE_BYTES
    assert difference.endswith("… cut")


def test_of_large_json_only_the_differing_values_are_shown() -> None:
    expected = [{"n": n, "text": "x" * 100} for n in range(10_000)]
    actual = [*expected[:-1], {"n": 9_999, "text": "y" * 1_000}]
    difference = json_difference(expected, actual)
    assert difference is not None
    assert "@@ $[9999].text @@" in difference
    assert len(difference) < 2_000


def test_json_nested_as_deeply_as_can_be_read_is_compared() -> None:
    one, other = json.loads("[" * 900 + "1" + "]" * 900), json.loads("[" * 900 + "2" + "]" * 900)
    assert json_difference(one, one) is None
    difference = json_difference(one, other)
    assert difference is not None
    assert "[0][0]" in difference

"""Finds where an answer and the expected one differ.

Time and output are bounded: at 128 MB Lambda gives a fourteenth of a CPU, and a wrong answer must not end as a timeout.
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

MAX_DIFFERENCE_BYTES = 16 * 1024
MAX_PRETTY_BYTES = 256 * 1024
MAX_WINDOW_LINES = 200
MAX_LINE_CHARS = 400
CONTEXT_LINES = 3


def text_difference(expected: str, actual: str) -> str | None:
    """Return how two texts differ, or None if they don't.

    Line ends do not count, nor does a newline at the very end: editors and checkouts disagree about them.
    """
    before, after = _lines(expected), _lines(actual)
    return None if before == after else _bounded(_unified(before, after))


def json_difference(expected: Any, actual: Any) -> str | None:
    """Return how two JSON values differ, or None if they don't: 1 is 1.0, but true is not 1."""
    found = _first_difference(expected, actual)
    if found is None:
        return None
    path, before, after = found
    whole = [_compact(expected), _compact(actual)]
    if max(map(len, whole)) > MAX_PRETTY_BYTES:
        lines = [f"-{_short(before)}", f"+{_short(after)}"]
        return _bounded(["--- expected", "+++ actual", f"@@ {path} @@", *lines])
    return _bounded([f"first difference at {path}", *_unified(_pretty(expected), _pretty(actual))])


class _Absent:
    """Stands for a value that one of the two does not have."""


ABSENT = _Absent()


def _first_difference(expected: Any, actual: Any) -> tuple[str, Any, Any] | None:
    """Return path and both sides of the first difference.

    It does not recurse, since documents may be nested deeply, and builds nothing for equal parts, since a function of
    128 MB has little room next to a large document.
    """
    levels: list[Iterator[tuple[str | int, Any, Any]]] = [iter([("$", expected, actual)])]
    path: list[str | int] = []
    while levels:
        child = next(levels[-1], None)
        if child is None:
            levels.pop()
            del path[-1:]
            continue
        step, before, after = child
        if isinstance(before, dict) and isinstance(after, dict):
            path.append(step)
            levels.append(_members(before, after))
        elif isinstance(before, list) and isinstance(after, list):
            path.append(step)
            levels.append(_items(before, after))
        elif not _same_scalar(before, after):
            return _path([*path, step]), before, after
    return None


def _members(before: dict[str, Any], after: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for key, value in before.items():
        yield key, value, after.get(key, ABSENT)
    for key, value in after.items():
        if key not in before:
            yield key, ABSENT, value


def _items(before: list[Any], after: list[Any]) -> Iterator[tuple[int, Any, Any]]:
    for index, pair in enumerate(zip_longest(before, after, fillvalue=ABSENT)):
        yield index, *pair


def _path(steps: list[str | int]) -> str:
    """Return a path as text; its first step is the whole document."""
    parts = (
        f"[{step}]" if isinstance(step, int) else f".{step}" if step.isidentifier() else f"[{_short(step)}]"
        for step in steps[1:]
    )
    return _cut("$" + "".join(parts))


def _same_scalar(before: Any, after: Any) -> bool:
    if isinstance(before, bool) or isinstance(after, bool):
        return before is after
    if isinstance(before, int | float) and isinstance(after, int | float):
        return before == after or (math.isnan(before) and math.isnan(after))
    return type(before) is type(after) and bool(before == after)


def _unified(before: list[str], after: list[str]) -> list[str]:
    """Return a unified diff of a window from the first difference on, without the equal ends of the texts.

    Comparing two large texts in full takes time that grows with the square of their size.
    """
    start = _common(before, after)
    rest_before, rest_after = before[start:], after[start:]
    end = _common(rest_before[::-1], rest_after[::-1])
    first = max(0, start - CONTEXT_LINES)
    one, other = (
        lines[first : min(len(lines) - end + CONTEXT_LINES, start + MAX_WINDOW_LINES)] for lines in (before, after)
    )
    lines = list(difflib.unified_diff(one, other, "expected", "actual", lineterm="", n=CONTEXT_LINES))
    return [_header(line, first) if line.startswith("@@ -") else line[:MAX_LINE_CHARS] for line in lines]


def _common(before: list[str], after: list[str]) -> int:
    """Return how many lines are equal, from the first on."""
    for index, (one, other) in enumerate(zip(before, after, strict=False)):
        if one != other:
            return index
    return min(len(before), len(after))


def _header(line: str, skipped: int) -> str:
    """Return a hunk's header with line numbers of the whole text."""
    parts = []
    for part in line.split()[1:3]:
        number, comma, count = part[1:].partition(",")
        parts.append(f"{part[0]}{int(number) + skipped}{comma}{count}")
    return f"@@ {' '.join(parts)} @@"


def _lines(text: str) -> list[str]:
    return text.replace("\r\n", "\n").removesuffix("\n").split("\n")


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _pretty(value: Any) -> list[str]:
    try:
        return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False).split("\n")
    except RecursionError:
        return [_compact(value)]


def _short(value: Any) -> str:
    return "(nothing)" if value is ABSENT else _cut(_compact(value))


def _cut(text: str) -> str:
    return text if len(text) <= MAX_LINE_CHARS else text[:MAX_LINE_CHARS] + "…"


def _bounded(lines: list[str]) -> str:
    """Join lines; cut them where there would be too many bytes, and say so."""
    text = "\n".join(lines).encode("utf-8", "replace")
    if len(text) <= MAX_DIFFERENCE_BYTES:
        return text.decode()
    end = "\n… cut"
    return text[: MAX_DIFFERENCE_BYTES - len(end.encode())].decode("utf-8", "ignore") + end

"""Where an answer and the expected one part. Time and output are bounded: at 128 MB Lambda gives a fourteenth of a CPU,
and a wrong answer must not end as a time-out.
"""

from __future__ import annotations

import difflib
import json
import math
from typing import Any

MAX_DIFFERENCE_BYTES = 16 * 1024
MAX_PRETTY_BYTES = 256 * 1024
MAX_WINDOW_LINES = 200
MAX_LINE_CHARS = 400
CONTEXT_LINES = 3


def text_difference(expected: str, actual: str) -> str | None:
    """Return how two texts differ, or None if they don't.

    Ends of lines are not looked at, nor is a newline at the end of all: editors and checkouts disagree about them.
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
    """Stands for what one of the two does not have."""


ABSENT = _Absent()


def _first_difference(expected: Any, actual: Any) -> tuple[str, Any, Any] | None:
    """Return path and both sides of the first difference. Not recursive: documents may be nested deeply."""
    pending = [("$", expected, actual)]
    while pending:
        path, before, after = pending.pop()
        if isinstance(before, dict) and isinstance(after, dict):
            keys = [*before, *(key for key in after if key not in before)]
            children = [(f"{path}{_step(key)}", before.get(key, ABSENT), after.get(key, ABSENT)) for key in keys]
            pending.extend(reversed(children))
        elif isinstance(before, list) and isinstance(after, list):
            length = max(len(before), len(after))
            children = [(f"{path}[{index}]", _at(before, index), _at(after, index)) for index in range(length)]
            pending.extend(reversed(children))
        elif not _same_scalar(before, after):
            return path, before, after
    return None


def _at(values: list[Any], index: int) -> Any:
    return values[index] if index < len(values) else ABSENT


def _step(key: str) -> str:
    return f".{key}" if key.isidentifier() else f"[{_short(key)}]"


def _same_scalar(before: Any, after: Any) -> bool:
    if isinstance(before, bool) or isinstance(after, bool):
        return before is after
    if isinstance(before, int | float) and isinstance(after, int | float):
        return before == after or (math.isnan(before) and math.isnan(after))
    return type(before) is type(after) and bool(before == after)


def _unified(before: list[str], after: list[str]) -> list[str]:
    """A unified diff of where two texts part: what is the same before and after is left out first, the rest is cut.

    Comparing all of two large texts takes time that grows with its square.
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
    """How many lines are the same from the first on."""
    for index, (one, other) in enumerate(zip(before, after, strict=False)):
        if one != other:
            return index
    return min(len(before), len(after))


def _header(line: str, skipped: int) -> str:
    """Count a hunk's lines from where the whole text begins."""
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
    text = "(nothing)" if value is ABSENT else _compact(value)
    return text if len(text) <= MAX_LINE_CHARS else text[:MAX_LINE_CHARS] + "…"


def _bounded(lines: list[str]) -> str:
    """Join lines, with an end to say so where there would be too many bytes."""
    text = "\n".join(lines).encode("utf-8", "replace")
    if len(text) <= MAX_DIFFERENCE_BYTES:
        return text.decode()
    end = "\n… cut"
    return text[: MAX_DIFFERENCE_BYTES - len(end.encode())].decode("utf-8", "ignore") + end

"""Text and numbers as a person reads them on a terminal: pure functions, shared by all commands.

Nothing heavy is imported here, because errors are written with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

NOTHING = "-"
"""Written where there is no value."""


def clean(text: str) -> str:
    """Return the text with its control characters made visible, except newline and tab."""
    return "".join(
        char if char in "\n\t" or (char.isprintable() or not _is_control(char)) else f"\\x{ord(char):02x}"
        for char in text.replace("\r\n", "\n")
    )


def _is_control(char: str) -> bool:
    point = ord(char)
    # C0, DEL and C1, and the marks that change the direction of writing.
    return point < 0x20 or 0x7F <= point < 0xA0 or 0x202A <= point <= 0x202E or 0x2066 <= point <= 0x2069


def milliseconds(value: float | None) -> str:
    """Return a duration that is given in ms."""
    if value is None:
        return NOTHING
    if value >= 10_000:
        return f"{value / 1000:.1f} s"
    if value >= 1000:
        return f"{value / 1000:.2f} s"
    return f"{value:.0f} ms" if value >= 100 else f"{value:.1f} ms" if value >= 10 else f"{value:.2f} ms"


def usd(value: float | None) -> str:
    """Return an amount of US dollars, with at most three significant digits."""
    if value is None:
        return NOTHING
    if value >= 100:
        return f"${value:,.0f}"
    if value and value < 0.0001:
        return "less than $0.0001"
    return f"${value:.2f}" if value >= 1 else f"${value:.3f}" if value >= 0.01 else f"${value:.2g}"


def size(value: int | None) -> str:
    """Return a number of bytes."""
    if value is None:
        return NOTHING
    if value < 1024:
        return f"{value} B"
    return f"{value / 1024:.1f} KB" if value < 1024 * 1024 else f"{value / 1024 / 1024:.1f} MB"


def seconds(value: float) -> str:
    """Return how long a stage took, given in seconds."""
    return f"{value:.2f} s" if value < 10 else f"{value:.1f} s" if value < 120 else f"{value / 60:.1f} min"


def megabytes(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.0f} MB"


def sizes(values_mb: Sequence[int]) -> str:
    """Return a list of memory sizes: "128, 256 and 512 MB"; nothing for none."""
    *others, last = [str(value) for value in values_mb] or [""]
    listed = f"{', '.join(others)} and {last}" if others else last
    return f"{listed} MB" if listed else ""


def age(at: datetime | None, now: datetime | None = None) -> str:
    """Return how long ago something was."""
    if at is None:
        return NOTHING
    passed_s = max(((now or datetime.now(UTC)) - at.astimezone(UTC)).total_seconds(), 0)
    for unit, length_s in (("d", 86_400), ("h", 3600), ("min", 60)):
        if passed_s >= length_s:
            return f"{passed_s / length_s:.0f} {unit} ago"
    return f"{passed_s:.0f} s ago"


def or_dash(value: Any) -> str:
    return NOTHING if value is None or value == "" else clean(str(value))


def first_line(text: str) -> str:
    """Return the first line of a reason, for a place that shows the difference after it elsewhere."""
    return clean(text).strip().split("\n")[0].removesuffix("--- expected").rstrip(" :")


def tail(text: str, count: int) -> str:
    """Return the last lines of a log."""
    lines = clean(text).rstrip("\n").split("\n")
    left_out = [f"… {len(lines) - count} earlier lines"] if len(lines) > count else []
    return "\n".join(left_out + lines[-count:])

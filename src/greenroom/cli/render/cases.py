"""Test cases: those of a release, and those that ran on this machine."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from greenroom.cli.text import clean, milliseconds, sizes, tail
from greenroom.wire import models

if TYPE_CHECKING:
    from greenroom.workbench.local import CaseResult as LocalResult

DIFFERENCE_LINES, LOG_LINES = 40, 30


NOT_COMPARED = "not compared: it has no expected.*"


def cases(summary: models.Summary, not_compared: Collection[str] = ()) -> RenderableType | None:
    """Draw the test cases; for one that failed also the difference, the error and the log."""
    parts: list[RenderableType] = []
    width = max((len(case.case) for case in summary.cases), default=0) + 2
    for case in summary.cases:
        name = clean(case.case).ljust(width)
        if not case.failed:
            mark, count = (("✓ ", "green"), f"{case.passed} passed") if case.passed else (("· ", "dim"), "not run")
            note = (f", {NOT_COMPARED}", "yellow") if case.passed and case.case in not_compared else ""
            parts.append(Text.assemble(mark, name, (count, "dim"), note))
            continue
        failed_mb = case.failed_memory_mb or ([case.memory_mb] if case.memory_mb else [])
        at = f" at {sizes(failed_mb)}" if failed_mb else ""
        counts = f"{case.failed} failed{at}, {case.passed} passed"
        parts.append(Text.assemble(("✗ ", "bold red"), (name, "bold"), (counts, "red")))
        if case.difference:
            parts.append(Padding(difference(case.difference), (0, 0, 0, 4)))
        elif case.error or case.error_message:
            parts.append(Padding(Text(clean(case.error_message or case.error or ""), style="red"), (0, 0, 0, 4)))
        if case.log:
            parts.append(Padding(Text("log", style="bold dim"), (0, 0, 0, 4)))
            parts.append(Padding(Text(tail(case.log, LOG_LINES), style="dim"), (0, 0, 0, 4)))
    return Group(*parts) if parts else None


def local_cases(results: Sequence[LocalResult]) -> RenderableType:
    """Draw the results of the cases on this machine."""
    parts: list[RenderableType] = []
    for result in results:
        used = f", {result.max_memory_used_mb} MB used" if result.max_memory_used_mb else ""
        note = f"  {milliseconds(result.duration_ms)}{used}" if result.duration_ms is not None else ""
        if result.passed:
            compared = "" if result.compared else (f"  {NOT_COMPARED}", "yellow")
            parts.append(Text.assemble(("✓ ", "green"), clean(result.case), (note, "dim"), compared))
            continue
        parts.append(Text.assemble(("✗ ", "bold red"), (clean(result.case), "bold"), (note, "dim")))
        if result.difference:
            parts.append(Padding(difference(result.difference), (0, 0, 0, 4)))
        details = (text for text in (result.traceback or result.error, result.output) if text)
        parts.extend(Padding(Text(tail(text, LOG_LINES), style="dim"), (0, 0, 0, 4)) for text in details)
    passed = sum(result.passed for result in results)
    style = "bold green" if passed == len(results) else "bold red"
    parts.append(Text(f"\n{passed} of {len(results)} passed{_unchecked(results)}", style=style))
    return Group(*parts)


def _unchecked(results: Sequence[LocalResult]) -> str:
    """Return how many of the cases say nothing of the answer, and what that means for the package."""
    count = sum(not result.compared for result in results)
    if count < len(results):
        return f", {count} not compared" if count else ""
    return ', none compared: to go live, a case needs an expected.*, or metadata.json "allowNotCompared": true'


def difference(text: str, limit: int = DIFFERENCE_LINES) -> Text:
    """Draw a unified diff in colours, at most `limit` lines of it."""
    lines = clean(text).rstrip("\n").split("\n")
    styled = Text()
    for line in lines[:limit]:
        style = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "dim")
        styled.append(line + "\n", style=style)
    if len(lines) > limit:
        styled.append(f"… and {len(lines) - limit} more lines", style="dim")
    styled.rstrip()
    return styled

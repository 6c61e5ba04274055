"""A release while it is tested: on a terminal a live view, elsewhere plain lines, one for each event.

Both views get the same three things: the bytes sent, the release as it is now, and the trimmed mean at a power value.
`render` draws what stays on the screen at the end.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from greenroom.cli.render.elements import STATUS_MEANINGS, status_text
from greenroom.cli.render.release import cost_at_most, release_head
from greenroom.cli.text import clean, megabytes, milliseconds, seconds, size
from greenroom.wire import models
from greenroom.wire.statuses import has_ended

BAR_WIDTH = 32


class ReleaseView(Protocol):
    """What `push` shows while it waits. A context manager: the view ends with the block."""

    def uploading(self, sent_bytes: int, total_bytes: int) -> None: ...

    def update(self, release: models.Release) -> None: ...

    def measured(self, memory_mb: int, mean_ms: float, max_memory_used_mb: float | None) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def view_of_release(console: Console, title: str) -> ReleaseView:
    """Return the view that fits the console."""
    if console.is_terminal and not console.is_dumb_terminal:
        return TerminalView(console, title)
    return LineView(console, title)


class TerminalView:
    """Stages with their times, a bar for the upload and one for each power value, redrawn in place."""

    def __init__(self, console: Console, title: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._title = title
        self._clock = clock
        self._sent: tuple[int, int] | None = None
        self._upload_started_s = self._upload_ended_s = clock()
        self._release: models.Release | None = None
        self._stage_started_s = clock()
        self._measured: dict[int, str] = {}
        self._spinner = Spinner("dots", style="cyan")
        self._live = Live(console=console, get_renderable=self.render, refresh_per_second=8, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def uploading(self, sent_bytes: int, total_bytes: int) -> None:
        self._sent = (sent_bytes, total_bytes)
        self._upload_ended_s = self._clock()

    def update(self, release: models.Release) -> None:
        # The platform's clock may differ from this one, so the running stage is timed from when it was first seen.
        if self._release is None or self._release.status != release.status:
            self._stage_started_s = self._clock()
        self._release = release

    def measured(self, memory_mb: int, mean_ms: float, max_memory_used_mb: float | None) -> None:
        used = f", {megabytes(max_memory_used_mb)} used" if max_memory_used_mb is not None else ""
        self._measured[memory_mb] = f"{milliseconds(mean_ms)} trimmed mean{used}"

    def render(self) -> RenderableType:
        """Draw the view as it is now."""
        parts: list[RenderableType] = [self._head()]
        if self._sent and self._release is None:
            parts.append(self._upload_bar(*self._sent))
        if self._release is not None:
            parts.append(self._stages(self._release))
            if self._release.reason and not self._release.ended:
                parts.append(Text(f"  {clean(self._release.reason)}", style="yellow"))
            if self._release.cost_at_most_usd is not None and not self._release.ended:
                parts.append(Text(f"  {cost_at_most(self._release.cost_at_most_usd)}", style="dim"))
            if self._release.progress:
                parts.append(self._progress(self._release.progress))
        return Group(*parts)

    def _head(self) -> Text:
        return release_head(self._release, self._title)

    def _upload_bar(self, sent_bytes: int, total_bytes: int) -> RenderableType:
        grid = Table.grid(padding=(0, 1))
        passed_s = max(self._upload_ended_s - self._upload_started_s, 0.001)
        speed = f"{size(sent_bytes)} of {size(total_bytes)}, {size(int(sent_bytes / passed_s))}/s"
        grid.add_row("  upload", ProgressBar(total=total_bytes, completed=sent_bytes, width=BAR_WIDTH), speed)
        return grid

    def _stages(self, release: models.Release) -> RenderableType:
        grid = Table.grid(padding=(0, 2))
        history = release.history or [models.StatusChange.model_validate({"status": release.status, "at": 0})]
        for entry, after in zip(history, [*history[1:], None], strict=True):
            meaning = Text(STATUS_MEANINGS.get(entry.status, ""), style="dim")
            if after is not None:
                took = seconds(max((after.at - entry.at).total_seconds(), 0))
                mark: RenderableType = Text("✓", style="green")
            else:
                took = seconds(self._clock() - self._stage_started_s)
                mark = self._spinner
            grid.add_row(mark, status_text(entry.status), Text(took, style="dim", justify="right"), meaning)
        return grid

    def _progress(self, values: list[models.Progress]) -> RenderableType:
        grid = Table.grid(padding=(0, 1))
        for value in sorted(values, key=lambda value: value.memory_mb):
            full = value.total > 0 and value.done >= value.total
            bar = ProgressBar(
                total=max(value.total, 1),
                completed=value.done,
                width=BAR_WIDTH,
                complete_style="red" if value.failed else "cyan",
                finished_style="red" if value.failed else "green",
            )
            notes = Text(self._measured.get(value.memory_mb, "") if full else "", style="dim")
            if value.failed:
                notes = Text.assemble((f"{value.failed} failed  ", "red"), notes)
            count = Text(f"{value.done}/{value.total}", justify="right")
            grid.add_row(Text(f"  {value.memory_mb} MB", justify="right"), bar, count, notes)
        return grid


class LineView:
    """One line for each event, for a file, a pipe or the log of a CI job."""

    def __init__(self, console: Console, title: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._title = title
        self._started_s = clock()
        self._release_id = ""
        self._statuses_shown = 0
        self._done: dict[int, int] = {}
        self._cost_shown = False
        self._reason_shown: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def uploading(self, sent_bytes: int, total_bytes: int) -> None:
        if sent_bytes == total_bytes:
            self._line(f"uploaded {self._title}: {size(total_bytes)}")

    def update(self, release: models.Release) -> None:
        if release.release_id != self._release_id:
            self._release_id = release.release_id
            self._line(f"release {release.release_id}")
        # A status may begin and end between two polls; the history has every one.
        statuses = [entry.status for entry in release.history] or [release.status]
        new = statuses[self._statuses_shown :]
        self._statuses_shown = max(self._statuses_shown, len(statuses))
        ends = [status for status in new if has_ended(status)]
        self._show([status for status in new if status not in ends])
        if release.reason and release.reason != self._reason_shown and not release.ended:
            self._reason_shown = release.reason
            self._line(release.reason)
        if release.cost_at_most_usd is not None and not self._cost_shown:
            self._cost_shown = True
            self._line(cost_at_most(release.cost_at_most_usd))
        for value in sorted(release.progress, key=lambda value: value.memory_mb):
            # Four lines for each power value are enough to see progress.
            quarter = 4 * value.done // value.total if value.total else 0
            if quarter > self._done.get(value.memory_mb, 0):
                self._done[value.memory_mb] = quarter
                failed = f", {value.failed} failed" if value.failed else ""
                self._line(f"{value.memory_mb} MB: {value.done} of {value.total}{failed}")
        self._show(ends)

    def _show(self, statuses: list[str]) -> None:
        for status in statuses:
            self._line(f"{status}: {STATUS_MEANINGS.get(status, '')}")

    def measured(self, memory_mb: int, mean_ms: float, max_memory_used_mb: float | None) -> None:
        used = f", {megabytes(max_memory_used_mb)} used" if max_memory_used_mb is not None else ""
        self._line(f"{memory_mb} MB: {milliseconds(mean_ms)} trimmed mean{used}")

    def _line(self, text: str) -> None:
        passed = f"{self._clock() - self._started_s:6.1f} s"
        self._console.print(Text(f"{passed}  {clean(text)}"), soft_wrap=True)

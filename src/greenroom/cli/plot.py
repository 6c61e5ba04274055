"""A small line chart for the terminal: braille dots, one series, memory along the bottom.

Only as much of a chart as a tuning result needs. It knows nothing of releases.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.text import Text

# Unicode's block "Braille Patterns": the bit of the dot at (column, row) of a cell of 2 x 4 dots.
BRAILLE = 0x2800
DOT_BITS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))


class Chart:
    """One line over memory sizes; the ordinate begins at 0, so that half the height is half the value.

    Args:
        title: above the chart.
        points: (memory in MB, value), at least one; the abscissa is logarithmic, as memory sizes are chosen.
        label: writes a value for the ordinate.
        marked_mb: the memory size to mark, or None.
        style: colour of the line.
        width, height: size of the plotting area in characters.
    """

    def __init__(
        self,
        title: str,
        points: Sequence[tuple[int, float]],
        label: Callable[[float], str],
        *,
        marked_mb: int | None = None,
        style: str = "cyan",
        width: int = 26,
        height: int = 7,
    ) -> None:
        self.title = title
        self.points = sorted(points)
        self.marked_mb = marked_mb
        self.style = style
        self.width = width
        self.height = height
        self.top = max((value for _, value in self.points), default=0.0) or 1.0
        self.labels = {0: label(self.top), height // 2: label(self.top * (1 - (height // 2) / (height - 1)))}
        self.labels[height - 1] = "0"
        self.margin = max(len(text) for text in self.labels.values())

    def __rich_measure__(self, _console: Console, _options: ConsoleOptions) -> Measurement:
        total = self.margin + 1 + self.width + len(" MB")
        return Measurement(total, total)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        ascii_only = options.ascii_only
        yield Text(" " * (self.margin + 2) + self.title, style="bold")
        dots = self._dots()
        cells = {self._cell(memory_mb, value): memory_mb for memory_mb, value in self.points}
        for row in range(self.height):
            line = Text(self.labels.get(row, "").rjust(self.margin), style="dim")
            line.append("|" if ascii_only else "┤" if row in self.labels else "│")
            for column in range(self.width):
                memory_mb = cells.get((column, row))
                bits = dots.get((column, row), 0)
                if memory_mb is not None and memory_mb == self.marked_mb:
                    line.append("#" if ascii_only else "◆", style="bold green not dim")
                elif memory_mb is not None:
                    line.append("o" if ascii_only else "●", style=f"bold {self.style} not dim")
                elif bits:
                    line.append("." if ascii_only else chr(BRAILLE + bits), style=f"{self.style} not dim")
                else:
                    line.append(" ")
            yield line
        yield Text(" " * self.margin + ("+" if ascii_only else "└") + ("-" if ascii_only else "─") * self.width, "dim")
        yield self._abscissa()

    def _x(self, memory_mb: int) -> float:
        """Where a memory size stands, 0 to 1."""
        low, high = self.points[0][0], self.points[-1][0]
        return 0.5 if low == high else math.log(memory_mb / low) / math.log(high / low)

    def _dot(self, memory_mb: int, value: float) -> tuple[int, int]:
        # One cell of margin left and right, so that a point is never cut by the frame.
        x = 2 + round(self._x(memory_mb) * (self.width * 2 - 5))
        return x, round((1 - value / self.top) * (self.height * 4 - 1))

    def _cell(self, memory_mb: int, value: float) -> tuple[int, int]:
        x, y = self._dot(memory_mb, value)
        return x // 2, y // 4

    def _dots(self) -> dict[tuple[int, int], int]:
        """The bits of every cell the line crosses."""
        dots: dict[tuple[int, int], int] = {}
        ends = [self._dot(*point) for point in self.points]
        for (x1, y1), (x2, y2) in pairwise(ends):
            steps = max(abs(x2 - x1), abs(y2 - y1), 1)
            for step in range(steps + 1):
                x = round(x1 + (x2 - x1) * step / steps)
                y = round(y1 + (y2 - y1) * step / steps)
                dots[x // 2, y // 4] = dots.get((x // 2, y // 4), 0) | DOT_BITS[x % 2][y % 4]
        return dots

    def _abscissa(self) -> Text:
        """The memory sizes below the line: the marked one and the ends for sure, the others where there is room."""
        row = [" "] * self.width
        sizes = [memory_mb for memory_mb, _ in self.points]
        spans: list[tuple[int, int, bool]] = []
        first = {self.marked_mb, sizes[0], sizes[-1]}
        for memory_mb in sorted(sizes, key=lambda size: (size != self.marked_mb, size not in first, size)):
            text = str(memory_mb)
            middle = self._cell(memory_mb, 0)[0]
            start = min(max(middle - len(text) // 2, 0), self.width - len(text))
            if any(char != " " for char in row[max(start - 1, 0) : start + len(text) + 1]):
                continue
            row[start : start + len(text)] = text
            spans.append((start, start + len(text), memory_mb == self.marked_mb))
        line = Text(" " * (self.margin + 1) + "".join(row) + " MB", style="dim")
        for start, end, marked in spans:
            if marked:
                line.stylize("bold green not dim", self.margin + 1 + start, self.margin + 1 + end)
        return line

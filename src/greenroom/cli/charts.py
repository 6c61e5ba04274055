"""Draws what a test found: cost and duration against memory, with intervals, the model's curve and the choice.

Both scales are logarithmic. `Plot` draws on a terminal, `svg` into a document of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

from pydantic import ValidationError
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.text import Text

from greenroom.wire.models import Chart, ChartPoint

MOST_COLUMNS, LEAST_COLUMNS = 96, 40
ROWS = 9
"""Of a panel on a terminal."""

ASCII = str.maketrans({"◆": "#", "●": "o", "│": "|", "┤": "|", "·": ".", "└": "+", "─": "-"})
"""For terminals that have no other characters."""

LEGEND = "◆ chosen  ● tried  x excluded  │ 95 % interval of the mean  · the model's curve"

Interval = tuple[float, float, float]
"""An estimate between the ends of its interval."""

Scale = Callable[[float], float]


@dataclass(frozen=True)
class Figure:
    """One of the figures that are drawn of every point, in a panel of its own."""

    title: str
    of: Callable[[ChartPoint], Interval]


FIGURES = (
    Figure(
        "cost, $ per million invocations",
        lambda p: (p.low_usd_per_million, p.cost_usd_per_million, p.high_usd_per_million),
    ),
    Figure("duration, ms", lambda p: (p.low_ms, p.duration_ms, p.high_ms)),
)


def drawable(document: Any) -> Chart | None:
    """Return the chart of a summary, or None where there is none that can be drawn."""
    try:
        chart = Chart.model_validate(document)
    except ValidationError:
        return None
    values = [value for p in _points(chart) for figure in FIGURES for value in (p.memory_mb, *figure.of(p))]
    return chart if all(math.isfinite(value) and value > 0 for value in values) else None


# ---- on a terminal --------------------------------------------------------------------------------------------------


class Plot:
    """A chart on a terminal, as wide as there is room for: a panel for cost, one for duration, and a legend."""

    def __init__(self, chart: Chart) -> None:
        self.chart = chart

    def __rich_measure__(self, _console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(LEAST_COLUMNS, min(options.max_width, MOST_COLUMNS))

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        width = max(LEAST_COLUMNS, min(options.max_width, MOST_COLUMNS))
        lines = [*_terminal_lines(self.chart, width), Text(LEGEND, style="dim")] if self.chart.tried else []
        for line in lines or [Text(self.chart.caption)]:
            line.no_wrap = True
            if options.ascii_only:
                line.plain = line.plain.translate(ASCII)
            yield line


class _Canvas:
    """Characters with their styles, at places that are counted from the upper left."""

    def __init__(self, width: int, height: int) -> None:
        self._cells = [[(" ", "")] * width for _ in range(height)]

    def put(self, column: float, row: float, text: str, style: str = "") -> None:
        for offset, char in enumerate(text):
            self._cells[round(row)][round(column) + offset] = (char, style)

    def lines(self) -> Iterator[Text]:
        for row in self._cells:
            line = Text.assemble(*row)
            line.rstrip()
            yield line


_LEFT = 10
"""The column of the axis: before it are the values at its ends."""


def _terminal_lines(chart: Chart, width: int) -> Iterator[Text]:
    across = _scale([p.memory_mb for p in _points(chart)], _LEFT + 1, width - 3)
    for figure in FIGURES:
        yield Text(figure.title, style="bold")
        yield from _terminal_panel(chart, figure, across, width)
    yield Text(" " * _LEFT + "└" + "─" * (width - _LEFT - 1))
    labels, free = _Canvas(width, 1), 0
    for p in chart.tried:
        label = str(p.memory_mb)
        start = min(round(across(p.memory_mb)) - len(label) // 2, width - len(label))
        if start >= free:
            labels.put(start, 0, label)
            free = start + len(label) + 1
    for line in labels.lines():
        yield line.append(" MB") if len(line) <= width - 3 else line


def _terminal_panel(chart: Chart, figure: Figure, across: Scale, width: int) -> Iterator[Text]:
    values = _values(chart, figure)
    down = _scale(values, ROWS - 1, 0)
    canvas = _Canvas(width, ROWS)
    for row in range(ROWS):
        canvas.put(_LEFT, row, "│", "dim")
    for row, value in ((0, max(values)), (ROWS - 1, min(values))):
        canvas.put(0, row, f"{_short(value):>{_LEFT - 1}} ┤", "dim")
    for p in chart.model:
        canvas.put(across(p.memory_mb), down(figure.of(p)[1]), "·", "magenta")
    for p in chart.tried:
        low, _, high = (round(down(value)) for value in figure.of(p))
        for row in range(high, low + 1):
            canvas.put(across(p.memory_mb), row, "│")
    for p in chart.tried:
        canvas.put(across(p.memory_mb), down(figure.of(p)[1]), *_mark(chart, p))
    return canvas.lines()


def _mark(chart: Chart, p: ChartPoint) -> tuple[str, str]:
    """Return the character that stands for a point, and its style."""
    if p.memory_mb == chart.chosen_memory_mb:
        return "◆", "bold green"
    return ("x", "yellow") if p.memory_mb in chart.excluded_memory_mb else ("●", "bold cyan")


# ---- as SVG ---------------------------------------------------------------------------------------------------------

WIDTH, HEIGHT = 760, 460
_MARGIN_LEFT, _MARGIN_RIGHT, _MARGIN_TOP, _MARGIN_BOTTOM = 70, 20, 26, 34
_GAP = 40
"""Between the two panels."""

_INSET = 12
"""Between the ends of a panel and its outermost points."""


def svg(chart: Chart) -> str:
    """Return the chart as an SVG document that takes the colour of the text around it, in light and in dark."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        'font-family="system-ui, sans-serif" font-size="12" fill="currentColor">',
        f"<title>{escape(chart.caption)}</title>",
    ]
    if points := _points(chart):
        across = _scale([p.memory_mb for p in points], _MARGIN_LEFT + _INSET, WIDTH - _MARGIN_RIGHT - _INSET)
        height = (HEIGHT - _MARGIN_TOP - _GAP - _MARGIN_BOTTOM) / len(FIGURES)
        for number, figure in enumerate(FIGURES):
            upper = _MARGIN_TOP + number * (height + _GAP)
            parts.extend(_svg_panel(chart, figure, across, (upper, upper + height)))
        parts.extend(
            f'<text x="{across(p.memory_mb):.1f}" y="{HEIGHT - 12}" text-anchor="middle" fill-opacity=".7">'
            f"{p.memory_mb}</text>"
            for p in chart.tried
        )
    return "\n".join([*parts, "</svg>"])


def _svg_panel(chart: Chart, figure: Figure, across: Scale, ends: tuple[float, float]) -> Iterator[str]:
    values, (upper, lower) = _values(chart, figure), ends
    down = _scale(values, lower, upper)
    yield f'<text x="{_MARGIN_LEFT}" y="{upper - 9:.1f}" font-weight="600">{escape(figure.title)}</text>'
    yield (
        f'<path d="M{_MARGIN_LEFT} {upper:.1f}V{lower:.1f}H{WIDTH - _MARGIN_RIGHT}" fill="none" '
        'stroke="currentColor" stroke-opacity=".4"/>'
    )
    for value in (max(values), min(values)):
        yield (
            f'<text x="{_MARGIN_LEFT - 8}" y="{down(value) + 4:.1f}" text-anchor="end" fill-opacity=".7">'
            f"{_short(value)}</text>"
        )
    if chart.model:
        yield from _svg_curve([(across(p.memory_mb), figure.of(p)) for p in chart.model], down)
    for p in chart.tried:
        x, (low, middle, high) = across(p.memory_mb), map(down, figure.of(p))
        colour, size, state = _svg_mark(chart, p)
        tip = f"{p.memory_mb} MB{state}: {_short(figure.of(p)[1])} ({figure.title})"
        yield f'<line x1="{x:.1f}" y1="{low:.1f}" x2="{x:.1f}" y2="{high:.1f}" stroke="{colour}" stroke-width="2"/>'
        yield f'<circle cx="{x:.1f}" cy="{middle:.1f}" r="{size}" fill="{colour}"><title>{escape(tip)}</title></circle>'


def _svg_curve(places: Sequence[tuple[float, Interval]], down: Scale) -> Iterator[str]:
    """Yield the model's curve and its band."""
    band = [(x, down(low)) for x, (low, _, _) in places] + [(x, down(high)) for x, (_, _, high) in places[::-1]]
    yield f'<polygon points="{_svg_path(band)}" fill-opacity=".08"/>'
    yield (
        f'<polyline points="{_svg_path((x, down(middle)) for x, (_, middle, _) in places)}" fill="none" '
        'stroke="currentColor" stroke-opacity=".5" stroke-dasharray="3 3"/>'
    )


def _svg_path(places: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)


def _svg_mark(chart: Chart, p: ChartPoint) -> tuple[str, int, str]:
    """Return the colour and the radius of a point, and what its tip says of it."""
    if p.memory_mb == chart.chosen_memory_mb:
        return "#2f9e44", 6, ", chosen"
    return ("#e03131", 4, ", excluded") if p.memory_mb in chart.excluded_memory_mb else ("#1c7ed6", 4, "")


# ---- both -----------------------------------------------------------------------------------------------------------


def _points(chart: Chart) -> list[ChartPoint]:
    return [*chart.tried, *chart.model]


def _values(chart: Chart, figure: Figure) -> list[float]:
    return [value for p in _points(chart) for value in figure.of(p)]


def _scale(values: Sequence[float], start: float, end: float) -> Scale:
    """Return a logarithmic scale that takes the least of the values to `start` and the largest to `end`."""
    low, high = math.log(min(values)), math.log(max(values))
    if high - low < 1e-9:
        return lambda _: (start + end) / 2
    return lambda value: start + (end - start) * (math.log(value) - low) / (high - low)


def _short(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"

"""Draws what a test found: cost and duration against memory, with intervals, the model's curve and the choice.

Pure: it gives back text (for a terminal), SVG, or plain data for the page, and writes nothing. Not for deciding: it
shows a Decision and the measurements it was made from.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from xml.sax.saxutils import escape

from greenroom.tuning.adaptive import weigh
from greenroom.tuning.decision import Decision
from greenroom.tuning.measurements import Measurement
from greenroom.tuning.spec import LADDER_MB, TestSpec
from greenroom.tuning.statistics import Mean
from greenroom.tuning.strategies import UNBOUND, Strategy

_LEAST_FOR_A_CURVE = 2

Interval = tuple[float, float, float]
"""An estimate between the ends of its interval."""


@dataclass(frozen=True, slots=True)
class Point:
    """A power value or a place on the model's curve: estimates with the ends of their intervals."""

    memory_mb: int
    duration_ms: float
    low_ms: float
    high_ms: float
    cost_usd_per_million: float
    low_usd: float
    high_usd: float

    def to_dict(self) -> dict[str, float]:
        return {
            "memoryMb": self.memory_mb,
            "durationMs": round(self.duration_ms, 3),
            "lowMs": round(self.low_ms, 3),
            "highMs": round(self.high_ms, 3),
            "costUsdPerMillion": round(self.cost_usd_per_million, 6),
            "lowUsdPerMillion": round(self.low_usd, 6),
            "highUsdPerMillion": round(self.high_usd, 6),
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Point:
        """Reads the JSON form back. Raises KeyError, TypeError or ValueError."""
        keys = ("durationMs", "lowMs", "highMs", "costUsdPerMillion", "lowUsdPerMillion", "highUsdPerMillion")
        values = [float(document[key]) for key in keys]
        memory_mb = int(document["memoryMb"])
        if memory_mb <= 0 or not all(math.isfinite(value) and value > 0 for value in values):
            raise ValueError(f"no point of a chart: {str(document)[:200]}")
        return cls(memory_mb, *values)


@dataclass(frozen=True, slots=True)
class Chart:
    """What is drawn. `tried` are the measured power values, `model` the curve through them with its 90 % band."""

    tried: tuple[Point, ...]
    model: tuple[Point, ...]
    excluded_mb: tuple[int, ...]
    chosen_mb: int | None
    caption: str

    def to_dict(self) -> dict[str, Any]:
        """The JSON form (camelCase), as the page draws it."""
        return {
            "tried": [point.to_dict() for point in self.tried],
            "model": [point.to_dict() for point in self.model],
            "excludedMemoryMb": list(self.excluded_mb),
            "chosenMemoryMb": self.chosen_mb,
            "caption": self.caption,
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Chart:
        """Reads the JSON form back. Raises ValueError for what is no chart."""
        try:
            chosen = document["chosenMemoryMb"]
            return cls(
                tried=tuple(Point.from_dict(point) for point in document["tried"]),
                model=tuple(Point.from_dict(point) for point in document["model"]),
                excluded_mb=tuple(int(size) for size in document["excludedMemoryMb"]),
                chosen_mb=None if chosen is None else int(chosen),
                caption=str(document["caption"]),
            )
        except (KeyError, TypeError, ValueError) as wrong:
            raise ValueError(f"not a chart: {wrong!r}") from None


def chart(decision: Decision, measurements: Sequence[Measurement]) -> Chart:
    """Return what a decision and its measurements look like."""
    spec = decision.spec
    tried = []
    for result in decision.power_values:
        duration, billed = result.statistics.duration, result.statistics.billed
        if duration is not None and billed is not None and duration.value > 0:
            tried.append(_point(spec, result.memory_mb, _interval(duration), _interval(billed)))
    return Chart(
        tried=tuple(tried),
        model=tuple(_curve(spec, [p.memory_mb for p in tried], measurements)),
        excluded_mb=tuple(r.memory_mb for r in decision.power_values if r.status != "ok"),
        chosen_mb=decision.chosen_memory_mb,
        caption=decision.sentence,
    )


def _curve(spec: TestSpec, tried_mb: Sequence[int], measurements: Sequence[Measurement]) -> list[Point]:
    """Return the model's curve between the smallest and the largest size tried."""
    if len(tried_mb) < _LEAST_FOR_A_CURVE:
        return []
    sizes = {*tried_mb, *(size for size in LADDER_MB if tried_mb[0] <= size <= tried_mb[-1])}
    drawn = replace(spec, power_values=tuple(sorted(sizes)), constraints=UNBOUND, seed=0)
    # Lambda bills whole milliseconds, so the cost has a curve of its own: under `cost` it is what is billed.
    strategies: tuple[Strategy, Strategy] = ("duration", "cost")
    duration_of, billed_of = (weigh(replace(drawn, strategy=strategy), measurements) for strategy in strategies)
    if duration_of is None or billed_of is None:
        return []
    bands = zip(duration_of.sizes_mb, duration_of.posterior.band(), billed_of.posterior.band(), strict=True)
    return [_point(spec, size, durations, billed) for size, durations, billed in bands]


def _point(spec: TestSpec, memory_mb: int, durations_ms: Interval, billed_ms: Interval) -> Point:
    low, middle, high = (spec.prices.cost_usd_per_million(memory_mb, max(1.0, ms)) for ms in billed_ms)
    low_ms, middle_ms, high_ms = durations_ms
    return Point(memory_mb, middle_ms, low_ms, high_ms, middle, low, high)


def _interval(mean: Mean) -> Interval:
    low, high = mean.interval
    return low, mean.value, high


_PANELS: tuple[tuple[str, Callable[[Point], Interval]], ...] = (
    ("cost, $ per million invocations", lambda p: (p.low_usd, p.cost_usd_per_million, p.high_usd)),
    ("duration, ms", lambda p: (p.low_ms, p.duration_ms, p.high_ms)),
)


def terminal_plot(drawn: Chart, width: int = 72, height: int = 9) -> str:
    """The chart as lines of text, none longer than `width` (at least 40): a panel for cost and one for duration.

    ◆ the choice, ● another power value, x one that is excluded, │ its interval, · the model's curve.
    """
    if not drawn.tried:
        return drawn.caption
    width, height = max(40, width), max(4, height)
    left = 10
    across = _scale([p.memory_mb for p in (*drawn.tried, *drawn.model)], left + 1, width - 3)
    lines: list[str] = []
    for title, values in _PANELS:
        points = (*drawn.tried, *drawn.model)
        down = _scale([value for p in points for value in values(p)], height - 1, 0)
        canvas = [[" "] * width for _ in range(height)]
        for p in drawn.model:
            canvas[round(down(values(p)[1]))][round(across(p.memory_mb))] = "·"
        for p in drawn.tried:
            column = round(across(p.memory_mb))
            low, _, high = (round(down(value)) for value in values(p))
            for row in range(high, low + 1):
                canvas[row][column] = "│"
        for p in drawn.tried:
            mark = "◆" if p.memory_mb == drawn.chosen_mb else "x" if p.memory_mb in drawn.excluded_mb else "●"
            canvas[round(down(values(p)[1]))][round(across(p.memory_mb))] = mark
        every = [value for p in points for value in values(p)]
        for edge, value in ((0, max(every)), (height - 1, min(every))):
            canvas[edge][: left - 1] = list(f"{_short(value):>{left - 1}}")
        for line in canvas:
            line[left] = "┤" if line[left - 2] != " " else "│"
        lines.append(title)
        lines.extend("".join(line).rstrip() for line in canvas)
    axis = [" "] * width
    free = 0
    for p in drawn.tried:
        label = str(p.memory_mb)
        start = min(round(across(p.memory_mb)) - len(label) // 2, width - len(label))
        if start >= free:
            axis[start : start + len(label)] = list(label)
            free = start + len(label) + 1
    lines.append(" " * left + "└" + "─" * (width - left - 1))
    lines.append("".join(axis).rstrip() + " MB" if len("".join(axis).rstrip()) <= width - 3 else "".join(axis))
    return "\n".join(lines)


def svg_plot(drawn: Chart, width: int = 760, height: int = 460) -> str:
    """The chart as an SVG document that takes the colour of the text around it, in light and in dark."""
    left, right, top, gap, bottom = 70, 20, 26, 40, 34
    panel = (height - top - gap - bottom) / 2
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        'font-family="system-ui, sans-serif" font-size="12" fill="currentColor">',
        f"<title>{escape(drawn.caption)}</title>",
    ]
    points = (*drawn.tried, *drawn.model)
    if points:
        across = _scale([p.memory_mb for p in points], left + 12, width - right - 12)
        for number, (title, values) in enumerate(_PANELS):
            upper = top + number * (panel + gap)
            every = [value for p in points for value in values(p)]
            down = _scale(every, upper + panel, upper)
            parts.append(f'<text x="{left}" y="{upper - 9:.1f}" font-weight="600">{escape(title)}</text>')
            parts.append(
                f'<path d="M{left} {upper:.1f}V{upper + panel:.1f}H{width - right}" fill="none" stroke="currentColor" '
                'stroke-opacity=".4"/>'
            )
            parts.extend(
                f'<text x="{left - 8}" y="{down(value) + 4:.1f}" text-anchor="end" fill-opacity=".7">'
                f"{_short(value)}</text>"
                for value in (max(every), min(every))
            )
            parts.extend(_svg_model(drawn.model, across, down, values))
            for p in drawn.tried:
                parts.extend(_svg_point(p, drawn, across(p.memory_mb), down, values(p), title))
        parts.extend(
            f'<text x="{across(p.memory_mb):.1f}" y="{height - 12}" text-anchor="middle" fill-opacity=".7">'
            f"{p.memory_mb}</text>"
            for p in drawn.tried
        )
    parts.append("</svg>")
    return "\n".join(parts)


def _svg_model(
    model: Sequence[Point],
    across: Callable[[float], float],
    down: Callable[[float], float],
    values: Callable[[Point], Interval],
) -> list[str]:
    if not model:
        return []
    places = [(across(p.memory_mb), *(down(value) for value in values(p))) for p in model]
    middle = " ".join(f"{x:.1f},{y:.1f}" for x, _, y, _ in places)
    band = " ".join(
        [f"{x:.1f},{low:.1f}" for x, low, _, _ in places] + [f"{x:.1f},{high:.1f}" for x, _, _, high in places[::-1]]
    )
    return [
        f'<polygon points="{band}" fill-opacity=".08"/>',
        f'<polyline points="{middle}" fill="none" stroke="currentColor" stroke-opacity=".5" stroke-dasharray="3 3"/>',
    ]


def _svg_point(
    p: Point,
    drawn: Chart,
    x: float,
    down: Callable[[float], float],
    values: Interval,
    title: str,
) -> list[str]:
    low, middle, high = (down(value) for value in values)
    chosen, excluded = p.memory_mb == drawn.chosen_mb, p.memory_mb in drawn.excluded_mb
    colour = "#2f9e44" if chosen else "#e03131" if excluded else "#1c7ed6"
    tip = f"{p.memory_mb} MB{', chosen' if chosen else ', excluded' if excluded else ''}: {_short(values[1])} ({title})"
    return [
        f'<line x1="{x:.1f}" y1="{low:.1f}" x2="{x:.1f}" y2="{high:.1f}" stroke="{colour}" stroke-width="2"/>',
        f'<circle cx="{x:.1f}" cy="{middle:.1f}" r="{6 if chosen else 4}" fill="{colour}">'
        f"<title>{escape(tip)}</title></circle>",
    ]


def _scale(values: Sequence[float], start: float, end: float) -> Callable[[float], float]:
    """A logarithmic scale that takes the least of the values to `start` and the largest to `end`."""
    low, high = math.log(min(values)), math.log(max(values))
    if high - low < 1e-9:
        return lambda _: (start + end) / 2
    return lambda value: start + (end - start) * (math.log(value) - low) / (high - low)


def _short(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"

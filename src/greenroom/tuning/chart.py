"""What a test found, as the data of a chart: cost and duration against memory, with intervals, and the model's curve.

Not for drawing (the command line and the page do) and not for deciding: it shows a Decision and the measurements it was
made from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

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


@dataclass(frozen=True, slots=True)
class Chart:
    """What is drawn. `tried` are the measured power values, `model` the curve through them with its 90 % band."""

    tried: tuple[Point, ...]
    model: tuple[Point, ...]
    excluded_mb: tuple[int, ...]
    chosen_mb: int | None
    caption: str


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
    drawn = replace(spec, power_values=tuple(sorted(sizes)), constraints=UNBOUND)
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

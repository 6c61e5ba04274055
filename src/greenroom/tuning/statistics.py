"""Summarises the measurements of a power value: times, percentiles with confidence intervals, memory, errors.

Not for choosing between power values (choice.py) and not for a model across them (model.py).

Cold starts are kept apart from warm invocations: times and costs are those of the warm ones that passed, as long as
there is one; where every invocation was cold, they are those of the cold ones, and `warm` says so. Test cases differ in
duration by design, so means are taken within each case and averaged over the cases with equal weight: otherwise the
20 % trim would throw away the one large case of five. With one case this is the plain figure.

Percentiles carry a distribution-free confidence interval from order statistics: [X(l), X(u)] with
P(Bin(n, p) < l) <= a/2 and P(Bin(n, p) >= u) <= a/2 (Hahn and Meeker, Statistical Intervals, 1991, section 5.2).
Where n is too small for such ranks to exist (under 6 for the median, 36 for p90, 72 for p95, 368 for p99, at 95 %), the
percentile is not given.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from greenroom.tuning.limits import FULL_VCPU_MB
from greenroom.tuning.measurements import NOT_MEASURED, ErrorKind, Measurement, timed
from greenroom.tuning.prices import Prices

TRIM_SHARE = 0.2
"""The share cut off at each end for the trimmed mean, the default of AWS Lambda Power Tuning (discardTopBottom)."""
CONFIDENCE = 0.95
PERCENTILES = (0.50, 0.90, 0.95, 0.99)

_PRIOR_DEGREES = 4.0
_PRIOR_SPREAD = 0.10
"""With few invocations a sample's own variance says little, so it is drawn towards a typical one with the weight of
this many degrees of freedom. The typical spread is that of published curves: after the trim, a coefficient of
variation of 0.05 at the median and 0.10 at the ninth decile."""

_OUTLIER = 3.0
"""A value further from the middle of its cell than this many standard deviations is taken for a slow one."""

_WIDEST_SPREAD = 0.3
_POOLING_STEPS, _FITTING_STEPS = 6, 40

_LEAST_MS = 0.1
"""Lambda bills whole milliseconds, so nothing shorter differs."""

_CPU_PERIOD_MS = 20.0
"""The period in which Lambda gives a function its share of CPU time, as it was measured there (docs/engine.md)."""

_SCATTER_EXPONENT = 0.25
"""How much more durations scatter at a small share of a vCPU."""

_TWO_SIDED_95 = 1.96
"""The standard normal quantile at the ends of a two-sided interval with `CONFIDENCE`."""


@dataclass(frozen=True, slots=True)
class Percentile:
    """A percentile of the duration with its confidence interval, in milliseconds."""

    share: float
    ms: float
    low_ms: float
    high_ms: float


@dataclass(frozen=True, slots=True)
class Mean:
    """A trimmed mean and its relative standard error (the standard error divided by the mean)."""

    value: float
    relative_error: float

    @property
    def interval(self) -> tuple[float, float]:
        """The ends of the mean's interval at `CONFIDENCE`, which takes the mean as log-normal around its estimate."""
        wide = math.exp(_TWO_SIDED_95 * self.relative_error)
        return self.value / wide, self.value * wide


@dataclass(frozen=True, slots=True)
class Averaging:
    """How the times of several cases become one: the share cut off at each end within a case, and the weight of each
    case (1 where none is given)."""

    trim_share: float = TRIM_SHARE
    weights: Mapping[str, float] = field(default_factory=dict)

    def weight(self, case: str) -> float:
        """Return the weight of a case."""
        return self.weights.get(case, 1.0)


PLAIN = Averaging()


SetAside = Literal["failed", "disturbed", "cold start"]


@dataclass(frozen=True, slots=True)
class PowerValueStatistics:
    """What the invocations at one power value showed. Times in milliseconds, None where nothing supports a figure."""

    memory_mb: int
    n: int
    """Invocations that passed and whose times are in the figures."""
    warm: bool
    """Whether the figures are those of warm invocations."""
    cold_starts: int
    disturbed: int
    """Invocations whose times do not count, since the machine had something else to do."""
    errors: Mapping[ErrorKind, int]
    duration: Mean | None = None
    billed: Mean | None = None
    mean_ms: float | None = None
    min_ms: float | None = None
    max_ms: float | None = None
    percentiles: Mapping[float, Percentile] = field(default_factory=dict)
    init_ms: float | None = None
    cold_duration_ms: float | None = None
    cold_start_ms: float | None = None
    """The median of what a caller waits at a cold start, the init phase included."""
    cold_start_worst_ms: float | None = None
    set_aside: Mapping[SetAside, int] = field(default_factory=dict)
    """The other invocations that were made, by why they are not in the figures: with `n` they are all."""
    init_timeouts: int = 0
    """Cold starts whose init phase ran out of its time and began again within the invocation."""
    max_memory_used_mb: int | None = None
    cost_usd_per_million: float | None = None

    @property
    def headroom_mb(self) -> int | None:
        """Memory that no invocation used, in MB."""
        return None if self.max_memory_used_mb is None else self.memory_mb - self.max_memory_used_mb


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return the quantile of ascending values by linear interpolation between ranks (type 7 of Hyndman and Fan,
    1996)."""
    if not ordered:
        raise ValueError("a quantile needs at least one value")
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def quantile_ranks(n: int, share: float) -> tuple[int, int] | None:
    """Return the ranks (from 1) of the order statistics that enclose a quantile, or None if n is too small."""
    tail = (1 - CONFIDENCE) / 2
    if (1 - share) ** n > tail or share**n > tail:
        return None
    low = high = 0
    cumulative = 0.0
    for k in range(n + 1):
        # P(Bin(n, share) = k), by logarithms so that n of a thousand does not underflow.
        cumulative += math.exp(
            math.lgamma(n + 1)
            - math.lgamma(k + 1)
            - math.lgamma(n - k + 1)
            + k * math.log(share)
            + (n - k) * math.log1p(-share)
        )
        if cumulative <= tail:
            low = k + 1
        if cumulative >= 1 - tail:
            high = k + 1
            break
    return (max(low, 1), min(high, n))


def percentile_with_interval(ordered: Sequence[float], share: float) -> Percentile | None:
    """Return the quantile of ascending values with its interval, or None where n does not support one."""
    ranks = quantile_ranks(len(ordered), share)
    if ranks is None:
        return None
    return Percentile(share, quantile(ordered, share), ordered[ranks[0] - 1], ordered[ranks[1] - 1])


def trimmed(values: Iterable[float], share: float = TRIM_SHARE) -> list[float]:
    """Return the values in ascending order without the floor(share * n) lowest and as many highest."""
    ordered = sorted(values)
    cut = math.floor(len(ordered) * share)
    return ordered[cut : len(ordered) - cut]


def trimmed_mean(values: Iterable[float], share: float = TRIM_SHARE) -> float:
    """Return the mean of what `trimmed` leaves."""
    kept = trimmed(values, share)
    if not kept:
        raise ValueError("a trimmed mean needs at least one value")
    return math.fsum(kept) / len(kept)


def mean_over_cases(values_of_case: Mapping[str, Sequence[float]], averaging: Averaging = PLAIN) -> Mean:
    """Return the trimmed mean within each case, averaged over the cases, and its relative standard error.

    The error of a trimmed mean is that of Tukey and McLaughlin (1963): the winsorised variance over n times the squared
    share kept. It is pooled over the cases, as a share of each case's mean, and drawn towards a typical one (above).
    """
    means: list[float] = []
    spread, degrees = _PRIOR_DEGREES * _PRIOR_SPREAD**2, _PRIOR_DEGREES
    for case, values in values_of_case.items():
        mean = trimmed_mean(values, averaging.trim_share)
        means.append(averaging.weight(case) * mean)
        if mean > 0:
            spread += (len(values) - 1) * _effective_variance(values, averaging.trim_share) / mean**2
        degrees += len(values) - 1
    total = math.fsum(means)
    share_of_total = [mean / total if total else 1 / len(means) for mean in means]
    variance = math.fsum(
        share**2 * spread / degrees / len(values)
        for share, values in zip(share_of_total, values_of_case.values(), strict=True)
    )
    return Mean(total / math.fsum(map(averaging.weight, values_of_case)), math.sqrt(variance))


@dataclass(frozen=True, slots=True)
class Means:
    """Means of several power values that can be compared with each other, and the spread of a single invocation."""

    of_size: Mapping[int, Mean]
    variance: float

    def relative_error(self, memory_mb: int, invocations: int) -> float:
        """Return the relative standard error that the mean of so many more invocations at a size is expected to
        have."""
        return math.sqrt(self.variance / max(invocations, 1)) * _scatter(memory_mb)


def comparable_means(cells: Mapping[int, Mapping[str, Sequence[float]]], averaging: Averaging = PLAIN) -> Means:
    """Return the mean over the cases of each power value, made comparable where few invocations or cases were measured.

    `cells[memory_mb][case]` are the values measured, each with at least one, in milliseconds. Made for samples too
    small to trim: of each cell only the values within three standard deviations (of logarithms) of its lower median
    count, because what is far off is nearly always a slow one; but not what was only paused until its size's next share
    of CPU, which happens time and again. The spread is pooled over all cells and drawn towards a typical one; it
    is larger at small sizes, as published measurements show. A case that was not measured at a size is filled in
    from the other cases there and its ratio to them elsewhere (an additive fit of logarithms).
    """
    logs = {
        (size, case): sorted(math.log(max(value, _LEAST_MS)) for value in values)
        for size, of_case in cells.items()
        for case, values in of_case.items()
    }
    kept: dict[tuple[int, str], list[float]] = {}
    variance = _WIDEST_SPREAD**2
    for _ in range(_POOLING_STEPS):
        limit = _OUTLIER * math.sqrt(variance)
        squares, degrees = _PRIOR_DEGREES * _PRIOR_SPREAD**2, _PRIOR_DEGREES
        for (size, case), values in logs.items():
            middle, scatter = values[(len(values) - 1) // 2], _scatter(size)
            highest = max(middle + limit * scatter, math.log(math.exp(middle) + _longest_pause_ms(size)))
            near = [value for value in values if middle - limit * scatter <= value <= highest]
            kept[size, case] = near
            squares += _squares(near) / scatter**2
            degrees += len(near) - 1
        variance = squares / degrees
    # Student's t has a larger variance than the normal with the same estimate.
    uncertain = degrees / (degrees - 2)
    cases = sorted({case for _, case in logs})
    levels = _fill_in({key: math.fsum(values) / len(values) for key, values in kept.items()}, list(cells), cases)
    result = {}
    for size in cells:
        own = _PRIOR_DEGREES * variance * _scatter(size) ** 2
        own_degrees = _PRIOR_DEGREES
        for case in cells[size]:
            own += _squares(kept[size, case])
            own_degrees += len(kept[size, case]) - 1
        one = own / own_degrees * uncertain
        values_ms = [
            averaging.weight(case)
            * (
                math.fsum(map(math.exp, kept[size, case])) / len(kept[size, case])
                if (size, case) in kept
                else math.exp(levels[size, case])
            )
            for case in cases
        ]
        total = math.fsum(values_ms)
        error = math.fsum(
            (value / total) ** 2 * one / len(kept.get((size, case), (None,)))
            for case, value in zip(cases, values_ms, strict=True)
        )
        result[size] = Mean(total / math.fsum(map(averaging.weight, cases)), math.sqrt(error))
    return Means(result, variance * uncertain)


def _fill_in(
    levels: dict[tuple[int, str], float], sizes: Sequence[int], cases: Sequence[str]
) -> dict[tuple[int, str], float]:
    """Add the missing cells of a table of logarithms, as the sum of an effect of its row and one of its column."""
    if len(levels) == len(sizes) * len(cases):
        return levels
    of_case = dict.fromkeys(cases, 0.0)
    of_size = dict.fromkeys(sizes, 0.0)
    for _ in range(_FITTING_STEPS):
        for size in sizes:
            there = [level - of_case[case] for (at, case), level in levels.items() if at == size]
            of_size[size] = math.fsum(there) / len(there)
        for case in cases:
            there = [level - of_size[size] for (size, of), level in levels.items() if of == case]
            of_case[case] = math.fsum(there) / len(there)
    return {(size, case): levels.get((size, case), of_size[size] + of_case[case]) for size in sizes for case in cases}


def _squares(values: Sequence[float]) -> float:
    mean = math.fsum(values) / len(values)
    return math.fsum((value - mean) ** 2 for value in values)


def _scatter(memory_mb: int) -> float:
    return float((FULL_VCPU_MB / min(memory_mb, FULL_VCPU_MB)) ** _SCATTER_EXPONENT)


def _longest_pause_ms(memory_mb: int) -> float:
    """Return how long a size's CPU share lets a function stand still at a time."""
    return _CPU_PERIOD_MS * max(0.0, 1 - memory_mb / FULL_VCPU_MB)


def _effective_variance(values: Sequence[float], trim_share: float) -> float:
    """Return n times the squared standard error of the trimmed mean."""
    ordered, n = sorted(values), len(values)
    if n < 2:
        return 0.0
    cut = math.floor(n * trim_share)
    winsorised = [min(max(value, ordered[cut]), ordered[n - cut - 1]) for value in ordered]
    mean = math.fsum(winsorised) / n
    return math.fsum((value - mean) ** 2 for value in winsorised) / (n - 1) / (1 - 2 * cut / n) ** 2


def _set_aside(made: Sequence[Measurement], counted: Sequence[Measurement]) -> dict[SetAside, int]:
    """Return how many invocations do not count for each reason: of several reasons the first in this order."""
    left = len(made) - len(counted)
    failed = sum(m.error is not None for m in made)
    disturbed = sum(m.error is None and m.disturbed_ms is not None for m in made)
    found: dict[SetAside, int] = {
        "failed": failed, "disturbed": disturbed, "cold start": left - failed - disturbed,
    }  # fmt: skip
    return {why: count for why, count in found.items() if count}


def summarize(
    memory_mb: int, measurements: Iterable[Measurement], prices: Prices, averaging: Averaging = PLAIN
) -> PowerValueStatistics:
    """Return the statistics of one power value, from the measurements made at it (others are left out)."""
    at_value = [m for m in measurements if m.memory_mb == memory_mb]
    errors: Counter[ErrorKind] = Counter(m.error for m in at_value if m.error is not None)
    cold = [m for m in at_value if m.error is None and m.cold_start]
    # What is billed of a cold start is the init phase and the invocation: what a caller waits for.
    waits = sorted(m.billed_duration_ms for m in cold if m.disturbed_ms is None)
    counted = timed(at_value)
    inits = [m.init_duration_ms for m in at_value if m.init_duration_ms is not None]
    used = [m.max_memory_used_mb for m in at_value if m.max_memory_used_mb is not None and m.error not in NOT_MEASURED]
    general = PowerValueStatistics(
        memory_mb=memory_mb,
        n=len(counted),
        warm=bool(counted) and not counted[0].cold_start,
        cold_starts=sum(m.cold_start for m in at_value),
        disturbed=sum(m.disturbed_ms is not None for m in at_value),
        errors=errors,
        init_ms=math.fsum(inits) / len(inits) if inits else None,
        cold_duration_ms=math.fsum(m.duration_ms for m in cold) / len(cold) if cold else None,
        set_aside=_set_aside(at_value, counted),
        cold_start_ms=quantile(waits, 0.5) if waits else None,
        cold_start_worst_ms=waits[-1] if waits else None,
        init_timeouts=sum(m.init_timed_out for m in cold),
        max_memory_used_mb=max(used) if used else None,
    )
    if not counted:
        return general
    durations: dict[str, list[float]] = {}
    billed: dict[str, list[float]] = {}
    for m in counted:
        durations.setdefault(m.case, []).append(m.duration_ms)
        billed.setdefault(m.case, []).append(m.billed_duration_ms)
    ordered = sorted(m.duration_ms for m in counted)
    billed_mean = mean_over_cases(billed, averaging)
    percentiles = {share: percentile_with_interval(ordered, share) for share in PERCENTILES}
    return replace(
        general,
        duration=mean_over_cases(durations, averaging),
        billed=billed_mean,
        mean_ms=mean_over_cases(durations, replace(averaging, trim_share=0.0)).value,
        min_ms=ordered[0],
        max_ms=ordered[-1],
        percentiles={share: found for share, found in percentiles.items() if found is not None},
        cost_usd_per_million=prices.cost_usd_per_million(memory_mb, billed_mean.value),
    )

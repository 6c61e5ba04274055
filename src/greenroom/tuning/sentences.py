"""The words for what a test showed: why a power value or a release failed, and why a size was chosen.

Not for deciding any of it (decision.py, choice.py). Texts of an algorithm's own are cut to `TEXT_LIMIT` characters.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from greenroom.tuning.choice import Choice
from greenroom.tuning.limits import MAX_INIT_S
from greenroom.tuning.measurements import Measurement
from greenroom.tuning.results import PowerValueResult
from greenroom.tuning.statistics import Mean, PowerValueStatistics
from greenroom.tuning.strategies import Strategy

TEXT_LIMIT = 4096

_SUPERLATIVE: dict[Strategy, str] = {
    "cost": "the cheapest", "duration": "the fastest", "balanced": "the best balance",
}  # fmt: skip
_TIE_BREAK: dict[Strategy, str] = {"cost": "the fastest", "duration": "the cheapest", "balanced": "the fastest"}
_FIGURE: dict[Strategy, str] = {"cost": "cost", "duration": "duration", "balanced": "balance"}

_OPEN = 0.5
"""A choice that is more probably wrong than right is not told with a probability: it reads like a contradiction."""

_LEAST_DIFFERENCE = 0.001
_TWO_SIDED_95 = 1.96
"""The standard normal quantile at the ends of a two-sided interval of 95 %."""


def fault(measurement: Measurement) -> str:
    """Return why a release fails: in which case, at which size, and the difference or the exception."""
    where = f"case {measurement.case!r} at {measurement.memory_mb} MB"
    if measurement.error == "wrong_answer":
        detail = measurement.difference or measurement.error_message or ""
        return f"{where} gave a wrong answer{': ' + detail if detail else ''}"[:TEXT_LIMIT]
    differs = f" (not as on Lambda: {measurement.differs})" if measurement.differs else ""
    return f"{where} raised {measurement.error_message or 'an exception'}{differs}"[:TEXT_LIMIT]


def too_small(measurement: Measurement) -> str:
    """Return why a power value that ran out of time or memory is excluded."""
    if measurement.error == "timeout":
        return f"ran out of time in case {measurement.case!r}, after {measurement.duration_ms / 1000:.1f} s"
    used = f", having used {measurement.max_memory_used_mb} MB" if measurement.max_memory_used_mb else ""
    return f"ran out of memory in case {measurement.case!r}{used}"


def not_measured(measured: Sequence[Measurement]) -> str:
    """Return why a power value is excluded at which no invocation said anything about the algorithm."""
    if not measured:
        return "was not measured"
    lost, count = measured[0], len(measured)
    how = "throttled" if lost.error == "throttled" else "lost by the platform"
    message = f": {lost.error_message[:200]}" if lost.error_message else ""
    return f"was not measured ({count} invocation{'s' if count > 1 else ''} {how}{message})"


def cases_missing(missing: Sequence[str], cases: int) -> str:
    """Return why a power value is excluded that has not passed every case."""
    return f"was not measured with {len(missing)} of {cases} cases, the first being {missing[0]!r}"


def disturbed(measured: Sequence[Measurement]) -> str:
    """Return why a power value is excluded of which a case was never measured undisturbed."""
    return f"could not be measured cleanly: {_how_many_disturbed(measured)}"


def too_busy(measured: Sequence[Measurement]) -> str:
    """Return why a release fails that could not be measured for what else ran on the machine."""
    return f"the machine was too busy: {_how_many_disturbed(measured)}"


def _how_many_disturbed(measured: Sequence[Measurement]) -> str:
    count = sum(m.disturbed_ms is not None for m in measured)
    return f"{count} of {len(measured)} invocations were disturbed"


def nothing_usable(results: Sequence[PowerValueResult]) -> str:
    """Return why a release fails of which no power value may be chosen."""
    reasons = "; ".join(f"{r.memory_mb} MB: {r.reason}" for r in results) or "nothing was measured"
    return f"no power value can go live ({reasons})"[:TEXT_LIMIT]


def not_promoted(reason: str) -> str:
    """Return the sentence on a release that failed."""
    return f"Not promoted: {reason}"


def chosen(choice: Choice, results: Sequence[PowerValueResult], strategy: Strategy, tolerance: float) -> str:
    """Return the sentence on a choice: its figures, what it was chosen before, and how sure that is.

    A difference that lies within the noise of its measurements is not given as a number.
    """
    of_value = {r.memory_mb: r for r in results}
    taken = of_value[choice.chosen.memory_mb]
    cost, duration = _significant(taken.cost_usd_per_million), _significant(taken.duration_ms)
    figures = f"${cost} per million invocations, {duration} ms each (trimmed mean)"
    excluded = [r for r in results if r.status == "excluded"]
    without = f" ({', '.join(f'{r.memory_mb} MB' for r in excluded)} excluded)" if excluded else ""
    if choice.runner_up is None:
        return f"{taken.memory_mb} MB is the only power value that can go live{without}: {figures}."
    if choice.verdict == "tie":
        every = _listed(sorted({*choice.tied_mb, taken.memory_mb}))
        return (
            f"A tie in {_FIGURE[strategy]}, within {tolerance * 100:g} %, of {every}{without}: {taken.memory_mb} MB "
            f"was taken because it is {_TIE_BREAK[strategy]} of them. {taken.memory_mb} MB: {figures}."
        )
    other = of_value[choice.runner_up.memory_mb]
    return (
        f"{taken.memory_mb} MB is {_SUPERLATIVE[strategy]}{without}: {figures}. "
        f"The runner-up, {other.memory_mb} MB, {_compared(other, taken)}. {_how_sure(choice, tolerance)}"
    )


def _how_sure(choice: Choice, tolerance: float) -> str:
    wrong, by = choice.probability_wrong, f"by more than {tolerance * 100:g} %"
    if wrong > _OPEN:
        return f"That is close: another size may well be better {by}, and more invocations would tell."
    words = "under 1 %" if wrong < 0.01 else f"{wrong * 100:.0f} %"
    how = "clear" if choice.verdict == "clear" else "close"
    return f"That is {how}: the probability that another is better {by} is {words}."


def _compared(other: PowerValueResult, taken: PowerValueResult) -> str:
    """Return in which figures another size differs, with a number where that is more than noise."""
    dearer = _relation(other.cost_usd_per_million, taken.cost_usd_per_million)
    slower = _relation(other.duration_ms, taken.duration_ms)
    cost_noise = _noise(other.statistics.billed, taken.statistics.billed)
    duration_noise = _noise(other.statistics.duration, taken.statistics.duration)
    return (
        f"costs {_words(dearer, cost_noise, ('more', 'less', 'about as much'))} and is "
        f"{_words(slower, duration_noise, ('slower', 'faster', 'about as fast'))}"
    )


def _listed(sizes_mb: Sequence[int]) -> str:
    *first, last = (f"{size} MB" for size in sizes_mb)
    return f"{', '.join(first)} and {last}"


def slow_init(taken: PowerValueStatistics) -> str:
    """Return what has to be known of a choice whose init phase runs out of its time, or an empty text."""
    if not taken.init_timeouts:
        return ""
    waits = (
        "" if taken.cold_start_ms is None else f": a cold start takes {taken.cold_start_ms / 1000:.1f} s, all billed"
    )
    return (
        f" At a cold start its init phase takes over {MAX_INIT_S} s, so Lambda stops it and begins it again within the "
        f"invocation{waits}. Import less, or later."
    )


def unlike_lambda(results: Sequence[PowerValueResult]) -> str:
    """Return what has to be known of a choice that was made on another machine than Lambda's, or an empty text."""
    at: dict[str, list[str]] = {}
    for result in results:
        if result.differs:
            at.setdefault(result.differs, []).append(f"{result.memory_mb}")
    return "".join(f" Not as on Lambda at {', '.join(sizes)} MB: {differs}." for differs, sizes in at.items())


def _relation(value: float, reference: float) -> float:
    return value / reference - 1 if reference else 0.0


def _noise(one: Mean | None, other: Mean | None) -> float:
    """Return by which share two means may differ through chance, with 95 %; a thousandth at least, which is less than
    any measurement of a duration can tell."""
    if one is None or other is None:
        return _LEAST_DIFFERENCE
    return max(_LEAST_DIFFERENCE, math.expm1(_TWO_SIDED_95 * math.hypot(one.relative_error, other.relative_error)))


def _words(relation: float, noise: float, words: tuple[str, str, str]) -> str:
    more, less, same = words
    if -noise / (1 + noise) < relation < noise:
        return same
    return f"{_significant(abs(relation) * 100)} % {more if relation >= 0 else less}"


def _significant(value: float) -> str:
    """Return three significant digits, without an exponent for the sizes that occur."""
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:.{digits}f}"

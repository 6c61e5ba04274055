"""The words for what a test showed: why a power value or a release failed, and why a size was chosen.

Not for deciding any of it (decision.py, choice.py). Texts of an algorithm's own are cut to `TEXT_LIMIT` characters.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from greenroom.tuning.choice import Choice
from greenroom.tuning.measurements import Measurement
from greenroom.tuning.results import PowerValueResult
from greenroom.tuning.strategies import Strategy

TEXT_LIMIT = 4096

_SUPERLATIVE: dict[Strategy, str] = {
    "cost": "the cheapest", "duration": "the fastest", "balanced": "the best balance",
}  # fmt: skip
_BETTER_AT_A_TIE: dict[Strategy, str] = {"cost": "faster", "duration": "cheaper", "balanced": "faster"}
_FIGURE: dict[Strategy, str] = {"cost": "cost", "duration": "duration", "balanced": "balance"}


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


def nothing_usable(results: Sequence[PowerValueResult]) -> str:
    """Return why a release fails of which no power value may be chosen."""
    reasons = "; ".join(f"{r.memory_mb} MB: {r.reason}" for r in results) or "nothing was measured"
    return f"no power value can go live ({reasons})"[:TEXT_LIMIT]


def not_promoted(reason: str) -> str:
    """Return the sentence on a release that failed."""
    return f"Not promoted: {reason}"


def chosen(choice: Choice, results: Sequence[PowerValueResult], strategy: Strategy, tolerance: float) -> str:
    """Return the sentence on a choice: its figures, the runner-up's, and the probability that another is better."""
    of_value = {r.memory_mb: r for r in results}
    taken = of_value[choice.chosen.memory_mb]
    cost, duration = _significant(taken.cost_usd_per_million), _significant(taken.duration_ms)
    figures = f"${cost} per million invocations, {duration} ms each"
    excluded = [r for r in results if r.status == "excluded"]
    without = f" ({', '.join(f'{r.memory_mb} MB' for r in excluded)} excluded)" if excluded else ""
    if choice.runner_up is None:
        return f"{taken.memory_mb} MB is the only power value that can go live{without}: {figures}."
    other = of_value[choice.runner_up.memory_mb]
    dearer = _relation(other.cost_usd_per_million, taken.cost_usd_per_million)
    slower = _relation(other.duration_ms, taken.duration_ms)
    comparison = (
        f"costs {_words(dearer, 'more', 'less', 'as much')} and is {_words(slower, 'slower', 'faster', 'as fast')}"
    )
    if choice.chosen is choice.best:
        why = (
            f"{taken.memory_mb} MB is {_SUPERLATIVE[strategy]}{without}: {figures}; "
            f"the runner-up, {other.memory_mb} MB, {comparison}"
        )
    else:
        why = (
            f"{taken.memory_mb} MB is as good as {_SUPERLATIVE[strategy]} and {_BETTER_AT_A_TIE[strategy]}{without}: "
            f"{figures}; {other.memory_mb} MB {comparison}, and the data can't tell their difference in "
            f"{_FIGURE[strategy]} from none"
        )
    wrong = "under 1 %" if choice.probability_wrong < 0.01 else f"{choice.probability_wrong * 100:.0f} %"
    return f"{why}; the probability that another is better by more than {tolerance * 100:g} % is {wrong}."


def unlike_lambda(results: Sequence[PowerValueResult]) -> str:
    """Return what has to be known of a choice that was made on another machine than Lambda's, or an empty text."""
    at: dict[str, list[str]] = {}
    for result in results:
        if result.differs:
            at.setdefault(result.differs, []).append(f"{result.memory_mb}")
    return "".join(f" Not as on Lambda at {', '.join(sizes)} MB: {differs}." for differs, sizes in at.items())


def _relation(value: float, reference: float) -> float:
    return value / reference - 1 if reference else 0.0


def _words(relation: float, more: str, less: str, same: str) -> str:
    # A thousandth is less than any measurement of a duration can tell.
    if abs(relation) < 0.001:
        return same
    return f"{_significant(abs(relation) * 100)} % {more if relation >= 0 else less}"


def _significant(value: float) -> str:
    """Return three significant digits, without an exponent for the sizes that occur."""
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:.{digits}f}"

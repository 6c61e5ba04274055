"""Compares a release with the live one: faster or slower, cheaper or more expensive, and how sure that is.

Not for measuring: the live version's measurements are made by the same executor with the same cases, interleaved with
the release's, so that drift falls on both. Only cases that both sides passed warm and undisturbed are compared.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from greenroom.tuning.measurements import Measurement, timed
from greenroom.tuning.prices import Prices
from greenroom.tuning.statistics import Mean, mean_over_cases

_Z = 1.645
"""One-sided 95 %: the ends of a two-sided 90 % interval."""


@dataclass(frozen=True, slots=True)
class Change:
    """The release's figure as a multiple of the live one's, with the ends of its interval (90 %)."""

    ratio: float
    low: float
    high: float

    def words(self, more: str, less: str) -> str:
        """Return the change in words: "12 % slower (8 to 16 %)", or that no difference can be measured."""
        if self.low <= 1 <= self.high:
            return f"not measurably {more} or {less} ({_percent(self.low)} to {_percent(self.high)})"
        ends = sorted((abs(self.low - 1), abs(self.high - 1)))
        word = more if self.ratio > 1 else less
        return f"{abs(self.ratio - 1) * 100:.1f} % {word} ({ends[0] * 100:.1f} to {ends[1] * 100:.1f} %)"


@dataclass(frozen=True, slots=True)
class Comparison:
    """A release compared with the live one. `regression` says in which figure it is worse by more than allowed, if it
    is."""

    duration: Change
    cost: Change
    cases: tuple[str, ...]
    sentence: str
    regression: str | None


def compare(
    release: Iterable[Measurement],
    live: Iterable[Measurement],
    prices: Prices,
    *,
    max_regression: float | None = None,
) -> Comparison | None:
    """Compare the release at the power value chosen for it with the live version at its own; None without a common
    case.

    Each side's measurements are those of one power value. With `max_regression` (0.1 is ten per cent) a release is a
    regression when it is slower or more expensive by more than that with 95 % confidence.
    """
    sides = [timed(m for m in side if not m.cold_start) for side in (release, live)]
    cases = sorted({m.case for m in sides[0]} & {m.case for m in sides[1]})
    if not cases:
        return None
    durations = [mean_over_cases({c: [m.duration_ms for m in side if m.case == c] for c in cases}) for side in sides]
    billed = [
        mean_over_cases({c: [m.billed_duration_ms for m in side if m.case == c] for c in cases}) for side in sides
    ]
    if not all(mean.value > 0 for mean in durations):
        return None
    costs = [
        Mean(prices.cost_usd(side[0].memory_mb, mean.value), mean.relative_error)
        for side, mean in zip(sides, billed, strict=True)
    ]
    duration, cost = _change(durations), _change(costs)
    worse = [
        f"{change.words(word, '')} than the live release, above the {max_regression * 100:g} % of maxRegression"
        for change, word in ((duration, "slower"), (cost, "more expensive"))
        if max_regression is not None and change.low > 1 + max_regression
    ]
    words = f"{duration.words('slower', 'faster')} and {cost.words('more expensive', 'cheaper')}"
    sentence = f"Compared with the live release it is {words}."
    return Comparison(duration, cost, tuple(cases), sentence, "; ".join(worse) or None)


def _change(sides: Sequence[Mean]) -> Change:
    ratio = sides[0].value / sides[1].value
    wide = math.exp(_Z * math.hypot(sides[0].relative_error, sides[1].relative_error))
    return Change(ratio, ratio / wide, ratio * wide)


def _percent(ratio: float) -> str:
    return f"{(ratio - 1) * 100:+.1f} %"

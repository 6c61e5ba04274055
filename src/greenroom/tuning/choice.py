"""Chooses a power value among those that may go live, and says how probable it is that another is better.

Not for judging which may (decision.py). The one with the best score is taken (strategies.py), unless another is tied
with it: its score is within the tolerance of the best and the data can't tell them apart (one-sided, at 95 %). Of ties
the faster wins under `cost` and the cheaper under `duration`.

The probability of being wrong is that some other candidate is better than the choice by more than the tolerance. After
a fixed search it takes the scores as independent and log-normal around their estimates, with the standard errors of
statistics.py; after an adaptive one it is counted over the model's draws.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Literal

from greenroom.tuning.adaptive import Evidence
from greenroom.tuning.results import PowerValueResult
from greenroom.tuning.spec import DEFAULT_TOLERANCE, TestSpec
from greenroom.tuning.strategies import Objective

_TOLD_APART = 0.95

_TIE_RISK = 0.25
"""After few invocations nearly everything looks tied: a tie must then also be unlikely to cost more than is
tolerated."""

_CALIBRATION = (-0.1, 0.85)
_CALIBRATION_FIXED = (0.35, 0.6)
"""What the log-odds of being right are shifted by and multiplied with: after an adaptive search, and after a fixed
one. They are fitted to published and synthetic curves, and hold when any family is left out (docs/tuning.md)."""

_LEAST_WRONG = 1e-4

Verdict = Literal["clear", "close", "tie", "only"]

_CLEAR = 0.05
"""A choice that is wrong with a probability below this is a clear one."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A power value that may be chosen. `error` is the relative standard error of `score`; the lowest score is best."""

    memory_mb: int
    score: float
    error: float
    tie_score: float


@dataclass(frozen=True, slots=True)
class Choice:
    """The candidate taken, those it tied with, and the probability that another is better by more than tolerated."""

    chosen: Candidate
    best: Candidate
    runner_up: Candidate | None
    tied_mb: tuple[int, ...]
    probability_wrong: float
    expected_loss: float | None = None

    @property
    def verdict(self) -> Verdict:
        """The choice in a word. `only` is one without an alternative."""
        if self.runner_up is None:
            return "only"
        if self.tied_mb:
            return "tie"
        return "clear" if self.probability_wrong < _CLEAR else "close"


def candidates(results: Sequence[PowerValueResult], objective: Objective) -> list[Candidate]:
    """Return power values that may be chosen with what is measured of them."""
    costs = [r.cost_usd_per_million for r in results]
    durations = [r.duration_ms for r in results]
    ties = costs if objective.strategy == "duration" else durations
    return [
        Candidate(r.memory_mb, score, r.statistics.duration.relative_error if r.statistics.duration else 0.0, tie)
        for r, score, tie in zip(results, objective.scores(costs, durations), ties, strict=True)
    ]


def choose(candidates: Sequence[Candidate], tolerance: float = DEFAULT_TOLERANCE) -> Choice:
    """Return the candidate to take: the lowest score, or of those tied with it the one with the lowest `tie_score`.

    Raises ValueError without candidates.
    """
    if not candidates:
        raise ValueError("there is no candidate to choose from")
    best = min(candidates, key=lambda c: (c.score, c.tie_score, c.memory_mb))
    tied = [c for c in candidates if c is best or _is_tied(c, best, tolerance)]
    chosen = min(tied, key=lambda c: (c.tie_score, c.score, c.memory_mb))
    others = [c for c in candidates if c is not chosen]
    return Choice(
        chosen=chosen,
        best=best,
        runner_up=min(others, key=lambda c: (c.score, c.memory_mb), default=None),
        tied_mb=tuple(sorted(c.memory_mb for c in tied if c is not chosen)),
        probability_wrong=_calibrated_fixed(probability_wrong(chosen, others, tolerance)) if others else 0.0,
    )


def choose_by_model(spec: TestSpec, evidence: Evidence, usable_mb: AbstractSet[int]) -> Choice:
    """Return the usable size with the least expected loss, or of those tied with it the one with the lowest
    `tie_score`.

    Loss and probability are counted over the model's draws, and against all sizes, including those not measured.
    """
    losses = evidence.losses
    places = [place for place in losses.order if evidence.sizes_mb[place] in usable_mb]
    found = {place: _candidate_of(spec, evidence, place) for place in places}
    best = places[0]
    tied = [place for place in places if place == best or _is_tied_in_draws(losses.scores, place, best, spec.tolerance)]
    chosen = min(tied, key=lambda place: (found[place].tie_score, found[place].memory_mb))
    others = [place for place in places if place != chosen]
    wrong = sum(loss > spec.tolerance for loss in losses.columns[chosen])
    return Choice(
        chosen=found[chosen],
        best=found[best],
        runner_up=found[others[0]] if others else None,
        tied_mb=tuple(sorted(evidence.sizes_mb[place] for place in tied if place != chosen)),
        probability_wrong=_calibrated(wrong, len(evidence.posterior.draws_ms)),
        expected_loss=losses.expected[chosen],
    )


def probability_wrong(chosen: Candidate, others: Sequence[Candidate], tolerance: float) -> float:
    """Return the probability that one or more of the others have a true score below the chosen one's ÷ (1 + tolerance).

    By numerical integration over the chosen one's score, in units of its error, from -6 to 6.
    """
    if not others:
        return 0.0
    if chosen.score <= 0:
        return 0.0
    steps = 240
    right = weight = 0.0
    for step in range(steps + 1):
        z = -6 + 12 * step / steps
        density = math.exp(-z * z / 2)
        limit = math.log(chosen.score) + chosen.error * z - math.log1p(tolerance)
        weight += density
        right += density * math.prod(1 - _below(other, limit) for other in others)
    return min(1.0, max(0.0, 1 - right / weight))


def _candidate_of(spec: TestSpec, evidence: Evidence, place: int) -> Candidate:
    """Return what the model's draws say of a size."""
    memory_mb, draws = evidence.sizes_mb[place], evidence.posterior.draws_ms
    scores = evidence.losses.scores[place]
    logs = [math.log(score) for score in scores]
    middle = math.fsum(logs) / len(logs)
    mean_ms = math.fsum(row[place] for row in draws) / len(draws)
    return Candidate(
        memory_mb,
        math.fsum(scores) / len(scores),
        math.sqrt(math.fsum((value - middle) ** 2 for value in logs) / len(logs)),
        spec.prices.cost_usd(memory_mb, mean_ms) if spec.strategy == "duration" else mean_ms,
    )


def _calibrated(wrong: int, draws: int) -> float:
    """Return the probability of being wrong, given in how many of the draws the choice is.

    The model is a little too sure of itself, like any: its log-odds are drawn towards even.
    """
    return _drawn(math.log((draws - wrong + 0.5) / (wrong + 0.5)), _CALIBRATION)


def _calibrated_fixed(probability: float) -> float:
    """Return the same for a fixed search, whose probability of being wrong takes the sizes as independent."""
    wrong = min(max(probability, _LEAST_WRONG), 1 - _LEAST_WRONG)
    return _drawn(math.log((1 - wrong) / wrong), _CALIBRATION_FIXED)


def _drawn(log_odds: float, calibration: tuple[float, float]) -> float:
    return 1 / (1 + math.exp(calibration[0] + calibration[1] * log_odds))


def _is_tied_in_draws(scores: Sequence[Sequence[float]], place: int, best: int, tolerance: float) -> bool:
    ratios = [one / other for one, other in zip(scores[place], scores[best], strict=True)]
    dearer = sum(ratio > 1 for ratio in ratios) / len(ratios)
    worse = sum(ratio > 1 + tolerance for ratio in ratios) / len(ratios)
    return math.fsum(ratios) / len(ratios) <= 1 + tolerance and dearer < _TOLD_APART and worse < _TIE_RISK


def _below(candidate: Candidate, log_limit: float) -> float:
    distance = log_limit - (math.log(candidate.score) if candidate.score > 0 else -math.inf)
    if candidate.error <= 0:
        return 1.0 if distance > 0 else 0.0
    return 0.5 * math.erfc(-distance / candidate.error / math.sqrt(2))


def _is_tied(candidate: Candidate, best: Candidate, tolerance: float) -> bool:
    if candidate.score > best.score * (1 + tolerance):
        return False
    if candidate.score <= best.score:
        return True
    error = math.hypot(candidate.error, best.error)
    if error == 0 or best.score <= 0:
        return False
    return 0.5 * math.erfc(-math.log(candidate.score / best.score) / error / math.sqrt(2)) < _TOLD_APART

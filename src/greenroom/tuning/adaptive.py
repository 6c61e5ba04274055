"""The adaptive search: measures where it is worth its price, and stops when more would not change the choice by much.

Not for the model (model.py) and not for the decision on a release (decision.py). A step is a function of what was
measured so far. Draws of every size's score from the model give the loss of going live with a size: its score over that
of the best size, less one. The next batch goes to the size where it is expected to lower the loss of the best choice
most per dollar (the knowledge gradient of Frazier, Powell and Dayanik, 2009, estimated by weighing the draws by the
outcomes that a batch might have), and in a long list to a second one that is worth nearly as much. The search ends when
the expected loss of the present best is under a threshold, or a budget is spent.

What keeps it safe: a size that ran out of memory or time takes all smaller ones with it and is never asked again; the
best size and its rival are measured a few times more before the search ends after few invocations; and neither rounds
nor invocations can exceed a bound.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import mul

from greenroom.tuning.measurements import TOO_SMALL, Measurement, timed
from greenroom.tuning.model import Posterior, posterior
from greenroom.tuning.prices import Prices
from greenroom.tuning.spec import TestSpec
from greenroom.tuning.statistics import Means, comparable_means, summarize
from greenroom.tuning.strategies import Objective

MAX_ROUNDS = 20
_FIRST_MB = (128, 512)
_FIRST_INVOCATIONS = 3
_BATCH, _GROWTH = 2, 0.5
_CONFIRMED, _CONFIRM_BELOW = 4, 0.1

_LEAST_BEST = 3
"""A size that is the best in fewer draws than this is not worth a measurement."""

_WEIGHED, _RIVALS = 8, 12
"""Of long lists only so many sizes are weighed in a step, to keep it short."""

_LONG_LIST, _NEARLY = 12, 0.5
"""In a list longer than this two sizes are measured in a round, or there would not be rounds enough."""

_SHARE, _SHARE_OF_SIZES = 0.38, 1.2
_TRIFLE_GB_S, _TRIFLE_SHARE = 8.0, 0.6
"""The share of the cost of measuring everything that may be spent: more where few sizes are listed, and more where all
of it is less than the state machine's own steps cost (eight GB-seconds are the price of five state transitions)."""

_SURE = 0.95
"""A size that was not measured is left out where so many of the draws break a constraint."""

_QUANTILES = (-1.73, -1.15, -0.81, -0.55, -0.32, -0.1, 0.1, 0.32, 0.55, 0.81, 1.15, 1.73)
_PLACES = tuple((i * 7 % 12 + 0.5) / 12 for i in range(12))
"""One standard normal quantile and one place in the ordered draws for each outcome imagined: both are spread."""


@dataclass(frozen=True, slots=True)
class Losses:
    """`columns[i][k]`: by which share draw k's score at size i is above its best one; `expected` are their means."""

    columns: tuple[tuple[float, ...], ...]
    scores: tuple[tuple[float, ...], ...]
    expected: tuple[float, ...]

    @property
    def order(self) -> list[int]:
        """The places of the sizes by expected loss, the best first."""
        return sorted(range(len(self.expected)), key=self.expected.__getitem__)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the measurements say about every size still in question. Sizes are in MB, ascending."""

    sizes_mb: tuple[int, ...]
    warm: Mapping[int, int]
    means: Means
    posterior: Posterior
    losses: Losses


@dataclass(frozen=True, slots=True)
class Step:
    """How many more invocations each size should have; none, and the reason, when the search is over."""

    invocations: Mapping[int, int]
    reason: str
    expected_loss: float | None = None


def remaining_sizes(sizes_mb: Sequence[int], measurements: Sequence[Measurement]) -> tuple[int, ...]:
    """Return the sizes that can still be chosen: those above the largest that ran out of memory or time."""
    floor = max((m.memory_mb for m in measurements if m.error in TOO_SMALL), default=0)
    return tuple(size for size in sorted(set(sizes_mb)) if size > floor)


def weigh(spec: TestSpec, measurements: Sequence[Measurement]) -> Evidence | None:
    """Return what the measurements say, or None while none has passed at a size still in question.

    Under `cost` the model is one of the billed duration, otherwise of the duration itself. What was measured at sizes
    that break a constraint is known to the model, but they are no longer in question, nor are those that surely would.
    """
    sizes = remaining_sizes(spec.sizes_mb, measurements)
    passed = [m for m in measurements if m.error is None and m.memory_mb in sizes]
    # A size that has only been started cold so far would look slow next to the others.
    counted = timed([m for m in passed if not m.cold_start] or passed)
    if not counted:
        return None
    cells: dict[int, dict[str, list[float]]] = {}
    warm: dict[int, int] = {}
    for m in counted:
        value = m.billed_duration_ms if spec.strategy == "cost" else m.duration_ms
        cells.setdefault(m.memory_mb, {}).setdefault(m.case, []).append(value)
        warm[m.memory_mb] = warm.get(m.memory_mb, 0) + 1
    means = comparable_means(dict(sorted(cells.items())), spec.averaging)
    drawn = posterior(sizes, means.of_size, seed=spec.seed)
    if spec.constraints.any:
        drawn = _within(spec, drawn, counted)
        sizes = drawn.sizes_mb
    return Evidence(sizes, warm, means, drawn, losses(drawn, spec.objective, spec.prices))


def _within(spec: TestSpec, drawn: Posterior, counted: Sequence[Measurement]) -> Posterior:
    """Return the draws of those sizes only that meet the constraints as measured, or may well do so where they were not
    measured."""
    kept = []
    for place, size in enumerate(drawn.sizes_mb):
        at_size = [m for m in counted if m.memory_mb == size]
        if at_size:
            found = summarize(size, at_size, spec.prices, spec.averaging)
            broken = spec.constraints.violation(found, sorted(m.duration_ms for m in at_size)) is not None
        else:
            above = sum(
                spec.constraints.are_exceeded(row[place], spec.prices.cost_usd_per_million(size, row[place]))
                for row in drawn.draws_ms
            )
            broken = above > _SURE * len(drawn.draws_ms)
        if not broken:
            kept.append(place)
    return Posterior(
        tuple(drawn.sizes_mb[place] for place in kept),
        tuple(tuple(row[place] for place in kept) for row in drawn.draws_ms),
    )


def losses(drawn: Posterior, objective: Objective, prices: Prices) -> Losses:
    """Return the loss of each size in each draw."""
    rows = []
    for durations in drawn.draws_ms:
        costs = [
            prices.cost_usd(size, max(1.0, duration)) for size, duration in zip(drawn.sizes_mb, durations, strict=True)
        ]
        rows.append(objective.scores(costs, durations))
    if not drawn.sizes_mb:
        return Losses((), (), ())
    lowest = [min(row) for row in rows]
    scores = tuple(zip(*rows, strict=True))
    columns = tuple(tuple(score / low - 1 for score, low in zip(column, lowest, strict=True)) for column in scores)
    return Losses(columns, scores, tuple(math.fsum(column) / len(column) for column in columns))


def step(spec: TestSpec, evidence: Evidence, made: Sequence[Measurement], round_number: int) -> Step:
    """Return the next invocations, given those `made` so far and what they say."""
    order, warm = evidence.losses.order, evidence.warm
    best, expected = order[0], evidence.losses.expected[order[0]]
    left = _left(spec, evidence, made)
    share, fixed_usd, used_usd = _spending(spec, evidence)
    if left < len(spec.cases):
        return Step({}, "its budget is spent", expected)
    if round_number >= MAX_ROUNDS:
        return Step({}, f"{MAX_ROUNDS} rounds are made", expected)
    if used_usd > share * fixed_usd:
        if evidence.sizes_mb[best] in warm:
            return Step({}, f"{share * 100:.0f} % of the cost of measuring everything is spent", expected)
        wanted = {evidence.sizes_mb[best]: _FIRST_INVOCATIONS - 1}
    elif expected < spec.max_expected_loss:
        wanted = _unconfirmed(evidence, order)
        if not wanted:
            least = f"{spec.max_expected_loss * 100:g} %"
            return Step({}, f"the expected loss is {expected * 100:.2f} %, under {least}", expected)
    else:
        wanted = _most_worth(evidence, best)
    return Step(_counts(wanted, warm, len(spec.cases), left), "", expected)


def spent_usd(spec: TestSpec, made: Sequence[Measurement]) -> float:
    """Return what the invocations that counted cost, in US dollars."""
    return math.fsum(spec.prices.cost_usd(m.memory_mb, m.billed_duration_ms) for m in made if m.counts)


def _left(spec: TestSpec, evidence: Evidence, made: Sequence[Measurement]) -> int:
    """Return how many more invocations may be made: as many as the fixed search would make, and the budget pays for."""
    left = spec.invocations_per_size * len(spec.sizes_mb) - len(made)
    if spec.budget_usd is None:
        return left
    return min(left, _affordable(evidence, spec.prices, spec.budget_usd - spent_usd(spec, made)))


def _counts(wanted: Mapping[int, int], warm: Mapping[int, int], cases: int, left: int) -> dict[int, int]:
    """Return how many invocations each size gets: such that each case is seen, and `left` is not exceeded."""
    invocations: dict[int, int] = {}
    for size, more in wanted.items():
        # The first invocation at a size is cold, and each case has to be seen.
        count = math.ceil(more / cases) * cases if size in warm else max(more + 1, cases + (cases > 1))
        count = min(count, left)
        left -= count
        if count > 0:
            invocations[size] = count
    return invocations


def first_step(sizes_mb: Sequence[int], cases: int, left: int) -> Step:
    """Return the first invocations: at two sizes far enough apart to tell waiting from computing."""
    count = max(_FIRST_INVOCATIONS, cases + (cases > 1))
    nearest = {min(sizes_mb, key=lambda size: abs(math.log(size / wanted))) for wanted in _FIRST_MB}
    chosen = sorted(nearest)[: max(1, left // count)]
    return Step({size: min(count, left) for size in chosen}, "")


def _unconfirmed(evidence: Evidence, order: Sequence[int]) -> dict[int, int]:
    """Return what the best size and its rival lack of invocations before the search may end."""
    rivals = [place for place in order[:2] if place == order[0] or evidence.losses.expected[place] < _CONFIRM_BELOW]
    lacking = {
        evidence.sizes_mb[place]: _CONFIRMED - evidence.warm.get(evidence.sizes_mb[place], 0) for place in rivals
    }
    return {size: count for size, count in lacking.items() if count > 0}


def _most_worth(evidence: Evidence, best: int) -> dict[int, int]:
    """Return the size where invocations are worth most per dollar, or the two, with their number."""
    losses, sizes = evidence.losses, evidence.sizes_mb
    best_in = [0] * len(sizes)
    for row in zip(*losses.columns, strict=True):
        best_in[row.index(min(row))] += 1
    rivals = [place for place in losses.order if best_in[place] or place == best][:_RIVALS]
    likely = sorted((place for place in range(len(sizes)) if best_in[place] >= _LEAST_BEST), key=lambda i: -best_in[i])
    offers = []
    for place in {best, *likely[:_WEIGHED]}:
        size = sizes[place]
        n = evidence.warm.get(size, 0)
        count = max(_BATCH, int(_GROWTH * n)) if n else _FIRST_INVOCATIONS - 1
        gain = _worth(evidence, place, evidence.means.relative_error(size, count), rivals)
        price = (count + (n == 0)) * math.fsum(losses.scores[place]) / len(losses.scores[place])
        offers.append((gain / price if price > 0 else 0.0, -size, count))
    offers.sort(reverse=True)
    highest = offers[0][0]
    if highest <= 0:
        # Where no single batch would change the choice, the two best together might.
        return {sizes[place]: _BATCH for place in losses.order[:2]}
    at_once = 2 if len(sizes) > _LONG_LIST else 1
    return {-size: count for worth, size, count in offers[:at_once] if worth >= _NEARLY * highest}


def _worth(evidence: Evidence, place: int, relative_error: float, rivals: Sequence[int]) -> float:
    """Return by how much a mean with this error, measured at a size, is expected to lower the least expected loss."""
    logs = [math.log(durations[place]) for durations in evidence.posterior.draws_ms]
    ordered = sorted(logs)
    columns = [evidence.losses.columns[rival] for rival in rivals]
    now, gained = min(evidence.losses.expected), 0.0
    scale = -0.5 / relative_error**2
    for quantile, where in zip(_QUANTILES, _PLACES, strict=True):
        seen = ordered[int(where * len(ordered))] + relative_error * quantile
        weights = [math.exp(scale * (seen - value) ** 2) for value in logs]
        total = sum(weights)
        if total > 0:
            gained += now - min(sum(map(mul, column, weights)) for column in columns) / total
    return gained / len(_QUANTILES)


def _affordable(evidence: Evidence, prices: Prices, budget_usd: float) -> int:
    """Return how many invocations a budget pays for, at the size where one is expected to cost most."""
    draws = evidence.posterior.draws_ms
    dearest = max(
        prices.cost_usd(size, math.fsum(column) / len(draws))
        for size, column in zip(evidence.sizes_mb, zip(*draws, strict=True), strict=True)
    )
    return max(0, int(budget_usd / dearest))


def _spending(spec: TestSpec, evidence: Evidence) -> tuple[float, float, float]:
    """Return the share that may be spent, and in US dollars of GB-seconds what everything would cost and what is
    spent."""
    draws, num = evidence.posterior.draws_ms, spec.invocations_per_size
    expected_ms = [math.fsum(column) / len(draws) for column in zip(*draws, strict=True)]
    fixed = num * math.fsum(size * ms for size, ms in zip(evidence.sizes_mb, expected_ms, strict=True)) / 1024 / 1000
    used = math.fsum(
        evidence.warm[size] * size * mean.value for size, mean in evidence.means.of_size.items()
    ) / 1024 / 1000  # fmt: skip
    trifle = min(_TRIFLE_SHARE, _TRIFLE_GB_S / fixed if fixed else 1.0)
    share = max(_SHARE, _SHARE_OF_SIZES / len(spec.sizes_mb), trifle)
    return share, fixed * spec.prices.gb_second_usd, used * spec.prices.gb_second_usd

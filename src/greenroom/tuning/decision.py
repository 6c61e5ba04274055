"""Decides from measurements whether a release passed its test and at which power value it goes live, and says why.

Not for measuring or planning. The order of the decision:

1. A wrong answer or an exception at any power value fails the release, with the case, the difference and the log.
2. A power value that ran out of time or memory is excluded with that reason, and so are those that could not be
   measured, that have not seen every case, or that break a constraint; the others go on. None left: the release fails.
3. Of the rest the one with the best score is taken (strategies.py), unless another is tied with it: its score is
   within `tolerance` of the best and the data can't tell them apart (one-sided, at 95 %). Of ties the faster wins under
   `cost` and the cheaper under `duration`.

The probability of being wrong is that some other candidate is better than the choice by more than `tolerance`. It
takes the scores as independent and log-normal around their estimates, with the standard errors of statistics.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Literal

from greenroom.tuning.adaptive import Evidence, weigh
from greenroom.tuning.measurements import ALGORITHM_AT_FAULT, TOO_SMALL, Measurement, timed
from greenroom.tuning.planning import Search
from greenroom.tuning.prices import FREE_EPHEMERAL_STORAGE_MB, Prices
from greenroom.tuning.statistics import CONFIDENCE, PLAIN, Averaging, PowerValueStatistics, summarize
from greenroom.tuning.strategies import Constraints, Objective, Strategy

DEFAULT_TOLERANCE = 0.01
_TOLD_APART = 0.95
# After few invocations nearly everything looks tied: a tie must then also be unlikely to cost more than is tolerated.
_TIE_RISK = 0.25
# What the log-odds of being right are shifted by and multiplied with: after an adaptive search, and after a fixed one.
_CALIBRATION = (-0.1, 0.85)
_CALIBRATION_FIXED = (0.35, 0.6)
_LEAST_WRONG = 1e-4
_TEXT_LIMIT = 4096

PowerValueStatus = Literal["ok", "excluded", "failed"]


@dataclass(frozen=True, slots=True)
class PowerValueResult:
    """A power value with its statistics and whether it may be chosen; `reason` says why not.

    `differs` is what was not as on Lambda when it was measured.
    """

    statistics: PowerValueStatistics
    status: PowerValueStatus
    reason: str | None = None
    version: str | None = None
    differs: str | None = None

    @property
    def memory_mb(self) -> int:
        return self.statistics.memory_mb

    def to_dict(self) -> dict[str, Any]:
        return {
            **self.statistics.to_dict(),
            "version": self.version,
            "status": self.status,
            "reason": self.reason,
            "differs": self.differs,
        }


@dataclass(frozen=True, slots=True)
class CaseResult:
    """How a test case went over all power values; the details are those of its first, and gravest, failure."""

    case: str
    passed: int
    failed: int
    error: str | None = None
    error_message: str | None = None
    difference: str | None = None
    memory_mb: int | None = None
    log: str | None = None

    def to_dict(self) -> dict[str, Any]:
        return {
            "case": self.case,
            "passed": self.passed,
            "failed": self.failed,
            "difference": self.difference,
            "error": self.error,
            "errorMessage": self.error_message,
            "memoryMb": self.memory_mb,
            "log": self.log,
        }


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


@dataclass(frozen=True, slots=True)
class Decision:
    """The outcome of a test. `to_summary` is what the registry keeps and the API gives as a release's summary."""

    passed: bool
    reason: str | None
    strategy: Strategy
    chosen_memory_mb: int | None
    chosen_version: str | None
    sentence: str
    power_values: tuple[PowerValueResult, ...]
    cases: tuple[CaseResult, ...]
    test_cost_usd: float
    prices: Prices
    tolerance: float
    runner_up_memory_mb: int | None = None
    tied_mb: tuple[int, ...] = ()
    probability_wrong: float | None = None
    expected_loss: float | None = None
    averaging: Averaging = PLAIN
    ephemeral_storage_mb: int = FREE_EPHEMERAL_STORAGE_MB

    @property
    def chosen(self) -> PowerValueResult | None:
        """The power value that goes live."""
        return next((r for r in self.power_values if r.memory_mb == self.chosen_memory_mb), None)

    def to_summary(self) -> dict[str, Any]:
        """The JSON form (camelCase)."""
        return {
            "passed": self.passed,
            "reason": self.reason,
            "strategy": self.strategy,
            "chosenMemoryMb": self.chosen_memory_mb,
            "chosenVersion": self.chosen_version,
            "runnerUpMemoryMb": self.runner_up_memory_mb,
            "tiedMemoryMb": list(self.tied_mb),
            "probabilityWrong": None if self.probability_wrong is None else round(self.probability_wrong, 4),
            "expectedLoss": None if self.expected_loss is None else round(self.expected_loss, 5),
            "tolerance": self.tolerance,
            "sentence": self.sentence,
            "powerValues": [result.to_dict() for result in self.power_values],
            "cases": [result.to_dict() for result in self.cases],
            "statistics": {
                "trimShare": self.averaging.trim_share,
                "confidence": CONFIDENCE,
                "intervals": "order statistics",
                "relativeError": "Tukey and McLaughlin, pooled over the cases",
            },
            "testCostUsd": round(self.test_cost_usd, 9),
            "prices": {
                "region": self.prices.region,
                "architecture": self.prices.architecture,
                "gbSecondUsd": self.prices.gb_second_usd,
                "requestUsd": self.prices.request_usd,
                "asOf": self.prices.as_of,
                "source": self.prices.source,
                "note": self.prices.note,
            },
        }


def analyze(
    measurements: Iterable[Measurement],
    power_values: Sequence[int],
    strategy: Strategy,
    prices: Prices,
    tolerance: float = DEFAULT_TOLERANCE,
    *,
    cases: Sequence[str] | None = None,
    search: Search = "fixed",
    seed: int = 0,
    balanced_weight: float = 0.5,
    constraints: Constraints | None = None,
    averaging: Averaging = PLAIN,
    versions: Mapping[int, str] | None = None,
    ephemeral_storage_mb: int = FREE_EPHEMERAL_STORAGE_MB,
    state_transitions: int = 0,
) -> Decision:
    """Judges a test and chooses the power value (see the module's head for how).

    `power_values` are those asked for, in MB; `cases` those the package has (by default, those measured): a power
    value that has not passed each of them can't be chosen. After an adaptive `search` the model judges, since sizes
    were measured unevenly: the choice is the size with the least expected loss, and `seed` is that of its draws.
    `versions` gives the published version of each power value. `state_transitions` are those of the test's state
    machine, for what the test cost.
    """
    measured = [m for m in measurements if m.memory_mb in set(power_values)]
    wanted = list(cases) if cases is not None else sorted({m.case for m in measured})
    limits = constraints or Constraints()
    versions = versions or {}
    at_fault = next((m for m in measured if m.error in ALGORITHM_AT_FAULT), None)
    # A fault ends the test early, so that cases are missing says nothing then.
    required = wanted if at_fault is None else []
    results = []
    for memory_mb in sorted(set(power_values)):
        at_value = [m for m in measured if m.memory_mb == memory_mb]
        if search == "adaptive" and not at_value:
            continue  # not excluded: it was not worth a look
        statistics = summarize(memory_mb, at_value, prices, ephemeral_storage_mb, averaging)
        status, reason = _status(statistics, at_value, required, limits)
        differs = next((m.differs for m in at_value if m.differs), None)
        results.append(PowerValueResult(statistics, status, reason, versions.get(memory_mb), differs))

    test_cost_usd = (
        math.fsum(
            prices.cost_usd(m.memory_mb, m.billed_duration_ms, ephemeral_storage_mb) for m in measured if m.counts
        )
        + state_transitions * prices.state_transition_usd
    )
    passed, chosen_mb, choice = True, None, None
    usable = [r for r in results if r.status == "ok"]
    if at_fault is not None:
        passed, reason = False, _fault(at_fault)
        sentence = f"Not promoted: {reason}"
    elif not usable:
        reasons = "; ".join(f"{r.memory_mb} MB: {r.reason}" for r in results) or "nothing was measured"
        passed, reason = False, f"no power value can go live ({reasons})"[:_TEXT_LIMIT]
        sentence = f"Not promoted: {reason}"
    else:
        objective = Objective(strategy, balanced_weight)
        evidence = None
        if search == "adaptive":
            evidence = weigh(
                power_values,
                measured,
                objective,
                prices,
                ephemeral_storage_mb=ephemeral_storage_mb,
                seed=seed,
                constraints=limits,
                averaging=averaging,
            )
        # A size below one that failed may have passed by luck; the model leaves it out, and then says nothing of it.
        if evidence is None or not {r.memory_mb for r in usable} & set(evidence.sizes_mb):
            choice = choose(_candidates(usable, objective), tolerance)
        else:
            choice = choose_by_model(evidence, {r.memory_mb for r in usable}, objective, prices, tolerance)
        chosen_mb, reason = choice.chosen.memory_mb, None
        sentence = _sentence(choice, results, strategy, tolerance) + _unlike_lambda(usable)
    return Decision(
        passed=passed,
        reason=reason,
        strategy=strategy,
        chosen_memory_mb=chosen_mb,
        chosen_version=versions.get(chosen_mb) if chosen_mb is not None else None,
        sentence=sentence,
        power_values=tuple(results),
        cases=tuple(_case_result(case, measured) for case in sorted({*wanted, *(m.case for m in measured)})),
        test_cost_usd=test_cost_usd,
        prices=prices,
        tolerance=tolerance,
        runner_up_memory_mb=choice.runner_up.memory_mb if choice and choice.runner_up else None,
        tied_mb=choice.tied_mb if choice else (),
        probability_wrong=choice.probability_wrong if choice else None,
        expected_loss=choice.expected_loss if choice else None,
        averaging=averaging,
        ephemeral_storage_mb=ephemeral_storage_mb,
    )


def choose(candidates: Sequence[Candidate], tolerance: float = DEFAULT_TOLERANCE) -> Choice:
    """The candidate to take: the lowest score, or of those tied with it the one with the lowest `tie_score`.

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


def choose_by_model(
    evidence: Evidence,
    usable_mb: AbstractSet[int],
    objective: Objective,
    prices: Prices,
    tolerance: float = DEFAULT_TOLERANCE,
) -> Choice:
    """The usable size with the least expected loss, or of those tied with it the one with the lowest `tie_score`.

    Loss and probability are counted over the model's draws, and against all sizes, those not measured too.
    """
    losses, draws = evidence.losses, evidence.posterior.draws_ms
    places = [place for place in losses.order if evidence.sizes_mb[place] in usable_mb]
    candidates = {}
    for place in places:
        memory_mb = evidence.sizes_mb[place]
        scores = losses.scores[place]
        logs = [math.log(score) for score in scores]
        middle = math.fsum(logs) / len(logs)
        mean_ms = math.fsum(row[place] for row in draws) / len(draws)
        candidates[place] = Candidate(
            memory_mb,
            math.fsum(scores) / len(scores),
            math.sqrt(math.fsum((value - middle) ** 2 for value in logs) / len(logs)),
            prices.cost_usd(memory_mb, mean_ms) if objective.strategy == "duration" else mean_ms,
        )
    best = places[0]
    tied = [place for place in places if place == best or _is_tied_in_draws(losses.scores, place, best, tolerance)]
    chosen = min(tied, key=lambda place: (candidates[place].tie_score, candidates[place].memory_mb))
    others = [place for place in places if place != chosen]
    return Choice(
        chosen=candidates[chosen],
        best=candidates[best],
        runner_up=candidates[others[0]] if others else None,
        tied_mb=tuple(sorted(evidence.sizes_mb[place] for place in tied if place != chosen)),
        probability_wrong=_calibrated(sum(loss > tolerance for loss in losses.columns[chosen]), len(draws)),
        expected_loss=losses.expected[chosen],
    )


def _calibrated(wrong: int, draws: int) -> float:
    """The probability of being wrong, given in how many of the draws the choice is.

    The model is a little too sure of itself, like any: its log-odds are drawn towards even, by constants fitted to
    published and synthetic curves that hold when any family is left out (docs/tuning.md).
    """
    return _drawn(math.log((draws - wrong + 0.5) / (wrong + 0.5)), _CALIBRATION)


def _calibrated_fixed(probability: float) -> float:
    """The same for a fixed search, whose probability of being wrong takes the sizes as independent."""
    wrong = min(max(probability, _LEAST_WRONG), 1 - _LEAST_WRONG)
    return _drawn(math.log((1 - wrong) / wrong), _CALIBRATION_FIXED)


def _drawn(log_odds: float, calibration: tuple[float, float]) -> float:
    return 1 / (1 + math.exp(calibration[0] + calibration[1] * log_odds))


def _is_tied_in_draws(scores: Sequence[Sequence[float]], place: int, best: int, tolerance: float) -> bool:
    ratios = [one / other for one, other in zip(scores[place], scores[best], strict=True)]
    dearer = sum(ratio > 1 for ratio in ratios) / len(ratios)
    worse = sum(ratio > 1 + tolerance for ratio in ratios) / len(ratios)
    return math.fsum(ratios) / len(ratios) <= 1 + tolerance and dearer < _TOLD_APART and worse < _TIE_RISK


def probability_wrong(chosen: Candidate, others: Sequence[Candidate], tolerance: float) -> float:
    """The probability that at least one of the others has a true score below that of the chosen ÷ (1 + tolerance).

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


def _candidates(results: Sequence[PowerValueResult], objective: Objective) -> list[Candidate]:
    costs = [_cost(r) for r in results]
    durations = [_duration(r) for r in results]
    ties = costs if objective.strategy == "duration" else durations
    return [
        Candidate(r.memory_mb, score, r.statistics.duration.relative_error if r.statistics.duration else 0.0, tie)
        for r, score, tie in zip(results, objective.scores(costs, durations), ties, strict=True)
    ]


def _cost(result: PowerValueResult) -> float:
    return result.statistics.cost_usd_per_million or 0.0


def _duration(result: PowerValueResult) -> float:
    return result.statistics.duration.value if result.statistics.duration else 0.0


def _status(
    statistics: PowerValueStatistics, measured: Sequence[Measurement], cases: Sequence[str], constraints: Constraints
) -> tuple[PowerValueStatus, str | None]:
    at_fault = next((m for m in measured if m.error in ALGORITHM_AT_FAULT), None)
    if at_fault is not None:
        return "failed", _fault(at_fault)
    too_small = next((m for m in measured if m.error in TOO_SMALL), None)
    if too_small is not None:
        return "excluded", _too_small(too_small)
    if not any(m.counts for m in measured):
        lost = next((m for m in measured), None)
        why = f" ({len(measured)} invocations {lost.error}: {(lost.error_message or '')[:200]})" if lost else ""
        return "excluded", f"was not measured{why}"
    passed = {m.case for m in measured if m.error is None}
    missing = [case for case in cases if case not in passed]
    if missing:
        return "excluded", f"was not measured with {len(missing)} of {len(cases)} cases, the first being {missing[0]!r}"
    broken = constraints.violation(statistics, sorted(m.duration_ms for m in timed(measured)))
    return ("excluded", broken) if broken else ("ok", None)


def _fault(measurement: Measurement) -> str:
    where = f"case {measurement.case!r} at {measurement.memory_mb} MB"
    if measurement.error == "wrong_answer":
        detail = measurement.difference or measurement.error_message or ""
        return f"{where} gave a wrong answer{': ' + detail if detail else ''}"[:_TEXT_LIMIT]
    differs = f" (not as on Lambda: {measurement.differs})" if measurement.differs else ""
    return f"{where} raised {measurement.error_message or 'an exception'}{differs}"[:_TEXT_LIMIT]


def _too_small(measurement: Measurement) -> str:
    if measurement.error == "timeout":
        return f"ran out of time in case {measurement.case!r}, after {measurement.duration_ms / 1000:.1f} s"
    used = f", having used {measurement.max_memory_used_mb} MB" if measurement.max_memory_used_mb else ""
    return f"ran out of memory in case {measurement.case!r}{used}"


def _case_result(case: str, measured: Sequence[Measurement]) -> CaseResult:
    of_case = [m for m in measured if m.case == case and m.counts]
    failures = [m for m in of_case if m.error is not None]
    worst = min(failures, key=lambda m: (m.error not in ALGORITHM_AT_FAULT, m.memory_mb, m.index), default=None)
    return CaseResult(
        case=case,
        passed=len(of_case) - len(failures),
        failed=len(failures),
        error=worst.error if worst else None,
        error_message=worst.error_message if worst else None,
        difference=worst.difference if worst else None,
        memory_mb=worst.memory_mb if worst else None,
        log=worst.log if worst else None,
    )


def _sentence(choice: Choice, results: Sequence[PowerValueResult], strategy: Strategy, tolerance: float) -> str:
    of_value = {r.memory_mb: r for r in results}
    chosen = of_value[choice.chosen.memory_mb]
    figures = f"${_significant(_cost(chosen))} per million invocations, {_significant(_duration(chosen))} ms each"
    excluded = [r for r in results if r.status == "excluded"]
    without = f" ({', '.join(f'{r.memory_mb} MB' for r in excluded)} excluded)" if excluded else ""
    if choice.runner_up is None:
        return f"{chosen.memory_mb} MB is the only power value that can go live{without}: {figures}."
    other = of_value[choice.runner_up.memory_mb]
    dearer, slower = _relation(_cost(other), _cost(chosen)), _relation(_duration(other), _duration(chosen))
    comparison = (
        f"costs {_words(dearer, 'more', 'less', 'as much')} and is {_words(slower, 'slower', 'faster', 'as fast')}"
    )
    superlative = {"cost": "the cheapest", "duration": "the fastest", "balanced": "the best balance"}[strategy]
    if choice.chosen is choice.best:
        why = (
            f"{chosen.memory_mb} MB is {superlative}{without}: {figures}; "
            f"the runner-up, {other.memory_mb} MB, {comparison}"
        )
    else:
        better = {"cost": "faster", "duration": "cheaper", "balanced": "faster"}[strategy]
        why = (
            f"{chosen.memory_mb} MB is as good as {superlative} and {better}{without}: {figures}; "
            f"{other.memory_mb} MB {comparison}, and the data can't tell their difference in "
            f"{'duration' if strategy == 'duration' else 'cost' if strategy == 'cost' else 'balance'} from none"
        )
    wrong = "under 1 %" if choice.probability_wrong < 0.01 else f"{choice.probability_wrong * 100:.0f} %"
    return f"{why}; the probability that another is better by more than {tolerance * 100:g} % is {wrong}."


def _unlike_lambda(results: Sequence[PowerValueResult]) -> str:
    """What has to be known of a choice that was made on another machine than Lambda's."""
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
    """Three significant digits, without an exponent for the sizes that occur."""
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:.{digits}f}"

"""Decides from measurements whether a release passed its test and at which power value it goes live, and says why.

Not for measuring or planning. The order of the decision:

1. A wrong answer or an exception at any power value fails the release, with the case, the difference and the log.
2. A power value that ran out of time or memory is excluded with that reason, and so are those that could not be
   measured, that have not passed every case undisturbed, or that break a constraint; the others go on. None left: the
   release fails.
3. One of the others is chosen (choice.py). After an adaptive search the model judges, since sizes were measured
   unevenly.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from greenroom.tuning import sentences
from greenroom.tuning.adaptive import spent_usd, weigh
from greenroom.tuning.choice import Choice, Verdict, candidates, choose, choose_by_model
from greenroom.tuning.measurements import ALGORITHM_AT_FAULT, TOO_SMALL, Measurement, timed
from greenroom.tuning.results import CaseResult, PowerValueResult, PowerValueStatus
from greenroom.tuning.spec import TestSpec
from greenroom.tuning.statistics import PowerValueStatistics, summarize


@dataclass(frozen=True, slots=True)
class Decision:
    """The outcome of a test."""

    spec: TestSpec
    passed: bool
    reason: str | None
    sentence: str
    power_values: tuple[PowerValueResult, ...]
    cases: tuple[CaseResult, ...]
    test_cost_usd: float
    chosen_memory_mb: int | None = None
    runner_up_memory_mb: int | None = None
    verdict: Verdict | None = None
    tied_mb: tuple[int, ...] = ()
    probability_wrong: float | None = None
    expected_loss: float | None = None

    @property
    def chosen(self) -> PowerValueResult | None:
        """The power value that goes live."""
        return next((r for r in self.power_values if r.memory_mb == self.chosen_memory_mb), None)

    @property
    def chosen_version(self) -> str | None:
        """The published version that goes live."""
        return self.chosen.version if self.chosen else None


def decide(spec: TestSpec, made: Iterable[Measurement], versions: Mapping[int, str] | None = None) -> Decision:
    """Judge a test and choose the power value (see the module's head for how).

    `made` are the measurements; those at sizes that the spec does not have are left out. `versions` gives the published
    version of each power value. `test_cost_usd` of the decision is that of the invocations alone.
    """
    sizes = set(spec.sizes_mb)
    measured = [m for m in made if m.memory_mb in sizes]
    at_fault = next((m for m in measured if m.error in ALGORITHM_AT_FAULT), None)
    # A fault ends the test early, so that cases are missing says nothing then.
    required = spec.case_names if at_fault is None else ()
    results = _judge_sizes(spec, measured, required, versions or {})
    usable = [r for r in results if r.status == "ok"]
    if at_fault is not None:
        return _failed(spec, measured, results, sentences.fault(at_fault))
    if not usable:
        busy = any(r.unclean for r in results)
        reason = sentences.too_busy(measured) if busy else sentences.nothing_usable(results)
        return _failed(spec, measured, results, reason)
    choice = _choice(spec, measured, usable)
    taken = next(r.statistics for r in usable if r.memory_mb == choice.chosen.memory_mb)
    sentence = sentences.chosen(choice, results, spec.strategy, spec.tolerance)
    sentence += sentences.slow_init(taken) + sentences.unlike_lambda(usable)
    return Decision(
        spec=spec,
        passed=True,
        reason=None,
        sentence=sentence,
        power_values=tuple(results),
        cases=_judge_cases(spec, measured),
        test_cost_usd=spent_usd(spec, measured),
        chosen_memory_mb=choice.chosen.memory_mb,
        runner_up_memory_mb=choice.runner_up.memory_mb if choice.runner_up else None,
        verdict=choice.verdict,
        tied_mb=choice.tied_mb,
        probability_wrong=choice.probability_wrong,
        expected_loss=choice.expected_loss,
    )


def _failed(
    spec: TestSpec, measured: Sequence[Measurement], results: Sequence[PowerValueResult], reason: str
) -> Decision:
    return Decision(
        spec=spec,
        passed=False,
        reason=reason,
        sentence=sentences.not_promoted(reason),
        power_values=tuple(results),
        cases=_judge_cases(spec, measured),
        test_cost_usd=spent_usd(spec, measured),
    )


def _judge_sizes(
    spec: TestSpec, measured: Sequence[Measurement], required: Sequence[str], versions: Mapping[int, str]
) -> list[PowerValueResult]:
    """Return what became of each power value; of an adaptive search, of each that was measured."""
    results = []
    for memory_mb in spec.sizes_mb:
        at_value = [m for m in measured if m.memory_mb == memory_mb]
        if spec.search == "adaptive" and not at_value:
            continue  # not excluded: it was not worth a look
        statistics = summarize(memory_mb, at_value, spec.prices, spec.averaging)
        status, reason = _status(spec, statistics, at_value, required)
        unclean = status == "ok" and not _is_clean(at_value)
        if unclean:
            status, reason = "excluded", sentences.disturbed(at_value)
        differs = next((m.differs for m in at_value if m.differs), None)
        results.append(PowerValueResult(statistics, status, reason, versions.get(memory_mb), differs, unclean))
    return results


def _status(
    spec: TestSpec, statistics: PowerValueStatistics, measured: Sequence[Measurement], required: Sequence[str]
) -> tuple[PowerValueStatus, str | None]:
    """Return whether a power value may be chosen, and why not."""
    at_fault = next((m for m in measured if m.error in ALGORITHM_AT_FAULT), None)
    if at_fault is not None:
        return "failed", sentences.fault(at_fault)
    too_small = next((m for m in measured if m.error in TOO_SMALL), None)
    if too_small is not None:
        return "excluded", sentences.too_small(too_small)
    if not any(m.counts for m in measured):
        return "excluded", sentences.not_measured(measured)
    passed = {m.case for m in measured if m.error is None}
    missing = [case for case in required if case not in passed]
    if missing:
        return "excluded", sentences.cases_missing(missing, len(required))
    broken = spec.constraints.violation(statistics, sorted(m.duration_ms for m in timed(measured)))
    return ("excluded", broken) if broken else ("ok", None)


def _is_clean(measured: Sequence[Measurement]) -> bool:
    """Return whether every case that was disturbed was also measured without a disturbance."""
    disturbed = {m.case for m in measured if m.error is None and m.disturbed_ms is not None}
    return disturbed <= {m.case for m in timed(measured)}


def _choice(spec: TestSpec, measured: Sequence[Measurement], usable: Sequence[PowerValueResult]) -> Choice:
    evidence = weigh(spec, measured) if spec.search == "adaptive" else None
    usable_mb = {r.memory_mb for r in usable}
    # A size below one that failed may have passed by luck; the model leaves it out, and then says nothing of it.
    if evidence is None or not usable_mb & set(evidence.sizes_mb):
        return choose(candidates(usable, spec.objective), spec.tolerance)
    return choose_by_model(spec, evidence, usable_mb)


def _judge_cases(spec: TestSpec, measured: Sequence[Measurement]) -> tuple[CaseResult, ...]:
    return tuple(_judge_case(case, measured) for case in sorted({*spec.cases, *(m.case for m in measured)}))


def _judge_case(case: str, measured: Sequence[Measurement]) -> CaseResult:
    of_case = [m for m in measured if m.case == case and m.counts]
    failures = [m for m in of_case if m.error is not None]
    if not failures:
        return CaseResult(case, passed=len(of_case), failed=0)
    worst = min(failures, key=lambda m: (m.error not in ALGORITHM_AT_FAULT, m.memory_mb, m.index))
    return CaseResult(
        case=case,
        passed=len(of_case) - len(failures),
        failed=len(failures),
        failed_mb=tuple(sorted({m.memory_mb for m in failures})),
        error=worst.error,
        error_message=worst.error_message,
        difference=worst.difference,
        memory_mb=worst.memory_mb,
        log=worst.log,
    )

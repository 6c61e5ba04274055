"""What a test found, as the HTTP API gives it and as it is kept: decisions, statistics, charts, measurements.

Pure: from the values of `tuning`, which knows only the standard library, to the models of `wire`. Figures are rounded
here, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel

from greenroom.tuning import Batch, Chart, Comparison, Decision, Measurement
from greenroom.tuning.chart import Point
from greenroom.tuning.compare import Change
from greenroom.tuning.prices import Prices
from greenroom.tuning.results import CaseResult, PowerValueResult
from greenroom.tuning.statistics import CONFIDENCE, Averaging, Percentile
from greenroom.wire import models

MAX_TEXT_CHARS = 16 * 1024
"""Of each text of a measurement; a thousand failures stay below 64 MB."""

_TEXTS = ("errorMessage", "difference", "log", "differs")

Read = TypeVar("Read")

_CAMEL = ConfigDict(alias_generator=to_camel, validate_by_name=False)
_MEASUREMENTS = TypeAdapter(list[Measurement], config=_CAMEL)
_BATCHES = TypeAdapter(list[Batch], config=_CAMEL)
"""Of lists, since a dataclass of the standard library takes a configuration from what it is part of, and only so."""


@dataclass(frozen=True)
class Spent:
    """What a test cost: its invocations, in US dollars, and the state transitions of its executions."""

    lambda_usd: float
    state_transitions: int


def summary_of(
    decision: Decision,
    drawn: Chart,
    search: str,
    spent: Spent,
    comparison: models.LiveComparison | None = None,
) -> models.Summary:
    """Return the result of a test."""
    transitions_usd = spent.state_transitions * decision.spec.prices.state_transition_usd
    return models.Summary(
        passed=decision.passed,
        reason=decision.reason,
        sentence=decision.sentence,
        strategy=decision.spec.strategy,
        search=search,
        chosen_memory_mb=decision.chosen_memory_mb,
        chosen_version=decision.chosen_version,
        runner_up_memory_mb=decision.runner_up_memory_mb,
        verdict=decision.verdict,
        tied_memory_mb=list(decision.tied_mb),
        tolerance=decision.spec.tolerance,
        probability_wrong=_rounded(decision.probability_wrong, 4),
        expected_loss=_rounded(decision.expected_loss, 5),
        power_values=[power_value_of(result) for result in decision.power_values],
        cases=[case_of(result) for result in decision.cases],
        statistics=_statistics_used(decision.spec.averaging),
        prices=_prices(decision.spec.prices),
        test_cost_usd=round(spent.lambda_usd + transitions_usd, 9),
        test_lambda_cost_usd=round(spent.lambda_usd, 9),
        state_transitions=spent.state_transitions,
        comparison=comparison,
        chart=chart_of(drawn),
    )


def power_value_of(result: PowerValueResult) -> models.PowerValueResult:
    """Return what was measured at one memory size."""
    found = result.statistics

    def at(share: float) -> float | None:
        percentile = found.percentiles.get(share)
        return None if percentile is None else round(percentile.ms, 3)

    return models.PowerValueResult(
        memory_mb=found.memory_mb,
        version=result.version,
        status=result.status,
        reason=result.reason,
        differs=result.differs,
        unclean=result.unclean,
        n=found.n,
        set_aside={str(why): count for why, count in found.set_aside.items()},
        warm=found.warm,
        mean_ms=_rounded(found.mean_ms),
        trimmed_mean_ms=_rounded(found.duration.value if found.duration else None),
        trimmed_mean_low_ms=_rounded(found.duration.interval[0] if found.duration else None),
        trimmed_mean_high_ms=_rounded(found.duration.interval[1] if found.duration else None),
        relative_error=_rounded(found.duration.relative_error if found.duration else None, 5),
        p50_ms=at(0.50),
        p90_ms=at(0.90),
        p95_ms=at(0.95),
        p99_ms=at(0.99),
        percentiles={f"p{round(share * 100)}": _percentile(value) for share, value in found.percentiles.items()},
        min_ms=_rounded(found.min_ms),
        max_ms=_rounded(found.max_ms),
        init_ms=_rounded(found.init_ms),
        cold_duration_ms=_rounded(found.cold_duration_ms),
        cold_start_ms=_rounded(found.cold_start_ms),
        cold_start_worst_ms=_rounded(found.cold_start_worst_ms),
        init_timeouts=found.init_timeouts,
        max_memory_used_mb=found.max_memory_used_mb,
        headroom_mb=found.headroom_mb,
        cost_usd_per_million=_rounded(found.cost_usd_per_million, 6),
        cold_starts=found.cold_starts,
        disturbed=found.disturbed,
        errors=sum(found.errors.values()),
        error_kinds={str(kind): count for kind, count in found.errors.items()},
    )


def case_of(result: CaseResult) -> models.CaseResult:
    """Return how one test case went."""
    return models.CaseResult(
        case=result.case,
        passed=result.passed,
        failed=result.failed,
        failed_memory_mb=list(result.failed_mb),
        error=result.error,
        error_message=result.error_message,
        difference=result.difference,
        memory_mb=result.memory_mb,
        log=result.log,
    )


def comparison_of(found: Comparison) -> models.Comparison:
    """Return how two releases compare."""
    return models.Comparison(
        sentence=found.sentence,
        duration=_change(found.duration),
        cost=_change(found.cost),
        cases=list(found.cases),
        regression=found.regression,
    )


def chart_of(drawn: Chart) -> models.Chart:
    """Return what is drawn of a test."""
    return models.Chart(
        tried=[_point(point) for point in drawn.tried],
        model=[_point(point) for point in drawn.model],
        excluded_memory_mb=list(drawn.excluded_mb),
        chosen_memory_mb=drawn.chosen_mb,
        caption=drawn.caption,
    )


def measurement_row(measured: Measurement) -> models.Measurement:
    """Return one invocation as it is kept and shown; texts are cut."""
    return models.Measurement(
        memory_mb=measured.memory_mb,
        case=measured.case,
        index=measured.index,
        duration_ms=measured.duration_ms,
        billed_duration_ms=measured.billed_duration_ms,
        init_duration_ms=measured.init_duration_ms,
        max_memory_used_mb=measured.max_memory_used_mb,
        cold_start=measured.cold_start,
        error=measured.error,
        at=models.moment(measured.at) if measured.at else None,
        request_id=measured.request_id,
        version=measured.version,
        error_message=_cut(measured.error_message),
        difference=_cut(measured.difference),
        log=_cut(measured.log),
        differs=_cut(measured.differs),
        disturbed_ms=measured.disturbed_ms,
    )


def measurement_document(measured: Measurement) -> dict[str, Any]:
    """Return one invocation as it is kept in S3: without what is not known of it, and with its texts cut."""
    document: dict[str, Any]
    [document] = _MEASUREMENTS.dump_python([measured], mode="json", by_alias=True, exclude_none=True)
    return document | {key: document[key][:MAX_TEXT_CHARS] for key in _TEXTS if key in document}


def measurement_from(document: Mapping[str, Any]) -> Measurement:
    """Read back what `measurement_document` gave. Raises ValueError, which names what is absent or wrong."""
    return _read(_MEASUREMENTS, "a measurement", document)


def batch_document(batch: Batch) -> dict[str, Any]:
    """Return a batch as the state machine passes it to its executor."""
    document: dict[str, Any]
    [document] = _BATCHES.dump_python([batch], mode="json", by_alias=True, exclude_defaults=True)
    return document


def batch_from(document: Mapping[str, Any]) -> Batch:
    """Read back what `batch_document` gave. Raises ValueError, which names what is absent or wrong."""
    return _read(_BATCHES, "a batch", document)


def progress_of(made: Sequence[Measurement]) -> list[models.Progress]:
    """Return how far each memory size is, from the measurements made."""
    sizes = sorted({row.memory_mb for row in made})
    counted = {size: [row for row in made if row.memory_mb == size and row.counts] for size in sizes}
    return [
        models.Progress(memory_mb=size, done=len(rows), failed=sum(row.error is not None for row in rows))
        for size, rows in counted.items()
    ]


def _read(adapter: TypeAdapter[list[Read]], what: str, document: Mapping[str, Any]) -> Read:
    try:
        [found] = adapter.validate_python([document])
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, each['loc'][1:]))}: {each['msg']}" for each in error.errors())
        raise ValueError(f"{what} can't be read: {wrong}") from None
    return found


def _percentile(found: Percentile) -> models.Percentile:
    return models.Percentile(ms=round(found.ms, 3), low_ms=round(found.low_ms, 3), high_ms=round(found.high_ms, 3))


def _change(found: Change) -> models.Change:
    return models.Change(ratio=round(found.ratio, 5), low=round(found.low, 5), high=round(found.high, 5))


def _point(point: Point) -> models.ChartPoint:
    return models.ChartPoint(
        memory_mb=point.memory_mb,
        duration_ms=round(point.duration_ms, 3),
        low_ms=round(point.low_ms, 3),
        high_ms=round(point.high_ms, 3),
        cost_usd_per_million=round(point.cost_usd_per_million, 6),
        low_usd_per_million=round(point.low_usd, 6),
        high_usd_per_million=round(point.high_usd, 6),
    )


def _statistics_used(averaging: Averaging) -> models.StatisticsUsed:
    return models.StatisticsUsed(
        trim_share=averaging.trim_share,
        confidence=CONFIDENCE,
        intervals="order statistics",
        relative_error="Tukey and McLaughlin, pooled over the cases",
    )


def _prices(prices: Prices) -> models.Prices:
    return models.Prices(
        region=prices.region,
        architecture=prices.architecture,
        gb_second_usd=prices.gb_second_usd,
        request_usd=prices.request_usd,
        as_of=prices.as_of,
        source=prices.source,
        note=prices.note,
    )


def _rounded(value: float | None, digits: int = 3) -> float | None:
    return None if value is None else round(value, digits)


def _cut(text: str | None) -> str | None:
    return None if text is None else text[:MAX_TEXT_CHARS]

"""What a test found: measurements, statistics by memory size, the choice, its comparison and its chart.

A release's test and the tuning of any function have these in common. Times are in milliseconds, costs in US dollars.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from greenroom.wire.base import Answer, Moment, one_of

Strategy = Annotated[str, one_of("cost", "duration", "balanced")]
Search = Annotated[str, one_of("fixed", "adaptive")]
ErrorKind = Annotated[str, one_of("timeout", "out_of_memory", "wrong_answer", "exception", "throttled", "platform")]
Verdict = Annotated[str, one_of("clear", "close", "tie", "only")]
PowerValueStatus = Annotated[str, one_of("ok", "excluded", "failed")]


class Progress(Answer):
    """How far the measurements at one memory size are."""

    memory_mb: int
    done: int = 0
    total: int = Field(default=0, description="Invocations in all; 0 if that is not known beforehand")
    failed: int = 0
    durations_ms: list[float] = Field(default=[], description="Of the last invocations that passed, in their order")


class Measurement(Answer):
    """One invocation in a test. Without `error` it passed its case."""

    memory_mb: int
    case: str = ""
    index: int = Field(default=0, description="Counts the invocations at a memory size from 0")
    duration_ms: float = 0.0
    billed_duration_ms: float = Field(default=0.0, description="What Lambda bills; a cold start's init phase is in it")
    init_duration_ms: float | None = None
    max_memory_used_mb: int | None = None
    cold_start: bool = False
    error: ErrorKind | None = None
    at: Moment | None = None
    request_id: str | None = None
    version: str | None = Field(default=None, description="The Lambda version that was invoked")
    error_message: str | None = None
    difference: str | None = Field(default=None, description="Of a wrong answer: the difference to the expected one")
    log: str | None = Field(default=None, description="Of an invocation that failed: the end of its log")
    differs: str | None = Field(default=None, description="What was not as on Lambda")
    disturbed_ms: float | None = Field(default=None, description="How long the machine kept it from running")


class MeasurementList(Answer):
    """The measurements of a release's test."""

    measurements: list[Measurement] = []


class Percentile(Answer):
    """A percentile of the duration with the ends of its interval."""

    ms: float
    low_ms: float
    high_ms: float


class PowerValueResult(Answer):
    """What was measured at one memory size, and whether it may be chosen; `reason` says why not."""

    memory_mb: int
    version: str | None = None
    status: PowerValueStatus = "ok"
    reason: str | None = None
    differs: str | None = Field(default=None, description="What was not as on Lambda when it was measured")
    unclean: bool = Field(default=False, description="Left out because other programs disturbed its measurements")
    n: int = Field(default=0, description="Invocations that count for the figures")
    set_aside: dict[str, int] = Field(
        default={}, description="The other invocations that were made, by why they don't count; with `n` they are all"
    )
    warm: bool = Field(default=True, description="Whether the figures are of warm starts")
    mean_ms: float | None = None
    trimmed_mean_ms: float | None = None
    trimmed_mean_low_ms: float | None = Field(default=None, description="Low end of the trimmed mean's 95 % interval")
    trimmed_mean_high_ms: float | None = Field(default=None, description="High end of the trimmed mean's 95 % interval")
    relative_error: float | None = Field(default=None, description="Standard error of the trimmed mean, as a share")
    p50_ms: float | None = None
    p90_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    percentiles: dict[str, Percentile] = Field(default={}, description="By name: p50, p90, p95, p99")
    min_ms: float | None = None
    max_ms: float | None = None
    init_ms: float | None = None
    cold_duration_ms: float | None = None
    cold_start_ms: float | None = Field(
        default=None, description="What a caller waits at a cold start, init phase included: the median"
    )
    cold_start_worst_ms: float | None = Field(default=None, description="The same at the slowest cold start")
    init_timeouts: int = Field(default=0, description="Cold starts whose init phase took over 10 s and began again")
    max_memory_used_mb: int | None = None
    headroom_mb: int | None = None
    cost_usd_per_million: float | None = None
    cold_starts: int = 0
    disturbed: int = Field(default=0, description="Invocations that the machine kept from running for a while")
    errors: int = 0
    error_kinds: dict[str, int] = {}


class CaseResult(Answer):
    """How one test case went over all memory sizes; the details are those of its first, and gravest, failure."""

    case: str
    passed: int = 0
    failed: int = 0
    failed_memory_mb: list[int] = Field(default=[], description="The memory sizes at which it failed, ascending")
    error: ErrorKind | None = None
    error_message: str | None = None
    difference: str | None = Field(default=None, description="Of a wrong answer: the difference to the expected one")
    memory_mb: int | None = Field(default=None, description="The memory size of the failure that the details are of")
    log: str | None = None


class StatisticsUsed(Answer):
    """How the figures were made of the measurements."""

    trim_share: float | None = Field(default=None, description="Share of a case's times cut off at each end")
    confidence: float | None = Field(default=None, description="Of the percentiles' intervals")
    intervals: str | None = None
    relative_error: str | None = None


class Prices(Answer):
    """The list prices that the costs were made with."""

    region: str = ""
    architecture: str = ""
    gb_second_usd: float | None = None
    request_usd: float | None = None
    as_of: str = ""
    source: str = ""
    note: str = ""


class Change(Answer):
    """A figure as a multiple of the other's, with the ends of its interval (90 %)."""

    ratio: float
    low: float
    high: float


class Comparison(Answer):
    """Two releases compared over the test cases that both passed. Without `duration` and `cost` they were not compared,
    and `sentence` says why."""

    sentence: str = ""
    duration: Change | None = None
    cost: Change | None = None
    cases: list[str] = []
    regression: str | None = Field(default=None, description="In what it is worse by more than allowed")


class LiveComparison(Comparison):
    """A release compared with the one that was live during its test."""

    live_release_id: str = ""
    live_memory_mb: int | None = None
    max_regression: float | None = Field(default=None, description="Share by which it may be slower or more expensive")
    invocations: list[int] = Field(default=[], description="Of the release, and of the live one")


class ChartPoint(Answer):
    """A point of the chart, with the ends of its intervals."""

    memory_mb: int
    duration_ms: float
    low_ms: float
    high_ms: float
    cost_usd_per_million: float
    low_usd_per_million: float
    high_usd_per_million: float


class Chart(Answer):
    """What is drawn: the memory sizes that were measured, and the model's curve through them with its band."""

    tried: list[ChartPoint] = []
    model: list[ChartPoint] = []
    excluded_memory_mb: list[int] = []
    chosen_memory_mb: int | None = None
    caption: str = ""


class Summary(Answer):
    """The result of a test: what was chosen and why, and all figures."""

    passed: bool = False
    reason: str | None = Field(default=None, description="Why nothing was chosen")
    sentence: str = Field(default="", description="The choice in words")
    strategy: Strategy | None = None
    search: Search | None = None
    chosen_memory_mb: int | None = None
    chosen_version: str | None = None
    runner_up_memory_mb: int | None = None
    verdict: Verdict | None = Field(default=None, description="The choice in a word; `only` has no alternative")
    tied_memory_mb: list[int] = []
    tolerance: float | None = Field(default=None, description="Difference up to which memory sizes may be tied")
    probability_wrong: float | None = Field(
        default=None, description="That another size is better by more than the tolerance"
    )
    expected_loss: float | None = None
    power_values: list[PowerValueResult] = []
    cases: list[CaseResult] = []
    statistics: StatisticsUsed | None = None
    prices: Prices | None = None
    test_cost_usd: float | None = Field(default=None, description="Of the test itself, state transitions included")
    test_lambda_cost_usd: float | None = None
    state_transitions: int | None = None
    comparison: LiveComparison | None = None
    chart: Chart | None = None

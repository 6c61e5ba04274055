"""What "best" means: the strategies cost, duration and balanced, and the constraints a power value has to meet.

Not for the choice itself, which also weighs uncertainty and ties (decision.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from greenroom.tuning.statistics import PowerValueStatistics, quantile

Strategy = Literal["cost", "duration", "balanced"]
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)


@dataclass(frozen=True, slots=True)
class Objective:
    """A strategy with its weight. `balanced_weight` is the share of cost in `balanced`: 1 is cost, 0 is duration."""

    strategy: Strategy = "cost"
    balanced_weight: float = 0.5

    def __post_init__(self) -> None:
        if self.strategy not in STRATEGIES:
            raise ValueError(f"strategy is {self.strategy!r}: use one of {', '.join(STRATEGIES)}")
        if not 0 <= self.balanced_weight <= 1:
            raise ValueError(f"balancedWeight is {self.balanced_weight!r}: a number from 0 to 1 is needed")

    def scores(self, costs_usd: Sequence[float], durations_ms: Sequence[float]) -> list[float]:
        """Return one score for each power value, the lower the better, in the order given.

        `balanced` weighs cost and duration as shares of the dearest and the slowest of those compared, as AWS Lambda
        Power Tuning defines it.
        """
        if self.strategy == "cost":
            return list(costs_usd)
        if self.strategy == "duration":
            return list(durations_ms)
        dearest = max(costs_usd, default=0) or 1.0
        slowest = max(durations_ms, default=0) or 1.0
        weight = self.balanced_weight
        return [
            weight * cost / dearest + (1 - weight) * duration / slowest
            for cost, duration in zip(costs_usd, durations_ms, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class Constraints:
    """What a power value must meet to be chosen; None means no limit.

    `max_duration_ms` holds at `max_duration_percentile` (0 < p < 1), `max_cost_usd_per_million` for the mean cost,
    `min_headroom` for the share of the memory that no invocation used, `max_cold_start_ms` for what a caller waits at
    the slowest cold start.
    """

    max_duration_ms: float | None = None
    max_duration_percentile: float = 0.95
    max_cost_usd_per_million: float | None = None
    min_headroom: float | None = None
    max_cold_start_ms: float | None = None

    @property
    def any(self) -> bool:
        """Whether there is any limit."""
        limits = (self.max_duration_ms, self.max_cost_usd_per_million, self.min_headroom, self.max_cold_start_ms)
        return any(limit is not None for limit in limits)

    def are_exceeded(self, duration_ms: float, cost_usd_per_million: float) -> bool:
        """Return whether a size with this expected duration and cost would not meet them."""
        too_slow = self.max_duration_ms is not None and duration_ms > self.max_duration_ms
        too_dear = self.max_cost_usd_per_million is not None and cost_usd_per_million > self.max_cost_usd_per_million
        return too_slow or too_dear

    def violation(self, statistics: PowerValueStatistics, ordered_ms: Sequence[float]) -> str | None:
        """Return why the power value may not be chosen, or None. `ordered_ms` are its durations in ascending order."""
        if self.max_duration_ms is not None and ordered_ms:
            found = quantile(ordered_ms, self.max_duration_percentile)
            if found > self.max_duration_ms:
                return (
                    f"p{self.max_duration_percentile * 100:g} of the duration is {found:.4g} ms, "
                    f"above maxDurationMs {self.max_duration_ms:g}"
                )
        cost = statistics.cost_usd_per_million
        if self.max_cost_usd_per_million is not None and cost is not None and cost > self.max_cost_usd_per_million:
            return f"costs ${cost:.4g} per million, above maxCostUsd {self.max_cost_usd_per_million:g}"
        headroom = statistics.headroom_mb
        if self.min_headroom is not None and headroom is not None:
            share = headroom / statistics.memory_mb
            if share < self.min_headroom:
                least = f"the minimum headroom of {self.min_headroom * 100:g} %"
                return f"leaves {share * 100:.0f} % of its memory free, below {least}"
        return self._cold_start_violation(statistics)

    def _cold_start_violation(self, statistics: PowerValueStatistics) -> str | None:
        limit, slowest = self.max_cold_start_ms, statistics.cold_start_worst_ms
        if limit is None:
            return None
        if slowest is None:
            return "no cold start was measured undisturbed, and maxColdStartMs limits it"
        return f"starts cold in {slowest:.4g} ms, above maxColdStartMs {limit:g}" if slowest > limit else None


UNBOUND = Constraints()
"""No limit at all."""

"""What a test showed of each power value and of each test case: the records that a decision is made of.

Not for the judgement itself (decision.py), the choice (choice.py) or the words (sentences.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from greenroom.tuning.statistics import PowerValueStatistics

PowerValueStatus = Literal["ok", "excluded", "failed"]


@dataclass(frozen=True, slots=True)
class PowerValueResult:
    """A power value with its statistics and whether it may be chosen; `reason` says why not.

    `differs` is what was not as on Lambda when it was measured. `unclean` says that it may not be chosen because the
    machine disturbed every measurement of one of its cases.
    """

    statistics: PowerValueStatistics
    status: PowerValueStatus
    reason: str | None = None
    version: str | None = None
    differs: str | None = None
    unclean: bool = False

    @property
    def memory_mb(self) -> int:
        """The memory size."""
        return self.statistics.memory_mb

    @property
    def cost_usd_per_million(self) -> float:
        """What a million invocations cost in US dollars, 0 where that is not known."""
        return self.statistics.cost_usd_per_million or 0.0

    @property
    def duration_ms(self) -> float:
        """The trimmed mean of the duration, 0 where that is not known."""
        return self.statistics.duration.value if self.statistics.duration else 0.0


@dataclass(frozen=True, slots=True)
class CaseResult:
    """How a test case went over all power values.

    `failed_mb` are the sizes at which it failed. The details are those of its first, and gravest, failure, which was at
    `memory_mb`.
    """

    case: str
    passed: int
    failed: int
    failed_mb: tuple[int, ...] = ()
    error: str | None = None
    error_message: str | None = None
    difference: str | None = None
    memory_mb: int | None = None
    log: str | None = None

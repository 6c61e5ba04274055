"""What a test is: one value that the plan, the search, the decision and the chart are given.

A test's measurements are not part of it: `plan` and `decide` take them next to it. So a repeated step has the same
spec, and no two steps can differ in what they were asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from greenroom.tuning.limits import FULL_VCPU_MB
from greenroom.tuning.prices import Prices
from greenroom.tuning.statistics import PLAIN, Averaging
from greenroom.tuning.strategies import UNBOUND, Constraints, Objective, Strategy

Search = Literal["fixed", "adaptive"]

# fmt: off
LADDER_MB = (
    128, 192, 256, 384, 512, 768, 1024, 1280, 1536, FULL_VCPU_MB, 2048, 2560, 3008, 4096, 5120, 6144, 8192, 10_240,
)
# fmt: on
"""The sizes searched where none are listed: the whole range of Lambda in steps of a third to a half."""

DEFAULT_TOLERANCE = 0.01
"""By which share a choice may be worse than the best and still count as right."""

DEFAULT_MAX_EXPECTED_LOSS = 0.002
"""The expected loss counts on the model. That the default is a few times smaller than the 1 % that a choice may lose on
average is the margin for what no model knows (docs/tuning.md has the figures)."""

DEFAULT_EXECUTOR_S = 720
"""An executor is a Lambda function, which ends after 15 minutes: 12 leave room for its start and its end."""


@dataclass(frozen=True, slots=True)
class TestSpec:
    """What is tested, at which sizes, how often, and what counts as best.

    The search `fixed` measures every power value `num` times. `adaptive` measures where it is worth it, never more
    often than `fixed` would. `cases` are dealt round-robin over the invocations; a case that is listed twice is invoked
    twice as often. `prices` are bound to the function's architecture and to the size of its /tmp. `averaging` weighs
    the cases. `tolerance` is the share by which sizes may differ and still be tied.

    For the adaptive search only: `max_expected_loss` ends it, `budget_usd` is the most that the invocations may cost,
    as far as that can be known before they are made, and `seed` is that of the model's draws. `executor_s` is the time
    that one executor has for a batch.
    """

    __test__: ClassVar[bool] = False
    """Tells pytest that this is not a test class."""

    cases: tuple[str, ...]
    power_values: tuple[int, ...]
    num: int
    timeout_s: int
    prices: Prices
    search: Search = "fixed"
    strategy: Strategy = "cost"
    balanced_weight: float = 0.5
    constraints: Constraints = UNBOUND
    averaging: Averaging = PLAIN
    tolerance: float = DEFAULT_TOLERANCE
    max_expected_loss: float = DEFAULT_MAX_EXPECTED_LOSS
    budget_usd: float | None = None
    seed: int = 0
    executor_s: int = DEFAULT_EXECUTOR_S

    @property
    def sizes_mb(self) -> tuple[int, ...]:
        """The sizes in question in MB, ascending: those listed, or the whole range of Lambda where none are."""
        return tuple(sorted(set(self.power_values))) or LADDER_MB

    @property
    def case_names(self) -> tuple[str, ...]:
        """Each case once."""
        return tuple(dict.fromkeys(self.cases))

    @property
    def objective(self) -> Objective:
        """What the choice minimises."""
        return Objective(self.strategy, self.balanced_weight)

    @property
    def invocations_per_size(self) -> int:
        """`num`, or one for each case where there are more cases than that."""
        return max(self.num, len(self.cases))

"""What to measure next: the plan of a test as batches of invocations, each small enough for one executor.

Not for making the calls (the platform's executor does) and not for judging them (decision.py). `plan` is the seam of
the state machine's loop plan -> Map(execute) -> assess: it is given everything measured so far and answers with the
next batches, or that the test is done. It is a function of its arguments alone, so a repeated step plans the same.

An executor is a Lambda function and ends after 15 minutes. A batch is therefore dealt so that, even if every invocation
runs into the function's timeout, starts cold and is slow to come back, the batch stays within `budget_s` (12 minutes).
One invocation whose worst case is longer than that is a batch of its own, and the executor must not wait for it longer
than `longest_wait_s` (the 15 minutes less a reserve to store the result): an answer that takes longer is recorded as a
timeout, which excludes the power value. So an algorithm that really needs more than 14.5 minutes cannot be tested, and
says so, instead of taking the executor down with it. An executor also ends a batch at the first measurement for which
`ends_batch` is true: what follows would only cost.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, Literal

from greenroom.tuning import adaptive
from greenroom.tuning.measurements import ALGORITHM_AT_FAULT, TOO_SMALL, Measurement
from greenroom.tuning.prices import FREE_EPHEMERAL_STORAGE_MB, Prices, prices_for
from greenroom.tuning.statistics import PLAIN, Averaging
from greenroom.tuning.strategies import UNBOUND, Constraints, Objective, Strategy

MIN_MEMORY_MB, MAX_MEMORY_MB = 128, 10_240
"""What Lambda allows as MemorySize (AWS Lambda Developer Guide, quotas)."""

# AWS Lambda Developer Guide: a function runs for at most 900 s; its init phase for at most 10 s before it is
# restarted as part of the invocation.
_LAMBDA_LIMIT_S = 900
_INIT_LIMIT_S = 10
# Ours: what the call itself, a back-off after throttling and the storing of a measurement take at worst.
_OVERHEAD_S = 5
_RESERVE_S = 30

DEFAULT_BUDGET_S = 720
# 1,000 batches of some 45 bytes are 45 KB, far below the 256 KiB that a state's output may have; a larger plan is
# handed out over several rounds.
MAX_BATCHES_A_ROUND = 1000
_RETRY_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Batch:
    """The invocations `start` to `start + count - 1` of a power value, to be made by one executor, one by one.

    Those of a batch `beside_live` are half of the release and half of the live one (`side_of`).
    """

    memory_mb: int
    start: int
    count: int
    beside_live: bool = False

    def to_dict(self) -> dict[str, Any]:
        values = {"memoryMb": self.memory_mb, "start": self.start, "count": self.count}
        return values | ({"besideLive": True} if self.beside_live else {})

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Batch:
        """Reads the JSON form back. Raises ValueError naming what is absent or wrong."""
        try:
            beside_live = bool(document.get("besideLive", False))
            return cls(int(document["memoryMb"]), int(document["start"]), int(document["count"]), beside_live)
        except (KeyError, TypeError, ValueError) as wrong:
            raise ValueError(f"not a batch: {wrong!r} in {str(document)[:200]}") from None


Search = Literal["fixed", "adaptive"]
# The expected loss of the choice counts on the model; that it is a few times smaller than the 1 % a choice may lose on
# average is the margin for what no model knows (docs/tuning.md has the figures).
DEFAULT_MAX_EXPECTED_LOSS = 0.002


@dataclass(frozen=True, slots=True)
class PlanState:
    """All that a plan depends on. `measurements` are those made so far, `round_number` counts the plans from 0.

    The search `fixed` measures every power value `num` times. `adaptive` measures where it is worth it, never more than
    `fixed` would, and takes the whole range of Lambda where no power values are listed; what follows `search` is
    for it. `budget_usd` is the most that the invocations may cost, as far as that can be known before they are
    made; `budget_s` is an executor's time.
    """

    cases: tuple[str, ...]
    power_values: tuple[int, ...]
    num: int
    timeout_s: int
    measurements: tuple[Measurement, ...] = ()
    round_number: int = 0
    budget_s: int = DEFAULT_BUDGET_S
    search: Search = "fixed"
    strategy: Strategy = "cost"
    balanced_weight: float = 0.5
    prices: Prices = field(default_factory=lambda: prices_for("us-east-1"))
    ephemeral_storage_mb: int = FREE_EPHEMERAL_STORAGE_MB
    constraints: Constraints = UNBOUND
    averaging: Averaging = PLAIN
    max_expected_loss: float = DEFAULT_MAX_EXPECTED_LOSS
    budget_usd: float | None = None
    seed: int = 0

    @property
    def sizes_mb(self) -> tuple[int, ...]:
        """The sizes in question, ascending."""
        return tuple(sorted(set(self.power_values))) or adaptive.LADDER_MB


@dataclass(frozen=True, slots=True)
class Plan:
    """The next batches, or none and the reason why the test is done."""

    batches: tuple[Batch, ...]
    reason: str = ""
    expected_loss: float | None = None

    @property
    def done(self) -> bool:
        return not self.batches


def case_of(cases: Sequence[str], index: int) -> str:
    """The case that an invocation runs: cases are dealt round-robin over the indexes."""
    return cases[index % len(cases)]


def plan_beside_live(
    cases: int, memory_mb: int, num: int, timeout_s: int, *, budget_s: int = DEFAULT_BUDGET_S
) -> list[Batch]:
    """Every one of so many cases on both sides, the release at `memory_mb` and the live one, `num` times on each or as
    often as there are cases, and once more for the cold start."""
    pairs = max(num, cases) + 1
    return [replace(batch, beside_live=True) for batch in _deal(memory_mb, range(2 * pairs), timeout_s, budget_s)]


def side_of(index: int) -> tuple[bool, int]:
    """Whether an invocation beside the live release is one of it, and the number of its pair. Who begins a pair
    alternates, so that what grows with time falls on both."""
    pair = index // 2
    return (index + pair) % 2 == 1, pair


def worst_case_s(timeout_s: int) -> int:
    """The longest that one invocation can keep an executor, in seconds."""
    return timeout_s + _INIT_LIMIT_S + _OVERHEAD_S


def longest_wait_s(timeout_s: int) -> int:
    """How long the executor may wait for an answer, in seconds, before it records a timeout and ends."""
    return min(worst_case_s(timeout_s), _LAMBDA_LIMIT_S - _RESERVE_S)


def ends_batch(measurement: Measurement) -> bool:
    """Whether the executor leaves out the rest of its batch: the power value is excluded, or the release fails."""
    return measurement.error in TOO_SMALL or measurement.error in ALGORITHM_AT_FAULT


def invocations_per_power_value(cases: Sequence[str], num: int) -> int:
    """`num`, or one for each case where there are more cases than that."""
    return max(num, len(cases))


def plan_fixed(
    cases: Sequence[str], power_values: Sequence[int], num: int, timeout_s: int, *, budget_s: int = DEFAULT_BUDGET_S
) -> list[Batch]:
    """Every power value `num` times, or once for each case where that is more, in batches of even size.

    Raises ValueError for arguments that leave nothing to plan or that Lambda does not allow.
    """
    _check(cases, power_values, num, timeout_s)
    total = invocations_per_power_value(cases, num)
    return [
        batch
        for memory_mb in sorted(set(power_values))
        for batch in _deal(memory_mb, range(total), timeout_s, budget_s)
    ]


def plan(state: PlanState) -> Plan:
    """The next batches, or none and why. A wrong answer or an exception ends any test."""
    if state.search == "fixed" or state.power_values:
        _check(state.cases, state.power_values, state.num, state.timeout_s)
    else:
        _check(state.cases, adaptive.LADDER_MB, state.num, state.timeout_s)
    at_fault = next((m for m in state.measurements if m.error in ALGORITHM_AT_FAULT), None)
    if at_fault is not None:
        return Plan((), f"case {at_fault.case!r} failed at {at_fault.memory_mb} MB")
    return _next_fixed(state) if state.search == "fixed" else _next_adaptive(state)


def _next_fixed(state: PlanState) -> Plan:
    """At first everything, then up to three times what was throttled, lost or disturbed; no size that is too small."""
    everything = plan_fixed(state.cases, state.power_values, state.num, state.timeout_s, budget_s=state.budget_s)
    rounds = _fixed_rounds(len(everything))
    if state.round_number >= rounds:
        return Plan((), f"gave up on what could not be measured in {rounds} rounds")
    measured = {(m.memory_mb, m.index) for m in state.measurements if not m.repeatable}
    excluded = {m.memory_mb for m in state.measurements if m.error in TOO_SMALL}
    total = invocations_per_power_value(state.cases, state.num)
    batches = [
        batch
        for memory_mb in state.sizes_mb
        if memory_mb not in excluded
        for batch in _deal(
            memory_mb, (i for i in range(total) if (memory_mb, i) not in measured), state.timeout_s, state.budget_s
        )
    ]
    return Plan(tuple(batches[:MAX_BATCHES_A_ROUND]), "" if batches else "every invocation was measured")


def _fixed_rounds(batches: int) -> int:
    return math.ceil(batches / MAX_BATCHES_A_ROUND) + _RETRY_ROUNDS


def rounds_at_most(state: PlanState) -> int:
    """How many rounds a test can have."""
    if state.search == "adaptive":
        return adaptive.MAX_ROUNDS + 1
    everything = plan_fixed(state.cases, state.power_values, state.num, state.timeout_s, budget_s=state.budget_s)
    return _fixed_rounds(len(everything))


def _next_adaptive(state: PlanState) -> Plan:
    sizes = adaptive.remaining_sizes(state.sizes_mb, state.measurements)
    if not sizes:
        return Plan((), "every size ran out of memory or time")
    if state.round_number > adaptive.MAX_ROUNDS:
        return Plan((), f"gave up after {adaptive.MAX_ROUNDS} rounds")
    cases, num = len(state.cases), invocations_per_power_value(state.cases, state.num)
    left = num * len(state.sizes_mb) - len(state.measurements)
    objective = Objective(state.strategy, state.balanced_weight)
    evidence = adaptive.weigh(
        sizes,
        state.measurements,
        objective,
        state.prices,
        ephemeral_storage_mb=state.ephemeral_storage_mb,
        seed=state.seed,
        constraints=state.constraints,
        averaging=state.averaging,
    )
    if evidence is not None and not evidence.sizes_mb:
        return Plan((), "every size breaks a constraint")
    spent_usd = math.fsum(
        state.prices.cost_usd(m.memory_mb, m.billed_duration_ms, state.ephemeral_storage_mb)
        for m in state.measurements
        if m.counts
    )
    if evidence is None:
        if left < cases or (state.budget_usd is not None and spent_usd >= state.budget_usd):
            return Plan((), "the budget is spent, and no invocation has passed")
        found = adaptive.first_step(sizes, cases, left)
    else:
        found = adaptive.step(
            evidence,
            state.prices,
            cases=cases,
            num=num,
            made=len(state.measurements),
            sizes_listed=len(state.sizes_mb),
            round_number=state.round_number,
            max_expected_loss=state.max_expected_loss,
            budget_usd=state.budget_usd,
            spent_usd=spent_usd,
        )
    start = {size: 1 + max((m.index for m in state.measurements if m.memory_mb == size), default=-1) for size in sizes}
    batches = [
        batch
        for size, count in sorted(found.invocations.items())
        for batch in _deal(size, range(start[size], start[size] + count), state.timeout_s, state.budget_s)
    ]
    return Plan(tuple(batches), found.reason, found.expected_loss)


def progress(state: PlanState) -> list[dict[str, int]]:
    """How far the test is: for each power value the invocations done, planned and failed."""
    done = Counter(m.memory_mb for m in state.measurements if m.counts)
    failed = Counter(m.memory_mb for m in state.measurements if m.counts and m.error is not None)
    total = invocations_per_power_value(state.cases, state.num)
    return [
        {"memoryMb": memory_mb, "done": done[memory_mb], "total": total, "failed": failed[memory_mb]}
        for memory_mb in state.sizes_mb
    ]


def upper_bound_usd(state: PlanState, state_transitions: int = 0) -> float:
    """What a test can cost at most, in US dollars, before anything is known: every invocation cold and timing out.

    The adaptive search makes no more invocations than the fixed one, but may make them all at the largest size.
    """
    num = invocations_per_power_value(state.cases, state.num)
    sizes = state.sizes_mb if state.search == "fixed" else (max(state.sizes_mb),) * len(state.sizes_mb)
    longest_ms = (state.timeout_s + _INIT_LIMIT_S) * 1000
    invocations = num * math.fsum(state.prices.cost_usd(size, longest_ms, state.ephemeral_storage_mb) for size in sizes)
    return invocations + state_transitions * state.prices.state_transition_usd


def _deal(memory_mb: int, indexes: Iterable[int], timeout_s: int, budget_s: int) -> Iterator[Batch]:
    """Deals indexes out in batches of even size: each a run without gaps, none longer than the budget allows."""
    largest = max(1, budget_s // worst_case_s(timeout_s))
    wanted = list(indexes)
    starts = [i for i, (before, this) in enumerate(pairwise([-2, *wanted])) if this != before + 1]
    for low, high in pairwise([*starts, len(wanted)]):
        pieces = math.ceil((high - low) / largest)
        for piece in range(pieces):
            start = low + (high - low) * piece // pieces
            end = low + (high - low) * (piece + 1) // pieces
            yield Batch(memory_mb, wanted[start], end - start)


def _check(cases: Sequence[str], power_values: Sequence[int], num: int, timeout_s: int) -> None:
    if not cases:
        raise ValueError("there is no test case to plan for: a package needs at least one in tests/<case>/")
    if not power_values:
        raise ValueError("powerValues is empty: give at least one memory size in MB")
    wrong = [value for value in power_values if not MIN_MEMORY_MB <= value <= MAX_MEMORY_MB]
    if wrong:
        raise ValueError(f"powerValues has {wrong[0]}: Lambda allows {MIN_MEMORY_MB} to {MAX_MEMORY_MB} MB")
    if num < 1:
        raise ValueError(f"num is {num}: at least 1 invocation is needed for each power value")
    if not 1 <= timeout_s <= _LAMBDA_LIMIT_S:
        raise ValueError(f"timeout is {timeout_s} s: Lambda allows 1 to {_LAMBDA_LIMIT_S} s")

"""What to measure next: the plan of a test as batches of invocations, each small enough for one executor.

Not for making the calls (the platform's executor does) and not for judging them (decision.py). `plan` is the seam of
the state machine's loop plan -> Map(execute) -> plan: it is given everything measured so far and answers with the next
batches, or with none when the test is done. It is a function of its arguments alone, so a repeated step plans the same.

An executor is a Lambda function and ends after 15 minutes. A batch is therefore dealt so that, even if every invocation
runs into the function's timeout, starts cold and is slow to come back, the batch stays within the spec's `executor_s`
(12 minutes). One invocation whose worst case is longer than that is a batch of its own, and the executor must not wait
for it longer than `longest_wait_s` (the 15 minutes less a reserve to store the result): an answer that takes longer is
recorded as a timeout, which excludes the power value. So an algorithm that really needs more than 14.5 minutes cannot
be tested, and its release says so, instead of ending the executor with it. An executor also ends a batch at the first
measurement for which `ends_batch` is true: what follows would only cost.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from greenroom.tuning import adaptive
from greenroom.tuning.limits import MAX_INIT_S, MAX_MEMORY_MB, MAX_TIMEOUT_S, MIN_MEMORY_MB
from greenroom.tuning.measurements import ALGORITHM_AT_FAULT, TOO_SMALL, Measurement
from greenroom.tuning.spec import DEFAULT_EXECUTOR_S, TestSpec

_OVERHEAD_S = 5
"""What the call itself, a back-off after throttling and the storing of a measurement take at worst."""

_RESERVE_S = 30
"""What an executor needs at its end to store the result."""

MAX_BATCHES_A_ROUND = 1000
"""1,000 batches of some 45 bytes are 45 KB, far below the 256 KiB that a state's output may have; a larger plan is
handed out over several rounds."""

_RETRY_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Batch:
    """The invocations `start` to `start + count - 1` of a power value, to be made by one executor, one by one.

    Those of a batch `with_live` are half of the release and half of the live one (`side_of`).
    """

    memory_mb: int
    start: int
    count: int
    with_live: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """The next batches, or none and the reason why the test is done."""

    batches: tuple[Batch, ...]
    reason: str = ""
    expected_loss: float | None = None

    @property
    def done(self) -> bool:
        """Whether there is nothing left to measure."""
        return not self.batches


def case_of(cases: Sequence[str], index: int) -> str:
    """Return the case that an invocation runs: cases are dealt round-robin over the indexes."""
    return cases[index % len(cases)]


def plan_with_live(cases: int, memory_mb: int, num: int, timeout_s: int) -> list[Batch]:
    """Return batches with every one of so many cases on both sides, the release at `memory_mb` and the live one, `num`
    times on each or as often as there are cases, and once more for the cold start."""
    pairs = max(num, cases) + 1
    dealt = _deal(memory_mb, range(2 * pairs), timeout_s, DEFAULT_EXECUTOR_S)
    return [replace(batch, with_live=True) for batch in dealt]


def side_of(index: int) -> tuple[bool, int]:
    """Return whether an invocation next to the live release is one of it, and the number of its pair. Who begins a pair
    alternates, so that what grows with time falls on both."""
    pair = index // 2
    return (index + pair) % 2 == 1, pair


def worst_case_s(timeout_s: int) -> int:
    """Return the longest that one invocation can keep an executor, in seconds."""
    return timeout_s + MAX_INIT_S + _OVERHEAD_S


def longest_wait_s(timeout_s: int) -> int:
    """Return how long the executor may wait for an answer, in seconds, before it records a timeout and ends."""
    return min(worst_case_s(timeout_s), MAX_TIMEOUT_S - _RESERVE_S)


def ends_batch(measurement: Measurement) -> bool:
    """Return whether the executor leaves out the rest of its batch: the power value is excluded, or the release
    fails."""
    return measurement.error in TOO_SMALL or measurement.error in ALGORITHM_AT_FAULT


def plan_fixed(spec: TestSpec) -> list[Batch]:
    """Return every power value `num` times, or once for each case where that is more, in batches of even size.

    Raises ValueError for a spec that leaves nothing to plan or that Lambda does not allow.
    """
    _check(spec, spec.power_values)
    return [
        batch
        for memory_mb in spec.sizes_mb
        for batch in _deal(memory_mb, range(spec.invocations_per_size), spec.timeout_s, spec.executor_s)
    ]


def plan(spec: TestSpec, made: Sequence[Measurement], round_number: int) -> Plan:
    """Return the next batches, or none and why, given what was `made` in the rounds before this one, counted from 0.

    A wrong answer or an exception ends any test. Raises ValueError for a spec that leaves nothing to plan or that
    Lambda does not allow.
    """
    _check(spec, spec.power_values if spec.search == "fixed" else spec.power_values or spec.sizes_mb)
    at_fault = next((m for m in made if m.error in ALGORITHM_AT_FAULT), None)
    if at_fault is not None:
        return Plan((), f"case {at_fault.case!r} failed at {at_fault.memory_mb} MB")
    return (_next_fixed if spec.search == "fixed" else _next_adaptive)(spec, made, round_number)


def _next_fixed(spec: TestSpec, made: Sequence[Measurement], round_number: int) -> Plan:
    """At first everything, then up to three times what was throttled, lost or disturbed; no size that is too small."""
    rounds = rounds_at_most(spec)
    if round_number >= rounds:
        return Plan((), f"gave up on what could not be measured in {rounds} rounds")
    measured = {(m.memory_mb, m.index) for m in made if not m.repeatable}
    excluded = {m.memory_mb for m in made if m.error in TOO_SMALL}
    batches = [
        batch
        for memory_mb in spec.sizes_mb
        if memory_mb not in excluded
        for batch in _deal(
            memory_mb,
            (i for i in range(spec.invocations_per_size) if (memory_mb, i) not in measured),
            spec.timeout_s,
            spec.executor_s,
        )
    ]
    return Plan(tuple(batches[:MAX_BATCHES_A_ROUND]), "" if batches else "every invocation was measured")


def rounds_at_most(spec: TestSpec) -> int:
    """Return how many rounds a test can have."""
    if spec.search == "adaptive":
        return adaptive.MAX_ROUNDS + 1
    return math.ceil(len(plan_fixed(spec)) / MAX_BATCHES_A_ROUND) + _RETRY_ROUNDS


def _next_adaptive(spec: TestSpec, made: Sequence[Measurement], round_number: int) -> Plan:
    sizes = adaptive.remaining_sizes(spec.sizes_mb, made)
    if not sizes:
        return Plan((), "every size ran out of memory or time")
    if round_number > adaptive.MAX_ROUNDS:
        return Plan((), f"gave up after {adaptive.MAX_ROUNDS} rounds")
    evidence = adaptive.weigh(spec, made)
    if evidence is not None and not evidence.sizes_mb:
        return Plan((), "every size breaks a constraint")
    if evidence is None:
        left = spec.invocations_per_size * len(spec.sizes_mb) - len(made)
        is_spent = spec.budget_usd is not None and adaptive.spent_usd(spec, made) >= spec.budget_usd
        if left < len(spec.cases) or is_spent:
            return Plan((), "the budget is spent, and no invocation has passed")
        found = adaptive.first_step(sizes, len(spec.cases), left)
    else:
        found = adaptive.step(spec, evidence, made, round_number)
    start = {size: 1 + max((m.index for m in made if m.memory_mb == size), default=-1) for size in sizes}
    batches = [
        batch
        for size, count in sorted(found.invocations.items())
        for batch in _deal(size, range(start[size], start[size] + count), spec.timeout_s, spec.executor_s)
    ]
    return Plan(tuple(batches), found.reason, found.expected_loss)


def upper_bound_usd(spec: TestSpec, state_transitions: int = 0) -> float:
    """Return what a test can cost at most, in US dollars, before anything is known: every invocation cold and timing
    out, and so many state transitions.

    The adaptive search makes no more invocations than the fixed one, but may make them all at the largest size.
    """
    sizes = spec.sizes_mb if spec.search == "fixed" else (max(spec.sizes_mb),) * len(spec.sizes_mb)
    longest_ms = (spec.timeout_s + MAX_INIT_S) * 1000
    invocations_usd = spec.invocations_per_size * math.fsum(spec.prices.cost_usd(size, longest_ms) for size in sizes)
    return invocations_usd + state_transitions * spec.prices.state_transition_usd


def _deal(memory_mb: int, indexes: Iterable[int], timeout_s: int, executor_s: int) -> Iterator[Batch]:
    """Deal indexes out in batches of even size: each a run without gaps, none longer than an executor has time for."""
    largest = max(1, executor_s // worst_case_s(timeout_s))
    wanted = list(indexes)
    starts = [i for i, (before, this) in enumerate(pairwise([-2, *wanted])) if this != before + 1]
    for low, high in pairwise([*starts, len(wanted)]):
        pieces = math.ceil((high - low) / largest)
        for piece in range(pieces):
            start = low + (high - low) * piece // pieces
            end = low + (high - low) * (piece + 1) // pieces
            yield Batch(memory_mb, wanted[start], end - start)


def _check(spec: TestSpec, sizes_mb: Sequence[int]) -> None:
    if not spec.cases:
        raise ValueError("there is no test case to plan for: a package needs at least one in tests/<case>/")
    if not sizes_mb:
        raise ValueError("powerValues is empty: give at least one memory size in MB")
    wrong = [value for value in sizes_mb if not MIN_MEMORY_MB <= value <= MAX_MEMORY_MB]
    if wrong:
        raise ValueError(f"powerValues has {wrong[0]}: Lambda allows {MIN_MEMORY_MB} to {MAX_MEMORY_MB} MB")
    if spec.num < 1:
        raise ValueError(f"num is {spec.num}: at least 1 invocation is needed for each power value")
    if not 1 <= spec.timeout_s <= MAX_TIMEOUT_S:
        raise ValueError(f"timeout is {spec.timeout_s} s: Lambda allows 1 to {MAX_TIMEOUT_S} s")

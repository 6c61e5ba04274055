"""The fixed plan: every case at every size, in batches that an executor can do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenroom.tuning import (
    Batch,
    Measurement,
    Plan,
    case_of,
    ends_batch,
    longest_wait_s,
    plan,
    plan_with_live,
    rounds_at_most,
    upper_bound_usd,
)
from greenroom.tuning.adaptive import MAX_ROUNDS
from greenroom.tuning.planning import MAX_BATCHES_A_ROUND, plan_fixed, worst_case_s
from tests.unit.tuning.builders import measurement, spec

CASES = st.lists(st.text(min_size=1, max_size=5), min_size=1, max_size=12, unique=True).map(tuple)
POWER_VALUES = st.lists(st.integers(128, 10_240), min_size=1, max_size=6, unique=True).map(tuple)
TIMEOUTS = st.integers(1, 900)


def measure(batches: tuple[Batch, ...], cases: tuple[str, ...], error: str | None = None) -> list[Measurement]:
    return [
        measurement(b.memory_mb, index=i, case=case_of(cases, i), error=error)
        for b in batches
        for i in range(b.start, b.start + b.count)
    ]


@given(CASES, POWER_VALUES, st.integers(1, 60), TIMEOUTS)
def test_every_power_value_sees_every_case_and_no_invocation_is_planned_twice(
    cases: tuple[str, ...], power_values: tuple[int, ...], num: int, timeout_s: int
) -> None:
    measured = measure(tuple(plan_fixed(spec(power_values, cases=cases, num=num, timeout_s=timeout_s))), cases)
    for memory_mb in power_values:
        at_value = [m for m in measured if m.memory_mb == memory_mb]
        assert sorted(m.index for m in at_value) == list(range(max(num, len(cases))))
        assert {m.case for m in at_value} == set(cases)


@given(CASES, POWER_VALUES, st.integers(1, 1000), TIMEOUTS)
def test_no_executor_runs_into_lambdas_fifteen_minutes(
    cases: tuple[str, ...], power_values: tuple[int, ...], num: int, timeout_s: int
) -> None:
    for batch in plan_fixed(spec(power_values, cases=cases, num=num, timeout_s=timeout_s)):
        assert batch.count >= 1
        assert batch.count == 1 or batch.count * worst_case_s(timeout_s) <= 720
        assert batch.count * longest_wait_s(timeout_s) < 900


def test_an_invocation_of_fifteen_minutes_is_a_batch_of_its_own_that_is_not_waited_for_to_the_end() -> None:
    assert plan_fixed(spec([128], num=3, timeout_s=900)) == [Batch(128, 0, 1), Batch(128, 1, 1), Batch(128, 2, 1)]
    assert longest_wait_s(900) == 870


def test_batches_are_of_even_size() -> None:
    assert [b.count for b in plan_fixed(spec([128]))] == [5, 5]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cases": ()}, "no test case"),
        ({"power_values": ()}, "powerValues is empty"),
        ({"power_values": (64,)}, "powerValues has 64"),
        ({"num": 0}, "num is 0"),
        ({"timeout_s": 901}, "timeout is 901"),
    ],
)
def test_a_plan_that_lambda_would_refuse_is_refused_with_the_field(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plan(replace(spec([128]), **change), (), 0)


def test_the_first_round_is_the_whole_plan_and_the_second_finds_nothing_left() -> None:
    two = spec([128, 256], cases=("a", "b"))
    first = plan(two, (), 0)
    assert list(first.batches) == plan_fixed(two)
    second = plan(two, measure(first.batches, two.cases), 1)
    assert second.done
    assert second.reason == "every invocation was measured"


def test_what_was_throttled_is_planned_again_and_nothing_else() -> None:
    one = spec([128])
    measured = measure(plan(one, (), 0).batches, one.cases)
    measured[3] = replace(measured[3], error="throttled")
    measured[4] = replace(measured[4], error="platform")
    measured[8] = replace(measured[8], error="throttled")
    assert plan(one, measured, 1).batches == (Batch(128, 3, 2), Batch(128, 8, 1))


def test_what_the_machine_disturbed_is_measured_again_but_not_for_ever() -> None:
    one = spec([128], num=4)
    measured = measure(plan(one, (), 0).batches, one.cases)
    measured[2] = replace(measured[2], disturbed_ms=12.0)
    assert [plan(one, measured, number).batches for number in (1, 2, 3)] == [(Batch(128, 2, 1),)] * 3
    assert plan(one, measured, 4).done


def test_a_power_value_that_was_too_small_is_never_asked_again() -> None:
    found = plan(spec([128, 256], num=4), [measurement(128, error="out_of_memory")], 1)
    assert {b.memory_mb for b in found.batches} == {256}


def test_a_wrong_answer_ends_the_test() -> None:
    found = plan(spec([128, 256], num=4), [measurement(128, error="wrong_answer")], 1)
    assert found.done
    assert "128 MB" in found.reason


def test_a_plan_too_large_for_one_state_is_handed_out_over_several_rounds() -> None:
    large = spec(range(128, 136), num=1000, timeout_s=900)
    measured: list[Measurement] = []
    rounds = 0
    while not (found := plan(large, measured, rounds)).done:
        assert len(found.batches) <= MAX_BATCHES_A_ROUND
        measured += measure(found.batches, large.cases)
        rounds += 1
    assert (rounds, len(measured)) == (8, 8_000)


@given(st.sampled_from(["throttled", "platform", "timeout", "out_of_memory", None]), st.integers(1, 300), POWER_VALUES)
def test_the_loop_always_ends(error: str | None, num: int, power_values: tuple[int, ...]) -> None:
    asked = spec(power_values, cases=("a", "b"), num=num, timeout_s=900)
    measured: list[Measurement] = []
    for round_number in range(100):
        found = plan(asked, measured, round_number)
        if found.done:
            break
        measured += measure(found.batches, asked.cases, error)
    assert found.done


def test_an_executor_ends_its_batch_at_the_first_clear_sign() -> None:
    errors = ["timeout", "out_of_memory", "wrong_answer", "exception", "throttled", "platform", None]
    assert [ends_batch(measurement(error=error)) for error in errors] == [True] * 4 + [False] * 3


def test_the_upper_bound_is_every_invocation_cold_and_timing_out() -> None:
    fixed = spec([1024, 2048], timeout_s=50)
    assert upper_bound_usd(fixed) == pytest.approx(10 * (60 + 120) * 0.0000166667 + 20 * 0.2e-6)
    assert upper_bound_usd(fixed, 100) == pytest.approx(upper_bound_usd(fixed) + 0.0025)
    assert upper_bound_usd(replace(fixed, search="adaptive")) == pytest.approx(20 * 120 * 0.0000166667 + 20 * 0.2e-6)


def test_a_plan_that_goes_on_gives_no_reason_and_one_that_is_done_does() -> None:
    one = spec([128], num=2)
    assert plan(one, (), 0).reason == ""
    assert plan(one, measure((Batch(128, 0, 2),), one.cases), 1).reason == "every invocation was measured"
    lost = measure((Batch(128, 0, 2),), one.cases, "throttled")
    assert plan(one, lost, 3).batches == (Batch(128, 0, 2),)
    assert plan(one, lost, 4) == Plan((), "gave up on what could not be measured in 4 rounds")
    assert plan(one, [measurement(128, case="a", error="exception")], 1).reason == "case 'a' failed at 128 MB"


@pytest.mark.parametrize(
    ("power_values", "num", "rounds"), [((128,), 1000, 4), ((128,), 1001, 5), ((128, 256), 501, 5)]
)
def test_a_fixed_test_has_a_round_for_every_thousand_batches_and_three_more(
    power_values: tuple[int, ...], num: int, rounds: int
) -> None:
    assert rounds_at_most(spec(power_values, num=num, timeout_s=900)) == rounds


def test_an_adaptive_search_is_planned_once_more_than_it_has_rounds() -> None:
    search = spec([128, 256], search="adaptive")
    assert rounds_at_most(search) == MAX_ROUNDS + 1
    lost = [measurement(128, error="throttled")]
    assert plan(search, lost, MAX_ROUNDS).batches
    assert plan(search, lost, MAX_ROUNDS + 1) == Plan((), f"gave up after {MAX_ROUNDS} rounds")


def test_an_adaptive_search_goes_on_where_it_left_off_at_every_size() -> None:
    search = spec([128, 512], search="adaptive", cases=("a", "b"))
    first = plan(search, (), 0)
    assert first == Plan((Batch(128, 0, 3), Batch(512, 0, 3)))
    made = [replace(row, error="platform") for row in measure(first.batches, search.cases)]
    assert plan(search, made[:4], 1).batches == (Batch(128, 3, 3), Batch(512, 1, 3))


def test_an_adaptive_search_names_the_size_that_lambda_does_not_have() -> None:
    with pytest.raises(ValueError, match="powerValues has 64: Lambda allows 128 to 10240 MB"):
        plan(spec([128, 64], search="adaptive"), (), 0)
    with pytest.raises(ValueError, match="no test case"):
        plan(spec([], search="adaptive", cases=()), (), 0)
    assert plan(spec([128, 10_240], search="adaptive", timeout_s=900, num=1), (), 0).batches


@pytest.mark.parametrize(("timeout_s", "counts"), [(57, [10]), (58, [5, 5]), (225, [2, 3, 2, 3]), (706, [1] * 10)])
def test_a_batch_takes_at_most_twelve_minutes_at_its_worst(timeout_s: int, counts: list[int]) -> None:
    """An invocation may take its timeout, 10 s of init and 5 s of ours."""
    assert [batch.count for batch in plan_fixed(spec([128], timeout_s=timeout_s))] == counts
    assert [batch.count for batch in plan_fixed(spec([128], timeout_s=timeout_s, executor_s=1))] == [1] * 10


def test_the_comparison_with_the_live_release_has_a_pair_more_than_it_counts() -> None:
    assert plan_with_live(2, 512, 5, 60) == [
        Batch(512, 0, 6, with_live=True),
        Batch(512, 6, 6, with_live=True),
    ]
    assert sum(batch.count for batch in plan_with_live(9, 512, 5, 60)) == 20

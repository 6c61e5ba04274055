from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.tuning.builders import measurement

from greenroom.tuning import Measurement, Plan, PlanState, analyze, case_of, plan, prices_for
from greenroom.tuning.adaptive import LADDER_MB, MAX_ROUNDS
from greenroom.tuning.decision import Decision
from greenroom.tuning.model import posterior
from greenroom.tuning.statistics import Mean, comparable_means

PRICES = prices_for("us-east-1")
GRID = (128, 256, 512, 1024, 1536, 2048, 3008, 4096, 6144, 10_240)
Curve = Callable[[int], float]


def cpu_bound(memory_mb: int) -> float:
    return 20.0 + 500.0 * 1769 / min(memory_mb, 1769)


def waiting(_: int) -> float:
    return 400.0


def explore(state: PlanState, curve: Curve, too_small_mb: int = 0, spread: float = 0.03) -> tuple[PlanState, Plan]:
    """Runs the loop of the state machine against a curve until it is done."""
    draw = random.Random(state.seed)  # noqa: S311
    while not (found := plan(state)).done:
        made = list(state.measurements)
        for batch in found.batches:
            for index in range(batch.start, batch.start + batch.count):
                duration = curve(batch.memory_mb) * draw.lognormvariate(0, spread)
                error = "out_of_memory" if batch.memory_mb <= too_small_mb else None
                case = case_of(state.cases, index)
                made.append(
                    measurement(batch.memory_mb, duration, index=index, case=case, cold_start=index == 0, error=error)
                )
                if error:
                    break
        state = replace(state, measurements=tuple(made), round_number=state.round_number + 1)
    return state, found


def adaptive(**fields: object) -> PlanState:
    return replace(PlanState(("small",), GRID, 10, 60, search="adaptive"), **fields)  # type: ignore[arg-type]


def decide(state: PlanState) -> Decision:
    return analyze(
        state.measurements,
        state.sizes_mb,
        state.strategy,
        PRICES,
        cases=state.cases,
        search="adaptive",
        seed=state.seed,
    )


def test_a_waiting_algorithm_is_found_out_with_a_few_invocations_at_small_sizes() -> None:
    state, found = explore(adaptive(), waiting)
    assert decide(state).chosen_memory_mb == 128
    assert len(state.measurements) < 25
    assert max(m.memory_mb for m in state.measurements) <= 1024
    assert "expected loss" in found.reason


@pytest.mark.parametrize("seed", range(5))
def test_the_choice_costs_no_more_than_a_little_above_the_best(seed: int) -> None:
    state, _ = explore(adaptive(seed=seed), cpu_bound)
    chosen = decide(state).chosen_memory_mb
    assert chosen is not None
    cost = {size: PRICES.cost_usd(size, cpu_bound(size)) for size in GRID}
    assert cost[chosen] <= 1.03 * min(cost.values())


def test_under_duration_it_looks_at_large_sizes_and_a_tie_goes_to_the_cheaper() -> None:
    state, _ = explore(adaptive(strategy="duration"), cpu_bound)
    chosen = decide(state).chosen_memory_mb
    assert chosen is not None
    assert chosen >= 1536
    assert cpu_bound(chosen) <= 1.03 * cpu_bound(10_240)


def test_a_size_that_ran_out_of_memory_takes_the_smaller_ones_with_it_and_is_never_asked_again() -> None:
    state, _ = explore(adaptive(), cpu_bound, too_small_mb=512)
    failed = [m for m in state.measurements if m.error]
    assert [m.memory_mb for m in failed] == sorted({m.memory_mb for m in failed})
    assert all(m.memory_mb > 512 for m in state.measurements if not m.error)
    decision = decide(state)
    assert decision.chosen_memory_mb is not None
    assert decision.chosen_memory_mb > 512


def test_an_algorithm_that_fits_nowhere_ends_the_search_and_fails_with_the_reason() -> None:
    state, found = explore(adaptive(), cpu_bound, too_small_mb=10_240)
    assert found.reason == "every size ran out of memory or time"
    decision = decide(state)
    assert not decision.passed
    assert "ran out of memory" in (decision.reason or "")


def test_without_power_values_the_whole_range_is_searched() -> None:
    state, _ = explore(adaptive(power_values=()), cpu_bound)
    assert {m.memory_mb for m in state.measurements} <= set(LADDER_MB)
    assert decide(state).passed


def test_every_case_is_seen_at_the_size_that_is_chosen() -> None:
    cases = ("a", "b", "c", "d", "e")
    state, _ = explore(adaptive(cases=cases), cpu_bound)
    chosen = decide(state).chosen_memory_mb
    assert {m.case for m in state.measurements if m.memory_mb == chosen} == set(cases)


def test_a_wrong_answer_ends_the_search() -> None:
    state = adaptive(measurements=(measurement(128, error="wrong_answer"),), round_number=1)
    assert plan(state).done


@settings(max_examples=25, deadline=None)
@given(
    power_values=st.lists(st.sampled_from(LADDER_MB), max_size=8, unique=True).map(tuple),
    num=st.integers(1, 12),
    cases=st.integers(1, 4),
    budget=st.none() | st.floats(1e-6, 1e-3),
    spread=st.floats(0, 1.0),
    too_small=st.sampled_from([0, 128, 1024, 10_240]),
    strategy=st.sampled_from(["cost", "duration", "balanced"]),
    seed=st.integers(0, 1000),
)
def test_the_search_ends_within_its_budget_and_asks_for_nothing_excluded(
    power_values: tuple[int, ...],
    num: int,
    cases: int,
    budget: float | None,
    spread: float,
    too_small: int,
    strategy: str,
    seed: int,
) -> None:
    state = adaptive(
        power_values=power_values,
        num=num,
        cases=tuple("abcd"[:cases]),
        budget_usd=budget,
        strategy=strategy,
        seed=seed,
    )
    done, _ = explore(state, cpu_bound, too_small, spread)
    assert done.round_number <= MAX_ROUNDS + 1
    assert len(done.measurements) <= max(num, cases) * len(state.sizes_mb)
    assert {m.memory_mb for m in done.measurements} <= set(state.sizes_mb)
    failed: set[int] = set()
    for m in done.measurements:
        assert not failed or m.memory_mb > max(failed) or m.memory_mb == max(failed) or m.error
        if m.error:
            failed.add(m.memory_mb)
    indexes = [(m.memory_mb, m.index) for m in done.measurements]
    assert len(indexes) == len(set(indexes))


def test_equal_input_and_seed_give_equal_output() -> None:
    one, other = (explore(adaptive(seed=7), cpu_bound, spread=0.2)[0] for _ in range(2))
    assert one == other
    assert decide(one).to_summary() == decide(other).to_summary()


def test_a_budget_in_dollars_is_kept_once_the_price_of_an_invocation_is_known() -> None:
    free, _ = explore(adaptive(), cpu_bound, spread=0.3)

    def cost(state: PlanState) -> float:
        return math.fsum(PRICES.cost_usd(m.memory_mb, m.billed_duration_ms) for m in state.measurements)

    budget = cost(free) / 2
    bound, _ = explore(adaptive(budget_usd=budget), cpu_bound, spread=0.3)
    assert cost(bound) <= budget


def test_the_decision_says_its_expected_loss_and_the_probability_of_being_wrong() -> None:
    summary = decide(explore(adaptive(), waiting)[0]).to_summary()
    assert 0 <= summary["expectedLoss"] < 0.01
    assert 0 < summary["probabilityWrong"] < 0.1


@given(
    st.dictionaries(st.sampled_from(GRID), st.floats(1.0, 1e5), min_size=1, max_size=6),
    st.floats(0.01, 0.3),
    st.floats(0.001, 1000),
)
@settings(max_examples=30, deadline=None)
def test_the_model_scales_with_the_unit_of_time(observed: dict[int, float], error: float, factor: float) -> None:
    one = posterior(GRID, {size: Mean(ms, error) for size, ms in observed.items()}, draws=32)
    other = posterior(GRID, {size: Mean(ms * factor, error) for size, ms in observed.items()}, draws=32)
    for row, scaled in zip(one.draws_ms, other.draws_ms, strict=True):
        assert scaled == pytest.approx([ms * factor for ms in row], rel=1e-5)


def test_the_model_is_sure_where_it_was_measured_and_less_sure_far_away() -> None:
    bands = posterior(GRID, {128: Mean(1000, 0.02), 512: Mean(250, 0.02)}).band()
    width = {size: math.log(high / low) for size, (low, _, high) in zip(GRID, bands, strict=True)}
    assert width[128] < width[1024] < width[10_240]
    assert bands[0][0] <= 1000 <= bands[0][2]


def test_the_model_wants_observations_at_listed_sizes() -> None:
    with pytest.raises(ValueError, match="observations"):
        posterior(GRID, {})
    with pytest.raises(ValueError, match="observations"):
        posterior(GRID, {777: Mean(1.0, 0.1)})


def test_one_slow_invocation_does_not_make_a_size_slow() -> None:
    means = comparable_means({128: {"a": [100.0, 101.0, 1500.0]}, 256: {"a": [50.0, 51.0, 49.0]}})
    assert means.of_size[128].value == pytest.approx(100.5)


def test_a_pause_until_the_next_share_of_cpu_is_no_slow_one() -> None:
    """At 128 MB a function has 1.4 ms of every 20 ms: it answers at once or in the next period, time and again."""
    paused = comparable_means({128: {"a": [0.8, 17.0]}, 1769: {"a": [0.5, 0.5]}})
    assert paused.of_size[128].value == pytest.approx(8.9)
    longer_than_a_pause = comparable_means({128: {"a": [0.8, 40.0]}, 1769: {"a": [0.5, 0.5]}})
    assert longer_than_a_pause.of_size[128].value == pytest.approx(0.8)
    never_paused = comparable_means({128: {"a": [0.8, 0.8]}, 1769: {"a": [0.5, 17.0]}})
    assert never_paused.of_size[1769].value == pytest.approx(0.5)


def test_a_case_that_was_not_measured_at_a_size_is_filled_in_from_its_ratio_elsewhere() -> None:
    means = comparable_means({128: {"a": [100.0], "b": [1000.0]}, 256: {"a": [50.0]}})
    assert means.of_size[256].value == pytest.approx((50 + 500) / 2, rel=1e-6)
    assert means.of_size[128].value == pytest.approx(550)


def test_a_size_that_passed_below_one_that_failed_is_still_decided_on() -> None:
    passed = [measurement(128, 100.0, index=i) for i in range(3)]
    decision = decide(adaptive(measurements=(*passed, measurement(10_240, error="out_of_memory"))))
    assert decision.chosen_memory_mb == 128


def test_cold_invocations_do_not_count_beside_warm_ones() -> None:
    cold: list[Measurement] = [measurement(512, 9000.0, cold_start=True)]
    warm = [measurement(size, waiting(size), index=i) for size in (128, 512) for i in (1, 2, 3)]
    assert decide(adaptive(measurements=tuple(cold + warm))).chosen_memory_mb == 128

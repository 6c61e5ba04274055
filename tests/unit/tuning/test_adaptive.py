"""The adaptive search, run to its end against curves, and the model that it uses."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenroom.tuning import LADDER_MB, Decision, Measurement, Plan, Prices, TestSpec, case_of, decide, plan, prices_for
from greenroom.tuning.adaptive import MAX_ROUNDS, Evidence, losses
from greenroom.tuning.choice import choose_by_model
from greenroom.tuning.model import Posterior
from greenroom.tuning.statistics import Means, comparable_means
from tests.unit.tuning.builders import PRICES, measurement, spec

GRID = (128, 256, 512, 1024, 1536, 2048, 3008, 4096, 6144, 10_240)
Curve = Callable[[int], float]


def cpu_bound(memory_mb: int) -> float:
    return 20.0 + 500.0 * 1769 / min(memory_mb, 1769)


def waiting(_: int) -> float:
    return 400.0


@dataclass
class Run:
    """A search that has come to its end: what it measured, in how many rounds, and its last plan."""

    spec: TestSpec
    made: list[Measurement] = field(default_factory=list)
    rounds: int = 0
    end: Plan = field(default_factory=lambda: Plan(()))

    @property
    def decision(self) -> Decision:
        return decide(self.spec, self.made)

    @property
    def chosen_mb(self) -> int:
        chosen = self.decision.chosen_memory_mb
        assert chosen is not None
        return chosen

    @property
    def cost_usd(self) -> float:
        return math.fsum(PRICES.cost_usd(m.memory_mb, m.billed_duration_ms) for m in self.made)


def explore(asked: TestSpec, curve: Curve, too_small_mb: int = 0, spread: float = 0.03) -> Run:
    """Run the loop of the state machine against a curve until it is done."""
    draw = random.Random(asked.seed)  # noqa: S311
    run = Run(asked)
    while not (found := plan(asked, run.made, run.rounds)).done:
        for batch in found.batches:
            for index in range(batch.start, batch.start + batch.count):
                duration = curve(batch.memory_mb) * draw.lognormvariate(0, spread)
                error = "out_of_memory" if batch.memory_mb <= too_small_mb else None
                case = case_of(asked.cases, index)
                run.made.append(
                    measurement(batch.memory_mb, duration, index=index, case=case, cold_start=index == 0, error=error)
                )
                if error:
                    break
        run.rounds += 1
    run.end = found
    return run


def adaptive(**fields: Any) -> TestSpec:
    return replace(spec(GRID, search="adaptive"), **fields)


def test_a_waiting_algorithm_is_found_out_with_a_few_invocations_at_small_sizes() -> None:
    run = explore(adaptive(), waiting)
    assert run.chosen_mb == 128
    assert len(run.made) < 25
    assert max(m.memory_mb for m in run.made) <= 1024
    assert "expected loss" in run.end.reason


@pytest.mark.parametrize("seed", range(5))
def test_the_choice_costs_no_more_than_a_little_above_the_best(seed: int) -> None:
    chosen = explore(adaptive(seed=seed), cpu_bound).chosen_mb
    cost = {size: PRICES.cost_usd(size, cpu_bound(size)) for size in GRID}
    assert cost[chosen] <= 1.03 * min(cost.values())


def test_under_duration_it_looks_at_large_sizes_and_a_tie_goes_to_the_cheaper() -> None:
    chosen = explore(adaptive(strategy="duration"), cpu_bound).chosen_mb
    assert chosen >= 1536
    assert cpu_bound(chosen) <= 1.03 * cpu_bound(10_240)


def test_the_weight_of_balanced_moves_the_choice_between_cost_and_duration() -> None:
    def chosen_mb(strategy: str, weight: float = 0.5) -> int:
        return explore(adaptive(strategy=strategy, balanced_weight=weight), cpu_bound, spread=0.01).chosen_mb

    weighed = [chosen_mb("balanced", weight) for weight in (1.0, 0.5, 0.0)]
    assert weighed[0] < weighed[1] < weighed[2]
    assert (weighed[0], weighed[2]) == (chosen_mb("cost"), chosen_mb("duration"))


def test_a_size_that_ran_out_of_memory_takes_the_smaller_ones_with_it_and_is_never_asked_again() -> None:
    run = explore(adaptive(), cpu_bound, too_small_mb=512)
    failed = [m for m in run.made if m.error]
    assert [m.memory_mb for m in failed] == sorted({m.memory_mb for m in failed})
    assert all(m.memory_mb > 512 for m in run.made if not m.error)
    assert run.chosen_mb > 512


def test_an_algorithm_that_fits_nowhere_ends_the_search_and_fails_with_the_reason() -> None:
    run = explore(adaptive(), cpu_bound, too_small_mb=10_240)
    assert run.end == Plan((), "every size ran out of memory or time")
    assert not run.decision.passed
    assert "ran out of memory" in (run.decision.reason or "")


def test_without_power_values_the_whole_range_is_searched() -> None:
    run = explore(adaptive(power_values=()), cpu_bound)
    assert {m.memory_mb for m in run.made} <= set(LADDER_MB)
    assert run.decision.passed


def test_every_case_is_seen_at_the_size_that_is_chosen() -> None:
    cases = ("a", "b", "c", "d", "e")
    run = explore(adaptive(cases=cases), cpu_bound)
    assert {m.case for m in run.made if m.memory_mb == run.chosen_mb} == set(cases)


def test_a_wrong_answer_ends_the_search() -> None:
    assert plan(adaptive(), [measurement(128, error="wrong_answer")], 1).done


@settings(max_examples=25)
@given(
    asked=st.builds(
        adaptive,
        power_values=st.lists(st.sampled_from(LADDER_MB), max_size=8, unique=True).map(tuple),
        num=st.integers(1, 12),
        cases=st.integers(1, 4).map(lambda count: tuple("abcd"[:count])),
        budget_usd=st.none() | st.floats(1e-6, 1e-3),
        strategy=st.sampled_from(["cost", "duration", "balanced"]),
        seed=st.integers(0, 1000),
    ),
    spread=st.floats(0, 1.0),
    too_small=st.sampled_from([0, 128, 1024, 10_240]),
)
def test_the_search_ends_within_its_budget_and_asks_for_nothing_excluded(
    asked: TestSpec, spread: float, too_small: int
) -> None:
    run = explore(asked, cpu_bound, too_small, spread)
    assert run.rounds <= MAX_ROUNDS + 1
    assert len(run.made) <= max(asked.num, len(asked.cases)) * len(asked.sizes_mb)
    assert {m.memory_mb for m in run.made} <= set(asked.sizes_mb)
    failed: set[int] = set()
    for m in run.made:
        assert not failed or m.memory_mb > max(failed) or m.memory_mb == max(failed) or m.error
        if m.error:
            failed.add(m.memory_mb)
    indexes = [(m.memory_mb, m.index) for m in run.made]
    assert len(indexes) == len(set(indexes))


def test_equal_input_and_seed_give_equal_output() -> None:
    one, other = (explore(adaptive(seed=7), cpu_bound, spread=0.2) for _ in range(2))
    assert one == other
    assert one.decision == other.decision


def test_a_budget_in_dollars_is_kept_once_the_price_of_an_invocation_is_known() -> None:
    budget = explore(adaptive(), cpu_bound, spread=0.3).cost_usd / 2
    assert explore(adaptive(budget_usd=budget), cpu_bound, spread=0.3).cost_usd <= budget


def test_a_budget_that_pays_for_19_invocations_with_their_storage_does_not_buy_20() -> None:
    """10 GB of /tmp add 3.5 % to a minute at 512 MB, and every one of the twenty cases has to be seen."""
    cases = tuple("abcdefghijklmnopqrst")
    made = [measurement(512, 60_000.0, case=cases[index], index=index) for index in range(3)]
    lean, large = (prices_for("us-east-1", ephemeral_storage_mb=size) for size in (512, 10_240))
    twenty_usd = 20.3 * lean.cost_usd(512, 60_000)
    assert 19 < twenty_usd / large.cost_usd(512, 60_000) < 20

    def invocations(prices: Prices) -> int:
        budget_usd = 3 * prices.cost_usd(512, 60_000) + twenty_usd
        asked = adaptive(power_values=(512,), cases=cases, num=60, prices=prices, budget_usd=budget_usd)
        return sum(batch.count for batch in plan(asked, made, 1).batches)

    assert invocations(lean) == 20
    assert invocations(large) == 0


def test_a_tie_in_duration_goes_to_the_size_that_is_cheaper_with_its_storage() -> None:
    drawn = Posterior((128, 129), ((100.81, 100.0),) * 90 + ((100.0, 100.0),) * 10)

    def chosen_mb(ephemeral_storage_mb: int) -> int:
        prices = prices_for("us-east-1", ephemeral_storage_mb=ephemeral_storage_mb)
        asked = adaptive(power_values=(128, 129), strategy="duration", prices=prices)
        evidence = Evidence((128, 129), {}, Means({}, 0.0), drawn, losses(drawn, asked.objective, prices))
        choice = choose_by_model(asked, evidence, {128, 129})
        assert {choice.chosen.memory_mb, *choice.tied_mb} == {128, 129}
        return choice.chosen.memory_mb

    # Without storage 128 MB cost 0.8 % less a second, which its longer duration does not use up; with 10 GB it does.
    assert chosen_mb(512) == 128
    assert chosen_mb(10_240) == 129


def test_the_decision_says_its_expected_loss_and_the_probability_of_being_wrong() -> None:
    decision = explore(adaptive(), waiting).decision
    assert decision.expected_loss is not None and decision.probability_wrong is not None
    assert 0 <= decision.expected_loss < 0.01
    assert 0 < decision.probability_wrong < 0.1


def test_one_slow_invocation_does_not_make_a_size_slow() -> None:
    means = comparable_means({128: {"a": [100.0, 101.0, 1500.0]}, 256: {"a": [50.0, 51.0, 49.0]}})
    assert means.of_size[128].value == pytest.approx(100.5)


def test_a_pause_until_the_next_share_of_cpu_does_not_count_as_slow() -> None:
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
    decision = decide(adaptive(), [*passed, measurement(10_240, error="out_of_memory")])
    assert decision.chosen_memory_mb == 128


def test_cold_invocations_do_not_count_next_to_warm_ones() -> None:
    cold = [measurement(512, 9000.0, cold_start=True)]
    warm = [measurement(size, waiting(size), index=i) for size in (128, 512) for i in (1, 2, 3)]
    assert decide(adaptive(), cold + warm).chosen_memory_mb == 128

"""Constraints in the search, weights of cases, and the plan of the comparison with the live release."""

from __future__ import annotations

import random
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from greenroom.tuning import (
    Averaging,
    Constraints,
    Measurement,
    TestSpec,
    case_of,
    decide,
    plan,
    plan_with_live,
    side_of,
)
from greenroom.tuning.spec import LADDER_MB
from greenroom.tuning.statistics import comparable_means, mean_over_cases
from tests.unit.tuning.builders import PRICES, measurement, spec


def cpu_bound_ms(memory_mb: int) -> float:
    return 20.0 + 100.0 * 1769 / min(memory_mb, 1769)


def explore(asked: TestSpec, spread: float) -> tuple[list[Measurement], str]:
    draw = random.Random(asked.seed)  # noqa: S311
    asked_after: dict[int, str] = {}
    made: list[Measurement] = []
    rounds = 0
    while not (found := plan(asked, made, rounds)).done:
        for batch in found.batches:
            assert batch.memory_mb not in asked_after, f"{batch.memory_mb} MB {asked_after[batch.memory_mb]}"
            for index in range(batch.start, batch.start + batch.count):
                duration = cpu_bound_ms(batch.memory_mb) * draw.lognormvariate(0, spread)
                case = case_of(asked.cases, index)
                made.append(measurement(batch.memory_mb, duration, index=index, case=case, cold_start=index == 0))
        rounds += 1
        limit = asked.constraints.max_duration_ms
        for size in {m.memory_mb for m in made}:
            warm = [m.duration_ms for m in made if m.memory_mb == size and not m.cold_start]
            if limit is not None and warm and min(warm) > limit:
                asked_after[size] = f"was asked again, though all of {warm} are above {limit}"
    return made, found.reason


@settings(max_examples=20)
@given(
    limit_ms=st.sampled_from([60.0, 125.0, 200.0, 400.0, 1000.0]),
    strategy=st.sampled_from(["cost", "duration", "balanced"]),
    seed=st.integers(0, 5),
)
def test_the_search_leaves_out_sizes_that_break_a_constraint(limit_ms: float, strategy: str, seed: int) -> None:
    limits = Constraints(max_duration_ms=limit_ms, max_duration_percentile=0.5)
    asked = spec((), search="adaptive", strategy=strategy, constraints=limits, seed=seed)
    made, reason = explore(asked, 0.02)
    found = decide(asked, made)
    within = [size for size in LADDER_MB if cpu_bound_ms(size) <= limit_ms]
    if not within:
        assert reason == "every size breaks a constraint"
        assert not found.passed and "above maxDurationMs" in (found.reason or "")
        return
    assert found.passed, found.reason
    assert found.chosen_memory_mb is not None
    assert cpu_bound_ms(found.chosen_memory_mb) <= limit_ms * 1.05
    if strategy == "cost":
        cost = {size: PRICES.cost_usd(size, cpu_bound_ms(size)) for size in within}
        # One size in the list apart may be lost at the limit itself, where noise decides.
        assert PRICES.cost_usd(found.chosen_memory_mb, cpu_bound_ms(found.chosen_memory_mb)) <= 1.12 * min(
            cost.values()
        )


def test_sizes_that_were_not_looked_at_are_not_told_as_excluded_after_an_adaptive_search() -> None:
    asked = spec((), search="adaptive")
    made, _ = explore(asked, 0.02)
    found = decide(asked, made)
    assert {r.memory_mb for r in found.power_values} == {m.memory_mb for m in made}
    assert "was not measured" not in found.sentence


@given(
    st.dictionaries(
        st.sampled_from("abcd"), st.lists(st.floats(1, 1000), min_size=1, max_size=8), min_size=1, max_size=4
    ),
    st.lists(st.floats(0.1, 10), min_size=4, max_size=4),
)
def test_weights_weigh_the_cases_as_by_hand(values: dict[str, list[float]], weights: list[float]) -> None:
    of_case = dict(zip("abcd", weights, strict=True))
    found = mean_over_cases(values, Averaging(0.0, of_case)).value
    total = sum(of_case[case] for case in values)
    by_hand = sum(of_case[case] * sum(row) / len(row) for case, row in values.items()) / total
    assert abs(found - by_hand) <= 1e-9 * by_hand
    alike = comparable_means({128: {case: [row[0]] for case, row in values.items()}}, Averaging(0.0, of_case))
    one = sum(of_case[case] * row[0] for case, row in values.items()) / total
    assert abs(alike.of_size[128].value - one) <= 1e-9 * one


@given(st.integers(1, 30), st.integers(1, 50), st.integers(1, 900))
def test_in_the_comparison_with_the_live_release_both_sides_run_each_case_as_often_and_in_turn(
    cases: int, num: int, timeout_s: int
) -> None:
    batches = plan_with_live(cases, 256, num, timeout_s)
    assert all(batch.with_live and batch.memory_mb == 256 for batch in batches)
    indexes = [index for batch in batches for index in range(batch.start, batch.start + batch.count)]
    assert indexes == list(range(len(indexes)))
    sides = [side_of(index) for index in indexes]
    seen = Counter((is_live, pair % cases) for is_live, pair in sides)
    assert {case for _, case in seen} == set(range(cases))
    assert all(seen[True, case] == seen[False, case] for case in range(cases))
    # Each pair has one of each side, and who begins alternates.
    for pair in range(len(indexes) // 2):
        first, second = sides[2 * pair], sides[2 * pair + 1]
        assert (first[0], second[0]) == ((False, True) if pair % 2 == 0 else (True, False))

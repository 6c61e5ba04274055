"""One step of the adaptive search: where the next invocations go, how many they are, and when there are none."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from greenroom.tuning import Measurement, TestSpec, plan
from greenroom.tuning.adaptive import MAX_ROUNDS, Evidence, first_step, losses, step
from greenroom.tuning.model import Posterior
from greenroom.tuning.statistics import Mean, Means
from tests.unit.tuning.builders import PRICES, measurement, spec

ERROR = 0.1


def asked(sizes_mb: Sequence[int], **fields: Any) -> TestSpec:
    """A search that nothing but its loss, its rounds or its invocations ends."""
    return spec(sizes_mb, **{"search": "adaptive", "strategy": "duration", "num": 1000, **fields})


def evidence(draws_ms: Mapping[int, Sequence[float]], warm: Mapping[int, int], strategy: Any = "duration") -> Evidence:
    """What a model with these draws would say after so many warm invocations at each size."""
    sizes = tuple(sorted(draws_ms))
    drawn = Posterior(sizes, tuple(zip(*(draws_ms[size] for size in sizes), strict=True)))
    means = Means({size: Mean(sum(draws_ms[size]) / len(draws_ms[size]), ERROR) for size in warm}, ERROR**2)
    return Evidence(sizes, warm, means, drawn, losses(drawn, asked(sizes, strategy=strategy).objective, PRICES))


def uncertain(generator: random.Random, sizes: int, draws: int = 64) -> dict[int, list[float]]:
    """Draws of sizes of which any may be the fastest, each known with an error of its own."""
    centres = [100 * generator.lognormvariate(0, 0.1) for _ in range(sizes)]
    spread = [generator.uniform(0.02, 0.3) for _ in range(sizes)]
    return {
        512 * (place + 1): [centre * generator.lognormvariate(0, wide) for _ in range(draws)]
        for place, (centre, wide) in enumerate(zip(centres, spread, strict=True))
    }


def worth(draws_ms: Mapping[int, Sequence[float]], size: int, relative_error: float, seed: int) -> float:
    """By how much a mean at a size lowers the least expected loss, by simulation of what it might be."""
    generator = random.Random(seed)  # noqa: S311
    rows = list(zip(*draws_ms.values(), strict=True))
    loss = [[value / min(row) - 1 for value in row] for row in rows]
    now = min(sum(column) / len(rows) for column in zip(*loss, strict=True))
    gained = 0.0
    for _ in range(400):
        seen = math.log(generator.choice(draws_ms[size])) + generator.gauss(0, relative_error)
        weights = [math.exp(-(((seen - math.log(ms)) / relative_error) ** 2) / 2) for ms in draws_ms[size]]
        then = min(sum(w * x for w, x in zip(weights, c, strict=True)) / sum(weights) for c in zip(*loss, strict=True))
        gained += now - then
    return gained / 400


@pytest.mark.parametrize("seed", range(12))
def test_the_next_invocations_are_nearly_those_that_a_simulation_finds_worth_most(seed: int) -> None:
    generator = random.Random(seed)  # noqa: S311
    draws_ms = uncertain(generator, 3)
    warm = {size: generator.randint(4, 12) for size in list(draws_ms)[: generator.randint(1, 3)]}
    found = step(asked(tuple(draws_ms)), evidence(draws_ms, warm), (), 1)
    offers = {}
    for size, drawn in draws_ms.items():
        # A size that is new needs one invocation more, for its cold start.
        count = max(2, warm[size] // 2) if size in warm else 2
        error = math.sqrt(ERROR**2 / count) * (1769 / min(size, 1769)) ** 0.25
        price = (count + (size not in warm)) * sum(drawn) / len(drawn)
        offers[size] = worth(draws_ms, size, error, seed) / price
    (size,) = found.invocations
    assert offers[size] >= 0.8 * max(offers.values())
    assert found.invocations == {size: max(2, warm[size] // 2) if size in warm else 3}
    assert found.reason == ""


def test_a_size_that_is_hardly_ever_the_best_gets_nothing_however_little_is_known_of_it() -> None:
    generator = random.Random(5)  # noqa: S311
    draws_ms = uncertain(generator, 2)
    worst = max(max(column) for column in draws_ms.values())
    hopeless = draws_ms | {4096: [worst * generator.uniform(1, 9) for _ in range(62)] + [1.0, 1.0]}
    found = step(asked(tuple(hopeless)), evidence(hopeless, dict.fromkeys(hopeless, 4)), (), 1)
    assert found.invocations and 4096 not in found.invocations


def test_where_no_batch_alone_would_change_the_choice_the_two_best_are_measured_together() -> None:
    # The larger size is better in every draw, by more than the threshold and with nothing left to learn of it.
    certain = {512: [200.0] * 8, 1024: [100.0] * 8, 2048: [101.0] * 8}
    found = step(asked((512, 1024, 2048), max_expected_loss=0.0), evidence(certain, dict.fromkeys(certain, 9)), (), 1)
    assert found.invocations == {1024: 2, 2048: 2}


@pytest.mark.parametrize(("sizes", "at_once"), [(12, 1), (13, 2)])
def test_in_a_long_list_two_sizes_are_measured_in_a_round(sizes: int, at_once: int) -> None:
    generator = random.Random(1)  # noqa: S311
    alike = {512 * (place + 1): [100 * generator.lognormvariate(0, 0.2) for _ in range(256)] for place in range(sizes)}
    found = step(asked(tuple(alike)), evidence(alike, dict.fromkeys(alike, 4)), (), 1)
    assert len(found.invocations) == at_once


CLEAR = {512: [300.0] * 8, 1024: [100.0] * 8, 2048: [104.0] * 8}


@pytest.mark.parametrize(
    ("warm", "wanted"),
    [
        ({1024: 1}, {1024: 3, 2048: 5}),
        ({1024: 3, 2048: 2}, {1024: 1, 2048: 2}),
        ({1024: 4, 2048: 4}, {}),
        ({512: 9, 1024: 5, 2048: 9}, {}),
    ],
)
def test_before_it_ends_the_best_size_and_its_near_rival_have_been_seen_four_times_warm(
    warm: dict[int, int], wanted: dict[int, int]
) -> None:
    found = step(asked(tuple(CLEAR)), evidence(CLEAR, warm), (), 3)
    assert found.invocations == wanted
    assert found.reason == ("" if wanted else "the expected loss is 0.00 %, under 0.2 %")
    assert found.expected_loss == 0.0


def test_a_rival_that_is_a_tenth_worse_need_not_be_seen() -> None:
    far = CLEAR | {2048: [111.0] * 8}
    assert step(asked(tuple(far)), evidence(far, {1024: 4}), (), 3).invocations == {}


def test_every_case_is_seen_as_often_at_a_size() -> None:
    cases = tuple("abcde")
    known = step(asked(tuple(CLEAR), cases=cases), evidence(CLEAR, {1024: 3, 2048: 4}), (), 3)
    assert known.invocations == {1024: 5}
    new = step(asked(tuple(CLEAR), cases=cases), evidence(CLEAR, {1024: 4}), (), 3)
    # One more than the cases: the first is cold.
    assert new.invocations == {2048: 6}


def invoked(count: int) -> list[Measurement]:
    return [measurement(1024, 100.0, index=index) for index in range(count)]


def test_it_makes_no_more_invocations_than_the_fixed_search_would() -> None:
    few = asked(tuple(CLEAR), num=4)
    assert step(few, evidence(CLEAR, {1024: 1}), invoked(11), 3).invocations == {1024: 1}
    assert step(few, evidence(CLEAR, {1024: 1}), invoked(9), 3).invocations == {1024: 3}
    assert step(few, evidence(CLEAR, {1024: 1}), invoked(12), 3).reason == "its budget is spent"


def test_a_budget_pays_for_what_is_left_of_it_at_the_dearest_size() -> None:
    dearest_usd = PRICES.cost_usd(2048, 104.0)
    made = invoked(10)
    budget_usd = 10 * PRICES.cost_usd(1024, 100.0) + 2.5 * dearest_usd
    poor = asked(tuple(CLEAR), budget_usd=budget_usd)
    assert step(poor, evidence(CLEAR, {1024: 1}), made, 3).invocations == {1024: 2}
    spent = step(replace(poor, budget_usd=budget_usd - 2 * dearest_usd), evidence(CLEAR, {1024: 1}), made, 3)
    assert (spent.invocations, spent.reason) == ({}, "its budget is spent")
    # An invocation that was throttled cost nothing.
    lost = [*made, *(replace(row, error="throttled") for row in made)]
    assert step(poor, evidence(CLEAR, {1024: 1}), lost, 3).invocations == {1024: 2}


def test_it_ends_after_its_rounds() -> None:
    (last, over) = (step(asked(tuple(CLEAR)), evidence(CLEAR, {1024: 1}), (), MAX_ROUNDS + more) for more in (-1, 0))
    assert last.invocations
    assert (over.invocations, over.reason, over.expected_loss) == ({}, f"{MAX_ROUNDS} rounds are made", 0.0)


def test_it_ends_when_a_share_of_the_cost_of_measuring_everything_is_spent() -> None:
    # Ten times each of three sizes takes 5 GB-s a time here: 40 % may be spent, and all of it is not a trifle.
    sizes = {512: [10_000.0] * 8, 1024: [5_000.0] * 8, 2048: [2_500.0] * 8}
    ten = asked(tuple(sizes), num=10)
    within, over = (step(ten, evidence(sizes, {512: warm, 1024: 1}), (), 3) for warm in (11, 12))
    assert within.invocations
    assert (over.invocations, over.reason) == ({2048: 3}, "")
    seen = step(ten, evidence(sizes, {512: 12, 2048: 1}), (), 3)
    assert (seen.invocations, seen.reason) == ({}, "40 % of the cost of measuring everything is spent")
    assert seen.expected_loss == 0.0


def test_of_a_longer_list_a_smaller_share_of_the_cost_may_be_spent() -> None:
    # Five sizes of 5 GB-s a time, ten times each: 38 % of 250 GB-s are 95.
    sizes = {512 * 2**place: [10_000.0 / 2**place] * 8 for place in range(5)}
    ten = asked(tuple(sizes), num=10)
    within, over = (step(ten, evidence(sizes, {512: warm, 8192: 1}), (), 3) for warm in (18, 19))
    assert within.invocations
    assert (over.invocations, over.reason) == ({}, "38 % of the cost of measuring everything is spent")


def test_of_what_costs_less_than_the_steps_themselves_more_may_be_spent() -> None:
    # Three sizes of 0.2 GB-s a time, ten times each, are 6 GB-s: 60 % of them are 18 invocations.
    sizes = {512: [400.0] * 8, 1024: [200.0] * 8, 2048: [100.0] * 8}
    ten = asked(tuple(sizes), num=10)
    within, over = (step(ten, evidence(sizes, {512: warm, 2048: 1}), (), 3) for warm in (16, 18))
    assert within.invocations
    assert over.reason == "60 % of the cost of measuring everything is spent"


@pytest.mark.parametrize(
    ("sizes_mb", "left", "expected"),
    [
        ((128, 256, 512, 1024), 40, {128: 3, 512: 3}),
        ((192, 448, 3008), 30, {192: 3, 448: 3}),
        ((1024, 2048), 20, {1024: 3}),
        ((128, 512), 5, {128: 3}),
        ((128, 512), 2, {128: 2}),
    ],
)
def test_the_first_invocations_are_at_two_sizes_far_apart(
    sizes_mb: tuple[int, ...], left: int, expected: dict[int, int]
) -> None:
    assert first_step(sizes_mb, 1, left).invocations == expected


def test_the_first_invocations_see_every_case_warm() -> None:
    assert first_step((128, 512), 5, 100).invocations == {128: 6, 512: 6}
    assert first_step((128, 512), 2, 100).invocations == {128: 3, 512: 3}


def test_while_nothing_has_passed_it_goes_on_only_as_long_as_there_is_a_budget() -> None:
    lost = [measurement(128, error="throttled", index=index) for index in range(3)]
    wide = asked((128, 512), num=3)
    assert plan(wide, lost, 1).batches
    over = plan(wide, lost * 2, 1)
    assert (over.batches, over.reason) == ((), "the budget is spent, and no invocation has passed")
    failed = [measurement(128, 60_000.0, error="timeout")]
    cost_usd = PRICES.cost_usd(128, 60_000.0)
    assert plan(replace(wide, budget_usd=1.01 * cost_usd), failed, 1).batches
    assert plan(replace(wide, budget_usd=cost_usd), failed, 1).reason == over.reason

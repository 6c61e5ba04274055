"""The choice among power values: ties, the probability of being wrong, and its calibration."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenroom.tuning.adaptive import Evidence, losses
from greenroom.tuning.choice import Candidate, Choice, candidates, choose, choose_by_model, probability_wrong
from greenroom.tuning.model import Posterior
from greenroom.tuning.results import PowerValueResult
from greenroom.tuning.statistics import Mean, Means, PowerValueStatistics
from greenroom.tuning.strategies import Objective
from tests.unit.tuning.builders import PRICES, spec


@given(st.floats(0.0005, 0.05), st.floats(0.0005, 0.05), st.floats(1.0001, 1.0099))
def test_two_sizes_are_tied_if_the_data_cannot_tell_them_apart_at_95_percent(
    one: float, other: float, ratio: float
) -> None:
    found = choose([Candidate(128, 1.0, one, 2.0), Candidate(256, ratio, other, 1.0)])
    certainty = NormalDist(0, math.hypot(one, other)).cdf(math.log(ratio))
    if abs(certainty - 0.95) > 1e-9:
        assert (found.tied_mb == (128,)) == (certainty < 0.95)
        assert found.chosen.memory_mb == (256 if certainty < 0.95 else 128)
    assert found.best.memory_mb == 128


@pytest.mark.parametrize(("ratio", "tied"), [(1.0099, True), (1.0101, False)])
def test_a_size_that_is_worse_by_more_than_the_tolerance_is_never_tied(ratio: float, tied: bool) -> None:
    found = choose([Candidate(128, 1.0, 0.5, 2.0), Candidate(256, ratio, 0.5, 1.0)], 0.01)
    assert (found.chosen.memory_mb == 256) == tied


def test_what_is_known_without_error_is_tied_only_if_it_is_equal() -> None:
    sure = [Candidate(128, 1.0, 0.0, 2.0), Candidate(256, 1.001, 0.0, 1.0)]
    assert choose(sure).chosen.memory_mb == 128
    assert choose([sure[0], Candidate(256, 1.0, 0.0, 1.0)]).chosen.memory_mb == 256


def test_scores_of_nothing_are_chosen_without_a_fault() -> None:
    free = [Candidate(128, 0.0, 0.1, 2.0), Candidate(256, 0.0, 0.1, 1.0), Candidate(512, 1.0, 0.1, 0.0)]
    found = choose(free)
    assert (found.chosen.memory_mb, found.tied_mb) == (256, (128,))
    assert probability_wrong(found.chosen, free[::2], 0.01) == 0.0
    assert probability_wrong(free[2], free[:1], 0.01) == 1.0


def test_a_choice_needs_a_candidate() -> None:
    with pytest.raises(ValueError, match="there is no candidate to choose from"):
        choose([])


def test_a_candidate_alone_is_right() -> None:
    alone = Candidate(128, 1.0, 0.5, 1.0)
    assert choose([alone]) == Choice(alone, alone, None, (), 0.0)
    assert probability_wrong(alone, [], 0.01) == 0.0


@pytest.mark.parametrize("ratio", [1.02, 1.05, 1.12])
def test_the_probability_against_one_other_is_that_of_a_difference_of_normals(ratio: float) -> None:
    chosen, other = Candidate(128, 1.0, 0.03, 1.0), Candidate(256, ratio, 0.04, 1.0)
    exact = NormalDist(math.log(ratio), 0.05).cdf(-math.log(1.01))
    assert probability_wrong(chosen, [other], 0.01) == pytest.approx(exact, abs=1e-6)
    # The log-odds of being right are multiplied by 0.6, plus 0.35 (docs/tuning.md).
    odds_right = math.exp(0.6 * math.log((1 - exact) / exact) + 0.35)
    assert choose([chosen, other]).probability_wrong == pytest.approx(1 / (1 + odds_right), rel=1e-4)


def test_what_is_known_without_error_is_right_or_wrong() -> None:
    chosen = Candidate(128, 1.0, 0.0, 1.0)
    assert probability_wrong(chosen, [Candidate(256, 0.98, 0.0, 1.0)], 0.01) == 1.0
    assert probability_wrong(chosen, [Candidate(256, 0.995, 0.0, 1.0)], 0.01) == 0.0


def test_no_probability_is_nothing_or_certainty_after_it_was_calibrated() -> None:
    far = choose([Candidate(128, 1.0, 0.001, 1.0), Candidate(256, 9.0, 0.001, 1.0)])
    least = 1 / (1 + math.exp(0.35 + 0.6 * math.log(0.9999 / 0.0001)))
    assert far.probability_wrong == pytest.approx(least)


def test_the_runner_up_is_the_best_of_the_others() -> None:
    three = [Candidate(size, score, 0.0, 1.0) for size, score in ((128, 1.3), (256, 1.0), (512, 1.2))]
    found = choose(three)
    assert found.runner_up is three[2]


def result(memory_mb: int, cost: float | None, duration: Mean | None) -> PowerValueResult:
    statistics = PowerValueStatistics(
        memory_mb, n=9, warm=True, cold_starts=0, disturbed=0, errors={}, duration=duration, cost_usd_per_million=cost
    )
    return PowerValueResult(statistics, "ok")


def test_a_candidate_has_what_was_measured_and_at_a_tie_the_other_figure_decides() -> None:
    results = [result(128, 2.0, Mean(100.0, 0.02)), result(256, 3.0, Mean(50.0, 0.03))]
    by_cost, by_duration = (candidates(results, Objective(strategy)) for strategy in ("cost", "duration"))
    assert by_cost == [Candidate(128, 2.0, 0.02, 100.0), Candidate(256, 3.0, 0.03, 50.0)]
    assert by_duration == [Candidate(128, 100.0, 0.02, 2.0), Candidate(256, 50.0, 0.03, 3.0)]
    balanced = candidates(results, Objective("balanced", 0.25))
    assert [c.score for c in balanced] == pytest.approx([0.25 * 2 / 3 + 0.75, 0.25 + 0.75 / 2])
    assert [c.tie_score for c in balanced] == [100.0, 50.0]
    assert candidates([result(128, None, None)], Objective("cost")) == [Candidate(128, 0.0, 0.0, 0.0)]


def by_model(draws_ms: Mapping[int, Sequence[float]], usable_mb: set[int] | None = None, **fields: Any) -> Choice:
    sizes = tuple(draws_ms)
    asked = spec(sizes, **{"search": "adaptive", "strategy": "duration", **fields})
    drawn = Posterior(sizes, tuple(zip(*draws_ms.values(), strict=True)))
    evidence = Evidence(sizes, {}, Means({}, 0.0), drawn, losses(drawn, asked.objective, PRICES))
    return choose_by_model(asked, evidence, usable_mb or set(sizes))


def test_the_model_counts_loss_and_probability_over_its_draws() -> None:
    found = by_model({512: [100.0] * 10, 1024: [90.0] * 2 + [150.0] * 8})
    assert (found.chosen.memory_mb, found.best.memory_mb, found.tied_mb) == (512, 512, ())
    assert found.runner_up is not None and found.runner_up.memory_mb == 1024
    # In two of ten draws the other is better, by a ninth.
    assert found.expected_loss == pytest.approx(0.2 / 9)
    # The log-odds of being right are multiplied by 0.85, less 0.1 (docs/tuning.md).
    assert found.probability_wrong == pytest.approx(1 / (1 + math.exp(0.85 * math.log(8.5 / 2.5) - 0.1)))
    assert found.chosen.score == 100.0
    assert found.chosen.error == 0.0
    logs = [math.log(90.0)] * 2 + [math.log(150.0)] * 8
    assert found.runner_up.score == pytest.approx(138.0)
    assert found.runner_up.error == pytest.approx(NormalDist.from_samples(logs).stdev * math.sqrt(0.9))


def test_a_size_that_may_not_be_chosen_still_counts_against_the_choice() -> None:
    found = by_model({512: [100.0] * 10, 1024: [50.0] * 10}, {512})
    assert (found.chosen.memory_mb, found.runner_up) == (512, None)
    assert found.expected_loss == pytest.approx(1.0)
    assert found.probability_wrong > 0.9


@pytest.mark.parametrize(
    ("larger", "tied"),
    [
        # Dearer in every draw: told apart.
        ([100.5] * 100, False),
        # Dearer in 94 of 100 and never by more than the tolerance.
        ([100.5] * 94 + [99.9] * 6, True),
        ([100.5] * 95 + [99.9] * 5, False),
        # Worse than the tolerance in 24 and in 25 of 100.
        ([101.1] * 24 + [100.1] * 66 + [99.9] * 10, True),
        ([101.1] * 25 + [100.1] * 65 + [99.9] * 10, False),
        # On average worse by more than the tolerance.
        ([105.0] * 24 + [100.1] * 66 + [99.9] * 10, False),
    ],
)
def test_after_an_adaptive_search_a_tie_must_be_likely_and_harmless(larger: list[float], tied: bool) -> None:
    found = by_model({512: [100.0] * 100, 1024: larger})
    assert (found.tied_mb != ()) == tied

"""What is best, and what a power value has to meet."""

from __future__ import annotations

import re

import pytest

from greenroom.tuning import Constraints
from greenroom.tuning.statistics import summarize
from greenroom.tuning.strategies import UNBOUND, Objective
from tests.unit.tuning.builders import PRICES, measurement, series

COSTS, DURATIONS = [2.0, 4.0, 3.0], [50.0, 10.0, 25.0]


def test_cost_and_duration_are_their_own_scores() -> None:
    assert Objective("cost").scores(COSTS, DURATIONS) == COSTS
    assert Objective("duration").scores(COSTS, DURATIONS) == DURATIONS


@pytest.mark.parametrize("weight", [0.0, 0.3, 0.5, 1.0])
def test_balanced_weighs_shares_of_the_dearest_and_the_slowest(weight: float) -> None:
    expected = [weight * cost / 4 + (1 - weight) * ms / 50 for cost, ms in zip(COSTS, DURATIONS, strict=True)]
    assert Objective("balanced", weight).scores(COSTS, DURATIONS) == pytest.approx(expected)


def test_balanced_has_scores_for_what_costs_and_takes_nothing() -> None:
    assert Objective("balanced").scores([0.0, 0.0], [0.0, 0.0]) == [0.0, 0.0]
    assert Objective("balanced").scores([], []) == []


def test_what_is_wrong_with_an_objective_is_named() -> None:
    with pytest.raises(ValueError, match="strategy is 'speedy': use one of cost, duration, balanced"):
        Objective("speedy")  # type: ignore[arg-type]
    for weight in (-0.1, 1.1):
        with pytest.raises(ValueError, match=re.escape(f"balancedWeight is {weight}: a number from 0 to 1 is needed")):
            Objective("balanced", weight)


def violation(limits: Constraints) -> str | None:
    """What breaks the limits at 256 MB, of ten durations of 100 to 190 ms with 192 MB used."""
    measured = series(256, [100.0 + 10 * i for i in range(10)], max_memory_used_mb=192)
    return limits.violation(summarize(256, measured, PRICES), sorted(m.duration_ms for m in measured))


@pytest.mark.parametrize(
    ("limits", "broken"),
    [
        (UNBOUND, None),
        (Constraints(max_duration_ms=185.5), None),
        (Constraints(max_duration_ms=185.4), "p95 of the duration is 185.5 ms, above maxDurationMs 185.4"),
        (Constraints(max_duration_ms=145.0, max_duration_percentile=0.5), None),
        (
            Constraints(max_duration_ms=144.0, max_duration_percentile=0.5),
            "p50 of the duration is 145 ms, above maxDurationMs 144",
        ),
        (Constraints(max_cost_usd_per_million=0.805), None),
        (Constraints(max_cost_usd_per_million=0.8), "costs $0.8042 per million, above maxCostUsd 0.8"),
        (Constraints(min_headroom=0.25), None),
        (Constraints(min_headroom=0.251), "leaves 25 % of its memory free, below the minimum headroom of 25.1 %"),
    ],
)
def test_a_power_value_that_breaks_a_limit_says_which(limits: Constraints, broken: str | None) -> None:
    assert violation(limits) == broken


def test_what_is_not_known_breaks_no_limit() -> None:
    unknown = summarize(256, [measurement(256, error="platform")], PRICES)
    limits = Constraints(max_duration_ms=1.0, max_cost_usd_per_million=0.1, min_headroom=0.9)
    assert limits.violation(unknown, []) is None


@pytest.mark.parametrize(
    ("limits", "exceeded"),
    [
        (UNBOUND, False),
        (Constraints(min_headroom=0.99), False),
        (Constraints(max_duration_ms=100.0), False),
        (Constraints(max_duration_ms=99.9), True),
        (Constraints(max_cost_usd_per_million=2.0), False),
        (Constraints(max_cost_usd_per_million=1.9), True),
        (Constraints(max_duration_ms=99.9, max_cost_usd_per_million=2.0), True),
        (Constraints(max_duration_ms=100.0, max_cost_usd_per_million=1.9), True),
    ],
)
def test_an_expected_duration_and_cost_exceed_a_limit_only_above_it(limits: Constraints, exceeded: bool) -> None:
    assert limits.are_exceeded(100.0, 2.0) == exceeded
    assert limits.any == (limits != UNBOUND)

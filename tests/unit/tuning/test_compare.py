"""The comparison of two releases."""

from __future__ import annotations

import math
import random
from statistics import NormalDist
from typing import Any

import pytest

from greenroom.tuning import Measurement, compare, prices_for
from tests.unit.tuning.builders import series

PRICES = prices_for("us-east-1")


def noisy(memory_mb: int, duration_ms: float, seed: int, case: str = "small", n: int = 20) -> list[Measurement]:
    draw = random.Random(seed)  # noqa: S311
    return series(memory_mb, [duration_ms * draw.lognormvariate(0, 0.05) for _ in range(n)], case=case)


def test_a_slower_release_is_a_regression_when_it_is_worse_by_more_than_allowed() -> None:
    found = compare(noisy(256, 130, 1), noisy(256, 100, 2), PRICES, max_regression=0.1)
    assert found is not None
    assert found.duration.ratio == pytest.approx(1.3, rel=0.05)
    assert found.regression is not None
    assert "slower" in found.regression
    assert "above the 10 % of maxRegression" in found.regression


def test_a_slower_release_within_what_is_allowed_is_none() -> None:
    found = compare(noisy(256, 104, 1), noisy(256, 100, 2), PRICES, max_regression=0.1)
    assert found is not None
    assert found.regression is None


def test_what_the_data_cannot_tell_apart_is_said_so() -> None:
    found = compare(noisy(256, 100, 1), noisy(256, 100, 2), PRICES)
    assert found is not None
    assert "not measurably slower or faster" in found.sentence
    assert found.regression is None


def test_a_larger_size_may_be_faster_and_more_expensive() -> None:
    found = compare(noisy(1024, 80, 1), noisy(256, 100, 2), PRICES)
    assert found is not None
    assert "faster" in found.sentence
    assert "more expensive" in found.sentence


def test_only_cases_that_both_passed_are_compared() -> None:
    new = noisy(256, 100, 1) + noisy(256, 900, 3, case="new")
    found = compare(new, noisy(256, 100, 2), PRICES)
    assert found is not None
    assert found.cases == ("small",)
    assert found.duration.ratio == pytest.approx(1, rel=0.05)
    assert compare(noisy(256, 1, 1, case="other"), noisy(256, 1, 1), PRICES) is None


def test_intervals_hold_as_often_as_they_say() -> None:
    held = 0
    for seed in range(400):
        found = compare(noisy(256, 100, seed, n=10), noisy(256, 100, seed + 10_000, n=10), PRICES)
        assert found is not None
        held += found.duration.low <= 1 <= found.duration.high
    assert 0.86 <= held / 400 <= 0.99


def flat(memory_mb: int, duration_ms: float, **fields: Any) -> list[Measurement]:
    return series(memory_mb, [duration_ms] * 20, **fields)


def test_the_interval_is_that_of_the_quotient_of_two_means_at_90_percent() -> None:
    found = compare(flat(256, 130.0), flat(256, 100.0), PRICES)
    assert found is not None
    # Of 20 equal durations nothing but the typical spread is left: 0.1 with the weight of 4 of 23 degrees of freedom.
    error = math.sqrt(2) * 0.1 * math.sqrt(4 / 23 / 20)
    wide = math.exp(NormalDist().inv_cdf(0.95) * error)
    assert (found.duration.low, found.duration.high) == pytest.approx((1.3 / wide, 1.3 * wide), rel=1e-4)
    assert found.duration.ratio == pytest.approx(1.3)


def test_a_comparison_is_said_in_figures() -> None:
    found = compare(flat(512, 80.0), flat(256, 100.0), PRICES, max_regression=0.25)
    assert found is not None
    assert found.sentence == (
        "Compared with the live release it is 20.0 % faster (18.2 to 21.7 %) and "
        "40.5 % more expensive (37.5 to 43.6 %)."
    )
    assert found.regression == (
        "40.5 % more expensive (37.5 to 43.6 %) than the live release, above the 25 % of maxRegression"
    )
    slower = compare(flat(256, 130.0), flat(256, 100.0), PRICES, max_regression=0.1)
    assert slower is not None
    assert slower.regression == (
        "30.0 % slower (27.2 to 32.9 %) than the live release, above the 10 % of maxRegression; "
        "20.3 % more expensive (17.7 to 22.9 %) than the live release, above the 10 % of maxRegression"
    )
    same = compare(flat(256, 100.0), flat(256, 100.0), PRICES)
    assert same is not None
    assert same.sentence == (
        "Compared with the live release it is not measurably slower or faster (-2.1 % to +2.2 %) and not measurably "
        "more expensive or cheaper (-2.1 % to +2.2 %)."
    )


def test_a_regression_is_one_only_with_95_percent_confidence() -> None:
    low = 1.3 / math.exp(1.645 * math.sqrt(2) * 0.1 * math.sqrt(4 / 23 / 20)) - 1
    for allowed, is_one in ((low - 0.001, True), (low + 0.001, False)):
        found = compare(flat(256, 130.0), flat(256, 100.0), PRICES, max_regression=allowed)
        assert found is not None
        assert ("slower" in (found.regression or "")) == is_one


@pytest.mark.parametrize("left_out", [{"cold_start": True}, {"error": "exception"}])
def test_cold_starts_and_failures_are_left_out(left_out: dict[str, Any]) -> None:
    found = compare([*flat(256, 100.0), *flat(256, 900.0, **left_out)], flat(256, 100.0), PRICES)
    assert found is not None
    assert found.duration.ratio == 1.0
    assert compare(flat(256, 100.0, **left_out), flat(256, 100.0), PRICES) is None


def test_what_takes_no_time_is_not_compared_but_a_tenth_of_a_millisecond_is() -> None:
    assert compare(flat(256, 0.0), flat(256, 0.0), PRICES) is None
    short = compare(flat(256, 0.1), flat(256, 0.1), PRICES)
    assert short is not None and short.duration.ratio == 1.0


def test_the_cost_has_the_storage_of_the_function_in_it() -> None:
    lean, large = (
        compare(flat(128, 100.0), flat(128, 50.0), prices_for("us-east-1", ephemeral_storage_mb=size))
        for size in (512, 10_240)
    )
    assert lean is not None and large is not None
    assert lean.cost.ratio < large.cost.ratio < 2.0


def test_what_the_machine_disturbed_is_not_compared() -> None:
    quiet, busy = flat(128, 100), flat(128, 500, disturbed_ms=300.0)
    assert compare([*quiet, *busy], flat(128, 100), PRICES) == compare(quiet, flat(128, 100), PRICES)
    assert compare(busy, flat(128, 100), PRICES) is None

"""The comparison of two releases."""

from __future__ import annotations

import random

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


def test_a_larger_size_may_be_faster_and_dearer() -> None:
    found = compare(noisy(1024, 80, 1), noisy(256, 100, 2), PRICES)
    assert found is not None
    assert "faster" in found.sentence
    assert "dearer" in found.sentence


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

"""The statistics of a power value."""

from __future__ import annotations

import math
import random
import statistics as reference
from fractions import Fraction
from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenroom.tuning import prices_for
from greenroom.tuning.statistics import (
    mean_over_cases,
    percentile_with_interval,
    quantile,
    quantile_ranks,
    summarize,
    trimmed_mean,
)
from tests.unit.tuning.builders import measurement, series

PRICES = prices_for("us-east-1")
TIMES = st.lists(st.floats(0.1, 900_000), min_size=1, max_size=60)


@given(TIMES.filter(lambda values: len(values) > 1))
def test_quantiles_agree_with_the_standard_librarys_inclusive_method(values: list[float]) -> None:
    expected = reference.quantiles(values, n=100, method="inclusive")
    ordered = sorted(values)
    for share in (0.5, 0.9, 0.95, 0.99):
        assert quantile(ordered, share) == pytest.approx(expected[round(share * 100) - 1], rel=1e-9)


@given(TIMES)
def test_the_trimmed_mean_leaves_out_a_fifth_at_each_end(values: list[float]) -> None:
    kept = sorted(values)
    for _ in range(int(len(values) * 0.2)):
        kept.remove(min(kept))
        kept.remove(max(kept))
    assert trimmed_mean(values) == pytest.approx(reference.fmean(kept), rel=1e-9)


@settings(deadline=None)
@given(st.integers(1, 120), st.sampled_from([Fraction(1, 2), Fraction(9, 10), Fraction(19, 20)]))
def test_the_ranks_of_an_interval_agree_with_exact_binomial_sums(n: int, share: Fraction) -> None:
    exactly = [math.comb(n, i) * share**i * (1 - share) ** (n - i) for i in range(n + 1)]
    at_most = list(accumulate(exactly))
    tail = Fraction(25, 1000)
    low = max((rank for rank in range(1, n + 1) if at_most[rank - 1] <= tail), default=None)
    high = min((rank for rank in range(1, n + 1) if at_most[rank - 1] >= 1 - tail), default=None)
    expected = None if low is None or high is None else (low, high)
    assert quantile_ranks(n, float(share)) == expected


@pytest.mark.parametrize(("share", "least"), [(0.5, 6), (0.9, 36), (0.95, 72), (0.99, 368)])
def test_a_percentile_that_n_cannot_support_is_not_given(share: float, least: int) -> None:
    assert percentile_with_interval([float(i) for i in range(least - 1)], share) is None
    assert percentile_with_interval([float(i) for i in range(least)], share) is not None


def test_intervals_of_the_median_cover_the_truth_as_often_as_they_say() -> None:
    draw = random.Random(1)  # noqa: S311
    covered = 0
    for _ in range(2000):
        found = percentile_with_interval(sorted(draw.lognormvariate(0, 0.4) for _ in range(25)), 0.5)
        assert found is not None
        covered += found.low_ms <= 1.0 <= found.high_ms
    assert 0.94 <= covered / 2000 <= 0.98  # 0.957 for n = 25 by the binomial sum


@given(TIMES, st.floats(0.01, 100))
def test_a_mean_scales_with_the_unit_and_its_relative_error_does_not(values: list[float], factor: float) -> None:
    one = mean_over_cases({"a": values})
    other = mean_over_cases({"a": [value * factor for value in values]})
    assert other.value == pytest.approx(one.value * factor, rel=1e-6)
    assert other.relative_error == pytest.approx(one.relative_error, rel=1e-4, abs=1e-9)


def test_the_relative_error_is_that_seen_over_many_repetitions() -> None:
    draw = random.Random(2)  # noqa: S311
    means = [mean_over_cases({"a": [draw.lognormvariate(0, 0.2) for _ in range(40)]}) for _ in range(1500)]
    seen = reference.stdev(m.value for m in means) / reference.fmean(m.value for m in means)
    said = reference.fmean(m.relative_error for m in means)
    assert said == pytest.approx(seen, rel=0.1)


def test_a_large_case_is_not_trimmed_away_by_small_ones() -> None:
    measured = [
        measurement(128, 1000.0 if case == "large" else 10.0, case=case, index=i)
        for i, case in enumerate(["a", "b", "c", "d", "large"] * 4)
    ]
    found = summarize(128, measured, PRICES)
    assert found.duration is not None
    assert found.duration.value == pytest.approx((4 * 10 + 1000) / 5)


def test_cold_starts_are_kept_apart_from_warm_invocations() -> None:
    measured = [
        measurement(256, 900.0, cold_start=True, init_duration_ms=400.0, billed_duration_ms=1300),
        *series(256, [100.0] * 9),
    ]
    found = summarize(256, measured, PRICES)
    assert (found.n, found.cold_starts, found.init_ms, found.cold_duration_ms) == (9, 1, 400.0, 900.0)
    assert found.warm
    assert found.mean_ms == 100.0
    assert found.cost_usd_per_million == pytest.approx(PRICES.cost_usd_per_million(256, 100))


def test_where_every_invocation_was_cold_the_figures_are_of_cold_ones_and_say_so() -> None:
    found = summarize(256, series(256, [900.0, 910.0], cold_start=True), PRICES)
    assert not found.warm
    assert found.mean_ms == 905.0


def test_errors_are_counted_by_kind_and_their_times_left_out() -> None:
    measured = [
        *series(128, [10.0, 12.0]),
        measurement(128, 3000.0, error="timeout"),
        measurement(128, 0.0, error="throttled"),
    ]
    found = summarize(128, measured, PRICES)
    assert found.errors == {"timeout": 1, "throttled": 1}
    assert (found.n, found.max_ms) == (2, 12.0)


def test_headroom_is_what_no_invocation_used() -> None:
    found = summarize(
        128, [*series(128, [1.0], max_memory_used_mb=50), *series(128, [1.0], max_memory_used_mb=90)], PRICES
    )
    assert (found.max_memory_used_mb, found.headroom_mb) == (90, 38)


def test_without_a_passing_invocation_there_are_no_times() -> None:
    found = summarize(128, [measurement(128, 3000.0, error="timeout")], PRICES)
    assert found.n == 0
    assert (found.mean_ms, found.duration, found.cost_usd_per_million) == (None, None, None)
    assert found.percentiles == {}


def test_zero_durations_are_summarised_without_a_fault() -> None:
    found = summarize(128, series(128, [0.0] * 10), PRICES)
    assert found.duration is not None
    assert found.duration.value == 0


def test_disturbed_times_count_only_where_a_case_has_no_others() -> None:
    quiet, disturbed = series(128, [100, 101]), series(128, [500, 900], disturbed_ms=300.0)
    found = summarize(128, [*quiet, *disturbed], PRICES)
    assert (found.n, found.max_ms, found.disturbed) == (2, 101, 2)
    alone = series(128, [700], case="large", disturbed_ms=300.0)
    assert summarize(128, [*quiet, *disturbed, *alone], PRICES).max_ms == 700

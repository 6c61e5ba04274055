"""The statistics of a power value."""

from __future__ import annotations

import math
import random
import statistics as reference
from collections.abc import Callable
from fractions import Fraction
from itertools import accumulate
from statistics import NormalDist

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from greenroom.tuning import prices_for
from greenroom.tuning.statistics import (
    Averaging,
    Mean,
    comparable_means,
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


@given(st.integers(1, 120), st.sampled_from([Fraction(1, 2), Fraction(9, 10), Fraction(19, 20)]))
@example(6, Fraction(1, 2))
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


def test_disturbed_times_never_count() -> None:
    quiet, disturbed = series(128, [100, 101]), series(128, [500, 900], disturbed_ms=300.0)
    found = summarize(128, [*quiet, *disturbed], PRICES)
    assert (found.n, found.max_ms, found.disturbed) == (2, 101, 2)
    alone = series(128, [700], case="large", disturbed_ms=300.0)
    found = summarize(128, [*quiet, *disturbed, *alone], PRICES)
    assert (found.n, found.max_ms, found.disturbed) == (2, 101, 3)


def test_a_summary_has_the_extremes_and_the_costs_of_its_own_invocations() -> None:
    measured = [
        *series(256, [30.0, 10.0, 20.0], case="a"),
        *series(256, [300.0], case="b", billed_duration_ms=400.0),
        *series(512, [1.0, 999.0]),
    ]
    found = summarize(256, measured, PRICES)
    assert (found.n, found.min_ms, found.max_ms) == (4, 10.0, 300.0)
    assert found.duration is not None and found.billed is not None
    assert found.duration.value == pytest.approx((20 + 300) / 2)
    assert found.billed.value == pytest.approx((20 + 400) / 2)
    assert found.mean_ms == pytest.approx((20 + 300) / 2)
    assert found.cost_usd_per_million == pytest.approx(PRICES.cost_usd_per_million(256, 210))


def test_the_mean_is_of_everything_and_the_trimmed_mean_of_what_is_left() -> None:
    found = summarize(256, series(256, [1.0, 10.0, 10.0, 10.0, 69.0]), PRICES)
    assert found.duration is not None
    assert (found.mean_ms, found.duration.value) == (20.0, 10.0)
    all_of_it = summarize(256, series(256, [1.0, 10.0, 10.0, 10.0, 69.0]), PRICES, Averaging(trim_share=0.0))
    assert all_of_it.duration is not None
    assert all_of_it.duration.value == 20.0


def test_memory_that_an_unmeasured_invocation_is_said_to_have_used_does_not_count() -> None:
    lost = measurement(128, 1.0, error="platform", max_memory_used_mb=120)
    unknown = measurement(128, 1.0, max_memory_used_mb=None)
    failed = measurement(128, 1.0, error="exception", max_memory_used_mb=80)
    found = summarize(128, [lost, unknown, failed, measurement(128, 1.0, max_memory_used_mb=50)], PRICES)
    assert (found.max_memory_used_mb, found.headroom_mb) == (80, 48)
    assert summarize(128, [lost, unknown], PRICES).max_memory_used_mb is None
    assert summarize(128, [lost, unknown], PRICES).headroom_mb is None


def test_init_and_cold_durations_are_means_over_the_cold_starts() -> None:
    cold = [
        measurement(128, 100.0 * n, cold_start=True, init_duration_ms=10.0 * n, error="timeout" if n == 3 else None)
        for n in (1, 2, 3)
    ]
    found = summarize(128, cold, PRICES)
    assert (found.cold_starts, found.init_ms, found.cold_duration_ms) == (3, 20.0, 150.0)


def test_percentiles_are_given_as_far_as_the_number_of_invocations_supports_them() -> None:
    found = summarize(128, series(128, [float(ms) for ms in range(40)]), PRICES)
    assert sorted(found.percentiles) == [0.5, 0.9]
    assert [found.percentiles[share].ms for share in (0.5, 0.9)] == pytest.approx([19.5, 35.1])
    assert found.percentiles[0.5].low_ms < 19.5 < found.percentiles[0.5].high_ms


def test_the_ends_of_a_means_interval_are_its_95_percent() -> None:
    low, high = Mean(100.0, 0.05).interval
    wide = math.exp(NormalDist().inv_cdf(0.975) * 0.05)
    assert (low, high) == pytest.approx((100 / wide, 100 * wide), rel=1e-4)


@pytest.mark.parametrize("values", [quantile, trimmed_mean])
def test_a_figure_of_no_values_is_refused(values: Callable[..., float]) -> None:
    with pytest.raises(ValueError, match="needs at least one value"):
        values([], 0.2)


def test_the_error_of_comparable_means_is_that_seen_over_many_repetitions() -> None:
    """Durations scatter more at small sizes, and the spread is pooled over all of them."""
    draw = random.Random(4)  # noqa: S311
    scatter = {128: (1769 / 128) ** 0.25, 1769: 1.0}

    def once() -> dict[int, Mean]:
        cells = {
            size: {
                case: [ms * draw.lognormvariate(0, 0.06 * wide) for _ in range(12)]
                for case, ms in (("a", 100.0), ("b", 400.0))
            }
            for size, wide in scatter.items()
        }
        return dict(comparable_means(cells).of_size)

    repeated = [once() for _ in range(400)]
    for size in scatter:
        values = [found[size].value for found in repeated]
        seen = reference.stdev(values) / reference.fmean(values)
        said = reference.fmean(found[size].relative_error for found in repeated)
        assert said == pytest.approx(seen, rel=0.2)


def test_the_error_of_more_invocations_is_larger_at_small_sizes_and_falls_with_their_root() -> None:
    found = comparable_means({size: {"a": [100.0 + i for i in range(9)]} for size in (128, 1769, 4096)})
    assert found.relative_error(4096, 1) == found.relative_error(1769, 1)
    assert found.relative_error(128, 1) == pytest.approx(found.relative_error(1769, 1) * (1769 / 128) ** 0.25)
    assert found.relative_error(1769, 9) == pytest.approx(found.relative_error(1769, 1) / 3)
    assert found.relative_error(1769, 0) == found.relative_error(1769, 1)


def test_a_value_far_below_the_middle_does_not_count_either() -> None:
    assert comparable_means({1769: {"a": [1.0, 100.0, 101.0]}}).of_size[1769].value == pytest.approx(100.5)
    # The lower of two middles is the middle.
    assert comparable_means({1769: {"a": [1.0, 100.0]}}).of_size[1769].value == pytest.approx(1.0)


def test_a_case_that_is_missing_at_a_size_is_filled_in_from_means_of_logarithms() -> None:
    found = comparable_means({1769: {"a": [100.0, 104.0], "b": [1000.0, 1000.0]}, 3008: {"a": [50.0, 50.0]}})
    ratio = 50 / math.sqrt(100.0 * 104.0)
    assert found.of_size[3008].value == pytest.approx((50 + 1000 * ratio) / 2, rel=1e-3)
    assert found.of_size[1769].value == pytest.approx((102 + 1000) / 2)
    assert found.of_size[3008].relative_error > found.of_size[1769].relative_error


def test_nothing_differs_below_a_tenth_of_a_millisecond() -> None:
    found = comparable_means({1769: {"a": [0.0, 0.0]}, 3008: {"a": [0.05]}})
    assert [mean.value for mean in found.of_size.values()] == pytest.approx([0.1, 0.1])


def test_the_error_of_a_mean_over_cases_is_mostly_that_of_the_case_that_takes_longest() -> None:
    # Equal durations have the typical spread alone: 0.1 with the weight of 4 of 4 + 3 + 8 degrees of freedom.
    found = mean_over_cases({"short": [10.0] * 4, "long": [90.0] * 9})
    variance = 0.1**2 * 4 / 15
    expected = math.sqrt((10 / 100) ** 2 * variance / 4 + (90 / 100) ** 2 * variance / 9)
    assert (found.value, found.relative_error) == pytest.approx((50.0, expected))


def test_the_spread_of_two_invocations_counts() -> None:
    # Their variance is 200, of a mean of 100, with one degree of freedom next to the four of the typical spread.
    found = mean_over_cases({"a": [90.0, 110.0]})
    assert found.relative_error == pytest.approx(math.sqrt((4 * 0.1**2 + 200 / 100**2) / 5 / 2))
    alone = mean_over_cases({"a": [90.0]})
    assert alone.relative_error == pytest.approx(0.1)


def test_a_single_invocation_at_a_small_size_is_less_certain() -> None:
    found = comparable_means({size: {"a": [100.0]} for size in (128, 1769)}).of_size
    assert found[128].relative_error == pytest.approx(found[1769].relative_error * (1769 / 128) ** 0.25)
    # Student's t with four degrees of freedom has twice the variance.
    assert found[1769].relative_error == pytest.approx(0.1 * math.sqrt(2))


def test_what_was_made_is_what_counts_and_what_is_set_aside() -> None:
    rows = [
        *series(128, [1.0, 2.0, 3.0]),
        *series(128, [50.0], cold_start=True, init_duration_ms=40.0, billed_duration_ms=90.0),
        *series(128, [9.0, 9.5], disturbed_ms=4.0),
        *series(128, [60.0], cold_start=True, init_duration_ms=40.0, disturbed_ms=7.0),
        *series(128, [8.0], error="throttled", disturbed_ms=7.0),
    ]
    found = summarize(128, rows, PRICES)
    assert (found.n, dict(found.set_aside)) == (3, {"failed": 1, "disturbed": 3, "cold start": 1})
    assert found.n + sum(found.set_aside.values()) == len(rows)
    cold_only = summarize(128, series(128, [1.0, 2.0], cold_start=True, init_duration_ms=1.0), PRICES)
    assert (cold_only.n, dict(cold_only.set_aside)) == (2, {})


def test_a_cold_start_takes_what_is_billed_of_it_and_the_slowest_is_known() -> None:
    waits = [100.0, 300.0, 110.0]
    rows = [
        *(
            measurement(128, 10.0, cold_start=True, init_duration_ms=wait - 10, billed_duration_ms=wait)
            for wait in waits
        ),
        measurement(128, 15_000.0, cold_start=True, billed_duration_ms=25_000.0, disturbed_ms=1.0),
        measurement(128, 10.0),
    ]
    found = summarize(128, rows, PRICES)
    assert (found.cold_start_ms, found.cold_start_worst_ms, found.init_timeouts) == (110.0, 300.0, 1)
    assert summarize(128, rows[-1:], PRICES).cold_start_ms is None

"""The model of the duration over memory, and what the search makes of it."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenroom.tuning import Constraints, Measurement
from greenroom.tuning.adaptive import losses, weigh
from greenroom.tuning.model import Posterior, posterior
from greenroom.tuning.statistics import Averaging, Mean
from greenroom.tuning.strategies import Objective
from tests.unit.tuning.builders import PRICES, measurement, series, spec

GRID = (128, 256, 512, 1024, 1536, 2048, 3008, 4096, 6144, 10_240)


@given(
    st.dictionaries(st.sampled_from(GRID), st.floats(1.0, 1e5), min_size=1, max_size=6),
    st.floats(0.01, 0.3),
    st.floats(0.001, 1000),
)
@settings(max_examples=30)
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


@pytest.mark.parametrize(
    ("measured", "expected"),
    [
        # Four times the memory is four times as fast up to one vCPU, and single-threaded code gains nothing after it.
        ({128: 1000.0, 512: 250.0}, {256: 500.0, 1024: 125.0, 1536: 83.3}),
        # Waiting does not shrink.
        ({128: 400.0, 512: 400.0}, {256: 400.0, 1024: 400.0, 4096: 400.0}),
        # Threads gain from more than one vCPU.
        ({128: 8000.0, 1024: 1000.0, 4096: 250.0}, {512: 2000.0, 2048: 500.0}),
    ],
    ids=["cpu", "waiting", "threads"],
)
def test_the_model_knows_the_shapes_of_functions(measured: dict[int, float], expected: dict[int, float]) -> None:
    drawn = posterior(GRID, {size: Mean(ms, 0.01) for size, ms in measured.items()})
    for size, (low, middle, high) in zip(GRID, drawn.band(), strict=True):
        if size in measured:
            assert middle == pytest.approx(measured[size], rel=0.02)
        if size in expected:
            assert middle == pytest.approx(expected[size], rel=0.15)
            assert low < expected[size] < high


@pytest.mark.parametrize(("threads_mb", "waiting_ms"), [(1769, 0.0), (1769, 300.0), (10_240, 20.0)])
def test_nine_of_ten_sizes_that_were_not_measured_are_within_the_band(threads_mb: int, waiting_ms: float) -> None:
    draw = random.Random(11)  # noqa: S311
    within = total = 0
    for _ in range(12):
        truth = {size: waiting_ms + 300 * 1769 / min(size, threads_mb) * draw.lognormvariate(0, 0.02) for size in GRID}
        seen = draw.sample(GRID, 4)
        observed = {size: Mean(truth[size] * draw.lognormvariate(0, 0.03), 0.03) for size in seen}
        for size, (low, _, high) in zip(GRID, posterior(GRID, observed).band(), strict=True):
            if size not in seen:
                within += low <= truth[size] <= high
                total += 1
    assert within / total >= 0.8


def test_the_band_is_of_the_draws_in_order() -> None:
    drawn = Posterior((128, 256), tuple((float(n), 256.0 - n) for n in range(256)))
    assert drawn.band() == [(12.0, 128.0, 243.0), (13.0, 129.0, 244.0)]
    assert drawn.band(0.5) == [(64.0, 128.0, 191.0), (65.0, 129.0, 192.0)]


def test_another_seed_gives_other_draws_of_the_same_curve() -> None:
    observed = {128: Mean(1000.0, 0.05), 512: Mean(250.0, 0.05)}
    one, same, other = (posterior(GRID, observed, seed=seed) for seed in (1, 1, 2))
    assert one == same
    assert one != other
    medians = [[middle for _, middle, _ in drawn.band()] for drawn in (one, other)]
    assert medians[0] == pytest.approx(medians[1], rel=0.1)


def test_the_loss_of_a_size_is_by_how_much_it_is_above_the_best_in_each_draw() -> None:
    drawn = Posterior((128, 256), ((100.0, 80.0), (100.0, 125.0)))
    found = losses(drawn, Objective("duration"), PRICES)
    assert found.columns == ((0.25, 0.0), (0.0, 0.25))
    assert found.scores == ((100.0, 100.0), (80.0, 125.0))
    assert found.expected == (0.125, 0.125)
    by_cost = losses(drawn, Objective("cost"), PRICES)
    assert by_cost.scores[1] == (PRICES.cost_usd(256, 80.0), PRICES.cost_usd(256, 125.0))
    assert by_cost.order == [0, 1]


def test_less_than_a_millisecond_is_billed_as_one() -> None:
    drawn = Posterior((128, 256), ((0.2, 1.5),))
    assert losses(drawn, Objective("cost"), PRICES).scores == ((PRICES.cost_usd(128, 1),), (PRICES.cost_usd(256, 1.5),))


ROWS = [*series(128, [1000.0] * 4), *series(512, [250.0] * 4)]


def search(**fields: Any) -> Any:
    return spec((128, 256, 512), **{"search": "adaptive", **fields})


def test_under_cost_what_is_billed_is_weighed_and_otherwise_what_was_measured() -> None:
    rows = [measurement(128, 1000.0, index=i, billed_duration_ms=1500.0) for i in range(4)]
    by = {strategy: weigh(search(strategy=strategy), rows) for strategy in ("cost", "duration", "balanced")}
    values = {strategy: found.means.of_size[128].value for strategy, found in by.items() if found}
    assert values == pytest.approx({"cost": 1500.0, "duration": 1000.0, "balanced": 1000.0})


def test_nothing_is_known_before_an_invocation_has_passed() -> None:
    assert weigh(search(), []) is None
    assert weigh(search(), [measurement(128, error="throttled"), measurement(512, error="exception")]) is None
    # What passed at a size below one that was too small is known no more.
    assert weigh(search(), [*ROWS, measurement(512, error="timeout")]) is None


def test_cold_starts_count_only_while_there_is_nothing_else() -> None:
    cold: list[Measurement] = [measurement(size, 9000.0, cold_start=True) for size in (128, 512)]
    first = weigh(search(), cold)
    assert first is not None
    assert first.warm == {128: 1, 512: 1}
    later = weigh(search(), [*cold, *series(512, [250.0] * 3)])
    assert later is not None
    assert later.warm == {512: 3}


def test_the_weights_of_the_cases_are_those_of_the_test() -> None:
    rows = [*series(128, [100.0] * 4, case="a"), *series(128, [1000.0] * 4, case="b")]
    found = weigh(search(cases=("a", "b"), averaging=Averaging(weights={"b": 3.0})), rows)
    assert found is not None
    assert found.means.of_size[128].value == pytest.approx((100 + 3 * 1000) / 4)


@pytest.mark.parametrize(
    ("limits", "in_question"),
    [
        (Constraints(), (128, 256, 512)),
        # Measured at 128 and 512 MB, and foreseen at 256 MB.
        (Constraints(max_duration_ms=1000.0), (128, 256, 512)),
        (Constraints(max_duration_ms=999.0), (256, 512)),
        (Constraints(max_duration_ms=300.0), (512,)),
        (Constraints(max_duration_ms=100.0), ()),
        (Constraints(max_cost_usd_per_million=2.0), ()),
        (Constraints(max_cost_usd_per_million=2.3), (128, 256, 512)),
        # 60 MB were used: less than half of 128 MB are left, and of 256 MB nothing is known.
        (Constraints(min_headroom=0.6), (256, 512)),
        (Constraints(min_headroom=0.9), (256,)),
    ],
)
def test_sizes_that_break_a_limit_as_measured_or_surely_would_are_out_of_question(
    limits: Constraints, in_question: tuple[int, ...]
) -> None:
    found = weigh(search(constraints=limits), ROWS)
    assert found is not None
    assert found.sizes_mb == found.posterior.sizes_mb == in_question
    assert len(found.losses.columns) == len(in_question)
    assert {len(row) for row in found.posterior.draws_ms} == {len(in_question)}
    # The model still knows what was measured there.
    assert set(found.means.of_size) == {128, 512}


def test_a_size_at_which_a_limit_is_broken_in_half_of_the_draws_stays_in_question() -> None:
    drawn = weigh(search(), ROWS)
    assert drawn is not None
    middle = sorted(row[1] for row in drawn.posterior.draws_ms)[128]
    found = weigh(search(constraints=Constraints(max_duration_ms=middle)), ROWS)
    assert found is not None
    assert found.sizes_mb == (256, 512)
    above = [row[1] for row in drawn.posterior.draws_ms]
    surely = math.floor(min(above))
    without = weigh(search(constraints=Constraints(max_duration_ms=max(surely, 251))), ROWS)
    assert without is not None
    assert without.sizes_mb == (512,)

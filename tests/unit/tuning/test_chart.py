"""The data of a chart."""

from __future__ import annotations

import pytest

from greenroom.tuning import Chart, Constraints, Measurement, chart
from tests.unit.tuning.builders import PRICES, measurement, series
from tests.unit.tuning.builders import decision as decide


def measured() -> list[Measurement]:
    return [
        measurement(128, error="out_of_memory"),
        *series(256, [400.0 + i for i in range(10)]),
        *series(512, [190.0 + i for i in range(10)]),
        *series(1024, [170.0 + i for i in range(10)]),
    ]


@pytest.fixture
def drawn() -> Chart:
    return chart(decide(measured(), [128, 256, 512, 1024]), measured())


def test_the_chart_holds_what_was_tried_the_models_curve_and_the_choice(drawn: Chart) -> None:
    assert [p.memory_mb for p in drawn.tried] == [256, 512, 1024]
    assert (drawn.chosen_mb, drawn.excluded_mb) == (512, (128,))
    assert {256, 384, 512, 768, 1024} <= {p.memory_mb for p in drawn.model}
    assert all(p.low_ms <= p.duration_ms <= p.high_ms for p in (*drawn.tried, *drawn.model))


def test_a_test_without_a_time_has_a_chart_of_its_caption_alone() -> None:
    failed = [measurement(128, error="timeout")]
    empty = chart(decide(failed, [128]), failed)
    assert (empty.tried, empty.model, empty.excluded_mb) == ((), (), (128,))
    assert empty.caption.startswith("Not promoted")


def test_a_single_power_value_has_no_curve() -> None:
    one = series(256, [100.0])
    alone = chart(decide(one, [256]), one)
    assert ([p.memory_mb for p in alone.tried], alone.model) == ([256], ())


def test_the_chart_says_the_cost_that_the_table_says() -> None:
    """Of half a millisecond a whole one is billed, at every size."""
    short = [*series(128, [0.9, 1.1] * 5), *series(512, [0.4, 0.5] * 5)]
    decision = decide(short, [128, 512])
    drawn = chart(decision, short)
    in_the_table = [result.statistics.cost_usd_per_million for result in decision.power_values]
    assert [p.cost_usd_per_million for p in drawn.tried] == in_the_table
    at = {p.memory_mb: p for p in drawn.model}
    assert at[512].cost_usd_per_million == pytest.approx(in_the_table[1], rel=0.01)
    assert at[512].duration_ms == pytest.approx(0.45, rel=0.1)


def test_what_took_no_time_has_no_place_on_a_logarithmic_scale() -> None:
    rows = [*series(128, [0.0] * 4), *series(256, [3.0] * 4), *series(512, [2.0] * 4)]
    drawn = chart(decide(rows, [128, 256, 512]), rows)
    assert [p.memory_mb for p in drawn.tried] == [256, 512]
    assert min(p.memory_mb for p in drawn.model) == 256


def test_a_point_has_the_ends_of_the_means_interval_and_their_cost() -> None:
    rows = [*series(256, [400.0, 410.0, 420.0]), *series(512, [200.0] * 3)]
    decision = decide(rows, [256, 512])
    point, duration = chart(decision, rows).tried[0], decision.power_values[0].statistics.duration
    assert duration is not None
    assert (point.low_ms, point.duration_ms, point.high_ms) == (
        duration.interval[0],
        duration.value,
        duration.interval[1],
    )
    low, high = (PRICES.cost_usd_per_million(256, ms) for ms in duration.interval)
    assert (point.low_usd, point.high_usd) == pytest.approx((low, high))
    assert point.low_usd < point.cost_usd_per_million < point.high_usd


def test_the_curve_is_of_every_size_whatever_was_excluded_of_them() -> None:
    rows = [*series(256, [400.0] * 4), *series(1024, [100.0] * 4)]
    decision = decide(rows, [256, 1024], constraints=Constraints(max_duration_ms=200.0))
    drawn = chart(decision, rows)
    assert drawn.excluded_mb == (256,)
    assert [p.memory_mb for p in drawn.model] == [256, 384, 512, 768, 1024]
    assert drawn.chosen_mb == 1024
    assert drawn.caption == decision.sentence

from __future__ import annotations

import json
import math
from xml.etree import ElementTree

import pytest

from greenroom.tuning import Chart, Measurement, chart, svg_plot, terminal_plot
from tests.unit.tuning.builders import decision as decide
from tests.unit.tuning.builders import measurement, series


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
    assert json.loads(json.dumps(drawn.to_dict(), allow_nan=False))["chosenMemoryMb"] == 512


@pytest.mark.parametrize("width", [10, 40, 72, 120])
def test_the_terminal_plot_keeps_to_its_width_and_marks_the_choice(drawn: Chart, width: int) -> None:
    lines = terminal_plot(drawn, width).splitlines()
    assert max(map(len, lines)) <= max(40, width)
    text = "\n".join(lines)
    assert text.count("◆") == 2
    assert "cost, $ per million" in text
    assert "512" in lines[-1]


def test_the_svg_is_well_formed_and_every_number_in_it_is_finite(drawn: Chart) -> None:
    root = ElementTree.fromstring(svg_plot(drawn))  # noqa: S314 - our own output
    circles = [e for e in root.iter() if e.tag.endswith("circle")]
    assert len(circles) == 2 * len(drawn.tried)
    assert all(math.isfinite(float(c.attrib["cy"])) for c in circles)
    assert all(0 <= float(c.attrib["cx"]) <= 760 for c in circles)


def test_a_caption_cannot_break_out_of_the_svg(drawn: Chart) -> None:
    hostile = Chart(drawn.tried, drawn.model, (), 512, "</title><script>alert(1)</script>")
    assert "<script>" not in svg_plot(hostile)


def test_a_test_without_a_time_is_drawn_as_its_caption() -> None:
    failed = [measurement(128, error="timeout")]
    empty = chart(decide(failed, [128]), failed)
    assert terminal_plot(empty) == empty.caption
    ElementTree.fromstring(svg_plot(empty))  # noqa: S314 - our own output


def test_a_single_power_value_can_be_drawn() -> None:
    one = series(256, [100.0])
    assert "256" in terminal_plot(chart(decide(one, [256]), one))


def test_the_chart_says_the_cost_that_the_table_says() -> None:
    """Of half a millisecond a whole one is billed, at every size."""
    short = [*series(128, [0.9, 1.1] * 5), *series(512, [0.4, 0.5] * 5)]
    decision = decide(short, [128, 512])
    drawn = chart(decision, short)
    told = [result.statistics.cost_usd_per_million for result in decision.power_values]
    assert [p.cost_usd_per_million for p in drawn.tried] == told
    at = {p.memory_mb: p for p in drawn.model}
    assert at[512].cost_usd_per_million == pytest.approx(told[1], rel=0.01)
    assert at[512].duration_ms == pytest.approx(0.45, rel=0.1)

"""The chart of a test, on a terminal and as SVG."""

from __future__ import annotations

import io
import math
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from rich.console import Console
from rich.text import Text

from greenroom.cli.charts import Plot, drawable, svg
from greenroom.wire.models import Chart
from tests.unit.cli.sample_releases import CHART


def sample(**fields: object) -> Chart:
    return Chart.model_validate(CHART | fields)


def lines(chart: Chart, width: int) -> list[Text]:
    console = Console(file=io.StringIO(), width=width)
    return [line for line in Plot(chart).__rich_console__(console, console.options) if isinstance(line, Text)]


def styles(line: Text, char: str) -> set[str]:
    """The styles that a character has in a line."""
    return {str(span.style) for span in line.spans if char in line.plain[span.start : span.end]}


@pytest.mark.parametrize("width", [40, 72, 96, 200])
def test_the_plot_keeps_to_its_width_and_marks_the_choice_in_both_panels(width: int) -> None:
    plot = lines(sample(), width)
    text = "\n".join(line.plain for line in plot[:-1])
    assert max(len(line) for line in plot[:-1]) <= min(width, 96)
    assert text.count("◆") == 2
    assert text.count("●") == 4
    assert "512" in plot[-2].plain


def test_every_mark_has_its_style_and_the_title_none_of_them() -> None:
    plot = lines(sample(), 72)
    for char, style in {"◆": "bold green", "●": "bold cyan", "x": "yellow", "·": "magenta"}.items():
        found = set().union(*(styles(line, char) for line in plot[1:10]))
        assert style in found, char
    assert plot[0].plain == "cost, $ per million invocations"
    assert str(plot[0].style) == "bold"
    assert plot[0].spans == []


def test_a_chart_without_a_point_is_its_caption() -> None:
    empty = Chart(caption="Not promoted: nothing was measured.")
    assert [line.plain for line in lines(empty, 72)] == [empty.caption]
    ElementTree.fromstring(svg(empty))  # noqa: S314 - our own output


def test_the_svg_is_well_formed_and_every_point_is_within_it() -> None:
    chart = sample()
    root = ElementTree.fromstring(svg(chart))  # noqa: S314 - our own output
    circles = [e for e in root.iter() if e.tag.endswith("circle")]
    assert len(circles) == 2 * len(chart.tried)
    assert all(0 <= float(c.attrib["cx"]) <= 760 and 0 <= float(c.attrib["cy"]) <= 460 for c in circles)
    tips = [title.text or "" for circle in circles for title in circle]
    assert tips[0] == "128 MB, excluded: 2 (cost, $ per million invocations)"
    assert sum(", chosen:" in tip for tip in tips) == 2


def test_a_faster_point_is_drawn_lower_and_a_larger_size_further_right() -> None:
    root = ElementTree.fromstring(svg(sample()))  # noqa: S314 - our own output
    circles = [e for e in root.iter() if e.tag.endswith("circle")]
    durations = circles[len(circles) // 2 :]
    across, down = ([float(c.attrib[name]) for c in durations] for name in ("cx", "cy"))
    assert across == sorted(across)
    assert down == sorted(down)
    # Both scales are logarithmic: each of the sizes is twice the one before.
    steps = [after - before for before, after in pairwise(across)]
    assert steps == pytest.approx([steps[0]] * 3, abs=0.2)


def test_a_caption_cannot_break_out_of_the_svg() -> None:
    assert "<script>" not in svg(sample(caption="</title><script>alert(1)</script>"))


@pytest.mark.parametrize("value", [0, -1, math.inf, math.nan])
def test_a_figure_that_no_logarithmic_scale_has_is_not_drawn(value: float) -> None:
    point = CHART["tried"][0] | {"lowMs": value}
    assert drawable(CHART | {"tried": [point]}) is None
    assert drawable(CHART) == sample()

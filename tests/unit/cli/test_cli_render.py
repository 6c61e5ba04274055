"""How answers are drawn: what must be readable, at which width, and that data never becomes markup or control codes."""

from __future__ import annotations

import io
import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from sample_releases import FAILED, LIVE, power_value, release

from greenroom.cli import render
from greenroom.cli.plot import BRAILLE, Chart
from greenroom.client import models


def drawn(renderable: object, *, width: int = 80, encoding: str = "utf-8") -> str:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="replace")
    console = Console(file=stream, width=width, highlight=False, markup=False, emoji=False, color_system=None)
    console.print(renderable)
    stream.flush()
    return stream.buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]


def line_with(text: str, *words: str) -> str:
    return next(line for line in text.split("\n") if all(word in line for word in words))


def test_a_live_release_shows_its_stages_its_numbers_and_why_it_was_chosen():
    text = drawn(render.release_page(release(LIVE)))

    assert "13.2 s" in line_with(text, "TESTING") and "after 17.1 s" in line_with(text, "LIVE", "serving")
    row = line_with(text, "◆", "512 MB", "199 ms")
    assert [cell in row for cell in ("30", "197 ms", "221 ms", "143 MB", "$1.87")] == [True] * 5
    assert "512 MB is the cheapest" in text and "version 6 at 512 MB" in text
    assert "excluded: ran out of memory in case large" in text
    assert "75 passed" in line_with(text, "groups-by-tag")


@pytest.mark.parametrize("width", [80, 110, 200])
def test_nothing_of_the_result_is_cut_off_on_a_usual_terminal(width):
    text = drawn(render.outcome(release(LIVE)), width=width)

    assert "…" not in text
    assert max(len(line) for line in text.split("\n")) <= width
    for number in ("408 ms", "453 ms", "400 ms", "143 MB", "$2.07"):
        assert number in text


def test_a_percentile_that_needs_more_measurements_says_how_to_get_them():
    few = power_value(256, 412.2, 1.92, n=8, p90Ms=None)
    summary = models.Summary.model_validate({"powerValues": [few]})

    assert "a larger num in metadata.json" in drawn(render.results_table(summary))
    assert "a larger num" not in drawn(render.outcome(release(LIVE)))


def test_a_failed_release_shows_the_case_the_difference_the_error_and_the_log():
    text = drawn(render.release_page(release(FAILED)))

    assert "3 failed at 256 MB" in line_with(text, "large", "failed")
    assert '-{"a": 1}' in text and '+{"a": 2}' in text and "hello" in text
    assert "tests/large/expected.json says\n" in re.sub(" +\n", "\n", text)
    assert text.count("--- expected") == 1, "the difference is shown once, with its case"
    assert "not run" in line_with(text, "· later")
    assert "prod did not move" in text


def test_what_came_over_the_network_is_neither_markup_nor_a_control_code():
    text = drawn(render.release_page(release(FAILED)))

    assert r"no such group [bold]\x1b[31m" in text
    assert "\x1b" not in text


@given(st.text(max_size=80))
def test_cleaned_text_has_no_character_that_controls_a_terminal(text):
    cleaned = render.clean(text)

    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", cleaned)


@given(st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), max_size=80))
def test_cleaning_changes_nothing_that_can_be_read(text):
    assert render.clean(text) == text


def test_a_long_difference_and_a_long_log_are_shortened_and_say_so():
    lines = "\n".join(f"line {number}" for number in range(100))

    assert "… and 60 lines more" in render.difference(lines).plain
    assert render.tail(lines, 10).split("\n")[0] == "… 90 lines before"
    assert render.tail(lines, 10).endswith("line 99")


def test_a_release_that_is_only_an_id_and_a_status_can_be_shown():
    bare = models.Release.model_validate({"releaseId": "A", "status": "UPLOADING"})

    assert "UPLOADING" in drawn(render.release_page(bare))


def test_a_running_release_shows_how_far_it_is():
    running = release(
        LIVE
        | {"status": "TESTING", "summary": None, "progress": [{"memoryMb": 256, "done": 12, "total": 30, "failed": 1}]}
    )

    assert "1 failed" in line_with(drawn(render.release_page(running)), "256 MB", "12/30")


@pytest.mark.parametrize(
    ("write", "value", "text"),
    [
        (render.milliseconds, 3.456, "3.46 ms"),
        (render.milliseconds, 34.56, "34.6 ms"),
        (render.milliseconds, 345.6, "346 ms"),
        (render.milliseconds, 3456, "3.46 s"),
        (render.milliseconds, 34567, "34.6 s"),
        (render.milliseconds, None, "-"),
        (render.usd, 0.00031, "$0.00031"),
        (render.usd, 0.0000099, "less than $0.0001"),
        (render.usd, 0.208, "$0.208"),
        (render.usd, 12.3, "$12.30"),
        (render.usd, 1234.5, "$1,234"),
        (render.usd, 0.0, "$0"),
        (render.size, 1023, "1023 B"),
        (render.size, 2048, "2.0 KB"),
        (render.size, 1_374_146, "1.3 MB"),
        (render.seconds, 0.254, "0.25 s"),
        (render.seconds, 65.21, "65.2 s"),
        (render.seconds, 180, "3.0 min"),
    ],
)
def test_numbers_are_written_with_the_digits_that_say_something(write, value, text):
    assert write(value) == text


@pytest.mark.parametrize(("passed_s", "text"), [(5, "5 s ago"), (90, "2 min ago"), (7200, "2 h ago"), (-5, "0 s ago")])
def test_an_age_is_told_in_its_largest_unit(passed_s, text):
    now = datetime(2026, 11, 24, tzinfo=UTC)

    assert render.age(now - timedelta(seconds=passed_s), now) == text


def test_lists_say_how_to_begin_when_they_are_empty():
    assert "greenroom init" in drawn(render.algorithms_table([]))
    assert "greenroom push" in drawn(render.releases_table([]))


def test_dead_letters_are_not_overlooked():
    assert "✗ 2 in dead-letter queues" in drawn(render.status_page(models.Status(dead_letters=2)))
    assert "✓ no dead letters" in drawn(render.status_page(models.Status()))


# ---- the chart ------------------------------------------------------------------------------------------------------


def rows_of(text: str, mark: str) -> list[int]:
    return [index for index, line in enumerate(text.split("\n")) if mark in line]


def test_a_chart_marks_the_chosen_memory_and_names_it_below():
    text = drawn(Chart("mean", [(128, 400.0), (256, 200.0), (512, 100.0)], render.milliseconds, marked_mb=256))

    assert text.count("◆") == 1 and text.count("●") == 2
    assert line_with(text, "128", "256", "512", "MB")
    assert line_with(text, "400 ms") and line_with(text, "200 ms")


def test_half_the_value_stands_at_half_the_height():
    text = drawn(Chart("mean", [(128, 400.0), (256, 200.0)], render.milliseconds, marked_mb=256, height=9))

    assert rows_of(text, "●") == [1] and rows_of(text, "◆") == [1 + 4]


def test_the_abscissa_is_logarithmic():
    text = drawn(Chart("mean", [(128, 1.0), (256, 1.0), (512, 1.0)], str, width=41))
    line = line_with(text, "●")
    columns = [match.start() for match in re.finditer("●", line)]

    assert columns[1] - columns[0] == pytest.approx(columns[2] - columns[1], abs=1)


def test_labels_of_the_abscissa_never_touch():
    sizes = [128, 192, 256, 320, 384, 448, 512, 640, 768, 1024, 1769, 3008, 10240]
    text = drawn(Chart("mean", [(size, 1.0) for size in sizes], str, marked_mb=384))
    shown = [int(word) for word in line_with(text, "MB").split() if word != "MB"]

    assert {128, 384, 10240} <= set(shown) <= set(sizes)


@given(
    st.dictionaries(st.integers(128, 10240), st.floats(0, 1e6), min_size=1, max_size=32),
    st.integers(12, 60),
    st.integers(3, 12),
)
def test_any_result_can_be_drawn_within_its_frame(points, width, height):
    text = drawn(Chart("t", list(points.items()), render.milliseconds, width=width, height=height), width=100)

    area = [re.split("[┤│]", line, maxsplit=1)[1] for line in text.split("\n")[1 : 1 + height]]
    assert all(len(line.rstrip("\n")) == width for line in area)
    assert "●" in text


def test_a_terminal_without_braille_gets_plain_characters():
    text = drawn(Chart("mean", [(128, 4.0), (512, 1.0)], render.milliseconds), encoding="ascii")

    assert text.isascii() and "?" not in text and "o" in text
    assert chr(BRAILLE) not in text


@pytest.mark.parametrize("count", [0, 1])
def test_less_than_two_points_are_no_chart(count):
    values = [power_value(256, 1.0, 1.0)][:count]

    assert render.charts(models.Summary.model_validate({"powerValues": values})) is None


def test_a_long_reason_takes_no_room_from_the_other_columns():
    text = drawn(render.releases_table([release(FAILED | {"reason": "word " * 100})]))

    line = line_with(text, "FAILED")
    assert FAILED["releaseId"] in line and "ago" in line and line.rstrip().endswith("…")

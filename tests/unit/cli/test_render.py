"""How answers are drawn: what must be readable, at which width, and that data never becomes markup or control codes."""

from __future__ import annotations

import io
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from greenroom.cli.render.cases import difference, local_cases
from greenroom.cli.render.lists import algorithms_table, releases_table, status_page
from greenroom.cli.render.measured import charts, results_table, statistics
from greenroom.cli.render.release import outcome, release_page
from greenroom.cli.render.tuning import tuning_lines, tuning_outcome
from greenroom.cli.text import age, clean, milliseconds, seconds, size, sizes, tail, usd
from greenroom.wire import models
from greenroom.workbench.local import CaseResult
from tests.unit.cli.sample_releases import CHART, FAILED, LIVE, WITH_CHART, power_value, release


def drawn(renderable: object, *, width: int = 80, encoding: str = "utf-8") -> str:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="replace")
    console = Console(file=stream, width=width, highlight=False, markup=False, emoji=False, color_system=None)
    console.print(renderable)
    stream.flush()
    return stream.buffer.getvalue().decode(encoding)


def summary_of(document: dict[str, Any]) -> models.Summary:
    summary = release(document).summary
    assert summary is not None
    return summary


def line_with(text: str, *words: str) -> str:
    return next(line for line in text.split("\n") if all(word in line for word in words))


def test_a_live_release_shows_its_stages_its_numbers_and_why_it_was_chosen() -> None:
    text = drawn(release_page(release(LIVE)))

    assert "13.2 s" in line_with(text, "TESTING") and "after 17.1 s" in line_with(text, "LIVE", "serving")
    row = line_with(text, "◆", "512 MB", "199 ms")
    assert [cell in row for cell in ("30", "197 ms", "221 ms", "143 MB", "$1.87")] == [True] * 5
    assert "512 MB is the cheapest" in text and "version 6 at 512 MB" in text
    assert "excluded: ran out of memory in case large" in text
    assert "75 passed" in line_with(text, "groups-by-tag")


@pytest.mark.parametrize("width", [80, 110, 200])
def test_nothing_of_the_result_is_cut_off_on_a_usual_terminal(width: int) -> None:
    text = drawn(outcome(release(LIVE)), width=width)

    assert "…" not in text
    assert max(len(line) for line in text.split("\n")) <= width
    for number in ("408 ms", "453 ms", "400 ms", "143 MB", "$2.07"):
        assert number in text


def test_a_percentile_that_needs_more_measurements_says_how_to_get_them() -> None:
    few = power_value(256, 412.2, 1.92, n=8, p90Ms=None)
    summary = models.Summary.model_validate({"powerValues": [few]})

    assert "a larger num in metadata.json" in drawn(results_table(summary))
    assert "a larger num" not in drawn(outcome(release(LIVE)))


def test_a_failed_release_shows_the_case_the_difference_the_error_and_the_log() -> None:
    text = drawn(release_page(release(FAILED)))

    assert "3 failed at 256 MB" in line_with(text, "large", "failed")
    assert '-{"a": 1}' in text and '+{"a": 2}' in text and "hello" in text
    assert text.count("--- expected") == 1, "the difference is shown once, with its case"
    assert "not run" in line_with(text, "· later")


def test_a_failed_release_says_first_what_was_wrong_where_and_what_to_do() -> None:
    lines = [line.strip() for line in drawn(outcome(release(FAILED))).strip().split("\n")]

    problem = FAILED["problem"]
    assert lines[:3] == [f"✗ {problem['message']}", problem["where"], problem["hint"]]
    assert lines[-1] == f"✗ FAILED  nsx-in: {problem['message']}"
    shown = [line.strip() for line in drawn(release_page(release(FAILED))).split("\n")]
    assert shown[1:4] == lines[:3]


def test_a_rejected_package_says_once_what_was_wrong() -> None:
    problem = {"code": "package_rejected", "message": "metadata.json: field 'num' is 0", "hint": "Correct it."}
    rejected = {"releaseId": "A", "status": "REJECTED", "reason": problem["message"], "problem": problem}

    lines = [line.strip() for line in drawn(outcome(release(rejected))).strip().split("\n")]
    assert lines == [
        "✗ REJECTED  the package: the package has a fault; nothing was created",
        "metadata.json: field 'num' is 0",
        "Correct it.",
    ]


def test_a_failure_of_a_platform_that_names_no_problem_has_its_reason() -> None:
    older = {name: value for name, value in FAILED.items() if name != "problem"}

    assert "tests/large/expected.json says" in " ".join(drawn(outcome(release(older))).split())


def test_a_case_that_failed_once_at_each_of_two_sizes_names_both() -> None:
    case = {"case": "large", "failed": 2, "passed": 1, "memoryMb": 128, "failedMemoryMb": [128, 256]}
    case |= {"error": "exception", "errorMessage": "KeyError: 'x'"}
    values = [{"memoryMb": size, "status": "failed", "reason": f"raised at {size} MB"} for size in (128, 256)]
    summary = {"cases": [case], "powerValues": values}

    text = drawn(outcome(release(FAILED | {"summary": summary, "problem": None, "reason": "no"})))

    assert "2 failed at 128 and 256 MB, 1 passed" in text
    assert text.count("KeyError") == 1 and line_with(text, "✗ 128 and 256 MB failed")


def test_a_case_that_nothing_was_compared_with_is_told_as_such() -> None:
    text = drawn(outcome(release(LIVE | {"notCompared": ["small"]})))
    assert "not compared: it has no expected.*" in line_with(text, "✓ small")
    assert "not compared" not in line_with(text, "✓ groups-by-tag")

    results = [CaseResult("one", True), CaseResult("two", True, compared=False), CaseResult("three", False)]
    text = drawn(local_cases(results))
    assert "not compared" not in line_with(text, "✓ one") and "not compared" in line_with(text, "✓ two")
    assert text.rstrip().endswith("2 of 3 passed, 1 not compared")
    assert "1 of 1 passed, none compared: to go live" in drawn(local_cases(results[1:2]))


@pytest.mark.parametrize(
    ("values", "text"), [([], ""), ([128], "128 MB"), ([128, 256], "128 and 256 MB"), ([1, 2, 3], "1, 2 and 3 MB")]
)
def test_memory_sizes_are_listed_as_a_person_does(values: list[int], text: str) -> None:
    assert sizes(values) == text


def test_what_came_over_the_network_is_neither_markup_nor_a_control_code() -> None:
    text = drawn(release_page(release(FAILED)))

    assert r"no such group [bold]\x1b[31m" in text
    assert "\x1b" not in text


@given(st.text(max_size=80))
def test_cleaned_text_has_no_character_that_controls_a_terminal(text: str) -> None:
    cleaned = clean(text)

    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", cleaned)


@given(st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), max_size=80))
def test_cleaning_changes_nothing_that_can_be_read(text: str) -> None:
    assert clean(text) == text


def test_a_long_difference_and_a_long_log_are_shortened_and_say_so() -> None:
    lines = "\n".join(f"line {number}" for number in range(100))

    assert "… and 60 more lines" in difference(lines).plain
    assert tail(lines, 10).split("\n")[0] == "… 90 earlier lines"
    assert tail(lines, 10).endswith("line 99")


def test_a_release_that_is_only_an_id_and_a_status_can_be_shown() -> None:
    bare = models.Release.model_validate({"releaseId": "A", "status": "UPLOADING"})

    assert "UPLOADING" in drawn(release_page(bare))


def test_a_running_release_shows_how_far_it_is() -> None:
    running = release(
        LIVE
        | {"status": "TESTING", "summary": None, "progress": [{"memoryMb": 256, "done": 12, "total": 30, "failed": 1}]}
    )

    assert "1 failed" in line_with(drawn(release_page(running)), "256 MB", "12/30")


@pytest.mark.parametrize(
    ("write", "value", "text"),
    [
        (milliseconds, 3.456, "3.46 ms"),
        (milliseconds, 34.56, "34.6 ms"),
        (milliseconds, 345.6, "346 ms"),
        (milliseconds, 3456, "3.46 s"),
        (milliseconds, 34567, "34.6 s"),
        (milliseconds, None, "-"),
        (usd, 0.00031, "$0.00031"),
        (usd, 0.0000099, "less than $0.0001"),
        (usd, 0.208, "$0.208"),
        (usd, 12.3, "$12.30"),
        (usd, 1234.5, "$1,234"),
        (usd, 0.0, "$0"),
        (size, 1023, "1023 B"),
        (size, 2048, "2.0 KB"),
        (size, 1_374_146, "1.3 MB"),
        (seconds, 0.254, "0.25 s"),
        (seconds, 65.21, "65.2 s"),
        (seconds, 180, "3.0 min"),
    ],
)
def test_numbers_are_written_with_the_digits_that_say_something(
    write: Any, value: float | int | None, text: str
) -> None:
    assert write(value) == text


@pytest.mark.parametrize(("passed_s", "text"), [(5, "5 s ago"), (90, "2 min ago"), (7200, "2 h ago"), (-5, "0 s ago")])
def test_an_age_is_reported_in_its_largest_unit(passed_s: int, text: str) -> None:
    now = datetime(2026, 11, 24, tzinfo=UTC)

    assert age(now - timedelta(seconds=passed_s), now) == text


def test_lists_say_how_to_begin_when_they_are_empty() -> None:
    assert "greenroom init" in drawn(algorithms_table([]))
    assert "greenroom push" in drawn(releases_table([]))


def test_dead_letters_come_first_with_the_command_that_lists_them() -> None:
    queues = [
        {"name": "q", "kind": "input", "algorithm": "nsx-in", "visible": 9},
        {"name": "q-dlq", "kind": "deadLetters", "algorithm": "nsx-in", "visible": 2},
        {"name": "u-dlq", "kind": "failedUploads", "visible": 1},
        {"name": "empty-dlq", "kind": "deadLetters", "algorithm": "asa"},
    ]
    text = drawn(status_page(models.PlatformStatus.model_validate({"deadLetters": 3, "queues": queues})))

    assert text.split("\n")[2].startswith("✗ 3 messages could not be handled")
    assert "greenroom failures nsx-in" in text and "greenroom failures --uploads" in text
    assert "failures asa" not in text and "oldest" not in text
    assert "✓ no dead letters" in drawn(status_page(models.PlatformStatus()))


# ---- the chart ------------------------------------------------------------------------------------------------------


def test_the_plot_shows_the_choice_what_was_tried_intervals_and_the_curve() -> None:
    text = drawn(charts(summary_of(WITH_CHART)))

    assert text.count("◆") == 3 and "x" in text
    assert line_with(text, "cost, $ per million") and line_with(text, "duration, ms")
    assert line_with(text, "128", "256", "512", "1024")
    assert line_with(text, "chosen", "interval", "curve")


def test_a_terminal_without_line_drawing_gets_plain_characters() -> None:
    text = drawn(charts(summary_of(WITH_CHART)), encoding="ascii")

    assert text.isascii() and "?" not in text and "#" in text


@pytest.mark.parametrize(
    "chart",
    [None, {}, CHART | {"tried": CHART["tried"][:1]}],
)
def test_what_is_no_chart_or_less_than_two_points_is_not_drawn(chart: dict[str, Any] | None) -> None:
    assert charts(models.Summary.model_validate({"chart": chart})) is None


def test_statistics_are_shown_in_full_with_intervals_and_their_method() -> None:
    text = drawn(statistics(summary_of(WITH_CHART)))

    assert line_with(text, "256 MB", "410 [398-431]")
    assert line_with(text, "256 MB", "408 [400-417]")
    assert line_with(text, "256 MB", "113 (44%)")
    assert line_with(text, "128 MB", "2 out_of_memory")
    assert "order statistics" in " ".join(text.split()) and "trimmed by 20%" in text


def test_the_test_says_what_it_cost_and_of_what_and_what_was_said_before() -> None:
    text = drawn(outcome(release(WITH_CHART)), width=110)

    assert line_with(text, "The test itself", "for Lambda", "26 state transitions", "at most $0.012")


def test_a_tuning_shows_what_it_found_and_a_dry_run_says_that_it_was_one() -> None:
    tuning = {"tuningId": "t", "status": "SUCCEEDED", "summary": WITH_CHART["summary"], "costAtMostUsd": 0.01}
    link = "https://lambda-power-tuning.show/#gAA=;AAA=;AAA="
    machine = {"executionCost": 0.001, "lambdaCost": 0.002, "visualization": link}
    output = {"power": 512, "cost": 1e-6, "duration": 12.5, "stateMachine": machine}
    found = models.Tuning.model_validate(tuning | {"output": output})

    text = drawn(tuning_outcome(found))
    assert "◆ 512 MB chosen for cost" in text and link in text
    assert "costs at most $0.010" in tuning_lines(found)[0]
    assert "dry run" in drawn(tuning_outcome(models.Tuning.model_validate(tuning | {"output": None})))


def test_a_long_reason_takes_no_room_from_the_other_columns() -> None:
    text = drawn(releases_table([release(FAILED | {"reason": "word " * 100})]))

    line = line_with(text, "FAILED")
    assert FAILED["releaseId"] in line and "ago" in line and line.rstrip().endswith("…")

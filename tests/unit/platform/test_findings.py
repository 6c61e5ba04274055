"""What a test found, as the API gives it and as it is kept."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenroom.platform import findings
from greenroom.platform.findings import Spent
from greenroom.tuning import Batch, Decision, Measurement, chart, compare, decide
from greenroom.tuning.measurements import ERROR_KINDS
from greenroom.tuning.planning import MAX_BATCHES_A_ROUND
from greenroom.wire import models
from tests.unit.tuning.builders import PRICES, measurement, series, spec

MADE = [
    *series(128, [101.23456, *(95 + number / 7 for number in range(40))]),
    *series(256, [50 + number / 7 for number in range(40)]),
]


def decided(made: list[Measurement] = MADE) -> Decision:
    return decide(spec((128, 256)), made, {128: "3", 256: "4"})


def summary(made: list[Measurement] = MADE, **more: Any) -> models.Summary:
    decision = decided(made)
    return findings.summary_of(decision, chart(decision, made), "fixed", Spent(0.001, 40), **more)


def test_a_summary_says_what_was_chosen_and_what_each_size_showed() -> None:
    found = summary()
    assert found.passed and found.chosen_memory_mb in (128, 256)
    assert found.sentence == decided().sentence
    assert [value.memory_mb for value in found.power_values] == [128, 256]
    assert found.power_values[0].percentiles["p50"].ms == found.power_values[0].p50_ms
    assert found.prices and found.prices.region == "us-east-1"


def test_the_ends_of_a_means_interval_are_given_and_those_the_chart_draws() -> None:
    found = summary()
    value, drawn = found.power_values[0], found.chart
    assert drawn and value.trimmed_mean_ms and value.relative_error
    ends = (value.trimmed_mean_low_ms, value.trimmed_mean_high_ms)
    assert ends == (drawn.tried[0].low_ms, drawn.tried[0].high_ms)
    wide = math.exp(1.96 * value.relative_error)
    assert ends == pytest.approx((value.trimmed_mean_ms / wide, value.trimmed_mean_ms * wide), rel=1e-4)


def test_a_case_says_at_which_sizes_it_failed() -> None:
    failed = [measurement(size, error="exception", case="large") for size in (128, 256)]
    large = next(case for case in summary([*MADE, *failed]).cases if case.case == "large")
    assert (large.failed, large.failed_memory_mb, large.memory_mb) == (2, [128, 256], 128)


def test_what_a_test_cost_is_its_invocations_and_its_state_transitions() -> None:
    found = summary()
    assert (found.test_lambda_cost_usd, found.state_transitions) == (0.001, 40)
    assert found.test_cost_usd == pytest.approx(0.001 + 40 * PRICES.state_transition_usd)


def test_a_summary_says_how_its_figures_were_made_and_at_what_prices() -> None:
    found = summary()
    assert found.statistics and found.prices
    assert found.statistics.trim_share == decided().spec.averaging.trim_share > 0
    assert found.statistics.confidence == 0.95
    assert (found.prices.architecture, found.prices.gb_second_usd) == ("x86_64", PRICES.gb_second_usd)


def test_figures_are_rounded_to_what_they_can_bear() -> None:
    value = summary().power_values[0]
    for figure in (value.mean_ms, value.trimmed_mean_ms, value.p90_ms, value.max_ms):
        assert figure == round(figure or 0, 3)
    assert value.max_ms == 101.235


def test_a_summary_is_read_back_as_it_was_written() -> None:
    found = summary(comparison=models.LiveComparison(sentence="It was not compared.", invocations=[0, 0]))
    assert models.Summary.model_validate(found.model_dump(mode="json")) == found


def test_a_summary_that_was_kept_before_these_models_is_read_whole() -> None:
    kept = json.loads((Path(__file__).parent / "summary_kept_before.json").read_text())
    found = models.Summary.model_validate(kept).model_dump(mode="json")

    def read(before: Any, now: Any, where: str) -> None:
        if isinstance(before, dict):
            for key, value in before.items():
                read(value, now[key], f"{where}.{key}")
        elif isinstance(before, list):
            assert len(before) == len(now), where
            for number, value in enumerate(before):
                read(value, now[number], f"{where}[{number}]")
        else:
            assert now == before, where

    read(kept, found, "summary")
    assert [case["failedMemoryMb"] for case in found["cases"]] == [[], []]


def test_the_chart_has_the_sizes_that_were_measured() -> None:
    drawn = summary().chart
    assert drawn and [point.memory_mb for point in drawn.tried] == [128, 256]
    assert drawn.chosen_memory_mb == decided().chosen_memory_mb
    assert all(point.low_ms <= point.duration_ms <= point.high_ms for point in drawn.tried)


def test_a_comparison_keeps_ratios_and_their_intervals() -> None:
    found = compare(series(128, [100.0, 101.0, 99.0]), series(128, [200.0, 201.0, 199.0]), PRICES)
    assert found
    told = findings.comparison_of(found)
    assert told.duration and told.duration.ratio == pytest.approx(0.5, rel=0.01)
    assert told.duration.low <= told.duration.ratio <= told.duration.high
    assert (told.sentence, told.cases, told.regression) == (found.sentence, list(found.cases), None)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"error": "wrong_answer", "error_message": "no", "difference": "- a\n+ b", "log": "END", "version": "7"},
        {"init_duration_ms": 3.5, "cold_start": True, "at": "2026-01-02T03:04:05.678Z", "request_id": "r-1"},
        {"disturbed_ms": 12.5, "differs": "no memory limit", "max_memory_used_mb": 77},
    ],
    ids=lambda fields: ",".join(fields) or "plain",
)
def test_a_measurement_is_read_back_as_it_was_written(fields: dict[str, Any]) -> None:
    made = measurement(256, 12.25, **fields)
    document = findings.measurement_document(made)
    assert findings.measurement_from(document) == made
    assert None not in document.values()


def test_the_texts_of_a_measurement_are_cut() -> None:
    made = measurement(error="exception", log="x" * 20_000, error_message="y" * 20_000)
    row = findings.measurement_row(made)
    assert len(row.log or "") == len(row.error_message or "") == findings.MAX_TEXT_CHARS
    document = findings.measurement_document(made)
    assert len(document["log"]) == len(document["errorMessage"]) == findings.MAX_TEXT_CHARS


TEXTS = st.none() | st.text(max_size=50)


@given(
    st.builds(
        Measurement,
        memory_mb=st.integers(128, 10_240),
        case=st.text(min_size=1, max_size=20),
        index=st.integers(0, 1000),
        duration_ms=st.floats(0, 900_000),
        billed_duration_ms=st.integers(0, 900_000),
        init_duration_ms=st.none() | st.floats(0, 10_000),
        max_memory_used_mb=st.none() | st.integers(0, 10_240),
        cold_start=st.booleans(),
        error=st.none() | st.sampled_from(ERROR_KINDS),
        error_message=TEXTS,
        difference=TEXTS,
        log=TEXTS,
        at=TEXTS,
        request_id=TEXTS,
        version=TEXTS,
        disturbed_ms=st.none() | st.floats(0, 10_000),
        differs=TEXTS,
    )
)
def test_any_measurement_survives_its_json_form(made: Measurement) -> None:
    assert findings.measurement_from(json.loads(json.dumps(findings.measurement_document(made)))) == made


KEPT_BEFORE = """{"memoryMb": 128, "case": "small", "index": 3, "durationMs": 12.25, "billedDurationMs": 13,
"initDurationMs": null, "maxMemoryUsedMb": 61, "coldStart": false, "error": null, "at": "2026-11-20T08:00:00.123Z",
"requestId": "r-1", "version": "7", "disturbedMs": 4.5}"""


def test_a_measurement_that_was_kept_before_this_form_is_read() -> None:
    expected = measurement(
        128, 12.25, index=3, max_memory_used_mb=61, at="2026-11-20T08:00:00.123Z", request_id="r-1", version="7",
        disturbed_ms=4.5,
    )  # fmt: skip
    assert findings.measurement_from(json.loads(KEPT_BEFORE)) == expected


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"memoryMb": None}, "memoryMb: Input should be a valid integer"),
        ({"durationMs": "soon"}, "durationMs: Input should be a valid number"),
        ({"durationMs": math.nan}, "duration_ms is nan"),
        ({"error": "oops"}, "error: Input should be 'timeout', 'out_of_memory'"),
    ],
)
def test_what_is_wrong_with_a_measurement_is_named(change: dict[str, Any], named: str) -> None:
    document = findings.measurement_document(measurement()) | change
    with pytest.raises(ValueError, match=f"^a measurement can't be read: .*{named}"):
        findings.measurement_from(document)


@pytest.mark.parametrize("absent", ["memoryMb", "case", "index", "durationMs", "billedDurationMs"])
def test_a_measurement_without_a_field_that_it_needs_is_not_read(absent: str) -> None:
    document = findings.measurement_document(measurement())
    del document[absent]
    with pytest.raises(ValueError, match=f"{absent}: Field required"):
        findings.measurement_from(document)


def test_a_batch_is_read_back_as_it_was_written_and_what_is_wrong_is_named() -> None:
    assert findings.batch_document(Batch(512, 0, 5)) == {"memoryMb": 512, "start": 0, "count": 5}
    for batch in (Batch(512, 0, 5), Batch(512, 10, 5, with_live=True)):
        assert findings.batch_from(json.loads(json.dumps(findings.batch_document(batch)))) == batch
    with pytest.raises(ValueError, match="a batch can't be read: memoryMb: Field required"):
        findings.batch_from({"start": 0, "count": 1})


def test_the_largest_round_is_far_below_what_a_state_may_have_as_its_output() -> None:
    batches = [findings.batch_document(Batch(10_240, 99_999, 999, with_live=True))] * MAX_BATCHES_A_ROUND
    assert len(json.dumps(batches)) < 256 * 1024 / 2


def test_progress_counts_what_says_something_of_the_algorithm() -> None:
    made = [
        measurement(256),
        measurement(128, error="exception"),
        measurement(128),
        measurement(128, error="throttled"),
    ]
    counted = [(each.memory_mb, each.done, each.failed) for each in findings.progress_of(made)]
    assert counted == [(128, 2, 1), (256, 1, 0)]

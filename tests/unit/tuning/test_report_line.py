"""The REPORT line of a log."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenroom.tuning import Report, parse_report

ID = "3604209a-e9a3-11e6-939a-754dd98c7be3"
TEXT = (
    f"START RequestId: {ID} Version: 7\n"
    "hello\n"
    f"END RequestId: {ID}\n"
    f"REPORT RequestId: {ID}\tDuration: 12.34 ms\tBilled Duration: 114 ms\tMemory Size: 128 MB\t"
    "Max Memory Used: 41 MB\tInit Duration: 101.23 ms\t\n"
)


def json_line(record: dict[str, object]) -> str:
    return json.dumps({"time": "2026-11-24T10:00:00Z", "type": "platform.report", "record": record})


def test_a_cold_start_in_text_form_is_read() -> None:
    report = parse_report(TEXT.encode(), ID)
    assert report == Report(ID, 12.34, 114, 128, 41, 101.23)
    assert report.cold_start


def test_a_warm_invocation_has_no_init_duration() -> None:
    report = parse_report(TEXT.replace("Init Duration: 101.23 ms\t", ""))
    assert report is not None
    assert report.init_duration_ms is None
    assert not report.cold_start


def test_an_init_phase_that_ran_out_of_its_time_is_a_cold_start_though_report_names_none() -> None:
    """12 s at import, as Lambda reports it: the first 10 s are billed, and the duration has the second try in it."""
    line = TEXT.replace("Init Duration: 101.23 ms\t", "").replace("Duration: 12.34 ms", "Duration: 15700.00 ms")
    late = parse_report(line.replace("Billed Duration: 114 ms", "Billed Duration: 25700 ms"))
    assert late is not None and late.init_timed_out and late.cold_start
    warm = parse_report(line.replace("Billed Duration: 114 ms", "Billed Duration: 15701 ms"))
    assert warm is not None and not warm.init_timed_out and not warm.cold_start


def test_a_restore_from_a_snapshot_is_a_cold_start() -> None:
    report = parse_report(TEXT.replace("Init Duration: 101.23 ms", "Restore Duration: 300.5 ms"))
    assert report is not None
    assert report.restore_duration_ms == report.start_duration_ms == 300.5
    assert not report.init_timed_out
    assert report.cold_start


def test_a_timeout_and_out_of_memory_are_read_from_the_text_form() -> None:
    timeout = parse_report(TEXT.rstrip() + "\tStatus: timeout")
    assert timeout is not None
    assert timeout.status == "timeout"
    killed = parse_report(TEXT.rstrip() + "\tStatus: error\tError Type: Runtime.OutOfMemory")
    assert killed is not None
    assert (killed.status, killed.error_type) == ("error", "Runtime.OutOfMemory")


def test_the_json_form_is_read() -> None:
    line = json_line(
        {
            "requestId": ID,
            "metrics": {
                "durationMs": 12.34,
                "billedDurationMs": 114,
                "memorySizeMB": 128,
                "maxMemoryUsedMB": 41,
                "initDurationMs": 101.23,
            },
            "status": "success",
        }
    )
    assert parse_report(f'{{"message":"hi"}}\n{line}\n', ID) == Report(ID, 12.34, 114, 128, 41, 101.23, None, "success")


def test_optional_fields_may_be_absent_from_the_json_form() -> None:
    line = json_line({"requestId": ID, "metrics": {"durationMs": 3.0, "billedDurationMs": 3, "memorySizeMB": 128}})
    assert parse_report(line) == Report(ID, 3.0, 3, 128)


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"requestId": ID},
        {"requestId": ID, "metrics": []},
        {"requestId": 7, "metrics": {"durationMs": 1, "billedDurationMs": 1, "memorySizeMB": 128}},
        {"requestId": ID, "metrics": {"durationMs": True, "billedDurationMs": 1, "memorySizeMB": 128}},
        {"requestId": ID, "metrics": {"durationMs": -1, "billedDurationMs": 1, "memorySizeMB": 128}},
        {"requestId": ID, "metrics": {"durationMs": float("nan"), "billedDurationMs": 1, "memorySizeMB": 128}},
        {"requestId": ID, "metrics": {"durationMs": 1e300, "billedDurationMs": 1, "memorySizeMB": 128}},
    ],
)
def test_a_json_record_without_the_needed_figures_is_no_report(record: dict[str, object]) -> None:
    assert parse_report(json_line(record)) is None


@pytest.mark.parametrize("cut", range(1, len(f"REPORT RequestId: {ID}\tDuration: 12.34 ms\tBilled Dur")))
def test_a_report_line_cut_by_the_log_tail_is_no_report(cut: int) -> None:
    line = TEXT[TEXT.index("REPORT") :]
    assert parse_report(line[cut:]) is None
    assert parse_report(line[:cut]) is None


def test_a_report_line_that_the_algorithm_printed_does_not_count() -> None:
    fake = f"REPORT RequestId: {ID}\tDuration: 0.01 ms\tBilled Duration: 1 ms\tMemory Size: 128 MB\t"
    report = parse_report(TEXT.replace("hello", fake), ID)
    assert report is not None
    assert report.duration_ms == 12.34


def test_the_line_of_another_invocation_does_not_count() -> None:
    assert parse_report(TEXT, "another") is None


def test_hostile_input_is_bounded_and_harmless() -> None:
    deep = '{"type":"platform.report","record":' + "[" * 100_000 + "]" * 100_000 + "}"
    assert parse_report(deep) is None
    nested = '{"platform.report":' + "[" * 3_000 + "]" * 3_000 + "}"
    assert parse_report(nested) is None
    assert parse_report("REPORT RequestId: " + "a" * 1_000_000) is None
    assert parse_report(("x" * 100 + "\n") * 50_000 + TEXT, ID) is not None


@given(st.text(max_size=400) | st.binary(max_size=400))
def test_anything_at_all_can_be_parsed(log: str | bytes) -> None:
    report = parse_report(log)
    assert report is None or report.duration_ms >= 0


@given(
    st.floats(0, 900_000).map(lambda x: round(x, 2)),
    st.integers(1, 900_000),
    st.integers(128, 10_240),
    st.none() | st.floats(0, 10_000).map(lambda x: round(x, 2)),
)
def test_both_forms_of_the_same_report_read_the_same(
    duration: float, billed: int, memory: int, init: float | None
) -> None:
    text = (
        f"REPORT RequestId: {ID}\tDuration: {duration:.2f} ms\tBilled Duration: {billed} ms\tMemory Size: {memory} MB\t"
    )
    metrics: dict[str, object] = {"durationMs": duration, "billedDurationMs": billed, "memorySizeMB": memory}
    if init is not None:
        text += f"Init Duration: {init:.2f} ms\t"
        metrics["initDurationMs"] = init
    assert parse_report(text) == parse_report(json_line({"requestId": ID, "metrics": metrics})) is not None


def test_what_the_engine_adds_to_a_report_is_read_in_both_forms() -> None:
    text = (
        "REPORT RequestId: r\tDuration: 50.00 ms\tBilled Duration: 50 ms\tMemory Size: 4096 MB\t"
        "Disturbed: 12.50 ms\tDiffers From Lambda: 2 of 2.32 vCPU\t"
    )
    metrics = {"durationMs": 50.0, "billedDurationMs": 50, "memorySizeMB": 4096, "disturbedMs": 12.5}
    record = {"requestId": "r", "metrics": metrics, "status": "success", "differsFromLambda": "2 of 2.32 vCPU"}
    for line in (text, json.dumps({"type": "platform.report", "record": record})):
        found = parse_report(line, "r")
        assert found is not None
        assert (found.disturbed_ms, found.differs) == (12.5, "2 of 2.32 vCPU")


METRICS = {"durationMs": 1.5, "billedDurationMs": 2, "memorySizeMB": 128}


def report_with(**fields: object) -> Report | None:
    return parse_report(json_line({"requestId": ID, "metrics": METRICS} | fields))


def test_a_json_line_of_another_type_that_mentions_a_report_does_not_count() -> None:
    other = json.dumps({"type": "function", "message": "platform.report", "record": {"requestId": ID}})
    assert parse_report(other.replace(': "platform', ':"platform')) is None
    alike = json_line({"requestId": ID, "metrics": METRICS}).replace('"platform.report"', '"platform.reports"')
    assert parse_report(alike + ' "platform.report"') is None
    shaped = json.dumps({"type": "custom", "also": "platform.report", "record": {"requestId": ID, "metrics": METRICS}})
    assert parse_report(shaped) is None


@pytest.mark.parametrize(("length", "is_one"), [(0, False), (1, True), (64, True), (65, False)])
def test_an_id_has_up_to_64_characters_in_both_forms(length: int, is_one: bool) -> None:
    report = report_with(requestId="a" * length)
    assert (report is not None) == is_one
    assert (parse_report(TEXT.replace(ID, "a" * length)) is not None) == is_one


def test_texts_of_a_report_are_cut() -> None:
    report = report_with(status="s" * 65, errorType="e" * 129, differsFromLambda="d" * 129)
    assert report is not None
    assert (report.status, report.error_type, report.differs) == ("s" * 64, "e" * 128, "d" * 128)
    other = report_with(status=1, errorType=["e"], differsFromLambda=None)
    assert other is not None
    assert (other.status, other.error_type, other.differs) == (None, None, None)


@pytest.mark.parametrize(
    ("value", "read"), [(0, 0.0), (1e8, 1e8), (-0.5, None), (1.1e8, None), (True, None), ("1", None)]
)
def test_a_number_is_read_within_lambdas_bounds(value: object, read: float | None) -> None:
    report = report_with(metrics=METRICS | {"initDurationMs": value})
    assert report is not None
    assert report.init_duration_ms == read
    assert (report_with(metrics=METRICS | {"durationMs": value}) is not None) == (read is not None)


def test_the_last_of_several_reports_counts_and_an_earlier_one_only_by_its_id() -> None:
    other = TEXT.replace(ID, "other").replace("12.34", "99.5")
    found = [parse_report(TEXT + other, request_id) for request_id in (None, "other", ID, "third")]
    assert [report and report.duration_ms for report in found] == [99.5, 99.5, 12.34, None]
    assert parse_report(TEXT + TEXT.replace("12.34", "13.5"), ID) == Report(ID, 13.5, 114, 128, 41, 101.23)


def test_of_a_long_log_only_the_end_and_of_its_lines_only_short_ones_are_read() -> None:
    end = "x\n" * (128 * 1024)
    assert parse_report(TEXT + end) is None
    assert parse_report(TEXT + end[len(TEXT) :]) is not None
    padding = "\tA: " + "b" * 100
    line = TEXT.splitlines()[3]
    long = line + padding * ((8 * 1024 - len(line)) // len(padding))
    assert parse_report(long) is not None
    assert parse_report(long + padding) is None


def test_the_first_of_two_fields_with_a_name_counts() -> None:
    report = parse_report(TEXT.rstrip() + "\tDuration: 1.00 ms\tError Type: first\tError Type: second")
    assert report is not None
    assert (report.duration_ms, report.error_type) == (12.34, "first")

"""What the engine computes without running anything."""

from __future__ import annotations

import io
import json
import os
import re
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenroom.engine import FunctionSpec, Invocation, LayerCode, result
from greenroom.engine.cgroup import MB_PER_VCPU, MIN_QUOTA_US, PERIOD_US, quota_us
from greenroom.engine.code import BadCode, CodeStore, brings_own_sdk, imports_sdk
from greenroom.engine.environment import Outcome
from greenroom.engine.report import PlatformLog, Report, billed_ms
from greenroom.tuning.limits import FULL_VCPU_MB

SPEC = FunctionSpec(
    arn="arn:aws:lambda:eu-central-1:123456789012:function:f",
    name="f",
    version="3",
    runtime="python3.13",
    handler="app.handler",
    memory_mb=256,
    timeout_s=3,
    code_sha256="x",
    revision="1",
    log_group="/aws/lambda/f",
)


def zipped(**files: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            archive.writestr(name.replace("__", "/") + ".py", text)
    return buffer.getvalue()


def test_1769_mb_are_one_cpu_and_the_share_is_proportional() -> None:
    assert quota_us(1769, 2) == PERIOD_US
    assert quota_us(3538, 2) == 2 * PERIOD_US
    assert quota_us(128, 2) == round(PERIOD_US * 128 / 1769)


def test_the_engine_and_the_tuning_count_with_the_same_vcpu() -> None:
    """Neither may import the other."""
    assert MB_PER_VCPU == FULL_VCPU_MB


@given(st.integers(1, 10_240))
def test_no_share_is_less_than_the_kernel_takes(memory_mb: int) -> None:
    assert quota_us(memory_mb, 2) >= MIN_QUOTA_US


@pytest.mark.parametrize(
    ("duration", "init", "billed"),
    [(0.0, None, 1), (1.0, None, 1), (1.01, None, 2), (1.5, 10.6, 13), (3_000.0, None, 3_000)],
)
def test_what_is_billed_is_duration_and_init_rounded_up(duration: float, init: float | None, billed: int) -> None:
    assert billed_ms(duration, init) == billed


def test_the_report_line_is_lambdas_own_to_the_letter() -> None:
    line = PlatformLog(SPEC).report("id", Report(12.34, 13, 41, 101.234, "error", "Runtime.OutOfMemory"))
    assert line == (
        "REPORT RequestId: id\tDuration: 12.34 ms\tBilled Duration: 13 ms\tMemory Size: 256 MB\t"
        "Max Memory Used: 41 MB\tInit Duration: 101.23 ms\tStatus: error\tError Type: Runtime.OutOfMemory\t"
    )
    warm = PlatformLog(SPEC).report("id", Report(1.0, 1, 40))
    assert warm is not None and "Init Duration" not in warm


AS_JSON = replace(SPEC, log_format="JSON")
WARNINGS = replace(AS_JSON, system_log_level="WARN")


def records(line: str | None) -> tuple[str, Any]:
    assert line is not None
    found = json.loads(line)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", found["time"])
    return found["type"], found["record"]


def test_in_json_the_report_has_the_same_figures() -> None:
    plain = Report(12.3456, 13, 41)
    metrics = {"durationMs": 12.346, "billedDurationMs": 13, "memorySizeMB": 256, "maxMemoryUsedMB": 41}
    assert records(PlatformLog(AS_JSON).report("id", plain)) == (
        "platform.report",
        {"requestId": "id", "metrics": metrics, "status": "success"},
    )
    all_of_it = replace(
        plain, init_duration_ms=1.0, status="error", error_type="E", disturbed_ms=2.0004, differs="fewer CPUs"
    )
    assert records(PlatformLog(AS_JSON).report("id", all_of_it)) == (
        "platform.report",
        {
            "requestId": "id",
            "metrics": {**metrics, "initDurationMs": 1.0, "disturbedMs": 2.0},
            "status": "error",
            "errorType": "E",
            "differsFromLambda": "fewer CPUs",
        },
    )


def test_what_is_the_engines_own_is_at_the_end_of_the_report_line() -> None:
    line = PlatformLog(SPEC).report("id", Report(1.0, 1, 40, disturbed_ms=2.5, differs="fewer CPUs"))
    assert line is not None
    assert line.endswith("Max Memory Used: 40 MB\tDisturbed: 2.50 ms\tDiffers From Lambda: fewer CPUs\t")


def test_in_json_the_lines_of_an_invocation_are_lambdas_records() -> None:
    log = PlatformLog(AS_JSON)
    first = {"initializationType": "on-demand", "phase": "init"}
    assert records(log.init_start("python3.13")) == (
        "platform.initStart",
        {**first, "runtimeVersion": "python3.13", "functionName": "f", "functionVersion": "3"},
    )
    assert records(log.init_report("init", 1.23456, "error", "E")) == (
        "platform.initReport",
        {**first, "status": "error", "errorType": "E", "metrics": {"durationMs": 1.235}},
    )
    assert "errorType" not in records(log.init_report("init", 1.0, "timeout", None))[1]
    assert records(log.start("id")) == ("platform.start", {"requestId": "id", "version": "3"})
    assert log.end("id") is None
    for line, level in (
        (log.timed_out("id"), "ERROR"),
        (log.exited("id", "gone"), "ERROR"),
        (log.warning("w"), "WARN"),
    ):
        assert json.loads(line)["level"] == level
    assert json.loads(log.timed_out("id"))["message"] == "Task timed out after 3.00 seconds"
    assert json.loads(log.exited("id", "gone")) | {"timestamp": ""} == {
        "timestamp": "",
        "level": "ERROR",
        "requestId": "id",
        "message": "gone",
    }


def test_in_text_the_lines_of_an_invocation_are_lambdas_own() -> None:
    log = PlatformLog(SPEC)
    assert log.init_start("python3.13") == "INIT_START Runtime Version: python3.13"
    assert log.init_report("init", 1.234, "error", "E") == (
        "INIT_REPORT Init Duration: 1.23 ms\tPhase: init\tStatus: error\tError Type: E"
    )
    assert log.start("id") == "START RequestId: id Version: 3"
    assert log.end("id") == "END RequestId: id"
    assert re.fullmatch(r"\S+Z id Task timed out after 3\.00 seconds", log.timed_out("id"))
    assert log.exited("id", "gone") == "RequestId: id Error: gone\nRuntime.ExitError"
    assert log.warning("w") == "[WARNING] w"


def test_only_warnings_leave_out_what_went_well() -> None:
    log, well = PlatformLog(WARNINGS), Report(1.0, 1, 40)
    assert (log.init_start("python3.13"), log.start("id"), log.report("id", well)) == (None, None, None)
    assert log.report("id", replace(well, status="timeout")) is not None
    as_text = PlatformLog(replace(SPEC, system_log_level="WARN"))  # levels are for JSON only
    assert None not in (as_text.init_start("python3.13"), as_text.start("id"), as_text.report("id", well))


INVOCATION = Invocation(SPEC, b"{}", SPEC.arn, "id", bytes)


@pytest.mark.parametrize(
    ("outcome", "status", "kind", "message"),
    [
        (
            Outcome("timeout", duration_ms=9.0),
            "timeout",
            None,
            "RequestId: id Error: Task timed out after 3.00 seconds",
        ),
        (
            Outcome("exit", b"exit status 3", 9.0, "Runtime.ExitError"),
            "error",
            "Runtime.ExitError",
            "RequestId: id Error: Runtime exited with error: exit status 3",
        ),
        (
            Outcome("exit", b"", 9.0, "Runtime.ExitError"),
            "error",
            "Runtime.ExitError",
            "RequestId: id Error: Runtime exited without providing a reason",
        ),
    ],
)
def test_an_environment_that_was_lost_is_an_error_for_the_caller(
    outcome: Outcome, status: str, kind: str | None, message: str
) -> None:
    payload, report = result.of_invocation(INVOCATION, outcome, None, 40)
    assert json.loads(payload) == {"errorType": kind or "Sandbox.Timedout", "errorMessage": message}
    assert (report.status, report.error_type) == (status, kind)
    assert report.duration_ms == (3_000.0 if status == "timeout" else 9.0)


def test_an_answer_or_error_of_the_function_itself_goes_through_unchanged() -> None:
    for outcome in (Outcome("result", b"1", 9.0), Outcome("error", b'{"errorType": "E"}', 9.0)):
        payload, report = result.of_invocation(INVOCATION, outcome, None, 40)
        assert payload == outcome.payload
        assert (report.status, report.error_type, report.init_duration_ms, report.billed_duration_ms) == (
            None,
            None,
            None,
            9,
        )


def test_an_init_that_went_well_is_reported_and_each_is_billed() -> None:
    well, failed = Outcome("result", duration_ms=5.0), Outcome("init_error", b'{"errorType": "E"}', 5.0)
    for init, reported in ((well, 5.0), (failed, None)):
        _, report = result.of_invocation(INVOCATION, Outcome("result", b"1", 9.0), init, 40)
        assert (report.init_duration_ms, report.billed_duration_ms) == (reported, 14)
    assert (result.status(failed), result.error_type(failed)) == ("error", "E")
    assert result.error_type(Outcome("init_error", b"no JSON")) == "Runtime.Unknown"


def test_code_is_unpacked_once_and_layers_lie_one_over_the_other(tmp_path: Path) -> None:
    store = CodeStore(tmp_path)
    first = store.unpack(zipped(app="1"))
    assert (first / "app.py").read_text() == "1"
    assert store.unpack(zipped(app="1")) == first
    one, two = LayerCode("1", zipped(python__a="one", python__b="one")), LayerCode("2", zipped(python__b="two"))
    opt = store.layers([one, two])
    assert opt is not None
    assert [(opt / "python" / name).read_text() for name in ("a.py", "b.py")] == ["one", "two"]
    assert store.layers([two, one]) != opt
    assert store.layers([]) is None


def test_broken_code_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(BadCode):
        CodeStore(tmp_path).unpack(b"no zip")
    assert list(tmp_path.iterdir()) == []


def test_at_a_start_half_written_code_goes_and_what_has_not_been_used_for_long(tmp_path: Path) -> None:
    store = CodeStore(tmp_path)
    old, used_zip = store.unpack(zipped(app="1")), zipped(app="2")
    used = store.unpack(used_zip)
    (tmp_path / "unfinished-x").mkdir()
    for folder in (old, used):
        os.utime(folder, (0, 0))
    assert store.unpack(used_zip) == used
    CodeStore(tmp_path)
    assert list(tmp_path.iterdir()) == [used]


def test_the_prepared_sdk_is_for_code_that_names_it_and_brings_none(tmp_path: Path) -> None:
    store = CodeStore(tmp_path)
    plain, names = store.unpack(zipped(app="x = 1")), store.unpack(zipped(app="import boto3"))
    brings = store.unpack(zipped(app="import boto3", botocore____init__=""))
    assert (imports_sdk(plain), imports_sdk(names)) == (False, True)
    assert (brings_own_sdk(names), brings_own_sdk(brings)) == (False, True)


def test_environments_are_shared_by_version_and_configuration_and_not_by_name() -> None:
    assert replace(SPEC, version="4").key != SPEC.key
    assert replace(SPEC, revision="2").key != SPEC.key

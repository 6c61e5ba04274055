"""What the engine computes without running anything."""

from __future__ import annotations

import io
import os
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenroom.engine import FunctionSpec, LayerCode
from greenroom.engine.cgroup import MB_PER_VCPU, MIN_QUOTA_US, PERIOD_US, quota_us
from greenroom.engine.code import BadCode, CodeStore, brings_own_sdk, imports_sdk
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

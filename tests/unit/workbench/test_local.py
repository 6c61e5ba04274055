"""Tests of a package on this machine: in real processes, which see what Lambda would let them see."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from greenroom.package.errors import PackageError
from greenroom.workbench.build import pack
from greenroom.workbench.local import CaseResult, run_tests
from greenroom.workbench.scaffold import init
from tests.unit.package.zips import package


def run(tmp_path: Path, source: str, files: dict[str, Any] | None = None, **metadata: Any) -> list[CaseResult]:
    code = {"sample/code.py": textwrap.dedent(source), "tests/one/expected.json": None, **(files or {})}
    path = tmp_path / "sample.zip"
    path.write_bytes(package(code, **metadata).getvalue())
    return run_tests(path)


def one(tmp_path: Path, source: str, files: dict[str, Any] | None = None, **metadata: Any) -> CaseResult:
    (result,) = run(tmp_path, source, files, **metadata)
    return result


@pytest.mark.parametrize("type_", ["in", "out"])
def test_a_scaffold_passes_as_a_folder_and_as_a_package(tmp_path: Path, type_: Any) -> None:
    init(tmp_path / "new", "new", type_)
    steps: list[str] = []
    (from_folder,) = run_tests(tmp_path / "new", steps.append)
    (from_zip,) = run_tests(pack(tmp_path / "new", tmp_path / "new.zip").path)
    for result in (from_folder, from_zip):
        assert (result.case, result.passed, result.error) == ("example", True, None)
        assert result.duration_ms is not None and result.duration_ms > 0
        assert result.max_memory_used_mb is not None and 5 < result.max_memory_used_mb < 100
    assert steps == ["Running example"]


def test_each_case_comes_out_for_itself(tmp_path: Path) -> None:
    source = """
        class Translator:
            def translate(self, document):
                print("asked for", document)
                return {"got": 1 / document["n"]}
    """
    files = {
        "tests/one/input.json": '{"n": 1}',
        "tests/one/expected.json": '{"got": 1}',
        "tests/two/input.json": '{"n": 2}',
        "tests/two/expected.json": '{"got": 2}',
        "tests/zero/input.json": '{"n": 0}',
    }
    first, second, third = run(tmp_path, source, files)
    assert [result.compared for result in (first, second, third)] == [True, True, False]
    assert first.passed and "asked for {'n': 1}" in first.output
    assert not second.passed and second.error is None
    assert "first difference at $.got" in str(second.difference)
    assert not third.passed and third.error == "ZeroDivisionError: division by zero"
    # From the algorithm's own code on, with paths as they are in the package.
    assert third.traceback is not None
    assert 'File "sample/code.py", line 5, in translate' in third.traceback
    assert "aws_equipment" not in third.traceback and "greenroom-test" not in third.traceback
    assert third.duration_ms is not None


def test_the_algorithm_sees_what_lambda_has_and_not_what_is_installed_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("MY_SECRET", "secret")
    source = """
        import importlib.util, os, sys, time

        class Translator:
            def translate(self, document):
                import boto3
                credentials = boto3.Session().get_credentials()
                found = {name: importlib.util.find_spec(name) is not None for name in document}
                # A module of Greenroom's package, which is next to the script that runs this.
                found["scaffold"] = importlib.util.find_spec("scaffold") is not None
                return {
                    "found": found,
                    "credentials": credentials is None,
                    "variables": sorted(name for name in os.environ if name.startswith(("AWS_A", "AWS_S", "MY_"))),
                    "root": os.environ["LAMBDA_TASK_ROOT"] == os.getcwd() == os.path.dirname(os.path.dirname(__file__)),
                    "zone": time.strftime("%Z"),
                }
    """
    names = ["boto3", "botocore", "dateutil", "aws_equipment", "pydantic", "greenroom", "pytest", "typer"]
    expected = {
        "found": {**{name: name in names[:4] for name in names}, "scaffold": False},
        "credentials": True,
        "variables": [],
        "root": True,
        "zone": "UTC",
    }
    files = {"tests/one/input.json": json.dumps(names), "tests/one/expected.json": json.dumps(expected)}
    result = one(tmp_path, source, files)
    assert result.passed, result


def test_a_handler_of_its_own_is_called_as_lambda_does(tmp_path: Path) -> None:
    source = """
        from aws_equipment import AlgorithmWorker

        class Translator:
            def translate(self, document):
                return document

        def handle(event, context):
            assert context.function_name == "greenroom-alg-sample"
            assert context.invoked_function_arn.endswith(":function:greenroom-alg-sample:test-512")
            assert context.memory_limit_in_mb == "512"
            assert 0 < context.get_remaining_time_in_millis() <= 60_000
            return AlgorithmWorker(Translator, event, context).runIn()
    """
    assert one(tmp_path, source, entry=None, handler="sample.code.handle").passed


def test_a_handler_that_does_not_ask_the_equipment_is_reported_to(tmp_path: Path) -> None:
    source = "def handle(event, context):\n    return {'statusCode': 200}\n"
    result = one(tmp_path, source, entry=None, handler="sample.code.handle")
    assert not result.passed
    assert "has to return AlgorithmWorker(cls, event, context).runIn()" in str(result.error)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("import os; os._exit(3)", "The process ended with code 3 before it gave a result"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "The process ended with signal SIGKILL"),
        ("return {1, 2}", "EquipmentError: translate returned set"),
        ("return self.translate(document)", "RecursionError: maximum recursion depth exceeded"),
        ("raise MemoryError('much')", "MemoryError: much"),
    ],
)
def test_every_end_of_an_algorithm_is_reported(tmp_path: Path, body: str, error: str) -> None:
    result = one(tmp_path, f"class Translator:\n    def translate(self, document):\n        {body}\n")
    assert not result.passed
    assert str(result.error).startswith(error)


def test_a_module_that_cannot_be_imported_is_reported_with_its_line(tmp_path: Path) -> None:
    result = one(tmp_path, "import no_such_dependency\nclass Translator:\n    def translate(self, document): ...\n")
    assert result.error == "ModuleNotFoundError: No module named 'no_such_dependency'"
    assert 'File "sample/code.py", line 1' in str(result.traceback)


def test_an_algorithm_that_takes_too_long_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    witness = tmp_path / "pid"
    source = f"""
        import subprocess, sys, time

        class Translator:
            def translate(self, document):
                child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
                open({str(witness)!r}, "w").write(str(child.pid))
                print("begun", flush=True)
                child.wait()
    """
    result = one(tmp_path, source, timeout=2)
    assert result.error == "Task timed out after 2.00 seconds"
    assert result.output == "begun\n"
    assert _ends(int(witness.read_text()))


def _ends(pid: int) -> bool:
    """Whether a process that was killed is gone, or is only waiting to be asked for its status."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


def test_of_what_is_printed_the_end_is_kept(tmp_path: Path) -> None:
    source = """
        import sys

        class Translator:
            def translate(self, document):
                sys.stdout.write("x" * 1_000_000)
                sys.stdout.buffer.write(b"\\xff the end")
                return document
    """
    result = one(tmp_path, source)
    assert result.passed
    assert len(result.output) <= 16_000
    assert result.output.endswith("the end")


def test_memory_is_that_of_the_algorithm_and_not_of_who_asks(tmp_path: Path) -> None:
    ballast = bytearray(os.urandom(1024) * 1024 * 200)
    result = one(tmp_path, "class Translator:\n    def translate(self, document):\n        return document\n")
    assert len(ballast) and result.max_memory_used_mb is not None
    assert result.max_memory_used_mb < 100
    large = "class Translator:\n    def translate(self, document):\n        return {'n': len(b'x' * (150 << 20))}\n"
    result = one(tmp_path, large)
    assert result.max_memory_used_mb is not None and result.max_memory_used_mb > 150


def test_a_package_that_would_be_rejected_is_not_run(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match="not valid Python"):
        run(tmp_path, "class")


def test_another_runtime_than_this_is_reported(tmp_path: Path) -> None:
    other = "python3.14" if sys.version_info.minor != 14 else "python3.13"
    path = tmp_path / "sample.zip"
    path.write_bytes(package(runtime=other).getvalue())
    steps: list[str] = []
    assert run_tests(path, steps.append)[0].passed
    assert steps[0].startswith(f"The package is for {other}, but these tests run on python3.")


def test_the_code_lies_read_only_as_in_lambda_and_nothing_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    source = """
        import os

        class Translator:
            def translate(self, document):
                folders = [root for root, _, _ in os.walk(os.environ["LAMBDA_TASK_ROOT"])]
                return {os.path.basename(folder): oct(os.stat(folder).st_mode & 0o777) for folder in folders}
    """
    modes = {"task": "0o555", "sample": "0o555", "tests": "0o555", "one": "0o555"}
    result = one(tmp_path, source, {"tests/one/expected.json": json.dumps(modes)})
    assert result.passed, result.difference
    assert [path.name for path in tmp_path.iterdir()] == ["sample.zip"]

"""Which runtimes the engine takes, and what it says of the others."""

from __future__ import annotations

from importlib.metadata import metadata
from pathlib import Path

import pytest

from greenroom.engine import can_honour, can_run, interpreters
from greenroom.engine.capability import OLDEST_PYTHON, machine


@pytest.mark.parametrize("minor", range(10, 16))
def test_lambdas_pythons_run(minor: int) -> None:
    assert can_run(f"python3.{minor}") is None


@pytest.mark.parametrize("runtime", ["provided.al2", "provided.al2023"])
def test_a_bootstrap_runs_on_its_own_instruction_set_only(runtime: str) -> None:
    other = "arm64" if machine() == "x86_64" else "x86_64"
    assert can_run(runtime, machine()) is None
    reason = can_run(runtime, other)
    assert reason is not None and reason.startswith(f"{runtime} for {other} can't run here")


@pytest.mark.parametrize("runtime", ["python2.7", "python3.8", "python3.9"])
def test_a_python_that_is_too_old_for_the_sdk_is_refused_with_the_reason(runtime: str) -> None:
    reason = can_run(runtime)
    assert reason is not None and reason.startswith(f"{runtime} can't run here: the AWS SDK")


@pytest.mark.parametrize("package", ["boto3", "awslambdaric"])
def test_the_oldest_python_is_the_one_that_the_packages_need(package: str) -> None:
    oldest = ".".join(map(str, OLDEST_PYTHON))
    assert metadata(package)["Requires-Python"].replace(" ", "") == f">={oldest}"


@pytest.mark.parametrize(
    "runtime", ["java21", "ruby3.3", "dotnet8", "go1.x", "provided", "nonsense", "python3.99", "python3", ""]
)
def test_what_the_engine_can_not_run_is_refused_by_name(runtime: str) -> None:
    reason = can_run(runtime)
    assert reason is not None and reason.startswith(runtime) and "can't run here" in reason


@pytest.mark.parametrize("major", [18, 20, 22, 24])
def test_node_runs_where_there_is_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, major: int) -> None:
    interpreters.node.cache_clear()
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("NVM_DIR", str(tmp_path))
    reason = can_run(f"nodejs{major}.x")
    assert reason == f"nodejs{major}.x can't run here: there is no Node.js on this machine's PATH."
    program = tmp_path / "node"
    program.write_text("#!/bin/sh\necho /opt/a b/bin/node 20.1.2\n")
    program.chmod(0o755)
    interpreters.node.cache_clear()
    assert can_run(f"nodejs{major}.x") is None
    assert interpreters.node(major) == interpreters.Node("/opt/a b/bin/node", 20)
    assert interpreters.runner(f"nodejs{major}.x").runtime == "nodejs20.x"
    interpreters.node.cache_clear()


@pytest.mark.parametrize("runtime", ["nodejs", "nodejs16.x", "nodejs4.3-edge", "nodejs99.x"])
def test_what_is_no_runtime_of_todays_is_refused(runtime: str) -> None:
    assert can_run(runtime) is not None


def test_another_instruction_set_is_refused() -> None:
    assert can_run("python3.13", "arm64") is None
    assert can_run("python3.13", "sparc") == "sparc is not an instruction set of Lambda's: x86_64 or arm64."


def test_wrappers_and_extensions_are_refused_with_what_they_are() -> None:
    files = ["python/", "python/x.py", "extensions/"]
    assert can_honour("python3.13", {"MINE": "1"}, files) is None
    wrapped = can_honour("python3.13", {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/otel"}, files)
    assert wrapped is not None and wrapped.startswith("AWS_LAMBDA_EXEC_WRAPPER can't be used here")
    assert can_honour("nodejs22.x", {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/otel"}, files) is None
    assert can_honour("provided.al2023", {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/otel"}, files) is None
    extended = can_honour("provided.al2023", {}, [*files, "extensions/agent"])
    assert extended is not None and "a layer has extensions/agent" in extended

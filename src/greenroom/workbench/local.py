"""Run a package's own tests on this machine, with the equipment's own code, as they run backstage.

Each case runs in a process of its own, with the files laid out as in Lambda. It can import what it can import there:
the package, its dependencies, the equipment, the standard library and the AWS SDK, and nothing else that is installed
here. It has no AWS credentials, and its clock is in UTC. The machine differs: no memory limit, the whole CPU, and this
Python.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path

from greenroom.package.archive import Archive
from greenroom.package.check import PackageReport, check_package
from greenroom.package.metadata import MAX_MEMORY_MB, Metadata
from greenroom.package.runtime_modules import SDK_MODULES
from greenroom.workbench import build
from greenroom.workbench.installing import install
from greenroom.workbench.requirements import has_requirements

MAX_OUTPUT_BYTES = 16_000

Progress = Callable[[str], None]


@dataclass(frozen=True)
class CaseResult:
    """The result of one case: `difference` if the answer was wrong, `error` and `traceback` if it raised.

    One that is not `compared` has no expected answer, so it passes if it does not raise.

    `duration_ms` is that of the handler, `max_memory_used_mb` that of the whole process, `output` the end of what it
    printed.
    """

    case: str
    passed: bool
    compared: bool = True
    duration_ms: float | None = None
    max_memory_used_mb: int | None = None
    difference: str | None = None
    error: str | None = None
    traceback: str | None = None
    output: str = ""


def run_tests(package: Path, on_progress: Progress = lambda _: None) -> list[CaseResult]:
    """Run every case of a package.

    Args:
        package: a folder, whose requirements.txt is installed for this Python, or a ZIP with its dependencies.
        on_progress: called with each step.

    Raises:
        PackageError: the platform would reject it, or its dependencies can't be installed on this machine.
        OSError: the ZIP can't be read.
    """
    with tempfile.TemporaryDirectory(prefix="greenroom-test-") as temporary:
        place = Path(temporary)
        report = _unpack(package, place, on_progress)
        here = f"python{sys.version_info.major}.{sys.version_info.minor}"
        if report.metadata.runtime != here:
            on_progress(f"The package is for {report.metadata.runtime}, but these tests run on {here}")
        environment = _environment(report.metadata, place)
        results = []
        for case in report.cases:
            on_progress(f"Running {case.name}")
            result = _run_case(report.metadata, case.name, place, environment)
            results.append(replace(result, compared=case.compared))
        return results


def _unpack(package: Path, place: Path, on_progress: Progress) -> PackageReport:
    """Unpack below `place` as Lambda does: task/, and dependencies/ for this Python."""
    zip_path = package
    if package.is_dir():
        zip_path = place / "package.zip"
        report = build.pack_own_files(package, zip_path, to_go_live=False)
        if has_requirements(package):
            on_progress("Installing requirements.txt for this machine")
            install(package, place / "dependencies", for_lambda=None)
    else:
        zip_path = place / "package.zip"
        with package.open("rb") as file, zip_path.open("w+b") as kept:
            report = check_package(file, kept, to_go_live=False)
    task = place / "task"
    task.mkdir()
    with zip_path.open("rb") as file:
        Archive(file).extract(task)
    # Read-only as /var/task, so that an algorithm that writes there fails here already.
    for folder in (task, *(path for path in task.rglob("*") if path.is_dir())):
        folder.chmod(0o555)
    return report


def _environment(metadata: Metadata, place: Path) -> dict[str, str]:
    """Return the variables of an algorithm's function, without AWS_LAMBDA_FUNCTION_NAME: so no AWS client is made."""
    sdk, home = place / "sdk", place / "home"
    for folder in (sdk, home):
        folder.mkdir()
    for name in SDK_MODULES.values():
        if (spec := importlib.util.find_spec(name)) is not None and spec.origin is not None:
            origin = Path(spec.origin)
            found = origin.parent if origin.name == "__init__.py" else origin
            (sdk / found.name).symlink_to(found)
    # The layer's source is data here: it is not imported, only its folder is looked up.
    equipment = resources.files("greenroom") / "equipment"
    path = [place / "task", place / "dependencies", equipment, sdk]
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(home),
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "PYTHONPATH": os.pathsep.join(map(str, path)),
        "LAMBDA_TASK_ROOT": str(place / "task"),
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_LAMBDA_FUNCTION_VERSION": "1",
        "GREENROOM_ALGORITHM": metadata.name,
        "GREENROOM_TYPE": metadata.type,
        "GREENROOM_RELEASE": "local",
        "GREENROOM_BUCKET": "local",
        "GREENROOM_NEXT": json.dumps({name: {} for name in metadata.next}),
    }
    return environment | ({"GREENROOM_ENTRY": metadata.entry} if metadata.entry else {})


def _run_case(metadata: Metadata, case: str, place: Path, environment: dict[str, str]) -> CaseResult:
    function, memory_mb = f"greenroom-alg-{metadata.name}", max(metadata.listed_mb, default=MAX_MEMORY_MB)
    facts = {
        "function_name": function,
        "function_version": "1",
        "invoked_function_arn": f"arn:aws:lambda:us-east-1:000000000000:function:{function}:test-{memory_mb}",
        "memory_limit_in_mb": str(memory_mb),
        "aws_request_id": "00000000-0000-0000-0000-000000000000",
        "log_group_name": f"/aws/lambda/{function}",
        "log_stream_name": "local",
        "identity": None,
        "client_context": None,
        "timeout_s": metadata.timeout,
    }
    handler = metadata.handler or "aws_equipment.entry.lambda_handler"
    result_file, log_file = place / "result.json", place / "output.log"
    result_file.unlink(missing_ok=True)
    # -S leaves out what is installed here, -P this room's folder.
    command = [sys.executable, "-S", "-P", "-B", str(resources.files("greenroom.workbench") / "run_case.py")]
    command += [str(result_file), handler, json.dumps({"greenroomTest": {"case": case}}), json.dumps(facts)]
    with log_file.open("wb") as log, _session(command, place / "task", environment, log) as process:
        try:
            status = process.wait(metadata.timeout)
        except subprocess.TimeoutExpired:
            status = None
    output = _tail(log_file)
    if status is None:
        return CaseResult(case, False, error=f"Task timed out after {metadata.timeout:.2f} seconds", output=output)
    if not result_file.exists():
        how = f"signal {signal.Signals(-status).name}" if status < 0 else f"code {status}"
        return CaseResult(case, False, error=f"The process ended with {how} before it gave a result", output=output)
    result = json.loads(result_file.read_text(encoding="utf-8"))
    return CaseResult(
        case=case,
        passed=result["passed"],
        duration_ms=result.get("duration_ms"),
        max_memory_used_mb=result["max_memory_used_mb"],
        difference=result.get("difference"),
        error=result.get("error"),
        traceback=result.get("traceback"),
        output=output,
    )


@contextmanager
def _session(
    command: list[str], folder: Path, environment: dict[str, str], log: object
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a process in a session of its own; at the end of the block it and all that it started are killed."""
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=log,  # type: ignore[call-overload]
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _tail(log_file: Path) -> str:
    with log_file.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - MAX_OUTPUT_BYTES))
        return file.read().decode("utf-8", "replace")

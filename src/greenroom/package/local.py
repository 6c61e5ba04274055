"""Running a package's own tests on this machine, in the equipment's own code: what passes here passes backstage.

Each case runs in a process of its own, without AWS credentials, from the files as they will lie in Lambda. What differs
is the machine: no memory limit and the whole CPU, unless the platform runs here.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from greenroom.package import build
from greenroom.package.check import check_package

RUNNER = """
import json, resource, sys, time, traceback
from types import SimpleNamespace

class_path, case, kind = sys.argv[1:4]
context = SimpleNamespace(invoked_function_arn="arn:aws:lambda:local:000000000000:function:local:test-local")
event = {"greenroomTest": {"case": case}}
result = {}
try:
    if ":" in class_path:
        from aws_equipment.entry import lambda_handler as handler
    else:
        import importlib
        module, _, name = class_path.rpartition(".")
        handler = getattr(importlib.import_module(module), name)
    begin = time.perf_counter()
    result = handler(event, context)
    result["duration_ms"] = (time.perf_counter() - begin) * 1000
except BaseException as error:
    lines = traceback.format_exception(error)
    result = {"passed": False, "error": f"{type(error).__name__}: {error}", "traceback": "".join(lines)[-8000:]}
result["max_memory_used_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // MAXRSS_PER_MB
with open(sys.argv[4], "w") as file:
    json.dump(result, file)
"""

MAX_OUTPUT_CHARS = 16_000

Progress = Callable[[str], None]


@dataclass(frozen=True)
class CaseResult:
    """How one case came out: `difference` where the answer was another, `error` and `traceback` where it raised."""

    case: str
    passed: bool
    duration_ms: float | None = None
    max_memory_used_mb: int | None = None
    difference: str | None = None
    error: str | None = None
    traceback: str | None = None
    output: str = ""


def run_tests(package: Path, on_progress: Progress = lambda _: None) -> list[CaseResult]:
    """Run every case of a package, a ZIP or a folder.

    Raises:
        PackageError: it would be rejected, or its dependencies can't be installed on this machine.
    """
    with _unpacked(package, on_progress) as (zip_path, root, extra):
        with zip_path.open("rb") as file:
            report = check_package(file)
        metadata = report.metadata
        # The layer's source is data to this room, which imports no other: only its folder is looked up.
        equipment = resources.files("greenroom") / "equipment"
        paths = [str(root), *([str(extra)] if extra else []), str(equipment)]
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "PYTHONPATH": os.pathsep.join(paths),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONSAFEPATH": "1",
            "LAMBDA_TASK_ROOT": str(root),
            "AWS_EC2_METADATA_DISABLED": "true",
            "GREENROOM_ALGORITHM": metadata.name,
            "GREENROOM_TYPE": metadata.type,
            "GREENROOM_RELEASE": "local",
            "GREENROOM_NEXT": json.dumps({name: {} for name in metadata.next}),
        }
        if metadata.entry:
            environment["GREENROOM_ENTRY"] = metadata.entry
        target = metadata.entry or metadata.handler or ""
        results = []
        for case in report.cases:
            on_progress(f"Running {case.name}")
            results.append(_run_case(target, case.name, metadata.type, metadata.timeout, root, environment))
        return results


def _run_case(target: str, case: str, kind: str, timeout_s: int, root: Path, environment: dict[str, str]) -> CaseResult:
    # Linux counts in kilobytes, macOS in bytes: getrusage(2).
    runner = RUNNER.replace("MAXRSS_PER_MB", str(1024 if sys.platform == "linux" else 1024 * 1024))
    with tempfile.NamedTemporaryFile(suffix=".json") as answer:
        try:
            done = subprocess.run(
                [sys.executable, "-c", runner, target, case, kind, answer.name],
                cwd=root,
                env=environment,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=timeout_s,
                check=False,
                preexec_fn=_no_core if hasattr(resource, "RLIMIT_CORE") else None,
            )
        except subprocess.TimeoutExpired:
            return CaseResult(case, False, error=f"Task timed out after {timeout_s:.2f} seconds")
        output = (done.stdout + done.stderr)[-MAX_OUTPUT_CHARS:]
        text = Path(answer.name).read_text()
    if not text:
        return CaseResult(case, False, error=f"the process ended with code {done.returncode}", output=output)
    result = json.loads(text)
    return CaseResult(
        case=case,
        passed=result.get("passed") is True,
        duration_ms=result.get("duration_ms"),
        max_memory_used_mb=result.get("max_memory_used_mb"),
        difference=result.get("difference"),
        error=result.get("error"),
        traceback=result.get("traceback"),
        output=output,
    )


def _no_core() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


@contextmanager
def _unpacked(package: Path, on_progress: Progress) -> Iterator[tuple[Path, Path, Path | None]]:
    """The ZIP, its files in a folder, and a folder of dependencies for this machine's Python where there are any."""
    with tempfile.TemporaryDirectory(prefix="greenroom-test-") as temporary:
        folder, extra = Path(temporary), None
        if package.is_dir():
            zip_path = folder / "package.zip"
            has_requirements = build.has_requirements(package)
            build.pack_own_files(package, zip_path)
            if has_requirements:
                on_progress("Installing requirements.txt for this machine")
                extra = folder / "dependencies"
                build.install(package, extra, for_lambda=None)
        else:
            zip_path = package
        with zip_path.open("rb") as file:
            check_package(file)
        root = folder / "task"
        with zipfile.ZipFile(zip_path) as archive:
            archive.extractall(root)
        yield zip_path, root, extra

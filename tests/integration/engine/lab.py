"""A place to run pieces of code as functions of an engine."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import json
import os
import subprocess
import sys
import textwrap
import time
import zipfile
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from greenroom.engine import Engine, FunctionSpec, Invocation, InvokeResult, LayerCode, isolation

REPOSITORY = Path(__file__).parents[3]

RUNTIME = f"python{sys.version_info.major}.{sys.version_info.minor}"

ARN = "arn:aws:lambda:eu-central-1:123456789012:function:f"

grouped = pytest.mark.skipif(isolation().limits == "watcher", reason="this process may not make control groups")

SPIN = """
import time
def handler(event, context):
    begin, end = time.monotonic(), time.process_time() + event
    while time.process_time() < end: pass
    return [begin, time.monotonic()]
"""


def zipped(**files: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            # The same text is the same code: without a fixed time it would not be.
            entry = zipfile.ZipInfo(name.replace("__", "/") + ".py")
            archive.writestr(entry, textwrap.dedent(text))
    return buffer.getvalue()


class Lab:
    """An engine and a short way to run a piece of code as a function."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.engine = Engine(folder, **options)

    def run(
        self,
        source: str,
        event: Any = None,
        *,
        layer: bytes | None = None,
        code: bytes | None = None,
        **more: Any,
    ) -> InvokeResult:
        """Invoke a piece of Python, or a package; `more` are fields of the invocation or of the function."""
        asked = {name: more[name] for name in ("measured", "client_context", "trace_id") if name in more}
        spec = {name: value for name, value in more.items() if name not in asked and name != "invoked_function_arn"}
        package = zipped(app=source) if code is None else code
        values: dict[str, Any] = {
            "arn": ARN,
            "name": "f",
            "version": "7",
            "runtime": RUNTIME,
            "handler": "app.handler",
            "memory_mb": 512,
            "timeout_s": 10,
            "code_sha256": base64.b64encode(hashlib.sha256(package + (layer or b"")).digest()).decode(),
            "revision": json.dumps(spec, default=str, sort_keys=True),
            "log_group": "/aws/lambda/f",
            **spec,
        }
        return self.engine.invoke(
            Invocation(
                FunctionSpec(**values),
                json.dumps(event).encode(),
                invoked_function_arn=more.get("invoked_function_arn", ARN),
                request_id=str(uuid4()),
                code=lambda: package,
                layers=lambda: [LayerCode("layer", layer)] if layer else [],
                credentials=lambda: {"AWS_ACCESS_KEY_ID": "ASIAROLE"},
                **asked,
            )
        )


def wait_for_work(lab: Lab) -> None:
    """Wait until an environment is at work."""
    until = time.monotonic() + 10
    while not lab.engine._busy:
        assert time.monotonic() < until
        time.sleep(0.01)


def wait_for_end(pid: int) -> None:
    """Wait until a process is gone."""
    until = time.monotonic() + 5
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < until
        time.sleep(0.05)


def descendants(pids: list[int]) -> list[int]:
    """Return what processes have started, directly or not."""
    found: list[int] = []
    for pid in pids:
        with contextlib.suppress(OSError):
            for thread in Path(f"/proc/{pid}/task").iterdir():
                found += map(int, (thread / "children").read_text().split())
    return found + descendants(found) if found else []


def answer(result: InvokeResult) -> Any:
    assert result.function_error is None, result.payload
    return json.loads(result.payload)


def error(result: InvokeResult) -> Any:
    assert result.function_error == "Unhandled", result.payload
    return json.loads(result.payload)


def messages(result: InvokeResult) -> list[str]:
    """Return the log without the ends of its lines."""
    return [event.message.removesuffix("\n") for event in result.log_events]


for_root = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="only root on Linux can become another user"
)


def passes_for_an_ordinary_user(file: str) -> None:
    """Run a file's tests as a user who may not make control groups."""
    command = [sys.executable, "-m", "bench.ordinary_user", sys.executable, "-m", "pytest", "-q"]
    command += ["-p", "no:cacheprovider", "-p", "no:xdist", file]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout[-8_000:] + done.stderr[-2_000:]
    assert " passed" in done.stdout

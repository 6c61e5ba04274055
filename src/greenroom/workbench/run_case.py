"""Runs one test case, in a process that `local` starts. It is not imported, and imports nothing of Greenroom.

Only the package, its dependencies, the equipment and what Lambda brings along are on the path here. The result goes to
a file, because the algorithm may print.

    python -S -P -B run_case.py RESULT_FILE HANDLER EVENT_JSON CONTEXT_JSON
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
import time
import traceback
from pathlib import Path
from types import SimpleNamespace, TracebackType
from typing import Any

MAX_TRACE_CHARS = 8_000
MAX_FILE_BYTES = 512 * 1024 * 1024
"""Lambda's /tmp: https://docs.aws.amazon.com/lambda/latest/dg/configuration-ephemeral-storage.html"""


def run(handler_path: str, event: Any, facts: dict[str, Any]) -> dict[str, Any]:
    """Call a handler as Lambda does; return its verdict, or the exception."""
    deadline = time.monotonic() + facts.pop("timeout_s")
    context = SimpleNamespace(
        **facts, get_remaining_time_in_millis=lambda: max(0, int((deadline - time.monotonic()) * 1000))
    )
    result: dict[str, Any] = {}
    begin = None
    try:
        module, _, name = handler_path.rpartition(".")
        handler = getattr(importlib.import_module(module), name)
        begin = time.perf_counter()
        answer = handler(event, context)
        if not isinstance(answer, dict) or not isinstance(answer.get("passed"), bool):
            raise TypeError(
                f"{handler_path} returned {type(answer).__name__} in place of a test's verdict: "
                "it has to return AlgorithmWorker(cls, event, context).runIn(), or .runOut()"
            )
        result = answer
    except BaseException as error:
        result = {"passed": False, "error": f"{type(error).__name__}: {error}", "traceback": _traceback(error)}
    if begin is not None:
        result["duration_ms"] = (time.perf_counter() - begin) * 1000
    result["max_memory_used_mb"] = _max_memory_used_mb()
    return result


def _traceback(error: BaseException) -> str:
    """Return the traceback from where the algorithm's own code begins, with paths as in the package."""
    root = os.environ["LAMBDA_TASK_ROOT"]
    own: TracebackType | None = error.__traceback__
    while own is not None and not own.tb_frame.f_code.co_filename.startswith(root):
        own = own.tb_next
    lines = traceback.format_exception(type(error), error, own)
    text = "".join(lines).replace(f"{root}{os.sep}", "")
    return text.replace(f"{os.path.dirname(root)}{os.sep}", "")[-MAX_TRACE_CHARS:]  # noqa: PTH120 -- a text, not a path


def _max_memory_used_mb() -> int:
    # getrusage includes the parent, which this process was before it became Python. /proc has this program's own peak.
    # Linux counts in kilobytes, macOS in bytes.
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) // 1024
    except (OSError, StopIteration):
        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return used // (1024 if sys.platform == "linux" else 1024 * 1024)


def main() -> None:
    """Run the case that the arguments name, and write the result."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (MAX_FILE_BYTES, MAX_FILE_BYTES))
    result_file, handler_path, event, facts = sys.argv[1:5]
    result = run(handler_path, json.loads(event), json.loads(facts))
    Path(result_file).write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main()

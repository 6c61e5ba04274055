"""What the engine can run: the runtimes that it knows, and the reason for each one that it refuses."""

from __future__ import annotations

import re

OLDEST_PYTHON = (3, 10)
"""The SDK and the runtime client that every function gets need it: `Requires-Python` of boto3 and awslambdaric."""

NEWEST_PYTHON = (3, 15)
"""The newest in Lambda's own list of runtimes: botocore's model of the service."""

ARCHITECTURES = ("x86_64", "arm64")

WHAT_RUNS = "This machine's engine runs python3.10 and later."


def can_run(runtime: str, architecture: str = "x86_64") -> str | None:
    """Return None if the engine can run functions of a runtime, else why not and what it runs, in sentences.

    A Python that the machine does not have is not a reason: the function runs on the nearest one, and its log and its
    report say so.
    """
    if architecture not in ARCHITECTURES:
        return f"{architecture} is not an instruction set of Lambda's: {' or '.join(ARCHITECTURES)}."
    if found := re.fullmatch(r"python(\d)\.(\d{1,2})", runtime):
        version = (int(found[1]), int(found[2]))
        if version < OLDEST_PYTHON:
            return f"{runtime} can't run here: the AWS SDK that this machine has needs Python 3.10. {WHAT_RUNS}"
        if version <= NEWEST_PYTHON:
            return None
    return f"{runtime or 'A function without a runtime'} can't run here. {WHAT_RUNS}"

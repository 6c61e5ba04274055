"""What the engine can run: the runtimes that it knows, and the reason for each one that it refuses."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterable, Mapping

from greenroom.engine import interpreters

OLDEST_PYTHON = (3, 10)
"""The SDK and the runtime client that every function gets need it: `Requires-Python` of boto3 and awslambdaric."""

NEWEST_PYTHON = (3, 15)
"""The newest in Lambda's own list of runtimes: botocore's model of the service."""

ARCHITECTURES = ("x86_64", "arm64")

OS_ONLY = ("provided.al2", "provided.al2023")
"""Runtimes that are only an operating system: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-provided.html"""

NEWEST_NODE = 26
"""The newest in Lambda's own list of runtimes."""

WHAT_RUNS = (
    "This machine's engine runs python3.10 and later, nodejs18.x and later where there is a Node.js, provided.al2 and "
    "provided.al2023."
)


ANOTHER_MACHINE = "{} for {} can't run here: a bootstrap is for one instruction set, and this machine's is {}."


def machine() -> str:
    """Return Lambda's name for this machine's instruction set."""
    return {"aarch64": "arm64"}.get(platform.machine(), platform.machine())


WRAPPER = "AWS_LAMBDA_EXEC_WRAPPER"
"""https://docs.aws.amazon.com/lambda/latest/dg/runtimes-modify.html#runtime-wrapper"""

EXTENSIONS = "extensions/"
"""https://docs.aws.amazon.com/lambda/latest/dg/runtimes-extensions-api.html: a layer's programs in /opt/extensions"""


def can_honour(runtime: str, variables: Mapping[str, str], layer_files: Iterable[str]) -> str | None:
    """Return None if the engine does what a function's variables and layers ask for, else what it does not, and why.

    Args:
        runtime: the function's.
        variables: its own environment variables.
        layer_files: the paths in its layers' ZIPs.
    """
    if WRAPPER in variables and runtime.startswith("python"):  # OS-only runtimes ignore it, as on Lambda
        return f"{WRAPPER} can't be used here: Python functions are forked from a prepared process, and not started."
    extension = next((path for path in layer_files if path.startswith(EXTENSIONS) and not path.endswith("/")), None)
    if extension is not None:
        return f"Extensions can't run here: a layer has {extension}, and this machine's engine has no Extensions API."
    return None


def can_run(runtime: str, architecture: str = "x86_64") -> str | None:
    """Return None if the engine can run functions of a runtime, else why not and what it runs, in sentences.

    A version of Python or Node.js that the machine does not have is not a reason: the function runs on another one, and
    its log and its report say so.
    """
    if architecture not in ARCHITECTURES:
        return f"{architecture} is not an instruction set of Lambda's: {' or '.join(ARCHITECTURES)}."
    if found := re.fullmatch(r"python(\d)\.(\d{1,2})", runtime):
        version = (int(found[1]), int(found[2]))
        if version < OLDEST_PYTHON:
            return f"{runtime} can't run here: the AWS SDK that this machine has needs Python 3.10. {WHAT_RUNS}"
        if version <= NEWEST_PYTHON:
            return None
    if runtime in OS_ONLY:
        return None if architecture == machine() else ANOTHER_MACHINE.format(runtime, architecture, machine())
    if (major := interpreters.node_major(runtime)) is not None and interpreters.OLDEST_NODE <= major <= NEWEST_NODE:
        return (
            None
            if interpreters.node(major)
            else f"{runtime} can't run here: there is no Node.js on this machine's PATH."
        )
    return f"{runtime or 'A function without a runtime'} can't run here. {WHAT_RUNS}"

"""Finds what a function's runtime runs on: a Python, or the program that takes a prepared Python's place.

It looks for a Python of the right minor version on PATH and where pyenv and uv keep theirs, and asks each that it finds
for its version and prefix, once.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ASK = "import json, sys; print(json.dumps([list(sys.version_info[:2]), sys.base_prefix]))"
ASK_TIMEOUT_S = 10

OLDEST_NODE = 18
"""The oldest Node.js that runs functions here: the oldest that AWS's runtime client still supports."""


@dataclass(frozen=True)
class Interpreter:
    """A Python: how to start it, and the folder that holds all of it."""

    executable: str
    prefix: str
    version: tuple[int, int]

    @property
    def runtime(self) -> str:
        """Return Lambda's name for it, for example `python3.12`."""
        return f"python{self.version[0]}.{self.version[1]}"


@dataclass(frozen=True)
class Runner:
    """What a function runs on: `runtime` is Lambda's name for it, `python` the prepared process that it begins as.

    `programs` are the command lines that may take the process's place, the first that exists; None for Python itself.
    `shown` are folders of the machine that functions see for that, by the paths that they have there.
    """

    runtime: str
    python: Interpreter
    programs: tuple[tuple[str, ...], ...] | None = None
    shown: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Node:
    """A Node.js: how to start it, and its major version."""

    executable: str
    major: int

    @property
    def prefix(self) -> Path:
        """Return the folder that holds all of it."""
        return Path(self.executable).parents[1]

    def modules(self) -> Path | None:
        """Return a folder of modules with the AWS SDK in it, which Lambda's own Node.js has; None where there is none.

        It is one that this process's NODE_PATH names, or that of `npm install --global`.
        """
        folders = [Path(path) for path in os.environ.get("NODE_PATH", "").split(os.pathsep) if path]
        folders.append(self.prefix / "lib" / "node_modules")
        return next((folder.absolute() for folder in folders if (folder / "@aws-sdk").is_dir()), None)

    @property
    def runtime(self) -> str:
        """Return Lambda's name for it, for example `nodejs22.x`."""
        return f"nodejs{self.major}.x"


BOOTSTRAPS = (("/var/task/bootstrap",), ("/opt/bootstrap",))
"""https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html: the function's own, or a layer's."""


def runner(runtime: str) -> Runner:
    """Return what a runtime that the engine can run (`capability.can_run`) runs on here."""
    if runtime.startswith("provided."):
        return Runner(runtime, own(), BOOTSTRAPS)
    if (major := node_major(runtime)) is not None:
        return _node_runner(major)
    python = nearest(runtime)
    return Runner(python.runtime, python)


def node_major(runtime: str) -> int | None:
    """Return the version that a runtime such as `nodejs22.x` asks for; None for any other runtime."""
    found = re.fullmatch(r"nodejs(\d+)\.x", runtime)
    return int(found[1]) if found else None


@cache
def node(major: int) -> Node | None:
    """Return a Node.js of a major version, or else the one on PATH; None where there is none that is new enough.

    It looks on PATH and where nvm keeps its own: https://github.com/nvm-sh/nvm
    """
    on_path = [found for name in ("node", "nodejs") if (found := shutil.which(name))]
    nvm = Path(os.environ.get("NVM_DIR", Path.home() / ".nvm")) / "versions" / "node"
    kept = sorted(nvm.glob(f"v{major}.*/bin/node"), reverse=True)
    asked = [each for each in map(_ask_node, [*on_path, *map(str, kept)]) if each is not None]
    exact = [each for each in asked if each.major == major]
    return next(iter([*exact, *(each for each in asked if each.major >= OLDEST_NODE)]), None)


def _ask_node(executable: str) -> Node | None:
    try:
        done = subprocess.run(
            [executable, "-p", "process.execPath + ' ' + process.versions.node"],
            capture_output=True,
            timeout=ASK_TIMEOUT_S,
            check=True,
            text=True,
        )
        path, version = done.stdout.strip().rsplit(" ", 1)
        return Node(path, int(version.split(".")[0]))
    except (OSError, ValueError, subprocess.SubprocessError):
        return None


def _node_runner(major: int) -> Runner:
    found = node(major)
    if found is None:
        raise LookupError(f"no Node.js for nodejs{major}.x")
    shown = [(str(found.prefix), str(found.prefix))]
    if (modules := found.modules()) is not None:
        # The second is where an import looks, which does not follow NODE_PATH.
        shown += [("/var/runtime/node_modules", str(modules)), ("/var/node_modules", str(modules))]
    return Runner(found.runtime, own(), ((found.executable, "/var/runtime/index.mjs"),), tuple(shown))


def own() -> Interpreter:
    """Return the Python that runs here, without its virtual environment."""
    executable = getattr(sys, "_base_executable", sys.executable)
    return Interpreter(executable, sys.base_prefix, (sys.version_info.major, sys.version_info.minor))


@cache
def for_runtime(runtime: str) -> Interpreter | None:
    """Return a Python for a Lambda runtime such as `python3.12`, or None where there is none on this machine."""
    mine = own()
    if runtime == mine.runtime:
        return mine
    found = re.fullmatch(r"python(\d)\.(\d{1,2})", runtime)
    if not found:
        return None
    wanted = (int(found[1]), int(found[2]))
    for candidate in _candidates(*wanted):
        interpreter = _ask(candidate)
        if interpreter is not None and interpreter.version == wanted:
            return interpreter
    return None


def nearest(runtime: str) -> Interpreter:
    """Return a Python for a Lambda runtime, or the one that runs here where the machine has none for it."""
    return for_runtime(runtime) or own()


def _candidates(major: int, minor: int) -> Iterator[str]:
    name = f"python{major}.{minor}"
    if on_path := shutil.which(name):
        yield on_path
    home = Path.home()
    pyenv = Path(os.environ.get("PYENV_ROOT", home / ".pyenv")) / "versions"
    uv = Path(os.environ.get("UV_PYTHON_INSTALL_DIR", home / ".local" / "share" / "uv" / "python"))
    for folder, pattern in ((pyenv, f"{major}.{minor}.*"), (uv, f"cpython-{major}.{minor}.*")):
        for prefix in sorted(folder.glob(pattern), reverse=True):
            yield str(prefix / "bin" / name)


def _ask(executable: str) -> Interpreter | None:
    try:
        done = subprocess.run(
            [executable, "-I", "-S", "-c", ASK], capture_output=True, timeout=ASK_TIMEOUT_S, check=True
        )
        version, prefix = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return Interpreter(executable, prefix, (version[0], version[1]))

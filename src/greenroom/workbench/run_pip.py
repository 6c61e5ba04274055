"""Runs pip, and lets it start no program: what it installs are wheels, and these need none.

Whatever pip would build it builds by another program, also what a wheel's own metadata names by an address, which no
option of pip forbids. This file is run by `installing`, as a program.

    python -P run_pip.py install …
"""

from __future__ import annotations

import os
import runpy
import sys
from typing import Any

REFUSED = "greenroom: pip was not allowed to run "

STARTS = frozenset({"subprocess.Popen", "os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn"})
"""What Python says before it starts another program: https://docs.python.org/3/library/audit_events.html"""

ALLOWED = frozenset({"keyring"})
"""A program that gives pip the password of an index."""

DISPENSABLE = frozenset({"lsb_release", "oslevel", "rustc", "uname"})
"""What pip asks about this system, to tell the index: it goes on without."""


def refuse(event: str, arguments: tuple[Any, ...]) -> None:
    """Refuse the start of a program. Raises PermissionError."""
    if event not in STARTS:
        return
    command = arguments[1] if event == "subprocess.Popen" else arguments[:1]
    words = [os.fsdecode(word) for word in ([command] if isinstance(command, str | bytes) else command)]
    # On macOS pip asks another Python for the system's version.
    asks_version = words[1:3] == ["-sS", "-c"] and words[3:] == ["import platform; print(platform.mac_ver()[0])"]
    program = os.path.basename(words[0]) if words else ""  # noqa: PTH119 -- a name, maybe of no file
    if program in ALLOWED or asks_version:
        return
    said = " ".join(words[:3])
    if program not in DISPENSABLE:
        sys.stderr.write(f"{REFUSED}{said}\n")
    raise PermissionError(f"{REFUSED}{said}")


if __name__ == "__main__":
    sys.addaudithook(refuse)
    runpy.run_module("pip", run_name="__main__", alter_sys=True)

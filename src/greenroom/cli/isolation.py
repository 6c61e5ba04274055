"""Whether functions may run where this machine does not keep them apart: only if somebody says so."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

import typer

from greenroom.cli.common import console
from greenroom.cli.errors import UsageProblem

UNSAFE = "--unsafe"
AGREED = "not-kept-apart"
"""The file in the data folder that remembers a yes."""

NOT_KEPT_APART = (
    "functions are not kept apart here: what is pushed can read and change the files of the user that it runs as, "
    "reach every service on this machine and the internet, and see other processes"
)


def decide(*, platform: str, agreed: bool, terminal: bool) -> Literal["start", "ask", "refuse"]:
    """Return what to do where functions are not kept apart, and no option says to start all the same.

    Linux can keep them apart, so there it takes the option each time. macOS can't: there a yes is asked for once.

    Args:
        platform: `sys.platform`.
        agreed: whether there was a yes before.
        terminal: whether somebody can be asked.
    """
    if platform == "linux":
        return "refuse"
    if agreed:
        return "start"
    return "ask" if terminal else "refuse"


def agree(data: Path, *, unsafe: bool) -> None:
    """Return if functions are kept apart here, or somebody has agreed that they are not.

    A yes is remembered in the data folder.

    Raises:
        UsageProblem: nobody has agreed.
    """
    from greenroom.engine import isolation

    if unsafe or isolation().namespaces:
        return
    agreed = data / AGREED
    decision = decide(platform=sys.platform, agreed=agreed.exists(), terminal=sys.stdin.isatty())
    if decision == "ask":
        console().print(f"On this system {NOT_KEPT_APART}.", soft_wrap=True)
        if typer.confirm("Do you run only code that you trust?"):
            data.mkdir(parents=True, exist_ok=True, mode=0o700)
            agreed.touch()
            return
    if decision != "start":
        raise UsageProblem(
            NOT_KEPT_APART,
            hint=f"greenroom doctor says what is missing. To run only code that you trust: greenroom up {UNSAFE}",
        )

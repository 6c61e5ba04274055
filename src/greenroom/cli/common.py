"""What all commands share: consoles, the options that name the platform, and the output of errors.

Other rooms are imported only inside a function that needs them, because every `greenroom --help` would pay for it.
"""

from __future__ import annotations

import inspect
import json
import os
import sys
from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from greenroom.cli.errors import UsageProblem
from greenroom.cli.text import clean

if TYPE_CHECKING:
    from rich.console import Console

    from greenroom.client import GreenroomClient


PIPE_WIDTH = 110
"""Columns of what is written into a pipe: wide enough for the table of results."""

UrlOption = Annotated[
    str | None,
    typer.Option("--url", envvar="GREENROOM_URL", help="The platform's address.", rich_help_panel="Which platform"),
]
TokenOption = Annotated[
    str | None,
    typer.Option(
        "--token",
        envvar="GREENROOM_TOKEN",
        help="Its API token. Safer in the environment: other users can see a command line.",
        rich_help_panel="Which platform",
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print the platform's JSON answer instead, for scripts.", show_default=False)
]


class Panel(StrEnum):
    """The headings under which `greenroom --help` lists the commands, in this order."""

    MACHINE = "This machine"
    DEVELOP = "Develop"
    LOOK = "Look"
    PRODUCTION = "Production"
    AWS = "On AWS"


def add_command(app: typer.Typer, panel: Panel, command: Callable[..., None], *examples: str) -> None:
    """Add a command: its help is its docstring, with its paragraphs unwrapped, and with lines to copy at the end."""
    paragraphs = inspect.cleandoc(command.__doc__ or "").split("\n\n")
    text = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    epilog = "\b\nExamples:\n" + "\n".join(f"  {line}" for line in examples)
    app.command(help=text, rich_help_panel=panel.value, epilog=epilog)(command)


def console(*, stderr: bool = False) -> Console:
    """Return a console on stdout or stderr that is wide enough when it is not a terminal."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or "COLUMNS" in os.environ else PIPE_WIDTH
    return Console(stderr=stderr, width=width, highlight=False, markup=False, emoji=False)


def connect(url: str | None, token: str | None, *, timeout_s: float = 35.0) -> GreenroomClient:
    """Return a client of the platform that the options or the environment name.

    Args:
        url: the API's address.
        token: the API's token.
        timeout_s: the longest wait for one answer, in seconds.

    Raises:
        UsageProblem: no platform is named.
    """
    if not url or not token:
        raise UsageProblem(
            f"no platform is named: {'GREENROOM_TOKEN' if url else 'GREENROOM_URL'} is not set",
            hint='On this machine: greenroom up --detach, then eval "$(greenroom env)". '
            "For your team's platform: ask the platform team for its address and a token.",
        )
    from greenroom.client import GreenroomClient, Timing

    return GreenroomClient(url, token, author=author(), timing=Timing(timeout_s=timeout_s))


def author() -> str | None:
    """Return the name for a release's history: GREENROOM_AUTHOR, or the user of this machine."""
    import getpass

    try:
        return os.environ.get("GREENROOM_AUTHOR") or getpass.getuser()
    except (OSError, KeyError):
        # In a container the user may have no name.
        return None


def print_json(document: Any) -> None:
    """Print a JSON document, alone on stdout."""
    sys.stdout.write(json.dumps(document, indent=2) + "\n")


def print_error(message: str, where: str = "", hint: str = "") -> None:
    """Print an error for a person, on stderr: what was wrong, where, what to do."""
    from rich.text import Text

    text = Text.assemble(("✗ ", "bold red"), (clean(message), "bold"))
    if where and where not in message:
        text.append(f"\n  {clean(where)}", style="dim")
    if hint:
        text.append(f"\n  {clean(hint)}")
    console(stderr=True).print(text, soft_wrap=True)


def complete_algorithm(incomplete: str) -> list[str]:
    """Return the algorithms' names that begin so, for the shell; none if the platform does not answer at once."""
    url, token = os.environ.get("GREENROOM_URL"), os.environ.get("GREENROOM_TOKEN")
    if not url or not token:
        return []
    from greenroom.client import GreenroomClient, GreenroomError, Timing

    try:
        # One attempt: a shell that waits after Tab is worse than no names.
        with GreenroomClient(url, token, timing=Timing(timeout_s=1.0, attempts=1)) as client:
            return [algorithm.name for algorithm in client.algorithms() if algorithm.name.startswith(incomplete)]
    except GreenroomError:
        return []


_name = typer.Argument(metavar="NAME", help="An algorithm.", autocompletion=complete_algorithm)
NameArgument = Annotated[str, _name]
OptionalNameArgument = Annotated[str | None, _name]

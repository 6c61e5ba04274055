"""The entry point `greenroom`: adds the commands, and turns errors into messages and exit codes."""

from __future__ import annotations

import sys
from typing import Annotated, NoReturn

import typer

from greenroom.cli import demo, deploying, develop, local, look, operate, push, tune
from greenroom.cli.common import print_error
from greenroom.cli.errors import ExitCode, UsageProblem

HELP = """A Lambda function waits here, and is tested in production next to the live version, before it goes on stage.

\b
Begin on one machine:
  greenroom up --detach            the platform, on the embedded AWS
  eval "$(greenroom env)"          tell this shell where it is
  greenroom init my-algorithm      an algorithm that passes
  greenroom push my-algorithm      test it backstage, make it live
"""

EPILOG = """\b
Exit codes:
  0  it worked; for push: the release is LIVE
  1  it failed: a release or a test did not pass, or the platform refused
  2  the command, or a file that it names, can't be used as given
  3  the platform can't be reached, has a fault, or took too long
"""

app = typer.Typer(
    name="greenroom",
    help=HELP,
    epilog=EPILOG,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for group in (local, demo, develop, push, look, operate, tune, deploying):
    group.register(app)


def print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"greenroom {version('greenroom')}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=print_version, is_eager=True, help="Print the version and stop."),
    ] = False,
) -> None:
    pass


def report(error: Exception) -> ExitCode | None:
    """Print an error that a person can act on, and return the exit code; None for a fault of Greenroom itself."""
    from greenroom.client.errors import GreenroomError, PlatformFault, Unreachable, WaitTimeout
    from greenroom.package.errors import PackageError

    if isinstance(error, OSError) and error.filename:
        print_error(error.strerror or "the file can't be used", str(error.filename))
        return ExitCode.USAGE
    if not isinstance(error, UsageProblem | GreenroomError | PackageError):
        return None
    print_error(error.message, error.where, error.hint)
    if isinstance(error, UsageProblem):
        return ExitCode.USAGE
    return ExitCode.UNREACHABLE if isinstance(error, Unreachable | WaitTimeout | PlatformFault) else ExitCode.FAILED


def main() -> NoReturn:
    """Run the command line and exit."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that can't show a character shows a question mark instead of failing.
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    try:
        app()
    except Exception as error:
        code = report(error)
        if code is None:
            raise
        sys.exit(code)
    sys.exit(ExitCode.OK)


if __name__ == "__main__":
    main()

"""The command tune: find the memory size for any Lambda function of the platform's account."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from greenroom.cli.common import (
    JsonOption,
    Panel,
    TokenOption,
    UrlOption,
    add_command,
    connect,
    console,
    print_error,
    print_json,
)
from greenroom.cli.errors import ExitCode, UsageProblem

if TYPE_CHECKING:
    from rich.console import Console

    from greenroom.client import GreenroomClient
    from greenroom.wire import models

INPUT_LIMIT_BYTES = 256 * 1024
"""The input of an execution: https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html"""


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    add_command(
        app,
        Panel.PRODUCTION,
        tune,
        "greenroom tune checkout                      all sizes",
        "greenroom tune checkout --input tuning.json  with this input",
        "greenroom tune checkout --input tuning.json --json | jq .power",
        "greenroom tune checkout --plot checkout.svg",
        "greenroom tune --show 01KBTJ7Q4X9D0V3N8M5R2S6TYZ",
    )


def tune(  # noqa: PLR0913 -- a command's options
    function: Annotated[
        str | None,
        typer.Argument(metavar="FUNCTION", help="A function's name or ARN; by default the input's lambdaARN."),
    ] = None,
    input_file: Annotated[
        Path | None,
        typer.Option(
            "--input",
            metavar="FILE",
            exists=True,
            dir_okay=False,
            readable=True,
            help="The input of the tuning, as JSON.",
        ),
    ] = None,
    show: Annotated[
        str | None,
        typer.Option(
            "--show", metavar="TUNING", help="Show a tuning that was started before; wait for its end if it is running."
        ),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE.svg", help="Draw cost and duration against memory into this file.")
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait for the end of the tuning, or only start it.")
    ] = True,
    timeout: Annotated[float, typer.Option(min=1, help="The longest wait, in seconds.")] = 3600,
    url: UrlOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find the best memory size for a Lambda function in the platform's account.

    Input and output are those of AWS Lambda Power Tuning; --json prints the output: power, cost, duration,
    stateMachine and stats. Without powerValues the whole range is searched. Afterwards the function's $LATEST is as it
    was before, unless autoOptimize is true. docs/tuning.md has every field.
    """
    if show and (function or input_file):
        raise UsageProblem(
            "--show can't be combined with FUNCTION or --input", hint="Leave them out, or leave --show out."
        )
    document = None if show else tuning_input(function, input_file)
    out = console(stderr=as_json)
    with connect(url, token) as client:
        tuning_id = show or client.tune(document or {})
        if not (wait or show):
            if as_json:
                print_json({"tuningId": tuning_id})
            else:
                out.print(f"Tuning {tuning_id} has begun. To look at it: greenroom tune --show {tuning_id}")
            return
        tuning = wait_and_report(client, tuning_id, out, timeout_s=timeout)
    print_outcome(out, tuning, plot)
    if as_json:
        print_json(tuning.output.model_dump(mode="json", exclude_none=True) if tuning.output else None)


def wait_and_report(client: GreenroomClient, tuning_id: str, out: Console, *, timeout_s: float) -> models.Tuning:
    """Wait until a tuning has ended, and print each step of it once."""
    from greenroom.cli.render.tuning import tuning_lines

    printed: set[str] = set()

    def report(tuning: models.Tuning) -> None:
        for line in tuning_lines(tuning):
            if line not in printed:
                printed.add(line)
                out.print(line)

    out.print(f"Tuning {tuning_id}")
    try:
        return client.wait_for_tuning(tuning_id, report, timeout_s)
    except KeyboardInterrupt:
        out.print(f"\nThe tuning goes on. To look at it: greenroom tune --show {tuning_id}", soft_wrap=True)
        raise typer.Exit(ExitCode.INTERRUPTED) from None


def print_outcome(out: Console, tuning: models.Tuning, plot: Path | None) -> None:
    """Print what a tuning found, and draw it into a file. Raises typer.Exit if it did not succeed."""
    from greenroom.cli.look import write_plot
    from greenroom.cli.render.tuning import tuning_outcome

    out.print(tuning_outcome(tuning))
    if plot is not None:
        write_plot(plot, tuning.summary)
    if tuning.status != "SUCCEEDED":
        print_error(tuning.reason or f"the tuning ended as {tuning.status}", where=f"tuning {tuning.tuning_id}")
        raise typer.Exit(ExitCode.FAILED)


def tuning_input(function: str | None, path: Path | None) -> dict[str, Any]:
    """Return the input of a tuning of `function`, read from a file if one is named. Raises UsageProblem."""
    document = read_input(path) if path is not None else {}
    if function is not None:
        document["lambdaARN"] = function
    if "lambdaARN" not in document:
        raise UsageProblem("no function is named", hint="Name it: greenroom tune FUNCTION, or lambdaARN in the input.")
    return document


def read_input(path: Path) -> dict[str, Any]:
    """Read the input of a tuning from a file. Raises UsageProblem."""
    body = path.read_bytes()
    if len(body) > INPUT_LIMIT_BYTES:
        raise UsageProblem(
            f"the input has {len(body):,} bytes; at most {INPUT_LIMIT_BYTES:,} are allowed",
            where=str(path),
            hint="Put a large payload into S3 and name it in payloadS3.",
        )
    hint = "Give an execution input of AWS Lambda Power Tuning; docs/tuning.md has its fields."
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise UsageProblem(f"the input is not JSON: {error}", where=str(path), hint=hint) from None
    if not isinstance(document, dict):
        raise UsageProblem("the input is not a JSON object", where=str(path), hint=hint)
    return document

"""The command tune: which memory size any Lambda function of the platform's account should have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from greenroom.cli.common import (
    ExitCode,
    JsonOption,
    TokenOption,
    UrlOption,
    UsageProblem,
    add_command,
    connect,
    console,
    print_error,
    print_json,
)

if TYPE_CHECKING:
    from greenroom.client import models

# As the platform takes it: what an execution of Step Functions may be given.
INPUT_LIMIT_BYTES = 256 * 1024


def register(app: typer.Typer) -> None:
    """Adds the command of this file."""
    add_command(
        app,
        "Operate",
        tune,
        "greenroom tune checkout                          the whole range of sizes, where it is worth a look",
        "greenroom tune checkout --input tuning.json      an execution input of AWS Lambda Power Tuning",
        "greenroom tune checkout --input tuning.json --json | jq .power",
        "greenroom tune checkout --plot checkout.svg",
        "greenroom tune --show 01KBTJ7Q4X9D0V3N8M5R2S6TYZ  look at one that was started before",
    )


def tune(
    function: Annotated[
        str | None, typer.Argument(metavar="FUNCTION", help="A function's name or ARN; else the input's lambdaARN.")
    ] = None,
    input_file: Annotated[
        Path | None,
        typer.Option(
            "--input", metavar="FILE", exists=True, dir_okay=False, readable=True, help="What to do, as JSON."
        ),
    ] = None,
    show: Annotated[
        str | None, typer.Option("--show", metavar="TUNING", help="Wait for a tuning that runs, or show one.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(metavar="FILE.svg", help="Draw what was found into a file.")] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for the end, or only start it.")] = True,
    timeout: Annotated[float, typer.Option(min=1, help="The longest wait, in seconds.")] = 3600,
    url: UrlOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find the memory size for a Lambda function that is in the platform's account already.

    The input is that of AWS Lambda Power Tuning, and with --json the output is, too: power, cost, duration,
    stateMachine and stats. Without powerValues the whole range is searched. The function's $LATEST is put back
    afterwards, unless autoOptimize says otherwise. docs/tuning.md has every field.
    """
    from greenroom.cli import render
    from greenroom.cli.look import write_plot

    out = console(stderr=as_json)
    if show is None:
        document = _input(function, input_file)
    elif function or input_file:
        raise UsageProblem("--show looks at a tuning that was started before", "Leave FUNCTION and --input out.")
    told: set[str] = set()

    def tell(tuning: models.Tuning) -> None:
        for line in render.tuning_lines(tuning):
            if line not in told:
                told.add(line)
                out.print(line)

    with connect(url, token) as client:
        tuning_id = show or client.tune(document)
        if not wait and show is None:
            if as_json:
                print_json({"tuningId": tuning_id})
            else:
                out.print(f"Tuning {tuning_id} has begun. Look at it with: greenroom tune --show {tuning_id}")
            return
        if not out.is_terminal or show is None:
            out.print(f"Tuning {tuning_id}")
        try:
            tuning = client.wait_for_tuning(tuning_id, tell, timeout)
        except KeyboardInterrupt:
            out.print(f"\nIt goes on without you. Look at it with: greenroom tune --show {tuning_id}", soft_wrap=True)
            raise typer.Exit(ExitCode.INTERRUPTED) from None
    out.print(render.tuning_outcome(tuning))
    if plot is not None:
        write_plot(plot, tuning.summary)
    if tuning.status != "SUCCEEDED":
        print_error(tuning.reason or f"the tuning ended as {tuning.status}", where=f"tuning {tuning_id}")
        raise typer.Exit(ExitCode.FAILED)
    if as_json:
        print_json(tuning.output)


def _input(function: str | None, path: Path | None) -> dict[str, Any]:
    """The input of a tuning. Raises UsageProblem."""
    document: Any = {}
    if path is not None:
        body = path.read_bytes()
        if len(body) > INPUT_LIMIT_BYTES:
            raise UsageProblem(
                f"it has {len(body):,} bytes, and {INPUT_LIMIT_BYTES:,} are allowed",
                "Put a large payload into S3 and name it in payloadS3.",
                where=str(path),
            )
        try:
            document = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise UsageProblem(
                f"it is not JSON: {error}", "Give an execution input as JSON.", where=str(path)
            ) from None
        if not isinstance(document, dict):
            raise UsageProblem("it is no JSON object", "Give an execution input as JSON.", where=str(path))
    if function is not None:
        document = {**document, "lambdaARN": function}
    asked: dict[str, Any] = document
    if "lambdaARN" not in asked:
        raise UsageProblem("no function is named", "Say which: greenroom tune FUNCTION, or lambdaARN in the input.")
    return asked

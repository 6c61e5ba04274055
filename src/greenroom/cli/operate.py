"""Commands on production: send, rollback, failures, redrive."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from greenroom.cli.common import (
    JsonOption,
    NameArgument,
    OptionalNameArgument,
    Panel,
    TokenOption,
    UrlOption,
    add_command,
    connect,
    console,
    print_json,
)
from greenroom.cli.errors import ExitCode, UsageProblem

UploadsOption = Annotated[
    bool,
    typer.Option("--uploads", help="The uploads that could not be registered, in place of an algorithm's messages."),
]

if TYPE_CHECKING:
    from greenroom.client import GreenroomClient
    from greenroom.wire import models


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    panel = Panel.PRODUCTION
    add_command(
        app,
        panel,
        send,
        "greenroom send nsx-in export.json",
        "greenroom send nsx-in export.json --to cisco-asa --wait > asa.cfg",
        "greenroom send nsx-in export.json --wait -o results/",
    )
    add_command(
        app,
        panel,
        rollback,
        "greenroom rollback nsx-in",
        "greenroom rollback nsx-in --to 01KBTJ7Q4X9D0V3N8M5R2S6TYZ --yes",
    )
    add_command(
        app,
        panel,
        failures,
        "greenroom failures nsx-in",
        "greenroom failures nsx-in --json",
        "greenroom failures --uploads",
    )
    add_command(
        app,
        panel,
        redrive,
        "greenroom redrive nsx-in                    all of its messages",
        "greenroom redrive nsx-in --id 5f0c1c1e-9d3b-4a57-8a55-0d9d4c9a1b2e",
        "greenroom redrive --uploads",
    )


def send(  # noqa: PLR0913 -- a command's options
    name: NameArgument,
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", exists=True, dir_okay=False, readable=True, help="The document: JSON or text."),
    ],
    to: Annotated[
        list[str] | None,
        typer.Option(
            help="Only to this next algorithm. May be given several times. By default to all that NAME names."
        ),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the results, and print or store them.")] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="Store the results here: in a file, or in a folder if there are several. Implies --wait.",
        ),
    ] = None,
    timeout: Annotated[float, typer.Option(min=1, help="The longest wait, in seconds.")] = 120,
    url: UrlOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send a document through production: into NAME's input queue, to its live release.

    A file that ends in .json is sent as JSON, any other as text. With --wait the exit code is 0 only if every
    algorithm has given its result.
    """
    if file.suffix.lower() == ".json":
        check_json(file, hint="Correct it. To send it as text, give the file a name that does not end in .json.")
    with connect(url, token) as client:
        message = client.send(name, file, to=to)
        if not (wait or output):
            if as_json:
                print_json(message.to_json())
            else:
                expected = ", ".join(result.algorithm for result in message.results) or "no algorithm"
                console().print(
                    f"Message {message.message_id} was sent; results are expected from: {expected}", soft_wrap=True
                )
            return
        message = client.wait_for_message(name, message.message_id, to=to, timeout_s=timeout)
        stored, warnings = store_results(client, message, output, print_to_stdout=not as_json)
    if as_json:
        print_json(message.to_json())
    else:
        from rich.text import Text

        from greenroom.cli.render.lists import message_table
        from greenroom.cli.text import clean

        # On stderr, because the documents are on stdout.
        err = console(stderr=True)
        err.print(message_table(message))
        for path in stored:
            err.print(f"written: {path}", soft_wrap=True)
        for line in warnings:
            err.print(Text(clean(line)), soft_wrap=True)
    if message.status != "done" or any(result.status != "done" for result in message.results):
        raise typer.Exit(ExitCode.FAILED)


def check_json(file: Path, *, hint: str) -> None:
    """Check that a file is JSON, because in production it would fail three times. Raises UsageProblem."""
    import json

    try:
        with file.open("rb") as opened:
            json.load(opened)
    except (ValueError, RecursionError) as error:
        raise UsageProblem(
            f"the document is not JSON: {error}",
            where=str(file),
            hint=hint,
        ) from None


def store_results(
    client: GreenroomClient, message: models.Message, output: Path | None, *, print_to_stdout: bool
) -> tuple[list[Path], list[str]]:
    """Download every result that is done: into `output`, or to stdout.

    Return the files written, and lines about the warnings that the results carry.
    """
    import io

    from greenroom.cli.warnings import summary, warnings_of

    done = [result for result in message.results if result.status == "done"]
    written: list[Path] = []
    warnings: list[str] = []
    several = len(message.results) > 1
    if output is not None and (several or output.is_dir()):
        output.mkdir(parents=True, exist_ok=True)
    for result in done:
        if output is None and not print_to_stdout:
            continue
        downloaded = io.BytesIO()
        client.download(result, downloaded)
        document = downloaded.getvalue()
        if output is None:
            print_document(document, title=result.algorithm if several else None)
        else:
            suffix = "json" if result.content_type == "application/json" else "txt"
            # The name comes from the platform: it must not lead out of the folder.
            path = output / f"{Path(result.algorithm).name}.{suffix}" if output.is_dir() else output
            path.write_bytes(document)
            written.append(path)
        warnings += summary(result.algorithm, warnings_of(document))
    return written, warnings


def print_document(document: bytes, *, title: str | None) -> None:
    """Print one result on stdout: byte for byte into a pipe, with control characters made visible on a terminal."""
    if not sys.stdout.isatty():
        sys.stdout.buffer.write(document)
        sys.stdout.buffer.flush()
        return
    from rich.rule import Rule
    from rich.text import Text

    from greenroom.cli.text import clean

    out = console()
    if title:
        out.print(Rule(Text(clean(title))))
    out.print(Text(clean(document.decode(errors="replace"))), soft_wrap=True)


def rollback(  # noqa: PLR0913 -- a command's options
    name: NameArgument,
    to: Annotated[
        str | None, typer.Option(metavar="RELEASE", help="The release; by default the one that was live before.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    url: UrlOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Roll back: make an earlier release live again.

    It has to be a release that was live before. Its version still exists, so the change is immediate.
    """
    replaced = None
    with connect(url, token) as client:
        if not yes:
            live = client.algorithm(name)
            replaced = live.live_release_id
            target = f"release {to}" if to else "the release that was live before"
            now = f"version {live.live_version} (release {live.live_release_id})" if live.live_version else "nothing"
            if not sys.stdin.isatty():
                raise UsageProblem(
                    "rollback asks before it changes anything, but stdin is not a terminal", hint="Add --yes."
                )
            typer.confirm(f"{name}: {now} is live. Make {target} live instead?", abort=True, err=True)
        answer = client.rollback(name, to_release_id=to.upper() if to else None, from_release_id=replaced)
    if as_json:
        print_json(answer.to_json())
        return
    taken_back = f"; release {answer.rolled_back_release_id} is ROLLED_BACK" if answer.rolled_back_release_id else ""
    console().print(f"● LIVE  {name} version {answer.version}, release {answer.release_id}{taken_back}", soft_wrap=True)


def failures(  # noqa: PLR0913 -- a command's options
    name: OptionalNameArgument = None,
    uploads: UploadsOption = False,
    limit: Annotated[int, typer.Option(min=1, max=100, help="The number of messages, oldest first.")] = 20,
    url: UrlOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the messages in NAME's dead-letter queue: those that it could not handle, with the reason.

    This changes nothing. When the algorithm is fixed, `greenroom redrive` sends them again. With --uploads it lists
    the uploads that the platform could not register because of its own fault.
    """
    check_one_of(name, uploads)
    with connect(url, token) as client:
        answer = client.failures(name, limit=limit)
    if as_json:
        print_json(answer.to_json())
        return
    from greenroom.cli.render.lists import failures_table

    console().print(failures_table(answer))


def redrive(  # noqa: PLR0913 -- a command's options
    name: OptionalNameArgument = None,
    uploads: UploadsOption = False,
    failure_id: Annotated[
        list[str] | None,
        typer.Option("--id", help="Only the message with this id in `greenroom failures`. May be given several times."),
    ] = None,
    url: UrlOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send the messages in NAME's dead-letter queue to it again; with --uploads, register the failed uploads again.

    A message that fails again goes back to the dead-letter queue. With --id the exit code is 0 only if every message
    was found.
    """
    check_one_of(name, uploads)
    count = 0
    with connect(url, token) as client:
        while True:
            answer = client.redrive(name, failure_id)
            count += answer.redriven
            # Without ids one call redrives a part of a long queue.
            if failure_id or not answer.left or not answer.redriven:
                break
    if as_json:
        print_json({"redriven": count, "left": answer.left})
    else:
        console().print(f"{count} redriven, {answer.left} left in the dead-letter queue")
    if failure_id and count < len(set(failure_id)):
        raise typer.Exit(ExitCode.FAILED)


def check_one_of(name: str | None, uploads: bool) -> None:
    """Check that there is either an algorithm or --uploads. Raises UsageProblem."""
    if (name is None) is not uploads:
        raise UsageProblem("either an algorithm or --uploads is needed", hint="Name one algorithm, or add --uploads.")

"""Commands that act on production: send, rollback, failures, redrive."""

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
    bool, typer.Option("--uploads", help="Instead of an algorithm's: the uploads that could not be registered.")
]

if TYPE_CHECKING:
    from greenroom.client import GreenroomClient, models


def register(app: typer.Typer) -> None:
    """Adds the commands of this file."""
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
        "greenroom redrive nsx-in                    all of them",
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
        typer.Option(help="Only to this next algorithm; may be given again. Without it: to all that NAME names."),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the results, and print or store them.")] = False,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Where results go: a file for one, a folder for several. Implies --wait."),
    ] = None,
    timeout: Annotated[float, typer.Option(min=1, help="The longest wait, in seconds.")] = 120,
    url: UrlOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send a document through production: into NAME's input queue, to the live release.

    A file that ends in .json travels as JSON, any other as text. With --wait the exit code is 0 only when every
    result is there.
    """
    if file.suffix.lower() == ".json":
        check_json(file)
    with connect(url, token) as client:
        message = client.send(name, file, to=to)
        if not (wait or output):
            if as_json:
                print_json(message.to_json())
            else:
                expected = ", ".join(result.algorithm for result in message.results) or "no one"
                console().print(
                    f"Message {message.message_id} is on its way; results are expected of: {expected}", soft_wrap=True
                )
            return
        message = client.wait_for_message(name, message.message_id, to=to, timeout_s=timeout)
        stored = store_results(client, message, output, print_to_stdout=not as_json)
    if as_json:
        print_json(message.to_json())
    else:
        from greenroom.cli.render.lists import message_table

        # Beside the documents, not among them: those are on stdout.
        err = console(stderr=True)
        err.print(message_table(message))
        for path in stored:
            err.print(f"written: {path}", soft_wrap=True)
    if message.status != "done" or any(result.status != "done" for result in message.results):
        raise typer.Exit(ExitCode.FAILED)


def check_json(file: Path) -> None:
    """Says where a file is not JSON, before production has to find out (three times, and then in a dead letter)."""
    import json

    try:
        with file.open("rb") as opened:
            json.load(opened)
    except (ValueError, RecursionError) as error:
        raise UsageProblem(
            f"this is not JSON: {error}",
            hint="Correct it, or send it as text under another name than .json.",
            where=str(file),
        ) from None


def store_results(
    client: GreenroomClient, message: models.Message, output: Path | None, *, print_to_stdout: bool
) -> list[Path]:
    """Downloads every result that is done: into `output`, or onto stdout."""
    done = [result for result in message.results if result.status == "done"]
    written: list[Path] = []
    several = len(message.results) > 1
    if output is not None and (several or output.is_dir()):
        output.mkdir(parents=True, exist_ok=True)
    for result in done:
        if output is not None:
            suffix = "json" if result.content_type == "application/json" else "txt"
            # The name comes from the platform; only its last part may become a file's name.
            path = output / f"{Path(result.algorithm).name}.{suffix}" if output.is_dir() else output
            with path.open("wb") as file:
                client.download(result, file)
            written.append(path)
        elif print_to_stdout:
            print_document(client, result, title=result.algorithm if several else None)
    return written


def print_document(client: GreenroomClient, result: models.MessageResult, *, title: str | None) -> None:
    """One result on stdout: byte for byte into a pipe, with control characters made visible on a terminal."""
    import io

    if not sys.stdout.isatty():
        client.download(result, sys.stdout.buffer)
        sys.stdout.buffer.flush()
        return
    from rich.rule import Rule
    from rich.text import Text

    from greenroom.cli.text import clean

    document = io.BytesIO()
    client.download(result, document)
    out = console()
    if title:
        out.print(Rule(Text(clean(title))))
    out.print(Text(clean(document.getvalue().decode(errors="replace"))), soft_wrap=True)


def rollback(  # noqa: PLR0913 -- a command's options
    name: NameArgument,
    to: Annotated[
        str | None, typer.Option(metavar="RELEASE", help="Which release; without it the one that was live before.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    url: UrlOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make an earlier release live again.

    Only a release that was live can become so again; its version is still there, so the change is immediate.
    """
    with connect(url, token) as client:
        if not yes:
            live = client.algorithm(name)
            target = f"release {to}" if to else "the release that was live before"
            now = f"version {live.live_version} (release {live.live_release_id})" if live.live_version else "nothing"
            if not sys.stdin.isatty():
                raise UsageProblem("nobody is there to be asked", hint="Say --yes.")
            typer.confirm(f"{name}: {now} is live. Make {target} live instead?", abort=True, err=True)
        answer = client.rollback(name, to_release_id=to.upper() if to else None)
    if as_json:
        print_json(answer.to_json())
        return
    taken_back = f"; release {answer.rolled_back_release_id} was taken back" if answer.rolled_back_release_id else ""
    console().print(f"● LIVE  {name} version {answer.version}, release {answer.release_id}{taken_back}", soft_wrap=True)


def failures(  # noqa: PLR0913 -- a command's options
    name: OptionalNameArgument = None,
    uploads: UploadsOption = False,
    limit: Annotated[int, typer.Option(min=1, max=100, help="How many, oldest first.")] = 20,
    url: UrlOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the messages that NAME could not handle, with the reason: what rests in its dead-letter queue.

    Looking changes nothing. `greenroom redrive` sends them through again, once the algorithm is mended. With --uploads
    it is the uploads that the platform could not register, through a fault of its own.
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
        typer.Option("--id", help="Only this message, by its id in `greenroom failures`; may be given again."),
    ] = None,
    url: UrlOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send the messages that NAME could not handle through it again, or register --uploads again.

    One that fails again rests again. With --id the exit code is 0 only when every message named was found.
    """
    check_one_of(name, uploads)
    count = 0
    with connect(url, token) as client:
        while True:
            answer = client.redrive(name, failure_id)
            count += answer.redriven
            # Without ids one call does a part of a long queue.
            if failure_id or not answer.left or not answer.redriven:
                break
    if as_json:
        print_json({"redriven": count, "left": answer.left})
    else:
        way = f"on the way again through {name}" if name else "to be registered again"
        console().print(f"{count} {way}, {answer.left} rest", soft_wrap=True)
    if failure_id and count < len(set(failure_id)):
        raise typer.Exit(ExitCode.FAILED)


def check_one_of(name: str | None, uploads: bool) -> None:
    """Says that it takes an algorithm or --uploads, where there is neither or both."""
    if (name is None) is not uploads:
        raise UsageProblem("whose failures?", hint="Name one algorithm, or say --uploads.")

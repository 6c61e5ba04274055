"""The command demo, what `make demo` runs: the main job from an empty folder to a translated firewall, as a story.

It asks nothing and decides by what it sees: every promise it makes is looked at, and the exit code is 0 only when all
held. It uses the same functions as the commands it stands for, and a platform in a process of its own.
"""

from __future__ import annotations

import io
import json
import shutil
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from greenroom.cli.common import ExitCode, UsageProblem, add_command, console

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from greenroom.cli.run_file import Run
    from greenroom.client import GreenroomClient, models

# The receivers come first: nsx-in names them as next.
EXAMPLES = ("cisco_asa", "aws_sg", "nsx_in")
SENDER_FOLDER = "nsx_in"
RELEASE_LIMIT_S, MESSAGE_LIMIT_S = 180.0, 120.0
SHOWN_LINES = 40
PICTURE_WIDTH, PICTURE_LINES = 96, 14
REPOSITORY = Path(__file__).resolve().parents[3]


def register(app: typer.Typer) -> None:
    """Adds the commands of this file."""
    add_command(
        app,
        "This machine",
        demo,
        "greenroom demo",
        "greenroom demo --keep                  and look around afterwards",
        "greenroom demo --record demo.svg       and draw a picture of it",
    )


@dataclass
class Story:
    """What is told, on the screen and in the picture, and the promises that were looked at."""

    out: Console
    picture: Console
    promises: list[tuple[bool, str]] = field(default_factory=list)

    def chapter(self, title: str, *text: str) -> None:
        """Begins a new part."""
        from rich.rule import Rule
        from rich.text import Text

        self.out.print()
        self.out.print(Rule(Text(title, style="bold"), align="left", style="cyan"))
        for paragraph in text:
            self.out.print(paragraph, style="dim")

    def show(self, *parts: RenderableType, in_picture: bool = False) -> None:
        """Prints something, and draws it in the picture too when it is worth it."""
        for part in parts:
            self.out.print(part)
            if in_picture:
                self.picture.print(part)

    def promise(self, held: bool, text: str) -> bool:
        """Notes whether something is as it should be."""
        self.promises.append((held, text))
        self.show(promise_line(held, text))
        return held


def promise_line(held: bool, text: str) -> RenderableType:
    from rich.text import Text

    from greenroom.cli.render import clean

    return Text.assemble(("✓ ", "green") if held else ("✗ ", "bold red"), clean(text))


def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave the platform running at the end.")] = False,
    record: Annotated[
        Path | None, typer.Option(metavar="SVG", dir_okay=False, help="Draw a picture of the story into this file.")
    ] = None,
) -> None:
    """Show the main job on this machine, from an empty folder to a translated firewall.

    Three real algorithms go live, a broken release does not, and a document goes through production. It needs the
    repository's examples, takes some minutes and leaves nothing behind. The exit code is 0 only when everything went
    as it should.
    """
    from rich.console import Console

    examples = REPOSITORY / "examples"
    missing = [name for name in EXAMPLES if not (examples / name / "metadata.json").is_file()]
    if missing:
        raise UsageProblem(
            "the examples are not beside this installation",
            "Clone the repository and run `make demo` in it.",
            where=str(examples / missing[0]),
        )
    picture = Console(
        record=True, width=PICTURE_WIDTH, file=io.StringIO(), force_terminal=True, highlight=False, markup=False
    )
    story = Story(console(), picture)
    started_s = time.monotonic()
    data = Path(tempfile.mkdtemp(prefix="greenroom-demo-"))
    run: Run | None = None
    try:
        run = begin(story, data)
        from greenroom.client import GreenroomClient, GreenroomError

        with GreenroomClient(run.url, run.token) as client:
            try:
                tell(story, client, examples)
            except GreenroomError as error:
                story.promise(False, str(error))
    finally:
        end(story, data, run, keep=keep)
    story.chapter("What was promised, and held" if all(held for held, _ in story.promises) else "What did not hold")
    for held, text in story.promises:
        story.show(promise_line(held, text), in_picture=True)
    story.show(f"\nAll of it took {time.monotonic() - started_s:.0f} s.")
    if record:
        record.parent.mkdir(parents=True, exist_ok=True)
        picture.save_svg(str(record), title="greenroom demo")
    if not all(held for held, _ in story.promises):
        raise typer.Exit(ExitCode.FAILED)


def begin(story: Story, data: Path) -> Run:
    """Chapter one: the platform."""
    from greenroom.cli.local import progress_view, start_process

    story.chapter(
        "A platform on this machine",
        "`greenroom up` starts an AWS in a box, with IAM enforced, and deploys the platform on it by the same code "
        "that deploys to AWS.",
    )
    started_s = time.monotonic()
    with progress_view(story.out) as step:
        run = start_process(data, port=0, prefix="greenroom", tell=step)
    story.promise(True, f"the platform was ready in {time.monotonic() - started_s:.1f} s, at {run.endpointUrl}")
    return run


def tell(story: Story, client: GreenroomClient, examples: Path) -> None:
    """The chapters in between: releases that pass, one that does not, and a document through production."""
    story.chapter(
        "Three algorithms go live",
        "Each is packed with its dependencies, gets a stack of its own, is tested backstage at every memory size it "
        "names, and becomes live only because all its tests passed.",
    )
    sender = json.loads((examples / SENDER_FOLDER / "metadata.json").read_text())["name"]
    for folder in EXAMPLES:
        release = push_example(story, client, examples / folder, in_picture=folder == SENDER_FOLDER)
        name = release.algorithm or folder
        story.promise(release.status == "LIVE", f"{name} is {release.status}, at {release.memory_mb} MB")

    story.chapter(
        "A broken release stays backstage",
        f"Somebody changed {sender} in a hurry. The tests run in production, beside the live version, and it never "
        "gets in front of the public.",
    )
    before = client.algorithm(sender)
    with tempfile.TemporaryDirectory(prefix="greenroom-demo-broken-") as folder:
        broken = Path(folder) / f"{SENDER_FOLDER}_in_a_hurry"
        break_copy(examples / SENDER_FOLDER, broken)
        failed = push_example(story, client, broken, in_picture=True)
    after = client.algorithm(sender)
    story.promise(failed.status == "FAILED", f"the broken release of {sender} is {failed.status}")
    story.promise(
        before.live_version is not None
        and (before.live_version, before.live_release_id) == (after.live_version, after.live_release_id),
        f"prod of {sender} did not move: version {after.live_version} before and after",
    )
    send_document(story, client, sender, document_to_send(examples / SENDER_FOLDER))
    status = client.status()
    count = status.dead_letters or "no"
    story.promise(status.dead_letters == 0, f"{count} messages rest in dead-letter queues")


def push_example(story: Story, client: GreenroomClient, folder: Path, *, in_picture: bool) -> models.Release:
    """Packs, pushes and shows one algorithm."""
    from rich.text import Text

    from greenroom.cli import render
    from greenroom.cli.push import as_zip, print_result, push_and_watch

    command = Text(f"\n$ greenroom push {folder.name}", style="bold")
    story.out.print(command)
    with as_zip(folder, story.out) as zip_path:
        release = push_and_watch(client, zip_path, story.out, timeout_s=RELEASE_LIMIT_S)
    print_result(story.out, release, zip_path.name)
    if in_picture:
        for part in (command, render.stages(release), Text(), render.outcome(release)):
            story.picture.print(part)
    return release


def break_copy(source: Path, target: Path) -> None:
    """Copies an algorithm and changes its code so that it answers, but wrongly."""
    shutil.copytree(source, target)
    module, _, name = json.loads((target / "metadata.json").read_text())["entry"].partition(":")
    path = target / f"{module.replace('.', '/')}.py"
    # Loses the last rule of every policy: the kind of mistake that no import check and no type check sees.
    path.write_text(
        path.read_text()
        + f"\n\n_translate = {name}.translate\n\n\n"
        + "def _in_a_hurry(self, document):\n"
        + "    policy = _translate(self, document)\n"
        + '    return {**policy, "rules": policy["rules"][:-1]}\n\n\n'
        + f"{name}.translate = _in_a_hurry\n"
    )


def document_to_send(sender: Path) -> Path:
    """The largest real NSX export that lies beside the checkout, else the example's largest test input."""
    real = (REPOSITORY.parent / "shared" / "data" / "nsx").glob("*.json")
    tests = sender.glob("tests/*/input.json")
    # One whose machines have addresses shows most.
    return max(list(real) or tests, key=lambda path: (b'"ip_addresses"' in path.read_bytes(), path.stat().st_size))


def send_document(story: Story, client: GreenroomClient, sender: str, document: Path) -> None:
    """Chapter four: production."""
    from rich.text import Text

    from greenroom.cli import render

    story.chapter(
        "A firewall's configuration goes through production",
        f"{document.name}, {render.size(document.stat().st_size)}, into the queue of {sender}, and on to every "
        "algorithm it names as next.",
    )
    story.show(Text(f"\n$ greenroom send {sender} {document.name} --wait", style="bold"), in_picture=True)
    started_s = time.monotonic()
    message = client.wait_for_message(sender, client.send(sender, document).message_id, timeout_s=MESSAGE_LIMIT_S)
    passed_s = time.monotonic() - started_s
    story.show(render.message_table(message), Text())
    for result in message.results:
        if result.status != "done":
            story.promise(False, f"{result.algorithm} answered: {result.status}: {result.reason}")
            continue
        translated = io.BytesIO()
        client.download(result, translated)
        lines = readable(translated.getvalue()).splitlines()
        title = Text(f"{result.algorithm}, version {result.version}: {len(lines):,} lines", style="bold underline")
        story.show(title, Text("\n".join(render.clean(line) for line in lines[:SHOWN_LINES])))
        if len(lines) > SHOWN_LINES:
            story.show(Text(f"… and {len(lines) - SHOWN_LINES:,} lines more", style="dim"))
        story.show(Text())
        story.picture.print(title)
        story.picture.print(Text("\n".join(render.clean(line) for line in lines[:PICTURE_LINES]) + "\n…\n"))
        story.promise(
            len(lines) > 0,
            f"{result.algorithm} translated {document.name} into {len(lines):,} lines within {passed_s:.1f} s",
        )


def readable(document: bytes) -> str:
    """A document as lines: JSON is laid out, text is as it is."""
    text = document.decode(errors="replace")
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except ValueError:
        return text


def end(story: Story, data: Path, run: Run | None, *, keep: bool) -> None:
    """The last chapter: the platform stops, or stays."""
    from greenroom.cli.local import stop_process

    if run is not None and keep:
        story.chapter("The platform stays")
        story.show(f'eval "$(greenroom env --data {data})"\ngreenroom down --data {data}')
        return
    if run is not None:
        stop_process(data, run)
    shutil.rmtree(data, ignore_errors=True)

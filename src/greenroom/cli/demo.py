"""The command demo, what `make demo` runs: the main job from an empty folder to a translated firewall, as a story.

It asks nothing. It checks every promise that it makes, and the exit code is 0 only when all of them held. It calls the
same functions as the commands that it shows, and starts a platform in a process of its own. The algorithms are those of
`examples/`, which a wheel brings along; nothing else outside the package is read but the files named by --input.
"""

from __future__ import annotations

import io
import json
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from greenroom.cli.common import Panel, add_command, console
from greenroom.cli.errors import ExitCode, UsageProblem
from greenroom.cli.operate import check_json

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from greenroom.cli.run_file import Run
    from greenroom.client import GreenroomClient
    from greenroom.wire import models

EXAMPLES = ("cisco_asa", "aws_sg", "nsx_in")
"""The receivers come first: nsx-in names them as next."""

SENDER_FOLDER = "nsx_in"
DOCUMENT = "tests/three_tiers/input.json"
"""What is sent to it: one of its test inputs, the export of a small data centre."""

RELEASE_LIMIT_S, MESSAGE_LIMIT_S = 180.0, 120.0
SHOWN_LINES = 40
PICTURE_WIDTH, PICTURE_LINES = 96, 12

PACKAGE = Path(__file__).resolve().parents[1]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    add_command(
        app,
        Panel.MACHINE,
        demo,
        "greenroom demo",
        "greenroom demo --input export.json  translate an export of your own, too",
        "greenroom demo --keep               leave the platform running",
        "greenroom demo --record demo.svg    draw a picture of it",
    )


@dataclass
class Story:
    """What is printed, on the screen and into the picture, and the promises that were checked."""

    out: Console
    picture: Console
    promises: list[tuple[bool, str]] = field(default_factory=list)

    def chapter(self, title: str, *text: str) -> None:
        """Begin a new part."""
        from rich.rule import Rule
        from rich.text import Text

        self.out.print()
        self.out.print(Rule(Text(title, style="bold"), align="left", style="cyan"))
        for paragraph in text:
            self.out.print(paragraph, style="dim")

    def show(self, *parts: RenderableType, in_picture: bool = False) -> None:
        """Print something, and draw it into the picture too if asked."""
        for part in parts:
            self.out.print(part)
            if in_picture:
                self.picture.print(part)

    def promise(self, held: bool, text: str) -> bool:
        """Print whether something is as it should be, and keep it for the end."""
        self.promises.append((held, text))
        self.show(promise_line(held, text))
        return held


def promise_line(held: bool, text: str) -> RenderableType:
    from rich.text import Text

    from greenroom.cli.text import clean

    return Text.assemble(("✓ ", "green") if held else ("✗ ", "bold red"), clean(text))


def demo(
    own_documents: Annotated[
        list[Path] | None,
        typer.Option(
            "--input",
            metavar="FILE",
            exists=True,
            dir_okay=False,
            readable=True,
            help="An NSX-T export of your own, in the form that examples/nsx_in/README.md describes. "
            "It is translated too. May be given several times.",
        ),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the platform running at the end.")] = False,
    record: Annotated[
        Path | None, typer.Option(metavar="SVG", dir_okay=False, help="Draw a picture of the story into this file.")
    ] = None,
) -> None:
    """Show the main job on this machine, from an empty folder to a translated firewall.

    Three real algorithms go live, a broken release does not, and a firewall's configuration goes through production.
    The demo takes about a minute and leaves nothing behind. The exit code is 0 only if everything went as it should.
    """
    from rich.console import Console

    examples = examples_folder()
    for document in own_documents or []:
        check_json(document, hint="Name a policy export of NSX-T, which is JSON.")
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
                tell(story, client, examples, own_documents or [])
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
        record.write_text(without_fonts(picture.export_svg(title="greenroom demo")))
    if not all(held for held, _ in story.promises):
        raise typer.Exit(ExitCode.FAILED)


def examples_folder() -> Path:
    """Return the folder with the examples: in a wheel inside the package, in a checkout at its top.

    Raises:
        UsageProblem: neither is there.
    """
    for folder in (PACKAGE / "examples", PACKAGE.parents[1] / "examples"):
        if all((folder / name / "metadata.json").is_file() for name in EXAMPLES):
            return folder
    raise UsageProblem(
        "this installation has no examples, and the demo shows them",
        where=str(PACKAGE / "examples"),
        hint="Install Greenroom's wheel, or clone the repository and run `make demo` in it.",
    )


def without_fonts(svg: str) -> str:
    """Return the picture without the fonts that it would fetch from elsewhere; every reader has a monospaced one."""
    return re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)


def begin(story: Story, data: Path) -> Run:
    """Start the platform: the first chapter."""
    from greenroom.cli.isolation import NOT_KEPT_APART, UNSAFE
    from greenroom.cli.local import progress_view, start_process
    from greenroom.engine import isolation

    story.chapter(
        "A platform on this machine",
        "`greenroom up` starts an AWS in a box, with IAM enforced, and deploys the platform on it by the same code "
        "that deploys to AWS.",
    )
    started_s = time.monotonic()
    if not isolation().namespaces:
        story.out.print(f"Note: {NOT_KEPT_APART}. The demo runs our own examples only.", soft_wrap=True)
    with progress_view(story.out) as step:
        run = start_process(data, [UNSAFE], port=0, prefix="greenroom", report=step)
    story.promise(True, f"the platform was ready in {time.monotonic() - started_s:.1f} s, at {run.endpointUrl}")
    return run


def tell(story: Story, client: GreenroomClient, examples: Path, own_documents: list[Path]) -> None:
    """Tell the chapters in between: releases that pass, one that does not, and documents through production."""
    story.chapter(
        "Three algorithms go live",
        "Each is packed, gets a stack of its own, is tested backstage at every memory size that it "
        "names, and becomes live only because all its tests passed.",
    )
    sender = json.loads((examples / SENDER_FOLDER / "metadata.json").read_text())["name"]
    for folder in EXAMPLES:
        release = push_example(story, client, examples / folder, in_picture=folder == SENDER_FOLDER)
        name = release.algorithm or folder
        story.promise(release.status == "LIVE", f"{name} is {release.status}, at {release.memory_mb} MB")

    story.chapter(
        "A broken release stays backstage",
        f"Somebody changed {sender} in a hurry. Its tests run in production, next to the live version, and "
        "it never goes live.",
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
    story.chapter(
        "A firewall's configuration goes through production",
        f"Into the queue of {sender}, and on to every algorithm that it names as next.",
    )
    send_document(story, client, sender, examples / SENDER_FOLDER / DOCUMENT, in_picture=True)
    for document in own_documents:
        send_document(story, client, sender, document, in_picture=False)
    status = client.status()
    count = status.dead_letters or "no"
    story.promise(status.dead_letters == 0, f"{count} messages in dead-letter queues")


def push_example(story: Story, client: GreenroomClient, folder: Path, *, in_picture: bool) -> models.Release:
    """Pack, push and show one algorithm."""
    from rich.text import Text

    from greenroom.cli.push import as_zip, print_result, push_and_watch

    command = Text(f"\n$ greenroom push {folder.name}", style="bold")
    story.out.print(command)
    with as_zip(folder, story.out) as zip_path:
        release = push_and_watch(client, zip_path, story.out, timeout_s=RELEASE_LIMIT_S)
    print_result(story.out, release, zip_path.name)
    if in_picture:
        for part in (command, *gist(release)):
            story.picture.print(part)
    return release


def gist(release: models.Release) -> Iterator[RenderableType]:
    """Yield what the picture shows of a result: the measurements if it passed, the difference if it did not."""
    from rich.padding import Padding

    from greenroom.cli.render.cases import difference
    from greenroom.cli.render.measured import charts, results_table
    from greenroom.cli.render.release import stages, verdict

    summary = release.summary
    if summary and release.status == "LIVE":
        yield stages(release)
        yield ""
        yield results_table(summary)
        yield charts(summary) or ""
    elif summary:
        wrong = next((case for case in summary.cases if case.difference), None)
        if wrong:
            yield f"✗ {wrong.case}"
            yield Padding(difference(wrong.difference or "", PICTURE_LINES), (0, 0, 0, 4))
    yield ""
    yield verdict(release)


def break_copy(source: Path, target: Path) -> None:
    """Copy an algorithm and change its code so that it answers, but wrongly."""
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


def send_document(story: Story, client: GreenroomClient, sender: str, document: Path, *, in_picture: bool) -> None:
    """Send one document and show what came out."""
    from rich.text import Text

    from greenroom.cli.render.lists import message_table
    from greenroom.cli.text import clean, size

    name = document.name if document.name != "input.json" else f"{document.parent.name}.json"
    story.show(
        Text(f"\n$ greenroom send {sender} {name} --wait", style="bold"),
        Text(f"{size(document.stat().st_size)}\n", style="dim"),
        in_picture=in_picture,
    )
    started_s = time.monotonic()
    message = client.wait_for_message(sender, client.send(sender, document).message_id, timeout_s=MESSAGE_LIMIT_S)
    passed_s = time.monotonic() - started_s
    story.show(message_table(message), Text(), in_picture=in_picture)
    for result in message.results:
        if result.status != "done":
            story.promise(False, f"{result.algorithm} answered {name}: {result.status}: {result.reason}")
            continue
        translated = io.BytesIO()
        client.download(result, translated)
        lines = [clean(line) for line in readable(translated.getvalue()).splitlines()]
        title = Text(f"{result.algorithm}: {len(lines):,} lines", style="bold underline")
        story.show(title, excerpt(lines, SHOWN_LINES), Text())
        if in_picture and result is message.results[0]:
            for part in (title, excerpt(lines, PICTURE_LINES), Text()):
                story.picture.print(part)
        story.promise(
            len(lines) > 0, f"{result.algorithm} translated {name} into {len(lines):,} lines within {passed_s:.1f} s"
        )


def excerpt(lines: list[str], count: int) -> RenderableType:
    """Return the first lines of a document, and how many more there are."""
    from rich.text import Text

    more = f"\n… and {len(lines) - count:,} more lines" if len(lines) > count else ""
    return Text.assemble("\n".join(lines[:count]), (more, "dim"))


def readable(document: bytes) -> str:
    """Return a document as lines: JSON is laid out, text is as it is."""
    text = document.decode(errors="replace")
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except ValueError:
        return text


def end(story: Story, data: Path, run: Run | None, *, keep: bool) -> None:
    """Stop the platform, or say how to reach it: the last chapter."""
    from greenroom.cli.local import stop_process

    if run is not None and keep:
        story.chapter("The platform stays")
        story.show(f'eval "$(greenroom env --data {data})"\ngreenroom down --data {data}')
        return
    if run is not None:
        stop_process(data, run)
    shutil.rmtree(data, ignore_errors=True)

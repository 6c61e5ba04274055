"""The command demo, what `make demo` runs: the main job from an empty folder to a translated firewall, as a story.

It asks nothing and decides by what it sees: every promise it makes is looked at, and the exit code is 0 only when all
held. It uses the same functions as the commands it stands for, and a platform in a process of its own.
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

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from greenroom.cli.run_file import Run
    from greenroom.client import GreenroomClient, models

# The receivers come first: nsx-in names them as next.
EXAMPLES = ("cisco_asa", "aws_sg", "nsx_in")
SENDER_FOLDER = "nsx_in"
RELEASE_LIMIT_S, MESSAGE_LIMIT_S = 180.0, 120.0
SHOWN_LINES = 40
PICTURE_WIDTH, PICTURE_LINES = 96, 12
REPOSITORY = Path(__file__).resolve().parents[3]


def register(app: typer.Typer) -> None:
    """Adds the commands of this file."""
    add_command(
        app,
        Panel.MACHINE,
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

    from greenroom.cli.text import clean

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
            hint="Clone the repository and run `make demo` in it.",
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
        record.write_text(without_fonts(picture.export_svg(title="greenroom demo")))
    if not all(held for held, _ in story.promises):
        raise typer.Exit(ExitCode.FAILED)


def without_fonts(svg: str) -> str:
    """The picture without the fonts that it would fetch from elsewhere; every reader has a monospaced one."""
    return re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)


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
    story.chapter(
        "A firewall's configuration goes through production",
        f"Into the queue of {sender}, and on to every algorithm it names as next. Nobody ever sees a test's data here.",
    )
    for document, in_picture in documents_to_send(examples / SENDER_FOLDER):
        send_document(story, client, sender, document, in_picture=in_picture)
    status = client.status()
    count = status.dead_letters or "no"
    story.promise(status.dead_letters == 0, f"{count} messages rest in dead-letter queues")


def push_example(story: Story, client: GreenroomClient, folder: Path, *, in_picture: bool) -> models.Release:
    """Packs, pushes and shows one algorithm."""
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
    """What the picture shows of a result: the measurements of one that passed, the difference of one that did not."""
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


def documents_to_send(sender: Path) -> list[tuple[Path, bool]]:
    """The largest real export of an NSX manager if some lie beside the checkout, and the example's largest test input.

    The real ones are over 1 MB, but name machines without addresses; the example's shows better what a translation is,
    so that it is in the picture.
    """
    real = list((REPOSITORY.parent / "shared" / "data" / "nsx").glob("*.json"))
    own = list(sender.glob("tests/*/input.json"))
    return [(max(paths, key=lambda path: path.stat().st_size), paths is own) for paths in (real, own) if paths]


def send_document(story: Story, client: GreenroomClient, sender: str, document: Path, *, in_picture: bool) -> None:
    """Sends one document and shows what came out."""
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
    """The first lines of a document, and how many more there are."""
    from rich.text import Text

    more = f"\n… and {len(lines) - count:,} lines more" if len(lines) > count else ""
    return Text.assemble("\n".join(lines[:count]), (more, "dim"))


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

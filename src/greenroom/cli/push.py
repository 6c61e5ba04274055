"""The command push: pack a folder, upload the package, and show its test until it is live."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from greenroom.cli.common import JsonOption, Panel, TokenOption, UrlOption, add_command, connect, console, print_json
from greenroom.cli.errors import ExitCode

if TYPE_CHECKING:
    from rich.console import Console

    from greenroom.client import GreenroomClient
    from greenroom.wire import models


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    add_command(
        app,
        Panel.DEVELOP,
        push,
        "greenroom push my-algorithm/           pack the folder and push it",
        "greenroom push my-algorithm.zip        push a package",
        "greenroom push my-algorithm/ --no-wait",
        "greenroom push my-algorithm/ --json | jq .summary.chosenMemoryMb",
    )


def push(  # noqa: PLR0913 -- a command's options
    package: Annotated[
        Path,
        typer.Argument(
            metavar="ZIP|DIR", exists=True, readable=True, help="A package, or the folder to build it from."
        ),
    ],
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait for the end of the test, or only upload.")
    ] = True,
    timeout: Annotated[float, typer.Option(min=1, help="The longest wait, in seconds.")] = 1800,
    url: UrlOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Upload a package. It is tested backstage, next to the live version, and goes live if it passes.

    The exit code is 0 only if the release is LIVE (with --no-wait: if it is uploaded). With --json the release is
    printed on stdout at the end, and the progress on stderr.
    """
    out = console(stderr=as_json)
    with connect(url, token) as client, as_zip(package, out) as zip_path:
        if not wait:
            release_id = client.upload_package(zip_path)
            if as_json:
                print_json({"releaseId": release_id})
            else:
                console().print(
                    f"Uploaded as release {release_id}. To look at it: greenroom show {release_id}", soft_wrap=True
                )
            return
        release = push_and_watch(client, zip_path, out, timeout_s=timeout)
    print_result(out, release, zip_path.name)
    if as_json:
        print_json(release.to_json())
    if release.status != "LIVE":
        raise typer.Exit(ExitCode.FAILED)


def push_and_watch(client: GreenroomClient, zip_path: Path, out: Console, *, timeout_s: float) -> models.Release:
    """Upload a package and show its release until it has ended."""
    from greenroom.cli.live import view_of_release

    release_id = None
    try:
        with view_of_release(out, zip_path.name) as view:
            release_id = client.upload_package(zip_path, view.uploading)
            measured = measurements_as_they_come(client, view.measured)

            def on_update(release: models.Release) -> None:
                view.update(release)
                measured(release)

            release = client.wait_for_release(release_id, on_update, timeout_s)
    except KeyboardInterrupt:
        if release_id is None:
            raise
        out.print(
            f"\nThe test of release {release_id} goes on. To look at it: greenroom show {release_id}", soft_wrap=True
        )
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    return release


def print_result(out: Console, release: models.Release, title: str) -> None:
    """Print a release that has ended."""
    from greenroom.cli.render.release import outcome, release_head, stages

    if out.is_terminal:
        # The live view is gone now; the plain lines of other outputs have these already.
        out.print(release_head(release, title))
        out.print(stages(release))
    out.print()
    out.print(outcome(release))


COUNTED_BY = {
    "memory_mb", "case", "index", "duration_ms", "billed_duration_ms", "cold_start", "error", "disturbed_ms",
}  # fmt: skip
"""What of a measurement decides whether its duration counts."""


def measurements_as_they_come(
    client: GreenroomClient, report: Callable[[int, float, float | None], None]
) -> Callable[[models.Release], None]:
    """Return a function that looks at a release and reports the trimmed mean of each power value once, when it is
    measured: of the invocations that count, as in the result.

    It makes one request for each power value, because every request costs the platform time while it measures.
    """
    from greenroom.client import GreenroomError
    from greenroom.tuning.measurements import Measurement, timed
    from greenroom.tuning.statistics import mean_over_cases

    reported: set[int] = set()

    def look(release: models.Release) -> None:
        if release.ended:
            return
        for value in release.progress:
            if value.memory_mb in reported or not value.total or value.done < value.total:
                continue
            reported.add(value.memory_mb)
            try:
                found = client.measurements(release.release_id, memory_mb=value.memory_mb)
            except GreenroomError:
                # The result at the end has these figures too.
                continue
            durations: dict[str, list[float]] = {}
            for row in timed(Measurement(**each.model_dump(include=COUNTED_BY, by_alias=False)) for each in found):
                durations.setdefault(row.case, []).append(row.duration_ms)
            used = [each.max_memory_used_mb for each in found if each.max_memory_used_mb is not None]
            if durations:
                report(value.memory_mb, mean_over_cases(durations).value, max(used, default=None))

    return look


@contextmanager
def as_zip(package: Path, out: Console) -> Iterator[Path]:
    """Yield the package, or one that is built from the folder and deleted afterwards."""
    if package.is_file():
        yield package
        return
    from greenroom.workbench.build import pack

    with tempfile.TemporaryDirectory(prefix="greenroom-push-") as folder:
        zip_path = Path(folder) / f"{package.resolve().name}.zip"
        with out.status("") as status:
            pack(package, zip_path, lambda step: status.update(step))
        yield zip_path

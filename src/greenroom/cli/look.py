"""Commands that only read: status, algorithms, releases, show, logs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from greenroom.cli.common import (
    JsonOption,
    NameArgument,
    Panel,
    TokenOption,
    UrlOption,
    add_command,
    complete_algorithm,
    connect,
    console,
    print_json,
)

if TYPE_CHECKING:
    from greenroom.client import GreenroomClient
    from greenroom.wire import models

RELEASE_ID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
"""A ULID: 26 characters of Crockford's base 32, the first at most 7: https://github.com/ulid/spec"""

MEASUREMENTS_LIMIT = 10_000
"""The API's own limit."""

ReleaseArgument = Annotated[
    str,
    typer.Argument(
        metavar="RELEASE",
        help="A release's id, or an algorithm's name for its latest release.",
        autocompletion=complete_algorithm,
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    panel = Panel.LOOK
    add_command(app, panel, status, "greenroom status", "greenroom status --json | jq .deadLetters")
    add_command(app, panel, algorithms, "greenroom algorithms")
    add_command(app, panel, releases, "greenroom releases nsx-in --limit 5")
    add_command(
        app,
        panel,
        show,
        "greenroom show nsx-in                       its latest release",
        "greenroom show 01KBTJ7Q4X9D0V3N8M5R2S6TYZ   any release",
        "greenroom show nsx-in --json | jq .summary.chosenMemoryMb",
        "greenroom show nsx-in --plot nsx-in.svg",
    )
    add_command(app, panel, logs, "greenroom logs nsx-in", "greenroom logs nsx-in --limit 1000 | grep REPORT")


def resolve_release(client: GreenroomClient, text: str) -> str:
    """Return the release's id that an argument means: itself, or the latest of the algorithm that it names."""
    if RELEASE_ID.fullmatch(text.upper()):
        return text.upper()
    from greenroom.client import NotFound

    latest = next(client.every_release(text, limit=1), None)
    if latest is None:
        raise NotFound(
            f"{text} has no release yet", status_code=404, hint="`greenroom algorithms` lists the algorithms."
        )
    return latest.release_id


def status(url: UrlOption = None, token: TokenOption = None, as_json: JsonOption = False) -> None:
    """Show the platform at a glance: releases in flight, queues, dead letters."""
    with connect(url, token) as client:
        answer = client.status()
    if as_json:
        print_json(answer.to_json())
        return
    from greenroom.cli.render.lists import status_page

    console().print(status_page(answer))
    if line := _durable(client.url):
        console().print(line, soft_wrap=True)


def _durable(url: str) -> str | None:
    """Return what the embedded AWS under a platform on this machine says of its disk; None on real AWS."""
    from urllib.parse import urlsplit

    from greenroom.embedded.process import durable_state

    parts = urlsplit(url)
    if parts.hostname not in ("127.0.0.1", "localhost"):
        return None
    state = durable_state(f"{parts.scheme}://{parts.netloc}")
    if state is None:
        return None
    if state.trouble:
        return f"\n✗ nothing can be kept since {state.age_s:.0f} s: {state.trouble}"
    return f"\n✓ everything that was answered is on disk, as of {state.age_s:.1f} s ago"


def algorithms(url: UrlOption = None, token: TokenOption = None, as_json: JsonOption = False) -> None:
    """List the algorithms, each with its live version, memory size and cost.

    The cost is in US dollars per million invocations, as measured in the test of the live release.
    """
    with connect(url, token) as client:
        found = client.algorithms()
    if as_json:
        print_json({"algorithms": [algorithm.to_json() for algorithm in found]})
        return
    from greenroom.cli.render.lists import algorithms_table

    console().print(algorithms_table(found))


def releases(
    name: NameArgument,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="The number of releases, newest first.")] = 20,
    url: UrlOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """List an algorithm's releases, newest first."""
    with connect(url, token) as client:
        found = list(client.every_release(name, limit=limit))
    if as_json:
        print_json({"releases": [release.to_json() for release in found]})
        return
    from greenroom.cli.render.lists import releases_table

    console().print(releases_table(found))


def show(  # noqa: PLR0913 -- a command's options
    release: ReleaseArgument,
    measurements: Annotated[
        bool, typer.Option("--measurements", help="List every invocation of the test instead.")
    ] = False,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE.svg", help="Draw cost and duration against memory into this file, too.")
    ] = None,
    url: UrlOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one release: its stages, its test cases, its measurements, and which memory size was chosen and why."""
    from greenroom.cli.render.lists import measurements_table
    from greenroom.cli.render.release import release_page

    with connect(url, token) as client:
        release_id = resolve_release(client, release)
        if measurements:
            measured = client.measurements(release_id, limit=MEASUREMENTS_LIMIT)
            if as_json:
                print_json({"measurements": [measurement.to_json() for measurement in measured]})
            else:
                console().print(measurements_table(measured))
            return
        answer = client.release(release_id)
    if plot is not None:
        write_plot(plot, answer.summary)
    if as_json:
        print_json(answer.to_json())
        return
    console().print(release_page(answer))


def write_plot(path: Path, summary: models.Summary | None) -> None:
    """Write the chart of a test into an SVG file. Raises GreenroomError if there is nothing to draw."""
    from greenroom.cli.charts import drawable, svg
    from greenroom.client import GreenroomError

    chart = drawable(summary.chart) if summary else None
    if chart is None:
        raise GreenroomError("there is nothing to draw yet", where=str(path), hint="Wait until something is measured.")
    path.write_text(svg(chart) + "\n", encoding="utf-8")


def logs(
    release: ReleaseArgument,
    limit: Annotated[int, typer.Option(min=1, max=5000, help="The number of lines, counted from the end.")] = 200,
    url: UrlOption = None,
    token: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the log of a release's versions, from its test and from production."""
    with connect(url, token) as client:
        events = client.logs(resolve_release(client, release), limit=limit)
    if as_json:
        print_json({"events": [event.to_json() for event in events]})
        return
    from greenroom.cli.render.lists import log_line

    out = console()
    for event in events:
        out.print(log_line(event), soft_wrap=True)

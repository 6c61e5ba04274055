"""Everything that comes in rows: algorithms, releases, dead letters, measurements, log lines, the platform's queues."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from greenroom.cli.render.elements import heading, status_text, table
from greenroom.cli.text import NOTHING, age, clean, first_line, megabytes, milliseconds, or_dash, size, usd
from greenroom.wire import models

if TYPE_CHECKING:
    from greenroom.cli.checks import Check


def algorithms_table(algorithms: Sequence[models.Algorithm]) -> RenderableType:
    if not algorithms:
        return Text("No algorithm yet. Begin with: greenroom init my-algorithm", style="dim")
    numbers = ("live version", "memory", "per million")
    made = table("algorithm", "type", *numbers, "latest release", "status", "updated", "next", right=numbers)
    for algorithm in algorithms:
        made.add_row(
            Text(clean(algorithm.name), style="bold"),
            or_dash(algorithm.type),
            or_dash(algorithm.live_version),
            megabytes(algorithm.memory_mb),
            usd(algorithm.cost_usd_per_million),
            or_dash(algorithm.latest_release_id),
            status_text(algorithm.latest_status or NOTHING),
            age(algorithm.updated_at),
            or_dash(", ".join(algorithm.next or [])),
        )
    return made


def releases_table(releases: Sequence[models.ReleaseRow]) -> RenderableType:
    if not releases:
        return Text("No release yet. Begin with: greenroom push DIR", style="dim")
    made = table("release", "status", "version", "memory", "created", "by", "reason", right=("version", "memory"))
    for release in releases:
        reason = first_line(release.reason or "")
        made.add_row(
            clean(release.release_id),
            status_text(release.status),
            or_dash(release.version),
            megabytes(release.memory_mb),
            age(release.created_at),
            or_dash(release.author),
            Text(reason, style="dim"),
        )
    return made


def failures_table(answer: models.FailureList) -> RenderableType:
    """Draw the messages that could not be handled."""
    if not answer.failures:
        return Text("The dead-letter queue is empty.", style="dim")
    made = table("id", "since", "size", "reason", right=("size",))
    for failure in answer.failures:
        made.add_row(
            clean(failure.failure_id),
            age(failure.since),
            size(failure.size_bytes),
            Text(clean(first_line(failure.reason or "the reason is unknown"))),
        )
    more = answer.total - len(answer.failures)
    return Group(made, Text(f"and {more} more", style="dim")) if more > 0 else made


def status_page(status: models.PlatformStatus) -> RenderableType:
    """Draw the platform at a glance, what needs attention first."""
    info = status.platform
    flight = table("release", "algorithm", "status")
    for release in status.releases_in_flight:
        flight.add_row(clean(release.release_id), or_dash(release.algorithm), status_text(release.status))
    queues = table("queue", "waiting", "in flight", "counted", right=("waiting", "in flight"))
    for queue in status.queues:
        queues.add_row(clean(queue.name), str(queue.visible), str(queue.in_flight), age(queue.counted_at))
    none = Text("none", style="dim")
    return Group(
        Text.assemble(
            ("Greenroom ", "bold"),
            (or_dash(info.version), "bold"),
            (f"  stack {or_dash(info.prefix)}, account {or_dash(info.account_id)}, {or_dash(info.region)}", "dim"),
        ),
        Text(f"{status.algorithms} algorithm{'' if status.algorithms == 1 else 's'}"),
        dead_letters(status),
        differences(status),
        Text(),
        heading("Releases in flight"),
        flight if status.releases_in_flight else none,
        Text(),
        heading("Queues"),
        queues if status.queues else none,
    )


def dead_letters(status: models.PlatformStatus) -> Text:
    """Draw how many messages could not be handled, and the commands that list them."""
    if not status.dead_letters:
        return Text("✓ no dead letters", style="green")
    waiting = [queue for queue in status.queues if queue.visible and queue.kind in ("deadLetters", "failedUploads")]
    commands = "".join(f"\n  greenroom failures {clean(queue.algorithm or '--uploads')}" for queue in waiting)
    count = f"{status.dead_letters} message{'' if status.dead_letters == 1 else 's'}"
    return Text(f"✗ {count} could not be handled. To list them:{commands}", style="bold red")


def differences(status: models.PlatformStatus) -> Text:
    """Draw what is not as the registry says, with what to do."""
    if not status.differences:
        return Text("✓ the registry and the services agree", style="green")
    lines = "".join(f"\n  {clean(each.algorithm)}: {clean(each.message)}" for each in status.differences)
    return Text(f"✗ Not as the registry says:{lines}", style="bold red")


def log_line(event: models.LogEvent) -> Text:
    """Draw one line of a release's log."""
    at = f"{event.at:%H:%M:%S}.{event.at.microsecond // 1000:03d}" if event.at else NOTHING
    memory = f"{event.memory_mb} MB" if event.memory_mb else ""
    message = clean(event.message).rstrip("\n")
    style = "dim" if message.startswith(("START ", "END ", "REPORT ", "INIT_START ")) else ""
    return Text.assemble((f"{at}  {memory:>8}  ", "dim"), (message, style))


def message_table(message: models.Message) -> RenderableType:
    """Draw the results of a message, one algorithm a row."""
    made = table("algorithm", "status", "size", "type", "version", "reason", right=("size", "version"))
    styles = {"done": "green", "failed": "bold red"}
    for result in message.results:
        made.add_row(
            Text(clean(result.algorithm), style="bold"),
            Text(clean(result.status), style=styles.get(result.status, "cyan")),
            size(result.size_bytes),
            or_dash(result.content_type),
            or_dash(result.version),
            Text(clean(result.reason or ""), style="red"),
        )
    return made


def measurements_table(measurements: Sequence[models.Measurement]) -> RenderableType:
    """Draw every invocation of a test, one a row."""
    if not measurements:
        return Text("Nothing measured yet.", style="dim")
    numbers = ("memory", "#", "duration", "billed", "init", "used")
    made = table("case", *numbers, "set aside", right=numbers)
    for measurement in measurements:
        made.add_row(
            or_dash(measurement.case),
            megabytes(measurement.memory_mb),
            or_dash(measurement.index),
            milliseconds(measurement.duration_ms),
            milliseconds(measurement.billed_duration_ms),
            milliseconds(measurement.init_duration_ms),
            megabytes(measurement.max_memory_used_mb),
            Text(clean(measurement.error.split("\n")[0]), "red") if measurement.error else _set_aside(measurement),
        )
    return made


def _set_aside(measurement: models.Measurement) -> Text:
    """Return why the times of an invocation that passed may not count."""
    if measurement.disturbed_ms is not None:
        return Text("disturbed", "yellow")
    return Text("cold start" if measurement.cold_start else "", "dim")


def checks_list(found: Sequence[Check]) -> RenderableType:
    """Draw the checks of `greenroom doctor`."""
    marks = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "failed": ("✗", "bold red")}
    grid = Table.grid(padding=(0, 2))
    for check in found:
        mark, style = marks[check.status]
        detail = Text(clean(check.detail))
        if check.hint:
            detail.append(f"\n{clean(check.hint)}", style="dim")
        grid.add_row(Text(mark, style=style), Text(check.name, style="bold"), detail)
    return grid

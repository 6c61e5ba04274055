"""How answers of the platform look on a terminal: tables, the result of a test, the stages of a release.

Pure: models in, rich renderables out. What came over the network is put into `Text`, never into markup, and its
control characters are made visible, so that no log line can write to the terminal.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from greenroom.cli.plot import Plot
from greenroom.client import models

if TYPE_CHECKING:
    from greenroom.cli.checks import Check
    from greenroom.workbench.local import CaseResult as LocalResult

STATUS_STYLES = {
    "LIVE": "bold green",
    "FAILED": "bold red",
    "REJECTED": "bold red",
    "ROLLED_BACK": "yellow",
    "SUPERSEDED": "yellow",
    "RETIRED": "dim",
}
# What goes on during a status, for somebody who sees it for the first time.
STATUS_MEANINGS = {
    "UPLOADING": "waiting for the package",
    "REGISTERED": "package read and checked",
    "PROVISIONING": "creating or updating the algorithm's stack",
    "PROVISIONED": "stack ready, waiting for the test",
    "TESTING": "tested backstage, beside the live version",
    "LIVE": "serving: prod points at it",
    "RETIRED": "was live, a newer release is now",
    "REJECTED": "the package is at fault, nothing was created",
    "FAILED": "did not pass, prod did not move",
    "SUPERSEDED": "a newer upload overtook it",
    "ROLLED_BACK": "was live, and was taken back",
}
BAD_ENDS = frozenset({"FAILED", "REJECTED"})
DIFFERENCE_LINES, LOG_LINES = 40, 30
NOTHING = "-"


def clean(text: str) -> str:
    """The text with its control characters (but newline and tab) made visible."""
    return "".join(
        char if char in "\n\t" or (char.isprintable() or not _is_control(char)) else f"\\x{ord(char):02x}"
        for char in text.replace("\r\n", "\n")
    )


def _is_control(char: str) -> bool:
    point = ord(char)
    # C0, DEL and C1, and the marks that turn the direction of writing round.
    return point < 0x20 or 0x7F <= point < 0xA0 or 0x202A <= point <= 0x202E or 0x2066 <= point <= 0x2069


# ---- numbers --------------------------------------------------------------------------------------------------------


def milliseconds(value: float | None) -> str:
    """A duration measured in ms."""
    if value is None:
        return NOTHING
    if value >= 10_000:
        return f"{value / 1000:.1f} s"
    if value >= 1000:
        return f"{value / 1000:.2f} s"
    return f"{value:.0f} ms" if value >= 100 else f"{value:.1f} ms" if value >= 10 else f"{value:.2f} ms"


def usd(value: float | None) -> str:
    """An amount of money, with three digits that say something."""
    if value is None:
        return NOTHING
    if value >= 100:
        return f"${value:,.0f}"
    if value and value < 0.0001:
        return "less than $0.0001"
    return f"${value:.2f}" if value >= 1 else f"${value:.3f}" if value >= 0.01 else f"${value:.2g}"


def size(value: int | None) -> str:
    """A number of bytes."""
    if value is None:
        return NOTHING
    if value < 1024:
        return f"{value} B"
    return f"{value / 1024:.1f} KB" if value < 1024 * 1024 else f"{value / 1024 / 1024:.1f} MB"


def seconds(value: float) -> str:
    """How long a stage took."""
    return f"{value:.2f} s" if value < 10 else f"{value:.1f} s" if value < 120 else f"{value / 60:.1f} min"


def megabytes(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.0f} MB"


def age(at: datetime | None, now: datetime | None = None) -> str:
    """How long ago something was."""
    if at is None:
        return NOTHING
    passed_s = max(((now or datetime.now(UTC)) - at.astimezone(UTC)).total_seconds(), 0)
    for unit, length_s in (("d", 86_400), ("h", 3600), ("min", 60)):
        if passed_s >= length_s:
            return f"{passed_s / length_s:.0f} {unit} ago"
    return f"{passed_s:.0f} s ago"


def or_dash(value: Any) -> str:
    return NOTHING if value is None or value == "" else clean(str(value))


def status_text(status: str) -> Text:
    return Text(clean(status), style=STATUS_STYLES.get(status, "cyan"))


def table(*columns: str, right: Iterable[str] = ()) -> Table:
    """An empty table in the house's style; the columns named in `right` are numbers, the last one may be words."""
    words = columns[-1] in ("reason", "error")
    made = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="dim", expand=words)
    for column in columns:
        # Words take the room that the other columns leave, and are cut off at its end.
        rest = 1 if words and column == columns[-1] else None
        made.add_column(column, justify="right" if column in set(right) else "left", no_wrap=True, ratio=rest)
    return made


# ---- one release ----------------------------------------------------------------------------------------------------


def release_head(release: models.Release | None, title: str) -> Text:
    """The line above a release's stages."""
    head = Text(clean(title), style="bold")
    if release is not None:
        head.append(f"  release {clean(release.release_id)}", style="not bold dim")
    return head


def stages(release: models.Release) -> RenderableType:
    """Each status the release went through, with the time it took."""
    grid = Table.grid(padding=(0, 2))
    for index, entry in enumerate(release.history):
        after = release.history[index + 1].at if index + 1 < len(release.history) else None
        last = after is None
        if entry.status in BAD_ENDS:
            mark = Text("✗", style="bold red")
        elif last and not release.ended:
            mark = Text("…", style="cyan")
        else:
            mark = Text("✓", style="green")
        took_s = (after - entry.at).total_seconds() if after else None
        total_s = (entry.at - release.history[0].at).total_seconds() if last and release.ended else None
        time = seconds(max(took_s, 0)) if took_s is not None else f"after {seconds(total_s)}" if total_s else ""
        grid.add_row(
            mark,
            status_text(entry.status),
            Text(time, style="dim", justify="right"),
            Text(STATUS_MEANINGS.get(entry.status, ""), style="dim"),
        )
    return grid


def results_table(summary: models.Summary) -> RenderableType:
    """The measurements at each power value, one a row; below, which was chosen and which left out."""
    numbers = ("memory", "n", "trimmed\nmean", "p50", "p90", "cold\nstart", "memory\nused", "per\nmillion")
    made = table("", *numbers, right=numbers)
    notes: list[RenderableType] = []
    for value in sorted(summary.power_values, key=lambda value: value.memory_mb):
        chosen = value.memory_mb == summary.chosen_memory_mb
        good = value.status == "ok"
        style = "bold green" if chosen else "red" if value.status == "failed" else "" if good else "yellow"
        made.add_row(
            "◆" if chosen else "●" if good else "✗",
            f"{value.memory_mb} MB",
            str(value.n) if value.n else NOTHING,
            milliseconds(typical_ms(value)),
            milliseconds(value.p50_ms),
            milliseconds(value.p90_ms),
            milliseconds(value.init_ms),
            megabytes(value.max_memory_used_mb),
            usd(value.cost_usd_per_million),
            style=style,
        )
        if chosen:
            notes.append(Text(f"◆ {value.memory_mb} MB chosen for {or_dash(summary.strategy)}", style))
        elif not good or value.reason or value.errors:
            words = [clean(value.status)] if not good else []
            words += [f"{value.errors} errors"] if value.errors else []
            reason = f": {first_line(value.reason)}" if value.reason else ""
            notes.append(Text.assemble((f"✗ {value.memory_mb} MB {', '.join(words)}", style), (reason, "dim")))
    if any(value.status == "ok" and value.n and value.p90_ms is None for value in summary.power_values):
        notes.append(Text("- too few measurements to say: a larger num in metadata.json makes more", "dim"))
    return Group(made, Text(), *notes, Text())


def typical_ms(value: models.PowerValueResult) -> float | None:
    """The duration a decision is made on: the trimmed mean, which a single slow invocation does not move."""
    return value.mean_ms if value.trimmed_mean_ms is None else value.trimmed_mean_ms


def statistics(summary: models.Summary) -> RenderableType | None:
    """All that is known of each power value: percentiles with their intervals, cold starts, memory, errors by kind."""
    values = sorted(summary.power_values, key=lambda value: value.memory_mb)
    if not any(value.n or value.error_kinds for value in values):
        return None
    numbers = ("memory", "n", "p50, ms", "p90, ms", "p95, ms", "p99, ms")
    percentiles = table(*numbers, right=numbers)
    for value in values:
        found = (with_interval(value.percentiles.get(name)) for name in ("p50", "p90", "p95", "p99"))
        percentiles.add_row(f"{value.memory_mb} MB", f"{value.n}{'' if value.warm or not value.n else ' cold'}", *found)
    figures = (
        "memory",
        "\nmean",
        "trimmed\nmean",
        "cold\nstarts",
        "\ninit",
        "cold\nduration",
        "memory\nused",
        "\nheadroom",
    )
    rest = table(*figures, right=figures)
    notes = []
    for value in values:
        share = f" ({value.headroom_mb / value.memory_mb:.0%})" if value.headroom_mb is not None else ""
        error = f" ±{1.96 * value.relative_error:.1%}" if value.relative_error else ""
        rest.add_row(
            f"{value.memory_mb} MB",
            milliseconds(value.mean_ms),
            milliseconds(value.trimmed_mean_ms) + error,
            str(value.cold_starts),
            milliseconds(value.init_ms),
            milliseconds(value.cold_duration_ms),
            megabytes(value.max_memory_used_mb),
            (f"{value.headroom_mb:.0f}" if value.headroom_mb is not None else NOTHING) + share,
        )
        if value.error_kinds:
            kinds = ", ".join(f"{count} {clean(kind)}" for kind, count in value.error_kinds.items())
            notes.append(Text(f"{value.memory_mb} MB: {kinds}", style="red"))
        if value.disturbed:
            notes.append(Text(f"{value.memory_mb} MB: {value.disturbed} disturbed by the machine", style="dim"))
    method = summary.statistics or {}
    note = (
        f"Durations of warm invocations. Means: within each test case, trimmed by {method.get('trimShare', 0.2):.0%} "
        f"at each end, then over the cases. Percentiles: with {method.get('confidence', 0.95):.0%} intervals from "
        "order statistics; - where n can't support one."
    )
    return Group(percentiles, Text(), rest, *notes, Text(), Text(note, style="dim"))


def with_interval(percentile: models.Percentile | None) -> str:
    """A percentile with the ends of its interval, in milliseconds."""
    if percentile is None:
        return NOTHING
    middle, low, high = (
        f"{ms:.3g}" if ms < 1000 else f"{ms:,.0f}" for ms in (percentile.ms, percentile.low_ms, percentile.high_ms)
    )
    return f"{middle} [{low}-{high}]"


def charts(summary: models.Summary) -> RenderableType | None:
    """Cost and duration against memory; None where there is nothing to draw."""
    from greenroom.tuning import Chart

    try:
        drawn = Chart.from_dict(summary.chart or {})
    except ValueError:
        return None
    return Plot(drawn) if len(drawn.tried) > 1 else None


def cases(summary: models.Summary) -> RenderableType | None:
    """The test cases; for one that failed also the difference, the error and the log."""
    parts: list[RenderableType] = []
    width = max((len(case.case) for case in summary.cases), default=0) + 2
    for case in summary.cases:
        name = clean(case.case).ljust(width)
        if not case.failed:
            mark, count = (("✓ ", "green"), f"{case.passed} passed") if case.passed else (("· ", "dim"), "not run")
            parts.append(Text.assemble(mark, name, (count, "dim")))
            continue
        at = f" at {case.memory_mb} MB" if case.memory_mb else ""
        counts = f"{case.failed} failed{at}, {case.passed} passed"
        parts.append(Text.assemble(("✗ ", "bold red"), (name, "bold"), (counts, "red")))
        if case.difference:
            parts.append(Padding(difference(case.difference), (0, 0, 0, 4)))
        elif case.error or case.error_message:
            parts.append(Padding(Text(clean(case.error_message or case.error or ""), style="red"), (0, 0, 0, 4)))
        if case.log:
            parts.append(Padding(Text("log", style="bold dim"), (0, 0, 0, 4)))
            parts.append(Padding(Text(tail(case.log, LOG_LINES), style="dim"), (0, 0, 0, 4)))
    return Group(*parts) if parts else None


def first_line(text: str) -> str:
    """The first line of a reason, for where the difference that follows it is shown already."""
    return clean(text).strip().split("\n")[0].removesuffix("--- expected").rstrip(" :")


def local_cases(results: Sequence[LocalResult]) -> RenderableType:
    """How the cases came out on this machine."""
    parts: list[RenderableType] = []
    for result in results:
        used = f", {result.max_memory_used_mb} MB used" if result.max_memory_used_mb else ""
        note = f"  {milliseconds(result.duration_ms)}{used}" if result.duration_ms is not None else ""
        if result.passed:
            parts.append(Text.assemble(("✓ ", "green"), clean(result.case), (note, "dim")))
            continue
        parts.append(Text.assemble(("✗ ", "bold red"), (clean(result.case), "bold"), (note, "dim")))
        if result.difference:
            parts.append(Padding(difference(result.difference), (0, 0, 0, 4)))
        told = (text for text in (result.traceback or result.error, result.output) if text)
        parts.extend(Padding(Text(tail(text, LOG_LINES), style="dim"), (0, 0, 0, 4)) for text in told)
    passed = sum(result.passed for result in results)
    style = "bold green" if passed == len(results) else "bold red"
    return Group(*parts, Text(f"\n{passed} of {len(results)} passed", style=style))


def difference(text: str, limit: int = DIFFERENCE_LINES) -> Text:
    """A unified diff in its colours, at most `limit` lines of it."""
    lines = clean(text).rstrip("\n").split("\n")
    styled = Text()
    for line in lines[:limit]:
        style = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "dim")
        styled.append(line + "\n", style=style)
    if len(lines) > limit:
        styled.append(f"… and {len(lines) - limit} lines more", style="dim")
    styled.rstrip()
    return styled


def tail(text: str, count: int) -> str:
    """The last lines of a log."""
    lines = clean(text).rstrip("\n").split("\n")
    left_out = [f"… {len(lines) - count} lines before"] if len(lines) > count else []
    return "\n".join(left_out + lines[-count:])


def outcome(release: models.Release) -> RenderableType:
    """What became of a release: the test's results, why the memory size was chosen, or what went wrong."""
    parts: list[RenderableType] = []
    summary = release.summary
    if summary:
        shown_cases = cases(summary)
        if shown_cases:
            parts += [heading("Test cases"), shown_cases, Text()]
        if summary.power_values:
            parts += [heading("Measured backstage"), results_table(summary)]
        drawn = charts(summary)
        if drawn:
            parts += [drawn, Text()]
    parts.append(verdict(release))
    return Group(*parts)


def verdict(release: models.Release) -> RenderableType:
    """The last words on a release."""
    name = clean(release.algorithm or "the package")
    summary = release.summary
    style = STATUS_STYLES.get(release.status, "cyan")
    if release.status == "LIVE":
        version = f" version {release.version}" if release.version else ""
        memory = f" at {release.memory_mb} MB" if release.memory_mb else ""
        head = Text.assemble(("● LIVE  ", style), f"{name}{version}{memory}")
    else:
        mark = "✗" if release.status in BAD_ENDS else "●"
        head = Text.assemble(
            (f"{mark} {release.status}  ", style), f"{name}: ", STATUS_MEANINGS.get(release.status, "")
        )
    parts: list[RenderableType] = []
    if release.reason:
        detailed = summary is not None and any(case.failed for case in summary.cases)
        told = first_line(release.reason) if detailed else clean(release.reason)
        parts.append(Text(told, "red" if release.status in BAD_ENDS else ""))
    if summary and summary.sentence and release.status not in BAD_ENDS:
        parts.append(Text(clean(summary.sentence)))
    if summary and summary.comparison and release.status in BAD_ENDS:
        parts.append(Text(clean(str(summary.comparison.get("sentence") or ""))))
    if summary and summary.test_cost_usd is not None:
        parts.append(test_cost(summary, release.cost_at_most_usd))
    return Group(head, Padding(Group(*parts), (0, 0, 0, 2)))


def cost_at_most(cost_usd: float) -> str:
    """The bound that is known before a test starts."""
    return f"the test costs at most {usd(cost_usd)} at the prices of AWS, should every invocation take its full timeout"


def test_cost(summary: models.Summary, at_most_usd: float | None) -> Text:
    """What a test cost, and of what."""
    parts = []
    if summary.test_lambda_cost_usd is not None and summary.state_transitions is not None:
        parts.append(f"{usd(summary.test_lambda_cost_usd)} for Lambda, {summary.state_transitions} state transitions")
    if at_most_usd is not None:
        parts.append(f"at most {usd(at_most_usd)} was foreseen")
    details = f" ({'; '.join(parts)})" if parts else ""
    return Text(f"The test itself: {usd(summary.test_cost_usd)} at the prices of AWS{details}.", "dim")


def tuning_lines(tuning: models.Tuning) -> list[str]:
    """What can be said of a tuning so far, a line each, in the order in which it came about."""
    lines = []
    if tuning.cost_at_most_usd is not None:
        lines.append(
            f"{clean(tuning.function or 'The function')}: costs at most {usd(tuning.cost_at_most_usd)} to tune"
        )
    lines += [f"measuring at {each.memory_mb} MB" for each in tuning.progress]
    return lines


def tuning_outcome(tuning: models.Tuning) -> RenderableType:
    """What a tuning found: `greenroom tune`."""
    summary = tuning.summary
    if summary is None:
        return Text()
    parts: list[RenderableType] = [Text()]
    if summary.power_values:
        parts += [heading("Measured"), results_table(summary)]
    drawn = charts(summary)
    if drawn:
        parts += [drawn, Text()]
    found = statistics(summary)
    if found:
        parts += [heading("Statistics"), found, Text()]
    if tuning.status == "SUCCEEDED" and tuning.output is None:
        parts.append(Text("It was a dry run: every size was invoked once, and nothing was changed."))
    elif tuning.status == "SUCCEEDED":
        parts.append(Text(clean(summary.sentence or "")))
        machine = (tuning.output or {}).get("stateMachine")
        if isinstance(machine, dict) and machine.get("visualization"):
            parts.append(Text(f"Drawn: {clean(str(machine['visualization']))}", "dim", no_wrap=True, overflow="ignore"))
    if summary.test_cost_usd is not None:
        parts.append(test_cost(summary, tuning.cost_at_most_usd))
    return Group(*parts)


def heading(title: str) -> Text:
    return Text(title, style="bold underline")


def release_page(release: models.Release) -> RenderableType:
    """Everything about one release: `greenroom show`."""
    facts = Table.grid(padding=(0, 2))
    metadata = release.metadata or {}
    sizes = metadata.get("powerValues") or []
    listed = ", ".join(clean(str(value)) for value in sizes) if isinstance(sizes, list) else "128 to 10240"
    each = "up to" if metadata.get("search") == "adaptive" else "at least"
    rows = [
        ("algorithm", f"{or_dash(release.algorithm)} ({or_dash(release.type)})"),
        (
            "created",
            f"{release.created_at:%Y-%m-%d %H:%M:%S %Z} ({age(release.created_at)})" if release.created_at else NOTHING,
        ),
        ("package", f"{size(release.package_size_bytes)}, sha256 {or_dash(release.package_sha256)}"),
        ("runtime", f"{or_dash(metadata.get('runtime'))} on {or_dash(metadata.get('architecture'))}"),
        (
            "test",
            f"{or_dash(metadata.get('strategy'))} over {listed} MB, {each} {or_dash(metadata.get('num'))} each",
        ),
    ]
    for name, value in rows if metadata else rows[:3]:
        facts.add_row(Text(name, style="dim"), Text(value))
    parts: list[RenderableType] = [
        Text.assemble(("Release ", "bold"), (clean(release.release_id), "bold"), "  ", status_text(release.status)),
        facts,
        Text(),
        heading("Stages"),
        stages(release),
        Text(),
    ]
    if not release.ended and release.cost_at_most_usd is not None:
        parts += [Text(cost_at_most(release.cost_at_most_usd), "dim"), Text()]
    if release.progress and not release.ended:
        parts += [heading("Progress"), progress(release.progress), Text()]
    parts.append(outcome(release))
    found = statistics(release.summary) if release.summary else None
    if found:
        parts += [Text(), heading("Statistics"), found]
    return Group(*parts)


def progress(values: Sequence[models.Progress]) -> RenderableType:
    """How far the test is, as numbers."""
    made = Table.grid(padding=(0, 2))
    for value in sorted(values, key=lambda value: value.memory_mb):
        failed = Text(f"{value.failed} failed" if value.failed else "", style="red")
        made.add_row(Text(f"{value.memory_mb} MB", justify="right"), f"{value.done}/{value.total}", failed)
    return made


def checks(found: Sequence[Check]) -> RenderableType:
    """What `greenroom doctor` found."""
    marks = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "failed": ("✗", "bold red")}
    grid = Table.grid(padding=(0, 2))
    for check in found:
        mark, style = marks[check.status]
        detail = Text(clean(check.detail))
        if check.hint:
            detail.append(f"\n{clean(check.hint)}", style="dim")
        grid.add_row(Text(mark, style=style), Text(check.name, style="bold"), detail)
    return grid


# ---- lists ----------------------------------------------------------------------------------------------------------


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


def releases_table(releases: Sequence[models.Release]) -> RenderableType:
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


def failures_table(answer: models.Failures) -> RenderableType:
    """The messages that could not be handled."""
    if not answer.failures:
        return Text("Nothing rests in the dead-letter queue.", style="dim")
    made = table("id", "since", "size", "reason", right=("size",))
    for failure in answer.failures:
        made.add_row(
            clean(failure.failure_id),
            age(failure.since),
            size(failure.size_bytes),
            Text(clean(first_line(failure.reason or "no reason is known"))),
        )
    more = answer.total - len(answer.failures)
    return Group(made, Text(f"and {more} more", style="dim")) if more > 0 else made


def status_page(status: models.Status) -> RenderableType:
    """The platform at a glance."""
    info = status.platform
    parts: list[RenderableType] = [
        Text.assemble(
            ("Greenroom ", "bold"),
            (or_dash(info.version), "bold"),
            (f"  stack {or_dash(info.prefix)}, account {or_dash(info.account_id)}, {or_dash(info.region)}", "dim"),
        ),
        Text(f"{status.algorithms} algorithm{'' if status.algorithms == 1 else 's'}"),
        Text(),
        heading("Releases in flight"),
    ]
    if status.releases_in_flight:
        flight = table("release", "algorithm", "status")
        for release in status.releases_in_flight:
            flight.add_row(clean(release.release_id), or_dash(release.algorithm), status_text(release.status))
        parts += [flight, Text()]
    else:
        parts += [Text("none", style="dim"), Text()]
    parts.append(heading("Queues"))
    if status.queues:
        queues = table("queue", "waiting", "in flight", "oldest", right=("waiting", "in flight", "oldest"))
        for queue in status.queues:
            oldest = seconds(queue.oldest_age_s) if queue.oldest_age_s is not None else NOTHING
            queues.add_row(clean(queue.name), str(queue.visible), str(queue.in_flight), oldest)
        parts += [queues, Text()]
    else:
        parts += [Text("none", style="dim"), Text()]
    if status.dead_letters:
        parts.append(Text(f"✗ {status.dead_letters} in dead-letter queues: look at them", style="bold red"))
    else:
        parts.append(Text("✓ no dead letters", style="green"))
    return Group(*parts)


def log_line(event: models.LogEvent) -> Text:
    """One line of a release's log."""
    at = f"{event.at:%H:%M:%S}.{event.at.microsecond // 1000:03d}" if event.at else NOTHING
    memory = f"{event.memory_mb} MB" if event.memory_mb else ""
    message = clean(event.message).rstrip("\n")
    style = "dim" if message.startswith(("START ", "END ", "REPORT ", "INIT_START ")) else ""
    return Text.assemble((f"{at}  {memory:>8}  ", "dim"), (message, style))


def message_table(message: models.Message) -> RenderableType:
    """What came out of a message, one algorithm a row."""
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
    """Every invocation of a test, one a row."""
    if not measurements:
        return Text("Nothing measured yet.", style="dim")
    numbers = ("memory", "#", "duration", "billed", "init", "used")
    made = table("case", *numbers, "error", right=numbers)
    for measurement in measurements:
        made.add_row(
            or_dash(measurement.case),
            megabytes(measurement.memory_mb),
            or_dash(measurement.index),
            milliseconds(measurement.duration_ms),
            milliseconds(measurement.billed_duration_ms),
            milliseconds(measurement.init_duration_ms),
            megabytes(measurement.max_memory_used_mb),
            Text(clean((measurement.error or "").split("\n")[0]), style="red"),
        )
    return made

"""One release: its stages, its progress, its outcome."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from greenroom.cli.render.cases import cases
from greenroom.cli.render.elements import BAD_ENDS, STATUS_MEANINGS, STATUS_STYLES, heading, status_text
from greenroom.cli.render.measured import charts, results_table, statistics, test_cost
from greenroom.cli.text import NOTHING, age, clean, first_line, or_dash, seconds, size, usd
from greenroom.tuning.limits import MAX_MEMORY_MB, MIN_MEMORY_MB
from greenroom.wire import models


def release_head(release: models.Release | None, title: str) -> Text:
    """Draw the line above a release's stages."""
    head = Text(clean(title), style="bold")
    if release is not None:
        head.append(f"  release {clean(release.release_id)}", style="not bold dim")
    return head


def stages(release: models.Release) -> RenderableType:
    """Draw each status of a release, with the time that it took."""
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


def outcome(release: models.Release) -> RenderableType:
    """Draw the result of a release: what went wrong, the test cases, the measurements, and the verdict."""
    if parts := _tested(release):
        return Group(*problem_first(release), *parts, verdict(release, brief=True))
    return verdict(release)


def problem_first(release: models.Release) -> list[RenderableType]:
    """Return what was wrong with a release, where, and what to do; nothing if nothing was."""
    if (problem := release.problem) is None:
        return []
    message = Text.assemble(("✗ ", "bold red"), (clean(problem.message), "bold"))
    return [message, Padding(problem_details(problem), (0, 0, 0, 2)), Text()]


def _tested(release: models.Release) -> list[RenderableType]:
    """Return the parts of a test's result: the test cases, the measurements, the chart."""
    if (summary := release.summary) is None:
        return []
    parts: list[RenderableType] = []
    if shown_cases := cases(summary, release.not_compared):
        parts += [heading("Test cases"), shown_cases, Text()]
    if summary.power_values:
        parts += [heading("Measured backstage"), results_table(summary)]
    if drawn := charts(summary):
        parts += [drawn, Text()]
    return parts


def problem_details(problem: models.Problem) -> RenderableType:
    """Draw where a problem is, and what to do about it."""
    return Group(*(Text(clean(text), style) for text, style in ((problem.where, "dim"), (problem.hint, "")) if text))


def verdict(release: models.Release, *, brief: bool = False) -> RenderableType:
    """Draw the end of a release: its status, the reason or the problem, the cost.

    Args:
        release: a release, ended or not.
        brief: what went wrong is shown elsewhere with its details, so only its message is needed.
    """
    summary, problem = release.summary, release.problem
    parts: list[RenderableType] = []
    if problem and not brief:
        parts += [Text(clean(problem.message), "red"), problem_details(problem)]
    elif release.reason and not problem:
        detailed = summary is not None and any(case.failed for case in summary.cases)
        reason = first_line(release.reason) if detailed else clean(release.reason)
        parts.append(Text(reason, "red" if release.status in BAD_ENDS else ""))
    if summary:
        parts += _findings(release, summary)
    return Group(_status_line(release, problem if brief else None), Padding(Group(*parts), (0, 0, 0, 2)))


def _status_line(release: models.Release, problem: models.Problem | None) -> Text:
    name, style = clean(release.algorithm or "the package"), STATUS_STYLES.get(release.status, "cyan")
    if release.status == "LIVE":
        version = f" version {release.version}" if release.version else ""
        memory = f" at {release.memory_mb} MB" if release.memory_mb else ""
        return Text.assemble(("● LIVE  ", style), f"{name}{version}{memory}")
    mark = "✗" if release.status in BAD_ENDS else "●"
    meaning = clean(problem.message) if problem else STATUS_MEANINGS.get(release.status, "")
    return Text.assemble((f"{mark} {clean(release.status)}  ", style), f"{name}: ", meaning)


def _findings(release: models.Release, summary: models.Summary) -> list[RenderableType]:
    """Return why the memory size was chosen, or how the release compares with the live one; and the cost."""
    parts: list[RenderableType] = []
    if release.status not in BAD_ENDS:
        parts.append(Text(clean(summary.sentence or "")))
    elif summary.comparison:
        parts.append(Text(clean(summary.comparison.sentence)))
    if summary.test_cost_usd is not None:
        parts.append(test_cost(summary, release.cost_at_most_usd))
    return [part for part in parts if not isinstance(part, Text) or part.plain]


def cost_at_most(cost_usd: float) -> str:
    """Return the sentence about the bound that is known before a test starts."""
    return f"the test costs at most {usd(cost_usd)} at the prices of AWS, should every invocation take its full timeout"


def release_page(release: models.Release) -> RenderableType:
    """Draw everything about one release: `greenroom show`."""
    parts: list[RenderableType] = [
        Text.assemble(("Release ", "bold"), (clean(release.release_id), "bold"), "  ", status_text(release.status)),
        *problem_first(release),
        _facts(release),
        Text(),
        heading("Stages"),
        stages(release),
        Text(),
    ]
    if not release.ended and release.cost_at_most_usd is not None:
        parts += [Text(cost_at_most(release.cost_at_most_usd), "dim"), Text()]
    if release.progress and not release.ended:
        parts += [heading("Progress"), progress(release.progress), Text()]
    parts += [*_tested(release), verdict(release, brief=True)]
    if release.summary and (found := statistics(release.summary)):
        parts += [Text(), heading("Statistics"), found]
    return Group(*parts)


def _facts(release: models.Release) -> RenderableType:
    """Draw what a release is, and how it is tested."""
    metadata = release.metadata or {}
    created = (
        f"{release.created_at:%Y-%m-%d %H:%M:%S %Z} ({age(release.created_at)})" if release.created_at else NOTHING
    )
    rows = [
        ("algorithm", f"{or_dash(release.algorithm)} ({or_dash(release.type)})"),
        ("created", created),
        ("package", f"{size(release.package_size_bytes)}, sha256 {or_dash(release.package_sha256)}"),
    ]
    if release.upload_sha256 not in (None, release.package_sha256):
        rows.append(("upload", f"sha256 {or_dash(release.upload_sha256)}"))
    if metadata:
        values = metadata.get("powerValues") or []
        whole_range = f"{MIN_MEMORY_MB} to {MAX_MEMORY_MB}"
        listed = ", ".join(clean(str(value)) for value in values) if isinstance(values, list) else whole_range
        each = "up to" if metadata.get("search") == "adaptive" else "at least"
        tested = f"{or_dash(metadata.get('strategy'))} over {listed} MB, {each} {or_dash(metadata.get('num'))} each"
        rows += [
            ("runtime", f"{or_dash(metadata.get('runtime'))} on {or_dash(metadata.get('architecture'))}"),
            ("test", tested),
        ]
    facts = Table.grid(padding=(0, 2))
    for name, value in rows:
        facts.add_row(Text(name, style="dim"), Text(value))
    return facts


def progress(values: Sequence[models.Progress]) -> RenderableType:
    """Draw how far the test is, as numbers."""
    made = Table.grid(padding=(0, 2))
    for value in sorted(values, key=lambda value: value.memory_mb):
        failed = Text(f"{value.failed} failed" if value.failed else "", style="red")
        made.add_row(Text(f"{value.memory_mb} MB", justify="right"), f"{value.done}/{value.total}", failed)
    return made

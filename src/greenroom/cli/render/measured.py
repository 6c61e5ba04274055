"""What a test measured: the result at each power value, the statistics, the chart. For releases and for tunings."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from greenroom.cli.charts import Plot, drawable
from greenroom.cli.render.elements import table
from greenroom.cli.text import NOTHING, clean, first_line, megabytes, milliseconds, or_dash, sizes, usd
from greenroom.wire import models


def results_table(summary: models.Summary) -> RenderableType:
    """Draw the measurements, one power value a row; below, which was chosen and which was left out."""
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
            milliseconds(value.cold_start_ms),
            megabytes(value.max_memory_used_mb),
            usd(value.cost_usd_per_million),
            style=style,
        )
        if chosen:
            notes.append(Text(f"◆ {value.memory_mb} MB chosen for {or_dash(summary.strategy)}", style))
        elif value.status != "failed" and (not good or value.reason or value.errors):
            words = [clean(value.status)] if not good else []
            words += [f"{value.errors} errors"] if value.errors else []
            reason = f": {first_line(value.reason)}" if value.reason else ""
            notes.append(Text.assemble((f"✗ {value.memory_mb} MB {', '.join(words)}", style), (reason, "dim")))
    if failed_mb := sorted(value.memory_mb for value in summary.power_values if value.status == "failed"):
        notes.append(Text(f"✗ {sizes(failed_mb)} failed", "red"))
    if busy := disturbed(summary):
        notes.append(Text(f"! {busy}", "yellow"))
    elif any(value.status == "ok" and value.n and value.p90_ms is None for value in summary.power_values):
        notes.append(Text("- too few measurements: a larger num in metadata.json gives more", "dim"))
    return Group(made, Text(), *notes, Text())


def disturbed(summary: models.Summary) -> str | None:
    """Return how much of a test other programs disturbed, so that it does not count; None if they did not."""
    count = sum(value.set_aside.get("disturbed", 0) for value in summary.power_values)
    made = sum(value.n + sum(value.set_aside.values()) for value in summary.power_values)
    return f"{count} of {made} invocations were disturbed by other programs and don't count" if count else None


def typical_ms(value: models.PowerValueResult) -> float | None:
    """Return the duration that decides: the trimmed mean, which a single slow invocation does not move."""
    return value.mean_ms if value.trimmed_mean_ms is None else value.trimmed_mean_ms


def statistics(summary: models.Summary) -> RenderableType | None:
    """Draw the statistics of each power value: percentiles with intervals, cold starts, memory, errors by kind."""
    values = sorted(summary.power_values, key=lambda value: value.memory_mb)
    if not any(value.n or value.error_kinds for value in values):
        return None
    numbers = ("memory", "n", "p50, ms", "p90, ms", "p95, ms", "p99, ms")
    percentiles = table(*numbers, right=numbers)
    for value in values:
        found = (percentile(value.percentiles.get(name)) for name in ("p50", "p90", "p95", "p99"))
        percentiles.add_row(f"{value.memory_mb} MB", f"{value.n}{'' if value.warm or not value.n else ' cold'}", *found)
    figures = (
        "memory",
        "trimmed\nmean, ms",
        "cold\nstarts",
        "\ninit",
        "cold start\n(worst)",
        "memory\nused",
        "\nheadroom",
    )
    others = table(*figures, right=figures)
    notes = []
    for value in values:
        share = f" ({value.headroom_mb / value.memory_mb:.0%})" if value.headroom_mb is not None else ""
        others.add_row(
            f"{value.memory_mb} MB",
            with_interval(value.trimmed_mean_ms, value.trimmed_mean_low_ms, value.trimmed_mean_high_ms),
            str(value.cold_starts),
            milliseconds(value.init_ms),
            _with_worst(value.cold_start_ms, value.cold_start_worst_ms),
            megabytes(value.max_memory_used_mb),
            (f"{value.headroom_mb:.0f}" if value.headroom_mb is not None else NOTHING) + share,
        )
        if value.error_kinds:
            kinds = ", ".join(f"{count} {clean(kind)}" for kind, count in value.error_kinds.items())
            notes.append(Text(f"{value.memory_mb} MB: {kinds}", style="red"))
        if aside := ", ".join(f"{count} {clean(why)}" for why, count in value.set_aside.items()):
            made = value.n + sum(value.set_aside.values())
            notes.append(Text(f"{value.memory_mb} MB: {value.n} of {made} count; set aside: {aside}", style="dim"))
    method = summary.statistics or models.StatisticsUsed()
    note = (
        f"Durations of warm invocations. Means: within each test case, trimmed by {method.trim_share or 0:.0%} "
        f"at each end, then over the cases. In brackets: {method.confidence or 0:.0%} intervals, "
        "those of percentiles from order statistics; - means that n is too small."
    )
    return Group(percentiles, Text(), others, *notes, Text(), Text(note, style="dim"))


def _with_worst(ms: float | None, worst_ms: float | None) -> str:
    """Return a median, with the worst where that is another."""
    worst = f" ({milliseconds(worst_ms)})" if worst_ms is not None and worst_ms != ms else ""
    return f"{milliseconds(ms)}{worst}"


def percentile(found: models.Percentile | None) -> str:
    """Return a percentile with the ends of its interval, in milliseconds."""
    return with_interval(found.ms, found.low_ms, found.high_ms) if found else NOTHING


def with_interval(ms: float | None, low_ms: float | None, high_ms: float | None) -> str:
    """Return an estimate with the ends of its interval as far as they are known, in milliseconds."""
    if ms is None:
        return NOTHING
    if low_ms is None or high_ms is None:
        return _digits(ms)
    return f"{_digits(ms)} [{_digits(low_ms)}-{_digits(high_ms)}]"


def _digits(ms: float) -> str:
    return f"{ms:.3g}" if ms < 1000 else f"{ms:,.0f}"


def charts(summary: models.Summary) -> RenderableType | None:
    """Draw cost and duration against memory; None if there is nothing to draw."""
    chart = drawable(summary.chart)
    return Plot(chart) if chart and len(chart.tried) > 1 else None


def test_cost(summary: models.Summary, at_most_usd: float | None) -> Text:
    """Return the sentence about the cost of a test, and its parts."""
    parts = []
    if summary.test_lambda_cost_usd is not None and summary.state_transitions is not None:
        parts.append(f"{usd(summary.test_lambda_cost_usd)} for Lambda, {summary.state_transitions} state transitions")
    if at_most_usd is not None:
        parts.append(f"at most {usd(at_most_usd)} was foreseen")
    details = f" ({'; '.join(parts)})" if parts else ""
    return Text(f"The test itself: {usd(summary.test_cost_usd)} at the prices of AWS{details}.", "dim")

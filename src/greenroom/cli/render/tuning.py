"""A tuning of any function: how far it is, and what it found."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from greenroom.cli.render.elements import heading
from greenroom.cli.render.measured import charts, results_table, statistics, test_cost
from greenroom.cli.text import clean, usd
from greenroom.wire import models


def tuning_lines(tuning: models.Tuning) -> list[str]:
    """Return the progress of a tuning, a line for each step."""
    lines = []
    if tuning.cost_at_most_usd is not None:
        lines.append(
            f"{clean(tuning.function or 'The function')}: costs at most {usd(tuning.cost_at_most_usd)} to tune"
        )
    lines += [f"measuring at {each.memory_mb} MB" for each in tuning.progress]
    return lines


def tuning_outcome(tuning: models.Tuning) -> RenderableType:
    """Draw the result of a tuning: `greenroom tune`."""
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
        parts.append(Text("This was a dry run: every size was invoked once, and nothing was changed."))
    elif tuning.status == "SUCCEEDED":
        parts.append(Text(clean(summary.sentence)))
        if tuning.output is not None:
            link = clean(tuning.output.state_machine.visualization)
            parts.append(Text(f"Drawn: {link}", "dim", no_wrap=True, overflow="ignore"))
    if summary.test_cost_usd is not None:
        parts.append(test_cost(summary, tuning.cost_at_most_usd))
    return Group(*parts)

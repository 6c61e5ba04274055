"""Decides which memory size goes live. Pure: no I/O, no AWS, standard library only, so that every decision is tested
without a service and runs inside a small Lambda package.

    prices        what Lambda charges, per region and architecture
    report_line   the REPORT line of a log, read back
    measurements  what one invocation showed
    statistics    what the measurements of one power value say
    strategies    what "best" means, and what a power value must meet
    model         the duration at every size, with its uncertainty, from measurements at some
    adaptive      where the next invocations are worth most, and when to stop
    planning      what to measure next, fixed or adaptive, in batches that one executor can do
    decision      passed or failed, at which power value, and why
    compare       the release beside the live one
    plot          all of that drawn, as text, as SVG and as data

The state machine's loop is plan -> Map(execute) -> assess; its end is `analyze`.
"""

from __future__ import annotations

from greenroom.tuning.compare import Comparison, compare
from greenroom.tuning.decision import Decision, analyze
from greenroom.tuning.measurements import ErrorKind, Measurement, error_of
from greenroom.tuning.planning import (
    Batch,
    Plan,
    PlanState,
    case_of,
    ends_batch,
    longest_wait_s,
    plan,
    plan_beside_live,
    plan_fixed,
    progress,
    rounds_at_most,
    side_of,
    upper_bound_usd,
)
from greenroom.tuning.plot import Chart, chart, svg_plot, terminal_plot
from greenroom.tuning.prices import Prices, prices_for
from greenroom.tuning.report_line import Report, parse_report
from greenroom.tuning.statistics import Averaging
from greenroom.tuning.strategies import Constraints, Strategy

__all__ = [
    "Averaging",
    "Batch",
    "Chart",
    "Comparison",
    "Constraints",
    "Decision",
    "ErrorKind",
    "Measurement",
    "Plan",
    "PlanState",
    "Prices",
    "Report",
    "Strategy",
    "analyze",
    "case_of",
    "chart",
    "compare",
    "ends_batch",
    "error_of",
    "longest_wait_s",
    "parse_report",
    "plan",
    "plan_beside_live",
    "plan_fixed",
    "prices_for",
    "progress",
    "rounds_at_most",
    "side_of",
    "svg_plot",
    "terminal_plot",
    "upper_bound_usd",
]

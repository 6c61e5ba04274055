"""Decides which memory size goes live. Pure: no I/O, no AWS, standard library only, so that every decision is tested
without a service and runs inside a small Lambda package.

    limits        what Lambda allows and gives
    prices        what Lambda charges, per region and architecture
    report_line   the REPORT line of a log, read back
    measurements  what one invocation showed
    statistics    what the measurements of one power value say
    strategies    what "best" means, and what a power value must meet
    spec          what a test is: the one value that plan and decide are given
    model         the duration at every size, with its uncertainty, from measurements at some
    adaptive      where the next invocations are worth most, and when to stop
    planning      what to measure next, fixed or adaptive, in batches that one executor can do
    results       what a test showed of each power value and of each case
    choice        the power value to take, those tied with it, the probability of being wrong
    sentences     the words for all that
    decision      passed or failed, at which power value, and why
    compare       a release and the live one
    chart         the data of a chart of a decision

The state machine's loop is plan -> Map(execute) -> plan; its end is `decide`.
"""

from __future__ import annotations

from greenroom.tuning import sentences
from greenroom.tuning.chart import Chart, chart
from greenroom.tuning.compare import Comparison, compare
from greenroom.tuning.decision import Decision, decide
from greenroom.tuning.measurements import ErrorKind, Measurement, error_of
from greenroom.tuning.planning import (
    Batch,
    Plan,
    case_of,
    ends_batch,
    longest_wait_s,
    plan,
    plan_with_live,
    rounds_at_most,
    side_of,
    upper_bound_usd,
)
from greenroom.tuning.prices import Prices, prices_for
from greenroom.tuning.report_line import Report, parse_report
from greenroom.tuning.spec import LADDER_MB, Search, TestSpec
from greenroom.tuning.statistics import Averaging
from greenroom.tuning.strategies import Constraints, Strategy

__all__ = [
    "LADDER_MB",
    "Averaging",
    "Batch",
    "Chart",
    "Comparison",
    "Constraints",
    "Decision",
    "ErrorKind",
    "Measurement",
    "Plan",
    "Prices",
    "Report",
    "Search",
    "Strategy",
    "TestSpec",
    "case_of",
    "chart",
    "compare",
    "decide",
    "ends_batch",
    "error_of",
    "longest_wait_s",
    "parse_report",
    "plan",
    "plan_with_live",
    "prices_for",
    "rounds_at_most",
    "sentences",
    "side_of",
    "upper_bound_usd",
]

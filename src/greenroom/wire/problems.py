"""What to do after a release was rejected or has failed. Pure: made of what is known of the release."""

from __future__ import annotations

import re

from greenroom.wire.errors import Problem
from greenroom.wire.findings import CaseResult, Summary
from greenroom.wire.statuses import Status

ALGORITHM_AT_FAULT = ("wrong_answer", "exception")
"""What a test case can show of an algorithm that is wrong; the other kinds of errors exclude a memory size only."""

_DIFFERENCE_AT = re.compile(r"first difference at (.*)")
_UNCHANGED = "What is live has not changed."
_AGAIN = f"Then upload the package again. {_UNCHANGED}"
_ON_YOUR_MACHINE = "`greenroom test` runs the case on your machine."


def package_problem(fault: Problem) -> Problem:
    """Return a fault of a package as the problem of the release that was rejected for it."""
    return fault.model_copy(update={"hint": f"{fault.hint} {_AGAIN}"})


def release_problem(status: str, reason: str | None, summary: Summary | None) -> Problem | None:
    """Return what was wrong with a release, where, and what to do; None if nothing was.

    Args:
        status: the release's status.
        reason: why it has that status.
        summary: the result of its test, if it got that far.
    """
    if status == Status.REJECTED:
        hint = f"Correct the package; `greenroom test` checks it on your machine. {_AGAIN}"
        return Problem(code="package_rejected", message=reason or "The package was rejected", hint=hint)
    if status != Status.FAILED:
        return None
    message = reason or "The release has failed"
    if summary is None:
        hint = f"Upload the package again. If it fails again, tell the platform team. {_UNCHANGED}"
        return Problem(code="not_tested", message=message, hint=hint)
    if failure := first_failure(summary):
        return _case_problem(failure)
    if _was_too_busy(summary):
        hint = f"Wait until less runs on the machine, or stop what is not needed. {_AGAIN}"
        return Problem(code="machine_busy", message=message, where="the test", hint=hint)
    if summary.comparison and summary.comparison.regression:
        hint = (
            "Make it as fast and as cheap as the live release, or allow more with maxRegression in metadata.json. "
            f"{_AGAIN}"
        )
        return Problem(code="regression", message=message, where="the comparison with the live release", hint=hint)
    hint = (
        "If a memory size is too small, name larger ones as powerValues in metadata.json, or set a longer timeout. "
        f"If the reason is not clear, look at the log of the release's versions. {_AGAIN}"
    )
    return Problem(code="no_size_chosen", message=message, where="the test", hint=hint)


def _was_too_busy(summary: Summary) -> bool:
    """Return whether a test failed for want of quiet: no size was measured cleanly, or not the live release."""
    if any(value.status == "ok" for value in summary.power_values):
        comparison = summary.comparison
        return bool(comparison and comparison.regression and comparison.duration is None)
    return any(value.unclean for value in summary.power_values)


def first_failure(summary: Summary) -> CaseResult | None:
    """Return the first test case that shows that the algorithm is wrong."""
    return next((case for case in summary.cases if case.failed and case.error in ALGORITHM_AT_FAULT), None)


def _case_problem(failure: CaseResult) -> Problem:
    folder = f"tests/{failure.case}"
    where = folder if failure.memory_mb is None else f"{folder}, at {failure.memory_mb} MB"
    if failure.error == "exception":
        raised = (failure.error_message or "").split("\n", 1)[0]
        message = f"Test case {failure.case} raised an exception" + (f": {raised}" if raised else "")
        hint = f"The log has the traceback; {_ON_YOUR_MACHINE} {_AGAIN}"
        return Problem(code="exception", message=message, where=where, hint=hint)
    if place := _DIFFERENCE_AT.match(failure.difference or ""):
        where += f", in the answer at {place[1]}"
    message = f"Test case {failure.case} gave another answer than expected"
    hint = f"Correct the algorithm, or {folder}/expected.* if that is wrong; {_ON_YOUR_MACHINE} {_AGAIN}"
    return Problem(code="wrong_answer", message=message, where=where, hint=hint)

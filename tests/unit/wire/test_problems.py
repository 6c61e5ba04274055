"""What was wrong with a release, where, and what to do."""

from __future__ import annotations

import pytest

from greenroom.wire.models import (
    CaseResult,
    LiveComparison,
    PowerValueResult,
    Problem,
    Summary,
    package_problem,
    release_problem,
)
from greenroom.wire.statuses import Status


def problem(reason: str | None = "the reason", summary: Summary | None = None, status: str = Status.FAILED) -> Problem:
    found = release_problem(status, reason, summary)
    assert found
    return found


@pytest.mark.parametrize("status", sorted(set(Status) - {Status.FAILED, Status.REJECTED}))
def test_a_release_that_was_not_rejected_and_has_not_failed_has_no_problem(status: Status) -> None:
    assert release_problem(status, "superseded by a newer upload", None) is None


def test_a_rejected_package_is_to_be_corrected() -> None:
    found = problem("metadata.json: field 'name' is missing", status=Status.REJECTED)
    assert (found.code, found.message) == ("package_rejected", "metadata.json: field 'name' is missing")
    assert "Correct the package" in found.hint


def test_a_fault_of_a_package_keeps_its_place_and_says_what_to_do_after_it_is_corrected() -> None:
    fault = Problem(code="no_tests", message="tests: is empty", where="tests", hint="Add a case.")
    found = package_problem(fault)
    assert (found.code, found.message, found.where) == ("no_tests", "tests: is empty", "tests")
    assert found.hint == "Add a case. Then upload the package again. What is live has not changed."


def test_a_wrong_answer_is_told_with_the_case_the_size_and_the_place_in_the_answer() -> None:
    case = CaseResult(
        case="two-rules",
        failed=3,
        error="wrong_answer",
        memory_mb=256,
        difference="first difference at $.rules[0]\n--- expected\n+++ actual",
    )
    found = problem(summary=Summary(cases=[CaseResult(case="empty", passed=3), case]))
    assert found.code == "wrong_answer"
    assert found.message == "Test case two-rules gave another answer than expected"
    assert found.where == "tests/two-rules, at 256 MB, in the answer at $.rules[0]"
    assert "tests/two-rules/expected.*" in found.hint
    assert "`greenroom test`" in found.hint


def test_an_exception_is_told_with_its_first_line() -> None:
    case = CaseResult(
        case="one", failed=1, error="exception", error_message="KeyError: 'rules'\nTraceback", memory_mb=128
    )
    found = problem(summary=Summary(cases=[case]))
    assert found.message == "Test case one raised an exception: KeyError: 'rules'"
    assert found.where == "tests/one, at 128 MB"
    assert "traceback" in found.hint


def test_a_regression_names_the_field_that_allows_more() -> None:
    found = problem("12 % slower", Summary(comparison=LiveComparison(regression="12 % slower")))
    assert (found.code, found.message) == ("regression", "12 % slower")
    assert "maxRegression" in found.hint


@pytest.mark.parametrize("error", ["timeout", "out_of_memory"])
def test_where_no_size_is_large_enough_larger_ones_are_the_way_out(error: str) -> None:
    case = CaseResult(case="one", failed=3, error=error, memory_mb=128)
    found = problem(summary=Summary(cases=[case]))
    assert (found.code, found.message) == ("no_size_chosen", "the reason")
    assert "powerValues" in found.hint


def test_what_never_came_to_a_test_may_be_uploaded_again() -> None:
    found = problem()
    assert found.code == "not_tested"
    assert "platform team" in found.hint


def test_there_is_a_message_even_where_no_reason_was_kept() -> None:
    assert problem(None).message
    assert problem(None, status=Status.REJECTED).message


BUSY = "the machine was too busy: 37 of 40 invocations were disturbed"


@pytest.mark.parametrize(
    "summary",
    [
        Summary(power_values=[PowerValueResult(memory_mb=128, status="excluded", unclean=True)]),
        Summary(
            power_values=[PowerValueResult(memory_mb=128)],
            comparison=LiveComparison(regression=f"could not be compared with the live release: {BUSY}"),
        ),
    ],
)
def test_a_machine_that_was_too_busy_is_the_problem_and_not_the_memory_size(summary: Summary) -> None:
    found = problem(BUSY, summary)
    assert (found.code, found.message) == ("machine_busy", BUSY)
    assert found.hint.startswith("Wait until less runs on the machine") and "powerValues" not in found.hint

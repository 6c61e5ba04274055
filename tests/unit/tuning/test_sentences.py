"""The words for what a test showed, as they are read."""

from __future__ import annotations

from dataclasses import replace

import pytest

from greenroom.tuning import Measurement, sentences
from greenroom.tuning.choice import Candidate, Choice
from greenroom.tuning.results import PowerValueResult, PowerValueStatus
from greenroom.tuning.statistics import Mean, PowerValueStatistics
from greenroom.tuning.strategies import Strategy
from tests.unit.tuning.builders import measurement


def failed(error: str, **fields: object) -> Measurement:
    return measurement(256, 3210.0, case="groups", error=error, **fields)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (failed("wrong_answer"), "case 'groups' at 256 MB gave a wrong answer"),
        (failed("wrong_answer", difference="-1\n+2"), "case 'groups' at 256 MB gave a wrong answer: -1\n+2"),
        (failed("wrong_answer", error_message="no list"), "case 'groups' at 256 MB gave a wrong answer: no list"),
        (
            failed("wrong_answer", difference="-1\n+2", error_message="no list", differs="2 of 6 vCPU"),
            "case 'groups' at 256 MB gave a wrong answer: -1\n+2",
        ),
        (failed("exception"), "case 'groups' at 256 MB raised an exception"),
        (failed("exception", error_message="KeyError: 'tag'"), "case 'groups' at 256 MB raised KeyError: 'tag'"),
        (
            failed("exception", error_message="MemoryError", differs="no memory limit"),
            "case 'groups' at 256 MB raised MemoryError (not as on Lambda: no memory limit)",
        ),
    ],
)
def test_a_fault_is_said_with_its_case_its_size_and_what_is_known_of_it(found: Measurement, words: str) -> None:
    assert sentences.fault(found) == words


@pytest.mark.parametrize("fields", [{"difference": "x" * 5000}, {"error_message": "x" * 5000}])
@pytest.mark.parametrize("error", ["wrong_answer", "exception"])
def test_the_text_of_an_algorithm_is_cut(error: str, fields: dict[str, str]) -> None:
    assert len(sentences.fault(failed(error, **fields))) <= 4096
    if error == "wrong_answer" or "error_message" in fields:
        assert len(sentences.fault(failed(error, **fields))) == 4096


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (failed("timeout"), "ran out of time in case 'groups', after 3.2 s"),
        (failed("out_of_memory"), "ran out of memory in case 'groups', having used 60 MB"),
        (failed("out_of_memory", max_memory_used_mb=None), "ran out of memory in case 'groups'"),
    ],
)
def test_why_a_size_is_too_small(found: Measurement, words: str) -> None:
    assert sentences.too_small(found) == words


def test_why_nothing_is_known_of_a_size() -> None:
    throttled = [failed("throttled", error_message="y" * 300), failed("platform")]
    assert sentences.not_measured([]) == "was not measured"
    assert sentences.not_measured(throttled) == f"was not measured (2 invocations throttled: {'y' * 200})"
    assert sentences.not_measured(throttled[1:]) == "was not measured (1 invocation lost by the platform)"
    assert sentences.cases_missing(["b", "c"], 3) == "was not measured with 2 of 3 cases, the first being 'b'"


def result(
    memory_mb: int, cost: float, duration_ms: float, status: PowerValueStatus = "ok", differs: str | None = None
) -> PowerValueResult:
    statistics = PowerValueStatistics(
        memory_mb, n=10, warm=True, cold_starts=0, disturbed=0, errors={}, duration=Mean(duration_ms, 0.01),
        cost_usd_per_million=cost,
    )  # fmt: skip
    reason = None if status == "ok" else f"ran out of something at {memory_mb} MB"
    return PowerValueResult(statistics, status, reason, differs=differs)


def test_why_no_size_can_go_live() -> None:
    results = [result(128, 0, 0, "excluded"), result(256, 0, 0, "excluded")]
    assert sentences.nothing_usable([]) == "no power value can go live (nothing was measured)"
    assert sentences.nothing_usable(results) == (
        "no power value can go live (128 MB: ran out of something at 128 MB; 256 MB: ran out of something at 256 MB)"
    )
    assert len(sentences.nothing_usable(results * 100)) == 4096
    assert sentences.not_promoted("it is late") == "Not promoted: it is late"


CHEAP, FAST = Candidate(128, 1.0, 0.01, 1.0), Candidate(256, 1.1, 0.01, 1.0)


def chosen(choice: Choice, results: list[PowerValueResult], strategy: Strategy = "cost") -> str:
    return sentences.chosen(choice, results, strategy, 0.01)


def test_the_only_size_is_said_with_its_figures_and_what_is_excluded() -> None:
    alone = Choice(CHEAP, CHEAP, None, (), 0.0)
    figures = "$2.08 per million invocations, 1235 ms each (trimmed mean)."
    assert chosen(alone, [result(128, 2.084, 1234.6)]) == (
        f"128 MB is the only power value that can go live: {figures}"
    )
    excluded = [result(64, 0, 0, "excluded"), result(96, 0, 0, "excluded"), result(128, 2.084, 1234.6)]
    assert chosen(alone, excluded) == (
        f"128 MB is the only power value that can go live (64 MB, 96 MB excluded): {figures}"
    )


@pytest.mark.parametrize(
    ("strategy", "superlative"),
    [("cost", "the cheapest"), ("duration", "the fastest"), ("balanced", "the best balance")],
)
def test_the_best_size_is_said_with_its_runner_up(strategy: Strategy, superlative: str) -> None:
    results = [result(128, 2.0, 100.0), result(256, 2.5, 75.0)]
    assert chosen(Choice(CHEAP, CHEAP, FAST, (), 0.056), results, strategy) == (
        f"128 MB is {superlative}: $2.00 per million invocations, 100 ms each (trimmed mean). The runner-up, 256 MB, "
        "costs 25.0 % more and is 25.0 % faster. That is close: the probability that another is better by more than "
        "1 % is 6 %."
    )


@pytest.mark.parametrize(
    ("strategy", "why", "figure"),
    [("cost", "the fastest", "cost"), ("duration", "the cheapest", "duration"), ("balanced", "the fastest", "balance")],
)
def test_a_size_that_won_a_tie_is_said_with_those_it_tied_with_and_why(
    strategy: Strategy, why: str, figure: str
) -> None:
    results = [result(64, 0, 0, "excluded"), *(result(size, 2.0, 6400 / size) for size in (128, 192, 256))]
    assert chosen(Choice(FAST, CHEAP, CHEAP, (128, 192), 0.88), results, strategy) == (
        f"A tie in {figure}, within 1 %, of 128 MB, 192 MB and 256 MB (64 MB excluded): 256 MB was taken because it is "
        f"{why} of them. 256 MB: $2.00 per million invocations, 25.0 ms each (trimmed mean)."
    )


def test_a_choice_that_is_more_probably_wrong_than_right_is_said_without_a_number() -> None:
    results = [result(128, 2.0, 100.0), result(256, 2.5, 75.0)]
    assert chosen(Choice(CHEAP, CHEAP, FAST, (), 0.51), results).endswith(
        "That is close: another size may well be better by more than 1 %, and more invocations would tell."
    )
    assert "is 50 %." in chosen(Choice(CHEAP, CHEAP, FAST, (), 0.5), results)


@pytest.mark.parametrize(("duration_ms", "words"), [(102.7, "about as fast"), (102.9, "2.90 % slower")])
def test_a_difference_within_noise_has_no_number(duration_ms: float, words: str) -> None:
    # Two errors of 1 % make 1.41 %, and 1.96 of those 2.81 %.
    results = [result(128, 2.0, 100.0), result(256, 3.0, duration_ms)]
    assert f"costs 50.0 % more and is {words}." in chosen(Choice(CHEAP, CHEAP, FAST, (), 0.01), results)


@pytest.mark.parametrize(
    ("runner_up", "tied_mb", "wrong", "verdict"),
    [(None, (), 0.0, "only"), (FAST, (256,), 0.9, "tie"), (FAST, (), 0.049, "clear"), (FAST, (), 0.051, "close")],
)
def test_a_choice_has_a_verdict_in_a_word(
    runner_up: Candidate | None, tied_mb: tuple[int, ...], wrong: float, verdict: str
) -> None:
    assert Choice(CHEAP, CHEAP, runner_up, tied_mb, wrong).verdict == verdict


@pytest.mark.parametrize(
    ("cost", "duration_ms", "words"),
    [
        (2.0019, 100.09, "costs about as much and is about as fast"),
        (2.0021, 95.0, "costs 0.105 % more and is 5.00 % faster"),
        (1.0, 1234.0, "costs 50.0 % less and is 1134 % slower"),
    ],
)
def test_differences_have_three_digits_and_the_smallest_is_none(cost: float, duration_ms: float, words: str) -> None:
    results = [result(128, 2.0, 100.0), result(256, cost, duration_ms)]
    assert f"The runner-up, 256 MB, {words}." in chosen(Choice(CHEAP, CHEAP, FAST, (), 0.5), results)


def test_a_size_that_costs_nothing_is_compared_without_a_fault() -> None:
    results = [result(128, 0.0, 0.0), result(256, 2.0, 1.0)]
    assert "$0 per million invocations, 0 ms each (trimmed mean)" in chosen(
        Choice(CHEAP, CHEAP, FAST, (), 0.01), results
    )
    assert "is 1 %." in chosen(Choice(CHEAP, CHEAP, FAST, (), 0.01), results)


def test_what_was_not_as_on_lambda_is_said_once_for_all_its_sizes() -> None:
    results = [result(1024, 1, 1), result(3008, 1, 1, differs="2 of 4 vCPU"), result(4096, 1, 1, differs="2 of 4 vCPU")]
    assert sentences.unlike_lambda(results) == " Not as on Lambda at 3008, 4096 MB: 2 of 4 vCPU."
    assert sentences.unlike_lambda(results[:1]) == ""


def test_an_init_phase_that_is_too_long_is_said_with_what_it_costs() -> None:
    slow = PowerValueStatistics(
        128, n=1, warm=True, cold_starts=1, disturbed=0, errors={}, cold_start_ms=25_700.0, init_timeouts=1
    )
    assert sentences.slow_init(slow) == (
        " At a cold start its init phase takes over 10 s, so Lambda stops it and begins it again within the "
        "invocation: a cold start takes 25.7 s, all billed. Import less, or later."
    )
    assert sentences.slow_init(replace(slow, init_timeouts=0)) == ""

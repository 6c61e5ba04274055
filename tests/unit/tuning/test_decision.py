"""The decision on a test: who passes, which size is chosen, and the words for it."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenroom.tuning import Averaging, Constraints, Measurement
from greenroom.tuning.choice import Candidate, choose, probability_wrong
from tests.unit.tuning.builders import PRICES, measurement, series
from tests.unit.tuning.builders import decision as decide


def around(memory_mb: int, duration_ms: float, n: int = 10, spread: float = 0.01, **fields: Any) -> list[Measurement]:
    """Durations evenly spread around one, so that their mean is exactly that."""
    return series(memory_mb, [duration_ms * (1 + spread * (2 * i / (n - 1) - 1)) for i in range(n)], **fields)


def test_cost_takes_the_cheapest_and_duration_the_fastest() -> None:
    measured = around(128, 1000) + around(256, 450) + around(512, 400)
    assert decide(measured, [128, 256, 512]).chosen_memory_mb == 256
    assert decide(measured, [128, 256, 512], strategy="duration").chosen_memory_mb == 512


def test_balanced_lies_between_cost_and_duration() -> None:
    measured = around(128, 1000) + around(256, 600) + around(512, 280) + around(1024, 260)
    values = [128, 256, 512, 1024]
    chosen = [
        decide(measured, values, strategy="balanced", balanced_weight=weight).chosen_memory_mb for weight in (1, 0.5, 0)
    ]
    assert chosen == [128, 512, 1024]
    assert chosen[0] == decide(measured, values).chosen_memory_mb
    assert chosen[2] == decide(measured, values, strategy="duration").chosen_memory_mb


def test_a_tie_in_cost_goes_to_the_faster_and_the_sentence_says_so() -> None:
    decision = decide(around(128, 1000, spread=0.05) + around(256, 501, spread=0.05), [128, 256])
    assert decision.chosen_memory_mb == 256
    assert decision.tied_mb == (128,)
    assert decision.verdict == "tie"
    assert "256 MB was taken because it is the fastest of them" in decision.sentence


def test_a_tie_in_duration_goes_to_the_cheaper() -> None:
    decision = decide(
        around(2048, 100.3, spread=0.05) + around(4096, 100, spread=0.05), [2048, 4096], strategy="duration"
    )
    assert decision.chosen_memory_mb == 2048


def test_the_sentence_names_the_choice_the_runner_up_and_the_probability_of_being_wrong() -> None:
    decision = decide(around(128, 1000) + around(256, 450), [128, 256])
    assert decision.runner_up_memory_mb == 128
    assert decision.sentence.startswith("256 MB is the cheapest: $")
    assert "The runner-up, 128 MB, costs 9.98 % more and is 122 % slower." in decision.sentence
    assert decision.verdict == "clear"
    assert decision.sentence.endswith(
        "That is clear: the probability that another is better by more than 1 % is under 1 %."
    )


def test_the_sentence_makes_nothing_of_a_difference_that_no_measurement_can_tell() -> None:
    decision = decide(around(128, 300) + around(256, 299.98), [128, 256])
    assert "The runner-up, 256 MB, costs 75.8 % more and is about as fast." in decision.sentence


@pytest.mark.parametrize("error", ["timeout", "out_of_memory"])
def test_a_power_value_that_is_too_small_is_excluded_and_the_others_go_on(error: str) -> None:
    measured = [*around(128, 10), measurement(128, 3000.0, index=10, error=error), *around(256, 450), *around(512, 440)]
    decision = decide(measured, [128, 256, 512])
    assert decision.passed
    assert decision.chosen_memory_mb == 256
    assert [r.status for r in decision.power_values] == ["excluded", "ok", "ok"]
    assert "ran out of" in (decision.power_values[0].reason or "")
    assert "128 MB excluded" in decision.sentence


@pytest.mark.parametrize("error", ["wrong_answer", "exception"])
def test_a_wrong_answer_or_an_exception_fails_the_release_with_case_difference_and_log(error: str) -> None:
    wrong = measurement(
        256, case="groups", index=1, error=error, error_message="KeyError: 'tag'", difference="-1\n+2", log="START"
    )
    decision = decide([*around(128, 100), *around(256, 50), wrong], [128, 256])
    assert not decision.passed
    assert decision.chosen_memory_mb is None
    assert "case 'groups' at 256 MB" in (decision.reason or "")
    failed = next(c for c in decision.cases if c.case == "groups")
    assert (failed.failed, failed.memory_mb, failed.difference, failed.log) == (1, 256, "-1\n+2", "START")
    assert failed.failed_mb == (256,)
    assert [r.status for r in decision.power_values] == ["ok", "failed"]


def test_a_case_says_at_which_sizes_it_failed_and_where_its_details_are_from() -> None:
    failures = [
        measurement(128, case="groups", error="timeout"),
        measurement(256, case="groups", error="exception", error_message="KeyError: 'tag'"),
        measurement(256, case="groups", index=1, error="exception"),
        measurement(512, case="groups", error="throttled"),
    ]
    decision = decide([*around(128, 100), *failures], [128, 256, 512])
    groups, small = decision.cases
    assert (groups.failed, groups.failed_mb, groups.memory_mb) == (3, (128, 256), 256)
    assert groups.error_message == "KeyError: 'tag'"
    assert (small.failed, small.failed_mb, small.memory_mb) == (0, (), None)


def test_a_release_of_which_every_power_value_is_too_small_fails_with_every_reason() -> None:
    measured = [measurement(128, error="out_of_memory"), measurement(256, 3000.0, error="timeout")]
    decision = decide(measured, [128, 256])
    assert not decision.passed
    assert "128 MB: ran out of memory" in (decision.reason or "")
    assert "256 MB: ran out of time" in (decision.reason or "")


def test_throttling_is_not_the_algorithms_fault_but_nothing_goes_live_unmeasured() -> None:
    throttled = series(128, [0.0] * 3, error="throttled", error_message="Rate exceeded")
    decision = decide([*throttled, *around(256, 50)], [128, 256])
    assert decision.chosen_memory_mb == 256
    assert "3 invocations throttled: Rate exceeded" in (decision.power_values[0].reason or "")
    assert not decide(throttled, [128]).passed


def test_a_power_value_that_has_not_seen_every_case_cannot_go_live() -> None:
    measured = around(128, 100, case="a") + around(256, 80, case="a") + around(256, 80, case="b")
    decision = decide(measured, [128, 256], cases=["a", "b"])
    assert decision.chosen_memory_mb == 256
    assert "1 of 2 cases, the first being 'b'" in (decision.power_values[0].reason or "")


def test_a_power_value_that_was_never_measured_cannot_go_live() -> None:
    decision = decide(around(256, 80), [128, 256])
    assert [(r.status, r.reason) for r in decision.power_values] == [("excluded", "was not measured"), ("ok", None)]


@pytest.mark.parametrize(
    ("constraints", "reason"),
    [
        (Constraints(max_duration_ms=500), "p95 of the duration"),
        (Constraints(max_cost_usd_per_million=2.0), "above maxCostUsd 2"),
        (Constraints(min_headroom=0.6), "minimum headroom of 60 %"),
    ],
)
def test_a_power_value_that_breaks_a_constraint_is_excluded_with_the_constraint(
    constraints: Constraints, reason: str
) -> None:
    measured = around(128, 1000) + around(256, 499, spread=0)
    decision = decide(measured, [128, 256], constraints=constraints)
    excluded = [r for r in decision.power_values if r.status == "excluded"]
    assert any(reason in (r.reason or "") for r in excluded)


def test_every_power_value_keeps_its_version_and_the_chosen_one_goes_live() -> None:
    measured = [*around(128, 1000), measurement(256, error="out_of_memory"), *around(512, 300)]
    decision = decide(measured, [128, 256, 512], {128: "4", 256: "5", 512: "6"})
    assert [value.version for value in decision.power_values] == ["4", "5", "6"]
    assert decision.chosen_version == "4"


def test_what_the_test_cost_counts_every_invocation() -> None:
    measured = [measurement(1024, 1000.0), measurement(1024, 1000.0, index=1, error="timeout")]
    found = decide(measured, [1024])
    assert found.test_cost_usd == pytest.approx(2 * (0.0000166667 + 0.0000002))


CANDIDATES = st.lists(
    st.builds(
        Candidate,
        memory_mb=st.integers(128, 10_240),
        score=st.floats(0.9, 1.1),
        error=st.floats(0.0001, 0.2),
        tie_score=st.floats(1, 100),
    ),
    min_size=1,
    max_size=8,
    unique_by=lambda c: c.memory_mb,
)


@given(CANDIDATES, st.floats(0, 0.05))
def test_a_choice_is_never_worse_than_the_best_by_more_than_the_tolerance(
    candidates: list[Candidate], tolerance: float
) -> None:
    choice = choose(candidates, tolerance)
    lowest = min(c.score for c in candidates)
    assert choice.best.score == lowest
    assert choice.chosen.score <= lowest * (1 + tolerance)
    tied = [c for c in candidates if c.memory_mb in choice.tied_mb]
    assert all(c.score <= lowest * (1 + tolerance) for c in tied)
    assert all(choice.chosen.tie_score <= c.tie_score for c in tied)
    assert choice.runner_up is None or choice.runner_up is not choice.chosen
    assert 0 <= choice.probability_wrong <= 1


@given(CANDIDATES, st.randoms())
def test_the_order_of_the_candidates_does_not_matter(candidates: list[Candidate], draw: random.Random) -> None:
    shuffled = candidates[:]
    draw.shuffle(shuffled)
    one, other = choose(candidates), choose(shuffled)
    assert (one.chosen, one.tied_mb) == (other.chosen, other.tied_mb)
    assert one.probability_wrong == pytest.approx(other.probability_wrong, abs=1e-9)


def test_the_probability_of_being_wrong_agrees_with_simulation() -> None:
    chosen = Candidate(128, 1.0, 0.05, 1)
    others = [Candidate(256, 1.03, 0.04, 1), Candidate(512, 1.10, 0.08, 1)]
    draw = random.Random(3)  # noqa: S311
    draws = 40_000
    wrong = 0
    for _ in range(draws):
        truth = chosen.score * draw.lognormvariate(0, chosen.error)
        best = min(o.score * draw.lognormvariate(0, o.error) for o in others)
        wrong += best < truth / 1.01
    assert probability_wrong(chosen, others, 0.01) == pytest.approx(wrong / draws, abs=0.01)


def test_a_difference_that_the_data_can_tell_is_not_a_tie() -> None:
    near = [Candidate(128, 1.0, 0.0005, 9), Candidate(256, 1.005, 0.0005, 1)]
    assert choose(near).chosen.memory_mb == 128
    assert choose([Candidate(c.memory_mb, c.score, 0.05, c.tie_score) for c in near]).chosen.memory_mb == 256


def test_the_sentence_says_what_was_not_as_on_lambda() -> None:
    rows = [
        *series(1024, [100] * 6),
        *series(4096, [90] * 6, differs="2 of 2.32 vCPU, the size is not representable here"),
    ]
    decision = decide(rows, [1024, 4096])
    assert "Not as on Lambda at 4096 MB: 2 of 2.32 vCPU" in decision.sentence
    assert [value.differs is None for value in decision.power_values] == [True, False]


def test_measurements_at_sizes_that_were_not_asked_for_are_left_out() -> None:
    decision = decide([*around(128, 100), *around(256, 10), measurement(512, error="exception")], [128])
    assert decision.passed
    assert [r.memory_mb for r in decision.power_values] == [128]
    assert decision.test_cost_usd == pytest.approx(10 * PRICES.cost_usd(128, 100), rel=0.01)


def test_after_an_adaptive_search_only_what_was_measured_has_a_result() -> None:
    measured = around(256, 80)
    searched = decide(measured, [128, 256, 512], search="adaptive")
    assert [r.memory_mb for r in searched.power_values] == [256]
    fixed = decide(measured, [128, 256, 512])
    assert [r.status for r in fixed.power_values] == ["excluded", "ok", "excluded"]


def test_what_was_throttled_is_not_paid_for_and_is_no_failure_of_its_case() -> None:
    lost = series(128, [500.0] * 3, error="throttled")
    decision = decide([*lost, measurement(128, 1000.0)], [128])
    assert decision.test_cost_usd == PRICES.cost_usd(128, 1000.0)
    assert [(case.passed, case.failed) for case in decision.cases] == [(1, 0)]


def test_a_case_that_was_never_run_is_listed_with_nothing() -> None:
    decision = decide(around(128, 100), [128], cases=("small", "large"))
    assert [(case.case, case.passed, case.failed) for case in decision.cases] == [("large", 0, 0), ("small", 10, 0)]
    assert not decision.passed


def test_the_gravest_failure_of_a_case_is_the_one_that_is_shown() -> None:
    rows = [
        measurement(128, index=5, error="timeout"),
        measurement(512, index=1, error="exception", error_message="late"),
        measurement(256, index=3, error="exception", error_message="second", log="LOG"),
        measurement(256, index=2, error="exception", error_message="first"),
    ]
    (case,) = decide(rows, [128, 256, 512]).cases
    assert (case.memory_mb, case.error, case.error_message, case.log) == (256, "exception", "first", None)
    # The reason is that of the fault that came first.
    assert decide(rows, [128, 256, 512]).reason == "case 'small' at 512 MB raised late"


def test_a_case_that_is_listed_twice_has_to_pass_once() -> None:
    decision = decide(around(128, 100), [128], cases=("small", "small"))
    assert decision.passed
    short = decide(around(128, 100), [128], cases=("small", "small", "large"))
    assert short.power_values[0].reason == "was not measured with 1 of 2 cases, the first being 'large'"


def test_a_failed_decision_chooses_nothing() -> None:
    decision = decide([measurement(128, error="exception")], [128], {128: "4"})
    assert (decision.chosen, decision.chosen_version, decision.probability_wrong) == (None, None, None)
    assert decision.sentence == "Not promoted: case 'small' at 128 MB raised an exception"


def test_the_first_difference_from_lambda_at_a_size_is_kept() -> None:
    rows = [*series(128, [1.0] * 3), *series(128, [1.0] * 3, differs="no limit"), *series(128, [1.0], differs="other")]
    assert decide(rows, [128]).power_values[0].differs == "no limit"


def test_tolerance_and_averaging_are_those_of_the_spec() -> None:
    near = around(128, 1000) + around(256, 515)
    assert decide(near, [128, 256]).tied_mb == ()
    wide = decide(near, [128, 256], tolerance=0.05)
    assert "within 5 %" in wide.sentence
    assert (wide.chosen_memory_mb, wide.tied_mb) == (256, (128,))
    weighed = [
        *around(128, 100, case="a"),
        *around(128, 1000, case="b"),
        *around(256, 90, case="a"),
        *around(256, 400, case="b"),
    ]
    chosen = [
        decide(weighed, [128, 256], averaging=Averaging(weights=weights)).chosen_memory_mb
        for weights in ({"a": 100.0}, {"b": 100.0})
    ]
    assert chosen == [128, 256]


def test_a_size_that_was_never_measured_undisturbed_is_not_compared_with_one_that_was() -> None:
    """20 of 20 disturbed at 256 MB, two clean ones at 128 MB: no figure of 256 MB is one to compare."""
    clean = [*around(128, 100, n=2), *around(128, 500, disturbed_ms=300.0)]
    found = decide([*clean, *around(256, 10, n=20, disturbed_ms=5.0)], [128, 256])
    assert (found.passed, found.chosen_memory_mb, found.verdict) == (True, 128, "only")
    unclean = found.power_values[1]
    assert (unclean.status, unclean.unclean, unclean.statistics.n) == ("excluded", True, 0)
    assert unclean.reason == "could not be measured cleanly: 20 of 20 invocations were disturbed"
    assert "256 MB excluded" in found.sentence


def test_a_case_that_was_never_measured_undisturbed_excludes_its_size() -> None:
    rows = [*around(128, 100), *around(128, 300, case="large", disturbed_ms=9.0), *around(256, 90)]
    found = decide([*rows, *around(256, 200, case="large")], [128, 256])
    assert [value.unclean for value in found.power_values] == [True, False]
    assert found.chosen_memory_mb == 256


def test_a_machine_that_was_too_busy_fails_the_test_in_words() -> None:
    rows = [*around(128, 100, n=3), *around(128, 90, case="large", n=17, disturbed_ms=9.0)]
    found = decide([*rows, *around(256, 90, n=20, disturbed_ms=9.0)], [128, 256], cases=("small", "large"))
    assert not found.passed
    assert found.reason == "the machine was too busy: 37 of 40 invocations were disturbed"


def test_a_size_that_is_too_small_is_so_however_busy_the_machine_was() -> None:
    rows = [measurement(128, error="out_of_memory", disturbed_ms=9.0), *around(256, 90)]
    assert [value.unclean for value in decide(rows, [128, 256]).power_values] == [False, False]


def test_a_late_import_is_a_cold_start_and_its_release_says_so() -> None:
    slow = measurement(128, 15_700.0, billed_duration_ms=25_700.0, cold_start=True)
    found = decide([slow, *around(128, 1, n=4)], [128])
    assert found.chosen is not None and found.chosen.duration_ms < 2
    assert "a cold start takes 25.7 s" in found.sentence


@pytest.mark.parametrize(
    ("limit_ms", "reason"), [(300.0, None), (299.0, "starts cold in 300 ms, above maxColdStartMs")]
)
def test_a_size_that_starts_too_slowly_is_excluded(limit_ms: float, reason: str | None) -> None:
    rows = [measurement(128, 10.0, cold_start=True, init_duration_ms=290.0, billed_duration_ms=300.0), *around(128, 9)]
    found = decide(rows, [128], constraints=Constraints(max_cold_start_ms=limit_ms))
    assert found.passed == (reason is None)
    assert (reason or "") in (found.reason or "")


def test_where_cold_starts_are_limited_one_has_to_be_measured() -> None:
    found = decide(around(128, 9), [128], constraints=Constraints(max_cold_start_ms=1000.0))
    assert "no cold start was measured undisturbed" in (found.reason or "")


def test_a_case_that_was_invoked_once_and_cold_does_not_make_its_size_unclean() -> None:
    """As where num is the number of cases: the first of them only ever meets a new environment."""
    cold = measurement(128, 90.0, case="first", cold_start=True, init_duration_ms=80.0)
    found = decide([cold, measurement(128, 5.0, case="second", index=1)], [128])
    assert found.passed and not found.power_values[0].unclean
    busy = decide([replace(cold, disturbed_ms=3.0), measurement(128, 5.0, case="second", index=1)], [128])
    assert busy.power_values[0].unclean

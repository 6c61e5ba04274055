"""What contradicts the registry, decided without AWS: what is put right, what a person is told, what is left alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from greenroom.platform import sweeping
from greenroom.platform.reconciling import There, differences
from greenroom.platform.unanswered import reason_from
from greenroom.releases import Algorithm, LiveVersion, Status
from greenroom.releases.look import Counted, Depth, Found, Look

LIVE = LiveVersion("01JC0000000000000000000000", "4")
BEFORE = LiveVersion("01JB0000000000000000000000", "3")
ALGORITHM = Algorithm(
    name="a", type="in", updated_at="", latest_release_id=LIVE.release_id, live=LIVE, live_before=(BEFORE,)
)
RIGHT = There(
    stack_status="UPDATE_COMPLETE",
    aliases={"prod": "4"},
    versions=frozenset({"3", "4"}),
    latest_memory_mb=128,
    mappings=(("prod", "Enabled"),),
    has_input_queue=True,
    has_dead_letter_queue=True,
    has_bucket=True,
)


def test_an_algorithm_that_is_as_the_registry_says_has_no_difference() -> None:
    found = differences(ALGORITHM, Status.LIVE, RIGHT, "stack")
    assert (found.repairable, found.reported) == ((), ())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"aliases": {"prod": "3"}}, "led to version 3"),
        ({"aliases": {}}, "led to nothing"),
        ({"aliases": {"prod": "4", "test-256": "4"}}, "test-256"),
        ({"versions": frozenset({"3", "4", "10"})}, "versions of a test that is over: 10"),
        ({"latest_memory_mb": 512}, "512 MB"),
    ],
)
def test_what_a_killed_flow_leaves_is_put_right(change: dict[str, Any], words: str) -> None:
    found = differences(ALGORITHM, Status.LIVE, replace(RIGHT, **change), "stack")
    assert [words in each for each in found.repairable] == [True]
    assert found.reported == ()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"stack_status": None, "aliases": None, "versions": frozenset()}, "does not exist. Push the live package"),
        ({"stack_status": "UPDATE_ROLLBACK_FAILED"}, "is UPDATE_ROLLBACK_FAILED"),
        ({"aliases": None, "versions": frozenset()}, "The function stack does not exist"),
        ({"versions": frozenset({"3"})}, "Version 4, which is live, does not exist"),
        ({"versions": frozenset({"4"})}, "there is no way back"),
        ({"has_input_queue": False, "mappings": ()}, "The input queue does not exist"),
        ({"has_dead_letter_queue": False}, "The dead-letter queue does not exist"),
        ({"has_bucket": False}, "The bucket does not exist"),
        ({"mappings": ()}, "leads to nothing"),
        ({"mappings": (("prod", "Disabled"),)}, "leads to prod (Disabled)"),
        ({"mappings": (("", "Enabled"),)}, "leads to another function"),
    ],
)
def test_what_somebody_took_away_is_told_with_what_to_do(change: dict[str, Any], words: str) -> None:
    found = differences(ALGORITHM, Status.LIVE, replace(RIGHT, **change), "stack")
    assert found.repairable == ()
    assert [words in each for each in found.reported] == [True]


def test_a_mapping_and_a_stack_that_are_being_changed_are_no_difference() -> None:
    there = replace(RIGHT, stack_status="UPDATE_IN_PROGRESS", mappings=(("prod", "Updating"),))
    assert differences(ALGORITHM, Status.LIVE, there, "stack").reported == ()


@pytest.mark.parametrize("status", [Status.TESTING, Status.FAILED, None])
def test_a_live_release_that_is_not_live_in_the_registry_is_told(status: Status | None) -> None:
    (told,) = differences(ALGORITHM, status, RIGHT, "stack").reported
    assert LIVE.release_id in told


def test_where_nothing_is_live_prod_and_versions_go() -> None:
    algorithm = replace(ALGORITHM, live=None, live_before=())
    there = replace(RIGHT, aliases={"prod": "1"}, versions=frozenset({"1"}), mappings=(), has_bucket=False)
    found = differences(algorithm, None, there, "stack")
    assert len(found.repairable) == 2
    assert found.reported == ()


def test_each_algorithm_has_its_turn_once_in_a_round() -> None:
    algorithms = [replace(ALGORITHM, name=f"a-{number}") for number in range(23)]
    for turns in (1, 2, 10, 23, 40):
        seen = [each.name for minute in range(turns) for each in sweeping._turn(algorithms, 7 + minute, turns)]
        assert sorted(seen) == sorted(each.name for each in algorithms)
    assert sweeping._turn([], 3, 0) == []


def test_a_look_is_read_as_it_was_written() -> None:
    look = Look(
        "2026-01-01T00:00:00.000Z",
        {"a": Counted("2026-01-01T00:00:00.000Z", Depth(1, 2), None)},
        {"b": Found("2026-01-01T00:00:00.000Z", ("one", "two"))},
        {"a": 3},
    )
    assert Look.from_json(look.to_json()) == look


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["REPORT RequestId: 1\tDuration: 1.00 ms\tStatus: timeout\t"], "longer than its timeout"),
        (["REPORT RequestId: 1\tStatus: error\tError Type: Runtime.ExitError\t"], "its process ended"),
        (["REPORT RequestId: 1\tStatus: error\tError Type: Runtime.OutOfMemory\t"] * 3, "more memory"),
        (['{"type": "platform.report", "record": {"metrics": {}, "status": "timeout"}}'], "longer than its timeout"),
        (["REPORT RequestId: 1\tDuration: 1.00 ms"], "does not say why"),
        ([], "does not say why"),
    ],
)
def test_the_reason_is_what_the_functions_log_says(lines: list[str], words: str) -> None:
    assert words in reason_from(lines)


def test_two_kinds_of_ends_are_both_named() -> None:
    lines = [
        "REPORT\tStatus: timeout",
        "REPORT\tStatus: error\tError Type: Runtime.ExitError",
        "REPORT\tStatus: timeout",
    ]
    assert "longer than its timeout and its process ended" in reason_from(lines)

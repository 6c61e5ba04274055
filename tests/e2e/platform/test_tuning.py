"""How a release is tested and what the outcome has to meet: searches, strategies, constraints, the live release."""

from __future__ import annotations

from typing import Any

from tests.e2e.packages import package
from tests.e2e.stage import Platform

BURN = """
class Algorithm:
    def translate(self, document):
        total = 0
        for number in range({rounds}):
            total += number * number
        return {{"total": total % 2}}
"""
WAIT = """
import time

class Algorithm:
    def translate(self, document):
        time.sleep({seconds})
        return {{"greeting": "hello " + document["name"]}}
"""
MIX = """
import time

class Algorithm:
    def translate(self, document):
        time.sleep(0.06)
        until = time.process_time() + 0.04
        while time.process_time() < until:
            pass
        return {"greeting": "hello"}
"""
"""Waits, which costs least at a small size, and computes, which is fastest at a large one."""

CASES = {"ada/input.json": {"name": "Ada"}, "bo/input.json": {"name": "Bo"}}


def waits(name: str, seconds: float, **metadata: Any) -> bytes:
    return package(name, WAIT.format(seconds=seconds), tests=CASES, **metadata)


def burns(name: str, rounds: int, **metadata: Any) -> bytes:
    return package(name, BURN.format(rounds=rounds), tests=CASES, **metadata)


def test_an_adaptive_release_goes_live_after_fewer_invocations_than_a_fixed_one(platform: Platform) -> None:
    sizes = [128, 256, 512, 1024, 1769]
    fixed = platform.push_and_wait(waits("search-fixed", 0.05, powerValues=sizes, num=10))
    adaptive = platform.push_and_wait(waits("search-adaptive", 0.05, powerValues=sizes, num=10, search="adaptive"))
    assert (fixed.status, adaptive.status) == ("LIVE", "LIVE"), adaptive.reason
    made = [len(platform.client.measurements(release.release_id)) for release in (fixed, adaptive)]
    assert made[0] >= 50
    assert made[1] <= made[0] / 2
    # Waiting costs least at the smallest size, and only the sizes that were looked at got a version.
    assert adaptive.memory_mb == 128
    document = adaptive.to_json()
    tried = {value["memoryMb"] for value in document["summary"]["powerValues"]}
    assert tried == {int(size) for size in document["versions"]} < set(sizes)
    assert platform.aliases("search-adaptive") == {"prod": adaptive.version}
    assert platform.versions("search-adaptive") == {adaptive.version}


def test_the_whole_range_is_searched_and_versions_are_made_on_the_way(platform: Platform) -> None:
    release = platform.push_and_wait(
        burns("search-all", 200_000, powerValues="ALL", search="adaptive", strategy="duration", num=5), timeout_s=180
    )
    assert release.status == "LIVE", release.reason
    document = release.to_json()
    tried = {value["memoryMb"] for value in document["summary"]["powerValues"]}
    # It began at 128 and 512 MB; code that computes is faster above.
    assert {128, 512} < tried
    assert release.memory_mb is not None and release.memory_mb > 512
    assert platform.versions("search-all") == {release.version}
    assert document["summary"]["testCostUsd"] <= document["costAtMostUsd"]


def test_what_a_test_costs_is_bounded_before_and_counted_to_the_state_transition_after(platform: Platform) -> None:
    for number in range(2):  # the second time nothing has to be attached
        release = platform.push_and_wait(waits("counted", 0.01 + number / 1000, num=3))
        assert release.status == "LIVE", release.reason
    document = release.to_json()
    summary = document["summary"]
    states = platform.service("stepfunctions").get_paginator("get_execution_history")
    arn = platform.execution(release.release_id, "backstage")["executionArn"]
    events = [event["type"] for page in states.paginate(executionArn=arn) for event in page["events"]]
    # The embedded AWS tells of the tasks in a Map that they were scheduled, and not that their states were entered.
    others = [event for event in events if event.endswith("StateEntered") and event != "TaskStateEntered"]
    waits_for_lock = 3 * events.count("WaitStateEntered")
    assert summary["stateTransitions"] == events.count("TaskScheduled") + len(others) - waits_for_lock
    prices = summary["prices"]
    measured = platform.client.measurements(release.release_id)
    lambda_usd = sum(
        prices["requestUsd"] + prices["gbSecondUsd"] * m.memory_mb / 1024 * (m.billed_duration_ms or 0) / 1000
        for m in measured
    )
    # The invocations of the comparison with the live release cost something too.
    assert lambda_usd < summary["testLambdaCostUsd"] < 3 * lambda_usd
    assert summary["testLambdaCostUsd"] < summary["testCostUsd"] < document["costAtMostUsd"]


def test_the_weight_of_balanced_moves_the_choice_between_cost_and_duration(platform: Platform) -> None:
    chosen: dict[int, int | None] = {}
    for weight in (0, 1):
        release = platform.push_and_wait(
            package(
                f"balanced-{weight}",
                MIX,
                tests=CASES,
                powerValues=[128, 1769],
                strategy="balanced",
                balancedWeight=weight,
                num=4,
            )
        )
        assert release.status == "LIVE", release.reason
        assert release.summary is not None
        assert release.summary.strategy == "balanced"
        chosen[weight] = release.memory_mb
    assert chosen == {0: 1769, 1: 128}


def test_a_constraint_excludes_and_one_that_excludes_all_fails_the_release(platform: Platform) -> None:
    release = platform.push_and_wait(burns("bounded", 1_500_000, maxDurationMs=300, num=5, powerValues=[128, 1769]))
    assert release.status == "LIVE", release.reason
    assert release.memory_mb == 1769
    assert release.summary is not None
    small = release.summary.power_values[0]
    assert small.status == "excluded"
    assert small.reason is not None and "above maxDurationMs 300" in small.reason

    headroom = platform.push_and_wait(waits("roomy", 0.001, minHeadroom=0.99, num=2))
    assert headroom.status == "FAILED"
    assert headroom.reason is not None and "below the minimum headroom of 99 %" in headroom.reason

    dear = platform.push_and_wait(waits("dear", 0.01, maxCostUsd=0.1, num=2, search="adaptive"))
    assert dear.status == "FAILED"
    assert dear.reason is not None and "above maxCostUsd 0.1" in dear.reason


def test_a_release_is_compared_with_the_live_one_on_the_cases_both_have(platform: Platform) -> None:
    first = platform.push_and_wait(waits("beside-live", 0.06, powerValues=[256], num=6))
    assert first.status == "LIVE", first.reason
    assert first.to_json()["summary"]["comparison"] is None
    tests = {
        # One case under another name, one changed.
        "lovelace/input.json": {"name": "Ada"},
        "bo/input.json": {"name": "Bob"},
    }
    faster = platform.push_and_wait(
        package("beside-live", WAIT.format(seconds=0.03), tests=tests, powerValues=[256], num=6, maxRegression=0.05)
    )
    assert faster.status == "LIVE", faster.reason
    found = faster.to_json()["summary"]["comparison"]
    assert found["liveReleaseId"] == first.release_id
    assert found["cases"] == ["lovelace"]
    assert found["duration"]["high"] < 0.8
    assert found["cost"]["high"] < 0.9
    assert "faster" in found["sentence"] and "cheaper" in found["sentence"]
    assert faster.summary is not None and found["sentence"] in (faster.summary.sentence or "")
    # The live version was tested, not used: no message was taken, nothing was written, the alias is gone.
    assert platform.aliases("beside-live") == {"prod": faster.version}

    other = {"xu/input.json": {"name": "Xu"}}
    nothing = platform.push_and_wait(
        package("beside-live", WAIT.format(seconds=0.01), tests=other, powerValues=[256], num=2, maxRegression=0)
    )
    assert nothing.status == "LIVE", nothing.reason
    assert nothing.summary is not None and nothing.summary.sentence is not None
    assert "not compared with the live release: the two packages have no test case" in nothing.summary.sentence


def test_a_release_that_is_worse_than_the_live_one_by_more_than_allowed_fails(platform: Platform) -> None:
    first = platform.push_and_wait(waits("worse", 0.03, powerValues=[256], num=6))
    second = platform.push_and_wait(waits("worse", 0.09, powerValues=[256], num=6, maxRegression=0.2))
    assert (first.status, second.status) == ("LIVE", "FAILED")
    assert second.reason is not None
    assert "slower" in second.reason and "above the 20 % of maxRegression" in second.reason
    assert platform.execution(second.release_id, "backstage")["status"] == "FAILED"
    assert platform.aliases("worse") == {"prod": first.version}
    assert platform.versions("worse") == {first.version}
    # Without the bound it goes live, and the summary says what it is.
    third = platform.push_and_wait(waits("worse", 0.09, powerValues=[256], num=6, search="adaptive"))
    assert third.status == "LIVE", third.reason
    assert "slower" in third.to_json()["summary"]["comparison"]["sentence"]

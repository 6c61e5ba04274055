"""A package goes in, a tested version goes live: the main job, and what a developer sees when it does not."""

from __future__ import annotations

import base64
import hashlib
import json
from itertools import pairwise

import boto3
import pytest

from greenroom.package.metadata import MetadataError, validate_metadata
from greenroom.platform.measuring import Meter
from greenroom.platform.services import Services, Settings
from tests.e2e.packages import GREET, package
from tests.e2e.stage import Platform, assumed, edit_release, eventually, request


def test_a_package_goes_live_at_the_power_value_that_was_chosen(platform: Platform) -> None:
    release = platform.push_and_wait(package("main-job", num=10))
    assert release.status == "LIVE", release.reason
    assert [entry.status for entry in release.history] == [
        "UPLOADING",
        "REGISTERED",
        "PROVISIONING",
        "PROVISIONED",
        "TESTING",
        "LIVE",
    ]
    assert release.summary is not None
    assert [value.memory_mb for value in release.summary.power_values] == [128, 256, 512]
    for value in release.summary.power_values:  # on a busy machine some stay disturbed
        assert (value.n or 0) + (value.cold_starts or 0) + value.disturbed >= 10
    assert release.summary.chosen_memory_mb == release.memory_mb
    assert release.summary.sentence

    measurements = platform.client.measurements(release.release_id)
    # What the machine disturbed was measured again.
    disturbed = sum(measurement.to_json().get("disturbedMs") is not None for measurement in measurements)
    assert 30 <= len(measurements) <= 30 + disturbed
    assert {measurement.memory_mb for measurement in measurements} == {128, 256, 512}

    # The version that passed is the version that is promoted, and nothing else is left of the test.
    assert platform.aliases("main-job") == {"prod": release.version}
    assert platform.versions("main-job") == {release.version}
    function = platform.service("lambda").get_function_configuration(
        FunctionName=platform.function("main-job"), Qualifier="prod"
    )
    assert function["MemorySize"] == release.memory_mb
    latest = platform.service("lambda").get_function_configuration(FunctionName=platform.function("main-job"))
    assert latest["MemorySize"] == 128


def test_an_operator_sees_the_real_things_with_the_sdk(platform: Platform) -> None:
    release = platform.push_and_wait(package("seen-by-sdk"))
    name = platform.function("seen-by-sdk")
    stack = platform.service("cloudformation").describe_stacks(StackName=name)["Stacks"][0]
    assert stack["StackStatus"] in ("CREATE_COMPLETE", "UPDATE_COMPLETE")
    assert platform.service("sqs").get_queue_url(QueueName=f"{name}-input")["QueueUrl"]
    mappings = platform.service("lambda").list_event_source_mappings(FunctionName=f"{name}:prod")
    assert len(mappings["EventSourceMappings"]) == 1

    for flow in ("provision", "backstage"):
        execution = platform.execution(release.release_id, flow)
        assert execution["status"] == "SUCCEEDED"
        history = platform.service("stepfunctions").get_execution_history(executionArn=execution["executionArn"])
        assert len(history["events"]) > 10

    events = platform.service("logs").filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]
    messages = [event["message"] for event in events]
    for kind in ("START RequestId:", "END RequestId:", "REPORT RequestId:"):
        assert sum(message.startswith(kind) for message in messages) >= 30, kind


def test_what_runs_is_a_zip_that_was_written_from_what_was_checked(platform: Platform) -> None:
    upload = package("rewritten", num=1, powerValues=[256])
    release = platform.push_and_wait(upload)
    assert release.status == "LIVE", release.reason
    assert release.upload_sha256 == hashlib.sha256(upload).hexdigest()
    function = platform.service("lambda").get_function(FunctionName=platform.function("rewritten"), Qualifier="prod")
    code_sha256 = base64.b64decode(function["Configuration"]["CodeSha256"]).hex()
    # The upload has the files in another order, with the time at which they were zipped.
    assert code_sha256 == release.package_sha256 != release.upload_sha256
    again = platform.push_and_wait(package("rewritten", num=1, powerValues=[256]))
    assert (again.status, again.package_sha256) == ("LIVE", release.package_sha256)


def test_a_package_goes_live_without_a_comparison_only_if_it_says_so_and_the_release_says_it_too(
    platform: Platform,
) -> None:
    tests = {"ada/input.json": {"name": "Ada"}}
    refused = platform.push_and_wait(package("compares-nothing", tests=tests, allowNotCompared=False))
    assert refused.status == "REJECTED"
    assert refused.problem is not None and refused.problem.code == "not_compared"
    meant = platform.push_and_wait(package("compares-nothing", tests=tests, num=1, powerValues=[256]))
    assert (meant.status, meant.cases, meant.not_compared) == ("LIVE", ["ada"], ["ada"])


def test_a_next_that_leads_back_to_the_algorithm_keeps_a_release_out(platform: Platform) -> None:
    for name, next_ in (("round-a", "round-b"), ("round-b", "round-c")):
        assert platform.push_and_wait(package(name, num=1, powerValues=[256], next=next_)).status == "LIVE"
    release = platform.push_and_wait(package("round-c", next=["elsewhere", "round-a"]))
    assert release.status == "REJECTED"
    assert release.problem is not None and release.problem.code == "next_goes_round"
    assert "round-c to round-a to round-b to round-c" in release.problem.message


def test_a_misspelt_expected_answer_keeps_a_release_out(platform: Platform) -> None:
    tests = {"ada/input.json": {"name": "Ada"}, "ada/expcted.json": {"greeting": "good day"}}
    release = platform.push_and_wait(package("misspelt", tests=tests))
    assert release.status == "REJECTED"
    assert "did you mean tests/ada/expected.json?" in (release.reason or "")


def test_a_zip_that_two_readers_could_understand_in_two_ways_is_rejected(platform: Platform) -> None:
    body = package("two-readings")
    release = platform.push_and_wait(body[:-2] + (65_535).to_bytes(2, "little") + bytes(65_535))
    assert release.status == "REJECTED"
    assert release.problem is not None
    assert (release.problem.code, release.problem.where) == ("comment", "ZIP")


def test_a_package_that_the_check_cannot_get_through_is_rejected_and_no_fault_of_the_platform(
    platform: Platform,
) -> None:
    lists = "[" + "[]," * 400 + "0]"
    body = package("stalls", files={"algorithm/deep.py": "x = " + lists.replace("[]", "-" * 1_500 + "1")})
    release = platform.push_and_wait(body)
    assert release.status == "REJECTED"
    assert release.problem is not None
    assert release.problem.where.startswith("algorithm/deep.py")


def test_a_broken_package_is_rejected_with_a_reason_and_rests_in_no_queue(platform: Platform) -> None:
    release = platform.push_and_wait(package("broken", powerValues=[64], strategy="cheap"))
    assert release.status == "REJECTED"
    assert release.reason is not None
    assert "powerValues" in release.reason and "64" in release.reason
    assert "strategy" in release.reason and "cheap" in release.reason
    nonsense = platform.push_and_wait(b"this is no ZIP")
    assert nonsense.status == "REJECTED"
    assert nonsense.reason and "ZIP" in nonsense.reason
    problem = nonsense.problem
    assert problem and problem.where and problem.hint.endswith("What is live has not changed.")
    assert problem.message in nonsense.reason and problem.code != "package_rejected"
    assert platform.client.failures(None).total == 0


def test_a_wrong_answer_fails_the_release_and_prod_does_not_move(platform: Platform) -> None:
    good = platform.push_and_wait(package("wrong-answer"))
    assert good.status == "LIVE", good.reason
    bad = platform.push_and_wait(package("wrong-answer", GREET.replace("hello ", "goodbye ")))
    assert bad.status == "FAILED"
    assert bad.reason and "ada" in bad.reason
    assert bad.summary is not None
    (case,) = bad.summary.cases
    assert case.case == "ada"
    assert case.difference and "goodbye" in case.difference and "hello" in case.difference
    assert case.log and "REPORT" in case.log
    # A failed flow ends as a failed execution, and cleans up after itself.
    assert platform.execution(bad.release_id, "backstage")["status"] == "FAILED"
    assert platform.aliases("wrong-answer") == {"prod": good.version}
    assert platform.versions("wrong-answer") == {good.version}
    latest = platform.service("lambda").get_function_configuration(FunctionName=platform.function("wrong-answer"))
    assert latest["MemorySize"] == 128
    assert platform.answer(platform.send("wrong-answer", {"name": "Bo"}), "wrong-answer") == {"greeting": "hello Bo"}


def test_an_exception_fails_the_release_although_lambda_answers_200(platform: Platform) -> None:
    source = """
    class Algorithm:
        def translate(self, document):
            raise ValueError("no such zone")
    """
    release = platform.push_and_wait(package("raises", source))
    assert release.status == "FAILED"
    assert release.reason and "no such zone" in release.reason
    assert platform.aliases("raises") == {}
    assert platform.versions("raises") == set()


def test_a_power_value_that_runs_out_of_memory_is_excluded_and_the_others_go_on(platform: Platform) -> None:
    source = """
    class Algorithm:
        def translate(self, document):
            ballast = bytearray(180 * 1024 * 1024)
            for page in range(0, len(ballast), 4096):
                ballast[page] = 1
            return {"greeting": "hello " + document["name"]}
    """
    release = platform.push_and_wait(package("hungry", source, powerValues=[128, 512, 1024], num=5))
    assert release.status == "LIVE", release.reason
    assert release.summary is not None
    small, *others = release.summary.power_values
    assert (small.memory_mb, small.status) == (128, "excluded")
    assert small.reason
    assert all(value.status == "ok" for value in others)
    assert release.memory_mb in (512, 1024)


def test_a_power_value_that_runs_out_of_time_is_excluded(platform: Platform) -> None:
    source = """
    import time

    class Algorithm:
        def translate(self, document):
            until = time.process_time() + 0.2
            while time.process_time() < until:
                pass
            return {"greeting": "hello " + document["name"]}
    """
    # At 7 % of a CPU it takes 2.8 s; with all of one it would have to be kept from running for nine tenths of the time.
    release = platform.push_and_wait(package("slow", source, powerValues=[128, 1769], num=3, timeout=2))
    assert release.status == "LIVE", release.reason
    assert release.summary is not None
    assert [value.status for value in release.summary.power_values] == ["excluded", "ok"]
    assert release.memory_mb == 1769


def test_when_every_power_value_is_too_small_the_release_fails_with_the_reason(platform: Platform) -> None:
    source = """
    import time

    class Algorithm:
        def translate(self, document):
            time.sleep(5)
    """
    release = platform.push_and_wait(package("hopeless", source, timeout=1, powerValues=[128, 256]))
    assert release.status == "FAILED"
    assert release.reason and "128 MB" in release.reason and "256 MB" in release.reason


def test_an_algorithm_with_a_handler_of_its_own_goes_live(platform: Platform) -> None:
    handler = """
from aws_equipment import AlgorithmWorker

from algorithm.code import Algorithm


def lambda_handler(event, context):
    return AlgorithmWorker(Algorithm, event, context).runIn()
"""
    release = platform.push_and_wait(package("own-handler", handler="app.lambda_handler", files={"app.py": handler}))
    assert release.status == "LIVE", release.reason
    assert platform.answer(platform.send("own-handler", {"name": "Bo"}), "own-handler") == {"greeting": "hello Bo"}


def test_uploads_of_one_algorithm_are_tested_one_at_a_time_and_the_overtaken_are_left_out(platform: Platform) -> None:
    ids = [platform.push(package("busy", num=20 + number)) for number in range(4)]
    releases = [platform.ended(release_id) for release_id in ids]
    assert releases[-1].status == "LIVE", releases[-1].reason
    statuses = [release.status for release in releases]
    assert set(statuses) <= {"LIVE", "RETIRED", "SUPERSEDED"}
    assert "SUPERSEDED" in statuses
    worked_on = []
    for release in releases:
        at = {entry.status: entry.at for entry in release.history}
        if "PROVISIONING" in at:
            worked_on.append((at["PROVISIONING"], at.get("LIVE") or at["SUPERSEDED"]))
    for (_, end), (begin, _) in pairwise(worked_on):
        assert end <= begin
    assert platform.aliases("busy") == {"prod": releases[-1].version}


def test_versions_are_pruned_to_the_live_one_and_the_last_three_that_were_live(platform: Platform) -> None:
    live = []
    for number in range(6):
        release = platform.push_and_wait(package("pruned", num=1, powerValues=[256, 512], description=str(number)))
        assert release.status == "LIVE", release.reason
        live.append(release.version)
    assert platform.versions("pruned") == set(live[-4:])


def test_roll_back_makes_the_release_before_live_again(platform: Platform) -> None:
    first = platform.push_and_wait(package("rolled", num=1))
    second = platform.push_and_wait(
        package(
            "rolled",
            GREET.replace("hello ", "good day "),
            num=1,
            tests={"ada/input.json": {"name": "Ada"}, "ada/expected.json": {"greeting": "good day Ada"}},
        )
    )
    assert (first.status, second.status) == ("LIVE", "LIVE")
    done = platform.client.rollback("rolled")
    assert done.release_id == first.release_id
    assert platform.aliases("rolled") == {"prod": first.version}
    assert platform.client.release(first.release_id).status == "LIVE"
    assert platform.client.release(second.release_id).status == "ROLLED_BACK"
    assert platform.answer(platform.send("rolled", {"name": "Bo"}), "rolled") == {"greeting": "hello Bo"}
    forth = platform.client.rollback("rolled", to_release_id=second.release_id)
    assert forth.release_id == second.release_id
    assert platform.aliases("rolled") == {"prod": second.version}


def test_a_live_release_that_would_no_longer_be_accepted_is_shown_compared_with_and_rolled_back_to(
    platform: Platform,
) -> None:
    first = platform.push_and_wait(package("older-rules", num=5))
    assert first.status == "LIVE", first.reason
    stored = {**(first.metadata or {}), "num": 5_000, "runtime": "python3.9", "strategy": "energy", "zone": "a"}
    with pytest.raises(MetadataError):
        validate_metadata(stored)
    edit_release(platform, first.release_id, metadata=json.dumps(stored))
    shown = platform.client.release(first.release_id)
    assert shown.metadata and (shown.metadata["num"], shown.metadata["runtime"]) == (5_000, "python3.9")
    second = platform.push_and_wait(package("older-rules", num=6))
    assert second.status == "LIVE", second.reason
    assert second.summary and second.summary.comparison
    compared = request(
        "GET",
        f"{platform.deployment.url}/releases/{first.release_id}/comparison?with={second.release_id}",
        headers={"Authorization": f"Bearer {platform.deployment.token}"},
    )
    assert compared.raise_for_status().json()["comparison"]
    assert platform.client.rollback("older-rules").release_id == first.release_id
    assert platform.client.release(first.release_id).status == "LIVE"


def test_a_report_line_that_the_log_tail_lacks_is_found_in_the_log(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `execute` looks for it, in its own role: Lambda's tail is 4 KB and may end before REPORT."""
    release = platform.push_and_wait(package("found-in-log", num=2, powerValues=[256]))
    measured = platform.client.measurements(release.release_id)[1]
    with assumed(platform, "execute") as credentials:
        for name, value in credentials.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
        settings = Settings(platform.deployment.prefix, platform.aws.region, platform.aws.account_id, {})
        meter = Meter(Services(settings), platform.function("found-in-log"), 60)
        report = meter.report_from_logs(measured.request_id or "", platform.began(release))
    assert report.duration_ms == measured.duration_ms
    assert report.max_memory_used_mb == measured.max_memory_used_mb


def test_state_machine_payloads_stay_small_however_much_is_measured(platform: Platform) -> None:
    release = platform.push_and_wait(package("many", num=1000, powerValues=[1024, 1769]), timeout_s=280)
    assert release.status == "LIVE", release.reason
    execution = platform.execution(release.release_id, "backstage")
    pages = (
        platform.service("stepfunctions")
        .get_paginator("get_execution_history")
        .paginate(executionArn=execution["executionArn"])
    )
    sizes = [len(json.dumps(event, default=str)) for page in pages for event in page["events"]]
    assert max(sizes) < 256 * 1024 / 8
    assert len(sizes) < 25_000 / 8
    logs = eventually(lambda: platform.client.logs(release.release_id, limit=5_000))
    assert logs

"""After the worst: what was going on goes on, what contradicts itself is found, and nobody moves `prod` who may not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.packages import GREET, package
from tests.e2e.stage import Platform, denied, edit_release, eventually, request, sweep, swept_by_hand


@pytest.fixture(autouse=True)
def by_hand(platform: Platform) -> Iterator[None]:
    with swept_by_hand(platform):
        yield


def greet(name: str, number: int) -> bytes:
    """One of several releases that all pass."""
    return package(name, f"{GREET}\n# {number}\n", num=1, powerValues=[512])


def live(platform: Platform, name: str, number: int = 1) -> str:
    """Make a release live; return its id."""
    release = platform.push_and_wait(greet(name, number))
    assert release.status == "LIVE", release.reason
    return release.release_id


def test_ten_rollbacks_at_once_are_one_change_and_nine_clear_answers(platform: Platform) -> None:
    first, second = live(platform, "ten-at-once", 1), live(platform, "ten-at-once", 2)
    url = f"{platform.deployment.url}/algorithms/ten-at-once/rollback"
    headers = {"Authorization": f"Bearer {platform.deployment.token}"}
    with ThreadPoolExecutor(10) as threads:
        answers = list(
            threads.map(lambda _: request("POST", url, headers=headers, json={"fromReleaseId": second}), range(10))
        )
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 9
    assert {answer.json()["error"]["code"] for answer in answers if answer.status_code == 409} == {"conflict"}
    assert platform.client.algorithm("ten-at-once").live_release_id == first
    assert platform.aliases("ten-at-once") == {"prod": platform.client.release(first).version}


def test_an_algorithm_whose_stack_was_deleted_by_hand_is_made_again_with_its_queue(platform: Platform) -> None:
    live(platform, "deleted", 1)
    cloudformation = platform.service("cloudformation")
    s3, bucket = (
        platform.service("s3"),
        f"{platform.function('deleted')}-{platform.aws.account_id}-{platform.aws.region}",
    )
    for key in s3.list_objects_v2(Bucket=bucket).get("Contents", ()):
        s3.delete_object(Bucket=bucket, Key=key["Key"])
    cloudformation.delete_stack(StackName=platform.function("deleted"))
    cloudformation.get_waiter("stack_delete_complete").wait(
        StackName=platform.function("deleted"), WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
    live(platform, "deleted", 2)
    assert platform.answer(platform.send("deleted", {"name": "Bo"}), "deleted") == {"greeting": "hello Bo"}


def test_a_release_whose_flow_succeeded_although_the_registry_has_lost_it_goes_on(platform: Platform) -> None:
    with denied(platform, "dispatch", "states:StartExecution"):
        release_id = platform.push(greet("without-result", 1))
        eventually(lambda: platform.client.release(release_id).status == "REGISTERED")
        # By hand, as the stream is not followed: the sweeper starts the first flow.
        edit_release(platform, release_id, updatedAt="2026-01-01T00:00:00.000Z")
        assert sweep(platform)[release_id] == "started again"
        assert platform.execution(release_id, "provision")["status"] == "SUCCEEDED"
        assert platform.client.release(release_id).status == "PROVISIONED"
        edit_release(platform, release_id, status="PROVISIONING")
        assert sweep(platform)[release_id] == "started again"
    release = platform.ended(release_id)
    assert release.status == "LIVE", release.reason


def test_a_late_call_to_promote_an_older_release_moves_nothing(platform: Platform) -> None:
    older, newer = live(platform, "late-call", 1), live(platform, "late-call", 2)
    version = platform.client.release(newer).version
    answer = platform.service("lambda").invoke(
        FunctionName=f"{platform.deployment.prefix}-promote", Payload=json.dumps({"releaseId": older}).encode()
    )
    assert answer["FunctionError"]
    assert older in answer["Payload"].read().decode()
    assert platform.aliases("late-call") == {"prod": version}

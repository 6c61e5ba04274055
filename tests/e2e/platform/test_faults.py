"""What is our own fault: retried, kept with its reason, driven on; and never at the cost of what is live."""

from __future__ import annotations

import json

import pytest

from tests.e2e.packages import GREET, package
from tests.e2e.stage import Platform, age, denied, eventually, invoke, retried_at_once, sweep, swept_by_hand


def test_what_is_our_fault_is_retried_and_rests_with_its_reason_and_is_redriven(platform: Platform) -> None:
    with retried_at_once(platform, "ingest"), swept_by_hand(platform):
        with denied(platform, "register", "s3:PutObject"):
            release_id = platform.push(package("our-fault", num=1))
            (failure,) = eventually(lambda: platform.client.failures(None).failures)
            assert failure.reason and "AccessDenied" in failure.reason
            assert (failure.release_id, failure.message_id, failure.url) == (release_id, None, None)
            # However long that takes: the developer is told, and the release has not failed.
            age(platform, release_id)
            swept = [sweep(platform)[release_id] for _ in range(4)]
            assert swept == ["upload event repeated"] * 3 + ["left to the platform team"]
            assert release_id not in sweep(platform)
            eventually(lambda: platform.client.failures(None).total == 4)
        release = platform.client.release(release_id)
        assert release.status == "UPLOADING"
        assert release.reason and "Don't push it again" in release.reason
        handled = platform.client.delete_failures(None, [failure.failure_id])
        assert (handled.deleted, handled.left) == (1, 3)
        assert platform.client.redrive(None).redriven == 3
        ended = platform.ended(release_id)
        assert (ended.status, ended.reason) == ("LIVE", None)
        assert [change.status for change in ended.history].count("REGISTERED") == 1
        assert platform.client.failures(None).total == 0


def test_a_failed_update_of_the_stack_leaves_the_live_version_serving(platform: Platform) -> None:
    good = platform.push_and_wait(package("update-fails", num=1))
    assert good.status == "LIVE", good.reason
    with denied(platform, "algorithm-stacks", "lambda:UpdateFunctionCode"):
        bad = platform.push_and_wait(package("update-fails", num=2))
    assert bad.status == "FAILED"
    assert bad.reason and "stack" in bad.reason
    assert platform.execution(bad.release_id, "provision")["status"] == "FAILED"
    assert platform.aliases("update-fails") == {"prod": good.version}
    assert platform.answer(platform.send("update-fails", {"name": "Bo"}), "update-fails") == {"greeting": "hello Bo"}
    again = platform.push_and_wait(package("update-fails", num=2))
    assert again.status == "LIVE", again.reason


def test_a_stack_that_could_not_be_created_is_removed_and_created_anew(platform: Platform) -> None:
    with denied(platform, "algorithm-stacks", "sqs:CreateQueue"):
        bad = platform.push_and_wait(package("create-fails", num=1))
    assert bad.status == "FAILED"
    assert bad.reason and "Queue" in bad.reason
    again = platform.push_and_wait(package("create-fails", num=1))
    assert again.status == "LIVE", again.reason


@pytest.mark.parametrize(
    ("role", "action"),
    [
        ("publish", "lambda:PublishVersion"),
        ("execute", "lambda:InvokeFunction"),
        ("decide", "dynamodb:PutItem"),
        ("promote", "lambda:UpdateAlias"),
    ],
)
def test_a_step_that_breaks_down_ends_failed_and_clean(platform: Platform, role: str, action: str) -> None:
    name = f"breaks-{role}"
    good = platform.push_and_wait(package(name, num=1))
    assert good.status == "LIVE", good.reason
    with denied(platform, role, action):
        bad = platform.push_and_wait(package(name, num=2))
    assert bad.status == "FAILED"
    assert bad.reason and "AccessDenied" in bad.reason
    assert platform.execution(bad.release_id, "backstage")["status"] == "FAILED"
    assert platform.aliases(name) == {"prod": good.version}
    assert platform.versions(name) == {good.version}
    latest = platform.service("lambda").get_function_configuration(FunctionName=platform.function(name))
    assert latest["MemorySize"] == 128
    again = platform.push_and_wait(package(name, num=2))
    assert again.status == "LIVE", again.reason


def test_a_flow_that_fails_after_promoting_puts_prod_back(platform: Platform) -> None:
    good = platform.push_and_wait(package("put-back", num=1))
    assert good.status == "LIVE", good.reason
    with denied(platform, "clean", "lambda:ListVersionsByFunction"):
        bad = platform.push_and_wait(package("put-back", num=2))
    assert bad.status == "FAILED"
    assert platform.aliases("put-back")["prod"] == good.version


def test_every_step_may_be_delivered_twice(platform: Platform) -> None:
    release = platform.push_and_wait(package("twice", num=2))
    assert release.status == "LIVE", release.reason
    release_id, before = release.release_id, platform.client.release(release.release_id).to_json()
    record = {
        "messageId": "m",
        "body": json.dumps({"Records": [{"s3": {"object": {"key": f"uploads/{release_id}.zip"}}}]}),
        "attributes": {"ApproximateReceiveCount": "1"},
    }
    assert invoke(platform, "register", {"Records": [record]}) == {"batchItemFailures": []}
    image = {"releaseId": {"S": release_id}, "status": {"S": "REGISTERED"}, "sk": {"S": "META"}}
    change = {"dynamodb": {"NewImage": image, "SequenceNumber": "1"}}
    assert invoke(platform, "dispatch", {"Records": [change]}) is None
    step = {"releaseId": release_id}
    assert invoke(platform, "lock", {**step, "before": "REGISTERED", "after": "PROVISIONING"})["outcome"] == "over"
    assert invoke(platform, "report-status", {**step, "status": "LIVE"}) == {"status": "LIVE"}
    batch = {"memoryMb": 128, "start": 0, "count": 2}
    assert invoke(platform, "execute", {**step, "round": 0, "batch": batch}) == {}
    # The last round is the second one, or a later one if something disturbed what was measured.
    rounds = (invoke(platform, "plan", {**step, "round": number, "transitions": 9}) for number in range(1, 9))
    assert any(found["done"] for found in rounds)
    assert invoke(platform, "decide", {**step, "transitions": 9})["passed"] is True
    assert invoke(platform, "promote", step) == {"attached": True}
    assert invoke(platform, "clean", {**step, "promoted": True}) == {}
    after = platform.client.release(release_id).to_json()
    assert {k: v for k, v in after.items() if k != "summary"} == {k: v for k, v in before.items() if k != "summary"}
    assert platform.aliases("twice") == {"prod": release.version}


def test_two_flows_for_one_function_never_run_at_once(platform: Platform) -> None:
    release = platform.push_and_wait(package("locked", num=1))
    assert release.status == "LIVE", release.reason
    table = f"{platform.deployment.prefix}-registry"
    dynamodb = platform.service("dynamodb")
    lock = {
        "pk": {"S": "ALGORITHM#locked"},
        "sk": {"S": "LOCK"},
        "owner": {"S": release.release_id},
        "expiresAt": {"S": "2999-01-01T00:00:00.000Z"},
    }
    dynamodb.put_item(TableName=table, Item=lock)
    waiting = platform.push(package("locked", GREET + "\n", num=1))
    eventually(lambda: platform.client.release(waiting).status == "REGISTERED")
    execution = (
        f"arn:aws:states:{platform.deployment.region}:{platform.deployment.account_id}:execution:"
        f"{platform.deployment.prefix}-provision:{waiting}-registered"
    )
    states = platform.service("stepfunctions")

    def waits() -> bool:
        events = states.get_execution_history(executionArn=execution)["events"]
        return any(e.get("stateEnteredEventDetails", {}).get("name") == "WaitForLock" for e in events)

    eventually(waits)
    assert platform.client.release(waiting).status == "REGISTERED"
    dynamodb.delete_item(TableName=table, Key={"pk": lock["pk"], "sk": lock["sk"]})
    assert platform.ended(waiting).status == "LIVE"

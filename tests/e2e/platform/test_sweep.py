"""The sweeper: what is stuck is restarted, or failed with a reason. Time is made to pass in the registry."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.packages import GREET, package
from tests.e2e.stage import Platform, age, denied, edit_release, eventually, new_upload, sweep, swept_by_hand

SLOW = GREET.replace("    def translate", "    import time\n\n    def translate").replace(
    "return", "self.time.sleep(0.5); return"
)


@pytest.fixture(autouse=True)
def by_hand(platform: Platform) -> Iterator[None]:
    with swept_by_hand(platform):
        yield


def stop(platform: Platform, release_id: str, flow: str) -> None:
    status = {"provision": "registered", "backstage": "provisioned"}[flow]
    deployment = platform.deployment
    arn = (
        f"arn:aws:states:{deployment.region}:{deployment.account_id}:execution:"
        f"{deployment.prefix}-{flow}:{release_id}-{status}"
    )
    platform.service("stepfunctions").stop_execution(executionArn=arn, cause="killed by a test")


def test_an_upload_that_never_came_fails_with_the_reason(platform: Platform) -> None:
    release_id = new_upload(platform)["releaseId"]
    assert release_id not in sweep(platform)
    age(platform, release_id)
    assert sweep(platform)[release_id] == "failed"
    release = platform.client.release(release_id)
    assert release.status == "FAILED"
    assert release.reason and "Push it again" in release.reason


def test_an_upload_that_could_not_be_registered_before_it_was_deleted_fails_with_the_reason(platform: Platform) -> None:
    release_id = new_upload(platform)["releaseId"]
    age(platform, release_id)
    edit_release(platform, release_id, reason="It waits.")
    assert sweep(platform)[release_id] == "failed"
    release = platform.client.release(release_id)
    assert release.status == "FAILED"
    assert release.reason and "before the upload was deleted" in release.reason


def test_a_lost_upload_event_is_sent_again(platform: Platform) -> None:
    s3 = platform.service("s3")
    bucket = platform.deployment.outputs["PackagesBucket"]
    kept = s3.get_bucket_notification_configuration(Bucket=bucket)
    kept.pop("ResponseMetadata")
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={})
    try:
        release_id = platform.push(package("lost-event", num=1))
    finally:
        s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=kept)
    assert platform.client.release(release_id).status == "UPLOADING"
    age(platform, release_id)
    assert sweep(platform)[release_id] == "upload event repeated"
    assert platform.ended(release_id).status == "LIVE"


def test_a_release_whose_flow_never_started_is_started(platform: Platform) -> None:
    with denied(platform, "dispatch", "states:StartExecution"):
        release_id = platform.push(package("never-started", num=1))
        eventually(lambda: platform.client.release(release_id).status == "REGISTERED")
        age(platform, release_id)
        assert sweep(platform)[release_id] == "started again"
        eventually(lambda: platform.client.release(release_id).status == "PROVISIONED")
    assert platform.ended(release_id).status == "LIVE"


def test_a_flow_that_was_killed_is_started_again_and_goes_on(platform: Platform) -> None:
    with denied(platform, "report-status", "dynamodb:UpdateItem"):
        release_id = platform.push(package("goes-on", num=1))
        eventually(lambda: platform.client.release(release_id).status == "PROVISIONING")
        eventually(lambda: platform.execution(release_id, "provision")["status"] == "FAILED")
    assert platform.client.release(release_id).status == "PROVISIONING"
    assert sweep(platform)[release_id] == "started again"
    release = platform.ended(release_id)
    assert release.status == "LIVE", release.reason


def test_a_test_that_was_stopped_is_cleaned_up_and_failed_and_the_live_version_stays(platform: Platform) -> None:
    good = platform.push_and_wait(package("killed", num=1))
    assert good.status == "LIVE", good.reason
    release_id = platform.push(package("killed", SLOW, num=20))
    eventually(lambda: "test-512" in platform.aliases("killed"))
    stop(platform, release_id, "backstage")
    assert platform.client.release(release_id).status == "TESTING"
    age(platform, release_id)
    assert sweep(platform)[release_id] == "failed"
    release = platform.client.release(release_id)
    assert release.status == "FAILED"
    assert release.reason and "ABORTED" in release.reason
    assert platform.aliases("killed") == {"prod": good.version}
    assert platform.versions("killed") == {good.version}
    again = platform.push_and_wait(package("killed", num=2))
    assert again.status == "LIVE", again.reason


def test_a_lock_whose_owner_has_ended_is_freed(platform: Platform) -> None:
    first = platform.push_and_wait(package("orphan-lock", num=1))
    assert first.status == "LIVE", first.reason
    lock = {
        "pk": {"S": "ALGORITHM#orphan-lock"},
        "sk": {"S": "LOCK"},
        "owner": {"S": first.release_id},
        "expiresAt": {"S": "2999-01-01T00:00:00.000Z"},
    }
    platform.service("dynamodb").put_item(TableName=f"{platform.deployment.prefix}-registry", Item=lock)
    release_id = platform.push(package("orphan-lock", num=2))
    eventually(lambda: platform.client.release(release_id).status == "REGISTERED")
    age(platform, release_id)
    sweep(platform)
    assert platform.ended(release_id).status == "LIVE"

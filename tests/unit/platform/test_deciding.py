"""What the platform decides without asking AWS."""

from __future__ import annotations

import json
from typing import Any

import pytest

from greenroom.package.metadata import StoredMetadata
from greenroom.platform import flow, ingest, storage
from greenroom.platform.provisioning import Place, interpret, stack_parameters
from greenroom.releases import Algorithm, LiveVersion, Release, Status

PLACE = Place("greenroom", "aws", "eu-central-1", "123456789012", "packages", "arn:layer:1", "30")


def release(**metadata: Any) -> Release:
    values = {"name": "nsx-in", "type": "in", "entry": "nsx.translator:Nsx", "runtime": "python3.13", **metadata}
    return Release(
        release_id="01JD0000000000000000000000",
        status=Status.PROVISIONING,
        created_at="",
        updated_at="",
        file_name="nsx.zip",
        history=(),
        algorithm="nsx-in",
        type=str(values["type"]),
        package_sha256="0" * 64,
        package_size_bytes=1,
        metadata=StoredMetadata.model_validate(values),
        cases=("a",),
        package_key="packages/x/y.zip",
    )


def algorithm(**values: Any) -> Algorithm:
    return Algorithm(name="nsx-in", type="in", updated_at="", latest_release_id="01JD0000000000000000000000", **values)


def urls(*names: str) -> dict[str, str]:
    return {name: f"https://queues/{name}" for name in names}


def test_a_first_release_gets_no_event_source_mapping_and_the_generic_handler() -> None:
    parameters = stack_parameters(release(), algorithm(), {}, PLACE, has_prod=False)
    assert parameters["Live"] == "false"
    assert parameters["Handler"] == "aws_equipment.entry.lambda_handler"
    assert parameters["Entry"] == "nsx.translator:Nsx"
    assert parameters["NextQueueArns"] == ""


def test_the_algorithms_own_handler_is_used_where_it_has_one() -> None:
    parameters = stack_parameters(
        release(entry=None, handler="app.lambda_handler"), algorithm(), {}, PLACE, has_prod=False
    )
    assert (parameters["Handler"], parameters["Entry"]) == ("app.lambda_handler", "")


def test_the_live_version_may_still_send_where_the_new_one_no_longer_does() -> None:
    live = algorithm(live=LiveVersion("01JC", "3"), next=("old",), timeout_s=300)
    parameters = stack_parameters(release(next=["new"], timeout=10), live, urls("new"), PLACE, has_prod=True)
    assert parameters["NextQueueArns"].split(",") == [
        "arn:aws:sqs:eu-central-1:123456789012:greenroom-alg-new-input",
        "arn:aws:sqs:eu-central-1:123456789012:greenroom-alg-old-input",
    ]
    assert json.loads(parameters["Next"]) == {
        "new": {"queueUrl": "https://queues/new", "bucket": "greenroom-alg-new-123456789012-eu-central-1"}
    }
    assert parameters["VisibilityTimeoutSeconds"] == "1800"
    assert parameters["Live"] == "true"


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("CREATE_IN_PROGRESS", "running"),
        ("UPDATE_IN_PROGRESS", "running"),
        ("UPDATE_ROLLBACK_IN_PROGRESS", "running"),
        ("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "succeeded"),
        ("CREATE_COMPLETE", "succeeded"),
        ("UPDATE_COMPLETE", "succeeded"),
        ("ROLLBACK_COMPLETE", "failed"),
        ("UPDATE_ROLLBACK_COMPLETE", "failed"),
        ("UPDATE_ROLLBACK_FAILED", "failed"),
        ("DELETE_COMPLETE", "failed"),
    ],
)
def test_a_stack_that_was_rolled_back_has_failed(status: str, state: str) -> None:
    assert interpret(status, None).state == state


def test_a_failed_stack_says_how_it_ended_and_why() -> None:
    assert interpret("UPDATE_ROLLBACK_COMPLETE", "no such layer").reason == (
        "the algorithm's stack ended as UPDATE_ROLLBACK_COMPLETE: no such layer"
    )


def test_keys_of_upload_events_are_decoded_and_the_test_event_tells_of_none() -> None:
    event = {"Records": [{"s3": {"object": {"key": "uploads/a+b%2Bc.zip"}}}]}
    assert ingest.upload_keys(json.dumps(event)) == ["uploads/a b+c.zip"]
    assert ingest.upload_keys(json.dumps({"Service": "Amazon S3", "Event": "s3:TestEvent"})) == []


@pytest.mark.parametrize("body", ["[]", "{}", '{"Records": [{}]}', '{"Records": 3}', "no json"])
def test_a_message_that_is_no_upload_event_is_an_error(body: str) -> None:
    with pytest.raises(ValueError):
        ingest.upload_keys(body)


@pytest.mark.parametrize("key", ["uploads/x", "packages/x.zip", "uploads/x/y.zip", "uploads/../x/y.zip"])
def test_other_keys_are_not_uploads(key: str) -> None:
    with pytest.raises(ValueError):
        storage.release_of_upload(key)


def test_an_upload_key_leads_back_to_its_release() -> None:
    assert storage.release_of_upload(storage.upload_key("01JD")) == "01JD"


def test_the_reason_of_a_failed_step_is_its_message_not_its_json() -> None:
    cause = json.dumps({"errorType": "Disturbed", "errorMessage": "alias led to version 3", "stackTrace": ["…"]})
    reason = flow.failure_reason({"Error": "Disturbed", "Cause": cause})
    assert "Disturbed: alias led to version 3" in reason
    assert "stackTrace" not in reason
    assert "States.Timeout" in flow.failure_reason({"Error": "States.Timeout"})
    assert flow.failure_reason(None)

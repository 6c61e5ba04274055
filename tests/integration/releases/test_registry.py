"""The registry against a real DynamoDB API: every change is conditional, and everything may be said twice."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import resources
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import boto3
import pytest
from botocore.exceptions import ClientError
from cfnlint.decode import cfn_yaml
from pydantic import ValidationError

from greenroom.embedded import EmbeddedAws
from greenroom.package.metadata import Metadata
from greenroom.releases import (
    Conflict,
    LockHeld,
    NotFound,
    NotRegistered,
    Progress,
    Registration,
    Registry,
    Rejection,
    Release,
    Status,
    StatusChange,
    Upload,
    new_id,
    utc_now,
)
from greenroom.releases.items import ALGORITHM_ROW, RELEASE_ROW
from greenroom.releases.look import Counted, Depth, Look
from greenroom.releases.registry import TREND_KEPT
from greenroom.releases.table import ConditionFailed

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


@pytest.fixture(scope="module")
def dynamodb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DynamoDBClient]:
    with EmbeddedAws.start(tmp_path_factory.mktemp("aws"), port=0) as aws:
        session = boto3.Session(aws.access_key_id, aws.secret_access_key, region_name=aws.region)
        yield session.client("dynamodb", endpoint_url=aws.endpoint_url)


@pytest.fixture(scope="module")
def table() -> dict[str, Any]:
    """The registry's table as the template makes it."""
    template = cfn_yaml.load(str(resources.files("greenroom.platform").joinpath("template.yaml")))
    properties: dict[str, Any] = json.loads(json.dumps(template["Resources"]["Registry"]["Properties"]))
    for name in ("PointInTimeRecoverySpecification", "TimeToLiveSpecification", "StreamSpecification"):
        del properties[name]
    return properties


@pytest.fixture
def registry(dynamodb: DynamoDBClient, table: dict[str, Any]) -> Registry:
    """A registry in a table of its own."""
    name = f"registry-{uuid4()}"
    dynamodb.create_table(**{**table, "TableName": name})
    return Registry(dynamodb, name)


WAY = [Status.REGISTERED, Status.PROVISIONING, Status.PROVISIONED, Status.TESTING]


def registration(name: str = "nsx-in", **settings: Any) -> Registration:
    said = {"type": "in", "entry": "nsx:Nsx", "next": ["asa"], "timeout": 7, "powerValues": [256], **settings}
    return Registration(
        metadata=Metadata.model_validate({"name": name, **said}),
        case_inputs={"b": "5" * 64, "a": "6" * 64},
        not_compared=(),
        cost_at_most_usd=0.125,
        package_key="packages/x/y.zip",
        package_sha256="7" * 64,
        upload_sha256="8" * 64,
        package_size_bytes=1_234,
    )


def registered(registry: Registry, name: str = "nsx-in") -> str:
    release_id = new_id()
    registry.create_upload(release_id, "nsx.zip")
    assert registry.register(release_id, registration(name))
    return release_id


def ready_to_go_live(registry: Registry, version: str) -> str:
    release_id = registered(registry)
    for before, after in itertools.pairwise(WAY):
        registry.change_status(release_id, after, before=before)
    registry.record_choice(release_id, version=version, memory_mb=256, cost_usd_per_million=1.25)
    return release_id


def test_a_new_release_waits_for_its_upload(registry: Registry) -> None:
    release_id = new_id()
    created = registry.create_upload(release_id, "nsx.zip", author="Ada")
    release = registry.find(release_id)
    assert release == created
    assert isinstance(release, Upload)
    assert (release.author, release.changed_by) == ("Ada", "Ada")
    assert release.created_at == release.updated_at == release.history[0].at
    assert release.status is Status.UPLOADING
    assert [change.status for change in release.history] == [Status.UPLOADING]
    assert [each.release_id for each in registry.in_flight()] == [release_id]
    with pytest.raises(Conflict, match=f"release {release_id} exists already"):
        registry.create_upload(release_id, "nsx.zip")


def test_what_is_not_there_is_not_found(registry: Registry) -> None:
    with pytest.raises(NotFound, match="there is no release 01JD"):
        registry.release("01JD")
    with pytest.raises(NotFound, match="there is no algorithm 'nobody'"):
        registry.algorithm("nobody")


def test_a_status_changes_once_and_only_from_the_status_before(registry: Registry) -> None:
    release_id = registered(registry)
    assert registry.change_status(release_id, Status.PROVISIONING, before=Status.REGISTERED)
    assert not registry.change_status(release_id, Status.PROVISIONING, before=Status.REGISTERED)
    with pytest.raises(Conflict, match=f"{release_id} is PROVISIONING, not PROVISIONED: it can't become TESTING"):
        registry.change_status(release_id, Status.TESTING, before=Status.PROVISIONED)
    with pytest.raises(Conflict, match="a release that is PROVISIONING can't become LIVE"):
        registry.change_status(release_id, Status.LIVE, before=Status.PROVISIONING)
    assert len(registry.release(release_id).history) == 3


def test_an_ended_release_is_no_longer_in_flight_and_keeps_its_reason(registry: Registry) -> None:
    release_id = registered(registry)
    registry.change_status(release_id, Status.FAILED, before=Status.REGISTERED, reason="x" * 100_000)
    assert registry.in_flight() == []
    reason = registry.release(release_id).reason
    assert reason and len(reason) == 8_000


def test_registering_twice_changes_nothing_and_an_older_upload_is_not_the_latest(registry: Registry) -> None:
    older, newer = new_id(), new_id()
    for release_id in (newer, older):
        registry.create_upload(release_id, "nsx.zip")
        assert registry.register(release_id, registration())
        assert not registry.register(release_id, registration())
    assert registry.algorithm("nsx-in").latest_release_id == max(older, newer)
    page, more = registry.releases_of("nsx-in", limit=1)
    assert [each.release_id for each in page] == [max(older, newer)]
    older_page, _ = registry.releases_of("nsx-in", before=more)
    assert [each.release_id for each in older_page] == [min(older, newer)]


def test_going_live_retires_the_one_before_and_remembers_the_last_three(registry: Registry) -> None:
    ids = []
    for number in range(6):
        ids.append(ready_to_go_live(registry, str(number)))
        registry.go_live(registry.release(ids[-1]))
    registry.go_live(registry.release(ids[-1]))
    algorithm = registry.algorithm("nsx-in")
    assert algorithm.live and (algorithm.live.release_id, algorithm.live.version) == (ids[-1], "5")
    assert [before.version for before in algorithm.live_before] == ["4", "3", "2"]
    assert (algorithm.memory_mb, algorithm.cost_usd_per_million) == (256, 1.25)
    assert (algorithm.next, algorithm.timeout_s) == (("asa",), 7)
    assert [registry.release(each).status for each in ids] == [Status.RETIRED] * 5 + [Status.LIVE]


def test_rolling_back_swaps_two_releases(registry: Registry) -> None:
    first, second = ready_to_go_live(registry, "1"), ready_to_go_live(registry, "2")
    for release_id in (first, second):
        registry.go_live(registry.release(release_id))
    registry.roll_back(registry.algorithm("nsx-in"), registry.release(first))
    assert registry.release(first).status is Status.LIVE
    assert registry.release(second).status is Status.ROLLED_BACK
    assert [before.release_id for before in registry.algorithm("nsx-in").live_before] == [second]
    with pytest.raises(Conflict):
        registry.roll_back(registry.algorithm("nsx-in"), registry.release(first))


def test_a_failed_release_never_goes_live(registry: Registry) -> None:
    release_id = ready_to_go_live(registry, "1")
    stale = registry.release(release_id)
    registry.change_status(release_id, Status.FAILED, before=Status.TESTING, reason="swept")
    with pytest.raises(Conflict):
        registry.go_live(stale)
    assert registry.algorithm("nsx-in").live is None


def test_a_lock_has_one_owner_until_it_expires(registry: Registry) -> None:
    registry.acquire_lock("nsx-in", "one", seconds=60)
    registry.acquire_lock("nsx-in", "one", seconds=60)
    with pytest.raises(LockHeld) as held:
        registry.acquire_lock("nsx-in", "two", seconds=60)
    assert held.value.owner == "one"
    registry.release_lock("nsx-in", "two")
    owner = registry.lock_owner("nsx-in")
    assert owner and owner[0] == "one"
    registry.acquire_lock("nsx-in", "one", seconds=-1)
    registry.acquire_lock("nsx-in", "two", seconds=60)
    registry.release_lock("nsx-in", "two")
    assert registry.lock_owner("nsx-in") is None


def test_findings_are_added_up_by_power_value(registry: Registry) -> None:
    release_id = registered(registry)
    registry.put_progress(release_id, "000#00000", Progress(256, 3, 10, 0))
    registry.put_progress(release_id, "000#00000", Progress(256, 10, 10, 1))
    registry.put_progress(release_id, "001#00010", Progress(256, 2, 5, 0))
    registry.put_progress(release_id, "000#00000", Progress(128, 1, 10, 0))
    registry.put_summary(release_id, {"sentence": "256 MB"})
    summary, progress = registry.findings(release_id)
    assert summary == {"sentence": "256 MB"}
    assert progress == [Progress(128, 1, 10, 0), Progress(256, 12, 15, 1)]


def test_repeats_are_counted(registry: Registry) -> None:
    release_id = registered(registry)
    assert [registry.count_repeat(release_id) for _ in range(3)] == [1, 2, 3]


def test_a_history_says_who_uploaded_and_who_rolled_back(registry: Registry) -> None:
    first, second = ready_to_go_live(registry, "1"), ready_to_go_live(registry, "2")
    for release_id in (first, second):
        registry.go_live(registry.release(release_id))
    named = new_id()
    registry.create_upload(named, "nsx.zip", author="Ada")
    registry.roll_back(registry.algorithm("nsx-in"), registry.release(first), author="Grace")
    assert (registry.find(named).author, registry.find(named).history[0].by) == ("Ada", "Ada")
    for release_id in (first, second):
        release = registry.release(release_id)
        assert (release.author, release.changed_by, release.history[-1].by) == (None, "Grace", "Grace")


def test_a_trend_has_the_last_times_that_something_went_live(registry: Registry) -> None:
    first, second = ready_to_go_live(registry, "1"), ready_to_go_live(registry, "2")
    for release_id in (first, second):
        registry.go_live(registry.release(release_id))
    for number in range(TREND_KEPT):
        registry.roll_back(registry.algorithm("nsx-in"), registry.release(first if number % 2 == 0 else second))
    (algorithm,) = registry.algorithms()
    assert [point.release_id for point in algorithm.trend] == [first, second] * (TREND_KEPT // 2)
    assert {(point.memory_mb, point.cost_usd_per_million) for point in algorithm.trend} == {(256, 1.25)}


def test_the_newest_releases_statuses_are_read_for_many_algorithms_at_once(registry: Registry) -> None:
    registry.go_live(registry.release(ready_to_go_live(registry, "1")))
    for number in range(120):  # more than one request of 100
        release_id = registered(registry, f"other-{number:03d}")
        if number % 2:
            registry.change_status(release_id, Status.FAILED, before=Status.REGISTERED, reason="it failed")
    found = registry.newest_statuses(registry.algorithms())
    assert len(found) == 121
    assert found["nsx-in"][0] is Status.LIVE
    assert {found[f"other-{number:03d}"][0] for number in range(0, 120, 2)} == {Status.REGISTERED}
    assert {found[f"other-{number:03d}"][0] for number in range(1, 120, 2)} == {Status.FAILED}


def test_an_algorithm_is_read_as_the_first_version_wrote_it(registry: Registry, dynamodb: DynamoDBClient) -> None:
    release_id = registered(registry)
    dynamodb.update_item(
        TableName=registry._table.name,
        Key={"pk": {"S": "ALGORITHM#nsx-in"}, "sk": {"S": "META"}},
        UpdateExpression=(
            "SET liveReleaseId = :id, liveVersion = :v, liveBefore = :b, memoryMb = :m, costUsdPerMillion = :c, #n = :n"
        ),
        ExpressionAttributeNames={"#n": "next"},
        ExpressionAttributeValues={
            ":id": {"S": release_id},
            ":v": {"S": "7"},
            ":b": {"L": [{"M": {"releaseId": {"S": "x"}, "version": {"S": "6"}}}]},
            ":m": {"N": "512"},
            ":c": {"N": "1.5"},
            ":n": {"L": [{"S": "asa"}]},
        },
    )
    for algorithm in (registry.algorithm("nsx-in"), *registry.algorithms()):
        assert algorithm.live and (algorithm.live.release_id, algorithm.live.version) == (release_id, "7")
        assert [before.version for before in algorithm.live_before] == ["6"]
        assert (algorithm.memory_mb, algorithm.cost_usd_per_million, algorithm.next) == (512, 1.5, ("asa",))


def test_progress_carries_the_durations_of_all_batches(registry: Registry) -> None:
    release_id = registered(registry)
    registry.put_progress(release_id, "000#00000", Progress(256, 2, 2, 0, (1.25, 2.5)))
    registry.put_progress(release_id, "000#00002", Progress(256, 2, 4, 1, (3.0,)))
    _, (progress,) = registry.findings(release_id)
    assert progress == Progress(256, 4, 6, 1, (1.25, 2.5, 3.0))


def test_restarts_are_counted_apart_and_known_of_a_release(registry: Registry) -> None:
    release_id = registered(registry)
    assert registry.release(release_id).restarts == 0
    assert [registry.count_restart(release_id) for _ in range(2)] == [1, 2]
    assert registry.count_repeat(release_id) == 1
    assert registry.release(release_id).restarts == 2


def test_an_upload_becomes_a_release_of_which_everything_is_known(registry: Registry) -> None:
    release_id = new_id()
    registry.create_upload(release_id, "nsx.zip", author="Ada")
    with pytest.raises(NotRegistered, match=f"{release_id} is UPLOADING"):
        registry.release(release_id)
    given = registration()
    assert registry.register(release_id, given)
    release = registry.release(release_id)
    assert registry.find(release_id) == release
    assert registry.in_flight() == [release]
    assert (release.algorithm, release.type, release.author, release.file_name) == ("nsx-in", "in", "Ada", "nsx.zip")
    assert release.metadata.model_dump() == given.metadata.model_dump()
    assert (release.cases, release.case_inputs) == (("b", "a"), given.case_inputs)
    assert (release.cost_at_most_usd, release.package_key) == (0.125, "packages/x/y.zip")
    assert (release.package_sha256, release.package_size_bytes) == ("7" * 64, 1_234)
    assert (release.versions, release.version, release.memory_mb) == ({}, None, None)


def test_an_upload_that_ended_before_it_was_registered_stays_an_upload(registry: Registry) -> None:
    release_id = new_id()
    registry.create_upload(release_id, "nsx.zip")
    rejection = Rejection("no_tests", "tests: is empty", "tests", "Add a case.")
    assert registry.reject(release_id, rejection)
    assert not registry.reject(release_id, rejection), "a message that is delivered twice"
    found = registry.find(release_id)
    reason = "tests: is empty. Add a case."
    assert (found.status, found.reason, found.history[-1].reason) == (Status.REJECTED, reason, reason)
    assert isinstance(found, Upload) and found.rejection == rejection


NO_LONGER_ALLOWED = {
    "name": "nsx-in",
    "type": "in",
    "entry": "nsx:Nsx",
    "runtime": "python3.9",
    "num": 5_000,
    "strategy": "energy",
    "timeout": 1_200,
    "next": ["asa"],
    "zone": "a field of another version",
}
"""Metadata that another version of the platform accepted and that this one would refuse."""


def tighten_rules_after(registry: Registry, dynamodb: DynamoDBClient, release_id: str) -> None:
    """Make a release's stored metadata such that no upload would be accepted with it."""
    with pytest.raises(ValidationError):
        Metadata.model_validate(NO_LONGER_ALLOWED)
    dynamodb.update_item(
        TableName=registry._table.name,
        Key={"pk": {"S": f"RELEASE#{release_id}"}, "sk": {"S": "META"}},
        UpdateExpression="SET metadata = :metadata",
        ExpressionAttributeValues={":metadata": {"S": json.dumps(NO_LONGER_ALLOWED)}},
    )


def test_a_release_stays_readable_when_rules_are_tightened(registry: Registry, dynamodb: DynamoDBClient) -> None:
    first, second = ready_to_go_live(registry, "1"), ready_to_go_live(registry, "2")
    tighten_rules_after(registry, dynamodb, first)
    release = registry.release(first)
    metadata = release.metadata
    assert (metadata.runtime, metadata.num, metadata.timeout) == ("python3.9", 5_000, 1_200)
    assert metadata.strategy == "cost"
    # It goes live, the next release replaces it, and it is rolled back to: its own settings come along.
    registry.go_live(release)
    registry.go_live(registry.release(second))
    assert registry.algorithm("nsx-in").timeout_s == 7
    registry.roll_back(registry.algorithm("nsx-in"), registry.release(first))
    algorithm = registry.algorithm("nsx-in")
    assert (algorithm.timeout_s, algorithm.next) == (1_200, ("asa",))


def test_a_release_is_read_as_the_first_version_wrote_it(registry: Registry, dynamodb: DynamoDBClient) -> None:
    at = "2026-01-02T03:04:05.678Z"
    old: dict[str, Any] = {
        "pk": {"S": "RELEASE#01JD"},
        "sk": {"S": "META"},
        "releaseId": {"S": "01JD"},
        "status": {"S": "PROVISIONED"},
        "fileName": {"S": "nsx.zip"},
        "createdAt": {"S": at},
        "updatedAt": {"S": at},
        "inFlight": {"S": "IN_FLIGHT"},
        "versions": {"M": {"128": {"S": "1"}, "256": {"S": "2"}}},
        "history": {
            "L": [
                {"M": {"status": {"S": "UPLOADING"}, "at": {"S": at}}},
                {"M": {"status": {"S": "PROVISIONED"}, "at": {"S": at}, "reason": {"S": "a reason"}}},
            ]
        },
        "reason": {"NULL": True},
        "algorithm": {"S": "nsx-in"},
        "type": {"S": "in"},
        "metadata": {"S": '{"name":"nsx-in","type":"in","entry":"nsx:Nsx","powerValues":[128,256],"num":5}'},
        "cases": {"L": [{"S": "a"}, {"S": "b"}]},
        "packageKey": {"S": "packages/01JD/x.zip"},
        "packageSha256": {"S": "x"},
        "packageSizeBytes": {"N": "1234"},
        "ownerPk": {"S": "ALGORITHM#nsx-in"},
        "ownerSk": {"S": "01JD"},
    }
    dynamodb.put_item(TableName=registry._table.name, Item=old)
    release = registry.release("01JD")
    assert isinstance(release, Release)
    assert (release.status, release.created_at, release.reason) == (Status.PROVISIONED, at, None)
    assert [change.reason for change in release.history] == [None, "a reason"]
    assert (release.metadata.power_values, release.metadata.num, release.metadata.search) == ([128, 256], 5, "fixed")
    assert (release.cases, release.case_inputs, release.cost_at_most_usd) == (("a", "b"), {}, None)
    assert (release.versions, release.restarts) == ({128: "1", 256: "2"}, 0)
    assert (release.author, release.changed_by) == (None, None)
    (row,), _ = registry.releases_of("nsx-in")
    assert (row.release_id, row.package_size_bytes, row.memory_mb) == ("01JD", 1_234, None)


def test_versions_are_recorded_at_each_power_value(registry: Registry) -> None:
    release_id = registered(registry)
    registry.record_version(release_id, 128, "1")
    registry.record_version(release_id, 256, "2")
    registry.record_version(release_id, 128, "3")
    assert registry.release(release_id).versions == {128: "3", 256: "2"}
    with pytest.raises(ConditionFailed, match="ConditionalCheckFailedException"):
        registry.record_version(new_id(), 128, "1")


def test_why_an_upload_waits_is_known_until_its_status_changes(registry: Registry) -> None:
    release_id = new_id()
    registry.create_upload(release_id, "nsx.zip")
    registry.note(release_id, "It waits.")
    upload = registry.find(release_id)
    assert (upload.status, upload.reason, len(upload.history)) == (Status.UPLOADING, "It waits.", 1)
    assert registry.register(release_id, registration())
    assert registry.find(release_id).reason is None
    with pytest.raises(Conflict, match=f"release {release_id} is no longer UPLOADING"):
        registry.note(release_id, "It waits.")


def test_counts_have_the_names_that_older_platforms_gave_them(registry: Registry) -> None:
    release_id = registered(registry)
    registry.count_repeat(release_id)
    registry.count_restart(release_id)
    item = registry._table.get({"pk": f"RELEASE#{release_id}", "sk": "META"})
    assert item and (item["repeats"], item["restarts"]) == (1, 1)
    with pytest.raises(ConditionFailed):
        registry.count_repeat(new_id())


def test_a_list_ends_and_is_as_long_as_asked_for(registry: Registry) -> None:
    ids = sorted(registered(registry) for _ in range(3))
    page, more = registry.releases_of("nsx-in")
    assert ([row.release_id for row in page], more) == (ids[::-1], None)
    assert len(registry.in_flight()) == 3
    assert len(registry.in_flight(limit=1)) == 1
    assert registry.releases_of("nobody") == ([], None)
    registered(registry, "alpha")
    assert [algorithm.name for algorithm in registry.algorithms()] == ["alpha", "nsx-in"]
    assert [algorithm.name for algorithm in registry.algorithms(limit=1)] == ["alpha"]


def test_the_newest_release_counts_where_another_one_is_live(registry: Registry) -> None:
    registry.go_live(registry.release(ready_to_go_live(registry, "1")))
    newer = registered(registry)
    registry.change_status(newer, Status.FAILED, before=Status.REGISTERED, reason="it failed")
    assert registry.newest_statuses(registry.algorithms()) == {
        "nsx-in": (Status.FAILED, registry.find(newer).updated_at)
    }


def test_a_release_without_findings_has_none(registry: Registry) -> None:
    assert registry.findings(registered(registry)) == (None, [])


def test_a_lock_says_who_holds_it_and_until_when(registry: Registry) -> None:
    registry.acquire_lock("nsx-in", "one", seconds=3_600)
    owner = registry.lock_owner("nsx-in")
    assert owner
    left_s = (datetime.fromisoformat(owner[1]) - datetime.now(UTC)).total_seconds()
    assert 3_500 < left_s <= 3_600
    with pytest.raises(LockHeld, match=f"the lock is held by one until {owner[1]}") as held:
        registry.acquire_lock("nsx-in", "two", seconds=60)
    assert (held.value.owner, held.value.expires_at) == owner


def test_only_a_condition_that_does_not_hold_is_a_conflict(dynamodb: DynamoDBClient) -> None:
    absent = Registry(dynamodb, "no-such-table")
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        absent.create_upload(new_id(), "nsx.zip")
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        absent.note(new_id(), "It waits.")
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        absent.release_lock("nsx-in", "one")


def test_a_retired_release_says_which_one_replaced_it_and_a_trend_says_when(registry: Registry) -> None:
    first, second = ready_to_go_live(registry, "1"), ready_to_go_live(registry, "2")
    for release_id in (first, second):
        registry.go_live(registry.release(release_id))
    retired, live = registry.release(first), registry.release(second)
    assert (retired.status, retired.reason) == (Status.RETIRED, f"{second} went live")
    assert retired.history[-1].at == live.history[-1].at == live.updated_at
    algorithm = registry.algorithm("nsx-in")
    assert [point.at for point in algorithm.trend] == [retired.history[-2].at, live.updated_at]
    assert algorithm.updated_at == live.updated_at


def test_of_two_releases_that_go_live_at_once_one_meets_a_conflict(registry: Registry) -> None:
    first, second, third = (ready_to_go_live(registry, str(number)) for number in range(3))
    for faster, slower in ((first, second), (second, third)):
        seen = registry.algorithm("nsx-in")
        registry.go_live(registry.release(faster))
        with pytest.raises(Conflict, match="changed in the meantime"):
            registry._switch_live(seen, registry.release(slower), StatusChange(Status.RETIRED, utc_now()))
        live = registry.algorithm("nsx-in").live
        assert live and live.release_id == faster
        assert registry.release(slower).status is Status.TESTING


def test_an_algorithm_has_the_type_of_its_first_release_and_then_of_what_is_live(registry: Registry) -> None:
    first, second = new_id(), new_id()
    for release_id, type_, next_ in ((first, "in", ["asa"]), (second, "out", [])):
        registry.create_upload(release_id, "nsx.zip")
        assert registry.register(release_id, registration(type=type_, next=next_))
    assert registry.algorithm("nsx-in").type == "in"
    for before, after in itertools.pairwise(WAY):
        registry.change_status(second, after, before=before)
    registry.go_live(registry.release(second))
    assert registry.algorithm("nsx-in").type == "out"


@contextmanager
def requests(dynamodb: DynamoDBClient) -> Iterator[list[dict[str, Any]]]:
    """The parameters of every request to DynamoDB in the meantime."""
    seen: list[dict[str, Any]] = []

    def look(params: dict[str, Any], **_: Any) -> None:
        seen.append(params)

    dynamodb.meta.events.register("provide-client-params.dynamodb", look)
    try:
        yield seen
    finally:
        dynamodb.meta.events.unregister("provide-client-params.dynamodb", look)


def test_reads_are_consistent_and_lists_ask_for_what_a_row_shows(registry: Registry, dynamodb: DynamoDBClient) -> None:
    release_id = registered(registry)
    with requests(dynamodb) as seen:
        registry.find(release_id)
        registry.findings(release_id)
        registry.newest_statuses([registry.algorithm("nsx-in")])
    (batch,) = (params["RequestItems"][registry._table.name] for params in seen if "RequestItems" in params)
    assert [params.get("ConsistentRead") for params in seen if "RequestItems" not in params] == [True] * 3
    assert batch["ConsistentRead"] is True
    with requests(dynamodb) as seen:
        registry.releases_of("nsx-in")
        registry.algorithms()
        registry.in_flight()
    asked = [set(params.get("ExpressionAttributeNames", {}).values()) for params in seen]
    assert asked == [set(RELEASE_ROW), set(ALGORITHM_ROW), set()]
    assert "ProjectionExpression" not in seen[-1]


def test_what_dynamodb_leaves_unprocessed_is_asked_for_again(registry: Registry, dynamodb: DynamoDBClient) -> None:
    """DynamoDB answers at most 16 MB at once, and less under load; the embedded one always answers all."""
    names = [f"other-{number}" for number in range(3)]
    for name in names:
        registered(registry, name)
    left_out = 0

    def leave_out(parsed: dict[str, Any], **_: Any) -> None:
        nonlocal left_out
        table = registry._table.name
        found = parsed["Responses"][table]
        if len(found) > 1:
            keys = [{"pk": {"S": f"RELEASE#{item['releaseId']['S']}"}, "sk": {"S": "META"}} for item in found[1:]]
            attributes = {
                "ProjectionExpression": "releaseId, #s, updatedAt",
                "ExpressionAttributeNames": {"#s": "status"},
            }
            parsed["UnprocessedKeys"] = {table: {"Keys": keys, **attributes}}
            left_out += len(keys)
            del found[1:]

    dynamodb.meta.events.register("after-call.dynamodb.BatchGetItem", leave_out)
    try:
        found = registry.newest_statuses(registry.algorithms())
    finally:
        dynamodb.meta.events.unregister("after-call.dynamodb.BatchGetItem", leave_out)
    assert left_out == 3
    assert sorted(found) == names


def test_a_request_that_is_repeated_is_the_same_release(registry: Registry) -> None:
    request, first, second = new_id(), new_id(), new_id()
    assert registry.id_of_request(request, first) == first
    assert registry.id_of_request(request, second) == first
    assert registry.id_of_request(new_id(), second) == second


def test_what_the_sweeper_saw_is_kept(registry: Registry) -> None:
    assert registry.look() is None
    look = Look("2026-01-01T00:00:00.000Z", {"a": Counted("2026-01-01T00:00:00.000Z", Depth(1, 2), None)})
    registry.put_look(look)
    assert registry.look() == look

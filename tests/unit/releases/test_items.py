"""Items of the registry: what is written is read again, and what older versions wrote is read too."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from greenroom.package.metadata import Metadata, StoredMetadata
from greenroom.releases import (
    Algorithm,
    LiveVersion,
    Progress,
    Registration,
    Release,
    ReleaseRow,
    Status,
    StatusChange,
    Upload,
    WentLive,
    items,
)

AT, LATER = "2026-01-02T03:04:05.678Z", "2026-01-02T03:04:06.789Z"

UPLOAD = Upload(
    release_id="01JD",
    status=Status.UPLOADING,
    created_at=AT,
    updated_at=AT,
    file_name="nsx.zip",
    author="Ada",
    changed_by="Ada",
    history=(StatusChange(Status.UPLOADING, AT, by="Ada"),),
)

REGISTRATION = Registration(
    metadata=Metadata.model_validate(
        {"name": "nsx-in", "type": "in", "entry": "nsx:Nsx", "next": ["asa"], "timeout": 7, "powerValues": [256]}
    ),
    case_inputs={"b": "5" * 64, "a": "6" * 64},
    not_compared=("a",),
    cost_at_most_usd=0.125,
    package_key="packages/01JD/x.zip",
    package_sha256="7" * 64,
    upload_sha256="8" * 64,
    package_size_bytes=1_234,
)

RELEASE = Release(
    release_id="01JD",
    status=Status.LIVE,
    created_at=AT,
    updated_at=LATER,
    file_name="nsx.zip",
    reason="a reason",
    author="Ada",
    changed_by="Grace",
    algorithm="nsx-in",
    type="in",
    package_sha256="7" * 64,
    package_size_bytes=1_234,
    version="3",
    memory_mb=256,
    cost_usd_per_million=1.5,
    metadata=StoredMetadata.model_validate(REGISTRATION.metadata.model_dump(by_alias=True)),
    cases=("b", "a"),
    package_key="packages/01JD/x.zip",
    upload_sha256="8" * 64,
    not_compared=("a",),
    history=(StatusChange(Status.UPLOADING, AT, by="Ada"), StatusChange(Status.LIVE, LATER, "a reason", "Grace")),
    case_inputs={"b": "5" * 64, "a": "6" * 64},
    cost_at_most_usd=0.125,
    versions={128: "2", 256: "3"},
    restarts=2,
)


def release_item(**changed: Any) -> dict[str, Any]:
    """The item of RELEASE, as the registry's writes leave it; without what is given as `...`."""
    item = {
        **items.upload_item(UPLOAD),
        **items.registration_values("01JD", REGISTRATION),
        "status": "LIVE",
        "updatedAt": LATER,
        "reason": "a reason",
        "changedBy": "Grace",
        "history": [items.change_value(change) for change in RELEASE.history],
        "versions": {"128": "2", "256": "3"},
        "version": "3",
        "memoryMb": 256,
        "costUsdPerMillion": 1.5,
        "restarts": 2,
        **changed,
    }
    return {key: value for key, value in item.items() if value is not ...}


def test_an_upload_is_written_and_read_again() -> None:
    item = items.upload_item(UPLOAD)
    assert (item["pk"], item["sk"], item["inFlight"], item["versions"]) == ("RELEASE#01JD", "META", "IN_FLIGHT", {})
    assert items.upload_or_release(item) == UPLOAD


def test_a_release_is_written_and_read_again() -> None:
    item = release_item()
    assert items.upload_or_release(item) == RELEASE
    assert (item["ownerPk"], item["ownerSk"]) == ("ALGORITHM#nsx-in", "01JD")
    assert json.loads(item["metadata"])["powerValues"] == [256]


def test_a_row_is_a_release_without_what_only_its_own_page_shows() -> None:
    row = items.release_row({key: value for key, value in release_item().items() if key in items.RELEASE_ROW})
    assert row == ReleaseRow(**{name: getattr(RELEASE, name) for name in ReleaseRow.__dataclass_fields__})


def test_what_a_test_has_not_chosen_yet_is_none() -> None:
    release = items.upload_or_release(release_item(version=..., memoryMb=..., costUsdPerMillion=None, restarts=...))
    assert release == replace(RELEASE, version=None, memory_mb=None, cost_usd_per_million=None, restarts=0)


def test_what_an_older_platform_did_not_store_has_a_default() -> None:
    missing: dict[str, Any] = dict.fromkeys(("caseInputs", "costAtMostUsd", "author", "changedBy", "reason"), ...)
    release = items.upload_or_release(release_item(**missing, history=[{"status": "UPLOADING", "at": AT}]))
    assert release == replace(
        RELEASE,
        case_inputs={},
        cost_at_most_usd=None,
        author=None,
        changed_by=None,
        reason=None,
        history=(StatusChange(Status.UPLOADING, AT),),
    )


def test_stored_metadata_without_a_name_and_a_type_has_those_of_the_release() -> None:
    release = items.upload_or_release(release_item(metadata='{"num": 3}', type="out"))
    assert isinstance(release, Release)
    assert (release.metadata.name, release.metadata.type, release.metadata.num) == ("nsx-in", "out", 3)


@pytest.mark.parametrize(
    ("change", "value"),
    [
        (StatusChange(Status.LIVE, AT), {"status": "LIVE", "at": AT}),
        (StatusChange(Status.FAILED, AT, "why", "Ada"), {"status": "FAILED", "at": AT, "reason": "why", "by": "Ada"}),
    ],
)
def test_a_step_of_the_history_has_what_is_known_of_it(change: StatusChange, value: dict[str, str]) -> None:
    assert items.change_value(change) == value


ALGORITHM = Algorithm(
    name="nsx-in",
    type="in",
    updated_at=LATER,
    latest_release_id="01JE",
    live=LiveVersion("01JD", "3"),
    live_before=(LiveVersion("01JC", "2"), LiveVersion("01JB", "1")),
    memory_mb=256,
    cost_usd_per_million=1.5,
    next=("asa",),
    timeout_s=7,
    trend=(WentLive("01JB", AT), WentLive("01JD", LATER, 256, 1.5)),
)


def algorithm_item() -> dict[str, Any]:
    return {
        **items.algorithm_key("nsx-in"),
        "name": "nsx-in",
        "type": "in",
        "updatedAt": LATER,
        "latestReleaseId": "01JE",
    }


def test_what_an_algorithm_has_of_its_live_release_is_written_and_read_again() -> None:
    item = {
        **algorithm_item(),
        "liveReleaseId": "01JD",
        "live": items.live_value(RELEASE, ALGORITHM.live_before, ALGORITHM.trend),
    }
    assert items.algorithm(item) == ALGORITHM
    assert items.algorithm({key: value for key, value in item.items() if key in items.ALGORITHM_ROW}) == ALGORITHM


def test_an_algorithm_without_a_live_release_has_none_of_its_values() -> None:
    assert items.algorithm(algorithm_item()) == Algorithm(
        name="nsx-in", type="in", updated_at=LATER, latest_release_id="01JE"
    )


def test_an_algorithm_is_read_as_the_first_version_wrote_it() -> None:
    item = {
        **algorithm_item(),
        "liveReleaseId": "01JD",
        "liveVersion": "3",
        "liveBefore": [{"releaseId": "01JC", "version": "2"}, {"releaseId": "01JB", "version": "1"}],
        "memoryMb": 256,
        "costUsdPerMillion": 1.5,
        "next": ["asa"],
        "timeout": 7,
    }
    assert items.algorithm(item) == replace(ALGORITHM, trend=())
    assert set(item) - {"pk", "sk"} <= set(items.ALGORITHM_ROW)


def test_progress_is_added_up_for_each_power_value_in_the_order_of_its_batches() -> None:
    written = [
        items.progress_item("01JD", batch, progress)
        for batch, progress in [
            ("000#00000", Progress(256, 3, 5, 1, (1.5, 2.5))),
            ("000#00005", Progress(256, 2, 4, 0, (3.5,))),
            ("000#00000", Progress(128, 1, 9, 1)),
        ]
    ]
    assert [item["sk"] for item in written] == [
        "PROGRESS#00256#000#00000",
        "PROGRESS#00256#000#00005",
        "PROGRESS#00128#000#00000",
    ]
    assert {item["pk"] for item in written} == {"RELEASE#01JD"}
    del written[2]["durationsMs"]  # as the first version wrote it
    assert items.summed_progress(written) == [Progress(128, 1, 9, 1), Progress(256, 5, 9, 1, (1.5, 2.5, 3.5))]

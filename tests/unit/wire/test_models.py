"""One definition: strict in what it publishes, tolerant in what it reads."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from greenroom.package.archive import MAX_ZIP_BYTES
from greenroom.wire import models
from greenroom.wire.statuses import IN_FLIGHT, Status

RELEASE_ID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"

ANSWERS = [
    each
    for each in vars(models).values()
    if isinstance(each, type) and issubclass(each, models.Answer | models.Request)
]


def test_a_field_that_a_newer_platform_adds_is_kept_for_json_at_every_depth() -> None:
    document = {
        "releaseId": RELEASE_ID,
        "status": "LIVE",
        "colour": "green",
        "summary": {"powerValues": [{"memoryMb": 128, "meanMs": 1.5, "watt": 3}]},
    }
    release = models.Release.model_validate(document)
    assert release.to_json() == document
    assert release.summary and release.summary.power_values[0].mean_ms == 1.5


def test_a_field_that_an_older_platform_leaves_out_is_empty_and_does_not_appear_in_json() -> None:
    algorithm = models.Algorithm.model_validate({"name": "nsx-in"})
    assert algorithm.trend == []
    assert algorithm.live_version is None
    assert algorithm.to_json() == {"name": "nsx-in"}


def test_a_word_that_is_not_known_yet_is_read() -> None:
    assert models.ReleaseRow.model_validate({"releaseId": RELEASE_ID, "status": "ON_TOUR"}).status == "ON_TOUR"


@pytest.mark.parametrize("status", Status)
def test_a_release_has_ended_when_the_platform_has_nothing_to_do_for_it(status: Status) -> None:
    assert models.ReleaseRow(release_id=RELEASE_ID, status=status).ended is (status not in IN_FLIGHT)


def test_what_the_platform_says_of_the_end_counts_more_than_the_status() -> None:
    document = {"releaseId": RELEASE_ID, "status": "ON_TOUR", "ended": False}
    assert not models.ReleaseRow.model_validate(document).ended


def test_a_moment_is_written_with_milliseconds_and_a_z() -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, 60_000, tzinfo=UTC)
    written = models.StatusChange(status="LIVE", at=at).model_dump(mode="json")
    assert written["at"] == "2026-01-02T03:04:05.060Z"
    assert models.StatusChange.model_validate(written).at == at == models.moment(written["at"])


def test_what_is_published_says_that_every_field_is_sent_and_which_words_a_status_may_be() -> None:
    schema = models.Release.model_json_schema(mode="serialization")
    assert set(schema["required"]) == set(schema["properties"])
    assert schema["properties"]["status"]["enum"] == [*Status]
    assert schema["properties"]["createdAt"]["anyOf"][0] == {"type": "string", "format": "date-time"}


@pytest.mark.parametrize("model", ANSWERS, ids=lambda model: model.__name__)
def test_every_field_is_camel_case_on_the_wire_and_every_model_says_what_it_is_for(model: type[BaseModel]) -> None:
    schema = model.model_json_schema(mode="serialization")
    assert model.__doc__
    assert not [name for name in schema.get("properties", {}) if "_" in name or not name[0].islower()]


@pytest.mark.parametrize(
    "body",
    [
        {"fileName": "a.zip", "sizeBytes": 0},
        {"fileName": "a.zip", "sizeBytes": models.MAX_PACKAGE_BYTES + 1},
        {"fileName": "a.zip", "sizeBytes": "7"},
        {"fileName": "", "sizeBytes": 7},
        {"fileName": "a.zip"},
        {"fileName": "a.zip", "sizeBytes": 7, "colour": "green"},
    ],
    ids=str,
)
def test_a_request_is_strict(body: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        models.NewRelease.model_validate(body)


def test_the_largest_package_is_what_the_platform_reads() -> None:
    assert models.MAX_PACKAGE_BYTES == MAX_ZIP_BYTES

"""How releases and algorithms are stored: the names of the attributes, and writing and reading them. Does no I/O.

An item that an older version of Greenroom wrote is read too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, astuple
from typing import Any

from greenroom.package.metadata import StoredMetadata
from greenroom.releases.model import (
    Algorithm,
    LiveVersion,
    Progress,
    Registration,
    Rejection,
    Release,
    ReleaseRow,
    StatusChange,
    Upload,
    WentLive,
)
from greenroom.releases.statuses import Status

RELEASE_ROW = (
    *("releaseId", "status", "createdAt", "updatedAt", "fileName", "algorithm", "type", "reason", "packageSha256"),
    *("packageSizeBytes", "version", "memoryMb", "costUsdPerMillion", "author", "changedBy"),
)
"""Attributes projected in a list of releases (up to 200): parsing costs more than the query."""

ALGORITHM_ROW = (
    *("name", "type", "updatedAt", "latestReleaseId", "liveReleaseId", "live"),
    *("liveVersion", "liveBefore", "memoryMb", "costUsdPerMillion", "next", "timeout"),
)
"""The attributes of an algorithm in a list: everything except index keys. The live release's values are one JSON string
(`live`), because 500 rows are parsed at once."""

ALGORITHMS = "ALGORITHMS"
"""`ownerPk` of every algorithm."""

LOOK_KEY = {"pk": "PLATFORM", "sk": "LOOK"}
"""The primary key of what the sweeper saw."""

IN_FLIGHT_VALUE = "IN_FLIGHT"
"""`inFlight` of every upload and release that has not ended."""


def sign_in_key(code_sha256: str) -> dict[str, str]:
    """Return the primary key of what a one-time code stands for."""
    return {"pk": f"SIGN_IN#{code_sha256}", "sk": "META"}


def owner(name: str) -> str:
    """Return `ownerPk` of an algorithm's releases."""
    return f"ALGORITHM#{name}"


def release_key(release_id: str, part: str = "META") -> dict[str, str]:
    """Return the primary key of one of a release's items."""
    return {"pk": f"RELEASE#{release_id}", "sk": part}


def request_key(request_id: str) -> dict[str, str]:
    """Return the primary key of a client's request."""
    return {"pk": f"REQUEST#{request_id}", "sk": "REQUEST"}


def request_item(request_id: str, release_id: str, expires_at_s: int) -> dict[str, Any]:
    """Return the item of a request that began a release. DynamoDB deletes it by `expiresAtS`."""
    return {**request_key(request_id), "releaseId": release_id, "expiresAtS": expires_at_s}


def algorithm_key(name: str, part: str = "META") -> dict[str, str]:
    """Return the primary key of one of an algorithm's items."""
    return {"pk": f"ALGORITHM#{name}", "sk": part}


def upload_item(upload: Upload) -> dict[str, Any]:
    """Return the item of an upload that was allowed, in flight from now on."""
    return {
        **release_key(upload.release_id),
        "releaseId": upload.release_id,
        "status": upload.status.value,
        "fileName": upload.file_name,
        "createdAt": upload.created_at,
        "updatedAt": upload.updated_at,
        "inFlight": IN_FLIGHT_VALUE,
        "versions": {},
        "history": [change_value(change) for change in upload.history],
        "author": upload.author,
        "changedBy": upload.changed_by,
    }


def registration_values(release_id: str, registration: Registration) -> dict[str, Any]:
    """Return the attributes that registering adds to an upload's item."""
    metadata = registration.metadata
    return {
        "algorithm": metadata.name,
        "type": metadata.type,
        "metadata": metadata.model_dump_json(by_alias=True),
        "cases": list(registration.case_inputs),
        "caseInputs": dict(registration.case_inputs),
        "notCompared": list(registration.not_compared),
        "costAtMostUsd": registration.cost_at_most_usd,
        "packageKey": registration.package_key,
        "packageSha256": registration.package_sha256,
        "uploadSha256": registration.upload_sha256,
        "packageSizeBytes": registration.package_size_bytes,
        "ownerPk": owner(metadata.name),
        "ownerSk": release_id,
    }


def change_value(change: StatusChange) -> dict[str, str]:
    """Return a step of a release's history as its item holds it."""
    given = {"status": change.status.value, "at": change.at, "reason": change.reason, "by": change.by}
    return {key: value for key, value in given.items() if value}


def upload_or_release(item: Mapping[str, Any]) -> Upload | Release:
    """Read a release's item: a Release once its package has been registered, an Upload before."""
    history = tuple(
        StatusChange(Status(change["status"]), change["at"], change.get("reason"), change.get("by"))
        for change in item["history"]
    )
    if "algorithm" not in item:
        rejected = item.get("rejection")
        return Upload(**_uploaded(item), history=history, rejection=Rejection(**rejected) if rejected else None)
    stored = json.loads(item["metadata"])
    return Release(
        **_row(item),
        history=history,
        metadata=StoredMetadata.model_validate({"name": item["algorithm"], "type": item["type"], **stored}),
        cases=tuple(item["cases"]),
        case_inputs=dict(item.get("caseInputs", {})),
        cost_at_most_usd=_float(item.get("costAtMostUsd")),
        package_key=item["packageKey"],
        upload_sha256=item.get("uploadSha256"),
        not_compared=tuple(item.get("notCompared", ())),
        versions={int(mb): version for mb, version in item["versions"].items()},
        restarts=int(item.get("restarts", 0)),
    )


def rejection_values(rejection: Rejection) -> dict[str, Any]:
    """Return what a rejected upload's item holds of why it was rejected."""
    return {"rejection": asdict(rejection)}


def release_row(item: Mapping[str, Any]) -> ReleaseRow:
    """Read an item of which only RELEASE_ROW was asked for."""
    return ReleaseRow(**_row(item))


def _uploaded(item: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "release_id": item["releaseId"],
        "status": Status(item["status"]),
        "created_at": item["createdAt"],
        "updated_at": item["updatedAt"],
        "file_name": item["fileName"],
        "reason": item.get("reason"),
        "author": item.get("author"),
        "changed_by": item.get("changedBy"),
    }


def _row(item: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **_uploaded(item),
        "algorithm": item["algorithm"],
        "type": item["type"],
        "package_sha256": item["packageSha256"],
        "package_size_bytes": int(item["packageSizeBytes"]),
        "version": item.get("version"),
        "memory_mb": _int(item.get("memoryMb")),
        "cost_usd_per_million": _float(item.get("costUsdPerMillion")),
    }


def live_value(release: Release, live_before: Iterable[LiveVersion], trend: Iterable[WentLive]) -> str:
    """Return what an algorithm's item holds of its live release."""
    return json.dumps(
        {
            "liveVersion": release.version,
            "liveBefore": [{"releaseId": old.release_id, "version": old.version} for old in live_before],
            "memoryMb": release.memory_mb,
            "costUsdPerMillion": release.cost_usd_per_million,
            "next": release.metadata.next,
            "timeout": release.metadata.timeout,
            "trend": [astuple(point) for point in trend],
        }
    )


def algorithm(item: Mapping[str, Any]) -> Algorithm:
    """Read an algorithm's item, or one of which only ALGORITHM_ROW was asked for."""
    live_id = item.get("liveReleaseId")
    # A registry of the first version holds these values one by one.
    live = json.loads(item["live"]) if "live" in item else item
    return Algorithm(
        name=item["name"],
        type=item["type"],
        updated_at=item["updatedAt"],
        latest_release_id=item["latestReleaseId"],
        live=LiveVersion(live_id, live["liveVersion"]) if live_id else None,
        live_before=tuple(LiveVersion(old["releaseId"], old["version"]) for old in live.get("liveBefore", ())),
        memory_mb=_int(live.get("memoryMb")),
        cost_usd_per_million=_float(live.get("costUsdPerMillion")),
        next=tuple(live.get("next", ())),
        timeout_s=int(live.get("timeout", 0)),
        trend=tuple(WentLive(*point) for point in live.get("trend", ())),
    )


def progress_item(release_id: str, batch: str, progress: Progress) -> dict[str, Any]:
    """Return the item of how far a batch has come."""
    return {
        **release_key(release_id, f"PROGRESS#{progress.memory_mb:05d}#{batch}"),
        "memoryMb": progress.memory_mb,
        "done": progress.done,
        "total": progress.total,
        "failed": progress.failed,
        "durationsMs": list(progress.durations_ms),
    }


def summed_progress(items: Iterable[Mapping[str, Any]]) -> list[Progress]:
    """Read the items of batches, in their order, and add them up for each power value, ascending."""
    by_memory: dict[int, Progress] = {}
    for item in items:
        memory_mb = int(item["memoryMb"])
        sum_ = by_memory.get(memory_mb, Progress(memory_mb, 0, 0, 0))
        by_memory[memory_mb] = Progress(
            memory_mb,
            sum_.done + int(item["done"]),
            sum_.total + int(item["total"]),
            sum_.failed + int(item["failed"]),
            (*sum_.durations_ms, *map(float, item.get("durationsMs", ()))),
        )
    return [by_memory[memory_mb] for memory_mb in sorted(by_memory)]


def _int(value: Any) -> int | None:
    return None if value is None else int(value)


def _float(value: Any) -> float | None:
    return None if value is None else float(value)

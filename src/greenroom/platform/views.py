"""What the HTTP API shows: the registry's releases and algorithms, measurements, logs and queues, as JSON values."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from greenroom.platform import backstage, names
from greenroom.platform.services import Services
from greenroom.releases import Algorithm, Release

MAX_LOG_EVENTS = 10_000


def release_view(services: Services, release: Release) -> dict[str, Any]:
    """One release with what its test has found so far."""
    summary, progress = services.registry.findings(release.release_id)
    return {
        **release_row(release),
        "history": [
            {"status": change.status.value, "at": change.at} | ({"reason": change.reason} if change.reason else {})
            for change in release.history
        ],
        "metadata": release.metadata,
        "cases": list(release.cases),
        "versions": {str(memory_mb): version for memory_mb, version in sorted(release.versions.items())},
        "progress": [
            {"memoryMb": each.memory_mb, "done": each.done, "total": each.total, "failed": each.failed}
            for each in progress
        ],
        "costAtMostUsd": backstage.cost_at_most_usd(services, release) if release.metadata else None,
        "summary": summary,
    }


def release_row(release: Release) -> dict[str, Any]:
    """One release as a row of a list."""
    return {
        "releaseId": release.release_id,
        "algorithm": release.algorithm,
        "type": release.type,
        "status": release.status.value,
        "reason": release.reason,
        "fileName": release.file_name,
        "createdAt": release.created_at,
        "updatedAt": release.updated_at,
        "packageSha256": release.package_sha256,
        "packageSizeBytes": release.package_size_bytes,
        "version": release.version,
        "memoryMb": release.memory_mb,
        "costUsdPerMillion": release.cost_usd_per_million,
    }


def measurements_view(services: Services, release_id: str, memory_mb: int | None, limit: int) -> dict[str, Any]:
    """The measurements of a release's test, those of one power value if asked for."""
    rows = []
    for row in backstage.measurements(services, release_id):
        if memory_mb in (None, row.memory_mb):
            rows.append(row.to_dict())
        if len(rows) == limit:
            break
    return {"measurements": rows}


def logs_view(services: Services, release: Release, limit: int) -> dict[str, Any]:
    """The last log lines of a release's versions, in the order of time."""
    assert release.algorithm is not None  # noqa: S101 -- the caller has looked
    memory_by_stream = {f"[{version}]": memory_mb for memory_mb, version in release.versions.items()}
    created = datetime.fromisoformat(release.created_at)
    lines: list[dict[str, Any]] = []
    try:
        pages = services.logs.get_paginator("filter_log_events").paginate(
            logGroupName=names.log_group(services.function_name(release.algorithm)),
            startTime=int(created.timestamp() * 1_000),
            PaginationConfig={"MaxItems": MAX_LOG_EVENTS},
        )
        for page in pages:
            for event in page["events"]:
                stream = event.get("logStreamName", "")
                version = stream[stream.find("[") : stream.find("]") + 1]
                if version in memory_by_stream:
                    lines.append(
                        {
                            "at": _iso(event["timestamp"]),
                            "stream": stream,
                            "message": event["message"].rstrip("\n"),
                            "memoryMb": memory_by_stream[version],
                        }
                    )
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            raise
    lines.sort(key=lambda line: line["at"])
    return {"events": lines[-limit:]}


def algorithm_view(services: Services, algorithm: Algorithm) -> dict[str, Any]:
    """One algorithm with the status of its newest release."""
    latest = services.registry.release(algorithm.latest_release_id)
    return {
        "name": algorithm.name,
        "type": algorithm.type,
        "liveReleaseId": algorithm.live.release_id if algorithm.live else None,
        "liveVersion": algorithm.live.version if algorithm.live else None,
        "liveBefore": [{"releaseId": old.release_id, "version": old.version} for old in algorithm.live_before],
        "memoryMb": algorithm.memory_mb,
        "costUsdPerMillion": algorithm.cost_usd_per_million,
        "latestReleaseId": latest.release_id,
        "latestStatus": latest.status.value,
        "updatedAt": latest.updated_at,
        "next": list(algorithm.next),
    }


def status_view(services: Services) -> dict[str, Any]:
    """The platform at a glance: releases in flight, and what waits and rests in the queues."""
    settings = services.settings
    algorithms = services.registry.algorithms()
    queues = [_queue_view(services, settings["INGEST_DLQ"])]
    for algorithm in algorithms:
        queues.append(_queue_view(services, names.input_queue(settings.prefix, algorithm.name)))
        queues.append(_queue_view(services, names.dead_letter_queue(settings.prefix, algorithm.name)))
    present = [queue for queue in queues if queue is not None]
    return {
        "platform": {
            "version": settings["VERSION"],
            "region": settings.region,
            "accountId": settings.account_id,
            "prefix": settings.prefix,
        },
        "algorithms": len(algorithms),
        "releasesInFlight": [
            {"releaseId": release.release_id, "algorithm": release.algorithm, "status": release.status.value}
            for release in services.registry.in_flight()
        ],
        "queues": present,
        "deadLetters": sum(queue["visible"] for queue in present if queue["name"].endswith("-dlq")),
    }


def _queue_view(services: Services, name: str) -> dict[str, Any] | None:
    try:
        url = services.sqs.get_queue_url(QueueName=name)["QueueUrl"]
        attributes = services.sqs.get_queue_attributes(
            QueueUrl=url,
            AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
        )["Attributes"]
    except services.sqs.exceptions.QueueDoesNotExist:
        return None
    return {
        "name": name,
        "visible": int(attributes["ApproximateNumberOfMessages"]),
        "inFlight": int(attributes["ApproximateNumberOfMessagesNotVisible"]),
    }


def _iso(timestamp_ms: int) -> str:
    moment = datetime.fromtimestamp(timestamp_ms / 1_000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

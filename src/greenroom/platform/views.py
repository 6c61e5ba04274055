"""What the HTTP API shows: the registry's releases and algorithms, measurements, logs and queues, as JSON values."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from greenroom.platform import aws_errors, backstage, names
from greenroom.platform.failures import Failure
from greenroom.platform.services import Services
from greenroom.releases import Algorithm, Release, ReleaseRow, Status, Upload
from greenroom.tuning import compare, prices_for
from greenroom.wire.base import iso_utc

MAX_LOG_EVENTS = 10_000
MAX_CONNECTIONS = 10
"""As many as a boto3 client keeps open."""


def release_view(services: Services, release: Upload | Release) -> dict[str, Any]:
    """One release with what its test has found so far."""
    summary, progress = services.registry.findings(release.release_id)
    registered = release if isinstance(release, Release) else None
    return {
        **release_row(release),
        "history": [
            {"status": change.status.value, "at": change.at}
            | {key: value for key, value in {"reason": change.reason, "by": change.by}.items() if value}
            for change in release.history
        ],
        "metadata": registered and registered.metadata.model_dump(by_alias=True),
        "cases": list(registered.cases) if registered else [],
        "versions": {str(mb): version for mb, version in sorted(registered.versions.items())} if registered else {},
        "progress": [
            {
                "memoryMb": each.memory_mb,
                "done": each.done,
                "total": each.total,
                "failed": each.failed,
                "durationsMs": list(each.durations_ms),
            }
            for each in progress
        ],
        "costAtMostUsd": registered and registered.cost_at_most_usd,
        "summary": summary,
    }


def release_row(release: Upload | ReleaseRow) -> dict[str, Any]:
    """One release as a row of a list."""
    registered = release if isinstance(release, ReleaseRow) else None
    return {
        "releaseId": release.release_id,
        "algorithm": registered and registered.algorithm,
        "type": registered and registered.type,
        "status": release.status.value,
        "reason": release.reason,
        "fileName": release.file_name,
        "author": release.author,
        "changedBy": release.changed_by,
        "createdAt": release.created_at,
        "updatedAt": release.updated_at,
        "packageSha256": registered and registered.package_sha256,
        "packageSizeBytes": registered and registered.package_size_bytes,
        "version": registered and registered.version,
        "memoryMb": registered and registered.memory_mb,
        "costUsdPerMillion": registered and registered.cost_usd_per_million,
    }


def comparison_view(services: Services, release: Upload | Release, other: Upload | Release) -> dict[str, Any]:
    """Two releases beside each other, each at the power value chosen for it.

    `comparison` is null where one of them was not measured to its end, or they have no test case in common.
    """
    found = None
    measured = [each for each in (release, other) if isinstance(each, Release) and each.memory_mb]
    if len(measured) == 2:
        sides = [
            [row for row in backstage.measurements(services, each.release_id) if row.memory_mb == each.memory_mb]
            for each in measured
        ]
        found = compare(sides[0], sides[1], prices_for(services.settings.region, measured[0].metadata.architecture))
    comparison = None
    if found:
        duration, cost = found.duration.words("slower", "faster"), found.cost.words("dearer", "cheaper")
        comparison = {**found.to_dict(), "sentence": f"It is {duration} and {cost}."}
    return {"releases": [release_row(release), release_row(other)], "comparison": comparison}


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
        if not aws_errors.is_absent(error):
            raise
    lines.sort(key=lambda line: line["at"])
    return {"events": lines[-limit:]}


def algorithm_views(services: Services, algorithms: Sequence[Algorithm]) -> list[dict[str, Any]]:
    """Algorithms with the status of the newest release of each."""
    newest = services.registry.newest_statuses(algorithms)
    return [_algorithm_view(each, *newest[each.name]) for each in algorithms]


def _algorithm_view(algorithm: Algorithm, status: Status, since: str) -> dict[str, Any]:
    return {
        "name": algorithm.name,
        "type": algorithm.type,
        "liveReleaseId": algorithm.live.release_id if algorithm.live else None,
        "liveVersion": algorithm.live.version if algorithm.live else None,
        "liveBefore": [{"releaseId": old.release_id, "version": old.version} for old in algorithm.live_before],
        "memoryMb": algorithm.memory_mb,
        "costUsdPerMillion": algorithm.cost_usd_per_million,
        "latestReleaseId": algorithm.latest_release_id,
        "latestStatus": status.value,
        "updatedAt": since,
        "next": list(algorithm.next),
        "trend": [
            {
                "releaseId": point.release_id,
                "at": point.at,
                "memoryMb": point.memory_mb,
                "costUsdPerMillion": point.cost_usd_per_million,
            }
            for point in algorithm.trend
        ],
    }


def queues_view(services: Services, name: str) -> dict[str, Any]:
    """What waits in an algorithm's input queue and rests in its dead-letter queue; null where there is none yet."""
    prefix = services.settings.prefix
    return {
        "input": _queue_view(services, names.input_queue(prefix, name)),
        "deadLetters": _queue_view(services, names.dead_letter_queue(prefix, name)),
    }


def failure_view(failure: Failure) -> dict[str, Any]:
    """One message that rests in a dead-letter queue."""
    return {
        "failureId": failure.failure_id,
        "messageId": failure.message_id,
        "releaseId": failure.release_id,
        "reason": failure.reason,
        "since": _iso(failure.since_ms),
        "contentType": failure.content_type,
        "sizeBytes": failure.size_bytes,
        "document": failure.document,
        "cut": failure.cut,
        "url": failure.url,
        "to": failure.to,
    }


def status_view(services: Services) -> dict[str, Any]:
    """The platform at a glance: releases in flight, and what waits and rests in the queues."""
    settings = services.settings
    algorithms = services.registry.algorithms()
    queue_names = [settings["INGEST_DLQ"]]
    for algorithm in algorithms:
        queue_names.append(names.input_queue(settings.prefix, algorithm.name))
        queue_names.append(names.dead_letter_queue(settings.prefix, algorithm.name))
    with ThreadPoolExecutor(MAX_CONNECTIONS) as threads:
        queues = threads.map(lambda name: _queue_view(services, name), queue_names)
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
            {
                "releaseId": release.release_id,
                "algorithm": release.algorithm if isinstance(release, Release) else None,
                "status": release.status.value,
            }
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
    return iso_utc(datetime.fromtimestamp(timestamp_ms / 1_000, UTC))

"""Releases and algorithms as the HTTP API shows them: the models of `wire`, from the registry, S3 and the logs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime

from botocore.exceptions import ClientError

from greenroom.platform import aws_errors, findings, measurements, names
from greenroom.platform.services import Services
from greenroom.releases import Algorithm, Progress, Release, ReleaseRow, Status, Upload
from greenroom.tuning import compare, prices_for
from greenroom.wire import models

MAX_LOG_EVENTS = 10_000


def release_of(services: Services, release: Upload | Release) -> models.Release:
    """Return a release with what its test has found so far."""
    found, progress = services.registry.findings(release.release_id)
    summary = models.Summary.model_validate(found) if found else None
    registered = release if isinstance(release, Release) else None
    return models.Release(
        **dict(release_row(release)),
        history=[
            models.StatusChange(status=change.status, at=models.moment(change.at), reason=change.reason, by=change.by)
            for change in release.history
        ],
        problem=_problem_of(release, summary),
        metadata=registered.metadata.model_dump(mode="json", by_alias=True) if registered else None,
        power_values=[*registered.metadata.listed_mb] if registered else [],
        cases=[*registered.cases] if registered else [],
        not_compared=[*registered.not_compared] if registered else [],
        versions={str(size): version for size, version in sorted(registered.versions.items())} if registered else {},
        progress=[_progress_of(each) for each in progress],
        upload_sha256=registered.upload_sha256 if registered else None,
        cost_at_most_usd=registered.cost_at_most_usd if registered else None,
        summary=summary,
    )


def _problem_of(release: Upload | Release, summary: models.Summary | None) -> models.Problem | None:
    if isinstance(release, Upload) and release.rejection:
        return models.package_problem(models.Problem(**asdict(release.rejection)))
    return models.release_problem(release.status, release.reason, summary)


def release_row(release: Upload | ReleaseRow) -> models.ReleaseRow:
    """Return a release as a row of a list."""
    registered = release if isinstance(release, ReleaseRow) else None
    return models.ReleaseRow(
        release_id=release.release_id,
        algorithm=registered.algorithm if registered else None,
        type=registered.type if registered else None,
        status=release.status,
        reason=release.reason,
        file_name=release.file_name,
        author=release.author,
        changed_by=release.changed_by,
        created_at=models.moment(release.created_at),
        updated_at=models.moment(release.updated_at),
        package_sha256=registered.package_sha256 if registered else None,
        package_size_bytes=registered.package_size_bytes if registered else None,
        version=registered.version if registered else None,
        memory_mb=registered.memory_mb if registered else None,
        cost_usd_per_million=registered.cost_usd_per_million if registered else None,
    )


def comparison_of(services: Services, release: Upload | Release, other: Upload | Release) -> models.ReleaseComparison:
    """Return two releases compared, each at the memory size chosen for it.

    There is no comparison if one of them was not measured to its end, or if they have no test case in common.
    """
    rows = [release_row(release), release_row(other)]
    measured = [each for each in (release, other) if isinstance(each, Release) and each.memory_mb]
    if len(measured) < 2:
        return models.ReleaseComparison(releases=rows)
    sides = [
        [row for row in measurements.of_release(services, each.release_id).read() if row.memory_mb == each.memory_mb]
        for each in measured
    ]
    found = compare(sides[0], sides[1], prices_for(services.settings.region, measured[0].metadata.architecture))
    if found is None:
        return models.ReleaseComparison(releases=rows)
    duration, cost = found.duration.words("slower", "faster"), found.cost.words("more expensive", "cheaper")
    sentence = f"The first is {duration} and {cost}."
    compared = findings.comparison_of(found).model_copy(update={"sentence": sentence})
    return models.ReleaseComparison(releases=rows, comparison=compared)


def measurements_of(services: Services, release_id: str, memory_mb: int | None, limit: int) -> models.MeasurementList:
    """Return the first measurements of a release's test; only those of one memory size if it is given."""
    rows = []
    for made in measurements.of_release(services, release_id).read():
        if memory_mb in (None, made.memory_mb):
            rows.append(findings.measurement_row(made))
        if len(rows) == limit:
            break
    return models.MeasurementList(measurements=rows)


def logs_of(services: Services, release: Upload | Release, limit: int) -> models.LogEvents:
    """Return the last log lines of a release's versions, in the order of time; none of an upload."""
    if isinstance(release, Upload):
        return models.LogEvents()
    lines = sorted(_log_events(services, release), key=lambda line: line.at or datetime.min.replace(tzinfo=UTC))
    return models.LogEvents(events=lines[-limit:])


def _log_events(services: Services, release: Release) -> Iterator[models.LogEvent]:
    memory_by_stream = {f"[{version}]": memory_mb for memory_mb, version in release.versions.items()}
    created = datetime.fromisoformat(release.created_at)
    try:
        pages = services.logs.get_paginator("filter_log_events").paginate(
            logGroupName=names.log_group(services.function_name(release.algorithm)),
            startTime=int(created.timestamp() * 1_000),
            PaginationConfig={"MaxItems": MAX_LOG_EVENTS},
        )
        for event in (event for page in pages for event in page["events"]):
            stream = event.get("logStreamName", "")
            version = stream[stream.find("[") : stream.find("]") + 1]
            if version in memory_by_stream:
                yield models.LogEvent(
                    at=datetime.fromtimestamp(event["timestamp"] / 1_000, UTC),
                    stream=stream,
                    message=event["message"].rstrip("\n"),
                    memory_mb=memory_by_stream[version],
                )
    except ClientError as error:
        if not aws_errors.is_absent(error):
            raise


def algorithms_of(services: Services, algorithms: Sequence[Algorithm]) -> list[models.Algorithm]:
    """Return algorithms with the status of the newest release of each."""
    newest = services.registry.newest_statuses(algorithms)
    return [_algorithm_of(each, *newest[each.name]) for each in algorithms]


def _algorithm_of(algorithm: Algorithm, status: Status, since: str) -> models.Algorithm:
    live = algorithm.live
    return models.Algorithm(
        name=algorithm.name,
        type=algorithm.type,
        live_release_id=live.release_id if live else None,
        live_version=live.version if live else None,
        live_before=[
            models.ServedVersion(release_id=before.release_id, version=before.version)
            for before in algorithm.live_before
        ],
        memory_mb=algorithm.memory_mb,
        cost_usd_per_million=algorithm.cost_usd_per_million,
        latest_release_id=algorithm.latest_release_id,
        latest_status=status,
        updated_at=models.moment(since),
        next=[*algorithm.next],
        trend=[
            models.TrendPoint(
                release_id=point.release_id,
                at=models.moment(point.at),
                memory_mb=point.memory_mb,
                cost_usd_per_million=point.cost_usd_per_million,
            )
            for point in algorithm.trend
        ],
    )


def _progress_of(progress: Progress) -> models.Progress:
    return models.Progress(
        memory_mb=progress.memory_mb,
        done=progress.done,
        total=progress.total,
        failed=progress.failed,
        durations_ms=[*progress.durations_ms],
    )

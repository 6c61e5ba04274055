"""The queues as the HTTP API shows them, and the platform at a glance.

How old the oldest message in a queue is, SQS does not say; only CloudWatch does, minutes later. So it is not shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from greenroom.platform import names
from greenroom.platform.services import Services
from greenroom.releases import Upload
from greenroom.releases.look import Counted, Depth, Look
from greenroom.wire import models
from greenroom.wire.base import iso_utc

MAX_CONNECTIONS = 10
"""The number of connections that a boto3 client keeps open."""

COUNTED_NOW = 10
"""Of how many algorithms `GET /status` counts the queues itself: two requests to SQS each."""


def of_algorithm(services: Services, name: str) -> models.AlgorithmQueues:
    """Return how much is in an algorithm's queues; None for a queue that its stack does not have yet."""
    waiting, dead = (next(_shown(services, queue), None) for queue in _queues_of(services, name))
    return models.AlgorithmQueues(input=waiting, dead_letters=dead)


def status(services: Services) -> models.PlatformStatus:
    """Return the platform at a glance: releases in flight, how much is in all queues, and what is not as it should be.

    Where there are many algorithms, most queues are shown as the sweeper last counted them, with the time: counted now
    are those in which there was something, or which it has not counted yet.
    """
    settings = services.settings
    algorithms = services.registry.algorithm_names()
    look = services.registry.look() or Look("")
    now = iso_utc(datetime.now(UTC))
    found = {**look.counted, **count(services, _counted_now(algorithms, look), now)}
    queues = [
        *_shown(services, models.Queue(name=settings["INGEST_DLQ"], kind="failedUploads")),
        *(queue for name in algorithms if name in found for queue in _queues(services, name, found[name], now)),
    ]
    return models.PlatformStatus(
        platform=models.Platform(
            version=settings["VERSION"],
            region=settings.region,
            account_id=settings.account_id,
            prefix=settings.prefix,
        ),
        algorithms=len(algorithms),
        releases_in_flight=[*_in_flight(services)],
        queues=queues,
        dead_letters=sum(queue.visible for queue in queues if queue.kind != "input"),
        differences=[
            models.Difference(algorithm=name, message=message, since=models.moment(each.since))
            for name, each in look.found.items()
            for message in each.differences
        ],
        compared_at=models.moment(look.at) if look.at else None,
    )


def _counted_now(algorithms: list[str], look: Look) -> list[str]:
    if len(algorithms) <= COUNTED_NOW:
        return algorithms
    new = [name for name in algorithms if name not in look.counted]
    return [*new, *(name for name, each in look.counted.items() if _is_waiting(each))][:COUNTED_NOW]


def _is_waiting(counted: Counted) -> bool:
    return any(depth is not None and (depth.visible or depth.in_flight) for depth in (counted.waiting, counted.dead))


def count(services: Services, algorithms: Sequence[str], at: str) -> dict[str, Counted]:
    """Count what is in the queues of these algorithms, at this time (ISO 8601)."""
    prefix = services.settings.prefix
    wanted = [queue(prefix, name) for name in algorithms for queue in (names.input_queue, names.dead_letter_queue)]
    with ThreadPoolExecutor(MAX_CONNECTIONS) as threads:
        depths = [*threads.map(lambda queue: _depth(services, queue), wanted)]
    return {
        name: Counted(at, waiting, dead)
        for name, waiting, dead in zip(algorithms, depths[::2], depths[1::2], strict=True)
    }


def _queues(services: Services, name: str, counted: Counted, now: str) -> Iterator[models.Queue]:
    at = None if counted.at == now else models.moment(counted.at)
    for queue, depth in zip(_queues_of(services, name), (counted.waiting, counted.dead), strict=True):
        if depth is not None:
            about = {"visible": depth.visible, "in_flight": depth.in_flight, "counted_at": at}
            yield queue.model_copy(update=about)


def _in_flight(services: Services) -> Iterator[models.ReleaseInFlight]:
    for release in services.registry.in_flight():
        algorithm = None if isinstance(release, Upload) else release.algorithm
        yield models.ReleaseInFlight(release_id=release.release_id, algorithm=algorithm, status=release.status)


def _queues_of(services: Services, name: str) -> tuple[models.Queue, models.Queue]:
    prefix = services.settings.prefix
    return (
        models.Queue(name=names.input_queue(prefix, name), kind="input", algorithm=name),
        models.Queue(name=names.dead_letter_queue(prefix, name), kind="deadLetters", algorithm=name),
    )


def _shown(services: Services, queue: models.Queue) -> Iterator[models.Queue]:
    """Yield a queue with how much is in it; nothing where there is no such queue."""
    depth = _depth(services, queue.name)
    if depth is not None:
        yield queue.model_copy(update={"visible": depth.visible, "in_flight": depth.in_flight})


def _depth(services: Services, queue: str) -> Depth | None:
    """Count what is in a queue; None where there is no such queue.

    Its address follows from that of the platform's own queue, which saves a request for each.
    """
    base = services.settings["INGEST_QUEUE_URL"].rsplit("/", 1)[0]
    try:
        attributes = services.sqs.get_queue_attributes(
            QueueUrl=f"{base}/{queue}",
            AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
        )["Attributes"]
    except services.sqs.exceptions.QueueDoesNotExist:
        return None
    return Depth(
        int(attributes["ApproximateNumberOfMessages"]), int(attributes["ApproximateNumberOfMessagesNotVisible"])
    )

"""The queues as the HTTP API shows them, and the platform at a glance.

How old the oldest message in a queue is, SQS does not say; only CloudWatch does, minutes later. So it is not shown.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from greenroom.platform import names
from greenroom.platform.services import Services
from greenroom.releases import Upload
from greenroom.wire import models

MAX_CONNECTIONS = 10
"""The number of connections that a boto3 client keeps open."""


def of_algorithm(services: Services, name: str) -> models.AlgorithmQueues:
    """Return how much is in an algorithm's queues; None for a queue that its stack does not have yet."""
    waiting, dead = _queues_of(services, name)
    return models.AlgorithmQueues(input=_counted(services, waiting), dead_letters=_counted(services, dead))


def status(services: Services) -> models.PlatformStatus:
    """Return the platform at a glance: releases in flight, and how much is in all queues."""
    settings = services.settings
    algorithms = services.registry.algorithms()
    wanted = [models.Queue(name=settings["INGEST_DLQ"], kind="failedUploads")]
    for algorithm in algorithms:
        wanted += _queues_of(services, algorithm.name)
    with ThreadPoolExecutor(MAX_CONNECTIONS) as threads:
        queues = [queue for queue in threads.map(lambda queue: _counted(services, queue), wanted) if queue]
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
    )


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


def _counted(services: Services, queue: models.Queue) -> models.Queue | None:
    """Return a queue with how much is in it; None where there is no such queue."""
    try:
        url = services.sqs.get_queue_url(QueueName=queue.name)["QueueUrl"]
        attributes = services.sqs.get_queue_attributes(
            QueueUrl=url,
            AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
        )["Attributes"]
    except services.sqs.exceptions.QueueDoesNotExist:
        return None
    visible = int(attributes["ApproximateNumberOfMessages"])
    in_flight = int(attributes["ApproximateNumberOfMessagesNotVisible"])
    return queue.model_copy(update={"visible": visible, "in_flight": in_flight})

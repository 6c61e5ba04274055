"""What an event source mapping may be: its settings, checked as Lambda checks them, and its record.

Sources of the messages: `tests/aws/services/lambda_/test_lambda_api.snapshot.json` and
`event_source_mapping/*.snapshot.json` of https://github.com/localstack/localstack. Sources of the limits:
https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from greenroom.lambda_api.errors import LambdaError, invalid, unsupported
from greenroom.lambda_api.invoke.sources import filters

SQS, STREAM = "sqs", "dynamodb"

BATCH_SIZE = {SQS: 10, STREAM: 100}
"""The default batch size of each source."""

MAX_BATCH_SIZE = 10_000
MAX_FIFO_BATCH_SIZE = 10
MAX_UNWINDOWED_BATCH_SIZE = 10
"""How many messages of a queue a batch may have without a batching window."""

MAX_WINDOW_S = 300
MAX_RETRIES = 10_000
RECORD_AGE_S = (60, 604_800)
MAX_LANES = 10
CONCURRENCY = (2, 1_000)

SHARED = ("BatchSize", "MaximumBatchingWindowInSeconds", "FunctionResponseTypes", "FilterCriteria")
OF_STREAMS = (
    "BisectBatchOnFunctionError",
    "DestinationConfig",
    "MaximumRecordAgeInSeconds",
    "MaximumRetryAttempts",
    "ParallelizationFactor",
)
OF_QUEUES = ("ScalingConfig",)

NOT_SERVED = {
    "AmazonManagedKafkaEventSourceConfig": "Kafka",
    "SelfManagedKafkaEventSourceConfig": "Kafka",
    "SelfManagedEventSource": "Kafka",
    "DocumentDBEventSourceConfig": "DocumentDB",
    "Queues": "Amazon MQ",
    "Topics": "Kafka",
    "SourceAccessConfigurations": "sources with credentials",
    "ProvisionedPollerConfig": "provisioned pollers",
    "MetricsConfig": "metrics of event sources",
    "KMSKeyArn": "encrypted filters",
    "LoggingConfig": "logs of event sources",
}
"""What this machine does not have, by the parameter that asks for it."""


def source_of(arn: str) -> str:
    """Return which kind of source an ARN names. Raises LambdaError if it is none that is read here."""
    parts = arn.split(":")
    service = parts[2] if len(parts) >= 6 else ""
    if service == "sqs" or (service == "dynamodb" and "/stream/" in arn):
        return service
    if service in ("kinesis", "kafka", "mq", "rds", "docdb"):
        raise unsupported(f"event sources of {service} are not read here: SQS queues and DynamoDB streams are")
    raise invalid("Unrecognized event source.")


def settings(asked: Mapping[str, Any], source: str, *, fifo: bool) -> dict[str, Any]:
    """Return the settings of a new mapping, with Lambda's defaults. Raises LambdaError."""
    found: dict[str, Any] = {
        "BatchSize": BATCH_SIZE[source],
        "MaximumBatchingWindowInSeconds": 0,
        "FunctionResponseTypes": [],
    }
    if source == STREAM:
        found |= {
            "BisectBatchOnFunctionError": False,
            "DestinationConfig": {"OnFailure": {}},
            "MaximumRecordAgeInSeconds": -1,
            "MaximumRetryAttempts": -1,
            "ParallelizationFactor": 1,
            "TumblingWindowInSeconds": 0,
        }
    return changed(found, asked, source, fifo=fifo)


def changed(before: Mapping[str, Any], asked: Mapping[str, Any], source: str, *, fifo: bool) -> dict[str, Any]:
    """Return settings as they are after a change. Raises LambdaError."""
    check_served(asked)
    _check_fits(asked, source)
    after = dict(before)
    for name in (*SHARED, *(OF_STREAMS if source == STREAM else OF_QUEUES)):
        if asked.get(name) is not None:
            after[name] = asked[name]
    if source == STREAM and not (after["DestinationConfig"] or {}).get("OnFailure"):
        after["DestinationConfig"] = {"OnFailure": {}}
    _settle_filters(after)
    if not after.get("ScalingConfig"):
        after.pop("ScalingConfig", None)
    _check_batches(after, source, fifo=fifo)
    _check_ranges(after)
    return after


def starting_position(asked: Mapping[str, Any], source: str, arn: str) -> dict[str, Any]:
    """Return where a stream is read from. Raises LambdaError."""
    position = asked.get("StartingPosition")
    if source == SQS:
        return {}
    if position is None:
        raise invalid(
            "1 validation error detected: Value null at 'startingPosition' failed to satisfy constraint: "
            "Member must not be null."
        )
    if position == "AT_TIMESTAMP":
        raise invalid(f"Unsupported starting position for arn type: {arn}")
    return {"StartingPosition": position}


def duplicate(source: str, arn: str, name: str, uuid: str) -> LambdaError:
    """Return the error for a mapping that exists already."""
    if source == SQS:
        message = f'An event source mapping with SQS arn (" {arn} ") and function (" {name} ") already exists.'
    else:
        message = f'The event source arn (" {arn} ") and function (" {name} ") provided mapping already exists.'
    return LambdaError(
        "ResourceConflictException",
        f"{message} Please update or delete the existing mapping with UUID {uuid}",
        409,
    )


def patterns(mapping: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Return the filter patterns of a mapping."""
    return [filters.parsed(each["Pattern"]) for each in (mapping.get("FilterCriteria") or {}).get("Filters") or ()]


def check_served(asked: Mapping[str, Any]) -> None:
    """Raise LambdaError if a mapping asks for what this machine does not have."""
    for name, what in NOT_SERVED.items():
        if asked.get(name):
            raise unsupported(f"{what} ({name}) are not served")
    if asked.get("TumblingWindowInSeconds"):
        raise unsupported("tumbling windows (TumblingWindowInSeconds) are not served")


def _check_fits(asked: Mapping[str, Any], source: str) -> None:
    destinations = asked.get("DestinationConfig") or {}
    if destinations.get("OnSuccess") or (source == SQS and destinations.get("OnFailure")):
        raise invalid("Unsupported DestinationConfig parameter for given event source mapping type.")
    for name in OF_STREAMS if source == SQS else OF_QUEUES:
        if name != "DestinationConfig" and asked.get(name):
            raise invalid(f"Unsupported {name} parameter for given event source mapping type.")


def _settle_filters(after: dict[str, Any]) -> None:
    found = (after.get("FilterCriteria") or {}).get("Filters") or []
    if len(found) > filters.MAX_FILTERS:
        raise invalid(f"A maximum of {filters.MAX_FILTERS} filters can be specified.")
    for each in found:
        try:
            filters.parsed(each.get("Pattern"))
        except filters.BadPattern as error:
            raise invalid("Invalid filter pattern definition.") from error
    if found:
        after["FilterCriteria"] = {"Filters": found}
    else:
        after.pop("FilterCriteria", None)


def _check_batches(after: Mapping[str, Any], source: str, *, fifo: bool) -> None:
    size, window_s = after["BatchSize"], after["MaximumBatchingWindowInSeconds"]
    if fifo and size > MAX_FIFO_BATCH_SIZE:
        raise invalid(f"BatchSize must be less than or equal to {MAX_FIFO_BATCH_SIZE} for FIFO queues.")
    if fifo and window_s:
        raise invalid("Batching window is not supported for FIFO queues.")
    if source == SQS and size > MAX_UNWINDOWED_BATCH_SIZE and not window_s:
        raise invalid("Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10")


def _check_ranges(after: Mapping[str, Any]) -> None:
    """Check the ranges that the API's model has not, or has looser than the source takes."""
    age = after.get("MaximumRecordAgeInSeconds", -1)
    if age != -1 and not RECORD_AGE_S[0] <= age <= RECORD_AGE_S[1]:
        raise invalid(
            f"MaximumRecordAgeInSeconds must be -1 or between {RECORD_AGE_S[0]} and {RECORD_AGE_S[1]} seconds."
        )

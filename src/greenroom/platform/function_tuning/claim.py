"""Who tunes a function at present, and what the function was like before: one tuning at a time works on it."""

from __future__ import annotations

import json

from botocore.exceptions import ClientError
from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from greenroom.platform import aws_errors, names, storage
from greenroom.platform.functions import Configuration
from greenroom.platform.services import Services

MAX_CLAIM_BYTES = 64 * 1024


class TuningFailed(RuntimeError):
    """The tuning ends without a recommendation; the message says why."""


class Claim(BaseModel):
    """The tuning that works on a function, and the memory in MB and the description that `$LATEST` gets back."""

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, validate_by_alias=True, frozen=True)

    tuning_id: str
    memory_mb: int
    description: str


def take(services: Services, tuning_id: str, function: str, found: Configuration) -> Claim:
    """Claim a function for a tuning. Return the claim that was there, or the new one.

    The claim of a tuning that was killed is taken over, with what it says the function was like. Raises TuningFailed
    while another tuning works on the function.
    """
    key, bucket = _key(function), services.packages_bucket
    claim = Claim(tuning_id=tuning_id, memory_mb=found.memory_mb, description=found.description)
    try:
        services.s3.put_object(Bucket=bucket, Key=key, Body=_body(claim), IfNoneMatch="*")
        return claim
    except ClientError as error:
        if not aws_errors.is_taken(error):
            raise
    answer = services.s3.get_object(Bucket=bucket, Key=key)
    there = Claim.model_validate(json.loads(answer["Body"].read(MAX_CLAIM_BYTES)))
    if there.tuning_id == tuning_id:
        return there
    if _runs(services, there.tuning_id):
        raise TuningFailed(f"function {function} is being tuned by {there.tuning_id}: try again when that has ended")
    mine = there.model_copy(update={"tuning_id": tuning_id})
    try:
        services.s3.put_object(Bucket=bucket, Key=key, Body=_body(mine), IfMatch=answer["ETag"])
    except ClientError as error:
        if not aws_errors.is_taken(error):
            raise
        raise TuningFailed(f"function {function} was taken by another tuning just now: try again later") from None
    return there


def of(services: Services, function: str) -> Claim | None:
    """Return the claim on a function; None if nobody tunes it."""
    try:
        document = storage.read_json(services.s3, services.packages_bucket, _key(function), max_bytes=MAX_CLAIM_BYTES)
    except KeyError:
        return None
    return Claim.model_validate(document)


def change(services: Services, function: str, claim: Claim) -> None:
    """Replace the claim on a function by that of the same tuning."""
    storage.write_json(services.s3, services.packages_bucket, _key(function), claim.model_dump(by_alias=True))


def release(services: Services, function: str) -> None:
    """Give the function up."""
    services.s3.delete_object(Bucket=services.packages_bucket, Key=_key(function))


def _runs(services: Services, tuning_id: str) -> bool:
    """Return whether a tuning is under way. One of a state machine that is gone is not."""
    arn = names.execution_arn(services.settings["FUNCTION_TUNING_ARN"], tuning_id)
    try:
        return services.states.describe_execution(executionArn=arn)["status"] == "RUNNING"
    except services.states.exceptions.ExecutionDoesNotExist:
        return False


def _key(function: str) -> str:
    return f"tunings/.functions/{function}.json"


def _body(claim: Claim) -> bytes:
    return claim.model_dump_json(by_alias=True).encode()

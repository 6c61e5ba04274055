"""What one function tuning was asked, and the function as it was found: checked once, and kept for the steps."""

from __future__ import annotations

import json
import re
from functools import cached_property
from typing import Any

from botocore.exceptions import ClientError
from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from greenroom.platform import aws_errors, cost_bounds, specs, storage
from greenroom.platform.function_tuning.input import S3_ADDRESS, FunctionName, InputError, Payloads, TuningInput
from greenroom.platform.functions import Configuration
from greenroom.platform.services import Services
from greenroom.tuning import TestSpec, prices_for
from greenroom.tuning.prices import Architecture

TUNING_ID = re.compile(r"[A-Za-z0-9_-]{1,80}")
"""The names that executions of Step Functions may have; here they are parts of keys."""

MAX_JOB_BYTES = 16 * 1024 * 1024
"""The most that is read of a job: a payload in S3 may have 6 MB, and JSON escapes it."""

MAX_PAYLOAD_BYTES = 6 * 1024 * 1024
"""https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html (synchronous invocation)"""

MAX_TIMEOUT_S = 900
"""The longest that a function may run, and the longest that an executor can."""


class Job(BaseModel):
    """One function tuning.

    `input` is what was asked, without the payload, which `payloads` and `weights` hold as it is sent. `timeout_s`,
    `architecture` and `ephemeral_storage_mb` are the function's.
    """

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, validate_by_alias=True, frozen=True)

    tuning_id: str
    function: str
    input: dict[str, Any]
    payloads: dict[str, str]
    weights: dict[str, int | float]
    timeout_s: int
    region: str
    architecture: Architecture
    ephemeral_storage_mb: int
    cost_at_most_usd: float = 0.0

    @cached_property
    def asked(self) -> TuningInput:
        """What was asked."""
        return TuningInput.parse(self.input)

    @cached_property
    def spec(self) -> TestSpec:
        """What the test is. A pause between two invocations counts as part of the first."""
        asked, payloads = self.asked, Payloads(self.payloads, self.weights)
        pause_s = -(-asked.sleep_between_runs_ms // 1000)
        return TestSpec(
            cases=payloads.cases(asked),
            power_values=asked.listed_mb if asked.is_adaptive else asked.sizes_mb,
            num=1 if asked.dry_run else asked.num,
            timeout_s=min(MAX_TIMEOUT_S, self.timeout_s + pause_s),
            prices=prices_for(self.region, self.architecture, ephemeral_storage_mb=self.ephemeral_storage_mb),
            search="adaptive" if asked.is_adaptive else "fixed",
            strategy=asked.objective,
            balanced_weight=asked.balanced_weight,
            constraints=specs.constraints_of(asked),
            averaging=payloads.averaging(asked),
            tolerance=asked.tolerance,
            max_expected_loss=asked.max_expected_loss,
            budget_usd=asked.budget_usd,
        )


def prefix(tuning_id: str) -> str:
    """Return the prefix of a tuning's keys."""
    return f"tunings/{tuning_id}/"


def accept(services: Services, tuning_id: str, document: Any) -> tuple[Job, Configuration]:
    """Check an input, and return the job with the function's configuration.

    Raises InputError if it can't be done as asked.
    """
    if not TUNING_ID.fullmatch(tuning_id):
        raise InputError(f"the execution is called {tuning_id[:100]!r}: up to 80 letters, digits, - and _ are needed")
    asked = TuningInput.parse(document)
    function = own_function(services, asked.lambda_arn, "lambdaARN").name
    for field, arn in (("preProcessorARN", asked.pre_processor_arn), ("postProcessorARN", asked.post_processor_arn)):
        if arn:
            own_function(services, arn, field)
    found = _found(services, function)
    # Without a payload an event is an empty object, as Lambda makes it.
    payloads = Payloads.parse(
        _payload_s3(services, asked.payload_s3) if asked.payload_s3 else document.get("payload", {})
    )
    job = Job(
        tuning_id=tuning_id,
        function=function,
        input={key: value for key, value in document.items() if key not in ("payload", "payloadS3")},
        payloads=payloads.bodies,
        weights=payloads.weights,
        timeout_s=found.timeout_s,
        region=services.settings.region,
        architecture=found.architecture,
        ephemeral_storage_mb=found.ephemeral_storage_mb,
    )
    return job.model_copy(update={"cost_at_most_usd": cost_bounds.of_spec(job.spec)}), found


def save(services: Services, job: Job) -> None:
    """Keep a job for the steps."""
    key = f"{prefix(job.tuning_id)}job.json"
    storage.write_json(services.s3, services.packages_bucket, key, job.model_dump(by_alias=True))


def load(services: Services, tuning_id: str) -> Job:
    """Return the job of a tuning. Raises KeyError if none was accepted."""
    key = f"{prefix(tuning_id)}job.json"
    document = storage.read_json(services.s3, services.packages_bucket, key, max_bytes=MAX_JOB_BYTES)
    return Job.model_validate(document)


def own_function(services: Services, arn: str, field: str) -> FunctionName:
    """Return the function that is meant: of this account and region, and not the platform's, which has its own tests.

    Raises InputError, which names the field.
    """
    name = FunctionName.parse(arn, field)
    settings = services.settings
    if name.region not in (None, settings.region) or name.account_id not in (None, settings.account_id):
        raise InputError(
            f"{field} is {arn!r}: a function of {settings.region} in account {settings.account_id} is needed"
        )
    if name.name.startswith(f"{settings.prefix}-"):
        raise InputError(
            f"{field} is {arn!r}, which belongs to Greenroom: push a release of an algorithm, and it is tuned"
        )
    return name


def _found(services: Services, function: str) -> Configuration:
    try:
        return services.functions.updated(function)
    except ClientError as error:
        if aws_errors.is_absent(error):
            raise InputError(f"there is no function {function!r} in {services.settings.region}") from None
        if aws_errors.is_denied(error):
            raise InputError(
                f"function {function!r} may not be tuned: the platform team says which may, with "
                "`greenroom deploy --tunable NAME`"
            ) from None
        raise


def _payload_s3(services: Services, address: str) -> Any:
    found = S3_ADDRESS.fullmatch(address)
    if found is None:
        raise InputError(f"payloadS3 is {address!r}: s3://BUCKET/KEY is needed")
    bucket, key = found["bucket"], found["key"]
    if bucket.startswith(f"{services.settings.prefix}-"):
        raise InputError(f"payloadS3 is {address!r}, in a bucket of Greenroom's own")
    try:
        body = storage.read(services.s3, bucket, key, max_bytes=MAX_PAYLOAD_BYTES).decode()
    except KeyError:
        raise InputError(f"payloadS3: there is no object {address}") from None
    except storage.TooLarge as error:
        raise InputError(f"payloadS3: {error}") from None
    except UnicodeDecodeError:
        raise InputError(f"payloadS3: {address} is not UTF-8") from None
    except ClientError as error:
        raise InputError(
            f"payloadS3: {address} can't be read ({aws_errors.code_of(error)}): the platform team says which "
            "objects may be, with `greenroom deploy --tunable-payloads BUCKET/KEY`"
        ) from None
    try:
        return json.loads(body)
    except ValueError:
        return body

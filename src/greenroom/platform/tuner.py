"""The tuner of any Lambda function in the account: the steps of `tune.asl.json`, each of which may be repeated.

The same planner, the same measurements and the same decision as for a release, on a function that is somebody else's:
versions and aliases are made beside what there is, taken away again, and `$LATEST` is put back to what it was. Which
functions may be tuned is said when the platform is deployed, and IAM holds it.

In the packages bucket lie, under `tunings/<id>/`, what was asked (`job.json`), what was measured and what was found
(`result.json`); under `tunings/.functions/<function>.json` who tunes it at present, and what it was like before.
"""

from __future__ import annotations

import base64
import json
import re
import struct
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from greenroom.platform import aws_errors, backstage, measuring, storage, transitions
from greenroom.platform.functions import Configuration
from greenroom.platform.services import Services
from greenroom.platform.tune_input import S3_ADDRESS, FunctionName, InputError, Payloads, TuneInput
from greenroom.tuning import (
    Batch,
    Decision,
    Measurement,
    TestSpec,
    case_of,
    chart,
    decide,
    ends_batch,
    longest_wait_s,
    prices_for,
    upper_bound_usd,
)
from greenroom.tuning import plan as plan_next

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

ALIAS_PREFIX = "greenroom-tune-"
TUNING_ID = re.compile(r"[A-Za-z0-9_-]{1,80}")
"""The names that executions of Step Functions may have, which make keys here."""

MAX_JOB_BYTES = 16 * 1024 * 1024
MAX_PAYLOAD_BYTES = 6 * 1024 * 1024
"""https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html (synchronous invocation)"""
MAX_PARALLEL = 100
SHOWN_PAYLOAD_CHARS = 200

VISUALIZATION_URL = "https://lambda-power-tuning.show/"
"""Draws what is in its fragment and sends nothing anywhere: sizes as int16, times and costs as float32, in base64."""


class TuningFailed(RuntimeError):
    """The tuning ends without a recommendation; the message says why."""


class Job:
    """What one tuning was asked, and the function as it was found."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self.asked = TuneInput.parse(document["input"])
        self.payloads = Payloads(document["payloads"], document["weights"])
        self.function: str = document["function"]
        self.tuning_id: str = document["tuningId"]

    @cached_property
    def cases(self) -> tuple[str, ...]:
        return self.payloads.cases(self.asked)

    @property
    def timeout_s(self) -> int:
        return int(self.document["timeoutS"])

    @property
    def spec(self) -> TestSpec:
        """What the test is."""
        asked = self.asked
        pause_s = -(-asked.sleep_between_runs_ms // 1000)
        return TestSpec(
            cases=self.cases,
            power_values=asked.listed_mb if asked.is_adaptive else asked.sizes_mb,
            num=1 if asked.dry_run else asked.num,
            timeout_s=min(900, self.timeout_s + pause_s),
            prices=prices_for(
                self.document["region"],
                self.document["architecture"],
                ephemeral_storage_mb=self.document["ephemeralStorageMb"],
            ),
            search="adaptive" if asked.is_adaptive else "fixed",
            strategy=asked.objective,
            balanced_weight=asked.balanced_weight,
            constraints=backstage.constraints_of(asked),
            averaging=self.payloads.averaging(asked),
            tolerance=asked.tolerance,
            max_expected_loss=asked.max_expected_loss,
            budget_usd=asked.budget_usd,
        )


def begin(services: Services, tuning_id: str, document: Any) -> None:
    """Read what is asked, look at the function and claim it.

    Raises InputError if it can't be done as asked, TuningFailed while another tuning works on the function.
    """
    if not TUNING_ID.fullmatch(tuning_id):
        raise InputError(f"the execution is called {tuning_id[:100]!r}: up to 80 letters, digits, - and _ are needed")
    asked = TuneInput.parse(document)
    function = _own(services, asked.lambda_arn, "lambdaARN").name
    for field, arn in (("preProcessorARN", asked.pre_processor_arn), ("postProcessorARN", asked.post_processor_arn)):
        if arn:
            _own(services, arn, field)
    found = _function(services, function)
    # Without a payload an event is an empty object, as Lambda makes it.
    given = _payload_s3(services, asked.payload_s3) if asked.payload_s3 else document.get("payload", {})
    payloads = Payloads.parse(given)
    payloads.cases(asked)
    before = _claim(services, tuning_id, function, found)
    _remove(services, function, before["tuningId"])
    job = Job(
        {
            "tuningId": tuning_id,
            "function": function,
            # The payload is kept once, as it is sent.
            "input": {key: value for key, value in document.items() if key not in ("payload", "payloadS3")},
            "payloads": payloads.bodies,
            "weights": payloads.weights,
            "timeoutS": found.timeout_s,
            "region": services.settings.region,
            "architecture": found.architecture,
            "ephemeralStorageMb": found.ephemeral_storage_mb,
        }
    )
    job.document["costAtMostUsd"] = upper_bound_usd(job.spec, transitions.at_most(job.spec))
    _write(services, f"{_prefix(tuning_id)}job.json", job.document)


def plan(services: Services, tuning_id: str, round_number: int) -> tuple[list[str], list[Batch]]:
    """Return the aliases to publish and the batches to measure in a round; no batches if the test is over."""
    job = _job(services, tuning_id)
    made = list(_measurements(services, tuning_id))
    batches = list(plan_next(job.spec, made, round_number).batches)
    there = {row.memory_mb for row in made}
    wanted = [
        alias
        for batch in batches
        if job.asked.only_cold_starts or batch.memory_mb not in there
        for alias in _aliases_of(job, batch)
    ]
    return list(dict.fromkeys(wanted)), batches


def publish(services: Services, tuning_id: str, alias: str) -> None:
    """Publish a version of the function for an alias, at the size that is in its name, and point the alias at it."""
    job = _job(services, tuning_id)
    functions, function = services.functions, job.function
    memory_mb = int(alias.removeprefix(ALIAS_PREFIX).split("-")[0])
    description = None
    if job.asked.only_cold_starts:
        # Only what has changed gets a version of its own, and with it environments of its own.
        description = f"{_claimed(services, function)['description']} ({alias})"[-256:]
    configured = functions.configure(
        function, functions.updated(function), memory_mb=memory_mb, description=description
    )
    version = functions.publish(function, configured, _mark(tuning_id, memory_mb))
    functions.point(function, alias, version)


def execute(services: Services, tuning_id: str, round_number: int, batch: Batch) -> None:
    """Invoke the function as a batch says and write the measurements down. A second call finds them, and does nothing.

    Raises TuningFailed if the pre- or the post-processor fails.
    """
    key = f"{_prefix(tuning_id)}measurements/{batch.memory_mb:05d}/{round_number:03d}-{batch.start:05d}.jsonl"
    if any(storage.keys(services.s3, services.packages_bucket, key)):
        return
    job = _job(services, tuning_id)
    invoker = services.invoker(longest_wait_s(job.timeout_s))
    indexes = range(batch.start, batch.start + batch.count)
    rows: list[Measurement] = []
    if job.asked.parallel_invocation and batch.count > 1:
        with ThreadPoolExecutor(min(batch.count, MAX_PARALLEL)) as pool:
            rows = list(pool.map(lambda index: _measure(services, invoker, job, batch, index), indexes))
    else:
        for index in indexes:
            rows.append(_measure(services, invoker, job, batch, index))
            if ends_batch(rows[-1]) or not rows[-1].counts:
                break
    storage.write_json_lines(services.s3, services.packages_bucket, key, [row.to_dict() for row in rows])


def analyze(services: Services, tuning_id: str, transitions_made: int) -> dict[str, Any] | None:
    """Decide, keep what was found, and return it in the shape of AWS Lambda Power Tuning's output; None of a dry run.

    Raises TuningFailed if no size can be recommended.
    """
    job = _job(services, tuning_id)
    made = list(_measurements(services, tuning_id))
    transitions_made += transitions.AFTER_ROUNDS_FUNCTION_TUNING
    decision = decide(job.spec, made)
    transitions_usd = transitions_made * job.spec.prices.state_transition_usd
    output = None if job.asked.dry_run or not decision.passed else output_of(decision, transitions_usd)
    if output is not None and not job.asked.include_output_results:
        del output["stats"]
    summary = {
        **replace(decision, test_cost_usd=decision.test_cost_usd + transitions_usd).to_summary(),
        "search": job.spec.search,
        "testLambdaCostUsd": round(decision.test_cost_usd, 9),
        "stateTransitions": transitions_made,
        "chart": chart(decision, made).to_dict(),
    }
    if job.asked.disable_payload_logs:
        summary["cases"] = [{**case, "log": None} for case in summary["cases"]]
    _write(services, f"{_prefix(tuning_id)}result.json", {"output": output, "summary": summary})
    if not decision.passed:
        raise TuningFailed(decision.reason or decision.sentence)
    return output


def output_of(decision: Decision, transitions_usd: float) -> dict[str, Any]:
    """A decision in the shape of AWS Lambda Power Tuning's output: costs in US dollars an invocation, durations in
    milliseconds, and a link that draws them."""
    measured = [
        (result.memory_mb, result.statistics.cost_usd_per_million / 1e6, result.statistics.duration.value)
        for result in decision.power_values
        if result.statistics.cost_usd_per_million is not None and result.statistics.duration is not None
    ]
    ((power, cost, duration),) = (each for each in measured if each[0] == decision.chosen_memory_mb)
    sizes, costs, durations = zip(*measured, strict=True)
    return {
        "power": power,
        "cost": cost,
        "duration": duration,
        "stateMachine": {
            "executionCost": round(transitions_usd, 9),
            "lambdaCost": decision.test_cost_usd,
            "visualization": visualization(sizes, durations, costs),
        },
        "stats": [
            {"value": size, "averagePrice": price, "averageDuration": average} for size, price, average in measured
        ],
    }


def visualization(sizes_mb: Sequence[int], durations_ms: Sequence[float], costs_usd: Sequence[float]) -> str:
    """The link that draws these figures: nothing of it reaches the server."""
    packed = (
        struct.pack(f"<{len(sizes_mb)}h", *sizes_mb),
        struct.pack(f"<{len(durations_ms)}f", *durations_ms),
        struct.pack(f"<{len(costs_usd)}f", *costs_usd),
    )
    return f"{VISUALIZATION_URL}#" + ";".join(base64.b64encode(part).decode() for part in packed)


def optimize(services: Services, tuning_id: str) -> None:
    """Apply what was found, where that was asked: point the alias at the version that was measured, or let `$LATEST`
    have the size."""
    job = _job(services, tuning_id)
    output = _read(services, f"{_prefix(tuning_id)}result.json")["output"]
    if output is None or not job.asked.auto_optimize:
        return
    if job.asked.auto_optimize_alias:
        measured = f"{ALIAS_PREFIX}{output['power']}" + ("-0" if job.asked.only_cold_starts else "")
        version = services.functions.version_of(job.function, measured)
        services.functions.point(job.function, job.asked.auto_optimize_alias, version)
    else:
        claim = _claimed(services, job.function)
        _write(services, _claim_key(job.function), {**claim, "memoryMb": output["power"]})


def clean(services: Services, tuning_id: str) -> None:
    """Take away the versions and aliases of a tuning, put `$LATEST` back, and let go of the function."""
    try:
        job = _job(services, tuning_id)
    except KeyError:
        return  # it did not get as far as touching anything
    claim = _claimed(services, job.function)
    if claim.get("tuningId") != tuning_id:
        return
    _remove(services, job.function, tuning_id)
    functions = services.functions
    now = functions.updated(job.function)
    functions.configure(job.function, now, memory_mb=claim["memoryMb"], description=claim["description"])
    services.s3.delete_object(Bucket=services.packages_bucket, Key=_claim_key(job.function))


def view(services: Services, tuning_id: str) -> dict[str, Any]:
    """A tuning as the API shows it: how its execution is, how far it is, and what it found. Raises KeyError."""
    machine = services.settings["FUNCTION_TUNING_ARN"]
    arn = f"{machine.replace(':stateMachine:', ':execution:')}:{tuning_id}"
    try:
        execution = services.states.describe_execution(executionArn=arn)
    except services.states.exceptions.ExecutionDoesNotExist as error:
        raise KeyError(tuning_id) from error
    job = _read_or_none(services, f"{_prefix(tuning_id)}job.json") or {}
    result = _read_or_none(services, f"{_prefix(tuning_id)}result.json") or {}
    progress: dict[int, dict[str, int]] = {}
    for row in _measurements(services, tuning_id):
        each = progress.setdefault(row.memory_mb, {"memoryMb": row.memory_mb, "done": 0, "failed": 0})
        each["done"] += row.counts
        each["failed"] += row.counts and row.error is not None
    status = execution["status"]
    return {
        "tuningId": tuning_id,
        "status": status,
        "reason": _reason(execution) if status not in ("RUNNING", "SUCCEEDED") else None,
        "function": job.get("function"),
        "costAtMostUsd": job.get("costAtMostUsd"),
        "progress": [progress[size] for size in sorted(progress)],
        "output": result.get("output") if status == "SUCCEEDED" else None,
        "summary": result.get("summary"),
    }


def _reason(execution: Mapping[str, Any]) -> str:
    """Why an execution failed: the message of the step that did, where there is one."""
    cause = execution.get("cause") or ""
    try:
        message = json.loads(cause)["errorMessage"]
    except (ValueError, KeyError, TypeError):
        message = cause or execution.get("error") or f"the execution ended as {execution['status']}"
    return str(message)


def _measure(services: Services, invoker: LambdaClient, job: Job, batch: Batch, index: int) -> Measurement:
    """One invocation, with what was asked for before and after it."""
    asked = job.asked
    case = case_of(job.cases, index)
    payload = job.payloads.bodies[case].encode()
    if asked.pre_processor_arn:
        made = _process(services, invoker, asked.pre_processor_arn, "pre-processor", payload)
        # An empty answer leaves the payload as it is.
        payload = payload if made in (b"", b"null", b'""') else made
    row, answer = measuring.measure(
        services,
        invoker,
        job.function,
        _alias_of(job, batch.memory_mb, index),
        payload,
        memory_mb=batch.memory_mb,
        case=case,
        index=index,
        allowed=asked.allowed_exceptions,
    )
    if asked.sleep_between_runs_ms and not asked.parallel_invocation:
        time.sleep(asked.sleep_between_runs_ms / 1000)
    if asked.post_processor_arn:
        _process(services, invoker, asked.post_processor_arn, "post-processor", answer or b"null")
    if asked.only_cold_starts and row.error is None:
        # What a caller waits for: the start and the work.
        row = replace(row, duration_ms=row.duration_ms + (row.init_duration_ms or 0.0))
    if row.error is None:
        return row
    if asked.disable_payload_logs:
        return replace(row, log=None)
    shown = payload[:SHOWN_PAYLOAD_CHARS].decode(errors="replace")
    return replace(row, error_message=f"{row.error_message} (invoked with {shown})")


def _process(services: Services, invoker: LambdaClient, arn: str, what: str, payload: bytes) -> bytes:
    name = _own(services, arn, what)
    qualified = f"{name.name}:{name.qualifier}" if name.qualifier else name.name
    answer = invoker.invoke(FunctionName=qualified, Payload=payload)
    made = answer["Payload"].read()
    if "FunctionError" in answer:
        raise TuningFailed(f"the {what} {name.name} failed: {made[:1000].decode(errors='replace')}")
    return made


def _own(services: Services, arn: str, field: str) -> FunctionName:
    """The function that is meant: of this account and region, and none of the platform's, which has its own tests."""
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


def _function(services: Services, function: str) -> Configuration:
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
    assert found is not None  # noqa: S101 -- validated
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


def _claim(services: Services, tuning_id: str, function: str, found: Configuration) -> dict[str, Any]:
    """Take a function for a tuning, and return the claim that was there, or the new one.

    Of a tuning that was killed the claim is taken over, with what it says the function was like.
    """
    key, bucket = _claim_key(function), services.packages_bucket
    claim = {"tuningId": tuning_id, "memoryMb": found.memory_mb, "description": found.description}
    try:
        services.s3.put_object(Bucket=bucket, Key=key, Body=json.dumps(claim).encode(), IfNoneMatch="*")
        return claim
    except ClientError as error:
        if not aws_errors.is_taken(error):
            raise
    answer = services.s3.get_object(Bucket=bucket, Key=key)
    there: dict[str, Any] = json.loads(answer["Body"].read(MAX_JOB_BYTES))
    if there["tuningId"] == tuning_id:
        return there
    arn = f"{services.settings['FUNCTION_TUNING_ARN'].replace(':stateMachine:', ':execution:')}:{there['tuningId']}"
    if services.states.describe_execution(executionArn=arn)["status"] == "RUNNING":
        raise TuningFailed(f"function {function} is being tuned by {there['tuningId']}: try again when that has ended")
    try:
        services.s3.put_object(
            Bucket=bucket, Key=key, Body=json.dumps({**there, "tuningId": tuning_id}).encode(), IfMatch=answer["ETag"]
        )
    except ClientError as error:
        if not aws_errors.is_taken(error):
            raise
        raise TuningFailed(f"function {function} was taken by another tuning just now: try again later") from None
    return there


def _remove(services: Services, function: str, tuning_id: str) -> None:
    """Delete the aliases for tuning, and the versions that a tuning made and nobody else has an alias for."""
    functions = services.functions
    kept: set[str] = set()
    for alias in functions.aliases(function):
        if alias.name.startswith(ALIAS_PREFIX):
            functions.remove_alias(function, alias.name)
        else:
            kept |= alias.versions
    for published in functions.versions(function):
        if published.description.startswith(_mark(tuning_id)) and published.version not in kept:
            functions.remove_version(function, published.version)


def _mark(tuning_id: str, memory_mb: int | None = None) -> str:
    """How a version that a tuning made is described."""
    return f"Greenroom tuning {tuning_id} at " + (f"{memory_mb} MB" if memory_mb else "")


def _aliases_of(job: Job, batch: Batch) -> list[str]:
    return [_alias_of(job, batch.memory_mb, index) for index in range(batch.start, batch.start + batch.count)]


def _alias_of(job: Job, memory_mb: int, index: int) -> str:
    """The alias of an invocation: of its size, or of its own where each has to be a cold start."""
    return f"{ALIAS_PREFIX}{memory_mb}" + (f"-{index}" if job.asked.only_cold_starts else "")


def _measurements(services: Services, tuning_id: str) -> list[Measurement]:
    prefix = f"{_prefix(tuning_id)}measurements/"
    rows = storage.read_json_lines(
        services.s3, services.packages_bucket, prefix, max_bytes=backstage.MAX_MEASUREMENTS_BYTES
    )
    return [Measurement.from_dict(row) for row in rows]


def _prefix(tuning_id: str) -> str:
    return f"tunings/{tuning_id}/"


def _claim_key(function: str) -> str:
    return f"tunings/.functions/{function}.json"


def _claimed(services: Services, function: str) -> dict[str, Any]:
    return _read_or_none(services, _claim_key(function)) or {}


def _job(services: Services, tuning_id: str) -> Job:
    return Job(_read(services, f"{_prefix(tuning_id)}job.json"))


def _write(services: Services, key: str, document: dict[str, Any]) -> None:
    body = json.dumps(document).encode()
    services.s3.put_object(Bucket=services.packages_bucket, Key=key, Body=body, ContentType="application/json")


def _read(services: Services, key: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(
        storage.read(services.s3, services.packages_bucket, key, max_bytes=MAX_JOB_BYTES)
    )
    return document


def _read_or_none(services: Services, key: str) -> dict[str, Any] | None:
    try:
        return _read(services, key)
    except KeyError:
        return None

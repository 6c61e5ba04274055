"""The test backstage: a version and an alias for each power value, measured, chosen from, and promoted if all is well.

The steps of `backstage.asl.json`, each of which may be repeated. What to measure next and what the measurements mean is
decided in `tuning`; this module does what was decided. Two rules hold throughout: the version that passed is the one
that is promoted, and alias `prod` follows the registry, so that whatever goes wrong it can be put back.
"""

from __future__ import annotations

import base64
import json
import logging
import random
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ReadTimeoutError

from greenroom.package.metadata import Metadata
from greenroom.platform import names, storage
from greenroom.platform.services import Services
from greenroom.releases import LIVE_KEPT, Progress, Release, utc_now
from greenroom.tuning import (
    Batch,
    Measurement,
    PlanState,
    Report,
    case_of,
    ends_batch,
    error_of,
    longest_wait_s,
    parse_report,
    prices_for,
)
from greenroom.tuning import analyze as decide
from greenroom.tuning import plan as plan_next

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_lambda.type_defs import InvocationResponseTypeDef

LATEST_MEMORY_MB = 128
"""Memory of $LATEST outside of a test, as `algorithm.yaml` sets it."""

MAX_MEASUREMENTS_BYTES = 64 * 1024 * 1024
MAX_ANSWER_BYTES = 4_096
PROGRESS_EVERY_S = 0.3
MAX_DURATIONS_SHOWN = 200
"""How many durations of a batch are shown while it is measured; all of them are written down with it."""

THROTTLE_TRIES = 8
REPORT_TRIES = 6

logger = logging.getLogger(__name__)


class Disturbed(RuntimeError):
    """The test could not be carried out as planned, which says nothing about the algorithm."""


def initialize(services: Services, release_id: str, memory_mb: int) -> str:
    """Publish the release at one power value, point its test alias there, and return the version."""
    release = services.registry.release(release_id)
    function = services.function_name(_algorithm_of(release))
    client = services.lambda_
    configuration = _await_update(services, function)
    deployed = configuration.get("Environment", {}).get("Variables", {}).get("GREENROOM_RELEASE")
    if deployed != release_id:
        raise Disturbed(f"$LATEST of {function} holds release {deployed}, not {release_id}")
    if configuration["MemorySize"] != memory_mb:
        client.update_function_configuration(FunctionName=function, MemorySize=memory_mb)
        configuration = _await_update(services, function)
    # The revision makes sure that what is published is what has just been configured.
    published = client.publish_version(
        FunctionName=function,
        RevisionId=configuration["RevisionId"],
        Description=f"Greenroom release {release_id} at {memory_mb} MB",
    )
    version = published["Version"]
    _await_active(services, function, version)
    _point_alias(services, function, names.test_alias(memory_mb), version)
    services.registry.record_version(release_id, memory_mb, version)
    return version


def plan(services: Services, release_id: str, round_number: int) -> list[Batch]:
    """Return the batches to measure in a round, counted from 0; none if the measurements are enough."""
    release = services.registry.release(release_id)
    metadata = _metadata(release)
    state = PlanState(
        cases=release.cases,
        power_values=tuple(metadata.power_values),
        num=metadata.num,
        timeout_s=metadata.timeout,
        measurements=tuple(measurements(services, release_id)),
        round_number=round_number,
    )
    return list(plan_next(state).batches)


def execute(services: Services, release_id: str, round_number: int, batch: Batch) -> None:
    """Invoke a batch of tests through the power value's alias and write the measurements down.

    The batch ends early at the first clear sign that the power value is too small or the release fails, and where
    Lambda throttles for long: the next plan then asks for what is missing, or for nothing more. A second call finds
    the measurements and invokes nothing.
    """
    bucket = services.packages_bucket
    key = storage.measurements_key(release_id, batch.memory_mb, round_number, batch.start)
    if any(storage.keys(services.s3, bucket, key)):
        return
    release = services.registry.release(release_id)
    invoker = services.invoker(longest_wait_s(_metadata(release).timeout))
    rows: list[Measurement] = []
    reported_at = 0.0
    for index in range(batch.start, batch.start + batch.count):
        rows.append(_measure(services, invoker, release, batch.memory_mb, index))
        if ends_batch(rows[-1]) or not rows[-1].counts:
            break
        if time.monotonic() - reported_at > PROGRESS_EVERY_S:
            _report_progress(services, release_id, round_number, batch, rows, batch.count)
            reported_at = time.monotonic()
    _report_progress(services, release_id, round_number, batch, rows, sum(row.counts for row in rows))
    storage.write_json_lines(services.s3, bucket, key, [row.to_dict() for row in rows])


def analyze(services: Services, release_id: str) -> str | None:
    """Decide on the measurements and keep the decision. Return None if a version was chosen, else why there is none."""
    release = services.registry.release(release_id)
    metadata = _metadata(release)
    decision = decide(
        measurements(services, release_id),
        metadata.power_values,
        metadata.strategy,
        prices_for(services.settings.region, metadata.architecture),
        cases=release.cases,
        versions=release.versions,
    )
    services.registry.put_summary(release_id, decision.to_summary())
    chosen = decision.chosen
    if chosen is None:
        return decision.sentence
    services.registry.record_choice(
        release_id,
        version=release.versions[chosen.memory_mb],
        memory_mb=chosen.memory_mb,
        cost_usd_per_million=chosen.statistics.cost_usd_per_million,
    )
    return None


def promote(services: Services, release_id: str) -> bool:
    """Move alias `prod` to the chosen version. Return whether nothing was live before."""
    release = services.registry.release(release_id)
    name = _algorithm_of(release)
    assert release.version is not None  # noqa: S101 -- analyzed
    _point_alias(services, services.function_name(name), names.PROD, release.version)
    return services.registry.algorithm(name).live is None


def clean(services: Services, release_id: str, *, promoted: bool) -> None:
    """Remove the test aliases and the versions nobody needs, and put `$LATEST` back.

    Kept are the live version and the last three that were live. If the flow did not get as far as promoting, alias
    `prod` is put back to what the registry says is live, or removed where nothing is.
    """
    release = services.registry.release(release_id)
    name = _algorithm_of(release)
    function = services.function_name(name)
    algorithm = services.registry.algorithm(name)
    client = services.lambda_
    live = [algorithm.live.version] if algorithm.live else []
    served = [*live, *(before.version for before in algorithm.live_before)]
    if promoted and release.version and release.version not in live:
        served.insert(0, release.version)
    kept = {"$LATEST", *served[: LIVE_KEPT + 1]}
    aliases = {
        alias["Name"]: alias["FunctionVersion"]
        for page in client.get_paginator("list_aliases").paginate(FunctionName=function)
        for alias in page["Aliases"]
    }
    if not promoted:
        if live and aliases.get(names.PROD) != live[0]:
            _point_alias(services, function, names.PROD, live[0])
        elif not live and names.PROD in aliases:
            client.delete_alias(FunctionName=function, Name=names.PROD)
    for alias in aliases:
        if alias.startswith(names.TEST_ALIAS_PREFIX):
            client.delete_alias(FunctionName=function, Name=alias)
    for page in client.get_paginator("list_versions_by_function").paginate(FunctionName=function):
        for configuration in page["Versions"]:
            if configuration["Version"] not in kept:
                client.delete_function(FunctionName=function, Qualifier=configuration["Version"])
    if _await_update(services, function)["MemorySize"] != LATEST_MEMORY_MB:
        client.update_function_configuration(FunctionName=function, MemorySize=LATEST_MEMORY_MB)
        _await_update(services, function)


def measurements(services: Services, release_id: str) -> Iterator[Measurement]:
    """Yield all measurements of a release's test."""
    prefix = storage.measurements_prefix(release_id)
    for row in storage.read_json_lines(services.s3, services.packages_bucket, prefix, max_bytes=MAX_MEASUREMENTS_BYTES):
        yield Measurement.from_dict(row)


def _measure(services: Services, invoker: LambdaClient, release: Release, memory_mb: int, index: int) -> Measurement:
    function = services.function_name(_algorithm_of(release))
    alias = names.test_alias(memory_mb)
    case = case_of(release.cases, index)
    found: dict[str, Any] = {"memory_mb": memory_mb, "case": case, "index": index, "at": utc_now()}
    try:
        answer = _invoke(invoker, f"{function}:{alias}", case)
    except invoker.exceptions.TooManyRequestsException as error:
        return Measurement(**found, duration_ms=0, billed_duration_ms=0, error="throttled", error_message=str(error))
    except ReadTimeoutError as error:
        return Measurement(**found, duration_ms=0, billed_duration_ms=0, error="timeout", error_message=str(error))
    payload = answer["Payload"].read()
    version = answer["ExecutedVersion"]
    if version != release.versions.get(memory_mb):
        raise Disturbed(f"alias {alias} of {function} led to version {version}")
    request_id = answer["ResponseMetadata"]["RequestId"]
    tail = base64.b64decode(answer.get("LogResult", "")).decode(errors="replace")
    report = parse_report(tail, request_id) or _report_from_logs(services, function, request_id, found["at"])
    found |= {
        "duration_ms": report.duration_ms,
        "billed_duration_ms": report.billed_duration_ms,
        "init_duration_ms": report.init_duration_ms,
        "max_memory_used_mb": report.max_memory_used_mb,
        "cold_start": report.cold_start,
        "disturbed_ms": report.disturbed_ms,
        "differs": report.differs,
        "request_id": request_id,
        "version": version,
    }
    # A 200 from Lambda is not success: FunctionError decides, and then what the equipment found.
    if "FunctionError" in answer:
        kind, message = error_of(payload, report, memory_mb=memory_mb)
        return Measurement(**found, error=kind, error_message=message, log=tail)
    verdict = json.loads(payload)
    if isinstance(verdict, dict) and verdict.get("passed") is True:
        return Measurement(**found)
    difference = verdict.get("difference") if isinstance(verdict, dict) else None
    return Measurement(
        **found,
        error="wrong_answer",
        error_message=f"case {case!r} gave another answer than expected",
        difference=str(difference or payload[:MAX_ANSWER_BYTES].decode(errors="replace")),
        log=tail,
    )


def _invoke(invoker: LambdaClient, qualified_name: str, case: str) -> InvocationResponseTypeDef:
    payload = json.dumps({"greenroomTest": {"case": case}}).encode()
    for attempt in range(THROTTLE_TRIES):
        try:
            return invoker.invoke(FunctionName=qualified_name, LogType="Tail", Payload=payload)
        except invoker.exceptions.TooManyRequestsException:
            # Full jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
            time.sleep(random.uniform(0, min(20, 0.2 * 2**attempt)))  # noqa: S311
    return invoker.invoke(FunctionName=qualified_name, LogType="Tail", Payload=payload)


def _report_from_logs(services: Services, function: str, request_id: str, at: str) -> Report:
    """The REPORT line from CloudWatch Logs: the tail of 4 KB did not hold it whole."""
    since_ms = int(datetime.fromisoformat(at).timestamp() * 1_000) - 1_000
    for attempt in range(REPORT_TRIES):
        pages = services.logs.get_paginator("filter_log_events").paginate(
            logGroupName=names.log_group(function),
            startTime=since_ms,
            filterPattern=f'"{request_id}"',
            PaginationConfig={"MaxItems": 2_000},
        )
        for page in pages:
            for event in page["events"]:
                if report := parse_report(event["message"], request_id):
                    return report
        time.sleep(min(5.0, 0.2 * 2**attempt))  # logs arrive some seconds after the invocation
    raise Disturbed(f"no REPORT line of invocation {request_id} of {function} is in its log")


def _report_progress(
    services: Services, release_id: str, round_number: int, batch: Batch, rows: list[Measurement], total: int
) -> None:
    done = [row for row in rows if row.counts]
    failed = sum(row.error is not None for row in done)
    durations_ms = tuple(row.duration_ms for row in done if row.error is None)[-MAX_DURATIONS_SHOWN:]
    progress = Progress(batch.memory_mb, len(done), total, failed, durations_ms)
    services.registry.put_progress(release_id, f"{round_number:03d}#{batch.start:05d}", progress)


def _point_alias(services: Services, function: str, alias: str, version: str) -> None:
    client = services.lambda_
    try:
        client.update_alias(FunctionName=function, Name=alias, FunctionVersion=version)
    except client.exceptions.ResourceNotFoundException:
        client.create_alias(FunctionName=function, Name=alias, FunctionVersion=version)


def _await_update(services: Services, function: str) -> Any:
    """Return the configuration of $LATEST once its last update has succeeded."""
    return _await(services, function, "$LATEST", lambda c: c.get("LastUpdateStatus") or "Successful", "Successful")


def _await_active(services: Services, function: str, version: str) -> Any:
    return _await(services, function, version, lambda c: c.get("State") or "Active", "Active")


def _await(services: Services, function: str, qualifier: str, state: Callable[[Any], str], wanted: str) -> Any:
    for attempt in range(120):
        configuration = services.lambda_.get_function_configuration(FunctionName=function, Qualifier=qualifier)
        if state(configuration) == wanted:
            return configuration
        if state(configuration) == "Failed":
            raise Disturbed(f"{function}:{qualifier} failed: {configuration.get('LastUpdateStatusReason')}")
        time.sleep(min(1.0, 0.05 * 2 ** min(attempt, 5)))
    raise Disturbed(f"{function}:{qualifier} did not become {wanted}")


def _metadata(release: Release) -> Metadata:
    return Metadata.model_validate(release.metadata)


def _algorithm_of(release: Release) -> str:
    assert release.algorithm is not None  # noqa: S101 -- registered
    return release.algorithm

"""What a function tuning found: in the shape of AWS Lambda Power Tuning's output, and as the HTTP API shows it."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any

from greenroom.platform import findings, names, storage
from greenroom.platform.function_tuning import job as jobs
from greenroom.platform.measurements import Store
from greenroom.platform.services import Services
from greenroom.releases import NotFound
from greenroom.tuning import Decision
from greenroom.wire import models

MAX_RESULT_BYTES = 16 * 1024 * 1024

VISUALIZATION_URL = "https://lambda-power-tuning.show/"
"""Draws what is in its fragment and sends nothing anywhere: sizes as int16, times and costs as float32, in base64."""


def output_of(decision: Decision, transitions_usd: float, *, with_stats: bool) -> dict[str, Any]:
    """Return a decision in the shape of AWS Lambda Power Tuning's output.

    Costs are in US dollars an invocation, durations in milliseconds; a link draws them. `with_stats` adds the figures
    of every memory size.
    """
    measured = [
        (result.memory_mb, result.statistics.cost_usd_per_million / 1e6, result.statistics.duration.value)
        for result in decision.power_values
        if result.statistics.cost_usd_per_million is not None and result.statistics.duration is not None
    ]
    ((power, cost, duration),) = (each for each in measured if each[0] == decision.chosen_memory_mb)
    sizes, costs, durations = zip(*measured, strict=True)
    output: dict[str, Any] = {
        "power": power,
        "cost": cost,
        "duration": duration,
        "stateMachine": {
            "executionCost": round(transitions_usd, 9),
            "lambdaCost": decision.test_cost_usd,
            "visualization": visualization(sizes, durations, costs),
        },
    }
    if with_stats:
        output["stats"] = [
            {"value": size, "averagePrice": price, "averageDuration": average} for size, price, average in measured
        ]
    return output


def visualization(sizes_mb: Sequence[int], durations_ms: Sequence[float], costs_usd: Sequence[float]) -> str:
    """Return the link that draws these figures: nothing of them reaches the server."""
    packed = (
        struct.pack(f"<{len(sizes_mb)}h", *sizes_mb),
        struct.pack(f"<{len(durations_ms)}f", *durations_ms),
        struct.pack(f"<{len(costs_usd)}f", *costs_usd),
    )
    return f"{VISUALIZATION_URL}#" + ";".join(base64.b64encode(part).decode() for part in packed)


def save(services: Services, tuning_id: str, output: dict[str, Any] | None, summary: models.Summary) -> None:
    """Keep what was found."""
    document = {"output": output, "summary": summary.to_json()}
    storage.write_json(services.s3, services.packages_bucket, _key(tuning_id), document)


def load(services: Services, tuning_id: str) -> dict[str, Any]:
    """Return what was found: "output" and "summary". Raises KeyError if nothing has been decided."""
    return storage.read_json(services.s3, services.packages_bucket, _key(tuning_id), max_bytes=MAX_RESULT_BYTES)


def store_of(services: Services, tuning_id: str) -> Store:
    """Return where the measurements of a tuning are."""
    return Store(services, f"{jobs.prefix(tuning_id)}measurements/")


def view(services: Services, tuning_id: str) -> models.Tuning:
    """Return a tuning as the API shows it: how its execution is, how far it is, and what it found. Raises NotFound."""
    arn = names.execution_arn(services.settings["FUNCTION_TUNING_ARN"], tuning_id)
    try:
        execution = services.states.describe_execution(executionArn=arn)
    except services.states.exceptions.ExecutionDoesNotExist:
        raise NotFound(f"there is no tuning {tuning_id}") from None
    status = execution["status"]
    try:
        job = jobs.load(services, tuning_id)
    except KeyError:
        job = None  # its input has not been accepted
    try:
        result = load(services, tuning_id)
    except KeyError:
        result = {}  # nothing has been decided
    return models.Tuning(
        tuning_id=tuning_id,
        status=status,
        reason=_reason(execution) if status not in ("RUNNING", "SUCCEEDED") else None,
        function=job.function if job else None,
        cost_at_most_usd=job.cost_at_most_usd if job else None,
        progress=findings.progress_of(list(store_of(services, tuning_id).read())),
        output=result.get("output") if status == "SUCCEEDED" else None,
        summary=result.get("summary"),
    )


def _key(tuning_id: str) -> str:
    return f"{jobs.prefix(tuning_id)}result.json"


def _reason(execution: Mapping[str, Any]) -> str:
    """Why an execution failed: the message of the step that did, where there is one."""
    cause = execution.get("cause") or ""
    try:
        message = json.loads(cause)["errorMessage"]
    except (ValueError, KeyError, TypeError):
        message = cause or execution.get("error") or f"the execution ended as {execution['status']}"
    return str(message)

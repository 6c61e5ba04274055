"""The seam: ministack's Lambda control plane above, Greenroom's engine below.

It replaces `_execute_function_warm` of `ministack.services.lambda_svc`, which runs every Python function,
`_emit_lambda_logs`, which would put each invocation into a log stream of its own instead of the environment's, and the
time that a function stays Pending. `tests/integration/embedded/test_aws.py` lists what all of these modules replace,
and fails by name when a version of ministack moves something.
"""

from __future__ import annotations

import json
import time
from typing import Any

from greenroom.embedded import credentials, gateway, iam
from greenroom.engine import Engine, FunctionSpec, Invocation, LayerCode

STATE_CHANGE_S = 0.02
"""How long a function stays Pending after a change: shorter than ministack's half second, which only costs time."""


def install(engine: Engine) -> None:
    """Put the engine in place of ministack's executor."""
    from ministack.services import lambda_svc

    def execute(func: dict[str, Any], event: Any, request_id: str) -> dict[str, Any]:
        return _execute(engine, func, event, request_id)

    lambda_svc._execute_function_warm = execute
    lambda_svc._emit_lambda_logs = _ignore_logs
    lambda_svc._LAMBDA_STATE_TRANSITION_DELAY = STATE_CHANGE_S


def _execute(engine: Engine, func: dict[str, Any], event: Any, request_id: str) -> dict[str, Any]:
    from ministack.services import lambda_svc

    config = func.get("config") or func
    spec = function_spec(config)
    if (seen := gateway.invocation_id.get()) is not None and not seen:
        seen.append(request_id)

    def layers() -> list[LayerCode]:
        attached = config.get("Layers") or []
        arns = [layer["Arn"] if isinstance(layer, dict) else layer for layer in attached]
        return [LayerCode(arn, lambda_svc._resolve_layer_zip(arn) or b"") for arn in arns]

    result = engine.invoke(
        Invocation(
            spec,
            json.dumps(event, ensure_ascii=False).encode(),
            invoked_function_arn=config.get("FunctionArn", spec.arn),
            request_id=request_id,
            code=lambda: func.get("code_zip") or b"",
            layers=layers,
            credentials=lambda: credentials.issue(config["Role"], config["FunctionName"]),
            measured=gateway.is_measured.get(),
        )
    )
    if result.throttled:
        throttled: dict[str, Any] = lambda_svc._throttle_response(
            reason_code="ConcurrentInvocationLimitExceeded", msg="Rate Exceeded."
        )
        return throttled
    _write_logs(config, spec, result.log_stream, [(e.timestamp_ms, e.message) for e in result.log_events])
    text = result.payload.decode(errors="replace")
    answer: dict[str, Any] = {
        "body": json.loads(text) if text else None,
        "log": "".join(each.message for each in result.log_events[result.init_log_events :]),
        "log_source": "rie",
    }
    if result.function_error:
        answer |= {"error": True, "function_error": result.function_error}
    return answer


def function_spec(config: dict[str, Any]) -> FunctionSpec:
    """Return the engine's view of a function version, from ministack's record of it."""
    parts = config["FunctionArn"].split(":")
    logging = config.get("LoggingConfig") or {}
    return FunctionSpec(
        arn=":".join(parts[:7]),
        name=config["FunctionName"],
        version=config.get("Version", "$LATEST"),
        runtime=config.get("Runtime", ""),
        handler=config.get("Handler", ""),
        memory_mb=int(config.get("MemorySize", 128)),
        timeout_s=int(config.get("Timeout", 3)),
        code_sha256=config.get("CodeSha256", ""),
        revision=config.get("RevisionId", ""),
        environment=(config.get("Environment") or {}).get("Variables") or {},
        ephemeral_storage_mb=int((config.get("EphemeralStorage") or {}).get("Size", 512)),
        architecture=(config.get("Architectures") or ["x86_64"])[0],
        log_group=logging.get("LogGroup") or f"/aws/lambda/{config['FunctionName']}",
        log_format="JSON" if logging.get("LogFormat") == "JSON" else "Text",
        application_log_level=logging.get("ApplicationLogLevel"),
        system_log_level=logging.get("SystemLogLevel"),
    )


def _write_logs(config: dict[str, Any], spec: FunctionSpec, stream: str, lines: list[tuple[int, str]]) -> None:
    """Write an invocation's lines into the environment's stream, if the function's role allows it."""
    from ministack.services import cloudwatch_logs

    region, account = spec.arn.split(":")[3:5]
    group_arn = f"arn:aws:logs:{region}:{account}:log-group:{spec.log_group}"
    stream_arn = f"{group_arn}:log-stream:{stream}"
    role = config.get("Role", "")
    group = cloudwatch_logs._log_groups.get(spec.log_group)
    if group is None:
        if not iam.role_may(role, "logs:CreateLogGroup", group_arn):
            return
        group = cloudwatch_logs._log_groups[spec.log_group] = {
            "arn": cloudwatch_logs._make_group_arn(spec.log_group),
            "creationTime": int(time.time() * 1_000),
            "retentionInDays": None,
            "tags": {},
            "subscriptionFilters": {},
            "streams": {},
        }
    if stream not in group["streams"]:
        if not iam.role_may(role, "logs:CreateLogStream", stream_arn):
            return
        group["streams"][stream] = {
            "events": [],
            "uploadSequenceToken": "1",
            "creationTime": int(time.time() * 1_000),
            "firstEventTimestamp": None,
            "lastEventTimestamp": None,
            "lastIngestionTime": None,
        }
    if not iam.role_may(role, "logs:PutLogEvents", stream_arn):
        return
    now_ms = int(time.time() * 1_000)
    cloudwatch_logs._append_log_events(
        group["streams"][stream],
        [{"timestamp": at_ms, "message": message, "ingestionTime": now_ms} for at_ms, message in lines],
    )
    cloudwatch_logs._fanout_to_subscription_filters(
        spec.log_group, stream, [{"timestamp": at_ms, "message": message} for at_ms, message in lines]
    )


def _ignore_logs(*_: Any, **__: Any) -> None:
    """Do nothing: the lines are in the environment's own stream already."""

"""Runs one invocation: the version that a reference leads to, in a slot of its concurrency, with its log written."""

from __future__ import annotations

import json
import random
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from greenroom.engine import FunctionSpec, Invocation, InvokeResult, LayerCode
from greenroom.lambda_api.invoke import concurrency, routing
from greenroom.lambda_api.invoke.concurrency import Slots
from greenroom.lambda_api.invoke.ports import Outside

TAIL_BYTES = 4_096
"""How much of the log `LogType=Tail` gives.
https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html#lambda-Invoke-response-LogResult"""


class Target(Protocol):
    """What a reference to a function leads to."""

    @property
    def name(self) -> str:
        """The function's name."""

    @property
    def arn(self) -> str:
        """Its ARN without a qualifier."""

    @property
    def invoked_arn(self) -> str:
        """Its ARN as it was referred to."""

    @property
    def qualifier(self) -> str | None:
        """The version or alias that was referred to; None if none was."""

    @property
    def version(self) -> str:
        """The version that the qualifier means, routing weights aside."""

    @property
    def config(self) -> Mapping[str, Any]:
        """That version's configuration."""

    @property
    def alias(self) -> Mapping[str, Any] | None:
        """The alias, if one was referred to."""

    @property
    def incarnation(self) -> str:
        """Changes with every change of what the version's environments are made from."""


class Functions(Protocol):
    """The functions that there are."""

    def resolve(self, reference: str, qualifier: str | None = None) -> Target:
        """Return what a name or an ARN leads to. Raises LambdaError."""
        ...

    def invoked(self, reference: str, qualifier: str | None = None) -> Target:
        """Return what an invocation is for. Raises LambdaError."""
        ...

    def target(self, name: str, qualifier: str | None = None) -> Target:
        """Return what a function's name and a qualifier lead to. Raises LambdaError."""
        ...

    def code(self, config: Mapping[str, Any]) -> bytes:
        """Return a version's ZIP."""
        ...

    def layers(self, config: Mapping[str, Any]) -> Sequence[LayerCode]:
        """Return a version's layers."""
        ...

    def reserved_concurrency(self, name: str) -> int | None:
        """Return what is reserved for a function."""
        ...

    @property
    def reserved_by_all(self) -> int:
        """What is reserved for all functions together."""

    def event_invoke_config(self, name: str, qualifier: str | None) -> Mapping[str, Any] | None:
        """Return the settings of asynchronous invocation of a function, a version or an alias."""
        ...


class Runs(Protocol):
    """The engine, as far as it is needed here."""

    def invoke(self, invocation: Invocation) -> InvokeResult:
        """Run one invocation and wait for its end."""
        ...


@dataclass(frozen=True)
class Wish:
    """What an invocation is asked for besides its payload."""

    request_id: str
    measured: bool = False
    client_context: str | None = None
    trace_header: str | None = None


@dataclass(frozen=True)
class Execution:
    """How an invocation ended, and the version that ran."""

    result: InvokeResult
    version: str
    trace_header: str


class Executor:
    """Runs invocations. Any thread may call it.

    Args:
        functions: what can be invoked.
        engine: what runs it.
        outside: where logs go and credentials come from.
        limit: the account's concurrency.
        draw: gives random numbers from 0 to less than 1, for routing weights.
    """

    def __init__(
        self,
        functions: Functions,
        engine: Runs,
        outside: Outside,
        limit: int,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._functions = functions
        self._engine = engine
        self._outside = outside
        self._slots = Slots(limit)
        self._draw = draw

    def run(self, target: Target, payload: bytes, wish: Wish) -> Execution:
        """Run one invocation and wait for its end. Raises LambdaError if it may not run now."""
        routed = self._routed(target)
        config = routed.config
        trace_header = trace(wish.trace_header)
        reserved = self._functions.reserved_concurrency(target.name)
        with self._slots.taken(target.name, reserved, self._functions.reserved_by_all):
            result = self._engine.invoke(self._invocation(routed, target.invoked_arn, payload, wish, trace_header))
        if result.throttled:
            raise concurrency.throttled(concurrency.ACCOUNT)
        if result.log_events:
            self._outside.logs.write(
                config.get("Role", ""),
                log_group(config),
                result.log_stream,
                [(event.timestamp_ms, event.message) for event in result.log_events],
            )
        return Execution(result, str(config["Version"]), trace_header)

    def _routed(self, target: Target) -> Target:
        if target.alias is None or not target.alias.get("RoutingConfig"):
            return target
        version = routing.version_for(target.alias, self._draw())
        return target if version == target.version else self._functions.target(target.name, version)

    def _invocation(
        self, target: Target, invoked_arn: str, payload: bytes, wish: Wish, trace_header: str
    ) -> Invocation:
        config = target.config
        return Invocation(
            spec(target),
            payload,
            invoked_function_arn=invoked_arn,
            request_id=wish.request_id,
            code=lambda: self._functions.code(config),
            layers=lambda: self._functions.layers(config),
            credentials=lambda: self._outside.credentials.issue(config.get("Role", ""), target.name),
            measured=wish.measured,
            client_context=wish.client_context,
            trace_id=trace_header,
        )


def log_group(config: Mapping[str, Any]) -> str:
    """Return the log group that a function writes into."""
    logging = config.get("LoggingConfig") or {}
    return str(logging.get("LogGroup") or f"/aws/lambda/{config['FunctionName']}")


def spec(target: Target) -> FunctionSpec:
    """Return the engine's view of a function version."""
    config = target.config
    logging = config.get("LoggingConfig") or {}
    json_logs = logging.get("LogFormat") == "JSON"
    return FunctionSpec(
        arn=target.arn,
        name=target.name,
        version=config["Version"],
        runtime=config.get("Runtime", ""),
        handler=config.get("Handler", ""),
        memory_mb=config["MemorySize"],
        timeout_s=config["Timeout"],
        code_sha256=config["CodeSha256"],
        revision=target.incarnation,
        environment=(config.get("Environment") or {}).get("Variables") or {},
        ephemeral_storage_mb=(config.get("EphemeralStorage") or {}).get("Size", 512),
        architecture=(config.get("Architectures") or ["x86_64"])[0],
        log_group=log_group(config),
        log_format="JSON" if json_logs else "Text",
        # Both are INFO by default:
        # https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html
        application_log_level=(logging.get("ApplicationLogLevel") or "INFO") if json_logs else None,
        system_log_level=(logging.get("SystemLogLevel") or "INFO") if json_logs else None,
    )


def tail(result: InvokeResult) -> bytes:
    """Return the end of an invocation's log, from its START line on: what `LogType=Tail` gives."""
    own = result.log_events[result.init_log_events :]
    return "".join(event.message for event in own).encode()[-TAIL_BYTES:]


def trace(header: str | None) -> str:
    """Return the trace header of an invocation: the caller's, or one of a new trace that is not sampled.

    https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader
    """
    given = dict(part.split("=", 1) for part in (header or "").split(";") if "=" in part)
    root = given.get("Root") or f"1-{int(time.time()):08x}-{secrets.token_hex(12)}"
    return f"Root={root};Parent={given.get('Parent') or secrets.token_hex(8)};Sampled={given.get('Sampled', '0')}"


def error_message(result: InvokeResult) -> str:
    """Return the message of a function's error."""
    try:
        found = json.loads(result.payload)
    except ValueError:
        return ""
    return str(found.get("errorMessage", "")) if isinstance(found, dict) else ""

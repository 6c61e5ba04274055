"""What the engine is given and what it gives back. Plain data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class LayerCode:
    """A layer's ZIP, in the order in which the function names its layers."""

    arn: str
    zip_bytes: bytes


@dataclass(frozen=True)
class FunctionSpec:
    """One version of one function: everything that its execution environments depend on.

    `revision` changes with every configuration of `$LATEST`, so that no environment serves an older one.
    """

    arn: str
    name: str
    version: str
    runtime: str
    handler: str
    memory_mb: int
    timeout_s: int
    code_sha256: str
    revision: str
    log_group: str
    environment: Mapping[str, str] = field(default_factory=dict)
    ephemeral_storage_mb: int = 512
    architecture: str = "x86_64"
    log_format: Literal["Text", "JSON"] = "Text"
    application_log_level: str | None = None
    system_log_level: str | None = None

    @property
    def key(self) -> tuple[str, str, str, str]:
        """Return what environments are shared by: a version and its configuration, never a name."""
        return self.arn, self.version, self.code_sha256, self.revision


@dataclass(frozen=True)
class Invocation:
    """One invocation: of which function version, with what event, and what a new environment for it is made from.

    `code`, `layers` and `credentials` are called only when a new environment needs them. A `measured` invocation has
    its cores to itself, as far as other measured ones go, and its report says whether it was disturbed.
    `client_context` is the JSON of the caller's context, `trace_id` an X-Ray tracing header.
    """

    spec: FunctionSpec
    payload: bytes
    invoked_function_arn: str
    request_id: str
    code: Callable[[], bytes]
    layers: Callable[[], Sequence[LayerCode]] = tuple
    credentials: Callable[[], Mapping[str, str]] = dict
    measured: bool = False
    client_context: str | None = None
    trace_id: str | None = None


@dataclass(frozen=True)
class LogEvent:
    """One event of an environment's log stream; a line's end is part of it, as on Lambda."""

    timestamp_ms: int
    message: str


@dataclass(frozen=True)
class InvokeResult:
    """What an invocation led to.

    `payload` is the answer, or the error's JSON if `function_error` is set; `log_events` are all lines from START (on a
    cold start INIT_START) to REPORT, of which the first `init_log_events` belong to the init phase; `throttled` means
    that nothing ran; `disturbed_ms` is how long others kept a measured invocation from running, None below the noise
    threshold (`quiet.taken_ms`).
    """

    payload: bytes
    function_error: Literal["Handled", "Unhandled"] | None = None
    log_events: tuple[LogEvent, ...] = ()
    init_log_events: int = 0
    log_stream: str = ""
    throttled: bool = False
    duration_ms: float = 0.0
    billed_duration_ms: int = 0
    init_duration_ms: float | None = None
    max_memory_used_mb: int = 0
    disturbed_ms: float | None = None
    cold_start: bool = False

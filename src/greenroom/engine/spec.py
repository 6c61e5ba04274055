"""What the engine is given and what it gives back. Plain data."""

from __future__ import annotations

from collections.abc import Mapping
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

    `revision` changes whenever `$LATEST` is configured anew, so that no environment serves an older configuration.
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
        """What environments are shared by: a version, never a name."""
        return self.arn, self.version, self.code_sha256, self.revision


@dataclass(frozen=True)
class LogEvent:
    """One event of an environment's log stream."""

    timestamp_ms: int
    message: str


@dataclass(frozen=True)
class InvokeResult:
    """What became of an invocation.

    `payload` is the answer, or the error's JSON if `function_error` is set; `log_events` are all lines from START (on a
    cold start INIT_START) to REPORT; `throttled` means that nothing ran; `disturbed_ms` is for how long a measured
    invocation was kept from running, if that is worth a word.
    """

    payload: bytes
    function_error: Literal["Handled", "Unhandled"] | None = None
    log_events: tuple[LogEvent, ...] = ()
    log_stream: str = ""
    throttled: bool = False
    duration_ms: float = 0.0
    billed_duration_ms: int = 0
    init_duration_ms: float | None = None
    max_memory_used_mb: int = 0
    disturbed_ms: float | None = None
    cold_start: bool = False
    executed_version: str = ""

    @property
    def log_tail(self) -> bytes:
        """The last 4 KB of the log, as `LogType=Tail` gives it.

        https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
        """
        return "".join(f"{event.message}\n" for event in self.log_events).encode()[-4096:]

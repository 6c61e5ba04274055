"""The answers of the HTTP API as typed models. No I/O here.

Tolerant on purpose: a field the platform adds is ignored here (and comes out again in `to_json`), one it leaves out is
None or empty, so that an older CLI works with a newer platform and the other way round.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ModelWrapValidatorHandler, PrivateAttr, model_validator
from pydantic.alias_generators import to_camel

# DESIGN section 4. A LIVE release may still become RETIRED or ROLLED_BACK, but whoever pushed it has their answer.
ENDED_STATUSES = frozenset({"LIVE", "FAILED", "REJECTED", "SUPERSEDED", "RETIRED", "ROLLED_BACK"})


class Answer(BaseModel):
    """Base of all models: camelCase in JSON, snake_case in Python, unknown fields ignored."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True)
    _document: dict[str, Any] | None = PrivateAttr(default=None)

    @model_validator(mode="wrap")
    @classmethod
    def _keep_document(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        made = handler(data)
        if isinstance(data, dict):
            made._document = data
        return made

    def to_json(self) -> dict[str, Any]:
        """The answer exactly as the platform gave it, with what these models do not know."""
        return self.model_dump(mode="json", by_alias=True) if self._document is None else self._document


class HistoryEntry(Answer):
    status: str
    at: datetime
    reason: str | None = None
    by: str | None = None


class Progress(Answer):
    """How far the measurements at one power value are."""

    memory_mb: int
    done: int = 0
    total: int = 0
    failed: int = 0


class Percentile(Answer):
    """A percentile of the duration with the ends of its interval, in ms."""

    ms: float
    low_ms: float
    high_ms: float


class PowerValueResult(Answer):
    """What was measured at one power value. Times are in ms, costs in USD."""

    memory_mb: int
    version: str | int | None = None
    status: str = "ok"
    reason: str | None = None
    n: int = 0
    mean_ms: float | None = None
    trimmed_mean_ms: float | None = None
    p50_ms: float | None = Field(default=None, alias="p50Ms")
    p90_ms: float | None = Field(default=None, alias="p90Ms")
    percentiles: dict[str, Percentile] = {}
    relative_error: float | None = None
    warm: bool = True
    cold_duration_ms: float | None = None
    headroom_mb: float | None = None
    disturbed: int = 0
    error_kinds: dict[str, int] = {}
    min_ms: float | None = None
    max_ms: float | None = None
    init_ms: float | None = None
    max_memory_used_mb: float | None = None
    cost_usd_per_million: float | None = None
    cold_starts: int = 0
    errors: int = 0


class CaseResult(Answer):
    """How one of the package's test cases went, over all power values."""

    case: str
    passed: int = 0
    failed: int = 0
    difference: str | None = None
    error: str | None = None
    error_message: str | None = None
    memory_mb: int | None = None
    log: str | None = None


class Summary(Answer):
    """The result of the test backstage."""

    strategy: str | None = None
    chosen_memory_mb: int | None = None
    sentence: str | None = None
    power_values: list[PowerValueResult] = []
    cases: list[CaseResult] = []
    test_cost_usd: float | None = None
    test_lambda_cost_usd: float | None = None
    state_transitions: int | None = None
    search: str | None = None
    comparison: dict[str, Any] | None = None
    statistics: dict[str, Any] | None = None
    chart: dict[str, Any] | None = None


class Release(Answer):
    release_id: str
    algorithm: str | None = None
    type: str | None = None
    status: str
    reason: str | None = None
    author: str | None = None
    changed_by: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    history: list[HistoryEntry] = []
    metadata: dict[str, Any] | None = None
    package_sha256: str | None = None
    package_size_bytes: int | None = None
    version: str | int | None = None
    memory_mb: int | None = None
    cost_at_most_usd: float | None = None
    progress: list[Progress] = []
    summary: Summary | None = None

    @property
    def ended(self) -> bool:
        """True when nothing more happens to it by itself."""
        return self.status in ENDED_STATUSES


class NewTuning(Answer):
    tuning_id: str


class Tuning(Answer):
    """A tuning of any Lambda function. `output` has the shape of AWS Lambda Power Tuning's."""

    tuning_id: str
    status: str
    reason: str | None = None
    function: str | None = None
    cost_at_most_usd: float | None = None
    progress: list[Progress] = []
    output: dict[str, Any] | None = None
    summary: Summary | None = None

    @property
    def ended(self) -> bool:
        return self.status != "RUNNING"


class ReleasePage(Answer):
    releases: list[Release] = []
    cursor: str | None = None


class Measurement(Answer):
    """One invocation in a test."""

    memory_mb: int
    case: str | None = None
    index: int | None = None
    duration_ms: float | None = None
    billed_duration_ms: float | None = None
    init_duration_ms: float | None = None
    max_memory_used_mb: float | None = None
    error: str | None = None
    at: datetime | None = None
    request_id: str | None = None
    cold_start: bool = False


class Measurements(Answer):
    measurements: list[Measurement] = []


class LogEvent(Answer):
    at: datetime | None = None
    stream: str | None = None
    message: str
    memory_mb: int | None = None


class Logs(Answer):
    events: list[LogEvent] = []


class Algorithm(Answer):
    name: str
    type: str | None = None
    live_release_id: str | None = None
    live_version: str | int | None = None
    memory_mb: int | None = None
    cost_usd_per_million: float | None = None
    latest_release_id: str | None = None
    latest_status: str | None = None
    updated_at: datetime | None = None
    next: list[str] | None = None


class Algorithms(Answer):
    algorithms: list[Algorithm] = []


class Rollback(Answer):
    """`release_id` is live now, `rolled_back_release_id` was before."""

    release_id: str
    rolled_back_release_id: str | None = None
    version: str | int | None = None


class Upload(Answer):
    """A presigned POST: where to, and the fields that go before the file."""

    url: str
    fields: Mapping[str, str] = {}


class NewRelease(Answer):
    release_id: str
    upload: Upload
    max_size_bytes: int | None = None


class NewMessage(Answer):
    message_id: str
    upload: Upload
    max_size_bytes: int | None = None


class MessageResult(Answer):
    algorithm: str
    status: str = "pending"
    reason: str | None = None
    content_type: str | None = None
    size_bytes: int | None = None
    url: str | None = None
    release_id: str | None = None
    version: str | int | None = None


class Message(Answer):
    """A message sent through production, and what came out of it so far."""

    message_id: str
    status: str = "pending"
    results: list[MessageResult] = []

    @property
    def ended(self) -> bool:
        return self.status in ("done", "failed")


class Failure(Answer):
    """A message that could not be handled. `document` may be only its beginning; `url` has a large one."""

    failure_id: str
    message_id: str | None = None
    release_id: str | None = None
    reason: str | None = None
    since: datetime | None = None
    content_type: str | None = None
    size_bytes: int | None = None
    document: str | None = None
    cut: bool = False
    url: str | None = None


class Failures(Answer):
    failures: list[Failure] = []
    total: int = 0


class Handled(Answer):
    """How many messages were redriven or deleted, and how many rest still."""

    redriven: int = 0
    deleted: int = 0
    left: int = 0


class PlatformInfo(Answer):
    version: str | None = None
    region: str | None = None
    account_id: str | None = None
    prefix: str | None = None


class ReleaseInFlight(Answer):
    release_id: str
    algorithm: str | None = None
    status: str


class Queue(Answer):
    name: str
    visible: int = 0
    in_flight: int = 0
    oldest_age_s: float | None = None


class Status(Answer):
    platform: PlatformInfo = PlatformInfo()
    algorithms: int = 0
    releases_in_flight: list[ReleaseInFlight] = []
    queues: list[Queue] = []
    dead_letters: int = 0

"""What the API answers with, apart from what a test found (`findings`) and errors (`errors`)."""

from __future__ import annotations

from pydantic import Field, JsonValue

from greenroom.wire.base import Answer, Moment
from greenroom.wire.errors import Problem
from greenroom.wire.findings import Comparison, Progress, Summary
from greenroom.wire.statuses import AlgorithmType, MessageStatus, QueueKind, ReleaseStatus, TuningStatus, has_ended


class UploadForm(Answer):
    """A presigned POST to S3: where to, and the fields that go before the file."""

    url: str
    fields: dict[str, str] = {}


class ReleaseCreated(Answer):
    """The release's id, and the form that takes its package."""

    release_id: str
    upload: UploadForm
    max_size_bytes: int | None = None


class MessageCreated(Answer):
    """The message's id, and the form that takes its document."""

    message_id: str
    upload: UploadForm
    max_size_bytes: int | None = None


class StatusChange(Answer):
    """One step of a release's history."""

    status: ReleaseStatus
    at: Moment
    reason: str | None = None
    by: str | None = Field(default=None, description="Who caused it, by the name that they gave")


class ReleaseRow(Answer):
    """A release as a row of a list."""

    release_id: str
    algorithm: str | None = Field(default=None, description="Known once the package has been read")
    type: AlgorithmType | None = None
    status: ReleaseStatus
    ended: bool = Field(
        default_factory=lambda data: has_ended(data.get("status", "")),
        description="Whether nothing more happens to it by itself",
    )
    reason: str | None = None
    file_name: str = ""
    author: str | None = Field(default=None, description="Who uploaded it, by the name that they gave")
    changed_by: str | None = Field(default=None, description="Who caused the present status")
    created_at: Moment | None = None
    updated_at: Moment | None = None
    package_sha256: str | None = Field(default=None, description="Of the ZIP that was checked, is tested and runs")
    package_size_bytes: int | None = None
    version: str | None = Field(default=None, description="The Lambda version that was chosen")
    memory_mb: int | None = Field(default=None, description="The memory size that was chosen")
    cost_usd_per_million: float | None = Field(default=None, description="Of a million invocations at that size")


class Release(ReleaseRow):
    """A release with its history and what its test has found so far."""

    history: list[StatusChange] = []
    problem: Problem | None = Field(
        default=None, description="Of a release that was rejected or failed: what was wrong, where, and what to do"
    )
    metadata: dict[str, JsonValue] | None = Field(
        default=None, description="The package's metadata.json with defaults; GET /schema/metadata.json describes it"
    )
    power_values: list[int] = Field(
        default=[], description="The memory sizes that the package asks for; none where the whole range is searched"
    )
    upload_sha256: str | None = Field(
        default=None, description="Of the ZIP that was uploaded; that of the package if `greenroom pack` built it"
    )
    cases: list[str] = Field(default=[], description="The names of the package's test cases")
    not_compared: list[str] = Field(
        default=[], description="Those without an expected answer: they pass if no exception is raised"
    )
    versions: dict[str, str] = Field(default={}, description="Lambda versions by the memory size they were tested at")
    progress: list[Progress] = []
    cost_at_most_usd: float | None = Field(default=None, description="What the test can cost at most")
    summary: Summary | None = Field(default=None, description="The result of the test, once there is one")


class ReleasePage(Answer):
    """Some of an algorithm's releases, newest first; `cursor` asks for those that follow."""

    releases: list[ReleaseRow] = []
    cursor: str | None = None


class ReleaseComparison(Answer):
    """Two releases, each at the memory size chosen for it. `comparison` is null where one of them was not measured to
    its end, or they have no test case in common."""

    releases: list[ReleaseRow] = []
    comparison: Comparison | None = None


class SignInCode(Answer):
    """A code that signs one browser in, once, and until it expires."""

    code: str
    expires_at: Moment


class SignIn(Answer):
    """What a code stood for."""

    token: str = Field(description="The API token")


class LogEvent(Answer):
    """One log line of a release's versions."""

    at: Moment | None = None
    stream: str = ""
    message: str
    memory_mb: int | None = None


class LogEvents(Answer):
    """Log lines in the order of time."""

    events: list[LogEvent] = []


class ServedVersion(Answer):
    """A release that was live, with the Lambda version that serves it."""

    release_id: str
    version: str


class TrendPoint(Answer):
    """A release that went live, with the figures of its test."""

    release_id: str
    at: Moment
    memory_mb: int | None = None
    cost_usd_per_million: float | None = None


class Algorithm(Answer):
    """An algorithm: what is live, and how its newest release is."""

    name: str
    type: AlgorithmType | None = None
    live_release_id: str | None = None
    live_version: str | None = None
    live_before: list[ServedVersion] = Field(default=[], description="What can be rolled back to, newest first")
    memory_mb: int | None = None
    cost_usd_per_million: float | None = None
    latest_release_id: str | None = None
    latest_status: ReleaseStatus | None = None
    updated_at: Moment | None = None
    next: list[str] = Field(default=[], description="The algorithms that it forwards to")
    trend: list[TrendPoint] = Field(default=[], description="The last times that a release went live, oldest first")


class AlgorithmList(Answer):
    """All algorithms."""

    algorithms: list[Algorithm] = []


class RolledBack(Answer):
    """`release_id` is live now, `rolled_back_release_id` was before."""

    release_id: str
    rolled_back_release_id: str | None = None
    version: str | None = None


class MessageResult(Answer):
    """What has become of a message at one algorithm."""

    algorithm: str
    status: MessageStatus = "pending"
    reason: str | None = Field(default=None, description="Why it has failed, or why it is tried again")
    content_type: str | None = None
    size_bytes: int | None = None
    url: str | None = Field(default=None, description="Where the answer can be had for a while")
    release_id: str | None = None
    version: str | None = None


class Message(Answer):
    """A message sent through production, and what came out of it so far."""

    message_id: str
    status: MessageStatus = "pending"
    ended: bool = Field(
        default_factory=lambda data: data.get("status") in ("done", "failed"),
        description="Whether every result is there, or one has failed",
    )
    results: list[MessageResult] = []


class Queue(Answer):
    """An SQS queue, and how much is in it."""

    name: str
    kind: QueueKind = ""
    algorithm: str | None = Field(default=None, description="Whose queue it is; null for that of uploads")
    visible: int = Field(default=0, description="Messages that wait")
    in_flight: int = Field(default=0, description="Messages that are being handled")
    counted_at: Moment | None = Field(default=None, description="When that was; null if just now")


class AlgorithmQueues(Answer):
    """The queues of an algorithm; null where there is none yet."""

    input: Queue | None = None
    dead_letters: Queue | None = None


class Failure(Answer):
    """A message that could not be handled. `document` may be only its beginning; `url` has a large one."""

    failure_id: str
    message_id: str | None = None
    release_id: str | None = Field(default=None, description="Of a failed upload: the release that it is for")
    reason: str | None = None
    since: Moment | None = None
    content_type: str | None = None
    size_bytes: int | None = None
    document: str | None = None
    cut: bool = Field(default=False, description="Whether the document is longer than what is shown")
    url: str | None = Field(default=None, description="Where a large document can be had for a while")
    to: list[str] | None = Field(default=None, description="The algorithms that it goes on to")


class FailureList(Answer):
    """Messages that could not be handled, oldest first, and how many there are in all."""

    failures: list[Failure] = []
    total: int = 0


class Redriven(Answer):
    """How many messages are on their way again, and how many are left."""

    redriven: int = 0
    left: int = 0


class Deleted(Answer):
    """How many messages were deleted, and how many are left."""

    deleted: int = 0
    left: int = 0


class Platform(Answer):
    """Which platform this is."""

    version: str | None = None
    region: str | None = None
    account_id: str | None = None
    prefix: str | None = Field(default=None, description="What the names of all its resources begin with")


class ReleaseInFlight(Answer):
    """A release that the platform is working on."""

    release_id: str
    algorithm: str | None = None
    status: ReleaseStatus


class Difference(Answer):
    """Something of an algorithm that is not as the registry says, and what to do."""

    algorithm: str
    message: str
    since: Moment | None = Field(default=None, description="When it was first seen")


class PlatformStatus(Answer):
    """The platform at a glance."""

    platform: Platform = Platform()
    algorithms: int = 0
    releases_in_flight: list[ReleaseInFlight] = []
    queues: list[Queue] = []
    dead_letters: int = Field(default=0, description="Messages that could not be handled, failed uploads included")
    differences: list[Difference] = Field(
        default=[], description="What is not as the registry says; what is safe to put right has been put right already"
    )
    compared_at: Moment | None = Field(default=None, description="When the platform last looked around")


class TuningCreated(Answer):
    """The id of a tuning that has been started."""

    tuning_id: str


class PowerTuningStateMachine(Answer):
    """What a tuning cost, and a link that draws what it found."""

    execution_cost: float = Field(description="In US dollars, for state transitions")
    lambda_cost: float = Field(description="In US dollars, for invocations")
    visualization: str


class PowerTuningStats(Answer):
    """The figures of one memory size."""

    value: int = Field(description="Memory size in MB")
    average_price: float = Field(description="In US dollars an invocation")
    average_duration: float = Field(description="In milliseconds")


class PowerTuningOutput(Answer):
    """The result of a tuning in the shape of AWS Lambda Power Tuning's output."""

    power: int = Field(description="The best memory size in MB")
    cost: float = Field(description="In US dollars an invocation")
    duration: float = Field(description="In milliseconds")
    state_machine: PowerTuningStateMachine
    stats: list[PowerTuningStats] | None = Field(default=None, description="Where the input asked for them")


class Tuning(Answer):
    """A tuning of any function: how far it is, and what it found."""

    tuning_id: str
    status: TuningStatus
    ended: bool = Field(
        default_factory=lambda data: data.get("status") != "RUNNING",
        description="Whether nothing more happens to it by itself",
    )
    reason: str | None = Field(default=None, description="Why it failed")
    function: str | None = None
    cost_at_most_usd: float | None = Field(default=None, description="What the tuning can cost at most")
    progress: list[Progress] = []
    output: PowerTuningOutput | None = None
    summary: Summary | None = None

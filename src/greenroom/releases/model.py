"""What the registry remembers: uploads, releases, algorithms, live versions. Plain data without behaviour or I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from ulid import ULID

from greenroom.package.metadata import Metadata, StoredMetadata
from greenroom.releases.statuses import Status
from greenroom.wire.base import iso_utc


def new_id() -> str:
    """Return a new id, of a release or of anything else: a ULID, so that ids sort by the time they were made at."""
    return str(ULID())


def utc_now() -> str:
    """Return the present time as ISO 8601 in UTC with milliseconds, as the registry stores times."""
    return iso_utc(datetime.now(UTC))


@dataclass(frozen=True)
class StatusChange:
    """One step of a release's history; `by` is the name that the person who caused it gave, if any."""

    status: Status
    at: str
    reason: str | None = None
    by: str | None = None


@dataclass(frozen=True, kw_only=True)
class _Uploaded:
    """What is known of every upload, registered or not.

    `author` uploaded it and `changed_by` caused its present status: names as given, and not proved.
    """

    release_id: str
    status: Status
    created_at: str
    updated_at: str
    file_name: str
    reason: str | None = None
    author: str | None = None
    changed_by: str | None = None


@dataclass(frozen=True)
class Rejection:
    """Why a package was not accepted: a short name for programs, what was wrong, where, and what to do."""

    code: str
    message: str
    where: str
    hint: str


@dataclass(frozen=True, kw_only=True)
class Upload(_Uploaded):
    """An upload whose package has not been registered: it is UPLOADING, or ended before it was registered.

    `rejection` is missing in uploads that an older platform rejected.
    """

    rejection: Rejection | None = None
    history: tuple[StatusChange, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ReleaseRow(_Uploaded):
    """A registered release as a list shows it.

    `version`, `memory_mb` and `cost_usd_per_million` are what the test chose: None until it has.
    """

    algorithm: str
    type: str
    package_sha256: str
    package_size_bytes: int
    version: str | None = None
    memory_mb: int | None = None
    cost_usd_per_million: float | None = None


@dataclass(frozen=True, kw_only=True)
class Release(ReleaseRow):
    """A registered release, with all that is known of it.

    `package_sha256` is that of the ZIP that runs, `upload_sha256` that of the one that was uploaded. `case_inputs` maps
    each test case to the SHA-256 of its input, `not_compared` names the cases without an expected answer, and
    `cost_at_most_usd` is what the test can cost. The last four are missing in releases that an older platform
    registered. `versions` maps each power value in MB to the Lambda version that was tested at it. `restarts` counts
    how often a flow was started again for it.
    """

    metadata: StoredMetadata
    cases: tuple[str, ...]
    package_key: str
    upload_sha256: str | None = None
    not_compared: tuple[str, ...] = ()
    history: tuple[StatusChange, ...] = ()
    case_inputs: Mapping[str, str] = field(default_factory=dict)
    cost_at_most_usd: float | None = None
    versions: Mapping[int, str] = field(default_factory=dict)
    restarts: int = 0


@dataclass(frozen=True, kw_only=True)
class Registration:
    """What a package that was read and accepted adds to its upload.

    `case_inputs` maps the name of each test case to the SHA-256 of its input, in the order of the tests. `not_compared`
    names those without an expected answer.
    """

    metadata: Metadata
    case_inputs: Mapping[str, str]
    not_compared: tuple[str, ...]
    cost_at_most_usd: float
    package_key: str
    package_sha256: str
    upload_sha256: str
    package_size_bytes: int


@dataclass(frozen=True)
class LiveVersion:
    """A release that is or was live, with the Lambda version that serves it."""

    release_id: str
    version: str


@dataclass(frozen=True)
class WentLive:
    """A point of an algorithm's trend: a release went live, with the figures of its test."""

    release_id: str
    at: str
    memory_mb: int | None = None
    cost_usd_per_million: float | None = None


@dataclass(frozen=True)
class Algorithm:
    """One algorithm: its live release, and the releases that were live before it, newest first.

    `next` and `timeout_s` are those of the live release. `trend` is the last times that a release went live, oldest
    first, rollbacks included.
    """

    name: str
    type: str
    updated_at: str
    latest_release_id: str
    live: LiveVersion | None = None
    live_before: tuple[LiveVersion, ...] = ()
    memory_mb: int | None = None
    cost_usd_per_million: float | None = None
    next: tuple[str, ...] = ()
    timeout_s: int = 0
    trend: tuple[WentLive, ...] = ()


@dataclass(frozen=True)
class Progress:
    """How far the test of one power value has come: invocations done, to do in all, and failed.

    `durations_ms` are those of the invocations that passed, in their order.
    """

    memory_mb: int
    done: int
    total: int
    failed: int
    durations_ms: tuple[float, ...] = ()

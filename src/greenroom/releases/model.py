"""What the registry remembers: releases, algorithms, live versions. Plain data without behaviour and without I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ulid import ULID

from greenroom.releases.statuses import Status


def new_release_id() -> str:
    """Return a new release id: a ULID, so that ids sort by the time of upload."""
    return str(ULID())


def utc_now() -> str:
    """Return the present time as ISO 8601 in UTC with milliseconds, as the registry stores times."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True)
class StatusChange:
    """One step of a release's history; `by` is who caused it, as they gave their name, where somebody did."""

    status: Status
    at: str
    reason: str | None = None
    by: str | None = None


@dataclass(frozen=True)
class Release:
    """One accepted upload of a package.

    `algorithm`, `type`, `metadata`, `cases`, `case_inputs` (the SHA-256 of each case's input), `cost_at_most_usd` (of
    its test), `package_sha256` and `package_size_bytes` are known once the package has been read (REGISTERED);
    `versions` maps each power value in MB to the Lambda version that was tested at it; `version` and `memory_mb` are
    what was chosen. `author` is who uploaded it and `changed_by` who caused its present status, where somebody did;
    both by the names they gave, which nobody has proved. `restarts` counts the flows that were started anew for it.
    """

    release_id: str
    status: Status
    created_at: str
    updated_at: str
    file_name: str
    history: tuple[StatusChange, ...]
    algorithm: str | None = None
    type: str | None = None
    reason: str | None = None
    metadata: dict[str, Any] | None = None
    cases: tuple[str, ...] = ()
    case_inputs: dict[str, str] = field(default_factory=dict)
    cost_at_most_usd: float | None = None
    package_key: str | None = None
    package_sha256: str | None = None
    package_size_bytes: int | None = None
    versions: dict[int, str] = field(default_factory=dict)
    version: str | None = None
    memory_mb: int | None = None
    cost_usd_per_million: float | None = None
    author: str | None = None
    changed_by: str | None = None
    restarts: int = 0


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

    `trend` is the last times that a release went live, oldest first, roll backs among them.
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

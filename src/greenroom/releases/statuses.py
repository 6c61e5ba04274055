"""The statuses of a release and the changes between them that are allowed. Pure data; nothing here does I/O."""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """Where a release is on its way to production."""

    UPLOADING = "UPLOADING"
    REGISTERED = "REGISTERED"
    PROVISIONING = "PROVISIONING"
    PROVISIONED = "PROVISIONED"
    TESTING = "TESTING"
    LIVE = "LIVE"
    RETIRED = "RETIRED"
    ROLLED_BACK = "ROLLED_BACK"
    REJECTED = "REJECTED"
    FAILED = "FAILED"
    SUPERSEDED = "SUPERSEDED"


_WAY_OUT = {Status.REJECTED, Status.FAILED, Status.SUPERSEDED}

TRANSITIONS: dict[Status, frozenset[Status]] = {
    Status.UPLOADING: frozenset({Status.REGISTERED, *_WAY_OUT}),
    Status.REGISTERED: frozenset({Status.PROVISIONING, *_WAY_OUT}),
    Status.PROVISIONING: frozenset({Status.PROVISIONED, *_WAY_OUT}),
    Status.PROVISIONED: frozenset({Status.TESTING, *_WAY_OUT}),
    Status.TESTING: frozenset({Status.LIVE, *_WAY_OUT}),
    Status.LIVE: frozenset({Status.RETIRED, Status.ROLLED_BACK}),
    # A roll back makes a release live again whose version has been kept.
    Status.RETIRED: frozenset({Status.LIVE}),
    Status.ROLLED_BACK: frozenset({Status.LIVE}),
    Status.REJECTED: frozenset(),
    Status.FAILED: frozenset(),
    Status.SUPERSEDED: frozenset(),
}
"""Which statuses may follow which (DESIGN, section 4)."""

IN_FLIGHT = frozenset({Status.UPLOADING, Status.REGISTERED, Status.PROVISIONING, Status.PROVISIONED, Status.TESTING})
"""The statuses in which somebody still has work to do; the sweeper looks at these."""

ENDED = frozenset({Status.REJECTED, Status.FAILED, Status.SUPERSEDED})
"""The statuses that nothing follows."""


def can_change(before: Status, after: Status) -> bool:
    """Whether a release in status `before` may go to `after`."""
    return after in TRANSITIONS[before]

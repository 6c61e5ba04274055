"""The changes between the statuses of a release that are allowed. Pure data; nothing here does I/O.

The statuses themselves are words of the HTTP API, so they are defined in `wire`.
"""

from __future__ import annotations

from greenroom.wire.statuses import IN_FLIGHT, Status

__all__ = ["FINAL", "IN_FLIGHT", "TRANSITIONS", "Status", "can_change"]

_WAY_OUT = {Status.REJECTED, Status.FAILED, Status.SUPERSEDED}

TRANSITIONS: dict[Status, frozenset[Status]] = {
    Status.UPLOADING: frozenset({Status.REGISTERED, *_WAY_OUT}),
    Status.REGISTERED: frozenset({Status.PROVISIONING, *_WAY_OUT}),
    Status.PROVISIONING: frozenset({Status.PROVISIONED, *_WAY_OUT}),
    Status.PROVISIONED: frozenset({Status.TESTING, *_WAY_OUT}),
    Status.TESTING: frozenset({Status.LIVE, *_WAY_OUT}),
    Status.LIVE: frozenset({Status.RETIRED, Status.ROLLED_BACK}),
    # A rollback makes a release live again, as long as its version is kept.
    Status.RETIRED: frozenset({Status.LIVE}),
    Status.ROLLED_BACK: frozenset({Status.LIVE}),
    Status.REJECTED: frozenset(),
    Status.FAILED: frozenset(),
    Status.SUPERSEDED: frozenset(),
}
"""Which statuses may follow which."""

FINAL = frozenset({Status.REJECTED, Status.FAILED, Status.SUPERSEDED})
"""The statuses that nothing follows: not even a rollback makes such a release live again."""


def can_change(before: Status, after: Status) -> bool:
    """Return whether a release in status `before` may go to `after`."""
    return after in TRANSITIONS[before]

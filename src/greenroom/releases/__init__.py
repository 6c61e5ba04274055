"""The domain: what a release is, how its status may change, and the registry that remembers it.

`model` and `statuses` do no I/O. An upload is an `Upload` until its package has been accepted; then it is a `Release`,
of which everything is known. `registry` remembers releases, algorithms and locks in DynamoDB: every change of
a status is a conditional write, so that a handler that is called twice changes nothing twice. What a status starts is
decided in `platform`.
"""

from greenroom.releases.errors import Conflict, LockHeld, NotFound, NotRegistered
from greenroom.releases.model import (
    Algorithm,
    LiveVersion,
    Progress,
    Registration,
    Rejection,
    Release,
    ReleaseRow,
    StatusChange,
    Upload,
    WentLive,
    new_id,
    utc_now,
)
from greenroom.releases.registry import LIVE_KEPT, Registry
from greenroom.releases.statuses import FINAL, IN_FLIGHT, TRANSITIONS, Status, can_change

__all__ = [
    "FINAL",
    "IN_FLIGHT",
    "LIVE_KEPT",
    "TRANSITIONS",
    "Algorithm",
    "Conflict",
    "LiveVersion",
    "LockHeld",
    "NotFound",
    "NotRegistered",
    "Progress",
    "Registration",
    "Registry",
    "Rejection",
    "Release",
    "ReleaseRow",
    "Status",
    "StatusChange",
    "Upload",
    "WentLive",
    "can_change",
    "new_id",
    "utc_now",
]

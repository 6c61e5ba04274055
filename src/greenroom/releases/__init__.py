"""The domain: what a release is, how its status may change, and the registry that remembers it.

`model` and `statuses` decide and do no I/O. `registry` is the only module of Greenroom that knows how releases,
algorithms and locks lie in DynamoDB; every change of a status goes through it as a conditional write, so that a
handler that is called twice changes nothing twice. What a status sets in motion is not decided here: that is
`platform`.
"""

from greenroom.releases.model import Algorithm, LiveVersion, Release, StatusChange, WentLive, new_release_id, utc_now
from greenroom.releases.registry import LIVE_KEPT, Conflict, LockHeld, NotFound, Progress, Registry
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
    "Progress",
    "Registry",
    "Release",
    "Status",
    "StatusChange",
    "WentLive",
    "can_change",
    "new_release_id",
    "utc_now",
]

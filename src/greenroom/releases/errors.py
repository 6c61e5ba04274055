"""What can stand in the way of an operation of the registry."""

from __future__ import annotations


class NotFound(LookupError):
    """There is no such release or algorithm."""


class Conflict(RuntimeError):
    """Another caller changed the item first, or the change is not allowed from its present status."""


class NotRegistered(Conflict):
    """The release is an upload that has not been registered."""


class LockHeld(RuntimeError):
    """Another release of the algorithm is being provisioned or tested."""

    def __init__(self, owner: str, expires_at: str) -> None:
        super().__init__(f"the lock is held by {owner} until {expires_at}")
        self.owner = owner
        self.expires_at = expires_at

"""What can go wrong with a store."""

from __future__ import annotations


class StoreError(Exception):
    """A store can't be used. The message says what is wrong, where, and what to do."""


class DamagedStore(StoreError):
    """A file of the store is missing or damaged: what was answered is not all there."""


class NewerStore(StoreError):
    """The store was written by a newer release of Greenroom."""


class StoreUnavailable(StoreError):
    """What was written can't reach the disk at the moment (no space, read-only, no descriptors). It is tried again."""

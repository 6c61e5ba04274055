"""What becomes of an asynchronous invocation after an attempt: pure decisions.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

MAX_RETRIES = 2
MAX_AGE_S = 21_600

Condition = Literal["Success", "RetriesExhausted", "EventAgeExceeded", "ZeroReservedConcurrency"]


@dataclass(frozen=True)
class Waits:
    """How long Lambda waits before it tries again.

    After an error of the function a minute, and two before the third attempt; after a throttle a second, then twice as
    long each time, up to five minutes.
    """

    error_s: float = 60.0
    throttle_s: float = 1.0
    longest_throttle_s: float = 300.0


@dataclass(frozen=True)
class Settings:
    """How often an event is tried again, and how old it may become."""

    retries: int = MAX_RETRIES
    max_age_s: float = MAX_AGE_S

    @classmethod
    def of(cls, config: Mapping[str, Any] | None) -> Settings:
        """Return what a function's settings of asynchronous invocation say, with Lambda's own where they are silent."""
        config = config or {}
        retries, age = config.get("MaximumRetryAttempts"), config.get("MaximumEventAgeInSeconds")
        return cls(MAX_RETRIES if retries is None else int(retries), MAX_AGE_S if age is None else float(age))


@dataclass(frozen=True)
class Attempts:
    """What has been tried so far: how often the function ran, and how often it was throttled since it last ran."""

    accepted_at: float
    runs: int = 0
    throttles: int = 0


@dataclass(frozen=True)
class Again:
    """The event is tried again at a time."""

    at: float


@dataclass(frozen=True)
class Finished:
    """The event is done with."""

    condition: Condition


def after_run(attempts: Attempts, failed: bool, settings: Settings, waits: Waits, now: float) -> Again | Finished:
    """Return what comes after a run of the function, which `attempts` counts already."""
    if not failed:
        return Finished("Success")
    if attempts.runs > settings.retries:
        return Finished("RetriesExhausted")
    return _again(attempts, now + waits.error_s * attempts.runs, settings)


def after_throttle(attempts: Attempts, settings: Settings, waits: Waits, now: float) -> Again | Finished:
    """Return what comes after a throttle, which `attempts` counts already: it is no attempt."""
    wait = min(waits.longest_throttle_s, waits.throttle_s * 2.0 ** min(attempts.throttles - 1, 30))
    return _again(attempts, now + wait, settings)


def _again(attempts: Attempts, at: float, settings: Settings) -> Again | Finished:
    return Finished("EventAgeExceeded") if at - attempts.accepted_at > settings.max_age_s else Again(at)

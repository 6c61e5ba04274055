from __future__ import annotations

from collections.abc import Iterator

import pytest

from greenroom.client import GreenroomClient, Timing
from tests.unit.client.stand_in_api import TOKEN, StandInApi


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.slept_s: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)
        self.now_s += seconds

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def api() -> Iterator[StandInApi]:
    server = StandInApi()
    yield server
    server.stop()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def client(api: StandInApi, clock: Clock) -> Iterator[GreenroomClient]:
    timing = Timing(timeout_s=5, sleep=clock.sleep, clock=clock, jitter=lambda: 1.0)
    with GreenroomClient(api.url, TOKEN, timing=timing) as it:
        yield it

"""Many algorithms, many releases of one, and many uploads at once."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from bench.load.machine import Taken, taken
from greenroom.client import GreenroomClient, GreenroomError
from tests.crash import errands
from tests.crash.rig import Rig

AT_ONCE = 4
REPEATS = 15


@dataclass
class Views:
    """How long the platform takes for what people look at (median, ms), and what it takes of the machine."""

    when: str
    ms: dict[str, float]
    machine: Taken
    start_s: float | None = None


@dataclass
class Burst:
    """What came of many uploads at once: seconds of each that was accepted, and what the releases became."""

    asked: int
    accepted_s: list[float] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)


def measure(data: Path, algorithms: int, releases: int, tell: Callable[[str], None]) -> list[Views]:
    """Make many algorithms, and many releases of one; look before, between and after."""
    rig = Rig.build(data)
    found = []
    try:
        with GreenroomClient(rig.address.url, rig.address.token) as client:
            _push(client, data, "many-0")
            found.append(_views(rig, client, "one algorithm"))
            with ThreadPoolExecutor(AT_ONCE) as threads:
                for number, _ in enumerate(
                    threads.map(lambda n: _push(client, data, f"many-{n}"), range(1, algorithms))
                ):
                    if number % 50 == 49:
                        tell(f"{number + 1} algorithms")
            found.append(_views(rig, client, f"{algorithms} algorithms"))
            for number in range(releases):
                _push(client, data, "many-0", number)
                if number % 50 == 49:
                    tell(f"{number + 1} releases of one")
            found.append(_views(rig, client, f"and {releases} releases of one"))
            assert rig.server is not None
            rig.server.stop()
            start_s = rig.start()
            last = _views(rig, client, "started again")
            last.start_s = start_s
            found.append(last)
    finally:
        rig.end()
    return found


def _push(client: GreenroomClient, data: Path, name: str, number: int = 0) -> str:
    path = data / f"{name}-{number}.zip"
    path.write_bytes(errands.numbered(name, number))
    try:
        return client.wait_for_release(client.upload_package(path), timeout_s=600).status
    finally:
        path.unlink()


def _views(rig: Rig, client: GreenroomClient, when: str) -> Views:
    release_id = client.releases("many-0").releases[0].release_id
    views: dict[str, Callable[[], object]] = {
        "list algorithms": client.algorithms,
        "list 50 releases": lambda: client.releases("many-0", limit=50),
        "show a release": lambda: client.release(release_id),
        "status": client.status,
    }
    times = {name: statistics.median(_ms(view) for _ in range(REPEATS)) for name, view in views.items()}
    times["push to LIVE"] = _ms(lambda: _push(client, rig.data, "many-0", 9_999))
    return Views(when, times, taken(rig.pid, rig.data))


def _ms(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return (time.perf_counter() - begin) * 1_000


def burst(data: Path, uploads: int, algorithms: int) -> Burst:
    """Upload many packages at once to a platform that has just started: none of its functions has run yet."""
    rig = Rig.build(data)
    assert rig.server is not None
    rig.server.stop()  # and with it every environment
    rig.start()
    found = Burst(uploads)
    try:
        packages = [data / f"{number}.zip" for number in range(uploads)]
        for number, path in enumerate(packages):
            path.write_bytes(errands.numbered(f"burst-{number % algorithms}", number))
        with GreenroomClient(rig.address.url, rig.address.token) as client:
            with ThreadPoolExecutor(uploads) as threads:
                accepted = [each for each in threads.map(lambda path: _upload(client, path, found), packages) if each]
            found.statuses.update(client.wait_for_release(each, timeout_s=900).status for each in accepted)
    finally:
        rig.end()
    return found


def _upload(client: GreenroomClient, path: Path, found: Burst) -> str | None:
    begin = time.monotonic()
    try:
        release_id = client.upload_package(path)
    except GreenroomError as error:
        found.refused[type(error).__name__] += 1
        return None
    found.accepted_s.append(time.monotonic() - begin)
    return release_id

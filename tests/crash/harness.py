"""The loop: ask for something, kill at a point, start again, wait for rest, and let the checker judge.

The order of the points, and the moments after them, come from the seed. What a kill interrupts is never exactly the
same twice: the seed repeats what was aimed at. After a kill that went wrong a new folder is begun.
"""

from __future__ import annotations

import copy
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from botocore.exceptions import BotoCoreError, ClientError

from tests.crash import checker, errands
from tests.crash.errands import FIRST, LAST, Errands
from tests.crash.eyes import Eyes
from tests.crash.ledger import Ledger
from tests.crash.points import AT_RANDOM, POINTS, Point, Scene
from tests.crash.rig import Rig

REACH_LIMIT_S = 40.0
"""How long a point is waited for; then the kill comes anyway, and counts as one at a random moment."""

REST_LIMIT_S = 150.0
"""How long a platform may take until it is at rest: a message that was being handled comes back after 18 s."""

SWEEP_EVERY_S, PATIENCE_S = 2.0, 3.0
"""The sweeper looks by itself once a minute, and gives an event two minutes: the harness asks it more often."""

KILLS_A_FOLDER = 30
"""After so many kills a new folder is begun, so that each kill hits a small platform."""

PUSHES = 8
"""How often a push is tried on a machine that is too busy to measure."""

UNANSWERED = (httpx.HTTPError, BotoCoreError, ClientError)


@dataclass
class Verdict:
    """What a kill led to."""

    number: int
    point: str
    reached: bool
    start_s: float
    rest_s: float
    faults: list[str] = field(default_factory=list)

    @property
    def is_right(self) -> bool:
        """Whether nothing is wrong."""
        return not self.faults


def plan(kills: int, seed: int) -> list[Point]:
    """Return the points of a run: all of them in turn, shuffled, and a fifth of the kills at random."""
    random_ = random.Random(seed)  # noqa: S311 -- the same kills every time
    found: list[Point] = []
    while len(found) < kills:
        round_ = [*POINTS, *[AT_RANDOM] * (len(POINTS) // 4)]
        random_.shuffle(round_)
        found += round_
    return found[:kills]


def run(kills: int, seed: int, points: list[Point] | None = None, keep: Path | None = None) -> Iterator[Verdict]:
    """Kill so many times; yield what each kill led to.

    Args:
        kills: how many.
        seed: of the order and of the moments.
        points: in place of those that the seed gives.
        keep: a folder, not there yet, in which the platform's data stays.
    """
    wanted, begin = points or plan(kills, seed), 0
    while begin < len(wanted):
        data = (keep / str(begin)) if keep else Path(tempfile.mkdtemp(prefix="greenroom-crash-"))
        try:
            moments = random.Random(seed * 1_000 + begin)  # noqa: S311 -- the same kills every time
            for verdict in Cycles(data, moments).run(wanted[begin:], begin):
                begin += 1
                yield verdict
        finally:
            if keep is None:
                shutil.rmtree(data, ignore_errors=True)


class Cycles:
    """The kills on one data folder."""

    def __init__(self, data: Path, random_: random.Random) -> None:
        self._random = random_
        self._rig = Rig.build(data)
        self._ledger = Ledger()
        self._errands = Errands(self._rig.address, self._ledger)

    def run(self, points: list[Point], begin: int) -> Iterator[Verdict]:
        """Kill at each point up to the first that goes wrong; yield what it led to.

        That the next push and message work, the next kill shows, and after the last one of a folder a push and a
        message of their own.
        """
        try:
            self._set_up()
            here = points[:KILLS_A_FOLDER]
            for number, point in enumerate(here, begin):
                verdict = self._cycle(number, point)
                if number == begin + len(here) - 1:
                    verdict.faults += self._next_works()
                yield verdict
                if not verdict.is_right:
                    return
        finally:
            self._errands.end()
            self._rig.end()

    def _set_up(self) -> None:
        """Make the two algorithms live, the first one twice: then it can be rolled back."""
        eyes = Eyes(self._rig.address)
        for name, make in ((LAST, errands.last), (FIRST, errands.first), (FIRST, errands.first)):
            assert self._goes_live(eyes, name, make), "the platform does not work even without a kill"
        eyes.close()

    def _goes_live(self, eyes: Eyes, name: str, make: Callable[[int], bytes]) -> bool:
        """Push until a release is live; only a machine that is too busy to measure is a reason to push again."""
        for _ in range(PUSHES):
            self._errands.push_and_watch(name, make)(eyes)
            release_id = self._ledger.allowed[-1]
            release = eyes.get(f"/releases/{release_id}") or {}
            if release.get("status") == "LIVE":
                return True
            if not str(release.get("reason")).startswith(checker.TOO_BUSY):
                return False
        return False

    def _cycle(self, number: int, point: Point) -> Verdict:
        if point.victim == "up" and self._rig.server is not None:
            self._rig.server.stop()
            self._rig.start_up()
        reached = self._until(number, point)
        start_s = self._kill(point)
        self._errands.end()
        begin = time.monotonic()
        verdict = Verdict(number, point.name, reached, start_s, 0.0)
        verdict.faults += self._rest()
        verdict.rest_s = time.monotonic() - begin
        verdict.faults += self._judge()
        return verdict

    def _until(self, number: int, point: Point) -> bool:
        """Begin the point's errand, and wait until the point is reached; return whether it was."""
        eyes = Eyes(self._rig.address)
        algorithm = f"new-{number}" if point.errand == "new" else FIRST
        scene = Scene(eyes, self._ledger, copy_of(self._ledger), self._rig.data, algorithm, {})
        scene.memory["prod"] = (eyes.aliases(algorithm) or {}).get("prod")
        self._begin(point, algorithm)
        if point is AT_RANDOM:
            time.sleep(self._random.uniform(0, 6))
            return True
        try:
            reached = wait(lambda: bool(point.reached(scene)), REACH_LIMIT_S)
        finally:
            eyes.close()
        if self._random.random() < 0.5:
            time.sleep(self._random.uniform(0, 0.2))
        return reached

    def _begin(self, point: Point, algorithm: str) -> None:
        work = self._errands
        if point.errand == "new":
            work.begin(work.push_and_watch(algorithm, lambda number: errands.numbered(algorithm, number)))
        elif point.errand == "next":
            work.begin(work.push_and_watch(FIRST, errands.first))
        elif point.errand == "broken":
            broken = work.push_and_watch(FIRST, lambda number: errands.first(number, is_good=False), is_good=False)
            work.begin(broken)
        elif point.errand == "roll back":
            work.begin(work.roll_back_often)
        if point.errand in ("stream", "next", "roll back"):
            work.begin(work.stream)

    def _kill(self, point: Point) -> float:
        """Kill the point's victim, start again, and return how long that took."""
        rig = self._rig
        if point.victim == "engine":
            rig.kill_engine(self._random.random())
            return 0.0
        if point.victim == "up":
            rig.kill_up()
            return rig.start()
        rig.kill()
        if point.victim == "starting server":
            rig.kill_while_starting(self._random.uniform(0.05, 2.0))
        return rig.start()

    def _rest(self) -> list[str]:
        """Wait until the platform is at rest; return what still goes on after too long."""
        eyes = Eyes(self._rig.address)
        left: list[str] = ["the platform did not answer"]
        until, next_sweep = time.monotonic() + REST_LIMIT_S, 0.0
        while time.monotonic() < until:
            if time.monotonic() > next_sweep:
                eyes.sweep(PATIENCE_S)
                next_sweep = time.monotonic() + SWEEP_EVERY_S
            try:
                left = checker.unrest(eyes, self._ledger)
            except UNANSWERED as error:
                left = [f"the platform did not answer: {error}"]
            if not left:
                break
            time.sleep(0.3)
        eyes.close()
        return [f"not at rest after {REST_LIMIT_S:g} s: {each}" for each in left]

    def _judge(self) -> list[str]:
        eyes = Eyes(self._rig.address)
        try:
            found = checker.faults(eyes, self._ledger)
            found += checker.doubled(self._ledger, eyes.registry())
        except UNANSWERED as error:
            found = [f"it can't be looked at: {type(error).__name__}: {error}"]
        finally:
            eyes.close()
        return found + self._rig.residue()

    def _next_works(self) -> list[str]:
        """Push and send once more; return what does not work."""
        eyes = Eyes(self._rig.address)
        try:
            works = self._goes_live(eyes, FIRST, errands.first)
            found = [] if works else [f"the next push does not work: {[*self._ledger.uploads.values()][-1]}"]
            sent = self._errands.send(eyes, FIRST, (LAST,), next(self._errands.numbers))
            if not wait(lambda: self._errands.ask(eyes, sent) == "done", 60):
                found.append(f"the next message does not work: {sent}")
        except UNANSWERED as error:
            found = [f"the next push or message does not work: {error}"]
        finally:
            eyes.close()
        return found


def wait(look: Callable[[], bool], limit_s: float) -> bool:
    """Look until something is so; return whether it was in time."""
    until = time.monotonic() + limit_s
    while time.monotonic() < until:
        try:
            if look():
                return True
        except UNANSWERED:
            pass
        time.sleep(0.003)
    return False


def copy_of(ledger: Ledger) -> Ledger:
    """Return a ledger as it is now."""
    return Ledger(
        [*ledger.allowed],
        copy.copy(ledger.uploads),
        [*ledger.sent],
        [*ledger.rolled_back],
        dict(ledger.answers),
    )

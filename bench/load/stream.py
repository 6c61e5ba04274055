"""A stream of messages through two algorithms, while releases are pushed and the server is killed."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from bench.load.machine import Taken, taken
from tests.crash import checker, errands
from tests.crash.errands import BROKEN_OFF, FIRST, LAST, Errands
from tests.crash.eyes import Eyes
from tests.crash.ledger import Ledger
from tests.crash.rig import Rig

AROUND_PROMOTION_S, AFTER_KILL_S = 2.0, 20.0
SETTLE_LIMIT_S = 180.0


@dataclass(frozen=True)
class Plan:
    """How much, and for how long."""

    rate: float
    duration_s: float
    releases: int
    kills: int


@dataclass
class Outcome:
    """What came of it. `sent_s` has when each acknowledged message was sent, by its id."""

    sent_s: dict[str, float] = field(default_factory=dict)
    unacknowledged: int = 0
    answered_s: dict[str, list[float]] = field(default_factory=dict)
    by_release: Counter[str] = field(default_factory=Counter)
    kills_s: list[tuple[float, float]] = field(default_factory=list)
    releases: dict[str, dict[str, Any]] = field(default_factory=dict)
    looks: list[tuple[float, Taken]] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    @property
    def missing(self) -> int:
        """How many acknowledged messages have no answer."""
        return sum(message_id not in self.answered_s for message_id in self.sent_s)

    @property
    def doubled(self) -> int:
        """How many messages have more than one answer."""
        return sum(len(each) > 1 for each in self.answered_s.values())

    def by_wrong_version(self) -> int:
        """How many answers were given by a release that was never live."""
        passed = {
            release_id
            for release_id, item in self.releases.items()
            if "LIVE" in [change["status"] for change in item["history"]]
        }
        return sum(count for release_id, count in self.by_release.items() if release_id not in passed)

    def latencies_ms(self) -> dict[str, list[float]]:
        """Return how long answers took, by what went on when their message was sent."""
        found: dict[str, list[float]] = {}
        spans = self._spans()
        for message_id, sent_s in self.sent_s.items():
            if message_id in self.answered_s:
                phase = next((name for name, begin, end in spans if begin <= sent_s <= end), "calm")
                found.setdefault(phase, []).append((min(self.answered_s[message_id]) - sent_s) * 1_000)
        return found

    def _spans(self) -> list[tuple[str, float, float]]:
        spans = [("kill", begin - 1, end + AFTER_KILL_S) for begin, end in self.kills_s]
        for item in self.releases.values():
            at = {change["status"]: _seconds(change["at"]) for change in item["history"]}
            if "LIVE" in at:
                spans.append(("promotion", at["LIVE"] - AROUND_PROMOTION_S, at["LIVE"] + AROUND_PROMOTION_S))
        for item in self.releases.values():
            at = {change["status"]: _seconds(change["at"]) for change in item["history"]}
            if "TESTING" in at:
                spans.append(("test", at["TESTING"], max(at.values())))
        return spans


def run(data: Path, plan: Plan, *, look_every_s: float = 60.0) -> Outcome:
    """Run a stream on a new platform."""
    rig = Rig.build(data)
    load = _Load(rig, plan)
    try:
        load.set_up()
        load.run(look_every_s)
        load.settle()
    finally:
        rig.end()
    return load.outcome


class _Load:
    def __init__(self, rig: Rig, plan: Plan) -> None:
        self._rig, self._plan = rig, plan
        self.outcome = Outcome()
        self._ledger = Ledger()
        self._errands = Errands(rig.address, self._ledger)
        self._stopping = threading.Event()

    def set_up(self) -> None:
        eyes = Eyes(self._rig.address)
        for name, make in ((LAST, errands.last), (FIRST, errands.first)):
            while True:
                self._errands.push_and_watch(name, make)(eyes)
                if eyes.item(self._ledger.allowed[-1])["status"] == "LIVE":
                    break
        eyes.close()

    def run(self, look_every_s: float) -> None:
        begin = time.monotonic()
        threads = [threading.Thread(target=work, daemon=True) for work in (self._send, self._push)]
        for thread in threads:
            thread.start()
        kills = [self._plan.duration_s * (each + 1) / (self._plan.kills + 1) for each in range(self._plan.kills)]
        next_look_s = 0.0
        while (passed_s := time.monotonic() - begin) < self._plan.duration_s:
            if kills and passed_s >= kills[0]:
                kills.pop(0)
                killed_s = time.time()
                self._rig.kill()
                self._rig.start()
                self.outcome.kills_s.append((killed_s, time.time()))
            elif passed_s >= next_look_s:
                self.outcome.looks.append((passed_s, taken(self._rig.pid, self._rig.data)))
                next_look_s = passed_s + look_every_s
            time.sleep(0.2)
        self._stopping.set()
        for thread in threads:
            thread.join(300)

    def _send(self) -> None:
        """Send at the rate; what is not acknowledged is not sent again."""
        eyes = Eyes(self._rig.address)
        sqs = eyes.sqs
        url = sqs.get_queue_url(QueueName=f"{eyes.function(FIRST)}-input")["QueueUrl"]
        begin, number = time.monotonic(), 0
        while not self._stopping.is_set():
            wait_s = begin + number / self._plan.rate - time.monotonic()
            if wait_s > 0:
                time.sleep(wait_s)
            message_id, at_s = f"LOAD{number:010d}", time.time()
            about = {"greenroom": 1, "messageId": message_id, "route": None, "contentType": "application/json"}
            try:
                sqs.send_message(QueueUrl=url, MessageBody=json.dumps({**about, "document": {"number": number}}))
                self.outcome.sent_s[message_id] = at_s
            except BROKEN_OFF:
                self.outcome.unacknowledged += 1
                time.sleep(0.1)
            number += 1
        eyes.close()

    def _push(self) -> None:
        """Push the releases, spread over the time; every third one is broken."""
        eyes = Eyes(self._rig.address)
        for each in range(self._plan.releases):
            if self._stopping.wait(self._plan.duration_s / (self._plan.releases + 1)):
                break
            number, is_good = next(self._errands.numbers), each % 3 != 2
            while not self._stopping.is_set():
                try:
                    self._errands.push(eyes, FIRST, errands.first(number, is_good=is_good), number, is_good=is_good)
                    break
                except BROKEN_OFF:
                    time.sleep(0.5)
        eyes.close()

    def settle(self) -> None:
        """Wait for rest, then read every answer."""
        eyes = Eyes(self._rig.address)
        until = time.monotonic() + SETTLE_LIMIT_S
        while time.monotonic() < until and (left := checker.unrest(eyes, self._ledger)):
            eyes.sweep(3.0)
            time.sleep(1)
        self.outcome.left = left
        pages = eyes.s3.get_paginator("list_objects_v2").paginate(Bucket=eyes.bucket(LAST), Prefix="results/LOAD")
        for entry in (entry for page in pages for entry in page.get("Contents", ())):
            message_id = entry["Key"].split("/")[1]
            self.outcome.answered_s.setdefault(message_id, []).append(entry["LastModified"].timestamp())
        for message_id in self.outcome.answered_s:
            key = f"results/{message_id}/{LAST}.json"
            found = eyes.s3.get_object(Bucket=eyes.bucket(LAST), Key=key)
            self.outcome.by_release[found["Metadata"]["greenroom-release"]] += 1
        self.outcome.releases = {
            item["releaseId"]: item for item in eyes.registry() if item["sk"] == "META" and "releaseId" in item
        }
        self.outcome.left += checker.faults(eyes, self._ledger)
        self.outcome.looks.append((self._plan.duration_s, taken(self._rig.pid, self._rig.data)))
        eyes.close()


def _seconds(at: str) -> float:
    return datetime.fromisoformat(at).timestamp()

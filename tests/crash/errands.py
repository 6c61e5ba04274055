"""What a platform is asked for while it is killed. Every answer goes into the ledger at once; an error ends the errand.

Plain HTTP without a second try: what was not answered was not acknowledged.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import httpx
from botocore.exceptions import BotoCoreError, ClientError

from tests.crash.eyes import Address, Eyes
from tests.crash.ledger import Ledger, RolledBack, Sent, Upload
from tests.e2e.packages import package

BROKEN_OFF = (httpx.HTTPError, BotoCoreError, ClientError, OSError, ValueError, KeyError)
"""How an errand ends when the server dies under it."""

FIRST, LAST = "chain-in", "chain-out"
"""The algorithms that every platform of the harness begins with: the first sends its answers to the last."""

TIMEOUT_S = 3
"""Of each algorithm: a message that was being handled comes back after six times that."""

_NUMBERED = """
class Algorithm:
    def translate(self, document):
        return {{"by": {number}, "number": document["number"]}}
"""


def numbered(name: str, number: int, *, is_good: bool = True, **metadata: Any) -> bytes:
    """A package whose answers say which one it is; a broken one expects what it does not answer."""
    expected = {"by": number if is_good else -number, "number": 1}
    tests = {"one/input.json": {"number": 1}, "one/expected.json": expected}
    values = {"num": 1, "powerValues": [512], "timeout": TIMEOUT_S, **metadata}
    return package(name, _NUMBERED.format(number=number), tests=tests, **values)


def first(number: int, *, is_good: bool = True) -> bytes:
    """A release of the algorithm that sends on."""
    return numbered(FIRST, number, is_good=is_good, next=[LAST])


def last(number: int) -> bytes:
    """A release of the algorithm that answers."""
    return numbered(LAST, number, type="out")


@dataclass
class Errands:
    """Everything that is asked of one platform, by any number of threads."""

    address: Address
    ledger: Ledger
    numbers: Any = field(default_factory=lambda: count(1))
    stopping: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def begin(self, work: Callable[[Eyes], None]) -> None:
        """Do something in a thread of its own, until it is done, or the platform does not answer."""

        def run() -> None:
            eyes = Eyes(self.address)
            try:
                work(eyes)
            except BROKEN_OFF:
                pass  # the server was killed under it
            finally:
                eyes.close()

        thread = threading.Thread(target=run, daemon=True)
        self._threads.append(thread)
        thread.start()

    def end(self) -> None:
        """Let every errand stop, and wait for it."""
        self.stopping.set()
        for thread in self._threads:
            thread.join(90)
        self._threads.clear()
        self.stopping.clear()

    def push(self, eyes: Eyes, algorithm: str, body: bytes, number: int, *, is_good: bool = True) -> str:
        """Upload a package; return the release's id."""
        release_id, form = self.allow(eyes)
        self.upload(form, body, Upload(release_id, algorithm, number, is_good))
        return release_id

    def allow(self, eyes: Eyes) -> tuple[str, Any]:
        """Ask for an upload."""
        answer = eyes.http.post("/releases", json={"fileName": "x.zip", "sizeBytes": 10}).raise_for_status().json()
        self.ledger.allow(answer["releaseId"])
        return answer["releaseId"], answer["upload"]

    def upload(self, form: Any, body: bytes, upload: Upload) -> None:
        """Post a package to S3."""
        files = {"file": ("x.zip", body, "application/octet-stream")}
        httpx.post(form["url"], data=form["fields"], files=files, timeout=60, trust_env=False).raise_for_status()
        self.ledger.accept(upload)

    def watch(self, eyes: Eyes, release_id: str, *, until: float = 240) -> str:
        """Look at a release until it has ended; write down every status that is shown."""
        deadline = time.monotonic() + until
        while not self.stopping.is_set() and time.monotonic() < deadline:
            release = eyes.get(f"/releases/{release_id}")
            if release is not None:
                self.ledger.show(release_id, release["status"])
                if release["ended"]:
                    return str(release["status"])
            time.sleep(0.1)
        return ""

    def send(self, eyes: Eyes, to: str, answering: tuple[str, ...], number: int) -> Sent:
        """Send a document."""
        about = {"fileName": "x.json", "contentType": "application/json", "to": [*answering]}
        base = f"/algorithms/{to}/messages"
        made = eyes.http.post(base, json={**about, "sizeBytes": 20}).raise_for_status().json()
        form = made["upload"]
        files = {"file": ("x.json", json.dumps({"number": number}).encode(), "application/json")}
        httpx.post(form["url"], data=form["fields"], files=files, timeout=60, trust_env=False).raise_for_status()
        eyes.http.post(f"{base}/{made['messageId']}/submit", json=about).raise_for_status()
        sent = Sent(made["messageId"], to, answering, number)
        self.ledger.send(sent)
        return sent

    def ask(self, eyes: Eyes, sent: Sent) -> str:
        """Ask what has become of a message; write down who has answered."""
        told = eyes.get(f"/algorithms/{sent.to}/messages/{sent.message_id}?to={','.join(sent.answering)}")
        for result in told["results"]:
            if result["status"] == "done":
                self.ledger.answer(sent.message_id, result["algorithm"], result["version"])
        return str(told["status"])

    def roll_back(self, eyes: Eyes, algorithm: str) -> None:
        """Roll back an algorithm, if there is something to roll back to."""
        answer = eyes.http.post(f"/algorithms/{algorithm}/rollback", json={})
        if answer.status_code != 409:
            done = answer.raise_for_status().json()
            self.ledger.roll_back(RolledBack(algorithm, done["rolledBackReleaseId"], done["releaseId"]))

    # What a cycle does

    def push_and_watch(
        self, algorithm: str, make: Callable[[int], bytes], *, is_good: bool = True
    ) -> Callable[[Eyes], None]:
        """An errand: push a release and look until it has ended."""

        def work(eyes: Eyes) -> None:
            number = next(self.numbers)
            release_id = self.push(eyes, algorithm, make(number), number, is_good=is_good)
            self.watch(eyes, release_id)

        return work

    def stream(self, eyes: Eyes) -> None:
        """An errand: send a document every now and then, and ask for the answers."""
        unanswered: list[Sent] = []
        while not self.stopping.is_set():
            unanswered.append(self.send(eyes, FIRST, (LAST,), next(self.numbers)))
            unanswered = [sent for sent in unanswered if self.ask(eyes, sent) == "pending"]
            self.stopping.wait(0.3)

    def roll_back_often(self, eyes: Eyes) -> None:
        """An errand: roll back once and again, which goes forward."""
        while not self.stopping.is_set():
            self.roll_back(eyes, FIRST)
            self.stopping.wait(0.2)

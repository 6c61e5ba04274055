"""What a platform has answered or shown, written down before anything else happens: none of it may be lost.

Whoever adds to it has the answer in hand. What was asked for and not answered (the server was killed meanwhile) is not
in it: that may have happened or not.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Upload:
    """An upload that S3 has accepted, and every status that it was shown in."""

    release_id: str
    algorithm: str
    number: int
    is_good: bool
    shown: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Sent:
    """A message whose submission was answered: who must answer it, and with which number."""

    message_id: str
    to: str
    answering: tuple[str, ...]
    number: int


@dataclass(frozen=True)
class RolledBack:
    """A rollback that was answered."""

    algorithm: str
    from_release_id: str
    to_release_id: str


@dataclass
class Ledger:
    """All of it. Several threads write."""

    allowed: list[str] = field(default_factory=list)
    uploads: dict[str, Upload] = field(default_factory=dict)
    sent: list[Sent] = field(default_factory=list)
    rolled_back: list[RolledBack] = field(default_factory=list)
    answers: dict[tuple[str, str], Any] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def allow(self, release_id: str) -> None:
        """Note that a release's id and form were given."""
        with self._lock:
            self.allowed.append(release_id)

    def accept(self, upload: Upload) -> None:
        """Note that S3 has the package."""
        with self._lock:
            self.uploads[upload.release_id] = upload

    def show(self, release_id: str, status: str) -> None:
        """Note that a status was shown."""
        with self._lock:
            shown = self.uploads[release_id].shown
            if not shown or shown[-1] != status:
                shown.append(status)

    def send(self, sent: Sent) -> None:
        """Note that a message was taken."""
        with self._lock:
            self.sent.append(sent)

    def answer(self, message_id: str, algorithm: str, version: str) -> None:
        """Note by which version a message was shown to be answered."""
        with self._lock:
            self.answers[message_id, algorithm] = version

    def roll_back(self, rolled_back: RolledBack) -> None:
        """Note a rollback."""
        with self._lock:
            self.rolled_back.append(rolled_back)

"""GreenroomClient: every call of the HTTP API, and the waits for a release, a tuning and a message's results.

Answers are the models of `wire`, read tolerantly. Waiting takes `sleep` and `clock` as arguments (`Timing`), so that it
is tested without waiting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Protocol, Self, TypeVar
from urllib.parse import quote

from ulid import ULID

from greenroom.client.connection import Connection, ProgressCallback, Timing
from greenroom.client.errors import GreenroomError, PlatformFault, Unreachable, WaitTimeout
from greenroom.wire import models

PAGE_LIMIT = 200
"""The most releases that the API gives at once."""

POLL_FIRST_S, POLL_GROWTH, POLL_LAST_S = 0.3, 1.3, 2.0
"""Polling is quick at first, because a rejection comes at once. Then it is slower: every poll is an invocation, which
costs the platform time while it measures."""

OUTAGE_LIMIT_S = 30.0
"""How long a wait goes on without answers before it gives up."""


class _Ending(Protocol):
    """An answer about something that comes to an end."""

    @property
    def status(self) -> str: ...

    @property
    def ended(self) -> bool: ...


E = TypeVar("E", bound=_Ending)


class GreenroomClient:
    """A connection to one platform.

    Args:
        url: the API's address, http or https, with any path it has.
        token: the API token.
        author: the name for a release's history; the platform believes it.
        timing: how long to wait for answers, and by which clock.

    Raises:
        GreenroomError: the address or the token can't be one.
    """

    def __init__(self, url: str, token: str, *, author: str | None = None, timing: Timing | None = None) -> None:
        self._timing = timing or Timing()
        self._connection = Connection(url, token, author, self._timing)

    @property
    def url(self) -> str:
        """The API's address."""
        return self._connection.url

    def close(self) -> None:
        """Close the connections."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def status(self) -> models.PlatformStatus:
        """Return the platform's own state: releases in flight, queues, dead letters."""
        return self._connection.get("/status", models.PlatformStatus)

    def sign_in_link(self) -> str:
        """Return an address of the page that signs one browser in, once, within ten minutes."""
        code = self._connection.post("/sign-in-codes", models.SignInCode, {}).code
        return f"{self._connection.url}/#code={code}"

    def algorithms(self) -> list[models.Algorithm]:
        """Return every algorithm that the platform knows."""
        return self._connection.get("/algorithms", models.AlgorithmList).algorithms

    def algorithm(self, name: str) -> models.Algorithm:
        """Return one algorithm. Raises NotFound."""
        return self._connection.get(f"/algorithms/{quote(name, safe='')}", models.Algorithm)

    def releases(self, name: str, *, limit: int | None = None, cursor: str | None = None) -> models.ReleasePage:
        """Return a page of an algorithm's releases, newest first; the `cursor` of a page asks for the next."""
        path = f"/algorithms/{quote(name, safe='')}/releases"
        return self._connection.get(path, models.ReleasePage, limit=limit, cursor=cursor)

    def every_release(self, name: str, *, limit: int | None = None) -> Iterator[models.ReleaseRow]:
        """Yield an algorithm's releases over all pages, newest first, at most `limit`."""
        cursor, left = None, limit
        while left is None or left > 0:
            page = self.releases(name, limit=min(left or PAGE_LIMIT, PAGE_LIMIT), cursor=cursor)
            yield from page.releases[:left]
            if left is not None:
                left -= len(page.releases)
            if not page.cursor or page.cursor == cursor:
                return
            cursor = page.cursor

    def release(self, release_id: str) -> models.Release:
        """Return one release with its history, progress and summary. Raises NotFound."""
        return self._connection.get(f"/releases/{quote(release_id, safe='')}", models.Release)

    def measurements(
        self, release_id: str, *, memory_mb: int | None = None, limit: int | None = None
    ) -> list[models.Measurement]:
        """Return the single invocations of a release's test."""
        path = f"/releases/{quote(release_id, safe='')}/measurements"
        return self._connection.get(path, models.MeasurementList, memoryMb=memory_mb, limit=limit).measurements

    def logs(self, release_id: str, *, limit: int | None = None) -> list[models.LogEvent]:
        """Return the log lines of a release's versions."""
        return self._connection.get(
            f"/releases/{quote(release_id, safe='')}/logs", models.LogEvents, limit=limit
        ).events

    def failures(self, name: str | None, *, limit: int | None = None) -> models.FailureList:
        """Return the messages that an algorithm could not handle, oldest first, with the beginning of each document.

        Without a name they are the uploads that the platform could not register, here and in the methods below.
        """
        return self._connection.get(_failures_path(name), models.FailureList, limit=limit)

    def upload_package(self, path: Path, on_progress: ProgressCallback | None = None) -> str:
        """Upload a package, and so begin a release.

        Args:
            path: the ZIP.
            on_progress: called with (bytes sent, bytes in all).

        Returns:
            The release's id.

        Raises:
            UploadRefused: S3 did not take it.
            GreenroomError: any other reason, see the classes.
        """
        size_bytes = _size_bytes(path)
        about = models.NewRelease.model_construct(file_name=path.name, size_bytes=size_bytes)
        answer = self._connection.post("/releases", models.ReleaseCreated, about, request_id=str(ULID()))
        self._connection.upload(answer.upload, answer.max_size_bytes, path, on_progress)
        return answer.release_id

    def rollback(
        self, name: str, *, to_release_id: str | None = None, from_release_id: str | None = None
    ) -> models.RolledBack:
        """Make an earlier release live again: the one before the live one, or `to_release_id`.

        Args:
            name: the algorithm.
            to_release_id: the release that is to be live.
            from_release_id: the release that is to be replaced; None means whichever is live.

        Raises:
            Conflict: there is nothing to roll back to, or another release is live than the one to be replaced.
        """
        given: dict[str, Any] = {"to_release_id": to_release_id, "from_release_id": from_release_id}
        body = models.RollBack.model_construct(**{name: value for name, value in given.items() if value})
        return self._connection.post(f"/algorithms/{quote(name, safe='')}/rollback", models.RolledBack, body)

    def redrive(self, name: str | None, failure_ids: Sequence[str] | None = None) -> models.Redriven:
        """Put messages that could not be handled back into their queue: those named, or as many as one call does.

        `left` of the answer says how many are still in the dead-letter queue.
        """
        return self._connection.post(f"{_failures_path(name)}/redrive", models.Redriven, _chosen(failure_ids))

    def delete_failures(self, name: str | None, failure_ids: Sequence[str] | None = None) -> models.Deleted:
        """Delete messages that could not be handled: those named, or as many as one call does."""
        return self._connection.post(f"{_failures_path(name)}/delete", models.Deleted, _chosen(failure_ids))

    def send(
        self,
        name: str,
        path: Path,
        *,
        to: Sequence[str] | None = None,
        content_type: str | None = None,
        on_progress: ProgressCallback | None = None,
    ) -> models.Message:
        """Send a document through production: into the algorithm's input queue.

        Args:
            name: the algorithm that gets it.
            path: the document.
            to: the `out` algorithms it goes on to; None means all that the algorithm names as next.
            content_type: "application/json" or "text/plain"; None takes it from the file's name (.json or not).
            on_progress: called with (bytes sent, bytes in all).

        Returns:
            The message, pending, with the algorithms that results are expected of.
        """
        size_bytes = _size_bytes(path)
        route = list(to) if to else None
        kind = content_type or ("application/json" if path.suffix.lower() == ".json" else "text/plain")
        about: dict[str, Any] = {"file_name": path.name, "content_type": kind, "to": route}
        document = models.NewMessage.model_construct(**about, size_bytes=size_bytes)
        base = f"/algorithms/{quote(name, safe='')}/messages"
        # A form that is not used leaves nothing, and a message that is submitted twice is answered once.
        answer = self._connection.post(base, models.MessageCreated, document, may_repeat=True)
        self._connection.upload(answer.upload, answer.max_size_bytes, path, on_progress)
        path_of_message = f"{base}/{quote(answer.message_id, safe='')}/submit"
        submission = models.Submission.model_construct(**about)
        return self._connection.post(path_of_message, models.Message, submission, may_repeat=True)

    def message(self, name: str, message_id: str, *, to: Sequence[str] | None = None) -> models.Message:
        """Return what came out of a message so far."""
        path = f"/algorithms/{quote(name, safe='')}/messages/{quote(message_id, safe='')}"
        return self._connection.get(path, models.Message, to=",".join(to) if to else None)

    def download(self, result: models.MessageResult, into: BinaryIO) -> int:
        """Write one result's document into a file, piece by piece.

        Returns:
            The number of bytes.

        Raises:
            GreenroomError: there is no document, or S3 does not give it.
        """
        if not result.url:
            raise GreenroomError(
                f"{result.algorithm} has no document yet",
                where=f"its status is {result.status}",
                hint="Wait for the message to be done.",
            )
        return self._connection.download(result.url, f"the result of {result.algorithm}", into)

    def tune(self, document: Mapping[str, Any]) -> str:
        """Start tuning a Lambda function, by an execution input of AWS Lambda Power Tuning; return the tuning's id."""
        return self._connection.post("/tunings", models.TuningCreated, document).tuning_id

    def tuning(self, tuning_id: str) -> models.Tuning:
        """Return a tuning: how far it is, and what it found."""
        return self._connection.get(f"/tunings/{quote(tuning_id, safe='')}", models.Tuning)

    def wait_for_release(
        self,
        release_id: str,
        on_update: Callable[[models.Release], None] | None = None,
        timeout_s: float | None = None,
    ) -> models.Release:
        """Wait until a release has ended (LIVE, FAILED, REJECTED, SUPERSEDED, …).

        Args:
            release_id: the release.
            on_update: called with every answer.
            timeout_s: the longest wait in seconds; None waits without end.

        Raises:
            WaitTimeout: it has not ended in time.
            Unreachable, PlatformFault: no answer for 30 s. A shorter outage is ignored.
        """
        return self._wait(
            lambda: self.release(release_id),
            lambda last: f"release {release_id} is {last.status if last else 'unknown'}",
            on_update,
            timeout_s,
            f"It goes on without you: greenroom show {release_id}",
        )

    def wait_for_tuning(
        self,
        tuning_id: str,
        on_update: Callable[[models.Tuning], None] | None = None,
        timeout_s: float | None = None,
    ) -> models.Tuning:
        """Wait until a tuning has ended; arguments and errors are those of `wait_for_release`."""
        return self._wait(
            lambda: self.tuning(tuning_id),
            lambda last: f"tuning {tuning_id} is {last.status if last else 'unknown'}",
            on_update,
            timeout_s,
            f"It goes on without you: greenroom tune --show {tuning_id}",
        )

    def wait_for_message(
        self,
        name: str,
        message_id: str,
        *,
        to: Sequence[str] | None = None,
        on_update: Callable[[models.Message], None] | None = None,
        timeout_s: float | None = None,
    ) -> models.Message:
        """Wait until every result of a message is there, or has failed.

        Args:
            name: the algorithm it was sent to.
            message_id: the message.
            to: the route it was sent with; None means all that the algorithm names as next.
            on_update: called with every answer.
            timeout_s: the longest wait in seconds; None waits without end.

        Raises:
            WaitTimeout: a result is still missing.
            Unreachable, PlatformFault: no answer for 30 s.
        """

        def describe(last: models.Message | None) -> str:
            pending = [r.algorithm for r in last.results if r.status == "pending"] if last else []
            return f"message {message_id} has no answer yet" + (f" of {', '.join(pending)}" if pending else "")

        return self._wait(
            lambda: self.message(name, message_id, to=to),
            describe,
            on_update,
            timeout_s,
            "A message that fails is tried three times before it goes to the dead-letter queue: see `greenroom status`",
        )

    def _wait(
        self,
        poll: Callable[[], E],
        describe: Callable[[E | None], str],
        on_update: Callable[[E], None] | None,
        timeout_s: float | None,
        hint: str,
    ) -> E:
        started_s = answered_s = self._timing.clock()
        delay_s = POLL_FIRST_S
        last: E | None = None
        while True:
            try:
                answer = poll()
            except (Unreachable, PlatformFault) as error:
                if self._timing.clock() - answered_s > OUTAGE_LIMIT_S:
                    error.hint = error.hint or hint
                    raise
            else:
                answered_s = self._timing.clock()
                if on_update:
                    on_update(answer)
                if answer.ended:
                    return answer
                if last is not None and last.status != answer.status:
                    delay_s = POLL_FIRST_S
                last = answer
            left_s = None if timeout_s is None else timeout_s - (self._timing.clock() - started_s)
            if left_s is not None and left_s <= 0:
                raise WaitTimeout(f"{describe(last)} after {timeout_s:g} s", hint=hint)
            self._timing.sleep(delay_s if left_s is None else min(delay_s, left_s))
            delay_s = min(delay_s * POLL_GROWTH, POLL_LAST_S)


def _chosen(failure_ids: Sequence[str] | None) -> models.Chosen:
    # Not validated here: what is allowed is the platform's to say, and an older or newer one may say something else.
    return models.Chosen.model_construct(failure_ids=list(failure_ids)) if failure_ids else models.Chosen()


def _failures_path(name: str | None) -> str:
    return "/uploads/failures" if name is None else f"/algorithms/{quote(name, safe='')}/failures"


def _size_bytes(path: Path) -> int:
    try:
        size_bytes = path.stat().st_size
    except OSError as error:
        raise GreenroomError(f"the file can't be read: {error.strerror}", where=str(path)) from error
    if not path.is_file() or not size_bytes:
        raise GreenroomError("this is not a file, or it is empty", where=str(path), hint="Give a file with content.")
    return size_bytes

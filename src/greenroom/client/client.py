"""GreenroomClient: every call of the HTTP API, and the two waits (for a release, for a message's results).

It decides what is worth a second try: a request that surely did not arrive, or one that reads only. Waiting takes
`sleep` and `clock` as arguments, so that it is tested without waiting. The token goes to the API's own address and
nowhere else: the presigned addresses of S3 carry their own permission.
"""

from __future__ import annotations

import html
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self, TypeVar
from urllib.parse import quote, urlsplit

import httpx
from pydantic import ValidationError

from greenroom.client import models
from greenroom.client.errors import (
    Conflict,
    GreenroomError,
    NotFound,
    PlatformFault,
    RequestRefused,
    Unauthorized,
    UnexpectedAnswer,
    Unreachable,
    UploadRefused,
    WaitTimeout,
)
from greenroom.client.multipart import MultipartFile, ProgressCallback

A = TypeVar("A", bound=models.Answer)

# The most releases the API gives at once.
PAGE_LIMIT = 200
RETRY_DELAYS_S = (0.2, 0.5, 1.0)
RETRY_AFTER_LIMIT_S = 5.0
# Polling: quick at first, because a rejection comes at once; then slower, because every poll is an invocation that
# costs the platform time while it measures.
POLL_FIRST_S, POLL_GROWTH, POLL_LAST_S = 0.3, 1.3, 2.0
# How long a wait lives through answers that do not come, before it gives up.
OUTAGE_LIMIT_S = 30.0
# S3's error documents are some hundred bytes; more than this is not one.
ERROR_LIMIT_BYTES = 64 * 1024
# A proxy of the environment never stands between a machine and itself.
LOOPBACK_PATTERNS = ("all://127.0.0.1", "all://localhost", "all://*.localhost", "all://[::1]")

UPLOAD_HINTS = {
    "EntityTooLarge": "Make the file smaller: leave out what the algorithm does not import",
    "ExpiredToken": "Start again: the permission to upload has run out",
    "RequestTimeout": "Start again: the upload stood still for too long",
}


class GreenroomClient:
    """A connection to one platform.

    Args:
        url: the API's address, http or https, with any path it has.
        token: the API token.
        author: who is to be named in a release's history; the platform believes it.
        timeout_s: how long one answer may take, in seconds.
        attempts: how often a request is made that is worth a second try, 1 to 4.
        sleep: waits a number of seconds.
        clock: monotonic seconds.

    Raises:
        GreenroomError: the address or the token cannot be one.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        author: str | None = None,
        timeout_s: float = 30.0,
        attempts: int = len(RETRY_DELAYS_S) + 1,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise GreenroomError(
                "the platform's address is not an http or https address",
                where=url,
                hint="Use the GREENROOM_URL that `greenroom env` prints, for example http://127.0.0.1:4566/…",
            )
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            raise GreenroomError(
                "the token is empty or has characters no token has",
                hint="Use the GREENROOM_TOKEN that `greenroom env` prints, or ask the platform team for one",
            )
        self.url = url.rstrip("/")
        self._delays_s = (*RETRY_DELAYS_S[: attempts - 1], None)
        self._sleep = sleep
        self._clock = clock
        timeout = httpx.Timeout(timeout_s, connect=min(timeout_s, 5.0))
        direct: dict[str, httpx.BaseTransport | None] = dict.fromkeys(LOOPBACK_PATTERNS)
        # Only _request adds these: the presigned addresses of S3 must not see the token.
        self._headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        if author:
            # A header, since a platform that does not know it passes it over; a header is ASCII.
            self._headers["X-Greenroom-Author"] = quote(author)
        self._http = httpx.Client(timeout=timeout, mounts=direct)

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ---- reading ------------------------------------------------------------------------------------------------

    def status(self) -> models.Status:
        """The platform's own state: releases in flight, queues, dead letters."""
        return self._get("/status", models.Status)

    def algorithms(self) -> list[models.Algorithm]:
        """Every algorithm the platform knows."""
        return self._get("/algorithms", models.Algorithms).algorithms

    def algorithm(self, name: str) -> models.Algorithm:
        """One algorithm. Raises NotFound."""
        return self._get(f"/algorithms/{quote(name, safe='')}", models.Algorithm)

    def releases(self, name: str, *, limit: int | None = None, cursor: str | None = None) -> models.ReleasePage:
        """One page of an algorithm's releases, newest first; `cursor` of a page asks for the next."""
        path = f"/algorithms/{quote(name, safe='')}/releases"
        return self._get(path, models.ReleasePage, limit=limit, cursor=cursor)

    def every_release(self, name: str, *, limit: int | None = None) -> Iterator[models.Release]:
        """An algorithm's releases over all pages, newest first, at most `limit`."""
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
        """One release with its history, progress and summary. Raises NotFound."""
        return self._get(f"/releases/{quote(release_id, safe='')}", models.Release)

    def measurements(
        self, release_id: str, *, memory_mb: int | None = None, limit: int | None = None
    ) -> list[models.Measurement]:
        """The single invocations of a release's test."""
        path = f"/releases/{quote(release_id, safe='')}/measurements"
        return self._get(path, models.Measurements, memoryMb=memory_mb, limit=limit).measurements

    def logs(self, release_id: str, *, limit: int | None = None) -> list[models.LogEvent]:
        """The log lines of a release's versions."""
        return self._get(f"/releases/{quote(release_id, safe='')}/logs", models.Logs, limit=limit).events

    def failures(self, name: str | None, *, limit: int | None = None) -> models.Failures:
        """The messages that an algorithm could not handle, oldest first, with the beginning of each document.

        Without a name it is the uploads that the platform could not register; so it is below.
        """
        return self._get(_failures_path(name), models.Failures, limit=limit)

    # ---- doing --------------------------------------------------------------------------------------------------

    def upload_package(self, path: Path, on_progress: ProgressCallback | None = None) -> str:
        """Uploads a package, and so begins a release.

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
        answer = self._post("/releases", models.NewRelease, {"fileName": path.name, "sizeBytes": size_bytes})
        self._upload(answer.upload, answer.max_size_bytes, path, on_progress)
        return answer.release_id

    def rollback(self, name: str, *, to_release_id: str | None = None) -> models.Rollback:
        """Makes an earlier release live again: the one before the live one, or `to_release_id`.

        Raises:
            Conflict: there is nothing to roll back to.
        """
        body = {"toReleaseId": to_release_id} if to_release_id else {}
        return self._post(f"/algorithms/{quote(name, safe='')}/rollback", models.Rollback, body)

    def redrive(self, name: str | None, failure_ids: Sequence[str] | None = None) -> models.Handled:
        """Puts messages that could not be handled back into their queue: those named, or as many as one call does.
        Its `left` says how many rest still."""
        body = {"failureIds": list(failure_ids)} if failure_ids else {}
        return self._post(f"{_failures_path(name)}/redrive", models.Handled, body)

    def delete_failures(self, name: str | None, failure_ids: Sequence[str] | None = None) -> models.Handled:
        """Deletes messages that could not be handled: those named, or as many as one call does."""
        body = {"failureIds": list(failure_ids)} if failure_ids else {}
        return self._post(f"{_failures_path(name)}/delete", models.Handled, body)

    def send(
        self,
        name: str,
        path: Path,
        *,
        to: Sequence[str] | None = None,
        content_type: str | None = None,
        on_progress: ProgressCallback | None = None,
    ) -> models.Message:
        """Sends a document through production: into the algorithm's input queue.

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
        about = {"fileName": path.name, "contentType": kind, "to": route}
        base = f"/algorithms/{quote(name, safe='')}/messages"
        answer = self._post(base, models.NewMessage, {**about, "sizeBytes": size_bytes})
        self._upload(answer.upload, answer.max_size_bytes, path, on_progress)
        return self._post(f"{base}/{quote(answer.message_id, safe='')}/submit", models.Message, about)

    def message(self, name: str, message_id: str, *, to: Sequence[str] | None = None) -> models.Message:
        """What came out of a message so far."""
        path = f"/algorithms/{quote(name, safe='')}/messages/{quote(message_id, safe='')}"
        return self._get(path, models.Message, to=",".join(to) if to else None)

    def download(self, result: models.MessageResult, into: BinaryIO) -> int:
        """Writes one result's document into a file, piece by piece.

        Returns:
            The number of bytes.

        Raises:
            GreenroomError: there is no document, or S3 does not give it.
        """
        if not result.url:
            raise GreenroomError(
                f"{result.algorithm} has no document yet",
                where=f"its status is {result.status}",
                hint="Wait for the message to be done",
            )
        where = f"the result of {result.algorithm}"
        count = 0
        try:
            with self._http.stream("GET", result.url) as response:
                if response.status_code != httpx.codes.OK:
                    raise _upload_refused(response, where, doing="give the document")
                for piece in response.iter_bytes():
                    into.write(piece)
                    count += len(piece)
        except httpx.HTTPError as error:
            raise _unreachable(error, where) from error
        return count

    def tune(self, document: Mapping[str, Any]) -> str:
        """Starts tuning a Lambda function, as an execution input of AWS Lambda Power Tuning says; returns its id."""
        return self._post("/tunings", models.NewTuning, document).tuning_id

    def tuning(self, tuning_id: str) -> models.Tuning:
        """A tuning: how far it is, and what it found."""
        return self._get(f"/tunings/{quote(tuning_id, safe='')}", models.Tuning)

    # ---- waiting ------------------------------------------------------------------------------------------------

    def wait_for_release(
        self,
        release_id: str,
        on_update: Callable[[models.Release], None] | None = None,
        timeout_s: float | None = None,
    ) -> models.Release:
        """Waits until a release has ended (LIVE, FAILED, REJECTED, SUPERSEDED, …).

        Args:
            release_id: whose end.
            on_update: called with every answer.
            timeout_s: the longest wait in seconds; None waits for ever.

        Raises:
            WaitTimeout: it has not ended in time.
            Unreachable, PlatformFault: no answer for 30 s on end. A shorter outage is lived through.
        """

        def describe(last: models.Release | None) -> str:
            return f"release {release_id} is {last.status if last else 'unknown'}"

        return self._wait(
            lambda: self.release(release_id),
            done=lambda release: release.ended,
            stage=lambda release: release.status,
            describe=describe,
            on_update=on_update,
            timeout_s=timeout_s,
            hint=f"It goes on without you: greenroom show {release_id}",
        )

    def wait_for_tuning(
        self,
        tuning_id: str,
        on_update: Callable[[models.Tuning], None] | None = None,
        timeout_s: float | None = None,
    ) -> models.Tuning:
        """Waits until a tuning has ended; the arguments and what is raised are as for `wait_for_release`."""
        return self._wait(
            lambda: self.tuning(tuning_id),
            done=lambda tuning: tuning.ended,
            stage=lambda tuning: tuning.status,
            describe=lambda last: f"tuning {tuning_id} is {last.status if last else 'unknown'}",
            on_update=on_update,
            timeout_s=timeout_s,
            hint=f"It goes on without you: greenroom tune --show {tuning_id}",
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
        """Waits until every result of a message is there, or has failed.

        Args:
            name: the algorithm it was sent to.
            message_id: which message.
            to: the route it was sent with; None means all that the algorithm names as next.
            on_update: called with every answer.
            timeout_s: the longest wait in seconds; None waits for ever.

        Raises:
            WaitTimeout: a result is still missing.
            Unreachable, PlatformFault: no answer for 30 s on end.
        """

        def describe(last: models.Message | None) -> str:
            pending = [r.algorithm for r in last.results if r.status == "pending"] if last else []
            return f"message {message_id} has no answer yet" + (f" of {', '.join(pending)}" if pending else "")

        return self._wait(
            lambda: self.message(name, message_id, to=to),
            done=lambda answer: answer.ended,
            stage=lambda answer: answer.status,
            describe=describe,
            on_update=on_update,
            timeout_s=timeout_s,
            hint="A message that fails is tried three times before it rests: look at `greenroom status`",
        )

    def _wait(
        self,
        poll: Callable[[], A],
        *,
        done: Callable[[A], bool],
        stage: Callable[[A], str],
        describe: Callable[[A | None], str],
        on_update: Callable[[A], None] | None,
        timeout_s: float | None,
        hint: str,
    ) -> A:
        started_s = answered_s = self._clock()
        delay_s = POLL_FIRST_S
        last: A | None = None
        while True:
            try:
                answer = poll()
            except (Unreachable, PlatformFault) as error:
                if self._clock() - answered_s > OUTAGE_LIMIT_S:
                    error.hint = error.hint or hint
                    raise
            else:
                answered_s = self._clock()
                if on_update:
                    on_update(answer)
                if done(answer):
                    return answer
                if last is not None and stage(last) != stage(answer):
                    delay_s = POLL_FIRST_S
                last = answer
            left_s = None if timeout_s is None else timeout_s - (self._clock() - started_s)
            if left_s is not None and left_s <= 0:
                raise WaitTimeout(f"{describe(last)} after {timeout_s:g} s", hint=hint)
            self._sleep(delay_s if left_s is None else min(delay_s, left_s))
            delay_s = min(delay_s * POLL_GROWTH, POLL_LAST_S)

    # ---- HTTP ---------------------------------------------------------------------------------------------------

    def _get(self, path: str, model: type[A], **params: str | int | None) -> A:
        given = {name: value for name, value in params.items() if value is not None}
        return self._answer(self._request("GET", path, params=given), model)

    def _post(self, path: str, model: type[A], body: Mapping[str, Any]) -> A:
        return self._answer(self._request("POST", path, json=dict(body)), model)

    def _request(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        where = f"{method} {self.url}{path}"
        reads = method == "GET"
        for delay_s in self._delays_s:
            try:
                response = self._http.request(method, f"{self.url}{path}", headers=self._headers, **arguments)
            except httpx.HTTPError as error:
                never_arrived = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
                if delay_s is None or not (reads or never_arrived):
                    raise _unreachable(error, self.url) from error
            else:
                # 429 is said before anything is done; the others only to a read are harmless to repeat.
                again = response.status_code == 429 or (reads and response.status_code in (502, 503, 504))
                if not again or delay_s is None:
                    if response.is_success:
                        return response
                    raise _api_error(response, where)
                delay_s = max(delay_s, _retry_after_s(response))
            self._sleep(delay_s)
        raise AssertionError("the last attempt returns or raises")

    def _answer(self, response: httpx.Response, model: type[A]) -> A:
        try:
            return model.model_validate(response.json())
        except (ValueError, ValidationError) as error:
            detail = ""
            if isinstance(error, ValidationError):
                first = error.errors()[0]
                detail = f": {'.'.join(str(part) for part in first['loc']) or 'the answer'}: {first['msg']}"
            raise UnexpectedAnswer(
                f"the answer is not one of Greenroom's HTTP API{detail}",
                where=str(response.url),
                hint="Check GREENROOM_URL; if it is right, the platform and this client differ in version",
            ) from error

    def _upload(
        self,
        upload: models.Upload,
        max_size_bytes: int | None,
        path: Path,
        on_progress: ProgressCallback | None,
    ) -> None:
        try:
            body = MultipartFile(upload.fields, path, on_progress=on_progress)
            if max_size_bytes is not None and body.file_bytes > max_size_bytes:
                raise UploadRefused(
                    f"the file has {body.file_bytes:,} bytes, and {max_size_bytes:,} are allowed",
                    code="EntityTooLarge",
                    where=str(path),
                    hint=UPLOAD_HINTS["EntityTooLarge"],
                )
            # A second attempt writes the same object under the same key, so any break is worth one.
            for delay_s in self._delays_s:
                try:
                    with self._http.stream("POST", upload.url, content=body, headers=body.headers) as response:
                        # 303 is what S3 answers to a form with success_action_redirect.
                        if response.is_success or response.status_code == httpx.codes.SEE_OTHER:
                            return
                        if response.status_code < 500 or delay_s is None:
                            raise _upload_refused(response, str(path), doing="take the file")
                except httpx.HTTPError as error:
                    if delay_s is None:
                        raise _unreachable(error, upload.url) from error
                self._sleep(delay_s)
        except OSError as error:
            raise GreenroomError(f"the file cannot be read: {error.strerror}", where=str(path)) from error


def _failures_path(name: str | None) -> str:
    return "/uploads/failures" if name is None else f"/algorithms/{quote(name, safe='')}/failures"


def _size_bytes(path: Path) -> int:
    try:
        size_bytes = path.stat().st_size
    except OSError as error:
        raise GreenroomError(f"the file cannot be read: {error.strerror}", where=str(path)) from error
    if not path.is_file() or not size_bytes:
        raise GreenroomError("this is no file, or an empty one", where=str(path), hint="Give a file with content")
    return size_bytes


def _retry_after_s(response: httpx.Response) -> float:
    text = response.headers.get("Retry-After", "")
    return min(float(text), RETRY_AFTER_LIMIT_S) if re.fullmatch(r"\d{1,4}", text) else 0.0


def _unreachable(error: httpx.HTTPError, where: str) -> Unreachable:
    hint = "Is it running, and is GREENROOM_URL right? For the embedded one: greenroom up, then greenroom env"
    if isinstance(error, httpx.TimeoutException) and not isinstance(error, httpx.ConnectTimeout):
        return Unreachable("the platform did not answer in time", where=where, hint=hint)
    return Unreachable(f"the platform cannot be reached: {str(error) or type(error).__name__}", where=where, hint=hint)


def _api_error(response: httpx.Response, where: str) -> GreenroomError:
    """The error an HTTP answer stands for, in the platform's own words when it has some."""
    status = response.status_code
    code = message = hint = ""
    try:
        document = response.json()
        error = document["error"]
        code, message, hint = (str(error.get(name) or "") for name in ("code", "message", "hint"))
    except (ValueError, KeyError, TypeError, AttributeError):
        # API Gateway's own errors, given before Greenroom's code runs, are {"message": "…"}.
        document = document if isinstance(document := _json_or_none(response), dict) else {}
        message = str(document.get("message") or "")
    said = f": {message}" if message else ""
    about: dict[str, Any] = {"status_code": status, "code": code, "where": where}
    if status in (401, 403):
        default = "Set GREENROOM_TOKEN to the one `greenroom env` prints, or ask the platform team for a new one"
        return Unauthorized(f"the token was refused{said}", hint=hint or default, **about)
    if status == 404:
        default = "`greenroom algorithms` and `greenroom releases NAME` list what there is"
        return NotFound(message or "there is no such thing", hint=hint or default, **about)
    if status == 409:
        return Conflict(message or "the state of things forbids this", hint=hint, **about)
    if status >= 500:
        default = "Try again in a moment; `greenroom status` and the platform's logs show more"
        return PlatformFault(f"the platform failed with HTTP {status}{said}", hint=hint or default, **about)
    if status >= 400:
        return RequestRefused(f"the platform refused it with HTTP {status}{said}", hint=hint, **about)
    return UnexpectedAnswer(
        f"HTTP {status} is no answer of Greenroom's HTTP API", where=where, hint="Check GREENROOM_URL"
    )


def _json_or_none(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return None


def _upload_refused(response: httpx.Response, where: str, *, doing: str) -> UploadRefused:
    """What S3 says in its XML, `<Error><Code>…</Code><Message>…</Message></Error>`."""
    text = b""
    for piece in response.iter_bytes():
        text += piece
        if len(text) > ERROR_LIMIT_BYTES:
            break
    code, message = (_xml_text(text[:ERROR_LIMIT_BYTES].decode(errors="replace"), tag) for tag in ("Code", "Message"))
    said = ": ".join(part for part in (code, message) if part)
    hint = UPLOAD_HINTS.get(code, "")
    if code == "AccessDenied" and "expired" in message.lower():
        hint = UPLOAD_HINTS["ExpiredToken"]
    return UploadRefused(
        f"S3 did not {doing}: {said or f'HTTP {response.status_code}'}", code=code, where=where, hint=hint
    )


def _xml_text(document: str, tag: str) -> str:
    # Not an XML parser: the two texts are all that is wanted of a document that came over the network.
    found = re.search(rf"<{tag}>([^<]{{0,2000}})</{tag}>", document)
    return html.unescape(found.group(1)).strip() if found else ""

"""One connection to a platform: requests with the token, uploads to and downloads from S3 without it.

It decides what is worth a second try: a request that surely did not arrive, or one that only reads. The token goes to
the API's own address and nowhere else: the presigned addresses of S3 carry their own permission.
"""

from __future__ import annotations

import io
import itertools
import os
import random
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar
from urllib.parse import quote, urlsplit

import httpx
from pydantic import ValidationError

from greenroom.client import refusals
from greenroom.client.errors import GreenroomError, UnexpectedAnswer, UploadRefused
from greenroom.wire import models

A = TypeVar("A", bound=models.Answer)

ProgressCallback = Callable[[int, int], None]
"""Called with the bytes of the file that were sent, and its bytes in all."""

RETRY_DELAYS_S = (0.2, 0.5, 1.0)
"""The pauses after no answer, or a faulty one."""

BUSY_DELAYS_S = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0)
"""The pauses after an answer that says that the platform is busy: a hundred uploads at once take it half a minute."""

BUSY = frozenset({429, 503})
RETRY_AFTER_LIMIT_S = 10.0

LOOPBACK_PATTERNS = ("all://127.0.0.1", "all://localhost", "all://*.localhost", "all://[::1]")
"""Addresses for which a proxy of the environment is not used."""


@dataclass(frozen=True)
class Timing:
    """How long to wait for answers, and by which clock.

    Args:
        timeout_s: how long one answer may take, in seconds: longer than the API itself may take, which says then that
            it was too slow.
        attempts: how often a request is made that is worth a second try, 1 to 4; more often if the platform is busy.
        sleep: waits a number of seconds.
        clock: monotonic seconds.
        jitter: how much of the second half of a pause is waited, from 0 to 1: whoever was refused together does not
            come back together.
    """

    timeout_s: float = 35.0
    attempts: int = len(RETRY_DELAYS_S) + 1
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    jitter: Callable[[], float] = random.random

    @property
    def delays_s(self) -> tuple[float | None, ...]:
        """The pauses after each attempt; None after the last."""
        return (*RETRY_DELAYS_S[: self.attempts - 1], None)

    def pause(self, attempt: int, *, is_busy: bool) -> float | None:
        """Return how long to wait after a failed attempt, counted from 0; None if it was the last."""
        delays_s = BUSY_DELAYS_S if is_busy and self.attempts > 1 else RETRY_DELAYS_S[: self.attempts - 1]
        return delays_s[attempt] * (0.5 + 0.5 * self.jitter()) if attempt < len(delays_s) else None


class Connection:
    """A connection to one platform. The arguments are those of `GreenroomClient`."""

    def __init__(self, url: str, token: str, author: str | None, timing: Timing) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise GreenroomError(
                "the platform's address is not an http or https address",
                where=url,
                hint="Use the GREENROOM_URL that `greenroom env` prints, for example http://127.0.0.1:4566/…",
            )
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            raise GreenroomError(
                "the token is empty or has characters that no token has",
                hint="Use the GREENROOM_TOKEN that `greenroom env` prints, or ask the platform team for one.",
            )
        self.url = url.rstrip("/")
        self._timing = timing
        # Only _request adds these: the presigned addresses of S3 must not see the token.
        self._headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        if author:
            # A header, because an older platform ignores it; headers are ASCII.
            self._headers["X-Greenroom-Author"] = quote(author)
        direct: dict[str, httpx.BaseTransport | None] = dict.fromkeys(LOOPBACK_PATTERNS)
        timeout = httpx.Timeout(timing.timeout_s, connect=min(timing.timeout_s, 5.0))
        self._http = httpx.Client(timeout=timeout, mounts=direct)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def get(self, path: str, model: type[A], **params: str | int | None) -> A:
        """Read a resource. Raises GreenroomError."""
        given = {name: value for name, value in params.items() if value is not None}
        return _read(self._request("GET", path, params=given), model)

    def post(
        self,
        path: str,
        model: type[A],
        body: models.Request | Mapping[str, Any],
        *,
        may_repeat: bool = False,
        request_id: str | None = None,
    ) -> A:
        """Send a body, and read the answer. Raises GreenroomError.

        Args:
            path: the path below the API's address.
            model: what the answer is.
            body: what is sent.
            may_repeat: whether the request does the same if it arrives twice.
            request_id: by which the platform recognises a request that arrives twice; an older one does not, and a
                second form for an upload is then left unused.
        """
        given = body.model_dump(mode="json", exclude_unset=True) if isinstance(body, models.Request) else dict(body)
        headers = {"Idempotency-Key": request_id} if request_id else {}
        may_repeat = may_repeat or request_id is not None
        return _read(self._request("POST", path, may_repeat=may_repeat, json=given, headers=headers), model)

    def upload(
        self, form: models.UploadForm, max_size_bytes: int | None, path: Path, on_progress: ProgressCallback | None
    ) -> None:
        """Post a file to S3, in constant memory.

        Args:
            form: the presigned POST. Its fields go before the file: S3 ignores what comes after it.
            max_size_bytes: the largest file that is sent.
            path: the file.
            on_progress: called after each piece of the file.

        Raises:
            UploadRefused: S3 did not take the file, or it is too large.
            GreenroomError: the file can't be read, or S3 can't be reached.
        """
        try:
            with _SentFile(path, on_progress) as file:
                if max_size_bytes is not None and file.size_bytes > max_size_bytes:
                    raise UploadRefused(
                        f"the file has {file.size_bytes:,} bytes, and {max_size_bytes:,} are allowed",
                        code="EntityTooLarge",
                        where=str(path),
                        hint=refusals.UPLOAD_HINTS["EntityTooLarge"],
                    )
                self._post_form(form, path, file)
        except OSError as error:
            raise GreenroomError(f"the file can't be read: {error.strerror}", where=str(path)) from error

    def download(self, url: str, where: str, into: BinaryIO) -> int:
        """Write what a presigned address leads to into a file, piece by piece; return the number of bytes.

        Raises:
            GreenroomError: S3 does not give it; `where` says what it is.
        """
        count = 0
        try:
            with self._http.stream("GET", url) as response:
                if response.status_code != httpx.codes.OK:
                    raise refusals.of_upload(response, where, doing="give the document")
                for piece in response.iter_bytes():
                    into.write(piece)
                    count += len(piece)
        except httpx.HTTPError as error:
            raise refusals.unreachable(error, where) from error
        return count

    def _request(self, method: str, path: str, *, may_repeat: bool = False, **arguments: Any) -> httpx.Response:
        url, headers = f"{self.url}{path}", arguments.pop("headers", {})
        may_repeat = may_repeat or method == "GET"
        for attempt in itertools.count():
            try:
                response = self._http.request(method, url, headers={**self._headers, **headers}, **arguments)
            except httpx.HTTPError as error:
                never_arrived = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
                delay_s = self._timing.pause(attempt, is_busy=False)
                if delay_s is None or not (may_repeat or never_arrived):
                    raise refusals.unreachable(error, self.url) from error
                self._timing.sleep(delay_s)
                continue
            if response.is_success:
                return response
            # 429 is said before anything is done; the others are harmless for what may arrive twice.
            again = response.status_code == 429 or (may_repeat and response.status_code in (502, 503, 504))
            delay_s = self._timing.pause(attempt, is_busy=response.status_code in BUSY)
            if delay_s is None or not again:
                raise refusals.of_api(response, f"{method} {url}")
            self._timing.sleep(max(delay_s, _retry_after_s(response)))
        raise AssertionError("the last attempt returns or raises")

    def _post_form(self, form: models.UploadForm, path: Path, file: _SentFile) -> None:
        # A second attempt writes the same object under the same key, so any failure is worth one.
        for delay_s in self._timing.delays_s:
            try:
                files = {"file": (path.name, file, "application/octet-stream")}
                with self._http.stream("POST", form.url, data=form.fields, files=files) as response:
                    # 303 is S3's answer to a form with success_action_redirect.
                    if response.is_success or response.status_code == httpx.codes.SEE_OTHER:
                        return
                    if response.status_code < 500 or delay_s is None:
                        raise refusals.of_upload(response, str(path), doing="take the file")
            except httpx.HTTPError as error:
                if delay_s is None:
                    raise refusals.unreachable(error, form.url) from error
            self._timing.sleep(delay_s)


class _SentFile(io.FileIO):
    """A file that tells how much of it was read, and that is never read beyond the size it had when it was opened."""

    def __init__(self, path: Path, on_progress: ProgressCallback | None) -> None:
        super().__init__(path)
        self.size_bytes = os.fstat(self.fileno()).st_size
        self._path = path
        self._on_progress = on_progress

    def read(self, size: int | None = -1) -> bytes:
        left = self.size_bytes - self.tell()
        piece = super().read(left if size is None or size < 0 else min(size, left)) or b""
        if left and not piece:
            raise GreenroomError(
                "the file became shorter while it was sent",
                where=str(self._path),
                hint="Send it again when nothing else writes to it.",
            )
        if piece and self._on_progress:
            self._on_progress(self.tell(), self.size_bytes)
        return piece


def _read(response: httpx.Response, model: type[A]) -> A:
    try:
        return model.model_validate(response.json())
    except ValueError as error:
        detail = ""
        if isinstance(error, ValidationError):
            first = error.errors()[0]
            detail = f": {'.'.join(str(part) for part in first['loc']) or 'the answer'}: {first['msg']}"
        raise UnexpectedAnswer(
            f"the answer is not one of Greenroom's HTTP API{detail}",
            where=str(response.url),
            hint="Check GREENROOM_URL; if it is right, the platform and this client differ in version.",
        ) from error


def _retry_after_s(response: httpx.Response) -> float:
    text = response.headers.get("Retry-After", "")
    return min(float(text), RETRY_AFTER_LIMIT_S) if re.fullmatch(r"\d{1,4}", text) else 0.0

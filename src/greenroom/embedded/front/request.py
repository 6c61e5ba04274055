"""A request as it arrived, and what is refused of it before anybody asks which service it is for.

Nothing here is decoded twice, and nothing has two meanings: what is unusual in a request to AWS is refused.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_to_bytes

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
RawHeaders = Iterable[tuple[bytes, bytes]]

LISTED = frozenset({"accept", "accept-encoding", "accept-language", "cache-control", "connection", "cookie", "via"})
"""The headers that may be there several times; of every other one, a second is a second meaning."""

PATH = re.compile(r"/[!-\"$->@-~]*")
"""A path without query and fragment: an absolute URI, as a proxy gets it, does not match."""

BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


class Refused(Exception):
    """A request that gets an error as its answer."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


def malformed(message: str) -> Refused:
    """Return the refusal of a request that no SDK sends."""
    return Refused(400, "InvalidRequest", message)


@dataclass(frozen=True)
class Request:
    """A request's head, decoded once, and its body as far as it has been read."""

    method: str
    raw_path: str
    query: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]
    body: bytes = b""
    """Of a request to a service: as it arrived, so that its signature can be checked."""

    raw_query: str = ""
    client: str = "127.0.0.1"
    raw_headers: tuple[tuple[bytes, bytes], ...] = field(default=(), repr=False)

    def header(self, name: str) -> str:
        """Return a header's value, or nothing."""
        return self.headers.get(name, "")

    def parameters(self) -> dict[str, str]:
        """Return the query. Raises Refused if a name is there twice."""
        named = dict(self.query)
        if len(named) != len(self.query):
            raise malformed("a query parameter is there twice")
        return named


def head_of(scope: Scope) -> Request:
    """Return the head of a request. Raises Refused if it is malformed."""
    raw_path, raw_query = _ascii(scope["raw_path"]), _ascii(scope["query_string"])
    if not PATH.fullmatch(raw_path) or BROKEN_ESCAPE.search(raw_path):
        raise malformed("the path is not one that begins with / and is encoded as a URI's path")
    return Request(
        method=scope["method"],
        raw_path=raw_path,
        query=tuple(_pairs(raw_query)),
        headers=_headers(scope["headers"]),
        raw_query=raw_query,
        client=(scope.get("client") or ("127.0.0.1",))[0],
        raw_headers=tuple(scope["headers"]),
    )


def decoded(piece: str) -> str:
    """Decode a piece of a path, once. Raises Refused if what comes out is not UTF-8, or holds control characters."""
    try:
        text = unquote_to_bytes(piece).decode()
    except UnicodeDecodeError:
        raise malformed("the path is not UTF-8") from None
    if "\0" in text:
        raise malformed("a path holds no zero byte")
    return text


def form_pairs(text: str) -> list[tuple[str, str]]:
    """Return the pairs of a form's body or a query, in their order. Raises Refused if it is not one."""
    return list(_pairs(text))


def _pairs(text: str) -> Iterable[tuple[str, str]]:
    if not text:
        return
    if BROKEN_ESCAPE.search(text):
        raise malformed("a % is not followed by two hexadecimal digits")
    for pair in text.split("&"):
        if not pair:
            continue
        name, _, value = pair.partition("=")
        try:
            yield tuple(unquote_to_bytes(each.replace("+", " ")).decode() for each in (name, value))  # type: ignore[misc]
        except UnicodeDecodeError:
            raise malformed("a query or a form is not UTF-8") from None


def _headers(raw: RawHeaders) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in raw:
        key, text = name.decode("latin-1").lower(), _text(value)
        if key not in headers:
            headers[key] = text
        elif key in LISTED:
            headers[key] = f"{headers[key]}, {text}"
        else:
            raise malformed(f"the header {key} is there twice")
    if "transfer-encoding" in headers and "content-length" in headers:
        raise malformed("a body has one length: Content-Length or Transfer-Encoding")
    return headers


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _ascii(value: bytes) -> str:
    try:
        return value.decode("ascii")
    except UnicodeDecodeError:
        raise malformed("the address is not ASCII") from None

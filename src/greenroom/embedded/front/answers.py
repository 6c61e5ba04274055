"""Answers: errors in the form of the service that was called, and the headers that every answer gets."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from xml.sax.saxutils import escape

from greenroom.embedded.front.request import Refused, Request, Send

RawHeaders = list[tuple[bytes, bytes]]

QUERY_NAMESPACES = {
    "cloudformation": "http://cloudformation.amazonaws.com/doc/2010-05-15/",
    "iam": "https://iam.amazonaws.com/doc/2010-05-08/",
    "sns": "http://sns.amazonaws.com/doc/2010-03-31/",
    "sts": "https://sts.amazonaws.com/doc/2011-06-15/",
}
JSON_VERSIONS = {"dynamodb": "1.0", "dynamodbstreams": "1.0", "sqs": "1.0", "stepfunctions": "1.0"}
JSON_VERSIONS |= {"events": "1.1", "logs": "1.1", "ssm": "1.1"}

BUCKETS_ARE_NOT_PAGES = (
    (b"content-security-policy", b"sandbox; default-src 'none'"),
    (b"x-content-type-options", b"nosniff"),
)
"""On every answer of S3: what an algorithm has written must not act as a page of this origin, which holds the token."""


@dataclass(frozen=True)
class Answer:
    """A whole answer."""

    status: int
    headers: RawHeaders
    body: bytes

    async def send(self, send: Send, *, head: bool = False) -> None:
        """Send it; of an answer to HEAD, no body and the length as it is said."""
        names = {name for name, _ in self.headers}
        headers = list(self.headers)
        if b"content-length" not in names and not head:
            headers.append((b"content-length", str(len(self.body)).encode()))
        if b"date" not in names:
            headers.append((b"date", formatdate(usegmt=True).encode()))
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if head else self.body})


def raw(headers: Mapping[str, object] | Iterable[tuple[str, object]]) -> RawHeaders:
    """Return headers as ASGI has them. A list of values becomes a line each."""
    found: RawHeaders = []
    for name, value in headers.items() if isinstance(headers, Mapping) else headers:
        for each in value if isinstance(value, list | tuple) else (value,):
            text = str(each).replace("\r", " ").replace("\n", " ")
            try:
                found.append((name.lower().encode("latin-1"), text.encode("latin-1")))
            except UnicodeEncodeError:
                found.append((name.lower().encode("latin-1", "replace"), text.encode()))
    return found


def refusal(service: str, request: Request | None, refused: Refused, request_id: str) -> Answer:
    """Return an error in the form in which the service says errors; without a service, as JSON."""
    ids: RawHeaders = [(b"x-amzn-requestid", request_id.encode())]
    code, message = refused.code, refused.message
    if service == "s3":
        body = (
            f"<?xml version='1.0' encoding='UTF-8'?>\n<Error><Code>{escape(code)}</Code><Message>{escape(message)}"
            f"</Message><RequestId>{request_id}</RequestId><HostId>greenroom</HostId></Error>"
        )
        headers = [(b"content-type", b"application/xml"), (b"x-amz-request-id", request_id.encode())]
        return Answer(refused.status, [*headers, *BUCKETS_ARE_NOT_PAGES], body.encode())
    by_form = service == "sqs" and request is not None and "x-amz-target" not in request.headers
    if service in QUERY_NAMESPACES or by_form:
        namespace = QUERY_NAMESPACES.get(service, "http://queue.amazonaws.com/doc/2012-11-05/")
        body = (
            f'<ErrorResponse xmlns="{namespace}"><Error><Type>Sender</Type><Code>{escape(code)}</Code>'
            f"<Message>{escape(message)}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>"
        )
        return Answer(refused.status, [(b"content-type", b"text/xml"), *ids], body.encode())
    if code in ("AccessDenied", "IncompleteSignature"):
        code += "Exception"
    document = json.dumps({"__type": code, "message": message, "Message": message}).encode()
    version = JSON_VERSIONS.get(service)
    content_type = f"application/x-amz-json-{version}" if version else "application/json"
    kind = (b"x-amzn-errortype", code.encode("ascii", "replace"))
    return Answer(refused.status, [(b"content-type", content_type.encode()), kind, *ids], document)


def without_foreign_origins(headers: RawHeaders, origin: str) -> RawHeaders:
    """Return headers that allow no origin but the one of ours that asked, if any."""
    kept = []
    for name, value in headers:
        if name == b"access-control-allow-origin" and value == b"*":
            if not origin:
                continue
            value = origin.encode("latin-1", "replace")
        kept.append((name, value))
    return kept

"""Requests to the front: what is read of one is read the same again, and a changed one has no good signature."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import cache
from urllib.parse import quote, urlencode

from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from greenroom.embedded import credentials
from greenroom.embedded.front import signature
from greenroom.embedded.front.application import SCOPES, parse
from greenroom.embedded.front.protocols import Call, model
from greenroom.embedded.front.request import Refused, Request, head_of
from greenroom.embedded.process import ACCOUNT_ID, REGION

HOST = "127.0.0.1:4566"
PIECES = (
    *(
        "/",
        "//",
        ".",
        "..",
        "%2e%2e",
        "%25",
        "%2566",
        "%00",
        "%ff",
        "%",
        "a",
        "functions",
        "2015-03-31",
        "tags",
        "code",
    ),
    *("other-bucket", "?", "#", "é", " ", "+", "*", "$LATEST", ":", "arn:aws:lambda:us-east-1:1:function:f", "&", "="),
)
NAMES = (
    "Action",
    "Version",
    "action",
    "QueueUrl",
    "X-Amz-Signature",
    "uploads",
    "acl",
    "versionId",
    "list-type",
    "x-id",
)
BODIES = (
    *(
        b"",
        b"{}",
        b"[]",
        b"{",
        b"null",
        b'{"a":1,"a":2}',
        b'{"FunctionName":"f"}',
        b'{"QueueUrl":"u"}',
        b"\xff",
        b"[" * 300,
    ),
    *(
        b"Action=ListUsers&Version=2010-05-08",
        b"Action=ListUsers&Action=GetUser&Version=2010-05-08",
        b"a=%zz",
        b"<!DOCTYPE x>",
    ),
    *(b"<Delete><Object><Key>k</Key></Object></Delete>", b"9" * 5_000, b'{"a":1e999}', b'{"a":NaN}'),
)
TYPES = (
    *(
        "application/x-amz-json-1.0",
        "application/x-amz-json-1.1",
        "application/x-www-form-urlencoded",
        "text/plain",
        "",
    ),
    *("multipart/form-data; boundary=x", "application/json", "application/xml"),
)
METHODS = ("GET", "PUT", "POST", "DELETE", "HEAD", "PATCH", "OPTIONS", "PROPFIND")


def attempt(rng: random.Random) -> str:
    """Read a request that was put together at random, or check the signature of one that was changed."""
    return _read(rng) if rng.random() < 0.7 else _signed(rng)


def _read(rng: random.Random) -> str:
    scope = rng.choice(sorted(SCOPES))
    headers = {"host": HOST, "content-type": rng.choice(TYPES)}
    if rng.random() < 0.6:
        names = model(SCOPES[scope][0])
        headers["x-amz-target"] = f"{names.metadata.get('targetPrefix', 'X')}.{rng.choice(names.operation_names)}"
    try:
        head = head_of(
            {
                "method": rng.choice(METHODS),
                "raw_path": _path(rng, scope),
                "query_string": _query(rng),
                "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            }
        )
        call = parse(scope, replace(head, body=rng.choice(BODIES)))
    except Refused as refused:
        assert 400 <= refused.status < 600 and refused.code and refused.message
        return f"refused {refused.status}"
    again = parse(scope, _as_passed_on(call, headers))
    assert (again.operation, again.parameters) == (call.operation, call.parameters), (call, again)
    return "read"


def _path(rng: random.Random, scope: str) -> bytes:
    if rng.random() < 0.5:
        operation = rng.choice(model(SCOPES[scope][0]).operation_names)
        path = model(SCOPES[scope][0]).operation_model(operation).http["requestUri"].partition("?")[0]
        path = path.replace("{Bucket}", "other-bucket").replace("{", "").replace("}", "").replace("+", "")
    else:
        path = "/"
    for _ in range(rng.choice((0, 0, 1, 2, 5))):
        at = rng.randrange(len(path) + 1)
        path = path[:at] + rng.choice(PIECES) + path[at:]
    return str(path).encode("latin-1", "replace")


def _query(rng: random.Random) -> bytes:
    pairs = [f"{rng.choice(NAMES)}={rng.choice(PIECES)}" for _ in range(rng.choice((0, 0, 0, 1, 2)))]
    return "&".join(pairs).encode("latin-1", "replace")


def _as_passed_on(call: Call, headers: dict[str, str]) -> Request:
    """Return the request that a service gets."""
    pairs = tuple((name, value) for name, values in call.query.items() for value in values)
    path = quote(call.path, safe="/:$") if call.service != "lambda" else _labels_encoded(call)
    target = {"x-amz-target": call.headers["x-amz-target"]} if "x-amz-target" in call.headers else {}
    kept = {"host": headers["host"], **call.headers, **target}
    return Request(call.method, path, pairs, kept, call.body, raw_query=urlencode(pairs))


def _labels_encoded(call: Call) -> str:
    template = model("lambda").operation_model(call.operation).http["requestUri"].partition("?")[0]
    for name, value in call.parameters.items():
        template = template.replace(f"{{{name}}}", quote(str(value), safe=""))
    return str(template)


@cache
def _key() -> Credentials:
    made = credentials.issue(f"arn:aws:iam::{ACCOUNT_ID}:role/hostile", "hostile")
    return Credentials(made["AWS_ACCESS_KEY_ID"], made["AWS_SECRET_ACCESS_KEY"], made["AWS_SESSION_TOKEN"])


def _signed(rng: random.Random) -> str:
    """Sign a request, change something that is signed, and check that it is refused."""
    service = rng.choice(("s3", "sqs", "lambda"))
    body = rng.choice(BODIES)
    url = f"http://{HOST}/a/{rng.choice('xyz')}?b=1"
    made = AWSRequest("PUT", url, data=body, headers={"Host": HOST, "X-Amz-Target": "a.b"})
    (S3SigV4Auth if service == "s3" else SigV4Auth)(_key(), service, REGION).add_auth(made)
    path, _, query = url.removeprefix(f"http://{HOST}").partition("?")
    headers = {name.lower(): str(value) for name, value in made.headers.items()}
    request = Request("PUT", path, (("b", "1"),), headers, body, raw_query=query)
    assert _is_good(request), request
    changed = rng.choice(
        (
            replace(request, method="DELETE"),
            replace(request, raw_path=path + "x"),
            replace(request, query=(("b", "2"),)),
            replace(request, query=(*request.query, ("c", "1"))),
            replace(request, body=body + b"x"),
            replace(request, headers={**headers, "host": "127.0.0.1:1"}),
            replace(request, headers={**headers, "x-amz-target": "a.c"}),
            replace(request, headers={**headers, "x-amz-meta-new": "1"}),
            replace(request, headers={**headers, "x-amz-date": "20200101T000000Z"}),
            replace(request, headers={**headers, "x-amz-security-token": "x"}),
            replace(request, headers={**headers, "x-amz-content-sha256": "UNSIGNED-PAYLOAD"}),
            replace(request, headers={**headers, "authorization": _flipped(rng, headers["authorization"])}),
        )
    )
    assert not _is_good(changed), changed
    return "changed, refused"


def _flipped(rng: random.Random, text: str) -> str:
    at = rng.randrange(len("AWS4-HMAC-SHA256 Credential="), len(text))
    return text[:at] + ("0" if text[at] != "0" else "1") + text[at + 1 :]


def _is_good(request: Request) -> bool:
    try:
        claim = signature.claim_of(request)
        signature.check_body(request, claim, signature.check_head(request, claim))
    except Refused:
        return False
    return True

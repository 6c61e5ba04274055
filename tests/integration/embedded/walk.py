"""Walks every operation that botocore knows, in every spelling, with an algorithm's role: `python -m … DIR`.

It calls the front in this process, with a good signature each time, and prints as JSON how many requests were refused,
and which came through to a service. It is a process of its own because ministack's state and settings are a process's.
"""

from __future__ import annotations

import asyncio
import base64
import collections
import datetime
import hashlib
import hmac
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import botocore.session
from botocore.model import OperationModel, ServiceModel
from botocore.serialize import create_serializer

from greenroom.embedded.process import ACCOUNT_ID, REGION

PORT = 4566
HOST = f"127.0.0.1:{PORT}"
ROLE = "greenroom-alg-probe"
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=x"

STATEMENTS = [
    {
        "Effect": "Allow",
        "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
        "Resource": f"arn:aws:logs:{REGION}:{ACCOUNT_ID}:log-group:/aws/lambda/{ROLE}:*",
    },
    {
        "Effect": "Allow",
        "Action": ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"],
        "Resource": f"arn:aws:sqs:{REGION}:{ACCOUNT_ID}:{ROLE}-input",
    },
    {
        "Effect": "Allow",
        "Action": "sqs:SendMessage",
        "Resource": f"arn:aws:sqs:{REGION}:{ACCOUNT_ID}:{ROLE}-dlq",
    },
    {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{ROLE}/inbox/*"},
    {"Effect": "Allow", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{ROLE}/results/*"},
]
"""What an algorithm's role may (platform/algorithm.yaml)."""


NAMING = frozenset(
    {"UserName", "StackName", "logGroupName", "TopicArn", "stateMachineArn", "Put", "Get", "FunctionName"}
)
"""Parameters that a call may do without, but then it names nothing."""

_STREAM = {"t": "other", "p": 0, "arn": f"arn:aws:dynamodb:{REGION}:{ACCOUNT_ID}:table/other/stream/now"}
ITERATOR = base64.urlsafe_b64encode(json.dumps(_STREAM).encode()).decode()


@dataclass(frozen=True)
class Sent:
    """A request, before it is signed."""

    service: str
    scope: str
    operation: str
    method: str
    path: str
    query: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    host: str = HOST


def sample(name: str, shape: Any, depth: int = 0) -> Any:
    """Return a value of a shape, which names what is not the role's own."""
    lower = name.lower()
    texts = {"copysource": "/other-bucket/other", "sharditerator": ITERATOR}
    texts |= {"queueurl": f"http://{HOST}/{ACCOUNT_ID}/other", "bucket": "other-bucket", "key": "other"}
    if shape.type_name == "string":
        if getattr(shape, "enum", None):
            return shape.enum[0]
        if lower in texts:
            return texts[lower]
        return f"arn:aws:x:{REGION}:{ACCOUNT_ID}:other/other" if lower.endswith("arn") else "other-thing"
    if shape.type_name == "structure":
        required = set() if depth > 4 else {*shape.required_members, *(NAMING & set(shape.members))}
        return {each: sample(each, shape.members[each], depth + 1) for each in required}
    if shape.type_name == "list":
        return [] if depth > 4 else [sample(name, shape.member, depth + 1)]
    if shape.type_name == "map":
        return {"other-thing": sample(name, shape.value, depth + 1)} if depth < 2 else {}
    plain = {"integer": 1, "long": 1, "float": 1.0, "double": 1.0, "boolean": True, "blob": b"{}"}
    return plain.get(shape.type_name, datetime.datetime(2026, 1, 1))


def plainly(service: ServiceModel, operation: OperationModel, serializer: Any) -> Sent:
    """Return an operation's request as an SDK sends it."""
    shape = operation.input_shape
    parameters = sample("", shape) if shape is not None else {}
    try:
        made = serializer.serialize_to_request(parameters, operation)
        path, body, query = made["url_path"], made["body"], made["query_string"] or {}
        headers = {name: str(value) for name, value in made["headers"].items()}
    except Exception:  # a shape that can't be made up: the address alone
        path, body, query, headers = operation.http["requestUri"].replace("{", "").replace("}", ""), b"{}", {}, {}
    if isinstance(body, dict):
        body = "&".join(f"{quote(str(key))}={quote(str(value))}" for key, value in body.items())
    path, _, literal = path.partition("?")
    pairs = query.items() if isinstance(query, dict) else query
    written = [literal] if literal else []
    written += [f"{quote(str(key), safe='')}={quote(str(value), safe='')}" for key, value in pairs]
    data = body.encode() if isinstance(body, str) else bytes(body) if isinstance(body, bytes | bytearray) else b""
    scope, name = str(service.signing_name), str(service.service_name)
    return Sent(name, scope, operation.name, operation.http["method"], path, "&".join(written), headers, data)


def spellings(sent: Sent) -> Iterator[Sent]:
    """Yield a request as an SDK sends it, and as it is sent by somebody who looks for a way around."""
    yield sent
    typed = {name: value for name, value in sent.headers.items() if name.lower() != "content-type"}
    for content_type in ("text/plain", MULTIPART, FORM, "application/json"):
        yield replace(sent, headers={**typed, "Content-Type": content_type})
    action = "Action=GetCallerIdentity&Version=2011-06-15"
    yield replace(sent, query=f"{sent.query}&{action}" if sent.query else action)
    yield replace(sent, query=f"Action={sent.operation}", body=b"", headers=typed)
    yield replace(sent, path=sent.path.rstrip("/") + "/")
    yield replace(sent, path="/" + sent.path)
    if len(sent.path) > 2:
        first = sent.path[1]
        yield replace(sent, path=f"/%{ord(first):02X}{sent.path[2:]}")
        yield replace(sent, path=f"/%25{ord(first):02X}{sent.path[2:]}")
        yield replace(sent, path=sent.path.upper())
        yield replace(sent, path="/_aws/execute-api/x/" + sent.path)
    for host in (f"{sent.scope}.localhost:{PORT}", f"x.execute-api.localhost:{PORT}", "other-bucket.s3.localhost"):
        yield replace(sent, host=host)


def requests() -> Iterator[Sent]:
    """Yield every operation: of the services that the front passes on in all spellings, of others in the plain ones."""
    from ministack import app

    from greenroom.embedded.front.application import SCOPES

    session = botocore.session.Session()
    emulated = {*app.SERVICE_REGISTRY, *app.SERVICE_NAME_ALIASES}
    for name in session.get_available_services():
        service = session.get_service_model(name)
        scope = service.signing_name
        if scope not in emulated and name not in emulated and scope not in SCOPES:
            continue
        if scope not in SCOPES:
            for operation in service.operation_names:
                http = service.operation_model(operation).http
                target = {"X-Amz-Target": f"{service.metadata.get('targetPrefix', '')}.{operation}"}
                body = f"Action={operation}&Version={service.api_version}".encode()
                path = http["requestUri"].partition("?")[0].replace("{", "").replace("}", "").replace("+", "")
                plain = Sent(name, scope, operation, http["method"], path, headers=target, body=body)
                yield plain
                yield replace(plain, headers={"Content-Type": FORM})
                yield replace(plain, headers={"Content-Type": MULTIPART})
            continue
        protocol = service.metadata["protocol"]
        serializer = create_serializer(protocol, include_validation=False)
        for operation in service.operation_names:
            yield from spellings(plainly(service, service.operation_model(operation), serializer))


class Signer:
    """Signs requests with one session's credentials."""

    def __init__(self, credentials: dict[str, str]) -> None:
        self._id, self._secret = credentials["AWS_ACCESS_KEY_ID"], credentials["AWS_SECRET_ACCESS_KEY"]
        self._token = credentials["AWS_SESSION_TOKEN"]
        self._at = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%SZ")
        self._keys: dict[str, bytes] = {}

    def headers(self, sent: Sent) -> list[tuple[bytes, bytes]]:
        """Return a request's headers, with a good signature."""
        named = {name.lower(): value for name, value in sent.headers.items() if name.lower() != "content-length"}
        hashed = hashlib.sha256(sent.body).hexdigest()
        named |= {"host": sent.host, "x-amz-date": self._at, "x-amz-security-token": self._token}
        named["x-amz-content-sha256"] = hashed
        signed = ";".join(sorted(named))
        pairs = sorted(pair.partition("=")[::2] for pair in sent.query.split("&") if pair)
        path = sent.path if sent.scope == "s3" else quote(_without_dots(sent.path), safe="/-_.~")
        canonical = "\n".join(
            [
                sent.method,
                path,
                "&".join(f"{name}={value}" for name, value in pairs),
                *(f"{name}:{' '.join(named[name].split())}" for name in sorted(named)),
                "",
                signed,
                hashed,
            ]
        )
        scope = f"{self._at[:8]}/{REGION}/{sent.scope}/aws4_request"
        text = "\n".join(["AWS4-HMAC-SHA256", self._at, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        if sent.scope not in self._keys:
            key = f"AWS4{self._secret}".encode()
            for part in scope.split("/"):
                key = hmac.new(key, part.encode(), hashlib.sha256).digest()
            self._keys[sent.scope] = key
        signature = hmac.new(self._keys[sent.scope], text.encode(), hashlib.sha256).hexdigest()
        named["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={self._id}/{scope}, SignedHeaders={signed}, Signature={signature}"
        )
        return [(name.encode(), value.encode()) for name, value in named.items()]


def _without_dots(path: str) -> str:
    parts = [part for part in path.split("/") if part not in ("", ".")]
    return "/" + "/".join(parts) + ("/" if path.endswith("/") and parts else "")


async def call(front: Any, sent: Sent, headers: list[tuple[bytes, bytes]]) -> tuple[int, bytes]:
    """Return status and body of the front's answer."""
    scope = {
        "type": "http",
        "method": sent.method,
        "raw_path": sent.path.encode(),
        "path": sent.path,
        "query_string": sent.query.encode(),
        "headers": headers,
        "client": ("127.0.0.1", 1),
    }

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": sent.body, "more_body": False}

    answered: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        answered.append(message)

    await front(scope, receive, send)
    return answered[0]["status"], answered[1]["body"]


async def walk(folder: Path) -> dict[str, Any]:
    """Walk, and return what happened."""
    from greenroom.embedded import credentials, iam
    from greenroom.embedded.adapters import lambda_control
    from greenroom.embedded.front import Front, emulator, served
    from greenroom.engine import can_honour, can_run
    from greenroom.lambda_api import LambdaApi, Settings
    from greenroom.lambda_api.runtimes import Abilities
    from greenroom.store import Store

    iam.install()
    from ministack.services import iam as kept

    policy = {"Version": "2012-10-17", "Statement": STATEMENTS}
    arn = f"arn:aws:iam::{ACCOUNT_ID}:role/{ROLE}"
    kept._roles[ROLE] = {"RoleName": ROLE, "Arn": arn, "InlinePolicies": {"p": json.dumps(policy)}}
    settings = Settings(ACCOUNT_ID, REGION, folder, f"http://{HOST}")
    api = LambdaApi(Store(folder / "records.sqlite"), lambda_control.ports(), settings, Abilities(can_run, can_honour))
    front = Front(PORT, api)
    came_through: list[str] = []
    for module, name in ((emulator, "call_service"), (emulator, "call_s3"), (emulator, "call_form"), (api, "handle")):
        _note(module, name, came_through)
    signer = Signer(dict(credentials.issue(arn, "probe")))
    statuses: collections.Counter[int] = collections.Counter()
    operations: set[tuple[str, str]] = set()
    unsigned: set[str] = set()
    asked: dict[str, str] = {}
    others: set[str] = set()
    reached: set[str] = set()
    for sent in requests():
        before = len(came_through)
        status, body = await call(front, sent, signer.headers(sent))
        statuses[status] += 1
        if (sent.service, sent.operation) not in operations and served.served(sent.service, sent.operation):
            asked[f"{sent.service} {sent.operation}"] = f"{status} {body[:300].decode()}"
        operations.add((sent.service, sent.operation))
        if b"SignatureDoesNotMatch" in body and b"scoped" not in body and b"not signed" not in body:
            unsigned.add(f"{sent.scope} {sent.operation} {sent.method} {sent.path}?{sent.query}")
        if len(came_through) > before:
            reached.add(f"{sent.scope} {came_through[-1]} as {sent.operation}: {sent.path}")
        if status < 400 or status in (500, 503):
            others.add(f"{status} {sent.scope} {sent.operation} {sent.path} {body[:80]!r}")
    return {
        "operations": len(operations),
        "requests": sum(statuses.values()),
        "statuses": dict(sorted(statuses.items())),
        "asked": asked,
        "reached": sorted(reached),
        "badly signed": sorted(unsigned),
        "not refused": sorted(others),
    }


def _note(module: Any, name: str, came_through: list[str]) -> None:
    """Note what comes through to a service."""
    really = getattr(module, name)

    def noted(first: Any, *rest: Any, **more: Any) -> Any:
        came_through.append(f"{name} {getattr(first, 'operation', first)}")
        return really(first, *rest, **more)

    setattr(module, name, noted)


if __name__ == "__main__":
    os.environ |= {
        "AUTH": "true",
        "AWS_ACCESS_KEY_ID": "AKIAROOT",
        "AWS_SECRET_ACCESS_KEY": "root",
        "GATEWAY_PORT": str(PORT),
        "LOG_LEVEL": "ERROR",
        "MINISTACK_ACCOUNT_ID": ACCOUNT_ID,
        "MINISTACK_REGION": REGION,
    }
    print(json.dumps(asyncio.run(walk(Path(sys.argv[1]))), indent=1))

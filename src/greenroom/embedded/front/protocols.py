"""What a request asks for: parsed once, by botocore's own model of the service.

What comes out of here is what IAM is asked about and what is carried out. So nothing is passed on as it came: a service
gets the request that this parse says it is. What no protocol of AWS allows is refused.
"""

from __future__ import annotations

import base64
import binascii
import datetime
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any
from urllib.parse import urlencode

import botocore.session
from botocore.model import OperationModel, ServiceModel, Shape, StructureShape

from greenroom.embedded.front.request import Refused, Request, decoded, form_pairs, malformed

FORM = "application/x-www-form-urlencoded"
MAX_NESTING = 100
"""How deep a JSON document may be: deeper than any operation's, and far from Python's own limit."""


@dataclass(frozen=True)
class Call:
    """One call of one operation of one service.

    `parameters` have botocore's names. Of the query protocol they are the form's pairs, as `Tags.member.1.Key`. The
    rest is the request that means exactly this call.
    """

    service: str
    operation: str
    parameters: Mapping[str, Any]
    method: str = "POST"
    path: str = "/"
    query: Mapping[str, Sequence[str]] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@cache
def model(service: str) -> ServiceModel:
    """Return botocore's model of a service."""
    return _session().get_service_model(service)


@cache
def _session() -> botocore.session.Session:
    return botocore.session.Session()


@cache
def operation_model(service: str, operation: str) -> OperationModel:
    """Return botocore's model of an operation."""
    return model(service).operation_model(operation)


def parse_json(service: str, request: Request) -> Call:
    """Parse a request of the protocol `json`: the operation in X-Amz-Target, everything else in the body."""
    metadata = model(service).metadata
    content_type = f"application/x-amz-json-{metadata['jsonVersion']}"
    _only_a_body(request, content_type)
    prefix, _, operation = request.header("x-amz-target").partition(".")
    if prefix != metadata["targetPrefix"] or operation not in model(service).operation_names:
        raise Refused(400, "UnknownOperationException", "X-Amz-Target names no operation of this service")
    document = _json_object(request.body)
    known = _members(service, operation)
    parameters = {name: value for name, value in document.items() if name in known and value is not None}
    headers = {"content-type": content_type, "x-amz-target": f"{prefix}.{operation}"}
    return Call(service, operation, parameters, headers=headers, body=_json_bytes(parameters))


def parse_query(service: str, request: Request) -> Call:
    """Parse a request of the protocol `query`: a form with the operation as `Action`."""
    _only_a_body(request, FORM)
    parameters, operation = _form(service, request.body)
    unknown = {name.partition(".")[0] for name in parameters} - _members(service, operation)
    if unknown:
        raise Refused(400, "ValidationError", f"{operation} has no parameter {min(unknown)}")
    form = {"Action": operation, "Version": model(service).api_version, **parameters}
    body = urlencode(form).encode()
    return Call(service, operation, parameters, headers={"content-type": FORM}, body=body)


SQS_PATH = re.compile(r"/\d{12}/[A-Za-z0-9_-]{1,80}(?:\.fifo)?")
SQS_FORM_NAMES = frozenset(
    {
        "Attribute",
        "AttributeName",
        "MessageAttribute",
        "MessageAttributeName",
        "MessageSystemAttribute",
        "Tag",
        "TagKey",
    }
    | {"ActionName", "AWSAccountId", "ChangeMessageVisibilityBatchRequestEntry", "DeleteMessageBatchRequestEntry"}
    | {"SendMessageBatchRequestEntry"}
)
"""What the elements of lists are called in a form, which botocore's model of today no longer says.
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/Welcome.html"""


def parse_sqs(service: str, request: Request) -> Call:
    """Parse a request to SQS: of the protocol `json`, or as older SDKs send it, a form on / or on the queue's path."""
    if "x-amz-target" in request.headers:
        return parse_json(service, request)
    queue = request.raw_path if SQS_PATH.fullmatch(request.raw_path) else ""
    _only_a_body(replace(request, raw_path="/") if queue else request, FORM)
    parameters, operation = _form(service, request.body)
    unknown = {name.partition(".")[0] for name in parameters} - _members(service, operation) - SQS_FORM_NAMES
    if unknown:
        raise Refused(400, "InvalidParameterValue", f"{operation} has no parameter {min(unknown)}")
    if queue and not parameters.setdefault("QueueUrl", queue).endswith(queue):
        raise malformed("path and QueueUrl name two queues")
    form = {"Action": operation, "Version": model(service).api_version, **parameters}
    body = urlencode(form).encode()
    return Call(service, operation, parameters, headers={"content-type": FORM}, body=body)


def _form(service: str, body: bytes) -> tuple[dict[str, str], str]:
    try:
        pairs = form_pairs(body.decode("ascii"))
    except UnicodeDecodeError:
        raise malformed("the form is not encoded") from None
    parameters = dict(pairs)
    if len(parameters) != len(pairs):
        raise malformed("a parameter is there twice")
    operation, version = parameters.pop("Action", ""), parameters.pop("Version", "")
    if operation not in model(service).operation_names or version != model(service).api_version:
        raise Refused(400, "InvalidAction", f"The action {operation or '-'} is not valid for this web service.")
    return parameters, operation


def _only_a_body(request: Request, content_type: str) -> None:
    """Check that a request has everything in its body."""
    if request.method != "POST" or request.raw_path != "/" or request.raw_query:
        raise malformed("this service is called by POST on / without a query")
    found, _, options = request.header("content-type").partition(";")
    if found.strip().lower() != content_type or options.strip().lower() not in ("", "charset=utf-8"):
        raise malformed(f"this service is called with Content-Type {content_type}")


@cache
def _members(service: str, operation: str) -> frozenset[str]:
    """Return the names that an operation's parameters have on the wire."""
    shape = operation_model(service, operation).input_shape
    if shape is None:
        return frozenset()
    names = set()
    for name, member in shape.members.items():
        names |= {name, member.serialization.get("name", name)}
    return frozenset(names)


# Protocol rest-json: operation and parameters in method, path, query, headers and body.


@dataclass(frozen=True)
class Route:
    """The address of an operation: a pattern for the raw path, and what the query has to hold."""

    operation: str
    pattern: re.Pattern[str]
    labels: tuple[str, ...]
    literal: tuple[tuple[str, str], ...]


def parse_rest_json(service: str, request: Request) -> Call:
    """Parse a request of the protocol `rest-json`."""
    query = _query_of(request)
    route, pieces = _routed(service, request, query)
    labels = {name: decoded(piece) for name, piece in zip(route.labels, pieces, strict=True)}
    if any("%" in value or value in ("", ".", "..") for value in labels.values()):
        raise malformed("the path is encoded twice, or a part of it is empty")
    shape = operation_model(service, route.operation).input_shape
    parameters: dict[str, Any] = {}
    sent_query, sent_headers = {name: [value] for name, value in route.literal}, dict[str, str]()
    if shape is not None:
        for name, values in _outside_body(shape, labels, query, request.headers):
            parameters[name] = _from_texts(name, shape.members[name], values)
            where = shape.members[name].serialization
            if where["location"] == "querystring":
                sent_query[where["name"]] = values
            elif where["location"] == "header":
                sent_headers[where["name"].lower()] = values[0]
        parameters |= _body(shape, request)
    template = operation_model(service, route.operation).http["requestUri"].partition("?")[0]
    path = re.sub(r"\{(\w[\w-]*)\+?\}", lambda found: labels[found[1]], template)
    if request.body:
        sent_headers.setdefault("content-type", "application/json")
    return Call(
        service, route.operation, parameters, request.method, path, sent_query, sent_headers, _kept_body(shape, request)
    )


def operation_at(service: str, request: Request) -> str:
    """Return the operation whose address a request has, without its body. Raises Refused if it is that of none."""
    return _routed(service, request, _query_of(request))[0].operation


def _query_of(request: Request) -> dict[str, list[str]]:
    query = dict[str, list[str]]()
    for name, value in request.query:
        query.setdefault(name, []).append(value)
    return query


def _routed(service: str, request: Request, query: Mapping[str, list[str]]) -> tuple[Route, tuple[str, ...]]:
    for route in _routes(service, request.method):
        found = route.pattern.fullmatch(request.raw_path)
        if found and all(query.get(name) == [value] for name, value in route.literal):
            return route, found.groups()
    raise Refused(404, "UnknownOperationException", "this is the address of no operation of this service")


@cache
def _routes(service: str, method: str) -> tuple[Route, ...]:
    """Return the routes of a method; those with more fixed parts come first."""
    found = []
    for name in model(service).operation_names:
        http = operation_model(service, name).http
        if http["method"] == method:
            path, _, literal = http["requestUri"].partition("?")
            labels = tuple(re.findall(r"\{(\w[\w-]*)\+?\}", path))
            parts = re.split(r"\{\w[\w-]*\+?\}", path)
            # AWS takes an address with and without a slash at its end.
            pattern = re.compile("([^/]+)".join(re.escape(part) for part in parts).removesuffix("/") + "/?")
            found.append((Route(name, pattern, labels, tuple(form_pairs(literal))), len("".join(parts))))
    return tuple(route for route, fixed in sorted(found, key=lambda each: (-each[1], -len(each[0].literal))))


def _outside_body(
    shape: StructureShape, labels: Mapping[str, str], query: Mapping[str, list[str]], headers: Mapping[str, str]
) -> Iterator[tuple[str, list[str]]]:
    """Yield the parameters that path, query and headers hold, as often as they are there."""
    sources: dict[str, Mapping[str, str | list[str]]] = {"uri": labels, "querystring": query, "header": headers}
    for name, member in shape.members.items():
        where = member.serialization
        source = sources.get(where.get("location", ""))
        if source is not None:
            key = where.get("name", name)
            value = source.get(key.lower() if where["location"] == "header" else key)
            if value is not None:
                yield name, value if isinstance(value, list) else [value]


def _body(shape: StructureShape, request: Request) -> dict[str, Any]:
    """Return the parameters that the body holds."""
    payload = shape.serialization.get("payload")
    if payload and shape.members[payload].type_name in ("blob", "string"):
        return {payload: request.body} if request.body else {}
    inside = {
        member.serialization.get("name", name): name
        for name, member in shape.members.items()
        if "location" not in member.serialization
    }
    if not request.body or not inside:
        return {}
    content_type = request.header("content-type").partition(";")[0].strip().lower()
    if content_type not in ("", "application/json", "application/x-amz-json-1.1", "application/x-amz-json-1.0"):
        raise Refused(415, "UnsupportedMediaTypeException", "the body of this operation is application/json")
    document = _json_object(request.body)
    if payload:
        return {payload: typed(payload, shape.members[payload], document)}
    return {
        inside[key]: typed(key, shape.members[inside[key]], value)
        for key, value in document.items()
        if key in inside and value is not None
    }


def _kept_body(shape: StructureShape | None, request: Request) -> bytes:
    """Return the body without what the operation does not know."""
    if shape is None:
        return b""
    payload = shape.serialization.get("payload")
    if payload and shape.members[payload].type_name in ("blob", "string"):
        return request.body
    if not request.body:
        return b""
    document = _json_object(request.body)
    if payload:
        return _json_bytes(document)
    names = {
        member.serialization.get("name", name)
        for name, member in shape.members.items()
        if "location" not in member.serialization
    }
    return _json_bytes({key: value for key, value in document.items() if key in names})


def _from_texts(name: str, shape: Shape, texts: list[str]) -> Any:
    """Return the value of a parameter that stood in a path, a query or a header: once, unless it is a list."""
    if shape.type_name == "list":
        return texts
    if len(texts) > 1:
        raise malformed(f"{name} is there twice")
    return _from_text(name, shape, texts[0])


def _from_text(name: str, shape: Shape, text: str) -> Any:
    try:
        if shape.type_name in ("integer", "long"):
            return int(text) if re.fullmatch(r"-?\d{1,18}", text) else _wrong(name, shape)
        if shape.type_name == "boolean":
            return {"true": True, "false": False}[text.lower()]
    except KeyError:
        _wrong(name, shape)
    return text


# Values of JSON, by the shapes that they have.


def typed(name: str, shape: Shape, value: Any) -> Any:
    """Return a JSON value as a parameter has it: blobs as bytes, times as datetime, unknown members left out.

    Raises Refused if it is of another type than the shape.
    """
    reader = _READERS.get(shape.type_name)
    return value if reader is None else reader(name, shape, value)


def _wrong(name: str, shape: Shape) -> Any:
    raise Refused(400, "SerializationException", f"{name} is not a {shape.type_name}")


def _structure(name: str, shape: Any, value: Any) -> Any:
    if not isinstance(value, dict):
        _wrong(name, shape)
    if getattr(shape, "is_document_type", False):
        return value
    named = {member.serialization.get("name", key): (key, member) for key, member in shape.members.items()}
    return {
        named[key][0]: typed(key, named[key][1], each)
        for key, each in value.items()
        if key in named and each is not None
    }


def _list(name: str, shape: Any, value: Any) -> Any:
    return [typed(name, shape.member, each) for each in value] if isinstance(value, list) else _wrong(name, shape)


def _map(name: str, shape: Any, value: Any) -> Any:
    if not isinstance(value, dict):
        _wrong(name, shape)
    return {key: typed(key, shape.value, each) for key, each in value.items()}


def _string(name: str, shape: Shape, value: Any) -> Any:
    return value if isinstance(value, str) else _wrong(name, shape)


def _whole(name: str, shape: Shape, value: Any) -> Any:
    return value if isinstance(value, int) and not isinstance(value, bool) else _wrong(name, shape)


def _number(name: str, shape: Shape, value: Any) -> Any:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else _wrong(name, shape)


def _boolean(name: str, shape: Shape, value: Any) -> Any:
    return value if isinstance(value, bool) else _wrong(name, shape)


def _blob(name: str, shape: Shape, value: Any) -> Any:
    try:
        return base64.b64decode(_string(name, shape, value), validate=True)
    except (binascii.Error, ValueError):
        return _wrong(name, shape)


def _time(name: str, shape: Shape, value: Any) -> Any:
    try:
        if isinstance(value, str):
            return datetime.datetime.fromisoformat(value)
        return datetime.datetime.fromtimestamp(_number(name, shape, value), datetime.UTC)
    except (ValueError, OverflowError, OSError):
        return _wrong(name, shape)


_READERS: dict[str, Callable[[str, Shape, Any], Any]] = {
    "structure": _structure,
    "list": _list,
    "map": _map,
    "string": _string,
    "integer": _whole,
    "long": _whole,
    "float": _number,
    "double": _number,
    "boolean": _boolean,
    "blob": _blob,
    "timestamp": _time,
}


def _json_object(body: bytes) -> dict[str, Any]:
    """Return a body's JSON object. Raises Refused if it is not one, or has a name twice."""
    if not body:
        return {}
    try:
        found = json.loads(body.decode(), object_pairs_hook=_unique, parse_constant=_no_number)
    except Refused:
        raise
    except (ValueError, RecursionError):
        raise Refused(400, "SerializationException", "the body is not JSON") from None
    if not isinstance(found, dict) or _depth(found) > MAX_NESTING:
        raise Refused(400, "SerializationException", "the body is not a JSON object, or too deep")
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Refused(400, "SerializationException", "a name is there twice in an object of the body")
    return found


def _no_number(text: str) -> Any:
    raise Refused(400, "SerializationException", f"{text} is not JSON")


def _depth(document: Any) -> int:
    depth, level = 0, [document]
    while level and depth <= MAX_NESTING:
        depth += 1
        level = [
            each
            for value in level
            for each in (value.values() if isinstance(value, dict) else value)
            if isinstance(each, dict | list)
        ]
    return depth


def _json_bytes(document: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    except ValueError:  # a lone surrogate, or a number beyond all bounds
        raise Refused(400, "SerializationException", "the body holds what is not text or not a number") from None

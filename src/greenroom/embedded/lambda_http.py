"""Requests for Lambda, as ministack's application hands them over. Goes when the front dispatches them."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import cache
from typing import Any
from urllib.parse import unquote

from botocore.model import ListShape, MapShape, Shape, StructureShape

from greenroom.embedded import gateway
from greenroom.lambda_api import LambdaApi, LambdaError, model
from greenroom.store import Store

POOL = ThreadPoolExecutor(256, "lambda")


def handler(api: LambdaApi, store: Store) -> Any:
    """Return what ministack calls with a request."""

    async def handle_request(method: str, path: str, headers: Any, body: bytes, query: Any) -> tuple[int, Any, bytes]:
        def answer() -> tuple[int, Any, bytes]:
            try:
                name, parameters = parse(method, path, headers, body, query)
            except LambdaError as error:
                return (
                    error.status,
                    {"x-amzn-errortype": error.code, "content-type": "application/json"},
                    model.error_text(error),
                )
            response = api.handle(name, parameters, headers={key.lower(): value for key, value in headers.items()})
            store.barrier()
            if (seen := gateway.invocation_id.get()) is not None:
                seen.append(response.headers["x-amzn-requestid"])
            return response.status, dict(response.headers), response.body

        return await asyncio.get_running_loop().run_in_executor(POOL, copy_context().run, answer)

    return handle_request


@cache
def _routes() -> list[tuple[str, re.Pattern[str], str, str]]:
    found = []
    for name in model.operation_names():
        http = model.operation(name).http
        path, _, query = http["requestUri"].partition("?")
        pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path.rstrip("/"))
        found.append((http["method"], re.compile(pattern + "/?"), query, name))
    return sorted(found, key=lambda route: -len(route[2]))


def parse(method: str, path: str, headers: Any, body: bytes, query: Any) -> tuple[str, dict[str, Any]]:
    """Return the operation that a request asks for, and its parameters."""
    for route_method, pattern, literal, name in _routes():
        match = pattern.fullmatch(path) if route_method == method else None
        if match is None or (literal and literal.partition("=")[0] not in query):
            continue
        return name, _parameters(name, match.groupdict(), headers, body, query)
    raise LambdaError("UnknownOperationException", f"{method} {path} is not an operation of Lambda", 404)


def _parameters(name: str, uri: Mapping[str, str], headers: Any, body: bytes, query: Any) -> dict[str, Any]:
    shape = model.operation(name).input_shape
    if shape is None:
        return {}
    payload = shape.serialization.get("payload")
    document = {}
    if body and not payload:
        try:
            document = json.loads(body)
        except ValueError as error:
            raise LambdaError("SerializationException", "The body is not JSON") from error
    found: dict[str, Any] = {}
    for member, inner in shape.members.items():
        location, wire = inner.serialization.get("location"), inner.serialization.get("name", member)
        if member == payload:
            found[member] = body
        elif location == "uri" and wire in uri:
            found[member] = _typed(inner, unquote(uri[wire]))
        elif location == "querystring" and wire in query:
            value = query[wire]
            many = value if isinstance(value, list) else [value]
            found[member] = many if isinstance(inner, ListShape) else _typed(inner, many[0])
        elif location == "header" and (value := headers.get(wire.lower(), headers.get(wire))) is not None:
            found[member] = _typed(inner, value)
        elif location is None and document.get(wire) is not None:
            found[member] = _typed(inner, document[wire])
    return found


def _typed(shape: Shape, value: Any) -> Any:
    if isinstance(shape, StructureShape):
        return {
            name: _typed(inner, value[name]) for name, inner in shape.members.items() if value.get(name) is not None
        }
    if isinstance(shape, ListShape):
        return [_typed(shape.member, each) for each in value]
    if isinstance(shape, MapShape):
        return {key: _typed(shape.value, each) for key, each in value.items()}
    if shape.type_name == "blob":
        return base64.b64decode(value)
    return int(value) if shape.type_name in ("integer", "long") else value

"""The platform itself: its state, its description, and the page."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.models import HTTPBearer, Server

from greenroom import web
from greenroom.package.metadata import metadata_json_schema
from greenroom.platform import queues
from greenroom.platform.handlers.api.app import app, route, routes
from greenroom.platform.services import services
from greenroom.wire import models

PAGE = {"/": "index.html"} | {f"/{name}": name for name in web.FILES if name != "index.html"}
"""The page's files, by the paths they are served at."""

DESCRIPTION = (
    "Upload algorithms, watch them being tested in production next to the live version, and send documents through "
    "them. Every error has one body: what was wrong, where, and what to do."
)


@route("GET", "/status")
def get_status() -> models.PlatformStatus:
    """Show the platform at a glance: releases in flight, and what is in its queues."""
    return queues.status(services())


@route("GET", "/schema/metadata.json", is_open=True)
def get_metadata_schema() -> dict[str, Any]:
    """Describe metadata.json as a JSON Schema."""
    return metadata_json_schema()


@route("GET", "/openapi.json", is_open=True)
def get_openapi() -> dict[str, Any]:
    """Describe this API."""
    return openapi_document(services().settings["VERSION"])


@cache
def openapi_document(version: str) -> dict[str, Any]:
    """Return the description of the API as an OpenAPI document."""
    document: dict[str, Any] = json.loads(
        app.get_openapi_json_schema(
            title="Greenroom",
            version=version,
            description=DESCRIPTION,
            servers=[Server(url=".", description="Where this document is served")],
            security_schemes={"token": HTTPBearer(description="The API token; `greenroom env` prints it.")},
            security=[{"token": []}],
        )
    )
    schemas = document["components"]["schemas"]
    foreign = {"HTTPValidationError", "ValidationError", "ResponseValidationError"}
    for operation in (each for path in document["paths"].values() for each in path.values()):
        for status, answer in [*operation["responses"].items()]:
            schema = answer["content"]["application/json"]["schema"]
            name = schema.get("$ref", "").rsplit("/", 1)[-1]
            if name in foreign:
                # Powertools adds its own 422 to every route, even to one that has nothing to validate.
                del operation["responses"][status]
            elif int(status) < 300 and name:
                answer["description"] = schemas[name]["description"]
    document["components"]["schemas"] = {name: schema for name, schema in schemas.items() if name not in foreign}
    return document


def get_file() -> Response[str]:
    """Serve a file of the page."""
    found = web.asset(PAGE[app.current_event.path])
    assert found is not None  # noqa: S101 -- PAGE names files that are there
    headers = web.headers(services().settings.region)
    return Response(status_code=200, content_type=found.content_type, body=found.body, headers=headers)


for _path in PAGE:
    app.get(_path, include_in_schema=False)(get_file)
    routes.add("GET", _path, is_open=True)

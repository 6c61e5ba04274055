"""The page's view of the HTTP API: TypeScript declarations of every answer, from `GET /openapi.json`.

    python -m tests.unit.web.declarations

writes `src/greenroom/web/api.d.ts`, by which `make page` checks each field that the JavaScript reads. Nothing serves or
runs that file.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import greenroom.platform.handlers.api  # noqa: F401 -- it registers the routes
from greenroom.platform.handlers.api.platform import openapi_document

FILE = Path(__file__).parents[3] / "src" / "greenroom" / "web" / "api.d.ts"
HEAD = """// The answers of the HTTP API as the page's JavaScript reads them. Made from GET /openapi.json by
// `python -m tests.unit.web.declarations`; a test compares the two.
"""


def declarations(document: dict[str, Any]) -> str:
    """Return the declarations of an OpenAPI document: an interface for each model, and the answer to each path."""
    schemas = document["components"]["schemas"]
    answers = _answers(document)
    wanted = _reachable(schemas, {name for _, _, name in answers} | {"ErrorAnswer"})
    models = [_model(name, schemas[name]) for name in sorted(wanted)]
    return "\n\n".join([HEAD.rstrip(), *models, _answer_type(answers)]) + "\n"


def _answer_type(answers: list[tuple[str, str, str]]) -> str:
    lines = [f"  [M, P] extends [{json.dumps(method)}, {path}] ? {name} :" for method, path, name in answers]
    head = ["/** What a path that the API does not have is answered with: nothing that can be read. */"]
    head += [
        "export interface NoSuchPath {",
        "  noSuchPath: true;",
        "}",
        "",
        "/** The answer to a method and a path. */",
    ]
    head.append("export type Answer<M extends string, P extends string> = P extends string ? AnswerTo<M, P> : never;")
    head += ["", "type AnswerTo<M extends string, P extends string> ="]
    return "\n".join([*head, *lines, "  NoSuchPath;"])


def _answers(document: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return method, path as a template literal type, and model; the paths that say most come first."""
    found = []
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            (status,) = (status for status in operation["responses"] if status < "300")
            schema = operation["responses"][status]["content"]["application/json"]["schema"]
            if "$ref" in schema:
                literal = re.sub(r"{\w+}", "${string}", path.removeprefix("/"))
                order = (-path.count("/"), path.count("{"), path)
                found.append((order, method.upper(), f"`{literal}` | `{literal}?${{string}}`", _name(schema["$ref"])))
    return [(method, literal, name) for _, method, literal, name in sorted(found)]


def _reachable(schemas: dict[str, Any], names: set[str]) -> set[str]:
    found: set[str] = set()
    left = [*names]
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left += map(_name, re.findall(r'"\$ref": "([^"]+)"', json.dumps(schemas[name])))
    return found


def _model(name: str, schema: dict[str, Any]) -> str:
    if "properties" not in schema:
        return f"export type {name} = {_type(schema)};"
    fields = [f"  {field}: {_type(value)};" for field, value in schema["properties"].items()]
    return "\n".join([f"export interface {name} {{", *fields, "}"])


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return _name(schema["$ref"])
    if "enum" in schema:
        return " | ".join(map(json.dumps, schema["enum"]))
    if "anyOf" in schema:
        return " | ".join(dict.fromkeys(map(_type, schema["anyOf"])))
    kind = schema.get("type")
    if kind == "array":
        return f"({_type(schema['items'])})[]"
    if kind == "object":
        values = schema.get("additionalProperties")
        return f"Record<string, {_type(values) if isinstance(values, dict) else 'unknown'}>"
    return {"integer": "number", "number": "number", "string": "string", "boolean": "boolean", "null": "null"}.get(
        kind or "", "unknown"
    )


def _name(reference: str) -> str:
    return reference.rsplit("/", 1)[1]


if __name__ == "__main__":
    FILE.write_text(declarations(openapi_document("")))

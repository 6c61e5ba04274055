"""metadata.json with anything in it. The model and the published JSON Schema accept the same."""

from __future__ import annotations

import json
import random
import time
from functools import cache
from typing import Any

import jsonschema

from greenroom.package.metadata import Metadata, MetadataError, load_metadata, metadata_json_schema

MAX_SECONDS = 1.0
GOOD: dict[str, Any] = {"name": "nsx-in", "type": "in", "entry": "nsx.translator:Nsx"}
FIELDS = [field.alias or name for name, field in Metadata.model_fields.items()]
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 10, 10.0, 10.5, 128, 1769, 10_240, 10_241, 1e400, -0.0, 10**30, 0.5, 1e-9),
    *("", "in", "out", "ALL", "nsx-in", "a-b", "A", "a" * 40, "m:C", "m.f", "m", "fixed", "adaptive", "cost", "x64"),
    *("python3.11", "python3.9", "arm64", "balanced", "a\u202eb", "\ud800", "a\nb", "é", "128"),
    *(
        [],
        [128],
        [128, 128],
        [128, 256],
        ["a-b"],
        ["a-b", "a-b"],
        ["nsx-in"],
        [[]],
        {},
        {"a": 1},
        list(range(128, 170)),
    ),
)


def attempt(rng: random.Random) -> str:
    """Make a metadata.json and hold the model's verdict against the schema's."""
    value = {**GOOD, **{rng.choice(_names(rng)): rng.choice(VALUES) for _ in range(rng.choice((0, 1, 1, 2, 3)))}}
    for _ in range(rng.choice((0, 0, 0, 1))):
        value.pop(rng.choice(list(value)), None)
    if value.get("handler") and rng.randrange(2):
        value.pop("entry", None)
    text = json.dumps(value, ensure_ascii=bool(rng.randrange(2)))
    body = _damaged(rng, text.encode("utf-8", "surrogatepass"))
    begin = time.monotonic()
    try:
        load_metadata(body)
        end = "accepted"
    except MetadataError as error:
        assert str(error).isprintable() and len(str(error)) < 10_000, body
        end = "refused"
    assert time.monotonic() - begin < MAX_SECONDS, body
    read = _read(body)
    if read is not None:
        said = _schema().is_valid(read)
        assert said == (end == "accepted") or _is_known_difference(read), (body, said, end)
    return end


def _names(rng: random.Random) -> list[str]:
    return FIELDS if rng.randrange(10) else ["Name", "memory", "", "a" * 100, "\u202e", "$schema"]


def _damaged(rng: random.Random, body: bytes) -> bytes:
    match rng.randrange(12):
        case 0:
            at = rng.randrange(len(body))
            return body[:at] + rng.randbytes(rng.randint(0, 3)) + body[at + rng.randint(0, 3) :]
        case 1:
            return b'{"num": ' + rng.choice((b"[" * 70_000, b"[" * 9_000, b"9" * 5_000, b"NaN", b"1e9999")) + b"}"
        case 2:
            return body[:-1] + b', "name": "again"}'
        case 3:
            return b"\xef\xbb\xbf" + body
    return body


def _read(body: bytes) -> dict[str, Any] | None:
    """Return the document as the schema sees it, or None where it is not one: twice a field, no JSON, no UTF-8."""
    try:
        pairs: list[bool] = []

        def once(items: list[tuple[str, Any]]) -> dict[str, Any]:
            pairs.append(len(dict(items)) == len(items))
            return dict(items)

        value = json.loads(body.decode("utf-8-sig"), object_pairs_hook=once)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) and all(pairs) else None


def _is_known_difference(value: dict[str, Any]) -> bool:
    """What docs/package-format.md says that a schema can't express, or JSON can't: infinity, and half a character."""
    next_ = value.get("next")
    names_itself = value.get("name") in (next_ if isinstance(next_, list) else [next_])
    text = json.dumps(value)
    numbers = [each for each in _leaves(value) if isinstance(each, float)]
    return names_itself or any(each.is_integer() or each in (float("inf"),) for each in numbers) or "\\ud8" in text


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, dict | list):
        return [leaf for each in (value.values() if isinstance(value, dict) else value) for leaf in _leaves(each)]
    return [value]


@cache
def _schema() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(metadata_json_schema())

"""How a record of ministack's is written: JSON, with marks for what JSON lacks."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any

BYTES, SET, PAIRS = "__bytes__", "__set__", "__pairs__"
"""The one key of an object that stands for bytes, for a set, or for a mapping whose keys are not strings."""

Key = tuple[Any, ...]


def encode(value: Any) -> bytes:
    """Return a value as bytes. Tuples become lists."""
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_marked)
    except TypeError:
        text = json.dumps(_without_odd_keys(value), ensure_ascii=False, separators=(",", ":"), default=_marked)
    return text.encode("utf-8", "surrogatepass")


def decode(held: bytes) -> Any:
    """Return the value that was encoded."""
    text = held.decode("utf-8", "surrogatepass")
    return json.loads(text, object_hook=_unmarked) if '"__' in text else json.loads(text)


def key_text(key: Key) -> str:
    """Return a record's key as the text that it has in the store."""
    return json.dumps(key, ensure_ascii=True, separators=(",", ":"))


def key_of(text: str) -> Key:
    """Return the key that a text stands for."""
    return tuple(tuple(part) if isinstance(part, list) else part for part in json.loads(text))


def digest(held: bytes) -> bytes:
    """Return what tells two encoded values apart."""
    return hashlib.blake2b(held, digest_size=12).digest()


def _marked(value: Any) -> Any:
    if isinstance(value, bytes | bytearray):
        return {BYTES: base64.b64encode(value).decode("ascii")}
    if isinstance(value, set | frozenset):
        return {SET: sorted(value)}
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a record of ministack's has a {type(value).__name__}")


def _unmarked(found: dict[str, Any]) -> Any:
    if len(found) != 1:
        return found
    if BYTES in found:
        return base64.b64decode(found[BYTES])
    if SET in found:
        return set(found[SET])
    if PAIRS in found:
        return {tuple(key) if isinstance(key, list) else key: value for key, value in found[PAIRS]}
    return found


def _without_odd_keys(value: Any) -> Any:
    if isinstance(value, Mapping):
        if all(isinstance(key, str) for key in value):
            return {key: _without_odd_keys(part) for key, part in value.items()}
        return {PAIRS: [[key, _without_odd_keys(part)] for key, part in value.items()]}
    if isinstance(value, list | tuple):
        return [_without_odd_keys(part) for part in value]
    return value

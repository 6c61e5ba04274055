"""ZIPs for the tests, written byte by byte, so that each of their figures can be a lie."""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

STORED, DEFLATED = 0, 8
SOURCE = "class Translator:\n    def translate(self, document):\n        return document\n"


@dataclass(frozen=True)
class Item:
    """An entry; what is None is what a decent writer would say. `after` follows its data."""

    name: bytes
    data: bytes = b""
    method: int = DEFLATED
    flags: int = 0
    attributes: int = 0o100644 << 16
    extra: bytes = b""
    local_extra: bytes = b""
    remark: bytes = b""
    after: bytes = b""
    crc: int | None = None
    packed_bytes: int | None = None
    size_bytes: int | None = None
    offset: int | None = None
    local_name: bytes | None = None
    local: Mapping[str, int] = field(default_factory=dict)
    packed: bytes | None = None


def deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def zip_of(
    *items: Item, before: bytes = b"", after: bytes = b"", comment: bytes = b"", end: Mapping[str, int] | None = None
) -> bytes:
    """Return a ZIP, with bytes `before` and `after` its entries.

    `end` replaces figures of the end record: disk, count, length, offset, comment.
    """
    body, directory = io.BytesIO(), io.BytesIO()
    body.write(before)
    for item in items:
        packed = item.packed
        if packed is None:
            packed = deflate(item.data) if item.method == DEFLATED else item.data
        crc = zlib.crc32(item.data) if item.crc is None else item.crc
        packed_bytes = len(packed) if item.packed_bytes is None else item.packed_bytes
        size_bytes = len(item.data) if item.size_bytes is None else item.size_bytes
        offset = body.tell() if item.offset is None else item.offset
        local = {"method": item.method, "flags": item.flags, "crc": crc, "packed": packed_bytes, "size": size_bytes}
        local |= item.local
        local_name = item.name if item.local_name is None else item.local_name
        if item.offset is None:
            figures = (local["flags"], local["method"], 0, 0x21, local["crc"], local["packed"], local["size"])
            body.write(struct.pack("<4s5H3L2H", b"PK\3\4", 20, *figures, len(local_name), len(item.local_extra)))
            body.write(local_name + item.local_extra + packed + item.after)
        named = (len(item.name), len(item.extra), len(item.remark), 0, 0, item.attributes, offset)
        told = (0x0314, 20, item.flags, item.method, 0, 0x21, crc, packed_bytes, size_bytes)
        directory.write(struct.pack("<4s6H3L5H2L", b"PK\1\2", *told, *named) + item.name + item.extra + item.remark)
    body.write(after)
    figures_ = {"disk": 0, "count": len(items), "length": directory.tell(), "offset": body.tell()}
    figures_ |= {"comment": len(comment)} | dict(end or {})
    last = (figures_["disk"], figures_["disk"], figures_["count"], figures_["count"])
    tail = struct.pack("<4s4H2LH", b"PK\5\6", *last, figures_["length"], figures_["offset"], figures_["comment"])
    return body.getvalue() + directory.getvalue() + tail + comment


def package(files: Mapping[str, str | bytes | Item | None] | None = None, **metadata: Any) -> io.BytesIO:
    """Return the ZIP of a small package; `files` come on top, or with None take one away.

    An Item says how a file is stored.
    """
    said = {"name": "sample", "type": "in", "entry": "sample.code:Translator", **metadata}
    said = {key: value for key, value in said.items() if value is not None}
    every: dict[str, str | bytes | Item | None] = {
        "metadata.json": json.dumps(said),
        "sample/__init__.py": "",
        "sample/code.py": SOURCE,
        "tests/one/input.json": '{"a": 1}',
        "tests/one/expected.json": '{"a": 1}',
        **(files or {}),
    }
    items = [
        replace(body, name=name.encode())
        if isinstance(body, Item)
        else Item(name.encode(), body.encode() if isinstance(body, str) else body)
        for name, body in every.items()
        if body is not None
    ]
    return io.BytesIO(zip_of(*items))

"""ZIPs with lies in them. Whatever our reader accepts, every other reader has to see the same files in.

Other readers are `zipfile` and `zipimport` of Python, one that goes from entry to entry without the directory, and
`unzip`, where there is one. The ZIP that is kept, and what the engine unpacks of it, have the same files again.
"""

from __future__ import annotations

import io
import random
import shutil
import struct
import subprocess
import tempfile
import zipfile
import zipimport
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from greenroom.engine.code import CodeStore
from greenroom.package.archive import Archive
from greenroom.package.errors import PackageError
from tests.unit.package.zips import DEFLATED, STORED, Item, deflate, zip_of

MAX_READ_BYTES = 1 << 20
ON_DISK_EVERY = 25
"""How often what a reader of another process or of the disk sees is looked at."""

USUAL = ("a.py", "b/c.py", "b/d/e.txt", "metadata.json", "tests/one/input.json", "folder/", "B/d.py", "a", "é.txt")
UNUSUAL = (
    *(
        "a.py",
        "A.py",
        "b",
        "b/",
        "metadata.json/x",
        "../x",
        "/x",
        "a\\b",
        "a//b",
        "a\0b",
        "a\u202eb",
        "a\uff0fb",
        "x" * 300,
        "",
        ".",
        "c:x",
        "e\u0301.txt",
        " a",
    ),
)
FIGURES = (0, 1, 2, 8, 9, 0x800, 0x808, 0x7FFF, 0xFFFF, 0x8000)
LARGE_FIGURES = (*FIGURES, 0xFFFFFFFF, 0xFFFFFFFE, 1 << 31, 30, 46)


def attempt(rng: random.Random) -> str:
    """Make a ZIP and hold what we read in it against what others do."""
    body = _built(rng)
    kept = io.BytesIO()
    try:
        Archive(io.BytesIO(body)).rewrite(kept)
        archive = Archive(kept)
    except PackageError as error:
        assert str(error).isprintable() and len(str(error)) < 1_000, body
        return error.code
    ours = {entry.path: archive.read(entry.path, MAX_READ_BYTES) for entry in archive.entries()}
    again = io.BytesIO()
    archive.rewrite(again)
    assert again.getvalue() == kept.getvalue(), body
    for seen in (_by_zipfile(body), _by_zipfile(kept.getvalue()), _from_entry_to_entry(body)):
        assert seen == ours, (body, seen, ours)
    if rng.randrange(ON_DISK_EVERY) == 0:
        _compare_on_disk(body, kept.getvalue(), ours)
    return "read"


def _built(rng: random.Random) -> bytes:
    names = [*rng.sample(USUAL, rng.randint(1, 5)), *rng.choices(UNUSUAL, k=rng.choice((0, 0, 0, 0, 1)))]
    items = [_item(rng, name) for name in names]
    for _ in range(rng.choice((0, 0, 1, 1, 2))):
        at = rng.randrange(len(items))
        items[at] = _with_lie(rng, items[at])
    pieces = {
        name: rng.randbytes(rng.randint(0, 9)) for name in ("before", "after", "comment") if not rng.randrange(40)
    }
    end = (
        {rng.choice(("disk", "count", "length", "offset", "comment")): rng.choice(FIGURES)}
        if not rng.randrange(20)
        else {}
    )
    body = bytearray(zip_of(*items, end=end, **pieces))
    for _ in range(rng.choice((0, 0, 0, 0, 1, 1, 2, 5))):
        _damage(rng, body)
    return bytes(body)


def _item(rng: random.Random, name: str) -> Item:
    data = b"" if name.endswith("/") else rng.choice((b"", b"x", b"print(1)\n" * 40, rng.randbytes(200)))
    item = Item(
        name.encode("utf-8"),
        data,
        method=rng.choice((STORED, DEFLATED)),
        flags=0 if name.isascii() else 0x800,
        attributes=rng.choice((0o100644, 0o100755, 0)) << 16,
    )
    if rng.randrange(5):
        return item
    figures = struct.pack("<3L", zlib.crc32(data), len(data if item.method == STORED else deflate(data)), len(data))
    after = rng.choice((b"PK\7\10", b"")) + figures
    return replace(item, flags=item.flags | 8, local={"crc": 0, "packed": 0, "size": 0}, after=after)


def _with_lie(rng: random.Random, item: Item) -> Item:
    return replace(item, **_lie(rng, item))


def _lie(rng: random.Random, item: Item) -> dict[str, Any]:
    field = rng.choice(
        ("method", "flags", "attributes", "crc", "packed_bytes", "size_bytes", "offset", "local_name", "local", "local",
         "extra", "local_extra", "remark", "after", "packed", "name")
    )  # fmt: skip
    match field:
        case "local":
            told = rng.choice(("method", "flags", "crc", "packed", "size"))
            figures = FIGURES if told in ("method", "flags") else LARGE_FIGURES
            return {"local": {**item.local, told: rng.choice(figures)}}
        case "extra" | "local_extra":
            content = rng.choice((rng.randbytes(rng.randint(0, 20)), b"\1" + rng.randbytes(4) + item.name, item.name))
            identifier = rng.choice((0x0001, 0x7075, 0x5455, 0x9901, 0xCAFE))
            length = len(content) + rng.choice((0, 0, 0, 1, -1))
            return {field: struct.pack("<HH", identifier, max(0, length)) + content}
        case "remark" | "after" | "packed":
            inner = zip_of(Item(b"hidden.py", b"hidden", method=STORED))
            return {field: rng.choice((b"", b"PK\5\6", inner, inner[:40], rng.randbytes(12)))}
        case "local_name" | "name":
            return {field: rng.choice((*USUAL, *UNUSUAL)).encode()}
        case "attributes":
            return {"attributes": rng.choice((0x10, *(kind << 28 for kind in range(16)), 1 << 31))}
    figures = FIGURES if field in ("method", "flags") else LARGE_FIGURES
    return {field: rng.choice(figures)}


def _damage(rng: random.Random, body: bytearray) -> None:
    if not body:
        return
    at = rng.randrange(len(body))
    match rng.randrange(4):
        case 0:
            body[at] = rng.choice((0, 1, 0xFF, rng.randrange(256)))
        case 1:
            del body[at : at + rng.choice((1, 4, 22))]
        case 2:
            body[at:at] = body[rng.randrange(len(body)) :][: rng.choice((1, 4, 46))]
        case 3:
            body[at : at + 4] = rng.choice((b"PK\1\2", b"PK\3\4", b"PK\5\6", b"PK\6\6", b"PK\6\7", b"PK\7\10"))


def _by_zipfile(body: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        return {each.filename: archive.read(each) for each in archive.infolist() if not each.is_dir()}


def _from_entry_to_entry(body: bytes) -> dict[str, bytes]:
    """Read a ZIP as a reader of a stream does: it never sees the directory, and takes the last one of a name."""
    found, at = {}, 0
    while body[at : at + 4] == b"PK\3\4":
        flags, method, *_, packed_bytes, _, name_bytes, extra_bytes = struct.unpack("<5H3L2H", body[at + 4 : at + 30])[
            1:
        ]
        name, data_at = body[at + 30 : at + 30 + name_bytes].decode(), at + 30 + name_bytes + extra_bytes
        if method == DEFLATED:
            inflater = zlib.decompressobj(-zlib.MAX_WBITS)
            data = inflater.decompress(body[data_at:])
            at = len(body) - len(inflater.unused_data)
        else:
            data, at = body[data_at : data_at + packed_bytes], data_at + packed_bytes
        if flags & 8:
            at += 16 if body[at : at + 4] == b"PK\7\10" else 12
        if not name.endswith("/"):
            found[name] = data
    assert body[at : at + 4] in (b"PK\1\2", b"PK\5\6"), body
    return found


def _compare_on_disk(body: bytes, kept: bytes, ours: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        assert _tree(CodeStore(place / "store").unpack(kept)) == ours, body
        for number, one in enumerate((body, kept)):
            path = place / f"{number}.zip"
            path.write_bytes(one)
            if ours:
                importer = zipimport.zipimporter(str(path))
                assert {name: importer.get_data(f"{path}/{name}") for name in ours} == ours, body
            if ours and shutil.which("unzip") and all(map(str.isascii, ours)):
                target = place / f"unzipped-{number}"
                done = subprocess.run(["unzip", "-qq", str(path), "-d", str(target)], capture_output=True, check=False)
                assert (done.returncode, _tree(target)) == (0, ours), (body, done.stderr)


def _tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

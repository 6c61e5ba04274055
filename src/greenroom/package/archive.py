"""Reading a ZIP that a stranger has sent: every bound is checked before, and counted while, anything is unpacked."""

from __future__ import annotations

import stat
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from greenroom.package.errors import PackageError

__all__ = ["MAX_UNPACKED_BYTES", "MAX_ZIP_BYTES", "Archive", "PackageError"]

MAX_ZIP_BYTES = 50 * 1024 * 1024
MAX_UNPACKED_BYTES = 250 * 1024 * 1024
"""50 MB zipped, 250 MB unzipped: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"""

MAX_ENTRIES = 20_000
MAX_PATH_CHARS = 240
MAX_DEPTH = 24
MAX_RATIO = 200
RATIO_MATTERS_FROM_BYTES = 1024 * 1024
"""Small files of one repeated byte are no bombs."""

CHUNK = 1 << 16
METHODS = {zipfile.ZIP_STORED: "stored", zipfile.ZIP_DEFLATED: "deflated"}
ENCRYPTED = 0x1 | 0x40


@dataclass(frozen=True)
class Entry:
    """One file in the ZIP: its path with `/`, and its size as the ZIP says, which reading it checks."""

    path: str
    size_bytes: int


class Archive:
    """A ZIP whose directory has been checked; its files are read one at a time."""

    def __init__(self, file: IO[bytes]) -> None:
        """Open a ZIP and check its directory. Raises PackageError."""
        size_bytes = file.seek(0, 2)
        if size_bytes > MAX_ZIP_BYTES:
            raise _error(
                "too_large", "ZIP", f"has {size_bytes:,} bytes; at most {MAX_ZIP_BYTES:,} are allowed", SMALLER
            )
        file.seek(0)
        try:
            self._zip = zipfile.ZipFile(file)
            infos = self._zip.infolist()
        except (zipfile.BadZipFile, zipfile.LargeZipFile, OSError, ValueError, NotImplementedError, EOFError) as error:
            raise _error(
                "no_zip", "ZIP", f"is not a ZIP that can be read ({error})", "Build it with `greenroom pack`."
            ) from None
        if len(infos) > MAX_ENTRIES:
            raise _error("too_many", "ZIP", f"has {len(infos):,} entries; at most {MAX_ENTRIES:,} are allowed", SMALLER)
        self._infos: dict[str, zipfile.ZipInfo] = {}
        seen: dict[str, str] = {}
        folders: set[str] = set()
        total = 0
        for info in infos:
            path = _checked_path(info)
            total += info.file_size
            if total > MAX_UNPACKED_BYTES:
                raise _error("too_large", "ZIP", f"unpacks to more than {MAX_UNPACKED_BYTES:,} bytes", SMALLER)
            if info.is_dir():
                continue
            folded = _folded(path)
            if folded in seen:
                what = "is there twice" if seen[folded] == path else f"differs from {_shown(seen[folded])} in case only"
                raise _error("duplicate", _shown(path), what, "Keep one of them.")
            seen[folded] = path
            parts = folded.split("/")
            folders |= {"/".join(parts[:depth]) for depth in range(1, len(parts))}
            self._infos[path] = info
        for folded in folders & seen.keys():
            raise _error("duplicate", _shown(seen[folded]), "is a file and a folder", "Keep one of them.")
        _refuse_overlaps(list(self._infos.values()))
        self.total_bytes = total

    def entries(self) -> Iterator[Entry]:
        """Yield the files in the order of their paths."""
        for path in sorted(self._infos):
            yield Entry(path, self._infos[path].file_size)

    def __contains__(self, path: str) -> bool:
        """Whether there is a file at a path."""
        return path in self._infos

    def read(self, path: str, max_bytes: int) -> bytes:
        """Return a file's bytes, with its checksum verified. Raises PackageError if it is larger than `max_bytes`."""
        data = bytearray()
        for chunk in self._chunks(path):
            data += chunk
            if len(data) > max_bytes:
                raise _error("too_large", _shown(path), f"is larger than {max_bytes:,} bytes", SMALLER)
        return bytes(data)

    def verify(self) -> None:
        """Unpack every file to nowhere: sizes and checksums are what the directory says. Raises PackageError."""
        for path in self._infos:
            for _ in self._chunks(path):
                pass

    def _chunks(self, path: str) -> Iterator[bytes]:
        info, size = self._infos[path], 0
        try:
            with self._zip.open(info) as file:
                while chunk := file.read(CHUNK):
                    size += len(chunk)
                    if size > info.file_size:
                        raise zipfile.BadZipFile("is larger than it says")
                    yield chunk
        except (
            zipfile.BadZipFile,
            zlib.error,
            EOFError,
            OSError,
            ValueError,
            NotImplementedError,
            RuntimeError,
        ) as error:
            raise _error("corrupt", _shown(path), f"can't be unpacked ({error})", "Build the ZIP anew.") from None


SMALLER = "Leave out what the algorithm does not need."


def _checked_path(info: zipfile.ZipInfo) -> str:
    # What Python cleans away from names (NUL, backslash on Windows) is still in orig_filename.
    name = info.orig_filename
    path = name.rstrip("/") if info.is_dir() else name
    shown = _shown(name)
    parts = path.split("/")
    if "\\" in name or "\0" in name or any(unicodedata.category(char) == "Cc" for char in name):
        raise _error("bad_path", shown, "has a backslash or a control character in its name", "Rename it.")
    if name.startswith("/") or (len(name) > 1 and name[1] == ":"):
        raise _error("absolute_path", shown, "is an absolute path", "Zip the folder's content, not the folder's path.")
    if any(part in ("", ".", "..") for part in parts):
        raise _error(
            "path_traversal", shown, "leads out of the package or has an empty part", "Zip the folder's content."
        )
    if len(name) > MAX_PATH_CHARS or len(parts) > MAX_DEPTH:
        allowed = f"at most {MAX_PATH_CHARS} characters and {MAX_DEPTH} levels are allowed"
        raise _error("bad_path", shown, f"is too long or too deep; {allowed}", "Shorten it.")
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise _error("not_a_file", shown, "is a link or a device", "Put the file itself into the ZIP.")
    if info.flag_bits & ENCRYPTED:
        raise _error("encrypted", shown, "is encrypted", "Zip it without a password.")
    if info.compress_type not in METHODS:
        raise _error("compression", shown, f"uses compression method {info.compress_type}", "Use deflate.")
    ratio = info.file_size / max(1, info.compress_size)
    if info.file_size > RATIO_MATTERS_FROM_BYTES and ratio > MAX_RATIO:
        raise _error("bomb", shown, f"unpacks to {ratio:,.0f} times its size; at most {MAX_RATIO} is allowed", SMALLER)
    return path


def _refuse_overlaps(infos: list[zipfile.ZipInfo]) -> None:
    # Entries that share bytes let a small ZIP unpack to a huge one: https://www.bamsoftware.com/hacks/zipbomb/
    end = 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        if info.header_offset < end:
            raise _error("bomb", _shown(info.filename), "shares its bytes with another entry", "Build the ZIP anew.")
        end = info.header_offset + info.compress_size


def _folded(path: str) -> str:
    return unicodedata.normalize("NFKC", path).casefold()


def _shown(name: str) -> str:
    text = name.encode("ascii", "backslashreplace").decode()
    return text if len(text) <= 100 else text[:99] + "…"


def _error(code: str, where: str, what: str, todo: str) -> PackageError:
    return PackageError(code=code, where=where, what=what, todo=todo)

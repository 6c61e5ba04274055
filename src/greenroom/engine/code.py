"""Function code and layers on disk: unpacked once, named by their SHA-256, read-only, never half written."""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
import tempfile
import threading
import time
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from greenroom.engine.spec import LayerCode
from greenroom.engine.zygote import SDK_PACKAGES

MAX_UNPACKED_BYTES = 262_144_000
"""Function and layers together, unpacked.
https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"""

MAX_ENTRIES = 100_000

UNFINISHED = "unfinished-"

KEPT_S = 7 * 24 * 3_600
"""How long code stays unpacked that no environment has been started from: it can be unpacked again."""

EXTENSION = re.compile(r"\.cpython-(?P<version>\d+)[^.]*\.so$")
"""How a compiled module names the Python that it is for: https://peps.python.org/pep-3149/"""


class BadCode(ValueError):
    """A ZIP that can't be unpacked."""


class CodeStore:
    """Unpacked ZIPs below one folder. A start removes those that have not been used for `KEPT_S`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for unpacked in folder.iterdir():
            if unpacked.name.startswith(UNFINISHED) or unpacked.stat().st_mtime < time.time() - KEPT_S:
                shutil.rmtree(unpacked, ignore_errors=True)
        self._lock = threading.Lock()

    def unpack(self, zip_bytes: bytes) -> Path:
        """Return the folder that holds a ZIP's files. Raises BadCode."""
        return self._store(hashlib.sha256(zip_bytes).hexdigest(), [zip_bytes])

    def layers(self, layers: Sequence[LayerCode]) -> Path | None:
        """Return the folder that becomes /opt: the layers' files, later layers over earlier ones."""
        if not layers:
            return None
        digest = hashlib.sha256()
        for layer in layers:
            digest.update(hashlib.sha256(layer.zip_bytes).digest())
        return self._store(f"opt-{digest.hexdigest()}", [layer.zip_bytes for layer in layers])

    def _store(self, name: str, zips: Iterable[bytes]) -> Path:
        target = self._folder / name
        with self._lock:
            if target.is_dir():
                os.utime(target)
                return target
            unfinished = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=self._folder))
            try:
                for zip_bytes in zips:
                    _extract(zip_bytes, unfinished)
                unfinished.chmod(0o755)
                unfinished.rename(target)
            except BaseException:
                shutil.rmtree(unfinished, ignore_errors=True)
                raise
        return target


def _extract(zip_bytes: bytes, folder: Path) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(zip_bytes)) as archive:
            entries = archive.infolist()
            if len(entries) > MAX_ENTRIES or sum(entry.file_size for entry in entries) > MAX_UNPACKED_BYTES:
                raise BadCode("the code is larger than Lambda allows")
            opened = {folder}
            for entry in entries:
                path = Path(archive.extract(entry, folder))
                # All users have to be able to read it, as in Lambda; an executable stays one.
                mode = entry.external_attr >> 16
                path.chmod(0o755 if path.is_dir() or mode & 0o111 else 0o644)
                for parent in path.parents:  # which need not be an entry
                    if parent in opened:
                        break
                    parent.chmod(0o755)
                    opened.add(parent)
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise BadCode(f"the code can't be unpacked: {error}") from error


def brings_own_sdk(*folders: Path | None) -> bool:
    """Return whether the code holds a package that the prepared process would have imported in another version."""
    return any(
        (folder / prefix / found).exists()
        for folder in folders
        if folder is not None
        for prefix in ("", "python")
        for name in SDK_PACKAGES
        for found in (name, f"{name}.py")
    )


def built_for_other_python(version: tuple[int, int], *folders: Path | None) -> list[str]:
    """Return the paths of compiled modules in the code or its layers that this version of Python would not import.

    Modules for the stable ABI are for every version, and so are those whose name has none.
    """
    right = f"{version[0]}{version[1]}"
    return sorted(
        str(file.relative_to(folder))
        for folder in folders
        if folder is not None
        for file in folder.rglob("*.so")
        if (found := EXTENSION.search(file.name)) and found["version"] != right
    )


def imports_sdk(*folders: Path | None) -> bool:
    """Return whether any Python file in the code or its layers names boto3."""
    for folder in folders:
        if folder is None:
            continue
        for root, names, files in os.walk(folder):
            names[:] = [name for name in names if name not in ("__pycache__", "tests")]
            for file in files:
                if file.endswith(".py") and b"boto3" in Path(root, file).read_bytes():
                    return True
    return False

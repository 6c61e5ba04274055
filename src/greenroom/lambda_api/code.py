"""The ZIP files of functions and layers: checked as Lambda checks them, kept once each under their SHA-256."""

from __future__ import annotations

import base64
import hashlib
import os
import zipfile
from io import BytesIO
from pathlib import Path

from greenroom.lambda_api.errors import LambdaError, invalid, too_large
from greenroom.store.database import sync_folder

MAX_ZIPPED_BYTES = 52_428_800
MAX_UNZIPPED_BYTES = 262_144_000
"""Sizes of a ZIP that is uploaded in a request, and of what code and layers unpack to.
https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"""

TOTAL_CODE_BYTES = 80_530_636_800
"""All code of an account (75 GB); same page."""


class CodeFiles:
    """A folder of ZIP files, each named by its SHA-256 and never changed.

    A file is on disk before the record that names it is written, so a record never names code that is not there.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        self._folder = folder

    def put(self, content: bytes) -> str:
        """Keep a ZIP and return its SHA-256 in base64, as Lambda names it."""
        digest = hashlib.sha256(content).digest()
        path = self._path(digest.hex())
        if not path.exists():
            temporary = path.with_suffix(f".{os.getpid()}-{os.urandom(4).hex()}")
            with temporary.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.rename(path)
            sync_folder(self._folder)
        return base64.b64encode(digest).decode()

    def get(self, sha256: str) -> bytes:
        """Return the ZIP with this SHA-256 (base64).

        Raises:
            LambdaError: it is not there, or is not what it was.
        """
        name = base64.b64decode(sha256).hex()
        try:
            content = self._path(name).read_bytes()
        except OSError as error:
            raise _damaged(f"the code {name}.zip can't be read ({error.strerror})") from error
        if hashlib.sha256(content).hexdigest() != name:
            raise _damaged(f"the code {name}.zip is damaged: its SHA-256 is another")
        return content

    def has(self, sha256: str) -> bool:
        """Return whether a ZIP is there."""
        return self._path(base64.b64decode(sha256).hex()).exists()

    def keep_only(self, sha256s: set[str]) -> None:
        """Remove all files but these, for example those of a write that a kill cut off."""
        wanted = {f"{base64.b64decode(each).hex()}.zip" for each in sha256s}
        for path in self._folder.iterdir():
            if path.name not in wanted:
                path.unlink(missing_ok=True)

    def remove(self, sha256: str) -> None:
        """Remove a file that no record names any more."""
        self._path(base64.b64decode(sha256).hex()).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.zip"


def _damaged(fault: str) -> LambdaError:
    return LambdaError(
        "ServiceException",
        f"{fault}. Restore a backup (greenroom restore), or upload the code again.",
        500,
    )


def sha256_of(content: bytes) -> str:
    """Return a ZIP's SHA-256 in base64."""
    return base64.b64encode(hashlib.sha256(content).digest()).decode()


def unzipped_bytes(content: bytes) -> int:
    """Return how much a ZIP unpacks to, by its directory.

    Raises:
        LambdaError: it is not a ZIP.
    """
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            return sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise invalid("Could not unzip uploaded file. Please check your file, then try to upload again.") from error


def check_zip(content: bytes, *, uploaded: bool, layers_bytes: int = 0) -> None:
    """Raise what AWS answers if a ZIP is too large or is not one.

    Args:
        content: the ZIP.
        uploaded: it came in the request itself, for which the limit is lower.
        layers_bytes: what the function's layers unpack to.
    """
    if uploaded and len(content) > MAX_ZIPPED_BYTES:
        raise too_large(f"Zipped size must be smaller than {MAX_ZIPPED_BYTES} bytes")
    if not content:
        raise invalid("Uploaded file must be a non-empty zip")
    if unzipped_bytes(content) + layers_bytes > MAX_UNZIPPED_BYTES:
        raise invalid(f"Unzipped size must be smaller than {MAX_UNZIPPED_BYTES} bytes")

"""The body of a presigned POST to S3, made piece by piece: a file of any size in constant memory.

Only the encoding: sending it, and what S3 answers, is `client.py`'s business. The order is S3's rule: every field
before the file, the file last (S3 ignores what comes after it; "POST Object" in the Amazon S3 API reference).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from greenroom.client.errors import GreenroomError

PIECE_BYTES = 256 * 1024

ProgressCallback = Callable[[int, int], None]  # (bytes of the file sent, bytes of the file in all)


def quoted(text: str) -> str:
    """A name as it stands between the quotes of a Content-Disposition header (HTML standard, multipart/form-data)."""
    return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


class MultipartFile:
    """One multipart/form-data body: some fields, then one file.

    It can be iterated more than once (a second attempt starts from the beginning of the file).

    Args:
        fields: the presigned fields, sent exactly as they are and in their order.
        path: the file.
        file_name: the name S3 is told.
        on_progress: called after each piece of the file.

    Raises:
        GreenroomError: while iterating, when the file became shorter than it was.
        OSError: the file cannot be read.
    """

    def __init__(
        self,
        fields: Mapping[str, str],
        path: Path,
        *,
        file_name: str | None = None,
        on_progress: ProgressCallback | None = None,
    ) -> None:
        boundary = f"greenroom-{secrets.token_hex(16)}"
        head = bytearray()
        for name, value in fields.items():
            head += f'--{boundary}\r\nContent-Disposition: form-data; name="{quoted(name)}"\r\n\r\n'.encode()
            head += f"{value}\r\n".encode()
        head += (
            f"--{boundary}\r\n"
            f'Content-Disposition: form-data; name="file"; filename="{quoted(file_name or path.name)}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        ).encode()
        self._head = bytes(head)
        self._tail = f"\r\n--{boundary}--\r\n".encode()
        self._path = path
        self._on_progress = on_progress
        self.file_bytes = path.stat().st_size
        self.headers = {
            "Content-Type": f"multipart/form-data; boundary={boundary}",
            # S3 refuses a chunked POST, so the length is said beforehand.
            "Content-Length": str(len(self._head) + self.file_bytes + len(self._tail)),
        }

    def __iter__(self) -> Iterator[bytes]:
        yield self._head
        left = self.file_bytes
        with self._path.open("rb") as file:
            while left:
                piece = file.read(min(PIECE_BYTES, left))
                if not piece:
                    raise GreenroomError(
                        "the file became shorter while it was sent",
                        where=str(self._path),
                        hint="Send it again when nothing else writes to it",
                    )
                left -= len(piece)
                yield piece
                if self._on_progress:
                    self._on_progress(self.file_bytes - left, self.file_bytes)
        yield self._tail

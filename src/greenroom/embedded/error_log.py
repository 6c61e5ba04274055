"""Keeps the server's log of errors from growing without end."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

MOST_BYTES = 10 * 1024 * 1024
EVERY_S = 5.0
OLD_SUFFIX = ".1"


async def keep_short(log: Path) -> None:
    """Look at a log from time to time, for ever."""
    while True:
        rotate(log)
        await asyncio.sleep(EVERY_S)


def rotate(log: Path, most_bytes: int = MOST_BYTES) -> None:
    """Move what is in a log that has become too long to the file before it, and go on with an empty one.

    The file stays the same one: this process and the ones that it started have it open, to append to.
    """
    with contextlib.suppress(OSError):
        if log.stat().st_size <= most_bytes:
            return
        with contextlib.suppress(OSError):  # on a full disk the old lines go without a copy
            log.with_name(log.name + OLD_SUFFIX).write_bytes(log.read_bytes()[-most_bytes:])
        os.truncate(log, 0)

"""What a function writes, as log events: lines of its output, and whole messages that AWS's runtime client frames.

A frame is a type, the length, the time in microseconds and the message; `awslambdaric.bootstrap.FramedTelemetryLogSink`
writes them, so that a message with several lines stays one event. Output and frames come through one pipe.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

from greenroom.engine.spec import LogEvent

FRAME = struct.Struct("!4sIQ")
FRAME_TYPE = re.compile(rb"\xa5\x5a\x00[\x02-\x1b]")
"""The types of frames, one for each format and level: `awslambdaric.lambda_runtime_log_utils`."""

MAX_EVENT_BYTES = 1024 * 1024
"""https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html: the size of a log event"""

MAX_LOG_BYTES = 1024 * 1024
"""What is kept of one invocation's log. Lambda has no such limit, but its log is not in one process's memory either."""

LOG_CUT = f"[WARNING] this machine keeps {MAX_LOG_BYTES >> 20} MiB of an invocation's log: the rest is not here\n"


class Output:
    """What has come out of one environment since it was last asked for events."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._cut = False

    def add(self, piece: bytes) -> None:
        """Keep what was written, as far as there is room."""
        room = MAX_LOG_BYTES - len(self._bytes)
        self._bytes += piece[:room]
        self._cut = self._cut or len(piece) > room

    def take(self, now_ms: int) -> list[LogEvent]:
        """Return the events in it, and begin again."""
        texts = [message[:MAX_EVENT_BYTES].decode(errors="replace") for message in messages(bytes(self._bytes))]
        if self._cut:
            texts.append(LOG_CUT)
        self._bytes, self._cut = bytearray(), False
        return [LogEvent(now_ms, text) for text in texts]


def messages(written: bytes) -> Iterator[bytes]:
    """Yield each line of what was written, with its end, and each framed message."""
    at = 0
    while at < len(written):
        frame = FRAME_TYPE.search(written, at)
        plain = written[at : frame.start() if frame else len(written)]
        yield from re.findall(rb"[^\n]*\n|[^\n]+", plain)
        if frame is None:
            return
        head = written[frame.start() : frame.start() + FRAME.size]
        if len(head) < FRAME.size:
            return
        _, size, _ = FRAME.unpack(head)
        at = frame.start() + FRAME.size + size
        yield written[frame.start() + FRAME.size : at]

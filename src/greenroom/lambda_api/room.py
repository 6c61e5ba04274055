"""The objects that the operations work with."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from greenroom.lambda_api.calls import Answer, Call
from greenroom.lambda_api.functions import Functions
from greenroom.lambda_api.ports import Ports
from greenroom.lambda_api.runtimes import Abilities

DOWNLOAD_PATH = "/_lambda/code/"
"""Where the front serves what `Downloads` has addresses of."""

DOWNLOAD_S = 600
"""How long such an address is good for, as on AWS.
https://docs.aws.amazon.com/lambda/latest/api/API_FunctionCodeLocation.html"""


class Downloads:
    """Addresses of ZIP files for those who may read them: random, and good for ten minutes."""

    def __init__(self, endpoint_url: str, read: Callable[[str], bytes]) -> None:
        self._endpoint_url = endpoint_url
        self._read = read
        self._lock = threading.Lock()
        self._known: dict[str, tuple[float, str]] = {}

    def address(self, sha256: str) -> str:
        """Return a new address of the ZIP with this SHA-256."""
        token, now = secrets.token_urlsafe(24), time.time()
        with self._lock:
            self._known = {key: value for key, value in self._known.items() if value[0] > now}
            self._known[token] = (now + DOWNLOAD_S, sha256)
        return f"{self._endpoint_url}{DOWNLOAD_PATH}{token}"

    def read(self, token: str) -> bytes | None:
        """Return the ZIP that an address leads to; None if it leads nowhere, or not any more."""
        with self._lock:
            until, sha256 = self._known.get(token, (0.0, ""))
        return self._read(sha256) if until > time.time() else None


@dataclass(frozen=True)
class Room:
    """The records, the rest of AWS, and this machine's abilities."""

    functions: Functions
    ports: Ports
    abilities: Abilities
    downloads: Downloads


Operation = Callable[[Room, Call], Answer]

"""A link that signs a browser in holds a one-time code, and not the token: links stay in histories and logs.

A code is random. What is kept under its hash is the token, sealed with the code itself, so that neither is to be read
from the registry. It is taken out once, within minutes.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from greenroom.platform.services import Services

CODE_BYTES = 32
VALID_FOR = timedelta(minutes=10)


def issue(services: Services, token: str) -> tuple[str, datetime]:
    """Return a new code for a token, and when it expires."""
    code = secrets.token_urlsafe(CODE_BYTES)
    expires_at = datetime.now(UTC) + VALID_FOR
    sealed = base64.b64encode(_crossed(code, token.encode())).decode()
    services.registry.keep_sign_in(_name(code), sealed, int(expires_at.timestamp()))
    return code, expires_at


def redeem(services: Services, code: str) -> str | None:
    """Return the token that a code stands for, the first time; None if it is no code, or not any more."""
    sealed = services.registry.take_sign_in(_name(code), int(datetime.now(UTC).timestamp()))
    return None if sealed is None else _crossed(code, base64.b64decode(sealed)).decode()


def _name(code: str) -> str:
    return hashlib.sha256(f"name:{code}".encode()).hexdigest()


def _crossed(code: str, text: bytes) -> bytes:
    """Return a text sealed, or a sealed one opened: a code is random, as long as a token, and used once."""
    pad = hashlib.shake_256(f"seal:{code}".encode()).digest(len(text))
    return bytes(one ^ other for one, other in zip(text, pad, strict=True))

"""What is kept of a one-time code: nothing from which the code or the token could be had."""

from __future__ import annotations

import base64
import json
from types import SimpleNamespace
from typing import Any

from greenroom.platform import sign_in


class Kept:
    """A registry that keeps in memory what it is given."""

    def __init__(self) -> None:
        self.items: dict[str, tuple[str, int]] = {}

    def keep_sign_in(self, code_sha256: str, sealed: str, expires_at_s: int) -> None:
        self.items[code_sha256] = sealed, expires_at_s

    def take_sign_in(self, code_sha256: str, now_s: int) -> str | None:
        sealed, expires_at_s = self.items.pop(code_sha256, ("", 0))
        return sealed if expires_at_s > now_s else None


def test_the_registry_holds_neither_the_code_nor_the_token() -> None:
    kept = Kept()
    services: Any = SimpleNamespace(registry=kept)
    token = "a-token-of-the-platform"
    code, _ = sign_in.issue(services, token)
    written = json.dumps(kept.items) + "".join(
        base64.b64decode(sealed).decode("latin-1") for sealed, _ in kept.items.values()
    )
    assert code not in written and token not in written
    assert sign_in.redeem(services, code) == token
    assert sign_in.redeem(services, code) is None


def test_another_code_opens_nothing() -> None:
    services: Any = SimpleNamespace(registry=Kept())
    sign_in.issue(services, "a-token")
    assert sign_in.redeem(services, "A" * 43) is None

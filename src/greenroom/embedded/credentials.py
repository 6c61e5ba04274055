"""Sessions in a function's role: a random one per execution environment, which expires.

ministack derives a function's credentials from public names. Whoever knew the names was the function.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping

LIFETIME_S = 6 * 3600.0
"""How long a session is accepted. An execution environment ends before that and a new one gets a new session."""

KEY_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


def issue(role_arn: str, session_name: str) -> Mapping[str, str]:
    """Begin a session in a role and return it as the variables in which an SDK looks for it.

    Args:
        role_arn: the role that the session acts in.
        session_name: the last part of the session's ARN, by which logs tell sessions apart.
    """
    from ministack.services import sts

    account, role = role_arn.split(":")[4], role_arn.rpartition("/")[2]
    key_id = access_key_id("ASIA")
    secret, token = secrets.token_urlsafe(30), secrets.token_urlsafe(96)
    now = time.time()
    for old, session in list(sts._sessions.items()):
        if session.get("Expiration", now) < now:
            sts._sessions.pop(old, None)
    sts._sessions[key_id] = {
        "Arn": f"arn:aws:sts::{account}:assumed-role/{role}/{session_name[:64]}",
        "UserId": f"{role}:{session_name[:64]}",
        "SecretAccessKey": secret,
        "SessionToken": token,
        "AccountId": account,
        "Expiration": now + LIFETIME_S,
    }
    return {"AWS_ACCESS_KEY_ID": key_id, "AWS_SECRET_ACCESS_KEY": secret, "AWS_SESSION_TOKEN": token}


def access_key_id(kind: str) -> str:
    """Return a new key id: AKIA for a lasting key, ASIA for a session's."""
    return kind + "".join(secrets.choice(KEY_ALPHABET) for _ in range(16))

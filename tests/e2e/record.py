"""What the platforms of a run leave of their roles: the policies that these had, and what was asked of them."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from greenroom.embedded import iam_log

ROLES = "roles.json"


@dataclass(frozen=True)
class Record:
    """What one platform has left.

    `policies` has the document of each role, by its name; `log` has every authorization since the start.
    """

    policies: dict[str, Any]
    log: list[iam_log.Authorization]


def leave(data: Path, iam: Any, prefix: str) -> None:
    """Write down the policies of a platform's roles, next to the log of its embedded AWS."""
    pages = iam.get_paginator("list_roles").paginate()
    roles = [role["RoleName"] for page in pages for role in page["Roles"] if role["RoleName"].startswith(f"{prefix}-")]
    policies = {
        role: iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"]
        for role in roles
        for policy in iam.list_role_policies(RoleName=role)["PolicyNames"]
    }
    (data / ROLES).write_text(json.dumps(policies))


def left(base: Path) -> list[Record]:
    """Return what all platforms have left that this run has started, on whichever worker.

    Args:
        base: the run's folder of temporary folders, of this worker.
    """
    found = base.parent.glob(f"popen-*/*/{ROLES}") if "PYTEST_XDIST_WORKER" in os.environ else base.glob(f"*/{ROLES}")
    return [Record(json.loads(each.read_text()), iam_log.read(each.with_name(iam_log.FILE))) for each in found]

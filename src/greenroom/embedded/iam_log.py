"""A record of every authorization, off unless asked for: tests read in it which statements of a role are needed.

Each line is one question to a role's policies, asked for the caller of an API or for a service that acts in the role.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

FILE = "iam-log.jsonl"
"""The record's name in the data folder."""

MAX_LINES = 200_000

_lock = threading.Lock()
_file: TextIO | None = None
_seen: set[str] = set()


@dataclass(frozen=True)
class Authorization:
    """Whether a role was allowed an action on a resource, and the condition keys (`context`) that it was asked with."""

    role: str
    action: str
    resource: str
    context: Mapping[str, Any]
    allowed: bool


def record_to(path: Path) -> None:
    """Record from now on, each different question once, with ministack's own checks of callers in a role."""
    global _file
    from ministack.core import iam_evaluator

    _file = path.open("a")
    evaluate = iam_evaluator.evaluate

    def recorded(context: Any, *policies: Any) -> Any:
        result = evaluate(context, *policies)
        if context.principal_type == "AssumedRole":
            role = iam_evaluator._role_name_from_assumed_arn(context.principal_arn)
            allowed = result.decision == "Allow"
            record(role, context.action, context.resource_arn, context.service_context, allowed)
        return result

    iam_evaluator.evaluate = recorded


def record(role: str, action: str, resource: str, context: Mapping[str, Any], allowed: bool) -> None:
    """Write one authorization down, if that is asked for."""
    if _file is None:
        return
    line = json.dumps([role, action, resource, dict(context), allowed], default=str, sort_keys=True)
    with _lock:
        if line not in _seen and len(_seen) < MAX_LINES:
            _seen.add(line)
            _file.write(line + "\n")
            _file.flush()


def read(path: Path) -> list[Authorization]:
    """Read a record back."""
    return [Authorization(*json.loads(line)) for line in path.read_text().splitlines()]

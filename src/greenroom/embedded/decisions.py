"""A record of every authorization, and what it says of the statements in a role: which of them are needed.

Off unless asked for. Each line of the record is one question that AWS, or a service in a role, asked the policies.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

MAX_DECISIONS = 200_000

_lock = threading.Lock()
_file: TextIO | None = None
_seen: set[str] = set()


@dataclass(frozen=True)
class Decision:
    """A role asked for an action on a resource, with condition keys, and was allowed it or not."""

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
    """Write one decision down, if that is asked for."""
    if _file is None:
        return
    line = json.dumps([role, action, resource, dict(context), allowed], default=str, sort_keys=True)
    with _lock:
        if line not in _seen and len(_seen) < MAX_DECISIONS:
            _seen.add(line)
            _file.write(line + "\n")
            _file.flush()


def read(path: Path) -> list[Decision]:
    """Read a record back."""
    return [Decision(*json.loads(line)) for line in path.read_text().splitlines()]


def unneeded_statements(decisions: Iterable[Decision], role: str, policy: Mapping[str, Any]) -> list[str]:
    """Return the Sids of a role's policy that could be taken out without refusing anything that was allowed."""
    from ministack.core import iam_evaluator

    allowed = [each for each in decisions if each.role == role and each.allowed]
    statements = policy["Statement"]
    unneeded = []
    for left_out in statements:
        rest = [statement for statement in statements if statement is not left_out]
        parsed = [iam_evaluator.parse_policy_document({"Version": "2012-10-17", "Statement": rest})]
        if all(_allows(iam_evaluator, each, parsed) for each in allowed):
            unneeded.append(left_out["Sid"])
    return unneeded


def _allows(iam_evaluator: Any, decision: Decision, policies: Any) -> bool:
    context = iam_evaluator.EvalContext(
        principal_arn=f"arn:aws:sts::000000000000:assumed-role/{decision.role}/service",
        principal_type="AssumedRole",
        principal_account="000000000000",
        action=decision.action,
        resource_arn=decision.resource,
        region="",
        service_context=dict(decision.context),
    )
    result: bool = iam_evaluator.evaluate(context, policies).decision == "Allow"
    return result

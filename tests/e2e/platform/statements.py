"""Which statements of a role's policy are needed, judged by what was asked of the role."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from greenroom.embedded.iam_log import Authorization


def unneeded_statements(log: Iterable[Authorization], role: str, policy: Mapping[str, Any]) -> list[str]:
    """Return the Sids of a role's policy that could be taken out without refusing anything that was allowed."""
    from ministack.core import iam_evaluator

    allowed = [each for each in log if each.role == role and each.allowed]
    statements = policy["Statement"]
    unneeded = []
    for left_out in statements:
        rest = [statement for statement in statements if statement is not left_out]
        parsed = [iam_evaluator.parse_policy_document({"Version": "2012-10-17", "Statement": rest})]
        if all(_allows(iam_evaluator, each, parsed) for each in allowed):
            unneeded.append(left_out["Sid"])
    return unneeded


def _allows(iam_evaluator: Any, asked: Authorization, policies: Any) -> bool:
    context = iam_evaluator.EvalContext(
        principal_arn=f"arn:aws:sts::000000000000:assumed-role/{asked.role}/service",
        principal_type="AssumedRole",
        principal_account="000000000000",
        action=asked.action,
        resource_arn=asked.resource,
        region="",
        service_context=dict(asked.context),
    )
    result: bool = iam_evaluator.evaluate(context, policies).decision == "Allow"
    return result

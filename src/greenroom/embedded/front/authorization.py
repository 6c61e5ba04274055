"""Whether a caller may: each need of a call is judged by ministack's evaluator, over the policies that it keeps.

Identity policies, resource policies, permissions boundaries and session policies count, as in AWS's own order of
evaluation. What nobody allows is denied. Root may everything; nobody else is asked for less.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from greenroom.embedded.front.request import Refused
from greenroom.embedded.front.served import Need
from greenroom.embedded.front.signature import Caller
from greenroom.embedded.process import ACCOUNT_ID, REGION

IAM_NAMES = {"dynamodbstreams": "dynamodb", "stepfunctions": "states", "apigatewayv2": "apigateway"}
"""What ministack's evaluator calls a service, where botocore has another name."""


def check(caller: Caller, service: str, needs: Iterable[Need]) -> None:
    """Raise Refused, in AWS's words, unless the caller may do everything that a call needs."""
    from ministack.core import iam_evaluator

    # The signature was checked: ministack's own check must not look for one.
    iam_evaluator._signed_request.set(None)
    iam_evaluator._anonymous.set(False)
    for need in needs:
        denied = iam_evaluator.enforce(
            caller.access_key_id,
            need.action,
            IAM_NAMES.get(service, service),
            REGION,
            resource_arn=need.resource,
            service_context=dict(need.context),
        )
        if denied is not None:
            raise _denial(caller, need, denied)


def _denial(caller: Caller, need: Need, denied: Any) -> Refused:
    explicit = getattr(denied, "decision", "") == "Deny"
    why = (
        "with an explicit deny in a policy"
        if explicit
        else f"because no identity-based policy allows the {need.action} action"
    )
    return Refused(
        403,
        "AccessDenied",
        f"User: {caller.arn} is not authorized to perform: {need.action} on resource: {need.resource} {why}",
    )


def may(principal_arn: str, action: str, resource: str, context: Mapping[str, Any] | None = None) -> bool:
    """Return whether a principal's own policies allow an action: root's everything, a role's or a user's what they say.

    For a service that asks about the caller of a request that it got. `context` has IAM's condition keys.
    """
    from ministack.core import iam_evaluator

    if principal_arn == f"arn:aws:iam::{ACCOUNT_ID}:root":
        return True
    kind, _, rest = principal_arn.rpartition(":")[2].partition("/")
    if kind == "user":
        policies = iam_evaluator._gather_user_policies(rest.rpartition("/")[2], ACCOUNT_ID)
    elif kind in ("role", "assumed-role"):
        name = rest.partition("/")[0] if kind == "assumed-role" else rest.rpartition("/")[2]
        principal_arn = f"arn:aws:sts::{ACCOUNT_ID}:assumed-role/{name}/service"
        policies = iam_evaluator._gather_role_policies(name, ACCOUNT_ID)
    else:
        return False
    asked = iam_evaluator.EvalContext(
        principal_arn=principal_arn,
        principal_type="User" if kind == "user" else "AssumedRole",
        principal_account=ACCOUNT_ID,
        action=action,
        resource_arn=resource,
        region=REGION,
        service_context={key.lower(): value for key, value in (context or {}).items()},
    )
    return bool(iam_evaluator.evaluate(asked, policies).decision == "Allow")

"""The checks that AWS makes and ministack does not: roles in which a service acts."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any
from urllib.parse import parse_qs

from greenroom.embedded import iam_log, stack_permissions

CHANGING_STACKS = frozenset(
    {"ContinueUpdateRollback", "CreateChangeSet", "CreateStack", "DeleteStack", "ExecuteChangeSet", "UpdateStack"}
)
"""The calls of CloudFormation after which it makes, changes or deletes resources."""

_stack_role: ContextVar[str] = ContextVar("stack_role", default="")


class Denied(RuntimeError):
    """A role does not allow what a service wants to do in it."""


def role_may(role_arn: str, action: str, resource: str, **context: Any) -> bool:
    """Return whether a role's policies allow an action on a resource.

    `context` has condition keys, with `__` in place of `:`.
    """
    from ministack.core import iam_evaluator

    account, name = role_arn.split(":")[4], role_arn.rpartition("/")[2]
    keys = {key.replace("__", ":").lower(): value for key, value in context.items()}
    found = iam_evaluator.EvalContext(
        principal_arn=f"arn:aws:sts::{account}:assumed-role/{name}/service",
        principal_type="AssumedRole",
        principal_account=account,
        action=action,
        resource_arn=resource,
        region=resource.split(":")[3] if resource.count(":") >= 3 else "",
        service_context=keys,
    )
    allowed: bool = (
        iam_evaluator.evaluate(found, iam_evaluator._gather_role_policies(name, account)).decision == "Allow"
    )
    iam_log.record(name, action, resource, keys, allowed)
    return allowed


def require(role_arn: str, action: str, resource: str, **context: Any) -> None:
    """Raise Denied, in AWS's words, unless the role allows the action."""
    if not role_may(role_arn, action, resource, **context):
        raise Denied(
            f"AccessDenied: {role_arn} is not authorized to perform: {action} on resource: {resource} because no "
            f"identity-based policy allows the {action} action"
        )


def install() -> None:
    """Install the checks of roles in which services act, and accept only our own key as root's."""
    from ministack.core import iam_evaluator

    _own_root_only(iam_evaluator)
    _check_stacks()


def _own_root_only(iam_evaluator: Any) -> None:
    own = os.environ["AWS_ACCESS_KEY_ID"]

    def is_root_access_key(access_key_id: str) -> bool:
        return access_key_id == own

    # Out of the box "test", any account's number and no key at all are root's as well.
    iam_evaluator.is_root_access_key = is_root_access_key


def _check_stacks() -> None:
    from ministack.services import cloudformation
    from ministack.services.cloudformation import helpers, stacks

    handle, create = cloudformation.handle_request, stacks._provision_resource
    update, delete = stacks._update_resource, stacks._delete_resource

    async def in_role(method: str, path: str, headers: Any, body: bytes, query_params: Any) -> Any:
        form = parse_qs(body.decode(errors="replace")) if body else {}
        role = (form.get("RoleARN") or [""])[0]
        if not role and (form.get("Action") or [""])[0] in CHANGING_STACKS:
            try:
                role = _own_role()
            except Denied as denied:
                return helpers._error("AccessDenied", str(denied), 403)
        # The tasks that a stack's operation starts inherit the role with their context.
        _stack_role.set(role)
        return await handle(method, path, headers, body, query_params)

    def checked_create(kind: str, logical_id: str, properties: dict[str, Any], *rest: Any) -> Any:
        _require_all(kind, "create", properties)
        return create(kind, logical_id, properties, *rest)

    def checked_update(kind: str, physical_id: str, old: dict[str, Any], new: dict[str, Any], *rest: Any) -> Any:
        _require_all(kind, "update", new, old)
        return update(kind, physical_id, old, new, *rest)

    def checked_delete(kind: str, physical_id: str, properties: dict[str, Any], *rest: Any) -> Any:
        _require_all(kind, "delete", properties)
        return delete(kind, physical_id, properties, *rest)

    cloudformation.handle_request = in_role
    stacks._provision_resource = checked_create
    stacks._update_resource = checked_update
    stacks._delete_resource = checked_delete


def _own_role() -> str:
    """Return the role that a stack is worked on in when none is given: the caller's own, or none for root.

    Raises Denied for a user, whose own rights are not asked for here.
    """
    from ministack.core import iam_evaluator

    caller = iam_evaluator.caller_arn()
    if caller.endswith(":root"):
        return ""
    if ":assumed-role/" not in caller:
        raise Denied(f"AccessDenied: {caller} has to name a role (RoleARN) in which the stack is worked on")
    account, name = caller.split(":")[4], iam_evaluator._role_name_from_assumed_arn(caller)
    return f"arn:aws:iam::{account}:role/{name}"


def _require_all(kind: str, operation: str, properties: dict[str, Any], old: dict[str, Any] | None = None) -> None:
    role = _stack_role.get()
    if not role:
        return
    if kind not in _NAMED:
        raise Denied(
            f"AccessDenied: the embedded AWS can't say what {kind} asks {role} for: only root makes, changes and "
            "deletes it here, without a role"
        )
    # An update asks for unchanged resources too, which AWS leaves alone: so a role is not too small
    # for the first template that changes them.
    named = _NAMED[kind](properties, old)
    for action in stack_permissions.needed(kind, operation, {*properties, *(old or {})}):
        for resource in stack_permissions.evaluated_on(action, named):
            require(role, action, resource, **_condition_keys(kind, action, properties))


def _condition_keys(kind: str, action: str, properties: dict[str, Any]) -> dict[str, str]:
    """Return what IAM knows of a request besides its resource.

    https://docs.aws.amazon.com/service-authorization/latest/reference/list_awslambda.html
    """
    if action == "iam:PassRole":
        return {"iam__PassedToService": "lambda.amazonaws.com"}
    if kind == "AWS::Lambda::EventSourceMapping" and action.endswith("EventSourceMapping"):
        return {"lambda__FunctionArn": ":".join(str(properties.get("FunctionName", "")).split(":")[:7])}
    return {}


Named = dict[str, list[str]]


def _arn(service: str, rest: str) -> str:
    from ministack.core.responses import get_account_id, get_region

    return f"arn:aws:{service}:{get_region()}:{get_account_id()}:{rest}"


def _function(new: dict[str, Any], old: dict[str, Any] | None) -> Named:
    named: Named = {"function": [_arn("lambda", f"function:{new.get('FunctionName')}")]}
    named["layerVersion"] = list(new.get("Layers") or [])
    code = new.get("Code") or {}
    if code.get("S3Bucket") and (old is None or code != old.get("Code")):
        named["object"] = [f"arn:aws:s3:::{code['S3Bucket']}/{code.get('S3Key')}"]
    if new.get("Role") and (old is None or new["Role"] != old.get("Role")):
        named["role"] = [new["Role"]]
    return named


def _mapping(_: dict[str, Any], __: dict[str, Any] | None) -> Named:
    # Lambda makes the id.
    return {"eventSourceMapping": [_arn("lambda", "event-source-mapping:00000000-0000-0000-0000-000000000000")]}


def _queue(new: dict[str, Any], _: dict[str, Any] | None) -> Named:
    return {"queue": [_arn("sqs", str(new.get("QueueName")))]}


def _bucket(new: dict[str, Any], _: dict[str, Any] | None) -> Named:
    return {"bucket": [f"arn:aws:s3:::{new.get('BucketName')}"]}


def _role(new: dict[str, Any], _: dict[str, Any] | None) -> Named:
    from ministack.core.responses import get_account_id

    return {"role": [f"arn:aws:iam::{get_account_id()}:role/{new.get('RoleName')}"]}


def _log_group(new: dict[str, Any], _: dict[str, Any] | None) -> Named:
    return {"log-group": [_arn("logs", f"log-group:{new.get('LogGroupName')}")]}


_NAMED: dict[str, Callable[[dict[str, Any], dict[str, Any] | None], Named]] = {
    "AWS::IAM::Role": _role,
    "AWS::Lambda::EventSourceMapping": _mapping,
    "AWS::Lambda::Function": _function,
    "AWS::Logs::LogGroup": _log_group,
    "AWS::S3::Bucket": _bucket,
    "AWS::SQS::Queue": _queue,
}
"""The ARNs that the operations on each resource type name, by what IAM calls the resource."""

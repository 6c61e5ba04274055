"""Resource policies of functions, each of the function itself, of a version or of an alias."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from typing import Any

from greenroom.lambda_api.calls import Answer, Call
from greenroom.lambda_api.errors import LambdaError, conflict, function_not_found, invalid, not_found, stale
from greenroom.lambda_api.functions import Functions, Record
from greenroom.lambda_api.names import LATEST, is_version, split_reference
from greenroom.lambda_api.room import Operation, Room

MAX_POLICY_BYTES = 20_480
"""https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"""

SERVICE = re.compile(r"[a-z0-9-]+(?:\.[a-z0-9-]+)*\.amazonaws\.com|[a-z0-9.-]+\.amazon\.com")


def add_permission(room: Room, call: Call) -> Answer:
    """Let a service or an account invoke a function."""
    functions, asked = room.functions, call.parameters
    name, qualifier = split_reference(functions.home, asked["FunctionName"], asked.get("Qualifier"))
    if qualifier == LATEST:
        raise invalid("We currently do not support adding policies for $LATEST.")
    with functions.changing():
        _require(functions, name, qualifier)
        old = functions.policies.get(_key(name, qualifier))
        _check_revision(asked.get("RevisionId"), old)
        statement = statement_of(functions.home.function_arn(name, qualifier), asked)
        statements = old["Statement"] if old else []
        if any(each["Sid"] == statement["Sid"] for each in statements):
            raise conflict(
                f"The statement id ({statement['Sid']}) provided already exists. Please provide a new statement id, or "
                "remove the existing statement."
            )
        _put(functions, name, qualifier, [*statements, statement])
    return Answer({"Statement": _json(statement)})


def remove_permission(room: Room, call: Call) -> Answer:
    """Take one statement away."""
    functions, asked = room.functions, call.parameters
    name, qualifier = split_reference(functions.home, asked["FunctionName"], asked.get("Qualifier"))
    with functions.changing():
        if functions.entries.get(name) is None:
            raise not_found(f"No policy found for: {functions.home.function_arn(name)}")
        _require(functions, name, qualifier)
        old = functions.policies.get(_key(name, qualifier))
        if old is None:
            raise not_found("No policy is associated with the given resource.")
        _check_revision(asked.get("RevisionId"), old)
        left = [each for each in old["Statement"] if each["Sid"] != asked["StatementId"]]
        if len(left) == len(old["Statement"]):
            raise not_found(f"Statement {asked['StatementId']} is not found in resource policy.")
        _put(functions, name, qualifier, left)
    return Answer()


def get_policy(room: Room, call: Call) -> Answer:
    """Return the policy of a function, a version or an alias."""
    functions = room.functions
    name, qualifier = split_reference(functions.home, call.parameters["FunctionName"], call.parameters.get("Qualifier"))
    record = functions.policies.get(_key(name, qualifier))
    if record is None:
        raise not_found("The resource you requested does not exist.")
    return Answer({"Policy": _json(document(record)), "RevisionId": record["RevisionId"]})


def document(record: Record) -> dict[str, Any]:
    """Return a policy as a document."""
    return {"Version": "2012-10-17", "Id": "default", "Statement": record["Statement"]}


def statement_of(resource: str, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return the statement that a request asks for, as AWS writes it."""
    statement: dict[str, Any] = {
        "Sid": asked["StatementId"],
        "Effect": "Allow",
        "Principal": _principal(asked["Principal"]),
        "Action": asked["Action"],
        "Resource": resource,
    }
    equal = {
        "AWS:SourceAccount": asked.get("SourceAccount"),
        "lambda:EventSourceToken": asked.get("EventSourceToken"),
        "lambda:FunctionUrlAuthType": asked.get("FunctionUrlAuthType"),
        "aws:PrincipalOrgID": asked.get("PrincipalOrgID"),
    }
    condition: dict[str, Any] = {}
    if given := {key: value for key, value in equal.items() if value is not None}:
        condition["StringEquals"] = given
    if asked.get("SourceArn"):
        condition["ArnLike"] = {"AWS:SourceArn": asked["SourceArn"]}
    if asked.get("InvokedViaFunctionUrl") is not None:
        condition["Bool"] = {"lambda:InvokedViaFunctionUrl": str(asked["InvokedViaFunctionUrl"]).lower()}
    return {**statement, "Condition": condition} if condition else statement


def _principal(given: str) -> Any:
    if given == "*":
        return "*"
    if re.fullmatch(r"\d{12}", given):
        return {"AWS": f"arn:aws:iam::{given}:root"}
    if re.fullmatch(r"arn:aws[a-zA-Z-]*:(?:iam|sts)::\d{12}:.+", given):
        return {"AWS": given}
    if SERVICE.fullmatch(given):
        return {"Service": given}
    raise invalid("The provided principal was invalid. Please check the principal and try again.")


def _require(functions: Functions, name: str, qualifier: str | None) -> None:
    arn = functions.home.function_arn(name, qualifier)
    if functions.entries.get(name) is None:
        raise function_not_found(functions.home.function_arn(name))
    if qualifier is None:
        return
    if is_version(qualifier) or "$" in qualifier:
        if functions.versions.get(f"{name}:{qualifier}") is None:
            raise function_not_found(arn)
    elif functions.aliases.get(f"{name}:{qualifier}") is None:
        raise not_found(f"Cannot find alias arn: {arn}")


def _check_revision(asked: str | None, record: Record | None) -> None:
    if asked and (record is None or asked != record["RevisionId"]):
        raise stale("GetPolicy")


def _put(functions: Functions, name: str, qualifier: str | None, statements: list[Any]) -> None:
    key = _key(name, qualifier)
    if not statements:
        functions.policies.delete(key)
        return
    record = {"Statement": statements, "RevisionId": str(uuid.uuid4())}
    size = len(_json(document(record)).encode())
    if size > MAX_POLICY_BYTES:
        raise LambdaError(
            "PolicyLengthExceededException",
            f"The final policy size ({size}) is bigger than the limit ({MAX_POLICY_BYTES}).",
        )
    functions.policies.put(key, record)


def _key(name: str, qualifier: str | None) -> str:
    return f"{name}:{qualifier or LATEST}"


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


OPERATIONS: dict[str, Operation] = {
    "AddPermission": add_permission,
    "GetPolicy": get_policy,
    "RemovePermission": remove_permission,
}

"""Resource policies of versions of layers."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from typing import Any

from greenroom.lambda_api.calls import Answer, Call
from greenroom.lambda_api.configuration import Parameters
from greenroom.lambda_api.errors import conflict, invalid, not_found, stale
from greenroom.lambda_api.functions import Functions, Record
from greenroom.lambda_api.names import layer_name
from greenroom.lambda_api.operations.policies import document
from greenroom.lambda_api.room import Operation, Room


def add_layer_version_permission(room: Room, call: Call) -> Answer:
    """Let an account read a version of a layer."""
    functions, asked = room.functions, call.parameters
    with functions.changing():
        key, arn = _existing(functions, asked)
        old = functions.layer_policies.get(key)
        _check_revision(asked, old)
        statements = list(old["Statement"]) if old else []
        if any(each["Sid"] == asked["StatementId"] for each in statements):
            raise conflict(
                f"The statement id ({asked['StatementId']}) provided already exists. Please provide a new statement "
                "id, or remove the existing statement."
            )
        statement = _statement(arn, asked)
        record = _put(functions, key, [*statements, statement])
    return Answer({"Statement": _json(statement), "RevisionId": record["RevisionId"]})


def get_layer_version_policy(room: Room, call: Call) -> Answer:
    """Return who may read a version of a layer."""
    key, _ = _existing(room.functions, call.parameters)
    record = room.functions.layer_policies.get(key)
    if record is None:
        raise not_found("No policy is associated with the given resource.")
    return Answer({"Policy": _json(document(record)), "RevisionId": record["RevisionId"]})


def remove_layer_version_permission(room: Room, call: Call) -> Answer:
    """Take one statement away."""
    functions, asked = room.functions, call.parameters
    with functions.changing():
        key, _ = _existing(functions, asked)
        old = functions.layer_policies.get(key)
        if old is None:
            raise not_found("No policy is associated with the given resource.")
        _check_revision(asked, old)
        left = [each for each in old["Statement"] if each["Sid"] != asked["StatementId"]]
        if len(left) == len(old["Statement"]):
            raise not_found(f"Statement {asked['StatementId']} is not found in resource policy.")
        if left:
            _put(functions, key, left)
        else:
            functions.layer_policies.delete(key)
    return Answer()


def _existing(functions: Functions, asked: Parameters) -> tuple[str, str]:
    name, number = layer_name(asked["LayerName"]), asked["VersionNumber"]
    arn = functions.home.layer_arn(name, number)
    if number < 1:
        raise invalid("Layer Version Cannot be less than 1")
    if functions.layer_versions.get(f"{name}:{number}") is None:
        raise not_found(f"Layer version {arn} does not exist.")
    return f"{name}:{number}", arn


def _statement(arn: str, asked: Mapping[str, Any]) -> dict[str, Any]:
    principal = asked["Principal"]
    if re.fullmatch(r"\d{12}", principal):
        principal = f"arn:aws:iam::{principal}:root"
    statement = {
        "Sid": asked["StatementId"],
        "Effect": "Allow",
        "Principal": principal if principal == "*" else {"AWS": principal},
        "Action": asked["Action"],
        "Resource": arn,
    }
    if asked.get("OrganizationId"):
        statement["Condition"] = {"StringEquals": {"aws:PrincipalOrgID": asked["OrganizationId"]}}
    return statement


def _check_revision(asked: Parameters, record: Record | None) -> None:
    if asked.get("RevisionId") and (record is None or asked["RevisionId"] != record["RevisionId"]):
        raise stale("GetLayerPolicy")


def _put(functions: Functions, key: str, statements: list[Any]) -> Record:
    record = {"Statement": statements, "RevisionId": str(uuid.uuid4())}
    functions.layer_policies.put(key, record)
    return record


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


OPERATIONS: dict[str, Operation] = {
    "AddLayerVersionPermission": add_layer_version_permission,
    "GetLayerVersionPolicy": get_layer_version_policy,
    "RemoveLayerVersionPermission": remove_layer_version_permission,
}

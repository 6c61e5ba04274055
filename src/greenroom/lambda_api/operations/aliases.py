"""Aliases: names that point at a version, or at two of them by weight."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from greenroom.lambda_api.calls import Answer, Call
from greenroom.lambda_api.errors import conflict, function_not_found, invalid, not_found, stale, unsupported
from greenroom.lambda_api.functions import Record, versions_of_alias
from greenroom.lambda_api.names import LATEST, split_reference
from greenroom.lambda_api.paging import page
from greenroom.lambda_api.room import Operation, Room


def create_alias(room: Room, call: Call) -> Answer:
    """Make an alias."""
    functions, asked = room.functions, call.parameters
    name, _ = split_reference(functions.home, asked["FunctionName"])
    with functions.changing():
        _check_versions(room, name, asked["FunctionVersion"], asked.get("RoutingConfig"))
        key = f"{name}:{asked['Name']}"
        if functions.aliases.get(key) is not None:
            raise conflict(f"Alias already exists: {functions.home.function_arn(name, asked['Name'])}")
        record = {
            "Name": asked["Name"],
            "FunctionVersion": asked["FunctionVersion"],
            "Description": asked.get("Description") or "",
            "RevisionId": str(uuid.uuid4()),
            **_routing(asked.get("RoutingConfig")),
        }
        functions.aliases.put(key, record)
    return Answer(_answer(room, name, record))


def get_alias(room: Room, call: Call) -> Answer:
    """Return an alias."""
    name, _ = split_reference(room.functions.home, call.parameters["FunctionName"])
    record = room.functions.aliases.get(f"{name}:{call.parameters['Name']}")
    if record is None:
        raise not_found(f"Cannot find alias arn: {room.functions.home.function_arn(name, call.parameters['Name'])}")
    return Answer(_answer(room, name, record))


def update_alias(room: Room, call: Call) -> Answer:
    """Point an alias elsewhere, or change its weights or its description."""
    functions, asked = room.functions, call.parameters
    name, _ = split_reference(functions.home, asked["FunctionName"])
    with functions.changing():
        key = f"{name}:{asked['Name']}"
        old = functions.aliases.get(key)
        if old is None:
            raise not_found(f"Alias not found: {functions.home.function_arn(name, asked['Name'])}")
        if asked.get("RevisionId") and asked["RevisionId"] != old["RevisionId"]:
            raise stale()
        version = asked.get("FunctionVersion") or old["FunctionVersion"]
        routing = asked.get("RoutingConfig")
        _check_versions(room, name, version, old.get("RoutingConfig") if routing is None else routing)
        record = {**old, "FunctionVersion": version, "RevisionId": str(uuid.uuid4())}
        if asked.get("Description") is not None:
            record["Description"] = asked["Description"]
        if routing is not None:
            record.pop("RoutingConfig", None)
            record |= _routing(routing)
        functions.aliases.put(key, record)
    return Answer(_answer(room, name, record))


def delete_alias(room: Room, call: Call) -> Answer:
    """Remove an alias with what belongs to it; if there is none, nothing happens."""
    functions = room.functions
    name, _ = split_reference(functions.home, call.parameters["FunctionName"])
    key = f"{name}:{call.parameters['Name']}"
    with functions.changing():
        for table in (functions.aliases, functions.policies, functions.invoke_configs):
            table.delete(key)
    return Answer()


def list_aliases(room: Room, call: Call) -> Answer:
    """List a function's aliases, or those that point at one version."""
    functions, asked = room.functions, call.parameters
    name, _ = split_reference(functions.home, asked["FunctionName"])
    functions.function(name)
    version = asked.get("FunctionVersion")
    records = [
        record for record in functions.aliases_of(name) if version is None or version in versions_of_alias(record)
    ]
    shown, following = page(records, lambda record: str(record["Name"]), asked.get("Marker"), asked.get("MaxItems"))
    return Answer({"Aliases": [_answer(room, name, record) for record in shown], **following})


def _routing(given: Mapping[str, Any] | None) -> dict[str, Any]:
    weights = (given or {}).get("AdditionalVersionWeights") or {}
    return {"RoutingConfig": {"AdditionalVersionWeights": dict(weights)}} if weights else {}


def _check_versions(room: Room, name: str, version: str, routing: Mapping[str, Any] | None) -> None:
    """Raise AWS's answer to an alias of versions that are not there, or that can't be weighted."""
    functions = room.functions
    weights = (routing or {}).get("AdditionalVersionWeights") or {}
    if len(weights) > 1:
        raise invalid("Number of items in AdditionalVersionWeights cannot be greater than 1")
    if version == "$LATEST.PUBLISHED":
        raise unsupported("there is no version $LATEST.PUBLISHED")
    if version in weights:
        raise invalid(
            f"Invalid function version {version}. Function version {version} is already included in routing "
            "configuration."
        )
    if version == LATEST and weights:
        raise invalid("$LATEST is not supported for an alias pointing to more than 1 version")
    for each in (version, *weights):
        if functions.versions.get(f"{name}:{each}") is None:
            raise function_not_found(functions.home.function_arn(name, each))


def _answer(room: Room, name: str, record: Record) -> dict[str, Any]:
    return {**record, "AliasArn": room.functions.home.function_arn(name, record["Name"])}


OPERATIONS: dict[str, Operation] = {
    "CreateAlias": create_alias,
    "DeleteAlias": delete_alias,
    "GetAlias": get_alias,
    "ListAliases": list_aliases,
    "UpdateAlias": update_alias,
}

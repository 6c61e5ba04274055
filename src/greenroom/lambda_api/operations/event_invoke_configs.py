"""The settings of asynchronous invocations: attempts, the longest wait, and destinations of results."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from greenroom.lambda_api.calls import Answer, Call
from greenroom.lambda_api.errors import LambdaError, invalid, not_found
from greenroom.lambda_api.functions import Functions, Record, Target
from greenroom.lambda_api.names import LATEST, split_reference
from greenroom.lambda_api.paging import page
from greenroom.lambda_api.room import Operation, Room

ACTIONS = {
    "events": "events:PutEvents",
    "lambda": "lambda:InvokeFunction",
    "s3": "s3:PutObject",
    "sns": "sns:Publish",
    "sqs": "sqs:SendMessage",
}
"""The right that the function's role needs for a destination of each service.
https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html#invocation-async-destinations"""

MEMBERS = ("MaximumRetryAttempts", "MaximumEventAgeInSeconds")


def put_function_event_invoke_config(room: Room, call: Call) -> Answer:
    """Set it, in place of what was set."""
    return _write(room, call, keep=False)


def update_function_event_invoke_config(room: Room, call: Call) -> Answer:
    """Change some of what is set."""
    return _write(room, call, keep=True)


def get_function_event_invoke_config(room: Room, call: Call) -> Answer:
    """Return what is set for a function, a version or an alias."""
    functions = room.functions
    name, qualifier = _named(functions, call)
    return Answer(_answer(functions, name, qualifier, _existing(functions, name, qualifier)))


def delete_function_event_invoke_config(room: Room, call: Call) -> Answer:
    """Go back to Lambda's own."""
    functions = room.functions
    name, qualifier = _named(functions, call)
    with functions.changing():
        _existing(functions, name, qualifier)
        functions.invoke_configs.delete(f"{name}:{qualifier}")
    return Answer()


def list_function_event_invoke_configs(room: Room, call: Call) -> Answer:
    """List what is set for a function and its versions and aliases."""
    functions, asked = room.functions, call.parameters
    name, _ = split_reference(functions.home, asked["FunctionName"])
    if functions.entries.get(name) is None:
        raise not_found("The function doesn't exist.")
    found = functions.invoke_configs.of(name)
    shown, following = page(found, lambda item: item[0], asked.get("Marker"), asked.get("MaxItems"))
    configs = [_answer(functions, name, key.partition(":")[2], record) for key, record in shown]
    return Answer({"FunctionEventInvokeConfigs": configs, **following})


def _write(room: Room, call: Call, *, keep: bool) -> Answer:
    functions, asked = room.functions, call.parameters
    given = {member: asked[member] for member in (*MEMBERS, "DestinationConfig") if asked.get(member) is not None}
    if not given:
        raise invalid("You must specify at least one of error handling or destination setting.")
    name, qualifier = _named(functions, call)
    with functions.changing():
        try:
            target = functions.target(name, qualifier)
        except LambdaError as error:
            raise not_found("The function doesn't exist.") from error
        old = _existing(functions, name, qualifier) if keep else {}
        if "DestinationConfig" in given:
            given["DestinationConfig"] = _destinations(room, target, given["DestinationConfig"])
        record = {**old, **given, "LastModified": time.time()}
        functions.invoke_configs.put(f"{name}:{qualifier}", record)
    return Answer(_answer(functions, name, qualifier, record))


def _named(functions: Functions, call: Call) -> tuple[str, str]:
    name, qualifier = split_reference(functions.home, call.parameters["FunctionName"], call.parameters.get("Qualifier"))
    return name, qualifier or LATEST


def _existing(functions: Functions, name: str, qualifier: str) -> Record:
    record = functions.invoke_configs.get(f"{name}:{qualifier}")
    if record is None:
        arn = functions.home.function_arn(name, qualifier)
        raise not_found(f"The function {arn} doesn't have an EventInvokeConfig")
    return record


def _answer(functions: Functions, name: str, qualifier: str, record: Record) -> dict[str, Any]:
    destinations = record.get("DestinationConfig") or {}
    return {
        **record,
        "FunctionArn": functions.home.function_arn(name, qualifier),
        "DestinationConfig": {kind: dict(destinations.get(kind) or {}) for kind in ("OnSuccess", "OnFailure")},
    }


def _destinations(room: Room, target: Target, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the destinations that are set, or raise AWS's answer to one that can't be used."""
    found = {}
    for kind in ("OnSuccess", "OnFailure"):
        arn = (given.get(kind) or {}).get("Destination")
        if arn:
            _check_destination(room, target, given, arn)
            found[kind] = {"Destination": arn}
    return found


def _check_destination(room: Room, target: Target, given: Mapping[str, Any], arn: str) -> None:
    service = arn.split(":")[2]
    if service not in ACTIONS:
        raise invalid(f"The provided destination config {_as_java(given)} is invalid.")
    if service == "lambda":
        _check_function(room, target, arn)
    if not room.ports.roles.may(target.config["Role"], ACTIONS[service], _resource(service, arn)):
        action = ACTIONS[service].partition(":")[2]
        raise invalid(f"The function's execution role does not have permissions to call {action} on {arn}")


def _check_function(room: Room, target: Target, arn: str) -> None:
    if arn == target.arn:
        raise invalid("You can't specify the function as a destination for itself.")
    try:
        room.functions.resolve(arn)
    except LambdaError as error:
        raise invalid(f"The destination ARN {arn} is invalid.") from error


def _resource(service: str, arn: str) -> str:
    # Lambda writes objects of any key; a bucket's ARN is all that it has of them.
    return f"{arn}/*" if service == "s3" else arn


def _as_java(given: Mapping[str, Any]) -> str:
    kinds = {kind: (given.get(kind) or {}).get("Destination") for kind in ("OnSuccess", "OnFailure")}
    shown = [
        f"{kind[:1].lower()}{kind[1:]}={f'{kind}(destination={arn})' if arn else 'null'}" for kind, arn in kinds.items()
    ]
    return f"DestinationConfig({', '.join(shown)})"


OPERATIONS: dict[str, Operation] = {
    "DeleteFunctionEventInvokeConfig": delete_function_event_invoke_config,
    "GetFunctionEventInvokeConfig": get_function_event_invoke_config,
    "ListFunctionEventInvokeConfigs": list_function_event_invoke_configs,
    "PutFunctionEventInvokeConfig": put_function_event_invoke_config,
    "UpdateFunctionEventInvokeConfig": update_function_event_invoke_config,
}

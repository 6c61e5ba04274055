"""Tags of functions and of event source mappings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from greenroom.lambda_api.calls import Answer, Call
from greenroom.lambda_api.errors import LambdaError, invalid, not_found, unsupported
from greenroom.lambda_api.functions import Functions
from greenroom.lambda_api.names import split_reference
from greenroom.lambda_api.room import Operation, Room

MAX_TAGS = 50
"""https://docs.aws.amazon.com/lambda/latest/dg/configuration-tags.html"""


def tag_resource(room: Room, call: Call) -> Answer:
    """Add tags, or change them."""
    given = call.parameters["Tags"]
    if not given:
        raise invalid("An error occurred and the request cannot be processed.")
    check_tags(given)
    functions = room.functions
    with functions.changing():
        tags = _read(functions, call.parameters["Resource"])
        _write(functions, call.parameters["Resource"], {**tags, **given})
    return Answer()


def untag_resource(room: Room, call: Call) -> Answer:
    """Remove tags."""
    functions = room.functions
    with functions.changing():
        tags = _read(functions, call.parameters["Resource"])
        left = {key: value for key, value in tags.items() if key not in call.parameters["TagKeys"]}
        _write(functions, call.parameters["Resource"], left)
    return Answer()


def list_tags(room: Room, call: Call) -> Answer:
    """Return the tags."""
    return Answer({"Tags": dict(_read(room.functions, call.parameters["Resource"]))})


def check_tags(tags: Mapping[str, str]) -> None:
    """Raise AWS's answer to too many tags."""
    if len(tags) > MAX_TAGS:
        raise _too_many()


def _too_many() -> LambdaError:
    return invalid("Number of tags exceeds resource tag limit.")


def _read(functions: Functions, arn: str) -> Mapping[str, str]:
    kind = arn.split(":")[5]
    if kind == "function":
        tags: Mapping[str, str] = functions.function(_function(functions, arn))["Tags"]
        return tags
    return _mapping(functions, arn).get("Tags") or {}


def _write(functions: Functions, arn: str, tags: Mapping[str, str]) -> None:
    check_tags(tags)
    if arn.split(":")[5] == "function":
        name = _function(functions, arn)
        functions.put_entry(name, Tags=dict(tags))
        functions.revise(name)
    else:
        functions.mappings.put(arn.rpartition(":")[2], {**_mapping(functions, arn), "Tags": dict(tags)})


def _function(functions: Functions, arn: str) -> str:
    name, qualifier = split_reference(functions.home, arn)
    if qualifier:
        raise invalid("Tags on function aliases and versions are not supported. Please specify a function ARN.")
    return name


def _mapping(functions: Functions, arn: str) -> Mapping[str, Any]:
    kind, identifier = arn.split(":")[5:7]
    if kind != "event-source-mapping":
        raise unsupported(f"only functions and event source mappings have tags, not a {kind}")
    record: Mapping[str, Any] | None = functions.mappings.get(identifier)
    if record is None:
        raise not_found(f"Event source mapping not found: {arn}")
    return record


OPERATIONS: dict[str, Operation] = {
    "ListTags": list_tags,
    "TagResource": tag_resource,
    "UntagResource": untag_resource,
}

"""botocore's model of Lambda: what an operation takes, what it answers, and how both are written.

AWS checks a request against this model before anything else, and names everything that is wrong in one answer. The
wording of the constraints is what LocalStack recorded from AWS
(https://github.com/localstack/localstack/tree/8b9a79f/tests/aws/services/lambda_, `*.snapshot.json`).
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

from botocore.loaders import Loader
from botocore.model import ListShape, MapShape, OperationModel, ServiceModel, Shape, StructureShape

from greenroom.lambda_api.errors import LambdaError

CHECKED_ELSEWHERE = frozenset({"Runtime"})
"""Shapes whose values AWS refuses in other words, or later, than by the model: `runtimes` has them."""


@cache
def service() -> ServiceModel:
    """Return botocore's model of Lambda."""
    return ServiceModel(Loader().load_service_model("lambda", "service-2"), "lambda")


@cache
def operation(name: str) -> OperationModel:
    """Return an operation's model."""
    return service().operation_model(name)


@cache
def operation_names() -> frozenset[str]:
    """Return the names of all operations that AWS has."""
    return frozenset(service().operation_names)


def members(name: str) -> Mapping[str, Shape]:
    """Return an operation's parameters."""
    shape = operation(name).input_shape
    return shape.members if shape is not None else {}


def validate(name: str, parameters: Mapping[str, Any]) -> None:
    """Raise the error that AWS answers if the parameters of an operation break its model.

    Raises:
        LambdaError: ValidationException that names each violation.
    """
    shape = operation(name).input_shape
    found = list(_violations(shape, parameters, "")) if shape is not None else []
    if found:
        raise validation_error(*found)


def validation_error(*violations: str) -> LambdaError:
    """Return the error for values that the model refuses. Each violation is `Value … failed to satisfy …`."""
    errors = "error" if len(violations) == 1 else "errors"
    return LambdaError(
        "ValidationException", f"{len(violations)} validation {errors} detected: {'; '.join(violations)}"
    )


def violation(value: Any, where: str, constraint: str) -> str:
    """Return what AWS says about one value."""
    shown = " null" if value is None else f" '{_as_java(value)}'"
    return f"Value{shown} at '{where}' failed to satisfy constraint: {constraint}"


def _violations(shape: Shape, value: Any, where: str) -> Iterator[str]:
    if isinstance(shape, StructureShape):
        yield from _of_structure(shape, value, where)
    elif isinstance(shape, ListShape):
        yield from _of_list(shape, value, where)
    elif isinstance(shape, MapShape):
        yield from _of_map(shape, value, where)
    else:
        for constraint in _broken(shape, value):
            yield _violation_of(shape, value, where, constraint)


def _of_structure(shape: StructureShape, value: Mapping[str, Any], where: str) -> Iterator[str]:
    for name, member in shape.members.items():
        inner = f"{where}.{_lower(name)}" if where else _lower(name)
        given = value.get(name)
        if given is not None:
            yield from _violations(member, given, inner)
        elif name in shape.required_members:
            yield violation(None, inner, "Member must not be null")


def _of_list(shape: ListShape, value: list[Any], where: str) -> Iterator[str]:
    for constraint in _outside(shape, len(value), "length"):
        yield _violation_of(shape, value, where, constraint)
    if isinstance(shape.member, StructureShape):
        for number, each in enumerate(value, 1):
            yield from _violations(shape.member, each, f"{where}.{number}.member")
    elif any(_broken(shape.member, each) for each in value):
        yield _violation_of(shape, value, where, f"Member must satisfy constraint: [{_constraints(shape.member)}]")


def _of_map(shape: MapShape, value: Mapping[str, Any], where: str) -> Iterator[str]:
    if any(_broken(shape.key, key) for key in value):
        constraint = f"Map keys must satisfy constraint: [{_constraints(shape.key, null=False)}]"
        yield _violation_of(shape, value, where, constraint)
    if any(_broken(shape.value, each) for each in value.values()):
        constraint = f"Map value must satisfy constraint: [{_constraints(shape.value)}]"
        yield _violation_of(shape, value, where, constraint)


def _violation_of(shape: Shape, value: Any, where: str, constraint: str) -> str:
    if shape.metadata.get("sensitive"):
        return f"Value at '{where}' failed to satisfy constraint: {constraint}"
    return violation(value, where, constraint)


def _broken(shape: Shape, value: Any) -> list[str]:
    """Return the constraints of a simple value that it breaks."""
    if shape.name in CHECKED_ELSEWHERE:
        return []
    if shape.type_name in ("integer", "long", "double", "float"):
        return _outside(shape, value, "value")
    broken: list[str] = []
    if shape.type_name == "string":
        enum = shape.metadata.get("enum")
        if enum and value not in enum:
            return [_enum(shape)]
        broken += _outside(shape, len(value), "length")
        pattern = shape.metadata.get("pattern")
        if pattern and not _matcher(pattern)(value):
            broken.append(_pattern(shape))
    return broken


def _outside(shape: Shape, size: float, kind: str) -> list[str]:
    most, least = shape.metadata.get("max"), shape.metadata.get("min")
    broken = []
    if most is not None and size > most:
        broken.append(f"Member must have {kind} less than or equal to {most}")
    if least is not None and size < least:
        broken.append(f"Member must have {kind} greater than or equal to {least}")
    return broken


def _constraints(shape: Shape, *, null: bool = True) -> str:
    """Return all constraints of a member of a list or a map, as AWS lists them when one member breaks one."""
    kind = "length" if shape.type_name == "string" else "value"
    found = []
    if (most := shape.metadata.get("max")) is not None:
        found.append(f"Member must have {kind} less than or equal to {most}")
    if (least := shape.metadata.get("min")) is not None:
        found.append(f"Member must have {kind} greater than or equal to {least}")
    if shape.metadata.get("pattern"):
        found.append(_pattern(shape))
    if shape.metadata.get("enum"):
        found.append(_enum(shape))
    return ", ".join([*found, *(["Member must not be null"] if null else [])])


def _pattern(shape: Shape) -> str:
    return f"Member must satisfy regular expression pattern: {shape.metadata['pattern']}"


def _enum(shape: Shape) -> str:
    return f"Member must satisfy enum value set: [{', '.join(shape.metadata['enum'])}]"


@cache
def _matcher(pattern: str) -> Callable[[str], Any]:
    # AWS's patterns are Java's, and match a whole value. Python has no names for kinds of characters.
    for kind, python in (("L", r"\w"), ("N", r"\w"), ("Z", r"\s")):
        pattern = pattern.replace(rf"\p{{{kind}}}", python)
    return re.compile(pattern).fullmatch


def _lower(name: str) -> str:
    """Return a member's name as AWS's messages write it: functionName for FunctionName, s3Bucket for S3Bucket."""
    return name[:1].lower() + name[1:]


def _as_java(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}={_as_java(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_as_java(each) for each in value) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def error_body(error: LambdaError) -> dict[str, Any]:
    """Return the members of an error's body.

    The model says whether it is `message` or `Message`, and whether there is a Type.
    """
    shape = service().shape_for(error.code) if error.code in service().shape_names else None
    if not isinstance(shape, StructureShape):
        return {"message": error.message, **error.extra}
    name = next((member for member in shape.members if member.lower() == "message"), "message")
    body: dict[str, Any] = {name: error.message, **error.extra}
    if "Type" in shape.members:
        body = {"Type": "Service" if error.status >= 500 else "User", **body}
    return body


def error_text(error: LambdaError) -> bytes:
    """Return an error's body as JSON."""
    return json.dumps(error_body(error), ensure_ascii=False, separators=(",", ":")).encode()


def answer_body(name: str, result: Mapping[str, Any] | None) -> bytes:
    """Return an operation's answer as JSON, without members that are not there."""
    shape = operation(name).output_shape
    if shape is None or result is None:
        return b""
    return json.dumps(_written(shape, result), ensure_ascii=False, separators=(",", ":")).encode()


def _written(shape: Shape, value: Any) -> Any:
    if isinstance(shape, StructureShape):
        return {
            member.serialization.get("name", name): _written(member, value[name])
            for name, member in shape.members.items()
            if value.get(name) is not None and member.serialization.get("location") is None
        }
    if isinstance(shape, ListShape):
        return [_written(shape.member, each) for each in value]
    if isinstance(shape, MapShape):
        return {key: _written(shape.value, each) for key, each in value.items()}
    if shape.type_name == "blob":
        return base64.b64encode(value).decode()
    if shape.type_name == "timestamp" and isinstance(value, datetime):
        return value.astimezone(UTC).timestamp()
    return value

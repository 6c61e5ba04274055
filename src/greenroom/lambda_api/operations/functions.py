"""Functions: create, read, list, change, delete."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from greenroom.lambda_api import configuration, runtimes
from greenroom.lambda_api.calls import Answer, Call
from greenroom.lambda_api.code import MAX_UNZIPPED_BYTES, check_zip
from greenroom.lambda_api.configuration import Parameters
from greenroom.lambda_api.errors import conflict, invalid, stale, unsupported
from greenroom.lambda_api.functions import Record, now_iso, revision_id
from greenroom.lambda_api.model import violation
from greenroom.lambda_api.names import LATEST, split_reference
from greenroom.lambda_api.operations.tags import check_tags
from greenroom.lambda_api.paging import page
from greenroom.lambda_api.ports import NoSuchObject
from greenroom.lambda_api.room import Operation, Room

MAX_NAME = 64
"""https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html"""

MAX_LAYERS = 5
"""https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"""


def create_function(room: Room, call: Call) -> Answer:
    """Make a function, and its first version if that is asked for."""
    functions, asked = room.functions, call.parameters
    name, qualifier = split_reference(functions.home, asked["FunctionName"])
    if qualifier:
        raise invalid(f"Function name can't have a qualifier: {asked['FunctionName']}")
    if len(name) > MAX_NAME:
        constraint = f"Member must have length less than or equal to {MAX_NAME}"
        raise invalid(f"1 validation error detected: {violation(name, 'functionName', constraint)}")
    configuration.refuse_unsupported({**asked, **asked["Code"]})
    configuration.require_zip(asked)
    configuration.check_role(asked, room.ports.roles.assumable)
    check_tags(asked.get("Tags") or {})
    config = configuration.created(functions.home, {**asked, "FunctionName": name})
    configuration.check_dead_letters(asked, config, room.ports.roles.may)
    runtimes.check(config["Runtime"], config["Architectures"][0], room.abilities)
    _set_layers(room, config, asked.get("Layers"))
    _check_abilities(room, config)
    content = _code(room, asked["Code"])
    if functions.entries.get(name) is not None:
        raise conflict(f"Function already exist: {name}")
    _set_code(room, config, content, uploaded="ZipFile" in asked["Code"])
    with functions.changing():
        if functions.entries.get(name) is not None:
            raise conflict(f"Function already exist: {name}")
        record = functions.create(config, asked.get("Tags") or {})
        if asked.get("Publish"):
            functions.publish(name, None, pending=True)
    found = configuration.answer(functions.home, record)
    return Answer({**found, "Version": "1"} if asked.get("Publish") else found)


def get_function(room: Room, call: Call) -> Answer:
    """Return a version's configuration, where its code can be had, and what the function has besides."""
    functions = room.functions
    target = functions.resolve(call.parameters["FunctionName"], call.parameters.get("Qualifier"))
    record = functions.record(target.name, target.version)
    function = functions.function(target.name)
    found: dict[str, Any] = {
        "Configuration": configuration.answer(functions.home, record, target.qualifier),
        "Code": {"RepositoryType": "S3", "Location": room.downloads.address(target.config["CodeSha256"])},
    }
    if function["Tags"]:
        found["Tags"] = function["Tags"]
    reserved = functions.reserved_concurrency(target.name)
    if reserved is not None:
        found["Concurrency"] = {"ReservedConcurrentExecutions": reserved}
    return Answer(found)


def get_function_configuration(room: Room, call: Call) -> Answer:
    """Return a version's configuration."""
    target = room.functions.resolve(call.parameters["FunctionName"], call.parameters.get("Qualifier"))
    record = room.functions.record(target.name, target.version)
    return Answer(configuration.answer(room.functions.home, record, target.qualifier))


def list_functions(room: Room, call: Call) -> Answer:
    """List the functions by name, or all versions of all of them."""
    functions, asked = room.functions, call.parameters
    every = asked.get("FunctionVersion") == "ALL"
    records = [
        record
        for name, _ in functions.entries.items()
        for record in (functions.versions_of(name) if every else [functions.record(name)])
    ]
    shown, following = page(records, _key, asked.get("Marker"), asked.get("MaxItems"))
    listed = [
        configuration.answer(functions.home, record, record["Configuration"]["Version"] if every else None, listed=True)
        for record in shown
    ]
    return Answer({"Functions": listed, **following})


def update_function_code(room: Room, call: Call) -> Answer:
    """Give $LATEST other code, and make a version of it if that is asked for."""
    functions, asked = room.functions, call.parameters
    name = _latest(room, asked)
    if asked.get("ImageUri"):
        raise invalid("Please don't provide ImageUri when updating a function with packageType Zip.")
    configuration.refuse_unsupported(asked)
    record = functions.require_settled(name)
    _check_revision(asked, record)
    config = {**record["Configuration"], "LastModified": now_iso()}
    if asked.get("Architectures"):
        config["Architectures"] = list(asked["Architectures"])
    runtimes.check(config["Runtime"], config["Architectures"][0], room.abilities)
    content = _code(room, asked)
    if asked.get("DryRun"):
        check_zip(content, uploaded="ZipFile" in asked)
        return Answer(configuration.answer(functions.home, record))
    _set_code(room, config, content, uploaded="ZipFile" in asked)
    with functions.changing():
        _check_revision(asked, functions.require_settled(name))
        record = functions.change(config)
        published = functions.publish(name, None, pending=True) if asked.get("Publish") else None
    if published is not None:
        return Answer(configuration.answer(functions.home, published, published["Configuration"]["Version"]))
    return Answer(configuration.answer(functions.home, record))


def update_function_configuration(room: Room, call: Call) -> Answer:
    """Change $LATEST's configuration."""
    functions, asked = room.functions, call.parameters
    name = _latest(room, asked)
    configuration.refuse_unsupported(asked)
    record = functions.require_settled(name)
    _check_revision(asked, record)
    configuration.check_role(asked, room.ports.roles.assumable)
    config = configuration.merged(record["Configuration"], asked)
    configuration.check_dead_letters(asked, config, room.ports.roles.may)
    config["LastModified"] = now_iso()
    if asked.get("Runtime"):
        runtimes.check(config["Runtime"], config["Architectures"][0], room.abilities)
    if asked.get("Layers") is not None:
        _set_layers(room, config, asked["Layers"])
    _check_abilities(room, config)
    with functions.changing():
        _check_revision(asked, functions.require_settled(name))
        record = functions.change(config)
    return Answer(configuration.answer(functions.home, record))


def delete_function(room: Room, call: Call) -> Answer:
    """Delete a function with everything it has, or one version of it."""
    functions, asked = room.functions, call.parameters
    name, qualifier = split_reference(functions.home, asked["FunctionName"], asked.get("Qualifier"))
    if qualifier == LATEST:
        raise invalid("$LATEST version cannot be deleted without deleting the function.")
    if qualifier and not qualifier.isdigit() and not qualifier.startswith("$"):
        raise invalid("Deletion of aliases is not currently supported.")
    with functions.changing():
        functions.function(name)
        if qualifier is None:
            functions.delete(name)
        elif functions.versions.get(f"{name}:{qualifier}") is not None:
            _refuse_used(room, name, qualifier)
            functions.delete_version(name, qualifier)
    if qualifier is None:
        for tell in functions.when_deleted:
            tell(name)
    return Answer(status=204)


def _refuse_used(room: Room, name: str, version: str) -> None:
    using = [
        alias["Name"]
        for alias in room.functions.aliases_of(name)
        if version
        in (alias["FunctionVersion"], *(alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights", ()))
    ]
    if using:
        raise conflict(f"Version {version} is currently referenced by an alias: {', '.join(using)}")


def _latest(room: Room, asked: Parameters) -> str:
    """Return the name of the function whose $LATEST a request changes."""
    name, qualifier = split_reference(room.functions.home, asked["FunctionName"])
    if qualifier and qualifier != LATEST:
        raise invalid("This operation is permitted on $LATEST only: leave the qualifier out.")
    room.functions.function(name)
    return name


def _check_revision(asked: Parameters, record: Record) -> None:
    if asked.get("RevisionId") and asked["RevisionId"] != revision_id(record):
        raise stale()


def _code(room: Room, source: Parameters) -> bytes:
    """Return the ZIP that a request brings or names."""
    if (content := source.get("ZipFile")) is not None:
        if any(source.get(name) for name in ("S3Bucket", "S3Key", "S3ObjectVersion")):
            raise invalid("Please do not provide other FunctionCode parameters when providing a ZipFile.")
        return bytes(content)
    if not source.get("S3Bucket") or not source.get("S3Key"):
        raise invalid("Please provide a source for function code.")
    return from_s3(room, source)


def from_s3(room: Room, source: Parameters) -> bytes:
    """Return the object that a request names, or raise S3's answer in Lambda's words."""
    try:
        return room.ports.objects.get(source["S3Bucket"], source["S3Key"], source.get("S3ObjectVersion"))
    except NoSuchObject as error:
        raise invalid(
            f"Error occurred while GetObject. S3 Error Code: {error.code}. S3 Error Message: {error.message}"
        ) from error


def _set_code(room: Room, config: dict[str, Any], content: bytes, *, uploaded: bool) -> None:
    layers_bytes = sum(layer["UnzippedSize"] for layer in config.get("Layers") or ())
    check_zip(content, uploaded=uploaded, layers_bytes=layers_bytes)
    config["CodeSha256"] = room.functions.keep_code(content)
    config["CodeSize"] = len(content)
    config.setdefault("LastModified", now_iso())


def _set_layers(room: Room, config: dict[str, Any], arns: list[str] | None) -> None:
    """Put the layers that a request names into a configuration, in their order."""
    config.pop("Layers", None)
    if not arns:
        return
    if len(arns) > MAX_LAYERS:
        raise invalid(f"Cannot reference more than {MAX_LAYERS} layers.")
    _refuse_twice(arns)
    layers = [_layer(room, arn) for arn in arns]
    if sum(layer["UnzippedSize"] for layer in layers) > MAX_UNZIPPED_BYTES:
        raise invalid(f"Unzipped size must be smaller than {MAX_UNZIPPED_BYTES} bytes")
    config["Layers"] = layers


def _check_abilities(room: Room, config: Mapping[str, Any]) -> None:
    """Raise an error that names what of a function's variables and layers this machine can't do."""
    variables = (config.get("Environment") or {}).get("Variables") or {}
    files = [path for layer in config.get("Layers") or () for path in layer["Extensions"]]
    reason = room.abilities.honour(config["Runtime"], variables, files)
    if reason:
        raise unsupported(reason)


def _refuse_twice(arns: list[str]) -> None:
    seen: dict[str, str] = {}
    for arn in arns:
        layer = arn.rpartition(":")[0]
        if layer in seen:
            raise invalid(
                "Two different versions of the same layer are not allowed to be referenced in the same function. "
                f"{seen[layer]} and {arn} are versions of the same layer."
            )
        seen[layer] = arn


def _layer(room: Room, arn: str) -> dict[str, Any]:
    home = room.functions.home
    parts = arn.split(":")
    if parts[3] != home.region:
        raise invalid(
            f"Layers are not in the same region as the function. Layers are expected to be in region {home.region}."
        )
    record = room.functions.layer_versions.get(":".join(parts[6:])) if parts[4] == home.account else None
    if record is None:
        if parts[4] != home.account:
            raise unsupported(f"there are no layers of other accounts: {arn}")
        raise invalid(f"Layer version {arn} does not exist.")
    content = record["Content"]
    return {
        "Arn": arn,
        "CodeSize": content["CodeSize"],
        "CodeSha256": content["CodeSha256"],
        "UnzippedSize": content["UnzippedSize"],
        "Extensions": record["Extensions"],
    }


def _key(record: Record) -> str:
    return f"{record['Configuration']['FunctionName']}:{record['Configuration']['Version']}"


OPERATIONS: dict[str, Operation] = {
    "CreateFunction": create_function,
    "DeleteFunction": delete_function,
    "GetFunction": get_function,
    "GetFunctionConfiguration": get_function_configuration,
    "ListFunctions": list_functions,
    "UpdateFunctionCode": update_function_code,
    "UpdateFunctionConfiguration": update_function_configuration,
}

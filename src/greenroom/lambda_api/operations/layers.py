"""Layers, each a name with numbered versions."""

from __future__ import annotations

import zipfile
from io import BytesIO
from typing import Any

from greenroom.lambda_api import runtimes
from greenroom.lambda_api.calls import Answer, Call
from greenroom.lambda_api.code import check_zip, unzipped_bytes
from greenroom.lambda_api.configuration import Parameters
from greenroom.lambda_api.errors import denied, invalid, not_found
from greenroom.lambda_api.functions import Functions, Record, now_iso
from greenroom.lambda_api.model import validation_error, violation
from greenroom.lambda_api.names import layer_name
from greenroom.lambda_api.operations.functions import from_s3
from greenroom.lambda_api.paging import page
from greenroom.lambda_api.room import Operation, Room


def publish_layer_version(room: Room, call: Call) -> Answer:
    """Make the next version of a layer."""
    functions, asked = room.functions, call.parameters
    _check_runtimes(asked.get("CompatibleRuntimes") or [])
    source = asked["Content"]
    if (content := source.get("ZipFile")) is None:
        if not source.get("S3Bucket") or not source.get("S3Key"):
            raise invalid("Please provide a source for layer content.")
        content = from_s3(room, source)
    check_zip(content, uploaded="ZipFile" in source)
    name = layer_name(asked["LayerName"])
    kept = {
        "CodeSha256": functions.keep_code(content),
        "CodeSize": len(content),
        "UnzippedSize": unzipped_bytes(content),
    }
    with functions.changing():
        number = (functions.layer_counters.get(name) or {"Last": 0})["Last"] + 1
        record = {
            "LayerName": name,
            "Version": number,
            "Description": asked.get("Description") or "",
            "CreatedDate": now_iso(),
            "Content": kept,
            "Extensions": extensions_of(content),
            **{
                member: asked[member]
                for member in ("CompatibleRuntimes", "CompatibleArchitectures", "LicenseInfo")
                if asked.get(member) is not None
            },
        }
        functions.layer_counters.put(name, {"Last": number})
        functions.put_layer(f"{name}:{number}", record)
    return Answer(_answer(room, record))


def get_layer_version(room: Room, call: Call) -> Answer:
    """Return a version of a layer, and where its ZIP can be had."""
    return Answer(_answer(room, _existing(room.functions, call.parameters)))


def get_layer_version_by_arn(room: Room, call: Call) -> Answer:
    """Return a version of a layer by its ARN."""
    parts = call.parameters["Arn"].split(":")
    if (parts[3], parts[4]) != (room.functions.home.region, room.functions.home.account):
        raise denied(None)
    record = room.functions.layer_versions.get(":".join(parts[6:]))
    if record is None:
        raise _no_such_layer()
    return Answer(_answer(room, record))


def delete_layer_version(room: Room, call: Call) -> Answer:
    """Remove a version of a layer; functions that have it keep it. If there is none, nothing happens."""
    functions = room.functions
    key = _key(call.parameters)
    with functions.changing():
        functions.delete_layer(key)
    return Answer()


def list_layers(room: Room, call: Call) -> Answer:
    """List the layers by name, each with its latest version."""
    home, asked = room.functions.home, call.parameters
    latest: dict[str, Record] = {}
    for record in _all(room.functions, asked):
        latest.setdefault(record["LayerName"], record)
    found = [latest[name] for name in sorted(latest)]
    shown, following = page(found, _name_of, asked.get("Marker"), asked.get("MaxItems"))
    layers = [
        {
            "LayerName": record["LayerName"],
            "LayerArn": home.layer_arn(record["LayerName"]),
            "LatestMatchingVersion": _listed(room, record),
        }
        for record in shown
    ]
    return Answer({"Layers": layers, **following})


def list_layer_versions(room: Room, call: Call) -> Answer:
    """List a layer's versions, the latest first."""
    asked = call.parameters
    name = layer_name(asked["LayerName"])
    found = [record for record in _all(room.functions, asked) if record["LayerName"] == name]
    shown, following = page(found, lambda record: str(record["Version"]), asked.get("Marker"), asked.get("MaxItems"))
    return Answer({"LayerVersions": [_listed(room, record) for record in shown], **following})


def _name_of(record: Record) -> str:
    return str(record["LayerName"])


def _all(functions: Functions, asked: Parameters) -> list[Record]:
    """Return the versions of all layers that are for the asked runtime and architecture, the latest first."""
    runtime, architecture = asked.get("CompatibleRuntime"), asked.get("CompatibleArchitecture")
    records = [
        record
        for record in functions.layer_versions.values()
        if (runtime is None or runtime in record.get("CompatibleRuntimes", ()))
        and (architecture is None or architecture in record.get("CompatibleArchitectures", ()))
    ]
    return sorted(records, key=lambda record: record["Version"], reverse=True)


def _existing(functions: Functions, asked: Parameters) -> Record:
    record = functions.layer_versions.get(_key(asked))
    if record is None:
        raise _no_such_layer()
    return record


def _key(asked: Parameters) -> str:
    if asked["VersionNumber"] < 1:
        raise invalid("Layer Version Cannot be less than 1")
    return f"{layer_name(asked['LayerName'])}:{asked['VersionNumber']}"


def _no_such_layer() -> Exception:
    return not_found("The resource you requested does not exist.")


def _listed(room: Room, record: Record) -> dict[str, Any]:
    arn = room.functions.home.layer_arn(record["LayerName"], record["Version"])
    return {**record, "LayerVersionArn": arn}


def _answer(room: Room, record: Record) -> dict[str, Any]:
    content = record["Content"]
    return {
        **_listed(room, record),
        "LayerArn": room.functions.home.layer_arn(record["LayerName"]),
        "Content": {**content, "Location": room.downloads.address(content["CodeSha256"])},
    }


def _check_runtimes(given: list[str]) -> None:
    known = {*runtimes.CURRENT, *runtimes.RETIRED}
    if any(runtime not in known for runtime in given):
        constraint = f"Member must satisfy enum value set: [{', '.join(runtimes.CURRENT)}]"
        raise validation_error(violation(given, "compatibleRuntimes", constraint))


def extensions_of(content: bytes) -> list[str]:
    """Return the programs in a layer's ZIP that Lambda would run next to the function."""
    with zipfile.ZipFile(BytesIO(content)) as archive:
        return [name for name in archive.namelist() if name.startswith("extensions/")]


OPERATIONS: dict[str, Operation] = {
    "DeleteLayerVersion": delete_layer_version,
    "GetLayerVersion": get_layer_version,
    "GetLayerVersionByArn": get_layer_version_by_arn,
    "ListLayerVersions": list_layer_versions,
    "ListLayers": list_layers,
    "PublishLayerVersion": publish_layer_version,
}

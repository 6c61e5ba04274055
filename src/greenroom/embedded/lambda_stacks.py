"""ministack's stacks, drift, imports and tags reach Lambda here: in our API, not in ministack's own Lambda.

CloudFormation makes, changes and deletes each `AWS::Lambda::…` resource by the operations that AWS's own resource
handlers call, so a stack is refused what a caller is refused, in the same words. A property that no operation takes
fails the resource by name.

An operation on a stack that a kill has ended is begun again, and may not remember what it made last. So what a stack
makes is written down in the same transaction (`MADE`), and made once.
"""

from __future__ import annotations

import hashlib
import io
import json
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape

from greenroom.lambda_api import LambdaApi, LambdaError, model
from greenroom.lambda_api.functions import is_changing
from greenroom.lambda_api.names import split_reference
from greenroom.store import Store

Properties = Mapping[str, Any]
Made = tuple[str, dict[str, Any]]
"""The result of making a resource: its physical id and its attributes."""

MADE = "lambda.stack-resources"
"""The table of what stacks have made: by stack, logical id and properties, the physical id and the attributes."""

DEFAULTS: dict[str, Any] = {
    "Description": "",
    "Timeout": 3,
    "MemorySize": 128,
    "Environment": {"Variables": {}},
    "Layers": [],
    "TracingConfig": {"Mode": "PassThrough"},
    "EphemeralStorage": {"Size": 512},
    "DeadLetterConfig": {},
    "LoggingConfig": {},
}
"""The value of a property that a template does not name any more."""

APART = frozenset({"Code", "ReservedConcurrentExecutions", "RecursiveLoop", "RuntimeManagementConfig", "Tags"})
"""Properties of a function that are not parameters of CreateFunction as they are."""


class Failed(ValueError):
    """A resource can't be made. The stack's events have the message."""


def names(api: LambdaApi) -> dict[str, Any]:
    """Return the names that ministack's services look for in its Lambda for other things than invoking."""
    return {"function_policy_for_arn": _Found(api).policy}


def install(api: LambdaApi, store: Store) -> None:
    """Take the place of what ministack does with Lambda's records."""
    from ministack.services import tagging
    from ministack.services.cloudformation import changesets, drift, provisioners

    provisioners._RESOURCE_HANDLERS.update(Stacks(api, store).handlers())
    found = _Found(api)
    read = drift._DRIFT_READERS["AWS::Lambda::Function"][1]
    drift._DRIFT_READERS["AWS::Lambda::Function"] = (found.properties, read)
    changesets._IMPORT_LOOKUPS["AWS::Lambda::Function"] = (("FunctionName",), found.import_problem)
    tagging._COLLECTORS["lambda"] = tagging._RESOURCE_TAG_COLLECTORS["lambda"] = found.tags
    tagging._WRITERS["lambda"] = found.write_tags
    tagging._REMOVERS["lambda"] = found.remove_tags


class Stacks:
    """The handlers of CloudFormation's resource types of Lambda."""

    def __init__(self, api: LambdaApi, store: Store) -> None:
        self._api = api
        self._made = store.table(MADE)
        self._creates: dict[str, Callable[[str, Properties, str], Made]] = {}
        self._deletes: dict[str, Callable[[str, Properties], None]] = {}

    def handlers(self) -> dict[str, dict[str, Any]]:
        """Return them, as ministack's CloudFormation calls them."""
        handler = self._handler
        return {
            "AWS::Lambda::Alias": handler(self.create_alias, self.update_alias, self.delete_alias, self._resolves),
            "AWS::Lambda::EventInvokeConfig": _handler(
                self.create_invoke_config, self.update_invoke_config, self.delete_invoke_config
            ),
            "AWS::Lambda::EventSourceMapping": handler(
                self.create_mapping, self.update_mapping, self.delete_mapping, self._maps
            ),
            "AWS::Lambda::Function": {
                **handler(self.create_function, self.update_function, self.delete_function, self._resolves),
                "import": self.import_function,
            },
            "AWS::Lambda::LayerVersion": _replaced_only(
                handler(self.create_layer, None, self.delete_layer, self._is_layer)
            ),
            "AWS::Lambda::LayerVersionPermission": _replaced_only(
                handler(self.create_layer_permission, None, self.delete_layer_permission, self._is_layer_statement)
            ),
            "AWS::Lambda::Permission": handler(
                self.create_permission, self.update_permission, self.delete_permission, self._is_statement
            ),
            "AWS::Lambda::Url": _handler(self.create_url, self.update_url, self.delete_url),
            "AWS::Lambda::Version": handler(
                self.create_version, self.update_version, self.delete_version, self._resolves
            ),
        }

    def _handler(
        self,
        create: Callable[[str, Properties, str], Made],
        update: Callable[..., Made] | None,
        delete: Callable[[str, Properties], None],
        exists: Callable[[str, Properties], bool],
    ) -> dict[str, Any]:
        """Return a resource type's handlers, of which `create` makes a resource once."""

        def once(logical_id: str, properties: Properties, stack: str) -> Made:
            key = _key(stack, logical_id, properties)
            known = self._made.get(key)
            if known is not None and exists(known["PhysicalId"], properties):
                return known["PhysicalId"], known["Attributes"]
            with self._api.functions.changing():
                physical_id, attributes = create(logical_id, properties, stack)
                self._made.put(key, {"PhysicalId": physical_id, "Attributes": attributes})
            return physical_id, attributes

        def forgotten(physical_id: str, properties: Properties) -> None:
            with self._api.functions.changing():
                delete(physical_id, properties)
                for key, made in self._made.items():
                    if made["PhysicalId"] == physical_id:
                        self._made.delete(key)

        self._creates[create.__name__] = once
        self._deletes[delete.__name__] = forgotten
        return _handler(once, update, forgotten)

    # Whether what was made is still there

    def _resolves(self, physical_id: str, _: Properties) -> bool:
        try:
            self._api.functions.resolve(physical_id)
        except LambdaError:
            return False
        return True

    def _maps(self, physical_id: str, _: Properties) -> bool:
        return physical_id in self._api.functions.mappings

    def _is_layer(self, physical_id: str, _: Properties) -> bool:
        return self._api.functions.layer_versions.get(":".join(physical_id.split(":")[6:])) is not None

    def _is_layer_statement(self, physical_id: str, _: Properties) -> bool:
        arn, statement_id = physical_id.rsplit("#", 1)
        record = self._api.functions.layer_policies.get(":".join(arn.split(":")[6:]))
        return record is not None and any(each["Sid"] == statement_id for each in record["Statement"])

    def _is_statement(self, physical_id: str, properties: Properties) -> bool:
        name, qualifier = split_reference(self._api.functions.home, properties["FunctionName"])
        policy = self._api.functions.policy(name, qualifier)
        return policy is not None and any(each["Sid"] == physical_id for each in policy["Statement"])

    # Functions

    def create_function(self, logical_id: str, properties: Properties, stack: str) -> Made:
        """Make a function."""
        name = properties.get("FunctionName") or _physical_name(stack, logical_id, 64)
        asked = self._asked("CreateFunction", _without(properties, APART))
        asked |= {"FunctionName": name, "Code": _code(properties), "Tags": _tags(properties)}
        self._do("CreateFunction", asked)
        self._api.functions.settle(name)
        self._set_apart(name, {}, properties)
        return name, self._arn(name)

    def update_function(
        self, physical_id: str, old: Properties, new: Properties, stack: str, logical_id: str | None = None
    ) -> Made:
        """Change a function, or make it if it is gone."""
        name = new.get("FunctionName") or physical_id
        if self._api.functions.entries.get(physical_id) is None or name != physical_id:
            return self._replaced(self.create_function, self.delete_function, physical_id, old, new, stack, logical_id)
        self._wait_until_settled(name)
        if new.get("Code") != old.get("Code") or new.get("Architectures") != old.get("Architectures"):
            code = {**_code(new), "Architectures": new.get("Architectures") or ["x86_64"]}
            self._do("UpdateFunctionCode", {"FunctionName": name, **code})
            self._api.functions.settle(name)
        config = _without(new, {*APART, "Architectures", "FunctionName", "PackageType"})
        if config != _without(old, {*APART, "Architectures", "FunctionName", "PackageType"}):
            asked = self._asked("UpdateFunctionConfiguration", {**DEFAULTS, **config})
            if not config.get("LoggingConfig"):
                asked["LoggingConfig"] = {"LogFormat": "Text", "LogGroup": f"/aws/lambda/{name}"}
            self._do("UpdateFunctionConfiguration", {**asked, "FunctionName": name})
            self._api.functions.settle(name)
        self._set_tags(name, old, new)
        self._set_apart(name, old, new)
        return name, self._arn(name)

    def delete_function(self, physical_id: str, _: Properties) -> None:
        """Delete a function, if it is still there."""
        self._undo("DeleteFunction", {"FunctionName": physical_id})

    def import_function(self, identifier: Mapping[str, str]) -> Made:
        """Take over a function that is there."""
        return identifier["FunctionName"], self._arn(identifier["FunctionName"])

    def _arn(self, name: str) -> dict[str, Any]:
        return {"Arn": self._api.functions.home.function_arn(name)}

    def _set_tags(self, name: str, old: Properties, new: Properties) -> None:
        before, after = _tags(old), _tags(new)
        if before == after:
            return
        functions = self._api.functions
        with functions.changing():
            kept = {key: value for key, value in functions.function(name)["Tags"].items() if key not in before}
            functions.put_entry(name, Tags={**kept, **after})

    def _set_apart(self, name: str, old: Properties, new: Properties) -> None:
        """Set what has operations of its own."""
        reserved = new.get("ReservedConcurrentExecutions")
        if reserved is not None and reserved != old.get("ReservedConcurrentExecutions"):
            asked = {"FunctionName": name, "ReservedConcurrentExecutions": int(reserved)}
            self._do("PutFunctionConcurrency", asked)
        elif reserved is None and old.get("ReservedConcurrentExecutions") is not None:
            self._do("DeleteFunctionConcurrency", {"FunctionName": name})
        if new.get("RecursiveLoop") != old.get("RecursiveLoop"):
            loop = new.get("RecursiveLoop") or "Terminate"
            self._do("PutFunctionRecursionConfig", {"FunctionName": name, "RecursiveLoop": loop})
        if new.get("RuntimeManagementConfig"):
            asked = {"FunctionName": name, **new["RuntimeManagementConfig"]}
            self._do("PutRuntimeManagementConfig", asked)

    def _wait_until_settled(self, name: str) -> None:
        while is_changing(self._api.functions.record(name)):
            time.sleep(0.002)

    # Versions and aliases

    def create_version(self, logical_id: str, properties: Properties, _: str) -> Made:
        """Publish a version; AWS refuses it if nothing has changed since the last one."""
        _refuse(properties, "ProvisionedConcurrencyConfig", "there is no provisioned concurrency")
        asked = self._asked("PublishVersion", properties)
        name, _qualifier = split_reference(self._api.functions.home, asked["FunctionName"])
        before = {record["Configuration"]["Version"] for record in self._api.functions.versions_of(name)}
        made = self._do("PublishVersion", asked)
        if made["Version"] in before:
            raise Failed(
                f"{logical_id}: A version for this Lambda function exists ( {made['Version']} ). "
                "Modify the function to create a new version."
            )
        return made["FunctionArn"], {"Version": made["Version"], "FunctionArn": made["FunctionArn"]}

    def update_version(
        self, physical_id: str, _: Properties, new: Properties, stack: str, logical_id: str | None = None
    ) -> Made:
        """Publish another version: every property of a version is its own."""
        return self._creates["create_version"](logical_id or physical_id, new, stack)

    def delete_version(self, physical_id: str, _: Properties) -> None:
        """Delete a version, if it is still there."""
        self._undo("DeleteFunction", {"FunctionName": physical_id})

    def create_alias(self, _: str, properties: Properties, __: str) -> Made:
        """Make an alias."""
        _refuse(properties, "ProvisionedConcurrencyConfig", "there is no provisioned concurrency")
        made = self._do("CreateAlias", self._asked("CreateAlias", _with_weights(properties)))
        return made["AliasArn"], {"AliasArn": made["AliasArn"]}

    def update_alias(
        self, physical_id: str, old: Properties, new: Properties, stack: str, logical_id: str | None = None
    ) -> Made:
        """Change an alias, or replace it under another name."""
        _refuse(new, "ProvisionedConcurrencyConfig", "there is no provisioned concurrency")
        if any(new.get(key) != old.get(key) for key in ("FunctionName", "Name")):
            return self._replaced(self.create_alias, self.delete_alias, physical_id, old, new, stack, logical_id)
        asked = {"Description": "", "RoutingConfig": {}, **_with_weights(new)}
        self._do("UpdateAlias", self._asked("UpdateAlias", asked))
        return physical_id, {"AliasArn": physical_id}

    def delete_alias(self, physical_id: str, _: Properties) -> None:
        """Delete an alias, if it is still there."""
        function, name = physical_id.rsplit(":", 1)
        self._undo("DeleteAlias", {"FunctionName": function, "Name": name})

    # Permissions

    def create_permission(self, logical_id: str, properties: Properties, stack: str) -> Made:
        """Add a statement to a function's policy."""
        statement_id = f"{stack}-{logical_id}-{_suffix()}"[-100:]
        self._do("AddPermission", {**self._asked("AddPermission", properties), "StatementId": statement_id})
        return statement_id, {"Id": statement_id}

    def update_permission(
        self, physical_id: str, old: Properties, new: Properties, stack: str, logical_id: str | None = None
    ) -> Made:
        """Replace a statement: every property of it is its own."""
        return self._replaced(self.create_permission, self.delete_permission, physical_id, old, new, stack, logical_id)

    def delete_permission(self, physical_id: str, properties: Properties) -> None:
        """Remove a statement, if it is still there."""
        self._undo("RemovePermission", {"FunctionName": properties["FunctionName"], "StatementId": physical_id})

    # Event sources and asynchronous invocations

    def create_mapping(self, _: str, properties: Properties, __: str) -> Made:
        """Map an event source."""
        asked = self._asked("CreateEventSourceMapping", _without(properties, {"Tags"}))
        if tags := _tags(properties):
            asked["Tags"] = tags
        made = self._do("CreateEventSourceMapping", asked)
        return made["UUID"], {"Id": made["UUID"], "EventSourceMappingArn": made["EventSourceMappingArn"]}

    def update_mapping(
        self, physical_id: str, old: Properties, new: Properties, stack: str, logical_id: str | None = None
    ) -> Made:
        """Change a mapping, or replace it if its source is another or it is gone."""
        fixed = ("EventSourceArn", "StartingPosition", "StartingPositionTimestamp")
        gone = self._api.functions.mappings.get(physical_id) is None
        if gone or any(new.get(key) != old.get(key) for key in fixed):
            return self._replaced(self.create_mapping, self.delete_mapping, physical_id, old, new, stack, logical_id)
        asked = self._asked("UpdateEventSourceMapping", _without(new, {*fixed, "Tags"}))
        made = self._do("UpdateEventSourceMapping", {**asked, "UUID": physical_id})
        return physical_id, {"Id": physical_id, "EventSourceMappingArn": made["EventSourceMappingArn"]}

    def delete_mapping(self, physical_id: str, _: Properties) -> None:
        """Delete a mapping, if it is still there."""
        self._undo("DeleteEventSourceMapping", {"UUID": physical_id})

    def create_invoke_config(self, _: str, properties: Properties, __: str) -> Made:
        """Set what happens to asynchronous invocations."""
        made = self._do("PutFunctionEventInvokeConfig", self._asked("PutFunctionEventInvokeConfig", properties))
        return made["FunctionArn"], {}

    def update_invoke_config(
        self, physical_id: str, old: Properties, new: Properties, stack: str, logical_id: str | None = None
    ) -> Made:
        """Set it again, and take it away from the old place."""
        make, remove = self.create_invoke_config, self.delete_invoke_config
        return self._replaced(make, remove, physical_id, old, new, stack, logical_id)

    def delete_invoke_config(self, physical_id: str, _: Properties) -> None:
        """Go back to Lambda's own, if anything is still set."""
        self._undo("DeleteFunctionEventInvokeConfig", {"FunctionName": physical_id})

    # Layers

    def create_layer(self, logical_id: str, properties: Properties, stack: str) -> Made:
        """Publish a version of a layer."""
        name = properties.get("LayerName") or _physical_name(stack, logical_id, 64, seeded=False)
        made = self._do("PublishLayerVersion", {**self._asked("PublishLayerVersion", properties), "LayerName": name})
        return made["LayerVersionArn"], {"LayerVersionArn": made["LayerVersionArn"]}

    def delete_layer(self, physical_id: str, _: Properties) -> None:
        """Delete a version of a layer, if it is still there."""
        layer, number = physical_id.rsplit(":", 1)
        self._undo("DeleteLayerVersion", {"LayerName": layer, "VersionNumber": int(number)})

    def create_layer_permission(self, logical_id: str, properties: Properties, stack: str) -> Made:
        """Add a statement to a layer's policy."""
        arn = properties.get("LayerVersionArn", "")
        statement_id = f"{stack}-{logical_id}-{_suffix()}"[-100:]
        asked = self._asked("AddLayerVersionPermission", _without(properties, {"LayerVersionArn"}))
        self._do("AddLayerVersionPermission", {**asked, **_layer(arn), "StatementId": statement_id})
        return f"{arn}#{statement_id}", {"Id": f"{arn}#{statement_id}"}

    def delete_layer_permission(self, physical_id: str, _: Properties) -> None:
        """Remove it, if it is still there."""
        arn, statement_id = physical_id.rsplit("#", 1)
        self._undo("RemoveLayerVersionPermission", {**_layer(arn), "StatementId": statement_id})

    # What is not there

    def create_url(self, _: str, properties: Properties, __: str) -> Made:
        """Refuse by name."""
        raise Failed(str(_refusal_of(self._api, "CreateFunctionUrlConfig", properties)))

    def update_url(self, *_: Any) -> Made:
        """Refuse by name."""
        raise Failed(str(_refusal_of(self._api, "UpdateFunctionUrlConfig", {})))

    def delete_url(self, *_: Any) -> None:
        """Do nothing: there is none."""

    # Calls

    def _asked(self, operation: str, properties: Properties) -> dict[str, Any]:
        """Return a resource's properties as an operation takes them.

        Raises:
            Failed: the operation has no such parameter.
        """
        known = model.members(operation)
        for name in properties:
            if name not in known:
                raise Failed(f"Greenroom's embedded AWS does not know the property {name} of this resource")
        return {name: _as_typed(known[name], value) for name, value in properties.items()}

    def _do(self, operation: str, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            return self._api.call(operation, parameters).result or {}
        except LambdaError as error:
            raise Failed(
                f'Resource handler returned message: "{error.message}" (Service: Lambda, Status Code: {error.status})'
            ) from error

    def _undo(self, operation: str, parameters: Mapping[str, Any]) -> None:
        try:
            self._api.call(operation, parameters)
        except LambdaError as error:
            if error.code != "ResourceNotFoundException":
                raise Failed(
                    f'Resource handler returned message: "{error.message}" '
                    f"(Service: Lambda, Status Code: {error.status})"
                ) from error

    def _replaced(  # noqa: PLR0913 -- what CloudFormation gives an update, and how to make and to remove
        self,
        make: Callable[[str, Properties, str], Made],
        remove: Callable[[str, Properties], None],
        physical_id: str,
        old: Properties,
        new: Properties,
        stack: str,
        logical_id: str | None,
    ) -> Made:
        """Make a resource in place of another, which goes when the stack cleans up."""
        from ministack.services.cloudformation.provisioners import _delete_predecessor

        make, remove = self._creates.get(make.__name__, make), self._deletes.get(remove.__name__, remove)
        made = make(logical_id or physical_id, new, stack)
        if made[0] != physical_id:
            _delete_predecessor(remove, physical_id, old)
        return made


class _Found:
    """Functions as ministack's drift detection, imports and Resource Groups Tagging read and tag them."""

    def __init__(self, api: LambdaApi) -> None:
        self._functions = api.functions
        self._api = api

    def properties(self, physical_id: str, _: Properties) -> dict[str, Any] | None:
        """Return a function's properties as a template names them, None if it is not there."""
        entry = self._functions.entries.get(physical_id)
        if entry is None:
            return None
        config = self._functions.record(physical_id)["Configuration"]
        names = ("FunctionName", "Runtime", "Handler", "Role", "Timeout", "MemorySize", "Description")
        more = ("Architectures", "PackageType", "Environment", "EphemeralStorage", "TracingConfig")
        return {"Tags": entry["Tags"], **{name: config[name] for name in (*names, *more) if name in config}}

    def import_problem(self, name: str) -> str | None:
        """Return why a function can't be imported, None if it can."""
        if self._functions.entries.get(name) is None:
            return f"Function not found: {self._functions.home.function_arn(name)} (Service: Lambda, Status Code: 404)"
        return None

    def tags(self) -> Iterator[tuple[str, list[dict[str, str]]]]:
        """Return the ARN and the tags of each function."""
        for name, entry in self._functions.entries.items():
            yield (
                self._functions.home.function_arn(name),
                [{"Key": key, "Value": value} for key, value in entry["Tags"].items()],
            )

    def write_tags(self, _: Any, arn: str, tags: Mapping[str, str]) -> None:
        """Add tags."""
        self._call("TagResource", arn, Tags=dict(tags))

    def remove_tags(self, _: Any, arn: str, keys: list[str]) -> None:
        """Remove tags."""
        self._call("UntagResource", arn, TagKeys=list(keys))

    def policy(self, arn: str) -> tuple[dict[str, Any], str] | None:
        """Return the policy that IAM asks for besides the caller's, and the account; None if there is no function."""
        home = self._functions.home
        try:
            name, qualifier = split_reference(home, arn)
        except LambdaError:
            return None
        if self._functions.entries.get(name) is None:
            return None
        policy = self._functions.policy(name, qualifier)
        return policy or {"Version": "2012-10-17", "Statement": []}, home.account

    def _call(self, operation: str, arn: str, **parameters: Any) -> None:
        from ministack.services.tagging import _ResourceNotFound

        try:
            self._api.call(operation, {"Resource": arn, **parameters})
        except LambdaError as error:
            raise _ResourceNotFound(arn) from error


def _handler(
    create: Callable[..., Made], update: Callable[..., Made] | None, delete: Callable[[str, Properties], None]
) -> dict[str, Any]:
    return {"create": create, "update": update, "update_with_logical_id": True, "delete": delete}


def _replaced_only(handler: dict[str, Any]) -> dict[str, Any]:
    """Return the handlers of a type that is never changed: ministack makes another one for that."""
    return {name: handler[name] for name in ("create", "delete")}


def _key(stack: str, logical_id: str, properties: Properties) -> str:
    """Return what names a resource of one life of a stack as it was asked for."""
    from ministack.services.cloudformation import _stacks

    stack_id = (_stacks.get(stack) or {}).get("StackId", stack)
    asked = hashlib.sha256(json.dumps(properties, sort_keys=True, default=str).encode()).hexdigest()
    return f"{stack_id}/{logical_id}/{asked[:16]}"


def _refusal_of(api: LambdaApi, operation: str, properties: Properties) -> LambdaError:
    try:
        api.call(operation, properties)
    except LambdaError as error:
        return error
    raise AssertionError(f"{operation} is served")


def _refuse(properties: Properties, name: str, reason: str) -> None:
    if properties.get(name):
        raise Failed(f"Greenroom's embedded AWS: {reason}; leave {name} out")


def _without(properties: Properties, names: frozenset[str] | set[str]) -> dict[str, Any]:
    return {name: value for name, value in properties.items() if name not in names}


def _code(properties: Properties) -> dict[str, Any]:
    """Return a function's code as the API takes it: a template's ZipFile is source, which CloudFormation packs."""
    code = dict(properties.get("Code") or {})
    if "ZipFile" in code:
        suffix = "js" if str(properties.get("Runtime", "")).startswith("nodejs") else "py"
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
            # A date of its own, so that the same source is the same ZIP.
            archive.writestr(zipfile.ZipInfo(f"index.{suffix}"), code["ZipFile"])
        code["ZipFile"] = content.getvalue()
    return code


def _tags(properties: Properties) -> dict[str, str]:
    given = properties.get("Tags") or []
    if isinstance(given, Mapping):
        return {str(key): str(value) for key, value in given.items()}
    return {str(tag["Key"]): str(tag.get("Value", "")) for tag in given}


def _with_weights(properties: Properties) -> dict[str, Any]:
    """Return an alias's properties with its weights as the API takes them."""
    found = dict(properties)
    routing = found.get("RoutingConfig")
    weights = routing.get("AdditionalVersionWeights") if routing else None
    if isinstance(weights, list):
        by_version = {str(each["FunctionVersion"]): each["FunctionWeight"] for each in weights}
        found["RoutingConfig"] = {"AdditionalVersionWeights": by_version}
    return found


def _layer(arn: str) -> dict[str, Any]:
    layer, _, number = arn.rpartition(":")
    if not number.isdigit():
        raise Failed(f"LayerVersionArn is not a layer version's ARN: {arn}")
    return {"LayerName": layer, "VersionNumber": int(number)}


def _as_typed(shape: Shape, value: Any) -> Any:
    """Return a property in the type of a parameter: templates write numbers and booleans as text as well."""
    if isinstance(shape, StructureShape) and isinstance(value, Mapping):
        return {
            name: _as_typed(shape.members[name], each) if name in shape.members else each
            for name, each in value.items()
        }
    if isinstance(shape, ListShape) and isinstance(value, list):
        return [_as_typed(shape.member, each) for each in value]
    if isinstance(shape, MapShape) and isinstance(value, Mapping):
        return {str(key): _as_typed(shape.value, each) for key, each in value.items()}
    return _scalar(shape.type_name, value)


def _scalar(kind: str, value: Any) -> Any:
    try:
        if kind in ("integer", "long") and isinstance(value, str | float):
            return int(value)
        if kind in ("double", "float") and isinstance(value, str | int):
            return float(value)
    except ValueError as error:
        raise Failed(f"{value!r} is not a number") from error
    if kind == "boolean" and isinstance(value, str):
        return value.lower() == "true"
    if kind == "string" and isinstance(value, bool):
        return str(value).lower()
    return str(value) if kind == "string" and isinstance(value, int | float) else value


def _physical_name(stack: str, logical_id: str, most: int, *, seeded: bool = True) -> str:
    from ministack.services.cloudformation.provisioners import _physical_name

    return str(_physical_name(stack, logical_id, max_len=most, seeded=seeded))


def _suffix() -> str:
    from ministack.core.responses import new_uuid

    return str(new_uuid())[:8]

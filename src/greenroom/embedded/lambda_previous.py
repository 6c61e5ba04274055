"""Lambda's records of the release before the store: `state/lambda.json` and its blobs, as ministack wrote them.

They are read once, before Lambda begins. Unread records of DynamoDB streams, which that release kept in the same file,
go back to their tables.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from greenroom.lambda_api.code import CodeFiles, unzipped_bytes
from greenroom.lambda_api.functions import content_of
from greenroom.lambda_api.names import LATEST, Home
from greenroom.lambda_api.operations.layers import extensions_of
from greenroom.store import Store

logger = logging.getLogger(__name__)

State = Mapping[str, Any]

KEPT = (
    "Runtime",
    "Role",
    "Handler",
    "Description",
    "Timeout",
    "MemorySize",
    "LastModified",
    "Architectures",
    "TracingConfig",
    "EphemeralStorage",
    "LoggingConfig",
    "DeadLetterConfig",
    "Environment",
)
"""Members of a configuration that are as they were. The others are made from what is kept."""

MAPPING_KEPT = (
    "UUID",
    "EventSourceArn",
    "FunctionArn",
    "BatchSize",
    "MaximumBatchingWindowInSeconds",
    "FunctionResponseTypes",
    "FilterCriteria",
    "ScalingConfig",
    "StartingPosition",
    "ParallelizationFactor",
    "MaximumRetryAttempts",
    "MaximumRecordAgeInSeconds",
    "BisectBatchOnFunctionError",
    "DestinationConfig",
    "LastModified",
)

STREAM_DEFAULTS = {
    "ParallelizationFactor": 1,
    "MaximumRetryAttempts": -1,
    "MaximumRecordAgeInSeconds": -1,
    "BisectBatchOnFunctionError": False,
    "TumblingWindowInSeconds": 0,
    "DestinationConfig": {"OnFailure": {}},
    "LastProcessingResult": "No records processed",
}
"""https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html"""


def migrate(store: Store, data_dir: Path, home: Home) -> None:
    """Move the records into the store, if there are any and the store has none."""
    state = _read(data_dir)
    if state is None or len(store.table("lambda.functions")) or len(store.table("lambda.layer-versions")):
        return
    code = CodeFiles(data_dir / "code")
    previous = _Previous(store, code, home, data_dir / "state" / "lambda-blobs")
    with store.transaction():
        for name, layer in _of(state, "layers", home):
            previous.layer(name, layer)
        for name, function in _of(state, "functions", home):
            previous.function(name, function)
        for identifier, mapping in _of(state, "esms", home):
            previous.mapping(identifier, mapping, state)
    store.barrier()


def restore_streams(state: State) -> None:
    """Give tables the records of their streams that nobody has read yet."""
    from ministack.services import dynamodb

    streams = state.get("greenroom_streams")
    if streams:
        dynamodb._stream_records.update(streams["records"])
        dynamodb._stream_trimmed.update(streams["trimmed"])


class _Previous:
    def __init__(self, store: Store, code: CodeFiles, home: Home, blobs: Path) -> None:
        self._store, self._code, self._home, self._blobs = store, code, home, blobs

    def layer(self, name: str, layer: State) -> None:
        for version in layer["versions"]:
            content = version.get("_zip_data")
            if version.get("_deleted") or not content:
                continue
            key = f"{name}:{version['Version']}"
            record = {
                "LayerName": name,
                **{member: version[member] for member in ("Version", "Description", "CreatedDate")},
                **{
                    member: version[member]
                    for member in ("CompatibleRuntimes", "CompatibleArchitectures", "LicenseInfo")
                    if version.get(member)
                },
                "Content": {
                    "CodeSha256": self._code.put(content),
                    "CodeSize": len(content),
                    "UnzippedSize": unzipped_bytes(content),
                },
                "Extensions": extensions_of(content),
            }
            self._store.table("lambda.layer-versions").put(key, record)
            self._policy("lambda.layer-policies", key, version.get("_policy"))
        self._store.table("lambda.layer-counters").put(name, {"Last": layer["next_version"] - 1})

    def function(self, name: str, function: State) -> None:
        versions = {LATEST: function, **function.get("versions", {})}
        latest: dict[str, Any] | None = None
        for version, record in versions.items():
            config = self._configuration(name, version, record)
            if config is None:
                logger.error(
                    "version %s of %s has no code in the data of the previous release: left out", version, name
                )
                continue
            written = {
                "Configuration": config,
                "Incarnation": str(uuid.uuid4()),
                "RevisionId": record["config"].get("RevisionId") or str(uuid.uuid4()),
            }
            if version != LATEST:
                # A version of what $LATEST is now is the version that publishing it gives.
                is_current = record.get("function_revision") == function["config"].get("RevisionId")
                written["Content"] = content_of(latest if is_current and latest else config)
            else:
                latest = config
            self._store.table("lambda.versions").put(f"{name}:{version}", written)
        entry = {
            "NextVersion": function.get("next_version", 1),
            "Tags": dict(function.get("tags") or {}),
            "ReservedConcurrentExecutions": function.get("concurrency"),
        }
        self._store.table("lambda.functions").put(name, entry)
        self._settings(name, function)

    def _settings(self, name: str, function: State) -> None:
        for alias, record in (function.get("aliases") or {}).items():
            kept = {key: value for key, value in record.items() if key != "AliasArn"}
            self._store.table("lambda.aliases").put(f"{name}:{alias}", kept)
        statements: dict[str, list[Any]] = {}
        for statement in (function.get("policy") or {}).get("Statement") or ():
            qualifier = statement["Resource"].partition(f":function:{name}:")[2] or LATEST
            statements.setdefault(qualifier, []).append(statement)
        for qualifier, found in statements.items():
            self._policy("lambda.policies", f"{name}:{qualifier}", {"Statement": found})
        for qualifier, config in (function.get("event_invoke_configs") or {}).items():
            kept = {key: value for key, value in config.items() if key != "FunctionArn"}
            self._store.table("lambda.invoke-configs").put(f"{name}:{qualifier or LATEST}", kept)

    def mapping(self, identifier: str, mapping: State, state: State) -> None:
        kept = {member: mapping[member] for member in MAPPING_KEPT if mapping.get(member) is not None}
        is_stream = ":dynamodb:" in mapping["EventSourceArn"]
        record = {
            **(STREAM_DEFAULTS if is_stream else {}),
            **kept,
            "Name": mapping["FunctionName"],
            "State": "Enabled" if mapping.get("Enabled", True) else "Disabled",
            "StateTransitionReason": "User action" if is_stream else "USER_INITIATED",
            "ChangedAt": 0.0,
            "Tags": dict(mapping.get("Tags") or {}),
        }
        self._store.table("lambda.mappings").put(identifier, record)
        if is_stream:
            self._store.table("lambda.positions").put(identifier, {"after": self._position(identifier, mapping, state)})

    def _position(self, identifier: str, mapping: State, state: State) -> str:
        """Return the sequence number of the last record that was read: positions counted records."""
        table = mapping["EventSourceArn"].split("/")[1]
        streams = state.get("greenroom_streams") or {}
        records = dict(_of(streams, "records", self._home)).get(table, [])
        begin = dict(_of(streams, "trimmed", self._home)).get(table, 0)
        read = dict(_of(state, "dynamodb_stream_positions", self._home)).get(identifier, begin) - begin
        return str(records[read - 1]["dynamodb"]["SequenceNumber"]) if 0 < read <= len(records) else ""

    def _configuration(self, name: str, version: str, record: State) -> dict[str, Any] | None:
        config, content = record["config"], self._content(record.get("code_zip"))
        if content is None:
            return None
        found = {member: config[member] for member in KEPT if config.get(member)}
        found |= {
            "FunctionName": name,
            "FunctionArn": self._home.function_arn(name),
            "Version": version,
            "Description": config.get("Description") or "",
            "PackageType": "Zip",
            "CodeSha256": self._code.put(content),
            "CodeSize": len(content),
        }
        layers = [self._attached(layer["Arn"]) for layer in config.get("Layers") or ()]
        if layers:
            found["Layers"] = [layer for layer in layers if layer is not None]
        return found

    def _attached(self, arn: str) -> dict[str, Any] | None:
        record = self._store.table("lambda.layer-versions").get(":".join(arn.split(":")[6:]))
        if record is None:
            logger.error("layer %s is not in the data of the previous release: left out", arn)
            return None
        return {"Arn": arn, **record["Content"], "Extensions": record["Extensions"]}

    def _content(self, code: Any) -> bytes | None:
        if isinstance(code, Mapping):
            path = self._blobs / f"{code['code_blob_ref']}.zip"
            return path.read_bytes() if path.exists() else None
        return code or None

    def _policy(self, table: str, key: str, policy: State | None) -> None:
        if policy and policy.get("Statement"):
            record = {"Statement": policy["Statement"], "RevisionId": str(uuid.uuid4())}
            self._store.table(table).put(key, record)


def _read(data_dir: Path) -> State | None:
    """Return what ministack wrote, decoded by its own code."""
    if not (data_dir / "state" / "lambda.json").exists():
        return None
    from ministack.core import persistence

    before = persistence.PERSIST_STATE, persistence.STATE_DIR
    persistence.PERSIST_STATE, persistence.STATE_DIR = True, str(data_dir / "state")
    try:
        found: State | None = persistence.load_state("lambda")
    finally:
        persistence.PERSIST_STATE, persistence.STATE_DIR = before
    return found


def _of(state: State, kind: str, home: Home) -> Iterator[tuple[str, Any]]:
    """Yield what one of ministack's dictionaries has for this account and region."""
    held = state.get(kind)
    for (account, region, name), value in held.all_items() if held is not None else ():
        if (account, region) == (home.account, home.region):
            yield name, value

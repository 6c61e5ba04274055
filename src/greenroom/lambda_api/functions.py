"""The durable records of functions, their versions and aliases, and how a reference leads to one of them.

A record is a dictionary that is never changed in place: who changes something puts a new one. Reading needs no lock;
who changes something does it in `changing()`, alone and all or nothing.

The time in which AWS reports `Pending` or `InProgress` is in the record (`Changing`), as the moment at which it is
over. So nothing has to be woken up to end it, and a kill in between leaves nothing half done.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from operator import itemgetter
from typing import Any

from greenroom.engine import LayerCode
from greenroom.lambda_api.code import CodeFiles, sha256_of
from greenroom.lambda_api.errors import conflict, function_not_found
from greenroom.lambda_api.names import LATEST, Home, is_version, split_reference
from greenroom.store import Store, Table

CHANGE_S = 0.02
"""How long a function is Pending after a change. On AWS it is a second or more: this is short because it only costs
time, and not nothing, so that code which does not wait is found out here too."""

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Target:
    """The target of a reference: one version of a function, by an alias or not.

    `qualifier` is what was asked for, None for the function itself. `incarnation` changes with every change of what an
    execution environment is made from, and with nothing else.
    """

    name: str
    arn: str
    qualifier: str | None
    version: str
    config: Mapping[str, Any]
    alias: Mapping[str, Any] | None
    incarnation: str

    @property
    def invoked_arn(self) -> str:
        """Return the ARN that the function sees itself invoked by."""
        return f"{self.arn}:{self.qualifier}" if self.qualifier else self.arn


class Records:
    """A table's records, decoded once: whoever gets one must not change it.

    Keys are `NAME` or `NAME:PART`; those of one name lie together.
    """

    def __init__(self, table: Table) -> None:
        self._table = table
        self._held: dict[str, dict[str, Record]] = {}
        self.reload()

    def get(self, key: str) -> Record | None:
        """Return a record, or None."""
        return self._held.get(_name(key), _NONE).get(key)

    def put(self, key: str, record: Record) -> None:
        """Write a record."""
        self._table.put(key, dict(record))
        self._held.setdefault(_name(key), {})[key] = record

    def delete(self, key: str) -> None:
        """Delete a record, if there is one."""
        self._table.delete(key)
        self._held.get(_name(key), {}).pop(key, None)

    def of(self, name: str) -> list[tuple[str, Record]]:
        """Return the records of a name by key, as they are at one moment."""
        return sorted(self._held.get(name, _NONE).copy().items(), key=itemgetter(0))

    def items(self) -> list[tuple[str, Record]]:
        """Return all records by key, as they are at one moment."""
        return sorted((item for name in list(self._held) for item in self.of(name)), key=itemgetter(0))

    def values(self) -> list[Record]:
        """Return the same without the keys."""
        return [record for _, record in self.items()]

    def reload(self) -> None:
        """Read the table again, after a transaction that was taken back."""
        held: dict[str, dict[str, Record]] = {}
        for key, record in self._table.items():
            held.setdefault(_name(key), {})[key] = record
        self._held = held


_NONE: dict[str, Record] = {}


def _name(key: str) -> str:
    return key.partition(":")[0]


class Functions:
    """All functions of the account.

    Args:
        store: where the records are.
        code: the folder of ZIP files.
        home: the account and region.
    """

    def __init__(self, store: Store, code: CodeFiles, home: Home) -> None:
        self.home = home
        self.code_files = code
        self.entries = Records(store.table("lambda.functions"))
        self.versions = Records(store.table("lambda.versions"))
        self.aliases = Records(store.table("lambda.aliases"))
        self.policies = Records(store.table("lambda.policies"))
        self.invoke_configs = Records(store.table("lambda.invoke-configs"))
        self.layer_versions = Records(store.table("lambda.layer-versions"))
        self.layer_counters = Records(store.table("lambda.layer-counters"))
        self.layer_policies = Records(store.table("lambda.layer-policies"))
        self.mappings = store.table("lambda.mappings")
        """Those of event sources, which `invoke` owns: here only their tags are read and written."""
        self.when_deleted: list[Callable[[str], None]] = []
        """Called with the name of a function that was deleted."""
        self.reserved_by_all = 0
        """How much concurrency all functions together reserve."""
        self._store = store
        self._lock = threading.RLock()
        self._unused: set[str] = set()
        self._uses: Counter[str] = Counter()
        self._count()
        code.keep_only(set(self._uses))

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Change records: alone, and all of them or none."""
        with self._lock:
            self._remove_unused_code()
            try:
                with self._store.transaction():
                    yield
            except BaseException:
                for records in self._records():
                    records.reload()
                self._count()
                raise

    def _records(self) -> tuple[Records, ...]:
        return (
            self.entries,
            self.versions,
            self.aliases,
            self.policies,
            self.invoke_configs,
            self.layer_versions,
            self.layer_counters,
            self.layer_policies,
        )

    # Reading

    def resolve(self, reference: str, qualifier: str | None = None) -> Target:
        """Return the version that a name or ARN, and a qualifier, lead to.

        Raises:
            LambdaError: ResourceNotFoundException, in AWS's words.
        """
        name, qualifier = split_reference(self.home, reference, qualifier)
        return self.target(name, qualifier)

    def invoked(self, reference: str, qualifier: str | None = None) -> Target:
        """Return the version that an invocation is for: AWS names $LATEST where that can't be found."""
        name, qualifier = split_reference(self.home, reference, qualifier)
        if qualifier is None and self.entries.get(name) is None:
            raise function_not_found(self.home.function_arn(name, LATEST))
        return self.target(name, qualifier)

    def target(self, name: str, qualifier: str | None = None) -> Target:
        """Return the version that a function's name and a qualifier lead to."""
        alias = None
        version = qualifier or LATEST
        if qualifier and not is_version(qualifier):
            alias = self.aliases.get(f"{name}:{qualifier}")
            version = alias["FunctionVersion"] if alias else ""
        record = self.versions.get(f"{name}:{version}")
        if record is None:
            raise function_not_found(self.home.function_arn(name, qualifier))
        return Target(
            name=name,
            arn=self.home.function_arn(name),
            qualifier=qualifier,
            version=version,
            config=record["Configuration"],
            alias=alias,
            incarnation=record["Incarnation"],
        )

    def record(self, name: str, version: str = LATEST) -> Record:
        """Return the record of a version."""
        record = self.versions.get(f"{name}:{version}")
        if record is None:
            raise function_not_found(self.home.function_arn(name, None if version == LATEST else version))
        return record

    def function(self, name: str) -> Record:
        """Return the record of a function, which all its versions share."""
        record = self.entries.get(name)
        if record is None:
            raise function_not_found(self.home.function_arn(name))
        return record

    def versions_of(self, name: str) -> list[Record]:
        """Return the records of a function's versions: $LATEST, then by number."""
        records = [record for _, record in self.versions.of(name)]
        return sorted(records, key=lambda record: _order(record["Configuration"]["Version"]))

    def aliases_of(self, name: str) -> list[Record]:
        """Return the records of a function's aliases, by name."""
        return [record for _, record in self.aliases.of(name)]

    def code(self, config: Mapping[str, Any]) -> bytes:
        """Return the ZIP of a version."""
        return self.code_files.get(config["CodeSha256"])

    def layers(self, config: Mapping[str, Any]) -> list[LayerCode]:
        """Return the ZIP files of a version's layers, in its order."""
        return [
            LayerCode(layer["Arn"], self.code_files.get(layer["CodeSha256"])) for layer in config.get("Layers") or ()
        ]

    def reserved_concurrency(self, name: str) -> int | None:
        """Return how many of a function may run at once, if that is set."""
        record = self.entries.get(name)
        reserved: int | None = record.get("ReservedConcurrentExecutions") if record else None
        return reserved

    def event_invoke_config(self, name: str, qualifier: str | None = None) -> Mapping[str, Any] | None:
        """Return what is set for asynchronous invocations by this qualifier ($LATEST without one)."""
        return self.invoke_configs.get(f"{name}:{qualifier or LATEST}")

    def policy(self, name: str, qualifier: str | None = None) -> dict[str, Any] | None:
        """Return the policy of a function, or of one of its versions or aliases, as a document."""
        record = self.policies.get(f"{name}:{qualifier or LATEST}")
        if record is None:
            return None
        return {"Version": "2012-10-17", "Id": "default", "Statement": record["Statement"]}

    # Changing

    def require_settled(self, name: str, version: str = LATEST) -> Record:
        """Return the record of a version, or raise AWS's answer while an earlier change is under way."""
        record = self.record(name, version)
        if is_changing(record):
            raise conflict(
                "The operation cannot be performed at this time. An update is in progress for resource: "
                f"{self.home.function_arn(name)}"
            )
        return record

    def put_entry(self, name: str, **members: Any) -> None:
        """Change members of the record of a function."""
        self.entries.put(name, {**self.function(name), **members})
        self._sum_reserved()

    def put_version(self, record: Record) -> None:
        """Write the record of a version."""
        config = record["Configuration"]
        key = f"{config['FunctionName']}:{config['Version']}"
        self._put_counted(self.versions, key, record)

    def change(self, config: Mapping[str, Any]) -> Record:
        """Give $LATEST another configuration; it is InProgress for a moment."""
        record = {
            "Configuration": dict(config),
            "Incarnation": str(uuid.uuid4()),
            **_change("InProgress"),
        }
        self.put_version(record)
        return record

    def settle(self, name: str, version: str = LATEST) -> None:
        """End a change at once, for a caller who would only wait for it."""
        with self.changing():
            record = {key: value for key, value in self.record(name, version).items() if key != "Changing"}
            self.put_version(record)

    def create(self, config: Mapping[str, Any], tags: Mapping[str, str]) -> Record:
        """Write a new function; it is Pending for a moment."""
        record = {"Configuration": dict(config), "Incarnation": str(uuid.uuid4()), **_change("Pending")}
        self.entries.put(config["FunctionName"], {"NextVersion": 1, "Tags": dict(tags), "CreatedAt": time.time()})
        self.put_version(record)
        return record

    def revise(self, name: str, version: str = LATEST) -> None:
        """Give a version another RevisionId, because something around it has changed."""
        self.put_version({**self.record(name, version), "RevisionId": str(uuid.uuid4())})

    def publish(self, name: str, description: str | None, *, pending: bool = False) -> Record:
        """Make a version of $LATEST and return its record: the last version's, if nothing has changed since.

        Args:
            name: the function's.
            description: the version's own, in place of $LATEST's.
            pending: $LATEST is changing, and the version becomes active with it.
        """
        latest, function = self.record(name), self.function(name)
        content = content_of(latest["Configuration"])
        last = self.versions.get(f"{name}:{function['NextVersion'] - 1}")
        if last is not None and last["Content"] == content:
            return last
        number = function["NextVersion"]
        config = {**latest["Configuration"], "Version": str(number), "LastModified": now_iso()}
        if description is not None:
            config["Description"] = description
        record = {
            "Configuration": config,
            "Incarnation": str(uuid.uuid4()),
            "RevisionId": str(uuid.uuid4()),
            "Content": content,
        }
        if pending:
            record["Changing"] = {**latest["Changing"], "State": "Pending", "RevisionId": str(uuid.uuid4())}
        self.put_version(record)
        self.put_entry(name, NextVersion=number + 1)
        self.revise(name)
        return record

    def delete_version(self, name: str, version: str) -> None:
        """Remove one version, and what belongs to it alone."""
        for table in (self.policies, self.invoke_configs):
            table.delete(f"{name}:{version}")
        self._delete_counted(self.versions, f"{name}:{version}")

    def delete(self, name: str) -> None:
        """Remove a function with all that belongs to it."""
        for key in [key for key, _ in self.versions.of(name)]:
            self._delete_counted(self.versions, key)
        for table in (self.aliases, self.policies, self.invoke_configs):
            for key in [key for key, _ in table.of(name)]:
                table.delete(key)
        self.entries.delete(name)
        self._sum_reserved()

    def put_layer(self, key: str, record: Record) -> None:
        """Write the record of a version of a layer."""
        self._put_counted(self.layer_versions, key, record)

    def delete_layer(self, key: str) -> None:
        """Remove a version of a layer with its policy; functions that have it keep its code."""
        self.layer_policies.delete(key)
        self._delete_counted(self.layer_versions, key)

    def missing_code(self) -> list[str]:
        """Return the SHA-256 (base64) of each ZIP that a record names and that is not there."""
        return sorted(sha for sha in self._uses if not self.code_files.has(sha))

    # Code: a file goes when the last record that names it is gone, from the disk as well.

    def keep_code(self, content: bytes) -> str:
        """Keep a ZIP and return its SHA-256 in base64. A record has to name it soon."""
        with self._lock:
            self._unused.discard(sha256_of(content))
        return self.code_files.put(content)

    def _put_counted(self, table: Records, key: str, record: Record) -> None:
        self._uses.update(_shas(record))
        self._uncount(table.get(key))
        table.put(key, record)

    def _delete_counted(self, table: Records, key: str) -> None:
        self._uncount(table.get(key))
        table.delete(key)

    def _uncount(self, record: Record | None) -> None:
        for sha in _shas(record) if record else ():
            self._uses[sha] -= 1
            if self._uses[sha] <= 0:
                del self._uses[sha]
                self._unused.add(sha)

    def _remove_unused_code(self) -> None:
        if self._unused and self._store.is_durable:
            for sha in self._unused - self._uses.keys():
                self.code_files.remove(sha)
            self._unused.clear()

    def _count(self) -> None:
        tables = (self.versions, self.layer_versions)
        self._uses = Counter(sha for table in tables for record in table.values() for sha in _shas(record))
        self._sum_reserved()

    def _sum_reserved(self) -> None:
        self.reserved_by_all = sum(entry.get("ReservedConcurrentExecutions") or 0 for entry in self.entries.values())


def _shas(record: Record) -> list[str]:
    """Return the ZIP files that a version of a function or of a layer needs."""
    config = record.get("Configuration")
    if config is None:
        return [record["Content"]["CodeSha256"]]
    return [config["CodeSha256"], *(layer["CodeSha256"] for layer in config.get("Layers") or ())]


def is_changing(record: Record, now: float | None = None) -> bool:
    """Return whether a version is still Pending or InProgress."""
    changing = record.get("Changing")
    if changing is None:
        return False
    left_s: float = changing["Until"] - (time.time() if now is None else now)
    # A clock that was put back does not keep a function Pending.
    return 0 < left_s <= CHANGE_S


def revision_id(record: Record) -> str:
    """Return a version's RevisionId, which changes when a change is over as well."""
    return str(record["Changing"]["RevisionId"] if is_changing(record) else record["RevisionId"])


def content_of(config: Mapping[str, Any]) -> str:
    """Return a digest of all that makes one version differ from another."""
    relevant = {key: value for key, value in config.items() if key not in ("Version", "LastModified")}
    return sha256(json.dumps(relevant, sort_keys=True).encode()).hexdigest()


def versions_of_alias(alias: Record) -> set[str]:
    """Return the versions that an alias leads to: one, or two by weight."""
    return {alias["FunctionVersion"], *(alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights", ())}


def now_iso() -> str:
    """Return the time as Lambda writes it."""
    now = time.time()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now * 1_000) % 1_000:03d}+0000"


def _change(state: str) -> dict[str, Any]:
    return {
        "RevisionId": str(uuid.uuid4()),
        "Changing": {"Until": time.time() + CHANGE_S, "State": state, "RevisionId": str(uuid.uuid4())},
    }


def _order(version: str) -> int:
    return -1 if version == LATEST else int(version)

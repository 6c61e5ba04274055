"""The registry: releases, algorithms and locks in one DynamoDB table.

Items (`pk`, `sk`):

* `RELEASE#<id>`, `META`: the release. Its `status` is what the stream is filtered by.
* `RELEASE#<id>`, `SUMMARY`: what the test found, as JSON. `RELEASE#<id>`, `PROGRESS#…`: how far a batch has come.
  Both apart from `META`, so that writing them wakes nobody up.
* `ALGORITHM#<name>`, `META`: the algorithm with its live release. `ALGORITHM#<name>`, `LOCK`: who may change it.

Indexes: `byOwner` (`ownerPk`, `ownerSk`) lists the releases of an algorithm and all algorithms; `inFlight`
(`inFlight`, `updatedAt`) holds only releases that have not ended. Everything that changes a status is conditional on
the status before. This module knows nothing of Lambda, S3 or Step Functions.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.types import TypeSerializer
from botocore.exceptions import ClientError

from greenroom.releases.model import Algorithm, LiveVersion, Release, StatusChange, WentLive, utc_now
from greenroom.releases.statuses import IN_FLIGHT, Status, can_change

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

LIVE_KEPT = 3
"""How many releases that were live are remembered, and their versions kept, beside the live one (DESIGN, section 6)."""

TREND_KEPT = 12
"""How many points an algorithm's trend has: enough to see a direction, and few enough to read 500 of at once."""

RELEASE_ROW = (
    *("releaseId", "status", "createdAt", "updatedAt", "fileName", "algorithm", "type", "reason", "packageSha256"),
    *("packageSizeBytes", "version", "memoryMb", "costUsdPerMillion", "author", "changedBy"),
)
"""What a list of releases has of each. It is read for 200 at once, and parsing it takes longer than finding it."""

ALGORITHM_ROW = (
    *("name", "type", "updatedAt", "latestReleaseId", "liveReleaseId", "live"),
    *("liveVersion", "liveBefore", "memoryMb", "costUsdPerMillion", "next", "timeout"),
)
"""All of an algorithm but what only finds it. What a live release brings is one text: 500 are read at once."""

MAX_BATCH_GET = 100
"""https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html"""

MAX_REASON_CHARS = 8_000
"""A reason is for people; DynamoDB's limit of 400 KB an item is for all of the release."""


class NotFound(LookupError):
    """There is no such release or algorithm."""


class Conflict(RuntimeError):
    """Somebody else changed the item first, or the change is not allowed from its present status."""


class LockHeld(RuntimeError):
    """Another release of the algorithm is being provisioned or tested."""

    def __init__(self, owner: str, expires_at: str) -> None:
        super().__init__(f"the lock is held by {owner} until {expires_at}")
        self.owner = owner
        self.expires_at = expires_at


@dataclass(frozen=True)
class Progress:
    """How far the test of one power value has come: invocations done, to do in all, and failed.

    `durations_ms` are those of the invocations that passed, in their order.
    """

    memory_mb: int
    done: int
    total: int
    failed: int
    durations_ms: tuple[float, ...] = ()


class Registry:
    """The registry in the DynamoDB table `table_name`, through `client`."""

    def __init__(self, client: DynamoDBClient, table_name: str) -> None:
        self._client = client
        self._table = table_name

    # Releases

    def create_release(self, release_id: str, file_name: str, *, author: str | None = None) -> Release:
        """Remember an upload that was allowed, and who asked for it. Raises Conflict if the id is taken."""
        now = utc_now()
        item: dict[str, Any] = {
            "pk": f"RELEASE#{release_id}",
            "sk": "META",
            "releaseId": release_id,
            "status": Status.UPLOADING.value,
            "fileName": file_name,
            "createdAt": now,
            "updatedAt": now,
            "inFlight": "IN_FLIGHT",
            "versions": {},
            "history": [{"status": Status.UPLOADING.value, "at": now} | ({"by": author} if author else {})],
            "author": author,
            "changedBy": author,
        }
        try:
            self._client.put_item(
                TableName=self._table, Item=_pack(item), ConditionExpression="attribute_not_exists(pk)"
            )
        except ClientError as error:
            raise _conflict(error, f"release {release_id} exists already") from error
        return _release(item)

    def release(self, release_id: str) -> Release:
        """Return a release, read consistently. Raises NotFound."""
        return _release(self._get(f"RELEASE#{release_id}", "META", f"release {release_id}"))

    def change_status(
        self,
        release_id: str,
        after: Status,
        *,
        before: Status,
        reason: str | None = None,
        values: Mapping[str, Any] | None = None,
    ) -> bool:
        """Take a release from status `before` to `after`, with further attribute `values` in the same write.

        Returns False if the release has `after` already: a message delivered twice. Raises Conflict if it has any other
        status than `before`, NotFound if there is no such release.
        """
        try:
            self._client.update_item(
                TableName=self._table,
                **_status_update(release_id, after, before=before, reason=reason, values=values),
            )
        except ClientError as error:
            if not _condition_failed(error):
                raise
            present = self.release(release_id).status
            if present is after:
                return False
            raise Conflict(f"release {release_id} is {present}, not {before}: it can't become {after}") from error
        return True

    def register(self, release_id: str, values: Mapping[str, Any]) -> bool:
        """Take a release whose package was read from UPLOADING to REGISTERED, and its algorithm with it.

        `values` are the release's attributes: algorithm, type, metadata, cases, caseInputs, costAtMostUsd,
        packageKey, packageSha256, packageSizeBytes. Returns False if it was registered before.
        """
        name = values["algorithm"]
        # The algorithm first: the status wakes up who asks for it, and whoever dies between the two is called again.
        # It remembers its newest upload; an older one that comes later changes nothing.
        try:
            self._client.update_item(
                TableName=self._table,
                Key=_pack({"pk": f"ALGORITHM#{name}", "sk": "META"}),
                UpdateExpression=(
                    "SET #name = :name, #type = if_not_exists(#type, :type), latestReleaseId = :id, updatedAt = :now, "
                    "ownerPk = :all, ownerSk = :name"
                ),
                ConditionExpression="attribute_not_exists(latestReleaseId) OR latestReleaseId < :id",
                ExpressionAttributeNames={"#name": "name", "#type": "type"},
                ExpressionAttributeValues=_pack(
                    {
                        ":name": name,
                        ":type": values["type"],
                        ":id": release_id,
                        ":now": utc_now(),
                        ":all": "ALGORITHMS",
                    }
                ),
            )
        except ClientError as error:
            if not _condition_failed(error):
                raise
        update = _status_update(
            release_id,
            Status.REGISTERED,
            before=Status.UPLOADING,
            values={**values, "ownerPk": f"ALGORITHM#{name}", "ownerSk": release_id},
        )
        try:
            self._client.update_item(TableName=self._table, **update)
        except ClientError as error:
            if not _condition_failed(error) or self.release(release_id).status is Status.UPLOADING:
                raise
            return False
        return True

    def record_version(self, release_id: str, memory_mb: int, version: str) -> None:
        """Remember which Lambda version is tested at the power value `memory_mb`."""
        self._client.update_item(
            TableName=self._table,
            Key=_pack({"pk": f"RELEASE#{release_id}", "sk": "META"}),
            UpdateExpression="SET versions.#memory = :version",
            ConditionExpression="attribute_exists(pk)",
            ExpressionAttributeNames={"#memory": str(memory_mb)},
            ExpressionAttributeValues=_pack({":version": version}),
        )

    def record_choice(
        self, release_id: str, *, version: str, memory_mb: int, cost_usd_per_million: float | None
    ) -> None:
        """Remember the version that the test chose, before it is promoted."""
        self._client.update_item(
            TableName=self._table,
            Key=_pack({"pk": f"RELEASE#{release_id}", "sk": "META"}),
            UpdateExpression="SET version = :version, memoryMb = :memory, costUsdPerMillion = :cost",
            ConditionExpression="attribute_exists(pk)",
            ExpressionAttributeValues=_pack({":version": version, ":memory": memory_mb, ":cost": cost_usd_per_million}),
        )

    def note(self, release_id: str, reason: str) -> None:
        """Say why a release's upload waits. Its status stays, and the next one takes the reason away.

        Raises Conflict if it is no longer UPLOADING.
        """
        try:
            self._client.update_item(
                TableName=self._table,
                Key=_pack({"pk": f"RELEASE#{release_id}", "sk": "META"}),
                UpdateExpression="SET #reason = :reason",
                ConditionExpression="#status = :uploading",
                ExpressionAttributeNames={"#reason": "reason", "#status": "status"},
                ExpressionAttributeValues=_pack({":reason": reason, ":uploading": Status.UPLOADING.value}),
            )
        except ClientError as error:
            raise _conflict(error, f"release {release_id} is not {Status.UPLOADING} any more") from error

    def count_repeat(self, release_id: str) -> int:
        """Count that the event of a release's upload is repeated, and return how often that has been."""
        return self._count(release_id, "repeats")

    def count_restart(self, release_id: str) -> int:
        """Count that a flow that works on a release is started anew, and return how often that has been."""
        return self._count(release_id, "restarts")

    def _count(self, release_id: str, counter: str) -> int:
        answer = self._client.update_item(
            TableName=self._table,
            Key=_pack({"pk": f"RELEASE#{release_id}", "sk": "META"}),
            UpdateExpression=f"ADD {counter} :one",
            ConditionExpression="attribute_exists(pk)",
            ExpressionAttributeValues=_pack({":one": 1}),
            ReturnValues="UPDATED_NEW",
        )
        return int(_unpack(answer["Attributes"])[counter])

    def releases_of(self, name: str, *, limit: int = 50, before: str | None = None) -> tuple[list[Release], str | None]:
        """Return an algorithm's releases, newest first, and the id to pass as `before` for the next page, or None.

        Left out of each is what is only for its own page: history, metadata, cases and versions.
        """
        condition = "ownerPk = :owner" + (" AND ownerSk < :before" if before else "")
        values = {":owner": f"ALGORITHM#{name}"} | ({":before": before} if before else {})
        page = self._client.query(
            TableName=self._table,
            IndexName="byOwner",
            KeyConditionExpression=condition,
            ExpressionAttributeValues=_pack(values),
            **_projection(RELEASE_ROW),
            ScanIndexForward=False,
            Limit=limit,
        )
        releases = [_release(_unpack(item)) for item in page["Items"]]
        more = bool(page.get("LastEvaluatedKey")) and bool(releases)
        return releases, releases[-1].release_id if more else None

    def in_flight(self, limit: int = 1_000) -> list[Release]:
        """Return the releases that have not ended, those changed longest ago first."""
        return [_release(item) for item in self._query("inFlight", "inFlight", "IN_FLIGHT", limit)]

    # What the test found

    def put_summary(self, release_id: str, summary: Mapping[str, Any]) -> None:
        """Keep what the test of a release found. A second write replaces the first."""
        self._client.put_item(
            TableName=self._table,
            Item=_pack({"pk": f"RELEASE#{release_id}", "sk": "SUMMARY", "summary": json.dumps(summary)}),
        )

    def put_progress(self, release_id: str, batch: str, progress: Progress) -> None:
        """Keep how far the batch named `batch` of a release's test has come."""
        self._client.put_item(
            TableName=self._table,
            Item=_pack(
                {
                    "pk": f"RELEASE#{release_id}",
                    "sk": f"PROGRESS#{progress.memory_mb:05d}#{batch}",
                    "memoryMb": progress.memory_mb,
                    "done": progress.done,
                    "total": progress.total,
                    "failed": progress.failed,
                    "durationsMs": list(progress.durations_ms),
                }
            ),
        )

    def findings(self, release_id: str) -> tuple[dict[str, Any] | None, list[Progress]]:
        """Return the summary of a release's test, or None, and the progress of each power value."""
        summary: dict[str, Any] | None = None
        by_memory: dict[int, Progress] = {}
        for item in self._query(None, "pk", f"RELEASE#{release_id}", limit=10_000):
            if item["sk"] == "SUMMARY":
                summary = json.loads(item["summary"])
            elif item["sk"].startswith("PROGRESS#"):
                memory_mb = int(item["memoryMb"])
                sum_ = by_memory.get(memory_mb, Progress(memory_mb, 0, 0, 0))
                by_memory[memory_mb] = Progress(
                    memory_mb,
                    sum_.done + int(item["done"]),
                    sum_.total + int(item["total"]),
                    sum_.failed + int(item["failed"]),
                    (*sum_.durations_ms, *map(float, item.get("durationsMs", ()))),
                )
        return summary, [by_memory[memory_mb] for memory_mb in sorted(by_memory)]

    # Algorithms

    def algorithm(self, name: str) -> Algorithm:
        """Return an algorithm, read consistently. Raises NotFound."""
        return _algorithm(self._get(f"ALGORITHM#{name}", "META", f"algorithm {name!r}"))

    def algorithms(self, limit: int = 10_000) -> list[Algorithm]:
        """Return all algorithms by name."""
        return [_algorithm(item) for item in self._query("byOwner", "ownerPk", "ALGORITHMS", limit, ALGORITHM_ROW)]

    def newest_statuses(self, algorithms: Iterable[Algorithm]) -> dict[str, tuple[Status, str]]:
        """Return the status of each algorithm's newest release, and since when, by the algorithm's name.

        Where the newest release is live the algorithm says so itself; of the others only these two values are read,
        100 releases a request.
        """
        found: dict[str, tuple[Status, str]] = {}
        unknown: dict[str, str] = {}
        for algorithm in algorithms:
            if algorithm.live and algorithm.live.release_id == algorithm.latest_release_id:
                found[algorithm.name] = (Status.LIVE, algorithm.updated_at)
            else:
                unknown[algorithm.latest_release_id] = algorithm.name
        keys = [_pack({"pk": f"RELEASE#{release_id}", "sk": "META"}) for release_id in unknown]
        while keys:
            answer = self._client.batch_get_item(
                RequestItems={
                    self._table: {
                        "Keys": keys[:MAX_BATCH_GET],
                        "ConsistentRead": True,
                        "ProjectionExpression": "releaseId, #status, updatedAt",
                        "ExpressionAttributeNames": {"#status": "status"},
                    }
                }
            )
            left: Any = (answer["UnprocessedKeys"].get(self._table) or {"Keys": []})["Keys"]
            keys = [*left, *keys[MAX_BATCH_GET:]]
            for item in map(_unpack, answer["Responses"].get(self._table, ())):
                found[unknown[item["releaseId"]]] = (Status(item["status"]), item["updatedAt"])
        return found

    def go_live(self, release: Release) -> None:
        """Make a tested release the live one: it becomes LIVE, the one before RETIRED, in one transaction.

        Called again with the same release it changes nothing. Raises Conflict if the release or the algorithm has
        changed meanwhile.
        """
        assert release.algorithm is not None  # noqa: S101 -- registered
        algorithm = self.algorithm(release.algorithm)
        if algorithm.live and algorithm.live.release_id == release.release_id:
            return
        self._switch_live(algorithm, release, Status.RETIRED)

    def roll_back(self, name: str, to_release: Release, *, author: str | None = None) -> None:
        """Make an earlier release the live one again: it becomes LIVE, the live one ROLLED_BACK, in one transaction.

        `author` is who asked for it. Raises Conflict if either has changed meanwhile.
        """
        self._switch_live(self.algorithm(name), to_release, Status.ROLLED_BACK, author)

    def _switch_live(
        self, algorithm: Algorithm, release: Release, old_becomes: Status, author: str | None = None
    ) -> None:
        metadata = release.metadata or {}
        before = [live for live in (algorithm.live, *algorithm.live_before) if live is not None]
        before = [live for live in before if live.release_id != release.release_id][:LIVE_KEPT]
        next_ = metadata.get("next") or []
        now = utc_now()
        trend = [*algorithm.trend, WentLive(release.release_id, now, release.memory_mb, release.cost_usd_per_million)]
        live = {
            "liveVersion": release.version,
            "liveBefore": [{"releaseId": old.release_id, "version": old.version} for old in before],
            "memoryMb": release.memory_mb,
            "costUsdPerMillion": release.cost_usd_per_million,
            "next": [next_] if isinstance(next_, str) else next_,
            "timeout": metadata.get("timeout", 0),
            "trend": [astuple(point) for point in trend[-TREND_KEPT:]],
        }
        values = {":id": release.release_id, ":live": json.dumps(live), ":type": release.type, ":now": now}
        condition = "attribute_not_exists(liveReleaseId)"
        if algorithm.live:
            condition, values[":was"] = "liveReleaseId = :was", algorithm.live.release_id
        writes: list[dict[str, Any]] = [
            {
                "Update": {
                    "TableName": self._table,
                    "Key": _pack({"pk": f"ALGORITHM#{algorithm.name}", "sk": "META"}),
                    "UpdateExpression": ("SET liveReleaseId = :id, live = :live, #type = :type, updatedAt = :now"),
                    "ConditionExpression": condition,
                    "ExpressionAttributeNames": {"#type": "type"},
                    "ExpressionAttributeValues": _pack(values),
                }
            },
            {
                "Update": {
                    "TableName": self._table,
                    **_status_update(release.release_id, Status.LIVE, before=release.status, by=author),
                }
            },
        ]
        if algorithm.live:
            change = _status_update(
                algorithm.live.release_id,
                old_becomes,
                before=Status.LIVE,
                reason=f"{release.release_id} went live" if old_becomes is Status.RETIRED else None,
                by=author,
            )
            writes.append({"Update": {"TableName": self._table, **change}})
        try:
            self._client.transact_write_items(TransactItems=writes)  # type: ignore[arg-type]
        except ClientError as error:
            raise _conflict(error, f"algorithm {algorithm.name!r} or its releases changed meanwhile") from error

    # Locks

    def acquire_lock(self, name: str, owner: str, *, seconds: int) -> None:
        """Take or renew the algorithm's lock for `owner`. Raises LockHeld while somebody else holds it."""
        now = datetime.now(UTC)
        item = {
            "pk": f"ALGORITHM#{name}",
            "sk": "LOCK",
            "owner": owner,
            "expiresAt": _iso(now + timedelta(seconds=seconds)),
        }
        try:
            self._client.put_item(
                TableName=self._table,
                Item=_pack(item),
                ConditionExpression="attribute_not_exists(pk) OR #owner = :me OR expiresAt < :now",
                ExpressionAttributeNames={"#owner": "owner"},
                ExpressionAttributeValues=_pack({":me": owner, ":now": _iso(now)}),
            )
        except ClientError as error:
            if not _condition_failed(error):
                raise
            held = self.lock_owner(name)
            raise LockHeld(*(held or ("somebody who has just let go", "now"))) from error

    def lock_owner(self, name: str) -> tuple[str, str] | None:
        """Return who holds the algorithm's lock and until when (ISO 8601), or None."""
        try:
            item = self._get(f"ALGORITHM#{name}", "LOCK", "lock")
        except NotFound:
            return None
        return item["owner"], item["expiresAt"]

    def release_lock(self, name: str, owner: str) -> None:
        """Let go of the lock. Does nothing if `owner` does not hold it."""
        try:
            self._client.delete_item(
                TableName=self._table,
                Key=_pack({"pk": f"ALGORITHM#{name}", "sk": "LOCK"}),
                ConditionExpression="#owner = :me",
                ExpressionAttributeNames={"#owner": "owner"},
                ExpressionAttributeValues=_pack({":me": owner}),
            )
        except ClientError as error:
            if not _condition_failed(error):
                raise

    # Items

    def _get(self, pk: str, sk: str, what: str) -> dict[str, Any]:
        item = self._client.get_item(TableName=self._table, Key=_pack({"pk": pk, "sk": sk}), ConsistentRead=True).get(
            "Item"
        )
        if item is None:
            raise NotFound(f"there is no {what}")
        return _unpack(item)

    def _query(
        self, index: str | None, key: str, value: str, limit: int, attributes: Sequence[str] = ()
    ) -> Iterator[dict[str, Any]]:
        where: dict[str, Any] = {"IndexName": index} if index else {"ConsistentRead": True}
        where |= _projection(attributes) if attributes else {}
        where["ExpressionAttributeNames"] = {"#key": key, **where.get("ExpressionAttributeNames", {})}
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression="#key = :value",
            ExpressionAttributeValues=_pack({":value": value}),
            PaginationConfig={"MaxItems": limit},
            **where,
        )
        for page in pages:
            for item in page["Items"]:
                yield _unpack(item)


def _status_update(
    release_id: str,
    after: Status,
    *,
    before: Status,
    reason: str | None = None,
    by: str | None = None,
    values: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    if not can_change(before, after):
        raise Conflict(f"a release that is {before} can't become {after}")
    now = utc_now()
    reason = reason[:MAX_REASON_CHARS] if reason else None
    change = {"status": after.value, "at": now}
    change |= {key: value for key, value in {"reason": reason, "by": by}.items() if value}
    names = {"#status": "status", "#history": "history", "#reason": "reason"}
    bound: dict[str, Any] = {
        ":after": after.value,
        ":before": before.value,
        ":now": now,
        ":change": [change],
        ":reason": reason,
        ":by": by,
    }
    sets = [
        "#status = :after",
        "updatedAt = :now",
        "#history = list_append(#history, :change)",
        "#reason = :reason",
        "changedBy = :by",
    ]
    for number, (name, value) in enumerate((values or {}).items()):
        names[f"#v{number}"] = name
        bound[f":v{number}"] = value
        sets.append(f"#v{number} = :v{number}")
    expression = "SET " + ", ".join(sets)
    if after not in IN_FLIGHT:
        expression += " REMOVE inFlight"
    return {
        "Key": _pack({"pk": f"RELEASE#{release_id}", "sk": "META"}),
        "UpdateExpression": expression,
        "ConditionExpression": "#status = :before",
        "ExpressionAttributeNames": names,
        "ExpressionAttributeValues": _pack(bound),
    }


def _projection(attributes: Sequence[str]) -> dict[str, Any]:
    # Some of the names are words of DynamoDB's own.
    aliases = {f"#a{number}": name for number, name in enumerate(attributes)}
    return {"ProjectionExpression": ", ".join(aliases), "ExpressionAttributeNames": aliases}


def _release(item: Mapping[str, Any]) -> Release:
    metadata = item.get("metadata")
    return Release(
        release_id=item["releaseId"],
        status=Status(item["status"]),
        created_at=item["createdAt"],
        updated_at=item["updatedAt"],
        file_name=item["fileName"],
        history=tuple(
            StatusChange(Status(change["status"]), change["at"], change.get("reason"), change.get("by"))
            for change in item.get("history", ())
        ),
        algorithm=item.get("algorithm"),
        type=item.get("type"),
        reason=item.get("reason"),
        metadata=json.loads(metadata) if metadata else None,
        cases=tuple(item.get("cases", ())),
        case_inputs=dict(item.get("caseInputs", {})),
        cost_at_most_usd=_float(item.get("costAtMostUsd")),
        package_key=item.get("packageKey"),
        package_sha256=item.get("packageSha256"),
        package_size_bytes=_int(item.get("packageSizeBytes")),
        versions={int(mb): version for mb, version in item.get("versions", {}).items()},
        version=item.get("version"),
        memory_mb=_int(item.get("memoryMb")),
        cost_usd_per_million=_float(item.get("costUsdPerMillion")),
        author=item.get("author"),
        changed_by=item.get("changedBy"),
        restarts=_int(item.get("restarts")) or 0,
    )


def _algorithm(item: Mapping[str, Any]) -> Algorithm:
    live_id = item.get("liveReleaseId")
    # A registry of the first version holds these values one by one.
    live = json.loads(item["live"]) if "live" in item else item
    return Algorithm(
        name=item["name"],
        type=item["type"],
        updated_at=item["updatedAt"],
        latest_release_id=item["latestReleaseId"],
        live=LiveVersion(live_id, live["liveVersion"]) if live_id else None,
        live_before=tuple(LiveVersion(old["releaseId"], old["version"]) for old in live.get("liveBefore", ())),
        memory_mb=_int(live.get("memoryMb")),
        cost_usd_per_million=_float(live.get("costUsdPerMillion")),
        next=tuple(live.get("next", ())),
        timeout_s=int(live.get("timeout", 0)),
        trend=tuple(WentLive(*point) for point in live.get("trend", ())),
    )


def _int(value: Any) -> int | None:
    return None if value is None else int(value)


def _decimal(value: Any) -> Any:
    """A float as DynamoDB takes it, as its shortest text; in a list too."""
    if isinstance(value, list):
        return [_decimal(each) for each in value]
    return Decimal(repr(value)) if isinstance(value, float) else value


def _float(value: Any) -> float | None:
    return None if value is None else float(value)


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


_SERIALIZER = TypeSerializer()


def _pack(item: Mapping[str, Any]) -> dict[str, Any]:
    # DynamoDB's numbers are decimals.
    return {key: _SERIALIZER.serialize(_decimal(value)) for key, value in item.items()}


def _unpack(item: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _value(value) for key, value in item.items()}


def _value(typed: Mapping[str, Any]) -> Any:
    """What boto3's own deserializer gives for the types that are in the registry, in a third of the time."""
    ((kind, value),) = typed.items()
    match kind:
        case "S" | "BOOL":
            return value
        case "N":
            return Decimal(value)
        case "L":
            return [_value(each) for each in value]
        case "M":
            return _unpack(value)
        case "NULL":
            return None
    raise TypeError(f"the registry holds no values of type {kind}")


def _condition_failed(error: ClientError) -> bool:
    return error.response["Error"]["Code"] in (
        "ConditionalCheckFailedException",
        "TransactionCanceledException",
    )


def _conflict(error: ClientError, message: str) -> Exception:
    return Conflict(message) if _condition_failed(error) else error

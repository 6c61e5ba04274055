"""The registry: releases, algorithms and locks in one DynamoDB table.

Items (`pk`, `sk`):

* `RELEASE#<id>`, `META`: the release. Its `status` is what the stream is filtered by.
* `RELEASE#<id>`, `SUMMARY`: what the test found, as JSON. `RELEASE#<id>`, `PROGRESS#…`: how far a batch has come.
  Both are separate from `META`, so that writing them does not count as a change of the release.
* `ALGORITHM#<name>`, `META`: the algorithm with its live release. `ALGORITHM#<name>`, `LOCK`: who may change it.

Indexes: `byOwner` (`ownerPk`, `ownerSk`) lists the releases of an algorithm and all algorithms; `inFlight`
(`inFlight`, `updatedAt`) holds only releases that have not ended. Every change of a status is conditional on the status
before. `items` reads and writes the attributes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from greenroom.releases import items
from greenroom.releases.model import (
    Algorithm,
    Progress,
    Registration,
    Release,
    ReleaseRow,
    StatusChange,
    Upload,
    WentLive,
    iso_utc,
    utc_now,
)
from greenroom.releases.statuses import IN_FLIGHT, Status, can_change

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

LIVE_KEPT = 3
"""How many earlier live releases are remembered, and their versions kept, in addition to the live one."""

TREND_KEPT = 12
"""How many points an algorithm's trend has: enough to see a direction, few enough to read 500 trends at once."""

MAX_BATCH_GET = 100
"""https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html"""

MAX_REASON_CHARS = 8_000
"""A reason is for people to read, and all of a release must fit into DynamoDB's 400 KB an item."""


class NotFound(LookupError):
    """There is no such release or algorithm."""


class Conflict(RuntimeError):
    """Another caller changed the item first, or the change is not allowed from its present status."""


class NotRegistered(Conflict):
    """The release is an upload that has not been registered."""


class LockHeld(RuntimeError):
    """Another release of the algorithm is being provisioned or tested."""

    def __init__(self, owner: str, expires_at: str) -> None:
        super().__init__(f"the lock is held by {owner} until {expires_at}")
        self.owner = owner
        self.expires_at = expires_at


class Registry:
    """The registry in the DynamoDB table `table_name`, through `client`."""

    def __init__(self, client: DynamoDBClient, table_name: str) -> None:
        self._client = client
        self._table = table_name

    # Releases

    def create_upload(self, release_id: str, file_name: str, *, author: str | None = None) -> Upload:
        """Remember an upload that was allowed, and who asked for it. Raises Conflict if the id is taken."""
        now = utc_now()
        upload = Upload(
            release_id=release_id,
            status=Status.UPLOADING,
            created_at=now,
            updated_at=now,
            file_name=file_name,
            author=author,
            changed_by=author,
            history=(StatusChange(Status.UPLOADING, now, by=author),),
        )
        try:
            self._client.put_item(
                TableName=self._table,
                Item=items.pack(items.upload_item(upload)),
                ConditionExpression="attribute_not_exists(pk)",
            )
        except ClientError as error:
            raise _conflict(error, f"release {release_id} exists already") from error
        return upload

    def find(self, release_id: str) -> Upload | Release:
        """Return what has become of an upload, read consistently. Raises NotFound."""
        return items.upload_or_release(self._get(items.release_key(release_id), f"release {release_id}"))

    def release(self, release_id: str) -> Release:
        """Return a registered release, read consistently. Raises NotFound, or NotRegistered if it is an upload yet."""
        found = self.find(release_id)
        if isinstance(found, Upload):
            raise NotRegistered(f"release {release_id} is {found.status}, and was never registered")
        return found

    def change_status(self, release_id: str, after: Status, *, before: Status, reason: str | None = None) -> bool:
        """Take an upload or a release from status `before` to `after`.

        Returns False if it has `after` already: a message was delivered twice. Raises Conflict if it has any other
        status than `before`, NotFound if there is no such release.
        """
        change = StatusChange(after, utc_now(), reason)
        try:
            self._client.update_item(TableName=self._table, **_status_update(release_id, change, before=before))
        except ClientError as error:
            if not _condition_failed(error):
                raise
            present = self.find(release_id).status
            if present is after:
                return False
            raise Conflict(f"release {release_id} is {present}, not {before}: it can't become {after}") from error
        return True

    def register(self, release_id: str, registration: Registration) -> bool:
        """Take an upload whose package was accepted from UPLOADING to REGISTERED, and record it with its algorithm.

        Returns False if that was done before. Raises NotFound.
        """
        name = registration.metadata.name
        # The algorithm first: the new status starts a flow that reads it, and a call that dies between the two writes
        # is repeated. The algorithm remembers its newest upload; an older one that comes later changes nothing.
        try:
            self._client.update_item(
                TableName=self._table,
                Key=items.pack(items.algorithm_key(name)),
                UpdateExpression=(
                    "SET #name = :name, #type = if_not_exists(#type, :type), latestReleaseId = :id, updatedAt = :now, "
                    "ownerPk = :all, ownerSk = :name"
                ),
                ConditionExpression="attribute_not_exists(latestReleaseId) OR latestReleaseId < :id",
                ExpressionAttributeNames={"#name": "name", "#type": "type"},
                ExpressionAttributeValues=items.pack(
                    {
                        ":name": name,
                        ":type": registration.metadata.type,
                        ":id": release_id,
                        ":now": utc_now(),
                        ":all": "ALGORITHMS",
                    }
                ),
            )
        except ClientError as error:
            if not _condition_failed(error):
                raise
        change = StatusChange(Status.REGISTERED, utc_now())
        values = items.registration_values(release_id, registration)
        update = _status_update(release_id, change, before=Status.UPLOADING, values=values)
        try:
            self._client.update_item(TableName=self._table, **update)
        except ClientError as error:
            if not _condition_failed(error) or self.find(release_id).status is Status.UPLOADING:
                raise
            return False
        return True

    def record_version(self, release_id: str, memory_mb: int, version: str) -> None:
        """Remember which Lambda version is tested at the power value `memory_mb`."""
        self._client.update_item(
            TableName=self._table,
            Key=items.pack(items.release_key(release_id)),
            UpdateExpression="SET versions.#memory = :version",
            ConditionExpression="attribute_exists(pk)",
            ExpressionAttributeNames={"#memory": str(memory_mb)},
            ExpressionAttributeValues=items.pack({":version": version}),
        )

    def record_choice(
        self, release_id: str, *, version: str, memory_mb: int, cost_usd_per_million: float | None
    ) -> None:
        """Remember the version that the test chose, before it is promoted."""
        self._client.update_item(
            TableName=self._table,
            Key=items.pack(items.release_key(release_id)),
            UpdateExpression="SET version = :version, memoryMb = :memory, costUsdPerMillion = :cost",
            ConditionExpression="attribute_exists(pk)",
            ExpressionAttributeValues=items.pack(
                {":version": version, ":memory": memory_mb, ":cost": cost_usd_per_million}
            ),
        )

    def note(self, release_id: str, reason: str) -> None:
        """Record why an upload is waiting. The status does not change; the next status change clears the reason.

        Raises Conflict if it is no longer UPLOADING.
        """
        try:
            self._client.update_item(
                TableName=self._table,
                Key=items.pack(items.release_key(release_id)),
                UpdateExpression="SET #reason = :reason",
                ConditionExpression="#status = :uploading",
                ExpressionAttributeNames={"#reason": "reason", "#status": "status"},
                ExpressionAttributeValues=items.pack({":reason": reason, ":uploading": Status.UPLOADING.value}),
            )
        except ClientError as error:
            raise _conflict(error, f"release {release_id} is no longer {Status.UPLOADING}") from error

    def count_repeat(self, release_id: str) -> int:
        """Count that an upload's event is sent again, and return how often it has been."""
        return self._count(release_id, "repeats")

    def count_restart(self, release_id: str) -> int:
        """Count that a release's flow is started again, and return how often it has been."""
        return self._count(release_id, "restarts")

    def _count(self, release_id: str, counter: str) -> int:
        answer = self._client.update_item(
            TableName=self._table,
            Key=items.pack(items.release_key(release_id)),
            UpdateExpression=f"ADD {counter} :one",
            ConditionExpression="attribute_exists(pk)",
            ExpressionAttributeValues=items.pack({":one": 1}),
            ReturnValues="UPDATED_NEW",
        )
        return int(items.unpack(answer["Attributes"])[counter])

    def releases_of(
        self, name: str, *, limit: int = 50, before: str | None = None
    ) -> tuple[list[ReleaseRow], str | None]:
        """Return an algorithm's releases, newest first, and the id to pass as `before` for the next page, or None."""
        condition = "ownerPk = :owner" + (" AND ownerSk < :before" if before else "")
        values = {":owner": f"ALGORITHM#{name}"} | ({":before": before} if before else {})
        page = self._client.query(
            TableName=self._table,
            IndexName="byOwner",
            KeyConditionExpression=condition,
            ExpressionAttributeValues=items.pack(values),
            **items.projection(items.RELEASE_ROW),
            ScanIndexForward=False,
            Limit=limit,
        )
        releases = [items.release_row(items.unpack(item)) for item in page["Items"]]
        more = bool(page.get("LastEvaluatedKey")) and bool(releases)
        return releases, releases[-1].release_id if more else None

    def in_flight(self, limit: int = 1_000) -> list[Upload | Release]:
        """Return the uploads and releases that have not ended, those changed longest ago first."""
        return [items.upload_or_release(item) for item in self._query("inFlight", "inFlight", "IN_FLIGHT", limit)]

    # What the test found

    def put_summary(self, release_id: str, summary: Mapping[str, Any]) -> None:
        """Keep what the test of a release found. A second write replaces the first."""
        self._client.put_item(
            TableName=self._table,
            Item=items.pack({**items.release_key(release_id, "SUMMARY"), "summary": json.dumps(summary)}),
        )

    def put_progress(self, release_id: str, batch: str, progress: Progress) -> None:
        """Keep how far the batch named `batch` of a release's test has come."""
        self._client.put_item(
            TableName=self._table,
            Item=items.pack(items.progress_item(release_id, batch, progress)),
        )

    def findings(self, release_id: str) -> tuple[dict[str, Any] | None, list[Progress]]:
        """Return the summary of a release's test, or None, and the progress of each power value."""
        summary: dict[str, Any] | None = None
        batches: list[dict[str, Any]] = []
        for item in self._query(None, "pk", f"RELEASE#{release_id}", limit=10_000):
            if item["sk"] == "SUMMARY":
                summary = json.loads(item["summary"])
            elif item["sk"].startswith("PROGRESS#"):
                batches.append(item)
        return summary, items.summed_progress(batches)

    # Algorithms

    def algorithm(self, name: str) -> Algorithm:
        """Return an algorithm, read consistently. Raises NotFound."""
        return items.algorithm(self._get(items.algorithm_key(name), f"algorithm {name!r}"))

    def algorithms(self, limit: int = 10_000) -> list[Algorithm]:
        """Return all algorithms by name."""
        found = self._query("byOwner", "ownerPk", "ALGORITHMS", limit, items.ALGORITHM_ROW)
        return [items.algorithm(item) for item in found]

    def newest_statuses(self, algorithms: Iterable[Algorithm]) -> dict[str, tuple[Status, str]]:
        """Return the status of each algorithm's newest release, and since when, by the algorithm's name.

        Where the newest release is the live one, the algorithm's own item says so. Of the others only these two values
        are read, 100 releases a request.
        """
        found: dict[str, tuple[Status, str]] = {}
        unknown: dict[str, str] = {}
        for algorithm in algorithms:
            if algorithm.live and algorithm.live.release_id == algorithm.latest_release_id:
                found[algorithm.name] = (Status.LIVE, algorithm.updated_at)
            else:
                unknown[algorithm.latest_release_id] = algorithm.name
        keys = [items.pack(items.release_key(release_id)) for release_id in unknown]
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
            for item in map(items.unpack, answer["Responses"].get(self._table, ())):
                found[unknown[item["releaseId"]]] = (Status(item["status"]), item["updatedAt"])
        return found

    def go_live(self, release: Release) -> None:
        """Make a tested release the live one: it becomes LIVE, the one before RETIRED, in one transaction.

        A second call with the same release changes nothing. Raises Conflict if the release or the algorithm has changed
        in the meantime.
        """
        algorithm = self.algorithm(release.algorithm)
        if algorithm.live and algorithm.live.release_id == release.release_id:
            return
        self._switch_live(algorithm, release, Status.RETIRED)

    def roll_back(self, name: str, to_release: Release, *, author: str | None = None) -> None:
        """Make an earlier release the live one again: it becomes LIVE, the live one ROLLED_BACK, in one transaction.

        `author` is who asked for it. Raises Conflict if either has changed in the meantime.
        """
        self._switch_live(self.algorithm(name), to_release, Status.ROLLED_BACK, author)

    def _switch_live(
        self, algorithm: Algorithm, release: Release, old_becomes: Status, author: str | None = None
    ) -> None:
        before = [live for live in (algorithm.live, *algorithm.live_before) if live is not None]
        before = [live for live in before if live.release_id != release.release_id][:LIVE_KEPT]
        now = utc_now()
        trend = [*algorithm.trend, WentLive(release.release_id, now, release.memory_mb, release.cost_usd_per_million)]
        live = items.live_value(release, before, trend[-TREND_KEPT:])
        values = {":id": release.release_id, ":live": live, ":type": release.type, ":now": now}
        condition = "attribute_not_exists(liveReleaseId)"
        if algorithm.live:
            condition, values[":was"] = "liveReleaseId = :was", algorithm.live.release_id
        writes: list[dict[str, Any]] = [
            {
                "Update": {
                    "TableName": self._table,
                    "Key": items.pack(items.algorithm_key(algorithm.name)),
                    "UpdateExpression": "SET liveReleaseId = :id, live = :live, #type = :type, updatedAt = :now",
                    "ConditionExpression": condition,
                    "ExpressionAttributeNames": {"#type": "type"},
                    "ExpressionAttributeValues": items.pack(values),
                }
            },
            {
                "Update": {
                    "TableName": self._table,
                    **_status_update(
                        release.release_id, StatusChange(Status.LIVE, now, by=author), before=release.status
                    ),
                }
            },
        ]
        if algorithm.live:
            reason = f"{release.release_id} went live" if old_becomes is Status.RETIRED else None
            change = StatusChange(old_becomes, now, reason, author)
            update = _status_update(algorithm.live.release_id, change, before=Status.LIVE)
            writes.append({"Update": {"TableName": self._table, **update}})
        try:
            self._client.transact_write_items(TransactItems=writes)  # type: ignore[arg-type]
        except ClientError as error:
            raise _conflict(error, f"algorithm {algorithm.name!r} or its releases changed in the meantime") from error

    # Locks

    def acquire_lock(self, name: str, owner: str, *, seconds: int) -> None:
        """Take or renew the algorithm's lock for `owner`. Raises LockHeld while another owner holds it."""
        now = datetime.now(UTC)
        item = {
            **items.algorithm_key(name, "LOCK"),
            "owner": owner,
            "expiresAt": iso_utc(now + timedelta(seconds=seconds)),
        }
        try:
            self._client.put_item(
                TableName=self._table,
                Item=items.pack(item),
                ConditionExpression="attribute_not_exists(pk) OR #owner = :me OR expiresAt < :now",
                ExpressionAttributeNames={"#owner": "owner"},
                ExpressionAttributeValues=items.pack({":me": owner, ":now": iso_utc(now)}),
            )
        except ClientError as error:
            if not _condition_failed(error):
                raise
            held = self.lock_owner(name)
            raise LockHeld(*(held or ("an owner that has just released it", "now"))) from error

    def lock_owner(self, name: str) -> tuple[str, str] | None:
        """Return who holds the algorithm's lock and until when (ISO 8601), or None."""
        try:
            item = self._get(items.algorithm_key(name, "LOCK"), "lock")
        except NotFound:
            return None
        return item["owner"], item["expiresAt"]

    def release_lock(self, name: str, owner: str) -> None:
        """Release the lock. Does nothing if `owner` does not hold it."""
        try:
            self._client.delete_item(
                TableName=self._table,
                Key=items.pack(items.algorithm_key(name, "LOCK")),
                ConditionExpression="#owner = :me",
                ExpressionAttributeNames={"#owner": "owner"},
                ExpressionAttributeValues=items.pack({":me": owner}),
            )
        except ClientError as error:
            if not _condition_failed(error):
                raise

    # Items

    def _get(self, key: Mapping[str, str], what: str) -> dict[str, Any]:
        answer = self._client.get_item(TableName=self._table, Key=items.pack(key), ConsistentRead=True)
        item = answer.get("Item")
        if item is None:
            raise NotFound(f"there is no {what}")
        return items.unpack(item)

    def _query(
        self, index: str | None, key: str, value: str, limit: int, attributes: Sequence[str] = ()
    ) -> Iterator[dict[str, Any]]:
        where: dict[str, Any] = {"IndexName": index} if index else {"ConsistentRead": True}
        where |= items.projection(attributes) if attributes else {}
        where["ExpressionAttributeNames"] = {"#key": key, **where.get("ExpressionAttributeNames", {})}
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression="#key = :value",
            ExpressionAttributeValues=items.pack({":value": value}),
            PaginationConfig={"MaxItems": limit},
            **where,
        )
        for page in pages:
            for item in page["Items"]:
                yield items.unpack(item)


def _status_update(
    release_id: str, change: StatusChange, *, before: Status, values: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the update that makes a change of status, and sets more attributes with it. Raises Conflict."""
    after = change.status
    if not can_change(before, after):
        raise Conflict(f"a release that is {before} can't become {after}")
    change = replace(change, reason=change.reason[:MAX_REASON_CHARS] if change.reason else None)
    names = {"#status": "status", "#history": "history", "#reason": "reason"}
    bound: dict[str, Any] = {
        ":after": after.value,
        ":before": before.value,
        ":now": change.at,
        ":change": [items.change_value(change)],
        ":reason": change.reason,
        ":by": change.by,
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
        "Key": items.pack(items.release_key(release_id)),
        "UpdateExpression": expression,
        "ConditionExpression": "#status = :before",
        "ExpressionAttributeNames": names,
        "ExpressionAttributeValues": items.pack(bound),
    }


def _condition_failed(error: ClientError) -> bool:
    return error.response["Error"]["Code"] in (
        "ConditionalCheckFailedException",
        "TransactionCanceledException",
    )


def _conflict(error: ClientError, message: str) -> Exception:
    return Conflict(message) if _condition_failed(error) else error

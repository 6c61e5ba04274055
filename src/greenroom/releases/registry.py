"""The registry: releases, algorithms and locks in one DynamoDB table.

Items (`pk`, `sk`):

* `RELEASE#<id>`, `META`: the upload or release. Its `status` is what the stream is filtered by.
* `RELEASE#<id>`, `SUMMARY`: what the test found, as JSON. `RELEASE#<id>`, `PROGRESS#…`: how far a batch has come.
  Both are separate from `META`, so that writing them does not count as a change of the release.
* `ALGORITHM#<name>`, `META`: the algorithm with its live release. `ALGORITHM#<name>`, `LOCK`: who may change it.
* `REQUEST#<id>`, `REQUEST`: which release a client's request began, so that it may be repeated; deleted after a day.
* `PLATFORM`, `LOOK`: what the sweeper saw when it last looked around.

Indexes: `byOwner` (`ownerPk`, `ownerSk`) lists the releases of an algorithm and all algorithms; `inFlight`
(`inFlight`, `updatedAt`) holds only releases that have not ended. Every change of a status is conditional on the status
before. `items` knows the attributes, and `table` knows DynamoDB.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from greenroom.releases import items
from greenroom.releases.errors import Conflict, LockHeld, NotFound, NotRegistered
from greenroom.releases.look import Look
from greenroom.releases.model import (
    Algorithm,
    Progress,
    Registration,
    Rejection,
    Release,
    ReleaseRow,
    StatusChange,
    Upload,
    WentLive,
    utc_now,
)
from greenroom.releases.statuses import IN_FLIGHT, Status, can_change
from greenroom.releases.table import EXISTS, Condition, ConditionFailed, Query, Table, Update
from greenroom.wire.base import iso_utc

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

LIVE_KEPT = 3
"""How many earlier live releases are remembered, and their versions kept, in addition to the live one."""

TREND_KEPT = 12
"""How many points an algorithm's trend has: enough to see a direction, few enough to read 500 trends at once."""

REQUEST_KEPT_S = 86_400
"""How long a request is recognised if it is repeated."""

MAX_REASON_CHARS = 8_000
"""A reason is for people to read, and all of a release must fit into DynamoDB's 400 KB an item."""


class Registry:
    """The registry in the DynamoDB table `table_name`, through `client`."""

    def __init__(self, client: DynamoDBClient, table_name: str) -> None:
        self._table = Table(client, table_name)

    def keep_sign_in(self, code_sha256: str, sealed: str, expires_at_s: int) -> None:
        """Keep what a one-time code stands for, which only the code opens."""
        kept = {"sealed": sealed, "expiresAtS": expires_at_s}
        self._table.put({**items.sign_in_key(code_sha256), **kept}, Condition(expression="attribute_not_exists(pk)"))

    def take_sign_in(self, code_sha256: str, now_s: int) -> str | None:
        """Return what a one-time code stands for, once and until it expires; None before or after that."""
        taken = Update(
            key=items.sign_in_key(code_sha256),
            expression="REMOVE sealed",
            condition="attribute_exists(sealed) AND expiresAtS > :now",
            values={":now": now_s},
        )
        try:
            return str(self._table.change(taken)["sealed"])
        except ConditionFailed:
            return None

    # Uploads and releases

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
            self._table.put(items.upload_item(upload), Condition(expression="attribute_not_exists(pk)"))
        except ConditionFailed as error:
            raise Conflict(f"release {release_id} exists already") from error
        return upload

    def id_of_request(self, request_id: str, release_id: str) -> str:
        """Return the id of the release that a client's request began: `release_id`, or another one if it is repeated.

        What is repeated within a day is recognised.
        """
        item = items.request_item(request_id, release_id, int(datetime.now(UTC).timestamp()) + REQUEST_KEPT_S)
        try:
            self._table.put(item, Condition(expression="attribute_not_exists(pk)"))
        except ConditionFailed:
            known = self._table.get(items.request_key(request_id))
            return str(known["releaseId"]) if known else release_id
        return release_id

    def find(self, release_id: str) -> Upload | Release:
        """Return what has become of an upload, read consistently. Raises NotFound."""
        item = self._table.get(items.release_key(release_id))
        if item is None:
            raise NotFound(f"there is no release {release_id}")
        return items.upload_or_release(item)

    def release(self, release_id: str) -> Release:
        """Return a registered release, read consistently. Raises NotFound, or NotRegistered if it is only an upload."""
        found = self.find(release_id)
        if isinstance(found, Upload):
            raise NotRegistered(f"release {release_id} is {found.status} and was never registered")
        return found

    def change_status(self, release_id: str, after: Status, *, before: Status, reason: str | None = None) -> bool:
        """Take an upload or a release from status `before` to `after`.

        Returns False if it has `after` already: a message was delivered twice. Raises Conflict if it has any other
        status than `before`, NotFound if there is no such release.
        """
        return self._change(release_id, StatusChange(after, utc_now(), reason), before=before)

    def reject(self, release_id: str, rejection: Rejection) -> bool:
        """Take an upload whose package was not accepted from UPLOADING to REJECTED, and record why.

        Returns False if that was done before. Raises Conflict if it is not UPLOADING any more, NotFound.
        """
        change = StatusChange(Status.REJECTED, utc_now(), f"{rejection.message}. {rejection.hint}")
        return self._change(release_id, change, before=Status.UPLOADING, values=items.rejection_values(rejection))

    def _change(
        self, release_id: str, change: StatusChange, *, before: Status, values: Mapping[str, Any] | None = None
    ) -> bool:
        try:
            self._table.update(_status_update(release_id, change, before=before, values=values))
        except ConditionFailed as error:
            present = self.find(release_id).status
            if present is change.status:
                return False
            raise Conflict(
                f"release {release_id} is {present}, not {before}: it can't become {change.status}"
            ) from error
        return True

    def register(self, release_id: str, registration: Registration) -> bool:
        """Take an upload whose package was accepted from UPLOADING to REGISTERED, and record it with its algorithm.

        Returns False if that was done before. Raises NotFound.
        """
        # The algorithm first: the new status starts a flow that reads it, and a call that dies between the two writes
        # is repeated.
        self._record_newest(release_id, registration.metadata.name, registration.metadata.type)
        change = StatusChange(Status.REGISTERED, utc_now())
        values = items.registration_values(release_id, registration)
        try:
            self._table.update(_status_update(release_id, change, before=Status.UPLOADING, values=values))
        except ConditionFailed:
            if self.find(release_id).status is Status.UPLOADING:
                raise
            return False
        return True

    def _record_newest(self, release_id: str, name: str, type_: str) -> None:
        """Record an algorithm's newest upload. An older upload that comes later changes nothing."""
        update = Update(
            key=items.algorithm_key(name),
            expression=(
                "SET #name = :name, #type = if_not_exists(#type, :type), latestReleaseId = :id, updatedAt = :now, "
                "ownerPk = :all, ownerSk = :name"
            ),
            condition="attribute_not_exists(latestReleaseId) OR latestReleaseId < :id",
            names={"#name": "name", "#type": "type"},
            values={":name": name, ":type": type_, ":id": release_id, ":now": utc_now(), ":all": items.ALGORITHMS},
        )
        try:
            self._table.update(update)
        except ConditionFailed:
            return

    def record_version(self, release_id: str, memory_mb: int, version: str) -> None:
        """Remember which Lambda version is tested at the power value `memory_mb`."""
        self._table.update(
            Update(
                key=items.release_key(release_id),
                expression="SET versions.#memory = :version",
                condition=EXISTS,
                names={"#memory": str(memory_mb)},
                values={":version": version},
            )
        )

    def record_choice(
        self, release_id: str, *, version: str, memory_mb: int, cost_usd_per_million: float | None
    ) -> None:
        """Remember the version that the test chose, before it is promoted."""
        self._table.update(
            Update(
                key=items.release_key(release_id),
                expression="SET version = :version, memoryMb = :memory, costUsdPerMillion = :cost",
                condition=EXISTS,
                values={":version": version, ":memory": memory_mb, ":cost": cost_usd_per_million},
            )
        )

    def note(self, release_id: str, reason: str) -> None:
        """Record why an upload is waiting. The status does not change; the next status change clears the reason.

        Raises Conflict if it is no longer UPLOADING.
        """
        update = Update(
            key=items.release_key(release_id),
            expression="SET #reason = :reason",
            condition="#status = :uploading",
            names={"#reason": "reason", "#status": "status"},
            values={":reason": reason, ":uploading": Status.UPLOADING.value},
        )
        try:
            self._table.update(update)
        except ConditionFailed as error:
            raise Conflict(f"release {release_id} is no longer {Status.UPLOADING}") from error

    def count_repeat(self, release_id: str) -> int:
        """Count that an upload's event is sent again, and return how often it has been."""
        return self._table.count(items.release_key(release_id), "repeats")

    def count_restart(self, release_id: str) -> int:
        """Count that a release's flow is started again, and return how often it has been."""
        return self._table.count(items.release_key(release_id), "restarts")

    def releases_of(
        self, name: str, *, limit: int = 50, before: str | None = None
    ) -> tuple[list[ReleaseRow], str | None]:
        """Return an algorithm's releases, newest first, and the id to pass as `before` for the next page, or None."""
        query = Query(
            index="byOwner",
            condition="ownerPk = :owner" + (" AND ownerSk < :before" if before else ""),
            values={":owner": items.owner(name)} | ({":before": before} if before else {}),
            attributes=items.RELEASE_ROW,
            descending=True,
        )
        found, more = self._table.query_page(query, limit)
        releases = [items.release_row(item) for item in found]
        return releases, releases[-1].release_id if more and releases else None

    def in_flight(self, limit: int = 1_000) -> list[Upload | Release]:
        """Return the uploads and releases that have not ended, those changed longest ago first."""
        query = Query(index="inFlight", condition="inFlight = :value", values={":value": items.IN_FLIGHT_VALUE})
        return [items.upload_or_release(item) for item in self._table.query(query, limit)]

    # What the test found

    def put_summary(self, release_id: str, summary: Mapping[str, Any]) -> None:
        """Keep what the test of a release found. A second write replaces the first."""
        self._table.put({**items.release_key(release_id, "SUMMARY"), "summary": json.dumps(summary)})

    def put_progress(self, release_id: str, batch: str, progress: Progress) -> None:
        """Keep how far the batch named `batch` of a release's test has come."""
        self._table.put(items.progress_item(release_id, batch, progress))

    def findings(self, release_id: str) -> tuple[dict[str, Any] | None, list[Progress]]:
        """Return the summary of a release's test, or None, and the progress of each power value."""
        summary: dict[str, Any] | None = None
        batches: list[dict[str, Any]] = []
        query = Query(condition="pk = :release", values={":release": items.release_key(release_id)["pk"]})
        for item in self._table.query(query, limit=10_000):
            if item["sk"] == "SUMMARY":
                summary = json.loads(item["summary"])
            elif item["sk"].startswith("PROGRESS#"):
                batches.append(item)
        return summary, items.summed_progress(batches)

    # Algorithms

    def algorithm(self, name: str) -> Algorithm:
        """Return an algorithm, read consistently. Raises NotFound."""
        item = self._table.get(items.algorithm_key(name))
        if item is None:
            raise NotFound(f"there is no algorithm {name!r}")
        return items.algorithm(item)

    def algorithms(self, limit: int = 10_000) -> list[Algorithm]:
        """Return all algorithms by name."""
        query = Query(
            index="byOwner",
            condition="ownerPk = :all",
            values={":all": items.ALGORITHMS},
            attributes=items.ALGORITHM_ROW,
        )
        return [items.algorithm(item) for item in self._table.query(query, limit)]

    def algorithm_names(self, limit: int = 10_000) -> list[str]:
        """Return the names of all algorithms, sorted."""
        query = Query(
            index="byOwner", condition="ownerPk = :all", values={":all": items.ALGORITHMS}, attributes=("name",)
        )
        return [item["name"] for item in self._table.query(query, limit)]

    def newest_statuses(self, algorithms: Iterable[Algorithm]) -> dict[str, tuple[Status, str]]:
        """Return the status of each algorithm's newest release, and since when, by the algorithm's name.

        Where the newest release is the live one, the algorithm's own item says so. Of the others only these two values
        are read.
        """
        found: dict[str, tuple[Status, str]] = {}
        unknown: dict[str, str] = {}
        for algorithm in algorithms:
            if algorithm.live and algorithm.live.release_id == algorithm.latest_release_id:
                found[algorithm.name] = (Status.LIVE, algorithm.updated_at)
            else:
                unknown[algorithm.latest_release_id] = algorithm.name
        keys = [items.release_key(release_id) for release_id in unknown]
        for item in self._table.get_all(keys, ("releaseId", "status", "updatedAt")):
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
        self._switch_live(
            algorithm, release, StatusChange(Status.RETIRED, utc_now(), f"{release.release_id} went live")
        )

    def roll_back(self, algorithm: Algorithm, to_release: Release, *, author: str | None = None) -> None:
        """Make an earlier release the live one again: it becomes LIVE, the live one ROLLED_BACK, in one transaction.

        `algorithm` is as it was when that was decided, and `author` is who asked for it. Raises Conflict if the live
        release or the earlier one has changed in the meantime.
        """
        self._switch_live(algorithm, to_release, StatusChange(Status.ROLLED_BACK, utc_now(), by=author))

    def _switch_live(self, algorithm: Algorithm, release: Release, old_change: StatusChange) -> None:
        """Make a release the live one, and give the one before it, if there is one, the status of `old_change`."""
        if algorithm.live and algorithm.live.release_id == release.release_id:
            raise Conflict(f"release {release.release_id} is live already")
        now, author = old_change.at, old_change.by
        before = [live for live in (algorithm.live, *algorithm.live_before) if live is not None]
        before = [live for live in before if live.release_id != release.release_id][:LIVE_KEPT]
        trend = [*algorithm.trend, WentLive(release.release_id, now, release.memory_mb, release.cost_usd_per_million)]
        live = items.live_value(release, before, trend[-TREND_KEPT:])
        values = {":id": release.release_id, ":live": live, ":type": release.type, ":now": now}
        condition = "attribute_not_exists(liveReleaseId)"
        if algorithm.live:
            condition, values[":was"] = "liveReleaseId = :was", algorithm.live.release_id
        updates = [
            Update(
                key=items.algorithm_key(algorithm.name),
                expression="SET liveReleaseId = :id, live = :live, #type = :type, updatedAt = :now",
                condition=condition,
                names={"#type": "type"},
                values=values,
            ),
            _status_update(release.release_id, StatusChange(Status.LIVE, now, by=author), before=release.status),
        ]
        if algorithm.live:
            updates.append(_status_update(algorithm.live.release_id, old_change, before=Status.LIVE))
        try:
            self._table.update_together(updates)
        except ConditionFailed as error:
            raise Conflict(f"algorithm {algorithm.name!r} or its releases changed in the meantime") from error

    # Locks

    def acquire_lock(self, name: str, owner: str, *, seconds: int) -> None:
        """Take or renew the algorithm's lock for `owner`. Raises LockHeld while another owner holds it."""
        now = datetime.now(UTC)
        expires_at = iso_utc(now + timedelta(seconds=seconds))
        free = Condition(
            expression="attribute_not_exists(pk) OR #owner = :me OR expiresAt < :now",
            names={"#owner": "owner"},
            values={":me": owner, ":now": iso_utc(now)},
        )
        try:
            self._table.put({**items.algorithm_key(name, "LOCK"), "owner": owner, "expiresAt": expires_at}, free)
        except ConditionFailed as error:
            held = self.lock_owner(name)
            raise LockHeld(*(held or ("an owner that has just released it", "now"))) from error

    def lock_owner(self, name: str) -> tuple[str, str] | None:
        """Return who holds the algorithm's lock and until when (ISO 8601), or None."""
        item = self._table.get(items.algorithm_key(name, "LOCK"))
        return (item["owner"], item["expiresAt"]) if item else None

    def is_in_flight(self, release_id: str) -> bool:
        """Return whether there is an upload or a release with this id that has not ended."""
        item = self._table.get(items.release_key(release_id))
        return item is not None and Status(item["status"]) in IN_FLIGHT

    def release_lock(self, name: str, owner: str) -> None:
        """Release the lock. Does nothing if `owner` does not hold it."""
        mine = Condition(expression="#owner = :me", names={"#owner": "owner"}, values={":me": owner})
        try:
            self._table.delete(items.algorithm_key(name, "LOCK"), mine)
        except ConditionFailed:
            return

    # What the sweeper saw

    def look(self) -> Look | None:
        """Return what the sweeper saw when it last looked around, or None if it never has."""
        item = self._table.get(items.LOOK_KEY)
        return Look.from_json(item["look"]) if item else None

    def put_look(self, look: Look) -> None:
        """Keep what the sweeper has seen, in place of what it saw before."""
        self._table.put({**items.LOOK_KEY, "look": look.to_json()})


def _status_update(
    release_id: str, change: StatusChange, *, before: Status, values: Mapping[str, Any] | None = None
) -> Update:
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
    return Update(
        key=items.release_key(release_id),
        expression=expression,
        condition="#status = :before",
        names=names,
        values=bound,
    )

"""Forgets what AWS forgets: expired objects, log lines past their group's retention, old executions, old stack events.

ministack keeps all of it for ever. What is deleted here follows from what the services were told (life cycles of
buckets, retention of log groups) and from AWS's own limits. The clock is passed in, so that a test can let months go
by.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from greenroom.embedded.durable import Effects, marks

EVERY_S = 3_600
"""How often everything is looked through. The shortest retention is a day."""

EXECUTION_DAYS = 90
"""https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html"""

HISTORY_DAYS = 30
"""How long the history of an execution is kept: AWS keeps it as long as the execution. It is most of what a release
leaves."""

STACK_EVENT_DAYS = 90
"""Of stacks that are there, and of those that were deleted.
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/view-stack-events.html"""

logger = logging.getLogger(__name__)


def install() -> None:
    """Have CloudFormation give buckets their life cycles, which ministack leaves out."""
    from ministack.services import s3
    from ministack.services.cloudformation import provisioners

    handlers = provisioners._RESOURCE_HANDLERS["AWS::S3::Bucket"]
    create, update = handlers["create"], handlers["update"]

    def create_with_rules(logical_id: str, properties: dict[str, Any], stack_name: str) -> Any:
        made = create(logical_id, properties, stack_name)
        _set_rules(s3, made[0], properties)
        return made

    def update_with_rules(physical_id: str, old: dict[str, Any], new: dict[str, Any], stack_name: str) -> Any:
        made = update(physical_id, old, new, stack_name)
        _set_rules(s3, made[0], new)
        return made

    handlers.update(create=create_with_rules, update=update_with_rules)


def _set_rules(s3: Any, bucket: str, properties: dict[str, Any]) -> None:
    """Note the rules that delete objects, in the form in which S3's own API leaves them."""
    rules = [
        {
            **({"ID": rule["Id"]} if "Id" in rule else {}),
            "Status": rule["Status"],
            "Filter": {"Prefix": rule.get("Prefix", "")},
            "Expiration": {"Days": int(rule["ExpirationInDays"])},
        }
        for rule in properties.get("LifecycleConfiguration", {}).get("Rules", ())
        if "ExpirationInDays" in rule
    ]
    if rules:
        s3._bucket_lifecycle[bucket] = rules
    else:
        s3._bucket_lifecycle.pop(bucket, None)


class Retention:
    """Deletes what is past its time.

    Args:
        effects: what keeps ministack's state.
        clock: seconds since 1970.
    """

    def __init__(self, effects: Effects, clock: Callable[[], float] = time.time) -> None:
        self._effects, self._clock = effects, clock

    async def keep_up(self) -> None:
        """Delete what is past its time, now and every hour, for ever. On the event loop, as all that writes."""
        while True:
            for delete in (self.objects, self.log_lines, self.executions, self.stack_events):
                try:
                    delete()
                except Exception:
                    # What could not be deleted stays, and the rest must not stay with it.
                    logger.exception("could not delete what is past its time")
                await asyncio.sleep(0)
            await asyncio.sleep(EVERY_S)

    def objects(self) -> None:
        """Delete the objects that have expired by their buckets' life cycles."""
        from ministack.core.responses import set_request_account_id
        from ministack.services import s3

        now = datetime.fromtimestamp(self._clock(), UTC)
        for (account, bucket), rules in list(s3._bucket_lifecycle._data.items()):
            expiring = list(_expiring(rules))
            if not expiring:
                continue
            set_request_account_id(account)
            found = s3._buckets.get(bucket) or {}
            expired = [
                key
                for key, value in list(found.get("objects", {}).items())
                if any(
                    key.startswith(prefix) and _expires(value["last_modified"], days) <= now
                    for prefix, days in expiring
                )
            ]
            for key in expired:
                s3._delete_object(bucket, key)

    def log_lines(self) -> None:
        """Delete the lines that are older than their group's retention, and the streams that have none left."""
        from ministack.services import cloudwatch_logs

        logs = self._effects.logs
        for (account, region, name), group in list(cloudwatch_logs._log_groups.all_items()):
            days = group.get("retentionInDays")
            if not days:
                continue
            before_ms = int((self._clock() - days * 86_400) * 1_000)
            self._effects.store.write(logs.forget_before((account, region, name), before_ms), may_lag=True)
            for stream, value in list(group["streams"].items()):
                if not value["events"] and (value.get("lastEventTimestamp") or value["creationTime"]) < before_ms:
                    del group["streams"][stream]

    def executions(self) -> None:
        """Delete the executions that ended long ago, and before that their histories."""
        from ministack.services import stepfunctions

        for (account, region, arn), execution in list(stepfunctions._executions.all_items()):
            ended_at = execution.get("stopDate")
            if not ended_at or execution["status"] == "RUNNING":
                continue
            age_days = self._age_days(ended_at)
            if age_days > EXECUTION_DAYS:
                stepfunctions._executions.pop_scoped(account, region, arn, None)
            elif age_days > HISTORY_DAYS and execution["events"]:
                execution["events"] = []
                marks.mark_in_background(self._effects.histories, (account, region, arn))

    def stack_events(self) -> None:
        """Delete the stacks that were deleted long ago, and the events of long ago."""
        from ministack.services import cloudformation

        for (account, region, name), stack in list(cloudformation._stacks.all_items()):
            deleted = stack.get("StackStatus") == "DELETE_COMPLETE"
            if deleted and self._age_days(stack.get("DeletionTime") or stack["CreationTime"]) > STACK_EVENT_DAYS:
                cloudformation._stacks.pop_scoped(account, region, name, None)
        for (account, region, stack_id), events in list(cloudformation._stack_events.all_items()):
            kept = [event for event in events if self._age_days(event["Timestamp"]) <= STACK_EVENT_DAYS]
            if not kept:
                cloudformation._stack_events.pop_scoped(account, region, stack_id, None)
            elif len(kept) < len(events):
                cloudformation._stack_events.set_scoped(account, region, stack_id, kept)

    def _age_days(self, at: str) -> float:
        return (self._clock() - datetime.fromisoformat(at).timestamp()) / 86_400


def _expiring(rules: Any) -> Iterator[tuple[str, int]]:
    """Yield the prefix and the days of each rule that deletes objects by their age and prefix alone."""
    for rule in rules if isinstance(rules, list) else ():
        filter_, days = rule.get("Filter") or {}, (rule.get("Expiration") or {}).get("Days")
        if rule.get("Status") == "Enabled" and days and set(filter_) <= {"Prefix"}:
            yield filter_.get("Prefix", ""), int(days)


def _expires(last_modified: str, days: int) -> datetime:
    """Return when an object expires: so many days after it was made, at the next midnight in UTC.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/intro-lifecycle-rules.html#intro-lifecycle-rules-number-of-days
    """
    due = datetime.fromisoformat(last_modified).astimezone(UTC) + timedelta(days=days)
    midnight = due.replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight if midnight == due else midnight + timedelta(days=1)

"""Step Functions: executions, and their histories, one record an event."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from greenroom.embedded.durable import marks
from greenroom.embedded.durable.codec import Key
from greenroom.embedded.durable.histories import Found, Histories
from greenroom.embedded.durable.shelves import Shelf
from greenroom.store import Store


class Executions:
    """The executions of every state machine."""

    def __init__(self, store: Store) -> None:
        self._store = store
        # An execution's thread keeps it, and ends it without asking for it again.
        self._executions = Shelf("stepfunctions.executions", left_out=("events",), is_busy=_is_running)
        self.events = Histories("stepfunctions.events", self._find, self._put)

    def install(self) -> None:
        """Have ministack note each event of an execution."""
        from ministack.services import stepfunctions

        def mark_events(key: Key, _: Any) -> None:
            marks.mark(self.events, key)

        self._executions.install(stepfunctions._executions, take=mark_events, drop=mark_events)
        add_event, execute_task = stepfunctions._add_event, stepfunctions._execute_task

        def noted_event(execution: dict[str, Any], kind: str, details: Any = None) -> Any:
            event = add_event(execution, kind, details)
            arn = execution["executionArn"]
            region, account = arn.split(":", 5)[3:5]
            marks.mark_in_background(self._executions, (account, region, arn))
            marks.mark_in_background(self.events, (account, region, arn))
            return event

        def task_on_a_usable_disk(*state: Any) -> Any:
            # What a task does could not be kept, and its function would fail.
            self._store.wait_until_usable()
            return execute_task(*state)

        stepfunctions._add_event = noted_event
        stepfunctions._execute_task = task_on_a_usable_disk

    def load(self, store: Store) -> None:
        """Read the executions. Those that were running have failed: nothing goes on with them."""
        self._executions.load(store)
        for _, execution in dict.items(self._executions.held):
            execution["events"] = []
        self.events.load(store)
        for key, execution in dict.items(self._executions.held):
            if _is_running(execution):
                execution.update(
                    status="FAILED",
                    stopDate=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                    error="States.ServiceRestart",
                    cause="the embedded AWS was started again while the execution was running",
                )
                marks.mark_in_background(self._executions, key)

    def _find(self, key: Key) -> Found | None:
        execution = dict.get(self._executions.held, key)
        return None if execution is None else (0, execution["events"])

    def _put(self, key: Key, found: Found) -> None:
        execution = dict.get(self._executions.held, key)
        if execution is not None:
            execution["events"] = found[1]


def _is_running(execution: dict[str, Any]) -> bool:
    return execution.get("status") == "RUNNING"

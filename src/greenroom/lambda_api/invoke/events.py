"""Asynchronous invocations: a queue on disk, attempts with waits between them, and where the outcome goes.

An event that was accepted is in the store before the caller knows; it leaves the store when its outcome has been
delivered. So a killed process loses none, and may run one twice, as Lambda may.
"""

from __future__ import annotations

import heapq
import logging
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

from greenroom.lambda_api.errors import LambdaError
from greenroom.lambda_api.invoke import attempts as deciding
from greenroom.lambda_api.invoke.attempts import Again, Attempts, Settings, Waits
from greenroom.lambda_api.invoke.destinations import Deliveries, Outcome
from greenroom.lambda_api.invoke.execution import Executor, Functions, Target, Wish
from greenroom.lambda_api.invoke.ports import Outside
from greenroom.store import Store

log = logging.getLogger(__name__)

TABLE = "lambda.events"

WORKERS = 64
"""How many events are attempted at once: less than the account's concurrency, so that callers who wait come through."""


@dataclass(frozen=True)
class Event:
    """One accepted event."""

    request_id: str
    name: str
    qualifier: str | None
    payload: str
    attempts: Attempts

    def record(self) -> dict[str, Any]:
        """Return it as the store keeps it."""
        return {
            "requestId": self.request_id,
            "name": self.name,
            "qualifier": self.qualifier,
            "payload": self.payload,
            "acceptedAt": self.attempts.accepted_at,
            "runs": self.attempts.runs,
            "throttles": self.attempts.throttles,
        }

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Event:
        """Return what the store kept."""
        attempts = Attempts(record["acceptedAt"], record["runs"], record["throttles"])
        return cls(record["requestId"], record["name"], record["qualifier"], record["payload"], attempts)


class EventQueue:
    """The queue. Any thread may call it.

    Args:
        store: where accepted events are.
        functions: what is invoked, and the settings of it.
        executor: runs invocations.
        waits: how long to wait between attempts.
        outside: where outcomes go.
    """

    def __init__(self, store: Store, functions: Functions, executor: Executor, waits: Waits, outside: Outside) -> None:
        self._store = store
        self._table = store.table(TABLE)
        self._functions = functions
        self._executor = executor
        self._waits = waits
        self.deliveries = Deliveries(outside, self._invoke_by_arn)
        self._due: list[tuple[float, str]] = []
        self._turn = threading.Condition()
        self._closed = False
        self._workers = ThreadPoolExecutor(WORKERS, thread_name_prefix="greenroom-event")
        self._thread = threading.Thread(target=self._run, name="greenroom-events", daemon=True)

    def start(self) -> None:
        """Begin to attempt what is there and what comes."""
        now = time.time()
        for key, record in self._table.items():
            self._schedule(max(record.get("dueAt", now), now), key)
        self._thread.start()

    def close(self) -> None:
        """Stop. What is not done stays in the store."""
        with self._turn:
            self._closed = True
            self._turn.notify_all()
        self._workers.shutdown(wait=False, cancel_futures=True)

    def accept(self, target: Target, payload: bytes, request_id: str) -> None:
        """Take an event. It is on disk after the store's next barrier."""
        now = time.time()
        event = Event(request_id, target.name, target.qualifier, payload.decode(), Attempts(now))
        key = f"{now:017.6f}-{request_id}"
        self._table.put(key, event.record())
        self._schedule(now, key)

    def _invoke_by_arn(self, arn: str, payload: bytes) -> None:
        """Take an event for a function that its ARN names. Raises LookupError if there is none."""
        try:
            target = self._functions.resolve(arn)
        except LambdaError as error:
            raise LookupError(str(error)) from error
        self.accept(target, payload, str(uuid4()))

    def _schedule(self, at: float, key: str) -> None:
        with self._turn:
            heapq.heappush(self._due, (at, key))
            self._turn.notify()

    def _run(self) -> None:
        while True:
            with self._turn:
                while not self._closed and (not self._due or self._due[0][0] > time.time()):
                    self._turn.wait(self._due[0][0] - time.time() if self._due else None)
                if self._closed:
                    return
                _, key = heapq.heappop(self._due)
                self._workers.submit(self._attempt_logged, key)

    def _attempt_logged(self, key: str) -> None:
        try:
            self._attempt(key)
        except Exception:
            log.exception("event %s is tried again", key)
            self._schedule(time.time() + self._waits.longest_throttle_s, key)

    def _attempt(self, key: str) -> None:
        self._store.wait_until_usable()  # what comes of it could not be kept
        record = self._table.get(key)
        if record is None:
            return
        event = Event.of(record)
        try:
            target = self._functions.resolve(event.name, event.qualifier)
        except LambdaError:
            self._table.delete(key)  # the function, version or alias is gone, and its destinations with it
            return
        config = self._functions.event_invoke_config(event.name, event.qualifier)
        settings = Settings.of(config)
        outcome = Outcome(
            event.request_id,
            f"{target.arn}:{target.qualifier or '$LATEST'}",
            "",
            event.attempts.runs,
            event.payload.encode(),
        )
        if self._functions.reserved_concurrency(event.name) == 0:
            self._finish(key, target, config, replace(outcome, condition="ZeroReservedConcurrency"))
            return
        tried = event.attempts
        try:
            done = self._executor.run(target, event.payload.encode(), Wish(event.request_id))
        except LambdaError as error:
            if error.status not in (409, 429):
                raise
            tried = replace(tried, throttles=tried.throttles + 1)
            step = deciding.after_throttle(tried, settings, self._waits, time.time())
        else:
            tried = Attempts(tried.accepted_at, tried.runs + 1)
            failed = done.result.function_error is not None
            step = deciding.after_run(tried, failed, settings, self._waits, time.time())
            outcome = replace(
                outcome,
                invoke_count=tried.runs,
                executed_version=done.version,
                function_error=done.result.function_error,
                answer=done.result.payload,
            )
        if isinstance(step, Again):
            self._table.put(key, replace(event, attempts=tried).record() | {"dueAt": step.at})
            self._schedule(step.at, key)
        else:
            self._finish(key, target, config, replace(outcome, condition=step.condition))

    def _finish(self, key: str, target: Target, config: Mapping[str, Any] | None, outcome: Outcome) -> None:
        role = target.config.get("Role", "")
        kind = "OnSuccess" if outcome.condition == "Success" else "OnFailure"
        destination = (((config or {}).get("DestinationConfig") or {}).get(kind) or {}).get("Destination")
        if destination:
            self.deliveries.outcome(destination, role, outcome, time.time())
        dead_letters = (target.config.get("DeadLetterConfig") or {}).get("TargetArn")
        if dead_letters and outcome.condition != "Success":
            self.deliveries.dead_letter(dead_letters, role, outcome)
        self._table.delete(key)

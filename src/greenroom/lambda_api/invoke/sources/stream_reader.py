"""Reads a DynamoDB stream for an event source mapping.

A record is done when the function has handled it, a filter has dropped it or its batch was given up. The position that
is kept on disk is the one before the first record that is not done: a killed process reads from there again.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import uuid4

from greenroom.lambda_api.errors import LambdaError
from greenroom.lambda_api.invoke.destinations import Deliveries
from greenroom.lambda_api.invoke.execution import Executor, Functions, Target, Wish
from greenroom.lambda_api.invoke.ports import Outside
from greenroom.lambda_api.invoke.sources import batches, filters, partial
from greenroom.lambda_api.invoke.sources import settings as checking
from greenroom.lambda_api.invoke.sources.batches import Batch, Condition, LastRun, Plan, Record, Rules
from greenroom.lambda_api.invoke.sources.mappings import POSITIONS, Mappings
from greenroom.store import Store

log = logging.getLogger(__name__)

PROBLEM_WAIT_S = 1.0
"""How long a stream is left alone after its function could not be invoked, or its role may not read it."""

Run = Callable[[Callable[[], None]], None]


@dataclass
class Lane:
    """The records of some items, in order: one batch of them runs at a time."""

    again: deque[Batch] = field(default_factory=deque)
    new: deque[Record] = field(default_factory=deque)
    busy: bool = False
    not_before: float = 0.0
    since: float = 0.0


class Invoking:
    """What a reader invokes, and where it tells of what it gives up."""

    def __init__(self, functions: Functions, executor: Executor, deliveries: Deliveries) -> None:
        self.functions = functions
        self.executor = executor
        self.deliveries = deliveries


class StreamReader:
    """Reads one stream for one mapping. `step` is called by one thread, the batches run on others.

    Args:
        mapping: the mapping when it was last changed.
        mappings: where the role's rights are checked.
        invoking: what is invoked.
        outside: the stream.
        store: where the position is.
    """

    def __init__(
        self, mapping: Mapping[str, Any], mappings: Mappings, invoking: Invoking, outside: Outside, store: Store
    ) -> None:
        self._mapping = mapping
        self._arn = str(mapping["EventSourceArn"])
        self._rules = Rules.of(mapping)
        self._patterns = checking.patterns(mapping)
        self._mappings = mappings
        self._invoking = invoking
        self._outside = outside
        self._positions = store.table(POSITIONS)
        self._lock = threading.Lock()
        self._lanes = [Lane() for _ in range(int(mapping.get("ParallelizationFactor") or 1))]
        kept = self._positions.get(mapping["UUID"]) or {}
        self._after: str = kept.get("after", "")
        self._fetched_to = self._after
        self._open: deque[list[Any]] = deque()  # [sequence number, whether it is done], in the stream's order
        self._stopping = False
        self._begun_failures = int(kept.get("failures", 0)) if len(self._lanes) == 1 else 0

    def stopped(self) -> bool:
        """Begin nothing more; return whether nothing is under way either."""
        self._stopping = True
        with self._lock:
            return not any(each.busy for each in self._lanes)

    def step(self, now: float, run: Run) -> float:
        """Start what can be started; return when there is something to do again, unless something arrives before."""
        if self._stopping:
            return math.inf
        self._fetch(now)
        due = math.inf
        for each in self._lanes:
            with self._lock:
                batch, at = self._next(each, now)
            due = min(due, at)
            if batch is not None:
                run(lambda each=each, batch=batch: self._run(each, batch))  # type: ignore[misc]
        return due

    def _fetch(self, now: float) -> None:
        """Read on, a batch ahead for each lane."""
        most = int(self._mapping["BatchSize"]) * len(self._lanes) - len(self._open)
        if most <= 0 or now < min(each.not_before for each in self._lanes):
            return
        found = self._outside.streams.records(self._arn, self._fetched_to, most)
        if not found:
            return
        if not self._may_read():
            self._mappings.note_result(self._mapping["UUID"], "PROBLEM: Function call failed")
            for each in self._lanes:
                each.not_before = now + PROBLEM_WAIT_S
            return
        with self._lock:
            for record in found:
                wanted = filters.matches(record, self._patterns)
                self._open.append([batches.sequence(record), not wanted])
                if wanted:
                    lane = self._lanes[batches.lane(record, len(self._lanes))]
                    lane.since = lane.since if lane.new else now
                    lane.new.append(record)
            self._fetched_to = batches.sequence(found[-1])
            self._move_on()

    def _may_read(self) -> bool:
        try:
            role = self._invoking.functions.resolve(self._mapping["FunctionArn"]).config.get("Role", "")
        except LambdaError:
            return False
        return self._mappings.refused_action(role, self._arn) is None

    def _next(self, lane: Lane, now: float) -> tuple[Batch | None, float]:
        """Return the batch that a lane begins now, and when it is to be looked at again."""
        if lane.busy or not (lane.again or lane.new):
            return None, math.inf
        if now < lane.not_before:
            return None, lane.not_before
        size = int(self._mapping["BatchSize"])
        if not lane.again:
            full_at = lane.since + float(self._mapping["MaximumBatchingWindowInSeconds"])
            if len(lane.new) < size and now < full_at:
                return None, full_at
            sizes = [len(batches.encoded([each])) for each in list(lane.new)[:size]]
            count = batches.within_size(sizes)
            lane.again.append(Batch(tuple(lane.new.popleft() for _ in range(count)), self._begun_failures))
            self._begun_failures = 0
        lane.busy = True
        return lane.again.popleft(), math.inf

    def _run(self, lane: Lane, batch: Batch) -> None:
        try:
            self._handle(lane, batch)
        except Exception:
            log.exception("a batch of %s is read again", self._arn)
            with self._lock:
                lane.again.appendleft(batch)
                lane.not_before = time.time() + PROBLEM_WAIT_S
        finally:
            with self._lock:
                lane.busy = False
            self._outside.arrivals.wake()

    def _handle(self, lane: Lane, batch: Batch) -> None:
        target = self._invoking.functions.resolve(self._mapping["FunctionArn"])
        old, young = batches.without_old(batch, self._rules.max_age_s, time.time())
        if old is not None:
            self._give_up(target, old, "RecordAgeExceeded", LastRun(str(uuid4()), "", None))
        if young is None:
            return
        request_id = str(uuid4())
        try:
            done = self._invoking.executor.run(target, batches.encoded(young.records), Wish(request_id))
        except LambdaError as error:  # it is throttled: that is no failure of the batch
            log.info("a batch of %s is read again: %s", self._arn, error)
            self._settle(lane, Plan(again=(young,)), time.time() + PROBLEM_WAIT_S)
            return
        sent = replace(young, invokes=young.invokes + 1)
        if done.result.function_error is None:
            failed = self._reported(done.result.payload, sent)
            if failed is not None and not failed:
                self._mappings.note_result(self._mapping["UUID"], "OK")
                self._settle(lane, Plan(done=sent.records), 0.0)
                return
        else:
            failed = None
        self._mappings.note_result(self._mapping["UUID"], "PROBLEM: Function call failed")
        plan = batches.after_failure(sent, failed, self._rules)
        if plan.given_up is not None:
            run = LastRun(request_id, done.version, done.result.function_error)
            self._give_up(target, plan.given_up, "RetryAttemptsExhausted", run)
        wait_s = batches.retry_wait_s(plan.again[0].failures) if plan.again and plan.again[0].failures else 0.0
        self._settle(lane, plan, time.time() + wait_s)

    def _reported(self, answer: bytes, batch: Batch) -> set[str] | None:
        """Return the sequence numbers that the function reported as failed; None if the whole batch failed."""
        if "ReportBatchItemFailures" not in self._mapping["FunctionResponseTypes"]:
            return set()
        try:
            return partial.failed_items(answer, {batches.sequence(each) for each in batch.records})
        except partial.WholeBatchFailed as error:
            log.info("a batch of %s failed as a whole: %s", self._arn, error)
            return None

    def _give_up(self, target: Target, batch: Batch, condition: Condition, run: LastRun) -> None:
        now = time.time()
        destination = ((self._mapping.get("DestinationConfig") or {}).get("OnFailure") or {}).get("Destination")
        if destination:
            record = batches.failure_record(batch, self._mapping, condition, run, now)
            if destination.split(":")[2] == "s3":
                record["payload"] = batches.encoded(batch.records).decode()
            key = batches.failure_key(self._mapping, now)
            self._invoking.deliveries.stream_failure(destination, target.config.get("Role", ""), record, key)
        self._finish(batch.records)

    def _settle(self, lane: Lane, plan: Plan, not_before: float) -> None:
        with self._lock:
            lane.again.extendleft(reversed(plan.again))
            lane.not_before = not_before
        self._finish(plan.done, plan.again[0].failures if plan.again else 0)

    def _finish(self, records: tuple[Record, ...], failures: int = 0) -> None:
        done = {batches.sequence(each) for each in records}
        with self._lock:
            for each in self._open:
                if each[0] in done:
                    each[1] = True
            self._move_on(failures)

    def _move_on(self, failures: int = 0) -> None:
        """Keep the position before the first record that is not done. The caller holds the lock."""
        before = self._after
        while self._open and self._open[0][1]:
            self._after = self._open.popleft()[0]
        changed = self._after != before or failures
        if changed and self._mappings.get(self._mapping["UUID"]) is not None:
            self._positions.put(self._mapping["UUID"], {"after": self._after, "failures": failures})

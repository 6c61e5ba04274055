"""Reads a queue for an event source mapping."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import uuid4

from greenroom.lambda_api.errors import LambdaError
from greenroom.lambda_api.invoke.execution import Executor, Functions, Wish
from greenroom.lambda_api.invoke.ports import Message, Outside
from greenroom.lambda_api.invoke.sources import batches, filters, partial
from greenroom.lambda_api.invoke.sources import settings as checking
from greenroom.lambda_api.invoke.sources.mappings import Mappings

log = logging.getLogger(__name__)

BATCHES_AT_ONCE = 5
"""How many batches of a queue run at once, unless the mapping says otherwise: as many as Lambda begins with.
https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html"""

RECEIVE_AT_ONCE = 10
"""How many messages SQS gives at once at most."""

PROBLEM_WAIT_S = 1.0
"""How long a queue is left alone after its function could not be invoked, or its role may not read it."""

Run = Callable[[Callable[[], None]], None]


class QueueReader:
    """Reads one queue for one mapping. `step` is called by one thread, the batches run on others.

    Args:
        mapping: the mapping when it was last changed.
        mappings: where the role's rights are checked.
        invoking: what is invoked.
        outside: the queue.
    """

    def __init__(
        self, mapping: Mapping[str, Any], mappings: Mappings, invoking: tuple[Functions, Executor], outside: Outside
    ) -> None:
        self._mapping = mapping
        self._arn = str(mapping["EventSourceArn"])
        self._patterns = checking.patterns(mapping)
        self._mappings = mappings
        self._functions, self._executor = invoking
        self._outside = outside
        self._lock = threading.Lock()
        self._in_flight = 0
        self._quiet_until = 0.0
        self._stopping = False
        self._held: list[Message] = []
        self._held_since = 0.0

    def stopped(self) -> bool:
        """Begin nothing more. Batches that are under way need no waiting for: their messages are theirs alone."""
        self._stopping = True
        return True

    def step(self, now: float, run: Run) -> float:
        """Start what can be started; return when there is something to do again, unless something arrives before."""
        if self._stopping:
            return math.inf
        while self._in_flight < self._limit():
            if now < self._quiet_until:
                return self._quiet_until
            if not self._fill(now):
                break
            batch, self._held = self._held, []
            with self._lock:
                self._in_flight += 1
            run(lambda batch=batch: self._run(batch))  # type: ignore[misc]
        return self._held_since + self._window_s if self._held else math.inf

    @property
    def _window_s(self) -> float:
        return float(self._mapping["MaximumBatchingWindowInSeconds"])

    def _limit(self) -> int:
        own = (self._mapping.get("ScalingConfig") or {}).get("MaximumConcurrency") or BATCHES_AT_ONCE
        reserved = self._functions.reserved_concurrency(self._mapping["Name"])
        return int(own if reserved is None else min(own, reserved))

    def _fill(self, now: float) -> bool:
        """Receive messages until a batch is full or there are none; return whether it is to be sent now."""
        size = int(self._mapping["BatchSize"])
        while len(self._held) < size and self._outside.queues.has_visible(self._arn):
            if not self._may_read():
                self._note("PROBLEM: Function call failed")
                break
            received = self._outside.queues.receive(self._arn, min(RECEIVE_AT_ONCE, size - len(self._held)))
            if not received:
                break
            if not self._held:
                self._held_since = now
            self._held += self._wanted(received)
        return bool(self._held) and (len(self._held) >= size or now >= self._held_since + self._window_s)

    def _may_read(self) -> bool:
        try:
            role = self._functions.resolve(self._mapping["FunctionArn"]).config.get("Role", "")
        except LambdaError:
            return False
        return self._mappings.refused_action(role, self._arn) is None

    def _wanted(self, received: Sequence[Message]) -> list[Message]:
        """Return the messages that a filter lets through. Lambda deletes the others."""
        if not self._patterns:
            return list(received)
        wanted = [each for each in received if self._matches(each)]
        dropped = {each.receipt for each in received} - {each.receipt for each in wanted}
        if dropped:
            self._outside.queues.delete(self._arn, dropped)
        return wanted

    def _matches(self, message: Message) -> bool:
        record = batches.queue_record(message, self._arn)
        return filters.matches(batches.filtered_view(record), self._patterns)

    def _run(self, batch: Sequence[Message]) -> None:
        try:
            records = [batches.queue_record(each, self._arn) for each in batch]
            sizes = [len(batches.encoded([each])) for each in records] if len(records) > 1 else [0]
            begin = 0
            while begin < len(records):
                end = begin + batches.within_size(sizes[begin:])
                self._invoke(batch[begin:end], records[begin:end])
                begin = end
        except Exception:
            log.exception("a batch of %s is received again", self._arn)
            self._note("PROBLEM: internal Lambda error. Please contact Lambda customer support.")
        finally:
            with self._lock:
                self._in_flight -= 1
            self._outside.arrivals.wake()

    def _invoke(self, batch: Sequence[Message], records: Sequence[batches.Record]) -> None:
        """Invoke the function; what was not done right stays in the queue, hidden until its time-out is over."""
        try:
            target = self._functions.resolve(self._mapping["FunctionArn"])
            done = self._executor.run(target, batches.encoded(records), Wish(str(uuid4())))
        except LambdaError as error:
            log.info("a batch of %s is received again: %s", self._arn, error)
            self._note("PROBLEM: Function call failed")
            return
        if done.result.function_error:
            self._note("PROBLEM: Function call failed", quiet=False)
            return
        failed: set[str] = set()
        if "ReportBatchItemFailures" in self._mapping["FunctionResponseTypes"]:
            try:
                failed = partial.failed_items(done.result.payload, {each.id for each in batch})
            except partial.WholeBatchFailed as error:
                log.info("a batch of %s failed as a whole: %s", self._arn, error)
                self._note("PROBLEM: Function call failed", quiet=False)
                return
        self._outside.queues.delete(self._arn, {each.receipt for each in batch if each.id not in failed})
        self._note("OK", quiet=False)

    def _note(self, result: str, *, quiet: bool = True) -> None:
        self._mappings.note_result(self._mapping["UUID"], result)
        if quiet:
            self._quiet_until = time.time() + PROBLEM_WAIT_S

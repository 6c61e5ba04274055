"""What has changed of ministack's state, and the transactions that it becomes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from greenroom.embedded.durable import marks
from greenroom.embedded.durable.codec import Key
from greenroom.embedded.durable.executions import Executions
from greenroom.embedded.durable.logs import Logs
from greenroom.embedded.durable.objects import Objects
from greenroom.embedded.durable.queues import Queues
from greenroom.embedded.durable.shelves import Shelf
from greenroom.embedded.durable.stacks import Stacks
from greenroom.embedded.durable.tables import Tables
from greenroom.store import Store
from greenroom.store.database import Change

logger = logging.getLogger(__name__)

MOST_NUMBERS = 2_000
"""How many records are remembered that may not be on disk yet, before those that are get forgotten."""

BACKGROUND_EVERY_S = 0.05
"""How often what changed outside of requests is written."""

SERVICES = (
    "apigateway",
    "cloudformation",
    "cloudwatch_logs",
    "dynamodb",
    "eventbridge",
    "iam",
    "s3",
    "sns",
    "sqs",
    "ssm",
    "stepfunctions",
)
"""The modules of ministack whose state is kept."""

READ_BY = {"iam": ("iam", "cloudformation"), "sts": ("sts",)}
"""Modules that every request reads, and the services in whose requests what was read may be changed."""

NOT_KEPT = frozenset(
    {
        "apigateway._jwks_cache",
        "apigateway._oidc_config_cache",
        "cloudwatch_logs._log_records",
        "cloudwatch_logs._queries",
        "eventbridge._events_log",
        "s3._completed_multipart_uploads",
        "sqs._queue_name_to_url",
        "stepfunctions._activity_tasks",
        "stepfunctions._sfn_mock_config",
        "stepfunctions._task_tokens",
    }
)
"""What serves a call under way only, or is made from other state."""

HELD_ELSEWHERE = frozenset(
    {
        "cloudformation._stack_events",
        "cloudformation._stacks",
        "cloudwatch_logs._log_groups",
        "dynamodb._stream_records",
        "dynamodb._stream_trimmed",
        "dynamodb._tables",
        "s3._buckets",
        "sqs._queues",
        "stepfunctions._executions",
    }
)
"""What has a part of its own."""


@dataclass(frozen=True)
class Written:
    """What was written: whether that is anything, and up to which number a reader of the records has to wait."""

    has_changed: bool
    needed: int


class Effects:
    """Keeps ministack's state in a store."""

    def __init__(self, store: Store, data_dir: Path) -> None:
        """Put what watches in the place of ministack's dictionaries, which have to be empty."""
        self.store = store
        self.objects = Objects(store, data_dir)
        self.logs = Logs()
        self._queues = Queues()
        self._stacks = Stacks()
        executions = Executions(store)
        self._parts = (
            Tables(),
            self._queues,
            self.objects,
            executions,
            self._stacks,
            self.logs,
        )
        self.histories = executions.events
        self._may_lag = (self.logs, self.logs.streams, self.histories)
        self._shelves = list(_shelves())
        self._lock = threading.RLock()
        self._left: list[marks.Mark] = []
        self._carried: list[Change] = []
        self._changed: list[marks.Mark] = []
        self._numbers: dict[marks.Mark, int] = {}
        self._lagging: list[Change] = []
        for part in self._parts:
            part.install()
        for shelf, container in self._shelves:
            shelf.install(container)

    def load(self) -> None:
        """Fill ministack from the store."""
        for shelf, _ in self._shelves:
            shelf.load(self.store)
        for part in self._parts:
            part.load(self.store)
        self.write_background()

    async def keep_up(self) -> None:
        """Begin what was under way when the process ended, and write what changes in the background, for ever."""
        self._stacks.resume()
        while True:
            # On the event loop: what a task of it does between two awaits is written whole or not at all.
            try:
                self.write_background()
            except OSError:
                logger.exception("what has changed can't be kept; trying again")
            await asyncio.sleep(BACKGROUND_EVERY_S)

    def write_background(self) -> None:
        """Write what changed outside of requests."""
        self.write(marks.take_background(), in_background=True)
        self.objects.tidy()

    def end(self) -> None:
        """Write what is left."""
        self.logs.is_ending = True
        self.write_background()

    @contextlib.contextmanager
    def request(self, service: str) -> Iterator[marks.Watch]:
        """Note what the code inside touches, and write it at the end."""
        watch = marks.Watch(service)
        token = marks.watching.set(watch)
        try:
            yield watch
        finally:
            marks.watching.reset(token)
            watch.is_open = False
            with contextlib.suppress(OSError):  # it is tried again
                self.write_request(watch)

    def write_request(self, watch: marks.Watch) -> Written:
        """Write what a request has changed so far, as `write` does."""
        return self.write(list(_taken(watch.marks)))

    def write(self, found: Sequence[marks.Mark], *, in_background: bool = False) -> Written:
        """Write the records that differ from what was written of them last, as one transaction.

        Raises OSError when a file can't be written: then all of it is written with the next call, and nothing before.
        """
        with self._lock:
            seen = [mark for mark in found if self._is_new(mark)]
            self._left += seen
            try:
                while self._left:
                    self._collect(self._left[-1], in_background=in_background)
                    self._left.pop()
            except OSError as error:
                self.store.note_trouble(f"files can't be written next to {self.store.path.parent} ({error.strerror})")
                raise
            if self.store.trouble:
                self.store.note_trouble(None)
            changes, self._carried = self._carried, []
            changed, self._changed = self._changed, []
            if changes:
                number = self.store.write(changes)
                self.objects.written(number)
                for mark in changed:
                    self._note_number(mark, number)
            lagging, self._lagging = self._lagging, []
            self.store.write(lagging, may_lag=True)
            needed = max((self._numbers.get(mark, 0) for mark in found), default=0)
            return Written(bool(changes), needed)

    def _is_new(self, mark: marks.Mark) -> bool:
        return mark[1] != marks.ANY

    def _collect(self, mark: marks.Mark, *, in_background: bool) -> None:
        """Add the changes of one record to those that are going to be written."""
        part, key = mark
        if in_background and part is self._queues:
            changes, lagging = self._queues.split_changes(key)
            self._lagging += lagging
        else:
            changes = _changes(part, key)
        if part in self._may_lag:
            self._lagging += changes
        elif changes:
            self._carried += changes
            self._changed.append(mark)

    def _note_number(self, mark: marks.Mark, number: int) -> None:
        """Note which write a record, and all that a reader of it may have touched, waits for."""
        part, key = mark
        self._numbers[mark] = self._numbers[part, marks.ANY] = number
        if isinstance(part, Tables | Objects):
            self._numbers[part.around(key)] = number
        if len(self._numbers) > MOST_NUMBERS:
            durable = self.store.durable
            self._numbers = {mark: number for mark, number in self._numbers.items() if number > durable}


def _changes(part: marks.Part, key: Key) -> list[Change]:
    try:
        return part.changes(key)
    except (TypeError, ValueError, KeyError):
        # A record that can't be written must not keep the others from being written.
        logger.exception("a record can't be kept: %s of %s", key, part)
        return []


def _taken(found: set[marks.Mark]) -> Iterator[marks.Mark]:
    while found:
        with contextlib.suppress(KeyError):  # another thread of the same request was faster
            yield found.pop()


def _shelves() -> Iterator[tuple[Shelf, Any]]:
    """Return a shelf for each dictionary of the services, with the dictionary."""
    from importlib import import_module

    from ministack.core.responses import AccountRegionScopedDict, AccountScopedDict

    for service in SERVICES:
        module = import_module(f"ministack.services.{service}")
        for name, container in sorted(vars(module).items()):
            if not isinstance(container, AccountRegionScopedDict | AccountScopedDict):
                continue
            full_name = f"{service}.{name}"
            if full_name not in NOT_KEPT | HELD_ELSEWHERE:
                yield Shelf(f"{service}.{name.strip('_')}", read_by=READ_BY.get(service)), container
    sts: Any = import_module("ministack.services.sts")
    yield Shelf("sts.sessions", read_by=READ_BY["sts"]), _Attribute(sts, "_sessions")


class _Attribute:
    """A plain dictionary of a module, as a container."""

    def __init__(self, module: Any, name: str) -> None:
        object.__setattr__(self, "_place", (module, name))

    @property
    def _data(self) -> Any:
        module, name = self.__dict__["_place"]
        return getattr(module, name)

    @_data.setter
    def _data(self, value: Any) -> None:
        module, name = self.__dict__["_place"]
        setattr(module, name, value)

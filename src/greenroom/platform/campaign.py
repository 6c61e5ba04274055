"""A campaign: one function measured at several memory sizes, in rounds, until enough is known to decide.

The machine that a release's test and a tuning of any function share. An owner says what is measured (`Subject`) and
where the measurements are kept (`Store`); `tuning` says what to measure next and what the measurements mean. The steps
are those of the state machines, plan → publish → execute → plan … → decide, and each may be repeated: a round plans the
same again, a version that was published is published again as the same one, and a batch that was measured is skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from greenroom import tuning
from greenroom.platform import findings, transitions
from greenroom.platform.functions import Configuration
from greenroom.platform.measurements import Slot, Store
from greenroom.platform.measuring import Meter
from greenroom.platform.services import Services
from greenroom.tuning import Batch, Decision, Measurement, TestSpec

WAIT_FOR_QUIET_S = 1.0
"""How long a batch waits in all for the machine to become quiet. On Lambda nothing is disturbed, and nothing waits."""

FIRST_WAIT_S = 0.1
"""The first pause after an invocation that was disturbed; each one in a row is twice as long."""

Watch = Callable[[Sequence[Measurement], bool], None]
"""Gets the measurements of a batch so far, and whether they are all."""


@dataclass(frozen=True)
class Publication:
    """An alias to be made, and the memory size in MB of the version that it leads to; None for the live version."""

    alias: str
    memory_mb: int | None

    def to_document(self) -> dict[str, Any]:
        """Return it as the state machine passes it to the step that publishes."""
        return {"alias": self.alias, "memoryMb": self.memory_mb}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Publication:
        """Read back what `to_document` gave."""
        return cls(document["alias"], document["memoryMb"])


@dataclass(frozen=True)
class Round:
    """What a round needs published first, and the batches that it measures; without batches the test is over."""

    publish: tuple[Publication, ...] = ()
    batches: tuple[Batch, ...] = ()

    def answer(self, event: Mapping[str, Any], max_concurrency: int) -> dict[str, Any]:
        """Return what the step `plan` answers to the state machine, whose event has "round" and "transitions"."""
        return {
            "done": not self.batches,
            "publishes": bool(self.publish),
            "publish": [publication.to_document() for publication in self.publish],
            "batches": [findings.batch_document(batch) for batch in self.batches],
            "round": event["round"],
            "nextRound": event["round"] + 1,
            "transitions": event["transitions"] + transitions.of_round(self.publish, self.batches),
            "maxConcurrency": max_concurrency,
        }


class Measured(Protocol):
    """What can be measured in batches: a function, in seconds of timeout, and how one invocation of a batch is made."""

    @property
    def function(self) -> str:
        """Name of the function."""

    @property
    def timeout_s(self) -> int:
        """How long an invocation may take."""

    @property
    def at_once(self) -> int:
        """How many invocations of a batch are made at the same time."""

    def measure(self, meter: Meter, batch: Batch, index: int) -> Measurement:
        """Make invocation number `index` of a batch."""


class Subject(Measured, Protocol):
    """The function of a campaign as its owner sees it, and what its test is."""

    @property
    def spec(self) -> TestSpec:
        """What the test is."""

    def alias_of(self, memory_mb: int, index: int) -> str:
        """Return the alias that an invocation goes through."""

    def is_published(self, publication: Publication, made: Sequence[Measurement]) -> bool:
        """Return whether an alias is there already, given what was measured in the rounds before."""

    def check(self, latest: Configuration) -> None:
        """Raise Disturbed if `$LATEST` is not what is to be measured."""

    def latest_description(self, publication: Publication) -> str | None:
        """Return how `$LATEST` is described while a version is published; None if its description stays."""

    def version_description(self, memory_mb: int) -> str:
        """Return how a version is described."""


class Campaign:
    """The steps of a campaign.

    Args:
        services: where the function is.
        subject: what is measured.
        store: where the measurements are kept.
    """

    def __init__(self, services: Services, subject: Subject, store: Store) -> None:
        self._services, self._subject, self.store = services, subject, store

    @cached_property
    def made(self) -> tuple[Measurement, ...]:
        """The measurements of the rounds before."""
        return tuple(self.store.read())

    def plan(self, round_number: int) -> Round:
        """Return what a round, counted from 0, publishes and measures; no batches if the measurements are enough."""
        batches = tuning.plan(self._subject.spec, self.made, round_number).batches
        wanted = dict.fromkeys(
            Publication(self._subject.alias_of(batch.memory_mb, index), batch.memory_mb)
            for batch in batches
            for index in range(batch.start, batch.start + batch.count)
        )
        new = tuple(each for each in wanted if not self._subject.is_published(each, self.made))
        return Round(new, batches)

    def publish(self, publication: Publication) -> str:
        """Publish the function at a memory size, let the alias lead to the version, and return it.

        Raises Disturbed, and NotReady if Lambda does not get done.
        """
        subject, functions, memory_mb = self._subject, self._services.functions, publication.memory_mb
        if memory_mb is None:
            raise ValueError(f"alias {publication.alias} has no memory size to publish {subject.function} at")
        latest = functions.updated(subject.function)
        subject.check(latest)
        # What is published is what has just been configured: the configuration names its revision.
        configured = functions.configure(
            subject.function, latest, memory_mb=memory_mb, description=subject.latest_description(publication)
        )
        version = functions.publish(subject.function, configured, subject.version_description(memory_mb))
        functions.point(subject.function, publication.alias, version)
        return version

    def execute(self, batch: Batch, round_number: int, watch: Watch | None = None) -> None:
        """Measure a batch of a round, as `measure_batch` does."""
        measure_batch(self._services, self._subject, batch, self.store.slot(batch, round_number), watch)

    def decide(self, made: Sequence[Measurement], versions: Mapping[int, str] | None = None) -> Decision:
        """Return what follows from the measurements, given the version of each memory size."""
        return tuning.decide(self._subject.spec, made, versions)


class _Patience:
    """Waits for a machine to become quiet, within a bound."""

    def __init__(self, sleep: Callable[[float], None]) -> None:
        self._sleep, self._left_s, self._next_s = sleep, WAIT_FOR_QUIET_S, FIRST_WAIT_S

    def after(self, row: Measurement) -> None:
        """Wait after an invocation that was disturbed."""
        if row.disturbed_ms is None:
            self._next_s = FIRST_WAIT_S
            return
        pause_s = min(self._next_s, self._left_s)
        if pause_s > 0:
            self._sleep(pause_s)
        self._left_s -= pause_s
        self._next_s *= 2


def measure_batch(services: Services, measured: Measured, batch: Batch, slot: Slot, watch: Watch | None = None) -> None:
    """Make the invocations of a batch and keep the measurements in their slot; nothing happens if it is filled.

    The batch ends early at the first clear sign that the memory size is too small or the function fails, and where
    Lambda throttles for long: the next plan then asks for what is missing, or for nothing more. Invocations that are
    made at the same time are all made. After one that the machine disturbed it waits, longer each time in a row, but no
    longer than `WAIT_FOR_QUIET_S` in a batch.
    """
    if slot.is_filled():
        return
    meter = Meter(services, measured.function, measured.timeout_s)
    indexes = range(batch.start, batch.start + batch.count)
    rows: list[Measurement] = []
    patience = _Patience(meter.sleep)
    if measured.at_once > 1:
        with ThreadPoolExecutor(min(measured.at_once, batch.count)) as pool:
            rows = list(pool.map(lambda index: measured.measure(meter, batch, index), indexes))
    else:
        for index in indexes:
            rows.append(measured.measure(meter, batch, index))
            if tuning.ends_batch(rows[-1]) or not rows[-1].counts:
                break
            if watch:
                watch(rows, False)
            patience.after(rows[-1])
    if watch:
        watch(rows, True)
    slot.fill(rows)

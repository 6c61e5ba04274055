"""A release compared with the live one: both are measured in turn, on the test cases that both packages have.

It comes last in a test and only if the release would go live. Each side runs its own package's case, so that nothing
but a name is in the event; the live version is invoked through an alias for tests, without its queue or bucket.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from greenroom.platform import cases, findings, names, specs, storage
from greenroom.platform.campaign import Publication, Round, measure_batch
from greenroom.platform.measurements import Store
from greenroom.platform.measuring import Disturbed, Meter
from greenroom.platform.services import Services
from greenroom.releases import Release
from greenroom.tuning import Batch, Decision, Measurement, compare, plan_with_live, sentences, side_of
from greenroom.wire import models

NO_LIVE_RELEASE = "no release is live any more to compare with"


class LiveComparison:
    """The comparison of a release with the one that is live.

    Args:
        services: where both are.
        release: the release under test.
    """

    def __init__(self, services: Services, release: Release) -> None:
        self._services, self._release = services, release
        self.store = Store(services, storage.live_comparison_prefix(release.release_id))
        found = specs.live_side(services.registry, release.algorithm, release.cases, release.case_inputs)
        self.live = None if found and found.release_id == release.release_id else found

    @property
    def function(self) -> str:
        """Name of the function: both are versions of it."""
        return self._services.function_name(self._release.algorithm)

    @property
    def at_once(self) -> int:
        """One invocation at a time: what they share would disturb both sides."""
        return 1

    @property
    def timeout_s(self) -> int:
        """How long an invocation of either side may take."""
        return max(self._release.metadata.timeout, self.live.timeout_s if self.live else 0)

    def is_due(self) -> bool:
        """Return whether there is something to compare that has not been measured."""
        return self.live is not None and bool(self.live.cases) and self.store.is_empty()

    def plan(self, decision: Decision) -> Round:
        """Return the round that measures the release, at the size that was chosen, and the live one in turn.

        It is empty if it is not due, or if the release would not go live.
        """
        if self.live is None or not self.is_due() or decision.chosen_memory_mb is None or not decision.passed:
            return Round()
        pairs = specs.pairs_of(self._release.metadata)
        batches = plan_with_live(len(self.live.cases), decision.chosen_memory_mb, pairs, self.timeout_s)
        return Round((Publication(names.LIVE_TEST_ALIAS, None),), tuple(batches))

    def publish(self) -> str:
        """Let the alias for tests lead to the live version, and return that. Raises Disturbed if nothing is live."""
        live = self._services.registry.algorithm(self._release.algorithm).live
        if live is None:
            raise Disturbed(NO_LIVE_RELEASE)
        self._services.functions.point(self.function, names.LIVE_TEST_ALIAS, live.version)
        return live.version

    def execute(self, batch: Batch, round_number: int) -> None:
        """Measure a batch of it."""
        measure_batch(self._services, self, batch, self.store.slot(batch, round_number))

    def measure(self, meter: Meter, batch: Batch, index: int) -> Measurement:
        """Make invocation number `index`, of the side whose turn it is. Raises Disturbed."""
        if self.live is None or not self.live.cases:
            raise Disturbed(NO_LIVE_RELEASE)
        is_live, pair = side_of(index)
        mine, theirs = self.live.cases[pair % len(self.live.cases)]
        if is_live:
            # After a rollback the alias still leads to what was live: the version in the row says which it was.
            tested = cases.invocation(names.LIVE_TEST_ALIAS, theirs, self.live.memory_mb, index)
            return meter.measure(replace(tested, case=mine))[0]
        version = self._release.versions.get(batch.memory_mb)
        return meter.measure(
            cases.invocation(names.test_alias(batch.memory_mb), mine, batch.memory_mb, index, version)
        )[0]

    def of(self, decision: Decision, rows: Sequence[Measurement]) -> models.LiveComparison | None:
        """Return the comparison of the chosen version; None if nothing is live, or the release fails anyway."""
        if self.live is None or not decision.passed or decision.chosen_version is None:
            return None
        mine, theirs = (
            [row for row in rows if row.version == version] for version in (decision.chosen_version, self.live.version)
        )
        max_regression = self._release.metadata.max_regression
        found = compare(mine, theirs, decision.spec.prices, max_regression=max_regression)
        compared = findings.comparison_of(found) if found else self._why_not(mine, theirs)
        return models.LiveComparison(
            **compared.model_dump(exclude_unset=True),
            live_release_id=self.live.release_id,
            live_memory_mb=self.live.memory_mb,
            max_regression=max_regression,
            invocations=[len(mine), len(theirs)],
        )

    def _why_not(self, mine: Sequence[Measurement], theirs: Sequence[Measurement]) -> models.Comparison:
        """Return why the two were not compared. Where a limit is set, what the machine disturbed has not met it."""
        why, regression = "no test case passed on both sides", None
        if self.live is None or not self.live.cases:
            why = "the two packages have no test case with the same input"
        elif any(row.disturbed_ms is not None for row in (*mine, *theirs)):
            why = sentences.too_busy((*mine, *theirs))
            if self._release.metadata.max_regression is not None:
                regression = f"could not be compared with the live release, as maxRegression asks: {why}"
        return models.Comparison(sentence=f"It was not compared with the live release: {why}.", regression=regression)

"""The test backstage: a release measured at each power value, chosen from, and promoted if all is well.

The steps of `machines/backstage.asl.yaml`, each of which may be repeated. A release's test is a `campaign`, and a
`live_comparison` after it; this module says what is measured, keeps what was decided, and moves alias `prod`. Two rules
hold throughout: the version that passed is the one that is promoted, and alias `prod` follows the registry, so that
whatever goes wrong it can be put back.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from greenroom.platform import cases, findings, measurements, names, specs, transitions
from greenroom.platform.campaign import Campaign, Publication, Round
from greenroom.platform.findings import Spent
from greenroom.platform.functions import Configuration
from greenroom.platform.live_comparison import LiveComparison
from greenroom.platform.measuring import Disturbed, Meter
from greenroom.platform.services import Services
from greenroom.releases import LIVE_KEPT, Algorithm, Progress, Status
from greenroom.tuning import Batch, Decision, Measurement, case_of, chart
from greenroom.tuning.sentences import not_promoted

PROGRESS_EVERY_S = 0.3
MAX_DURATIONS_SHOWN = 200
"""How many durations of a batch are shown while it is measured; all of them are kept with its measurements."""


class ReleaseTest:
    """A release as the subject of a campaign."""

    def __init__(self, services: Services, release_id: str) -> None:
        self.release = services.registry.release(release_id)
        self.function = services.function_name(self.release.algorithm)
        self.timeout_s, self.at_once = self.release.metadata.timeout, 1
        self.spec = specs.of_package(self.release.metadata, self.release.cases, services.settings.region)
        self.campaign = Campaign(services, self, measurements.of_release(services, release_id))

    def alias_of(self, memory_mb: int, _index: int) -> str:
        """Return the alias of a memory size."""
        return names.test_alias(memory_mb)

    def is_published(self, publication: Publication, _made: Sequence[Measurement]) -> bool:
        """Return whether the registry has a version for the memory size."""
        return publication.memory_mb in self.release.versions

    def check(self, latest: Configuration) -> None:
        """Raise Disturbed if `$LATEST` is another release."""
        deployed = latest.variables.get("GREENROOM_RELEASE")
        if deployed != self.release.release_id:
            raise Disturbed(f"$LATEST of {self.function} holds release {deployed}, not {self.release.release_id}")

    def latest_description(self, _publication: Publication) -> str | None:
        """Leave the description of `$LATEST` as it is."""
        return None

    def version_description(self, memory_mb: int) -> str:
        """Return how a version is described."""
        return f"Greenroom release {self.release.release_id} at {memory_mb} MB"

    def measure(self, meter: Meter, batch: Batch, index: int) -> Measurement:
        """Run the case whose turn it is at the batch's memory size."""
        case, memory_mb = case_of(self.release.cases, index), batch.memory_mb
        version = self.release.versions.get(memory_mb)
        return meter.measure(cases.invocation(names.test_alias(memory_mb), case, memory_mb, index, version))[0]


def plan(services: Services, release_id: str, round_number: int) -> Round:
    """Return what a round, counted from 0, publishes and measures; no batches if the measurements are enough."""
    test = ReleaseTest(services, release_id)
    found = test.campaign.plan(round_number)
    if found.batches:
        return found
    comparison = LiveComparison(services, test.release)
    if not comparison.is_due():
        return Round()
    return comparison.plan(test.campaign.decide(test.campaign.made, test.release.versions))


def publish(services: Services, release_id: str, publication: Publication) -> str:
    """Publish the release at a memory size, or let the alias for tests lead to the live version; return the version."""
    test = ReleaseTest(services, release_id)
    if publication.memory_mb is None:
        return LiveComparison(services, test.release).publish()
    version = test.campaign.publish(publication)
    services.registry.record_version(release_id, publication.memory_mb, version)
    return version


def execute(services: Services, release_id: str, round_number: int, batch: Batch) -> None:
    """Measure a batch of the test, or of the comparison with the live release."""
    test = ReleaseTest(services, release_id)
    if batch.with_live:
        LiveComparison(services, test.release).execute(batch, round_number)
    else:
        watch = _Reporter(services, release_id, batch, round_number)
        test.campaign.execute(batch, round_number, watch)


def decide(services: Services, release_id: str, transitions_made: int) -> str | None:
    """Decide on the measurements and keep the decision. Return None if a version was chosen, else why there is none.

    `transitions_made` are the state transitions of the test so far, for what it cost.
    """
    test = ReleaseTest(services, release_id)
    versions = test.release.versions
    comparison = LiveComparison(services, test.release)
    made, both = test.campaign.made, list(comparison.store.read())
    # What was measured for the comparison does not count for the choice, unless it shows that the release fails.
    failures = [row for row in both if row.error and row.version in versions.values()]
    decision = test.campaign.decide([*made, *failures], versions)
    compared = comparison.of(decision, both)
    if compared is not None:
        decision = _with_sentence(decision, compared.sentence, compared.regression)
    compared_usd = sum(
        decision.spec.prices.cost_usd(row.memory_mb, row.billed_duration_ms)
        for row in both
        if row.counts and row not in failures
    )
    transitions_made += transitions.AFTER_ROUNDS_LIVE if decision.passed else transitions.AFTER_ROUNDS_FAILED
    spent = Spent(decision.test_cost_usd + compared_usd, transitions_made)
    summary = findings.summary_of(decision, chart(decision, made), test.spec.search, spent, compared)
    services.registry.put_summary(release_id, summary.to_json())
    chosen = decision.chosen
    if chosen is None or not decision.passed:
        return decision.reason
    services.registry.record_choice(
        release_id,
        version=versions[chosen.memory_mb],
        memory_mb=chosen.memory_mb,
        cost_usd_per_million=chosen.statistics.cost_usd_per_million,
    )
    return None


def promote(services: Services, release_id: str) -> None:
    """Move alias `prod` to the chosen version of a release that is being tested, or is live already.

    Raises Disturbed if the release is neither, or another one has the algorithm's lock: a call that comes late moves
    nothing.
    """
    registry = services.registry
    release = registry.release(release_id)
    if release.version is None:
        raise Disturbed(f"release {release_id} has no version to promote: its test has not been decided")
    live = registry.algorithm(release.algorithm).live
    if live is None or live.release_id != release_id:
        held = registry.lock_owner(release.algorithm)
        if release.status is not Status.TESTING or held is None or held[0] != release_id:
            raise Disturbed(
                f"release {release_id} is {release.status}, and {held[0] if held else 'nobody'} has the lock of "
                f"{release.algorithm}: it is not promoted"
            )
    services.functions.point(services.function_name(release.algorithm), names.PROD, release.version)


def clean(services: Services, release_id: str, *, promoted: bool) -> None:
    """Remove the aliases for tests and the versions that are no longer needed, and put `$LATEST` back.

    Kept are the live version and the last three that were live. If the flow did not get as far as promoting, alias
    `prod` is put back to what the registry says is live, or removed if nothing is.
    """
    release = services.registry.release(release_id)
    if not promoted:
        settle(services, release.algorithm)
        return
    served = _served(services.registry.algorithm(release.algorithm))
    if release.version and release.version not in served[:1]:
        served.insert(0, release.version)
    _tidy(services, release.algorithm, served)


def settle(services: Services, name: str) -> None:
    """Make an algorithm's function as the registry says that it is, while nothing is tested.

    Alias `prod` leads to the live version, also if somebody rolls back meanwhile. Aliases for tests and versions that
    are no longer needed go, and `$LATEST` is put back.
    """
    function, functions = services.function_name(name), services.functions
    algorithm = services.registry.algorithm(name)
    while True:
        live = algorithm.live
        prod = {alias.name: alias.version for alias in functions.aliases(function)}.get(names.PROD)
        if live is None and prod is not None:
            functions.remove_alias(function, names.PROD)
        elif live is not None and prod != live.version:
            functions.point(function, names.PROD, live.version)
        # A rollback moves the alias before the registry: what was read may be old by now.
        algorithm = services.registry.algorithm(name)
        if algorithm.live == live:
            break
    _tidy(services, name, _served(algorithm))


def _served(algorithm: Algorithm) -> list[str]:
    """Return the versions that are or were live, newest first."""
    return [each.version for each in (algorithm.live, *algorithm.live_before) if each is not None]


def _tidy(services: Services, name: str, served: list[str]) -> None:
    """Remove the aliases for tests and the versions other than the first of `served`, and put `$LATEST` back."""
    function, functions = services.function_name(name), services.functions
    for alias in [*functions.aliases(function)]:
        if alias.name.startswith(names.TEST_ALIAS_PREFIX):
            functions.remove_alias(function, alias.name)
    kept = set(served[: LIVE_KEPT + 1])
    for published in [*functions.versions(function)]:
        if published.version not in kept:
            functions.remove_version(function, published.version)
    functions.configure(function, functions.updated(function), memory_mb=specs.LATEST_MEMORY_MB)


def _with_sentence(decision: Decision, sentence: str, regression: str | None) -> Decision:
    """Add what the comparison with the live release says: a regression fails the release."""
    if regression:
        return replace(decision, passed=False, reason=regression, sentence=not_promoted(regression))
    return replace(decision, sentence=f"{decision.sentence} {sentence}")


class _Reporter:
    """Keeps how far a batch is in the registry, every now and then and at its end."""

    def __init__(self, services: Services, release_id: str, batch: Batch, round_number: int) -> None:
        self._services, self._release_id, self._batch = services, release_id, batch
        self._name = f"{round_number:03d}#{batch.start:05d}"
        self._reported_at_s = 0.0

    def __call__(self, rows: Sequence[Measurement], is_over: bool) -> None:
        if not is_over and time.monotonic() - self._reported_at_s <= PROGRESS_EVERY_S:
            return
        done = [row for row in rows if row.counts]
        durations_ms = tuple(row.duration_ms for row in done if row.error is None)[-MAX_DURATIONS_SHOWN:]
        progress = Progress(
            memory_mb=self._batch.memory_mb,
            done=len(done),
            total=len(done) if is_over else self._batch.count,
            failed=sum(row.error is not None for row in done),
            durations_ms=durations_ms,
        )
        self._services.registry.put_progress(self._release_id, self._name, progress)
        self._reported_at_s = time.monotonic()

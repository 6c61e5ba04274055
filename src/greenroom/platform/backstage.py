"""The test backstage: a version and an alias for each power value, measured, chosen from, and promoted if all is well.

The steps of `backstage.asl.json`, each of which may be repeated. What to measure next and what the measurements mean is
decided in `tuning`; this module does what was decided. Two rules hold throughout: the version that passed is the one
that is promoted, and alias `prod` follows the registry, so that whatever goes wrong it can be put back.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from greenroom.package.metadata import AlgorithmSettings, TestSettings
from greenroom.platform import measuring, names, storage, transitions
from greenroom.platform.measuring import Disturbed
from greenroom.platform.services import Services
from greenroom.releases import LIVE_KEPT, NotFound, Progress, Release
from greenroom.tuning import (
    Batch,
    Comparison,
    Constraints,
    Decision,
    Measurement,
    TestSpec,
    case_of,
    chart,
    compare,
    decide,
    ends_batch,
    longest_wait_s,
    plan_beside_live,
    prices_for,
    side_of,
    upper_bound_usd,
)
from greenroom.tuning import plan as plan_next

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

LATEST_MEMORY_MB = 128
"""Memory of $LATEST outside of a test, as `algorithm.yaml` sets it."""

MAX_MEASUREMENTS_BYTES = 64 * 1024 * 1024
MAX_ANSWER_BYTES = 4_096
PROGRESS_EVERY_S = 0.3
MAX_DURATIONS_SHOWN = 200
"""How many durations of a batch are shown while it is measured; all of them are written down with it."""

LIVE_PAIRS = 10
"""How often an adaptive test measures the release and the live one in turn, at most; a fixed one does so `num` times
over."""

logger = logging.getLogger(__name__)


def initialize(services: Services, release_id: str, what: int | str) -> str:
    """Publish the release at one power value (in MB), point its test alias there, and return the version; or point an
    alias for tests at the live version, where `what` is "live"."""
    release = services.registry.release(release_id)
    function = services.function_name(_algorithm_of(release))
    if what == names.LIVE:
        live = services.registry.algorithm(_algorithm_of(release)).live
        if live is None:
            raise Disturbed("there is no live release any more to compare with")
        services.functions.point(function, names.LIVE_TEST_ALIAS, live.version)
        return live.version
    memory_mb, functions = int(what), services.functions
    now = functions.updated(function)
    deployed = now.variables.get("GREENROOM_RELEASE")
    if deployed != release_id:
        raise Disturbed(f"$LATEST of {function} holds release {deployed}, not {release_id}")
    # What is published is what has just been configured: the configuration names its revision.
    configured = functions.configure(function, now, memory_mb=memory_mb)
    version = functions.publish(function, configured, f"Greenroom release {release_id} at {memory_mb} MB")
    functions.point(function, names.test_alias(memory_mb), version)
    services.registry.record_version(release_id, memory_mb, version)
    return version


@dataclass(frozen=True)
class Round:
    """What a round of a test needs published first (sizes in MB, or "live" for the live version's alias) and measures;
    no batches if the test is over."""

    publish: tuple[int | str, ...]
    batches: tuple[Batch, ...]


@dataclass(frozen=True)
class BesideLive:
    """The live release as a new one is compared with it. `cases` are the names that the two packages have for the test
    cases with the same input, of the new one first; `why_not` says why there is no comparison."""

    release_id: str
    version: str
    memory_mb: int
    timeout_s: int
    cases: tuple[tuple[str, str], ...]

    @property
    def why_not(self) -> str | None:
        return None if self.cases else "the two packages have no test case with the same input"


def plan(services: Services, release_id: str, round_number: int) -> Round:
    """Return what a round, counted from 0, publishes and measures; no batches if the measurements are enough."""
    release = services.registry.release(release_id)
    made = tuple(measurements(services, release_id))
    batches = plan_next(spec_of(services, release), made, round_number).batches
    if not batches:
        batches = tuple(_batches_beside_live(services, release, made))
    return round_of(batches, release.versions)


def round_of(batches: Sequence[Batch], versions: Mapping[int, str]) -> Round:
    """The round that makes these batches, given which sizes have a version already."""
    new: list[int | str] = sorted({batch.memory_mb for batch in batches} - set(versions))
    if any(batch.beside_live for batch in batches):
        new.append(names.LIVE)
    return Round(tuple(new), tuple(batches))


def spec_of(services: Services, release: Release) -> TestSpec:
    """What a release's test is."""
    return _spec_of(services, _metadata(release), release.cases)


def _spec_of(services: Services, metadata: AlgorithmSettings, cases: tuple[str, ...]) -> TestSpec:
    return TestSpec(
        cases=cases,
        power_values=metadata.listed_mb,
        num=metadata.num,
        timeout_s=metadata.timeout,
        prices=prices_for(services.settings.region, metadata.architecture),
        search=metadata.search,
        strategy=metadata.strategy,
        balanced_weight=metadata.balanced_weight,
        constraints=constraints_of(metadata),
        tolerance=metadata.tolerance,
        max_expected_loss=metadata.max_expected_loss,
        budget_usd=metadata.budget_usd,
    )


def constraints_of(settings: TestSettings) -> Constraints:
    """What a power value has to meet."""
    return Constraints(
        max_duration_ms=settings.max_duration_ms,
        max_duration_percentile=settings.max_duration_percentile / 100,
        max_cost_usd_per_million=settings.max_cost_usd,
        min_headroom=settings.min_headroom,
    )


def cost_at_most_usd(
    services: Services, metadata: AlgorithmSettings, cases: tuple[str, ...], case_inputs: Mapping[str, str]
) -> float:
    """What a package's test can cost at most, in US dollars: its invocations, those of the live release beside it, and
    the state transitions. Known before it starts."""
    spec = _spec_of(services, metadata, cases)
    bound = upper_bound_usd(spec, transitions.at_most(spec))
    try:
        beside = _beside_live(services, metadata.name, cases, case_inputs)
    except NotFound:
        return bound
    if beside and beside.cases:
        pairs = max(_pairs(metadata), len(beside.cases)) + 1
        for memory_mb, timeout_s in ((max(spec.sizes_mb), spec.timeout_s), (beside.memory_mb, beside.timeout_s)):
            side = replace(spec, cases=("",), power_values=(memory_mb,), timeout_s=timeout_s, search="fixed", num=pairs)
            bound += upper_bound_usd(side, pairs)
    return bound


def execute(services: Services, release_id: str, round_number: int, batch: Batch) -> None:
    """Invoke a batch of tests through the power value's alias and write the measurements down.

    The batch ends early at the first clear sign that the power value is too small or the release fails, and where
    Lambda throttles for long: the next plan then asks for what is missing, or for nothing more. A second call finds
    the measurements and invokes nothing.
    """
    bucket = services.packages_bucket
    if batch.beside_live:
        key = storage.beside_live_key(release_id, round_number, batch.start)
    else:
        key = storage.measurements_key(release_id, batch.memory_mb, round_number, batch.start)
    if any(storage.keys(services.s3, bucket, key)):
        return
    release = services.registry.release(release_id)
    beside = _live_beside(services, release) if batch.beside_live else None
    timeout_s = max(_metadata(release).timeout, beside.timeout_s if beside else 0)
    invoker = services.invoker(longest_wait_s(timeout_s))
    rows: list[Measurement] = []
    reported_at = 0.0
    for index in range(batch.start, batch.start + batch.count):
        if batch.beside_live:
            rows.append(_measure_beside_live(services, invoker, release, beside, batch.memory_mb, index))
        else:
            rows.append(
                _measure(
                    services,
                    invoker,
                    release,
                    alias=names.test_alias(batch.memory_mb),
                    case=case_of(release.cases, index),
                    memory_mb=batch.memory_mb,
                    index=index,
                    version=release.versions.get(batch.memory_mb),
                )
            )
        if ends_batch(rows[-1]) or not rows[-1].counts:
            break
        if not batch.beside_live and time.monotonic() - reported_at > PROGRESS_EVERY_S:
            _report_progress(services, release_id, round_number, batch, rows, batch.count)
            reported_at = time.monotonic()
    if not batch.beside_live:
        _report_progress(services, release_id, round_number, batch, rows, sum(row.counts for row in rows))
    storage.write_json_lines(services.s3, bucket, key, [row.to_dict() for row in rows])


def analyze(services: Services, release_id: str, transitions_made: int) -> str | None:
    """Decide on the measurements and keep the decision. Return None if a version was chosen, else why there is none.

    `transitions_made` are the state transitions of the test so far, for what it cost.
    """
    release = services.registry.release(release_id)
    metadata = _metadata(release)
    made = tuple(measurements(services, release_id))
    both = tuple(_measurements_beside_live(services, release_id))
    # What was measured beside the live release is for the comparison, unless it shows that the release fails after all.
    failures = [row for row in both if row.error and row.version in release.versions.values()]
    decision = _decide(services, release, [*made, *failures])
    against, comparison = _compare(services, release, decision, both)
    regression = comparison.regression if comparison else None
    if decision.passed and regression:
        decision = replace(decision, passed=False, reason=regression, sentence=f"Not promoted: {regression}")
    elif decision.passed and against:
        decision = replace(decision, sentence=f"{decision.sentence} {against['sentence']}")
    prices = decision.spec.prices
    transitions_made += transitions.AFTER_ROUNDS_LIVE if decision.passed else transitions.AFTER_ROUNDS_FAILED
    beside_usd = sum(
        prices.cost_usd(row.memory_mb, row.billed_duration_ms) for row in both if row.counts and row not in failures
    )
    lambda_usd = decision.test_cost_usd + beside_usd
    decision = replace(decision, test_cost_usd=lambda_usd + transitions_made * prices.state_transition_usd)
    summary = {
        **decision.to_summary(),
        "search": metadata.search,
        "testLambdaCostUsd": round(lambda_usd, 9),
        "stateTransitions": transitions_made,
        "comparison": against,
        "chart": chart(decision, made).to_dict(),
    }
    services.registry.put_summary(release_id, summary)
    chosen = decision.chosen
    if chosen is None or not decision.passed:
        return decision.reason
    services.registry.record_choice(
        release_id,
        version=release.versions[chosen.memory_mb],
        memory_mb=chosen.memory_mb,
        cost_usd_per_million=chosen.statistics.cost_usd_per_million,
    )
    return None


def promote(services: Services, release_id: str) -> bool:
    """Move alias `prod` to the chosen version. Return whether nothing was live before."""
    release = services.registry.release(release_id)
    name = _algorithm_of(release)
    assert release.version is not None  # noqa: S101 -- analyzed
    services.functions.point(services.function_name(name), names.PROD, release.version)
    return services.registry.algorithm(name).live is None


def clean(services: Services, release_id: str, *, promoted: bool) -> None:
    """Remove the test aliases and the versions nobody needs, and put `$LATEST` back.

    Kept are the live version and the last three that were live. If the flow did not get as far as promoting, alias
    `prod` is put back to what the registry says is live, or removed where nothing is.
    """
    release = services.registry.release(release_id)
    name = _algorithm_of(release)
    function = services.function_name(name)
    algorithm = services.registry.algorithm(name)
    functions = services.functions
    live = [algorithm.live.version] if algorithm.live else []
    served = [*live, *(before.version for before in algorithm.live_before)]
    if promoted and release.version and release.version not in live:
        served.insert(0, release.version)
    kept = set(served[: LIVE_KEPT + 1])
    aliases = {alias.name: alias.version for alias in functions.aliases(function)}
    if not promoted:
        if live and aliases.get(names.PROD) != live[0]:
            functions.point(function, names.PROD, live[0])
        elif not live and names.PROD in aliases:
            functions.remove_alias(function, names.PROD)
    for alias in aliases:
        if alias.startswith(names.TEST_ALIAS_PREFIX):
            functions.remove_alias(function, alias)
    for published in functions.versions(function):
        if published.version not in kept:
            functions.remove_version(function, published.version)
    functions.configure(function, functions.updated(function), memory_mb=LATEST_MEMORY_MB)


def measurements(services: Services, release_id: str) -> Iterator[Measurement]:
    """Yield all measurements of a release's test."""
    prefix = storage.measurements_prefix(release_id)
    for row in storage.read_json_lines(services.s3, services.packages_bucket, prefix, max_bytes=MAX_MEASUREMENTS_BYTES):
        yield Measurement.from_dict(row)


def _measurements_beside_live(services: Services, release_id: str) -> Iterator[Measurement]:
    prefix = storage.beside_live_prefix(release_id)
    for row in storage.read_json_lines(services.s3, services.packages_bucket, prefix, max_bytes=MAX_MEASUREMENTS_BYTES):
        yield Measurement.from_dict(row)


def _decide(services: Services, release: Release, made: Sequence[Measurement]) -> Decision:
    return decide(spec_of(services, release), made, release.versions)


def _beside_live(
    services: Services, name: str, cases: Sequence[str], case_inputs: Mapping[str, str]
) -> BesideLive | None:
    """The live release of an algorithm, and which of these cases it has too. Raises NotFound."""
    algorithm = services.registry.algorithm(name)
    if algorithm.live is None:
        return None
    live = services.registry.release(algorithm.live.release_id)
    theirs = {digest: case for case, digest in live.case_inputs.items()}
    mine = ((case, case_inputs.get(case, "")) for case in cases)
    return BesideLive(
        release_id=live.release_id,
        version=algorithm.live.version,
        memory_mb=live.memory_mb or LATEST_MEMORY_MB,
        timeout_s=_metadata(live).timeout,
        cases=tuple((case, theirs[digest]) for case, digest in mine if digest in theirs),
    )


def _live_beside(services: Services, release: Release) -> BesideLive | None:
    found = _beside_live(services, _algorithm_of(release), release.cases, release.case_inputs)
    return None if found and found.release_id == release.release_id else found


def _pairs(metadata: AlgorithmSettings) -> int:
    return metadata.num if metadata.search == "fixed" else min(metadata.num, LIVE_PAIRS)


def _batches_beside_live(services: Services, release: Release, made: Sequence[Measurement]) -> list[Batch]:
    """The release at the size it would go live with, and the live one, in turn; once, and only if it would go live."""
    beside = _live_beside(services, release)
    prefix = storage.beside_live_prefix(release.release_id)
    if beside is None or not beside.cases or any(storage.keys(services.s3, services.packages_bucket, prefix)):
        return []
    decision = _decide(services, release, made)
    if not decision.passed or decision.chosen_memory_mb is None:
        return []
    metadata = _metadata(release)
    timeout_s = max(metadata.timeout, beside.timeout_s)
    return plan_beside_live(len(beside.cases), decision.chosen_memory_mb, _pairs(metadata), timeout_s)


def _measure_beside_live(
    services: Services, invoker: LambdaClient, release: Release, beside: BesideLive | None, memory_mb: int, index: int
) -> Measurement:
    if beside is None or not beside.cases:
        raise Disturbed("there is no live release any more to compare with")
    is_live, pair = side_of(index)
    mine, theirs = beside.cases[pair % len(beside.cases)]
    return _measure(
        services,
        invoker,
        release,
        alias=names.LIVE_TEST_ALIAS if is_live else names.test_alias(memory_mb),
        case=mine,
        asked=theirs if is_live else mine,
        memory_mb=beside.memory_mb if is_live else memory_mb,
        index=index,
        # Should somebody roll back meanwhile, the alias still leads to what was live: the version in the row tells.
        version=None if is_live else release.versions.get(memory_mb),
    )


def _compare(
    services: Services, release: Release, decision: Decision, both: Sequence[Measurement]
) -> tuple[dict[str, Any] | None, Comparison | None]:
    """The comparison with the live release as the summary holds it, and the comparison itself; None where nothing is
    live, or the release fails anyhow."""
    beside = _live_beside(services, release)
    if beside is None or not decision.passed or decision.chosen_version is None:
        return None, None
    sides = [[row for row in both if row.version == version] for version in (decision.chosen_version, beside.version)]
    metadata = _metadata(release)
    comparison = compare(sides[0], sides[1], decision.spec.prices, max_regression=metadata.max_regression)
    found: dict[str, Any] = {
        "liveReleaseId": beside.release_id,
        "liveMemoryMb": beside.memory_mb,
        "maxRegression": metadata.max_regression,
        "invocations": [len(side) for side in sides],
    }
    if comparison is None:
        why = beside.why_not or "no test case passed on both sides"
        return {**found, "sentence": f"It was not compared with the live release: {why}."}, None
    return {**found, **comparison.to_dict()}, comparison


def _measure(
    services: Services,
    invoker: LambdaClient,
    release: Release,
    *,
    alias: str,
    case: str,
    memory_mb: int,
    index: int,
    version: str | None,
    asked: str | None = None,
) -> Measurement:
    """One test of a case; `asked` is how the case is called in the package that is invoked, if it is another name."""

    def judge(payload: bytes, log: str) -> dict[str, Any]:
        verdict = json.loads(payload)
        if isinstance(verdict, dict) and verdict.get("passed") is True:
            return {}
        difference = verdict.get("difference") if isinstance(verdict, dict) else None
        return {
            "error": "wrong_answer",
            "error_message": f"case {case!r} gave another answer than expected",
            "difference": str(difference or payload[:MAX_ANSWER_BYTES].decode(errors="replace")),
            "log": log,
        }

    measured, _ = measuring.measure(
        services,
        invoker,
        services.function_name(_algorithm_of(release)),
        alias,
        json.dumps({"greenroomTest": {"case": asked or case}}).encode(),
        memory_mb=memory_mb,
        case=case,
        index=index,
        version=version,
        judge=judge,
    )
    return measured


def _report_progress(
    services: Services, release_id: str, round_number: int, batch: Batch, rows: list[Measurement], total: int
) -> None:
    done = [row for row in rows if row.counts]
    failed = sum(row.error is not None for row in done)
    durations_ms = tuple(row.duration_ms for row in done if row.error is None)[-MAX_DURATIONS_SHOWN:]
    progress = Progress(batch.memory_mb, len(done), total, failed, durations_ms)
    services.registry.put_progress(release_id, f"{round_number:03d}#{batch.start:05d}", progress)


def _metadata(release: Release) -> AlgorithmSettings:
    return release.metadata


def _algorithm_of(release: Release) -> str:
    return release.algorithm

"""The steps of a function tuning (`machines/function_tuning.asl.yaml`), each of which may be repeated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from greenroom.platform import findings, transitions
from greenroom.platform.campaign import Campaign, Publication, Round
from greenroom.platform.findings import Spent
from greenroom.platform.function_tuning import claim as claims
from greenroom.platform.function_tuning import job as jobs
from greenroom.platform.function_tuning import output as outputs
from greenroom.platform.function_tuning.claim import TuningFailed
from greenroom.platform.functions import Configuration
from greenroom.platform.measuring import Invocation, Meter
from greenroom.platform.services import Services
from greenroom.tuning import Batch, Measurement, case_of, chart

ALIAS_PREFIX = "greenroom-tune-"

MAX_AT_ONCE = 100
"""How many invocations of a batch are made at the same time where `parallelInvocation` asks for it."""

SHOWN_PAYLOAD_CHARS = 200
"""How much of a payload is shown with the failure it led to."""

MAX_DESCRIPTION_CHARS = 256
"""https://docs.aws.amazon.com/lambda/latest/api/API_UpdateFunctionConfiguration.html"""


@dataclass(frozen=True)
class Outcome:
    """What a tuning found, in the shape of AWS Lambda Power Tuning's output, or why there is no recommendation.

    A dry run has neither.
    """

    output: dict[str, Any] | None = None
    reason: str | None = None


class FunctionTuning:
    """Somebody else's function as the subject of a campaign."""

    def __init__(self, services: Services, job: jobs.Job) -> None:
        self._services = services
        self.job, self.asked = job, job.asked
        self.function, self.timeout_s, self.spec = job.function, job.timeout_s, job.spec
        self.at_once = MAX_AT_ONCE if job.asked.parallel_invocation else 1
        self.campaign = Campaign(services, self, outputs.store_of(services, job.tuning_id))

    @classmethod
    def of(cls, services: Services, tuning_id: str) -> FunctionTuning:
        """Return a tuning that was begun. Raises KeyError."""
        return cls(services, jobs.load(services, tuning_id))

    def alias_of(self, memory_mb: int, index: int) -> str:
        """Return the alias of a memory size, or of the invocation alone where each has to be a cold start.

        An invocation that is made again in a later round gets another alias, and with it a version that is cold.
        """
        first = self.first_alias_of(memory_mb, index)
        if not self.asked.only_cold_starts:
            return first
        times = sum((row.memory_mb, row.index) == (memory_mb, index) for row in self.campaign.made)
        return f"{first}-{times}" if times else first

    def first_alias_of(self, memory_mb: int, index: int = 0) -> str:
        """Return the alias that the first round makes for an invocation."""
        return f"{ALIAS_PREFIX}{memory_mb}" + (f"-{index}" if self.asked.only_cold_starts else "")

    def is_published(self, publication: Publication, made: Sequence[Measurement]) -> bool:
        """Return whether the memory size was measured in a round before; a cold start is always published."""
        return not self.asked.only_cold_starts and any(row.memory_mb == publication.memory_mb for row in made)

    def check(self, latest: Configuration) -> None:
        """Take `$LATEST` as it is."""

    def latest_description(self, publication: Publication) -> str | None:
        """Return a description of its own for each cold start.

        Only what has changed gets a version of its own, and with it execution environments of its own.
        """
        if not self.asked.only_cold_starts:
            return None
        claim = claims.of(self._services, self.function)
        before = claim.description if claim else ""
        return f"{before} ({publication.alias})"[-MAX_DESCRIPTION_CHARS:]

    def version_description(self, memory_mb: int) -> str:
        """Return how a version is described."""
        return f"{_mark(self.job.tuning_id)}{memory_mb} MB"

    def measure(self, meter: Meter, batch: Batch, index: int) -> Measurement:
        """Make one invocation, with what was asked for before and after it. Raises TuningFailed."""
        asked = self.asked
        case = case_of(self.spec.cases, index)
        payload = self.job.payloads[case].encode()
        if asked.pre_processor_arn:
            made = self._process(meter, asked.pre_processor_arn, "pre-processor", payload)
            # An empty answer leaves the payload as it is.
            payload = payload if made in (b"", b"null", b'""') else made
        row, answer = meter.measure(
            Invocation(
                alias=self.alias_of(batch.memory_mb, index),
                event=payload,
                memory_mb=batch.memory_mb,
                case=case,
                index=index,
                allowed=asked.allowed_exceptions,
            )
        )
        if asked.sleep_between_runs_ms and not asked.parallel_invocation:
            meter.sleep(asked.sleep_between_runs_ms / 1000)
        if asked.post_processor_arn:
            self._process(meter, asked.post_processor_arn, "post-processor", answer or b"null")
        return self._shown(row, payload)

    def _shown(self, row: Measurement, payload: bytes) -> Measurement:
        """Count the start where it was asked for, and say what a failure was invoked with where that may be shown."""
        if row.error is None:
            # What a caller waits for: the start and the work.
            init_ms = (row.init_duration_ms or 0.0) if self.asked.only_cold_starts else 0.0
            return replace(row, duration_ms=row.duration_ms + init_ms)
        if self.asked.disable_payload_logs:
            return replace(row, log=None)
        shown = payload[:SHOWN_PAYLOAD_CHARS].decode(errors="replace")
        return replace(row, error_message=f"{row.error_message} (invoked with {shown})")

    def _process(self, meter: Meter, arn: str, what: str, payload: bytes) -> bytes:
        name = jobs.own_function(self._services, arn, what)
        qualified = f"{name.name}:{name.qualifier}" if name.qualifier else name.name
        answer = meter.invoker.invoke(FunctionName=qualified, Payload=payload)
        made = answer["Payload"].read()
        if "FunctionError" in answer:
            raise TuningFailed(f"the {what} {name.name} failed: {made[:1000].decode(errors='replace')}")
        return made


def begin(services: Services, tuning_id: str, document: Any) -> None:
    """Read what is asked, look at the function, and claim it.

    Raises InputError if it can't be done as asked, TuningFailed while another tuning works on the function.
    """
    job, found = jobs.accept(services, tuning_id, document)
    before = claims.take(services, tuning_id, job.function, found)
    _remove(services, job.function, before.tuning_id)
    jobs.save(services, job)


def plan(services: Services, tuning_id: str, round_number: int) -> Round:
    """Return what a round, counted from 0, publishes and measures; no batches if the measurements are enough."""
    return FunctionTuning.of(services, tuning_id).campaign.plan(round_number)


def publish(services: Services, tuning_id: str, publication: Publication) -> str:
    """Publish the function at a memory size, and return the version."""
    return FunctionTuning.of(services, tuning_id).campaign.publish(publication)


def execute(services: Services, tuning_id: str, round_number: int, batch: Batch) -> None:
    """Measure a batch. Raises TuningFailed if the pre- or the post-processor fails."""
    FunctionTuning.of(services, tuning_id).campaign.execute(batch, round_number)


def decide(services: Services, tuning_id: str, transitions_made: int) -> Outcome:
    """Decide on the measurements, keep what was found, and return it.

    `transitions_made` are the state transitions of the tuning so far, for what it cost.
    """
    tuning = FunctionTuning.of(services, tuning_id)
    made = tuning.campaign.made
    decision = tuning.campaign.decide(made)
    transitions_made += transitions.AFTER_ROUNDS_FUNCTION_TUNING
    output = None
    if decision.passed and not tuning.asked.dry_run:
        transitions_usd = transitions_made * tuning.spec.prices.state_transition_usd
        output = outputs.output_of(decision, transitions_usd, with_stats=tuning.asked.include_output_results)
    spent = Spent(decision.test_cost_usd, transitions_made)
    summary = findings.summary_of(decision, chart(decision, made), tuning.spec.search, spent)
    if tuning.asked.disable_payload_logs:
        cases = [case.model_copy(update={"log": None}) for case in summary.cases]
        summary = summary.model_copy(update={"cases": cases})
    outputs.save(services, tuning_id, output, summary)
    return Outcome(output, None if decision.passed else decision.reason or decision.sentence)


def optimize(services: Services, tuning_id: str) -> None:
    """Apply what was found if that was asked for.

    The alias that was named leads to the version that was measured; without one, `$LATEST` gets the memory size.
    """
    tuning = FunctionTuning.of(services, tuning_id)
    output = outputs.load(services, tuning_id)["output"]
    if output is None or not tuning.asked.auto_optimize:
        return
    if tuning.asked.auto_optimize_alias:
        version = services.functions.version_of(tuning.function, tuning.first_alias_of(output["power"]))
        services.functions.point(tuning.function, tuning.asked.auto_optimize_alias, version)
    elif claim := claims.of(services, tuning.function):
        # `clean` gives it to the function.
        claims.change(services, tuning.function, claim.model_copy(update={"memory_mb": output["power"]}))


def clean(services: Services, tuning_id: str) -> None:
    """Remove the versions and aliases of a tuning, put `$LATEST` back, and give the function up."""
    try:
        function = jobs.load(services, tuning_id).function
    except KeyError:
        return  # it did not get as far as touching anything
    claim = claims.of(services, function)
    if claim is None or claim.tuning_id != tuning_id:
        return
    _remove(services, function, tuning_id)
    functions = services.functions
    latest = functions.updated(function)
    functions.configure(function, latest, memory_mb=claim.memory_mb, description=claim.description)
    claims.release(services, function)


def _remove(services: Services, function: str, tuning_id: str) -> None:
    """Delete the aliases for tuning, and the versions that a tuning made and no other alias leads to."""
    functions = services.functions
    kept: set[str] = set()
    for alias in functions.aliases(function):
        if alias.name.startswith(ALIAS_PREFIX):
            functions.remove_alias(function, alias.name)
        else:
            kept |= alias.versions
    for published in functions.versions(function):
        if published.description.startswith(_mark(tuning_id)) and published.version not in kept:
            functions.remove_version(function, published.version)


def _mark(tuning_id: str) -> str:
    """How the description of each version begins that a tuning made."""
    return f"Greenroom tuning {tuning_id} at "

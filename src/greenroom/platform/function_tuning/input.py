"""What a function tuning is asked: the execution input of AWS Lambda Power Tuning, and what Greenroom adds.

The input's documentation: https://github.com/alexcasalboni/aws-lambda-power-tuning (README-EXECUTE.md). Numbers may
come as text, as there. Pure: nothing here asks AWS.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic.alias_generators import to_camel

from greenroom.package.metadata import MAX_MEMORY_MB, MIN_MEMORY_MB, TestSettings
from greenroom.tuning import LADDER_MB, Averaging, Strategy

MAX_SLEEP_MS = 300_000
"""The longest pause between two invocations."""

MAX_PAYLOADS = 1_000
MAX_COLD_STARTS = 1_000
"""Each cold start is a version and an alias of its own, made one after the other."""

MAX_PROBLEMS = 10
"""How many faults of an input are named at once."""

ARN = re.compile(
    r"(?:arn:[a-z-]+:lambda:(?P<region>[a-z0-9-]+):(?P<account>\d{12}):function:)?"
    r"(?P<name>[A-Za-z0-9_-]{1,64})(?::(?P<qualifier>\$LATEST|[A-Za-z0-9_-]{1,128}))?"
)
"""https://docs.aws.amazon.com/lambda/latest/api/API_GetFunctionConfiguration.html"""
ALIAS = r"^[A-Za-z0-9_-]*[A-Za-z_-][A-Za-z0-9_-]*$"
S3_ADDRESS = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/(?P<key>.{1,1024})")


class InputError(ValueError):
    """The input can't be used; the message says which field, what was found and what is allowed."""


@dataclass(frozen=True)
class FunctionName:
    """A Lambda function as it was named: region, account and qualifier are None where they were left out."""

    name: str
    region: str | None = None
    account_id: str | None = None
    qualifier: str | None = None

    @classmethod
    def parse(cls, text: str, field: str) -> FunctionName:
        """Read a name or an ARN, with or without a qualifier. Raises InputError."""
        found = ARN.fullmatch(text)
        if found is None:
            raise InputError(f"{field} is {text[:200]!r}: a function's name or ARN is needed")
        return cls(found["name"], found["region"], found["account"], found["qualifier"])


def _function(field: str) -> AfterValidator:
    def check(value: str) -> str:
        FunctionName.parse(value, field)
        return value

    return AfterValidator(check)


class TuningInput(TestSettings):
    """The input of a tuning. `lambdaARN` may also be the function's name."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True, allow_inf_nan=False)

    lambda_arn: Annotated[str, _function("lambdaARN")] = Field(alias="lambdaARN")
    power_values: Annotated[list[int], Field(max_length=64)] | Literal["ALL"] | None = None
    strategy: Literal["cost", "speed", "duration", "balanced"] = "cost"
    search: Literal["fixed", "adaptive"] | None = None  # type: ignore[assignment]
    payload: Any = None
    payload_s3: str | None = Field(default=None, alias="payloadS3", pattern=f"^{S3_ADDRESS.pattern}$")
    parallel_invocation: bool = False
    auto_optimize: bool = False
    auto_optimize_alias: str | None = Field(default=None, pattern=ALIAS, max_length=128)
    dry_run: bool = False
    pre_processor_arn: Annotated[str, _function("preProcessorARN")] | None = Field(
        default=None, alias="preProcessorARN"
    )
    post_processor_arn: Annotated[str, _function("postProcessorARN")] | None = Field(
        default=None, alias="postProcessorARN"
    )
    discard_top_bottom: float = Field(default=0.2, ge=0, le=0.4)
    sleep_between_runs_ms: int = Field(default=0, ge=0, le=MAX_SLEEP_MS)
    disable_payload_logs: bool = False
    include_output_results: bool = False
    only_cold_starts: bool = False
    allowed_exceptions: list[str] = Field(default=[], max_length=100)

    @classmethod
    def parse(cls, document: Any) -> TuningInput:
        """Read an execution's input. Raises InputError with one sentence for each fault."""
        if not isinstance(document, dict):
            raise InputError("the input is not a JSON object")
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            raise InputError("; ".join(map(_problem, error.errors(include_url=False)[:MAX_PROBLEMS]))) from None

    @field_validator("power_values")
    @classmethod
    def _in_range(cls, values: list[int] | Literal["ALL"] | None) -> list[int] | Literal["ALL"] | None:
        if not isinstance(values, list):
            return values
        if wrong := [value for value in values if not MIN_MEMORY_MB <= value <= MAX_MEMORY_MB]:
            raise ValueError(f"{wrong[0]} MB: Lambda allows {MIN_MEMORY_MB} to {MAX_MEMORY_MB} MB")
        return sorted(set(values))

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.payload is not None and self.payload_s3 is not None:
            raise ValueError("payload and payloadS3 are both there: one of them is allowed")
        if self.auto_optimize_alias and not self.auto_optimize:
            raise ValueError("autoOptimizeAlias is for autoOptimize true")
        if FunctionName.parse(self.lambda_arn, "lambdaARN").qualifier:
            raise ValueError("lambdaARN has a qualifier: what is tuned is $LATEST, so leave it out")
        if self.only_cold_starts and (versions := self.num * len(self.sizes_mb)) > MAX_COLD_STARTS:
            raise ValueError(
                f"onlyColdStarts would need {versions} versions: at most {MAX_COLD_STARTS} are made, so lower num, or "
                "list fewer powerValues"
            )
        if self.budget_usd is not None and not self.is_adaptive:
            raise ValueError("budgetUsd is for an adaptive search: set search to 'adaptive'")
        return self

    @property
    def is_adaptive(self) -> bool:
        """Whether the search is adaptive: by default where no sizes are listed, never for cold starts or a dry run."""
        if self.dry_run or self.only_cold_starts:
            return False
        return (self.search or ("fixed" if self.listed_mb else "adaptive")) == "adaptive"

    @property
    def listed_mb(self) -> tuple[int, ...]:
        """The power values as listed; none for the whole range."""
        return tuple(self.power_values) if isinstance(self.power_values, list) else ()

    @property
    def sizes_mb(self) -> tuple[int, ...]:
        """The sizes in question."""
        return self.listed_mb or LADDER_MB

    @property
    def objective(self) -> Strategy:
        """The strategy in Greenroom's words."""
        return "duration" if self.strategy == "speed" else self.strategy

    @property
    def trim_share(self) -> float:
        """The share of a size's times that is cut off at each end; nothing where all of them are cold."""
        return 0.0 if self.only_cold_starts else self.discard_top_bottom


@dataclass(frozen=True)
class Payloads:
    """What a function is invoked with: JSON texts with their weights, each under the name of a case."""

    bodies: dict[str, str]
    weights: dict[str, int | float]

    @classmethod
    def parse(cls, payload: Any) -> Payloads:
        """Read a payload, or a list of weighted ones. Raises InputError."""
        is_weighted = isinstance(payload, list) and all(
            isinstance(each, dict) and each.get("weight") and "payload" in each for each in payload
        )
        if not is_weighted or not payload:
            return cls({"payload": _as_json(payload)}, {"payload": 1})
        if len(payload) > MAX_PAYLOADS:
            raise InputError(f"payload has {len(payload)} weighted payloads; at most {MAX_PAYLOADS} are allowed")
        names = [f"payload {number}" for number in range(1, len(payload) + 1)]
        for name, each in zip(names, payload, strict=True):
            weight = each["weight"]
            if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight < math.inf:
                raise InputError(f"{name} has the weight {str(weight)[:100]!r}: a number above 0 is needed")
        return cls(
            {name: _as_json(each["payload"]) for name, each in zip(names, payload, strict=True)},
            {name: each["weight"] for name, each in zip(names, payload, strict=True)},
        )

    def cases(self, asked: TuningInput) -> tuple[str, ...]:
        """Return the order in which a plan takes them, again and again. Raises InputError if `num` is too small.

        A fixed search takes each as often as its weight says. An adaptive one takes all equally often, and the weights
        count in the figures.
        """
        names = tuple(self.bodies)
        if asked.is_adaptive or asked.dry_run or len(names) == 1:
            return names
        if asked.num < len(names):
            raise InputError(f"there are {len(names)} weighted payloads and num is {asked.num}: raise num")
        total = math.fsum(self.weights.values())
        # Whichever is furthest behind its share is next, so that no weight has to wait for the end.
        taken = dict.fromkeys(names, 0)
        order = []
        for number in range(1, asked.num + 1):
            name = max(names, key=lambda name: self.weights[name] / total * number - taken[name])
            taken[name] += 1
            order.append(name)
        if missing := [name for name in names if not taken[name]]:
            raise InputError(f"{missing[0]} has too small a weight to be used in {asked.num} invocations: raise num")
        return _shortest_cycle(tuple(order))

    def averaging(self, asked: TuningInput) -> Averaging:
        """Return how the times become one figure."""
        return Averaging(asked.trim_share, dict(self.weights))


def _shortest_cycle(order: tuple[str, ...]) -> tuple[str, ...]:
    repeats = math.gcd(*(order.count(name) for name in set(order)))
    for times in range(repeats, 1, -1):
        length = len(order) // times
        if len(order) % times == 0 and order == order[:length] * times:
            return order[:length]
    return order


def _as_json(payload: Any) -> str:
    """Return a text that is JSON as it is, and everything else as JSON, as AWS Lambda Power Tuning does."""
    if isinstance(payload, str):
        try:
            json.loads(payload)
        except ValueError:
            pass
        else:
            return payload
    return json.dumps(payload)


def _problem(problem: Any) -> str:
    field = ".".join(str(part) for part in problem["loc"] if part not in ("list[int]", "literal['ALL']"))
    text = problem["msg"].removeprefix("Value error, ")
    if not field:
        return str(text)
    if problem["type"] == "extra_forbidden":
        return f"{field[:100]} is not known"
    if problem["type"] == "missing":
        return f"{field} is missing"
    return f"{field} is {str(problem['input'])[:100]!r}: {text}"

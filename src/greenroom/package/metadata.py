"""`metadata.json`: its fields and rules, with a published JSON Schema, and errors that name field, finding and what is
allowed.

`AlgorithmSettings` has the fields, each with its rule. `Metadata` is what an upload must satisfy: every rule holds.
`StoredMetadata` is what the platform reads back: it was accepted once, by this version or by another one, so no rule is
enforced again.
"""

from __future__ import annotations

import difflib
import json
import sys
from collections.abc import Mapping
from functools import cache
from types import UnionType
from typing import Annotated, Any, Literal, Self, Union, get_args, get_origin

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    Tag,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, core_schema

from greenroom.package.errors import PackageError

MAX_METADATA_BYTES = 64 * 1024
MAX_DEPTH = 8
MAX_PROBLEMS = 20
MAX_SHOWN_CHARS = 80
MAX_NEXT = 16

MIN_MEMORY_MB, MAX_MEMORY_MB = 128, 10_240
"""https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"""

MAX_TIMEOUT_S = 900
"""https://docs.aws.amazon.com/lambda/latest/dg/configuration-timeout.html"""

SUPPORTED_RUNTIMES = ("python3.11", "python3.12", "python3.13", "python3.14")
"""https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html"""

DEFAULT_RUNTIME = SUPPORTED_RUNTIMES[max(0, min(len(SUPPORTED_RUNTIMES) - 1, sys.version_info.minor - 11))]
"""The runtime of the platform's own functions: the Python that runs here."""

NAME_PATTERN = r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$"
MODULE_PATTERN = r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*"

Name = Annotated[str, Field(pattern=NAME_PATTERN, min_length=2, max_length=32)]
PowerValue = Annotated[int, Field(ge=MIN_MEMORY_MB, le=MAX_MEMORY_MB)]
_LISTED, _ALL = "listed", "all"
PowerValues = Annotated[
    Annotated[
        list[PowerValue], Field(min_length=1, max_length=32, json_schema_extra={"uniqueItems": True}), Tag(_LISTED)
    ]
    | Annotated[Literal["ALL"], Tag(_ALL)],
    # Report a bad list once, not once per union member.
    Discriminator(lambda value: _ALL if isinstance(value, str) else _LISTED),
]


class MetadataError(PackageError):
    """A metadata.json is refused; `problems` has one sentence for each fault."""

    def __init__(self, problems: list[str]) -> None:
        shown = problems[:MAX_PROBLEMS]
        if len(problems) > MAX_PROBLEMS:
            shown.append(f"and {len(problems) - MAX_PROBLEMS} more")
        super().__init__(
            code="bad_metadata",
            where="metadata.json",
            fault="; ".join(shown),
            hint="docs/package-format.md and GET /schema/metadata.json say what is allowed.",
        )
        self.problems = problems


class TestSettings(BaseModel):
    """How a test is made and what its outcome has to meet, apart from the sizes and the strategy."""

    model_config = ConfigDict(alias_generator=to_camel, allow_inf_nan=False, frozen=True)

    num: int = Field(default=10, ge=1, le=1000, description="Invocations at each power value")
    balanced_weight: float = Field(
        default=0.5, ge=0, le=1, description="Share of cost in the strategy balanced: 1 is cost, 0 is duration"
    )
    max_duration_ms: float | None = Field(
        default=None, gt=0, description="A power value may be chosen only if its duration is at most this"
    )
    max_duration_percentile: float = Field(
        default=95, gt=0, lt=100, description="Percentile of the duration that maxDurationMs is for"
    )
    max_cost_usd: float | None = Field(
        default=None, gt=0, description="A power value may be chosen only if a million invocations cost at most this"
    )
    min_headroom: float | None = Field(
        default=None, ge=0, lt=1, description="Share of its memory that a power value must leave free to be chosen"
    )
    max_cold_start_ms: float | None = Field(
        default=None,
        gt=0,
        description="A power value may be chosen only if its slowest cold start, init phase included, is at most this",
    )
    search: Literal["fixed", "adaptive"] = Field(
        default="fixed", description="fixed: num times at each power value; adaptive: where it is worth most"
    )
    max_expected_loss: float = Field(
        default=0.002, gt=0, le=1, description="Expected loss at which the adaptive search stops"
    )
    budget_usd: float | None = Field(
        default=None, gt=0, description="The most that the invocations of an adaptive search may cost"
    )
    tolerance: float = Field(default=0.01, ge=0, le=1, description="Difference up to which power values may be tied")


class _OneOf:
    """The rule that a text is one of a few. Not a Literal, which is a type: a stored text may no longer be allowed."""

    def __init__(self, *allowed: str) -> None:
        self.allowed = allowed

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), "enum": list(self.allowed)}

    def _check(self, value: str) -> str:
        if value not in self.allowed:
            raise ValueError(f"not one of {', '.join(self.allowed)}")
        return value


class AlgorithmSettings(TestSettings):
    """What a package says about itself in metadata.json: the fields, their rules and their defaults."""

    name: Name = Field(description="Name of the algorithm: lower-case letters, digits and single hyphens")
    type: Annotated[str, _OneOf("in", "out")] = Field(
        description="in: reads a platform's export; out: writes a configuration"
    )
    entry: str | None = Field(
        default=None,
        pattern=f"^{MODULE_PATTERN}:[A-Za-z_][A-Za-z0-9_]*$",
        max_length=256,
        description="package.module:Class with a method translate(document); instead of handler",
    )
    handler: str | None = Field(
        default=None,
        pattern=f"^{MODULE_PATTERN}\\.[A-Za-z_][A-Za-z0-9_]*$",
        max_length=128,
        description="module.function: a Lambda handler of the algorithm's own; instead of entry",
    )
    runtime: Annotated[str, _OneOf(*SUPPORTED_RUNTIMES)] = Field(
        default=DEFAULT_RUNTIME,
        validate_default=True,
        description="Lambda runtime; by default that of the platform",
    )
    architecture: Literal["x86_64", "arm64"] = Field(default="x86_64", description="Lambda's instruction set")
    power_values: PowerValues = Field(
        default=[128, 256, 512],
        description="Memory sizes in MB at which the release is tested; ALL: the whole range, for an adaptive search",
    )
    strategy: Literal["cost", "duration", "balanced"] = Field(default="cost", description="What the choice is made by")
    max_regression: float | None = Field(
        default=None, ge=0, description="Share by which the release may be slower or more expensive than the live one"
    )
    allow_not_compared: bool = Field(
        default=False, description="Whether the package may go live although no test case has an expected answer"
    )
    timeout: int = Field(default=60, ge=1, le=MAX_TIMEOUT_S, description="Seconds that an invocation may take")
    next: Annotated[
        list[Name],
        BeforeValidator(lambda value: [value] if isinstance(value, str) else value),
        Field(max_length=MAX_NEXT),
    ] = Field(default=[], description="Algorithm, or algorithms, that an in algorithm forwards to")
    description: str = Field(default="", max_length=1_000, description="For people")

    @property
    def listed_mb(self) -> tuple[int, ...]:
        """The power values as they are listed, ascending; none where the whole range is searched."""
        return () if self.power_values == "ALL" else tuple(self.power_values)

    @field_validator("power_values")
    @classmethod
    def _ascending(cls, values: list[int] | Literal["ALL"]) -> list[int] | Literal["ALL"]:
        if values == "ALL":
            return "ALL"
        if len(set(values)) != len(values):
            raise ValueError("a value twice")
        return sorted(values)

    @field_validator("next")
    @classmethod
    def _each_once(cls, names: list[str]) -> list[str]:
        if len(set(names)) != len(names):
            raise ValueError("a name twice")
        return names


class Metadata(AlgorithmSettings):
    """What a package says about itself in metadata.json."""

    model_config = ConfigDict(extra="forbid", strict=True, title="metadata.json")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if problems := _contradictions(self.model_dump(by_alias=True)):
            raise ValueError("; ".join(problems))
        return self


class StoredMetadata(AlgorithmSettings):
    """The metadata of a release as it is read back.

    Whatever the rules become, a release stays readable. A value of the field's type is kept, any other value is
    replaced by the field's default, and a field that this version does not know is left out.
    """

    @field_validator("*", mode="wrap")
    @classmethod
    def _without_rules(cls, value: Any, follow_rules: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
        try:
            return follow_rules(value)
        except ValidationError:
            name = str(info.field_name)
        try:
            return _type_of(name).validate_python(value)
        except ValidationError:
            if (field := cls.model_fields[name]).is_required():
                raise
            return field.get_default()


@cache
def _type_of(name: str) -> TypeAdapter[Any]:
    """Return the type of a field of AlgorithmSettings, without its rules."""
    return TypeAdapter(_bare(AlgorithmSettings.model_fields[name].annotation))


def _bare(type_: Any) -> Any:
    """Return a type without what `Annotated` adds, in lists and unions too."""
    if get_origin(type_) is Annotated:
        return _bare(get_args(type_)[0])
    if get_origin(type_) is list:
        return list[_bare(get_args(type_)[0])]  # type: ignore[misc]
    if get_origin(type_) in (Union, UnionType):
        return Union[tuple(map(_bare, get_args(type_)))]  # noqa: UP007 -- not known before it runs
    return type_


def _contradictions(value: Mapping[str, Any]) -> list[str]:
    """Return what is wrong between fields, whether or not each is right on its own."""
    problems = []
    entry, handler, next_ = (value.get(field) for field in ("entry", "handler", "next"))
    if entry is None and handler is None:
        problems.append("field 'entry' is missing: exactly one of entry and handler is needed")
    elif entry is not None and handler is not None:
        problems.append("field 'handler' is given as well as 'entry': exactly one of the two is allowed")
    if next_ and value.get("type") == "out":
        problems.append(f"field 'next' is {_shown(next_)}; allowed only with type 'in'")
    if value.get("name") in (next_ if isinstance(next_, list) else [next_]) and next_:
        problems.append("field 'next' names the algorithm itself; allowed: other algorithms")
    if value.get("search") != "adaptive":
        if value.get("powerValues") == "ALL":
            problems.append("field 'powerValues' is \"ALL\"; allowed only with search 'adaptive'")
        if value.get("budgetUsd") is not None:
            problems.append(f"field 'budgetUsd' is {_shown(value['budgetUsd'])}; allowed only with search 'adaptive'")
    return problems


def load_metadata(body: bytes) -> Metadata:
    """Read a metadata.json. Raises MetadataError."""
    if len(body) > MAX_METADATA_BYTES:
        raise MetadataError([f"is {len(body):,} bytes; at most {MAX_METADATA_BYTES:,} are allowed"])
    try:
        value = json.loads(body.decode("utf-8-sig"), object_pairs_hook=_without_duplicates)
    except UnicodeDecodeError:
        raise MetadataError(["is not UTF-8"]) from None
    except _DuplicateKey as duplicate:
        raise MetadataError([f"has the field {_shown(str(duplicate))} twice"]) from None
    except (ValueError, RecursionError) as error:
        raise MetadataError([f"is not JSON: {error}"]) from None
    if not isinstance(value, dict):
        raise MetadataError([f"is {_kind(value)}; an object is needed"])
    if _depth(value) > MAX_DEPTH:
        raise MetadataError([f"is nested more than {MAX_DEPTH} deep"])
    return validate_metadata(value)


def validate_metadata(value: Mapping[str, Any]) -> Metadata:
    """Validate a metadata.json that has been parsed. Raises MetadataError."""
    try:
        return Metadata.model_validate(value)
    except ValidationError as error:
        problems = [_problem(problem) for problem in error.errors(include_url=False) if problem["loc"]]
        # pydantic compares fields only when each is right; a developer wants all problems at once.
        raise MetadataError(problems + _contradictions(value)) from None


def metadata_json_schema() -> dict[str, Any]:
    """Return the JSON Schema of metadata.json.

    It accepts what the model accepts, and two things more that a schema can't forbid: a `next` that names the algorithm
    itself, and 10.0 for 10.
    """
    schema = Metadata.model_json_schema(by_alias=True)
    properties = schema["properties"]
    for described in properties.values():
        del described["title"]
    # The default depends on the platform: it is the Python that runs it.
    properties["runtime"].pop("default", None)
    many = {key: properties["next"].pop(key) for key in ("type", "items", "maxItems")} | {"uniqueItems": True}
    properties["next"]["anyOf"] = [many["items"], many]
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    given = {field: {"required": [field], "properties": {field: {"type": "string"}}} for field in ("entry", "handler")}
    schema["oneOf"] = list(given.values())
    schema["if"] = {"properties": {"type": {"const": "out"}}, "required": ["type"]}
    schema["then"] = {"properties": {"next": {"maxItems": 0, "type": "array"}}}
    schema["allOf"] = [
        {
            "if": {"properties": {"search": {"const": "adaptive"}}, "required": ["search"]},
            "else": {"properties": {"powerValues": {"type": "array"}, "budgetUsd": {"type": "null"}}},
        }
    ]
    return schema


class _DuplicateKey(ValueError):
    pass


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for key, item in pairs:
        if key in value:
            raise _DuplicateKey(key)
        value[key] = item
    return value


def _depth(value: Any) -> int:
    deepest, left = 1, [(value, 1)]
    while left:
        item, depth = left.pop()
        deepest = max(deepest, depth)
        children = item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
        left.extend((child, depth + 1) for child in children)
    return deepest


ALLOWED = {
    "name": "2 to 32 lower-case letters, digits and single hyphens, a letter first",
    "type": "'in' or 'out'",
    "entry": "package.module:Class",
    "handler": "module.function",
    "runtime": ", ".join(SUPPORTED_RUNTIMES),
    "architecture": "'x86_64' or 'arm64'",
    "powerValues": f"1 to 32 different whole numbers from {MIN_MEMORY_MB} to {MAX_MEMORY_MB}, or 'ALL'",
    "num": "a whole number from 1 to 1000",
    "strategy": "'cost', 'duration' or 'balanced'",
    "balancedWeight": "a number from 0 to 1",
    "maxDurationMs": "a number of milliseconds above 0",
    "maxDurationPercentile": "a number above 0 and below 100",
    "maxCostUsd": "a number of US dollars above 0, per million invocations",
    "minHeadroom": "a number from 0 to below 1",
    "maxColdStartMs": "a number of milliseconds above 0",
    "maxRegression": "a number from 0, such as 0.1 for 10 %",
    "search": "'fixed' or 'adaptive'",
    "maxExpectedLoss": "a number above 0 and up to 1",
    "budgetUsd": "a number of US dollars above 0",
    "tolerance": "a number from 0 to 1",
    "allowNotCompared": "true or false",
    "timeout": f"a whole number of seconds from 1 to {MAX_TIMEOUT_S}",
    "next": f"an algorithm's name, or a list of up to {MAX_NEXT} different ones",
    "description": "text of up to 1000 characters",
}
"""What each field allows, as an error message says it."""


def _problem(problem: Any) -> str:
    """Return one sentence: the field, what was found, what is allowed."""
    field = ".".join(str(part) for part in problem["loc"] if part not in (_LISTED, _ALL))
    if problem["type"] == "extra_forbidden":
        near = difflib.get_close_matches(field, ALLOWED, 1)
        return f"field {_shown(field)} is not known; " + (
            f"did you mean {near[0]!r}?" if near else f"allowed: {', '.join(ALLOWED)}"
        )
    allowed = ALLOWED[problem["loc"][0]]
    if problem["type"] == "missing":
        return f"field {field!r} is missing; allowed: {allowed}"
    found = problem["input"]
    kind = "" if isinstance(found, str | list) else f"{_kind(found)}, "
    return f"field {field!r} is {kind}{_shown(found)}; allowed: {allowed}"


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "a list", dict: "an object"}
    return names.get(type(value), type(value).__name__)


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=True, default=str)
    return text if len(text) <= MAX_SHOWN_CHARS else text[: MAX_SHOWN_CHARS - 1] + "…"

"""`metadata.json`: one model with a published JSON Schema, and errors that name field, finding and what is allowed."""

from __future__ import annotations

import difflib
import json
import sys
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic.alias_generators import to_camel

from greenroom.package.errors import PackageError

MAX_METADATA_BYTES = 64 * 1024
MAX_DEPTH = 8
MAX_PROBLEMS = 20
MAX_SHOWN_CHARS = 80

MIN_MEMORY_MB, MAX_MEMORY_MB = 128, 10_240
"""https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"""

MAX_TIMEOUT_S = 900
"""https://docs.aws.amazon.com/lambda/latest/dg/configuration-timeout.html"""

SUPPORTED_RUNTIMES = ("python3.11", "python3.12", "python3.13", "python3.14")
"""https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html"""

DEFAULT_RUNTIME = f"python{sys.version_info.major}.{sys.version_info.minor}"
"""That of the platform's own functions (DESIGN, section 7)."""

NAME_PATTERN = r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$"
MODULE_PATTERN = r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*"

Name = Annotated[str, Field(pattern=NAME_PATTERN, min_length=2, max_length=32)]
PowerValue = Annotated[int, Field(ge=MIN_MEMORY_MB, le=MAX_MEMORY_MB)]


class MetadataError(PackageError):
    """A metadata.json that can't be accepted; `problems` has one sentence for each fault."""

    def __init__(self, problems: list[str]) -> None:
        shown = problems[:MAX_PROBLEMS]
        if len(problems) > MAX_PROBLEMS:
            shown.append(f"and {len(problems) - MAX_PROBLEMS} more")
        super().__init__(
            code="bad_metadata",
            where="metadata.json",
            what="; ".join(shown),
            todo="docs/package-format.md and GET /schema/metadata.json say what is allowed.",
        )
        self.problems = problems


class Metadata(BaseModel):
    """What a package says of itself in metadata.json."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", strict=True, frozen=True, title="metadata.json"
    )

    name: Name = Field(description="Name of the algorithm: lower-case letters, digits and single hyphens")
    type: Literal["in", "out"] = Field(description="in: reads a platform's export; out: writes a configuration")
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
    runtime: Literal["python3.11", "python3.12", "python3.13", "python3.14"] = Field(
        default=DEFAULT_RUNTIME,
        validate_default=True,
        description="Lambda runtime; by default that of the platform",
    )
    architecture: Literal["x86_64", "arm64"] = Field(default="x86_64", description="Lambda's instruction set")
    power_values: Annotated[list[PowerValue], Field(min_length=1, max_length=32)] = Field(
        default=[128, 256, 512], description="Memory sizes in MB at which the release is tested"
    )
    num: int = Field(default=10, ge=1, le=1000, description="Invocations at each power value")
    strategy: Literal["cost", "duration"] = Field(default="cost", description="What the choice is made by")
    timeout: int = Field(default=60, ge=1, le=MAX_TIMEOUT_S, description="Seconds that an invocation may take")
    next: Annotated[
        list[Name],
        BeforeValidator(lambda value: [value] if isinstance(value, str) else value),
        Field(max_length=16, json_schema_extra={"anyOf": [{"type": "string"}, {"type": "array"}]}),
    ] = Field(default=[], description="Algorithm, or algorithms, that an in algorithm forwards to")
    description: str = Field(default="", max_length=1_000, description="For people")

    @field_validator("power_values")
    @classmethod
    def _ascending(cls, values: list[int]) -> list[int]:
        if len(set(values)) != len(values):
            raise ValueError("has the same value twice")
        return sorted(values)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.entry is None) == (self.handler is None):
            raise ValueError("exactly one of entry and handler is needed")
        if self.next and self.type == "out":
            raise ValueError("next is for algorithms of type in")
        if self.name in self.next:
            raise ValueError("next must not name the algorithm itself")
        if len(set(self.next)) != len(self.next):
            raise ValueError("next names an algorithm twice")
        return self


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
        raise MetadataError([_problem(problem) for problem in error.errors(include_url=False)]) from None


def metadata_json_schema() -> dict[str, Any]:
    """The JSON Schema of metadata.json."""
    schema = Metadata.model_json_schema(by_alias=True)
    # The default depends on who reads: it is the platform's own Python.
    schema["properties"]["runtime"].pop("default", None)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["oneOf"] = [{"required": ["entry"]}, {"required": ["handler"]}]
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


def _problem(problem: Any) -> str:
    """One sentence: the field, what was found, what is allowed."""
    field = ".".join(str(part) for part in problem["loc"]) or "metadata"
    found, context = problem["input"], problem.get("ctx") or {}
    match problem["type"]:
        case "extra_forbidden":
            known = [field_.alias or name for name, field_ in Metadata.model_fields.items()]
            near = difflib.get_close_matches(field, known, 1)
            return f"field {_shown(field)} is not known" + (f", did you mean {near[0]!r}?" if near else "")
        case "missing":
            return f"field {field!r} is missing"
        case "literal_error":
            return f"field {field!r} is {_shown(found)}; allowed: {context['expected']}"
        case "string_pattern_mismatch":
            return f"field {field!r} is {_shown(found)}; it must match {context['pattern']}"
        case "greater_than_equal":
            return f"field {field!r} is {_shown(found)}; allowed: {context['ge']} or more"
        case "less_than_equal":
            return f"field {field!r} is {_shown(found)}; allowed: {context['le']} or less"
        case "value_error" if field == "metadata":
            return str(context["error"])
        case "value_error":
            return f"field {field!r} {context['error']}"
        case "too_long" | "too_short" | "string_too_long" | "string_too_short":
            return f"field {field!r} is {_shown(found)}; {problem['msg'][0].lower()}{problem['msg'][1:]}"
        case _:
            return (
                f"field {field!r} is {_kind(found)} ({_shown(found)}); {problem['msg'][0].lower()}{problem['msg'][1:]}"
            )


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "a list", dict: "an object"}
    return names.get(type(value), type(value).__name__)


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=True, default=str)
    return text if len(text) <= MAX_SHOWN_CHARS else text[: MAX_SHOWN_CHARS - 1] + "…"

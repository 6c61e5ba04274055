"""What all models of the HTTP API share: names in camelCase, moments, words out of a fixed list.

An answer is strict where it is made and tolerant where it is read, from one definition. Its JSON Schema says what this
version of the platform sends: every field, and the words that a field may have. Reading takes more than that: a field
that an older platform leaves out gets its default, one that a newer platform adds is kept and comes out of `to_json`
again, and a word that is not in the list is accepted. A request body is strict on both sides.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer
from pydantic.alias_generators import to_camel


def _describe(schema: dict[str, Any]) -> None:
    """Leave out of a model's JSON Schema what says nothing: titles, and defaults, which are for reading only."""
    for described in schema.get("properties", {}).values():
        described.pop("title", None)
        described.pop("default", None)


class Answer(BaseModel):
    """Base of everything that the API answers with."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_alias=True,
        validate_by_name=True,
        serialize_by_alias=True,
        extra="allow",
        frozen=True,
        defer_build=True,
        json_schema_serialization_defaults_required=True,
        json_schema_extra=_describe,
    )

    def to_json(self) -> dict[str, Any]:
        """Return the answer as the platform gave it: what was left out stays out, and unknown fields are in it."""
        return self.model_dump(mode="json", exclude_unset=True)


class Request(BaseModel):
    """Base of everything that the API is sent."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_alias=True,
        validate_by_name=True,
        serialize_by_alias=True,
        extra="forbid",
        strict=True,
        frozen=True,
        defer_build=True,
    )


def moment(text: str) -> datetime:
    """Return the moment that an ISO 8601 text of the registry names. Raises ValueError."""
    return datetime.fromisoformat(text)


@lru_cache(maxsize=8_192)
def iso_utc(at: datetime) -> str:
    """Return a moment as the registry keeps it and the API answers it: ISO 8601 in UTC, with milliseconds and a Z.

    Remembered, because a list has thousands of moments, and the page reads the same list again and again.
    """
    if at.tzinfo is not UTC:
        at = at.astimezone(UTC)
    return at.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


Moment = Annotated[
    datetime,
    PlainSerializer(iso_utc, return_type=str, when_used="json"),
    Field(json_schema_extra={"format": "date-time"}),
]
"""A moment in UTC."""


def one_of(*words: str) -> Any:
    """Return the `Field` of a text whose words are published in the schema; reading accepts other words too."""
    return Field(json_schema_extra={"enum": list(words)})


ULID_PATTERN = "^[0-9A-HJKMNP-TV-Z]{26}$"
NAME_PATTERN = "^[a-z][a-z0-9-]{0,63}$"

Ulid = Annotated[str, Field(pattern=ULID_PATTERN, description="A ULID: ids sort by the time at which they were made")]
"""The id of a release or a message."""

Name = Annotated[str, Field(pattern=NAME_PATTERN, description="An algorithm's name")]

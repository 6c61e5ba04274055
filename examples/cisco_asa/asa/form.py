"""The form that a JSON document must have, and the one error that says where a document has another.

A form is checked once, before anything is read: what reads the document then finds values of the right kind.
The examples are packages of their own, so this file is in each that reads JSON, with the same text.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

MAX_SHOWN_CHARS = 60


class WrongForm(ValueError):
    """A value of a document is of another kind than the one that is read there."""


@dataclass(frozen=True)
class Form:
    """What a value must be: `expected` says it in words, and `fits` decides it.

    `fields` are the forms of an object's fields, `values` that of all values of an object with free keys, and `items`
    that of a list's items. A field may be absent unless it is `required`, and null only if its form is `nullable`.
    Fields that are not listed are not checked, or refused where the form is `closed`.
    """

    expected: str
    fits: Callable[[Any], bool]
    fields: Mapping[str, Form] = field(default_factory=dict)
    values: Form | None = None
    items: Form | None = None
    required: tuple[str, ...] = ()
    nullable: bool = False
    closed: bool = False


Path = tuple[Any, ...]
"""The way to a value: the path of what holds it, and its key or place there; () is the document."""


def check(document: Any, form: Form, what: str) -> None:
    """Raise WrongForm, with what the document is not, for the first value of another form."""
    waiting: list[tuple[Path, Any, Form]] = [((), document, form)]
    while waiting:
        path, value, wanted = waiting.pop()
        if not wanted.fits(value):
            raise wrong(what, written(path), wanted.expected, value)
        for key, part, below in _parts(path, value, wanted, what):
            if part is None and below.nullable:
                continue
            if below.fields or below.values or below.items or not below.fits(part):
                waiting.append(((path, key), part, below))


def wrong(what: str, path: str, expected: str, value: Any) -> WrongForm:
    """Return the error for a value at a place of a document."""
    return WrongForm(f"this is not {what}: at {path}, expected {expected}, found {_shown(value)}")


def written(path: Path) -> str:
    """Return a path as JSON paths are written."""
    keys = []
    while path:
        path, key = path
        keys.append(key)
    return "$" + "".join(
        f".{key}" if isinstance(key, str) and key.isidentifier() else f"[{_cut(json.dumps(key))}]"
        for key in reversed(keys)
    )


def _parts(path: Path, value: Any, form: Form, what: str) -> Iterator[tuple[Any, Any, Form]]:
    if isinstance(value, dict):
        for name in form.required:
            if name not in value:
                raise WrongForm(f"this is not {what}: at {written(path)}, expected a field {name!r}, found none")
        for key, part in value.items():
            known = form.fields.get(key, form.values)
            if known is not None:
                yield key, part, known
            elif form.closed:
                raise WrongForm(f"this is not {what}: {written((path, key))} is a field that is not known")
    if isinstance(value, list) and form.items is not None:
        yield from ((place, part, form.items) for place, part in enumerate(value))


def _cut(text: str) -> str:
    return text if len(text) <= MAX_SHOWN_CHARS else f"{text[: MAX_SHOWN_CHARS - 3]}..."


def _shown(value: Any) -> str:
    if isinstance(value, (dict, list)):
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)}"
    return _cut(json.dumps(value))


def is_number(value: Any) -> bool:
    """Return whether a value is a number that can be counted with."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def is_scalar(value: Any) -> bool:
    """Return whether a value is a text, a finite number, true or false."""
    return isinstance(value, (str, bool)) or is_number(value)


def an_object(
    fields: Mapping[str, Form] | None = None, *, expected: str = "an object", required: str = "", closed: bool = False
) -> Form:
    """Return the form of an object; `required` are the names of fields, with spaces between them."""
    return Form(
        expected,
        lambda value: isinstance(value, dict),
        fields or {},
        required=tuple(required.split()),
        closed=closed,
    )


def a_list(items: Form | None = None, *, expected: str = "a list") -> Form:
    """Return the form of a list."""
    return Form(expected, lambda value: isinstance(value, list), items=items)

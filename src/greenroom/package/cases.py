"""A package's test cases: `tests/<case>/input.*` and what the answer is compared with, `tests/<case>/expected.*`.

Nothing else may be in tests/: a file whose name is misspelt would be left out without anybody noticing, and with it the
comparison that it was made for.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import Any

from greenroom.package.apart import At
from greenroom.package.archive import Archive, Entry
from greenroom.package.errors import PackageError
from greenroom.package.paths import shown

FOLDER = "tests"
INPUT, EXPECTED = "input", "expected"
NOTES = "README.md"
"""May be in tests/ and in a case: for people."""

CASE_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
MAX_CASES = 200
MAX_TEST_FILE_BYTES = 16 * 1024 * 1024
MAX_SAID = 5

MEANT = {
    **dict.fromkeys(("in", "inputs", "request", "document", "event", "given"), INPUT),
    **dict.fromkeys(("out", "output", "outputs", "answer", "result", "expect", "expects", "want", "wanted"), EXPECTED),
}
"""Other words for the two, as people name them."""

RULE = f"A test case is {FOLDER}/<case>/{INPUT}.* with an optional {FOLDER}/<case>/{EXPECTED}.*."


@dataclass(frozen=True)
class Case:
    """A test case: `tests/<name>/input.*`, and `expected.*` where there is one.

    `input_sha256` is that of the input as it is read: two packages with the same one are tested with the same input.
    A case that is not `compared` passes with any answer: nothing says what is right.
    """

    name: str
    input_sha256: str
    compared: bool


@dataclass
class _Found:
    """What is in tests/: each case's files by what they are, and what is wrong."""

    cases: dict[str, dict[str, Entry]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)


def read_cases(archive: Archive, entries: list[Entry], at: At) -> tuple[Case, ...]:
    """Read a package's test cases, in the order of their names. Raises PackageError."""
    found = _Found()
    for entry in entries:
        parts = entry.path.split("/")
        if parts[0] == FOLDER and len(parts) > 1 and parts[1:] != [NOTES] and parts[2:] != [NOTES]:
            _place(found, entry, parts[1:])
    if found.wrong:
        raise _wrong(found.wrong)
    for name, files in found.cases.items():
        if INPUT not in files:
            raise _fault(f"{FOLDER}/{name}", f"has an {EXPECTED}.* but no {INPUT}.*")
    if not found.cases:
        what = "has no test case; at least one is needed, because a package is tested with its own cases"
        raise _fault(FOLDER, what)
    if len(found.cases) > MAX_CASES:
        raise _fault(FOLDER, f"has {len(found.cases)} cases; at most {MAX_CASES} are allowed")
    digests = {}
    for entry in (entry for files in found.cases.values() for entry in files.values()):
        at(entry.path)
        digests[entry] = _check_document(archive, entry)
    return tuple(
        Case(name, digests[files[INPUT]], compared=EXPECTED in files) for name, files in sorted(found.cases.items())
    )


def require_comparison(cases: tuple[Case, ...], *, allow_not_compared: bool) -> None:
    """Refuse a package of which no answer would be compared, unless it says that this is meant. Raises PackageError."""
    if not allow_not_compared and not any(case.compared for case in cases):
        raise PackageError(
            code="not_compared",
            where=FOLDER,
            fault=f"has no {EXPECTED}.*, so no answer would be compared, and a wrong one would go live",
            hint=f"Add {FOLDER}/{cases[0].name}/{EXPECTED}.json or .txt with the right answer. If it is enough that no "
            'exception is raised, say "allowNotCompared": true in metadata.json.',
        )


def _place(found: _Found, entry: Entry, parts: list[str]) -> None:
    """Put a file of tests/ where it belongs, or say what is wrong with it."""
    stem, dot, _ = parts[-1].partition(".")
    if len(parts) != 2 or not dot or stem not in (INPUT, EXPECTED):
        found.wrong.append(f"{shown(entry.path)}{_meant(parts)}")
        return
    name = parts[0]
    if not CASE_PATTERN.fullmatch(name):
        what = "has a wrong case name; allowed: up to 64 letters, digits and . _ -, a letter or digit first"
        raise _fault(entry.path, what)
    if stem in found.cases.setdefault(name, {}):
        raise _fault(entry.path, f"is a second {stem}.* of case {name}")
    found.cases[name][stem] = entry


def _meant(parts: list[str]) -> str:
    """Return what a file in tests/ was probably meant to be, as a question."""
    stem, _, ending = parts[-1].partition(".")
    kind = MEANT.get(stem.lower()) or next(iter(difflib.get_close_matches(stem.lower(), (INPUT, EXPECTED), 1)), None)
    if kind is None:
        return ""
    file = f"{kind}.{ending or 'json'}"
    if len(parts) == 1:
        return f" (did you mean {FOLDER}/<case>/{file}?)"
    return f" (did you mean {shown('/'.join((FOLDER, '-'.join(parts[:-1]), file)))}?)"


def _check_document(archive: Archive, entry: Entry) -> str:
    """Check that the equipment can read a test's file: JSON if its name ends in .json, otherwise text.

    Returns the SHA-256 of its content and of how it is read.
    """
    if entry.size_bytes > MAX_TEST_FILE_BYTES:
        raise _fault(entry.path, f"has {entry.size_bytes:,} bytes; at most {MAX_TEST_FILE_BYTES:,} are allowed")
    try:
        body = archive.read(entry.path, MAX_TEST_FILE_BYTES)
        text = body.decode("utf-8-sig")
        if entry.path.endswith(".json"):
            json.loads(text, parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise _fault(entry.path, f"is not UTF-8 (byte {error.start:,})") from None
    except RecursionError:
        raise _fault(entry.path, "is nested too deeply") from None
    except ValueError as error:
        raise _fault(entry.path, f"is not JSON: {error}") from None
    kind = b"json" if entry.path.endswith(".json") else b"text"
    return hashlib.sha256(kind + b"\0" + body).hexdigest()


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number in JSON")


def _wrong(files: list[str]) -> PackageError:
    more = f" and {len(files) - MAX_SAID} more" if len(files) > MAX_SAID else ""
    return PackageError(
        code="unknown_test_file",
        where=FOLDER,
        fault=f"has files that belong to no test case: {', '.join(files[:MAX_SAID])}{more}",
        hint=f"{RULE} Rename them, move them, or leave them out of the package: list them in .greenroomignore.",
    )


def _fault(where: str, what: str) -> PackageError:
    return PackageError(code="bad_tests", where=shown(where), fault=what, hint=RULE)

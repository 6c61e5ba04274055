"""Names in a package: which are allowed, which are one file on some disk, and how a message shows one.

A name is allowed if a person who reads it sees which file it is, and if every disk and every reader takes it for the
same path.
"""

from __future__ import annotations

import re
import unicodedata

from greenroom.package.errors import PackageError

MAX_PATH_CHARS = 240
MAX_DEPTH = 24

IGNORABLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
"""Letters and marks that show nothing, as far as they are not of the category Cf: Default_Ignorable_Code_Point in
https://www.unicode.org/Public/UCD/latest/ucd/DerivedCoreProperties.txt"""

ALIKE = frozenset({"LATIN", "CYRILLIC", "GREEK", "COPTIC", "ARMENIAN", "CHEROKEE"})
"""Alphabets whose letters look alike. No language mixes two of them in a word.
https://www.unicode.org/reports/tr39/#Mixed_Script_Detection"""

RENAME = "Rename it."


def check_path(name: str) -> None:
    """Check a name as a ZIP has it, with a slash at the end of a folder's. Raises PackageError."""
    where, parts = shown(name), name.removesuffix("/").split("/")
    if "\\" in name or any(unicodedata.category(char) == "Cc" for char in name):
        raise _error("bad_path", where, "has a backslash or a control character in its name", RENAME)
    if name.startswith("/") or name[1:2] == ":":
        raise _error("absolute_path", where, "is an absolute path", "Zip the folder's content, not the folder's path.")
    if any(part in ("", ".", "..") for part in parts):
        what = "leads out of the package or has an empty part"
        raise _error("path_traversal", where, what, "Zip the folder's content, with paths that begin in it.")
    if len(name) > MAX_PATH_CHARS or len(parts) > MAX_DEPTH:
        allowed = f"at most {MAX_PATH_CHARS} characters and {MAX_DEPTH} levels are allowed"
        raise _error("bad_path", where, f"is too long or too deep; {allowed}", "Shorten it.")
    if unclear := next(filter(None, map(_unclear, parts)), None):
        raise _error("unclear_name", where, f"{unclear}, so a reader can't see which file it is", RENAME)


def folded(path: str) -> str:
    """Return a path as a disk sees it that ignores case and how letters are composed."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", path).casefold())


def shown(name: str) -> str:
    """Return a name from a ZIP in a form that is safe in a message: bounded, and printable ASCII only."""
    text = name.encode("ascii", "backslashreplace").decode()
    text = "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)
    return text if len(text) <= 100 else text[:99] + "…"


def _unclear(part: str) -> str | None:
    """Return why a part of a path does not look like what it is, or None."""
    if part != part.strip():
        return "has a blank at the start or the end of its name"
    if part.isascii():
        return None
    if found := next((char for char in part if not _is_visible(char)), None):
        return f"has {_described(found)} in its name: outside of ASCII only visible letters and digits are allowed"
    if unicodedata.category(part[0]).startswith("M"):
        return f"begins with {_described(part[0])}, which changes the character in front of it"
    if unicodedata.normalize("NFC", part) != unicodedata.normalize("NFKC", part):
        found = next(char for char in part if unicodedata.normalize("NFKD", char) != unicodedata.normalize("NFD", char))
        return f"has {_described(found)} in its name, which looks like {shown(unicodedata.normalize('NFKC', found))!r}"
    for word in re.findall(r"[^\W\d_]+", part):
        if len(mixed := {unicodedata.name(char, "").partition(" ")[0] for char in word} & ALIKE) > 1:
            return f"has letters of {' and '.join(sorted(each.capitalize() for each in mixed))} in one word of its name"
    return None


def _is_visible(char: str) -> bool:
    return char.isascii() or (unicodedata.category(char)[0] in "LMN" and IGNORABLE.match(char) is None)


def _described(char: str) -> str:
    return f"the character U+{ord(char):04X} ({unicodedata.name(char, 'without a name')})"


def _error(code: str, where: str, what: str, hint: str) -> PackageError:
    return PackageError(code=code, where=where, fault=what, hint=hint)

"""Packages whose Python is cut, doubled, nested and mixed: each is accepted or refused, and none is our fault."""

from __future__ import annotations

import random
import tempfile

from greenroom.package.check import check_package
from greenroom.package.errors import PackageError
from tests.unit.package.zips import SOURCE, package

PIECES = (
    *(
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        ":",
        ",",
        "=",
        ":=",
        "*",
        "**",
        "->",
        "@",
        ".",
        "\\\n",
        "\n",
        "    ",
        "\t",
        "\f",
        "\0",
    ),
    *(
        "def f():",
        "class Translator:",
        "lambda x: ",
        "async ",
        "await ",
        "yield ",
        "return ",
        "import ",
        "from ",
        "if 1: ",
    ),
    *(
        "elif 0: pass\n",
        "else:",
        "try:",
        "except* E:",
        "finally:",
        "match x:",
        "case _:",
        "global x",
        "nonlocal x",
        "del ",
    ),
    *(
        "f'{",
        "}'",
        "'",
        '"""',
        "rb'",
        "0x",
        "1e9",
        "1_0",
        "é",
        "\u202e",
        "\U0001f600",
        "...",
        "-",
        "not ",
        "# coding: x",
    ),
)


def attempt(rng: random.Random) -> str:
    """Check a package with two broken modules."""
    files = {"sample/code.py": _source(rng), "sample/more.py": _source(rng)}
    with tempfile.TemporaryFile() as kept:
        try:
            check_package(package(files), kept)
        except PackageError as error:
            assert str(error).isprintable(), files
            return error.code
    return "accepted"


def _source(rng: random.Random) -> bytes:
    text = SOURCE
    for _ in range(rng.choice((0, 1, 1, 2, 6))):
        at, piece = rng.randrange(len(text) + 1), rng.choice(PIECES)
        match rng.randrange(4):
            case 0:
                text = text[:at] + piece * rng.choice((1, 2, 90, 1_000, 20_000)) + text[at:]
            case 1:
                text = text[:at] + text[at + rng.randint(1, 9) :]
            case 2:
                text = (text + "\n") * rng.choice((2, 50))
            case 3:
                depth = rng.choice((10, 99, 1_000))
                text = text[:at] + rng.choice(("(", "[", "-", "a.b(", "{0:")) * depth + "1" + ")" * depth + text[at:]
        text = text[:100_000]
    return text.encode("utf-8", "surrogatepass")

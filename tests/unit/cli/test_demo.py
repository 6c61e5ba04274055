"""The parts of the demo that need no platform; the whole is run end to end by `make demo`."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
from rich.console import Console

from greenroom.cli import demo
from tests.unit.cli.running import Command


@pytest.fixture
def algorithm(tmp_path: Path) -> Path:
    folder = tmp_path / "sender"
    (folder / "pkg").mkdir(parents=True)
    (folder / "metadata.json").write_text(json.dumps({"name": "sender", "entry": "pkg.code:Sender"}))
    (folder / "pkg" / "code.py").write_text(
        "class Sender:\n    def translate(self, document):\n        return {'rules': document['rules'], 'x': 1}\n"
    )
    for name, size in (("small", 10), ("large", 500)):
        (folder / "tests" / name).mkdir(parents=True)
        (folder / "tests" / name / "input.json").write_text(json.dumps({"rules": ["r"] * size}))
    return folder


def test_the_broken_copy_answers_but_wrongly_and_the_original_is_untouched(algorithm: Path, tmp_path: Path) -> None:
    before = (algorithm / "pkg" / "code.py").read_text()

    demo.break_copy(algorithm, tmp_path / "broken")

    spec = importlib.util.spec_from_file_location("broken_code", tmp_path / "broken" / "pkg" / "code.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.Sender().translate({"rules": ["a", "b"]}) == {"rules": ["a"], "x": 1}
    assert (algorithm / "pkg" / "code.py").read_text() == before


def test_the_document_that_is_sent_is_one_of_the_examples() -> None:
    assert (demo.examples_folder() / demo.SENDER_FOLDER / demo.DOCUMENT).is_file()


def test_an_excerpt_says_how_much_it_leaves_out() -> None:
    lines = [str(number) for number in range(50)]

    assert str(demo.excerpt(lines, 40)).endswith("39\n… and 10 more lines")
    assert str(demo.excerpt(lines, 50)).endswith("48\n49")


@pytest.mark.parametrize(
    ("document", "text"),
    [(b'{"a":[1]}', '{\n  "a": [\n    1\n  ]\n}'), (b"access-list 1\n", "access-list 1\n"), (b"\xff", "�")],
)
def test_a_document_is_laid_out_to_be_read(document: bytes, text: str) -> None:
    assert demo.readable(document) == text


def test_a_promise_that_did_not_hold_is_kept_and_shown() -> None:
    story = demo.Story(Console(record=True), Console(record=True))

    assert story.promise(True, "one") and not story.promise(False, "two\x1b")

    assert story.promises == [(True, "one"), (False, "two\x1b")]
    assert "✗ two\\x1b" in story.out.export_text()


def test_the_examples_are_found_in_a_checkout_and_in_a_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "PACKAGE", tmp_path / "src" / "greenroom")
    for place in (tmp_path / "examples", tmp_path / "src" / "greenroom" / "examples"):
        for name in demo.EXAMPLES:
            (place / name).mkdir(parents=True)
            (place / name / "metadata.json").touch()
        assert demo.examples_folder() == place


def test_without_the_examples_the_demo_says_what_to_do(
    greenroom: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "PACKAGE", tmp_path / "src" / "greenroom")

    ended = greenroom("demo")

    assert ended.code == 2 and "make demo" in ended.err and str(tmp_path) in ended.err


def test_a_document_that_is_not_json_is_refused_before_anything_is_started(greenroom: Command, tmp_path: Path) -> None:
    document = tmp_path / "export.json"
    document.write_text("{")

    ended = greenroom("demo", "--input", document)

    assert ended.code == 2 and "not JSON" in ended.err and str(document) in ended.err and not ended.out


def test_the_picture_fetches_nothing_from_elsewhere() -> None:
    console = Console(record=True)
    console.print("hello")

    svg = demo.without_fonts(console.export_svg())

    assert "url(" not in svg.replace("url(#", "") and "@font-face" not in svg and "hello" in svg

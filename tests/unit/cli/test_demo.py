"""The parts of the demo that need no platform; the whole is run end to end by `make demo`."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
from rich.console import Console

from greenroom.cli import demo


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


def test_the_broken_copy_answers_but_wrongly_and_the_original_is_untouched(algorithm, tmp_path):
    before = (algorithm / "pkg" / "code.py").read_text()

    demo.break_copy(algorithm, tmp_path / "broken")

    spec = importlib.util.spec_from_file_location("broken_code", tmp_path / "broken" / "pkg" / "code.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.Sender().translate({"rules": ["a", "b"]}) == {"rules": ["a"], "x": 1}
    assert (algorithm / "pkg" / "code.py").read_text() == before


def test_the_largest_real_export_is_sent_if_there_is_one_and_the_examples_largest_test_input(
    algorithm, tmp_path, monkeypatch
):
    monkeypatch.setattr(demo, "REPOSITORY", tmp_path / "checkout")
    own = algorithm / "tests" / "large" / "input.json"
    assert demo.documents_to_send(algorithm) == [(own, True)]

    real = tmp_path / "shared" / "data" / "nsx"
    real.mkdir(parents=True)
    for name, size in (("A.json", 10), ("B.json", 20)):
        (real / name).write_bytes(b"x" * size)
    assert demo.documents_to_send(algorithm) == [(real / "B.json", False), (own, True)]


def test_an_excerpt_says_how_much_it_leaves_out():
    lines = [str(number) for number in range(50)]

    assert str(demo.excerpt(lines, 40)).endswith("39\n… and 10 lines more")
    assert str(demo.excerpt(lines, 50)).endswith("48\n49")


@pytest.mark.parametrize(
    ("document", "text"),
    [(b'{"a":[1]}', '{\n  "a": [\n    1\n  ]\n}'), (b"access-list 1\n", "access-list 1\n"), (b"\xff", "�")],
)
def test_a_document_is_laid_out_to_be_read(document, text):
    assert demo.readable(document) == text


def test_a_promise_that_did_not_hold_is_kept_and_shown():
    story = demo.Story(Console(record=True), Console(record=True))

    assert story.promise(True, "one") and not story.promise(False, "two\x1b")

    assert story.promises == [(True, "one"), (False, "two\x1b")]
    assert "✗ two\\x1b" in story.out.export_text()


def test_without_the_examples_the_demo_says_where_they_are(greenroom, tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "REPOSITORY", tmp_path)

    ended = greenroom("demo")

    assert ended.code == 2 and "make demo" in ended.err and str(tmp_path) in ended.err


def test_the_picture_fetches_nothing_from_elsewhere():
    console = Console(record=True)
    console.print("hello")

    svg = demo.without_fonts(console.export_svg())

    assert "url(" not in svg.replace("url(#", "") and "@font-face" not in svg and "hello" in svg

"""init, pack and test on a real folder; and push of a folder, up to the bytes that reach S3."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.running import Command
from tests.unit.cli.sample_releases import LIVE, RELEASE_ID
from tests.unit.client.stand_in_api import BUCKET_PATH, Answer, StandInApi, parts_of


@pytest.fixture
def algorithm(greenroom: Command, tmp_path: Path) -> Path:
    folder = tmp_path / "My_First"
    assert greenroom("init", folder).code == 0
    return folder


def test_what_init_writes_passes_its_own_tests(greenroom: Command, algorithm: Path) -> None:
    ended = greenroom("test", algorithm)

    assert ended.code == 0 and "1 of 1 passed" in ended.out
    assert json.loads((algorithm / "metadata.json").read_text())["name"] == "my-first"


def test_init_takes_a_name_and_a_type(greenroom: Command, tmp_path: Path) -> None:
    assert greenroom("init", tmp_path / "x", "--name", "cisco-asa", "--type", "out").code == 0

    metadata = json.loads((tmp_path / "x" / "metadata.json").read_text())
    assert (metadata["name"], metadata["type"]) == ("cisco-asa", "out")
    assert greenroom("test", tmp_path / "x").code == 0


@pytest.mark.parametrize(("name", "word"), [("Ünsinn", "name"), ("a" * 60, "name")])
def test_init_refuses_a_name_that_cannot_be_one(greenroom: Command, tmp_path: Path, name: Any, word: str) -> None:
    ended = greenroom("init", tmp_path / "x", "--name", name)

    assert ended.code == 1 and word in ended.err and not (tmp_path / "x").exists()


def test_init_overwrites_nothing(greenroom: Command, algorithm: Path) -> None:
    ended = greenroom("init", algorithm)

    assert ended.code == 1 and "not an empty folder" in ended.err


def test_pack_says_what_is_in_the_package(greenroom: Command, algorithm: Path, tmp_path: Path) -> None:
    ended = greenroom("pack", algorithm, "-o", tmp_path / "it.zip", "--json")

    facts = json.loads(ended.out)
    assert facts["sha256"] == hashlib.sha256((tmp_path / "it.zip").read_bytes()).hexdigest()
    assert facts["sizeBytes"] == (tmp_path / "it.zip").stat().st_size and facts["cases"] == ["example"]
    assert facts["metadata"]["powerValues"] == [128, 256, 512]


def test_pack_writes_next_to_the_folder_by_default(greenroom: Command, algorithm: Path) -> None:
    ended = greenroom("pack", algorithm)

    assert ended.code == 0 and zipfile.is_zipfile(algorithm.with_name("My_First.zip"))
    assert "1 test case\n" in ended.out


@pytest.mark.parametrize("as_zip", [False, True])
def test_a_wrong_answer_is_exit_code_1_with_its_difference(greenroom: Command, algorithm: Path, as_zip: bool) -> None:
    code = algorithm / "my_first" / "translator.py"
    code.write_text(code.read_text().replace('"version": 1', '"version": 2'))
    package = algorithm
    if as_zip:
        greenroom("pack", algorithm)
        package = algorithm.with_name("My_First.zip")

    ended = greenroom("test", package)
    document = json.loads(greenroom("test", package, "--json").out)

    assert ended.code == 1 and '-  "version": 1' in ended.out and '+  "version": 2' in ended.out
    assert document["cases"][0]["passed"] is False and "durationMs" in document["cases"][0]


def test_an_exception_is_shown_with_its_place(greenroom: Command, algorithm: Path) -> None:
    code = algorithm / "my_first" / "translator.py"
    code.write_text(code.read_text().replace('document["hosts"]', 'document["hots"]'))

    ended = greenroom("test", algorithm)

    assert ended.code == 1 and "KeyError: 'hots'" in ended.out and "translator.py" in ended.out


@pytest.mark.parametrize("command", ["test", "pack", "push"])
def test_a_package_at_fault_is_reported_with_its_field_and_never_a_traceback(
    api: StandInApi, greenroom: Command, algorithm: Path, command: str
) -> None:
    (algorithm / "metadata.json").write_text('{"name": "my-first", "type": "sideways", "entry": "a:B"}')

    ended = greenroom(command, algorithm)

    assert ended.code == 1 and "'type'" in ended.err and "Traceback" not in ended.err
    assert not api.seen


def test_a_folder_is_packed_for_push_and_leaves_nothing_next_to_it(
    api: StandInApi, greenroom: Command, algorithm: Path
) -> None:
    upload = {"url": api.origin + BUCKET_PATH, "fields": {}}
    api.on("POST", "/releases", Answer(201, {"releaseId": RELEASE_ID, "upload": upload}))
    api.on("POST", BUCKET_PATH, Answer(204, b""))
    api.on("GET", f"/releases/{RELEASE_ID}", Answer(body=LIVE))

    ended = greenroom("push", algorithm)

    assert ended.code == 0
    sent = parts_of(api.to("POST", BUCKET_PATH)[0])[-1]
    assert sent.file_name == "My_First.zip"
    with zipfile.ZipFile(io.BytesIO(sent.content)) as archive:
        assert "my_first/translator.py" in archive.namelist()
    assert [path.name for path in algorithm.parent.iterdir()] == ["My_First"]

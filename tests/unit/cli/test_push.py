"""The command push, against a platform that plays a release from its upload to its end."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.running import Command
from tests.unit.cli.sample_releases import FAILED, LIVE, RELEASE_ID
from tests.unit.client.stand_in_api import BUCKET_PATH, Answer, StandInApi

RELEASE_PATH = f"/releases/{RELEASE_ID}"

Play = Callable[[dict[str, Any]], None]
"""Has the platform take an upload and end its release as given."""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    path = tmp_path / "nsx-in.zip"
    path.write_bytes(b"PK not really")
    return path


@pytest.fixture
def ends(api: StandInApi) -> Play:
    """The platform takes an upload, tests it at 256 MB, and the release ends as given."""

    def play(document: dict[str, Any]) -> None:
        upload = {"url": api.origin + BUCKET_PATH, "fields": {"key": "uploads/1"}}
        api.on("POST", "/releases", Answer(201, {"releaseId": RELEASE_ID, "upload": upload}))
        api.on("POST", BUCKET_PATH, Answer(204, b""))
        testing = LIVE | {"status": "TESTING", "summary": None, "history": LIVE["history"][:-1]}
        half = {"progress": [{"memoryMb": 256, "done": 5, "total": 10, "failed": 0}]}
        full = {"progress": [{"memoryMb": 256, "done": 10, "total": 10, "failed": 0}]}
        api.on(
            "GET", RELEASE_PATH, Answer(body=testing | half), Answer(body=testing | full), Answer(body=document | full)
        )
        measured = [{"memoryMb": 256, "durationMs": d, "maxMemoryUsedMb": 88} for d in (100.0, 300.0)]
        api.on("GET", f"{RELEASE_PATH}/measurements", Answer(body={"measurements": measured}))

    return play


def test_a_release_that_becomes_live_is_exit_code_0(greenroom: Command, ends: Play, package: Path) -> None:
    ends(LIVE)

    ended = greenroom("push", package)

    assert ended.code == 0 and "\x1b" not in ended.out
    assert "● LIVE  nsx-in version 6 at 512 MB" in ended.out
    assert "256 MB: 5 of 10" in ended.out and "256 MB: 200 ms trimmed mean, 88 MB used" in ended.out


def test_the_measurements_of_a_power_value_are_asked_for_once(
    api: StandInApi, greenroom: Command, ends: Play, package: Path
) -> None:
    ends(LIVE)

    greenroom("push", package)

    assert [seen.query for seen in api.to("GET", f"{RELEASE_PATH}/measurements")] == [{"memoryMb": "256"}]


def test_measurements_that_cannot_be_read_meanwhile_stop_nothing(
    api: StandInApi, greenroom: Command, ends: Play, package: Path
) -> None:
    ends(LIVE)
    api.on("GET", f"{RELEASE_PATH}/measurements", Answer(404, {}))

    assert greenroom("push", package).code == 0


@pytest.mark.parametrize("status", ["FAILED", "REJECTED", "SUPERSEDED", "RETIRED", "ROLLED_BACK"])
def test_a_release_that_ends_otherwise_is_exit_code_1(
    greenroom: Command, ends: Play, package: Path, status: str
) -> None:
    ends(FAILED | {"status": status})

    ended = greenroom("push", package)

    assert ended.code == 1 and "✗ Test case large gave another answer" in ended.out


@pytest.mark.parametrize(("document", "code"), [(LIVE, 0), (FAILED, 1)])
def test_json_is_alone_on_stdout_and_what_happens_on_stderr(
    greenroom: Command, ends: Play, package: Path, document: Any, code: int
) -> None:
    ends(document)

    ended = greenroom("push", package, "--json")

    assert ended.code == code and json.loads(ended.out)["status"] == document["status"]
    assert "TESTING" in ended.err


def test_without_waiting_only_the_upload_happens(
    api: StandInApi, greenroom: Command, ends: Play, package: Path
) -> None:
    ends(LIVE)

    ended = greenroom("push", package, "--no-wait", "--json")

    assert ended.code == 0 and json.loads(ended.out) == {"releaseId": RELEASE_ID}
    assert not api.to("GET", RELEASE_PATH)


def test_a_wait_that_runs_out_is_exit_code_3_and_says_how_to_look_again(
    api: StandInApi, greenroom: Command, ends: Play, package: Path
) -> None:
    ends(LIVE)
    api.on("GET", RELEASE_PATH, Answer(body=LIVE | {"status": "TESTING"}))

    ended = greenroom("push", package, "--timeout", 1)

    assert ended.code == 3 and f"greenroom show {RELEASE_ID}" in ended.err


def test_an_upload_that_s3_refuses_is_exit_code_1_in_its_words(
    api: StandInApi, greenroom: Command, ends: Play, package: Path
) -> None:
    ends(LIVE)
    api.on("POST", BUCKET_PATH, Answer(400, b"<Error><Code>EntityTooLarge</Code><Message>too large</Message></Error>"))

    ended = greenroom("push", package)

    assert ended.code == 1 and "EntityTooLarge: too large" in ended.err and str(package) in ended.err


def test_on_a_terminal_the_view_renews_itself_and_the_result_stays(api: StandInApi, ends: Play, package: Path) -> None:
    ends(LIVE)

    code, screen = on_a_terminal("push", package)

    assert code == 0
    assert "\x1b[?25l" in screen, "the cursor is hidden while the view renews itself"
    assert "5/10" in screen
    result = screen[screen.rindex("\x1b[2K") :]
    assert "Measured backstage" in result and "● LIVE" in result and RELEASE_ID in result


def test_ctrl_c_leaves_the_release_alone_and_says_how_to_look_again(api: StandInApi, ends: Play, package: Path) -> None:
    ends(LIVE)
    forever = Answer(body=LIVE | {"status": "TESTING", "progress": []})
    child: list[subprocess.Popen[bytes]] = []

    def interrupt(seen: object) -> Answer:
        if len(api.to("GET", RELEASE_PATH)) == 2:
            child[0].send_signal(signal.SIGINT)
        return forever

    api.on("GET", RELEASE_PATH, interrupt)

    code, screen = on_a_terminal("push", package, started=child)

    assert code == 130 and f"greenroom show {RELEASE_ID}" in screen and "Traceback" not in screen


def on_a_terminal(*arguments: object, started: list[subprocess.Popen[bytes]] | None = None) -> tuple[int, str]:
    """Runs the command with a terminal for its output; its exit code and all that it wrote."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "greenroom.cli.main", *(str(argument) for argument in arguments)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=os.environ | {"TERM": "xterm-256color", "COLUMNS": "100", "LINES": "60"},
    )
    if started is not None:
        started.append(process)
    os.close(theirs)
    screen = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # how Linux says that the other end is closed
            break
        if not piece:
            break
        screen += piece
    os.close(ours)
    return process.wait(), screen.decode()

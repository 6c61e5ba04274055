"""The commands that talk to a platform: what they ask, what they print, how they exit."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.running import Command
from tests.unit.cli.sample_releases import FAILED, LIVE, RELEASE_ID
from tests.unit.client.stand_in_api import BUCKET_PATH, TOKEN, Answer, StandInApi

READING: dict[str, tuple[list[str], str, dict[str, Any]]] = {
    "status": (["status"], "/status", {"algorithms": 1, "deadLetters": 0, "queues": [{"name": "q", "visible": 2}]}),
    "algorithms": (["algorithms"], "/algorithms", {"algorithms": [{"name": "nsx-in", "liveVersion": "7"}]}),
    "releases": (
        ["releases", "nsx-in"],
        "/algorithms/nsx-in/releases",
        {"releases": [{"releaseId": RELEASE_ID, "status": "LIVE"}]},
    ),
    "show": (["show", RELEASE_ID], f"/releases/{RELEASE_ID}", LIVE),
    "measurements": (
        ["show", RELEASE_ID, "--measurements"],
        f"/releases/{RELEASE_ID}/measurements",
        {"measurements": [{"memoryMb": 256, "case": "small", "durationMs": 12.5}]},
    ),
    "logs": (["logs", RELEASE_ID], f"/releases/{RELEASE_ID}/logs", {"events": [{"message": "START", "memoryMb": 256}]}),
}


@pytest.mark.parametrize("name", READING)
def test_json_of_a_reading_command_is_the_apis_own(api: StandInApi, greenroom: Command, name: str) -> None:
    arguments, path, answer = READING[name]
    unknown = {"newField": {"x": 1}} if name in ("status", "show") else {}
    api.on("GET", path, Answer(body=answer | unknown))

    ended = greenroom(*arguments, "--json")

    assert (ended.code, ended.err) == (0, "")
    assert json.loads(ended.out) == json.loads(json.dumps(answer | unknown))


@pytest.mark.parametrize("name", READING)
def test_a_reading_command_prints_no_control_code_into_a_pipe(api: StandInApi, greenroom: Command, name: str) -> None:
    arguments, path, answer = READING[name]
    api.on("GET", path, Answer(body=answer))

    ended = greenroom(*arguments)

    assert ended.code == 0 and ended.out.strip() and "\x1b" not in ended.out


@pytest.mark.parametrize("name", READING)
def test_a_reading_command_without_a_platform_says_how_to_get_one(
    greenroom: Command, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.delenv("GREENROOM_URL", raising=False)
    monkeypatch.delenv("GREENROOM_TOKEN", raising=False)

    ended = greenroom(*READING[name][0])

    assert ended.code == 2 and "GREENROOM_URL is not set" in ended.err and "greenroom env" in ended.err


def test_a_platform_that_is_away_is_exit_code_3(greenroom: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GREENROOM_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("GREENROOM_TOKEN", TOKEN)

    ended = greenroom("status")

    assert ended.code == 3 and "can't be reached" in ended.err and "Traceback" not in ended.err


@pytest.mark.parametrize(("status", "code"), [(401, 1), (404, 1), (400, 1), (409, 1), (500, 3), (200, 1)])
def test_a_refusal_is_reported_and_never_a_traceback(
    api: StandInApi, greenroom: Command, status: int, code: int
) -> None:
    api.on("POST", "/algorithms/nsx-in/rollback", Answer(status, [{"error": {"message": "so it is"}}]))

    ended = greenroom("rollback", "nsx-in", "--yes")

    assert ended.code == code and ended.err.startswith("✗ ") and "Traceback" not in ended.err


def test_an_algorithms_name_means_its_latest_release(api: StandInApi, greenroom: Command) -> None:
    api.on(
        "GET", "/algorithms/nsx-in/releases", Answer(body={"releases": [{"releaseId": RELEASE_ID, "status": "LIVE"}]})
    )
    api.on("GET", f"/releases/{RELEASE_ID}", Answer(body=FAILED))

    ended = greenroom("show", "nsx-in")

    assert ended.code == 0 and "✗ FAILED" in ended.out
    assert api.seen[0].query == {"limit": "1"}


def test_a_releases_id_may_be_written_small(api: StandInApi, greenroom: Command) -> None:
    api.on("GET", f"/releases/{RELEASE_ID}", Answer(body=LIVE))

    assert greenroom("show", RELEASE_ID.lower()).code == 0


def test_an_algorithm_without_a_release_is_reported(api: StandInApi, greenroom: Command) -> None:
    api.on("GET", "/algorithms/nsx-in/releases", Answer(body={"releases": []}))

    ended = greenroom("show", "nsx-in")

    assert ended.code == 1 and "nsx-in has no release yet" in ended.err


def test_rollback_asks_nobody_when_nobody_is_there(
    api: StandInApi, greenroom: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.on("GET", "/algorithms/nsx-in", Answer(body={"name": "nsx-in", "liveVersion": "7"}))
    monkeypatch.setattr("sys.stdin", io.StringIO(""))

    ended = greenroom("rollback", "nsx-in")

    assert ended.code == 2 and "--yes" in ended.err
    assert not api.to("POST", "/algorithms/nsx-in/rollback")


@pytest.mark.parametrize(("answer", "moves"), [("y", True), ("n", False), ("", False)])
def test_rollback_asks_a_person_and_does_nothing_without_a_yes(api: StandInApi, answer: str, moves: bool) -> None:
    api.on("GET", "/algorithms/nsx-in", Answer(body={"name": "nsx-in", "liveVersion": "7", "liveReleaseId": "B"}))
    rolled = {"releaseId": "A", "rolledBackReleaseId": "B", "version": "6"}
    api.on("POST", "/algorithms/nsx-in/rollback", Answer(body=rolled))
    person, terminal = pty.openpty()
    os.write(person, answer.encode() + b"\n")

    ended = subprocess.run(
        [sys.executable, "-m", "greenroom.cli.main", "rollback", "nsx-in"],
        stdin=terminal,
        capture_output=True,
        text=True,
        check=False,
    )
    os.close(person)
    os.close(terminal)

    assert "version 7 (release B) is live" in ended.stderr
    assert bool(api.to("POST", "/algorithms/nsx-in/rollback")) == moves
    assert (ended.returncode == 0) == moves


@pytest.fixture
def message(api: StandInApi) -> dict[str, Any]:
    """The platform takes a message to nsx-in and has its two results."""
    sent = {"messageId": "M1", "results": [{"algorithm": "asa"}, {"algorithm": "aws-sg"}]}
    upload = {"url": api.origin + BUCKET_PATH, "fields": {"key": "inbox/M1"}}
    api.on("POST", "/algorithms/nsx-in/messages", Answer(201, {"messageId": "M1", "upload": upload}))
    api.on("POST", BUCKET_PATH, Answer(204, b""))
    api.on("POST", "/algorithms/nsx-in/messages/M1/submit", Answer(202, sent))
    results = [
        {"algorithm": "asa", "status": "done", "contentType": "text/plain", "url": f"{api.origin}/r/asa"},
        {"algorithm": "aws-sg", "status": "done", "contentType": "application/json", "url": f"{api.origin}/r/sg"},
    ]
    api.on("GET", "/r/asa", Answer(body=b"access-list \x1b[31m\n"))
    api.on("GET", "/r/sg", Answer(body=b'{"rules": []}'))
    done = {"messageId": "M1", "status": "done", "results": results}
    api.on("GET", "/algorithms/nsx-in/messages/M1", Answer(body=done))
    return done


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "export.json"
    path.write_text('{"services": []}')
    return path


def test_send_does_not_wait_unless_asked(
    api: StandInApi, greenroom: Command, message: dict[str, Any], document: Path
) -> None:
    ended = greenroom("send", "nsx-in", document)

    assert ended.code == 0 and "results are expected from: asa, aws-sg" in ended.out
    assert not api.to("GET", "/algorithms/nsx-in/messages/M1")


def test_results_go_byte_for_byte_into_a_pipe_and_words_to_stderr(
    api: StandInApi, message: dict[str, Any], document: Path
) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "greenroom.cli.main", "send", "nsx-in", document, "--wait"],
        capture_output=True,
        check=False,
    )

    assert ended.returncode == 0
    assert ended.stdout == b'access-list \x1b[31m\n{"rules": []}'
    assert b"aws-sg" in ended.stderr


@pytest.mark.parametrize("options", [["--wait"], ["-o", "results"]])
def test_the_warnings_that_answers_carry_are_shown_wherever_the_answers_go(
    api: StandInApi, greenroom: Command, message: dict[str, Any], document: Path, options: list[str]
) -> None:
    api.on("GET", "/r/asa", Answer(body=b"access-list greenroom remark WARNING rule 4: \x1b[31mleft out\n"))
    api.on("GET", "/r/sg", Answer(body=b'{"Metadata": {"Warnings": [{"message": "no source ports"}]}}'))
    ended = greenroom(
        "send", "nsx-in", document, *(document.parent / each if each == "results" else each for each in options)
    )

    assert ended.code == 0
    assert "asa: 1 warning in the answer" in ended.err and "left out" in ended.err and "\x1b[31m" not in ended.err
    assert "aws-sg: 1 warning in the answer\n  no source ports" in ended.err


def test_several_results_go_into_a_folder(
    greenroom: Command, message: dict[str, Any], document: Path, tmp_path: Path
) -> None:
    ended = greenroom("send", "nsx-in", document, "-o", tmp_path / "results")

    assert ended.code == 0
    assert (tmp_path / "results" / "asa.txt").read_bytes() == b"access-list \x1b[31m\n"
    assert (tmp_path / "results" / "aws-sg.json").read_bytes() == b'{"rules": []}'


def test_one_result_goes_into_a_file_and_the_route_is_asked_for(
    api: StandInApi, greenroom: Command, message: dict[str, Any], document: Path, tmp_path: Path
) -> None:
    one = message | {"results": message["results"][:1]}
    api.on(
        "POST",
        "/algorithms/nsx-in/messages/M1/submit",
        Answer(202, {"messageId": "M1", "results": [{"algorithm": "asa"}]}),
    )
    api.on("GET", "/algorithms/nsx-in/messages/M1", Answer(body=one))

    ended = greenroom("send", "nsx-in", document, "--to", "asa", "-o", tmp_path / "asa.cfg")

    assert ended.code == 0 and (tmp_path / "asa.cfg").read_bytes() == b"access-list \x1b[31m\n"
    assert api.to("POST", "/algorithms/nsx-in/messages")[0].json["to"] == ["asa"]
    assert api.to("GET", "/algorithms/nsx-in/messages/M1")[0].query == {"to": "asa"}


def test_a_results_name_cannot_lead_out_of_the_folder(
    api: StandInApi, greenroom: Command, message: dict[str, Any], document: Path, tmp_path: Path
) -> None:
    message["results"][0]["algorithm"] = "../../escaped"
    api.on("GET", "/algorithms/nsx-in/messages/M1", Answer(body=message))

    greenroom("send", "nsx-in", document, "-o", tmp_path / "deep" / "er")

    assert sorted(path.name for path in (tmp_path / "deep" / "er").iterdir()) == ["aws-sg.json", "escaped.txt"]
    assert not list(tmp_path.glob("escaped*"))


def test_a_result_that_failed_is_exit_code_1_and_its_reason_is_shown(
    api: StandInApi, greenroom: Command, message: dict[str, Any], document: Path
) -> None:
    message["results"][1] |= {"status": "failed", "reason": "KeyError: 'rules'", "url": None}
    api.on("GET", "/algorithms/nsx-in/messages/M1", Answer(body=message | {"status": "failed"}))

    ended = greenroom("send", "nsx-in", document, "--wait")

    assert ended.code == 1 and "KeyError: 'rules'" in ended.err and "access-list" in ended.out


@pytest.mark.parametrize("content", ["{", "", "[" * 100_000])
def test_a_file_that_is_not_the_json_it_says_is_refused_with_the_place(
    api: StandInApi, greenroom: Command, tmp_path: Path, content: Any
) -> None:
    path = tmp_path / "export.json"
    path.write_text(content)

    ended = greenroom("send", "nsx-in", path)

    assert ended.code == 2 and "not JSON" in ended.err and not api.seen


def test_help_and_completion_import_nothing_heavy() -> None:
    heavy = "{'httpx', 'pydantic', 'boto3', 'ministack', 'greenroom.client'}"
    code = (
        "import sys; sys.argv = ['greenroom', '--help']\n"
        "from greenroom.cli.main import main\n"
        "try: main()\n"
        f"except SystemExit: pass\nprint('HEAVY', {heavy} & set(sys.modules))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "Exit codes" in ended.stdout and ended.stdout.endswith("HEAVY set()\n")


def test_algorithm_names_are_completed(api: StandInApi, monkeypatch: pytest.MonkeyPatch) -> None:
    api.on("GET", "/algorithms", Answer(body={"algorithms": [{"name": "nsx-in"}, {"name": "asa"}]}))

    ended = subprocess.run(
        [sys.executable, "-c", "from greenroom.cli.main import app; app(prog_name='greenroom')"],
        env=os.environ
        | {"_GREENROOM_COMPLETE": "complete_bash", "COMP_WORDS": "greenroom releases n", "COMP_CWORD": "2"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.stdout.split() == ["nsx-in"]


def test_completion_is_silent_when_the_platform_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    from greenroom.cli.common import complete_algorithm

    monkeypatch.setenv("GREENROOM_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("GREENROOM_TOKEN", TOKEN)

    assert complete_algorithm("n") == []


FAILURES = {
    "failures": [{"failureId": "5f0c", "reason": "KeyError: 'things'\nmore", "sizeBytes": 2048, "since": None}],
    "total": 3,
}


def test_dead_letters_are_listed_with_their_reason(api: StandInApi, greenroom: Command) -> None:
    api.on("GET", "/algorithms/nsx-in/failures", Answer(body=FAILURES))

    ended = greenroom("failures", "nsx-in")

    assert ended.code == 0 and "5f0c" in ended.out and "KeyError: 'things'" in ended.out and "2.0 KB" in ended.out
    assert "more" not in ended.out.splitlines()[1] and "and 2 more" in ended.out
    assert json.loads(greenroom("failures", "nsx-in", "--json").out) == FAILURES


def test_a_long_dead_letter_queue_is_redriven_call_by_call(api: StandInApi, greenroom: Command) -> None:
    answers = iter([{"redriven": 200, "left": 50}, {"redriven": 50, "left": 0}])
    api.on("POST", "/algorithms/nsx-in/failures/redrive", lambda _: Answer(body=next(answers)))

    ended = greenroom("redrive", "nsx-in", "--json")

    assert ended.code == 0 and json.loads(ended.out) == {"redriven": 250, "left": 0}


@pytest.mark.parametrize(("redriven", "code"), [(2, 0), (1, 1)])
def test_messages_that_are_named_have_to_be_found(
    api: StandInApi, greenroom: Command, redriven: int, code: int
) -> None:
    api.on("POST", "/algorithms/nsx-in/failures/redrive", Answer(body={"redriven": redriven, "left": 7}))

    ended = greenroom("redrive", "nsx-in", "--id", "a", "--id", "b")

    assert ended.code == code and f"{redriven} redriven, 7 left in the dead-letter queue" in ended.out
    (seen,) = api.to("POST", "/algorithms/nsx-in/failures/redrive")
    assert seen.json == {"failureIds": ["a", "b"]}


def test_failed_uploads_are_listed_and_registered_again(api: StandInApi, greenroom: Command) -> None:
    api.on("GET", "/uploads/failures", Answer(body=FAILURES))
    api.on("POST", "/uploads/failures/redrive", Answer(body={"redriven": 1, "left": 2}))

    assert "KeyError" in greenroom("failures", "--uploads").out
    ended = greenroom("redrive", "--uploads", "--id", "5f0c")
    assert ended.code == 0 and "1 redriven, 2 left in the dead-letter queue" in ended.out


@pytest.mark.parametrize("command", ["failures", "redrive"])
@pytest.mark.parametrize("arguments", [[], ["nsx-in", "--uploads"]])
def test_it_is_one_algorithm_or_the_uploads(
    api: StandInApi, greenroom: Command, command: str, arguments: list[str]
) -> None:
    ended = greenroom(command, *arguments)

    assert ended.code == 2 and "--uploads" in ended.err


def test_who_acts_is_named_as_the_environment_says(
    api: StandInApi, greenroom: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GREENROOM_AUTHOR", "王 José")
    api.on("GET", "/algorithms", Answer(body={"algorithms": []}))

    assert greenroom("algorithms").code == 0
    assert api.seen[0].headers["x-greenroom-author"] == "%E7%8E%8B%20Jos%C3%A9"

"""The commands for this machine, as far as they need no platform: the run file, env, down, doctor."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from greenroom.cli import checks, local, run_file
from greenroom.cli.errors import UsageProblem
from tests.unit.cli.running import Command
from tests.unit.client.stand_in_api import Answer, StandInApi

REPOSITORY = Path(__file__).parents[3]

RUN = run_file.Run(
    pid=1,
    port=4566,
    endpointUrl="http://127.0.0.1:4566",
    accessKeyId="AKIAROOT",
    secretAccessKey="root's",
    readingKeyId="AKIA",
    readingSecretKey='a\'b\\c$HOME "d" `e`',
    region="eu-west-1",
    url="http://127.0.0.1:4566/_aws/execute-api/abc/$default",
    token="tok$en",
)

# What `greenroom up` does with its folder, without a platform.
HOLDER = """
import os, sys
from dataclasses import replace
from pathlib import Path
from greenroom.cli import local, run_file
from tests.unit.cli.test_local import RUN
data = Path(sys.argv[1])
with run_file.held(data):
    run_file.write(data, replace(RUN, pid=os.getpid()))
    print("ready", flush=True)
    local.wait_for_a_signal(lambda: True)
    run_file.remove(data)
"""


Holder = Callable[[Path], "subprocess.Popen[str]"]
"""Has a process of its own hold a data folder."""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[Holder]:
    """Starts a process that holds a data folder as `greenroom up` does."""
    started: list[subprocess.Popen[str]] = []

    def hold(data: Path) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(data)], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        assert process.stdout and process.stdout.readline() == "ready\n"
        return process

    yield hold
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout
        process.stdout.close()


def test_the_run_file_is_for_its_owner_only(tmp_path: Path) -> None:
    run_file.write(tmp_path, RUN)

    assert (tmp_path / "run.json").stat().st_mode & 0o777 == 0o600
    assert json.loads((tmp_path / "run.json").read_text())["token"] == "tok$en"


def test_a_platform_is_found_while_its_process_holds_the_folder_and_not_after_a_kill(
    tmp_path: Path, holder: Holder
) -> None:
    process = holder(tmp_path)
    found = run_file.read(tmp_path)
    assert found and found.pid == process.pid

    process.send_signal(signal.SIGKILL)
    process.wait()

    assert (tmp_path / "run.json").exists()
    assert run_file.read(tmp_path) is None


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"pid": 1}', "\0" * 100_000])
def test_a_platform_that_is_still_starting_is_not_yet_found(tmp_path: Path, content: str | None) -> None:
    with run_file.held(tmp_path):
        if content is not None:
            (tmp_path / "run.json").write_text(content)

        assert run_file.is_running(tmp_path) and run_file.read(tmp_path) is None


def test_a_folder_is_held_by_one_process_only(tmp_path: Path, holder: Holder) -> None:
    holder(tmp_path)

    with pytest.raises(UsageProblem, match="already runs on this data folder"), run_file.held(tmp_path):
        pass


@pytest.mark.parametrize("arguments", [["down"], ["env"]])
def test_without_a_platform_env_and_down_say_how_to_start_one(
    greenroom: Command, tmp_path: Path, arguments: list[str]
) -> None:
    ended = greenroom(*arguments, "--data", tmp_path)

    assert ended.code == 2 and "greenroom up" in ended.err and str(tmp_path) in ended.err


def test_down_stops_the_process_and_waits_for_its_end(greenroom: Command, tmp_path: Path, holder: Holder) -> None:
    process = holder(tmp_path)

    ended = greenroom("down", "--data", tmp_path)

    assert ended.code == 0 and process.wait(timeout=20) == 0
    assert not (tmp_path / "run.json").exists()


def test_a_shell_gets_every_value_unchanged(greenroom: Command, tmp_path: Path, holder: Holder) -> None:
    process = holder(tmp_path)
    exports = greenroom("env", "--data", tmp_path).out

    script = f"{exports}\nexec {sys.executable} -c 'import json, os; print(json.dumps(dict(os.environ)))'"
    shell = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)

    expected = run_file.Run(**{**vars(RUN), "pid": process.pid}).environment()
    assert json.loads(shell.stdout).items() >= expected.items()
    assert json.loads(greenroom("env", "--data", tmp_path, "--json").out) == expected


def test_the_roots_key_is_given_only_where_it_is_asked_for(greenroom: Command, tmp_path: Path, holder: Holder) -> None:
    holder(tmp_path)
    assert "root's" not in greenroom("env", "--data", tmp_path, "--json").out
    given = json.loads(greenroom("env", "--data", tmp_path, "--root", "--json").out)
    assert (given["AWS_ACCESS_KEY_ID"], given["AWS_SECRET_ACCESS_KEY"]) == ("AKIAROOT", "root's")


def test_a_folder_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir(mode=0o755)
    (folder / "up.log").write_text("a line")
    (folder / "up.log").chmod(0o644)
    (folder / "s3").mkdir(mode=0o755)
    with run_file.held(folder):
        modes = {each.name: each.stat().st_mode & 0o777 for each in (folder, *folder.iterdir())}
    assert modes == {"open": 0o700, "up.log": 0o600, "s3": 0o700, "up.lock": modes["up.lock"]}


def test_fish_gets_every_value_unchanged(greenroom: Command, tmp_path: Path, holder: Holder) -> None:
    holder(tmp_path)
    exports = greenroom("env", "--data", tmp_path, "--shell", "fish").out

    assert "set -gx GREENROOM_URL 'http://127.0.0.1:4566/_aws/execute-api/abc/$default'" in exports
    assert r"set -gx AWS_SECRET_ACCESS_KEY 'a\'b\\c$HOME" in exports
    if fish := shutil.which("fish"):
        shell = subprocess.run(
            [fish, "-c", f"{exports}\nprintenv AWS_SECRET_ACCESS_KEY"], capture_output=True, text=True, check=True
        )
        assert shell.stdout == RUN.secretAccessKey + "\n"


def test_doctor_is_content_with_a_platform_that_answers(api: StandInApi, greenroom: Command, tmp_path: Path) -> None:
    api.on("GET", "/status", Answer(body={"platform": {"version": "0.1.0"}}))

    ended = greenroom("doctor", "--data", tmp_path, "--json")

    found = {check["name"]: check for check in json.loads(ended.out)["checks"]}
    assert ended.code == 0 and found["platform"]["status"] == "ok" and "0.1.0" in found["platform"]["detail"]
    assert found["python"]["status"] == "ok" and found["embedded AWS"]["status"] == "ok"


def test_doctor_fails_when_the_platform_refuses_the_token(api: StandInApi, greenroom: Command, tmp_path: Path) -> None:
    api.on("GET", "/status", Answer(401, {}))

    ended = greenroom("doctor", "--data", tmp_path)

    assert ended.code == 1 and "token was refused" in ended.out


def test_doctor_tells_an_ordinary_user_how_to_have_control_groups() -> None:
    own = "/run/user/1000"
    command = "systemd-run --user --scope -p Delegate=yes greenroom up"

    assert checks.control_groups_hint(1000, "cpu memory pids", own).endswith(f": {command}")
    assert checks.control_groups_hint(1000, "cpu memory pids", None).endswith(f": XDG_RUNTIME_DIR={own} {command}")
    assert checks.control_groups_hint(1000, "cpu memory pids", "/run/user/0").endswith(
        f": XDG_RUNTIME_DIR={own} {command}"
    )
    kept = checks.control_groups_hint(1000, "memory pids", own)
    assert "does not delegate the controller cpu to users" in kept and "Delegate=cpu memory pids" in kept
    assert kept.endswith(command)
    assert "systemd-run" not in checks.control_groups_hint(1000, None, own)


def test_doctor_sees_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert not checks.port_is_free(server.getsockname()[1])


def test_doctor_sees_a_data_folder_that_cannot_be_one(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    found = list(checks.data_folder(tmp_path / "file" / "data"))

    assert found[-1].status == checks.FAILED and str(tmp_path / "file") in found[-1].detail


def test_doctor_sees_the_platform_that_runs_here(tmp_path: Path, holder: Holder) -> None:
    process = holder(tmp_path)

    assert f"process {process.pid}" in next(checks.data_folder(tmp_path)).detail


def test_waiting_ends_when_the_embedded_aws_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("signal.signal", lambda *_: None)

    assert local.wait_for_a_signal(lambda: False) is False

"""A developer's day on the command line: every command as a process of its own, on a platform that `up` started.

The tests of this file are one story and run in their order, on one platform.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.exceptions import ClientError

from greenroom.client import GreenroomClient
from tests.e2e.stage import eventually

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

GREENROOM = [sys.executable, "-m", "greenroom.cli.main"]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


def bare_environment() -> dict[str, str]:
    """This process's environment without anything that names a platform."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "GREENROOM_"))}


def call(*arguments: object, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [*GREENROOM, *(str(argument) for argument in arguments)]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=240)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data folder with a platform on it."""
    folder = tmp_path_factory.mktemp("up") / "data"
    started = call("up", "--data", folder, "--port", 0, "--detach", env=bare_environment())
    assert started.returncode == 0, started.stdout + started.stderr
    yield folder
    call("down", "--data", folder, env=bare_environment())


@pytest.fixture
def environment(data: Path) -> dict[str, str]:
    """What `greenroom env` prints, as a program takes it over."""
    printed = call("env", "--data", data, "--json", env=bare_environment())
    variables: dict[str, str] = json.loads(printed.stdout)
    return variables


@pytest.fixture
def root(data: Path) -> dict[str, str]:
    """What `greenroom env --root` prints."""
    variables: dict[str, str] = json.loads(
        call("env", "--data", data, "--root", "--json", env=bare_environment()).stdout
    )
    return variables


@pytest.fixture
def greenroom(environment: dict[str, str]) -> Run:
    """The command line of a developer: an address and a token, no credential of AWS."""
    env = bare_environment() | {name: value for name, value in environment.items() if name.startswith("GREENROOM_")}
    return lambda *arguments: call(*arguments, env=env)


def test_the_key_that_env_prints_reads_and_changes_nothing(environment: dict[str, str]) -> None:
    lambda_ = client(environment)
    assert "greenroom-api" in {each["FunctionName"] for each in lambda_.list_functions()["Functions"]}
    for call_it in (
        lambda: lambda_.update_function_configuration(FunctionName="greenroom-api", Timeout=1),
        lambda: lambda_.delete_function(FunctionName="greenroom-api"),
        lambda: lambda_.invoke(FunctionName="greenroom-sweep", Payload=b"{}"),
    ):
        with pytest.raises(ClientError, match="not authorized to perform: lambda:"):
            call_it()


@pytest.fixture(scope="module")
def algorithm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("algorithms") / "hosts-in"
    assert call("init", folder, env=bare_environment()).returncode == 0
    return folder


def live_version(environment: dict[str, str]) -> str:
    """Where the alias prod points, as boto3 sees it with what `greenroom env` prints."""
    version: str = client(environment).get_alias(FunctionName="greenroom-alg-hosts-in", Name="prod")["FunctionVersion"]
    return version


def client(environment: dict[str, str]) -> LambdaClient:
    """Return a client of Lambda with the variables that `greenroom env` prints."""
    return boto3.client(
        "lambda",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        region_name=environment["AWS_REGION"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
    )


def test_a_second_up_on_the_same_folder_is_refused(data: Path) -> None:
    again = call("up", "--data", data, "--port", 0, "--detach", env=bare_environment())

    assert again.returncode == 2 and "already runs on this data folder" in again.stderr


def test_what_init_wrote_goes_live(greenroom: Run, algorithm: Path, environment: dict[str, str]) -> None:
    pushed = greenroom("push", algorithm, "--json")

    assert pushed.returncode == 0, pushed.stderr
    release = json.loads(pushed.stdout)
    assert release["status"] == "LIVE" and release["memoryMb"] in (128, 256, 512)
    assert {value["memoryMb"] for value in release["summary"]["powerValues"]} == {128, 256, 512}
    assert live_version(environment) == release["version"]
    assert "TESTING" in pushed.stderr and "chosen for cost" in pushed.stderr


def test_a_release_with_a_wrong_answer_fails_and_prod_does_not_move(
    greenroom: Run, algorithm: Path, environment: dict[str, str]
) -> None:
    before = live_version(environment)
    code = algorithm / "hosts_in" / "translator.py"
    right = code.read_text()
    code.write_text(right.replace('"version": 1', '"version": 2'))

    pushed = greenroom("push", algorithm)
    code.write_text(right)

    assert pushed.returncode == 1
    assert '+  "version": 2' in pushed.stdout and "✗ FAILED" in pushed.stdout
    assert live_version(environment) == before


def test_a_broken_package_is_rejected_with_its_reason(greenroom: Run, tmp_path: Path) -> None:
    (tmp_path / "broken.zip").write_bytes(b"this is no ZIP")

    pushed = greenroom("push", tmp_path / "broken.zip")

    assert pushed.returncode == 1 and "✗ REJECTED" in pushed.stdout and "ZIP" in pushed.stdout


def test_the_platform_can_be_looked_at(greenroom: Run) -> None:
    algorithms = json.loads(greenroom("algorithms", "--json").stdout)["algorithms"]
    releases = json.loads(greenroom("releases", "hosts-in", "--json").stdout)["releases"]
    shown = greenroom("show", "hosts-in")
    measurements = json.loads(greenroom("show", releases[-1]["releaseId"], "--measurements", "--json").stdout)
    logs = greenroom("logs", releases[-1]["releaseId"])

    assert [algorithm["name"] for algorithm in algorithms] == ["hosts-in"]
    assert [release["status"] for release in releases] == ["FAILED", "LIVE"]
    assert "✗ FAILED" in shown.stdout
    assert len(measurements["measurements"]) >= 30
    assert logs.returncode == 0, logs.stderr
    assert "REPORT RequestId" in logs.stdout


def test_the_measurements_are_drawn_and_listed_in_full(greenroom: Run, tmp_path: Path) -> None:
    live = json.loads(greenroom("releases", "hosts-in", "--json").stdout)["releases"][-1]["releaseId"]
    shown = greenroom("show", live, "--plot", tmp_path / "hosts.svg")
    refused = greenroom("show", live, "--plot", tmp_path / "no-such-folder" / "hosts.svg")

    assert (tmp_path / "hosts.svg").read_text().startswith("<svg")
    assert "◆ chosen" in shown.stdout and "order statistics" in shown.stdout and "for Lambda" in shown.stdout
    assert refused.returncode == 2 and "No such file" in refused.stderr


def test_a_document_goes_through_production(greenroom: Run, tmp_path: Path) -> None:
    (tmp_path / "hosts.json").write_text('{"hosts": [{"name": "b"}, {"name": "a"}]}')

    sent = greenroom("send", "hosts-in", tmp_path / "hosts.json", "--wait")

    assert sent.returncode == 0, sent.stderr
    assert json.loads(sent.stdout) == {"version": 1, "hosts": ["a", "b"]}


def test_rollback_makes_the_release_before_live_again(
    greenroom: Run, algorithm: Path, environment: dict[str, str]
) -> None:
    first = live_version(environment)
    (algorithm / "note.py").write_text("# another package\n")
    assert greenroom("push", algorithm).returncode == 0
    second = live_version(environment)

    rolled = json.loads(greenroom("rollback", "hosts-in", "--yes", "--json").stdout)

    assert first != second and live_version(environment) == first == rolled["version"]
    assert json.loads(greenroom("show", "hosts-in", "--json").stdout)["status"] == "ROLLED_BACK"


def test_no_dead_letter_is_left(greenroom: Run) -> None:
    status = json.loads(greenroom("status", "--json").stdout)

    assert status["deadLetters"] == 0 and status["releasesInFlight"] == []


def test_after_down_and_up_everything_is_still_there(data: Path, greenroom: Run, environment: dict[str, str]) -> None:
    version = live_version(environment)
    assert call("down", "--data", data, env=bare_environment()).returncode == 0
    assert greenroom("status").returncode == 3
    port = environment["AWS_ENDPOINT_URL"].rpartition(":")[2]

    assert call("up", "--data", data, "--port", port, "--detach", env=bare_environment()).returncode == 0

    assert greenroom("status").returncode == 0, "the address and the token are still the same"
    assert live_version(environment) == version


def test_after_down_and_up_releases_go_live_as_before(
    greenroom: Run, algorithm: Path, environment: dict[str, str]
) -> None:
    pushed = greenroom("push", algorithm, "--json", "--timeout", "100")

    # The sweeper would find out only after two minutes that no change of a status is delivered any more.
    assert pushed.returncode == 0, pushed.stderr
    assert json.loads(pushed.stdout)["status"] == "LIVE"


def test_a_test_that_down_interrupts_goes_on_after_up(
    data: Path, greenroom: Run, algorithm: Path, environment: dict[str, str], root: dict[str, str]
) -> None:
    metadata = algorithm / "metadata.json"
    metadata.write_text(json.dumps({**json.loads(metadata.read_text()), "num": 300}))
    pushed = greenroom("push", algorithm, "--no-wait", "--json")
    release_id = json.loads(pushed.stdout)["releaseId"]
    with GreenroomClient(environment["GREENROOM_URL"], environment["GREENROOM_TOKEN"]) as platform:
        eventually(lambda: platform.release(release_id).progress)
        assert platform.release(release_id).status == "TESTING"
    assert call("down", "--data", data, env=bare_environment()).returncode == 0
    port = environment["AWS_ENDPOINT_URL"].rpartition(":")[2]
    assert call("up", "--data", data, "--port", port, "--detach", env=bare_environment()).returncode == 0
    assert json.loads(greenroom("show", release_id, "--json").stdout)["status"] == "TESTING"

    # The sweeper looks every minute; here it is asked to look now.
    client(root).invoke(FunctionName="greenroom-sweep", Payload=b"{}")

    with GreenroomClient(environment["GREENROOM_URL"], environment["GREENROOM_TOKEN"]) as platform:
        release = platform.wait_for_release(release_id, timeout_s=240)
    assert release.status == "LIVE", release.reason

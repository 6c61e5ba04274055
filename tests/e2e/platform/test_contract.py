"""The API does what its own description says: Schemathesis reads `GET /openapi.json` and calls every route.

It generates right and wrong values, and calls with the token, without it and with a wrong one. Every answer must have a
status, a content type and a body that the description names, wrong values must be refused, and nothing may fail inside.
A value that can name something often names what was prepared, so that every route succeeds as well.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis

from tests.e2e.packages import package
from tests.e2e.stage import Platform, request

NAME = "contract"
SCHEMATHESIS = Path(sys.executable).parent / "schemathesis"
MAX_EXAMPLES = 8


@pytest.fixture(scope="module")
def prepared(platform: Platform) -> dict[str, list[str]]:
    """What the routes can find: two releases of an algorithm, a message with its answer, failures and a tuning."""
    releases = [platform.push_and_wait(package(NAME, num=1)).release_id for _ in range(2)]
    message = platform.send(NAME, {"name": "Ada"})
    for queue in (f"{platform.function(NAME)}-dlq", f"{platform.deployment.prefix}-ingest-dlq"):
        sqs = platform.service("sqs")
        sqs.send_message(QueueUrl=sqs.get_queue_url(QueueName=queue)["QueueUrl"], MessageBody="no document")
    failures = [failure.failure_id for name in (NAME, None) for failure in platform.client.failures(name).failures]
    tuning = platform.client.tune({"lambdaARN": "nobody", "powerValues": [128]})
    return {
        "names": [NAME],
        "releases": releases,
        "messages": [message.message_id],
        "failures": failures,
        "tunings": [tuning],
        "functions": ["nobody"],
    }


PARAMETERS = {
    "path.name": "names",
    "path.release_id": "releases",
    "path.message_id": "messages",
    "path.failure_id": "failures",
    "path.tuning_id": "tunings",
    "query.with": "releases",
    "query.cursor": "releases",
    "body.lambdaARN": "functions",
}
"""The parameters that name something, with the kind of thing that they name."""

OPERATIONS = """
[phases.coverage]
unexpected-methods = ["PUT"]

# What the fields of a tuning may be together, a JSON Schema can't say.
[[operations]]
include-operation-id = "create_tuning"
checks.positive_data_acceptance.enabled = false
"""


def configuration(token: str, prepared: dict[str, list[str]]) -> str:
    """Return Schemathesis's configuration."""
    lines = [f"[dictionaries.{name}]\nvalues = {json.dumps(values)}" for name, values in prepared.items()]
    lines.append("[parameters]")
    lines += [f'"{key}" = {{ dictionary = "{name}", probability = 0.8 }}' for key, name in PARAMETERS.items()]
    lines.append(f'[auth.openapi.token]\nbearer = "{token}"')
    return "\n".join([*lines, OPERATIONS])


def test_the_description_is_valid(platform: Platform) -> None:
    document = request("GET", f"{platform.deployment.url}/openapi.json").json()
    schemathesis.openapi.from_dict(document).validate()


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_every_answer_is_as_described(
    platform: Platform, prepared: dict[str, list[str]], tmp_path: Path, method: str
) -> None:
    settings, calls = tmp_path / "schemathesis.toml", tmp_path / "calls.har"
    settings.write_text(configuration(platform.deployment.token, prepared))
    url = platform.deployment.url
    command: list[str | Path] = [SCHEMATHESIS, "--config-file", settings, "run", "--url", url, f"{url}/openapi.json"]
    command += ["--include-method", method, "--phases", "coverage,fuzzing", "--max-examples", str(MAX_EXAMPLES)]
    command += ["--generation-deterministic", "--continue-on-failure", "--no-color"]
    command += ["--report", "har", "--report-har-path", calls]
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    routes = [each for each in operations(request("GET", f"{url}/openapi.json").json()) if each[0] == method]
    assert succeeded(calls, url, routes) == {name for _, _, name in routes}


def operations(document: Any) -> Iterator[tuple[str, str, str]]:
    """Yield method, path and name of the operations that a description has."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation["operationId"]


def succeeded(calls: Path, url: str, routes: list[tuple[str, str, str]]) -> set[str]:
    """Return the operations that have succeeded at least once."""
    patterns = [
        (method, re.compile(re.escape(url) + re.sub(r"{\w+}", "[^/]+", path)), name) for method, path, name in routes
    ]
    found = set()
    for entry in json.loads(calls.read_text())["log"]["entries"]:
        request, is_success = entry["request"], entry["response"]["status"] < 300
        address = request["url"].partition("?")[0]
        found |= {
            name
            for method, path, name in patterns
            if is_success and method == request["method"] and path.fullmatch(address)
        }
    return found

"""A real S3 and SQS for the equipment: ministack in a process of its own, on loopback."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import boto3
import pytest

START_TIMEOUT_S, STOP_TIMEOUT_S = 60, 10
REGION: Literal["eu-central-1"] = "eu-central-1"


@pytest.fixture(scope="session")
def endpoint_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where S3 and SQS answer."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    folder = tmp_path_factory.mktemp("ministack")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment |= {"GATEWAY_PORT": str(port), "SERVICES": "s3,sqs", "LOG_LEVEL": "WARNING"}
    command = [sys.executable, "-m", "hypercorn", "ministack.app:app", "--bind", f"127.0.0.1:{port}"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        _await(url, process, folder / "log")
        yield url
    finally:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.05)
        else:
            return
    pytest.fail(f"ministack did not start:\n{log.read_text(errors='replace')[-2000:]}")


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets the variables of an algorithm's function; clients are made again."""

    def become(**variables: str) -> None:
        from aws_equipment import production

        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        production._client.cache_clear()

    return become


@dataclass(frozen=True)
class Delivery:
    """How Lambda delivers messages: for which time, and how much of the function's time is left whenever it asks."""

    attempt: int = 1
    remaining_ms: Callable[[], int] = lambda: 60_000


FIRST = Delivery()


class Stage:
    """Buckets and queues of this test's algorithms, and the calls that Lambda would make for them."""

    def __init__(self, endpoint_url: str, become: Callable[..., None]) -> None:
        self._become = become
        self._suffix = secrets.token_hex(4)
        become(
            AWS_ENDPOINT_URL=endpoint_url,
            AWS_ACCESS_KEY_ID="test",
            AWS_SECRET_ACCESS_KEY="test",
            AWS_DEFAULT_REGION=REGION,
            AWS_EC2_METADATA_DISABLED="true",
        )
        session = boto3.Session("test", "test", region_name=REGION)
        self.s3 = session.client("s3", endpoint_url=endpoint_url)
        self.sqs = session.client("sqs", endpoint_url=endpoint_url)
        self._queues: dict[str, str] = {}

    def bucket(self, name: str) -> str:
        """The bucket of an algorithm."""
        return f"greenroom-{name}-{self._suffix}"

    def add(self, *names: str) -> None:
        """Make bucket, input queue and dead-letter queue of algorithms."""
        for name in names:
            self.s3.create_bucket(Bucket=self.bucket(name), CreateBucketConfiguration={"LocationConstraint": REGION})
            for kind in ("input", "dlq"):
                queue = f"greenroom-alg-{name}-{self._suffix}-{kind}"
                self._queues[f"{name}-{kind}"] = self.sqs.create_queue(QueueName=queue)["QueueUrl"]

    def invoke(
        self,
        name: str,
        algorithm: type[Any],
        *bodies: str,
        next_: tuple[str, ...] | None = None,
        version: str = "1",
        delivery: Delivery = FIRST,
    ) -> list[str]:
        """Deliver messages to an algorithm; return the ids of those to be delivered again (`id-<number>`).

        An algorithm with a tuple of next algorithms, empty or not, is of type `in`; one without is of type `out`.
        """
        from aws_equipment import AlgorithmWorker

        self._become(
            GREENROOM_ALGORITHM=name,
            GREENROOM_TYPE="out" if next_ is None else "in",
            GREENROOM_RELEASE=f"01JRELEASE{version}",
            GREENROOM_BUCKET=self.bucket(name),
            GREENROOM_NEXT=json.dumps({each: self.target(each) for each in next_ or ()}),
            GREENROOM_DEAD_LETTER_QUEUE_URL=self._queues[f"{name}-dlq"],
            AWS_LAMBDA_FUNCTION_VERSION=version,
        )
        records = [
            {
                "messageId": f"id-{number}",
                "body": body,
                "attributes": {"ApproximateReceiveCount": str(delivery.attempt)},
            }
            for number, body in enumerate(bodies)
        ]
        context = SimpleNamespace(
            invoked_function_arn=f"arn:aws:lambda:{REGION}:000000000000:function:greenroom-alg-{name}:prod",
            get_remaining_time_in_millis=delivery.remaining_ms,
        )
        worker = AlgorithmWorker(algorithm, {"Records": records}, context)
        answer = worker.runOut() if next_ is None else worker.runIn()
        return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]

    def target(self, name: str) -> dict[str, str]:
        """Where an algorithm takes its documents."""
        return {"queueUrl": self._queues[f"{name}-input"], "bucket": self.bucket(name)}

    def taken(self, name: str, kind: str = "input") -> list[dict[str, Any]]:
        """Take all messages out of a queue."""
        taken: list[dict[str, Any]] = []
        url = self._queues[f"{name}-{kind}"]
        while found := self.sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"], WaitTimeSeconds=0
        ).get("Messages"):
            for message in found:
                self.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
                taken.append({**message})
        return taken

    def keys(self, name: str) -> list[str]:
        """The keys of all objects in an algorithm's bucket."""
        found = self.s3.list_objects_v2(Bucket=self.bucket(name)).get("Contents", [])
        return [entry["Key"] for entry in found]

    def read(self, name: str, key: str) -> bytes:
        """An object's content."""
        body: bytes = self.s3.get_object(Bucket=self.bucket(name), Key=key)["Body"].read()
        return body


@pytest.fixture
def stage(endpoint_url: str, environment: Callable[..., None]) -> Stage:
    """A place for algorithms, empty."""
    return Stage(endpoint_url, environment)

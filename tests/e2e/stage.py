"""The platform under test as the end-to-end tests handle it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import boto3
import httpx

from greenroom.client import GreenroomClient
from greenroom.deploy import Deployment, deploy_platform
from greenroom.embedded import EmbeddedAws
from greenroom.wire.models import Message, Release
from tests.e2e import record
from tests.e2e.packages import write

T = TypeVar("T")

BUSY_TRIES = 3
"""How often a release is pushed whose test the other tests disturbed too much."""


@dataclass(frozen=True)
class Platform:
    """The platform under test, seen as a developer sees it (`client`) and as its operator does (`session`)."""

    aws: EmbeddedAws
    session: boto3.Session
    deployment: Deployment
    client: GreenroomClient
    folder: Path

    def service(self, name: str, **options: Any) -> Any:
        """A boto3 client of the operator."""
        return self.session.client(name, endpoint_url=self.aws.endpoint_url, **options)  # type: ignore[call-overload]

    def push(self, body: bytes) -> str:
        """Upload a package and return the release's id."""
        path = write(self.folder, body, f"{time.monotonic_ns()}.zip")
        return self.client.upload_package(path)

    def ended(self, release_id: str, timeout_s: float = 240) -> Release:
        """Wait until a release has ended or is live."""
        return self.client.wait_for_release(release_id, timeout_s=timeout_s)

    def push_and_wait(self, body: bytes, timeout_s: float = 240) -> Release:
        """Upload a package and wait for what becomes of it.

        The suite's other platforms measure at the same time. A release that was not measured for that is pushed again,
        as its hint says.
        """
        for _ in range(BUSY_TRIES):
            release = self.ended(self.push(body), timeout_s)
            if release.problem is None or release.problem.code != "machine_busy":
                break
        return release

    def send(self, name: str, document: Any, *, to: list[str] | None = None, timeout_s: float = 60) -> Message:
        """Send a document through production and wait for its answers."""
        path = write(self.folder, json.dumps(document).encode(), f"{time.monotonic_ns()}.json")
        message = self.client.send(name, path, to=to)
        return self.client.wait_for_message(name, message.message_id, to=to, timeout_s=timeout_s)

    def answer(self, message: Message, algorithm: str) -> Any:
        """The JSON answer of one algorithm to a message."""
        (result,) = (each for each in message.results if each.algorithm == algorithm)
        path = self.folder / f"{message.message_id}-{algorithm}"
        with path.open("wb") as file:
            self.client.download(result, file)
        return json.loads(path.read_bytes())

    def began(self, release: Release) -> str:
        """When a release was created, as the registry writes times."""
        assert release.created_at is not None
        return release.created_at.isoformat()

    def function(self, name: str) -> str:
        """Name of an algorithm's function."""
        return f"{self.deployment.prefix}-alg-{name}"

    def aliases(self, name: str) -> dict[str, str]:
        """The aliases of an algorithm's function and the versions they lead to."""
        found = self.service("lambda").list_aliases(FunctionName=self.function(name))["Aliases"]
        return {alias["Name"]: alias["FunctionVersion"] for alias in found}

    def versions(self, name: str) -> set[str]:
        """The published versions of an algorithm's function."""
        found = self.service("lambda").list_versions_by_function(FunctionName=self.function(name))["Versions"]
        return {version["Version"] for version in found} - {"$LATEST"}

    def execution(self, release_id: str, flow: str) -> Any:
        """The execution of state machine `flow` that worked on a release, once it has ended."""
        status = {"provision": "registered", "backstage": "provisioned"}[flow]
        arn = (
            f"arn:aws:states:{self.deployment.region}:{self.deployment.account_id}:execution:"
            f"{self.deployment.prefix}-{flow}:{release_id}-{status}"
        )
        states = self.service("stepfunctions")
        return eventually(
            lambda: (found := states.describe_execution(executionArn=arn))["status"] != "RUNNING" and found
        )


@contextmanager
def running_platform(data: Path, files: Path) -> Iterator[Platform]:
    """The embedded AWS with IAM enforced and recorded, and the real platform deployed on it."""
    with EmbeddedAws.start(data, port=0, iam_log=True) as aws:
        session = boto3.Session(
            aws_access_key_id=aws.access_key_id,
            aws_secret_access_key=aws.secret_access_key,
            region_name=aws.region,
        )
        deployment = deploy_platform(session, endpoint_url=aws.endpoint_url, poll_s=0.1)
        with GreenroomClient(deployment.url, deployment.token) as client:
            platform = Platform(aws, session, deployment, client, files)
            yield platform
            record.leave(data, platform.service("iam"), deployment.prefix)


def eventually(look: Callable[[], T], timeout_s: float = 60) -> T:
    """Return the first true value that `look` gives; fail if there is none in time."""
    until = time.monotonic() + timeout_s
    while True:
        value = look()
        if value:
            return value
        assert time.monotonic() < until, f"it did not happen within {timeout_s} s"
        time.sleep(0.1)


@contextmanager
def denied(platform: Platform, role: str, action: str) -> Iterator[None]:
    """Deny an action to one of the platform's roles for a while."""
    iam = platform.service("iam")
    name = f"{platform.deployment.prefix}-{role}-{platform.deployment.region}"
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": action, "Resource": "*"}]}
    iam.put_role_policy(RoleName=name, PolicyName="fault", PolicyDocument=json.dumps(policy))
    try:
        yield
    finally:
        iam.delete_role_policy(RoleName=name, PolicyName="fault")


def invoke(platform: Platform, function: str, event: Any) -> Any:
    """Invoke one of the platform's functions and return its answer."""
    answer = platform.service("lambda").invoke(
        FunctionName=f"{platform.deployment.prefix}-{function}", Payload=json.dumps(event).encode()
    )
    assert "FunctionError" not in answer, answer["Payload"].read()
    return json.loads(answer["Payload"].read())


@contextmanager
def retried_at_once(platform: Platform, queue: str) -> Iterator[None]:
    """Let the messages of one of the platform's queues come back at once when they could not be handled.

    At once is 2 seconds: on a busy machine a function may take longer than one, and what comes back before it has ended
    is given up without its reason.
    """
    sqs = platform.service("sqs")
    url = sqs.get_queue_url(QueueName=f"{platform.deployment.prefix}-{queue}")["QueueUrl"]
    kept = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["VisibilityTimeout"])["Attributes"]
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "2"})
    try:
        yield
    finally:
        sqs.set_queue_attributes(QueueUrl=url, Attributes=kept)


def request(method: str, url: str, **options: Any) -> httpx.Response:
    """Send a request of HTTP; wait for its answer as long as a busy machine may need."""
    return httpx.request(method, url, timeout=60, **options)


def new_upload(platform: Platform, file_name: str = "x.zip", size_bytes: int = 10) -> Any:
    """A release that waits for its package, and the form that lets it in."""
    answer = request(
        "POST",
        f"{platform.deployment.url}/releases",
        headers={"Authorization": f"Bearer {platform.deployment.token}"},
        json={"fileName": file_name, "sizeBytes": size_bytes},
    )
    return answer.raise_for_status().json()


def edit_release(platform: Platform, release_id: str, **values: str) -> None:
    """Write into a release's item past the platform."""
    platform.service("dynamodb").update_item(
        TableName=f"{platform.deployment.prefix}-registry",
        Key={"pk": {"S": f"RELEASE#{release_id}"}, "sk": {"S": "META"}},
        UpdateExpression="SET " + ", ".join(f"#{name} = :{name}" for name in values),
        ExpressionAttributeNames={f"#{name}": name for name in values},
        ExpressionAttributeValues={f":{name}": {"S": value} for name, value in values.items()},
    )


def age(platform: Platform, release_id: str) -> None:
    """Let a release look as if nothing had happened to it for long."""
    long_ago = "2026-01-01T00:00:00.000Z"
    edit_release(platform, release_id, updatedAt=long_ago, createdAt=long_ago)


@contextmanager
def swept_by_hand(platform: Platform) -> Iterator[None]:
    """Stop the schedule of the sweeper, which would look once a minute between two steps of a test."""
    events = platform.service("events")
    rule = f"{platform.deployment.prefix}-sweep"
    events.disable_rule(Name=rule)
    try:
        yield
    finally:
        events.enable_rule(Name=rule)


def sweep(platform: Platform) -> Any:
    """Let the sweeper look now; return what it did, by release id."""
    return invoke(platform, "sweep", {})["swept"]


@contextmanager
def assumed(platform: Platform, role: str) -> Iterator[dict[str, str]]:
    """The environment of somebody who acts in one of the platform's roles, which trusts the operator for a while."""
    iam = platform.service("iam")
    name = f"{platform.deployment.prefix}-{role}-{platform.deployment.region}"
    found = iam.get_role(RoleName=name)["Role"]
    operator = {"Effect": "Allow", "Principal": {"AWS": platform.aws.account_id}, "Action": "sts:AssumeRole"}
    trust = {"Version": "2012-10-17", "Statement": [operator]}
    iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(trust))
    try:
        session = platform.service("sts").assume_role(RoleArn=found["Arn"], RoleSessionName="test")["Credentials"]
        yield {
            "AWS_ENDPOINT_URL": platform.aws.endpoint_url,
            "AWS_ACCESS_KEY_ID": session["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": session["SecretAccessKey"],
            "AWS_SESSION_TOKEN": session["SessionToken"],
        }
    finally:
        kept = json.dumps(found["AssumeRolePolicyDocument"])
        iam.update_assume_role_policy(RoleName=name, PolicyDocument=kept)

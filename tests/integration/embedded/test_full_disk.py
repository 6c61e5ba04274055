"""A full disk, no descriptors: new work is refused, what was answered stays, and the server comes back by itself."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from greenroom.embedded import EmbeddedAws
from greenroom.embedded.process import durable_state

SIZE_MB = 24
ONE_ATTEMPT = Config(retries={"max_attempts": 1, "mode": "standard"})
BACK_AFTER_S = 15.0

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m", "tmpfs", str(place)], check=True)
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.fixture
def aws(disk: Path) -> Iterator[EmbeddedAws]:
    running = EmbeddedAws.start(disk / "data")
    yield running
    if running.alive():
        running.stop()


def client(aws: EmbeddedAws, service: str) -> Any:
    return boto3.client(
        service,  # type: ignore[call-overload]
        endpoint_url=aws.endpoint_url,
        region_name=aws.region,
        aws_access_key_id=aws.access_key_id,
        aws_secret_access_key=aws.secret_access_key,
        config=ONE_ATTEMPT,
    )


def fill(disk: Path) -> Path:
    """Leave no byte."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            while True:
                try:
                    file.write(bytes(size))
                except OSError:
                    break
    return filler


def refused(call: Any, **arguments: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
    return str(caught.value)


def until_accepted(call: Any, **arguments: Any) -> Any:
    until = time.monotonic() + BACK_AFTER_S
    while True:
        try:
            return call(**arguments)
        except ClientError as error:
            assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 503
            assert time.monotonic() < until
            time.sleep(0.1)


def kill(aws: EmbeddedAws) -> None:
    assert aws._process is not None
    os.kill(aws.pid, signal.SIGKILL)
    aws._process.wait()


def test_on_a_full_disk_nothing_is_accepted_and_with_space_again_everything(aws: EmbeddedAws, disk: Path) -> None:
    s3, sqs = client(aws, "s3"), client(aws, "sqs")
    s3.create_bucket(Bucket="bucket")
    url = sqs.create_queue(QueueName="queue")["QueueUrl"]
    for number in range(3):
        s3.put_object(Bucket="bucket", Key=f"before-{number}", Body=bytes(200_000))
        sqs.send_message(QueueUrl=url, MessageBody=f"before-{number}")
    filler = fill(disk)

    # Small writes may still fit into a page that was there: the disk is full when the first one does not.
    with pytest.raises(ClientError):
        for number in range(1_000):
            s3.put_object(Bucket="bucket", Key=f"full-{number}", Body=bytes(200_000))
    said = refused(s3.put_object, Bucket="bucket", Key="large", Body=bytes(200_000))
    assert "takes nothing on" in said
    state = durable_state(aws.endpoint_url)
    assert state and state.trouble and state.age_s > 0
    refused(sqs.send_message, QueueUrl=url, MessageBody="full")
    assert s3.get_object(Bucket="bucket", Key="before-1")["Body"].read() == bytes(200_000)

    filler.unlink()
    until_accepted(s3.put_object, Bucket="bucket", Key="after", Body=bytes(200_000))
    sqs.send_message(QueueUrl=url, MessageBody="after")
    state = durable_state(aws.endpoint_url)
    assert state and state.trouble is None and state.age_s < 1
    kill(aws)
    again = EmbeddedAws.start(disk / "data")
    try:
        s3, sqs = client(again, "s3"), client(again, "sqs")
        keys = {found["Key"] for found in s3.list_objects_v2(Bucket="bucket")["Contents"]}
        assert {"before-0", "before-1", "before-2", "after"} <= keys
        for key in keys:
            assert s3.get_object(Bucket="bucket", Key=key)["Body"].read() == bytes(200_000)
        bodies = set()
        while found := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            bodies |= {message["Body"] for message in found}
        assert {"before-0", "before-1", "before-2", "after"} <= bodies
        assert "full" not in bodies
    finally:
        again.stop()


def test_a_kill_on_a_full_disk_loses_nothing_that_was_answered(aws: EmbeddedAws, disk: Path) -> None:
    table = client(aws, "dynamodb")
    table.create_table(
        TableName="table",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    filler = fill(disk)
    answered = []
    with pytest.raises(ClientError):
        for number in range(10_000):
            table.put_item(TableName="table", Item={"id": {"S": str(number)}, "text": {"S": "x" * 1_000}})
            answered.append(str(number))
    kill(aws)
    filler.unlink()
    again = EmbeddedAws.start(disk / "data")
    try:
        found = {item["id"]["S"] for item in client(again, "dynamodb").scan(TableName="table")["Items"]}
        assert set(answered) <= found
    finally:
        again.stop()


def test_without_descriptors_what_is_not_written_is_not_answered_with_success(aws: EmbeddedAws) -> None:
    s3 = client(aws, "s3")
    s3.create_bucket(Bucket="bucket")
    s3.put_object(Bucket="bucket", Key="before", Body=bytes(200_000))
    soft, hard = resource.prlimit(aws.pid, resource.RLIMIT_NOFILE)
    in_use = len(list(Path(f"/proc/{aws.pid}/fd").iterdir()))
    resource.prlimit(aws.pid, resource.RLIMIT_NOFILE, (in_use, hard))
    refused(s3.put_object, Bucket="bucket", Key="meanwhile", Body=bytes(200_000))
    resource.prlimit(aws.pid, resource.RLIMIT_NOFILE, (soft, hard))
    until_accepted(s3.put_object, Bucket="bucket", Key="after", Body=bytes(200_000))
    assert s3.get_object(Bucket="bucket", Key="before")["Body"].read() == bytes(200_000)

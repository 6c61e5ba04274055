"""Data of the release before the store goes on in this one. `previous_all/` was written by commit 0825673."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from greenroom.embedded import EmbeddedAws, StartFailed

WRITTEN = Path(__file__).with_name("previous_all")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    shutil.copytree(WRITTEN, tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def aws(data: Path) -> Iterator[EmbeddedAws]:
    """An embedded AWS that has read the data, and was killed and started again after that."""
    first = EmbeddedAws.start(data)
    assert first._process is not None
    os.kill(first.pid, signal.SIGKILL)
    first._process.wait()
    with EmbeddedAws.start(data) as running:
        yield running


def client(aws: EmbeddedAws, service: str) -> Any:
    return boto3.client(
        service,  # type: ignore[call-overload]
        endpoint_url=aws.endpoint_url,
        region_name=aws.region,
        aws_access_key_id=aws.access_key_id,
        aws_secret_access_key=aws.secret_access_key,
    )


def test_everything_of_the_previous_release_is_there(aws: EmbeddedAws, data: Path) -> None:
    s3, table, functions = client(aws, "s3"), client(aws, "dynamodb"), client(aws, "lambda")
    found = s3.get_object(Bucket="documents", Key="a/b c.txt")
    assert (found["Body"].read(), found["Metadata"]) == (b"hello", {"by": "me"})
    assert s3.get_object(Bucket="documents", Key="large")["Body"].read() == b"0123456789" * 30_000
    items = table.scan(TableName="registry")["Items"]
    assert [item["s"]["S"] for item in items] == ["0", "1", "2", "3"]
    assert items[0]["b"] == {"B": b"\xff\x00"}
    assert "worker" in [role["RoleName"] for role in client(aws, "iam").list_roles()["Roles"]]
    machine = client(aws, "stepfunctions")
    (found_machine,) = machine.list_state_machines()["stateMachines"]
    (execution,) = machine.list_executions(stateMachineArn=found_machine["stateMachineArn"])["executions"]
    assert execution["status"] == "SUCCEEDED"
    assert len(machine.get_execution_history(executionArn=execution["executionArn"])["events"]) > 2
    stack = client(aws, "cloudformation").describe_stacks(StackName="stack")["Stacks"][0]
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    assert client(aws, "ssm").get_parameter(Name="/p")["Parameter"]["Value"] == "v"
    sqs = client(aws, "sqs")
    url = sqs.get_queue_url(QueueName="waiting")["QueueUrl"]
    messages = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"])["Messages"]
    assert sorted(message["Body"] for message in messages) == ["first", "second"]
    assert messages[0]["MessageAttributes"]["k"]["StringValue"] == "v"

    config = functions.get_function(FunctionName="worker")
    assert config["Configuration"]["Environment"]["Variables"] == {"AB": "B"}
    assert (config["Tags"], config["Concurrency"]["ReservedConcurrentExecutions"]) == ({"team": "x"}, 7)
    versions = functions.list_versions_by_function(FunctionName="worker")["Versions"]
    assert [version["Version"] for version in versions] == ["$LATEST", "1", "2"]
    assert functions.get_function_event_invoke_config(FunctionName="worker")["MaximumRetryAttempts"] == 1
    assert json.loads(functions.get_policy(FunctionName="worker")["Policy"])["Statement"][0]["Sid"] == "s"
    for qualifier, number in (("prod", 1), ("2", 2), ("$LATEST", 2)):
        answer = json.load(functions.invoke(FunctionName="worker", Qualifier=qualifier)["Payload"])
        assert answer == {"version": number, "word": "layer"}
    kept = json.loads((WRITTEN / "state" / "lambda.json").read_text())["payload"]["esms"]["data"].values()
    mappings = {each["UUID"]: each for each in functions.list_event_source_mappings()["EventSourceMappings"]}
    assert {each["UUID"]: each["FunctionArn"] for each in kept} == {
        uuid: each["FunctionArn"] for uuid, each in mappings.items()
    }

    assert {path.name for path in data.iterdir()} >= {"state-before-store", "s3-before-store", "store"}
    assert not (data / "state").exists()


def test_a_mapping_of_the_previous_release_works_on(aws: EmbeddedAws) -> None:
    sqs = client(aws, "sqs")
    url = sqs.get_queue_url(QueueName="inbox")["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="work")
    until = time.monotonic() + 20
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    while set(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"].values()) != {"0"}:
        assert time.monotonic() < until
        time.sleep(0.1)


def test_a_damaged_file_of_the_previous_release_is_refused_and_nothing_is_moved(data: Path) -> None:
    file = data / "state" / "dynamodb.json"
    whole = file.read_bytes()
    file.write_bytes(whole[:100])
    with pytest.raises(StartFailed, match=r"dynamodb\.json is damaged"):
        EmbeddedAws.start(data)
    file.write_bytes(whole)
    with EmbeddedAws.start(data) as running:
        assert len(client(running, "dynamodb").scan(TableName="registry")["Items"]) == 4

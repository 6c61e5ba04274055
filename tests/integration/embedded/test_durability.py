"""What the embedded AWS has answered is there after a kill; a backup holds it; what is damaged is refused."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from greenroom.embedded import EmbeddedAws, StartFailed
from greenroom.embedded.backup import MANIFEST, BackupFailed, back_up, restore

LARGE = b"large " * 50_000
POLICY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}],
}


class Cloud:
    """The clients of a running embedded AWS."""

    def __init__(self, aws: EmbeddedAws) -> None:
        self.aws = aws

    def __getattr__(self, service: str) -> Any:
        return boto3.client(
            service,  # type: ignore[call-overload]
            endpoint_url=self.aws.endpoint_url,
            region_name=self.aws.region,
            aws_access_key_id=self.aws.access_key_id,
            aws_secret_access_key=self.aws.secret_access_key,
        )

    def kill(self) -> None:
        assert self.aws._process is not None
        os.kill(self.aws.pid, signal.SIGKILL)
        self.aws._process.wait()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def cloud(data: Path) -> Iterator[Cloud]:
    aws = EmbeddedAws.start(data)
    yield Cloud(aws)
    if aws.alive():
        aws.stop()


def again(data: Path) -> Cloud:
    return Cloud(EmbeddedAws.start(data))


def fill(cloud: Cloud) -> str:
    """Do a little in every service; return the queue's URL."""
    url: str = cloud.sqs.create_queue(QueueName="queue")["QueueUrl"]
    arn = cloud.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    allowed = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "s3.amazonaws.com"},
                "Action": "sqs:SendMessage",
                "Resource": arn,
            }
        ],
    }
    cloud.sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(allowed)})
    cloud.s3.create_bucket(Bucket="bucket")
    cloud.s3.put_bucket_notification_configuration(
        Bucket="bucket",
        NotificationConfiguration={"QueueConfigurations": [{"QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}]},
    )
    cloud.sqs.purge_queue(QueueUrl=url)
    cloud.s3.put_object(Bucket="bucket", Key="a folder/small", Body=b"first")
    cloud.s3.put_object(Bucket="bucket", Key="a folder/small", Body=b"small", Metadata={"made-by": "me"})
    cloud.s3.put_object(Bucket="bucket", Key="large", Body=LARGE)
    cloud.s3.put_object(Bucket="bucket", Key="deleted", Body=LARGE)
    cloud.s3.delete_object(Bucket="bucket", Key="deleted")
    cloud.dynamodb.create_table(
        TableName="table",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
    )
    for number in range(5):
        cloud.dynamodb.put_item(TableName="table", Item={"id": {"S": str(number)}, "blob": {"B": b"\x00\xff"}})
    cloud.dynamodb.delete_item(TableName="table", Key={"id": {"S": "3"}})
    cloud.dynamodb.transact_write_items(
        TransactItems=[
            {"Put": {"TableName": "table", "Item": {"id": {"S": "left"}}}},
            {"Put": {"TableName": "table", "Item": {"id": {"S": "right"}}}},
        ]
    )
    cloud.iam.create_role(
        RoleName="role", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": []})
    )
    cloud.iam.put_role_policy(RoleName="role", PolicyName="policy", PolicyDocument=json.dumps(POLICY))
    cloud.ssm.put_parameter(Name="/parameter", Value="value", Type="String")
    cloud.sns.create_topic(Name="topic")
    cloud.logs.create_log_group(logGroupName="group")
    return url


def require_filled(cloud: Cloud, url: str) -> None:
    assert [found["Key"] for found in cloud.s3.list_objects_v2(Bucket="bucket")["Contents"]] == [
        "a folder/small",
        "large",
    ]
    small = cloud.s3.get_object(Bucket="bucket", Key="a folder/small")
    assert (small["Body"].read(), small["Metadata"]) == (b"small", {"made-by": "me"})
    assert cloud.s3.get_object(Bucket="bucket", Key="large")["Body"].read() == LARGE
    items = cloud.dynamodb.scan(TableName="table")["Items"]
    assert {item["id"]["S"] for item in items} == {"0", "1", "2", "4", "left", "right"}
    assert items[0].get("blob", {"B": b"\x00\xff"}) == {"B": b"\x00\xff"}
    assert cloud.dynamodb.describe_table(TableName="table")["Table"]["ItemCount"] == 6
    assert cloud.iam.get_role_policy(RoleName="role", PolicyName="policy")["PolicyDocument"] == POLICY
    assert cloud.ssm.get_parameter(Name="/parameter")["Parameter"]["Value"] == "value"
    assert [topic["TopicArn"].split(":")[-1] for topic in cloud.sns.list_topics()["Topics"]] == ["topic"]
    assert [group["logGroupName"] for group in cloud.logs.describe_log_groups()["logGroups"]] == ["group"]
    keys = []
    while messages := cloud.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=600).get(
        "Messages"
    ):
        keys += [json.loads(message["Body"])["Records"][0]["s3"]["object"]["key"] for message in messages]
    assert sorted(keys) == ["a+folder/small", "a+folder/small", "deleted", "large"]


def test_everything_that_was_answered_is_there_after_a_kill(cloud: Cloud, data: Path) -> None:
    url = fill(cloud)
    cloud.kill()
    restarted = again(data)
    try:
        require_filled(restarted, url)
        arn = restarted.dynamodb.describe_table(TableName="table")["Table"]["LatestStreamArn"]
        shard = restarted.dynamodbstreams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"][0]["ShardId"]
        iterator = restarted.dynamodbstreams.get_shard_iterator(
            StreamArn=arn, ShardId=shard, ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        assert len(restarted.dynamodbstreams.get_records(ShardIterator=iterator)["Records"]) == 8
    finally:
        restarted.aws.stop()
    files = [path.stat().st_size for path in (data / "objects").iterdir()]
    assert files == [len(LARGE)], "an object's body that was deleted or replaced goes with it"


def test_a_message_that_was_received_stays_invisible_and_a_deleted_one_away(cloud: Cloud, data: Path) -> None:
    url = cloud.sqs.create_queue(QueueName="queue")["QueueUrl"]
    for number in range(4):
        cloud.sqs.send_message(QueueUrl=url, MessageBody=str(number))
    taken = cloud.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=2, VisibilityTimeout=600)["Messages"]
    cloud.sqs.delete_message(QueueUrl=url, ReceiptHandle=taken[0]["ReceiptHandle"])
    cloud.kill()
    restarted = again(data)
    try:
        left = restarted.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
        assert sorted(message["Body"] for message in left) == ["2", "3"]
        restarted.sqs.delete_message(QueueUrl=url, ReceiptHandle=taken[1]["ReceiptHandle"])
        numbers = restarted.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        assert numbers["ApproximateNumberOfMessages"] == "0"
    finally:
        restarted.aws.stop()


def test_a_transaction_that_is_asked_for_again_after_a_kill_is_done_once(cloud: Cloud, data: Path) -> None:
    cloud.dynamodb.create_table(
        TableName="table",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    new = {"TableName": "table", "Item": {"id": {"S": "new"}}, "ConditionExpression": "attribute_not_exists(id)"}
    asked = {"TransactItems": [{"Put": new}], "ClientRequestToken": "token"}
    cloud.dynamodb.transact_write_items(**asked)
    cloud.kill()
    restarted = again(data)
    try:
        restarted.dynamodb.transact_write_items(**asked)
        with pytest.raises(restarted.dynamodb.exceptions.TransactionCanceledException):
            restarted.dynamodb.transact_write_items(**{**asked, "ClientRequestToken": "another"})
    finally:
        restarted.aws.stop()


def test_a_stack_that_was_being_made_is_made_after_a_kill(cloud: Cloud, data: Path) -> None:
    queues = {
        f"Queue{number}": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": f"queue-{number}"}}
        for number in range(120)
    }
    cloud.cloudformation.create_stack(StackName="stack", TemplateBody=json.dumps({"Resources": queues}))
    cloud.kill()
    restarted = again(data)
    try:
        until = time.monotonic() + 60
        while True:
            stack = restarted.cloudformation.describe_stacks(StackName="stack")["Stacks"][0]
            if not stack["StackStatus"].endswith("_IN_PROGRESS"):
                break
            assert time.monotonic() < until
            time.sleep(0.1)
        assert stack["StackStatus"] in ("CREATE_COMPLETE", "UPDATE_COMPLETE")
        names = {url.rsplit("/", 1)[1] for url in restarted.sqs.list_queues()["QueueUrls"]}
        assert names == {f"queue-{number}" for number in range(120)}
        resources = restarted.cloudformation.describe_stack_resources(StackName="stack")["StackResources"]
        assert len(resources) == 120
    finally:
        restarted.aws.stop()


def test_log_lines_are_there_a_moment_later_and_after_a_kill(cloud: Cloud, data: Path) -> None:
    cloud.logs.create_log_group(logGroupName="group")
    cloud.logs.create_log_stream(logGroupName="group", logStreamName="stream")
    now = int(time.time() * 1_000)
    for number in range(3):
        cloud.logs.put_log_events(
            logGroupName="group",
            logStreamName="stream",
            logEvents=[{"timestamp": now + number, "message": f"line {number}"}],
        )
    time.sleep(1.5)  # a stream is written once a second
    cloud.kill()
    restarted = again(data)
    try:
        found = restarted.logs.get_log_events(logGroupName="group", logStreamName="stream", startFromHead=True)
        assert [event["message"] for event in found["events"]] == ["line 0", "line 1", "line 2"]
        stream = restarted.logs.describe_log_streams(logGroupName="group")["logStreams"][0]
        assert stream["lastEventTimestamp"] == now + 2
    finally:
        restarted.aws.stop()


def test_a_backup_made_while_it_runs_is_put_back_with_everything(cloud: Cloud, data: Path, tmp_path: Path) -> None:
    url = fill(cloud)
    file = tmp_path / "greenroom.backup"
    back_up(data, file)
    assert file.stat().st_mode & 0o077 == 0
    with pytest.raises(BackupFailed, match="is there already"):
        back_up(data, file)
    with pytest.raises(BackupFailed, match="a platform runs on"):
        restore(file, data)
    cloud.s3.put_object(Bucket="bucket", Key="after", Body=b"x")
    cloud.kill()
    for path in (data / "store").iterdir():
        path.write_bytes(b"nothing")
    with pytest.raises(StartFailed, match=r"is damaged.*greenroom restore FILE"):
        EmbeddedAws.start(data)
    kept = restore(file, data)
    assert kept is not None
    assert (kept / "store" / "records.sqlite").read_bytes() == b"nothing"
    restored = again(data)
    try:
        require_filled(restored, url)
    finally:
        restored.aws.stop()
    elsewhere = tmp_path / "elsewhere"
    assert restore(file, elsewhere) is None
    assert json.loads((elsewhere / "credentials.json").read_text()) == json.loads(
        (data / "credentials.json").read_text()
    )


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("filled") / "data"
    with EmbeddedAws.start(data) as aws:
        fill(Cloud(aws))
    return data


class TestRefused:
    @pytest.fixture
    def stopped(self, filled: Path, data: Path) -> Path:
        shutil.copytree(filled, data)
        return data

    def test_a_backup_that_is_damaged_or_newer(self, stopped: Path, tmp_path: Path) -> None:
        file = tmp_path / "good"
        back_up(stopped, file)
        whole = file.read_bytes()
        before = sorted(path.relative_to(stopped) for path in stopped.rglob("*"))
        bad = tmp_path / "bad"
        for content in (
            b"",
            whole[: len(whole) // 2],
            whole[:-30],
            whole.replace(b"records.sqlite", b"records.sqlitf"),
        ):
            bad.write_bytes(content)
            with pytest.raises(BackupFailed, match="bad"):
                restore(bad, stopped)
        with zipfile.ZipFile(file) as archive, zipfile.ZipFile(bad, "w") as newer:
            for name in archive.namelist():
                content = archive.read(name)
                if name == MANIFEST:
                    content = json.dumps({**json.loads(content), "format": 99}).encode()
                newer.writestr(name, content)
        with pytest.raises(BackupFailed, match="format 99"):
            restore(bad, stopped)
        assert sorted(path.relative_to(stopped) for path in stopped.rglob("*")) == before
        assert [path.name for path in tmp_path.iterdir() if "restor" in path.name] == []

    @pytest.mark.parametrize(
        "name", ["store/records.sqlite", "store/records.sqlite.mark", "format.json", "credentials.json"]
    )
    @pytest.mark.parametrize("damage", ["missing", "empty"])
    def test_a_start_on_a_damaged_file(self, stopped: Path, name: str, damage: str) -> None:
        path = stopped / name
        path.unlink()
        if damage == "empty":
            path.touch()
        with pytest.raises(StartFailed, match="greenroom restore FILE"):
            EmbeddedAws.start(stopped)

    def test_a_start_on_a_newer_format(self, stopped: Path) -> None:
        (stopped / "format.json").write_text('{"format": 99}')
        with pytest.raises(StartFailed, match="format 99"):
            EmbeddedAws.start(stopped)
        (stopped / "format.json").write_text('{"format": 2}')
        connection = sqlite3.connect(stopped / "store" / "records.sqlite")
        connection.execute("PRAGMA user_version = 99")
        connection.close()
        with pytest.raises(StartFailed, match="format 99"):
            EmbeddedAws.start(stopped)

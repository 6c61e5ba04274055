"""An embedded AWS with what the tests of functions need: roles, functions, queues, tables."""

from __future__ import annotations

import io
import itertools
import json
import sys
import time
import zipfile
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.config import Config

from greenroom.embedded import EmbeddedAws

RUNTIME = f"python{sys.version_info.major}.{sys.version_info.minor}"
EVERYTHING = {"Effect": "Allow", "Action": "*", "Resource": "*"}
TRUST = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}

_numbers = itertools.count()


class Box:
    """What a test asks for. Names are made up, so that tests share one AWS."""

    def __init__(self, aws: EmbeddedAws) -> None:
        self.aws = aws
        self.lambda_ = self.client("lambda")
        self.sqs = self.client("sqs")
        self.dynamodb = self.client("dynamodb")

    def client(self, service: str) -> Any:
        session = boto3.Session(self.aws.access_key_id, self.aws.secret_access_key, region_name=self.aws.region)
        once = Config(retries={"total_max_attempts": 1}, read_timeout=120, max_pool_connections=50)
        return session.client(service, endpoint_url=self.aws.endpoint_url, config=once)  # type: ignore[call-overload]

    def role(self, *statements: dict[str, Any]) -> str:
        iam, name = self.client("iam"), new_name()
        trust = json.dumps({"Version": "2012-10-17", "Statement": [TRUST]})
        arn: str = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)["Role"]["Arn"]
        self.allow(arn, *statements)
        return arn

    def allow(self, role: str, *statements: dict[str, Any]) -> None:
        """Let a role do this and nothing else; everything by default."""
        policy = json.dumps({"Version": "2012-10-17", "Statement": list(statements) or [EVERYTHING]})
        name = role.rpartition("/")[2]
        self.client("iam").put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=policy)

    def function(self, source: str, **options: Any) -> str:
        name = new_name()
        self.lambda_.create_function(
            FunctionName=name,
            Runtime=RUNTIME,
            Handler="app.handler",
            Role=options.pop("Role", None) or self.role(),
            Code={"ZipFile": zipped(source)},
            **{"MemorySize": 512, "Timeout": 20} | options,
        )
        self._settled(name)
        return name

    def version(self, name: str, source: str | None = None) -> str:
        if source is not None:
            self.lambda_.update_function_code(FunctionName=name, ZipFile=zipped(source))
            self._settled(name)
        version: str = self.lambda_.publish_version(FunctionName=name)["Version"]
        self._settled(f"{name}:{version}")
        return version

    def _settled(self, reference: str) -> None:
        """Wait as boto3's waiters do, which look once a second."""

        def settled() -> bool:
            found = self.lambda_.get_function_configuration(FunctionName=reference)
            return bool(found["State"] == "Active" and found.get("LastUpdateStatus", "Successful") == "Successful")

        until(settled)

    def queue(self, **attributes: str) -> tuple[str, str]:
        """Return a new queue's URL and ARN."""
        fifo = ".fifo" if attributes.get("FifoQueue") else ""
        url = self.sqs.create_queue(QueueName=new_name() + fifo, Attributes=attributes)["QueueUrl"]
        return url, self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]

    def table(self) -> tuple[str, str]:
        """Return a new table's name and its stream's ARN."""
        name = new_name()
        made = self.dynamodb.create_table(
            TableName=name,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        )
        return name, made["TableDescription"]["LatestStreamArn"]

    def put(self, table: str, *ids: str) -> None:
        for each in ids:
            self.dynamodb.put_item(TableName=table, Item={"id": {"S": each}})

    def mapping(self, function: str, source: str, **options: Any) -> str:
        made = self.lambda_.create_event_source_mapping(FunctionName=function, EventSourceArn=source, **options)
        return str(made["UUID"])

    def messages(self, url: str, count: int, within_s: float = 20.0) -> list[dict[str, Any]]:
        """Return that many messages of a queue, deleted from it, or fail."""
        found: list[dict[str, Any]] = []

        def enough() -> bool:
            asked: dict[str, Any] = {"QueueUrl": url, "MaxNumberOfMessages": 10, "MessageAttributeNames": ["All"]}
            for message in self.sqs.receive_message(**asked, AttributeNames=["All"]).get("Messages", []):
                self.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
                found.append(message)
            return len(found) >= count

        until(enough, within_s)
        return found

    def bodies(self, url: str, count: int, within_s: float = 20.0) -> list[Any]:
        return [json.loads(message["Body"]) for message in self.messages(url, count, within_s)]

    def items(self, url: str, count: int) -> list[Any]:
        """Return that many items of the lists that a queue's messages are, or fail."""
        found: list[Any] = []
        while len(found) < count:
            for each in self.bodies(url, 1):
                found += each
        return found

    def left(self, url: str) -> int:
        """Return how many messages a queue has, hidden ones too."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        counts = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        return sum(int(counts[name]) for name in names)


def teller(body: str) -> str:
    """Return a function's source that tells the queue in its variable QUEUE what it got, and then does something."""
    return f"""
import json, os, boto3
sqs = boto3.client("sqs")
def tell(what):
    sqs.send_message(QueueUrl=os.environ["QUEUE"], MessageBody=json.dumps(what))
def handler(event, context):
{chr(10).join("    " + line for line in body.splitlines())}
"""


def new_name() -> str:
    return f"it-{next(_numbers)}"


def zipped(source: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("app.py", source)
    return buffer.getvalue()


def until(true: Callable[[], bool], within_s: float = 20.0) -> None:
    end = time.monotonic() + within_s
    while not true():
        if time.monotonic() > end:
            pytest.fail("it did not come true in time")
        time.sleep(0.05)

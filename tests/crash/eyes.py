"""How the crash tests look at a platform: through HTTP and boto3, as anybody could, and with none of Greenroom's code.

Nothing here tries a second time: an answer that does not come is no answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import boto3
import httpx
from botocore.config import Config
from botocore.exceptions import ClientError

CONFIG = Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=60)


@dataclass(frozen=True)
class Address:
    """Where a platform is, and the keys to it."""

    endpoint_url: str
    url: str
    token: str
    access_key_id: str
    secret_access_key: str
    region: str
    account_id: str
    prefix: str


class Eyes:
    """Looks at one platform."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._session = boto3.Session(
            aws_access_key_id=address.access_key_id,
            aws_secret_access_key=address.secret_access_key,
            region_name=address.region,
        )
        self.http = httpx.Client(
            base_url=address.url, headers={"Authorization": f"Bearer {address.token}"}, timeout=60, trust_env=False
        )

    def close(self) -> None:
        """Close the connections."""
        self.http.close()

    def service(self, name: str) -> Any:
        """A client of the operator, which asks once."""
        return self._session.client(name, endpoint_url=self.address.endpoint_url, config=CONFIG)  # type: ignore[call-overload]

    @cached_property
    def dynamodb(self) -> Any:
        """DynamoDB."""
        return self.service("dynamodb")

    @cached_property
    def lambda_(self) -> Any:
        """Lambda."""
        return self.service("lambda")

    @cached_property
    def s3(self) -> Any:
        """S3."""
        return self.service("s3")

    @cached_property
    def sqs(self) -> Any:
        """SQS."""
        return self.service("sqs")

    @cached_property
    def cloudformation(self) -> Any:
        """CloudFormation."""
        return self.service("cloudformation")

    @cached_property
    def states(self) -> Any:
        """Step Functions."""
        return self.service("stepfunctions")

    # The HTTP API

    def get(self, path: str) -> Any:
        """The JSON of an answer; None if it is 404. Any other refusal raises."""
        answer = self.http.get(path)
        return None if answer.status_code == 404 else answer.raise_for_status().json()

    # The registry

    def registry(self) -> list[dict[str, Any]]:
        """Every item of the registry, with plain values."""
        pages = self.dynamodb.get_paginator("scan").paginate(TableName=f"{self.address.prefix}-registry")
        return [{key: _plain(value) for key, value in item.items()} for page in pages for item in page["Items"]]

    def item(self, release_id: str) -> dict[str, Any]:
        """A release's own item; empty if there is none."""
        key = {"pk": {"S": f"RELEASE#{release_id}"}, "sk": {"S": "META"}}
        found = self.dynamodb.get_item(TableName=f"{self.address.prefix}-registry", Key=key, ConsistentRead=True)
        return {key: _plain(value) for key, value in found.get("Item", {}).items()}

    def parts(self, release_id: str) -> set[str]:
        """The sort keys of a release's items."""
        found = self.dynamodb.query(
            TableName=f"{self.address.prefix}-registry",
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": {"S": f"RELEASE#{release_id}"}},
            ConsistentRead=True,
        )
        return {item["sk"]["S"] for item in found["Items"]}

    # What an algorithm has

    def function(self, algorithm: str) -> str:
        """The name of an algorithm's function, and of its stack."""
        return f"{self.address.prefix}-alg-{algorithm}"

    def bucket(self, algorithm: str) -> str:
        """The name of an algorithm's bucket."""
        return f"{self.function(algorithm)}-{self.address.account_id}-{self.address.region}"

    def aliases(self, algorithm: str) -> dict[str, str] | None:
        """The function's aliases; None if there is no function."""
        try:
            pages = self.lambda_.get_paginator("list_aliases").paginate(FunctionName=self.function(algorithm))
            return {alias["Name"]: alias["FunctionVersion"] for page in pages for alias in page["Aliases"]}
        except ClientError as error:
            raise_unless_absent(error)
            return None

    def versions(self, algorithm: str) -> dict[str, Any] | None:
        """The function's versions by their name, `$LATEST` too; None if there is no function."""
        try:
            pages = self.lambda_.get_paginator("list_versions_by_function").paginate(
                FunctionName=self.function(algorithm)
            )
            return {version["Version"]: version for page in pages for version in page["Versions"]}
        except ClientError as error:
            raise_unless_absent(error)
            return None

    def mappings(self, algorithm: str) -> list[dict[str, Any]]:
        """The event source mappings of the algorithm's queue."""
        address = self.address
        arn = f"arn:aws:sqs:{address.region}:{address.account_id}:{self.function(algorithm)}-input"
        found: list[dict[str, Any]] = self.lambda_.list_event_source_mappings(EventSourceArn=arn)["EventSourceMappings"]
        return found

    def depth(self, queue: str) -> tuple[int, int] | None:
        """How many messages of a queue wait, and how many are being handled; None if there is no such queue."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        try:
            url = self.sqs.get_queue_url(QueueName=queue)["QueueUrl"]
            found = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        except ClientError as error:
            raise_unless_absent(error)
            return None
        return int(found[names[0]]), int(found[names[1]])

    def stack_status(self, algorithm: str) -> str | None:
        """The status of the algorithm's stack; None if there is none."""
        try:
            found: str = self.cloudformation.describe_stacks(StackName=self.function(algorithm))["Stacks"][0][
                "StackStatus"
            ]
        except ClientError as error:
            raise_unless_absent(error)
            return None
        return found

    def keys(self, algorithm: str, prefix: str) -> list[str]:
        """The keys of the objects below a prefix of the algorithm's bucket."""
        try:
            pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket(algorithm), Prefix=prefix)
            return [entry["Key"] for page in pages for entry in page.get("Contents", ())]
        except ClientError as error:
            raise_unless_absent(error)
            return []

    def running(self) -> Iterator[str]:
        """The names of the executions that run."""
        for flow in ("provision", "backstage"):
            arn = (
                f"arn:aws:states:{self.address.region}:{self.address.account_id}:stateMachine:"
                f"{self.address.prefix}-{flow}"
            )
            pages = self.states.get_paginator("list_executions").paginate(stateMachineArn=arn, statusFilter="RUNNING")
            yield from (execution["name"] for page in pages for execution in page["executions"])

    def sweep(self, patience_s: float) -> None:
        """Let the sweeper look now, as an operator may."""
        with suppress(ClientError, httpx.HTTPError):
            self.lambda_.invoke(
                FunctionName=f"{self.address.prefix}-sweep",
                Payload=f'{{"patienceS": {patience_s}, "everything": true}}'.encode(),
            )


ABSENT = {
    *("ResourceNotFoundException", "AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"),
    *("NoSuchBucket", "NoSuchKey", "404"),
}


def raise_unless_absent(error: ClientError) -> None:
    """Raise an error, unless it says that something does not exist."""
    said = error.response["Error"]
    if said["Code"] in ABSENT or "does not exist" in said.get("Message", ""):
        return
    raise error


def _plain(value: dict[str, Any]) -> Any:
    ((kind, content),) = value.items()
    if kind == "M":
        return {key: _plain(each) for key, each in content.items()}
    if kind == "L":
        return [_plain(each) for each in content]
    if kind == "N":
        return float(content)
    return None if kind == "NULL" else content

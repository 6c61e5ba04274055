"""The platform's settings and its boto3 clients, made once an environment. The only module that reads `os.environ`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from greenroom.platform import names
from greenroom.platform.functions import Functions
from greenroom.releases import Registry

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_stepfunctions import SFNClient


MEASURED = "X-Greenroom-Measured"
"""The header by which an invocation asks for a quiet measurement. The embedded AWS knows it; AWS ignores it."""


@dataclass(frozen=True)
class Settings:
    """The settings that `template.yaml` puts into a function's environment: those that it reads, and no others."""

    prefix: str
    region: str
    account_id: str
    environment: dict[str, str]

    def __getitem__(self, name: str) -> str:
        """Return setting GREENROOM_<name>. Raises KeyError with the full name if the template does not set it."""
        return self.environment[f"GREENROOM_{name}"]


class Services:
    """The clients, each made when it is first used: a function imports and connects to what it needs."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def _client(self, name: str, **config: Any) -> Any:
        options = Config(retries={"mode": "standard", "max_attempts": 5}).merge(Config(**config))
        return boto3.client(name, config=options, region_name=self.settings.region)  # type: ignore[call-overload]

    @cached_property
    def dynamodb(self) -> DynamoDBClient:
        """DynamoDB."""
        client: DynamoDBClient = self._client("dynamodb")
        return client

    @cached_property
    def s3(self) -> S3Client:
        """S3, whose presigned forms and links are right in every region.

        boto3 by itself signs them for S3's global endpoint. That redirects a new bucket's requests for up to a day, and
        answers 400 for a bucket in a region that is newer than March 2019:
        https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html#VirtualHostingBackwardsCompatibility
        An endpoint that the environment names has no such names: there the bucket stays in the path.
        """
        own_endpoint = any(os.environ.get(name) for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"))
        style = "path" if own_endpoint else "virtual"
        client: S3Client = self._client("s3", signature_version="s3v4", s3={"addressing_style": style})
        return client

    @cached_property
    def sqs(self) -> SQSClient:
        """SQS."""
        client: SQSClient = self._client("sqs")
        return client

    @cached_property
    def sns(self) -> SNSClient:
        """SNS."""
        client: SNSClient = self._client("sns")
        return client

    @cached_property
    def states(self) -> SFNClient:
        """Step Functions."""
        client: SFNClient = self._client("stepfunctions")
        return client

    @cached_property
    def cloudformation(self) -> CloudFormationClient:
        """CloudFormation."""
        client: CloudFormationClient = self._client("cloudformation")
        return client

    @cached_property
    def logs(self) -> CloudWatchLogsClient:
        """CloudWatch Logs."""
        client: CloudWatchLogsClient = self._client("logs")
        return client

    @cached_property
    def lambda_(self) -> LambdaClient:
        """Lambda, to configure functions."""
        client: LambdaClient = self._client("lambda")
        return client

    @cached_property
    def functions(self) -> Functions:
        """Lambda's functions, with what waits on them."""
        return Functions(self.lambda_)

    def invoker(self, longest_wait_s: int) -> LambdaClient:
        """Return Lambda, to measure: it waits so many seconds for an answer, and never invokes twice by itself."""
        client: LambdaClient = self._client("lambda", read_timeout=longest_wait_s, retries={"total_max_attempts": 1})
        client.meta.events.register("before-call.lambda.Invoke", _ask_for_quiet)
        return client

    @cached_property
    def registry(self) -> Registry:
        """The registry."""
        return Registry(self.dynamodb, self.settings["REGISTRY"])

    @property
    def packages_bucket(self) -> str:
        """Name of the bucket with uploads, packages and measurements."""
        return self.settings["PACKAGES_BUCKET"]

    def function_name(self, algorithm: str) -> str:
        """Name of an algorithm's function."""
        return names.algorithm_function(self.settings.prefix, algorithm)

    def algorithm_bucket(self, algorithm: str) -> str:
        """Name of an algorithm's bucket."""
        return names.algorithm_bucket(self.settings.prefix, algorithm, self.settings.account_id, self.settings.region)


def _ask_for_quiet(params: dict[str, Any], **_: Any) -> None:
    params["headers"][MEASURED] = "1"


@cache
def services() -> Services:
    """The services of this execution environment."""
    environment = {key: value for key, value in os.environ.items() if key.startswith("GREENROOM_")}
    settings = Settings(
        prefix=environment["GREENROOM_PREFIX"],
        region=os.environ["AWS_REGION"],
        account_id=environment["GREENROOM_ACCOUNT_ID"],
        environment=environment,
    )
    return Services(settings)

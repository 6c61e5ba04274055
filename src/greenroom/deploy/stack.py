"""Creates or updates the platform's stack on any AWS endpoint, and returns its API's address and token."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import ClientError

from greenroom.deploy import artifacts
from greenroom.platform import aws_errors

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import StackEventTypeDef
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_ssm import SSMClient

MAX_PREFIX_CHARS = 13
"""The prefix stands in bucket names of at most 63 characters, with an algorithm, an account and a region."""

Progress = Callable[[str], None]


class DeployError(RuntimeError):
    """The platform could not be deployed; the message says what failed and why."""


@dataclass(frozen=True)
class Deployment:
    """A platform that is up."""

    url: str
    token: str
    prefix: str
    region: str
    account_id: str
    outputs: dict[str, str]


@dataclass(frozen=True)
class PlatformSettings:
    """What is deployed.

    Args:
        prefix: name of the stack, and first part of every name in it.
        architecture: `x86_64` or `arm64`, for the platform's own functions.
        max_concurrency: how many power values are measured at the same time; by default 5 on AWS, and on another
            endpoint, which is taken to be this machine, as many as don't disturb each other.
        tunable: names of the functions that may be tuned besides the algorithms, where `*` stands for any characters;
            by default none on AWS, and all on another endpoint.
        tunable_payloads: the objects (`bucket/key`) that a tuning's `payloadS3` may name, likewise.
    """

    prefix: str = "greenroom"
    architecture: str = "x86_64"
    max_concurrency: int | None = None
    tunable: Sequence[str] | None = None
    tunable_payloads: Sequence[str] | None = None


def deploy_platform(
    session: boto3.Session,
    settings: PlatformSettings | None = None,
    *,
    endpoint_url: str | None = None,
    on_progress: Progress = lambda _: None,
    poll_s: float = 1.0,
) -> Deployment:
    """Deploy the platform and return where it is.

    Args:
        session: the credentials and the region to deploy with.
        settings: what to deploy; by default the platform `greenroom`.
        endpoint_url: another endpoint than AWS, for example the embedded AWS.
        on_progress: called with a short sentence for each step and each resource.
        poll_s: seconds between two looks at the stack.

    Raises:
        DeployError: a resource failed, or a setting is not usable.
    """
    settings = settings or PlatformSettings()
    _check_prefix(settings.prefix)
    region = session.region_name
    if not region:
        raise DeployError("no region is set: set AWS_REGION, or a region in the AWS profile")
    caller = session.client("sts", endpoint_url=endpoint_url).get_caller_identity()
    place = _Place(caller["Arn"].split(":")[1], region, caller["Account"], endpoint_url)
    on_progress("Building the platform's code")
    built = artifacts.build(settings.architecture, for_this_machine=endpoint_url is not None)
    template = artifacts.template()
    on_progress("Uploading the platform's code")
    bucket = f"{settings.prefix}-artifacts-{place.account_id}-{region}"
    _upload(session.client("s3", endpoint_url=endpoint_url), bucket, region, [*built.values(), template])
    token = _ensure_token(session.client("ssm", endpoint_url=endpoint_url), settings.prefix)
    parameters = {
        "ArtifactsBucket": bucket,
        **{name: artifact.key for name, artifact in built.items()},
        **_parameters(settings, place),
        "TokenSha256": hashlib.sha256(token.encode()).hexdigest(),
    }
    stack = _Stack(session.client("cloudformation", endpoint_url=endpoint_url), settings.prefix, on_progress)
    stack.submit(place.object_url(bucket, template.key), parameters)
    outputs = stack.wait(poll_s)
    url = outputs["ApiUrl"]
    if endpoint_url:
        # Emulators answer for execute-api on their own address.
        url = f"{endpoint_url}/_aws/execute-api/{outputs['ApiId']}/$default"
    return Deployment(url, token, settings.prefix, region, place.account_id, outputs)


@dataclass(frozen=True)
class _Place:
    """Where the platform is deployed: an account and a region of AWS, or of what answers at another endpoint."""

    partition: str
    region: str
    account_id: str
    endpoint_url: str | None

    def arn(self, service: str, resource: str) -> str:
        return f"arn:{self.partition}:{service}:{self.region}:{self.account_id}:{resource}"

    def object_url(self, bucket: str, key: str) -> str:
        """Return the URL of an object in S3, as CloudFormation takes it."""
        if self.endpoint_url:
            return f"{self.endpoint_url}/{bucket}/{key}"
        suffix = "amazonaws.com.cn" if self.region.startswith("cn-") else "amazonaws.com"
        return f"https://{bucket}.s3.{self.region}.{suffix}/{key}"


def _check_prefix(prefix: str) -> None:
    if not re.fullmatch(rf"(?=.*[a-z0-9])[a-z0-9-]{{1,{MAX_PREFIX_CHARS}}}", prefix):
        raise DeployError(
            f"prefix {prefix!r} is not usable: take 1 to {MAX_PREFIX_CHARS} lower-case letters, digits and hyphens"
        )


def _parameters(settings: PlatformSettings, place: _Place) -> dict[str, str]:
    """Return the template's parameters that follow from the settings."""
    here = place.endpoint_url is not None
    everything = ("*",) if here else ()
    concurrency = settings.max_concurrency or (max(1, (os.cpu_count() or 1) // 2) if here else 5)
    functions = everything if settings.tunable is None else settings.tunable
    payloads = everything if settings.tunable_payloads is None else settings.tunable_payloads
    return {
        "Runtime": artifacts.runtime(),
        "Architecture": settings.architecture,
        "PlatformVersion": metadata.version("greenroom"),
        "MaxConcurrency": str(concurrency),
        **_tunable(place, functions, payloads),
    }


def _tunable(place: _Place, functions: Sequence[str], payloads: Sequence[str]) -> dict[str, str]:
    """Return the parameters that say what may be tuned. Raises DeployError.

    IAM knows a function with a qualifier, and the streams of a log group, by other ARNs.
    """
    for name in functions:
        if not re.fullmatch(r"[A-Za-z0-9_*-]{1,64}", name):
            raise DeployError(
                f"tunable function {name!r} is not usable: give a function's name, where * stands for any characters"
            )
    for payload in payloads:
        if not re.fullmatch(r"[A-Za-z0-9.*-]{1,63}(/[^,\s]+)?", payload):
            raise DeployError(
                f"tunable payload {payload!r} is not usable: give bucket/key, where * stands for any characters"
            )

    def both(service: str, kind: str) -> str:
        arns = (place.arn(service, f"{kind}{name}") for name in functions)
        return ",".join(each for arn in arns for each in (arn, f"{arn}:*"))

    return {
        "TunableFunctionArns": both("lambda", "function:"),
        "TunableLogArns": both("logs", "log-group:/aws/lambda/"),
        "TunablePayloadArns": ",".join(f"arn:{place.partition}:s3:::{payload}" for payload in payloads),
    }


def _upload(s3: S3Client, bucket: str, region: str, built: Sequence[artifacts.Artifact]) -> None:
    _ensure_bucket(s3, bucket, region)
    for artifact in built:
        s3.put_object(Bucket=bucket, Key=artifact.key, Body=artifact.body)


def _ensure_bucket(s3: S3Client, bucket: str, region: str) -> None:
    try:
        s3.head_bucket(Bucket=bucket)
        return
    except ClientError as error:
        if not aws_errors.is_absent_bucket(error):
            raise DeployError(f"bucket {bucket} can't be used: {error}") from error
    where: Any = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    s3.create_bucket(Bucket=bucket, **where)
    s3.put_public_access_block(
        Bucket=bucket,
        PublicAccessBlockConfiguration={
            "BlockPublicAcls": True,
            "IgnorePublicAcls": True,
            "BlockPublicPolicy": True,
            "RestrictPublicBuckets": True,
        },
    )


def _ensure_token(ssm: SSMClient, prefix: str) -> str:
    """Return the API token, made at the first deployment and kept as a secure parameter; the stack has its hash."""
    name = f"/{prefix}/api-token"
    try:
        return ssm.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"]
    except ssm.exceptions.ParameterNotFound:
        token = secrets.token_urlsafe(32)
        ssm.put_parameter(Name=name, Value=token, Type="SecureString", Description="Greenroom's API token")
        return token


class _Stack:
    """The platform's stack: created or updated, and watched until CloudFormation has finished.

    boto3's waiters don't tell what happens meanwhile; so the stack's events are read here.
    """

    def __init__(self, cloudformation: CloudFormationClient, name: str, on_progress: Progress) -> None:
        self._cloudformation = cloudformation
        self._name = name
        self._on_progress = on_progress
        self._failures: list[str] = []
        self._seen: set[str] = set()

    def submit(self, template_url: str, parameters: Mapping[str, str]) -> None:
        """Have the stack created, or updated if it exists. Raises DeployError."""
        self._on_progress(f"Deploying stack {self._name}")
        self._seen = {event["EventId"] for event in self._events()}
        arguments: dict[str, Any] = {
            "StackName": self._name,
            "TemplateURL": template_url,
            "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
            "Capabilities": ["CAPABILITY_NAMED_IAM"],
        }
        try:
            self._cloudformation.create_stack(**arguments)
        except self._cloudformation.exceptions.AlreadyExistsException:
            self._update(arguments)

    def _update(self, arguments: dict[str, Any]) -> None:
        try:
            self._cloudformation.update_stack(**arguments)
        except ClientError as error:
            if not aws_errors.is_unchanged_stack(error):
                raise DeployError(f"stack {self._name} can't be updated: {error}") from error

    def wait(self, poll_s: float) -> dict[str, str]:
        """Wait until CloudFormation has finished; return the stack's outputs. Raises DeployError."""
        while True:
            stack = self._cloudformation.describe_stacks(StackName=self._name)["Stacks"][0]
            self._report_events()
            if not stack["StackStatus"].endswith("_IN_PROGRESS"):
                break
            time.sleep(poll_s)
        if stack["StackStatus"] not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
            why = "; ".join(self._failures) or "no reason given"
            raise DeployError(f"stack {self._name} ended as {stack['StackStatus']}: {why}")
        return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}

    def _report_events(self) -> None:
        for event in reversed(self._events()):
            if event["EventId"] in self._seen:
                continue
            self._seen.add(event["EventId"])
            status, resource = event.get("ResourceStatus", ""), event.get("LogicalResourceId", "")
            if status.endswith("_FAILED"):
                self._failures.append(f"{resource}: {event.get('ResourceStatusReason', status)}")
            elif status.endswith("_COMPLETE") and resource != self._name:
                self._on_progress(f"{resource} {status.lower().replace('_', ' ')}")

    def _events(self) -> list[StackEventTypeDef]:
        """Return the stack's events, the newest first; none if there is no stack yet."""
        try:
            pages = self._cloudformation.get_paginator("describe_stack_events").paginate(StackName=self._name)
            return [event for page in pages for event in page["StackEvents"]]
        except ClientError as error:
            if not aws_errors.is_absent_stack(error):
                raise
            return []

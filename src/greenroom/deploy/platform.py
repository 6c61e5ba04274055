"""Creates or updates the platform's stack on any AWS endpoint, and tells where its API is and which token opens it."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import ClientError

from greenroom.deploy import artifacts

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_ssm import SSMClient

MAX_PREFIX_CHARS = 13
"""The prefix stands in bucket names of at most 63 characters, beside an algorithm, an account and a region."""

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


def deploy_platform(
    session: boto3.Session,
    *,
    prefix: str = "greenroom",
    endpoint_url: str | None = None,
    architecture: str = "x86_64",
    max_concurrency: int | None = None,
    tunable: Sequence[str] | None = None,
    tunable_payloads: Sequence[str] | None = None,
    on_progress: Progress = lambda _: None,
    poll_s: float = 1.0,
) -> Deployment:
    """Deploy the platform with the stack name `prefix` and return where it is.

    Args:
        session: credentials and region of whoever deploys.
        prefix: name of the stack, and first part of every name in it.
        endpoint_url: another endpoint than AWS, for example the embedded AWS.
        architecture: `x86_64` or `arm64`, for the platform's own functions.
        max_concurrency: how many power values are measured at the same time; by default 5 on AWS, and on another
            endpoint, which is taken to be this machine, as many as don't disturb each other.
        tunable: names of the functions that may be tuned beside the algorithms, where `*` stands for any characters;
            by default none on AWS, and all on another endpoint.
        tunable_payloads: the objects (`bucket/key`) that a tuning's `payloadS3` may name, likewise.
        on_progress: called with a short sentence for each step and each resource.
        poll_s: seconds between two looks at the stack.

    Raises:
        DeployError: a resource failed, or the prefix is not usable.
    """
    if (
        not prefix
        or len(prefix) > MAX_PREFIX_CHARS
        or not prefix.replace("-", "").isalnum()
        or prefix != prefix.lower()
    ):
        raise DeployError(
            f"prefix {prefix!r} is not usable: take 1 to {MAX_PREFIX_CHARS} lower-case letters, digits and hyphens"
        )
    region = session.region_name
    if not region:
        raise DeployError("no region is set: set AWS_REGION, or a region in the AWS profile")
    caller = session.client("sts", endpoint_url=endpoint_url).get_caller_identity()
    account_id = caller["Account"]
    s3: S3Client = session.client("s3", endpoint_url=endpoint_url)
    bucket = f"{prefix}-artifacts-{account_id}-{region}"
    on_progress("Building the platform's code")
    built = {
        "CodeKey": artifacts.build_code(architecture, for_this_machine=endpoint_url is not None),
        "EquipmentKey": artifacts.build_equipment(),
        "ProvisionKey": artifacts.state_machine("provision"),
        "BackstageKey": artifacts.state_machine("backstage"),
        "TuneKey": artifacts.state_machine("tune"),
    }
    on_progress("Uploading the platform's code")
    _ensure_bucket(s3, bucket, region)
    for artifact in built.values():
        s3.put_object(Bucket=bucket, Key=artifact.key, Body=artifact.body)
    token = _ensure_token(session.client("ssm", endpoint_url=endpoint_url), prefix)
    parameters = {
        "ArtifactsBucket": bucket,
        **{name: artifact.key for name, artifact in built.items()},
        "Runtime": artifacts.runtime(),
        "Architecture": architecture,
        "PlatformVersion": metadata.version("greenroom"),
        "TokenSha256": hashlib.sha256(token.encode()).hexdigest(),
        "MaxConcurrency": str(max_concurrency or (max(1, (os.cpu_count() or 1) // 2) if endpoint_url else 5)),
        **_tunable(
            f"arn:{caller['Arn'].split(':')[1]}",
            f"{region}:{account_id}",
            (["*"] if endpoint_url else []) if tunable is None else tunable,
            (["*"] if endpoint_url else []) if tunable_payloads is None else tunable_payloads,
        ),
    }
    template = artifacts.template()
    s3.put_object(Bucket=bucket, Key=template.key, Body=template.body)
    template_url = f"{endpoint_url or f'https://{bucket}.s3.{region}.{_dns_suffix(region)}'}/"
    template_url += f"{bucket}/{template.key}" if endpoint_url else template.key
    cloudformation: CloudFormationClient = session.client("cloudformation", endpoint_url=endpoint_url)
    outputs = _deploy_stack(cloudformation, prefix, template_url, parameters, on_progress, poll_s)
    url = outputs["ApiUrl"]
    if endpoint_url:
        # Emulators answer for execute-api on their own address.
        url = f"{endpoint_url}/_aws/execute-api/{outputs['ApiId']}/$default"
    return Deployment(url, token, prefix, region, account_id, outputs)


def _tunable(arn: str, place: str, functions: Sequence[str], payloads: Sequence[str]) -> dict[str, str]:
    """The parameters that say what may be tuned; IAM knows a function with a
    qualifier, and the streams of a log group, by other ARNs."""
    for name in functions:
        if not re.fullmatch(r"[A-Za-z0-9_*-]{1,64}", name):
            raise DeployError(
                f"tunable function {name!r} is not usable: a name is needed, where * stands for any characters"
            )
    for payload in payloads:
        if not re.fullmatch(r"[A-Za-z0-9.*-]{1,63}(/[^,\s]+)?", payload):
            raise DeployError(
                f"tunable payload {payload!r} is not usable: bucket/key is needed, where * stands for any"
            )

    def both(named: str) -> str:
        return ",".join(each for name in functions for each in (f"{named}{name}", f"{named}{name}:*"))

    return {
        "TunableFunctionArns": both(f"{arn}:lambda:{place}:function:"),
        "TunableLogArns": both(f"{arn}:logs:{place}:log-group:/aws/lambda/"),
        "TunablePayloadArns": ",".join(f"{arn}:s3:::{payload}" for payload in payloads),
    }


def _dns_suffix(region: str) -> str:
    return "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"


def _ensure_bucket(s3: S3Client, bucket: str, region: str) -> None:
    try:
        s3.head_bucket(Bucket=bucket)
        return
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("404", "NoSuchBucket"):
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
    """The API token, made at the first deployment and kept as a secret parameter; the stack knows its hash only."""
    name = f"/{prefix}/api-token"
    try:
        return ssm.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"]
    except ssm.exceptions.ParameterNotFound:
        token = secrets.token_urlsafe(32)
        ssm.put_parameter(Name=name, Value=token, Type="SecureString", Description="Greenroom's API token")
        return token


def _deploy_stack(
    cloudformation: CloudFormationClient,
    name: str,
    template_url: str,
    parameters: dict[str, str],
    on_progress: Progress,
    poll_s: float,
) -> dict[str, str]:
    arguments: dict[str, Any] = {
        "StackName": name,
        "TemplateURL": template_url,
        "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        "Capabilities": ["CAPABILITY_NAMED_IAM"],
    }
    on_progress(f"Deploying stack {name}")
    seen = {event["EventId"] for event in _events(cloudformation, name)}
    try:
        cloudformation.create_stack(**arguments)
    except cloudformation.exceptions.AlreadyExistsException:
        try:
            cloudformation.update_stack(**arguments)
        except ClientError as error:
            if "No updates are to be performed" not in str(error):
                raise DeployError(f"stack {name} can't be updated: {error}") from error
    failures = []
    while True:
        stack = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
        for event in reversed(_events(cloudformation, name)):
            if event["EventId"] in seen:
                continue
            seen.add(event["EventId"])
            status, logical = event.get("ResourceStatus", ""), event.get("LogicalResourceId", "")
            if status.endswith("_FAILED"):
                failures.append(f"{logical}: {event.get('ResourceStatusReason', status)}")
            elif status.endswith("_COMPLETE") and logical != name:
                on_progress(f"{logical} {status.lower().replace('_', ' ')}")
        if not stack["StackStatus"].endswith("_IN_PROGRESS"):
            break
        time.sleep(poll_s)
    if stack["StackStatus"] not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
        raise DeployError(
            f"stack {name} ended as {stack['StackStatus']}: " + "; ".join(failures or ["no reason given"])
        )
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}


def _events(cloudformation: CloudFormationClient, name: str) -> list[Any]:
    try:
        pages = cloudformation.get_paginator("describe_stack_events").paginate(StackName=name)
        return [event for page in pages for event in page["StackEvents"]]
    except ClientError:
        return []

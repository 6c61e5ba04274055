"""The platform's stack on a real CloudFormation: created, updated, left alone, and how a failure is reported."""

from __future__ import annotations

import json
from collections.abc import Iterator

import boto3
import pytest

from greenroom.deploy.stack import DeployError, _Stack
from greenroom.embedded import EmbeddedAws

BUCKET = "templates"


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedAws]:
    with EmbeddedAws.start(tmp_path_factory.mktemp("aws"), port=0) as running:
        yield running


@pytest.fixture(scope="module")
def session(aws: EmbeddedAws) -> boto3.Session:
    session = boto3.Session(aws.access_key_id, aws.secret_access_key, region_name=aws.region)
    session.client("s3", endpoint_url=aws.endpoint_url).create_bucket(Bucket=BUCKET)
    return session


def deploy(
    session: boto3.Session, aws: EmbeddedAws, name: str, **resources: object
) -> tuple[dict[str, str], list[str]]:
    """Deploy a stack of these resources; return its outputs and the steps that were reported."""
    template = {"Resources": resources, "Outputs": {"Names": {"Value": ",".join(resources)}}}
    session.client("s3", endpoint_url=aws.endpoint_url).put_object(Bucket=BUCKET, Key=name, Body=json.dumps(template))
    steps: list[str] = []
    stack = _Stack(session.client("cloudformation", endpoint_url=aws.endpoint_url), name, steps.append)
    stack.submit(f"{aws.endpoint_url}/{BUCKET}/{name}", {})
    return stack.wait(0.05), steps


def queue(name: str) -> dict[str, object]:
    return {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": name}}


def test_a_stack_is_created_updated_and_left_alone_and_each_resource_is_reported_once(
    aws: EmbeddedAws, session: boto3.Session
) -> None:
    created, steps = deploy(session, aws, "grows", First=queue("first"))
    assert created == {"Names": "First"}
    assert steps == ["Deploying stack grows", "First create complete"]

    updated, steps = deploy(session, aws, "grows", First=queue("first"), Second=queue("second"))
    assert updated == {"Names": "First,Second"}
    assert [step for step in steps if step.startswith("Second")] and "First create complete" not in steps

    again, steps = deploy(session, aws, "grows", First=queue("first"), Second=queue("second"))
    assert again == updated


def test_a_resource_that_fails_is_named_with_its_reason(aws: EmbeddedAws, session: boto3.Session) -> None:
    alias = {"FunctionName": "no-such-function", "FunctionVersion": "1", "Name": "prod"}
    with pytest.raises(DeployError, match=r"stack fails ended as ROLLBACK_COMPLETE: Broken: .*no-such-function"):
        deploy(session, aws, "fails", Works=queue("works"), Broken={"Type": "AWS::Lambda::Alias", "Properties": alias})

"""The facade over Lambda's functions, on the embedded AWS."""

from __future__ import annotations

import io
import json
import sys
import zipfile
from collections.abc import Iterator
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.exceptions import ClientError

from greenroom.embedded import EmbeddedAws
from greenroom.platform import aws_errors, functions
from greenroom.platform.functions import Alias, Functions

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

RUNTIME = f"python{sys.version_info.major}.{sys.version_info.minor}"
CODE = """
def handler(event, context):
    return event
"""


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[boto3.Session, str]]:
    """A session of the operator and the endpoint of an embedded AWS."""
    with EmbeddedAws.start(tmp_path_factory.mktemp("aws"), port=0) as aws:
        yield boto3.Session(aws.access_key_id, aws.secret_access_key, region_name=aws.region), aws.endpoint_url


@pytest.fixture(scope="module")
def client(session: tuple[boto3.Session, str]) -> LambdaClient:
    """Lambda, with a role for functions."""
    made: LambdaClient = session[0].client("lambda", endpoint_url=session[1])
    return made


@pytest.fixture(scope="module")
def role(session: tuple[boto3.Session, str]) -> str:
    """A role that functions may have."""
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    iam = session[0].client("iam", endpoint_url=session[1])
    return iam.create_role(RoleName="functions", AssumeRolePolicyDocument=document)["Role"]["Arn"]


def make(client: LambdaClient, role: str, name: str) -> str:
    """Make a function and return its name."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("app.py", CODE)
    client.create_function(
        FunctionName=name,
        Runtime=RUNTIME,  # type: ignore[arg-type]
        Role=role,
        Handler="app.handler",
        Code={"ZipFile": buffer.getvalue()},
        MemorySize=192,
        Description="sells things",
    )
    return name


def test_what_has_the_configuration_already_is_left_alone(client: LambdaClient, role: str) -> None:
    name, facade = make(client, role, "same"), Functions(client)
    now = facade.updated(name)
    assert facade.configure(name, now, memory_mb=192, description="sells things") is now
    assert facade.updated(name).revision_id == now.revision_id


def test_a_version_is_published_of_what_was_configured_and_is_active(client: LambdaClient, role: str) -> None:
    name, facade = make(client, role, "published"), Functions(client)
    configured = facade.configure(name, facade.updated(name), memory_mb=512, description="at 512 MB")
    assert (configured.memory_mb, configured.description) == (512, "at 512 MB")
    version = facade.publish(name, configured, "made")
    assert [(each.version, each.description) for each in facade.versions(name)] == [(version, "made")]
    found = client.get_function_configuration(FunctionName=name, Qualifier=version)
    assert (found["State"], found["MemorySize"]) == ("Active", 512)


def test_aliases_are_made_moved_listed_and_removed(client: LambdaClient, role: str) -> None:
    name, facade = make(client, role, "aliases"), Functions(client)
    first = facade.publish(name, facade.updated(name), "first")
    second = facade.publish(name, facade.configure(name, facade.updated(name), memory_mb=256), "second")
    facade.point(name, "prod", first)
    assert facade.version_of(name, "prod") == first
    facade.point(name, "prod", second)
    assert facade.version_of(name, "prod") == second
    client.update_alias(
        FunctionName=name, Name="prod", RoutingConfig={"AdditionalVersionWeights": {first: 0.1}}, FunctionVersion=second
    )
    assert list(facade.aliases(name)) == [Alias("prod", second, frozenset({first, second}))]
    facade.remove_alias(name, "prod")
    facade.remove_alias(name, "prod")
    facade.remove_version(name, first)
    assert [each.version for each in facade.versions(name)] == [second]
    assert list(facade.aliases(name)) == []
    with pytest.raises(ValueError, match="not a published version"):
        facade.remove_version(name, functions.LATEST)


def test_a_function_that_does_not_exist_is_told_from_one_that_is_not_ready(client: LambdaClient) -> None:
    with pytest.raises(ClientError) as raised:
        Functions(client).updated("nowhere")
    assert aws_errors.is_absent(raised.value)
    assert not aws_errors.is_denied(raised.value)

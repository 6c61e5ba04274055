"""One embedded AWS with a function `f` (versions 1 and 2, alias `live`), a function `g`, and a layer `l`."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from greenroom.embedded import EmbeddedAws


def zipped(source: str, name: str = "index.py") -> bytes:
    """A ZIP with one file."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(zipfile.ZipInfo(name), source)
    return content.getvalue()


@dataclass(frozen=True)
class World:
    """The place where the recorded calls are made."""

    aws: EmbeddedAws
    role: str
    zip: bytes

    def client(self, service: str) -> Any:
        """A client that leaves all checking to the server."""
        service_name: Any = service
        return boto3.client(
            service_name,
            endpoint_url=self.aws.endpoint_url,
            region_name=self.aws.region,
            aws_access_key_id=self.aws.access_key_id,
            aws_secret_access_key=self.aws.secret_access_key,
            config=Config(parameter_validation=False, retries={"total_max_attempts": 1}),
        )

    def make(self, name: str, source: str = "def handler(event, context): return event", **other: Any) -> Any:
        """Make a function and wait until it is active; the answer to its making."""
        client = self.client("lambda")
        given = {"Runtime": "python3.12", "Handler": "index.handler", "Role": self.role}
        made = client.create_function(FunctionName=name, Code={"ZipFile": zipped(source)}, **{**given, **other})
        client.get_waiter("function_active_v2").wait(FunctionName=name)
        return made

    def update(self, name: str, **other: Any) -> Any:
        """Change a function's configuration and wait until that is done; the answer to the change."""
        client = self.client("lambda")
        changed = client.update_function_configuration(FunctionName=name, **other)
        client.get_waiter("function_updated_v2").wait(FunctionName=name)
        return changed


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with EmbeddedAws.start(Path(tmp_path_factory.mktemp("aws")), port=0) as aws:
        found = World(aws, "", zipped("def handler(event, context): return event"))
        trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
        iam = found.client("iam")
        role = iam.create_role(RoleName="lambda", AssumeRolePolicyDocument=document)["Role"]["Arn"]
        may = {"Effect": "Allow", "Action": "*", "Resource": "*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [may]})
        iam.put_role_policy(RoleName="lambda", PolicyName="all", PolicyDocument=policy)
        found = World(aws, role, found.zip)
        client = found.client("lambda")
        found.make("f")
        client.publish_version(FunctionName="f")
        found.update("f", Description="second")
        client.publish_version(FunctionName="f")
        client.create_alias(FunctionName="f", Name="live", FunctionVersion="1")
        permission = {"StatementId": "s3", "Action": "lambda:InvokeFunction", "Principal": "s3.amazonaws.com"}
        client.add_permission(FunctionName="f", **permission)
        found.make("g")
        for _ in range(2):
            client.publish_layer_version(LayerName="l", Content={"ZipFile": found.zip})
        found.client("s3").create_bucket(Bucket="code")
        yield found

"""An algorithm's own stack, in the role of the platform's template: it is refused here where AWS would refuse it."""

from __future__ import annotations

import io
import json
import sys
import time
import zipfile
from collections.abc import Iterator
from importlib import resources
from typing import Any

import boto3
import pytest

from greenroom.embedded import EmbeddedAws
from tests.unit.platform import rendered

ROLE = "greenroom-algorithm-stacks"
NAME = "greenroom-alg-scan"
PACKAGES = "greenroom-packages"

Statement = dict[str, Any]


class Account:
    """The embedded AWS with what an algorithm's stack needs: a package, the equipment, and CloudFormation's role."""

    def __init__(self, aws: EmbeddedAws) -> None:
        self.session = boto3.Session(aws.access_key_id, aws.secret_access_key, region_name=aws.region)
        self.aws = aws
        code = io.BytesIO()
        with zipfile.ZipFile(code, "w") as archive:
            archive.writestr("app.py", "def handler(event, context): ...")
        bucket = f"{PACKAGES}-{aws.account_id}-{aws.region}"
        self.client("s3").create_bucket(Bucket=bucket)
        self.client("s3").put_object(Bucket=bucket, Key="packages/1.zip", Body=code.getvalue())
        layer = self.client("lambda").publish_layer_version(
            LayerName="greenroom-aws-equipment", Content={"ZipFile": code.getvalue()}
        )
        self.layer: str = layer["LayerVersionArn"]
        trust = {
            "Effect": "Allow",
            "Principal": {"Service": "cloudformation.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
        document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
        role = self.client("iam").create_role(RoleName=ROLE, AssumeRolePolicyDocument=document)["Role"]
        self.role: str = role["Arn"]

    def client(self, service: str) -> Any:
        """A client of the operator."""
        return self.session.client(service, endpoint_url=self.aws.endpoint_url)  # type: ignore[call-overload]

    def template_statements(self) -> list[Statement]:
        """The statements of the role in the platform's template, with this account's names."""
        found = [each for each in rendered.statements("template.yaml") if each.role == "AlgorithmStackRole"]
        text = json.dumps(
            [
                {"Sid": each.sid, "Effect": "Allow", "Action": each.actions, "Resource": each.resources}
                | ({"Condition": each.condition} if each.condition else {})
                for each in found
                if each.sid != "Layer"
            ]
        )
        text = text.replace(rendered.REGION, self.aws.region).replace(rendered.ACCOUNT, self.aws.account_id)
        layer = {"Sid": "Layer", "Effect": "Allow", "Action": ["lambda:GetLayerVersion"], "Resource": [self.layer]}
        return [*json.loads(text), layer]

    def allow(self, statements: list[Statement]) -> None:
        """Give CloudFormation's role these rights and no others."""
        policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
        self.client("iam").put_role_policy(RoleName=ROLE, PolicyName="stacks", PolicyDocument=policy)

    def stack(self, operation: str, *, live: bool = False, release: str = "1") -> str:
        """Create, update or delete the algorithm's stack and return what CloudFormation says in the end."""
        cloudformation = self.client("cloudformation")
        if operation == "delete":
            cloudformation.delete_stack(StackName=NAME, RoleARN=self.role)
        else:
            values = {
                "Prefix": "greenroom",
                "Algorithm": "scan",
                "Type": "in",
                "Release": release,
                "CodeBucket": f"{PACKAGES}-{self.aws.account_id}-{self.aws.region}",
                "CodeKey": "packages/1.zip",
                "Handler": "app.handler",
                "Entry": "",
                "Runtime": f"python{sys.version_info.major}.{sys.version_info.minor}",
                "Architecture": "x86_64",
                "TimeoutSeconds": "5",
                "VisibilityTimeoutSeconds": "30",
                "LayerArn": self.layer,
                "Next": "[]",
                "NextQueueArns": "",
                "NextInboxArns": "",
                "Live": str(live).lower(),
                "LogRetentionDays": "30",
            }
            getattr(cloudformation, f"{operation}_stack")(
                StackName=NAME,
                TemplateBody=resources.files("greenroom.platform").joinpath("algorithm.yaml").read_text(),
                Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in values.items()],
                Capabilities=["CAPABILITY_NAMED_IAM"],
                Tags=[{"Key": "greenroom:algorithm", "Value": "scan"}],
                RoleARN=self.role,
            )
        return self._end()

    def _end(self) -> str:
        cloudformation = self.client("cloudformation")
        until = time.monotonic() + 60
        while time.monotonic() < until:
            found = [each for each in cloudformation.list_stacks()["StackSummaries"] if each["StackName"] == NAME]
            status = found[0]["StackStatus"]
            if not status.endswith("PROGRESS"):
                break
            time.sleep(0.1)
        if status == "DELETE_COMPLETE":
            return str(status)
        events = cloudformation.describe_stack_events(StackName=NAME)["StackEvents"]
        return " ".join([status, *(each.get("ResourceStatusReason", "") for each in events)])


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    with EmbeddedAws.start(tmp_path_factory.mktemp("aws"), port=0) as running:
        yield Account(running)


def without(statements: list[Statement], action: str) -> list[Statement]:
    left = [each | {"Action": [name for name in each["Action"] if name != action]} for each in statements]
    return [each for each in left if each["Action"]]


@pytest.mark.parametrize(
    "action",
    [
        "iam:ListRolePolicies",
        "lambda:GetFunctionCodeSigningConfig",
        "logs:DescribeLogGroups",
        "s3:TagResource",
        "sqs:ListQueueTags",
    ],
)
def test_a_stack_fails_by_the_name_of_the_one_action_that_its_role_lacks(account: Account, action: str) -> None:
    account.allow(without(account.template_statements(), action))
    assert f"not authorized to perform: {action} on" in account.stack("create")
    account.allow(account.template_statements())
    assert account.stack("delete") == "DELETE_COMPLETE"


def test_an_action_that_takes_no_resource_is_not_granted_on_an_arn(account: Account) -> None:
    groups = f"arn:aws:logs:{account.aws.region}:{account.aws.account_id}:log-group:/aws/lambda/greenroom-alg-*"
    scoped = {"Sid": "Scoped", "Effect": "Allow", "Action": ["logs:DescribeLogGroups"], "Resource": [groups]}
    account.allow([*without(account.template_statements(), "logs:DescribeLogGroups"), scoped])
    assert "not authorized to perform: logs:DescribeLogGroups on resource: *" in account.stack("create")
    account.allow(account.template_statements())
    assert account.stack("delete") == "DELETE_COMPLETE"


def test_a_stack_comes_and_gets_its_mapping_and_goes_in_the_role_of_the_template(account: Account) -> None:
    account.allow(account.template_statements())
    assert account.stack("create").startswith("CREATE_COMPLETE")
    lambda_ = account.client("lambda")
    version = lambda_.publish_version(FunctionName=NAME)["Version"]
    lambda_.create_alias(FunctionName=NAME, Name="prod", FunctionVersion=version)

    mappings = f"arn:aws:lambda:{account.aws.region}:{account.aws.account_id}:event-source-mapping:*"
    create = "lambda:CreateEventSourceMapping"
    scoped = {"Sid": "Scoped", "Effect": "Allow", "Action": [create], "Resource": [mappings]}
    account.allow([*without(account.template_statements(), create), scoped])
    assert f"not authorized to perform: {create} on resource: *" in account.stack("update", live=True)

    tag = "lambda:TagResource"
    account.allow(
        [
            each | {"Action": [name for name in each["Action"] if name != tag or mappings not in each["Resource"]]}
            for each in account.template_statements()
        ]
    )
    assert f"not authorized to perform: {tag} on resource: {mappings[:-1]}" in account.stack("update", live=True)

    account.allow(account.template_statements())
    assert account.stack("update", live=True).startswith("UPDATE_COMPLETE")

    for operation in ("update", "delete"):
        action = f"lambda:{operation.capitalize()}EventSourceMapping"
        account.allow(without(account.template_statements(), action))
        ended = account.stack(operation, live=True, release="2")
        assert f"not authorized to perform: {action} on resource: {mappings[:-1]}" in ended
    account.allow(account.template_statements())
    assert account.stack("delete") == "DELETE_COMPLETE"

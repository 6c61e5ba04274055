"""The policies of the templates' roles as AWS would see them: every function of CloudFormation in them evaluated."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from cfnlint.decode import cfn_yaml

ROOM = Path(str(resources.files("greenroom.platform")))
REGION, ACCOUNT = "eu-central-1", "111111111111"

_KNOWN: dict[str, Any] = {
    "AWS::Partition": "aws",
    "AWS::Region": REGION,
    "AWS::AccountId": ACCOUNT,
    "AWS::StackName": "greenroom",
    "TunableFunctionArns": [f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:shop"],
    "TunableLogArns": [f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/aws/lambda/shop:*"],
    "TunablePayloadArns": ["arn:aws:s3:::payloads/shop.json"],
    "Prefix": "greenroom",
    "Algorithm": "scan",
    "NextQueueArns": [f"arn:aws:sqs:{REGION}:{ACCOUNT}:greenroom-alg-next-input"],
    "NextInboxArns": [f"arn:aws:s3:::greenroom-alg-next-{ACCOUNT}-{REGION}/inbox/*"],
}

_IN_ACCOUNT = f"{REGION}:{ACCOUNT}"
_NAMED_BY = {
    "AWS::DynamoDB::Table": ("TableName", f"arn:aws:dynamodb:{_IN_ACCOUNT}:table/"),
    "AWS::IAM::Role": ("RoleName", f"arn:aws:iam::{ACCOUNT}:role/"),
    "AWS::Lambda::Function": ("FunctionName", f"arn:aws:lambda:{_IN_ACCOUNT}:function:"),
    "AWS::Lambda::LayerVersion": ("LayerName", f"arn:aws:lambda:{_IN_ACCOUNT}:layer:"),
    "AWS::Logs::LogGroup": ("LogGroupName", f"arn:aws:logs:{_IN_ACCOUNT}:log-group:"),
    "AWS::S3::Bucket": ("BucketName", "arn:aws:s3:::"),
    "AWS::SNS::Topic": ("TopicName", f"arn:aws:sns:{_IN_ACCOUNT}:"),
    "AWS::SQS::Queue": ("QueueName", f"arn:aws:sqs:{_IN_ACCOUNT}:"),
    "AWS::StepFunctions::StateMachine": ("StateMachineName", f"arn:aws:states:{_IN_ACCOUNT}:stateMachine:"),
}
"""The property that names a resource, and its ARN up to there."""

_AFTER = {"AWS::Lambda::LayerVersion": ":7", "AWS::Logs::LogGroup": ":*"}
_REF_IS_NAME = {"AWS::S3::Bucket", "AWS::DynamoDB::Table", "AWS::Lambda::Function"}


@dataclass(frozen=True)
class Statement:
    """A statement of a role's policy."""

    role: str
    sid: str
    actions: list[str]
    resources: list[str]
    condition: dict[str, Any]


class Template:
    """A template whose values can be evaluated."""

    def __init__(self, name: str) -> None:
        self.document: dict[str, Any] = json.loads(json.dumps(cfn_yaml.load(str(ROOM / name))))

    def of_kind(self, kind: str) -> dict[str, dict[str, Any]]:
        """Return the properties of the resources of a type, not evaluated, by logical id."""
        found: dict[str, Any] = self.document["Resources"]
        return {key: each["Properties"] for key, each in found.items() if each["Type"] == kind}

    def arn(self, logical_id: str) -> str:
        """Return a resource's ARN."""
        resource = self.document["Resources"][logical_id]
        name, before = _NAMED_BY[resource["Type"]]
        return before + str(self.evaluate(resource["Properties"][name])) + _AFTER.get(resource["Type"], "")

    def evaluate(self, value: Any) -> Any:
        """Return a value with CloudFormation's functions evaluated. Every condition is true."""
        if isinstance(value, list):
            return [self.evaluate(each) for each in value]
        if not isinstance(value, dict):
            return value
        if "Ref" in value:
            return self._ref(value["Ref"])
        if "Fn::If" in value:
            return self.evaluate(value["Fn::If"][1])
        if "Fn::GetAtt" in value:
            return self._attribute(*value["Fn::GetAtt"])
        if "Fn::Sub" in value:
            return re.sub(r"\$\{([^}]+)\}", lambda found: self._in_text(found[1]), value["Fn::Sub"])
        return {key: self.evaluate(each) for key, each in value.items()}

    def _in_text(self, name: str) -> str:
        return str(self._attribute(*name.split(".")) if "." in name else self._ref(name))

    def _ref(self, name: str) -> Any:
        if name in _KNOWN:
            return _KNOWN[name]
        resource = self.document["Resources"][name]
        if resource["Type"] in _REF_IS_NAME:
            return self.evaluate(resource["Properties"][_NAMED_BY[resource["Type"]][0]])
        return self.arn(name)

    def _attribute(self, logical_id: str, attribute: str) -> str:
        after = {"Arn": "", "StreamArn": "/stream/2026-11-26T00:00:00.000"}[attribute]
        return self.arn(logical_id) + after


@cache
def template(name: str) -> Template:
    """Return a template of the platform."""
    return Template(name)


def statements(name: str) -> list[Statement]:
    """Return every statement of every role of a template."""
    found = template(name)
    return [
        Statement(role, each["Sid"], _list(each["Action"]), _list(each["Resource"]), each.get("Condition", {}))
        for role, properties in found.of_kind("AWS::IAM::Role").items()
        for policy in properties["Policies"]
        for each in found.evaluate(policy["PolicyDocument"])["Statement"]
    ]


def _list(value: Any) -> list[str]:
    return list(value) if isinstance(value, list) else [value]

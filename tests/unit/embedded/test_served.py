"""What each served operation needs of its caller, held against AWS's Service Authorization Reference."""

from __future__ import annotations

import contextlib

import pytest

from greenroom.embedded.front import s3, served
from greenroom.embedded.front.protocols import Call, model
from greenroom.embedded.front.request import Refused
from tests.unit.service_authorization import resources_taken

OPERATIONS = [(service, name) for service, rules in served.SERVED.items() for name in rules]

PARAMETERS = {
    "FunctionName": "other",
    "QueueUrl": "http://127.0.0.1:1/000000000000/other",
    "TableName": "other",
    "RequestItems": {"other": {}},
    "TransactItems": [{"Put": {"TableName": "other"}}, {"Get": {"TableName": "other"}}],
    "Entries": [{"EventBusName": "other"}],
    "Names": ["other"],
    "StackName": "other",
    "Name": "other",
    "Path": "/other",
    "LayerName": "other",
    "VersionNumber": 1,
    "UUID": "other",
    "logGroupName": "other",
    "logStreamName": "other",
    "name": "other",
    "Rule": "other",
    "PolicyName": "other",
    "TopicArn": "arn:aws:sns:us-east-1:000000000000:other",
    "SubscriptionArn": "arn:aws:sns:us-east-1:000000000000:other:11111111-2222-3333-4444-555555555555",
    "PolicyArn": "arn:aws:iam::000000000000:policy/other",
    "RoleArn": "arn:aws:iam::000000000000:role/other",
    "stateMachineArn": "arn:aws:states:us-east-1:000000000000:stateMachine:other",
    "executionArn": "arn:aws:states:us-east-1:000000000000:execution:other:other",
    "StreamArn": "arn:aws:dynamodb:us-east-1:000000000000:table/other/stream/2026",
    "RoleName": "other",
    "UserName": "other",
}
"""A call's parameters that name something, whatever the operation."""


def call(service: str, operation: str) -> Call:
    shape = model(service).operation_model(operation).input_shape
    known = set(shape.members) if shape is not None else set()
    named = {name: value for name, value in PARAMETERS.items() if name in known}
    return Call(service, operation, named, path="/v2/apis/other")


def named() -> list[tuple[str, str]]:
    """The operations that these parameters name something for. IAM looks its resources up in the emulator."""
    found = []
    for service, operation in OPERATIONS:
        with contextlib.suppress(Refused):
            if service != "iam" and served.needs(call(service, operation)):
                found.append((service, operation))
    return found


@pytest.mark.parametrize(("service", "operation"), OPERATIONS, ids=lambda each: str(each))
def test_it_is_an_operation_that_botocore_knows(service: str, operation: str) -> None:
    assert operation in model(service).operation_names


def test_most_operations_are_judged() -> None:
    assert len(named()) > 170


@pytest.mark.parametrize(("service", "operation"), named(), ids=lambda each: str(each))
def test_each_action_is_evaluated_on_what_it_takes_or_on_all(service: str, operation: str) -> None:
    found = served.needs(call(service, operation))
    for need in found:
        if need.action == "iam:PassRole" or need.action.startswith("apigateway:"):
            continue
        taken = resources_taken(need.action)
        assert taken is not None, f"IAM does not know {need.action}"
        if need.resource == served.ALL:
            assert not taken or (service, operation) in MAY_NAME_NOTHING, (need.action, taken)
        else:
            assert taken, f"{need.action} takes no resource: it is evaluated on *"


MAY_NAME_NOTHING = {
    ("cloudformation", "GetTemplateSummary"),
}
"""These are evaluated on what they name, or on all where they name nothing."""


@pytest.mark.parametrize("operation", sorted(s3.NEEDS))
def test_the_actions_of_s3_are_known_to_iam(operation: str) -> None:
    assert operation in model("s3").operation_names
    actions = {s3.NEEDS[operation]}
    actions |= {s3.OF_A_VERSION[each] for each in actions if each in s3.OF_A_VERSION}
    for action in (*actions, *s3.BY_PARAMETER.values()):
        assert resources_taken(f"s3:{action}") is not None, action

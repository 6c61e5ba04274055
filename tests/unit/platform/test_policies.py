"""The roles' policies, judged by AWS's own facts: what each action takes, and what CloudFormation's handlers ask for.

None of this has run on AWS. A policy that AWS would refuse or never match fails here all the same.
"""

from __future__ import annotations

import json
from fnmatch import fnmatchcase

import cfnlint.api
import pytest

from greenroom.embedded import stack_permissions
from greenroom.lambda_api.invoke.sources.mappings import ROLE_ACTIONS
from tests.unit.platform.rendered import Statement, statements, template
from tests.unit.service_authorization import accepts, resources_taken

TEMPLATES = ("template.yaml", "algorithm.yaml")

MAX_INLINE_POLICIES = 10_240
"""Characters of all inline policies of a role, without white space.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html"""

IN_IAM = {
    "AWS::IAM::Role": "role",
    "AWS::Lambda::Function": "function",
    "AWS::Logs::LogGroup": "log-group",
    "AWS::S3::Bucket": "bucket",
    "AWS::SQS::Queue": "queue",
}
"""What IAM calls the resources of an algorithm's stack that have a name."""

CLOUDFORMATION = "AlgorithmStackRole"


def allows(found: list[Statement], action: str, resource: str) -> bool:
    return any(
        action in each.actions and any(fnmatchcase(resource, pattern) for pattern in each.resources) for each in found
    )


def of_role(role: str) -> list[Statement]:
    return [each for each in statements("template.yaml") if each.role == role]


def asked_of_the_stacks_role() -> dict[str, set[str]]:
    """Return the actions that CloudFormation asks for, by logical id of the resources of an algorithm's stack."""
    return {
        logical_id: {
            action
            for operation in stack_permissions.HANDLERS
            for action in stack_permissions.needed(resource["Type"], operation, resource["Properties"])
        }
        for logical_id, resource in template("algorithm.yaml").document["Resources"].items()
    }


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_action_takes_the_resources_that_it_is_granted_on(name: str) -> None:
    void = [
        f"{each.role} {each.sid}: {action} takes {resources_taken(action) or 'no resource'}, granted on {resource}"
        for each in statements(name)
        for action in each.actions
        for resource in each.resources
        if not accepts(action, resource)
    ]
    assert void == []


def test_the_linter_of_policies_finds_nothing() -> None:
    """cfn-lint looks into policies that are a resource of their own, not into those that a role has inline."""
    documents = {
        f"{each.role}{each.sid}": {
            "Version": "2012-10-17",
            "Statement": {
                "Effect": "Allow",
                "Action": each.actions,
                "Resource": each.resources,
                "Condition": each.condition,
            },
        }
        for name in TEMPLATES
        for each in statements(name)
    }
    policies = {
        key: {"Type": "AWS::IAM::ManagedPolicy", "Properties": {"PolicyDocument": document}}
        for key, document in documents.items()
    }
    found = cfnlint.api.lint_all(json.dumps({"Resources": policies}))
    assert [
        str(each) for each in found if each.rule.id != "I4010"
    ] == []  # an architecture in words, of a whole template


def test_one_role_is_cloudformations() -> None:
    trusting = {
        role
        for name in TEMPLATES
        for role, properties in template(name).of_kind("AWS::IAM::Role").items()
        if "cloudformation.amazonaws.com" in json.dumps(properties["AssumeRolePolicyDocument"])
    }
    assert trusting == {CLOUDFORMATION}


def test_there_are_facts_for_every_type_of_an_algorithms_stack() -> None:
    kinds = {resource["Type"] for resource in template("algorithm.yaml").document["Resources"].values()}
    assert kinds == set(stack_permissions.facts().handlers)


def test_the_stacks_role_may_do_what_cloudformations_handlers_ask_for_and_nothing_else() -> None:
    asked = set().union(*asked_of_the_stacks_role().values())
    granted = {action for each in of_role(CLOUDFORMATION) for action in each.actions}
    assert (sorted(asked - granted), sorted(granted - asked)) == ([], [])


def test_the_stacks_role_may_do_it_on_the_resources_of_a_stack() -> None:
    algorithm = template("algorithm.yaml")
    mapping = "arn:aws:lambda:eu-central-1:111111111111:event-source-mapping:8f1a2b3c"
    equipment = template("template.yaml").arn("EquipmentLayer")
    package = template("template.yaml").arn("PackagesBucket") + "/packages/1.zip"
    refused = []
    for logical_id, actions in asked_of_the_stacks_role().items():
        kind = algorithm.document["Resources"][logical_id]["Type"]
        named = {"eventSourceMapping": [mapping]}
        if kind in IN_IAM:
            named = {IN_IAM[kind]: [algorithm.arn(logical_id)]}
        if kind == "AWS::Lambda::Function":
            named |= {"layerVersion": [equipment], "object": [package], "role": [algorithm.arn("Role")]}
        for action in sorted(actions):
            resources = stack_permissions.evaluated_on(action, named)
            assert resources, f"nothing says what {action} is evaluated on"
            refused += [(action, each) for each in resources if not allows(of_role(CLOUDFORMATION), action, each)]
    assert refused == []


def test_a_mapping_may_be_made_for_an_algorithms_function_only() -> None:
    """The action takes no resource: the condition is all that narrows it."""
    (create,) = (each for each in of_role(CLOUDFORMATION) if "lambda:CreateEventSourceMapping" in each.actions)
    function = "arn:aws:lambda:eu-central-1:111111111111:function:greenroom-alg-*"
    assert (create.resources, create.condition) == (["*"], {"ArnLike": {"lambda:FunctionArn": function}})


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_function_may_do_what_reading_its_event_source_takes(name: str) -> None:
    found = template(name)
    for properties in found.of_kind("AWS::Lambda::EventSourceMapping").values():
        source = found.evaluate(properties["EventSourceArn"])
        function = json.dumps(properties["FunctionName"])
        roles = [
            each["Role"]["Fn::GetAtt"][0]
            for key, each in found.of_kind("AWS::Lambda::Function").items()
            if f'"{key}"' in function or f"{{{key}." in function
        ]
        assert len(roles) == 1
        own = [each for each in statements(name) if each.role == roles[0]]
        for action in ROLE_ACTIONS[source.split(":")[2]]:
            for resource in stack_permissions.evaluated_on(action, {"queue": [source], "stream": [source]}):
                assert allows(own, action, resource), (roles[0], action, resource)


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_policies_of_a_role_are_no_longer_than_iam_takes(name: str) -> None:
    found = template(name)
    for role, properties in found.of_kind("AWS::IAM::Role").items():
        size = sum(
            len(json.dumps(found.evaluate(each["PolicyDocument"]), separators=(",", ":")))
            for each in properties["Policies"]
        )
        assert size < MAX_INLINE_POLICIES, (role, size)

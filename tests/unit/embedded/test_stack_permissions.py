"""The facts of what CloudFormation asks a role for, held against the references that cfn-lint brings."""

from __future__ import annotations

import pytest
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

from greenroom.embedded.stack_permissions import NOTHING, evaluated_on, facts, needed
from greenroom.lambda_api.invoke.sources.mappings import ROLE_ACTIONS
from tests.unit.service_authorization import resources_taken

KINDS = sorted(facts().handlers)


def every_action() -> set[str]:
    return {action for handlers in facts().handlers.values() for actions in handlers.values() for action in actions} | {
        action for actions in ROLE_ACTIONS.values() for action in actions
    }


def test_what_each_action_takes_is_what_the_reference_says() -> None:
    for action in sorted(every_action()):
        taken = resources_taken(action)
        assert taken is not None, f"IAM does not know {action}"
        stated = {resource for resource, actions in facts().takes.items() if action in actions}
        assert stated <= {*taken} if taken else stated == {NOTHING}, action


def test_every_action_that_may_be_asked_for_takes_a_resource_that_is_known_here_or_none() -> None:
    asked = {
        action
        for kind in KINDS
        for operation in ("create", "update", "delete")
        for action in needed(kind, operation, ())
    }
    assert asked - {action for actions in facts().takes.values() for action in actions} == set()


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_left_out_is_left_out_for_a_property_that_exists_or_with_a_reason(kind: str) -> None:
    properties = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema["properties"]
    asked = {action for actions in facts().handlers[kind].values() for action in actions}
    for name, actions in facts().only_for.get(kind, {}).items():
        assert name in properties and asked.issuperset(actions), name
    for each in facts().not_asked.get(kind, ()):
        assert each["why"] and asked.issuperset(each["actions"]), each


def test_an_action_for_a_property_is_asked_for_where_a_resource_has_it() -> None:
    assert "s3:PutBucketCORS" in needed("AWS::S3::Bucket", "create", ["CorsConfiguration"])
    assert "s3:PutBucketCORS" not in needed("AWS::S3::Bucket", "create", ["LifecycleConfiguration"])


def test_a_type_without_facts_needs_nothing() -> None:
    assert needed("AWS::SNS::Topic", "create", ["TopicName"]) == []


def test_an_action_that_takes_no_resource_is_evaluated_on_all() -> None:
    named = {"eventSourceMapping": ["arn:mapping"], "function": ["arn:function"]}
    assert evaluated_on("lambda:CreateEventSourceMapping", named) == ["*"]
    assert evaluated_on("lambda:UpdateEventSourceMapping", named) == ["arn:mapping"]
    assert evaluated_on("lambda:TagResource", named) == ["arn:mapping", "arn:function"]

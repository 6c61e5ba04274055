"""A call is checked against botocore's model, and refused in AWS's words."""

from __future__ import annotations

from typing import Any

import pytest

from greenroom.lambda_api import model
from greenroom.lambda_api.errors import LambdaError

NAME = (
    r"(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?"
    r"([a-zA-Z0-9-_]+)(:(\$LATEST|[a-zA-Z0-9-_]+))?"
)

# Recorded from AWS: https://github.com/localstack/localstack/tree/8b9a79f/tests/aws/services/lambda_ in
# test_lambda_api.snapshot.json.
RECORDED: list[tuple[str, str, dict[str, Any], str]] = [
    (
        "TestLambdaAlias::test_notfound_and_invalid_routingconfigs",
        "CreateAlias",
        {
            "FunctionName": "f",
            "Name": "a",
            "FunctionVersion": "1",
            "RoutingConfig": {"AdditionalVersionWeights": {"2": 2.0}},
        },
        "1 validation error detected: Value '{2=2.0}' at 'routingConfig.additionalVersionWeights' failed to satisfy "
        "constraint: Map value must satisfy constraint: [Member must have value less than or equal to 1.0, Member must "
        "have value greater than or equal to 0.0, Member must not be null]",
    ),
    (
        "TestLambdaAlias::test_notfound_and_invalid_routingconfigs",
        "CreateAlias",
        {
            "FunctionName": "f",
            "Name": "a",
            "FunctionVersion": "1",
            "RoutingConfig": {"AdditionalVersionWeights": {"$LATEST": 0.5}},
        },
        "1 validation error detected: Value '{$LATEST=0.5}' at 'routingConfig.additionalVersionWeights' failed to "
        "satisfy constraint: Map keys must satisfy constraint: [Member must have length less than or equal to 1024, "
        "Member must have length greater than or equal to 1, Member must satisfy regular expression pattern: [0-9]+]",
    ),
    (
        "TestLambdaAlias::test_alias_naming",
        "CreateAlias",
        {"FunctionName": "f", "Name": "2024", "FunctionVersion": "1"},
        "1 validation error detected: Value '2024' at 'name' failed to satisfy constraint: Member must satisfy regular "
        "expression pattern: (?!^[0-9]+$)([a-zA-Z0-9-_]+)",
    ),
    (
        "TestLambdaFunction::test_create_lambda_exceptions",
        "CreateFunction",
        {"FunctionName": "f", "Role": "arn:aws:iam::111111111111:role/r", "Code": {}, "Architectures": ["X86_64"]},
        "1 validation error detected: Value '[X86_64]' at 'architectures' failed to satisfy constraint: Member must "
        "satisfy constraint: [Member must satisfy enum value set: [x86_64, arm64], Member must not be null]",
    ),
    (
        "TestLambdaFunction::test_create_lambda_exceptions",
        "CreateFunction",
        {"FunctionName": "f", "Role": "arn:aws:iam::1111:role/r", "Code": {}, "Architectures": ["x86_64", "arm64"]},
        "2 validation errors detected: Value 'arn:aws:iam::1111:role/r' at 'role' failed to satisfy constraint: Member "
        "must satisfy regular expression pattern: arn:(aws[a-zA-Z-]*)?:iam::\\d{12}:role/?[a-zA-Z_0-9+=,.@\\-_/]+; "
        "Value '[x86_64, arm64]' at 'architectures' failed to satisfy constraint: Member must have length less than or "
        "equal to 1",
    ),
    (
        "TestLambdaFunction::test_function_name_and_qualifier_validation",
        "CreateFunction",
        {"FunctionName": "my-function!", "Role": "arn:aws:iam::111111111111:role/r", "Code": {}},
        "1 validation error detected: Value 'my-function!' at 'functionName' failed to satisfy constraint: Member must "
        f"satisfy regular expression pattern: {NAME}",
    ),
    (
        "TestLambdaProvisionedConcurrency::test_provisioned_concurrency_exceptions",
        "PutProvisionedConcurrencyConfig",
        {"FunctionName": "f", "Qualifier": "1", "ProvisionedConcurrentExecutions": 0},
        "1 validation error detected: Value '0' at 'provisionedConcurrentExecutions' failed to satisfy constraint: "
        "Member must have value greater than or equal to 1",
    ),
    (
        "TestLambdaTags::test_tag_exceptions",
        "UntagResource",
        {"Resource": "arn:aws:lambda:us-east-1:111111111111:function:f"},
        "1 validation error detected: Value null at 'tagKeys' failed to satisfy constraint: Member must not be null",
    ),
]


@pytest.mark.parametrize(("recorded", "operation", "parameters", "message"), RECORDED)
def test_what_the_model_refuses_is_refused_in_awss_words(
    recorded: str, operation: str, parameters: dict[str, Any], message: str
) -> None:
    assert recorded
    with pytest.raises(LambdaError) as refused:
        model.validate(operation, parameters)
    assert (refused.value.code, refused.value.status) == ("ValidationException", 400)
    assert refused.value.message == message


def test_each_member_of_a_list_of_structures_is_named_by_its_number() -> None:
    with pytest.raises(LambdaError, match=r"'filterCriteria\.filters\.2\.member\.pattern'"):
        model.validate(
            "CreateEventSourceMapping",
            {"FunctionName": "f", "FilterCriteria": {"Filters": [{"Pattern": "{}"}, {"Pattern": "x" * 5000}]}},
        )


def test_a_secret_value_is_not_repeated() -> None:
    with pytest.raises(LambdaError) as refused:
        model.validate(
            "UpdateFunctionConfiguration", {"FunctionName": "f", "Environment": {"Variables": {"1": "secret"}}}
        )
    assert "secret" not in str(refused.value) and "'environment.variables'" in str(refused.value)


@pytest.mark.parametrize("operation", sorted(model.operation_names()))
def test_every_operation_of_aws_has_a_model_that_can_be_checked(operation: str) -> None:
    shape = model.operation(operation).input_shape
    required = shape.required_members if shape is not None else []
    if required:
        with pytest.raises(LambdaError, match=f"{len(required)} validation error"):
            model.validate(operation, {})
    else:
        model.validate(operation, {})


def test_every_pattern_of_the_model_can_be_matched() -> None:
    service = model.service()
    patterns = [service.shape_for(name).metadata.get("pattern") for name in service.shape_names]
    for pattern in filter(None, patterns):
        model._matcher(pattern)("x")
    tags = {"Stage": "prod blue", "aws:cloudformation:logical-id": "Häuser"}
    model.validate("TagResource", {"Resource": "arn:aws:lambda:us-east-1:111111111111:function:f", "Tags": tags})


def test_an_error_has_the_members_that_aws_gives_it() -> None:
    """https://github.com/localstack/localstack/tree/8b9a79f/tests/aws/services/lambda_:
    TestLambdaFunction::test_ops_with_arn_qualifier_mismatch."""
    assert model.error_body(LambdaError("ResourceNotFoundException", "no", 404)) == {"Type": "User", "Message": "no"}
    assert model.error_body(LambdaError("InvalidParameterValueException", "no")) == {"Type": "User", "message": "no"}
    assert model.error_body(LambdaError("ValidationException", "no")) == {"message": "no"}


def test_absent_members_are_not_written() -> None:
    assert model.answer_body("GetFunctionConcurrency", {"ReservedConcurrentExecutions": None}) == b"{}"
    assert model.answer_body("GetFunctionConcurrency", {"ReservedConcurrentExecutions": 0, "Other": 1}) == (
        b'{"ReservedConcurrentExecutions":0}'
    )

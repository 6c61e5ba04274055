"""Features and operations that this machine does not have are refused by name: nothing succeeds falsely."""

from __future__ import annotations

from typing import Any

import pytest
from botocore import xform_name
from botocore.exceptions import ClientError

from greenroom.lambda_api import model
from greenroom.lambda_api.api import UNSERVED
from tests.conformance.lambda_api.conftest import World, zipped

ASKED: dict[str, dict[str, Any]] = {
    "java": {"Runtime": "java21"},
    "ruby": {"Runtime": "ruby3.3"},
    "dotnet": {"Runtime": "dotnet8"},
    "an image": {"PackageType": "Image", "Code": {"ImageUri": "image"}},
    "SnapStart": {"SnapStart": {"ApplyOn": "PublishedVersions"}},
    "EFS": {"FileSystemConfigs": [{"Arn": "arn:aws:elasticfilesystem:us-east-1:123456789012:access-point/"
                                          "fsap-0123456789abcdef0", "LocalMountPath": "/mnt/x"}]},
    "VPC": {"VpcConfig": {"SubnetIds": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}},
    "a wrapper": {"Environment": {"Variables": {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/wrapper"}}},
    "a key": {"KMSKeyArn": "arn:aws:kms:us-east-1:123456789012:key/1"},
    "code signing": {"CodeSigningConfigArn": "arn:aws:lambda:us-east-1:123456789012:code-signing-config:"
                                             "csc-0123456789abcdef0"},
    "too much memory": {"MemorySize": 10_241},
    "too much time": {"Timeout": 901},
}  # fmt: skip


@pytest.mark.parametrize("feature", ASKED)
def test_a_function_that_asks_for_what_is_not_there_is_refused(world: World, feature: str) -> None:
    client = world.client("lambda")
    given = {"FunctionName": "no", "Runtime": "python3.12", "Handler": "index.handler", "Role": world.role}
    asked: dict[str, Any] = {**given, "Code": {"ZipFile": world.zip}, **ASKED[feature]}
    with pytest.raises(ClientError) as refused:
        client.create_function(**asked)
    answer = refused.value.response
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 400 and len(answer["Error"]["Message"]) > 20
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.get_function(FunctionName="no")


def test_a_layer_with_extensions_is_refused_where_a_function_names_it(world: World) -> None:
    client = world.client("lambda")
    content = {"ZipFile": zipped("#!/bin/sh", "extensions/watch")}
    layer = client.publish_layer_version(LayerName="extended", Content=content)["LayerVersionArn"]
    with pytest.raises(client.exceptions.InvalidParameterValueException, match="extensions/watch"):
        client.update_function_configuration(FunctionName="g", Layers=[layer])


@pytest.mark.parametrize("operation", sorted(UNSERVED))
def test_an_operation_that_is_not_served_says_so(world: World, operation: str) -> None:
    shape = model.operation(operation).input_shape
    given: dict[str, Any] = {}
    for name in shape.required_members if shape is not None else []:
        given[name] = {"structure": {}, "list": []}.get(model.members(operation)[name].type_name, "x")
    with pytest.raises(ClientError) as refused:
        getattr(world.client("lambda"), xform_name(operation))(**given)
    answer = refused.value.response
    assert (answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]) == (
        "UnsupportedOperationException",
        501,
    )
    assert answer["Error"]["Message"] == f"Greenroom's embedded AWS has no {operation}: {UNSERVED[operation]}"


def test_every_operation_of_aws_is_served_or_refused_by_name(world: World) -> None:
    assert world
    from greenroom.lambda_api.operations import SERVED

    run = {
        "Invoke",
        "InvokeAsync",
        "InvokeWithResponseStream",
        *(f"{verb}EventSourceMapping" for verb in ("Create", "Delete", "Get", "Update")),
        "ListEventSourceMappings",
    }
    assert SERVED.keys() | UNSERVED.keys() | run == model.operation_names()
    assert not SERVED.keys() & UNSERVED.keys()

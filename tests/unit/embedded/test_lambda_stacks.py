"""CloudFormation's handlers of Lambda's resources, one by one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from greenroom.embedded.lambda_stacks import Failed, Stacks
from tests.unit.lambda_api.lab import ROLE, Lab
from tests.unit.lambda_api.lab import lab as make_lab

FUNCTION = {
    "FunctionName": "f",
    "Runtime": "python3.12",
    "Handler": "index.handler",
    "Role": ROLE,
    "Code": {"ZipFile": "def handler(event, context): return event"},
}


class Stage:
    """The handlers over a lab."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.handlers = Stacks(lab.api, lab.store).handlers()

    def create(self, kind: str, properties: dict[str, Any], logical_id: str = "X") -> tuple[str, dict[str, Any]]:
        made: tuple[str, dict[str, Any]] = self.handlers[f"AWS::Lambda::{kind}"]["create"](logical_id, properties, "s")
        return made

    def update(self, kind: str, physical_id: str, old: dict[str, Any], new: dict[str, Any]) -> str:
        return str(self.handlers[f"AWS::Lambda::{kind}"]["update"](physical_id, old, new, "s", "X")[0])

    def delete(self, kind: str, physical_id: str, properties: dict[str, Any]) -> None:
        self.handlers[f"AWS::Lambda::{kind}"]["delete"](physical_id, properties)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with make_lab(tmp_path) as lab:
        yield Stage(lab)


def test_a_function_is_made_active_at_once_with_what_the_template_says(stage: Stage) -> None:
    more = {"MemorySize": "256", "Tags": [{"Key": "a", "Value": "b"}], "ReservedConcurrentExecutions": "3"}
    name, attributes = stage.create("Function", {**FUNCTION, **more})
    found = stage.lab.call("GetFunction", FunctionName=name)
    assert attributes == {"Arn": found["Configuration"]["FunctionArn"]}
    assert (found["Configuration"]["State"], found["Configuration"]["MemorySize"]) == ("Active", 256)
    assert found["Tags"] == {"a": "b"} and found["Concurrency"] == {"ReservedConcurrentExecutions": 3}


def test_an_update_changes_what_differs_and_goes_back_to_defaults(stage: Stage) -> None:
    old = {**FUNCTION, "MemorySize": 512, "Environment": {"Variables": {"KEY": "x"}}, "Tags": {"a": "b"}}
    stage.create("Function", old)
    stage.lab.call("PublishVersion", FunctionName="f")
    before = stage.lab.api.functions.target("f")
    new = {**FUNCTION, "Code": {"ZipFile": "def handler(event, context): return 2"}, "Tags": {"c": "d"}}
    assert stage.update("Function", "f", old, new) == "f"
    config = stage.lab.call("GetFunctionConfiguration", FunctionName="f")
    assert (config["MemorySize"], config["Environment"]) == (128, {"Variables": {}})
    assert config["CodeSha256"] != before.config["CodeSha256"]
    assert stage.lab.call("ListTags", Resource=config["FunctionArn"])["Tags"] == {"c": "d"}
    assert stage.lab.call("ListVersionsByFunction", FunctionName="f")["Versions"][1]["Version"] == "1", "is kept"


def test_the_same_source_is_the_same_code(stage: Stage) -> None:
    stage.create("Function", FUNCTION)
    first = stage.lab.api.functions.target("f").config["CodeSha256"]
    stage.create("Function", {**FUNCTION, "FunctionName": "g"}, "Y")
    assert stage.lab.api.functions.target("g").config["CodeSha256"] == first


def test_what_was_made_before_a_kill_is_not_made_twice(stage: Stage) -> None:
    permission = {"FunctionName": "f", "Action": "lambda:InvokeFunction", "Principal": "s3.amazonaws.com"}
    layer = {"LayerName": "l", "Content": {"S3Bucket": "layers", "S3Key": "k"}}
    stage.lab.s3.objects["layers", "k"] = b"PK\x05\x06" + bytes(18)
    for kind, properties in (
        ("Function", FUNCTION),
        ("Version", {"FunctionName": "f"}),
        ("Alias", {"FunctionName": "f", "Name": "live", "FunctionVersion": "1"}),
        ("Permission", permission),
        ("LayerVersion", layer),
    ):
        made = stage.create(kind, properties)
        again = Stage(stage.lab)  # as after a start
        assert again.create(kind, properties) == made, kind
    statements = json.loads(stage.lab.call("GetPolicy", FunctionName="f")["Policy"])["Statement"]
    assert len(statements) == 1


def test_a_function_of_somebody_else_is_not_taken_over(stage: Stage) -> None:
    stage.lab.make("f")
    with pytest.raises(Failed, match="Function already exist: f"):
        stage.create("Function", FUNCTION)


def test_a_resource_that_was_deleted_by_hand_is_made_again(stage: Stage) -> None:
    stage.create("Function", FUNCTION)
    stage.lab.call("DeleteFunction", FunctionName="f")
    assert stage.create("Function", FUNCTION)[0] == "f"
    stage.lab.call("DeleteFunction", FunctionName="f")
    assert stage.update("Function", "f", FUNCTION, {**FUNCTION, "MemorySize": 256}) == "f"
    assert stage.lab.api.functions.target("f").config["MemorySize"] == 256


def test_what_fails_half_way_leaves_nothing(stage: Stage) -> None:
    with pytest.raises(Failed, match="UnreservedConcurrentExecution"):
        stage.create("Function", {**FUNCTION, "ReservedConcurrentExecutions": 1_000})
    assert stage.lab.refused("GetFunction", FunctionName="f")[0] == "ResourceNotFoundException"


def test_a_version_of_unchanged_code_fails_as_on_aws(stage: Stage) -> None:
    stage.create("Function", FUNCTION)
    stage.create("Version", {"FunctionName": "f"})
    with pytest.raises(Failed, match=r"A version for this Lambda function exists \( 1 \)"):
        stage.create("Version", {"FunctionName": "f", "Description": "again"}, "Y")


def test_an_alias_has_its_weights(stage: Stage) -> None:
    stage.create("Function", FUNCTION)
    stage.create("Version", {"FunctionName": "f"})
    stage.update("Function", "f", FUNCTION, changed := {**FUNCTION, "MemorySize": 256})
    stage.create("Version", {"FunctionName": "f"}, "Y")
    assert changed
    weights = {"AdditionalVersionWeights": [{"FunctionVersion": "2", "FunctionWeight": "0.25"}]}
    alias = {"FunctionName": "f", "Name": "live", "FunctionVersion": "1", "RoutingConfig": weights}
    arn, _ = stage.create("Alias", alias)
    made = stage.lab.call("GetAlias", FunctionName="f", Name="live")
    assert made["RoutingConfig"] == {"AdditionalVersionWeights": {"2": 0.25}}
    plain = {key: value for key, value in alias.items() if key != "RoutingConfig"}
    assert stage.update("Alias", arn, alias, plain) == arn
    assert "RoutingConfig" not in stage.lab.call("GetAlias", FunctionName="f", Name="live")
    renamed = stage.update("Alias", arn, plain, {**plain, "Name": "other"})
    assert renamed.endswith(":f:other")


@pytest.mark.parametrize(
    ("kind", "properties", "reason"),
    [
        ("Url", {"TargetFunctionArn": "f", "AuthType": "NONE"}, "functions have no URLs"),
        ("Function", {**FUNCTION, "SnapStart": {"ApplyOn": "PublishedVersions"}}, "there is no SnapStart"),
        ("Function", {**FUNCTION, "NoSuchProperty": 1}, "does not know the property NoSuchProperty"),
        ("Function", {**FUNCTION, "Runtime": "java21"}, "java21"),
        ("Function", {**FUNCTION, "MemorySize": "much"}, "'much' is not a number"),
        ("Alias", {"FunctionName": "f", "ProvisionedConcurrencyConfig": {"x": 1}}, "provisioned concurrency"),
    ],
)
def test_what_is_not_there_fails_the_resource_by_name(
    stage: Stage, kind: str, properties: dict[str, Any], reason: str
) -> None:
    with pytest.raises(Failed, match=reason):
        stage.create(kind, properties)


def test_deleting_what_is_gone_is_no_failure(stage: Stage) -> None:
    for kind, physical_id, properties in (
        ("Function", "f", {}),
        ("Version", f"{stage.lab.api.functions.home.function_arn('f')}:1", {}),
        ("Alias", f"{stage.lab.api.functions.home.function_arn('f')}:live", {}),
        ("Permission", "s", {"FunctionName": "f"}),
        ("LayerVersion", stage.lab.api.functions.home.layer_arn("l", 1), {}),
    ):
        stage.delete(kind, physical_id, properties)

"""Answers have the members and the values that AWS was recorded to answer.

https://github.com/localstack/localstack/tree/8b9a79f/tests/aws/services/lambda_/test_lambda_api.snapshot.json has what
was recorded; each test names the recorded ones that it goes by.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

import pytest

from tests.conformance.lambda_api.conftest import World, zipped
from tests.conformance.lambda_api.recorded import LOGS

CONFIGURATION = {
    "Architectures",
    "CodeSha256",
    "CodeSize",
    "Description",
    "EphemeralStorage",
    "FunctionArn",
    "FunctionName",
    "Handler",
    "LastModified",
    "LoggingConfig",
    "MemorySize",
    "PackageType",
    "RevisionId",
    "Role",
    "Runtime",
    "RuntimeVersionConfig",
    "SnapStart",
    "State",
    "Timeout",
    "TracingConfig",
    "Version",
}
CHANGE = {"StateReason", "StateReasonCode"}
DONE = {"LastUpdateStatus"}


def members(answer: Any) -> set[str]:
    return set(answer) - {"ResponseMetadata"}


def test_a_new_function_is_pending_and_then_active(world: World) -> None:
    """TestLambdaVersions::test_version_lifecycle, TestLambdaFunction::test_function_lifecycle"""
    made = world.make("lifecycle", Description="No version :(")
    assert members(made) == CONFIGURATION | CHANGE
    assert (made["State"], made["StateReasonCode"]) == ("Pending", "Creating")
    assert (made["Timeout"], made["MemorySize"], made["Version"]) == (3, 128, "$LATEST")
    assert made["LoggingConfig"] == {"LogFormat": "Text", "LogGroup": "/aws/lambda/lifecycle"}
    assert made["SnapStart"] == {"ApplyOn": "None", "OptimizationStatus": "Off"}
    assert made["TracingConfig"] == {"Mode": "PassThrough"}
    client = world.client("lambda")
    found = client.get_function(FunctionName="lifecycle")
    assert members(found) == {"Configuration", "Code"} and set(found["Code"]) == {"Location", "RepositoryType"}
    assert set(found["Configuration"]) == CONFIGURATION | DONE
    assert found["Configuration"]["RevisionId"] != made["RevisionId"]
    changed = world.update("lifecycle", Description="First version :)", Environment={"Variables": {"ENV_A": "a"}})
    assert members(changed) == CONFIGURATION | DONE | {
        "Environment",
        "LastUpdateStatusReason",
        "LastUpdateStatusReasonCode",
    }
    assert (changed["State"], changed["LastUpdateStatus"]) == ("Active", "InProgress")
    listed = client.list_versions_by_function(FunctionName="lifecycle")["Versions"][0]
    without = {"State", "RuntimeVersionConfig"}
    assert set(listed) == CONFIGURATION - without | {"Environment"}
    assert listed["FunctionArn"].endswith(":lifecycle:$LATEST")
    assert client.delete_function(FunctionName="lifecycle")["ResponseMetadata"]["HTTPStatusCode"] == 204


def test_versions_are_answered_with_their_own_arns_and_unchanged_code_gives_the_last_one(world: World) -> None:
    """TestLambdaVersions::test_version_lifecycle, test_publish_with_update, test_publish_version_on_create"""
    made = world.make("versions", Publish=True)
    assert made["Version"] == "1" and made["FunctionArn"].endswith(":versions")
    client = world.client("lambda")
    assert client.publish_version(FunctionName="versions", Description="again")["Version"] == "1"
    world.update("versions", Description="Second version :))")
    latest = client.get_function_configuration(FunctionName="versions")
    second = client.publish_version(FunctionName="versions", RevisionId=latest["RevisionId"])
    third = client.publish_version(FunctionName="versions", Description="Third version description :)))")
    assert members(second) == CONFIGURATION | DONE
    assert (second["Version"], second["Description"]) == ("2", "Second version :))")
    assert third["RevisionId"] == second["RevisionId"] and third["Description"] == "Second version :))"
    assert second["FunctionArn"].endswith(":versions:2")
    assert client.get_function_configuration(FunctionName="versions")["RevisionId"] != latest["RevisionId"]
    code = zipped("def handler(event, context): return 2")
    updated = client.update_function_code(FunctionName="versions", ZipFile=code, Publish=True)
    assert (updated["Version"], updated["State"]) == ("3", "Pending") and updated["FunctionArn"].endswith(":versions:3")
    client.get_waiter("published_version_active").wait(FunctionName="versions", Qualifier="3")
    client.delete_function(FunctionName="versions:1")
    listed = client.list_versions_by_function(FunctionName="versions")["Versions"]
    assert [version["Version"] for version in listed] == ["$LATEST", "2", "3"]


def test_a_function_is_answered_by_the_arn_that_it_was_asked_for(world: World) -> None:
    """TestLambdaAlias::test_alias_lifecycle, TestPartialARNMatching"""
    client = world.client("lambda")
    arn = client.get_function(FunctionName="f")["Configuration"]["FunctionArn"]
    account, region = world.aws.account_id, world.aws.region
    for name in ("f", f"{account}:function:f", "function:f", f"{region}:{account}:function:f", arn):
        assert client.get_function_configuration(FunctionName=name)["FunctionArn"] == arn
    by_alias = client.get_function_configuration(FunctionName="f:live")
    assert (by_alias["FunctionArn"], by_alias["Version"]) == (f"{arn}:live", "1")
    by_version = client.get_function_configuration(FunctionName=arn, Qualifier="2")
    assert (by_version["FunctionArn"], by_version["Version"]) == (f"{arn}:2", "2")
    assert client.get_function_configuration(FunctionName="f:$LATEST")["FunctionArn"] == f"{arn}:$LATEST"


def test_aliases_are_listed_by_what_they_point_at(world: World) -> None:
    """TestLambdaAlias::test_alias_lifecycle"""
    client = world.client("lambda")
    weights = {"AdditionalVersionWeights": {"2": 0.2}}
    made = client.create_alias(FunctionName="f", Name="split", FunctionVersion="1", RoutingConfig=weights)
    assert members(made) == {"AliasArn", "Name", "FunctionVersion", "Description", "RevisionId", "RoutingConfig"}
    assert made["RoutingConfig"] == weights
    listed = client.list_aliases(FunctionName="f", FunctionVersion="2")["Aliases"]
    assert [alias["Name"] for alias in listed] == ["split"]
    changed = client.update_alias(FunctionName="f", Name="split", RoutingConfig={"AdditionalVersionWeights": {}})
    assert "RoutingConfig" not in changed and changed["RevisionId"] != made["RevisionId"]
    first = client.list_aliases(FunctionName="f", MaxItems=1)
    second = client.list_aliases(FunctionName="f", MaxItems=1, Marker=first["NextMarker"])
    assert [page["Aliases"][0]["Name"] for page in (first, second)] == ["live", "split"] and "NextMarker" not in second
    for _ in range(2):
        assert client.delete_alias(FunctionName="f", Name="split")["ResponseMetadata"]["HTTPStatusCode"] == 204


def test_a_change_that_comes_while_another_is_under_way_is_refused(world: World) -> None:
    """TestLambdaFunction::test_lambda_concurrent_config_updates, test_lambda_concurrent_code_updates"""
    world.make("busy")
    client = world.client("lambda")
    # Two are sent at once until they meet: the first one's change takes some milliseconds.
    for attempt in range(50):
        client.update_function_configuration(FunctionName="busy", Description=str(attempt))
        try:
            client.update_function_configuration(FunctionName="busy", Description="second")
        except client.exceptions.ResourceConflictException as error:
            arn = f"arn:aws:lambda:{world.aws.region}:{world.aws.account_id}:function:busy"
            assert error.response["Error"]["Message"] == (
                f"The operation cannot be performed at this time. An update is in progress for resource: {arn}"
            )
            assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 409
            return
        client.get_waiter("function_updated_v2").wait(FunctionName="busy")
    pytest.fail("no second update met the first one")


def test_log_settings_have_aws_s_defaults_and_are_merged(world: World) -> None:
    """TestLoggingConfig"""
    world.make("logging")
    client = world.client("lambda")
    for log in LOGS:
        world.update("logging", LoggingConfig=log.given)
        found = client.get_function_configuration(FunctionName="logging")["LoggingConfig"]
        assert found == {"LogGroup": "/aws/lambda/logging", **log.answered}, log


def test_policies_are_of_the_function_a_version_or_an_alias(world: World) -> None:
    """TestLambdaPermissions::test_lambda_permission_fn_versioning, test_add_lambda_permission_fields"""
    client = world.client("lambda")
    arn = client.get_function_configuration(FunctionName="f")["FunctionArn"]
    given = {"StatementId": "mine", "Action": "lambda:InvokeFunction", "Principal": world.aws.account_id}
    added = client.add_permission(
        FunctionName="f", Qualifier="live", SourceArn="arn:aws:s3:::bucket", SourceAccount="123456789012", **given
    )
    assert json.loads(added["Statement"]) == {
        "Sid": "mine",
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{world.aws.account_id}:root"},
        "Action": "lambda:InvokeFunction",
        "Resource": f"{arn}:live",
        "Condition": {
            "StringEquals": {"AWS:SourceAccount": "123456789012"},
            "ArnLike": {"AWS:SourceArn": "arn:aws:s3:::bucket"},
        },
    }
    policy = client.get_policy(FunctionName="f", Qualifier="live")
    document = json.loads(policy["Policy"])
    assert (document["Version"], document["Id"], len(document["Statement"])) == ("2012-10-17", "default", 1)
    assert [each["Sid"] for each in json.loads(client.get_policy(FunctionName="f")["Policy"])["Statement"]] == ["s3"]
    with pytest.raises(client.exceptions.PreconditionFailedException, match="Call the GetPolicy API"):
        client.add_permission(FunctionName="f", Qualifier="live", RevisionId="wrong", **{**given, "StatementId": "2"})
    client.remove_permission(FunctionName="f:live", StatementId="mine", RevisionId=policy["RevisionId"])
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.get_policy(FunctionName="f", Qualifier="live")


def test_reserved_concurrency_is_set_and_taken_away(world: World) -> None:
    """TestLambdaReservedConcurrency::test_function_concurrency"""
    client = world.client("lambda")
    assert members(client.get_function_concurrency(FunctionName="g")) == set()
    for most in (0, 1):
        put = client.put_function_concurrency(FunctionName="g", ReservedConcurrentExecutions=most)
        assert put["ReservedConcurrentExecutions"] == most
    assert client.get_function(FunctionName="g")["Concurrency"] == {"ReservedConcurrentExecutions": 1}
    settings = client.get_account_settings()
    assert settings["AccountLimit"]["UnreservedConcurrentExecutions"] == 999
    assert client.delete_function_concurrency(FunctionName="g")["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert members(client.get_function_concurrency(FunctionName="g")) == set()


def test_settings_of_asynchronous_invocations_are_put_changed_and_deleted(world: World) -> None:
    """TestLambdaEventInvokeConfig::test_lambda_eventinvokeconfig_lifecycle"""
    client = world.client("lambda")
    arn = client.get_function_configuration(FunctionName="g")["FunctionArn"]
    put = client.put_function_event_invoke_config(FunctionName="g", MaximumEventAgeInSeconds=60)
    assert members(put) == {"DestinationConfig", "FunctionArn", "LastModified", "MaximumEventAgeInSeconds"}
    assert put["FunctionArn"] == f"{arn}:$LATEST" and put["DestinationConfig"] == {"OnSuccess": {}, "OnFailure": {}}
    changed = client.update_function_event_invoke_config(FunctionName="g", MaximumRetryAttempts=1)
    assert (changed["MaximumEventAgeInSeconds"], changed["MaximumRetryAttempts"]) == (60, 1)
    again = client.put_function_event_invoke_config(FunctionName="g", MaximumRetryAttempts=0)
    assert again["MaximumRetryAttempts"] == 0 and "MaximumEventAgeInSeconds" not in again
    listed = client.list_function_event_invoke_configs(FunctionName="g")["FunctionEventInvokeConfigs"]
    assert [config["FunctionArn"] for config in listed] == [f"{arn}:$LATEST"]
    client.delete_function_event_invoke_config(FunctionName="g")
    assert client.list_function_event_invoke_configs(FunctionName="g")["FunctionEventInvokeConfigs"] == []


def test_tags_are_written_and_read(world: World) -> None:
    """TestLambdaTags::test_tag_lifecycle"""
    made = world.make("tagged", Tags={"key_a": "value_a"})
    client, arn = world.client("lambda"), made["FunctionArn"]
    client.tag_resource(Resource=arn, Tags={"key_b": "b", "key_a": "x"})
    assert client.list_tags(Resource=arn)["Tags"] == {"key_a": "x", "key_b": "b"}
    client.untag_resource(Resource=arn, TagKeys=["key_a", "no-such-key"])
    assert client.get_function(FunctionName="tagged")["Tags"] == {"key_b": "b"}
    client.untag_resource(Resource=arn, TagKeys=["key_b"])
    assert "Tags" not in client.get_function(FunctionName="tagged")


def test_layers_have_versions_that_functions_keep(world: World) -> None:
    """TestLambdaLayer::test_layer_lifecycle, test_layer_policy_lifecycle"""
    client = world.client("lambda")
    given = {"LayerName": "kept", "Content": {"ZipFile": zipped("x = 1")}, "CompatibleRuntimes": ["python3.12"]}
    first, second = (client.publish_layer_version(**given) for _ in range(2))
    assert members(first) == {
        "CompatibleRuntimes",
        "Content",
        "CreatedDate",
        "Description",
        "LayerArn",
        "LayerVersionArn",
        "Version",
    }
    assert (first["Version"], second["Version"]) == (1, 2) and set(first["Content"]) == {
        "CodeSha256",
        "CodeSize",
        "Location",
    }
    world.make("layered", Layers=[first["LayerVersionArn"]])
    for _ in range(2):
        client.delete_layer_version(LayerName="kept", VersionNumber=1)
    assert [each["Version"] for each in client.list_layer_versions(LayerName="kept")["LayerVersions"]] == [2]
    config = client.get_function_configuration(FunctionName="layered")
    assert config["Layers"] == [{"Arn": first["LayerVersionArn"], "CodeSize": first["Content"]["CodeSize"]}]
    assert json.load(client.invoke(FunctionName="layered", Payload=b"1")["Payload"]) == 1
    added = client.add_layer_version_permission(
        LayerName="kept", VersionNumber=2, StatementId="s", Action="lambda:GetLayerVersion", Principal="*"
    )
    policy = client.get_layer_version_policy(LayerName="kept", VersionNumber=2)
    assert policy["RevisionId"] == added["RevisionId"]
    assert json.loads(policy["Policy"])["Statement"] == [json.loads(added["Statement"])]
    assert client.publish_layer_version(**given)["Version"] == 3


def test_lists_come_in_pages(world: World) -> None:
    """TestLambdaFunction::test_list_functions"""
    client = world.client("lambda")
    names = [each["FunctionName"] for each in client.list_functions()["Functions"]]
    pages = client.get_paginator("list_functions").paginate(PaginationConfig={"PageSize": 1})
    assert [each["FunctionName"] for page in pages for each in page["Functions"]] == names == sorted(names)
    every = client.list_functions(FunctionVersion="ALL")["Functions"]
    arns = [each["FunctionArn"].partition(":function:")[2] for each in every if each["FunctionName"] == "f"]
    assert arns == ["f:$LATEST", "f:1", "f:2"]


def test_the_code_can_be_downloaded_from_where_the_answer_says(world: World) -> None:
    location = world.client("lambda").get_function(FunctionName="f")["Code"]["Location"]
    with urllib.request.urlopen(location) as answer:
        assert answer.read() == zipped("def handler(event, context): return event")
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(location[:-1])

"""A data folder of the release before the store (`previous/`, written by it) goes on where it was."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import boto3
import pytest

from greenroom.embedded import EmbeddedAws

PREVIOUS = Path(__file__).parent / "previous"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(PREVIOUS, tmp_path / "data")
    return tmp_path / "data"


def client(aws: EmbeddedAws, service: Any) -> Any:
    return boto3.client(
        service,
        endpoint_url=aws.endpoint_url,
        region_name=aws.region,
        aws_access_key_id=aws.access_key_id,
        aws_secret_access_key=aws.secret_access_key,
    )


def test_functions_and_what_belongs_to_them_are_taken_over_once(folder: Path) -> None:
    for _ in range(2):
        with EmbeddedAws.start(folder, port=0) as aws:
            lambda_ = client(aws, "lambda")
            for version in ("1", "2"):
                answer = lambda_.invoke(FunctionName="f", Qualifier=version)
                assert json.load(answer["Payload"]) == [int(version), "layer", "value"]
            found = lambda_.get_function(FunctionName="f")
            assert found["Tags"] == {"a": "b"} and found["Concurrency"] == {"ReservedConcurrentExecutions": 7}
            assert (found["Configuration"]["MemorySize"], found["Configuration"]["Timeout"]) == (256, 9)
            assert lambda_.publish_version(FunctionName="f")["Version"] == "2", "nothing has changed since"
            alias = lambda_.get_alias(FunctionName="f", Name="live")
            assert alias["RoutingConfig"] == {"AdditionalVersionWeights": {"2": 0.1}}
            (statement,) = json.loads(lambda_.get_policy(FunctionName="f")["Policy"])["Statement"]
            assert statement["Sid"] == "s3"
            assert lambda_.get_function_event_invoke_config(FunctionName="f")["MaximumRetryAttempts"] == 0
            assert lambda_.get_layer_version(LayerName="common", VersionNumber=1)["CompatibleRuntimes"]
            mappings = lambda_.list_event_source_mappings()["EventSourceMappings"]
            by_source = {each["EventSourceArn"].split(":")[2]: each for each in mappings}
            assert by_source["sqs"]["FunctionArn"].endswith(":function:f:live")
            assert (by_source["sqs"]["BatchSize"], by_source["sqs"]["State"]) == (5, "Enabled")
            assert by_source["dynamodb"]["UUID"] == "78c79731-89be-4f5c-8caf-e2f90e68247a"


def test_records_of_a_stream_that_nobody_had_read_reach_the_function(folder: Path) -> None:
    with EmbeddedAws.start(folder, port=0) as aws:
        client(aws, "lambda").delete_function_concurrency(FunctionName="g")  # it was 0, and stopped the function
        logs, until = client(aws, "logs"), time.monotonic() + 60
        while time.monotonic() < until:
            groups = [group["logGroupName"] for group in logs.describe_log_groups()["logGroups"]]
            if "/aws/lambda/g" in groups and logs.filter_log_events(logGroupName="/aws/lambda/g")["events"]:
                return
            time.sleep(0.1)
        pytest.fail("the function did not get the records")

"""`greenroom tune`: any Lambda function of the account, with the execution input of AWS Lambda Power Tuning."""

from __future__ import annotations

import base64
import io
import json
import os
import struct
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest

from greenroom.platform.campaign import Publication
from greenroom.platform.function_tuning import steps
from greenroom.platform.function_tuning.steps import FunctionTuning
from greenroom.platform.measuring import Meter
from greenroom.platform.services import Services, Settings
from greenroom.tuning import Batch
from greenroom.wire.models import Tuning
from tests.e2e.packages import RUNTIME
from tests.e2e.stage import Platform, assumed, eventually

CODE = """
import json, time

def handler(event, context):
    if event.get("raise"):
        raise ValueError(event["raise"])
    time.sleep(event.get("seconds", 0.02))
    until = time.process_time() + event.get("cpuSeconds", 0)
    while time.process_time() < until:
        pass
    return event

def before(event, context):
    return {**event, "seconds": 0.001, "prepared": True}

def after(event, context):
    if not event.get("prepared"):
        raise RuntimeError("was given " + json.dumps(event))

def silent(event, context):
    return None
"""


class Shop:
    """Functions that are not the platform's."""

    def __init__(self, platform: Platform) -> None:
        self.platform, self.client = platform, platform.service("lambda")
        iam = platform.service("iam")
        trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
        role = iam.create_role(
            RoleName="shop", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]})
        )["Role"]["Arn"]
        logs = {"Effect": "Allow", "Action": ["logs:CreateLogStream", "logs:PutLogEvents"], "Resource": "*"}
        iam.put_role_policy(
            RoleName="shop",
            PolicyName="logs",
            PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [logs]}),
        )
        self.role = role
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("app.py", CODE)
        self.code = buffer.getvalue()

    def function(self, name: str, handler: str = "handler", memory_mb: int = 192) -> str:
        """Make a function with one version of its own, and return its name."""
        self.platform.service("logs").create_log_group(logGroupName=f"/aws/lambda/{name}")
        self.client.create_function(
            FunctionName=name,
            Runtime=RUNTIME,
            Role=self.role,
            Handler=f"app.{handler}",
            Code={"ZipFile": self.code},
            MemorySize=memory_mb,
            Timeout=10,
            Description="sells things",
            Publish=True,
        )
        return name

    def tune(self, **document: Any) -> Tuning:
        """Tune as said and wait for the end."""
        tuning_id = self.platform.client.tune(document)
        return self.platform.client.wait_for_tuning(tuning_id, timeout_s=120)

    def aliases(self, name: str) -> dict[str, str]:
        found = self.client.list_aliases(FunctionName=name)["Aliases"]
        return {alias["Name"]: alias["FunctionVersion"] for alias in found}

    def versions(self, name: str) -> set[str]:
        found = self.client.list_versions_by_function(FunctionName=name)["Versions"]
        return {version["Version"] for version in found} - {"$LATEST"}

    def configuration(self, name: str, qualifier: str = "$LATEST") -> Any:
        return self.client.get_function_configuration(FunctionName=name, Qualifier=qualifier)

    @contextmanager
    def acting_as(self, function: str, patch: pytest.MonkeyPatch) -> Iterator[Services]:
        """The clients of one of the platform's functions, in its role and with its settings."""
        variables = self.configuration(f"greenroom-{function}")["Environment"]["Variables"]
        with assumed(self.platform, function) as credentials:
            for key, value in credentials.items():
                patch.setenv(key, value)
            patch.setattr(boto3, "DEFAULT_SESSION", None)
            yield Services(Settings("greenroom", self.platform.aws.region, self.platform.aws.account_id, variables))

    def is_untouched(self, name: str) -> bool:
        """Whether the function is as it was made."""
        found = self.configuration(name)
        as_it_was = (found["MemorySize"], found["Description"]) == (192, "sells things")
        return as_it_was and self.aliases(name) == {} and self.versions(name) == {"1"}


@pytest.fixture(scope="module")
def shop(platform: Platform) -> Iterator[Shop]:
    """The shop, open for this file."""
    yield Shop(platform)


def test_an_input_of_lambda_power_tuning_gives_an_output_of_its_shape_and_leaves_the_function_as_it_was(
    shop: Shop,
) -> None:
    name = shop.function("shop-shape")
    tuning = shop.tune(
        lambdaARN=f"arn:aws:lambda:us-east-1:{shop.platform.aws.account_id}:function:{name}",
        powerValues=["128", 256, 512],
        num="5",
        payload={"seconds": 0.01},
        strategy="cost",
        includeOutputResults=True,
        discardTopBottom=0.2,
        sleepBetweenRunsMs=1,
        disablePayloadLogs=True,
    )
    assert tuning.status == "SUCCEEDED", tuning.reason
    output = tuning.output
    assert output is not None
    assert set(output.to_json()) == {"power", "cost", "duration", "stateMachine", "stats"}
    assert output.power == 128
    stats = output.stats or []
    assert [each.value for each in stats] == [128, 256, 512]
    (best,) = (each for each in stats if each.value == 128)
    assert (output.cost, output.duration) == (best.average_price, best.average_duration)
    machine = output.state_machine
    assert 0 < machine.lambda_cost < machine.execution_cost
    sizes, times, costs = machine.visualization.partition("#")[2].split(";")
    assert struct.unpack("<3h", base64.b64decode(sizes)) == (128, 256, 512)
    assert struct.unpack("<3f", base64.b64decode(times)) == pytest.approx(
        [each.average_duration for each in stats], rel=1e-6
    )
    assert struct.unpack("<3f", base64.b64decode(costs)) == pytest.approx(
        [each.average_price for each in stats], rel=1e-6
    )
    assert machine.lambda_cost + machine.execution_cost <= (tuning.cost_at_most_usd or 0)
    # What the machine disturbed was measured again, up to three times.
    done = {each.memory_mb: each.done for each in tuning.progress}
    assert set(done) == {128, 256, 512} and all(5 <= count <= 20 for count in done.values()), done
    assert shop.is_untouched(name)


def test_the_state_machine_itself_takes_the_same_input_and_ends_with_the_same_output(shop: Shop) -> None:
    name, states = shop.function("shop-direct"), shop.platform.service("stepfunctions")
    machine = f"arn:aws:states:us-east-1:{shop.platform.aws.account_id}:stateMachine:greenroom-function-tuning"
    document = {"lambdaARN": name, "powerValues": [128, 256], "num": 5, "payload": "{}", "parallelInvocation": True}
    started = states.start_execution(stateMachineArn=machine, name="as-before", input=json.dumps(document))
    found = eventually(
        lambda: (
            (found := states.describe_execution(executionArn=started["executionArn"]))["status"] != "RUNNING" and found
        ),
        60,
    )
    assert found["status"] == "SUCCEEDED", found
    assert set(json.loads(found["output"])) == {"power", "cost", "duration", "stateMachine"}
    assert shop.is_untouched(name)


def test_the_weight_of_balanced_moves_the_choice_between_cost_and_duration(shop: Shop) -> None:
    name, chosen = shop.function("shop-balanced"), {}
    for weight in (0, 1):
        tuning = shop.tune(
            lambdaARN=name,
            powerValues=[128, 1769],
            num=4,
            payload={"seconds": 0.06, "cpuSeconds": 0.04},
            strategy="balanced",
            balancedWeight=weight,
        )
        assert tuning.status == "SUCCEEDED", tuning.reason
        assert tuning.output is not None
        chosen[weight] = tuning.output.power
    assert chosen == {0: 1769, 1: 128}


def test_without_power_values_the_whole_range_is_searched(shop: Shop) -> None:
    name = shop.function("shop-range")
    tuning = shop.tune(lambdaARN=name, payload={"seconds": 0.03}, powerValues="ALL")
    assert tuning.status == "SUCCEEDED", tuning.reason
    assert tuning.output is not None and tuning.output.power == 128
    assert tuning.summary is not None and tuning.summary.search == "adaptive"
    assert sum(each.done for each in tuning.progress) < 30
    assert shop.is_untouched(name)


def test_auto_optimize_points_the_alias_at_the_version_that_was_measured(shop: Shop) -> None:
    name = shop.function("shop-alias")
    tuning = shop.tune(
        lambdaARN=name, powerValues=[128, 512], num=5, autoOptimize=True, autoOptimizeAlias="prod", payload={}
    )
    assert tuning.status == "SUCCEEDED", tuning.reason
    aliases = shop.aliases(name)
    assert set(aliases) == {"prod"}
    assert shop.versions(name) == {"1", aliases["prod"]}
    assert shop.configuration(name, "prod")["MemorySize"] == tuning.output.power  # type: ignore[union-attr]
    assert shop.configuration(name)["MemorySize"] == 192
    # Tuned again, the alias moves, and what it led to is left alone.
    again = shop.tune(lambdaARN=name, powerValues=[256], num=1, autoOptimize=True, autoOptimizeAlias="prod")
    assert again.status == "SUCCEEDED", again.reason
    assert shop.configuration(name, "prod")["MemorySize"] == 256
    assert {"1", aliases["prod"], shop.aliases(name)["prod"]} == shop.versions(name)


def test_auto_optimize_without_an_alias_changes_latest(shop: Shop) -> None:
    name = shop.function("shop-latest")
    tuning = shop.tune(lambdaARN=name, powerValues=[256], num=1, autoOptimize=True)
    assert tuning.status == "SUCCEEDED", tuning.reason
    assert shop.configuration(name)["MemorySize"] == 256
    assert (shop.aliases(name), shop.versions(name)) == ({}, {"1"})


def test_a_dry_run_invokes_each_size_once_and_recommends_nothing(shop: Shop) -> None:
    name = shop.function("shop-dry")
    tuning = shop.tune(lambdaARN=name, powerValues=[128, 256], num=50, dryRun=True, autoOptimize=True)
    assert (tuning.status, tuning.output) == ("SUCCEEDED", None)
    assert all(1 <= each.done <= 4 for each in tuning.progress)
    assert shop.is_untouched(name)


def test_weighted_payloads_are_used_as_often_as_they_weigh_and_weigh_in_the_average(shop: Shop) -> None:
    name = shop.function("shop-weighted")
    weighted = [{"payload": {"seconds": 0.1}, "weight": 1}, {"payload": {"seconds": 0.01}, "weight": 4}]
    tuning = shop.tune(lambdaARN=name, powerValues=[256], num=10, payload=weighted)
    assert tuning.status == "SUCCEEDED", tuning.reason
    cases = {case.case: case.passed for case in tuning.summary.cases}  # type: ignore[union-attr]
    assert set(cases) == {"payload 1", "payload 2"}
    # What the machine disturbed was measured again, up to three times.
    assert 2 <= cases["payload 1"] <= 8 <= cases["payload 2"] <= 32
    assert tuning.output is not None
    assert 28 <= tuning.output.duration <= 40


def test_processors_run_before_and_after_each_invocation(shop: Shop) -> None:
    name = shop.function("shop-processed")
    before, after = shop.function("shop-before", "before"), shop.function("shop-after", "after")
    silent = shop.function("shop-silent", "silent")
    tuning = shop.tune(
        lambdaARN=name,
        powerValues=[256],
        num=4,
        payload={"seconds": 0.5},
        preProcessorARN=before,
        postProcessorARN=after,
    )
    assert tuning.status == "SUCCEEDED", tuning.reason
    assert tuning.output is not None and tuning.output.duration < 100
    # An empty answer leaves the payload as it is; a processor that fails ends the tuning.
    failed = shop.tune(
        lambdaARN=name, powerValues=[256], num=2, payload={"seconds": 0}, preProcessorARN=silent, postProcessorARN=after
    )
    assert failed.status == "FAILED"
    assert failed.reason is not None and "the post-processor shop-after failed" in failed.reason
    assert "was given" in failed.reason
    assert shop.is_untouched(name)


def test_exceptions_fail_the_tuning_unless_they_are_allowed(shop: Shop) -> None:
    name = shop.function("shop-raises")
    payload = {"raise": "sold out"}
    failed = shop.tune(lambdaARN=name, powerValues=[128, 256], num=2, payload=payload)
    assert failed.status == "FAILED"
    assert failed.reason is not None
    assert "ValueError: sold out" in failed.reason and "invoked with" in failed.reason
    assert shop.is_untouched(name)
    allowed = shop.tune(
        lambdaARN=name, powerValues=[128, 256], num=2, payload=payload, allowedExceptions=["ValueError"]
    )
    assert allowed.status == "SUCCEEDED", allowed.reason


def test_only_cold_starts_are_measured_where_that_is_asked(shop: Shop) -> None:
    name = shop.function("shop-cold")
    tuning = shop.tune(lambdaARN=name, powerValues=[256, 512], num=2, payload={"seconds": 0}, onlyColdStarts=True)
    assert tuning.status == "SUCCEEDED", tuning.reason
    assert tuning.summary is not None
    assert [value.memory_mb for value in tuning.summary.power_values] == [256, 512]
    for value, each in zip(tuning.summary.power_values, tuning.progress, strict=True):
        assert value.cold_starts == each.done, "what was measured again was cold again"
        # The start is counted: the work alone takes a twentieth of a millisecond.
        assert value.min_ms is not None and value.min_ms > 1
    assert shop.is_untouched(name)


def test_an_invocation_that_is_made_again_is_a_cold_start_again(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a round that the machine disturbed: the next one makes the same invocation."""
    name, tuning_id = shop.function("shop-again"), "shop-again"
    asked = {"lambdaARN": name, "powerValues": [256], "num": 1, "payload": {"seconds": 0}, "onlyColdStarts": True}
    with shop.acting_as("function-tuning-steps", monkeypatch) as services:
        steps.begin(services, tuning_id, asked)
        for round_number in (0, 1):
            alias = FunctionTuning.of(services, tuning_id).alias_of(256, 0)
            steps.publish(services, tuning_id, Publication(alias, 256))
            steps.execute(services, tuning_id, round_number, Batch(256, 0, 1))
        made = FunctionTuning.of(services, tuning_id).campaign.made
        steps.clean(services, tuning_id)
    assert [row.cold_start for row in made] == [True, True]
    assert shop.is_untouched(name)


def test_a_payload_in_s3_is_used(shop: Shop) -> None:
    name, s3 = shop.function("shop-s3"), shop.platform.service("s3")
    s3.create_bucket(Bucket="shop-payloads")
    s3.put_object(Bucket="shop-payloads", Key="slow.json", Body=json.dumps({"seconds": 0.05}).encode())
    address = "s3://shop-payloads/slow.json"
    tuning = shop.tune(lambdaARN=name, powerValues=[256], num=3, payloadS3=address)
    assert tuning.status == "SUCCEEDED", tuning.reason
    assert tuning.output is not None and 50 <= tuning.output.duration < 80
    absent = shop.tune(lambdaARN=name, powerValues=[256], num=3, payloadS3=f"{address}x")
    assert (absent.status, absent.reason) == ("FAILED", f"payloadS3: there is no object {address}x")


def test_what_cannot_be_tuned_is_said_and_nothing_is_touched(shop: Shop) -> None:
    own = shop.tune(lambdaARN="greenroom-clean", powerValues=[128], num=1)
    assert own.status == "FAILED" and "belongs to Greenroom" in (own.reason or "")
    absent = shop.tune(lambdaARN="shop-nowhere", powerValues=[128], num=1)
    assert absent.status == "FAILED" and "there is no function 'shop-nowhere'" in (absent.reason or "")
    foreign = shop.tune(lambdaARN="arn:aws:lambda:eu-west-1:111111111111:function:x", powerValues=[128], num=1)
    assert foreign.status == "FAILED" and "a function of us-east-1" in (foreign.reason or "")


def test_a_function_is_tuned_once_at_a_time_and_a_killed_tuning_is_made_good_by_the_next(shop: Shop) -> None:
    name, states = shop.function("shop-killed"), shop.platform.service("stepfunctions")
    machine = f"arn:aws:states:us-east-1:{shop.platform.aws.account_id}:stateMachine:greenroom-function-tuning"
    first = shop.platform.client.tune({"lambdaARN": name, "powerValues": [512], "num": 40, "payload": {"seconds": 0.2}})
    eventually(lambda: "greenroom-tune-512" in shop.aliases(name))
    second = shop.tune(lambdaARN=name, powerValues=[128], num=1)
    assert second.status == "FAILED" and f"is being tuned by {first}" in (second.reason or "")
    states.stop_execution(executionArn=f"{machine.replace('stateMachine', 'execution')}:{first}")
    eventually(lambda: shop.platform.client.tuning(first).status == "ABORTED")
    third = shop.tune(lambdaARN=name, powerValues=[128], num=1, payload={"seconds": 0})
    assert third.status == "SUCCEEDED", third.reason
    assert shop.is_untouched(name)


def test_a_function_of_a_tuning_that_is_forgotten_is_taken_over_and_put_right(shop: Shop) -> None:
    """Step Functions forgets executions after 90 days, and those of a state machine that is gone at once."""
    name, deployment = shop.function("shop-forgotten"), shop.platform.deployment
    shop.platform.service("s3").put_object(
        Bucket=f"{deployment.prefix}-packages-{deployment.account_id}-{deployment.region}",
        Key=f"tunings/.functions/{name}.json",
        Body=json.dumps({"tuningId": "forgotten", "memoryMb": 192, "description": "sells things"}).encode(),
    )
    shop.client.update_function_configuration(FunctionName=name, MemorySize=512)
    tuning = shop.tune(lambdaARN=name, powerValues=[128], num=1, payload={"seconds": 0})
    assert tuning.status == "SUCCEEDED", tuning.reason
    assert shop.is_untouched(name)


def test_the_command_prints_the_output_and_draws_a_picture(shop: Shop, tmp_path: Path) -> None:
    name = shop.function("shop-command")
    file, picture = tmp_path / "tuning.json", tmp_path / "tuning.svg"
    file.write_text(json.dumps({"powerValues": [128, 256], "num": 5, "payload": {"seconds": 0.01}}))
    deployment = shop.platform.deployment
    environment = {**os.environ, "GREENROOM_URL": deployment.url, "GREENROOM_TOKEN": deployment.token}
    done = subprocess.run(
        [sys.executable, "-m", "greenroom.cli.main", "tune", name, "--input", file, "--plot", picture, "--json"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout)) == {"power", "cost", "duration", "stateMachine"}
    assert "costs at most" in done.stderr and "state transitions" in done.stderr
    assert picture.read_text().startswith("<svg")


def test_a_report_line_of_a_tuned_function_is_found_in_its_log(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a function tuning looks for it, in its own role: Lambda's tail is 4 KB and may end before REPORT."""
    name = shop.function("shop-log")
    answer = shop.client.invoke(FunctionName=name, Payload=b"{}")
    request_id = answer["ResponseMetadata"]["RequestId"]
    with shop.acting_as("function-tuning-steps", monkeypatch) as services:
        report = Meter(services, name, 10).report_from_logs(request_id, "2026-01-01T00:00:00Z")
    assert report.duration_ms >= 20

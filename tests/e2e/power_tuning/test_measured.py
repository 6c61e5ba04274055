"""AWS Lambda Power Tuning itself, unmodified, next to `tune`: deployed by its own template, on the same function.

    POWER_TUNING=FOLDER NODE_PATH=FOLDER/layer-sdk/node_modules pytest tests/e2e/power_tuning

FOLDER is a clone of https://github.com/alexcasalboni/aws-lambda-power-tuning; `npm install` has run in its `layer-sdk`.
It also takes Node.js and the package aws-sam-translator. What measures runs alone, see tests/scheduling.py.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from greenroom.engine import interpreters
from tests.e2e.packages import RUNTIME
from tests.e2e.stage import Platform, eventually

FOLDER = Path(os.environ.get("POWER_TUNING", ""))

needed = pytest.mark.skipif(
    "POWER_TUNING" not in os.environ or find_spec("samtranslator") is None or interpreters.node(22) is None,
    reason="needs a clone (POWER_TUNING), Node.js and aws-sam-translator: see the head of this file",
)

SIZES = [128, 256, 512, 1024, 1769]

HASHES = """
import hashlib

def handler(event, context):
    digest = b""
    for _ in range(20_000):
        digest = hashlib.sha256(digest).digest()
"""


def zipped(folder: Path, prefix: str = "") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, f"{prefix}{path.relative_to(folder)}")
    return buffer.getvalue()


def deploy_power_tuning(platform: Platform) -> str:
    """Do what `aws cloudformation package` and `deploy` do; return the state machine's ARN."""
    bucket, s3 = "power-tuning", platform.service("s3")
    s3.create_bucket(Bucket=bucket)
    template = (FOLDER / "template.yml").read_text()
    for local, name, content in (
        ("CodeUri: lambda", "lambda.zip", zipped(FOLDER / "lambda")),
        ("ContentUri: ./layer-sdk", "sdk.zip", zipped(FOLDER / "layer-sdk" / "node_modules", "nodejs/node_modules/")),
        (
            "DefinitionUri: statemachine/statemachine.asl.json",
            "machine.json",
            (FOLDER / "statemachine" / "statemachine.asl.json").read_bytes(),
        ),
    ):
        s3.put_object(Bucket=bucket, Key=name, Body=content)
        template = template.replace(local, f"{local.partition(':')[0]}: s3://{bucket}/{name}")
    stacks = platform.service("cloudformation")
    capabilities: Any = ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]
    stacks.create_stack(StackName="power-tuning", TemplateBody=template, Capabilities=capabilities)
    stacks.get_waiter("stack_create_complete").wait(StackName="power-tuning", WaiterConfig={"Delay": 1})
    (output,) = stacks.describe_stacks(StackName="power-tuning")["Stacks"][0]["Outputs"]
    return str(output["OutputValue"])


def make_function(platform: Platform) -> str:
    iam = platform.service("iam")
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    role = iam.create_role(RoleName="hashes", AssumeRolePolicyDocument=policy)["Role"]["Arn"]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("app.py", HASHES)
    made = platform.service("lambda").create_function(
        FunctionName="hashes",
        Runtime=RUNTIME,
        Role=role,
        Handler="app.handler",
        Code={"ZipFile": buffer.getvalue()},
        Timeout=30,
    )
    return str(made["FunctionArn"])


@needed
def test_power_tuning_runs_unmodified_and_its_curve_is_ours(platform: Platform) -> None:
    machine, function = deploy_power_tuning(platform), make_function(platform)
    document = {"lambdaARN": function, "powerValues": SIZES, "num": 10, "payload": {}, "includeOutputResults": True}
    states = platform.service("stepfunctions")
    execution = states.start_execution(stateMachineArn=machine, input=json.dumps(document))["executionArn"]
    ended = eventually(
        lambda: (found := states.describe_execution(executionArn=execution))["status"] != "RUNNING" and found, 120
    )
    assert ended["status"] == "SUCCEEDED", ended
    theirs = json.loads(ended["output"])
    tuning = platform.client.wait_for_tuning(platform.client.tune(document), timeout_s=180)
    assert tuning.output is not None, tuning.reason
    ours = tuning.output.to_json()
    print(json.dumps(theirs, indent=2))
    print(json.dumps(ours, indent=2))
    assert set(ours) == set(theirs)
    their_ms, our_ms = ({each["value"]: each["averageDuration"] for each in found["stats"]} for found in (theirs, ours))
    assert sorted(their_ms) == sorted(our_ms) == SIZES
    for size in SIZES[:3]:
        # Below a third of a core its share is what a function is short of, whatever else the machine does.
        assert our_ms[size] == pytest.approx(their_ms[size], rel=0.35), (their_ms, our_ms)
    for found in (their_ms, our_ms):
        assert found[128] / found[512] == pytest.approx(4, rel=0.4), found

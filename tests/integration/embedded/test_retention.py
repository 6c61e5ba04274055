"""What is forgotten after months: expired objects, log lines, executions, stack events; and what stays."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import boto3

from greenroom.embedded import EmbeddedAws

LATER = """
import sys, time
from pathlib import Path
from greenroom.embedded import folder, server

data, days = Path(sys.argv[1]), int(sys.argv[2])
server._settle_environment(data, 1)
from greenroom.embedded.durable import Effects
from greenroom.embedded.retention import Retention

store = folder.open_store(data)
effects = Effects(store, data)
effects.load()
retention = Retention(effects, clock=lambda: time.time() + days * 86_400)
for delete in (retention.objects, retention.log_lines, retention.executions, retention.stack_events):
    delete()
effects.write_background()
store.barrier()
store.close()
"""
"""A process in which so many days have gone by: while no server has the folder, it deletes what is past its time."""

TEMPLATE = {
    "Resources": {
        "Bucket": {
            "Type": "AWS::S3::Bucket",
            "Properties": {
                "BucketName": "kept-for-a-while",
                "LifecycleConfiguration": {
                    "Rules": [
                        {"Id": "inbox", "Prefix": "inbox/", "Status": "Enabled", "ExpirationInDays": 30},
                        {"Id": "off", "Prefix": "off/", "Status": "Disabled", "ExpirationInDays": 1},
                    ]
                },
            },
        },
        "Logs": {
            "Type": "AWS::Logs::LogGroup",
            "Properties": {"LogGroupName": "/kept/for/a/while", "RetentionInDays": 30},
        },
    }
}

MACHINE = {"StartAt": "Over", "States": {"Over": {"Type": "Succeed"}}}


def client(aws: EmbeddedAws, service: str) -> Any:
    session = boto3.Session(aws.access_key_id, aws.secret_access_key, region_name=aws.region)
    return session.client(service, endpoint_url=aws.endpoint_url)  # type: ignore[call-overload]


def fill(aws: EmbeddedAws) -> str:
    """Make something of everything that is forgotten one day; return the execution's ARN."""
    cloudformation = client(aws, "cloudformation")
    cloudformation.create_stack(StackName="kept", TemplateBody=json.dumps(TEMPLATE))
    cloudformation.get_waiter("stack_create_complete").wait(StackName="kept", WaiterConfig={"Delay": 1})
    s3 = client(aws, "s3")
    for key in ("inbox/a", "off/a", "results/a"):
        s3.put_object(Bucket="kept-for-a-while", Key=key, Body=b"x")
    logs = client(aws, "logs")
    logs.create_log_group(logGroupName="/kept/for/ever")
    for group in ("/kept/for/a/while", "/kept/for/ever"):
        logs.create_log_stream(logGroupName=group, logStreamName="one")
        line = {"timestamp": int(time.time() * 1_000), "message": "a line"}
        logs.put_log_events(logGroupName=group, logStreamName="one", logEvents=[line])
    trust = {"Effect": "Allow", "Principal": {"Service": "states.amazonaws.com"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    role = client(aws, "iam").create_role(RoleName="flow", AssumeRolePolicyDocument=document)["Role"]["Arn"]
    states = client(aws, "stepfunctions")
    machine = states.create_state_machine(name="flow", definition=json.dumps(MACHINE), roleArn=role)["stateMachineArn"]
    execution: str = states.start_execution(stateMachineArn=machine, name="one")["executionArn"]
    while states.describe_execution(executionArn=execution)["status"] == "RUNNING":
        time.sleep(0.05)
    return execution


def found(aws: EmbeddedAws, execution: str) -> dict[str, Any]:
    """What is there."""
    s3, logs, states = client(aws, "s3"), client(aws, "logs"), client(aws, "stepfunctions")
    machine = execution.replace(":execution:", ":stateMachine:").rpartition(":")[0]
    executions = states.list_executions(stateMachineArn=machine)["executions"]
    return {
        "objects": [each["Key"] for each in s3.list_objects_v2(Bucket="kept-for-a-while").get("Contents", ())],
        "lines": [
            len(logs.filter_log_events(logGroupName=group)["events"])
            for group in ("/kept/for/a/while", "/kept/for/ever")
        ],
        "executions": len(executions),
        "history": len(states.get_execution_history(executionArn=execution)["events"]) if executions else 0,
        "stack events": len(client(aws, "cloudformation").describe_stack_events(StackName="kept")["StackEvents"]) > 0,
    }


def later(data: Path, days: int) -> None:
    subprocess.run([sys.executable, "-c", LATER, str(data), str(days)], check=True, timeout=120)


def test_what_is_past_its_time_is_forgotten_and_the_rest_stays(tmp_path: Path) -> None:
    with EmbeddedAws.start(tmp_path) as aws:
        execution = fill(aws)
        before = found(aws, execution)
        rules = client(aws, "s3").get_bucket_lifecycle_configuration(Bucket="kept-for-a-while")["Rules"]
        assert rules[0]["Expiration"] == {"Days": 30}
    assert before["history"] > 1
    later(tmp_path, 29)
    with EmbeddedAws.start(tmp_path) as aws:
        assert found(aws, execution) == before
    later(tmp_path, 32)
    with EmbeddedAws.start(tmp_path) as aws:
        after = found(aws, execution)
        assert after == {
            "objects": ["off/a", "results/a"],
            "lines": [0, 1],
            "executions": 1,
            "history": 0,
            "stack events": True,
        }
    later(tmp_path, 91)
    with EmbeddedAws.start(tmp_path) as aws:
        assert found(aws, execution) == {**after, "executions": 0, "stack events": False}
        assert client(aws, "cloudformation").describe_stacks(StackName="kept")["Stacks"]

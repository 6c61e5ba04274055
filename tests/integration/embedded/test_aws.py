"""The embedded AWS as others use it: its doors, its roles, its memory, and the seam that the engine hangs in."""

from __future__ import annotations

import ast
import contextlib
import inspect
import io
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import boto3
import httpx
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from greenroom import embedded
from greenroom.embedded import EmbeddedAws, StartFailed, process

RUNTIME = f"python{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedAws]:
    with EmbeddedAws.start(tmp_path_factory.mktemp("aws"), port=0) as running:
        yield running


def client(aws: EmbeddedAws, service: str, key: str | None = None, secret: str | None = None) -> Any:
    session = boto3.Session(key or aws.access_key_id, secret or aws.secret_access_key, region_name=aws.region)
    once = Config(retries={"total_max_attempts": 1})
    return session.client(service, endpoint_url=aws.endpoint_url, config=once)  # type: ignore[call-overload]


def zipped(source: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("app.py", source)
    return buffer.getvalue()


def make_role(aws: EmbeddedAws, name: str, *statements: dict[str, Any]) -> str:
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    iam = client(aws, "iam")
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    arn: str = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]["Arn"]
    if statements:
        policy = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
        iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=policy)
    return arn


def make_function(aws: EmbeddedAws, name: str, source: str, role: str, **options: Any) -> None:
    client(aws, "lambda").create_function(
        FunctionName=name,
        Runtime=RUNTIME,
        Handler="app.handler",
        Role=role,
        Code={"ZipFile": zipped(source)},
        MemorySize=512,
        **options,
    )


LOGS = {"Effect": "Allow", "Action": ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"]}


def test_only_its_own_root_keys_are_accepted(aws: EmbeddedAws) -> None:
    assert client(aws, "sts").get_caller_identity()["Account"] == aws.account_id
    for key, secret in (("test", "test"), (aws.account_id, "test"), (aws.access_key_id, "wrong")):
        with pytest.raises(ClientError):
            client(aws, "sqs", key, secret).list_queues()


def test_what_is_not_signed_is_refused(aws: EmbeddedAws) -> None:
    client(aws, "s3").create_bucket(Bucket="closed")
    client(aws, "s3").put_object(Bucket="closed", Key="secret", Body=b"x")
    assert httpx.get(f"{aws.endpoint_url}/closed/secret").status_code == 403
    assert httpx.put(f"{aws.endpoint_url}/closed/other", content=b"x").status_code == 403


def test_it_listens_on_the_loopback_interface_and_answers_to_its_own_names_only(aws: EmbeddedAws) -> None:
    names = {f"127.0.0.1:{aws.port}": 200, f"localhost:{aws.port}": 200, "127.0.0.1": 421, "localhost:1": 421}
    names |= {
        f"{name}:{aws.port}": 421 for name in ("evil.example", "iam.localhost", "x.execute-api.localhost", "[::1]")
    }
    for host, status in names.items():
        answer = httpx.get(f"{aws.endpoint_url}/_ministack/health", headers={"Host": host})
        assert answer.status_code == status, host


@pytest.mark.parametrize(
    "path", ["/_ministack/reset", "/_ministack/config", "/_aws/sqs/messages", "/_localstack/health"]
)
def test_the_emulators_own_pages_are_closed(aws: EmbeddedAws, path: str) -> None:
    assert httpx.get(f"{aws.endpoint_url}{path}").status_code == 403
    assert httpx.post(f"{aws.endpoint_url}{path}").status_code == 403


def test_a_second_server_on_the_same_folder_or_port_is_refused_with_the_reason(
    aws: EmbeddedAws, tmp_path: Path
) -> None:
    with pytest.raises(StartFailed, match="in use by another"):
        EmbeddedAws.start(aws.data_dir, port=0)
    with pytest.raises(StartFailed, match="--port"):
        EmbeddedAws.start(tmp_path, port=aws.port)


def test_a_server_that_hangs_at_its_start_is_ended_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "lock")  # the server opens it, which waits for a reader
    monkeypatch.setattr(process, "START_TIMEOUT_S", 3.0)
    with pytest.raises(StartFailed, match=r"did not answer within 3 s and was ended.*aws\.log"):
        EmbeddedAws.start(tmp_path, port=0)
    assert not servers_on(tmp_path)


def test_a_server_that_dies_at_its_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "credentials.json").write_text('{"accessKeyId": "AKIA", "secretAccessKey": "s"}')
    (tmp_path / "engine").touch()  # where the server wants a folder
    with pytest.raises(StartFailed, match=r"NotADirectoryError|FileExistsError"):
        EmbeddedAws.start(tmp_path, port=0)
    assert not servers_on(tmp_path)


def servers_on(data_dir: Path) -> list[int]:
    """The processes that were started as servers of a data folder."""
    found = []
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = command.read_bytes().split(b"\0")
            if b"greenroom.embedded.server" in words and str(data_dir).encode() in words:
                found.append(int(command.parent.name))
    return found


def test_it_carries_on_after_a_clean_stop(tmp_path: Path) -> None:
    with EmbeddedAws.start(tmp_path, port=0) as first:
        role = make_role(first, "r")
        make_function(first, "kept", "def handler(event, context): return 'kept'", role)
        client(first, "s3").create_bucket(Bucket="kept")
        client(first, "s3").put_object(Bucket="kept", Key="k", Body=b"body")
        client(first, "sqs").create_queue(QueueName="kept")
        keys = first.access_key_id
    with EmbeddedAws.start(tmp_path, port=0) as second:
        assert second.access_key_id == keys
        assert client(second, "s3").get_object(Bucket="kept", Key="k")["Body"].read() == b"body"
        assert client(second, "sqs").get_queue_url(QueueName="kept")["QueueUrl"]
        assert json.load(client(second, "lambda").invoke(FunctionName="kept")["Payload"]) == "kept"


def test_it_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    program = f"""
import time
from pathlib import Path
from greenroom.embedded import EmbeddedAws
print(EmbeddedAws.start(Path({str(tmp_path)!r}), port=0).pid, flush=True)
time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    until = time.monotonic() + 15
    while time.monotonic() < until:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    pytest.fail("the server outlived its parent")


def test_invoke_answers_as_lambda_does(aws: EmbeddedAws) -> None:
    make_function(
        aws, "answers", "def handler(event, context): return context.aws_request_id", make_role(aws, "answers")
    )
    answer = client(aws, "lambda").invoke(FunctionName="answers", LogType="Tail")
    request_id = json.load(answer["Payload"])
    assert answer["ResponseMetadata"]["RequestId"] == request_id
    assert answer["ExecutedVersion"] == "$LATEST"
    assert "LogResult" in answer
    make_function(aws, "raises", "def handler(event, context): raise ValueError('no')", make_role(aws, "raises"))
    answer = client(aws, "lambda").invoke(FunctionName="raises")
    assert (answer["StatusCode"], answer["FunctionError"]) == (200, "Unhandled")
    assert json.load(answer["Payload"])["errorType"] == "ValueError"


def test_invocations_that_want_their_log_run_at_the_same_time(aws: EmbeddedAws) -> None:
    source = "import time\ndef handler(event, context): time.sleep(3)"
    make_function(aws, "sleeps", source, make_role(aws, "sleeps"), Timeout=30)
    lambda_ = client(aws, "lambda")
    begin = time.monotonic()
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: lambda_.invoke(FunctionName="sleeps", LogType="Tail"), range(6)))
    assert [answer["StatusCode"] for answer in answers] == [200] * 6
    assert time.monotonic() - begin < 5


# https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html


def test_reserved_concurrency_is_a_functions_most_and_all_of_its_throttle(aws: EmbeddedAws) -> None:
    role = make_role(aws, "reserved", {**LOGS, "Resource": "*"})
    make_function(aws, "reserved", "import time\ndef handler(event, context): time.sleep(event)", role, Timeout=20)
    lambda_ = client(aws, "lambda")
    lambda_.get_waiter("function_active_v2").wait(FunctionName="reserved")

    def invoke(seconds: float) -> int:
        answer = client(aws, "lambda").invoke(FunctionName="reserved", Payload=json.dumps(seconds))
        return int(answer["StatusCode"])

    lambda_.put_function_concurrency(FunctionName="reserved", ReservedConcurrentExecutions=1)
    assert invoke(0) == 200  # warm from now on
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(invoke, 1.5)
        time.sleep(0.5)
        with pytest.raises(lambda_.exceptions.TooManyRequestsException) as refused:
            lambda_.invoke(FunctionName="reserved", Payload="0")
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 429
        assert refused.value.response["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
        assert first.result() == 200
    assert invoke(0) == 200
    lambda_.put_function_concurrency(FunctionName="reserved", ReservedConcurrentExecutions=0)
    with pytest.raises(lambda_.exceptions.TooManyRequestsException):
        lambda_.invoke(FunctionName="reserved", Payload="0")
    lambda_.delete_function_concurrency(FunctionName="reserved")
    assert invoke(0) == 200


def test_a_function_has_the_rights_of_its_role_and_no_others(aws: EmbeddedAws) -> None:
    source = """
import boto3
def handler(event, context):
    s3 = boto3.client("s3")
    s3.put_object(Bucket="rights", Key=event, Body=b"x")
    return "written"
"""
    client(aws, "s3").create_bucket(Bucket="rights")
    allowed = {"Effect": "Allow", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::rights/mine/*"}
    make_function(aws, "rights", source, make_role(aws, "rights", allowed), Timeout=30)
    lambda_ = client(aws, "lambda")
    answer = lambda_.invoke(FunctionName="rights", Payload=b'"mine/x"')
    assert json.load(answer["Payload"]) == "written"
    answer = lambda_.invoke(FunctionName="rights", Payload=b'"theirs/x"')
    assert "AccessDenied" in json.load(answer["Payload"])["errorMessage"]


def test_without_the_right_to_write_logs_there_are_none(aws: EmbeddedAws) -> None:
    source = "def handler(event, context): print('said')"
    may = {**LOGS, "Resource": f"arn:aws:logs:{aws.region}:{aws.account_id}:log-group:/aws/lambda/speaks*"}
    make_function(aws, "speaks", source, make_role(aws, "speaks", may))
    make_function(aws, "silent", source, make_role(aws, "silent"))
    for name in ("speaks", "silent"):
        client(aws, "lambda").invoke(FunctionName=name)
    logs = client(aws, "logs")
    groups = {group["logGroupName"] for group in logs.describe_log_groups()["logGroups"]}
    assert "/aws/lambda/speaks" in groups and "/aws/lambda/silent" not in groups
    client(aws, "lambda").invoke(FunctionName="speaks")
    # Two invocations of one environment are in one stream, named as Lambda names them.
    (stream,) = logs.describe_log_streams(logGroupName="/aws/lambda/speaks")["logStreams"]
    assert stream["logStreamName"].split("/")[3].startswith("[$LATEST]")
    events = logs.filter_log_events(logGroupName="/aws/lambda/speaks")["events"]
    assert [event["message"] for event in events].count("said\n") == 2


def test_an_event_source_needs_the_functions_role_to_read_it(aws: EmbeddedAws) -> None:
    queue = client(aws, "sqs").create_queue(QueueName="source")["QueueUrl"]
    arn = client(aws, "sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    make_function(aws, "no-source", "def handler(event, context): ...", make_role(aws, "no-source"))
    with pytest.raises(ClientError, match="ReceiveMessage"):
        client(aws, "lambda").create_event_source_mapping(FunctionName="no-source", EventSourceArn=arn)


def test_cloudformation_may_only_do_what_the_stacks_role_may(aws: EmbeddedAws) -> None:
    iam, cloudformation = client(aws, "iam"), client(aws, "cloudformation")
    trust = {"Effect": "Allow", "Principal": {"Service": "cloudformation.amazonaws.com"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    role = iam.create_role(RoleName="stacks", AssumeRolePolicyDocument=document)["Role"]["Arn"]
    body = {"Resources": {"Queue": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "by-stack"}}}}
    cloudformation.create_stack(StackName="denied", TemplateBody=json.dumps(body), RoleARN=role)
    until = time.monotonic() + 20
    while (stack := cloudformation.describe_stacks(StackName="denied")["Stacks"][0])["StackStatus"].endswith(
        "PROGRESS"
    ):
        assert time.monotonic() < until
        time.sleep(0.1)
    assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
    events = cloudformation.describe_stack_events(StackName="denied")["StackEvents"]
    assert any("sqs:CreateQueue" in event.get("ResourceStatusReason", "") for event in events)


DEPLOY = ("stack_name", "stack_id", "template", "param_values", "disable_rollback", "tags", "is_update", "*")

REPLACED: dict[str, dict[str, tuple[str, ...] | None]] = {
    "conditions": {
        "ministack.services.cloudformation.changesets._evaluate_conditions": ("template", "params"),
        "ministack.services.cloudformation.handlers._evaluate_conditions": ("template", "params"),
        "ministack.services.cloudformation.stacks._evaluate_conditions": ("template", "params"),
    },
    "durable/executions": {
        "ministack.services.stepfunctions._add_event": ("execution", "event_type", "details"),
        "ministack.services.stepfunctions._execute_task": ("state_def", "raw_input", "execution", "ctx"),
    },
    "durable/logs": {
        "ministack.services.cloudwatch_logs._append_log_events": ("stream", "events"),
    },
    "durable/objects": {
        "ministack.services.s3._read_body": ("bucket_name", "key", "obj"),
        "ministack.services.s3._fire_s3_event_async": ("bucket_name", "key", "event_name", "*"),
    },
    "retention": {"ministack.services.s3._bucket_lifecycle": None},
    "lambda_previous": {
        "ministack.core.persistence.PERSIST_STATE": None,
        "ministack.core.persistence.STATE_DIR": None,
        "ministack.services.dynamodb._stream_records": None,
        "ministack.services.dynamodb._stream_trimmed": None,
    },
    "previous": {
        "ministack.core.persistence.PERSIST_STATE": None,
        "ministack.core.persistence.STATE_DIR": None,
        "ministack.services.s3.S3_PERSIST": None,
        "ministack.services.s3.DATA_DIR": None,
    },
    "durable/stacks": {
        "ministack.services.cloudformation.handlers._deploy_stack_async": DEPLOY,
        "ministack.services.cloudformation.changesets._deploy_stack_async": DEPLOY,
        "ministack.services.cloudformation.handlers._delete_stack_async": ("stack_name", "stack_id", "*"),
        "ministack.services.cloudformation.stacks._delete_stack_async": ("stack_name", "stack_id", "*"),
    },
    "durable/tables": {
        "ministack.services.dynamodb._set_item": ("table", "pk_val", "sk_val", "item"),
        "ministack.services.dynamodb._remove_item": ("table", "pk_val", "sk_val"),
        "ministack.services.dynamodb._items_replaced": ("table",),
    },
    "iam": {
        "ministack.core.iam_evaluator.is_root_access_key": ("access_key_id",),
        "ministack.services.cloudformation.handle_request": ("method", "path", "headers", "body", "query_params"),
        "ministack.services.cloudformation.stacks._provision_resource": ("resource_type", "logical_id", "props", "*"),
        "ministack.services.cloudformation.stacks._update_resource": (
            "resource_type",
            "physical_id",
            "old_props",
            "new_props",
            "*",
        ),
        "ministack.services.cloudformation.stacks._delete_resource": ("resource_type", "physical_id", "props", "*"),
    },
    "adapters/invoking": {"ministack.services.cloudwatch_logs._log_groups": None},
    "credentials": {"ministack.services.sts._sessions": None},
    "lambda_callers": {
        "ministack.services.lambda_svc": None,
        "ministack.services.sns._deliver_to_lambda": ("endpoint", "envelope", "topic_arn", "sub_arn", "*"),
        "ministack.services.eventbridge._dispatch_to_lambda": ("arn", "payload"),
        "ministack.services.stepfunctions._execute_task": ("state_def", "raw_input", "execution", "ctx"),
        "ministack.services.stepfunctions._call_lambda": ("func_ref", "event"),
    },
    "lambda_stacks": {
        "ministack.services.cloudformation.provisioners._RESOURCE_HANDLERS": None,
        "ministack.services.cloudformation.drift._DRIFT_READERS": None,
        "ministack.services.cloudformation.changesets._IMPORT_LOOKUPS": None,
        "ministack.services.tagging._COLLECTORS": None,
        "ministack.services.tagging._RESOURCE_TAG_COLLECTORS": None,
        "ministack.services.tagging._WRITERS": None,
        "ministack.services.tagging._REMOVERS": None,
    },
    "iam_log": {
        "ministack.core.iam_evaluator.evaluate": ("ctx", "policies", "limits"),
    },
}
"""Every name of ministack that a module of `embedded` replaces or puts something into.

With its parameters, if it has some; `*` stands for any others.
"""


def parameters(function: Any) -> list[str]:
    return list(inspect.signature(function).parameters)


@pytest.mark.parametrize("module", sorted(REPLACED))
def test_what_is_replaced_is_where_this_version_of_ministack_has_it(module: str) -> None:
    """Fails by name when another version of ministack moves it."""
    for name, expected in REPLACED[module].items():
        found = resolve_name(name)
        if expected is not None:
            known = [parameter for parameter in expected if parameter != "*"]
            assert parameters(found)[: len(known) if "*" in expected else None] == known, name


def changed_names(tree: ast.AST) -> set[str]:
    """What a module assigns to, puts into or updates, of modules that it has imported."""
    found = set()
    for node in ast.walk(tree):
        targets = node.targets if isinstance(node, ast.Assign) else []
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "update":
            targets = [node.func.value]
        for target in [each for one in targets for each in (one.elts if isinstance(one, ast.Tuple) else [one])]:
            place = target.value if isinstance(target, ast.Subscript) else target
            if isinstance(place, ast.Attribute) and isinstance(place.value, ast.Name):
                found.add(f"{place.value.id}.{place.attr}")
    return found


def test_nothing_else_of_ministack_is_replaced() -> None:
    found: dict[str, set[str]] = {}
    folder = Path(inspect.getfile(embedded)).parent
    for path in folder.rglob("*.py"):
        module = path.relative_to(folder).with_suffix("").as_posix()
        tree = ast.parse(path.read_text())
        imported = {
            alias.name: f"{node.module}.{alias.name}"
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ministack")
            for alias in node.names
        }
        replaced = {name for name in changed_names(tree) if name.partition(".")[0] in imported}
        if replaced:
            found[module] = {imported[name.partition(".")[0]] + "." + name.partition(".")[2] for name in replaced}
    assert found == {module: set(names) for module, names in REPLACED.items()}


def test_what_is_called_is_where_this_version_of_ministack_has_it() -> None:
    from ministack.core import iam_evaluator
    from ministack.services import iam, s3
    from ministack.services.cloudformation import provisioners

    assert parameters(iam_evaluator.request_caller_arn)[0] == "headers"
    assert parameters(iam_evaluator._gather_role_policies) == ["role_name", "account_id"]
    assert parameters(s3._get_object_data) == ["bucket_name", "key", "version_id"]
    assert hasattr(iam, "_roles") and hasattr(s3, "_buckets")
    assert parameters(provisioners._delete_predecessor)[0] == "delete_fn"
    assert parameters(provisioners._physical_name)[:2] == ["stack_name", "logical_id"]

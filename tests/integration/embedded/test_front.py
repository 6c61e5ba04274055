"""Attacks on the door of the embedded AWS. Each of these worked once."""

from __future__ import annotations

import contextlib
import hashlib
import json
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from greenroom.embedded import EmbeddedAws
from greenroom.embedded.front import listener
from tests.integration.embedded.test_aws import make_function, make_role

FORM = "multipart/form-data; boundary=x"


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedAws]:
    with EmbeddedAws.start(tmp_path_factory.mktemp("aws"), port=0) as running:
        yield running


@pytest.fixture(scope="module")
def nobody(aws: EmbeddedAws) -> Credentials:
    """The key of a user who may do nothing."""
    iam = client(aws, "iam")
    iam.create_user(UserName="nobody")
    key = iam.create_access_key(UserName="nobody")["AccessKey"]
    return Credentials(key["AccessKeyId"], key["SecretAccessKey"])


def client(aws: EmbeddedAws, service: str) -> Any:
    session = boto3.Session(aws.access_key_id, aws.secret_access_key, region_name=aws.region)
    return session.client(service, endpoint_url=aws.endpoint_url)  # type: ignore[call-overload]


def signing(aws: EmbeddedAws) -> Any:
    """A client of S3 that signs addresses as the platform does."""
    session = boto3.Session(aws.access_key_id, aws.secret_access_key, region_name=aws.region)
    return session.client("s3", endpoint_url=aws.endpoint_url, config=Config(signature_version="s3v4"))


def users(aws: EmbeddedAws) -> set[str]:
    return {user["UserName"] for user in client(aws, "iam").list_users()["Users"]}


@dataclass(frozen=True)
class Sent:
    """A request as it is written here."""

    service: str
    method: str
    path: str
    body: bytes = b""
    content_type: str = ""


def signed(aws: EmbeddedAws, key: Credentials, sent: Sent) -> httpx.Response:
    """The answer to a request that is as given here, with a good signature."""
    headers = {"Content-Type": sent.content_type} if sent.content_type else {}
    url = f"{aws.endpoint_url}{sent.path}"
    request = AWSRequest(method=sent.method, url=url, data=sent.body, headers=headers)
    SigV4Auth(key, sent.service, aws.region).add_auth(request)
    with httpx.Client() as http:
        return http.request(sent.method, url, content=sent.body, headers=dict(request.headers))


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/", {"Content-Type": FORM}),
        ("/", {"Content-Type": FORM, "Host": "iam.localhost:{port}"}),
        ("/", {"Content-Type": "application/x-www-form-urlencoded", "Host": "iam.execute-api.localhost:{port}"}),
        ("/_aws/execute-api//", {"Content-Type": FORM}),
        ("/_aws/execute-api/none/x", {"Content-Type": "application/x-www-form-urlencoded"}),
        ("/a-bucket", {"Content-Type": FORM, "X-Amz-Target": "DynamoDB_20120810.ListTables"}),
        ("/a-bucket?Action=CreateUser&UserName=intruder", {"Content-Type": FORM}),
    ],
)
def test_nobody_is_root_without_a_key(aws: EmbeddedAws, path: str, headers: dict[str, str]) -> None:
    client(aws, "s3").create_bucket(Bucket="a-bucket")
    sent = {name: value.format(port=aws.port) for name, value in headers.items()}
    answer = httpx.post(f"{aws.endpoint_url}{path}", content="Action=CreateUser&UserName=intruder", headers=sent)
    assert answer.status_code in (400, 403, 421)
    assert "intruder" not in users(aws)


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1", "http://localhost:1", "https://127.0.0.1:{port}"]
)
def test_a_page_of_another_origin_gets_no_answer(aws: EmbeddedAws, origin: str) -> None:
    headers = {"Origin": origin.format(port=aws.port)}
    answer = httpx.get(f"{aws.endpoint_url}/_ministack/health", headers=headers)
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers


def test_no_answer_is_open_to_every_origin(aws: EmbeddedAws) -> None:
    key = Credentials(aws.access_key_id, aws.secret_access_key)
    for path, service in (("/", "s3"), ("/2015-03-31/functions/", "lambda")):
        answer = signed(aws, key, Sent(service, "GET", path))
        assert answer.status_code == 200, answer.text
        assert "access-control-allow-origin" not in answer.headers


def test_a_presigned_form_still_works_and_a_changed_one_does_not(aws: EmbeddedAws) -> None:
    s3 = client(aws, "s3")
    s3.create_bucket(Bucket="forms")
    form = s3.generate_presigned_post("forms", "kept", ExpiresIn=60)
    files = {"file": b"body"}
    assert httpx.post(form["url"], data=form["fields"], files=files).status_code == 204
    assert s3.get_object(Bucket="forms", Key="kept")["Body"].read() == b"body"
    for changed in (form["fields"] | {"key": "other"}, {"key": "other"}):
        assert httpx.post(form["url"], data=changed, files=files).status_code in (400, 403)
    assert {each["Key"] for each in s3.list_objects_v2(Bucket="forms")["Contents"]} == {"kept"}


QUERY = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    "sent",
    [
        Sent("iam", "POST", "/", b"Action=CreateUser&UserName=intruder&Version=2010-05-08", "text/plain"),
        Sent("iam", "POST", "/?Action=GetUser", b"Action=CreateUser&UserName=intruder", QUERY),
        Sent("sqs", "POST", "/?Action=GetQueueUrl", b"Action=CreateQueue&QueueName=intruder", "text/plain"),
        Sent("monitoring", "POST", "/", b"Action=ListMetrics&Version=2010-08-01", QUERY),
        Sent("lambda", "POST", "/2021-11-15/functions/f/response-streaming-invocations", b"{}", "application/json"),
        Sent("lambda", "PUT", "/2015-03-31/%2566unctions/f/code", b"{}", "application/json"),
        Sent("lambda", "PUT", "/2015-03-31/event-source-mappings/x", b"{}", "application/json"),
        Sent("s3", "DELETE", "/a-bucket/x?Action=PutObject"),
        Sent("ses", "GET", "/v2/email/identities"),
        Sent("execute-api", "GET", "/restapis/x/y/_user_request_/z"),
    ],
    ids=lambda sent: f"{sent.service} {sent.path}",
)
def test_what_is_not_recognised_is_refused(aws: EmbeddedAws, nobody: Credentials, sent: Sent) -> None:
    answer = signed(aws, nobody, sent)
    assert answer.status_code in (400, 403, 404, 405, 501), answer.text
    assert "intruder" not in users(aws)
    assert not client(aws, "sqs").list_queues(QueueNamePrefix="intruder").get("QueueUrls")


def test_a_body_without_a_key_is_not_read(aws: EmbeddedAws) -> None:
    """2 GB were kept in memory, and refused then."""
    before = memory_mb(aws.pid)
    for length in ("Content-Length: 2000000000", "Transfer-Encoding: chunked"):
        with socket.create_connection(("127.0.0.1", aws.port)) as connection:
            head = f"PUT /closed/key HTTP/1.1\r\nHost: 127.0.0.1:{aws.port}\r\n{length}\r\n\r\n"
            connection.sendall(head.encode())
            answer = connection.recv(65_536)
            assert answer.startswith((b"HTTP/1.1 403", b"HTTP/1.1 413"))
            with pytest.raises(OSError):
                for _ in range(500):
                    connection.sendall(b"80000\r\n" + bytes(524_288) + b"\r\n")
    assert memory_mb(aws.pid) - before < 20


def memory_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4_096 / 1e6


def test_a_form_larger_than_a_package_is_cut_off(aws: EmbeddedAws) -> None:
    client(aws, "s3").create_bucket(Bucket="large")
    head = f"POST /large HTTP/1.1\r\nHost: 127.0.0.1:{aws.port}\r\nContent-Type: {FORM}\r\n"
    before = memory_mb(aws.pid)
    with socket.create_connection(("127.0.0.1", aws.port)) as connection, pytest.raises(OSError):
        connection.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        for _ in range(1_000):
            connection.sendall(b"80000\r\n" + bytes(524_288) + b"\r\n")
    assert memory_mb(aws.pid) - before < 200


def test_code_that_is_too_large_is_refused_in_lambdas_words(aws: EmbeddedAws) -> None:
    """AWS's words, as its users report them."""
    with pytest.raises(ClientError) as caught:
        client(aws, "lambda").update_function_code(FunctionName="f", ZipFile=bytes(52_700_000))
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 413
    assert caught.value.response["Error"]["Code"] == "RequestEntityTooLargeException"
    assert caught.value.response["Error"]["Message"] == (
        "Request must be smaller than 70167211 bytes for the UpdateFunctionCode operation"
    )


def test_an_api_is_reached_without_a_signature(aws: EmbeddedAws) -> None:
    made = client(aws, "apigatewayv2").create_api(Name="open", ProtocolType="HTTP")
    answer = httpx.get(f"{aws.endpoint_url}/_aws/execute-api/{made['ApiId']}/$default/x")
    assert answer.status_code == 404, answer.text
    assert json.loads(answer.text)["message"]


KEYS_OF = """
import os
def handler(event, context):
    return [os.environ[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")]
"""


def test_the_credentials_of_a_function_follow_from_nothing(aws: EmbeddedAws) -> None:
    """They were a hash of the function's and the role's ARN."""
    role = make_role(aws, "keys", {"Effect": "Allow", "Action": "s3:ListAllMyBuckets", "Resource": "*"})
    lambda_ = client(aws, "lambda")
    shown = []
    for name in ("keys", "keys-too"):
        make_function(aws, name, KEYS_OF, role)
        shown.append(json.load(lambda_.invoke(FunctionName=name)["Payload"]))
    assert not set(shown[0]) & set(shown[1])
    key_id, secret, token = shown[0]
    session = boto3.Session(key_id, secret, token, aws.region)
    who = session.client("sts", endpoint_url=aws.endpoint_url).get_caller_identity()["Arn"]
    assert who == f"arn:aws:sts::{aws.account_id}:assumed-role/keys/keys"
    digest = hashlib.sha256(f"arn:aws:lambda:{aws.region}:{aws.account_id}:function:keys:{role}".encode()).hexdigest()
    derived = Credentials(
        f"ASIA{digest[:16].upper()}",
        hashlib.sha256(f"secret:{digest}".encode()).hexdigest(),
        hashlib.sha256(f"token:{digest}".encode()).hexdigest(),
    )
    assert signed(aws, derived, Sent("s3", "GET", "/")).status_code == 403
    assert signed(aws, Credentials(key_id, secret, token), Sent("s3", "GET", "/")).status_code == 200


def test_half_requests_are_closed_in_time_and_do_not_keep_others_out(aws: EmbeddedAws) -> None:
    """300 of them stayed open."""
    head = f"POST / HTTP/1.1\r\nHost: 127.0.0.1:{aws.port}\r\n".encode()
    half = [socket.create_connection(("127.0.0.1", aws.port)) for _ in range(300)]
    for connection in half:
        connection.sendall(head)
    assert client(aws, "sts").get_caller_identity()["Account"] == aws.account_id
    until = time.monotonic() + 2 * listener.HEAD_S
    for connection in half:
        connection.settimeout(max(0.1, until - time.monotonic()))
        with contextlib.suppress(ConnectionError):
            assert connection.recv(1) == b""
        connection.close()


def test_no_other_protocol_is_spoken(aws: EmbeddedAws) -> None:
    for first in (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", aws.port), timeout=10) as connection:
            connection.sendall(first)
            assert connection.recv(4_096).startswith(b"HTTP/1.1 4")


def test_what_s3_answers_is_no_page_of_this_origin(aws: EmbeddedAws) -> None:
    s3 = signing(aws)
    s3.create_bucket(Bucket="pages")
    s3.put_object(Bucket="pages", Key="x.html", Body=b"<script>alert(1)</script>", ContentType="text/html")
    address = s3.generate_presigned_url("get_object", {"Bucket": "pages", "Key": "x.html"})
    for answer in (httpx.get(address, headers={"Sec-Fetch-Dest": "document"}), httpx.get(f"{aws.endpoint_url}/pages")):
        assert answer.headers["content-security-policy"].startswith("sandbox")
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert httpx.get(address, headers={"Sec-Fetch-Dest": "document"}).headers["content-disposition"] == "attachment"


def test_a_presigned_address_is_good_for_what_it_was_made_for(aws: EmbeddedAws) -> None:
    s3 = signing(aws)
    s3.create_bucket(Bucket="signed")
    s3.put_object(Bucket="signed", Key="a", Body=b"a")
    address = s3.generate_presigned_url("get_object", {"Bucket": "signed", "Key": "a"}, ExpiresIn=60)
    assert httpx.get(address).content == b"a"
    assert httpx.delete(address).status_code == 403
    for changed in (address.replace("/signed/a", "/signed/b"), address + "&versionId=1", address + "0"):
        assert httpx.get(changed).status_code in (400, 403)
    s3.put_object(Bucket="signed", Key="100%25 & more/ä", Body=b"b")
    assert s3.get_object(Bucket="signed", Key="100%25 & more/ä")["Body"].read() == b"b"


def test_a_function_of_one_role_can_not_hand_another_role_to_a_service(aws: EmbeddedAws) -> None:
    iam = client(aws, "iam")
    iam.create_user(UserName="builder")
    may = {"Effect": "Allow", "Action": ["lambda:CreateFunction", "cloudformation:CreateStack"], "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [may]})
    iam.put_user_policy(UserName="builder", PolicyName="p", PolicyDocument=policy)
    key = iam.create_access_key(UserName="builder")["AccessKey"]
    role = make_role(aws, "powerful", {"Effect": "Allow", "Action": "*", "Resource": "*"})
    session = boto3.Session(key["AccessKeyId"], key["SecretAccessKey"], region_name=aws.region)
    stacks = session.client("cloudformation", endpoint_url=aws.endpoint_url)
    with pytest.raises(ClientError, match="iam:PassRole"):
        stacks.create_stack(StackName="s", TemplateBody='{"Resources": {}}', RoleARN=role)
    functions = session.client("lambda", endpoint_url=aws.endpoint_url)
    with pytest.raises(ClientError, match="iam:PassRole"):
        functions.create_function(
            FunctionName="f", Role=role, Code={"ZipFile": b"x"}, Runtime="python3.12", Handler="a.b"
        )


def stack_of(kind: str, **properties: str) -> str:
    return json.dumps({"Resources": {"It": {"Type": kind, "Properties": properties}}})


def ended(stacks: Any, name: str) -> str:
    until = time.monotonic() + 20
    while (status := stacks.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"]).endswith("PROGRESS"):
        assert time.monotonic() < until
        time.sleep(0.1)
    return str(status)


def test_who_may_start_a_stack_gets_no_more_rights_by_it(aws: EmbeddedAws) -> None:
    """Without a role, and for types that nothing was known of, a stack made whatever its template said."""
    may = {"Effect": "Allow", "Action": ["cloudformation:*", "iam:PassRole"], "Resource": "*"}
    role = make_role(aws, "stacks-only", may)
    session = credentials_of(aws, role)
    stacks = session.client("cloudformation", endpoint_url=aws.endpoint_url)
    stacks.create_stack(StackName="own-role", TemplateBody=stack_of("AWS::SQS::Queue", QueueName="by-stack"))
    assert ended(stacks, "own-role") == "ROLLBACK_COMPLETE"
    made = stack_of("AWS::SNS::Topic", TopicName="intruder")
    stacks.create_stack(StackName="unknown-type", TemplateBody=made, RoleARN=role)
    assert ended(stacks, "unknown-type") == "ROLLBACK_COMPLETE"
    assert not any("intruder" in each["TopicArn"] for each in client(aws, "sns").list_topics()["Topics"])
    assert not client(aws, "sqs").list_queues(QueueNamePrefix="by-stack").get("QueueUrls")


def credentials_of(aws: EmbeddedAws, role: str) -> boto3.Session:
    """A session in a role, as root takes it."""
    trust = {"Effect": "Allow", "Principal": {"AWS": aws.account_id}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    client(aws, "iam").update_assume_role_policy(RoleName=role.rpartition("/")[2], PolicyDocument=document)
    taken = client(aws, "sts").assume_role(RoleArn=role, RoleSessionName="test")["Credentials"]
    return boto3.Session(taken["AccessKeyId"], taken["SecretAccessKey"], taken["SessionToken"], aws.region)

"""What the front reads in a request, and what it refuses because it could be read in two ways."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenroom.embedded.front.application import SCOPES, parse
from greenroom.embedded.front.protocols import Call
from greenroom.embedded.front.request import Refused, Request, head_of

FORM = {"content-type": "application/x-www-form-urlencoded"}
JSON = {"content-type": "application/x-amz-json-1.0", "x-amz-target": "AmazonSQS.SendMessage"}


def scope(path: str, query: str = "", headers: list[tuple[bytes, bytes]] | None = None) -> dict[str, Any]:
    return {
        "method": "GET",
        "raw_path": path.encode("latin-1"),
        "query_string": query.encode("latin-1"),
        "headers": headers or [],
    }


@pytest.mark.parametrize("path", ["http://127.0.0.1/", "//a b", "/a%", "/%zz", "*", "", "/\xe4", "/a#b", "/a?b"])
def test_a_path_that_is_none_is_refused(path: str) -> None:
    with pytest.raises(Refused):
        head_of(scope(path))


@pytest.mark.parametrize(
    "headers",
    [
        [(b"host", b"a"), (b"host", b"b")],
        [(b"x-amz-target", b"a"), (b"X-Amz-Target", b"b")],
        [(b"content-length", b"1"), (b"transfer-encoding", b"chunked")],
    ],
)
def test_a_header_with_two_meanings_is_refused(headers: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(Refused):
        head_of(scope("/", headers=headers))


def sent(service: str, body: bytes, headers: dict[str, str], path: str = "/", query: str = "") -> Call:
    return parse(service, Request("POST", path, (), headers, body, raw_query=query))


def test_a_call_is_passed_on_as_it_was_read() -> None:
    call = sent("sqs", b'{"QueueUrl": "u", "MessageBody": "m", "queueUrl": "other", "Unknown": 1}', JSON)
    assert (call.service, call.operation) == ("sqs", "SendMessage")
    assert json.loads(call.body) == call.parameters == {"QueueUrl": "u", "MessageBody": "m"}
    call = sent("iam", b"Action=CreateUser&UserName=a%20b&Version=2010-05-08", FORM)
    assert (call.operation, call.body) == ("CreateUser", b"Action=CreateUser&Version=2010-05-08&UserName=a+b")


@pytest.mark.parametrize(
    ("service", "body", "headers", "path", "query"),
    [
        ("sqs", b'{"QueueUrl": "a", "QueueUrl": "b"}', JSON, "/", ""),
        ("sqs", b'{"QueueUrl": NaN}', JSON, "/", ""),
        ("sqs", b'{"DelaySeconds": 1e999}', JSON, "/", ""),
        ("sqs", b'{"MessageBody": "\\ud800"}', JSON, "/", ""),
        ("sqs", b"[]", JSON, "/", ""),
        ("sqs", b"[" * 100_000, JSON, "/", ""),
        ("sqs", b"\xff", JSON, "/", ""),
        ("sqs", b"9" * 5_000, JSON, "/", ""),
        ("sqs", b"{}", {**JSON, "content-type": "text/plain"}, "/", ""),
        ("sqs", b"{}", JSON, "/", "Action=GetQueueUrl"),
        ("sqs", b"{}", JSON, "/x", ""),
        ("sqs", b"{}", {**JSON, "x-amz-target": "AmazonSQS.Nothing"}, "/", ""),
        ("sqs", b"{}", {**JSON, "x-amz-target": "DynamoDB_20120810.ListTables"}, "/", ""),
        ("iam", b"Action=CreateUser&Action=GetUser&Version=2010-05-08", FORM, "/", ""),
        ("iam", b"Action=CreateUser&username=x&Version=2010-05-08", FORM, "/", ""),
        ("iam", b"Action=CreateUser&Version=2011-06-15", FORM, "/", ""),
        ("iam", b"Action=CreateUser&Version=2010-05-08", FORM, "/", "Action=GetUser"),
        ("iam", b"Action=CreateUser&Version=2010-05-08", {"content-type": "multipart/form-data; boundary=x"}, "/", ""),
        ("lambda", b"", {}, "/2015-03-31/%66unctions/f/invocations", ""),
        ("lambda", b"", {}, "/2015-03-31/functions/%2566/invocations", ""),
        ("lambda", b"", {}, "/2015-03-31//functions/f/invocations", ""),
        ("lambda", b"", {}, "/2015-03-31/functions/../invocations", ""),
        ("lambda", b'{"MemorySize": "128"}', {}, "/2015-03-31/functions", ""),
        ("nothing", b"", {}, "/", ""),
    ],
)
def test_what_could_be_read_in_two_ways_or_in_none_is_refused(
    service: str, body: bytes, headers: dict[str, str], path: str, query: str
) -> None:
    with pytest.raises(Refused):
        sent(service, body, headers, path, query)


DOCUMENT_TYPE = '<!DOCTYPE d [<!ENTITY a "xx">]><d>&a;</d>'


@pytest.mark.parametrize("encoding", ["ascii", "utf-16", "utf-16-be"])
@pytest.mark.parametrize(
    ("method", "path", "query"),
    [("POST", "/bucket", "delete"), ("PUT", "/bucket", "cors"), ("POST", "/bucket/key", "uploadId=x")],
)
def test_xml_that_may_define_entities_is_refused(method: str, path: str, query: str, encoding: str) -> None:
    request = head_of({**scope(path, query), "method": method})
    with pytest.raises(Refused):
        parse("s3", replace(request, body=DOCUMENT_TYPE.encode(encoding)))


def test_what_an_object_holds_is_not_looked_at() -> None:
    request = head_of({**scope("/bucket/key"), "method": "PUT"})
    assert parse("s3", replace(request, body=DOCUMENT_TYPE.encode())).body == DOCUMENT_TYPE.encode()


@given(
    st.sampled_from(sorted(SCOPES)),
    st.sampled_from(["GET", "PUT", "POST", "DELETE", "HEAD", "PATCH"]),
    st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=40),
    st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=40),
    st.binary(max_size=200),
)
def test_whatever_comes_is_read_or_refused(service: str, method: str, path: str, query: str, body: bytes) -> None:
    try:
        request = head_of({**scope("/" + path, query), "method": method})
        call = parse(service, Request(method, request.raw_path, request.query, dict(JSON), body, raw_query=query))
    except Refused:
        return
    assert call.operation

"""Calls ministack's services with a request that was parsed, checked and allowed, and with nothing else.

ministack's own application finds a service and checks its caller again, by rules of its own. It is not asked: the
service that the front has found gets the call, in a request that says the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from greenroom.embedded.front.answers import Answer, raw
from greenroom.embedded.front.protocols import Call
from greenroom.embedded.front.request import Request
from greenroom.embedded.process import ACCOUNT_ID, REGION

MODULES: Mapping[str, str] = {
    "apigatewayv2": "apigateway",
    "cloudformation": "cloudformation",
    "dynamodb": "dynamodb",
    "dynamodbstreams": "dynamodbstreams",
    "events": "events",
    "iam": "iam",
    "logs": "logs",
    "s3": "s3",
    "sns": "sns",
    "sqs": "sqs",
    "ssm": "ssm",
    "stepfunctions": "states",
    "sts": "sts",
}
"""ministack's name of each service that is passed on to it."""

PASSED_HEADERS = frozenset({"authorization", "user-agent", "x-amz-date", "x-amz-security-token"})
"""Of a request to a service other than S3: what ministack reads to know the region and the caller again."""


def enter(request: Request, caller_arn: str) -> None:
    """Set what ministack keeps for each request: account, region, where it came from, and who sent it."""
    from ministack.core import iam_evaluator, responses

    responses._request_account_id.set(ACCOUNT_ID)
    responses.set_request_region(REGION)
    responses.set_request_client_ip(request.client)
    iam_evaluator.pin_request_origin(request.client, False)
    iam_evaluator._signed_request.set(None)
    iam_evaluator._anonymous.set(False)
    iam_evaluator._request_caller_arn.set(caller_arn)


async def call_service(call: Call, request: Request, request_id: str) -> Answer:
    """Carry out a call and return its answer."""
    from ministack import app
    from ministack.core import responses

    service = MODULES[call.service]
    passed = {name: value for name, value in request.headers.items() if name in PASSED_HEADERS}
    headers = {"host": request.header("host"), **passed, **call.headers}
    query = {name: list(values) for name, values in call.query.items()}
    status, answered, body = await app.SERVICE_HANDLERS[service](call.method, call.path, headers, call.body, query)
    responses.fix_error_content_type(service, status, answered)
    responses.fix_success_content_type(service, status, answered)
    return _answer(status, answered, body, request_id)


async def call_s3(call: Call, request: Request, request_id: str) -> Answer:
    """Carry out a call of S3 and return its answer."""
    from ministack import app
    from ministack.services import s3

    headers, query = dict(call.headers), {name: list(values) for name, values in call.query.items()}
    body = app._decode_aws_chunked_body(call.body, headers)
    response = s3.validate_object_request(call.method, call.path, headers, query)
    if response is None:
        # As a call from within: the caller was found and asked for before this.
        response = await s3.handle_request(call.method, call.path, headers, body, query, internal=True)
    if call.method == "HEAD" and s3.is_standard_object_request(call.method, call.path, headers, query):
        response = s3.format_head_response(call.path, headers, response)
    return _s3_answer(call.parameters.get("Bucket", ""), request, response, request_id)


async def call_form(bucket: str, request: Request, request_id: str) -> Answer:
    """Put the object of a form into a bucket. S3 checks the form's policy, its signature and who signed it."""
    from ministack.services import s3

    headers = {
        name: request.headers[name] for name in ("content-type", "content-length", "host") if request.header(name)
    }
    response = await s3.handle_request("POST", f"/{bucket}", headers, request.body, {})
    return _s3_answer(bucket, request, response, request_id)


def _s3_answer(bucket: str, request: Request, response: tuple[int, dict[str, Any], Any], request_id: str) -> Answer:
    from ministack.core import responses
    from ministack.services import s3

    status, headers, body = response
    responses.fix_error_content_type("s3", status, headers)
    if bucket and request.header("origin"):
        headers = {**headers, **s3.cors_response_headers(bucket, request.method, dict(request.headers))}
    headers.setdefault("x-amz-request-id", request_id)
    return _answer(status, headers, body, request_id)


async def call_api(api_id: str, request: Request, raw_path: str, request_id: str) -> Answer:
    """Call an HTTP API's route: the path begins with its stage, or is on its default one."""
    from ministack import app
    from ministack.services import apigateway

    stage, _, rest = apigateway.decode_http_api_path(raw_path).partition("/")
    stage, execute_path = app._resolve_stage_and_path(api_id, stage or "$default", f"/{rest}")
    if apigateway.route_authorization_type(api_id, stage, request.method, execute_path) == "AWS_IAM":
        return Answer(403, raw({"content-type": "application/json"}), b'{"message":"Forbidden"}')
    query = dict[str, list[str]]()
    for name, value in request.query:
        query.setdefault(name, []).append(value)
    status, headers, body = await apigateway.handle_execute(
        api_id,
        stage,
        execute_path,
        request.method,
        dict(request.headers),
        request.body,
        query,
        raw_query_string=request.raw_query,
    )
    headers.setdefault("apigw-requestid", request_id.replace("-", "")[:16])
    return Answer(status, raw(headers), body if isinstance(body, bytes) else str(body).encode())


def is_an_api(api_id: str) -> bool:
    """Return whether there is an HTTP API with this id."""
    from ministack.services import apigateway

    return apigateway.find_api_scope(api_id) is not None


def is_a_bucket(name: str) -> bool:
    """Return whether there is a bucket with this name."""
    from ministack.services import s3

    return s3._bucket_owner_account(name) is not None


def _answer(status: int, headers: Mapping[str, Any], body: Any, request_id: str) -> Answer:
    found = raw(headers)
    if all(name != b"x-amzn-requestid" for name, _ in found):
        found.append((b"x-amzn-requestid", request_id.encode()))
    return Answer(status, found, body if isinstance(body, bytes) else str(body).encode())

"""The application before all services: who calls, what, and may they; then it is carried out.

1. The request is for this server, from no other page's origin, and not malformed (`request`).
2. It goes to an existing API's route or to an existing bucket's form, or it is signed (`signature`).
3. It is parsed once, by botocore's model of the service that its signature is for (`protocols`, `s3`).
4. Its operation is one that is served (`served`), and its caller may do all that it needs (`authorization`).
5. What was parsed is carried out (`emulator`, or the Lambda API).
"""

from __future__ import annotations

import asyncio
import logging
import re
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import replace
from http import HTTPStatus

from greenroom.embedded.front import answers, authorization, bodies, emulator, protocols, s3, served, signature
from greenroom.embedded.front.answers import Answer
from greenroom.embedded.front.protocols import Call
from greenroom.embedded.front.request import Receive, Refused, Request, Scope, Send, head_of
from greenroom.embedded.process import ACCOUNT_ID
from greenroom.lambda_api import LambdaApi

HEALTH = "/_ministack/health"
OF_AN_API = re.compile(r"/_aws/execute-api/([a-z0-9]{6,20})/(.*)", re.DOTALL)
OF_CODE = re.compile(r"/_lambda/code/([\w-]{20,200})")
SCOPES: Mapping[str, tuple[str, Callable[[str, Request], Call]]] = {
    "apigateway": ("apigatewayv2", protocols.parse_rest_json),
    "cloudformation": ("cloudformation", protocols.parse_query),
    "dynamodb": ("dynamodb", protocols.parse_json),
    "events": ("events", protocols.parse_json),
    "iam": ("iam", protocols.parse_query),
    "lambda": ("lambda", protocols.parse_rest_json),
    "logs": ("logs", protocols.parse_json),
    "s3": ("s3", lambda _, request: s3.parse_s3(request)),
    "sns": ("sns", protocols.parse_query),
    "sqs": ("sqs", protocols.parse_sqs),
    "ssm": ("ssm", protocols.parse_json),
    "states": ("stepfunctions", protocols.parse_json),
    "sts": ("sts", protocols.parse_query),
}
"""The service that a credential's scope names, as botocore calls it, and how its requests are read."""

STREAMS_TARGET = "DynamoDBStreams_"
INVOCATIONS_AT_ONCE = 256

log = logging.getLogger(__name__)


class Front:
    """An ASGI application around ministack's services and the Lambda API."""

    def __init__(self, port: int, lambda_: LambdaApi) -> None:
        self._hosts = frozenset(f"{name}:{port}" for name in ("127.0.0.1", "localhost"))
        self._origins = frozenset(f"http://{host}" for host in self._hosts)
        self._lambda = lambda_
        self._threads = ThreadPoolExecutor(INVOCATIONS_AT_ONCE, "greenroom-lambda")
        self._known, self._unknown = bodies.Budget(bodies.MOST_HELD), bodies.Budget(bodies.MOST_HELD_UNSIGNED)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "lifespan":
            from ministack.app import app

            await app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            whole = bodies.Whole(receive)
            try:
                answer = await self.answer(scope, whole)
            except bodies.Disconnected:
                return
            whole.drop_rest()
            await answer.send(send, head=scope["method"] == "HEAD")

    async def answer(self, scope: Scope, receive: Receive) -> Answer:
        """Return the answer to a request, whatever happens."""
        request_id = str(uuid.uuid4())
        request, service = None, ""
        try:
            request = head_of(scope)
            self._check_where_from(request)
            service = _guess(request)
            answer = await self._answer(request, receive, request_id)
        except Refused as refused:
            answer = answers.refusal(service, request, refused, request_id)
        except bodies.Disconnected:
            raise
        except Exception:
            log.exception("a request failed")
            fault = Refused(500, "InternalFailure", "a fault of the embedded AWS: its log has the reason")
            answer = answers.refusal(service, request, fault, request_id)
        origin = request.header("origin") if request else ""
        return replace(answer, headers=answers.without_foreign_origins(answer.headers, origin))

    def _check_where_from(self, request: Request) -> None:
        if request.header("host").lower() not in self._hosts:
            raise Refused(
                421, "MisdirectedRequest", "this server answers to 127.0.0.1 and localhost with its port only"
            )
        if "origin" in request.headers:
            if request.header("origin") not in self._origins:
                raise Refused(403, "AccessDenied", "pages of another origin may not call this server")
        elif request.header("sec-fetch-site") == "cross-site" and not (
            request.method == "GET" and request.header("sec-fetch-mode") == "navigate"
        ):
            raise Refused(403, "AccessDenied", "pages of another origin may not call this server")

    async def _answer(self, request: Request, receive: Receive, request_id: str) -> Answer:
        if request.raw_path == HEALTH:
            return Answer(200, answers.raw({"content-type": "application/json"}), b'{"status":"available"}')
        if found := OF_AN_API.fullmatch(request.raw_path):
            return await self._answer_of_api(request, receive, found, request_id)
        if found := OF_CODE.fullmatch(request.raw_path):
            return self._code(request, found[1])
        if request.method == "OPTIONS":
            return _preflight(request)
        if _is_a_form(request):
            return await self._answer_to_form(request, receive, request_id)
        return await self._answer_to_signed(request, receive, request_id)

    async def _answer_of_api(self, request: Request, receive: Receive, found: re.Match[str], request_id: str) -> Answer:
        api_id, path = found.groups()
        emulator.enter(request, "")
        if not emulator.is_an_api(api_id):
            raise Refused(404, "NotFoundException", "there is no such API")
        with self._unknown.share() as share:
            request = replace(request, body=await bodies.read(request, receive, bodies.API_LIMIT, share))
            return await emulator.call_api(api_id, request, path, request_id)

    async def _answer_to_form(self, request: Request, receive: Receive, request_id: str) -> Answer:
        emulator.enter(request, "")
        bucket = s3.target_of(request.raw_path.rstrip("/")).bucket
        if not emulator.is_a_bucket(bucket):
            raise Refused(404, "NoSuchBucket", "The specified bucket does not exist")
        with self._unknown.share() as share:
            request = replace(request, body=await bodies.read(request, receive, bodies.LIMITS["s3"], share))
            return _for_a_browser(request, await emulator.call_form(bucket, request, request_id))

    async def _answer_to_signed(self, request: Request, receive: Receive, request_id: str) -> Answer:
        claim = signature.claim_of(request)
        caller = signature.check_head(request, claim)
        limit = bodies.LIMITS.get(claim.service, bodies.OTHER_LIMIT)
        with self._known.share() as share:
            request = replace(request, body=await _body(claim.service, request, receive, limit, share))
            signature.check_body(request, claim, caller)
            call = parse(claim.service, request)
            needs = served.needs(call)
            emulator.enter(request, caller.arn)
            authorization.check(caller, call.service, needs)
            return await self._carry_out(call, request, caller, request_id)

    async def _carry_out(self, call: Call, request: Request, caller: signature.Caller, request_id: str) -> Answer:
        if call.service == "s3":
            return _for_a_browser(request, await emulator.call_s3(call, request, request_id))
        if call.service != "lambda":
            return await emulator.call_service(call, request, request_id)
        principal = "" if caller.arn == f"arn:aws:iam::{ACCOUNT_ID}:root" else caller.arn
        handle = self._lambda.handle
        response = await asyncio.get_running_loop().run_in_executor(
            self._threads,
            lambda: copy_context().run(
                handle,
                call.operation,
                call.parameters,
                principal=principal,
                request_id=request_id,
                headers=request.headers,
            ),
        )
        return Answer(response.status, answers.raw(response.headers), response.body)

    def _code(self, request: Request, token: str) -> Answer:
        body = self._lambda.downloads.read(token) if request.method == "GET" else None
        if body is None:
            raise Refused(403, "AccessDenied", "this address has expired: ask Lambda for another one")
        return Answer(200, answers.raw({"content-type": "application/zip"}), body)


def parse(scope: str, request: Request) -> Call:
    """Return the call that a request is, by the service that its signature is for. Raises Refused if it is none."""
    if scope not in SCOPES:
        raise served.not_served(scope, "")
    service, read = SCOPES[scope]
    if scope == "dynamodb" and request.header("x-amz-target").startswith(STREAMS_TARGET):
        service = "dynamodbstreams"
    return read(service, request)


async def _body(service: str, request: Request, receive: Receive, limit: int, share: bodies.Share) -> bytes:
    """Return a request's body. Raises Refused, in the words of the service, if it is too large."""
    try:
        return await bodies.read(request, receive, limit, share)
    except Refused as refused:
        if service != "lambda" or refused.status != HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            raise
        message = (
            f"Request must be smaller than {limit} bytes for the {protocols.operation_at(service, request)} operation"
        )
        raise Refused(refused.status, "RequestEntityTooLargeException", message) from None


def _guess(request: Request) -> str:
    """Return the service in whose form an error is said, before it is known who calls what."""
    found = re.search(r"Credential=[^/,\s]+/\d+/[^/,\s]+/([^/,\s]+)/", request.header("authorization"))
    scope = found[1] if found else ""
    if not scope and (request.raw_query or s3.BUCKET.match(request.raw_path[1:])):
        scope = "s3"
    return SCOPES[scope][0] if scope in SCOPES else ""


def _is_a_form(request: Request) -> bool:
    """Return whether a request is a form for a bucket: POST on exactly /<bucket>, and no other sign of a service."""
    return (
        request.method == "POST"
        and bool(s3.BUCKET.fullmatch(request.raw_path.strip("/")))
        and not request.raw_query
        and request.header("content-type").startswith("multipart/form-data")
        and "authorization" not in request.headers
        and "x-amz-target" not in request.headers
    )


def _preflight(request: Request) -> Answer:
    """Answer what a page of ours asks before it sends a form to a bucket: what the bucket's own rules say."""
    from ministack.services import s3 as buckets

    target = s3.target_of(request.raw_path)
    emulator.enter(request, "")
    if not target.bucket or not emulator.is_a_bucket(target.bucket):
        raise Refused(403, "AccessForbidden", "CORSResponse: This CORS request is not allowed.")
    status, headers, body = buckets.cors_preflight(target.bucket, target.key, dict(request.headers))
    return Answer(status, [*answers.raw(headers), *answers.BUCKETS_ARE_NOT_PAGES], body)


def _for_a_browser(request: Request, answer: Answer) -> Answer:
    """Return an answer of S3 that no browser takes for a page of this origin."""
    headers = [*answer.headers, *answers.BUCKETS_ARE_NOT_PAGES]
    opened = request.header("sec-fetch-dest") not in ("", "empty")
    if opened and all(name != b"content-disposition" for name, _ in headers):
        headers.append((b"content-disposition", b"attachment"))
    return replace(answer, headers=headers)

"""ministack's services invoke functions here: in our room, not in ministack's own Lambda.

Its services reach Lambda as a module of functions. `install` puts another module under that name, before any of them
has been imported. It has what they use to invoke, and what `more` brings for those that read Lambda's records; whoever
asks it for anything else finds nothing.

What AWS invokes asynchronously (S3, SNS, EventBridge, CloudWatch Logs) becomes an accepted event of our queue.
Step Functions invokes in the state machine's role.
"""

from __future__ import annotations

import json
import logging
import sys
import types
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any

from greenroom.embedded import iam
from greenroom.lambda_api.errors import LambdaError
from greenroom.lambda_api.invoke import Room

MODULE = "ministack.services.lambda_svc"

Record = dict[str, Any]

log = logging.getLogger(__name__)

_machine_role: ContextVar[str] = ContextVar("machine_role", default="")


def install(room: Room, more: Mapping[str, Any] | None = None) -> None:
    """Take the place of ministack's Lambda.

    Args:
        room: where functions are invoked.
        more: further names of the module.
    """
    if MODULE in sys.modules:
        raise RuntimeError("ministack's Lambda has been imported already: nothing may import ministack before this")
    module = types.ModuleType(MODULE, __doc__)
    module.__dict__.update(_Names(room).all(), **(more or {}))
    sys.modules[MODULE] = module
    from ministack import services

    services.lambda_svc = module
    _deliver_later(room)
    _invoke_in_machine_roles(room)


class _Names:
    """What the module has for services that invoke and wait."""

    def __init__(self, room: Room) -> None:
        self._room = room

    def all(self) -> dict[str, Any]:
        return {
            "_execute_function": self.execute,
            "_execute_function_with_config_scope": self.execute,
            "_execution_record_for_config": lambda record, _config: record,
            "_functions": _Subscribers(self._room),
            "_get_func_record_for_ref": self.find,
            "_get_func_record_for_ref_in_scope": lambda reference, **_: self.find(reference),
            "get_state": dict,
            "invoke_async_with_retry": lambda record, event: self._room.invoke_later(record["ref"], encoded(event)),
            "lambda_execute_result_to_api_proxy_response": proxy_response,
            "load_persisted_state": lambda _data: None,
            "reset": lambda: None,
            "resolve_function_url": lambda _url_id: None,
        }

    def find(self, reference: str) -> tuple[Record | None, Mapping[str, Any] | None, str]:
        """Return a record of what a reference leads to, its configuration and its name."""
        try:
            target = self._room.functions.resolve(reference)
        except LambdaError:
            return None, None, reference
        return {"ref": target.invoked_arn}, target.config, target.name

    def execute(self, record: Record, event: Any) -> dict[str, Any]:
        """Invoke what a record leads to, and return how it ended as ministack's services read it."""
        if record.get("later"):
            self._room.invoke_later(record["ref"], encoded(event))
            return {"body": None}
        try:
            done = self._room.invoke(record["ref"], encoded(event))
        except LambdaError as error:
            body = {"errorType": f"Lambda.{error.code}", "errorMessage": error.message}
            return {"body": body, "error": True, "throttle": error.status == 429}
        answer: dict[str, Any] = {"body": json.loads(done.result.payload or b"null"), "log": ""}
        if done.result.function_error:
            answer |= {"error": True, "function_error": done.result.function_error}
        return answer


class _Subscribers:
    """The functions by name, for CloudWatch Logs, which invokes its subscribers asynchronously."""

    def __init__(self, room: Room) -> None:
        self._room = room

    def get(self, name: str, default: Any = None) -> Any:
        """Return a record of a function."""
        try:
            return {"ref": self._room.functions.resolve(name).invoked_arn, "later": True}
        except LambdaError:
            return default

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None


def encoded(event: Any) -> bytes:
    """Return an event as the function gets it."""
    return json.dumps(event, ensure_ascii=False).encode("utf-8", "surrogatepass")


def proxy_response(result: Mapping[str, Any]) -> tuple[dict[str, Any], None]:
    """Return what an API answers with what a function returned.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html#http-api-develop-integrations-lambda.response
    """
    headers = {"Content-Type": "application/json"}
    if result.get("error"):
        # An HTTP API answers a throttle and a function's error alike, and tells no details.
        body = json.dumps({"message": "Internal Server Error"})
        return {"statusCode": 503 if result.get("throttle") else 500, "headers": headers, "body": body}, None
    answer = result.get("body")
    if isinstance(answer, dict) and "statusCode" in answer:
        return answer, None
    return {"statusCode": 200, "headers": headers, "body": json.dumps(answer, ensure_ascii=False)}, None


def _deliver_later(room: Room) -> None:
    from ministack.services import eventbridge, sns

    def from_topic(endpoint: str, envelope: str, _topic_arn: str, subscription_arn: str, *_: Any) -> None:
        record = {
            "EventVersion": "1.0",
            "EventSubscriptionArn": subscription_arn,
            "EventSource": "aws:sns",
            "Sns": json.loads(envelope),
        }
        _later(room, endpoint, encoded({"Records": [record]}))

    def from_rule(arn: str, payload: str) -> None:
        _later(room, arn, payload.encode())

    sns._deliver_to_lambda = from_topic
    eventbridge._dispatch_to_lambda = from_rule


def _later(room: Room, reference: str, payload: bytes) -> None:
    try:
        room.invoke_later(reference, payload)
    except LambdaError as error:
        log.warning("an event is not delivered to %s: %s", reference, error)


def _invoke_in_machine_roles(room: Room) -> None:
    from ministack.services import stepfunctions

    execute_task = stepfunctions._execute_task

    def in_role(state: Any, raw_input: Any, execution: dict[str, Any], context: Any) -> Any:
        machine = stepfunctions._state_machines.get(execution.get("stateMachineArn", "")) or {}
        token = _machine_role.set(machine.get("roleArn", ""))
        try:
            return execute_task(state, raw_input, execution, context)
        finally:
            _machine_role.reset(token)

    def call_lambda(reference: str, event: Any) -> Any:
        return _task(room, reference, event, stepfunctions._ExecutionError)

    stepfunctions._execute_task = in_role
    stepfunctions._call_lambda = call_lambda


def _task(room: Room, reference: str, event: Any, failed: Callable[[str, str], Exception]) -> Any:
    """Invoke a function for a state machine, in the machine's role.

    Lambda's own errors have the names that a state can retry or catch them by:
    https://docs.aws.amazon.com/step-functions/latest/dg/sfn-best-practices.html#bp-lambda-serviceexception
    """
    role = _machine_role.get()
    try:
        arn = room.functions.resolve(reference).invoked_arn
        if role and not iam.role_may(role, "lambda:InvokeFunction", arn):
            raise failed(
                "Lambda.AccessDeniedException",
                f"User: {role} is not authorized to perform: lambda:InvokeFunction on resource: {arn}",
            )
        done = room.invoke(reference, encoded(event))
    except LambdaError as error:
        raise failed(
            f"Lambda.{error.code}", f"{error.message} (Service: Lambda, Status Code: {error.status})"
        ) from error
    answer = json.loads(done.result.payload or b"null")
    if done.result.function_error:
        kind = answer.get("errorType") if isinstance(answer, dict) else None
        raise failed(kind or "Lambda.Unknown", json.dumps(answer))
    return answer

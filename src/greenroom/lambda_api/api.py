"""Lambda's API: which operations there are, and what becomes of a call.

    front ─► LambdaApi.handle(operation, parameters) ─► model (is it well formed?) ─► operation ─► records

A call from this process (CloudFormation, other services) takes the same way by `call`, and gets exceptions in place of
error answers.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from greenroom.lambda_api import model
from greenroom.lambda_api.calls import Answer, Call, Handler, Response
from greenroom.lambda_api.code import CodeFiles
from greenroom.lambda_api.errors import LambdaError
from greenroom.lambda_api.functions import Functions
from greenroom.lambda_api.names import Home
from greenroom.lambda_api.operations import SERVED
from greenroom.lambda_api.ports import Ports
from greenroom.lambda_api.room import Downloads, Operation, Room
from greenroom.lambda_api.runtimes import Abilities
from greenroom.store import Store

JSON = "application/json"

UNSERVED: dict[str, str] = {
    **dict.fromkeys(
        (name for name in sorted(model.operation_names()) if "Durable" in name), "there are no durable functions"
    ),
    **dict.fromkeys(
        (name for name in sorted(model.operation_names()) if "CapacityProvider" in name or "ScalingConfig" in name),
        "there are no capacity providers",
    ),
    **dict.fromkeys(
        (name for name in sorted(model.operation_names()) if "CodeSigningConfig" in name), "code signing isn't checked"
    ),
    **dict.fromkeys(
        (name for name in sorted(model.operation_names()) if "FunctionUrlConfig" in name),
        "functions have no URLs; use an HTTP API of API Gateway",
    ),
    **dict.fromkeys(
        ("DeleteResourcePolicy", "GetResourcePolicy", "PutResourcePolicy"),
        "use AddPermission, GetPolicy and RemovePermission",
    ),
}
"""AWS's operations that are not served, and what the answer says of each."""


@dataclass(frozen=True)
class Settings:
    """Where the API is: its account and region, its folder, and the address that others reach it by."""

    account: str
    region: str
    data_dir: Path
    endpoint_url: str


class LambdaApi:
    """The API over one store.

    Args:
        store: where the records are.
        ports: the rest of AWS.
        settings: where the API is.
        abilities: says which functions this machine can run.
    """

    def __init__(self, store: Store, ports: Ports, settings: Settings, abilities: Abilities) -> None:
        code = CodeFiles(settings.data_dir / "code")
        self.functions = Functions(store, code, Home(settings.account, settings.region))
        self.downloads = Downloads(settings.endpoint_url, code.get)
        self._room = Room(self.functions, ports, abilities, self.downloads)
        self._handlers: dict[str, Handler] = {name: self._bound(operation) for name, operation in SERVED.items()}

    def serve(self, operations: Mapping[str, Handler]) -> None:
        """Serve these operations too: those that run functions."""
        self._handlers |= operations

    def call(self, operation: str, parameters: Mapping[str, Any], *, principal: str = "") -> Answer:
        """Do an operation.

        Raises:
            LambdaError: the error that AWS would answer.
        """
        return self._answer(Call(operation, parameters, principal))

    def handle(
        self,
        operation: str,
        parameters: Mapping[str, Any],
        *,
        principal: str = "",
        request_id: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Do an operation and return its answer as HTTP sends it, whatever happens."""
        call = Call(operation, parameters, principal, request_id or str(uuid.uuid4()), headers or {})
        try:
            return _response(call, self._answer(call))
        except LambdaError as error:
            return _error_response(call, error)
        except Exception:
            logging.getLogger(__name__).exception("%s failed", operation)
            fault = LambdaError("ServiceException", "An internal error: aws.log in the data folder has more.", 500)
            return _error_response(call, fault)

    def _answer(self, call: Call) -> Answer:
        handler = self._handlers.get(call.operation)
        if handler is None:
            raise unserved(call.operation)
        model.validate(call.operation, call.parameters)
        return handler(call)

    def _bound(self, operation: Operation) -> Handler:
        return lambda call: operation(self._room, call)


def unserved(operation: str) -> LambdaError:
    """Return the error for an operation that is not served."""
    reason = UNSERVED.get(operation, "it isn't an operation of Lambda")
    return LambdaError("UnsupportedOperationException", f"Greenroom's embedded AWS has no {operation}: {reason}", 501)


def _response(call: Call, answer: Answer) -> Response:
    headers = {"x-amzn-requestid": call.request_id, **answer.headers}
    status = answer.status
    if status is None:
        status = model.operation(call.operation).http.get("responseCode", 200)
    body = answer.body
    if body is None:
        body = model.answer_body(call.operation, answer.result)
        headers.setdefault("content-type", JSON)
    return Response(status, headers, body)


def _error_response(call: Call, error: LambdaError) -> Response:
    headers = {
        "x-amzn-requestid": call.request_id,
        "x-amzn-errortype": error.code,
        "content-type": JSON,
        **error.headers,
    }
    return Response(error.status, headers, model.error_text(error))

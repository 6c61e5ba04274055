"""The routes of the HTTP API that tune any function; `handlers/api.py` includes them."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Annotated, Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Body, Path
from aws_lambda_powertools.event_handler.router import APIGatewayHttpRouter

from greenroom.platform import tuner
from greenroom.platform.services import services
from greenroom.platform.tune_input import InputError, TuneInput
from greenroom.releases import NotFound, new_release_id

MAX_INPUT_BYTES = 256 * 1024
"""https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html (input of an execution)"""

router = APIGatewayHttpRouter()  # type: ignore[no-untyped-call]

TuningId = Annotated[str, Path(pattern=f"^{tuner.TUNING_ID.pattern}$", description="A tuning's id")]


@router.post("/tunings")
def create_tuning(body: Annotated[dict[str, Any], Body()]) -> Response[str]:
    """Tune a Lambda function of the account: the body is an execution input of AWS Lambda Power Tuning."""
    document = json.dumps(body)
    try:
        if len(document.encode()) > MAX_INPUT_BYTES:
            raise InputError(f"the input has more than {MAX_INPUT_BYTES:,} bytes: name a large payload in payloadS3")
        TuneInput.parse(body)
    except InputError as error:
        return _json(
            {"error": {"code": "invalid_input", "message": str(error), "hint": "docs/tuning.md has the fields."}},
            HTTPStatus.UNPROCESSABLE_ENTITY,
        )
    tuning_id = new_release_id()
    services().states.start_execution(stateMachineArn=services().settings["TUNE_ARN"], name=tuning_id, input=document)
    return _json({"tuningId": tuning_id}, HTTPStatus.CREATED)


@router.get("/tunings/<tuning_id>")
def get_tuning(tuning_id: TuningId) -> Response[str]:
    """A tuning: how far it is, and what it found."""
    try:
        return _json(tuner.view(services(), tuning_id))
    except KeyError:
        raise NotFound(f"there is no tuning {tuning_id}") from None


def _json(body: Any, status: HTTPStatus = HTTPStatus.OK) -> Response[str]:
    return Response(
        status_code=status,
        content_type="application/json",
        body=json.dumps(body),
        headers={"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"},
    )

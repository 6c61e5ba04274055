"""Function tunings: the best memory size for a Lambda function that is already there."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Annotated

from aws_lambda_powertools.event_handler.openapi.params import Body, Path

from greenroom.platform.function_tuning import job, output
from greenroom.platform.function_tuning.input import TuningInput
from greenroom.platform.handlers.api.app import route
from greenroom.platform.handlers.api.errors import TooLarge
from greenroom.platform.services import services
from greenroom.releases import new_id
from greenroom.wire import models

MAX_INPUT_BYTES = 256 * 1024
"""https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html (input of an execution)"""

TuningId = Annotated[str, Path(pattern=f"^{job.TUNING_ID.pattern}$", description="A tuning's id")]


@route("POST", "/tunings", status=HTTPStatus.CREATED, errors=[HTTPStatus.REQUEST_ENTITY_TOO_LARGE])
def create_tuning(body: Annotated[TuningInput, Body()]) -> models.TuningCreated:
    """Tune a Lambda function of the account.

    The body is an execution input of AWS Lambda Power Tuning, with Greenroom's additions (docs/tuning.md).
    """
    document = json.dumps(body.model_dump(mode="json", by_alias=True, exclude_unset=True))
    if len(document.encode()) > MAX_INPUT_BYTES:
        raise TooLarge(f"the input has more than {MAX_INPUT_BYTES:,} bytes: name a large payload in payloadS3")
    tuning_id = new_id()
    machine = services().settings["FUNCTION_TUNING_ARN"]
    services().states.start_execution(stateMachineArn=machine, name=tuning_id, input=document)
    return models.TuningCreated(tuning_id=tuning_id)


@route("GET", "/tunings/<tuning_id>", errors=[HTTPStatus.NOT_FOUND])
def get_tuning(tuning_id: TuningId) -> models.Tuning:
    """Show a tuning: how far it is, and what it found."""
    return output.view(services(), tuning_id)

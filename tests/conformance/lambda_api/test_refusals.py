"""A call that AWS refused is refused here, with AWS's code, message and status."""

from __future__ import annotations

from typing import Any

import pytest
from botocore import xform_name
from botocore.exceptions import ClientError

from tests.conformance.lambda_api.conftest import World
from tests.conformance.lambda_api.recorded import REFUSALS, STATUS, Refusal


def filled(value: Any, world: World) -> Any:
    """A recorded value with the names of this world."""
    if isinstance(value, dict):
        return {key: filled(each, world) for key, each in value.items()}
    if isinstance(value, list):
        return [filled(each, world) for each in value]
    if value == "<zip>":
        return world.zip
    if not isinstance(value, str):
        return value
    function = f"arn:aws:lambda:{world.aws.region}:{world.aws.account_id}:function:"
    names = {
        "<arn>": f"{function}f",
        "<function>": function,
        "<layer>": function.replace(":function:", ":layer:"),
        "<role>": world.role,
    }
    for name, stands_for in names.items():
        value = value.replace(name, stands_for)
    return value


@pytest.mark.parametrize("refusal", REFUSALS, ids=str)
def test_what_aws_refuses_is_refused_in_its_words(world: World, refusal: Refusal) -> None:
    client = world.client("lambda")
    expected = filled(refusal.message, world)
    if "<sha256>" in expected:
        current = client.get_function_configuration(FunctionName="f")["CodeSha256"]
        expected = expected.replace("<sha256>", current)
    with pytest.raises(ClientError) as error:
        getattr(client, xform_name(refusal.operation))(**filled(refusal.parameters, world))
    answer = error.value.response
    found = (answer["Error"]["Code"], answer["Error"]["Message"], answer["ResponseMetadata"]["HTTPStatusCode"])
    assert found == (refusal.code, expected, STATUS.get(refusal.code, 404))

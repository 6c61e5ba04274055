"""Runs a failing event through all of its attempts in one process, with waits of a moment in place of minutes.

    python -m tests.conformance.invoke.retries FOLDER

It prints what the destination was told, when the function ran, and what was left in the store, as JSON. It is a process
of its own because ministack can be had only once in one.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from greenroom.embedded import lambda_callers, server
from greenroom.embedded.adapters import invoking, lambda_control
from greenroom.embedded.process import ACCOUNT_ID, REGION
from greenroom.engine import Engine, can_honour, can_run
from greenroom.lambda_api import LambdaApi, Settings, invoke
from greenroom.lambda_api.invoke.attempts import Waits
from greenroom.lambda_api.invoke.events import TABLE
from greenroom.lambda_api.runtimes import Abilities
from greenroom.store import Store
from tests.conformance.invoke.box import EVERYTHING, RUNTIME, TRUST, until, zipped

FAILS = "def handler(event, context): raise ValueError(context.aws_request_id)"
WAITS = Waits(error_s=0.3)
ROLE = f"arn:aws:iam::{ACCOUNT_ID}:role/r"
QUEUE = f"arn:aws:sqs:{REGION}:{ACCOUNT_ID}:q"


def main(folder: Path) -> int:
    """Run it."""
    (folder / "credentials.json").write_text(json.dumps({"accessKeyId": "AKIAEXAMPLE", "secretAccessKey": "x"}))
    server._settle_environment(folder, 1)
    store, engine = Store(folder / "records.sqlite"), Engine(folder / "engine")
    settings = Settings(ACCOUNT_ID, REGION, folder, "http://127.0.0.1:1")
    api = LambdaApi(store, lambda_control.ports(), settings, Abilities(can_run, can_honour))
    outside = invoking.outside()

    def room() -> invoke.Room:
        return invoke.Room(api.functions, engine, store, outside, invoke.Settings(waits=WAITS))

    first = room()
    api.serve(invoke.operations(first))
    lambda_callers.install(first)
    from ministack.services import iam, sqs

    policies = {"p": json.dumps({"Version": "2012-10-17", "Statement": [EVERYTHING]})}
    trust = {"Version": "2012-10-17", "Statement": [TRUST]}
    iam._roles["r"] = {
        "RoleName": "r",
        "Arn": ROLE,
        "Path": "/",
        "AssumeRolePolicyDocument": trust,
        "InlinePolicies": policies,
    }
    url = sqs._act_create_queue({"QueueName": "q"}, "")["QueueUrl"]
    code = {"ZipFile": zipped(FAILS)}
    function = {"FunctionName": "f", "Runtime": RUNTIME, "Handler": "app.handler", "Role": ROLE, "Code": code}
    api.call("CreateFunction", function)
    until(lambda: api.call("GetFunctionConfiguration", {"FunctionName": "f"}).result["State"] == "Active")  # type: ignore[index]
    destination = {"OnFailure": {"Destination": QUEUE}}
    api.call("PutFunctionEventInvokeConfig", {"FunctionName": "f", "DestinationConfig": destination})

    first.start()
    begin = time.monotonic()
    api.call("Invoke", {"FunctionName": "f", "InvocationType": "Event", "Payload": b"1"})
    until(lambda: any(record["runs"] for _, record in store.table(TABLE).items()))
    first.close()  # the second attempt is another room's: what is to come is in the store
    room().start()
    told: list[dict[str, Any]] = []
    until(lambda: bool(told.extend(sqs._receive_messages_for_esm(url, 1)) or told))  # type: ignore[func-returns-value]
    took_s = time.monotonic() - begin
    until(lambda: not len(store.table(TABLE)))
    print(json.dumps({"told": json.loads(told[0]["body"]), "took_s": took_s}), flush=True)
    os._exit(0)  # threads of ministack wait for ever


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

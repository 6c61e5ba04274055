"""Node.js functions: the handlers, errors and log lines of AWS's runtime client, inside the engine's limits.

https://docs.aws.amazon.com/lambda/latest/dg/nodejs-handler.html and https://github.com/aws/aws-lambda-nodejs-runtime-
interface-client, whose behaviour `runtime/node.mjs` has.
"""

from __future__ import annotations

import io
import json
import re
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from greenroom.engine import InvokeResult, interpreters, isolation
from tests.integration.engine.lab import Lab, answer, error, messages

NODE = interpreters.node(interpreters.OLDEST_NODE)
RUNTIME = NODE.runtime if NODE else "nodejs18.x"

pytestmark = pytest.mark.skipif(NODE is None, reason="there is no Node.js on this machine")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One engine: how it keeps limits makes no difference here."""
    lab = Lab(tmp_path_factory.mktemp("engine"), environment={"AWS_ENDPOINT_URL": "http://127.0.0.1:1"})
    yield lab
    lab.engine.close()


def package(**files: str) -> bytes:
    """Return a ZIP; `__` in a name stands for a slash, the last `_` for a dot."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            stem, _, ending = name.replace("__", "/").rpartition("_")
            archive.writestr(zipfile.ZipInfo(f"{stem}.{ending}"), text)
    return buffer.getvalue()


def run(lab: Lab, code: str | bytes, event: Any = None, **more: Any) -> InvokeResult:
    """Run a handler that is written as a CommonJS module, or a package."""
    values: dict[str, Any] = {"runtime": RUNTIME, "handler": "index.handler", "memory_mb": 512, **more}
    return lab.run("", event, code=code if isinstance(code, bytes) else package(index_js=code), **values)


ECHO = "exports.handler = async (event) => event"


def test_an_async_handler_answers_and_stays_for_the_next_invocation(lab: Lab) -> None:
    source = "let count = 0\nexports.handler = async (event) => [event, ++count]"
    first, second = run(lab, source, {"n": 1}), run(lab, source, "ä")
    assert (answer(first), answer(second)) == ([{"n": 1}, 1], ["ä", 2])
    assert (first.cold_start, second.cold_start) == (True, False)
    lines = messages(first)
    assert lines[0] == f"INIT_START Runtime Version: {RUNTIME}"
    assert [line.split()[0] for line in lines[1:]] == ["START", "END", "REPORT"]
    assert "Differs" not in lines[-1]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("exports.handler = (event, context, callback) => callback(null, event)", 7),
        ("exports.handler = (event, context, callback) => { setTimeout(() => callback(null, event), 50) }", 7),
        ("exports.handler = (event) => new Promise((resolve) => setTimeout(() => resolve(event), 50))", 7),
        ("exports.handler = (event, context) => context.succeed(event)", 7),
        ("exports.handler = (event, context) => context.done(null, event)", 7),
        ("exports.handler = async () => undefined", None),
        ("exports.handler = () => 5", None),  # neither a promise nor a callback: null once nothing is left to do
        ("module.exports = { a: { b: { handler: async (event) => event } } }", 7),
    ],
)
def test_each_way_to_answer_is_understood(lab: Lab, source: str, expected: Any) -> None:
    handler = "index.a.b.handler" if "a: { b" in source else "index.handler"
    assert answer(run(lab, source, 7, handler=handler)) == expected
    assert answer(run(lab, source, 7, handler=handler)) == expected


def test_a_callback_waits_for_what_is_left_to_do_unless_it_is_told_not_to(lab: Lab) -> None:
    source = """
    exports.handler = (event, context, callback) => {
        context.callbackWaitsForEmptyEventLoop = event
        setTimeout(() => {}, 400)
        callback(null, "done")
    }"""
    waits, goes = run(lab, source, True, memory_mb=1769), run(lab, source, False, memory_mb=1769)
    assert answer(waits) == answer(goes) == "done"
    assert waits.duration_ms >= 400
    assert goes.duration_ms < 300


@pytest.mark.parametrize(
    ("files", "handler"),
    [
        ({"index_mjs": "export const handler = async (event) => event"}, "index.handler"),
        ({"index_cjs": ECHO}, "index.handler"),
        (
            {"index_js": "export async function handler(event) { return event }", "package_json": '{"type": "module"}'},
            "",
        ),
        ({"src__app_js": ECHO}, "src/app.handler"),
        ({"node_modules__mine__index_js": ECHO}, "mine.handler"),
    ],
    ids=["mjs", "cjs", "type module", "folder", "node_modules"],
)
def test_modules_of_each_kind_are_found(lab: Lab, files: dict[str, str], handler: str) -> None:
    assert answer(run(lab, package(**files), 3, handler=handler or "index.handler")) == 3


def test_a_module_that_waits_at_its_top_is_waited_for(lab: Lab) -> None:
    source = (
        "const value = await new Promise((r) => setTimeout(() => r(42), 100))\nexport const handler = async () => value"
    )
    result = run(lab, package(index_mjs=source))
    assert answer(result) == 42
    assert (result.init_duration_ms or 0) >= 100


def test_a_layers_modules_are_found(lab: Lab) -> None:
    layer = package(nodejs__node_modules__helper__index_js="module.exports = 'layer'")
    source = "const found = require('helper')\nexports.handler = async () => found"
    assert answer(run(lab, source, layer=layer)) == "layer"


def test_the_sdk_of_the_machine_is_found_by_require_and_by_import(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tmp_path / "modules" / "@aws-sdk" / "client-mine"
    module.mkdir(parents=True)
    (module / "index.js").write_text("module.exports = { Client: 'of the machine' }")
    monkeypatch.setenv("NODE_PATH", str(tmp_path / "modules"))
    lab = Lab(tmp_path / "engine")
    try:
        source = "const { Client } = require('@aws-sdk/client-mine')\nexports.handler = async () => Client"
        assert answer(run(lab, source)) == "of the machine"
        if isolation().namespaces:
            source = "import mine from '@aws-sdk/client-mine'\nexport const handler = async () => mine.Client"
            assert answer(run(lab, package(index_mjs=source))) == "of the machine"
    finally:
        lab.engine.close()


# Errors.


@pytest.mark.parametrize(
    ("source", "kind", "message"),
    [
        ("exports.handler = async () => { throw new TypeError('no') }", "TypeError", "no"),
        ("exports.handler = (e, c, callback) => callback(new RangeError('no'))", "RangeError", "no"),
        ("exports.handler = (e, c, callback) => callback('no')", "string", "no"),
        ("exports.handler = (e, context) => context.fail(new Error('no'))", "Error", "no"),
        ("exports.handler = () => { throw new Error('no') }", "Error", "no"),
        ("exports.handler = async () => 5n", "Error", "Unable to stringify response body"),
    ],
)
def test_an_error_has_type_message_and_trace(lab: Lab, source: str, kind: str, message: str) -> None:
    result = run(lab, source)
    found = error(result)
    assert (found["errorType"], found["errorMessage"]) == (kind, message)
    assert isinstance(found["trace"], list)
    assert not run(lab, source).cold_start  # the runtime goes on
    logged = next(line for line in messages(result) if "\tERROR\tInvoke Error \t" in line)
    assert json.loads(logged.split("\t")[-1])["errorMessage"] == message


@pytest.mark.parametrize(
    ("source", "kind", "message"),
    [
        ("require('nope')", "Runtime.ImportModuleError", "Error: Cannot find module 'nope'"),
        ("exports.handler = (", "Runtime.UserCodeSyntaxError", "SyntaxError: "),
        ("exports.other = 1", "Runtime.HandlerNotFound", "index.handler is undefined or not exported"),
        ("exports.handler = 1", "Runtime.HandlerNotFound", "index.handler is not a function"),
        ("throw new Error('at the start')", "Error", "at the start"),
    ],
)
def test_a_function_that_can_not_be_loaded_says_why(lab: Lab, source: str, kind: str, message: str) -> None:
    result = run(lab, source)
    found = error(result)
    assert found["errorType"] == kind
    assert found["errorMessage"].startswith(message)
    assert f"Error Type: {kind}" in messages(result)[-1]


@pytest.mark.parametrize("handler", ["index", "../index.handler"])
def test_a_handlers_name_that_can_not_be_right_is_refused(lab: Lab, handler: str) -> None:
    assert error(run(lab, ECHO, handler=handler))["errorType"] == "Runtime.MalformedHandlerName"


def test_an_async_handler_that_can_never_settle_ends_with_an_error(lab: Lab) -> None:
    result = run(lab, "exports.handler = async () => { await new Promise(() => {}) }")
    assert error(result)["errorType"] == "Runtime.NodeJsExit"


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("exports.handler = (event, context, callback) => { setTimeout(() => { throw new Error('x') }, 10) }", "Error"),
        (
            "exports.handler = (event, context, done) => { Promise.reject(new Error('x')); setTimeout(done, 500) }",
            "Runtime.UnhandledPromiseRejection",
        ),
    ],
)
def test_an_exception_that_nobody_catches_ends_the_environment(lab: Lab, source: str, kind: str) -> None:
    assert error(run(lab, source))["errorType"] == kind
    assert run(lab, source).cold_start


def test_a_runtime_that_ends_is_reported(lab: Lab) -> None:
    found = error(run(lab, "exports.handler = async () => { process.exit(3) }"))
    assert found["errorMessage"].endswith("Error: Runtime exited with error: exit status 3")


def test_an_invocation_that_takes_too_long_is_ended(lab: Lab) -> None:
    result = run(lab, "exports.handler = async () => new Promise((r) => setTimeout(r, 20000))", timeout_s=1)
    assert error(result)["errorType"] == "Sandbox.Timedout"


def test_memory_over_the_ceiling_ends_the_environment(lab: Lab) -> None:
    source = "exports.handler = async (mb) => Buffer.alloc(mb << 20, 1).length >> 20"
    found = error(run(lab, source, 400, memory_mb=128, timeout_s=30))
    assert found["errorType"] == "Runtime.OutOfMemory"
    assert answer(run(lab, source, 400, memory_mb=1024, timeout_s=30)) == 400


@pytest.mark.skipif(NODE is not None and NODE.major >= 24, reason="this Node.js is the right one for it")
def test_newer_runtimes_take_no_handler_with_a_callback_and_say_what_they_run_on(lab: Lab) -> None:
    result = run(lab, "exports.handler = (event, context, callback) => callback()", runtime="nodejs24.x")
    assert error(result)["errorType"] == "Runtime.CallbackHandlerDeprecated"
    assert f"[WARNING] nodejs24.x is not on this machine: this function runs on {RUNTIME}" in messages(result)
    assert f"Differs From Lambda: runs on {RUNTIME} instead of nodejs24.x" in messages(result)[-1]


# The environment.


def test_the_context_has_what_lambda_documents(lab: Lab) -> None:
    source = """
    exports.handler = async (event, context) => ({ ...context, left: context.getRemainingTimeInMillis() })
    """
    found = answer(run(lab, source, client_context='{"custom": {"a": 1}}', timeout_s=7, memory_mb=256))
    assert 5_000 < found.pop("left") <= 7_000
    assert re.fullmatch(r"[0-9a-f-]{36}", found.pop("awsRequestId"))
    assert re.search(r"/\[7\][0-9a-f]{32}$", found.pop("logStreamName"))
    assert found == {
        "callbackWaitsForEmptyEventLoop": True,
        "functionName": "f",
        "functionVersion": "7",
        "memoryLimitInMB": "256",
        "logGroupName": "/aws/lambda/f",
        "clientContext": {"custom": {"a": 1}},
        "invokedFunctionArn": "arn:aws:lambda:eu-central-1:123456789012:function:f",
    }


def test_variables_are_those_that_were_recorded_on_aws(lab: Lab) -> None:
    found = answer(run(lab, "exports.handler = async () => process.env", trace_id="Root=1-x"))
    # test_introspection_invoke[nodejs20.x] in LocalStack's test_lambda_common.snapshot.json
    major = RUNTIME[6:-2]
    layers = f"/opt/nodejs/node{major}/node_modules:/opt/nodejs/node_modules"
    assert found["NODE_PATH"] == f"{layers}:/var/runtime/node_modules:/var/runtime:/var/task"
    assert found["AWS_EXECUTION_ENV"] == f"AWS_Lambda_{RUNTIME}"
    assert found["_X_AMZN_TRACE_ID"] == "Root=1-x"
    assert found["_HANDLER"] == "index.handler"
    assert "_LAMBDA_TELEMETRY_LOG_FD" not in found


def test_log_lines_have_time_request_and_level(lab: Lab) -> None:
    source = """
    console.log("at the start")
    exports.handler = async (event) => {
        console.log("one\\ntwo", { a: [1] }); console.error("bad %d", 5); console.debug("deep")
        process.stdout.write("plain\\n")
    }"""
    result = run(lab, source)
    found = messages(result)
    time_ = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
    assert re.fullmatch(rf"{time_}\tundefined\tINFO\tat the start", found[1])
    request_id = found[2].split()[2]
    assert re.fullmatch(rf"{time_}\t{request_id}\tINFO\tone\ntwo \{{ a: \[ 1 \] \}}", found[3])
    assert re.fullmatch(rf"{time_}\t{request_id}\tERROR\tbad 5", found[4])
    assert re.fullmatch(rf"{time_}\t{request_id}\tDEBUG\tdeep", found[5])
    assert found[6] == "plain"


def test_the_json_format_has_records_and_filters_by_level(lab: Lab) -> None:
    source = """
    exports.handler = async () => {
        console.debug("too quiet"); console.info({ a: 1 }); console.error("x", new TypeError("no"))
    }"""
    result = run(lab, source, log_format="JSON")
    own = [json.loads(line) for line in messages(result) if '"level"' in line]
    assert (own[0]["level"], own[0]["message"]) == ("INFO", {"a": 1})
    assert (own[1]["level"], own[1]["errorType"], own[1]["errorMessage"]) == ("ERROR", "TypeError", "no")
    assert own[0]["requestId"] == own[1]["requestId"]
    assert len(own) == 2


def test_a_wrapper_starts_the_runtime(lab: Lab) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("index.js", "exports.handler = async () => process.env.WRAPPED")
        entry = zipfile.ZipInfo("wrapper.sh")
        entry.external_attr = 0o755 << 16
        archive.writestr(entry, '#!/bin/sh\nexport WRAPPED=yes\nexec "$@"\n')
    root = "/var/task" if isolation().namespaces else "."
    wrapped = {"AWS_LAMBDA_EXEC_WRAPPER": f"{root}/wrapper.sh"}
    assert answer(run(lab, buffer.getvalue(), environment=wrapped)) == "yes"
    # test_lambda_runtime_wrapper_not_found in LocalStack's test_lambda.snapshot.json
    missing = error(run(lab, ECHO, environment={"AWS_LAMBDA_EXEC_WRAPPER": "/opt/nope"}))
    assert missing["errorType"] == "Runtime.ExitError"
    assert missing["errorMessage"].endswith("Error: Runtime exited with error: exit status 127")


def test_a_streamed_answer_comes_as_a_whole(lab: Lab) -> None:
    source = """
    exports.handler = awslambda.streamifyResponse(async (event, stream) => {
        for (const word of event) stream.write(word)
        stream.end()
    })"""
    result = run(lab, source, ["a", "b", "c"])
    assert result.function_error is None
    assert result.payload == b"abc"


def test_what_is_left_to_do_stands_still_between_invocations(lab: Lab) -> None:
    source = """
    let last = Date.now(), longest = 0
    setInterval(() => { longest = Math.max(longest, Date.now() - last); last = Date.now() }, 10)
    exports.handler = async () => { await new Promise((r) => setTimeout(r, 100)); return longest }
    """
    run(lab, source)
    time.sleep(0.5)
    assert answer(run(lab, source)) > 450


@pytest.mark.skipif(not isolation().namespaces, reason="this user may have no namespaces here")
def test_a_function_sees_nothing_of_the_machine(lab: Lab) -> None:
    source = """
    const fs = require("fs")
    exports.handler = async () => ({
        uid: process.getuid(), root: fs.readdirSync("/"), file: __filename,
        seen: ["/etc/shadow", "/root/.ssh", "/home"].filter((path) => fs.existsSync(path)),
    })"""
    found = answer(run(lab, source))
    assert found["uid"] != 0
    assert found["file"] == "/var/task/index.js"
    assert found["seen"] == []

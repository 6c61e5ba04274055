"""OS-only runtimes: any `bootstrap`, under the same limits, logs and errors as Python. Real programs, a real kernel.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html and …/runtimes-api.html
"""

from __future__ import annotations

import io
import json
import shutil
import stat
import subprocess
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from greenroom.engine import InvokeResult, isolation
from greenroom.engine.interpreters import own
from tests.integration.engine.lab import Lab, answer, error, for_root, messages, passes_for_an_ordinary_user

jailed = pytest.mark.skipif(not isolation().namespaces, reason="this user may have no namespaces here")

# The environments are forked from a Python, which is there for programs as well.
INTERPRETER = f"/var/lang/bin/{Path(own().executable).name}" if isolation().namespaces else own().executable

PYTHON = f"""#!{INTERPRETER}
import http.client, json, os, sys, time

API = "/2018-06-01/runtime/"
connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])

def ask(method, path, body=None, **headers):
    connection.request(method, API + path, body, headers)
    found = connection.getresponse()
    return found.status, found.headers, found.read()

def say(*words):
    print(*words, flush=True)

def serve(handler):
    while True:
        _, headers, event = ask("GET", "invocation/next")
        request_id = headers["Lambda-Runtime-Aws-Request-Id"]
        try:
            kind, answer = "response", json.dumps(handler(json.loads(event), headers)).encode()
        except Exception as error:
            told = {{"errorType": type(error).__name__, "errorMessage": str(error)}}
            kind, answer = "error", json.dumps(told).encode()
        ask("POST", f"invocation/{{request_id}}/{{kind}}", answer)
"""

SHELL = """#!/bin/sh
set -eu
while true; do
  event=$(curl -sS -D /tmp/headers "http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation/next")
  id=$(grep -i Lambda-Runtime-Aws-Request-Id /tmp/headers | tr -d '[:space:]' | cut -d: -f2)
  echo "the event is $event"
  curl -sS -o /dev/null -d "$event" "http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation/$id/response"
done
"""

C = r"""
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

static int ask(const char *request, char *answer, size_t size) {
    const char *api = getenv("AWS_LAMBDA_RUNTIME_API");
    char host[64]; int port; size_t got = 0; ssize_t piece;
    sscanf(api, "%63[^:]:%d", host, &port);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, host, &to.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&to, sizeof to)) { perror("connect"); return -1; }
    if (write(fd, request, strlen(request)) < 0) return -1;
    while ((piece = read(fd, answer + got, size - 1 - got)) > 0) got += piece;
    answer[got] = 0;
    close(fd);
    return 0;
}

int main(void) {
    static char answer[65536], request[65536];
    for (;;) {
        if (ask("GET /2018-06-01/runtime/invocation/next HTTP/1.0\r\n\r\n", answer, sizeof answer)) return 1;
        char *id = strcasestr(answer, "aws-request-id: ") + 16, *event = strstr(answer, "\r\n\r\n") + 4;
        id[strcspn(id, "\r")] = 0;
        snprintf(request, sizeof request, "POST /2018-06-01/runtime/invocation/%s/response HTTP/1.0\r\n"
                 "Content-Length: %zu\r\n\r\n%s", id, strlen(event), event);
        if (ask(request, answer, sizeof answer)) return 1;
    }
}
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One engine, with the limits of this user; the last test is of one who has the watcher's."""
    lab = Lab(tmp_path_factory.mktemp("engine"), environment={"AWS_ENDPOINT_URL": "http://127.0.0.1:1"})
    yield lab
    lab.engine.close()


def bootstrap(program: str | bytes, mode: int = 0o755, name: str = "bootstrap") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        entry = zipfile.ZipInfo(name)
        entry.external_attr = (stat.S_IFREG | mode) << 16
        archive.writestr(entry, program)
    return buffer.getvalue()


def run(lab: Lab, program: str, event: Any = None, **more: Any) -> InvokeResult:
    """Run a bootstrap in Python that has said what it does in addition to PYTHON."""
    values: dict[str, Any] = {"runtime": "provided.al2023", **more}
    return lab.run("", event, code=bootstrap(PYTHON + program), **values)


ECHO = "serve(lambda event, headers: event)"


@pytest.mark.parametrize("runtime", ["provided.al2", "provided.al2023"])
def test_a_bootstrap_answers_and_stays_for_the_next_invocation(lab: Lab, runtime: str) -> None:
    first, second = (run(lab, ECHO, {"n": n}, runtime=runtime) for n in (1, 2))
    assert (answer(first), answer(second)) == ({"n": 1}, {"n": 2})
    assert (first.cold_start, second.cold_start) == (True, False)
    assert first.init_duration_ms is not None
    lines = messages(first)
    assert lines[0] == f"INIT_START Runtime Version: {runtime}"
    assert [line.split()[0] for line in lines[1:]] == ["START", "END", "REPORT"]
    assert "Init Duration" in lines[-1] and "Differs" not in lines[-1]


@pytest.mark.skipif(shutil.which("curl") is None, reason="the bootstrap needs curl")
def test_a_shell_script_with_curl_is_a_runtime(lab: Lab) -> None:
    for event in ({"a": 1}, ["x" * 3_000]):
        result = lab.run("", event, code=bootstrap(SHELL), runtime="provided.al2023", memory_mb=1769)
        assert answer(result) == event
        assert f"the event is {json.dumps(event)}" in messages(result)


@pytest.mark.skipif(shutil.which("cc") is None, reason="the bootstrap has to be compiled")
def test_a_compiled_program_is_a_runtime(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "bootstrap.c").write_text("#define _GNU_SOURCE\n" + C)
    subprocess.run(["cc", "-o", "bootstrap", "bootstrap.c"], cwd=tmp_path, check=True)
    code = bootstrap((tmp_path / "bootstrap").read_bytes())
    for event in ({"a": 1}, {"a": 2}):
        assert answer(lab.run("", event, code=code, runtime="provided.al2023")) == event


def test_a_layer_may_bring_the_bootstrap(lab: Lab) -> None:
    result = lab.run("", 5, runtime="provided.al2023", layer=bootstrap(PYTHON + ECHO))
    assert answer(result) == 5


def test_the_functions_own_bootstrap_goes_before_a_layers(lab: Lab) -> None:
    own_one = bootstrap(PYTHON + "serve(lambda event, headers: 'own')")
    assert answer(lab.run("", code=own_one, runtime="provided.al2023", layer=bootstrap(PYTHON + ECHO))) == "own"


# Errors, as Lambda reports them.


def test_an_error_goes_to_the_caller_as_the_runtime_has_told_it(lab: Lab) -> None:
    result = run(lab, "serve(lambda event, headers: 1 / 0)")
    assert error(result) == {"errorType": "ZeroDivisionError", "errorMessage": "division by zero"}
    assert not run(lab, "serve(lambda event, headers: 1 / 0)").cold_start


def test_an_error_at_the_start_is_reported_with_its_type(lab: Lab) -> None:
    program = """
body = json.dumps({"errorType": "Mine", "errorMessage": "no handler"})
assert ask("POST", "init/error", body, **{"Lambda-Runtime-Function-Error-Type": "Runtime.NoSuchHandler"})[0] == 202
sys.exit(1)
"""
    result = run(lab, program)
    assert error(result) == {"errorType": "Mine", "errorMessage": "no handler"}
    assert "Error Type: Runtime.NoSuchHandler" in messages(result)[-1]


@pytest.mark.parametrize(
    ("end", "how"),
    [
        ("os._exit(3)", "Runtime exited with error: exit status 3"),
        ("os._exit(0)", "Runtime exited without providing a reason"),
    ],
)
@pytest.mark.parametrize("when", ["at the start", "later"])
def test_a_runtime_that_ends_is_reported(lab: Lab, end: str, how: str, when: str) -> None:
    result = run(lab, end if when == "at the start" else f"serve(lambda event, headers: {end})")
    found = error(result)
    assert found["errorType"] == "Runtime.ExitError"
    assert found["errorMessage"].endswith(f"Error: {how}")
    assert "Status: error\tError Type: Runtime.ExitError" in messages(result)[-1]


def test_an_invocation_that_takes_too_long_is_ended(lab: Lab) -> None:
    result = run(lab, "serve(lambda event, headers: time.sleep(20))", timeout_s=1)
    assert error(result)["errorType"] == "Sandbox.Timedout"
    assert result.duration_ms == 1_000


def test_memory_over_the_ceiling_ends_the_environment(lab: Lab) -> None:
    program = "serve(lambda event, headers: len(b'x' * (event << 20)))"
    assert answer(run(lab, program, 60, memory_mb=128)) == 60 << 20
    assert error(run(lab, program, 300, memory_mb=128))["errorType"] == "Runtime.OutOfMemory"
    assert answer(run(lab, program, 300, memory_mb=512)) == 300 << 20


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (bootstrap("", name="other"), "Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]"),
        (bootstrap(PYTHON, mode=0o644), "fork/exec /var/task/bootstrap: permission denied"),
        (bootstrap(b"\x7fELF what is no program"), "fork/exec /var/task/bootstrap: exec format error"),
        (bootstrap("#!/no/such/program\n"), "fork/exec /var/task/bootstrap: no such file or directory"),
    ],
    ids=["missing", "not executable", "no program", "no interpreter"],
)
def test_a_bootstrap_that_can_not_be_started_says_why(lab: Lab, code: bytes, said: str) -> None:
    result = lab.run("", code=code, runtime="provided.al2023")
    found = error(result)
    assert found["errorType"] == "Runtime.InvalidEntrypoint"
    assert found["errorMessage"].endswith(f"Error: {said}")
    assert "Error Type: Runtime.InvalidEntrypoint" in messages(result)[-1]


def test_a_runtime_that_ends_is_not_kept_alive_by_what_it_has_started(lab: Lab) -> None:
    program = """
def end(event, headers):
    if os.fork() == 0:
        time.sleep(30)
    os._exit(3)
serve(end)
"""
    begin = time.monotonic()
    assert error(run(lab, program, timeout_s=20))["errorMessage"].endswith("exit status 3")
    assert time.monotonic() - begin < 10


# The environment.


def test_a_bootstrap_finds_lambdas_variables_and_none_of_a_managed_runtime(lab: Lab) -> None:
    found = answer(run(lab, "serve(lambda event, headers: dict(os.environ))", environment={"MINE": "1"}))
    assert found["_HANDLER"] == "app.handler"
    assert found["MINE"] == "1"
    assert found["LAMBDA_RUNTIME_DIR"] == "/var/runtime"
    assert found["PATH"] == "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin"
    assert found["AWS_LAMBDA_RUNTIME_API"] == "127.0.0.1:9001" or not isolation().namespaces
    assert not {"AWS_EXECUTION_ENV", "PYTHONPATH", "PWD", "AWS_LAMBDA_LOG_FORMAT"} & found.keys()


def test_context_and_trace_go_to_the_runtime(lab: Lab) -> None:
    program = """
NAMES = ("Trace-Id", "Client-Context", "Invoked-Function-Arn")
serve(lambda event, headers: {name: headers["Lambda-Runtime-" + name] for name in NAMES})
"""
    result = run(lab, program, client_context='{"custom": {}}', trace_id="Root=1-x;Sampled=1")
    assert answer(result) == {
        "Trace-Id": "Root=1-x;Sampled=1",
        "Client-Context": '{"custom": {}}',
        "Invoked-Function-Arn": "arn:aws:lambda:eu-central-1:123456789012:function:f",
    }


@jailed
def test_a_bootstrap_sees_no_more_than_a_python_function_does(lab: Lab) -> None:
    program = """
def look(event, headers):
    def writable(path):
        try:
            open(path + "/x", "w").close()
            return True
        except OSError:
            return False
    status = dict(line.split(":\\t", 1) for line in open("/proc/self/status") if ":\\t" in line)
    return {
        "uid": os.getuid(), "rights": int(status["CapEff"], 16), "new": status["NoNewPrivs"].strip(),
        "cwd": os.getcwd(),
        "writable": [path for path in ("/", "/var/task", "/usr", "/tmp") if writable(path)],
        "seen": [path for path in ("/home", "/root/.ssh", "/etc/shadow") if os.path.exists(path)],
        "open": sorted(os.readlink(f"/proc/self/fd/{name}").split(":")[0] for name in os.listdir("/proc/self/fd")
                       if os.path.lexists(f"/proc/self/fd/{name}")),
    }
serve(look)
"""
    found = answer(run(lab, program))
    assert found["uid"] != 0
    assert (found["rights"], found["new"], found["cwd"]) == (0, "1", "/var/task")
    assert (found["writable"], found["seen"]) == (["/tmp"], [])
    assert found["open"] == ["/dev/null", "pipe", "pipe", "socket"]  # no input, its log twice, its own connection


def test_a_bootstrap_stands_still_between_invocations(lab: Lab) -> None:
    program = """
import threading
ticks = []
def tick():
    while True:
        ticks.append(time.monotonic()); time.sleep(0.01)
threading.Thread(target=tick, daemon=True).start()
def longest(event, headers):
    time.sleep(0.1)
    return max(b - a for a, b in zip(ticks, ticks[1:]))
serve(longest)
"""
    run(lab, program)
    time.sleep(0.5)
    assert answer(run(lab, program)) > 0.45


def test_an_answer_for_another_request_is_refused_and_does_not_count(lab: Lab) -> None:
    program = """
def cheat(event, headers):
    right = headers["Lambda-Runtime-Aws-Request-Id"]
    return [ask("POST", f"invocation/{name}/response", b"1")[0] for name in ("0", right + "x")]
serve(cheat)
"""
    assert answer(run(lab, program)) == [400, 400]


def test_an_answer_over_6_mb_is_an_error_and_the_runtime_goes_on(lab: Lab) -> None:
    program = "serve(lambda event, headers: 'x' * event)"
    assert error(run(lab, program, 7_000_000, memory_mb=1769))["errorType"] == "Function.ResponseSizeTooLarge"
    again = run(lab, program, 6_000_000, memory_mb=1769)
    assert (len(answer(again)), again.cold_start) == (6_000_000, False)


@for_root
def test_the_list_holds_for_an_ordinary_user_too() -> None:
    passes_for_an_ordinary_user(__file__)

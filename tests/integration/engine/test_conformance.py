"""The engine against what AWS documents of Lambda: life cycle, errors, limits, logs. Real functions, a real kernel."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest

from greenroom.engine import Limits, isolation
from greenroom.engine.capability import machine
from tests.integration.engine.lab import (
    ARN,
    REPOSITORY,
    RUNTIME,
    Lab,
    answer,
    error,
    for_root,
    messages,
    passes_for_an_ordinary_user,
    wait_for_end,
    wait_for_work,
    zipped,
)

jailed = pytest.mark.skipif(not isolation().namespaces, reason="this user may have no namespaces here")


# https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html


def test_the_second_invocation_is_warm_and_finds_what_the_first_left(lab: Lab) -> None:
    source = """
    count = 0
    def handler(event, context):
        global count
        count += 1
        return count
    """
    first, second = lab.run(source), lab.run(source)
    assert (answer(first), answer(second)) == (1, 2)
    assert (first.cold_start, second.cold_start) == (True, False)
    assert first.init_duration_ms is not None and second.init_duration_ms is None
    assert first.log_stream == second.log_stream


def test_a_new_configuration_or_version_gets_environments_of_its_own(lab: Lab) -> None:
    source = "def handler(event, context): return [context.function_version, context.memory_limit_in_mb]"
    assert answer(lab.run(source, version="1")) == ["1", "512"]
    assert answer(lab.run(source, version="2")) == ["2", "512"]
    assert answer(lab.run(source, version="1", memory_mb=256)) == ["1", "256"]


def test_concurrent_invocations_take_environments_of_their_own(lab: Lab) -> None:
    source = """
    import time, uuid
    me = str(uuid.uuid4())
    def handler(event, context):
        time.sleep(0.5)
        return [me, event]
    """
    found: list[Any] = []
    threads = [threading.Thread(target=lambda n=n: found.append(answer(lab.run(source, n)))) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({me for me, _ in found}) == 4
    assert sorted(event for _, event in found) == [0, 1, 2, 3]


def test_over_the_limit_of_concurrency_an_invocation_is_throttled(tmp_path: Path) -> None:
    lab = Lab(tmp_path, limits=Limits(concurrency=1))
    try:
        slow = "import time\ndef handler(event, context): time.sleep(event)"
        thread = threading.Thread(target=lambda: lab.run(slow, 0.5))
        thread.start()
        wait_for_work(lab)
        assert lab.run(slow, 0).throttled
        thread.join()
        assert not lab.run(slow, 0).throttled
    finally:
        lab.engine.close()


def test_background_threads_stand_still_between_invocations(lab: Lab) -> None:
    source = """
    import threading, time
    ticks = []
    def tick():
        while True:
            ticks.append(time.monotonic()); time.sleep(0.01)
    threading.Thread(target=tick, daemon=True).start()
    def handler(event, context):
        time.sleep(0.1)
        return max(b - a for a, b in zip(ticks, ticks[1:]))
    """
    lab.run(source)
    time.sleep(0.5)
    assert answer(lab.run(source)) > 0.45


# https://docs.aws.amazon.com/lambda/latest/dg/python-exceptions.html


def test_an_exception_is_reported_with_type_message_and_trace(lab: Lab) -> None:
    result = lab.run("def handler(event, context):\n    raise KeyError('x')\n")
    found = error(result)
    assert (found["errorType"], found["errorMessage"]) == ("KeyError", "'x'")
    assert "/var/task/app.py" in found["stackTrace"][0] or not isolation().namespaces
    assert any(message.startswith("[ERROR] KeyError: 'x'\nTraceback") for message in messages(result))


@jailed
def test_stack_traces_and_modules_have_lambdas_paths_and_none_of_this_machine(lab: Lab) -> None:
    found = error(lab.run("raise Exception('Runtime startup fails')"))
    # As recorded on AWS: test_lambda_runtime_error in LocalStack's test_lambda.snapshot.json.
    assert found["stackTrace"][0].startswith(f'  File "/var/lang/lib/{RUNTIME}/importlib/__init__.py", line ')
    assert "in import_module\n    return _bootstrap._gcd_import(" in found["stackTrace"][0]
    assert found["stackTrace"][-1].startswith('  File "/var/task/app.py", line 1, in <module>')
    source = """
    import gc, sys, traceback, types
    def handler(event, context):
        functions = [each for each in gc.get_objects() if isinstance(each, types.FunctionType)]
        paths = {each.__code__.co_filename for each in functions}
        paths |= {getattr(module, "__file__", None) or "<built-in>" for module in list(sys.modules.values())}
        paths |= {frame.filename for frame in traceback.extract_stack()}
        return [sys.prefix, sys.executable, sorted(sys.path), sorted(paths)]
    """
    prefix, executable, path, paths = answer(lab.run(source))
    assert (prefix, executable) == ("/var/lang", f"/var/lang/bin/{RUNTIME}")
    own_places = ("/var/task", "/var/lang/", "/var/runtime", "<")
    assert [each for each in [*path, *paths] if not each.startswith(own_places)] == []


@jailed
def test_a_function_may_start_its_own_python(lab: Lab) -> None:
    source = """
    import subprocess, sys
    def handler(event, context):
        return subprocess.run([sys.executable, "-c", "import ssl; print(1)"], stdout=subprocess.PIPE).stdout.decode()
    """
    assert answer(lab.run(source)) == "1\n"


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("import no_such_module", "Runtime.ImportModuleError"),
        ("def another(event, context): ...", "Runtime.HandlerNotFound"),
        ("def handler(:", "Runtime.UserCodeSyntaxError"),
        ("1 / 0", "ZeroDivisionError"),
    ],
)
def test_a_function_that_can_not_be_loaded_says_why(lab: Lab, source: str, kind: str) -> None:
    result = lab.run(source)
    assert error(result)["errorType"] == kind
    assert result.init_duration_ms is None
    lines = messages(result)
    # Lambda tries again, in the invocation's own time.
    (first, again) = (line for line in lines if line.startswith("INIT_REPORT"))
    assert first.endswith(f"Phase: init\tStatus: error\tError Type: {kind}")
    assert again.endswith(f"Phase: invoke\tStatus: error\tError Type: {kind}")
    assert [line.split()[0] for line in lines[-3:]] == ["START", "END", "REPORT"]
    assert f"Error Type: {kind}" in lines[-1]
    assert 0 < result.duration_ms < result.billed_duration_ms


def test_an_init_that_takes_too_long_is_begun_again_in_the_functions_own_time(tmp_path: Path) -> None:
    lab = Lab(tmp_path, limits=Limits(init_s=0.4))
    try:
        source = "import time\ntime.sleep(0.5)\ndef handler(event, context): return 1"
        result = lab.run(source)
        assert answer(result) == 1
        assert next(line for line in messages(result) if "INIT_REPORT" in line).endswith("Phase: init\tStatus: timeout")
        assert result.init_duration_ms is None
        assert result.duration_ms >= 500
        assert result.billed_duration_ms >= 900
        again = lab.run(source.replace("0.5", "30"), timeout_s=1)
        assert error(again)["errorMessage"].endswith("Task timed out after 1.00 seconds")
        assert "Status: timeout" in messages(again)[-1]
    finally:
        lab.engine.close()


def test_a_result_that_is_no_json_is_an_error(lab: Lab) -> None:
    assert error(lab.run("def handler(event, context): return {1}"))["errorType"] == "Runtime.MarshalError"


def test_an_answer_over_6_mb_is_an_error(lab: Lab) -> None:
    result = lab.run("def handler(event, context): return 'x' * 7_000_000", memory_mb=1769)
    assert error(result)["errorType"] == "Function.ResponseSizeTooLarge"


@pytest.mark.parametrize(
    ("source", "how"),
    [
        ("import sys\ndef handler(event, context): sys.exit(3)", "exit status 3"),
        ("import ctypes\ndef handler(event, context): ctypes.string_at(0)", "signal: segmentation fault"),
    ],
)
def test_a_runtime_that_ends_is_reported_and_the_next_invocation_is_cold(lab: Lab, source: str, how: str) -> None:
    result = lab.run(source)
    found = error(result)
    assert found["errorType"] == "Runtime.ExitError"
    assert found["errorMessage"].endswith(f"Error: Runtime exited with error: {how}")
    assert messages(result)[-3] == f"{found['errorMessage']}\nRuntime.ExitError"
    assert lab.run(source).cold_start


def test_a_runtime_that_ends_without_an_error_is_reported_too(lab: Lab) -> None:
    found = error(lab.run("import sys\ndef handler(event, context): sys.exit(0)"))
    assert found["errorMessage"].endswith("Error: Runtime exited without providing a reason")


# https://docs.aws.amazon.com/lambda/latest/dg/configuration-timeout.html


def test_a_timeout_ends_the_invocation_and_its_environment(lab: Lab) -> None:
    source = "import time\ndef handler(event, context): time.sleep(30)"
    result = lab.run(source, timeout_s=1)
    found = error(result)
    assert found["errorType"] == "Sandbox.Timedout"
    assert found["errorMessage"].endswith("Error: Task timed out after 1.00 seconds")
    assert "Status: timeout" in messages(result)[-1]
    assert result.duration_ms == 1_000
    assert lab.run(source, timeout_s=1).cold_start


def test_the_remaining_time_counts_down_from_the_timeout(lab: Lab) -> None:
    left = answer(lab.run("def handler(event, context): return context.get_remaining_time_in_millis()", timeout_s=7))
    assert 6_000 < left <= 7_000


# https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html


def test_memory_over_the_ceiling_kills_the_environment(lab: Lab) -> None:
    source = """
    def handler(event, context):
        ballast = bytearray(400 << 20)
        for page in range(0, len(ballast), 4096):
            ballast[page] = 1
    """
    result = lab.run(source, memory_mb=128, timeout_s=60)
    found = error(result)
    assert found["errorType"] == "Runtime.OutOfMemory"
    assert found["errorMessage"].endswith("Runtime exited with error: signal: killed")
    assert result.max_memory_used_mb == 128
    assert answer(lab.run(source, memory_mb=1024)) is None


def test_max_memory_used_is_the_environments_peak_since_it_started(lab: Lab) -> None:
    source = """
    def handler(event, context):
        if event:
            ballast = bytearray(100 << 20)
            for page in range(0, len(ballast), 4096):
                ballast[page] = 1
    """
    assert lab.run(source, False).max_memory_used_mb < 80
    assert lab.run(source, True).max_memory_used_mb >= 100
    assert lab.run(source, False).max_memory_used_mb >= 100


def test_what_is_shared_with_the_prepared_process_counts_as_used(lab: Lab) -> None:
    used = lab.run("def handler(event, context): ...").max_memory_used_mb
    with_sdk = lab.run("import boto3\ndef handler(event, context): ...").max_memory_used_mb
    assert (
        used >= 14
    )  # 36 MB on Lambda, with its own processes: test_invocation_type_event_error in LocalStack's snapshots
    assert with_sdk >= used + 15


# https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html


@pytest.mark.parametrize("minor", range(11, 15))
def test_a_runtime_runs_on_its_own_python_or_says_that_it_does_not(lab: Lab, minor: int) -> None:
    source = "import sys, boto3\ndef handler(event, context): return list(sys.version_info[:2])"
    result = lab.run(source, runtime=f"python3.{minor}", timeout_s=30)
    warned = [message for message in messages(result) if f"python3.{minor} is not on this machine" in message]
    assert bool(warned) != (answer(result) == [3, minor])


def test_another_instruction_set_is_said_in_the_log_and_in_the_report(lab: Lab) -> None:
    here = machine()
    other = "arm64" if here == "x86_64" else "x86_64"
    found = messages(lab.run("def handler(event, context): ...", architecture=other))
    assert f"[WARNING] this machine is no {other}: this function runs on {here}" in found
    assert f"Differs From Lambda: runs on {here} instead of {other}" in found[-1]
    own = messages(lab.run("def handler(event, context): ...", architecture=here))
    assert not any("WARNING" in line or "Differs" in line for line in own)


def test_compiled_modules_for_another_python_are_named(lab: Lab) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("python/fast/_c.cpython-399-x86_64-linux-gnu.so", b"")
        archive.writestr("python/fast/_any.abi3.so", b"")
        archive.writestr("python/fast/__init__.py", "from fast import _c")
    result = lab.run("import fast\ndef handler(event, context): ...", layer=buffer.getvalue())
    assert error(result)["errorType"] == "Runtime.ImportModuleError"
    warned = [message for message in messages(result) if "compiled for another Python" in message]
    assert warned == [
        f"[WARNING] compiled for another Python than {RUNTIME}: python/fast/_c.cpython-399-x86_64-linux-gnu.so"
    ]


# https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html and …/chapter-layers.html


def test_a_function_finds_lambdas_environment_and_nothing_of_this_process(lab: Lab) -> None:
    os.environ["GREENROOM_SECRET_OF_THE_PARENT"] = "x"
    found = answer(
        lab.run(
            "import os\ndef handler(event, context): return dict(os.environ)",
            environment={"MY_OWN": "1"},
            memory_mb=256,
        )
    )
    assert found["AWS_LAMBDA_FUNCTION_NAME"] == "f"
    assert found["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "256"
    assert found["AWS_REGION"] == "eu-central-1"
    assert found["AWS_ACCESS_KEY_ID"] == "ASIAROLE"
    assert found["AWS_ENDPOINT_URL"] == "http://127.0.0.1:1"
    assert found["MY_OWN"] == "1"
    assert found["LAMBDA_TASK_ROOT"] == "/var/task" or not isolation().namespaces
    assert "GREENROOM_SECRET_OF_THE_PARENT" not in found
    assert not [name for name in found if name.startswith(("PIP_", "VIRTUAL_ENV"))]


def test_variables_are_those_that_were_recorded_on_aws(lab: Lab) -> None:
    found = answer(lab.run("import os\ndef handler(event, context): return dict(os.environ)", version="$LATEST"))
    # test_introspection_invoke[python3.11] in LocalStack's test_lambda_common.snapshot.json; what is not in it either:
    # the address of the Runtime API, which Python does not use here, and of X-Ray, which is not here.
    assert found["PATH"] == "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin"
    assert found["LD_LIBRARY_PATH"] == (
        "/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib"
    )
    assert (found["PWD"], found["SHLVL"], found["TZ"], found["LANG"]) == ("/var/task", "0", ":UTC", "en_US.UTF-8")
    assert found["AWS_EXECUTION_ENV"] == f"AWS_Lambda_{RUNTIME}"
    assert found["AWS_XRAY_CONTEXT_MISSING"] == "LOG_ERROR"
    assert found["PYTHONPATH"] == "/var/runtime"
    assert "AWS_LAMBDA_LOG_FORMAT" not in found


@pytest.mark.parametrize("given", [None, "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1"])
def test_each_invocation_has_its_trace(lab: Lab, given: str | None) -> None:
    source = "import os\ndef handler(event, context): return os.environ['_X_AMZN_TRACE_ID']"
    found = [answer(lab.run(source, trace_id=given)) for _ in range(2)]
    if given is not None:
        assert found == [given, given]
    else:
        shape = r"Root=1-[0-9a-f]{8}-[0-9a-f]{24};Parent=[0-9a-f]{16};Sampled=0"
        assert all(re.fullmatch(shape, each) for each in found)
        assert found[0] != found[1]


def test_the_context_has_what_the_client_sent_along(lab: Lab) -> None:
    source = """
    def handler(event, context):
        client = context.client_context
        return None if client is None else [client.custom, client.client.app_title]
    """
    assert answer(lab.run(source)) is None
    sent = {"custom": {"a": 1}, "client": {"app_title": "mine"}}
    assert answer(lab.run(source, client_context=json.dumps(sent))) == [{"a": 1}, "mine"]


def test_a_message_that_has_no_bytes_is_reported_all_the_same(lab: Lab) -> None:
    source = """
    import logging
    def handler(event, context):
        logging.getLogger().error("caf\\udce9")
        raise ValueError("no such file: caf\\udce9.txt")
    """
    result = lab.run(source)
    assert error(result)["errorType"] == "ValueError"
    assert error(result)["errorMessage"] == "no such file: caf\udce9.txt"
    assert any("caf\\udce9" in line for line in messages(result))
    assert not lab.run(source).cold_start


def test_an_event_and_an_answer_go_through_byte_by_byte(lab: Lab) -> None:
    echo = "def handler(event, context): return event"
    assert answer(lab.run(echo, "\ud800")) == "\ud800"
    assert answer(lab.run(echo, 10**40)) == 10**40
    assert lab.run("def handler(event, context): return b'\\x00\\xff'").payload == b"\x00\xff"


def test_the_context_has_the_arn_that_was_invoked(lab: Lab) -> None:
    source = "def handler(event, context): return context.invoked_function_arn"
    assert answer(lab.run(source, invoked_function_arn=f"{ARN}:prod")) == f"{ARN}:prod"
    assert answer(lab.run(source, invoked_function_arn=f"{ARN}:test-256")) == f"{ARN}:test-256"


def test_a_layers_packages_are_found_after_the_functions_own(lab: Lab) -> None:
    layer = zipped(python__helper="name = 'layer'", python__app="raise RuntimeError('the layer is first')")
    assert answer(lab.run("import helper\ndef handler(event, context): return helper.name", layer=layer)) == "layer"


@pytest.mark.parametrize("name", ["environment", "watcher", "zygote"])
def test_a_functions_module_may_have_the_name_of_one_of_the_engines(lab: Lab, name: str) -> None:
    layer = zipped(**{f"python__{name}": "mine = True"})
    assert answer(lab.run(f"import {name}\ndef handler(event, context): return {name}.mine", layer=layer)) is True


def test_the_sdk_is_there_and_nothing_of_greenroom_is(lab: Lab) -> None:
    source = """
    import importlib.util, boto3
    def handler(event, context):
        return [importlib.util.find_spec(name) is not None for name in ("greenroom", "ministack", "pydantic", "rich")]
    """
    assert answer(lab.run(source)) == [False] * 4


@jailed
def test_a_function_sees_its_code_its_tmp_and_nothing_of_the_machine(lab: Lab) -> None:
    source = """
    import os
    def handler(event, context):
        def writable(path):
            try:
                open(path + "/x", "w").close()
                return True
            except OSError:
                return False
        with open("/proc/self/status") as file:
            rights = next(line.split()[1] for line in file if line.startswith("CapEff:"))
        return {
            "rights": int(rights, 16), "uid": os.getuid(), "pids": [p for p in os.listdir("/proc") if p.isdigit()],
            "task": writable("/var/task"), "tmp": writable("/tmp"), "root": writable("/"), "usr": writable("/usr"),
            "code": os.listdir("/.greenroom-code"), "home": os.path.exists("/root/.ssh") or os.path.exists("/home"),
            "shadow": os.path.exists("/etc/shadow"),
        }
    """
    found = answer(lab.run(source))
    assert found["uid"] != 0
    assert found["rights"] == 0
    assert found["pids"] == ["1", "2"]  # an init, and the function
    assert (found["task"], found["tmp"], found["root"], found["usr"]) == (False, True, False, False)
    assert (found["code"], found["home"], found["shadow"]) == ([], False, False)


@jailed
def test_functions_share_no_memory(lab: Lab) -> None:
    source = """
    import ctypes
    def handler(event, context):
        return ctypes.CDLL(None).shmget(0x67726565, 4096, event) >= 0
    """
    create = 0o1666
    assert answer(lab.run(source, create)) is True
    assert answer(lab.run(source, 0)) is True
    assert answer(lab.run(source + "# another", 0)) is False


@jailed
def test_tmp_has_the_size_that_was_asked_for_and_is_private(lab: Lab) -> None:
    source = """
    import os
    def handler(event, context):
        open("/tmp/mine", "w").write("x")
        found = os.statvfs("/tmp")
        return [found.f_blocks * found.f_frsize // (1 << 20), os.listdir("/tmp")]
    """
    assert answer(lab.run(source, ephemeral_storage_mb=600)) == [600, ["mine"]]
    assert not Path("/tmp/mine").exists()


# https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-logformat.html


def test_the_log_has_lambdas_lines_around_the_functions_own(lab: Lab) -> None:
    result = lab.run("def handler(event, context):\n    print('one')\n    print('two')\n")
    found = messages(result)
    assert found[0].startswith("INIT_START Runtime Version: python")
    assert found[1].startswith("START RequestId: ") and found[1].endswith(" Version: 7")
    assert found[2:4] == ["one", "two"]
    assert found[4].startswith("END RequestId: ")
    fields = dict(field.split(": ", 1) for field in found[5].strip().split("\t"))
    assert list(fields)[1:] == ["Duration", "Billed Duration", "Memory Size", "Max Memory Used", "Init Duration"]
    assert fields["Memory Size"] == "512 MB"
    assert result.billed_duration_ms >= result.duration_ms + (result.init_duration_ms or 0) - 1


def test_the_json_format_has_records_and_filters_by_level(lab: Lab) -> None:
    source = """
    import logging
    def handler(event, context):
        logging.getLogger().info("too quiet")
        logging.getLogger().warning("loud enough")
    """
    result = lab.run(source, log_format="JSON", application_log_level="WARN")
    records = [json.loads(message) for message in messages(result)]
    assert [record.get("type") for record in records] == [
        "platform.initStart",
        "platform.start",
        None,
        "platform.report",
    ]
    assert records[2]["message"] == "loud enough"
    assert records[3]["record"]["metrics"]["memorySizeMB"] == 512
    assert records[3]["record"]["status"] == "success"


def test_a_message_of_several_lines_is_one_event_and_a_printed_return_stays(lab: Lab) -> None:
    source = """
    import logging
    def handler(event, context):
        print("multi\\nline")
        print("another\\rline")
        logging.getLogger().error("one\\nmessage")
        raise ValueError("x")
    """
    found = [event.message for event in lab.run(source).log_events]
    # As recorded on AWS: test_multi_line_prints and test_invocation_type_event_error in LocalStack's snapshots.
    assert found[2:5] == ["multi\n", "line\n", "another\rline\n"]
    assert found[5].startswith("[ERROR]\t") and found[5].endswith("\tone\nmessage\n")
    assert found[6].startswith("[ERROR] ValueError: x\nTraceback (most recent call last):\n\xa0\xa0File ")
    assert not found[6].endswith("\n")
    assert found[7].startswith("END RequestId: ") and found[7].endswith("\n")
    assert found[8].endswith("\t\n")


def test_what_is_written_at_the_start_is_not_part_of_the_invocations_own_log(lab: Lab) -> None:
    source = "print('START RequestId: forged')\ndef handler(event, context): print('own')"
    result = lab.run(source)
    own = messages(result)[result.init_log_events :]
    assert own[0].startswith("START RequestId: ") and own[0] != "START RequestId: forged"
    assert own[1] == "own"
    assert lab.run(source).init_log_events == 0


def test_the_json_format_shows_what_is_info_by_default(lab: Lab) -> None:
    source = """
    import logging
    def handler(event, context):
        logging.getLogger().debug("too quiet")
        logging.getLogger().info("loud enough")
    """
    result = lab.run(source, log_format="JSON")
    assert [json.loads(line)["message"] for line in messages(result) if '"level"' in line] == ["loud enough"]
    assert all(": " not in line.split('"message"')[0] for line in messages(result) if '"platform.' in line)


def test_system_log_level_warn_leaves_out_what_went_well(lab: Lab) -> None:
    quiet: dict[str, Any] = {"log_format": "JSON", "system_log_level": "WARN"}
    assert messages(lab.run("def handler(event, context): ...", **quiet)) == []
    late = messages(lab.run("import time\ndef handler(event, context): time.sleep(5)", timeout_s=1, **quiet))
    assert [json.loads(line).get("type") for line in late] == [None, "platform.report"]


@pytest.mark.skipif(isolation().cpus >= 6, reason="this machine has as many CPUs as the largest function")
def test_a_size_that_the_machine_is_too_small_for_says_so(lab: Lab) -> None:
    # 10,240 MB deserve 10240 / 1769 = 5.79 vCPU.
    report = messages(lab.run("def handler(event, context): ...", memory_mb=10_240))[-1]
    assert f"Differs From Lambda: {isolation().cpus:g} of 5.79 vCPU, the size is not representable here" in report
    assert "Differs" not in messages(lab.run("def handler(event, context): ...", memory_mb=1769))[-1]


# A process of the function that does not listen, or ends between two invocations, is not the next invocation's fault.

AFTER_ITS_ANSWER = """
import os, sys, time

def hook(frame, event, argument):
    if event == "call" and frame.f_code.co_name == "wait_next_invocation":
        sys.setprofile(None)
        DO

def handler(event, context):
    if event == "first":
        sys.setprofile(hook)
    return len(event)
"""


@pytest.mark.parametrize("do", ["time.sleep(2)", "os._exit(3)"])
def test_an_environment_that_does_not_ask_for_more_work_is_not_used_again(lab: Lab, do: str) -> None:
    source = AFTER_ITS_ANSWER.replace("DO", do)
    assert answer(lab.run(source, "first", timeout_s=1)) == 5
    again = lab.run(source, "another", timeout_s=1)
    assert (answer(again), again.cold_start) == (7, True)


def test_an_event_that_the_function_does_not_read_ends_in_a_timeout(lab: Lab) -> None:
    source = """
    import ctypes, threading, time
    def hold():
        time.sleep(0.2)
        ctypes.PyDLL(None).usleep(ctypes.c_uint(20_000_000))
    def handler(event, context):
        if event == "first":
            threading.Thread(target=hold, daemon=True).start()
        return len(event)
    """
    assert answer(lab.run(source, "first", timeout_s=1)) == 5
    time.sleep(0.3)
    begin = time.monotonic()
    late = lab.run(source, "x" * 5_000_000, timeout_s=1)
    assert error(late)["errorType"] == "Sandbox.Timedout"
    assert time.monotonic() - begin < 5
    assert answer(lab.run(source, "another", timeout_s=1)) == 7


def test_what_a_function_logs_while_it_reads_an_event_does_not_stop_it(lab: Lab) -> None:
    source = """
    import ctypes, threading, time
    def speak():
        time.sleep(0.2)
        ctypes.PyDLL(None).write(1, b"x" * (1 << 20), 1 << 20)  # the event is not read until the log has taken this
    def handler(event, context):
        if event == "first":
            threading.Thread(target=speak, daemon=True).start()
        return len(event)
    """
    assert answer(lab.run(source, "first")) == 5
    time.sleep(0.3)
    assert answer(lab.run(source, "x" * 5_000_000)) == 5_000_000


# No process is left, however anything ends.


def test_environments_end_with_the_engine(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    pids = [answer(lab.run(f"import os  # {n}\ndef handler(event, context): return {n}")) for n in range(3)]
    assert pids == [0, 1, 2]
    processes = [each.pid for each in lab.engine._turns.idle()]
    assert len(processes) == 3
    lab.engine.close()
    assert not any(Path(f"/proc/{pid}").exists() for pid in processes)


def test_environments_end_when_the_engines_process_is_killed(tmp_path: Path) -> None:
    program = f"""
import time
from pathlib import Path
from tests.integration.engine.lab import Lab
lab = Lab(Path({str(tmp_path)!r}))
lab.run("def handler(event, context): return 1")
print([each.pid for each in lab.engine._turns.idle()][0], flush=True)
time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", program], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    pid = int(process.stdout.readline())
    assert Path(f"/proc/{pid}").exists()
    process.send_signal(signal.SIGKILL)
    process.wait()
    wait_for_end(pid)
    process.stdout.close()


def test_an_environment_that_was_killed_while_it_stood_still_is_not_used_again(lab: Lab) -> None:
    source = "import os\ncold = [True]\ndef handler(event, context): return cold.pop() if cold else False"
    assert answer(lab.run(source)) is True
    assert answer(lab.run(source)) is False
    newest = lab.engine._turns.idle()[-1]
    os.kill(newest.pid, signal.SIGKILL)
    newest._group.freeze(False)  # what stands still in a group of version 1 ends when it goes on
    time.sleep(0.2)
    assert answer(lab.run(source)) is True


def test_environments_end_when_the_process_they_were_forked_from_is_killed(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    try:
        source = "import time\ndef handler(event, context): time.sleep(event)"
        lab.run(source, 0)
        (pid,) = [each.pid for each in lab.engine._turns.idle()]
        (zygote,) = lab.engine._zygotes.values()
        os.kill(zygote._process.pid, signal.SIGKILL)
        zygote._process.wait()
        assert lab.run(source, 0).cold_start
        wait_for_end(pid)
    finally:
        lab.engine.close()


def test_idle_environments_are_ended_after_a_while(tmp_path: Path) -> None:
    lab = Lab(tmp_path, limits=Limits(idle_s=0.2))
    try:
        lab.run("def handler(event, context): ...")
        (pid,) = [each.pid for each in lab.engine._turns.idle()]
        wait_for_end(pid)
    finally:
        lab.engine.close()


@for_root
def test_the_list_holds_for_an_ordinary_user_too() -> None:
    passes_for_an_ordinary_user(__file__)

"""What a function can not reach, see, or get around. Each was an attack once; real functions, a real kernel."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from uuid import uuid4

import pytest

from greenroom.engine import isolation
from tests.integration.engine.lab import (
    Lab,
    answer,
    descendants,
    error,
    for_root,
    passes_for_an_ordinary_user,
    zipped,
)

jailed = pytest.mark.skipif(not isolation().namespaces, reason="this user may have no namespaces here")
linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")

REACH = """
import socket
def handler(event, context):
    found = []
    for family, address in event:
        with socket.socket(family) as one:
            one.settimeout(2)
            try:
                one.connect(tuple(address) if isinstance(address, list) else address)
                found.append("reached")
            except OSError as error:
                found.append(type(error).__name__)
    return found
"""


class Echo(BaseHTTPRequestHandler):
    """An endpoint that answers with what it was sent."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


class Server(ThreadingHTTPServer):
    request_queue_size = 1_024


@pytest.fixture(scope="module")
def endpoint() -> Iterator[int]:
    with Server(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def connected(tmp_path_factory: pytest.TempPathFactory, endpoint: int) -> Iterator[Lab]:
    """An engine whose functions may reach an endpoint."""
    lab = Lab(tmp_path_factory.mktemp("engine"), environment={"AWS_ENDPOINT_URL": f"http://127.0.0.1:{endpoint}"})
    yield lab
    lab.engine.close()


# The network


@jailed
def test_a_function_reaches_no_service_of_the_machine(lab: Lab, endpoint: int) -> None:
    name = f"\0greenroom-{uuid4().hex}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(name)
        listener.listen()
        targets = [[socket.AF_INET, ["127.0.0.1", endpoint]], [socket.AF_UNIX, name], [socket.AF_INET, ["1.1.1.1", 53]]]
        begin = time.monotonic()
        assert "reached" not in answer(lab.run(REACH, targets))
        assert time.monotonic() - begin < 5


@jailed
def test_a_function_sees_no_socket_of_the_machine(lab: Lab) -> None:
    assert socket.if_nameindex()  # the machine has interfaces, and this test listens
    with socket.create_server(("127.0.0.1", 0)):
        source = """
        import socket
        def handler(event, context):
            tables = [open(f"/proc/net/{name}").read().splitlines()[1:] for name in ("tcp", "udp", "unix")]
            return [[name for _, name in socket.if_nameindex()], tables]
        """
        interfaces, (tcp, udp, unix) = answer(lab.run(source))
    assert interfaces == ["lo"]
    assert [line.split()[1] for line in tcp] == ["0100007F:0001"]  # the way to the endpoint
    assert (udp, unix) == ([], [])


@jailed
def test_a_function_reaches_the_endpoint_with_much_data_and_many_connections(connected: Lab) -> None:
    source = """
    import http.client, os, threading
    from urllib.parse import urlsplit
    port = urlsplit(os.environ["AWS_ENDPOINT_URL"]).port
    def ask(size, found):
        connection = http.client.HTTPConnection("127.0.0.1", port)
        for turn in range(3):
            body = os.urandom(size)
            connection.request("POST", "/", body)
            found.append(connection.getresponse().read() == body)
        connection.close()
    def handler(event, context):
        found = []
        threads = [threading.Thread(target=ask, args=(event["bytes"], found)) for _ in range(event["threads"])]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        return [len(found), all(found)]
    """
    assert answer(connected.run(source, {"bytes": 8_000_000, "threads": 2}, timeout_s=60)) == [6, True]
    assert answer(connected.run(source, {"bytes": 10, "threads": 200}, timeout_s=60)) == [600, True]


@jailed
def test_connections_end_with_their_environment_although_the_other_side_keeps_them(tmp_path: Path) -> None:
    source = """
    import os, socket
    from urllib.parse import urlsplit
    port = urlsplit(os.environ["AWS_ENDPOINT_URL"]).port
    def handler(event, context):
        for _ in range(20):
            socket.create_connection(("127.0.0.1", port)).detach()
        time.sleep(0.5)
        os._exit(1)
    """.replace("import os", "import os, time")
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        port = server.getsockname()[1]
        lab = Lab(tmp_path, environment={"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"})
        try:
            error(lab.run(source))
            kept = [server.accept() for _ in range(20)]
            until = time.monotonic() + 5
            while held(port) and time.monotonic() < until:
                time.sleep(0.05)
            assert not held(port)
            for connection, _ in kept:
                connection.close()
        finally:
            lab.engine.close()


def held(port: int) -> list[str]:
    """Return the connections to a port of this machine that a process holds at their near end."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return [line[1] for line in lines if line[2].endswith(f":{port:04X}") and line[9] != "0"]


@jailed
def test_an_endpoint_that_is_not_there_refuses_at_once(lab: Lab) -> None:
    # The lab's endpoint is port 1, where nobody listens.
    source = """
    import socket
    def handler(event, context):
        with socket.create_connection(("127.0.0.1", 1)) as one:
            one.settimeout(5)
            try:
                return one.recv(1).decode()
            except ConnectionResetError:
                return "reset"
    """
    assert answer(lab.run(source)) == "reset"


@jailed
def test_names_other_than_its_own_are_unknown_at_once(lab: Lab) -> None:
    source = """
    import socket, time
    def handler(event, context):
        begin = time.monotonic()
        try:
            socket.getaddrinfo("example.com", 443)
        except socket.gaierror:
            return [time.monotonic() - begin, socket.gethostbyname("localhost"), socket.gethostname()]
    """
    took, localhost, hostname = answer(lab.run(source))
    assert took < 1
    assert (localhost, hostname) == ("127.0.0.1", "localhost")


@jailed
def test_environments_may_use_the_same_ports_and_do_not_meet(lab: Lab) -> None:
    source = """
    import socket
    listener = socket.create_server(("127.0.0.1", 8080))
    def handler(event, context): return listener.getsockname()[1]
    """
    assert answer(lab.run(source)) == answer(lab.run(source + "# another")) == 8080


@jailed
def test_the_machines_network_is_open_only_where_that_is_asked_for(tmp_path: Path, endpoint: int) -> None:
    lab = Lab(tmp_path, host_network=True)
    try:
        assert answer(lab.run(REACH, [[socket.AF_INET, ["127.0.0.1", endpoint]]])) == ["reached"]
    finally:
        lab.engine.close()


# The kernel

CALL = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
def tried(name, *arguments):
    result = getattr(libc, name)(*arguments)
    return 0 if result >= 0 else ctypes.get_errno()
"""


@jailed
def test_a_function_gets_no_namespace_mount_key_ring_or_program_in_the_kernel(lab: Lab) -> None:
    numbers = {
        "x86_64": {
            "keyctl": 250,
            "add_key": 248,
            "bpf": 321,
            "perf_event_open": 298,
            "io_uring_setup": 425,
            "clone": 56,
        },
        "aarch64": {
            "keyctl": 219,
            "add_key": 217,
            "bpf": 280,
            "perf_event_open": 241,
            "io_uring_setup": 425,
            "clone": 220,
        },
    }[os.uname().machine]
    source = f"""{CALL}
import socket
def handler(event, context):
    found = {{"unshare " + hex(flag): tried("unshare", flag) for flag in (0x10000000, 0x20000, 0x40000000, 0x20000000)}}
    found["mount"] = tried("mount", b"tmpfs", b"/tmp", b"tmpfs", 0, None)
    found["clone"] = tried("syscall", event["clone"], 0x10000000 | 17, 0, 0, 0, 0)
    found["clone3"] = tried("syscall", 435, ctypes.create_string_buffer(88), 88)
    found["keyctl"] = tried("syscall", event["keyctl"], 0, -4, 0)
    found["add_key"] = tried("syscall", event["add_key"], b"user", b"greenroom", b"x", 1, -4)
    found["bpf"] = tried("syscall", event["bpf"], 0, ctypes.create_string_buffer(72), 72)
    found["perf"] = tried("syscall", event["perf_event_open"], ctypes.create_string_buffer(112), 0, -1, -1, 0)
    found["io_uring"] = tried("syscall", event["io_uring_setup"], 1, ctypes.create_string_buffer(120))
    for family in (38, 40):  # the kernel's ciphers, the hypervisor
        try:
            socket.socket(family, socket.SOCK_STREAM if family == 40 else socket.SOCK_SEQPACKET).close()
            found["family " + str(family)] = 0
        except OSError as error:
            found["family " + str(family)] = error.errno
    with open("/proc/self/status") as file:
        for line in file:
            if line.startswith(("Cap", "NoNewPrivs", "Seccomp:")):
                name, value = line.split(":")
                found[name] = int(value, 16)
    return found
"""
    found = answer(lab.run(source, numbers))
    refused = {name: value for name, value in found.items() if name[:3] not in ("Cap", "NoN", "Sec")}
    absent = {"clone3": 38, "io_uring": 38, "family 38": 97, "family 40": 97}
    assert refused == {name: absent.get(name, 1) for name in refused}
    assert {found[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert (found["NoNewPrivs"], found["Seccomp"]) == (1, 2)


@jailed
def test_threads_and_programs_start_as_ever(lab: Lab) -> None:
    source = """
    import concurrent.futures, subprocess, sys
    def handler(event, context):
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            found = sum(pool.map(int, range(8)))
        return [found, subprocess.run([sys.executable, "-c", "print(6 * 7)"], capture_output=True).stdout.decode()]
    """
    assert answer(lab.run(source)) == [28, "42\n"]


@jailed
def test_no_two_functions_are_the_same_user_and_none_is_one_of_the_machine(lab: Lab) -> None:
    source = """
    import os, pwd
    def handler(event, context):
        users = [user.pw_name for user in pwd.getpwall()]
        return [os.getuid(), pwd.getpwuid(os.getuid()).pw_name, users, os.getgroups()]
    """
    first, second = answer(lab.run(source)), answer(lab.run(source + "# another"))
    for uid, name, users, groups in (first, second):
        assert uid not in (0, 65_534, os.getuid())
        assert name == "sbx_user1051"
        assert users == ["root", "sbx_user1051"]
        assert groups in ([], [uid], [65_534])
    if os.geteuid() == 0:
        assert first[0] != second[0]


def test_a_function_can_read_its_code_although_nobody_else_may_read_what_the_engine_writes(tmp_path: Path) -> None:
    before = os.umask(0o077)
    lab = Lab(tmp_path / "engine")
    try:
        source = """
        import helper, os
        def handler(event, context):
            mask = os.umask(0)
            return [helper.name, sorted(os.listdir("/opt/python")) if os.path.exists("/opt") else ["helper.py"], mask]
        """
        layer = zipped(python__helper="name = 'layer'")
        assert answer(lab.run(source, layer=layer)) == ["layer", ["helper.py"], 0o022]
    finally:
        os.umask(before)
        lab.engine.close()


@jailed
def test_the_engines_own_folders_are_not_in_sight(lab: Lab) -> None:
    source = """
    import os
    def handler(event, context):
        return [os.listdir("/.greenroom-code"), os.listdir("/.greenroom-runtime"), open("/proc/self/cmdline").read()]
    """
    code, runtime, command = answer(lab.run(source))
    assert (code, runtime) == ([], [])
    assert "greenroom" not in command


# Limits. https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html


@linux
def test_a_function_has_1024_descriptors(lab: Lab) -> None:
    source = """
    import os
    def handler(event, context):
        found = []
        try:
            while True:
                found.append(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            for each in found:
                os.close(each)
        return max(found)
    """
    assert answer(lab.run(source)) == 1_023


@jailed
def test_a_function_has_at_most_1024_processes_and_threads(lab: Lab) -> None:
    source = """
    import os, signal, threading, time
    def handler(event, context):
        children = []
        try:
            while len(children) < 1200:
                pid = os.fork()
                if pid == 0:
                    time.sleep(60)
                    os._exit(0)
                children.append(pid)
        except BlockingIOError:
            pass
        for pid in children:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        return len(children)
    """
    assert 900 < answer(lab.run(source, memory_mb=3_008, timeout_s=120)) < 1_024


# What a function starts: from any thread, in any session. Only real groups and the watcher's whole tree can tell.

HIDE = """
import os, subprocess, sys, threading, time
CODE = '''
import time, sys
ballast = bytearray(int(sys.argv[1]) << 20)
for page in range(0, len(ballast), 4096): ballast[page] = 1
while True:
    open(sys.argv[2], "a").write("x")
    time.sleep(0.01)
'''
def start(megabytes):
    subprocess.Popen([sys.executable, "-c", CODE, str(megabytes), "/tmp/ticks"], start_new_session=True)
    time.sleep(60)  # what a thread that ends has started passes to another
def handler(event, context):
    if event.get("start") is not None:
        threading.Thread(target=start, args=(event["start"],), daemon=True).start()
        time.sleep(event.get("wait", 1))
    return os.stat("/tmp/ticks").st_size if os.path.exists("/tmp/ticks") else 0
"""


@jailed
def test_what_another_thread_starts_in_a_session_of_its_own_stands_still_too(lab: Lab) -> None:
    assert answer(lab.run(HIDE, {"start": 1}, memory_mb=1_769)) > 0
    begin = answer(lab.run(HIDE, {}, memory_mb=1_769))
    time.sleep(1)
    assert answer(lab.run(HIDE, {}, memory_mb=1_769)) - begin < 40


@jailed
def test_the_memory_of_what_another_thread_starts_in_a_session_of_its_own_counts(lab: Lab) -> None:
    result = lab.run(HIDE, {"start": 500, "wait": 8}, memory_mb=256, timeout_s=30)
    # The kernel kills the process that uses most, the watcher the environment.
    assert result.function_error is None or error(result)["errorType"] == "Runtime.OutOfMemory"
    assert result.max_memory_used_mb == 256


@jailed
def test_nothing_is_left_of_a_function_that_has_ended(lab: Lab) -> None:
    source = """
    import os, subprocess
    def handler(event, context):
        subprocess.Popen(["/bin/sleep", "1234567"], start_new_session=True)
        os._exit(1)
    """
    error(lab.run(source))
    until = time.monotonic() + 5
    while sleepers() and time.monotonic() < until:
        time.sleep(0.05)
    assert not sleepers()


def sleepers() -> list[int]:
    found = []
    for pid in descendants([os.getpid()]):
        with contextlib.suppress(OSError):
            if b"1234567" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


# Signals that the first process of a tree would not get: https://man7.org/linux/man-pages/man7/pid_namespaces.7.html


@jailed
@pytest.mark.parametrize(("name", "how"), [("SIGTERM", "terminated"), ("SIGUSR1", "SIGUSR1"), ("SIGKILL", "killed")])
def test_a_signal_to_itself_ends_a_function(lab: Lab, name: str, how: str) -> None:
    result = lab.run(f"import os, signal\ndef handler(event, context): os.kill(os.getpid(), signal.{name})")
    assert error(result)["errorMessage"].endswith(f"Runtime exited with error: signal: {how}")


@jailed
def test_orphans_of_a_function_are_taken_care_of(lab: Lab) -> None:
    source = """
    import os, time
    def handler(event, context):
        for _ in range(50):
            if os.fork() == 0:
                os.fork()
                os._exit(0)
            os.wait()
        time.sleep(0.5)
        return sorted(name for name in os.listdir("/proc") if name.isdigit())
    """
    assert answer(lab.run(source, memory_mb=1_769)) == ["1", "2"]


@for_root
def test_an_ordinary_users_functions_are_shut_in_too() -> None:
    passes_for_an_ordinary_user(__file__)

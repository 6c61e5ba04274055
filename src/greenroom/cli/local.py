"""Commands for the platform on this machine: up, down, env, doctor."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from greenroom.cli import developer, run_file
from greenroom.cli.common import (
    JsonOption,
    Panel,
    TokenOption,
    UrlOption,
    add_command,
    connect,
    console,
    print_error,
    print_json,
)
from greenroom.cli.errors import ExitCode, UsageProblem
from greenroom.cli.isolation import UNSAFE, agree

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

LOG_FILE = "up.log"

START_LIMIT_S, STOP_LIMIT_S, POLL_S, ALIVE_POLL_S = 180.0, 60.0, 0.1, 1.0
"""A start takes seconds, but the first one on a slow machine compiles everything."""

HOST_NETWORK = "--host-network"

READY = "Ready"
STEP_LINE = re.compile(r" *[0-9.]+ s  (.*)")
RESOURCE_ENDINGS = (" complete", " in progress")

DataOption = Annotated[
    Path,
    typer.Option(
        "--data", envvar="GREENROOM_DATA", metavar="DIR", help="The data folder of the embedded AWS.", file_okay=False
    ),
]
DEFAULT_DATA = Path(".greenroom")


class Shell(StrEnum):
    SH = "sh"
    FISH = "fish"


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    panel = Panel.MACHINE
    add_command(
        app,
        panel,
        up,
        "greenroom up                           until Ctrl-C",
        "greenroom up --detach                  in the background",
        "greenroom up --data /tmp/try --port 0  elsewhere, on any free port",
    )
    add_command(app, panel, down, "greenroom down")
    add_command(
        app,
        panel,
        env,
        'eval "$(greenroom env)"                sh, bash, zsh',
        "greenroom env --shell fish | source    fish",
        "greenroom env --json | jq -r .GREENROOM_TOKEN",
        'eval "$(greenroom env --root)"         with the right to change the AWS under the platform',
    )
    add_command(app, panel, page, "greenroom page")
    add_command(app, panel, doctor, "greenroom doctor")
    add_command(
        app,
        panel,
        backup,
        "greenroom backup greenroom.backup",
        "greenroom backup $(date +%F).backup --data /srv/greenroom",
    )
    add_command(app, panel, restore, "greenroom restore greenroom.backup")


def up(  # noqa: PLR0913 -- a command's options
    data: DataOption = DEFAULT_DATA,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port on the loopback interface; 0 takes a free one.")
    ] = 4566,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Go to the background as soon as it is ready.")
    ] = False,
    prefix: Annotated[str, typer.Option(help="Name of the platform's stack, and first part of every name in it.")] = (
        "greenroom"
    ),
    unsafe: Annotated[
        bool, typer.Option(UNSAFE, help="Start although this machine does not keep functions apart. For trusted code.")
    ] = False,
    host_network: Annotated[
        bool,
        typer.Option(
            HOST_NETWORK,
            help="Let functions reach the internet, and with it every service that listens on this machine.",
        ),
    ] = False,
) -> None:
    """Start the platform on this machine, on the embedded AWS: no account, no Docker.

    Everything is stored in the data folder; the next `up` on the same folder continues from there. It listens on the
    loopback interface only, with keys of its own that `greenroom env` prints. Functions reach the embedded AWS and
    nothing else.
    """
    agree(data, unsafe=unsafe)
    out = console()
    started_s = time.monotonic()
    if detach:
        with progress_view(out) as report:
            options = [UNSAFE] * unsafe + [HOST_NETWORK] * host_network
            run = start_process(data, options, port=port, prefix=prefix, report=report)
        out.print(
            f"{READY} in {time.monotonic() - started_s:.1f} s: process {run.pid}, its log is {data / LOG_FILE}",
            soft_wrap=True,
        )
        print_where(out, run, data)
        return
    with ExitStack() as running_platform:
        with progress_view(out, every_line=True) as report:
            run, alive = running_platform.enter_context(
                platform_up(data, port=port, prefix=prefix, host_network=host_network, on_progress=report)
            )
        out.print(f"{READY} in {time.monotonic() - started_s:.1f} s.")
        print_where(out, run, data)
        out.print("\nCtrl-C stops it.", style="dim")
        if not wait_for_a_signal(alive):
            print_error(
                "the embedded AWS has stopped unexpectedly",
                str(data.absolute()),
                "The reason is in aws.log in this folder.",
            )
            raise typer.Exit(ExitCode.UNREACHABLE)
        out.print("Stopping. Everything stays in the data folder.")


@contextmanager
def platform_up(
    data_dir: Path, *, port: int, prefix: str, host_network: bool, on_progress: Callable[[str], None]
) -> Iterator[tuple[run_file.Run, Callable[[], bool]]]:
    """Run the embedded AWS with the platform on it during the block.

    Yields the platform, and a function that says whether it still runs.

    Args:
        data_dir: the data folder.
        port: on the loopback interface; 0 takes a free one.
        prefix: of the platform's stack.
        host_network: let functions use this machine's network.
        on_progress: called with each step.

    Raises:
        UsageProblem: a platform already runs on the folder.
        GreenroomError: it did not start, or the platform could not be deployed.
    """
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    from greenroom.client.errors import GreenroomError
    from greenroom.deploy import DeployError, PlatformSettings, deploy_platform
    from greenroom.deploy.artifacts import BuildError
    from greenroom.embedded import EmbeddedAws, StartFailed

    os.umask(0o077)
    with run_file.held(data_dir):
        on_progress("Starting the embedded AWS")
        try:
            started = EmbeddedAws.start(data_dir, port, host_network=host_network)
        except StartFailed as error:
            hint = "Check this machine with: greenroom doctor"
            raise GreenroomError(str(error), where=str(data_dir.absolute()), hint=hint) from error
        with started as aws:
            session = boto3.Session(
                aws_access_key_id=aws.access_key_id,
                aws_secret_access_key=aws.secret_access_key,
                region_name=aws.region,
            )
            try:
                deployment = deploy_platform(
                    session,
                    PlatformSettings(prefix=prefix),
                    endpoint_url=aws.endpoint_url,
                    on_progress=on_progress,
                    poll_s=0.2,
                )
                reading_key_id, reading_secret_key = developer.reading_key(
                    session.client("iam", endpoint_url=aws.endpoint_url), data_dir / developer.FILE
                )
            except (BuildError, DeployError, BotoCoreError, ClientError) as error:
                raise GreenroomError(str(error), where=f"stack {prefix}") from error
            run = run_file.Run(
                pid=os.getpid(),
                port=aws.port,
                endpointUrl=aws.endpoint_url,
                accessKeyId=aws.access_key_id,
                secretAccessKey=aws.secret_access_key,
                readingKeyId=reading_key_id,
                readingSecretKey=reading_secret_key,
                region=aws.region,
                url=deployment.url,
                token=deployment.token,
            )
            run_file.write(data_dir, run)
            try:
                yield run, aws.alive
            finally:
                run_file.remove(data_dir)


@contextmanager
def progress_view(out: Console, *, every_line: bool = False) -> Iterator[Callable[[str], None]]:
    """Yield a function that shows the steps of a start: on a terminal in one line that changes, elsewhere a line each.

    Args:
        out: where to print.
        every_line: where it is not a terminal, print each resource of the stack too.
    """
    from rich.text import Text

    from greenroom.cli.text import clean

    started_s = time.monotonic()
    if out.is_terminal and not out.is_dumb_terminal:
        with out.status("") as status:
            yield lambda step: status.update(Text(clean(step)))
        return

    def report(step: str) -> None:
        if every_line or not step.endswith(RESOURCE_ENDINGS):
            out.print(Text(f"{time.monotonic() - started_s:6.1f} s  {clean(step)}"), soft_wrap=True)

    yield report


def print_where(out: Console, run: run_file.Run, data: Path) -> None:
    """Print how to reach a platform that runs."""
    option = "" if data == DEFAULT_DATA else f" --data {shlex.quote(str(data))}"
    # A link that signs in belongs on a terminal, and in no log.
    out.print(f"  Page   {sign_in_link(run) if out.is_terminal else run.url}", soft_wrap=True)
    out.print(f"  API    {run.url}", soft_wrap=True)
    out.print(f"  AWS    {run.endpointUrl}")
    out.print(f'\nIn your shell:\n  eval "$(greenroom env{option})"', soft_wrap=True)
    out.print("  greenroom init my-algorithm\n  greenroom push my-algorithm")


def sign_in_link(run: run_file.Run) -> str:
    """Return an address of the page that signs one browser in, once."""
    from greenroom.client import GreenroomClient

    with GreenroomClient(run.url, run.token) as client:
        return client.sign_in_link()


def page(url: UrlOption = None, token: TokenOption = None, as_json: JsonOption = False) -> None:
    """Print a link to the page that signs a browser in.

    It is good once, within ten minutes; another browser, or a page that was closed, needs another one.
    """
    with connect(url, token) as client:
        link = client.sign_in_link()
    if as_json:
        print_json({"link": link})
    else:
        typer.echo(link)


def wait_for_a_signal(alive: Callable[[], bool]) -> bool:
    """Wait; return True after Ctrl-C or SIGTERM, and False as soon as `alive` does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        while alive():
            time.sleep(ALIVE_POLL_S)
    except KeyboardInterrupt:
        # A second Ctrl-C must not interrupt the embedded AWS while it stores its data.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        return True
    return False


def start_process(
    data: Path, options: list[str], *, port: int, prefix: str, report: Callable[[str], None]
) -> run_file.Run:
    """Start `up` as a process of its own and return when it is ready.

    Args:
        data: the data folder.
        options: further options of `up`.
        port: on the loopback interface; 0 takes a free one.
        prefix: of the platform's stack.
        report: called with each line of progress.

    Raises:
        UsageProblem: a platform already runs on the folder.
        typer.Exit: it did not start; the reason was printed.
    """
    # The new process takes the lock again, and says so if another one was quicker.
    run_file.check_free(data)
    log_path = data / LOG_FILE
    command = [sys.executable, "-m", "greenroom.cli.main", "up", "--data", str(data), "--port", str(port)]
    with os.fdopen(os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as log:
        child = subprocess.Popen(
            [*command, "--prefix", prefix, *options],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    deadline_s = time.monotonic() + START_LIMIT_S
    try:
        with log_path.open(errors="replace") as lines:
            while child.poll() is None and time.monotonic() < deadline_s:
                for line in lines:
                    # Other lines, such as how to reach it, are for a start in the foreground.
                    if step := STEP_LINE.fullmatch(line.rstrip("\n")):
                        report(step[1])
                run = run_file.read(data)
                if run and run.pid == child.pid:
                    return run
                time.sleep(POLL_S)
    except KeyboardInterrupt:
        child.terminate()
        raise
    if child.poll() is None:
        child.terminate()
        what, code = f"the platform was not ready after {START_LIMIT_S:.0f} s", int(ExitCode.UNREACHABLE)
    else:
        what, code = f"the platform did not start: exit code {child.returncode}", child.returncode or ExitCode.FAILED
    end = "\n  ".join(log_path.read_text(errors="replace").splitlines()[-12:])
    print_error(what, str(log_path), f"The end of its log:\n  {end}")
    raise typer.Exit(code)


def stop_process(data: Path, run: run_file.Run) -> None:
    """Ask a platform's process to end, and wait until it has.

    Raises:
        typer.Exit: it did not end in time; an error was printed.
    """
    os.kill(run.pid, signal.SIGTERM)
    deadline_s = time.monotonic() + STOP_LIMIT_S
    while run_file.is_running(data):
        if time.monotonic() > deadline_s:
            what = f"process {run.pid} did not stop within {STOP_LIMIT_S:.0f} s"
            print_error(what, str(data), "It may still be storing its data. Run greenroom down again.")
            raise typer.Exit(ExitCode.UNREACHABLE)
        time.sleep(POLL_S)


def down(data: DataOption = DEFAULT_DATA) -> None:
    """Stop the platform on this machine. Everything stays in the data folder."""
    stop_process(data, running(data))
    console().print(f"Stopped. `greenroom up` on {data} continues from here.", soft_wrap=True)


def env(
    data: DataOption = DEFAULT_DATA,
    shell: Annotated[Shell, typer.Option(help="The shell that reads it.")] = Shell.SH,
    root: Annotated[bool, typer.Option("--root", help="With the key of root, who may change everything.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object instead.")] = False,
) -> None:
    """Print the variables that make greenroom, the AWS CLI and boto3 talk to the platform on this machine.

    They hold the token, and a key of the embedded AWS that reads stacks, functions, queues, logs and executions. With
    --root it is the root's key, which may change and delete everything. Both are valid on this machine only.
    """
    variables = running(data).environment(root=root)
    if as_json:
        print_json(variables)
        return
    for name, value in variables.items():
        # The address has a $ in it, which the shell must not expand.
        quoted = shlex.quote(value) if shell is Shell.SH else fish_quoted(value)
        typer.echo(f"export {name}={quoted}" if shell is Shell.SH else f"set -gx {name} {quoted}")


def fish_quoted(value: str) -> str:
    """Quote a word for fish, where only backslash and quote are special between single quotes."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def running(data: Path) -> run_file.Run:
    """Return the platform that runs on a data folder. Raises UsageProblem if none does."""
    run = run_file.read(data)
    if run is None:
        starting = run_file.is_running(data)
        raise UsageProblem(
            "the platform on this data folder is still starting"
            if starting
            else "no platform runs on this data folder",
            hint="Try again in a few seconds."
            if starting
            else "Start it with: greenroom up --detach. Or name its folder with --data.",
            where=str(data.absolute()),
        )
    return run


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The backup: a new file.", dir_okay=False)],
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Write everything that the platform on this machine holds to one file. It may run meanwhile.

    The file holds the keys of the data folder: only its owner may read it.
    """
    from greenroom.embedded.backup import back_up

    with _told(data):
        back_up(data, file)
    size_mb = file.stat().st_size / 1e6
    console().print(f"Written {file}, {size_mb:.1f} MB. Put it back with: greenroom restore {shlex.quote(str(file))}")


def restore(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The backup.", dir_okay=False, exists=True, readable=True)
    ],
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Put a backup in the place of the data folder. What is there now is kept under another name.

    The platform has to be stopped.
    """
    from greenroom.embedded.backup import restore as put_back

    if data.exists():
        run_file.check_free(data)
    with _told(data):
        kept = put_back(file, data)
    console().print(f"Restored {data} from {file}. Start it with: greenroom up", soft_wrap=True)
    if kept:
        console().print(f"What was there is in {kept}", soft_wrap=True)


@contextmanager
def _told(data: Path) -> Iterator[None]:
    from greenroom.client.errors import GreenroomError
    from greenroom.embedded.backup import BackupFailed

    try:
        yield
    except BackupFailed as error:
        raise GreenroomError(str(error), where=str(data.absolute())) from error


def doctor(
    data: DataOption = DEFAULT_DATA,
    url: UrlOption = None,
    token: TokenOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object instead.")] = False,
) -> None:
    """Check this machine, and say how to fix what is missing.

    The exit code is 1 if a check failed, and 0 if all is well or there are only warnings.
    """
    from greenroom.cli.checks import FAILED, examine

    checks = examine(data, url, token)
    if as_json:
        print_json({"checks": [check.to_json() for check in checks]})
    else:
        from greenroom.cli.render.lists import checks_list

        console().print(checks_list(checks))
    if any(check.status == FAILED for check in checks):
        raise typer.Exit(ExitCode.FAILED)

"""Install an algorithm's dependencies with pip: wheels only, and nothing of them is run.

pip installs for Lambda's platform, not for this machine: for the runtime and the architecture in metadata.json. It gets
its own settings and nothing else of this process's environment, above all no token and no AWS credentials.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from importlib import resources
from pathlib import Path

from greenroom.package.errors import PackageError
from greenroom.package.metadata import Metadata
from greenroom.workbench.requirements import read_requirements
from greenroom.workbench.run_pip import REFUSED

MACHINES = {"x86_64": ("x86_64", 5), "arm64": ("aarch64", 17)}
"""pip's name of a machine, and the oldest minor of glibc 2 that wheels for it are tagged with (PEP 600)."""

OLD_NAMES = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}

GLIBC_AL2, GLIBC_AL2023 = 26, 34
"""Minor versions of glibc 2 on Amazon Linux 2, for python3.11, and on Amazon Linux 2023, for newer runtimes:
https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html and
https://docs.aws.amazon.com/linux/al2023/ug/compare-with-al2.html"""

PIP_TIMEOUT_S = 600
MAX_SAID_LINES = 6

SETTINGS = frozenset(
    {
        *(
            "PATH",
            "HOME",
            "USER",
            "LOGNAME",
            "TMPDIR",
            "LANG",
            "LC_ALL",
            "LC_CTYPE",
            "XDG_CONFIG_HOME",
            "XDG_CACHE_HOME",
        ),
        *("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX", "PIP_TRUSTED_HOST", "PIP_PROXY"),
        *("PIP_CERT", "PIP_CLIENT_CERT", "PIP_TIMEOUT", "PIP_DEFAULT_TIMEOUT", "PIP_RETRIES", "PIP_CONFIG_FILE"),
        *("PIP_CACHE_DIR", "PIP_NO_CACHE_DIR", "PIP_KEYRING_PROVIDER", "NETRC"),
        *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
    }
)
"""The variables that pip gets: where to look for packages, and how to reach and trust it."""


def lambda_platforms(metadata: Metadata) -> list[str]:
    """Return the platform tags of wheels that run on the package's runtime, the newest glibc first."""
    machine, oldest = MACHINES[metadata.architecture]
    newest = GLIBC_AL2 if metadata.runtime == "python3.11" else GLIBC_AL2023
    tags = []
    for minor in range(newest, oldest - 1, -1):
        tags.append(f"manylinux_2_{minor}_{machine}")
        if minor in OLD_NAMES:
            tags.append(f"{OLD_NAMES[minor]}_{machine}")
    return tags


def install(directory: Path, target: Path, *, for_lambda: Metadata | None) -> None:
    """Install the wheels of requirements.txt into a folder, for Lambda's platform or, with None, for this Python.

    pip evaluates markers, such as `; sys_platform == "linux"`, for the Python that runs it: on another system than
    Linux, or for another Python than this, dependencies with markers may be missing.

    Raises PackageError for a line that is neither a name of the index nor a wheel, or with the end of pip's output.
    """
    requirements = read_requirements(directory)
    with tempfile.TemporaryDirectory(prefix="greenroom-pip-") as folder:
        # pip reads what was understood, in a folder without anything that it could take for a module or a project.
        lines, constraints = Path(folder, "requirements.txt"), Path(folder, "constraints.txt")
        lines.write_text("".join(f"{line}\n" for line in requirements.lines), encoding="utf-8")
        constraints.write_text("".join(f"{line}\n" for line in requirements.constraints), encoding="utf-8")
        command = [sys.executable, "-P", str(resources.files("greenroom.workbench") / "run_pip.py"), "install"]
        command += ["--quiet", "--disable-pip-version-check", "--no-input", "--no-compile", "--only-binary=:all:"]
        command += ["--target", str(target.resolve()), "--requirement", lines.name, "--constraint", constraints.name]
        if for_lambda is not None:
            command += ["--implementation=cp", f"--python-version={for_lambda.runtime.removeprefix('python')}"]
            command += [f"--platform={platform}" for platform in lambda_platforms(for_lambda)]
        try:
            done = subprocess.run(
                command,
                cwd=folder,
                env={name: value for name, value in os.environ.items() if name in SETTINGS} | {"PIP_USER": "0"},
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
                timeout=PIP_TIMEOUT_S,
            )
        except subprocess.TimeoutExpired:
            raise _pip_failed(f"can't be installed: pip did not end within {PIP_TIMEOUT_S} s", "Try again.") from None
    if done.returncode:
        raise _explained(done.stderr, for_lambda)


def _explained(stderr: str, for_lambda: Metadata | None) -> PackageError:
    """Return pip's error as ours, with what to do about it."""
    where = f"{for_lambda.runtime} on {for_lambda.architecture}" if for_lambda else "this machine"
    errors = [line for line in stderr.splitlines() if line.startswith("ERROR")]
    said = "\n  ".join(errors[-MAX_SAID_LINES:] or stderr.splitlines()[-MAX_SAID_LINES:])
    if refused := re.search(rf"^{REFUSED}(.*)$", stderr, re.MULTILINE):
        what = f"leads to something that pip would have to build, by running {refused[1]}"
        hint = "A dependency of a dependency is named by an address there. Name a wheel of it in requirements.txt."
        return _pip_failed(what, hint)
    if re.search(r"No module named '?pip\b", stderr):
        hint = f"Install pip: {sys.executable} -m ensurepip"
        return _pip_failed("can't be installed: this Python has no pip", hint)
    if "NewConnectionError" in stderr or "Could not fetch URL" in stderr or "ReadTimeoutError" in stderr:
        return _pip_failed(f"can't be installed, because pip can't reach the package index:\n  {said}", "Try again.")
    if found := re.search(r"No matching distribution found for ([^\s(]+)", stderr):
        name = found[1]
        hint = (
            "Choose a version that has one. If it is pure Python with a source distribution only, build a wheel with\n"
            f"  pip wheel --no-deps --wheel-dir wheels '{name}'\n"
            "and name the file in requirements.txt, as ./wheels/<file>.whl."
        )
        return _pip_failed(f"names {name}, which has no wheel for {where}:\n  {said}", hint)
    return _pip_failed(f"can't be installed for {where}:\n  {said}", "Correct requirements.txt, and try again.")


def _pip_failed(what: str, hint: str) -> PackageError:
    return PackageError(code="requirements", where="requirements.txt", fault=what, hint=hint)

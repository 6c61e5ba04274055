"""Dependencies: pip installs wheels for Lambda, runs nothing of them, and learns nothing but its settings."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from greenroom.package.errors import PackageError
from greenroom.package.metadata import Metadata
from greenroom.workbench.build import pack
from greenroom.workbench.installing import lambda_platforms
from greenroom.workbench.local import run_tests
from greenroom.workbench.requirements import read_requirements
from tests.unit.package.zips import SOURCE
from tests.unit.workbench.folders import FILES, METADATA, names, wheel, write


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "algorithm", dict(FILES))


@pytest.mark.parametrize(
    ("runtime", "architecture", "has", "has_not"),
    [
        ("python3.11", "x86_64", "manylinux_2_26_x86_64", "manylinux_2_28_x86_64"),
        ("python3.11", "x86_64", "manylinux2014_x86_64", "manylinux2014_aarch64"),
        ("python3.12", "x86_64", "manylinux_2_34_x86_64", "manylinux_2_35_x86_64"),
        ("python3.14", "arm64", "manylinux_2_28_aarch64", "manylinux_2_5_aarch64"),
        ("python3.12", "x86_64", "manylinux1_x86_64", "musllinux_1_2_x86_64"),
    ],
)
def test_wheels_are_those_of_the_runtimes_own_linux(runtime: str, architecture: str, has: str, has_not: str) -> None:
    said = {**METADATA, "runtime": runtime, "architecture": architecture}
    platforms = lambda_platforms(Metadata.model_validate(said))
    assert has in platforms
    assert has_not not in platforms
    assert len(set(platforms)) == len(platforms)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels that pip uses in place of an index."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    (tmp_path / "index").mkdir()
    return tmp_path / "index"


def test_requirements_are_installed_into_the_package_twice_the_same(folder: Path, tmp_path: Path, index: Path) -> None:
    wheel(index, "plain", {"plain/__init__.py": "def main(): ...\n"})
    wheel(index, "other", {"other.py": "", "sample/code.py": "own = False\n"})
    write(folder, {"requirements.txt": "plain\nother==1.0\n"})
    results = [pack(folder, tmp_path / f"{number}.zip") for number in range(2)]
    assert results[0].sha256 == results[1].sha256
    found = names(results[0].path)
    assert {"plain/__init__.py", "plain-1.0.dist-info/METADATA", "plain-1.0.dist-info/entry_points.txt"} <= set(found)
    assert not [
        name for name in found if name.startswith("bin/") or name.endswith(("RECORD", "INSTALLER", "REQUESTED"))
    ]
    assert results[0].dependencies == ("other-1.0", "plain-1.0")
    with zipfile.ZipFile(results[0].path) as archive:
        assert archive.read("sample/code.py").decode() == SOURCE


def test_constraints_next_to_the_requirements_are_used(folder: Path, tmp_path: Path, index: Path) -> None:
    wheel(index, "plain", {"plain.py": ""})
    write(folder, {"requirements.txt": "plain\n", "constraints.txt": "plain==2.0\n"})
    with pytest.raises(PackageError) as caught:
        pack(folder, tmp_path / "sample.zip")
    assert caught.value.code == "requirements"
    assert "plain==2.0" in caught.value.message or "conflict" in caught.value.message


def test_a_wheel_for_lambda_is_taken_whatever_this_machine_is(folder: Path, tmp_path: Path, index: Path) -> None:
    arm = b"\x7fELF\2\1\1" + bytes(9) + bytes((3, 0, 183, 0)) + bytes(44)
    x86 = arm[:18] + bytes((62, 0)) + arm[20:]
    for machine, body in (("x86_64", x86), ("aarch64", arm)):
        name = f"fast.cpython-313-{machine}-linux-gnu.so"
        wheel(index, "fast", {name: body}, f"cp313-cp313-manylinux_2_28_{machine}")
    said = {**METADATA, "runtime": "python3.13", "architecture": "arm64"}
    write(folder, {"metadata.json": json.dumps(said), "requirements.txt": "fast\n"})
    result = pack(folder, tmp_path / "sample.zip")
    assert "fast.cpython-313-aarch64-linux-gnu.so" in names(result.path)
    write(folder, {"metadata.json": json.dumps({**said, "runtime": "python3.12"})})
    with pytest.raises(PackageError, match=r"names fast, which has no wheel for python3\.12 on arm64"):
        pack(folder, tmp_path / "sample.zip")


def test_a_dependency_with_sources_only_is_refused_with_the_way_out(folder: Path, tmp_path: Path, index: Path) -> None:
    source = index / "plain-1.0"
    write(source, {"setup.py": "raise SystemExit('was run')\n", "PKG-INFO": "Metadata-Version: 2.1\nName: plain\n"})
    subprocess.run(["tar", "-czf", "plain-1.0.tar.gz", "plain-1.0"], cwd=index, check=True)
    write(folder, {"requirements.txt": "plain\n"})
    with pytest.raises(PackageError) as caught:
        pack(folder, tmp_path / "sample.zip")
    assert "no wheel for python" in caught.value.message
    assert "pip wheel --no-deps --wheel-dir wheels 'plain'" in caught.value.hint
    # The way out is one: a path in requirements.txt is one from the folder.
    wheel(folder / "wheels", "plain", {"plain.py": ""})
    write(folder, {"requirements.txt": "./wheels/plain-1.0-py3-none-any.whl\n"})
    result = pack(folder, tmp_path / "sample.zip")
    assert "plain.py" in names(result.path)
    assert not [name for name in names(result.path) if name.endswith(".whl")]


@pytest.fixture
def project(folder: Path, tmp_path: Path) -> Path:
    """A project whose setup.py leaves a witness when it is run, in the algorithm's folder and as a repository."""
    witness = tmp_path / "was-run"
    setup = f"open({str(witness)!r}, 'w')\nfrom setuptools import setup\nsetup(name='evil', version='1.0')\n"
    project = write(
        folder / "evil", {"setup.py": setup, "PKG-INFO": "Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n"}
    )
    subprocess.run(["tar", "-czf", "evil-1.0.tar.gz", "evil"], cwd=folder, check=True)
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    for arguments in (["init", "-q"], ["add", "."], [*identity, "commit", "-qm", "evil"]):
        subprocess.run(["git", *arguments], cwd=project, check=True)
    return project


@pytest.mark.parametrize(
    "line",
    [
        "./evil",
        "evil/",
        ".",
        "-e ./evil",
        "-e./evil",
        "--editable=./evil",
        "evil @ file://{folder}/evil",
        "file://{folder}/evil",
        "git+file://{folder}/evil",
        "evil @ git+file://{folder}/evil",
        "./evil-1.0.tar.gz",
        "evil-1.0.tar.gz",
        "evil-1.0.tar.gz[extra]",
        "https://example.org/evil-1.0.tar.gz",
        "evil @ https://example.org/evil.zip",
        "evil @ https://example.org/evil-1.0-py3-none-any.whl/../evil.zip",
        "evil --config-settings=a=b",
        "evil ; python_version > '3' --global-option=x",
        "evil ; ",
        "ev\0il",
        "evil\u202e==1.0",
        "--no-binary :all:",
        "--no-binary=evil\nevil",
        "--only-binary :none:",
        "--use-feature=fast-deps",
        "--edit ./evil",
        "evil==1.0 \\\n ./evil",
        "https://${{USER}}@example.org/evil-1.0-py3-none-any.whl",
        "-r ../outside.txt",
        "-r https://example.org/requirements.txt",
        "-r nested/deep.txt",
        "-c bad-constraints.txt",
        "./missing-1.0-py3-none-any.whl",
        "--index-url",
        "'open",
    ],
)
def test_a_line_that_would_have_pip_run_code_is_refused_by_pack_and_test(
    folder: Path, project: Path, tmp_path: Path, index: Path, line: str
) -> None:
    nested = {"nested/deep.txt": "-e ./evil\n", "bad-constraints.txt": "evil @ file:///evil\n"}
    write(folder, {"requirements.txt": f"# first\n{line.format(folder=folder)}\n", **nested})
    for act in (lambda: pack(folder, tmp_path / "x.zip"), lambda: run_tests(folder)):
        with pytest.raises(PackageError) as caught:
            act()
        assert caught.value.code == "requirements"
        assert caught.value.where.endswith((", line 1", ", line 2"))
        assert caught.value.hint
    assert not (tmp_path / "was-run").exists()


def test_a_wheel_that_leads_to_sources_is_refused_before_they_are_run(
    folder: Path, project: Path, tmp_path: Path, index: Path
) -> None:
    wheel(index, "plain", {"plain.py": ""}, needs=f"evil @ file://{folder}/evil-1.0.tar.gz")
    write(folder, {"requirements.txt": "plain\n"})
    with pytest.raises(PackageError, match=r"leads to something that pip would have to build, by running .*python"):
        pack(folder, tmp_path / "x.zip")
    wheel(index, "plain", {"plain.py": ""}, needs=f"evil @ git+file://{folder}/evil")
    # What pip says of it depends on the git that is there.
    with pytest.raises(PackageError, match=r"requirements\.txt"):
        pack(folder, tmp_path / "x.zip")
    assert not (tmp_path / "was-run").exists()


def test_what_pip_may_install_reaches_it_as_it_was_written(folder: Path) -> None:
    path = wheel(folder / "my wheels", "plain", {"plain.py": ""})
    lines = [
        "# a comment",
        "numpy",
        "requests[socks] >= 2.8.1, == 2.8.* ; python_version < '3.99'  # another",
        "six==1.16.0 --hash=sha256:aa11 \\",
        "    --hash sha256:bb22",
        "a (>=1)",
        "b @ https://example.org/b-1.0-py3-none-any.whl#sha256=cc33",
        f"./my wheels/{path.name}",
        f"{path.as_uri()} ; sys_platform == 'linux'",
        f"./my wheels/{path.name}[extra]",
        "--extra-index-url=https://example.org/simple --pre",
        "-f ./my\\ wheels",
        "-r nested/more.txt",
        "-c fixed.txt",
    ]
    files = {
        "requirements.txt": "\n".join(lines),
        "nested/more.txt": "-r most.txt\nmore\n",
        "nested/most.txt": "-r more.txt\nmost",
    }
    write(folder, {**files, "fixed.txt": "more<2\n", "constraints.txt": "numpy<3\n"})
    found = read_requirements(folder)
    assert found.lines == [
        "numpy",
        "requests[socks] >= 2.8.1, == 2.8.* ; python_version < '3.99'",
        "six==1.16.0 --hash=sha256:aa11 --hash sha256:bb22",
        "a (>=1)",
        "b @ https://example.org/b-1.0-py3-none-any.whl#sha256=cc33",
        path.as_uri(),
        f"{path.as_uri()} ; sys_platform == 'linux'",
        f"{path}[extra]",
        "--extra-index-url https://example.org/simple",
        "--pre",
        f"--find-links '{folder}/./my wheels'".replace("/./", "/"),
        "more",
        "most",
    ]
    assert found.constraints == ["numpy<3", "more<2"]


def test_pip_gets_its_settings_and_neither_the_token_nor_a_credential(
    folder: Path, tmp_path: Path, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, python = tmp_path / "seen.json", tmp_path / "python"
    dump = f"import json, os; json.dump(dict(os.environ), open({str(seen)!r}, 'w'))"
    python.write_text(f'#!/bin/sh\n{sys.executable} -c "{dump}"\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    secret = (
        "GREENROOM_TOKEN",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "PIP_NO_BINARY",
        "PIP_TARGET",
        "PYTHONPATH",
    )
    for name in secret:
        monkeypatch.setenv(name, "secret")
    kept = {
        "HTTPS_PROXY": "",
        "SSL_CERT_FILE": "/etc/ssl/certs/ca-certificates.crt",
        "PIP_INDEX_URL": "https://example.org",
    }
    for name, value in kept.items():
        monkeypatch.setenv(name, value)
    wheel(index, "plain", {"plain.py": ""})
    write(
        folder, {"requirements.txt": "plain\n", "pip/__init__.py": "", "pip/__main__.py": "raise SystemExit('own pip')"}
    )
    pack(folder, tmp_path / "x.zip")
    environment = json.loads(seen.read_text())
    assert not set(secret) & set(environment)
    assert kept.items() <= environment.items()

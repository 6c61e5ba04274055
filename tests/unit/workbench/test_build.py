"""Packing, scaffolding and running the tests of an algorithm's folder. No package index is asked."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenroom.package.errors import PackageError
from greenroom.package.metadata import Metadata, MetadataError
from greenroom.workbench import build
from greenroom.workbench.build import lambda_platforms, pack
from greenroom.workbench.scaffold import init
from tests.unit.package.zips import SOURCE

METADATA: dict[str, Any] = {"name": "sample", "type": "in", "entry": "sample.code:Translator"}
FILES = {
    "metadata.json": json.dumps(METADATA),
    "sample/__init__.py": "",
    "sample/code.py": SOURCE,
    "tests/one/input.json": "{}",
}


def write(folder: Path, files: dict[str, str | bytes]) -> Path:
    for name, body in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body.encode() if isinstance(body, str) else body)
    return folder


def names(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "algorithm", dict(FILES))


def test_a_folder_becomes_a_package(folder: Path, tmp_path: Path) -> None:
    steps: list[str] = []
    result = pack(folder, tmp_path / "out" / "sample.zip", steps.append)
    assert names(result.path) == sorted(FILES)
    assert result.sha256 == hashlib.sha256(result.path.read_bytes()).hexdigest()
    assert result.size_bytes == result.path.stat().st_size
    assert result.report.metadata.name == "sample"
    assert steps == ["Zipping 4 files", "Checking the package"]
    assert [path.name for path in result.path.parent.iterdir()] == ["sample.zip"]


@given(st.randoms(use_true_random=False), st.integers(0, 2**31 - 1), st.sampled_from([0o600, 0o644, 0o664]))
def test_the_same_files_give_the_same_bytes_whatever_their_times_order_and_modes(
    tmp_path_factory: pytest.TempPathFactory, shuffler: random.Random, seconds: int, mode: int
) -> None:
    digests = set()
    for _ in range(2):
        folder = tmp_path_factory.mktemp("same")
        files = list({**FILES, "sample/b.py": "b = 1\n", "a.txt": "ä"}.items())
        shuffler.shuffle(files)
        write(folder, dict(files))
        for name, _ in files:
            os.utime(folder / name, (seconds, shuffler.randrange(2**31)))
            (folder / name).chmod(mode)
        digests.add(pack(folder, folder.with_suffix(".zip")).sha256)
    assert len(digests) == 1


def test_what_is_not_the_algorithms_stays_out(folder: Path, tmp_path: Path) -> None:
    write(
        folder,
        {
            ".git/config": "",
            ".env": "SECRET=1",
            ".venv/pyvenv.cfg": "",
            "python-here/pyvenv.cfg": "",
            "python-here/lib/x.py": "",
            "sample/__pycache__/code.cpython-311.pyc": "",
            "sample/old.pyc": "",
            "wheels/x-1-py3-none-any.whl": "",
            "build/lib/x.py": "",
            "dist/x.zip": "",
            "requirements.txt": "# none\n",
            "constraints.txt": "",
            "sample.egg-info/PKG-INFO": "",
            "notes/draft.md": "",
            "sample/big.csv": "",
            ".greenroomignore": "# mine\nnotes/\n*.csv\nsample/skip.py\n",
            "sample/skip.py": "",
            "sample/build/kept.py": "",
            "other/skip.py": "",
        },
    )
    result = pack(folder, tmp_path / "sample.zip")
    assert names(result.path) == sorted([*FILES, "sample/build/kept.py", "other/skip.py"])


def test_a_package_built_inside_its_folder_does_not_hold_itself(folder: Path) -> None:
    first = pack(folder, folder / "sample.zip").sha256
    assert pack(folder, folder / "sample.zip").sha256 == first


def test_an_executable_stays_one_and_everything_can_be_read_by_all(folder: Path, tmp_path: Path) -> None:
    write(folder, {"tool.sh": "#!/bin/sh\n"})
    (folder / "tool.sh").chmod(0o700)
    (folder / "sample" / "code.py").chmod(0o600)
    with zipfile.ZipFile(pack(folder, tmp_path / "sample.zip").path) as archive:
        assert archive.getinfo("tool.sh").external_attr >> 16 == 0o100755
        assert archive.getinfo("sample/code.py").external_attr >> 16 == 0o100644


def test_a_link_out_of_the_folder_or_to_a_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "inside.py").symlink_to("sample/code.py")
    assert "inside.py" in names(pack(folder, tmp_path / "a.zip").path)
    (folder / "round").symlink_to(folder)
    with pytest.raises(PackageError, match="round: is a link to a folder"):
        pack(folder, tmp_path / "b.zip")
    (folder / "round").unlink()
    (folder / "passwd").symlink_to("/etc/passwd")
    with pytest.raises(PackageError, match="out of the algorithm's folder"):
        pack(folder, tmp_path / "b.zip")


def test_a_package_at_fault_leaves_what_was_there_before(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "sample.zip"
    digest = pack(folder, output).sha256
    (folder / "sample" / "code.py").write_text("class")
    with pytest.raises(PackageError, match="not valid Python"):
        pack(folder, output)
    assert hashlib.sha256(output.read_bytes()).hexdigest() == digest
    assert sorted(path.name for path in tmp_path.iterdir()) == ["algorithm", "sample.zip"]


def test_a_folder_without_metadata_is_no_algorithm(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match="greenroom init"):
        pack(tmp_path, tmp_path / "sample.zip")
    write(tmp_path, {"metadata.json": "{}"})
    with pytest.raises(MetadataError, match="field 'name' is missing"):
        pack(tmp_path, tmp_path / "sample.zip")


def test_what_makes_a_package_too_large_is_named(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "MAX_UNPACKED_BYTES", 4 << 20)
    write(folder, {"torch/lib.bin": bytes(5 << 20), "small/lib.bin": bytes(1 << 20)})
    with pytest.raises(PackageError, match="6 MB, most of it in torch 5 MB, small 1 MB"):
        pack(folder, tmp_path / "sample.zip")


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


def wheel(folder: Path, name: str, files: dict[str, str | bytes], tag: str = "py3-none-any") -> Path:
    """A wheel, as a package index would offer it."""
    info = f"{name}-1.0.dist-info"
    every: dict[str, str | bytes] = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name} = {name}:main\n",
    }
    record = "".join(f"{each},,\n" for each in [*every, f"{info}/RECORD"])
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-1.0-{tag}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for each, body in {**every, f"{info}/RECORD": record}.items():
            archive.writestr(each, body)
    return path


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


@pytest.mark.parametrize("type_", ["in", "out"])
@pytest.mark.parametrize("name", ["nsx", "a-b-c", "json", "import", "tests", "aws-equipment"])
def test_a_scaffold_is_a_package_at_once(tmp_path: Path, name: str, type_: Any) -> None:
    folder = tmp_path / "new"
    written = init(folder, name, type_)
    assert sorted(written) == sorted(path for path in folder.rglob("*") if path.is_file())
    assert {"metadata.json", "requirements.txt", "README.md"} <= {path.name for path in written}
    report = pack(folder, tmp_path / "new.zip").report
    assert (report.metadata.name, report.metadata.type) == (name, type_)
    top = (report.metadata.entry or "").partition(".")[0]
    assert top.isidentifier() and top not in sys.stdlib_module_names


def test_a_scaffold_overwrites_nothing(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(PackageError, match="is not an empty folder"):
        init(tmp_path, "nsx", "in")
    with pytest.raises(MetadataError, match="field 'name' is \"NSX!\""):
        init(tmp_path / "new", "NSX!", "in")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]

"""Packing, scaffolding and running the tests of an algorithm's folder. No package index is asked."""

from __future__ import annotations

import hashlib
import os
import random
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenroom.package.errors import PackageError
from greenroom.package.metadata import MetadataError
from greenroom.workbench import build
from greenroom.workbench.build import pack
from greenroom.workbench.scaffold import init
from tests.unit.workbench.folders import FILES, names, write


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
    assert steps == ["Zipping 5 files", "Checking the package"]
    assert [path.name for path in result.path.parent.iterdir()] == ["sample.zip"]


@settings(deadline=None)
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

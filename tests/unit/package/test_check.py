"""Check a ZIP as a package: what is certain to fail in Lambda is refused with its reason, anything else is accepted."""

from __future__ import annotations

import hashlib
import io
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO, Any

import pytest

from greenroom.package import cases as cases_module
from greenroom.package import check as check_module
from greenroom.package import sources as sources_module
from greenroom.package.apart import Bounds
from greenroom.package.archive import Archive
from greenroom.package.check import PackageReport, check_package
from greenroom.package.errors import PackageError
from greenroom.package.metadata import MetadataError
from greenroom.package.runtime_modules import LOADED, SDK_MODULES
from tests.unit.package.zips import SOURCE, STORED, Item, package, zip_of

HERE = sys.version_info.minor


def check(files: dict[str, Any] | None = None, **metadata: Any) -> PackageReport:
    return inspected(package(files, **metadata))


def inspected(upload: IO[bytes]) -> PackageReport:
    with tempfile.TemporaryFile() as kept:
        return check_package(upload, kept)


def refused(files: dict[str, Any] | None = None, **metadata: Any) -> PackageError:
    with pytest.raises(PackageError) as caught:
        check(files, **metadata)
    assert caught.value.hint
    return caught.value


def test_a_package_is_reported_with_all_that_was_found() -> None:
    body = package({"tests/two/input.txt": "text", "tests/README.md": "not a case"})
    with tempfile.TemporaryFile() as kept:
        report = check_package(body, kept)
        rewritten = kept.read()
    assert report.metadata.name == "sample"
    assert report.upload_sha256 == hashlib.sha256(body.getvalue()).hexdigest()
    assert report.sha256 == hashlib.sha256(rewritten).hexdigest()
    assert report.size_bytes == len(rewritten)
    assert report.files == 7
    assert [case.name for case in report.cases] == ["one", "two"]
    assert len({case.input_sha256 for case in report.cases}) == 2


def test_metadata_one_folder_too_deep_is_explained() -> None:
    body = io.BytesIO(zip_of(Item(b"folder/metadata.json", b"{}")))
    with pytest.raises(PackageError, match=r"it is at folder/metadata\.json: zip the content of the folder"):
        inspected(body)


def test_wrong_metadata_is_reported_as_such() -> None:
    with pytest.raises(MetadataError, match="field 'num'"):
        check(num=0)


@pytest.mark.parametrize(
    ("files", "what"),
    [
        ({"tests/one/input.json": None, "tests/one/expected.json": None}, "has no test case"),
        ({"tests/one/input.json": None}, "has an expected.* but no input.*"),
        ({"tests/one/input.txt": "x"}, "is a second input.* of case one"),
        ({"tests/one/expected.tar.gz": "x"}, "is a second expected.* of case one"),
        ({"tests/a b/input.json": "{}"}, "has a wrong case name"),
        ({"tests/-x/input.json": "{}"}, "has a wrong case name"),
        ({"tests/one/input.json": "{"}, "is not JSON"),
        ({"tests/one/expected.json": '{"a": NaN}'}, "NaN is not a number in JSON"),
        ({"tests/one/expected.json": "[" * 5000}, "is n"),  # "not JSON" or "nested too deeply", by Python's own limit
        ({"tests/two/input.txt": b"\xff\xfe"}, "is not UTF-8"),
    ],
)
def test_tests_that_cannot_be_run_are_refused(files: dict[str, Any], what: str) -> None:
    error = refused(files)
    assert error.code == "bad_tests"
    assert what in error.message


def test_tests_are_bounded_in_number_and_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cases_module, "MAX_CASES", 2)
    more = {f"tests/case{number}/input.json": "{}" for number in range(2)}
    assert "has 3 cases; at most 2" in refused(more).message
    monkeypatch.setattr(cases_module, "MAX_TEST_FILE_BYTES", 4)
    assert "has 8 bytes; at most 4" in refused().message


def test_a_modules_error_is_shown_with_file_and_line() -> None:
    error = refused({"sample/helper.py": "x = 1\ndef f(:\n"})
    assert error.code == "syntax"
    assert error.where == "sample/helper.py, line 2"
    assert f"is not valid Python 3.{HERE}: invalid syntax" in error.message


@pytest.mark.parametrize(
    "source",
    [
        "return 1",
        "x = = 1",
        "def f():\n  x\n y",
        "break",
        "x = 'open",
        "nonlocal x",
        "\0",
        "# coding: no-such\n",
        "(" * 300,
    ],
)
def test_what_cannot_be_compiled_is_refused(source: str) -> None:
    assert refused({"sample/helper.py": source}).code == "syntax"


@pytest.mark.parametrize("source", ["-" * 100_000 + "1", "1" + "+1" * 100_000, "a" + ".b" * 100_000, "not " * 50_000])
def test_sources_made_to_exhaust_the_parser_end_as_a_refusal(source: str) -> None:
    assert refused({"sample/helper.py": source}).code == "syntax"


def test_nothing_of_a_package_is_run(tmp_path: Path) -> None:
    witness = tmp_path / "ran"
    source = f"open({str(witness)!r}, 'w')\nclass Translator:\n    def translate(self, document): ...\n"
    check({"sample/code.py": source, "sample/__init__.py": source, "top.py": source})
    assert not witness.exists()


def test_files_of_dependencies_may_be_no_python_of_this_version() -> None:
    check({"jinja/template.py": "{{ not python }}", "old/py2.py": "print 'x'"})
    assert refused({"top.py": "print 'x'"}).code == "syntax"


def test_syntax_is_that_of_the_runtime_not_of_the_platform() -> None:
    newer = "class Translator[T]:\n    def translate(self, document): ...\n"
    if HERE >= 12:
        assert refused({"sample/code.py": newer}, runtime="python3.11").code == "syntax"
    check({"sample/code.py": newer}, runtime="python3.14")
    # Wrong in any Python, even in one that is not here to ask.
    assert refused({"sample/code.py": "def f():\n  x\n y"}, runtime="python3.14").code == "syntax"


def test_the_algorithms_own_sources_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources_module, "MAX_SOURCE_BYTES", 1000)
    monkeypatch.setattr(sources_module, "MAX_SOURCES_BYTES", 1500)
    assert refused({"sample/big.py": "#" * 1001}).code == "too_large"
    assert refused({"sample/a.py": "#" * 800, "sample/b.py": "#" * 800}).code == "too_large"
    check({"dependency/big.py": "#" * 5000})


METHOD = "    def translate(self, document): ...\n"


@pytest.mark.parametrize(
    "source",
    [
        f"class Translator:\n{METHOD}",
        "class Translator:\n    def translate(self, document, hint=None): ...\n",
        "class Translator:\n    def translate(self, *documents): ...\n",
        "class Translator:\n    @staticmethod\n    def translate(document): ...\n",
        "class Translator:\n    translate = lambda self, document: document\n",
        "class Translator:\n    def __init__(self, size=3): ...\n" + METHOD,
        "class Translator(Base): ...\n",
        "class Translator(metaclass=Meta): ...\n",
        "@made\nclass Translator: ...\n",
        "from other import Translator\n",
        "from other import Something as Translator\n",
        "from other import *\n",
        "Translator = make()\n",
        "Translator: type = make()\n",
        "try:\n    from fast import Translator\nexcept ImportError:\n    class Translator: ...\n",
        f"if True:\n    class Translator:\n    {METHOD}",
        "for Translator in (1,): pass\n",
        f"match 1:\n    case 1:\n        class Translator:\n        {METHOD}",
        "class Translator:\n    from other import translate\n",
        "class Translator:\n    if True:\n        def translate(self, document): ...\n",
        "def __getattr__(name): ...\n",
    ],
)
def test_an_entry_that_may_be_there_is_let_through(source: str) -> None:
    check({"sample/code.py": source})


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("", "no_entry"),
        ("class Other: ...\n", "no_entry"),
        ("def f():\n    class Translator: ...\n", "no_entry"),
        ("class Outer:\n    class Translator: ...\n", "no_entry"),
        ("print(Translator)\n", "no_entry"),
        ("import other.Translator\n", "no_entry"),
        ("def Translator(): ...\n", "no_entry"),
        ("class Translator: ...\n", "no_translate"),
        ("class Translator:\n    def translate(self): ...\n", "not_callable"),
        ("class Translator:\n    def translate(self, document, more): ...\n", "not_callable"),
        ("class Translator:\n    def translate(self, document, *, more): ...\n", "not_callable"),
        ("class Translator:\n    async def translate(self, document): ...\n", "not_callable"),
        ("class Translator:\n    def __init__(self, size): ...\n" + METHOD, "not_callable"),
    ],
)
def test_an_entry_that_cannot_work_is_refused(source: str, code: str) -> None:
    assert refused({"sample/code.py": source}).code == code


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("def handle(event, context): ...\n", None),
        ("def handle(*all): ...\n", None),
        ("handle = make()\n", None),
        ("@wrapped\ndef handle(): ...\n", None),
        ("def other(event, context): ...\n", "no_entry"),
        ("def handle(event): ...\n", "not_callable"),
        ("def handle(event, context, more): ...\n", "not_callable"),
        ("async def handle(event, context): ...\n", "not_callable"),
    ],
)
def test_a_handler_is_looked_for_likewise(source: str, code: str | None) -> None:
    files = {"sample/code.py": source}
    if code is None:
        check(files, entry=None, handler="sample.code.handle")
    else:
        assert refused(files, entry=None, handler="sample.code.handle").code == code


def test_a_module_that_is_not_there_is_reported_with_the_file_it_would_be() -> None:
    error = refused(entry="sample.cod:Translator")
    assert error.code == "no_module"
    assert "no sample/cod.py" in error.message


def test_a_folder_comes_before_a_file_of_its_name_as_python_finds_them() -> None:
    source = "class Translator:\n    def translate(self, document): ...\n"
    check({"sample/code/__init__.py": source, "sample/code.py": ""})
    assert refused({"sample/code/__init__.py": "", "sample/code.py": source}).where == "sample/code/__init__.py"


@pytest.mark.parametrize(
    "path",
    [
        "aws_equipment/__init__.py",
        "aws_equipment/data.txt",
        "aws_equipment.py",
        "aws_equipment.pyc",
        "aws_equipment.so",
        "aws_equipment.abi3.so",
        f"aws_equipment.cpython-3{HERE}-x86_64-linux-gnu.so",
        "AWS_equipment.py",
    ],
)
def test_a_package_cannot_bring_its_own_equipment(path: str) -> None:
    assert refused({path: ""}).code == "reserved"


def elf(machine: int) -> bytes:
    return b"\x7fELF\2\1\1" + bytes(9) + struct.pack("<HH", 3, machine) + bytes(44)


X86, ARM = elf(62), elf(183)


@pytest.mark.parametrize(
    ("path", "body", "why"),
    [
        ("dep/fast.cpython-39-x86_64-linux-gnu.so", X86, "Python 3.9"),
        ("dep/fast.cpython-313-aarch64-linux-gnu.so", ARM, "arm64"),
        ("dep/fast.abi3.so", ARM, "arm64"),
        ("dep/fast.abi3.so", elf(243), "machine 243"),
        ("dep/fast.cpython-313-darwin.so", b"\xcf\xfa\xed\xfe" + bytes(60), "another system than Linux"),
        ("dep/fast.cp313-win_amd64.pyd", b"MZ" + bytes(60), "Windows"),
        ("dep/fast.cpython-313-x86_64-linux-musl.so", X86, "musl"),
        ("dep/fast.pypy310-pp73-x86_64-linux-gnu.so", X86, "PyPy"),
    ],
)
def test_a_module_compiled_for_something_else_is_refused_with_what_it_is_for(path: str, body: bytes, why: str) -> None:
    error = refused({path: body}, runtime="python3.13")
    assert (error.code, error.where) == ("wrong_wheel", path)
    assert f"is compiled for {why}" in error.message
    assert "allowed: python3.13 on x86_64" in error.message


@pytest.mark.parametrize(
    "files",
    [
        {"dep/fast.cpython-313-x86_64-linux-gnu.so": X86},
        {"dep/fast.abi3.so": X86},
        {"dep/data.so": ARM},
        {"dep.libs/libz.so.1": X86},
        {"dep/fast.cpython-313-x86_64-linux-gnu.so": X86, "dep/fast.cpython-312-x86_64-linux-gnu.so": X86},
    ],
)
def test_compiled_modules_that_fit_are_let_through(files: dict[str, bytes]) -> None:
    check(files, runtime="python3.13")


@pytest.mark.parametrize(
    ("path", "code"),
    [
        (f"sample/__pycache__/code.cpython-3{HERE}.pyc", "bytecode"),
        ("library/__pycache__/x.txt", "bytecode"),
        ("sample/code.pyc", "bytecode"),
        ("sample/other.pyc", "bytecode"),
        ("library/part.pyc", "bytecode"),
        ("top.pyc", "bytecode"),
        ("sample/code.so", "shadowed"),
        (f"sample/code.cpython-3{HERE}-x86_64-linux-gnu.so", "shadowed"),
        ("sample/code.abi3.so", "shadowed"),
        ("sample/__init__.abi3.so", "shadowed"),
    ],
)
def test_what_python_would_run_in_place_of_a_checked_source_is_refused(path: str, code: str) -> None:
    assert refused({path: elf(62), "library/part.py": ""}).code == code


@pytest.mark.parametrize("path", ["library/only.pyc", "library/fast.abi3.so", "sample/fast.abi3.so"])
def test_compiled_modules_that_stand_for_themselves_are_let_through(path: str) -> None:
    check({path: elf(62), "library/fast.py": ""})


def seconds_of(work: Callable[[], object]) -> Iterator[float]:
    """The CPU seconds of doing it, three times: other tests disturb one of them at most."""
    for _ in range(3):
        begin = time.process_time()
        work()
        yield time.process_time() - begin


@pytest.mark.parametrize(
    "unit",
    [
        "def f():pass\n",
        "class A:pass\n",
        "(lambda:0)\n",
        "[x for x in y]\n",
        "{x:0 for x in y}\n",
        "(x for x in y)\n",
        "async def f():pass\n",
    ],
)
def test_code_that_is_repeated_is_compiled_in_linear_time(unit: str) -> None:
    source = unit * (65_000 // len(unit))
    took = []
    for times in (1, 4):
        code = Archive(package({"x.py": source * times}))
        took.append(min(seconds_of(partial(sources_module._compile, code, "x.py", f"python3.{HERE}"))))
    # Quadratic would be 16 times as long.
    assert took[1] < 9 * took[0] + 0.1


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("class Translator:\n    def translate(self, a, b, c=" + "-" * 1500 + "1): ...\n", "(self, a, b, c=...)"),
        ("if 0: pass\n" + "elif 0: pass\n" * 2000, "has no class 'Translator'"),
        ("x = " + "".join(f"[{number}," for number in range(90)) + "]" * 90, "has no class"),
    ],
)
def test_a_deep_tree_is_the_packages_fault(source: str, what: str) -> None:
    assert what in refused({"sample/code.py": source}).message


def test_an_entry_deep_in_a_chain_of_conditions_is_found() -> None:
    source = (
        "if 0: pass\n" + "elif 0: pass\n" * 800 + "else:\n    class Translator:\n        def translate(self, d): ..."
    )
    check({"sample/code.py": source})


def test_a_check_that_takes_too_long_is_the_packages_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_module, "BOUNDS", Bounds(cpu_s=1, wall_s=60, memory_bytes=1 << 30))
    monkeypatch.setattr(sources_module, "_distinct", lambda tree: tree)
    error = refused({"sample/slow.py": "[x for x in y]\n" * 34_000})
    assert error.code == "unreadable"
    assert error.message == "sample/slow.py: takes more than 1 s of processor time to check"


def test_a_check_that_needs_too_much_memory_is_the_packages_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def greedy(*_: Any) -> None:
        # In one piece: what other tests have freed in this process does not hold it.
        bytearray(1 << 30)

    monkeypatch.setattr(check_module, "BOUNDS", Bounds(cpu_s=60, wall_s=60, memory_bytes=64 << 20))
    monkeypatch.setattr(check_module, "check_sources", greedy)
    error = refused({})
    assert error.code == "unreadable"
    assert error.message.endswith(": takes more than 64 MiB of memory to check")


def test_a_document_of_millions_of_lists_is_checked_in_seconds() -> None:
    begin = time.monotonic()
    document = b"[" + b"[]," * 5_500_000 + b"0]"
    # Stored: as deflate it would be a bomb.
    check({"tests/one/input.json": Item(b"", document, method=STORED)})
    assert time.monotonic() - begin < 20


def test_a_fault_of_the_platform_stays_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise KeyError("a mistake in the check")

    monkeypatch.setattr(check_module, "check_sources", broken)
    with pytest.raises(RuntimeError, match="KeyError: 'a mistake in the check'"):
        check()


@pytest.mark.parametrize(
    "path",
    [
        "calendar/algo.py",
        "logging.py",
        "queue/__init__.py",
        "platform.py",
        "json/__init__.py",
        "boto3/session.py",
        "six.py",
        "urllib3/__init__.py",
        "secrets.abi3.so",
        "awslambdaric/__init__.py",
    ],
)
def test_a_module_whose_name_lambda_has_taken_is_refused(path: str) -> None:
    error = refused({path: elf(62) if path.endswith(".so") else ""})
    assert (error.code, error.where) == ("module_taken", path)
    assert repr(path.partition("/")[0].partition(".")[0]) in error.message


def test_an_entry_in_a_module_whose_name_lambda_has_taken_is_refused() -> None:
    error = refused({"calendar/algo.py": SOURCE}, entry="calendar.algo:Translator")
    assert (error.code, error.where) == ("module_taken", "calendar/algo.py")


@pytest.mark.parametrize(
    "files",
    [
        {"boto3/__init__.py": "", "boto3-1.40.0.dist-info/METADATA": ""},
        {"dateutil/__init__.py": "", "python_dateutil-2.9.0.dist-info/METADATA": ""},
        {"dataclasses.py": "", "dataclasses-0.8.dist-info/METADATA": ""},
        {"json/schema.json": "{}", "html/page.html": ""},
        {"cmd.py": "", "sample/json.py": "", "sample/queue/__init__.py": "", "statistics/part.py": ""},
    ],
)
def test_libraries_and_names_that_nothing_has_taken_are_let_through(files: dict[str, str]) -> None:
    check(files)


def test_the_names_that_are_taken_are_those_that_the_runtime_and_the_equipment_import() -> None:
    script = """
import os, sys
import awslambdaric.bootstrap
import aws_equipment
print(*{name.partition(".")[0] for name in sys.modules})
"""
    equipment = Path(check_module.__file__).parents[1] / "equipment"
    environment = {
        "AWS_LAMBDA_FUNCTION_NAME": "x",
        "AWS_DEFAULT_REGION": "us-east-1",
        "PYTHONPATH": str(equipment),
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "HOME": "/nowhere",
    }
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    loaded = {name for name in done.stdout.split() if not name.startswith("_")}
    # A virtual environment loads what its own files ask for; certifi is no part of Lambda.
    assert loaded & (sys.stdlib_module_names | set(SDK_MODULES.values())) <= LOADED
    assert {name for name in LOADED if name in sys.stdlib_module_names} - loaded <= set()

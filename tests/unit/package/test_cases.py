"""Test cases: nothing in tests/ is left out in silence, and an answer that nothing is compared with is told."""

from __future__ import annotations

import tempfile
from typing import Any

import pytest

from greenroom.package.check import PackageReport, check_package
from greenroom.package.errors import PackageError
from tests.unit.package.zips import package


def check(files: dict[str, Any] | None = None, *, to_go_live: bool = True, **metadata: Any) -> PackageReport:
    with tempfile.TemporaryFile() as kept:
        return check_package(package(files, **metadata), kept, to_go_live=to_go_live)


def refused(files: dict[str, Any] | None = None, **metadata: Any) -> PackageError:
    with pytest.raises(PackageError) as caught:
        check(files, **metadata)
    return caught.value


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("tests/one/expcted.json", "tests/one/expected.json"),
        ("tests/two/Expected.json", "tests/two/expected.json"),
        ("tests/one/expected", "tests/one/expected.json"),
        ("tests/one/expect.txt", "tests/one/expected.txt"),
        ("tests/one/output.json", "tests/one/expected.json"),
        ("tests/two/in.json", "tests/two/input.json"),
        ("tests/two/imput.txt", "tests/two/input.txt"),
        ("tests/input.json", "tests/<case>/input.json"),
        ("tests/group/two/expected.json", "tests/group-two/expected.json"),
        ("tests/group/two/input.json", "tests/group-two/input.json"),
        ("tests/a/b/c/Input.json", "tests/a-b-c/input.json"),
        ("tests/one/notes.txt", None),
        ("tests/test_code.py", None),
        ("tests/__init__.py", None),
        ("tests/one/data/table.csv", None),
        ("tests/one/data/README.md", None),
    ],
)
def test_a_file_that_belongs_to_no_case_is_refused_with_what_was_meant(path: str, meant: str | None) -> None:
    error = refused({path: "{}"})
    assert error.code == "unknown_test_file"
    assert path in error.message
    assert (f"did you mean {meant}?" in error.message) if meant else ("did you mean" not in error.message)
    assert ".greenroomignore" in error.hint


def test_all_files_that_belong_to_no_case_are_named_at_once() -> None:
    error = refused({f"tests/case{number}/expcted.json": "{}" for number in range(7)})
    assert error.message.count("did you mean") == 5
    assert error.message.endswith(" and 2 more")


def test_notes_for_people_may_be_with_the_cases() -> None:
    check({"tests/README.md": "What they are.", "tests/one/README.md": "What it shows.", "tests_of_mine/x.json": "{"})


def test_a_case_without_an_expected_answer_is_known_as_not_compared() -> None:
    report = check({"tests/two/input.txt": "text"})
    assert [(case.name, case.compared) for case in report.cases] == [("one", True), ("two", False)]


def test_a_package_in_which_nothing_is_compared_has_to_say_that_this_is_meant() -> None:
    nothing = {"tests/one/expected.json": None}
    error = refused(nothing)
    assert (error.code, error.where) == ("not_compared", "tests")
    assert "tests/one/expected.json" in error.hint and '"allowNotCompared": true' in error.hint
    assert not check(nothing, allowNotCompared=True).cases[0].compared
    assert not check(nothing, to_go_live=False).cases[0].compared

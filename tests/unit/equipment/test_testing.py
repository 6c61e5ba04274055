"""Under an alias test-* the package's own cases run, no service is touched, and nothing else switches that on."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aws_equipment import AlgorithmWorker, EquipmentError, algUnitTest

EVENT = {"greenroomTest": {"case": "one"}}
MESSAGE = {"Records": [{"messageId": "m", "body": "{}", "attributes": {"ApproximateReceiveCount": "1"}}]}


class Echo:
    """Answers what it is given."""

    def translate(self, document: Any) -> Any:
        return document


@pytest.fixture
def case(task_root: Path) -> Callable[..., Path]:
    """Writes the files of a test case."""

    def write(name: str = "one", **files: str) -> Path:
        folder = task_root / "tests" / name
        folder.mkdir(parents=True, exist_ok=True)
        for file_name, text in files.items():
            (folder / file_name.replace("_", ".")).write_text(text)
        return folder

    return write


def test_a_right_answer_passes(case: Callable[..., Path], context_of: Callable[..., Any]) -> None:
    case(input_json='{"a": [1, true]}', expected_json='{\n  "a": [1.0, true]\n}\n')
    verdict = AlgorithmWorker(Echo, EVENT, context_of("test-256")).runIn()
    assert verdict == {
        "case": "one",
        "passed": True,
        "difference": None,
        "outputSizeBytes": 14,
        "captured": {"to": "bucket", "contentType": "application/json"},
    }
    assert algUnitTest(Echo, EVENT, context_of("test-256")).runIn() == verdict


@pytest.mark.parametrize(
    ("files", "shown"),
    [
        ({"input_json": '{"a": 1}', "expected_json": '{"a": true}'}, "first difference at $.a"),
        ({"input_json": "[1]", "expected_txt": "[2]"}, "+[1]"),
        ({"input_txt": "text", "expected_json": '{"a": 1}'}, "first difference at $"),
        ({"input_txt": "a\nb", "expected_txt": "a\nc"}, "-c"),
    ],
)
def test_a_wrong_answer_fails_with_the_difference(
    case: Callable[..., Path], context_of: Callable[..., Any], files: dict[str, str], shown: str
) -> None:
    case(**files)
    verdict = AlgorithmWorker(Echo, EVENT, context_of("test-128")).runIn()
    assert verdict["passed"] is False
    assert shown in verdict["difference"]


def test_without_an_expected_file_it_is_enough_to_raise_nothing(
    case: Callable[..., Path], context_of: Callable[..., Any]
) -> None:
    case(input_txt="anything")
    assert AlgorithmWorker(Echo, EVENT, context_of("test-128")).runIn()["passed"] is True


def test_an_answer_is_judged_as_its_receiver_would_read_it(
    case: Callable[..., Path], context_of: Callable[..., Any]
) -> None:
    class Numbered:
        def translate(self, document: Any) -> Any:
            return {1: "one", 10: ("ten",), 2: "two"}

    case(input_json="{}", expected_json='{"1": "one", "2": "two", "10": ["ten"]}')
    assert AlgorithmWorker(Numbered, EVENT, context_of("test-128")).runIn()["passed"] is True


def test_the_verdict_says_where_an_answer_would_have_gone(
    case: Callable[..., Path], context_of: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    case(input_txt="x" * 100)
    case("large", input_txt="x" * 300_000)
    monkeypatch.setenv("GREENROOM_NEXT", json.dumps({"nftables": {}, "asa": {}}))
    for name, way in (("one", "message"), ("large", "claim check")):
        verdict = AlgorithmWorker(Echo, {"greenroomTest": {"case": name}}, context_of("test-128")).runIn()
        assert verdict["captured"] == {
            "to": "queues",
            "algorithms": ["asa", "nftables"],
            "contentType": "text/plain",
            "as": way,
        }


def test_an_exception_of_the_algorithm_passes_through(
    case: Callable[..., Path], context_of: Callable[..., Any]
) -> None:
    class Broken:
        def translate(self, document: Any) -> Any:
            return document["missing"]

    case(input_json="{}")
    with pytest.raises(KeyError, match="missing"):
        AlgorithmWorker(Broken, EVENT, context_of("test-128")).runIn()


@pytest.mark.parametrize("qualifier", ["prod", "7", None, "testing", "prod-test-128"])
def test_the_event_alone_never_switches_a_test_on(
    case: Callable[..., Path], context_of: Callable[..., Any], qualifier: str | None
) -> None:
    case(input_json="{}")
    for worker in (AlgorithmWorker, algUnitTest):
        with pytest.raises(EquipmentError, match="test-<MB>"):
            worker(Echo, EVENT, context_of(qualifier)).runIn()


@pytest.mark.parametrize("event", [MESSAGE, {}, [], None, {"greenroomTest": None}, {"greenroomTest": "one"}])
def test_under_a_test_alias_nothing_but_a_test_is_run(
    task_root: Path, context_of: Callable[..., Any], event: Any
) -> None:
    with pytest.raises(EquipmentError, match="only tests are run"):
        AlgorithmWorker(Echo, event, context_of("test-128")).runIn()


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "../x", "a\0b", "x" * 65, 5, None, "one\n"])
def test_a_case_is_a_name_and_not_a_path(task_root: Path, context_of: Callable[..., Any], name: Any) -> None:
    with pytest.raises(EquipmentError, match="case"):
        AlgorithmWorker(Echo, {"greenroomTest": {"case": name}}, context_of("test-128")).runIn()


def test_a_missing_case_and_a_second_input_are_reported(
    case: Callable[..., Path], context_of: Callable[..., Any]
) -> None:
    with pytest.raises(EquipmentError, match=r"no tests/one/input"):
        AlgorithmWorker(Echo, EVENT, context_of("test-128")).runIn()
    case(input_json="{}", input_txt="{}")
    with pytest.raises(EquipmentError, match=r"more than one input"):
        AlgorithmWorker(Echo, EVENT, context_of("test-128")).runIn()


def test_the_wrong_call_for_the_type_is_reported(
    case: Callable[..., Path], context_of: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    case(input_json="{}")
    with pytest.raises(EquipmentError, match=r"runOut\(\) was called, and metadata.json says type 'in'"):
        AlgorithmWorker(Echo, EVENT, context_of("test-128")).runOut()
    monkeypatch.setenv("GREENROOM_TYPE", "out")
    assert algUnitTest(Echo, EVENT, context_of("test-128")).runOut()["passed"] is True


def test_the_class_is_instantiated_once_per_environment(
    case: Callable[..., Path], context_of: Callable[..., Any]
) -> None:
    class Counted:
        made = 0

        def __init__(self) -> None:
            Counted.made += 1

        def translate(self, document: Any) -> Any:
            return document

    case(input_json="{}")
    for _ in range(3):
        AlgorithmWorker(Counted, EVENT, context_of("test-128")).runIn()
    assert Counted.made == 1


def test_a_class_without_translate_is_reported(case: Callable[..., Path], context_of: Callable[..., Any]) -> None:
    class Nothing:
        pass

    case(input_json="{}")
    with pytest.raises(EquipmentError, match="class Nothing has no method translate"):
        AlgorithmWorker(Nothing, EVENT, context_of("test-128")).runIn()


HANDLE = """
import json, sys
from types import SimpleNamespace
from aws_equipment.entry import lambda_handler
context = SimpleNamespace(invoked_function_arn="arn:aws:lambda:r:1:function:f:test-128")
answers = [lambda_handler({"greenroomTest": {"case": "one"}}, context) for _ in range(2)]
print(json.dumps({"answers": answers, "modules": sorted(sys.modules)}))
"""


def handled(layer: str, root: Path, entry: str, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {"PYTHONPATH": f"{root}:{layer}", "LAMBDA_TASK_ROOT": str(root), "GREENROOM_ENTRY": entry}
    variables |= {"GREENROOM_TYPE": "in", "GREENROOM_NEXT": "{}", **environment}
    return subprocess.run([sys.executable, "-c", HANDLE], env=variables, capture_output=True, text=True, check=False)


def test_an_entry_needs_no_handler_and_a_test_no_sdk(case: Callable[..., Path], task_root: Path, layer: str) -> None:
    """In a process as Lambda starts one: nothing but the package, the layer and the standard library is loaded."""
    case(input_json='{"a": 1}', expected_json='{"a": 1, "calls": 1}')
    (task_root / "algorithm.py").write_text(
        "class Count:\n    calls = 0\n"
        "    def translate(self, document):\n        self.calls += 1\n        return document | {'calls': self.calls}\n"
    )
    done = handled(layer, task_root, "algorithm:Count")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert [answer["passed"] for answer in result["answers"]] == [True, False]
    assert not {"boto3", "botocore", "urllib3"} & set(result["modules"])


def test_inside_lambda_the_clients_are_made_at_the_start_and_a_test_still_runs(
    case: Callable[..., Path], task_root: Path, layer: str
) -> None:
    """What is measured backstage is what production has: the SDK's time at a cold start, and its memory."""
    case(input_json="{}")
    (task_root / "algorithm.py").write_text(
        "class Echo:\n    def translate(self, document):\n        return document\n"
    )
    done = handled(
        layer,
        task_root,
        "algorithm:Echo",
        AWS_LAMBDA_FUNCTION_NAME="greenroom-alg-sample",
        AWS_DEFAULT_REGION="eu-central-1",
        # An address where nothing listens: a call would fail, and the test with it.
        AWS_ENDPOINT_URL="http://127.0.0.1:9",
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert all(answer["passed"] for answer in result["answers"])
    assert "boto3" in result["modules"]


@pytest.mark.parametrize(
    ("entry", "said"), [("algorithm:Nothing", "is not a class in module algorithm"), ("nothing:X", "No module named")]
)
def test_an_entry_that_is_not_there_fails_at_the_start(task_root: Path, layer: str, entry: str, said: str) -> None:
    (task_root / "algorithm.py").write_text("Nothing = 5\n")
    done = handled(layer, task_root, entry)
    assert done.returncode == 1
    assert said in done.stderr

"""Records of functions: resolving, lasting over a restart, and the life of their code."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from greenroom.lambda_api import LambdaError
from greenroom.lambda_api.functions import CHANGE_S, is_changing
from tests.unit.lambda_api.lab import Lab, lab, zipped


def files(folder: Path) -> set[str]:
    return {path.name for path in (folder / "code").iterdir()}


def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    with lab(tmp_path) as first:
        first.make("f", Tags={"a": "b"}, Publish=True)
        first.call("CreateAlias", FunctionName="f", Name="live", FunctionVersion="1")
        first.call("PutFunctionConcurrency", FunctionName="f", ReservedConcurrentExecutions=5)
        first.call("PublishLayerVersion", LayerName="l", Content={"ZipFile": zipped("x = 1")})
        before = first.call("GetFunction", FunctionName="f:live")
    with lab(tmp_path) as second:
        after = second.call("GetFunction", FunctionName="f:live")
        assert {**after, "Code": None} == {**before, "Code": None}
        target = second.api.functions.resolve("f:live")
        assert second.api.functions.code(target.config) == zipped()
        assert second.api.functions.reserved_by_all == 5
        assert second.call("GetLayerVersion", LayerName="l", VersionNumber=1)["Version"] == 1


def test_an_environment_is_made_again_for_what_it_is_made_from_and_for_nothing_else(lab: Lab) -> None:
    lab.make("f")
    first = lab.api.functions.target("f").incarnation
    lab.call("TagResource", Resource=lab.api.functions.home.function_arn("f"), Tags={"a": "b"})
    lab.call("PutFunctionConcurrency", FunctionName="f", ReservedConcurrentExecutions=1)
    lab.call("PublishVersion", FunctionName="f")
    assert lab.api.functions.target("f").incarnation == first
    lab.call("UpdateFunctionConfiguration", FunctionName="f", MemorySize=256)
    assert lab.api.functions.target("f").incarnation != first


def test_a_change_is_over_after_its_time_and_with_a_clock_that_was_put_back(lab: Lab) -> None:
    lab.make("f", settled=False)
    record = lab.api.functions.record("f")
    until = record["Changing"]["Until"]
    assert is_changing(record, until - CHANGE_S / 2)
    assert not is_changing(record, until) and not is_changing(record, until - 3_600)


def test_code_that_no_version_has_any_more_is_removed_and_shared_code_stays(lab: Lab, tmp_path: Path) -> None:
    lab.make("f")
    lab.make("g")
    lab.call("PublishVersion", FunctionName="g")
    lab.call("UpdateFunctionCode", FunctionName="g", ZipFile=zipped("def handler(event, context): return 2"))
    lab.settle()
    assert len(files(tmp_path)) == 2
    lab.call("DeleteFunction", FunctionName="g")
    lab.store.barrier()
    lab.call("PutFunctionRecursionConfig", FunctionName="f", RecursiveLoop="Allow")
    assert len(files(tmp_path)) == 1
    assert lab.api.functions.code(lab.api.functions.target("f").config) == zipped()


def test_a_function_keeps_the_code_of_a_layer_that_was_deleted(lab: Lab) -> None:
    layer = lab.call("PublishLayerVersion", LayerName="l", Content={"ZipFile": zipped("x = 1")})["LayerVersionArn"]
    lab.make("f", Layers=[layer])
    lab.call("DeleteLayerVersion", LayerName="l", VersionNumber=1)
    lab.store.barrier()
    lab.call("PutFunctionRecursionConfig", FunctionName="f", RecursiveLoop="Allow")
    (found,) = lab.api.functions.layers(lab.api.functions.target("f").config)
    assert (found.arn, found.zip_bytes) == (layer, zipped("x = 1"))


def test_files_that_a_kill_has_left_are_removed_at_the_next_start(tmp_path: Path) -> None:
    with lab(tmp_path) as first:
        first.make("f")
    (tmp_path / "code" / "half-written.1-ab").write_bytes(b"PK")
    with lab(tmp_path) as second:
        assert len(files(tmp_path)) == 1 and second.api.functions.code(second.api.functions.target("f").config)


def test_damaged_code_is_not_run(lab: Lab, tmp_path: Path) -> None:
    lab.make("f")
    (path,) = (tmp_path / "code").iterdir()
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(LambdaError, match=r"is damaged.*greenroom restore") as error:
        lab.api.functions.code(lab.api.functions.target("f").config)
    assert error.value.status == 500


def test_what_is_taken_back_is_taken_back_in_memory_as_well(lab: Lab) -> None:
    lab.make("f")
    with pytest.raises(RuntimeError), lab.api.functions.changing():
        lab.api.functions.put_entry("f", ReservedConcurrentExecutions=7)
        lab.api.functions.publish("f", None)
        raise RuntimeError
    assert lab.api.functions.reserved_by_all == 0 and lab.api.functions.reserved_concurrency("f") is None
    assert [record["Configuration"]["Version"] for record in lab.api.functions.versions_of("f")] == ["$LATEST"]


def test_a_name_that_begins_another_name_is_another_function(lab: Lab) -> None:
    lab.make("f")
    lab.make("ff", Publish=True)
    lab.call("DeleteFunction", FunctionName="f")
    assert [each["FunctionName"] for each in lab.call("ListFunctions")["Functions"]] == ["ff"]
    assert len(lab.call("ListVersionsByFunction", FunctionName="ff")["Versions"]) == 2


def test_a_version_is_published_again_only_if_something_differs(lab: Lab) -> None:
    lab.make("f", Publish=True)
    assert lab.call("PublishVersion", FunctionName="f")["Version"] == "1"
    lab.call("UpdateFunctionConfiguration", FunctionName="f", MemorySize=256)
    lab.settle()
    assert lab.call("PublishVersion", FunctionName="f")["Version"] == "2"
    lab.call("UpdateFunctionConfiguration", FunctionName="f", MemorySize=128)
    lab.settle()
    # Like version 1, but not like the last one.
    assert lab.call("PublishVersion", FunctionName="f")["Version"] == "3"
    lab.call("DeleteFunction", FunctionName="f", Qualifier="3")
    assert lab.call("PublishVersion", FunctionName="f")["Version"] == "4", "a number is given once"


def test_a_version_that_an_alias_has_is_not_deleted(lab: Lab) -> None:
    lab.make("f", Publish=True)
    lab.call("CreateAlias", FunctionName="f", Name="live", FunctionVersion="1")
    assert lab.refused("DeleteFunction", FunctionName="f", Qualifier="1")[0] == "ResourceConflictException"


def test_sizes_of_zip_files_are_limited(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """TestLambdaSizeLimits, https://github.com/localstack/localstack/tree/8b9a79f/tests/aws/services/lambda_"""
    from greenroom.lambda_api import code

    monkeypatch.setattr(code, "MAX_UNZIPPED_BYTES", 1_000)
    function = {"FunctionName": "f", "Runtime": "python3.12", "Handler": "index.handler"}
    role = "arn:aws:iam::111111111111:role/lambda"
    big = {"ZipFile": zipped("x" * 1_001)}
    assert lab.refused("CreateFunction", **function, Role=role, Code=big) == (
        "InvalidParameterValueException",
        "Unzipped size must be smaller than 1000 bytes",
        400,
    )
    monkeypatch.setattr(code, "MAX_ZIPPED_BYTES", 100)
    small = {"ZipFile": zipped("x")}
    assert lab.refused("CreateFunction", **function, Role=role, Code=small) == (
        "RequestEntityTooLargeException",
        "Zipped size must be smaller than 100 bytes",
        413,
    )
    lab.s3.objects["code", "key"] = small["ZipFile"]
    lab.call("CreateFunction", **function, Role=role, Code={"S3Bucket": "code", "S3Key": "key"})


def test_code_comes_from_one_place(lab: Lab) -> None:
    """AWS's words, as its users report them."""
    code = {"ZipFile": zipped("x"), "S3Bucket": "code", "S3Key": "key"}
    lab.make("f")
    for operation, asked in (
        ("CreateFunction", {"FunctionName": "g", "Role": "arn:aws:iam::111111111111:role/lambda", "Code": code}),
        ("UpdateFunctionCode", {"FunctionName": "f", **code}),
    ):
        if operation == "CreateFunction":
            asked |= {"Runtime": "python3.12", "Handler": "index.handler"}
        assert lab.refused(operation, **asked) == (
            "InvalidParameterValueException",
            "Please do not provide other FunctionCode parameters when providing a ZipFile.",
            400,
        )


@pytest.mark.parametrize(
    ("asked", "where"),
    [
        ({"Timeout": 901}, "'901' at 'timeout'"),
        ({"MemorySize": 10_241}, "'10241' at 'memorySize'"),
        ({"EphemeralStorage": {"Size": 10_241}}, "'10241' at 'ephemeralStorage.size'"),
    ],
)
def test_limits_that_the_model_does_not_have_are_checked(lab: Lab, asked: dict[str, Any], where: str) -> None:
    """https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"""
    lab.make("f")
    code, message, _ = lab.refused("UpdateFunctionConfiguration", FunctionName="f", **asked)
    assert code == "ValidationException" and where in str(message)


@pytest.mark.parametrize(("service", "call"), [("sqs", "SendMessage"), ("sns", "Publish")])
def test_dead_letters_that_the_role_may_not_send_are_refused(lab: Lab, service: str, call: str) -> None:
    """AWS's words, as its users report them."""
    lab.make("f")
    letters = {"DeadLetterConfig": {"TargetArn": f"arn:aws:{service}:us-east-1:111111111111:letters"}}
    lab.make("g", DeadLetterConfig=letters["DeadLetterConfig"])
    lab.iam.refused.add(f"{service}:{call}")
    role = "arn:aws:iam::111111111111:role/lambda"
    made = {"Runtime": "python3.12", "Handler": "index.handler", "Role": role, "Code": {"ZipFile": zipped("x")}}
    refused = (
        "InvalidParameterValueException",
        f"The provided execution role does not have permissions to call {call} on {service.upper()}",
        400,
    )
    assert lab.refused("CreateFunction", FunctionName="h", **made, **letters) == refused
    assert lab.refused("UpdateFunctionConfiguration", FunctionName="f", **letters) == refused
    lab.call("UpdateFunctionConfiguration", FunctionName="g", DeadLetterConfig={"TargetArn": ""})
    other = {"TargetArn": "arn:aws:s3:::letters"}
    code, message, _ = lab.refused("UpdateFunctionConfiguration", FunctionName="f", DeadLetterConfig=other)
    assert code == "InvalidParameterValueException" and "a queue of SQS or a topic of SNS" in str(message)


def test_a_role_that_lambda_can_not_assume_is_refused(lab: Lab) -> None:
    lab.iam.unknown.add("arn:aws:iam::111111111111:role/other")
    lab.make("f")
    asked = {"FunctionName": "f", "Role": "arn:aws:iam::111111111111:role/other"}
    assert lab.refused("UpdateFunctionConfiguration", **asked)[1] == (
        "The role defined for the function cannot be assumed by Lambda."
    )


def test_an_address_of_code_is_good_for_some_minutes(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    from greenroom.lambda_api import room

    def token() -> str:
        location: str = lab.call("GetFunction", FunctionName="f")["Code"]["Location"]
        return location.rpartition("/")[2]

    lab.make("f")
    assert lab.api.downloads.read(token()) == zipped() and lab.api.downloads.read("guessed") is None
    monkeypatch.setattr(room, "DOWNLOAD_S", -1)
    assert lab.api.downloads.read(token()) is None


def test_a_version_s_settings_go_with_it(lab: Lab) -> None:
    lab.make("f", Publish=True)
    lab.call("PutFunctionEventInvokeConfig", FunctionName="f", Qualifier="1", MaximumRetryAttempts=0)
    lab.call("DeleteFunction", FunctionName="f", Qualifier="1")
    assert lab.api.functions.event_invoke_config("f", "1") is None


def test_calls_at_the_same_time_are_one_after_the_other(lab: Lab) -> None:
    lab.make("f", Publish=True)

    def make(number: int) -> bool:
        try:
            lab.call("CreateAlias", FunctionName="f", Name="live", FunctionVersion="1", Description=str(number))
        except LambdaError as error:
            assert error.code == "ResourceConflictException"
            return False
        return True

    def tag(number: int) -> None:
        lab.call("TagResource", Resource=lab.api.functions.home.function_arn("f"), Tags={str(number): "x"})

    with ThreadPoolExecutor(8) as pool:
        made = [*pool.map(make, range(40))]
        list(pool.map(tag, range(40)))
    assert made.count(True) == 1
    assert len(lab.api.functions.function("f")["Tags"]) == 40

"""The templates: what can be seen in them without deploying them."""

from __future__ import annotations

import importlib
import json
import pkgutil
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from aws_equipment import production
from cfnlint.decode import cfn_yaml

from greenroom.platform import names, specs
from greenroom.platform.handlers import register
from tests.unit.platform.settings_read import settings_read_by
from tests.unit.service_authorization import resources_taken

ROOM = Path(str(resources.files("greenroom.platform")))
TEMPLATES = ("template.yaml", "algorithm.yaml")

UNNAMEABLE = {
    # Names that developers give, and ids that AWS makes, after the role was written: a prefix is all there can be.
    "-alg-*": "an algorithm's name",
    "event-source-mapping:*": "Lambda makes the id; a condition names the function",
    "log-group:": "the streams of a log group",
    "/inbox/*": "keys of documents",
    "/results/*": "keys of answers",
    "/failures/*": "keys of failures",
    "/uploads/*": "keys of uploads",
    "/packages/*": "keys of packages",
    "/releases/*": "keys of measurements",
    "/tunings/*": "keys of tunings",
    "/index/*": "the two indexes of the registry",
    ":execution:": "the executions of a state machine",
}


def load(name: str) -> dict[str, Any]:
    template: dict[str, Any] = json.loads(json.dumps(cfn_yaml.load(str(ROOM / name))))
    return template


def resources_of(template: dict[str, Any], kind: str) -> dict[str, Any]:
    return {key: value["Properties"] for key, value in template["Resources"].items() if value["Type"] == kind}


def statements(template: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (role, statement["Fn::If"][1] if "Fn::If" in statement else statement)
        for role, properties in resources_of(template, "AWS::IAM::Role").items()
        for policy in properties["Policies"]
        for statement in policy["PolicyDocument"]["Statement"]
    ]


def texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [text for each in value for text in texts(each)]
    if isinstance(value, dict):
        return [text for each in value.values() for text in texts(each)]
    return []


@pytest.mark.parametrize("name", TEMPLATES)
def test_no_role_has_a_star_where_a_name_is_possible(name: str) -> None:
    for role, statement in statements(load(name)):
        assert statement["Effect"] == "Allow"
        assert not any("*" in action for action in texts(statement["Action"])), (role, statement["Sid"])
        takes_nothing = all(resources_taken(action) == [] for action in texts(statement["Action"]))
        for resource in texts(statement["Resource"]):
            # An action that takes no resource is granted on all, or not at all.
            assert (resource == "*") == takes_nothing, (role, statement["Sid"])
            if "*" in resource and not takes_nothing:
                assert any(part in resource for part in UNNAMEABLE), (role, statement["Sid"], resource)


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_statement_has_a_name_of_its_own_in_its_role(name: str) -> None:
    sids = [(role, statement["Sid"]) for role, statement in statements(load(name))]
    assert len(sids) == len(set(sids))


def test_every_function_of_the_platform_has_a_handler_that_can_be_imported() -> None:
    functions = resources_of(load("template.yaml"), "AWS::Lambda::Function")
    handlers = {properties["Handler"] for properties in functions.values()}
    for handler in handlers:
        module, _, function = handler.rpartition(".")
        assert callable(getattr(importlib.import_module(module), function))
    modules = {module.name for module in pkgutil.iter_modules([str(ROOM / "handlers")])}
    assert {handler.split(".")[-2] for handler in handlers} == modules


def test_a_function_is_told_the_settings_that_its_code_reads_and_no_others() -> None:
    told, read = {}, {}
    for name, properties in resources_of(load("template.yaml"), "AWS::Lambda::Function").items():
        variables = properties["Environment"]["Variables"]
        told[name] = {key for key in variables if key.startswith("GREENROOM_")}
        read[name] = settings_read_by(properties["Handler"].removeprefix("greenroom.platform.").rpartition(".")[0])
    assert told == read
    assert "GREENROOM_MAX_CONCURRENCY" in read["Plan"] & read["FunctionTuningSteps"]
    assert read["Dispatch"] > {"GREENROOM_PROVISION_ARN", "GREENROOM_BACKSTAGE_ARN"}


def test_the_code_and_the_templates_agree_on_numbers_and_names() -> None:
    algorithm, platform = load("algorithm.yaml"), load("template.yaml")
    assert algorithm["Parameters"]["LatestMemoryMb"]["Default"] == specs.LATEST_MEMORY_MB
    # The last one to receive a message lays it into the dead-letter queue with the reason; SQS would without it.
    ingest = resources_of(platform, "AWS::SQS::Queue")["IngestQueue"]
    assert ingest["RedrivePolicy"]["maxReceiveCount"] == register.MAX_RECEIVE_COUNT
    documents = resources_of(algorithm, "AWS::SQS::Queue")["InputQueue"]
    assert documents["RedrivePolicy"]["maxReceiveCount"] == production.MAX_RECEIVE_COUNT

    def filled(text: str) -> str:
        for key, value in {"Prefix": "p", "Algorithm": "a", "AWS::AccountId": "1", "AWS::Region": "r"}.items():
            text = text.replace("${" + key + "}", value)
        return text

    found = {key: value["Properties"] for key, value in algorithm["Resources"].items()}
    assert filled(found["Function"]["FunctionName"]["Fn::Sub"]) == names.algorithm_function("p", "a")
    assert filled(found["InputQueue"]["QueueName"]["Fn::Sub"]) == names.input_queue("p", "a")
    assert filled(found["DeadLetterQueue"]["QueueName"]["Fn::Sub"]) == names.dead_letter_queue("p", "a")
    assert filled(found["Bucket"]["BucketName"]["Fn::Sub"]) == names.algorithm_bucket("p", "a", "1", "r")
    assert filled(found["LogGroup"]["LogGroupName"]["Fn::Sub"]) == names.log_group(names.algorithm_function("p", "a"))


def test_a_queue_waits_at_least_six_times_as_long_as_its_function_may_run() -> None:
    platform = load("template.yaml")
    queue = resources_of(platform, "AWS::SQS::Queue")["IngestQueue"]
    function = resources_of(platform, "AWS::Lambda::Function")["Register"]
    assert queue["VisibilityTimeout"] >= 6 * function["Timeout"]

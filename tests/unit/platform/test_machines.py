"""The state machines as they are built: valid, written in one query language, and with every failure handled."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from cfnlint.api import ManualArgs, lint

from greenroom.deploy import artifacts
from greenroom.platform import transitions
from greenroom.tuning import Batch
from tests.unit.platform.test_templates import load, resources_of, statements

NAMES = tuple(artifacts.STATE_MACHINES.values())
RELEASES = ("provision", "backstage")
FOLLOWED = ("Next", "Default")


def machine(name: str) -> dict[str, Any]:
    """The machine as Step Functions gets it."""
    definition: dict[str, Any] = json.loads(artifacts.state_machine(name).body)
    return definition


def all_states(definition: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The states of a machine with those inside its Maps."""
    for name, state in definition["States"].items():
        yield name, state
        if state["Type"] == "Map":
            yield from all_states(state["ItemProcessor"])


def steps_between(definition: dict[str, Any], start: str, *ends: str, avoiding: str = "") -> int:
    """How many states the shortest way takes from one to the end, if no step fails: both ends count."""
    states, reached, count = definition["States"], {start}, 1
    while not reached & set(ends):
        following = set()
        for state in (states[name] for name in reached):
            following |= {state[key] for key in FOLLOWED if key in state}
            following |= {choice["Next"] for choice in state.get("Choices", ())}
        reached, count = following - {avoiding}, count + 1
        assert count <= len(states), f"nothing leads from {start} to {ends}"
    return count


def test_the_states_language_is_spoken_as_its_schema_says() -> None:
    """CloudFormation's linter knows the schema of a definition."""
    arn = "arn:aws:lambda:us-east-1:123456789012:function:step"
    machines = {name: re.sub(r"\$\{\w+Arn\}", arn, json.dumps(machine(name))) for name in NAMES}
    # The schema leaves out that this one may be an expression:
    # https://docs.aws.amazon.com/step-functions/latest/dg/state-map-inline.html
    number = re.compile(r'("MaxConcurrency": )"\{% .*? %\}"')
    machines = {name: number.sub(r"\g<1>1", definition) for name, definition in machines.items()}
    template = {
        "Resources": {
            name.replace("_", ""): {
                "Type": "AWS::StepFunctions::StateMachine",
                "Properties": {
                    "RoleArn": "arn:aws:iam::123456789012:role/flow",
                    "Definition": json.loads(definition),
                },
            }
            for name, definition in machines.items()
        }
    }
    found = lint(json.dumps(template), config=ManualArgs(regions=["us-east-1"]))
    assert [str(match) for match in found if match.rule.id.startswith("E")] == []


@pytest.mark.parametrize("name", NAMES)
def test_a_machine_has_one_query_language(name: str) -> None:
    definition = machine(name)
    assert definition["QueryLanguage"] == "JSONata"
    json_path = {"InputPath", "OutputPath", "ResultPath", "Parameters", "ResultSelector", "ItemsPath", "Result"}
    for state_name, state in all_states(definition):
        assert not json_path & set(state), state_name
        assert "QueryLanguage" not in state, state_name
    assert not re.findall(r'\.\$": ', json.dumps(definition))
    assert "Shared" not in definition


@pytest.mark.parametrize("name", NAMES)
def test_every_variable_that_is_used_is_assigned(name: str) -> None:
    text = json.dumps(machine(name))
    assigned = {key for assign in re.findall(r'"Assign": \{(.*?)\}', text) for key in re.findall(r'"(\w+)":', assign)}
    expressions = re.findall(r"\{% (.*?) %\}", text)
    used = {variable for expression in expressions for variable in re.findall(r"\$(\w+)(?![\w(])", expression)}
    assert used - {"states"} <= assigned


@pytest.mark.parametrize("name", NAMES)
def test_every_state_is_reached_and_every_name_exists(name: str) -> None:
    definition = machine(name)
    states = definition["States"]
    reached = {definition["StartAt"]}
    for state in states.values():
        reached |= {state[key] for key in FOLLOWED if key in state}
        reached |= {choice["Next"] for choice in state.get("Choices", ())}
        reached |= {catch["Next"] for catch in state.get("Catch", ())}
    assert reached == set(states)


@pytest.mark.parametrize("name", NAMES)
def test_every_step_is_tried_again_where_lambda_itself_failed(name: str) -> None:
    for state_name, state in all_states(machine(name)):
        if state["Type"] == "Task":
            errors = {error for retry in state["Retry"] for error in retry["ErrorEquals"]}
            assert errors & {"Lambda.TooManyRequestsException", "States.ALL"}, state_name


@pytest.mark.parametrize("name", RELEASES)
def test_every_step_of_a_flow_that_fails_is_caught_and_the_execution_ends_failed(name: str) -> None:
    states = machine(name)["States"]
    for state_name, state in states.items():
        if state["Type"] not in ("Task", "Map") or state_name.startswith("Report"):
            continue
        (catch,) = state["Catch"]
        assert catch["ErrorEquals"] == ["States.ALL"], state_name
        assert state_name == "CleanAfterFailure" or "error" in catch["Assign"]["failure"], state_name
        seen, at = [], catch["Next"]
        while states[at]["Type"] != "Fail":
            assert at not in seen, f"{state_name} leads round in circles after an error"
            seen.append(at)
            at = states[at]["Next"]
        assert seen[-1] == "ReportFailed"
    assert "'status': 'FAILED'" in states["ReportFailed"]["Arguments"]
    assert "$failure" in states["ReportFailed"]["Arguments"]


def test_whatever_fails_after_the_first_version_was_published_is_cleaned_up() -> None:
    states = machine("backstage")["States"]
    for name in ("Publish", "Plan", "Execute", "Decide", "Promote", "AttachQueue", "AwaitStack", "Clean", "ReportLive"):
        (catch,) = states[name]["Catch"]
        assert catch["Next"] == "CleanAfterFailure", name
    assert states["CleanAfterFailure"]["Arguments"]["promoted"] is False
    assert states["Clean"]["Arguments"]["promoted"] is True


def test_a_function_tuning_that_fails_is_cleaned_up_and_ends_with_what_failed() -> None:
    states = machine("function_tuning")["States"]
    for name in ("Plan", "Publish", "Execute", "Decide", "Optimize", "Clean"):
        (catch,) = states[name]["Catch"]
        assert (catch["ErrorEquals"], catch["Next"]) == (["States.ALL"], "CleanAfterFailure"), name
        assert catch["Assign"] == {"failure": "{% $states.errorOutput %}"}, name
    (catch,) = states["CleanAfterFailure"]["Catch"]
    assert (catch["Next"], "Assign" in catch) == ("Failed", False)
    assert states["CleanAfterFailure"]["Next"] == "Failed"
    assert states["Failed"]["Cause"] == "{% $failure.Cause %}"


@pytest.mark.parametrize("name", NAMES)
def test_a_flow_may_invoke_the_functions_it_calls_and_no_others(name: str) -> None:
    called = set(re.findall(r"\$\{(\w+)Arn\}", artifacts.state_machine(name).body.decode()))
    platform = load("template.yaml")
    logical = "".join(word.capitalize() for word in name.split("_"))
    properties = resources_of(platform, "AWS::StepFunctions::StateMachine")[logical]
    assert {key.removesuffix("Arn") for key in properties["DefinitionSubstitutions"]} == called
    (statement,) = (s for role, s in statements(platform) if role == f"{logical}Role")
    assert {resource["Fn::GetAtt"][0] for resource in statement["Resource"]} == called


def test_the_state_transitions_that_are_counted_are_those_of_the_machines() -> None:
    backstage, tuning = machine("backstage"), machine("function_tuning")
    before = steps_between(backstage, "Lock", "Plan") - 1
    assert (before, backstage["States"]["Lock"]["Assign"]["transitions"]) == (transitions.BEFORE_ROUNDS,) * 2
    assert tuning["States"]["Begin"]["Assign"]["transitions"] == steps_between(tuning, "Begin", "Plan") - 1
    live = steps_between(backstage, "Decide", "Over", avoiding="CleanAfterFailure")
    failed = steps_between(backstage, "Decide", "Failed", avoiding="Promote")
    assert (live, failed) == (transitions.AFTER_ROUNDS_LIVE, transitions.AFTER_ROUNDS_FAILED)
    for end in ("Clean", "Failed"):
        assert steps_between(tuning, "Decide", end) == transitions.AFTER_ROUNDS_FUNCTION_TUNING
    for each in (backstage, tuning):
        # A round is Plan, MoreToMeasure, and the Maps with an item each for what is published and what is measured.
        assert steps_between(each, "Plan", "Execute", avoiding="Publish") == 3
        assert steps_between(each, "Plan", "Publish") == 3
        assert each["States"]["Publish"]["Next"] == "Execute"
        assert each["States"]["Execute"]["Next"] == "Plan"
        assert all(len(each["States"][name]["ItemProcessor"]["States"]) == 1 for name in ("Publish", "Execute"))
    batches = [Batch(128, start, 5) for start in (0, 5, 10)]
    assert transitions.of_round([128, 256], batches) == 2 + (1 + 2) + (1 + 3)
    assert transitions.of_round([], batches[:1]) == 2 + (1 + 1)

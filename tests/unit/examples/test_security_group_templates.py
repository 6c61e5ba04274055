"""Templates of security groups: text of the source stays text, and cfn-lint finds nothing in any of them.

cfn-lint takes about a second for each template, so that several are put together to one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import cfnlint.api
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.firewall.oracle.policies import exports
from tests.unit.examples.test_algorithms import on_path, policy_of, translate

__all__ = ["on_path"]

HOSTILE = [
    "{{resolve:secretsmanager:admin:SecretString:password}}",
    "{{resolve:ssm:/prod/key}}",
    "${AWS::Region}",
    "$${x}{{{resolve:ssm:a}}}",
    "Ref",
    "Fn::Transform",
    "Fn::ForEach::x",
    "Condition",
    "aws:reserved",
    "vpc id",
    '"quotes" \n newline \x1b[2J <b>? Ünïcode \ud800',
    "",
    "x" * 300,
]


def hostile_policy(name: str) -> dict[str, Any]:
    """A neutral policy that has a name at each place that takes one."""
    machines = {name: {"name": name, "networks": ["10.0.0.1/32"]}, "other": {"name": name, "networks": []}}
    members = {"networks": ["10.0.0.1/32"], "machines": [name]}
    rule = {
        **dict.fromkeys(("name", "id", "policy", "category"), name),
        "destinations": {"networks": ["10.0.0.1/32"], "unresolved": ["other"]},
        "services": [{"protocol": "0"}, {"protocol": "tcp"}],
    }
    warning = dict.fromkeys(("rule", "name", "object", "field", "effect", "message"), name)
    document = {**policy_of(rule, machines=machines), "source": name, "warnings": [warning]}
    return {**document, "groups": {name: members, f"{name} ": members}}


def texts(value: Any) -> Iterator[str]:
    """Return all texts in a template, names of fields among them."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, part in value.items():
            yield key
            yield from texts(part)
    elif isinstance(value, list):
        for part in value:
            yield from texts(part)


def findings(templates: list[dict[str, Any]]) -> list[Any]:
    """Return what cfn-lint finds in templates, which it is given as one."""
    together = {
        **templates[0],
        "Resources": {
            f"T{at}{name}": of for at, each in enumerate(templates) for name, of in each["Resources"].items()
        },
        "Metadata": {f"T{at}": each["Metadata"] for at, each in enumerate(templates)},
    }
    return list(cfnlint.api.lint(json.dumps(together), ["us-east-1"]))


def test_cfn_lint_finds_nothing_where_names_of_the_source_are_hostile() -> None:
    assert not findings([translate("aws_sg", hostile_policy(name)) for name in HOSTILE])


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_of_the_source_stays_text_wherever_a_template_has_it(name: str) -> None:
    template = translate("aws_sg", hostile_policy(name))
    assert not re.search(r"\{\{|\$\{", json.dumps(template))
    functions = [text for text in texts(template) if text.startswith("Fn::")]
    assert functions == [] or name.startswith("Fn::")
    for machine in template["Metadata"]["Machines"]:
        assert machine not in ("Ref", "Condition") and not machine.startswith("Fn::")
    for resource in template["Resources"].values():
        properties = resource["Properties"]
        (tag,) = properties["Tags"]
        assert not tag["Value"].lower().startswith("aws:")
        said = [properties["GroupDescription"]]
        said += [each["Description"] for each in properties["SecurityGroupIngress"] + properties["SecurityGroupEgress"]]
        assert all(re.fullmatch(r"[a-zA-Z0-9. _\-:/()#,@\[\]+=&;!$*]{1,255}", text) for text in said)


def test_machines_whose_ids_differ_only_in_what_is_not_written_stay_apart() -> None:
    machines: dict[str, Any] = {name: {"name": name, "networks": []} for name in ("a{", "a(", "Ref", "id Ref")}
    template = translate("aws_sg", policy_of({}, machines=machines))
    assert len(template["Metadata"]["Machines"]) == len(machines)
    (group,) = template["Resources"].values()
    assert group["Metadata"]["Members"] == sorted(template["Metadata"]["Machines"])


@pytest.mark.parametrize("names", [[], ["m"]])
def test_cfn_lint_finds_nothing_in_a_template_of_few_machines(names: list[str]) -> None:
    machines: dict[str, Any] = {name: {"name": name, "networks": []} for name in names}
    assert not cfnlint.api.lint(json.dumps(translate("aws_sg", policy_of(machines=machines))), ["us-east-1"])


def test_cfn_lint_finds_nothing_in_what_is_written_of_made_up_exports() -> None:
    templates = []

    @settings(
        max_examples=15,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(exports())
    def write(export: dict[str, Any]) -> None:
        templates.append(translate("aws_sg", translate("nsx_in", export)))

    write()
    assert len(templates) == 15
    assert not findings(templates)


def each_with_a_rule_of_its_own(count: int) -> dict[str, Any]:
    """A policy of machines that all may send to all, each on its own port."""
    machines = {
        f"m{number}": {"name": f"m{number}", "networks": [f"10.0.{number // 250}.{number % 250}/32"]}
        for number in range(count)
    }
    rules = [
        {
            "destinations": {"networks": machine["networks"]},
            "services": [{"protocol": "tcp", "destinationPorts": [[number, number]]}],
        }
        for number, machine in enumerate(machines.values(), 1)
    ]
    groups = {name: {"networks": machine["networks"], "machines": [name]} for name, machine in machines.items()}
    return {**policy_of(*rules, machines=machines), "groups": groups}


def test_rules_that_all_machines_have_are_in_groups_that_they_share() -> None:
    template = translate("aws_sg", each_with_a_rule_of_its_own(230))
    assert len(template["Resources"]) == 230 + 4
    assert template["Metadata"]["Warnings"] == []
    groups = template["Metadata"]["Machines"]["m7"]["SecurityGroups"]
    assert len(groups) == 5
    found = [template["Resources"][name]["Properties"] for name in groups]
    assert [rule["FromPort"] for group in found for rule in group["SecurityGroupIngress"]] == [8]
    sent = [rule["FromPort"] for group in found for rule in group["SecurityGroupEgress"] if "FromPort" in rule]
    assert sorted(sent) == list(range(1, 231))


def test_what_a_template_can_not_hold_is_left_out_with_what_to_do() -> None:
    template = translate("aws_sg", each_with_a_rule_of_its_own(501))
    assert len(template["Resources"]) <= 500
    assert len(json.dumps(template)) < 1_000_000
    assert all(machine["SecurityGroups"] for machine in template["Metadata"]["Machines"].values())
    said = template["Metadata"]["Warnings"][-1]
    assert "the policy needs 505 security groups" in said["message"] and "takes 500 resources" in said["message"]
    assert "left out, with what they allow: the groups machine m" in said["effect"]
    assert "fewer machines at a time" in said["effect"]


def test_a_template_stays_below_what_cloudformation_reads() -> None:
    """Few groups, each with as many rules as it takes."""
    machines = {f"m{number}": {"name": f"m{number}", "networks": [f"10.0.0.{number}/32"]} for number in range(60)}
    rules = [
        {
            "name": "n" * 250,
            "direction": "in",
            "destinations": {"networks": machine["networks"]},
            "sources": {"networks": [f"10.{number}.{low}.1/32" for low in range(1, 241)]},
        }
        for number, machine in enumerate(machines.values(), 1)
    ]
    template = translate("aws_sg", policy_of(*rules, machines=machines))
    assert len(json.dumps(template)) < 1_000_000
    assert "left out" in template["Metadata"]["Warnings"][-1]["effect"]
    closed = [group for group in template["Resources"].values() if not group["Properties"]["SecurityGroupIngress"]]
    assert closed and all(machine["SecurityGroups"] for machine in template["Metadata"]["Machines"].values())

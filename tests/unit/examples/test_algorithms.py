"""The example algorithms: their own cases, their packages, and the arithmetic that they share.

Whether a translation says what its source says is judged in tests/firewall.
"""

from __future__ import annotations

import importlib
import itertools
import json
import re
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from types import ModuleType
from typing import Any

import cfnlint.api
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenroom.workbench.build import pack_own_files
from greenroom.workbench.local import run_tests

REPOSITORY = Path(__file__).parents[3]
EXAMPLES = REPOSITORY / "examples"

FOLDERS = {"nsx_in": "nsx.translator", "cisco_asa": "asa.writer", "aws_sg": "aws_sg.writer", "hello": "hello.algorithm"}
CASES = sorted(path.parent for folder in FOLDERS for path in (EXAMPLES / folder / "tests").glob("*/input.json"))
SHARED_FILES = {
    "ranges.py": ("nsx_in/nsx", "cisco_asa/asa", "aws_sg/aws_sg"),
    "form.py": ("nsx_in/nsx", "cisco_asa/asa", "aws_sg/aws_sg"),
    "policy.py": ("cisco_asa/asa", "aws_sg/aws_sg"),
}


@pytest.fixture(scope="module", autouse=True)
def on_path() -> Iterator[None]:
    """Make the examples' modules importable, as they are where they run."""
    with pytest.MonkeyPatch.context() as patch:
        for folder in FOLDERS:
            patch.syspath_prepend(EXAMPLES / folder)
        yield


def module(name: str) -> ModuleType:
    """Return a module of an example."""
    return importlib.import_module(name)


def translate(folder: str, document: Any) -> Any:
    """Return an example's answer to a document."""
    metadata = json.loads((EXAMPLES / folder / "metadata.json").read_text())
    name, _, cls = metadata["entry"].partition(":")
    return getattr(module(name), cls)().translate(document)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.parents[1].name}-{case.name}")
def test_each_case_of_each_example_passes(case: Path) -> None:
    answer = translate(case.parents[1].name, json.loads((case / "input.json").read_text()))
    (expected,) = case.glob("expected.*")
    wanted = expected.read_text() if expected.suffix == ".txt" else json.loads(expected.read_text())
    assert answer == wanted


@pytest.mark.parametrize("folder", FOLDERS)
def test_each_example_passes_as_a_developer_tests_it(folder: str, tmp_path: Path) -> None:
    results = run_tests(EXAMPLES / folder)
    assert results and all(result.passed for result in results), results
    assert pack_own_files(EXAMPLES / folder, tmp_path / "package.zip").cases


@pytest.mark.parametrize("case", [case for case in CASES if "aws_sg" in case.parts], ids=lambda case: case.name)
def test_cfn_lint_finds_nothing_in_a_template(case: Path) -> None:
    findings = cfnlint.api.lint((case / "expected.json").read_text(), ["us-east-1"])
    assert not findings, findings


@pytest.mark.parametrize("name", SHARED_FILES)
def test_a_file_that_several_packages_share_has_the_same_text_in_each(name: str) -> None:
    texts = {(EXAMPLES / folder / name).read_text() for folder in SHARED_FILES[name]}
    assert len(texts) == 1


@pytest.mark.parametrize("folder", ["nsx_in", "cisco_asa", "aws_sg"])
@pytest.mark.parametrize(
    "document",
    [{}, [], {"domains": 3}, {"format": "firewall-policy", "version": 1}, {"format": "firewall-policy", "version": 2}],
)
def test_another_kind_of_document_is_refused_in_words(folder: str, document: Any) -> None:
    with pytest.raises(ValueError, match=r"this is not .*: at \$.*, expected .*, found"):
        translate(folder, document)


@pytest.mark.parametrize(
    "resources",
    [
        {"security_policies": [None]},
        {"security_policies": [{"display_name": "p", "rules": "x"}]},
        {"security_policies": [{"display_name": "p", "rules": [{"action": "ALLOW", "service_entries": 7}]}]},
        {"security_policies_v2": [{"rules": []}]},
    ],
)
def test_an_export_of_another_form_is_refused_in_words(resources: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="of the form that is read"):
        translate("nsx_in", {"domains": [{"resources": resources}]})


def policy_of(*rules: dict[str, Any], machines: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return a neutral policy of some rules; what a rule does not say is any."""
    everything = {
        "id": "1",
        "policy": "p",
        "category": "Application",
        "action": "allow",
        "direction": "in-out",
        "sources": {"any": True},
        "destinations": {"any": True},
        "services": None,
    }
    numbered = [{"order": number, "name": f"r{number}", **everything, **rule} for number, rule in enumerate(rules, 1)]
    return {"format": "firewall-policy", "version": 2, "machines": machines or {}, "rules": numbered}


@pytest.mark.parametrize("folder", ["cisco_asa", "aws_sg"])
@pytest.mark.parametrize(
    "unread",
    [
        {"userId": "ada"},
        {"direction": "sideways"},
        {"action": "jump"},
        {"sources": {"networks": ["10.0.0.0/8"], "negated": True}},
        {"services": [{"protocol": "tcp", "ports": [[22, 22]]}]},
        {"services": [{"protocol": "999"}]},
        {"services": [{"protocol": "tcp", "destinationPorts": [[30, 20]]}]},
        {"services": [{"protocol": "icmp", "icmpType": 300}]},
    ],
)
def test_a_rule_that_says_more_than_a_writer_reads_is_refused(folder: str, unread: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\$\.rules\[0\]\S*(, expected .*, found| is a field that is not known)"):
        translate(folder, policy_of(unread))


@pytest.mark.parametrize("name", ["x\naccess-list greenroom extended permit ip any any", "p\x1b[2J", "what? now", ""])
def test_text_from_a_configuration_can_not_break_out_of_its_remark(name: str) -> None:
    text = translate("cisco_asa", policy_of({"name": name, "policy": name, "action": "deny"}))
    assert not re.search(r"^access-list greenroom extended permit", text, re.MULTILINE)
    assert "\x1b" not in text and "?" not in text
    assert all(len(line.partition(" remark ")[2]) <= 100 for line in text.splitlines())


def test_many_addresses_are_one_entry_with_object_groups() -> None:
    many = {"networks": [f"10.{high}.{low}.1/32" for high in range(4) for low in range(95)]}
    service = [{"protocol": "tcp", "destinationPorts": [[443, 443]]}]
    text = translate("cisco_asa", policy_of({"sources": many, "destinations": many, "services": service}))
    assert text.count("extended permit") == 1
    assert "WARNING: the list expands to 144400 entries" in text
    assert "object-group-search access-control" in text


def test_many_pairs_of_ports_are_one_entry_with_object_groups() -> None:
    ports = [[number * 2, number * 2] for number in range(500)]
    service = {"protocol": "tcp", "destinationPorts": ports, "sourcePorts": ports[1:]}
    text = translate("cisco_asa", policy_of({"destinations": {"networks": ["10.0.0.1/32"]}, "services": [service]}))
    (entry,) = [line for line in text.splitlines() if "extended permit" in line]
    names = re.findall(r"^object-group service (\S+) tcp$", text, re.MULTILINE)
    assert entry.endswith(f" permit tcp any4 object-group {names[1]} host 10.0.0.1 object-group {names[0]}")
    assert text.count(" port-object eq ") == 999
    assert "WARNING: the list expands to 249500 entries" in text


def test_an_object_group_has_another_name_when_it_has_other_members() -> None:
    def names(*networks: str) -> set[str]:
        text = translate("cisco_asa", policy_of({"sources": {"networks": list(networks)}}))
        return set(re.findall(r"^object-group network (\S+)", text, re.MULTILINE))

    assert names("10.0.0.1/32", "10.0.0.9/32").isdisjoint(names("10.0.0.1/32", "10.0.0.8/32"))


def test_more_groups_than_an_interface_takes_become_one_group_of_the_machine() -> None:
    machines = {"a": {"name": "a", "networks": ["10.0.0.1/32"]}}
    groups = {f"g{number}": {"networks": ["10.0.0.1/32"], "machines": ["a"]} for number in range(9)}
    document = {**policy_of({"action": "allow"}, machines=machines), "groups": groups}
    template = translate("aws_sg", document)
    assert len(template["Metadata"]["Machines"]["a"]["SecurityGroups"]) <= 5
    assert template["Metadata"]["Warnings"] == []


def test_more_groups_than_a_template_takes_become_groups_of_machines_that_are_treated_alike() -> None:
    addresses = [f"10.0.{number // 130}.{number % 130}/32" for number in range(260)]
    machines = {f"m{number}": {"name": f"m{number}", "networks": [own]} for number, own in enumerate(addresses)}
    pairs = [(number, (number + distance) % 260) for distance in (1, 2) for number in range(260)]
    groups = {
        f"g{one}-{other}": {"networks": [addresses[one], addresses[other]], "machines": [f"m{one}", f"m{other}"]}
        for one, other in pairs
    }
    rules = [
        {"destinations": {"networks": group["networks"]}, "direction": "in", "services": [{"protocol": "47"}],
         "sources": {"networks": [f"192.0.{number // 250}.{number % 250}/32"]}}
        for number, group in enumerate(groups.values())
    ]  # fmt: skip
    template = translate("aws_sg", {**policy_of(*rules, machines=machines), "groups": groups})
    assert len(template["Resources"]) == len(machines)
    assert template["Metadata"]["Warnings"] == []


def test_limits_of_the_target_are_said_with_what_to_do() -> None:
    machines = {
        f"m{number}": {"name": f"m{number}", "networks": [f"10.1.{number // 250}.{number % 250}/32"]}
        for number in range(501)
    }
    alone = [
        {
            "destinations": {"networks": machine["networks"]},
            "services": [{"protocol": str(60 + number % 150)}],
            "direction": "in",
            "sources": {"networks": [f"192.0.2.{number % 250}/32"]},
        }
        for number, machine in enumerate(machines.values())
    ]
    said = json.dumps(translate("aws_sg", policy_of(*alone, machines=machines))["Metadata"]["Warnings"])
    assert "CloudFormation takes 500" in said and "fewer machines at a time" in said
    peers = {"networks": [f"10.{high}.{low}.1/32" for high in range(4) for low in range(90)]}
    said = json.dumps(
        translate(
            "aws_sg",
            policy_of(
                {"sources": peers, "direction": "in"}, machines={"m": {"name": "m", "networks": ["10.0.0.1/32"]}}
            ),
        )["Metadata"]["Warnings"]
    )
    assert "an interface takes 5 security groups of 60 rules" in said and "left out: the rest of" in said


def export_of(rule: dict[str, Any], **policy: Any) -> dict[str, Any]:
    """Return an export of a policy with one rule."""
    return {"domains": [{"resources": {"security_policies": [{"display_name": "p", "rules": [rule], **policy}]}}]}


def test_a_field_that_is_not_known_is_set_if_it_is_0() -> None:
    for value, number in ((0, 0), (0.0, 0), (False, 1), (None, 1), ("", 1)):
        neutral = translate("nsx_in", export_of({"action": "ALLOW", "a_later_field": value}))
        assert len(neutral["rules"]) == number, value


def test_a_rule_is_not_surely_enforced_at_a_machine_that_a_group_holds_by_its_address_only() -> None:
    export = export_of({"action": "ALLOW", "direction": "IN"}, scope=["both"])
    export["virtual_machines"] = [
        {"external_id": "m", "display_name": "m", "tags": [{"scope": "tier", "tag": "web"}]},
    ]
    export["virtual_network_interface"] = [
        {"owner_vm_id": "m", "ip_address_info": [{"ip_addresses": ["10.0.0.1"]}]},
    ]
    tagged = {"resource_type": "Condition", "member_type": "VirtualMachine", "key": "Tag", "operator": "EQUALS"}
    export["domains"][0]["resources"]["groups"] = [
        {"path": "net", "expression": [{"resource_type": "IPAddressExpression", "ip_addresses": ["10.0.0.0/24"]}]},
        {
            "path": "both",
            "expression": [
                {**tagged, "value": "tier|web"},
                {"resource_type": "ConjunctionOperator", "conjunction_operator": "AND"},
                {"resource_type": "PathExpression", "paths": ["net"]},
            ],
        },
    ]
    assert translate("nsx_in", export)["rules"] == []
    export["domains"][0]["resources"]["security_policies"][0]["rules"][0]["action"] = "DROP"
    (denied,) = translate("nsx_in", export)["rules"]
    assert denied["appliedTo"] == {"machines": ["m"]}


def test_a_connectivity_preference_that_is_not_known_denies_with_a_warning() -> None:
    neutral = translate("nsx_in", export_of({"action": "ALLOW", "direction": "IN"}, connectivity_preference="ODD"))
    assert [rule["action"] for rule in neutral["rules"]] == ["allow", "deny"]
    assert "connectivity preference ODD is not known" in json.dumps(neutral["warnings"])


@pytest.mark.parametrize(("family", "count"), [("IPV4_IPV6", 1), ("IPV6", 2), ("IPV4", 2)])
def test_an_ethernet_rule_passes_all_frames_only_if_it_is_for_both_families(family: str, count: int) -> None:
    export = export_of({"action": "ALLOW", "ip_protocol": family}, category="Ethernet")
    export["domains"][0]["resources"]["security_policies"] += [
        {"category": "Ethernet", "sequence_number": 1, "rules": [{"action": "DROP"}]},
        {"rules": [{"action": "ALLOW"}]},
    ]
    assert len(translate("nsx_in", export)["rules"]) == count


numbers = st.integers(0, 300)
ranges = st.lists(st.tuples(numbers, numbers).map(lambda pair: (min(pair), max(pair))), max_size=6)


def members(found: Any) -> set[int]:
    """Return the numbers of ranges one by one."""
    return {number for low, high in found for number in range(low, high + 1)}


@given(ranges, ranges)
def test_arithmetic_of_ranges_is_that_of_sets(one: list[tuple[int, int]], other: list[tuple[int, int]]) -> None:
    module_ = module("nsx.ranges")
    first, second = module_.merge(one), module_.merge(other)
    for results in (first, module_.union(first, second), module_.intersect(first, second)):
        assert all(low[1] + 1 < high[0] for low, high in itertools.pairwise(results))
    assert members(first) == members(one)
    assert members(module_.union(first, second)) == members(one) | members(other)
    assert members(module_.intersect(first, second)) == members(one) & members(other)
    assert members(module_.subtract(first, second)) == members(one) - members(other)
    assert module_.covers(first, second) == (members(other) <= members(one))


@given(st.lists(st.tuples(st.sampled_from([4, 6]), numbers, numbers), max_size=5))
def test_networks_hold_exactly_the_addresses_of_ranges(parts: list[tuple[int, int, int]]) -> None:
    module_ = module("nsx.ranges")
    bases = {4: (0x0A000000, 0), 6: (0x20010DB8 << 96, 2**32)}
    wanted = module_.merge(
        (bases[version][0] + bases[version][1] + min(pair), bases[version][0] + bases[version][1] + max(pair))
        for version, *pair in parts
    )
    found = module_.union(*(module_.parse_addresses(str(network)) for network in module_.networks(wanted)))
    assert found == wanted


boxes = st.tuples(
    *[
        st.lists(
            st.tuples(st.integers(0, 5), st.integers(0, 5)).map(lambda pair: (min(pair), max(pair))),
            min_size=1,
            max_size=2,
        )
    ]
    * 3
)


@given(boxes, boxes)
def test_a_box_without_another_holds_the_traffic_of_the_first_that_is_not_in_the_second(one: Any, other: Any) -> None:
    policy, arithmetic = module("aws_sg.policy"), module("aws_sg.ranges")
    first, second = (policy.Box(*map(arithmetic.merge, each)) for each in (one, other))

    def traffic(box: Any) -> set[tuple[int, int, int]]:
        return set(itertools.product(members(box.sources), members(box.destinations), members(box.protocols)))

    left = first.subtract(second)
    assert set().union(*map(traffic, left)) == traffic(first) - traffic(second)
    assert sum(len(traffic(box)) for box in left) == len(traffic(first) - traffic(second))


def test_an_address_is_found_on_the_number_line_where_its_family_begins() -> None:
    module_ = module("nsx.ranges")
    assert module_.parse_addresses("10.0.0.1") == ((int(ip_address("10.0.0.1")),) * 2,)
    assert module_.parse_addresses("::1") == ((2**32 + 1, 2**32 + 1),)
    with pytest.raises(ValueError, match="not a range"):
        module_.parse_addresses("10.0.0.9-10.0.0.1")

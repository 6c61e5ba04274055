"""The example algorithms: their own cases, real exports, and an independent reading of what the rules mean."""

from __future__ import annotations

import importlib
import itertools
import json
import re
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenroom.package.check import check_package
from greenroom.workbench.build import pack_own_files
from greenroom.workbench.local import run_tests

REPOSITORY = Path(__file__).parents[3]
EXAMPLES = REPOSITORY / "examples"
NSX_DATA = REPOSITORY.parent / "shared" / "data" / "nsx"

FOLDERS = {"nsx_in": "nsx.translator", "cisco_asa": "asa.writer", "aws_sg": "aws_sg.writer", "hello": "hello.algorithm"}
CASES = sorted(path.parent for folder in FOLDERS for path in (EXAMPLES / folder / "tests").glob("*/input.json"))
EXPORTS = sorted(NSX_DATA.glob("*.json"))

needs_exports = pytest.mark.skipif(not EXPORTS, reason="no NSX-T exports in ../shared/data/nsx beside this checkout")


@pytest.fixture(scope="module", autouse=True)
def on_path() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for folder in FOLDERS:
            patch.syspath_prepend(EXAMPLES / folder)
        yield


def module(name: str) -> ModuleType:
    return importlib.import_module(name)


def translate(folder: str, document: Any) -> Any:
    metadata = json.loads((EXAMPLES / folder / "metadata.json").read_text())
    name, _, cls = metadata["entry"].partition(":")
    return getattr(module(name), cls)().translate(document)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.parents[1].name}-{case.name}")
def test_each_case_of_each_example_passes(case: Path) -> None:
    answer = translate(case.parents[1].name, json.loads((case / "input.json").read_text()))
    (expected,) = case.glob("expected.*")
    wanted = expected.read_text() if expected.suffix == ".txt" else json.loads(expected.read_text())
    assert answer == wanted


@pytest.mark.parametrize("folder", [folder for folder in FOLDERS if folder != "cisco_asa"])
def test_each_example_passes_as_a_developer_tests_it(folder: str, tmp_path: Path) -> None:
    results = run_tests(EXAMPLES / folder)
    assert results and all(result.passed for result in results), results
    pack_own_files(EXAMPLES / folder, tmp_path / "package.zip")
    with (tmp_path / "package.zip").open("rb") as file:
        assert check_package(file).cases


@needs_exports
@pytest.mark.parametrize("export", EXPORTS, ids=lambda path: path.stem)
def test_a_real_export_goes_through_in_and_both_outs(export: Path) -> None:
    neutral = translate("nsx_in", json.loads(export.read_text()))
    assert neutral["rules"]
    assert [rule["order"] for rule in neutral["rules"]] == list(range(1, len(neutral["rules"]) + 1))
    assert {rule["action"] for rule in neutral["rules"]} <= {"allow", "deny", "reject"}
    for line in translate("cisco_asa", neutral).splitlines():
        assert line == "!" or line.startswith(("access-list greenroom ", "clear configure access-list greenroom"))
    groups = translate("aws_sg", neutral)["Resources"]
    assert len(groups) == len(neutral["groups"])
    assert translate("nsx_in", json.loads(export.read_text())) == neutral


@needs_exports
@pytest.mark.parametrize("export", EXPORTS, ids=lambda path: path.stem)
def test_flows_get_the_verdict_that_the_exports_own_rules_give_them(export: Path) -> None:
    """Every pair of machines on some ports: NSX's rules read directly, against the flat neutral list."""
    document = json.loads(export.read_text())
    # Addresses are given to machines that have none, so that each has a place in the translation.
    machines = [vm.get("external_id") or vm["display_name"] for vm in document["virtual_machines"]]
    addresses = {vm: f"10.9.0.{number + 1}" for number, vm in enumerate(machines)}
    document["virtual_network_interface"] = [
        {"owner_vm_id": vm, "ip_address_info": [{"ip_addresses": [address]}]} for vm, address in addresses.items()
    ]
    neutral = translate("nsx_in", document)
    for source in machines:
        for destination in machines:
            for protocol, port in (("tcp", 445), ("tcp", 22), ("udp", 310), ("udp", 53)):
                expected = nsx_verdict(document, source, destination, protocol, port, addresses)
                found = neutral_verdict(neutral, addresses[source], addresses[destination], protocol, port)
                assert found == expected, (source, destination, protocol, port)


def nsx_verdict(
    document: dict[str, Any], source: str, destination: str, protocol: str, port: int, addresses: dict[str, str]
) -> str:
    """First match in the category's order; a jump goes on with category Application."""
    resources = document["domains"][0]["resources"]
    members = {g["display_name"]: {m["id"] for m in g.get("vm_members") or []} for g in resources["groups"]}
    ranges = {g["display_name"]: g.get("ips_members") or [] for g in resources["groups"]}
    services = {service["path"]: service["service_entries"] for service in document["services"]}

    def inside(names: list[str], vm: str) -> bool:
        return "ANY" in names or any(
            vm in members[name] or any(ip_address(addresses[vm]) in ip_network(net) for net in ranges[name])
            for name in names
        )

    def matches(rule: dict[str, Any]) -> bool:
        named = rule.get("services") or []
        entries = [*(rule.get("service_entries") or []), *(e for n in named if n != "ANY" for e in services[n])]
        service = "ANY" in named or any(
            entry.get("l4_protocol", "").lower() == protocol
            and any(_in_range(port, text) for text in entry.get("destination_ports") or ["0-65535"])
            for entry in entries
        )
        scope = rule.get("scope") or ["ANY"]
        applied = (
            "ANY" in scope
            or {
                "IN": lambda: inside(scope, destination),
                "OUT": lambda: inside(scope, source),
            }.get(rule["direction"], lambda: True)()
        )
        return (
            service
            and applied
            and inside(rule["source_groups"], source)
            and inside(rule["destination_groups"], destination)
        )

    order = ["Emergency", "Infrastructure", "Environment", "Application"]
    policies = sorted(resources["security_policies"], key=lambda policy: order.index(policy["category"]))
    jumped = False
    for policy in policies:
        if jumped and policy["category"] != "Application":
            continue
        for rule in policy["rules"]:
            if (jumped and policy["category"] != "Application") or not matches(rule):
                continue
            if rule["action"] == "JUMP_TO_APPLICATION":
                jumped = True
                continue
            return {"ALLOW": "allow", "DROP": "deny", "REJECT": "reject"}[rule["action"]]
    return "none"


def neutral_verdict(neutral: dict[str, Any], source: str, destination: str, protocol: str, port: int) -> str:
    def inside(members: dict[str, Any], address: str) -> bool:
        return bool(members.get("any")) or any(ip_address(address) in ip_network(net) for net in members["networks"])

    for rule in neutral["rules"]:
        service = rule["services"] is None or any(
            entry["protocol"] == protocol
            and any(low <= port <= high for low, high in entry.get("destinationPorts", [[0, 65535]]))
            for entry in rule["services"]
        )
        if service and inside(rule["sources"], source) and inside(rule["destinations"], destination):
            action: str = rule["action"]
            return action
    return "none"


def _in_range(port: int, text: str) -> bool:
    low, dash, high = text.partition("-")
    return int(low) <= port <= int(high if dash else low)


ports = st.lists(st.tuples(st.integers(0, 65_535), st.integers(0, 65_535)).map(lambda pair: tuple(sorted(pair))))


@given(ports)
def test_merged_ranges_hold_the_same_ports_in_order_and_apart(ranges: list[tuple[int, int]]) -> None:
    merged = module("nsx.services").merge(ranges) or (((0, 65_535),) if ranges else ())
    for first, second in itertools.pairwise(merged):
        assert first[1] + 1 < second[0]
    for probe in {port for pair in ranges for port in (pair[0] - 1, pair[0], pair[1], pair[1] + 1)}:
        assert any(low <= probe <= high for low, high in merged) == any(low <= probe <= high for low, high in ranges)


@given(ports, ports)
def test_ports_without_others_are_exactly_those(ranges: list[tuple[int, int]], others: list[tuple[int, int]]) -> None:
    left = module("aws_sg.writer")._ports_without(tuple(ranges), tuple(others))
    for probe in {port for pair in [*ranges, *others] for port in (pair[0] - 1, pair[0], pair[1], pair[1] + 1)}:
        wanted = any(low <= probe <= high for low, high in ranges) and not any(
            low <= probe <= high for low, high in others
        )
        assert any(low <= probe <= high for low, high in left) == wanted


def test_text_from_a_configuration_can_not_break_out_of_its_remark() -> None:
    rule = {
        "order": 1,
        "name": "x\naccess-list greenroom extended permit ip any any",
        "id": "1",
        "policy": "p\x1b[2J",
        "category": "Application",
        "action": "deny",
        "direction": "in-out",
        "ipVersion": "any",
        "logged": False,
        "sources": {"any": True},
        "destinations": {"any": True},
        "services": None,
    }
    text = translate("cisco_asa", {"format": "firewall-policy", "version": 1, "rules": [rule]})
    assert not re.search(r"^access-list greenroom extended permit", text, re.MULTILINE)
    assert "\x1b" not in text


@pytest.mark.parametrize("folder", ["nsx_in", "cisco_asa", "aws_sg"])
@pytest.mark.parametrize("document", [{}, [], {"domains": 3}, {"format": "firewall-policy", "version": 2}])
def test_another_kind_of_document_is_refused_in_words(folder: str, document: Any) -> None:
    with pytest.raises(ValueError, match=r"this is no|not known"):
        translate(folder, document)

"""Minimal exports of what used to be translated too openly, each with flows and their right verdicts.

They are given with the task and not part of this repository; without them these tests are skipped. What they show is
also in the examples' own test cases.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.firewall.oracle.flow import ICMP, ICMPV6, TCP, UDP, Flow
from tests.firewall.test_translations import Translated, on_path

REPOSITORY = Path(__file__).parents[2]
CASES = sorted(path.parent for path in (REPOSITORY.parent / "shared" / "cases" / "firewall").glob("*/flows.json"))
PROTOCOLS = {"tcp": TCP, "udp": UDP, "icmp": ICMP, "icmpv6": ICMPV6}

__all__ = ["on_path"]


@pytest.mark.skipif(not CASES, reason="no cases in ../shared/cases/firewall next to this checkout")
@pytest.mark.parametrize("case", CASES, ids=lambda path: path.name)
def test_each_flow_of_a_case_gets_its_right_verdict(case: Path) -> None:
    made = Translated(json.loads((case / "input.json").read_text()))
    for each in json.loads((case / "flows.json").read_text()):
        flow = flow_of(each, made.export)
        for name in each.get("judge", ["ASA", "SG"]):
            target = made.asa if name == "ASA" else made.ec2
            assert ("allow" if target.allows(flow) else "deny") == each["right"], (name, flow)


def flow_of(described: dict[str, Any], export: dict[str, Any]) -> Flow:
    """Return a flow whose ends are addresses, or names of machines of the export."""
    addresses = {
        card["owner_vm_id"]: card["ip_address_info"][0]["ip_addresses"][0]
        for card in export["virtual_network_interface"]
    }
    ends = [addresses.get(described[end], described[end]) for end in ("from", "to")]
    protocol, first, second = described["flow"]
    return Flow(ends[0], ends[1], PROTOCOLS[protocol], first, second)

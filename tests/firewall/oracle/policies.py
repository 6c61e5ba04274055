"""Exports to translate, made up by hypothesis, and the flows that tell their translations apart.

A little world: few machines, groups and services, so that rules often overlap. What is rare in real exports and was
once got wrong (directions, scopes, negation, jumps, both families, types and codes, fields that narrow) is frequent.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_address, ip_network
from typing import Any

from hypothesis import strategies as st

from tests.firewall.oracle.flow import ICMP, ICMPV6, TCP, UDP, Flow
from tests.firewall.oracle.nsx import ALG_PROTOCOLS, Nsx, port_range

GROUPS = "/infra/domains/default/groups"
SERVICES = "/infra/services"
MACHINES = ("web1", "web2", "db1", "pc1")
TAGS = (("tier", "web"), ("tier", "db"), ("zone", "web"), ("", "old"))
NETWORKS = ("10.0.0.0/30", "10.0.0.1", "10.0.1.0/24", "203.0.113.0/24", "203.0.113.5-203.0.113.9", "0.0.0.0/0")
NETWORKS_6 = ("2001:db8::/126", "2001:db8::1", "2001:db8:ff::/48", "::/0")
OUTSIDE = ("203.0.113.5", "198.51.100.7", "2001:db8:ff::5", "2001:db8:ee::7")
PORTS = ("22", "20-25", "443", "1024-65535", "0-65535")
UNSAYABLE: tuple[dict[str, Any], ...] = (
    {"scheduler_path": "/infra/firewall-schedulers/night"},
    {"stateful": False},
    {"connectivity_preference": "ALLOWLIST", "scope": [f"{GROUPS}/g0"]},
    {"application_connectivity_strategy": "DROP_INGRESS"},
)
NARROWING = (
    ("profiles", ["/infra/context-profiles/office365"]),
    ("a_field_of_a_later_version", "narrow"),
)

NOT_PLAIN = [*(name for each in UNSAYABLE for name in each if name != "scope"), *(name for name, _ in NARROWING)]


def machines() -> st.SearchStrategy[list[dict[str, Any]]]:
    """Machines with tags; `_addresses` goes into the network interfaces."""

    def machine(number: int) -> st.SearchStrategy[dict[str, Any]]:
        four, six = f"10.0.{number // 2}.{number % 2 + 1}", f"2001:db8::{number + 1}"
        return st.fixed_dictionaries(
            {
                "display_name": st.just(MACHINES[number]),
                "external_id": st.just(f"vm-{number}"),
                "tags": st.lists(
                    st.sampled_from(TAGS).map(lambda each: {"scope": each[0], "tag": each[1]}),
                    max_size=2,
                    unique_by=str,
                ),
                "_addresses": st.sampled_from([[four], [four], [four, six], [six], [four, f"10.0.9.{number + 1}"], []]),
            }
        )

    return st.tuples(*(machine(number) for number in range(len(MACHINES)))).map(list)


def conditions() -> st.SearchStrategy[dict[str, Any]]:
    """Conditions on the name or a tag of a machine."""
    operators = st.sampled_from(["EQUALS", "CONTAINS", "STARTSWITH", "NOTEQUALS"])
    tags = st.sampled_from(["tier|web", "tier|db", "web", "old"])
    return st.one_of(
        st.builds(
            lambda operator, value: _condition("Name", operator, value),
            operators,
            st.sampled_from(["web1", "web", "db1"]),
        ),
        st.builds(lambda value: _condition("Tag", "EQUALS", value), tags),
    )


def _condition(key: str, operator: str, value: str) -> dict[str, Any]:
    return {
        "resource_type": "Condition",
        "member_type": "VirtualMachine",
        "key": key,
        "operator": operator,
        "value": value,
    }


def terms(number: int) -> st.SearchStrategy[dict[str, Any]]:
    """Terms of a group's expression; groups before it may be named by path."""
    found: list[st.SearchStrategy[dict[str, Any]]] = [
        conditions(),
        st.lists(st.sampled_from(NETWORKS + NETWORKS_6), min_size=1, max_size=2).map(
            lambda networks: {"resource_type": "IPAddressExpression", "ip_addresses": networks}
        ),
        st.lists(conditions(), min_size=2, max_size=2).map(
            lambda two: {"resource_type": "NestedExpression", "expressions": [two[0], _conjunction("AND"), two[1]]}
        ),
    ]
    if number:
        found.append(
            st.integers(0, number - 1).map(
                lambda other: {"resource_type": "PathExpression", "paths": [f"{GROUPS}/g{other}"]}
            )
        )
    return st.one_of(found)


def _conjunction(operator: str) -> dict[str, Any]:
    return {"resource_type": "ConjunctionOperator", "conjunction_operator": operator}


def groups(number: int) -> st.SearchStrategy[dict[str, Any]]:
    """Groups by realised members or by an expression. Two of them have one display name."""
    members = st.lists(st.integers(0, len(MACHINES) - 1), min_size=1, max_size=3, unique=True)
    base = {
        "id": f"g{number}",
        "path": f"{GROUPS}/g{number}",
        "display_name": "same" if number < 2 else f"group {number}",
    }
    return st.one_of(
        members.map(
            lambda of: {
                **base,
                "vm_members": [{"id": f"vm-{each}", "display_name": MACHINES[each]} for each in of],
                "expression": None,
            }
        ),
        st.builds(
            lambda of, operator, also: {**base, "expression": [*of[:1], *_joined(operator, of[1:])], **also},
            st.lists(terms(number), min_size=1, max_size=3),
            st.sampled_from(["OR", "OR", "AND"]),
            st.sampled_from([{}, {}, {}, {}, {"vm_members": [{"id": "vm-1"}]}, {"extended_expression": [{"x": "AD"}]}]),
        ),
        st.just({**base, "ips_members": ["10.0.0.0/30", "2001:db8::1"], "group_type": ["IPAddress"]}),
    )


def _joined(operator: str, terms: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for number, term in enumerate(terms):
        yield _conjunction("OR" if number else operator)
        yield term


def entries() -> st.SearchStrategy[dict[str, Any]]:
    """Service entries of all kinds."""
    some_ports = st.lists(st.sampled_from(PORTS), min_size=1, max_size=2, unique=True)
    l4 = st.fixed_dictionaries(
        {"resource_type": st.just("L4PortSetServiceEntry"), "l4_protocol": st.sampled_from(["TCP", "UDP"])},
        optional={"destination_ports": some_ports, "source_ports": st.just(["1024-65535"])},
    )
    icmp = st.builds(
        lambda protocol, pair: {"resource_type": "ICMPTypeServiceEntry", "protocol": protocol, **pair},
        st.sampled_from(["ICMPv4", "ICMPv4", "ICMPv6"]),
        st.sampled_from(
            [
                {},
                {"icmp_type": 8},
                {"icmp_type": 3, "icmp_code": 0},
                {"icmp_type": 3},
                {"icmp_type": 128},
                {"icmp_type": 40},
            ]
        ),
    )
    number = st.sampled_from([1, 2, 6, 17, 47, 50, 58, 132]).map(
        lambda protocol: {"resource_type": "IPProtocolServiceEntry", "protocol_number": protocol}
    )
    alg = st.builds(
        lambda name, port: {"resource_type": "ALGTypeServiceEntry", "alg": name, "destination_ports": [port]},
        st.sampled_from(sorted(ALG_PROTOCOLS)),
        st.sampled_from(["21", "69", "111"]),
    )
    return st.one_of(l4, l4, l4, icmp, number, alg, st.just({"resource_type": "IGMPTypeServiceEntry"}))


def ends() -> st.SearchStrategy[list[str]]:
    """Sources or destinations: anything, groups, or addresses as they are."""
    paths = st.sampled_from([f"{GROUPS}/g{number}" for number in range(4)])
    return st.one_of(
        st.just(["ANY"]),
        st.just(["ANY"]),
        st.lists(paths, min_size=1, max_size=2, unique=True),
        st.sampled_from(NETWORKS + NETWORKS_6).map(lambda text: [text]),
    )


@st.composite
def rules(draw: st.DrawFn, number: int, category: str) -> dict[str, Any]:
    """A rule."""
    actions = ["ALLOW", "ALLOW", "DROP", "REJECT"] + (["JUMP_TO_APPLICATION"] if category == "Environment" else [])
    sources, destinations = draw(ends()), draw(ends())
    rule: dict[str, Any] = {
        "id": f"r{number}",
        "display_name": f"rule {number}",
        "rule_id": 1000 + number,
        # Now and then one number is that of two rules.
        "sequence_number": number - draw(st.sampled_from([0, 0, 0, 0, 0, 0, 0, 1])),
        "action": draw(st.sampled_from(actions)),
        "direction": draw(st.sampled_from(["IN_OUT", "IN_OUT", "IN", "OUT"])),
        "source_groups": sources,
        "destination_groups": destinations,
        "scope": draw(scopes()),
        "ip_protocol": draw(st.sampled_from(["IPV4_IPV6", "IPV4_IPV6", "IPV4", "IPV6"])),
        "disabled": draw(st.integers(0, 9)) == 0,
        "logged": draw(st.booleans()),
        **draw(
            st.one_of(
                st.just({"services": ["ANY"]}),
                st.lists(entries(), min_size=1, max_size=3).map(lambda of: {"services": [], "service_entries": of}),
                st.integers(0, 3).map(lambda of: {"services": [f"{SERVICES}/s{of}"]}),
                entries().map(lambda of: {"services": ["ANY"], "service_entries": [of]}),
            )
        ),
    }
    for end, named in (("sources", sources), ("destinations", destinations)):
        if named != ["ANY"] and draw(st.integers(0, 4)) == 0:
            rule[f"{end}_excluded"] = True
    if draw(st.integers(0, 9)) == 0:
        field, value = draw(st.sampled_from(NARROWING))
        rule[field] = value
    return rule


def _nested(path: str) -> dict[str, Any]:
    entry = {"resource_type": "NestedServiceServiceEntry", "nested_service_path": path}
    return {"path": f"{SERVICES}/s3", "id": "s3", "display_name": "nested", "service_entries": [entry]}


def scopes() -> st.SearchStrategy[list[str]]:
    """Where a rule or a policy is applied."""
    paths = st.sampled_from([f"{GROUPS}/g{number}" for number in range(4)])
    return st.one_of(st.just(["ANY"]), st.just(["ANY"]), st.just(["ANY"]), paths.map(lambda path: [path]))


@st.composite
def exports(draw: st.DrawFn) -> dict[str, Any]:
    """An export of the policy API."""
    vms = draw(machines())
    cards = [
        {"owner_vm_id": vm["external_id"], "ip_address_info": [{"ip_addresses": [address]}]}
        for vm in vms
        for address in vm["_addresses"]
    ]
    policies = []
    numbers = iter(range(1, 100))
    for category in draw(
        st.lists(
            st.sampled_from(["Emergency", "Infrastructure", "Environment", "Application", "Application"]),
            min_size=1,
            max_size=3,
        )
    ):
        number = next(numbers)
        policy: dict[str, Any] = {
            "id": f"p{number}",
            "display_name": f"policy {number}",
            "category": category,
            "sequence_number": number,
            "scope": draw(scopes()),
            "rules": [draw(rules(next(numbers), category)) for _ in range(draw(st.integers(1, 4)))],
        }
        if draw(st.integers(0, 14)) == 0:
            policy.update(draw(st.sampled_from(UNSAYABLE)))
        policies.append(policy)
    last: dict[str, Any] = {
        "id": "default",
        "display_name": "default",
        "rule_id": 2,
        "sequence_number": 99,
        "direction": "IN_OUT",
        "source_groups": ["ANY"],
        "destination_groups": ["ANY"],
        "scope": ["ANY"],
        "services": ["ANY"],
        "action": draw(st.sampled_from(["DROP", "DROP", "ALLOW"])),
    }
    policies.append(
        {
            "id": "last",
            "display_name": "last",
            "category": "Application",
            "sequence_number": 999,
            "scope": ["ANY"],
            "rules": [last],
        }
    )
    return {
        "services": [
            {
                "path": f"{SERVICES}/s{number}",
                "id": f"s{number}",
                "display_name": f"service {number}",
                "service_entries": draw(st.lists(entries(), min_size=1, max_size=2)),
            }
            for number in range(3)
        ]
        + [_nested(f"{SERVICES}/s0")],
        "virtual_machines": [{key: value for key, value in vm.items() if key != "_addresses"} for vm in vms],
        "virtual_network_interface": cards,
        "segments": [],
        "domains": [
            {
                "display_name": "default",
                "resources": {"groups": [draw(groups(number)) for number in range(4)], "security_policies": policies},
            }
        ],
    }


def plain(export: dict[str, Any]) -> dict[str, Any]:
    """The same export without anything that a list of addresses, protocols and ports can't say: its translation to an
    access list has no reason to warn, and none to differ."""
    placed = {card["owner_vm_id"] for card in export["virtual_network_interface"]}
    for number, vm in enumerate(export["virtual_machines"]):
        if vm["external_id"] not in placed:
            info = [{"ip_addresses": [f"10.0.8.{number + 1}"]}]
            export["virtual_network_interface"].append({"owner_vm_id": vm["external_id"], "ip_address_info": info})
    resources = export["domains"][0]["resources"]
    _plain_groups(resources["groups"])
    machines_only = {
        group["path"] for group in resources["groups"] if "IPAddress" not in str(group) and "PathExpr" not in str(group)
    }
    numbers = itertools.count(1)
    for policy in resources["security_policies"]:
        for thing in (policy, *policy["rules"]):
            for field in NOT_PLAIN:
                thing.pop(field, None)
            thing["sequence_number"] = next(numbers)
            thing["scope"] = thing["scope"] if set(thing["scope"]) <= machines_only else ["ANY"]
        for rule in policy["rules"]:
            if rule.get("service_entries"):
                rule["services"] = []
            rule["action"] = "DROP" if rule["action"] == "REJECT" else rule["action"]
    for entry in _entries_of(export):
        if entry["resource_type"] == "ALGTypeServiceEntry":
            entry.update({"resource_type": "L4PortSetServiceEntry", "l4_protocol": "TCP", "destination_ports": ["21"]})
            del entry["alg"]
    return export


def _plain_groups(groups: Sequence[dict[str, Any]]) -> None:
    for group in groups:
        group.pop("extended_expression", None)
        if group.get("expression"):
            group.pop("vm_members", None)


def _entries_of(export: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for service in export["services"]:
        yield from service["service_entries"]
    for domain in export["domains"]:
        for policy in domain["resources"]["security_policies"]:
            for rule in policy["rules"]:
                yield from rule.get("service_entries") or []


def flows(export: Mapping[str, Any], *, at_most: int = 120, seed: int = 0) -> list[Flow]:
    """Flows with a machine at one end at least, at and next to every border that the export draws."""
    nsx = Nsx(export)
    mine = sorted({str(address) for machine in nsx.machines.values() for address in machine.addresses})
    others = sorted({*OUTSIDE, *_borders(export)} - set(mine))
    pairs = [
        (one, other)
        for one, other in [
            *((a, b) for a in mine for b in mine + others if a != b),
            *((b, a) for a in mine for b in others),
        ]
        if ip_address(one).version == ip_address(other).version
    ]
    found = [
        Flow(source, destination, protocol, first, second)
        for source, destination in pairs
        for protocol, first, second in packets(export)
        if protocol != (ICMPV6 if ip_address(source).version == 4 else ICMP)
    ]
    return found if len(found) <= at_most else random.Random(seed).sample(found, at_most)  # noqa: S311


def _borders(export: Mapping[str, Any]) -> Iterator[str]:
    texts = [
        text
        for domain in export["domains"]
        for group in domain["resources"]["groups"]
        for term in group.get("expression") or []
        for text in term.get("ip_addresses", [])
    ]
    for text in texts:
        if "-" in text:
            low, high = (ip_address(part) for part in text.split("-"))
        else:
            network = ip_network(text, strict=False)
            low, high = network[0], network[-1]
        for number in (int(low) - 1, int(low), int(high), int(high) + 1):
            if 0x01000000 <= number < 0xE0000000 or number >= 2**64:
                yield str(ip_address(number)) if number < 2**128 else str(high)


def packets(export: Mapping[str, Any]) -> Sequence[tuple[int, int, int]]:
    """Protocols with ports, or types and codes, that the export's service entries tell apart."""
    found = {
        *((TCP, 40_000, 22), (TCP, 40_000, 8_080), (TCP, 1_000, 22), (UDP, 40_000, 53), (47, 0, 0), (2, 0, 0)),
        *((ICMP, 8, 0), (ICMP, 3, 0), (ICMP, 3, 3), (ICMP, 40, 0), (ICMPV6, 128, 0), (ICMPV6, 1, 0)),
    }
    for entry in _entries_of(export):
        protocol = {"TCP": TCP, "UDP": UDP}.get(entry.get("l4_protocol", "")) or ALG_PROTOCOLS.get(entry.get("alg", ""))
        if protocol is None:
            found.add((entry.get("protocol_number", 50), 0, 0) if "protocol_number" in entry else (50, 0, 0))
            continue
        for text in entry.get("destination_ports") or []:
            low, high = port_range(text)
            for port in (low - 1, low, high, high + 1):
                if 0 <= port <= 65_535:
                    found |= {(protocol, 40_000, port), (protocol, 1_000, port)}
    return sorted(found)

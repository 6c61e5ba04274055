"""What NSX-T's distributed firewall does with a flow, read from an export of the policy API.

Written from VMware's documents and independent of `examples/nsx_in`, which it judges:

* NSX-T Data Center REST API (https://developer.broadcom.com/xapis/nsx-t-data-center-rest-api/latest): Rule,
  SecurityPolicy, Group, Condition, ServiceEntry.
* NSX Administration Guide, "Distributed Firewall": the categories are evaluated from left to right (Ethernet,
  Emergency, Infrastructure, Environment, Application); within one, policies and rules by sequence number; the first
  match decides.
* Every vNIC enforces for itself. A packet between two machines is seen twice: leaving (OUT) the source's vNIC, and
  entering (IN) the destination's. Both have to let it pass. An address that is no machine's has no vNIC.
* "Applied To" says at which vNICs a rule is enforced. A policy's takes precedence over that of its rules. A group of
  addresses only is not effective there.
* "Jump to Application" lets an Environment rule pass a packet on to the Application category.

What a document leaves open, or what depends on something that an address and a port can't say (an L7 profile, a
schedule), *may* match. A verdict therefore has two ends: `surely`, allowed however that turns out, and `possibly`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from ipaddress import ip_address, ip_network
from typing import Any

from tests.firewall.oracle.flow import ICMP, ICMPV6, TCP, UDP, Address, Flow

CATEGORIES = ("Emergency", "Infrastructure", "Environment", "Application")
ALG_PROTOCOLS = {
    "FTP": TCP,
    "MS_RPC_TCP": TCP,
    "MS_RPC_UDP": UDP,
    "NBDG_BROADCAST": UDP,
    "NBNS_BROADCAST": UDP,
    "ORACLE_TNS": TCP,
    "SUN_RPC_TCP": TCP,
    "SUN_RPC_UDP": UDP,
    "TFTP": UDP,
}
"""ALGTypeServiceEntry of the REST API; the protocols are those of the services of these names that NSX ships."""

DESCRIBING = frozenset(
    {
        *("id", "display_name", "description", "path", "relative_path", "parent_path", "remote_path", "unique_id"),
        *("realization_id", "owner_id", "origin_site_id", "marked_for_delete", "overridden", "tags", "resource_type"),
        *("notes", "tag", "logged", "rule_id", "is_default", "internal_sequence_number", "comments", "locked"),
        *("lock_modified_by", "lock_modified_time", "rule_count", "default_rule_id", "logging_enabled"),
    }
)
"""Fields that describe an object and match nothing (ManagedResource, PolicyResource and Rule of the REST API)."""

RULE_FIELDS = DESCRIBING | {
    *("action", "direction", "disabled", "ip_protocol", "source_groups", "destination_groups", "sources_excluded"),
    *("destinations_excluded", "services", "service_entries", "scope", "sequence_number"),
}
CLOSING = (
    "application_connectivity_strategy",
    "connectivity_preference",
    "connectivity_strategy",
    "default_rule",
)
"""Fields by which a policy may end with a rule of its own (SecurityPolicy of the REST API)."""
POLICY_FIELDS = DESCRIBING | {*CLOSING, "category", "scope", "sequence_number", "rules", "tcp_strict", "stateful"}
GROUP_FIELDS = DESCRIBING | {"vm_members", "ips_members", "expression", "group_type", "ip_group_members"}
TERM_FIELDS = DESCRIBING | {
    *("key", "member_type", "operator", "value", "ip_addresses", "paths", "external_ids", "expressions"),
}
ENTRY_FIELDS = DESCRIBING | {
    *("l4_protocol", "source_ports", "destination_ports", "protocol", "icmp_type", "icmp_code", "protocol_number"),
    *("alg", "nested_service_path"),
}
NEUTRAL: tuple[Any, ...] = ("ANY", ["ANY"], [], {}, None, "", False)
"""Values with which a field says nothing."""


class Match(Enum):
    """Whether something applies to a flow."""

    NO = 0
    MAYBE = 1
    YES = 2

    def __invert__(self) -> Match:
        return Match(2 - self.value)


def every(parts: Iterable[Match]) -> Match:
    """All of the parts."""
    return Match(min((part.value for part in parts), default=2))


def some(parts: Iterable[Match]) -> Match:
    """Any of the parts."""
    return Match(max((part.value for part in parts), default=0))


def exactly(value: bool) -> Match:
    """A match that is known."""
    return Match.YES if value else Match.NO


@dataclass(frozen=True)
class Verdict:
    """Whether a flow is allowed: in every reading of what is open, and in at least one."""

    surely: bool
    possibly: bool


@dataclass(frozen=True)
class Machine:
    """A virtual machine with the addresses of all its vNICs."""

    id: str
    name: str
    tags: tuple[tuple[str, str], ...]
    addresses: frozenset[Address]


class Nsx:
    """An export, as it is enforced."""

    def __init__(self, export: Mapping[str, Any]) -> None:
        self.export = export

    @cached_property
    def machines(self) -> dict[str, Machine]:
        """The machines by id."""
        addresses: dict[str, set[Address]] = {}
        for card in self.export.get("virtual_network_interface") or []:
            for info in card.get("ip_address_info") or []:
                for text in info.get("ip_addresses") or []:
                    addresses.setdefault(card["owner_vm_id"], set()).add(ip_address(text.split("/")[0]))
        return {
            vm["external_id"]: Machine(
                vm["external_id"],
                vm["display_name"],
                tuple((tag.get("scope") or "", tag.get("tag") or "") for tag in vm.get("tags") or []),
                frozenset(addresses.get(vm["external_id"], ())),
            )
            for vm in self.export.get("virtual_machines") or []
        }

    @cached_property
    def _domains(self) -> list[Mapping[str, Any]]:
        return [domain["resources"] for domain in self.export["domains"]]

    @cached_property
    def groups(self) -> dict[str, list[Mapping[str, Any]]]:
        """The groups by path; more than one where a path is taken twice."""
        return by_path(group for domain in self._domains for group in domain.get("groups") or [])

    @cached_property
    def services(self) -> dict[str, list[Mapping[str, Any]]]:
        """The services by path; more than one where a path is taken twice."""
        return by_path(self.export.get("services") or [])

    @cached_property
    def policies(self) -> dict[str, list[list[Mapping[str, Any]]]]:
        """The policies of each category in the order of evaluation, those that are tied together."""
        found = [policy for domain in self._domains for policy in domain.get("security_policies") or []]
        return {
            category: in_order([policy for policy in found if policy.get("category", "Application") == category])
            for category in CATEGORIES
        }

    @cached_property
    def strange_policies(self) -> list[Mapping[str, Any]]:
        """Policies that are enforced at another place (a gateway), on frames, or in a category unknown here."""
        apart = [policy for domain in self._domains for policy in domain.get("gateway_policies") or []]
        policies = [policy for domain in self._domains for policy in domain.get("security_policies") or []]
        return apart + [policy for policy in policies if policy.get("category", "Application") not in CATEGORIES]

    def owners(self, address: Address) -> list[Machine | None]:
        """The machines with an address; None alone if it is no machine's."""
        return [each for each in self.machines.values() if address in each.addresses] or [None]

    def verdict(self, flow: Flow) -> Verdict:
        """What becomes of a flow on its way out of one vNIC and into another."""
        verdicts = [
            self._between(flow, source, destination)
            for source in self.owners(flow.source_address)
            for destination in self.owners(flow.destination_address)
        ]
        stopped = self._may_be_stopped_elsewhere(flow)
        return Verdict(
            all(each.surely for each in verdicts) and not stopped,
            any(each.possibly for each in verdicts),
        )

    def _between(self, flow: Flow, source: Machine | None, destination: Machine | None) -> Verdict:
        outcomes = [
            self._at(flow, machine, direction)
            for machine, direction in ((source, "OUT"), (destination, "IN"))
            if machine is not None
        ]
        return Verdict(
            all(each == {True} for each in outcomes),
            all(True in each for each in outcomes),
        )

    def _may_be_stopped_elsewhere(self, flow: Flow) -> bool:
        """Whether a rule that is no vNIC's may stop a flow; where it is enforced is not looked at."""
        return any(
            rule["action"] != "ALLOW"
            and not rule.get("disabled")
            and self._end(rule, "source", flow.source_address) is not Match.NO
            and self._end(rule, "destination", flow.destination_address) is not Match.NO
            and self._services(rule, flow) is not Match.NO
            for policy in self.strange_policies
            for rule in policy.get("rules") or []
        )

    def _at(self, flow: Flow, machine: Machine, direction: str, first_category: int = 0) -> set[bool]:
        """What may become of a flow at a machine's vNIC."""
        outcomes: set[bool] = set()
        for category in CATEGORIES[first_category:]:
            for tied in self.policies[category]:
                results = [self._in_policy(policy, flow, machine, direction) for policy in tied]
                outcomes |= {outcome for found, _ in results for outcome in found}
                if any(ends for _, ends in results):
                    return outcomes
        return outcomes | {True, False}  # the default rule is not in the export

    def _in_policy(
        self, policy: Mapping[str, Any], flow: Flow, machine: Machine, direction: str
    ) -> tuple[set[bool], bool]:
        """What may become of a flow in one policy, and whether it surely ends there."""
        outcomes: set[bool] = set()
        for tied in in_order(policy.get("rules") or []):
            matches = {id(rule): self._rule(policy, rule, flow, machine, direction) for rule in tied}
            for rule in tied:
                if matches[id(rule)] is Match.NO:
                    continue
                if rule["action"] == "JUMP_TO_APPLICATION":
                    outcomes |= self._at(flow, machine, direction, CATEGORIES.index("Application"))
                else:
                    outcomes.add(rule["action"] == "ALLOW")
            if Match.YES in matches.values():
                return outcomes, True
        closes = self._closes(policy, machine, direction)
        return (outcomes if closes is Match.NO else outcomes | {False}), closes is Match.YES

    def _closes(self, policy: Mapping[str, Any], machine: Machine, direction: str) -> Match:
        """Whether a policy ends with a deny of its own at a vNIC."""
        one_sided = {"IN": "DROP_EGRESS", "OUT": "DROP_INGRESS"}[direction]
        values = {str(policy.get(field)) for field in CLOSING if policy.get(field) not in (*NEUTRAL, "NONE", one_sided)}
        if not values:
            return Match.NO
        known = values <= {"DROP_EGRESS", "DROP_INGRESS", "ALLOWLIST"} and not policy.get("scheduler_path")
        return every((self._scope(policy, {}, machine), Match.YES if known else Match.MAYBE))

    def _rule(
        self, policy: Mapping[str, Any], rule: Mapping[str, Any], flow: Flow, machine: Machine, direction: str
    ) -> Match:
        if rule.get("disabled"):
            return Match.NO
        version = {4: "IPV4", 6: "IPV6"}[flow.source_address.version]
        return every(
            (
                exactly(rule.get("direction", "IN_OUT") in (direction, "IN_OUT")),
                exactly(rule.get("ip_protocol") in (None, "IPV4_IPV6", version)),
                self._scope(policy, rule, machine),
                self._end(rule, "source", flow.source_address),
                self._end(rule, "destination", flow.destination_address),
                self._services(rule, flow),
                understood(rule, RULE_FIELDS),
                understood(policy, POLICY_FIELDS),
                # Without state the answers need a rule of their own, so that a connection may fail that begins well.
                Match.MAYBE if policy.get("stateful") is False else Match.YES,
            )
        )

    def _scope(self, policy: Mapping[str, Any], rule: Mapping[str, Any], machine: Machine) -> Match:
        for scope in (policy.get("scope"), rule.get("scope")):
            if scope and scope != ["ANY"]:
                return some(self._applied_to(path, machine) for path in scope)
        return Match.YES

    def _applied_to(self, path: str, machine: Machine) -> Match:
        if path not in self.groups:
            return Match.MAYBE
        as_machine = self._in_group(path, None, machine)
        if as_machine is not Match.NO:
            return as_machine
        by_address = some(self._in_group(path, address, None) for address in machine.addresses)
        return Match.NO if by_address is Match.NO else Match.MAYBE

    def _end(self, rule: Mapping[str, Any], end: str, address: Address) -> Match:
        named = rule.get(f"{end}_groups") or ["ANY"]
        if "ANY" in named:
            return Match.YES
        found = some(self._named(path, address) for path in named)
        return ~found if rule.get(f"{end}s_excluded") else found

    def _named(self, path: str, address: Address) -> Match:
        if path in self.groups:
            return some(self._in_group(path, address, owner) for owner in self.owners(address))
        return in_text(path, address)

    def _in_group(
        self, path: str, address: Address | None, machine: Machine | None, above: tuple[str, ...] = ()
    ) -> Match:
        if path in above:
            return Match.NO
        if len(self.groups.get(path, ())) != 1:
            return Match.MAYBE
        (group,) = self.groups[path]
        expression = group.get("expression")

        def expressed(of_address: Address | None, of_machine: Machine | None) -> Match:
            return self._expression(expression, of_address, of_machine, (*above, path)) if expression else Match.NO

        readings = [expressed(address, machine)] if expression else []
        if "vm_members" in group or "ips_members" in group:
            readings.append(some(self._realised(group, address, machine, expressed)))
        # What is realised and what the expression says should be the same; where it is not, either may be right.
        members = agreed(readings) if readings else Match.NO
        return every((members, understood(group, GROUP_FIELDS)))

    def _realised(
        self,
        group: Mapping[str, Any],
        address: Address | None,
        machine: Machine | None,
        expressed: Callable[[Address | None, Machine | None], Match],
    ) -> Iterator[Match]:
        """Membership by what NSX had realised of a group; where it lists no machines, or no addresses, by its
        expression."""
        if "vm_members" in group:
            yield exactly(machine is not None and machine.id in {vm["id"] for vm in group["vm_members"] or []})
        else:
            yield expressed(None, machine)
        if "ips_members" in group:
            yield some(in_text(text, address) for text in group["ips_members"] or [] if address is not None)
        else:
            yield expressed(address, None)

    def _expression(
        self,
        expression: Sequence[Mapping[str, Any]],
        address: Address | None,
        machine: Machine | None,
        above: tuple[str, ...],
    ) -> Match:
        found = [self._term(term, address, machine, above) for term in expression[::2]]
        operators = [each["conjunction_operator"] for each in expression[1::2]]
        from_left = found[0]
        products = [[found[0]]]
        for operator, term in zip(operators, found[1:], strict=True):
            from_left = (every if operator == "AND" else some)((from_left, term))
            if operator == "AND":
                products[-1].append(term)
            else:
                products.append([term])
        # Whether AND binds before OR, no document says.
        return agreed([from_left, some(every(product) for product in products)])

    def _term(
        self, term: Mapping[str, Any], address: Address | None, machine: Machine | None, above: tuple[str, ...]
    ) -> Match:
        kind = term["resource_type"]
        if understood(term, TERM_FIELDS) is not Match.YES:
            return Match.MAYBE
        if kind == "NestedExpression":
            return self._expression(term["expressions"], address, machine, above)
        if kind == "IPAddressExpression":
            return some(in_text(text, address) for text in term["ip_addresses"]) if address else Match.NO
        if kind == "PathExpression":
            return some(self._in_group(path, address, machine, above) for path in term["paths"])
        if kind == "ExternalIDExpression" and term.get("member_type") == "VirtualMachine":
            return exactly(machine is not None and machine.id in term["external_ids"])
        if kind == "Condition" and term["member_type"] == "VirtualMachine":
            return condition(term, machine)
        return Match.MAYBE

    def _services(self, rule: Mapping[str, Any], flow: Flow) -> Match:
        named, entries = rule.get("services") or [], rule.get("service_entries") or []
        if (not named and not entries) or ("ANY" in named and not entries):
            return Match.YES
        found = some(
            [
                *(self._service(path, flow) for path in named if path != "ANY"),
                *(self._entry(entry, flow) for entry in entries),
            ]
        )
        # Terraform's provider writes ANY next to the entries that are meant.
        return some((found, Match.MAYBE)) if "ANY" in named else found

    def _service(self, path: str, flow: Flow, above: tuple[str, ...] = ()) -> Match:
        if len(self.services.get(path, ())) != 1 or path in above:
            return Match.MAYBE
        return some(
            self._service(entry["nested_service_path"], flow, (*above, path))
            if entry["resource_type"] == "NestedServiceServiceEntry"
            else self._entry(entry, flow)
            for entry in self.services[path][0]["service_entries"]
        )

    def _entry(self, entry: Mapping[str, Any], flow: Flow) -> Match:
        return every((entry_matches(entry, flow), understood(entry, ENTRY_FIELDS)))


def agreed(readings: Sequence[Match]) -> Match:
    """What all readings of the same thing say, or MAYBE."""
    return readings[0] if len(set(readings)) == 1 else Match.MAYBE


def by_path(objects: Iterable[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """The objects with each path."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for each in objects:
        found.setdefault(each["path"], []).append(each)
    return found


def in_order(objects: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """The objects by sequence number. The order of those with one number "is not deterministic" (REST API): they are
    together. Where no object has a number, the order is that of the export; among others, none is 0."""
    if not any(each.get("sequence_number") for each in objects):
        return [[each] for each in objects]
    numbers = sorted({each.get("sequence_number") or 0 for each in objects})
    return [[each for each in objects if (each.get("sequence_number") or 0) == number] for number in numbers]


def understood(thing: Mapping[str, Any], fields: frozenset[str] | set[str]) -> Match:
    """MAYBE where a field is set that this reading does not know: it may narrow what the object matches."""
    unknown = [
        key for key, value in thing.items() if key not in fields and not key.startswith("_") and value not in NEUTRAL
    ]
    return Match.MAYBE if unknown else Match.YES


def in_text(text: str, address: Address) -> Match:
    """Whether an address is in a text that is an address, a network or a range; MAYBE if it is none of them."""
    try:
        if "-" in text:
            low, high = (ip_address(part.strip()) for part in text.split("-"))
            same = low.version == address.version
            return exactly(same and int(low) <= int(address) <= int(high))
        return exactly(address in ip_network(text, strict=False))
    except ValueError:
        return Match.MAYBE


def condition(term: Mapping[str, Any], machine: Machine | None) -> Match:
    """Whether a machine meets a Condition on its name or its tags, whatever their case (Condition of the REST API)."""
    if machine is None:
        return Match.NO
    compare = {
        "EQUALS": str.__eq__,
        "CONTAINS": str.__contains__,
        "STARTSWITH": str.startswith,
        "ENDSWITH": str.endswith,
        "NOTEQUALS": str.__eq__,
    }.get(term["operator"])
    if compare is None:
        return Match.MAYBE
    wanted = term["value"].casefold()
    if term["key"] == "Name":
        found = compare(machine.name.casefold(), wanted)
    elif term["key"] == "Tag":
        scope, _, tag = wanted.rpartition("|")
        found = any(compare(theirs.casefold(), tag) and scope in ("", of.casefold()) for of, theirs in machine.tags)
    else:
        return Match.MAYBE
    return exactly(not found if term["operator"] == "NOTEQUALS" else bool(found))


def entry_matches(entry: Mapping[str, Any], flow: Flow) -> Match:
    """Whether a service entry matches a flow's protocol, ports, type and code."""
    kind = entry["resource_type"]
    if kind == "L4PortSetServiceEntry":
        right = flow.protocol == {"TCP": TCP, "UDP": UDP}[entry["l4_protocol"]]
        return exactly(right and ports(entry, flow))
    if kind == "ALGTypeServiceEntry":
        return exactly(flow.protocol == ALG_PROTOCOLS[entry["alg"]] and ports(entry, flow))
    if kind == "ICMPTypeServiceEntry":
        number, version = {"ICMPv4": (ICMP, 4), "ICMPv6": (ICMPV6, 6)}[entry["protocol"]]
        right = flow.protocol == number and flow.source_address.version == version
        wanted = (entry.get("icmp_type"), entry.get("icmp_code"))
        pairs = zip(wanted, (flow.first, flow.second), strict=True)
        return exactly(right and all(want in (None, have) for want, have in pairs))
    if kind == "IPProtocolServiceEntry":
        return exactly(flow.protocol == entry["protocol_number"])
    if kind == "IGMPTypeServiceEntry":
        return exactly(flow.protocol == 2)
    return Match.MAYBE


def ports(entry: Mapping[str, Any], flow: Flow) -> bool:
    """Whether both ports are among those of an entry, none of which means all."""
    return all(
        not entry.get(field) or any(low <= port <= high for low, high in map(port_range, entry[field]))
        for field, port in (("source_ports", flow.first), ("destination_ports", flow.second))
    )


def port_range(text: str) -> tuple[int, int]:
    """Both ends of `22` or `1-65535`."""
    low, _, high = text.partition("-")
    return int(low), int(high or low)

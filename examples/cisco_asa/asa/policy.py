"""The neutral firewall policy (`../NEUTRAL.md`) as an `out` algorithm reads it: rules as boxes of traffic.

The examples are packages of their own, so this file is in each `out` algorithm, with the same text.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from typing import Any

from .ranges import EVERY_ADDRESS, FAMILIES, Ranges, intersect, parse_addresses, subtract, union

VERSION = 2

EVERY_PROTOCOL: Ranges = ((0, 255),)
EVERY_PORT: Ranges = ((0, 65_535),)
"""Of ports, and of anything that has none. ICMP types and codes are 0 to 255."""

PROTOCOLS = {"icmp": 1, "igmp": 2, "tcp": 6, "udp": 17, "icmpv6": 58}
"""https://www.iana.org/assignments/protocol-numbers"""

RULE_FIELDS = {
    *("order", "name", "id", "policy", "category", "action", "direction", "ipVersion", "appliedTo", "logged"),
    *("sources", "destinations", "services"),
}
"""A rule that says more than this is refused: what is not read could narrow it."""

SERVICE_FIELDS = {"protocol", "destinationPorts", "sourcePorts", "icmpType", "icmpCode"}

ACTIONS = ("allow", "deny", "reject")
DIRECTIONS = ("in", "out", "in-out")

TCP, UDP, ICMP, ICMPV6 = 6, 17, 1, 58
WITH_PORTS = (TCP, UDP)
WITH_TYPES = (ICMP, ICMPV6)


@dataclass(frozen=True)
class Box:
    """Traffic: any of the sources to any of the destinations, by any of the protocols, and so on.

    `first` holds destination ports or ICMP types, `second` source ports or ICMP codes.
    """

    sources: Ranges
    destinations: Ranges
    protocols: Ranges = EVERY_PROTOCOL
    first: Ranges = EVERY_PORT
    second: Ranges = EVERY_PORT

    @property
    def service(self) -> tuple[Ranges, Ranges, Ranges]:
        """Everything but the addresses."""
        return self.protocols, self.first, self.second

    @property
    def protocol(self) -> int | None:
        """The one protocol of the box, or None where it holds several."""
        ((low, high), *more) = self.protocols
        return low if low == high and not more else None

    def intersect(self, other: Box) -> Box | None:
        """Return the traffic that is in both, or None."""
        parts = []
        for name in DIMENSIONS:
            both = intersect(getattr(self, name), getattr(other, name))
            if not both:
                return None
            parts.append(both)
        return Box(*parts)

    def subtract(self, other: Box) -> list[Box]:
        """Return the traffic that is not in the other box, as boxes apart from each other."""
        met = self.intersect(other)
        if met is None:
            return [self]
        left, rest = [], self
        for name in DIMENSIONS:
            outside = subtract(getattr(rest, name), getattr(other, name))
            if outside:
                left.append(replace(rest, **{name: outside}))
            rest = replace(rest, **{name: getattr(met, name)})
        return left


DIMENSIONS = tuple(each.name for each in fields(Box))


@dataclass(frozen=True)
class Side:
    """One side of a rule: addresses, and machines whose address is not known, by id."""

    addresses: Ranges
    unresolved: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Rule:
    """One rule. `applied_to` is None where it holds at the interfaces of all machines."""

    order: int
    name: str
    rule_id: str
    policy: str
    category: str
    action: str
    direction: str
    families: tuple[int, ...]
    logged: bool
    sources: Side
    destinations: Side
    services: tuple[tuple[Ranges, Ranges, Ranges], ...]
    applied_to: frozenset[str] | None

    @property
    def allows(self) -> bool:
        """Whether it lets traffic through."""
        return self.action == "allow"

    @property
    def title(self) -> str:
        """The rule as warnings and comments name it."""
        return f"rule {self.order} ({self.name})"

    def boxes(self, sources: Ranges, destinations: Ranges) -> Iterator[Box]:
        """The traffic of the rule between some addresses, by family and service."""
        for family in self.families:
            here = intersect(sources, FAMILIES[family]), intersect(destinations, FAMILIES[family])
            if not all(here):
                continue
            for protocols, first, second in self.services:
                other = {4: ICMPV6, 6: ICMP}[family]
                if protocols != ((other, other),):
                    yield Box(*here, protocols, first, second)


@dataclass(frozen=True)
class Machine:
    """A machine at whose interfaces the source's rules are enforced."""

    name: str
    addresses: Ranges


@dataclass
class Policy:
    """A neutral policy."""

    source: str
    machines: dict[str, Machine]
    groups: dict[str, frozenset[str]]
    group_addresses: dict[str, Ranges]
    rules: list[Rule]
    warnings: list[dict[str, Any]] = field(default_factory=list)

    @property
    def known(self) -> Ranges:
        """Every address that is known to be a machine's."""
        return union(*(machine.addresses for machine in self.machines.values()))

    @property
    def without_address(self) -> list[str]:
        """The names of the machines whose address is not known."""
        return sorted(machine.name for machine in self.machines.values() if not machine.addresses)

    def addresses(self, side: Side, *, widest: bool) -> Ranges:
        """Return the addresses of a side: of machines without an address none, or any that it might be."""
        if widest and side.unresolved:
            return union(side.addresses, subtract(EVERY_ADDRESS, self.known))
        return side.addresses

    def applied_to(self, rule: Rule, *, widest: bool) -> Ranges:
        """Return the addresses of the machines that a rule is applied to; see `addresses`."""
        machines = frozenset(self.machines) if rule.applied_to is None else rule.applied_to
        known = union(*(self.machines[each].addresses for each in machines))
        without = frozenset(each for each in machines if not self.machines[each].addresses)
        return self.addresses(Side(known, without), widest=widest)

    def warn(self, message: str, rule: Rule | None = None, *, effect: str = "", field_name: str = "") -> None:
        """Add a warning, once."""
        warning = {"message": message}
        if rule is not None:
            warning = {"rule": rule.rule_id, "name": rule.name, **warning}
        for key, value in (("effect", effect), ("field", field_name)):
            if value:
                warning[key] = value
        if warning not in self.warnings:
            self.warnings.append(warning)


def read_policy(document: Any) -> Policy:
    """Return the policy of a document. Raises ValueError, with words, if it is not a neutral policy."""
    if not isinstance(document, dict) or document.get("format") != "firewall-policy":
        raise ValueError("this is not a neutral firewall policy: its format is not 'firewall-policy'")
    if document.get("version") != VERSION:
        raise ValueError(f"version {document.get('version')!r} of the neutral policy is not known; {VERSION} is")
    if not isinstance(document.get("rules"), list) or not isinstance(document.get("machines"), dict):
        raise ValueError("this is not a neutral firewall policy: it has no list 'rules' or no object 'machines'")
    machines = {
        identity: Machine(str(machine.get("name", identity)), _addresses(machine))
        for identity, machine in document["machines"].items()
    }
    groups = document.get("groups", {})
    policy = Policy(
        str(document.get("source", "unknown")),
        machines,
        {name: frozenset(members.get("machines", [])) & frozenset(machines) for name, members in groups.items()},
        {name: _addresses(members) for name, members in groups.items()},
        [],
        list(document.get("warnings", [])),
    )
    for rule in document["rules"]:
        policy.rules.append(_rule(rule, machines))
    return policy


def _rule(rule: dict[str, Any], machines: dict[str, Machine]) -> Rule:
    parts = [(rule, RULE_FIELDS), (rule.get("appliedTo", {}), {"any", "machines"})]
    parts += [(rule[side], {"any", "networks", "unresolved"}) for side in ("sources", "destinations")]
    parts += [(service, SERVICE_FIELDS) for service in rule["services"] or []]
    unknown = sorted({name for part, known in parts for name in part.keys() - known})
    if unknown or rule["action"] not in ACTIONS or rule.get("direction", "in-out") not in DIRECTIONS:
        what = ", ".join(unknown) or f"{rule['action']} {rule.get('direction')}"
        raise ValueError(f"rule {rule.get('order')} of the policy says something that is not known: {what}")
    applied = rule.get("appliedTo", {"any": True})
    return Rule(
        order=rule["order"],
        name=rule["name"],
        rule_id=str(rule.get("id", "")),
        policy=rule.get("policy", ""),
        category=rule.get("category", ""),
        action=rule["action"],
        direction=rule.get("direction", "in-out"),
        families={"4": (4,), "6": (6,), "any": (4, 6)}[rule.get("ipVersion", "any")],
        logged=bool(rule.get("logged")),
        sources=_side(rule["sources"], machines),
        destinations=_side(rule["destinations"], machines),
        services=tuple(_services(rule["services"])),
        applied_to=None if applied.get("any") else frozenset(applied["machines"]) & frozenset(machines),
    )


def _side(members: dict[str, Any], machines: dict[str, Machine]) -> Side:
    if members.get("any"):
        return Side(EVERY_ADDRESS, frozenset(each for each, machine in machines.items() if not machine.addresses))
    return Side(_addresses(members), frozenset(members.get("unresolved", [])))


def _addresses(members: dict[str, Any]) -> Ranges:
    if members.get("any"):
        return EVERY_ADDRESS
    return union(*(parse_addresses(str(text)) for text in members.get("networks", [])))


def _services(services: list[dict[str, Any]] | None) -> Iterator[tuple[Ranges, Ranges, Ranges]]:
    for service in [None] if services is None else services:
        if service is None:
            yield EVERY_PROTOCOL, EVERY_PORT, EVERY_PORT
            continue
        name = str(service["protocol"])
        number = _within(PROTOCOLS[name] if name in PROTOCOLS else int(name), 255)
        if number in WITH_TYPES:
            first, second = _one(service.get("icmpType")), _one(service.get("icmpCode"))
        else:
            first, second = _several(service.get("destinationPorts")), _several(service.get("sourcePorts"))
        yield ((number, number),), first, second


def _one(number: int | None) -> Ranges:
    return EVERY_PORT if number is None else ((_within(number, 255), number),)


def _several(ranges: list[list[int]] | None) -> Ranges:
    return (
        EVERY_PORT
        if ranges is None
        else union(*(((_within(low, high), _within(high, 65_535)),) for low, high in ranges))
    )


def _within(number: int, highest: int) -> int:
    if not 0 <= number <= highest:
        raise ValueError(f"the policy says something that is not known: {number} is not between 0 and {highest}")
    return number

"""The neutral firewall policy (`../NEUTRAL.md`) as an `out` algorithm reads it: rules as boxes of traffic.

The examples are packages of their own, so this file is in each `out` algorithm, with the same text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, replace
from typing import Any

from .form import Form, a_list, an_object, check, wrong
from .ranges import EVERY_ADDRESS, FAMILIES, Ranges, intersect, parse_addresses, subtract, union

VERSION = 2

EVERY_PROTOCOL: Ranges = ((0, 255),)
EVERY_PORT: Ranges = ((0, 65_535),)
"""Of ports, and of anything that has none. ICMP types and codes are 0 to 255."""

PROTOCOLS = {"icmp": 1, "igmp": 2, "tcp": 6, "udp": 17, "icmpv6": 58}
"""https://www.iana.org/assignments/protocol-numbers"""

FAMILIES_OF = {"4": (4,), "6": (6,), "any": (4, 6)}

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
        return f"rule {self.shown_id} ({self.name})"

    @property
    def shown_id(self) -> str:
        """The rule's id in the source, or its place where it has none."""
        return self.rule_id or str(self.order)

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
            warning = {"rule": rule.shown_id, "name": rule.name, **warning}
        for key, value in (("effect", effect), ("field", field_name)):
            if value:
                warning[key] = value
        if warning not in self.warnings:
            self.warnings.append(warning)


def read_policy(document: Any) -> Policy:
    """Return the policy of a document. Raises WrongForm, with the place and what is expected, if it is not one."""
    check(document, DOCUMENT, WHAT)
    machines = {
        identity: Machine(machine.get("name", identity), _addresses(machine))
        for identity, machine in document["machines"].items()
    }
    groups = document.get("groups", {})
    rules = document["rules"]
    return Policy(
        document.get("source", "unknown"),
        machines,
        {name: frozenset(members.get("machines", [])) & frozenset(machines) for name, members in groups.items()},
        {name: _addresses(members) for name, members in groups.items()},
        [_rule(rule, machines, f"$.rules[{place}]") for place, rule in enumerate(rules)],
        list(document.get("warnings", [])),
    )


def _rule(rule: dict[str, Any], machines: dict[str, Machine], path: str) -> Rule:
    applied = rule.get("appliedTo", {"any": True})
    return Rule(
        order=rule["order"],
        name=rule["name"],
        rule_id=rule.get("id", ""),
        policy=rule.get("policy", ""),
        category=rule.get("category", ""),
        action=rule["action"],
        direction=rule.get("direction", "in-out"),
        families=FAMILIES_OF[rule.get("ipVersion", "any")],
        logged=rule.get("logged", False),
        sources=_side(rule["sources"], machines, f"{path}.sources"),
        destinations=_side(rule["destinations"], machines, f"{path}.destinations"),
        services=tuple(_services(rule["services"])),
        applied_to=None if applied.get("any") else frozenset(applied["machines"]) & frozenset(machines),
    )


def _side(members: dict[str, Any], machines: dict[str, Machine], path: str) -> Side:
    if members.get("any"):
        return Side(EVERY_ADDRESS, frozenset(each for each, machine in machines.items() if not machine.addresses))
    unresolved = members.get("unresolved", [])
    for place, identity in enumerate(unresolved):
        if identity not in machines:
            raise wrong(WHAT, f"{path}.unresolved[{place}]", "the id of a machine of $.machines", identity)
    return Side(_addresses(members), frozenset(unresolved))


def _addresses(members: dict[str, Any]) -> Ranges:
    if members.get("any"):
        return EVERY_ADDRESS
    return union(*(parse_addresses(text) for text in members.get("networks", [])))


def _services(services: list[dict[str, Any]] | None) -> Iterator[tuple[Ranges, Ranges, Ranges]]:
    for service in [None] if services is None else services:
        if service is None:
            yield EVERY_PROTOCOL, EVERY_PORT, EVERY_PORT
            continue
        number = _protocol(service["protocol"])
        if number in WITH_TYPES:
            first, second = _one(service.get("icmpType")), _one(service.get("icmpCode"))
        else:
            first, second = _several(service.get("destinationPorts")), _several(service.get("sourcePorts"))
        yield ((number, number),), first, second


def _protocol(name: str) -> int:
    return PROTOCOLS[name] if name in PROTOCOLS else int(name)


def _one(number: int | None) -> Ranges:
    return EVERY_PORT if number is None else ((number, number),)


def _several(ranges: list[list[int]] | None) -> Ranges:
    return EVERY_PORT if ranges is None else union(*(((low, high),) for low, high in ranges))


def _is_network(value: Any) -> bool:
    try:
        return isinstance(value, str) and bool(parse_addresses(value))
    except ValueError:
        return False


def _is_protocol(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    return value in PROTOCOLS or (value.isascii() and value.isdigit() and len(value) <= 3 and int(value) <= 255)


def _is_service(value: Any) -> bool:
    if not isinstance(value, dict) or not _is_protocol(value.get("protocol")):
        return isinstance(value, dict)  # The field's own form says what is wrong with it.
    number = _protocol(value["protocol"])
    has_ports, has_types = (bool(value.keys() & names) for names in (PORT_FIELDS, TYPE_FIELDS))
    return not (has_ports and number not in WITH_PORTS) and not (has_types and number not in WITH_TYPES)


def _is_port_range(value: Any) -> bool:
    if not isinstance(value, list) or len(value) != 2 or not all(map(_is_whole, value)):
        return False
    return bool(0 <= value[0] <= value[1] <= EVERY_PORT[0][1])


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_any_or(name: str) -> Callable[[Any], bool]:
    def fits(value: Any) -> bool:
        return isinstance(value, dict) and (value.get("any", False) is not False) != (name in value)

    return fits


def _one_of(*values: str) -> Form:
    return Form(f"one of {', '.join(values)}", lambda value: isinstance(value, str) and value in values)


WHAT = "a neutral firewall policy that is known here"
TEXT = Form("a text", lambda value: isinstance(value, str))
TEXTS = a_list(TEXT, expected="a list of texts")
FLAG = Form("true or false", lambda value: isinstance(value, bool))
NETWORKS = a_list(Form("a network such as 10.0.0.0/8", _is_network), expected="a list of networks")
PORT_RANGES = Form(
    "a list of ranges such as [[80, 80]]",
    lambda value: isinstance(value, list) and bool(value),
    items=Form("a range from low to high between 0 and 65535 such as [80, 443]", _is_port_range),
)
OCTET = Form("a number from 0 to 255", lambda value: _is_whole(value) and 0 <= value <= 255)
PORT_FIELDS, TYPE_FIELDS = {"destinationPorts", "sourcePorts"}, {"icmpType", "icmpCode"}
SERVICE = Form(
    "an object with ports only for tcp and udp, and with a type and code only for icmp and icmpv6",
    _is_service,
    {
        "protocol": Form("tcp, udp, icmp, icmpv6, igmp or a number from 0 to 255 as text", _is_protocol),
        **dict.fromkeys(PORT_FIELDS, PORT_RANGES),
        **dict.fromkeys(TYPE_FIELDS, OCTET),
    },
    required=("protocol",),
    closed=True,
)
SIDE = Form(
    "an object with either `any`: true or a list `networks`",
    _is_any_or("networks"),
    {"any": FLAG, "networks": NETWORKS, "unresolved": TEXTS},
    closed=True,
)
APPLIED_TO = Form(
    "an object with either `any`: true or a list `machines`",
    _is_any_or("machines"),
    {"any": FLAG, "machines": TEXTS},
    closed=True,
)
RULE = an_object(
    {
        **dict.fromkeys(("name", "id", "policy", "category"), TEXT),
        "order": Form("a whole number", _is_whole),
        "action": _one_of("allow", "deny", "reject"),
        "direction": _one_of("in", "out", "in-out"),
        "ipVersion": _one_of(*FAMILIES_OF),
        "appliedTo": APPLIED_TO,
        "logged": FLAG,
        "sources": SIDE,
        "destinations": SIDE,
        "services": replace(a_list(SERVICE, expected="a list of services, or null for all"), nullable=True),
    },
    required="order name action sources destinations services",
    closed=True,
)
"""A rule that says more than this is refused: what is not read could narrow it."""

WARNING = an_object(dict.fromkeys(("rule", "name", "object", "field", "effect", "message"), TEXT), closed=True)
DOCUMENT = an_object(
    {
        "format": _one_of("firewall-policy"),
        "version": Form(f"{VERSION}", lambda value: _is_whole(value) and value == VERSION),
        "source": TEXT,
        "machines": replace(an_object(), values=an_object({"name": TEXT, "networks": NETWORKS})),
        "groups": replace(an_object(), values=an_object({"any": FLAG, "networks": NETWORKS, "machines": TEXTS})),
        "rules": a_list(RULE, expected="a list of rules"),
        "warnings": a_list(WARNING, expected="a list of warnings"),
    },
    required="format version machines rules",
)
"""A neutral policy, as `../NEUTRAL.md` describes it."""

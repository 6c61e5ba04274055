"""What each machine may receive and send, in the terms of EC2.

A security group has no order and no deny, and belongs to a machine. So for each machine and direction, each allow is
worked out as far as no earlier deny takes it away, and is then written as permissions. Machines that all rules treat
alike are worked out once.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from .policy import (
    EVERY_PORT,
    EVERY_PROTOCOL,
    ICMP,
    ICMPV6,
    TCP,
    UDP,
    WITH_PORTS,
    WITH_TYPES,
    Box,
    Policy,
    Rule,
    Side,
)
from .ranges import (
    EVERY_ADDRESS,
    FAMILIES,
    V4,
    Network,
    Ranges,
    covers,
    intersect,
    merge,
    networks,
    parse_addresses,
    subtract,
    union,
)

NAMES = {TCP: "tcp", UDP: "udp", ICMP: "icmp", ICMPV6: "icmpv6"}
EVERY = "-1"
"""EC2's word for every protocol: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_IpPermission.html"""

UNWRITABLE_PROTOCOLS = (0, 255)
"""Neither carries traffic between machines; 0 is what some tools write for every protocol."""

MAX_TYPES = 16
"""How many ICMP types or codes are listed one by one before the rest of a permission is left out."""

MAX_PIECES = 500
"""Into how many boxes denies may cut an allow before the rest of it is left out."""

INGRESS, EGRESS = True, False

Relevant = tuple[int, tuple[int, ...]]
"""The place of a rule in the policy, and the families for which it holds at a machine."""


@dataclass(frozen=True)
class Permission:
    """One rule of a security group, and the rule of the policy that it comes from, by its place and as it is shown."""

    order: int
    protocol: str
    first: int
    last: int
    peer: Network
    rule: str
    description: str

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        return hash((self.order, self.protocol, self.first, self.last, self.peer))

    @cached_property
    def key(self) -> tuple[Any, ...]:
        """What EC2 knows the rule by, in an order for reading."""
        return self.protocol, self.first, self.last, self.peer.version, int(self.peer[0]), self.peer.prefixlen

    def as_json(self) -> dict[str, Any]:
        """Return the rule as CloudFormation has it."""
        value: dict[str, Any] = {"IpProtocol": self.protocol}
        if self.protocol in NAMES.values():
            value |= {"FromPort": self.first, "ToPort": self.last}
        value["CidrIp" if self.peer.version == 4 else "CidrIpv6"] = str(self.peer)
        return value | {"Description": self.description}


@dataclass(frozen=True)
class _Reach:
    """For which machines the own side of a rule holds, by family: all of it without doubt, or some of it perhaps."""

    whole: dict[int, frozenset[str]]
    some: dict[int, frozenset[str]]


class Permissions:
    """The permissions of each machine of a policy."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._known = policy.known
        machines = policy.machines.items()
        self._everybody = frozenset(policy.machines)
        self._lacking = {
            family: frozenset(each for each, machine in machines if not intersect(machine.addresses, every))
            for family, every in FAMILIES.items()
        }
        """The machines that have no known address of a family."""
        self._places = sorted((low, each) for each, machine in machines for low, _ in machine.addresses)
        self._wide = [each for each, machine in machines if any(low < high for low, high in machine.addresses)]
        self._reaches: dict[Side, _Reach] = {}
        self._alike: dict[tuple[Any, ...], frozenset[Permission]] = {}
        self._relevant = {ingress: self._relevant_rules(ingress) for ingress in (INGRESS, EGRESS)}

    def of(self, machine: str, *, ingress: bool) -> frozenset[Permission]:
        """Return what a machine may receive (ingress) or send."""
        relevant = tuple(self._relevant[ingress].get(machine, ()))
        if (ingress, relevant) not in self._alike:
            found: dict[tuple[Any, ...], Permission] = {}
            for each in self._allowed(relevant, ingress):
                found.setdefault(each.key, each)
            self._alike[ingress, relevant] = frozenset(found.values())
        return self._alike[ingress, relevant]

    def _relevant_rules(self, ingress: bool) -> dict[str, list[Relevant]]:
        """The rules that hold at each machine's interface, each with the families for which they do."""
        relevant: dict[str, list[Relevant]] = defaultdict(list)
        for place, rule in enumerate(self._policy.rules):
            if rule.direction == ("out" if ingress else "in"):
                continue
            reach = self._reach(rule.destinations if ingress else rule.sources)
            applied = self._everybody if rule.applied_to is None else rule.applied_to
            holds = reach.whole if rule.allows else reach.some
            families: dict[str, tuple[int, ...]] = {}
            for family in rule.families:
                for machine in holds[family] & applied:
                    families[machine] = (*families.get(machine, ()), family)
                if rule.allows:
                    self._say_where_it_holds_partly(rule, family, (reach.some[family] - reach.whole[family]) & applied)
            for machine, found in families.items():
                relevant[machine].append((place, found))
        return relevant

    def _say_where_it_holds_partly(self, rule: Rule, family: int, machines: frozenset[str]) -> None:
        names = sorted(self._policy.machines[each].name for each in machines if self._has_address(each, family))
        if names:
            self._policy.warn(
                f"it holds for some addresses of {', '.join(names)} only",
                rule,
                effect="left out there: a security group is for all addresses of an interface",
            )

    def _has_address(self, machine: str, family: int) -> bool:
        return bool(intersect(self._policy.machines[machine].addresses, FAMILIES[family]))

    def _reach(self, side: Side) -> _Reach:
        if side not in self._reaches:
            whole, some = {}, {}
            for family, every in FAMILIES.items():
                here = intersect(side.addresses, every)
                met = self._machines_at(here)
                own = {each: intersect(self._policy.machines[each].addresses, every) for each in met}
                inside = {each for each, addresses in own.items() if covers(here, addresses)}
                whole[family] = side.unresolved | (self._everybody if here == every else inside)
                elsewhere = bool(subtract(here, self._known))
                some[family] = side.unresolved | met | (self._lacking[family] if elsewhere else frozenset())
            self._reaches[side] = _Reach(whole, some)
        return self._reaches[side]

    def _machines_at(self, addresses: Ranges) -> frozenset[str]:
        """The machines that have one of some addresses."""
        found = {each for each in self._wide if intersect(self._policy.machines[each].addresses, addresses)}
        for low, high in addresses:
            place = bisect_left(self._places, (low, ""))
            while place < len(self._places) and self._places[place][0] <= high:
                found.add(self._places[place][1])
                place += 1
        return frozenset(found)

    def _allowed(self, relevant: tuple[Relevant, ...], ingress: bool) -> Iterator[Permission]:
        denied: list[Box] = []
        for place, families in relevant:
            rule = replace(self._policy.rules[place], families=families)
            peers = self._policy.addresses(rule.sources if ingress else rule.destinations, widest=not rule.allows)
            self._say_who_is_left_out(rule, rule.sources if ingress else rule.destinations)
            boxes = list(rule.boxes(peers, EVERY_ADDRESS))
            if not rule.allows:
                denied += boxes
                if _everything(boxes):
                    return
                continue
            for box in boxes:
                for piece in self._what_is_left(rule, box, denied):
                    yield from self._written(rule, piece)

    def _say_who_is_left_out(self, rule: Rule, peers: Side) -> None:
        if peers.unresolved and peers.addresses != EVERY_ADDRESS:
            names = ", ".join(sorted(self._policy.machines[each].name for each in peers.unresolved))
            self._policy.warn(
                f"no address is known of {names}",
                rule,
                effect="left out as peers" if rule.allows else "the deny holds any address they might have",
            )

    def _what_is_left(self, rule: Rule, box: Box, denied: list[Box]) -> list[Box]:
        left = [box]
        for deny in denied:
            left = [piece for each in left for piece in each.subtract(deny)]
            if len(left) > MAX_PIECES:
                self._policy.warn(f"denies before it cut it into more than {MAX_PIECES} parts", rule, effect="left out")
                return []
        return left

    def _written(self, rule: Rule, box: Box) -> Iterator[Permission]:
        """The permissions that say a box exactly; of a box that EC2 can't say, those parts that it can."""
        for protocol, first, last in self._services(rule, box):
            for peer in networks(box.sources):
                yield Permission(rule.order, protocol, first, last, peer, rule.shown_id, rule.title)

    def _services(self, rule: Rule, box: Box) -> Iterator[tuple[str, int, int]]:
        if box.protocols == EVERY_PROTOCOL and box.first == box.second == EVERY_PORT:
            yield EVERY, -1, -1
            return
        number = box.protocol
        if number is None:
            strange = ICMPV6 if intersect(box.sources, V4) else ICMP
            several = [each for each in NAMES if each != strange and intersect(box.protocols, ((each, each),))]
            self._policy.warn(
                "EC2 can't say `every protocol but`",
                rule,
                effect="only its TCP, UDP and ICMP are written",
            )
            for each in several:
                yield from self._services(rule, replace(box, protocols=((each, each),)))
        elif number in UNWRITABLE_PROTOCOLS:
            self._policy.warn(f"protocol {number} can't be written", rule, effect="left out")
        elif number in WITH_PORTS:
            if box.second != EVERY_PORT:
                self._policy.warn("a security group knows no source ports", rule, effect="left out")
                return
            for low, high in box.first:
                yield NAMES[number], low, high
        elif number in WITH_TYPES:
            yield from self._icmp(rule, box, number)
        else:
            yield str(number), -1, -1

    def _icmp(self, rule: Rule, box: Box, number: int) -> Iterator[tuple[str, int, int]]:
        types = _each(box.first)
        codes = _each(box.second)
        if types is None and box.first != EVERY_PORT:
            self._policy.warn("EC2 can't say `every ICMP type but`", rule, effect="left out")
        elif box.first == EVERY_PORT and box.second != EVERY_PORT:
            self._policy.warn("EC2 can't say an ICMP code without a type", rule, effect="left out")
        elif codes is None and box.second != EVERY_PORT:
            self._policy.warn("EC2 can't say `every ICMP code but`", rule, effect="left out")
        else:
            for kind in types or [-1]:
                for code in codes or [-1]:
                    yield NAMES[number], kind, code


def _each(ranges: Ranges) -> list[int] | None:
    """The numbers of a set one by one, or None where they are too many to list."""
    if sum(high - low + 1 for low, high in ranges) > MAX_TYPES:
        return None
    return [number for low, high in ranges for number in range(low, high + 1)]


def _everything(boxes: list[Box]) -> bool:
    """Whether nothing that comes after a deny can be reached."""
    whole = [box for box in boxes if box.service == (EVERY_PROTOCOL, EVERY_PORT, EVERY_PORT)]
    return union(*(box.sources for box in whole)) == EVERY_ADDRESS


def condensed(permissions: Iterable[Permission]) -> list[Permission]:
    """Return the same traffic in fewer permissions; which rules of the policy they were is said by id only."""
    peers: dict[tuple[str, int, int], Ranges] = defaultdict(tuple)
    rules: dict[tuple[str, int, int], set[tuple[int, str]]] = defaultdict(set)
    for each in permissions:
        service = each.protocol, each.first, each.last
        peers[service] = union(peers[service], parse_addresses(str(each.peer)))
        rules[service].add((each.order, each.rule))
    every = peers.get((EVERY, -1, -1), ())
    ports: dict[tuple[str, Ranges], list[tuple[int, int]]] = defaultdict(list)
    for (protocol, first, last), where in peers.items():
        left = where if protocol == EVERY else subtract(where, every)
        if protocol in ("tcp", "udp"):
            ports[protocol, left].append((first, last))
    found = []
    for (protocol, first, last), where in peers.items():
        left = where if protocol == EVERY else subtract(where, every)
        here = ports.get((protocol, left), [(first, last)])
        if (first, last) != here[0]:
            continue  # It is part of a wider range of ports, which stands where its first part stood.
        of_policy = sorted({rule for low, high in here for rule in rules[protocol, low, high]})
        (order, rule), names = of_policy[0], ", ".join(shown for _, shown in of_policy)
        for low, high in merge(here) if protocol in ("tcp", "udp") else here:
            found += [Permission(order, protocol, low, high, peer, rule, f"rules {names}") for peer in networks(left)]
    return found

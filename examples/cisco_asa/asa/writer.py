"""Neutral firewall policy in, Cisco ASA access list out.

One extended access list, bound globally. What it can't say is never dropped without a word: an allow that can't be
written is left out, a deny that can't be written exactly is written wider, and a remark says so.

Syntax: https://www.cisco.com/c/en/us/td/docs/security/asa/asa920/configuration/firewall/asa-920-firewall-config.html
"""

from __future__ import annotations

import hashlib
import re
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import product
from typing import Any

from .flows import Line, end_to_end
from .policy import EVERY_PORT, EVERY_PROTOCOL, ICMP, ICMPV6, TCP, UDP, WITH_PORTS, WITH_TYPES, Box, Policy, read_policy
from .ranges import FAMILIES, Network, Ranges, intersect, networks

ACCESS_LIST = "greenroom"
MAX_REMARK_CHARS = 90
"""An ASA takes 100 characters."""

MAX_ENTRIES = 25_000
"""How many entries a list may expand to in memory before the list says so."""

MAX_PAIRS_OF_PORTS = 100
"""How many pairs of source and destination ports are written one by one; above that, object groups hold the ports."""

NAMES = {TCP: "tcp", UDP: "udp", ICMP: "icmp", ICMPV6: "icmp6"}

UNWRITABLE_PROTOCOLS = (0, 255)
"""0 is the number of IPv6 hop-by-hop options, but an ASA reads it as `ip`, which is every protocol; 255 it refuses."""


class AsaWriter:
    """Writes access lists; holds nothing between them."""

    def translate(self, document: dict[str, Any]) -> str:
        """Return the access list for a neutral policy. Raises WrongForm if it is not one."""
        return _AccessList(read_policy(document)).write()


class _AccessList:
    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._groups: dict[str, list[str]] = {}
        """The lines of each object group, by its name."""
        self._names = {addresses: name for name, addresses in policy.group_addresses.items() if addresses}
        self._entries = 0

    def write(self) -> str:
        body = [text for line in end_to_end(self._policy) for text in self._line(line)]
        last = f"access-list {ACCESS_LIST} extended deny ip any any"
        if body[-1:] not in ([last], [f"{last} log"]):
            body += ["!", _remark("nothing else")[0], last]
        if self._entries > MAX_ENTRIES:
            self._policy.warn(
                f"the list expands to {self._entries} entries in the memory of an ASA",
                effect="turn on `object-group-search access-control`, or put fewer machines behind one ASA",
            )
        head = [
            f"! greenroom: access list from {_clean(self._policy.source)}; apply it in one go",
            f"clear configure access-list {ACCESS_LIST}",
            *(text for group in self._groups.values() for text in ("!", *group)),
            *(text for warning in self._policy.warnings for text in _remark(_sentence(warning))),
        ]
        return "\n".join([*head, *body, "!", f"access-group {ACCESS_LIST} global"]) + "\n"

    def _line(self, line: Line) -> Iterator[str]:
        yield "!"
        titles = [f"{rule.title}, {rule.category} / {rule.policy}" for rule in line.rules] or [line.about]
        yield from (text for title in titles for text in _remark(title))
        action = "permit" if line.allows else "deny"
        log = " log" if line.logged else ""
        entries = [
            f"access-list {ACCESS_LIST} extended {action} {text}{log}"
            for box, both_families in _joined(line.boxes)
            for can_be_said in self._say(line, box)
            for text in self._entries_of(can_be_said, both_families)
        ]
        yield from entries or _remark("  left out: see the warnings above")

    def _say(self, line: Line, box: Box) -> Iterator[Box]:
        """The box, if an ASA can say it; of another one nothing (an allow) or a box around it (a deny)."""
        problem, wider = None, box
        if box.protocol in UNWRITABLE_PROTOCOLS:
            problem = f"protocol {box.protocol} can't be written"
            wider = replace(box, protocols=EVERY_PROTOCOL, first=EVERY_PORT, second=EVERY_PORT)
        elif box.protocol in WITH_TYPES and box.first == EVERY_PORT and box.second != EVERY_PORT:
            problem = "an ICMP code without a type can't be written"
            wider = replace(box, second=EVERY_PORT)
        if problem is None or not line.allows:
            yield wider
        if problem is not None:
            self._policy.warn(problem, line.rules[0], effect="left out" if line.allows else "the deny is wider")

    def _entries_of(self, box: Box, both_families: bool) -> Iterator[str]:
        source, source_count = ("any", 1) if both_families else self._network(box.sources)
        destination, destination_count = ("any", 1) if both_families else self._network(box.destinations)
        protocol = "ip" if box.protocol is None else NAMES.get(box.protocol, str(box.protocol))
        if box.protocol in WITH_TYPES:
            kind = "" if box.first == EVERY_PORT else f" {box.first[0][0]}"
            code = "" if box.second == EVERY_PORT else f" {box.second[0][0]}"
            texts = [f"{protocol} {source} {destination}{kind}{code}"]
        elif box.protocol in WITH_PORTS:
            ports, source_ports = _ports(box.first), _ports(box.second)
            pairs = len(ports) * len(source_ports)
            if pairs > MAX_PAIRS_OF_PORTS:
                self._entries += (pairs - 1) * source_count * destination_count
                ports, source_ports = self._port_group(protocol, ports), self._port_group(protocol, source_ports)
            texts = [
                f"{protocol} {source}{source_port} {destination}{port}"
                for port, source_port in product(ports, source_ports)
            ]
        else:
            texts = [f"{protocol} {source} {destination}"]
        self._entries += len(texts) * source_count * destination_count
        yield from texts

    def _port_group(self, protocol: str, ports: list[str]) -> list[str]:
        """Ports as one object group, as entries name it."""
        if len(ports) == 1:
            return ports
        name = f"GR-{protocol}-{_digest(ports)}"
        self._groups[name] = [f"object-group service {name} {protocol}", *(f" port-object{port}" for port in ports)]
        return [f" object-group {name}"]

    def _network(self, addresses: Ranges) -> tuple[str, int]:
        """Addresses of one family as an entry names them, and how many networks they are."""
        for family, every in FAMILIES.items():
            if addresses == every:
                return f"any{family}", 1
        found = networks(addresses)
        if len(found) == 1:
            return _inline(found[0]), 1
        # The name holds what the group holds: an object group that is entered again only grows.
        title = next((name for every, name in self._names.items() if addresses in _by_family(every)), "")
        if not title and addresses in _by_family(self._policy.known):
            title = "machines"
        slug = re.sub(r"[^A-Za-z0-9_]+", "-", title).strip("-")[:40] or "networks"
        name = f"GR-{slug}-{_digest(map(str, found))}"
        self._groups[name] = [
            f"object-group network {name}",
            *([f" description {_clean(title)[:MAX_REMARK_CHARS]}"] if title else []),
            *(f" network-object {_inline(network)}" for network in found),
        ]
        return f"object-group {name}", len(found)


def _joined(boxes: tuple[Box, ...]) -> Iterator[tuple[Box, bool]]:
    """The boxes, with two that say the same of all IPv4 and all IPv6 traffic as one."""
    every = {family: (ranges, ranges) for family, ranges in FAMILIES.items()}
    ends = [(box.sources, box.destinations) for box in boxes]
    six = {box.service for box, each in zip(boxes, ends, strict=True) if each == every[6]}
    four = {box.service for box, each in zip(boxes, ends, strict=True) if each == every[4]}
    for box, each in zip(boxes, ends, strict=True):
        if box.service in four & six:
            if each == every[4]:
                yield box, True
            elif each != every[6]:
                yield box, False
        else:
            yield box, False


def _by_family(addresses: Ranges) -> list[Ranges]:
    return [intersect(addresses, family) for family in FAMILIES.values()]


def _inline(network: Network) -> str:
    if network.prefixlen == network.max_prefixlen:
        return f"host {network.network_address}"
    return f"{network.network_address} {network.netmask}" if network.version == 4 else str(network)


def _digest(members: Iterable[str]) -> str:
    return hashlib.sha256(" ".join(members).encode()).hexdigest()[:8]


def _ports(ranges: Ranges) -> list[str]:
    if ranges == EVERY_PORT:
        return [""]
    return [f" eq {low}" if low == high else f" range {low} {high}" for low, high in ranges]


def _sentence(warning: dict[str, Any]) -> str:
    rule = f" rule {warning['rule']} ({warning.get('name', '')})" if warning.get("rule") else ""
    thing = f" {warning['object']}" if warning.get("object") and not rule else ""
    effect = f": {warning['effect']}" if warning.get("effect") else ""
    return f"WARNING{rule}{thing}: {warning['message']}{effect}"


def _clean(text: str) -> str:
    # The text comes from somebody's configuration: one line, and nothing that a terminal or an ASA would act on.
    return re.sub(r"[^ -~]|\?", ".", text)


def _remark(text: str) -> list[str]:
    lines = textwrap.wrap(_clean(text), MAX_REMARK_CHARS, subsequent_indent="  ", break_on_hyphens=False) or ["-"]
    return [f"access-list {ACCESS_LIST} remark {line}" for line in lines]

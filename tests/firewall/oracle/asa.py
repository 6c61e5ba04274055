"""What a Cisco ASA does with a flow, read from the text of its configuration.

Written from Cisco's documents and independent of `examples/cisco_asa`, which it judges. It is strict: a line that it
can't read is an error, because an ASA would refuse it or a person would not know what it does.

* CLI Book 2: Cisco ASA Series Firewall CLI Configuration Guide, "Access Rules", "Access Control Lists", "Objects for
  Access Control"
  (https://www.cisco.com/c/en/us/td/docs/security/asa/asa916/configuration/firewall/asa-916-firewall-config/access-acls.html):
  the first entry that matches decides; at the end of a list is an implicit deny; `any` is IPv4 and IPv6, `any4` and
  `any6` are one of them; an ACE is `access-list ID [line N] extended {permit | deny} PROTOCOL SOURCE [PORT] DESTINATION
  [PORT | ICMP-TYPE [ICMP-CODE]]`, where PROTOCOL may be an object or object group of services, which holds the ports.
* Command Reference, "access-list extended", "object-group", "service-object": names of protocols, ports and ICMP types.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, ip_address, ip_network
from typing import TypeVar

from tests.firewall.oracle.flow import ICMP, ICMPV6, TCP, UDP, Address, Flow

PROTOCOLS = {
    "ah": 51,
    "eigrp": 88,
    "esp": 50,
    "gre": 47,
    "icmp": ICMP,
    "icmp6": ICMPV6,
    "igmp": 2,
    "igrp": 9,
    "ipinip": 4,
    "ipsec": 50,
    "nos": 94,
    "ospf": 89,
    "pcp": 108,
    "pim": 103,
    "pptp": 47,
    "sctp": 132,
    "snp": 109,
    "tcp": TCP,
    "udp": UDP,
}
PORTS = {
    "bgp": 179,
    "bootpc": 68,
    "bootps": 67,
    "domain": 53,
    "ftp": 21,
    "ftp-data": 20,
    "http": 80,
    "https": 443,
    "imap4": 143,
    "ldap": 389,
    "ldaps": 636,
    "nfs": 2049,
    "ntp": 123,
    "pop3": 110,
    "smtp": 25,
    "snmp": 161,
    "snmptrap": 162,
    "ssh": 22,
    "sunrpc": 111,
    "syslog": 514,
    "telnet": 23,
    "tftp": 69,
    "www": 80,
    "sip": 5060,
    "sqlnet": 1521,
    "netbios-ns": 137,
    "netbios-dgm": 138,
    "netbios-ssn": 139,
    "isakmp": 500,
    "lpd": 515,
}
ICMP_TYPES = {
    "echo-reply": 0,
    "unreachable": 3,
    "source-quench": 4,
    "redirect": 5,
    "alternate-address": 6,
    "echo": 8,
    "router-advertisement": 9,
    "router-solicitation": 10,
    "time-exceeded": 11,
    "parameter-problem": 12,
    "timestamp-request": 13,
    "timestamp-reply": 14,
    "information-request": 15,
    "information-reply": 16,
    "mask-request": 17,
    "mask-reply": 18,
    "traceroute": 30,
    "conversion-error": 31,
    "mobile-redirect": 32,
}
ICMP6_TYPES = {
    "unreachable": 1,
    "packet-too-big": 2,
    "time-exceeded": 3,
    "parameter-problem": 4,
    "echo": 128,
    "echo-reply": 129,
    "membership-query": 130,
    "membership-report": 131,
    "membership-reduction": 132,
    "router-solicitation": 133,
    "router-advertisement": 134,
    "neighbor-solicitation": 135,
    "neighbor-advertisement": 136,
    "neighbor-redirect": 137,
    "router-renumbering": 138,
}
PORT_OPERATORS = ("eq", "neq", "lt", "gt", "range")

T = TypeVar("T")
OfAddress = Callable[[Address], bool]
OfFlow = Callable[[Flow], bool]


class NotAsa(ValueError):
    """A line that an ASA would not take, as far as this reader knows."""


@dataclass
class Asa:
    """A configuration: objects, object groups, access lists, and where the lists are bound."""

    addresses: dict[str, list[OfAddress]] = field(default_factory=dict)
    services: dict[str, list[OfFlow]] = field(default_factory=dict)
    ports: dict[str, list[Callable[[int], bool]]] = field(default_factory=dict)
    icmp_types: dict[str, list[int]] = field(default_factory=dict)
    lists: dict[str, list[tuple[bool, OfFlow]]] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    bound: list[tuple[str, str]] = field(default_factory=list)
    names: set[str] = field(default_factory=set)

    @classmethod
    def parse(cls, text: str) -> Asa:
        """Read a configuration. Raises NotAsa."""
        found = cls()
        block: tuple[str, str, str] | None = None
        for number, line in enumerate(text.splitlines(), 1):
            words = Words(line, number)
            if not words.left or words.left[0].startswith((":", "!")):
                continue
            if line.startswith(" "):
                if block is None:
                    raise words.wrong("a line of a block without its head")
                found._in_block(block, words)
            else:
                block = found._head(words)
        return found

    def allows(self, flow: Flow) -> bool:
        """Whether the list lets a flow pass. There has to be exactly one, bound at one place at most."""
        if len(self.lists) != 1:
            raise NotAsa(f"there are {len(self.lists)} access lists, and nothing says which one meets the flow")
        (entries,) = self.lists.values()
        return next((permit for permit, matches in entries if matches(flow)), False)

    def _head(self, words: Words) -> tuple[str, str, str] | None:
        command = words.take()
        if command == "access-list":
            self._access_list(words)
            return None
        if command == "clear":
            if self.names or self.lists or words.take() != "configure":
                raise words.wrong("clear configure, before anything is configured")
            words.rest()
            return None
        if command == "access-group":
            name, where = words.take(), " ".join(words.rest())
            if not re.fullmatch(r"global|(in|out) interface \S+", where):
                raise words.wrong("access-group NAME {global | in interface I | out interface I}")
            self.bound.append((name, where))
            return None
        if command == "object":
            kind, name = words.take(), words.take()
            self._define(kind, name, words)
            words.end()
            return "object", kind, name
        if command == "object-group":
            kind, name = words.take(), words.take()
            of = words.take() if kind == "service" and words.left else ""
            self._define("port" if of else kind, name, words)
            words.end()
            return "group", f"port {of}" if of else kind, name
        raise words.wrong(f"command {command!r}")

    def _define(self, kind: str, name: str, words: Words) -> None:
        if name in self.names:
            raise words.wrong(f"{name} is defined twice")
        if len(name) > 64:
            raise words.wrong(f"the name {name} is longer than 64 characters")
        self.names.add(name)
        homes: dict[str, dict[str, list[object]]] = {
            "network": self.addresses,  # type: ignore[dict-item]
            "service": self.services,  # type: ignore[dict-item]
            "port": self.ports,  # type: ignore[dict-item]
            "icmp-type": self.icmp_types,  # type: ignore[dict-item]
        }
        if kind not in homes:
            raise words.wrong(f"objects of the kind {kind!r}")
        homes[kind][name] = []

    def _in_block(self, block: tuple[str, str, str], words: Words) -> None:
        form, kind, name = block
        command = words.take()
        if command == "description":
            words.rest()
        elif kind == "network":
            self._network(form, name, command, words)
        elif kind == "service":
            self._service(form, name, command, words)
        elif kind.startswith("port ") and command == "port-object":
            self.ports[name].append(port_test(words))
        elif kind == "icmp-type" and command == "icmp-object":
            self.icmp_types[name].append(icmp_number(words.take(), ICMP_TYPES, words))
        elif command == "group-object" and kind.startswith("port "):
            self.ports[name] += self._known(self.ports, words)
        else:
            raise words.wrong(f"{command!r} in a block of the kind {kind!r}")
        words.end()

    def _network(self, form: str, name: str, command: str, words: Words) -> None:
        members = self.addresses[name]
        if form == "object" and members:
            raise words.wrong("an object has one value")
        if form == "group" and command == "group-object":
            members.append(any_of(self._known(self.addresses, words)))
        elif form == "group" and command == "network-object":
            if words.next_is("object"):
                words.take()
                members.append(any_of(self._known(self.addresses, words)))
            else:
                members.append(network(words))
        elif form == "object" and command == "host":
            members.append(one_of(f"{ip_address(words.take())}"))
        elif form == "object" and command == "subnet":
            members.append(network(words))
        elif form == "object" and command == "range":
            low, high = ip_address(words.take()), ip_address(words.take())
            members.append(lambda address: address.version == low.version and int(low) <= int(address) <= int(high))
        else:
            raise words.wrong(f"{command!r} in a network {form}")

    def _service(self, form: str, name: str, command: str, words: Words) -> None:
        if form == "group" and command == "group-object":
            self.services[name] += self._known(self.services, words)
        elif form == "group" and command == "service-object" and words.next_is("object"):
            words.take()
            self.services[name] += self._known(self.services, words)
        elif command == {"group": "service-object", "object": "service"}[form]:
            self.services[name].append(service(words))
        else:
            raise words.wrong(f"{command!r} in a service {form}")

    def _known(self, home: Mapping[str, Sequence[T]], words: Words) -> Sequence[T]:
        name = words.take()
        if name not in home or not home[name]:
            raise words.wrong(f"{name} is not defined, or empty")
        return home[name]

    def _access_list(self, words: Words) -> None:
        name = words.take()
        if words.next_is("remark"):
            text = " ".join(words.rest())
            if len(text) > 101:
                raise words.wrong("a remark has at most 100 characters")
            self.remarks.append(text.removeprefix("remark "))
            return
        if words.next_is("line"):
            raise words.wrong("a line number: the order is that of the text")
        if words.take() != "extended":
            raise words.wrong("only extended access lists are read")
        action = words.take()
        if action not in ("permit", "deny"):
            raise words.wrong("permit or deny")
        matches = self._entry(words)
        if words.next_is("log"):
            words.rest()
        words.end()
        self.lists.setdefault(name, []).append((action == "permit", matches))

    def _entry(self, words: Words) -> OfFlow:
        if words.next_is("object-group", "object"):
            words.take()
            protocol = any_of(self._known(self.services, words))
            source, destination = self._address(words), self._address(words)
            return lambda flow: protocol(flow) and source(flow.source_address) and destination(flow.destination_address)
        number = protocol_number(words)
        has_ports = number in (TCP, UDP, PROTOCOLS["sctp"])
        source = self._address(words)
        source_port = self._port(words, has_ports)
        destination = self._address(words)
        destination_port = self._port(words, has_ports)
        icmp = self._icmp(words, number)
        return lambda flow: (
            number in (None, flow.protocol)
            and source(flow.source_address)
            and destination(flow.destination_address)
            and source_port(flow.first)
            and destination_port(flow.second)
            and icmp(flow)
        )

    def _port(self, words: Words, has_ports: bool) -> Callable[[int], bool]:
        if has_ports and words.next_is(*PORT_OPERATORS):
            return port_test(words)
        if has_ports and words.next_is("object-group") and words.left[1] in self.ports:
            words.take()
            return any_of(self._known(self.ports, words))
        return lambda port: True

    def _icmp(self, words: Words, number: int | None) -> OfFlow:
        if number not in (ICMP, ICMPV6) or not words.left or words.next_is("log"):
            return lambda flow: True
        if words.next_is("object-group"):
            words.take()
            types = self._known(self.icmp_types, words)
            return lambda flow: flow.first in types
        return icmp_test(words, number)

    def _address(self, words: Words) -> OfAddress:
        if words.next_is("any"):
            words.take()
            return lambda address: True
        if words.next_is("any4", "any6"):
            version = int(words.take()[-1])
            return lambda address: address.version == version
        if words.next_is("object", "object-group"):
            words.take()
            return any_of(self._known(self.addresses, words))
        return network(words)


class Words:
    """The words of a line that are still to be read."""

    def __init__(self, line: str, number: int) -> None:
        self.line, self.number, self.left = line, number, line.split()

    def wrong(self, what: str) -> NotAsa:
        """The error that names the line."""
        return NotAsa(f"line {self.number} ({self.line.strip()!r}): {what}")

    def next_is(self, *words: str) -> bool:
        """Whether the next word is one of these."""
        return bool(self.left) and self.left[0] in words

    def take(self) -> str:
        """The next word. Raises NotAsa at the end."""
        if not self.left:
            raise self.wrong("the line ends too early")
        return self.left.pop(0)

    def rest(self) -> list[str]:
        """All that is left."""
        left, self.left = self.left, []
        return left

    def end(self) -> None:
        """Raise NotAsa if anything is left."""
        if self.left:
            raise self.wrong(f"{' '.join(self.left)!r} is too much")


def any_of(tests: Sequence[Callable[[T], bool]]) -> Callable[[T], bool]:
    """A test that one of these passes."""
    return lambda value: any(test(value) for test in tests)


def one_of(text: str) -> OfAddress:
    """A test for a network."""
    wanted = ip_network(text)
    return lambda address: address in wanted


def network(words: Words) -> OfAddress:
    """`host A`, `A MASK` or `A/LENGTH`, the last for IPv6 only. A host's bits have to be zero, as on an ASA."""
    first = words.take()
    try:
        if first == "host":
            return one_of(str(ip_address(words.take())))
        if "/" in first:
            if ":" not in first:
                raise words.wrong("IPv4 has a mask, no length")
            return one_of(first)
        if not isinstance(ip_address(first), IPv4Address):
            raise words.wrong("IPv6 has a length")
        return one_of(f"{first}/{words.take()}")
    except NotAsa:
        raise
    except ValueError as error:
        raise words.wrong(str(error)) from error


def protocol_number(words: Words) -> int | None:
    """The number of a protocol; None for `ip`, which is all of them."""
    word = words.take()
    if word in ("ip", "0"):
        return None
    if word in PROTOCOLS:
        return PROTOCOLS[word]
    if word.isdigit() and int(word) <= 255:
        return int(word)
    raise words.wrong(f"protocol {word!r}")


def port_number(words: Words) -> int:
    """A port by number or name."""
    word = words.take()
    if word in PORTS:
        return PORTS[word]
    if word.isdigit() and 0 <= int(word) <= 65_535:
        return int(word)
    raise words.wrong(f"port {word!r}")


def port_test(words: Words) -> Callable[[int], bool]:
    """`eq P`, `neq P`, `lt P`, `gt P` or `range P Q`, both ends included."""
    operator = words.take()
    low = port_number(words)
    if operator == "range":
        high = port_number(words)
        if low > high:
            raise words.wrong("a range from high to low")
        return lambda port: low <= port <= high
    tests: dict[str, Callable[[int], bool]] = {
        "eq": lambda port: port == low,
        "neq": lambda port: port != low,
        "lt": lambda port: port < low,
        "gt": lambda port: port > low,
    }
    if operator not in tests:
        raise words.wrong(f"port operator {operator!r}")
    return tests[operator]


def icmp_number(word: str, names: dict[str, int], words: Words) -> int:
    """An ICMP type by number or name."""
    if word in names:
        return names[word]
    if word.isdigit() and int(word) <= 255:
        return int(word)
    raise words.wrong(f"ICMP type {word!r}")


def icmp_test(words: Words, number: int | None) -> OfFlow:
    """A type, and a code if there is one."""
    kind = icmp_number(words.take(), ICMP_TYPES if number == ICMP else ICMP6_TYPES, words)
    if not words.left or words.next_is("log"):
        return lambda flow: flow.first == kind
    code = icmp_number(words.take(), {}, words)
    return lambda flow: flow.first == kind and flow.second == code


def service(words: Words) -> OfFlow:
    """The rest of `service-object` or `service`: a protocol with `source` and `destination` ports, or type and code."""
    if words.next_is("tcp-udp"):
        words.take()
        numbers: tuple[int | None, ...] = (TCP, UDP)
    else:
        numbers = (protocol_number(words),)
    tests: list[OfFlow] = [lambda flow: None in numbers or flow.protocol in numbers]
    tests += list(service_details(words, numbers))
    return lambda flow: all(test(flow) for test in tests)


def service_details(words: Words, numbers: tuple[int | None, ...]) -> Iterator[OfFlow]:
    """What narrows a service beyond its protocol."""
    if numbers[0] in (ICMP, ICMPV6) and words.left:
        yield icmp_test(words, numbers[0])
        return
    if words.next_is("source"):
        words.take()
        of_source = port_test(words)
        yield lambda flow: of_source(flow.first)
    if words.next_is("destination"):
        words.take()
        of_destination = port_test(words)
        yield lambda flow: of_destination(flow.second)

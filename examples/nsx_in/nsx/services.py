"""Services: the protocols and ports that the service entries of NSX-T stand for, and their intersection.

As with groups there are two bounds: an entry that is not understood is left out of what an allow surely holds, and is
every service in what a deny might hold.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from nsx.groups import Index
from nsx.ranges import Ranges, intersect, merge
from nsx.vocabulary import ENTRIES, SERVICE, Warnings

MAX_NESTING = 8
ALL_PORTS: Ranges = ((0, 65_535),)
ALL_OCTETS: Ranges = ((0, 255),)

PROTOCOLS = {1: "icmp", 2: "igmp", 6: "tcp", 17: "udp", 58: "icmpv6"}
"""The protocols that have a name in the neutral policy; all others stand there by number.

https://www.iana.org/assignments/protocol-numbers
"""

ALGS = {
    "FTP": "tcp",
    "MS_RPC_TCP": "tcp",
    "ORACLE_TNS": "tcp",
    "SUN_RPC_TCP": "tcp",
    "TFTP": "udp",
    "MS_RPC_UDP": "udp",
    "SUN_RPC_UDP": "udp",
    "NBNS_BROADCAST": "udp",
    "NBDG_BROADCAST": "udp",
}
"""The protocol of the control connection of each application level gateway that NSX-T has."""


@dataclass(frozen=True, order=True)
class Entry:
    """One protocol; `first` is destination ports or ICMP types, `second` is source ports or ICMP codes; () is all."""

    protocol: str
    first: Ranges = ()
    second: Ranges = ()

    def as_json(self) -> dict[str, Any]:
        """Return the entry as the neutral policy has it."""
        value: dict[str, Any] = {"protocol": self.protocol}
        icmp = self.protocol in ("icmp", "icmpv6")
        for key, ranges in (
            ("icmpType" if icmp else "destinationPorts", self.first),
            ("icmpCode" if icmp else "sourcePorts", self.second),
        ):
            if ranges:
                value[key] = ranges[0][0] if icmp else [list(each) for each in ranges]
        return value

    def intersect(self, other: Entry) -> Entry | None:
        """Return the traffic that is in both, or None."""
        first, second = _both(self.first, other.first), _both(self.second, other.second)
        if self.protocol != other.protocol or first is None or second is None:
            return None
        return Entry(self.protocol, first, second)


@dataclass(frozen=True)
class ServiceSet:
    """Entries; None is every service there is."""

    entries: frozenset[Entry] | None

    def __or__(self, other: ServiceSet) -> ServiceSet:
        if self.entries is None or other.entries is None:
            return ANY
        return ServiceSet(self.entries | other.entries)

    @property
    def empty(self) -> bool:
        """Whether no traffic can match."""
        return self.entries is not None and not self.entries

    def intersect(self, other: ServiceSet) -> ServiceSet:
        """Return the traffic that is in both."""
        if self.entries is None:
            return other
        if other.entries is None:
            return self
        pairs = (mine.intersect(theirs) for mine in self.entries for theirs in other.entries)
        return ServiceSet(frozenset(entry for entry in pairs if entry is not None))

    def as_json(self) -> list[dict[str, Any]] | None:
        """Return the services as the neutral policy has them, in a fixed order."""
        return None if self.entries is None else [entry.as_json() for entry in sorted(self.entries)]


ANY = ServiceSet(None)
NONE = ServiceSet(frozenset())


@dataclass(frozen=True)
class ServiceBounds:
    """The services that surely match, and those that might."""

    sure: ServiceSet
    maybe: ServiceSet

    def __or__(self, other: ServiceBounds) -> ServiceBounds:
        return ServiceBounds(self.sure | other.sure, self.maybe | other.maybe)


EXACTLY_ANY = ServiceBounds(ANY, ANY)
NOTHING = ServiceBounds(NONE, NONE)
UNKNOWN = ServiceBounds(NONE, ANY)


class Services:
    """The services of an export."""

    def __init__(self, services: Iterable[dict[str, Any]], warnings: Warnings) -> None:
        self._warnings = warnings
        self._index = Index(services)
        self._read: dict[int, ServiceBounds] = {}
        self._under_way: list[int] = []

    def resolve(self, reference: str, depth: int = 0) -> ServiceBounds:
        """Return what a rule's reference to a service stands for."""
        found = self._index.find(reference)
        if not found:
            return self._unknown("services", f"service {reference!r} is not in the export")
        if len(found) > 1:
            self._warn("services", f"{len(found)} services are called {reference!r}: an allow leaves them out")
            every = self._service(found[0], depth)
            for service in found[1:]:
                every |= self._service(service, depth)
            return ServiceBounds(NONE, every.maybe)
        return self._service(found[0], depth)

    def entries(self, entries: Iterable[dict[str, Any]], depth: int = 0) -> ServiceBounds:
        """Return what a list of service entries stands for."""
        result = NOTHING
        for entry in entries:
            result |= self._entry(entry, depth)
        return result

    def _service(self, service: dict[str, Any], depth: int) -> ServiceBounds:
        key = id(service)
        if key in self._under_way:
            return self._unknown("nested_service_path", f"service {service.get('display_name')!r} contains itself")
        if key not in self._read:
            self._under_way.append(key)
            self._read[key] = self._read_service(service, depth)
            self._under_way.pop()
        return self._read[key]

    def _read_service(self, service: dict[str, Any], depth: int) -> ServiceBounds:
        unknown = SERVICE.unknown(service)
        if unknown:
            return self._unknown(unknown[0], f"the field {unknown[0]!r} of a service is not understood")
        entries = service.get("service_entries") or []
        if not entries:
            return self._unknown("service_entries", f"service {service.get('display_name')!r} has no entries")
        return self.entries(entries, depth)

    def _warn(self, field_name: str, message: str) -> None:
        self._warnings.add(message, field_name=field_name)

    def _unknown(self, field_name: str, reason: str) -> ServiceBounds:
        self._warn(field_name, f"{reason}: an allow leaves it out, a deny holds every service")
        return UNKNOWN

    def _entry(self, entry: dict[str, Any], depth: int) -> ServiceBounds:
        kind = str(entry.get("resource_type"))
        if kind not in ENTRIES:
            return self._unknown("resource_type", f"service entries of type {kind!r} are not known")
        unknown = ENTRIES[kind].unknown(entry)
        if unknown:
            return self._unknown(unknown[0], f"the field {unknown[0]!r} of a {kind} is not understood")
        if kind == "NestedServiceServiceEntry":
            if depth >= MAX_NESTING:
                return self._unknown(kind, f"services are nested more than {MAX_NESTING} deep")
            return self.resolve(str(entry.get("nested_service_path")), depth + 1)
        try:
            found = ServiceSet(frozenset({_read(kind, entry)}))
        except (KeyError, TypeError, ValueError) as error:
            return self._unknown(kind, f"a service entry of type {kind!r} can't be read ({error})")
        return ServiceBounds(found, found)


def _read(kind: str, entry: dict[str, Any]) -> Entry:
    """The entry of the neutral policy. Raises KeyError, TypeError or ValueError for what can't be read."""
    match kind:
        case "L4PortSetServiceEntry":
            protocol = str(entry["l4_protocol"]).lower()
            if protocol not in ("tcp", "udp"):
                raise ValueError(f"protocol {protocol!r} has no ports")
            return Entry(protocol, _ports(entry.get("destination_ports")), _ports(entry.get("source_ports")))
        case "ALGTypeServiceEntry":
            protocol = ALGS[str(entry["alg"])]
            return Entry(protocol, _ports(entry.get("destination_ports")), _ports(entry.get("source_ports")))
        case "ICMPTypeServiceEntry":
            protocol = {"ICMPv4": "icmp", "ICMPv6": "icmpv6"}[str(entry["protocol"])]
            return Entry(protocol, _octet(entry.get("icmp_type")), _octet(entry.get("icmp_code")))
        case "IGMPTypeServiceEntry":
            return Entry("igmp")
        case "IPProtocolServiceEntry":
            ((number, _),) = _octet(int(entry["protocol_number"]))
            return Entry(PROTOCOLS.get(number, str(number)))
        case _:
            raise ValueError("it is not about IP")


def _octet(value: Any) -> Ranges:
    if value is None:
        return ()
    if not 0 <= int(value) <= ALL_OCTETS[0][1]:
        raise ValueError(f"{value!r} is not between 0 and 255")
    return ((int(value), int(value)),)


def _ports(ports: Any) -> Ranges:
    if not isinstance(ports or [], list):
        raise ValueError(f"{ports!r} is not a list of ports")
    ranges = set()
    for text in ports or []:
        low, dash, high = str(text).partition("-")
        first, last = int(low), int(high) if dash else int(low)
        if not 0 <= first <= last <= ALL_PORTS[0][1]:
            raise ValueError(f"{text!r} is not a range of ports")
        ranges.add((first, last))
    merged = merge(ranges)
    return () if merged == ALL_PORTS else merged


def _both(one: Ranges, other: Ranges) -> Ranges | None:
    if not one or not other:
        return one or other
    return intersect(one, other) or None

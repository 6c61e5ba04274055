"""Services: the protocols and ports that the service entries of NSX-T stand for, and their intersection."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

MAX_NESTING = 8
ALL_PORTS = (0, 65_535)

Ranges = tuple[tuple[int, int], ...]
Warn = Callable[[str], None]


@dataclass(frozen=True, order=True)
class Entry:
    """One protocol with port ranges, where () is all ports, or with an ICMP type and code, where None is all."""

    protocol: str
    destination_ports: Ranges = ()
    source_ports: Ranges = ()
    icmp_type: int | None = None
    icmp_code: int | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the entry as the neutral model has it."""
        value: dict[str, Any] = {"protocol": self.protocol}
        if self.destination_ports:
            value["destinationPorts"] = [list(each) for each in self.destination_ports]
        if self.source_ports:
            value["sourcePorts"] = [list(each) for each in self.source_ports]
        if self.icmp_type is not None:
            value["icmpType"] = self.icmp_type
        if self.icmp_code is not None:
            value["icmpCode"] = self.icmp_code
        return value


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
        pairs = (_intersect(mine, theirs) for mine in self.entries for theirs in other.entries)
        return ServiceSet(frozenset(entry for entry in pairs if entry is not None))


ANY = ServiceSet(None)
NONE = ServiceSet(frozenset())


class Services:
    """The services of an export, by path, id and name."""

    def __init__(self, services: Iterable[dict[str, Any]], warn: Warn) -> None:
        self._warn = warn
        self._by_key: dict[str, dict[str, Any]] = {}
        for service in services:
            for key in (service.get("path"), service.get("id"), service.get("display_name")):
                if key:
                    self._by_key.setdefault(str(key), service)

    def resolve(self, reference: str, depth: int = 0) -> ServiceSet:
        """Return what a rule's reference to a service stands for."""
        service = self._by_key.get(reference) or self._by_key.get(reference.rpartition("/")[2])
        if service is None:
            self._warn(f"service {reference!r} is used by a rule and is not in the export: it is taken as empty")
            return NONE
        return self.entries(service.get("service_entries") or [], depth)

    def entries(self, entries: Iterable[dict[str, Any]], depth: int = 0) -> ServiceSet:
        """Return what a list of service entries stands for."""
        result = NONE
        for entry in entries:
            result |= self._entry(entry, depth)
        return result

    def _entry(self, entry: dict[str, Any], depth: int) -> ServiceSet:
        kind = entry.get("resource_type")
        try:
            if kind in ("L4PortSetServiceEntry", "ALGTypeServiceEntry"):
                protocol = str(entry.get("l4_protocol") or _ALG_PROTOCOLS.get(str(entry.get("alg")), "TCP")).lower()
                found = Entry(protocol, _ports(entry.get("destination_ports")), _ports(entry.get("source_ports")))
            elif kind == "ICMPTypeServiceEntry":
                protocol = "icmpv6" if entry.get("protocol") == "ICMPv6" else "icmp"
                found = Entry(protocol, icmp_type=entry.get("icmp_type"), icmp_code=entry.get("icmp_code"))
            elif kind == "IGMPTypeServiceEntry":
                found = Entry("igmp")
            elif kind == "IPProtocolServiceEntry":
                found = Entry(str(int(entry["protocol_number"])))
            elif kind == "NestedServiceServiceEntry" and depth < MAX_NESTING:
                return self.resolve(str(entry.get("nested_service_path")), depth + 1)
            else:
                self._warn(f"service entries of type {kind!r} can't be translated and are left out")
                return NONE
        except (KeyError, TypeError, ValueError) as error:
            self._warn(f"a service entry of type {kind!r} is left out: {error}")
            return NONE
        return ServiceSet(frozenset({found}))


_ALG_PROTOCOLS = {"TFTP": "UDP", "NBNS_BROADCAST": "UDP", "NBDG_BROADCAST": "UDP"}


def _ports(ports: Any) -> Ranges:
    ranges = set()
    for text in ports or []:
        low, dash, high = str(text).partition("-")
        first, last = int(low), int(high) if dash else int(low)
        if not 0 <= first <= last <= ALL_PORTS[1]:
            raise ValueError(f"{text!r} is no range of ports")
        ranges.add((first, last))
    return merge(ranges)


def merge(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Return ranges in order, with those that touch made one; all ports are ()."""
    merged: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], high))
        else:
            merged.append((low, high))
    return () if merged == [ALL_PORTS] else tuple(merged)


def _intersect(one: Entry, other: Entry) -> Entry | None:
    if one.protocol != other.protocol:
        return None
    destination = _intersect_ranges(one.destination_ports, other.destination_ports)
    source = _intersect_ranges(one.source_ports, other.source_ports)
    if destination is None or source is None:
        return None
    for mine, theirs in ((one.icmp_type, other.icmp_type), (one.icmp_code, other.icmp_code)):
        if mine is not None and theirs is not None and mine != theirs:
            return None
    return Entry(
        one.protocol,
        destination,
        source,
        one.icmp_type if one.icmp_type is not None else other.icmp_type,
        one.icmp_code if one.icmp_code is not None else other.icmp_code,
    )


def _intersect_ranges(one: Ranges, other: Ranges) -> Ranges | None:
    if not one or not other:
        return one or other
    both = {(max(a, c), min(b, d)) for a, b in one for c, d in other if max(a, c) <= min(b, d)}
    return merge(both) if both else None

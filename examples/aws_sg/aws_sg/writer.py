"""Neutral firewall policy in, AWS security groups out, as CloudFormation resources.

A security group only allows, and has no order. So each allow is written as far as no earlier deny takes it away; what
can't be taken away exactly is left out, with a warning: a translation must never allow more than its source.

Each group of the source becomes a security group. A rule's permissions stand in the groups that hold its destinations
(ingress) and its sources (egress). Peers are networks: security groups of other accounts or sites mean nothing here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network
from typing import Any

Network = IPv4Network | IPv6Network
Ranges = tuple[tuple[int, int], ...]

ANY_NETWORKS: tuple[Network, ...] = (IPv4Network("0.0.0.0/0"), IPv6Network("::/0"))
ALL_PORTS: Ranges = ((0, 65_535),)
ALL = "-1"
"""EC2's word for every protocol: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_IpPermission.html"""

MAX_DESCRIPTION_CHARS = 255


@dataclass(frozen=True)
class Box:
    """Traffic from any of some networks to any of others, of one protocol and a set of ports."""

    sources: tuple[Network, ...]
    destinations: tuple[Network, ...]
    protocol: str
    ports: Ranges
    icmp: tuple[int, int] | None = None

    @property
    def empty(self) -> bool:
        """Whether no traffic is in it."""
        return not (self.sources and self.destinations and self.ports)


class SecurityGroupWriter:
    """Writes security groups; holds nothing between them."""

    def translate(self, document: dict[str, Any]) -> dict[str, Any]:
        """Return the security groups of a neutral policy. Raises ValueError if it is none."""
        if not isinstance(document, dict) or document.get("format") != "firewall-policy":
            raise ValueError("this is no neutral firewall policy: its format is not 'firewall-policy'")
        if document.get("version") != 1:
            raise ValueError(f"version {document.get('version')!r} of the neutral policy is not known; 1 is")
        return _Translation(document).run()


class _Translation:
    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        self._warnings: dict[str, None] = {}

    def run(self) -> dict[str, Any]:
        groups = {
            name: _networks(members) for name, members in sorted(self._document.get("groups", {}).items()) if members
        }
        allowed = list(self._allowed())
        resources: dict[str, Any] = {}
        for name, networks in groups.items():
            ingress = [p for rule, box in allowed for p in _permissions(rule, box, box.destinations, networks, True)]
            egress = [p for rule, box in allowed for p in _permissions(rule, box, box.sources, networks, False)]
            resources[_logical_id(name, resources)] = {
                "Type": "AWS::EC2::SecurityGroup",
                "Properties": {
                    "GroupDescription": _description(f"{name} (from {self._document.get('source', 'unknown')})"),
                    "SecurityGroupIngress": _unique(ingress),
                    "SecurityGroupEgress": _unique(egress),
                    "Tags": [{"Key": "Name", "Value": name}],
                },
            }
        return {
            "AWSTemplateFormatVersion": "2010-09-09",
            "Resources": resources,
            "Metadata": {"Warnings": [*self._document.get("warnings", []), *self._warnings]},
        }

    def _warn(self, text: str) -> None:
        self._warnings.setdefault(text)

    def _allowed(self) -> Iterator[tuple[dict[str, Any], Box]]:
        """The traffic that each allow rule really allows, less what earlier rules deny."""
        denied: list[tuple[str, Box]] = []
        for rule in self._document["rules"]:
            if rule.get("sourcesExcluded") or rule.get("destinationsExcluded"):
                self._warn(f"rule {rule['name']!r} has negated groups")
                if rule["action"] != "allow":
                    # What it denies is not known exactly: everything after it could be.
                    denied.append((rule["name"], Box(ANY_NETWORKS, ANY_NETWORKS, ALL, ALL_PORTS)))
                continue
            for side in ("sources", "destinations"):
                if rule[side].get("unresolved") and rule["action"] != "allow":
                    names = ", ".join(rule[side]["unresolved"])
                    self._warn(
                        f"rule {rule['name']!r} denies machines without a known address, allowed or not: {names}"
                    )
            for box in _boxes(rule):
                if rule["action"] != "allow":
                    denied.append((rule["name"], box))
                    continue
                left: list[Box] = [box]
                for name, deny in denied:
                    left = [piece for each in left for piece in self._subtract(rule["name"], each, name, deny)]
                for piece in left:
                    yield rule, piece

    def _subtract(self, allow_name: str, allow: Box, deny_name: str, deny: Box) -> list[Box]:
        """What is left of an allowed box; nothing, with a warning, where that is no box any more."""
        sources = [net for net in allow.sources if _overlaps(net, deny.sources)]
        destinations = [net for net in allow.destinations if _overlaps(net, deny.destinations)]
        same_protocol = deny.protocol in (ALL, allow.protocol) or allow.protocol == ALL
        if not (sources and destinations and same_protocol and _meet(allow.ports, deny.ports)):
            return [allow]
        if deny.icmp is not None and allow.icmp is not None and not _icmp_meets(allow.icmp, deny.icmp):
            return [allow]
        whole_protocol = deny.protocol in (ALL, allow.protocol) and deny.icmp in (None, allow.icmp)
        covers = (
            all(_covered(net, deny.sources) for net in allow.sources),
            all(_covered(net, deny.destinations) for net in allow.destinations),
            whole_protocol and _covers(deny.ports, allow.ports),
        )
        match covers:
            case (True, True, True):
                return []
            case (False, True, True):
                rest = replace(allow, sources=_without(allow.sources, deny.sources))
            case (True, False, True):
                rest = replace(allow, destinations=_without(allow.destinations, deny.destinations))
            case (True, True, False) if whole_protocol:
                rest = replace(allow, ports=_ports_without(allow.ports, deny.ports))
            case _:
                self._warn(f"rule {allow_name!r} is left out where {deny_name!r}, before it, denies a part of it")
                return []
        return [] if rest.empty else [rest]


def _boxes(rule: dict[str, Any]) -> Iterator[Box]:
    sources, destinations = _networks(rule["sources"]), _networks(rule["destinations"])
    versions = {"4": (4,), "6": (6,)}.get(rule.get("ipVersion", "any"), (4, 6))
    for version in versions:
        mine = tuple(net for net in sources if net.version == version)
        theirs = tuple(net for net in destinations if net.version == version)
        services = [{"protocol": ALL}] if rule["services"] is None else rule["services"]
        for service in services:
            ports = tuple((low, high) for low, high in service.get("destinationPorts", ALL_PORTS))
            icmp = None
            if "icmpType" in service:
                icmp = (service["icmpType"], service.get("icmpCode", -1))
            box = Box(mine, theirs, service["protocol"], ports, icmp)
            if not box.empty:
                yield box


def _permissions(
    rule: dict[str, Any], box: Box, own: tuple[Network, ...], group: tuple[Network, ...], ingress: bool
) -> Iterator[dict[str, Any]]:
    """The permissions that a box gives to the members of a group, if any of them is in it."""
    if not any(_overlaps(net, group) for net in own):
        return
    if rule["direction"] != "in-out" and (rule["direction"] == "in") != ingress:
        return
    peers = box.sources if ingress else box.destinations
    for peer in peers:
        where = "CidrIp" if peer.version == 4 else "CidrIpv6"
        base = {where: str(peer), "Description": _description(f"{rule['order']} {rule['name']}")}
        protocol = "58" if box.protocol == "icmpv6" else box.protocol
        if box.protocol in ("tcp", "udp"):
            for low, high in box.ports:
                yield {"IpProtocol": protocol, "FromPort": low, "ToPort": high, **base}
        elif box.protocol in ("icmp", "icmpv6"):
            kind, code = box.icmp or (-1, -1)
            yield {"IpProtocol": protocol, "FromPort": kind, "ToPort": code, **base}
        else:
            yield {"IpProtocol": "2" if protocol == "igmp" else protocol, **base}


def _networks(members: dict[str, Any]) -> tuple[Network, ...]:
    if members.get("any"):
        return ANY_NETWORKS
    return tuple(ip_network(text) for text in members.get("networks", []))


def _same(one: Network, other: Network) -> bool:
    return one.version == other.version


def _overlaps(net: Network, others: tuple[Network, ...]) -> bool:
    return any(_same(net, other) and net.overlaps(other) for other in others)


def _covered(net: Network, others: tuple[Network, ...]) -> bool:
    return any(_same(net, other) and net.subnet_of(other) for other in others)  # type: ignore[arg-type]


def _without(nets: tuple[Network, ...], others: tuple[Network, ...]) -> tuple[Network, ...]:
    left: list[Any] = list(nets)
    for other in others:
        left = [
            piece
            for net in left
            for piece in (
                [net]
                if not (_same(net, other) and net.overlaps(other))
                else []
                if net.subnet_of(other)
                else list(net.address_exclude(other))
            )
        ]
    return tuple(collapse_addresses(sorted(left)))


def _meet(one: Ranges, other: Ranges) -> bool:
    return any(low <= high_ and low_ <= high for low, high in one for low_, high_ in other)


def _covers(outer: Ranges, inner: Ranges) -> bool:
    return all(any(low_ <= low and high <= high_ for low_, high_ in outer) for low, high in inner)


def _ports_without(ports: Ranges, others: Ranges) -> Ranges:
    left = list(ports)
    for low_, high_ in others:
        left = [
            piece
            for low, high in left
            for piece in ((low, min(high, low_ - 1)), (max(low, high_ + 1), high))
            if piece[0] <= piece[1]
        ]
    return tuple(left)


def _icmp_meets(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return all(-1 in pair or pair[0] == pair[1] for pair in zip(one, other, strict=True))


def _logical_id(name: str, taken: dict[str, Any]) -> str:
    base = re.sub(r"[^A-Za-z0-9]", "", name.title()) or "Group"
    number, candidate = 1, base
    while candidate in taken:
        number += 1
        candidate = f"{base}{number}"
    return candidate


def _description(text: str) -> str:
    # What EC2 allows in a description.
    return re.sub(r"[^a-zA-Z0-9. _\-:/()#,@\[\]+=&;{}!$*]", "-", text)[:MAX_DESCRIPTION_CHARS]


def _unique(permissions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    seen: dict[tuple[Any, ...], dict[str, Any]] = {}
    for permission in permissions:
        key = tuple(sorted((name, value) for name, value in permission.items() if name != "Description"))
        seen.setdefault(key, permission)
    return list(seen.values())

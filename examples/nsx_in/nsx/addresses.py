"""Sets of addresses: virtual machines by id, networks, or anything; and their intersection."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network, summarize_address_range

Network = IPv4Network | IPv6Network


@dataclass(frozen=True)
class AddressSet:
    """Virtual machines and networks; `any` is everything there is."""

    vms: frozenset[str] = frozenset()
    networks: frozenset[Network] = frozenset()
    any: bool = False

    def __or__(self, other: AddressSet) -> AddressSet:
        if self.any or other.any:
            return ANY
        return AddressSet(self.vms | other.vms, self.networks | other.networks)

    @property
    def empty(self) -> bool:
        """Whether nothing is in the set."""
        return not (self.any or self.vms or self.networks)


ANY = AddressSet(any=True)


@dataclass(frozen=True)
class Inventory:
    """The virtual machines of an export: names and addresses by id."""

    names: Mapping[str, str] = field(default_factory=dict)
    networks: Mapping[str, frozenset[Network]] = field(default_factory=dict)

    def intersect(self, one: AddressSet, other: AddressSet) -> AddressSet:
        """Return what is in both sets. A machine whose addresses lie in a network is in it."""
        if one.any:
            return other
        if other.any:
            return one
        vms = one.vms & other.vms
        vms |= {vm for vm in one.vms - vms if self._inside(vm, other.networks)}
        vms |= {vm for vm in other.vms - vms if self._inside(vm, one.networks)}
        networks = {
            smaller
            for mine in one.networks
            for theirs in other.networks
            if (smaller := _smaller(mine, theirs)) is not None
        }
        return AddressSet(frozenset(vms), frozenset(networks))

    def resolve(self, addresses: AddressSet) -> tuple[list[str], list[str]]:
        """Return the networks of a set, as sorted CIDRs, and the names of the machines whose addresses nobody knows."""
        networks = set(addresses.networks)
        unresolved = []
        for vm in addresses.vms:
            known = self.networks.get(vm)
            if known:
                networks |= known
            else:
                unresolved.append(self.names.get(vm, vm))
        return [str(network) for network in sorted(networks, key=_order)], sorted(unresolved)

    def _inside(self, vm: str, networks: frozenset[Network]) -> bool:
        own = self.networks.get(vm)
        return bool(own) and all(any(_contains(network, address) for network in networks) for address in own or ())


def parse_networks(text: str) -> frozenset[Network]:
    """Return the networks of an address, a CIDR or a range `a-b`. Raises ValueError."""
    first, dash, last = text.strip().partition("-")
    if dash:
        low, high = ip_address(first.strip()), ip_address(last.strip())
        if low.version != high.version:
            raise ValueError(f"{text!r} mixes IPv4 and IPv6")
        return frozenset(summarize_address_range(low, high))  # type: ignore[type-var]
    return frozenset({ip_network(first, strict=False)})


def union(sets: Iterable[AddressSet]) -> AddressSet:
    """Return the union of sets; of none it is the empty set."""
    result = AddressSet()
    for each in sets:
        result |= each
    return result


def _smaller(one: Network, other: Network) -> Network | None:
    if _contains(one, other):
        return other
    return one if _contains(other, one) else None


def _contains(outer: Network, inner: Network) -> bool:
    return outer.version == inner.version and inner.subnet_of(outer)  # type: ignore[arg-type]


def _order(network: Network) -> tuple[int, int, int]:
    return network.version, int(network.network_address), network.prefixlen

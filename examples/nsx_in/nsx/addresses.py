"""Who a rule is about: virtual machines and addresses, and what is known and what is not known of them.

NSX knows machines by identity; the platforms that are translated to know addresses. A machine whose address is not in
the export stays a machine by its id ("without address"), so that nothing about it is lost on the way.

What can't be evaluated exactly has two bounds: `sure` holds only what is in the set without doubt, `maybe` holds all
that could be. An allow is translated by the first, a deny by the second.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from nsx.ranges import EVERY_ADDRESS, Ranges, intersect, merge, subtract, union


@dataclass(frozen=True)
class Members:
    """The members of a group: machines by id, and addresses that the group names itself."""

    machines: frozenset[str] = frozenset()
    addresses: Ranges = ()

    def __or__(self, other: Members) -> Members:
        return Members(self.machines | other.machines, union(self.addresses, other.addresses))


@dataclass(frozen=True)
class Bounds:
    """What is a member without doubt, and what might be."""

    sure: Members
    maybe: Members
    unknown: bool = False
    """Whether a part could not be evaluated at all."""

    by_user: bool = False
    """Whether it depends on who is logged in, so that no member is sure."""

    def __or__(self, other: Bounds) -> Bounds:
        return Bounds(
            self.sure | other.sure,
            self.maybe | other.maybe,
            self.unknown or other.unknown,
            self.by_user or other.by_user,
        )


def exactly(members: Members) -> Bounds:
    """Return the bounds of a set that is known exactly."""
    return Bounds(members, members)


NOBODY = exactly(Members())


@dataclass(frozen=True)
class AddressSet:
    """Addresses, and machines whose address is not known."""

    addresses: Ranges = ()
    without_address: frozenset[str] = frozenset()

    @property
    def empty(self) -> bool:
        """Whether nothing is in the set."""
        return not (self.addresses or self.without_address)


@dataclass
class Inventory:
    """The virtual machines of an export: names and addresses by id."""

    names: dict[str, str] = field(default_factory=dict)
    addresses: dict[str, Ranges] = field(default_factory=dict)
    everything: Members = field(default_factory=Members)
    without_address: frozenset[str] = frozenset()
    known: Ranges = ()
    """Every address that is known to be a machine's."""

    shared: Mapping[int, frozenset[str]] = field(default_factory=dict)
    """The addresses that several machines have, with these machines."""

    @classmethod
    def of(cls, names: dict[str, str], addresses: dict[str, set[int]]) -> Inventory:
        """Return the inventory of these machines; those without an address are in `names` only."""
        owners: dict[int, set[str]] = {}
        for machine, own in addresses.items():
            for address in own:
                owners.setdefault(address, set()).add(machine)
        return cls(
            names,
            {machine: merge((each, each) for each in own) for machine, own in addresses.items()},
            Members(frozenset(names), EVERY_ADDRESS),
            frozenset(machine for machine in names if not addresses.get(machine)),
            merge((each, each) for each in owners),
            {address: frozenset(found) for address, found in owners.items() if len(found) > 1},
        )

    @property
    def everybody(self) -> AddressSet:
        """The set of all addresses and all machines."""
        return AddressSet(EVERY_ADDRESS, self.without_address)

    def resolve(self, members: Members, *, sure: bool) -> AddressSet:
        """Return the addresses of some members. An address of two machines is sure only if both are members."""
        found = union(members.addresses, *(self.addresses.get(machine, ()) for machine in members.machines))
        if sure:
            doubtful = merge(
                (address, address) for address, owners in self.shared.items() if not owners <= members.machines
            )
            found = subtract(found, subtract(doubtful, members.addresses))
        return AddressSet(found, members.machines & self.without_address)

    def complement(self, members: AddressSet, *, sure: bool) -> AddressSet:
        """Return everything else. What a machine without address might have is not sure to be something else."""
        left = subtract(EVERY_ADDRESS, members.addresses)
        if sure and members.without_address:
            left = intersect(left, self.known)
        return AddressSet(left, self.without_address - members.without_address)

    def intersect(self, one: AddressSet, other: AddressSet, *, sure: bool) -> AddressSet:
        """Return what is in both. A machine without address might be in a network, if not known to be elsewhere."""
        both = one.without_address & other.without_address
        if not sure:
            both |= {each for each in one.without_address if subtract(other.addresses, self.known)}
            both |= {each for each in other.without_address if subtract(one.addresses, self.known)}
        return AddressSet(intersect(one.addresses, other.addresses), both)

    def intersect_members(self, one: Members, other: Members, *, sure: bool) -> Members:
        """Return the members of both.

        A machine whose addresses are in the other set is surely there with these addresses only: whether a rule is
        enforced at its interface, no document says.
        """
        machines = one.machines & other.machines
        if not sure:
            for candidates, addresses in ((one.machines, other.addresses), (other.machines, one.addresses)):
                machines |= {each for each in candidates - machines if self._may_be_inside(each, addresses)}
        written = union(
            intersect(one.addresses, self.resolve(other, sure=sure).addresses),
            intersect(other.addresses, self.resolve(one, sure=sure).addresses),
        )
        return Members(machines, written)

    def _may_be_inside(self, machine: str, addresses: Ranges) -> bool:
        own = self.addresses.get(machine, ())
        return bool(intersect(own, addresses) if own else subtract(addresses, self.known))

    def known_in(self, addresses: Ranges) -> Members:
        """Return those of some addresses that are known to be a machine's."""
        return Members(addresses=intersect(addresses, self.known))

    def machines_at(self, addresses: Ranges) -> frozenset[str]:
        """Return the machines that have one of these addresses, or might have."""
        if not addresses:
            return frozenset()
        here = {machine for machine, own in self.addresses.items() if intersect(own, addresses)}
        return frozenset(here) | (self.without_address if subtract(addresses, self.known) else frozenset())

    def name(self, machine: str) -> str:
        """Return the name to show for a machine."""
        return self.names.get(machine, machine)


def either(sets: Iterable[Bounds]) -> Bounds:
    """Return the union of sets; of none it is the empty set."""
    result = NOBODY
    for each in sets:
        result |= each
    return result

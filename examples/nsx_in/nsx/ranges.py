"""Sets of numbers as ranges: ports, ICMP types, protocols, and IP addresses of both families on one number line.

The examples are packages of their own, so this file is in each of those that need it, with the same text.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

Ranges = tuple[tuple[int, int], ...]
"""In order, apart from each other, both ends included; () is the empty set."""

Network = IPv4Network | IPv6Network

V4: Ranges = ((0, 2**32 - 1),)
V6: Ranges = ((2**32, 2**32 + 2**128 - 1),)
"""IPv6 addresses follow the IPv4 addresses on the number line."""

EVERY_ADDRESS: Ranges = ((0, V6[0][1]),)
FAMILIES: dict[int, Ranges] = {4: V4, 6: V6}


def merge(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Return the set that some ranges, in any order, stand for together."""
    merged: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], high))
        else:
            merged.append((low, high))
    return tuple(merged)


def union(*sets: Ranges) -> Ranges:
    """Return the numbers that are in any of the sets."""
    return merge(each for ranges in sets for each in ranges)


def intersect(one: Ranges, other: Ranges) -> Ranges:
    """Return the numbers that are in both sets."""
    found: list[tuple[int, int]] = []
    first = second = 0
    while first < len(one) and second < len(other):
        low = max(one[first][0], other[second][0])
        high = min(one[first][1], other[second][1])
        if low <= high:
            found.append((low, high))
        if one[first][1] < other[second][1]:
            first += 1
        else:
            second += 1
    return tuple(found)


def subtract(one: Ranges, other: Ranges) -> Ranges:
    """Return the numbers of the first set that are not in the second."""
    left: list[tuple[int, int]] = []
    start = 0
    for low, high in one:
        while start < len(other) and other[start][1] < low:
            start += 1
        at = start
        while at < len(other) and other[at][0] <= high:
            if low < other[at][0]:
                left.append((low, other[at][0] - 1))
            low = max(low, other[at][1] + 1)
            at += 1
        if low <= high:
            left.append((low, high))
    return tuple(left)


def covers(outer: Ranges, inner: Ranges) -> bool:
    """Return whether every number of the second set is in the first."""
    return intersect(outer, inner) == inner


@lru_cache(maxsize=10_000)
def parse_addresses(text: str) -> Ranges:
    """Return the addresses that an address, a CIDR or a range `a-b` stands for. Raises ValueError."""
    first, dash, last = text.strip().partition("-")
    if dash:
        low, high = ip_address(first.strip()), ip_address(last.strip())
        if low.version != high.version or int(low) > int(high):
            raise ValueError(f"{text!r} is not a range of addresses")
        start = FAMILIES[low.version][0][0]
        return ((start + int(low), start + int(high)),)
    network = ip_network(first.strip(), strict=False)
    start = FAMILIES[network.version][0][0]
    return ((start + int(network.network_address), start + int(network.broadcast_address)),)


def networks(ranges: Ranges) -> list[Network]:
    """Return the fewest networks that hold exactly these addresses, IPv4 first, in order."""
    found: list[Network] = []
    for family, bits, kind in ((V4, 32, IPv4Network), (V6, 128, IPv6Network)):
        start = family[0][0]
        for low, high in intersect(ranges, family):
            at, end = low - start, high - start
            while at <= end:
                size = min((at & -at).bit_length() - 1 if at else bits, (end - at + 1).bit_length() - 1)
                found.append(kind((at, bits - size)))
                at += 1 << size
    return found

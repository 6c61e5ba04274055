"""A flow: the first packet of a connection, which is all that a stateful firewall decides on."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

ICMP, TCP, UDP, ICMPV6 = 1, 6, 17, 58
"""https://www.iana.org/assignments/protocol-numbers"""

Address = IPv4Address | IPv6Address


@dataclass(frozen=True)
class Flow:
    """The packet that opens a connection.

    `first` and `second` are the source and destination port of TCP, UDP and SCTP, the type and code of ICMP, and
    meaningless for any other protocol.
    """

    source: str
    destination: str
    protocol: int
    first: int = 0
    second: int = 0

    @property
    def source_address(self) -> Address:
        """The source address."""
        return ip_address(self.source)

    @property
    def destination_address(self) -> Address:
        """The destination address."""
        return ip_address(self.destination)

    @property
    def is_icmp(self) -> bool:
        """Whether `first` and `second` are a type and a code."""
        return self.protocol in (ICMP, ICMPV6)

    def __str__(self) -> str:
        what = {TCP: "tcp", UDP: "udp", ICMP: "icmp", ICMPV6: "icmpv6"}.get(self.protocol, f"protocol {self.protocol}")
        return f"{self.source} -> {self.destination} {what} {self.first}/{self.second}"

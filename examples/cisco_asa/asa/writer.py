"""Neutral firewall policy in, Cisco ASA access list out; the syntax is aerleon's, a library for access lists.

What an access list can't say is never dropped without a word: it stands as a remark in its place. An allow that can't
be written is left out, which closes; a deny that can't be written says so in capitals, because it opens.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any

from aerleon.api import Generate
from aerleon.lib.naming import Naming

ACCESS_LIST = "greenroom"
MAX_REMARK_CHARS = 90
NOBODY = "255.255.255.255"
ACTIONS = {"allow": "accept", "deny": "deny", "reject": "reject"}

ICMP_TYPES = {
    0: "echo-reply",
    3: "unreachable",
    4: "source-quench",
    5: "redirect",
    6: "alternate-address",
    8: "echo-request",
    9: "router-advertisement",
    10: "router-solicitation",
    11: "time-exceeded",
    12: "parameter-problem",
    13: "timestamp-request",
    14: "timestamp-reply",
    15: "information-request",
    16: "information-reply",
    17: "mask-request",
    18: "mask-reply",
    31: "conversion-error",
    32: "mobile-redirect",
}
"""IANA's numbers, by aerleon's names: https://www.iana.org/assignments/icmp-parameters"""

logging.getLogger("absl").setLevel(logging.ERROR)


class AsaWriter:
    """Writes access lists; holds nothing between them."""

    def translate(self, document: dict[str, Any]) -> str:
        """Return the access list for a neutral policy. Raises ValueError if it is none."""
        if not isinstance(document, dict) or document.get("format") != "firewall-policy":
            raise ValueError("this is no neutral firewall policy: its format is not 'firewall-policy'")
        if document.get("version") != 1:
            raise ValueError(f"version {document.get('version')!r} of the neutral policy is not known; 1 is")
        return _AccessList().write(document)


class _AccessList:
    def __init__(self) -> None:
        self._networks: dict[str, Any] = {}
        self._services: dict[str, Any] = {}

    def write(self, document: dict[str, Any]) -> str:
        terms = [term for rule in document["rules"] for term in self._terms(rule)]
        if not terms:
            return f"! access list {ACCESS_LIST}: the policy has no rule\n"
        definitions = Naming()
        definitions.ParseDefinitionsObject({"networks": self._networks, "services": self._services}, "policy")
        policy = {
            "filename": ACCESS_LIST,
            "filters": [{"header": {"targets": {"ciscoasa": ACCESS_LIST}}, "terms": terms}],
        }
        (text,) = Generate([policy], definitions).values()
        return _tidy(str(text))

    def _terms(self, rule: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The terms of one rule: one for each protocol, or only remarks where nothing of it can be written."""
        order, name = rule["order"], rule["name"]
        remarks = [f"rule {order}: {name}"]
        if rule.get("policy"):
            remarks.append(f"{rule['category']} / {rule['policy']}")
        problem = self._problem(rule)
        remarks += [
            f"NO ADDRESS KNOWN in {side}: {', '.join(rule[side]['unresolved'])}"
            for side in ("sources", "destinations")
            if rule[side].get("unresolved")
        ]
        written = 0
        if problem is None:
            base: dict[str, Any] = {"action": ACTIONS[rule["action"]]}
            if rule.get("logged"):
                base["logging"] = True
            for side, key in (("sources", "source-address"), ("destinations", "destination-address")):
                if not rule[side].get("any"):
                    base[key] = self._address_book(f"R{order}-{side}".upper(), _ipv4(rule[side]))
            for number, service in enumerate(rule["services"] or [None]):
                fields = self._service(f"R{order}-{number}", service)
                if fields is None:
                    remarks.append(f"NOT WRITTEN: protocol {service['protocol']} type {service.get('icmpType')}")
                    continue
                written += 1
                yield {"name": f"rule-{order}-{number}", "comment": _remark(remarks), **base, **fields}
                remarks = []
        if not written:
            opens = rule["action"] != "allow"
            remarks.append(f"{'DENY ' if opens else ''}NOT WRITTEN: {problem or 'no service could be written'}")
        if remarks and not written:
            # aerleon writes remarks with a term only: this one is taken out again, and its remarks stay.
            book = self._address_book("NOBODY", [f"{NOBODY}/32"])
            yield {
                "name": f"rule-{order}",
                "comment": _remark(remarks),
                "source-address": book,
                "destination-address": book,
                "action": "deny",
            }

    @staticmethod
    def _problem(rule: dict[str, Any]) -> str | None:
        if rule["action"] not in ACTIONS:
            return f"action {rule['action']} has no counterpart"
        if rule.get("sourcesExcluded") or rule.get("destinationsExcluded"):
            return "negated groups have no counterpart"
        if rule.get("ipVersion") == "6":
            return "it is for IPv6 only"
        if rule["services"] == []:
            return "it has no service"
        for side in ("sources", "destinations"):
            if not rule[side].get("any") and not _ipv4(rule[side]):
                return f"no IPv4 address is known of its {side}"
        return None

    def _address_book(self, name: str, networks: list[str]) -> str:
        self._networks[name] = {"values": [{"address": network} for network in networks]}
        return name

    def _service(self, name: str, service: dict[str, Any] | None) -> dict[str, Any] | None:
        if service is None:
            return {}
        protocol = service["protocol"]
        fields: dict[str, Any] = {"protocol": protocol}
        if protocol in ("tcp", "udp"):
            for key, field in (("destinationPorts", "destination-port"), ("sourcePorts", "source-port")):
                if key in service:
                    book = f"{name}-{field}".upper()
                    self._services[book] = [
                        {"protocol": protocol, "port": str(low) if low == high else f"{low}-{high}"}
                        for low, high in service[key]
                    ]
                    fields[field] = book
            return fields
        if protocol == "icmpv6" or service.get("icmpCode") not in (None, 0):
            return None
        if protocol == "icmp" and "icmpType" in service:
            kind = ICMP_TYPES.get(service["icmpType"])
            return None if kind is None else fields | {"icmp-type": kind}
        return fields


def _ipv4(members: dict[str, Any]) -> list[str]:
    return [network for network in members.get("networks", []) if ip_network(network).version == 4]


def _remark(lines: list[str]) -> str:
    # The text comes from somebody's configuration: one line each, and nothing a terminal would act on.
    clean = (re.sub(r"[^ -~]", "?", line) for line in lines)
    return "\n".join(line if len(line) <= MAX_REMARK_CHARS else f"{line[: MAX_REMARK_CHARS - 3]}..." for line in clean)


def _tidy(text: str) -> str:
    """Leave out aerleon's keywords for version control, terms that only carry remarks, and runs of empty lines."""
    left_out = re.compile(rf"\$(Id|Date|Revision):|host {NOBODY} host {NOBODY}".replace(NOBODY, re.escape(NOBODY)))
    lines = [line.rstrip() for line in text.splitlines() if not left_out.search(line)]
    return re.sub(r"\n{2,}", "\n!\n", "\n".join(lines)).strip() + "\n"

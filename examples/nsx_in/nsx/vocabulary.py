"""What this algorithm understands of an export, field by field, for each kind of object.

A field that is set and stands in neither list might narrow what its object matches. An allow must then be left out and
a deny kept as wide as it may be. Field names are those of the NSX-T policy API:
https://developer.broadcom.com/xapis/nsx-t-data-center-rest-api/latest/
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


def words(text: str) -> frozenset[str]:
    """Return the words of a text as a set."""
    return frozenset(text.split())


EVERY_OBJECT = words(
    "id path relative_path parent_path remote_path display_name description tags resource_type realization_id "
    "unique_id owner_id origin_site_id overridden"
)
"""What any object of the policy API may have, and what narrows nothing: names, places and book-keeping.

Fields whose name begins with an underscore (`_revision`, `_create_time`) are of that kind too.
"""


@dataclass(frozen=True)
class Vocabulary:
    """The fields of one kind of object: read by this algorithm, or known to change nothing of what matches."""

    understood: frozenset[str]
    harmless: frozenset[str] = frozenset()

    def unknown(self, thing: Mapping[str, Any]) -> list[str]:
        """Return the fields that are set (false, empty and null are not, 0 is) and are not in this vocabulary."""
        return sorted(
            name
            for name, value in thing.items()
            if (value or (value == 0 and value is not False))
            and not name.startswith("_")
            and name not in EVERY_OBJECT
            and name not in self.understood
            and name not in self.harmless
        )


RULE = Vocabulary(
    words(
        "action direction source_groups destination_groups sources_excluded destinations_excluded services "
        "service_entries scope ip_protocol disabled sequence_number profiles rule_id logged"
    ),
    # `firewall_rule` is the realised copy of the same rule that some export tools add.
    words("tag notes is_default log_label firewall_rule policy_path internal_sequence_number"),
)

POLICY = Vocabulary(
    words(
        "category scope rules sequence_number default_rule connectivity_preference connectivity_strategy "
        "application_connectivity_strategy stateful scheduler_path"
    ),
    words(
        "tcp_strict locked lock_modified_by lock_modified_time logging_enabled comments internal_sequence_number "
        "is_default default_rule_id rule_count domain"
    ),
)

GROUP = Vocabulary(
    words("expression vm_members ips_members extended_expression"),
    words("group_type state reference ip_group_members"),
)

DOCUMENT = Vocabulary(
    words("services virtual_machines virtual_network_interface segments domains"), words("tier0 tier1 tier0s tier1s")
)
DOMAIN = Vocabulary(words("resources"))
RESOURCES = Vocabulary(
    words("security_policies groups gateway_policies redirection_policies intrusion_service_policies endpoint_policies")
)

SERVICE = Vocabulary(words("service_entries"), words("is_default service_type"))

EXPRESSIONS = {
    "Condition": Vocabulary(words("member_type key operator value")),
    "ConjunctionOperator": Vocabulary(words("conjunction_operator")),
    "NestedExpression": Vocabulary(words("expressions")),
    "IPAddressExpression": Vocabulary(words("ip_addresses")),
    "PathExpression": Vocabulary(words("paths")),
    "ExternalIDExpression": Vocabulary(words("external_ids member_type")),
}

ENTRIES = {
    "L4PortSetServiceEntry": Vocabulary(words("l4_protocol destination_ports source_ports")),
    "ALGTypeServiceEntry": Vocabulary(words("alg destination_ports source_ports")),
    "ICMPTypeServiceEntry": Vocabulary(words("protocol icmp_type icmp_code")),
    "IGMPTypeServiceEntry": Vocabulary(frozenset()),
    "IPProtocolServiceEntry": Vocabulary(words("protocol_number")),
    "NestedServiceServiceEntry": Vocabulary(words("nested_service_path nested_service_id")),
    "EtherTypeServiceEntry": Vocabulary(words("ether_type")),
}


@dataclass(frozen=True)
class Place:
    """Where in the export a warning comes from: the rule, if there is one, and the object in question."""

    rule: str = ""
    name: str = ""
    object: str = ""


@dataclass
class Warnings:
    """Warnings in the order in which they came up, each once."""

    place: Place = field(default_factory=Place)
    _found: dict[tuple[str, ...], dict[str, str]] = field(default_factory=dict)

    def add(self, message: str, *, field_name: str = "", effect: str = "", thing: str = "") -> None:
        """Add a warning at the current place: what is not said exactly, in which field, and what was done about it."""
        warning = {
            "rule": self.place.rule,
            "name": self.place.name,
            "object": thing or self.place.object,
            "field": field_name,
            "effect": effect,
            "message": message,
        }
        self._found.setdefault(tuple(warning.values()), {key: value for key, value in warning.items() if value})

    def as_json(self) -> list[dict[str, str]]:
        """Return the warnings as the neutral policy has them."""
        return list(self._found.values())

"""The form of an NSX-T policy export, as far as this algorithm reads it.

Names and numbers may be texts or numbers, and null is the same as absent, because export tools differ in that. What a
field may say is decided where it is read; `vocabulary.py` says which fields are understood.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from nsx.form import Form, a_list, an_object, is_number, is_scalar
from nsx.vocabulary import words

WHAT = "an NSX-T policy export of the form that is read"

SCALAR = Form("a text, a number, true or false", is_scalar, nullable=True)
NAME = replace(SCALAR, nullable=False)


def _is_sequence_number(value: Any) -> bool:
    if not isinstance(value, str):
        return is_number(value)
    try:
        return math.isfinite(float(value))
    except ValueError:
        return False


SEQUENCE_NUMBER = Form("a number", _is_sequence_number, nullable=True)
LIST_OF_NAMES = replace(a_list(NAME, expected="a list of texts"), nullable=True)
NAMES = Form("a text, or a list of texts", lambda value: isinstance(value, (str, list)), items=NAME, nullable=True)


def _scalars(names: str) -> dict[str, Form]:
    return dict.fromkeys(words(names), SCALAR)


def _objects(fields: Mapping[str, Form]) -> Form:
    return replace(a_list(an_object(fields), expected="a list of objects"), nullable=True)


IDENTITY = _scalars("id external_id path display_name")
OF_MACHINE = _scalars("computer_name os_name")

ENTRY = _scalars("resource_type protocol_number icmp_type icmp_code protocol alg l4_protocol ether_type") | _scalars(
    "nested_service_path"
)
SERVICE = IDENTITY | {"service_entries": _objects(ENTRY)}

MACHINE = {
    **IDENTITY,
    **OF_MACHINE,
    "guest_info": replace(an_object(OF_MACHINE), nullable=True),
    "tags": _objects(_scalars("tag scope")),
}
INTERFACE = _scalars("owner_vm_id") | {"ip_address_info": _objects({"ip_addresses": LIST_OF_NAMES})}
SEGMENT = _scalars("path") | {"subnets": _objects(_scalars("network gateway_address"))}

EXPRESSION: dict[str, Form] = {
    **_scalars("resource_type conjunction_operator member_type key operator value"),
    **dict.fromkeys(("ip_addresses", "paths", "external_ids"), LIST_OF_NAMES),
}
EXPRESSION["expressions"] = _objects(EXPRESSION)
GROUP = IDENTITY | {
    "expression": _objects(EXPRESSION),
    "vm_members": _objects(IDENTITY),
    "ips_members": LIST_OF_NAMES,
}

RULE = {
    **IDENTITY,
    **_scalars("rule_id action direction ip_protocol"),
    **dict.fromkeys(("source_groups", "destination_groups", "services", "scope", "profiles"), NAMES),
    "service_entries": _objects(ENTRY),
    "sequence_number": SEQUENCE_NUMBER,
}
STRATEGY = Form(
    "a text, or an object",
    lambda value: isinstance(value, (str, dict)),
    _scalars("application_connectivity_strategy"),
)
POLICY = {
    **IDENTITY,
    **_scalars("category connectivity_preference connectivity_strategy default_rule_id"),
    "application_connectivity_strategy": Form(
        "a text, or a list", lambda value: isinstance(value, (str, list)), items=STRATEGY, nullable=True
    ),
    "scope": NAMES,
    "sequence_number": SEQUENCE_NUMBER,
    "rules": _objects(RULE),
    "default_rule": replace(an_object(RULE), nullable=True),
}

RESOURCES = {
    "groups": _objects(GROUP),
    "security_policies": _objects(POLICY),
    "gateway_policies": _objects(POLICY),
    **dict.fromkeys(
        ("redirection_policies", "intrusion_service_policies", "endpoint_policies"), replace(a_list(), nullable=True)
    ),
}
DOMAIN = _scalars("id path display_name") | {"resources": replace(an_object(RESOURCES), nullable=True)}
EXPORT = an_object(
    {
        "domains": a_list(an_object(DOMAIN), expected="a list of objects"),
        "services": _objects(SERVICE),
        "virtual_machines": _objects(MACHINE),
        "virtual_network_interface": _objects(INTERFACE),
        "segments": _objects(SEGMENT),
    },
    required="domains",
)
"""An export."""

"""Groups: which machines and networks the expressions of an NSX-T group stand for.

Expressions as in the NSX-T policy API: Condition, ConjunctionOperator, NestedExpression, IPAddressExpression,
PathExpression, ExternalIDExpression. AND binds more tightly than OR. What can't be evaluated is warned of, and the
members that NSX itself had realised (`vm_members`, `ips_members`) stand in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from nsx.addresses import AddressSet, Inventory, Network, parse_networks, union

MAX_NESTING = 16

Machine = dict[str, Any]
Warn = Callable[[str], None]

OPERATORS: dict[str, Callable[[str, str], bool]] = {
    "EQUALS": lambda found, wanted: found.lower() == wanted.lower(),
    "NOTEQUALS": lambda found, wanted: found.lower() != wanted.lower(),
    "CONTAINS": lambda found, wanted: wanted.lower() in found.lower(),
    "STARTSWITH": lambda found, wanted: found.lower().startswith(wanted.lower()),
    "ENDSWITH": lambda found, wanted: found.lower().endswith(wanted.lower()),
    "IN": lambda found, wanted: found.lower() in {part.strip().lower() for part in wanted.split(",")},
    "NOTIN": lambda found, wanted: found.lower() not in {part.strip().lower() for part in wanted.split(",")},
    "MATCHES": lambda found, wanted: bool(re.fullmatch(re.escape(wanted).replace(r"\*", ".*"), found, re.IGNORECASE)),
}
NEGATIVE = {"NOTEQUALS": "EQUALS", "NOTIN": "IN"}

NAME_KEYS = {"Name": "display_name", "ComputerName": "computer_name", "OSName": "os_name"}


class CannotEvaluate(ValueError):
    """An expression of a kind that this algorithm does not know."""


class Groups:
    """The groups of an export, resolved when they are asked for."""

    def __init__(
        self, groups: Iterable[dict[str, Any]], machines: list[Machine], segments: list[dict[str, Any]], warn: Warn
    ) -> None:
        self._warn = warn
        self._machines = {machine_id(machine): machine for machine in machines}
        self._segments = {str(segment.get("path")): segment for segment in segments}
        self._by_key: dict[str, dict[str, Any]] = {}
        self._resolved: dict[str, AddressSet] = {}
        self._under_way: list[str] = []
        for group in groups:
            # Rules name groups by path or, in abbreviated exports, by display name.
            for key in (group.get("path"), group.get("id"), group.get("display_name")):
                if key:
                    self._by_key.setdefault(str(key), group)

    def resolve(self, reference: str) -> AddressSet:
        """Return what a rule's reference stands for: a group, or an address written into the rule itself."""
        group = self._by_key.get(reference) or self._by_key.get(reference.rpartition("/")[2])
        if group is None:
            try:
                return AddressSet(networks=parse_networks(reference))
            except ValueError:
                self._warn(f"group {reference!r} is used by a rule and is not in the export: it is taken as empty")
                return AddressSet()
        name = self.name(reference)
        if name in self._under_way:
            self._warn(f"group {name!r} contains itself: the inner one is taken as empty")
            return AddressSet()
        if name not in self._resolved:
            self._under_way.append(name)
            self._resolved[name] = self._evaluate_group(name, group)
            self._under_way.pop()
        return self._resolved[name]

    def name(self, reference: str) -> str:
        """Return the name to show for a reference."""
        group = self._by_key.get(reference) or self._by_key.get(reference.rpartition("/")[2]) or {}
        return str(group.get("display_name") or reference.rpartition("/")[2] or reference)

    def _evaluate_group(self, name: str, group: dict[str, Any]) -> AddressSet:
        expression = group.get("expression") or []
        realised = self._realised(group)
        if not expression:
            if realised.empty:
                self._warn(f"group {name!r} has no members")
            return realised
        try:
            evaluated = self._evaluate(expression, 0)
        except CannotEvaluate as error:
            self._warn(f"group {name!r}: {error}; the members that NSX had realised stand in")
            return realised
        if not realised.empty and realised.vms - evaluated.vms:
            extra = ", ".join(sorted(realised.vms - evaluated.vms))
            self._warn(f"group {name!r}: NSX had realised members that its expression does not give: {extra}")
        return evaluated

    def _realised(self, group: dict[str, Any]) -> AddressSet:
        vms = {str(vm.get("id") or vm.get("external_id")) for vm in group.get("vm_members") or []}
        networks: set[Network] = set()
        for text in group.get("ips_members") or []:
            networks |= self._networks(str(text))
        # Where machines are known their addresses come from the inventory, not a second time from here.
        return AddressSet(frozenset(vms), frozenset() if vms else frozenset(networks))

    def _evaluate(self, expression: list[dict[str, Any]], depth: int) -> AddressSet:
        if depth > MAX_NESTING:
            raise CannotEvaluate(f"expressions are nested more than {MAX_NESTING} deep")
        terms: list[list[AddressSet]] = [[]]
        for part in expression:
            if part.get("resource_type") == "ConjunctionOperator":
                if part.get("conjunction_operator") == "OR":
                    terms.append([])
                continue
            terms[-1].append(self._term(part, depth))
        inventory = Inventory(networks={vm: machine_networks(m, self._warn) for vm, m in self._machines.items()})
        result = []
        for anded in terms:
            if not anded:
                continue
            both = anded[0]
            for other in anded[1:]:
                both = inventory.intersect(both, other)
            result.append(both)
        return union(result)

    def _term(self, part: dict[str, Any], depth: int) -> AddressSet:
        match part.get("resource_type"):
            case "Condition":
                return self._condition(part)
            case "NestedExpression":
                return self._evaluate(part.get("expressions") or [], depth + 1)
            case "IPAddressExpression":
                networks = [self._networks(str(text)) for text in part.get("ip_addresses") or []]
                return AddressSet(networks=frozenset().union(*networks))
            case "PathExpression":
                return union(self._path(str(path)) for path in part.get("paths") or [])
            case "ExternalIDExpression":
                return AddressSet(vms=frozenset(str(vm) for vm in part.get("external_ids") or []))
            case kind:
                raise CannotEvaluate(f"expressions of type {kind!r} can't be evaluated")

    def _path(self, path: str) -> AddressSet:
        if path in self._segments:
            networks: set[Network] = set()
            for subnet in self._segments[path].get("subnets") or []:
                networks |= self._networks(str(subnet.get("network") or subnet.get("gateway_address")))
            return AddressSet(networks=frozenset(networks))
        return self.resolve(path)

    def _condition(self, condition: dict[str, Any]) -> AddressSet:
        if condition.get("member_type") not in (None, "VirtualMachine"):
            raise CannotEvaluate(f"conditions on {condition.get('member_type')} can't be evaluated")
        key, operator = str(condition.get("key")), str(condition.get("operator"))
        wanted = str(condition.get("value", ""))
        if operator not in OPERATORS:
            raise CannotEvaluate(f"operator {operator!r} is not known")
        if key == "Tag":
            found = {vm for vm, machine in self._machines.items() if _has_tag(machine, operator, wanted)}
        elif key in NAME_KEYS:
            compare, field_ = OPERATORS[operator], NAME_KEYS[key]
            found = {vm for vm, machine in self._machines.items() if compare(str(machine.get(field_) or ""), wanted)}
        else:
            raise CannotEvaluate(f"conditions on {key!r} can't be evaluated")
        return AddressSet(vms=frozenset(found))

    def _networks(self, text: str) -> frozenset[Network]:
        try:
            return parse_networks(text)
        except ValueError as error:
            self._warn(f"address {text!r} is left out: {error}")
            return frozenset()


def machine_id(machine: Machine) -> str:
    """Return the id by which groups and interfaces name a machine."""
    return str(machine.get("external_id") or machine.get("id") or machine.get("display_name"))


def machine_networks(machine: Machine, warn: Warn) -> frozenset[Network]:
    """Return the addresses of a machine's interfaces."""
    networks: set[Network] = set()
    for text in machine.get("ip_addresses") or []:
        try:
            networks |= parse_networks(str(text))
        except ValueError as error:
            warn(f"address {text!r} of machine {machine.get('display_name')!r} is left out: {error}")
    return frozenset(networks)


def _has_tag(machine: Machine, operator: str, wanted: str) -> bool:
    """`scope|tag` asks for both, a value without a bar for the tag in any scope. A negation asks that no tag fits."""
    if operator in NEGATIVE:
        return not _has_tag(machine, NEGATIVE[operator], wanted)
    scope, bar, tag = wanted.partition("|")
    if not bar:
        scope, tag = "", wanted
    return any(
        OPERATORS[operator](str(each.get("tag") or ""), tag) and (not scope or each.get("scope") == scope)
        for each in machine.get("tags") or []
    )

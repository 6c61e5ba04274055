"""NSX-T policy export in, neutral firewall policy out (`../NEUTRAL.md` says what that is).

The neutral policy is one flat list, first match wins. NSX's categories become its order, and JUMP_TO_APPLICATION, which
no other platform has, is worked out: the rules of category Application, as far as they meet the jump's own match, stand
in its place.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from nsx import addresses, services
from nsx.addresses import AddressSet, Inventory
from nsx.groups import Groups, machine_id, machine_networks
from nsx.services import Services, ServiceSet

CATEGORIES = ("Ethernet", "Emergency", "Infrastructure", "Environment", "Application")
"""In the order in which NSX-T evaluates them."""

ACTIONS = {"ALLOW": "allow", "DROP": "deny", "REJECT": "reject", "JUMP_TO_APPLICATION": "jump"}
DIRECTIONS = {"IN": "in", "OUT": "out", "IN_OUT": "in-out"}


@dataclass(frozen=True)
class Rule:
    """One rule of the export, with its references resolved."""

    name: str
    rule_id: str
    policy: str
    category: str
    action: str
    direction: str
    sources: AddressSet
    destinations: AddressSet
    services: ServiceSet
    applied_to: AddressSet
    ip_version: str
    logged: bool
    sources_excluded: bool
    destinations_excluded: bool


class NsxTranslator:
    """Translates exports; holds nothing between them."""

    def translate(self, document: dict[str, Any]) -> dict[str, Any]:
        """Return the neutral policy of an export. Raises ValueError if it is no NSX-T policy export."""
        if not isinstance(document, dict) or not isinstance(document.get("domains"), list):
            raise ValueError("this is no NSX-T policy export: it has no list 'domains'")
        return _Translation(document).run()


class _Translation:
    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        self._warnings: dict[str, None] = {}

    def run(self) -> dict[str, Any]:
        machines = self._machines()
        self._inventory = Inventory(
            {machine_id(machine): str(machine.get("display_name") or machine_id(machine)) for machine in machines},
            {machine_id(machine): machine_networks(machine, self._warn) for machine in machines},
        )
        self._services = Services(self._document.get("services") or [], self._warn)
        rules: list[Rule] = []
        used: dict[str, AddressSet] = {}
        for domain in self._document["domains"]:
            resources = domain.get("resources") or {}
            groups = Groups(resources.get("groups") or [], machines, self._document.get("segments") or [], self._warn)
            rules += self._rules(resources.get("security_policies") or [], groups, used)
            for kind in ("gateway_policies", "redirection_policies"):
                if resources.get(kind):
                    self._warn(f"{len(resources[kind])} {kind} are left out: they are not distributed firewall rules")
        flat = list(self._flat(rules))
        return {
            "format": "firewall-policy",
            "version": 1,
            "source": "nsx-t",
            "groups": {name: self._members(found) for name, found in sorted(used.items())},
            "rules": [self._neutral(number + 1, rule) for number, rule in enumerate(flat)],
            "warnings": list(self._warnings),
        }

    def _warn(self, text: str) -> None:
        self._warnings.setdefault(text)

    def _machines(self) -> list[dict[str, Any]]:
        """The virtual machines, each with the addresses of its interfaces."""
        found: dict[str, list[str]] = {}
        for interface in self._document.get("virtual_network_interface") or []:
            for info in interface.get("ip_address_info") or []:
                found.setdefault(str(interface.get("owner_vm_id")), []).extend(info.get("ip_addresses") or [])
        return [
            {**machine, "ip_addresses": found.get(machine_id(machine), [])}
            for machine in self._document.get("virtual_machines") or []
        ]

    def _rules(self, policies: list[dict[str, Any]], groups: Groups, used: dict[str, AddressSet]) -> Iterator[Rule]:
        def by_category(policy: dict[str, Any]) -> tuple[int, float]:
            category = policy.get("category", "Application")
            if category not in CATEGORIES:
                self._warn(f"category {category!r} is not known: its rules come last")
            order = CATEGORIES.index(category) if category in CATEGORIES else len(CATEGORIES)
            return order, float(policy.get("sequence_number") or 0)

        for policy in sorted(policies, key=by_category):
            rules = [*(policy.get("rules") or []), *([policy["default_rule"]] if policy.get("default_rule") else [])]
            for rule in sorted(rules, key=lambda each: float(each.get("sequence_number") or 0)):
                if rule.get("disabled"):
                    continue
                found = self._rule(rule, policy, groups, used)
                if found is not None:
                    yield found

    def _rule(
        self, rule: dict[str, Any], policy: dict[str, Any], groups: Groups, used: dict[str, AddressSet]
    ) -> Rule | None:
        name = str(rule.get("display_name") or rule.get("id") or rule.get("rule_id"))
        action = ACTIONS.get(str(rule.get("action")))
        if policy.get("category") == "Ethernet" or action is None:
            self._warn(f"rule {name!r} is left out: action {rule.get('action')} in category {policy.get('category')}")
            return None

        def resolved(references: Any) -> AddressSet:
            names = [str(each) for each in references or ["ANY"]]
            if "ANY" in names:
                return addresses.ANY
            found = {reference: groups.resolve(reference) for reference in names}
            used.update({groups.name(reference): members for reference, members in found.items()})
            return addresses.union(found.values())

        scope = resolved(rule.get("scope"))
        if scope.any:
            scope = resolved(policy.get("scope"))
        return Rule(
            name=name,
            rule_id=str(rule.get("rule_id") or rule.get("id") or ""),
            policy=str(policy.get("display_name") or policy.get("id") or ""),
            category=str(policy.get("category", "Application")),
            action=action,
            direction=DIRECTIONS.get(str(rule.get("direction", "IN_OUT")), "in-out"),
            sources=resolved(rule.get("source_groups")),
            destinations=resolved(rule.get("destination_groups")),
            services=self._rule_services(rule),
            applied_to=scope,
            ip_version={"IPV4": "4", "IPV6": "6"}.get(str(rule.get("ip_protocol")), "any"),
            logged=bool(rule.get("logged")),
            sources_excluded=bool(rule.get("sources_excluded")),
            destinations_excluded=bool(rule.get("destinations_excluded")),
        )

    def _rule_services(self, rule: dict[str, Any]) -> ServiceSet:
        named = [str(each) for each in rule.get("services") or []]
        inline = rule.get("service_entries") or []
        if "ANY" in named or not (named or inline):
            return services.ANY
        found = self._services.entries(inline)
        for reference in named:
            found |= self._services.resolve(reference)
        return found

    def _flat(self, rules: list[Rule]) -> Iterator[Rule]:
        application = [rule for rule in rules if rule.category == "Application"]
        for rule in rules:
            if rule.action != "jump":
                yield rule
                continue
            if rule.sources_excluded or rule.destinations_excluded:
                self._warn(f"rule {rule.name!r} jumps with negated groups, which can't be worked out: it is left out")
                continue
            for target in application:
                met = self._meet(rule, target)
                if met is not None:
                    yield met

    def _meet(self, jump: Rule, rule: Rule) -> Rule | None:
        """The part of an Application rule that a jump reaches, or None."""
        if rule.sources_excluded or rule.destinations_excluded:
            self._warn(f"rule {rule.name!r} has negated groups: where {jump.name!r} jumps to it, it is left out")
            return None
        direction = {jump.direction, rule.direction} - {"in-out"}
        versions = {jump.ip_version, rule.ip_version} - {"any"}
        if len(direction) > 1 or len(versions) > 1:
            return None
        met = replace(
            rule,
            name=f"{jump.name} > {rule.name}",
            category=jump.category,
            direction=direction.pop() if direction else "in-out",
            ip_version=versions.pop() if versions else "any",
            sources=self._inventory.intersect(jump.sources, rule.sources),
            destinations=self._inventory.intersect(jump.destinations, rule.destinations),
            applied_to=self._inventory.intersect(jump.applied_to, rule.applied_to),
            services=jump.services.intersect(rule.services),
            logged=jump.logged or rule.logged,
        )
        never = met.sources.empty or met.destinations.empty or met.applied_to.empty or met.services.empty
        return None if never else met

    def _neutral(self, order: int, rule: Rule) -> dict[str, Any]:
        sources, destinations = rule.sources, rule.destinations
        # A rule applied to some machines only is about traffic that enters or leaves these.
        if not rule.applied_to.any:
            if rule.direction == "in" and not rule.destinations_excluded:
                destinations = self._inventory.intersect(destinations, rule.applied_to)
            elif rule.direction == "out" and not rule.sources_excluded:
                sources = self._inventory.intersect(sources, rule.applied_to)
            else:
                self._warn(
                    f"rule {rule.name!r} is applied to some machines in both directions: "
                    "it is written as if it were applied everywhere"
                )
        if rule.services.empty:
            self._warn(f"rule {rule.name!r} has no service that could be translated: it matches nothing")
        value: dict[str, Any] = {
            "order": order,
            "name": rule.name,
            "id": rule.rule_id,
            "policy": rule.policy,
            "category": rule.category,
            "action": rule.action,
            "direction": rule.direction,
            "ipVersion": rule.ip_version,
            "logged": rule.logged,
            "sources": self._members(sources),
            "destinations": self._members(destinations),
            "services": None
            if rule.services.entries is None
            else [entry.as_json() for entry in sorted(rule.services.entries, key=_entry_order)],
        }
        if rule.sources_excluded:
            value["sourcesExcluded"] = True
        if rule.destinations_excluded:
            value["destinationsExcluded"] = True
        return value

    def _members(self, found: AddressSet) -> dict[str, Any]:
        """Addresses as the neutral model has them: any, or networks and machines without a known address."""
        if found.any:
            return {"any": True}
        networks, unresolved = self._inventory.resolve(found)
        if unresolved:
            self._warn(f"no address is known of: {', '.join(unresolved)}")
        return {"networks": networks} | ({"unresolved": unresolved} if unresolved else {})


def _entry_order(entry: services.Entry) -> tuple[str, services.Ranges, services.Ranges, int, int]:
    return (
        entry.protocol,
        entry.destination_ports,
        entry.source_ports,
        -1 if entry.icmp_type is None else entry.icmp_type,
        -1 if entry.icmp_code is None else entry.icmp_code,
    )

"""One rule of the export, and what it surely matches and might match."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from nsx import services
from nsx.addresses import AddressSet, Bounds, Inventory
from nsx.groups import Groups
from nsx.services import ServiceBounds, Services, ServiceSet
from nsx.vocabulary import POLICY, RULE, Place, Warnings

DIRECTIONS = {"IN": "in", "OUT": "out", "IN_OUT": "in-out"}
FAMILIES = {"IPV4": "4", "IPV6": "6", "IPV4_IPV6": "any"}
ACTIONS = {"ALLOW": "allow", "DROP": "deny", "REJECT": "reject", "JUMP_TO_APPLICATION": "jump"}

LEFT_OUT, NARROWED, WIDE = "left out", "narrowed to what is sure", "kept as wide as it may be"
"""What is done about a rule that can't be translated exactly."""


@dataclass(frozen=True)
class Match:
    """The traffic that a rule matches, and the machines at whose interfaces it does so (None: at all of them)."""

    sources: AddressSet
    destinations: AddressSet
    services: ServiceSet
    applied_to: frozenset[str] | None
    direction: str
    ip_version: str

    @property
    def empty(self) -> bool:
        """Whether no traffic can match."""
        nowhere = self.applied_to is not None and not self.applied_to
        return nowhere or self.sources.empty or self.destinations.empty or self.services.empty

    def intersect(self, other: Match, inventory: Inventory, *, sure: bool) -> Match | None:
        """Return the traffic that both match, or None where there is none."""
        directions = {self.direction, other.direction} - {"in-out"}
        versions = {self.ip_version, other.ip_version} - {"any"}
        if len(directions) > 1 or len(versions) > 1:
            return None
        sources = inventory.intersect(self.sources, other.sources, sure=sure)
        destinations = (
            AddressSet() if sources.empty else inventory.intersect(self.destinations, other.destinations, sure=sure)
        )
        if destinations.empty:
            return None
        scopes = [each for each in (self.applied_to, other.applied_to) if each is not None]
        met = Match(
            sources,
            destinations,
            self.services.intersect(other.services),
            frozenset.intersection(*scopes) if scopes else None,
            directions.pop() if directions else "in-out",
            versions.pop() if versions else "any",
        )
        return None if met.empty else met


@dataclass(frozen=True)
class Rule:
    """A rule with its references resolved. `sure` is None where nothing is sure to match."""

    name: str
    rule_id: str
    policy: str
    category: str
    action: str
    logged: bool
    sure: Match | None
    maybe: Match | None

    @property
    def match(self) -> Match | None:
        """What the rule is translated by: an allow by what surely matches, anything else by what might."""
        return self.sure if self.action == "allow" else self.maybe

    @property
    def exact(self) -> bool:
        """Whether both bounds are the same."""
        return self.sure == self.maybe


class RuleReader:
    """Reads rules of policies, with the groups and services of their export."""

    def __init__(self, inventory: Inventory, groups: Groups, services_: Services, warnings: Warnings) -> None:
        self._inventory = inventory
        self._groups = groups
        self._services = services_
        self._warnings = warnings

    def read(self, rule: dict[str, Any], policy: dict[str, Any], action: str | None = None) -> Rule | None:
        """Return a rule with its references resolved; None if it is disabled. `action` overrides the rule's own."""
        if rule.get("disabled") is True:
            return None
        name = str(rule.get("display_name") or rule.get("id") or rule.get("rule_id") or "")
        rule_id = str(rule.get("rule_id") or rule.get("id") or "")
        policy_name = str(policy.get("display_name") or policy.get("id") or "")
        self._warnings.place = Place(rule_id, name, f"policy {policy_name}")
        found = action or ACTIONS.get(str(rule.get("action")))
        if found is None:
            self._warnings.add(
                f"action {rule.get('action')!r} is not known: it might deny", field_name="action", effect=WIDE
            )
        narrowed = self._narrowed(rule, policy, found) or found is None
        matches = [self._match(rule, policy, sure=sure) for sure in (True, False)]
        if matches[0] == matches[1]:
            matches[1] = matches[0]
        self._say_what_is_not_sure(found or "deny", matches)
        return Rule(
            name=name,
            rule_id=rule_id,
            policy=policy_name,
            category=str(policy.get("category") or "Application"),
            action=found or "deny",
            logged=bool(rule.get("logged")),
            sure=None if narrowed or matches[0].empty else matches[0],
            maybe=None if matches[1].empty else matches[1],
        )

    def _narrowed(self, rule: dict[str, Any], policy: dict[str, Any], action: str | None) -> bool:
        """Whether a field that this algorithm can't translate narrows the rule. Each is warned of."""
        fields = [*RULE.unknown(rule), *(f"policy.{name}" for name in POLICY.unknown(policy))]
        if [each for each in rule.get("profiles") or [] if str(each).upper() != "ANY"]:
            fields.append("profiles")
        if policy.get("scheduler_path"):
            fields.append("policy.scheduler_path")
        realised = rule.get("firewall_rule")
        if isinstance(realised, dict) and (
            realised.get("action") not in (None, rule.get("action"))
            or realised.get("is_disabled")
            or realised.get("disabled")
        ):
            fields.append("firewall_rule")
        if policy.get("stateful") not in (None, True):
            fields.append("policy.stateful")
        if str(rule.get("direction") or "IN_OUT") not in DIRECTIONS:
            fields.append("direction")
        if str(rule.get("ip_protocol") or "IPV4_IPV6") not in FAMILIES:
            fields.append("ip_protocol")
        if rule.get("disabled"):
            fields.append("disabled")
        for name in fields:
            self._warnings.add(
                f"{name} narrows the rule and can't be translated",
                field_name=name,
                effect=LEFT_OUT if action == "allow" else WIDE,
            )
        return bool(fields)

    def _match(self, rule: dict[str, Any], policy: dict[str, Any], *, sure: bool) -> Match:
        found = self._rule_services(rule)
        return Match(
            self._side(rule, "source_groups", "sources_excluded", sure),
            self._side(rule, "destination_groups", "destinations_excluded", sure),
            found.sure if sure else found.maybe,
            self._scope(rule, policy, sure),
            DIRECTIONS.get(str(rule.get("direction") or "IN_OUT"), "in-out"),
            FAMILIES.get(str(rule.get("ip_protocol") or "IPV4_IPV6"), "any"),
        )

    def _side(self, rule: dict[str, Any], groups: str, excluded: str, sure: bool) -> AddressSet:
        bounds = self._resolved(rule.get(groups))
        negated = rule.get(excluded) or False
        if negated not in (True, False):
            return AddressSet() if sure else self._inventory.everybody
        if bounds is None:
            return AddressSet() if negated else self._inventory.everybody
        if not negated:
            return self._inventory.resolve(bounds.sure if sure else bounds.maybe, sure=sure)
        others = self._inventory.resolve(bounds.maybe if sure else bounds.sure, sure=not sure)
        return self._inventory.complement(others, sure=sure)

    def _scope(self, rule: dict[str, Any], policy: dict[str, Any], sure: bool) -> frozenset[str] | None:
        """The machines that a rule is applied to. A policy's scope takes the place of those of its rules."""
        bounds = self._resolved(policy.get("scope"))
        if bounds is None:
            bounds = self._resolved(rule.get("scope"))
        if bounds is None:
            return None
        if sure:
            # A group of addresses has no interface that a rule could be applied to.
            return bounds.sure.machines
        return bounds.maybe.machines | self._inventory.machines_at(bounds.maybe.addresses)

    def _resolved(self, references: Any) -> Bounds | None:
        """What some references stand for together; None for everything there is."""
        names = _texts(references) or ["ANY"]
        if "ANY" in {name.upper() for name in names}:
            return None
        found = [self._groups.resolve(name) for name in names]
        for name, bounds in zip(names, found, strict=True):
            self._groups.note_use(name, bounds)
        result = found[0]
        for each in found[1:]:
            result |= each
        return result

    def _rule_services(self, rule: dict[str, Any]) -> ServiceBounds:
        named = _texts(rule.get("services"))
        inline = rule.get("service_entries") or []
        narrower = [name for name in named if name.upper() != "ANY"]
        if not (narrower or inline):
            return services.EXACTLY_ANY
        found = self._services.entries(inline)
        for reference in narrower:
            found |= self._services.resolve(reference)
        # ANY next to something narrower is what some tools write for "nothing else": it is not taken to open.
        return found if narrower == named else services.ServiceBounds(found.sure, services.ANY)

    def _say_what_is_not_sure(self, action: str, matches: list[Match]) -> None:
        sure, maybe = matches
        effect = WIDE if action != "allow" else LEFT_OUT if sure.empty else NARROWED
        for field_name, one, other in (
            ("source_groups", sure.sources, maybe.sources),
            ("destination_groups", sure.destinations, maybe.destinations),
            ("services", sure.services, maybe.services),
            ("scope", sure.applied_to, maybe.applied_to),
        ):
            if one != other:
                self._warnings.add(f"{field_name} can't be worked out exactly", field_name=field_name, effect=effect)
        lacking = {
            self._inventory.name(machine)
            for match in matches
            for side in (match.sources, match.destinations)
            if side != self._inventory.everybody
            for machine in side.without_address
        }
        if lacking:
            self._warnings.add(
                f"no address is known of: {', '.join(sorted(lacking))}", field_name="virtual_network_interface"
            )


def _texts(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else [str(each) for each in value or []]


def as_deny(rule: Rule, reason: str) -> Rule:
    """Return the deny that closes everything a rule might match."""
    return replace(rule, action="deny", name=f"{rule.name} ({reason})", sure=rule.maybe)

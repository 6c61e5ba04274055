"""NSX-T policy export in, neutral firewall policy out (`../NEUTRAL.md` says what that is).

The neutral policy is one flat list, first match wins. NSX's categories become its order, and JUMP_TO_APPLICATION, which
no other platform has, is worked out: the rules of category Application, as far as they meet the jump's own match, stand
in its place.

A translation is never more open than its source. What is not understood, or not known, is left out of an allow and
counts as matched by a deny, and a warning says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv6Address, ip_interface
from itertools import groupby
from typing import Any

from nsx.addresses import AddressSet, Inventory
from nsx.export import EXPORT, WHAT
from nsx.form import WrongForm, check
from nsx.groups import Groups, machine_id
from nsx.ranges import EVERY_ADDRESS, FAMILIES, networks
from nsx.rules import WIDE, Match, Rule, RuleReader, as_deny
from nsx.services import ANY, Services
from nsx.vocabulary import DOCUMENT, DOMAIN, ENTRIES, POLICY, RESOURCES, RULE, Place, Warnings

CATEGORIES = ("Emergency", "Infrastructure", "Environment", "Application", "Default")
"""In the order in which NSX-T evaluates them; Ethernet comes before all of them."""

MAX_TIED = 400
"""Above how many rules of policies without an order all denies are put first, and not only those that meet an allow."""

APPLICATION = ("Application", "Default")
"""Where a jump goes on."""

NOT_TRANSLATED = ("redirection_policies", "intrusion_service_policies", "endpoint_policies")
"""Policies that neither allow nor deny by themselves: they hand traffic to a service that might drop it."""

BOTH = "IPV4_IPV6"
ETHER_TYPES = {0x0800: "IPV4", 0x86DD: "IPV6"}
"""https://www.iana.org/assignments/ieee-802-numbers"""


class NsxTranslator:
    """Translates exports; holds nothing between them."""

    def translate(self, document: dict[str, Any]) -> dict[str, Any]:
        """Return the neutral policy of an export. Raises WrongForm if it is not an NSX-T policy export."""
        check(document, EXPORT, WHAT)
        return _Translation(document, Warnings()).run()


class _Translation:
    def __init__(self, document: dict[str, Any], warnings: Warnings) -> None:
        self._document = document
        self._warnings = warnings
        self._resources = [domain.get("resources") or {} for domain in document["domains"]]
        for where, vocabulary, things in (
            ("the export", DOCUMENT, [document]),
            ("a domain", DOMAIN, document["domains"]),
            ("a domain's resources", RESOURCES, self._resources),
        ):
            for name in sorted({name for thing in things for name in vocabulary.unknown(thing)}):
                if any(part in name for part in ("polic", "rule", "children")):
                    raise WrongForm(
                        f"this is not {WHAT}: {where} has {name!r}, "
                        "which may deny; give the policies in domains[].resources.security_policies"
                    )
                self._warnings.add(f"{where} has {name!r}, which is not read", field_name=name)
        groups = [group for resources in self._resources for group in resources.get("groups") or []]
        machines = {machine_id(machine): machine for machine in document.get("virtual_machines") or []}
        self._inventory = self._take_inventory(machines, groups)
        self._groups = Groups(groups, machines, self._inventory, document.get("segments") or [], self._warnings)
        services = Services(document.get("services") or [], self._warnings)
        self._reader = RuleReader(self._inventory, self._groups, services, self._warnings)

    def run(self) -> dict[str, Any]:
        distributed = list(self._distributed())
        if not any(self._decides_everything(rule) for rule in distributed):
            self._warnings.place = Place()
            self._warnings.add("the default rule is not in the export", effect="what no rule matches is denied")
        rules = [*self._ethernet(), *self._gateways(), *self._flat(distributed)]
        written = [(rule, rule.match) for rule in rules if rule.match is not None]
        return {
            "format": "firewall-policy",
            "version": 2,
            "source": "nsx-t",
            "machines": {
                machine: {
                    "name": self._inventory.name(machine),
                    "networks": _cidrs(AddressSet(self._inventory.addresses.get(machine, ()))),
                }
                for machine in sorted(self._inventory.names)
            },
            "groups": self._named_groups(),
            "rules": [self._neutral(number + 1, rule, match) for number, (rule, match) in enumerate(written)],
            "warnings": self._warnings.as_json(),
        }

    def _take_inventory(self, machines: dict[str, dict[str, Any]], groups: list[dict[str, Any]]) -> Inventory:
        """All machines that the export names anywhere, with the addresses of their interfaces."""
        names = {machine: str(thing.get("display_name") or machine) for machine, thing in machines.items()}
        for identity, name in _members_of(groups):
            names.setdefault(identity, name)
        addresses: dict[str, set[int]] = {}
        for interface in self._document.get("virtual_network_interface") or []:
            owner = str(interface.get("owner_vm_id"))
            names.setdefault(owner, owner)
            for info in interface.get("ip_address_info") or []:
                addresses.setdefault(owner, set()).update(self._read(info.get("ip_addresses") or [], names[owner]))
        inventory = Inventory.of(names, addresses)
        for owners in inventory.shared.values():
            several = ", ".join(sorted(names[owner] for owner in owners))
            self._warnings.add(
                f"machines share an address: {several}", effect="an allow holds the address only if it holds them all"
            )
        return inventory

    def _read(self, texts: list[Any], owner: str) -> Iterator[int]:
        for text in texts:
            try:
                address = ip_interface(str(text)).ip
                address = (address.ipv4_mapped if isinstance(address, IPv6Address) else None) or address
            except ValueError as error:
                self._warnings.add(f"an address of machine {owner!r} can't be read: {error}")
            else:
                yield FAMILIES[address.version][0][0] + int(address)

    def _policies(self, kind: str) -> list[dict[str, Any]]:
        """The policies of a kind of all domains, in the order in which their sequence numbers put them."""
        found = [policy for resources in self._resources for policy in resources.get(kind) or []]
        return self._in_sequence(found, f"{kind} of one category")

    def _in_sequence(self, things: list[dict[str, Any]], what: str) -> list[dict[str, Any]]:
        """By sequence number; in the order of the export where none has one."""
        lacking = [thing for thing in things if thing.get("sequence_number") is None]
        if lacking and len(lacking) < len(things):
            self._warnings.add(
                f"only some of the {what} have a sequence number: the others are taken to have 0",
                field_name="sequence_number",
            )
        return sorted(things, key=_number)

    def _rules_of(self, policy: dict[str, Any]) -> Iterator[Rule]:
        """The rules of a policy in order, its default rule last."""
        place = Place(object=f"policy {policy.get('display_name') or policy.get('id')}")
        self._warnings.place = place
        default = policy.get("default_rule")
        for value in _preferences(policy):
            if value not in ALLOWING | DENYING:
                self._warnings.add(
                    f"connectivity preference {value} is not known: it is taken to deny",
                    field_name="connectivity_preference",
                    effect=WIDE,
                )
            if value in ALLOWING:
                self._warnings.add(
                    f"connectivity preference {value} allows at the end of the policy",
                    field_name="connectivity_preference",
                    effect="left out",
                )
        rules = self._in_sequence(policy.get("rules") or [], "rules of the policy")
        for number, tied in _tied(rules):
            found = [each for rule in tied if (each := self._reader.read(rule, policy)) is not None]
            if len({_rank(rule) for rule in found}) > 1:
                self._warnings.place = place
                self._warn_of_tie(f"rules {', '.join(rule.rule_id for rule in found)}", number)
                found.sort(key=_rank)
            yield from found
        for rule in [*([default] if default else []), *_implied(policy)]:
            last = self._reader.read(rule, policy)
            if last is not None:
                yield last

    def _warn_of_tie(self, what: str, number: float) -> None:
        self._warnings.add(
            f"{what} have the same sequence number {number:g}, so that their order is not known",
            field_name="sequence_number",
            effect="traffic is allowed only if it is in any order",
        )

    def _in_any_order(self, policies: list[list[Rule]]) -> list[Rule]:
        """Rules of policies whose order is not known: traffic is allowed only if each that matches it allows."""
        rules = [rule for policy in policies for rule in policy]
        if len(rules) > MAX_TIED:
            return sorted(rules, key=_rank)
        together: list[Rule] = []
        for policy in reversed(policies):
            together = list(self._both(policy, together))
        return together

    def _both(self, rules: list[Rule], others: list[Rule]) -> Iterator[Rule]:
        """One list with the verdict of two, of which the one that closes counts."""
        for rule in rules:
            for other in others if _rank(rule) else ():
                sure, maybe = self._meet_both(rule, other)
                if maybe is not None:
                    closes = min(rule, other, key=_rank)
                    yield replace(closes, name=f"{rule.name} and {other.name}", sure=sure, maybe=maybe)
            yield rule
        yield from others

    def _distributed(self) -> Iterator[Rule]:
        policies = self._policies("security_policies")

        def category(policy: dict[str, Any]) -> str:
            return str(policy.get("category") or "Application")

        for policy in policies:
            if category(policy) not in (*CATEGORIES, "Ethernet"):
                # Where its rules stand among the others is not known: its denies come first, its allows nowhere.
                self._warnings.place = Place(object=f"policy {policy.get('display_name')}")
                self._warnings.add(f"category {category(policy)!r} is not known", field_name="category")
                yield from (as_deny(rule, "order not known") for rule in self._rules_of(policy) if _closes(rule))
        for each in CATEGORIES:
            for number, tied in _tied([policy for policy in policies if category(policy) == each]):
                found = [list(self._rules_of(policy)) for policy in tied]
                if len(tied) > 1 and len({_rank(rule) for rules in found for rule in rules}) > 1:
                    self._warnings.place = Place()
                    names = ", ".join(str(policy.get("display_name") or policy.get("id")) for policy in tied)
                    self._warn_of_tie(f"policies {names}", number)
                    yield from self._in_any_order(found)
                else:
                    yield from (rule for rules in found for rule in rules)

    def _ethernet(self) -> Iterator[Rule]:
        """The denies of category Ethernet, which comes before all others and whose allows only go on to these."""
        policies = [each for each in self._policies("security_policies") if each.get("category") == "Ethernet"]
        for _, tied_policies in _tied(policies):
            for policy in tied_policies:
                rules = self._in_sequence(policy.get("rules") or [], "rules of the policy")
                for _, tied in _tied(rules):
                    for rule in tied:
                        if rule.get("action") != "ALLOW":
                            yield from self._ethernet_deny(rule, policy)
                    if len(tied_policies) == 1 and any(_passes_everything(rule, policy) for rule in tied):
                        return

    def _ethernet_deny(self, rule: dict[str, Any], policy: dict[str, Any]) -> Iterator[Rule]:
        families = {_family_of_frames(entry) for entry in rule.get("service_entries") or []}
        if families == {None} and not rule.get("services"):
            return  # Frames that carry no IP, such as ARP.
        family = families.pop() if len(families) == 1 and not rule.get("services") else BOTH
        plain = {**rule, "services": ["ANY"], "service_entries": None, "ip_protocol": family}
        found = self._reader.read(plain, {**policy, "stateful": None}, "deny")
        if found is not None:
            self._warnings.add("a rule on Ethernet frames denies", effect=WIDE)
            yield as_deny(found, "Ethernet")

    def _gateways(self) -> Iterator[Rule]:
        """The denies of gateways: which flows pass a gateway is not in the export, so they might close any flow."""
        for policy in self._policies("gateway_policies"):
            # The scope is gateways here, and rules of gateways see traffic in both directions.
            plain = {**policy, "scope": None, "rules": [{**rule, "scope": None} for rule in policy.get("rules") or []]}
            for rule in self._rules_of(plain):
                if _closes(rule) and rule.maybe is not None:
                    self._warnings.add(
                        "a gateway denies, and which flows pass it is not in the export",
                        field_name="gateway_policies",
                        effect=f"{WIDE}; leave gateway_policies out of the export if they do not "
                        "stand between these machines",
                    )
                    yield as_deny(replace(rule, maybe=replace(rule.maybe, direction="in-out")), "gateway")
        self._warnings.place = Place()
        for kind in NOT_TRANSLATED:
            count = sum(len(resources.get(kind) or []) for resources in self._resources)
            if count:
                self._warnings.add(f"{count} {kind} are left out: what their service drops is not in the export")

    def _flat(self, rules: list[Rule]) -> Iterator[Rule]:
        application = [rule for rule in rules if rule.category in APPLICATION]
        for rule in rules:
            if rule.action != "jump":
                yield rule
            elif rule.category in APPLICATION:
                self._warn_of_jump(rule, "it jumps to its own category")
                yield as_deny(rule, "jump not worked out")
            else:
                yield from self._jumped(rule, application)

    def _jumped(self, jump: Rule, application: list[Rule]) -> Iterator[Rule]:
        """What stands in the place of a jump: the rules of Application that it reaches, and what it leaves closed."""
        decided = False
        for target in application:
            sure, maybe = self._meet_both(jump, target)
            if maybe is None:
                continue
            met = replace(
                target,
                name=f"{jump.name} > {target.name}",
                category=jump.category,
                logged=jump.logged or target.logged,
                action="deny" if target.action == "jump" else target.action,
                sure=sure,
                maybe=maybe,
            )
            if met.match is not None:
                yield met
            decided = decided or met.sure == jump.maybe
        if not decided and jump.maybe is not None:
            # Traffic that jumps never comes back to the category that it left.
            if not jump.exact:
                self._warn_of_jump(jump, "what jumps is not known exactly")
            else:
                self._warn_of_jump(jump, "category Application ends without a rule for all that jumps")
            yield as_deny(jump, "jumped")

    def _warn_of_jump(self, jump: Rule, reason: str) -> None:
        self._warnings.place = Place(jump.rule_id, jump.name, f"policy {jump.policy}")
        self._warnings.add(f"{reason}: all that might jump and is not allowed there is denied", field_name="action")

    def _meet_both(self, one: Rule, other: Rule) -> tuple[Match | None, Match | None]:
        """What two rules both surely match, and what both might match."""
        maybe = self._meet(one.maybe, other.maybe, sure=False)
        exact = one.sure is one.maybe and other.sure is other.maybe and not self._inventory.without_address
        if maybe is None or exact:
            return maybe, maybe
        return self._meet(one.sure, other.sure, sure=True), maybe

    def _meet(self, one: Match | None, other: Match | None, *, sure: bool) -> Match | None:
        if one is None or other is None:
            return None
        return one.intersect(other, self._inventory, sure=sure)

    def _decides_everything(self, rule: Rule) -> bool:
        everybody = self._inventory.everybody
        everything = Match(everybody, everybody, ANY, None, "in-out", "any")
        return rule.action != "jump" and rule.sure == everything

    def _named_groups(self) -> dict[str, Any]:
        """The groups that rules use, by name; a name that several groups have is given with the path."""
        used = self._groups.used
        names = [name for name, _ in used.values()]
        found = {}
        for key, (name, bounds) in sorted(used.items(), key=lambda item: (item[1][0], item[0])):
            members = self._members(self._inventory.resolve(bounds.sure, sure=True))
            machines = sorted(bounds.sure.machines)
            found[name if names.count(name) == 1 else f"{name} ({key})"] = {**members, "machines": machines}
        return found

    def _neutral(self, order: int, rule: Rule, match: Match) -> dict[str, Any]:
        applied = {"any": True} if match.applied_to is None else {"machines": sorted(match.applied_to)}
        return {
            "order": order,
            "name": rule.name,
            "id": rule.rule_id,
            "policy": rule.policy,
            "category": rule.category,
            "action": rule.action,
            "direction": match.direction,
            "ipVersion": match.ip_version,
            "appliedTo": applied,
            "logged": rule.logged,
            "sources": self._members(match.sources),
            "destinations": self._members(match.destinations),
            "services": match.services.as_json(),
        }

    def _members(self, found: AddressSet) -> dict[str, Any]:
        """Addresses as the neutral policy has them: any, or networks and the ids of machines without an address."""
        if found == self._inventory.everybody:
            return {"any": True}
        unresolved = sorted(found.without_address)
        return {"networks": _cidrs(found)} | ({"unresolved": unresolved} if unresolved else {})


def _members_of(groups: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """The ids and names of the machines that groups name."""
    for group in groups:
        for member in group.get("vm_members") or []:
            identity = member.get("external_id") or member.get("id")
            if identity:
                yield str(identity), str(member.get("display_name") or identity)
        for part in group.get("expression") or []:
            for identity in part.get("external_ids") or []:
                yield str(identity), str(identity)


def _cidrs(found: AddressSet) -> list[str]:
    if found.addresses == EVERY_ADDRESS:
        return ["0.0.0.0/0", "::/0"]
    return [str(network) for network in networks(found.addresses)]


def _family_of_frames(entry: dict[str, Any]) -> str | None:
    """Which IP family an entry about frames means: one, both where that is not known, or None for frames without IP."""
    value = entry.get("ether_type")
    if entry.get("resource_type") != "EtherTypeServiceEntry" or value is None or ENTRIES_OF_FRAMES.unknown(entry):
        return BOTH
    try:
        number = value if isinstance(value, int) else int(str(value), 0)
    except ValueError:
        return BOTH
    return ETHER_TYPES.get(number)


ENTRIES_OF_FRAMES = ENTRIES["EtherTypeServiceEntry"]


def _number(thing: dict[str, Any]) -> float:
    """The sequence number, which is 0 where there is none."""
    return float(thing.get("sequence_number") or 0)


def _tied(things: list[dict[str, Any]]) -> Iterator[tuple[float, list[dict[str, Any]]]]:
    """Policies or rules in order, those together that have one number; without a number each is alone."""
    for number, tied in groupby(things, key=_number):
        found = list(tied)
        if any(thing.get("sequence_number") is not None for thing in found):
            yield number, found
        else:
            yield from ((number, [thing]) for thing in found)


def _rank(rule: Rule) -> int:
    """How much a rule lets through, where the order of rules is not known: denies come first, allows last."""
    return {"allow": 2, "jump": 1}.get(rule.action, 0)


def _closes(rule: Rule) -> bool:
    return rule.action != "allow"


def _passes_everything(rule: dict[str, Any], policy: dict[str, Any]) -> bool:
    """Whether a rule of category Ethernet lets all frames go on, so that none after it matters."""
    lists = [rule.get(key) for key in ("source_groups", "destination_groups", "services", "scope")]
    lists.append(policy.get("scope"))
    return (
        rule.get("action") == "ALLOW"
        and not (rule.get("disabled") or rule.get("service_entries"))
        and str(rule.get("direction") or "IN_OUT") == "IN_OUT"
        and str(rule.get("ip_protocol") or BOTH) == BOTH
        and not (RULE.unknown(rule) or POLICY.unknown(policy) or policy.get("scheduler_path"))
        and all(not each or str(each[0]).upper() == "ANY" for each in lists)
    )


def _implied(policy: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The denies that a policy's connectivity preference puts at its end. What is not known is taken to deny."""
    for value in _preferences(policy):
        if value not in ALLOWING:
            direction = {"DROP_INGRESS": "IN", "DROP_EGRESS": "OUT"}.get(value, "IN_OUT")
            name = {"display_name": f"connectivity preference {value}", "id": policy.get("default_rule_id")}
            yield {**name, "action": "DROP", "direction": direction}


def _preferences(policy: dict[str, Any]) -> list[str]:
    strategies = policy.get("application_connectivity_strategy") or []
    found = [
        policy.get("connectivity_preference"),
        policy.get("connectivity_strategy"),
        *(
            each.get("application_connectivity_strategy") if isinstance(each, dict) else each
            for each in ([strategies] if isinstance(strategies, str) else strategies)
        ),
    ]
    return [str(value).upper() for value in found if value and str(value).upper() != "NONE"]


ALLOWING = frozenset(
    {
        *("DENYLIST", "DENYLIST_ENABLE_LOGGING", "BLACKLIST", "BLACKLIST_ENABLE_LOGGING"),
        *("ALLOW_INTRA", "ALLOW_INGRESS", "ALLOW_EGRESS"),
    }
)
"""Preferences whose rule at the end of the policy allows: it is left out."""

DENYING = frozenset(
    {
        *("ALLOWLIST", "ALLOWLIST_ENABLE_LOGGING", "WHITELIST", "WHITELIST_ENABLE_LOGGING"),
        *("DROP_INGRESS", "DROP_EGRESS"),
    }
)
"""Preferences whose rule at the end of the policy denies."""

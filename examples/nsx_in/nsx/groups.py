"""Groups: which machines and addresses an NSX-T group stands for.

Expressions as in the NSX-T policy API: Condition, ConjunctionOperator, NestedExpression, IPAddressExpression,
PathExpression, ExternalIDExpression. AND binds more tightly than OR. Groups are told apart by their path, never by
their name. Where NSX's own realised members (`vm_members`, `ips_members`) are in the export, they and the expression
must agree on a member for it to be sure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from nsx.addresses import Bounds, Inventory, Members, either, exactly
from nsx.ranges import parse_addresses, union
from nsx.vocabulary import EXPRESSIONS, GROUP, Warnings

MAX_NESTING = 16
"""How deep the expressions of a group may be nested."""

MAX_CHAIN = 50
"""How many groups may contain each other in a row."""

Thing = dict[str, Any]

OPERATORS: dict[str, Callable[[str, str], bool]] = {
    "EQUALS": lambda found, wanted: found == wanted,
    "CONTAINS": lambda found, wanted: wanted in found,
    "STARTSWITH": lambda found, wanted: found.startswith(wanted),
    "ENDSWITH": lambda found, wanted: found.endswith(wanted),
    "IN": lambda found, wanted: found in {part.strip() for part in wanted.split(",")},
    "MATCHES": lambda found, wanted: _fits(found, wanted),
}
NEGATIVE = {"NOTEQUALS": "EQUALS", "NOTIN": "IN"}

NAME_KEYS = {"Name": "display_name", "ComputerName": "computer_name", "OSName": "os_name"}


def _fits(found: str, pattern: str) -> bool:
    """Whether a text fits a pattern in which a star is any text; in one pass, whatever the pattern is."""
    first, *rest = pattern.split("*")
    if not rest:
        return found == pattern
    *middle, last = rest
    if not found.startswith(first) or not found.endswith(last):
        return False
    place, end = len(first), len(found) - len(last)
    for part in middle:
        place = found.find(part, place, end)
        if place < 0:
            return False
        place += len(part)
    return place <= end


class CannotEvaluate(ValueError):
    """An expression of a kind that this algorithm does not know."""


class Index:
    """Finds groups or services by what a rule calls them: the path, or in abbreviated exports an id or a name."""

    def __init__(self, things: Iterable[Thing]) -> None:
        self._by_path: dict[str, list[Thing]] = {}
        self._by_name: dict[str, list[Thing]] = {}
        for thing in things:
            if thing.get("path"):
                self._by_path.setdefault(str(thing["path"]), []).append(thing)
            for key in dict.fromkeys((thing.get("id"), thing.get("display_name"))):
                if key:
                    self._by_name.setdefault(str(key), []).append(thing)

    def find(self, reference: str) -> list[Thing]:
        """Return what a reference names: one thing, none, or several where a name is not enough to tell them apart."""
        if reference in self._by_path:
            return self._by_path[reference]
        if "/" not in reference:
            return self._by_name.get(reference, [])
        # A path names one object. What has another path is another object, whatever it is called.
        return [thing for thing in self._by_name.get(reference.rpartition("/")[2], []) if not thing.get("path")]


class Groups:
    """The groups of an export, evaluated when they are asked for."""

    def __init__(
        self,
        groups: list[Thing],
        machines: dict[str, Thing],
        inventory: Inventory,
        segments: list[Thing],
        warnings: Warnings,
    ) -> None:
        self._index = Index(groups)
        self._machines = machines
        self._inventory = inventory
        self._segments = {str(segment.get("path")): segment for segment in segments}
        self._warnings = warnings
        self._evaluated: dict[int, Bounds] = {}
        self._under_way: list[int] = []
        self._anything = Bounds(Members(), inventory.everything, unknown=True)
        self.used: dict[str, tuple[str, Bounds]] = {}
        """The groups that were asked for by a rule: name and members by path."""

    def resolve(self, reference: str) -> Bounds:
        """Return what a reference stands for: a group, or an address that is written into the rule itself."""
        found = self._index.find(reference)
        if not found:
            try:
                return exactly(Members(addresses=parse_addresses(reference)))
            except ValueError:
                self._warnings.add(
                    f"group {reference!r} is not in the export: nobody is in it without doubt, anybody might be",
                    thing=reference,
                )
                return self._anything
        bounds = [self._group(group) for group in found]
        if len(found) == 1:
            return bounds[0]
        self._warnings.add(
            f"{len(found)} groups are called {reference!r}, and the rule does not say which one: "
            "an allow holds only their common members, a deny the members of any of them",
            thing=reference,
        )
        common = bounds[0].sure
        for each in bounds[1:]:
            common = self._inventory.intersect_members(common, each.sure, sure=True)
        return replace(either(bounds), sure=common)

    def note_use(self, reference: str, bounds: Bounds) -> None:
        """Remember that a rule refers to a group, so that it becomes a group of the neutral policy."""
        for group in self._index.find(reference)[:1]:
            key = str(group.get("path") or group.get("id") or group.get("display_name"))
            self.used.setdefault(key, (str(group.get("display_name") or key.rpartition("/")[2]), bounds))

    def _group(self, group: Thing) -> Bounds:
        key = id(group)
        name = str(group.get("path") or group.get("display_name"))
        if key in self._under_way or len(self._under_way) > MAX_CHAIN:
            what = "contains itself" if key in self._under_way else f"is in groups more than {MAX_CHAIN} deep"
            self._warnings.add(f"group {name!r} {what}", thing=name)
            return self._anything
        if key not in self._evaluated:
            place = self._warnings.place
            self._warnings.place = replace(place, rule="", name="", object=name)
            self._under_way.append(key)
            self._evaluated[key] = self._evaluate_group(name, group)
            self._under_way.pop()
            self._warnings.place = place
        return self._evaluated[key]

    def _evaluate_group(self, name: str, group: Thing) -> Bounds:
        bounds = self._members(name, group)
        unknown = GROUP.unknown(group)
        if group.get("extended_expression"):
            # It selects by the user who is logged in, of the members that the expression gives.
            self._warnings.add(f"group {name!r} depends on who is logged in", field_name="extended_expression")
            return replace(bounds, sure=Members(), unknown=True, by_user=True)
        if unknown:
            self._warnings.add(
                f"group {name!r} has fields that are not understood: {', '.join(unknown)}", field_name=unknown[0]
            )
            return self._anything
        return bounds

    def _members(self, name: str, group: Thing) -> Bounds:
        expression = group.get("expression") or []
        realised = self._realised(group)
        if not expression:
            if not any(group.get(kind) is not None for kind in ("vm_members", "ips_members", "expression")):
                self._warnings.add(f"group {name!r} has neither an expression nor members in the export")
                return self._anything
            return realised
        evaluated = self._evaluate(expression, 0)
        return self._agreed(name, group, evaluated, realised)

    def _agreed(self, name: str, group: Thing, evaluated: Bounds, realised: Bounds) -> Bounds:
        """The members on which the expression and NSX's realised members agree, and those that one of them gives."""
        has_machines, has_addresses = (group.get(each) is not None for each in ("vm_members", "ips_members"))
        if not (has_machines or has_addresses):
            return evaluated

        # Export tools that know no addresses give machines only, and the other way round.
        agreed = Members(
            realised.sure.machines if has_machines else evaluated.sure.machines,
            realised.sure.addresses if has_addresses else evaluated.sure.addresses,
        )
        sure = self._inventory.intersect_members(agreed, evaluated.maybe, sure=True)
        if evaluated.by_user:
            sure = Members()
        possible = evaluated.maybe if evaluated.unknown else evaluated.sure
        bounds = Bounds(sure, realised.maybe | possible, evaluated.unknown, evaluated.by_user)
        one, other = (self._inventory.resolve(each, sure=False) for each in (bounds.sure, bounds.maybe))
        if one != other and not evaluated.unknown:
            self._warnings.add(
                f"group {name!r}: its expression and the members that NSX had realised differ: "
                "an allow holds what both give, a deny what either gives",
                field_name="expression",
            )
        return bounds

    def _realised(self, group: Thing) -> Bounds:
        sure: set[str] = set()
        maybe: set[str] = set()
        for member in group.get("vm_members") or []:
            found = list(self.machine_ids(member))
            maybe.update(found)
            if len(found) == 1:
                sure.update(found)
            else:
                self._warnings.add(
                    f"{len(found)} machines are called {member.get('display_name')!r}", field_name="vm_members"
                )
        bounds = Bounds(Members(frozenset(sure)), Members(frozenset(maybe)))
        return either([bounds, *(self._address(str(text)) for text in group.get("ips_members") or [])])

    def machine_ids(self, member: Thing) -> Iterator[str]:
        """Return the ids of the machines that an entry of `vm_members` might mean: one, if it has an id."""
        identity = member.get("external_id") or member.get("id")
        if identity:
            yield str(identity)
            return
        for machine in self._machines.values():
            if machine.get("display_name") == member.get("display_name"):
                yield machine_id(machine)

    def _evaluate(self, expression: list[Thing], depth: int) -> Bounds:
        if depth > MAX_NESTING:
            return self._cannot("NestedExpression", f"expressions are nested more than {MAX_NESTING} deep")
        terms: list[list[Bounds]] = [[]]
        operators = [part.get("resource_type") == "ConjunctionOperator" for part in expression]
        if operators != [at % 2 == 1 for at in range(len(expression))] or operators[-1:] == [True]:
            return self._cannot("expression", "conditions and conjunctions do not take turns")
        for part in expression:
            if part.get("resource_type") == "ConjunctionOperator":
                if part.get("conjunction_operator") == "OR":
                    terms.append([])
                elif part.get("conjunction_operator") != "AND":
                    return self._cannot("conjunction_operator", f"{part.get('conjunction_operator')!r} is not known")
                continue
            terms[-1].append(self._term(part, depth))
        return either(self._all_of(anded) for anded in terms if anded)

    def _all_of(self, anded: list[Bounds]) -> Bounds:
        both = anded[0]
        for other in anded[1:]:
            both = Bounds(
                self._inventory.intersect_members(both.sure, other.sure, sure=True),
                self._inventory.intersect_members(both.maybe, other.maybe, sure=False),
                both.unknown or other.unknown,
                both.by_user or other.by_user,
            )
        return both

    def _cannot(self, field_name: str, reason: str) -> Bounds:
        self._warnings.add(
            f"an expression can't be evaluated: {reason}; members that NSX had realised stand in for an allow",
            field_name=field_name,
        )
        return self._anything

    def _term(self, part: Thing, depth: int) -> Bounds:
        kind = str(part.get("resource_type"))
        if kind not in EXPRESSIONS:
            found = self._cannot(kind, f"type {kind!r} is not known")
            return replace(found, by_user=kind == "IdentityGroupExpression")
        unknown = EXPRESSIONS[kind].unknown(part)
        if unknown:
            return self._cannot(unknown[0], f"the field {unknown[0]!r} of a {kind} is not understood")
        try:
            match kind:
                case "Condition":
                    return self._condition(part)
                case "NestedExpression":
                    return self._evaluate(part.get("expressions") or [], depth + 1)
                case "IPAddressExpression":
                    texts = part.get("ip_addresses") or []
                    return exactly(Members(addresses=union(*(parse_addresses(str(text)) for text in texts))))
                case "PathExpression":
                    return either(self._path(str(path)) for path in part.get("paths") or [])
                case _:
                    if part.get("member_type") not in (None, "VirtualMachine"):
                        raise CannotEvaluate(f"members of type {part.get('member_type')!r} have no address here")
                    return exactly(Members(frozenset(str(each) for each in part.get("external_ids") or [])))
        except ValueError as error:
            return self._cannot(kind, str(error))

    def _path(self, path: str) -> Bounds:
        if path not in self._segments:
            return self.resolve(path)
        subnets = self._segments[path].get("subnets") or []
        if not subnets:
            return self._cannot("paths", f"segment {path!r} has no subnets in the export")
        self._warnings.add(
            f"segment {path!r} stands for its subnets in a deny, for the machines there in an allow", field_name="paths"
        )
        texts = [str(subnet.get("network") or subnet.get("gateway_address")) for subnet in subnets]
        inside = union(*(parse_addresses(text) for text in texts))
        # Its ports are the members, and the export does not name them: machines with an address of it must be some.
        return Bounds(
            self._inventory.known_in(inside), Members(self._inventory.machines_at(inside), inside), unknown=True
        )

    def _condition(self, condition: Thing) -> Bounds:
        if condition.get("member_type") not in (None, "VirtualMachine"):
            raise CannotEvaluate(f"conditions on {condition.get('member_type')} are not known")
        key, operator = str(condition.get("key")), str(condition.get("operator"))
        positive, wanted = NEGATIVE.get(operator, operator), str(condition.get("value", ""))
        if positive not in OPERATORS or not (key == "Tag" or key in NAME_KEYS):
            raise CannotEvaluate(f"conditions on {key!r} with {operator!r} are not known")

        # Whether case matters, and which scopes `|tag` means, is taken both ways: where the two readings differ, a
        # machine is a member for a deny only.
        strict = {each for each, machine in self._machines.items() if _holds(machine, key, positive, wanted, True)}
        loose = {each for each, machine in self._machines.items() if _holds(machine, key, positive, wanted, False)}
        lacking = {each for each, machine in self._machines.items() if key != "Tag" and _named(machine, key) is None}
        strict, loose = strict - lacking, loose | lacking
        if strict != loose:
            self._warnings.add(
                f"a condition on {key} {operator} {wanted!r} depends on case, on an empty scope, or on what the export "
                "does not say of a machine",
                field_name="value",
            )
        everyone = frozenset(self._machines)
        if operator in NEGATIVE:
            return Bounds(Members(everyone - loose), Members(everyone - strict))
        return Bounds(Members(frozenset(strict)), Members(frozenset(loose | strict)))

    def _address(self, text: str) -> Bounds:
        try:
            return exactly(Members(addresses=parse_addresses(text)))
        except ValueError as error:
            self._warnings.add(f"a member can't be read: {error}", field_name="ips_members")
            return self._anything


def machine_id(machine: Thing) -> str:
    """Return the id by which groups and interfaces name a machine."""
    return str(machine.get("external_id") or machine.get("id") or machine.get("display_name"))


def _named(machine: Thing, key: str) -> str | None:
    """A machine's name, computer name or operating system; None where the export does not say."""
    field_name = NAME_KEYS[key]
    found = machine.get(field_name) or (machine.get("guest_info") or {}).get(field_name)
    return None if found is None else str(found)


def _holds(machine: Thing, key: str, operator: str, wanted: str, strict: bool) -> bool:
    compare = OPERATORS[operator]
    fold = str if strict else str.lower
    if key != "Tag":
        return compare(fold(_named(machine, key) or ""), fold(wanted))
    scope, bar, tag = wanted.partition("|")
    if not bar:
        scope, tag = "", wanted
    any_scope = not bar or (not strict and not scope)
    any_tag = bool(bar) and not strict and not tag
    return any(
        (any_tag or compare(fold(str(each.get("tag") or "")), fold(tag)))
        and (any_scope or fold(str(each.get("scope") or "")) == fold(scope))
        for each in machine.get("tags") or []
    )

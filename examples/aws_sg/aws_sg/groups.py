"""Which security groups there are: for which machines, with which permissions.

A group of the source becomes a security group and has the permissions that each of its machines has; what only some of
them have stands in a further group for just these. Where that takes more than a template holds, machines share groups
in other ways, which say the same in fewer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from .permissions import EGRESS, INGRESS, Permission, Permissions, condensed
from .policy import Policy

MAX_RULES = 60
"""Inbound or outbound rules of a security group, for each family. This quota and the next are AWS's defaults:
https://docs.aws.amazon.com/vpc/latest/userguide/amazon-vpc-limits.html#vpc-limits-security-groups
"""

MAX_GROUPS = 5
"""Security groups of a network interface."""

MAX_RESOURCES = 500
"""https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html"""

MAX_TEMPLATE_BYTES = 1_000_000
"""What CloudFormation reads from S3, a little less than its 1 MB: of the same page."""

RULE_BYTES = 110
"""About what a permission takes in a template."""

MAX_NAMED = 60
"""How many rules a warning names."""

COMMON = "all machines"
"""The name of the groups that all machines have."""

Key = tuple[bool, Permission]
"""A permission with its direction."""


@dataclass
class SecurityGroup:
    """A security group to be written: for these machines, with these permissions."""

    name: str
    machines: frozenset[str]
    permissions: list[Key]


@dataclass
class Grouping:
    """One way to give machines their permissions, and what it leaves out."""

    groups: list[SecurityGroup] = field(default_factory=list)
    left_out: int = 0
    """How many permissions, each counted for each machine."""

    rules_left_out: dict[tuple[str, ...], set[str]] = field(default_factory=dict)
    """The rules that these belong to, by the machines."""

    def leave_out(self, keys: list[Key], machines: list[str]) -> None:
        """Note that machines do not get permissions."""
        self.left_out += len(keys) * len(machines)
        rules = self.rules_left_out.setdefault(tuple(machines), set())
        rules.update(permission.description for _, permission in keys)

    @property
    def fits(self) -> bool:
        """Whether a template takes it, about."""
        size_bytes = RULE_BYTES * sum(len(group.permissions) for group in self.groups)
        return len(self.groups) <= MAX_RESOURCES and size_bytes < MAX_TEMPLATE_BYTES


class Machines:
    """The machines of a policy with what each may receive and send."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        permissions = Permissions(policy)
        self._own: dict[str, frozenset[Key]] = {}
        self._condensed: dict[frozenset[Key], frozenset[Key]] = {}
        """Permissions of one direction in fewer for the same traffic."""
        alike: dict[tuple[int, int], frozenset[Key]] = {}
        for machine in policy.machines:
            ways = {ingress: permissions.of(machine, ingress=ingress) for ingress in (INGRESS, EGRESS)}
            same = id(ways[INGRESS]), id(ways[EGRESS])  # Permissions gives one set to all that are treated alike.
            if same not in alike:
                alike[same] = frozenset((ingress, each) for ingress, found in ways.items() for each in found)
            self._own[machine] = alike[same]

    def grouped(self) -> list[SecurityGroup]:
        """Return the security groups: those of the source, or others if these are more than a template takes."""
        best = self._by_groups(self._chosen())
        if not best.fits:
            # Machines that are treated alike, or rules that all have in common, can be fewer than the source's groups.
            others = [self._by_groups({}), self._with_common_groups(apart=False), self._with_common_groups(apart=True)]
            best = min((best, *others), key=lambda each: (not each.fits, each.fits and each.left_out, len(each.groups)))
        self._say_left_out(best)
        return best.groups

    def _by_groups(self, chosen: dict[str, set[Key]]) -> Grouping:
        """The groups of the source with what all their members may do, then groups for what is left."""
        groups = [
            SecurityGroup(name, self._policy.groups[name], sorted(keys, key=_order))
            for name, keys in sorted(chosen.items())
        ]
        places: dict[str, list[int]] = {machine: [] for machine in self._own}
        for place, group in enumerate(groups):
            for machine in group.machines:
                places[machine].append(place)
        alike: dict[frozenset[Key], list[str]] = defaultdict(list)
        crowded = set()
        found: dict[tuple[int, tuple[int, ...]], tuple[frozenset[Key], bool]] = {}
        for machine, own in self._own.items():
            same = id(own), tuple(places[machine])
            if same not in found:
                found[same] = self._left(own, [groups[place] for place in places[machine]])
            left, is_crowded = found[same]
            if is_crowded:
                crowded.add(machine)
            if left or not places[machine]:
                alike[left].append(machine)
        groups = [
            SecurityGroup(group.name, group.machines - crowded, group.permissions)
            for group in groups
            if group.machines - crowded
        ]
        grouping = Grouping()
        rest = []
        for keys, machines in alike.items():
            for number, part in enumerate(self._fitting(keys, machines, grouping)):
                rest.append(SecurityGroup(_part_name(self._title(machines), number), frozenset(machines), part))
        rest.sort(key=lambda group: (group.name, sorted(group.machines)))
        grouping.groups = [part for group in groups for part in _parts(group)] + rest
        return grouping

    def _with_common_groups(self, *, apart: bool) -> Grouping:
        """Groups for what all machines may do, and others for what is left, for each direction apart or for both."""
        treated = list(self._treated().values())
        common = self._own[treated[0][0]].intersection(*(self._own[machines[0]] for machines in treated))
        made: dict[tuple[str, frozenset[Key]], list[tuple[int, list[str]]]] = defaultdict(list)
        grouping = Grouping()
        for machines in treated:
            rest = self._own[machines[0]] - common
            ways = {" in": INGRESS, " out": EGRESS} if apart else {"": None}
            layers = [(name, frozenset(key for key in rest if way in (None, key[0]))) for name, way in ways.items()]
            layers = [each for each in [*layers, (COMMON, common)] if each[1]] or [(COMMON, common)]
            free = MAX_GROUPS
            for behind, (name, keys) in reversed(list(enumerate(reversed(layers)))):
                fewest = self._fewest(keys, free - behind)
                room = min(free - behind, _needed(fewest))
                made[name, fewest].append((room, machines))
                free -= room
                for part in _cut(sorted(fewest, key=_order))[room:]:
                    grouping.leave_out(part, machines)
        for (name, keys), holders in made.items():
            everybody = [machine for _, machines in holders for machine in machines]
            title = name if name == COMMON else self._title(everybody) + name
            for number, part in enumerate(_cut(sorted(keys, key=_order))):
                having = frozenset(machine for room, machines in holders if number < room for machine in machines)
                if having:
                    grouping.groups.append(SecurityGroup(_part_name(title, number), having, part))
        return grouping

    def _fewest(self, keys: frozenset[Key], room: int) -> frozenset[Key]:
        """The permissions, or fewer for the same traffic if they need more security groups than there is room for."""
        if _needed(keys) <= room:
            return keys
        found: set[Key] = set()
        for ingress in (INGRESS, EGRESS):
            one_way = frozenset(key for key in keys if key[0] is ingress)
            if one_way not in self._condensed:
                # The other direction is often that of many machines.
                fewer = condensed(permission for _, permission in sorted(one_way, key=_order))
                self._condensed[one_way] = frozenset((ingress, permission) for permission in fewer)
            found |= self._condensed[one_way]
        return frozenset(found)

    def _say_left_out(self, grouping: Grouping) -> None:
        together: dict[frozenset[str], list[str]] = defaultdict(list)
        for some, rules in grouping.rules_left_out.items():
            together[frozenset(rules)] += some
        for found, machines in together.items():
            names = sorted(found)
            more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
            self._policy.warn(
                f"{self._title(machines)}: an interface takes {MAX_GROUPS} security groups of {MAX_RULES} rules for "
                "each direction and family, and the policy needs more",
                effect=f"left out: the rest of {'; '.join(names[:MAX_NAMED])}{more}. Name larger networks in the "
                "source, or split the machine's work over several interfaces",
            )

    def _left(self, own: frozenset[Key], groups: list[SecurityGroup]) -> tuple[frozenset[Key], bool]:
        """The permissions that groups leave to be given, and whether it takes too many groups to give all of them.

        A machine that would have too many gets groups of its own in place of those of the source, with fewer
        permissions for the same traffic.
        """
        left = own.difference(*(group.permissions for group in groups))
        count = sum(_needed(group.permissions) for group in groups) + (_needed(left) if left else 0)
        if count <= MAX_GROUPS:
            return left, False
        return self._fewest(own, 0), True

    def _fitting(self, keys: frozenset[Key], machines: list[str], grouping: Grouping) -> list[list[Key]]:
        """The permissions that a network interface takes, by AWS's default quotas; the others are left out."""
        parts = _cut(sorted(keys, key=_order))
        for part in parts[MAX_GROUPS:]:
            grouping.leave_out(part, machines)
        return parts[:MAX_GROUPS]

    def _chosen(self) -> dict[str, set[Key]]:
        """For each group of the source, the permissions that it gives: all its machines have them."""
        treated = self._treated()
        kinds: dict[Key, list[int]] = defaultdict(list)
        for kind, machines in treated.items():
            for key in self._own[machines[0]]:
                kinds[key].append(kind)
        sizes = sorted(self._policy.groups.items(), key=lambda item: (-len(item[1]), item[0]))
        chosen: dict[str, set[Key]] = defaultdict(set)
        covers: dict[tuple[int, ...], list[str]] = {}
        for key, holding in kinds.items():
            who = tuple(holding)
            if who not in covers:
                covers[who] = _cover(frozenset(machine for kind in who for machine in treated[kind]), sizes)
            for name in covers[who]:
                chosen[name].add(key)
        return chosen

    def _treated(self) -> dict[int, list[str]]:
        """The machines that are treated alike, together."""
        treated: dict[int, list[str]] = defaultdict(list)
        for machine, own in self._own.items():
            treated[id(own)].append(machine)
        return treated

    def _title(self, machines: Iterable[str]) -> str:
        names = sorted(self._policy.machines[machine].name for machine in machines)
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        return f"machine{'s' if len(names) > 1 else ''} {', '.join(names[:3])}{more}"


def _cover(machines: frozenset[str], groups: list[tuple[str, frozenset[str]]]) -> list[str]:
    """Groups that hold no other machine and that together hold as many of these as can be, few and large ones first."""
    left = set(machines)
    found = []
    for name, members in groups:
        if members and members <= machines and members & left:
            found.append(name)
            left -= members
    return found


def _parts(group: SecurityGroup) -> list[SecurityGroup]:
    """A group as several where it has more rules than EC2 takes in one."""
    return [
        SecurityGroup(_part_name(group.name, number), group.machines, keys)
        for number, keys in enumerate(_cut(group.permissions))
    ]


def _part_name(name: str, number: int) -> str:
    return f"{name} part {number + 1}" if number else name


def _cut(keys: list[Key]) -> list[list[Key]]:
    """Permissions in an order, as many together as EC2 takes in one group; none are one empty group."""
    counts: dict[tuple[bool, int], int] = defaultdict(int)
    parts: dict[int, list[Key]] = {0: []}
    for ingress, permission in keys:
        number = counts[ingress, permission.peer.version] // MAX_RULES
        parts.setdefault(number, []).append((ingress, permission))
        counts[ingress, permission.peer.version] += 1
    return [part for _, part in sorted(parts.items())]


def _needed(keys: Iterable[Key]) -> int:
    """How many security groups some permissions need."""
    counts: dict[tuple[bool, int], int] = defaultdict(int)
    for ingress, permission in keys:
        counts[ingress, permission.peer.version] += 1
    return max(1, -(-max(counts.values(), default=0) // MAX_RULES))


def _order(key: Key) -> tuple[Any, ...]:
    ingress, permission = key
    return not ingress, permission.order, permission.key

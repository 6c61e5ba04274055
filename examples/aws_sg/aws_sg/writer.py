"""Neutral firewall policy in, AWS security groups out, as a CloudFormation template.

A group of the source becomes a security group and has the permissions that each of its machines has; a permission that
only some of them have stands in a further security group for just these. The template's metadata says which machine
gets which groups. A translation is never more open than its source: what EC2 can't say is left out, with a warning.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .permissions import EGRESS, INGRESS, Permission, Permissions, condensed
from .policy import Policy, read_policy
from .ranges import networks

MAX_DESCRIPTION_CHARS = 255
MAX_TAG_CHARS = 256
MAX_RULES = 60
"""Inbound or outbound rules of a security group, for each family. This quota and the next are AWS's defaults:
https://docs.aws.amazon.com/vpc/latest/userguide/amazon-vpc-limits.html#vpc-limits-security-groups
"""

MAX_GROUPS = 5
"""Security groups of a network interface."""

MAX_RESOURCES = 500
"""https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html"""

NOTHING = {"IpProtocol": "-1", "CidrIp": "127.0.0.1/32", "Description": "nothing may leave"}
"""A rule that lets nothing out. EC2 gives a group without any egress rule one that allows everything:
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-resource-ec2-securitygroup.html
"""

MAX_TEMPLATE_BYTES = 1_000_000
"""What CloudFormation reads from S3, a little less than its 1 MB: of the same page."""

Key = tuple[bool, Permission]
"""A permission with its direction."""


@dataclass
class SecurityGroup:
    """A security group to be written: for these machines, with these permissions."""

    name: str
    machines: frozenset[str]
    permissions: list[Key]


class SecurityGroupWriter:
    """Writes security groups; holds nothing between them."""

    def translate(self, document: dict[str, Any]) -> dict[str, Any]:
        """Return the security groups of a neutral policy. Raises ValueError if it is not one."""
        return _Template(read_policy(document)).write()


class _Template:
    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        permissions = Permissions(policy)
        self._own: dict[str, frozenset[Key]] = {}
        self._condensed: dict[frozenset[Key], frozenset[Key]] = {}
        alike: dict[tuple[int, int], frozenset[Key]] = {}
        for machine in policy.machines:
            ways = {ingress: permissions.of(machine, ingress=ingress) for ingress in (INGRESS, EGRESS)}
            same = id(ways[INGRESS]), id(ways[EGRESS])  # Permissions gives one set to all that are treated alike.
            if same not in alike:
                alike[same] = frozenset((ingress, each) for ingress, found in ways.items() for each in found)
            self._own[machine] = alike[same]

    def write(self) -> dict[str, Any]:
        groups = self._groups(self._chosen())
        if len(groups) > MAX_RESOURCES:
            # Groups for machines that are treated alike can be fewer than the groups of the source.
            groups = min(groups, self._groups({}), key=len)
        resources: dict[str, Any] = {}
        given: dict[str, list[str]] = {machine: [] for machine in self._policy.machines}
        for group in groups:
            identity = _logical_id(group.name, resources)
            resources[identity] = self._resource(group)
            for machine in group.machines:
                given[machine].append(identity)
        self._say_limits(resources)
        template = {
            "AWSTemplateFormatVersion": "2010-09-09",
            "Description": _description(f"Security groups from {self._policy.source}, written by greenroom"),
            "Parameters": {"VpcId": {"Type": "AWS::EC2::VPC::Id", "Description": "The VPC of the machines"}},
            "Resources": resources or {"NoMachines": {"Type": "AWS::CloudFormation::WaitConditionHandle"}},
            "Metadata": {
                "Machines": {
                    identity: {
                        "Name": machine.name,
                        "Addresses": [str(network) for network in networks(machine.addresses)],
                        "SecurityGroups": sorted(given[identity]),
                    }
                    for identity, machine in sorted(self._policy.machines.items())
                },
                "Warnings": self._policy.warnings,
            },
        }
        size_bytes = len(json.dumps(template))
        if size_bytes > MAX_TEMPLATE_BYTES:
            self._policy.warn(
                f"the template has {size_bytes} bytes, and CloudFormation takes 1 MB from S3",
                effect="leave `Metadata.Machines` out of what is deployed, or send fewer machines at a time",
            )
        return template

    def _groups(self, chosen: dict[str, set[Key]]) -> list[SecurityGroup]:
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
        rest = [
            SecurityGroup(self._title(machines), frozenset(machines), self._fitting(keys, machines))
            for keys, machines in alike.items()
        ]
        rest.sort(key=lambda group: (group.name, sorted(group.machines)))
        return [part for group in [*groups, *rest] for part in _parts(group)]

    def _left(self, own: frozenset[Key], groups: list[SecurityGroup]) -> tuple[frozenset[Key], bool]:
        """The permissions that groups leave to be given, and whether it takes too many groups to give all of them.

        A machine that would have too many gets groups of its own in place of those of the source, with fewer
        permissions for the same traffic.
        """
        left = own.difference(*(group.permissions for group in groups))
        count = sum(_needed(group.permissions) for group in groups) + (_needed(left) if left else 0)
        if count <= MAX_GROUPS:
            return left, False
        if own not in self._condensed:
            self._condensed[own] = _condensed(own)
        return self._condensed[own], True

    def _fitting(self, keys: frozenset[Key], machines: list[str]) -> list[Key]:
        """The permissions that a network interface takes, by AWS's default quotas; the others are left out."""
        counts: dict[tuple[bool, int], int] = defaultdict(int)
        fitting, left_out = [], set()
        for ingress, permission in sorted(keys, key=_order):
            counts[ingress, permission.peer.version] += 1
            if counts[ingress, permission.peer.version] <= MAX_RULES * MAX_GROUPS:
                fitting.append((ingress, permission))
            else:
                left_out.add(permission.description)
        if left_out:
            self._policy.warn(
                f"{self._title(machines)}: an interface takes {MAX_GROUPS} security groups of {MAX_RULES} rules for "
                f"each direction and family, and the policy needs {max(counts.values())} rules",
                effect=f"left out: the rest of {'; '.join(sorted(left_out))}. Name larger networks in the source, or "
                "split the machine's work over several interfaces",
            )
        return fitting

    def _chosen(self) -> dict[str, set[Key]]:
        """For each group of the source, the permissions that it gives: all its machines have them."""
        treated: dict[int, list[str]] = defaultdict(list)
        for machine, own in self._own.items():
            treated[id(own)].append(machine)
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

    def _title(self, machines: Iterable[str]) -> str:
        names = sorted(self._policy.machines[machine].name for machine in machines)
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        return f"machine{'s' if len(names) > 1 else ''} {', '.join(names[:3])}{more}"

    def _resource(self, group: SecurityGroup) -> dict[str, Any]:
        ingress = [_permission(each) for way, each in group.permissions if way is INGRESS]
        egress = [_permission(each) for way, each in group.permissions if way is EGRESS]
        return {
            "Type": "AWS::EC2::SecurityGroup",
            "Properties": {
                "GroupDescription": _description(f"{group.name} (from {self._policy.source})"),
                "VpcId": {"Ref": "VpcId"},
                "SecurityGroupIngress": ingress,
                "SecurityGroupEgress": egress or [NOTHING],
                "Tags": [{"Key": "Name", "Value": group.name[:MAX_TAG_CHARS]}],
            },
            "Metadata": {"Members": sorted(group.machines)},
        }

    def _say_limits(self, resources: dict[str, Any]) -> None:
        if len(resources) > MAX_RESOURCES:
            self._policy.warn(
                f"the template has {len(resources)} resources, and CloudFormation takes {MAX_RESOURCES}",
                effect="send an export with fewer machines at a time, such as one policy or domain of the source",
            )


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
    counts: dict[tuple[bool, int], int] = defaultdict(int)
    parts: dict[int, list[Key]] = defaultdict(list)
    for ingress, permission in group.permissions:
        parts[counts[ingress, permission.peer.version] // MAX_RULES].append((ingress, permission))
        counts[ingress, permission.peer.version] += 1
    if len(parts) < 2:
        return [group]
    return [
        SecurityGroup(f"{group.name} part {number + 1}" if number else group.name, group.machines, keys)
        for number, keys in sorted(parts.items())
    ]


def _needed(keys: Iterable[Key]) -> int:
    """How many security groups some permissions need."""
    counts: dict[tuple[bool, int], int] = defaultdict(int)
    for ingress, permission in keys:
        counts[ingress, permission.peer.version] += 1
    return max(1, -(-max(counts.values(), default=0) // MAX_RULES))


def _condensed(keys: frozenset[Key]) -> frozenset[Key]:
    return frozenset(
        (ingress, permission)
        for ingress in (INGRESS, EGRESS)
        for permission in condensed(each for way, each in sorted(keys, key=_order) if way is ingress)
    )


def _permission(permission: Permission) -> dict[str, Any]:
    value = permission.as_json()
    return value | {"Description": _description(value["Description"])}


def _order(key: Key) -> tuple[Any, ...]:
    ingress, permission = key
    return not ingress, permission.order, permission.key


def _logical_id(name: str, taken: dict[str, Any]) -> str:
    base = re.sub(r"[^A-Za-z0-9]", "", name.title())[:200] or "Group"
    number, candidate = 1, base
    while candidate in taken:
        number += 1
        candidate = f"{base}{number}"
    return candidate


def _description(text: str) -> str:
    # What EC2 allows in a description.
    return re.sub(r"[^a-zA-Z0-9. _\-:/()#,@\[\]+=&;{}!$*]", "-", text)[:MAX_DESCRIPTION_CHARS]

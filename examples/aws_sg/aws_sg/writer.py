"""Neutral firewall policy in, AWS security groups out, as a CloudFormation template.

The template's metadata says which machine gets which groups. A translation is never more open than its source: what
EC2 can't say, or what a template can't hold, is left out, with a warning.
"""

from __future__ import annotations

import json
import re
from collections.abc import Container
from typing import Any

from .groups import MAX_NAMED, MAX_RESOURCES, MAX_TEMPLATE_BYTES, Machines, SecurityGroup
from .permissions import EGRESS, INGRESS, Permission
from .policy import WARNING, Policy, read_policy
from .ranges import networks

MAX_DESCRIPTION_CHARS = 255
MAX_TAG_CHARS = 256
MAX_WARNINGS_BYTES = 150_000
OTHER_BYTES = 40_000
"""What a template has besides groups, machines and warnings, at most, and the warnings of what did not fit in."""

NOTHING = {"IpProtocol": "-1", "CidrIp": "127.0.0.1/32", "Description": "nothing may leave"}
"""A rule that lets nothing out. EC2 gives a group without any egress rule one that allows everything:
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-resource-ec2-securitygroup.html
"""

KNOWN_TO_BE_RIGHT = {"cfn-lint": {"config": {"ignore_checks": ["E3688"]}}}
"""EC2 takes -1 for all codes of a type, of `icmp` and of `icmpv6`. This check of cfn-lint knows it of `icmp` only:
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_IpPermission.html
"""

BRACES = str.maketrans("{}", "()")


class SecurityGroupWriter:
    """Writes security groups; holds nothing between them."""

    def translate(self, document: dict[str, Any]) -> dict[str, Any]:
        """Return the security groups of a neutral policy. Raises WrongForm if it is not one."""
        return _Template(read_policy(document)).write()


class _Template:
    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._keys: dict[str, str] = {}
        taken: set[str] = set()
        for identity in sorted(policy.machines):
            self._keys[identity] = _key(identity, taken)
            taken.add(self._keys[identity])

    def write(self) -> dict[str, Any]:
        """Return the template."""
        machines: dict[str, dict[str, Any]] = {
            key: {
                "Name": _text(self._policy.machines[identity].name),
                "Addresses": [str(network) for network in networks(self._policy.machines[identity].addresses)],
                "SecurityGroups": [],
            }
            for identity, key in self._keys.items()
        }
        resources = self._resources(Machines(self._policy).grouped(), _size_bytes(machines))
        for identity, resource in sorted(resources.items()):
            for key in resource["Metadata"]["Members"]:
                machines[key]["SecurityGroups"].append(identity)
        vpc = {"VpcId": {"Type": "AWS::EC2::VPC::Id", "Description": "The VPC of the machines"}}
        return {
            "AWSTemplateFormatVersion": "2010-09-09",
            "Description": _description(f"Security groups from {self._policy.source}, written by greenroom"),
            **({"Parameters": vpc} if resources else {}),
            "Resources": resources or {"NoMachines": {"Type": "AWS::CloudFormation::WaitConditionHandle"}},
            "Metadata": {
                "Machines": machines,
                "Warnings": _within(self._warnings(), MAX_WARNINGS_BYTES + OTHER_BYTES // 2),
            },
        }

    def _resources(self, groups: list[SecurityGroup], machines_bytes: int) -> dict[str, Any]:
        """The groups as resources, or as many of them as a template takes; each machine has one at least."""
        warnings_bytes = min(_size_bytes(self._warnings()), MAX_WARNINGS_BYTES)
        budget_bytes = MAX_TEMPLATE_BYTES - OTHER_BYTES - machines_bytes - warnings_bytes
        resources: dict[str, Any] = {}
        sizes = [self._add(group, resources) for group in groups]
        if len(groups) <= MAX_RESOURCES and sum(sizes) <= budget_bytes:
            return resources
        without = frozenset(self._policy.machines)
        last = SecurityGroup("nothing allowed", without, [])
        budget_bytes -= self._add(last, {})
        kept: dict[str, Any] = {}
        left_out = []
        # The groups of many machines come first.
        for size_bytes, group in sorted(zip(sizes, groups, strict=True), key=lambda each: -len(each[1].machines)):
            if len(kept) < MAX_RESOURCES - 1 and size_bytes <= budget_bytes:
                budget_bytes -= self._add(group, kept)
                without -= group.machines
            else:
                left_out.append(group.name)
        if budget_bytes < 0:
            raise ValueError(
                f"the policy has {len(self._policy.machines)} machines, and their names alone are more than the 1 MB "
                "that CloudFormation takes as a template: send an export with fewer machines at a time"
            )
        if without:
            self._add(SecurityGroup(last.name, without, []), kept)
        more = f" and {len(left_out) - MAX_NAMED} more" if len(left_out) > MAX_NAMED else ""
        self._policy.warn(
            f"the policy needs {len(groups)} security groups in {sum(sizes)} bytes, and CloudFormation takes "
            f"{MAX_RESOURCES} resources and 1 MB in a template",
            effect="left out, with what they allow: the groups "
            f"{'; '.join(name[:MAX_TAG_CHARS] for name in left_out[:MAX_NAMED])}{more}. Send an export with fewer "
            "machines at a time, such as one policy or domain of the source",
        )
        return kept

    def _add(self, group: SecurityGroup, resources: dict[str, Any]) -> int:
        """Add a group to resources; return what it takes in the template, in bytes."""
        identity = _logical_id(group.name, {*resources, "VpcId"})
        resources[identity] = self._resource(group)
        return _size_bytes(resources[identity]) + (len(identity) + 6) * (1 + len(group.machines))

    def _warnings(self) -> list[dict[str, str]]:
        return [
            {key: _text(warning[key]) for key in WARNING.fields if key in warning} for warning in self._policy.warnings
        ]

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
                "Tags": [{"Key": "Name", "Value": _tag(group.name)}],
            },
            "Metadata": {
                "Members": sorted(self._keys[machine] for machine in group.machines),
                **(KNOWN_TO_BE_RIGHT if any(_is_icmpv6_of_any_code(each) for _, each in group.permissions) else {}),
            },
        }


def _is_icmpv6_of_any_code(permission: Permission) -> bool:
    return permission.protocol == "icmpv6" and permission.last == -1 < permission.first


def _permission(permission: Permission) -> dict[str, Any]:
    value = permission.as_json()
    return value | {"Description": _description(value["Description"])}


def _within(warnings: list[dict[str, str]], most_bytes: int) -> list[dict[str, str]]:
    """The last warnings, as many as there is room for: they are those of this algorithm."""
    kept: list[dict[str, str]] = []
    for warning in reversed(warnings):
        most_bytes -= _size_bytes(warning) + 2
        if most_bytes < 0:
            more = f"{len(warnings) - len(kept)} warnings that come first are not in the template: there is no room"
            return [{"message": more, "effect": "see the neutral policy"}, *reversed(kept)]
        kept.append(warning)
    return warnings


def _size_bytes(value: Any) -> int:
    return len(json.dumps(value))


def _logical_id(name: str, taken: Container[str]) -> str:
    base = re.sub(r"[^A-Za-z0-9]", "", name.title())[:200] or "Group"
    return _free(base, taken)


def _free(base: str, taken: Container[str]) -> str:
    number, candidate = 1, base
    while candidate in taken:
        number += 1
        candidate = f"{base}{number}"
    return candidate


def _text(text: str) -> str:
    """A text of the source that CloudFormation takes as it stands.

    Without braces there is neither a dynamic reference (`{{resolve:...}}`), which CloudFormation would resolve to a
    secret, nor a substitution (`${...}`).
    """
    return re.sub(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]", "-", text.translate(BRACES))


def _key(text: str, taken: Container[str]) -> str:
    """A text of the source as the name of a field, which CloudFormation must not take for a function."""
    plain = _text(text)
    return _free(f"id {plain}" if plain in ("", "Ref", "Condition") or plain.startswith("Fn::") else plain, taken)


def _tag(text: str) -> str:
    plain = _text(text)[:MAX_TAG_CHARS]
    # AWS keeps this beginning for itself.
    return f"from {plain}"[:MAX_TAG_CHARS] if plain.lower().startswith("aws:") else plain


def _description(text: str) -> str:
    # What EC2 allows in a description, without braces.
    return re.sub(r"[^a-zA-Z0-9. _\-:/()#,@\[\]+=&;!$*]", "-", text.translate(BRACES))[:MAX_DESCRIPTION_CHARS]

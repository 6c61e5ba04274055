"""What EC2 does with a flow, read from a CloudFormation template of security groups.

Written from AWS's documents and independent of `examples/aws_sg`, which it judges:

* Amazon VPC User Guide, "Security group rules"
  (https://docs.aws.amazon.com/vpc/latest/userguide/security-group-rules.html): rules allow and never deny; those of all
  groups of a network interface are added up; a flow between two interfaces has to be let out of one and into the other;
  groups keep state.
* AWS::EC2::SecurityGroup and its Ingress and Egress
  (https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-ec2-securitygroup.html):
  without an egress rule in the template, or with an empty list, a new group lets everything out. IpProtocol is a name
  (tcp, udp, icmp, icmpv6), a number, or -1 for everything; for ICMP, FromPort is the type and ToPort the code, -1 all
  of them; for other protocols the ports say nothing.
* Amazon VPC quotas (https://docs.aws.amazon.com/vpc/latest/userguide/amazon-vpc-limits.html): 60 inbound and 60
  outbound rules a group, counted for IPv4 and IPv6 apart, and 5 groups a network interface.
* CloudFormation quotas
  (https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html): 500 resources a template.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from ipaddress import ip_network
from typing import Any

from tests.firewall.oracle.flow import ICMP, ICMPV6, TCP, UDP, Address, Flow

NUMBERS = {"tcp": TCP, "udp": UDP, "icmp": ICMP, "icmpv6": ICMPV6}
MAX_RULES = 60
MAX_GROUPS_OF_AN_INTERFACE = 5
MAX_RESOURCES = 500

GROUP = "AWS::EC2::SecurityGroup"
RULES_APART = {"AWS::EC2::SecurityGroupIngress": "ingress", "AWS::EC2::SecurityGroupEgress": "egress"}
PEERS = {
    "ingress": ("CidrIp", "CidrIpv6", "SourceSecurityGroupId"),
    "egress": ("CidrIp", "CidrIpv6", "DestinationSecurityGroupId"),
}


class NotEc2(ValueError):
    """Something in a template that EC2 or CloudFormation would refuse, or that this reader does not know."""


@dataclass(frozen=True)
class Ec2:
    """A template, and which groups the network interface with each address has."""

    template: Mapping[str, Any]
    groups_of: Mapping[Address, frozenset[str]]

    def allows(self, flow: Flow) -> bool:
        """Whether a flow gets out of its source and into its destination, as far as they are machines here."""
        ends = (
            ("egress", flow.source_address, flow.destination_address),
            ("ingress", flow.destination_address, flow.source_address),
        )
        return all(
            any(
                self._matches(rule, direction, flow, other)
                for group in self.groups_of[mine]
                for rule in self.rules[direction, group]
            )
            for direction, mine, other in ends
            if mine in self.groups_of
        )

    @cached_property
    def rules(self) -> dict[tuple[str, str], list[Mapping[str, Any]]]:
        """The rules of each group in each direction, the default one among them."""
        found: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
        for name, resource in self._resources(GROUP):
            properties = resource["Properties"]
            found["ingress", name] = list(properties.get("SecurityGroupIngress") or [])
            found["egress", name] = list(properties.get("SecurityGroupEgress") or [])
        default = {name for (direction, name), rules in found.items() if direction == "egress" and not rules}
        for kind, direction in RULES_APART.items():
            for _, resource in self._resources(kind):
                found[direction, group_id(resource["Properties"]["GroupId"])].append(resource["Properties"])
        for name in default:
            # A rule of its own resource does not take the default one away.
            found["egress", name] += [
                {"IpProtocol": "-1", "CidrIp": "0.0.0.0/0"},
                {"IpProtocol": "-1", "CidrIpv6": "::/0"},
            ]
        return found

    def check_limits(self) -> None:
        """Raise NotEc2 where a quota is passed."""
        if len(self.template["Resources"]) > MAX_RESOURCES:
            raise NotEc2(f"{len(self.template['Resources'])} resources: a template has at most {MAX_RESOURCES}")
        for (direction, group), rules in self.rules.items():
            for family in ("CidrIp", "CidrIpv6"):
                # A reference to a group counts for either family.
                count = sum(family in rule or not {"CidrIp", "CidrIpv6"} & set(rule) for rule in rules)
                if count > MAX_RULES:
                    raise NotEc2(
                        f"{group} has {count} {direction} rules with {family}: at most {MAX_RULES} are allowed"
                    )
        for address, groups in self.groups_of.items():
            if len(groups) > MAX_GROUPS_OF_AN_INTERFACE:
                raise NotEc2(f"{address} is in {len(groups)} groups: at most {MAX_GROUPS_OF_AN_INTERFACE} are allowed")

    def _resources(self, kind: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        for name, resource in self.template["Resources"].items():
            if resource["Type"] not in (GROUP, *RULES_APART):
                raise NotEc2(f"{name} is an {resource['Type']}: this reader does not know what it does to a flow")
            if resource["Type"] == kind:
                yield name, resource

    def _matches(self, rule: Mapping[str, Any], direction: str, flow: Flow, other: Address) -> bool:
        (peer,) = (name for name in PEERS[direction] if name in rule)
        if peer.startswith("Cidr"):
            network = ip_network(rule[peer])  # strict: EC2 refuses host bits, CloudFormation drifts
            if network.version != {"CidrIp": 4, "CidrIpv6": 6}[peer]:
                raise NotEc2(f"{peer} is {rule[peer]}")
            peered = other in network
        else:
            peered = group_id(rule[peer]) in self.groups_of.get(other, frozenset())
        return peered and service_matches(rule, flow)


def group_id(value: Any) -> str:
    """The logical name in a reference to a security group."""
    if isinstance(value, Mapping) and set(value) == {"Ref"}:
        return str(value["Ref"])
    if isinstance(value, Mapping) and set(value) == {"Fn::GetAtt"}:
        name, attribute = (
            value["Fn::GetAtt"].split(".") if isinstance(value["Fn::GetAtt"], str) else value["Fn::GetAtt"]
        )
        if attribute == "GroupId":
            return str(name)
    raise NotEc2(f"{value!r} is no reference to a security group of the template")


def service_matches(rule: Mapping[str, Any], flow: Flow) -> bool:
    """Whether a rule's protocol and ports, or type and code, are those of a flow."""
    text = str(rule["IpProtocol"])
    if text == "-1":
        return True
    number = NUMBERS.get(text)
    if number is None:
        if not text.isdigit() or int(text) > 255:
            raise NotEc2(f"IpProtocol is {text!r}")
        number = int(text)
    if number != flow.protocol:
        return False
    low, high = rule.get("FromPort"), rule.get("ToPort")
    if number in (TCP, UDP):
        if low is None or high is None or not 0 <= low <= high <= 65_535:
            raise NotEc2(f"a rule for {text} with the ports {low} to {high}")
        return bool(low <= flow.second <= high)
    if number in (ICMP, ICMPV6):
        if low == -1 and high not in (-1, None):
            raise NotEc2("a rule for all ICMP types with one code")
        return low in (None, -1, flow.first) and (low in (None, -1) or high in (None, -1, flow.second))
    return True

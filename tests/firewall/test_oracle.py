"""The oracle itself, held against sentences of the vendors' documents."""

from __future__ import annotations

from typing import Any

import pytest

from tests.firewall.oracle.asa import Asa, NotAsa
from tests.firewall.oracle.ec2 import Ec2, NotEc2
from tests.firewall.oracle.flow import ICMP, ICMPV6, TCP, UDP, Address, Flow
from tests.firewall.oracle.nsx import Nsx, Verdict

WEB, DB, OUTSIDE = "10.0.0.1", "10.0.1.1", "203.0.113.5"
ALLOWED, DENIED, OPEN = Verdict(True, True), Verdict(False, False), Verdict(False, True)
SSH = {"resource_type": "L4PortSetServiceEntry", "l4_protocol": "TCP", "destination_ports": ["22"]}


def ssh(source: str, destination: str) -> Flow:
    return Flow(source, destination, TCP, 40_000, 22)


def export(*rules: dict[str, Any], category: str = "Application", **policy: Any) -> dict[str, Any]:
    """Machines web and db, each with a group, and one policy."""
    default = {
        "action": "ALLOW",
        "direction": "IN_OUT",
        "source_groups": ["ANY"],
        "destination_groups": ["ANY"],
        "services": ["ANY"],
    }
    addresses = {"web": WEB, "db": DB}
    return {
        "services": [],
        "virtual_machines": [{"external_id": name, "display_name": name} for name in addresses],
        "virtual_network_interface": [
            {"owner_vm_id": name, "ip_address_info": [{"ip_addresses": [address]}]}
            for name, address in addresses.items()
        ],
        "domains": [
            {
                "resources": {
                    "groups": [
                        *({"path": name, "vm_members": [{"id": name}]} for name in addresses),
                        {"path": "net", "expression": [_addresses("10.0.0.0/24")]},
                    ],
                    "security_policies": [
                        {"category": category, "rules": [{**default, **rule} for rule in rules], **policy},
                        {"category": "Application", "sequence_number": 9, "rules": [{**default, "action": "DROP"}]},
                    ],
                }
            }
        ],
    }


def _addresses(text: str) -> dict[str, Any]:
    return {"resource_type": "IPAddressExpression", "ip_addresses": [text]}


def verdict(flow: Flow, *rules: dict[str, Any], **policy: Any) -> Verdict:
    return Nsx(export(*rules, **policy)).verdict(flow)


def test_a_flow_between_two_machines_has_to_leave_one_and_enter_the_other() -> None:
    assert verdict(ssh(WEB, DB), {"direction": "IN"}) == DENIED
    assert verdict(ssh(WEB, DB), {"direction": "OUT"}) == DENIED
    assert verdict(ssh(WEB, DB), {"direction": "IN"}, {"direction": "OUT"}) == ALLOWED
    assert verdict(ssh(OUTSIDE, DB), {"direction": "IN"}) == ALLOWED
    assert verdict(ssh(WEB, OUTSIDE), {"direction": "OUT"}) == ALLOWED


def test_a_rule_is_enforced_where_it_is_applied_and_the_policy_says_so_before_the_rule() -> None:
    assert verdict(ssh(OUTSIDE, WEB), {"scope": ["web"]}) == ALLOWED
    assert verdict(ssh(OUTSIDE, DB), {"scope": ["web"]}) == DENIED
    assert verdict(ssh(WEB, DB), {"scope": ["web"]}) == DENIED
    assert verdict(ssh(OUTSIDE, DB), {"scope": ["db"]}, scope=["web"]) == DENIED
    assert verdict(ssh(OUTSIDE, WEB), {"scope": ["net"]}) == OPEN, "a group of addresses only"


def test_the_first_rule_that_matches_decides_by_category_and_sequence_number() -> None:
    deny, allow = {"action": "DROP", "sequence_number": 2}, {"action": "ALLOW", "sequence_number": 1}
    assert verdict(ssh(OUTSIDE, DB), deny, allow) == ALLOWED
    assert verdict(ssh(OUTSIDE, DB), allow, category="Infrastructure", sequence_number=99) == ALLOWED
    assert verdict(ssh(OUTSIDE, DB), {"disabled": True}) == DENIED


def test_the_order_of_rules_and_policies_with_one_sequence_number_is_open() -> None:
    deny, allow = {"action": "DROP", "sequence_number": 2}, {"action": "ALLOW", "sequence_number": 2}
    assert verdict(ssh(OUTSIDE, DB), allow, deny) == OPEN
    assert verdict(ssh(OUTSIDE, DB), allow, {**deny, "sequence_number": None}) == DENIED, "none is 0"
    assert verdict(ssh(OUTSIDE, DB), allow, sequence_number=9) == OPEN


def test_a_jump_leaves_the_environment_category_for_the_application_category() -> None:
    jump = {"action": "JUMP_TO_APPLICATION"}
    assert verdict(ssh(OUTSIDE, DB), jump, {}, category="Environment") == DENIED


@pytest.mark.parametrize(
    ("operator", "value", "right"),
    [("EQUALS", "WEB", ALLOWED), ("EQUALS", "db", DENIED), ("NOTEQUALS", "Web", DENIED), ("NOTEQUALS", "db", ALLOWED)],
)
def test_a_condition_is_met_in_upper_and_lower_case(operator: str, value: str, right: Verdict) -> None:
    made = export({"source_groups": ["named"]})
    condition = {"resource_type": "Condition", "member_type": "VirtualMachine", "key": "Name"}
    group = {"path": "named", "expression": [{**condition, "operator": operator, "value": value}]}
    made["domains"][0]["resources"]["groups"].append(group)
    assert Nsx(made).verdict(ssh(WEB, DB)) == right


def test_excluded_ends_are_all_but_those_named() -> None:
    rule = {"source_groups": ["web"], "sources_excluded": True}
    assert verdict(ssh(OUTSIDE, DB), rule) == ALLOWED
    assert verdict(ssh(WEB, DB), rule) == DENIED


@pytest.mark.parametrize(
    ("entry", "flow", "right"),
    [
        (SSH, ssh(OUTSIDE, DB), ALLOWED),
        (SSH, Flow(OUTSIDE, DB, UDP, 40_000, 22), DENIED),
        ({**SSH, "source_ports": ["1-1023"]}, ssh(OUTSIDE, DB), DENIED),
        ({"resource_type": "ICMPTypeServiceEntry", "protocol": "ICMPv4", "icmp_type": 3, "icmp_code": 0},
         Flow(OUTSIDE, DB, ICMP, 3, 1), DENIED),
        ({"resource_type": "IPProtocolServiceEntry", "protocol_number": 6}, ssh(OUTSIDE, DB), ALLOWED),
        ({"resource_type": "ALGTypeServiceEntry", "alg": "TFTP", "destination_ports": ["69"]},
         Flow(OUTSIDE, DB, UDP, 40_000, 69), ALLOWED),
        ({**SSH, "something_new": 1}, ssh(OUTSIDE, DB), OPEN),
        ({"resource_type": "EtherTypeServiceEntry", "ether_type": 2048}, ssh(OUTSIDE, DB), OPEN),
    ],
)  # fmt: skip
def test_a_service_entry_matches_protocol_ports_type_and_code(
    entry: dict[str, Any], flow: Flow, right: Verdict
) -> None:
    assert verdict(flow, {"services": [], "service_entries": [entry]}) == right


@pytest.mark.parametrize("field", ["profiles", "a_field_of_a_later_version"])
def test_what_no_address_and_port_can_say_leaves_the_verdict_open(field: str) -> None:
    assert verdict(ssh(OUTSIDE, DB), {field: ["x"]}) == OPEN
    assert verdict(ssh(OUTSIDE, DB), {field: ["x"], "action": "DROP"}, {}) == OPEN
    assert verdict(ssh(OUTSIDE, DB), {field: ["ANY"]}) == ALLOWED
    assert verdict(ssh(OUTSIDE, DB), {}, scheduler_path="/night") == OPEN


ASA = """
object-group network servers
 network-object host 10.0.1.1
 network-object 10.0.2.0 255.255.255.0
 network-object 2001:db8::/64
object-group service admin
 service-object tcp destination eq ssh
 service-object udp source range 1000 2000 destination eq 53
 service-object icmp unreachable 0
access-list acl remark what it is for
access-list acl extended deny tcp any4 host 10.0.1.1 range 20 25
access-list acl extended permit object-group admin any object-group servers
access-list acl extended permit icmp any any echo
access-list acl extended permit 47 any any6
access-group acl global
"""


@pytest.mark.parametrize(
    ("flow", "allowed"),
    [
        (ssh(OUTSIDE, "10.0.1.1"), False),
        (ssh(OUTSIDE, "10.0.2.9"), True),
        (ssh("2001:db8:1::1", "2001:db8::5"), True),
        (ssh("2001:db8:1::1", "2001:db8:9::5"), False),
        (Flow(OUTSIDE, "10.0.2.9", UDP, 1_500, 53), True),
        (Flow(OUTSIDE, "10.0.2.9", UDP, 2_500, 53), False),
        (Flow(OUTSIDE, "10.0.2.9", ICMP, 3, 0), True),
        (Flow(OUTSIDE, "10.0.2.9", ICMP, 3, 1), False),
        (Flow(OUTSIDE, "10.9.9.9", ICMP, 8, 0), True),
        (Flow("2001:db8:1::1", "2001:db8::5", ICMPV6, 8, 0), False),
        (Flow("2001:db8:1::1", "2001:db8::5", 47), True),
        (Flow(OUTSIDE, "10.0.2.9", 47), False),
    ],
)
def test_an_access_list_decides_by_its_first_match_and_ends_with_a_deny(flow: Flow, allowed: bool) -> None:
    assert Asa.parse(ASA).allows(flow) is allowed


@pytest.mark.parametrize(
    "line",
    [
        "access-list acl extended permit tcp any host 10.0.0.1 eq",
        "access-list acl extended permit tcp any 10.0.0.1 255.255.255.0",
        "access-list acl extended permit tcp any 10.0.0.0/24",
        "access-list acl extended permit tcp any object-group unknown",
        "access-list acl extended permit nonsense any any",
        "access-list acl extended permit ip any any eq 22",
        "access-list acl extended permit tcp any any range 9 1",
        "access-list acl extended permit icmp any any echo 0 0",
        "access-list acl remark " + "x" * 101,
        "permit tcp any any",
        " host 10.0.0.1",
    ],
)
def test_a_line_that_an_asa_would_refuse_is_an_error(line: str) -> None:
    with pytest.raises(NotAsa):
        Asa.parse(line)


def template(ingress: list[dict[str, Any]], egress: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    properties: dict[str, Any] = {"SecurityGroupIngress": ingress}
    if egress is not None:
        properties["SecurityGroupEgress"] = egress
    client = {"GroupId": {"Fn::GetAtt": "Client.GroupId"}, "IpProtocol": "17", "FromPort": 53, "ToPort": 53}
    return {
        "Resources": {
            "Server": {"Type": "AWS::EC2::SecurityGroup", "Properties": properties},
            "Client": {"Type": "AWS::EC2::SecurityGroup", "Properties": {}},
            "Dns": {"Type": "AWS::EC2::SecurityGroupIngress", "Properties": {**client, "CidrIp": "10.0.0.0/8"}},
        }
    }


def ec2(ingress: list[dict[str, Any]], egress: list[dict[str, Any]] | None = None) -> Ec2:
    groups: dict[Address, frozenset[str]] = {
        ssh(WEB, DB).source_address: frozenset({"Client"}),
        ssh(WEB, DB).destination_address: frozenset({"Server"}),
    }
    return Ec2(template(ingress, egress), groups)


def tcp_22(**peer: Any) -> dict[str, Any]:
    return {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, **peer}


def test_a_security_group_allows_what_one_of_its_rules_says() -> None:
    assert not ec2([]).allows(ssh(OUTSIDE, DB))
    assert ec2([tcp_22(CidrIp="203.0.113.0/24")]).allows(ssh(OUTSIDE, DB))
    assert not ec2([tcp_22(CidrIp="203.0.113.0/24")]).allows(Flow(OUTSIDE, DB, TCP, 22, 23))
    assert not ec2([tcp_22(CidrIpv6="::/0")]).allows(ssh(OUTSIDE, DB))
    by_group = [tcp_22(SourceSecurityGroupId={"Fn::GetAtt": ["Client", "GroupId"]})]
    assert ec2(by_group).allows(ssh(WEB, DB))
    assert not ec2(by_group).allows(ssh(OUTSIDE, DB))
    assert ec2([]).allows(Flow(DB, WEB, UDP, 1, 53)), "a rule that is a resource of its own"


def test_a_group_without_an_egress_rule_lets_everything_out() -> None:
    nothing = {"IpProtocol": "-1", "CidrIp": "127.0.0.1/32"}
    assert ec2([]).allows(ssh(DB, OUTSIDE))
    assert ec2([], []).allows(ssh(DB, OUTSIDE))
    assert not ec2([], [nothing]).allows(ssh(DB, OUTSIDE))


@pytest.mark.parametrize(
    ("rule", "flow", "allowed"),
    [
        ({"IpProtocol": "icmp", "FromPort": 3, "ToPort": 0}, Flow(OUTSIDE, DB, ICMP, 3, 0), True),
        ({"IpProtocol": "icmp", "FromPort": 3, "ToPort": 0}, Flow(OUTSIDE, DB, ICMP, 3, 1), False),
        ({"IpProtocol": "icmp", "FromPort": 3, "ToPort": -1}, Flow(OUTSIDE, DB, ICMP, 3, 1), True),
        ({"IpProtocol": "icmp", "FromPort": -1, "ToPort": -1}, Flow(OUTSIDE, DB, ICMP, 8, 0), True),
        ({"IpProtocol": "47"}, Flow(OUTSIDE, DB, 47), True),
        ({"IpProtocol": "47"}, Flow(OUTSIDE, DB, 50), False),
        ({"IpProtocol": "6", "FromPort": 22, "ToPort": 22}, ssh(OUTSIDE, DB), True),
        ({"IpProtocol": "-1"}, ssh(OUTSIDE, DB), True),
    ],
)
def test_a_rule_says_a_protocol_and_ports_or_type_and_code(rule: dict[str, Any], flow: Flow, allowed: bool) -> None:
    assert ec2([{**rule, "CidrIp": "0.0.0.0/0"}]).allows(flow) is allowed


@pytest.mark.parametrize(
    "rule",
    [
        {"IpProtocol": "tcp", "CidrIp": "0.0.0.0/0"},
        {"IpProtocol": "nonsense", "CidrIp": "0.0.0.0/0"},
        {"IpProtocol": "-1", "CidrIp": "::/0"},
        {"IpProtocol": "-1", "SourceSecurityGroupId": "sg-1234"},
        {"IpProtocol": "icmp", "FromPort": -1, "ToPort": 0, "CidrIp": "0.0.0.0/0"},
    ],
)
def test_a_rule_that_ec2_would_refuse_is_an_error(rule: dict[str, Any]) -> None:
    flow = Flow(OUTSIDE, DB, ICMP, 8, 0) if rule["IpProtocol"] == "icmp" else ssh(OUTSIDE, DB)
    with pytest.raises(NotEc2):
        ec2([rule]).allows(flow)


def test_sixty_rules_a_group_and_five_groups_an_interface_are_the_limit() -> None:
    rules = [{"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "CidrIp": "0.0.0.0/0"} for port in range(1, 62)]
    ec2(rules[:60]).check_limits()
    with pytest.raises(NotEc2, match="61 ingress rules"):
        ec2(rules).check_limits()

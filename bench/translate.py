"""How fast the examples translate: megabytes of an NSX-T export a second, into the neutral policy and out of it.

    python -m bench.translate [EXPORT.json …] [--rules N] [--machines N] [--runs N] [--json]

Without an export, one is made up: as many rules and machines as are asked for, with groups of ten machines, policies of
ten rules, and 400 services next to them, which is what an NSX manager ships. The default is about 1 MB. Each figure is
the median of the runs in seconds of CPU time, and counts the reading and writing of JSON as a message needs it.
"""

from __future__ import annotations

import argparse
import importlib
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).parents[1] / "examples"
GROUPS = "/infra/domains/default/groups"
GROUP_SIZE = 10
POLICY_SIZE = 10


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("exports", nargs="*", type=Path)
    parser.add_argument("--rules", type=int, default=2_000)
    parser.add_argument("--machines", type=int, default=500)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    documents = {path.name: path.read_text() for path in asked.exports}
    if not documents:
        name = f"made up: {asked.rules} rules, {asked.machines} machines"
        documents[name] = json.dumps(made_up(asked.rules, asked.machines))
    found = {name: measure(text, asked.runs) for name, text in documents.items()}
    if asked.json:
        print(json.dumps(found, indent=1))
        return
    for name, figures in found.items():
        print(f"{name}: {figures['megabytes']:.2f} MB")
        for step in ("nsx_in", "cisco_asa", "aws_sg"):
            print(f"  {step:10} {figures[step]:7.3f} s of CPU time")
        print(f"  in, then both out: {figures['megabytes_per_s']:.2f} MB/s")


def measure(text: str, runs: int) -> dict[str, float]:
    """Return the seconds of each step, and the megabytes of the export a second through all of them."""
    neutral = json.dumps(translator("nsx_in")(json.loads(text)))
    steps = {"nsx_in": text, "cisco_asa": neutral, "aws_sg": neutral}
    seconds = {step: median_s(translator(step), document, runs) for step, document in steps.items()}
    megabytes = len(text.encode()) / 1e6
    return {**seconds, "megabytes": megabytes, "megabytes_per_s": megabytes / sum(seconds.values())}


def median_s(translate: Callable[[Any], Any], document: str, runs: int) -> float:
    """Return the median CPU time of a translation, in seconds."""
    took = []
    for _ in range(runs):
        begin = time.process_time()
        json.dumps(translate(json.loads(document)))
        took.append(time.process_time() - begin)
    return statistics.median(took)


def translator(folder: str) -> Callable[[Any], Any]:
    """Return an example's translate, found as the platform finds it."""
    path = str(EXAMPLES / folder)
    if path not in sys.path:
        sys.path.insert(0, path)
    module, _, name = json.loads((EXAMPLES / folder / "metadata.json").read_text())["entry"].partition(":")
    translate: Callable[[Any], Any] = getattr(importlib.import_module(module), name)().translate
    return translate


def made_up(rules: int, machines: int) -> dict[str, Any]:
    """Return an export: groups of ten machines each, and rules between two of them for one or two services."""
    names = [f"vm-{number:04}" for number in range(machines)]
    groups = [names[start : start + GROUP_SIZE] for start in range(0, machines, GROUP_SIZE)]
    policies = [
        {
            "display_name": f"policy {start}",
            "category": "Application",
            "scope": ["ANY"],
            "sequence_number": start,
            "rules": [rule(number, len(groups)) for number in range(start, min(start + POLICY_SIZE, rules))],
        }
        for start in range(0, rules, POLICY_SIZE)
    ]
    last = {"display_name": "default", "rule_id": rules, "action": "DROP", "direction": "IN_OUT"}
    policies.append(
        {"display_name": "default", "category": "Application", "sequence_number": rules, "rules": [last]},
    )
    return {
        "services": [service(number) for number in range(400)],
        "virtual_machines": [{"display_name": name, "external_id": name, "tags": []} for name in names],
        "virtual_network_interface": [
            {"owner_vm_id": name, "ip_address_info": [{"ip_addresses": [f"10.0.{number // 250}.{number % 250}"]}]}
            for number, name in enumerate(names)
        ],
        "segments": [],
        "domains": [
            {
                "display_name": "default",
                "resources": {
                    "groups": [
                        {
                            "id": f"g{number}",
                            "display_name": f"g{number}",
                            "path": f"{GROUPS}/g{number}",
                            "vm_members": [{"id": name, "display_name": name} for name in members],
                        }
                        for number, members in enumerate(groups)
                    ],
                    "security_policies": policies,
                },
            }
        ],
    }


def rule(number: int, groups: int) -> dict[str, Any]:
    """Return one rule; every twentieth denies."""
    return {
        "display_name": f"rule {number}",
        "id": f"rule-{number}",
        "rule_id": 1_000 + number,
        "sequence_number": number,
        "action": "ALLOW" if number % 20 else "DROP",
        "direction": "IN_OUT",
        "source_groups": [f"{GROUPS}/g{number % groups}"],
        "destination_groups": [f"{GROUPS}/g{number * 7 % groups}"],
        "services": [f"/infra/services/s{number % 400}"],
        "scope": ["ANY"],
        "logged": False,
    }


def service(number: int) -> dict[str, Any]:
    """Return a service with the fields that an NSX manager gives it."""
    path = f"/infra/services/s{number}"
    entry = {
        "resource_type": "L4PortSetServiceEntry",
        "id": f"s{number}-entry",
        "display_name": f"service {number}",
        "path": f"{path}/service-entries/entry",
        "parent_path": path,
        "l4_protocol": "TCP" if number % 4 else "UDP",
        "destination_ports": [str(1_000 + number), f"{20_000 + number}-{20_010 + number}"],
        "_create_user": "system",
        "_revision": 0,
    }
    return {
        "resource_type": "Service",
        "id": f"s{number}",
        "display_name": f"service {number}",
        "description": "made up",
        "path": path,
        "service_entries": [entry],
        "is_default": True,
        "_create_user": "system",
        "_revision": 0,
    }


if __name__ == "__main__":
    main()

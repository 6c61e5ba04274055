"""A translation is never more open than its source: the examples, judged by the oracle.

For each flow, allowed after implies allowed before; and where no warning was given, allowed before implies allowed
after. CI tries a fixed set of made-up exports; `GREENROOM_POLICIES=2000 .venv/bin/pytest tests/firewall` tries 2,000
new ones.
"""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, currently_in_test_context, given, note, settings

from tests.firewall.oracle.asa import Asa
from tests.firewall.oracle.ec2 import Ec2
from tests.firewall.oracle.flow import Flow
from tests.firewall.oracle.nsx import Nsx, Verdict
from tests.firewall.oracle.policies import exports, flows, plain

REPOSITORY = Path(__file__).parents[2]
EXAMPLES = REPOSITORY / "examples"
REAL_EXPORTS = sorted((REPOSITORY.parent / "shared" / "data" / "nsx").glob("*.json"))
WANTED = os.environ.get("GREENROOM_POLICIES")

pytestmark = pytest.mark.timeout(0 if WANTED else 300)
"""A long run takes as long as it takes."""

made_up = settings(
    max_examples=int(WANTED or 60),
    derandomize=WANTED is None,
    database=None,
    # To shrink an export takes minutes, so that is for a person: GREENROOM_POLICIES.
    phases=[Phase.generate, Phase.shrink] if WANTED else [Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.fixture(scope="module", autouse=True)
def on_path() -> Iterator[None]:
    """The examples' own modules."""
    with pytest.MonkeyPatch.context() as patch:
        for folder in ("nsx_in", "cisco_asa", "aws_sg"):
            patch.syspath_prepend(EXAMPLES / folder)
        yield


def translate(folder: str, document: Any) -> Any:
    """The answer of an example to a document, through JSON as a message carries it."""
    name, _, cls = json.loads((EXAMPLES / folder / "metadata.json").read_text())["entry"].partition(":")
    return getattr(importlib.import_module(name), cls)().translate(json.loads(json.dumps(document)))


@dataclass(frozen=True)
class Translated:
    """An export and what the examples make of it."""

    export: dict[str, Any]

    @cached_property
    def neutral(self) -> Any:
        return translate("nsx_in", self.export)

    @cached_property
    def asa_text(self) -> str:
        text: str = translate("cisco_asa", self.neutral)
        show(text)
        return text

    @cached_property
    def asa(self) -> Asa:
        return Asa.parse(self.asa_text)

    @cached_property
    def template(self) -> Any:
        made = translate("aws_sg", self.neutral)
        show(json.dumps(made, indent=1))
        return made

    @cached_property
    def ec2(self) -> Ec2:
        machines = self.template["Metadata"]["Machines"].values()
        groups = {
            ip_address(address.split("/")[0]): frozenset(each["SecurityGroups"])
            for each in machines
            for address in each["Addresses"]
        }
        return Ec2(self.template, groups)

    def check(self, target: Asa | Ec2, warned: bool) -> None:
        """Fail at a flow that passes where it must not, or that does not pass although nothing was said."""
        nsx = Nsx(self.export)
        for flow in flows(self.export):
            judge(flow, nsx.verdict(flow), target.allows(flow), warned)


def show(text: str) -> None:
    """Show what was written with a made-up export that fails."""
    if currently_in_test_context():
        note(text)


def judge(flow: Flow, before: Verdict, after: bool, warned: bool) -> None:
    """Hold a flow's verdict after the translation against that before."""
    assert not after or before.surely, f"{flow} is let through, and the source did not allow it ({before})"
    assert warned or after == before.possibly, (
        f"{flow} is {'allowed' if after else 'denied'} without a warning ({before})"
    )


@made_up
@given(exports())
def test_an_access_list_is_never_more_open_than_the_source_and_equal_without_a_warning(export: dict[str, Any]) -> None:
    made = Translated(export)
    made.check(made.asa, any(remark.startswith("WARNING") for remark in made.asa.remarks))


@made_up
@given(exports())
def test_security_groups_are_never_more_open_than_the_source_and_equal_without_a_warning(
    export: dict[str, Any],
) -> None:
    made = Translated(export)
    made.check(made.ec2, bool(made.template["Metadata"]["Warnings"]))
    made.ec2.check_limits()


@made_up
@given(exports().map(plain))
def test_an_access_list_says_all_of_a_policy_that_needs_nothing_but_addresses_and_ports(export: dict[str, Any]) -> None:
    made = Translated(export)
    assert made.neutral["warnings"] == []
    assert "WARNING" not in made.asa_text
    made.check(made.asa, warned=False)


@pytest.mark.skipif(not REAL_EXPORTS, reason="no NSX-T exports in ../shared/data/nsx next to this checkout")
@pytest.mark.parametrize("path", REAL_EXPORTS, ids=lambda path: path.stem)
def test_a_real_export_is_translated_to_what_it_says(path: Path) -> None:
    export = json.loads(path.read_text())
    if not export["virtual_network_interface"]:
        export["virtual_network_interface"] = [
            {"owner_vm_id": vm["external_id"], "ip_address_info": [{"ip_addresses": [f"192.168.10.{number}"]}]}
            for number, vm in enumerate(export["virtual_machines"], 1)
        ]
    made = Translated(export)
    made.check(made.asa, any(remark.startswith("WARNING") for remark in made.asa.remarks))
    made.check(made.ec2, bool(made.template["Metadata"]["Warnings"]))

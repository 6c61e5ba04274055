"""What the examples answer to a document of another form: one error that says what is wrong, where, what is expected.

Valid documents are changed at random places. A translation may still be possible; another error than WrongForm is a
failure.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.firewall.oracle.policies import exports
from tests.unit.examples.test_algorithms import module, on_path, policy_of, translate

__all__ = ["on_path"]

FORMS = {"nsx_in": "nsx.form", "cisco_asa": "asa.form", "aws_sg": "aws_sg.form"}
GONE = object()
OTHERS = [
    *(GONE, None, True, False, 0, 7, -1, 70_000, 1.5, float("inf"), float("nan"), "", "x", "10.0.0.1", "7", "${x}"),
    *([], [None], [7], ["x"], [[]], [{}], {}, {"x": 1}, {"any": True}, {"networks": None}),
]
some = settings(
    max_examples=60,
    derandomize=True,
    phases=[Phase.generate],
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Return the path of each value in a document."""
    if path:
        yield path
    for key, part in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(part, (*path, key))


def changed(document: Any, data: st.DataObject) -> Any:
    """Return the document with one to three values replaced or left out."""
    document = copy.deepcopy(document)
    for _ in range(data.draw(st.integers(1, 3))):
        found = list(places(document))
        if not found:
            break
        *above, last = data.draw(st.sampled_from(found))
        other = data.draw(st.sampled_from(OTHERS))
        holder = document
        for key in above:
            holder = holder[key]
        if other is GONE:
            del holder[last]
        else:
            holder[last] = copy.deepcopy(other)
    return document


def translated_or_refused(folder: str, document: Any) -> None:
    """Translate a document. Any other error than WrongForm is a failure, and so is one without a place."""
    try:
        translate(folder, document)
    except module(FORMS[folder]).WrongForm as error:
        assert "$" in str(error) or "which may deny" in str(error)


@some
@given(exports(), st.data())
def test_a_malformed_export_is_translated_or_refused_with_the_place(
    export: dict[str, Any], data: st.DataObject
) -> None:
    translated_or_refused("nsx_in", changed(export, data))


@some
@given(exports(), st.data())
def test_a_malformed_neutral_policy_is_translated_or_refused_with_the_place(
    export: dict[str, Any], data: st.DataObject
) -> None:
    neutral = changed(json.loads(json.dumps(translate("nsx_in", export))), data)
    for folder in ("cisco_asa", "aws_sg"):
        translated_or_refused(folder, neutral)


@pytest.mark.parametrize(
    ("resources", "said"),
    [
        ({"groups": [{"expression": 7}]}, "groups[0].expression, expected a list of objects, found 7"),
        ({"groups": [{"vm_members": ["vm-1"]}]}, 'groups[0].vm_members[0], expected an object, found "vm-1"'),
        ({"security_policies": {}}, "security_policies, expected a list of objects, found an object of 0"),
        ({"security_policies": [{"rules": [[]]}]}, "security_policies[0].rules[0], expected an object, found a list"),
        (
            {"security_policies": [{"sequence_number": "x"}]},
            'security_policies[0].sequence_number, expected a number, found "x"',
        ),
    ],
)
def test_an_error_names_the_value_of_an_export_that_is_wrong(resources: Any, said: str) -> None:
    with pytest.raises(ValueError, match="of the form that is read") as error:
        translate("nsx_in", {"domains": [{"resources": resources}]})
    assert f"at $.domains[0].resources.{said}" in str(error.value)


@pytest.mark.parametrize("folder", ["cisco_asa", "aws_sg"])
@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"sources": {}}, "sources, expected an object with either `any`: true or a list `networks`"),
        ({"sources": {"networks": ["x"]}}, 'sources.networks[0], expected a network such as 10.0.0.0/8, found "x"'),
        ({"sources": {"networks": [], "unresolved": ["x"]}}, "sources.unresolved[0], expected the id of a machine"),
        (
            {"services": [{"protocol": "47", "destinationPorts": [[1, 2]]}]},
            "services[0], expected an object with ports",
        ),
        (
            {"services": [{"protocol": "tcp", "destinationPorts": []}]},
            "services[0].destinationPorts, expected a list of ranges",
        ),
        ({"appliedTo": {"machines": None}}, "appliedTo.machines, expected a list of texts, found null"),
        ({"ipVersion": None}, "ipVersion, expected one of 4, 6, any, found null"),
    ],
)
def test_an_error_names_the_value_of_a_neutral_policy_that_is_wrong(folder: str, rule: Any, said: str) -> None:
    with pytest.raises(module(FORMS[folder]).WrongForm) as error:
        translate(folder, policy_of(rule))
    assert f"at $.rules[0].{said}" in str(error.value)

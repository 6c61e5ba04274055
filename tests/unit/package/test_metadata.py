"""metadata.json: what is allowed, and that a developer learns everything that is not at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from greenroom.package import metadata as metadata_module
from greenroom.package.metadata import (
    ALLOWED,
    DEFAULT_RUNTIME,
    SUPPORTED_RUNTIMES,
    Metadata,
    MetadataError,
    StoredMetadata,
    load_metadata,
    metadata_json_schema,
)
from greenroom.tuning import limits

LEAST: dict[str, Any] = {"name": "nsx", "type": "in", "entry": "nsx.translator:NsxTranslator"}


def load(**fields: Any) -> Metadata:
    said = {**LEAST, **fields}
    return load_metadata(json.dumps({key: value for key, value in said.items() if value is not ...}).encode())


def problems(**fields: Any) -> list[str]:
    with pytest.raises(MetadataError) as caught:
        load(**fields)
    return caught.value.problems


def test_the_defaults_are_those_of_the_design() -> None:
    metadata = load()
    assert metadata.power_values == [128, 256, 512]
    assert (metadata.num, metadata.strategy, metadata.timeout) == (10, "cost", 60)
    assert (metadata.runtime, metadata.architecture, metadata.next) == (DEFAULT_RUNTIME, "x86_64", [])
    assert DEFAULT_RUNTIME in SUPPORTED_RUNTIMES


def test_what_decides_is_as_it_was_unless_it_is_asked_for() -> None:
    metadata = load()
    assert (metadata.search, metadata.balanced_weight, metadata.tolerance) == ("fixed", 0.5, 0.01)
    limits = (metadata.max_duration_ms, metadata.max_cost_usd, metadata.min_headroom, metadata.max_regression)
    assert limits == (None, None, None, None)


def test_the_whole_range_and_a_budget_are_for_an_adaptive_search() -> None:
    assert load(powerValues="ALL", search="adaptive", budgetUsd=0.01).listed_mb == ()
    assert problems(powerValues="ALL", budgetUsd=1) == [
        "field 'powerValues' is \"ALL\"; allowed only with search 'adaptive'",
        "field 'budgetUsd' is 1; allowed only with search 'adaptive'",
    ]


def test_power_values_are_sorted_and_one_next_may_be_a_name() -> None:
    metadata = load(powerValues=[512, 128], next="asa")
    assert metadata.power_values == [128, 512]
    assert metadata.next == ["asa"]


def test_what_was_read_can_be_written_and_read_again() -> None:
    metadata = load(next=["asa", "nftables"], description="reads NSX-T", runtime="python3.13")
    assert load_metadata(metadata.model_dump_json(by_alias=True).encode()) == metadata


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "N"),
        ("name", "Nsx"),
        ("name", "a--b"),
        ("name", "a-"),
        ("name", "1a"),
        ("name", "a" * 33),
        ("name", "nsx\n"),
        ("name", 5),
        ("type", "inout"),
        ("entry", "nsx.translator"),
        ("entry", "nsx translator:X"),
        ("entry", "nsx..a:X"),
        ("entry", ["a:b"]),
        ("runtime", "python3.10"),
        ("runtime", "nodejs22.x"),
        ("architecture", "arm"),
        ("powerValues", []),
        ("powerValues", [127]),
        ("powerValues", [10_241]),
        ("powerValues", [128, 128]),
        ("powerValues", [128.0]),
        ("powerValues", ["128"]),
        ("powerValues", list(range(128, 161))),
        ("powerValues", 128),
        ("num", 0),
        ("num", 1001),
        ("num", True),
        ("num", "10"),
        ("num", None),
        ("strategy", "speed"),
        ("powerValues", "all"),
        ("balancedWeight", 1.1),
        ("maxDurationMs", 0),
        ("maxDurationPercentile", 100),
        ("maxCostUsd", "1"),
        ("minHeadroom", 1),
        ("maxRegression", -0.1),
        ("search", "thorough"),
        ("maxExpectedLoss", 0),
        ("tolerance", True),
        ("tolerance", float("nan")),
        ("timeout", 0),
        ("timeout", 901),
        ("next", "Bad Name"),
        ("next", ["asa", "asa"]),
        ("next", ["a" * 33]),
        ("next", [f"alg{number}" for number in range(17)]),
        ("next", {"asa": 1}),
        ("description", "x" * 1001),
    ],
)
def test_a_wrong_field_is_named_with_what_was_found_and_what_is_allowed(field: str, value: Any) -> None:
    (problem,) = problems(**{field: value})
    assert f"field '{field}" in problem
    assert problem.endswith(f"allowed: {ALLOWED[field]}")
    shown = json.dumps(value)[:20].strip("[]{}")
    assert shown.split(",")[0] in problem


def test_each_field_of_the_model_is_explained() -> None:
    assert set(ALLOWED) == {field.alias for field in Metadata.model_fields.values()}


def test_all_problems_are_reported_at_once_those_between_fields_too() -> None:
    found = problems(name="X", num=0, powerValues=[1, 2], handler="a.b", nmu=3)
    assert len(found) == 6
    assert (
        "field 'name' is \"X\"; allowed: 2 to 32 lower-case letters, digits and single hyphens, a letter first" in found
    )
    assert "field 'num' is a number, 0; allowed: a whole number from 1 to 1000" in found
    assert "field \"nmu\" is not known; did you mean 'num'?" in found
    assert found[-1] == "field 'handler' is given as well as 'entry': exactly one of the two is allowed"


def test_an_unknown_field_comes_with_what_is_near_or_else_with_all() -> None:
    assert problems(power_values=[128])[0].endswith("did you mean 'powerValues'?")
    assert "allowed: name, type, entry" in problems(qqqqqq=1)[0]


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"entry": ...}, "field 'entry' is missing: exactly one of entry and handler is needed"),
        ({"name": ...}, f"field 'name' is missing; allowed: {ALLOWED['name']}"),
        ({"handler": "a.b"}, "field 'handler' is given as well as 'entry': exactly one of the two is allowed"),
        ({"type": "out", "next": ["asa"]}, "field 'next' is [\"asa\"]; allowed only with type 'in'"),
        ({"next": ["asa", "nsx"]}, "field 'next' names the algorithm itself; allowed: other algorithms"),
        ({"next": "nsx"}, "field 'next' names the algorithm itself; allowed: other algorithms"),
    ],
)
def test_what_is_missing_or_contradicts_is_reported(fields: dict[str, Any], problem: str) -> None:
    assert problems(**fields) == [problem]


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"", "is not JSON"),
        (b"{", "is not JSON"),
        (b"[]", "is a list; an object is needed"),
        (b"null", "is null; an object is needed"),
        (b'{"name": "a", "name": "b"}', 'has the field "name" twice'),
        (b'{"next": {"a": 1, "a": 2}}', 'has the field "a" twice'),
        (b'{"name": "\xff"}', "is not UTF-8"),
        (b"[" * 60_000, "is not JSON"),
        (b'{"a":' * 9 + b"1" + b"}" * 9, "is nested more than 8 deep"),
        (b'{"num": ' + b"9" * 5000 + b"}", "is not JSON"),
        (b" " * (metadata_module.MAX_METADATA_BYTES + 1), "is 65,537 bytes; at most 65,536 are allowed"),
    ],
)
def test_a_body_that_is_no_metadata_is_refused(body: bytes, what: str) -> None:
    with pytest.raises(MetadataError) as caught:
        load_metadata(body)
    assert caught.value.problems[0].startswith(what)


def test_a_byte_order_mark_is_no_fault() -> None:
    assert load_metadata(b"\xef\xbb\xbf" + json.dumps(LEAST).encode()).name == "nsx"


def test_the_message_stays_readable_however_much_is_wrong() -> None:
    with pytest.raises(MetadataError) as caught:
        load(**{f"unknown-{number}-{'x' * 200}\x1b[31m": number for number in range(100)})
    message = str(caught.value)
    assert "and 80 more" in message
    assert len(message) < 10_000
    assert message.isprintable()


def values() -> st.SearchStrategy[Any]:
    scalars = (
        st.none()
        | st.booleans()
        | st.integers(-1, 11_000)
        | st.sampled_from(["asa", "in", "cost", "", "A", "a:b", "ALL", "adaptive"])
        | st.sampled_from([0.5, 99.5])
    )
    return scalars | st.lists(scalars, max_size=4)


@given(st.dictionaries(st.sampled_from([*ALLOWED, "unknown"]), values(), max_size=4))
def test_schema_and_model_accept_the_same(fields: dict[str, Any]) -> None:
    said = {**LEAST, **fields}
    by_schema = jsonschema.Draft202012Validator(metadata_json_schema()).is_valid(said)
    try:
        metadata = load_metadata(json.dumps(said).encode())
    except MetadataError as error:
        # The one rule that JSON Schema can't express: a field compared with another.
        assert not by_schema or error.problems == ["field 'next' names the algorithm itself; allowed: other algorithms"]
    else:
        assert by_schema, said
        assert metadata.name == said["name"]


def test_the_published_schema_is_the_models() -> None:
    published = Path(__file__).parents[3] / "docs" / "schema" / "metadata.schema.json"
    schema = metadata_json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert json.loads(published.read_text()) == schema, (
        "write it again: python -c 'import json; from greenroom.package.metadata import metadata_json_schema; "
        f"print(json.dumps(metadata_json_schema(), indent=2))' > {published}"
    )


@given(st.dictionaries(st.sampled_from([*ALLOWED, "unknown"]), values(), max_size=6))
def test_stored_metadata_is_readable_whatever_the_rules_have_become(fields: dict[str, Any]) -> None:
    stored = StoredMetadata.model_validate({**fields, "name": "nsx", "type": "in"})
    assert (stored.name, stored.type) == ("nsx", "in")
    assert stored.num == (fields["num"] if type(fields.get("num")) is int else stored.num)
    assert StoredMetadata.model_validate_json(stored.model_dump_json(by_alias=True)) == stored


@given(st.dictionaries(st.sampled_from([*ALLOWED]), values(), max_size=4))
def test_stored_metadata_is_what_was_uploaded(fields: dict[str, Any]) -> None:
    try:
        uploaded = load_metadata(json.dumps({**LEAST, **fields}).encode())
    except MetadataError:
        return
    stored = StoredMetadata.model_validate_json(uploaded.model_dump_json(by_alias=True))
    assert stored.model_dump() == uploaded.model_dump()
    assert stored.listed_mb == uploaded.listed_mb


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "Not A Name"),
        ("type", "both"),
        ("runtime", "python3.9"),
        ("num", 5_000),
        ("timeout", 1_200),
        ("powerValues", [64, 20_000]),
        ("next", ["Not A Name", "Not A Name"]),
        ("maxDurationMs", -1.0),
        ("handler", "not a handler"),
        ("description", "x" * 2_000),
    ],
)
def test_a_stored_value_that_is_no_longer_allowed_is_kept(field: str, value: Any) -> None:
    stored = StoredMetadata.model_validate({**LEAST, field: value})
    assert stored.model_dump(by_alias=True)[field] == value


@pytest.mark.parametrize(
    ("field", "value", "default"),
    [
        ("strategy", "energy", "cost"),
        ("search", "thorough", "fixed"),
        ("architecture", "riscv64", "x86_64"),
        ("powerValues", "SOME", [128, 256, 512]),
        ("num", "many", 10),
        ("next", {"asa": 1}, []),
    ],
)
def test_a_stored_value_that_the_code_has_no_type_for_is_the_default(field: str, value: Any, default: Any) -> None:
    stored = StoredMetadata.model_validate({**LEAST, field: value})
    assert stored.model_dump(by_alias=True)[field] == default


def test_a_release_without_a_name_is_an_error() -> None:
    with pytest.raises(ValidationError):
        StoredMetadata.model_validate({"type": "in"})
    with pytest.raises(ValidationError):
        StoredMetadata.model_validate({"type": "in", "name": None})


def test_a_package_may_ask_for_what_tuning_takes_for_lambdas_limits() -> None:
    asked = (metadata_module.MIN_MEMORY_MB, metadata_module.MAX_MEMORY_MB, metadata_module.MAX_TIMEOUT_S)
    assert asked == (limits.MIN_MEMORY_MB, limits.MAX_MEMORY_MB, limits.MAX_TIMEOUT_S)

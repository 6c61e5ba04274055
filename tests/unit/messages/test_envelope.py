"""The envelope as the platform and the layer share it: written, read, and looked at when something is wrong with it."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from aws_equipment import envelope as in_the_layer
from hypothesis import given
from hypothesis import strategies as st

from greenroom.deploy import artifacts
from greenroom.messages import envelope
from greenroom.messages.envelope import JSON, TEXT, Claim, Fault, Legible, Message
from greenroom.wire import requests

CLAIM = {"bucket": "b", "key": "inbox/M/x.json", "sizeBytes": 3, "sha256": None}

IDS = st.from_regex(envelope.MESSAGE_ID, fullmatch=True)
ROUTES = st.none() | st.lists(st.text(), min_size=1, max_size=3)
DOCUMENTS = st.builds(Message, IDS, ROUTES, st.just(TEXT), st.text(st.characters(codec="utf-8"))) | st.builds(
    Message, IDS, ROUTES, st.just(JSON), st.dictionaries(st.text(), st.integers())
)
CLAIMS = st.builds(
    Claim, st.text(), st.text(), st.integers(0, envelope.MAX_DOCUMENT_BYTES), st.none() | st.just("0" * 64)
)
MESSAGES = DOCUMENTS | st.builds(Message, IDS, ROUTES, st.sampled_from([JSON, TEXT]), st.none(), CLAIMS)


def body(**fields: Any) -> str:
    said = {"greenroom": 1, "messageId": "01JM", "route": ["asa"], "contentType": JSON, "document": [1], **fields}
    return json.dumps({key: value for key, value in said.items() if value is not ...})


@given(MESSAGES)
def test_what_is_written_is_read(message: Message) -> None:
    written = envelope.write(message)
    assert written.isascii()
    assert envelope.is_envelope(json.loads(written))
    assert envelope.read(json.loads(written)) == message
    seen = envelope.look(written)
    assert (seen.message_id, seen.route, seen.content_type) == (message.message_id, message.route, message.content_type)
    assert (seen.document, seen.claim) == (message.document, message.claim)
    assert seen.has_document == (message.claim is None)


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        ({"messageId": "../x"}, {"message_id": None}),
        ({"messageId": ...}, {"message_id": None}),
        ({"route": []}, {"route": None}),
        ({"route": [1]}, {"route": None}),
        ({"contentType": "text/html"}, {"content_type": None}),
        ({"document": ...}, {"document": None, "has_document": False}),
        ({"document": None}, {"document": None, "has_document": True}),
        ({"claim": {**CLAIM, "sizeBytes": "3"}}, {}),
        ({"claim": {**CLAIM, "sha256": "x"}}, {}),
        ({"claim": {**CLAIM, "sizeBytes": envelope.MAX_DOCUMENT_BYTES + 1}}, {}),
        ({"claim": "b"}, {}),
        ({"claim": CLAIM}, {"claim": Claim("b", "inbox/M/x.json", 3, None)}),
    ],
)
def test_a_look_keeps_the_fields_that_are_right(fields: dict[str, Any], kept: dict[str, Any]) -> None:
    whole = Legible("01JM", ["asa"], JSON, [1], has_document=True)
    assert envelope.look(body(**fields)) == Legible(**{**vars(whole), **kept})


@pytest.mark.parametrize(
    "text", ["", "interface eth0", "[1]", '{"greenroom": 2}', '{"messageId": "01JM"}', "[" * 100_000]
)
def test_a_look_at_what_is_not_an_envelope_finds_nothing(text: str) -> None:
    assert envelope.look(text) == Legible()


WRONG: list[dict[str, Any]] = [
    *({"messageId": name} for name in (5, None, "", "../x", "01JM\n", "01JM/x", "x" * 65)),
    {"route": "asa"},
    {"route": []},
    {"route": [5]},
    {"contentType": None},
    {"contentType": "text/html"},
    {"contentType": []},
    {"document": ...},
    {"claim": CLAIM},
    {"contentType": TEXT},
    *(
        {"document": ..., "claim": claim}
        for claim in (
            "b",
            {**CLAIM, "key": None},
            *({**CLAIM, "sizeBytes": size} for size in (None, "3", True, -1, envelope.MAX_DOCUMENT_BYTES + 1)),
            *({**CLAIM, "sha256": digest} for digest in (5, "", "0" * 63, "0" * 65, "A" * 64)),
        )
    ),
]


@pytest.mark.parametrize("fields", WRONG)
def test_an_envelope_with_a_wrong_field_is_not_read(fields: dict[str, Any]) -> None:
    with pytest.raises(Fault):
        envelope.read(json.loads(body(**fields)))


def test_the_longest_id_is_read_and_a_missing_content_type_means_json() -> None:
    message = envelope.read(json.loads(body(messageId="x" * 64, contentType=...)))
    assert (message.message_id, message.content_type) == ("x" * 64, JSON)


def test_keys_follow_from_the_message_alone() -> None:
    assert envelope.document_key("01JM", TEXT) == "inbox/01JM/document.txt"
    assert envelope.inbox_key("01JM", "nsx-5", JSON) == "inbox/01JM/nsx-5.json"
    assert envelope.result_key("01JM", "asa", JSON) == "results/01JM/asa.json"
    assert envelope.result_key("01JM", "asa", JSON).startswith(envelope.result_prefix("01JM", "asa"))
    assert envelope.failure_key("01JM", "asa") == "failures/01JM/asa.json"


def test_the_layer_has_the_very_module() -> None:
    own = Path(envelope.__file__).read_bytes()
    assert Path(in_the_layer.__file__).read_bytes() == own
    with zipfile.ZipFile(io.BytesIO(artifacts.build_equipment().body)) as layer:
        assert layer.read("python/aws_equipment/envelope.py") == own


def test_what_the_api_takes_is_what_travels() -> None:
    assert requests.MAX_DOCUMENT_BYTES == envelope.MAX_DOCUMENT_BYTES

"""How documents travel: envelopes, claims, and answers as bytes."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from aws_equipment import documents
from aws_equipment.envelope import Claim
from aws_equipment.errors import EquipmentError
from hypothesis import given
from hypothesis import strategies as st

SQS_ID = "059f36b4-87a3-44ab-83d2-661975830a7d"
CLAIM = {"bucket": "b", "key": "inbox/M/x.json", "sizeBytes": 3, "sha256": None}

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda children: st.lists(children, max_size=5) | st.dictionaries(st.text(), children, max_size=5),
    max_leaves=20,
)


def envelope(**fields: Any) -> str:
    said = {
        "greenroom": 1,
        "messageId": "01JM",
        "route": None,
        "contentType": "application/json",
        "document": {},
        **fields,
    }
    return json.dumps({key: value for key, value in said.items() if value is not ...})


@pytest.mark.parametrize(
    ("body", "document", "content_type"),
    [
        ('{"a": 1}', {"a": 1}, "application/json"),
        ("[1]", [1], "application/json"),
        ('{"greenroom": 2}', {"greenroom": 2}, "application/json"),
        ("interface eth0", "interface eth0", "text/plain"),
        ("[" * 100_000, "[" * 100_000, "text/plain"),
    ],
)
def test_a_body_that_is_not_an_envelope_is_itself_the_document(body: str, document: Any, content_type: str) -> None:
    message = documents.parse_message(body, SQS_ID)
    assert (message.document, message.content_type) == (document, content_type)
    assert message.message_id == SQS_ID.replace("-", "")
    assert message.route is None


def test_an_envelope_is_read() -> None:
    message = documents.parse_message(envelope(route=["asa"], document=[1, 2]), SQS_ID)
    assert (message.message_id, message.route, message.document) == ("01JM", ["asa"], [1, 2])
    claimed = documents.parse_message(envelope(document=..., claim=CLAIM), SQS_ID)
    assert claimed.claim == Claim("b", "inbox/M/x.json", 3, None)


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"messageId": None}, "messageId"),
        ({"messageId": "../../x"}, "messageId"),
        ({"messageId": "é"}, "messageId"),
        ({"messageId": "x" * 65}, "messageId"),
        ({"messageId": "x\n"}, "messageId"),
        ({"route": "asa"}, "route"),
        ({"route": [1]}, "route"),
        ({"route": []}, "route"),
        ({"contentType": "image/png"}, "contentType"),
        ({"contentType": ["application/json"]}, "contentType"),
        ({"contentType": "text/plain", "document": {}}, "is not text"),
        ({"document": ...}, "either a document or a claim"),
        ({"claim": CLAIM}, "either a document or a claim"),
        ({"document": ..., "claim": None}, "no bucket and key"),
        ({"document": ..., "claim": {**CLAIM, "key": 1}}, "no bucket and key"),
        ({"document": ..., "claim": {**CLAIM, "sizeBytes": -1}}, "sizeBytes"),
        ({"document": ..., "claim": {**CLAIM, "sizeBytes": True}}, "sizeBytes"),
        ({"document": ..., "claim": {**CLAIM, "sizeBytes": 1 << 40}}, "sizeBytes"),
        ({"document": ..., "claim": {**CLAIM, "sha256": "abc"}}, "sha256"),
    ],
)
def test_a_wrong_field_of_an_envelope_is_reported(fields: dict[str, Any], what: str) -> None:
    with pytest.raises(EquipmentError, match=what):
        documents.parse_message(envelope(**fields), SQS_ID)


def test_a_claim_is_redeemed_only_by_the_very_document() -> None:
    digest = hashlib.sha256(b"abc").hexdigest()
    assert documents.redeem(Claim("b", "k", 3, digest), b"abc") == b"abc"
    assert documents.redeem(Claim("b", "k", 3, None), b"xyz") == b"xyz"
    with pytest.raises(EquipmentError, match="SHA-256 differs"):
        documents.redeem(Claim("b", "k", 3, digest), b"abd")
    for other in (b"ab", b"abcd"):
        with pytest.raises(EquipmentError, match="3 bytes"):
            documents.redeem(Claim("b", "k", 3, None), other)


@given(JSON_VALUES.filter(lambda value: isinstance(value, dict | list)))
def test_the_next_algorithm_receives_what_one_answers(value: Any) -> None:
    answer = documents.encode(value)
    sent = documents.inline_body(documents.parse_message(envelope(), SQS_ID), answer)
    assert sent is not None and sent.isascii()
    assert documents.parse_message(sent, SQS_ID).document == value
    assert documents.decode(answer.body, answer.content_type) == value


@given(st.text(alphabet=st.characters(codec="utf-8")))
def test_text_is_carried_unchanged(text: str) -> None:
    answer = documents.encode(text)
    sent = documents.inline_body(documents.parse_message(envelope(), SQS_ID), answer)
    assert sent is not None
    received = documents.parse_message(sent, SQS_ID)
    assert (received.document, received.content_type) == (text, "text/plain")
    assert answer.body.decode() == text


@pytest.mark.parametrize("text", ["x", "\u6f22", "\N{GRINNING FACE}", '"'])
def test_the_limit_is_for_the_message_as_it_is_sent(text: str) -> None:
    """Letters that take more bytes once escaped must not carry a message over the limit."""
    message = documents.parse_message(envelope(), SQS_ID)
    one = documents.inline_body(message, documents.encode([text]))
    two = documents.inline_body(message, documents.encode([text * 2]))
    assert one and two
    fits = (documents.INLINE_LIMIT_BYTES - len(one)) // (len(two) - len(one)) + 1
    sent = documents.inline_body(message, documents.encode([text * fits]))
    assert sent is not None
    assert documents.INLINE_LIMIT_BYTES - 12 < len(sent.encode()) <= documents.INLINE_LIMIT_BYTES
    assert documents.inline_body(message, documents.encode([text * (fits + 1)])) is None


def test_the_key_of_a_waiting_document_follows_from_message_and_content() -> None:
    message = documents.parse_message(envelope(), SQS_ID)
    first, same, other = (documents.encode(value) for value in ({"a": 1}, {"a": 1}, {"a": 2}))
    assert documents.inbox_key(message, first, "nsx") == documents.inbox_key(message, same, "nsx")
    assert documents.inbox_key(message, first, "nsx") != documents.inbox_key(message, other, "nsx")
    assert documents.inbox_key(message, documents.encode("text"), "nsx").endswith(".txt")


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (None, "returned NoneType; text, a dict or a list is needed"),
        (b"bytes", "returned bytes"),
        (5, "returned int"),
        ({"a": {1, 2}}, "can't be written"),
        ({"a": float("nan")}, "can't be written"),
        ("\ud800", "can't be written"),
        ({"a": "\ud800"}, "can't be written"),
    ],
)
def test_an_answer_that_cannot_be_written_is_reported(value: Any, what: str) -> None:
    with pytest.raises(EquipmentError, match=what):
        documents.encode(value)


def test_an_answer_that_contains_itself_is_reported() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(EquipmentError, match="can't be written"):
        documents.encode(value)

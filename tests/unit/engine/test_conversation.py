"""What counts of all that a runtime may send: the state machine, and frames of any bytes in pieces of any size."""

from __future__ import annotations

import json
import select
import socket

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from greenroom.engine.conversation import Conversation, Event, Message, Violation, readable_error_type
from greenroom.engine.frames import KINDS, LENGTHS, FrameLink

EVENT = Event("id", b'{"n": 1e400}', "arn", 1, "Root=1")
MESSAGES = st.builds(Message, st.sampled_from(KINDS), st.sampled_from([None, "id", "other"]))


@given(st.lists(MESSAGES, max_size=6))
def test_an_invocation_has_one_answer_which_came_after_it_and_for_it(heard: list[Message]) -> None:
    conversation = Conversation()
    conversation.hear(Message("next"))
    conversation.begin("id")
    answers = []
    for message in heard:
        try:
            conversation.hear(message)
        except Violation:
            break
        if message.kind != "next":
            answers.append(message)
        if conversation.state == "ready":
            break
    assert len(answers) <= 1
    assert all(each.request_id == "id" and each.kind in ("result", "error", "too_large") for each in answers)
    assert conversation.state in ("busy", "answered", "ready")
    assert (conversation.state == "busy") == (not answers)


@pytest.mark.parametrize("kind", ["result", "error", "too_large"])
def test_nothing_is_answered_before_there_is_an_invocation(kind: str) -> None:
    conversation = Conversation()
    for _ in range(2):
        with pytest.raises(Violation):
            conversation.hear(Message(kind, "id"))  # type: ignore[arg-type]
        with pytest.raises(Violation):
            conversation.hear(Message(kind, None))  # type: ignore[arg-type]
        if conversation.state == "starting":
            with pytest.raises(Violation):
                conversation.begin("id")
            conversation.hear(Message("next"))


def test_a_runtime_that_could_not_be_loaded_says_nothing_more() -> None:
    conversation = Conversation()
    conversation.hear(Message("init_error"))
    for kind in KINDS:
        with pytest.raises(Violation):
            conversation.hear(Message(kind))
    with pytest.raises(Violation):
        conversation.begin("id")


def received(*pieces: bytes) -> tuple[list[Message], bool]:
    """Return the messages that a link takes from what is sent to it, and whether it then refused the rest."""
    ours, theirs = socket.socketpair()
    conversation = Conversation()
    conversation.hear(Message("next"))
    conversation.begin("id")
    link, taken = FrameLink(ours, conversation), []
    try:
        for piece in pieces:
            theirs.sendall(piece)
            link.transfer(ours.fileno(), select.POLLIN)
            while (message := link.take()) is not None:
                taken.append(message)
    except Violation:
        return taken, True
    finally:
        theirs.close()
        link.close()
    return taken, False


def frame(header: object, payload: bytes = b"") -> bytes:
    head = json.dumps(header).encode()
    return LENGTHS.pack(len(head), len(payload)) + head + payload


@given(st.lists(st.binary(min_size=1, max_size=64), max_size=8))
@example([LENGTHS.pack(2, 0) + b"[]"])
@example([LENGTHS.pack(4, 0) + b"\xff\xff\xff\xff"])
@example([LENGTHS.pack(1 << 31, 0)])
def test_any_bytes_are_waited_for_or_refused_and_never_more_than_that(pieces: list[bytes]) -> None:
    taken, _ = received(*pieces)
    assert all(message.kind in KINDS for message in taken)


@given(st.binary(max_size=300), st.integers(1, 40))
def test_a_frame_is_the_same_in_pieces_of_any_size(payload: bytes, size: int) -> None:
    whole = frame({"kind": "result", "request_id": "id"}, payload) + frame({"kind": "next"})
    pieces = [whole[at : at + size] for at in range(0, len(whole), size)]
    assert received(*pieces) == ([Message("result", "id", payload), Message("next")], False)


def test_a_link_delivers_only_to_a_runtime_that_has_said_nothing_more() -> None:
    ours, theirs = socket.socketpair()
    conversation = Conversation()
    conversation.hear(Message("next"))
    link = FrameLink(ours, conversation)
    link.deliver(EVENT)
    assert link.transfer(ours.fileno(), select.POLLOUT)
    head, size = LENGTHS.unpack(theirs.recv(LENGTHS.size))
    header = json.loads(theirs.recv(head))
    assert header == {
        "request_id": "id",
        "invoked_function_arn": "arn",
        "deadline_ms": 1,
        "trace_id": "Root=1",
        "client_context": None,
    }
    assert theirs.recv(size) == EVENT.payload
    theirs.sendall(b"\0")
    with pytest.raises(Violation, match="nobody had asked for"):
        link.deliver(EVENT)
    theirs.close()
    link.close()


@pytest.mark.parametrize("name", ["Runtime.ExitError", "ValueError", "a_1"])
def test_a_plain_error_type_is_shown(name: str) -> None:
    assert readable_error_type(name) == name


@pytest.mark.parametrize("name", ["", "a b", "x\ty", "é", "x" * 129, None, 3, ["x"]])
def test_any_other_error_type_is_unknown(name: object) -> None:
    assert readable_error_type(name) == "Runtime.Unknown"

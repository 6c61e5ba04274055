"""What a function has written becomes events: lines with their ends, and whole messages from frames."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from greenroom.engine.logs import FRAME, LOG_CUT, MAX_LOG_BYTES, Output, messages


def framed(message: bytes) -> bytes:
    return FRAME.pack(b"\xa5\x5a\x00\x17", len(message), 0) + message


def test_lines_keep_their_ends_and_a_framed_message_stays_whole() -> None:
    # As recorded on AWS: test_multi_line_prints in LocalStack's test_lambda_runtimes.snapshot.json.
    written = b"multi\nline\nanother\rline\n" + framed(b"[ERROR] E\nTraceback") + b"no end"
    assert list(messages(written)) == [
        b"multi\n",
        b"line\n",
        b"another\rline\n",
        b"[ERROR] E\nTraceback",
        b"no end",
    ]


@given(st.lists(st.one_of(st.binary(max_size=30), st.binary(max_size=30).map(framed))))
def test_any_bytes_become_events_and_none_is_longer_than_what_was_written(pieces: list[bytes]) -> None:
    written = b"".join(pieces)
    assert sum(map(len, messages(written))) <= len(written)


@given(st.text(alphabet="ab\r\n", max_size=60))
def test_plain_output_is_the_same_in_pieces(text: str) -> None:
    assert b"".join(messages(text.encode())).decode() == text


def test_what_is_too_much_is_cut_once_and_said() -> None:
    output = Output()
    for _ in range(MAX_LOG_BYTES // 1000 + 5):
        output.add(b"x" * 999 + b"\n")
    events = output.take(7)
    assert events[-1].message == LOG_CUT
    assert sum(len(event.message) for event in events[:-1]) == MAX_LOG_BYTES
    assert {event.timestamp_ms for event in events} == {7}
    output.add(b"again\n")
    assert [event.message for event in output.take(8)] == ["again\n"]
    assert output.take(9) == []

"""Bencoding: what is written is read again, and nothing else is."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.media.rtpengine.bencode import MAX_DEPTH, BencodeError, decode, encode

VALUES = st.recursive(
    st.integers(-(2**63), 2**63 - 1) | st.binary(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


def as_read(value: object) -> object:
    if isinstance(value, dict):
        return {key.encode(): as_read(item) for key, item in value.items()}
    return [as_read(item) for item in value] if isinstance(value, list) else value


@given(VALUES)
def test_what_is_written_is_read_again(value: object) -> None:
    assert decode(encode(value)) == as_read(value)  # type: ignore[arg-type]


@given(st.binary(max_size=60))
def test_whatever_comes_is_a_value_or_an_error(data: bytes) -> None:
    with suppress(BencodeError):
        decode(data)


def test_an_answer_of_rtpengine_whose_keys_are_in_no_order() -> None:
    answer = decode(b"d6:result2:ok3:sdp3:v=07:createdi1700000000e6:totalsd3:RTPd7:packetsi12eeee")
    assert answer == {b"result": b"ok", b"sdp": b"v=0", b"created": 1700000000, b"totals": {b"RTP": {b"packets": 12}}}


@pytest.mark.parametrize(
    "data",
    [
        b"", b"i1", b"ie", b"i-e", b"i01e", b"i-0e", b"i+1e", b"i 1e", b"i1_0e", b"3:ab", b"03:abc", b"-1:a", b"1:ab",
        b"l", b"li1e", b"d", b"d1:a", b"d1:ae", b"di1e1:ae", b"d1:ai1e1:ai2ee", b"x", b"i1ei2e", b"99999999999:a",
        b"i" + b"9" * 30 + b"e", b"l" * (MAX_DEPTH + 2) + b"e" * (MAX_DEPTH + 2), b"l" + b"le" * 20_000 + b"e",
        b"i\xd9\xa1e", b"l" * 100_000,
    ],
)  # fmt: skip
def test_what_is_malformed_or_too_much_is_refused(data: bytes) -> None:
    with pytest.raises(BencodeError):
        decode(data)

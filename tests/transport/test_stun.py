"""Binding requests and their answers, without a socket (RFC 8489; values of RFC 5769)."""

import struct
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.transport.stun import answer

TRANSACTION = bytes.fromhex("b7e7a701bc34d686fa87dfae")  # of RFC 5769 §2
COOKIE = b"\x21\x12\xa4\x42"


def binding(attributes: bytes = b"", kind: int = 1) -> bytes:
    return struct.pack("!HH", kind, len(attributes)) + COOKIE + TRANSACTION + attributes


def attribute(name: int, value: bytes) -> bytes:
    return struct.pack("!HH", name, len(value)) + value + bytes(-len(value) % 4)


def signed(attributes: bytes = b"") -> bytes:
    head = struct.pack("!HH", 1, len(attributes) + 8) + COOKIE + TRANSACTION + attributes
    return head + attribute(0x8028, struct.pack("!I", crc32(head) ^ 0x5354554E))


def test_the_mapped_address_is_that_of_rfc_5769() -> None:
    four = answer(binding(), "192.0.2.1", 32853)
    assert four == bytes.fromhex("0101000c2112a442") + TRANSACTION + bytes.fromhex("002000080001a147e112a643")
    six = answer(binding(), "2001:db8:1234:5678:11:2233:4455:6677", 32853)
    mapped = "002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9"
    assert six == bytes.fromhex("010100182112a442") + TRANSACTION + bytes.fromhex(mapped)
    assert answer(binding(), "fe80::1%2", 1)[:2] == b"\x01\x01"


def test_a_fingerprint_is_checked_and_returned() -> None:
    plain, with_print = answer(binding(), "192.0.2.1", 5060), answer(signed(), "192.0.2.1", 5060)
    assert with_print[20:32] == plain[20:] and with_print[32:36] == b"\x80\x28\x00\x04" and len(with_print) == 40
    assert struct.unpack("!I", with_print[36:])[0] == crc32(with_print[:-8]) ^ 0x5354554E
    assert with_print[2:4] == b"\x00\x14"
    assert answer(signed()[:-1] + b"?", "192.0.2.1", 5060) == b""


def test_attributes_that_are_not_understood() -> None:
    software = attribute(0x8022, b"a phone")
    assert answer(binding(software), "192.0.2.1", 1) == answer(binding(), "192.0.2.1", 1)
    credentials = attribute(6, b"user") + attribute(8, bytes(20))
    assert answer(binding(credentials), "192.0.2.1", 1)[:2] == b"\x01\x01"
    # CHANGE-REQUEST (RFC 5780) would have the answer come from elsewhere.
    error = answer(binding(attribute(3, bytes(4))), "192.0.2.1", 1)
    assert error[:4] == b"\x01\x11\x00\x10"
    assert error[20:] == bytes.fromhex("0009000400000414" + "000a000200030000")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        binding()[:-1],
        binding() + b"\0",
        binding(kind=0x0011),
        binding(kind=0x0101),
        binding(kind=0x0003),
        binding().replace(COOKIE, b"abcd"),
        binding(b"\x80\x22\x00\x09abcd"),
        binding(b"\x80\x22\x00\x00" * 200),
        struct.pack("!HH", 1, 2) + COOKIE + TRANSACTION + b"\x80\x22",
    ],
)
def test_what_is_no_binding_request_gets_no_answer(data: bytes) -> None:
    assert answer(data, "192.0.2.1", 5060) == b""


@given(st.binary(max_size=80), st.sampled_from(["192.0.2.1", "2001:db8::1"]))
def test_no_answer_is_much_longer_than_what_it_answers(rest: bytes, host: str) -> None:
    for data in (binding(rest), signed(rest), rest):
        found = answer(data, host, 5060)
        assert len(found) <= len(data) + 24

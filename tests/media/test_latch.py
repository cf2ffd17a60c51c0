"""Symmetric RTP, RFC 4961: who may become and stay the source of a stream."""

from engine.media.latch import Latch

SDP = ("192.0.2.1", 4000)
SAME_HOST = ("192.0.2.1", 4010)
NAT = ("198.51.100.7", 31000)
STRANGER = ("203.0.113.9", 666)


def test_the_first_packet_decides_and_strangers_change_nothing() -> None:
    for first in (SDP, SAME_HOST, NAT):
        latch = Latch(SDP)
        assert latch.source is None
        assert latch.accepts(first)
        assert not latch.accepts(STRANGER)
        assert latch.source == first
        assert latch.accepts(first)


def test_a_source_that_fits_the_sdp_better_takes_the_place_of_a_worse_one() -> None:
    latch = Latch(SDP)
    assert latch.accepts(STRANGER)
    assert latch.accepts(SAME_HOST)
    assert not latch.accepts(STRANGER)
    assert latch.accepts(SDP)
    assert not latch.accepts(SAME_HOST)
    assert latch.source == SDP


def test_without_a_description_the_first_source_is_kept() -> None:
    latch = Latch()
    assert latch.accepts(NAT)
    assert not latch.accepts(STRANGER)
    assert not latch.accepts(SDP)


def test_a_changed_address_latches_afresh_and_an_unchanged_one_does_not() -> None:
    latch = Latch(SDP)
    assert latch.accepts(NAT)
    latch.retarget(SDP)
    assert latch.source == NAT
    assert not latch.accepts(STRANGER)
    latch.retarget(("192.0.2.2", 4000))
    assert latch.source is None
    assert latch.accepts(STRANGER)

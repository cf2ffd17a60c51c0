"""Symmetric RTP, RFC 4961: who may become and stay the source of a stream."""

import pytest

from engine.media.latch import CANDIDATES, PROOF, Latch

SDP = ("192.0.2.1", 4000)
SAME_HOST = ("192.0.2.1", 4010)
NAT = ("198.51.100.7", 31000)
STRANGER = ("203.0.113.9", 666)


def shows(latch: Latch, source: tuple[str, int], *numbers: int, ssrc: int = 1) -> list[bool]:
    """Which of the packets with these sequence numbers are taken."""
    return [latch.accepts(source, (ssrc, number & 0xFFFF)) for number in numbers]


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


@pytest.mark.parametrize("sdp", [None, SDP])
def test_a_stranger_that_was_first_is_not_kept_once_somebody_goes_on(sdp: tuple[str, int] | None) -> None:
    latch = Latch(sdp)
    assert shows(latch, STRANGER, 700) == [True]  # sound flows at once
    assert shows(latch, NAT, *range(65533, 65533 + PROOF)) == [False] * (PROOF - 1) + [True]
    assert latch.source == NAT and latch.settled
    assert not any(shows(latch, STRANGER, *range(701, 800)))


def test_who_was_first_and_goes_on_stays() -> None:
    latch = Latch(SDP)
    for number in range(PROOF - 1):
        assert shows(latch, NAT, number) == [True]
        assert not latch.settled
        assert shows(latch, STRANGER, number, ssrc=2) == [False]
    assert shows(latch, NAT, PROOF - 1) == [True] and latch.settled
    assert not any(shows(latch, STRANGER, *range(PROOF - 1, 100), ssrc=2))
    assert latch.source == NAT


def test_a_packet_that_is_lost_late_or_doubled_breaks_no_run_and_is_none() -> None:
    latch = Latch()
    assert shows(latch, STRANGER, 9) == [True]
    assert shows(latch, NAT, 10, 10, 12, 11, 12, 13, 17) == [False] * 7
    assert shows(latch, NAT, 18) == [True]


def test_what_does_not_go_on_proves_nothing() -> None:
    latch = Latch()
    assert shows(latch, NAT, 1) == [True]
    assert not any(shows(latch, STRANGER, *range(0, 60000, 500)))
    for number in range(20):
        assert shows(latch, STRANGER, number, ssrc=number) == [False]
        assert not latch.accepts(STRANGER)  # no number: RTCP
    assert latch.source == NAT and not latch.settled


def test_the_address_of_the_description_needs_no_proof_and_nobody_else_has_any_against_it() -> None:
    latch = Latch(SDP)
    assert shows(latch, STRANGER, *range(PROOF)) == [True] * PROOF
    assert shows(latch, SDP, 1) == [True] and latch.settled
    assert not any(shows(latch, NAT, *range(100)))
    assert not any(shows(latch, SAME_HOST, *range(100)))


def test_of_two_at_the_described_host_the_one_that_goes_on_is_kept_and_a_stranger_is_not() -> None:
    latch = Latch(SDP)
    assert shows(latch, SAME_HOST, 1) == [True]
    assert not any(shows(latch, STRANGER, *range(100)))
    assert shows(latch, (SDP[0], 5000), *range(PROOF))[-1]
    assert latch.source == (SDP[0], 5000)


def test_many_strangers_take_no_room_and_push_out_nobody_who_goes_on() -> None:
    latch = Latch()
    assert shows(latch, STRANGER, 1) == [True]
    assert not any(shows(latch, NAT, 1, 2))
    for number in range(3, PROOF):
        for port in range(1, 10 * CANDIDATES):
            assert shows(latch, ("203.0.113.8", port), 1) == [False]
        assert len(latch._others) <= CANDIDATES
        assert shows(latch, NAT, number) == [False]
    assert shows(latch, NAT, PROOF) == [True]
    assert not latch._others


def test_packets_that_are_proof_themselves_settle_it_at_once() -> None:
    latch = Latch(proof=1)  # SRTP
    assert shows(latch, NAT, 1) == [True] and latch.settled
    assert not any(shows(latch, STRANGER, *range(100)))

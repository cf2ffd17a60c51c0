"""Symmetric RTP, RFC 4961: who may become and stay the source of a stream; strangers never do (RFC 7362 §4)."""

import pytest

from engine.media.rtp.latch import CANDIDATES, CHANCE, PROOF, Address, Latch
from tests.media.fake_plane import Dialog

SDP = ("192.0.2.1", 4000)
SAME_HOST = ("192.0.2.1", 4010)
PRIVATE = ("10.9.8.7", 4000)
NAT = ("198.51.100.7", 31000)
"""The host of the signalling."""
STRANGER = ("203.0.113.9", 666)

SIX = {SDP: ("2001:db8::1", 4000), SAME_HOST: ("2001:db8::1", 4010), PRIVATE: ("fd00::7", 4000)}
SIX |= {NAT: ("2001:db8:1::7", 31000), STRANGER: ("2001:db8:2::9", 666)}


def latch(sdp: Address | None = SDP, signalling: str = NAT[0], *, receives: bool = True, proof: int = PROOF) -> Latch:
    dialog = Dialog(signalling, receives=receives, opening=not receives)
    return Latch(dialog.consent(float), sdp, proof)


def shows(latch: Latch, source: tuple[str, int], *numbers: int, ssrc: int = 1) -> list[bool]:
    """Which of the packets with these sequence numbers are taken."""
    return [latch.accepts(source, (ssrc, number & 0xFFFF)) for number in numbers]


@pytest.mark.parametrize("sdp", [None, SDP, PRIVATE])
@pytest.mark.parametrize("proof", [PROOF, 1])
@pytest.mark.parametrize("six", [False, True])
def test_a_host_that_the_signalling_does_not_name_is_never_taken(sdp: Address | None, proof: int, six: bool) -> None:
    """Before the peer, between its packets, after them, in any number; by SRTP with the right key (`proof`), too."""
    where = SIX if six else {address: address for address in (SDP, PRIVATE, NAT, STRANGER)}
    peer = where[NAT] if sdp != SDP else where[SDP]
    one = latch(where[sdp] if sdp else None, where[NAT][0], proof=proof)
    assert not any(shows(one, where[STRANGER], *range(200))) and not one.accepts(where[STRANGER])
    assert shows(one, peer, 1) == [True]
    assert not any(shows(one, where[STRANGER], *range(200, 400))) and not one.accepts(where[STRANGER])
    assert shows(one, peer, *range(2, 20)) == [True] * 18
    assert not any(shows(one, where[STRANGER], *range(400, 600)))
    assert one.source == peer and one.settled


@pytest.mark.parametrize("first", [SDP, SAME_HOST])
def test_the_first_packet_from_the_described_host_decides(first: Address) -> None:
    one = latch()
    assert one.source is None
    assert one.accepts(first)
    assert one.source == first and not one.accepts(STRANGER) and one.accepts(first)


def test_the_described_address_goes_before_every_other_at_any_time() -> None:
    one = latch()
    assert shows(one, NAT, *range(CHANCE))[-1] and one.settled
    assert shows(one, SAME_HOST, 1) == [True]  # its host does, too
    assert shows(one, SAME_HOST, *range(2, 50)) == [True] * 48 and one.settled
    assert one.accepts(SDP)
    assert one.source == SDP and one.settled
    assert not any(shows(one, SAME_HOST, *range(50, 100))) and not any(shows(one, NAT, *range(100)))


def test_behind_a_nat_the_first_packet_from_the_signallings_host_decides() -> None:
    for sdp in (PRIVATE, ("192.168.3.4", 4000), ("100.64.7.7", 4000), ("127.0.0.1", 4000), ("169.254.1.1", 4000), None):
        one = latch(sdp)
        assert shows(one, NAT, 1) == [True], sdp
        assert one.source == NAT


def test_an_address_that_could_send_has_its_chance_before_the_signallings_host_is_taken() -> None:
    one = latch()
    assert shows(one, NAT, *range(CHANCE)) == [False] * (CHANCE - 1) + [True]
    assert one.source == NAT and one.settled
    one = latch()
    assert not any(shows(one, NAT, *range(CHANCE - 1)))
    assert one.accepts(SDP)
    assert not any(shows(one, NAT, *range(CHANCE - 1, 200)))
    assert one.source == SDP


def test_nobody_but_the_described_host_is_taken_before_the_peer_has_shown_that_it_receives() -> None:
    dialog = Dialog(NAT[0])
    one = Latch(dialog.consent(float), PRIVATE)
    assert not any(shows(one, NAT, *range(50))) and not one.accepts(NAT)
    dialog.acknowledge()
    assert shows(one, NAT, 50) == [True]
    assert latch(receives=False).accepts(SAME_HOST)


def test_a_signalling_that_moves_takes_its_media_with_it() -> None:
    """A phone that changes its network, and says so in its dialog."""
    dialog = Dialog(NAT[0], receives=True)
    one = Latch(dialog.consent(float), PRIVATE)
    assert shows(one, NAT, *range(PROOF))[0]
    dialog.peer_host = "198.51.100.200"
    one.retarget(("10.1.1.1", 4000))
    assert not one.accepts(NAT) and one.accepts(("198.51.100.200", 7000))


def test_a_changed_address_latches_afresh_and_an_unchanged_one_does_not() -> None:
    one = latch(PRIVATE)
    assert one.accepts(NAT)
    one.retarget(PRIVATE)
    assert one.source == NAT
    one.retarget(SDP)
    assert one.source is None
    assert not shows(one, NAT, 1)[0] and one.accepts(SDP)


@pytest.mark.parametrize("sdp", [None, PRIVATE])
def test_another_behind_the_same_nat_that_was_first_is_not_kept_once_somebody_goes_on(sdp: Address | None) -> None:
    one, other = latch(sdp), (NAT[0], 666)
    assert shows(one, other, 700) == [True]  # sound flows at once
    assert shows(one, NAT, *range(65533, 65533 + PROOF)) == [False] * (PROOF - 1) + [True]
    assert one.source == NAT and one.settled
    assert not any(shows(one, other, *range(701, 800)))


def test_who_was_first_and_goes_on_stays() -> None:
    one, other = latch(PRIVATE), (NAT[0], 666)
    for number in range(PROOF - 1):
        assert shows(one, NAT, number) == [True]
        assert not one.settled
        assert shows(one, other, number, ssrc=2) == [False]
    assert shows(one, NAT, PROOF - 1) == [True] and one.settled
    assert not any(shows(one, other, *range(PROOF - 1, 100), ssrc=2))
    assert one.source == NAT


def test_a_packet_that_is_lost_late_or_doubled_breaks_no_run_and_is_none() -> None:
    one = latch(None)
    assert shows(one, (NAT[0], 666), 9) == [True]
    assert shows(one, NAT, 10, 10, 12, 11, 12, 13, 17) == [False] * 7
    assert shows(one, NAT, 18) == [True]


def test_what_does_not_go_on_proves_nothing() -> None:
    one, other = latch(None), (NAT[0], 666)
    assert shows(one, NAT, 1) == [True]
    assert not any(shows(one, other, *range(0, 60000, 500)))
    for number in range(20):
        assert shows(one, other, number, ssrc=number) == [False]
        assert not one.accepts(other)  # no number: RTCP
    assert one.source == NAT and not one.settled


def test_of_two_at_the_described_host_the_one_that_goes_on_is_kept() -> None:
    one = latch()
    assert shows(one, SAME_HOST, 1) == [True]
    assert not any(shows(one, NAT, *range(100)))
    assert shows(one, (SDP[0], 5000), *range(PROOF))[-1]
    assert one.source == (SDP[0], 5000)


def test_many_others_take_no_room_and_push_out_nobody_who_goes_on() -> None:
    one = latch(None)
    assert shows(one, (NAT[0], 666), 1) == [True]
    assert not any(shows(one, NAT, 1, 2))
    for number in range(3, PROOF):
        for port in range(1, 10 * CANDIDATES):
            assert shows(one, (NAT[0], port), 1) == [False]
            assert shows(one, ("203.0.113.8", port), 1) == [False]
        assert len(one.others) <= CANDIDATES
        assert shows(one, NAT, number) == [False]
    assert shows(one, NAT, PROOF) == [True]
    assert not one.others


@pytest.mark.parametrize("sdp", [SDP, PRIVATE, None])
def test_packets_that_are_proof_themselves_settle_it_at_once(sdp: Address | None) -> None:
    one = latch(sdp, proof=1)  # SRTP
    assert shows(one, NAT, 1) == [True] and one.settled
    assert not any(shows(one, (NAT[0], 666), *range(100)))

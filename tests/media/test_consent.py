"""Where media may be sent, and for how long, before anybody has shown that it is wanted there (RFC 3261 §26.1.5)."""

from itertools import count

import pytest

from engine.media.codec.registry import Codec
from engine.media.plane import KEEPALIVE
from engine.media.rtp.consent import MOST_HOSTS, TRIAL, Consent
from engine.media.rtp.packet import RtpPacket
from engine.media.rtp.rtcp import ReceiverReport, Sdes, compound
from engine.media.rtp.srtp import AES_80, Crypto, Keys, Srtp, new_key
from tests.media.fake_plane import PEER, STRANGER, Dialog, Line, Tape, agreed, numbers

OWN, THIRD, OTHER = PEER[0], STRANGER[0], "198.51.100.7"
VOICE = b"v" * 160


class Endless:
    def next(self, codec: Codec) -> bytes:
        return b"x" * 160


class Time:
    now = 5.0

    def __call__(self) -> float:
        return self.now


def line(remote: tuple[str, int] = PEER, **more: object) -> Line:
    return Line(agreed(remote=remote, **more), dialog=Dialog())  # type: ignore[arg-type]


def to(line: Line, host: str) -> int:
    """Datagrams that went there, of any kind."""
    return sum(target[0] == host for _, target in line.port.sock.sent)


# ---- the table


@pytest.mark.parametrize(
    ("own", "third"), [(OWN, THIRD), ("2001:db8::1", "2001:db8:9::1"), ("192.168.1.2", "10.0.0.3")]
)
def test_a_strangers_own_host_has_a_second_and_another_that_it_names_has_nothing(own: str, third: str) -> None:
    time, dialog = Time(), Dialog(own)
    consent = dialog.consent(time)
    consent.describe({own, third})
    assert consent.allows(own) and not consent.allows(third)
    time.now += TRIAL / 2
    assert consent.allows(own) and not consent.proven(own)
    time.now += TRIAL / 2
    assert not consent.allows(own) and not consent.allows(third)
    dialog.acknowledge()
    assert consent.proven(own) and consent.proven(third)


def test_a_host_named_after_the_ack_has_a_second_until_it_is_heard() -> None:
    time, dialog = Time(), Dialog(receives=True, opening=False)
    consent = dialog.consent(time)
    consent.describe({OWN})
    consent.describe({THIRD})
    assert consent.allows(THIRD) and not consent.proven(THIRD)
    time.now += TRIAL
    assert not consent.allows(THIRD) and consent.allows(OWN)
    consent.describe({OWN})
    consent.describe({THIRD})  # named again: it has had its second
    assert not consent.allows(THIRD)
    consent.hear(THIRD)
    assert consent.proven(THIRD)


def test_what_is_described_first_is_vouched_for_although_the_ack_was_before() -> None:
    """An ACK with the answer; media that comes home from another leg."""
    consent = Dialog(receives=True, opening=False).consent(float)
    consent.describe({THIRD})
    assert consent.proven(THIRD) and not consent.proven(OTHER)


def test_a_known_peer_names_whom_it_likes() -> None:
    consent = Dialog(known=True).consent(float)
    assert consent.proven(THIRD) and consent.proven("10.0.0.1")
    assert Consent.of_known().proven(THIRD)


@pytest.mark.parametrize(
    ("own", "nearer", "others"),
    [
        ("203.0.113.5", ["127.0.0.1", "169.254.169.254", "10.0.0.1", "192.168.1.1", "100.64.0.9"], [THIRD, OTHER]),
        ("2001:db8::1", ["::1", "fe80::1", "fd00::1", "::ffff:127.0.0.1"], ["2001:db8:9::1"]),
        ("192.168.1.2", ["127.0.0.1", "169.254.169.254"], ["10.0.0.1", "192.168.1.3", OTHER]),
    ],
)
@pytest.mark.parametrize("receives", [True, False])
def test_a_phone_that_has_logged_in_leads_no_media_into_a_nearer_network(
    own: str, nearer: list[str], others: list[str], receives: bool
) -> None:
    consent = Dialog(own, phone=True, receives=receives).consent(float)
    consent.describe({*nearer, *others})
    assert all(consent.proven(host) for host in (own, *others))
    assert not any(consent.proven(host) or consent.allows(host) for host in nearer)
    consent.hear(nearer[0])  # unless it is there
    assert consent.proven(nearer[0])


@pytest.mark.parametrize(
    ("own", "named"),
    [
        ("203.0.113.5", "10.1.2.3"),
        ("203.0.113.5", "100.64.0.1"),
        ("203.0.113.5", "127.0.0.1"),
        ("192.168.7.7", "127.0.0.1"),
        ("192.168.7.7", "169.254.169.254"),
        ("2001:db8::1", "::1"),
        ("2001:db8::1", "fd00::1"),
        ("2001:db8::1", "fe80::1"),
        ("2001:db8::1", "::ffff:10.1.2.3"),
    ],
)
def test_nobody_far_away_names_a_host_of_our_own_network(own: str, named: str) -> None:
    consent = Dialog(own, receives=True).consent(float)
    consent.describe({own, named})
    assert consent.proven(own) and not consent.proven(named) and not consent.allows(named)


def test_a_peer_on_our_own_network_names_others_there() -> None:
    for own, named in (("192.168.7.7", "10.1.2.3"), ("127.0.0.1", "10.1.2.3"), ("fe80::1%2", "2001:db8::1")):
        consent = Dialog(own, receives=True).consent(float)
        consent.describe({named})
        assert consent.proven(named) and consent.proven(own.partition("%")[0])


def test_hosts_without_number_take_no_room_and_get_nothing() -> None:
    consent = Dialog(receives=True, opening=False).consent(float)
    consent.describe({OWN})
    hosts = [f"203.0.113.{number}" for number in range(200)]
    for host in hosts:
        consent.describe({host})
    assert sum(map(consent.allows, hosts)) == MOST_HOSTS
    for host in hosts:
        consent.hear(host)
    assert sum(map(consent.proven, hosts)) == MOST_HOSTS == len(consent._heard) == len(consent._trials)
    opening = Dialog().consent(float)
    for host in hosts:
        opening.describe({host})
    assert len(opening._vouched) == MOST_HOSTS


def test_whose_media_it_is_may_change_and_nothing_is_sent_when_it_is_over() -> None:
    consent = Dialog(receives=True, opening=False).consent(float)
    consent.describe({THIRD})
    consent.hear(OTHER)
    consent.adopt(Dialog("192.0.2.200", receives=True, opening=False))
    assert not consent.proven(THIRD) and not consent.proven(OTHER) and not consent.proven(OWN)
    assert consent.proven("192.0.2.200")
    consent.close()
    assert not consent.allows("192.0.2.200")


# ---- a stream of our own


async def test_sound_to_a_silent_stranger_ends_after_a_second_and_goes_on_in_time_with_the_ack() -> None:
    one = line()
    one.stream.play(Tape(500))
    one.time.run(3.0)
    assert to(one, OWN) == pytest.approx(50, abs=2) and numbers(one.sent)[:3] == [1, 2, 3]
    before = len(one.sent)
    one.dialog.acknowledge()
    one.time.run(1.0)
    assert numbers(one.sent)[before] == pytest.approx(151, abs=2)
    assert len(one.sent) - before == pytest.approx(50, abs=2)


async def test_a_third_host_gets_nothing_before_the_ack_and_hears_the_beginning_then() -> None:
    one = line(STRANGER)
    played = one.stream.play(Tape(20))
    one.time.run(0.5)
    assert not one.port.sock.sent
    one.dialog.acknowledge()
    one.time.run(0.5)
    assert numbers(one.sent) == list(range(1, 21)) and played.done()
    assert to(one, THIRD) == len(one.port.sock.sent)


async def test_a_play_to_a_host_that_may_be_sent_nothing_ends_all_the_same() -> None:
    one = line(STRANGER)
    played = one.stream.play(Tape(20))
    one.time.run(1.1 + 20 * 0.02)
    assert played.done() and not one.port.sock.sent
    again = one.stream.play(Tape(20))  # it has waited once
    one.time.run(0.5)
    assert again.done() and not one.port.sock.sent


async def test_keys_keepalives_reports_and_the_goodbye_are_bounded_as_sound_is() -> None:
    for remote in (PEER, STRANGER):
        one = line(remote, mux=True)
        one.stream.press("1234567890", 0.1, 0.1)
        one.time.run(5 * KEEPALIVE)
        assert to(one, OWN) <= 51 and to(one, THIRD) == 0
        before = len(one.port.sock.sent)
        one.stream.close()
        assert len(one.port.sock.sent) == before


@pytest.mark.parametrize("mux", [False, True])
async def test_rtp_or_rtcp_from_the_described_host_is_proof(mux: bool) -> None:
    report = compound(ReceiverReport(7), Sdes(((7, "x"),)))
    voice = bytes(RtpPacket(0, 1, 160, 7, VOICE))
    for shown in (voice, report):
        one = line(STRANGER, mux=mux)
        one.stream.play(Endless())
        one.time.run(0.3)
        assert not one.port.sock.sent
        if mux or shown is voice:
            one.hear(shown, STRANGER)
        else:
            one.stream.control.receive(shown, (THIRD, STRANGER[1] + 1), one.time.now)
        one.time.run(3.0)
        assert to(one, THIRD) >= 140


async def test_what_somebody_else_sends_is_no_proof() -> None:
    one = line(STRANGER, mux=True)
    one.stream.play(Endless())
    for at in range(100):
        one.hear(
            RtpPacket(0, at, at * 160, 7, VOICE), (OWN, 4000)
        )  # the signalling's own, before it has shown anything
        one.hear(RtpPacket(0, at, at * 160, 8, VOICE), (OTHER, 4000))
        one.hear(compound(ReceiverReport(7), Sdes(((7, "x"),))), (OTHER, 4001))
        one.hear(RtpPacket(99, at, at * 160, 7, VOICE), STRANGER)  # of no format that was agreed on
        one.hear(b"\x80garbage", STRANGER)
        one.time.run(0.02)
    assert not one.port.sock.sent


def keys() -> tuple[Keys, Srtp]:
    """Ours, and the peer's end."""
    ours, theirs = Crypto(1, AES_80, new_key()), Crypto(1, AES_80, new_key())
    return Keys(ours, theirs), Srtp(Keys(theirs, ours))


async def test_srtp_is_proof_under_its_key_alone() -> None:
    ours, peer = keys()
    one = line(STRANGER, crypto=ours)
    one.stream.play(Endless())
    one.hear(RtpPacket(0, 1, 160, 7, VOICE), STRANGER)
    one.hear(keys()[1].protect(bytes(RtpPacket(0, 2, 160, 7, VOICE))), STRANGER)
    one.time.run(0.5)
    assert not one.port.sock.sent and one.stream.counts.unverified == 2
    one.hear(peer.protect(bytes(RtpPacket(0, 3, 160, 7, VOICE))), (OTHER, 4000))  # the right key, from anywhere
    one.time.run(0.5)
    assert not one.port.sock.sent
    one.hear(peer.protect(bytes(RtpPacket(0, 4, 160, 7, VOICE))), STRANGER)
    one.time.run(0.5)
    assert to(one, THIRD) >= 24


async def test_an_echo_goes_to_nobody_who_has_shown_nothing() -> None:
    one = line(STRANGER)
    one.stream.echo(True)
    for at in range(100):
        for source in ((OWN, 4000), (OTHER, 4000), (OTHER, STRANGER[1])):
            one.hear(RtpPacket(0, at, at * 160, 7, VOICE), source)
    assert not one.port.sock.sent
    one.hear(RtpPacket(0, 1, 160, 7, VOICE), STRANGER)
    assert to(one, THIRD) == 1


@pytest.mark.parametrize("hold", [False, True])
async def test_media_that_is_moved_to_a_third_host_in_mid_call_has_a_second_there(hold: bool) -> None:
    one = line()
    one.dialog.acknowledge()
    one.stream.play(Endless())
    one.time.run(0.5)
    if hold:
        one.stream.agree(agreed(remote=("0.0.0.0", 4000), listening=False))
    one.stream.agree(agreed(remote=STRANGER))
    one.time.run(5.0)
    assert to(one, THIRD) == pytest.approx(51, abs=2)
    one.stream.agree(agreed())  # back to a host that is proven
    before = to(one, OWN)
    one.time.run(1.0)
    assert to(one, OWN) - before >= 49
    for port in count(4000, 2):  # and over again, to other ports
        one.stream.agree(agreed(remote=(THIRD, port)))
        one.time.run(0.5)
        if port == 4010:
            break
    assert to(one, THIRD) == pytest.approx(51, abs=2)
    one.hear(RtpPacket(0, 1, 160, 7, VOICE), (THIRD, 4010))
    one.time.run(1.0)
    assert to(one, THIRD) >= 99


async def test_many_third_hosts_one_after_the_other_have_a_second_each_and_then_nothing() -> None:
    one = line()
    one.dialog.acknowledge()
    one.stream.play(Endless())
    for number in range(3 * MOST_HOSTS):
        one.stream.agree(agreed(remote=(f"203.0.113.{number}", 4000)))
        one.time.run(1.2)
    assert len(one.port.sock.sent) <= (MOST_HOSTS + 1) * 52


async def test_a_caller_behind_a_nat_hears_the_beginning_once_it_speaks() -> None:
    one = line(("10.9.8.7", 4000))
    one.dialog.acknowledge()
    one.stream.play(Tape(30))
    one.time.run(0.3)
    assert not one.port.sock.sent  # nothing into our own network
    one.hear(RtpPacket(0, 1, 160, 7, VOICE), (OWN, 31000))
    one.time.run(1.0)
    assert numbers(one.sent) == list(range(1, 31))
    assert {target for _, target in one.port.sock.sent} == {(OWN, 31000)}


async def test_a_known_peer_is_sent_everything_wherever_it_is() -> None:
    one = Line(agreed(remote=STRANGER), dialog=Dialog(known=True))
    one.stream.play(Endless())
    one.time.run(3.0)
    assert to(one, THIRD) >= 149

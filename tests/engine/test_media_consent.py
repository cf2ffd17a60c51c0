"""What a stranger's call shows of whether its media is wanted where it says (RFC 3261 §26.1.5, RFC 7362 §4): an ACK, a
PRACK, a login, a connection; and calls that move their media. The signalling is simulated, RTP passes sockets."""

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from engine.call import Call
from engine.media.codec.registry import Codec
from engine.media.rtp.packet import RtpPacket
from engine.settings import AgentSettings
from engine.sip.sdp import description as sdp
from tests.media.fake_plane import Dialog
from tests.simulation.agent import CALLEE, CALLER, ENGINE, LoopNetwork, ThroughCalls, start_agent, to_callee
from tests.simulation.peer import Peer

THIRD, OTHER = "127.0.0.41", "127.0.0.42"
RELIABLE = "Supported: 100rel\r\nAllow: INVITE, ACK, BYE, CANCEL, UPDATE, PRACK\r\n"


class Endless:
    def next(self, codec: Codec) -> bytes:
        return b"x" * 160


class Ear:
    """An RTP socket, and the description that names it."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.sock.bind((host, 0))
        self.port = self.sock.getsockname()[1]
        self.sequence = 0

    def body(self, version: int = 1, host: str = "") -> bytes:
        host = host or self.host
        head = f"v=0\r\no=- 1 {version} IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\n"
        return f"{head}m=audio {self.port} RTP/AVP 0\r\n".encode()

    def say(self, body: bytes) -> None:
        """RTP to where `body`, which somebody was given, leads."""
        description = sdp.parse(body)
        media = description.media[0]
        self.sequence += 1
        packet = RtpPacket(0, self.sequence, self.sequence * 160, 77, b"v" * 160)
        self.sock.sendto(bytes(packet), (description.address_of(media), media.port))

    def heard(self) -> int:
        """Packets that have come since the last time."""
        found = 0
        while True:
            try:
                self.sock.recv(2048)
            except BlockingIOError:
                return found
            found += 1


class Strangers:
    """A user agent that knows nobody, a caller, and ears at three hosts."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.network = LoopNetwork()
        self.work: Any = self.play
        self.agent = start_agent(self.network, self.came, patch, AgentSettings(rtp_first=30_000, rtp_last=34_000))
        self.agent.peers = self.agent.endpoint.peers = Dialog()  # knows nobody
        self.peer = Peer(self.network, CALLER, engine=ENGINE)  # type: ignore[arg-type]
        self.own, self.third, self.other = (Ear(host) for host in (CALLER, THIRD, OTHER))
        self.ours = b""

    def came(self, call: Call) -> Any:
        return self.work(call)

    async def play(self, call: Call) -> None:
        await call.play(Endless())

    async def early(self, call: Call) -> None:
        call.progress()
        await call.play(Endless())

    def invite(self, body: bytes, headers: str = "") -> None:
        self.peer.invite(headers, body, uri=f"sip:b@{ENGINE}")
        self.network.run(0.02)
        self.ours = self.peer.responses("INVITE")[-1].body
        self.peer.remote_tag = self.peer.responses("INVITE")[-1].to_tag

    def move(self, method: str, body: bytes, *, ack: bool = True) -> None:
        """Media goes elsewhere, by re-INVITE or UPDATE."""
        self.peer.request(method, body=body, uri=f"sip:b@{ENGINE}")
        self.network.run(0.05)
        assert self.peer.statuses(method)[-1] == 200
        if method == "INVITE" and ack:
            self.peer.ack()

    def heard(self, seconds: float) -> tuple[int, int, int]:
        """Packets that come to the caller's own host, to the third and to the other within so long."""
        self.network.run(seconds)
        return self.own.heard(), self.third.heard(), self.other.heard()


@pytest.fixture
def strangers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Strangers]:
    made = Strangers(monkeypatch)
    yield made
    for ear in (made.own, made.third, made.other):
        ear.sock.close()


def about(packets: int) -> Any:
    return pytest.approx(packets, abs=3)


def test_without_an_ack_a_stranger_hears_a_second(strangers: Strangers) -> None:
    strangers.invite(strangers.own.body())
    assert strangers.heard(10) == (about(50), 0, 0)
    strangers.peer.ack()
    assert strangers.heard(1) == (about(50), 0, 0)


def test_without_an_ack_a_host_that_is_not_the_invites_source_hears_nothing(strangers: Strangers) -> None:
    strangers.invite(strangers.third.body())
    assert strangers.heard(10) == (0, 0, 0)
    strangers.peer.ack()
    assert strangers.heard(1) == (0, about(50), 0)


def test_an_ack_with_other_tags_or_another_cseq_proves_nothing(strangers: Strangers) -> None:
    strangers.invite(strangers.third.body())
    strangers.peer.ack(cseq=7)
    strangers.peer.request("ACK", to_tag="guessed", uri=f"sip:b@{ENGINE}", cseq=1)
    strangers.peer.request("ACK", to_tag="", uri=f"sip:b@{ENGINE}", cseq=1)
    assert strangers.heard(5) == (0, 0, 0)


def test_rtp_from_the_described_address_is_proof_and_from_others_it_is_none(strangers: Strangers) -> None:
    strangers.invite(strangers.third.body())
    for _ in range(30):
        strangers.other.say(strangers.ours)
        strangers.own.say(strangers.ours)
        assert strangers.heard(0.02) == (0, 0, 0)
    strangers.third.say(strangers.ours)
    assert strangers.heard(3) == (0, about(150), 0)


def test_early_media_is_bounded_until_the_prack_rfc_3262(strangers: Strangers) -> None:
    strangers.work = strangers.early
    strangers.invite(strangers.third.body(), RELIABLE + "Require: 100rel\r\n")
    assert strangers.heard(3) == (0, 0, 0)
    response = strangers.peer.responses("INVITE")[-1]
    assert response.status == 183
    strangers.peer.request("PRACK", "RAck: 1 1 INVITE\r\n", uri=f"sip:b@{ENGINE}")  # of another number
    assert strangers.heard(1) == (0, 0, 0)
    strangers.peer.request("PRACK", f"RAck: {response.get('RSeq')} 1 INVITE\r\n", uri=f"sip:b@{ENGINE}")
    assert strangers.peer.statuses("PRACK") == [481, 200]
    assert strangers.heard(3) == (0, about(150), 0)


def test_early_media_to_a_caller_that_shows_nothing_ends_after_a_second(strangers: Strangers) -> None:
    strangers.work = strangers.early
    strangers.invite(strangers.own.body())
    assert strangers.heard(20) == (about(50), 0, 0)
    strangers.own.say(strangers.ours)
    assert strangers.heard(3) == (about(150), 0, 0)


def test_over_a_connection_the_peer_has_shown_that_it_receives(
    strangers: Strangers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.simulation.agent.Wire.reliable", True)
    strangers.work = strangers.early
    strangers.invite(strangers.third.body())
    assert strangers.heard(3) == (0, about(150), 0)


def test_an_invite_with_a_digest_answer_is_proof(strangers: Strangers) -> None:
    async def work(call: Call) -> None:
        call.session.receives = True  # as whoever has checked it says
        call.progress()
        await call.play(Endless())

    strangers.work = work
    strangers.invite(strangers.third.body())
    assert strangers.heard(3) == (0, about(150), 0)


def test_a_known_peer_is_not_bounded(strangers: Strangers) -> None:
    strangers.agent.peers = Dialog(known=True)
    strangers.invite(strangers.third.body())
    assert strangers.heard(3) == (0, about(150), 0)


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
@pytest.mark.parametrize("ack", [True, False])
def test_a_call_that_is_moved_to_a_third_host_is_heard_there_for_a_second(
    strangers: Strangers, method: str, ack: bool
) -> None:
    strangers.invite(strangers.own.body())
    strangers.peer.ack()
    assert strangers.heard(1) == (about(50), 0, 0)
    strangers.move(method, strangers.third.body(2), ack=ack)
    assert strangers.heard(5)[1] == about(50)
    if method == "INVITE" and not ack:
        strangers.peer.ack()
    strangers.move(method, strangers.own.body(3))
    assert strangers.heard(1)[:2] == (about(50), 0)
    strangers.move(method, strangers.third.body(4))
    assert strangers.heard(1)[1] <= 1
    strangers.third.say(strangers.ours)
    assert strangers.heard(1)[1] == about(50)


def test_the_answer_to_our_late_offer_may_name_a_third_host(strangers: Strangers) -> None:
    """RFC 3261 §13.2.1: it comes in the ACK, which is proof itself."""
    strangers.invite(b"")
    strangers.peer.ack(strangers.third.body())
    assert strangers.heard(3) == (0, about(150), 0)


def test_a_caller_behind_a_nat_is_heard_and_answered_where_its_signalling_is(strangers: Strangers) -> None:
    strangers.invite(strangers.own.body(host="10.9.8.7"))
    strangers.other.say(strangers.ours)
    strangers.own.say(strangers.ours)  # before the ACK: it might be anybody's
    assert strangers.heard(0.1) == (0, 0, 0)
    strangers.peer.ack()
    strangers.other.say(strangers.ours)
    strangers.own.say(strangers.ours)
    assert strangers.heard(1) == (about(50), 0, 0)


def test_behind_an_own_edge_the_callers_host_counts(strangers: Strangers, monkeypatch: pytest.MonkeyPatch) -> None:
    """`sip.proxies`: what the edge has noted in the Via below its own (RFC 3261 §18.2.1)."""
    monkeypatch.setattr(strangers.agent.endpoint.peers, "edge", lambda host: host == CALLER)
    via = f"Via: SIP/2.0/UDP {CALLER}:5060;branch=z9hG4bKedge, SIP/2.0/UDP 10.9.8.7;received={OTHER};branch=z9hG4bKx"
    strangers.peer.request("INVITE", body=strangers.other.body(host="10.9.8.7"), uri=f"sip:b@{ENGINE}", via=via)
    strangers.network.run(0.05)
    strangers.ours = strangers.peer.final("INVITE").body
    strangers.peer.ack()
    strangers.own.say(strangers.ours)
    strangers.third.say(strangers.ours)
    assert strangers.heard(0.1) == (0, 0, 0)
    strangers.other.say(strangers.ours)
    assert strangers.heard(1) == (0, 0, about(50))


def test_a_strangers_rtp_takes_no_prompt_away_and_is_not_heard(strangers: Strangers) -> None:
    strangers.invite(strangers.own.body())
    strangers.other.say(strangers.ours)
    strangers.peer.ack()
    for _ in range(50):
        strangers.other.say(strangers.ours)
        strangers.network.run(0.02)
    assert strangers.heard(0) == (about(50), 0, 0)
    for _ in range(50):
        strangers.other.say(strangers.ours)
        strangers.own.say(strangers.ours)
        strangers.network.run(0.02)
    assert strangers.heard(0) == (about(50), 0, 0)
    (call,) = strangers.agent.calls
    assert call.media is not None
    assert (call.media["received"], call.media["refused"]) == (50, 101)


def test_whom_we_call_has_shown_that_it_receives_by_its_answer(strangers: Strangers) -> None:
    callee = Peer(strangers.network, CALLEE, engine=ENGINE)  # type: ignore[arg-type]
    leg = strangers.agent.dial(to_callee())
    strangers.network.run(0.05)
    callee.answer(callee.requests("INVITE")[0], 200, body=strangers.third.body())
    strangers.network.run(0.05)
    assert leg.answered
    strangers.agent.tasks.run(leg, strangers.play(leg))
    assert strangers.heard(3) == (0, about(150), 0)
    invite = callee.requests("INVITE")[0]
    callee.call_id, callee.remote_tag, callee.cseq = invite.call_id, invite.from_tag, 500
    callee.request("INVITE", body=strangers.other.body(2), uri=f"sip:b@{ENGINE}")
    callee.ack()
    assert strangers.heard(5)[2] == about(50)


@pytest.mark.parametrize("prack", [False, True])
def test_a_callees_early_media_through_our_relay_is_bounded_as_ours_is(
    monkeypatch: pytest.MonkeyPatch, prack: bool
) -> None:
    network, flow = LoopNetwork(), ThroughCalls(anchor="anchor")
    flow.agent = agent = start_agent(network, flow, monkeypatch, AgentSettings(rtp_first=30_000, rtp_last=34_000))
    agent.peers = Dialog()
    a, b = (Peer(network, host, engine=ENGINE) for host in (CALLER, CALLEE))  # type: ignore[arg-type]
    a.tag, b.tag = "atag", "btag"
    third, callee = Ear(THIRD), Ear(CALLEE)
    a.invite(RELIABLE if prack else "", third.body(), uri=f"sip:b@{ENGINE}")
    network.run(0.05)
    invite = b.requests("INVITE")[0]
    b.answer(invite, 183, "Require: 100rel\r\nRSeq: 7\r\n" if prack else "", callee.body(), tag="btag")
    network.run(0.05)
    response = a.responses("INVITE")[-1]
    assert response.status == 183 and response.body
    if prack:
        a.remote_tag = response.to_tag
        a.request("PRACK", f"RAck: {response.get('RSeq')} 1 INVITE\r\n", uri=f"sip:b@{ENGINE}")
        assert a.statuses("PRACK") == [200]
    for _ in range(100):
        callee.say(invite.body)
        network.run(0.02)
    assert third.heard() == (100 if prack else 0)
    if not prack:
        b.answer(invite, 200, body=callee.body(), tag="btag")
        network.run(0.05)
        a.final("INVITE")
        a.ack()
        for _ in range(100):
            callee.say(invite.body)
            network.run(0.02)
        assert third.heard() == 100
    for ear in (third, callee):
        ear.sock.close()

"""The embedded anchor by its sockets: what passes, what does not, and what is left."""

import socket
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.media.anchor import CALLEE, CALLER, AnchorError, MediaAddress
from engine.media.plane import Plane
from engine.media.port_pool import PortPool
from engine.media.relay.relay import Relay, Relays
from engine.sip.sdp import description as sdp
from tests.media.fake_plane import Dialog
from tests.simulation.agent import LoopNetwork

ENGINE, SIX = "127.0.3.1", "::1"
RTP = b"\x80\x08" + bytes(170)
RTCP = b"\x80\xc8" + bytes(26)


A_DIALOG, B_DIALOG = (Dialog(host, receives=True) for host in ("127.0.3.2", "127.0.3.3"))  # of the fixtures' sides


class Side:
    """One side's sockets, RTP and RTCP, at adjoining ports."""

    def __init__(self, host: str) -> None:
        self.host = host
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        while True:
            self.rtp, self.rtcp = (socket.socket(family, socket.SOCK_DGRAM) for _ in range(2))
            self.rtp.bind((host, 0))
            self.port = self.rtp.getsockname()[1]
            with suppress(OSError, OverflowError):
                self.rtcp.bind((host, self.port + 1))
                break
        for sock in (self.rtp, self.rtcp):
            sock.setblocking(False)
        self.told: sdp.SessionDescription

    def body(self, *streams: str, host: str = "") -> bytes:
        family = "IP6" if ":" in (host or self.host) else "IP4"
        lines = streams or (f"m=audio {self.port} RTP/AVP 8",)
        head = f"v=0\r\no=- 1 1 IN {family} {self.host}\r\ns=-\r\nc=IN {family} {host or self.host}\r\nt=0 0\r\n"
        return (head + "".join(f"{line}\r\n" for line in lines)).encode()

    def target(self, stream: int = 0) -> tuple[str, int]:
        media = self.told.media[stream]
        return self.told.address_of(media), media.port

    def heard(self, rtcp: bool = False) -> list[bytes]:
        found = []
        with suppress(BlockingIOError):
            while True:
                found.append((self.rtcp if rtcp else self.rtp).recv(4096))
        return found


class World:
    def __init__(self) -> None:
        self.network = LoopNetwork()
        self.pool = PortPool([ENGINE, SIX], 34_000, 35_999)
        self.plane = Plane(self.network.loop, self.network.loop.time, rtp_timeout=60.0)
        self.relays = Relays(self.pool, self.network.loop, self.plane)

    def relay(
        self, near: str = ENGINE, far: str = ENGINE, caller: Dialog = A_DIALOG, callee: Dialog = B_DIALOG
    ) -> Relay:
        clock = self.plane.clock
        places = (MediaAddress(near, "", caller.consent(clock)), MediaAddress(far, "", callee.consent(clock)))
        return self.relays.open(*places, None)

    def agree(self, relay: Relay, a: Side, b: Side, offer: bytes = b"", answer: bytes = b"") -> None:
        relay.offer(CALLER, offer or a.body(), lambda body, error: self.told(b, body, error))
        relay.answer(CALLEE, answer or b.body(), lambda body, error: self.told(a, body, error))

    def told(self, side: Side, body: bytes, error: AnchorError | None) -> None:
        if error is not None:
            raise error
        side.told = sdp.parse(body)

    def run(self, seconds: float = 0.01) -> None:
        self.network.run(seconds)

    def close(self) -> None:
        for relay in tuple(self.relays.relays):
            relay.close()
        self.plane.close()
        self.pool.close()
        self.network.close()


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.close()


@pytest.fixture
def a() -> Side:
    return Side("127.0.3.2")


@pytest.fixture
def b() -> Side:
    return Side("127.0.3.3")


def test_rtp_and_rtcp_pass_both_ways_octet_by_octet(world: World, a: Side, b: Side) -> None:
    relay = world.relay()
    world.agree(relay, a, b)
    for this, other in ((a, b), (b, a)):
        host, port = this.target()
        this.rtp.sendto(RTP, (host, port))
        this.rtcp.sendto(RTCP, (host, port + 1))
        world.run()
        assert other.heard() == [RTP] and other.heard(rtcp=True) == [RTCP]
    report = relay.report()
    assert report["anchor"] == "embedded"
    assert report["caller"] == report["callee"] == {
        "packets": 2, "octets": len(RTP + RTCP), "strays": 0, "garbage": 0, "unsent": 0
    }  # fmt: skip


def test_srtp_dtls_and_video_pass_and_stun_does_not(world: World, a: Side, b: Side) -> None:
    relay = world.relay()
    video_a, video_b = Side(a.host), Side(b.host)
    world.agree(
        relay, a, b,
        a.body(f"m=audio {a.port} UDP/TLS/RTP/SAVPF 8", f"m=video {video_a.port} RTP/SAVP 96"),
        b.body(f"m=audio {b.port} UDP/TLS/RTP/SAVPF 8", f"m=video {video_b.port} RTP/SAVP 96"),
    )  # fmt: skip
    dtls, stun = b"\x16\xfe\xff" + bytes(20), b"\x00\x01" + bytes(18)
    for packet in (dtls, stun, b"\x90" + bytes(40), b"", bytes([0x80]) * 3000):
        a.rtp.sendto(packet, a.target())
        world.run()
    assert b.heard() == [dtls, b"\x90" + bytes(40)]
    video_a.rtp.sendto(RTP, a.target(1))
    world.run()
    assert video_b.heard() == [RTP] and b.heard() == []
    assert relay.report()["caller"]["garbage"] == 3


def test_a_fax_over_udptl_passes(world: World, a: Side, b: Side) -> None:
    relay = world.relay()
    world.agree(relay, a, b, a.body(f"m=image {a.port} udptl t38"), b.body(f"m=image {b.port} udptl t38"))
    a.rtp.sendto(b"\x00\x01anything", a.target())
    world.run()
    assert b.heard() == [b"\x00\x01anything"]


def test_a_stream_that_is_refused_holds_no_port(world: World, a: Side, b: Side) -> None:
    relay = world.relay()
    world.agree(
        relay, a, b,
        a.body(f"m=audio {a.port} RTP/AVP 8", "m=video 5000 RTP/AVP 96", "m=message 2855 TCP/MSRP *"),
        b.body(f"m=audio {b.port} RTP/AVP 8", "m=video 0 RTP/AVP 96", "m=message 2856 TCP/MSRP *"),
    )  # fmt: skip
    assert world.pool.in_use == 2
    assert a.target(2) == (b.host, 2856)
    a.rtp.sendto(RTP, a.target())
    world.run()
    assert b.heard() == [RTP]


def test_ipv4_and_ipv6(world: World, a: Side) -> None:
    b = Side(SIX)
    relay = world.relay(far=SIX)
    world.agree(relay, a, b)
    assert (a.target()[0], b.target()[0]) == (ENGINE, SIX)
    for this, other in ((a, b), (b, a)):
        this.rtp.sendto(RTP, this.target())
        world.run()
        assert other.heard() == [RTP]


def test_a_side_behind_a_nat_is_answered_where_it_sends_from(world: World, a: Side, b: Side) -> None:
    relay = world.relay()
    world.agree(relay, a, b, answer=b.body(host="10.9.8.7"))
    b.rtp.sendto(RTP, b.target())
    world.run()
    assert a.heard() == [RTP]
    a.rtp.sendto(RTP, a.target())
    world.run()
    assert b.heard() == [RTP]


@pytest.mark.parametrize("kind", ["rtp", "dtls", "udptl"])
def test_a_stranger_that_was_first_does_not_have_the_place_of_a_side_behind_a_nat(
    world: World, a: Side, b: Side, kind: str
) -> None:
    def packet(number: int) -> bytes:
        if kind == "rtp":
            return b"\x80\x08" + number.to_bytes(2) + bytes(8) + bytes(160)
        return b"\x16\xfe\xfd\0\0" + number.to_bytes(6) + bytes(30) if kind == "dtls" else number.to_bytes(2) + b"x"

    line = "m=image {} udptl t38" if kind == "udptl" else "m=audio {} RTP/AVP 8"
    relay = world.relay()
    world.agree(relay, a, b, a.body(line.format(a.port)), b.body(line.format(b.port), host="10.9.8.7"))
    stranger = Side("127.0.3.66")
    stranger.rtp.sendto(packet(700), b.target())
    world.run()
    for number in range(8):
        b.rtp.sendto(packet(number), b.target())
        world.run(0.002)
    stranger.rtp.sendto(packet(701), b.target())
    a.rtp.sendto(packet(1), a.target())
    world.run()
    assert a.heard() == [packet(number) for number in range(8)]
    assert (b.heard(), stranger.heard()) == ([packet(1)], [])
    assert relay.report()["callee"]["strays"] == 2


def test_strangers_are_counted_and_neither_heard_nor_answered(world: World, a: Side, b: Side) -> None:
    relay = world.relay()
    world.agree(relay, a, b)
    b.rtp.sendto(RTP, b.target())
    world.run()
    stranger = Side("127.0.3.66")
    for _ in range(60):
        stranger.rtp.sendto(RTP, b.target())
    for _ in range(60):  # so many turns of the loop
        world.run(0.001)
    a.rtp.sendto(RTP, a.target())
    world.run()
    assert (len(a.heard()), b.heard(), stranger.heard()) == (1, [RTP], [])
    strays = relay.report()["callee"]["strays"]
    assert strays > 20
    world.run(0.6)
    assert world.plane.refused == {"strays": strays}
    stranger.rtp.sendto(RTP, b.target())
    a.rtp.sendto(b"\0", a.target())
    world.run()
    relay.close()
    assert world.plane.refused == {"strays": strays + 1, "garbage": 1}


def test_a_name_or_a_multicast_group_is_never_sent_to(world: World, a: Side, b: Side) -> None:
    for host in ("phone.example.com", "239.1.2.3"):
        relay = world.relay()
        world.agree(relay, a, b, answer=b.body(host=host))
        a.rtp.sendto(RTP, a.target())
        world.run()
        assert relay.report()["caller"]["unsent"] == 1
        b.rtp.sendto(RTP, b.target())  # where it is shows when it sends
        world.run()
        a.rtp.sendto(RTP, a.target())
        world.run()
        assert b.heard() == [RTP]
        a.heard()
        relay.close()


def test_rtcp_goes_where_rfc_3605_says(world: World, a: Side, b: Side) -> None:
    relay = world.relay()
    elsewhere = Side(b.host)
    world.agree(relay, a, b, answer=b.body(f"m=audio {b.port} RTP/AVP 8", f"a=rtcp:{elsewhere.port}"))
    host, port = a.target()
    a.rtcp.sendto(RTCP, (host, port + 1))
    world.run()
    assert elsewhere.heard() == [RTCP] and b.heard(rtcp=True) == []


def test_the_version_goes_up_only_when_something_changes_rfc_3264_8(world: World, a: Side, b: Side) -> None:
    relay = world.relay()
    world.agree(relay, a, b)
    first = a.told.origin
    world.agree(relay, a, b)
    assert a.told.origin == first
    world.agree(relay, a, b, answer=b.body(f"m=audio {b.port} RTP/AVP 8", "a=sendonly"))
    assert first is not None and a.told.origin is not None
    assert int(a.told.origin.version) == int(first.version) + 1
    assert a.told.origin.session_id == first.session_id


def test_a_side_that_falls_silent_is_reported_and_one_on_hold_is_not(world: World, a: Side, b: Side) -> None:
    relay = world.relay()
    silent: list[int] = []
    relay.on_fault = lambda side, flood: silent.append(side)
    world.agree(relay, a, b)
    for _ in range(70):
        a.rtp.sendto(RTP, a.target())
        world.run(1.0)
    assert silent == [CALLEE]
    world.agree(relay, a, b, a.body(f"m=audio {a.port} RTP/AVP 8", "a=sendonly"))
    world.run(200)
    assert silent == [CALLEE]
    relay.close()
    assert len(world.plane.periodic) == 0


@pytest.mark.parametrize(
    "body",
    [
        b"", b"nonsense\r\n", b"v=0\r\nm=audio 99999 RTP/AVP 8\r\n",
        b"v=0\r\n" + b"m=audio 4000 RTP/AVP 8\r\n" * 9, b"v=0\r\n" + b"a=x\r\n" * 2000,
    ],
)  # fmt: skip
def test_what_is_no_description_is_refused_and_holds_no_port(world: World, body: bytes) -> None:
    relay = world.relay()
    errors: list[AnchorError | None] = []
    relay.offer(CALLER, body, lambda text, error: errors.append(error))
    relay.answer(CALLEE, body, lambda text, error: errors.append(error))
    assert all(error is not None and error.status in (400, 413, 488) for error in errors) and len(errors) == 2
    relay.close()
    assert world.pool.in_use == 0


def test_nothing_is_left_when_it_is_closed_not_even_twice(world: World, a: Side, b: Side) -> None:
    shared = world.relays.shared(MediaAddress(ENGINE))
    first = world.relays.open(MediaAddress(ENGINE), MediaAddress(ENGINE), shared)
    second = world.relays.open(MediaAddress(ENGINE), MediaAddress(ENGINE), shared)
    world.agree(first, a, b)
    before = a.target()
    world.agree(second, a, b)
    assert a.target() == before and world.pool.in_use == 3
    first.close()
    first.close()
    assert world.pool.in_use == 2
    a.rtp.sendto(RTP, a.target())
    world.run()
    assert b.heard() == [RTP]
    second.close()
    assert world.pool.in_use == 1  # the caller's side waits for the next leg
    assert shared is not None
    shared.close()
    assert world.pool.in_use == 0 and not world.relays.relays
    errors: list[AnchorError | None] = []
    second.offer(CALLER, a.body(), lambda text, error: errors.append(error))
    assert errors[0] is not None


def test_two_that_describe_themselves_as_our_own_ports_are_reported(
    world: World, a: Side, b: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one sends would go round between two sockets of ours for ever."""
    monkeypatch.setattr("engine.media.relay.relay.FLOOD", 200)
    relay = world.relay()
    told: list[tuple[int, str]] = []

    def fault(side: int, flood: str) -> None:
        told.append((side, flood))
        relay.close()

    relay.on_fault = fault
    world.agree(relay, a, b)
    near, far = a.target(), b.target()
    world.agree(
        relay, a, b,
        a.body(f"m=audio {far[1]} RTP/AVP 8", host=far[0]), b.body(f"m=audio {near[1]} RTP/AVP 8", host=near[0]),
    )  # fmt: skip
    a.rtp.sendto(RTP, near)
    for _ in range(2_000):
        if told:
            break
        world.run(0.002)
    assert told and told[0][1] == "media flood"
    assert world.pool.in_use == 0


_LINES = st.sampled_from(
    """v=0|o=- 1 1 IN IP4 192.0.2.1|o=-|s=-|c=IN IP4 127.0.0.9|c=IN IP6 ::1|c=IN IP4|c=IN IP4 0.0.0.0|i=x|b=AS:1|t=0 0
    c=IN IP4 name.example|c=IN IP4 224.2.1.1/127/3|m=audio 4000 RTP/AVP 8|m=audio 0 RTP/AVP 8|m=audio 65535 RTP/AVP 8
    m=audio 4000/2 RTP/AVP 8|m=video 4002 UDP/TLS/RTP/SAVPF 96|m=image 4004 udptl t38|m=message 2855 TCP/MSRP *
    m=audio 1 TCP/RTP/AVP 8|m=x 1 y z|a=rtcp:70000|a=rtcp:5 IN IP6 ::2|a=rtcp:|a=rtcp:4 IN IP4 x|a=group:BUNDLE a
    a=candidate:x|a=sendonly|a=inactive|a=\u00e9""".replace("\n    ", "|").split("|")
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["offer", "answer"]), st.integers(0, 1), st.lists(_LINES, max_size=14)), max_size=5
    )
)
def test_whatever_the_sides_describe_is_rewritten_or_refused_and_nothing_is_left(
    said: list[tuple[str, int, list[str]]],
) -> None:
    world = World()
    relay = world.relay(far=SIX)
    for what, side, lines in said:
        told: list[tuple[bytes, AnchorError | None]] = []
        body = "".join(f"{line}\r\n" for line in ["v=0", *lines]).encode()
        getattr(relay, what)(side, body, lambda text, error, told=told: told.append((text, error)))
        ((text, error),) = told
        assert (error is None) == bool(text)
        if error is None:
            description = sdp.parse(text)
            assert len(description.media) == len(sdp.parse(body).media)
    relay.check(1e6)
    relay.close()
    assert world.pool.in_use == 0 and not world.relays.relays and len(world.plane.periodic) == 0
    world.close()


def test_a_stranger_before_its_ack_is_sent_a_second_and_a_host_that_it_names_nothing(
    world: World, a: Side, b: Side
) -> None:
    """Early media: what the callee sends is not to flood whom the caller names (RFC 3261 §26.1.5)."""
    third = Side("127.0.3.77")
    for body, most in ((a.body(), 52), (third.body(), 0)):
        dialog = Dialog(a.host)
        relay = world.relay(caller=dialog)
        world.agree(relay, a, b, offer=body)
        for _ in range(100):
            b.rtp.sendto(RTP, b.target())
            b.rtcp.sendto(RTCP, (b.target()[0], b.target()[1] + 1))
            world.run(0.02)
        sides = (a, third)
        assert sum(len(side.heard()) for side in sides) == pytest.approx(most, abs=2)
        assert sum(len(side.heard(rtcp=True)) for side in sides) == pytest.approx(most, abs=2)
        assert relay.report()["callee"]["unsent"] >= 96
        dialog.acknowledge()
        for _ in range(10):
            b.rtp.sendto(RTP, b.target())
            world.run(0.02)
        assert len((a if most else third).heard()) == 10
        relay.close()


def test_early_media_goes_on_to_a_stranger_that_sends_from_the_address_that_it_names(
    world: World, a: Side, b: Side
) -> None:
    for proof in ("rtp", "rtcp"):
        third = Side("127.0.3.78")
        relay = world.relay(caller=Dialog(a.host))
        world.agree(relay, a, b, offer=third.body())
        host, port = a.target()
        third.rtp.sendto(RTP, (host, port)) if proof == "rtp" else third.rtcp.sendto(RTCP, (host, port + 1))
        world.run()
        for _ in range(150):
            b.rtp.sendto(RTP, b.target())
            world.run(0.02)
        assert len(third.heard()) == 150
        relay.close()


def test_a_side_that_moves_to_a_third_host_in_mid_call_has_a_second_there(world: World, a: Side, b: Side) -> None:
    third = Side("127.0.3.79")
    relay = world.relay(callee=(dialog := Dialog(b.host)))
    world.agree(relay, a, b)
    dialog.acknowledge()
    a.rtp.sendto(RTP, a.target())
    world.run()
    assert b.heard() == [RTP]
    world.agree(relay, a, b, answer=third.body())
    for _ in range(100):
        a.rtp.sendto(RTP, a.target())
        world.run(0.02)
    assert len(third.heard()) == pytest.approx(51, abs=2)
    third.rtp.sendto(RTP, b.target())
    world.run()
    a.rtp.sendto(RTP, a.target())
    world.run()
    assert third.heard() == [RTP]


def test_whom_a_leg_talks_with_later_vouches_for_itself(world: World, a: Side, b: Side) -> None:
    """A transfer: on the near side is another party now, with a dialog of its own."""
    other, third = Side("127.0.3.80"), Side("127.0.3.81")
    relay = world.relay()
    world.agree(relay, a, b)
    relay.near.place.consent.adopt(Dialog(other.host, receives=True, opening=False))
    for side in (third, other):  # what is described first stands for itself, and the host of the dialog does always
        world.agree(relay, side, b, offer=side.body())
        for _ in range(60):
            b.rtp.sendto(RTP, b.target())
            world.run(0.02)
        assert len(side.heard()) == 60
    world.agree(relay, a, b)  # who has left
    for _ in range(60):
        b.rtp.sendto(RTP, b.target())
        world.run(0.02)
    assert len(a.heard()) == pytest.approx(50, abs=2)


def test_two_own_relays_that_lead_to_each_other_need_no_proof(world: World, a: Side, b: Side) -> None:
    """Two anchored legs that were joined."""
    gone = Dialog(a.host, receives=True, opening=False)
    one, two = world.relay(caller=gone), world.relay(caller=gone)
    c = Side("127.0.3.82")
    world.agree(one, a, b)
    world.agree(two, c, c)
    met: dict[str, bytes] = {}
    one.offer(CALLEE, b.body(), lambda body, error: met.update(one=body))
    two.offer(CALLER, met["one"], lambda body, error: world.told(c, body, error))
    two.answer(CALLEE, c.body(), lambda body, error: met.update(two=body))
    one.answer(CALLER, met["two"], lambda body, error: world.told(b, body, error))
    world.run(2.0)
    for _ in range(60):
        b.rtp.sendto(RTP, b.target())
        world.run(0.02)
    assert len(c.heard()) == 60

"""What offer and answer agree on: the codec, the events beside it, RTCP's address, directions and keys."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.media import negotiation
from engine.media.codec import registry
from engine.media.codec.codec import Codec
from engine.media.codec.registry import G722, PCMA, PCMU
from engine.media.negotiation import NotAcceptable
from engine.media.rtp.agreement import Agreed
from engine.media.rtp.srtp import AES_32, AES_80
from engine.sip.sdp import description as sdp

OPUS = registry.by_name("opus")
assert OPUS is not None
ALL = (PCMU, PCMA, G722, OPUS)
HOST, PORT = "192.0.2.1", 16384
KEYS = [base64.b64encode(bytes(range(at, at + 30))).decode() for at in range(3)]


def description(*media: str, address: str = "198.51.100.1") -> bytes:
    lines = ["v=0", f"o=peer 1 1 IN IP4 {address}", "s=-", f"c=IN IP4 {address}", "t=0 0", *media]
    return "".join(f"{line}\r\n" for line in lines).encode()


def answer(*media: str, allowed: tuple[Codec, ...] = ALL, previous: Agreed | None = None) -> tuple[list[str], Agreed]:
    """Both paths, which must not differ."""
    body = description(*media)
    first = negotiation.answer(body, HOST, PORT, 1, 1, allowed, previous)
    if b"crypto" not in first[0]:
        assert negotiation.answer(body, HOST, PORT, 1, 1, allowed, previous) == first
    return first[0].decode().splitlines(), first[1]


def refusal(*media: str, allowed: tuple[Codec, ...] = ALL) -> NotAcceptable:
    with pytest.raises(NotAcceptable) as caught:
        negotiation.answer(description(*media), HOST, PORT, 1, 1, allowed)
    return caught.value


RTPMAPS = (
    "a=rtpmap:111 opus/48000/2",
    "a=fmtp:111 minptime=10;useinbandfec=1",
    "a=rtpmap:101 telephone-event/8000",
    "a=rtpmap:102 telephone-event/48000",
)


@pytest.fixture(autouse=True)
def nothing_remembered() -> None:
    negotiation.memo.clear()


class TestCodec:
    @pytest.mark.parametrize(
        ("formats", "codec", "number"),
        [("0 8 9 111", PCMU, 0), ("8 0", PCMA, 8), ("9 0", G722, 9), ("111 0", OPUS, 111), ("18 13 8", PCMA, 8)],
    )
    def test_the_first_of_the_offer_that_we_take_3264_6_1(self, formats: str, codec: Codec, number: int) -> None:
        _, agreed = answer(f"m=audio 4000 RTP/AVP {formats}", *RTPMAPS)
        assert (agreed.codec, agreed.codec_payload_type) == (codec, number)

    def test_only_what_is_allowed(self) -> None:
        lines, agreed = answer("m=audio 4000 RTP/AVP 111 9 0 8", *RTPMAPS, allowed=(PCMA,))
        assert agreed.codec is PCMA
        assert lines[5] == "m=audio 16384 RTP/AVP 8"
        assert refusal("m=audio 4000 RTP/AVP 0", allowed=(PCMA,)).status == 488

    def test_who_allows_other_codecs_does_not_get_the_same_answer(self) -> None:
        for allowed in (ALL, (PCMA,), (G722, PCMA), ALL):
            _, agreed = answer("m=audio 4000 RTP/AVP 9 0 8", allowed=allowed)
            assert agreed.codec is (PCMA if allowed == (PCMA,) else G722)

    def test_the_peer_may_change_between_all_that_were_agreed_on_3264_5_1(self) -> None:
        _, agreed = answer("m=audio 4000 RTP/AVP 96 8 97", "a=rtpmap:96 opus/48000/2", "a=rtpmap:97 PCMU/8000")
        assert agreed.codecs == {96: OPUS, 8: PCMA, 97: PCMU}

    @pytest.mark.parametrize("formats", ["13", "18 13", "13 101"])
    def test_comfort_noise_is_no_codec(self, formats: str) -> None:
        assert refusal(f"m=audio 4000 RTP/AVP {formats}", *RTPMAPS).status == 488

    def test_comfort_noise_is_not_answered(self) -> None:
        lines, agreed = answer("m=audio 4000 RTP/AVP 13 0", "a=rtpmap:13 CN/8000")
        assert lines[5] == "m=audio 16384 RTP/AVP 0"
        assert agreed.codec is PCMU

    def test_opus_has_two_channels_and_the_clock_of_7587(self) -> None:
        lines, _ = answer("m=audio 4000 RTP/AVP 111", *RTPMAPS)
        assert "a=rtpmap:111 opus/48000/2" in lines
        assert not any(line.startswith("a=fmtp:111") for line in lines)
        assert refusal("m=audio 4000 RTP/AVP 96", "a=rtpmap:96 opus/48000").status == 488
        assert refusal("m=audio 4000 RTP/AVP 96", "a=rtpmap:96 G722/16000").status == 488

    @pytest.mark.parametrize(
        ("maxptime", "packet"), [("60", 20), ("20", 20), ("10", 10), ("15", 10), ("5", 5), ("x", 20)]
    )
    def test_no_packet_is_longer_than_the_peer_takes(self, maxptime: str, packet: int) -> None:
        assert answer("m=audio 4000 RTP/AVP 0", f"a=maxptime:{maxptime}")[1].packet == packet

    def test_a_codec_that_cannot_be_divided_comes_after_others_then(self) -> None:
        _, agreed = answer("m=audio 4000 RTP/AVP 111 8", *RTPMAPS, "a=maxptime:10")
        assert (agreed.codec, agreed.codec_payload_type, agreed.packet) == (PCMA, 8, 10)
        _, agreed = answer("m=audio 4000 RTP/AVP 111", *RTPMAPS, "a=maxptime:10")
        assert (agreed.codec, agreed.packet) == (OPUS, 20)


class TestEvents:
    @pytest.mark.parametrize(
        ("formats", "events", "clock"),
        [
            ("0 101 102", 101, 8000),
            ("9 101 111 102", 101, 8000),
            ("111 0 101 102", 102, 48000),
            ("0 111 102", 102, 48000),
        ],
    )
    def test_on_the_clock_of_the_codec_4733_2_5_1_2(self, formats: str, events: int, clock: int) -> None:
        _, agreed = answer(f"m=audio 4000 RTP/AVP {formats}", *RTPMAPS)
        assert (agreed.events, agreed.event_clock) == (events, clock)

    def test_the_peer_may_send_each_that_was_agreed_on(self) -> None:
        lines, agreed = answer("m=audio 4000 RTP/AVP 111 0 101 102", *RTPMAPS)
        assert agreed.event_types == {101: 8000, 102: 48000}
        assert lines[5] == "m=audio 16384 RTP/AVP 111 0 101 102"
        assert "a=fmtp:102 0-16" in lines

    def test_a_clock_of_its_own_is_better_than_no_keys(self) -> None:
        _, agreed = answer("m=audio 4000 RTP/AVP 111 101", *RTPMAPS)
        assert (agreed.codec, agreed.events, agreed.event_clock) == (OPUS, 101, 8000)

    def test_none(self) -> None:
        _, agreed = answer("m=audio 4000 RTP/AVP 0")
        assert (agreed.events, agreed.event_types) == (None, {})


class TestDirection:
    @pytest.mark.parametrize(
        ("line", "listening", "talking"),
        [
            ("a=sendrecv", True, True),
            ("a=sendonly", False, True),
            ("a=recvonly", True, False),
            ("a=inactive", False, False),
            ("c=IN IP4 0.0.0.0", False, True),
        ],
    )
    def test_both_ways_3264_8_4(self, line: str, listening: bool, talking: bool) -> None:
        _, agreed = answer("m=audio 4000 RTP/AVP 0", line)
        assert (agreed.listening, agreed.talking) == (listening, talking)
        ours = negotiation.offer(HOST, PORT, 1, 1)
        agreed = negotiation.accept(ours, description("m=audio 4000 RTP/AVP 0", line))
        assert (agreed.listening, agreed.talking) == (listening, talking)


class TestRtcp:
    def test_the_port_above_3550_11(self) -> None:
        assert answer("m=audio 4000 RTP/AVP 0")[1].rtcp == ("198.51.100.1", 4001)
        assert answer("m=audio 65535 RTP/AVP 0")[1].rtcp == ("198.51.100.1", 65535)

    def test_an_address_of_its_own_3605(self) -> None:
        _, agreed = answer("m=audio 4000 RTP/AVP 0", "a=rtcp:5000 IN IP4 203.0.113.9")
        assert (agreed.rtcp, agreed.rtcp_mux) == (("203.0.113.9", 5000), False)

    def test_one_port_for_both_where_it_is_offered_5761_5_1_1(self) -> None:
        lines, agreed = answer("m=audio 4000 RTP/AVP 0", "a=rtcp-mux", "a=rtcp:5000")
        assert (agreed.rtcp, agreed.rtcp_mux) == (("198.51.100.1", 4000), True)
        assert "a=rtcp-mux" in lines
        for _ in range(2):
            other = description("m=audio 4008 RTP/AVP 0", "a=rtcp-mux", address="203.0.113.7")
            assert negotiation.answer(other, HOST, PORT, 1, 1)[1].rtcp == ("203.0.113.7", 4008)
        agreed = negotiation.accept(
            negotiation.offer(HOST, PORT, 1, 1), description("m=audio 4000 RTP/AVP 0", "a=rtcp-mux")
        )
        assert not agreed.rtcp_mux  # we had not offered it


class TestOffer:
    def media(self, *wanted: Codec, previous: Agreed | None = None) -> list[str]:
        return negotiation.offer(HOST, PORT, 1, 1, wanted, previous).decode().splitlines()[5:]

    def test_codecs_in_the_order_wanted_and_events_for_their_clocks(self) -> None:
        assert negotiation.offer(HOST, PORT, 1, 1).decode().splitlines()[5] == "m=audio 16384 RTP/AVP 0 8 101"
        assert self.media(PCMA)[0] == "m=audio 16384 RTP/AVP 8 101"
        assert self.media(*reversed(ALL))[0] == "m=audio 16384 RTP/AVP 111 9 8 0 101 102"
        assert OPUS is not None
        assert self.media(OPUS) == [
            "m=audio 16384 RTP/AVP 111 102",
            "a=rtpmap:111 opus/48000/2",
            "a=rtpmap:102 telephone-event/48000",
            "a=fmtp:102 0-16",
            "a=ptime:20",
            "a=sendrecv",
        ]

    def test_numbers_keep_their_meaning_in_a_session_3264_8_3_2(self) -> None:
        theirs = (
            "m=audio 4000 RTP/AVP 101 96 0",
            "a=rtpmap:101 opus/48000/2",
            "a=rtpmap:96 telephone-event/48000",
        )
        _, agreed = answer(*theirs)
        first, *lines = self.media(*ALL, previous=agreed)
        assert first == "m=audio 16384 RTP/AVP 0 8 9 101 127 96"
        assert "a=rtpmap:101 opus/48000/2" in lines
        assert "a=rtpmap:127 telephone-event/8000" in lines
        assert "a=rtpmap:96 telephone-event/48000" in lines

    def test_the_peers_numbers_are_sent_and_ours_received_3264_6_1(self) -> None:
        ours = negotiation.offer(HOST, PORT, 1, 1, ALL)
        theirs = description(
            "m=audio 4000 RTP/AVP 96 97", "a=rtpmap:96 opus/48000/2", "a=rtpmap:97 telephone-event/48000"
        )
        agreed = negotiation.accept(ours, theirs)
        assert (agreed.codec, agreed.codec_payload_type, agreed.codecs) == (OPUS, 96, {111: OPUS})
        assert (agreed.events, agreed.event_types) == (97, {102: 48000, 97: 48000})
        assert agreed.payload_types == {111: 96, 102: 97, 97: 97}

    def test_the_first_of_the_answer_is_sent(self) -> None:
        agreed = negotiation.accept(
            negotiation.offer(HOST, PORT, 1, 1, ALL), description("m=audio 4000 RTP/AVP 18 8 0")
        )
        assert (agreed.codec, agreed.codecs) == (PCMA, {8: PCMA, 0: PCMU})

    def test_two_ends_of_this_engine_agree(self) -> None:
        for srtp in (False, True):
            ours = negotiation.offer(HOST, PORT, 1, 1, ALL, srtp=srtp)
            theirs, answered = negotiation.answer(ours, "192.0.2.2", 5000, 2, 2, ALL)
            accepted = negotiation.accept(ours, theirs)
            assert accepted.codec is answered.codec is PCMU
            assert accepted.codecs == answered.codecs
            assert (accepted.events, accepted.remote, answered.remote) == (101, ("192.0.2.2", 5000), (HOST, PORT))
            assert (accepted.crypto is not None) == (answered.crypto is not None) == srtp


class TestSrtp:
    SECURE = (
        "m=audio 4000 RTP/SAVP 0",
        f"a=crypto:1 {AES_80} inline:{KEYS[0]}",
        f"a=crypto:2 {AES_32} inline:{KEYS[1]}",
    )

    def test_the_first_key_that_can_be_used_is_answered_4568_7_1_2(self) -> None:
        lines, agreed = answer(*self.SECURE)
        assert lines[5] == "m=audio 16384 RTP/SAVP 0"
        assert agreed.crypto is not None
        assert agreed.crypto.theirs == (1, AES_80, bytes(range(30)), b"")
        assert f"a=crypto:{agreed.crypto.ours}" in lines
        assert (agreed.crypto.ours.tag, agreed.crypto.ours.suite) == (1, AES_80)
        assert agreed.crypto.ours.key != agreed.crypto.theirs.key
        _, agreed = answer(self.SECURE[0], f"a=crypto:1 AES_256_CM_HMAC_SHA1_80 inline:{KEYS[0]}", self.SECURE[2])
        assert agreed.crypto is not None
        assert (agreed.crypto.ours.tag, agreed.crypto.ours.suite) == (2, AES_32)

    def test_every_call_has_a_key_of_its_own_and_keeps_it(self) -> None:
        lines, first = answer(*self.SECURE)
        _, other = answer(*self.SECURE)
        assert first.crypto is not None
        assert other.crypto is not None
        assert first.crypto.ours.key != other.crypto.ours.key
        again, kept = answer(*self.SECURE, previous=first)
        assert again == lines
        assert kept.crypto == first.crypto

    @pytest.mark.parametrize(
        "lines",
        [
            (),
            ("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAAA",),
            (f"a=crypto:1 F8_128_HMAC_SHA1_80 inline:{KEYS[0]}",),
            (f"a=crypto:1 {AES_80} inline:{KEYS[0]} UNENCRYPTED_SRTP",),
        ],
    )
    def test_no_key_that_can_be_used_is_488(self, lines: tuple[str, ...]) -> None:
        for profile in ("RTP/SAVP", "RTP/SAVPF"):
            assert refusal(f"m=audio 4000 {profile} 0", *lines).status == 488
        assert refusal("m=audio 4000 UDP/TLS/RTP/SAVPF 0", "a=fingerprint:sha-256 AA").status == 488

    def test_keys_beside_a_plain_profile_are_taken(self) -> None:
        """What phones offer whose SRTP is optional: RFC 4568 §6 has the profile of SRTP for keys alone, but then who
        has no SRTP could not take the call."""
        lines, agreed = answer("m=audio 4000 RTP/AVP 0", self.SECURE[1])
        assert agreed.crypto is not None
        assert agreed.crypto.theirs.key == bytes(range(30))
        assert "m=audio 16384 RTP/AVP 0" in lines
        assert f"a=crypto:{agreed.crypto.ours}" in lines
        assert not negotiation.memo  # its key never comes again
        ours = sdp.parse(negotiation.offer(HOST, PORT, 1, 2, previous=agreed)).media[0]
        assert ours.protocol == "RTP/AVP"  # a later offer does not take the other way away, either
        assert list(ours.attributes("crypto")) == [str(agreed.crypto.ours)]
        _, plain = answer("m=audio 4000 RTP/AVP 0", previous=agreed)
        assert plain.crypto is None

    @pytest.mark.parametrize("line", ["a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAAA", "a=crypto:"])
    def test_keys_beside_a_plain_profile_that_cannot_be_used_leave_it_plain(self, line: str) -> None:
        lines, agreed = answer("m=audio 4000 RTP/AVP 0", line)
        assert agreed.crypto is None
        assert not any("crypto" in line for line in lines)

    def test_an_answer_may_leave_out_the_keys_of_a_plain_profile(self) -> None:
        _, before = answer("m=audio 4000 RTP/AVP 0", self.SECURE[1])
        assert before.crypto is not None
        ours = negotiation.offer(HOST, PORT, 1, 2, previous=before)
        assert negotiation.accept(ours, description("m=audio 4000 RTP/AVP 0")).crypto is None
        kept = negotiation.accept(ours, description("m=audio 4000 RTP/AVP 0", self.SECURE[1])).crypto
        assert kept is not None
        assert kept.ours == before.crypto.ours

    def test_a_later_offer_keeps_the_profile_with_feedback(self) -> None:
        _, agreed = answer("m=audio 4000 RTP/SAVPF 0", self.SECURE[1])
        assert sdp.parse(negotiation.offer(HOST, PORT, 1, 2, previous=agreed)).media[0].protocol == "RTP/SAVPF"

    def test_the_first_stream_that_we_can_take(self) -> None:
        lines, agreed = answer("m=audio 4000 RTP/SAVP 0", "m=audio 4002 RTP/AVP 0")
        assert [line for line in lines if line[0] == "m"] == ["m=audio 0 RTP/SAVP 0", "m=audio 16384 RTP/AVP 0"]
        assert agreed.remote[1] == 4002

    def test_our_offer_has_both_suites_and_no_plain_way(self) -> None:
        ours = sdp.parse(negotiation.offer(HOST, PORT, 1, 1, srtp=True)).media[0]
        assert ours.protocol == "RTP/SAVP"
        assert [line.split()[:2] for line in ours.attributes("crypto")] == [["1", AES_80], ["2", AES_32]]

    def test_what_was_protected_stays_so_under_the_same_key(self) -> None:
        _, agreed = answer(*self.SECURE)
        assert agreed.crypto is not None
        again = sdp.parse(negotiation.offer(HOST, PORT, 1, 2, previous=agreed)).media[0]
        assert again.protocol == "RTP/SAVP"
        assert list(again.attributes("crypto")) == [str(agreed.crypto.ours)]

    def test_the_answer_names_the_key_that_it_takes_4568_7_1_3(self) -> None:
        ours = negotiation.offer(HOST, PORT, 1, 1, srtp=True)
        agreed = negotiation.accept(ours, description("m=audio 4000 RTP/SAVP 0", self.SECURE[2]))
        assert agreed.crypto is not None
        assert agreed.crypto.theirs.key == bytes(range(1, 31))
        assert f"crypto:{agreed.crypto.ours}".encode() in ours
        assert (agreed.crypto.ours.tag, agreed.crypto.ours.suite) == (2, AES_32)

    @pytest.mark.parametrize(
        "answered",
        [
            ("m=audio 4000 RTP/AVP 0",),
            ("m=audio 4000 RTP/SAVP 0",),
            ("m=audio 4000 RTP/SAVP 0", f"a=crypto:3 {AES_80} inline:{KEYS[0]}"),
            ("m=audio 4000 RTP/SAVP 0", f"a=crypto:1 {AES_32} inline:{KEYS[0]}"),
            ("m=audio 4000 RTP/SAVP 0", f"a=crypto:1 {AES_80} inline:AAAA"),
            SECURE,
        ],
    )
    def test_an_answer_without_one_of_our_keys_is_488(self, answered: tuple[str, ...]) -> None:
        with pytest.raises(NotAcceptable) as caught:
            negotiation.accept(negotiation.offer(HOST, PORT, 1, 1, srtp=True), description(*answered))
        assert caught.value.status == 488


LINES = st.sampled_from(
    [
        "m=audio 4000 RTP/AVP 0 8 9 111 101 102",
        "m=audio 65535 RTP/AVP 96 0 13",
        "m=audio 4000 RTP/SAVP 111 0",
        "m=audio 0 RTP/AVP 0",
        "m=video 4000 RTP/AVP 31",
        *RTPMAPS,
        "a=rtpmap:96 opus/48000/2",
        "a=rtpmap:96 telephone-event/48000",
        "a=rtpmap:0 opus/48000/2",
        f"a=crypto:1 {AES_80} inline:{KEYS[0]}",
        f"a=crypto:1 {AES_80} inline:{KEYS[0]}|1:4",
        "a=crypto:",
        "a=rtcp-mux",
        "a=rtcp:",
        "a=rtcp:70000",
        "a=maxptime:10",
        "a=inactive",
        "c=IN IP6 ::",
        "c=IN IP6 1::2::3",
        "c=x",
    ]
) | st.text(max_size=20).map(lambda text: "a=" + "".join(text.splitlines()))


@given(st.lists(LINES, max_size=9), st.lists(LINES, max_size=9))
def test_any_lines_are_agreed_on_or_not_acceptable(lines: list[str], later: list[str]) -> None:
    previous: Agreed | None = None
    for media in (lines, later):
        try:
            body, agreed = negotiation.answer(description(*media), HOST, PORT, 1, 1, ALL, previous)
        except NotAcceptable as error:
            assert error.status in (400, 488)
        else:
            assert agreed.codec in agreed.codecs.values()
            assert agreed.codec_payload_type in agreed.payload_types.values()
            assert sdp.parse(body)
            previous = agreed
        ours = negotiation.offer(HOST, PORT, 1, 1, ALL, previous)
        formats = sdp.parse(ours).media[0].formats
        assert len(set(formats)) == len(formats) == 6
        try:
            negotiation.accept(ours, description(*media))
        except NotAcceptable as error:
            assert error.status in (400, 488)

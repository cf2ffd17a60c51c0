"""Session descriptions (RFC 8866) and the offer/answer exchange (RFC 3264)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.sip.message.grammar import ParseError
from engine.sip.sdp import description as sdp
from engine.sip.sdp import offer_answer
from engine.sip.sdp.description import PCMA, PCMU, TELEPHONE_EVENT, Codec, Origin, SessionDescription

OURS = (PCMU, PCMA, TELEPHONE_EVENT)
HEAD = "v=0\r\no=- 1 2 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"


def body(*lines: str, head: str = HEAD) -> bytes:
    return (head + "".join(f"{line}\r\n" for line in lines)).encode()


def offer(*lines: str, head: str = HEAD) -> SessionDescription:
    return sdp.parse(body(*lines, head=head))


def answer(
    *lines: str, head: str = HEAD, direction: str = "sendrecv", rtcp_mux: bool = False, host: str = "198.51.100.9"
) -> list[str]:
    description = offer_answer.answer_audio(
        offer(*lines, head=head), OURS, host, 4000, session_id=7, version=8, direction=direction, rtcp_mux=rtcp_mux
    )
    return bytes(description).decode().removesuffix("\r\n").split("\r\n")


def refusal(*lines: str, head: str = HEAD) -> ParseError:
    with pytest.raises(ParseError) as caught:
        offer_answer.answer_audio(offer(*lines, head=head), OURS, "198.51.100.9", 4000, session_id=7, version=8)
    return caught.value


class TestDescription:
    def test_unknown_lines_stay_where_they_are_8866_5(self) -> None:
        text = body(
            "q=what is this",
            "a=tool:x",
            "a=",
            "m=audio 49170/2 RTP/AVP 0 96",
            "i=söund",
            "a=rtpmap:96 L8/8000",
            "z=0 0",
            "a=x: y ",
            "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
        )
        assert bytes(sdp.parse(text)) == text

    def test_octets_that_are_no_utf_8_are_kept(self) -> None:
        text = b"v=0\r\ns=caf\xe9\r\n"
        assert bytes(sdp.parse(text)) == text

    def test_line_ends_of_either_kind_and_none_at_the_end_8866_5(self) -> None:
        crlf = body("m=audio 1 RTP/AVP 0", "a=sendrecv")
        assert sdp.parse(crlf.replace(b"\r\n", b"\n")) == sdp.parse(crlf)
        assert sdp.parse(crlf.removesuffix(b"\r\n")) == sdp.parse(crlf)
        assert sdp.parse(b"\r\n" + crlf + b"\r\n\r\n") == sdp.parse(crlf)
        assert bytes(sdp.parse(crlf.replace(b"\r\n", b"\n"))) == crlf

    def test_lines_that_phones_leave_out(self) -> None:
        description = sdp.parse(b"v=0\nm=audio 1 RTP/AVP 0\n")
        assert description.origin is None
        assert description.media[0].connection == ""

    def test_the_media_line_8866_5_14(self) -> None:
        media = offer("m=audio  49170/2   RTP/AVP 0 8 ").media[0]
        assert (media.kind, media.port, media.port_count, media.protocol) == ("audio", 49170, 2, "RTP/AVP")
        assert media.formats == ["0", "8"]
        assert offer("m=image 0 udptl").media[0].formats == []

    def test_the_origin_8866_5_2(self) -> None:
        head = "v=0\r\no=assistant 971731711378798081 0 IN IP6 2001:db8::20\r\n"
        assert offer(head=head).origin == Origin("assistant", "971731711378798081", "0", "IP6", "2001:db8::20")
        with pytest.raises(ParseError, match="o="):
            _ = sdp.parse(b"v=0\r\no=- 1 IN IP4 h\r\n").origin

    @pytest.mark.parametrize(
        ("line", "address"),
        [
            ("c=IN IP4 192.0.2.4", "192.0.2.4"),
            ("c=in ip4 192.0.2.4 ", "192.0.2.4"),
            ("c=IN IP4 233.252.0.1/127/3", "233.252.0.1"),
            ("c=IN IP6 ::ffff:192.0.2.2", "::ffff:192.0.2.2"),
            ("c=IN IP6 [::1]", "::1"),
            ("c=IN IP4 media.example.com", "media.example.com"),
        ],
    )
    def test_the_connection_8866_5_7(self, line: str, address: str) -> None:
        assert offer(head=f"v=0\r\n{line}\r\n").connection == address

    @pytest.mark.parametrize(
        "line", ["c=", "c=IN IP4", "c=IN IP5 h", "c=ATM IP4 h", "c=IN IP4 a b", "c=IN IP4 300.1.1.1"]
    )
    def test_a_connection_that_cannot_be_used_is_none(self, line: str) -> None:
        assert offer(head=f"v=0\r\n{line}\r\n").connection == ""
        assert offer(head=f"v=0\r\n{line}\r\nc=IN IP4 192.0.2.4\r\n").connection == "192.0.2.4"

    def test_the_media_level_connection_goes_before_the_sessions_5118_4_8(self) -> None:
        description = offer("m=audio 22334 RTP/AVP 0", "c=IN IP4 192.0.2.7", "m=video 6024 RTP/AVP 107", "c=IN IP6 ::1")
        assert [description.address_of(media) for media in description.media] == ["192.0.2.7", "::1"]
        plain = offer("m=audio 1 RTP/AVP 0")
        assert plain.address_of(plain.media[0]) == "192.0.2.1"

    def test_attributes_by_name(self) -> None:
        media = offer("m=audio 1 RTP/AVP 0", "a=ptime:20", "a=rtcp-mux", "a=ptime: 30", "b=AS:64").media[0]
        assert list(media.attributes("ptime")) == ["20", "30"]
        assert list(media.attributes("rtcp-mux")) == [""]
        assert list(media.values("b")) == ["AS:64"]

    @pytest.mark.parametrize(
        "text",
        [
            b"",
            b"\r\n",
            b"v=1\r\n",
            b"o=- 1 1 IN IP4 h\r\nv=0\r\n",
            b"m=audio 1 RTP/AVP 0\r\nv=0\r\n",
            b"v=0\r\ntesting=123\r\n",
            b"v=0\r\nno line\r\n",
            b"v=0\r\n=x\r\n",
            b"v=0\r\n1=x\r\n",
            b"v=0\r\n\xc3\xa9=x\r\n",
            b"v=0\r\na=x\ry\r\n",
            b"v=0\r\na=x\0y\r\n",
            b"v=0\r\nm=audio\r\n",
            b"v=0\r\nm=audio 1 RTP/AVP\r\n",
            b"v=0\r\nm=audio x RTP/AVP 0\r\n",
            b"v=0\r\nm=audio -1 RTP/AVP 0\r\n",
            b"v=0\r\nm=audio 65536 RTP/AVP 0\r\n",
            b"v=0\r\nm=audio 123456 RTP/AVP 0\r\n",
        ],
    )
    def test_what_is_no_description(self, text: bytes) -> None:
        with pytest.raises(ParseError) as caught:
            sdp.parse(text)
        assert caught.value.status == 400

    def test_the_size_is_bounded(self) -> None:
        for text in (b"v=0\r\na=" + b"x" * sdp.MAX_SIZE, b"v=0\r\n" + b"a=\n" * sdp.MAX_LINES):
            with pytest.raises(ParseError) as caught:
                sdp.parse(text)
            assert caught.value.status == 413
        with pytest.raises(ParseError, match="formats"):
            offer("m=audio 1 RTP/AVP" + " 0" * (sdp.MAX_FORMATS + 1))
        assert len(offer("m=audio 1 RTP/AVP" + " 0" * sdp.MAX_FORMATS).media[0].formats) == sdp.MAX_FORMATS


class TestCodecs:
    def test_static_numbers_need_no_rtpmap_3551_6(self) -> None:
        names = [codec.name for codec in offer("m=audio 1 RTP/AVP 0 8 9 18 3 13 12 77").media[0].codecs()]
        assert names == ["PCMU", "PCMA", "G722", "G729", "GSM", "CN"]

    def test_an_rtpmap_goes_before_the_static_meaning(self) -> None:
        assert offer("m=audio 1 RTP/AVP 0", "a=rtpmap:0 opus/48000/2").media[0].codecs() == [
            Codec("opus", 48000, 0, "", 2)
        ]

    def test_rtpmap_and_fmtp_8866_6_6(self) -> None:
        media = offer(
            "m=audio 1 RTP/AVP 101 97",
            "a=rtpmap:101 telephone-event/8000 ",
            "a=fmtp:101 0-15",
            "a=fmtp:101 ignored",
            "a=rtpmap:97 iLBC/8000/1",
        ).media[0]
        assert media.codecs() == [Codec("telephone-event", 8000, 101, "0-15"), Codec("iLBC", 8000, 97)]

    @pytest.mark.parametrize(
        "value", ["96", "96 x", "96 x/", "128 x/8000", "x y/8000", "96 /8000", "96 x/y", "9" * 200]
    )
    def test_a_malformed_rtpmap_is_left_out(self, value: str) -> None:
        assert offer("m=audio 1 RTP/AVP 96 128 x", f"a=rtpmap:{value}").media[0].codecs() == []


class TestStream:
    def test_the_first_audio_in_use_of_an_rtp_profile(self) -> None:
        for profile in ("RTP/AVP", "RTP/AVPF", "RTP/SAVP", "RTP/SAVPF", "UDP/TLS/RTP/SAVPF"):
            description = offer("m=video 1 RTP/AVP 31", "m=audio 0 RTP/AVP 0", f"m=audio 2 {profile} 0")
            assert description.audio() is description.media[2]
        assert offer("m=text 1 x y", "m=audio 1 udptl t38").audio() is None

    @pytest.mark.parametrize(("value", "length"), [("20", 20), ("20.5", 20), ("x", 0), ("99999", 0), ("-1", 0)])
    def test_milliseconds(self, value: str, length: int) -> None:
        media = offer("m=audio 1 RTP/AVP 0", f"a=ptime:{value}", "a=maxptime:40").media[0]
        assert (media.milliseconds("ptime"), media.milliseconds("maxptime"), media.milliseconds("x")) == (length, 40, 0)

    @pytest.mark.parametrize(
        ("value", "address"),
        [
            ("53020", ("192.0.2.1", 53020)),
            ("53020 IN IP4 126.16.64.4", ("126.16.64.4", 53020)),
            ("53020 IN IP6 2001:db8::211", ("2001:db8::211", 53020)),
            ("53020 IN IP6 [2001:db8::211]", ("2001:db8::211", 53020)),
            ("0", ("192.0.2.1", 5001)),
            ("99999", ("192.0.2.1", 5001)),
            ("x", ("192.0.2.1", 5001)),
            ("1 IN IP4", ("192.0.2.1", 5001)),
        ],
    )
    def test_the_address_of_rtcp_3605(self, value: str, address: tuple[str, int]) -> None:
        description = offer("m=audio 5000 RTP/AVP 0", f"a=rtcp:{value}")
        assert description.rtcp_of(description.media[0]) == address

    def test_rtcp_goes_to_the_port_above_where_nothing_is_said_3550_11(self) -> None:
        description = offer("m=audio 5000 RTP/AVP 0", "m=audio 65535 RTP/AVP 0", "c=IN IP4 192.0.2.9")
        assert [description.rtcp_of(media) for media in description.media] == [
            ("192.0.2.1", 5001),
            ("192.0.2.9", 65535),
        ]


class TestDirection:
    @pytest.mark.parametrize("word", ["sendrecv", "sendonly", "recvonly", "inactive"])
    def test_of_the_media_and_else_of_the_session_8866_6_7(self, word: str) -> None:
        assert sdp.direction(body("m=audio 1 RTP/AVP 0", f"a={word}")) == word
        assert sdp.direction(body(f"a={word}", "m=audio 1 RTP/AVP 0")) == word
        assert sdp.direction(body("a=inactive", "m=audio 1 RTP/AVP 0", f"a={word} ")) == word

    @pytest.mark.parametrize("address", ["IP4 0.0.0.0", "IP6 ::"])
    @pytest.mark.parametrize(
        ("said", "meant"),
        [("sendrecv", "sendonly"), ("sendonly", "sendonly"), ("recvonly", "inactive"), ("inactive", "inactive")],
    )
    def test_the_old_hold_by_address_3264_8_4(self, address: str, said: str, meant: str) -> None:
        assert sdp.direction(body("m=audio 1 RTP/AVP 0", f"c=IN {address}", f"a={said}")) == meant

    def test_no_audio_in_use(self) -> None:
        assert sdp.direction(body("m=audio 0 RTP/AVP 0")) == "inactive"
        assert sdp.direction(body()) == "inactive"

    def test_no_description(self) -> None:
        with pytest.raises(ParseError):
            sdp.direction(b"x")


class TestOffer:
    def test_one_stream_in_our_order_3264_5(self) -> None:
        assert bytes(offer_answer.offer_audio(OURS, "192.0.2.1", 4000, session_id=1, version=2)).decode().split(
            "\r\n"
        ) == [
            "v=0",
            "o=- 1 2 IN IP4 192.0.2.1",
            "s=-",
            "c=IN IP4 192.0.2.1",
            "t=0 0",
            "m=audio 4000 RTP/AVP 0 8 101",
            "a=rtpmap:0 PCMU/8000",
            "a=rtpmap:8 PCMA/8000",
            "a=rtpmap:101 telephone-event/8000",
            "a=fmtp:101 0-16",
            "a=ptime:20",
            "a=sendrecv",
            "",
        ]

    def test_ipv6_hold_and_channels(self) -> None:
        text = bytes(
            offer_answer.offer_audio(
                [Codec("opus", 48000, 96, "", 2)], "::1", 4, session_id=1, version=2, ptime=0, direction="sendonly"
            )
        )
        assert b"o=- 1 2 IN IP6 ::1\r\n" in text
        assert b"c=IN IP6 ::1\r\n" in text
        assert text.endswith(b"m=audio 4 RTP/AVP 96\r\na=rtpmap:96 opus/48000/2\r\na=sendonly\r\n")

    def test_what_we_offer_we_can_answer(self) -> None:
        ours = offer_answer.offer_audio(OURS, "192.0.2.1", 4000, session_id=1, version=2)
        assert sdp.parse(bytes(ours)) == ours
        theirs = offer_answer.answer_audio(ours, OURS, "192.0.2.2", 5000, session_id=3, version=4)
        assert theirs.media[0].codecs() == list(OURS)
        assert theirs.direction_of(theirs.media[0]) == "sendrecv"

    def test_keys_make_it_a_secure_profile_4568_7_1_1(self) -> None:
        ours = offer_answer.offer_audio(OURS, "192.0.2.1", 4000, session_id=1, version=2, crypto=["1 A k", "2 B k"])
        assert ours.media[0].protocol == "RTP/SAVP"
        assert list(ours.media[0].attributes("crypto")) == ["1 A k", "2 B k"]


class TestAnswer:
    def test_the_offerers_order_and_numbers_3264_6_1(self) -> None:
        lines = answer(
            "m=audio 49217 RTP/AVP 96 8 97 0",
            "a=rtpmap:96 telephone-event/8000",
            "a=fmtp:96 0-15",
            "a=rtpmap:97 opus/48000/2",
            "a=ptime:30",
        )
        assert lines == [
            "v=0",
            "o=- 7 8 IN IP4 198.51.100.9",
            "s=-",
            "c=IN IP4 198.51.100.9",
            "t=0 0",
            "m=audio 4000 RTP/AVP 96 8 0",
            "a=rtpmap:96 telephone-event/8000",
            "a=fmtp:96 0-16",
            "a=rtpmap:8 PCMA/8000",
            "a=rtpmap:0 PCMU/8000",
            "a=ptime:30",
            "a=sendrecv",
        ]

    def test_names_are_matched_and_numbers_are_not_3264_6_1(self) -> None:
        assert "m=audio 4000 RTP/AVP 111" in answer("m=audio 1 RTP/AVP 110 111", "a=rtpmap:111 pcmu/8000")
        assert refusal("m=audio 1 RTP/AVP 0", "a=rtpmap:0 PCMU/16000").status == 488

    def test_as_many_streams_in_the_same_order_and_the_others_refused_3264_6(self) -> None:
        lines = answer(
            "m=video 3227 RTP/AVP 31 32",
            "a=rtpmap:31 LPC/8000",
            "m=audio 0 RTP/AVP 0",
            "m=audio 1 RTP/SAVP 0",
            "m=audio 2 RTP/AVP 18",
            "m=audio 3 RTP/AVP 0",
            "m=audio 4 RTP/AVP 8",
            "m=image 5 udptl t38",
        )
        assert [line for line in lines if line.startswith("m=")] == [
            "m=video 0 RTP/AVP 31 32",
            "m=audio 0 RTP/AVP 0",
            "m=audio 0 RTP/SAVP 0",
            "m=audio 0 RTP/AVP 18",
            "m=audio 4000 RTP/AVP 0",
            "m=audio 0 RTP/AVP 8",
            "m=image 0 udptl t38",
        ]
        assert lines[5] == "m=video 0 RTP/AVP 31 32"
        assert lines[6].startswith("m=")

    def test_the_profile_with_feedback_is_echoed_4585(self) -> None:
        assert "m=audio 4000 RTP/AVPF 0" in answer("m=audio 1 RTP/AVPF 0")

    @pytest.mark.parametrize(
        ("offered", "answered"),
        [("sendrecv", "sendrecv"), ("sendonly", "recvonly"), ("recvonly", "sendonly"), ("inactive", "inactive")],
    )
    def test_the_direction_is_mirrored_3264_6_1(self, offered: str, answered: str) -> None:
        assert answer("m=audio 1 RTP/AVP 0", f"a={offered}")[-1] == f"a={answered}"
        assert answer(f"a={offered}", "m=audio 1 RTP/AVP 0")[-1] == f"a={answered}"

    @pytest.mark.parametrize(
        ("offered", "ours", "answered"),
        [
            ("sendrecv", "sendonly", "sendonly"),
            ("sendrecv", "recvonly", "recvonly"),
            ("sendonly", "sendonly", "inactive"),
            ("sendonly", "recvonly", "recvonly"),
            ("recvonly", "recvonly", "inactive"),
            ("sendrecv", "inactive", "inactive"),
        ],
    )
    def test_never_more_than_we_want(self, offered: str, ours: str, answered: str) -> None:
        assert answer("m=audio 1 RTP/AVP 0", f"a={offered}", direction=ours)[-1] == f"a={answered}"

    def test_hold_by_address_3264_8_4(self) -> None:
        assert answer("m=audio 1 RTP/AVP 0", "c=IN IP4 0.0.0.0")[-1] == "a=recvonly"
        assert answer("m=audio 1 RTP/AVP 0", "c=IN IP4 0.0.0.0", "a=inactive")[-1] == "a=inactive"

    def test_the_time_is_the_offers_3264_6(self) -> None:
        head = HEAD.replace("t=0 0", "t=3338481189 3370017201")
        assert "t=3338481189 3370017201" in answer("m=audio 1 RTP/AVP 0", head=head)
        assert "t=0 0" in answer("m=audio 1 RTP/AVP 0", head=HEAD.replace("t=0 0\r\n", ""))

    def test_rtcp_mux_when_offered_and_wanted_5761_5_1_1(self) -> None:
        stream = ("m=audio 1 RTP/AVP 0", "a=rtcp-mux")
        assert "a=rtcp-mux" in answer(*stream, rtcp_mux=True)
        assert "a=rtcp-mux" not in answer(*stream)
        assert "a=rtcp-mux" not in answer("m=audio 1 RTP/AVP 0", rtcp_mux=True)

    def test_events_need_sound_on_their_clock_4733_2_5_1_2(self) -> None:
        assert refusal("m=audio 1 RTP/AVP 101", "a=rtpmap:101 telephone-event/8000").status == 488

    def test_ipv6(self) -> None:
        lines = answer("m=audio 1 RTP/AVP 0", host="2001:db8::9")
        assert lines[1] == "o=- 7 8 IN IP6 2001:db8::9"
        assert lines[3] == "c=IN IP6 2001:db8::9"

    @pytest.mark.parametrize(
        ("lines", "why"),
        [
            ((), "no audio"),
            (("m=video 1 RTP/AVP 31",), "no audio"),
            (("m=audio 0 RTP/AVP 0",), "no audio"),
            (("m=audio 1 RTP/SAVP 0",), "RTP/SAVP"),
            (("m=audio 1 UDP/TLS/RTP/SAVPF 0",), "SAVPF"),
            (("m=audio 1 RTP/AVP 18 96",), "no codec"),
        ],
    )
    def test_488_when_nothing_can_be_agreed_3264_6(self, lines: tuple[str, ...], why: str) -> None:
        error = refusal(*lines)
        assert error.status == 488
        assert why in str(error)

    def test_488_without_an_address_8866_5_7(self) -> None:
        assert refusal("m=audio 1 RTP/AVP 0", head="v=0\r\n").status == 488

    def test_400_for_what_is_cut_off_before_it_says_anything(self) -> None:
        assert refusal(head="v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\n").status == 400


class TestSuccessor:
    def first(self) -> SessionDescription:
        return offer_answer.offer_audio(OURS, "192.0.2.1", 4000, session_id=10, version=20)

    def test_the_version_stays_when_nothing_else_changes_3264_8(self) -> None:
        again = offer_answer.offer_audio(OURS, "192.0.2.1", 4000, session_id=99, version=99)
        assert bytes(offer_answer.successor(self.first(), again)) == bytes(self.first())

    @pytest.mark.parametrize(
        "changed",
        [
            offer_answer.offer_audio(OURS, "192.0.2.1", 4000, session_id=99, version=99, direction="sendonly"),
            offer_answer.offer_audio(OURS, "192.0.2.1", 4002, session_id=99, version=99),
            offer_answer.offer_audio(OURS, "192.0.2.2", 4000, session_id=99, version=99),
            offer_answer.offer_audio(OURS[:1], "192.0.2.1", 4000, session_id=99, version=99),
        ],
    )
    def test_the_version_goes_up_by_one_with_any_change_3264_8(self, changed: SessionDescription) -> None:
        following = offer_answer.successor(self.first(), changed)
        assert following.origin is not None
        assert changed.origin is not None
        assert following.origin == changed.origin._replace(session_id="10", version="21")
        assert following.media == changed.media

    def test_ours_have_an_origin(self) -> None:
        with pytest.raises(ValueError, match="o="):
            offer_answer.successor(sdp.parse(b"v=0\r\n"), self.first())


VALUES = st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), max_size=20)
LINES = st.lists(st.tuples(st.sampled_from("abcikorstuz"), VALUES), max_size=5)
MEDIA = st.builds(
    sdp.Media,
    st.sampled_from(["audio", "video", "x"]),
    st.integers(1, 65535),
    st.sampled_from(["RTP/AVP", "udptl"]),
    st.lists(st.from_regex(r"[!-~]{1,4}", fullmatch=True), min_size=1, max_size=4),
    LINES,
    st.none() | st.integers(0, 9),
)


@given(st.builds(SessionDescription, LINES.map(lambda lines: [("v", "0"), *lines]), st.lists(MEDIA, max_size=3)))
def test_what_is_written_is_read_again(description: SessionDescription) -> None:
    assert sdp.parse(bytes(description)) == description


STREAMS = st.lists(
    st.sampled_from(
        [
            "m=audio 5000 RTP/AVP 0 8",
            "m=audio 5000 RTP/AVP 96 0 97",
            "m=audio 0 RTP/AVP 0",
            "m=audio 5000 RTP/SAVP 0",
            "m=video 5000 RTP/AVP 31",
            "a=rtpmap:96 telephone-event/8000",
            "a=rtpmap:97 PCMA/8000",
            "a=rtpmap:97 opus/48000/2",
            "a=sendonly",
            "a=inactive",
            "a=ptime:20",
            "a=rtcp-mux",
            "c=IN IP4 0.0.0.0",
            "c=IN IP6 ::1",
        ]
    ),
    max_size=8,
)


@given(STREAMS)
def test_every_answer_keeps_the_offers_shape_and_has_one_stream_3264_6(lines: list[str]) -> None:
    theirs = offer(*lines)
    try:
        ours = offer_answer.answer_audio(theirs, OURS, "192.0.2.2", 4000, session_id=1, version=1)
    except ParseError as error:
        assert error.status == 488
        return
    assert [(media.kind, media.protocol) for media in ours.media] == [(m.kind, m.protocol) for m in theirs.media]
    assert [media.port for media in ours.media if media.port] == [4000]
    taken, asked = next((mine, other) for mine, other in zip(ours.media, theirs.media, strict=True) if mine.port)
    assert [text for text in asked.formats if text in taken.formats] == taken.formats
    assert ours.audio() is taken
    assert sdp.parse(bytes(ours)) == ours


@given(
    st.binary(max_size=80) | st.text(st.sampled_from("v=0m\r\naudio 1RTP/AVPc:x\0é"), max_size=60).map(str.encode),
    st.sampled_from([b"", b"v=0\r\n", HEAD.encode(), HEAD.encode() + b"m=audio 1 RTP/AVP 0 96\r\na="]),
)
def test_any_bytes_raise_nothing_but_parse_errors(text: bytes, start: bytes) -> None:
    try:
        description = sdp.parse(start + text)
        assert sdp.parse(bytes(description)) == description
        sdp.direction(start + text)
        for media in description.media:
            description.rtcp_of(media)
            media.milliseconds("ptime")
        offer_answer.answer_audio(description, OURS, "192.0.2.2", 4000, session_id=1, version=1)
        _ = description.origin
    except ParseError as error:
        assert error.status in (400, 488)

"""Two offers that are answered with one another (RFC 3264 §6)."""

import pytest

from engine.sip.sdp.crossed import crossed
from engine.sip.sdp.description import SessionDescription, parse
from engine.sip.sdp.offer_answer import NoAgreement


def offer(host: str, *media: str) -> SessionDescription:
    lines = ["v=0", f"o=- 1 1 IN IP4 {host}", "s=-", f"c=IN IP4 {host}", "t=0 0", *media]
    return parse("".join(f"{line}\r\n" for line in lines).encode())


PHONE = offer("192.0.2.1", "m=audio 4000 RTP/AVP 8 0 101", "a=rtpmap:101 telephone-event/8000", "a=fmtp:101 0-16")
OTHER = offer(
    "192.0.2.2",
    *("m=audio 5000 RTP/AVP 96 0 9 97", "a=rtpmap:96 opus/48000/2", "a=fmtp:96 stereo=1"),
    *("a=rtpmap:97 telephone-event/8000", "a=ptime:20"),
)


def test_each_hears_where_the_other_is_and_what_both_can() -> None:
    assert crossed(PHONE, OTHER, "active").decode().split("\r\n")[3:] == [
        "c=IN IP4 192.0.2.2",
        "t=0 0",
        "m=audio 5000 RTP/AVP 0 97",
        "a=rtpmap:97 telephone-event/8000",
        "a=ptime:20",
        "",
    ]
    back = crossed(OTHER, PHONE, "passive").decode().split("\r\n")
    assert back[3:] == [
        *("c=IN IP4 192.0.2.1", "t=0 0", "m=audio 4000 RTP/AVP 0 101"),
        *("a=rtpmap:101 telephone-event/8000", "a=fmtp:101 0-16", ""),
    ]


def test_browsers_get_their_own_names_of_streams_and_sides_of_dtls() -> None:
    def browser(host: str, mid: str) -> SessionDescription:
        stream = ("m=audio 9 UDP/TLS/RTP/SAVPF 111", "a=rtpmap:111 opus/48000/2", "a=rtcp-fb:111 transport-cc")
        more = (
            "c=IN IP4 0.0.0.0",
            "a=rtcp-fb:* nack",
            "a=rtcp-fb:96 nack",
            "a=extmap:1 urn:x",
            f"a=ice-ufrag:{mid}",
            "a=setup:actpass",
        )
        description = offer(host, *stream, *more, f"a=mid:{mid}")
        description.lines.append(("a", f"group:BUNDLE {mid}"))
        return description

    text = crossed(browser("192.0.2.1", "one"), browser("192.0.2.2", "two"), "active").decode()
    assert "a=setup:active\r\n" in text and "actpass" not in text
    assert "a=mid:one\r\n" in text and "a=group:BUNDLE one\r\n" in text
    assert "a=mid:two" not in text and "BUNDLE two" not in text and "extmap" not in text
    assert "a=ice-ufrag:two\r\n" in text and "a=rtcp-fb:* nack" in text
    assert "rtcp-fb:111" in text and "rtcp-fb:96" not in text


@pytest.mark.parametrize(
    "media",
    [
        [],
        ["m=audio 4000 RTP/AVP 18"],
        ["m=audio 4000 RTP/AVP 101", "a=rtpmap:101 telephone-event/8000"],
        ["m=audio 4000 RTP/SAVP 8"],
        ["m=video 4000 RTP/AVP 8"],
        ["m=audio 4000 RTP/AVP 8", "m=video 4002 RTP/AVP 34"],
        ["m=audio 4000 RTP/AVP 8", "a=sendonly"],
        ["m=audio 4000 RTP/AVP 8", "c=IN IP4 0.0.0.0"],
        ["m=audio 4000 RTP/AVP 8", "a=ice-ufrag:x", "a=inactive"],
    ],
)
def test_what_does_not_go_together_is_left_alone(media: list[str]) -> None:
    other = offer("192.0.2.2", *media)
    for one, two in ((PHONE, other), (other, PHONE)):
        with pytest.raises(NoAgreement) as told:
            crossed(one, two, "active")
        assert told.value.status == 488

"""Descriptions that lead to another place: RFC 8866 lines, RFC 3264 §8.4 holds, and what would lead around us."""

import pytest

from engine.sip.sdp import description
from engine.sip.sdp.rewrite import redirect

HEAD = "v=0\r\no=alice 53 7 IN IP4 192.0.2.1\r\ns=talk\r\n"


def redirected(text: str, *ports: int | None, host: str = "198.51.100.9") -> str:
    return redirect(description.parse(text.encode()), host, ports, 100, 5).decode()


def test_address_port_and_origin_are_ours_and_the_rest_stays() -> None:
    body = (
        f"{HEAD}c=IN IP4 192.0.2.1\r\nb=AS:80\r\nt=0 0\r\na=tool:x\r\nm=audio 4000 RTP/SAVP 8 101\r\nb=AS:64\r\n"
        "a=rtpmap:101 telephone-event/8000\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:abc\r\na=sendonly\r\n"
    )
    assert redirected(body, 20000) == (
        "v=0\r\no=- 100 5 IN IP4 198.51.100.9\r\ns=talk\r\nc=IN IP4 198.51.100.9\r\nb=AS:80\r\nt=0 0\r\na=tool:x\r\n"
        "m=audio 20000 RTP/SAVP 8 101\r\nb=AS:64\r\na=rtpmap:101 telephone-event/8000\r\n"
        "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:abc\r\na=sendonly\r\n"
    )


@pytest.mark.parametrize("host", ["198.51.100.9", "2001:db8::9"])
def test_an_address_that_each_stream_has_of_its_own_becomes_the_sessions(host: str) -> None:
    streams = ("m=audio 4000 RTP/AVP 8\r\nc=IN IP4 192.0.2.1\r\n", "m=video 4002 RTP/AVP 96\r\nc=IN IP4 192.0.2.2\r\n")
    body = f"{HEAD}t=0 0\r\n{streams[0]}{streams[1]}"
    family = "IP6" if ":" in host else "IP4"
    assert redirected(body, 20000, 20010, host=host) == (
        f"v=0\r\no=- 100 5 IN {family} {host}\r\ns=talk\r\nc=IN {family} {host}\r\nt=0 0\r\n"
        "m=audio 20000 RTP/AVP 8\r\nm=video 20010 RTP/AVP 96\r\n"
    )


def test_nothing_leads_around_us() -> None:
    body = (
        f"{HEAD}c=IN IP4 192.0.2.1\r\nt=0 0\r\na=ice-lite\r\na=group:BUNDLE a v\r\na=group:LS a v\r\n"
        "m=audio 4000 RTP/AVP 8\r\na=mid:a\r\na=rtcp:4999 IN IP4 192.0.2.7\r\na=ice-ufrag:u\r\na=ice-pwd:p\r\n"
        "a=candidate:1 1 UDP 1 192.0.2.1 4000 typ host\r\na=end-of-candidates\r\na=rtcp-mux\r\na=rtcp-fb:96 nack\r\n"
    )
    text = redirected(body, 20000)
    assert "192.0.2" not in text and "candidate" not in text and "ice" not in text and "BUNDLE" not in text
    for stays in ("a=group:LS a v", "a=mid:a", "a=rtcp-mux", "a=rtcp-fb:96 nack"):
        assert stays in text


def test_a_refused_stream_stays_refused_and_a_port_count_goes() -> None:
    body = f"{HEAD}c=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000/2 RTP/AVP 8\r\nm=video 0 RTP/AVP 96\r\n"
    assert redirected(body, 20000, 0).endswith("m=audio 20000 RTP/AVP 8\r\nm=video 0 RTP/AVP 96\r\n")


def test_what_does_not_pass_us_keeps_its_author_s_address() -> None:
    body = f"{HEAD}c=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\nm=message 2855 TCP/MSRP *\r\na=path:x\r\n"
    assert redirected(body, 20000, None).endswith(
        "m=audio 20000 RTP/AVP 8\r\nm=message 2855 TCP/MSRP *\r\nc=IN IP4 192.0.2.1\r\na=path:x\r\n"
    )


@pytest.mark.parametrize(("host", "nowhere"), [("198.51.100.9", "IP4 0.0.0.0"), ("2001:db8::9", "IP6 ::")])
def test_an_older_hold_stays_one(host: str, nowhere: str) -> None:
    session = f"{HEAD}c=IN IP4 0.0.0.0\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\n"
    assert f"c=IN {nowhere}\r\n" in redirected(session, 20000, host=host)
    one = (
        f"{HEAD}c=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\nc=IN IP4 0.0.0.0\r\nm=video 4002 RTP/AVP 9\r\n"
    )
    text = redirected(one, 20000, 20002, host=host)
    assert text.endswith(f"m=audio 20000 RTP/AVP 8\r\nc=IN {nowhere}\r\nm=video 20002 RTP/AVP 9\r\n")
    other = f"{HEAD}c=IN IP4 0.0.0.0\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\nc=IN IP4 192.0.2.1\r\n"
    family = "IP6" if ":" in host else "IP4"
    assert redirected(other, 20000, host=host).endswith(f"m=audio 20000 RTP/AVP 8\r\nc=IN {family} {host}\r\n")

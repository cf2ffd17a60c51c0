"""Via (RFC 3261 §18.2, §20.42), rport (RFC 3581) and IPv6 in it (RFC 5118 §4.5)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.sip.message.grammar import ParseError
from engine.sip.message.via import Via


class TestParts:
    @pytest.mark.parametrize(
        ("text", "via"),
        [
            (
                "SIP/2.0/UDP 127.0.0.1:5060;rport;branch=z9hG4bK-1-2",
                Via("UDP", "127.0.0.1", 5060, {"rport": None, "branch": "z9hG4bK-1-2"}),
            ),
            ("SIP/2.0/TCP Host.Example.com", Via("TCP", "host.example.com")),
            ("SIP/2.0/tls h:1;Branch=aB", Via("TLS", "h", 1, {"branch": "aB"})),
            ("SIP/2.0/UDP h;branch=x;rport", Via("UDP", "h", None, {"branch": "x", "rport": None})),
            (
                "SIP/2.0/UDP h;branch=x;received=192.0.2.1;rport=1234",
                Via("UDP", "h", None, {"branch": "x", "received": "192.0.2.1", "rport": "1234"}),
            ),
            ("SIP/2.0/UDP h;rport;branch=x;a", Via("UDP", "h", None, {"rport": None, "branch": "x", "a": None})),
            ('SIP/2.0/UDP h;x="a;b";branch=y', Via("UDP", "h", None, {"x": '"a;b"', "branch": "y"})),
            ("SIP/2.0/UDP [2001:DB8::1]:5060", Via("UDP", "[2001:db8::1]", 5060)),
            ("SIP/2.0/UDP " + "h" * 100, Via("UDP", "h" * 100)),
        ],
    )
    def test_protocol_sent_by_and_parameters_20_42(self, text: str, via: Via) -> None:
        assert Via.parse(text) == via
        assert Via.first(text) == via

    def test_values_with_the_same_beginning_do_not_share_parameters(self) -> None:
        one, other = Via.parse("SIP/2.0/UDP h;branch=a"), Via.parse("SIP/2.0/UDP h;branch=b")
        one.params["received"] = "192.0.2.1"
        assert (one.branch, other.branch, other.received) == ("a", "b", "")

    def test_sent_by_17_2_3(self) -> None:
        assert Via.parse("SIP/2.0/UDP Example.COM").sent_by == "example.com"
        assert Via.parse("SIP/2.0/UDP [::1]:5060").sent_by == "[::1]:5060"

    def test_the_magic_cookie_needs_something_after_it_8_1_1_7_and_4475_3_2_1(self) -> None:
        assert Via.parse("SIP/2.0/UDP h;branch=z9hG4bKx").has_cookie
        assert Via.parse("SIP/2.0/UDP h;branch=Z9HG4BKx").has_cookie
        for text in ("SIP/2.0/UDP h;branch=z9hG4bK", "SIP/2.0/UDP h;branch=1", "SIP/2.0/UDP h", "SIP/2.0/UDP h;branch"):
            assert not Via.parse(text).has_cookie
        assert Via.parse("SIP/2.0/UDP h").branch == ""

    def test_written_in_one_form(self) -> None:
        assert str(Via.parse("sip / 2.0 / udp  H : 5060 ; Branch = x")) == "SIP/2.0/UDP h:5060;branch=x"


class TestRport:
    @pytest.mark.parametrize(
        ("params", "wanted", "port"),
        [
            (";rport", True, None),
            (";rport=5060", True, 5060),
            (";rport=65535", True, 65535),
            (";rport=65536", True, None),
            (";rport=123456", True, None),
            (";rport=x", True, None),
            ("", False, None),
        ],
    )
    def test_rport_is_asked_for_or_filled_in_3581_3(self, params: str, wanted: bool, port: int | None) -> None:
        via = Via.parse(f"SIP/2.0/UDP h{params};branch=x")
        assert (via.wants_rport, via.rport) == (wanted, port)


class TestReceived:
    @pytest.mark.parametrize("written", ["2001:db8::9:255", "[2001:db8::9:255]"])
    def test_ipv6_with_and_without_brackets_5118_4_5(self, written: str) -> None:
        assert (
            Via.parse(f"SIP/2.0/UDP [2001:db8::9:1];received={written};branch=z9hG4bKas3").received == "2001:db8::9:255"
        )

    def test_ipv4(self) -> None:
        assert Via.parse("SIP/2.0/TCP [2001:db8::9:255];branch=z9;received=192.0.2.200").received == "192.0.2.200"


class TestTorture:
    def test_white_space_around_separators_4475_3_1_1_1(self) -> None:
        folded = "SIP  / 2.0  / TCP     spindle.example.com   ;  branch  =   z9hG4bK9ikj8  , SIP / 2.0 / UDP  h ; x= y"
        assert Via.first(folded) == Via("TCP", "spindle.example.com", None, {"branch": "z9hG4bK9ikj8"})
        assert Via.parse("SIP  /   2.0 /UDP    192.0.2.2;branch=390skdjuw").sent_by == "192.0.2.2"
        assert Via.parse("SIP/2.0/UDP\th\t:\t1\t;\tx").port == 1

    def test_every_token_character_4475_3_1_1_2(self) -> None:
        assert Via.parse("SIP/2.0/TCP h;branch=z9hG4bK-.!%66*_+`'~").branch == "z9hG4bK-.!%66*_+`'~"

    @pytest.mark.parametrize("transport", ["UDP", "SCTP", "TLS", "UNKNOWN", "TCP"])
    def test_unknown_transports_4475_3_1_1_10(self, transport: str) -> None:
        assert Via.parse(f"SIP/2.0/{transport} t.example.com;branch=z9hG4bKkdjuw").transport == transport

    def test_stray_separators_4475_3_1_2_1(self) -> None:
        with pytest.raises(ParseError):
            Via.first("SIP/2.0/UDP 192.0.2.15;;,;,,")

    def test_no_branch_4475_3_4_1(self) -> None:
        assert Via.parse("SIP/2.0/UDP iftgw.example.com").branch == ""


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        ",",
        "SIP/2.0/UDP",
        "SIP/2.0/UDP ",
        "SIP/2.0 h",
        "SIP/2.0/ h",
        "SIP/3.0/UDP h",
        "SIPS/2.0/UDP h",
        "SIP/2.0/UDP h i",
        "SIP/2.0/UDP h:",
        "SIP/2.0/UDP h:x",
        "SIP/2.0/UDP h:65536",
        "SIP/2.0/UDP h;",
        "SIP/2.0/UDP h;;x",
        "SIP/2.0/UDP h;branch=",
        "SIP/2.0/UDP h;branch=a;branch=b",
        "SIP/2.0/UDP 2001:db8::1",
        "SIP/2.0/UDP [2001:db8::1",
        "SIP/2.0/UDP [1.2.3.4]",
        "SIP/2.0/UDP <h>",
        "SIP/2.0/UDP h,",
        "SIP/2.0/UDP a\r\nb",
    ],
)
def test_what_is_no_via(text: str) -> None:
    with pytest.raises(ParseError) as caught:
        Via.first(text)
    assert caught.value.status == 400


def test_a_single_value_is_not_a_list() -> None:
    for text in ("SIP/2.0/UDP h, SIP/2.0/UDP i", "SIP/2.0/UDP h;x, SIP/2.0/UDP i"):
        assert Via.first(text).host == "h"
        with pytest.raises(ParseError):
            Via.parse(text)


TOKENS = st.from_regex(r"[a-z0-9\-.!%*_+`'~]{1,8}", fullmatch=True)


@given(
    st.from_regex(r"[A-Z]{1,5}", fullmatch=True),
    st.from_regex(r"[a-z0-9]{1,5}(\.[a-z0-9-]{1,5}){0,3}\.?", fullmatch=True)
    | st.ip_addresses(v=6).map(lambda address: f"[{address}]"),
    st.none() | st.integers(0, 65535),
    st.dictionaries(TOKENS | st.sampled_from(["branch", "rport"]), st.none() | TOKENS, max_size=4),
)
def test_what_is_written_is_read_again(
    transport: str, host: str, port: int | None, params: dict[str, str | None]
) -> None:
    via = Via(transport, host, port, params)
    assert Via.parse(str(via)) == via
    assert Via.first(f"{via} , {via}") == via


@given(
    st.text(st.sampled_from('SIP/2.0 UDP;,=:[]"\\<>h1rportbranch\t\r\n\0é\udcff') | st.characters(), max_size=50),
    st.sampled_from(["", "SIP/2.0/UDP ", "SIP/2.0/UDP h;", "SIP/2.0/UDP h;branch="]),
)
def test_any_text_raises_nothing_but_parse_errors(text: str, start: str) -> None:
    try:
        via = Via.first(start + text)
    except ParseError as error:
        assert error.status == 400
    else:
        assert Via.parse(str(via)) == via
        assert (via.received, via.rport, via.sent_by, via.branch) is not None

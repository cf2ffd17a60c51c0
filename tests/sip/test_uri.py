"""RFC 3261 §19.1 and §25.1, RFC 3966, and the URIs of the torture tests of RFC 4475 and RFC 5118."""

import re
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.sip.message.grammar import MAX_ELEMENTS, ParseError
from engine.sip.message.uri import COMMON_SIP_URI, OtherUri, SipUri, TelUri, escape_user, parse_uri


class TestSipUri:
    def test_every_component_is_found_19_1_1(self) -> None:
        uri = SipUri.parse("sips:alice:secret@Atlanta.COM:5061;transport=TCP;lr;X=y?subject=a&to=b")
        assert uri == SipUri(
            "sips", "alice", "secret", "atlanta.com", 5061, {"transport": "TCP", "lr": None, "x": "y"}, "subject=a&to=b"
        )
        assert (uri.transport, uri.lr) == ("tcp", True)

    @pytest.mark.parametrize(
        ("text", "user", "host", "port"),
        [
            ("sip:+1555@127.0.0.1:5060", "+1555", "127.0.0.1", 5060),
            ("sip:127.0.0.1", None, "127.0.0.1", None),
            ("SIP:example.com:5060", None, "example.com", 5060),
            ("sip:a@[::1]", "a", "[::1]", None),
            ("sip:a@[::FFFF:192.0.2.2]:1", "a", "[::ffff:192.0.2.2]", 1),
            ("sip:example.com.", None, "example.com.", None),
            ("sip:under_score@my_host", "under_score", "my_host", None),
            ("sip:#31#0612345678@h", "#31#0612345678", "h", None),
            ("sip:a@b:0", "a", "b", 0),
            ("sip:a@b:65535", "a", "b", 65535),
            ("sip:a@b:00001", "a", "b", 1),
        ],
    )
    def test_user_host_and_port(self, text: str, user: str | None, host: str, port: int | None) -> None:
        uri = SipUri.parse(text)
        assert (uri.user, uri.host, uri.port, uri.params) == (user, host, port, {})

    def test_defaults(self) -> None:
        uri = SipUri.parse("sip:h")
        assert (uri.user_text, uri.transport, uri.lr, uri.headers, uri.password) == ("", "", False, "", None)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "sip:",
            "sip:@h",
            "sip:a@",
            "sip:a@b@c",
            "sip:a b@h",
            "sip:a@h:",
            "sip:a@h:port",
            "sip:a@h:65536",
            "sip:a@h:99999",
            "sip:a@h:123456",
            "sip:a@h;",
            "sip:a@h;;lr",
            "sip:a@h;x=",
            "sip:a@h;=x",
            "sip:a@h?",
            "sip:a@h;x=y z",
            "sip:a@.h",
            "sip:a@h..i",
            "sip:a@-h",
            "sip:%@h",
            "sip:%4@h",
            "sip:%zz@h",
            'sip:"a"@h',
            "sip:é@h",
            "sip:a@é",
            "sip:a@h\r\n",
            "sip:a@h\n",
            "sip:[::1",
            "sip:::1",
            "sip:[::1::2]",
            "sip:[fe80::1%eth0]",
            "sip:a@h;tag=1;tag=2",
            "sip:a@h;lr;lr=on",
            "http://h",
        ],
    )
    def test_what_is_no_sip_uri(self, text: str) -> None:
        with pytest.raises(ParseError) as caught:
            SipUri.parse(text)
        assert caught.value.status == 400

    def test_a_repeated_parameter_is_let_through(self) -> None:
        assert SipUri.parse("sip:h;lr;lr").params == {"lr": None}

    def test_the_number_of_parameters_is_bounded(self) -> None:
        assert len(SipUri.parse("sip:h" + "".join(f";p{n}" for n in range(MAX_ELEMENTS))).params) == MAX_ELEMENTS
        with pytest.raises(ParseError, match="more than"):
            SipUri.parse("sip:h" + ";p" * (MAX_ELEMENTS + 1))


class TestTorture:
    """Request-URIs and addresses of RFC 4475 §3 and RFC 5118 §4."""

    def test_escapes_are_undone_once_4475_3_1_1_3(self) -> None:
        uri = SipUri.parse("sip:sips%3Auser%40example.com@example.net")
        assert (uri.user_text, uri.host) == ("sips:user@example.com", "example.net")
        assert SipUri.parse("sip:%75se%72@example.com").user_text == "user"
        assert SipUri.parse("sip:a%2541@h").user_text == "a%41"

    def test_escaped_parameter_names_are_known_and_values_not_escaped_twice_4475_3_1_1_3(self) -> None:
        uri = SipUri.parse("sip:cal%6Cer@host5.example.net;%6C%72;n%61me=v%61lue%25%34%31")
        assert uri.lr
        assert uri.params == {"lr": None, "name": "v%61lue%25%34%31"}
        assert str(uri) == "sip:cal%6Cer@host5.example.net;lr;name=v%61lue%25%34%31"

    def test_an_escaped_name_contradicts_its_plain_form(self) -> None:
        with pytest.raises(ParseError, match="twice"):
            SipUri.parse("sip:h;ttl=1;%74tl=2")

    def test_a_name_is_put_plainly_only_where_it_reads_the_same(self) -> None:
        uri = SipUri.parse("sip:h;a%3Bb;c%41%3d=d")
        assert uri.params == {"a%3bb": None, "ca%3d": "d"}
        assert SipUri.parse(str(uri)) == uri
        long_name = "%41" * 50
        assert SipUri.parse(f"sip:h;{long_name}").params == {long_name: None}

    def test_null_octets_4475_3_1_1_4(self) -> None:
        assert SipUri.parse("sip:null-%00-null@example.com").user_text == "null-\0-null"
        assert SipUri.parse("sip:%00%00@host5.example.com").user_text == "\0\0"

    def test_octets_that_are_no_utf_8(self) -> None:
        assert SipUri.parse("sip:%ff%C3%A9@h").user_text == "\udcffé"

    def test_semicolons_in_the_user_part_4475_3_1_1_9(self) -> None:
        uri = SipUri.parse("sip:user;par=u%40example.net@example.com")
        assert (uri.user_text, uri.host, uri.params) == ("user;par=u@example.net", "example.com", {})

    def test_a_wild_user_part_4475_3_1_1_2(self) -> None:
        user = "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"
        uri = SipUri.parse(f"sip:{user}:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com")
        assert (uri.user, uri.password) == (user, "&it+has=1,weird!*pas$wo~d_too.(doesn't-it)")

    @pytest.mark.parametrize("text", ["<sip:user@example.com>", "sip:user@example.com; lr", " sip:a@h", "sip:a@h "])
    def test_brackets_and_white_space_do_not_belong_4475_3_1_2_7_and_8(self, text: str) -> None:
        with pytest.raises(ParseError):
            parse_uri(text)

    def test_headers_are_told_from_the_rest_4475_3_1_2_11(self) -> None:
        uri = SipUri.parse("sip:user@example.com?Route=%3Csip:example.com%3E")
        assert (uri.host, uri.headers) == ("example.com", "Route=%3Csip:example.com%3E")

    @pytest.mark.parametrize(
        ("text", "scheme"),
        [
            ("nobodyKnowsThisScheme:totallyopaquecontent", "nobodyknowsthisscheme"),
            ("soap.beep://192.0.2.103:3002", "soap.beep"),
        ],
    )
    def test_foreign_schemes_are_no_syntax_error_4475_3_3_2(self, text: str, scheme: str) -> None:
        uri = parse_uri(text)
        assert isinstance(uri, OtherUri)
        assert uri.scheme == scheme

    def test_ipv6_wants_brackets_5118_4_2(self) -> None:
        assert SipUri.parse("sip:[2001:db8::10]").host_address == "2001:db8::10"
        with pytest.raises(ParseError):
            SipUri.parse("sip:2001:db8::10")

    def test_the_last_group_is_no_port_5118_4_3(self) -> None:
        assert SipUri.parse("sip:[2001:db8::10:5070]").port is None
        unambiguous = SipUri.parse("sip:[2001:db8::10]:5070")
        assert (unambiguous.host_address, unambiguous.port) == ("2001:db8::10", 5070)

    def test_three_colons_5118_4_9(self) -> None:
        assert SipUri.parse("sip:user@[2001:db8:::192.0.2.1]").host_address == "2001:db8::192.0.2.1"


class TestEquivalence:
    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
            ("sip:carol@chicago.com;newparam=5", "sip:carol@chicago.com;security=on"),
            (
                "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
                "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
            ),
            (
                "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
                "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
            ),
            ("sip:a:p%61ss@h", "sip:a:pass@h"),
            ("sip:a%3b@h", "sip:a%3B@h"),
        ],
    )
    def test_pairs_that_match_19_1_4(self, one: str, other: str) -> None:
        assert SipUri.parse(one).equivalent(SipUri.parse(other))
        assert SipUri.parse(other).equivalent(SipUri.parse(one))

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
            ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
            ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
            ("sip:a@h", "sips:a@h"),
            ("sip:a@h", "sip:h"),
            ("sip:a@h", "sip:a:b@h"),
            ("sip:a%3Bb@h", "sip:a;b@h"),
            ("sip:%253B@h", "sip:%3B@h"),
            ("sip:a@h;user=phone", "sip:a@h"),
        ],
    )
    def test_pairs_that_do_not_match_19_1_4(self, one: str, other: str) -> None:
        assert not SipUri.parse(one).equivalent(SipUri.parse(other))
        assert not SipUri.parse(other).equivalent(SipUri.parse(one))

    def test_kinds_do_not_mix(self) -> None:
        sip, tel, other = parse_uri("sip:1@h"), parse_uri("tel:1"), parse_uri("urn:1")
        assert not sip.equivalent(tel)
        assert not tel.equivalent(sip)
        assert not other.equivalent(sip)
        assert other.equivalent(parse_uri("URN:1"))


class TestTelUri:
    @pytest.mark.parametrize(
        ("text", "digits", "is_global"),
        [
            ("tel:+1-201-555-0123", "+12015550123", True),
            ("tel:+1(201)555.0123", "+12015550123", True),
            ("TEL:7042;phone-context=example.com", "7042", False),
            ("tel:863-1234;phone-context=+1-914-555", "8631234", False),
            ("tel:*31%23;phone-context=+1", "*31#", False),
            ("tel:*31#ab;phone-context=+1", "*31#AB", False),
            ("tel:110", "110", False),
        ],
    )
    def test_visual_separators_mean_nothing_3966_3(self, text: str, digits: str, is_global: bool) -> None:
        uri = parse_uri(text)
        assert isinstance(uri, TelUri)
        assert (uri.digits, uri.is_global) == (digits, is_global)

    def test_parameters_3966_3(self) -> None:
        uri = TelUri.parse("tel:+358-555-1234567;Postd=pp22;ext=1-2;isub=1411")
        assert uri.params == {"postd": "pp22", "ext": "1-2", "isub": "1411"}
        assert uri.context == ""

    def test_context_is_a_number_or_a_domain_3966_5_1_5(self) -> None:
        assert TelUri.parse("tel:863-1234;phone-context=+1-914-555").context == "+1914555"
        assert TelUri.parse("tel:863-1234;phone-context=My-Pbx.Example.com").context == "my-pbx.example.com"

    @pytest.mark.parametrize(
        "text",
        [
            "tel:",
            "tel:+",
            "tel:-",
            "tel:+-",
            "tel:()",
            "tel:;ext=1",
            "tel:+1 2",
            "tel:+1a",
            "tel:+1*",
            "tel:1;ext=",
            "tel:1x",
        ],
    )
    def test_what_is_no_number(self, text: str) -> None:
        with pytest.raises(ParseError):
            parse_uri(text)

    def test_equivalence_3966_4(self) -> None:
        same = TelUri.parse("tel:+1-201-555-0123;ext=1-2")
        assert same.equivalent(TelUri.parse("TEL:+12015550123;EXT=12"))
        assert not same.equivalent(TelUri.parse("tel:+12015550123"))
        assert not same.equivalent(TelUri.parse("tel:12015550123;ext=12"))
        local = TelUri.parse("tel:1234;phone-context=+1-9.14")
        assert local.equivalent(TelUri.parse("tel:1234;phone-context=+1914"))
        assert not local.equivalent(TelUri.parse("tel:1234;phone-context=+1915"))


class TestOtherUri:
    @pytest.mark.parametrize(
        "text", ["isbn:2983792873", "http://www.example.com", "name:John_Smith", "urn:service:sos"]
    )
    def test_round_trip(self, text: str) -> None:
        assert str(parse_uri(text)) == text

    @pytest.mark.parametrize("text", ["", "x", ":", "x:", "1x:y", "x:y z", "x:<y>", "x:%y", "*", "x y:z", 'x:"'])
    def test_what_is_no_uri(self, text: str) -> None:
        with pytest.raises(ParseError):
            parse_uri(text)


def test_escaping_a_user_part_25_1() -> None:
    assert escape_user("+1#*(2)") == "+1%23*(2)"
    assert escape_user("a@b:c%d é\udcff") == "a%40b%3Ac%25d%20%C3%A9%FF"


@given(st.text(st.characters(codec="utf-8") | st.characters(min_codepoint=0xDC80, max_codepoint=0xDCFF), min_size=1))
@example("\udcc3\udca9")
def test_an_escaped_user_is_read_as_the_text_it_was(text: str) -> None:
    # Bytes that were split into surrogates may join to UTF-8 again: what is kept are the bytes.
    read = SipUri.parse(f"sip:{escape_user(text)}@h").user_text
    assert read.encode("utf-8", "surrogateescape") == text.encode("utf-8", "surrogateescape")


ESCAPES = st.integers(0, 255).map(lambda code: f"%{code:02X}")


def made_of(characters: str, more: str = "") -> st.SearchStrategy[str]:
    plain = "abcXYZ019-_.!~*'()" + characters
    return st.lists(st.sampled_from(plain) | ESCAPES, min_size=1, max_size=8).map("".join)


HOSTS = (
    st.from_regex(r"[a-z0-9]{1,5}(\.[a-z0-9-]{1,5}){0,3}\.?", fullmatch=True)
    | st.ip_addresses(v=4).map(str)
    | st.ip_addresses(v=6).map(lambda address: f"[{address}]")
)
PARAMS = st.dictionaries(
    st.from_regex(r"[a-z0-9\-_.!~*'()\[\]/:&+$]{1,8}", fullmatch=True), st.none() | made_of("[]/:&+$="), max_size=4
)


@st.composite
def sip_uris(draw: st.DrawFn) -> SipUri:
    user = draw(st.none() | made_of("&=+$,;?/#"))
    return SipUri(
        draw(st.sampled_from(["sip", "sips"])),
        user,
        None if user is None else draw(st.none() | made_of("&=+$,") | st.just("")),
        draw(HOSTS),
        draw(st.none() | st.integers(0, 65535)),
        draw(PARAMS),
        draw(st.just("") | made_of("[]/?:+$&=")),
    )


TEL_URIS = st.builds(
    TelUri,
    st.from_regex(r"\+[\-.()]{0,2}[0-9][0-9\-.()]{0,12}|[0-9A-Fa-f*#][0-9A-Fa-f*#\-.()]{0,9}", fullmatch=True),
    st.dictionaries(st.from_regex(r"[a-z0-9\-]{1,6}", fullmatch=True), st.none() | made_of("[]/:&+$"), max_size=3),
)
OTHER_URIS = st.builds(
    OtherUri,
    st.from_regex(r"[a-z][a-z0-9+.\-]{0,8}", fullmatch=True).filter(
        lambda scheme: scheme not in ("sip", "sips", "tel")
    ),
    made_of(";/?:@&=+$,#[]"),
)


@given(sip_uris() | TEL_URIS | OTHER_URIS)
def test_what_is_written_is_read_again(uri: SipUri | TelUri | OtherUri) -> None:
    assert parse_uri(str(uri)) == uri
    assert str(parse_uri(str(uri))) == str(uri)
    assert uri.equivalent(parse_uri(str(uri)))


@given(sip_uris())
def test_the_common_pattern_is_no_wider_than_the_parser(uri: SipUri) -> None:
    if re.fullmatch(COMMON_SIP_URI, str(uri)):
        SipUri.parse(str(uri))


@given(
    st.text(st.sampled_from('sip:tel+10aA@.[]%2541;=?&<>" \t\r\n\0é\udcff#*-()') | st.characters(), max_size=50),
    st.sampled_from(["", "sip:", "sips:a@", "sip:a@h;", "sip:[", "tel:", "tel:+", "x:"]),
)
def test_any_text_raises_nothing_but_parse_errors(text: str, start: str) -> None:
    parsers: list[Callable[[str], object]] = [parse_uri, SipUri.parse, TelUri.parse, OtherUri.parse]
    for parse in parsers:
        try:
            uri = parse(start + text)
        except ParseError as error:
            assert error.status == 400
        else:
            assert parse(str(uri)) == uri

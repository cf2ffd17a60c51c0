"""name-addr and addr-spec with header parameters (RFC 3261 §20.10, §25.1)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.sip.message.grammar import ParseError, quote
from engine.sip.message.name_addr import NameAddr, parse_name_addrs
from engine.sip.message.uri import OtherUri, SipUri, TelUri


class TestParts:
    @pytest.mark.parametrize(
        ("text", "display", "uri", "params"),
        [
            ('"A" <sip:+1555@127.0.0.1:5060>;tag=x', "A", "sip:+1555@127.0.0.1:5060", {"tag": "x"}),
            ("<sip:h>", "", "sip:h", {}),
            ("<sip:h;lr>;tag=a;x=y", "", "sip:h;lr", {"tag": "a", "x": "y"}),
            ("<sip:h>;x=y;Tag=a", "", "sip:h", {"x": "y", "tag": "a"}),
            ("Alice <sip:a@h>", "Alice", "sip:a@h", {}),
            ("Alice  B. \t <sip:a@h> ", "Alice B.", "sip:a@h", {}),
            ("Jürgen <sip:j@h>", "Jürgen", "sip:j@h", {}),
            ('"\udcff" <sip:j@h>', "\udcff", "sip:j@h", {}),
            ('"" <sip:a@h>', "", "sip:a@h", {}),
            ('"<sip:x@y>;tag=1" <sip:a@h>', "<sip:x@y>;tag=1", "sip:a@h", {}),
            (
                '<sip:a@h>;+sip.instance="<urn:uuid:1>";q=0.5',
                "",
                "sip:a@h",
                {"+sip.instance": '"<urn:uuid:1>"', "q": "0.5"},
            ),
            ("<sip:a@h;ob;x=y?subject=z>", "", "sip:a@h;ob;x=y?subject=z", {}),
            ("<sip:a@[::1]:5060>;tag=1", "", "sip:a@[::1]:5060", {"tag": "1"}),
            ("<tel:+1-555>;tag=1", "", "tel:+1-555", {"tag": "1"}),
        ],
    )
    def test_name_uri_and_parameters(self, text: str, display: str, uri: str, params: dict[str, str | None]) -> None:
        value = NameAddr.parse(text)
        assert (value.display, value.uri_text, value.params) == (display, uri, params)

    def test_without_brackets_the_parameters_are_the_headers_20_10(self) -> None:
        value = NameAddr.parse("sip:a@h;tag=1;x")
        assert value.uri == SipUri("sip", "a", None, "h")
        assert value.params == {"tag": "1", "x": None}
        assert NameAddr.parse("tel:+1555;phone-context=x").params == {"phone-context": "x"}

    def test_the_tag_19_3(self) -> None:
        assert NameAddr.parse("<sip:h>;tag=aB1").tag == "aB1"
        assert NameAddr.parse("<sip:h;tag=uri>").tag == ""

    def test_the_uri_is_typed_and_parsed_once(self) -> None:
        value = NameAddr.parse('"A" <sip:a@H;lr>')
        assert value.uri is value.uri
        assert isinstance(value.uri, SipUri)
        assert (value.uri.host, value.uri.lr) == ("h", True)
        assert isinstance(NameAddr.parse("<tel:1>").uri, TelUri)
        assert isinstance(NameAddr.parse("<http://www.example.com>").uri, OtherUri)

    def test_written_in_one_form(self) -> None:
        assert str(NameAddr.parse("sip:a@h ; tag = 1")) == "<sip:a@h>;tag=1"
        assert str(NameAddr.parse('Al <sip:a@H;Lr>;Tag="x"')) == '"Al" <sip:a@H;Lr>;tag="x"'
        assert str(NameAddr('say "hi"\r\nVia: x', "sip:a")) == r'"say \"hi\"  Via: x" <sip:a>'


class TestTorture:
    @pytest.mark.parametrize(
        ("text", "display", "tag"),
        [
            ("sip:vivekg@chair-dnrc.example.com ;   tag    = 1918181833n", "", "1918181833n"),
            (r'"J Rosenberg \\\""       <sip:jdrosen@example.com>  ;  tag = 98asjd8', 'J Rosenberg \\"', "98asjd8"),
            (
                r'"Quoted string \"\"" <sip:jdrosen@example.com> ; newparam =      newvalue ;  secondparam ; q = 0.33',
                'Quoted string ""',
                "",
            ),
        ],
    )
    def test_odd_white_space_and_escaped_quotes_4475_3_1_1_1(self, text: str, display: str, tag: str) -> None:
        value = NameAddr.parse(text)
        assert (value.display, value.tag) == (display, tag)

    def test_wide_names_and_parameters_4475_3_1_1_2(self) -> None:
        to = NameAddr.parse(
            '"BEL:\\\x07 NUL:\\\x00 DEL:\\\x7f" <sip:1_unusual.URI~(to-be!sure)&isn\'t+it$/crazy?,/;;*@h>'
        )
        assert to.display == "BEL:\x07 NUL:\x00 DEL:\x7f"
        sender = NameAddr.parse(
            "token1~` token2'+_ token3*%!.- <sip:mundane@example.com>"
            ";fromParam''~+*_!.-%=\"работающий\";tag=_token~1'+`*%!-."
        )
        assert sender.display == "token1~` token2'+_ token3*%!.-"
        assert sender.params == {"fromparam''~+*_!.-%": '"работающий"', "tag": "_token~1'+`*%!-."}

    def test_a_percent_in_a_name_is_no_escape_4475_3_1_1_5(self) -> None:
        assert NameAddr.parse('"%Z%45" <sip:resource@example.com>').display == "%Z%45"

    def test_no_space_before_the_bracket_4475_3_1_1_6(self) -> None:
        assert NameAddr.parse("caller<sip:caller@example.com>;tag=323").display == "caller"
        assert NameAddr.parse('"caller"<sip:caller@example.com>;tag=323').tag == "323"

    @pytest.mark.parametrize(
        "text",
        [
            '"Joe" <sip:joe@example.org>;;;;',
            '"Mr. J. User <sip:j.user@example.com>',
            "sip:user@example.com?Route=%3Csip:sip.example.com%3E",
            '"Watson, Thomas" < sip:t.watson@example.org >',
            "Bell, Alexander <sip:a.g.bell@example.com>;tag=43",
            "alan@jasomi.com",
        ],
        ids=["3.1.2.1", "3.1.2.6", "3.1.2.13", "3.1.2.14", "3.1.2.15", "test.dat"],
    )
    def test_malformed_values_of_4475_3_1_2(self, text: str) -> None:
        with pytest.raises(ParseError) as caught:
            NameAddr.parse(text)
        assert caught.value.status == 400

    def test_header_and_uri_parameters_4475_3_3_12_and_13(self) -> None:
        assert NameAddr.parse("sip:+19725552222@gw1.example.net;unknownparam").params == {"unknownparam": None}
        assert NameAddr.parse("<sip:+19725552222@gw1.example.net;unknownparam>").params == {}

    def test_an_escaped_header_in_a_contact_4475_3_3_14(self) -> None:
        uri = NameAddr.parse("<sip:user@example.com?Route=%3Csip:sip.example.com%3E>").uri
        assert isinstance(uri, SipUri)
        assert uri.headers == "Route=%3Csip:sip.example.com%3E"

    def test_foreign_schemes_4475_3_3_4(self) -> None:
        for text in ("isbn:2983792873", "<http://www.example.com>;tag=3234233", "<name:John_Smith>"):
            assert isinstance(NameAddr.parse(text).uri, OtherUri)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "*",
        "<>",
        "<sip:a@b",
        "sip:a@b>",
        "<sip:a@b>x",
        "<sip:a@b><sip:c@d>",
        "<<sip:a@b>>",
        "<sip:a@b>;",
        "<sip:a@b>;tag=1;tag=2",
        "<sip:a@b:99999>",
        "<sip:a@[1::2::3]>",
        "<sip:a@b;x=1;x=2>",
        "A;B <sip:a@b>",
        'A"B" <sip:a@b>',
        '"A" B <sip:a@b>',
        "A\\B <sip:a@b>",
        '"A',
        '"A"',
        '"A\x07" <sip:a@b>',
        "sip:a@b,sip:c@d",
        "sip:a@b;x=y,z",
        "<sip:a@b>, <sip:c@d>",
        "<sip:a@b>;x=\r\n",
    ],
)
def test_what_is_no_name_addr(text: str) -> None:
    with pytest.raises(ParseError):
        NameAddr.parse(text)


class TestLists:
    def test_one_field_or_several_7_3_1(self) -> None:
        fields = ['<sip:a;lr>, "B, b" <sip:b@h>;q=1 ,sip:c@d;x', "<sip:e>"]
        assert [value.uri_text for value in parse_name_addrs(fields)] == ["sip:a;lr", "sip:b@h", "sip:c@d", "sip:e"]

    def test_nothing_gives_nothing(self) -> None:
        assert parse_name_addrs([]) == []
        assert parse_name_addrs([" "]) == []

    @pytest.mark.parametrize("text", ["*", "<sip:a>,", "<sip:a>, *", "<sip:a>,,<sip:b>", '<sip:a>, "'])
    def test_a_list_is_good_as_a_whole(self, text: str) -> None:
        with pytest.raises(ParseError):
            parse_name_addrs([text])


TOKENS = st.from_regex(r"[a-z0-9\-.!%*_+`'~]{1,8}", fullmatch=True)
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=20)


@given(
    NAMES,
    st.sampled_from(["sip:a@h", "sips:h:5061;lr", "sip:a;b?c@[::1];x=y;z?h=i", "tel:+1-2;ext=3", "urn:service:sos"]),
    st.dictionaries(TOKENS, st.none() | TOKENS | NAMES.map(quote), max_size=4),
)
def test_what_is_written_is_read_again(display: str, uri: str, params: dict[str, str | None]) -> None:
    value = NameAddr(display, uri, params)
    assert NameAddr.parse(str(value)) == value
    assert str(NameAddr.parse(str(value))) == str(value)
    assert parse_name_addrs([f"{value}, {value}"]) == [value, value]


@given(
    st.text(st.sampled_from('<>"\\;,= :@%?[]*sipa1.\t\r\n\0é\udcff') | st.characters(), max_size=50),
    st.sampled_from(["", "<sip:", '"', '"a" <sip:a@h>', "sip:a@h", "A <"]),
)
def test_any_text_raises_nothing_but_parse_errors(text: str, start: str) -> None:
    try:
        value = NameAddr.parse(start + text)
    except ParseError as error:
        assert error.status == 400
    else:
        assert NameAddr.parse(str(value)) == value
        assert value.uri is not None
    try:
        parse_name_addrs([start + text])
    except ParseError as error:
        assert error.status == 400

"""Request-URI, tech headers and identity of an attempt: what a trunk is sent."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.sip.message.name_addr import NameAddr
from engine.sip.message.uri import SipUri
from routing.directory.trunk import Trunk
from routing.hunt.identity import ANONYMOUS_FROM, NO_CALLER, CallerIdentity, caller_headers, display
from routing.models.provider import Provider
from routing.numbers.dial_string import escaped, formatted

TARGET = "+15551234567"
CALLER = CallerIdentity(number="+14155551234", name="Bob")
DOMAIN = "198.51.100.1"
PAI = "P-Asserted-Identity"
RPID = "Remote-Party-ID"


def trunk(**values: Any) -> Trunk:
    return Trunk.of(Provider.model_validate({"name": "t", "hostname": "host.example", **values}))


@pytest.mark.parametrize(
    ("values", "request_uri"),
    [
        ({}, "sip:+15551234567@host.example"),
        ({"tech_prefix": "1"}, "sip:1+15551234567@host.example"),
        ({"tech_postfix": "@provider.com"}, "sip:+15551234567@provider.com"),
        ({"tech_prefix": "1", "tech_postfix": "@provider.com"}, "sip:1+15551234567@provider.com"),
        ({"tech_postfix": "#9@provider.com:5070"}, "sip:+15551234567%239@provider.com:5070"),
        ({"tech_postfix": "99"}, "sip:+1555123456799@host.example"),
        ({"tech_postfix": "@[2001:db8::1]"}, "sip:+15551234567@[2001:db8::1]"),
        ({"hostname": "127.0.0.2:5080", "tech_prefix": "2"}, "sip:2+15551234567@127.0.0.2:5080"),
        ({"tech_prefix": "9#"}, "sip:9%23+15551234567@host.example"),
        ({"tech_prefix": "9%23"}, "sip:9%23+15551234567@host.example"),
        ({"tech_prefix": "a@b:c "}, "sip:a%40b%3Ac%20+15551234567@host.example"),
        ({"tech_prefix": "50%"}, "sip:50%25+15551234567@host.example"),
        ({"tech_prefix": "%2x%41"}, "sip:%252x%41+15551234567@host.example"),
        ({"tech_prefix": "\u00fc"}, "sip:%C3%BC+15551234567@host.example"),
        ({"tech_prefix": '<>"'}, "sip:%3C%3E%22+15551234567@host.example"),
        ({"tech_prefix": "*#;=,"}, "sip:*%23;=,+15551234567@host.example"),
        ({"number_format": "plain"}, "sip:15551234567@host.example"),
        ({"number_format": "plain", "tech_prefix": "00"}, "sip:0015551234567@host.example"),
        ({"number_format": "national"}, "sip:5551234567@host.example"),
        ({"number_format": "national", "tech_prefix": "9"}, "sip:95551234567@host.example"),
        ({"user_is_phone": True}, "sip:+15551234567@host.example;user=phone"),
    ],
)
def test_dial_strings(values: dict[str, Any], request_uri: str) -> None:
    made = trunk(**values)
    for _ in range(2):  # shaped afresh: a second attempt is like the first
        assert made.request_uri(TARGET) == request_uri
    SipUri.parse(request_uri)


def test_formats_of_other_countries() -> None:
    assert formatted("+442079460123", "national") == "02079460123"
    assert formatted("+442079460123", "plain") == "442079460123"
    assert formatted("+442079460123", "e164") == "+442079460123"


@pytest.mark.parametrize(
    ("values", "destination"),
    [
        ({}, "sip:host.example"),  # RFC 3263 §4.1: its NAPTR records choose
        ({"transport": "udp"}, "sip:host.example;transport=udp"),  # unless the operator has chosen
        ({"hostname": "host.example:5080"}, "sip:host.example:5080;transport=udp"),  # a port leaves nothing to ask
        ({"hostname": "127.0.0.2"}, "sip:127.0.0.2;transport=udp"),
        ({"transport": "tcp", "hostname": "127.0.0.2:5080"}, "sip:127.0.0.2:5080;transport=tcp"),
        ({"transport": "tls", "hostname": "[::1]"}, "sip:[::1];transport=tls"),
        ({"tech_postfix": "@elsewhere.example"}, "sip:host.example"),
    ],
)
def test_the_request_goes_to_the_hostname_whatever_the_request_uri_says(
    values: dict[str, Any], destination: str
) -> None:
    assert trunk(**values).destination == destination
    SipUri.parse(destination)


@given(st.text(max_size=40))
def test_escaping_is_safe_and_done_once(text: str) -> None:
    once = escaped(text)
    assert re.fullmatch(r"(?:[A-Za-z0-9\-_.!~*'()&=+$,;?/]|%[0-9A-Fa-f]{2})*", once)
    assert escaped(once) == once


# Identity

BOB = '"Bob" <sip:+14155551234@198.51.100.1>'


@pytest.mark.parametrize(
    ("anonymous", "private", "hidden"),
    [("no", False, False), ("no", True, False), ("yes", False, True), ("auto", False, False), ("auto", True, True)],
)
def test_when_the_caller_is_hidden(anonymous: Any, private: bool, hidden: bool) -> None:
    caller = CallerIdentity(number="+14155551234", name="Bob", private=private, anonymous=anonymous)
    from_, headers = caller_headers(trunk(), caller, DOMAIN)
    if hidden:
        assert from_ == ANONYMOUS_FROM == '"Anonymous" <sip:anonymous@anonymous.invalid>'
        assert headers == [(PAI, BOB), ("Privacy", "id")]
    else:
        assert from_ == BOB
        assert headers == [(PAI, BOB)]


def test_auto_is_no_where_there_is_no_caller() -> None:
    assert not NO_CALLER.hidden
    # Nothing is known to be shown, and nothing is asked to be kept private.
    assert caller_headers(trunk(), NO_CALLER, DOMAIN) == (ANONYMOUS_FROM, [])
    assert caller_headers(trunk(from_user="acct"), NO_CALLER, DOMAIN) == (f"<sip:acct@{DOMAIN}>", [])


@pytest.mark.parametrize(
    ("carry", "shown", "hidden"),
    [
        ([], [], [("Privacy", "id")]),
        ([PAI], [(PAI, BOB)], [(PAI, BOB), ("Privacy", "id")]),
        ([RPID], [(RPID, f"{BOB};party=calling;screen=yes;privacy=off")], [("Privacy", "id")]),
        (["Diversion"], [], [("Privacy", "id")]),  # nobody has diverted this call, least of all its caller
        (
            [PAI, RPID, "Diversion"],
            [
                (PAI, BOB),
                (RPID, f"{BOB};party=calling;screen=yes;privacy=off"),
            ],
            [(PAI, BOB), ("Privacy", "id")],
        ),
    ],
)
def test_which_headers_carry_identity(
    carry: list[str], shown: list[tuple[str, str]], hidden: list[tuple[str, str]]
) -> None:
    made = trunk(caller_id_headers=carry)
    assert caller_headers(made, CALLER, DOMAIN) == (BOB, shown)
    assert caller_headers(made, CallerIdentity(number=CALLER.number, name=CALLER.name, anonymous="yes"), DOMAIN) == (
        ANONYMOUS_FROM,
        hidden,
    )


def test_a_hidden_caller_without_a_number_asserts_nothing() -> None:
    assert caller_headers(trunk(), CallerIdentity(anonymous="yes"), DOMAIN) == (ANONYMOUS_FROM, [("Privacy", "id")])


def test_diversion_names_who_forwards() -> None:
    made = trunk(caller_id_headers=["Diversion"])
    caller = CallerIdentity(number="+14155551234", diverted_by="+15550001111")
    assert caller_headers(made, caller, DOMAIN)[1] == [
        ("Diversion", f"<sip:+15550001111@{DOMAIN}>;reason=unconditional")
    ]
    assert [name for name, _ in caller_headers(trunk(), caller, DOMAIN)[1]] == [PAI]  # only where the provider wants it


@pytest.mark.parametrize(
    ("values", "from_"),
    [
        ({"from_user": "acct"}, f'"Bob" <sip:acct@{DOMAIN}>'),
        ({"from_domain": "us.example"}, '"Bob" <sip:+14155551234@us.example>'),
        ({"from_user": "a b", "from_domain": "us.example:5070"}, '"Bob" <sip:a%20b@us.example:5070>'),
        ({"contact_host": "sbc1.example.com:5061"}, '"Bob" <sip:+14155551234@sbc1.example.com>'),
        ({"contact_host": "sbc1.example.com", "from_domain": "us.example"}, '"Bob" <sip:+14155551234@us.example>'),
        ({"user_is_phone": True}, f'"Bob" <sip:+14155551234@{DOMAIN};user=phone>'),
        ({"user_is_phone": True, "from_user": "acct"}, f'"Bob" <sip:acct@{DOMAIN}>'),
    ],
)
def test_from_can_be_overridden(values: dict[str, Any], from_: str) -> None:
    assert caller_headers(trunk(**values), CALLER, DOMAIN)[0] == from_
    assert SipUri.parse(NameAddr.parse(from_).uri_text)
    assert caller_headers(trunk(**values), CallerIdentity(number="+1", anonymous="yes"), DOMAIN)[0] == ANONYMOUS_FROM


@pytest.mark.parametrize(
    ("values", "user"),
    [
        ({}, "+14155551234"),
        ({"number_format": "plain"}, "14155551234"),
        ({"number_format": "national"}, "4155551234"),
        ({"number_format": "plain", "caller_number_format": "e164"}, "+14155551234"),
        ({"caller_number_format": "plain"}, "14155551234"),
        ({"caller_number_format": "national"}, "4155551234"),
    ],
)
def test_the_callers_number_has_the_form_that_the_provider_wants(values: dict[str, Any], user: str) -> None:
    made = trunk(caller_id_headers=[PAI, RPID, "Diversion"], **values)
    caller = CallerIdentity(number="+14155551234", asserted="+14155551234", diverted_by="+14155551234")
    from_, headers = caller_headers(made, caller, DOMAIN)
    assert [f"<sip:{user}@" in value for value in (from_, *(value for _, value in headers))] == [True] * 4


@pytest.mark.parametrize("number", ["201", "alice", ""])
def test_what_is_no_number_has_no_other_form(number: str) -> None:
    made = trunk(number_format="plain")
    assert caller_headers(made, CallerIdentity(number=number), DOMAIN)[0] == (
        f"<sip:{number}@{DOMAIN}>" if number else ANONYMOUS_FROM
    )


def test_the_asserted_number_is_the_callers_whatever_from_says() -> None:
    headers = caller_headers(trunk(from_user="acct", user_is_phone=True), CALLER, DOMAIN)[1]
    assert headers == [(PAI, '"Bob" <sip:+14155551234@198.51.100.1;user=phone>')]


def test_an_identity_header_set_by_hand_replaces_ours() -> None:
    made = trunk(tech_headers={"p-asserted-identity": "<sip:+1999@x>"}, caller_id_headers=[PAI, RPID])
    assert [name for name, _ in caller_headers(made, CALLER, DOMAIN)[1]] == [RPID]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("", ""),
        ("Bob", '"Bob" '),
        ('B"o\\b', '"B\\"o\\\\b" '),
        ("J\u00fcrgen \u65e5\u672c", '"J\u00fcrgen \u65e5\u672c" '),
        ("a\r\nVia: x", '"a Via: x" '),
        ("a\0b\x7f", '"a b" '),
        ("\r\n", ""),
        ("  x  ", '"x" '),
        ("\udcff", '"?" '),
        ("n" * 200, f'"{"n" * 128}" '),
        ("n" * 127 + '"', f'"{"n" * 127}\\"" '),
    ],
)
def test_display_names(name: str, shown: str) -> None:
    assert display(name) == shown


@given(st.text(max_size=30), st.text(max_size=60), st.text(max_size=30), st.booleans())
def test_nothing_a_caller_sends_can_inject_a_header(number: str, name: str, by: str, private: bool) -> None:
    made = trunk(caller_id_headers=[PAI, RPID, "Diversion"])
    from_, headers = caller_headers(
        made, CallerIdentity(number=number, name=name, private=private, diverted_by=by), DOMAIN
    )
    for value in (from_, *(value for _, value in headers)):
        assert not re.search(r"[\r\n\0]", value)
        value.encode()
    parsed = NameAddr.parse(from_)
    assert parsed.params == {}
    uri = SipUri.parse(parsed.uri_text)
    assert uri.host in (DOMAIN, "anonymous.invalid")
    assert {header for header, _ in headers} <= {PAI, RPID, "Diversion", "Privacy"}
    for header, value in headers:
        if header != "Privacy":
            assert SipUri.parse(NameAddr.parse(value).uri_text).host == DOMAIN


TEXTS = st.text(max_size=20)


@given(TEXTS, TEXTS, TEXTS)
def test_nothing_a_provider_is_given_can_break_the_request_line(prefix: str, postfix: str, from_user: str) -> None:
    try:
        made = trunk(tech_prefix=prefix, tech_postfix=postfix, from_user=from_user)
    except ValueError:
        return
    uri = SipUri.parse(made.request_uri(TARGET))
    assert uri.host == "host.example" or "@" in postfix
    from_, _ = caller_headers(made, CALLER, DOMAIN)
    assert SipUri.parse(NameAddr.parse(from_).uri_text).host == DOMAIN

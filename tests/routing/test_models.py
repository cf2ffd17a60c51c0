"""Fields, defaults and checks of numbers, providers and routes."""

from typing import Any
from uuid import UUID

import pytest
from pydantic import ValidationError

from routing.hostnames import parse_host_port
from routing.identifiers import NIL, named_id
from routing.models.codes import canonical_codes, expand_codes
from routing.models.fields import reason_of
from routing.models.number import Number
from routing.models.provider import Provider
from routing.models.route import Route
from routing.settings import RoutingSettings

SOME_ID = UUID("4dbeabd6-f397-4375-95d2-a38411e07ed1")


def fault(model: type[Any], values: dict[str, Any]) -> tuple[str, str, tuple[Any, ...]]:
    """Message, reason and place of the one fault that `values` have."""
    with pytest.raises(ValidationError) as caught:
        model(**values)
    errors = caught.value.errors()
    assert len(errors) == 1, errors
    return errors[0]["msg"], reason_of(dict(errors[0])), errors[0]["loc"]


def test_a_provider_as_other_apis_show_it_loads_unchanged() -> None:
    provider = Provider.model_validate(
        {
            "id": "4dbeabd6-f397-4375-95d2-a38411e07ed1",
            "type": "sip",
            "hostname": "sip.telnyx.com",
            "tech_prefix": "",
            "tech_postfix": "",
            "tech_headers": {},
            "name": "telnyx basic",
            "detail": "telnyx basic",
            "tm_create": "2022-10-22 16:16:16.874761",
            "tm_update": "2022-10-24 04:53:14.171374",
            "tm_delete": "9999-01-01 00:00:00.000000",
        }
    )
    assert provider.id == SOME_ID
    assert provider.model_dump(include={"transport", "enabled", "inbound_addresses", "username", "realm"}) == {
        "transport": "udp",
        "enabled": True,
        "inbound_addresses": [],
        "username": "",
        "realm": "",
    }


def test_defaults_of_a_provider() -> None:
    provider = Provider(hostname="sip.example.com")
    assert (provider.no_reply_timeout, provider.no_progress_timeout, provider.ring_timeout) == (4, 15, 60)
    assert provider.caller_id_headers == ["P-Asserted-Identity"]
    assert provider.number_format == "e164"
    assert (provider.max_channels, provider.max_cps) == (0, 0)
    assert provider.failover_codes == ["3xx", 401, 402, 403, 405, 406, 407, 408, 415, 420, 421, 423, 488, "5xx"]
    assert provider.stop_codes == [] and provider.codecs == "" and provider.user_is_phone is False
    assert provider.health_status == "unknown"


def test_ids_follow_from_names_and_numbers_so_that_reloads_keep_them() -> None:
    assert Provider(name="primary", hostname="h").id == named_id("provider", "primary")
    assert Provider(hostname="h").id != Provider(hostname="h").id
    assert Provider(id=SOME_ID, name="primary", hostname="h").id == SOME_ID
    assert Number(number="+1 555 123 4567").id == Number(number="+15551234567").id != NIL
    assert Route(provider_id=SOME_ID).id == Route(provider_id=SOME_ID).id
    assert Route(provider_id=SOME_ID, priority=1).id != Route(provider_id=SOME_ID).id
    assert named_id("flow", "a") != named_id("provider", "a")


def test_secrets_are_not_shown() -> None:
    assert "s3cret" not in repr(Provider(hostname="h", username="u", password="s3cret"))


@pytest.mark.parametrize(
    ("number", "kind"), [("+15551234567", "normal"), ("+899100000001", "virtual"), ("+89 910 000 0001", "virtual")]
)
def test_the_type_is_inferred(number: str, kind: str) -> None:
    made = Number(number=number)
    assert made.type == kind
    assert made.kind == ("virtual" if kind == "virtual" else "")
    assert Number.model_validate({"number": number, "type": kind}).type == kind


@pytest.mark.parametrize(
    ("values", "reason", "words"),
    [
        ({"number": "555"}, "INVALID_NUMBER", "'555' is no number; write +"),
        ({"number": "+89912"}, "VIRTUAL_NUMBER_FORMAT_INVALID", "exactly nine digits"),
        ({"number": "+15551234567", "type": "virtual"}, "INVALID_NUMBER", "is a normal number; leave type out"),
        ({"number": "+899100000001", "type": "normal"}, "INVALID_NUMBER", "is a virtual number; leave type out"),
        ({"number": "+899100000001", "provider_id": SOME_ID}, "INVALID_NUMBER", "arrives on no trunk"),
        ({"number": "+899100000001", "kind": "mobile"}, "INVALID_NUMBER", "leave kind out"),
        ({"number": "+15551234567", "kind": "virtual"}, "INVALID_NUMBER", "cannot be of the kind virtual"),
        ({"number": "+15551234567", "status": "lost"}, "INVALID_REQUEST_PARAMETER", "'available', 'active'"),
        ({"number": "+15551234567", "callflow": "x"}, "INVALID_REQUEST_PARAMETER", "not permitted"),
        ({"number": "+15551234567", "name": "a\r\nb"}, "INVALID_REQUEST_PARAMETER", "control character"),
        ({"number": "+15551234567", "country": "\ud800"}, "INVALID_REQUEST_PARAMETER", "UTF-8"),
        ({}, "MISSING_REQUEST_PARAMETER", "required"),
    ],
)
def test_numbers_that_are_refused(values: dict[str, Any], reason: str, words: str) -> None:
    message, found, _ = fault(Number, values)
    assert found == reason and words in message


def test_strict_numbers_come_with_the_context() -> None:
    Number.model_validate({"number": "+15551234567"})
    with pytest.raises(ValidationError, match="not in use"):
        Number.model_validate({"number": "+15551234567"}, context={"numbering": RoutingSettings(strict=True)})


@pytest.mark.parametrize(
    ("hostname", "host", "port", "address"),
    [
        ("sip.example.com", "sip.example.com", None, ""),
        ("sip.example.com:5080", "sip.example.com", 5080, ""),
        ("sip.example.com.", "sip.example.com.", None, ""),
        ("localhost", "localhost", None, ""),
        ("127.0.0.2:5080", "127.0.0.2", 5080, "127.0.0.2"),
        ("[2001:DB8::1]:5061", "[2001:DB8::1]", 5061, "2001:db8::1"),
        ("[::1]", "[::1]", None, "::1"),
        ("a-b.1x.de", "a-b.1x.de", None, ""),
    ],
)
def test_hostnames(hostname: str, host: str, port: int | None, address: str) -> None:
    parsed = parse_host_port(hostname)
    assert parsed == (host, port)
    assert parsed.address == address
    assert Provider(hostname=hostname).hostname == hostname


@pytest.mark.parametrize(
    ("hostname", "words"),
    [
        ("", "the host is empty"),
        ("sip:example.com", "is a URI; write the host alone"),
        ("https://example.com", "is a URI"),
        ("example.com;transport=tcp", "without parameters"),
        ("user@example.com", "user part"),
        ("exa mple.com", "more than a host"),
        ("example.com\r\nX: y", "more than a host"),
        ("2001:db8::1", "put it in brackets"),
        ("[2001:db8::1", "no closing bracket"),
        ("[2001:zz::1]", "no IPv6 address"),
        ("[fe80::1%eth0]", "has a zone"),
        ("[::1]5060", "only :port may stand there"),
        ("example.com:0", "no valid port"),
        ("example.com:70000", "no valid port"),
        ("example.com:sip", "no valid port"),
        ("example.com:", "no valid port"),
        ("300.1.2.3", "no IPv4 address"),
        ("1.2.3", "no IPv4 address"),
        ("under_score.com", "no host name"),
        ("-a.com", "no host name"),
        ("a..com", "no host name"),
        ("a" * 64 + ".com", "no host name"),
        (".".join(["a" * 60] * 5), "no host name"),
        ("b\u00fccher.de", "xn--"),
    ],
)
def test_hostnames_that_are_refused(hostname: str, words: str) -> None:
    message, reason, place = fault(Provider, {"hostname": hostname})
    assert words in message and place == ("hostname",) and reason == "INVALID_REQUEST_PARAMETER"
    if hostname:
        assert words in fault(Provider, {"hostname": "h", "from_domain": hostname})[0]
        assert words in fault(Provider, {"hostname": "h", "contact_host": hostname})[0]
    if "\r" not in hostname and len(hostname) < 127:
        assert words in fault(Provider, {"hostname": "h", "tech_postfix": "x@" + hostname})[0]


def test_a_peer_is_shown_no_ipv6_address() -> None:
    assert "an IPv6 address" in fault(Provider, {"hostname": "h", "contact_host": "[2001:db8::1]:5061"})[0]
    assert Provider(hostname="h", contact_host="192.0.2.1").contact_host == "192.0.2.1"


@pytest.mark.parametrize("name", ["sip.example.com:5061", "192.0.2.1", "a b", "sips:example.com", "*.example.com", ""])
def test_names_of_client_certificates_that_are_refused(name: str) -> None:
    assert fault(Provider, {"hostname": "h", "tls_client_names": [name]})[1] == "INVALID_REQUEST_PARAMETER"
    assert Provider(hostname="h", tls_client_names=["sip:a.example", "B.example."]).tls_client_names


PROTECTED = [
    "Via",
    "From",
    "To",
    "Call-ID",
    "CSeq",
    "Contact",
    "Max-Forwards",
    "Route",
    "Record-Route",
    "Content-Length",
    "Content-Type",
    "Require",
]


@pytest.mark.parametrize("name", [*PROTECTED, *map(str.upper, PROTECTED), "v", "f", "t", "i", "m", "l", "c", "V"])
def test_headers_that_the_dialog_lives_by_cannot_be_set(name: str) -> None:
    message, reason, place = fault(Provider, {"hostname": "h", "tech_headers": {"X-Ok": "1", name: "x"}})
    assert reason == "INVALID_TECH_HEADER" and place == ("tech_headers",)
    assert f"header '{name}'" in message and "belongs to the dialog" in message


@pytest.mark.parametrize(
    "name", ["", "X Account", "X:Account", "X-Acc\u00f6unt", "X\r\nVia", "X@", "(x)", "x" * 200, "X\0"]
)
def test_header_names_that_are_no_token(name: str) -> None:
    message, reason, _ = fault(Provider, {"hostname": "h", "tech_headers": {name: "x"}})
    assert reason == "INVALID_TECH_HEADER"
    assert repr(name) in message or not name


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("a\r\nVia: x", "a carriage return"),
        ("a\nb", "a line feed"),
        ("a\0b", "a NUL"),
        ("x" * 5000, "more than 4096"),
        ("\ud800", "UTF-8"),
    ],
)
def test_header_values_that_are_refused_name_the_header(value: str, words: str) -> None:
    message, reason, _ = fault(Provider, {"hostname": "h", "tech_headers": {"X-Account": value}})
    assert reason == "INVALID_TECH_HEADER" and "'X-Account'" in message and words in message


def test_header_values_are_kept_verbatim_and_in_order() -> None:
    headers = {"X-B": "  {curly} \u00fc \u65e5\u672c\t", "X-A": "", "X-Account": "42", "Supported": "100rel", "k": "x"}
    assert list(Provider(hostname="h", tech_headers=headers).tech_headers.items()) == list(headers.items())


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"no_reply_timeout": -1}, "-1 s is no time to wait"),
        ({"no_progress_timeout": 0}, "0 s is no time to wait"),
        ({"ring_timeout": 4000}, "up to 3600"),
        ({"ring_timeout": float("nan")}, "finite"),
        ({"max_channels": -1}, "greater than or equal to 0"),
        ({"max_cps": -1}, "greater than or equal to 0"),
        ({"transport": "sctp"}, "'udp', 'tcp' or 'tls'"),
        ({"type": "pstn"}, "'sip'"),
        ({"number_format": "e.164"}, "'e164', 'plain' or 'national'"),
        ({"tech_prefix": "1\r\n"}, "control character"),
        ({"tech_postfix": "\0"}, "control character"),
        ({"tech_postfix": "@a@b"}, "more than a host"),
        ({"from_user": "a\nb"}, "control character"),
        ({"username": "a\nb"}, "control character"),
        ({"password": "a\nb"}, "control character"),
        ({"realm": "a\rb"}, "control character"),
        ({"name": "a\rb"}, "control character"),
        ({"codecs": "PCMU PCMA"}, "no list of codecs"),
        ({"failover_codes": [200]}, "200 is no final status"),
        ({"failover_codes": ["7xx"]}, "'7xx' is no final status"),
        ({"stop_codes": "486"}, "is no list of statuses"),
        ({"inbound_addresses": ["example.com"]}, "no address or network"),
        ({"inbound_addresses": ["10.0.0.1/8"]}, "write 10.0.0.0/8"),
        ({"inbound_addresses": ["0.0.0.0/0"]}, "every address there is"),
        ({"inbound_addresses": ["::ffff:0:0/96"]}, "every address there is"),
        ({"hostnames": "x"}, "not permitted"),
        ({"tech_prefix": 1}, "valid string"),
    ],
)
def test_providers_that_are_refused(values: dict[str, Any], words: str) -> None:
    message, reason, place = fault(Provider, {"hostname": "h", **values})
    assert words in message and reason == "INVALID_REQUEST_PARAMETER" and place[0] == next(iter(values))


def test_messages_repeat_braces_as_they_are() -> None:
    assert "'{x}'" in fault(Provider, {"hostname": "{x}"})[0]


def test_codec_lists() -> None:
    for codecs in ("", "PCMU", "PCMA,PCMU", "opus/48000/2, G722"):
        assert Provider(hostname="h", codecs=codecs).codecs == codecs


@pytest.mark.parametrize("target", ["all", "+1", "+44", "+4420", "+821012345678"])
def test_targets(target: str) -> None:
    route = Route(provider_id=SOME_ID, target=target)
    assert route.prefix == ("" if target == "all" else target)


@pytest.mark.parametrize(
    ("values", "reason", "words"),
    [
        ({"target": "44"}, "INVALID_REQUEST_PARAMETER", "'44' is no target; write all, +"),
        ({"target": "+"}, "INVALID_REQUEST_PARAMETER", "is no target"),
        ({"target": ""}, "INVALID_REQUEST_PARAMETER", "is no target"),
        ({"target": "+0"}, "INVALID_REQUEST_PARAMETER", "is no target"),
        ({"target": "+1234567890123456"}, "INVALID_REQUEST_PARAMETER", "is no target"),
        ({"target": "+8991"}, "INVALID_REQUEST_PARAMETER", "is virtual"),
        ({"weight": -1}, "INVALID_REQUEST_PARAMETER", "greater than or equal to 0"),
        ({"priority": 10**9}, "INVALID_REQUEST_PARAMETER", "less than or equal"),
        ({"ring_timeout": -5}, "INVALID_REQUEST_PARAMETER", "-5 s is no time to wait"),
        ({"stop_codes": [99]}, "INVALID_REQUEST_PARAMETER", "99 is no final status"),
        ({"provider_id": NIL}, "PROVIDER_NOT_FOUND", "names no provider"),
        ({"provder": "x"}, "INVALID_REQUEST_PARAMETER", "not permitted"),
    ],
)
def test_routes_that_are_refused(values: dict[str, Any], reason: str, words: str) -> None:
    message, found, _ = fault(Route, {"provider_id": SOME_ID, **values})
    assert words in message and found == reason


def test_defaults_of_a_route() -> None:
    route = Route(provider_id=SOME_ID)
    assert (route.priority, route.weight, route.target, route.enabled, route.customer_id) == (0, 1, "all", True, NIL)
    assert route.failover_codes is None and route.stop_codes is None and route.ring_timeout is None
    assert Route(provider_id=SOME_ID, failover_codes=None).failover_codes is None


def test_codes_are_put_into_one_form_and_expanded() -> None:
    assert canonical_codes([503, "503", 503.0, "5XX", "5xx", "486"]) == [503, "5xx", 486]  # in JSON, 503.0 is 503
    assert expand_codes(["3xx", 486]) == frozenset(range(300, 400)) | {486}
    for wrong in (True, 299, 700, "50", "0503", "2xx", "", None, 503.5, "\u0665\u0660\u0663"):
        with pytest.raises(ValueError, match="is no final status"):
            canonical_codes([wrong])

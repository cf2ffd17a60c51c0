"""What a trunk delivers a call for: where the number stands, and in which country's form (RFC 7315 §4.2)."""

from collections.abc import Iterator
from typing import Any

import pytest

from config.faults import ConfigurationError
from tests.simulation.node import ENGINE, World, configured
from tests.simulation.peer import OFFER

CARRIER, OTHER, GUEST = "198.51.100.1", "198.51.100.2", "203.0.113.9"
OURS, SECOND, GERMAN, BRITISH = "+15551234567", "+15551234568", "+493012345678", "+442079460123"


def made(patch: pytest.MonkeyPatch, default_country: str, provider: dict[str, Any]) -> World:
    numbers = [(OURS, "carrier"), (SECOND, "carrier"), (GERMAN, "carrier"), (BRITISH, "other")]
    return World(
        patch,
        configured(
            numbering={"default_country": default_country},
            providers=[
                {"name": "carrier", "hostname": CARRIER, "inbound_addresses": [f"{CARRIER}/32"]} | provider,
                {"name": "other", "hostname": OTHER, "inbound_addresses": [f"{OTHER}/32"]},
            ],
            numbers=[{"number": number, "provider": trunk, "call_flow": "busy"} for number, trunk in numbers],
            flows=[{"name": "busy", "actions": [{"type": "reject", "option": {"code": 486}}]}],
        ),
    )


@pytest.fixture
def worlds(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    known: list[World] = []

    def make(default_country: str = "", **provider: Any) -> World:
        known.append(made(monkeypatch, default_country, provider))
        return known[-1]

    yield make
    for world in known:
        world.close()


def status(world: World, uri: str, to: str = "", headers: str = "", source: str = CARRIER) -> int:
    """What a call gets: 486 where it was for a number of ours."""
    caller = world.phone(source)
    lines = [
        f"INVITE {uri} SIP/2.0",
        f"Via: SIP/2.0/UDP {source}:5060;branch=z9hG4bK{caller.call_id}{caller.branches}",
        "Max-Forwards: 70",
        "From: <sip:+15550001111@x>;tag=f",
        f"To: {to or f'<{uri}>'}",
        f"Call-ID: {caller.call_id}-{caller.branches}",
        "CSeq: 1 INVITE",
        f"Contact: <sip:a@{source}>",
        "Content-Type: application/sdp",
    ]
    head = "\r\n".join(lines) + f"\r\n{headers}Content-Length: {len(OFFER)}\r\n\r\n"
    caller.say(head.encode() + OFFER)
    world.wait(0.3)
    return caller.final("INVITE").status


ACCOUNT = f"sip:trunk4711@{ENGINE}"
PILOT = f"sip:+15559999999@{ENGINE}"
PCPI = f"P-Called-Party-ID: <sip:{OURS}@x>\r\n"


@pytest.mark.parametrize(
    ("place", "uri", "to", "headers", "found"),
    [
        ("request_uri", f"sip:{OURS}@{ENGINE}", "<sip:nobody@x>", "", True),
        ("request_uri", ACCOUNT, f"<sip:{OURS}@x>", "", True),  # a name is nobody's number: the others are asked
        ("request_uri", ACCOUNT, "<sip:trunk4711@x>", PCPI, True),
        ("request_uri", f"sip:{ENGINE}", f"<sip:{OURS}@x>", "", True),  # and so is none at all
        ("request_uri", PILOT, f"<sip:{OURS}@x>", PCPI, False),  # a number is what it is
        ("to", PILOT, f"<sip:{OURS}@x>", "", True),
        ("to", PILOT, f"<tel:{OURS}>", "", True),
        ("to", f"sip:{OURS}@{ENGINE}", "<sip:+15559999999@x>", "", False),
        ("p_called_party_id", PILOT, "<sip:x@x>", PCPI, True),
        ("p_called_party_id", f"sip:{OURS}@{ENGINE}", "", "", True),  # without the header, the Request-URI
        ("auto", PILOT, f"<sip:{OURS}@x>", "", True),
        ("auto", PILOT, "<sip:+15558888888@x>", PCPI, True),
        ("auto", f"sip:{OURS}@{ENGINE}", "<sip:+15558888888@x>", "", True),
        ("auto", PILOT, "<sip:+15558888888@x>", "P-Called-Party-ID: <broken\r\n", False),
    ],
)
def test_it_is_read_where_the_provider_writes_it(
    worlds: Any, place: str, uri: str, to: str, headers: str, found: bool
) -> None:
    assert status(worlds(called_number_from=place), uri, to, headers) == (486 if found else 404)


def test_nobody_elses_headers_are_asked(worlds: Any) -> None:
    assert status(worlds(), ACCOUNT, f"<sip:{OURS}@x>", PCPI, source=GUEST) == 404


@pytest.mark.parametrize(
    ("country", "of_provider", "source", "dialled", "found"),
    [
        ("", "DE", CARRIER, "03012345678", True),
        ("", "DE", CARRIER, "00493012345678", True),
        ("US", "DE", CARRIER, "03012345678", True),
        ("US", "DE", CARRIER, "5551234567", False),  # the trunk's country, and no other
        ("US", "", CARRIER, "5551234567", True),
        ("DE", "", CARRIER, "03012345678", True),
        # A trunk that says nothing of its country delivers numbers of ours in national form all the same.
        ("DE", "", OTHER, "02079460123", True),
        ("", "", OTHER, "02079460123", True),
        ("", "", CARRIER, "03012345678", True),
        ("DE", "", CARRIER, "02079460123", False),  # which is another trunk's
        ("DE", "", GUEST, "02079460123", False),
    ],
)
def test_it_is_read_in_the_form_of_the_trunks_country(
    worlds: Any, country: str, of_provider: str, source: str, dialled: str, found: bool
) -> None:
    world = worlds(country, country=of_provider)
    assert (status(world, f"sip:{dialled}@{ENGINE}", source=source) == 486) is found


def test_a_country_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="ISO 3166"):
        configured(providers=[{"name": "x", "hostname": CARRIER, "country": "Germany"}])

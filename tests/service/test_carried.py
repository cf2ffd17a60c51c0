"""What of one leg's own reaches the other: listed header fields, a number's parameters, who has been reached."""

from collections.abc import Iterator
from typing import Any

import pytest

from config.faults import ConfigurationError
from engine.sip.message.message import Request
from routing.hunt.carried import LONGEST_FIELDS, MOST_FIELDS
from tests.simulation.node import ENGINE, Phone, World, configured
from tests.simulation.peer import ANSWER, OFFER

OFFICE, CARRIER, GUEST = "192.0.2.101", "198.51.100.1", "203.0.113.9"
FOREIGN, OURS = "+18005551212", "+15551234567"
UUI = "User-to-User: 5661726d;encoding=hex\r\n"


@pytest.fixture
def worlds(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    known: list[World] = []

    def make(**provider: Any) -> World:
        options = {"destinations": [{"type": "tel", "target": FOREIGN}]}
        known.append(
            World(
                monkeypatch,
                configured(
                    sip={"trusted_networks": [f"{OFFICE}/32"]},
                    providers=[{"name": "carrier", "hostname": CARRIER} | provider],
                    routes=[{"target": "all", "provider": "carrier"}],
                    numbers=[{"number": OURS, "call_flow": "on"}],
                    flows=[{"name": "on", "actions": [{"type": "connect", "option": options}]}],
                ),
            )
        )
        return known[-1]

    yield make
    for world in known:
        world.close()


def called(
    world: World, headers: str = "", source: str = OFFICE, target: str = FOREIGN, parameters: str = ""
) -> tuple[Phone, Phone, Request]:
    caller, carrier = world.phone(source), world.phone(CARRIER)
    caller.invite(headers, OFFER, uri=f"sip:{target}{parameters}@{ENGINE}")
    world.wait(0.3)
    return caller, carrier, carrier.requests("INVITE")[-1]


@pytest.mark.parametrize("target", [FOREIGN, OURS])
def test_user_to_user_goes_on_and_other_fields_where_they_are_listed(worlds: Any, target: str) -> None:
    headers = f"{UUI}X-Corr: abc\r\nx-other: 1\r\nSession-ID: f81d4fae\r\nIdentity: secret\r\n"
    _, _, invite = called(worlds(), headers, target=target)
    assert invite.get("User-to-User") == "5661726d;encoding=hex"
    assert not {"X-Corr", "X-Other", "Session-ID", "Session-Id", "Identity"} & invite.first.keys()
    _, _, invite = called(worlds(pass_headers=["x-*", "SESSION-ID", "Identity"]), headers, target=target)
    assert (invite.get("X-Corr"), invite.get("X-Other")) == ("abc", "1")
    assert "f81d4fae" in str(invite.headers) and "secret" not in str(invite.headers)


@pytest.mark.parametrize(
    "name", ["Via", "Route", "Contact", "Authorization", "P-Asserted-Identity", "Diversion", "Privacy"]
)
def test_what_belongs_to_one_leg_is_carried_by_no_list(worlds: Any, name: str) -> None:
    value = "SIP/2.0/UDP deep.example;branch=z9hG4bKdeep" if name == "Via" else "<sip:deep.example;lr>"
    headers = "" if name == "Contact" else f"{name}: {value}\r\n"
    _, _, invite = called(worlds(pass_headers=["P*", name]), headers + UUI)
    assert "deep.example" not in str({n: v for n, v in invite.headers.items() if n != "P-Asserted-Identity"})


def test_a_field_that_the_provider_has_of_its_own_is_not_there_twice(worlds: Any) -> None:
    _, _, invite = called(worlds(pass_headers=["X-*"], tech_headers={"X-Account": "ours"}), "X-Account: theirs\r\n")
    assert invite.lines("X-Account") == ["ours"]


def test_a_guests_fields_stay_behind(worlds: Any) -> None:
    _, _, invite = called(worlds(pass_headers=["X-*"]), f"{UUI}X-Corr: abc\r\n", GUEST, OURS)
    assert not {"User-to-User", "X-Corr"} & invite.first.keys()


def test_what_is_carried_is_bounded(worlds: Any) -> None:
    many = "".join(f"X-Field-{number}: {'x' * 100}\r\n" for number in range(200))
    _, _, invite = called(worlds(pass_headers=["X-*"]), many)
    found = [(name, value) for name, value in invite.fields if name.startswith("X-Field")]
    assert len(found) == MOST_FIELDS
    assert sum(len(name) + len(value) for name, value in found) <= LONGEST_FIELDS


# ---- RFC 4694


@pytest.mark.parametrize(
    ("parameters", "wanted", "kept"),
    [
        (";npdi;rn=+12125550000", [], ";npdi;rn=+12125550000"),
        (";npdi", [], ";npdi"),
        (";cic=+10288;isup-oli=00", [], ""),
        (";cic=+10288;isup-oli=00;npdi", ["cic", "isup-oli"], ";cic=+10288;isup-oli=00;npdi"),
        (";phone-context=+1;tgrp=x;rn=+1212", [], ";rn=+1212"),
        (";rn=a%40b;npdi=1%202", [], ""),
    ],
)
def test_the_parameters_of_a_number_stay_with_it(worlds: Any, parameters: str, wanted: list[str], kept: str) -> None:
    world = worlds(number_parameters=wanted, tech_prefix="9", tech_postfix="#")
    _, _, invite = called(world, parameters=parameters)
    assert invite.uri_text == f"sip:9{FOREIGN}{kept}%23@{CARRIER}"


def test_another_number_has_none_of_them(worlds: Any) -> None:
    _, _, invite = called(worlds(), target=OURS, parameters=";npdi;rn=+12125550000")
    assert invite.uri_text == f"sip:{FOREIGN}@{CARRIER}"


# ---- back to the caller


REACHED = 'P-Asserted-Identity: "Agent" <sip:+442079460777@inside.carrier>\r\n'


@pytest.mark.parametrize("source", [OFFICE, GUEST])
def test_who_is_no_guest_hears_who_has_been_reached(worlds: Any, source: str) -> None:
    caller, carrier, invite = called(worlds(), source=source, target=OURS)
    carrier.answer(invite, 180, REACHED, tag="far")
    carrier.answer(invite, 200, REACHED + UUI, ANSWER, tag="far")
    world_told = [answer for answer in caller.responses("INVITE") if answer.status in (180, 200)]
    shown = [answer.get("P-Asserted-Identity") for answer in world_told]
    assert len(shown) == 2 and "inside.carrier" not in str(shown)
    assert all(value.startswith('"Agent" <sip:+442079460777@') for value in shown) is (source == OFFICE)
    assert world_told[-1].get("User-to-User")


@pytest.mark.parametrize("headers", [f"{REACHED}Privacy: id\r\n", "P-Asserted-Identity: <sip:desk@inside>\r\n", ""])
def test_who_hides_or_has_no_number_is_not_told(worlds: Any, headers: str) -> None:
    caller, carrier, invite = called(worlds())
    carrier.answer(invite, 180, headers, tag="far")
    assert "P-Asserted-Identity" not in caller.responses("INVITE")[-1].first


def test_listed_fields_come_back_too(worlds: Any) -> None:
    caller, carrier, invite = called(worlds(pass_headers=["X-*"]))
    carrier.answer(invite, 183, "X-Cost: 1\r\nServer: secret\r\n", ANSWER, tag="far")
    told = caller.responses("INVITE")[-1]
    assert told.get("X-Cost") == "1" and "secret" not in told.get("Server")


@pytest.mark.parametrize("name", ["X Y", "X:", "*", "", "X*Y"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="header field"):
        configured(providers=[{"name": "x", "hostname": CARRIER, "pass_headers": [name]}])

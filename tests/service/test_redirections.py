"""Redirections by a provider (RFC 3261 §8.1.3.4): followed where it may send calls elsewhere, and only there."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from engine.sip.message.message import Request
from tests.simulation.node import ENGINE, Phone, World, configured
from tests.simulation.peer import ANSWER, OFFER

OFFICE, ONE, OTHER, TWO = "192.0.2.101", "198.51.100.1", "198.51.100.7", "198.51.100.2"
FOREIGN = "+442079460123"

Made = Callable[..., tuple[World, Phone, Phone, Phone, Phone]]


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> Iterator[Made]:
    worlds: list[World] = []

    def made(**provider: Any) -> tuple[World, Phone, Phone, Phone, Phone]:
        one = {"name": "one", "hostname": ONE, "follow_redirects": True} | provider
        world = World(
            monkeypatch,
            configured(
                sip={"trusted_networks": [f"{OFFICE}/32"]},
                providers=[one, {"name": "two", "hostname": TWO}],
                routes=[{"target": "all", "provider": name, "priority": at} for at, name in enumerate(["one", "two"])],
            ),
            names={"gw.carrier.example": [OTHER]},
        )
        worlds.append(world)
        phones = [world.phone(host) for host in (OFFICE, ONE, OTHER, TWO)]
        phones[0].invite("", OFFER, uri=f"sip:{FOREIGN}@{ENGINE}")
        world.wait(0.3)
        return world, *phones  # type: ignore[return-value]

    yield made
    for world in worlds:
        world.close()


def send_to(world: World, who: Phone, *contacts: str, status: int = 302) -> Request:
    invite = who.requests("INVITE")[-1]
    who.answer(invite, status, "".join(f"Contact: {contact}\r\n" for contact in contacts), tag="r", contact="")
    world.wait(0.3)
    return invite


@pytest.mark.parametrize("status", [300, 301, 302])
@pytest.mark.parametrize("listed", [OTHER, "198.51.100.0/29"])
def test_it_is_followed_with_the_parameters_of_the_number_rfc_4694(called: Made, status: int, listed: str) -> None:
    world, office, one, other, two = called(redirect_hosts=[listed])
    uri = f"sip:+442079460123;npdi;rn=+442079460999@{OTHER};user=phone"
    first = send_to(world, one, f"<{uri}>", status=status)
    (second,) = other.requests("INVITE")
    assert second.uri_text == uri and not two.requests("INVITE")
    assert (second.call_id, second.from_tag, second.cseq) == (first.call_id, first.from_tag, first.cseq + 1)
    assert second.get("To") == first.get("To") and second.body == first.body
    other.answer(second, 200, body=ANSWER, tag="far")
    world.wait(0.3)
    assert office.final("INVITE").status == 200 and "Contact" in office.final("INVITE").first


def test_it_is_followed_within_the_provider_and_by_name(called: Made) -> None:
    world, _, one, other, _ = called(redirect_hosts=["GW.carrier.example"])
    send_to(world, one, f"<sip:next@{ONE}:5060>")
    assert one.requests("INVITE")[-1].uri_text == f"sip:next@{ONE}:5060"
    send_to(world, one, "<sip:x@gw.carrier.example?Subject=a>")
    assert other.requests("INVITE")[-1].uri_text == "sip:x@gw.carrier.example"


def test_the_highest_q_that_may_be_called_is_20_10(called: Made) -> None:
    world, _, one, other, _ = called(redirect_hosts=[OTHER])
    send_to(world, one, f"<sip:low@{OTHER}>;q=0.1", "<sip:x@203.0.113.9>;q=1.0", f"<sip:high@{OTHER}>;q=0.7")
    assert [request.uri.user for request in other.requests("INVITE")] == ["high"]


@pytest.mark.parametrize(
    "contact",
    [
        "<sip:x@203.0.113.9>",
        f"<sip:x@{ONE};maddr={OTHER}>",
        f"<sip:x@{ENGINE}>",
        "<tel:+442079460000>",
        "<sip:x@gw.carrier.example.evil.example>",
        f"<sip:{FOREIGN}@{ONE}>",  # where it was sent already
        "<sip:",
        "",
    ],
)
def test_elsewhere_it_is_a_failure_and_the_next_provider_is_tried(called: Made, contact: str) -> None:
    world, _, one, other, two = called(redirect_hosts=["gw.carrier.example"])
    send_to(world, one, *([contact] if contact else []))
    assert len(one.requests("INVITE")) == 1 and not other.requests("INVITE")
    assert len(two.requests("INVITE")) == 1


def test_without_the_setting_it_is_a_failure(called: Made) -> None:
    world, _, one, other, two = called(follow_redirects=False, redirect_hosts=[OTHER])
    send_to(world, one, f"<sip:x@{OTHER}>")
    assert not other.requests("INVITE") and two.requests("INVITE")


def test_five_are_followed_and_no_loop(called: Made) -> None:
    world, _, one, _other, two = called(redirect_hosts=[OTHER])
    for number in range(6):
        assert not two.requests("INVITE")
        send_to(world, one, f"<sip:x{number}@{ONE}>")
    assert len({request.branch for request in one.requests("INVITE")}) == 6 and two.requests("INVITE")


def test_two_that_send_calls_to_each_other_are_left(called: Made) -> None:
    world, _, one, other, two = called(redirect_hosts=[OTHER])
    send_to(world, one, f"<sip:a@{OTHER}>")
    send_to(world, other, f"<sip:b@{ONE}>")
    send_to(world, one, f"<sip:a@{OTHER}>")
    assert two.requests("INVITE")

"""Parts of bodies beside the session description (RFC 5621), and where a caller is (RFC 6442): who gets them, and
who is refused for them."""

from collections.abc import Iterator
from typing import Any

import pytest

from config.faults import ConfigurationError
from engine.sip.message.message import Request
from engine.sip.message.multipart import open_body
from routing.hunt.carried import LARGEST_PARTS
from tests.simulation.node import ENGINE, Phone, World, configured
from tests.simulation.peer import OFFER

OFFICE, CARRIER, SECOND, GUEST = "192.0.2.101", "198.51.100.1", "198.51.100.2", "203.0.113.9"
FOREIGN, OURS = "+18005551212", "+15551234567"
PIDF, ISUP = "application/pidf+xml", "application/isup"
LOCATION = f"Content-Type: {PIDF}\r\nContent-ID: <here@office>", b"<presence/>"
SIGNAL = f"Content-Type: {ISUP};version=itu-t92+\r\nContent-Disposition: signal;handling={{}}", b"\x01\x00\x49\r\x00\n"
GEOLOCATION = "Geolocation: <cid:here@office>;inserted-by=office\r\nGeolocation-Routing: yes\r\n"
MIXED = 'multipart/mixed;boundary="b1"'


def signal(handling: str) -> tuple[str, bytes]:
    return SIGNAL[0].format(handling), SIGNAL[1]


def mixed(*parts: tuple[str, bytes], offer: bool = True) -> bytes:
    all_parts = (("Content-Type: application/sdp", OFFER), *parts) if offer else parts
    pieces = [b"--b1\r\n%s\r\n\r\n%s\r\n" % (head.encode(), body) for head, body in all_parts]
    return b"".join(pieces) + b"--b1--\r\n"


@pytest.fixture
def worlds(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    known: list[World] = []

    def make(second: dict[str, Any] | None = None, **provider: Any) -> World:
        providers = [{"name": "carrier", "hostname": CARRIER} | provider]
        routes = [{"target": target, "provider": "carrier"} for target in ("all", "emergency")]
        if second is not None:
            providers.append({"name": "second", "hostname": SECOND} | second)
            routes.append({"target": "all", "provider": "second", "priority": 1})
        options = {"destinations": [{"type": "tel", "target": FOREIGN}]}
        known.append(
            World(
                monkeypatch,
                configured(
                    sip={"trusted_networks": [f"{OFFICE}/32"]},
                    numbering={"default_country": "US"},
                    providers=providers,
                    routes=routes,
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
    world: World,
    body: bytes,
    headers: str = "",
    kind: str = MIXED,
    target: str = FOREIGN,
    source: str = OFFICE,
    host: str = CARRIER,
) -> tuple[Phone, list[Request]]:
    caller, carrier = world.phone(source), world.phone(host)
    caller.invite(f"{headers}Content-Type: {kind}\r\n", body, uri=f"sip:{target}@{ENGINE}")
    world.wait(0.3)
    invites = carrier.requests("INVITE")
    for invite in invites:
        open_body(invite)
    return caller, invites


def kinds(invite: Request) -> list[str]:
    return [part.content_type for part in invite.parts]


@pytest.mark.parametrize("target", ["911", "112"])
@pytest.mark.parametrize("order", [1, -1])
def test_an_emergency_call_brings_along_where_its_caller_is(worlds: Any, target: str, order: int) -> None:
    parts = (LOCATION, signal("optional"))[::order]
    _, (invite,) = called(worlds(), mixed(*parts), GEOLOCATION, target=target)
    assert invite.body == OFFER
    (part,) = invite.parts
    assert (part.content_type, part.content_id, part.body) == (PIDF, "here@office", b"<presence/>")
    assert invite.get("Geolocation") == "<cid:here@office>;inserted-by=office"
    assert invite.get("Geolocation-Routing") == "yes" and invite.get("MIME-Version") == "1.0"


def test_another_call_does_not_unless_its_provider_takes_it(worlds: Any) -> None:
    _, (invite,) = called(worlds(), mixed(LOCATION), GEOLOCATION)
    assert (invite.body, invite.parts, invite.get("Content-Type")) == (OFFER, (), "application/sdp")
    assert not {"Geolocation", "Geolocation-Routing", "MIME-Version"} & invite.first.keys()
    _, (invite,) = called(worlds(pass_bodies=["Application/PIDF+xml"]), mixed(LOCATION), GEOLOCATION)
    assert (invite.body, kinds(invite)) == (OFFER, [PIDF]) and invite.get("Geolocation")


@pytest.mark.parametrize("handling", ["required", "optional"])
def test_what_a_provider_lists_is_carried_as_it_came(worlds: Any, handling: str) -> None:
    _, (invite,) = called(worlds(pass_bodies=[ISUP]), mixed(signal(handling), LOCATION), GEOLOCATION)
    assert invite.body == OFFER
    (part,) = invite.parts
    assert part.body == SIGNAL[1] and part.required is (handling == "required")
    assert dict(part.lines)["Content-Type"] == f"{ISUP};version=itu-t92+"
    assert "Geolocation" not in invite.first


def test_a_part_that_must_be_understood_and_goes_nowhere_is_415(worlds: Any) -> None:
    caller, invites = called(worlds(), mixed(signal("required")))
    assert not invites and caller.final("INVITE").status == 415
    assert PIDF in caller.final("INVITE").get("Accept")


@pytest.mark.parametrize("target", ["911", FOREIGN])
def test_where_a_caller_is_is_always_understood(worlds: Any, target: str) -> None:
    required = f"{LOCATION[0]}\r\nContent-Disposition: by-reference;handling=required", LOCATION[1]
    named = (
        "Content-Type: application/held+xml\r\nContent-ID: <a%b@x>\r\nContent-Disposition: x;handling=required",
        b"h",
    )
    _, (invite,) = called(worlds(), mixed(required, named), "Geolocation: <cid:a%25b@x>\r\n", target=target)
    assert kinds(invite) == ([PIDF, "application/held+xml"] if target == "911" else [])


@pytest.mark.parametrize("kind", [MIXED, "application/unknown", "text/plain"])
def test_an_emergency_call_is_never_415(worlds: Any, kind: str) -> None:
    _, invites = called(worlds(), mixed(signal("required")), kind=kind, target="911")
    assert invites and invites[0].parts == ()


def test_an_emergency_call_with_an_encoding_that_nobody_reads_goes_out_without_an_offer(worlds: Any) -> None:
    _, (invite,) = called(worlds(), b"\x1f\x8b", "Content-Encoding: gzip\r\n", "application/sdp", target="911")
    assert invite.body == b""


def test_a_location_alone_is_no_offer(worlds: Any) -> None:
    _, (invite,) = called(worlds(), b"<presence/>", "Content-ID: <here@office>\r\n" + GEOLOCATION, PIDF, target="911")
    assert (invite.body, kinds(invite), invite.parts[0].content_id) == (b"", [PIDF], "here@office")


def test_a_provider_that_does_not_take_what_must_be_understood_is_skipped(worlds: Any) -> None:
    world = worlds(second={"pass_bodies": [ISUP]})
    assert not world.phone(CARRIER).requests("INVITE")
    _, (invite,) = called(world, mixed(signal("required")), host=SECOND)
    assert kinds(invite) == [ISUP]


def test_where_nobody_is_left_who_takes_it_the_caller_hears_415(worlds: Any) -> None:
    world = worlds(second={"pass_bodies": [ISUP], "enabled": False})
    caller, invites = called(world, mixed(signal("required")))
    assert not invites and caller.final("INVITE").status == 415


def test_where_a_guest_is_and_what_it_signals_stays_here(worlds: Any) -> None:
    world = worlds(pass_bodies=[ISUP, PIDF])
    _, (invite,) = called(world, mixed(LOCATION, signal("optional")), GEOLOCATION, source=GUEST, target=OURS)
    assert (invite.parts, invite.get("Geolocation")) == ((), "")
    caller, _ = called(world, mixed(signal("required")), source="203.0.113.10", target=OURS)
    assert caller.final("INVITE").status == 415


def test_a_part_says_no_more_of_itself_than_is_known(worlds: Any) -> None:
    odd = f"Content-Type: {ISUP};\r\n version=x\r\nX-Evil: 1\r\nContent-ID: <a\tb>\r\nContent-Transfer-Encoding: base64"
    _, (invite,) = called(worlds(pass_bodies=[ISUP]), mixed((odd, b"AQAA")))
    (part,) = invite.parts
    assert part.body == b"\x01\x00\x00"
    assert part.lines == (("Content-Type", f"{ISUP}; version=x"), ("Content-ID", "<a b>"))


def test_what_is_carried_of_bodies_is_bounded(worlds: Any) -> None:
    large = f"Content-Type: {ISUP}", b"x" * (LARGEST_PARTS // 4 - 1)
    _, invites = called(worlds(pass_bodies=[ISUP]), mixed(large, large, large), source=OFFICE)
    assert sum(len(part.body) for part in invites[-1].parts) <= LARGEST_PARTS


def test_a_header_of_the_providers_own_goes_before_the_callers(worlds: Any) -> None:
    world = worlds(tech_headers={"geolocation": "<https://lis.example/ours>"})
    _, (invite,) = called(world, mixed(LOCATION), GEOLOCATION, target="911")
    assert invite.lines("Geolocation") == ["<https://lis.example/ours>"]


def test_a_location_by_reference_goes_with_an_emergency_call(worlds: Any) -> None:
    _, (invite,) = called(worlds(), OFFER, "Geolocation: <https://lis.example/1>\r\n", "application/sdp", target="911")
    assert (invite.get("Geolocation"), invite.body) == ("<https://lis.example/1>", OFFER)


@pytest.mark.parametrize("kind", ["", "isup", "application/", "multipart/mixed", "a/b;c=d", "application/*", "a/b\r\n"])
def test_a_type_that_is_none_is_refused(kind: str) -> None:
    with pytest.raises(ConfigurationError, match="MIME type"):
        configured(providers=[{"name": "x", "hostname": CARRIER, "pass_bodies": [kind]}])

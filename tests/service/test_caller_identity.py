"""Two identities up to the last leg: what is asserted, and what is presented (RFC 3323, 3325, 5806, 7044)."""

from collections.abc import Iterator
from typing import Any

import pytest

from engine.sip.message.message import Request
from tests.simulation.node import ENGINE, World, configured
from tests.simulation.peer import OFFER

OFFICE, CARRIER, OTHER, GUEST = "192.0.2.101", "198.51.100.1", "198.51.100.2", "203.0.113.9"
FOREIGN, OURS, TWICE = "+442079460123", "+15551234567", "+15551234568"
SHOWN, ASSERTED = "+18005550199", "+12125550100"
CARRIES = ["P-Asserted-Identity", "Diversion", "History-Info"]
PAI = "P-Asserted-Identity"
ANONYMOUS = '"Anonymous" <sip:anonymous@anonymous.invalid>'


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    def through(*targets: str) -> list[dict[str, Any]]:
        return [
            {"type": "connect", "option": {"destinations": [{"type": "tel", "target": target}]}} for target in targets
        ]

    made = World(
        monkeypatch,
        configured(
            sip={"trusted_networks": [f"{OFFICE}/32"]},
            providers=[
                {"name": "carrier", "hostname": CARRIER, "caller_id_headers": CARRIES},
                {"name": "other", "hostname": OTHER, "inbound_addresses": [f"{OTHER}/32"]},
            ],
            routes=[{"target": "all", "provider": "carrier"}],
            numbers=[{"number": OURS, "call_flow": "on"}, {"number": TWICE, "call_flow": "twice"}],
            flows=[
                {"name": "on", "actions": through(FOREIGN)},
                {"name": "twice", "actions": through(FOREIGN, "+442079460124")},
            ],
        ),
    )
    yield made
    made.close()


def sent_on(world: World, from_: str, headers: str = "", source: str = OFFICE, target: str = FOREIGN) -> Request:
    """What the carrier gets of a call."""
    caller, carrier = world.phone(source), world.phone(CARRIER)
    uri = f"sip:{target}@{ENGINE}"
    lines = [
        f"INVITE {uri} SIP/2.0",
        f"Via: SIP/2.0/UDP {source}:5060;branch=z9hG4bK{caller.call_id}{caller.branches}",
        "Max-Forwards: 70",
        f"From: {from_};tag=f",
        f"To: <{uri}>",
        f"Call-ID: {caller.call_id}-{caller.branches}",
        "CSeq: 1 INVITE",
        f"Contact: <sip:a@{source}>",
        "Content-Type: application/sdp",
    ]
    head = "\r\n".join(lines) + f"\r\n{headers}Content-Length: {len(OFFER)}\r\n\r\n"
    caller.say(head.encode() + OFFER)
    world.wait(0.3)
    return carrier.requests("INVITE")[-1]


def shown(invite: Request) -> str:
    return invite.get("From").partition(";tag=")[0]


@pytest.mark.parametrize(
    ("from_", "headers", "presented", "asserted"),
    [
        # RFC 3325 §5: what is asserted stands beside From, and From stays.
        (f'"Sales" <sip:{SHOWN}@pbx>', f"{PAI}: <sip:{ASSERTED}@pbx>\r\n", ("Sales", SHOWN), ("", ASSERTED)),
        (f'"Sales" <sip:{SHOWN}@pbx>', f'{PAI}: "Desk" <sip:{ASSERTED}@pbx>\r\n', ("Sales", SHOWN), ("Desk", ASSERTED)),
        # §9.1: a sip and a tel value.
        (f"<sip:{SHOWN}@pbx>", f"{PAI}: <sip:{ASSERTED}@pbx>, <tel:{ASSERTED}>\r\n", ("", SHOWN), ("", ASSERTED)),
        (f"<sip:{SHOWN}@pbx>", f"{PAI}: <mailto:a@b>\r\n{PAI}: <tel:{ASSERTED}>\r\n", ("", SHOWN), ("", ASSERTED)),
        # A name comes from wherever there is one for the same number: CNAM.
        (f'"ACME" <sip:{ASSERTED}@pbx>', f"{PAI}: <sip:{ASSERTED}@pbx>\r\n", ("ACME", ASSERTED), ("ACME", ASSERTED)),
        (f"<sip:{ASSERTED}@pbx>", f'{PAI}: "ACME" <tel:{ASSERTED}>\r\n', ("ACME", ASSERTED), ("ACME", ASSERTED)),
        # §9.2, and older still; what goes first wins.
        (f"<sip:{SHOWN}@pbx>", f"P-Preferred-Identity: <sip:{ASSERTED}@pbx>\r\n", ("", SHOWN), ("", ASSERTED)),
        (f"<sip:{SHOWN}@pbx>", f"Remote-Party-ID: <sip:{ASSERTED}@pbx>;screen=yes\r\n", ("", SHOWN), ("", ASSERTED)),
        (
            f"<sip:{SHOWN}@pbx>",
            f"Remote-Party-ID: <sip:+15550000000@pbx>;party=called\r\nP-Preferred-Identity: <sip:{ASSERTED}@pbx>\r\n"
            "Remote-Party-ID: <sip:+15550000001@pbx>;party=calling\r\n",
            ("", SHOWN),
            ("", ASSERTED),
        ),
        (
            f"<sip:{SHOWN}@pbx>",
            f"P-Preferred-Identity: <sip:+15550000000@pbx>\r\n{PAI}: <tel:{ASSERTED}>\r\n",
            ("", SHOWN),
            ("", ASSERTED),
        ),
        (f'"Bob" <sip:{SHOWN}@pbx>', "", ("Bob", SHOWN), ("Bob", SHOWN)),
    ],
)
@pytest.mark.parametrize(("source", "target"), [(OFFICE, FOREIGN), (OTHER, OURS)])
def test_what_is_asserted_and_what_is_presented_stay_apart(
    world: World,
    from_: str,
    headers: str,
    presented: tuple[str, str],
    asserted: tuple[str, str],
    source: str,
    target: str,
) -> None:
    invite = sent_on(world, from_, headers, source, target)
    name, number = presented
    assert shown(invite).startswith(f'"{name}" <sip:{number}@' if name else f"<sip:{number}@")
    name, number = asserted
    [value] = invite.lines(PAI)
    assert value.startswith(f'"{name}" <sip:{number}@' if name else f"<sip:{number}@")
    assert "Privacy" not in invite.first


@pytest.mark.parametrize(
    "headers",
    [
        *(
            f"Privacy: {value}\r\n"
            for value in ("id", "user", "header", "session", "ID", "critical;id", "id; critical")
        ),
        *(f"Privacy: {value}\r\n" for value in ("user;id;critical", "history;id", "none, id", "header;session")),
        "Privacy: history\r\nPrivacy: id\r\n",
        *(
            f"Remote-Party-ID: <sip:{ASSERTED}@pbx>;privacy={value}\r\n"
            for value in ("full", "name", "uri", "full-network")
        ),
    ],
)
def test_privacy_in_every_spelling_hides_the_caller(world: World, headers: str) -> None:
    more = "" if "Remote-Party-ID" in headers else f"{PAI}: <sip:{ASSERTED}@pbx>\r\n"
    invite = sent_on(world, f'"Bob" <sip:{SHOWN}@pbx>', headers + more)
    assert shown(invite) == ANONYMOUS and invite.get("Privacy") == "id"
    assert invite.get(PAI).endswith(f"<sip:{ASSERTED}@{ENGINE}>")  # to trunks that take it
    assert SHOWN not in str(invite.headers)


@pytest.mark.parametrize("value", ["none", "None", "history", "none;critical-not-a-value"])
def test_who_asks_for_nothing_is_shown(world: World, value: str) -> None:
    invite = sent_on(world, f"<sip:{SHOWN}@pbx>", f"Privacy: {value}\r\n")
    assert SHOWN in shown(invite) and "Privacy" not in invite.first


@pytest.mark.parametrize(
    "from_",
    [
        '"Anonymous" <sip:anonymous@anonymous.invalid>',
        "<sip:Anonymous@pbx>",
        '"Restricted" <sip:Restricted@carrier.example>',
        "<sip:Unavailable@carrier.example>",
        '"unknown" <sip:unknown@carrier.example>',
        "<sip:PRIVATE@carrier.example>",
        '"x" <sip:x@anonymous.invalid>',
    ],
)
@pytest.mark.parametrize("asserted", ["", f"{PAI}: <sip:Restricted@pbx>\r\n", f"{PAI}: <sip:{ASSERTED}@pbx>\r\n"])
def test_a_word_in_the_place_of_a_number_is_nobodys_and_asserted_to_nobody(
    world: World, from_: str, asserted: str
) -> None:
    invite = sent_on(world, from_, asserted, OTHER, OURS)
    assert shown(invite) == ANONYMOUS and invite.get("Privacy") == "id"
    assert [ASSERTED in value for value in invite.lines(PAI)] == [True] * (ASSERTED in asserted)


def test_none_beside_an_anonymous_from_shows_whom_the_network_knows(world: World) -> None:
    """RFC 3323 §4.2: `none` is the caller's word that nothing is to be hidden."""
    invite = sent_on(world, ANONYMOUS, f"Privacy: none\r\n{PAI}: <sip:{ASSERTED}@pbx>\r\n")
    assert ASSERTED in shown(invite)


def test_of_a_name_that_is_no_number_nothing_is_asserted(world: World) -> None:
    invite = sent_on(world, '"Front desk" <sip:desk@pbx>')
    assert "desk@" in shown(invite) and not invite.lines(PAI)


def test_a_guest_asserts_and_forwards_nothing(world: World) -> None:
    headers = f"{PAI}: <sip:{ASSERTED}@pbx>\r\nDiversion: <sip:{ASSERTED}@x>;reason=no-answer\r\n"
    invite = sent_on(world, f"<sip:{SHOWN}@pbx>", headers, GUEST, OURS)
    assert SHOWN in shown(invite) and not invite.lines(PAI)
    assert [ASSERTED in value for value in invite.lines("Diversion")] == [False]


# ---- who forwarded it


CAME = (
    "Diversion: <sip:+33142278186@x>;reason=no-answer;counter=1\r\nDiversion: <sip:+33142278187@x>;reason=user-busy\r\n"
    "History-Info: <sip:+33142278187@x>;index=1, <sip:+33142278186@x?Reason=SIP%3Bcause%3D486>;index=1.1\r\n"
)


def test_who_forwarded_before_is_kept_and_our_own_entry_added(world: World) -> None:
    invite = sent_on(world, f"<sip:{SHOWN}@pbx>", CAME, OTHER, OURS)
    own, *before = invite.lines("Diversion")
    assert own.startswith(f"<sip:{OURS}@") and own.endswith(">;reason=unconditional")
    assert before == ["<sip:+33142278186@x>;reason=no-answer;counter=1", "<sip:+33142278187@x>;reason=user-busy"]
    first, second, last = invite.lines("History-Info")
    assert (first, second.endswith(";index=1.1")) == ("<sip:+33142278187@x>;index=1", True)
    assert last == f"<sip:{OURS}@{ENGINE}?Reason=SIP%3Bcause%3D302>;index=2"


def test_a_client_that_forwards_by_itself_is_passed_on(world: World) -> None:
    invite = sent_on(world, f"<sip:{SHOWN}@pbx>", CAME)
    assert len(invite.lines("Diversion")) == 2 and len(invite.lines("History-Info")) == 2


@pytest.mark.parametrize(
    ("status", "why", "cause"), [(486, "user-busy", 486), (600, "user-busy", 486), (404, "unconditional", 302)]
)
def test_the_entry_says_why_the_call_is_forwarded(world: World, status: int, why: str, cause: int) -> None:
    sent_on(world, f"<sip:{SHOWN}@pbx>", source=OTHER, target=TWICE)
    carrier = world.network.nodes[(CARRIER, 5060)]
    carrier.answer(carrier.requests("INVITE")[-1], status, tag="far")
    world.wait(0.3)
    second = carrier.requests("INVITE")[-1]
    assert "442079460124" in second.uri_text
    assert second.get("Diversion").endswith(f";reason={why}")
    assert f"cause%3D{cause}" in second.get("History-Info")


def test_what_is_forwarded_on_is_bounded(world: World) -> None:
    many = "".join(f"Diversion: <sip:+3314227{number:04}@x>;reason=no-answer\r\n" for number in range(60))
    long = f"History-Info: <sip:{'x' * 2000}@x>;index=1\r\n"
    invite = sent_on(world, f"<sip:{SHOWN}@pbx>", many + long)
    assert len(invite.lines("Diversion")) == 10 and not invite.lines("History-Info")

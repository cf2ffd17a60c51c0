"""A status that is passed on is passed on with its reasons (RFC 3326, RFC 6432, RFC 8688; RFC 3261 §20.18, §20.33)."""

from collections.abc import Iterator

import pytest

from engine.sip.message.message import LONGEST_EXPLANATION, LONGEST_REASON, Response
from engine.sip.message.parsing import parse
from tests.simulation.node import ENGINE, Phone, World, configured
from tests.simulation.peer import ANSWER, OFFER

OFFICE, ONE, TWO = "192.0.2.101", "198.51.100.1", "198.51.100.2"
FOREIGN, OURS, INNER = "+442079460123", "+15551234567", "+15551234568"
BLOCKED = 'Reason: SIP;cause=603;text="v=analytics1;url=https://block.example;id=ab12"\r\n'
UNALLOCATED = 'Reason: Q.850;cause=1;text="Unallocated"\r\n'


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    def through(target: str) -> dict[str, object]:
        options = {"destinations": [{"type": "tel", "target": target}], "relay_reason": True}
        return {"type": "connect", "option": options}

    made = World(
        monkeypatch,
        configured(
            sip={"trusted_networks": [f"{OFFICE}/32"]},
            providers=[{"name": "one", "hostname": ONE}, {"name": "two", "hostname": TWO}],
            routes=[
                {"target": "all", "provider": "one", "priority": 1},
                {"target": "all", "provider": "two", "priority": 2},
            ],
            numbers=[{"number": OURS, "call_flow": "to inner"}, {"number": INNER, "call_flow": "out"}],
            flows=[
                {"name": "to inner", "actions": [through(INNER)]},
                {"name": "out", "actions": [through(FOREIGN)]},
            ],
        ),
    )
    yield made
    made.close()


def call(world: World, target: str = FOREIGN) -> tuple[Phone, Phone, Phone]:
    office, one, two = world.phone(OFFICE), world.phone(ONE), world.phone(TWO)
    office.invite("", OFFER, uri=f"sip:{target}@{ENGINE}")
    world.wait(0.3)
    return office, one, two


@pytest.mark.parametrize("target", [FOREIGN, INNER, OURS])
@pytest.mark.parametrize(
    ("status", "lines"),
    [
        (603, BLOCKED),
        (404, UNALLOCATED),
        (404, f"{UNALLOCATED}Reason: SIP;cause=404\r\n"),
        (486, "Retry-After: 30\r\n"),
        (480, "Retry-After: 120 (in a meeting);duration=60\r\n"),
        (488, 'Warning: 304 gw.example "Media type not available"\r\nWarning: 399 gw.example "x"\r\n'),
        (608, "Call-Info: <https://block.example/jcard>;purpose=jwscard\r\n"),
        (484, "Error-Info: <sip:announcement10@example.com>\r\n"),
    ],
)
def test_whoever_is_between_a_refusal_is_handed_on_with_its_reasons(
    world: World, target: str, status: int, lines: str
) -> None:
    office, one, two = call(world, target)
    last = two if status == 488 else one  # where another provider may do, it is asked
    if status == 488:
        one.answer(one.requests("INVITE")[-1], 500, tag="x")
        world.wait(0.3)
    last.answer(last.requests("INVITE")[-1], status, lines, tag="far")
    world.wait(0.3)
    final = office.final("INVITE")
    assert final.status == status
    for line in lines.splitlines():
        name, _, value = line.partition(": ")
        assert value in final.lines(name)


@pytest.mark.parametrize(("first", "heard"), [(503, 500), (302, 480), (401, 403), (407, 403)])
def test_what_is_put_otherwise_for_the_caller_brings_nothing_along(world: World, first: int, heard: int) -> None:
    office, one, two = call(world)
    challenge = 'WWW-Authenticate: Digest realm="x", nonce="y"\r\n' if first == 401 else ""
    lines = f'{UNALLOCATED}Warning: 399 gw.example "mine"\r\nRetry-After: 60\r\nContact: <sip:x@{TWO}>\r\n{challenge}'
    for provider in (one, two):
        provider.answer(provider.requests("INVITE")[-1], first, lines, tag="far")
        world.wait(0.3)
    final = office.final("INVITE")
    assert final.status == heard
    assert not {"Reason", "Warning", "Retry-After", "Contact"} & final.first.keys()


def test_of_several_refusals_the_one_that_counts_is_explained(world: World) -> None:
    office, one, two = call(world)
    one.answer(one.requests("INVITE")[-1], 500, 'Warning: 399 one.example "first"\r\n', tag="far")
    world.wait(0.3)
    two.answer(two.requests("INVITE")[-1], 404, UNALLOCATED, tag="far")
    world.wait(0.3)
    final = office.final("INVITE")
    assert final.get("Reason").startswith("Q.850;cause=1;") and "Warning" not in final.first


@pytest.mark.parametrize("by_caller", [True, False])
def test_a_bye_takes_all_its_reasons_along(world: World, by_caller: bool) -> None:
    office, one, _ = call(world)
    invite = one.requests("INVITE")[-1]
    one.answer(invite, 200, body=ANSWER, tag="far")
    world.wait(0.3)
    office.final("INVITE")
    office.ack()
    world.wait(0.1)
    one.call_id, one.remote_tag, one.tag, one.cseq = invite.call_id, invite.from_tag, "far", 700
    sender, other = (office, one) if by_caller else (one, office)
    sender.request("BYE", 'Reason: SIP;cause=200;text="x"\r\nReason: Q.850;cause=31\r\n')
    world.wait(0.3)
    assert other.requests("BYE")[-1].get("Reason") == 'SIP;cause=200;text="x", Q.850;cause=31'


def test_a_cancel_takes_all_its_reasons_along(world: World) -> None:
    office, one, _ = call(world)
    one.answer(one.requests("INVITE")[-1], 180, tag="far")
    world.wait(0.3)
    office.cancel(
        f"z9hG4bK{office.host}x{office.branches}", "Reason: SIP;cause=200\r\nReason: Q.850;cause=26\r\n", to_tag=""
    )
    world.wait(0.3)
    assert one.requests("CANCEL")[-1].get("Reason") == "SIP;cause=200, Q.850;cause=26"


def refusal(*lines: str) -> Response:
    text = "\r\n".join(
        (
            "SIP/2.0 486 Busy Here",
            "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx",
            "From: <sip:a@x>;tag=a",
            "To: <sip:b@x>;tag=b",
            "Call-ID: c",
            "CSeq: 1 INVITE",
            *lines,
            "Content-Length: 0\r\n\r\n",
        )
    )
    response = parse(text.encode())
    assert isinstance(response, Response)
    return response


def test_what_is_handed_on_is_bounded() -> None:
    long = refusal(*(f'Warning: 399 gw.example "{"x" * 500}"' for _ in range(100)), "Reason: Q.850;cause=17")
    assert sum(len(name) + len(value) for name, value in long.explanation) <= LONGEST_EXPLANATION
    assert ("Reason", "Q.850;cause=17") in long.explanation
    many = refusal(*(f'Reason: X{number};text="{"y" * 100}"' for number in range(100)))
    assert len(many.reasons) <= LONGEST_REASON
    assert refusal(f'Reason: X;text="{"y" * 2000}"', "Reason: Q.850;cause=16").reasons == "Q.850;cause=16"

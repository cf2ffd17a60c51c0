"""Lamps and directed pickup: what phones are told of calls to extensions, and how they take one (RFC 4235, 3891)."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote
from uuid import UUID

import pytest

from engine.sip.message.message import Request, Response
from flows.calls.address import Address
from flows.origination.call import OriginatedCall, prepare
from routing.identifiers import named_id
from tests.service.test_extension_calls import (
    ALICE,
    BOB,
    DEVICES,
    ELSEWHERE,
    ONE,
    OTHER,
    TRUNK,
    call,
    end_of,
    extend,
    register,
    rung,
)
from tests.service.test_phone_events import Watcher, dialogs
from tests.simulation.node import ENGINE, Phone, World, configured
from tests.simulation.peer import ANSWER, OFFER, content

DAVE, MALLORY = "203.0.113.41", "203.0.113.42"
AGENT = "+15551230011"
BOB_AS_AGENT = {"type": "agent", "target": "ann"}
OF_DAVE = OFFER.replace(b"10.0.0.1", b"10.0.0.44").replace(b"4000", b"4444")
WITH_VIDEO = OF_DAVE + b"m=video 4446 RTP/AVP 34\r\n"


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    world = World(
        monkeypatch,
        configured(
            providers=[{"name": "carrier", "hostname": TRUNK}],
            routes=[{"target": "all", "provider": "carrier"}],
            numbers=[{"number": AGENT, "call_flow": "agent", "customer_id": str(ONE)}],
            flows=[
                {"name": "wait", "actions": [{"type": "sleep", "option": {"duration": 60_000}}]},
                {"name": "agent", "actions": [{"type": "connect", "option": {"destinations": [BOB_AS_AGENT]}}]},
            ],
        ),
    )
    for name, customer in (("alice", ONE), ("bob", ONE), ("dave", ONE), ("mallory", OTHER)):
        extend(world, name, customer_id=customer)
    yield world
    assert len(world.node.flows.calls.phone_dialogs) == 0
    world.close()


class Lamp(Watcher):
    """A phone that watches bob."""

    def watch(self) -> None:
        assert self.subscribe("dialog", "bob", password=self.name).status == 200
        self.told()

    def all_told(self) -> list[dict[str, Any]]:
        """What the newest NOTIFY says; all are answered."""
        found: list[dict[str, Any]] = []
        while notifies := self.requests("NOTIFY"):
            self.heard = []
            found = dialogs(notifies[-1])
            self.answer(notifies[-1], 200)
            self.world.wait()
        return found

    def pick_up(
        self,
        dialog: dict[str, Any],
        login: str = "",
        early_only: bool = True,
        swapped: bool = False,
        offer: bytes = OF_DAVE,
    ) -> Phone:
        """Ask for a call as it was told; the phone's leg."""
        to, from_ = dialog["local-tag"], dialog["remote-tag"]
        if swapped:
            to, from_ = from_, to
        only = ";early-only" if early_only else ""
        leg = self.world.phone(self.host, 5062)
        headers = f"Replaces: {dialog['call-id']};to-tag={to};from-tag={from_}{only}\r\nRequire: replaces\r\n"
        uri = f"sip:bob@{ENGINE}"
        leg.invite(headers, offer, uri=uri)
        if leg.statuses("INVITE")[-1] == 401:
            challenge = leg.final("INVITE")
            leg.remote_tag = ""
            leg.forget()
            name = login or self.name
            leg.invite(headers + leg.credentials(challenge, "INVITE", uri, name, name, offer), offer, uri=uri)
        self.world.wait(0.5)
        return leg


def ringing(world: World, *hosts: str) -> tuple[Lamp, Phone, list[Phone], dict[str, Any]]:
    """alice calls bob, whose devices ring, and dave sees it."""
    devices = register(world, "bob", *hosts)
    dave = Lamp(world, "dave", DAVE)
    dave.watch()
    alice = world.phone(ALICE)
    call(alice, "bob", login="alice")
    for device in devices:
        device.answer(rung(device), 180)
    world.wait()
    [early] = dave.all_told()
    return dave, alice, devices, early


def test_a_lamp_follows_a_call(world: World) -> None:
    dave, alice, [bob], early = ringing(world, BOB)
    assert (early["state"], early["direction"]) == ("early", "recipient")
    assert early["remote"] == (f"sip:alice@{ENGINE}", None)
    bob.answer(rung(bob), 200, body=ANSWER)
    world.wait(0.5)
    assert alice.final("INVITE").status == 200
    alice.ack()
    assert dave.all_told() == [early | {"state": "confirmed"}]
    alice.request("BYE")
    world.wait(0.5)
    bob.answer(bob.requests("BYE")[-1], 200)
    assert [dialog["state"] for dialog in dave.all_told()] == ["terminated"]


@pytest.mark.parametrize("status", [180, 181, 183])
def test_early_is_what_rings_and_trying_what_is_dialled_rfc_4235_3_7_1(world: World, status: int) -> None:
    [bob] = register(world, "bob", BOB)
    dave = Lamp(world, "dave", DAVE)
    dave.watch()
    alice = world.phone(ALICE)
    call(alice, "bob", login="alice")
    [trying] = dave.all_told()
    assert (trying["state"], trying["direction"]) == ("trying", "recipient")
    bob.answer(rung(bob), 100)
    world.wait()
    assert not dave.all_told()
    bob.answer(rung(bob), status)
    world.wait()
    assert dave.all_told() == [trying | {"state": "early"}]
    bob.answer(rung(bob), 200, body=ANSWER)
    world.wait(0.5)
    bob.answer(rung(bob), 180)  # late
    world.wait()
    assert dave.all_told() == [trying | {"state": "confirmed"}]
    assert alice.final("INVITE").status == 200
    alice.ack()
    alice.request("BYE")
    world.wait(0.5)
    bob.answer(bob.requests("BYE")[-1], 200)


def test_a_call_to_a_phone_that_does_not_ring_yet_is_picked_up_too(world: World) -> None:
    register(world, "bob", BOB)
    dave = Lamp(world, "dave", DAVE)
    dave.watch()
    alice = world.phone(ALICE)
    call(alice, "bob", login="alice")
    [trying] = dave.all_told()
    leg = dave.pick_up(trying)
    assert leg.final("INVITE").status == alice.final("INVITE").status == 200
    alice.ack()
    leg.ack()
    alice.request("BYE")
    world.wait(0.5)
    leg.answer(leg.requests("BYE")[-1], 200)
    dave.all_told()


@pytest.mark.parametrize(
    ("anonymous", "shown"), [("no", f"sip:+15551230009@{ENGINE}"), ("yes", f"sip:anonymous@{ENGINE}")]
)
def test_a_call_of_an_order_lights_the_lamp_as_another_does(world: World, anonymous: Any, shown: str) -> None:
    [bob] = register(world, "bob", BOB)
    dave = Lamp(world, "dave", DAVE)
    dave.watch()

    async def ordered() -> OriginatedCall:
        source, bobs = Address(type="tel", target="+15551230009"), Address(type="extension", target="bob")
        made = prepare(world.node.flows, bobs, source=source, anonymous=anonymous, customer_id=ONE)
        made.start()
        return made

    made = world.network.until(ordered())
    world.wait()
    [trying] = dave.all_told()
    assert (trying["state"], trying["direction"], trying["remote"]) == ("trying", "recipient", (shown, None))
    bob.answer(rung(bob), 183)
    world.wait()
    [early] = dave.all_told()
    assert early == trying | {"state": "early"}
    # Nobody waits for an answer on the other side: there is no call that another phone could have.
    assert dave.pick_up(early).statuses("INVITE")[-1] == 481
    made.hang_up("normal")
    world.wait()
    bob.answer(rung(bob), 487)
    world.wait(0.5)
    assert [dialog["state"] for dialog in dave.all_told()] == ["terminated"]
    assert made.record.status == "hangup"


def test_a_call_of_an_order_that_is_answered_shows_as_one_that_talks(world: World) -> None:
    [bob] = register(world, "bob", BOB)
    dave = Lamp(world, "dave", DAVE)
    dave.watch()

    async def ordered() -> OriginatedCall:
        flow = world.node.flows.library.find(named_id("flow", "wait"))
        made = prepare(world.node.flows, Address(type="extension", target="bob"), flow=flow, customer_id=ONE)
        made.start()
        return made

    made = world.network.until(ordered())
    world.wait()
    bob.answer(rung(bob), 200, body=ANSWER)
    world.wait(0.5)
    assert [dialog["state"] for dialog in dave.all_told()] == ["confirmed"]
    made.hang_up("normal")
    world.wait(0.5)
    bob.answer(bob.requests("BYE")[-1], 200)
    world.wait(0.5)
    assert [dialog["state"] for dialog in dave.all_told()] == ["terminated"]


def test_a_call_to_an_agent_lights_the_lamp_of_its_extension(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    class Agents:
        def agent_address(self, address: Address, customer_id: UUID) -> tuple[Address, UUID]:
            assert (address.type, address.target, customer_id) == ("agent", "ann", ONE)
            return Address(type="extension", target="bob"), ONE

    monkeypatch.setattr(world.node.flows.calls.contacts, "_agents", Agents())
    [bob] = register(world, "bob", BOB)
    dave = Lamp(world, "dave", DAVE)
    dave.watch()
    carrier = world.phone(TRUNK)
    call(carrier, AGENT)
    world.wait(0.5)
    [trying] = dave.all_told()
    assert (trying["state"], trying["direction"]) == ("trying", "recipient")
    bob.answer(rung(bob), 180)
    world.wait()
    [early] = dave.all_told()
    assert early == trying | {"state": "early"}
    leg = dave.pick_up(early)
    assert leg.final("INVITE").status == 200
    leg.ack()
    world.wait(0.5)
    assert carrier.final("INVITE").status == 200
    carrier.ack()
    bob.answer(rung(bob), 487)
    carrier.request("BYE")
    world.wait(0.5)
    leg.answer(leg.requests("BYE")[-1], 200)
    world.wait(0.5)
    assert [dialog["state"] for dialog in dave.all_told()] == ["terminated"]


def test_one_that_nobody_takes_goes_out(world: World) -> None:
    dave, alice, devices, _ = ringing(world, *DEVICES)
    for device in devices:
        device.answer(rung(device), 486)
    world.wait(0.5)
    assert alice.final("INVITE").status == 486
    assert [dialog["state"] for dialog in dave.all_told()] == ["terminated"]


def test_a_caller_that_gives_up_puts_it_out(world: World) -> None:
    dave, alice, devices, _ = ringing(world, *DEVICES)
    alice.cancel(f"z9hG4bK{alice.host}x{alice.branches}", to_tag="")
    world.wait(0.5)
    for device in devices:
        end_of(device, "")
    assert [dialog["state"] for dialog in dave.all_told()] == ["terminated"]


def heard(leg: Phone) -> Response:
    """The last response to the leg's newest INVITE: refusals before it come again, as nobody acknowledges them."""
    responses = leg.responses("INVITE")
    newest = max(response.cseq for response in responses)
    last = [response for response in responses if response.cseq == newest][-1]
    leg.remote_tag = last.to_tag
    return last


def reinvited(phone: Phone) -> Request:
    """The re-INVITE that a caller gets, for the media of who has picked its call up."""
    return next(one for one in phone.requests("INVITE") if one.to_tag)


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("early_only", [True, False])
def test_what_rings_is_picked_up(world: World, swapped: bool, early_only: bool) -> None:
    dave, alice, devices, early = ringing(world, *DEVICES)
    leg = dave.pick_up(early, swapped=swapped, early_only=early_only)
    for device in devices:
        end_of(device, ELSEWHERE)
    answered, taken = alice.final("INVITE"), heard(leg)
    assert (answered.status, taken.status) == (200, 200)
    assert (answered.body, taken.body) == (OF_DAVE, OFFER)  # each hears where the other wants to be sent to
    alice.ack()
    leg.ack()
    assert [dialog["state"] for dialog in dave.all_told()] == ["terminated"]  # of bob: it is dave who talks
    assert len(world.node.flows.calls.phone_dialogs) == 2  # alice, and dave
    alice.request("BYE")
    world.wait(0.5)
    leg.answer(leg.requests("BYE")[-1], 200)
    record = next(r for r in world.node.flows.calls.registry.newest() if r.source == "alice")
    assert record.hangup_reason == "normal" and any("picked up" in note for note in record.notes)


def test_the_one_that_picked_it_up_hangs_up(world: World) -> None:
    dave, alice, [bob], early = ringing(world, BOB)
    leg = dave.pick_up(early)
    end_of(bob, ELSEWHERE)
    alice.final("INVITE")
    alice.ack()
    heard(leg)
    leg.ack()
    leg.request("BYE")
    world.wait(0.5)
    assert leg.statuses("BYE") == [200]
    alice.answer(alice.requests("BYE")[-1], 200)


def test_who_offers_other_media_has_the_caller_asked_again(world: World) -> None:
    dave, alice, [bob], early = ringing(world, BOB)
    leg = dave.pick_up(early, offer=WITH_VIDEO)
    end_of(bob, ELSEWHERE)
    assert b"m=audio" in alice.final("INVITE").body
    assert heard(leg).status == 100
    alice.ack()
    world.wait(0.5)
    again = reinvited(alice)
    assert content(again.body) == content(WITH_VIDEO)
    alice.answer(again, 200, body=ANSWER)
    world.wait(0.5)
    taken = heard(leg)
    assert (taken.status, taken.body) == (200, ANSWER)
    leg.ack()
    alice.request("BYE")
    world.wait(0.5)
    leg.answer(leg.requests("BYE")[-1], 200)


def test_without_media_in_common_both_are_told(world: World) -> None:
    dave, alice, [bob], early = ringing(world, BOB)
    leg = dave.pick_up(early, offer=WITH_VIDEO)
    end_of(bob, ELSEWHERE)
    alice.final("INVITE")
    alice.ack()
    world.wait(0.5)
    alice.answer(reinvited(alice), 488)
    world.wait(0.5)
    assert heard(leg).status == 488
    alice.answer(alice.requests("BYE")[-1], 200)


def test_a_caller_that_hangs_up_meanwhile_leaves_nobody_waiting(world: World) -> None:
    dave, alice, [bob], early = ringing(world, BOB)
    leg = dave.pick_up(early, offer=WITH_VIDEO)
    end_of(bob, ELSEWHERE)
    alice.final("INVITE")
    alice.ack()
    alice.request("BYE")
    world.wait(1.0)
    assert heard(leg).status == 480


def test_others_may_not_and_learn_nothing(world: World) -> None:
    dave, alice, [bob], early = ringing(world, BOB)
    mallory = Lamp(world, "mallory", MALLORY)
    assert heard(mallory.pick_up(early)).status == 481
    mallory.host = "203.0.113.43"
    assert heard(mallory.pick_up(early, login="nobody")).status in (401, 403)
    mallory.host = "203.0.113.44"
    assert heard(mallory.pick_up(early | {"call-id": "other"})).status == 481
    assert bob.requests("CANCEL") == []
    bob.answer(rung(bob), 200, body=ANSWER)
    world.wait(0.5)
    assert alice.final("INVITE").status == 200
    alice.ack()
    dave.all_told()
    # What was answered is not taken away from whom it talks with.
    assert heard(dave.pick_up(early)).status == 486
    dave.host = "203.0.113.45"
    assert heard(dave.pick_up(early, early_only=False)).status == 481
    alice.request("BYE")
    world.wait(0.5)
    bob.answer(bob.requests("BYE")[-1], 200)
    dave.host = DAVE
    assert [dialog["state"] for dialog in dave.all_told()] == ["terminated"]
    dave.host = "203.0.113.46"
    assert heard(dave.pick_up(early)).status == 481


def test_a_device_that_is_quicker_keeps_it(world: World) -> None:
    dave, alice, [bob], early = ringing(world, BOB)
    bob.answer(rung(bob), 200, body=ANSWER)
    world.wait(0.3)
    assert heard(dave.pick_up(early)).status == 486
    assert alice.final("INVITE").status == 200
    alice.ack()
    alice.request("BYE")
    world.wait(0.5)
    bob.answer(bob.requests("BYE")[-1], 200)


def test_what_nobody_watched_when_it_began_is_picked_up_by_who_is_told_of_it(world: World) -> None:
    [bob] = register(world, "bob", BOB)
    alice = world.phone(ALICE)
    call(alice, "bob", login="alice")
    bob.answer(rung(bob), 180)
    world.wait()
    dave = Lamp(world, "dave", DAVE)
    assert dave.subscribe("dialog", "bob", password="dave").status == 200
    [early] = dave.all_told()
    assert early["state"] == "early"
    leg = dave.pick_up(early)
    end_of(bob, ELSEWHERE)
    assert (alice.final("INVITE").status, heard(leg).status) == (200, 200)
    alice.ack()
    leg.ack()
    assert [dialog["state"] for dialog in dave.all_told()] == ["terminated"]
    alice.request("BYE")
    world.wait(0.5)
    leg.answer(leg.requests("BYE")[-1], 200)


def test_a_number_that_is_withheld_is_not_told(world: World) -> None:
    [bob] = register(world, "bob", BOB)
    dave = Lamp(world, "dave", DAVE)
    dave.watch()
    call(world.phone(ALICE), "bob", login="alice", headers="Privacy: id\r\n")
    world.wait()
    [early] = dave.all_told()
    assert early["remote"] == (f"sip:anonymous@{ENGINE}", None)
    bob.answer(rung(bob), 486)
    world.wait(0.3)
    dave.all_told()


# ---- who shares an address with one who talks (a NAT, an office of several customers), and has read its messages


def talking(world: World) -> tuple[Phone, Phone, str]:
    """alice and bob, and bob's call as Replaces has it."""
    [bob] = register(world, "bob", BOB)
    alice = world.phone(ALICE)
    call(alice, "bob", login="alice")
    invite = rung(bob)
    bob.answer(invite, 200, body=ANSWER, tag=bob.tag)
    world.wait(0.5)
    assert alice.final("INVITE").status == 200
    alice.ack()
    return alice, bob, f"{invite.call_id};to-tag={invite.from_tag};from-tag={bob.tag}"


def in_dialog(phone: Phone) -> Phone:
    """It speaks in the dialog of the call that it has answered."""
    phone.call_id, phone.remote_tag = rung(phone).call_id, rung(phone).from_tag
    return phone


def part(world: World, alice: Phone, other: Phone) -> None:
    other.request("BYE", cseq=900)
    world.wait(0.5)
    assert other.statuses("BYE") == [200]
    alice.answer(alice.requests("BYE")[-1], 200)
    world.wait(0.5)


def test_a_call_of_a_phone_that_was_rung_is_replaced_by_its_own_extension(world: World) -> None:
    alice, bob, replaces = talking(world)
    leg = world.phone(BOB, 5062)
    call(leg, "bob", login="bob", headers=f"Replaces: {replaces}\r\nRequire: replaces\r\n")
    alice.answer(reinvited(alice), 200, body=OFFER)
    world.wait(0.5)
    assert heard(leg).status == 200
    leg.ack()
    world.wait(0.5)
    bob.answer(bob.requests("BYE")[-1], 200)
    part(world, alice, leg)


@pytest.mark.parametrize("name", ["mallory", "dave"])
def test_who_shares_an_address_with_it_takes_no_call_of_its_by_replaces(world: World, name: str) -> None:
    alice, bob, replaces = talking(world)
    response = call(world.phone(BOB, 5062), "bob", login=name, headers=f"Replaces: {replaces}\r\nRequire: replaces\r\n")
    assert response.status == 403
    assert not bob.requests("BYE") and not [one for one in alice.requests("INVITE") if one.to_tag]
    part(world, alice, in_dialog(bob))


@pytest.mark.parametrize("name", ["mallory", "dave"])
def test_who_shares_an_address_with_it_joins_no_call_of_its_by_refer(world: World, name: str) -> None:
    alice, bob, replaces = talking(world)
    thief = world.phone(BOB, 5062)
    (victim,) = register(world, name, DAVE)
    call(thief, name, login=name)
    invite = rung(victim)
    victim.answer(invite, 200, body=OF_DAVE, tag=victim.tag)
    world.wait(0.5)
    thief.final("INVITE")
    thief.ack()
    thief.request("REFER", f"Refer-To: <sip:{ENGINE}?Replaces={quote(replaces, safe='')}>\r\n")
    world.wait(0.5)
    assert thief.statuses("REFER") == [202]
    for said in (b"SIP/2.0 100", b"SIP/2.0 481"):
        notify = thief.requests("NOTIFY")[-1]
        assert notify.body.startswith(said)
        thief.answer(notify, 200)
        world.wait(0.5)
    assert not [one for one in (*alice.requests("INVITE"), *victim.requests("INVITE")) if one.to_tag]
    part(world, in_dialog(victim), thief)
    part(world, alice, in_dialog(bob))


@pytest.mark.parametrize("pays", [ONE, OTHER])
def test_who_is_called_by_the_platform_and_transfers_the_call_pays_for_that(
    monkeypatch: pytest.MonkeyPatch, pays: UUID
) -> None:
    """RFC 5589: as if the transferor had dialled the target itself; the platform's flow rings everybody's phones."""
    destinations = [{"type": "extension", "target": "bob"}]
    world = World(
        monkeypatch,
        configured(
            providers=[{"name": "carrier", "hostname": TRUNK}],
            routes=[{"target": "all", "provider": "carrier"}],
            numbers=[{"number": "+15551234567", "call_flow": "to bob"}],
            flows=[{"name": "to bob", "actions": [{"type": "connect", "option": {"destinations": destinations}}]}],
        ),
    )
    asked = []
    router = type(world.node.flows.calls.router)
    genuine = router.hunt

    def hunt(self: Any, target: str, **more: Any) -> Any:
        asked.append((target, more["customer_id"]))
        return genuine(self, target, **more)

    monkeypatch.setattr(router, "hunt", hunt)
    extend(world, "bob", customer_id=pays)
    [bob] = register(world, "bob", BOB)
    trunk = world.phone(TRUNK)
    call(trunk, "+15551234567")
    bob.answer(rung(bob), 200, body=ANSWER, tag=bob.tag)
    world.wait(0.5)
    trunk.final("INVITE")
    trunk.ack()
    in_dialog(bob).request("REFER", f"Refer-To: <sip:+15559990000@{ENGINE}>\r\n", cseq=700)
    world.wait(0.5)
    assert bob.statuses("REFER") == [202]
    assert asked == [("+15559990000", pays)]
    far = [one for one in trunk.requests("INVITE") if not one.to_tag][-1]
    trunk.answer(far, 486)
    world.wait(1)
    assert world.node.flows.calls.registry.newest()[0].customer_id not in (ONE, OTHER)
    world.close()

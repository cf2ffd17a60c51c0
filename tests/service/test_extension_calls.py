"""Extensions are called by name: who may, which devices ring, and what becomes of those that do not answer."""

from collections.abc import Iterator
from itertools import count
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.sip.auth.digest import ha1_of_each
from engine.sip.binding import Binding
from engine.sip.flow import Flow
from engine.sip.message.message import Request, Response
from routing.directory.extensions import ExtensionRow
from service.phones.returning import AFTER_A_LOSS
from tests.simulation.agent import Wire
from tests.simulation.node import ENGINE, Phone, World, configured
from tests.simulation.peer import ANSWER, OFFER

ONE, OTHER = UUID(int=1), UUID(int=2)
ALICE, BOB, GUEST, TRUNK, OFFICE = "203.0.113.1", "203.0.113.2", "203.0.113.9", "198.51.100.1", "192.0.2.101"
DEVICES = ("203.0.113.21", "203.0.113.22", "203.0.113.23")
ELSEWHERE = 'SIP;cause=200;text="Call completed elsewhere"'
CALLS = count(1)
NUMBER, BRIEFLY = "+899100000001", "+899100000002"


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    destinations = [{"type": "extension", "target": "bob"}]
    made = World(
        monkeypatch,
        configured(
            sip={"trusted_networks": [f"{OFFICE}/32"]},
            providers=[{"name": "carrier", "hostname": TRUNK}],
            routes=[{"target": "all", "provider": "carrier"}],
            numbers=[{"number": NUMBER, "call_flow": "to bob"}, {"number": BRIEFLY, "call_flow": "briefly to bob"}],
            flows=[
                {
                    "name": "briefly to bob",
                    "actions": [{"type": "connect", "option": {"destinations": destinations, "ring_timeout": 10}}],
                },
                {"name": "to bob", "actions": [{"type": "connect", "option": {"destinations": destinations}}]},
                {"name": "busy", "actions": [{"type": "hangup", "option": {"reason": "busy"}}]},
            ],
        ),
    )
    for name, customer in (("alice", ONE), ("bob", ONE), ("carol", OTHER)):
        extend(made, name, customer_id=customer)
    yield made
    made.close()


def extend(world: World, name: str, **more: Any) -> ExtensionRow:
    row = ExtensionRow(name=name, realm="trunkline", ha1=ha1_of_each(name, "trunkline", name), **more)
    world.node.directory.put_extension(row)
    return row


def enter(world: World, name: str, binding: Binding, replaces: Binding | None = None) -> None:
    """A binding comes into the node's location, as by a REGISTER."""

    async def within() -> None:
        world.node.location.add(name, binding, replaces=replaces)

    world.network.until(within())


def register(world: World, name: str, *hosts: str, **more: Any) -> list[Phone]:
    """Devices of an extension. Their Contact is an address of their own network, behind a NAT."""
    phones = []
    for index, host in enumerate(hosts):
        flow = Flow(next(iter(world.node.agent.listeners)), host, 5060)
        values = {"uri": f"sip:{name}-{index}@10.1.2.3:5099;line=7", "flow": flow, "expires_at": 1e9} | more
        binding = Binding(id=f"{name}{host}", contact=f"<{values.pop('uri')}>", **values)
        enter(world, name, binding)
        phones.append(world.phone(host))
    return phones


def call(phone: Phone, target: str, login: str = "", headers: str = "", again: bool = False) -> Response:
    """A call, with credentials once they are asked for; what was heard of it last. `again`: with the same Call-ID."""
    uri = f"sip:{target}@{ENGINE}"
    phone.forget()
    phone.remote_tag = ""
    if not again:
        phone.call_id = f"call-{next(CALLS)}"
    phone.invite(headers, OFFER, uri=uri)
    if login and phone.statuses("INVITE")[-1] == 401:
        challenge = phone.final("INVITE")
        phone.remote_tag = ""
        phone.forget()
        phone.invite(headers + phone.credentials(challenge, "INVITE", uri, login, login, OFFER), OFFER, uri=uri)
    phone.network.run(0.3)  # a 100 comes after 200 ms
    return [response for response in phone.responses("INVITE") if response.call_id == phone.call_id][-1]


def rung(phone: Phone) -> Request:
    return phone.requests("INVITE")[-1]


def end_of(phone: Phone, reason: str) -> None:
    """A leg that was given up while it rang: CANCEL with this reason; it is answered as a phone does."""
    cancel, *again = phone.requests("CANCEL")
    assert not [one for one in again if one.via.branch != cancel.via.branch]
    assert cancel.first.get("Reason", "") == reason
    phone.answer(cancel, 200)
    phone.answer(rung(phone), 487)


# ---- who may


def test_a_phone_calls_another_of_its_customer_by_name(world: World) -> None:
    (bob,) = register(world, "bob", BOB)
    alice = world.phone(ALICE)
    call(alice, "bob", login="alice")
    invite = rung(bob)
    assert invite.uri_text == "sip:bob-0@10.1.2.3:5099;line=7"  # what it has registered, over the way that it came by
    assert invite.get("From").startswith(f"<sip:alice@{ENGINE}>")
    assert not invite.lines("P-Asserted-Identity")
    bob.answer(invite, 180)
    bob.answer(invite, 200, body=ANSWER)
    world.wait(0.5)
    assert alice.final("INVITE").status == 200
    alice.ack()
    (record,) = world.node.flows.calls.registry.newest()
    assert (record.source_type, record.source) == ("extension", "alice")
    assert (record.destination_type, record.destination, record.customer_id) == ("extension", "bob", ONE)
    assert [attempt.provider_name for attempt in record.attempts] == [""]


def test_the_name_of_the_extension_is_shown(world: World) -> None:
    extend(world, "alice", customer_id=ONE, display_name="Alice Liddell", caller_id="+15550001111")
    (bob,) = register(world, "bob", BOB)
    call(world.phone(ALICE), "bob", login="alice")
    assert rung(bob).get("From").startswith(f'"Alice Liddell" <sip:alice@{ENGINE}>')


def test_who_hides_is_hidden_from_the_phones_of_its_customer(world: World) -> None:
    (bob,) = register(world, "bob", BOB)
    call(world.phone(ALICE), "bob", login="alice", headers="Privacy: id\r\n")
    assert "anonymous.invalid" in rung(bob).get("From")
    assert "alice" not in "".join(f"{value}" for _, value in rung(bob).fields)


def test_a_trusted_network_calls_everybodys(world: World) -> None:
    (carol,) = register(world, "carol", BOB)
    call(world.phone(OFFICE), "carol")
    assert rung(carol)


def test_to_everybody_else_an_extension_is_a_name_that_does_not_exist(world: World) -> None:
    register(world, "bob", BOB)
    register(world, "carol", *DEVICES)
    known = {}
    for target in ("bob", "nobody"):
        known[target] = [
            call(world.phone(GUEST), target).status,
            call(world.phone(TRUNK), target).status,
            call(world.phone(GUEST), target, login="carol").status,
        ]
    assert known["bob"] == known["nobody"] == [401, 404, 404]
    assert call(world.phone(ALICE), "carol", login="alice").status == 404
    assert not any(world.phone(host).heard for host in (BOB, *DEVICES))


def test_a_guest_that_shows_nothing_is_told_that_there_is_no_such_name(world: World) -> None:
    guest = world.phone(GUEST)
    for target in ("bob", "nobody"):
        assert [call(guest, target, again=again).status for again in (False, True)] == [401, 404]


def test_an_extension_goes_before_a_number_and_an_emergency_before_it(world: World) -> None:
    alice = world.phone(ALICE)
    for name in ("101", "2125550001", "911"):
        extend(world, name, customer_id=ONE)
        register(world, name, *DEVICES[:1])
    call(alice, "101", login="alice")
    assert world.phone(DEVICES[0]).heard == []
    assert [alice.statuses("INVITE")[-1]] == [100]


def test_nobody_rings_where_nothing_is_registered(world: World) -> None:
    alice = world.phone(ALICE)
    assert call(alice, "bob", login="alice").status == 480
    extend(world, "bob", customer_id=ONE, active=False)
    register(world, "bob", BOB)
    assert call(alice, "bob", login="alice").status == 404


def test_what_is_expired_or_has_lost_its_connection_is_not_called(world: World) -> None:
    register(world, "bob", BOB, expires_at=world.network.now - 1)
    assert call(world.phone(ALICE), "bob", login="alice").status == 480


# ---- the devices


def test_one_device_is_asked_over_one_flow_rfc_5626_5_3(world: World) -> None:
    old, new = register(world, "bob", *DEVICES[:2], instance="<urn:uuid:1>")
    call(world.phone(ALICE), "bob", login="alice")
    assert not old.heard
    assert rung(new)


def ringing(world: World, count: int = 3) -> tuple[Phone, list[Phone]]:
    devices = register(world, "bob", *DEVICES[:count])
    alice = world.phone(ALICE)
    call(alice, "bob", login="alice")
    for device in devices:
        device.answer(rung(device), 180, tag=device.tag)
    return alice, devices


@pytest.mark.parametrize("first", range(3))
def test_all_devices_ring_and_the_others_hear_that_the_call_was_taken_elsewhere(world: World, first: int) -> None:
    alice, devices = ringing(world)
    devices[first].answer(rung(devices[first]), 200, body=ANSWER, tag=devices[first].tag)
    world.wait(0.5)
    assert alice.final("INVITE").status == 200
    alice.ack()
    for device in devices[:first] + devices[first + 1 :]:
        end_of(device, ELSEWHERE)
    assert not devices[first].requests("CANCEL")


def test_a_late_answer_is_ended_with_the_same_reason(world: World) -> None:
    alice, (one, two) = ringing(world, 2)
    one.answer(rung(one), 200, body=ANSWER, tag=one.tag)
    two.answer(rung(two), 200, body=ANSWER, tag=two.tag)
    world.wait(0.5)
    assert alice.final("INVITE").status == 200
    assert two.requests("ACK")
    bye = two.requests("BYE")[0]
    assert bye.get("Reason") == ELSEWHERE
    assert not one.requests("BYE")


def test_who_gives_up_leaves_no_such_reason(world: World) -> None:
    alice, devices = ringing(world)
    alice.cancel(rung_branch(alice))
    world.wait(0.5)
    for device in devices:
        end_of(device, "")


def rung_branch(phone: Phone) -> str:
    """The branch of the INVITE that the phone has sent last."""
    return phone.responses("INVITE")[-1].branch


def test_busy_everywhere_is_busy(world: World) -> None:
    alice, devices = ringing(world)
    for device in devices:
        assert alice.statuses("INVITE")[-1] < 200
        device.answer(rung(device), 486, tag=device.tag)
    world.wait(0.5)
    assert alice.final("INVITE").status == 486


def test_a_decline_of_one_ends_all(world: World) -> None:
    alice, devices = ringing(world)
    devices[1].answer(rung(devices[1]), 603, tag=devices[1].tag)
    world.wait(0.5)
    assert alice.final("INVITE").status == 603
    for device in (devices[0], devices[2]):
        end_of(device, 'SIP;cause=603;text="Decline"')


def test_lower_q_comes_later(world: World) -> None:
    (first,) = register(world, "bob", DEVICES[0])
    (second,) = register(world, "bob", DEVICES[1], q=0.5)
    call(world.phone(ALICE), "bob", login="alice")
    assert not second.heard
    first.answer(rung(first), 480)
    world.wait(0.5)
    assert rung(second)


def test_a_path_is_gone_by(world: World) -> None:
    edge = world.phone("198.51.100.50")
    register(world, "bob", BOB, path=("sip:token@198.51.100.50;lr", "sip:inner@198.51.100.51;lr"))
    call(world.phone(ALICE), "bob", login="alice")
    invite = rung(edge)
    assert invite.uri_text == "sip:bob-0@10.1.2.3:5099;line=7"
    assert invite.lines("Route") == ["<sip:token@198.51.100.50;lr>", "<sip:inner@198.51.100.51;lr>"]


def test_a_registration_ends_whose_proxy_has_lost_the_connection_rfc_5626_5_3_1(world: World) -> None:
    edge = world.phone("198.51.100.50")
    register(world, "bob", BOB, path=("sip:token@198.51.100.50;lr",))
    alice = world.phone(ALICE)
    call(alice, "bob", login="alice")
    edge.answer(rung(edge), 430, tag="edge")
    world.wait(0.3)
    assert alice.final("INVITE").status == 480
    assert not world.node.location.bindings("bob")


def test_phones_of_one_edge_with_the_same_contact_and_instance_are_each_their_extensions(world: World) -> None:
    """Behind one edge, two private networks have the same addresses: the Path is what tells them apart."""
    instance = "<urn:uuid:the-same>"
    register(world, "bob", BOB, path=("sip:bobs@198.51.100.50;lr",), uri="sip:x@10.1.2.3", instance=instance)
    register(world, "anna", BOB, path=("sip:annas@198.51.100.50;lr",), uri="sip:x@10.1.2.3", instance=instance)
    extend(world, "anna", customer_id=ONE)
    edge = world.phone("198.51.100.50")
    for host, name in ((DEVICES[0], "bob"), (ALICE, "anna")):
        alice = world.phone(host)
        call(alice, name, login="alice")
    asked = {invite.get("Route"): invite for invite in edge.requests("INVITE")}
    assert asked.keys() == {"<sip:bobs@198.51.100.50;lr>", "<sip:annas@198.51.100.50;lr>"}
    edge.answer(asked["<sip:annas@198.51.100.50;lr>"], 430, tag="edge")
    world.wait(0.5)
    assert alice.final("INVITE").status == 480
    assert not world.node.location.bindings("anna") and world.node.location.bindings("bob")


def test_without_a_proxy_430_is_an_answer_like_another(world: World) -> None:
    (bob,) = register(world, "bob", BOB)
    alice = world.phone(ALICE)
    call(alice, "bob", login="alice")
    bob.answer(rung(bob), 430, tag="bob")
    world.wait(0.3)
    assert alice.final("INVITE").status == 430
    assert world.node.location.bindings("bob")


@pytest.mark.parametrize("host", [TRUNK, ENGINE])
def test_no_path_leads_to_a_provider_or_back_to_us(world: World, host: str) -> None:
    register(world, "bob", BOB, path=(f"sip:{host};lr",), uri=f"sip:+19005551234@{host}")
    assert call(world.phone(ALICE), "bob", login="alice").status == 480
    assert not world.phone(TRUNK).heard


# ---- flows


def test_a_flow_connects_an_extension(world: World) -> None:
    (bob,) = register(world, "bob", BOB)
    call(world.phone(GUEST), NUMBER)
    assert rung(bob)


def test_its_own_flow_runs_where_it_does_not_answer(world: World) -> None:
    flow = world.node.library.find("busy")
    assert flow is not None
    extend(world, "bob", customer_id=ONE, call_flow_id=UUID(flow.id))
    assert call(world.phone(ALICE), "bob", login="alice").status == 486


# ---- from a trusted network


def test_a_phone_of_a_trusted_network_is_the_extension_that_has_registered_from_there(world: World) -> None:
    register(world, "alice", OFFICE)
    (bob,) = register(world, "bob", BOB)
    office = world.phone(OFFICE)
    call(office, "bob")
    assert rung(bob).get("From").startswith(f"<sip:alice@{ENGINE}>")
    assert call(office, "carol").status == 404  # she is another customer's


# ---- phones that move


def talking(world: World) -> tuple[Phone, Phone, Binding]:
    """Alice's phone talks with Bob's, which has registered with an instance."""
    (bob,) = register(world, "bob", BOB, instance="<urn:uuid:b>")
    alice = world.phone(ALICE)
    call(alice, "bob", login="alice")
    bob.answer(rung(bob), 200, body=ANSWER)
    world.wait(0.3)
    alice.final("INVITE")
    alice.ack()
    world.wait(0.1)
    (binding,) = world.node.location.bindings("bob")
    return alice, bob, binding


def moved(world: World, binding: Binding, host: str) -> Binding:
    """The same device, registered from somewhere else."""
    flow = Flow(next(iter(world.node.agent.listeners)), host, 5060)
    return Binding(id="new", contact=binding.contact, instance=binding.instance, flow=flow, expires_at=1e9)


def test_a_call_follows_its_phone_that_registers_from_elsewhere(world: World) -> None:
    alice, bob, binding = talking(world)
    there = world.phone(DEVICES[0])
    enter(world, "bob", moved(world, binding, DEVICES[0]), replaces=binding)
    world.wait(0.5)
    alice.request("BYE")
    world.wait(0.1)
    assert there.requests("BYE")
    assert not bob.requests("BYE")


def test_another_device_of_the_extension_takes_no_call(world: World) -> None:
    alice, bob, binding = talking(world)
    there = world.phone(DEVICES[0])
    other = moved(world, binding, DEVICES[0])
    other.instance = "<urn:uuid:c>"
    enter(world, "bob", other)
    world.wait(0.5)
    alice.request("BYE")
    world.wait(0.1)
    assert bob.requests("BYE")
    assert not there.heard


def test_who_shares_a_way_in_with_others_takes_no_call_of_theirs_along(world: World) -> None:
    """A gateway registers many extensions by one socket. Who knows the password of one must not be given the calls of
    the rest."""
    alice, bob, _ = talking(world)
    flow = Flow(next(iter(world.node.agent.listeners)), BOB, 5060)
    carols = Binding(id="c", contact="<sip:c@10.1.2.3>", instance="<urn:uuid:c>", flow=flow, expires_at=1e9)
    enter(world, "carol", carols)
    thief = world.phone(DEVICES[0])
    enter(world, "carol", moved(world, carols, DEVICES[0]), replaces=carols)
    world.wait(0.5)
    alice.request("BYE")
    world.wait(0.1)
    assert bob.requests("BYE") and not thief.heard


@pytest.mark.parametrize("last", ["bob", "carol"])
def test_nor_when_the_way_that_they_share_is_lost(world: World, last: str) -> None:
    alice, _, binding = talking(world)
    flow = Flow(next(iter(world.node.agent.listeners)), BOB, 5060)
    carols = Binding(id="c", contact="<sip:c@10.1.2.3>", instance="<urn:uuid:c>", flow=flow, expires_at=1e9)
    enter(world, "carol", carols)
    for name in ("carol", "bob") if last == "bob" else ("bob", "carol"):
        connection_lost(world, BOB, name)
    thief = world.phone(DEVICES[0])
    enter(world, "carol", moved(world, carols, DEVICES[0]))
    alice.request("INFO")
    world.wait(0.5)
    alice.request("BYE")
    world.wait(0.1)
    assert not thief.heard and binding.instance


def test_nor_does_who_leaves_an_edge_of_ours(world: World) -> None:
    """Behind an edge many share one way in, and what is there beside them needs no registration."""
    alice, bob, binding = talking(world)
    world.node.peers.settings.edges.add(f"{BOB}/32", True)
    thief = world.phone(DEVICES[0])
    enter(world, "bob", moved(world, binding, DEVICES[0]), replaces=binding)
    world.wait(0.5)
    alice.request("BYE")
    world.wait(0.1)
    assert bob.requests("BYE") and not thief.heard


def test_the_moved_phone_changes_its_call_from_where_it_is(world: World) -> None:
    _, bob, binding = talking(world)
    enter(world, "bob", moved(world, binding, DEVICES[0]), replaces=binding)
    world.wait(0.5)
    there = world.phone(DEVICES[0]).like(bob)
    invite = rung(bob)
    there.call_id, there.tag, there.remote_tag = invite.call_id, bob.tag, invite.from_tag
    there.request("INFO", "Content-Type: application/dtmf-relay\r\n", b"Signal=1\r\n")
    world.wait(0.3)
    assert there.statuses("INFO")[-1] != 403


def connection_lost(world: World, host: str, name: str = "bob") -> None:
    """The connection of a device breaks, and its binding ends with it."""
    wire = next(iter(world.node.agent.listeners))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(wire), "reliable", True)
        patch.setattr(type(wire), "connected", lambda _wire, _flow: False)

        async def within() -> None:
            (binding,) = [one for one in world.node.location.bindings(name) if one.flow and one.flow.host == host]
            world.node.location.remove(name, binding, "expired", "connection lost")

        world.network.until(within())
    world.wait(0.5)


def away(world: World) -> Phone:
    """Bob's only phone has lost its connection."""
    (bob,) = register(world, "bob", BOB, instance="<urn:uuid:b>")
    connection_lost(world, BOB)
    return bob


def test_a_call_waits_for_a_phone_that_has_lost_its_connection_rfc_5626_4_5(world: World) -> None:
    away(world)
    alice = world.phone(ALICE)
    assert call(alice, "bob", login="alice").status == 100
    world.wait(12)
    (back,) = register(world, "bob", DEVICES[0], instance="<urn:uuid:b>")
    world.wait(0.3)
    back.answer(rung(back), 200, body=ANSWER)
    world.wait(0.3)
    assert alice.final("INVITE").status == 200


def test_nobody_waits_longer_than_a_phone_is_expected(world: World) -> None:
    away(world)
    alice = world.phone(ALICE)
    call(alice, "bob", login="alice")
    world.wait(AFTER_A_LOSS + 1)
    assert alice.final("INVITE").status == 480
    assert call(alice, "bob", login="alice", again=False).status == 480  # at once


def test_who_hangs_up_waits_no_longer(world: World) -> None:
    away(world)
    alice = world.phone(ALICE)
    call(alice, "bob", login="alice")
    world.wait(1)
    alice.cancel(rung_branch(alice))
    world.wait(0.5)
    assert alice.final("INVITE").status == 487
    (back,) = register(world, "bob", DEVICES[0], instance="<urn:uuid:b>")
    world.wait(1)
    assert not back.requests("INVITE")


def test_the_flow_of_an_extension_runs_where_its_phone_does_not_come_back(world: World) -> None:
    flow = world.node.library.find("busy")
    assert flow is not None
    extend(world, "bob", customer_id=ONE, call_flow_id=UUID(flow.id))
    away(world)
    alice = world.phone(ALICE)
    assert call(alice, "bob", login="alice").status == 100
    world.wait(AFTER_A_LOSS + 1)
    assert alice.final("INVITE").status == 486


def test_a_flow_waits_for_a_phone_and_lets_it_ring_as_long_as_it_says(world: World) -> None:
    away(world)
    guest = world.phone(GUEST)
    assert call(guest, BRIEFLY).status == 100
    world.wait(6)
    (back,) = register(world, "bob", DEVICES[0], instance="<urn:uuid:b>")
    world.wait(0.3)
    back.answer(rung(back), 180)
    world.wait(2)
    assert not back.requests("CANCEL")
    world.wait(3)
    assert back.requests("CANCEL")


def test_a_phone_that_has_taken_its_leave_is_not_waited_for(world: World) -> None:
    register(world, "bob", BOB, instance="<urn:uuid:b>")

    async def leaves() -> None:
        (binding,) = world.node.location.bindings("bob")
        world.node.location.remove("bob", binding)

    world.network.until(leaves())
    assert call(world.phone(ALICE), "bob", login="alice").status == 480


def test_where_a_ringing_phone_loses_its_connection_the_others_ring_on_rfc_5626_5_3_1(world: World) -> None:
    alice, (one, two) = ringing(world, 2)
    connection_lost(world, one.host)
    assert one.requests("CANCEL")
    assert alice.statuses("INVITE")[-1] < 200
    two.answer(rung(two), 200, body=ANSWER, tag=two.tag)
    world.wait(0.3)
    assert alice.final("INVITE").status == 200


def test_where_the_only_phone_loses_its_connection_the_caller_is_told(world: World) -> None:
    alice, (one,) = ringing(world, 1)
    connection_lost(world, one.host)
    assert alice.final("INVITE").status == 480


def test_a_call_that_is_up_waits_for_its_phone_to_come_back(world: World) -> None:
    alice, bob, binding = talking(world)
    connection_lost(world, BOB)
    there = world.phone(DEVICES[0])
    world.wait(10.0)
    enter(world, "bob", moved(world, binding, DEVICES[0]))
    world.wait(0.5)
    alice.request("BYE")
    world.wait(0.1)
    assert there.requests("BYE")
    assert not bob.requests("BYE")


@pytest.mark.parametrize(("away", "hears"), [(5.0, True), (29.0, True), (31.0, False)])
def test_a_hang_up_waits_for_the_phone_that_is_away_and_its_caller_does_not(
    world: World, away: float, hears: bool
) -> None:
    alice, bob, binding = talking(world)
    connection_lost(world, BOB)
    there = world.phone(DEVICES[0])
    alice.request("BYE")
    world.wait(0.1)
    assert alice.final("BYE").status == 200
    assert not world.node.agent.calls
    world.wait(away - 0.7)
    enter(world, "bob", moved(world, binding, DEVICES[0]))
    world.wait(0.5)
    assert len(there.requests("BYE")) == hears
    assert not bob.requests("BYE")
    assert not world.node._moved_calls.away


def test_a_hang_up_that_a_lost_connection_has_swallowed_is_sent_again(world: World) -> None:
    alice, bob, binding = talking(world)
    there = world.phone(DEVICES[0])
    alice.request("BYE")
    world.wait(0.1)
    assert bob.requests("BYE")  # which it does not hear: its connection is gone
    connection_lost(world, BOB)
    world.wait(5.0)
    enter(world, "bob", moved(world, binding, DEVICES[0]))
    world.wait(0.5)
    (bye,) = there.requests("BYE")[:1]
    assert (bye.cseq, bye.call_id) == (bob.requests("BYE")[0].cseq, bob.requests("BYE")[0].call_id)
    there.answer(bye, 200)
    world.wait(40.0)
    assert not world.node._moved_calls.away


def test_a_phone_that_missed_our_ack_gets_it_where_it_is_now_13_2_2_4(world: World) -> None:
    _, bob, binding = talking(world)
    there = world.phone(DEVICES[0])
    connection_lost(world, BOB)
    enter(world, "bob", moved(world, binding, DEVICES[0]))
    there.answer(rung(bob), 200, body=ANSWER, tag=bob.tag)
    world.wait(0.1)
    assert there.requests("ACK")


def test_a_reinvite_waits_for_the_phone_that_is_away(world: World) -> None:
    alice, _, binding = talking(world)
    connection_lost(world, BOB)
    there = world.phone(DEVICES[0])
    alice.request("INVITE", f"Contact: {alice.contact}\r\nContent-Type: application/sdp\r\n", OFFER)
    world.wait(3.0)
    enter(world, "bob", moved(world, binding, DEVICES[0]))
    world.wait(0.2)
    there.answer(rung(there), 200, body=ANSWER)
    world.wait(0.2)
    assert alice.final("INVITE").status == 200


def test_what_waits_for_a_phone_that_does_not_come_back_fails(world: World) -> None:
    alice, bob, _ = talking(world)
    connection_lost(world, BOB)
    for _ in range(20):
        alice.request("INFO", "Content-Type: application/dtmf-relay\r\n", b"Signal=1\r\n")
    alice.request("INVITE", f"Contact: {alice.contact}\r\nContent-Type: application/sdp\r\n", OFFER)
    world.wait(31.0)
    assert alice.final("INVITE").status >= 400
    assert alice.requests("BYE")  # a re-INVITE that nobody answers ends the call (RFC 3261 §14.1)
    assert not bob.requests("INVITE")[1:]
    assert not world.node.agent.calls


def test_who_talks_with_a_page_that_was_closed_is_hung_up_on_after_a_while(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page that is loaded anew has another instance, and knows nothing of its call (RFC 7118 §5)."""
    alice, _, binding = talking(world)
    connection_lost(world, BOB)
    monkeypatch.setattr(type(next(iter(world.node.agent.listeners))), "connects", False)
    world.wait(5.0)
    anew = moved(world, binding, DEVICES[0])
    anew.instance = "<urn:uuid:another>"
    enter(world, "bob", anew)
    world.wait(20.0)
    assert not alice.requests("BYE")
    world.wait(5.5)
    assert alice.requests("BYE")
    alice.answer(alice.requests("BYE")[-1], 200)
    world.wait(33.0)
    assert not world.node.agent.calls and not world.node._moved_calls.away


def test_a_phone_that_can_be_reached_otherwise_keeps_its_call(world: World) -> None:
    alice, _, _ = talking(world)
    connection_lost(world, BOB)
    world.wait(60.0)
    assert not alice.requests("BYE") and len(world.node.agent.calls) == 2


# ---- transfers


def test_a_phone_transfers_its_caller_to_another_by_name(world: World) -> None:
    (bob,) = register(world, "bob", BOB)
    (dora,) = register(world, "dora", DEVICES[0])
    extend(world, "dora", customer_id=ONE)
    guest = world.phone(GUEST)
    call(guest, NUMBER)
    bob.answer(rung(bob), 200, body=ANSWER, tag=bob.tag)
    world.wait(0.3)
    guest.final("INVITE")
    guest.ack()
    invite = rung(bob)
    bob.call_id, bob.remote_tag = invite.call_id, invite.from_tag
    for target, status in (("carol", 404), ("dora", 202)):
        bob.request("REFER", f"Refer-To: <sip:{target}@{ENGINE}>\r\nContact: {bob.contact}\r\n")
        world.wait(0.3)
        assert bob.final("REFER").status == status
    assert rung(dora)


# ---- SIPS URIs


class Plain(Wire):
    """The same network, in the clear."""

    name = "udp"


@pytest.mark.parametrize(
    ("scheme", "over", "rings", "status", "warning"),
    [
        ("sips", ("tls",), (True,), 100, ""),
        ("sips", ("udp",), (False,), 480, '380 trunkline "SIPS Not Allowed"'),
        ("sips", ("udp", "tls"), (False, True), 100, ""),
        ("sip", ("udp", "tls"), (True, True), 100, ""),
        ("sips", (), (), 480, ""),
    ],
)
def test_who_asks_for_tls_reaches_no_phone_in_the_clear_rfc_5630_5_3(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    scheme: str,
    over: tuple[str, ...],
    rings: tuple[bool, ...],
    status: int,
    warning: str,
) -> None:
    monkeypatch.setattr(Wire, "name", "tls")
    (listener,) = world.node.agent.listeners
    plain = Plain(world.network, ENGINE)
    phones = []
    for host, transport in zip(DEVICES, over, strict=False):
        flow = Flow(listener if transport == "tls" else plain, host, 5060)
        phones += register(world, "bob", host, flow=flow)
    desk = world.phone(OFFICE)
    desk.forget()
    desk.invite("", OFFER, uri=f"{scheme}:bob@{ENGINE}")
    world.wait(0.5)
    assert tuple(bool(phone.requests("INVITE")) for phone in phones) == rings
    answer = desk.responses("INVITE")[-1]
    assert (answer.status, answer.first.get("Warning", "")) == (status, warning)


# ---- whatever the devices say


def settle(device: Phone) -> str:
    """What has become of a device's leg, once it has answered what was asked of it last: "up", "ended", or what not."""
    invite = rung(device)
    answered = ANSWERED.get((device.host, invite.call_id))
    if device.requests("CANCEL") and answered is None:
        device.answer(device.requests("CANCEL")[0], 200)
        device.answer(invite, 487, tag=device.tag)
        return "ended"
    if answered == 200:
        assert device.requests("ACK")
        byes = device.requests("BYE")
        if byes:
            device.answer(byes[0], 200)
        return "ended" if byes else "up"
    return "ended" if answered else "left ringing"


ANSWERED: dict[tuple[str, str], int] = {}
STATUSES = [180, 183, 200, 200, 486, 480, 603, 302]
STEPS = st.lists(st.tuples(st.integers(0, 2), st.sampled_from(STATUSES), st.sampled_from([0.0, 0.3])), max_size=6)


@settings(max_examples=40)
@given(STEPS)
def test_one_leg_at_most_stays_up_and_every_other_is_ended(steps: list[tuple[int, int, float]]) -> None:
    ANSWERED.clear()
    with pytest.MonkeyPatch.context() as patch:
        world = World(patch, configured())
        try:
            for name in ("alice", "bob"):
                extend(world, name, customer_id=ONE)
            devices = register(world, "bob", *DEVICES)
            alice = world.phone(ALICE)
            call(alice, "bob", login="alice")
            for device in devices:
                device.answer(rung(device), 180, tag=device.tag)
            for index, status, pause in steps:
                device = devices[index]
                invite, key = rung(device), (device.host, rung(device).call_id)
                if key not in ANSWERED:
                    device.answer(invite, status, body=ANSWER if status == 200 else b"", tag=device.tag)
                    if status >= 200:
                        ANSWERED[key] = status
                world.wait(pause)
                if 200 in alice.statuses("INVITE") and not alice.remote_tag:
                    alice.final("INVITE")
                    alice.ack()
            world.wait(90.0)  # who has said nothing is given up
            ends = [settle(device) for device in devices]
            world.wait(40.0)
            assert sorted(ends)[:2] == ["ended", "ended"], ends
            final = alice.final("INVITE").status
            assert (final == 200) == ("up" in ends), (final, ends)
            first = next((ANSWERED[key] for key in ANSWERED if ANSWERED[key] in (200, 603)), 0)
            assert final == first or (first == 0 and final in (408, 480, 486))
        finally:
            world.close()


def test_the_sound_between_phones_behind_nats_may_pass_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their descriptions name addresses of their own networks, which the other does not reach."""
    heard = {}
    for phones in ("direct", "anchor"):
        world = World(monkeypatch, configured(media={"phones": phones}))
        for name in ("alice", "bob"):
            extend(world, name, customer_id=ONE)
        (bob,) = register(world, "bob", BOB)
        call(world.phone(ALICE), "bob", login="alice")
        heard[phones] = rung(bob).body
        bob.answer(rung(bob), 486)
        world.wait(0.5)
        world.close()
    assert heard["direct"] == OFFER
    assert f"c=IN IP4 {ENGINE}\r\n".encode() in heard["anchor"]


def test_who_shares_a_flow_is_known_there_for_as_long_as_it_has_a_binding_there(world: World) -> None:
    location, contacts = world.node.location, world.node.contacts
    flow = Flow(next(iter(world.node.agent.listeners)), BOB, 5060)
    made = {
        key: Binding(id=key, contact=f"<sip:{key}@10.1.2.3>", flow=flow, expires_at=1e9) for key in ("a1", "a2", "c1")
    }
    for key, name in (("a1", "alice"), ("a2", "alice"), ("c1", "carol")):
        enter(world, name, made[key])

    def known(claimed: str = "") -> str:
        found = contacts.extension_at(flow, claimed)
        return "" if found is None else found.name

    assert (known(), known("alice"), known("carol"), known("bob")) == ("", "alice", "carol", "")
    location.remove("alice", made["a1"])
    assert (known(), known("alice")) == ("", "alice")
    location.refreshed("alice", made["a2"], Binding(id="a2", contact="<sip:a2@10.1.2.3>", flow=flow, expires_at=2e9))
    assert (known(), known("alice"), made["a2"].expires_at) == ("", "alice", 2e9)
    location.remove("alice", made["a2"])
    assert (known(), known("alice")) == ("carol", "carol")
    away = Flow(next(iter(world.node.agent.listeners)), DEVICES[0], 5060)
    location.refreshed("carol", made["c1"], Binding(id="c1", contact="<sip:c1@10.1.2.3>", flow=away, expires_at=2e9))
    assert known() == "" and contacts.extension_at(away) is not None
    location.remove("carol", made["c1"])
    assert contacts.extension_at(away) is None

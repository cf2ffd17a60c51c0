"""Attended transfer: a phone that talks with two, in two calls of ours, joins them (RFC 5589 §7, RFC 3891)."""

import gc
import random
from typing import Any
from urllib.parse import quote

import pytest

from engine.sip.message.message import Request
from flows.calls.record import CallRecord
from flows.transfer.refer import MAX_TRANSFERS
from tests.service.test_transfers import (
    AGAIN_A,
    AGAIN_B,
    ALLOW,
    AWAY,
    FOREIGN,
    KEY,
    OF_TARGET,
    OF_THIRD,
    OTHER,
    OURS,
    Phone,
    World,
)
from tests.simulation.agent import CALLEE, ENGINE
from tests.simulation.peer import OFFER, content

AGAIN = OFFER.replace(b"10.0.0.1", b"10.0.0.9").replace(b"4000", b"4900")
ROLES = [(one, other) for one in ("callee", "caller") for other in ("callee", "caller")]


class Desk(World):
    """`t` talks with `x` in its first call, and `u`, which is the same phone, with `y` in its second. Each of them is
    the caller or the callee of its call, as `roles` say of the phone."""

    def __init__(self, patch: pytest.MonkeyPatch, roles: tuple[str, str] = ("callee", "caller"), **more: Any) -> None:
        super().__init__(patch, **more)  # type: ignore[arg-type]
        self.roles = roles
        self.talking()
        self.t, self.x = (self.b, self.a) if roles[0] == "callee" else (self.a, self.b)
        self.u = self.phone(self.t.host, AGAIN, 5062)
        if roles[1] == "caller":
            self.y = self.c
            self.connect(self.u, FOREIGN, self.y)
        else:
            self.y = self.d
            self.connect(self.y, AGAIN_B if self.t is self.b else AGAIN_A, self.u)

    def replaces(self, of: Phone | None = None) -> str:
        """The dialog of a phone, as it names it itself."""
        phone = of or self.u
        return f"{phone.call_id};to-tag={phone.remote_tag};from-tag={phone.tag}"

    def join(self, replaces: str = "", by: Phone | None = None) -> int:
        """The final response to the REFER."""
        who = by or self.t
        escaped = quote(replaces or self.replaces(), safe="")
        who.request("REFER", f"Refer-To: <sip:{ENGINE}?Replaces={escaped}>\r\n")
        self.wait(0.2)
        return who.statuses("REFER")[-1]

    def joined(self) -> bool:
        """What x and y say arrives at the other one, and their media goes there."""
        for one, other in ((self.x, self.y), (self.y, self.x)):
            one.forget()
            other.forget()
            one.request("INFO", KEY, b"Signal=1\r\n")
            self.wait()
            if one.statuses("INFO")[-1:] != [200] or not other.requests("INFO"):
                return False
        return True

    def leave(self) -> None:
        """The phone does what phones do when they are told that it went well."""
        for phone in (self.t, self.u):
            if not phone.requests("BYE"):
                phone.request("BYE")
        self.wait()

    def record(self, destination: str) -> CallRecord:
        [found] = [record for record in self.records if record.destination == destination]
        return found


@pytest.fixture(params=ROLES, ids=["-".join(roles) for roles in ROLES])
def desk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Desk:
    gc.collect()
    return Desk(monkeypatch, request.param)


@pytest.fixture
def usual(monkeypatch: pytest.MonkeyPatch) -> Desk:
    gc.collect()
    return Desk(monkeypatch)


# ---- the two are joined


@pytest.mark.parametrize("last", ["x", "y"])
def test_the_two_that_a_phone_talks_with_are_joined(desk: Desk, last: str) -> None:
    assert desk.join() == 202
    assert desk.t.told == ["SIP/2.0 100 Trying", "SIP/2.0 200 OK"]
    assert desk.t.requests("NOTIFY")[-1].get("Subscription-State").startswith("terminated")
    assert desk.u.requests("BYE"), "the replaced call has ended"
    assert not desk.x.requests("BYE") and not desk.y.requests("BYE")
    # One of the two was asked for a fresh offer, which the other took, and has its answer in the ACK.
    offers = desk.x.moved_to + desk.y.moved_to
    assert b"" in offers and (content(desk.x.body) in offers or content(desk.y.body) in offers)
    answers = {content(ack.body) for phone in (desk.x, desk.y) for ack in phone.requests("ACK")}
    assert answers & {content(desk.x.body), content(desk.y.body)}
    desk.leave()
    assert desk.joined()
    desk.wait(5)
    assert desk.joined()
    getattr(desk, last).request("BYE")
    desk.wait()
    assert getattr(desk, "y" if last == "x" else "x").requests("BYE")
    assert desk.over()
    assert all(record.status == "hangup" and record.ended_ms is not None for record in desk.records)
    assert len(desk.records) == (3 if desk.roles == ("caller", "caller") else 2)


def test_a_phone_that_stays_is_hung_up(desk: Desk) -> None:
    desk.join()
    desk.wait(4)
    assert len(desk.t.requests("BYE")) == 1 and len(desk.u.requests("BYE")) == 1
    assert desk.joined()
    desk.x.request("BYE")
    desk.wait()
    assert desk.over()


def test_records_say_who_talked_with_whom(usual: Desk) -> None:
    usual.join()
    usual.leave()
    usual.wait(60)
    [running] = usual.flows.calls.registry.running_records()
    assert running.destination == OURS  # of the one who was called by x: it talks on
    first, second = running, usual.record(FOREIGN)
    assert second.hangup_reason == "normal" and second.answered_ms is not None
    assert any(second.id in note and "answered" in note for note in first.notes)
    assert any(first.id in note for note in second.notes)
    assert usual.board.channels(usual.carrier.id) == 1  # y is paid for until it is over
    usual.y.request("BYE")
    usual.wait()
    assert usual.board.channels(usual.carrier.id) == 0
    assert first.ended_ms is not None and second.ended_ms is not None and first.ended_ms > second.ended_ms + 50_000
    assert usual.over()


class Account:
    """Gives credit to everybody, and keeps what is open: by the call that it was asked for."""

    def __init__(self) -> None:
        self.open: list[Credit] = []

    def rated(self, customer_id: object) -> bool:
        return True

    async def reserve(self, customer_id: object, call_id: object, rate: int) -> "Credit":
        return Credit(self, str(call_id))


class Credit:
    def __init__(self, account: Account, call_id: str) -> None:
        self.account, self.call_id = account, call_id
        self.exhausted: Any = None

    def answered(self, exhausted: Any) -> None:
        self.exhausted = exhausted
        self.account.open.append(self)

    def close(self) -> None:
        if self in self.account.open:
            self.account.open.remove(self)


@pytest.mark.parametrize("used_up", [False, True])
@pytest.mark.parametrize("role", ["callee", "caller"])
def test_what_was_paid_for_goes_on_being_paid_by_who_dialled_it(
    monkeypatch: pytest.MonkeyPatch, role: str, used_up: bool
) -> None:
    account = Account()
    before = Desk.connect

    def connect(self: Desk, caller: Phone, number: str, callee: Phone) -> None:
        self.flows.calls.accounts.charging = account  # type: ignore[assignment]
        before(self, caller, number, callee)

    monkeypatch.setattr(Desk, "connect", connect)
    desk = Desk(monkeypatch, (role, "caller"))
    [credit] = account.open
    assert credit.call_id in [
        record.id for record in desk.flows.calls.registry.running_records() if record.destination == FOREIGN
    ]
    desk.join()
    desk.leave()
    desk.wait(30)
    assert account.open == [credit], "y talks on, at the cost of the call that dialled it"
    if used_up:
        credit.exhausted()
    else:
        desk.x.request("BYE")
    desk.wait()
    assert desk.y.requests("BYE") and account.open == []
    credit.exhausted = None  # it knows the call
    desk.x.request("BYE")
    assert desk.over()


def test_what_was_dialled_twice_goes_on_as_a_call_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(monkeypatch, ("caller", "caller"))
    desk.join()
    desk.leave()
    desk.wait(10)
    [running] = desk.flows.calls.registry.running_records()
    assert (running.direction, running.source, running.destination) == ("outgoing", OURS, FOREIGN)
    assert all(any(running.id in note for note in desk.record(number).notes) for number in (OURS,))
    order = desk.flows.calls.registry.running(running.id)
    assert order is not None
    order.hang_up("normal")
    del order
    desk.wait()
    assert desk.x.requests("BYE") and desk.y.requests("BYE")
    assert desk.over()


def test_who_was_held_is_not_held_any_more(usual: Desk) -> None:
    for phone in (usual.t, usual.u):
        phone.request("INVITE", ALLOW, phone.body + b"a=sendonly\r\n")
        usual.wait()
        phone.final("INVITE")
        phone.ack()
        usual.wait()
    for phone in (usual.x, usual.y):
        assert b"a=sendonly" in phone.moved_to[-1]
        phone.forget()
    usual.join()
    for phone in (usual.x, usual.y):
        assert not any(b"a=sendonly" in body for body in phone.moved_to)
    assert usual.joined()
    usual.x.request("BYE")
    assert usual.over()


def test_who_was_joined_may_transfer_again(usual: Desk) -> None:
    usual.join()
    usual.leave()
    usual.b.forget()
    assert usual.refer(usual.a, AWAY) == 202  # x leaves y with a number of ours
    usual.d.reply(200, OF_THIRD)
    usual.wait()
    assert usual.a.told[-1] == "SIP/2.0 200 OK" and usual.c.moved_to[-1] == content(OF_THIRD)
    usual.wait(4)
    assert usual.a.requests("BYE") and not usual.c.requests("BYE")
    usual.d.request("BYE")
    usual.wait()
    assert usual.c.requests("BYE")
    assert usual.over()
    assert len(usual.records) == 3


# ---- what does not come to be


def refuse(phone: Phone, *statuses: int) -> None:
    """It refuses its next re-INVITEs with these, and then takes them."""
    left, usual = list(statuses), phone.answer

    def answer(request: Request, status: int, headers: str = "", body: bytes = b"", **more: Any) -> None:
        if request.method == "INVITE" and left:
            usual(request, left.pop(0), **more)
        else:
            usual(request, status, headers, body, **more)

    phone.answer = answer  # type: ignore[method-assign]


def test_without_media_in_common_all_stay_as_they_are(desk: Desk) -> None:
    refuse(desk.x, 488)
    assert desk.join() == 202
    assert desk.t.told == ["SIP/2.0 100 Trying", "SIP/2.0 488 X"]
    assert desk.connected(desk.t) and desk.connected(desk.u)
    assert not any(phone.requests("BYE") for phone in (desk.x, desk.y, desk.t, desk.u))
    # The one who had made the offer has its old partner back in the ACK.
    assert content(desk.y.requests("ACK")[-1].body) == content(desk.u.body)
    assert desk.join() == 202 and desk.t.told[-1] == "SIP/2.0 200 OK"
    desk.leave()
    assert desk.joined()
    desk.y.request("BYE")
    assert desk.over()


@pytest.mark.parametrize("who", ["x", "y"])
def test_a_peer_that_makes_no_offers_or_is_busy_is_joined_all_the_same(usual: Desk, who: str) -> None:
    refuse(getattr(usual, who), *([488] if who == "y" else [491]))
    usual.join()
    usual.wait(6)
    assert usual.t.told[-1] == "SIP/2.0 200 OK"
    usual.leave()
    assert usual.joined()
    usual.y.request("BYE")
    assert usual.over()


@pytest.mark.parametrize("gone", ["x", "y", "t", "u", "tu"])
@pytest.mark.parametrize("moment", [0.0005, 0.0015, 0.0025, 0.0035, 0.0045, 0.0055, 0.0065])
def test_a_hangup_of_any_party_meanwhile_leaves_nothing(desk: Desk, gone: str, moment: float) -> None:
    desk.t.request("REFER", f"Refer-To: <sip:{ENGINE}?Replaces={quote(desk.replaces(), safe='')}>\r\n")
    desk.wait(moment)
    for name in gone:
        getattr(desk, name).request("BYE")
    desk.wait(1)
    if gone in ("t", "u", "tu"):
        assert desk.joined()
    elif gone == "y" and desk.t.told[-1] != "SIP/2.0 200 OK":  # x is where it was, whatever it had agreed on meanwhile
        if content(desk.y.body) in desk.x.moved_to:
            assert desk.x.moved_to[-1] == content(desk.t.body)
        assert desk.connected(desk.t)
    for phone in (desk.x, desk.y, desk.t, desk.u):
        phone.request("BYE")
    assert desk.over()
    assert all(record.status == "hangup" for record in desk.records)


def test_a_hold_that_is_under_way_is_waited_for(usual: Desk) -> None:
    usual.t.request("INVITE", ALLOW, usual.t.body + b"a=sendonly\r\n")
    usual.join()
    usual.wait(5)
    usual.t.ack(cseq=usual.t.responses("INVITE")[-1].cseq)
    usual.wait(5)
    assert usual.t.told[-1] == "SIP/2.0 200 OK" and usual.joined()
    usual.x.request("BYE")
    assert usual.over()


# ---- who may


@pytest.mark.parametrize(
    "replaces",
    [
        "nothing;to-tag=a;from-tag=b",
        "{call_id};to-tag=wrong;from-tag={tag}",
        "{call_id};to-tag={remote_tag};from-tag=wrong",
        "{call_id};to-tag={tag};from-tag={remote_tag}",
    ],
)
def test_replaces_that_names_no_call_is_refused(usual: Desk, replaces: str) -> None:
    u = usual.u
    assert usual.join(replaces.format(call_id=u.call_id, tag=u.tag, remote_tag=u.remote_tag)) == 202
    assert usual.t.told == ["SIP/2.0 100 Trying", "SIP/2.0 481 Call/Transaction Does Not Exist"]
    assert usual.connected(usual.t) and usual.connected(usual.u)
    usual.x.request("BYE")
    usual.u.request("BYE")
    assert usual.over()


@pytest.mark.parametrize("replaces", ["", "x", "a;to-tag=b", "a;from-tag=b", "a b;to-tag=c;from-tag=d", "a" * 3000])
def test_what_names_no_dialog_is_a_bad_request(usual: Desk, replaces: str) -> None:
    usual.t.request("REFER", f"Refer-To: <sip:{OTHER}@{ENGINE}?Replaces={quote(replaces)}>\r\n")
    usual.wait()
    assert usual.t.statuses("REFER") == ([400] if replaces else [202])
    usual.x.request("BYE")
    usual.u.request("BYE")
    assert usual.over()


def test_a_strangers_call_is_not_taken(usual: Desk) -> None:
    """x knows the dialog of the phone, whoever has told it, and asks for that of the phone with y."""
    assert usual.join(by=usual.x) == 202
    assert usual.x.told[-1] == "SIP/2.0 481 Call/Transaction Does Not Exist"
    assert usual.connected(usual.u) and not usual.y.requests("BYE")
    usual.x.request("BYE")
    usual.u.request("BYE")
    assert usual.over()


def test_a_call_does_not_take_its_own_place(usual: Desk) -> None:
    assert usual.join(usual.replaces(usual.t)) == 603
    assert "own place" in usual.t.final("REFER").get("Warning")
    usual.x.request("BYE")
    usual.u.request("BYE")
    assert usual.over()


def test_both_calls_ask_at_once_for_each_other(usual: Desk) -> None:
    usual.t.request("REFER", f"Refer-To: <sip:{ENGINE}?Replaces={quote(usual.replaces(), safe='')}>\r\n")
    usual.u.request("REFER", f"Refer-To: <sip:{ENGINE}?Replaces={quote(usual.replaces(usual.t), safe='')}>\r\n")
    usual.wait(1)
    assert sorted(usual.t.statuses("REFER") + usual.u.statuses("REFER")) in ([202, 491], [491, 491])
    usual.wait(5)
    for phone in (usual.x, usual.y, usual.t, usual.u):
        phone.request("BYE")
    assert usual.over()


def test_a_flood_of_refers_is_bounded(usual: Desk) -> None:
    for _ in range(40):
        usual.join("nothing;to-tag=a;from-tag=b")
    assert usual.t.statuses("REFER").count(202) == MAX_TRANSFERS and usual.t.statuses("REFER")[-1] == 603
    [record] = [record for record in usual.flows.calls.registry.running_records() if record.destination == OURS]
    assert len(record.notes) <= 20
    usual.x.request("BYE")
    usual.u.request("BYE")
    assert usual.over()


# ---- who was called has not answered yet, or is a flow


def test_who_still_rings_is_called_for_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch).talking()
    u = Phone(world.network, CALLEE, AGAIN, 5062)
    u.invite(ALLOW, AGAIN, uri=f"sip:{FOREIGN}@{ENGINE}")
    world.wait()
    world.c.reply(180)
    world.wait()
    ringing = u.responses("INVITE")[-1]
    replaces = quote(f"{u.call_id};to-tag={ringing.to_tag};from-tag={u.tag}", safe="")
    world.b.request("REFER", f"Refer-To: <sip:{ENGINE}?Replaces={replaces}>\r\n")
    world.wait()
    assert world.b.statuses("REFER") == [202] and u.statuses("INVITE")[-1] == 480
    assert world.c.requests("CANCEL")
    again = [request for request in world.c.requests("INVITE") if not request.to_tag][-1]
    assert again.body == OFFER  # of the one who is transferred
    world.c.reply(200, OF_TARGET)
    world.wait()
    assert world.b.told[-1] == "SIP/2.0 200 OK"
    assert world.a.moved_to == [content(OF_TARGET)]
    world.c.answer(world.c.requests("INVITE")[0], 487)
    u.ack(cseq=1)
    world.wait(4)
    world.a.request("BYE")
    assert world.over()


# ---- whatever happens when


@pytest.mark.parametrize("seed", range(40))
def test_joins_transfers_and_hangups_at_any_time_leave_nothing(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    dice = random.Random(seed)
    desk = Desk(monkeypatch, ROLES[seed % len(ROLES)])
    phones = [desk.x, desk.y, desk.t, desk.u]
    for _ in range(dice.randint(2, 8)):
        step = dice.choice(("join", "join", "join", "refer", "bye", "hold", "answer", "wait"))
        phone = dice.choice(phones)
        if step == "join":
            replaces = quote(desk.replaces(dice.choice(phones)), safe="")
            phone.request("REFER", f"Refer-To: <sip:{ENGINE}?Replaces={replaces}>\r\n")
        elif step == "refer":
            phone.request("REFER", f"Refer-To: <sip:{dice.choice((FOREIGN, AWAY, OTHER))}@{ENGINE}>\r\n")
        elif step == "bye":
            phone.request("BYE")
        elif step == "hold":
            phone.request("INVITE", ALLOW, phone.body + b"a=sendonly\r\n")
            if dice.random() < 0.8:
                desk.wait(0.05)
                phone.ack()
        elif step == "answer":
            for target in (desk.c, desk.d):
                asked = [request for request in target.requests("INVITE") if not request.to_tag]
                if asked and target not in phones:
                    target.reply(200, target.body)
                    phones.append(target)
        desk.wait(dice.choice((0.0005, 0.0015, 0.003, 0.05, 4.0)))
    for phone in phones:
        phone.request("BYE")
    desk.wait(1)
    for target in (desk.c, desk.d):
        if target.requests("CANCEL"):
            target.reply(487)
    desk.network.run(100)
    for phone in (*phones, desk.c, desk.d):
        phone.request("BYE")
    assert desk.over()
    assert len({record.id for record in desk.records}) == len(desk.records)
    assert all(record.status == "hangup" and record.ended_ms is not None for record in desk.records)

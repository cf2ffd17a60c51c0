"""An INVITE that takes the place of a call of ours (RFC 3891): by whom, of what, and that nothing is left."""

import gc
import random
from typing import Any

import pytest

from engine.sip.auth.digest import ha1_of_each
from routing.directory.extensions import ExtensionRow
from service.transfer_policy import TransferRule
from tests.service.test_attended import AGAIN, refuse
from tests.service.test_transfers import ALLOW, AWAY, FOREIGN, KEY, OF_THIRD, OURS, THIRD, Phone, World
from tests.simulation.agent import CALLEE, CALLER, ENGINE
from tests.simulation.peer import OFFER, content


class Swap(World):
    """`a` has called a number at which `b` answered. `p` is one of them, `o` the other; `n` wants the place of `p`, and
    is the same phone."""

    def __init__(self, patch: pytest.MonkeyPatch, role: str = "callee", **more: Any) -> None:
        super().__init__(patch, **more)
        self.talking()
        self.p, self.o = (self.b, self.a) if role == "callee" else (self.a, self.b)
        self.n = Phone(self.network, self.p.host, AGAIN, 5062)

    def replace(self, more: str = "", body: bytes = AGAIN, by: Phone | None = None, replaces: str = "") -> int:
        """The last status of the INVITE."""
        who, p = by or self.n, self.p
        line = replaces or f"{p.call_id};to-tag={p.remote_tag};from-tag={p.tag}"
        who.invite(f"{ALLOW}Replaces: {line}{more}\r\n", body, uri=f"sip:{ENGINE}")
        self.wait(0.1)
        return who.statuses("INVITE")[-1]

    def acknowledge(self, body: bytes = b"") -> None:
        self.n.final("INVITE")
        self.n.ack(body)
        self.wait()

    def talk(self, one: Phone, other: Phone) -> bool:
        """What one of them says arrives at the other, both ways."""
        for this, that in ((one, other), (other, one)):
            this.forget()
            that.forget()
            this.request("INFO", KEY, b"Signal=1\r\n")
            self.wait()
            if this.statuses("INFO")[-1:] != [200] or not that.requests("INFO"):
                return False
        return True

    def end(self) -> bool:
        for phone in (self.a, self.b, self.n):
            phone.request("BYE")
        return self.over()


@pytest.fixture(params=["callee", "caller"])
def swap(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Swap:
    gc.collect()
    return Swap(monkeypatch, request.param)


# ---- it takes the place


@pytest.mark.parametrize("last", ["n", "o"])
@pytest.mark.parametrize("more", ["", "\r\nRequire: replaces"])
def test_it_talks_with_the_other_one(swap: Swap, more: str, last: str) -> None:
    assert swap.replace(more) == 200
    assert "replaces" in swap.n.final("INVITE").tokens("Supported")
    assert swap.n.final("INVITE").body == swap.o.body and swap.o.moved_to == [content(AGAIN)]
    swap.acknowledge()
    assert len(swap.p.requests("BYE")) == 1 and not swap.o.requests("BYE")
    assert swap.talk(swap.n, swap.o)
    swap.wait(60)
    assert swap.talk(swap.n, swap.o)
    getattr(swap, last).request("BYE")
    swap.wait()
    assert getattr(swap, "o" if last == "n" else "n").requests("BYE")
    assert swap.over()
    first, second = sorted(swap.records, key=lambda record: record.created + record.begun)
    assert second.destination == OURS and any(first.id in note for note in second.notes)
    assert any(second.id in note and "has taken the place" in note for note in first.notes)
    assert all(record.hangup_reason == "normal" for record in swap.records)


def test_without_an_offer_the_other_one_makes_it(swap: Swap) -> None:
    assert swap.replace(body=b"") == 200
    assert swap.n.final("INVITE").body == swap.o.body and swap.o.moved_to == [b""]
    assert not swap.o.requests("ACK")
    swap.acknowledge(AGAIN)
    assert content(swap.o.requests("ACK")[-1].body) == content(AGAIN)
    assert swap.talk(swap.n, swap.o)
    assert swap.end()


def test_who_has_taken_the_callers_place_may_transfer(monkeypatch: pytest.MonkeyPatch) -> None:
    swap = Swap(monkeypatch, "caller")
    swap.replace()
    swap.acknowledge()
    assert swap.refer(swap.n, AWAY) == 202
    swap.d.reply(200, OF_THIRD)
    swap.wait()
    assert swap.n.told[-1] == "SIP/2.0 200 OK" and swap.o.moved_to[-1] == content(OF_THIRD)
    swap.wait(4)
    swap.d.request("BYE")
    swap.wait()
    assert swap.o.requests("BYE")
    assert swap.over()


def test_a_trunks_call_goes_on_being_paid_for(monkeypatch: pytest.MonkeyPatch) -> None:
    swap = Swap(monkeypatch)
    caller = Phone(swap.network, CALLER, OFFER, 5064)
    swap.connect(caller, FOREIGN, swap.c)
    swap.p, swap.o, swap.n = caller, swap.c, Phone(swap.network, CALLER, AGAIN, 5062)
    assert swap.replace() == 200
    swap.acknowledge()
    swap.wait(10)
    assert swap.board.channels(swap.carrier.id) == 1
    swap.n.request("BYE")
    swap.wait()
    assert swap.c.requests("BYE") and swap.board.channels(swap.carrier.id) == 0
    assert swap.end()


# ---- it does not


def test_the_other_one_refuses_its_media(swap: Swap) -> None:
    refuse(swap.o, 488)
    assert swap.replace() == 488
    assert swap.talk(swap.p, swap.o)
    swap.n.ack()
    assert swap.end()


@pytest.mark.parametrize(
    ("replaces", "status"),
    [
        ("x", 400),
        ("a;to-tag=b", 400),
        (";to-tag=a;from-tag=b", 400),
        ("a;to-tag=b;to-tag=d;from-tag=c", 400),
        ("{0};to-tag={1};from-tag={2}\r\nReplaces: a;to-tag=b;from-tag=c", 400),
        ("{0};to-tag={1};from-tag={2}\r\nJoin: a;to-tag=b;from-tag=c", 400),
        ("nothing;to-tag=a;from-tag=b", 481),
        ("{0};to-tag={1};from-tag=x", 481),
        ("{0};to-tag={2};from-tag={1}", 481),
        ("{0};to-tag={1};from-tag={2};early-only", 486),
    ],
)
def test_what_cannot_be_replaced(swap: Swap, replaces: str, status: int) -> None:
    p = swap.p
    assert swap.replace(replaces=replaces.format(p.call_id, p.remote_tag, p.tag)) == status
    assert swap.talk(swap.a, swap.b)
    swap.n.ack()
    assert swap.end()


def test_a_call_that_is_over_is_declined(swap: Swap) -> None:
    swap.p.request("BYE")
    swap.wait()
    assert swap.replace() == 603
    assert swap.end()


def test_a_call_that_still_rings_is_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    world.a.invite(ALLOW, OFFER, uri=f"sip:{OURS}@{ENGINE}")
    world.wait()
    world.b.reply(180)
    world.wait()
    ringing = world.a.responses("INVITE")[-1]
    for phone, ours in ((world.a, ringing.to_tag), (world.b, world.b.remote_tag)):
        n = Phone(world.network, phone.host, AGAIN, 5062)
        for more in ("", ";early-only"):
            n.invite(
                f"{ALLOW}Replaces: {phone.call_id};to-tag={ours};from-tag={phone.tag}{more}\r\n",
                AGAIN,
                uri=f"sip:{ENGINE}",
            )
            world.wait()
            assert n.statuses("INVITE")[-1] == 481
    world.a.request("CANCEL", branch=f"z9hG4bK{CALLER}x1", cseq=1, to_tag="")
    world.wait()
    world.b.reply(487)
    assert world.over()


# ---- who may


@pytest.mark.parametrize(
    ("policy", "trusted", "host", "status"),
    [
        ("clients", "127.0.0.0/30", CALLEE, 200),
        ("clients", "127.0.0.0/30", CALLER, 403),  # the one that it talks with: a stranger to this end of the call
        ("clients", "127.0.0.0/24", THIRD, 403),
        ("clients", f"{CALLER}/32", CALLEE, 403),
        ("all", f"{CALLER}/32", CALLEE, 200),
        ("all", f"{CALLER}/32", THIRD, 403),
        ("refuse", "127.0.0.0/30", CALLEE, 603),
    ],
)
def test_only_who_could_have_been_the_one_that_is_replaced(
    monkeypatch: pytest.MonkeyPatch, policy: TransferRule, trusted: str, host: str, status: int
) -> None:
    swap = Swap(monkeypatch, policy=policy, trusted=trusted)
    n = Phone(swap.network, host, AGAIN, 5066)
    assert swap.replace(by=n) == status
    n.final("INVITE")
    n.ack()
    swap.wait()
    assert swap.talk(n if status == 200 else swap.b, swap.a)
    n.request("BYE")
    assert swap.end()


def test_a_guest_is_asked_who_it_is_once(monkeypatch: pytest.MonkeyPatch) -> None:
    swap = Swap(monkeypatch, trusted=f"{CALLER}/32")
    desk = ExtensionRow(name="desk", realm="engine.example", ha1=ha1_of_each("desk", "engine.example", "secret"))
    swap.intake.directory.put_extension(desk)
    assert swap.replace() == 401
    assert "engine.example" in swap.n.final("INVITE").get("WWW-Authenticate")
    swap.n.remote_tag = ""
    assert swap.replace() == 403
    assert swap.talk(swap.a, swap.b)
    assert swap.end()


# ---- whatever happens when


@pytest.mark.parametrize("gone", ["n", "p", "o", "po"])
@pytest.mark.parametrize("moment", [0.0005, 0.0015, 0.0025, 0.0035, 0.0045])
@pytest.mark.parametrize("body", [AGAIN, b""])
def test_a_hangup_of_any_party_meanwhile_leaves_nothing(swap: Swap, gone: str, moment: float, body: bytes) -> None:
    p = swap.p
    branch = swap.n.invite(
        f"{ALLOW}Replaces: {p.call_id};to-tag={p.remote_tag};from-tag={p.tag}\r\n", body, uri=f"sip:{ENGINE}"
    )
    swap.wait(moment)
    for name in gone:
        if name == "n":
            swap.n.cancel(branch)
        else:
            getattr(swap, name).request("BYE")
    swap.wait(1)
    status = swap.n.final("INVITE").status
    swap.n.ack(AGAIN if status == 200 and not body else b"")
    swap.wait(0.5)
    if gone == "n" and status != 200:
        assert swap.o.moved_to[-1:] in ([], [content(swap.p.body)]) or not swap.o.moved_to[-1]
        assert swap.talk(swap.p, swap.o)
    elif gone in ("n", "p"):
        assert status == 200 and swap.talk(swap.n, swap.o)
    assert swap.end()


@pytest.mark.parametrize("seed", range(20))
def test_replacements_transfers_and_hangups_at_any_time_leave_nothing(
    monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    dice = random.Random(seed)
    swap = Swap(monkeypatch, ("caller", "callee")[seed % 2])
    for _ in range(dice.randint(2, 7)):
        step = dice.choice(("replace", "replace", "refer", "bye", "answer", "hold"))
        phone = dice.choice((swap.a, swap.b, swap.n))
        if step == "replace":
            swap.n.remote_tag = ""
            swap.n.call_id += "x"
            swap.replace()
            swap.n.final("INVITE")
            swap.n.ack()
        elif step == "refer":
            phone.request("REFER", f"Refer-To: <sip:{dice.choice((FOREIGN, AWAY))}@{ENGINE}>\r\n")
        elif step == "bye":
            phone.request("BYE")
        elif step == "hold":
            phone.request("INVITE", ALLOW, phone.body + b"a=sendonly\r\n")
            swap.wait(0.05)
            phone.ack()
        else:
            for target in (swap.c, swap.d):
                if [request for request in target.requests("INVITE") if not request.to_tag]:
                    target.reply(dice.choice((200, 486)), target.body)
        swap.wait(dice.choice((0.0005, 0.0015, 0.003, 0.05, 4.0)))
    for _ in range(2):
        for phone in (swap.a, swap.b, swap.n, swap.c, swap.d):
            phone.request("BYE")
        swap.network.run(100)
    for target in (swap.c, swap.d):
        if target.requests("CANCEL"):
            target.reply(487)
    for record in list(swap.flows.calls.registry.running_records()):
        running = swap.flows.calls.registry.running(record.id)
        assert running is not None
        running.hang_up("normal")
    assert swap.over()
    assert all(record.status == "hangup" for record in swap.records)

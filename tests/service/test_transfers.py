"""Transfers that peers ask for by REFER: the real engine with routing and flows, in simulated time (RFC 3515, 5589)."""

import asyncio
import gc
import random
from typing import Any
from uuid import UUID

import pytest

from engine.call import Call
from engine.media.anchor import Anchors
from engine.sip.flow import Flow
from engine.sip.message.message import Request
from engine.user_agent import AgentHooks
from flows.actions import ACTIONS
from flows.calls.address import Address
from flows.calls.destinations import Contact
from flows.calls.record import CallRecord
from flows.calls.registry import CallRegistry
from flows.calls.services import CallServices
from flows.language.interpreter import Interpreter
from flows.language.library import read_library
from flows.language.run import Run
from flows.transfer.refer import MAX_TRANSFERS
from routing.directory.directory import Directory
from routing.directory.extensions import ExtensionRow
from routing.hunt.health import HealthBoard
from routing.hunt.router import Router
from routing.identifiers import named_id
from routing.models.number import Number
from routing.models.provider import Provider
from routing.models.route import Route
from routing.settings import RoutingSettings
from service.intake import Intake
from service.transfer_policy import ReplacesIntake, TransferPolicy, TransferRule
from tests.simulation.agent import CALLEE, CALLER, ENGINE, LoopNetwork, start_agent
from tests.simulation.peer import ANSWER, OFFER, Peer, content

TARGET, THIRD = "127.0.0.4", "127.0.0.5"
OURS, OTHER, AWAY, FOREIGN = "+15551234567", "+15551230001", "+15551230002", "+821012345678"
AGAIN_A, AGAIN_B = "+15551230003", "+15551230004"
ALLOW = "Allow: INVITE, ACK, BYE, CANCEL, UPDATE, INFO, REFER, NOTIFY\r\n"
OF_TARGET = ANSWER.replace(b"10.0.0.2", b"10.0.0.4").replace(b"4000", b"4444")
OF_THIRD = ANSWER.replace(b"10.0.0.2", b"10.0.0.5").replace(b"4000", b"5555")
KEY = "Content-Type: application/dtmf-relay\r\n"


class Log:
    """Keeps the errors: there are to be none."""

    def __init__(self) -> None:
        self.errors: list[Any] = []

    def __getattr__(self, _level: str) -> Any:
        return lambda *_, **__: None

    def error(self, event: str, **values: Any) -> None:
        self.errors.append((event, values))


class Phone(Peer):
    """A peer in one dialog, which says 200 by itself to what needs no thought, and takes what media it is offered."""

    def __init__(self, network: LoopNetwork, host: str, body: bytes, port: int = 5060) -> None:
        super().__init__(network, host, port, engine=ENGINE)  # type: ignore[arg-type]
        self.body = body
        self.tag = f"tag{host[-1]}x{port}"
        self.call_id = f"call-{host}-{port}"
        self.by_itself = {"BYE", "NOTIFY", "CANCEL", "INFO"}

    def say(self, data: bytes) -> None:
        self.last = data
        self.network.send(data, (self.host, self.port), self.engine)

    def receive(self, data: bytes, flow: Flow, now: float) -> None:
        super().receive(data, flow, now)
        message = self.heard[-1]
        if not isinstance(message, Request):
            return
        if message.method in self.by_itself:
            self.answer(message, 200, tag=self.tag)
        elif message.method == "INVITE" and message.to_tag:
            self.answer(message, 200, ALLOW, self.body)

    def enter(self, invite: Request) -> None:
        """The dialog of an INVITE that came."""
        self.call_id, self.remote_tag, self.cseq = invite.call_id, invite.from_tag, 500

    def reply(self, status: int, body: bytes = b"") -> None:
        """To the last INVITE."""
        invite = [request for request in self.requests("INVITE") if not request.to_tag][-1]
        self.enter(invite)
        self.answer(invite, status, ALLOW, body, tag=self.tag)

    @property
    def told(self) -> list[str]:
        """The fragments of its NOTIFYs."""
        return [notify.body.decode().partition("\r\n")[0] for notify in self.requests("NOTIFY")]

    @property
    def moved_to(self) -> list[bytes]:
        """What its re-INVITEs offered, without `o=`."""
        return [content(invite.body) for invite in self.requests("INVITE") if invite.to_tag]


class World:
    """`a` has called a number of ours, whose flow connects it with `b`; foreign numbers go to `c`."""

    def __init__(
        self, patch: pytest.MonkeyPatch, policy: TransferRule = "clients", trusted: str = "127.0.0.0/30", **more: Any
    ) -> None:
        self.network = LoopNetwork()
        media = {"media": more.pop("media", "")}
        carrier = Provider(id=named_id("provider", "carrier"), name="carrier", hostname=f"{TARGET}:5060", **media)
        routes = [Route(target="all", provider_id=carrier.id, priority=1, name="all", rate=1)]
        directory = Directory(limit=0)
        flows = {
            "ours": [_connect(f"sip:b@{CALLEE}"), *more.pop("afterwards", [])],
            "busy": [{"type": "reject", "option": {"code": 486}}],
            "away": [_connect(f"sip:d@{THIRD}")],
            "again a": [_connect(f"sip:a@{CALLER}:5062")],
            "again b": [_connect(f"sip:b@{CALLEE}:5062")],
        }
        numbers = [
            Number(number=number, status="active", call_flow_id=named_id("flow", flow))
            for number, flow in (
                (OURS, "ours"),
                (OTHER, "busy"),
                (AWAY, "away"),
                (AGAIN_A, "again a"),
                (AGAIN_B, "again b"),
            )
        ]
        directory.replace(numbers, [carrier], routes)
        settings = RoutingSettings(trusted_networks=(trusted,), from_domain="engine.example")
        self.board = HealthBoard()
        self.carrier = carrier
        self.records: list[CallRecord] = []
        self.log = Log()
        hooks = AgentHooks(on_replaces=lambda call, replaced: self.replaces_intake(call, replaced))
        self.agent = start_agent(
            self.network, lambda call: self.intake(call), patch, log=self.log, hooks=hooks, anchors=self.anchors()
        )
        registry = CallRegistry(log=self.log)
        registry.observers.append(self)
        transfers = TransferPolicy(directory, settings, registry, policy)
        library = read_library(ACTIONS, [{"name": name, "actions": actions} | media for name, actions in flows.items()])
        calls = CallServices(
            dialler=self.agent,
            router=Router(directory, self.board, settings),
            directory=directory,
            routing=settings,
            library=library,
            log=self.log,
            clock=self.agent.now,
            wall=lambda: 1.7e9,
            registry=registry,
            transfers=transfers,
        )
        self.flows = Interpreter(calls=calls, library=library)
        self.intake = Intake(directory, settings, self.flows, self.log)
        self.replaces_intake = ReplacesIntake(self.intake, transfers)
        self.a = self.phone(CALLER, OFFER)
        self.b = self.phone(CALLEE, ANSWER)
        self.c = self.phone(TARGET, OF_TARGET)
        self.d = self.phone(THIRD, OF_THIRD)

    def anchors(self) -> Anchors | None:
        return None

    def phone(self, host: str, body: bytes, port: int = 5060) -> Phone:
        return Phone(self.network, host, body, port)

    # ---- CallObserver

    def begun(self, record: CallRecord) -> None:
        pass

    def changed(self, record: CallRecord) -> None:
        pass

    def ended(self, record: CallRecord) -> None:
        self.records.append(record)

    # ----

    def wait(self, seconds: float = 0.05) -> None:
        self.network.run(seconds)

    def talking(self) -> "World":
        self.connect(self.a, OURS, self.b)
        return self

    def connect(self, caller: Phone, number: str, callee: Phone) -> None:
        """Has the one call `number`, at which the other answers."""
        caller.invite(ALLOW, caller.body, uri=f"sip:{number}@{ENGINE}")
        self.wait()
        callee.reply(200, callee.body)
        self.wait()
        caller.final("INVITE")
        caller.ack()
        self.wait()
        assert caller.statuses("INVITE")[-1] == 200
        caller.forget()
        callee.forget()

    def refer(self, who: Phone, target: str = FOREIGN, more: str = "") -> int:
        """The final response to a REFER."""
        who.request("REFER", f"Refer-To: <sip:{target}@{ENGINE}>\r\n{more}")
        self.wait()
        return who.statuses("REFER")[-1]

    def connected(self, who: Phone) -> bool:
        """Whether what this phone says arrives at somebody: the one who it does arrive at answers."""
        who.request("INFO", KEY, b"Signal=1\r\n")
        self.wait()
        return who.statuses("INFO")[-1:] == [200]

    def over(self) -> bool:
        self.network.run(40)
        assert self.log.errors == []
        agent = self.agent
        left: list[Any] = [
            agent.calls,
            agent.incoming,
            agent.tasks.running,
            agent.endpoint.sessions,
            agent.endpoint.dialogs,
        ]
        left += [agent.endpoint.transactions.clients, agent.endpoint.transactions.servers]
        left += [self.flows.calls.registry.running_records(), self.board.channels(self.carrier.id)]
        gc.collect()
        # Only this world's: the traceback of another test that failed keeps what it had.
        ours = [thing for thing in gc.get_objects() if isinstance(thing, Call) and thing.agent is agent]
        ours += [run for run in gc.get_objects() if isinstance(run, Run) and run.flows is self.flows]
        left.append(ours)
        return not any(left)

    @property
    def notes(self) -> list[str]:
        return [note for record in self.records for note in record.notes]


def _connect(uri: str) -> dict[str, Any]:
    return {"type": "connect", "option": {"destinations": [{"type": "sip", "target": uri}]}}


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    gc.collect()
    return World(monkeypatch).talking()


# ---- the callee leaves


def test_the_callee_sends_the_caller_to_a_number(world: World) -> None:
    assert world.refer(world.b) == 202
    invite = world.c.requests("INVITE")[0]
    assert FOREIGN[1:] in invite.uri_text and invite.body == OFFER
    assert world.connected(world.a)  # with b, until c answers
    world.c.reply(180)
    world.wait()
    world.c.reply(200, OF_TARGET)
    world.wait()
    assert world.b.told == ["SIP/2.0 100 Trying", "SIP/2.0 180 Ringing", "SIP/2.0 200 OK"]
    assert world.b.requests("NOTIFY")[-1].get("Subscription-State").startswith("terminated")
    assert world.a.moved_to == [content(OF_TARGET)]
    world.b.request("BYE")
    world.wait(5)
    assert not world.a.requests("BYE") and world.board.channels(world.carrier.id) == 1
    world.a.forget()
    assert world.connected(world.a) and world.c.requests("INFO")
    world.c.request("BYE")
    world.wait()
    assert world.a.requests("BYE")
    assert world.over()
    assert len(world.records) == 1
    assert f"transfer to {FOREIGN} asked for by the callee: answered" in world.notes


def test_who_leaves_is_hung_up_where_it_does_not_do_so_itself(world: World) -> None:
    world.refer(world.b)
    world.c.reply(200, OF_TARGET)
    world.wait(2.5)
    assert not world.b.requests("BYE")
    world.wait(1)
    assert len(world.b.requests("BYE")) == 1
    world.a.request("BYE")
    world.wait()
    assert world.c.requests("BYE")
    assert world.over()


def test_a_callee_that_hangs_up_at_once_leaves_the_caller_to_be_connected(world: World) -> None:
    world.refer(world.b)
    world.b.request("BYE")
    world.wait(1)
    assert not world.a.requests("BYE")
    world.c.reply(200, OF_TARGET)
    world.wait()
    assert world.a.moved_to == [content(OF_TARGET)]
    world.a.request("BYE")
    assert world.over()


def test_a_target_that_is_busy_leaves_them_as_they_are(world: World) -> None:
    world.refer(world.b)
    world.c.reply(486)
    world.wait()
    assert world.b.told == ["SIP/2.0 100 Trying", "SIP/2.0 486 X"]
    assert world.connected(world.a) and world.connected(world.b)
    assert world.refer(world.b) == 202  # and it may try again
    world.c.reply(200, OF_TARGET)
    world.wait(4)
    world.a.request("BYE")
    assert world.over()


def test_a_caller_that_hangs_up_meanwhile_ends_everything(world: World) -> None:
    world.refer(world.b)
    world.c.reply(180)
    world.wait()
    world.a.request("BYE")
    world.wait()
    assert world.c.requests("CANCEL") and world.b.requests("BYE")
    world.c.reply(487)
    assert world.over()


def test_after_a_failed_transfer_the_flow_goes_on_where_the_callee_has_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, afterwards=[{"type": "hangup", "option": {"reason": "busy"}}]).talking()
    world.refer(world.b)
    world.b.request("BYE")
    world.wait()
    world.c.reply(486)
    world.wait()
    assert "cause=17" in world.a.requests("BYE")[0].get("Reason")
    assert world.over()


# ---- the caller leaves


def test_the_caller_sends_the_callee_to_a_number_and_what_remains_is_a_call_of_its_own(world: World) -> None:
    assert world.refer(world.a) == 202
    assert world.c.requests("INVITE")[0].body == ANSWER
    world.c.reply(180)
    world.wait()
    world.c.reply(200, OF_TARGET)
    world.wait()
    assert world.a.told == ["SIP/2.0 100 Trying", "SIP/2.0 180 Ringing", "SIP/2.0 200 OK"]
    assert world.b.moved_to == [content(OF_TARGET)]
    world.a.request("BYE")
    world.wait(5)
    [first] = world.records
    assert first.hangup_by == "remote" and not world.b.requests("BYE")
    [remaining] = world.flows.calls.registry.running_records()
    assert (remaining.source, remaining.destination, remaining.status) == (OURS, FOREIGN, "progressing")
    world.b.forget()
    assert world.connected(world.b) and world.c.requests("INFO")
    world.c.request("BYE")
    world.wait()
    assert world.b.requests("BYE")
    assert world.over()
    second = world.records[1]
    assert second.id == remaining.id and second.status == "hangup" and second.hangup_reason == "normal"
    assert second.answered_ms is not None and second.ended_ms is not None and second.answered_ms <= second.ended_ms
    assert any(second.id in note for note in first.notes) and any(first.id in note for note in second.notes)


def test_a_caller_that_hangs_up_at_once_leaves_the_callee_to_be_connected(world: World) -> None:
    world.refer(world.a)
    world.a.request("BYE")
    world.wait(1)
    assert not world.b.requests("BYE")
    world.c.reply(200, OF_TARGET)
    world.wait(1)
    assert world.b.moved_to == [content(OF_TARGET)]
    world.b.request("BYE")
    world.wait()
    assert world.c.requests("BYE")
    assert world.over()


def test_a_caller_that_stays_is_hung_up(world: World) -> None:
    world.refer(world.a)
    world.c.reply(200, OF_TARGET)
    world.wait(4)
    assert len(world.a.requests("BYE")) == 1 and not world.b.requests("BYE")
    world.b.request("BYE")
    assert world.over()


def test_a_target_that_refuses_leaves_the_caller_with_the_callee(world: World) -> None:
    world.refer(world.a)
    world.c.reply(603)
    world.wait()
    assert world.a.told[-1] == "SIP/2.0 603 X"
    assert world.connected(world.a)
    world.a.request("BYE")
    world.wait()
    assert world.b.requests("BYE")
    assert world.over()
    assert sorted(record.hangup_reason for record in world.records) == ["failed", "normal"]


def test_a_target_that_refuses_when_the_caller_has_gone_ends_the_callee(world: World) -> None:
    world.refer(world.a)
    world.a.request("BYE")
    world.wait()
    world.c.reply(486)
    world.wait()
    assert world.b.requests("BYE")
    assert world.over()


def test_a_callee_that_hangs_up_meanwhile_takes_the_transfer_with_it(world: World) -> None:
    world.refer(world.a)
    world.c.reply(180)
    world.wait()
    world.b.request("BYE")
    world.wait()
    assert world.c.requests("CANCEL")
    world.c.reply(487)
    world.wait()
    assert world.a.requests("BYE")  # its flow is at its end
    assert world.over()


def test_both_hang_up_meanwhile(world: World) -> None:
    world.refer(world.a)
    world.c.reply(180)
    world.wait()
    world.a.request("BYE")
    world.b.request("BYE")
    world.wait()
    assert world.c.requests("CANCEL")
    world.c.reply(487)
    assert world.over()


def test_a_transferred_call_may_be_hung_up_by_its_id(world: World) -> None:
    world.refer(world.a)
    world.c.reply(200, OF_TARGET)
    world.wait(4)
    [remaining] = world.flows.calls.registry.running_records()
    running = world.flows.calls.registry.running(remaining.id)
    assert running is not None
    running.hang_up("normal")
    del running
    world.wait()
    assert world.b.requests("BYE") and world.c.requests("BYE")
    assert world.over()


# ---- transfers of transfers


def test_who_was_transferred_may_transfer(world: World) -> None:
    world.refer(world.a)
    world.c.reply(200, OF_TARGET)
    world.wait(4)
    world.b.forget()
    assert world.refer(world.b, AWAY) == 202  # b is the caller now, and leaves c with a number of ours
    world.d.reply(200, OF_THIRD)
    world.wait()
    assert world.b.told[-1] == "SIP/2.0 200 OK" and world.c.moved_to[-1] == content(OF_THIRD)
    world.wait(4)
    assert world.b.requests("BYE") and not world.c.requests("BYE")
    world.d.request("BYE")
    world.wait()
    assert world.c.requests("BYE")
    assert world.over()
    assert len(world.records) == 3


def test_a_call_is_not_transferred_without_end(world: World) -> None:
    for _ in range(MAX_TRANSFERS):
        assert world.refer(world.b) == 202
        world.c.reply(486)
        world.wait()
    assert world.refer(world.b) == 603
    assert world.connected(world.b)
    world.a.request("BYE")
    assert world.over()


def test_who_is_held_while_it_is_transferred_is_not_offered_on_as_held(world: World) -> None:
    world.a.body = OFFER + b"a=recvonly\r\n"  # is what it answers
    world.b.request("INVITE", ALLOW, ANSWER + b"a=sendonly\r\n")
    world.wait()
    world.b.final("INVITE")
    world.b.ack()
    world.a.body = OFFER
    world.a.forget()
    assert world.refer(world.b) == 202
    assert world.c.requests("INVITE")[0].body == OFFER + b"a=sendrecv\r\n"
    world.c.reply(200, OF_TARGET)
    world.wait()
    assert world.a.moved_to == [content(OF_TARGET)]
    world.a.request("BYE")
    assert world.over()


# ---- where to


def test_an_own_number_runs_its_flow(world: World) -> None:
    assert world.refer(world.b, OTHER) == 202
    assert world.b.told[-1] == "SIP/2.0 486 Busy Here"
    assert world.refer(world.a, OTHER) == 202
    assert world.a.told[-1] == "SIP/2.0 486 Busy Here"
    assert world.connected(world.a)
    assert world.refer(world.b, AWAY) == 202
    world.d.reply(200, OF_THIRD)
    world.wait()
    assert world.b.told[-1] == "SIP/2.0 200 OK" and world.a.moved_to == [content(OF_THIRD)]
    world.wait(4)
    world.a.request("BYE")
    world.wait()
    assert world.d.requests("BYE")
    assert world.over()


@pytest.mark.parametrize(
    ("target", "more", "status"),
    [
        ("nobody", "", 404),
        ("+899000000099", "", 404),
        ("", "", 400),
        (f"{FOREIGN}@stranger.example>,<sip:x", "", 400),
    ],
)
def test_what_cannot_be_called_is_refused_at_once(world: World, target: str, more: str, status: int) -> None:
    assert world.refer(world.b, target, more) == status
    assert world.connected(world.a) and world.c.heard == []
    world.a.request("BYE")
    assert world.over()


def test_an_extension_is_called_where_it_is(world: World) -> None:
    class Contacts:
        async def resolve(self, address: Address, customer_id: UUID) -> list[Contact]:
            return [Contact(uri=f"sip:d@{THIRD}")] if address.target == "desk" else []

        async def returned(self, extension: str, at_most: float) -> bool:
            return False

    world.flows.calls.contacts = Contacts()
    world.flows.calls.directory.put_extension(ExtensionRow(name="desk"))
    assert world.refer(world.b, "desk") == 202
    world.d.reply(200, OF_THIRD)
    world.wait()
    assert world.a.moved_to == [content(OF_THIRD)]
    world.a.request("BYE")
    assert world.over()


# ---- who


@pytest.mark.parametrize(
    ("policy", "trusted", "target", "statuses"),
    [
        ("clients", "127.0.0.0/30", FOREIGN, (202, 202)),
        ("clients", f"{CALLER}/32", FOREIGN, (202, 603)),
        ("clients", f"{CALLEE}/32", FOREIGN, (603, 202)),
        ("refuse", "127.0.0.0/30", FOREIGN, (603, 603)),
        ("all", "192.0.2.0/24", FOREIGN, (403, 403)),  # strangers reach our own numbers alone
        ("all", "192.0.2.0/24", OTHER, (202, 202)),
    ],
)
def test_who_may_transfer(
    monkeypatch: pytest.MonkeyPatch, policy: TransferRule, trusted: str, target: str, statuses: tuple[int, int]
) -> None:
    for who, status in zip("ab", statuses, strict=True):
        world = World(monkeypatch, policy, trusted).talking()
        assert world.refer(getattr(world, who), target) == status
        if status != 202:
            assert world.connected(world.a)
            assert world.c.heard == []
        elif target == FOREIGN:
            world.c.reply(486)
            world.wait()
        world.a.request("BYE")
        assert world.over()


def test_a_caller_that_logged_in_is_a_client(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, "clients", "192.0.2.0/24").talking()
    [record] = world.flows.calls.registry.running_records()
    record.logged_in = True
    assert world.refer(world.b) == 603
    assert world.refer(world.a) == 202
    world.c.reply(486)
    world.wait()
    world.a.request("BYE")
    assert world.over()


def test_a_trunk_is_no_client_though_its_network_is_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, "clients", "127.0.0.0/24").talking()
    world.refer(world.b)
    world.c.reply(200, OF_TARGET)
    world.wait(4)
    assert world.refer(world.c, AWAY) == 603
    world.a.request("BYE")
    assert world.over()


def test_a_caller_with_nobody_to_refer_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, afterwards=[{"type": "sleep", "option": {"duration": 60_000}}]).talking()
    world.b.request("BYE")
    world.wait()
    assert world.refer(world.a) == 603
    assert "nobody is connected" in world.a.responses("REFER")[-1].get("Warning")
    world.a.request("BYE")
    assert world.over()


def test_the_end_of_the_engine_ends_a_transfer(world: World) -> None:
    world.refer(world.a)
    world.c.reply(180)
    world.wait()

    async def stop() -> None:
        await asyncio.wait_for(world.agent.stop(), 10)

    world.network.until(stop())
    assert not world.agent.calls and not world.agent.tasks.running


# ---- whatever happens when


@pytest.mark.parametrize("seed", range(30))
def test_transfers_and_hangups_at_any_time_leave_nothing(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    dice = random.Random(seed)
    world = World(monkeypatch).talking()
    phones = [world.a, world.b]
    for phone in (world.c, world.d):
        phone.by_itself = {"BYE", "NOTIFY", "CANCEL", "INFO"}
    for _ in range(dice.randint(2, 8)):
        step = dice.choice(("refer", "refer", "answer", "answer", "refuse", "ring", "bye", "wait"))
        phone = dice.choice(phones)
        target = dice.choice((world.c, world.d))
        asked = [request for request in target.requests("INVITE") if not request.to_tag]
        if step == "refer":
            target_number = dice.choice((FOREIGN, AWAY, OTHER, "nobody"))
            phone.request("REFER", f"Refer-To: <sip:{target_number}@{ENGINE}>\r\n")
        elif step == "bye":
            phone.request("BYE")
        elif asked and step in ("answer", "refuse", "ring"):
            status = {"answer": 200, "refuse": 486, "ring": 180}[step]
            target.reply(status, target.body if status == 200 else b"")
            if status == 200 and target not in phones:
                phones.append(target)
        world.wait(dice.choice((0.0005, 0.0015, 0.003, 0.05, 4.0)))
    for phone in phones:
        phone.request("BYE")
    world.wait(1)
    for target in (world.c, world.d):
        if target.requests("CANCEL"):
            target.reply(487)
    world.network.run(100)
    for phone in (*phones, world.c, world.d):
        phone.request("BYE")
    assert world.over()
    assert len({record.id for record in world.records}) == len(world.records)
    assert all(record.status == "hangup" and record.ended_ms is not None for record in world.records)

"""Two user agents, a bad network and thousands of random calls: all end by the rules, and nothing is left behind."""

import random
from collections.abc import Callable

import pytest

from engine.sip.dialog.invite_client import Invitation, InviteClient
from engine.sip.dialog.invite_server import InviteServer
from engine.sip.dialog.session import Session
from engine.sip.message.message import Request, Response
from engine.sip.transaction.server import ServerTransaction
from tests.simulation.network import Network, Node

SDP = b"v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\ns=-\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\n"
KINDS = {"answered", "refused", "no_reply", "no_progress", "ring_timeout", "cancelled"}
REFUSALS = (486, 404, 603, 480)


class Side:
    """One end of one call: acts at random, and notes what it is told."""

    def __init__(self, world: "World", number: int) -> None:
        self.world = world
        self.number = number
        self.session: Session | None = None
        self.outcomes: list[tuple[str, int]] = []  # what dialling came to
        self.ended: list[tuple[str, int]] = []
        self.answered = False  # it said 200, or got it
        self.refused = 0  # what it said instead
        self.cancelled = False
        self.hung_up = False
        self.pending = 0  # re-INVITEs and UPDATEs without an outcome yet
        self.glare = 0

    def later(self, least: float, most: float, act: Callable[[], object]) -> None:
        self.world.at(self.world.network.now + self.world.random.uniform(least, most), act)

    # ---- what it does

    def ring(self) -> None:
        session = self.session
        if isinstance(session, InviteServer) and not session.ended:
            chance = self.world.random
            status = chance.choice((180, 183, 181))
            body = SDP if status == 183 else b""
            session.provisional(status, self.world.network.now, body, reliable=chance.random() < 0.5)

    def decide(self) -> None:
        session = self.session
        if not isinstance(session, InviteServer) or session.ended or session.answered:
            return
        if self.world.random.random() < 0.7:
            self.answered = True
            session.accept(self.world.network.now, SDP)
            self.talk()
        else:
            self.refused = self.world.random.choice(REFUSALS)
            session.reject(self.refused, self.world.network.now)

    def give_up(self) -> None:
        session = self.session
        if isinstance(session, InviteClient) and not self.outcomes and not session.ended:
            self.cancelled = True
            session.cancel(self.world.network.now)

    def talk(self) -> None:
        for _ in range(self.world.random.choice((0, 0, 1, 1, 2))):
            # Half of them at the same tenth of a second on both sides: that is where glare comes from.
            self.later(0.0, 6.0, self.renegotiate)
        if self.world.random.random() < 0.6:
            self.later(0.0, 20.0, self.hang_up)

    def renegotiate(self) -> None:
        session = self.session
        if session is None or session.ended or session.dialog.state != "confirmed":
            return
        chance = self.world.random
        method = chance.choice(("INVITE", "INVITE", "UPDATE"))
        if chance.random() < 0.1:
            session.request("INFO", self.world.network.now, body=b"5", headers="Content-Type: text/plain\r\n")
        self.pending += 1

        def on_final(status: int, response: Response | None, now: float) -> None:
            self.pending -= 1
            self.glare += status == 491

        session.renegotiate(method, SDP, self.world.network.now, on_final, retry_glare=chance.random() < 0.7)

    def hang_up(self) -> None:
        session = self.session
        if session is not None and not session.ended and self.answered:
            self.hung_up = True
            session.bye(self.world.network.now)

    # ---- what it is told

    def on_progress(self, session: Session, response: Response, now: float) -> None:
        assert not self.ended and not self.outcomes

    def on_answered(self, session: InviteClient, response: Response, now: float) -> None:
        self.answered = True
        self.outcomes.append(("answered", 200))
        session.acknowledge(now)
        self.talk()
        self.later(20.0, 40.0, self.hang_up)  # somebody always does

    def on_refused(self, session: Session, kind: str, status: int, reason: str, response: object, now: float) -> None:
        self.outcomes.append((kind, status))

    def on_acknowledged(self, session: Session, body: bytes, now: float) -> None:
        assert self.answered

    def on_reinvite(self, session: Session, request: Request, now: float) -> None:
        chance = self.world.random.random()
        if chance < 0.5:
            session.accept_reinvite(now, SDP)
        elif chance < 0.7:
            session.refuse_reinvite(488, now)
        else:
            self.later(0.05, 2.0, lambda: session.accept_reinvite(self.world.network.now, SDP))

    def on_request(self, session: Session, transaction: ServerTransaction, request: Request, now: float) -> None:
        session.reply(transaction, 200, now, body=SDP if request.method == "UPDATE" else b"")

    def on_ended(self, session: Session, by: str, status: int, reason: str, now: float) -> None:
        self.ended.append((by, status))


class World:
    """Caller and callee nodes, and what is to happen when."""

    def __init__(self, seed: int, loss: float) -> None:
        self.seed = seed
        self.random = random.Random(seed)
        self.network = Network(seed, loss, duplicates=0.05, jitter=0.2)
        self.network.keep_log = False
        self.caller = Node(self.network, "10.0.0.1")
        self.callee = Node(self.network, "10.0.0.2")
        self.callee.on_invite = self.called
        self.target = "10.0.0.2"
        self.at = self.network.at
        self.callers: list[Side] = []
        self.callees: dict[str, Side] = {}

    def call(self) -> None:
        side = Side(self, len(self.callers))
        self.callers.append(side)
        chance = self.random
        invitation = Invitation(
            request_uri=f"sip:{side.number}@{self.target}",
            destination=f"sip:{self.target}:5060",
            from_="<sip:a@10.0.0.1>",
            to="<sip:b@10.0.0.2>",
            body=SDP,
            reliable=chance.random() < 0.7,
        )
        side.session = session = InviteClient(self.caller.endpoint, invitation, side)
        session.user = side
        session.start(self.network.now)
        if chance.random() < 0.3:
            side.later(0.0, 4.0, side.give_up)

    def called(self, session: InviteServer) -> None:
        call_id = session.invite.call_id
        assert call_id not in self.callees, "one INVITE became two calls"
        side = self.callees[call_id] = Side(self, -1)
        side.session = session
        session.user = side
        for _ in range(self.random.choice((0, 1, 1, 2))):
            side.later(0.0, 1.0, side.ring)
        side.later(0.0, 4.0, side.decide)

    def run(self, calls: int) -> None:
        for number in range(calls):
            self.at(number * 0.02, self.call)
        self.network.run()

    def check(self) -> None:
        """Every call ended as the rules say, on both sides, and nothing is left."""
        nothing = dict.fromkeys(self.caller.leftovers(), 0)
        assert self.caller.leftovers() == nothing
        assert self.callee.leftovers() == nothing
        for side in self.callers:
            assert isinstance(side.session, InviteClient)
            self.check_call(side, self.callees.get(side.session.call_id))

    def check_call(self, caller: Side, callee: Side | None) -> None:
        story = (caller.outcomes, caller.ended, callee and (callee.answered, callee.refused, callee.ended))
        assert len(caller.outcomes) == 1, story
        kind, status = caller.outcomes[0]
        assert kind in KINDS, story
        assert caller.pending == 0, story
        assert len(caller.ended) == (kind == "answered"), story
        if callee is None:
            assert kind in ("no_reply", "cancelled"), story
            return
        if self.network.loss > 0.3 and kind in ("no_reply", "no_progress", "ring_timeout"):
            return  # where a final response can be lost eleven times
        assert callee.pending == 0, story
        assert len(callee.ended) == 1, story
        by, final = callee.ended[0]
        if kind == "answered":
            assert callee.answered, story
        if kind == "refused":
            # 480: it hung up while its 200 waited for a PRACK; 504: that PRACK never came.
            assert status in (callee.refused, 504, 487) or (status == 480 and callee.hung_up), story
        if callee.refused:
            # What it refused is over for it at once; its caller heard that, or had given up.
            assert (by, final) == ("local", callee.refused), story
            assert kind in ("refused", "cancelled"), story
        elif not callee.answered:
            assert (by == "remote" and final == 487) or final == 504, story
            assert kind in ("cancelled", "refused"), story


def make_calls(calls: int, seed: int, loss: float = 0.2) -> World:
    world = World(seed, loss)
    try:
        world.run(calls)
        world.check()
    except BaseException:
        print(f"seed {seed}")
        raise
    return world


@pytest.mark.long
def test_random_calls_end_by_the_rules_and_leave_nothing_under_20_percent_loss() -> None:
    world = make_calls(1000, seed=1)
    kinds = [side.outcomes[0][0] for side in world.callers]
    # Nothing of this is worth much unless everything happened.
    assert kinds.count("answered") > 400
    assert kinds.count("refused") > 100
    assert kinds.count("cancelled") > 100
    assert sum(side.glare for side in [*world.callers, *world.callees.values()]) > 10
    assert sum(side.hung_up for side in world.callees.values()) > 50
    assert sum(side.cancelled and side.answered for side in world.callees.values()) == 0
    assert sum(side.outcomes[0][0] == "cancelled" and world.callees[side.session.call_id].answered
               for side in world.callers if side.session.call_id in world.callees) > 5  # fmt: skip


@pytest.mark.parametrize("seed", range(2, 6))
def test_random_calls_on_other_networks(seed: int) -> None:
    make_calls(150, seed, loss=(0.0, 0.1, 0.3, 0.45)[seed - 2])


@pytest.mark.long
@pytest.mark.timeout(300)
def test_ten_thousand_random_calls_leave_nothing() -> None:
    make_calls(10_000, seed=20_261_121)

"""A bridged call whose user agent is gone: both dialogs are carried on by another one, at another address."""

import json

import pytest

from engine.bridge import Bridge
from engine.call import Call
from engine.call_snapshot import CallSnapshot
from engine.settings import AgentSettings
from engine.sip.auth.credentials import Credentials
from engine.sip.message.message import Request
from engine.user_agent import UserAgent
from tests.engine.test_bridge import ANSWER, HELD, HOLD, OFFER, UPDATES, World
from tests.simulation.agent import CALLEE, CALLER, ENGINE, start_agent
from tests.simulation.peer import Peer

ELSEWHERE = "127.0.0.9"
TIMER = f"{UPDATES}Supported: timer\r\nSession-Expires: 1800;refresher="
NO_UPDATE = "Allow: INVITE, ACK, BYE, CANCEL\r\n"


class Moved(World):
    """Two peers that talk through an engine, and then through another one that knows only what was written down."""

    def __init__(self, patch: pytest.MonkeyPatch, headers: str = UPDATES, host: str = ELSEWHERE) -> None:
        super().__init__(patch)
        self.patch, self.host = patch, host
        callee = headers.replace("refresher=uas", "refresher=uac")
        self.reply(self.call(headers), 200, callee, ANSWER)
        self.a.final("INVITE")
        self.a.ack()
        self.wait()
        self.numbers = {peer.host: self.last_cseq(peer) for peer in (self.a, self.b)}
        self.old = self.agent

    def last_cseq(self, peer: Peer) -> int:
        """Of the engine's requests to this peer."""
        return max((message.cseq for message in peer.heard if isinstance(message, Request)), default=0)

    def snapshots(self) -> list[CallSnapshot]:
        """Of both legs, as they were read from a file."""
        texts = [json.dumps(CallSnapshot.take(call).document()) for call in (self.flow.calls[0], self.flow.legs[0])]
        return [CallSnapshot.read(json.loads(text)) for text in texts]

    def move(self, age: float = 0.0) -> "Moved":
        snapshots = self.snapshots()
        del self.air.nodes[(ENGINE, 5060)]  # not one more packet from it, nor to it
        self.patch.setattr("tests.simulation.agent.Wire.send", self._send)
        if age:
            self.air.run(age)
        self.a.forget()
        self.b.forget()
        self.agent: UserAgent = start_agent(self.air, lambda call: None, self.patch, AgentSettings(), host=self.host)
        self.a.engine = self.b.engine = (self.host, 5060)
        caller, callee = (self.agent.restore(snapshot, age=age) for snapshot in snapshots)
        self.caller: Call = caller
        self.callee: Call = callee
        self.bridge = caller.bridge(callee)
        assert isinstance(self.bridge, Bridge)
        self.wait()
        return self

    def _send(self, data: bytes, flow: object) -> None: ...

    def refreshed(self) -> "Moved":
        """Both peers have been told where the call is now."""
        for peer in (self.a, self.b):
            (update,) = peer.requests("UPDATE")
            peer.answer(update, 200, UPDATES)
        self.wait()
        self.a.forget()
        self.b.forget()
        return self


@pytest.fixture
def moved(monkeypatch: pytest.MonkeyPatch) -> Moved:
    return Moved(monkeypatch).move()

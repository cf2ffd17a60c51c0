"""A whole node in simulated time, with peers that say exactly what a test lets them say: no socket, no waiting."""

import asyncio
import json
from functools import cache
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml

from config.loading import Configuration, load
from engine import user_agent
from engine.sip.auth.digest_client import ClientSession, choose, parse_challenges
from engine.sip.flow import Flow
from engine.sip.message.message import Response
from engine.transport.dns.lookups import Question, Records
from engine.transport.dns.resolver import Resolver
from engine.transport.listeners import Listeners
from service.node import Node
from tests.simulation.agent import LoopNetwork, Wire
from tests.simulation.peer import OFFER, Peer

ENGINE = "192.0.2.1"
_PHONES = count(1)


class Phone(Peer):
    """A peer on `LoopNetwork`, at an address of its own."""

    def __init__(self, network: LoopNetwork, host: str, port: int = 5060) -> None:
        super().__init__(network, host, port, engine=ENGINE)  # type: ignore[arg-type]
        self.network = network
        self.tag = f"tag-{host}-{port}"
        self.call_id = f"call-{host}-{port}"
        self.branches = 1000 * next(_PHONES)  # of another at this address before, none is used again

    def say(self, data: bytes) -> None:
        self.last = data
        self.network.send(data, (self.host, self.port), self.engine)
        self.network.run(0.02)

    def like(self, other: "Phone") -> "Phone":
        """From now on it speaks in the dialog of another, as everybody can who has read a message of it."""
        self.call_id, self.tag, self.remote_tag, self.cseq = other.call_id, other.tag, other.remote_tag, other.cseq + 10
        return self

    def call(self, uri: str, headers: str = "", **more: Any) -> Response:
        """Calls, and acknowledges an answer; the final response."""
        self.invite(headers, OFFER, uri=uri, **more)
        self.network.run(1.0)
        self.remote_tag = ""
        response = self.final("INVITE")
        if response.status == 200:
            self.ack()
        else:
            self.remote_tag = ""
        return response

    def credentials(self, challenge: Response, method: str, uri: str, name: str, password: str, body: bytes) -> str:
        """An Authorization line that answers a challenge."""
        chosen = choose(parse_challenges(challenge.lines("WWW-Authenticate")))
        assert chosen is not None
        value = ClientSession(chosen, name, password).authorization(method, uri, "cnonce", body)
        return f"Authorization: {value}\r\n"


class EngineWire(Wire):
    """The engine's listener: on an address of this machine, where its media is, and seen at ENGINE."""

    def __init__(self, network: LoopNetwork) -> None:
        super().__init__(network, "127.0.0.1")

    def send(self, data: bytes, flow: Flow) -> None:
        self.network.send(data, (ENGINE, 5060), (flow.host, flow.port))

    def sent_by(self, remote_host: str) -> str:
        return f"{ENGINE}:5060"


class Names:
    """Name servers (`engine.transport.dns.lookups.Lookups`) that know addresses, and whose answers nobody keeps."""

    def __init__(self) -> None:
        self.addresses: dict[str, list[str]] = {}
        self.slow: dict[str, float] = {}  # s until a name is answered for

    def in_hosts(self, name: str) -> bool:
        return False

    def known(self, question: Question) -> Records | None:
        return None if question.name in self.slow else self._answer(question)

    async def ask(self, question: Question) -> Records:
        await asyncio.sleep(self.slow.get(question.name, 0.0))
        return self._answer(question)

    def _answer(self, question: Question) -> Records:
        return tuple(self.addresses.get(question.name, ())) if question.kind == "A" else ()

    async def close(self) -> None:
        pass


class World:
    """A node on `network`."""

    def __init__(
        self, patch: pytest.MonkeyPatch, configuration: Configuration, names: dict[str, list[str]] | None = None
    ) -> None:
        self.network = network = LoopNetwork()
        self.names = Names()
        self.names.addresses.update(names or {})
        wire = EngineWire(network)

        async def opened(*_: object, **__: object) -> Listeners:
            return Listeners((wire,), ENGINE)  # type: ignore[arg-type]

        patch.setattr(user_agent.Listeners, "open", opened)

        def resolver(*_: object, **known: Any) -> Resolver:
            return Resolver(self.names, transports=known["transports"], families=known["families"])  # type: ignore[arg-type]

        patch.setattr(user_agent, "Resolver", resolver)
        self.node = Node(configuration, clock=network.loop.time, random_bytes=network.random.randbytes)
        network.until(self.node.start())
        wire.agent = self.node.agent
        network.nodes[(ENGINE, 5060)] = wire

    def phone(self, host: str, port: int = 5060) -> Phone:
        return Phone(self.network, host, port)

    def wait(self, seconds: float = 0.05) -> None:
        self.network.run(seconds)

    def close(self) -> None:
        self.network.until(self.node.close())
        self.network.close()


def configured(**sections: Any) -> Configuration:
    """A configuration without a store and an API."""
    return _configured(json.dumps(sections))


@cache
def _configured(text: str) -> Configuration:
    sections = json.loads(text)
    sip = {"listen": ["udp://127.0.0.1:5060"], "advertise": ENGINE, "trusted_networks": []} | sections.pop("sip", {})
    whole = {"log": {"level": "error"}, "api": {"listen": ""}, "store": ":memory:", "sip": sip} | sections
    with TemporaryDirectory() as folder:
        path = Path(folder) / "trunkline.yaml"
        path.write_text(yaml.safe_dump(whole), encoding="utf-8")
        return load(path, environ={})

"""A transport from outside, as TLS will be: one class and one row. It is told under which name a peer was found, and
what came by a connection is answered by it, within dialogs too."""

import itertools
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, Self

import pytest
import structlog

from engine.sip.core import Hooks
from engine.sip.dialog.invite_server import InviteServer
from engine.sip.endpoint import Endpoint
from engine.sip.flow import Flow
from engine.sip.message.message import Request, Response
from engine.sip.message.parsing import parse
from engine.sip.out_of_dialog import OutOfDialogRequest, RequestSpec
from engine.transport.dns.locator import Locator
from engine.transport.dns.lookups import Lookups, NameServers
from engine.transport.dns.resolver import Resolver
from engine.transport.listen_spec import ListenSpec
from engine.transport.listeners import TRANSPORTS, Listeners
from engine.transport.sink import Sink
from engine.transport.tcp import TcpTransport
from tests.simulation.network import Owner
from tests.simulation.peer import ANSWER, OFFER
from tests.simulation.stage import request, response

CARRIER = "127.0.0.9"


class Stream:
    """A connection that keeps what is written to it."""

    usable, error = True, ""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: bytes) -> bool:
        self.written.append(data)
        return True


@dataclass(eq=False)
class Tls:
    """Sends over the flow's connection, and makes one for a name where it has none."""

    local: tuple[str, int]
    sink: Sink
    made: dict[str, Stream] = field(default_factory=dict)
    name, via_name, reliable, internal, connects = "tls", "TLS", True, False, True

    @classmethod
    async def open(cls, spec: ListenSpec, sink: Sink) -> Self:
        return cls((spec.host, spec.port), sink)

    def send(self, data: bytes, flow: Flow) -> None:
        (flow.connection or self.made.setdefault(flow.domain, Stream())).write(data)

    def connected(self, flow: Flow) -> bool:
        return flow.connection is not None and flow.connection.usable

    def drop(self, flow: Flow) -> None:
        pass

    def drop_banned(self) -> None:
        pass

    def made_from(self, host: str, port: int) -> bool:
        return False

    def sent_by(self, remote_host: str) -> str:
        return f"{self.local[0]}:{self.local[1]}"

    def close(self) -> None:
        pass

    async def wait_closed(self) -> None:
        pass


class Node:
    """A protocol core over listeners that were opened from URLs."""

    def __init__(self, listeners: Listeners) -> None:
        lookups = Lookups(NameServers([("127.0.0.1", 9)]), hosts={"carrier.example": [CARRIER]})
        locator = Locator(listeners, Resolver(lookups, transports=("tls",)), structlog.get_logger())
        self.calls: list[InviteServer] = []
        tokens = itertools.count(1)
        self.endpoint = Endpoint(
            Hooks(
                clock=lambda: 0.0,
                token=lambda: f"t{next(tokens)}",
                locate=locator.locate,
                select=listeners.select,
            ),
            on_invite=self.calls.append,
        )


def on_tls(run: Any, recorder: Any, monkeypatch: pytest.MonkeyPatch, test: Callable[[Node, Tls], None]) -> None:
    monkeypatch.setitem(TRANSPORTS, "tls", Tls)

    async def opened() -> None:
        listeners = await Listeners.open(["tls://127.0.0.1"], recorder())
        [tls] = listeners
        assert isinstance(tls, Tls) and tls.local == ("127.0.0.1", 5061)
        test(Node(listeners), tls)
        await listeners.close()

    run(opened)


def sent(stream: Stream) -> Request | Response:
    return parse(stream.written.pop(0))


def test_a_transport_gets_the_name_that_was_looked_up(run: Any, recorder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def test(node: Node, tls: Tls) -> None:
        answers: list[int] = []
        spec = RequestSpec(
            method="OPTIONS", uri="sip:x", destination="sips:Carrier.example", from_="<sip:a@b>", to="<sip:x>"
        )
        OutOfDialogRequest(node.endpoint, spec, lambda answer, cause: answers.append(answer.status if answer else 0))
        assert list(tls.made) == ["carrier.example"]
        stream = tls.made["carrier.example"]
        data = stream.written[0]
        asked = sent(stream)
        assert asked.get("Via").startswith("SIP/2.0/TLS 127.0.0.1:5061")
        assert asked.get("Contact") == "<sip:127.0.0.1:5061;transport=tls>"
        node.endpoint.receive(response(data, 200), Flow(tls, CARRIER, 5061, connection=stream), 0.0)
        assert answers == [200]

    on_tls(run, recorder, monkeypatch, test)


def test_a_connection_is_answered_and_used_within_the_dialog(
    run: Any, recorder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def test(node: Node, tls: Tls) -> None:
        stream, owner = Stream(), Owner()
        flow = Flow(tls, CARRIER, 40_000, connection=stream)
        via = f"SIP/2.0/TLS {CARRIER}:40000;branch=z9hG4bK1"
        node.endpoint.receive(request("INVITE", body=OFFER, via=via), flow, 0.0)
        [session] = node.calls
        session.user = owner
        session.accept(0.0, ANSWER)
        answers = [sent(stream) for _ in range(2)]
        assert [answer.status for answer in answers if isinstance(answer, Response)] == [100, 200]
        ack = request("ACK", via=via.replace("K1", "K2"), to_tag=answers[1].to_tag)
        node.endpoint.receive(ack, flow, 0.0)
        session.bye(0.0)
        bye = sent(stream)
        assert isinstance(bye, Request) and bye.method == "BYE"
        assert not stream.written and not tls.made

    on_tls(run, recorder, monkeypatch, test)


@pytest.mark.parametrize(
    ("lost", "failed"),
    [("a", ["a"]), ("b", ["b"]), ("came", ["came"]), ("other", [])],
    ids=["made-for-a-name", "made-for-another", "accepted", "nobodys"],
)
def test_a_lost_connection_takes_its_own_requests_alone(
    run: Any, recorder: Any, monkeypatch: pytest.MonkeyPatch, lost: str, failed: list[str]
) -> None:
    """Two customers' domains, and who has connected to us, may all be at one address."""

    def test(node: Node, tls: Tls) -> None:
        came, said = Stream(), []
        flows = {
            "a": Flow(tls, CARRIER, 5061, domain="a.example"),
            "b": Flow(tls, CARRIER, 5061, domain="b.example"),
            "came": Flow(tls, CARRIER, 5061, connection=came),
        }
        for name, flow in flows.items():
            spec = RequestSpec(method="OPTIONS", uri="sip:x", destination="", from_="<sip:a@b>", to="<sip:x>")
            node.endpoint.locate = lambda uri, done, flow=flow: done([flow])  # type: ignore[misc]
            OutOfDialogRequest(node.endpoint, spec, lambda answer, cause, name=name: said.append(name))  # type: ignore[misc]
        flows["other"] = Flow(tls, CARRIER, 5061, connection=Stream())
        of_it = {"a": tls.made["a.example"], "b": tls.made["b.example"]}.get(lost, flows[lost].connection)
        gone = Flow(tls, CARRIER, 5061, domain=flows[lost].domain, connection=of_it)
        node.endpoint.failed(gone, None, "connection closed by peer", 0.0)
        assert said == failed

    on_tls(run, recorder, monkeypatch, test)


class ByName(TcpTransport):
    """A connection that was made for one name is not used for another (RFC 5922 §7.3)."""

    name, via_name = "tls", "TLS"

    def _key(self, flow: Flow) -> Hashable:
        return (super()._key(flow), flow.domain)


def test_connections_may_be_told_apart_by_name(run: Any, recorder: Any) -> None:
    async def test() -> None:
        here, there = recorder(), recorder()
        one = await ByName.open(ListenSpec("tls", "127.0.0.1", 0), here)
        two = await TcpTransport.open(ListenSpec("tcp", "127.0.0.1", 0), there)
        seen: list[Flow] = []
        there.on_message = lambda data, flow: seen.append(flow)
        for domain in ("a.example", "b.example", "a.example"):
            Flow(one, *two.local, domain=domain).send(request())
            await there.message(len(seen) + 1)
        assert seen[0].port == seen[2].port != seen[1].port
        seen[1].send(b"SIP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n")
        await here.message()
        assert here.flow.domain == "b.example" and here.flow.connection is not None
        one.close()
        two.close()
        await one.wait_closed()
        await two.wait_closed()

    run(test)

"""Calls between two user agents over TLS: by SIP and by SIPS URIs, over one connection in both directions."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from engine.call import Call
from engine.dial import DialSpec, Peer
from engine.settings import AgentSettings
from engine.sip.flow import TlsTerms
from engine.sip.message.message import Message
from engine.sip.message.parsing import parse
from engine.transport.certificates import CertificateFiles, Certificates, ServerTls
from engine.user_agent import UserAgent
from tests.certificates import Authority

WAIT = 20.0


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


class Side:
    """A user agent with a certificate; it answers what comes."""

    def __init__(self, authority: Authority, name: str, first: int) -> None:
        files = authority.issue("127.0.0.1", name, file=name)
        settings = ServerTls(certificates=(CertificateFiles(files.certificate, files.key),))
        self.calls: list[Call] = []
        self.came = asyncio.Event()
        self.agent = UserAgent(
            self.take, AgentSettings(rtp_first=first, rtp_last=first + 99), certificates=Certificates(settings)
        )

    async def take(self, call: Call) -> None:
        self.calls.append(call)
        call.answer()
        self.came.set()
        await call.wait_ended()

    async def start(self, *more: str) -> None:
        await self.agent.start(["tls://127.0.0.1:0", *more])

    @property
    def port(self) -> int:
        return next(each.local[1] for each in self.agent.listeners if each.name == "tls")

    @property
    def connections(self) -> int:
        return sum(len(each.connections) for each in self.agent.listeners if each.name == "tls")  # type: ignore[attr-defined]

    def messages(self) -> list[Message]:
        return [parse(traced.data) for traced in self.agent.trace]


def spec(authority: Authority, uri: str) -> DialSpec:
    peer = Peer(tls_terms=TlsTerms(ca=str(authority.ca)))
    return DialSpec(request_uri=uri, destination=uri, from_="<sip:a@b.example>", to=f"<{uri}>", peer=peer)


@pytest.mark.parametrize("hangs_up", ["caller", "callee"])
@pytest.mark.parametrize("scheme", ["sip", "sips"])
async def test_a_call(authority: Authority, scheme: str, hangs_up: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.user_agent._BYE_GRACE", 1.0)
    one, two = Side(authority, "one", 24_000), Side(authority, "two", 24_200)
    await one.start()
    await two.start()
    try:
        uri = f"{scheme}:b@127.0.0.1:{two.port}" + (";transport=tls" if scheme == "sip" else "")
        leg = one.agent.dial(spec(authority, uri))
        async with asyncio.timeout(WAIT):
            assert (await leg.outcome()).kind == "answered"
            await two.came.wait()
            (call,) = two.calls
            call.session.refresh(two.agent.now())  # to the caller, over the connection that the caller has made
            (leg if hangs_up == "caller" else call).hangup()
            await leg.wait_ended()
            await call.wait_ended()
        assert (one.connections, two.connections) == (1, 1)
        shown = [f"<sips:127.0.0.1:{side.port}>" for side in (one, two)]
        if scheme == "sip":
            shown = [f"<sip:127.0.0.1:{side.port};transport=tls>" for side in (one, two)]
        found = {message.get("Contact") for message in one.messages() if "Contact" in message.first}
        assert found == set(shown)
    finally:
        await one.agent.stop()
        await two.agent.stop()


async def test_a_sips_uri_is_not_reached_in_the_clear(authority: Authority) -> None:
    """Two has no certificate, and listens by UDP alone."""
    one = Side(authority, "one", 24_000)
    two = UserAgent(lambda call: None, AgentSettings(rtp_first=24_200, rtp_last=24_299))
    await one.start("udp://127.0.0.1:0")
    await two.start(["udp://127.0.0.1:0"])
    try:
        (listener,) = two.listeners
        leg = one.agent.dial(spec(authority, f"sips:b@127.0.0.1:{listener.local[1]}"))
        async with asyncio.timeout(WAIT):
            outcome: Any = await leg.outcome()
        assert (outcome.kind, outcome.reason) == ("unreachable", "connection refused")
        assert two.endpoint.counters.received == 0
    finally:
        await one.agent.stop()
        await two.stop()

"""A call that is dialled over a flow: by the connection that its target opened, without a look-up (RFC 5626 §5.3)."""

import asyncio

import pytest

from engine.dial import DialSpec
from engine.media.port_pool import PortPool
from engine.messages import IncomingMessage
from engine.settings import AgentSettings
from engine.sip.flow import Flow
from engine.user_agent import AgentHooks, UserAgent

SETTINGS = AgentSettings(rtp_first=23_000, rtp_last=23_099)


class Phone:
    """Behind a NAT: nobody can open a connection to it."""

    async def connect(self, port: int) -> None:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port)

    async def register(self) -> None:
        """What makes its flow known, without a registrar."""
        host, port = self.writer.get_extra_info("sockname")
        self.writer.write(
            f"MESSAGE sip:a@b.example SIP/2.0\r\nVia: SIP/2.0/TCP {host}:{port};branch=z9hG4bK{port}\r\n"
            f"Max-Forwards: 70\r\nFrom: <sip:p@b.example>;tag=1\r\nTo: <sip:a@b.example>\r\nCall-ID: {port}\r\n"
            "CSeq: 1 MESSAGE\r\nContent-Type: text/plain\r\nContent-Length: 1\r\n\r\nx".encode()
        )
        await self.heard("SIP/2.0 200")

    async def heard(self, start: str) -> str:
        async with asyncio.timeout(5):
            while True:
                text = (await self.reader.readuntil(b"\r\n\r\n")).decode()
                length = text.partition("Content-Length: ")[2].partition("\r\n")[0]
                await self.reader.readexactly(int(length))
                if text.startswith(start):
                    return text


@pytest.fixture(autouse=True)
def _no_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.user_agent._BYE_GRACE", 0.1)


async def test_a_call_goes_by_the_connection_of_its_flow_and_nothing_is_looked_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    flows: list[Flow] = []

    async def took(message: IncomingMessage) -> None:
        flows.append(message.remote)
        message.answer()

    agent = UserAgent(lambda call: None, SETTINGS, hooks=AgentHooks(on_message=took))
    await agent.start(["tcp://127.0.0.1:0"])
    looked_up: list[str] = []
    monkeypatch.setattr(agent.locator, "locate", lambda uri, done: looked_up.append(uri))
    phones = [Phone(), Phone()]
    try:
        for phone in phones:
            await phone.connect(next(iter(agent.listeners)).local[1])
            await phone.register()
        for number, phone in enumerate(phones):
            uri = f"sip:p{number}@phone.invalid;transport=tcp"
            spec = DialSpec(
                request_uri=uri, destination=uri, flow=flows[number], from_="<sip:a@b.example>", to=f"<{uri}>"
            )
            leg = agent.dial(spec)
            invite = await phone.heard("INVITE ")
            assert invite.startswith(f"INVITE {uri} SIP/2.0\r\n")
            leg.cancel()
        phones[0].writer.close()
        await asyncio.sleep(0.05)
        gone = agent.dial(
            DialSpec(request_uri=uri, destination=uri, flow=flows[0], from_="<sip:a@b.example>", to="<sip:p@b>")
        )
        assert (await gone.outcome()).kind == "unreachable"
        assert not looked_up
    finally:
        for phone in phones:
            phone.writer.close()
        await agent.stop()
    assert isinstance(agent.ports, PortPool) and agent.ports.in_use == 0

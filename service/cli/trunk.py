"""`trunkline trunk`: plays a provider. It takes every call and every text, prints it, and answers or refuses it."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from config.logs import escape
from engine.call import Call, CallEnded, NotAcceptable
from engine.media.port_pool import NoPortError
from engine.messages import IncomingMessage
from engine.settings import AgentSettings
from engine.sip.flow import Flow
from engine.sip.message.message import Request
from engine.transport.addresses import bracketed
from engine.user_agent import UserAgent
from service.cli.options import TrunkOrder

DONE = 0
OK = 200


async def play(order: TrunkOrder) -> int:
    """Serve until it is cancelled. Raises ListenError, a sentence for the user."""
    trunk = LittleTrunk(order)
    await trunk.agent.start(order.listen, f"with {order.option}")
    does = "answers" if order.status == OK else f"refuses with {order.status}"
    for transport in trunk.agent.listeners:
        host, port = transport.local
        print(f"trunk at {transport.name}://{bracketed(host)}:{port}: {does}", flush=True)
    try:
        await asyncio.Event().wait()
    finally:
        await trunk.agent.stop()
    return DONE  # which nobody waits for


class LittleTrunk:
    """A user agent that treats all calls alike, and all texts."""

    def __init__(self, order: TrunkOrder) -> None:
        self.order = order
        settings = AgentSettings(rtp_first=30_000, rtp_last=31_998)
        settings.policy.user_agent = "Trunkline trunk"
        self.agent = UserAgent(self._take, settings)
        self.agent.messages.on_message = self._take_message

    def _take(self, call: Call) -> Coroutine[Any, Any, None]:
        _show(call.invite, call.remote)
        return self._serve(call)

    def _take_message(self, message: IncomingMessage) -> None:
        _show(message.request, message.remote, f": {message.text}")
        message.answer(self.order.status)

    async def _serve(self, call: Call) -> None:
        order = self.order
        try:
            if order.ring or order.early_media:
                if order.early_media:
                    call.progress()
                else:
                    call.ringing()
                await call.sleep(order.ring)
            if order.status != OK:
                call.reject(order.status)
                return
            call.ringing()
            call.answer()
            await call.echo()
        except NotAcceptable:
            call.hangup(488)
        except NoPortError as error:
            call.hangup(error.status)
        except CallEnded:
            return


def _show(request: Request, remote: Flow, more: str = "") -> None:
    """A line for a request that opens something."""
    host, port = remote.transport.local
    text = f"{request.method} {request.uri_text} from {request.get('From')}{more}"
    print(f"trunk {bracketed(host)}:{port}: {escape(text)}", flush=True)

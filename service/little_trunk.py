"""`trunkline trunk`: plays a provider. It takes every call, prints it, and answers or refuses it."""

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any

from config.logs import escape
from engine.call import Call, CallEnded, NotAcceptable
from engine.media.ports import NoPortError
from engine.transport.addresses import bracketed
from engine.user_agent import AgentSettings, UserAgent
from service.orders import TrunkOrder

DONE = 0


async def play(order: TrunkOrder) -> int:
    """Serve until SIGTERM, Ctrl-C or cancellation; the exit code. Raises ListenError, a sentence for the user."""
    trunk = LittleTrunk(order)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    await trunk.agent.start(order.listen, f"with {order.option}")
    alone = not _handles_sigterm()
    if alone:
        loop.add_signal_handler(signal.SIGTERM, stop.set)
    does = "answers" if order.status == 200 else f"refuses with {order.status}"
    for transport in trunk.agent.listeners:
        host, port = transport.local
        print(f"trunk at {transport.name}://{bracketed(host)}:{port}: {does}", flush=True)
    try:
        await stop.wait()
    finally:
        if alone:
            loop.remove_signal_handler(signal.SIGTERM)
        await trunk.agent.stop()
    return DONE


def _handles_sigterm() -> bool:
    """Whether somebody in this process (the engine beside us) ends it already."""
    return signal.getsignal(signal.SIGTERM) not in (signal.SIG_DFL, signal.SIG_IGN, None)


class LittleTrunk:
    """A user agent that treats all calls alike."""

    def __init__(self, order: TrunkOrder) -> None:
        self.order = order
        settings = AgentSettings(rtp_first=30_000, rtp_last=31_998)
        settings.policy.user_agent = "Trunkline trunk"
        self.agent = UserAgent(self._take, settings)

    def _take(self, call: Call) -> Coroutine[Any, Any, None]:
        number = call.invite.uri_text
        host, port = call.remote.transport.local
        caller = call.invite.get("From")
        print(f"trunk {bracketed(host)}:{port}: INVITE {escape(number)} from {escape(caller)}", flush=True)
        return self._serve(call)

    async def _serve(self, call: Call) -> None:
        order = self.order
        try:
            if order.ring or order.early_media:
                if order.early_media:
                    call.progress()
                else:
                    call.ringing()
                await call.sleep(order.ring)
            if order.status != 200:
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

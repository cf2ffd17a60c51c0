"""`trunkline trunk`: plays a provider. It takes every call and every text, prints it, and answers or refuses it."""

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from config.logs import escape
from service.cli.support.options import final_status
from service.cli.support.running import DONE, run

if TYPE_CHECKING:
    from engine.call import Call
    from engine.messages import IncomingMessage
    from engine.sip.flow import Flow
    from engine.sip.message.message import Request

POSITION = 6
OK = 200


@dataclass(kw_only=True, slots=True)
class TrunkOrder:
    """How the little trunk deals with every call and every text that reaches it.

    Attributes:
        listen: Listeners as TRANSPORT://HOST:PORT.
        status: Final status; 200 answers and echoes, and takes texts.
        ring: Seconds of ringing before it.
        early_media: Ring with 183 and media in place of 180.
        option: The option of the command line that names the listeners.
    """

    listen: Sequence[str]
    status: int = 200
    ring: float = 0.0
    early_media: bool = False
    option: str = "--listen"


def trunk(
    listen: Annotated[
        list[str] | None, typer.Option(metavar="URL", help="Where to listen. Repeatable.  [udp://127.0.0.2:5080]")
    ] = None,
    answer: Annotated[bool, typer.Option("--answer", help="Answer and echo; so it does without --status.")] = False,
    status: Annotated[str, typer.Option(metavar="STATUS", help="Refuse with it, such as 503.")] = "",
    ring: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="Ring before that.")] = 0.0,
    early_media: Annotated[bool, typer.Option("--early-media", help="Ring with 183 and sound.")] = False,
) -> int:
    """Play a provider: take every call and every text, print it, and answer or refuse it."""
    if answer and status:
        raise typer.BadParameter("--answer and --status exclude each other; keep one")
    order = TrunkOrder(
        listen=listen or ["udp://127.0.0.2:5080"],
        status=final_status(status, "'--status'"),
        ring=ring,
        early_media=early_media,
    )
    try:
        return run(play_trunk(order))
    except KeyboardInterrupt:
        return DONE  # a signal is how this one ends


async def play_trunk(order: TrunkOrder) -> int:
    """Serve until it is cancelled. Raises ListenError, a sentence for the user."""
    from engine.transport.addresses import bracketed

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
        from engine.settings import AgentSettings
        from engine.user_agent import AgentHooks, UserAgent

        self.order = order
        settings = AgentSettings(rtp_first=30_000, rtp_last=31_998)
        settings.policy.user_agent = "Trunkline trunk"
        self.agent = UserAgent(self._take, settings, hooks=AgentHooks(on_message=self._take_message))

    def _take(self, call: "Call") -> Coroutine[Any, Any, None]:
        _show(call.invite, call.remote)
        return self._serve(call)

    def _take_message(self, message: "IncomingMessage") -> None:
        _show(message.request, message.remote, f": {message.text}")
        message.answer(self.order.status)

    async def _serve(self, call: "Call") -> None:
        from engine.call import CallEnded, NotAcceptable
        from engine.media.port_pool import NoPortError

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


def _show(request: "Request", remote: "Flow", more: str = "") -> None:
    """A line for a request that opens something."""
    from engine.transport.addresses import bracketed

    host, port = remote.transport.local
    text = f"{request.method} {request.uri_text} from {request.get('From')}{more}"
    print(f"trunk {bracketed(host)}:{port}: {escape(text)}", flush=True)

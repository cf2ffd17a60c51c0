"""Third-party call control of media: two answered calls agree on media between them (RFC 3725 §4.1, RFC 5589 §7).

One of them is asked for a fresh offer, by a re-INVITE without one, and the other takes it or does not: so each may use
all that it can, whatever it had agreed on with its partner before, held or not. Nothing is lost where they do not
agree: both are then left with what they had.
"""

import asyncio
from functools import partial
from typing import Final

from engine.call import Call
from engine.sip.message.message import Response
from engine.sip.sdp.offer_answer import resumed

BUSY_TRIES: Final = 40
BUSY_PAUSE: Final = 0.25
"""A leg that is just being renegotiated is waited for: so often, and so many seconds each."""


PATIENCE: Final = 25.0
"""Seconds that all of it may take: less than an answer that waits for its ACK is given (RFC 3261 §13.3.1.4)."""


class MediaNotAgreed(Exception):
    """The two have no media in common, or one of them is over; `status` is the response that says so."""

    def __init__(self, status: int, reason: str = "") -> None:
        super().__init__(reason or f"status {status}")
        self.status = status
        self.reason = reason


async def renegotiate_between(one: Call, other: Call) -> None:
    """Let `one` and `other`, both answered, agree on media that flows between them; whom each of them talks with until
    then is its bridge's other side. Raises MediaNotAgreed."""
    try:
        async with asyncio.timeout(PATIENCE):
            await _renegotiate_between(one, other)
    except TimeoutError:
        raise MediaNotAgreed(480, "its media cannot be negotiated now") from None


async def _renegotiate_between(one: Call, other: Call) -> None:
    one.talks_with(other)
    other.talks_with(one)
    fresh = await ask_for_offer(other)
    try:
        answer = await _ask(one, fresh.body)
    except BaseException:
        decline_offer(other, fresh)
        raise
    one.peer_body = answer.body
    if one.ended or other.ended:
        decline_offer(other, fresh)
        restore_media(one)
        raise MediaNotAgreed(487, "one of them has hung up")
    if fresh.cseq:
        other.acknowledge_reinvite(fresh.cseq, answer.body)
        other.peer_body = fresh.body
    else:
        await _send_answer(one, other, answer.body)


class FreshOffer:
    """An offer of a leg. `cseq` is that of the 2xx in which it came, whose ACK has to bring the answer; 0: it is what
    the leg had said before, as it makes no offers when asked."""

    __slots__ = ("body", "cseq")

    def __init__(self, body: bytes, cseq: int) -> None:
        self.body = body
        self.cseq = cseq


async def ask_for_offer(call: Call) -> FreshOffer:
    """What `call` offers now. Whoever gets it answers, or gives it back. Raises MediaNotAgreed."""
    try:
        response = await _ask(call, b"")
    except MediaNotAgreed:
        if call.ended or not call.peer_body:
            raise
        return FreshOffer(resumed(call.peer_body), 0)
    return FreshOffer(response.body, response.cseq)


def decline_offer(call: Call, fresh: FreshOffer) -> None:
    """The offer of `call` comes to nothing: it has again what it had."""
    body = _partner_body(call)
    if fresh.cseq and not call.ended:
        call.acknowledge_reinvite(fresh.cseq, body)


def restore_media(call: Call) -> None:
    """`call` has agreed with somebody with whom it will not talk: its media goes again to whom it does talk with."""
    body = _partner_body(call)
    if body and not call.ended:
        call.renegotiate("INVITE", body, _ignore, retry_glare=True)


async def offer(call: Call, body: bytes) -> bytes:
    """What `call` answers to an offer of somebody whom it is to talk with. Raises MediaNotAgreed."""
    answer = await _ask(call, body)
    call.peer_body = answer.body
    return answer.body


async def _send_answer(one: Call, other: Call, body: bytes) -> None:
    """`other` has made no offer: it is sent what `one` has answered to its old one."""
    try:
        other.peer_body = (await _ask(other, body)).body
    except MediaNotAgreed:
        restore_media(one)
        raise


def _partner_body(call: Call) -> bytes:
    """What the one has said that `call` talks with, again or still."""
    if call.bridged is None:
        return b""
    partner = call.bridged.other(call)
    call.talks_with(partner)
    return partner.peer_body


async def _ask(call: Call, body: bytes) -> Response:
    """The 2xx to a re-INVITE, with its description. Raises MediaNotAgreed."""
    for _ in range(BUSY_TRIES):
        heard: asyncio.Future[tuple[int, Response | None]] = call.agent.loop.create_future()
        call.renegotiate("INVITE", body, partial(_on_final, call, body, heard), retry_glare=True)
        status, response = await heard
        if response is not None and status < 300:
            if response.body:
                return response
            if not body and not call.ended:
                call.acknowledge_reinvite(response.cseq, b"")
            raise MediaNotAgreed(488, "no session description")
        if call.ended:
            raise MediaNotAgreed(487, "it has hung up")
        if status != 491 or response is not None:
            raise MediaNotAgreed(status, response.reason if response is not None else "")
        await asyncio.sleep(BUSY_PAUSE)  # another re-INVITE of ours is under way
    raise MediaNotAgreed(491, "its media is being negotiated")


def _on_final(
    call: Call,
    body: bytes,
    heard: "asyncio.Future[tuple[int, Response | None]]",
    status: int,
    response: Response | None,
    now: float,
) -> None:
    if not heard.done():
        heard.set_result((status, response))
    elif response is not None and status < 300 and not call.ended:
        # The caller of `_ask` has gone.
        if not body:
            call.acknowledge_reinvite(response.cseq, _partner_body(call))
        else:
            restore_media(call)


def _ignore(status: int, response: Response | None, now: float) -> None:
    """There is nothing better to offer it."""

"""Carries out a hunt: one attempt after another, until somebody answers, the hunt stops, or the caller is gone."""

import asyncio
from typing import Any, NamedTuple

from flows.contracts import CallEnded, DialSpec, OutgoingLeg
from flows.environment import FlowEnvironment


class Placed(NamedTuple):
    """What became of a hunt.

    `leg` and `attempt` are set when it was answered: whoever gets them hangs the leg up and releases the attempt. Else
    `status` and `reason` are what the caller is to hear, and `kind` is how the last attempt ended ("" where there was
    none).
    """

    leg: OutgoingLeg | None
    attempt: Any
    kind: str
    status: int
    reason: str


async def place(
    env: FlowEnvironment,
    hunt: Any,
    caller: Any = None,
    early_media: bool = True,
    ring_timeout: float = 0,
    *,
    call_id: str,
) -> Placed:
    """Dials attempt after attempt. `caller` is the engine's call that this is for, None for a call of our own;
    `ring_timeout` (seconds, 0: none) shortens the provider's. `call_id` is for the log.

    Cancelled, it gives up the leg that is being dialled, and the hunt knows. Raises CallEnded when the caller is gone.
    """
    clock = env.clock
    dial = env.agent.dial
    kind = ""
    while True:
        attempt = hunt.next(clock())
        if attempt is None:
            break
        ringing: float = attempt.ring_timeout
        if 0 < ring_timeout < ringing:
            ringing = ring_timeout
        leg: OutgoingLeg | None = None
        try:
            spec = DialSpec(
                attempt.request_uri,
                attempt.destination,
                attempt.from_,
                attempt.to,
                attempt.headers,
                attempt.username,
                attempt.password,
                attempt.realm,
                attempt.no_reply_timeout,
                attempt.no_progress_timeout,
                ringing,
                attempt.codecs,
            )
            leg = dial(spec, caller, early_media)
            kind, status, reason, retry_after, first_reply = await leg.outcome()
        except (asyncio.CancelledError, CallEnded):
            _give_up(leg, hunt, attempt, clock())
            raise
        except Exception as error:
            # A provider that cannot even be dialled must not keep the caller from the next one.
            env.log.error(
                "dialling failed",
                call_id=call_id,
                request_uri=attempt.request_uri,
                error=f"{type(error).__name__}: {error}"[:500],
            )
            if leg is not None:
                leg.cancel()
            kind, status, reason, retry_after, first_reply = "unreachable", 0, str(error)[:200], 0, None
        try_next = hunt.outcome(attempt, kind, status, reason, retry_after, first_reply, clock())
        if kind == "answered":
            return Placed(leg, attempt, kind, status, reason)
        hunt.release(attempt)
        if not try_next:
            break
    status, reason = hunt.final()
    return Placed(None, None, kind, status, reason)


def _give_up(leg: OutgoingLeg | None, hunt: Any, attempt: Any, now: float) -> None:
    if leg is not None and leg.ended_at is None:
        # The answer may have come in the moment of giving up: cancel() is a BYE then.
        leg.cancel()
    hunt.outcome(attempt, "cancelled", 0, "given up", 0, None, now)
    hunt.release(attempt)

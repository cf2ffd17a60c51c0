"""Transfer of a peer by us: it is asked to call somebody else (REFER, RFC 3515)."""

import asyncio
from typing import NamedTuple

from engine.sip.dialog.refer import REFUSED, Referral
from engine.sip.dialog.session import Session


class Transferred(NamedTuple):
    """What became of a REFER of ours.

    `ended`: "told", `status` and `reason` being those of the call that the peer made; "accepted", where it took the
    order and said no more (the last it said is in `status`, 0 for nothing); "refused", with the status of the refusal,
    0 where it did not answer.
    """

    ended: str
    status: int
    reason: str

    @property
    def answered(self) -> bool:
        """The peer talks to whom it was sent to."""
        return self.ended == "told" and self.status < 300


async def transfer(session: Session, now: float, refer_to: str, headers: str = "") -> Transferred:
    """Ask the peer of `session` to call `refer_to`, a URI; `headers` are further lines, each ended by CRLF.

    Waits for what the peer tells of it, 240 seconds at the most. The call is what it was before: it is the owner's to
    end. A call that is not answered, or is being transferred already, is "refused" without being asked (491).
    """
    heard: asyncio.Future[Transferred] = asyncio.get_running_loop().create_future()

    def tell(referral: Referral) -> None:
        if not heard.done():
            heard.set_result(Transferred(referral.ended, referral.status, referral.reason))

    if session.refer(refer_to, headers, now, tell) is None:
        return Transferred(REFUSED, 491, "the call cannot be transferred now")
    return await heard

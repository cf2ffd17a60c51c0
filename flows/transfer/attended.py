"""Attended transfer: somebody talks with two, in two calls of ours, leaves both, and the two are joined (RFC 5589 §7).

Each of the two calls has a run with its own record, and whatever it dialled is paid for by it. So neither run takes
over the other: which of them goes on, and which of them only waits for the end of what it pays for, is a table.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from engine.bridge import Bridge
from engine.media.anchor import CALLEE, CALLER
from engine.media.relay.relay import Relay
from engine.rejoin import MediaNotAgreed, renegotiate_between
from flows.calls.ports import OutgoingLeg
from flows.transfer.parties import MAX_TRANSFERS, Next, Part, Talk
from flows.transfer.successor import Remaining, onward_of

if TYPE_CHECKING:
    from engine.transfer_request import TransferRequest

# Who asks was (in the call in which it asks, in the other) -> what their runs do.
JOINED: Final[dict[tuple[str, str], tuple[Next, Next]]] = {
    ("callee", "caller"): ("leads", "holds"),
    ("caller", "callee"): ("holds", "leads"),
    ("callee", "callee"): ("beside", "beside"),
    ("caller", "caller"): ("onward", "holds"),
}
"""leads: its caller goes on, and talks with the other call's callee. holds: its caller has left, and it waits for the
end of its callee. beside: its caller talks with the other call's caller, and neither ends the other's flow. onward: its
caller has left, and its callee goes on as a call of its own."""


def obstacle(*parts: Part) -> str:
    """Why those who would stay cannot be connected with one another, in a sentence; "" where they can."""
    for part in parts:
        run = part.talk.run
        if part.tied:
            return "who was called by an order cannot leave its call to another"
        if run.budget.transfers >= MAX_TRANSFERS:
            return f"the call has been transferred {MAX_TRANSFERS} times"
        recorded = run.recording is not None
        if part.by != "callee" or not (recorded or part.talk.leg.anchored):
            continue
        # Media that passed us with the leg that leaves, as a flow or a provider wants, or for a recording, is to do so.
        if _anchored(*parts, embedded=recorded) is None:
            return "its media has to pass this engine, and that of what it is to be connected with does not"
    return ""


def _anchored(*parts: Part, embedded: bool = False) -> OutgoingLeg | None:
    """The leg of those that stay whose media passes us; with `embedded`, this process."""
    for part in parts:
        leg = part.talk.leg
        if part.by == "caller" and leg.anchored and (not embedded or isinstance(leg.path.anchor, Relay)):
            found: OutgoingLeg = leg
            return found
    return None


async def join(ours: Part, asked: "TransferRequest", theirs: Part) -> None:
    """Has the two that stay talk with each other. Where that comes to be, `next` of both talks says how they go on;
    else all is as it was. Whoever asks is told."""
    other = theirs.talk
    asked.accept()
    status, reason = 487, ""
    with leaving(ours, theirs) as joined:
        try:
            await renegotiate_between(ours.stays, theirs.stays)
        except MediaNotAgreed as error:
            status, reason = error.status, error.reason
        else:
            _join(ours, theirs)
            joined.append(True)
        finally:
            words = "answered" if joined else f"{status}{f' {reason}' if reason else ''}"
            onward = ours.talk.onward
            more = f"; it goes on as call {onward.run.record.id}" if onward is not None else ""
            ours.talk.run.record.note(
                f"transfer to call {other.run.record.id} asked for by the {asked.by}, who talks there: {words}{more}"
            )
            other.run.record.note(f"transfer of call {ours.talk.run.record.id} to this one by the {theirs.by}: {words}")
            if joined:
                asked.succeeded()
                theirs.hang_up()
            else:
                asked.failed(status, reason)


@contextmanager
def leaving(*parts: Part) -> Iterator[list[bool]]:
    """For as long as it is not known whether those that want to leave do: their ends are not those of the ones who
    stay, and nobody else begins anything with the talks. What is yielded is to be filled where they do."""
    joining: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    joined: list[bool] = []
    for part in parts:
        part.talk.joining = joining
        part.talk.run.budget.transfers += 1
        part.loosen()
    try:
        yield joined
    finally:
        for part in parts:
            part.talk.joining = None
            if not joined:
                part.fasten()
        joining.set_result(None)


def _join(ours: Part, theirs: Part) -> None:
    mine, other = ours.talk, theirs.talk
    anchored = _anchored(ours, theirs, embedded=True)
    nexts = JOINED[ours.by, theirs.by]
    # Of a caller and what was dialled, the caller outlives the other; of what was dialled twice, the first does.
    first, second = (theirs, ours) if nexts[0] == "holds" else (ours, theirs)
    bridge = Bridge.join(first.stays, second.stays)
    bridge.callee_survives = nexts[0] == "beside"
    mine.run.budget.transfers = other.run.budget.transfers = max(mine.run.budget.transfers, other.run.budget.transfers)
    for part, partner, following in ((ours, theirs, nexts[0]), (theirs, ours, nexts[1])):
        _turn(part.talk, following, bridge, partner)
        recording = part.talk.run.recording
        if part.by == "callee" and recording is not None and anchored is not None:
            anchored.overhear(recording.recorder.channel(CALLER), recording.recorder.channel(CALLEE))


def _turn(talk: Talk, following: Next, bridge: Bridge, partner: Part) -> None:
    talk.next = following
    if following == "leads":
        talk.leg, talk.close, talk.bridge = partner.stays, partner.talk.close, bridge
    elif following == "beside":
        talk.bridge = bridge
    elif following == "onward":
        talk.onward = _onward(talk, bridge, partner)


def _onward(talk: Talk, bridge: Bridge, partner: Part) -> Talk:
    run, leg, env = talk.run, talk.leg, talk.run.env
    other = partner.talk.run
    onward = onward_of(run, leg, other.destination, other.record.destination_type)
    record = onward.record
    record.note(f"it was joined with call {other.record.id}")
    env.calls.begin(record, Remaining(leg, record))
    record.status, record.answered_ms = "progressing", 0
    env.calls.changed(record)
    return Talk(onward, partner.stays, partner.talk.close, bridge, talk.reach)

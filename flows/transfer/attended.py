"""Attended transfer (RFC 5589 §7): the transferor talks in two calls of ours, leaves both, and the others are joined.

Each of the two calls has a record of its own, and pays for whatever it has dialled. So neither takes over the other:
which of them goes on, and which of them only waits for the end of what it pays for, is a table.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from engine.bridge import Bridge
from engine.media.anchor import CALLEE, CALLER
from engine.media.relay.relay import Relay
from engine.rejoin import MediaNotAgreed, renegotiate_between
from engine.transfer_request import TransferRequest
from flows.calls.ports import OutgoingLeg
from flows.transfer.parties import MAX_TRANSFERS, ConnectedPair, Continuation, Transferor
from flows.transfer.successor import SuccessorCall, make_successor

# The transferor is (in the call in which it asks, in the other) -> what becomes of the two calls.
JOINED: Final[dict[tuple[str, str], tuple[Continuation, Continuation]]] = {
    ("callee", "caller"): ("continue_with_peer", "wait_for_callee"),
    ("caller", "callee"): ("wait_for_callee", "continue_with_peer"),
    ("callee", "callee"): ("bridge_only", "bridge_only"),
    ("caller", "caller"): ("successor", "wait_for_callee"),
}


def obstacle(*transferors: Transferor) -> str:
    """Why those who would stay cannot be connected with one another, in a sentence; "" where they can."""
    for transferor in transferors:
        context = transferor.pair.context
        if transferor.tied:
            return "who was called by an order cannot leave its call to another"
        if context.budget.transfers >= MAX_TRANSFERS:
            return f"the call has been transferred {MAX_TRANSFERS} times"
        recorded = context.recording is not None
        if transferor.by != "callee" or not (recorded or transferor.pair.leg.anchored):
            continue
        # Media that passed us with the leg that leaves, as a flow or a provider wants, or for a recording, is to do so.
        if _anchored(*transferors, embedded=recorded) is None:
            return "its media has to pass this engine, and that of what it is to be connected with does not"
    return ""


def _anchored(*transferors: Transferor, embedded: bool = False) -> OutgoingLeg | None:
    """The leg of those that stay whose media passes us; with `embedded`, this process."""
    for transferor in transferors:
        leg = transferor.pair.leg
        if transferor.by == "caller" and leg.anchored and (not embedded or isinstance(leg.path.anchor, Relay)):
            found: OutgoingLeg = leg
            return found
    return None


async def join_calls(ours: Transferor, request: TransferRequest, theirs: Transferor) -> None:
    """Has the two that stay talk with each other. Where that succeeds, `continuation` of both pairs says how they go
    on; else all is as it was. The transferor is notified."""
    other = theirs.pair
    request.accept()
    status, reason = 487, ""
    with leaving(ours, theirs) as joined:
        try:
            await renegotiate_between(ours.stays, theirs.stays)
        except MediaNotAgreed as error:
            status, reason = error.status, error.reason
        else:
            _bridge(ours, theirs)
            joined.append(True)
        finally:
            words = "answered" if joined else f"{status}{f' {reason}' if reason else ''}"
            successor = ours.pair.successor
            more = f"; it goes on as call {successor.context.record.id}" if successor is not None else ""
            record, other_record = ours.pair.context.record, other.context.record
            record.note(
                f"transfer to call {other_record.id} asked for by the {request.by}, who talks there: {words}{more}"
            )
            other_record.note(f"transfer of call {record.id} to this one by the {theirs.by}: {words}")
            if joined:
                request.succeeded()
                theirs.hang_up()
            else:
                request.failed(status, reason)


@contextmanager
def leaving(*transferors: Transferor) -> Iterator[list[bool]]:
    """For as long as it is not known whether those that want to leave do: their ends are not those of the ones who
    stay, and nobody else begins anything with the pairs. What is yielded is to be filled where they do."""
    joining: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    joined: list[bool] = []
    for transferor in transferors:
        transferor.pair.joining = joining
        transferor.pair.context.budget.transfers += 1
        transferor.detach()
    try:
        yield joined
    finally:
        for transferor in transferors:
            transferor.pair.joining = None
            if not joined:
                transferor.reattach()
        joining.set_result(None)


def _bridge(ours: Transferor, theirs: Transferor) -> None:
    mine, other = ours.pair, theirs.pair
    anchored = _anchored(ours, theirs, embedded=True)
    nexts = JOINED[ours.by, theirs.by]
    # Of a caller and what was dialled, the caller outlives the other; of what was dialled twice, the first does.
    first, second = (theirs, ours) if nexts[0] == "wait_for_callee" else (ours, theirs)
    bridge = Bridge.join(first.stays, second.stays)
    bridge.callee_survives = nexts[0] == "bridge_only"
    budget, other_budget = mine.context.budget, other.context.budget
    budget.transfers = other_budget.transfers = max(budget.transfers, other_budget.transfers)
    for transferor, peer, continuation in ((ours, theirs, nexts[0]), (theirs, ours, nexts[1])):
        _continue(transferor.pair, continuation, bridge, peer)
        recording = transferor.pair.context.recording
        if transferor.by == "callee" and recording is not None and anchored is not None:
            anchored.overhear(recording.recorder.channel(CALLER), recording.recorder.channel(CALLEE))


def _continue(pair: ConnectedPair, continuation: Continuation, bridge: Bridge, peer: Transferor) -> None:
    pair.continuation = continuation
    if continuation == "continue_with_peer":
        pair.leg, pair.close, pair.bridge = peer.stays, peer.pair.close, bridge
    elif continuation == "bridge_only":
        pair.bridge = bridge
    elif continuation == "successor":
        pair.successor = _successor(pair, bridge, peer)


def _successor(pair: ConnectedPair, bridge: Bridge, peer: Transferor) -> ConnectedPair:
    leg, services = pair.leg, pair.context.services
    other = peer.pair.context
    successor = make_successor(pair.context, leg, other.destination, other.record.destination_type)
    record = successor.record
    record.note(f"it was joined with call {other.record.id}")
    services.registry.begin(record, SuccessorCall(leg, record))
    record.status, record.answered_ms = "progressing", 0
    services.registry.changed(record)
    return ConnectedPair(context=successor, leg=peer.stays, close=peer.pair.close, bridge=bridge, connect=pair.connect)

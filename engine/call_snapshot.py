"""Answered calls as values: a call is written down, and carried on by another user agent (`UserAgent.restore`).

The signalling is carried on. Media goes on by itself where it goes end to end; what passes sockets of the user agent
that is gone has to be negotiated anew by whoever carries the call on.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

from engine.call import Call, CallAgent
from engine.sip.dialog.session import Session
from engine.sip.dialog.snapshot import DialogSnapshot, take_snapshot

Direction = Literal["incoming", "outgoing"]


@dataclass(slots=True, frozen=True, kw_only=True)
class CallSnapshot:
    """One answered leg. All of it can be written as JSON (`document`).

    Attributes:
        id, direction, dialled, max_forwards, max_breadth: As those of `Call`.
        created, answered: Seconds that had passed since then.
        description: The session description last heard from the peer.
        dialog: Its dialog.
    """

    id: str
    direction: Direction
    dialled: str
    max_forwards: int
    max_breadth: int
    created: float
    answered: float
    description: str
    dialog: DialogSnapshot

    @classmethod
    def take(cls, call: Call) -> Self:
        """Raises ValueError for a call that has not been answered, or is over."""
        now = call.agent.now()
        if call.answered_at is None or call.ended:
            raise ValueError("the call has not been answered, or is over")
        return cls(
            id=call.id,
            direction="incoming" if call.direction == "incoming" else "outgoing",
            dialled=call.dialled,
            max_forwards=call.max_forwards,
            max_breadth=call.max_breadth,
            created=now - call.created,
            answered=now - call.answered_at,
            description=call.peer_body.decode("utf-8", "surrogateescape"),
            dialog=take_snapshot(call.session, now),
        )

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)

    @classmethod
    def read(cls, document: dict[str, Any]) -> Self:
        """What `document` has written. Raises TypeError or KeyError for anything else."""
        return cls(**{**document, "dialog": DialogSnapshot.read(document["dialog"])})


class RestoredCall(Call):
    """A leg that was opened elsewhere, and answered."""

    __slots__ = ("direction",)

    def __init__(self, agent: CallAgent, session: Session, snapshot: CallSnapshot, age: float, now: float) -> None:
        """`age`: seconds since the snapshot was taken."""
        super().__init__(agent, session, session.dialog.source or agent.nowhere, now)
        self.direction: str = snapshot.direction
        self.id = snapshot.id
        self.dialled = snapshot.dialled
        self.max_forwards, self.max_breadth = snapshot.max_forwards, snapshot.max_breadth
        self.created = now - snapshot.created - age
        self.answered_at = now - snapshot.answered - age
        self.status = "progressing"
        self.peer_body = snapshot.description.encode("utf-8", "surrogateescape")

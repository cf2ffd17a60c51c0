"""Ports: the protocols of what call control needs of the engine, of routing and of the service."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

from engine.audio.errors import SoundError
from engine.call import MEDIA_FAILURES, CallEnded
from engine.dial import DialSpec, Outcome
from routing.directory.rows import RouteRow
from routing.hunt.attempt import Attempt, AttemptRecord
from routing.hunt.candidate import Candidate
from routing.hunt.hunt import Hunt
from routing.hunt.identity import NO_CALLER, CallerIdentity
from routing.hunt.looked_up import AskedAttempt
from routing.hunt.outcome import NotAttempted, OutcomeKind
from routing.identifiers import NIL

if TYPE_CHECKING:
    from engine.media.audio import AudioSink, AudioSource
    from engine.transfer import Transferred

__all__ = [
    "MEDIA_FAILURES",
    "CallEnded",
    "CallLeg",
    "CallerBinding",
    "Charging",
    "DialSpec",
    "Dialler",
    "FlowProgram",
    "FlowStep",
    "LegBridge",
    "MessageCredit",
    "Outcome",
    "OutgoingLeg",
    "ProviderHunt",
    "Reservation",
    "Router",
    "Running",
    "Sound",
    "SoundError",
    "Sounds",
]


class CallLeg(Protocol):
    """A call as flows see it (`engine.call.Call`). Orders are synchronous; only waiting is asynchronous."""

    @property
    def id(self) -> str: ...
    @property
    def direction(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def answered(self) -> bool: ...
    @property
    def created(self) -> float: ...
    @property
    def answered_at(self) -> float | None: ...
    @property
    def ended_at(self) -> float | None: ...
    @property
    def ended_by(self) -> str: ...
    @property
    def end_status(self) -> int: ...
    @property
    def end_reason(self) -> str: ...
    @property
    def peer_reason(self) -> str: ...
    @property
    def media(self) -> dict[str, Any] | None: ...

    def ringing(self) -> None: ...
    def progress(self, body: bytes = b"") -> None: ...
    def answer(self, body: bytes = b"") -> None: ...
    def reject(self, status: int, reason: str = "", headers: Sequence[tuple[str, str]] = ()) -> None: ...
    def redirect(self, contacts: Sequence[str]) -> None: ...
    def hangup(self, status: int = 480, cause: str = "", reason: str = "") -> None: ...
    async def wait_ended(self) -> None: ...
    async def sleep(self, seconds: float) -> None: ...
    async def echo(self, seconds: float | None) -> None: ...
    async def play(self, feed: "AudioSource", until: str = "") -> str: ...
    async def key(self, timeout: float | None = None) -> str: ...  # noqa: ASYNC109 - running out of it is no error
    async def listen(self) -> None: ...
    def forget_keys(self) -> None: ...
    def rest(self, on: bool = True) -> None: ...
    async def send_keys(self, digits: str, duration: float, interval: float) -> None: ...
    def attach(self, tap: "AudioSink") -> None: ...
    def detach(self, tap: "AudioSink") -> None: ...
    # The engine's bridge takes its own kind of leg; what is handed in came from its own dial().
    def bridge(self, leg: Any) -> "LegBridge": ...
    @property
    def own_address(self) -> str: ...
    @property
    def max_breadth(self) -> int: ...
    async def transfer(self, refer_to: str, referred_by: str = "") -> "Transferred": ...


class OutgoingLeg(CallLeg, Protocol):
    """A call that was dialled (`engine.dial.OutgoingCall`)."""

    on_status: Any
    """Called with the leg at every change of its status but the last."""
    on_end: Any
    """Called with the leg when it is over."""

    @property
    def sip_call_id(self) -> str: ...
    @property
    def first_reply(self) -> float | None: ...
    async def outcome(self) -> Outcome: ...
    def overhear(self, caller: "AudioSink", callee: "AudioSink") -> None: ...
    @property
    def anchored(self) -> bool: ...
    async def passed(self) -> dict[str, Any] | None: ...
    def cancel(self, cause: str = "") -> None: ...


class LegBridge(Protocol):
    """Two calls that talk (`engine.bridge.Bridge`)."""

    async def ended(self) -> str: ...


class Dialler(Protocol):
    """Who makes calls (`engine.user_agent.UserAgent`)."""

    def dial(self, spec: Any, caller: Any = None, early_media: bool = True) -> OutgoingLeg: ...


class ProviderHunt(Protocol):
    """One call's way through the providers (`routing.hunt.hunt.Hunt`), or to one URI."""

    @property
    def records(self) -> list[AttemptRecord]: ...
    def next(self, now: float) -> Attempt | None: ...
    def outcome(
        self,
        attempt: Attempt,
        kind: OutcomeKind,
        status: int = 0,
        reason: str = "",
        *,
        retry_after: int = 0,
        first_reply: float | None = None,
        now: float = 0.0,
    ) -> bool: ...
    def refuse(self, attempt: Attempt, why: NotAttempted, *, stop: bool) -> None: ...
    def release(self, attempt: Attempt) -> None: ...
    def final(self) -> tuple[int, str]: ...
    def last_word(self) -> tuple[int, str]: ...


class FlowProgram(Protocol):
    """A flow that is ready to run (`flows.language.program.Program`).

    Attributes:
        customer_id: Whose word it is; None, as the nil UUID: the platform's.
        media: "anchor" where the media of the calls that it connects is to pass us.
    """

    id: str
    customer_id: Any
    media: str

    @property
    def title(self) -> str: ...
    def belongs_to(self, customer_id: Any) -> None: ...


class FlowStep(Protocol):
    """The action that runs (`flows.language.program.Step`)."""

    id: str
    type: str


class Router(Protocol):
    """Who plans the attempts for a number (`routing.hunt.router.Router`)."""

    def hunt(
        self,
        target: str,
        *,
        caller: CallerIdentity = NO_CALLER,
        customer_id: UUID = NIL,
        pinned: Sequence[UUID] = (),
    ) -> ProviderHunt: ...

    def candidates(
        self, route: RouteRow, attempts: Sequence[AskedAttempt], customer_id: UUID
    ) -> Sequence[Candidate]: ...
    def explain(self, asked: Any, now: float, *, customer_id: UUID = NIL, pinned: Sequence[UUID] = ()) -> Any: ...


class Lookups(Protocol):
    """Who asks elsewhere for the attempts of a call (`flows.route_lookup.RouteLookups`); `counts` by how that ended."""

    @property
    def counts(self) -> Mapping[str, int]: ...

    async def ask(self, hunt: Hunt, customer_id: UUID, call_id: str) -> str: ...


class Running(Protocol):
    """A call that runs, as somebody from outside may end it."""

    def hang_up(self, cause: str) -> None:
        """Ends it, for one of the causes in `flows.calls.hangup`. A second time changes nothing."""


class Reservation(Protocol):
    """Credit that is kept for one attempt, and for the call that becomes of it."""

    def answered(self, exhausted: Callable[[], None]) -> None:
        """From now on time costs. `exhausted` is called, in the event loop, when the credit is used up."""

    def close(self) -> None:
        """The attempt failed, or the call is over. What was not used is given back; a second time does nothing."""


class MessageCredit(Protocol):
    """What one message may cost, kept for one attempt to send it."""

    def charge(self) -> None:
        """It was taken: it is paid for."""

    def close(self) -> None:
        """It was not: the credit is given back. Nothing after `charge`; a second time does nothing."""


class Charging(Protocol):
    """Who takes money for calls (`service.billing.charging.Charging`)."""

    def rated(self, customer_id: UUID) -> bool:
        """Whether this customer pays for calls at all. Quick: it is asked before each attempt that costs."""

    async def reserve(self, customer_id: UUID, call_id: UUID, rate: int) -> Reservation | None:
        """Credit for the beginning of a call at `rate` micro-units a minute; None: there is not enough.

        Cancelled, it keeps nothing.
        """

    async def reserve_message(self, customer_id: UUID, message_id: UUID, price: int) -> MessageCredit | None:
        """`price` micro-units for one message; None: there is not enough. Cancelled, it keeps nothing."""


class CallerBinding(Protocol):
    """What ends a call's flow with its caller (`flows.transfer.successor`)."""

    def detach(self) -> None:
        """From now on the flow goes on without its caller."""

    def reattach(self) -> None:
        """Again it does not."""

    def cancel(self) -> None:
        """The caller is gone, and what ran for it ends."""


class Sound(Protocol):
    """A sound that is ready to be played (`engine.audio.library.Sound`)."""

    @property
    def seconds(self) -> float:
        """How long it lasts, once; infinite for a tone without end."""
        ...

    def feed(self, loop: int = 1) -> "AudioSource":
        """For one listener: `loop` times, 0 without end."""
        ...


class Sounds(Protocol):
    """Where sounds come from (`engine.audio.library.SoundLibrary`). Raises SoundError."""

    async def load(self, source: str) -> Sound:
        """A file by its name, a web address, or a tone."""
        ...

    async def speech(self, text: str, language: str = "en-US", gender: str = "female", voice: str = "") -> Sound:
        """Plain text or SSML, spoken."""
        ...

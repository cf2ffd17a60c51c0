"""Nested calls: a flow connects its caller to another of our own numbers, whose flow runs on the same caller.

The flow that connects keeps the caller when the number that it called refuses or hangs up. So that number's flow gets
this in the caller's place: what is for the caller goes through, what would end the call ends only this leg.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from flows.calls.ports import MEDIA_FAILURES, CallEnded, CallLeg, LegBridge

if TYPE_CHECKING:
    from engine.media.audio import AudioSink, AudioSource
    from engine.transfer import Transferred

T = TypeVar("T")


def _always() -> bool:
    return True


class NestedLeg:
    """A call to one of our own numbers, made by a flow for `caller`.

    `claim` is asked before the leg is answered; False means that another destination has the caller already. `over`
    makes a leg that takes no orders at all, for what runs after a call.
    """

    __slots__ = (
        "_answered",
        "_caller",
        "_claim",
        "_early",
        "_over",
        "answered_at",
        "end_headers",
        "end_reason",
        "end_status",
    )

    def __init__(self, caller: CallLeg, claim: Callable[[], bool] = _always, *, over: bool = False) -> None:
        self._caller = caller
        self._claim = claim
        self._over = over
        self._answered = False
        self._early = False  # our description was sent in a 183: what plays now need not answer
        self.end_status = 0
        self.end_reason = ""
        self.end_headers: Sequence[tuple[str, str]] = ()
        self.answered_at: float | None = None

    @property
    def id(self) -> str:
        """The caller's id: it is the same call."""
        return self._caller.id

    @property
    def peer_reason(self) -> str:
        """Its end is no BYE."""
        return ""

    @property
    def direction(self) -> str:
        """As the caller's."""
        return self._caller.direction

    @property
    def status(self) -> str:
        """The caller's, or `hangup` when this leg is over."""
        return "hangup" if self._over else self._caller.status

    @property
    def answered(self) -> bool:
        """Whether the number's flow has answered, whatever happened to the caller before."""
        return self._answered

    @property
    def created(self) -> float:
        """As the caller's."""
        return self._caller.created

    @property
    def ended_at(self) -> float | None:
        """As the caller's."""
        return self._caller.ended_at

    @property
    def ended_by(self) -> str:
        """`local` when the number's flow ended it."""
        return "local" if self._over else self._caller.ended_by

    @property
    def media(self) -> dict[str, Any] | None:
        """As the caller's."""
        return self._caller.media

    def _check(self) -> None:
        if self._over:
            raise CallEnded("the call is over")

    def _take(self) -> None:
        self._check()
        if not self._answered:
            if not self._claim():
                self._over = True
                raise CallEnded("another destination was quicker")
            self._answered = True
            self._early = False

    def ringing(self) -> None:
        """To the caller, unless it has been answered before."""
        self._check()
        if not self._caller.answered:
            self._caller.ringing()

    def progress(self, body: bytes = b"") -> None:
        """To the caller, unless it has been answered before."""
        self._check()
        if not self._caller.answered:
            self._caller.progress(body)
        self._early = not self._answered

    def answer(self, body: bytes = b"") -> None:
        """Answers the caller."""
        self._take()
        if self._caller.answered:
            return
        try:
            self._caller.answer(body)
        except Exception:
            self._answered = self._caller.answered  # where there is no media of our own, it is not
            raise

    def reject(self, status: int, reason: str = "", headers: Sequence[tuple[str, str]] = ()) -> None:
        """Ends this leg; the flow that connected learns the status."""
        self._end(status, reason)
        self.end_headers = headers

    def redirect(self, contacts: Sequence[str]) -> None:
        """Ends this leg. Nobody follows: where the caller would be sent, the flow that connected has its say."""
        self._end(480, "Temporarily Unavailable")

    def hangup(self, status: int = 480, cause: str = "", reason: str = "") -> None:
        """Ends this leg, answered or not. Nothing when it is over."""
        if not self._over:
            self._end(200 if self._answered else status, reason)

    def _end(self, status: int, reason: str) -> None:
        self._check()
        self._over = True
        self.end_status = status
        self.end_reason = reason

    async def wait_ended(self) -> None:
        """Until the caller is gone."""
        if not self._over:
            await self._caller.wait_ended()

    async def sleep(self, seconds: float) -> None:
        """As the caller's."""
        self._check()
        await self._caller.sleep(seconds)

    async def echo(self, seconds: float | None) -> None:
        """As the caller's; it answers."""
        self._take()
        await self._with_media(self._caller.echo(seconds))

    async def play(self, feed: "AudioSource", until: str = "") -> str:
        """To the caller."""
        self._open()
        return await self._with_media(self._caller.play(feed, until))

    async def key(self, timeout: float | None = None) -> str:  # noqa: ASYNC109 - running out of it is no error
        """Of the caller."""
        self._open()
        return await self._with_media(self._caller.key(timeout))

    async def listen(self) -> None:
        """As the caller's; it answers."""
        self._open()
        await self._with_media(self._caller.listen())

    def rest(self, on: bool = True) -> None:
        """The caller's."""
        if not self._over:
            self._caller.rest(on)

    def forget_keys(self) -> None:
        """Of the caller."""
        self._check()
        self._caller.forget_keys()

    async def send_keys(self, digits: str, duration: float, interval: float) -> None:
        """To the caller; it answers."""
        self._take()
        await self._with_media(self._caller.send_keys(digits, duration, interval))

    def attach(self, tap: "AudioSink") -> None:
        """To the caller's media."""
        self._check()
        self._caller.attach(tap)

    def detach(self, tap: "AudioSink") -> None:
        """From the caller's media, of a leg that is over too."""
        self._caller.detach(tap)

    def _open(self) -> None:
        """Before what answers the caller, unless this leg's early media is what it hears."""
        if not self._early:
            self._take()
        else:
            self._check()

    async def _with_media(self, order: Awaitable[T]) -> T:
        try:
            return await order
        except MEDIA_FAILURES:
            self._answered = self._answered and self._caller.answered
            raise

    @property
    def max_breadth(self) -> int:
        """The caller's."""
        return self._caller.max_breadth

    @property
    def own_address(self) -> str:
        """As the caller's."""
        return self._caller.own_address

    async def transfer(self, refer_to: str, referred_by: str = "") -> "Transferred":
        """The caller's."""
        self._check()
        return await self._caller.transfer(refer_to, referred_by)

    def bridge(self, leg: Any) -> LegBridge:
        """Connects the caller with `leg`."""
        self._take()
        return self._caller.bridge(leg)

"""What a call's owner does with sound: play, keys, listening, sending keys, echo. One of these for a call that does."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.call import Call
    from engine.media.feed import Feed, Tap


class CallMedia:
    """The media orders of one call; see `Call`, whose methods these are."""

    __slots__ = ("_call",)

    def __init__(self, call: "Call") -> None:
        self._call = call

    async def play(self, feed: "Feed", until: str) -> str:
        raise NotImplementedError("the pacer is being built")

    async def key(self, timeout: float | None) -> str:  # noqa: ASYNC109 - running out of it is no error
        raise NotImplementedError("the pacer is being built")

    async def listen(self) -> None:
        raise NotImplementedError("the pacer is being built")

    def forget_keys(self) -> None:
        raise NotImplementedError("the pacer is being built")

    async def send_keys(self, digits: str, duration: float, interval: float) -> None:
        raise NotImplementedError("the pacer is being built")

    def attach(self, tap: "Tap") -> None:
        raise NotImplementedError("the pacer is being built")

    def detach(self, tap: "Tap") -> None:
        raise NotImplementedError("the pacer is being built")

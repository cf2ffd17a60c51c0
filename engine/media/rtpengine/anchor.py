"""RtpengineAnchor: the media of one leg and its caller in an rtpengine."""

import asyncio
from collections.abc import Iterator
from secrets import token_hex
from typing import Any, Final, Protocol

from engine.media.anchor import CALLER, AnchorError, MediaAddress, Rewritten
from engine.media.rtpengine.bencode import Plain
from engine.media.rtpengine.instance import Instance
from engine.media.rtpengine.ng import Answer

_TAGS: Final = ("caller", "callee")
_FAMILIES: Final = {False: "IP4", True: "IP6"}


class Instances(Protocol):
    """Those among which an anchor finds its rtpengine (`engine.media.rtpengine.pool.Rtpengines`)."""

    anchors: set["RtpengineAnchor"]

    def choose(self, before: Instance | None, tried: set[Instance]) -> Instance | None:
        """Who is to take an offer; `before` had the last one, and those in `tried` have not answered this one."""
        ...


class RtpengineAnchor:
    """One call of an rtpengine. It stays with the instance that took its first offer as long as that answers; an
    offer that it does not answer goes to another, which then has the whole call."""

    __slots__ = (
        "_agreed",
        "_call_id",
        "_closed",
        "_instance",
        "_instances",
        "_last_words",
        "_offer",
        "_places",
        "_report",
    )

    def __init__(self, instances: Instances, near: MediaAddress, far: MediaAddress) -> None:
        self._instances = instances
        self._places = (near, far)
        self._call_id = f"trunkline-{token_hex(12)}"
        self._instance: Instance | None = None
        self._offer: tuple[int, bytes] | None = None  # the last one
        self._agreed: tuple[int, bytes, bytes] | None = None  # who offered, offer, answer
        self._report: dict[str, Any] = {"anchor": "rtpengine", "rtpengine": ""}
        self._closed = False
        self._last_words: asyncio.Future[None] | None = None  # the instance's answer to our last delete

    # ---- offers: any instance may take them

    def offer(self, side: int, body: bytes, rewritten: Rewritten) -> None:
        """See `Anchor.offer`."""
        self._offer = (side, body)
        self._try(side, body, rewritten, set(), None)

    def _try(
        self, side: int, body: bytes, rewritten: Rewritten, tried: set[Instance], before: AnchorError | None
    ) -> None:
        instance = self._instances.choose(self._instance, tried)
        if instance is None:
            rewritten(b"", before or AnchorError("no rtpengine answers", 503))
            return
        tried.add(instance)

        def answered(answer: Answer | None, problem: str) -> None:
            text, error = _description(answer, problem, instance)
            if self._closed:
                if error is None:
                    self._delete(instance)
                rewritten(b"", AnchorError("the leg is over", 487))
            elif error is not None:
                self._try(side, body, rewritten, tried, error)
            else:
                self._settle(instance)
                rewritten(text, None)

        instance.ask("offer", self._arguments(side, side, body), answered)

    def _settle(self, instance: Instance) -> None:
        before = self._instance
        if before is instance:
            return
        if before is not None:
            before.calls -= 1
            self._delete(before)
        self._instance = instance
        instance.calls += 1

    # ---- answers: only the instance that has the offer

    def answer(self, side: int, body: bytes, rewritten: Rewritten) -> None:
        """See `Anchor.answer`."""
        instance = self._instance
        if instance is None or self._closed:
            rewritten(b"", AnchorError("there is no offer to answer", 500))
            return
        offer = self._offer

        def answered(answer: Answer | None, problem: str) -> None:
            text, error = _description(answer, problem, instance)
            if self._closed:
                error = AnchorError("the leg is over", 487)
            elif error is None and offer is not None:
                self._agreed = (*offer, body)
            rewritten(b"" if error is not None else text, error)

        instance.ask("answer", self._arguments(1 - side, side, body), answered)

    def _arguments(self, offerer: int, author: int, body: bytes) -> dict[str, Plain]:
        """Of an offer, or of the answer to it: the tags are the offerer's and the answerer's in both. Who is to read
        it gets an address of its own family."""
        return {
            "call-id": self._call_id,
            "from-tag": _TAGS[offerer],
            "to-tag": _TAGS[1 - offerer],
            "sdp": body,
            "ICE": "remove",
            "address family": _FAMILIES[":" in self._places[1 - author].address],
            "replace": ["origin", "session-connection"],
            "flags": ["trust-address"],
        }

    # ---- the rest

    def refused(self, side: int) -> None:
        """See `Anchor.refused`: rtpengine takes an offer for agreed, so what was agreed on is said to it again."""
        instance, agreed = self._instance, self._agreed
        if instance is None or agreed is None or self._closed or not instance.alive:
            return
        offerer, offer, answer = agreed
        again = instance.ask

        def offered(_answer: Answer | None, problem: str) -> None:
            if not problem and not self._closed:
                again("answer", self._arguments(offerer, 1 - offerer, answer), _nothing)

        again("offer", self._arguments(offerer, offerer, offer), offered)

    def chosen(self) -> None:
        """See `Anchor.chosen`: the legs share nothing."""

    def close(self) -> None:
        """See `Anchor.close`. It waits for nothing."""
        if self._closed:
            return
        self._closed = True
        self._instances.anchors.discard(self)
        if self._instance is not None:
            self._instance.calls -= 1
            self._delete(self._instance)

    def _delete(self, instance: Instance) -> None:
        if instance.alive:  # one that does not answer has lost the call, or loses it by its own timeout
            arguments: dict[str, Plain] = {"call-id": self._call_id, "from-tag": _TAGS[CALLER], "delete-delay": 0}
            last_words = self._last_words = asyncio.get_running_loop().create_future()

            def deleted(answer: Answer | None, _problem: str) -> None:
                self._report.update(_passed(answer))
                last_words.set_result(None)

            instance.ask("delete", arguments, deleted)

    def report(self) -> dict[str, Any]:
        """See `Anchor.report`; the packets are known once rtpengine has answered that the call is over."""
        if self._instance is not None:
            self._report["rtpengine"] = self._instance.where
        return self._report

    async def settled(self) -> None:
        """See `Anchor.settled`: each command is answered or given up within 0.9 s (`engine.media.rtpengine.ng`)."""
        if self._closed and self._last_words is not None:
            await asyncio.wait((self._last_words,))


def _description(answer: Answer | None, problem: str, instance: Instance) -> tuple[bytes, AnchorError | None]:
    if answer is None:
        return b"", AnchorError(f"rtpengine {instance.where}: {problem}", 503)
    text = answer.get(b"sdp")
    if answer.get(b"result") == b"ok" and isinstance(text, bytes) and text:
        return text, None
    why = answer.get(b"error-reason") or answer.get(b"result") or b"no description"
    words = why.decode("utf-8", "replace")[:200] if isinstance(why, bytes) else "no description"
    return b"", AnchorError(f"rtpengine {instance.where}: {words}", 488)


_COUNTED: Final = ((b"packets", "packets"), (b"bytes", "octets"), (b"errors", "errors"))


def _passed(answer: Answer | None) -> dict[str, Any]:
    """Packets, octets and errors of RTP, in all and of each side, out of an answer to delete; what it does not say is
    left out."""
    totals = _part(answer, b"totals", b"RTP")
    passed: dict[str, Any] = {name: totals[key] for key, name in _COUNTED if isinstance(totals.get(key), int)}
    for tag in _TAGS:
        side = [_part(stream, b"stats") for stream in _rtp_streams(_part(answer, b"tags", tag.encode()))]
        if side:
            passed[tag] = {
                name: sum(count for stats in side if isinstance(count := stats.get(key), int)) for key, name in _COUNTED
            }
    return passed


def _rtp_streams(party: dict[bytes, Any]) -> Iterator[dict[bytes, Any]]:
    """What rtpengine keeps of a side's packets, for each of its streams; RTCP is none."""
    for media in _list(party, b"medias"):
        for stream in _list(media, b"streams"):
            if b"RTP" in _list(stream, b"flags"):
                yield stream


def _part(value: Any, *keys: bytes) -> dict[bytes, Any]:
    """The dictionary in `value` that these keys lead to; an empty one where there is none."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def _list(value: Any, key: bytes) -> list[Any]:
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, list) else []


def _nothing(_answer: Answer | None, _problem: str) -> None:
    """Whatever it said."""

"""One rtpengine: whether it is alive, and how many calls it has."""

import asyncio
from collections.abc import Mapping
from typing import Final

from engine.log import Log
from engine.media.rtpengine.bencode import Plain
from engine.media.rtpengine.ng import Answer, Answered, NgClient

PING_INTERVAL: Final = 2.0
"""Seconds between two questions whether it is there."""


class Instance:
    """Commands to one rtpengine, and what is known of it.

    Attributes:
        where: `host:port`, as it is configured.
        alive: Whether it answers. It is believed to, until it does not.
        calls: Anchored there now.
    """

    __slots__ = ("_client", "_log", "_loop", "_timer", "alive", "calls", "where")

    def __init__(self, client: NgClient, log: Log) -> None:
        self.where = client.where
        self.alive = True
        self.calls = 0
        self._client = client
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        client.heard = self._heard

    def start(self) -> None:
        """Ask whether it is there, now and from time to time."""
        self._client.ask("ping", {}, self._pinged)

    def _pinged(self, answer: Answer | None, problem: str) -> None:
        if answer is None:
            self.missed(problem)
        if problem != "the client is closed":
            self._timer = self._loop.call_later(PING_INTERVAL, self.start)

    def ask(self, command: str, arguments: Mapping[str, Plain], answered: Answered) -> None:
        """See `NgClient.ask`. One that does not answer is not asked for new calls until it answers a ping."""

        def told(answer: Answer | None, problem: str) -> None:
            if answer is None:
                self.missed(problem)
            answered(answer, problem)

        self._client.ask(command, arguments, told)

    def _heard(self) -> None:
        if not self.alive:
            self.alive = True
            self._log.warning("rtpengine answers again", rtpengine=self.where)

    def missed(self, problem: str) -> None:
        """It did not answer."""
        if self.alive and problem != "the client is closed":
            self.alive = False
            self._log.warning("rtpengine does not answer", rtpengine=self.where, error=problem, calls=self.calls)

    @property
    def counts(self) -> dict[str, int]:
        """Commands without an answer yet, sent again, and answers to nothing."""
        return {"pending": self._client.pending, "resent": self._client.resent, "unmatched": self._client.unmatched}

    def close(self) -> None:
        """Nothing is asked any more."""
        if self._timer is not None:
            self._timer.cancel()
        self._client.close()

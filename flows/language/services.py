"""What flows use: call control, and everything else that actions reach."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from flows.calls.services import CallServices
from flows.language.program import Programs
from flows.messages.model import MessageService
from flows.queues.conferences import Conferences
from flows.queues.model import QueueService
from flows.web import WebServices


class StepObserver(Protocol):
    """Who is shown each action as it runs (`trunkline flow run`)."""

    def step_started(self, run: Any, option: Any) -> None:
        """`run.step` begins, with its variables filled in."""

    def step_done(self, run: Any, step: Any, result: Any) -> None:
        """It has run, with this result (see `program.Step`). One that fails is logged instead."""

    def report(self, words: str) -> None:
        """What the action does beyond its result, in words."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True, kw_only=True)
class FlowServices:
    """Everything that a flow reaches outside of its call.

    Attributes:
        calls: Call control.
        library: The flows there are.
        web: Sends webhooks, and fetches actions and sounds.
        messages: Sends and takes text messages; None: nobody does.
        queues: Queues in which callers wait for agents; None: there are none.
        conferences: Rooms in which calls hear one another; None: there are none.
        utc_now: For conditions on date and time.
        debug: Whether the log's level is debug: each action is logged.
        observer: Who is shown each action; None: nobody.
    """

    calls: CallServices
    library: Programs
    web: WebServices = field(default_factory=WebServices)
    messages: MessageService | None = None
    queues: QueueService | None = None
    conferences: Conferences | None = None
    utc_now: Callable[[], datetime] = _utc_now
    debug: bool = False
    observer: StepObserver | None = None

    async def close(self) -> None:
        """Ends everything that runs beside the calls."""
        if self.conferences is not None:
            self.conferences.close()
        if self.queues is not None:
            self.queues.close()
        await self.calls.tasks.close()
        if self.messages is not None:
            await self.messages.close()

"""The queue service: callers wait in order, with music, until an agent has answered.

A line is of this process, as its calls are: another engine on the same store has its own callers in the same queue, and
the two share the agents (`AgentBoard`).
"""

import asyncio
import random
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final
from uuid import UUID

from flows.calls.context import CallContext
from flows.calls.dial import ConnectResult
from flows.calls.ports import CallEnded, Sound
from flows.queues.agents import AgentPool, PooledAgent
from flows.queues.announcements import ENGLISH, minutes, words
from flows.queues.caller import QueueResult, WaitingCaller
from flows.queues.estimated_wait import WaitEstimator
from flows.queues.model import AgentBoard, Queue, QueueFinder, QueueVariables
from flows.queues.music import play_music
from flows.queues.ring import ring
from flows.queues.states import CallerEvent
from routing.identifiers import NIL

AT_WORK: Final = frozenset({"available", "ringing", "busy"})
"""The statuses of agents who take callers, now or in a while."""


class Queues:
    """The lines of one engine, and the agents that they ring.

    Attributes:
        finder: Finds queues and their agents.
        agents: What each agent does here.
    """

    __slots__ = ("_waiting", "agents", "finder", "waits")

    def __init__(self, finder: QueueFinder, board: AgentBoard, dice: random.Random | None = None) -> None:
        self.finder = finder
        self.agents = AgentPool(board, self.dispatch, dice or random.Random())
        self._waiting: dict[UUID, list[WaitingCaller]] = {}
        self.waits = WaitEstimator()

    def callers(self, queue_id: UUID) -> Sequence[WaitingCaller]:
        """Who waits in a queue, in order."""
        return tuple(self._waiting.get(queue_id, ()))

    def agent_changed(self, agent_id: UUID, status: str) -> None:
        """An agent is not what it was; `status` is what the board shows of it, "" where it is gone. `dispatch`
        follows."""
        self.agents.says(agent_id, status)

    def close(self) -> None:
        """No agent is waited for any more."""
        self.agents.close()

    # ---- who is next

    def dispatch(self) -> None:
        """Rings whoever is free for whoever waits: in each line in order, and among lines for who waits longest."""
        for line in sorted(self._waiting.values(), key=lambda line: line[0].joined):
            queue = agents = None
            for waiting in line:
                if waiting.state == "ringing" and not waiting.takes_more:
                    continue
                if queue is None or agents is None:
                    queue = self._now(waiting.queue)
                    agents = self.finder.agents(queue)
                entries = self.agents.reserve(queue, agents)
                if not entries:
                    break
                waiting.queue = queue
                if waiting.state == "ringing":
                    self._begin(waiting, entries)
                else:
                    waiting.reserved = entries
                    waiting.turn("offered")
                    waiting.offered.set()

    def _now(self, queue: Queue) -> Queue:
        """The queue as it is by now; as it was where it has been deleted."""
        return self.finder.queue(str(queue.id), NIL) or queue

    # ---- a caller's way

    async def attend(self, context: CallContext, variables: QueueVariables, queue: Queue) -> QueueResult:
        """Answers, waits, and talks with an agent until one of the two hangs up.

        The variables `queue.*` and the call's record say how it went, also where the caller's hangup cancels this.
        Raises CallEnded, and what is in MEDIA_FAILURES.
        """
        waiting = WaitingCaller(context, variables, queue)
        refused = self._refused(queue)
        if refused is not None:
            waiting.turn(refused)
            waiting.tell()
            return waiting.attended()
        self._enter(waiting)
        call = waiting.context.call
        try:
            call.rest()  # whoever waits here hears music, or nothing
            await self._wait(waiting)
        except (asyncio.CancelledError, CallEnded):
            waiting.turn("hangup")
            raise
        except Exception as error:
            over = isinstance(error, TimeoutError) and waiting.limit is not None and waiting.limit.expired()
            waiting.turn("timeout" if over else "failed")
            if not over:
                raise
        finally:
            self._leave(waiting)
            waiting.tell()
            call.rest(False)
            await _ended(waiting.music)
        return waiting.attended()

    def _refused(self, queue: Queue) -> CallerEvent | None:
        """Why nobody can wait in a queue."""
        if all(agent.status == "offline" for agent in self.finder.agents(queue)):
            return "noagent"
        if queue.max_waiting and len(self._waiting.get(queue.id, ())) >= queue.max_waiting:
            return "full"
        return None

    async def _wait(self, waiting: WaitingCaller) -> None:
        call = waiting.context.call
        if not call.answered:
            call.answer()
        await call.listen()
        async with asyncio.timeout(waiting.queue.wait_timeout or None) as waiting.limit:
            while True:
                if waiting.music is None:
                    queue = waiting.queue
                    announce = partial(self._announcement, waiting) if queue.announce_every else None
                    work = play_music(waiting.context, queue.music, announce, queue.announce_every)
                    waiting.music = asyncio.create_task(work, name=f"music {waiting.context.record.id}")
                self.dispatch()
                await waiting.offered.wait()
                waiting.offered.clear()
                if await self._ring(waiting):
                    return

    async def _announcement(self, waiting: WaitingCaller) -> Sound | None:
        """Where the caller stands, in words. Nothing at first where somebody is rung for it: it may be over in a
        moment."""
        sounds, queue = waiting.context.services.media.sounds, self._now(waiting.queue)
        first, waiting.announced = not waiting.announced, True
        if sounds is None or (first and waiting.state == "ringing"):
            return None
        place, wait = self._locate(waiting)
        text = queue.announce_text
        text = waiting.variables.expand(text) if text else words(queue.announce_language, place, wait)
        return await sounds.speech(text, queue.announce_language or ENGLISH)

    def _locate(self, waiting: WaitingCaller) -> tuple[int, float | None]:
        """The caller's place in its line, and the seconds that it may have to wait (None: nobody knows), which the
        variables tell from now on."""
        line, queue = self._waiting.get(waiting.queue.id, []), self._now(waiting.queue)
        place = line.index(waiting) + 1 if waiting in line else 1
        at_work = [agent for agent in self.finder.agents(queue) if agent.status in AT_WORK]
        wait = self.waits.estimate(queue.id, place, len(at_work))
        set_result = waiting.variables.set_result
        set_result("queue.position", str(place))
        set_result("queue.estimated_wait", "" if wait is None else str(round(wait)))
        set_result("queue.estimated_minutes", minutes(wait))
        return place, wait

    async def _ring(self, waiting: WaitingCaller) -> bool:
        """Rings those who were offered, all at once. Whether one of them has talked with the caller."""
        entries, waiting.reserved = waiting.reserved, []
        self._begin(waiting, entries)
        waiting.takes_more = waiting.queue.routing_method == "ring_all"
        try:
            while pending := [task for task in waiting.tasks if not task.done()]:
                await asyncio.wait(pending)
        finally:
            waiting.takes_more = False
            tasks = list(waiting.tasks)
            for task in tasks:
                task.cancel()
            if any(not task.done() for task in tasks):
                await asyncio.wait(tasks)
            waiting.tasks.clear()
        failures = [error for task in tasks if not task.cancelled() and (error := task.exception()) is not None]
        for error in failures:
            if isinstance(error, CallEnded):
                raise error
            waiting.context.warn("agent ring failed", error=f"{type(error).__name__}: {error}"[:500])
        if waiting.state == "talking":
            talks = [task.result() for task in tasks if not task.cancelled() and task.exception() is None]
            if any(talk is not None and talk.answered for talk in talks):
                waiting.turn("ended")
                return True
            await _ended(waiting.music)
            self._lost(waiting)
        else:
            waiting.turn("missed")
        return False

    def _begin(self, waiting: WaitingCaller, entries: Iterable[PooledAgent]) -> None:
        for entry in entries:
            work = self._try(waiting, entry)
            name = f"agent {entry.agent.id} for {waiting.context.record.id}"
            entry.task = asyncio.get_running_loop().create_task(work, name=name)
            entry.task.add_done_callback(partial(self._rung, waiting, entry))
            waiting.tasks[entry.task] = entry

    async def _try(self, waiting: WaitingCaller, entry: PooledAgent) -> ConnectResult | None:
        """One agent, at its addresses. None where it was not available after all."""
        if not await self.agents.claim(entry):
            self.agents.turn(entry, "missed")
            return None
        reached = await ring(
            waiting.context,
            waiting.queue,
            entry.agent,
            partial(self._claim, waiting, entry),
            lambda: waiting.state == "ringing",
        )
        if entry.state == "ringing":
            self.agents.turn(entry, "missed")
        return reached

    def _rung(self, waiting: WaitingCaller, entry: PooledAgent, _task: "asyncio.Task[ConnectResult | None]") -> None:
        """An agent rings no more, and does not talk: at once, whatever the others do."""
        entry.task = None
        if entry.state == "ringing":
            self.agents.turn(entry, "given_up")
        elif entry.state == "talking":
            waiting.ended = waiting.context.services.clock()
            if waiting.answered is not None:
                self.waits.served(waiting.queue.id, waiting.ended - waiting.answered + entry.wrap_up)
            self.agents.turn(entry, "ended")

    def _claim(self, waiting: WaitingCaller, entry: PooledAgent) -> bool:
        """An agent has answered: whether it has the caller. From here on the caller is out of the line."""
        if waiting.state != "ringing" or entry.state != "ringing":
            return False
        if waiting.limit is None or waiting.limit.expired():
            return False  # its time has run out in this moment
        waiting.turn("answered")
        self.agents.turn(entry, "answered")
        for task, other in waiting.tasks.items():
            if other is not entry:
                task.cancel()
        if waiting.music is not None:
            waiting.music.cancel()
        waiting.agent = entry.agent
        waiting.answered = waiting.context.services.clock()
        seconds = waiting.queue.service_timeout
        waiting.limit.reschedule(asyncio.get_running_loop().time() + seconds if seconds else None)
        self._remove(waiting)
        return True

    def _lost(self, waiting: WaitingCaller) -> None:
        """The two could not be connected: the caller is back in its place, and its time to wait runs on."""
        waiting.turn("lost")
        waiting.answered = waiting.ended = waiting.agent = waiting.music = None
        line = self._waiting.setdefault(waiting.queue.id, [])
        line.append(waiting)
        line.sort(key=lambda each: each.joined)
        if waiting.limit is not None and waiting.queue.wait_timeout:
            left = waiting.joined + waiting.queue.wait_timeout - waiting.context.services.clock()
            waiting.limit.reschedule(asyncio.get_running_loop().time() + max(left, 0))

    # ---- lines

    def _enter(self, waiting: WaitingCaller) -> None:
        line = self._waiting.setdefault(waiting.queue.id, [])
        line.append(waiting)
        waiting.turn("joined")
        self._locate(waiting)

    def _remove(self, waiting: WaitingCaller) -> None:
        line = self._waiting.get(waiting.queue.id)
        if line is not None and waiting in line:
            line.remove(waiting)
            if not line:
                del self._waiting[waiting.queue.id]

    def _leave(self, waiting: WaitingCaller) -> None:
        if waiting.ended is None:
            waiting.ended = waiting.context.services.clock()
        if waiting in self._waiting.get(waiting.queue.id, ()):
            self._locate(waiting)
            self._remove(waiting)
        for entry in waiting.reserved:  # offered in the moment in which it left
            self.agents.turn(entry, "given_up")
        if waiting.music is not None:
            waiting.music.cancel()


async def _ended(task: "asyncio.Task[None] | None") -> None:
    """Waits for a task that was cancelled."""
    if task is not None:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

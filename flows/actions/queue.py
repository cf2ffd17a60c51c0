"""queue_join: the caller waits until an agent has time for it."""

from flows.calls.ports import CallEnded
from flows.language.program import Program
from flows.language.run import ActionError, Run
from flows.options import QueueJoinOptions


async def queue_join(run: Run, option: QueueJoinOptions) -> Program | None:
    """Waits with music, and talks with the agent that answers; then the flow goes on. Sets `queue.status` (answered,
    timeout, full, noagent, abandoned, failed), `queue.position`, `queue.waited` and `queue.duration` (seconds),
    `queue.agent` and `queue.agent_name`.

    Where nobody answered in time, or the caller could not wait, the queue's overflow flow runs in place.
    """
    if run.over:
        raise CallEnded("the call is over")
    queues = run.env.queues
    queue = queues.finder.queue(option.queue_id, run.customer_id) if queues is not None else None
    if queues is None or queue is None:
        run.variables.tell("queue.status", "failed")
        raise ActionError(f"there is no queue {option.queue_id!r}" if queues else "this service has no queues")
    done = await queues.attend(run, queue)
    if done.status == "answered" or not queue.overflow_flow_id:
        return None
    program = run.find_flow(queue.overflow_flow_id)
    if program is None:
        raise ActionError(f"there is no flow {queue.overflow_flow_id!r}, which queue {option.queue_id!r} overflows to")
    return program

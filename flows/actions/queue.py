"""The action `queue_join`: the caller waits in a queue for an agent."""

from pydantic import Field

from flows.actions import action
from flows.calls.ports import CallEnded
from flows.faults import ActionError
from flows.language.options import Options
from flows.language.program import Program, StepResult
from flows.language.run import Run
from flows.values import Reference


class QueueJoinOptions(Options):
    """`queue_join`: a queue's id, or its name where it belongs to whom the call does."""

    queue_id: Reference = Field(min_length=1)


def _outcome(run: Run, result: StepResult, keys: str) -> str:
    get = run.variables.get
    waited = f"{get('queue.status')} after {get('queue.waited')} s"
    return waited + (f", {get('queue.duration')} s of talk" if get("queue.agent") else "")


@action(
    QueueJoinOptions,
    early=True,
    connects=True,
    describe=lambda run, option: f"{option.queue_id} (nobody is rung)",
    outcome=_outcome,
)
async def queue_join(run: Run, option: QueueJoinOptions) -> Program | None:
    """Waits with music, and talks with the agent that answers; then the flow goes on. Sets `queue.status` (answered,
    timeout, full, noagent, abandoned, failed), `queue.position`, `queue.waited` and `queue.duration` (seconds),
    `queue.agent` and `queue.agent_name`.

    Where nobody answered in time, or the caller could not wait, the queue's overflow flow runs in place.
    """
    if run.over:
        raise CallEnded("the call is over")
    queues = run.services.queues
    queue = queues.finder.queue(option.queue_id, run.context.customer_id) if queues is not None else None
    if queues is None or queue is None:
        run.variables.set_result("queue.status", "failed")
        raise ActionError(f"there is no queue {option.queue_id!r}" if queues else "this service has no queues")
    done = await queues.attend(run.context, run.variables, queue)
    if done.status == "answered" or not queue.overflow_flow_id:
        return None
    program = run.find_flow(queue.overflow_flow_id)
    if program is None:
        raise ActionError(f"there is no flow {queue.overflow_flow_id!r}, which queue {option.queue_id!r} overflows to")
    return program

"""The action `connect`: dials destinations for the caller, and bridges the first that answers."""

from collections.abc import Sequence

from flows.actions import action
from flows.calls.address import Address
from flows.calls.ports import CallEnded
from flows.connect import Race, Reached, always, reach
from flows.language.options import ConnectOptions
from flows.language.program import HUNG_UP, StepResult
from flows.language.run import Run
from routing.numbers.normalise import dialled

# Of several that did not answer, the one that says most about the callee speaks for all.
_TELLING = ("busy", "dialout", "noanswer", "canceled", "failed")


def _describe(run: Run, option: ConnectOptions) -> str:
    return "; ".join(_plan(run, destination) for destination in option.destinations)


def _plan(run: Run, destination: Address) -> str:
    """Where a connect would go."""
    env = run.env
    if destination.type != "tel":
        return f"{destination.target}: would be dialled (it is not)"
    explained = env.router.explain(destination.target, env.clock(), customer_id=run.customer_id)
    if explained.number is not None:
        return f"{explained.number.number}, which is one of our own"
    shown = dialled(destination.target, env.routing, env.directory.numbers).number or destination.target
    names = [entry.provider_name for entry in explained.entries if entry.tried]
    if not names:
        return f"{shown}: {explained.reason}"
    return f"{shown}: would dial via {', '.join(names)} (not dialled)"


def _outcome(run: Run, result: StepResult, keys: str) -> str:
    if result == HUNG_UP:
        return ""
    get = run.variables.get
    return get("connect.status") + (
        f", {get('connect.duration')} s of talk" if get("connect.status") == "answered" else ""
    )


@action(ConnectOptions, early=True, connects=True, describe=_describe, outcome=_outcome)
async def connect(run: Run, option: ConnectOptions) -> int | None:
    """Sets `connect.status`, `connect.sip_status` and `connect.duration` (whole seconds of talk), and goes on.

    With `relay_reason` a caller that was not answered gets the far end's final status, and the call is over.
    """
    if run.over:
        raise CallEnded("the call is over")
    destinations = option.destinations
    if len(destinations) == 1:
        result = await reach(run, option, destinations[0], always)
    elif option.ring_method == "linear":
        tried: list[Reached] = []
        for address in destinations:
            tried.append(await reach(run, option, address, always))
            if tried[-1].answered:
                break
        result = most_telling(tried)
    else:
        result = most_telling(await Race().run(run, option))
    return conclude(run, option, result)


def conclude(run: Run, option: ConnectOptions, result: Reached) -> int | None:
    """Tells the flow how the connect went; ends the call where its status is to be handed on."""
    tell = run.variables.tell
    tell("connect.status", result.status)
    tell("connect.sip_status", str(result.sip_status))
    tell("connect.duration", str(int(result.duration)))
    if option.relay_reason and not result.answered and not run.call.answered:
        if run.depth == 0:
            run.record.cause = result.word
        run.call.reject(result.sip_status if result.sip_status >= 400 else 480, result.reason)
        return HUNG_UP
    return None


def most_telling(results: Sequence[Reached]) -> Reached:
    """The answered one; else one that speaks for the callee everywhere (6xx, RFC 3261 §16.7); else by _TELLING."""
    for result in results:
        if result.answered:
            return result
    for result in results:
        if result.sip_status >= 600:
            return result
    return min(results, key=lambda result: _TELLING.index(result.status))

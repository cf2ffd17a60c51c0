"""connect: dials destinations for the caller, and bridges the first that answers."""

from collections.abc import Sequence

from flows.calls.ports import CallEnded
from flows.connect import Race, Reached, always, reach
from flows.language.program import HUNG_UP
from flows.language.run import Run
from flows.options import ConnectOptions

# Of several that did not answer, the one that says most about the callee speaks for all.
_TELLING = ("busy", "dialout", "noanswer", "canceled", "failed")


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

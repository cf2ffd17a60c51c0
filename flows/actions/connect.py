"""The action `connect`: dials destinations for the caller, and bridges the first that answers."""

from collections.abc import Coroutine
from functools import partial
from typing import Any, Literal

from pydantic import Field

from flows.actions import action
from flows.calls.address import Address
from flows.calls.dial import AnswerClaim, ConnectResult, ConnectTerms, always, most_telling
from flows.calls.ports import CallEnded
from flows.connect import connect_destination
from flows.fork import ParallelFork
from flows.language.options import Options
from flows.language.program import HUNG_UP, StepResult
from flows.language.run import Run
from routing.hunt.identity import Anonymous
from routing.numbers.normalise import normalise_dialled


class ConnectOptions(Options):
    """`connect`: who is dialled, how, for how long (`ring_timeout` seconds; 0 leaves it to the provider)."""

    source: Address | None = None
    destinations: list[Address] = Field(min_length=1, max_length=20)
    ring_method: Literal["ring_all", "linear"] = "ring_all"
    ring_timeout: int = Field(default=0, ge=0, le=3600)
    early_media: bool = True
    relay_reason: bool = False
    anonymous: Anonymous = "auto"


def _describe(run: Run, option: ConnectOptions) -> str:
    return "; ".join(_plan(run, destination) for destination in option.destinations)


def _plan(run: Run, destination: Address) -> str:
    """Where a connect would go."""
    services = run.services.calls
    if destination.type != "tel":
        return f"{destination.target}: would be dialled (it is not)"
    explained = services.router.explain(destination.target, services.clock(), customer_id=run.context.customer_id)
    if explained.number is not None:
        return f"{explained.number.number}, which is one of our own"
    shown = (
        normalise_dialled(destination.target, services.routing, services.directory.numbers).number or destination.target
    )
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
    terms = ConnectTerms(
        source=option.source,
        source_named="customer" if option.source is None else run.named(option.source.target),
        flow_owner=run.flow_owner,
        anonymous=option.anonymous,
        ring_timeout=option.ring_timeout,
        early_media=option.early_media,
        diverts=len(option.destinations) == 1,
    )
    destinations = option.destinations
    if len(destinations) == 1:
        result = await _dial(run, destinations[0], terms, always)
    elif option.ring_method == "linear":
        tried: list[ConnectResult] = []
        for address in destinations:
            tried.append(await _dial(run, address, terms, always))
            if tried[-1].answered:
                break
        result = most_telling(tried)
    else:
        dials = [partial(_dial, run, address) for address in destinations]
        result = most_telling(await ParallelFork().run(run.context, terms, dials))
    return conclude(run, result, relay_reason=option.relay_reason)


def _dial(run: Run, address: Address, terms: ConnectTerms, claim: AnswerClaim) -> Coroutine[Any, Any, ConnectResult]:
    named = run.named(address.target) if address.type == "sip" else "customer"
    return connect_destination(run.context, terms, address, claim, named)


def conclude(run: Run, result: ConnectResult, *, relay_reason: bool) -> int | None:
    """Tells the flow how the connect went; ends the call where its status is to be handed on."""
    set_result = run.variables.set_result
    set_result("connect.status", result.status)
    set_result("connect.sip_status", str(result.sip_status))
    set_result("connect.duration", str(int(result.duration)))
    if relay_reason and not result.answered and not run.call.answered:
        if run.context.depth == 0:
            run.record.cause = result.word
        run.call.reject(result.sip_status if result.sip_status >= 400 else 480, result.reason, result.headers)
        return HUNG_UP
    return None

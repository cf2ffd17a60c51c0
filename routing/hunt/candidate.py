"""A provider that may get a call: whether it would be tried, and why not."""

from collections.abc import Container
from typing import Final, Literal, NamedTuple

from routing.directory.rows import RouteRow
from routing.directory.trunk import Trunk
from routing.hunt.health import TrunkState

SkipCause = Literal[
    "disabled",
    "max_channels",
    "max_cps",
    "unhealthy",
    "cooldown",
    "unknown_provider",
    "no_listener",
    "body_not_taken",
]
"""Why a provider is passed over without being tried."""

PASSED_OVER: Final = frozenset({"max_channels", "max_cps", "cooldown"})
"""What keeps no emergency call from a provider."""

SKIP_SENTENCES: dict[SkipCause, str] = {
    "disabled": "the provider is disabled",
    "max_channels": "all of its channels are in use",
    "max_cps": "it was called as often as it may be within a second",
    "unhealthy": "it does not answer health probes any more",
    "cooldown": "it asked to be left alone for a while (503 with Retry-After)",
    "unknown_provider": "there is no such provider",
    "no_listener": "there is no listener for its transport under sip.listen",
    "body_not_taken": "the call has a part that must be understood, which it does not take (pass_bodies)",
}


class Candidate(NamedTuple):
    """A provider that may get the call.

    Attributes:
        key: The provider's id as an integer, as the route or the pin has it.
        trunk: None where there is no such provider.
        route: None where the call is pinned to providers.
        target: The number that this provider gets; "" for the one that was dialled.
    """

    key: int
    trunk: Trunk | None
    route: RouteRow | None
    target: str = ""


def skip_cause(
    trunk: Trunk | None, state: TrunkState, now: float, transports: Container[str]
) -> SkipCause | Literal[""]:
    """Why a provider would be skipped at this moment; "" where it would be tried. "unhealthy" is said of one that could
    be tried all the same. `transports` are those that we listen on, besides "", which stands for whatever the
    provider's name says."""
    if trunk is None:
        return "unknown_provider"
    provider = trunk.provider
    if not provider.enabled:
        return "disabled"
    if trunk.transport not in transports:
        return "no_listener"
    if now < state.cooldown_until:
        return "cooldown"
    if provider.max_channels and state.channels >= provider.max_channels:
        return "max_channels"
    if provider.max_cps and state.rate_reached(provider.max_cps, now):
        return "max_cps"
    return "unhealthy" if state.skipped else ""

"""A provider that may get a call: whether it would be tried, and what it would be sent."""

from collections.abc import Container
from typing import NamedTuple

from routing.directory.rows import RouteRow
from routing.directory.trunk import Trunk
from routing.hunt.health import TrunkState
from routing.numbers.dial_string import formatted


class Candidate(NamedTuple):
    """A provider that may get the call.

    Attributes:
        key: The provider's id as an integer, as the route or the pin has it.
        trunk: None where there is no such provider.
        route: None where the call is pinned to providers.
    """

    key: int
    trunk: Trunk | None
    route: RouteRow | None


def skip_cause(trunk: Trunk | None, state: TrunkState, now: float, transports: Container[str]) -> str:
    """Why a provider would be skipped at this moment; "" where it would be tried. "unhealthy" is said of one that could
    be tried all the same. `transports` are those that we listen on, besides "", which stands for whatever the
    provider's name says."""
    if trunk is None:
        return "unknown_provider"
    if not trunk.enabled:
        return "disabled"
    if trunk.transport not in transports:
        return "no_listener"
    if now < state.cooldown_until:
        return "cooldown"
    if trunk.max_channels and state.channels >= trunk.max_channels:
        return "max_channels"
    if trunk.max_cps and state.rate_reached(trunk.max_cps, now):
        return "max_cps"
    return "unhealthy" if state.skipped else ""


def dial_string(trunk: Trunk, target: str) -> str:
    """The Request-URI for a normalised number at this trunk."""
    number = target if trunk.number_format == "e164" else formatted(target, trunk.number_format)
    return f"sip:{trunk.prefix}{number}{trunk.postfix}@{trunk.request_host}{trunk.user_param}"

"""SIP on the network: a user agent that takes and makes calls, and bridges them (see `engine.user_agent`).

The names below are imported when they are first used, so that `import engine.sip` loads the protocol and nothing else.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.bridge import Bridge
    from engine.call import Call, CallEnded, NoPortError, NotAcceptable
    from engine.call_snapshot import CallSnapshot
    from engine.dial import DialSpec, Outcome, OutgoingCall, Peer
    from engine.settings import AgentSettings
    from engine.user_agent import AgentHooks, UserAgent

__all__ = [
    "AgentHooks",
    "AgentSettings",
    "Bridge",
    "Call",
    "CallEnded",
    "CallSnapshot",
    "DialSpec",
    "NoPortError",
    "NotAcceptable",
    "Outcome",
    "OutgoingCall",
    "Peer",
    "UserAgent",
]

_HOMES = {
    "engine.bridge": ("Bridge",),
    "engine.call": ("Call", "CallEnded", "NoPortError", "NotAcceptable"),
    "engine.call_snapshot": ("CallSnapshot",),
    "engine.dial": ("DialSpec", "Outcome", "OutgoingCall", "Peer"),
    "engine.settings": ("AgentSettings",),
    "engine.user_agent": ("AgentHooks", "UserAgent"),
}


def __getattr__(name: str) -> object:
    """PEP 562: where a public name is defined."""
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(home), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

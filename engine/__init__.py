"""SIP on the network: a user agent that takes and makes calls, and bridges them (see `engine.user_agent`)."""

from engine.bridge import Bridge
from engine.call import Call, CallEnded, NoPortError, NotAcceptable
from engine.dial import DialSpec, Outcome, OutgoingCall, Peer
from engine.settings import AgentSettings
from engine.user_agent import UserAgent

__all__ = [
    "AgentSettings",
    "Bridge",
    "Call",
    "CallEnded",
    "DialSpec",
    "NoPortError",
    "NotAcceptable",
    "Outcome",
    "OutgoingCall",
    "Peer",
    "UserAgent",
]

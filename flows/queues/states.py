"""State tables of a caller in a queue, and of an agent that queues ring.

    new --joined--> waiting <--missed, lost-- ringing, talking
                    waiting --offered--> ringing --answered--> talking --ended--> answered

What is told in no table cannot happen, and is a fault of ours.
"""

from collections.abc import Mapping
from typing import Final, Literal

CallerState = Literal[
    "new", "waiting", "ringing", "talking", "answered", "timeout", "full", "noagent", "abandoned", "failed"
]
"""The last six are ends, and what `queue.status` says."""
CallerEvent = Literal[
    "joined", "full", "noagent", "offered", "missed", "answered", "lost", "ended", "timeout", "hangup", "failed"
]

CALLER: Final[Mapping[tuple[CallerState, CallerEvent], CallerState]] = {
    ("new", "joined"): "waiting",
    ("new", "full"): "full",
    ("new", "noagent"): "noagent",
    ("waiting", "offered"): "ringing",
    ("waiting", "timeout"): "timeout",
    ("waiting", "hangup"): "abandoned",
    ("waiting", "failed"): "failed",  # such as no media of ours
    ("ringing", "missed"): "waiting",
    ("ringing", "answered"): "talking",
    ("ringing", "timeout"): "timeout",
    ("ringing", "hangup"): "abandoned",
    ("ringing", "failed"): "failed",
    ("talking", "lost"): "waiting",  # the agent had answered, but the two could not be connected
    ("talking", "ended"): "answered",
    ("talking", "timeout"): "answered",
    ("talking", "hangup"): "answered",
    ("talking", "failed"): "answered",
}

AgentState = Literal["free", "ringing", "talking", "wrap_up", "resting"]
AgentEvent = Literal["offered", "given_up", "missed", "answered", "ended", "over", "says_available"]

AGENT: Final[Mapping[tuple[AgentState, AgentEvent], AgentState]] = {
    ("free", "offered"): "ringing",
    ("ringing", "given_up"): "free",  # the caller has gone, or another agent was quicker
    ("ringing", "missed"): "resting",
    ("ringing", "answered"): "talking",
    ("talking", "ended"): "wrap_up",
    ("wrap_up", "over"): "free",
    ("wrap_up", "says_available"): "free",
    ("resting", "over"): "free",
}

__all__ = ["AGENT", "CALLER", "AgentEvent", "AgentState", "CallerEvent", "CallerState"]

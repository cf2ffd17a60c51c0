"""What `trunkline flow run` is to do, as checked values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal

Ending = Literal["answered", "busy", "noanswer", "failed"]
"""How a call out ends."""


@dataclass(slots=True, kw_only=True)
class FlowOrder:
    """A flow that is to be run against a simulated caller.

    Attributes:
        file: A configuration, or a file with one flow.
        flow: Its name; "" is that of the number called, or the only one.
        caller: The number that calls; "" withholds it.
        called: The number that is called; "" where the flow says which.
        digits: Keys that the caller presses when it is asked; a comma ends what it presses at one such time.
        variables: The flow's own, to begin with.
        connect: How calls out end.
        talk: Seconds until the far end of a connect hangs up.
        patience: Seconds after which the caller hangs up when it waits for something without end.
        hangup_after: Seconds after which it hangs up in any case; 0 for never.
        at: When the call comes in; None for now.
        text: What is texted in place of a call: the message flow runs; None for a call.
    """

    file: Path
    flow: str = ""
    caller: str = ""
    called: str = ""
    digits: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)
    connect: Ending = "answered"
    talk: float = 10.0
    patience: float = 60.0
    hangup_after: float = 0.0
    at: datetime | None = None
    text: str | None = None

"""Why a flow ends a call, and how the far end is told: a final response before the answer, a Q.850 cause after it."""

from typing import NamedTuple


class Cause(NamedTuple):
    """The SIP status for a call that was never answered, and the value of the Reason header (RFC 3326, Q.850)."""

    status: int
    header: str


CAUSES: dict[str, Cause] = {
    "normal": Cause(480, 'Q.850;cause=16;text="Normal call clearing"'),
    "busy": Cause(486, 'Q.850;cause=17;text="User busy"'),
    "noanswer": Cause(480, 'Q.850;cause=19;text="No answer from user"'),
    "cancel": Cause(487, 'Q.850;cause=31;text="Normal, unspecified"'),
    "dialout": Cause(480, 'Q.850;cause=18;text="No user responding"'),
    "timeout": Cause(480, 'Q.850;cause=102;text="Recovery on timer expiry"'),
    "failed": Cause(500, 'Q.850;cause=41;text="Temporary failure"'),
}

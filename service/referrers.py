"""Who may transfer a call: peers of ours that ask for it by REFER."""

import re
from typing import TYPE_CHECKING, Final, Literal

from engine.sip.message import Request
from flows.record import CallRecord
from routing.admission import Source, identify

if TYPE_CHECKING:
    from engine.call import Call
    from engine.transfer import TransferRequest
    from service.intake import Intake

Policy = Literal["refuse", "clients", "all"]

_USERNAME: Final = re.compile(r'username="((?:[^"\\]|\\.)*)"', re.IGNORECASE)


class Referrers:
    """Asked about each transfer. What may be dialled is judged with the directory and the settings of `intake`.

    A client is who calls from a trusted network, or has logged in for its call. Whoever was dialled shows who it is by
    its address alone. A trunk is never a client, as in `routing.admission.identify`.
    """

    def __init__(self, intake: "Intake", policy: Policy) -> None:
        self._intake = intake
        self.policy = policy

    def source_of(self, asked: "TransferRequest", record: CallRecord) -> Source | None:
        """See `flows.transfers.Referrers`."""
        if self.policy == "refuse":
            return None
        intake = self._intake
        logged_in = asked.by == "caller" and record.logged_in
        source = identify(intake.directory, intake.routing, asked.host, authenticated=logged_in)
        return source if self.policy == "all" or source.kind == "client" else None

    def same(self, one: "Call", other: "Call") -> bool:
        """See `flows.transfers.Referrers`: at one address; and where it has logged in for both, with one name."""
        if one.remote.host != other.remote.host:
            return False
        names = {name for call in (one, other) if (name := self._login(call))}
        return len(names) < 2

    def _login(self, call: "Call") -> str:
        """The name that the caller has logged in with, "" for one that has not."""
        record = self._intake.env.calls.get(call.id)
        if record is None or not record.logged_in or call.direction != "incoming":
            return ""
        return login_name(call.invite)


def login_name(invite: Request) -> str:
    """The first user name in Authorization. That it belongs to the password has been seen to before."""
    found = _USERNAME.search(invite.get("Authorization"))
    return "" if found is None else found[1]

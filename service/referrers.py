"""Who may transfer a call: peers of ours that ask for it by REFER."""

from typing import TYPE_CHECKING, Literal

from flows.record import CallRecord
from routing.admission import Source, identify

if TYPE_CHECKING:
    from engine.transfer import TransferRequest
    from service.intake import Intake

Policy = Literal["refuse", "clients", "all"]


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

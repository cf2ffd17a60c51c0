"""Authorisation of in-dialog requests that come from another address (RFC 3261 §22.1, §26.3.2.2).

What every hop reads, Call-ID and tags, is no right: a right that was gained by credentials is shown again.
"""

from engine.call import Call
from engine.sip.flow import address_of
from engine.sip.message.message import Request
from routing.access.admission import Source, identify
from routing.access.peers import one_party
from service.intake import Intake
from service.transfer_policy import Login, login_of

Verdict = tuple[int, str, bool]
"""0, or the status and the header lines of a refusal; whether the call follows the sender to its address."""

ALLOWED: Verdict = (0, "", False)
REFUSED: Verdict = (403, "", False)


class CallChanges:
    """See `AgentHooks.on_stranger`. Judged with the directory, the settings and the logins of `intake`."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    def __call__(self, call: Call, request: Request) -> Verdict:
        """What becomes of a request that changes `call` and comes from another host than the call is with."""
        intake = self._intake
        assert request.source is not None
        host, home = request.source.host, call.session.dialog.peer
        record = intake.flows.calls.registry.get(call.id) if call.direction == "incoming" else None
        logged_in = record is not None and record.logged_in
        owner = identify(intake.directory, intake.routing, home, authenticated=logged_in)
        # Whom we have called is known by its address, whatever it has to show when it calls.
        if call.direction == "outgoing" and (provider := intake.directory.provider_at(home)) is not None:
            owner = Source("trunk", provider)
        sender = identify(intake.directory, intake.routing, request.source.party)
        if owner.kind == "client" and logged_in:
            assert record is not None
            return self._asked_again(call, request, host, login_of(record))
        edges = intake.routing.edges
        same = _same(owner, sender) or bool(edges.find(address_of(home)) and edges.find(host))
        return ALLOWED if same else REFUSED

    def _asked_again(self, call: Call, request: Request, host: str, login: Login | None) -> Verdict:
        """A phone that has moved: it shows who it is, with credentials made for this very request."""
        logins = self._intake.logins
        judged = logins.judge(request, host, call.id)
        if judged.accepted:
            return (0, "", True) if (judged.realm, judged.username) == login else REFUSED
        if not logins.may_try(judged):
            return REFUSED
        return 401, "".join(f"{name}: {value}\r\n" for name, value in logins.challenges(request, host, judged)), False


def _same(owner: Source, sender: Source) -> bool:
    """A trunk's addresses are one party, and trusted networks are; a guest's address is its own alone."""
    if owner.provider is not None or sender.provider is not None:
        return one_party(owner.provider, sender.provider)
    return owner.kind == sender.kind == "client"

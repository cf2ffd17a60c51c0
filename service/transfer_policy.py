"""Transfer authorisation: who may transfer a call, by REFER or by an INVITE with Replaces (RFC 3515, RFC 3891)."""

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Literal

from flows.calls.record import CallRecord
from flows.transfer.replaces import accept_replaces
from routing.access.admission import Source, identify
from service.caller_identity import caller_of, phone_of
from service.logins import NO_LOGIN

if TYPE_CHECKING:
    from engine.call import Call
    from engine.transfer_request import TransferRequest
    from service.intake import Intake

TransferRule = Literal["refuse", "clients", "all"]

Login = tuple[str, str]
"""Realm and user name."""


class TransferPolicy:
    """Asked about each transfer. What may be dialled is judged with the directory and the settings of `intake`.

    A client is who calls from a trusted network, or has logged in for its call. Whoever was dialled shows who it is by
    its address alone. A trunk is never a client, as in `routing.access.admission.identify`.
    """

    def __init__(self, intake: "Intake", rule: TransferRule) -> None:
        self._intake = intake
        self.rule = rule

    def source_of(self, asked: "TransferRequest", record: CallRecord) -> Source | None:
        """See `flows.calls.services.TransferPolicy`."""
        if self.rule == "refuse":
            return None
        intake = self._intake
        logged_in = asked.by == "caller" and record.logged_in
        own = asked.call.returned
        source = identify(intake.directory, intake.routing, asked.host, authenticated=logged_in, own=own)
        return source if self.rule == "all" or source.kind == "client" else None

    def replaces(self, call: "Call", replaced: "Call") -> Coroutine[Any, Any, Any] | None:
        """What becomes of a call that wants to take the place of another (`UserAgent.on_replaces`): None where it may
        not, and has been told. Only whoever may transfer can, and only in place of its own calls: those of its address,
        its login or its trunk."""
        intake = self._intake
        invite, host = call.invite, call.remote.host
        source = identify(intake.directory, intake.routing, host, own=call.returned)
        judged = NO_LOGIN
        if source.kind == "guest" and not call.returned:
            judged = intake.logins.judge(invite, host, call.id)
            if judged.accepted:
                source = Source("client")
        may = self.rule == "all" or (self.rule == "clients" and source.kind == "client")
        if may and self._own(call, replaced, source, (judged.realm, judged.username) if judged.accepted else None):
            phone, shown = intake.logins.phone(judged), ""
            if phone is None:
                caller, name, private = caller_of(invite, source, intake.routing, intake.directory)
            else:
                shown, name, private = phone_of(invite, phone, intake.routing, intake.directory)
                caller = shown or phone.name
            record = CallRecord(
                call.id,
                "incoming",
                source=caller,
                source_name=name,
                source_type="tel" if caller[:1] == "+" or not caller else "sip",
                anonymous=private,
                phone=phone,
                shown=shown,
                logged_in=judged.accepted,
                sip_call_ids=[call.sip_call_id],
                created=intake.flows.calls.wall(),
                begun=call.created,
            )
            if source.provider is not None:
                record.provider_id = source.provider.id
            return accept_replaces(call, replaced, intake.flows, record)
        if (
            source.kind == "guest"
            and not call.returned
            and self.rule != "refuse"
            and intake.logins.asks(invite, host, judged)
        ):
            call.reject(401, headers=intake.logins.challenges(invite, host, judged))
        else:
            call.reject(603 if self.rule == "refuse" else 403)
        return None

    def _own(self, call: "Call", replaced: "Call", source: Source, login: Login | None) -> bool:
        intake = self._intake
        other = identify(intake.directory, intake.routing, replaced.remote.host)
        if source.kind == "trunk" or other.kind == "trunk":
            mine, its = source.provider, other.provider
            return mine is not None and its is not None and mine.id == its.id
        its_login = self._login(replaced)
        if login and its_login:
            return login == its_login
        return call.remote.host == replaced.remote.host

    def same_peer(self, one: "Call", other: "Call") -> bool:
        """See `flows.calls.services.TransferPolicy`: at one address; and where it has logged in for both, with one
        name."""
        if one.remote.host != other.remote.host:
            return False
        logins = {login for call in (one, other) if (login := self._login(call))}
        return len(logins) < 2

    def _login(self, call: "Call") -> Login | None:
        """What the caller has logged in with, None for one that has not."""
        record = self._intake.flows.calls.registry.get(call.id)
        return None if record is None or call.direction != "incoming" else login_of(record)


def login_of(record: CallRecord) -> Login | None:
    """What the call's caller has logged in with. It is what was found good: a message may show other credentials, and
    the same name in another realm is somebody else's."""
    phone = record.phone if record.logged_in else None
    return None if phone is None else (phone.realm, phone.name)

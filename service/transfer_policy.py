"""Transfer authorisation: who may transfer a call, by REFER or by an INVITE with Replaces (RFC 3515, RFC 3891)."""

from collections.abc import Coroutine
from typing import Any, Literal

from engine.call import Call
from engine.transfer_request import TransferRequest
from flows.calls.record import CallRecord
from flows.calls.registry import CallRegistry
from flows.transfer.replaces import accept_replaces
from routing.access.admission import Source, identify, phone_of_customer
from routing.access.peers import one_party
from routing.directory.directory import Directory
from routing.settings import RoutingSettings
from service.caller_identity import caller_of, phone_of
from service.intake import Intake, RegisteredPhones
from service.logins import NO_LOGIN

TransferRule = Literal["refuse", "clients", "all"]

Login = tuple[str, str]
"""Realm and user name."""


class TransferPolicy:
    """Asked about each transfer.

    A client is who calls from a trusted network, has logged in for its call, or is reached where an extension has
    registered. Whoever else was dialled shows who it is by its address alone. A trunk is never a client, as in
    `routing.access.admission.identify`.

    Attributes:
        routing, rule: Replaced when the configuration is reloaded.
    """

    def __init__(
        self,
        directory: Directory,
        routing: RoutingSettings,
        registry: CallRegistry,
        rule: TransferRule,
        phones: RegisteredPhones | None = None,
    ) -> None:
        """`registry` tells what the caller of a call has logged in with."""
        self._phones = phones
        self.routing = routing
        self.rule = rule
        self._directory = directory
        self._registry = registry

    def source_of(self, asked: TransferRequest, record: CallRecord) -> Source | None:
        """See `flows.calls.services.TransferPolicy`."""
        if self.rule == "refuse":
            return None
        logged_in = asked.by == "caller" and record.logged_in
        phone = record.phone if logged_in else None
        own = asked.call.returned
        if phone is None and not own and self._phones is not None:
            phone = self._phones.extension_at(asked.call.remote)  # we have called it by the way that it registered
        source = identify(
            self._directory, self.routing, asked.party, authenticated=logged_in or phone is not None, own=own
        )
        if phone is not None and source.kind == "client":
            source = phone_of_customer(phone.customer_id)
        return source if self._may(source) else None

    def may_replace(self, call: Call, replaced: Call, source: Source, login: Login | None) -> bool:
        """Whether `call`, of `source`, may take the place of another: only whoever may transfer can, and only in place
        of its own calls: those of its address, its login or its trunk."""
        if not self._may(source):
            return False
        other = identify(self._directory, self.routing, replaced.remote.party)
        if source.kind == "trunk" or other.kind == "trunk":
            return one_party(source.provider, other.provider)
        its_login = self._login(replaced)
        if login and its_login:
            return login == its_login
        return call.remote.host == replaced.remote.host

    def same_peer(self, one: Call, other: Call) -> bool:
        """See `flows.calls.services.TransferPolicy`: at one address; and where both are of extensions that have logged
        in, of one."""
        if one.remote.host != other.remote.host:
            return False
        logins = {login for call in (one, other) if (login := self._login(call))}
        return len(logins) < 2

    def _may(self, source: Source) -> bool:
        return self.rule == "all" or (self.rule == "clients" and source.kind == "client")

    def _login(self, call: Call) -> Login | None:
        """What a caller has logged in with, and what the phone has that was called by the way that it registered: there
        may be others' phones at its address. None for everybody else."""
        if call.direction == "incoming":
            record = self._registry.get(call.id)
            return None if record is None else login_of(record)
        phone = None if self._phones is None else self._phones.extension_at(call.remote)
        return None if phone is None else (phone.realm, phone.name)


class ReplacesIntake:
    """What becomes of an INVITE with Replaces: see `AgentHooks.on_replaces`. Judged with the directory, the settings
    and the logins of `intake`."""

    def __init__(self, intake: Intake, policy: TransferPolicy) -> None:
        self._intake = intake
        self._policy = policy

    def __call__(self, call: Call, replaced: Call) -> Coroutine[Any, Any, Any] | None:
        """The coroutine of the call; None where it may not, and has been told."""
        intake, policy = self._intake, self._policy
        invite, host = call.invite, call.remote.host
        source = identify(intake.directory, intake.routing, call.remote.party, own=call.returned)
        judged = NO_LOGIN
        if source.kind == "guest" and not call.returned:
            judged = intake.logins.judge(invite, host, call.id)
            if judged.accepted:
                source = Source("client")
        login = (judged.realm, judged.username) if judged.accepted else None
        if policy.may_replace(call, replaced, source, login):
            phone = intake.logins.phone(judged)
            if phone is None:
                caller = caller_of(invite, source, intake.routing, intake.directory)
            else:
                caller = phone_of(invite, phone, intake.routing, intake.directory)
            record = CallRecord(
                call.id,
                "incoming",
                **caller.on_record(),
                source_type="tel" if caller.number[:1] == "+" or not caller.number else "sip",
                phone=phone,
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
            and policy.rule != "refuse"
            and intake.logins.asks(invite, host, judged)
        ):
            call.reject(401, headers=intake.logins.challenges(invite, host, judged))
        else:
            call.reject(603 if policy.rule == "refuse" else 403)
        return None


def login_of(record: CallRecord) -> Login | None:
    """What the call's caller has logged in with. It is what was found good: a message may show other credentials, and
    the same name in another realm is somebody else's."""
    phone = record.phone if record.logged_in else None
    return None if phone is None else (phone.realm, phone.name)

"""Confirmed dialogs as values: a session is written down, and carried on by another node (RFC 3261 §12).

What is under way is not in a snapshot: transactions, offers without an answer, transfers. The peer sends such a request
again, or finds it unanswered.
"""

from dataclasses import asdict, dataclass
from typing import Any, Self

from engine.sip.auth.credentials import Credentials, LoginState
from engine.sip.core import Core
from engine.sip.dialog.dialog import CONFIRMED, Dialog
from engine.sip.dialog.session import Session
from engine.sip.dialog.session_timer import SessionTimer
from engine.sip.flow import Allows, Flow, TlsTerms
from engine.sip.transaction.branch import Mark

KEPT_ALARMS = ("expired", "refresh", "limit")


@dataclass(slots=True, frozen=True, kw_only=True)
class FlowSnapshot:
    """Where a peer's messages come from; see `Flow`."""

    transport: str
    host: str
    port: int
    domain: str = ""


@dataclass(slots=True, frozen=True, kw_only=True)
class DialogSnapshot:
    """A confirmed dialog and its session. All of it can be written as JSON (`document`).

    Attributes:
        call_id, local_tag, remote_tag: Which dialog it is.
        local, remote: From and To, without tags, as our requests have them in From and To.
        remote_target: The peer's Contact.
        route_set: Route values of our requests, in order.
        local_cseq, remote_cseq: The last numbers used; -1: the peer has sent nothing.
        initiator: We sent the INVITE that opened the dialog.
        flow: Where the peer's last message came from that changed the session; None where nothing has come.
        own_address: How we are reached, as the Contact of our requests says: host, port and transport.
        contact_host, domain, tls: See `Dialog`.
        peer, party, direct, one_via, behind_nat, returned, secure: See `Dialog`.
        receives: See `DialogUsage`.
        allows_update: The peer takes UPDATE (RFC 3311).
        description: The session description that the peer has from us; "" for a call without one.
        interval, we_refresh: The session timer (RFC 4028), seconds; 0: none.
        alarms: Seconds from when this was taken until the session is refreshed ("refresh"), is over when nobody has
            refreshed it ("expired"), or has lasted too long ("limit").
        marks: Depth and number of the calls of ours that led to it; None: none did.
        logins: The challenges that requests in the dialog answer. The passwords are not in here.
    """

    call_id: str
    local_tag: str
    remote_tag: str
    local: str
    remote: str
    remote_target: str
    route_set: tuple[str, ...]
    local_cseq: int
    remote_cseq: int
    initiator: bool
    flow: FlowSnapshot | None
    own_address: str
    contact_host: str = ""
    domain: str = ""
    tls: TlsTerms | None = None
    secure: bool = False
    peer: str
    party: str
    direct: bool
    one_via: bool
    behind_nat: bool
    returned: bool
    receives: bool
    allows_update: bool
    description: str
    interval: int
    we_refresh: bool
    alarms: dict[str, float]
    marks: tuple[tuple[int, str], ...] | None
    logins: tuple[LoginState, ...]

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)

    @classmethod
    def read(cls, document: dict[str, Any]) -> Self:
        """What `document` has written. Raises TypeError or KeyError for anything else."""
        flow, marks, tls = document["flow"], document["marks"], document.get("tls")
        return cls(
            **{
                **document,
                "route_set": tuple(document["route_set"]),
                "tls": None if tls is None else TlsTerms(**{**tls, "names": tuple(tls["names"])}),
                "flow": None if flow is None else FlowSnapshot(**flow),
                "marks": None if marks is None else tuple((depth, dialled) for depth, dialled in marks),
                "logins": tuple(LoginState(**{**login, "qop": tuple(login["qop"])}) for login in document["logins"]),
            }
        )


def take_snapshot(session: Session, now: float) -> DialogSnapshot:
    """Raises ValueError where there is no confirmed dialog."""
    dialog, timer = session.dialog, session.timer
    if dialog.state != CONFIRMED:
        raise ValueError("the call has not been answered, or is over")
    flow, alarms = dialog.source, session.alarms
    return DialogSnapshot(
        call_id=dialog.call_id,
        local_tag=dialog.local_tag,
        remote_tag=dialog.remote_tag,
        local=dialog.local,
        remote=dialog.remote,
        remote_target=dialog.remote_target,
        route_set=tuple(dialog.route_set),
        local_cseq=dialog.local_cseq,
        remote_cseq=dialog.remote_cseq,
        initiator=session.initiator,
        flow=None
        if flow is None
        else FlowSnapshot(transport=flow.transport.name, host=flow.host, port=flow.port, domain=flow.domain),
        own_address=session.own_address,
        contact_host=dialog.contact_host,
        domain=dialog.domain,
        tls=dialog.tls,
        secure=dialog.secure,
        peer=dialog.peer,
        party=dialog.party,
        direct=dialog.direct,
        one_via=dialog.one_via,
        behind_nat=dialog.behind_nat,
        returned=dialog.returned,
        receives=session.receives,
        allows_update=session.peer_allows_update,
        description=session.last_body.decode("utf-8", "surrogateescape"),
        interval=0 if timer is None else timer.interval,
        we_refresh=timer is not None and timer.we_refresh,
        alarms={name: alarms[name] - now for name in KEPT_ALARMS if name in alarms},
        marks=None if session.marks is None else tuple((mark.depth, mark.dialled) for mark in session.marks),
        logins=session.login_states,
    )


def restore(
    core: Core,
    snapshot: DialogSnapshot,
    now: float,
    *,
    age: float = 0.0,
    credentials: Credentials | None = None,
    allows: Allows | None = None,
) -> Session:
    """Carry a dialog on; its user is set by the caller. Nothing is sent: see `Session.refresh`, which tells the peer
    where we are now. Raises ValueError where the core has this dialog already.

    `age`: seconds since the snapshot was taken. `credentials`: what its challenges are answered with. `allows`: which
    flows its requests may go to; None: all.
    """
    source = None
    if snapshot.flow is not None:
        transport = core.select(snapshot.flow.transport, snapshot.flow.host)
        if transport is not None:
            source = Flow(transport, snapshot.flow.host, snapshot.flow.port, domain=snapshot.flow.domain)
            source = source.under(snapshot.tls, snapshot.domain)
    dialog = Dialog(
        call_id=snapshot.call_id,
        local_tag=snapshot.local_tag,
        remote_tag=snapshot.remote_tag,
        local=snapshot.local,
        remote=snapshot.remote,
        remote_target=snapshot.remote_target,
        route_set=list(snapshot.route_set),
        local_cseq=snapshot.local_cseq,
        remote_cseq=snapshot.remote_cseq,
        state=CONFIRMED,
        source=source,
    )
    if dialog.key in core.dialogs:
        raise ValueError("this dialog is here already")
    dialog.peer, dialog.party = snapshot.peer, snapshot.party
    dialog.direct, dialog.one_via, dialog.behind_nat = snapshot.direct, snapshot.one_via, snapshot.behind_nat
    dialog.returned, dialog.allows = snapshot.returned, allows
    dialog.contact_host, dialog.secure = snapshot.contact_host, snapshot.secure
    dialog.domain, dialog.tls = snapshot.domain, snapshot.tls

    session = Session(core)
    session.dialog = dialog
    session.opening = False
    session.initiator, session.receives = snapshot.initiator, snapshot.receives
    session.peer_allows_update = snapshot.allows_update
    session.last_body = dialog.described = snapshot.description.encode("utf-8", "surrogateescape")
    if snapshot.interval:
        session.timer = SessionTimer(snapshot.interval, snapshot.we_refresh)
    if snapshot.marks is not None:
        session.marks = tuple(Mark(depth, dialled) for depth, dialled in snapshot.marks)
    if credentials is not None:
        session.log_in(credentials, snapshot.logins)
    core.dialogs[dialog.key] = session
    session.aim(dialog)
    for name, seconds in snapshot.alarms.items():
        session.arm(name, now + max(0.0, seconds - age))
    return session

"""Dialogs: the state that both ends of a call share (RFC 3261 §12)."""

from ipaddress import ip_address

from engine.sip.core import DialogKey
from engine.sip.flow import Allows, Flow, TlsTerms, is_sips
from engine.sip.message.grammar import ParseError
from engine.sip.message.message import Message, Request, Response
from engine.sip.message.name_addr import PLAIN_ADDRESS, NameAddr
from engine.sip.message.uri import SipUri, parse_uri

EARLY = "early"
CONFIRMED = "confirmed"
TERMINATED = "terminated"


class Dialog:
    """One dialog, early or confirmed, as seen from our end.

    `local` and `remote` are the addresses as they stand in From and To, without tags. `flow` is set where requests must
    go to the peer itself (one behind a NAT, a stream connection), whatever its Contact says:
    `engine.sip.dialog.next_hop` says when.

    Attributes:
        source: Where the peer's last INVITE, UPDATE or answer to one came from; None where nothing has come yet.
        peer: Whom the peer is known as: `Flow.party`, an address mostly.
        party: The one that what it names is measured by: behind an edge of ours, who is behind it.
        direct: Nobody stands in between, as far as can be seen.
        one_via: That last one was a request, and had one Via.
        behind_nat: That Via names another address or port than the one it came from (RFC 3581).
        allows: Which flows its requests may go to; None: all.
        domain, tls: The name under which the peer was found, and what is asked of it over TLS: for requests that go to
            an address that it names as its own.
        contact_host: What the peer is shown in place of our address; see `Flow.sent_by`.
        secure: It was opened with a SIPS URI: everything in it goes over TLS, and our Contact is one too (RFC 5630).
        returned: The peer is this node itself: the call is one of its own that has come back.
        described: The last session description that was sent in it, taken by the peer or not; b"" for none.
        settled: The first offer in it has an answer that is not lost: in a reliable response that was acknowledged, or
            in its PRACK (RFC 6337 §2.2).
        renegotiated: Another offer has been answered before the INVITE: what comes with its 2xx is older.
    """

    __slots__ = (
        "allows",
        "behind_nat",
        "call_id",
        "contact_host",
        "described",
        "direct",
        "domain",
        "flow",
        "local",
        "local_cseq",
        "local_tag",
        "one_via",
        "party",
        "peer",
        "remote",
        "remote_cseq",
        "remote_tag",
        "remote_target",
        "renegotiated",
        "returned",
        "route_set",
        "secure",
        "settled",
        "source",
        "state",
        "tls",
    )

    def __init__(
        self,
        *,
        call_id: str,
        local_tag: str,
        remote_tag: str,
        local: str,
        remote: str,
        remote_target: str,
        route_set: list[str],
        local_cseq: int,
        remote_cseq: int,
        state: str,
        source: Flow | None = None,
    ) -> None:
        self.call_id = call_id
        self.local_tag = local_tag
        self.remote_tag = remote_tag
        self.local = local
        self.remote = remote
        self.remote_target = remote_target
        self.route_set = route_set
        self.local_cseq = local_cseq
        self.remote_cseq = remote_cseq
        self.state = state
        self.flow: Flow | None = None
        self.source = source
        self.peer = self.party = "" if source is None else source.party
        self.direct = True
        self.contact_host = self.domain = ""
        self.tls: TlsTerms | None = None
        self.allows: Allows | None = None
        self.described = b""
        self.settled = self.renegotiated = False
        self.one_via = self.behind_nat = self.returned = self.secure = False

    @property
    def key(self) -> DialogKey:
        return (self.call_id, self.local_tag, self.remote_tag)

    @classmethod
    def as_callee(cls, invite: Request, local_tag: str, source: Flow) -> "Dialog":
        """The UAS side (§12.1.1): routes in the order of Record-Route. Raises ParseError without a usable Contact."""
        dialog = cls(
            call_id=invite.call_id,
            local_tag=local_tag,
            remote_tag=invite.from_tag,
            local=invite.first["To"],
            remote=without_tag(invite.first["From"]),
            # RFC 2543 asked for no Contact (RFC 4475 §3.4.1): its callers are then reached at their From.
            remote_target=contact_of(invite, "Contact" if "Contact" in invite.first else "From"),
            route_set=invite.values("Record-Route"),
            local_cseq=0,
            remote_cseq=invite.cseq,
            state=EARLY,
        )
        dialog.peer = dialog.party = source.party
        dialog.secure = source.secure and _asks_for_sips(invite, dialog)
        dialog.came(invite, source)
        return dialog

    @classmethod
    def as_caller(
        cls, response: Response, local: str, local_tag: str, local_cseq: int, state: str, request_uri: str, flow: Flow
    ) -> "Dialog":
        """The UAC side (§12.1.2): route set in the reverse order of Record-Route. `flow`: where the INVITE went."""
        try:
            target = contact_of(response)
        except ParseError:
            target = request_uri  # a 1xx need not have one; a 2xx without is a peer's fault that a call can survive
        dialog = cls(
            call_id=response.call_id,
            local_tag=local_tag,
            remote_tag=response.to_tag,
            local=local,
            remote=without_tag(response.first["To"]),
            remote_target=target,
            route_set=response.values("Record-Route")[::-1],
            local_cseq=local_cseq,
            remote_cseq=-1,  # nothing yet: 0 is a number too (§12.1.2)
            state=state,
            source=response.source or flow,
        )
        source = response.source or flow
        dialog.peer = dialog.party = (source if source.host == flow.host else flow).party
        dialog.domain, dialog.tls = flow.domain, flow.tls
        dialog.secure = is_sips(request_uri)
        return dialog

    def confirm(self, response: Response) -> None:
        """A 2xx makes the early dialog a confirmed one and sets its route set anew (§13.2.2.4)."""
        self.state = CONFIRMED
        self.route_set = response.values("Record-Route")[::-1]
        self.refresh(response)

    def refresh(self, message: Message, source: Flow | None = None) -> None:
        """Target refresh: INVITE and UPDATE, and their 2xx, may move the remote target (§12.2).

        `source`: where a request came from; a peer that is reached the way it came may come another way now.
        """
        if source is not None:
            self.came(message, source)
        if "Contact" in message.first:
            try:
                self.remote_target = contact_of(message)
            except ParseError:
                return  # the old target stands

    def came(self, message: Message, source: Flow) -> None:
        """A request of the peer's came from `source`."""
        self.source = source
        self.direct = self.one_via = message.single_via
        self.behind_nat = self.one_via and _shows_nat(message, source)

    def accepts(self, request: Request) -> bool:
        """CSeq order (§12.2.2): a request that is not newer than the last is refused with 500. Advances the order."""
        if request.cseq <= self.remote_cseq:
            return False
        self.remote_cseq = request.cseq
        return True

    def way_back(self) -> Flow | None:
        """The flow that requests take instead of the remote target's, as long as its connection is there."""
        flow = self.flow
        return flow if flow is not None and flow.connected else None

    @property
    def begins_with_sips(self) -> bool:
        """Whether the first of its routes is a SIPS URI."""
        return bool(self.route_set) and "<sips:" in self.route_set[0].lower()

    def next_cseq(self) -> int:
        self.local_cseq += 1
        return self.local_cseq

    def route(self) -> tuple[str, list[str], str]:
        """Request-URI, Route values and the URI of the next hop of a request within this dialog (§12.2.1.1)."""
        routes = self.route_set
        if not routes:
            return self.remote_target, routes, self.remote_target
        first = NameAddr.parse(routes[0])
        uri = first.uri
        if isinstance(uri, SipUri) and uri.lr:
            return self.remote_target, routes, first.uri_text
        # A strict router (RFC 2543): it takes the Request-URI's place and the target goes to the end.
        return first.uri_text, [*routes[1:], f"<{self.remote_target}>"], first.uri_text


def contact_of(message: Message, name: str = "Contact") -> str:
    """The URI in Contact, which must be a single sip or sips one (§8.1.1.8). Raises ParseError."""
    plain = PLAIN_ADDRESS.fullmatch(message.get(name))
    if plain is not None and message.unrepeated:
        return str(plain[1])
    contact = message.address(name)
    uri = contact.uri_text
    if not uri[:5].lower().startswith(("sip:", "sips:")) or not isinstance(parse_uri(uri), SipUri):
        raise ParseError(f"{name} is no sip URI")
    return uri


def _asks_for_sips(invite: Request, dialog: Dialog) -> bool:
    """Whether our Contact has to be a SIPS URI (RFC 3261 §12.1.1)."""
    if is_sips(invite.uri_text):
        return True
    return dialog.begins_with_sips if dialog.route_set else is_sips(dialog.remote_target)


def _shows_nat(message: Message, source: Flow) -> bool:
    """Whether the one Via names another address than the request came from, or, where its sender wants to be answered
    at the port that it came from, another port (RFC 3581 §4)."""
    if message.sent_by == f"{source.host}:{source.port}":
        return False
    via = message.via
    shown = via.host.strip("[]")
    if shown != source.host and _is_elsewhere(shown, source.host):
        return True
    return via.wants_rport and not source.transport.reliable and (via.port or 5060) != source.port


def _is_elsewhere(shown: str, source: str) -> bool:
    """Whether a peer shows another address than the one it sends from; a name shows none."""
    try:
        return ip_address(shown) != ip_address(source.partition("%")[0])
    except ValueError:
        return False


def without_tag(value: str) -> str:
    """From or To as it is kept: without its tag, everything else as written."""
    before, found, tag = value.rpartition(";tag=")
    if found and tag.isalnum():
        return before
    address = NameAddr.parse(value)
    address.params.pop("tag", None)
    return str(address)

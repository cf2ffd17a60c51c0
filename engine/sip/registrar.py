"""The registrar: what a REGISTER does to the bindings of its address-of-record, and its answer (RFC 3261 §10.3;
Path: RFC 3327, outbound: RFC 5626, GRUU: RFC 5627, sips: RFC 5630).

Nothing is changed in here: a REGISTER and the present bindings go in, a verdict comes out, all of it or nothing.
"""

import re
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from typing import Final, Literal, NamedTuple

from engine.sip.binding import Binding, uri_apart
from engine.sip.flow import Flow
from engine.sip.message.grammar import QUOTED, ParseError, host_address, unquote
from engine.sip.message.message import Request
from engine.sip.message.name_addr import NameAddr, parse_name_addrs
from engine.sip.message.uri import SipUri, parse_uri

EXTENSIONS: Final = frozenset({"gruu", "outbound", "path"})
"""The option tags that a REGISTER may require here beside those of every request."""

MALFORMED_EXPIRES: Final = 3600
"""Seconds that an expiry counts as which is no number (§10.2.1.1)."""
LONGEST_CONTACT: Final = 1024  # characters
LONGEST_PATH: Final = 2048  # characters of all values together
LONGEST_CALL_ID: Final = 256  # characters
_LONGEST_USER_AGENT = 128  # characters; the rest is cut off
_CAPABLE = "Supported: gruu, outbound, path\r\n"

# The `expires` parameter of a Contact, outside of quotes and of <>.
_EXPIRES = re.compile(
    rf'{QUOTED}|<[^<>]*+>|([ \t]*+;[ \t]*+expires[ \t]*+(?:=[ \t]*+(?:{QUOTED}|[^;"<>, \t]++))?(?=[ \t]*+(?:;|$)))',
    re.IGNORECASE,
)
# RFC 3261 §25.1 pvalue: what needs no escape in the parameter of a URI.
_ESCAPED_IN_PARAMETER = re.compile(r"[^A-Za-z0-9\-_.!~*'()\[\]/:&+$]")

ChangeEvent = Literal["registered", "refreshed", "unregistered"]


@dataclass(slots=True, frozen=True, kw_only=True)
class RegistrarPolicy:
    """How long bindings live, in seconds.

    Attributes:
        default_expires: Where the REGISTER does not say.
        min_expires: Less than this is answered 423 (§10.3 step 7).
        max_expires: What asks for more gets this.
        flow_timer: How often the devices of outbound are to send keep-alives at least (RFC 5626 §5.4).
    """

    default_expires: int = 3600
    min_expires: int = 60
    max_expires: int = 7200
    flow_timer: int = 120


@dataclass(slots=True, kw_only=True)
class Registration:
    """What a registrar knows of a REGISTER beside its text.

    Attributes:
        source: Where it came from.
        host: The address that it is from: of one that an edge has forwarded, what the edge noted.
        edge: Whether its Path is believed, wherever that leads: it is from a proxy of our own.
        max_contacts: Devices that its address-of-record may have.
        now: Seconds on the clock of the bindings' ends.
        date: The moment as in a Date field (§20.17).
        new_id: Makes the id of a binding.
    """

    source: Flow
    host: str
    edge: bool = False
    max_contacts: int
    now: float
    date: str
    new_id: Callable[[], str]


class Change(NamedTuple):
    """What a REGISTER does to one binding.

    Attributes:
        event: `registered`: `newer` is new, in place of `present` where there is one; `refreshed`: `present` is from
            now on as `newer`, which has its id; `unregistered`: `present` goes.
    """

    event: ChangeEvent
    present: Binding | None
    newer: Binding | None


class Outcome(NamedTuple):
    """The answer to a REGISTER. `headers`: lines, each ended by CRLF; `cause`: why it was refused, in words."""

    status: int
    headers: str = ""
    changes: Sequence[Change] = ()
    cause: str = ""


class _Refused(Exception):
    """The whole REGISTER is answered with an error, and changes nothing."""

    def __init__(self, status: int, cause: str, headers: str = "") -> None:
        super().__init__(cause)
        self.outcome = Outcome(status, headers, (), cause)


@dataclass(slots=True, kw_only=True)
class _Contact:
    """One Contact of the REGISTER. `place`: where `expires` stands in its text, or is put."""

    text: str
    place: int
    uri: str
    whole_uri: str  # with the header fields that a URI can bring along
    expires: int
    q: float
    instance: str
    reg_id: int


@dataclass(slots=True)
class _Row:
    """A binding as it is, and as it is to be; None for none."""

    present: Binding | None
    newer: Binding | None
    written: bool = False


def register(request: Request, bindings: Sequence[Binding], policy: RegistrarPolicy, given: Registration) -> Outcome:
    """Steps 6 to 8 of RFC 3261 §10.3, for a REGISTER whose sender may register what its To names. `bindings`: the
    present ones of that address-of-record, none of them over."""
    try:
        if len(request.call_id) > LONGEST_CALL_ID:
            raise _Refused(400, "Call-ID too long")
        values = request.values("Contact")
        supported = request.tokens("Supported") if "Supported" in request.first else frozenset()
        if "*" in values:
            return _remove_all(request, values, bindings, given)
        if not values:
            return Outcome(200, _answer(bindings, request, given, supported))
        return _write(request, values, bindings, supported, policy, given)
    except _Refused as refused:
        return refused.outcome
    except ParseError as error:
        return Outcome(error.status, cause=str(error))


def _remove_all(request: Request, values: list[str], bindings: Sequence[Binding], given: Registration) -> Outcome:
    """Step 6: `*` stands alone and ends everything at once."""
    expires = request.get("Expires")
    if len(values) > 1 or not expires.isdigit() or int(expires) != 0:
        raise _Refused(400, "Contact * goes with Expires: 0 alone")
    for binding in bindings:
        _check_order(request, binding)
    changes = [Change("unregistered", binding, None) for binding in bindings]
    return Outcome(200, _answer((), request, given, frozenset()), changes)


def _write(
    request: Request,
    values: list[str],
    bindings: Sequence[Binding],
    supported: AbstractSet[str],
    policy: RegistrarPolicy,
    given: Registration,
) -> Outcome:
    """Steps 7 and 8."""
    if len(values) > max(given.max_contacts, len(bindings)) * 2:
        raise _Refused(403, "too many contacts")
    path = _path(request, given)
    contacts = [_contact(value, request, policy) for value in values]
    applied = _apply_outbound(contacts, request, supported, path)
    _check_sips(request, contacts, path)
    rows = [_Row(binding, binding) for binding in bindings]
    for contact in contacts:
        old = [row for row in rows if row.newer is not None and _same(row.newer, contact, alone=len(contacts) == 1)]
        newer = _binding(contact, request, path, given) if contact.expires else None
        _replace(rows, old, newer, request, given)
    _make_room(rows, given)
    after = [row.newer for row in rows if row.newer is not None]
    changes = [_change(row) for row in rows if row.newer is not row.present]
    flow_lines = f"Require: outbound\r\nFlow-Timer: {policy.flow_timer}\r\n" if applied else ""
    return Outcome(200, flow_lines + _answer(after, request, given, supported), changes)


def _apply_outbound(
    contacts: list[_Contact], request: Request, supported: AbstractSet[str], path: tuple[str, ...]
) -> bool:
    """Whether outbound is applied to what is bound (RFC 5626 §6); where it cannot be, a `reg-id` means nothing."""
    if "outbound" in supported and _first_hop_knows_outbound(request, path):
        return any(contact.reg_id and contact.expires for contact in contacts)
    if any(contact.reg_id for contact in contacts) and "outbound" in request.tokens("Require"):
        raise _Refused(439, "the first proxy knows nothing of outbound")
    for contact in contacts:
        contact.reg_id = 0
    return False


def _replace(rows: list[_Row], old: list[_Row], newer: Binding | None, request: Request, given: Registration) -> None:
    """Put a binding in place of old ones; none ends them."""
    for row in old:
        if row.present is not None:
            _check_order(request, row.present)
        row.written = True
        row.newer = None
    if newer is None:
        return
    present = old[0].present if old else None
    if present is not None and present.uri == newer.uri:
        newer.id, newer.registered_at, newer.rtt = present.id, present.registered_at, present.rtt
    else:
        newer.id = given.new_id()
    if old:
        old[0].newer = newer
    else:
        rows.append(_Row(None, newer, written=True))


def _change(row: _Row) -> Change:
    if row.newer is None:
        return Change("unregistered", row.present, None)
    same = row.present is not None and row.present.id == row.newer.id
    return Change("refreshed" if same else "registered", row.present, row.newer)


def _check_order(request: Request, binding: Binding) -> None:
    """Step 7: of one Call-ID the highest CSeq counts, whatever comes late."""
    if request.call_id == binding.call_id and request.cseq <= binding.cseq:
        raise _Refused(500, f"CSeq {request.cseq} is not above {binding.cseq}")


# ---- what it says


def _contact(value: str, request: Request, policy: RegistrarPolicy) -> _Contact:
    if len(value) > LONGEST_CONTACT:
        raise _Refused(400, "Contact too long")
    address = NameAddr.parse(value)
    whole_uri = address.uri_text
    if not whole_uri[:5].lower().startswith(("sip:", "sips:")):
        raise _Refused(400, "Contact is neither sip nor sips")
    params = address.params
    text, place = value, len(value)
    if "expires" in params:
        for found in _EXPIRES.finditer(value):
            if found[1] is not None:
                place = found.start()
                text = value[:place] + value[found.end() :]
                break
        asked = _seconds(params["expires"] or "")
    elif "Expires" in request.first:
        asked = _seconds(request.first["Expires"])
    else:
        asked = policy.default_expires
    if 0 < asked < policy.min_expires:
        raise _Refused(423, f"expiry of {asked} s is too brief", f"Min-Expires: {policy.min_expires}\r\n")
    instance = unquote(params.get("+sip.instance") or "")
    reg_id = params.get("reg-id") or ""
    numbered = instance and reg_id.isdigit() and len(reg_id) < 10
    return _Contact(
        text=text,
        place=place,
        uri=whole_uri.partition("?")[0],
        whole_uri=whole_uri,
        expires=min(asked, policy.max_expires),
        q=_preference(params.get("q")),
        instance=instance,
        reg_id=int(reg_id) if numbered else 0,
    )


def _seconds(text: str) -> int:
    """§20.19, §10.2.1.1: what is no number of seconds counts as an hour."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 11 else MALFORMED_EXPIRES


def _preference(text: str | None) -> float:
    if text is None:
        return 1.0
    return float(text) if re.fullmatch(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?", text) else 1.0


def _path(request: Request, given: Registration) -> tuple[str, ...]:
    """The URIs of the Path, in order (RFC 3327 §5.3). Who is no proxy of ours may name itself as the first hop and
    nobody else, who would be sent what is for the device (§7)."""
    if "Path" not in request.first:
        return ()
    lines = request.lines("Path")
    if sum(map(len, lines)) > LONGEST_PATH:
        raise _Refused(400, "Path too long")
    path = tuple(address.uri_text for address in parse_name_addrs(lines))
    if not all(uri[:5].lower().startswith(("sip:", "sips:")) for uri in path):
        raise _Refused(400, "Path is neither sip nor sips")
    first = parse_uri(path[0]) if path else None
    if not given.edge and isinstance(first, SipUri) and _first_hop(first) != given.source.host:
        raise _Refused(403, "Path leads elsewhere than it came from, which is none of our proxies")
    return path


def _first_hop(uri: SipUri) -> str:
    return (uri.params.get("maddr") or uri.host_address).strip("[]")


def _first_hop_knows_outbound(request: Request, path: tuple[str, ...]) -> bool:
    """RFC 5626 §6: a device that is not connected to us is to a proxy which says so in its Path by `ob`."""
    return request.single_via if not path else any("ob" in _params(uri) for uri in (path[0], path[-1]))


def _params(uri: str) -> dict[str, str | None]:
    parsed = parse_uri(uri)
    return parsed.params if isinstance(parsed, SipUri) else {}


def _check_sips(request: Request, contacts: list[_Contact], path: tuple[str, ...]) -> None:
    """RFC 5630 §5.2: a secure Contact on a secure way alone."""
    if any(contact.uri[:5].lower() == "sips:" for contact in contacts):
        way = (request.uri_text, *path)
        if not all(uri[:5].lower() == "sips:" for uri in way):
            raise _Refused(400, "a sips Contact goes with a sips Request-URI and Path")


def _binding(contact: _Contact, request: Request, path: tuple[str, ...], given: Registration) -> Binding:
    return Binding(
        id="",
        contact=contact.text,
        expires_place=contact.place,
        uri_apart=uri_apart(contact.text, contact.uri),
        q=contact.q,
        instance=contact.instance,
        reg_id=contact.reg_id,
        call_id=request.call_id,
        cseq=request.cseq,
        expires_at=given.now + contact.expires,
        flow=given.source,
        path=path,
        source=given.host,
        user_agent=_shared(request.get("User-Agent")[:_LONGEST_USER_AGENT]),
        registered_at=given.now,
        natted=not path and _natted(contact.uri, request, given.source),
    )


@lru_cache(maxsize=1024)
def _shared(user_agent: str) -> str:
    """One text for all phones of a kind."""
    return user_agent


def _natted(uri: str, request: Request, source: Flow) -> bool:
    """Whether a datagram comes from elsewhere than its Via or Contact says: a NAT is between, and forgets."""
    if source.transport.reliable:
        return False
    host, port = source.host, source.port
    plain = host if ":" not in host else f"[{host}]"
    whole = f"{plain}:{port}"
    if request.sent_by not in (whole, plain if port == 5060 else ""):
        return True
    if uri.rpartition("@")[2].partition(";")[0] == whole:
        return False
    try:
        contact = SipUri.parse(uri)
    except ParseError:
        return True
    return (host_address(contact.host), contact.port or 5060) != (host, port)


# ---- which binding it is


def _same(old: Binding, contact: _Contact, *, alone: bool) -> bool:
    """Whether a Contact is of the device, and of its flow, that a binding is of.

    alone: The REGISTER has no other Contact. Who brings several means each by itself.
    """
    if old.instance and contact.instance:
        if old.instance.lower() != contact.instance.lower():
            return False  # two phones behind two NATs can have the same address
        if contact.reg_id:
            return old.reg_id in (contact.reg_id, 0)
        if alone:
            return True
    if old.contact == contact.text:
        return True
    whole = NameAddr.parse(old.contact).uri_text if "?" in old.contact else old.uri
    return whole == contact.whole_uri or parse_uri(whole).equivalent(parse_uri(contact.whole_uri))


def _make_room(rows: list[_Row], given: Registration) -> None:
    """One device more than there may be takes the place of what is left of its former life: a phone without an instance
    that restarts has another Contact, and cannot end its old one. Else it is refused."""
    added = [row.newer for row in rows if row.present is None and row.newer is not None]
    count = sum(row.newer is not None for row in rows)
    for newer in added:
        if count <= given.max_contacts:
            return
        old = [
            row
            for row in rows
            if not row.written
            and row.present is not None
            and not row.present.instance
            and newer.user_agent
            and (row.present.source, row.present.user_agent) == (newer.source, newer.user_agent)
        ]
        if not old:
            raise _Refused(403, f"more than {given.max_contacts} contacts")
        oldest = min(old, key=lambda row: row.present.registered_at if row.present else 0.0)
        oldest.newer, oldest.written = None, True
        count -= 1


# ---- the answer


def _answer(bindings: Sequence[Binding], request: Request, given: Registration, supported: AbstractSet[str]) -> str:
    """The lines of the 200 (step 8)."""
    wants_gruu = "gruu" in supported
    lines = [
        f"Contact: {_shown(binding, given.now)}{_gruu(binding, request) if wants_gruu else ''}\r\n"
        for binding in bindings
    ]
    if "path" in supported:
        lines += [f"Path: {value}\r\n" for value in request.lines("Path")]
    lines.append(f"Date: {given.date}\r\n{_CAPABLE}")
    return "".join(lines)


def _shown(binding: Binding, now: float) -> str:
    """A Contact byte for byte as it came, but for what is left of its life: devices look for their own."""
    contact, place = binding.contact, binding.expires_place
    left = round(binding.expires_at - now, 3)  # what is added to a float and taken off again is not always the same
    return f"{contact[:place]};expires={max(0, ceil(left))}{contact[place:]}"


def _gruu(binding: Binding, request: Request) -> str:
    """The URI that leads to this one device, from everywhere (RFC 5627 §5.2)."""
    if not binding.instance or "pub-gruu" in binding.contact.lower():
        return ""
    address = request.address("To").uri
    if not isinstance(address, SipUri):
        return ""
    port = "" if address.port is None else f":{address.port}"
    device = _ESCAPED_IN_PARAMETER.sub(_escaped, binding.instance.strip("<>"))
    return f';pub-gruu="{address.scheme}:{address.user}@{address.host}{port};gr={device}"'


def _escaped(found: "re.Match[str]") -> str:
    return "".join(f"%{octet:02X}" for octet in found[0].encode("utf-8", "surrogateescape"))

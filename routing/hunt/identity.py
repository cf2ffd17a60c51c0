"""Caller identity: From, P-Asserted-Identity, Remote-Party-ID, Privacy and Diversion (RFC 3261, 3323, 3325, 5806)."""

import re
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from engine.sip.message.message import BodyPart
from routing.directory.trunk import Trunk
from routing.numbers.dial_string import escaped

Anonymous = Literal["no", "yes", "auto"]
ANONYMOUS_VALUES: tuple[Anonymous, ...] = ("no", "yes", "auto")

# RFC 3323 §4.1.1.3 has the form, RFC 3261 §20.20 the name.
ANONYMOUS_FROM = '"Anonymous" <sip:anonymous@anonymous.invalid>'

DiversionReason = Literal["unconditional", "user-busy", "no-answer", "deflection", "follow-me"]
"""Why a call is forwarded (RFC 5806 §9)."""
_HISTORY_CAUSES: Final[dict[DiversionReason, int]] = {
    # RFC 7044 §7.2: as the Reason of a History-Info has it.
    "unconditional": 302,
    "user-busy": 486,
    "no-answer": 408,
    "deflection": 480,
    "follow-me": 302,
}


class Forwarded(NamedTuple):
    """Who forwarded a call before it came to us: values of Diversion (RFC 5806) and of History-Info (RFC 7044)."""

    diversion: tuple[str, ...] = ()
    history: tuple[str, ...] = ()


NOT_FORWARDED: Final = Forwarded()

_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
_PHONE_USER = re.compile(r"\+?[0-9]+")
_INDEX = re.compile(r";\s*index\s*=\s*([0-9]{1,6})(?![0-9])", re.IGNORECASE)
_LONGEST_NAME = 128


@dataclass(kw_only=True, slots=True)
class CallerIdentity:
    """The caller as the far end may come to know it.

    Attributes:
        number: A normalised number, or the user part of a caller that has none; "" where there is no caller.
        name: Display name, unquoted.
        private: The caller asked for privacy (an anonymous From, or `Privacy: id`).
        anonymous: "no" shows the caller, "yes" hides it, "auto" does as the caller asked.
        diverted_by: The number that forwards this call, for Diversion; "" where it is not forwarded.
        diverted_why: Why it does.
        forwarded: Who forwarded it before.
        asserted: The number that we vouch for (RFC 3325 §5), where that is not `number`, which is only shown; "" for
            none.
        asserted_name: The name that goes with `asserted`.
        carried: Header fields of the caller's own that may go on.
        number_parameters: Of the number that it has dialled (RFC 4694).
        parts: What its INVITE holds beside a session description.
        location: The header fields that say where it is (RFC 6442).
    """

    number: str = ""
    name: str = ""
    private: bool = False
    anonymous: Anonymous = "auto"
    diverted_by: str = ""
    diverted_why: DiversionReason = "unconditional"
    forwarded: Forwarded = NOT_FORWARDED
    asserted: str | None = None
    asserted_name: str = ""
    carried: tuple[tuple[str, str], ...] = ()
    number_parameters: tuple[tuple[str, str], ...] = ()
    parts: tuple[BodyPart, ...] = ()
    location: tuple[tuple[str, str], ...] = ()

    @property
    def hidden(self) -> bool:
        """Whether the far end must not see who calls."""
        return self.anonymous == "yes" or (self.anonymous == "auto" and self.private)


NO_CALLER = CallerIdentity()
"""A call that nobody made: an API's or a flow's own, without a source."""


def display(name: str) -> str:
    """A display name as a quoted-string and a space (RFC 3261 §25.1); "" for no name. Control characters, which could
    end the header, become spaces; what is no UTF-8 is replaced."""
    if not name:
        return ""
    if not name.isprintable():
        name = _CONTROL.sub(" ", name)
    name = name[:_LONGEST_NAME].strip()
    if not name.isascii():
        name = name.encode("utf-8", "replace").decode("utf-8")
    if not name:
        return ""
    if '"' in name or "\\" in name:
        name = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{name}" '


def caller_headers(trunk: Trunk, caller: CallerIdentity, from_domain: str) -> tuple[str, list[tuple[str, str]]]:
    """From (a name-addr without a tag) and the identity headers of an INVITE to this trunk.

    from_domain: Host in From and identity headers where the provider names none.
    """
    domain = trunk.from_domain or from_domain
    user = _user(trunk.caller_number(caller.number))
    name = display(caller.name)
    vouched, known_as = user, name
    if caller.asserted is not None:
        vouched, known_as = _user(trunk.caller_number(caller.asserted)), display(caller.asserted_name)
    if not _PHONE_USER.fullmatch(vouched):
        vouched = ""  # a word is nobody's number, and is asserted to nobody (RFC 3325 §5)
    if caller.hidden:
        headers = [("Privacy", "id")]
        if vouched and trunk.asserts:
            headers.insert(0, ("P-Asserted-Identity", f"{known_as}<{_uri(vouched, domain, trunk)}>"))
        return ANONYMOUS_FROM, headers
    headers = []
    shown = trunk.from_user or user
    if not shown:
        return ANONYMOUS_FROM, headers
    from_ = f"{name}<{_uri(shown, domain, trunk)}>"
    if vouched and (trunk.asserts or trunk.prefers or trunk.remote_party):
        same = vouched == shown and known_as == name
        identity = from_ if same else f"{known_as}<{_uri(vouched, domain, trunk)}>"
        if trunk.asserts:
            headers.append(("P-Asserted-Identity", identity))
        if trunk.prefers:
            headers.append(("P-Preferred-Identity", identity))
        if trunk.remote_party:
            headers.append(("Remote-Party-ID", f"{identity};party=calling;screen=yes;privacy=off"))
    return from_, headers + _forwarding(trunk, caller, domain)


def _forwarding(trunk: Trunk, caller: CallerIdentity, domain: str) -> list[tuple[str, str]]:
    """Who has forwarded the call: our own entry goes on top of those that came (RFC 5806 §5), or behind them (RFC
    7044 §10.1)."""
    headers = []
    by, before = caller.diverted_by, caller.forwarded
    own = _uri(escaped(trunk.caller_number(by)), domain, trunk) if by else ""
    if trunk.diverts:
        if own:
            headers.append(("Diversion", f"<{own}>;reason={caller.diverted_why}"))
        headers += [("Diversion", value) for value in before.diversion]
    if trunk.tells_history:
        headers += [("History-Info", value) for value in before.history]
        if own:
            cause = f"SIP%3Bcause%3D{_HISTORY_CAUSES[caller.diverted_why]}"
            headers.append(("History-Info", f"<{own}?Reason={cause}>;index={_next_index(before.history)}"))
    return headers


def _next_index(history: tuple[str, ...]) -> str:
    """The index of one more entry, at the top level (RFC 7044 §10.3)."""
    found = [int(number) for value in history for number in _INDEX.findall(value)]
    return str(max(found, default=0) + 1)


def _user(number: str) -> str:
    return number if _PHONE_USER.fullmatch(number) else escaped(number)


def _uri(user: str, domain: str, trunk: Trunk) -> str:
    # RFC 3261 §19.1.1: user=phone says that the user part is a telephone number, so a name does not get it.
    param = trunk.user_param if trunk.user_param and _PHONE_USER.fullmatch(user) else ""
    return f"sip:{user}@{domain}{param}"

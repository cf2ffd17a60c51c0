"""The registrar: whose phones may register, and what is said of it. What a REGISTER does is `engine.sip.registrar`'s.

A REGISTER is answered at once, from memory: no task, and nothing that is waited for.
"""

import os
import re
import time
from collections import Counter
from collections.abc import Callable
from email.utils import formatdate
from typing import Final

from engine.log import Log, RateLimitedLog
from engine.sip.flow import Flow
from engine.sip.message.grammar import ParseError
from engine.sip.message.message import Request
from engine.sip.message.uri import SipUri
from engine.sip.method_handlers import Answer
from engine.sip.peers import accused, source_of
from engine.sip.registrar import RegistrarPolicy, Registration, register
from engine.transport.addresses import family_of
from routing.access.peers import KnownPeers
from routing.directory.directory import Directory
from routing.directory.extensions import ExtensionRow
from routing.location import Location, LocationChange
from service.logins import Logins

RESULTS: Final = (
    *("registered", "refreshed", "unregistered", "fetched", "challenged", "credentials", "forbidden", "not_found"),
    *("too_brief", "too_many", "out_of_order", "malformed", "domain", "outbound"),
)
"""What can come of a REGISTER, for its metric."""
_OF_STATUS: Final = {400: "malformed", 403: "too_many", 423: "too_brief", 439: "outbound", 500: "out_of_order"}
_SHOWN = 128  # characters of a Call-ID in the log
_PLAIN_TO = re.compile(
    r"(?:\"[^\"\\]*+\" ?|[A-Za-z0-9.\- ]*+)<sips?:([A-Za-z0-9_.\-]++)@[A-Za-z0-9.\-]++(?::[0-9]++)?>"
)
"""Nearly every To of a REGISTER, which the parser has found valid: group 1 is the user."""


def _new_id() -> str:
    """A UUID by chance (RFC 9562 §5.4)."""
    digits = os.urandom(16).hex()
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


class Registrar:
    """Answers REGISTERs.

    Attributes:
        policy: How long bindings live.
        results: How many REGISTERs had which result since the start.
    """

    def __init__(
        self,
        location: Location,
        directory: Directory,
        logins: Logins,
        peers: KnownPeers,
        log: Log,
        policy: RegistrarPolicy,
        *,
        listens_at: Callable[[str], bool],
        clock: Callable[[], float] = time.monotonic,
        new_id: Callable[[], str] = _new_id,
        log_phones: bool = True,
        after: Callable[[Callable[[float], None]], None] | None = None,
    ) -> None:
        """`listens_at`: whether an address is one of ours; `clock`: monotonic seconds; `log_phones`: a line per phone
        that comes or goes, where somebody reads it; `after`: see `Answer`."""
        self._after = after
        self.policy = policy
        self.results: Counter[str] = Counter(dict.fromkeys(RESULTS, 0))
        self._location = location
        self._directory = directory
        self._logins = logins
        self._peers = peers
        self._log = log
        self._lines = RateLimitedLog(clock)
        self._listens_at = listens_at
        self._new_id = new_id
        self._date, self._date_of = "", -1
        if log_phones:
            location.observers.append(self._changed)

    def __call__(self, request: Request, source: Flow, now: float) -> Answer:
        """The answer to one REGISTER."""
        host = source_of(request, source.host, self._peers)
        judged = self._logins.judge(request, source.host, request.call_id[:_SHOWN])
        if not judged.accepted:
            if not self._logins.may_try(judged):
                # The login has been logged and counted; a phone that is told so stops (RFC 3261 §22.1).
                self.results["credentials" if self._directory.extensions.realms else "forbidden"] += 1
                return Answer(status=403)
            self.results["challenged"] += 1
            asked = self._logins.challenges(request, source.host, judged)
            return Answer(status=401, headers="".join(f"{name}: {value}\r\n" for name, value in asked))
        # §10.3 has the domain first; but who our providers are, and which addresses are ours, no stranger is to know.
        if not self._ours(request):
            return self._refuse(request, host, 403, "domain", "its domain is none of ours")
        return self._write(request, source, host, judged.username, now)

    def _write(self, request: Request, source: Flow, host: str, username: str, now: float) -> Answer:
        """A REGISTER of somebody who has shown who it is."""
        plain = _PLAIN_TO.fullmatch(request.first["To"])
        if plain is not None:
            name = plain[1]
        else:
            try:
                aor = request.address("To").uri
            except ParseError as error:
                return self._refuse(request, host, error.status, "malformed", str(error))
            if not isinstance(aor, SipUri):
                return self._refuse(request, host, 400, "malformed", "To is neither sip nor sips")  # RFC 3261 §10.2
            name = aor.user_text
        extension = self._directory.extension(name)
        if extension is None or not extension.active:
            return self._refuse(request, host, 404, "not_found", "no such extension")
        if name != username:
            return self._refuse(request, host, 403, "forbidden", f"logged in as {username}")
        name = extension.name  # of all that are bound there, one text
        self._location.expire_of(name, now)
        given = Registration(
            source=source,
            host=host,
            edge=self._peers.kind(source.party) in ("proxy", "trusted"),
            max_contacts=extension.max_contacts,
            now=now,
            date=self._now_as_date(),
            new_id=self._new_id,
        )
        outcome = register(request, self._location.bindings(name), self.policy, given)
        if outcome.status != 200:
            result = _OF_STATUS.get(outcome.status, "malformed")
            return self._refuse(request, host, outcome.status, result, outcome.cause, outcome.headers)
        changes = outcome.changes
        self.results[changes[0].event if changes else "fetched"] += 1
        if changes:
            self._location.apply(name, changes)
            self._peers.phone_at(accused(request, host), self.policy.max_expires)
        # What a phone is told is on the disk by then: else it would not be rung after a crash until it refreshes.
        return Answer(status=200, headers=outcome.headers, kept=True, after=self._after if changes else None)

    def _ours(self, request: Request) -> bool:
        """Whether a Request-URI's host is one of ours (RFC 3261 §10.3 step 1).

        A phone is set up with a domain that leads here by SRV or by an address behind which we are, and that we need
        not know. So a name is ours unless it is a provider's, and an address only where it is one that we listen at or
        advertise.
        """
        uri = request.uri
        if not isinstance(uri, SipUri):
            return False
        host = uri.host_address
        if not family_of(host):
            return self._directory.provider_with_hostname(host) is None
        return self._listens_at(host)

    def _refuse(self, request: Request, host: str, status: int, result: str, cause: str, headers: str = "") -> Answer:
        self.results[result] += 1
        self._lines.write(
            self._log.warning,
            result,
            "registration refused",
            call_id=request.call_id[:_SHOWN],
            to=request.get("To")[:_SHOWN],
            status=status,
            cause=cause,
            source=host,
        )
        return Answer(status=status, headers=headers, kept=result != "domain")

    def _now_as_date(self) -> str:
        """As a Date field has it (RFC 3261 §20.17); made once a second."""
        second = int(time.time())
        if second != self._date_of:
            self._date, self._date_of = formatdate(second, usegmt=True), second
        return self._date

    # ---- what has become of bindings

    def _changed(self, change: LocationChange) -> None:
        if change.event == "refreshed":
            return
        binding = change.binding
        self._lines.write(
            self._log.info,
            change.event,
            f"phone {change.event}",
            extension=change.name,
            contact=binding.contact,
            transport=binding.transport,
            source=binding.source,
            user_agent=binding.user_agent,
            **({"cause": change.cause} if change.cause else {}),
        )


def of_extension(extension: ExtensionRow) -> dict[str, str]:
    """What events say of an extension."""
    return {"id": str(extension.id), "name": extension.name}

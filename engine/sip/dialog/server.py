"""The server side of a dialog: whether a request is in order, comes from the peer, and names only the peer's addresses
(RFC 3261 §12.2.2, §26.1)."""

from collections.abc import Mapping
from functools import partial
from typing import ClassVar

from engine.sip.core import Core
from engine.sip.dialog.next_hop import look_up, misleading
from engine.sip.dialog.usage import DialogUsage
from engine.sip.flow import address_of
from engine.sip.message.message import Request
from engine.sip.peers import source_of
from engine.sip.transaction.server import ServerTransaction

# What changes a call or speaks for its peer, where it comes from elsewhere: an UPDATE without a body only shows that
# its sender is alive.
_CHANGING = frozenset(("INVITE", "UPDATE", "INFO", "REFER", "MESSAGE"))
_REFRESHING = frozenset(("INVITE", "UPDATE"))


class DialogServer(DialogUsage):
    """A dialog usage that takes requests.

    Attributes:
        handlers: The name of the method that takes a request, by the request's method.
    """

    handlers: ClassVar[Mapping[str, str]] = {}

    __slots__ = ("_looks_up",)

    def __init__(self, endpoint: Core) -> None:
        super().__init__(endpoint)
        self._looks_up = False  # the names in an INVITE or UPDATE of the peer

    def receive_request(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        """A request within the dialog that is no retransmission."""
        method = request.method
        changes = method in _CHANGING and (method != "UPDATE" or request.body)
        its_own = self.came_from_peer(request)
        if changes and not its_own:
            if not self._let_in(transaction, request, now):
                return
            its_own = True
        newest = self.dialog.remote_cseq
        if not self.dialog.accepts(request):
            transaction.respond(500, now)  # §12.2.2: out of order
            return
        if not its_own:
            self.dialog.remote_cseq = newest  # else whoever knows the tags could make the peer's own BYE an old one
        handler = self.handlers.get(method)
        if handler is None:
            transaction.respond(501, now, headers=self.endpoint.methods.allow_line)
            return
        if method in _REFRESHING:
            dialog = self.dialog
            misled, names = misleading(self.endpoint, request, dialog.party, dialog.returned)
            if misled or names:
                vetted = partial(self._vetted_request, transaction, request, handler)
                if misled:
                    vetted(True)
                elif self._looks_up:
                    self._try_later(transaction, now)  # one at a time: a peer may invent names without end
                else:
                    self._looks_up = True
                    look_up(self.endpoint, names, dialog.party, vetted)
                return
        getattr(self, handler)(transaction, request, now)

    def _vetted_request(self, transaction: ServerTransaction, request: Request, handler: str, misled: bool) -> None:
        """The names in a target refresh request have been looked up; `misled`: one is another party's address."""
        now = self.endpoint.clock()
        self._looks_up = False
        if misled:
            self.endpoint.on_misled(self.dialog.peer, request.method)
            transaction.respond(403, now)
        elif self.ended:
            transaction.respond(481, now)
        else:
            getattr(self, handler)(transaction, request, now)

    def came_from_peer(self, request: Request) -> bool:
        """Whether it came from the dialog's host."""
        source, dialog = request.source, self.dialog
        if source is None or source.host == address_of(dialog.peer):
            return True
        return (dialog.source or source).host == source.host

    def _let_in(self, transaction: ServerTransaction, request: Request, now: float) -> bool:
        """Whether a request that changes the call is accepted from another host than the dialog's: Call-ID and tags are
        known to every hop, and prove nothing (§26.1). A refused one does not count in the CSeq order."""
        status, headers, follow = self.endpoint.on_stranger(self, request)
        if status:
            transaction.respond(status, now, headers=headers)
            return False
        dialog, source = self.dialog, request.source
        if source is not None and (follow or request.method in _REFRESHING):
            dialog.came(request, source)
            if follow:
                dialog.peer = source.party
                dialog.party = source_of(request, source.party, self.endpoint.peers)
            self.aim(dialog)
        return True

    def _try_later(self, transaction: ServerTransaction, now: float) -> None:
        """500 with a Retry-After of up to 10 s (§14.2, RFC 3311 §5.2)."""
        retry = round(self.endpoint.random() * 10)
        transaction.respond(500, now, headers=f"Retry-After: {retry}\r\n")

"""Logins of clients: what they are asked for, and what their credentials are worth (RFC 3261 §22).

Wrong ones are held against the address that they come from: who guesses is banned (`routing.access.bans`).
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from engine.log import Log, RateLimitedLog
from engine.sip.auth.digest_server import DigestServer, Verdict
from engine.sip.message.message import Request
from engine.sip.peers import accused, counted_source, source_of
from routing.access.peers import KnownPeers
from routing.directory.directory import Directory
from routing.directory.extensions import ExtensionRow

NO_LOGIN = Verdict(False, "", "missing")
# Credentials that another challenge would not mend: they were made for this request and are not good. Those with a
# nonce or an algorithm of yesterday (`stale`, `replayed`, `algorithm`) get a new one.
_WRONG = ("user", "password", "uri", "malformed")
_ASKED_MOST = 4096


@dataclass(slots=True, frozen=True)
class NonceSource:
    """What nonces are made with.

    Attributes:
        secret: Random; the same after a restart, and at all nodes, where a store keeps it.
        ahead: What is added to the monotonic clock (s), so that all who have the secret mean the same time.
    """

    secret: bytes
    ahead: float = 0.0

    @classmethod
    def random(cls) -> "NonceSource":
        """For a node without a store: its nonces end with it."""
        return cls(os.urandom(32))


class Logins:
    """Extensions that log in. `clock`: monotonic seconds."""

    def __init__(
        self,
        clock: Callable[[], float],
        log: Log,
        strangers: RateLimitedLog,
        directory: Directory,
        algorithms: Sequence[str],
        peers: KnownPeers,
        nonces: NonceSource | None = None,
    ) -> None:
        self._clock = clock
        self._nonces = nonces or NonceSource.random()
        self._since = self._nonce_time()
        self._peers = peers
        self._log = log
        self._strangers = strangers
        self._directory = directory
        self._digests: dict[str, DigestServer] = {}
        self._algorithms: Sequence[str] = ()
        # Requests that were challenged, by address and Call-ID, and their CSeq: retransmitted, they are once more.
        self._asked: dict[tuple[str, str], int] = {}
        self.set_algorithms(algorithms)

    def set_algorithms(self, algorithms: Sequence[str]) -> None:
        """What extensions are challenged with, in the order of preference."""
        if list(algorithms) != list(self._algorithms):
            self._algorithms = tuple(algorithms)
            self._digests = {}
            self._since = self._nonce_time()  # what has been used until now is forgotten

    def _realms(self) -> Iterator[tuple[str, DigestServer]]:
        """The realms that extensions have a password in."""
        for realm in tuple(self._directory.extensions.realms):
            digest = self._digests.get(realm)
            if digest is None:
                digest = self._digests[realm] = DigestServer(
                    realm, self._nonces.secret, algorithms=self._algorithms, since=self._since
                )
            yield realm, digest

    def _nonce_time(self) -> float:
        return self._clock() + self._nonces.ahead

    def judge(self, request: Request, host: str, call_id: str) -> Verdict:
        """What a guest's credentials are worth; those for another server's realm count as none. Good ones make their
        source a known peer, wrong ones count against it."""
        shown = request.lines("Authorization") if "Authorization" in request.first else ()
        found = NO_LOGIN
        if not shown:
            return found
        source = source_of(request, host, self._peers)
        for realm, digest in self._realms():
            verdict = digest.verify(
                shown,
                method=request.method,
                uri=request.uri_text,
                body=request.body,
                secret_of=partial(self._secret, realm),
                now=self._nonce_time(),
                source=counted_source(source),
            )
            if verdict.accepted:
                self._peers.phone_at(accused(request, source))
                return verdict._replace(realm=realm)
            if verdict.guess:
                # A request that is sent again is no further attempt.
                self._peers.accuse(accused(request, source), "credentials", hash(verdict.guess) or 1)
            if verdict.reason not in ("missing", "realm"):
                found = verdict
        # A nonce that has only grown old is no attempt at anything.
        if found.reason not in ("missing", "stale"):
            self._strangers.write(
                self._log.warning,
                "",
                "credentials refused",
                call_id=call_id,
                user=found.username,
                reason=found.reason,
                source=source,
            )
        return found

    def _secret(self, realm: str, username: str, algorithm: str) -> str | None:
        extension = self._directory.extension(username)
        if extension is None or not extension.active or extension.realm != realm:
            return None
        return extension.ha1.get(algorithm)

    def phone(self, judged: Verdict) -> ExtensionRow | None:
        """Whose credentials were found good; None where none were."""
        return self._directory.extension(judged.username) if judged.accepted else None

    def asks(self, request: Request, host: str, judged: Verdict) -> bool:
        """Whether a stranger is asked who it is: it may be a client that has not shown its credentials yet (RFC 3261
        §22.2). It is asked once a call; who then shows none, or wrong ones, is refused for good (§22.1)."""
        if not self._directory.extensions.realms or judged.reason in _WRONG:
            return False
        asked = (host, request.call_id)
        if asked in self._asked:
            return judged.stale or self._asked[asked] == request.cseq
        if len(self._asked) >= _ASKED_MOST:
            del self._asked[next(iter(self._asked))]
        self._asked[asked] = request.cseq
        return True

    def may_try(self, judged: Verdict) -> bool:
        """Whether another challenge may be of use: what was shown is not wrong, but missing or old."""
        return bool(self._directory.extensions.realms) and judged.reason not in _WRONG

    def challenges(self, request: Request, host: str, judged: Verdict) -> list[tuple[str, str]]:
        """The headers of a 401 to this request."""
        source = counted_source(source_of(request, host, self._peers))
        return [
            ("WWW-Authenticate", value)
            for _, digest in self._realms()
            for value in digest.challenges(self._nonce_time(), judged.stale, source)
        ]

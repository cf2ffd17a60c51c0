"""The resolver: from a URI to addresses (RFC 3263 §4), with NAPTR, SRV, A and AAAA."""

import asyncio
import random
import socket
from collections.abc import Generator, Iterable, Sequence
from itertools import chain, zip_longest
from typing import NamedTuple

from engine.sip.message.grammar import is_nobodys
from engine.sip.message.uri import SipUri
from engine.transport.addresses import family_of
from engine.transport.dns.lookups import Lookups, NameServers, Naptr, Question, Records, Srv
from engine.transport.listen_spec import DEFAULT_PORTS

# RFC 3263 §4.1 and RFC 7118 §5.3: NAPTR services, and where SRV records for a transport are.
_SERVICES = {"SIP+D2U": "udp", "SIP+D2T": "tcp", "SIPS+D2T": "tls", "SIP+D2W": "ws", "SIPS+D2W": "wss"}
_SRV_PREFIX = {
    "udp": "_sip._udp.",
    "tcp": "_sip._tcp.",
    "sctp": "_sip._sctp.",
    "tls": "_sips._tcp.",
    "ws": "_sip._ws.",
    "wss": "_sips._ws.",
}
_SECURE = ("tls", "wss")
_SERVERS = 16  # names of SRV records that are looked up for one URI
_TARGETS = 32


class Target(NamedTuple):
    """A place to try: transport ("udp", "tcp", ...), numeric address, port."""

    transport: str
    host: str
    port: int


class _Server(NamedTuple):
    transport: str
    name: str
    port: int


_Steps = Generator[Sequence[Question], Sequence[Records], list[Target]]
"""The procedure of RFC 3263, which asks for what it needs to know, a few questions at a time."""


class Resolver:
    """Turns URIs into targets, best first. Numeric hosts and names in the cache are answered at once.

    `lookups` are what it asks.
    """

    __slots__ = ("_families", "_random", "_timeout", "_transports", "lookups")

    def __init__(
        self,
        lookups: Lookups | None = None,
        *,
        nameservers: Sequence[tuple[str, int]] = (),
        transports: Sequence[str] = ("udp", "tcp"),
        families: Sequence[int] = (socket.AF_INET, socket.AF_INET6),
        rng: random.Random | None = None,
        timeout: float = 3.0,
    ) -> None:
        """`transports` and `families` are what the engine listens with, preferred first.

        `rng` draws by the weights of SRV records. `timeout` in seconds bounds one `resolve`. `nameservers` are
        (numeric address, port), by default the machine's; `lookups` replaces them altogether.
        """
        self.lookups = lookups or Lookups(NameServers(nameservers), timeout=timeout)
        self._transports = tuple(transports)
        self._families = tuple(families)
        self._random = rng or random.Random()
        self._timeout = timeout

    def cached(self, uri: SipUri, prefer: str = "") -> list[Target] | None:
        """The targets where they are known without asking anybody, else None; [] for a name known not to resolve.

        `prefer` is for requests too large for UDP (RFC 3261 §18.1.1): where the URI leaves the transport open, targets
        over `prefer` ("tcp") come first, and the others stay behind them for the fall-back.
        """
        host = uri.params.get("maddr") or uri.host_address
        if family_of(host):
            transport = _asked_for(uri) or _default_transport(uri)
            port = DEFAULT_PORTS.get(transport, 5060) if uri.port is None else uri.port
            return _preferring([Target(transport, host, port)], uri, prefer)
        name = _plain_name(host)
        if is_nobodys(name):
            return []
        steps = self._steps(uri, name)
        try:
            questions = next(steps)
            while True:
                answers = []
                for question in questions:
                    answer = self.lookups.known(question)
                    if answer is None:
                        steps.close()
                        return None
                    answers.append(answer)
                questions = steps.send(answers)
        except StopIteration as end:
            return _preferring(end.value, uri, prefer)

    async def resolve(self, uri: SipUri, prefer: str = "") -> list[Target]:
        """The targets, asking name servers where necessary; [] when there are none. See `cached` for `prefer`.

        Takes at most `timeout` seconds. A question without an answer does not spoil the answers to the others.
        """
        at_once = self.cached(uri, prefer)
        if at_once is not None:
            return at_once
        steps = self._steps(uri, _plain_name(uri.params.get("maddr") or uri.host_address))
        deadline = asyncio.get_running_loop().time() + self._timeout
        try:
            questions = next(steps)
            while True:
                questions = steps.send(await self._ask(questions, deadline))
        except StopIteration as end:
            return _preferring(end.value, uri, prefer)

    async def close(self) -> None:
        """Gives up what is being looked up; returns when no task is left."""
        await self.lookups.close()

    async def _ask(self, questions: Sequence[Question], deadline: float) -> list[Records]:
        answers = [self.lookups.known(question) for question in questions]
        if None in answers:
            # There are three rounds at most. None may take all the time: resolvers exist that never answer NAPTR.
            limit = min(deadline, asyncio.get_running_loop().time() + self._timeout * 0.4)
            asked = [asyncio.ensure_future(self.lookups.ask(question)) for question in questions]
            try:
                async with asyncio.timeout_at(limit):
                    await asyncio.wait(asked)
            except TimeoutError:
                pass
            finally:
                for future in asked:
                    future.cancel()
            answers = [future.result() if future.done() and not future.cancelled() else None for future in asked]
        return [answer or () for answer in answers]

    def _steps(self, uri: SipUri, name: str) -> _Steps:
        transport = _asked_for(uri)
        if uri.port is not None or self.lookups.in_hosts(name):
            transport = transport or _default_transport(uri)
            port = DEFAULT_PORTS.get(transport, 5060) if uri.port is None else uri.port
            return (yield from self._addresses([_Server(transport, name, port)]))
        if transport:
            asked = [transport]
        else:
            asked = [t for t in self._transports if uri.scheme != "sips" or t in _SECURE]
            asked = asked or [_default_transport(uri)]
        servers = yield from self._servers(name, asked, with_naptr=not transport)
        if servers is None:
            plain = transport or _default_transport(uri)
            servers = [_Server(plain, name, DEFAULT_PORTS.get(plain, 5060))]
        return (yield from self._addresses(servers))

    def _servers(
        self, name: str, transports: Sequence[str], with_naptr: bool
    ) -> Generator[Sequence[Question], Sequence[Records], list[_Server] | None]:
        """The servers that SRV records name, in the order to try them; None when the domain has no such records."""
        questions = [Question(f"{_SRV_PREFIX[t]}{name}", "SRV") for t in transports if t in _SRV_PREFIX]
        used = [t for t in transports if t in _SRV_PREFIX]
        if with_naptr:
            # Asked together with the SRV records that would come next without it: most domains have no NAPTR, and
            # the caller is waiting.
            naptr, *found = yield [Question(name, "NAPTR"), *questions]
            pointers = _supported(naptr, transports)
            if pointers:
                used = [transport for transport, _ in pointers]
                found = list((yield [Question(replacement, "SRV") for _, replacement in pointers]))
        else:
            found = list((yield questions)) if questions else []
        servers = [
            _Server(transport, record.target, record.port)
            for transport, records in zip(used, found, strict=True)
            for record in by_weight([r for r in records if isinstance(r, Srv)], self._random)
            if record.target
        ]
        return servers if any(found) else None

    def _addresses(self, servers: Sequence[_Server]) -> _Steps:
        servers = servers[:_SERVERS]
        kinds = ["AAAA" if family == socket.AF_INET6 else "A" for family in self._families]
        names = list(dict.fromkeys(server.name for server in servers if not family_of(server.name)))
        questions = [Question(name, kind) for name in names for kind in kinds]
        answers = (yield questions) if questions else ()
        by_name: dict[str, list[Records]] = {}
        for question, records in zip(questions, answers, strict=True):
            by_name.setdefault(question.name, []).append(records)
        targets = [
            Target(server.transport, str(address), server.port)
            for server in servers
            for address in ((server.name,) if family_of(server.name) else _interleaved(by_name[server.name]))
        ]
        return list(dict.fromkeys(targets))[:_TARGETS]


def by_weight(records: Iterable[Srv], rng: random.Random) -> list[Srv]:
    """SRV records in the order to try them: by priority, and drawn by weight within one (RFC 2782, "Weight")."""
    ordered: list[Srv] = []
    # Records without weight come first in the draw, which gives them their small chance.
    left = sorted(records, key=lambda record: (record.priority, record.weight > 0))
    while left:
        group = [record for record in left if record.priority == left[0].priority]
        left = left[len(group) :]
        while group:
            mark = rng.randint(0, sum(record.weight for record in group))
            for index, record in enumerate(group):
                mark -= record.weight
                if mark <= 0:
                    ordered.append(group.pop(index))
                    break
    return ordered


def _supported(naptr: Records, transports: Sequence[str]) -> list[tuple[str, str]]:
    records = sorted(record for record in naptr if isinstance(record, Naptr))
    return [
        (transport, record.replacement)
        for record in records
        if (transport := _SERVICES.get(record.service, "")) in transports and record.replacement
    ]


def _interleaved(families: Sequence[Records]) -> list[str | Srv | Naptr]:
    # RFC 8305 §4: one of each family in turn, so that a broken family costs one attempt and not all of them.
    return [address for address in chain.from_iterable(zip_longest(*families)) if address is not None]


def _plain_name(host: str) -> str:
    return host.lower().rstrip(".")


def _asked_for(uri: SipUri) -> str:
    transport = uri.transport.lower()
    # RFC 3261 §26.2.2: "sips" with transport=tcp is TLS over TCP; it never goes in the clear.
    if transport and uri.scheme == "sips":
        return "wss" if transport in ("ws", "wss") else "tls"
    return transport


def _default_transport(uri: SipUri) -> str:
    return "tls" if uri.scheme == "sips" else "udp"


def _preferring(targets: list[Target], uri: SipUri, prefer: str) -> list[Target]:
    if not prefer or uri.transport or uri.scheme == "sips":
        return targets
    preferred = [target for target in targets if target.transport == prefer]
    others = [target for target in targets if target.transport != prefer]
    # A domain that names no servers for it may still take it: RFC 3261 §18 has every element speak both.
    return (preferred or [target._replace(transport=prefer) for target in others]) + others

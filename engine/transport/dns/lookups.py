"""DNS lookups with a cache: one query for a question, however many wait for its answer."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import dns.asyncresolver
import dns.exception
import dns.name
import dns.nameserver
import dns.resolver

from engine.transport.addresses import canonical, family_of
from engine.transport.dns.hosts import read_hosts
from engine.transport.dns.sockets import DnsBackend

_CACHED = 4096
_IN_FLIGHT = 256
_RECORDS = 64  # taken from one answer: a zone with thousands must not become thousands of attempts
_FLOOR, _CEILING = 5.0, 3600.0
_NEGATIVE_CEILING = 60.0
_TROUBLE_SECONDS = 5.0
_STALE_SECONDS = 3600.0


class Question(NamedTuple):
    """A lower-cased name without a dot at its end, and "A", "AAAA", "SRV" or "NAPTR"."""

    name: str
    kind: str


class Srv(NamedTuple):
    """RFC 2782. `target` is "" where the record says that the service is not offered."""

    priority: int
    weight: int
    port: int
    target: str


class Naptr(NamedTuple):
    """RFC 3403 §4.1, only records with flag "s", which lead to SRV as RFC 3263 §4.1 uses them."""

    order: int
    preference: int
    service: str
    replacement: str


Records = tuple[str | Srv | Naptr, ...]
"""Addresses for A and AAAA. Empty: there are none, or no name server answered."""

Query = Callable[[Question, float], Awaitable[tuple[Records, float]]]
"""Asks a name server, for at most so many seconds: the records and their time to live. LookupError: none answered."""


class _Entry(NamedTuple):
    records: Records
    until: float
    expired: float  # when their own time to live ended, which for stale records is before `until`


class Lookups:
    """Answers from the hosts file, from the cache, from name servers; in that order.

    Times to live are kept between 5 seconds and an hour, "no such name" for at most a minute, and a name server that
    does not answer is left alone for 5 seconds; meanwhile records that ran out less than an hour ago are used again
    (RFC 8767), for a call to a peer that has not moved should not fail with the name server.

    `in_flight` are the questions that wait for an answer.
    """

    __slots__ = ("_cache", "_clock", "_hosts", "_query", "_timeout", "in_flight")

    def __init__(
        self,
        query: Query,
        *,
        hosts: Mapping[str, Sequence[str]] | None = None,
        timeout: float = 3.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`timeout` in seconds bounds one question; `hosts` maps lower-cased names (default: /etc/hosts, read now)."""
        self._query = query
        self._hosts = read_hosts() if hosts is None else hosts
        self._timeout = timeout
        self._clock = clock
        self._cache: dict[Question, _Entry] = {}
        self.in_flight: dict[Question, asyncio.Task[Records]] = {}

    @property
    def remembered(self) -> int:
        """How many answers the cache holds."""
        return len(self._cache)

    def in_hosts(self, name: str) -> bool:
        """True when the hosts file has addresses for it, so that no name server is asked about it."""
        return name in self._hosts

    def known(self, question: Question) -> Records | None:
        """The answer where it is known now; None when a name server has to be asked."""
        addresses = self._hosts.get(question.name)
        if addresses is not None:
            if question.kind not in ("A", "AAAA"):
                return ()
            return tuple(a for a in addresses if (":" in a) == (question.kind == "AAAA"))
        entry = self._cache.get(question)
        return entry.records if entry is not None and entry.until > self._clock() else None

    async def ask(self, question: Question) -> Records:
        """The answer, waiting for it where necessary. Never raises for a name server's sake."""
        records = self.known(question)
        if records is not None:
            return records
        task = self.in_flight.get(question)
        if task is None:
            if len(self.in_flight) >= _IN_FLIGHT:
                return ()
            task = asyncio.get_running_loop().create_task(self._look_up(question), name=f"look-up of {question.name}")
            self.in_flight[question] = task
            task.add_done_callback(lambda _: self.in_flight.pop(question, None))
        # Others may be waiting for the same answer: one caller who hangs up does not take it from them.
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Gives up whatever is being asked; returns when no task is left."""
        tasks = list(self.in_flight.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _look_up(self, question: Question) -> Records:
        try:
            records, ttl = await self._query(question, self._timeout)
        except LookupError:
            entry = self._in_trouble(question)
        else:
            records = records[:_RECORDS]
            end = self._clock() + min(max(ttl, _FLOOR), _CEILING if records else _NEGATIVE_CEILING)
            entry = _Entry(records, end, end)
        self._remember(question, entry)
        return entry.records

    def _in_trouble(self, question: Question) -> _Entry:
        now = self._clock()
        old = self._cache.get(question)
        if old is not None and old.records and now - old.expired < _STALE_SECONDS:
            return _Entry(old.records, now + _TROUBLE_SECONDS, old.expired)
        return _Entry((), now + _TROUBLE_SECONDS, now)

    def _remember(self, question: Question, entry: _Entry) -> None:
        self._cache.pop(question, None)
        if len(self._cache) >= _CACHED:
            del self._cache[next(iter(self._cache))]  # the one that was asked for the longest time ago
        self._cache[question] = entry


class NameServers:
    """The `Query` that asks real name servers over dnspython: those given, or the machine's (/etc/resolv.conf)."""

    __slots__ = ("_backend", "_resolver")

    def __init__(self, servers: Sequence[tuple[str, int]] = ()) -> None:
        """`servers` are numeric addresses with ports. The system's file is read now, once."""
        self._backend = DnsBackend()
        self._resolver = dns.asyncresolver.Resolver(configure=False)
        if servers:
            self._resolver.nameservers = [dns.nameserver.Do53Nameserver(host, port) for host, port in servers]
        else:
            with suppress(dns.exception.DNSException, OSError):
                self._resolver = dns.asyncresolver.Resolver()
        self._resolver.cache = None  # ours bounds the times to live and is shared by waiters
        # The name as it stands first, the search list after it: names of peers have dots more often than not.
        self._resolver.ndots = 1

    async def __call__(self, question: Question, timeout: float) -> tuple[Records, float]:  # noqa: ASYNC109
        """The records and their time to live in seconds; LookupError when no name server gave a usable answer."""
        resolver = self._resolver
        if not resolver.nameservers:
            raise LookupError("no name server is configured")
        # A lost datagram, or a server that is down, costs a fraction of the time: then it is the next one's turn.
        resolver.timeout = timeout * 0.15
        try:
            answer = await resolver.resolve(
                question.name,
                question.kind,
                lifetime=timeout,
                search=question.kind in ("A", "AAAA"),
                raise_on_no_answer=False,
                backend=self._backend,
            )
        except dns.resolver.NXDOMAIN as error:
            return (), _negative_ttl(error)
        except (dns.exception.DNSException, OSError, EOFError, ValueError) as error:
            raise LookupError(f"{question.name}: {error}") from None
        ttl = float(answer.chaining_result.minimum_ttl)
        return tuple(r for r in map(_record, answer.rrset or ()) if r is not None), ttl


def _negative_ttl(error: dns.resolver.NXDOMAIN) -> float:
    # RFC 2308 §5: the SOA that comes with the answer says for how long there will be no such name.
    responses: Any = error.kwargs.get("responses", {})
    try:
        return float(min(response.resolve_chaining().minimum_ttl for response in responses.values()))
    except (dns.exception.DNSException, ValueError):
        return _TROUBLE_SECONDS


def _record(data: Any) -> str | Srv | Naptr | None:
    match data.rdtype.name:
        case "A" | "AAAA":
            address = canonical(str(data.address))
            return address if family_of(address) else None
        case "SRV":
            return Srv(data.priority, data.weight, data.port, _name(data.target))
        case "NAPTR" if data.flags.lower() == b"s":
            service = data.service.decode("ascii", "replace").upper()
            return Naptr(data.order, data.preference, service, _name(data.replacement))
        case _:
            return None


def _name(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower() if name != dns.name.root else ""

"""Location of SIP servers: from a URI to flows, by the targets of RFC 3263 and the listener that reaches each."""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from socket import AF_INET, AF_INET6
from typing import Any, Protocol

from engine.sip.flow import Flow, Located
from engine.sip.message.grammar import ParseError
from engine.sip.message.uri import SipUri, parse_uri
from engine.transport.addresses import family_of, is_one_host
from engine.transport.dns.resolver import Resolver, Target
from engine.transport.listeners import Listeners

_KNOWN_MOST = 4096


class ErrorLog(Protocol):
    """A log for exceptions in callbacks."""

    def error(self, event: str, **values: Any) -> Any: ...


class Locator:
    """Finds flows: at once for what is numeric or known, else when the name servers have answered."""

    def __init__(self, listeners: Listeners, resolver: Resolver, log: ErrorLog) -> None:
        self._listeners = listeners
        self._resolver = resolver
        self._log = log
        self._known: dict[str, list[Flow]] = {}  # of numeric URIs, which do not change
        self._asking: set[asyncio.Task[None]] = set()

    def locate(self, uri: str, done: Located) -> None:
        """Tell `done` the flows of `uri`, best first, or why there are none."""
        flows = self._known.get(uri)
        if flows:
            done(flows)
            return
        try:
            parsed = parse_uri(uri)
        except ParseError:
            parsed = None
        if not isinstance(parsed, SipUri):
            done([], "not a SIP URI")
            return
        asked = parsed.transport.lower()
        if parsed.scheme == "sips" and asked not in ("ws", "wss"):
            asked = "tls"
        if asked in ("ws", "wss"):
            done([], "a WebSocket peer is reached by its own connection alone")
            return
        if asked and not any(transport.name == asked for transport in self._listeners):
            done([], f"no listener for {asked}")
            return
        targets = self._resolver.cached(parsed)
        if targets is None:
            task = asyncio.get_running_loop().create_task(self._ask(parsed, done), name=f"look-up of {parsed}")
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)
            return
        flows = self._flows(targets, _looked_up(parsed))
        if family_of(parsed.params.get("maddr") or parsed.host_address):
            if len(self._known) >= _KNOWN_MOST:
                self._known.clear()
            self._known[uri] = flows
        done(flows, self._why_none(targets))

    async def close(self) -> None:
        """Give up all look-ups; their callbacks are not called."""
        asking = tuple(self._asking)
        for task in asking:
            task.cancel()
        if asking:
            await asyncio.wait(asking)

    async def _ask(self, uri: SipUri, done: Located) -> None:
        targets: list[Target] = []
        with suppress(OSError):
            targets = await self._resolver.resolve(uri)
        try:
            done(self._flows(targets, _looked_up(uri)), self._why_none(targets))
        except Exception:
            self._log.error("request not sent", uri=str(uri), exc_info=True)

    def _flows(self, targets: Iterable[Target], domain: str) -> list[Flow]:
        flows = []
        for target in targets:
            transport = self._listeners.select(target.transport, target.host)
            if transport is not None and is_one_host(target.host):
                flows.append(Flow(transport, target.host, target.port, domain=domain))
        return flows

    def _why_none(self, targets: Sequence[Target]) -> str:
        """Why no listener reaches any of these, where none does."""
        families = {family_of(transport.local[0]) for transport in self._listeners}
        if not targets:
            asked = {AF_INET: " to an IPv4 address", AF_INET6: " to an IPv6 address"}
            only = [words for family, words in asked.items() if families == {family}]
            return "name does not resolve" + "".join(only)
        target = targets[0]
        if not is_one_host(target.host):
            return f"{target.host} is no host's address"
        family = "IPv6" if ":" in target.host else "IPv4"
        if family_of(target.host) not in families:
            return f"no {family} listener"
        if any(transport.name == target.transport for transport in self._listeners):
            return f"no {family} listener for {target.transport}"
        return f"no listener for {target.transport}"


def _looked_up(uri: SipUri) -> str:
    """The name that a URI leads to its targets by (RFC 3263 §4); "" of a numeric one."""
    host = uri.params.get("maddr") or uri.host_address
    return "" if family_of(host) else host.lower().rstrip(".")

"""Addresses that providers' names stand for, looked up now and then: INVITEs from there are that trunk's."""

import asyncio
from uuid import UUID

from engine.log import Log
from engine.sip.message.grammar import ParseError
from engine.sip.message.uri import SipUri, parse_uri
from engine.transport.addresses import family_of
from engine.transport.dns.resolver import Resolver
from engine.worker import Worker
from routing.directory.directory import Directory
from routing.directory.trunk import destination
from routing.models.provider import Provider

EVERY = 60.0  # s; names are cached by their TTL below
AT_ONCE = 16  # names: a few that nobody answers for hold up none of the others


class TrunkAddresses:
    """A worker that keeps `Directory.set_resolved_addresses` current."""

    def __init__(self, directory: Directory, resolver: Resolver, log: Log) -> None:
        self._directory = directory
        self._resolver = resolver
        self._log = log
        self._current = asyncio.Event()
        self._current.set()
        self._hostnames: dict[UUID, str] = {}  # what was looked up last, by provider
        self._unresolved: set[str] = set()  # logged once, until they resolve
        self._worker = Worker("trunk addresses", self._turn, every=EVERY)

    def start(self) -> None:
        """Begin looking names up."""
        self._worker.start()

    def look_again(self) -> None:
        """The providers have changed. What an old name stood for is no trunk's any more."""
        hostnames = {provider.id: provider.hostname for provider in self._directory.providers}
        for provider_id, hostname in self._hostnames.items():
            if hostnames.get(provider_id) != hostname:
                self._directory.set_resolved_addresses(provider_id, ())
        self._worker.wake()
        known = self._hostnames
        if any(_name_of(found) and found.hostname != known.get(found.id) for found in self._directory.providers):
            self._current.clear()

    async def settled(self) -> None:
        """Wait until the names of providers that are new have been looked up, whatever came of it."""
        await self._current.wait()

    async def close(self) -> None:
        """End."""
        await self._worker.close()

    async def _turn(self) -> None:
        await self._look_up_all()
        if not self._worker.woken:
            self._current.set()

    async def _look_up_all(self) -> None:
        named = [(provider, uri) for provider in self._directory.providers if (uri := _name_of(provider)) is not None]
        self._hostnames = {provider.id: provider.hostname for provider, _ in named}
        self._unresolved &= set(self._hostnames.values())
        for start in range(0, len(named), AT_ONCE):
            async with asyncio.TaskGroup() as group:
                for provider, uri in named[start : start + AT_ONCE]:
                    group.create_task(self._look_up(provider, uri))

    async def _look_up(self, provider: Provider, uri: SipUri) -> None:
        hostname = provider.hostname
        addresses = {target.host for target in await self._resolver.resolve(uri)}
        current = self._directory.provider(provider.id)
        if current is None or current.hostname != hostname:
            return  # a reload was quicker
        if addresses:
            self._directory.set_resolved_addresses(provider.id, sorted(addresses))
            self._unresolved.discard(hostname)
        elif hostname not in self._unresolved:
            self._unresolved.add(hostname)
            self._log.warning("provider's name does not resolve", provider=provider.name, hostname=hostname)


def _name_of(provider: Provider) -> SipUri | None:
    """The URI that the provider is dialled at, None for numeric addresses: those are known without asking."""
    try:
        uri = parse_uri(destination(provider))
    except ParseError:
        return None
    return uri if isinstance(uri, SipUri) and not family_of(uri.host_address) else None

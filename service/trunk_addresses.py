"""Which addresses a provider's name stands for, looked up now and then: INVITEs from there are that trunk's."""

import asyncio
from uuid import UUID

from engine.sip.grammar import ParseError
from engine.sip.uri import SipUri, parse_uri
from engine.transport.addresses import family_of
from engine.transport.resolver import Resolver
from flows.contracts import Log
from routing.directory import Directory

EVERY = 60.0  # s; names are cached by their TTL below


class TrunkAddresses:
    """One task that keeps `Directory.trunk_addresses` current."""

    def __init__(self, directory: Directory, resolver: Resolver, log: Log) -> None:
        self._directory = directory
        self._resolver = resolver
        self._log = log
        self._again = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin looking names up."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="trunk addresses")

    def look_again(self) -> None:
        """The providers have changed."""
        self._again.set()

    async def close(self) -> None:
        """End the task."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))

    async def _run(self) -> None:
        while True:
            for provider in self._directory.providers:
                await self._look_up(provider.id, provider.hostname, provider.name)
            self._again.clear()
            try:
                async with asyncio.timeout(EVERY):
                    await self._again.wait()
            except TimeoutError:
                continue

    async def _look_up(self, provider_id: UUID, hostname: str, name: str) -> None:
        try:
            uri = parse_uri(f"sip:{hostname}")
        except ParseError:
            return
        if not isinstance(uri, SipUri) or family_of(uri.host_address):
            return  # numeric addresses are known without asking
        targets = await self._resolver.resolve(uri)
        if targets:
            self._directory.trunk_addresses(provider_id, {target.host for target in targets})
        else:
            self._log.warning("provider's name does not resolve", provider=name, hostname=hostname)

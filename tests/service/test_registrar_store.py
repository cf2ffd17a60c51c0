"""Registrations in the store: back after a restart, with the nonces of before, and told of as events."""

import asyncio
import re
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from engine.sip.auth.digest import ha1_of_each
from engine.sip.auth.digest_client import ClientSession, choose, parse_challenges
from engine.sip.message.message import Response
from engine.sip.message.parsing import parse
from routing.directory.extensions import write_ha1
from routing.identifiers import NIL
from service.phones.binding_store import BindingStore
from store.database import tables
from store.database.errors import StoreError
from store.rows import insert, soft_delete
from tests.service.conftest import until

Run = Callable[..., None]
EXTENSIONS = [{"name": "alice", "password": "s3cret"}, {"name": "bob", "password": "b0b"}]
HOST = "127.0.0.12"


class Registering:
    """A phone on a socket of its own, by UDP or TCP."""

    def __init__(self, bench: Any, engine: Any, transport: str = "udp", name: str = "alice", host: str = HOST) -> None:
        self.engine, self.transport, self.name = engine, transport, name
        kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
        self.socket = socket.socket(socket.AF_INET, kind)
        self.socket.setblocking(False)
        self.socket.bind((host, 0))
        self.number = 0
        self.session: ClientSession | None = None
        bench.at_end(self.close)

    async def close(self) -> None:
        self.socket.close()

    @property
    def contact(self) -> str:
        host, port = self.socket.getsockname()
        return f"<sip:{self.name}@{host}:{port}>"

    async def connect(self) -> None:
        where, _, port = self.engine.at(self.transport).rpartition(":")
        await asyncio.get_running_loop().sock_connect(self.socket, (where, int(port)))

    async def register(self, expires: int = 3600, *, method: str = "REGISTER") -> Response:
        """One request, with the credentials that it has."""
        self.number += 1
        host, port = self.socket.getsockname()
        line = ""
        if self.session is not None:
            line = f"Authorization: {self.session.authorization(method, 'sip:127.0.0.1', 'c0ffee')}\r\n"
        text = (
            f"{method} sip:127.0.0.1 SIP/2.0\r\n"
            f"Via: SIP/2.0/{self.transport.upper()} {host}:{port};branch=z9hG4bK{self.name}{port}x{self.number}\r\n"
            f"Max-Forwards: 70\r\nFrom: <sip:{self.name}@127.0.0.1>;tag=1\r\nTo: <sip:{self.name}@127.0.0.1>\r\n"
            f"Call-ID: {self.name}{port}\r\nCSeq: {self.number} {method}\r\nContact: {self.contact}\r\n"
            f"Expires: {expires}\r\n{line}Content-Length: 0\r\n\r\n"
        )
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(self.socket, text.encode())
        async with asyncio.timeout(20):
            response = parse(await loop.sock_recv(self.socket, 65535))
        assert isinstance(response, Response)
        if response.status == 401:
            challenge = choose(parse_challenges(response.lines("WWW-Authenticate")))
            assert challenge is not None
            self.session = ClientSession(challenge, self.name, "b0b" if self.name == "bob" else "s3cret")
        return response

    async def up(self) -> "Registering":
        """Registered, over a new connection."""
        await self.connect()
        assert (await self.register()).status == 401
        assert (await self.register()).status == 200
        return self


async def stored(node: Any) -> list[Any]:
    async with node.storage.store.read() as connection:
        query = sa.select(tables.bindings).order_by(tables.bindings.c.extension)
        return list((await connection.execute(query)).mappings())


async def events(node: Any) -> list[Any]:
    async with node.storage.store.read() as connection:
        query = sa.select(tables.events).where(tables.events.c.type.like("extension%")).order_by(tables.events.c.id)
        return list((await connection.execute(query)).mappings())


def known(node: Any, name: str = "alice") -> list[str]:
    return [binding.contact for binding in node.location.bindings(name)]


def fixed(engine: Any, transport: str = "udp") -> int:
    return int(engine.at(transport).rpartition(":")[2])


async def until_stored(bench: Any, node: Any, count: int) -> list[Any]:
    await until(lambda: len(node.location) == count, f"{count} bindings")
    # Behind a turn that is under way, another writes what that has not.
    await node._binding_store._worker.close()
    await node._binding_store.write()
    node._binding_store.start()
    return await stored(node)


async def started(bench: Any, store_url: str, **more: Any) -> Any:
    listen = ["udp://127.0.0.1:0", "tcp://127.0.0.1:0"]
    sections: dict[str, Any] = {"sip": {"listen": listen}, "extensions": EXTENSIONS, "node_name": "here"}
    return await bench.engine(store=store_url, **(sections | more))


async def restarted(bench: Any, first: Any, store_url: str, **more: Any) -> Any:
    """An engine at the same place, on the same store, after the first has ended."""
    listen = [f"udp://127.0.0.1:{fixed(first)}", f"tcp://127.0.0.1:{fixed(first, 'tcp')}"]
    await first.node.close()
    return await started(bench, store_url, sip={"listen": listen}, **more)


def test_a_registration_is_back_after_a_restart(run: Run, store_url: str) -> None:
    async def test(bench: Any) -> None:
        first = await started(bench, store_url)
        phone = await Registering(bench, first).up()
        (row,) = await until_stored(bench, first.node, 1)
        assert (row["extension"], row["contact"], row["node"]) == ("alice", phone.contact, "here")
        (before,) = first.node.location.bindings("alice")
        second = await restarted(bench, first, store_url)
        (after,) = second.node.location.bindings("alice")
        for field in ("id", "contact", "expires_place", "uri", "q", "call_id", "cseq", "path", "source", "natted"):
            assert getattr(after, field) == getattr(before, field), field
        assert abs(after.expires_at - before.expires_at) < 30
        assert (after.flow.host, after.flow.port, after.flow.transport.name) == (
            HOST,
            phone.socket.getsockname()[1],
            "udp",
        )
        # The nonce of before is good: no 401, and the same binding.
        assert (await phone.register()).status == 200
        assert [binding.id for binding in second.node.location.bindings("alice")] == [before.id]
        assert second.node.registrar.results["challenged"] == 0
        assert (await phone.register(0)).status == 200
        await until_stored(bench, second.node, 0)

    run(test)


def test_a_connection_is_gone_after_a_restart_but_its_address_is_known(run: Run, store_url: str) -> None:
    async def test(bench: Any) -> None:
        first = await started(bench, store_url)
        await Registering(bench, first, "tcp").up()
        await until_stored(bench, first.node, 1)
        assert first.node.location.transports == {"tcp": 1}
        second = await restarted(bench, first, store_url)
        assert known(second.node) == []
        assert second.node.peers.kind(HOST) == "phone"
        await until_stored(bench, second.node, 0)

    run(test)


def test_a_registration_ends_with_its_connection(run: Run, store_url: str) -> None:
    async def test(bench: Any) -> None:
        engine = await started(bench, store_url)
        phone = await Registering(bench, engine, "tcp").up()
        await until_stored(bench, engine.node, 1)
        phone.socket.close()
        await until_stored(bench, engine.node, 0)
        assert known(engine.node) == []
        last = (await events(engine.node))[-1]
        assert (last["type"], last["data"]["cause"]) == ("extension_expired", "connection lost")

    run(test)


def test_events_say_who_came_and_went_and_refreshes_are_none(run: Run, store_url: str) -> None:
    async def test(bench: Any) -> None:
        engine = await started(bench, store_url)
        phone = await Registering(bench, engine).up()
        await until_stored(bench, engine.node, 1)
        assert (await phone.register()).status == 200
        assert (await phone.register(0)).status == 200
        await until_stored(bench, engine.node, 0)
        came, went = await events(engine.node)
        assert (came["type"], went["type"]) == ("extension_registered", "extension_unregistered")
        extension = engine.node.directory.extension("alice")
        assert (came["data"]["id"], came["data"]["name"]) == (str(extension.id), "alice")
        contact = came["data"]["contact"]
        assert (contact["contact"], contact["source"], contact["transport"]) == (phone.contact, HOST, "udp")
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", contact["expires_at"])

    run(test)


def test_an_extension_that_is_gone_is_not_restored(run: Run, store_url: str) -> None:
    async def test(bench: Any) -> None:
        first = await started(bench, store_url)
        await Registering(bench, first).up()
        await Registering(bench, first, name="bob").up()
        await until_stored(bench, first.node, 2)
        second = await restarted(bench, first, store_url, extensions=EXTENSIONS[1:])
        assert (known(second.node), len(known(second.node, "bob"))) == ([], 1)

    run(test)


def test_who_has_the_name_of_one_that_is_gone_has_not_its_phones_after_a_restart(run: Run, store_url: str) -> None:
    """Another node has taken both changes meanwhile: none of them is news here."""

    async def test(bench: Any) -> None:
        first = await started(bench, store_url, extensions=[])
        store, rows = first.node.storage.store, tables.extensions
        values = dict.fromkeys(("display_name", "caller_id", "mailbox", "declared_in", "detail"), "")
        values |= {"realm": "trunkline", "caller_ids": [], "max_calls": 4, "max_contacts": 10, "status": "active"}
        values |= {"customer_id": UUID(int=1), "call_flow_id": NIL}
        for name, password in (("alice", "s3cret"), ("bob", "b0b")):
            ha1 = store.vault.seal(write_ha1(ha1_of_each(name, "trunkline", password)))
            async with store.write() as transaction:
                row = await insert(transaction, rows, values | {"name": name, "ha1": ha1})
                transaction.changed("extension", row["id"], name)
        await until(lambda: first.node.directory.extension("bob") is not None, "the extensions")
        await Registering(bench, first).up()
        await Registering(bench, first, name="bob").up()
        await until_stored(bench, first.node, 2)
        await first.node.storage.feed.close()  # it hears of nothing any more, as when it is down
        async with store.write() as transaction:
            gone = (await transaction.execute(sa.select(rows).where(rows.c.name == "alice"))).mappings().one()
            await soft_delete(transaction, rows, gone["id"])
        async with store.write() as transaction:
            await insert(transaction, rows, values | {"name": "alice", "ha1": gone["ha1"], "customer_id": UUID(int=2)})
        second = await restarted(bench, first, store_url, extensions=[])
        assert second.node.directory.extension("alice").customer_id == UUID(int=2)
        assert (known(second.node), len(known(second.node, "bob"))) == ([], 1)
        assert [row["extension"] for row in await until_stored(bench, second.node, 1)] == ["bob"]

    run(test)


def test_what_cannot_be_written_is_written_later(run: Run, store_url: str, monkeypatch: Any) -> None:
    async def test(bench: Any) -> None:
        engine = await started(bench, store_url)
        keeper: BindingStore = engine.node._binding_store
        await keeper._worker.close()  # its turns are taken here
        genuine = engine.node.storage.store.write

        def broken(*_given: Any, **_named: Any) -> Any:
            raise StoreError("no disk")

        phone, other = await Registering(bench, engine).up(), await Registering(bench, engine, name="bob").up()
        monkeypatch.setattr(engine.node.storage.store, "write", broken)
        with suppress(StoreError):
            await keeper.write()
        assert (await phone.register(0)).status == 200  # what comes meanwhile goes before
        assert (await other.register()).status == 200
        with suppress(StoreError):
            await keeper.write()
        monkeypatch.setattr(engine.node.storage.store, "write", genuine)
        await keeper.write()
        assert [row["extension"] for row in await stored(engine.node)] == ["bob"]
        assert [event["type"].removeprefix("extension_") for event in await events(engine.node)] == [
            "registered",
            "registered",
            "unregistered",
        ]

    run(test)


def test_a_call_after_a_restart_waits_for_a_phone_that_was_connected(run: Run, store_url: str) -> None:
    async def test(bench: Any) -> None:
        first = await started(bench, store_url)
        await Registering(bench, first, "tcp").up()
        await Registering(bench, first, name="bob").up()
        await until_stored(bench, first.node, 2)
        second = await restarted(bench, first, store_url)
        contacts = second.node.contacts
        assert not await contacts.returned("bob", 20)  # he is there
        waiting = asyncio.ensure_future(contacts.returned("alice", 20))
        await asyncio.sleep(0)
        assert not waiting.done()
        await Registering(bench, second, "tcp").up()
        assert await waiting
        assert not await contacts.returned("alice", 20)  # once

    run(test)


def test_a_register_is_answered_when_it_is_written_and_where_it_cannot_be_too(
    run: Run, store_url: str, monkeypatch: Any
) -> None:
    async def test(bench: Any) -> None:
        engine = await started(bench, store_url)
        phone = Registering(bench, engine)
        await phone.connect()
        await phone.register()
        kept, written = engine.node._binding_store, asyncio.Event()
        write = kept._write

        async def slow() -> None:
            await written.wait()
            await write()

        monkeypatch.setattr(kept, "_write", slow)
        answer = asyncio.ensure_future(phone.register())
        await until(lambda: len(engine.node.location) == 1, "a binding")
        await until(lambda: not kept._waiting, "a turn of the writer")
        assert not answer.done() and not await stored(engine.node)
        written.set()
        assert (await answer).status == 200
        assert len(await stored(engine.node)) == 1

        async def broken() -> None:
            raise StoreError("no disk")

        monkeypatch.setattr(kept, "_write", broken)
        assert (await phone.register()).status == 200
        assert (await phone.register()).status == 200  # at once: nothing is written for now

    run(test)

"""The API by HTTPS."""

import asyncio
import shutil
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from fastapi import FastAPI, Request
from structlog.testing import capture_logs

from config.faults import ConfigurationError
from config.loading import load
from engine.transport.certificates import CertificateFiles, Certificates, ServerTls
from service.certificates import CertificateReader
from service.node import Node
from service.rest import tls
from service.rest.server import ApiServer
from tests.certificates import Authority, Files
from tests.network import reserved_port

WAIT = 20.0


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def trusting(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(authority.ca))


def app() -> FastAPI:
    made = FastAPI()

    @made.get("/where")
    async def where(request: Request) -> str:
        return str(request.url)

    return made


class World:
    def __init__(self, authority: Authority, log: Any) -> None:
        self.authority = authority
        self.files = authority.issue("127.0.0.1", file="api")
        pair = CertificateFiles(self.files.certificate, self.files.key)
        self.reader = CertificateReader(Certificates(ServerTls(certificates=(pair,))), "api.tls", log)
        self.server = ApiServer(app(), "127.0.0.1:0", certificates=self.reader)

    async def shown(self) -> tuple[tuple[str, str], ...]:
        """The names in the certificate that a new connection is shown."""
        context = trusting(self.authority)
        context.check_hostname = False
        _, writer = await asyncio.open_connection(*self.server.address, ssl=context)
        names: tuple[tuple[str, str], ...] = writer.get_extra_info("peercert")["subjectAltName"]
        writer.close()
        return names

    def replace(self, files: Files) -> None:
        shutil.copy(files.certificate, self.files.certificate)
        shutil.copy(files.key, self.files.key)


@pytest.fixture
async def world(authority: Authority) -> AsyncIterator[World]:
    made = World(authority, structlog.get_logger())
    await made.server.start()
    yield made
    await made.server.close()


async def test_it_is_https_and_says_so(world: World) -> None:
    assert world.server.url.startswith("https://127.0.0.1:")
    async with httpx.AsyncClient(verify=trusting(world.authority)) as client:
        answer = await client.get(f"{world.server.url}/where")
        assert answer.json() == f"{world.server.url}/where"
    with pytest.raises(httpx.ConnectError):
        await httpx.AsyncClient().get(f"{world.server.url}/where")  # whose CA it is not
    with pytest.raises(httpx.HTTPError):
        await httpx.AsyncClient().get(world.server.url.replace("https", "http"))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_old_versions_of_tls_are_not_spoken(world: World) -> None:
    context = trusting(world.authority)
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection(*world.server.address, ssl=context)


async def test_curl_trusts_the_certificate_file_itself(world: World, tmp_path: Path) -> None:
    world.replace(Authority(tmp_path).issue("127.0.0.1", common="api", file="own", self_signed=True))
    await world.server.look()
    curl = shutil.which("curl")
    assert curl is not None
    arguments = (curl, "-sS", "--cacert", str(world.files.certificate), f"{world.server.url}/where")
    process = await asyncio.create_subprocess_exec(*arguments, stdout=-1, stderr=-1)
    out, problem = await process.communicate()
    assert (out.decode(), problem) == (f'"{world.server.url}/where"', b"")


async def test_a_new_certificate_is_shown_to_new_connections(world: World) -> None:
    async with httpx.AsyncClient(verify=trusting(world.authority)) as client:
        await client.get(f"{world.server.url}/where")
        world.replace(world.authority.issue("127.0.0.1", "new.example", file="next"))
        with capture_logs() as lines:
            await world.server.look()
            await world.server.look()
        assert [line["event"] for line in lines] == ["certificate read"] and "new.example" in lines[0]["names"]
        assert await world.shown() == (("IP Address", "127.0.0.1"), ("DNS", "new.example"))
        assert (await client.get(f"{world.server.url}/where")).status_code == 200  # the connection that was up


async def test_a_bad_file_leaves_the_old_certificate_and_is_said_once(world: World) -> None:
    world.files.certificate.write_text("nothing")
    with capture_logs() as lines:
        await world.server.look()
        await world.server.look()
    assert [line["log_level"] for line in lines] == ["error"] and "no certificate in PEM" in lines[0]["problem"]
    assert await world.shown() == (("IP Address", "127.0.0.1"),)


async def test_silent_clients_wait_for_nothing_and_give_way(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls, "MOST_HANDSHAKES", 3)
    silent = [await asyncio.open_connection(*world.server.address) for _ in range(5)]
    async with asyncio.timeout(WAIT):
        for reader, _ in silent[:2]:
            assert await _ended(reader)
        assert await world.shown()  # in the place of a third
        assert await _ended(silent[2][0])
    handshakes = world.server._server.handshakes
    assert handshakes is not None and len(handshakes) <= 3
    for _, writer in silent:
        writer.close()


async def test_a_handshake_has_its_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls, "HANDSHAKE_WITHIN", 0.05)
    reader, writer = await asyncio.open_connection(*world.server.address)
    async with asyncio.timeout(WAIT):
        assert await _ended(reader)
    writer.close()


async def test_who_speaks_no_tls_is_sent_away(world: World) -> None:
    reader, writer = await asyncio.open_connection(*world.server.address)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    async with asyncio.timeout(WAIT):
        assert await _ended(reader)
    writer.close()


async def _ended(reader: asyncio.StreamReader) -> bool:
    try:
        return b"HTTP" not in await reader.read()
    except ConnectionError:
        return True


# ---- the configuration


def written(folder: Path, api: str) -> Path:
    path = folder / "trunkline.yaml"
    path.write_text(f'api: {{listen: "127.0.0.1:0", {api}}}\nstore: ":memory:"\n')
    return path


@pytest.mark.parametrize(
    ("api", "words"),
    [
        ("tls: {certificate: none.pem, key: api.key}", "none.pem: No such file or directory"),
        ("tls: {certificate: api.pem, key: none.key}", "none.key: No such file or directory"),
        ("tls: {certificate: api.pem, key: other.key}", "other.key: is not the key of"),
        ("tls: {certificate: api.key, key: api.key}", "no certificate in PEM"),
        ("tls: {certificate: api.pem}", "has no key; write both"),
        ("tls: {key: api.key}", "has no certificate; write both"),
    ],
)
def test_what_is_wrong_with_the_files_is_said(authority: Authority, tmp_path: Path, api: str, words: str) -> None:
    authority.issue("127.0.0.1", file="api")
    authority.issue("127.0.0.1", file="other")
    with pytest.raises(ConfigurationError) as caught:
        load(written(tmp_path, api), {}, certificates=True)
    (fault,) = caught.value.faults
    assert words in str(fault) and str(fault).startswith(f"{tmp_path}/trunkline.yaml:1")


async def test_a_whole_node_reads_the_certificate_again_at_a_reload(authority: Authority, tmp_path: Path) -> None:
    files = authority.issue("127.0.0.1", file="api")
    path = written(tmp_path, "tls: {certificate: api.pem, key: api.key}")
    path.write_text(path.read_text() + f'sip: {{listen: ["udp://127.0.0.1:{reserved_port()}"]}}\n')
    node = Node(load(path, {}))
    await node.start()
    try:
        assert node.server is not None
        async with httpx.AsyncClient(verify=trusting(authority)) as client:
            assert (await client.get(f"{node.server.url}/healthz")).status_code == 200
        new = authority.issue("127.0.0.1", file="next")
        shutil.copy(new.certificate, files.certificate)
        shutil.copy(new.key, files.key)
        with capture_logs() as lines:
            await node.reload(load(path, {}))
        assert "certificate read" in [line["event"] for line in lines]
        files.key.write_text("nothing")
        with capture_logs() as lines:
            await node.reload(load(path, {}))  # as with sip.tls: the rest of the file counts
        assert "certificate not read: the old one is shown" in [line["event"] for line in lines]
        async with httpx.AsyncClient(verify=trusting(authority)) as client:
            assert (await client.get(f"{node.server.url}/healthz")).status_code == 200
    finally:
        await node.close()


def test_no_byte_of_a_handshake_is_lost_under_uvloop(authority: Authority) -> None:
    """libuv may read a connection's first bytes before whoever has accepted it had a turn."""
    uvloop = pytest.importorskip("uvloop")

    async def connect() -> int:
        made = World(authority, structlog.get_logger())
        await made.server.start()
        try:
            async with asyncio.timeout(WAIT):
                return len(await asyncio.gather(*(made.shown() for _ in range(50))))
        finally:
            await made.server.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(connect()) == 50

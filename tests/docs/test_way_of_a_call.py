"""The way of a call through the files, as docs/architecture.md tells it, is the way that one really takes."""

import asyncio
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import yaml

from config.loading import load
from service.node import Node
from tests.docs.test_documents import ROOT, code, table
from tests.simulation.peer import OFFER

PAGE = ROOT / "docs" / "architecture.md"
MAX_FILES = 22
PACKAGES = tuple(f"{ROOT}/{name}/" for name in ("engine", "routing", "flows", "store", "api", "config", "service"))


class Peer(asyncio.DatagramProtocol):
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[bytes] = asyncio.Queue()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.heard.put_nowait(data)


def invite(number: int, host: str, port: int) -> bytes:
    head = (
        f"INVITE sip:+15551234567@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP {host}:{port};branch=z9hG4bK{number}\r\n"
        f"Max-Forwards: 70\r\nFrom: <sip:a@x>;tag={number}\r\nTo: <sip:b@y>\r\nCall-ID: {number}\r\nCSeq: 1 INVITE\r\n"
        f"Contact: <sip:a@{host}:{port}>\r\nContent-Type: application/sdp\r\nContent-Length: {len(OFFER)}\r\n\r\n"
    )
    return head.encode() + OFFER


async def files_on_the_way(folder: Path) -> list[str]:
    """The project's files in the order in which a call enters them, from the caller's INVITE to the provider's."""
    loop = asyncio.get_running_loop()
    phone, trunk = Peer(), Peer()
    calling, _ = await loop.create_datagram_endpoint(lambda: phone, local_addr=("127.0.0.5", 0))
    called, _ = await loop.create_datagram_endpoint(lambda: trunk, local_addr=("127.0.0.9", 0))
    dialled = {"type": "tel", "target": "+821012345678"}
    path = folder / "trunkline.yaml"
    sections: dict[str, Any] = {
        "log": {"level": "error"},
        "api": {"listen": ""},
        "store": ":memory:",
        "sip": {"listen": ["udp://127.0.0.1:0"]},
        "providers": [{"name": "carrier", "hostname": f"127.0.0.9:{called.get_extra_info('sockname')[1]}"}],
        "routes": [{"target": "all", "provider": "carrier"}],
        "numbers": [{"number": "+15551234567", "call_flow": "f"}],
        "flows": [{"name": "f", "actions": [{"type": "connect", "option": {"destinations": [dialled]}}]}],
    }
    path.write_text(yaml.safe_dump(sections), encoding="utf-8")
    node = Node(load(path, environ={}))
    await node.start()
    entered: dict[str, None] = {}

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(PACKAGES):
            entered.setdefault(str(Path(frame.f_code.co_filename).relative_to(ROOT)))

    try:
        engine = next(iter(node.agent.listeners)).local
        for number in (1, 2):  # what the first call imports and remembers is not on the way of the second
            if number == 2:
                sys.setprofile(note)
            calling.sendto(invite(number, *calling.get_extra_info("sockname")), engine)
            while b"INVITE" not in (await asyncio.wait_for(trunk.heard.get(), 20))[:6]:
                pass
            sys.setprofile(None)
    finally:
        sys.setprofile(None)
        await node.close()
        calling.close()
        called.close()
    return list(entered)


def test_a_call_passes_the_files_of_the_table_in_their_order(tmp_path: Path) -> None:
    shown = [code(row[1]) for row in table(PAGE, "the way of a call")]
    passed = asyncio.run(files_on_the_way(tmp_path))
    assert [file for file in passed if file in shown] == shown
    assert len(shown) == len(set(shown)) <= MAX_FILES

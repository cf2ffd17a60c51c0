"""`trunkline trunk`: a provider to call, in the shapes that its options give it."""

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.cli import trunk as little_trunk
from service.cli.trunk import TrunkOrder
from tests.peers.process import Process

Run = Callable[..., None]
ROOT = Path(__file__).parents[2]
TRUNK = "127.0.0.31"
TEXT = "grüße \x1b[2J".encode()


async def play(bench: Any, **order: Any) -> str:
    """A little trunk in this loop; its address."""
    started: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    made = little_trunk.LittleTrunk

    class Trunk(made):  # type: ignore[misc,valid-type]
        def __init__(self, order: TrunkOrder) -> None:
            super().__init__(order)
            started.set_result(self)

    bench.patch.setattr(little_trunk, "LittleTrunk", Trunk)
    task = asyncio.ensure_future(little_trunk.play_trunk(TrunkOrder(listen=[f"udp://{TRUNK}:0"], **order)))

    async def end() -> None:
        task.cancel()
        await asyncio.wait((task,))

    bench.at_end(end)
    trunk = await started
    await bench.until(lambda: len(trunk.agent.listeners))
    return f"{TRUNK}:{trunk.agent.nowhere.transport.local[1]}"


def test_it_answers_and_prints_the_call(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    address = ""

    async def test(bench: Any) -> None:
        nonlocal address
        address = await play(bench)
        phone = await bench.phone()
        leg, outcome = await phone.call(address, "+15551234567")
        assert outcome.kind == "answered"
        assert [response.status for response in phone.responses if response.status > 100] == [180, 200]
        leg.hangup()
        await leg.wait_ended()

    run(test)
    first, second = capsys.readouterr().out.splitlines()
    assert first == f"trunk at udp://{address}: answers"
    assert second.startswith(f"trunk {address}: INVITE sip:+15551234567@{address} from ")


def test_what_a_caller_writes_is_escaped(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    async def test(bench: Any) -> None:
        address = await play(bench, status=404)
        wire = await bench.wire()
        request = wire.request(from_='"\\\x1b[2J" <sip:x@y>')
        assert (await wire.answer(request, address)).status == 404

    run(test)
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\\x1b[2J" in out


@pytest.mark.parametrize("status", [200, 503, 603])
def test_it_takes_texts_as_calls_and_prints_them(run: Run, capsys: pytest.CaptureFixture[str], status: int) -> None:
    async def test(bench: Any) -> None:
        address = await play(bench, status=status)
        wire = await bench.wire()
        for kind, body, expected in (("text/plain;charset=UTF-8", TEXT, status), ("image/png", b"x", 415)):
            request = wire.request("MESSAGE", f"sip:1+4930@{address}", [f"Content-Type: {kind}"], body=False)
            request = request.replace(b"Content-Length: 0", b"Content-Length: %d" % len(body)) + body
            assert (await wire.answer(request, address)).status == expected

    run(test)
    first, second = capsys.readouterr().out.splitlines()
    address = first.split()[2].removeprefix("udp://").removesuffix(":")
    assert second.startswith(f"trunk {address}: MESSAGE sip:1+4930@{address} from ")
    assert second.endswith(": grüße \\x1b[2J")


@pytest.mark.parametrize(
    ("order", "statuses"),
    [
        ({"status": 503}, [503]),
        ({"status": 486, "ring": 0.05}, [180, 486]),
        ({"ring": 0.05, "early_media": True}, [183, 180, 200]),
        ({"ring": 0.05}, [180, 200]),
    ],
)
def test_the_trunk_follows_its_options(run: Run, order: dict[str, Any], statuses: list[int]) -> None:
    async def test(bench: Any) -> None:
        address = await play(bench, **order)
        phone = await bench.phone()
        leg, _ = await phone.call(address, "4711")
        assert [response.status for response in phone.responses if response.status > 100] == statuses
        if leg.answered:
            leg.hangup()
            await leg.wait_ended()

    run(test)


def test_a_caller_that_gives_up_while_it_rings(run: Run) -> None:
    async def test(bench: Any) -> None:
        address = await play(bench, ring=60.0)
        phone = await bench.phone()
        leg = phone.dial(address, "4711")
        await bench.until(lambda: phone.heard["180"])
        leg.cancel()
        await bench.until(lambda: phone.heard["487"])

    run(test)


@pytest.mark.parametrize("number", [2, 15])
def test_it_ends_by_a_signal_with_0(number: int) -> None:
    with Process(
        [sys.executable, "-m", "service.cli", "trunk", "--listen", f"udp://{TRUNK}:0", "--status", "503"],
        cwd=ROOT,
        env={"PYTHONUNBUFFERED": "1"},
    ) as process:
        line = process.wait_line(r"^trunk at ", 15)
        assert line.endswith(": refuses with 503")
        assert not line.startswith(f"trunk at udp://{TRUNK}:0:")  # the port that it got, not the one asked for
        assert process.stop(sign=number) == 0  # type: ignore[arg-type]
        assert len(process.lines) == 1


def test_a_port_that_is_taken_is_1() -> None:
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((TRUNK, 0))
        url = f"udp://{TRUNK}:{sock.getsockname()[1]}"
        done = subprocess.run(
            [sys.executable, "-m", "service.cli", "trunk", "--listen", url],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
    assert (done.returncode, done.stdout) == (1, "")
    advice = "stop the other program or choose another port with --listen"
    assert done.stderr == f"trunkline: {url}: address already in use: {advice}\n"

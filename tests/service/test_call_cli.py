"""`trunkline call`: what it dials, says, shows, and returns."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine import call_media
from service.cli import call as softphone
from service.cli.call import CallOrder, place_call
from service.cli.support import agent_via
from tests.service.conftest import until

Run = Callable[..., None]
ROOT = Path(__file__).parents[2]
PEER = "127.0.0.21"
OURS, FOREIGN = "+15551234567", "+821012345678"


def ladder(out: str) -> list[str]:
    """The arrows of the ladder, each as `>` or `<` and its text."""
    found = []
    for line in out.splitlines():
        if "▶" in line or "◀" in line:
            text = line.split("│")[1].strip("─▶◀ ")
            if not text.startswith("100 "):  # sent where the answer takes its time
                found.append(("> " if "▶" in line else "< ") + text)
    return found


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")


def test_an_answered_call_is_shown_whole(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    async def test(bench: Any) -> None:
        peer = await bench.phone(PEER)
        order = CallOrder("+15551234567", peer.address, duration=0.01, headers=[("X-Account", "4 2")])
        assert await place_call(order) == 0
        invite = peer.invites[0]
        assert invite.uri_text == f"sip:+15551234567@{peer.address}"
        assert invite.get("X-Account") == "4 2"
        assert invite.get("From").startswith("<sip:trunkline@127.0.0.")
        bye = next(request for request in peer.requests if request.method == "BYE")
        assert bye.get("Reason") == "Q.850;cause=16"

    run(test)
    out, err = capsys.readouterr()
    assert err == ""
    assert ladder(out) == [
        f"> INVITE sip:{OURS}@{PEER}:{out.split('@' + PEER + ':')[1].split()[0]}",
        "< 180 Ringing (INVITE)",
        "< 200 OK (INVITE)",
        *[line for line in ladder(out) if "> ACK" in line],
        *[line for line in ladder(out) if "> BYE" in line],
        "< 200 OK (BYE)",
    ]
    assert "SDP" in out
    assert out.splitlines()[-1].startswith("answered after ")
    assert out.splitlines()[-1].endswith("hung up by us")


@pytest.mark.parametrize(
    ("status", "said"),
    [(486, "not answered: 486 Busy Here"), (404, "not answered: 404 Not Found"), (603, "603 Decline")],
)
def test_a_refusal_is_shown_and_returns_1(run: Run, capsys: pytest.CaptureFixture[str], status: int, said: str) -> None:
    async def test(bench: Any) -> None:
        peer = await bench.phone(PEER, status)
        assert await place_call(CallOrder("4711", peer.address)) == 1

    run(test)
    out = capsys.readouterr().out
    assert said in out.splitlines()[-1]
    assert [line[:5] for line in ladder(out)] == ["> INV", f"< {status}", "> ACK"]


def test_a_call_to_where_nobody_listens_fails_at_once(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    async def test(bench: Any) -> None:
        async with asyncio.timeout(10):  # Timer B is 32 s
            assert await place_call(CallOrder("4711", "127.0.0.99:5999")) == 1

    run(test)
    assert capsys.readouterr().out.splitlines()[-1] == "not answered: connection refused"


def test_nobody_answering_in_time_is_cancelled(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    async def test(bench: Any) -> None:
        peer = await bench.phone(PEER, "ring")
        assert await place_call(CallOrder("4711", peer.address, timeout=0.2)) == 1
        assert peer.heard["CANCEL"] == 1

    run(test)
    out = capsys.readouterr().out
    assert "not answered: " in out.splitlines()[-1]
    assert "< 487 Request Terminated (INVITE)" in ladder(out)


def test_a_peer_that_says_nothing_is_given_up(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    async def test(bench: Any) -> None:
        wire = await bench.wire(PEER)
        assert await place_call(CallOrder("4711", f"{PEER}:{wire.port}", timeout=0.2)) == 1

    run(test)
    assert "no reply" in capsys.readouterr().out.splitlines()[-1]


def test_without_a_duration_the_other_end_hangs_up(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    async def test(bench: Any) -> None:
        async def brief(call: Any) -> None:
            call.answer()
            await call.sleep(0.05)
            call.hangup()

        peer = await bench.phone(PEER, brief)
        assert await place_call(CallOrder("4711", peer.address, duration=0)) == 0

    run(test)
    out = capsys.readouterr().out
    assert out.splitlines()[-1].endswith("hung up by the other end")
    assert any(line.startswith("< BYE ") for line in ladder(out))
    assert ladder(out)[-1] == "> 200 OK (BYE)"


def quick(bench: Any) -> None:
    """Keys that are pressed in no time."""
    bench.patch.setattr(softphone, "KEY_LENGTH", 0.005)
    bench.patch.setattr(softphone, "KEY_GAP", 0.0)
    bench.patch.setattr(call_media, "PAUSE", 0.005)


def test_keys_arrive_in_rtp_in_order(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    keys: list[str] = []

    async def test(bench: Any) -> None:
        async def hears(call: Any) -> None:
            call.answer()
            while True:
                keys.append(await call.key())

        quick(bench)
        peer = await bench.phone(PEER, hears)
        assert await place_call(CallOrder("4711", peer.address, digits="1*#D", duration=0.1)) == 0
        assert not [request for request in peer.requests if request.method == "INFO"]

    run(test)
    assert keys == ["1", "*", "#", "D"]
    assert events(capsys.readouterr().out) == ["keys 1*#D in RTP"]


def events(out: str) -> list[str]:
    """What the ladder shows of things that are no messages."""
    return [line.partition("● ")[2].strip(" │") for line in out.splitlines() if "●" in line]


def test_keys_that_the_hangup_cuts_off_are_not_shown(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    async def test(bench: Any) -> None:
        async def hears(call: Any) -> None:
            call.answer()
            await call.key()
            await call.sleep(0.4)
            call.hangup()

        peer = await bench.phone(PEER, hears)
        assert await place_call(CallOrder("4711", peer.address, digits="1,,,2", duration=0.1)) == 0

    run(test)
    assert events(capsys.readouterr().out) == ["keys 1 in RTP"]


def test_keys_arrive_as_info_in_order(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    async def test(bench: Any) -> None:
        quick(bench)
        peer = await bench.phone(PEER)
        assert await place_call(CallOrder("4711", peer.address, digits="1*,#D", duration=0.01, dtmf="info")) == 0
        infos = [request for request in peer.requests if request.method == "INFO"]
        assert [info.body for info in infos] == [f"Signal={key}\r\nDuration=5\r\n".encode() for key in "1*#D"]
        assert {info.get("Content-Type") for info in infos} == {"application/dtmf-relay"}

    run(test)
    assert events(capsys.readouterr().out) == []


def test_keys_go_through_the_engine_to_the_far_end(run: Run) -> None:
    async def test(bench: Any) -> None:
        quick(bench)
        peer = await bench.phone(PEER)
        engine = await bench.engine(sip={"trusted_networks": ["127.0.0.1/32"]}, **bench.providers(peer))
        assert await place_call(CallOrder(FOREIGN, engine.address, digits="42", duration=0.01, dtmf="info")) == 0
        assert [request.body[:8] for request in peer.requests if request.method == "INFO"] == [b"Signal=4", b"Signal=2"]
        await engine.quiet()

    run(test)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_another_program_on_this_machine_dials_out(run: Run, transport: str, host: str) -> None:
    """It has the engine's address and a port of its own, and is judged by its address, as ever."""

    async def test(bench: Any) -> None:
        peer = await bench.phone(PEER)
        trusted = ["127.0.0.1/32", "::1/128"]
        listen = ["udp://127.0.0.1:0", f"{transport}://{host}:0"]
        engine = await bench.engine(sip={"listen": listen, "trusted_networks": trusted}, **bench.providers(peer))
        (address,) = (f"{host}:{one.local[1]}" for one in [*engine.node.agent.listeners][1:])
        order = CallOrder(FOREIGN, address, transport=transport, duration=0.01)
        assert await place_call(order) == 0
        assert len(peer.calls) == 1
        await engine.quiet()

    run(test)


@pytest.mark.parametrize(("password", "code"), [("s3cret", 0), ("wrong", 1)])
def test_credentials(run: Run, capsys: pytest.CaptureFixture[str], password: str, code: int) -> None:
    async def test(bench: Any) -> None:
        peer = await bench.phone(PEER)
        users = [{"username": "desk", "password": "s3cret"}]
        engine = await bench.engine(sip={"users": users}, **bench.providers(peer))
        order = CallOrder(FOREIGN, engine.address, user="desk", password=password, duration=0.01)
        assert await place_call(order) == code
        await engine.quiet()

    run(test)
    out = capsys.readouterr().out
    assert "< 401 Unauthorized (INVITE)" in ladder(out)
    assert "s3cret" not in out


@pytest.mark.parametrize(("host", "transport"), [("127.0.0.21", "tcp"), ("::1", "udp"), ("::1", "tcp")])
def test_tcp_and_ipv6(run: Run, capsys: pytest.CaptureFixture[str], host: str, transport: str) -> None:
    async def test(bench: Any) -> None:
        peer = await bench.phone(host, transports=(transport,))
        order = CallOrder("4711", peer.address, transport=transport, duration=0.01)
        assert await place_call(order) == 0
        invite = peer.invites[0]
        assert invite.uri_text == f"sip:4711@{peer.address}"
        assert invite.via.transport == transport.upper()

    run(test)
    out = capsys.readouterr().out
    assert len(ladder(out)) == 6
    assert f"{'[::1]' if host == '::1' else host}:" in out.splitlines()[0]


@pytest.mark.parametrize(
    ("number", "uri"),
    [
        ("sip:ann@example.com;user=phone", "sip:ann@example.com;user=phone"),
        ("tel:+15551234567", "tel:+15551234567"),
        ("#31#0 x", "sip:%2331%230%20x@{}"),
    ],
)
def test_what_is_dialled(run: Run, number: str, uri: str) -> None:
    async def test(bench: Any) -> None:
        peer = await bench.phone(PEER, 486)
        assert await place_call(CallOrder(number, peer.address)) == 1
        assert peer.invites[0].uri_text == uri.format(peer.address)

    run(test)


def test_a_number_that_cannot_be_dialled(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    async def test(bench: Any) -> None:
        assert await place_call(CallOrder("sip:\x1b[2J@", "127.0.0.1:5999")) == 1

    run(test)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("trunkline: sip:\\x1b[2J@ cannot be dialled: ")
    assert err.count("\n") == 1


def test_a_name_that_does_not_resolve(run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    async def test(bench: Any) -> None:
        async def nothing(*_: Any) -> list[Any]:
            return []

        monkeypatch.setattr(agent_via.Resolver, "resolve", nothing)
        assert await place_call(CallOrder("4711", "nowhere.invalid")) == 1

    run(test)
    assert capsys.readouterr().err == (
        "trunkline: nowhere.invalid does not resolve: give an address or a name after --via\n"
    )


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_while_it_rings_it_cancels(run: Run, number: signal.Signals) -> None:
    async def test(bench: Any) -> None:
        peer = await bench.phone(PEER, "ring")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "service.cli", "call", "4711", "--via", peer.address),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "NO_COLOR": "1", "PYTHONIOENCODING": "utf-8"},
        )

        async def end() -> None:
            if process.returncode is None:
                process.kill()
                await process.wait()

        bench.at_end(end)
        call = await peer.incoming()
        process.send_signal(number)
        out, err = await process.communicate()
        assert (process.returncode, err) == (1, b"trunkline: interrupted\n")
        arrows = [line.split()[0] + line.split()[1] for line in ladder(out.decode())]
        assert arrows == [">INVITE", "<180", ">CANCEL", "<200", "<487", ">ACK"]
        assert out.endswith(b"not answered: cancelled\n")
        assert peer.heard["CANCEL"] == 1
        await call.wait_ended()

    run(test)


@pytest.mark.parametrize(
    "arguments",
    [
        ["call", "4711"],
        ["call", "4711", "--via", "x:y"],
        ["call", "4711", "--via", "127.0.0.1", "--digits", "9z"],
        ["call", "4711", "--via", "127.0.0.1", "--transport", "tls"],
        ["call", "4711", "--via", "127.0.0.1", "--header", "no colon"],
        ["call", "4711", "--via", "127.0.0.1", "--header", "Via: SIP/2.0/UDP x"],
        ["call", "4711", "--via", "127.0.0.1", "--header", "X Y: z"],
        ["call", "4711", "--via", "127.0.0.1", "--duration", "-1"],
    ],
)
def test_wrong_usage_is_2_and_one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    from service.cli import commands

    assert commands.main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1


# ---- registered

PHONES = {
    "extensions": [
        {"name": "alice", "password": "secret-of-alice", "display_name": "Alice"},
        {"name": "bob", "password": "secret-of-bob"},
    ]
}


def phone(engine: Any, name: str, number: str = "", **more: Any) -> CallOrder:
    values = {"register": name, "password": f"secret-of-{name}", "timeout": 20.0, "duration": 0.3} | more
    return CallOrder(number, engine.at(str(values.get("transport", "udp"))), **values)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_one_softphone_calls_another_by_name(run: Run, capsys: pytest.CaptureFixture[str], transport: str) -> None:
    async def test(bench: Any) -> None:
        engine = await bench.engine(**PHONES, sip={"listen": [f"{transport}://127.0.0.1:0"]})
        waiting = asyncio.ensure_future(place_call(phone(engine, "bob", transport=transport, duration=20.0)))
        await until(lambda: engine.node.location.bindings("bob"), "bob registers")
        assert await place_call(phone(engine, "alice", "bob", transport=transport)) == 0
        assert await waiting == 0
        await until(lambda: not len(engine.node.location), "both have left")

    run(test)
    out, err = capsys.readouterr()
    assert 'call from "Alice" <sip:alice@' in out
    assert "answered, " in out
    assert "registered as bob for 3600 s" in err


def test_who_is_not_called_says_so(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    async def test(bench: Any) -> None:
        engine = await bench.engine(**PHONES)
        assert await place_call(phone(engine, "bob", timeout=0.1)) == 1

    run(test)
    assert "nobody called" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["bob", "nobody"])
def test_who_may_not_register_is_told(run: Run, capsys: pytest.CaptureFixture[str], name: str) -> None:
    async def test(bench: Any) -> None:
        engine = await bench.engine(**PHONES)
        assert await place_call(phone(engine, name, password="wrong")) == 1
        assert not len(engine.node.location)

    run(test)
    assert f"{name} is not registered: 403 Forbidden" in capsys.readouterr().err

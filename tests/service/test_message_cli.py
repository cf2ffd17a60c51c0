"""`trunkline message`: what it sends, shows, and returns."""

from collections.abc import Callable
from typing import Any

import pytest

from engine.messages import IncomingMessage
from service.cli.message import MessageOrder, send_message

Run = Callable[..., None]
PEER = "127.0.0.21"


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")


class Inbox:
    """A peer that answers texts with `status`."""

    def __init__(self, peer: Any, status: int = 200, reason: str = "") -> None:
        self.taken: list[IncomingMessage] = []

        def take(message: IncomingMessage) -> None:
            self.taken.append(message)
            message.answer(status, reason)

        peer.on_message = take


def ladder(out: str) -> list[str]:
    lines = [line.split("│")[1].strip() for line in out.splitlines() if "▶" in line or "◀" in line]
    return [line.strip("─▶◀ ").split("@")[0] for line in lines]


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (200, 0, "delivered: 200 OK after "),
        (202, 0, "accepted, to be delivered: 202 Accepted after "),
        (404, 1, "not delivered: 404 Not Found"),
        (503, 1, "not delivered: 503 Service Unavailable"),
    ],
)
def test_the_ladder_and_the_outcome_are_shown(
    run: Run, capsys: pytest.CaptureFixture[str], status: int, code: int, said: str
) -> None:
    async def test(bench: Any) -> None:
        peer = await bench.phone(PEER)
        inbox = Inbox(peer, status)
        order = MessageOrder(
            sender="+15550001111",
            recipient="+15551234567",
            text="Hello, ü\n",
            via=peer.address,
            headers=[("X-Account", "4 2")],
        )
        assert await send_message(order) == code
        (message,) = inbox.taken
        assert message.text == "Hello, ü\n"
        assert message.request.uri_text == f"sip:+15551234567@{peer.address}"
        assert message.request.get("From").startswith("<sip:+15550001111@127.0.0.")
        assert message.request.get("To") == f"<sip:+15551234567@{peer.address}>"
        assert message.request.get("X-Account") == "4 2"

    run(test)
    out, err = capsys.readouterr()
    assert err == "" and out.splitlines()[-1].startswith(said)
    assert [line.split()[0] for line in ladder(out)] == ["MESSAGE", str(status)]


def test_whole_uris_and_a_stream(run: Run) -> None:
    async def test(bench: Any) -> None:
        peer = await bench.phone("::1", transports=("tcp",))
        inbox = Inbox(peer)
        order = MessageOrder(
            sender="sip:ann@example.org", recipient="sip:bob@example.com", text="x", via=peer.address, transport="tcp"
        )
        assert await send_message(order) == 0
        request = inbox.taken[0].request
        assert (request.uri_text, request.via.transport) == ("sip:bob@example.com", "TCP")
        assert request.get("From").startswith("<sip:ann@example.org>")

    run(test)


def test_a_silent_peer_and_nobody(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    async def test(bench: Any) -> None:
        wire = await bench.wire(PEER)
        assert (
            await send_message(
                MessageOrder(sender="a", recipient="b", text="x", via=f"{PEER}:{wire.port}", timeout=0.2)
            )
            == 1
        )
        assert await send_message(MessageOrder(sender="a", recipient="b", text="x", via="127.0.0.99:5999")) == 1

    run(test)
    out = capsys.readouterr().out.splitlines()
    assert [line for line in out if line.startswith("not")] == [
        "not delivered: timeout",
        "not delivered: connection refused",
    ]


@pytest.mark.parametrize(
    ("order", "code", "line"),
    [
        (
            MessageOrder(sender="a", recipient="sip:\x1b[2J@", text="x", via="127.0.0.1:5999"),
            1,
            "sip:\\x1b[2J@ cannot be dialled: ",
        ),
        (MessageOrder(sender="sip:@@", recipient="b", text="x", via="127.0.0.1:5999"), 1, "sip:@@ cannot be shown: "),
        (
            MessageOrder(sender="a", recipient="b", text="x", via="127.0.0.1:5999", headers=[("Via", "x")]),
            2,
            "--header: header 'Via' belongs",
        ),
    ],
)
def test_what_cannot_be_sent_is_said_in_a_line(
    run: Run, capsys: pytest.CaptureFixture[str], order: MessageOrder, code: int, line: str
) -> None:
    async def test(bench: Any) -> None:
        assert await send_message(order) == code

    run(test)
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(f"trunkline: {line}") and err.count("\n") == 1


@pytest.mark.parametrize(("password", "code"), [("s3cret", 0), ("wrong", 1)])
def test_it_logs_in_and_is_taken_by_an_engine(
    run: Run, capsys: pytest.CaptureFixture[str], password: str, code: int
) -> None:
    async def test(bench: Any) -> None:
        peer = await bench.phone(PEER)
        inbox = Inbox(peer)
        users = [{"username": "desk", "password": "s3cret"}]
        engine = await bench.engine(sip={"users": users}, **bench.providers(peer))
        order = MessageOrder(
            sender="+15550001111",
            recipient="+821012345678",
            text="x",
            via=engine.address,
            user="desk",
            password=password,
        )
        assert await send_message(order) == code
        assert len(inbox.taken) == 1 - code

    run(test)
    assert "s3cret" not in capsys.readouterr().out

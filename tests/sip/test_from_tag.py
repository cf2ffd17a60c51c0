"""The tag in From, which every request has (RFC 3261 §8.1.1.3)."""

import pytest

from engine.sip.message.message import Response
from engine.sip.message.parsing import parse
from tests.simulation.stage import Stage, request, status_of

TAGGED = b"\r\nFrom: Alice <sip:alice@192.0.2.7>;tag=alice\r\n"
WITHOUT = [
    b"\r\nFrom: Alice <sip:alice@192.0.2.7>\r\n",
    b"\r\nFrom: <sip:alice@192.0.2.7>;tag=\r\n",
    b'\r\nFrom: <sip:alice@192.0.2.7>;tag=""\r\n',
    b'\r\nFrom: <sip:alice@192.0.2.7>;tag=" "\r\n',
    b"\r\nFrom: <sip:alice@192.0.2.7>;tag\r\n",
    b"\r\nFrom: <sip:alice@192.0.2.7>;TAG=;x=y\r\n",
    b"\r\nFrom: <sip:alice@192.0.2.7>;x=y\r\n",
    b"\r\nFrom: <sip:alice@192.0.2.7;tag=inside>\r\n",
    b"\r\nFrom: <sip:alice@192.0.2.7>\r\n ;tag=\r\n",
    b"\r\nFrom: sip:alice@192.0.2.7\r\n",
    b"\r\nFrom: <sip:alice@[2001:db8::7]>\r\n",
    b"\r\nf: <sip:alice@192.0.2.7>\r\n",
    b"\r\nf:<sip:alice@192.0.2.7>;tag=\r\n",
    b'\r\nF\t: "tag=a" <sip:alice@192.0.2.7>\r\n\t; tag = ""\r\n',
    b"\r\nFrom: <tel:+15551230000>\r\n",
]
METHODS = ["INVITE", "OPTIONS", "MESSAGE", "REGISTER", "BYE", "CANCEL", "PRACK", "UPDATE", "INFO", "REFER", "FROB"]


def untagged(data: bytes, line: bytes) -> bytes:
    assert data.count(TAGGED) == 1
    return data.replace(TAGGED, line)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("line", WITHOUT)
def test_a_request_without_a_from_tag_is_400(method: str, line: bytes) -> None:
    stage = Stage()
    stage.receive(untagged(request(method), line))
    assert [status_of(data) for data in stage.udp.take()] == [400]
    assert (stage.calls, stage.left) == ([], {})


@pytest.mark.parametrize("line", WITHOUT)
@pytest.mark.parametrize("method", ["INVITE", "UPDATE", "INFO", "REFER", "MESSAGE", "BYE"])
def test_in_a_dialog_too(method: str, line: bytes) -> None:
    """The dialog of a caller with a tag stands, and what has no tag is not in it."""
    stage = Stage()
    stage.on_invite = lambda session: session.accept(stage.now, b"v=0\r\n")
    stage.receive(request("INVITE"))
    [ok] = [
        message for message in map(parse, stage.udp.take()) if isinstance(message, Response) and message.status == 200
    ]
    stage.receive(request("ACK", to_tag=ok.to_tag, branch="z9hG4bKb"))
    stage.receive(untagged(request(method, to_tag=ok.to_tag, branch="z9hG4bKc", cseq=2), line))
    assert [status_of(data) for data in stage.udp.take()] == [400]
    [session] = stage.endpoint.sessions
    assert not session.ended


@pytest.mark.parametrize("line", WITHOUT)
def test_an_ack_without_a_from_tag_is_dropped(line: bytes) -> None:
    stage = Stage()
    stage.receive(untagged(request("ACK", to_tag="b"), line))
    assert stage.udp.take() == []


@pytest.mark.parametrize("line", [TAGGED, b"\r\nf:<sip:a@b>\r\n ;tag=1\r\n", b"\r\nFrom: sip:a@b;x;TAG=q\r\n"])
def test_one_with_a_tag_is_served_however_it_is_written(line: bytes) -> None:
    stage = Stage()
    stage.receive(untagged(request("OPTIONS"), line))
    assert [status_of(data) for data in stage.udp.take()] == [200]


def test_responses_are_not_judged_by_it() -> None:
    """RFC 2543's servers echo what they got; ours always has a tag."""
    assert isinstance(
        parse(
            b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKa\r\nFrom: <sip:a@b>\r\n"
            b"To: <sip:c@d>\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\n\r\n"
        ),
        Response,
    )

"""Bodies of several parts (RFC 5621): the session description in them is the offer or the answer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.sip.message.grammar import ParseError
from engine.sip.message.message import Request
from engine.sip.message.multipart import MOST_PARTS, open_body
from engine.sip.message.parsing import parse
from tests.simulation.network import Network, Node, Owner
from tests.simulation.peer import ANSWER, OFFER, Peer

ENGINE, PEER = "192.0.2.2", "192.0.2.1"
PIDF = "Content-Type: application/pidf+xml\r\nContent-ID: <target@x>", b"<presence/>"
ISUP = (
    "Content-Type: application/isup;version=itu-t92+\r\nContent-Disposition: signal;handling={}",
    b"\x01\x00\x49\r\x00\n",
)
AN_OFFER = "Content-Type: application/sdp", OFFER


def isup(handling: str) -> tuple[str, bytes]:
    return ISUP[0].format(handling), ISUP[1]


def multipart(*parts: tuple[str, bytes], boundary: str = "b1") -> bytes:
    mark = boundary.encode()
    return (
        b"".join(b"--%s\r\n%s\r\n\r\n%s\r\n" % (mark, head.encode(), body) for head, body in parts)
        + b"--%s--\r\n" % mark
    )


def message(body: bytes, kind: str = "multipart/mixed;boundary=b1", method: str = "INVITE") -> Request:
    lines = [f"{method} sip:b@x SIP/2.0", f"Via: SIP/2.0/UDP {PEER};branch=z9hG4bKx", "From: <sip:a@x>;tag=a"]
    lines += ["To: <sip:b@x>", "Call-ID: c", f"CSeq: 1 {method}", f"Content-Type: {kind}"]
    head = "\r\n".join((*lines, f"Content-Length: {len(body)}", "", ""))
    found = parse(head.encode() + body)
    assert isinstance(found, Request)
    return found


def opened(body: bytes, kind: str = "multipart/mixed;boundary=b1", method: str = "INVITE") -> Request:
    found = message(body, kind, method)
    open_body(found)
    return found


@pytest.mark.parametrize(
    "kind", ["multipart/mixed;boundary=b1", 'Multipart/Mixed; boundary="b1"', "multipart/related; boundary=b1; start=x"]
)
@pytest.mark.parametrize("first", [True, False])
def test_the_description_is_the_body_and_the_rest_stands_beside_it(kind: str, first: bool) -> None:
    parts = (AN_OFFER, PIDF, isup("optional")) if first else (PIDF, isup("optional"), AN_OFFER)
    request = opened(multipart(*parts), kind)
    assert (request.body, request.get("Content-Type")) == (OFFER, "application/sdp")
    location, signal = request.parts
    assert (location.content_type, location.content_id, location.body) == ("application/pidf+xml", "target@x", PIDF[1])
    assert (signal.content_type, signal.required, signal.body) == ("application/isup", False, ISUP[1])


def test_a_description_always_ends_with_a_line_break() -> None:
    assert opened(multipart(("Content-Type: application/sdp", OFFER.rstrip()))).body == OFFER


def test_of_alternatives_the_last_one_is_taken_and_of_a_mixture_the_first() -> None:
    two = multipart(("Content-Type: application/sdp", ANSWER), AN_OFFER)
    assert opened(two, "multipart/alternative;boundary=b1").body == OFFER
    assert opened(two).body == ANSWER


def test_one_within_another_is_found() -> None:
    inner = multipart(AN_OFFER, boundary="in")
    whole = multipart(PIDF, ("Content-Type: multipart/mixed;boundary=in", inner))
    request = opened(whole)
    assert request.body == OFFER and [part.content_type for part in request.parts] == ["application/pidf+xml"]


def test_a_description_that_is_not_the_sessions_is_left_aside() -> None:
    aside = "Content-Type: application/sdp\r\nContent-Disposition: render", ANSWER
    request = opened(multipart(aside, AN_OFFER))
    assert request.body == OFFER and request.parts[0].body == ANSWER


def test_base64_is_undone() -> None:
    encoded = "Content-Type: application/sdp\r\nContent-Transfer-Encoding: base64", b"dj0wDQo="
    assert opened(multipart(encoded)).body == b"v=0\r\n"


def test_without_a_description_there_is_no_offer() -> None:
    request = opened(multipart(PIDF))
    assert (request.body, request.get("Content-Type"), len(request.parts)) == (b"", "", 1)


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (multipart(AN_OFFER), "multipart/mixed", 400),
        (multipart(AN_OFFER), "multipart/mixed;boundary=other", 400),
        (b"x", "multipart/mixed;boundary=b1", 400),
        (multipart(*[PIDF] * (MOST_PARTS + 1)), "multipart/mixed;boundary=b1", 413),
    ],
)
def test_what_cannot_be_taken_apart_says_so(body: bytes, kind: str, status: int) -> None:
    with pytest.raises(ParseError) as refused:
        opened(body, kind)
    assert refused.value.status == status


@pytest.mark.parametrize("method", ["MESSAGE", "INFO", "NOTIFY"])
def test_what_describes_no_session_stays_as_it_is(method: str) -> None:
    body = multipart(AN_OFFER)
    assert opened(body, method=method).body == body


@given(body=st.binary(max_size=400), boundary=st.sampled_from(["b1", '"b 1"', "", '"', "b1;b2", "--"]))
def test_whatever_comes_nothing_but_a_parse_error_leaves(body: bytes, boundary: str) -> None:
    request = message(b"--b1\r\n" + body, f"multipart/mixed;boundary={boundary}")
    try:
        open_body(request)
    except ParseError as error:
        assert error.status in (400, 413)


# ---- in calls


class World:
    def __init__(self) -> None:
        self.network = Network()
        self.node = Node(self.network, ENGINE)
        self.node.on_invite = self._came
        self.owner = Owner()
        self.peer = Peer(self.network, PEER, engine=ENGINE)
        self.offers: list[bytes] = []

    def _came(self, session) -> None:  # type: ignore[no-untyped-def]
        session.user = self.owner
        self.offers.append(session.invite.body)
        session.accept(self.network.now, ANSWER)

    def invite(self, body: bytes, kind: str = "multipart/mixed;boundary=b1") -> int:
        self.peer.invite(f"Content-Type: {kind}\r\n", body)
        self.network.run(0.1)
        return self.peer.final("INVITE").status


@pytest.mark.parametrize("parts", [(AN_OFFER, PIDF), (isup("optional"), AN_OFFER), (AN_OFFER, ("X-A: b", b"x"))])
def test_a_call_with_more_than_a_description_is_taken(parts: tuple[tuple[str, bytes], ...]) -> None:
    world = World()
    assert world.invite(multipart(*parts)) == 200
    assert world.offers == [OFFER]


def test_one_that_wants_another_part_understood_is_415() -> None:
    world = World()
    assert world.invite(multipart(AN_OFFER, isup("required"))) == 415
    assert "multipart/mixed" in world.peer.final("INVITE").get("Accept")
    assert world.offers == []


def test_one_that_cannot_be_taken_apart_is_400() -> None:
    world = World()
    assert world.invite(b"garbage") == 400
    assert "boundary" in world.peer.final("INVITE").get("Warning")

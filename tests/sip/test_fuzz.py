"""Random and hostile input (Hypothesis): what is written is read back, and nothing but the parser's error is raised.

The examples are drawn from a fixed seed: the same run everywhere.
"""

from collections.abc import Sequence
from contextlib import suppress
from itertools import count

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.sip.dialog.invite_client import Invitation, InviteClient
from engine.sip.dialog.invite_server import InviteServer
from engine.sip.flow import Flow
from engine.sip.message.framing import StreamFramer
from engine.sip.message.grammar import ParseError
from engine.sip.message.header_names import COMPACT, canonical
from engine.sip.message.message import Message, Request, Response
from engine.sip.message.parsing import BadMessage, parse
from tests.simulation.network import Owner
from tests.simulation.stage import PEER, Stage, in_chunks, request, response, rfc4475, rfc5118
from tests.sip.torture import RFC4475, RFC5118

STEADY = settings(suppress_health_check=list(HealthCheck))

# ---- messages that are well-formed

TOKEN = st.text("ABCXYZabcxyz019-.!%*_+`'~", min_size=1, max_size=12)
# Anything that one header line can hold: no line ends, and no NUL outside of quotes.
TEXT = st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), max_size=40).map(
    lambda text: text.strip(" \t")
)
BYTES_OF_TEXT = st.one_of(
    TEXT, st.binary(max_size=20).map(lambda b: b.translate(None, b"\r\n\0 \t").decode("utf-8", "surrogateescape"))
)
NAME = st.one_of(
    TOKEN, st.sampled_from(sorted(COMPACT)), st.sampled_from(["SUBJECT", "x-y-z", "User-agent", "wARNING"])
)
NEVER_TWICE = {"Via", "From", "To", "Call-ID", "CSeq", "Max-Forwards", "Content-Length", "Content-Type", "Expires"} | {
    "Date",
    "RSeq",
    "RAck",
    "Session-Expires",
    "Contact",
    "Route",
}
HOST = st.sampled_from(["192.0.2.1", "example.com", "[2001:db8::1]", "a-b.c", "EXAMPLE.com"])
URI = st.builds(
    lambda user, host, port, parameters: f"sip:{user}{host}{port}{parameters}",
    st.sampled_from(["", "bob@", "b%6Fb@", "a;b=c@", "+49-30:pw@"]),
    HOST,
    st.sampled_from(["", ":5060", ":1"]),
    st.sampled_from(["", ";lr", ";transport=tcp;x", ";a=%41"]),
)
DISPLAY = st.sampled_from(["", "Bob ", '"Bob, \\"B\\" \\\\" ', '"дядя" ', "a b  c ", '"<;>"'])
ADDRESS = st.builds(
    lambda display, uri, tag: f"{display}<{uri}>{tag}", DISPLAY, URI, st.sampled_from(["", ";tag=a", ";x;tag=b;y=z"])
)
VIA = st.builds(
    lambda transport, host, port, rest: f"SIP/2.0/{transport} {host}{port}{rest}",
    st.sampled_from(["UDP", "TCP", "SCTP", "tls"]),
    HOST,
    st.sampled_from(["", ":5060", ":99"]),
    st.sampled_from(["", ";branch=z9hG4bKa", ";rport;branch=z9hG4bKb", ";branch=1;received=[::1];maddr=h"]),
)


@st.composite
def messages(draw: st.DrawFn) -> Message:
    method = draw(TOKEN)
    headers = {
        "Via": draw(st.lists(st.lists(VIA, min_size=1, max_size=2).map(", ".join), min_size=1, max_size=3)),
        "From": [draw(ADDRESS)],  # for a request, which needs one (§8.1.1.3), a tag is added below
        "To": [draw(ADDRESS)],
        "Call-ID": [draw(st.sampled_from(["a@b", "a", "~{}<>@[::]", "x" * 100]))],
        "CSeq": [f"{draw(st.integers(0, 2**31 - 1))} {method}"],
        "Contact": draw(st.lists(ADDRESS, max_size=2)),
    }
    for name in draw(st.lists(NAME, max_size=6)):
        if canonical(name) not in NEVER_TWICE:
            headers.setdefault(canonical(name), []).append(draw(BYTES_OF_TEXT))
    headers = {name: values for name, values in headers.items() if values}
    body = draw(st.binary(max_size=60))
    if draw(st.booleans()):
        if ";tag=" not in headers["From"][0]:
            headers["From"][0] += ";tag=c"
        return Request(method, draw(URI), headers, body)
    return Response(draw(st.integers(100, 699)), draw(TEXT), headers, body)


@STEADY
@given(messages())
def test_what_is_written_is_read_back(message: Message) -> None:
    again = parse(bytes(message))
    assert again == message
    assert bytes(again) == bytes(message)
    for address in ("From", "To"):
        again.address(address)
    again.values("Via")


@STEADY
@given(messages(), st.data())
def test_spelling_folding_and_white_space_change_nothing(message: Message, data: st.DataObject) -> None:
    """RFC 3261 §7.3.1: case and compact forms of names, LWS around the colon, values on several lines."""
    short = {name: letter for letter, name in COMPACT.items()}
    head, _, body = bytes(message).partition(b"\r\n\r\n")
    start, *lines = head.split(b"\r\n")
    written = [start]
    for line in lines:
        name, _, value = line.partition(b":")
        spelled = name.decode()
        form = data.draw(st.sampled_from(["as is", "lower", "upper", "compact"]))
        spelled = {"lower": spelled.lower(), "upper": spelled.upper(), "compact": short.get(spelled, spelled)}.get(
            form, spelled
        )
        space = data.draw(st.sampled_from([b": ", b":", b" : ", b"\t:\r\n ", b": \t "]))
        written.append(spelled.encode() + space + value.strip(b" ") + data.draw(st.sampled_from([b"", b" ", b"\t "])))
    assert parse(b"\r\n".join(written) + b"\r\n\r\n" + body) == message


@STEADY
@given(messages(), st.binary(max_size=20))
def test_bytes_behind_the_body_are_ignored_and_missing_ones_refused(message: Message, more: bytes) -> None:
    """RFC 3261 §18.3."""
    data = bytes(message)
    assert parse(data + more) == message
    if message.body:
        try:
            parse(data[:-1])
        except BadMessage as error:
            assert error.status == 400
        else:
            raise AssertionError("a body that is cut short was taken")


# ---- bytes of any kind

PIECES = [
    b"\r\n",
    b"\r",
    b"\n",
    b" ",
    b"\t",
    b"\0",
    b":",
    b";",
    b",",
    b'"',
    b"<",
    b">",
    b"\\",
    b"%",
    b"@",
    b"=",
    b"\xff",
    b"\xc3\xa9",
    b"\r\n\r\n",
    b"\r\n ",
    b"SIP/2.0",
    b"sip:",
    b"Via: SIP/2.0/UDP a;branch=z9hG4bKx\r\n",
    b"Content-Length: 5\r\n",
    b"l: 99999999999999999999\r\n",
    b"99999999999999999999",
    b"-1",
    b"[::1]",
    b"[::",
    b";tag=a",
    b";rport",
    b";lr",
    b"*",
    b"CSeq: 1 INVITE\r\n",
    b"Require: 100rel\r\n",
    b"Contact: *\r\n",
    b"Session-Expires: 90\r\n",
    b"Replaces: x\r\n",
    b"a" * 300,
    b"," * 100,
    b'"' * 50,
]


def mutated(seeds: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """One of `seeds` with pieces cut out, doubled, swapped for others, or put in."""

    @st.composite
    def draw_one(draw: st.DrawFn) -> bytes:
        data = draw(st.sampled_from(seeds))
        for _ in range(draw(st.integers(1, 5))):
            at = draw(st.integers(0, max(0, len(data))))
            length = draw(st.sampled_from([0, 1, 2, 5, 20, 80]))
            piece = data[at : at + length]
            what = draw(st.sampled_from(["cut", "put", "swap", "double", "flip"]))
            if what == "put":
                data = data[:at] + draw(st.sampled_from(PIECES)) + data[at:]
            elif what == "swap":
                data = data[:at] + draw(st.sampled_from(PIECES)) + data[at + length :]
            elif what == "double":
                data = data[:at] + piece + data[at:]
            elif what == "flip" and at < len(data):
                data = data[:at] + bytes([data[at] ^ (1 << draw(st.integers(0, 7)))]) + data[at + 1 :]
            else:
                data = data[:at] + data[at + length :]
        return data

    return draw_one()


TORTURE = [rfc4475(name) for name in RFC4475] + [rfc5118(name) for name in RFC5118]
ANY = st.one_of(st.binary(max_size=200), st.lists(st.sampled_from(PIECES), max_size=30).map(b"".join), mutated(TORTURE))


def read_everything(message: Message) -> None:
    """Every typed view of a message may refuse with ParseError and with nothing else."""
    for name in ("Via", "From", "To", "Contact", "Route", "Record-Route", "Supported", "Require", "Allow"):
        for look in (message.values, message.address):
            with suppress(ParseError):
                look(name)
        message.tokens(name)
    with suppress(ParseError):
        str(message.via)
    if isinstance(message, Request):
        with suppress(ParseError):
            str(message.uri)


@settings(STEADY, max_examples=3 * STEADY.max_examples)
@given(ANY)
def test_any_bytes_are_a_message_or_a_bad_message(data: bytes) -> None:
    try:
        message = parse(data)
    except BadMessage as error:
        assert 400 <= error.status <= 699
        if error.partial is not None:
            read_everything(error.partial)
        return
    read_everything(message)
    assert parse(bytes(message)) == message


class Quiet(Owner):
    """Takes whatever comes."""

    def __init__(self, session: InviteServer, now: float) -> None:
        super().__init__()
        session.user = self


def live_stage() -> tuple[Stage, list[bytes]]:
    """A stage in the middle of things, and messages that belong to what it does."""
    stage = Stage()
    numbers = count()

    def answer(session: InviteServer) -> None:
        Quiet(session, stage.now)
        number = next(numbers)
        if number == 0:
            session.accept(stage.now, b"v=0\r\n")
        elif number == 1:
            session.provisional(183, stage.now, b"v=0\r\n", reliable=True)
        elif number > 2:
            session.reject(486, stage.now)

    stage.on_invite = answer
    headers = ("Supported: 100rel, timer", "Session-Expires: 1800", "Allow: UPDATE")
    seeds = [
        request("INVITE", headers=headers, body=b"v=0\r\n"),
        request("INVITE", headers=headers, call_id="call-2", branch="z9hG4bKb"),
        request("INVITE", call_id="call-3", branch="z9hG4bKc"),
    ]
    for seed in seeds:
        stage.receive(seed)
    tags = [parse(data).to_tag for data in stage.udp.take() if b"200 OK" in data or b" 183 " in data]
    answered, early = tags[0], tags[1]
    seeds += [
        request("ACK", to_tag=answered, branch="z9hG4bKd"),
        request("INVITE", to_tag=answered, branch="z9hG4bKe", cseq=2, body=b"v=0\r\n"),
        request("UPDATE", to_tag=answered, branch="z9hG4bKf", cseq=3),
        request("INFO", to_tag=answered, branch="z9hG4bKg", cseq=4, body=b"x"),
        request("PRACK", to_tag=early, call_id="call-2", branch="z9hG4bKh", cseq=2, headers=("RAck: 1 1 INVITE",)),
        request("BYE", to_tag=answered, branch="z9hG4bKi", cseq=9),
        request("CANCEL", call_id="call-3", branch="z9hG4bKc"),
        request("OPTIONS", branch="z9hG4bKj"),
    ]
    invitation = Invitation(
        request_uri="sip:bob@192.0.2.7",
        destination="sip:192.0.2.7",
        from_="<sip:a@b>",
        to="<sip:bob@c>",
        body=b"v=0\r\n",
    )
    owner = Owner()
    leg = InviteClient(stage.endpoint, invitation, owner)
    leg.user = owner
    leg.start(stage.now)
    [invite] = stage.udp.take()
    contact = ("Contact: <sip:bob@192.0.2.7>", "Record-Route: <sip:192.0.2.9;lr>", "Require: 100rel", "RSeq: 1")
    challenge = ('WWW-Authenticate: Digest realm="x", nonce="y", algorithm=MD5, qop="auth"',)
    seeds += [
        response(invite, 100, to_tag=""),
        response(invite, 183, headers=contact, body=b"v=0\r\n"),
        response(invite, 200, headers=contact[:2], body=b"v=0\r\n"),
        response(invite, 302, headers=("Contact: <sip:else@where>",)),
        response(invite, 401, headers=challenge),
        response(invite, 422, headers=("Min-SE: 1800",)),
        response(invite, 503, headers=("Retry-After: 5",)),
    ]
    return stage, seeds


LIVE_SEEDS = live_stage()[1]


@STEADY
@given(st.lists(st.one_of(mutated(LIVE_SEEDS), ANY), min_size=1, max_size=8))
def test_an_endpoint_in_the_middle_of_calls_takes_any_datagram(datagrams: list[bytes]) -> None:
    """Nothing is raised, what it sends can be read by us, and afterwards nothing is left."""
    stage, _ = live_stage()
    for data in datagrams:
        stage.receive(data)
    stage.run(0.3)
    [answer] = [
        message
        for message in map(parse, after(stage, request("OPTIONS", branch="z9hG4bKlast", call_id="last")))
        if message.call_id == "last"
    ]
    assert isinstance(answer, Response) and answer.status == 200
    for session in list(stage.endpoint.sessions):
        session.end_by_us(stage.now, "", 480)
    stage.run(20_000)
    assert stage.left == {}


def after(stage: Stage, data: bytes) -> list[bytes]:
    stage.udp.take()
    stage.receive(data)
    return stage.udp.take()


@STEADY
@given(
    st.lists(st.one_of(mutated(LIVE_SEEDS), st.sampled_from(LIVE_SEEDS), ANY), min_size=1, max_size=6),
    st.lists(st.integers(0, 5000), max_size=12),
)
def test_a_stream_in_random_chunks_ends_in_messages_or_in_a_parse_error(parts: list[bytes], cuts: list[int]) -> None:
    """What a connection does: bytes through the framer into the endpoint, until it can be framed no further."""
    stage, _ = live_stage()
    framer = StreamFramer()
    try:
        for chunk in in_chunks(b"".join(parts), cuts):
            for data in framer.feed(chunk):
                stage.endpoint.receive(data, Flow(stage.tcp, PEER, 41000), stage.now)
    except ParseError:
        assert framer.broken is not None
    for session in list(stage.endpoint.sessions):
        session.end_by_us(stage.now, "", 480)
    stage.run(20_000)
    assert stage.left == {}


@STEADY
@given(st.lists(st.sampled_from(LIVE_SEEDS), min_size=1, max_size=5), st.lists(st.integers(0, 3000), max_size=12))
def test_chunking_changes_nothing_that_is_answered(parts: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(parts)
    answers = []
    for pieces in ([stream], in_chunks(stream, cuts)):
        stage, _ = live_stage()
        framer = StreamFramer()
        for piece in pieces:
            for data in framer.feed(piece):
                stage.endpoint.receive(data, Flow(stage.tcp, PEER, 41000), stage.now)
        answers.append(stage.tcp.take())
    assert answers[0] == answers[1]

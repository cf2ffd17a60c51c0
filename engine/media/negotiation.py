"""What a media port says in SDP and what it understands of its peer's: RFC 3264 for PCMU, PCMA and telephone-event.

`engine.sip.sdp` does the reading and the writing. In front of it stands a memo for the offers that make up nearly all
traffic: the same phones and trunks offer the same media part over and over, with only the `o=` line, the address and
the port changing. Such an offer is recognised by one regular expression, and its answer is put together from the
part that the full path wrote the first time.
"""

import re
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from typing import NamedTuple

from engine.media.codecs import Codec, by_name
from engine.media.latch import Address
from engine.media.srtp import Keys
from engine.sip import sdp
from engine.sip.grammar import ParseError

CODECS = (sdp.PCMU, sdp.PCMA, sdp.TELEPHONE_EVENT)
"""What a media port can do anything with, in the order of its own offers."""

_LISTENING = frozenset({"sendrecv", "recvonly"})

_PLAIN = re.compile(
    rb"v=0\r\no=[^ \r\n\0]+ \d+ \d+ IN IP[46] [^ \r\n\0]+\r\ns=[^\r\n\0]*\r\nc=IN IP[46] ([0-9a-fA-F.:]{2,45})\r\n"
    rb"t=0 0\r\nm=audio ([1-9]\d{0,4}) ((?:RTP/AVP[^\r\n]*\r\n)(?:a=[^\r\n]*\r\n)*)"
)
"""An offer of one audio stream whose answer depends on nothing but group 3."""

_MEMO_SIZE = 128
_MEMO_TAIL = 1024
"""Entries, and octets of the longest offer's media part that is remembered: at most some 300 KB in all."""

_HOLD = frozenset({b"0.0.0.0", b"::", b"0:0:0:0:0:0:0:0"})


class NotAcceptable(ParseError):
    """Media that cannot be agreed on: `status` is 488, or 400 and 413 where the description itself is at fault."""

    def __init__(self, message: str, status: int = 488) -> None:
        super().__init__(message, status)


class Agreed(NamedTuple):
    """What one exchange of offer and answer agreed on."""

    remote: Address
    """Where the peer's description wants media."""
    rtcp: Address
    """Where it wants RTCP: `a=rtcp` (RFC 3605), the port above, or the same one where both agreed to `rtcp-mux`."""
    listening: bool
    """Whether the peer wants to be sent anything: false while it holds us (RFC 3264 §8.4)."""
    talking: bool
    """Whether the peer sends anything: false where it is recvonly or inactive, so that its silence is no fault."""
    payload_types: Mapping[int, int]
    """The numbers that the peer sends, each with the number that it wants to be sent for the same format."""
    events: int | None
    """The peer's number for RFC 4733 events on the clock of `codec`, None where it takes none."""
    codec: Codec
    """What we send."""
    codec_payload_type: int
    """The peer's number for `codec`."""
    codecs: Mapping[int, Codec]
    """What the peer may send, by its numbers: it may change from packet to packet (RFC 3264 §5.1)."""
    event_types: frozenset[int]
    """The numbers of the events that the peer may send."""
    rtcp_mux: bool
    """RTP and RTCP share one port (RFC 5761)."""
    packet: int
    """Milliseconds of a packet that we send: 20, or 10 where the peer's `maxptime` is below 20."""
    crypto: Keys | None
    """The keys of SRTP (RFC 4568), None where media is plain."""


class _Answer(NamedTuple):
    """What is remembered of an answer: all that follows its port, and the agreement without the address."""

    tail: bytes
    agreed: Agreed


_memo: dict[bytes, _Answer] = {}


def answer(offer: bytes, host: str, port: int, session_id: int, version: int) -> tuple[bytes, Agreed]:
    """The answer to `offer` from our `host` (numeric, unbracketed) and `port`, with `o=` of the two numbers given.

    Raises NotAcceptable: 488 for no audio, no profile or no codec of ours; 400 and 413 for a broken description.
    """
    match = _PLAIN.fullmatch(offer)
    if match is None:
        return _full_answer(offer, host, port, session_id, version)
    address, number, tail = match.groups()
    known = _memo.get(tail)
    if known is None or address in _HOLD or int(number) > 65535:
        whole, agreed = _full_answer(offer, host, port, session_id, version)
        if len(tail) <= _MEMO_TAIL and address not in _HOLD:
            _remember(tail, whole, agreed, host, port, session_id, version)
        return whole, agreed
    remote = (_numeric(address.decode("ascii")), int(number))
    return (
        _compose(host, port, session_id, version, known.tail),
        known.agreed._replace(remote=remote, rtcp=(remote[0], remote[1] + 1)),
    )


def offer(
    host: str, port: int, session_id: int, version: int, names: Sequence[str] = (), events: int | None = None
) -> bytes:
    """Our own offer. `names` (PCMU, PCMA) gives the codecs and their order, all of ours where empty or unknown;
    `events` is the number that telephone-event had before in this session (RFC 3264 §8.3.2), None for our own."""
    voice = [codec for name in names for codec in CODECS[:-1] if codec.name == name.upper()] or list(CODECS[:-1])
    number = sdp.TELEPHONE_EVENT.payload_type if events is None else events
    codecs = [*dict.fromkeys(voice), sdp.TELEPHONE_EVENT._replace(payload_type=number)]
    return bytes(sdp.offer_audio(codecs, host, port, session_id=session_id, version=version))


def accept(ours: bytes, theirs: bytes) -> Agreed:
    """What `theirs`, the answer to our offer `ours`, agrees on. Raises NotAcceptable when that is nothing."""
    try:
        description, offered = sdp.parse(theirs), sdp.parse(ours).media[0].codecs()
        if len(description.media) != 1:
            raise NotAcceptable(f"{len(description.media)} media streams answer the one that was offered", 400)
        remote = sdp.remote_audio(description)
        taken = description.media[0].codecs()
    except ParseError as error:
        raise NotAcceptable(str(error), error.status) from error
    if remote is None:
        raise NotAcceptable("the answer refuses audio")
    pairs = {mine.payload_type: codec.payload_type for codec in taken for mine in offered if mine.matches(codec)}
    if not any(mine.matches(codec) for codec in remote.codecs for mine in offered):
        raise NotAcceptable("no codec in common")
    listening = remote.direction in _LISTENING
    return _skeleton((_numeric(remote.address), remote.port), listening, pairs, remote.telephone_event, taken)


def _skeleton(
    remote: Address, listening: bool, pairs: dict[int, int], events: int | None, taken: list[sdp.Codec]
) -> Agreed:
    known = {codec.payload_type: ours for codec in taken if (ours := by_name(codec.name)) is not None}
    number = next(iter(known))
    return Agreed(
        remote,
        (remote[0], remote[1] + 1),
        listening,
        True,
        pairs,
        events,
        known[number],
        number,
        known,
        frozenset(() if events is None else (events,)),
        False,
        20,
        None,
    )


def _full_answer(body: bytes, host: str, port: int, session_id: int, version: int) -> tuple[bytes, Agreed]:
    try:
        theirs = sdp.parse(body)
        ours = sdp.answer_audio(theirs, CODECS, host, port, session_id=session_id, version=version)
        at = next(at for at, media in enumerate(ours.media) if media.port)  # the stream that was taken
        address = theirs.address_of(theirs.media[at])
        listening = theirs.direction_of(theirs.media[at]) in _LISTENING
    except ParseError as error:
        raise NotAcceptable(str(error), error.status) from error
    codecs = ours.media[at].codecs()
    events = next((codec.payload_type for codec in codecs if codec.matches(sdp.TELEPHONE_EVENT)), None)
    numbers = {codec.payload_type: codec.payload_type for codec in codecs}
    remote = (_numeric(address), theirs.media[at].port)
    return bytes(ours), _skeleton(remote, listening, numbers, events, codecs)


def _remember(tail: bytes, whole: bytes, agreed: Agreed, host: str, port: int, session_id: int, version: int) -> None:
    start = b"\r\nm=audio %d " % port
    at = whole.find(start)
    known = _Answer(whole[at + len(start) :], agreed)
    # Only what the short path writes exactly as the full one does may take the short path.
    if at >= 0 and _compose(host, port, session_id, version, known.tail) == whole:
        if len(_memo) >= _MEMO_SIZE:
            del _memo[next(iter(_memo))]  # the oldest: offers that never come again push each other out
        _memo[tail] = known


def _compose(host: str, port: int, session_id: int, version: int, tail: bytes) -> bytes:
    line = f"IN IP6 {host}" if ":" in host else f"IN IP4 {host}"
    head = f"v=0\r\no=- {session_id} {version} {line}\r\ns=-\r\nc={line}\r\nt=0 0\r\nm=audio {port} "
    return head.encode("ascii") + tail


def _numeric(host: str) -> str:
    """The one spelling of an address that sockets use; a name is left as it is."""
    if ":" not in host:
        return host
    try:
        return str(ip_address(host))
    except ValueError:
        return host

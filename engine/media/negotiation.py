"""Negotiation of our own media: what a port offers and answers in SDP (RFC 3264), keys included (RFC 4568).

`engine.sip.sdp.offer_answer` does the reading and the writing. In front of it stands a memo for the offers that make up
nearly all traffic: the same phones and trunks offer the same media part over and over, with only the `o=` line, the
address and the port changing. Such an offer is recognised by one regular expression, and its answer is put together
from the part that the full path wrote the first time.
"""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from engine.media.codec.codec import Codec
from engine.media.codec.registry import PCMA, PCMU, of_format
from engine.media.rtp.agreement import Agreed
from engine.media.rtp.latch import spelt
from engine.media.rtp.srtp import SUITES, Crypto, Keys, new_key
from engine.sip.message.grammar import ParseError
from engine.sip.sdp import description as sdp
from engine.sip.sdp import offer_answer

CODECS: Final = (PCMU, PCMA)
"""What is offered and taken where nobody says otherwise."""

EVENTS: Final = (sdp.TELEPHONE_EVENT, sdp.TELEPHONE_EVENT_48000)

_LISTENING = frozenset({"sendrecv", "recvonly"})
_TALKING = frozenset({"sendrecv", "sendonly"})

_PLAIN = re.compile(
    rb"v=0\r\no=[^ \r\n\0]+ \d+ \d+ IN IP[46] [^ \r\n\0]+\r\ns=[^\r\n\0]*\r\nc=IN IP[46] ([0-9a-fA-F.:]{2,45})\r\n"
    rb"t=0 0\r\nm=audio ([1-9]\d{0,4}) ((?:RTP/AVP[^\r\n]*\r\n)(?:a=[^\r\n]*\r\n)*)"
)
"""An offer of one audio stream whose answer depends on nothing but group 3."""

MEMO_SIZE: Final = 128
MEMO_TAIL: Final = 1024
"""Entries of `memo`, and octets of the longest offer's media part that is remembered: at most some 300 KB in all."""

_ONE_TIME = (b"a=crypto:", b"a=rtcp:", b"a=ssrc:", b"a=candidate:")
"""Lines that hold a key, a port or a number of this one call: what has them never comes again."""

_HOLD = frozenset({b"0.0.0.0", b"::", b"0:0:0:0:0:0:0:0"})

_DYNAMIC: Final = range(96, 128)
"""Payload types without a meaning of their own (RFC 3551 §6)."""


class NotAcceptable(ParseError):
    """Media that cannot be agreed on: `status` is 488, or 400 and 413 where the description itself is at fault.
    `warning` is the code for a Warning header (RFC 3261 §20.43)."""

    def __init__(self, message: str, status: int = 488, warning: int = offer_answer.MISCELLANEOUS) -> None:
        super().__init__(message, status)
        self.warning = warning


class _Answer(NamedTuple):
    """What is remembered of an answer: all that follows its port, and the agreement but for the addresses."""

    tail: bytes
    terms: tuple[object, ...]
    rtcp: int
    """What is added to the port for RTCP."""


memo: dict[tuple[bytes, tuple[Codec, ...]], _Answer] = {}
"""What has been answered, by group 3 of the offer and the codecs, the oldest first."""


def answer(
    offer: bytes,
    host: str,
    port: int,
    session_id: int,
    version: int,
    codecs: tuple[Codec, ...] = CODECS,
    previous: Agreed | None = None,
) -> tuple[bytes, Agreed]:
    """The answer to `offer` from our `host` (numeric, unbracketed) and `port`, with `o=` of the two numbers given.

    `codecs` are those we take, in any order: what is used is the first of the offer's (RFC 3264 §6.1). `previous` is
    what this session agreed on before, whose key of ours is kept, and which an offer may end by port 0: then neither
    side sends (RFC 3264 §8.2). Raises NotAcceptable: 488 for no audio, no profile,
    no codec of ours or no usable key; 400 and 413 for a broken description.
    """
    match = _PLAIN.fullmatch(offer)
    if match is None:
        return full_answer(offer, host, port, session_id, version, codecs, previous)
    address, number, tail = match.groups()
    known = memo.get((tail, codecs))
    if known is None or address in _HOLD or int(number) >= 65535:
        whole, agreed = full_answer(offer, host, port, session_id, version, codecs, previous)
        if len(tail) <= MEMO_TAIL and address not in _HOLD and int(number) < 65535:
            _remember(tail, codecs, whole, agreed, host, port, session_id, version)
        return whole, agreed
    where, at = spelt(address.decode("ascii")), int(number)
    return (
        _compose(host, port, session_id, version, known.tail),
        Agreed._make(((where, at), (where, at + known.rtcp), *known.terms)),
    )


def offer(
    host: str,
    port: int,
    session_id: int,
    version: int,
    codecs: Sequence[Codec] = CODECS,
    previous: Agreed | None = None,
    *,
    srtp: bool = False,
) -> bytes:
    """Our own offer of `codecs`, in this order.

    `previous` is what this session agreed on before: a number keeps its meaning (RFC 3264 §8.3.2), and media that was
    protected stays so, under the same profile. `srtp` offers SRTP alone (RTP/SAVP), with both suites.
    """
    clocks = {codec.sdp.clock_rate for codec in codecs}
    events = [event for event in EVENTS if event.clock_rate in clocks]
    formats = _numbered([*(codec.sdp for codec in codecs), *events], previous)
    crypto: list[Crypto] = []
    profile = ""
    if previous is not None and previous.crypto is not None:
        crypto, profile = [previous.crypto.ours], previous.profile
    elif srtp:
        crypto = [Crypto(tag, suite, new_key()) for tag, suite in enumerate(SUITES, 1)]
    lines = [str(line) for line in crypto]
    written = offer_answer.offer_audio(
        formats, host, port, session_id=session_id, version=version, crypto=lines, profile=profile
    )
    return bytes(written)


def accept(ours: bytes, theirs: bytes) -> Agreed:
    """What `theirs`, the answer to our offer `ours`, agrees on. Raises NotAcceptable when that is nothing."""
    try:
        description, offered = sdp.parse(theirs), sdp.parse(ours).media[0]
        if len(description.media) != 1:
            raise NotAcceptable(f"{len(description.media)} media streams answer the one that was offered", 400)
        media = description.media[0]
        if media.kind.lower() != "audio" or not media.port:
            raise NotAcceptable("the answer refuses audio")
        if media.protocol.upper() != offered.protocol:
            raise NotAcceptable(f"{offered.protocol} was offered and another profile answered")
        if not description.address_of(media):
            raise NotAcceptable("audio without a usable c= line")
        # RFC 3264 §6.1: each side is sent its own numbers.
        pairs = [
            (mine.payload_type, codec) for codec in media.codecs() for mine in offered.codecs() if mine.matches(codec)
        ]
        secure = offered.protocol in sdp.SECURE_PROFILES
        keys = _taken_keys(offered, media) if secure or (_has_keys(offered) and _has_keys(media)) else None
        mux = _has_mux(media) and _has_mux(offered)
        return _agreed(description, media, pairs, mux, keys)
    except NotAcceptable:
        raise
    except ParseError as error:
        raise NotAcceptable(str(error), error.status) from error


def full_answer(
    body: bytes,
    host: str,
    port: int,
    session_id: int,
    version: int,
    codecs: Sequence[Codec] = CODECS,
    previous: Agreed | None = None,
) -> tuple[bytes, Agreed]:
    """`answer` without the memo."""
    keys: dict[int, Keys] = {}

    def ours_for(media: sdp.Media) -> str:
        theirs = next((line for value in media.attributes("crypto") if (line := Crypto.parse(value))), None)
        if theirs is None:
            return ""
        before = previous.crypto if previous is not None else None
        # A key that is kept keeps the packets' index going on both sides (RFC 4568 §7.1.4).
        kept = before is not None and before.ours.suite == theirs.suite
        key = before.ours.key if before is not None and kept else new_key()
        keys[id(media)] = Keys(Crypto(theirs.tag, theirs.suite, key), theirs)
        return str(keys[id(media)].ours)

    try:
        theirs = sdp.parse(body)
        taken = offer_answer.answer_audio(
            theirs,
            [*(codec.sdp for codec in codecs), *EVENTS],
            host,
            port,
            session_id=session_id,
            version=version,
            rtcp_mux=True,
            keys=ours_for,
            running=previous is not None,
        )
        if previous is not None and offer_answer.ends_audio(theirs):
            return bytes(taken), previous._replace(listening=False, talking=False)
        at = next(at for at, media in enumerate(taken.media) if media.port)  # the stream that was taken
        offered, mine = theirs.media[at], taken.media[at]
        pairs = [(codec.payload_type, codec) for codec in mine.codecs()]
        agreed = _agreed(theirs, offered, pairs, _has_mux(mine), keys.get(id(offered)))
    except NotAcceptable:
        raise
    except offer_answer.NoAgreement as error:
        raise NotAcceptable(str(error), error.status, error.warning) from error
    except ParseError as error:
        raise NotAcceptable(str(error), error.status) from error
    return bytes(taken), agreed


def _agreed(
    description: sdp.SessionDescription,
    media: sdp.Media,
    pairs: Sequence[tuple[int, sdp.Codec]],
    mux: bool,
    keys: Keys | None,
) -> Agreed:
    """The agreement with the author of `description` on `media`; `pairs` are the formats in common, each with the
    number that the peer sends it under."""
    packet = _packet(media.milliseconds("maxptime"))
    pairs = _with_events_of_the_peer(pairs)
    codecs: dict[int, Codec] = {}
    sent: tuple[int, Codec] | None = None
    for number, form in pairs:
        codec = of_format(form)
        if codec is None:
            continue
        codecs.setdefault(number, codec)
        # A packet of Opus cannot be divided; where that is too long another codec is better.
        if sent is None or (not sent[1].octets and codec.octets and packet < 20):
            sent = (form.payload_type, codec)
    if sent is None:
        raise NotAcceptable("no codec in common", warning=offer_answer.NO_FORMAT)
    payload_type, codec = sent
    events = [form for _, form in pairs if form.is_events]
    event = next((form for form in events if form.clock_rate == codec.clock), events[0] if events else None)
    remote = (spelt(description.address_of(media)), media.port)
    rtcp = remote if mux else description.rtcp_of(media)
    direction = description.direction_of(media)
    return Agreed(
        remote=remote,
        rtcp=(spelt(rtcp[0]), rtcp[1]),
        codec=codec,
        codec_payload_type=payload_type,
        codecs=codecs,
        payload_types={number: form.payload_type for number, form in pairs},
        events=None if event is None else event.payload_type,
        event_clock=codec.clock if event is None else event.clock_rate,
        event_types={number: form.clock_rate for number, form in pairs if form.is_events},
        listening=direction in _LISTENING,
        talking=direction in _TALKING,
        packet=packet if codec.octets else 20,
        rtcp_mux=mux,
        crypto=keys,
        profile=media.protocol.upper(),
    )


def _with_events_of_the_peer(pairs: Sequence[tuple[int, sdp.Codec]]) -> list[tuple[int, sdp.Codec]]:
    """`pairs`, and the numbers of the peer's own for events: where it has answered our number by another it is to use
    ours (RFC 3264 §5.1), and many a gateway uses its own. That is taken, unless it means something else."""
    known = {number for number, _ in pairs}
    own = [form for _, form in pairs if form.is_events and form.payload_type not in known]
    return [*pairs, *((form.payload_type, form) for form in own)]


def _packet(longest: int) -> int:
    """Milliseconds of our packets where the peer takes `longest` (0: says nothing)."""
    return next((size for size in (20, 10) if not longest or size <= longest), 5)


def _numbered(formats: Sequence[sdp.Codec], previous: Agreed | None) -> list[sdp.Codec]:
    """`formats` under the numbers that they have had in this session, and under free ones of ours otherwise."""
    had: dict[tuple[str, int], int] = {}
    if previous is not None:
        had |= {(codec.sdp.name.lower(), codec.sdp.clock_rate): number for number, codec in previous.codecs.items()}
        had |= {(sdp.TELEPHONE_EVENT.name, clock): number for number, clock in previous.event_types.items()}
    taken = set(had.values())
    numbered = []
    for form in formats:
        number = had.get((form.name.lower(), form.clock_rate))
        if number is None:
            number = form.payload_type
            if number in taken:
                number = next((free for free in reversed(_DYNAMIC) if free not in taken), number)
        taken.add(number)
        numbered.append(form._replace(payload_type=number))
    return numbered


def _taken_keys(offered: sdp.Media, answered: sdp.Media) -> Keys:
    """The keys of an answer: its one line names the one of ours that it takes (RFC 4568 §7.1.3)."""
    mine = [line for value in offered.attributes("crypto") if (line := Crypto.parse(value))]
    lines = list(answered.attributes("crypto"))
    theirs = Crypto.parse(lines[0]) if len(lines) == 1 else None
    if theirs is not None:
        for line in mine:
            if line.tag == theirs.tag and line.suite == theirs.suite:
                return Keys(line, theirs)
    raise NotAcceptable("the answer takes none of the keys that were offered")


def _has_keys(media: sdp.Media) -> bool:
    return any(True for _ in media.attributes("crypto"))


def _has_mux(media: sdp.Media) -> bool:
    return any(True for _ in media.attributes("rtcp-mux"))


def _remember(
    tail: bytes,
    codecs: tuple[Codec, ...],
    whole: bytes,
    agreed: Agreed,
    host: str,
    port: int,
    session_id: int,
    version: int,
) -> None:
    if any(line in tail for line in _ONE_TIME):
        return
    start = b"\r\nm=audio %d " % port
    at = whole.find(start)
    known = _Answer(whole[at + len(start) :], agreed[2:], agreed.rtcp[1] - agreed.remote[1])
    # Only what the short path writes exactly as the full one does may take the short path.
    if at >= 0 and _compose(host, port, session_id, version, known.tail) == whole:
        if len(memo) >= MEMO_SIZE:
            del memo[next(iter(memo))]  # the oldest: offers that never come again push each other out
        memo[tail, codecs] = known


def _compose(host: str, port: int, session_id: int, version: int, tail: bytes) -> bytes:
    line = f"IN IP6 {host}" if ":" in host else f"IN IP4 {host}"
    head = f"v=0\r\no=- {session_id} {version} {line}\r\ns=-\r\nc={line}\r\nt=0 0\r\nm=audio {port} "
    return head.encode("ascii") + tail

"""Settings of a user agent."""

from dataclasses import dataclass, field

from engine.sip.core import Policy
from engine.transport.listen_spec import WebSocketOptions


@dataclass(slots=True)
class AgentSettings:
    """How a user agent works. Times in seconds."""

    policy: Policy = field(default_factory=Policy)
    advertise: str = ""
    max_calls: int = 20_000  # incoming calls at once; 503 beyond
    stranger_calls: float = 0.0  # the share of them that one stranger may have, at least one; 0: no limit
    max_call_duration: float = 14_400.0  # 0: no limit
    invite_rate: float = 0.0  # new calls and texts a second of one stranger; 0: no limit
    invite_burst: int = 50
    rtp_first: int = 20_000
    rtp_last: int = 29_999
    rtp_timeout: float = 300.0  # s without RTP and RTCP until a call with media of ours is hung up; 0: never
    silence: bool = True  # answered calls that wait are sent silence
    keepalive: float = 15.0  # s between two packets to a call that hears nothing; 0: none
    inband_digits: str = "auto"  # keys heard as tones: auto (from peers without telephone-event), never, always
    codecs: tuple[str, ...] = ()  # of our own media, in the order of our offers; PCMU and PCMA where empty
    websocket: WebSocketOptions = field(default_factory=WebSocketOptions)
    nameservers: tuple[tuple[str, int], ...] = ()  # the machine's own where empty
    trace_messages: int = 10_000

"""The table of SIPp cases: who calls what from where, which providers are there, and what each SIPp must have counted.

Addresses: callers at 127.0.2.x are guests, at 127.0.3.x trusted clients, at 127.0.4.x a trunk. The number +8210000NN001
goes to the provider at 127.0.0.NN:5080 (and on to the next ones where trunkline.yaml has a second route), so that cases
do not meet each other and can run side by side.
"""

from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
CONFIGURATION = HERE / "trunkline.yaml"
GUEST, CLIENT, TRUNK = "127.0.2.1", "127.0.3.1", "127.0.4.1"
ANY = (0, 1_000_000)
"""Retransmissions that a case does not care about."""


def abroad(provider: int) -> str:
    """The foreign number whose first provider is at 127.0.0.`provider`."""
    return f"+8210000{provider:02d}001"


@dataclass(slots=True)
class Caller:
    """A SIPp uac: `calls` calls of `scenario` to `number`, one after another.

    `heard` says how often a message with that start line must have come, copies included, that SIPp itself swallows.
    """

    scenario: str
    number: str
    source: str = CLIENT
    calls: int = 1
    transport: str = "u1"
    keys: dict[str, str] = field(default_factory=dict)
    retransmissions: tuple[int, int] = (0, 0)
    heard: dict[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(slots=True)
class Provider:
    """A SIPp uas at `host`:`port` that must see exactly `calls` calls, all of them as `scenario` has it."""

    scenario: str
    host: str
    calls: int = 1
    port: int = 5080
    transport: str = "u1"
    keys: dict[str, str] = field(default_factory=dict)
    retransmissions: tuple[int, int] = (0, 0)


@dataclass(slots=True)
class Case:
    """One row of the suite. `direct`: the caller's and the provider's scenario fit without an engine, too."""

    name: str
    caller: Caller
    providers: list[Provider] = field(default_factory=list)
    timeout: float = 30.0
    long: bool = False
    direct: bool = False
    ipv6: bool = False


def at(number: int, scenario: str = "uas_answer", calls: int = 1, **more: object) -> Provider:
    """The provider at 127.0.0.`number`."""
    return Provider(scenario, f"127.0.0.{number}", calls, **more)  # type: ignore[arg-type]


def refusing(number: int, status: int, header: str = "X-Test: none") -> Provider:
    """The provider at 127.0.0.`number` that refuses with `status` and one more header."""
    return at(number, f"uas_{status}", keys={"header": header})


def nobody(number: int) -> Provider:
    """The provider at 127.0.0.`number`, where no call may arrive."""
    return at(number, "uas_never", 0)


def texting(sender: int, words: str) -> Caller:
    """A text from the number whose provider is at 127.0.0.`sender`, through the trunk."""
    return Caller("uac_message", TEXTED, TRUNK, keys={"sender": abroad(sender), "words": words})


def choosing(scenario: str) -> Caller:
    """A call to the menu whose sales are at 127.0.0.90. Its media, in PCMU, leads nowhere."""
    return Caller(scenario, "+15550100090", keys={"media_at": "192.0.2.77", "media_to": "40000", "formats": "0"})


TEXTED = "+15550100073"
CHALLENGE = 'WWW-Authenticate: Digest realm="trunk.example", nonce="77ab"'
CASES = [
    # our own numbers
    Case("normal number", Caller("uac_call", "+15550100010", GUEST), [at(10)], direct=True),
    Case("normal number from a trunk", Caller("uac_call", "+15550100011", TRUNK), [at(11)]),
    Case("virtual number answers with echo", Caller("uac_answered", "+899100000001", GUEST)),
    Case("unknown number from a trunk", Caller("uac_404", "+15550199999", TRUNK)),
    Case("released number", Caller("uac_404", "+15550100404", GUEST)),
    Case("suspended number", Caller("uac_480", "+15550100480", GUEST)),
    Case("number without a flow", Caller("uac_480_warning", "+15550100481", GUEST)),
    Case("virtual number from a trunk", Caller("uac_404", "+899100000001", TRUNK)),
    Case("guest dials out", Caller("uac_403", abroad(99), GUEST), [nobody(99)]),
    Case("over-long number", Caller("uac_484", "+1555" + "0" * 40, GUEST)),
    Case("no route to the number", Caller("uac_480", "+35312345678")),
    Case("redirected by its flow", Caller("uac_302", "+15550100302", GUEST)),
    # a call from end to end
    Case("early media", Caller("uac_early_media", abroad(12)), [at(12, "uas_early_media")], direct=True),
    Case("cancel before ringing", Caller("uac_cancel_early", abroad(13)), [at(13, "uas_cancelled_early")], direct=True),
    Case(
        "cancel while ringing", Caller("uac_cancel_ringing", abroad(14)), [at(14, "uas_cancelled_ringing")], direct=True
    ),
    Case("busy stops the hunt", Caller("uac_486", abroad(15)), [refusing(15, 486), nobody(16)], direct=True),
    Case("hold and resume by the caller", Caller("uac_hold", abroad(17)), [at(17, "uas_held")], direct=True),
    Case("hold, resume and BYE by the provider", Caller("uac_held", abroad(18)), [at(18, "uas_hold")], direct=True),
    Case("BYE by the provider", Caller("uac_hung_up", abroad(19)), [at(19, "uas_hang_up")], direct=True),
    Case("caller requires 100rel", Caller("uac_prack", abroad(20)), [at(20, "uas_ring_slowly")]),
    Case("provider rings reliably", Caller("uac_call", abroad(21)), [at(21, "uas_prack")]),
    Case("session refresh by UPDATE", Caller("uac_refresh_update", abroad(22)), [at(22, "uas_refreshed")]),
    Case("session refresh by re-INVITE", Caller("uac_refresh_reinvite", abroad(23)), [at(23, "uas_refreshed")]),
    Case("session interval too small", Caller("uac_422", abroad(24)), [at(24, "uas_refreshed")]),
    Case("late offer", Caller("uac_late_offer", abroad(25)), [at(25, "uas_late_offer")], direct=True),
    Case(
        "large INVITE goes by TCP",
        Caller("uac_large", abroad(26), transport="t1"),
        [at(26, "uas_large", transport="t1")],
        direct=True,
    ),
    Case(
        "provider with transport tcp", Caller("uac_call", abroad(27)), [at(27, "uas_tcp", transport="t1")], direct=True
    ),
    Case(
        "IPv6 on both legs",
        Caller("uac_ipv6", "+15550100028", "::1"),
        [Provider("uas_ipv6", "::1", port=5088)],
        direct=True,
        ipv6=True,
    ),
    Case("INFO is relayed", Caller("uac_info", abroad(60)), [at(60, "uas_info")], direct=True),
    Case("UPDATE is relayed", Caller("uac_update", abroad(61)), [at(61, "uas_update")], direct=True),
    Case(
        "ten calls one after another",
        Caller("uac_call", "+15550100029", GUEST, calls=10),
        [at(29, calls=10)],
        direct=True,
    ),
    # transfers
    Case(
        "the caller sends the provider on",
        Caller("uac_sends_on", abroad(91), keys={"target": abroad(92)}),
        [at(91, "uas_moved"), at(92, "uas_hang_up")],
    ),
    Case("a provider may not send the caller on", Caller("uac_hung_up", abroad(93)), [at(93, "uas_refers")]),
    Case("a flow sends its caller on", Caller("uac_sent_on", "+15550100091", GUEST)),
    # failover
    Case("503, then the next", Caller("uac_call", abroad(30)), [refusing(30, 503), at(31)]),
    Case("404 stops the hunt", Caller("uac_404", abroad(32)), [refusing(32, 404), nobody(33)], direct=True),
    Case("603 stops the hunt", Caller("uac_603", abroad(71)), [refusing(71, 603), nobody(72)], direct=True),
    Case("401 with credentials", Caller("uac_call", abroad(34)), [at(34, "uas_digest")]),
    Case("401 without credentials", Caller("uac_call", abroad(35)), [refusing(35, 401, CHALLENGE), at(36)]),
    Case("100 and silence, then the next", Caller("uac_call", abroad(37)), [at(37, "uas_100_silence"), at(38)]),
    Case("silence, then the next", Caller("uac_call", abroad(39)), [at(39, "uas_silent", retransmissions=ANY), at(40)]),
    Case("refused port, then the next", Caller("uac_call", abroad(41)), [at(42)]),
    Case("183 and 503, then the next", Caller("uac_call", abroad(43)), [at(43, "uas_progress_503"), at(44)]),
    Case(
        "503 with Retry-After cools down",
        Caller("uac_call", abroad(45), calls=2),
        [refusing(45, 503, "Retry-After: 30"), at(46, calls=2)],
    ),
    Case("third provider answers", Caller("uac_call", abroad(47)), [refusing(47, 500), at(49)]),
    Case("3xx, then the next", Caller("uac_call", abroad(62)), [at(62, "uas_redirect"), at(63)]),
    Case("503 from the last becomes 500", Caller("uac_500", abroad(70)), [refusing(70, 503)]),
    # what the provider is sent
    Case("tech prefix", Caller("uac_call", abroad(50)), [at(50, "uas_prefix")]),
    Case("tech postfix", Caller("uac_call", abroad(51)), [at(51, "uas_postfix")]),
    Case("prefix and postfix, escaped", Caller("uac_call", abroad(52)), [at(52, "uas_both")]),
    Case("@ in the postfix", Caller("uac_call", abroad(53)), [at(53, "uas_at_postfix")]),
    Case("tech headers", Caller("uac_call", abroad(54)), [at(54, "uas_headers")]),
    Case("anonymous", Caller("uac_call", "+15550100055"), [at(55, "uas_anonymous")]),
    Case("nothing of the caller's leg", Caller("uac_marked", abroad(56)), [at(56, "uas_clean")]),
    Case("number_format plain", Caller("uac_call", abroad(57)), [at(57, "uas_plain")]),
    # text messages: `Caller` is who texts, `Provider` where the answer goes to
    Case("HOURS is answered", texting(73, "hours"), [at(73, "uas_message")]),
    Case("the number that is texted is called", Caller("uac_call", TEXTED, GUEST), [at(79)]),
    Case("another text is forwarded", texting(73, "Where is my parcel?"), [at(74, "uas_message_forwarded")]),
    Case(
        "STOP is confirmed and kept",
        Caller("uac_message_stop", TEXTED, TRUNK, keys={"sender": abroad(75)}),
        [at(75, "uas_message_stopped")],
    ),
    Case("a text's 503, then the next", texting(76, "HOURS"), [at(76, "uas_message_503"), at(77, "uas_message_next")]),
    Case("a text's 401 with credentials", texting(78, "HOURS"), [at(78, "uas_message_digest")]),
    # menus
    Case("a menu connects who presses 1, by INFO", choosing("uac_ivr_info"), [at(90, "uas_hang_up")]),
    Case("a menu lets go who presses nothing", choosing("uac_ivr")),
    # races and losses
    Case("200 crosses CANCEL", Caller("uac_cancel_ringing", abroad(59)), [at(59, "uas_crossing")]),
    Case("two answers of a forking proxy", Caller("uac_call_long", abroad(64)), [at(64, "uas_fork")]),
    Case(
        "lost ACK",
        Caller("uac_no_ack", abroad(58), heard={"SIP/2.0 200 OK": (9, 12)}),
        [at(58, "uas_answer")],
        timeout=45.0,
        long=True,
    ),
]

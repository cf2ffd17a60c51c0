"""Any sequence of challenges and answers, of several addresses: who is banned is who guessed, as the rule says."""

from typing import Any, NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from engine.log import RateLimitedLog
from engine.sip.auth.digest import ha1_of_each
from engine.sip.auth.digest_client import answer, parse_challenges
from engine.sip.message.message import Request
from engine.sip.message.parsing import parse
from engine.sip.peers import counted_source
from routing.access.bans import BAN_SCORE, BAN_SECONDS, SCORE_WINDOW
from routing.access.peers import KnownPeers
from routing.directory.directory import Directory
from routing.directory.extensions import ExtensionRow
from routing.settings import RoutingSettings
from service.logins import NO_LOGIN, Logins

EDGE = "192.0.2.254"
SOURCES = ["192.0.2.1", "192.0.2.2", "2001:db8:0:1::1", "2001:db8:0:1::2", "2001:db8:0:2::1"]
URI = "sip:+442079460123@192.0.2.250"
LIFETIME = 300.0
DESK = ExtensionRow(name="desk", realm="trunkline", ha1=ha1_of_each("desk", "trunkline", "s3cret"))


class Step(NamedTuple):
    """`asked_by`: whose nonce it answers, "" for one that nobody was given."""

    source: str
    asked_by: str
    username: str
    password: str
    count: int
    fresh: bool  # asks for a nonce of its own before that
    edge: bool  # comes through an edge of ours
    pause: float


STEPS = st.builds(
    Step,
    source=st.sampled_from(SOURCES),
    asked_by=st.sampled_from([*SOURCES, ""]),
    username=st.sampled_from(["desk", "desk", "nobody"]),
    password=st.sampled_from(["s3cret", "a", "b", "c", "d", "e"]),
    count=st.integers(1, 3),
    fresh=st.booleans(),
    edge=st.booleans(),
    pause=st.sampled_from([0.0, 0.0, 0.0, 1.0, 61.0, 299.0, 601.0, 3600.0]),
)
# What thieves do: the same address, wrong passwords, with nonces of its own.
GUESSING = st.builds(
    Step,
    source=st.sampled_from(SOURCES[:3]),
    asked_by=st.sampled_from(SOURCES[:3]),
    username=st.just("desk"),
    password=st.sampled_from(["a", "b", "c", "d", "e"]),
    count=st.integers(1, 3),
    fresh=st.booleans(),
    edge=st.booleans(),
    pause=st.sampled_from([0.0, 0.0, 1.0, 61.0]),
)


class Silent:
    def __getattr__(self, _name: str) -> Any:
        return lambda *_given, **_named: None


def request(source: str, edge: bool, *headers: str) -> Request:
    noted = f"SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKc;received={source}"
    vias = [f"SIP/2.0/UDP {EDGE};branch=z9hG4bKe", noted] if edge else [noted]
    lines = [f"INVITE {URI} SIP/2.0", *(f"Via: {via}" for via in vias), *headers]
    lines += ["From: <sip:a@b>;tag=1", "To: <sip:c@d>", "Call-ID: 1", "CSeq: 1 INVITE", "", ""]
    message = parse("\r\n".join(lines).encode())
    assert isinstance(message, Request)
    return message


class Model:
    """The rule, as simply as it can be said."""

    def __init__(self) -> None:
        self.points: dict[str, list[tuple[float, str]]] = {}
        self.banned_at: dict[str, float] = {}

    def banned(self, source: str, now: float) -> bool:
        since = self.banned_at.get(source)
        return since is not None and now - since < BAN_SECONDS

    def guess(self, source: str, guess: str, now: float) -> None:
        points = [point for point in self.points.get(source, []) if now - point[0] < SCORE_WINDOW]
        if guess not in [known for _, known in points]:
            points.append((now, guess))
        self.points[source] = points
        if len(points) >= BAN_SCORE:
            self.banned_at[source] = now
            del self.points[source]


@given(st.lists(STEPS | GUESSING | GUESSING, max_size=60))
def test_who_is_banned_is_who_guessed(steps: list[Step]) -> None:
    now = 10_000.0

    def clock() -> float:
        return now

    directory = Directory()
    directory.put_extension(DESK)
    peers = KnownPeers(directory, RoutingSettings(proxies=(EDGE,)), clock)
    log: Any = Silent()
    logins = Logins(clock, log, RateLimitedLog(clock), directory, ["MD5"], peers)
    model = Model()
    nonces: dict[str, tuple[Any, float]] = {}
    used: set[tuple[str, int]] = set()
    for step in steps:
        now += step.pause
        host = EDGE if step.edge else step.source
        counted = counted_source(step.source)
        assert peers.banned(step.source) == model.banned(counted, now)
        if model.banned(counted, now):
            continue  # nothing of it is read
        if step.fresh or step.source not in nonces:
            ((_, shown),) = logins.challenges(request(step.source, step.edge), host, NO_LOGIN)
            nonces[step.source] = (parse_challenges([shown])[0], now)
        challenge, asked_at = nonces.get(step.asked_by, (None, 0.0))
        issued_to = counted_source(step.asked_by) if challenge is not None else ""
        if challenge is None:
            made_up = f'Digest realm="trunkline", nonce="1.1.{"0" * 32}", algorithm=MD5, qop="auth"'
            (challenge,) = parse_challenges([made_up])
        made = answer(
            challenge,
            username=step.username,
            password=step.password,
            method="INVITE",
            uri=URI,
            cnonce="c0ffee",
            nc=step.count,
        )
        verdict = logins.judge(request(step.source, step.edge, f"Authorization: {made}"), host, "call")
        replayed = (challenge.nonce, step.count) in used
        good_nonce = issued_to == counted and now - asked_at <= LIFETIME and not replayed
        right = (step.username, step.password) == ("desk", "s3cret")
        assert verdict.accepted == (good_nonce and right)
        assert verdict.stale == (not good_nonce)  # whatever the password
        if verdict.accepted:
            used.add((challenge.nonce, step.count))
            model.points.pop(counted, None)
            assert peers.kind(step.source) == "phone"
        elif good_nonce:
            model.guess(counted, made, now)
        assert {source for source in SOURCES if peers.banned(source)} == {
            source for source in SOURCES if model.banned(counted_source(source), now)
        }
    assert not peers.banned(EDGE)

"""The ring of the last messages, and the token bucket of each source."""

from engine import rate_limit
from engine.capture.trace import Trace
from engine.rate_limit import RateLimit
from engine.sip.flow import Flow
from tests.simulation.network import Network, Node

FLOW = Flow(Node(Network(), "10.0.0.1"), "10.0.0.2", 5060)


def filled(trace: Trace, count: int, size: int = 10) -> list[bytes]:
    for number in range(count):
        trace.add(float(number), True, FLOW, f"{number:0{size}d}".encode())
    return [traced.data for traced in trace]


def test_the_ring_is_bounded_by_messages() -> None:
    assert filled(Trace(messages=3), 10, 1) == [b"7", b"8", b"9"]


def test_a_trace_of_nothing_keeps_nothing() -> None:
    assert filled(Trace(messages=0), 10) == []


def test_messages_of_some_calls() -> None:
    trace = Trace()
    one, short, folded = (
        b"BYE sip:a SIP/2.0\r\n%b\r\n\r\n" % line for line in (b"Call-ID: one", b"i:one", b"CALL-ID :  one ")
    )
    others = (
        b"BYE sip:a SIP/2.0\r\nCall-ID: one again\r\nSubject: one\r\n\r\n",
        b"BYE sip:a SIP/2.0\r\nReplaces: one\r\nCall-ID: two\r\n\r\n",
        b"Call-ID: one",
    )
    for data in (one, *others, short, folded):
        trace.add(0.0, False, FLOW, data)
    assert [traced.data for traced in trace.of_calls({"one"})] == [one, short, folded]
    assert [traced.data for traced in trace.of_calls({"two", "three"})] == [others[1]]


def test_the_trace_says_since_when_it_is_whole() -> None:
    trace = Trace(messages=3)
    filled(trace, 2)
    assert trace.since is None
    filled(trace, 5)
    assert trace.since == 2.0
    assert Trace(messages=0).since is None


def test_a_burst_and_then_the_rate() -> None:
    limit = RateLimit(2.0, 3)
    assert [limit.allows("a", 0.0) for _ in range(5)] == [True, True, True, False, False]
    assert limit.allows("a", 0.5)
    assert not limit.allows("a", 0.6)
    assert limit.allows("b", 0.6)
    assert limit.refused == 3
    assert [limit.allows("a", 1000.0) for _ in range(4)] == [True, True, True, False]  # no more than the burst


def test_a_rate_of_0_is_no_limit() -> None:
    limit = RateLimit(0.0, 1)
    assert all(limit.allows("a", 0.0) for _ in range(100))


def test_sources_without_end_do_not_grow_the_memory(monkeypatch: object) -> None:
    limit = RateLimit(1.0, 1)
    before, rate_limit.MOST_SOURCES = rate_limit.MOST_SOURCES, 100
    try:
        for number in range(1000):
            limit.allows(f"s{number}", 0.0)
            assert len(limit) <= 100
        assert not limit.allows("s999", 0.0)
    finally:
        rate_limit.MOST_SOURCES = before

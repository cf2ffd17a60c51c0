"""What a flood of refused calls leaves in the log."""

from typing import Any

import pytest

from engine import log as engine_log
from engine.log import RefusalLog
from engine.settings import AgentSettings
from tests.simulation.agent import CALLER, ENGINE, LoopNetwork, start_agent
from tests.simulation.known import Known
from tests.simulation.peer import OFFER, Peer


class Log:
    def __init__(self) -> None:
        self.lines: list[tuple[str, int, str]] = []

    def warning(self, event: str, **values: Any) -> None:
        assert (event, values["status"]) in (("calls refused", 503), ("requests dropped", 0))
        self.lines.append((values["cause"], values["count"], values["source"]))

    def error(self, event: str, **values: Any) -> None:
        raise AssertionError(event)


def test_the_first_of_a_source_at_once_and_then_a_line_a_second_with_the_count() -> None:
    network, log = LoopNetwork(), Log()
    refusals = RefusalLog(log, network.loop)
    refusals.add("invite_rate", "a")
    assert log.lines == [("invite_rate", 1, "a")]
    for _ in range(500):
        refusals.add("invite_rate", "b")
    refusals.add("max_calls", "c")
    assert log.lines[1:] == [("invite_rate", 1, "b"), ("max_calls", 1, "c")]
    network.run(1.1)
    assert log.lines[3:] == [("invite_rate", 499, "b")]
    refusals.add("invite_rate", "d")
    network.run(5)
    assert log.lines[4:] == [("invite_rate", 1, "d")]
    refusals.add("invite_rate", "e")
    refusals.add("invite_rate", "e")
    refusals.close()
    assert log.lines[5:] == [("invite_rate", 1, "e"), ("invite_rate", 1, "e")]
    network.run(5)
    assert len(log.lines) == 7
    assert refusals.counts == {"invite_rate": 504, "max_calls": 1}


def test_who_is_loud_hides_nobody() -> None:
    network, log = LoopNetwork(), Log()
    refusals = RefusalLog(log, network.loop)
    for _ in range(5):
        for _ in range(10_000):
            refusals.add("invite_rate", "loud")
        refusals.add("invite_rate", "quiet")
        network.run(1)
    refusals.close()
    assert sum(count for _, count, source in log.lines if source == "quiet") == 5
    assert sum(count for _, count, source in log.lines if source == "loud") == 50_000
    assert len(log.lines) <= 20


def test_sources_without_end_take_turns_and_a_bounded_place() -> None:
    network, log = LoopNetwork(), Log()
    refusals = RefusalLog(log, network.loop)
    for second in range(10):
        for number in range(5_000):
            refusals.add("401", f"{second}.{number}")
        network.run(1)
        assert refusals.remembered <= engine_log.MOST_ROWS
    network.run(60)
    refusals.close()
    assert len({source for _, _, source in log.lines}) > 100
    assert len(log.lines) <= 70 * (engine_log.REFUSAL_LINES + 1)
    assert sum(count for _, count, _ in log.lines) == refusals.counts["401"] == 50_000
    assert refusals.remembered == 0


@pytest.mark.parametrize(
    ("settings", "cause"),
    [
        (AgentSettings(max_calls=1), "max_calls"),
        (AgentSettings(invite_rate=0.001, invite_burst=1), "invite_rate"),
        (AgentSettings(stranger_calls=0.00001), "stranger_calls"),
    ],
)
def test_the_bounds_of_the_engine_are_logged(
    monkeypatch: pytest.MonkeyPatch, settings: AgentSettings, cause: str
) -> None:
    network, log = LoopNetwork(), Log()

    async def ring(call: Any) -> None:
        call.ringing()
        await call.sleep(100)

    agent = start_agent(network, ring, monkeypatch, settings, peers=Known(), log=log)
    for number in range(3):
        peer = Peer(network, CALLER, 5070 + number, engine=ENGINE)  # type: ignore[arg-type]
        peer.call_id, peer.branches = f"call-{number}", 10 * number
        peer.invite(body=OFFER, uri=f"sip:b@{ENGINE}")
        network.run(0.02)
    network.run(1.1)
    second = "invite_rate_unread" if cause == "invite_rate" else cause
    assert [line[:2] for line in log.lines] == [(cause, 1), (second, 1)]
    assert log.lines[0][2] == CALLER
    assert agent.incoming == 1
    network.until(agent.stop())


def test_what_the_engine_refuses_strangers_by_itself_is_logged_with_their_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = LoopNetwork()
    lines: list[tuple[str, dict[str, Any]]] = []

    class Lines:
        def warning(self, event: str, **values: Any) -> None:
            lines.append((event, values))

        error = warning

    agent = start_agent(network, lambda call: None, monkeypatch, peers=Known("127.0.0.9"), log=Lines())
    for host in (CALLER, "127.0.0.9"):
        peer = Peer(network, host, engine=ENGINE)  # type: ignore[arg-type]
        for method in ("REGISTER", "SUBSCRIBE"):
            peer.call_id = f"{host} {method}".replace(" ", "-")
            for _ in range(3):
                peer.request(method, to_tag="")
            network.run(0.1)
    assert lines == [("requests refused", {"status": 405, "cause": "405", "count": 1, "source": CALLER})]
    network.run(1.1)
    assert [values["count"] for _, values in lines] == [1, 1]  # two calls, whatever was retransmitted
    assert agent.refusals.counts == {"405": 2}
    network.until(agent.stop())

"""What a flood of refused calls leaves in the log."""

from typing import Any

import pytest

from engine.refusals import Refusals
from engine.user_agent import AgentSettings, UserAgent
from tests.engine.simulated import CALLER, ENGINE, Air, start_agent
from tests.sip.raw_peer import OFFER, Peer


class Log:
    def __init__(self) -> None:
        self.lines: list[tuple[str, int, str]] = []

    def warning(self, event: str, **values: Any) -> None:
        assert (event, values["status"]) == ("calls refused", 503)
        self.lines.append((values["cause"], values["count"], values["source"]))

    def error(self, event: str, **values: Any) -> None:
        raise AssertionError(event)


def test_the_first_at_once_and_then_a_line_a_second_with_the_count() -> None:
    air, log = Air(), Log()
    refusals = Refusals(log, air.loop)
    refusals.add("invite_rate", "a")
    assert log.lines == [("invite_rate", 1, "a")]
    for _ in range(500):
        refusals.add("invite_rate", "b")
    refusals.add("max_calls", "c")
    assert log.lines[1:] == [("max_calls", 1, "c")]
    air.run(1.1)
    assert log.lines[2:] == [("invite_rate", 500, "b")]
    refusals.add("invite_rate", "d")
    air.run(5)
    assert log.lines[3:] == [("invite_rate", 1, "d")]
    refusals.add("invite_rate", "e")
    refusals.add("invite_rate", "f")
    refusals.close()
    assert log.lines[4:] == [("invite_rate", 1, "e"), ("invite_rate", 1, "f")]
    air.run(5)
    assert len(log.lines) == 6


@pytest.mark.parametrize(
    ("settings", "cause"),
    [(AgentSettings(max_calls=1), "max_calls"), (AgentSettings(invite_rate=0.001, invite_burst=1), "invite_rate")],
)
def test_both_bounds_of_the_engine_are_logged(
    monkeypatch: pytest.MonkeyPatch, settings: AgentSettings, cause: str
) -> None:
    air, log = Air(), Log()

    async def ring(call: Any) -> None:
        call.ringing()
        await call.sleep(100)

    made = UserAgent.__init__
    monkeypatch.setattr(UserAgent, "__init__", lambda self, on_call, settings: made(self, on_call, settings, log))
    agent = start_agent(air, ring, monkeypatch, settings)
    for number in range(3):
        peer = Peer(air, CALLER, 5070 + number, engine=ENGINE)  # type: ignore[arg-type]
        peer.call_id, peer.branches = f"call-{number}", 10 * number
        peer.invite(body=OFFER, uri=f"sip:b@{ENGINE}")
        air.run(0.02)
    air.run(1.1)
    assert [line[:2] for line in log.lines] == [(cause, 1), (cause, 1)]
    assert log.lines[0][2] == CALLER
    assert agent.incoming == 1
    air.until(agent.stop())

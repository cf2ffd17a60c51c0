"""Metrics as Prometheus' own parser reads them, off a real user agent."""

import ast
import asyncio
import time
from types import SimpleNamespace

from prometheus_client.parser import text_string_to_metric_families

from engine.sip.binding import Binding
from engine.sip.flow import Flow
from engine.user_agent import UserAgent
from flows.calls.record import CallRecord
from routing.access.bans import BanTable
from routing.hunt.attempt import AttemptRecord
from routing.hunt.health import HealthBoard
from routing.identifiers import NIL
from routing.location import Location
from routing.models.provider import Provider
from routing.models.route import Route
from service.metrics import calls, directory, engine
from service.metrics.registry import Metrics
from service.workers.loop_lag import EVERY, LoopLag
from tests.api.conftest import environment
from tests.docs.test_documents import ROOT, code, table

Samples = dict[tuple[str, tuple[str, ...]], float]


async def samples(metrics: Metrics) -> Samples:
    return {
        (sample.name, tuple(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families((await metrics.text()).decode())
        for sample in family.samples
    }


async def test_a_call_counts_when_it_is_over_with_its_attempts() -> None:
    metrics = Metrics()
    record = CallRecord("1", "incoming", answered_ms=1500, ended_ms=61500, hangup_reason="normal")
    record.tried.append(
        [
            AttemptRecord(provider_id=NIL, provider_name="primary", kind="refused", status=503),
            AttemptRecord(provider_id=NIL, provider_name="secondary", kind="answered", status=200),
            AttemptRecord(provider_id=NIL, provider_name="third", kind="skipped", skipped="disabled"),
        ]
    )
    ended = calls.EndedCalls(metrics)
    ended.begun(record)
    ended.ended(record)
    found = await samples(metrics)
    assert found["trunkline_calls_total", ("incoming", "normal")] == 1
    assert found["trunkline_call_setup_seconds_sum", ("incoming",)] == 1.5
    assert found["trunkline_call_talk_seconds_sum", ("incoming",)] == 60
    assert found["trunkline_attempts_total", ("refused", "primary")] == 1
    assert found["trunkline_attempts_total", ("disabled", "third")] == 1


async def test_the_engines_numbers_are_read_when_somebody_asks() -> None:
    agent = UserAgent(lambda call: None)
    await agent.start(["udp://127.0.0.1:0"])
    try:
        flows = environment()
        provider = Provider(name="primary", hostname="127.0.0.1")
        flows.calls.directory.replace([], [provider], [Route(target="all", provider_id=provider.id)])
        flows.calls.directory.refused["foreign_from_guest"] = 3
        agent.plane.refused["strays"] = 4
        metrics = Metrics()
        board = HealthBoard()
        location = Location()
        at = Flow(next(iter(agent.listeners)), "127.0.0.9", 5060)
        location.add("alice", Binding(id="1", contact="<sip:a@b>", flow=at))
        sources = SimpleNamespace(
            agent=agent,
            certificates=[],
            directory=flows.calls.directory,
            board=board,
            calls=flows.calls.registry,
            bans=BanTable(time.monotonic),
            rtpengines=None,
            location=location,
            registrar=SimpleNamespace(results={"registered": 5}),
            subscriptions=lambda: {"dialog": 5},
            lookups={"answered": 6},
        )
        for subject in (calls, directory, engine):
            subject.register(metrics, sources)  # type: ignore[arg-type]
        metrics.gauge_of("store_waiting", "Rows that wait.", lambda: 7)
        metrics.counter_of("lost", "x", lambda: 2)
        host, port = next(iter(agent.listeners)).local
        before = await samples(metrics)
        assert before["trunkline_sip_messages_total", ("sent",)] == 0
        assert (await agent.ping(f"sip:{host}:{port}", f"sip:{host}:{port}", host, 5))[0] == 200
        assert ("trunkline_provider_healthy", ("primary",)) not in before  # nobody knows
        board.state(provider.id.int).probe_answered()
        found = await samples(metrics)
        # We asked ourselves: OPTIONS and its answer, each sent and received once.
        assert found["trunkline_sip_messages_total", ("sent",)] == 2
        assert found["trunkline_sip_messages_total", ("received",)] == 2
        assert found["trunkline_provider_healthy", ("primary",)] == 1
        assert found["trunkline_calls_denied_total", ("foreign_from_guest",)] == 3
        assert found["trunkline_rtp_refused_total", ("strays",)] == 4
        assert found["trunkline_rtp_refused_total", ("garbage",)] == 0
        assert found["trunkline_store_waiting", ()] == 7
        assert found["trunkline_lost_total", ()] == 2
        assert found["trunkline_registrations", ("udp",)] == found["trunkline_registered_extensions", ()] == 1
        assert found["trunkline_register_total", ("registered",)] == 5
        assert found["trunkline_legs", ("incoming",)] == 0
        assert found["trunkline_subscriptions", ("dialog",)] == 5
        assert found["trunkline_route_lookups_total", ("answered",)] == 6
        assert (found["trunkline_numbers", ()], found["trunkline_routes", ()]) == (0, 1)
    finally:
        await agent.stop()


async def test_the_lag_of_the_loop_is_what_a_timer_is_late() -> None:
    seen: list[float] = []
    told = asyncio.Event()

    def observe(seconds: float) -> None:
        seen.append(seconds)
        told.set()

    lag = LoopLag(observe)
    lag.start()
    loop = asyncio.get_running_loop()
    end = loop.time() + EVERY + 0.05
    while loop.time() < end:
        pass  # what hogs the loop
    await told.wait()
    await lag.close()
    assert 0.04 < seen[0] < 5


def test_every_metric_is_registered_once_and_stands_in_the_documentation() -> None:
    families = {f"{kind}{of}" for kind in ("counter", "counters", "gauge", "gauges", "histogram") for of in ("", "_of")}
    registered = [
        ast.literal_eval(node.args[0])
        for file in (ROOT / "service" / "metrics").glob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in families
    ]
    shown = [code(row[0]) for row in table(ROOT / "docs" / "store.md", "metrics")]
    assert sorted(registered) == sorted(shown)
    assert len(set(registered)) == len(registered) > 30

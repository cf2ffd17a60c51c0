"""`trunkline providercall`: calls through one provider, a line for each, and what cannot be."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from config.loading import load
from service.cli import providercall
from service.cli.providercall import ProvidercallOrder

Run = Callable[..., None]
ONE, TWO = "127.0.0.21", "127.0.0.22"
FOREIGN, OTHER = "+821012345678", "+441632960000"


async def placed(bench: Any, *destinations: str, provider: str = "p1", sections: Any = (), **order: Any) -> int:
    path = bench.write(bench.document(**dict(sections)))
    order = {"source": "+15550001111"} | order
    return await providercall.place_calls(
        ProvidercallOrder(
            config=path, provider=provider, source=order.pop("source"), destinations=destinations, **order
        )
    )


def test_an_answered_call(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    async def test(bench: Any) -> None:
        one = await bench.phone(ONE)
        assert await placed(bench, "00821012345678", sections=bench.providers(one, tech_prefix="9")) == 0
        invite = one.invites[0]
        assert invite.uri_text == f"sip:9{FOREIGN}@{one.address}"
        assert "<sip:+15550001111@127.0.0.1>" in invite.get("From")
        assert one.heard["BYE"] == 1  # no flow: it is hung up once it is answered

    run(test)
    out, err = capsys.readouterr()
    assert err == ""
    (line,) = out.splitlines()
    assert line.startswith(f"{FOREIGN} ")
    assert " answered after " in line
    assert "hangup_reason normal by local" in line
    assert f"[p1 sip:9{FOREIGN}@{ONE}:" in line
    assert line.endswith(" 200]")


@pytest.mark.parametrize(
    ("does", "reason"),
    [(486, "busy"), (404, "failed"), (480, "noanswer"), (503, "failed"), (600, "busy"), (408, "noanswer")],
)
def test_a_refused_call_is_1_and_says_why(run: Run, capsys: pytest.CaptureFixture[str], does: int, reason: str) -> None:
    async def test(bench: Any) -> None:
        one, two = await bench.phone(ONE, does), await bench.phone(TWO)
        assert await placed(bench, FOREIGN, sections=bench.providers(one, two)) == 1
        assert not two.calls  # one provider was asked for, and no other is tried

    run(test)
    (line,) = capsys.readouterr().out.splitlines()
    assert f" not answered, hangup_reason {reason} by remote" in line
    assert line.endswith(f" {does}]")


def test_a_provider_that_is_not_there(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    async def test(bench: Any) -> None:
        sections = {"providers": [{"name": "p1", "hostname": "127.0.0.99:5999"}]}
        assert await placed(bench, FOREIGN, sections=sections) == 1

    run(test)
    assert capsys.readouterr().out.endswith("connection refused]\n")


def test_several_destinations_are_0_when_any_answers(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    async def test(bench: Any) -> None:
        async def only_one(call: Any) -> None:
            if FOREIGN in call.invite.uri_text:
                call.answer()
                await call.wait_ended()
            else:
                call.reject(486)

        one = await bench.phone(ONE, only_one)
        sections = bench.providers(one)
        assert await placed(bench, OTHER, FOREIGN, "+33123456789", sections=sections) == 0

    run(test)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [OTHER, FOREIGN, "+33123456789"]
    assert ["not answered" in line for line in lines] == [True, False, True]


def test_an_unknown_provider(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    async def test(bench: Any) -> None:
        one = await bench.phone(ONE)
        assert await placed(bench, FOREIGN, provider="p\x1b", sections=bench.providers(one)) == 2

    run(test)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("trunkline: there is no provider 'p\\x1b' in ")
    assert err.endswith("; it has: p1\n")


def test_a_flow_runs_on_the_answered_call(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    async def test(bench: Any) -> None:
        one = await bench.phone(ONE)
        flow = {"name": "brief", "actions": [{"type": "sleep", "option": {"duration": 50}}, {"type": "hangup"}]}
        sections = {**bench.providers(one), "flows": [flow], "numbers": []}
        assert await placed(bench, FOREIGN, flow="brief", sections=sections) == 0
        assert await placed(bench, FOREIGN, flow="nowhere", sections=sections) == 2
        assert len(one.calls) == 1

    run(test)
    out, err = capsys.readouterr()
    assert int(out.split(" ms [")[0].split()[-1]) >= 50
    assert err.startswith("trunkline: there is no flow 'nowhere'")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("- {type: sleep, option: {duration: 10}}\n- {type: hangup}\n", 0, ""),
        ('[{"type": "hangup"}]', 0, ""),
        ("- {type: dance}\n", 2, "dance"),
        ("- {type: sleep, option: {duration: x}}\n", 2, "duration"),
        ("type: hangup\n", 2, "is no list; write a YAML or JSON list of actions"),
        ("- [\n", 2, "write a YAML or JSON list of actions"),
        (None, 2, "No such file or directory; give a YAML or JSON file with a list of actions"),
    ],
)
def test_actions_from_a_file(
    run: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str | None, code: int, said: str
) -> None:
    async def test(bench: Any) -> None:
        one = await bench.phone(ONE)
        actions = tmp_path / "actions.yaml"
        if text is not None:
            actions.write_text(text)
        assert await placed(bench, FOREIGN, actions=actions, sections=bench.providers(one)) == code
        assert len(one.calls) == (code == 0)

    run(test)
    out, err = capsys.readouterr()
    assert bool(out) == (code == 0)
    if code:
        assert err.startswith("trunkline: ")
        assert said in err
        assert err.count("\n") == 1


def test_a_callers_number_can_be_withheld(run: Run) -> None:
    async def test(bench: Any) -> None:
        one = await bench.phone(ONE)
        assert await placed(bench, FOREIGN, anonymous="yes", sections=bench.providers(one)) == 0
        invite = one.invites[0]
        assert invite.get("From").startswith('"Anonymous" <sip:anonymous@anonymous.invalid>;tag=')
        assert invite.get("Privacy") == "id"
        assert "<sip:+15550001111@" in invite.get("P-Asserted-Identity")

    run(test)


def test_it_works_beside_an_engine_on_the_same_port(run: Run) -> None:
    async def test(bench: Any) -> None:
        one = await bench.phone(ONE)
        engine = await bench.engine(**bench.providers(one))
        sip = {"listen": [f"udp://{engine.address}"]}
        assert load(bench.path).settings.sip.listen == ["udp://127.0.0.1:0"]
        assert await placed(bench, FOREIGN, sections={**bench.providers(one), "sip": sip}) == 0
        assert engine.node.agent.endpoint.counters.received == 0

    run(test)


@pytest.mark.long
def test_the_command_line_end_to_end(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    import asyncio
    import subprocess
    import sys

    async def test(bench: Any) -> None:
        one = await bench.phone(ONE, 486)
        path = bench.write(bench.document(**bench.providers(one)))
        process = await asyncio.create_subprocess_exec(
            *(
                sys.executable,
                "-m",
                "service.cli",
                "providercall",
                "-c",
                str(path),
                "p1",
                "+15550001111",
                FOREIGN,
            ),
            cwd=Path(__file__).parents[2],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        out, err = await process.communicate()
        assert (process.returncode, err) == (1, b"")
        assert b"hangup_reason busy by remote" in out

    run(test)


def test_a_disabled_provider_gets_nothing_and_the_line_says_so(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    async def test(bench: Any) -> None:
        one = await bench.phone(ONE)
        assert await placed(bench, FOREIGN, sections=bench.providers(one, enabled=False)) == 1
        assert not one.calls

    run(test)
    (line,) = capsys.readouterr().out.splitlines()
    assert " not answered, hangup_reason failed by local, " in line
    assert line.endswith(" ms [p1 skipped: disabled]")

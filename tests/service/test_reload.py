"""SIGHUP: what is new counts for new calls, what is up stays up, and what is wrong changes nothing."""

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import pytest

Run = Callable[..., None]
CLIENT, GUEST, ONE, TWO = "127.0.0.11", "127.0.0.12", "127.0.0.21", "127.0.0.22"
OURS, ECHO, FOREIGN = "+15551234567", "+899100000001", "+821012345678"

REJECT = {"name": "busy", "actions": [{"type": "reject", "option": {"code": 486}}]}


def test_calls_survive_and_new_ones_find_what_is_new(run: Run) -> None:
    async def test(bench: Any) -> None:
        one, two = await bench.phone(ONE), await bench.phone(TWO)
        client, guest = await bench.phone(CLIENT), await bench.phone(GUEST)
        served = await bench.serve(**bench.providers(one))
        bridged, outcome = await client.call(served.address, FOREIGN)
        echo, second = await guest.call(served.address, OURS)
        assert (outcome.kind, second.kind) == ("answered", "answered")

        changed = bench.document(
            numbers=[{"number": "+15557654321", "call_flow": "busy"}], flows=[REJECT], **bench.providers(two)
        )
        assert (await served.reload(changed))["event"] == "reloaded"
        assert not bridged.ended
        assert not echo.ended
        assert (await guest.call(served.address, OURS))[1].status == 403  # it is a foreign number now
        assert (await guest.call(served.address, "+15557654321"))[1].status == 486
        other, outcome = await client.call(served.address, FOREIGN)
        assert (outcome.kind, len(one.calls), len(two.calls)) == ("answered", 1, 1)

        # The calls from before are whole: their far ends hear the end, and are heard.
        bridged.hangup()
        await one.calls[0].wait_ended()
        echo.hangup()
        two.calls[0].hangup()
        for leg in (bridged, echo, other):
            await leg.wait_ended()
        await served.quiet()
        assert [record.hangup_reason for record in served.node.flows.calls.registry.newest()].count("normal") == 3

    run(test)


def test_a_call_that_is_ringing_is_answered_by_the_provider_that_was_removed(run: Run) -> None:
    async def test(bench: Any) -> None:
        one, client = await bench.phone(ONE, "ring"), await bench.phone(CLIENT)
        served = await bench.serve(**bench.providers(one))
        leg = client.dial(served.address, FOREIGN)
        await bench.until(lambda: client.heard["180"])
        assert (await served.reload(bench.document()))["event"] == "reloaded"
        one.calls[0].answer()
        assert (await leg.outcome()).kind == "answered"
        leg.hangup()
        await one.calls[0].wait_ended()

    run(test)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("sip:\n  lisen: []\n", ":2: sip.lisen: unknown setting; did you mean listen?"),
        ("sip: [\n", ":2: not valid YAML"),
        ("numbers:\n  - {number: '+15551234567', call_flow: nowhere}\n", ":2: numbers[0].call_flow"),
        ("flows:\n  - {name: x, actions: [{type: dance}]}\n", ":2: flows[0].actions[0]"),
        ("providers: [{name: p, hostname: 'a b'}]\n", ":1: providers[0].hostname"),
        ("flows_module: missing.py\n", ":1: flows_module: missing.py: there is no file"),
        ("sip: {users: [{username: a, password: b, realm: 'x\"y'}]}\n", ":1: sip.users[0].realm"),
    ],
)
def test_a_broken_file_changes_nothing_and_says_why(run: Run, text: str, fault: str) -> None:
    async def test(bench: Any) -> None:
        guest = await bench.phone(GUEST)
        served = await bench.serve(flows=[REJECT], numbers=[{"number": OURS, "call_flow": "busy"}])
        line = await served.reload(text)
        assert line["event"] == "reload: nothing has changed"
        assert line["fault"].startswith(f"{served.path}{fault}"), line["fault"]
        assert "exception" not in line
        assert (await guest.call(served.address, OURS))[1].status == 486
        # And the next one, in order, is taken.
        assert (await served.reload(bench.document(numbers=[])))["event"] == "reloaded"
        assert (await guest.call(served.address, OURS))[1].status == 403

    run(test)


def test_a_file_that_has_gone_changes_nothing(run: Run) -> None:
    async def test(bench: Any) -> None:
        served = await bench.serve()
        served.path.unlink()
        served.signal(signal.SIGHUP)
        line = await served.log.wait("reload: nothing has changed")
        assert "cannot be read: No such file or directory" in line["fault"]

    run(test)


MODULE = """
from flows.python_flows import flow

@flow("py")
async def py(call):
    call.reject({code})
"""


def test_a_module_of_python_flows_is_read_again(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)

    async def test(bench: Any) -> None:
        guest = await bench.phone(GUEST)
        module = bench.path.parent / "ours.py"
        module.write_text(MODULE.format(code=486))
        before = module.stat().st_mtime
        whole = bench.document(numbers=[{"number": OURS, "call_flow": "py"}], flows_module="ours.py")
        served = await bench.serve(**{key: whole[key] for key in ("numbers", "flows_module")})
        assert (await guest.call(served.address, OURS))[1].status == 486

        module.write_text(MODULE.format(code=603))  # as long as before, and within the same second
        os.utime(module, (before, before))
        assert (await served.reload(whole))["event"] == "reloaded"
        assert (await guest.call(served.address, OURS))[1].status == 603

        for broken, why in (
            ("1 / 0\n", "ZeroDivisionError"),
            ("def x(:\n", "SyntaxError"),
            ("x = 1\n", "registers no flow"),
            ("import sys\nsys.exit(1)\n", "ends the program (SystemExit(1))"),
        ):
            module.write_text(broken)
            line = await served.reload(whole)
            assert line["event"] == "reload: nothing has changed"
            assert "flows_module: ours.py:" in line["fault"]
            assert why in line["fault"]
            assert (await guest.call(served.address, OURS))[1].status == 603

    run(test)


def test_what_takes_a_restart_is_said_until_it_is_undone(run: Run) -> None:
    async def test(bench: Any) -> None:
        served = await bench.serve()
        before = served.address
        changed = bench.document(sip={"listen": ["udp://127.0.0.1:0", "tcp://127.0.0.1:0"], "max_calls": 5})
        for _ in range(2):  # the second time nothing has changed in the file, but it still is not what runs
            await served.reload(changed)
            notes = [line["note"] for line in served.log.named("reload")]
            assert notes == [
                "sip.listen has changed: it takes a restart",
                "sip.max_calls has changed: it takes a restart",
            ]
            served.log.text.clear()
        await served.reload(bench.document(log={"level": "info", "format": "console"}))
        assert [line["note"] for line in served.log.named("reload")] == ["log has changed: it takes a restart"]
        served.log.text.clear()
        await served.reload(bench.document())
        assert not served.log.named("reload")
        assert served.address == before

    run(test)


def test_trusted_networks_users_and_guests_are_taken_over(run: Run) -> None:
    async def test(bench: Any) -> None:
        one, guest = await bench.phone(ONE, 486), await bench.phone(GUEST)
        more = bench.providers(one)
        served = await bench.serve(**more)
        assert (await guest.call(served.address, FOREIGN))[1].status == 403
        await served.reload(bench.document(sip={"trusted_networks": [f"{GUEST}/32"]}, **more))
        assert (await guest.call(served.address, FOREIGN))[1].status == 486
        await served.reload(bench.document(sip={"users": [{"username": "u", "password": "p"}]}, **more))
        assert (await guest.call(served.address, FOREIGN))[1].status == 401
        assert (await guest.call(served.address, FOREIGN, username="u", password="p"))[1].status == 486
        await served.reload(bench.document(sip={"allow_guests": False}, **more))
        assert (await guest.call(served.address, OURS))[1].status == 403

    run(test)


def test_signals_without_pause_end_with_the_last_file(run: Run) -> None:
    async def test(bench: Any) -> None:
        guest = await bench.phone(GUEST)
        served = await bench.serve()
        leg, _ = await guest.call(served.address, OURS)
        for _ in range(50):
            served.signal(signal.SIGHUP)
        bench.write(bench.document(numbers=[]))
        served.signal(signal.SIGHUP)
        await bench.until(lambda: served.node.directory.number(OURS) is None, "the last file")
        await served.log.wait("reloaded")
        assert not leg.ended
        assert {line["event"] for line in served.outcomes} == {"reloaded"}
        leg.hangup()
        await leg.wait_ended()

    run(test)


def test_a_provider_that_moved_is_a_trunk_at_its_new_address_only(run: Run) -> None:
    async def test(bench: Any) -> None:
        one, two = await bench.phone(ONE), await bench.phone(TWO)
        served = await bench.serve(**bench.providers(one))
        assert served.node.directory.provider_at(ONE) is not None
        await served.reload(bench.document(providers=[{"name": "p1", "hostname": two.address}]))
        assert served.node.directory.provider_at(ONE) is None
        assert served.node.directory.provider_at(TWO) is not None

    run(test)


def test_no_call_is_lost_while_it_reloads(run: Run) -> None:
    async def test(bench: Any) -> None:
        one, client = await bench.phone(ONE, 486), await bench.wire(CLIENT)
        more = bench.providers(one)
        served = await bench.serve(numbers=[], **more)
        before = len(served.outcomes)
        for index in range(60):
            if index % 6 == 0:
                served.signal(signal.SIGHUP)
            request = client.request(uri=f"sip:{FOREIGN}@127.0.0.1")
            assert (await client.answer(request, served.address)).status == 486
        await bench.until(lambda: len(served.outcomes) > before)
        assert {line["event"] for line in served.outcomes} == {"reloaded"}
        await served.quiet()
        provider = served.node.directory.provider_named("p1")
        assert served.node.board.channels(provider.id) == 0

    run(test)

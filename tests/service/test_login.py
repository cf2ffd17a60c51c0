"""Clients that log in: what they are challenged with, and what becomes of those that cannot."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.cli.commands import main
from service.intake import Intake

Run = Callable[..., None]
GUEST, ONE = "127.0.0.12", "127.0.0.21"
FOREIGN = "+821012345678"
USERS = {"users": [{"username": "desk", "password": "a long s3cret"}]}


def algorithms(response: Any) -> list[str]:
    return [value.rpartition("algorithm=")[2].split(",")[0] for value in response.lines("WWW-Authenticate")]


@pytest.mark.parametrize(
    ("given", "challenged"),
    [
        ({}, ["MD5"]),  # the one that every phone knows, and nothing beside it that old ones stumble over
        ({"digest_algorithms": ["SHA-256", "MD5"]}, ["SHA-256", "MD5"]),  # RFC 8760 §2.3: in the order of preference
        ({"digest_algorithms": ["SHA-512-256"]}, ["SHA-512-256"]),
    ],
)
def test_a_login_is_asked_for_with_the_configured_algorithms(
    run: Run, given: dict[str, Any], challenged: list[str]
) -> None:
    async def test(bench: Any) -> None:
        one, phone, wire = await bench.phone(ONE), await bench.phone(GUEST), await bench.wire(GUEST)
        engine = await bench.engine(sip=USERS | given, **bench.providers(one))
        response = await wire.answer(wire.request(uri=f"sip:{FOREIGN}@127.0.0.1"), engine.address)
        assert response.status == 401
        assert algorithms(response) == challenged
        leg, outcome = await phone.call(engine.address, FOREIGN, username="desk", password="a long s3cret")
        assert outcome.kind == "answered"
        leg.hangup()
        await leg.wait_ended()

    run(test)


def test_users_without_a_realm_of_their_own_have_the_engine_s_and_a_reload_changes_it(run: Run) -> None:
    async def test(bench: Any) -> None:
        users = [*USERS["users"], {"username": "old", "password": "another long one", "realm": "before"}]

        async def realms() -> list[str]:
            response = await wire.answer(wire.request(uri=f"sip:{FOREIGN}@127.0.0.1"), engine.address)
            return [value.split('"')[1] for value in response.lines("WWW-Authenticate")]

        engine = await bench.serve(sip={"users": users})
        wire = await bench.wire(GUEST)
        assert await realms() == ["trunkline", "before"]
        await engine.reload(bench.document(sip={"users": users, "realm": "sip.example.com"}))
        assert await realms() == ["sip.example.com", "before"]
        assert not engine.log.named("reload")

    run(test)


def test_a_reload_takes_other_algorithms_over(run: Run) -> None:
    async def test(bench: Any) -> None:
        engine = await bench.serve(sip=USERS)
        wire = await bench.wire(GUEST)
        await engine.reload(bench.document(sip=USERS | {"digest_algorithms": ["SHA-256"]}))
        response = await wire.answer(wire.request(uri=f"sip:{FOREIGN}@127.0.0.1"), engine.address)
        assert algorithms(response) == ["SHA-256"]
        assert not engine.log.named("reload")  # no restart is asked for

    run(test)


def test_a_guest_is_asked_once_a_call_and_then_refused(run: Run) -> None:
    async def test(bench: Any) -> None:
        engine = await bench.engine(sip=USERS)
        wire = await bench.wire(GUEST)
        statuses = []
        for cseq in (1, 2):
            request = wire.request(uri=f"sip:{FOREIGN}@127.0.0.1").replace(b"CSeq: 1 ", f"CSeq: {cseq} ".encode())
            head, found, rest = request.partition(b"Call-ID: ")
            assert found
            request = head + b"Call-ID: the-same\r\n" + rest.partition(b"\r\n")[2]
            statuses.append((await wire.answer(request, engine.address)).status)
        assert statuses == [401, 403]
        other = await wire.answer(wire.request(uri=f"sip:{FOREIGN}@127.0.0.1"), engine.address)
        assert other.status == 401  # another call is asked anew
        asked, refused = engine.log.named("call asked to log in"), engine.log.named("call refused")
        assert [(line["level"], line["status"], line["cause"]) for line in asked] == [
            ("info", 401, "foreign_from_guest"),
            ("info", 401, "foreign_from_guest"),
        ]
        assert [(line["level"], line["status"], line["cause"]) for line in refused] == [
            ("warning", 403, "foreign_from_guest")
        ]
        assert engine.node.directory.refused == {"foreign_from_guest": 3}

    run(test)


def test_who_has_logged_in_has_shown_that_it_receives_before_its_ack(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its digest answers a nonce of ours: media goes where its offer says (`engine.media.rtp.consent`)."""

    async def test(bench: Any) -> None:
        one, phone = await bench.phone(ONE), await bench.phone(GUEST)
        engine = await bench.engine(sip=USERS, **bench.providers(one))
        shown = []
        take = Intake.__call__

        def on_call(intake: Intake, call: Any) -> Any:
            work = take(intake, call)
            shown.append(call.session.receives)
            return work

        monkeypatch.setattr(Intake, "__call__", on_call)
        leg, outcome = await phone.call(engine.address, FOREIGN, username="desk", password="a long s3cret")
        assert outcome.kind == "answered"
        leg.hangup()
        await leg.wait_ended()
        await phone.call(engine.address, FOREIGN, username="desk", password="wrong")
        # What is challenged of a stranger is no call; where it has logged in, it is none any more.
        assert shown == [True, False, False]

    run(test)


def test_a_flood_of_guests_that_could_log_in_is_counted_and_bounded(run: Run) -> None:
    async def test(bench: Any) -> None:
        engine = await bench.engine(sip=USERS | {"invite_rate": {"rate": 0}})
        wire = await bench.wire(GUEST)
        for _ in range(300):
            wire.send(wire.request(uri=f"sip:{FOREIGN}@127.0.0.1"), engine.address)
        await bench.until(lambda: engine.node.directory.refused.get("foreign_from_guest") == 300)
        assert 1 <= len(engine.log.named("call asked to log in")) <= 30
        assert len(engine.node.intake.logins._asked) <= 4096

    run(test)


def test_explain_says_that_guests_may_log_in(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "t.yaml"
    path.write_text("sip: {users: [{username: a, password: b}]}\n", encoding="utf-8")
    main(["explain", "-c", str(path), FOREIGN])
    guest = "  from a guest: 401 Unauthorized; goes on as a client with a login, and without one 403 Forbidden: "
    assert guest + f"a guest dialled {FOREIGN}" in capsys.readouterr().out

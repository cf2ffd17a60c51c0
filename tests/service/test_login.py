"""Clients that log in: what they are challenged with, and what becomes of those that cannot."""

from collections.abc import Callable
from typing import Any

import pytest

Run = Callable[..., None]
GUEST, ONE = "127.0.0.12", "127.0.0.21"
FOREIGN = "+821012345678"
USERS = {"users": [{"username": "desk", "password": "s3cret"}]}


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
        leg, outcome = await phone.call(engine.address, FOREIGN, username="desk", password="s3cret")
        assert outcome.kind == "answered"
        leg.hangup()
        await leg.wait_ended()

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

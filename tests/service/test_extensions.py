"""Extensions of the file reach the directory, with a store and without one, and a reload takes them over."""

from collections.abc import Callable
from typing import Any

import pytest

from engine.sip.auth.digest import ha1_of_each

Run = Callable[..., None]
GUEST, ONE = "127.0.0.12", "127.0.0.21"
FOREIGN = "+821012345678"
ALICE = {"name": "alice", "password": "a long password", "caller_id": "+15551234567"}
KEY = "A" * 43


@pytest.mark.parametrize("kind", ["none", "plain", "sealed"])
def test_those_of_the_file_log_in_and_a_reload_takes_them_over(run: Run, kind: str) -> None:
    async def test(bench: Any) -> None:
        more = {"none": {}, "plain": {"store": "sqlite:///./a.db"}}.get(
            kind, {"store": "sqlite:///./a.db", "secret_key": KEY}
        )
        one, phone = await bench.phone(ONE), await bench.phone(GUEST)
        users = {"users": [{"username": "old", "password": "an older password", "realm": "before"}]}
        served = await bench.serve(sip=users, extensions=[ALICE], **bench.providers(one), **more)
        directory = served.node.directory
        assert directory.extension("alice").ha1["md5"] == ha1_of_each("alice", "trunkline", "a long password")["md5"]
        assert directory.extensions.realms == {"trunkline": 1, "before": 1}
        assert dict(directory.extension("old").ha1) == ha1_of_each("old", "before", "an older password")
        leg, outcome = await phone.call(served.address, FOREIGN, username="alice", password="a long password")
        assert outcome.kind == "answered"
        leg.hangup()
        await leg.wait_ended()

        changed = [ALICE | {"password": "a new password", "status": "active"}, {"name": "bob", "password": "x" * 9}]
        await served.reload(bench.document(extensions=changed, **bench.providers(one), **more))
        assert directory.extension("old") is None
        assert directory.extensions.realms == {"trunkline": 2}
        _, outcome = await phone.call(served.address, FOREIGN, username="alice", password="a long password")
        assert outcome.status == 403
        leg, outcome = await phone.call(served.address, FOREIGN, username="alice", password="a new password")
        assert outcome.kind == "answered"
        leg.hangup()
        await leg.wait_ended()

        suspended = [ALICE | {"password": "a new password", "status": "suspended"}]
        await served.reload(bench.document(extensions=suspended, **bench.providers(one), **more))
        assert not directory.extension("alice").active
        assert directory.extension("bob") is None
        _, outcome = await phone.call(served.address, FOREIGN, username="alice", password="a new password")
        assert outcome.status == 403

    run(test)

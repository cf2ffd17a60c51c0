"""What is kept of an attempt that its caller gave up: whether it rang, which says that the network did its part."""

from typing import Any

import pytest


@pytest.mark.parametrize(("does", "rang"), [("ring", True), ("silence", False)])
def test_an_attempt_that_was_given_up_has_rung_or_not(run: Any, does: str, rang: bool) -> None:
    async def test(bench: Any) -> None:
        async def silence(call: Any) -> None:
            await call.wait_ended()

        carrier = await bench.phone("127.0.0.21", silence if does == "silence" else does)
        engine = await bench.engine(**bench.providers(carrier))
        phone = await bench.phone()
        leg = phone.dial(engine.address, "+821012345678")
        await carrier.incoming()
        if rang:
            await bench.until(lambda: phone.heard["180"], "ringing")
        leg.cancel()
        await leg.outcome()
        await engine.quiet()
        (attempt,) = engine.record.attempts
        assert attempt.kind == "cancelled"
        assert (attempt.first_reply is not None) == rang
        if rang:
            assert attempt.started <= attempt.first_reply <= attempt.ended

    run(test)

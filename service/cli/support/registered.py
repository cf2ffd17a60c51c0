"""A softphone that is registered as long as it is used (RFC 3261 §10.2)."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from config.logs import escape
from engine.sip.registration import REFRESHED_AT, Registration, RegistrationAnswer
from service.cli.support.agent_via import CannotSend, Via

AGAIN: Final = 10.0
"""Seconds until a refresh that was refused is tried again."""
LEAVES_WITHIN: Final = 2.0
"""Seconds that the end waits for the other end to have understood."""


@asynccontextmanager
async def registered(via: Via, name: str, password: str) -> AsyncIterator[None]:
    """Registers, keeps that up, and undoes it at the end. Raises CannotSend where the other end does not take it."""
    registration = via.registration(name, password)
    answer = await _ask(registration)
    if not answer.granted:
        status = f"{answer.status} " if answer.status else ""
        raise CannotSend(f"{name} is not registered: {status}{answer.reason}")
    print(f"registered as {escape(name)} for {answer.granted} s", file=sys.stderr, flush=True)
    kept = asyncio.create_task(_keep(registration, answer), name=f"registration of {name}")
    try:
        yield
    finally:
        kept.cancel()
        await asyncio.wait((kept,))
        with suppress(TimeoutError):
            async with asyncio.timeout(LEAVES_WITHIN):
                await _ask(registration, leave=True)


async def _keep(registration: Registration, answer: RegistrationAnswer) -> None:
    while True:
        await asyncio.sleep(answer.granted * REFRESHED_AT or AGAIN)
        answer = await _ask(registration)
        if not answer.granted:
            print(f"trunkline: not registered any more: {answer.status} {escape(answer.reason)}", file=sys.stderr)


async def _ask(registration: Registration, *, leave: bool = False) -> RegistrationAnswer:
    """Once; the transaction ends it where nobody answers."""
    told: asyncio.Future[RegistrationAnswer] = asyncio.get_running_loop().create_future()

    def tell(answer: RegistrationAnswer) -> None:
        if not told.done():
            told.set_result(answer)

    registration.ask(tell, leave=leave)
    try:
        return await told
    finally:
        registration.abandon()

"""A SQLite database that takes nothing more, for as long as wanted."""

from collections.abc import Awaitable, Callable
from typing import Any

from store.store import Store

End = Callable[[], Awaitable[None]]


async def on_the_writer(store: Store, work: Callable[[Any], Awaitable[None]]) -> None:
    """Do this with the one connection that writes, without a transaction."""
    lock = store.engines.write_lock
    assert lock is not None
    await lock.acquire(urgent=True, patience=30)
    try:
        async with store.engines.writer.connect() as connection:
            raw = await connection.get_raw_connection()
            await work(raw.driver_connection)
    finally:
        lock.release()


async def read_only(store: Store) -> End:
    """Every write fails, also one that changes what is there."""

    async def turn(word: str) -> None:
        await on_the_writer(store, lambda driver: driver.execute(f"PRAGMA query_only = {word}"))

    await turn("ON")
    return lambda: turn("OFF")


async def full(store: Store) -> End:
    """What is there stays and can be changed; nothing can be added."""

    async def fill(driver: Any) -> None:
        await driver.execute("PRAGMA max_page_count = 1")  # as many as there are
        for size in (3000, 100, 10, 1):  # pages that are free, and room within pages
            number = 0
            while True:
                try:
                    row = f"fill {size} {number}", "x" * size
                    await driver.execute("INSERT INTO secrets (name, value) VALUES (?, ?)", row)
                except Exception as error:
                    assert str(error) == "database or disk is full"
                    break
                number += 1

    async def empty(driver: Any) -> None:
        await driver.execute("PRAGMA max_page_count = 1073741823")
        await driver.execute("DELETE FROM secrets WHERE name LIKE 'fill %'")

    await on_the_writer(store, fill)
    return lambda: on_the_writer(store, empty)

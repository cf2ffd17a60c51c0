"""The keys of a call: each once, whatever ways it came by."""

import asyncio

import pytest

from engine.dtmf import KEPT, DtmfBuffer, info_body, info_key


def pressed(*presses: tuple[str, str, float]) -> str:
    keys = DtmfBuffer()
    for key, way, when in presses:
        keys.receive(key, way, when)
    return "".join(asyncio.run(keys.next()) for _ in range(len(keys)))


def test_keys_wait_in_order() -> None:
    assert pressed(("1", "rfc4733", 0), ("1", "rfc4733", 0.1), ("#", "rfc4733", 0.2), ("a", "rfc4733", 0.3)) == "11#A"


def test_one_press_by_two_ways_counts_once() -> None:
    assert pressed(("5", "rfc4733", 0), ("5", "info", 0.2), ("5", "inband", 0.25)) == "5"


def test_two_presses_by_two_ways_count_twice() -> None:
    assert pressed(("1", "rfc4733", 0), ("1", "rfc4733", 0.2), ("1", "info", 0.3), ("1", "info", 0.4)) == "11"
    assert pressed(("1", "rfc4733", 0), ("1", "info", 0.1), ("1", "rfc4733", 0.2), ("1", "info", 0.3)) == "11"


def test_a_second_way_that_comes_much_later_is_a_press_of_its_own() -> None:
    assert pressed(("1", "rfc4733", 0), ("1", "info", 3.0)) == "11"


def test_what_is_no_key_is_not_taken() -> None:
    keys = DtmfBuffer()
    assert not keys.receive("E", "info", 0)
    assert not keys.receive("12", "info", 0)
    assert not keys.receive("", "info", 0)
    assert not len(keys)


def test_the_oldest_give_way() -> None:
    keys = pressed(*((str(at % 10), "rfc4733", at * 1.0) for at in range(KEPT + 3)))
    assert len(keys) == KEPT
    assert keys[0] == "3"


async def test_a_waiter_gets_the_key_and_none_is_lost_when_it_gives_up() -> None:
    keys = DtmfBuffer()
    first, second = asyncio.ensure_future(keys.next()), asyncio.ensure_future(keys.next())
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    keys.receive("7", "info", 0)
    assert await second == "7"
    assert not len(keys) and not keys._waiting


async def test_two_who_wait_get_a_key_each() -> None:
    keys = DtmfBuffer()
    waiting = [asyncio.ensure_future(keys.next()) for _ in range(2)]
    await asyncio.sleep(0)
    keys.receive("1", "info", 0)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    keys.receive("2", "info", 0)
    assert sorted(await asyncio.gather(*waiting)) == ["1", "2"]


async def test_a_stop_hears_its_keys_only_and_leaves_them() -> None:
    keys = DtmfBuffer()
    stop: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    keys.stop_on("#*", stop)
    keys.receive("1", "info", 0)
    assert not stop.done()
    keys.receive("*", "info", 0)
    assert stop.result() == "*"
    keys.cancel_stop(stop)
    keys.receive("#", "info", 0)
    assert (keys.first_of("#*"), len(keys)) == ("*", 3)
    keys.clear()
    assert (keys.first_of("#*"), len(keys)) == ("", 0)


async def test_who_waits_for_a_key_gets_the_error_at_the_end() -> None:
    keys = DtmfBuffer()
    waiting = asyncio.ensure_future(keys.next())
    await asyncio.sleep(0)
    keys.fail(ValueError("over"))
    with pytest.raises(ValueError, match="over"):
        await waiting


@pytest.mark.parametrize(
    ("kind", "body", "key"),
    [
        ("application/dtmf-relay", b"Signal=5\r\nDuration=160\r\n", "5"),
        ("application/dtmf-relay", b"Signal= 5 \r\nDuration= 160\r\n", "5"),
        ("application/dtmf-relay", b"Signal=#\nDuration=160", "#"),
        ("application/dtmf-relay", b"signal=11\r\n", "#"),
        ("Application/DTMF-Relay; charset=utf-8", b"Duration=100\r\nSignal=d\r\n", "D"),
        ("application/dtmf", b"9", "9"),
        ("application/dtmf", b"*\r\n", "*"),
        ("application/dtmf", b"10", "*"),
        ("application/dtmf", b"16", ""),
        ("application/dtmf", b"", ""),
        ("application/dtmf-relay", b"Signal=\r\n", ""),
        ("application/dtmf-relay", b"Signal=55\r\n", ""),
        ("application/dtmf-relay", b"Signal=5" + b" " * 300, ""),
        ("application/dtmf-relay", b"\xff\x00\xfe", ""),
        ("text/plain", b"5", ""),
        ("", b"Signal=5", ""),
    ],
)
def test_what_an_info_brings(kind: str, body: bytes, key: str) -> None:
    assert info_key(kind, body) == key


def test_the_body_of_our_info_rfc_6086() -> None:
    assert info_body("*", 0.16) == b"Signal=*\r\nDuration=160\r\n"
    assert info_key("application/dtmf-relay", info_body("*", 0.16)) == "*"

"""rtpengine's ng protocol from our side: matching, retransmission, choice, failover, and what is said to it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from engine.media.anchor import CALLEE, CALLER, AnchorError, MediaAddress
from engine.media.rtpengine import instance as instances
from engine.media.rtpengine import ng
from engine.media.rtpengine.anchor import RtpengineAnchor
from engine.media.rtpengine.bencode import encode
from engine.media.rtpengine.ng import NgClient
from engine.media.rtpengine.pool import Rtpengines
from tests.engine.fake_rtpengine import FakeRtpengine
from tests.network import refusing_port

NEAR, FAR = MediaAddress("192.0.2.1"), MediaAddress("2001:db8::1")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ng, "RETRIES", (0.01, 0.02, 0.03))
    monkeypatch.setattr(ng, "LAST_WAIT", 0.03)
    monkeypatch.setattr(instances, "PING_INTERVAL", 0.05)


class Log:
    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def warning(self, event: str, **values: Any) -> None:
        self.lines.append((event, values))


class Pool:
    def __init__(self, *fakes: FakeRtpengine) -> None:
        self.log = Log()
        self.fakes = fakes
        self.rtpengines = Rtpengines([fake.where for fake in fakes], self.log)

    def open(self) -> RtpengineAnchor:
        return self.rtpengines.open(NEAR, FAR, None)

    async def until(self, condition: Callable[[], bool]) -> None:
        await until(condition)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0.002)


@asynccontextmanager
async def pool(count: int = 2) -> AsyncIterator[Pool]:
    fakes = [await FakeRtpengine(f"m{number}").open() for number in range(count)]
    made = Pool(*fakes)
    await made.rtpengines.start()
    await made.until(lambda: all(fake.commands for fake in fakes))
    try:
        yield made
    finally:
        made.rtpengines.close()
        for fake in fakes:
            fake.close()


async def told(ask: Callable[..., None], *arguments: Any) -> bytes:
    """What a rewrite gives; raises its error."""
    done: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def rewritten(text: bytes, error: AnchorError | None) -> None:
        if error is None:
            done.set_result(text)
        else:
            done.set_exception(error)

    ask(*arguments, rewritten)
    async with asyncio.timeout(30):
        return await done


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(scenario())  # type: ignore[arg-type]


# ---- commands and answers


def test_a_command_is_sent_again_with_its_cookie_and_carried_out_once() -> None:
    async def scenario() -> None:
        async with pool(1) as one:
            fake = one.fakes[0]
            fake.silent = 2
            assert b"a=from-m0" in await told(one.open().offer, CALLER, b"v=0\r\n")
            offers = [data for data in fake.datagrams if b"5:offer" in data]
            assert len(offers) >= 2 and len(set(offers)) == 1
            assert fake.heard() == [b"offer"]
            assert one.rtpengines.instances[0].counts["resent"] >= 1

    run(scenario)


def test_answers_that_are_late_double_garbage_or_for_somebody_else_change_nothing() -> None:
    async def scenario() -> None:
        fake = await FakeRtpengine("m").open()
        client = await NgClient.open("127.0.0.1", fake.port, fake.where)
        answers: list[tuple[Any, str]] = []
        fake.silent = -1
        client.ask("offer", {}, lambda answer, problem: answers.append((answer, problem)))
        await until(lambda: bool(fake.datagrams))
        cookie = fake.datagrams[0].partition(b" ")[0]
        own = client._transport.get_extra_info("sockname")  # type: ignore[union-attr]
        right = encode({"result": "ok"})
        for wrong in (
            b"other " + right,
            cookie,
            cookie + b" junk",
            cookie + b" i1e",
            cookie + b" " + right[:-1],
        ):
            fake.transport.sendto(wrong, own)
        await until(lambda: client.unmatched == 5)
        assert answers == []
        for _ in range(3):
            fake.transport.sendto(cookie + b" " + right, own)
        await until(lambda: client.unmatched == 7)
        assert answers == [({b"result": b"ok"}, "")] and client.pending == 0
        client.close()
        fake.close()

    run(scenario)


def test_silence_ends_after_all_tries_and_a_closed_port_at_once() -> None:
    async def scenario() -> None:
        fake = await FakeRtpengine("m").open()
        fake.silent = -1
        silent = await NgClient.open("127.0.0.1", fake.port, fake.where)
        with refusing_port("127.0.0.1") as nobody:
            closed = await NgClient.open("127.0.0.1", nobody, "nobody")
            for client, words in ((silent, "no answer"), (closed, "nobody listens there")):
                problems: asyncio.Queue[str] = asyncio.Queue()
                client.ask("ping", {}, lambda _answer, problem, into=problems: into.put_nowait(problem))  # type: ignore[misc]
                assert await asyncio.wait_for(problems.get(), 30) == words
        assert len(fake.datagrams) == 4
        for client in (silent, closed):
            problems = asyncio.Queue()
            client.ask("ping", {}, lambda _answer, problem, into=problems: into.put_nowait(problem))  # type: ignore[misc]
            client.close()
            assert await asyncio.wait_for(problems.get(), 30) == "the client is closed"
        fake.close()

    run(scenario)


def test_what_does_not_fit_a_datagram_and_too_many_commands_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with pool(1) as one:
            with pytest.raises(AnchorError, match="too long"):
                await told(one.open().offer, CALLER, b"x" * 70_000)
            await one.until(lambda: one.rtpengines.instances[0].alive)
            monkeypatch.setattr(ng, "MAX_PENDING", 0)
            with pytest.raises(AnchorError, match="too many"):
                await told(one.open().offer, CALLER, b"v=0\r\n")

    run(scenario)


# ---- what is said


def test_offers_and_answers_name_both_sides_and_the_address_family_of_the_receiver() -> None:
    async def scenario() -> None:
        async with pool(1) as one:
            anchor = one.open()
            for side, what in ((CALLER, "offer"), (CALLEE, "answer"), (CALLEE, "offer"), (CALLER, "answer")):
                await told(getattr(anchor, what), side, b"v=0\r\n")
            said = [command for command in one.fakes[0].commands if b"sdp" in command]
            assert [(c[b"command"], c[b"from-tag"], c[b"to-tag"], c[b"address family"]) for c in said] == [
                (b"offer", b"caller", b"callee", b"IP6"),
                (b"answer", b"caller", b"callee", b"IP4"),
                (b"offer", b"callee", b"caller", b"IP4"),
                (b"answer", b"callee", b"caller", b"IP6"),
            ]
            assert len({command[b"call-id"] for command in said}) == 1
            assert said[0][b"ICE"] == b"remove" and said[0][b"replace"] == [b"origin", b"session-connection"]
            anchor.close()
            await anchor.settled()
            assert anchor.report() == {
                "anchor": "rtpengine", "rtpengine": one.fakes[0].where, "packets": 7, "octets": 1204, "errors": 0
            }  # fmt: skip
            assert one.fakes[0].heard()[-1] == b"delete"
            anchor.close()
            await asyncio.sleep(0.01)
            assert one.fakes[0].heard().count(b"delete") == 1 and not one.rtpengines.anchors

    run(scenario)


def test_a_refused_offer_is_made_good_by_what_was_agreed_on() -> None:
    async def scenario() -> None:
        async with pool(1) as one:
            anchor = one.open()
            anchor.refused(CALLER)  # the very first: there is nothing to go back to
            await told(anchor.offer, CALLER, b"v=0\r\no=1\r\n")
            await told(anchor.answer, CALLEE, b"v=0\r\no=2\r\n")
            await told(anchor.offer, CALLEE, b"v=0\r\no=3\r\n")
            anchor.refused(CALLEE)
            await one.until(lambda: len(one.fakes[0].heard()) == 5)
            said = [(c[b"command"], c[b"sdp"][-5:-2]) for c in one.fakes[0].commands if b"sdp" in c]
            assert said[3:] == [(b"offer", b"o=1"), (b"answer", b"o=2")]

    run(scenario)


def test_what_rtpengine_refuses_is_488_with_its_words() -> None:
    async def scenario() -> None:
        async with pool(2) as two:
            for fake in two.fakes:
                fake.error = "Failed to parse SDP"
            with pytest.raises(AnchorError, match="Failed to parse SDP") as caught:
                await told(two.open().offer, CALLER, b"nonsense")
            assert caught.value.status == 488
            assert all(one.alive for one in two.rtpengines.instances)

    run(scenario)


def test_what_each_side_sent_is_reported_at_the_end() -> None:
    """Over all its streams, RTCP left out; as rtpengine 10.5 says it."""

    def stream(flag: str, packets: Any) -> dict[str, Any]:
        return {"flags": [flag, "filled"], "stats": {"packets": packets, "bytes": 172 * 3, "errors": 0}}

    async def scenario() -> None:
        async with pool(1) as one:
            voice = {"index": 1, "streams": [stream("RTP", 3), stream("RTCP", 2)]}
            video = {"index": 2, "streams": [stream("RTP", 4), stream("RTP", "many")]}
            one.fakes[0].extra["tags"] = {"caller": {"medias": [voice, video]}, "callee": {"medias": ["?", {}]}}
            anchor = one.open()
            await told(anchor.offer, CALLER, b"v=0\r\n")
            anchor.close()
            await anchor.settled()
            report = anchor.report()
            assert (report["packets"], report["octets"], report["errors"]) == (7, 1204, 0)
            assert report["caller"] == {"packets": 7, "octets": 3 * 3 * 172, "errors": 0}
            assert "callee" not in report

    run(scenario)


@pytest.mark.parametrize("tags", [[], {"caller": []}, {"caller": {"medias": {}}}, {"caller": {"medias": [[]]}}, 1])
def test_an_odd_report_at_the_end_is_used_as_far_as_it_can_be_read(tags: Any) -> None:
    async def scenario() -> None:
        async with pool(1) as one:
            one.fakes[0].extra["tags"] = tags
            anchor = one.open()
            await told(anchor.offer, CALLER, b"v=0\r\n")
            anchor.close()
            await anchor.settled()
            assert not {"caller", "callee"} & set(anchor.report())

    run(scenario)


def test_a_report_waits_for_the_answer_and_not_for_an_instance_that_has_none() -> None:
    """Three of twenty records had no packets: they were written before the answer came."""

    async def scenario() -> None:
        async with pool(1) as one:
            late, never = one.open(), one.open()
            for anchor in (late, never):
                await told(anchor.offer, CALLER, b"v=0\r\n")
                await anchor.settled()  # at once, while it is open
            one.fakes[0].silent = 2  # the answer comes to the third time of asking
            late.close()
            assert "packets" not in late.report()
            await late.settled()
            assert late.report()["packets"] == 7
            one.fakes[0].silent = -1
            never.close()
            await asyncio.wait_for(never.settled(), 30)
            assert never.report() == {"anchor": "rtpengine", "rtpengine": one.fakes[0].where}

    run(scenario)


# ---- several


def test_new_calls_go_to_the_one_with_the_fewest() -> None:
    async def scenario() -> None:
        async with pool(2) as two:
            anchors = [two.open() for _ in range(6)]
            for anchor in anchors:
                await told(anchor.offer, CALLER, b"v=0\r\n")
            assert [one.calls for one in two.rtpengines.instances] == [3, 3]
            on_first = [anchor for anchor in anchors if anchor.report()["rtpengine"] == two.fakes[0].where]
            for anchor in on_first:
                anchor.close()
            for _ in range(2):
                await told(two.open().offer, CALLER, b"v=0\r\n")
            assert [one.calls for one in two.rtpengines.instances] == [2, 3]

    run(scenario)


def test_an_offer_that_is_not_answered_goes_to_another_and_the_silent_one_gets_no_more() -> None:
    async def scenario() -> None:
        async with pool(2) as two:
            silent = two.fakes[0]
            silent.silent = -1
            for _ in range(3):
                assert b"a=from-m1" in await told(two.open().offer, CALLER, b"v=0\r\n")
            alive = [one.alive for one in two.rtpengines.instances]
            assert alive == [False, True]
            assert [event for event, _ in two.log.lines] == ["rtpengine does not answer"]
            silent.silent = 0
            await two.until(lambda: two.rtpengines.instances[0].alive)
            assert [event for event, _ in two.log.lines][-1] == "rtpengine answers again"
            assert b"a=from-m0" in await told(two.open().offer, CALLER, b"v=0\r\n")

    run(scenario)


def test_none_left_is_503_and_nobody_waits_for_those_that_are_known_to_be_gone() -> None:
    async def scenario() -> None:
        async with pool(2) as two:
            for fake in two.fakes:
                fake.silent = -1
            with pytest.raises(AnchorError, match="no answer") as caught:
                await told(two.open().offer, CALLER, b"v=0\r\n")
            assert caught.value.status == 503
            with pytest.raises(AnchorError, match="no rtpengine answers") as caught:
                await told(two.open().offer, CALLER, b"v=0\r\n")
            assert caught.value.status == 503

    run(scenario)


def test_an_answer_goes_to_nobody_else_and_a_later_offer_moves_the_call() -> None:
    async def scenario() -> None:
        async with pool(2) as two:
            anchor = two.open()
            await told(anchor.offer, CALLER, b"v=0\r\n")
            first = next(fake for fake in two.fakes if b"offer" in fake.heard())
            other = next(fake for fake in two.fakes if fake is not first)
            first.silent = -1
            with pytest.raises(AnchorError) as caught:
                await told(anchor.answer, CALLEE, b"v=0\r\n")
            assert caught.value.status == 503 and other.heard() == []
            await told(anchor.offer, CALLER, b"v=0\r\n")
            await told(anchor.answer, CALLEE, b"v=0\r\n")
            assert other.heard() == [b"offer", b"answer"]
            assert sorted(one.calls for one in two.rtpengines.instances) == [0, 1]
            anchor.close()
            assert [one.calls for one in two.rtpengines.instances] == [0, 0]

    run(scenario)


def test_a_leg_that_ends_while_its_offer_is_under_way_leaves_no_call_behind() -> None:
    async def scenario() -> None:
        async with pool(1) as one:
            anchor = one.open()
            one.fakes[0].silent = 1
            waiting = asyncio.ensure_future(told(anchor.offer, CALLER, b"v=0\r\n"))
            await asyncio.sleep(0)
            anchor.close()
            with pytest.raises(AnchorError, match="over"):
                await waiting
            await one.until(lambda: b"delete" in one.fakes[0].heard())
            assert one.rtpengines.instances[0].calls == 0

    run(scenario)


def test_a_hangup_does_not_ask_an_instance_that_is_gone() -> None:
    async def scenario() -> None:
        async with pool(1) as one:
            anchor = one.open()
            await told(anchor.offer, CALLER, b"v=0\r\n")
            one.fakes[0].silent = -1
            await one.until(lambda: not one.rtpengines.instances[0].alive)
            before = one.rtpengines.instances[0].counts["pending"]
            anchor.close()
            assert one.rtpengines.instances[0].counts["pending"] == before

    run(scenario)

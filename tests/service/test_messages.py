"""Text messages through a whole engine: who may send, what is answered, what runs, and which provider gets what."""

import asyncio
import gc
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from engine.dial import DialSpec, Outcome, Peer
from engine.messages import IncomingMessage
from engine.sip.message.message import Request
from flows.language.run import Run as FlowRun
from flows.messages.model import MessageNotKept, Target, TextMessage
from flows.messages.outbox import AUTOMATIC_BURST
from routing.identifiers import named_id
from store.database import tables
from store.resources import messages
from store.store import Store

Run = Callable[..., None]
ENGINE, CLIENT, GUEST, ONE, TWO = "127.0.0.1", "127.0.0.11", "127.0.0.12", "127.0.0.21", "127.0.0.22"
OURS, QUIET, ECHOED = "+15551234567", "+15551234568", "+15551234569"
CUSTOMER = "+821012345678"
AGENT = "+15550009999"

QUIETLY = {"type": "tel", "target": QUIET}

RESPONDER = {
    "name": "responder",
    "actions": [
        {
            "type": "branch",
            "option": {"variable": "message.text", "target_ids": {"HOURS": "hours"}, "default_target_id": "forward"},
        },
        {"id": "hours", "type": "message_send", "option": {"text": "We're open Mon-Fri 9-5"}},
        {"type": "stop"},
        {
            "id": "forward",
            "type": "message_send",
            "option": {
                "destinations": [{"type": "tel", "target": AGENT}],
                "text": "${message.source.number} to ${message.destination.number}: ${message.text}",
            },
        },
    ],
}
NUMBERS = [
    {"number": OURS, "provider": "p1", "call_flow": "echo", "message_flow": "responder"},
    {"number": QUIET, "provider": "p1", "call_flow": "echo"},
]
ECHO = {"name": "echo", "actions": [{"type": "answer"}, {"type": "echo", "option": {"duration": 60000}}]}


class Texts:
    """A provider's or a phone's messages: answers with `status`, and keeps what it got."""

    def __init__(self, phone: Any, status: int = 200, headers: Sequence[tuple[str, str]] = ()) -> None:
        self.phone = phone
        self.status = status
        self.headers = headers
        self.got: list[tuple[Request, str]] = []
        phone.on_message = self

    def __call__(self, message: IncomingMessage) -> Coroutine[Any, Any, None]:
        return self._take(message)

    async def _take(self, message: IncomingMessage) -> None:
        self.got.append((message.request, message.text))
        if self.status:
            message.answer(self.status, headers=self.headers)
        else:
            await asyncio.sleep(60)

    @property
    def texts(self) -> list[str]:
        return [text for _, text in self.got]

    async def send(self, engine: str, number: str, text: str, from_: str = CUSTOMER, **more: Any) -> Outcome:
        host = self.phone.agent.nowhere.transport.local[0]
        uri = f"sip:{number}@{engine}"
        from_ = from_ if "<" in from_ else f"<sip:{from_}@{host}>"
        spec = DialSpec(
            request_uri=uri, destination=f"sip:{engine}", from_=from_, to=f"<{uri}>", no_reply_timeout=5.0, **more
        )
        outcome: Outcome = await self.phone.agent.messages.send(spec, text)
        return outcome


async def trunk(bench: Any, host: str = ONE, status: int = 200, **more: Any) -> Texts:
    return Texts(await bench.phone(host), status, **more)


async def engine_for(bench: Any, *trunks: Texts, **sections: Any) -> Any:
    whole = bench.providers(*(trunk.phone for trunk in trunks))
    for provider, one in zip(whole["providers"], trunks, strict=True):
        provider["inbound_addresses"] = [f"{one.phone.agent.nowhere.transport.local[0]}/32"]
    whole |= {"numbers": NUMBERS, "flows": [RESPONDER, ECHO]} | sections
    return await bench.engine(**whole)


def test_a_keyword_is_answered_and_everything_else_forwarded(run: Run) -> None:
    async def test(bench: Any) -> None:
        one = await trunk(bench)
        engine = await engine_for(bench, one)
        assert (await one.send(engine.address, OURS, "  hours\n")).status == 200
        await bench.until(lambda: one.texts == ["We're open Mon-Fri 9-5"])
        request = one.got[0][0]
        assert f"{request.uri}" == f"sip:{CUSTOMER}@{one.phone.address}"
        assert OURS in request.get("From")
        assert (await one.send(engine.address, OURS, "Where are you?")).status == 200
        await bench.until(lambda: len(one.got) == 2)
        assert one.texts[1] == f"{CUSTOMER} to {OURS}: Where are you?"
        assert AGENT in str(one.got[1][0].uri)

    run(test)


@pytest.mark.parametrize(
    ("host", "number", "status", "warned"),
    [
        (ONE, "+15559999999", 404, False),
        (ONE, QUIET, 480, True),
        (GUEST, CUSTOMER, 403, False),
        (GUEST, "nobody", 404, False),
        (CLIENT, "+35312345678", 480, False),  # a foreign number that no route leads to
    ],
)
def test_what_is_not_taken(run: Run, host: str, number: str, status: int, warned: bool) -> None:
    async def test(bench: Any) -> None:
        one = await trunk(bench)
        sender = one if host == ONE else Texts(await bench.phone(host))
        routes = [{"target": "+82", "provider": "p1"}]
        engine = await engine_for(bench, one, routes=routes)
        assert (await sender.send(engine.address, number, "hello")).status == status
        final = [found for found in sender.phone.responses if found.cseq_method == "MESSAGE"][-1]
        assert (final.get("Warning") != "") is warned
        assert not one.got

    run(test)


def test_a_client_sends_to_a_foreign_number_and_hears_the_far_ends_status(run: Run) -> None:
    async def test(bench: Any) -> None:
        one, client = await trunk(bench, status=202), Texts(await bench.phone(CLIENT))
        engine = await engine_for(bench, one)
        assert (await client.send(engine.address, CUSTOMER, "hello", from_="+15550001111")).status == 202
        assert one.texts == ["hello"]
        assert "+15550001111" in one.got[0][0].get("From")
        one.status = 603
        assert (await client.send(engine.address, CUSTOMER, "hello")).status == 603

    run(test)


def test_failover_goes_on_with_the_next_providers_prefix_headers_and_identity(run: Run) -> None:
    async def test(bench: Any) -> None:
        one, two = await trunk(bench, status=503), await trunk(bench, TWO)
        whole = bench.providers(one.phone, two.phone)
        for provider, host, prefix in zip(whole["providers"], (ONE, TWO), ("1", "2"), strict=True):
            provider |= {
                "inbound_addresses": [f"{host}/32"],
                "tech_prefix": prefix,
                "tech_headers": {"X-Account": f"account {prefix}"},
            }
        engine = await bench.engine(**whole, numbers=NUMBERS, flows=[RESPONDER, ECHO])
        assert (await two.send(engine.address, OURS, "HOURS")).status == 200
        await bench.until(lambda: two.got)
        for provider, prefix in ((one, "1"), (two, "2")):
            ((request, text),) = provider.got
            assert str(request.uri).startswith(f"sip:{prefix}{CUSTOMER}@")
            assert request.get("X-Account") == f"account {prefix}"
            assert OURS in request.get("P-Asserted-Identity")
            assert text == "We're open Mon-Fri 9-5"
        # The callee's own refusal ends it.
        one.status, one.got, two.got = 404, [], []
        engine.node.board.state(engine.node.directory.providers[0].id.int).cooldown_until = 0.0
        assert (await two.send(engine.address, OURS, "HOURS", from_="+821099999999")).status == 200
        await bench.until(lambda: one.got)
        await asyncio.sleep(0.05)
        assert not two.got

    run(test)


def test_stop_is_honoured_until_start(run: Run) -> None:
    async def test(bench: Any) -> None:
        one = await trunk(bench)
        engine = await engine_for(bench, one)

        async def text(words: str, *answers: str) -> None:
            seen = len(one.got)
            assert (await one.send(engine.address, OURS, words)).status == 200
            await bench.until(lambda: len(one.got) >= seen + len(answers))
            await bench.until(lambda: not engine.node.flows.messages.waiting and not engine.node.agent.messages.tasks)
            assert one.texts[seen:] == list(answers)

        confirmed = f"You get no more messages from {OURS}. Reply START to get them again."
        await text("Stop!", confirmed)
        await text("STOP")  # who says it twice knows
        await text("HOURS")
        await text("HELP")
        await text("yes", f"You get messages from {OURS} again. Reply STOP to end them.")
        await text("HOURS", "We're open Mon-Fri 9-5")
        await text("help", f"Reply STOP to get no more messages from {OURS}, START to get them again.")
        # A number without a message flow can be told, too: it may be one that only sends.
        assert (await one.send(engine.address, QUIET, "unsubscribe")).status == 200
        await bench.until(lambda: one.texts[-1] == confirmed.replace(OURS, QUIET))

    run(test)


def test_a_number_has_its_own_words(run: Run) -> None:
    async def test(bench: Any) -> None:
        one = await trunk(bench)
        metadata = {"stop_text": "Bye.", "help_text": "", "start_text": ""}
        engine = await engine_for(bench, one, numbers=[NUMBERS[0] | {"metadata": metadata}])
        for words in ("HELP", "START", "STOP", "START", "YES"):
            assert (await one.send(engine.address, OURS, words)).status == 200
        await bench.until(lambda: len(one.got) == 3 and not engine.node.flows.messages.waiting)
        # Without a text of its own HELP is the flow's, and so is a YES that begins nothing again.
        forwarded = [f"{CUSTOMER} to {OURS}: {words}" for words in ("HELP", "YES")]
        assert sorted(one.texts) == sorted(["Bye.", *forwarded])

    run(test)


def test_a_guest_is_answered_where_it_is_whatever_number_it_claims(run: Run) -> None:
    async def test(bench: Any) -> None:
        one, guest = await trunk(bench), Texts(await bench.phone(GUEST))
        engine = await engine_for(bench, one)
        assert (await guest.send(engine.address, OURS, "hours", from_=CUSTOMER)).status == 200
        await bench.until(lambda: guest.texts == ["We're open Mon-Fri 9-5"])
        assert str(guest.got[0][0].uri) == f"sip:{CUSTOMER}@{GUEST}"
        assert (await guest.send(engine.address, OURS, "STOP", from_=CUSTOMER)).status == 200
        await bench.until(lambda: len(guest.got) == 2)
        # The number that it claimed has not been opted out by it.
        assert (await one.send(engine.address, OURS, "HOURS")).status == 200
        await bench.until(lambda: one.texts == ["We're open Mon-Fri 9-5"])

    run(test)


def test_a_guest_that_may_not_is_asked_for_its_login_as_for_a_call(run: Run) -> None:
    async def test(bench: Any) -> None:
        one, guest = await trunk(bench), Texts(await bench.phone(GUEST))
        users = {"users": [{"username": "desk", "password": "s3cret"}]}
        engine = await engine_for(bench, one, sip=users)
        login = Peer(username="desk", password="s3cret")
        assert (await guest.send(engine.address, CUSTOMER, "hello", peer=login)).status == 200
        assert (one.texts, guest.phone.heard["401"]) == (["hello"], 1)
        wrong = await guest.send(engine.address, CUSTOMER, "hello", peer=replace(login, password="wrong"))
        assert (wrong.status, one.texts, guest.phone.heard["401"]) == (403, ["hello"], 2)

    run(test)


def test_our_own_numbers_talk_without_a_network_and_not_for_ever(run: Run) -> None:
    async def test(bench: Any) -> None:
        one, client = await trunk(bench), Texts(await bench.phone(CLIENT))
        answers = {"name": "answers", "actions": [{"type": "message_send", "option": {"text": "${message.text}+"}}]}
        asks = {
            "name": "asks",
            "actions": [
                {
                    "type": "message_send",
                    "option": {
                        "text": "${message.text}.",
                        "destinations": [{"type": "tel", "target": ECHOED}],
                    },
                }
            ],
        }
        numbers = [
            {"number": OURS, "call_flow": "echo", "message_flow": "asks"},
            {"number": ECHOED, "call_flow": "echo", "message_flow": "answers"},
        ]
        engine = await engine_for(bench, one, numbers=numbers, flows=[ECHO, answers, asks])
        post = engine.node.flows.messages
        taken: list[str] = []
        take = post.store.received

        async def kept(message: Any, wish: Any) -> bool:
            taken.append(message.text)
            return bool(await take(message, wish))

        post.store.received = kept
        assert (await client.send(engine.address, OURS, "a", from_="ann")).status == 200
        await bench.until(lambda: not post.waiting and not post.processing and not engine.node.agent.messages.tasks)
        # Twenty flows that led to one another; what the last of them sends is not delivered.
        assert taken == ["a" + ".+" * (n // 2) + "." * (n % 2) for n in range(20)]
        assert not one.got

    run(test)


def test_without_a_flow_that_can_run_there_is_no_answer_but_480(run: Run) -> None:
    async def test(bench: Any) -> None:
        one = await trunk(bench)
        engine = await engine_for(bench, one)
        engine.node.library.remove(named_id("flow", "responder"))
        assert (await one.send(engine.address, OURS, "HOURS")).status == 480

    run(test)


def test_what_is_answered_200_is_in_the_store_with_its_event(run: Run, tmp_path: Path) -> None:
    async def test(bench: Any) -> None:
        one = await trunk(bench)
        engine = await engine_for(bench, one, store=f"sqlite:///{tmp_path}/kept.db")
        store = engine.node.storage.store
        assert (await one.send(engine.address, OURS, "hours", from_=f'"Ann" <sip:{CUSTOMER}@{ONE}>')).status == 200
        async with store.read() as connection:  # at once: the 200 says that it is there
            query = sa.select(tables.messages).where(tables.messages.c.direction == "incoming")
            (kept,) = (await connection.execute(query)).mappings().all()
        assert kept["source"] == {"type": "tel", "target": CUSTOMER, "target_name": "Ann"}
        assert (kept["text"], kept["status"], kept["number_id"]) == ("hours", "received", named_id("number", OURS))

        await bench.until(lambda: one.texts and not engine.node.flows.messages.tasks)
        async with store.read() as connection:
            found = (await connection.execute(sa.select(tables.events).order_by(tables.events.c.id))).mappings().all()
        news = [(row["type"], row["data"]["status"]) for row in found if row["type"].startswith("message")]
        assert news == [("message_received", "received"), ("message_sent", "delivered")]
        assert (await one.send(engine.address, OURS, "STOP")).status == 200
        async with store.read() as connection:
            assert await messages.opted_out(connection, OURS, [CUSTOMER])

    run(test)


def test_a_store_that_does_not_take_it_is_no_200(run: Run, tmp_path: Path) -> None:
    async def test(bench: Any) -> None:
        one = await trunk(bench)
        engine = await engine_for(bench, one, store=f"sqlite:///{tmp_path}/kept.db")
        keeper = engine.node.flows.messages.store

        async def broken(*_: Any) -> bool:
            raise MessageNotKept("the store does not answer")

        keeper.received = broken
        assert (await one.send(engine.address, OURS, "hours")).status == 503
        assert [found.get("Retry-After") for found in one.phone.responses if found.status == 503] == ["2"]
        await asyncio.sleep(0.05)
        assert not one.got  # nothing runs on what was not taken
        del keeper.received
        assert (await one.send(engine.address, OURS, "hours")).status == 200
        await bench.until(lambda: one.texts)

    run(test)


def test_what_waits_when_the_engine_stops_is_reported_as_failed(run: Run, tmp_path: Path) -> None:
    async def test(bench: Any) -> None:
        one = await trunk(bench, status=0)
        url = f"sqlite:///{tmp_path}/kept.db"
        engine = await engine_for(bench, one, store=url)
        bench.patch.setattr("flows.messages.outbox.CLOSING", 0.05)
        bench.patch.setattr("engine.user_agent._BYE_GRACE", 0.2)  # the trunk says nothing, however long it is given
        for words in ("hours", "hours"):
            assert (await one.send(engine.address, OURS, words)).status == 200
        await bench.until(lambda: one.got and engine.node.flows.messages.waiting == 2)
        await engine.node.close()
        bench.ends.remove(engine.node.close)
        store = await Store.open(url)
        async with store.read() as connection:
            query = sa.select(tables.messages).where(tables.messages.c.direction == "outgoing")
            found = (await connection.execute(query)).mappings().all()
        await store.close()
        assert [row["status"] for row in found] == ["failed", "failed"]
        reasons = sorted(target["sip_reason"] for row in found for target in row["targets"])
        assert reasons == [
            "the engine stopped before it was answered; it may have arrived",
            "the engine stopped before it was sent",
        ]
        assert len(one.got) == 1

    run(test)


def test_a_flow_made_for_calls_skips_what_needs_one(run: Run) -> None:
    async def test(bench: Any) -> None:
        one = await trunk(bench)
        flows = [
            ECHO,
            {
                "name": "responder",
                "actions": [
                    {"type": "fetch_flow", "option": {"flow_id": "echo"}},
                    {"type": "message_send", "option": {"text": "${message.source.name}|${call.id}|${number.number}"}},
                ],
            },
        ]
        engine = await engine_for(bench, one, flows=flows)
        await one.send(engine.address, OURS, "x", from_=f'"Ann" <sip:{CUSTOMER}@{ONE}>')
        await bench.until(lambda: one.texts == [f"Ann||{OURS}"])
        skipped = [(line["type"], line["error"]) for line in engine.log.named("action failed")]
        reason = "needs a call and is skipped on a message"
        assert skipped == [("answer", reason), ("echo", reason)]
        assert all(line["message_id"] for line in engine.log.named("action failed"))

    run(test)


def test_a_flow_in_python_texts_back(run: Run, tmp_path: Path) -> None:
    async def test(bench: Any) -> None:
        (tmp_path / "texting.py").write_text(
            "from flows.python import FlowCall, flow\n\n\n"
            '@flow("python")\nasync def python(call: FlowCall) -> None:\n'
            "    await call.message_send(f\"got {call.variables.get('message.text')}\")\n"
            "    call.answer()\n"
            '    await call.message_send("never")\n'
        )
        one = await trunk(bench)
        numbers = [{"number": OURS, "call_flow": "python", "message_flow": "python"}]
        engine = await engine_for(bench, one, numbers=numbers, flows_module="texting.py", flows=[])
        await one.send(engine.address, OURS, "x")
        await bench.until(lambda: one.texts == ["got x"])
        await bench.until(lambda: not engine.node.agent.messages.tasks)
        assert one.texts == ["got x"]

    run(test)


def test_a_text_within_a_call_is_for_the_number_that_was_called(run: Run) -> None:
    """Its Request-URI is our Contact, and names nobody (RFC 3261 §12.2.1.1)."""

    async def test(bench: Any) -> None:
        one = await trunk(bench)
        engine = await engine_for(bench, one)
        leg, outcome = await one.phone.call(engine.address, OURS, from_=f"<sip:{CUSTOMER}@{ONE}>")
        assert outcome.status == 200
        answers: list[int] = []
        for text in (b"HOURS", b""):
            leg.session.request(
                "MESSAGE",
                leg.agent.now(),
                "Content-Type: text/plain\r\n",
                text,
                lambda status, *_: answers.append(status),
            )
        await bench.until(lambda: len(one.got) == 2)
        assert (answers, one.texts) == ([200, 200], ["We're open Mon-Fri 9-5", f"{CUSTOMER} to {OURS}: "])
        leg.hangup()

    run(test)


def test_a_call_texts_its_caller(run: Run) -> None:
    async def test(bench: Any) -> None:
        one, client = await trunk(bench), await bench.phone(CLIENT)
        flows = [
            {
                "name": "missed",
                "actions": [
                    {"type": "message_send", "option": {"text": "We call ${call.source.number} back."}},
                    {"type": "reject", "option": {"code": 486}},
                ],
            },
            ECHO,
        ]
        numbers = [{"number": OURS, "call_flow": "missed"}]
        engine = await engine_for(bench, one, flows=flows, numbers=numbers)
        _, outcome = await client.call(engine.address, OURS, from_=f"<sip:{CUSTOMER}@{CLIENT}>")
        assert outcome.status == 486
        await bench.until(lambda: one.texts == [f"We call {CUSTOMER} back."])
        assert OURS in one.got[0][0].get("From")

    run(test)


@pytest.mark.parametrize(
    "from_", [f"<sip:{CUSTOMER}@{GUEST}>", f'"{OURS}" <sip:{CUSTOMER}@{ONE}>', f"<tel:{CUSTOMER}>"]
)
def test_a_guest_that_calls_has_nobody_texted_whose_number_it_claims(run: Run, from_: str) -> None:
    """As a guest's message has not: what it says of itself is no fact (RFC 3325 §5)."""

    async def test(bench: Any) -> None:
        one, guest = await trunk(bench), await bench.phone(GUEST)
        missed = {"name": "missed", "actions": [{"type": "message_send", "option": {"text": "We call you back."}}]}
        outer = {"name": "outer", "actions": [{"type": "connect", "option": {"destinations": [QUIETLY]}}]}
        numbers = [{"number": OURS, "call_flow": "missed"}, {"number": QUIET, "call_flow": "missed"}]
        numbers.append({"number": ECHOED, "call_flow": "outer"})
        engine = await engine_for(bench, one, flows=[missed, outer], numbers=numbers)
        for number in (OURS, ECHOED):  # at once, and by a number that another one connects to
            await guest.call(engine.address, number, from_=from_)
        await bench.until(lambda: len(engine.log.named("action failed")) == 2)
        for line in engine.log.named("action failed"):
            assert (line["type"], "vouches" in line["error"]) == ("message_send", True)
        assert not engine.node.agent.messages.tasks and not one.got

    run(test)


def test_two_machines_that_answer_each_other_are_slowed_down(run: Run) -> None:
    async def test(bench: Any) -> None:
        one = await trunk(bench)
        flows = [{"name": "responder", "actions": [{"type": "message_send", "option": {"text": "And you?"}}]}, ECHO]
        engine = await engine_for(bench, one, flows=flows)
        for number in range(AUTOMATIC_BURST + 5):
            assert (await one.send(engine.address, OURS, f"x{number}")).status == 200
        await bench.until(lambda: not engine.node.flows.messages.waiting and not engine.node.agent.messages.tasks)
        assert len(one.got) <= AUTOMATIC_BURST + 1
        # Others are answered as before.
        assert (await one.send(engine.address, OURS, "y", from_="+821099999999")).status == 200
        await bench.until(lambda: "+821099999999" in str(one.got[-1][0].uri))

    run(test)


def written(wire: Any, from_: str, body: bytes = b"hours", kind: str = "text/plain") -> bytes:
    """A MESSAGE for our number, from whoever."""
    head: bytes = wire.request("MESSAGE", from_=from_, body=False)
    return (
        head.replace(b"Content-Length: 0\r\n", f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n".encode())
        + body
    )


@pytest.mark.long
@pytest.mark.parametrize(
    ("from_", "status"),
    [
        ("<tel:+821012345678>", 200),
        ("<sip:127.0.0.12>", 200),
        ("<sip:anonymous@anonymous.invalid>", 200),
        ('"\u202e<x>\\"" <sip:%41nn%20x@[2001:db8::1]:9;x=y>', 200),
        (f'"{"n" * 3000}" <sip:{"u" * 3000}@h>', 200),
        ("<http://example.com>", 200),
    ],
)
@pytest.mark.parametrize("words", [b"hours", b"STOP"])
def test_whatever_a_sender_calls_itself_there_is_an_answer(
    run: Run, tmp_path: Path, from_: str, status: int, words: bytes
) -> None:
    async def test(bench: Any) -> None:
        one, wire = await trunk(bench), await bench.wire(GUEST)
        # Where an answer to the sender leads nowhere, it is given up after 64 times T1.
        engine = await engine_for(bench, one, store=f"sqlite:///{tmp_path}/kept.db", sip={"t1": 0.01})
        assert (await wire.answer(written(wire, from_, words), engine.address)).status == status
        await bench.until(lambda: not engine.node.agent.messages.tasks)
        assert not [line for line in engine.log.events if line["level"] == "error"]

    run(test)


def test_messages_leave_no_circle(run: Run) -> None:
    async def test(bench: Any) -> None:
        one = await trunk(bench)
        engine = await engine_for(bench, one)

        def there() -> set[int]:
            kinds = (FlowRun, TextMessage, IncomingMessage, Target)
            return {id(thing) for thing in gc.get_objects() if isinstance(thing, kinds)}

        gc.collect()
        gc.disable()
        before = there()  # of other tests
        try:
            for words in ("hours", "Where?", "STOP", "HELP", "START"):
                assert (await one.send(engine.address, OURS, words)).status == 200
            post = engine.node.flows.messages
            await bench.until(lambda: len(one.got) == 4 and not post.tasks and not engine.node.agent.messages.tasks)
            await bench.until(lambda: there() <= before)
        finally:
            gc.enable()

    run(test)


@pytest.mark.parametrize("transports", [("udp", "tcp"), ("udp",)])
def test_a_long_text_arrives(run: Run, transports: tuple[str, ...]) -> None:
    async def test(bench: Any) -> None:
        one = Texts(await bench.phone(ONE, transports=transports))
        listen = [f"{transport}://{ENGINE}:0" for transport in transports]
        engine = await engine_for(bench, one, sip={"listen": listen})
        text = "wörter " * 1000
        assert (await one.send(engine.address, OURS, text)).status == 200
        await bench.until(lambda: one.texts == [f"{CUSTOMER} to {OURS}: {text}"])

    run(test)

"""Who may call what, over the wire: the tables of where a call comes from and what an INVITE is answered."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from flows.calls.address import Address
from flows.calls.hangup import hangup_by_id
from flows.origination.call import originate

Run = Callable[..., None]
ENGINE, CLIENT, GUEST, ONE, TWO = "127.0.0.1", "127.0.0.11", "127.0.0.12", "127.0.0.21", "127.0.0.22"
OURS, ECHO, FOREIGN = "+15551234567", "+899100000001", "+821012345678"

NUMBERS = [
    {"number": OURS, "call_flow": "busy"},
    {"number": "+15551230000"},
    {"number": "+15551230001", "call_flow": "busy", "status": "suspended"},
    {"number": "+15551230002", "status": "available"},
    {"number": "+15551230003", "status": "released"},
    {"number": ECHO, "call_flow": "busy"},
]
FLOWS = [{"name": "busy", "actions": [{"type": "reject", "option": {"code": 486}}]}]


@pytest.mark.parametrize(
    ("uri", "status"),
    [
        (f"sip:{OURS}@127.0.0.1", 486),
        ("sip:15551234567@127.0.0.1", 486),
        ("sip:0015551234567@127.0.0.1", 486),
        ("sip:%2B15551234567@127.0.0.1", 486),
        ("sip:+1-555-123-4567@127.0.0.1;user=phone", 486),
        ("sip:+1(555)123.4567;isub=7@127.0.0.1;user=phone", 486),
        ("tel:+1-555-123-4567", 486),
        ("tel:5551234567;phone-context=+1", 486),
        ("sip:899100000001@127.0.0.1", 486),
        ("sip:+15551230000@127.0.0.1", 480),  # active, without a call flow
        ("sip:+15551230001@127.0.0.1", 480),  # suspended
        ("sip:+15551230002@127.0.0.1", 404),  # available
        ("sip:+15551230003@127.0.0.1", 404),  # released
        ("sip:+899100000099@127.0.0.1", 404),  # virtual, and none of ours
        ("sip:nobody@127.0.0.1", 404),
        ("sip:4711@127.0.0.1", 404),
        ("sip:%00%07@127.0.0.1", 404),
        ("sip:127.0.0.1", 484),
        ("sip:+1555123456789012345@127.0.0.1", 484),
        (f"sip:{'9' * 200}@127.0.0.1", 484),
        ("mailto:ann@example.com", 416),
        ("sip:+821012345678@127.0.0.1", 403),  # foreign
    ],
)
def test_what_a_guest_hears(run: Run, uri: str, status: int) -> None:
    async def test(bench: Any) -> None:
        engine = await bench.engine(numbers=NUMBERS, flows=FLOWS)
        wire = await bench.wire(GUEST)
        response = await wire.answer(wire.request(uri=uri), engine.address)
        assert response.status == status
        warning = response.get("Warning")
        assert ("no call flow" in warning) == (uri == "sip:+15551230000@127.0.0.1")
        await engine.quiet()

    run(test)


def test_what_a_trunk_hears(run: Run) -> None:
    async def test(bench: Any) -> None:
        trunk = await bench.phone(ONE)
        more = bench.providers(trunk)
        more["providers"][0]["inbound_addresses"] = ["127.0.0.32/31"]
        more["providers"].append({"name": "other", "hostname": "192.0.2.1"})
        numbers = [*NUMBERS, {"number": "+15551230005", "call_flow": "busy", "provider": "other"}]
        # A trunk's network that is trusted too: it is a trunk all the same.
        engine = await bench.engine(numbers=numbers, flows=FLOWS, sip={"trusted_networks": ["127.0.0.0/8"]}, **more)
        for host in (ONE, "127.0.0.32", "127.0.0.33"):
            wire = await bench.wire(host)
            for uri, status in (
                (f"sip:{OURS}@127.0.0.1", 486),
                (f"sip:{ECHO}@127.0.0.1", 404),  # virtual numbers are not reached from the telephone network
                (f"sip:{FOREIGN}@127.0.0.1", 404),  # a trunk dials out through nobody
                ("sip:+15551230001@127.0.0.1", 480),
            ):
                assert (await wire.answer(wire.request(uri=uri), engine.address)).status == status, (host, uri)
            response = await wire.answer(wire.request(uri="sip:+15551230005@127.0.0.1"), engine.address)
            assert response.status == 486
            await engine.quiet()
            assert engine.record.notes == ["arrived on a trunk that is not the number's own"]
            assert engine.log.named("call ended")[-1]["notes"] == engine.record.notes[0]
        assert not trunk.calls

    run(test)


def test_guests_may_be_kept_out_altogether(run: Run) -> None:
    async def test(bench: Any) -> None:
        engine = await bench.engine(numbers=NUMBERS, flows=FLOWS, sip={"allow_guests": False})
        guest, client = await bench.wire(GUEST), await bench.wire(CLIENT)
        assert (await guest.answer(guest.request(), engine.address)).status == 403
        assert (await client.answer(client.request(), engine.address)).status == 486
        assert engine.node.directory.refused == {"guests_not_allowed": 1}

    run(test)


def test_a_trusted_client_dials_out_and_the_record_tells_how_it_went(run: Run) -> None:
    async def test(bench: Any) -> None:
        one, two, client = await bench.phone(ONE, 503), await bench.phone(TWO), await bench.phone(CLIENT)
        engine = await bench.engine(**bench.providers(one, two))
        leg, outcome = await client.call(engine.address, "00821012345678")
        assert outcome.kind == "answered"
        await bench.until(lambda: two.heard["ACK"])
        leg.hangup()
        await leg.wait_ended()
        await engine.quiet()
        record = engine.record
        assert (record.source, record.source_name, record.destination) == ("+15550001111", "Ann", FOREIGN)
        assert (record.hangup_reason, record.hangup_by) == ("normal", "remote")
        assert [(a.provider_name, a.status, a.kind) for a in record.attempts] == [
            ("p1", 503, "refused"),
            ("p2", 200, "answered"),
        ]
        assert 0 <= record.answered_ms <= record.ended_ms
        assert two.invites[0].uri_text == f"sip:{FOREIGN}@{two.address}"
        (line,) = engine.log.named("call ended")
        assert line["call_id"] == record.id
        assert (line["attempts"], line["status"], line["hangup_reason"]) == (2, 200, "normal")
        assert re.fullmatch(r"p1 503 \d+ ms, p2 200 \d+ ms", line["tried"])
        assert "notes" not in line

    run(test)


@pytest.mark.parametrize(
    ("does", "heard", "reason", "by"),
    [
        (486, 486, "busy", "local"),
        (600, 600, "busy", "local"),
        (480, 480, "noanswer", "local"),
        (404, 404, "failed", "local"),
    ],
)
def test_the_far_ends_refusal_is_what_the_client_hears(run: Run, does: int, heard: int, reason: str, by: str) -> None:
    async def test(bench: Any) -> None:
        one, client = await bench.phone(ONE, does), await bench.phone(CLIENT)
        engine = await bench.engine(**bench.providers(one))
        _, outcome = await client.call(engine.address, FOREIGN)
        assert outcome.status == heard
        await engine.quiet()
        assert (engine.record.hangup_reason, engine.record.hangup_by) == (reason, by)

    run(test)


def test_a_client_that_gives_up_cancels_the_provider(run: Run) -> None:
    async def test(bench: Any) -> None:
        one, client = await bench.phone(ONE, "ring"), await bench.phone(CLIENT)
        engine = await bench.engine(**bench.providers(one))
        leg = client.dial(engine.address, FOREIGN)
        far = await one.incoming()
        await bench.until(lambda: client.heard["180"])
        leg.cancel()
        await far.wait_ended()
        await engine.quiet()
        assert one.heard["CANCEL"] == 1
        assert (engine.record.hangup_reason, engine.record.hangup_by) == ("cancel", "remote")
        assert engine.record.attempts[0].kind == "cancelled"
        assert engine.log.named("call ended")[0]["tried"] == "p1 cancelled"

    run(test)


# ---- the record while the call runs


class Watcher:
    """What is told of calls: (what, status, number of attempts that have an end)."""

    def __init__(self, engine: Any) -> None:
        self.told: list[tuple[str, str]] = []
        self.kinds: list[str] = []
        engine.node.flows.calls.registry.observers.append(self)

    def begun(self, record: Any) -> None:
        self.told.append(("begun", record.status))

    def changed(self, record: Any) -> None:
        self.told.append(("changed", record.status))

    def ended(self, record: Any) -> None:
        self.told.append(("ended", record.status))
        self.kinds = [attempt.kind for attempt in record.attempts]


def test_a_record_follows_the_callers_leg_and_names_whose_call_it_is(run: Run) -> None:
    async def test(bench: Any) -> None:
        trunk = await bench.phone(ONE)
        flow = [{"type": "ringing"}, {"type": "sleep", "option": {"duration": 20}}, {"type": "answer"},
                {"type": "block"}]  # fmt: skip
        owner = "11111111-1111-4111-8111-111111111111"
        numbers = [{"number": OURS, "call_flow": "ring", "provider": "p1", "customer_id": owner}]
        flows = [{"name": "ring", "actions": flow}]
        engine = await bench.engine(numbers=numbers, flows=flows, **bench.providers(trunk))
        watcher = Watcher(engine)
        leg, outcome = await trunk.call(engine.address, OURS)
        assert outcome.kind == "answered"
        record, row = engine.record, engine.node.directory.number(OURS)
        assert (record.status, record.hangup_reason, record.ended_ms) == ("progressing", "", None)
        # The timers of uvloop count whole milliseconds, and the record rounds to them: 20 may be 18.
        assert record.answered_ms >= record.ringing_ms + 18
        assert (record.number_id, record.call_flow_id, record.customer_id) == (
            row.id,
            row.call_flow_id,
            row.customer_id,
        )
        assert (record.number, record.flow, str(record.customer_id)) == (OURS, "ring", owner)
        assert record.provider_id == engine.node.directory.provider_at(ONE).id
        assert (record.source_type, record.destination_type) == ("tel", "tel")
        assert record.sip_call_ids == [leg.sip_call_id]
        assert engine.node.flows.calls.registry.running_records() == [record]
        leg.hangup()
        await engine.quiet()
        await bench.until(lambda: watcher.told[-1][0] == "ended")
        assert watcher.told == [
            ("begun", "dialing"),
            ("changed", "ringing"),
            ("changed", "progressing"),
            ("ended", "hangup"),
        ]
        assert not engine.node.flows.calls.registry.running_records()

    run(test)


def test_the_end_is_reported_when_the_attempts_know_theirs(run: Run) -> None:
    async def test(bench: Any) -> None:
        one, client = await bench.phone(ONE, "ring"), await bench.phone(CLIENT)
        engine = await bench.engine(**bench.providers(one))
        watcher = Watcher(engine)
        leg = client.dial(engine.address, FOREIGN)
        await bench.until(lambda: client.heard["180"])
        record = engine.record
        assert (record.status, record.customer_id.int, record.number_id.int) == ("ringing", 0, 0)
        leg.cancel()
        await bench.until(lambda: watcher.told[-1][0] == "ended")
        assert watcher.kinds == ["cancelled"]
        # The ladder of the whole call is found by the Call-IDs of its legs.
        assert len(record.sip_call_ids) == 2
        lines = engine.node.agent.trace.of_calls(set(record.sip_call_ids))
        assert sum(traced.data.startswith(b"INVITE") for traced in lines) == 2
        await engine.quiet()

    run(test)


def test_a_call_that_is_refused_at_once_has_begun_and_ended(run: Run) -> None:
    async def test(bench: Any) -> None:
        client = await bench.phone(CLIENT)
        engine = await bench.engine(numbers=NUMBERS, flows=FLOWS)
        watcher = Watcher(engine)
        engine.node.library._programs.clear()
        _, outcome = await client.call(engine.address, OURS)
        assert outcome.status == 480
        assert watcher.told == [("begun", "dialing"), ("ended", "hangup")]
        assert engine.record.notes == ["its call flow does not exist"]

    run(test)


@pytest.mark.parametrize(
    ("cause", "answered", "heard", "reason"),
    [
        ("normal", True, 0, "normal"),
        ("timeout", True, 0, "timeout"),
        ("normal", False, 480, "cancel"),
        ("busy", False, 486, "busy"),
    ],
)
def test_an_incoming_call_is_hung_up_by_its_id(run: Run, cause: str, answered: bool, heard: int, reason: str) -> None:
    async def test(bench: Any) -> None:
        one, client = await bench.phone(ONE, "echo" if answered else "ring"), await bench.phone(CLIENT)
        engine = await bench.engine(**bench.providers(one))
        flows = engine.node.flows
        leg = client.dial(engine.address, FOREIGN)
        await bench.until(lambda: one.heard["ACK"] and leg.answered if answered else client.heard["180"])
        far, record = one.calls[0], engine.record
        assert hangup_by_id(flows.calls.registry, record.id, cause)
        await leg.wait_ended()
        await far.wait_ended()
        await engine.quiet()
        assert not hangup_by_id(flows.calls.registry, record.id, cause)
        assert (record.hangup_reason, record.hangup_by, record.status) == (reason, "local", "hangup")
        if answered:
            assert client.heard["BYE"] == one.heard["BYE"] == 1
        else:
            assert client.final().status == heard
            assert one.heard["CANCEL"] == 1

    run(test)


def test_a_call_of_our_own_is_hung_up_by_its_id(run: Run) -> None:
    async def test(bench: Any) -> None:
        one = await bench.phone(ONE, "ring")
        engine = await bench.engine(**bench.providers(one))
        flows = engine.node.flows
        record, task = originate(flows, Address(type="tel", target=FOREIGN))
        await bench.until(lambda: record.status == "ringing")
        assert hangup_by_id(flows.calls.registry, record.id)
        assert record.status == "canceling"
        await task
        assert (record.status, record.hangup_reason, record.hangup_by) == ("hangup", "cancel", "local")
        await one.calls[0].wait_ended()
        assert one.heard["CANCEL"] == 1
        await engine.quiet()

    run(test)


# ---- credentials

USERS = {"users": [{"username": "desk", "password": "s3cret"}]}


def test_a_user_with_credentials_dials_out_from_anywhere(run: Run) -> None:
    async def test(bench: Any) -> None:
        one, stranger = await bench.phone(ONE), await bench.phone(GUEST)
        engine = await bench.engine(sip=USERS, **bench.providers(one))
        leg, outcome = await stranger.call(engine.address, FOREIGN, username="desk", password="s3cret")
        assert outcome.kind == "answered"
        assert stranger.heard["401"] == 1
        leg.hangup()
        await leg.wait_ended()
        assert not engine.log.named("credentials refused")

    run(test)


@pytest.mark.parametrize(("user", "password", "reason"), [("desk", "wrong", "password"), ("nobody", "s3cret", "user")])
def test_wrong_credentials_are_refused_and_logged_once(run: Run, user: str, password: str, reason: str) -> None:
    async def test(bench: Any) -> None:
        one, stranger = await bench.phone(ONE), await bench.phone(GUEST)
        engine = await bench.engine(sip=USERS, **bench.providers(one))
        _, outcome = await stranger.call(engine.address, FOREIGN, username=user, password=password)
        assert (stranger.heard["401"], outcome.status) == (1, 403)  # asked once, and then refused for good
        (line,) = engine.log.named("credentials refused")
        assert (line["user"], line["reason"], line["source"]) == (user, reason, GUEST)
        assert not one.calls
        assert "s3cret" not in str(engine.log.text)

    run(test)


def test_credentials_that_were_overheard_are_worth_nothing(run: Run) -> None:
    async def test(bench: Any) -> None:
        one, stranger = await bench.phone(ONE), await bench.phone(GUEST)
        neighbour, thief = await bench.wire(GUEST), await bench.wire("127.0.0.13")
        engine = await bench.engine(sip=USERS, **bench.providers(one))
        overheard: list[str] = []
        verify = engine.node.intake.logins.judge

        def listen(request: Any, *more: Any) -> Any:
            overheard.extend(request.lines("Authorization"))
            return verify(request, *more)

        engine.node.intake.logins.judge = listen
        leg, outcome = await stranger.call(engine.address, FOREIGN, username="desk", password="s3cret")
        assert outcome.kind == "answered"
        stolen = f"Authorization: {overheard[-1]}"
        # A nonce that was used before is asked for anew, in case it is a phone that does not count.
        # So is one that was issued to another address.
        for wire in (neighbour, thief):
            for target in (FOREIGN, "+441632960000"):
                request = wire.request(uri=f"sip:{target}@{engine.address}", headers=[stolen])
                response = await wire.answer(request, engine.address)
                assert response.status == 401
        assert {line["reason"] for line in engine.log.named("credentials refused")} == {"replayed"}
        assert len(one.calls) == 1
        leg.hangup()
        await leg.wait_ended()

    run(test)


def test_a_nonce_that_has_run_out_is_challenged_anew_as_stale(run: Run) -> None:
    async def test(bench: Any) -> None:
        one, stranger = await bench.phone(ONE), await bench.phone(GUEST)
        engine = await bench.engine(sip=USERS, **bench.providers(one))
        now = engine.node.flows.calls.clock
        late = iter([0.0, 301.0, 301.0, 301.0])
        engine.node.intake.flows.calls.clock = lambda: now() + next(late, 301.0)
        _, outcome = await stranger.call(engine.address, FOREIGN, username="desk", password="s3cret")
        assert outcome.kind == "answered"
        assert stranger.heard["401"] == 2
        stale = [r.get("WWW-Authenticate") for r in stranger.responses if r.status == 401]
        assert ["stale=true" in value for value in stale] == [False, True]

    run(test)


# ---- who calls


@pytest.mark.parametrize(
    ("host", "headers", "source", "private"),
    [
        (CLIENT, ["P-Asserted-Identity: <tel:+15557770000>"], "+15557770000", False),
        (ONE, ['P-Asserted-Identity: "Bob" <sip:+15557770000@x.invalid>, <tel:+15557770000>'], "+15557770000", False),
        (GUEST, ["P-Asserted-Identity: <tel:+15557770000>"], "+15550001111", False),
        (ONE, ["P-Asserted-Identity: <tel:+15557770000>", "Privacy: id"], "+15557770000", True),
        (ONE, ["P-Asserted-Identity: <tel:+15557770000>", "Privacy: critical; id"], "+15557770000", True),
        (ONE, ["P-Asserted-Identity: rubbish", "Privacy: id"], "+15550001111", True),
        (CLIENT, ["Privacy: none"], "+15550001111", False),
    ],
)
def test_an_asserted_identity_is_believed_from_trunks_and_clients_only(
    run: Run, host: str, headers: list[str], source: str, private: bool
) -> None:
    async def test(bench: Any) -> None:
        trunk = await bench.phone(ONE)
        engine = await bench.engine(numbers=NUMBERS, flows=FLOWS, **bench.providers(trunk))
        wire = await bench.wire(host)
        assert (await wire.answer(wire.request(headers=headers), engine.address)).status == 486
        assert (engine.record.source, engine.record.anonymous) == (source, private)

    run(test)


def test_an_anonymous_caller_stays_anonymous_towards_the_provider(run: Run) -> None:
    async def test(bench: Any) -> None:
        one, client = await bench.phone(ONE, 486), await bench.phone(CLIENT)
        engine = await bench.engine(**bench.providers(one))
        anonymous = '"Anonymous" <sip:anonymous@anonymous.invalid>'
        await client.call(engine.address, FOREIGN, from_=anonymous)
        await client.call(
            engine.address, FOREIGN, from_=anonymous, headers=[("P-Asserted-Identity", "<sip:+15557770000@x.invalid>")]
        )
        nobody, somebody = one.invites
        for invite in (nobody, somebody):
            assert invite.get("From").startswith(anonymous + ";tag=")
            assert invite.get("Privacy") == "id"
        assert "anonymous" not in nobody.get("P-Asserted-Identity")
        assert "+15557770000@" in somebody.get("P-Asserted-Identity")

    run(test)


# ---- the log


def test_what_peers_write_reaches_the_log_escaped(run: Run) -> None:
    async def test(bench: Any) -> None:
        engine = await bench.engine(numbers=NUMBERS, flows=FLOWS)
        wire = await bench.wire(GUEST)
        await wire.answer(wire.request(uri="sip:%1b%5b2J%0d%0aevil@127.0.0.1"), engine.address)
        await wire.answer(wire.request(from_='"\\\x1b[31m\u202egnp" <sip:%C3%A9%1b@x>'), engine.address)
        text = "\n".join(engine.log.text)
        assert len(engine.log.events) == 2
        assert text.isascii()
        assert text.replace("\n", "").isprintable()

    run(test)


def test_a_flood_of_toll_fraud_is_counted_but_does_not_flood_the_log(run: Run) -> None:
    async def test(bench: Any) -> None:
        engine = await bench.engine(sip={"invite_rate": {"rate": 0}})
        wire = await bench.wire(GUEST)
        for _ in range(200):
            wire.send(wire.request(uri=f"sip:{FOREIGN}@127.0.0.1"), engine.address)
            wire.send(wire.request(uri="sip:+899100000099@127.0.0.1"), engine.address)
        await bench.until(lambda: sum(engine.node.directory.refused.values()) == 400)
        lines = engine.log.named("call refused")
        assert 1 <= len(lines) <= 30
        assert engine.node.directory.refused == {"foreign_from_guest": 200, "unknown_number": 200}
        assert lines[0]["cause"] == "foreign_from_guest"

    run(test)


def test_a_flood_of_bad_credentials_does_not_flood_the_log(run: Run) -> None:
    async def test(bench: Any) -> None:
        engine = await bench.engine(sip=USERS | {"invite_rate": {"rate": 0}})
        wire = await bench.wire(GUEST)
        made_up = 'Digest username="desk", realm="trunkline", nonce="1", response="2"'
        for _ in range(200):
            wire.send(wire.request(uri="sip:x@127.0.0.1", headers=[f"Authorization: {made_up}"]), engine.address)
        await bench.until(lambda: sum(engine.node.directory.refused.values()) == 200)
        assert 1 <= len(engine.log.named("credentials refused")) <= 30

    run(test)


def test_a_number_that_nobody_knows_is_not_refused_for_good_while_the_store_is_away(run: Run) -> None:
    async def test(bench: Any) -> None:
        trunk = await bench.phone(ONE)
        engine = await bench.engine(numbers=NUMBERS, flows=FLOWS, **bench.providers(trunk))
        engine.node.intake.current = lambda: current
        wire, from_trunk = await bench.wire(GUEST), await bench.wire(ONE)
        for current, status in ((False, 503), (True, 404)):
            for caller, uri in ((wire, "sip:+899100000099@127.0.0.1"), (from_trunk, f"sip:{FOREIGN}@127.0.0.1")):
                response = await caller.answer(caller.request(uri=uri), engine.address)
                assert (response.status, response.get("Retry-After")) == (status, "" if current else "2")
            # What is known for sure is said for sure.
            for uri, known in ((f"sip:{OURS}@127.0.0.1", 486), ("sip:+15551230003@127.0.0.1", 404)):
                assert (await wire.answer(wire.request(uri=uri), engine.address)).status == known

    run(test)


@pytest.mark.parametrize("host", [CLIENT, GUEST])
@pytest.mark.parametrize(("headers", "sip", "status"), [((), {"max_ringing": 0.2}, 480), (["Expires: 0"], {}, 487)])
def test_a_call_that_nobody_answers_in_time_is_noanswer_by_us(
    run: Run, host: str, headers: list[str], sip: dict[str, Any], status: int
) -> None:
    async def test(bench: Any) -> None:
        ringing = {"name": "echo", "actions": [{"type": "ringing"}, {"type": "block"}]}
        engine = await bench.engine(sip=sip, flows=[ringing])
        wire = await bench.wire(host)
        assert (await wire.answer(wire.request(headers=headers), engine.address)).status == status
        await engine.quiet()
        record = engine.record
        assert (record.end_status, record.hangup_reason, record.hangup_by) == (status, "noanswer", "local")

    run(test)


def test_a_guest_that_is_asked_again_is_challenged_again(run: Run) -> None:
    """The 401 may have been lost, and nothing is kept that would send it once more (RFC 3261 §8.2.7, §22.2)."""

    async def test(bench: Any) -> None:
        engine = await bench.engine(sip=USERS)
        wire = await bench.wire(GUEST)
        request = wire.request(uri=f"sip:{FOREIGN}@127.0.0.1")
        answers = [await wire.answer(request, engine.address) for _ in range(3)]
        assert {(answer.status, answer.to_tag) for answer in answers} == {(401, answers[0].to_tag)}
        assert not engine.node.agent.endpoint.transactions.servers
        assert engine.node.directory.refused == {"foreign_from_guest": 1}
        assert len(engine.log.named("call asked to log in")) == 1

    run(test)

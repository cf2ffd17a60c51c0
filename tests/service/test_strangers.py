"""Whatever strangers send, a provider hears nothing but what the flow of the called number ordered.

The whole node, in simulated time, with strangers, a callee of theirs that flows dial, and two providers. Strangers
call, answer and send every method from several addresses, within dialogs that are theirs, that they have overheard, or
that do not exist. They name providers, the engine and each other wherever a message names an address, and names change
what they stand for meanwhile. A flow that dials out dials one number, through one provider: that is all there may be.
"""

import re
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from engine.sip.flow import Flow
from engine.sip.message.message import Request, Response
from engine.sip.message.parsing import parse
from tests.simulation.node import ENGINE, Phone, World, configured
from tests.simulation.peer import ANSWER, OFFER

CARRIER, CARRIER_TOO, SECOND, CALLEE = "198.51.100.1", "198.51.100.2", "198.51.100.77", "203.0.113.200"
STRANGERS = ("203.0.113.1", "203.0.113.2", "198.18.0.9")
PROVIDERS = {CARRIER, CARRIER_TOO, SECOND}
DIALLED, CHOSEN = "+442079460123", "+19005551234"
ECHO, RING, CALL, OUT, BOTH, TEXT = (f"+8991000000{number:02}" for number in range(1, 7))
ORDERED = f"sip:99{DIALLED}@{CARRIER}:5060"
DIAL_NOBODY = (ECHO, RING, CALL, TEXT)


def connect(*destinations: tuple[str, str]) -> dict[str, Any]:
    named = [{"type": kind, "target": target} for kind, target in destinations]
    return {"type": "connect", "option": {"destinations": named, "ring_method": "ring_all"}}


def node() -> Any:
    callee = ("sip", f"sip:bob@{CALLEE}")
    pause = {"type": "sleep", "option": {"duration": 3_600_000}}
    return configured(
        # A client may transfer, and logs in: nobody here can.
        sip={"users": [{"username": "alice", "password": "secret"}], "session_expires": 90, "transfers": "all"},
        providers=[
            {"name": "carrier", "hostname": f"{CARRIER}:5060", "tech_prefix": "99", "inbound_addresses": [CARRIER_TOO]},
            {"name": "second", "hostname": "gw.second.example"},
        ],
        routes=[{"target": "all", "provider": "carrier"}],
        numbers=[
            {"number": number, "call_flow": f"f{number}", "message_flow": "text"}
            for number in (ECHO, RING, CALL, OUT, BOTH, TEXT)
        ],
        flows=[
            {"name": f"f{ECHO}", "actions": [{"type": "answer"}, pause]},
            {"name": f"f{RING}", "actions": [{"type": "ringing"}, pause]},
            {"name": f"f{CALL}", "actions": [connect(callee)]},
            {"name": f"f{OUT}", "actions": [connect(("tel", DIALLED))]},
            {"name": f"f{BOTH}", "actions": [connect(callee, ("tel", DIALLED))]},
            {"name": f"f{TEXT}", "actions": [{"type": "hangup"}]},
            {"name": "text", "actions": [{"type": "message_send", "option": {"text": "hello"}}]},
        ],
    )


# ---- what strangers say

HOSTS = st.sampled_from(
    [
        *STRANGERS, f"{STRANGERS[0]}:5070", CALLEE, CARRIER, f"{CARRIER}:5090", f"{CARRIER};transport=tcp", CARRIER_TOO,
        SECOND, f"[::ffff:{CARRIER}]", f"{STRANGERS[0]};maddr={CARRIER}", f"{CARRIER};maddr={STRANGERS[1]}", ENGINE,
        f"{ENGINE}:5060;transport=tcp", f"{ENGINE}:5070", "gw.second.example", "GW.Second.Example.", "turns.example",
        "late.example", "nowhere.example", "10.0.0.5", "127.0.0.1", "x.invalid",
    ]
)  # fmt: skip
USERS = st.sampled_from([CHOSEN, f"99{CHOSEN}", f"{CHOSEN}%40{CARRIER}", f"{CHOSEN};x=y", "a"])
URIS = st.builds(lambda user, host: f"sip:{user}@{host}", USERS, HOSTS)
HARMLESS = st.sampled_from([f"<sip:{CHOSEN}@OWN>", f"<sip:{CHOSEN}@turns.example>", f"<sip:{CHOSEN}@10.1.1.1>"])
CONTACTS = st.one_of(
    HARMLESS, HARMLESS, st.just(""), st.builds("<{}>".format, URIS), st.builds("<{};ob>;expires=60".format, URIS)
)
ROUTES = st.one_of(
    st.just(""),
    st.just(""),
    st.just(""),
    st.just(f"Record-Route: <sip:{CHOSEN}@turns.example;lr>\r\n"),
    st.builds("{}: <{};lr>\r\n".format, st.sampled_from(["Record-Route", "Route"]), URIS),
    st.builds("Record-Route: <{};lr>, <{}>\r\n".format, URIS, URIS),
    st.builds("Record-Route: <{}>\r\n".format, URIS),  # a strict router's
)
EXTRAS = st.sampled_from(
    [
        "", "Allow: INVITE, ACK, BYE, CANCEL, UPDATE\r\n", "Require: 100rel\r\n", "Supported: timer, 100rel\r\n",
        "Session-Expires: 90;refresher=uas\r\nSupported: timer\r\n", "Max-Forwards: 2\r\n", "Expires: 5\r\n",
        f"Via: SIP/2.0/UDP {CARRIER};branch=z9hG4bKbelow\r\n", f"P-Asserted-Identity: <sip:{CHOSEN}@{CARRIER}>\r\n",
        f"Refer-To: <sip:{CHOSEN}@{CARRIER}>\r\n", f"Refer-To: <sip:{CHOSEN}@{ENGINE}>\r\n",
        f"Refer-To: <tel:{CHOSEN}>\r\nReferred-By: <sip:a@{CARRIER}>\r\n", "Event: refer\r\n",
        'Authorization: Digest username="alice", realm="trunkline", nonce="1", uri="sip:x", response="0"\r\n',
    ]
)  # fmt: skip
BODIES = st.sampled_from([b"", OFFER, ANSWER])
METHODS = st.sampled_from(
    ["INVITE", "INVITE", "UPDATE", "REFER", "INFO", "MESSAGE", "ACK", "CANCEL", "BYE", "PRACK", "OPTIONS", "NOTIFY"]
)
STATUSES = st.sampled_from([100, 180, 183, 200, 200, 200, 302, 401, 486, 491, 503])
SOURCES = st.integers(0, len(STRANGERS) - 1)
PICK = st.integers(0, 30)


class Carrier(Phone):
    """Rings and answers, and says yes to everything in its calls."""

    def receive(self, data: bytes, flow: Flow, now: float) -> None:
        super().receive(data, flow, now)
        message = self.heard[-1]
        if not isinstance(message, Request) or message.method == "ACK":
            return
        tag = f"carrier{message.call_id}"
        if message.method == "INVITE":
            if not message.to_tag:
                self.later(message, 180, tag, b"")
            self.later(message, 200, tag, ANSWER)
        else:
            self.later(message, 200, tag, b"")

    def later(self, request: Request, status: int, tag: str, body: bytes) -> None:
        self.network.loop.call_soon(lambda: self.answer(request, status, "", body, tag=tag))

    def say(self, data: bytes) -> None:
        self.network.send(data, (self.host, self.port), self.engine)


class Dialog:
    """What is known of a call by whoever has read a message of it."""

    def __init__(self, call_id: str, mine: str, theirs: str, to: str) -> None:
        self.call_id, self.mine, self.theirs, self.to = call_id, mine, theirs, to
        self.cseq = 1
        self.branch = ""


class Strangers(RuleBasedStateMachine):
    numbers: tuple[str, ...] = ()
    patch: pytest.MonkeyPatch

    @initialize()
    def begin(self) -> None:
        self.world = World(self.patch, node(), {"gw.second.example": [SECOND], "late.example": [CARRIER]})
        self.world.names.slow["late.example"] = 0.4
        self.network = self.world.network
        self.peers = [self.world.phone(host) for host in STRANGERS]
        self.callee = self.world.phone(CALLEE)
        self.carriers = [Carrier(self.network, host) for host in sorted(PROVIDERS)]
        self.dialogs = [Dialog("guessed", "guessed", "guessed", ECHO)]
        self.names = 0
        self.read = [0] * len(self.peers)
        self.seen = 0
        self.calls: set[str] = set()  # Call-IDs of what was ordered

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.close()

    # ---- what happens

    @rule(
        who=SOURCES, to=PICK, contact=HARMLESS, routed=st.booleans(), refreshed=st.booleans(),
        answer=st.one_of(HARMLESS, HARMLESS, CONTACTS), route=ROUTES, acknowledged=st.integers(0, 3).map(bool),
    )  # fmt: skip
    def has_a_call(
        self,
        who: int,
        to: int,
        contact: str,
        routed: bool,
        refreshed: bool,
        answer: str,
        route: str,
        acknowledged: bool,
    ) -> None:
        """A call that is answered, by the flow or by who is dialled: with a name in it that may change later."""
        self.world.names.addresses["turns.example"] = [STRANGERS[who], CALLEE]
        extra = "Allow: INVITE, ACK, BYE, CANCEL, UPDATE\r\n" if to % 2 else ""
        extra += "Session-Expires: 90;refresher=uas\r\nSupported: timer\r\n" if refreshed else ""
        extra += f"Record-Route: <sip:{CHOSEN}@turns.example;lr>\r\n" if routed else ""
        before = len(self.callee.heard)
        self.calls_a_number(who, to, contact, "", extra, OFFER, True)
        for request in self.callee.heard[before:]:
            if isinstance(request, Request) and request.method == "INVITE" and not request.to_tag:
                self.reply(self.callee, request, 200, route, ANSWER, answer)
                break
        if acknowledged and self.dialogs[-1].theirs:
            self.send(who, self.dialogs[-1], "ACK", "", "", b"")

    @rule(
        who=SOURCES,
        to=PICK,
        contact=CONTACTS,
        routes=ROUTES,
        extra=EXTRAS,
        body=BODIES,
        tagged=st.integers(0, 9).map(bool),
    )
    def calls_a_number(
        self, who: int, to: int, contact: str, routes: str, extra: str, body: bytes, tagged: bool
    ) -> None:
        self.names += 1
        dialog = Dialog(
            f"call{self.names}", f"tag{self.names}" if tagged else "", "", self.numbers[to % len(self.numbers)]
        )
        dialog.cseq = 0
        self.dialogs.append(dialog)
        self.send(who, dialog, "INVITE", contact, routes + extra, body)

    @rule(
        who=SOURCES, which=PICK, method=METHODS, contact=CONTACTS, routes=ROUTES, extra=EXTRAS, body=BODIES,
        outside=st.booleans(),
    )  # fmt: skip
    def sends(
        self, who: int, which: int, method: str, contact: str, routes: str, extra: str, body: bytes, outside: bool
    ) -> None:
        dialog = self.known(which)
        outside = outside and which % 3 == 0
        if method == "REFER" and "Refer-To" not in extra:
            extra = f"Refer-To: <sip:{CHOSEN}@{CARRIER}>\r\n"
        if method == "PRACK":
            extra = f"RAck: {which} {dialog.cseq} INVITE\r\n"
        if method == "MESSAGE":
            extra, body = "Content-Type: text/plain\r\n", b"hello"
        theirs, dialog.theirs = dialog.theirs, "" if outside else dialog.theirs
        self.send(who, dialog, method, contact, routes + extra, body)
        dialog.theirs = dialog.theirs or theirs

    @rule(who=SOURCES, which=PICK)
    def takes_the_place_of_another_call(self, who: int, which: int) -> None:
        taken = self.known(which)
        self.names += 1
        dialog = Dialog(f"call{self.names}", f"tag{self.names}", "", CHOSEN)
        self.dialogs.append(dialog)
        replaces = f"Replaces: {taken.call_id};to-tag={taken.theirs or 'x'};from-tag={taken.mine or 'x'}\r\n"
        self.send(who, dialog, "INVITE", f"<sip:a@{STRANGERS[who]}>", replaces, OFFER)

    @rule(who=st.integers(0, len(STRANGERS)), which=PICK, status=STATUSES, contact=CONTACTS, routes=ROUTES, body=BODIES)
    def answers(self, who: int, which: int, status: int, contact: str, routes: str, body: bytes) -> None:
        peer = [*self.peers, self.callee][who]
        asked = [message for message in peer.heard if isinstance(message, Request) and message.method != "ACK"]
        assume(asked)
        self.reply(peer, asked[-1 - which % len(asked)], status, routes, body, contact)

    def reply(self, peer: Phone, request: Request, status: int, routes: str, body: bytes, contact: str) -> None:
        headers = routes if "Record-Route" in routes else ""
        if status == 183:
            headers += "Require: 100rel\r\nRSeq: 1\r\n"
        peer.answer(request, status, headers, body, tag="bob", contact=contact.replace("OWN", peer.host) or None)
        if request.method == "INVITE" and not any(known.call_id == request.call_id for known in self.dialogs):
            overheard = Dialog(request.call_id, "bob", request.from_tag, CHOSEN)
            overheard.cseq = 500
            self.dialogs.append(overheard)
        self.after()

    @rule(leads_to=st.sampled_from([(), (STRANGERS[0],), (CARRIER,), (STRANGERS[1], SECOND), (ENGINE,), (CALLEE,)]))
    def a_name_changes(self, leads_to: tuple[str, ...]) -> None:
        self.world.names.addresses["turns.example"] = list(leads_to)

    @rule(seconds=st.sampled_from([0.3, 1.0, 5.0, 33.0, 46.0, 100.0]))
    def time_passes(self, seconds: float) -> None:
        self.network.run(seconds)
        self.after()

    def known(self, which: int) -> Dialog:
        """Mostly a call that is up."""
        there = self.world.node.agent.endpoint.dialogs
        up = [dialog for dialog in self.dialogs if (dialog.call_id, dialog.theirs, dialog.mine) in there]
        among = up if up and which % 5 else self.dialogs
        return among[-1 - which // 5 % len(among)]

    # ---- the ways of sending

    def send(self, who: int, dialog: Dialog, method: str, contact: str, headers: str, body: bytes) -> None:
        phone = self.peers[who]
        phone.call_id, phone.remote_tag, phone.tag = dialog.call_id, dialog.theirs, dialog.mine
        if method not in ("ACK", "CANCEL"):
            dialog.cseq += 1
        branch = dialog.branch if method == "CANCEL" else ""
        uri = f"sip:{dialog.to}@{ENGINE}"
        phone.branches += 1
        branch = branch or f"z9hG4bK{phone.host}x{phone.branches}"
        lines = [
            f"{method} {uri} SIP/2.0",
            f"Via: SIP/2.0/UDP {phone.host}:5060;branch={branch}",
            f"From: <sip:+15550001111@{phone.host}>" + (f";tag={dialog.mine}" if dialog.mine else ""),
            f"To: <{uri}>" + (f";tag={dialog.theirs}" if dialog.theirs else ""),
            f"Call-ID: {dialog.call_id}",
            f"CSeq: {dialog.cseq} {method}",
        ]
        lines += [f"Contact: {contact.replace('OWN', phone.host)}"] if contact else []
        if "Max-Forwards" not in headers:
            headers = f"Max-Forwards: 70\r\n{headers}"
        if body and "Content-Type" not in headers:
            headers += "Content-Type: application/sdp\r\n"
        text = "\r\n".join(lines) + f"\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
        if method == "INVITE":
            dialog.branch = branch
        self.network.send(text.encode() + body, (phone.host, 5060), (ENGINE, 5060))
        self.network.run(0.1)
        self.after()

    def after(self) -> None:
        """Strangers learn the tags of each other's calls, and acknowledge refusals, so that they come once."""
        for number, phone in enumerate(self.peers):
            for message in phone.heard[self.read[number] :]:
                if not isinstance(message, Response) or message.cseq_method != "INVITE" or not message.to_tag:
                    continue
                for dialog in self.dialogs:
                    if dialog.call_id == message.call_id and not dialog.theirs and message.status < 300:
                        dialog.theirs = message.to_tag
                if message.status >= 300:
                    self.acknowledge(phone, message)
            self.read[number] = len(phone.heard)

    def acknowledge(self, phone: Phone, refusal: Response) -> None:
        lines = [f"ACK sip:x@{ENGINE} SIP/2.0", f"Via: SIP/2.0/UDP {phone.host}:5060;branch={refusal.branch}"]
        lines += [f"{name}: {refusal.get(name)}" for name in ("From", "To", "Call-ID")]
        lines += [f"CSeq: {refusal.cseq} ACK", "Content-Length: 0\r\n\r\n"]
        self.network.send("\r\n".join(lines).encode(), (phone.host, 5060), (ENGINE, 5060))
        self.network.run(0.01)

    # ---- what may not happen

    @invariant()
    def a_provider_hears_only_what_was_ordered(self) -> None:
        if not hasattr(self, "world"):
            return
        log = self.network.log
        for _, source, target, data in log[self.seen :]:
            if source == ENGINE and target in PROVIDERS:
                self.check(target, data)
        self.seen = len(log)

    def check(self, target: str, data: bytes) -> None:
        dials = set(self.numbers) - set(DIAL_NOBODY)
        assert dials, f"no flow dials anybody: {data!r}"
        assert target == CARRIER, f"no flow dials {target}: {data!r}"
        request = parse(data)
        assert isinstance(request, Request), f"nobody asked for a response there: {data!r}"
        assert b"9005551234" not in data and "Route" not in request.first, data
        assert re.fullmatch(rf"<sip:{re.escape(ENGINE)}:5060>|", request.get("Contact")), data
        if not request.to_tag and request.method == "INVITE":
            assert request.uri_text == ORDERED and request.address("To").uri_text == ORDERED, data
            self.calls.add(request.call_id)
            return
        assert request.call_id in self.calls, f"no call of the carrier's: {data!r}"
        if request.to_tag:
            assert request.to_tag == f"carrier{request.call_id}", data
            allowed = ("ACK", "BYE", "INVITE", "UPDATE", "INFO", "PRACK")
            assert request.method in allowed and request.uri_text == f"sip:peer@{CARRIER}:5060", data
        else:
            assert request.method in ("CANCEL", "ACK") and request.uri_text == ORDERED, data


@pytest.mark.long
@pytest.mark.parametrize("numbers", [DIAL_NOBODY, (ECHO, CALL, OUT, BOTH)], ids=["dialling nobody", "dialling out"])
def test_a_provider_hears_nothing_but_what_the_flow_of_the_called_number_ordered(
    monkeypatch: pytest.MonkeyPatch, numbers: tuple[str, ...]
) -> None:
    machine = type("Strangers", (Strangers,), {"numbers": numbers, "patch": monkeypatch})
    run_state_machine_as_test(
        machine, settings=settings(stateful_step_count=25, suppress_health_check=list(HealthCheck))
    )

"""Server transactions with a clock of our own: RFC 3261 §17.2 (figures 7 and 8), RFC 6026 §7.1."""

import pytest

from engine.sip.flow import Flow
from engine.sip.message.message import Request, Response
from engine.sip.message.parsing import parse
from engine.sip.transaction import client, server
from engine.sip.transaction.server import ServerTransaction
from tests.simulation.stage import PEER, Stage, request

G = [0.0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]  # Timer G: doubled up to T2, until Timer H at 32 s


class User:
    """A transaction user that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[float, str]] = []

    def on_cancel(self, transaction: ServerTransaction, cancel: Request, now: float) -> None:
        self.told.append((round(now - 100.0, 6), "cancel"))

    def on_unacknowledged(self, transaction: ServerTransaction, now: float) -> None:
        self.told.append((round(now - 100.0, 6), "no ACK"))


class Answerer:
    """One request of a peer on a stage."""

    def __init__(self, method: str, reliable: bool = False, data: bytes = b"") -> None:
        self.stage = Stage()
        self.wire = self.stage.tcp if reliable else self.stage.udp
        self.user = User()
        self.data = data or request(method)
        message = parse(self.data)
        assert isinstance(message, Request)
        self.transaction = ServerTransaction(
            self.stage.endpoint.transactions, message, Flow(self.wire, PEER, 5060), "ours"
        )
        self.transaction.user = self.user

    def respond(self, status: int, **more: object) -> None:
        self.transaction.respond(status, self.stage.now, **more)  # type: ignore[arg-type]

    def again(self) -> None:
        """The request comes once more."""
        self.stage.receive(self.data, wire=self.wire)

    def ack(self, data: bytes = b"") -> None:
        self.stage.receive(data or request("ACK", to_tag="ours"), wire=self.wire)

    @property
    def state(self) -> str:
        return self.transaction.state

    def over(self) -> bool:
        """Terminated, and nothing of it is left: no table entry, no timer, no user, no bytes."""
        transaction = self.transaction
        return (transaction.state, self.stage.left, transaction.user, transaction.response) == (
            "terminated",
            {},
            None,
            b"",
        )


# ---- INVITE, figure 7


def test_a_retransmitted_invite_gets_the_last_provisional_again_17_2_1() -> None:
    answerer = Answerer("INVITE")
    assert answerer.state == "proceeding"
    answerer.again()
    assert answerer.wire.take() == []  # nothing has been said yet
    answerer.respond(100)
    answerer.respond(180)
    first, ringing = answerer.wire.take()
    answerer.again()
    assert answerer.wire.take() == [ringing] != [first]
    assert answerer.stage.endpoint.transactions.retransmissions == 1
    answerer.stage.run(1000)
    assert answerer.state == "proceeding" and answerer.wire.take() == []


@pytest.mark.parametrize("provisional", [False, True])
def test_timer_g_doubles_up_to_t2_until_timer_h_17_2_1(provisional: bool) -> None:
    answerer = Answerer("INVITE")
    if provisional:
        answerer.respond(180)
        answerer.wire.take()
    answerer.respond(486)
    assert answerer.state == "completed"
    answerer.stage.run(31.999)
    assert answerer.wire.times(100.0) == G
    assert len({data for _, data, _, _ in answerer.wire.sent}) == 1
    assert answerer.user.told == []
    answerer.stage.run(0.001)
    assert answerer.user.told == [(32.0, "no ACK")]
    assert answerer.over()
    answerer.stage.run(1000)
    assert answerer.wire.times(100.0) == G


def test_no_timer_g_on_a_reliable_transport_but_timer_h_17_2_1() -> None:
    answerer = Answerer("INVITE", reliable=True)
    answerer.respond(486)
    answerer.stage.run(33)
    assert answerer.wire.times(100.0) == [0.0]
    assert answerer.user.told == [(32.0, "no ACK")]
    assert answerer.over()


def test_a_retransmitted_invite_gets_the_final_response_again_17_2_1() -> None:
    answerer = Answerer("INVITE")
    answerer.respond(486)
    [final] = answerer.wire.take()
    answerer.again()
    answerer.again()
    assert answerer.wire.take() == [final, final]


def test_the_ack_ends_retransmissions_and_timer_i_absorbs_17_2_1() -> None:
    answerer = Answerer("INVITE")
    answerer.respond(486)
    answerer.stage.run(1.0)
    answerer.ack()
    assert answerer.state == "confirmed"
    answerer.wire.take()
    answerer.ack()
    answerer.again()
    answerer.stage.run(4.999)
    assert answerer.state == "confirmed"  # Timer I: T4
    assert answerer.wire.take() == []
    assert answerer.user.told == []
    answerer.stage.run(0.001)
    assert answerer.over()
    assert answerer.stage.endpoint.counters.stray == 0
    answerer.ack()
    assert answerer.stage.endpoint.counters.stray == 1


def test_no_timer_i_on_a_reliable_transport_17_2_1() -> None:
    answerer = Answerer("INVITE", reliable=True)
    answerer.respond(486)
    answerer.ack()
    assert answerer.over()


def test_a_2xx_is_accepted_and_retransmitted_invites_absorbed_for_timer_l_rfc_6026_7_1() -> None:
    answerer = Answerer("INVITE")
    answerer.respond(200)
    assert answerer.state == "accepted"
    [ok] = answerer.wire.take()
    answerer.again()
    answerer.stage.run(10)
    answerer.again()
    assert answerer.wire.take() == []  # its user retransmits a 2xx (§13.3.1.4)
    answerer.transaction.fire("2xx", answerer.stage.now)
    assert answerer.wire.take() == [ok]
    answerer.stage.run(21.999)
    assert answerer.state == "accepted"
    answerer.stage.run(0.001)
    assert answerer.over()
    assert answerer.user.told == []


def test_timer_l_runs_on_a_reliable_transport_too_rfc_6026_7_1() -> None:
    answerer = Answerer("INVITE", reliable=True)
    answerer.respond(200)
    answerer.stage.run(31.9)
    assert answerer.state == "accepted"
    answerer.stage.run(0.1)
    assert answerer.over()


def test_the_ack_of_a_2xx_is_not_the_transactions_rfc_6026_7_1() -> None:
    answerer = Answerer("INVITE")
    answerer.respond(200)
    answerer.ack(request("ACK", to_tag="ours", branch="z9hG4bKother"))
    answerer.ack()  # even where a peer uses the INVITE's branch again
    assert answerer.state == "accepted"
    assert answerer.stage.endpoint.counters.stray == 2


def test_nothing_can_be_said_after_the_final_response() -> None:
    answerer = Answerer("INVITE")
    answerer.respond(486)
    answerer.wire.take()
    answerer.transaction.fire("1xx", answerer.stage.now)
    answerer.transaction.fire("2xx", answerer.stage.now)
    assert answerer.wire.take() == []
    assert answerer.state == "completed"


# ---- other requests, figure 8


def test_a_request_that_is_being_worked_on_absorbs_its_retransmissions_17_2_2() -> None:
    answerer = Answerer("INFO")
    assert answerer.state == "trying"
    answerer.again()
    assert answerer.wire.take() == []
    assert len(answerer.stage.endpoint.transactions) == 1


def test_a_request_in_proceeding_gets_the_provisional_again_17_2_2() -> None:
    answerer = Answerer("INFO")
    answerer.respond(100)
    assert answerer.state == "proceeding"
    [trying] = answerer.wire.take()
    answerer.again()
    assert answerer.wire.take() == [trying]


@pytest.mark.parametrize("status", [200, 302, 481, 500, 603])
@pytest.mark.parametrize("provisional", [False, True])
def test_timer_j_answers_retransmissions_for_64_t1_17_2_2(status: int, provisional: bool) -> None:
    answerer = Answerer("INFO")
    if provisional:
        answerer.respond(100)
        answerer.wire.take()
    answerer.respond(status)
    assert answerer.state == "completed"
    [final] = answerer.wire.take()
    for _ in range(3):
        answerer.stage.run(10)
        answerer.again()
    assert answerer.wire.take() == [final] * 3  # and none without a request
    answerer.stage.run(1.999)
    assert answerer.state == "completed"
    answerer.stage.run(0.001)
    assert answerer.over()


def test_no_timer_j_on_a_reliable_transport_17_2_2() -> None:
    answerer = Answerer("INFO", reliable=True)
    answerer.respond(200)
    assert answerer.over()


def test_a_final_response_stands_17_2_2() -> None:
    answerer = Answerer("INFO")
    answerer.respond(200)
    answerer.wire.take()
    for event in ("1xx", "2xx", "300-699"):
        answerer.transaction.fire(event, answerer.stage.now)
    assert answerer.wire.take() == []


@pytest.mark.parametrize(("method", "status"), [("INFO", 200), ("INVITE", 486)])
def test_a_transport_error_ends_a_transaction_17_2_4(method: str, status: int) -> None:
    answerer = Answerer(method)
    answerer.respond(status)
    answerer.transaction.fail(answerer.stage.now)
    assert answerer.over()
    assert answerer.user.told == ([(0.0, "no ACK")] if method == "INVITE" else [])


# ---- which transaction a request belongs to, §17.2.3


def retransmission_of(first: bytes, second: bytes) -> bool:
    """Whether `second` is taken for `first` once more: the same To tag comes back, and nothing new is kept."""
    stage = Stage()
    [one] = stage.ask(first)
    [two] = stage.ask(second)
    same = one.to_tag == two.to_tag
    assert same == (len(stage.endpoint.transactions) == 1)
    return same


def test_matching_by_branch_sent_by_and_method_17_2_3() -> None:
    first = request("OPTIONS")
    assert retransmission_of(first, first)
    assert retransmission_of(first, request("OPTIONS", cseq=2, call_id="other", from_tag="x"))  # the branch is enough
    assert not retransmission_of(first, request("OPTIONS", branch="z9hG4bKb"))
    assert not retransmission_of(first, request("OPTIONS", via=f"SIP/2.0/UDP {PEER}:5061;branch=z9hG4bKa"))
    assert not retransmission_of(first, request("OPTIONS", via="SIP/2.0/UDP other:5060;branch=z9hG4bKa"))
    assert not retransmission_of(first, request("REGISTER"))


@pytest.mark.parametrize("branch", ["", ";branch=1", ";branch=z9hG4bK", ";branch=z9hG4b"])
def test_matching_by_the_fields_of_rfc_2543_17_2_3(branch: str) -> None:
    via = f"SIP/2.0/UDP {PEER}:5060{branch}"
    first = request("OPTIONS", via=via)
    assert retransmission_of(first, first)
    for other in (
        request("OPTIONS", via=via, cseq=2),
        request("OPTIONS", via=via, call_id="other"),
        request("OPTIONS", via=via, from_tag="other"),
        request("OPTIONS", via=via, uri="sip:carol@192.0.2.250"),
        request("OPTIONS", via=via.replace("5060", "5061")),
        request("REGISTER", via=via),
    ):
        assert not retransmission_of(first, other)


@pytest.mark.parametrize("branch", [";branch=z9hG4bKa", "", ";branch=1"])
def test_an_ack_and_a_cancel_find_their_invite_17_2_3_9_2(branch: str) -> None:
    stage = Stage()
    via = f"SIP/2.0/UDP {PEER}:5060{branch}"
    stage.receive(request("INVITE", via=via))
    [session] = stage.calls
    stage.udp.take()
    stage.receive(request("CANCEL", via=via))
    cancelled, terminated = stage.udp.responses()
    assert (cancelled.status, cancelled.cseq_method) == (200, "CANCEL")
    assert (terminated.status, terminated.cseq_method) == (487, "INVITE")
    assert cancelled.to_tag == terminated.to_tag  # §9.2: the same tag
    assert session.transaction.state == "completed"
    stage.receive(request("ACK", via=via, to_tag=terminated.to_tag))
    assert session.transaction.state == "confirmed"
    stage.receive(request("CANCEL", via=via))
    assert [answer.status for answer in stage.udp.responses()] == [200]  # retransmitted, no second 487


@pytest.mark.parametrize("branch", ["z9hG4bKother", "1"])
def test_a_cancel_of_nothing_is_481_9_2(branch: str) -> None:
    stage = Stage()
    stage.receive(request("INVITE"))
    stage.udp.take()
    [answer] = stage.ask(request("CANCEL", branch=branch))
    assert (answer.status, answer.cseq_method) == (481, "CANCEL")
    assert stage.calls[0].transaction.state == "proceeding"


def test_a_cancel_after_the_final_response_changes_nothing_9_2() -> None:
    stage = Stage()
    stage.receive(request("INVITE"))
    stage.calls[0].accept(stage.now, b"v=0\r\n")
    stage.udp.take()
    assert [answer.status for answer in stage.ask(request("CANCEL"))] == [200]
    assert not stage.calls[0].ended


def test_an_ack_that_belongs_to_nothing_is_not_answered_17_2() -> None:
    stage = Stage()
    stage.receive(request("ACK"))
    stage.receive(request("ACK", to_tag="x"))
    assert (stage.udp.take(), stage.endpoint.counters.stray, stage.left) == ([], 2, {})


# ---- what a response says, §8.2.6


def answer_to(data: bytes, status: int, **more: object) -> Response:
    answerer = Answerer("", data=data)
    answerer.respond(status, **more)
    [answer] = answerer.wire.responses()
    return answer


def test_a_response_carries_the_requests_fields_in_order_8_2_6_2() -> None:
    vias = (
        "Via: SIP/2.0/TCP two.example.com;branch=z9hG4bKb, SIP/2.0/UDP three;branch=z9hG4bKc",
        "v: SIP/2.0/TLS four",
    )
    data = request("OPTIONS", headers=vias)
    asked = parse(data)
    answer = answer_to(data, 404)
    assert answer.values("Via") == asked.values("Via")
    assert (answer.get("From"), answer.call_id, answer.get("CSeq")) == (asked.get("From"), "call-1", "1 OPTIONS")
    assert answer.get("To") == f"{asked.get('To')};tag=ours"
    assert (answer.status, answer.reason, answer.get("Content-Length")) == (404, "Not Found", "0")


def test_a_tag_that_is_there_stays_and_a_100_gets_none_8_2_6() -> None:
    assert answer_to(request("OPTIONS", to_tag="old"), 200).to_tag == "old"
    assert answer_to(request("INVITE", to_tag="old"), 100).to_tag == "old"
    assert answer_to(request("INVITE"), 100).to_tag == ""
    assert answer_to(request("INVITE"), 180).to_tag == "ours"


def test_a_100_echoes_the_timestamp_8_2_6_1() -> None:
    data = request("INVITE", headers=("Timestamp: 54.2",))
    assert answer_to(data, 100).get("Timestamp") == "54.2"
    assert answer_to(data, 180).get("Timestamp", "none") == "none"


def test_a_body_and_further_lines_come_after() -> None:
    answer = answer_to(
        request("INVITE"), 200, reason="Fine", headers="Content-Type: a/b\r\nSubject: 1\r\n", body=b"abc"
    )
    assert (answer.reason, answer.body, answer.get("Content-Length"), answer.get("Subject")) == (
        "Fine",
        b"abc",
        "3",
        "1",
    )


def test_fields_that_are_no_utf_8_come_back_byte_for_byte() -> None:
    data = request("OPTIONS").replace(b"From: Alice", b'From: "\xff\xfe\x80"')
    answerer = Answerer("", data=data)
    answerer.respond(200)
    assert b'\r\nFrom: "\xff\xfe\x80" <sip:alice@192.0.2.7>;tag=alice\r\n' in answerer.wire.take()[0]


# ---- rows that only a late or a repeated message reaches


@pytest.mark.parametrize("retransmitted", [False, True])
def test_a_100_is_sent_where_nothing_else_was_said_in_time_17_2_1(retransmitted: bool) -> None:
    answerer = Answerer("INVITE")
    answerer.transaction.trying_at(answerer.stage.now + 0.2)
    if retransmitted:
        answerer.stage.run(0.1)
        answerer.again()  # nothing was said, and whoever asks again is told to wait
        assert answerer.wire.statuses() == [100]
    else:
        answerer.stage.run(0.199)
        assert answerer.wire.statuses() == []
        answerer.stage.run(0.001)
        assert answerer.wire.statuses() == [100]
    assert answerer.state == "proceeding"
    answerer.stage.run(1000)
    assert answerer.wire.statuses() == [] and answerer.state == "proceeding"


def test_a_retransmitted_invite_gets_every_time_the_same_refusal_17_2_1() -> None:
    answerer = Answerer("INVITE", reliable=True)
    answerer.respond(180)
    answerer.respond(486)
    refused = answerer.wire.take()[-1]
    for _ in range(3):
        answerer.again()
        assert (answerer.wire.take(), answerer.state) == ([refused], "completed")
    answerer.stage.run(32)
    assert answerer.user.told == [(32.0, "no ACK")] and answerer.over()


def test_a_request_that_waits_for_its_answer_goes_on_waiting_17_2_2() -> None:
    answerer = Answerer("OPTIONS")
    for status in (100, 182, 183):
        answerer.respond(status)
        said = answerer.wire.take()
        assert len(said) == 1 and answerer.state == "proceeding"
        answerer.again()
        assert (answerer.wire.take(), answerer.state) == (said, "proceeding")
    answerer.respond(200)
    assert answerer.wire.statuses() == [200] and answerer.state == "completed"


def test_a_request_whose_provisional_response_cannot_be_delivered_is_over_17_2_4() -> None:
    answerer = Answerer("OPTIONS")
    answerer.respond(183)
    answerer.transaction.fail(answerer.stage.now)
    assert answerer.over()


@pytest.mark.parametrize(
    ("row", "event"),
    [
        (server.INVITE_SERVER["accepted"], "ACK"),
        (server.NON_INVITE_SERVER["trying"], "ACK"),
        (client.INVITE_CLIENT["proceeding"], "timer A"),
        (client.NON_INVITE_CLIENT["completed"], "timer E"),
    ],
)
def test_an_event_without_a_row_raises(row: dict[str, object], event: str) -> None:
    """What may come and changes nothing has a row of its own."""
    with pytest.raises(KeyError):
        row[event]

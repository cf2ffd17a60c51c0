"""Client transactions with a clock of our own: RFC 3261 §17.1 (figures 5 and 6), RFC 6026 §8.4."""

import pytest

from engine.sip.flow import Flow
from engine.sip.message.message import Request, Response
from engine.sip.message.parsing import parse
from engine.sip.transaction.client import ClientTransaction
from engine.sip.transaction.timers import TimerValues
from engine.sip.transaction.transactions import Transactions
from tests.simulation.stage import PEER, Stage, request, response

A = [0.0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5]  # Timer A: doubled without a limit, until Timer B at 32 s
E = [0.0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]  # Timer E: doubled up to T2


class User:
    """A transaction user that notes what it is told."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.told: list[tuple[float, int | str]] = []

    def on_response(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        self.told.append((round(now - 100.0, 6), response.status))

    def on_failure(self, transaction: ClientTransaction, cause: str, now: float) -> None:
        self.told.append((round(now - 100.0, 6), cause))

    @property
    def statuses(self) -> list[int | str]:
        return [what for _, what in self.told]


class Asker:
    """One request of ours on a stage."""

    def __init__(self, method: str, reliable: bool = False, headers: tuple[str, ...] = ()) -> None:
        self.stage = Stage()
        self.wire = self.stage.tcp if reliable else self.stage.udp
        self.user = User(self.stage)
        self.data = request(method, "sip:bob@192.0.2.7", headers, branch="z9hG4bKours")
        self.transactions: Transactions = self.stage.endpoint.transactions
        self.transaction = ClientTransaction(
            self.transactions,
            self.user,
            method,
            "z9hG4bKours",
            self.data,
            Flow(self.wire, PEER, 5060),
            self.stage.now,
        )

    def hear(self, status: int, **more: object) -> None:
        self.stage.receive(response(self.data, status, **more), wire=self.wire)  # type: ignore[arg-type]

    @property
    def state(self) -> str:
        return self.transaction.state

    def sent(self) -> list[Request]:
        """What went out since the last call, all of it requests."""
        found = [parse(data) for data in self.wire.take()]
        assert all(isinstance(message, Request) for message in found)
        return [message for message in found if isinstance(message, Request)]


def over(asker: Asker) -> bool:
    """Terminated, and nothing of it is left: no table entry, no timer, no user, no bytes."""
    transaction = asker.transaction
    return (transaction.state, asker.stage.left, transaction.user, transaction.data) == ("terminated", {}, None, b"")


# ---- INVITE, figure 5


def test_timer_a_doubles_until_timer_b_17_1_1_2() -> None:
    asker = Asker("INVITE")
    assert asker.state == "calling"
    asker.stage.run(31.999)
    assert asker.wire.times(100.0) == A
    assert {data for _, data, _, _ in asker.wire.sent} == {asker.data}
    assert asker.user.told == []
    asker.stage.run(0.001)
    assert asker.user.told == [(32.0, "timeout")]
    assert over(asker)
    asker.stage.run(1000)
    assert asker.wire.times(100.0) == A


def test_no_timer_a_on_a_reliable_transport_but_timer_b_17_1_1_2() -> None:
    asker = Asker("INVITE", reliable=True)
    asker.stage.run(33)
    assert asker.wire.times(100.0) == [0.0]
    assert asker.user.told == [(32.0, "timeout")]
    assert over(asker)


def test_a_provisional_response_stops_timers_a_and_b_17_1_1_2() -> None:
    asker = Asker("INVITE")
    asker.stage.run(0.6)
    asker.hear(180)
    asker.hear(183)
    asker.stage.run(10_000)
    assert asker.state == "proceeding"
    assert asker.wire.times(100.0) == [0.0, 0.5]
    assert asker.user.statuses == [180, 183]


@pytest.mark.parametrize("ringing", [False, True])
def test_a_final_failure_is_acknowledged_and_its_retransmissions_too_17_1_1_2(ringing: bool) -> None:
    asker = Asker("INVITE")
    if ringing:
        asker.hear(180)
    asker.sent()
    asker.hear(486)
    assert asker.state == "completed"
    for _ in range(3):
        asker.hear(486)
    acks = asker.sent()
    assert [message.method for message in acks] == ["ACK"] * 4
    assert len({bytes(message) for message in acks}) == 1
    assert asker.user.statuses.count(486) == 1
    asker.stage.run(31.999)
    assert asker.state == "completed"  # Timer D: at least 32 s
    asker.stage.run(0.001)
    assert over(asker)
    asker.hear(486)
    assert asker.sent() == []
    assert asker.stage.endpoint.counters.stray == 1


def test_no_timer_d_on_a_reliable_transport_17_1_1_2() -> None:
    asker = Asker("INVITE", reliable=True)
    asker.sent()
    asker.hear(404)
    assert [message.method for message in asker.sent()] == ["ACK"]
    assert asker.user.statuses == [404]
    assert over(asker)


def test_the_ack_is_made_from_the_invite_and_the_response_17_1_1_3() -> None:
    asker = Asker("INVITE", headers=("Route: <sip:p1;lr>, <sip:p2;lr>", "Route: <sip:p3;lr>"))
    [invite] = asker.sent()
    asker.hear(486, to_tag="theirs")
    [ack] = asker.sent()
    assert ack.uri_text == invite.uri_text
    assert ack.lines("Via") == invite.lines("Via")
    assert ack.lines("Route") == invite.lines("Route")
    for name in ("From", "Call-ID"):
        assert ack.get(name) == invite.get(name)
    assert ack.to_tag == "theirs"
    assert (ack.cseq, ack.cseq_method) == (invite.cseq, "ACK")
    assert ack.body == b"" and "Content-Type" not in ack.headers and "Contact" not in ack.headers


def test_a_2xx_is_passed_up_each_time_for_timer_m_rfc_6026_8_4() -> None:
    asker = Asker("INVITE")
    asker.hear(180)
    asker.sent()
    asker.hear(200, to_tag="one")
    assert asker.state == "accepted"
    asker.hear(200, to_tag="one")
    asker.hear(200, to_tag="fork")
    asker.hear(486)  # of a fork that lost: absorbed
    asker.hear(180)
    assert asker.user.statuses == [180, 200, 200, 200]
    assert asker.sent() == []  # the ACK of a 2xx is not the transaction's
    asker.stage.run(31.999)
    assert asker.state == "accepted"
    asker.stage.run(0.001)
    assert over(asker)


def test_timer_m_runs_on_a_reliable_transport_too_rfc_6026_8_4() -> None:
    asker = Asker("INVITE", reliable=True)
    asker.hear(200)
    asker.stage.run(31)
    asker.hear(200, to_tag="fork")
    assert asker.user.statuses == [200, 200]
    asker.stage.run(1.1)
    assert over(asker)


@pytest.mark.parametrize("ringing", [False, True])
def test_a_transport_error_ends_it_and_is_reported_17_1_4(ringing: bool) -> None:
    asker = Asker("INVITE")
    if ringing:
        asker.hear(180)
    asker.stage.endpoint.failed(Flow(asker.wire, PEER, 5060), asker.data, "connection refused", asker.stage.now)
    assert asker.user.statuses[-1] == "connection refused"
    assert over(asker)


def test_a_transport_error_after_the_final_response_is_nobodys_business() -> None:
    asker = Asker("INVITE")
    asker.hear(486)
    asker.stage.endpoint.failed(Flow(asker.wire, PEER, 5060), asker.data, "connection refused", asker.stage.now)
    assert asker.user.statuses == [486]
    assert asker.state == "completed"


def test_quiet_stops_retransmissions_and_still_hears() -> None:
    asker = Asker("INVITE")
    asker.stage.run(0.6)
    asker.transaction.quiet(asker.stage.now)
    asker.stage.run(20)
    assert asker.wire.times(100.0) == [0.0, 0.5]
    asker.hear(200)
    assert asker.user.statuses == [200]


def test_a_cancelled_invite_waits_64_t1_for_its_final_response_9_1() -> None:
    asker = Asker("INVITE")
    asker.hear(180)
    asker.stage.run(100)
    asker.transaction.give_up(asker.stage.now)
    asker.stage.run(31.999)
    assert asker.state == "proceeding"
    asker.stage.run(0.001)
    assert over(asker)


# ---- other requests, figure 6


def test_timer_e_doubles_up_to_t2_until_timer_f_17_1_2_2() -> None:
    asker = Asker("OPTIONS")
    assert asker.state == "trying"
    asker.stage.run(31.999)
    assert asker.wire.times(100.0) == E
    assert asker.user.told == []
    asker.stage.run(0.001)
    assert asker.user.told == [(32.0, "timeout")]
    assert over(asker)


def test_in_proceeding_timer_e_is_t2_and_timer_f_runs_on_17_1_2_2() -> None:
    asker = Asker("OPTIONS")
    asker.stage.run(1.0)
    asker.hear(100)
    assert asker.state == "proceeding"
    asker.stage.run(8.5)
    assert asker.wire.times(100.0) == [0.0, 0.5, 5.0, 9.0]
    asker.hear(100)  # does not start it anew
    asker.stage.run(30)
    assert asker.wire.times(100.0) == [0.0, 0.5, 5.0, 9.0, 13.0, 17.0, 21.0, 25.0, 29.0]
    assert asker.user.told[-1] == (32.0, "timeout")
    assert over(asker)


@pytest.mark.parametrize("provisional", [False, True])
def test_no_timer_e_on_a_reliable_transport_but_timer_f_17_1_2_2(provisional: bool) -> None:
    asker = Asker("OPTIONS", reliable=True)
    if provisional:
        asker.hear(100)
    asker.stage.run(33)
    assert asker.wire.times(100.0) == [0.0]
    assert asker.user.told[-1] == (32.0, "timeout")
    assert over(asker)


@pytest.mark.parametrize("status", [200, 302, 404, 503, 603])
@pytest.mark.parametrize("provisional", [False, True])
def test_a_final_response_is_passed_up_once_and_timer_k_absorbs_the_rest_17_1_2_2(
    status: int, provisional: bool
) -> None:
    asker = Asker("OPTIONS")
    if provisional:
        asker.hear(100)
    asker.hear(status)
    assert asker.state == "completed"
    asker.hear(status)
    assert asker.user.statuses == ([100] if provisional else []) + [status]
    asker.sent()
    asker.stage.run(4.999)
    assert asker.state == "completed"  # Timer K: T4
    assert asker.sent() == []
    asker.stage.run(0.001)
    assert over(asker)


def test_no_timer_k_on_a_reliable_transport_17_1_2_2() -> None:
    asker = Asker("OPTIONS", reliable=True)
    asker.hear(200)
    assert asker.user.statuses == [200]
    assert over(asker)


@pytest.mark.parametrize("provisional", [False, True])
def test_a_transport_error_ends_a_request_17_1_4(provisional: bool) -> None:
    asker = Asker("OPTIONS")
    if provisional:
        asker.hear(100)
    asker.stage.endpoint.failed(Flow(asker.wire, PEER, 5060), asker.data, "no route", asker.stage.now)
    assert asker.user.statuses[-1] == "no route"
    assert over(asker)


# ---- which transaction a response belongs to, §17.1.3


def test_a_response_matches_by_branch_and_cseq_method_17_1_3() -> None:
    asker = Asker("OPTIONS")
    good = response(asker.data, 200)
    asker.stage.receive(good.replace(b"z9hG4bKours", b"z9hG4bKothers"))
    asker.stage.receive(good.replace(b"1 OPTIONS", b"1 INVITE"))
    asker.stage.receive(good.replace(b"1 OPTIONS", b"1 CANCEL"))
    assert asker.user.told == []
    assert asker.stage.endpoint.counters.stray == 3
    asker.stage.receive(good)
    assert asker.user.statuses == [200]


def test_a_cancel_shares_the_invites_branch_and_not_its_responses_9_1_17_1_3() -> None:
    asker = Asker("INVITE")
    asker.hear(180)
    data = asker.data.replace(b"INVITE", b"CANCEL")
    user = User(asker.stage)
    ClientTransaction(
        asker.transactions, user, "CANCEL", "z9hG4bKours", data, Flow(asker.wire, PEER, 5060), asker.stage.now
    )
    asker.stage.receive(response(data, 200))
    assert (asker.user.statuses, user.statuses) == ([180], [200])
    asker.hear(487)
    assert (asker.user.statuses, user.statuses) == ([180, 487], [200])


def test_a_cancel_that_cannot_be_sent_does_not_end_its_invite() -> None:
    asker = Asker("INVITE")
    asker.hear(180)
    data = asker.data.replace(b"INVITE", b"CANCEL")
    user = User(asker.stage)
    flow = Flow(asker.wire, PEER, 5060)
    ClientTransaction(asker.transactions, user, "CANCEL", "z9hG4bKours", data, flow, asker.stage.now)
    asker.stage.endpoint.failed(flow, data, "connection refused", asker.stage.now)
    assert (asker.user.statuses, user.statuses) == ([180], ["connection refused"])


def test_a_lost_connection_ends_all_that_waited_on_it_and_nothing_else() -> None:
    asker = Asker("OPTIONS", reliable=True)
    other = User(asker.stage)
    flow = Flow(asker.stage.tcp, "192.0.2.99", 5060)
    elsewhere = asker.data.replace(b"z9hG4bKours", b"z9hG4bKelse")
    ClientTransaction(asker.transactions, other, "OPTIONS", "z9hG4bKelse", elsewhere, flow, asker.stage.now)
    asker.stage.endpoint.failed(Flow(asker.stage.tcp, PEER, 5060), None, "connection lost", asker.stage.now)
    assert (asker.user.statuses, other.statuses) == (["connection lost"], [])


def test_a_forged_error_from_elsewhere_ends_nothing() -> None:
    asker = Asker("OPTIONS")
    for flow in (Flow(asker.wire, "192.0.2.66", 5060), Flow(asker.wire, PEER, 9)):
        asker.stage.endpoint.failed(flow, asker.data, "no route", asker.stage.now)
    asker.stage.endpoint.failed(Flow(asker.wire, PEER, 5060), b"what is this", "no route", asker.stage.now)
    asker.stage.endpoint.failed(Flow(asker.wire, PEER, 5060), b"", "no route", asker.stage.now)
    asker.stage.endpoint.failed(Flow(asker.wire, PEER, 5060), response(asker.data, 200), "no route", asker.stage.now)
    assert asker.user.told == []


def test_an_error_is_found_by_the_vias_branch_not_by_the_uris() -> None:
    asker = Asker("OPTIONS")
    data = asker.data.replace(b"sip:bob@192.0.2.7 ", b"sip:bob@192.0.2.7;branch=x ")
    asker.stage.endpoint.failed(Flow(asker.wire, PEER, 5060), data, "no route", asker.stage.now)
    assert asker.user.statuses == ["no route"]


def test_the_lettered_timers_follow_t1() -> None:
    timers = TimerValues(t1=0.1)
    assert timers.timeout == pytest.approx(6.4)
    assert TimerValues().timeout == 32.0
    assert (TimerValues().t2, TimerValues().t4, TimerValues().d) == (4.0, 5.0, 32.0)


# ---- rows that only a late or a repeated message reaches


@pytest.mark.parametrize("after", [0.0, 20.0])
def test_timer_m_runs_for_64_t1_from_the_2xx_on_rfc6026_8_4(after: float) -> None:
    asker = Asker("INVITE")
    asker.stage.run(after)
    asker.hear(200)
    asker.hear(200)
    assert asker.state == "accepted" and asker.user.statuses == [200, 200]
    asker.stage.run(31.999)
    assert asker.state == "accepted"
    asker.stage.run(0.001)
    assert over(asker)


@pytest.mark.parametrize("method", ["INVITE", "OPTIONS"])
@pytest.mark.parametrize("ringing", [False, True])
@pytest.mark.parametrize("status", [200, 302, 404, 503, 603])
def test_the_user_is_let_go_at_the_last_response_it_is_to_hear(method: str, ringing: bool, status: int) -> None:
    asker = Asker(method)
    if ringing:
        asker.hear(183)
    asker.hear(status)
    kept = method == "INVITE" and status == 200  # a forked INVITE may have another 2xx (RFC 6026 §8.4)
    assert (asker.transaction.user is asker.user) == kept
    asker.hear(status)
    assert asker.user.statuses.count(status) == 1 + kept


def test_every_provisional_response_is_passed_on_17_1_2_2() -> None:
    asker = Asker("OPTIONS")
    for status in (100, 181, 183):
        asker.hear(status)
        assert asker.state == "proceeding"
    assert asker.user.statuses == [100, 181, 183]
    asker.stage.run(1000)
    assert asker.user.told[-1] == (32.0, "timeout") and over(asker)

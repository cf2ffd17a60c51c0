"""A registration of ours, kept at a carrier's registrar (RFC 3261 §10.2): the machine, its clock turned by hand."""

import pytest

from engine.sip.auth.credentials import Credentials
from engine.sip.flow import Flow
from engine.sip.message.message import Request
from engine.sip.message.parsing import parse
from engine.sip.registrant import (
    FORBIDDEN_WINDOW,
    LAST_WINDOW,
    LEAVES_WITHIN,
    LONGEST,
    LONGEST_RETRY_AFTER,
    PING,
    REGISTRANT,
    Registrant,
    RegistrantSpec,
)
from tests.simulation.stage import PEER, Stage, response

CHALLENGE = 'WWW-Authenticate: Digest realm="r", nonce="n{}", algorithm=MD5, qop="auth"'
OURS = "<sip:line7@192.0.2.250:5060>"
SECOND = "192.0.2.8"


class Client:
    """A registration, and what it has sent."""

    def __init__(self, **changed: object) -> None:
        self.stage = Stage()
        given = {
            "registrar": "sip:example.com",
            "destination": "sip:example.com",
            "aor": "sip:bob@example.com",
            "contact_user": "line7",
            "credentials": Credentials("bob", "secret"),
            "expires": 600,
        }
        self.steps: list[str] = []
        spec = RegistrantSpec(**(given | changed))  # type: ignore[arg-type]
        self.registrant = Registrant(self.stage.endpoint, spec, lambda registrant: self.steps.append(registrant.state))

    def begin(self) -> None:
        self.registrant.register(self.stage.now)

    def taken(self) -> list[Request]:
        """The requests that were sent since, retransmissions aside."""
        found: dict[int, Request] = {}
        for wire in (self.stage.udp, self.stage.tcp):
            for data in wire.take():
                if data != b"\r\n\r\n":
                    request = parse(data)
                    assert isinstance(request, Request)
                    found.setdefault(request.cseq, request)
                    self.raw = data
        return [*found.values()]

    def hear(self, status: int, *headers: str, host: str = PEER) -> Request:
        """What it has sent last is answered; that request."""
        request = self.taken()[-1]
        self.stage.receive(response(self.raw, status, headers=headers), host=host)
        return request

    def accept(self, granted: int = 600) -> Request:
        return self.hear(200, f"Contact: {OURS};expires={granted}")


@pytest.fixture
def client() -> Client:
    return Client()


def test_what_is_sent_names_the_line_and_the_time_twice_section_10_2(client: Client) -> None:
    client.begin()
    assert client.registrant.state == "trying"
    request = client.accept()
    assert (request.method, request.uri_text) == ("REGISTER", "sip:example.com")
    assert request.get("To") == "<sip:bob@example.com>"
    assert request.get("From").startswith("<sip:bob@example.com>;tag=")
    assert (request.get("Contact"), request.get("Expires")) == (f"{OURS};expires=600", "600")
    assert (client.registrant.state, client.registrant.server) == ("registered", Flow(client.stage.udp, PEER, 5060))


@pytest.mark.parametrize(
    ("headers", "granted"),
    [
        ([f"Contact: <sip:other@h>;expires=9, {OURS};expires=300", "Expires: 20"], 300),
        ([f"Contact: {OURS}", "Expires: 20"], 20),
        ([f"Contact: {OURS}"], 600),
        (["Expires: 20"], 20),
        (["Contact: <sip:line7@203.0.113.9:41000>;expires=50"], 50),  # rewritten on the way
        (["Contact: <sip:>", f"Contact: {OURS};expires=40"], 40),
        (["Contact: <<", f"Contact: {OURS};expires=40"], 0),
        ([f"Contact: {OURS};expires=999999999"], LONGEST),
        ([f"Contact: {OURS};expires=0"], 0),
        ([f"Contact: {OURS};expires=soon"], 0),
        (["Contact: <sip:other@h>;expires=9", "Expires: 600"], 0),
        ([], 0),
    ],
)
def test_what_the_answer_grants_our_contact_counts_section_10_2_4(
    client: Client, headers: list[str], granted: int
) -> None:
    client.begin()
    client.hear(200, *headers)
    registrant = client.registrant
    if granted:
        assert registrant.registered_until == client.stage.now + granted
        assert registrant.next_attempt == pytest.approx(client.stage.now + granted * 0.8)
    else:
        assert (registrant.state, registrant.server) == ("failed", None)
        assert registrant.last_reason == "the answer does not list our Contact"


def test_it_is_refreshed_at_four_fifths_of_what_was_granted(client: Client) -> None:
    client.begin()
    client.accept(120)
    client.stage.run(95.9)
    assert not client.taken()
    client.stage.run(0.2)
    assert client.registrant.state == "refreshing"
    assert client.accept().cseq == 2


def test_a_grant_of_a_second_is_no_flood(client: Client) -> None:
    client.begin()
    for _ in range(5):
        client.accept(1)
        client.stage.run(0.9)
        assert not client.taken()
        client.stage.run(0.1)


def test_call_id_stays_and_cseq_rises_by_one_section_10_2_4(client: Client) -> None:
    client.begin()
    requests = [client.hear(401, CHALLENGE.format(1)), client.accept()]
    client.stage.run(480)
    requests += [client.accept()]
    assert [request.cseq for request in requests] == [1, 2, 3]
    assert len({request.call_id for request in requests}) == 1


def test_an_earlier_life_is_carried_on() -> None:
    client = Client()
    client.registrant = Registrant(
        client.stage.endpoint, client.registrant.spec, lambda registrant: None, call_id="before", cseq=41
    )
    client.begin()
    request = client.accept()
    assert (request.call_id, request.cseq) == ("before", 42)


def test_a_nonce_is_used_again_and_an_old_one_is_replaced_without_stale(client: Client) -> None:
    client.begin()
    client.hear(401, CHALLENGE.format(1))
    client.accept()
    for nonce in range(2, 9):
        client.stage.run(480)
        old = client.hear(401, CHALLENGE.format(nonce))
        assert f'nonce="n{nonce - 1}"' in old.get("Authorization")
        assert ("nc=00000002" in old.get("Authorization")) or nonce > 2
        fresh = client.accept()
        assert f'nonce="n{nonce}"' in fresh.get("Authorization") and "nc=00000001" in fresh.get("Authorization")
        assert client.registrant.state == "registered"


def test_a_proxy_and_the_registrar_may_both_ask_section_22_3(client: Client) -> None:
    client.begin()
    client.hear(407, 'Proxy-Authenticate: Digest realm="p", nonce="x", qop="auth"')
    client.hear(401, CHALLENGE.format(1))
    request = client.accept()
    assert "Authorization" in request.first and "Proxy-Authorization" in request.first


def test_a_wrong_password_is_tried_three_times_and_then_later(client: Client) -> None:
    client.begin()
    for nonce in range(4):
        client.hear(401, CHALLENGE.format(nonce))
    registrant = client.registrant
    assert (registrant.state, registrant.last_status) == ("forbidden", 401)
    assert FORBIDDEN_WINDOW / 2 <= registrant.next_attempt - client.stage.now <= FORBIDDEN_WINDOW
    client.stage.run(registrant.next_attempt - client.stage.now)
    assert [request.cseq for request in client.taken()] == [5]


def test_the_same_nonce_once_more_is_a_refusal_at_once(client: Client) -> None:
    client.begin()
    client.hear(401, CHALLENGE.format(1))
    client.hear(401, CHALLENGE.format(1))
    assert client.registrant.state == "forbidden"


def test_who_has_no_password_is_refused() -> None:
    client = Client(credentials=None)
    client.begin()
    client.hear(401, CHALLENGE.format(1))
    assert client.registrant.state == "forbidden"


def test_a_longer_time_is_asked_for_at_once_and_from_then_on_section_10_3(client: Client) -> None:
    client.begin()
    client.hear(423, "Min-Expires: 900")
    request = client.hear(200, f"Contact: {OURS};expires=900")
    assert (request.get("Expires"), request.get("Contact")) == ("900", f"{OURS};expires=900")
    client.stage.run(720)
    assert client.accept(900).get("Expires") == "900"


@pytest.mark.parametrize("least", ["600", "10", "900000", "", "x"])
def test_a_423_that_makes_no_sense_is_a_failure(client: Client, least: str) -> None:
    client.begin()
    client.hear(423, *([f"Min-Expires: {least}"] if least else []))
    assert (client.registrant.state, client.registrant.last_status) == ("failed", 423)
    assert not client.taken()


def test_a_registrar_that_always_wants_more_is_left_after_the_longest(client: Client) -> None:
    client.begin()
    for more in range(700, LONGEST + 40_000, 20_000):
        if client.registrant.state != "trying":
            break
        client.hear(423, f"Min-Expires: {more}")
    assert client.registrant.state == "failed"


@pytest.mark.parametrize("status", [403, 404, 410, 603])
def test_a_refusal_waits_long_and_is_never_for_ever(client: Client, status: int) -> None:
    client.begin()
    windows = (FORBIDDEN_WINDOW, 2 * FORBIDDEN_WINDOW, LAST_WINDOW, LAST_WINDOW)
    for window in windows:
        client.hear(status)
        assert client.registrant.state == "forbidden"
        pause = client.registrant.next_attempt - client.stage.now
        assert window / 2 <= pause <= window
        client.stage.run(pause + 0.1)
        assert client.registrant.state == "trying"
    client.accept()
    assert client.registrant.state == "registered"


def test_failures_wait_twice_as_long_each_time_between_30_and_1800_seconds(client: Client) -> None:
    client.begin()
    pauses = []
    for _ in range(9):
        client.hear(500)
        assert client.registrant.state == "failed"
        pauses.append(client.registrant.next_attempt - client.stage.now)
        client.stage.run(pauses[-1] + 0.1)
    assert pauses == pytest.approx([45, 90, 180, 360, 720, 1350, 1350, 1350, 1350])
    client.accept()
    client.stage.run(480)
    client.hear(500)
    assert client.registrant.next_attempt - client.stage.now == pytest.approx(45)


@pytest.mark.parametrize("chance", [0.0, 0.999999])
def test_the_shortest_and_the_longest_pause(client: Client, chance: float) -> None:
    client.stage.endpoint.random = lambda: chance
    client.begin()
    pauses = []
    for _ in range(8):
        client.hear(500)
        pauses.append(client.registrant.next_attempt - client.stage.now)
        client.stage.run(pauses[-1] + 0.1)
    assert min(pauses) >= 30 and max(pauses) <= 1800


@pytest.mark.parametrize(("said", "least"), [("5", 5), ("120", 120), ("99999", LONGEST_RETRY_AFTER)])
@pytest.mark.parametrize("status", [503, 403, 480])
def test_retry_after_is_obeyed_section_20_33(client: Client, said: str, least: float, status: int) -> None:
    client.begin()
    client.hear(status, f"Retry-After: {said} (maintenance)")
    pause = client.registrant.next_attempt - client.stage.now
    assert least <= pause <= least * 1.1
    client.stage.run(least - 0.1)
    assert not client.taken()
    client.stage.run(pause - least + 0.1)
    assert len(client.taken()) == 1


def two_servers(client: Client) -> None:
    client.stage.flows = [Flow(client.stage.udp, PEER, 5060), Flow(client.stage.udp, SECOND, 5060)]


def test_a_dead_server_is_left_for_the_next_within_ten_seconds_rfc_3263_section_4_3(client: Client) -> None:
    two_servers(client)
    began = client.stage.now
    client.begin()
    client.stage.run(4.0)
    assert client.stage.udp.targets()[-1] == (SECOND, 5060)
    client.hear(200, f"Contact: {OURS};expires=600", host=SECOND)
    registrant = client.registrant
    assert registrant.state == "registered" and registrant.server is not None
    assert registrant.server.host == SECOND and client.stage.now - began < 10


@pytest.mark.parametrize("status", [500, 503, 504, 408, 430])
def test_a_server_that_cannot_is_left_for_the_next(client: Client, status: int) -> None:
    two_servers(client)
    client.begin()
    client.hear(status)
    assert client.stage.udp.targets() == [(SECOND, 5060)]


def test_a_server_that_will_not_speaks_for_all(client: Client) -> None:
    two_servers(client)
    client.begin()
    client.hear(403)
    assert not client.stage.udp.targets()


def test_the_better_server_is_tried_first_at_the_refresh_and_kept_when_it_is_back(client: Client) -> None:
    two_servers(client)
    client.begin()
    client.stage.run(4.0)
    client.hear(200, f"Contact: {OURS};expires=600", host=SECOND)
    client.stage.run(480)
    assert client.stage.udp.targets()[0] == (PEER, 5060)
    client.accept()
    assert client.registrant.server == Flow(client.stage.udp, PEER, 5060)


def test_a_refresh_goes_on_with_the_next_server(client: Client) -> None:
    two_servers(client)
    client.begin()
    client.accept()
    client.stage.run(480 + 4.0)
    assert client.registrant.state == "refreshing" and client.registrant.server is not None
    client.hear(200, f"Contact: {OURS};expires=600", host=SECOND)
    assert client.registrant.server == Flow(client.stage.udp, SECOND, 5060)


def test_a_refresh_that_is_refused_waits_long(client: Client) -> None:
    client.begin()
    client.accept()
    client.stage.run(480)
    client.hear(403)
    assert client.registrant.state == "forbidden"
    pause = client.registrant.next_attempt - client.stage.now
    assert FORBIDDEN_WINDOW / 2 <= pause <= FORBIDDEN_WINDOW
    client.stage.run(pause + 0.1)
    assert len(client.taken()) == 1


def test_a_better_server_that_stays_dead_costs_the_registration_nothing(client: Client) -> None:
    two_servers(client)
    client.begin()
    client.stage.run(4.0)
    client.hear(200, f"Contact: {OURS};expires=20", host=SECOND)
    client.stage.run(16)
    assert client.stage.udp.targets()[0] == (SECOND, 5060)  # 4 s are left: too few for both


def test_of_equal_servers_the_present_one_is_kept(client: Client) -> None:
    two_servers(client)
    client.begin()
    client.accept()
    client.stage.flows.reverse()
    client.stage.run(480)
    assert client.stage.udp.targets() == [(PEER, 5060)]


def test_a_server_that_the_name_does_not_lead_to_any_more_is_left(client: Client) -> None:
    client.begin()
    client.accept()
    client.stage.flows = [Flow(client.stage.udp, SECOND, 5060)]
    client.stage.run(480)
    assert client.registrant.server == Flow(client.stage.udp, PEER, 5060)  # until the other one has accepted
    client.hear(200, f"Contact: {OURS};expires=600", host=SECOND)
    assert client.registrant.server == Flow(client.stage.udp, SECOND, 5060)


def test_silence_of_all_is_a_failure_and_the_server_is_left(client: Client) -> None:
    client.begin()
    client.accept()
    client.stage.run(480)
    assert client.registrant.server is not None
    client.stage.run(4.1)
    registrant = client.registrant
    assert (registrant.state, registrant.server, registrant.last_status) == ("failed", None, 0)
    assert registrant.last_reason == "no response"


def test_who_is_at_work_is_waited_for(client: Client) -> None:
    client.begin()
    client.taken()
    client.stage.receive(response(client.raw, 100))
    client.stage.run(20)
    assert client.registrant.state == "trying"
    client.stage.receive(response(client.raw, 200, headers=[f"Contact: {OURS};expires=600"]))
    assert client.registrant.state == "registered"


def test_a_name_that_does_not_resolve_is_tried_again(client: Client) -> None:
    client.stage.flows = []
    client.begin()
    registrant = client.registrant
    assert (registrant.state, registrant.last_reason) == ("failed", "name does not resolve")
    two_servers(client)
    client.stage.run(60)
    assert len(client.taken()) > 0


def test_a_look_up_that_never_ends_is_given_up_and_comes_too_late(client: Client) -> None:
    waiting: list[object] = []
    client.stage.endpoint.locate = lambda uri, done: waiting.append(done)
    client.begin()
    client.stage.run(10.1)
    assert client.registrant.state == "failed"
    waiting[0]([Flow(client.stage.udp, PEER, 5060)])  # type: ignore[operator]
    assert not client.taken()


def test_an_answer_with_a_foreign_branch_changes_nothing(client: Client) -> None:
    """Whoever has not seen the request cannot answer it (RFC 3261 §17.1.3)."""
    client.begin()
    client.taken()
    forged = response(client.raw, 200, headers=[f"Contact: {OURS};expires=600"]).replace(
        b"branch=z9hG4bK", b"branch=z9hG4bKx"
    )
    client.stage.receive(forged, host="203.0.113.66")
    assert client.registrant.state == "trying"


def test_an_answer_that_comes_too_late_changes_nothing(client: Client) -> None:
    two_servers(client)
    client.begin()
    client.taken()
    first = client.raw
    client.stage.run(4.0)
    client.stage.receive(response(first, 200, headers=[f"Contact: {OURS};expires=600"]))
    assert client.registrant.state == "trying"


def test_it_leaves_with_expires_0_for_its_own_contact_section_10_2_2(client: Client) -> None:
    client.begin()
    client.accept()
    client.registrant.leave(client.stage.now)
    assert client.registrant.state == "leaving"
    request = client.hear(200, "Contact: <sip:other@h>;expires=9")
    assert (request.get("Expires"), request.get("Contact")) == ("0", f"{OURS};expires=0")
    assert (client.registrant.state, client.registrant.server) == ("off", None)
    client.stage.run(100)
    assert not client.taken() and not client.stage.left


def test_a_challenge_is_answered_in_leaving_too(client: Client) -> None:
    client.begin()
    client.hear(401, CHALLENGE.format(1))
    client.accept()
    client.registrant.leave(client.stage.now)
    client.hear(401, CHALLENGE.format(2))
    request = client.hear(200)
    assert request.get("Expires") == "0" and 'nonce="n2"' in request.get("Authorization")
    assert client.registrant.state == "off"


def test_leaving_takes_two_seconds_at_most(client: Client) -> None:
    client.begin()
    client.accept()
    client.registrant.leave(client.stage.now)
    client.stage.run(LEAVES_WITHIN)
    assert client.registrant.state == "off"
    client.registrant.register(client.stage.now)
    assert client.registrant.state == "trying"


def test_what_may_have_been_bound_is_left_too(client: Client) -> None:
    client.begin()
    client.taken()
    client.registrant.leave(client.stage.now)
    assert client.registrant.state == "leaving"
    assert [request.get("Expires") for request in client.taken()] == ["0"]


def test_what_is_being_refreshed_is_left_too(client: Client) -> None:
    client.begin()
    client.accept()
    client.stage.run(480)
    client.taken()
    client.registrant.leave(client.stage.now)
    assert client.registrant.state == "leaving"
    assert [request.get("Expires") for request in client.taken()] == ["0"]


def test_one_that_waits_for_its_turn_leaves_without_a_word(client: Client) -> None:
    client.registrant.register(client.stage.now, after=5.0)
    client.registrant.leave(client.stage.now)
    assert client.registrant.state == "off"
    client.stage.run(10)
    assert not client.taken() and not client.stage.left


@pytest.mark.parametrize("status", [403, 500, 0])
def test_it_has_left_whatever_is_said_to_it(client: Client, status: int) -> None:
    client.begin()
    client.accept()
    client.registrant.leave(client.stage.now)
    if status:
        client.hear(status)
    else:
        client.stage.run(LEAVES_WITHIN)
    registrant = client.registrant
    assert (registrant.state, registrant.server, registrant.registered_until) == ("off", None, 0.0)
    client.stage.run(4000)
    assert not client.stage.left


@pytest.mark.parametrize("status", [403, 500])
def test_where_nothing_is_bound_nothing_is_left(client: Client, status: int) -> None:
    client.begin()
    client.hear(status)
    client.registrant.leave(client.stage.now)
    assert client.registrant.state == "off" and not client.taken()


def test_service_route_is_kept_in_order_and_replaced_as_a_whole_rfc_3608_section_6_1(client: Client) -> None:
    client.begin()
    contact = f"Contact: {OURS};expires=600"
    client.hear(
        200, contact, "Service-Route: <sip:a.example;lr>, <sip:b.example;lr>", "Service-Route: <sip:c.example;lr>"
    )
    assert client.registrant.service_route == ("<sip:a.example;lr>", "<sip:b.example;lr>", "<sip:c.example;lr>")
    client.stage.run(480)
    client.hear(200, contact, "Service-Route: <sip:d.example;lr>")
    assert client.registrant.service_route == ("<sip:d.example;lr>",)
    client.stage.run(480)
    client.hear(200, contact)
    assert client.registrant.service_route == ()


@pytest.mark.parametrize(
    "routes", [["<<"], ["<tel:+15551234567>"], [f"<sip:{'a' * 600}@h;lr>"], ["<sip:a.example;lr>"] * 9]
)
def test_a_service_route_that_is_not_fit_is_not_used(client: Client, routes: list[str]) -> None:
    client.begin()
    client.hear(200, f"Contact: {OURS};expires=600", *[f"Service-Route: {route}" for route in routes])
    assert (client.registrant.state, client.registrant.service_route) == ("registered", ())


def test_all_numbers_of_a_pbx_rfc_6140_section_5_1() -> None:
    client = Client(gin=True)
    client.begin()
    request = client.hear(200, "Contact: <sip:192.0.2.250:5060;bnc>;expires=300")
    assert request.get("Contact") == "<sip:192.0.2.250:5060;bnc>;expires=600"
    assert (request.get("Require"), request.get("Proxy-Require")) == ("gin", "gin")
    assert "path" in request.get("Supported")
    assert client.registrant.registered_until == client.stage.now + 300


def stream(client: Client) -> None:
    client.stage.flows = [Flow(client.stage.tcp, PEER, 5060)]


def accept_by_stream(client: Client) -> None:
    client.taken()
    ours = "<sip:line7@192.0.2.250:5060;transport=tcp>"
    client.stage.receive(response(client.raw, 200, headers=[f"Contact: {ours};expires=600"]), wire=client.stage.tcp)


def test_a_connection_is_kept_and_its_loss_is_noticed_rfc_5626_section_3_5_1(client: Client) -> None:
    stream(client)
    client.begin()
    accept_by_stream(client)
    client.stage.run(3 * PING + 1)
    assert client.stage.tcp.take() == [b"\r\n\r\n"] * 3
    client.stage.tcp.connected = lambda flow: False  # type: ignore[method-assign]
    client.stage.run(PING - 1)
    assert client.registrant.last_reason == "connection lost"


def test_a_lost_connection_is_made_anew_within_two_seconds(client: Client) -> None:
    stream(client)
    client.begin()
    accept_by_stream(client)
    client.registrant.lost(client.stage.now)
    assert client.registrant.state == "failed"
    client.stage.run(2.0)
    accept_by_stream(client)
    assert client.registrant.state == "registered"


def test_a_connection_that_is_lost_twice_is_made_anew_once(client: Client) -> None:
    stream(client)
    client.begin()
    accept_by_stream(client)
    client.registrant.lost(client.stage.now)
    client.registrant.lost(client.stage.now)
    client.stage.run(2.0)
    assert len(client.taken()) == 1


def test_other_credentials_are_used_at_once_and_the_sequence_goes_on(client: Client) -> None:
    client.begin()
    client.hear(403)
    client.registrant.spec = RegistrantSpec(
        registrar="sip:example.com", destination="sip:example.com", aor="sip:bob@example.com", contact_user="line7"
    )
    client.registrant.renewed(None, client.stage.now)
    assert [request.cseq for request in client.taken()] == [2]


def test_one_that_is_to_register_now_does_not_wait(client: Client) -> None:
    client.begin()
    client.hear(403)
    client.registrant.register(client.stage.now)
    client.hear(500)
    client.registrant.register(client.stage.now)
    assert client.registrant.state == "trying"
    client.accept()
    client.registrant.register(client.stage.now)
    assert client.registrant.state == "refreshing"
    client.registrant.register(client.stage.now)
    assert len(client.taken()) == 1


def test_it_begins_when_it_is_its_turn(client: Client) -> None:
    client.registrant.register(client.stage.now, after=5.0)
    client.stage.run(4.9)
    assert not client.taken()
    client.stage.run(0.2)
    assert len(client.taken()) == 1


def test_closed_it_is_silent(client: Client) -> None:
    client.begin()
    client.taken()
    client.registrant.close(client.stage.now)
    client.stage.receive(response(client.raw, 200, headers=[f"Contact: {OURS};expires=600"]))
    client.stage.run(4000)
    assert client.registrant.state == "off" and not client.taken() and not client.stage.left


def test_every_state_knows_every_event() -> None:
    events = {"begin", "due", "accepted", "failed", "forbidden", "lost", "leave"}
    possible = {"off": events - {"accepted", "failed", "forbidden"}, "leaving": events}
    waiting = events - {"accepted", "failed", "forbidden"}
    for state, row in REGISTRANT.items():
        asks = state in ("trying", "refreshing")
        assert row.keys() == possible.get(state, events if asks else waiting), state


def test_the_password_is_in_no_text_of_it() -> None:
    assert "secret" not in repr(Client().registrant.spec)

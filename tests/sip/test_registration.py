"""The client's side of REGISTER (RFC 3261 §10.2): challenges, 423, what is granted, and one request at a time."""

import pytest

from engine.sip.auth.credentials import Credentials
from engine.sip.message.message import Request
from engine.sip.message.parsing import parse
from engine.sip.registration import Registration, RegistrationAnswer, RegistrationSpec
from tests.simulation.stage import Stage, response

CONTACT = "sip:bob@192.0.2.250:5060"
CHALLENGE = 'WWW-Authenticate: Digest realm="r", nonce="n{}", algorithm=MD5, qop="auth"'


class Client:
    """A registration of Bob's, and what it has been answered."""

    def __init__(self, stage: Stage, password: str = "secret") -> None:
        self.stage = stage
        self.answers: list[RegistrationAnswer] = []
        credentials = Credentials("bob", password) if password else None
        spec = RegistrationSpec(
            registrar="sip:example.com",
            destination="sip:192.0.2.7",
            aor="sip:bob@example.com",
            contact=CONTACT,
            credentials=credentials,
            expires=600,
        )
        self.registration = Registration(stage.endpoint, spec)
        self.sent: list[Request] = []

    def ask(self, leave: bool = False) -> None:
        self.registration.ask(self.answers.append, leave=leave)

    def hear(self, status: int, *headers: str) -> Request:
        """What it has sent last is answered; that request."""
        data = self.stage.udp.take()[-1]
        self.stage.receive(response(data, status, headers=headers))
        request = parse(data)
        assert isinstance(request, Request)
        self.sent.append(request)
        return request


@pytest.fixture
def client() -> Client:
    return Client(Stage())


def test_a_contact_is_bound_for_as_long_as_the_answer_says(client: Client) -> None:
    client.ask()
    request = client.hear(200, f"Contact: <sip:other@h>;expires=9, <{CONTACT}>;expires=300", "Expires: 20")
    assert (request.uri_text, request.get("To"), request.get("Expires")) == (
        "sip:example.com",
        "<sip:bob@example.com>",
        "600",
    )
    assert client.answers == [RegistrationAnswer(200, "Because", 300)]


@pytest.mark.parametrize(
    ("headers", "granted"), [(["Expires: 20"], 20), ([], 600), (["Expires: many"], 600), (["Contact: <<"], 600)]
)
def test_what_is_not_said_of_it_is_what_holds_for_all(client: Client, headers: list[str], granted: int) -> None:
    client.ask()
    client.hear(200, *headers)
    assert client.answers[0].granted == granted


def test_a_challenge_is_answered_once_and_the_sequence_goes_on(client: Client) -> None:
    client.ask()
    client.hear(401, CHALLENGE.format(1))
    client.hear(200)
    client.ask()
    client.hear(401, CHALLENGE.format(2))  # as new as the one before, and it says nothing of stale
    client.hear(200)
    assert [request.cseq for request in client.sent] == [1, 2, 3, 4]
    assert len({request.call_id for request in client.sent}) == 1
    assert ["Authorization" in request.first for request in client.sent] == [False, True, False, True]
    assert [answer.status for answer in client.answers] == [200, 200]


def test_credentials_that_are_refused_are_not_shown_again(client: Client) -> None:
    client.ask()
    client.hear(401, CHALLENGE.format(1))
    client.hear(401, CHALLENGE.format(2))
    assert client.answers == [RegistrationAnswer(401, "Because", 0)]


def test_who_has_none_is_told(client: Client) -> None:
    client = Client(Stage(), password="")
    client.ask()
    client.hear(401, CHALLENGE.format(1))
    assert client.answers[0].status == 401


@pytest.mark.parametrize(("least", "asked"), [("900", 2), ("600", 1), ("900000", 1), ("", 1), ("x", 1)])
def test_a_longer_time_is_asked_for_where_the_registrar_wants_one(client: Client, least: str, asked: int) -> None:
    client.ask()
    client.hear(423, *([f"Min-Expires: {least}"] if least else []))
    if asked == 2:
        assert client.hear(200).get("Expires") == "900"
    assert client.answers[0].status == (200 if asked == 2 else 423)


def test_it_leaves_with_expires_0(client: Client) -> None:
    client.ask()
    client.hear(200)
    client.ask(leave=True)
    request = client.hear(200, "Contact: <sip:other@h>;expires=9")
    assert (request.get("Expires"), request.get("Contact")) == ("0", f"<{CONTACT}>")
    assert client.answers[-1] == RegistrationAnswer(200, "Because", 0)


def test_silence_is_told(client: Client) -> None:
    client.ask()
    client.stage.run(40.0)
    assert client.answers == [RegistrationAnswer(0, "timeout", 0)]


def test_one_that_is_asked_anew_is_waited_for_alone(client: Client) -> None:
    client.ask()
    (first,) = client.stage.udp.take()
    client.ask()
    client.stage.receive(response(first, 200))
    assert not client.answers
    client.hear(200)
    assert len(client.answers) == 1

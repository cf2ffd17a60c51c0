"""Subscriptions, the notifier's side (RFC 6665 §4.2): SUBSCRIBE in, one NOTIFY at a time out."""

from dataclasses import dataclass, field

import pytest

from engine.sip.flow import Flow, Located
from engine.sip.message.message import Request, Response
from engine.sip.message.parsing import parse
from engine.sip.message.uri import SipUri
from engine.sip.peers import Everybody
from engine.sip.stateless import Refusal
from engine.sip.subscription import Notifier, NotifierLimits, Resource, Subscription
from tests.simulation.stage import PEER, Stage, Wire, request, response


class Lamp:
    """A package with one word of state for each resource."""

    content_type = "text/lamp"

    def __init__(self) -> None:
        self.words: dict[object, str] = {"bob": "off"}

    def document(self, resource: Resource, version: int) -> bytes | None:
        word = self.words.get(resource.key)
        return None if word is None else f"{version} {word}".encode()


@dataclass
class Policy:
    """Everybody is who From says, until somebody is to be refused."""

    refusal: Refusal | None = None
    known: set[str] = field(default_factory=lambda: {"bob", "carol"})

    def watcher(self, asked: Request, source: Flow) -> str | Refusal:
        user = asked.address("From").uri
        assert isinstance(user, SipUri)
        return self.refusal or user.user_text

    def resource(self, watcher: str, package: str, uri: SipUri) -> Resource | None:
        return Resource(uri.user_text, f"sip:{uri.user_text}@{uri.host}") if uri.user_text in self.known else None


class Watching:
    """A stage with a notifier, and a subscriber in front of it."""

    def __init__(self, wire: str = "udp", limits: NotifierLimits | None = None) -> None:
        self.stage = Stage()
        self.lamp, self.policy = Lamp(), Policy()
        self.notifier = Notifier(self.stage.endpoint, {"lamp": self.lamp}, self.policy, limits)
        self.stage.endpoint.handle("SUBSCRIBE", self.notifier.subscribe)
        self.wire: Wire = getattr(self.stage, wire)
        self.branches = 0
        self.to_tag = ""
        self.cseq = 0
        self.subscriptions: list[Subscription] = []

    def ask(self, *headers: str, uri: str = "sip:bob@192.0.2.250", **fields: object) -> list[Response | Request]:
        """Send a SUBSCRIBE, and take what comes back."""
        self.branches += 1
        self.cseq += 1
        lines = [line for line in headers if line]
        if not any(line.startswith("Event") for line in lines):
            lines.append("Event: lamp")
        if not any(line.startswith("Contact") for line in lines):
            lines.append(f"Contact: <sip:alice@{PEER}:5060>")
        given: dict[str, object] = {"cseq": self.cseq, "to_tag": self.to_tag, **fields}
        data = request("SUBSCRIBE", uri, lines, branch=f"z9hG4bKs{self.branches}", **given)  # type: ignore[arg-type]
        self.stage.receive(data, wire=self.wire)
        return self.take()

    def take(self) -> list[Response | Request]:
        return [parse(data) for data in self.wire.take()]

    def begin(self, *headers: str) -> Request:
        """Subscribe; the first NOTIFY."""
        ok, notify = self.ask(*headers)
        assert isinstance(ok, Response) and isinstance(notify, Request)
        assert (ok.status, notify.method) == (200, "NOTIFY")
        self.to_tag = ok.to_tag
        self.subscriptions = list(self.notifier)
        return notify

    def answer(self, notify: Request, status: int = 200, *headers: str) -> list[Response | Request]:
        """Answer a NOTIFY, and take what comes then."""
        self.stage.receive(response(bytes(notify), status, headers=headers), wire=self.wire)
        return self.take()

    def change(self, word: str) -> list[Response | Request]:
        self.lamp.words["bob"] = word
        self.notifier.changed("lamp", "bob")
        return self.take()

    @property
    def there(self) -> bool:
        return len(self.notifier) == 1 and self.notifier.counts() == {"lamp": 1}

    def is_over(self) -> bool:
        """Nothing is left of it, once the transactions have had their time."""
        assert not self.notifier.watched("lamp", "bob")
        assert {subscription.state for subscription in self.subscriptions} <= {"over"}
        self.stage.run(40)
        self.take()
        return len(self.notifier) == 0 and self.notifier.counts() == {"lamp": 0} and self.stage.left == {}


def state_of(message: Response | Request) -> tuple[str, str]:
    """What a NOTIFY tells: the state of the subscription and the document."""
    assert isinstance(message, Request) and message.method == "NOTIFY"
    return message.get("Subscription-State"), message.body.decode()


def status_of(messages: list[Response | Request]) -> int:
    [answer] = messages
    assert isinstance(answer, Response)
    return answer.status


# ---- RFC 6665 §4.2.1: SUBSCRIBE


def test_the_200_comes_first_and_a_notify_at_once() -> None:
    watching = Watching()
    ok, notify = watching.ask("Expires: 600", "Record-Route: <sip:192.0.2.9;lr>")
    assert isinstance(ok, Response) and isinstance(notify, Request)
    assert (ok.status, ok.get("Expires"), ok.get("Record-Route")) == (200, "600", "<sip:192.0.2.9;lr>")
    assert ok.to_tag and "192.0.2.250" in ok.get("Contact")
    assert state_of(notify) == ("active;expires=600", "0 off")
    assert (notify.get("Event"), notify.get("Content-Type")) == ("lamp", "text/lamp")
    assert (notify.call_id, notify.to_tag, notify.from_tag) == ("call-1", "alice", ok.to_tag)
    assert notify.get("Route") == "<sip:192.0.2.9;lr>"
    assert notify.uri_text == f"sip:alice@{PEER}:5060"
    assert "192.0.2.250" in notify.get("Contact")
    assert watching.there


@pytest.mark.parametrize(("asked", "granted"), [("", "3600"), ("Expires: 60", "60"), ("Expires: 86400", "3600")])
def test_it_lasts_as_long_as_is_asked_for_and_an_hour_at_most(asked: str, granted: str) -> None:
    watching = Watching()
    ok, notify = watching.ask(asked)
    assert ok.get("Expires") == granted and state_of(notify)[0] == f"active;expires={granted}"


def test_one_that_is_too_short_is_told_the_shortest() -> None:
    watching = Watching()
    [answer] = watching.ask("Expires: 59")
    assert isinstance(answer, Response) and (answer.status, answer.get("Min-Expires")) == (423, "60")
    assert len(watching.notifier) == 0 and watching.stage.endpoint.dialogs == {}


def test_an_unknown_package_is_told_the_known_ones() -> None:
    for event in ("Event: presence", "Event: ", "Event: lamp.winfo"):
        [answer] = Watching().ask(event)
        assert isinstance(answer, Response) and (answer.status, answer.get("Allow-Events")) == (489, "lamp")


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("Accept: text/plain", 406),
        ("Accept: text/plain, TEXT/LAMP;q=0.5", 200),
        ("Accept: text/*", 200),
        ("Accept: */*", 200),
        ("", 200),
    ],
)
def test_a_subscriber_has_to_read_what_it_is_told(accept: str, status: int) -> None:
    answer = Watching().ask(accept)[0]
    assert isinstance(answer, Response) and answer.status == status


def test_a_subscribe_needs_a_contact_that_is_a_sip_uri() -> None:
    for contact in ("Contact: <tel:+15551234567>", "Contact: *"):
        assert status_of(Watching().ask(contact)) == 400
    watching = Watching()
    watching.stage.receive(request("SUBSCRIBE", headers=["Event: lamp"]))
    assert status_of(watching.take()) == 400


def test_who_is_refused_gets_no_dialog() -> None:
    watching = Watching()
    watching.policy.refusal = Refusal(status=401, headers='WWW-Authenticate: Digest realm="x", nonce="y"\r\n')
    [answer] = watching.ask()
    assert isinstance(answer, Response) and answer.status == 401 and "WWW-Authenticate" in answer.first
    watching.policy.refusal = None
    assert status_of(watching.ask(uri="sip:mallory@192.0.2.250")) == 404
    assert status_of(watching.ask(uri="tel:+15551234567")) == 404
    assert watching.stage.endpoint.dialogs == {}
    watching.begin()
    assert watching.there


def test_expires_0_fetches_the_state_once() -> None:
    watching = Watching()
    ok, notify = watching.ask("Expires: 0")
    assert ok.get("Expires") == "0"
    assert state_of(notify) == ("terminated;reason=timeout", "0 off")
    assert watching.answer(notify) == []  # type: ignore[arg-type]
    assert watching.is_over()


def test_id_is_given_back_and_nothing_else_of_event() -> None:
    assert Watching().begin("Event: Lamp;id=7;colour=red").get("Event") == "lamp;id=7"


def test_there_are_as_many_as_may_be() -> None:
    for limits in (NotifierLimits(all=1), NotifierLimits(each=1)):
        watching = Watching(limits=limits)
        notify = watching.begin()
        watching.to_tag = ""
        answer = watching.ask(call_id="call-2")[0]
        assert isinstance(answer, Response) and (answer.status, answer.get("Retry-After")) == (503, "60")
        watching.answer(notify, 481)
        watching.to_tag = ""
        assert len(watching.ask(call_id="call-3")) == 2


# ---- RFC 6665 §4.2.1.2: refresh and end


def test_a_refresh_is_answered_and_told_the_state() -> None:
    watching = Watching()
    watching.answer(watching.begin("Expires: 60"))
    watching.stage.run(50)
    ok, notify = watching.ask("Expires: 120")
    assert isinstance(ok, Response) and (ok.status, ok.get("Expires")) == (200, "120")
    assert state_of(notify) == ("active;expires=120", "1 off")
    assert isinstance(notify, Request)
    watching.answer(notify)
    watching.stage.run(119)
    assert watching.take() == [] and watching.there
    watching.stage.run(1)
    [last] = watching.take()
    assert state_of(last) == ("terminated;reason=timeout", "2 off")


def test_a_refresh_moves_the_target() -> None:
    watching = Watching()
    watching.answer(watching.begin())
    _, notify = watching.ask(f"Contact: <sip:new@{PEER}:5070>")
    assert isinstance(notify, Request) and notify.uri_text == f"sip:new@{PEER}:5070"


def test_an_old_refresh_is_refused() -> None:
    watching = Watching()
    watching.answer(watching.begin())
    watching.answer(watching.ask()[1])  # type: ignore[arg-type]
    assert status_of(watching.ask(cseq=1)) == 500


def test_a_refresh_has_to_be_of_the_same_subscriber_and_event() -> None:
    watching = Watching()
    watching.answer(watching.begin())
    assert status_of(watching.ask("Event: lamp;id=3")) == 403
    watching.policy.refusal = Refusal(status=401)
    assert status_of(watching.ask()) == 401
    watching.policy.refusal = None
    watching.policy.watcher = lambda asked, source: "mallory"  # type: ignore[method-assign]
    assert status_of(watching.ask()) == 403
    assert watching.there


def test_what_another_host_has_got_refused_does_not_count_in_the_order() -> None:
    watching = Watching()
    watching.answer(watching.begin())
    watching.policy.refusal = Refusal(status=401)
    data = request("SUBSCRIBE", headers=["Event: lamp", "Contact: <sip:a@192.0.2.66>"], to_tag=watching.to_tag, cseq=9)
    watching.stage.receive(data, host="192.0.2.66")
    assert status_of(watching.take()) == 401
    watching.policy.refusal = None
    assert len(watching.ask()) == 2
    assert watching.cseq < 9


def test_a_subscriber_that_has_moved_is_told_where_it_is() -> None:
    watching = Watching()
    watching.answer(watching.begin())
    data = request(
        "SUBSCRIBE",
        headers=["Event: lamp", "Contact: <sip:alice@192.0.2.66>"],
        to_tag=watching.to_tag,
        cseq=9,
        via="SIP/2.0/UDP 192.0.2.66:5066;branch=z9hG4bKm",
    )
    watching.stage.receive(data, host="192.0.2.66", port=5066)
    assert watching.wire.targets() == [("192.0.2.66", 5066)] * 2


def test_unsubscribing_gets_a_last_notify() -> None:
    watching = Watching()
    watching.answer(watching.begin())
    ok, last = watching.ask("Expires: 0")
    assert isinstance(ok, Response) and ok.status == 200
    assert state_of(last) == ("terminated;reason=timeout", "1 off")
    assert status_of(watching.ask()) == 481  # nothing is left to be refreshed
    watching.answer(last)  # type: ignore[arg-type]
    assert watching.is_over()


def test_after_its_end_there_is_no_dialog() -> None:
    watching = Watching()
    watching.answer(watching.begin(), 481)
    assert status_of(watching.ask()) == 481


def test_other_methods_are_not_served_in_its_dialog() -> None:
    watching = Watching()
    watching.answer(watching.begin())
    for method in ("BYE", "INFO", "INVITE"):
        watching.branches += 1
        watching.cseq += 1
        branch = f"z9hG4bKx{watching.branches}"
        watching.stage.receive(request(method, to_tag=watching.to_tag, cseq=watching.cseq, branch=branch))
        assert [a.status for a in watching.take() if isinstance(a, Response)] == [501]
    watching.stage.receive(request("ACK", to_tag=watching.to_tag, cseq=watching.cseq))
    assert watching.there


# ---- RFC 6665 §4.2.2: NOTIFY


@pytest.mark.parametrize("before", [["on"], ["on", "red"]])
def test_one_notify_at_a_time_and_the_newest_state(before: list[str]) -> None:
    watching = Watching()
    first = watching.begin()
    assert [watching.change(word) for word in [*before, "blue"]] == [[]] * (len(before) + 1)
    [second] = watching.answer(first)
    assert state_of(second) == ("active;expires=3600", "1 blue")
    assert isinstance(second, Request) and second.cseq == first.cseq + 1
    assert watching.answer(second) == []
    [third] = watching.change("off")
    assert state_of(third)[1] == "2 off"


def test_a_refresh_while_a_notify_is_under_way_gets_the_next_one() -> None:
    watching = Watching()
    first = watching.begin()
    assert status_of(watching.ask()) == 200
    [second] = watching.answer(first)
    assert state_of(second)[1] == "1 off"
    assert isinstance(second, Request)
    watching.change("red")
    assert status_of(watching.ask()) == 200
    assert len(watching.answer(second)) == 1


@pytest.mark.parametrize("behind", [False, True])
def test_the_end_waits_for_the_notify_under_way(behind: bool) -> None:
    watching = Watching()
    first = watching.begin()
    if behind:
        watching.change("red")
    assert status_of(watching.ask("Expires: 0")) == 200
    assert watching.change("blue") == []
    watching.notifier.end_all()  # it has its reason
    [last] = watching.answer(first)
    assert state_of(last) == ("terminated;reason=timeout", "1 blue")
    assert watching.change("red") == []
    watching.notifier.end_all()
    watching.answer(last)  # type: ignore[arg-type]
    assert watching.is_over()


@pytest.mark.parametrize("state", ["telling", "behind", "closing", "leaving"])
@pytest.mark.parametrize("status", [481, 489, 404, 401, 408])
def test_a_refusal_ends_it(state: str, status: int) -> None:
    watching = Watching()
    notify = in_state(watching, state)
    assert watching.answer(notify, status) == []
    assert watching.is_over()


@pytest.mark.parametrize("state", ["telling", "behind", "closing", "leaving"])
def test_no_answer_in_32_s_ends_it(state: str) -> None:
    watching = Watching()
    in_state(watching, state)
    watching.stage.run(31)
    assert len(watching.notifier) == 1
    watching.stage.run(2)
    assert len(watching.notifier) == 0
    watching.take()
    assert watching.is_over()


@pytest.mark.parametrize("state", ["closing", "leaving"])
def test_one_that_ends_waits_for_no_better_time(state: str) -> None:
    watching = Watching()
    notify = in_state(watching, state)
    assert watching.answer(notify, 503, "Retry-After: 5") == []
    assert watching.is_over()


def in_state(watching: Watching, state: str) -> Request:
    """Lead a subscription into a state; its NOTIFY that is under way."""
    notify = watching.begin()
    if state == "behind":
        watching.change("red")
    elif state == "closing":
        watching.ask("Expires: 0")
    elif state == "leaving":
        watching.answer(notify)
        last = watching.ask("Expires: 0")[1]
        assert isinstance(last, Request)
        return last
    return notify


@pytest.mark.parametrize(
    ("status", "headers", "pause"),
    [
        (503, ["Retry-After: 7"], 7),
        (480, ["Retry-After: 7"], 7),
        (503, [], 30),
        (500, [], 30),
        (503, ["Retry-After: 90000"], 600),
    ],
)
@pytest.mark.parametrize("behind", [False, True])
def test_what_cannot_be_taken_now_is_repeated_later(status: int, headers: list[str], pause: int, behind: bool) -> None:
    watching = Watching("tcp")
    first = watching.begin()
    if behind:
        watching.change("red")
    assert watching.answer(first, status, *headers) == []
    assert watching.change("on") == []
    watching.stage.run(pause - 0.5)
    assert watching.take() == []
    watching.stage.run(1)
    [second] = watching.take()
    assert state_of(second)[1] == "1 on"
    watching.answer(second)  # type: ignore[arg-type]
    watching.stage.run(700)
    assert watching.take() == [] and watching.there


def test_one_that_can_never_take_any_is_given_up() -> None:
    watching = Watching("tcp")
    notify = watching.begin()
    for _ in range(3):
        assert watching.answer(notify, 503) == []
        watching.stage.run(31)
        [again] = watching.take()
        assert isinstance(again, Request)
        notify = again
    assert watching.answer(notify, 503) == []
    assert watching.is_over()


def test_one_that_was_taken_begins_the_count_anew() -> None:
    watching = Watching("tcp")
    notify = watching.begin()
    for _ in range(5):
        watching.answer(notify, 503)
        watching.stage.run(31)
        [again] = watching.take()
        watching.answer(again)  # type: ignore[arg-type]
        [changed] = watching.change("x")
        assert isinstance(changed, Request)
        notify = changed
    assert watching.there


def test_a_refresh_ends_the_pause() -> None:
    watching = Watching()
    watching.answer(watching.begin(), 503, "Retry-After: 500")
    _, notify = watching.ask()
    assert state_of(notify)[1] == "1 off"
    watching.answer(notify)  # type: ignore[arg-type]
    watching.stage.run(600)
    assert watching.take() == [] and watching.there


def test_unsubscribing_in_a_pause_is_told_at_once() -> None:
    watching = Watching()
    watching.answer(watching.begin(), 503)
    _, last = watching.ask("Expires: 0")
    assert state_of(last)[0] == "terminated;reason=timeout"
    watching.answer(last)  # type: ignore[arg-type]
    assert watching.is_over()


@pytest.mark.parametrize("state", ["told", "telling"])
def test_what_is_there_no_more_is_told_as_such(state: str) -> None:
    watching = Watching()
    notify = watching.begin()
    if state == "told":
        watching.answer(notify)
    del watching.lamp.words["bob"]
    watching.notifier.changed("lamp", "bob")
    [last] = watching.take() if state == "told" else watching.answer(notify)
    assert state_of(last) == ("terminated;reason=noresource", "")
    assert "Content-Type" not in last.first
    watching.answer(last)  # type: ignore[arg-type]
    assert watching.is_over()


def test_changes_of_others_are_not_told() -> None:
    watching = Watching()
    watching.answer(watching.begin())
    watching.notifier.changed("lamp", "carol")
    assert watching.take() == []


def test_all_end_with_their_node() -> None:
    watching = Watching()
    watching.answer(watching.begin())
    watching.notifier.end_all()
    [last] = watching.take()
    assert state_of(last)[0] == "terminated;reason=probation;retry-after=20"


@pytest.mark.parametrize("who_is_asked", [{}, {"watcher": "alice"}, {"key": "bob"}])
def test_a_subscriber_that_may_know_no_longer_is_told_no_more(who_is_asked: dict[str, str]) -> None:
    watching = Watching()
    watching.answer(watching.begin())
    for who in ({}, {"watcher": "alice"}, {"key": "bob"}, {"watcher": "carol", "key": "carol"}):
        watching.notifier.review(**who)  # type: ignore[arg-type]
    assert watching.take() == []
    watching.policy.known = set()
    watching.notifier.review("carol", "carol")
    assert watching.take() == []
    watching.notifier.review(**who_is_asked)  # type: ignore[arg-type]
    [last] = watching.take()
    assert state_of(last)[0] == "terminated;reason=noresource" and last.body == b""
    watching.answer(last)  # type: ignore[arg-type]
    assert watching.is_over()


# ---- where they go (RFC 5626 §5.3, RFC 3581)


def test_a_notify_goes_back_the_way_the_subscribe_came() -> None:
    watching = Watching()
    for contact in ("<sip:a@10.0.0.9:5099>", "<sip:a@x7g2.invalid;transport=ws>", "<sip:a@192.0.2.88>"):
        watching.to_tag = ""
        data = request(
            "SUBSCRIBE",
            headers=["Event: lamp", f"Contact: {contact}"],
            call_id=contact[5:],
            branch=f"z9hG4bK{len(contact)}",
            parameters=";rport",
        )
        watching.stage.receive(data, port=40000)
        assert watching.wire.targets() == [(PEER, 40000)] * 2
        _, notify = watching.take()
        assert isinstance(notify, Request) and f"<{notify.uri_text}>" == contact


def test_without_its_connection_it_is_over() -> None:
    watching = Watching("tcp")
    watching.answer(watching.begin())
    watching.wire.connected = lambda flow: False  # type: ignore[method-assign]
    assert watching.change("on") == []
    assert watching.is_over()
    watching = Watching("tcp")
    watching.answer(watching.begin())
    watching.wire.connected = lambda flow: False  # type: ignore[method-assign]
    watching.notifier.end_all()
    assert watching.take() == [] and watching.is_over()
    watching = Watching("tcp")
    notify = watching.begin()
    watching.change("on")
    watching.wire.connected = lambda flow: False  # type: ignore[method-assign]
    watching.answer(notify)
    assert watching.is_over()


def test_a_connection_that_is_lost_ends_what_is_under_way() -> None:
    watching = Watching("tcp")
    watching.begin()
    watching.stage.endpoint.failed(Flow(watching.wire, PEER, 5060), None, "reset", watching.stage.now)
    assert watching.is_over()


class Elsewhere(Everybody):
    """192.0.2.99 is a provider's address."""

    def reserved(self, host: str, source: str) -> bool:
        return host == "192.0.2.99"


class Phones(Everybody):
    """Who has logged in, and is no machine of the operator's."""

    def declared(self, host: str) -> bool:
        return False


@pytest.mark.parametrize(
    "headers",
    [
        ("Record-Route: <sip:203.0.113.66;lr>",),
        ("Record-Route: <sip:victim.example;lr>", "Record-Route: <sip:192.0.2.9;lr>"),
        ("Via: SIP/2.0/UDP 203.0.113.66;branch=z9hG4bKdeep",),
        ("Contact: <sip:alice@203.0.113.66>",),
    ],
)
def test_a_phone_has_nobody_else_notified(headers: tuple[str, ...]) -> None:
    """Whoever is named is not asked: NOTIFY goes to where the SUBSCRIBE came from."""
    watching = Watching()
    stage = watching.stage
    stage.endpoint.peers = Phones()
    stage.endpoint.locate = lambda uri, done: done([Flow(stage.udp, "203.0.113.66", 5060)])
    hosts: list[str] = []
    send = stage.udp.send
    stage.udp.send = lambda data, flow: (hosts.append(flow.host), send(data, flow))[1]  # type: ignore[method-assign,func-returns-value]
    watching.answer(watching.begin(*headers))
    assert len(watching.change("on")) == 1
    assert hosts == [PEER] * 3


@pytest.mark.parametrize("state", ["telling", "behind", "closing", "leaving"])
def test_a_route_that_turns_out_to_be_a_providers_is_not_taken(state: str) -> None:
    watching = Watching()
    stage = watching.stage
    stage.endpoint.peers = Elsewhere()
    waiting: list[Located] = []
    notify = None
    if state == "leaving":
        notify = watching.begin("Record-Route: <sip:proxy.example.com;lr>")
    stage.endpoint.locate = lambda uri, done: waiting.append(done)
    if notify is None:
        watching.ask("Record-Route: <sip:proxy.example.com;lr>")
        watching.to_tag = next(iter(watching.notifier)).dialog.local_tag
        watching.subscriptions = list(watching.notifier)
    else:
        watching.answer(notify)
    if state == "behind":
        watching.change("on")
    elif state in ("closing", "leaving"):
        assert len(watching.ask("Expires: 0")) == 1
    assert [subscription.state for subscription in watching.subscriptions] == [state]
    [located] = waiting
    located([Flow(stage.udp, "192.0.2.99", 5060)])
    assert watching.take() == [] and watching.is_over()
    located([Flow(stage.udp, PEER, 5060)])  # a late answer finds nothing
    assert watching.take() == []


def test_what_is_another_thing_under_its_old_name_is_asked_for_anew() -> None:
    watching = Watching()
    watching.answer(watching.begin())
    watching.policy.resource = lambda watcher, package, uri: Resource("other", "sip:bob@x")  # type: ignore[method-assign]
    watching.notifier.review("alice")
    [last] = watching.take()
    assert state_of(last) == ("terminated;reason=deactivated", "")

"""PUBLISH, as the event state compositor takes it (RFC 3903 §6)."""

from engine.sip.flow import Flow
from engine.sip.message.grammar import ParseError
from engine.sip.message.message import Request, Response
from engine.sip.message.uri import SipUri
from engine.sip.publication import MAX_BODY, Publications
from engine.sip.stateless import Refusal
from tests.simulation.stage import Stage, request


class Publishing:
    """A stage that takes publications, and a device that makes them."""

    def __init__(self) -> None:
        self.stage = Stage()
        self.told: list[str] = []
        self.refusal: Refusal | None = None
        self.who = "alice"
        self.publications: Publications[str] = Publications(
            self.stage.endpoint, self, event="mood", content_type="text/mood", read=self.read, changed=self.told.append
        )
        self.stage.endpoint.handle("PUBLISH", self.publications.publish)
        self.sent = 0

    @staticmethod
    def read(body: bytes) -> str:
        if b"<" in body:
            raise ParseError("no mood")
        return body.decode()

    def watcher(self, asked: Request, source: Flow) -> str | Refusal:
        return self.refusal or self.who

    def publishes(self, publisher: str, uri: SipUri) -> bool:
        return uri.user_text == publisher

    def publish(self, body: str = "", *headers: str, uri: str = "sip:alice@192.0.2.250") -> Response:
        self.sent += 1
        lines = list(headers)
        if not any(line.startswith("Event") for line in lines):
            lines.append("Event: mood")
        if body and not any(line.startswith("Content-Type") for line in lines):
            lines.append("Content-Type: text/mood;charset=utf-8")
        data = request("PUBLISH", uri, lines, body.encode(), branch=f"z9hG4bKp{self.sent}", cseq=self.sent)
        [answer] = self.stage.ask(data)
        return answer

    @property
    def states(self) -> list[str]:
        return self.publications.states("alice")


def test_initial_refresh_modify_remove() -> None:  # RFC 3903 §4.1, table 1
    device = Publishing()
    initial = device.publish("glad", "Expires: 300")
    assert (initial.status, initial.get("Expires")) == (200, "300") and initial.get("SIP-ETag")
    assert device.states == ["glad"]
    refreshed = device.publish("", f"SIP-If-Match: {initial.get('SIP-ETag')}")
    assert (refreshed.status, refreshed.get("Expires")) == (200, "3600")
    assert refreshed.get("SIP-ETag") != initial.get("SIP-ETag")
    assert device.states == ["glad"] and device.told == ["alice"]
    modified = device.publish("sad", f"SIP-If-Match: {refreshed.get('SIP-ETag')}")
    assert modified.status == 200 and device.states == ["sad"] and device.told == ["alice"] * 2
    removed = device.publish("", f"SIP-If-Match: {modified.get('SIP-ETag')}", "Expires: 0")
    assert (removed.status, removed.get("Expires")) == (200, "0")
    assert device.states == [] and device.told == ["alice"] * 3
    assert len(device.publications) == 0
    device.stage.run(40)
    assert device.stage.left == {}


def test_an_entity_tag_is_good_once_and_for_its_owner() -> None:
    device = Publishing()
    tag = device.publish("glad").get("SIP-ETag")
    assert device.publish("", "SIP-If-Match: other").status == 412
    device.who = "bob"
    assert device.publish("", f"SIP-If-Match: {tag}", uri="sip:bob@192.0.2.250").status == 412
    device.who = "alice"
    assert device.publish("", f"SIP-If-Match: {tag}").status == 200
    assert device.publish("", f"SIP-If-Match: {tag}").status == 412
    assert device.states == ["glad"]


def test_it_expires() -> None:
    device = Publishing()
    device.publish("glad", "Expires: 60")
    tag = device.publish("calm", "Expires: 90").get("SIP-ETag")
    assert device.states == ["glad", "calm"]
    device.stage.run(61)
    assert device.states == ["calm"]
    device.publish("", f"SIP-If-Match: {tag}", "Expires: 90")
    device.stage.run(60)
    assert device.states == ["calm"]
    device.stage.run(31)
    assert device.states == [] and device.told == ["alice"] * 4


def test_the_one_that_spoke_last_stands_at_the_end() -> None:
    device = Publishing()
    tag = device.publish("glad").get("SIP-ETag")
    device.publish("calm")
    device.publish("sad", f"SIP-If-Match: {tag}")
    assert device.states == ["calm", "sad"]


def test_what_cannot_be_served_is_refused() -> None:
    device = Publishing()
    other = device.publish("glad", "Event: presence")
    assert (other.status, other.get("Allow-Events")) == (489, "mood")
    brief = device.publish("glad", "Expires: 59")
    assert (brief.status, brief.get("Min-Expires")) == (423, "60")
    assert device.publish("x" * (MAX_BODY + 1)).status == 413
    typed = device.publish("glad", "Content-Type: text/plain")
    assert (typed.status, typed.get("Accept")) == (415, "text/mood")
    assert device.publish("<").status == 400
    assert device.publish("").status == 400
    assert device.publish("glad", uri="sip:bob@192.0.2.250").status == 403
    assert device.publish("glad", uri="tel:+15551234567").status == 403
    device.refusal = Refusal(status=401)
    assert device.publish("glad").status == 401
    assert device.states == [] and device.told == [] and len(device.publications) == 0


def test_to_take_back_what_was_never_published_is_no_fault() -> None:  # pjsua2 does, when it starts and when it ends
    device = Publishing()
    assert device.publish("", "Expires: 0").status == 200
    assert device.states == [] and len(device.publications) == 0


def test_a_broken_modification_leaves_what_was() -> None:
    device = Publishing()
    tag = device.publish("glad").get("SIP-ETag")
    assert device.publish("<", f"SIP-If-Match: {tag}").status == 400
    assert device.publish("", f"SIP-If-Match: {tag}").status == 200
    assert device.states == ["glad"]


def test_a_publisher_has_as_many_as_devices_and_the_oldest_goes() -> None:
    device = Publishing()
    for number in range(10):
        assert device.publish(f"{number}").status == 200
    assert device.states == [f"{number}" for number in range(2, 10)]
    assert len(device.publications) == 8

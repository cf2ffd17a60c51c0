"""Events of phones at a whole node: who may subscribe to what, and what it is told (RFC 6665, 3842, 4235, 3856)."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import UUID
from xml.etree import ElementTree

import pytest

from engine.sip.auth.digest import ha1_of_each
from engine.sip.binding import Binding
from engine.sip.message.message import Request, Response
from routing.directory.extensions import ExtensionRow
from routing.identifiers import NIL
from routing.mailboxes import MailboxKey, MessageCount
from tests.simulation.node import ENGINE, Phone, World, configured

PASSWORD = "a long s3cret"
EXTENSIONS = [{"name": name, "password": PASSWORD, "display_name": name.title()} for name in ("alice", "bob", "carol")]
DIALOG_INFO = "{urn:ietf:params:xml:ns:dialog-info}"
PIDF = "{urn:ietf:params:xml:ns:pidf}"
RPID = "{urn:ietf:params:xml:ns:pidf:rpid}"


class Watcher(Phone):
    """A phone of an extension that subscribes and publishes."""

    def __init__(self, world: World, name: str, host: str) -> None:
        super().__init__(world.network, host)
        self.world, self.name = world, name

    def log_in(self, method: str, uri: str, headers: str, body: bytes = b"", password: str = PASSWORD) -> Response:
        """A request that is challenged, and sent again with credentials; its final response."""
        tag = self.remote_tag
        self.request(method, headers, body, uri=uri)
        challenge = self.final(method)
        self.remote_tag = tag  # a refusal makes no dialog
        if challenge.status != 401:
            return challenge
        self.heard = []
        shown = self.credentials(challenge, method, uri, self.name, password, body)
        self.request(method, headers + shown, body, uri=uri)
        self.world.wait()
        response = self.final(method)
        self.remote_tag = tag
        return response

    def subscribe(self, event: str, to: str, headers: str = "Expires: 600\r\n", **more: Any) -> Response:
        lines = f"Event: {event}\r\nContact: {self.contact}\r\n{headers}"
        response = self.log_in("SUBSCRIBE", f"sip:{to}@{ENGINE}", lines, **more)
        if response.status == 200:
            self.remote_tag = response.to_tag
        return response

    def told(self) -> Request:
        """The one NOTIFY that came since the last time; it is answered."""
        self.world.wait()
        [notify] = self.requests("NOTIFY")
        self.heard = []
        self.answer(notify, 200)
        return notify

    def again(self) -> "Watcher":
        """Ready for another subscription."""
        self.remote_tag, self.call_id, self.tag = "", self.call_id + "+", self.tag + "1"
        return self


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    world = World(monkeypatch, configured(extensions=EXTENSIONS))
    yield world
    world.close()


def dialogs(notify: Request) -> list[dict[str, Any]]:
    """What a dialog-info says, after what has to be in every one."""
    assert notify.get("Content-Type") == "application/dialog-info+xml"
    tree = ElementTree.fromstring(notify.body)
    assert tree.get("state") == "full" and tree.get("entity", "").startswith("sip:")
    found = []
    for dialog in tree.findall(f"{DIALOG_INFO}dialog"):
        identity = dialog.find(f"{DIALOG_INFO}remote/{DIALOG_INFO}identity")
        found.append(
            {
                **dialog.attrib,
                "state": dialog.findtext(f"{DIALOG_INFO}state"),
                "remote": None if identity is None else (identity.text, identity.get("display")),
            }
        )
    return found


def presence(notify: Request) -> tuple[str | None, list[str], str | None]:
    """Basic status, activities and note of a PIDF document."""
    assert notify.get("Content-Type") == "application/pidf+xml"
    tree = ElementTree.fromstring(notify.body)
    activities = [child.tag.removeprefix(RPID) for element in tree.iter(f"{RPID}activities") for child in element]
    return tree.findtext(f".//{PIDF}basic"), activities, tree.findtext(f".//{PIDF}note")


def binding(name: str) -> Binding:
    return Binding(id=name, contact=f"<sip:{name}@192.0.2.77>", expires_at=1e12)


# ---- who may


def test_who_has_not_logged_in_is_challenged_and_who_cannot_is_refused(world: World) -> None:
    phone = Watcher(world, "alice", "192.0.2.11")
    phone.request("SUBSCRIBE", f"Event: dialog\r\nContact: {phone.contact}\r\n", uri=f"sip:bob@{ENGINE}")
    assert phone.final("SUBSCRIBE").status == 401
    assert phone.again().subscribe("dialog", "bob", password="wrong").status == 403
    assert Watcher(world, "nobody", "192.0.2.12").subscribe("dialog", "bob").status == 403
    assert world.node.phone_events.counts() == {"message-summary": 0, "dialog": 0, "presence": 0}


def test_what_others_have_looks_like_what_does_not_exist(world: World) -> None:
    directory = world.node.directory
    carol = directory.extension("carol")
    assert carol is not None
    directory.put_extension(replace(carol, customer_id=UUID(int=7)))
    phone = Watcher(world, "alice", "192.0.2.11")
    for event in ("dialog", "presence"):
        for name in ("carol", "nobody"):
            assert phone.again().subscribe(event, name).status == 404
        assert phone.again().subscribe(event, "bob").status == 200
        phone.told()
    for name in ("bob", "carol", "nobody"):
        assert phone.again().subscribe("message-summary", name).status == 404
    assert phone.again().subscribe("message-summary", "alice").status == 200


def test_an_unknown_event_is_told_the_known_ones(world: World) -> None:
    response = Watcher(world, "alice", "192.0.2.11").subscribe("conference", "alice")
    assert (response.status, response.get("Allow-Events")) == (489, "message-summary, dialog, presence")


def test_an_extension_that_goes_is_told_as_such(world: World) -> None:
    phone = Watcher(world, "alice", "192.0.2.11")
    phone.subscribe("dialog", "bob")
    phone.told()
    bob = world.node.directory.extension("bob")
    assert bob is not None
    world.node.directory.remove_extension(bob.id)
    world.node.phone_events.extension_changed("bob", bob.id)
    assert phone.told().get("Subscription-State") == "terminated;reason=noresource"
    alice = world.node.directory.extension("alice")
    assert alice is not None
    world.node.phone_events.extension_changed("alice", alice.id)
    world.wait()
    assert phone.requests("NOTIFY") == []


def test_the_node_tells_its_end(world: World) -> None:
    phone = Watcher(world, "alice", "192.0.2.11")
    phone.subscribe("presence", "bob")
    phone.told()
    world.node.phone_events.end()
    assert phone.told().get("Subscription-State").startswith("terminated;reason=probation;retry-after=")
    assert world.node.phone_events.counts()["presence"] == 0


# ---- message-summary (RFC 3842)


def test_messages_that_wait_are_told_and_told_again(world: World) -> None:
    phone = Watcher(world, "alice", "192.0.2.11")
    response = phone.subscribe("message-summary", "alice", "Accept: application/simple-message-summary\r\n")
    assert response.get("Expires") == "3600"
    first = phone.told()
    assert first.body.decode() == (
        f"Messages-Waiting: no\r\nMessage-Account: sip:alice@{ENGINE}\r\nVoice-Message: 0/0 (0/0)\r\n"
    )
    alice = world.node.directory.extension("alice")
    assert alice is not None
    world.node.mailboxes.put(MailboxKey.of(alice), MessageCount(2, 8))
    second = phone.told()
    assert second.body.startswith(b"Messages-Waiting: yes\r\n") and b"Voice-Message: 2/8 (0/0)\r\n" in second.body
    world.node.mailboxes.put(MailboxKey.of(alice), MessageCount(2, 8))
    world.node.mailboxes.put(MailboxKey(NIL, "other"), MessageCount(1, 0))
    world.wait()
    assert phone.requests("NOTIFY") == []
    world.node.mailboxes.replace([(MailboxKey(NIL, "other"), MessageCount(3, 0))])
    assert b"Voice-Message: 0/0" in phone.told().body
    assert len(world.node.mailboxes) == 1


# ---- presence (RFC 3856, RFC 3863)


def test_presence_follows_the_registration_and_the_calls(world: World) -> None:
    phone, node = Watcher(world, "alice", "192.0.2.11"), world.node
    phone.subscribe("presence", "bob", "Accept: application/pidf+xml, application/xpidf+xml\r\n")
    assert presence(phone.told()) == ("closed", [], None)
    there = binding("bob")
    node.location.add("bob", there)
    assert presence(phone.told()) == ("open", [], None)
    dialog = node.flows.calls.phone_dialogs.begin("bob", "recipient", "early", "alice")
    assert presence(phone.told()) == ("open", ["on-the-phone"], "On the phone")
    node.flows.calls.phone_dialogs.end(dialog)
    assert presence(phone.told()) == ("open", [], None)
    node.location.remove("bob", there)
    assert presence(phone.told()) == ("closed", [], None)


def pidf(basic: str = "open", activity: str = "", note: str = "") -> bytes:
    person = f"<dm:person id='p'><r:activities><r:{activity}/></r:activities></dm:person>" if activity else ""
    return (
        "<?xml version='1.0'?><presence xmlns='urn:ietf:params:xml:ns:pidf' "
        "xmlns:dm='urn:ietf:params:xml:ns:pidf:data-model' xmlns:r='urn:ietf:params:xml:ns:pidf:rpid' "
        f"entity='sip:bob@x'><tuple id='t'><status><basic>{basic}</basic></status>"
        f"{f'<note>{note}</note>' if note else ''}</tuple>{person}</presence>"
    ).encode()


KIND = "Event: presence\r\nContent-Type: application/pidf+xml\r\n"


def test_what_a_phone_publishes_is_folded_in(world: World) -> None:
    phone, bob = Watcher(world, "alice", "192.0.2.11"), Watcher(world, "bob", "192.0.2.12")
    world.node.location.add("bob", binding("bob"))
    phone.subscribe("presence", "bob")
    phone.told()
    uri = f"sip:bob@{ENGINE}"
    response = bob.log_in("PUBLISH", uri, KIND, pidf("open", "meeting", "at &lt;home&gt; &amp; away"))
    assert response.status == 200
    assert presence(phone.told()) == ("open", ["meeting"], "at <home> & away")
    dialog = world.node.flows.calls.phone_dialogs.begin("bob", "initiator", "trying", "alice")
    assert presence(phone.told()) == ("open", ["on-the-phone"], "at <home> & away")
    world.node.flows.calls.phone_dialogs.end(dialog)
    phone.told()
    match = f"SIP-If-Match: {response.get('SIP-ETag')}\r\n"
    response = bob.log_in("PUBLISH", uri, KIND + match, pidf("closed"))
    assert presence(phone.told()) == ("closed", [], None)
    match = f"SIP-If-Match: {response.get('SIP-ETag')}\r\n"
    assert bob.log_in("PUBLISH", uri, f"Event: presence\r\nExpires: 0\r\n{match}").status == 200
    assert presence(phone.told()) == ("open", [], None)
    assert bob.log_in("PUBLISH", f"sip:alice@{ENGINE}", KIND, pidf()).status == 403


def hand_on(world: World, name: str) -> UUID:
    """Another customer comes to have the name of an extension; the id of the one that is gone. Both changes are taken
    over in one go."""
    directory = world.node.directory
    old = directory.extension(name)
    assert old is not None
    directory.remove_extension(old.id)
    for index, one in enumerate((name, "dave")):
        directory.put_extension(
            ExtensionRow(
                name=one,
                id=UUID(int=90 + index),
                realm=old.realm,
                ha1=ha1_of_each(one, old.realm, PASSWORD),
                customer_id=UUID(int=7),
            )
        )
    return old.id


def test_what_was_published_is_not_said_of_who_has_the_name_next(world: World) -> None:
    bob = Watcher(world, "bob", "192.0.2.12")
    published = bob.log_in("PUBLISH", f"sip:bob@{ENGINE}", KIND, pidf("closed", "meeting", "somebody else's words"))
    assert published.status == 200
    hand_on(world, "bob")
    world.node.location.add("bob", binding("bob"))
    dave = Watcher(world, "dave", "192.0.2.13")
    assert dave.subscribe("presence", "bob").status == 200
    assert presence(dave.told()) == ("open", [], None)
    match = f"SIP-If-Match: {published.get('SIP-ETag')}\r\n"
    assert bob.again().log_in("PUBLISH", f"sip:bob@{ENGINE}", KIND + match, pidf("closed")).status == 412


@pytest.mark.parametrize("event", ["dialog", "presence", "message-summary"])
@pytest.mark.parametrize("any_of_them", [True, False])
def test_who_had_the_name_before_watches_nothing_of_who_has_it_next(
    world: World, event: str, any_of_them: bool
) -> None:
    bob = Watcher(world, "bob", "192.0.2.12")
    assert bob.subscribe(event, "bob").status == 200
    bob.told()
    old = hand_on(world, "bob")
    if any_of_them:
        world.node.phone_events.extensions_changed()
    else:
        world.node.phone_events.extension_changed("bob", old)
    notify = bob.told()
    assert notify.get("Subscription-State").startswith("terminated") and not notify.body
    dialog = world.node.flows.calls.phone_dialogs.begin("bob", "initiator", "trying", "dave")
    world.wait()
    world.node.flows.calls.phone_dialogs.end(dialog)
    assert bob.requests("NOTIFY") == []


def test_a_suspended_extension_is_told_no_more_of_others(world: World) -> None:
    phone = Watcher(world, "alice", "192.0.2.11")
    assert phone.subscribe("dialog", "bob").status == 200
    phone.told()
    alice = world.node.directory.extension("alice")
    assert alice is not None
    world.node.directory.put_extension(replace(alice, active=False))
    world.node.phone_events.extension_changed("alice", alice.id)
    notify = phone.told()
    assert notify.get("Subscription-State").startswith("terminated") and not notify.body


BOMB = b"<!DOCTYPE p [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;&a;'>]>"


@pytest.mark.parametrize(
    "body",
    [
        b"no xml",
        b"<presence xmlns='urn:ietf:params:xml:ns:pidf'>",
        b"<presence/>",
        b"<a xmlns='urn:ietf:params:xml:ns:pidf'/>",
        pidf("perhaps"),
        pidf(note="&b;").replace(b"?>", b"?>" + BOMB),
        pidf().replace(b"?>", b"?><!DOCTYPE presence SYSTEM 'file:///etc/passwd'>"),
        b"<presence xmlns='urn:ietf:params:xml:ns:pidf'>" + b"<a>" * 40 + b"</a>" * 40 + b"</presence>",
        b"<presence xmlns='urn:ietf:params:xml:ns:pidf'>" + b"<a/>" * 600 + b"</presence>",
        b"<?xml version='1.0' encoding='klingon'?>" + pidf().partition(b"?>")[2],
        b"\xff\xfe<\x00",
        pidf(note="\x01"),
    ],
)
def test_what_is_no_presence_is_refused(world: World, body: bytes) -> None:
    bob = Watcher(world, "bob", "192.0.2.12")
    assert bob.log_in("PUBLISH", f"sip:bob@{ENGINE}", KIND, body).status == 400


# ---- dialog (RFC 4235)


def test_a_lamp_sees_a_call_begin_ring_be_answered_and_end(world: World) -> None:
    phone, calls = Watcher(world, "alice", "192.0.2.11"), world.node.flows.calls.phone_dialogs
    phone.subscribe("dialog", "bob", "Accept: application/dialog-info+xml\r\n")
    idle = phone.told()
    assert [dialog["state"] for dialog in dialogs(idle)] == ["terminated"]  # an empty list leaves lamps on
    assert b'version="0"' in idle.body and b'entity="sip:bob@192.0.2.1"' in idle.body
    call = calls.begin("bob", "recipient", "early", "carol", 'Carol "<&>" \x00\udcff')
    ringing = phone.told()
    assert b'version="1"' in ringing.body
    [early] = dialogs(ringing)
    assert (early["state"], early["direction"]) == ("early", "recipient")
    assert early["remote"] == (f"sip:carol@{ENGINE}", 'Carol "<&>" \ufffd\ufffd')
    assert calls.find(early["call-id"], early["local-tag"], early["remote-tag"]) is call
    assert calls.find(early["call-id"], early["remote-tag"], early["local-tag"]) is None
    calls.turn(call, "confirmed")
    [confirmed] = dialogs(phone.told())
    assert confirmed == early | {"state": "confirmed"}
    other = calls.begin("bob", "initiator", "trying", "")
    assert [(one["state"], one["direction"], one["remote"]) for one in dialogs(phone.told())] == [
        ("confirmed", "recipient", early["remote"]),
        ("trying", "initiator", None),
    ]
    calls.end(call)
    assert len(dialogs(phone.told())) == 1
    calls.end(other)
    calls.end(other)
    assert [dialog["state"] for dialog in dialogs(phone.told())] == ["terminated"]
    assert calls.find(early["call-id"], early["local-tag"], early["remote-tag"]) is None
    assert len(calls) == 0


def test_a_call_out_shows_at_its_phone(world: World) -> None:
    phone, bob = Watcher(world, "alice", "192.0.2.11"), Watcher(world, "bob", "192.0.2.12")
    phone.subscribe("dialog", "bob")
    phone.told()
    bob.log_in("INVITE", f"sip:+15551230009@{ENGINE}", f"Contact: {bob.contact}\r\n")
    assert len(world.node.flows.calls.phone_dialogs) == 0
    phone.answer(phone.requests("NOTIFY")[0], 200)
    world.wait()
    notifies = phone.requests("NOTIFY")
    [begun] = dialogs(notifies[0])
    assert (begun["direction"], begun["remote"]) == ("initiator", (f"sip:+15551230009@{ENGINE}", None))
    assert [dialog["state"] for dialog in dialogs(notifies[-1])] == ["terminated"]

"""What a REGISTER does, row by row: RFC 3261 §10.3, with Path, outbound, GRUU and sips."""

from itertools import count
from typing import Any, NamedTuple

import pytest

from engine.sip.binding import Binding
from engine.sip.flow import Flow
from engine.sip.message.message import Request
from engine.sip.message.parsing import BadMessage, parse
from engine.sip.registrar import Outcome, RegistrarPolicy, Registration, register
from routing.location import Location
from tests.simulation.stage import PEER, Wire

UDP, TCP = Wire(), Wire("tcp", reliable=True)
ONE, TWO = "<sip:alice@192.0.2.7:5060>", "<sip:alice@192.0.2.8:5060>"
UUID_A, UUID_B = '+sip.instance="<urn:uuid:a>"', '+sip.instance="<urn:uuid:b>"'
DATE = "Tue, 01 Dec 2026 00:00:00 GMT"


class Registry:
    """One address-of-record, and who registers there."""

    def __init__(self, max_contacts: int = 10, **policy: int) -> None:
        self.location = Location()
        self.policy = RegistrarPolicy(**policy)
        self.max_contacts = max_contacts
        self.now = 1000.0
        self.ids = count(1)
        self.cseq = count(1)
        self.events: list[str] = []
        self.location.observers.append(lambda change: self.events.append(change.event))

    def send(
        self,
        *contacts: str,
        headers: str = "",
        call_id: str = "c1",
        cseq: int | None = None,
        uri: str = "sip:example.com",
        to: str = "<sip:alice@example.com>",
        via: str = f"SIP/2.0/UDP {PEER}:5060;branch=z9hG4bK1",
        flow: Flow | None = None,
        host: str = PEER,
        user_agent: str = "",
        edge: bool = True,
    ) -> Outcome:
        lines = [f"REGISTER {uri} SIP/2.0", f"Via: {via}", "Max-Forwards: 70", f"To: {to}"]
        lines += ["From: <sip:alice@example.com>;tag=1", f"Call-ID: {call_id}"]
        lines += [f"CSeq: {next(self.cseq) if cseq is None else cseq} REGISTER"]
        lines += [f"Contact: {contact}" for contact in contacts]
        lines += [f"User-Agent: {user_agent}"] if user_agent else []
        try:
            request = parse(("\r\n".join(lines) + f"\r\n{headers}\r\n").encode())
        except BadMessage as error:
            return Outcome(error.status)
        assert isinstance(request, Request)
        self.location.expire_of("alice", self.now)
        given = Registration(
            source=flow or Flow(UDP, PEER, 5060),  # type: ignore[arg-type]
            host=host,
            edge=edge,
            max_contacts=self.max_contacts,
            now=self.now,
            date=DATE,
            new_id=lambda: f"b{next(self.ids)}",
        )
        outcome = register(request, self.location.bindings("alice"), self.policy, given)
        assert outcome.status == 200 or not outcome.changes
        self.location.apply("alice", outcome.changes)
        return outcome

    @property
    def bindings(self) -> list[Binding]:
        return list(self.location.bindings("alice"))

    @property
    def uris(self) -> list[str]:
        return [binding.uri for binding in self.bindings]


def contacts(outcome: Outcome) -> list[str]:
    """The values of Contact in an answer."""
    lines = outcome.headers.split("\r\n")
    return [line.removeprefix("Contact: ") for line in lines if line.startswith("Contact: ")]


# ---- §10.3 steps 6 to 8, as rows: what is there, what comes, what it is answered, what is there then


class Row(NamedTuple):
    name: str
    before: list[str]
    sent: list[str]
    headers: str
    status: int
    after: list[str]


ROWS = [
    Row("no Contact asks what there is, §10.2.3", [ONE], [], "", 200, [ONE]),
    Row("no Contact of nobody, §10.2.3", [], [], "", 200, []),
    Row("a first one", [], [ONE], "", 200, [ONE]),
    Row("a second device", [ONE], [TWO], "", 200, [ONE, TWO]),
    Row("expires=0 ends one, §10.2.2", [ONE, TWO], [f"{ONE};expires=0"], "", 200, [TWO]),
    Row("Expires: 0 ends one, §10.2.2", [ONE, TWO], [ONE], "Expires: 0\r\n", 200, [TWO]),
    Row("the parameter goes before the field, §10.2.1.1", [ONE], [f"{ONE};expires=600"], "Expires: 0\r\n", 200, [ONE]),
    Row("the end of what is not there", [], [f"{ONE};expires=0"], "", 200, []),
    Row("several at once", [], [f"{ONE}, {TWO}"], "", 200, [ONE, TWO]),
    Row("several in two lines", [], [ONE, TWO], "", 200, [ONE, TWO]),
    Row("one comes as another goes", [ONE], [f"{ONE};expires=0, {TWO}"], "", 200, [TWO]),
    Row("all or none: one is too brief", [], [f"{ONE}, {TWO};expires=30"], "", 423, []),
    Row("all or none: one is no SIP URI", [ONE], [f"{ONE};expires=0, <tel:+15551234567>"], "", 400, [ONE]),
    Row("* ends all, step 6", [ONE, TWO], ["*"], "Expires: 0\r\n", 200, []),
    Row("* of nobody", [], ["*"], "Expires: 0\r\n", 200, []),
    Row("* with another expiry, step 6", [ONE], ["*"], "Expires: 60\r\n", 400, [ONE]),
    Row("* without an expiry, step 6", [ONE], ["*"], "", 400, [ONE]),
    Row("* beside another, step 6", [ONE], ["*", TWO], "Expires: 0\r\n", 400, [ONE]),
    Row("* behind another, step 6", [ONE], [TWO, "*"], "Expires: 0\r\n", 400, [ONE]),
    Row("* in a list, step 6", [ONE], [f"{TWO}, *"], "Expires: 0\r\n", 400, [ONE]),
    Row("mailto", [], ["<mailto:alice@example.com>"], "", 400, []),
    Row("tel", [], ["<tel:+15551234567>"], "", 400, []),
    Row("below the minimum, step 7", [ONE], [f"{TWO};expires=59"], "", 423, [ONE]),
    Row("at the minimum", [], [f"{ONE};expires=60"], "", 200, [ONE]),
    Row("a host's case is none, §19.1.4", ["<sip:alice@Phone.example>"], ["<sip:alice@phone.EXAMPLE>"], "", 200, ["-"]),
    Row("a user's case is one, §19.1.4", ["<sip:alice@h>"], ["<sip:Alice@h>"], "", 200, ["<sip:alice@h>", "-"]),
    Row("5060 is not no port, §19.1.4", ["<sip:a@h>"], ["<sip:a@h:5060>"], "", 200, ["<sip:a@h>", "-"]),
    Row("transport tells apart, §19.1.4", ["<sip:a@h>"], ["<sip:a@h;transport=tcp>"], "", 200, ["<sip:a@h>", "-"]),
    Row("other parameters do not, §19.1.4", ["<sip:a@h>"], ["<sip:a@h;ob>"], "", 200, ["-"]),
    Row("escapes are read, §19.1.4", ["<sip:%61lice@h>"], ["<sip:alice@h>"], "", 200, ["-"]),
    Row("header fields tell apart, §19.1.4", ["<sip:a@h?Route=x>"], ["<sip:a@h>"], "", 200, ["<sip:a@h?Route=x>", "-"]),
    Row("without brackets, §20.10", [], ["sip:alice@192.0.2.7:5077;expires=90"], "", 200, ["-"]),
    Row("a contact too long to be kept", [], [f"<sip:{'a' * 1100}@h>"], "", 400, []),
    Row("the longest contact, and one more", ["<sip:%s@h>" % ("a" * 1016)], [f"<sip:{'a' * 1017}@h>"], "", 400, ["-"]),
    Row("as many values as make sense", [], [f"<sip:a@h{place}>;expires=0" for place in range(20)], "", 200, []),
    Row("the same of another instance-less life", [ONE], [f"{ONE};{UUID_A}"], "", 200, ["-"]),
    Row("the same without its instance", [f"{ONE};{UUID_A}"], [ONE], "", 200, ["-"]),
    Row("one that comes and goes at once", [], [f"{ONE}, {ONE};expires=0"], "", 200, []),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_row(row: Row) -> None:
    registry = Registry()
    for contact in row.before:
        assert registry.send(contact, call_id="before").status == 200
    outcome = registry.send(*row.sent, headers=row.headers)
    assert outcome.status == row.status, outcome.cause
    found = [binding.contact for binding in registry.bindings]
    assert [contact if want != "-" else "-" for contact, want in zip(found, row.after, strict=True)] == row.after
    if outcome.status == 200:
        assert len(contacts(outcome)) == len(row.after)


# ---- how long


@pytest.mark.parametrize(
    ("contact", "headers", "granted"),
    [
        (ONE, "", 3600),
        (ONE, "Expires: 600\r\n", 600),
        (f"{ONE};expires=700", "Expires: 600\r\n", 700),
        (f"{ONE};expires=9000", "", 7200),
        (ONE, "Expires: 4294967295\r\n", 7200),
        (f"{ONE};expires=never", "Expires: 600\r\n", 3600),
        (f'{ONE};expires="60"', "", 3600),
        (f"{ONE};expires=99999999999999999999", "", 3600),
        (ONE, "Expires: soon\r\n", 3600),
        (ONE, "Expires: -1\r\n", 3600),
        (ONE, f"Expires: {'9' * 40}\r\n", 3600),
        (ONE, "Expires: 00000000060\r\n", 3600),
        (ONE, "Expires: \u00b2\r\n", 3600),
        (f"{ONE};expires", "Expires: 600\r\n", 3600),
    ],
)
def test_an_expiry_is_granted_within_the_limits_10_2_1_1(contact: str, headers: str, granted: int) -> None:
    registry = Registry()
    assert contacts(registry.send(contact, headers=headers)) == [f"{ONE};expires={granted}"]
    assert registry.bindings[0].expires_at == 1000.0 + granted


@pytest.mark.parametrize("now", [700.1, 4009.95194508998, 259086.73276765316])
def test_never_longer_than_asked_for_whatever_floats_are(now: float) -> None:
    """(700.1 + 3600) - 700.1 is more than 3600."""
    registry = Registry()
    registry.now = now
    assert contacts(registry.send(ONE)) == [f"{ONE};expires=3600"]


def test_too_brief_is_told_what_is_not_10_3() -> None:
    assert Registry(min_expires=300).send(f"{ONE};expires=299").headers == "Min-Expires: 300\r\n"


def test_what_is_over_is_gone() -> None:
    registry = Registry()
    registry.send(f"{ONE};expires=60")
    registry.now += 59.5
    assert contacts(registry.send()) == [f"{ONE};expires=1"]
    registry.now += 0.5
    assert contacts(registry.send()) == []
    assert registry.events == ["registered", "expired"]


# ---- the order of requests, step 7


@pytest.mark.parametrize(
    ("call_id", "cseq", "status"),
    [("c1", 5, 500), ("c1", 4, 500), ("c1", 6, 200), ("c2", 1, 200)],
)
@pytest.mark.parametrize("contact", [ONE, f"{ONE};expires=0", "*"])
def test_of_one_call_id_the_highest_cseq_counts(call_id: str, cseq: int, status: int, contact: str) -> None:
    registry = Registry()
    registry.send(ONE, cseq=5)
    registry.now += 10
    headers = "Expires: 0\r\n" if contact == "*" else ""
    assert registry.send(contact, call_id=call_id, cseq=cseq, headers=headers).status == status
    if status == 500:
        assert registry.bindings[0].expires_at == 4600.0


def test_one_that_comes_late_stops_all_of_its_request() -> None:
    registry = Registry()
    registry.send(ONE, cseq=5)
    assert registry.send(f"{TWO}, {ONE}", cseq=5).status == 500
    assert registry.uris == [ONE.strip("<>")]


# ---- the answer, step 8


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        (f"{ONE};expires=60;q=0.5;{UUID_A}", f"{ONE};expires=60;q=0.5;{UUID_A}"),
        (f"{ONE};q=0.5 ; Expires = 60;x", f"{ONE};q=0.5;expires=60;x"),
        (f'"Al;expires=1 <x>" {ONE};{UUID_A}', f'"Al;expires=1 <x>" {ONE};{UUID_A};expires=3600'),
        ("<sip:a@h;expires=9;ob>;expires=61", "<sip:a@h;expires=9;ob>;expires=61"),
        ("sip:a@h;expires=62", "sip:a@h;expires=62"),
        ("sip:a@h", "sip:a@h;expires=3600"),
        (
            "<sip:x@y.invalid;transport=ws>;+sip.ice;reg-id=1",
            "<sip:x@y.invalid;transport=ws>;+sip.ice;reg-id=1;expires=3600",
        ),
    ],
)
def test_a_contact_is_shown_byte_for_byte(sent: str, shown: str) -> None:
    assert contacts(Registry().send(sent)) == [shown]


def test_the_answer_has_all_that_is_bound_and_the_date() -> None:
    registry = Registry()
    registry.send(f"{ONE};expires=600")
    registry.now += 100
    outcome = registry.send(f"{TWO};expires=60")
    assert contacts(outcome) == [f"{ONE};expires=500", f"{TWO};expires=60"]
    assert f"Date: {DATE}\r\n" in outcome.headers


# ---- which device it is


def test_a_device_that_comes_from_elsewhere_takes_its_own_place() -> None:
    registry = Registry()
    registry.send(f"{ONE};{UUID_A}")
    registry.send(f"{TWO};{UUID_A.replace('uuid:a', 'uuid:A')}", call_id="c2")
    assert registry.uris == [TWO.strip("<>")]
    assert registry.events == ["registered", "registered"]


def test_a_refresh_is_the_same_binding() -> None:
    registry = Registry()
    registry.send(f"{ONE};{UUID_A}")
    (first,) = registry.bindings
    registry.now += 1000
    flow = Flow(TCP, PEER, 1234)  # type: ignore[arg-type]
    registry.send(f"{ONE};expires=90;{UUID_A}", flow=flow)
    (second,) = registry.bindings
    assert second is first
    assert (second.id, second.registered_at, second.expires_at, second.flow) == ("b1", 1000.0, 2090.0, flow)
    assert registry.events == ["registered", "refreshed"]


def test_two_phones_behind_two_nats_can_have_one_address() -> None:
    registry = Registry()
    registry.send(f"{ONE};{UUID_A}")
    registry.send(f"{ONE};{UUID_B}", call_id="c2")
    assert len(registry.bindings) == 2


def test_who_ends_an_old_contact_beside_a_new_one_means_each_by_itself() -> None:
    """As PJSIP does once it has learnt its address."""
    registry = Registry()
    registry.send(f"{ONE};{UUID_A}")
    registry.send(f"{TWO};{UUID_A}, {ONE};{UUID_A};expires=0")
    assert registry.uris == [TWO.strip("<>")]


def test_a_device_may_name_one_contact_twice() -> None:
    registry = Registry()
    assert registry.send(ONE, f"{ONE};expires=90").status == 200
    assert [binding.expires_at for binding in registry.bindings] == [1090.0]


# ---- how many


def test_one_too_many_is_refused_and_changes_nothing() -> None:
    registry = Registry(max_contacts=2)
    registry.send(ONE, TWO)
    outcome = registry.send("<sip:alice@192.0.2.9>")
    assert (outcome.status, outcome.cause) == (403, "more than 2 contacts")
    assert registry.send(f"{ONE};expires=90").status == 200
    assert registry.send(f"{ONE};expires=0, <sip:alice@192.0.2.9>").status == 200
    assert registry.uris == [TWO.strip("<>"), "sip:alice@192.0.2.9"]


def test_a_phone_that_starts_anew_takes_the_place_of_its_former_self() -> None:
    registry = Registry(max_contacts=3)
    for number, agent in enumerate(["A", "B", "A"]):
        registry.send(f"<sip:alice@192.0.2.7:{number}>", user_agent=agent)
        registry.now += 1
    registry.send("<sip:alice@192.0.2.7:9>", user_agent="A")
    assert registry.uris == [f"sip:alice@192.0.2.7:{port}" for port in (1, 2, 9)]
    assert registry.send("<sip:alice@192.0.2.7:10>", user_agent="C").status == 403
    assert registry.send("<sip:alice@192.0.2.7:10>", user_agent="A", host="192.0.2.99").status == 403


def test_hundreds_in_one_request_are_not_looked_at() -> None:
    assert Registry().send(", ".join(f"<sip:a@h{n}>" for n in range(21))).status == 403


def test_who_is_refreshed_gives_no_room() -> None:
    registry = Registry(max_contacts=2)
    registry.send(ONE, TWO, user_agent="A")
    assert registry.send(ONE, TWO, "<sip:alice@192.0.2.9>", user_agent="A").status == 403
    assert registry.uris == [ONE.strip("<>"), TWO.strip("<>")]


def test_a_device_with_an_instance_gives_no_room() -> None:
    registry = Registry(max_contacts=1)
    registry.send(f"{ONE};{UUID_A}", user_agent="A")
    assert registry.send(TWO, user_agent="A").status == 403


def test_what_has_come_and_gone_needs_no_room() -> None:
    registry = Registry(max_contacts=2)
    registry.send(ONE, TWO)
    outcome = registry.send("<sip:a@h3>", "<sip:a@h3>;expires=0", "<sip:a@h4>")
    assert (outcome.status, outcome.cause) == (403, "more than 2 contacts")


def test_the_oldest_gives_room_whatever_its_place() -> None:
    registry = Registry(max_contacts=2)
    for contact in ("<sip:alice@Phone.example>", TWO, "<sip:alice@phone.example>", "<sip:alice@192.0.2.9>"):
        registry.send(contact, user_agent="A")
        registry.now += 1
    assert registry.uris == ["sip:alice@phone.example", "sip:alice@192.0.2.9"]


# ---- Path (RFC 3327)

PATH = "Path: <sip:tok@192.0.2.10;lr;ob>\r\nPath: <sip:192.0.2.11;lr>\r\n"
PROXIED = "SIP/2.0/UDP 192.0.2.10;branch=z9hG4bK2, SIP/2.0/TCP 192.0.2.7;branch=z9hG4bK1"


@pytest.mark.parametrize("supported", ["", "Supported: path\r\n"])
def test_the_path_is_kept_and_shown_to_who_understands_it_3327_5_3(supported: str) -> None:
    registry = Registry()
    outcome = registry.send(ONE, headers=PATH + supported)
    assert registry.bindings[0].path == ("sip:tok@192.0.2.10;lr;ob", "sip:192.0.2.11;lr")
    assert (PATH in outcome.headers) == bool(supported)


@pytest.mark.parametrize(
    "path", ["<sip:192.0.2.10;lr", "<tel:+15551234567>", "nonsense", f"<sip:{'a' * 2029}@192.0.2.10;lr>"]
)
def test_a_path_that_leads_nowhere_is_refused(path: str) -> None:
    assert Registry().send(ONE, headers=f"Path: {path}\r\n").status == 400


def test_the_longest_path() -> None:
    assert Registry().send(ONE, headers=f"Path: <sip:{'a' * 2028}@192.0.2.10;lr>\r\n").status == 200


@pytest.mark.parametrize("edge", [True, False])
def test_an_empty_path_is_none(edge: bool) -> None:
    registry = Registry()
    assert registry.send(ONE, headers="Path:\r\n", edge=edge).status == 200
    assert registry.bindings[0].path == ()


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"<sip:{PEER};lr>, <sip:inner.example.com;lr>", 200),  # a proxy of somebody's, which asks for what comes to it
        (f"<sip:token@{PEER}:5080;lr;ob>", 200),
        ("<sip:192.0.2.99;lr>", 403),
        ("<sip:victim.example.com;lr>", 403),
        (f"<sip:{PEER};maddr=192.0.2.99;lr>", 403),
        (f"<sip:192.0.2.99;lr>, <sip:{PEER};lr>", 403),
    ],
)
def test_nobody_but_a_proxy_of_ours_names_another_as_the_first_hop_3327_7(path: str, status: int) -> None:
    registry = Registry()
    assert registry.send(ONE, headers=f"Path: {path}\r\n", edge=False).status == status
    assert len(registry.bindings) == (status == 200)


# ---- outbound (RFC 5626)

OUTBOUND = "Supported: outbound, path\r\n"


def test_a_device_has_one_binding_for_each_reg_id_5626_6() -> None:
    registry = Registry()
    outcome = registry.send(f"{ONE};reg-id=1;{UUID_A}", headers=OUTBOUND)
    assert "Require: outbound\r\nFlow-Timer: 120\r\n" in outcome.headers
    registry.send(f"{TWO};reg-id=2;{UUID_A}", headers=OUTBOUND)
    registry.send(f"<sip:alice@192.0.2.9>;reg-id=1;{UUID_A}", headers=OUTBOUND, call_id="c2")
    assert [(binding.uri, binding.reg_id) for binding in registry.bindings] == [
        ("sip:alice@192.0.2.9", 1),
        ("sip:alice@192.0.2.8:5060", 2),
    ]


@pytest.mark.parametrize(
    ("headers", "via", "applies", "status"),
    [
        (OUTBOUND, "", True, 200),
        ("", "", False, 200),
        ("Supported: path\r\n", "", False, 200),
        (OUTBOUND, PROXIED, False, 200),
        (OUTBOUND + PATH, PROXIED, True, 200),
        (OUTBOUND + PATH.replace(";ob", ""), PROXIED, False, 200),
        (OUTBOUND + "Require: outbound\r\n", PROXIED, False, 439),
        (OUTBOUND + "Require: path\r\n", PROXIED, False, 200),
        (OUTBOUND + "Require: outbound\r\n", "", True, 200),
    ],
)
def test_outbound_applies_where_both_sides_know_it_5626_6(headers: str, via: str, applies: bool, status: int) -> None:
    registry = Registry()
    given: dict[str, Any] = {"via": via} if via else {}
    outcome = registry.send(f"{ONE};reg-id=1;{UUID_A}", headers=headers, **given)
    assert outcome.status == status
    assert ("Require: outbound" in outcome.headers) == applies
    if status == 200:
        assert registry.bindings[0].reg_id == int(applies)


def test_outbound_is_not_missed_where_no_flow_is_numbered_5626_6() -> None:
    assert Registry().send(ONE, headers=OUTBOUND + "Require: outbound\r\n", via=PROXIED).status == 200


def test_outbound_does_not_apply_to_what_ends_5626_6() -> None:
    registry = Registry()
    registry.send(f"{ONE};reg-id=1;{UUID_A}", headers=OUTBOUND)
    outcome = registry.send(f"{ONE};reg-id=1;{UUID_A};expires=0", headers=OUTBOUND)
    assert outcome.status == 200 and "Require" not in outcome.headers and not registry.bindings


@pytest.mark.parametrize(("text", "number"), [("123456789", 123456789), ("1234567890", 0)])
def test_a_reg_id_is_a_number_of_nine_digits(text: str, number: int) -> None:
    registry = Registry()
    assert registry.send(f"{ONE};{UUID_A};reg-id={text}", headers=OUTBOUND).status == 200
    assert registry.bindings[0].reg_id == number


@pytest.mark.parametrize("contact", [f"{ONE};reg-id=1", f"{ONE};reg-id=x;{UUID_A}", f"{ONE};reg-id=0;{UUID_A}"])
def test_a_reg_id_alone_means_nothing(contact: str) -> None:
    registry = Registry()
    assert "Require" not in registry.send(contact, headers=OUTBOUND).headers
    assert registry.bindings[0].reg_id == 0


def test_a_plain_registration_ends_all_flows_of_its_device() -> None:
    registry = Registry()
    registry.send(f"{ONE};reg-id=1;{UUID_A}", headers=OUTBOUND)
    registry.send(f"{TWO};reg-id=2;{UUID_A}", headers=OUTBOUND)
    registry.send(f"<sip:alice@192.0.2.9>;{UUID_A}")
    assert registry.uris == ["sip:alice@192.0.2.9"]


# ---- GRUU (RFC 5627)


def test_a_device_learns_its_gruu_5627_5_2() -> None:
    registry = Registry()
    registry.send(TWO)
    outcome = registry.send(f"{ONE};{UUID_A}", headers="Supported: gruu\r\n")
    assert contacts(outcome) == [
        f"{TWO};expires=3600",
        f'{ONE};{UUID_A};expires=3600;pub-gruu="sip:alice@example.com;gr=urn:uuid:a"',
    ]
    assert "pub-gruu" not in registry.send(headers="Supported: path\r\n").headers
    assert "pub-gruu" in registry.send(headers="Supported: gruu\r\n").headers


def test_a_gruu_that_a_contact_brings_along_is_not_said_twice() -> None:
    registry = Registry()
    said = registry.send(f'{ONE};{UUID_A};pub-gruu="sip:x@h"', headers="Supported: gruu\r\n").headers
    assert said.count("pub-gruu") == 1


def test_an_instance_injects_nothing_into_its_gruu() -> None:
    outcome = Registry().send(f'{ONE};+sip.instance="<a\\";x=1 \\\\>"', headers="Supported: gruu\r\n")
    assert outcome.headers.partition(";pub-gruu=")[2].startswith('"sip:alice@example.com;gr=a%22%3Bx%3D1%20%5C"\r\n')


# ---- sips (RFC 5630 §5.2)


@pytest.mark.parametrize(
    ("contact", "uri", "path", "status"),
    [
        ("<sips:alice@h>", "sips:example.com", "", 200),
        ("<sips:alice@h>", "sip:example.com", "", 400),
        ("<sips:alice@h>", "sips:example.com", "Path: <sip:192.0.2.10;lr>\r\n", 400),
        ("<sips:alice@h>", "sips:example.com", "Path: <sips:192.0.2.10;lr>\r\n", 200),
        ("<sip:alice@h>", "sips:example.com", "", 200),
    ],
)
def test_a_secure_contact_goes_with_a_secure_way(contact: str, uri: str, path: str, status: int) -> None:
    assert Registry().send(contact, uri=uri, headers=path).status == status


# ---- what is kept


def test_what_a_binding_says() -> None:
    registry = Registry()
    registry.send(f"{ONE};q=0.25;{UUID_A}", user_agent="Phone/1.0", cseq=7, host="198.51.100.1")
    (found,) = registry.bindings
    assert (found.q, found.instance, found.call_id, found.cseq) == (0.25, "<urn:uuid:a>", "c1", 7)
    assert (found.source, found.user_agent, found.flow) == ("198.51.100.1", "Phone/1.0", Flow(UDP, PEER, 5060))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("q", "value"), [("1", 1.0), ("0.7", 0.7), ("0", 0.0), ("1.1", 1.0), ("x", 1.0), ("0.1234", 1.0)]
)
def test_a_preference_is_a_number_up_to_one_20_10(q: str, value: float) -> None:
    registry = Registry()
    registry.send(f"{ONE};q={q}")
    assert registry.bindings[0].q == value


@pytest.mark.parametrize(
    ("via", "contact", "flow", "natted"),
    [
        ("UDP 192.0.2.7:5060", ONE, Flow(UDP, PEER, 5060), False),  # type: ignore[arg-type]
        ("UDP 192.0.2.7", "<sip:alice@192.0.2.7>", Flow(UDP, PEER, 5060), False),  # type: ignore[arg-type]
        ("UDP 10.0.0.9:5060", "<sip:alice@10.0.0.9:5060>", Flow(UDP, PEER, 5060), True),  # type: ignore[arg-type]
        ("UDP 192.0.2.7:5060", ONE, Flow(UDP, PEER, 1024), True),  # type: ignore[arg-type]
        ("UDP 192.0.2.7:5060", "<sip:alice@10.0.0.9:5060>", Flow(UDP, PEER, 5060), True),  # type: ignore[arg-type]
        ("UDP 192.0.2.7:5060", "<sip:alice@x.invalid>", Flow(UDP, PEER, 5060), True),  # type: ignore[arg-type]
        ("UDP [2001:db8::7]:5060", "<sip:a@[2001:db8::7]>", Flow(UDP, "2001:db8::7", 5060), False),  # type: ignore[arg-type]
        ("UDP [2001:db8::7]:99", "<sip:a@[2001:DB8::7]:99>", Flow(UDP, "2001:db8::7", 99), False),  # type: ignore[arg-type]
        ("TCP 10.0.0.9:5060", "<sip:alice@10.0.0.9>", Flow(TCP, PEER, 5060), False),  # type: ignore[arg-type]
    ],
)
def test_a_datagram_from_elsewhere_came_through_a_nat(via: str, contact: str, flow: Flow, natted: bool) -> None:
    registry = Registry()
    registry.send(contact, via=f"SIP/2.0/{via};branch=z9hG4bK1", flow=flow)
    assert registry.bindings[0].natted is natted


def test_behind_a_proxy_a_device_is_behind_no_nat_of_ours() -> None:
    registry = Registry()
    registry.send("<sip:alice@10.0.0.9>", via=PROXIED, headers=PATH)
    assert registry.bindings[0].natted is False


def test_a_call_id_too_long_to_be_kept_is_refused() -> None:
    assert Registry().send(ONE, call_id="c" * 256).status == 200
    assert Registry().send(ONE, call_id="c" * 257).status == 400


@pytest.mark.parametrize(
    ("contact", "uri"),
    [
        ("<sip:a@192.0.2.1;ob>;q=0.5", "sip:a@192.0.2.1;ob"),
        ('"Al" <sip:a@192.0.2.1>', "sip:a@192.0.2.1"),
        ('"<sip:b@h>" <sip:a@192.0.2.1>', "sip:a@192.0.2.1"),
        ("sip:a@192.0.2.1", "sip:a@192.0.2.1"),
        ("sip:a@192.0.2.1;q=0.5", "sip:a@192.0.2.1"),
        ('sip:a@192.0.2.1;x="<sip:b@h>"', "sip:a@192.0.2.1"),
        ("<sip:a@192.0.2.1?Priority=urgent>", "sip:a@192.0.2.1"),
    ],
)
def test_a_binding_has_the_uri_of_its_contact_whatever_stands_around_it(contact: str, uri: str) -> None:
    registry = Registry()
    registry.send(contact)
    assert [binding.uri for binding in registry.bindings] == [uri]

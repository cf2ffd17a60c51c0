"""Transfer within a call: REFER and NOTIFY both ways (RFC 3515), without a subscription (RFC 4488), and refusals."""

from typing import get_args

import pytest

from engine.sip.dialog.refer import (
    OVER,
    REFERRAL,
    SUBSCRIPTION,
    Referral,
    ReferralEnd,
    ReferralEvent,
    ReferralState,
    SubscriptionAction,
    SubscriptionEvent,
    SubscriptionState,
)
from engine.sip.dialog.reference import read_fragment, read_reference
from engine.sip.message.grammar import ParseError
from engine.sip.message.message import Request
from engine.sip.message.parsing import parse
from tests.simulation.peer import nothing_left
from tests.sip.test_session import World

FRAGMENT = "Content-Type: message/sipfrag;version=2.0\r\n"
ACTIVE = "Event: refer\r\nSubscription-State: active;expires=60\r\n"
ENDED = "Event: refer\r\nSubscription-State: terminated;reason=noresource\r\n"
TARGET = "Refer-To: <sip:+15550003333@10.0.0.2>\r\n"


class Asking(World):
    """The peer is asked to call somebody else."""

    def __init__(self, we_call: bool = False, before: str = "") -> None:
        super().__init__(we_call)
        self.told: list[tuple[str, int, str]] = []
        headers = f"Referred-By: <sip:us@10.0.0.2>\r\n{before}"
        referral = self.session.refer("sip:+15550003333@10.0.0.2", headers, self.now, self.tell)
        assert referral is not None
        self.referral = referral
        self.wait()

    def tell(self, referral: Referral) -> None:
        self.told.append((referral.ended, referral.status, referral.reason))

    def notify(self, state: str, body: bytes = b"", kind: str = FRAGMENT) -> int:
        self.peer.request("NOTIFY", state + (kind if body else ""), body)
        self.wait()
        return self.peer.statuses("NOTIFY")[-1]

    def accepted(self, headers: str = "") -> "Asking":
        self.peer.answer(self.last("REFER"), 202, headers)
        self.wait()
        return self


@pytest.fixture(params=[False, True], ids=["they called", "we called"])
def asking(request: pytest.FixtureRequest) -> Asking:
    return Asking(request.param)


# ---- a REFER of ours


def test_a_refer_says_who_and_by_whom_and_where_we_are_rfc_3515_2_1(asking: Asking) -> None:
    refer = asking.last("REFER")
    assert refer.get("Refer-To") == "<sip:+15550003333@10.0.0.2>"
    assert refer.get("Referred-By") == "<sip:us@10.0.0.2>"
    assert refer.get("Contact") and refer.to_tag and refer.get("CSeq").endswith(" REFER")


def test_the_peer_tells_how_it_went_2_4_5(asking: Asking) -> None:
    asking.accepted()
    assert asking.notify(ACTIVE, b"SIP/2.0 100 Trying\r\n") == 200
    assert asking.notify(ACTIVE, b"SIP/2.0 180 Ringing\r\nTo: <sip:x@y>\r\n") == 200
    assert asking.told == [] and asking.referral.state == "heard"
    assert asking.notify(ENDED, b"SIP/2.0 486 Busy Here\r\n") == 200
    assert asking.told == [("told", 486, "Busy Here")]
    assert asking.notify(ENDED, b"SIP/2.0 486 Busy Here\r\n") == 481  # there is no such subscription any more
    asking.session.bye(asking.now)
    asking.wait()
    asking.peer.answer(asking.last("BYE"), 200)
    assert nothing_left(asking.node)


def test_a_notify_may_overtake_the_2xx_rfc_6665_4_1_2_4(asking: Asking) -> None:
    assert asking.notify(ACTIVE, b"SIP/2.0 100 Trying\r\n") == 200
    asking.accepted()
    assert asking.referral.state == "heard"
    asking.notify(ENDED, b"SIP/2.0 200 OK\r\n")
    assert asking.told == [("told", 200, "OK")]


def test_a_final_notify_before_the_2xx_is_reported_once(asking: Asking) -> None:
    asking.notify(ENDED, b"SIP/2.0 200 OK\r\n")
    asking.accepted()
    assert asking.told == [("told", 200, "OK")]


@pytest.mark.parametrize("status", [400, 405, 501, 603])
def test_a_refused_refer_leaves_the_call_as_it_is(asking: Asking, status: int) -> None:
    asking.peer.answer(asking.last("REFER"), status)
    asking.wait()
    assert asking.told == [("refused", status, "X")]
    assert not asking.session.ended


def test_a_peer_that_wants_no_subscription_is_not_waited_for_rfc_4488(asking: Asking) -> None:
    asking.accepted("Refer-Sub: false\r\n")
    assert asking.told == [("accepted", 0, "")]
    assert asking.notify(ACTIVE, b"SIP/2.0 100 Trying\r\n") == 481


def test_a_peer_that_tells_nothing_is_not_waited_for_longer_than_timer_n(asking: Asking) -> None:
    asking.accepted()
    asking.wait(31.5)
    assert asking.told == []
    asking.wait(1)
    assert asking.told == [("accepted", 0, "")]
    assert not asking.session.ended


def test_a_peer_that_rings_for_ever_is_not_waited_for_without_end(asking: Asking) -> None:
    asking.accepted()
    for _ in range(9):
        asking.notify(ACTIVE, b"SIP/2.0 180 Ringing\r\n")
        asking.wait(30)
    assert asking.told == [("accepted", 180, "Ringing")]


def test_a_subscription_that_ends_without_a_status_says_no_more(asking: Asking) -> None:
    asking.accepted()
    assert asking.notify("Event: refer\r\nSubscription-State: terminated;reason=timeout\r\n") == 200
    assert asking.told == [("accepted", 0, "")]


def test_a_provisional_status_of_a_subscription_that_ends_is_no_outcome(asking: Asking) -> None:
    asking.accepted()
    asking.notify(ENDED, b"SIP/2.0 180 Ringing\r\n")
    assert asking.told == [("accepted", 180, "Ringing")]


def test_a_peer_that_hangs_up_is_reported_once(asking: Asking) -> None:
    asking.accepted()
    asking.peer.request("BYE")
    asking.wait()
    assert asking.told == [("accepted", 0, "")]
    assert ("ended", "remote") in asking.owner.events
    assert nothing_left(asking.node)


def test_a_peer_that_does_not_answer_the_refer_is_gone(asking: Asking) -> None:
    asking.wait(40)
    assert asking.told == [("refused", 0, "no answer")]
    assert asking.session.ended


@pytest.mark.parametrize(
    ("headers", "body", "kind", "status"),
    [
        (ACTIVE.replace("refer", "refer;id=7"), b"SIP/2.0 200 OK\r\n", FRAGMENT, 481),
        (ACTIVE.replace("refer", "presence"), b"SIP/2.0 200 OK\r\n", FRAGMENT, 481),
        ("Event: refer\r\n", b"SIP/2.0 200 OK\r\n", FRAGMENT, 400),
        ("Event: refer\r\nSubscription-State: maybe\r\n", b"SIP/2.0 200 OK\r\n", FRAGMENT, 400),
        (ACTIVE, b"SIP/2.0 200 OK\r\n", "Content-Type: text/plain\r\n", 415),
        (ACTIVE, b"SIP/2.0 200 OK\r\n", "Content-Type: message/sipfrag;version=3.0\r\n", 415),
        (ACTIVE, b"INVITE sip:a@b SIP/2.0\r\n", FRAGMENT, 400),
        (ACTIVE, b"SIP/2.0 700 No\r\n", FRAGMENT, 400),
        (ACTIVE, b"SIP/2.0 200 OK\r\n" + b"x" * 9000, FRAGMENT, 400),
        (ACTIVE, b"", FRAGMENT, 415),
    ],
)
def test_a_notify_that_is_wrong_changes_nothing(headers: str, body: bytes, kind: str, status: int) -> None:
    asking = Asking().accepted()
    assert asking.notify(headers, body, kind) == status
    assert asking.told == [] and asking.referral.state == "accepted"


def test_the_events_id_may_be_the_cseq_of_the_refer_2_4_6(asking: Asking) -> None:
    asking.accepted()
    cseq = asking.last("REFER").cseq
    assert asking.notify(ENDED.replace("refer\r\n", f"refer;id={cseq}\r\n"), b"SIP/2.0 200 OK\r\n") == 200
    assert asking.told == [("told", 200, "OK")]


def test_one_refer_at_a_time(asking: Asking) -> None:
    assert asking.session.refer("sip:x@y", "", asking.now, asking.tell) is None


def test_a_notify_without_a_refer_is_481(world_kind: bool = False) -> None:
    world = World(world_kind)
    world.peer.request("NOTIFY", ACTIVE + FRAGMENT, b"SIP/2.0 200 OK\r\n")
    assert world.peer.statuses("NOTIFY") == [481]


# ---- a REFER of the peer


class Asked(World):
    """The peer asks us."""

    def refer(self, headers: str = TARGET) -> "Asked":
        self.peer.request("REFER", headers)
        self.wait()
        return self

    @property
    def said(self) -> list[tuple[str, str]]:
        """State and fragment of each NOTIFY."""
        notifies = self.peer.requests("NOTIFY")
        return [(n.get("Subscription-State"), n.body.decode().strip()) for n in notifies]

    def confirm(self, status: int = 200) -> None:
        """Answer the last NOTIFY."""
        self.peer.answer(self.last("NOTIFY"), status)
        self.wait()


@pytest.fixture(params=[False, True], ids=["they called", "we called"])
def asked(request: pytest.FixtureRequest) -> Asked:
    return Asked(request.param).refer()


def test_the_owner_decides_and_the_peer_is_notified_2_4_4(asked: Asked) -> None:
    subscription = asked.session.subscription
    assert subscription is not None and subscription.state == "offered"
    assert str(subscription.reference.uri) == "sip:+15550003333@10.0.0.2"
    assert asked.peer.statuses("REFER") == []
    subscription.accept(asked.now)
    asked.wait()
    assert asked.peer.statuses("REFER") == [202]
    assert asked.peer.final("REFER").get("Contact")
    notify = asked.last("NOTIFY")
    assert notify.get("Event") == f"refer;id={asked.peer.cseq}" and notify.get("Contact")
    assert notify.get("Content-Type") == "message/sipfrag;version=2.0"
    asked.confirm()
    subscription.progress(180, asked.now)
    asked.wait()
    asked.confirm()
    subscription.final(486, "Busy Here", asked.now)
    asked.wait()
    asked.confirm()
    assert asked.said == [
        ("active;expires=240", "SIP/2.0 100 Trying"),
        ("active;expires=240", "SIP/2.0 180 Ringing"),
        ("terminated;reason=noresource", "SIP/2.0 486 Busy Here"),
    ]
    assert asked.session.subscription is None and not asked.session.ended


def test_one_notify_at_a_time_and_the_last_is_never_left_out(asked: Asked) -> None:
    subscription = asked.session.subscription
    assert subscription is not None
    subscription.accept(asked.now)
    subscription.progress(180, asked.now)
    subscription.progress(183, asked.now)
    subscription.final(200, "OK", asked.now)
    asked.wait()
    assert [body for _, body in asked.said] == ["SIP/2.0 100 Trying"]
    asked.confirm()
    assert [body for _, body in asked.said] == ["SIP/2.0 100 Trying", "SIP/2.0 200 OK"]


def test_a_peer_that_refuses_notify_gets_no_more_and_stays_in_its_call(asked: Asked) -> None:
    subscription = asked.session.subscription
    assert subscription is not None
    subscription.accept(asked.now)
    asked.wait()
    asked.confirm(481)
    subscription.progress(180, asked.now)
    subscription.final(200, "OK", asked.now)
    asked.wait()
    assert len(asked.said) == 1
    assert not asked.session.ended and asked.session.subscription is None


def test_a_refusal_has_its_reason(asked: Asked) -> None:
    subscription = asked.session.subscription
    assert subscription is not None
    subscription.refuse(603, asked.now)
    subscription.accept(asked.now)
    asked.wait()
    assert asked.peer.statuses("REFER") == [603] and asked.said == []
    asked.refer()
    assert asked.session.subscription is not None  # it may ask again


def test_a_peer_that_wants_to_hear_nothing_hears_nothing_rfc_4488() -> None:
    asked = Asked().refer(TARGET + "Refer-Sub: false\r\nRequire: norefersub\r\n")
    subscription = asked.session.subscription
    assert subscription is not None
    subscription.accept(asked.now)
    subscription.progress(180, asked.now)
    subscription.final(200, "OK", asked.now)
    asked.wait()
    assert asked.peer.final("REFER").get("Refer-Sub") == "false"
    assert asked.said == [] and asked.session.subscription is None


def test_a_second_refer_meanwhile_is_491(asked: Asked) -> None:
    asked.refer()
    assert asked.peer.statuses("REFER") == [491]


def test_a_hangup_ends_a_refer_that_nobody_answered(asked: Asked) -> None:
    asked.peer.request("BYE")
    asked.wait()
    assert asked.peer.statuses("REFER") == [487]
    assert nothing_left(asked.node)


def test_a_hangup_ends_the_subscription(asked: Asked) -> None:
    subscription = asked.session.subscription
    assert subscription is not None
    subscription.accept(asked.now)
    asked.peer.request("BYE")
    asked.wait()
    subscription.final(200, "OK", asked.now)
    asked.wait()
    assert len(asked.said) == 1
    assert nothing_left(asked.node)


def test_whose_part_is_over_has_a_moment_to_hang_up(asked: Asked) -> None:
    asked.session.transferred(asked.now + 3)
    asked.wait(2.9)
    assert not asked.session.ended
    asked.wait(0.2)
    assert asked.session.ended and len(asked.peer.requests("BYE")) == 1


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ("", 400),
        (TARGET + TARGET, 400),
        ("Refer-To: nobody\r\n", 400),
        ("Refer-To: <mailto:a@b.example>\r\n", 501),
        ("Refer-To: <sip:a@b;method=BYE>\r\n", 501),
        ("Refer-To: <sip:a@b?Replaces=%00>\r\n", 400),
    ],
)
def test_a_refer_that_cannot_be_followed_is_refused(headers: str, status: int) -> None:
    asked = Asked().refer(headers)
    assert asked.peer.statuses("REFER") == [status]
    assert asked.session.subscription is None and asked.owner.asked == []


def _refer(value: str, more: str = "") -> Request:
    text = (
        "REFER sip:b@10.0.0.2 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK1\r\nMax-Forwards: 70\r\n"
        f"From: <sip:a@x>;tag=1\r\nTo: <sip:b@y>;tag=2\r\nCall-ID: c\r\nCSeq: 1 REFER\r\n{value}\r\n{more}"
        "Content-Length: 0\r\n\r\n"
    )
    message = parse(text.encode())
    assert isinstance(message, Request)
    return message


def test_replaces_is_read_and_header_fields_are_not_part_of_what_is_called_rfc_3891() -> None:
    told = read_reference(_refer("r: <sip:c@d;user=phone?Replaces=12%40x%3Bto-tag%3D1%3Bfrom-tag%3D2&Subject=x>"))
    assert str(told.uri) == "sip:c@d;user=phone"
    assert told.replaces == "12@x;to-tag=1;from-tag=2"


def test_referred_by_is_read_where_it_can_be_rfc_3892() -> None:
    assert read_reference(_refer("Refer-To: tel:+15550001111", "Referred-By: <sip:a@x>\r\n")).by == "sip:a@x"
    assert read_reference(_refer("Refer-To: tel:+15550001111", "Referred-By: ;;\r\n")).by == ""


def test_a_fragment_is_read_strictly() -> None:
    request = _refer(TARGET.strip(), "Content-Type: message/sipfrag\r\n")
    for body, found in (
        (b"SIP/2.0 200 OK", (200, "OK")),
        (b"SIP/2.0 180\r\n", (180, "")),
        (b"SIP/2.0 603 N\x1bo\n", (603, "No")),
    ):
        request.body = body
        assert read_fragment(request) == found
    for wrong in (b"", b" SIP/2.0 200 OK", b"SIP/2.0 2000 OK", b"SIP/2.0 099 x", b"sip/2.0 200 OK"):
        request.body = wrong
        with pytest.raises(ParseError):
            read_fragment(request)


# ---- the tables


def test_whatever_happens_a_referral_comes_to_its_end() -> None:
    for state in ("asked", "accepted", "heard"):
        assert REFERRAL[(state, "gone")][0] == OVER and REFERRAL[(state, "final")][0] == OVER
        assert all(to == OVER or not ended for (_, _), (to, ended) in REFERRAL.items())
    assert not any(state == OVER for state, _ in REFERRAL)


def test_whatever_happens_a_subscription_comes_to_its_end() -> None:
    states = {state for state, _ in SUBSCRIPTION}
    assert all(SUBSCRIPTION[(state, "gone")][0] == OVER for state in states)
    assert OVER not in states


@pytest.mark.parametrize("state", ["asked", "accepted", "heard"])
def test_what_a_referral_comes_to(state: ReferralState) -> None:
    asked, accepted = state == "asked", state == "accepted"
    rules: dict[ReferralEvent, tuple[ReferralState, ReferralEnd] | None] = {
        "accepted": None if accepted else (("accepted" if asked else "heard"), ""),
        "accepted quietly": None if accepted else ("over", "accepted"),
        "refused": None if accepted else ("over", "refused"),
        "progress": ("heard", ""),
        "final": ("over", "told"),
        "unsubscribed": ("over", "accepted"),
        "late": None if asked else ("over", "accepted"),
        "gone": ("over", "refused" if asked else "accepted"),
    }
    assert {event: REFERRAL.get((state, event)) for event in get_args(ReferralEvent)} == rules


@pytest.mark.parametrize("state", ["offered", "active", "quiet"])
def test_the_notify_requests_that_a_peer_gets_for_its_refer(state: SubscriptionState) -> None:
    offered, active = state == "offered", state == "active"
    same: tuple[SubscriptionState, SubscriptionAction] = (state, "")
    rules: dict[SubscriptionEvent, tuple[SubscriptionState, SubscriptionAction] | None] = {
        "accept": ("active", "202 NOTIFY") if offered else same,
        "accept quietly": ("quiet", "202") if offered else None if active else same,
        "refuse": ("over", "refusal") if offered else same,
        "progress": ("active", "NOTIFY") if active else same,
        "final": same if offered else ("over", "last NOTIFY" if active else ""),
        "unwanted": None if offered else ("quiet", ""),
        "gone": ("over", "487" if offered else ""),
    }
    assert {event: SUBSCRIPTION.get((state, event)) for event in get_args(SubscriptionEvent)} == rules

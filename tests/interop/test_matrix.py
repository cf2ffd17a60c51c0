"""Every phone with every other one: what two of them do with each other through the engine, with their media going
straight and through us. `make interop` runs it and prints the table; docs/interop.md has the last one."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.interop.phones import PHONES, Phone, wait_hearing
from tests.peers.office import Office, open_office

pytestmark = [pytest.mark.interop, pytest.mark.peer, pytest.mark.long]

HOSTS = {"alice": "127.0.2.71", "bob": "127.0.2.72", "carol": "127.0.2.73"}
PITCHES = {"alice": 440, "bob": 700, "carol": 1000}


class Three(NamedTuple):
    """Who calls, who is called, and a third, with whom a transfer ends; `carol` is a baresip."""

    alice: Phone
    bob: Phone
    carol: Phone


def connect(alice: Phone, bob: Phone) -> None:
    alice.dial(bob.name)
    bob.wait_incoming()
    alice.wait_ringing()
    bob.answer()
    alice.wait_answered()
    bob.wait_answered()
    talk(alice, bob)


def talk(one: Phone, other: Phone) -> None:
    wait_hearing(one, other.pitch)
    wait_hearing(other, one.pitch)


def end(who: Phone, *others: Phone) -> None:
    who.hangup()
    for phone in (who, *others):
        phone.wait_ended()


def call(three: Three) -> None:
    connect(three.alice, three.bob)
    end(three.alice, three.bob)


def callee_hangs_up(three: Three) -> None:
    connect(three.alice, three.bob)
    end(three.bob, three.alice)


def both_hang_up(three: Three) -> None:
    connect(three.alice, three.bob)
    three.alice.hangup()
    three.bob.hangup()
    three.alice.wait_ended()
    three.bob.wait_ended()


def given_up(three: Three) -> None:
    alice, bob, _ = three
    alice.dial(bob.name)
    bob.wait_incoming()
    alice.wait_ringing()
    end(alice, bob)


def refused(three: Three) -> None:
    alice, bob, _ = three
    alice.dial(bob.name)
    bob.wait_incoming()
    bob.refuse()
    alice.wait_ended()


def caller_holds(three: Three) -> None:
    _holds(three.alice, three.bob)


def callee_holds(three: Three) -> None:
    connect(three.alice, three.bob)
    three.bob.hold()
    three.bob.resume()
    end(three.bob, three.alice)


def _holds(who: Phone, other: Phone) -> None:
    connect(who, other)
    who.hold()
    who.resume()
    end(who, other)


def caller_transfers(three: Three) -> None:
    connect(three.alice, three.bob)
    _transfer(three.alice, three.bob, three.carol)


def callee_transfers(three: Three) -> None:
    connect(three.alice, three.bob)
    _transfer(three.bob, three.alice, three.carol)


def _transfer(who: Phone, other: Phone, carol: Phone) -> None:
    """Blind (RFC 5589 §6): `other` talks with carol in the end, and who has sent it on is out."""
    who.transfer(carol.name)
    carol.wait_incoming()
    carol.answer()
    carol.wait_answered()
    talk(other, carol)
    who.wait_ended()
    end(carol, other)


FEATURES: dict[str, Callable[[Three], None]] = {
    "call": call,
    "callee hangs up": callee_hangs_up,
    "both hang up": both_hang_up,
    "given up": given_up,
    "refused": refused,
    "caller holds": caller_holds,
    "callee holds": callee_holds,
    "caller transfers": caller_transfers,
    "callee transfers": callee_transfers,
    "SRTP": call,
}
CANNOT: dict[tuple[str, str], str] = {}
"""What a phone cannot do, by its name and the feature, and why."""


@pytest.fixture(scope="module", params=["direct", "anchored"])
def office(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    names = {name: {} for name in HOSTS}
    media = {"phones": "anchor"} if request.param == "anchored" else {}
    with open_office(tmp_path_factory.mktemp(request.param), names, {}, media=media) as office:
        yield office


@pytest.fixture
def three(office: Office, tmp_path: Path, feature: str, caller: str, callee: str) -> Iterator[Three]:
    for phone in (caller, callee):
        if reason := CANNOT.get((phone, feature)):
            pytest.skip(f"{phone} cannot: {reason}")
    secure = feature == "SRTP"
    with ExitStack() as stack:
        made = []
        for name, kind in (("alice", caller), ("bob", callee), ("carol", "baresip")):
            phone = PHONES[kind](office, tmp_path / name, name, HOSTS[name], PITCHES[name], secure=secure)
            stack.callback(phone.stop)
            made.append(phone)
        yield Three(*made)


@pytest.mark.parametrize("callee", PHONES)
@pytest.mark.parametrize("caller", PHONES)
@pytest.mark.parametrize("feature", FEATURES)
def test_cell(three: Three, feature: str, caller: str, callee: str) -> None:
    FEATURES[feature](three)

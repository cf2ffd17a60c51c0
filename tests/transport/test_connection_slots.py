"""Who makes room where all connections are taken, without sockets."""

import random
from collections.abc import Callable

import pytest

from engine.transport.connection_slots import ConnectionSlots
from engine.transport.listen_spec import ListenerLimits

LIMITS = ListenerLimits(connections=100, connections_per_source=30, silent_per_source=4, quiet_after=5.0)
PROVIDER, PHONE = "192.0.2.1", "192.0.2.2"


class Hall:
    """A listener's places; connections are numbers."""

    def __init__(self, limits: ListenerLimits = LIMITS, *known: str) -> None:
        self.friends = {PROVIDER, *known}
        self.slots: ConnectionSlots[str] = ConnectionSlots(limits, lambda host: host in self.friends)
        self.limits = limits
        self.now = 0.0
        self.made = self.kept = 0
        self.up: dict[str, str] = {}  # connection -> host

    def open(self, host: str, speaks: bool = False) -> str | None:
        """A new connection, where it is taken."""
        self.made += 1
        name = f"{host} #{self.made}"
        taken, leaves = self.slots.enter(name, host, self.now)
        if leaves is not None:
            del self.up[leaves]
        if taken:
            self.up[name] = host
        assert len(self.slots) == len(self.up) <= self.limits.connections + self.kept
        if taken and speaks:
            self.slots.spoke(name, self.now)
        return name if taken else None

    def held(self, host: str) -> int:
        return list(self.up.values()).count(host)


HOSTS: list[Callable[[int], str]] = [lambda n: f"198.51.100.{n}", lambda n: f"2001:db8:{n}::1"]


@pytest.mark.parametrize("host", HOSTS)
def test_one_address_holds_few_silent_connections(host: Callable[[int], str]) -> None:
    hall = Hall()
    names = [hall.open(host(1)) for _ in range(50)]
    assert list(hall.up) == names[-4:]  # the oldest went
    assert hall.open(host(2))


def test_an_ipv6_customer_is_one_address() -> None:
    hall = Hall()
    for number in range(50):
        hall.open(f"2001:db8:1:2::{number:x}")
    assert len(hall.up) == 4


@pytest.mark.parametrize("host", HOSTS)
def test_who_has_said_nothing_for_5_s_makes_room(host: Callable[[int], str]) -> None:
    hall = Hall()
    for number in range(30, 55):
        for _ in range(4):
            assert hall.open(host(number))
    assert len(hall.up) == 100
    hall.now = 4.9
    spoke = [hall.open(host(number), True) for number in (1, 1, 1)]  # at the cost of who has most
    assert all(spoke)
    hall.now = 5.0
    for number in range(100, 197):
        assert hall.open(host(number), True)
    assert all(name in hall.up for name in spoke)
    assert not any(name for name in hall.up if int(name.split("#")[1]) <= 100)


def test_a_silent_one_goes_before_one_that_spoke_long_ago() -> None:
    hall = Hall(ListenerLimits(connections=3, quiet_after=5.0))
    spoke = hall.open("198.51.100.1", True)
    hall.now = 1.0
    silent, other = hall.open("198.51.100.2"), hall.open("198.51.100.3")
    hall.now = 10.0
    assert hall.open("198.51.100.4")
    assert silent not in hall.up
    assert hall.open("198.51.100.5")
    assert other not in hall.up
    assert spoke in hall.up
    assert hall.open("198.51.100.6")
    assert spoke not in hall.up


def test_many_that_speak_now_and_then_do_not_keep_others_out() -> None:
    """From few addresses: who has most makes room for who has none, and for nobody who has as much."""
    hall = Hall(ListenerLimits(connections=90, connections_per_source=30))
    for number in range(3):
        for _ in range(30):
            assert hall.open(f"198.51.100.{number}", True)
    assert hall.open("198.51.100.1", True) is None
    for number in range(100, 120):
        assert hall.open(f"198.51.100.{number}", True)
        assert hall.open(f"198.51.100.{number}", True)
    assert {hall.held(f"198.51.100.{number}") for number in range(3)} <= {16, 17, 18}


def test_many_from_many_addresses_that_have_just_spoken_are_as_good_as_the_next() -> None:
    hall = Hall(ListenerLimits(connections=50))
    for number in range(50):
        assert hall.open(f"198.51.100.{number}", True)
    assert hall.open("198.51.100.99") is None
    hall.now = 5.0
    assert hall.open("198.51.100.99")


def test_a_provider_always_gets_in() -> None:
    hall = Hall(ListenerLimits(connections=50))
    for number in range(50):
        assert hall.open(f"198.51.100.{number}", True)
    for _ in range(200):
        assert hall.open(PROVIDER)
    assert hall.held(PROVIDER) == 50
    assert hall.open("198.51.100.1") is None  # and no stranger takes its places
    hall.now = 100.0
    assert hall.open("198.51.100.1") is None


def test_of_known_peers_the_longest_quiet_goes() -> None:
    hall = Hall(ListenerLimits(connections=3), PHONE)
    one, two, three = hall.open(PHONE), hall.open(PHONE), hall.open(PROVIDER)
    hall.now = 1.0
    assert one is not None
    hall.slots.spoke(one, hall.now)
    assert hall.open(PROVIDER)
    assert set(hall.up) >= {one, three}
    assert two not in hall.up


def test_who_logs_in_over_its_connection_is_known_from_then_on() -> None:
    hall = Hall(ListenerLimits(connections=3, quiet_after=5.0))
    phone = hall.open(PHONE, True)
    assert phone is not None
    hall.open("198.51.100.1", True)
    hall.open("198.51.100.2", True)
    hall.friends.add(PHONE)
    hall.now = 60.0
    for number in range(10, 30):
        hall.open(f"198.51.100.{number}")
    assert phone in hall.up
    hall.slots.spoke(phone, hall.now)
    hall.slots.leave(phone)
    assert len(hall.slots) == 2


def test_a_source_that_has_all_it_may_have_is_refused_while_it_speaks() -> None:
    hall = Hall()
    for _ in range(30):
        assert hall.open("198.51.100.1", True)
    assert hall.open("198.51.100.1") is None
    hall.now = 5.0
    assert hall.open("198.51.100.1")
    assert hall.held("198.51.100.1") == 30


def test_whatever_happens_nothing_is_left_of_who_has_gone() -> None:
    chance = random.Random(14)
    hall = Hall(ListenerLimits(connections=20, connections_per_source=6, silent_per_source=3, quiet_after=5.0), PHONE)
    hosts = [PROVIDER, PHONE, *[f"198.51.100.{n}" for n in range(9)], *[f"2001:db8:{n}::{n}" for n in range(9)]]
    for _ in range(5_000):
        hall.now += chance.random()
        act = chance.randrange(6)
        if act < 3:
            hall.open(chance.choice(hosts), chance.random() < 0.5)
        elif hall.up:
            name = chance.choice(list(hall.up))
            if act < 5:
                hall.slots.spoke(name, hall.now)
            else:
                hall.slots.leave(name)
                del hall.up[name]
        if chance.random() < 0.01:
            hall.friends ^= {"198.51.100.1"}
    for name in list(hall.up):
        hall.slots.leave(name)
        hall.slots.leave(name)
        hall.slots.spoke(name, hall.now)
    assert (len(hall.slots), hall.slots.remembered) == (0, 0)


def test_a_connection_that_somebody_is_reached_by_does_not_count_against_its_source() -> None:
    hall = Hall()
    phones = [hall.open(PHONE, speaks=True) for _ in range(30)]
    assert hall.open(PHONE) is None
    for phone in phones:
        assert phone is not None
        hall.slots.keep(phone, True, hall.now)
        hall.slots.keep(phone, True, hall.now)
        hall.slots.spoke(phone, hall.now)
    hall.kept = len(phones)
    assert [hall.open(PHONE, speaks=True) is not None for _ in range(31)] == [True] * 30 + [False]
    for number in range(200):
        hall.now += 6.0
        assert hall.open(f"198.51.100.{number}")
    assert hall.held(PHONE) >= 30 and set(phones) <= set(hall.up), "no stranger takes its place"
    for name in list(hall.up):
        hall.slots.leave(name)
    assert hall.slots.remembered == 0


def test_a_connection_by_which_nobody_is_reached_any_more_counts_again() -> None:
    hall = Hall()
    phones = [hall.open(PHONE, speaks=True) for _ in range(30)]
    for kept in (True, False):
        for phone in phones:
            assert phone is not None
            hall.slots.keep(phone, kept, hall.now)
    assert hall.open(PHONE) is None
    hall.slots.keep("of another listener", True, hall.now)
    for name in list(hall.up):
        hall.slots.leave(name)
    assert hall.slots.remembered == 0


def test_a_known_peers_connection_is_none_of_a_strangers_whatever_is_said_of_it() -> None:
    hall = Hall()
    connection = hall.open(PROVIDER, speaks=True)
    assert connection is not None
    for kept in (True, False):
        hall.slots.keep(connection, kept, hall.now)
    assert hall.slots.remembered == 1
    hall.slots.leave(connection)
    assert hall.slots.remembered == 0


def test_a_registered_phone_makes_room_for_nobody_and_takes_no_place_rfc_5626_4_2_2() -> None:
    """However many phones are registered over connections, the next one gets in, and none of them is closed for it: an
    address where a phone has logged in is a known peer's."""
    slots: ConnectionSlots[str] = ConnectionSlots(ListenerLimits(connections=4, kept_connections=40), lambda _: True)
    phones = [f"phone {number}" for number in range(42)]
    for now, phone in enumerate(phones):
        assert slots.enter(phone, PHONE, now) == (True, None)
        slots.spoke(phone, now)
        slots.keep(phone, True, now)
    others = [slots.enter(f"other {number}", PHONE, 100)[1] for number in range(3)]
    assert others == [None, None, "phone 40"], "of more than may be kept, each takes a place"
    slots.keep("phone 0", False, 101)
    assert slots.enter("another", PHONE, 102) == (True, "phone 41"), "who is not reached by it any more takes one, too"
    for name in (*phones, "other 0", "other 1", "other 2", "another"):
        slots.leave(name)
    assert slots.remembered == 0

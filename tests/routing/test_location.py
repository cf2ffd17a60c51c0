"""Location: what becomes of bindings, who is told, and that nothing stays of what is gone."""

from math import ceil
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from engine.sip.binding import Binding
from engine.sip.flow import Flow
from routing.location import COMPACT_FROM, Location, LocationChange
from tests.simulation.stage import Wire

UDP, TCP = Wire(), Wire("tcp", reliable=True)


class Link:
    """A connection."""

    usable, error = True, ""

    def __init__(self) -> None:
        self.kept: list[bool] = []

    def write(self, data: bytes) -> bool:
        return True

    def keep(self, kept: bool = True) -> None:
        self.kept.append(kept)


def binding(name: str, expires_at: float = 100.0, link: Link | None = None, **more: Any) -> Binding:
    flow = Flow(UDP, "192.0.2.7", 5060) if link is None else Flow(TCP, "192.0.2.7", 1, connection=link)  # type: ignore[arg-type]
    return Binding(id=name, contact=f"<sip:{name}@h>", expires_at=expires_at, flow=flow, **more)


def told(location: Location) -> list[tuple[str, str, str]]:
    events: list[tuple[str, str, str]] = []

    def tell(change: LocationChange) -> None:
        events.append((change.event, change.binding.id, change.cause))

    location.observers.append(tell)
    return events


def test_what_is_over_goes_when_it_is_over_and_no_earlier() -> None:
    location = Location()
    events = told(location)
    location.add("alice", binding("a", 100.0))
    location.add("alice", binding("b", 50.0))
    assert location.expire(49.9)
    assert len(location) == 2
    assert location.expire(50.0)
    assert [found.id for found in location.bindings("alice")] == ["a"]
    assert events[2:] == [("expired", "b", "not refreshed")]


def test_what_is_refreshed_lives_on_and_what_is_shortened_does_not() -> None:
    location = Location()
    longer, shorter = binding("a", 100.0), binding("b", 100.0)
    location.add("alice", longer)
    location.add("bob", shorter)
    location.refreshed("alice", longer, binding("a", 200.0))
    location.refreshed("bob", shorter, binding("b", 60.0))
    location.expire(60.0)
    assert location.names() == ["alice"]
    location.expire(199.0)
    assert location.names() == ["alice"]
    location.expire(200.0)
    assert (location.names(), len(location)) == ([], 0)


def test_so_many_at_a_time() -> None:
    location = Location()
    for number in range(5):
        location.add("alice", binding(str(number), 10.0))
    assert not location.expire(10.0, most=3)
    assert len(location) == 2
    assert location.expire(10.0, most=3)
    assert len(location) == 0


def test_a_binding_ends_with_its_connection_unless_a_proxy_holds_it() -> None:
    location, link, other = Location(), Link(), Link()
    events = told(location)
    location.add("alice", binding("a", link=link))
    location.add("bob", binding("b", link=link))
    location.add("carol", binding("c", link=link, path=("sip:192.0.2.10;lr",)))
    location.add("dave", binding("d", link=other))
    assert link.kept == [True]
    location.connection_lost(link)
    assert location.names() == ["carol", "dave"]
    assert events[4:] == [("expired", "a", "connection lost"), ("expired", "b", "connection lost")]
    location.connection_lost(link)
    location.connection_lost(Link())
    assert len(location) == 2


def test_a_connection_is_kept_as_long_as_somebody_is_reached_by_it() -> None:
    location, first, second = Location(), Link(), Link()
    one, two = binding("a", link=first), binding("b", link=first)
    location.add("alice", one)
    location.add("alice", two)
    location.refreshed("alice", one, binding("a", link=second))
    assert (first.kept, second.kept) == ([True], [True])
    location.connection_lost(first)
    assert [found.id for found in location.bindings("alice")] == ["a"]
    location.remove("alice", one)
    assert (first.kept, second.kept) == ([True, False], [True, False])


def test_they_are_counted_by_transport() -> None:
    location, link = Location(), Link()
    one = binding("a")
    location.add("alice", one)
    location.add("alice", binding("b", link=link))
    location.refreshed("alice", one, binding("a", link=link))
    assert {name: count for name, count in location.transports.items() if count} == {"tcp": 2}
    location.connection_lost(link)
    assert not any(location.transports.values())


def test_one_is_found_by_its_id_and_by_its_device() -> None:
    location = Location()
    for name, instance, since in (("a", "<urn:uuid:x>", 1.0), ("b", "", 2.0), ("c", "<urn:uuid:X>", 3.0)):
        location.add("alice", binding(name, instance=instance, registered_at=since))
    assert [found.id for found in location.of_instance("alice", "<urn:uuid:x>")] == ["c", "a"]
    found = location.find("alice", "b")
    assert found is not None
    assert found.id == "b"
    assert location.find("bob", "b") is None


def test_what_comes_and_goes_leaves_nothing() -> None:
    location = Location()
    for number in range(5 * COMPACT_FROM):
        one = binding(str(number), 1e6 + number)
        location.add("alice", one)
        assert location.remove("alice", one)
        assert not location.remove("alice", one)
    assert location._entries == sum(map(len, location._ends.values())) <= COMPACT_FROM + 2
    assert len(location._seconds) == len(location._ends)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["add", "refresh", "remove", "lose", "wait"]),
        st.integers(0, 5),
        st.floats(0.5, 100.0),
    ),
    max_size=40,
)


@given(STEPS)
def test_any_sequence_leaves_what_a_list_would(steps: list[tuple[str, int, float]]) -> None:
    location, now = Location(), 0.0
    links = [Link(), Link()]
    model: dict[str, tuple[float, Link | None]] = {}
    known: dict[str, Binding] = {}
    for step, which, seconds in steps:
        name, link = str(which), [None, None, *links][which % 4]
        if step == "add" and name not in model:
            known[name] = binding(name, now + seconds, link)
            location.add("alice", known[name])
            model[name] = (now + seconds, link)
        elif step == "refresh" and name in model:
            location.refreshed("alice", known[name], binding(name, now + seconds, link))
            model[name] = (now + seconds, link)
        elif step == "remove":
            assert location.remove("alice", known.get(name, binding(name))) == (model.pop(name, None) is not None)
        elif step == "lose" and link is not None:
            location.connection_lost(link)
            model = {known: value for known, value in model.items() if value[1] is not link}
        elif step == "wait":
            now += ceil(seconds)
            assert location.expire(now)
            model = {known: value for known, value in model.items() if value[0] > now}
        assert {found.id for found in location.bindings("alice")} == model.keys()
        assert len(location) == len(model) == sum(location.transports.values())
        for each in links:
            assert (each.kept[-1:] == [True]) == any(value[1] is each for value in model.values())

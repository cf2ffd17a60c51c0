"""Phones of extensions that are gone, suspended or somebody else's are registered no more."""

from uuid import UUID, uuid4

import pytest

from engine.sip.binding import Binding
from routing.directory.directory import Directory
from routing.directory.extensions import ExtensionRow
from routing.location import Location, LocationChange
from service.phones.revocation import Revocation
from store.store import KEY_LENGTH, Change

ALICE, BOB = UUID(int=1), UUID(int=2)


class World:
    def __init__(self) -> None:
        self.directory = Directory(limit=0)
        self.location = Location()
        self.revocation = Revocation(self.directory, self.location)
        self.news: list[LocationChange] = []
        self.location.observers.append(self.news.append)

    def extension(self, name: str, identifier: UUID, *, active: bool = True) -> None:
        self.directory.put_extension(ExtensionRow(name=name, id=identifier, active=active))
        self.tell(name, identifier)

    def gone(self, name: str, identifier: UUID) -> None:
        self.directory.remove_extension(identifier)
        self.tell(name, identifier)

    def tell(self, name: str, identifier: UUID) -> None:
        self.revocation.extension_changed(Change("extension", identifier, name[:KEY_LENGTH]))

    def register(self, name: str) -> Binding:
        binding = Binding(id=str(uuid4()), contact="<sip:a@b>", expires_at=1e9)
        self.location.add(name, binding)
        return binding

    def ended(self) -> list[tuple[str, str, str]]:
        found = [(news.name, news.event, news.cause) for news in self.news if news.event != "registered"]
        self.news.clear()
        return found


@pytest.fixture
def world() -> World:
    made = World()
    made.extension("alice", ALICE)
    made.extension("bob", BOB)
    for name in ("alice", "alice", "bob"):
        made.register(name)
    return made


def test_those_of_one_that_is_suspended_or_deleted_end_and_no_others(world: World) -> None:
    world.extension("alice", ALICE, active=False)
    assert world.ended() == [("alice", "unregistered", "the extension is suspended")] * 2
    world.gone("bob", BOB)
    assert world.ended() == [("bob", "unregistered", "the extension is deleted")]
    assert len(world.location) == 0


def test_another_change_ends_nothing(world: World) -> None:
    world.directory.put_extension(ExtensionRow(name="alice", id=ALICE, ha1={"md5": "another"}))
    world.tell("alice", ALICE)
    world.revocation.look()
    assert world.ended() == []


def test_who_comes_to_have_the_name_has_not_the_phones(world: World) -> None:
    """Both changes are taken over in one go: what is told of first is over already."""
    world.directory.remove_extension(ALICE)
    world.directory.put_extension(ExtensionRow(name="alice", id=UUID(int=3), customer_id=UUID(int=9)))
    world.tell("alice", ALICE)
    assert len(world.ended()) == 2
    world.register("alice")
    world.tell("alice", UUID(int=3))
    world.revocation.look()
    assert world.ended() == []  # these are the new one's


@pytest.mark.parametrize("all_of_them", [True, False])
def test_when_any_may_have_changed_all_are_looked_at(world: World, all_of_them: bool) -> None:
    long = "an older name, longer than what a change says of it " * 2
    world.extension(long, UUID(int=4))
    world.register(long)
    world.directory.remove_extension(UUID(int=4))
    if all_of_them:
        world.revocation.extension_changed(None)
    else:
        world.tell(long, UUID(int=4))
    assert [name for name, *_ in world.ended()] == [long]


def test_one_that_was_away_meanwhile_is_known_anew(world: World) -> None:
    for binding in list(world.location.bindings("alice")):
        world.location.remove("alice", binding, "expired")
    world.directory.put_extension(ExtensionRow(name="alice", id=UUID(int=3)))
    world.register("alice")
    world.news.clear()
    world.revocation.look()
    assert world.ended() == []


def test_those_of_before_the_start_end_as_well(world: World) -> None:
    binding = Binding(id=str(uuid4()), contact="<sip:a@b>", expires_at=1e9)
    world.extension("carol", UUID(int=5))
    world.location.restore("carol", binding)
    world.revocation.look()
    world.tell("carol", UUID(int=5))
    assert world.ended() == []
    world.directory.put_extension(ExtensionRow(name="carol", id=UUID(int=6)))
    world.tell("carol", UUID(int=5))
    assert [name for name, *_ in world.ended()] == ["carol"]


def test_another_node_ends_a_binding_of_this_one(world: World) -> None:
    first, second = world.location.bindings("alice")
    world.revocation.contact_ended(Change("contact", UUID(first.id), "alice"))
    world.revocation.contact_ended(Change("contact", UUID(first.id), "alice"))
    world.revocation.contact_ended(Change("contact", uuid4(), "nobody"))
    world.revocation.contact_ended(None)
    assert world.ended() == [("alice", "unregistered", "by the API")]
    assert list(world.location.bindings("alice")) == [second]

"""Flows one by one: put, changed, removed, and who finds them by which words."""

import threading
from typing import Any
from uuid import UUID, uuid4

from flows.actions import ACTIONS
from flows.language.library import FlowLibrary, read_library
from flows.language.model import Flow, read_flow
from flows.python.flows import FlowCall, compile_python

ALICE, BOB = uuid4(), uuid4()


def flow(name: str = "", owner: UUID | None = None, identifier: UUID | None = None, actions: int = 1) -> Flow:
    document: dict[str, Any] = {"actions": [{"type": "answer"}] * actions}
    if name:
        document["name"] = name
    if owner is not None:
        document["customer_id"] = str(owner)
    if identifier is not None:
        document["id"] = str(identifier)
    return read_flow(document, ACTIONS)


async def in_python(call: FlowCall) -> None:
    call.answer()


def test_a_flow_of_the_platform_is_found_by_id_and_name() -> None:
    library = FlowLibrary(ACTIONS)
    welcome = flow("welcome")
    program = library.put(welcome)
    assert library.find(welcome.id) is library.find(str(welcome.id)) is library.find("welcome") is program
    assert len(library) == 1
    assert library.remove(welcome.id) and not library.remove(welcome.id)
    assert library.find(welcome.id) is library.find(str(welcome.id)) is library.find("welcome") is None
    assert len(library) == 0


def test_a_customers_flow_is_found_by_id_only() -> None:
    library = FlowLibrary(ACTIONS)
    hers, his = flow("welcome", ALICE, uuid4()), flow("welcome", BOB, uuid4())
    library.put(hers)
    library.put(his)
    assert library.find("welcome") is None
    for one in (hers, his):
        found = library.find(one.id)
        assert found is not None and found is library.find(str(one.id)) and found.id == str(one.id)
    platform = library.put(flow("welcome"))
    assert library.find("welcome") is platform
    library.remove(hers.id)
    assert library.find("welcome") is platform and library.find(his.id) is not None
    assert len(library) == 2


def test_a_library_that_is_made_with_customers_flows_keeps_their_names_apart_too() -> None:
    hers = flow("welcome", ALICE, uuid4())
    library = FlowLibrary(ACTIONS, [hers, flow("mine")], {"python": compile_python("python", in_python)})
    assert library.find("welcome") is None and library.find(hers.id) is not None
    assert library.find("mine") is not None and library.find("python") is not None
    assert len(library) == 3


def test_customers_do_not_see_one_anothers_flows() -> None:
    hers, common = flow("", ALICE, uuid4()), flow("common")
    library = FlowLibrary(ACTIONS, [hers, common], {"python": compile_python("python", in_python)})
    for reference in (hers.id, str(hers.id)):
        assert library.find(reference, ALICE) is library.find(reference) is not None
        assert library.find(reference, BOB) is None
        assert library.find(reference, UUID(int=0)) is None
    for customer in (ALICE, BOB, UUID(int=0)):
        assert library.find("common", customer) is not None and library.find("python", customer) is not None
        assert library.find(uuid4(), customer) is None


def test_a_change_replaces_the_program_and_runs_keep_the_old() -> None:
    library = FlowLibrary(ACTIONS)
    identifier = uuid4()
    before = library.put(flow("one", None, identifier, actions=1))
    after = library.put(flow("one", None, identifier, actions=2))
    assert library.find("one") is library.find(identifier) is library.find(str(identifier)) is after
    assert (len(before.steps), len(after.steps), len(library)) == (1, 2, 1)


def test_a_new_name_takes_the_place_of_the_old() -> None:
    library = FlowLibrary(ACTIONS)
    identifier = uuid4()
    library.put(flow("old", None, identifier))
    renamed = library.put(flow("new", None, identifier))
    assert library.find("new") is renamed and library.find("old") is None
    nameless = library.put(flow("", None, identifier))
    assert library.find("new") is None and library.find(identifier) is nameless
    named = library.put(flow("new", None, identifier))
    given_away = library.put(flow("new", ALICE, identifier))
    assert library.find("new") is None and library.find(identifier) is given_away is not named


def test_a_name_stays_with_the_flow_that_has_it() -> None:
    library = FlowLibrary(ACTIONS, (), {"hotline": compile_python("hotline", in_python)})
    function = library.find("hotline")
    second = flow("hotline", None, uuid4())
    library.put(second)
    assert library.find("hotline") is function and library.find(second.id) is not None
    library.remove(second.id)
    assert library.find("hotline") is function
    first, other = flow("menu", None, uuid4()), flow("menu", None, uuid4())
    kept = library.put(first)
    library.put(other)
    library.put(flow("elsewhere", None, other.id))
    assert library.find("menu") is kept


def test_a_library_is_replaced_with_all_that_was_put() -> None:
    library = FlowLibrary(ACTIONS, [flow("old")])
    other = read_library(ACTIONS, [{"name": "new", "actions": [{"type": "answer"}]}])
    hers = flow("", ALICE, uuid4())
    other.put(hers)
    library.replace(other)
    assert library.find("old") is None
    assert library.find("new") is not None and library.find(hers.id) is not None and len(library) == 2


def test_readers_always_find_the_flow_while_it_changes() -> None:
    library = FlowLibrary(ACTIONS)
    identifier = uuid4()
    versions = [flow("busy", None, identifier, actions=count) for count in (1, 2)]
    library.put(versions[0])
    stop = threading.Event()
    missed: list[object] = []

    def read() -> None:
        while not stop.is_set():
            missed.extend(key for key in (identifier, str(identifier), "busy") if library.find(key) is None)

    reader = threading.Thread(target=read)
    reader.start()
    for turn in range(300):
        library.put(versions[turn % 2])
        library.replace(FlowLibrary(ACTIONS, [versions[turn % 2]]))
    stop.set()
    reader.join()
    assert missed == []

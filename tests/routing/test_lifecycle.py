"""A number's life, and provisioning it once."""

import itertools
import threading
from typing import Any
from uuid import UUID

import pytest

from routing.directory.directory import Directory
from routing.directory.lifecycle import (
    TRANSITIONS,
    check_offerable,
    move,
    moved,
    provision,
    provisioned_from,
    released_from,
    returns_to_inventory,
)
from routing.directory.rows import NumberRow
from routing.errors import RoutingError
from routing.identifiers import NIL
from routing.models.number import Number, NumberStatus
from routing.settings import RoutingSettings

SETTINGS = RoutingSettings()
CUSTOMER = UUID(int=7)
STATUSES = ("available", "active", "suspended", "released")
EVENTS = ("provision", "suspend", "reactivate", "release")
LIFE = {
    ("available", "provision"): "active",
    ("active", "suspend"): "suspended",
    ("suspended", "reactivate"): "active",
    ("suspended", "release"): "released",
}


@pytest.mark.parametrize(("status", "event"), list(itertools.product(STATUSES, EVENTS)))
def test_every_move_is_in_the_table_or_refused(status: str, event: str) -> None:
    directory = Directory()
    directory.put_number(Number.model_validate({"number": "+15551234567", "status": status, "customer_id": CUSTOMER}))
    if (status, event) in LIFE:
        row = move(directory, "+15551234567", event)  # type: ignore[arg-type]
        assert row.status == LIFE[status, event]
        assert directory.number("+15551234567") is row
        assert row.customer_id == (NIL if event == "release" else CUSTOMER)
    else:
        with pytest.raises(RoutingError, match=f"is {status} and cannot be moved by {event}; ") as error:
            move(directory, "+15551234567", event)  # type: ignore[arg-type]
        assert error.value.reason == "NUMBER_STATE_INVALID"
        row_left = directory.number("+15551234567")
        assert row_left is not None and row_left.status == status
    assert LIFE == TRANSITIONS


def test_refusals_say_what_to_do() -> None:
    with pytest.raises(RoutingError, match="suspend it first"):
        moved("active", "release")
    with pytest.raises(RoutingError, match="only an active number can"):
        moved("released", "suspend")
    with pytest.raises(RoutingError, match="not in the directory") as error:
        move(Directory(), "+15551234567", "suspend")
    assert error.value.reason == "NUMBER_NOT_FOUND"


def test_a_running_call_keeps_the_number_as_it_was() -> None:
    directory = Directory()
    before = directory.put_number(Number(number="+15551234567"))
    move(directory, "+15551234567", "suspend")
    assert before.status == "active"


def test_provisioning_takes_normal_numbers_from_the_inventory_and_makes_virtual_ones() -> None:
    directory = Directory()
    offered = directory.put_number(Number(number="+15551234567", status="available", region="California"))
    row = provision(directory, SETTINGS, "+1 555 123 4567", CUSTOMER)
    assert (row.status, row.customer_id, row.id, row.region) == ("active", CUSTOMER, offered.id, "California")
    virtual = provision(directory, SETTINGS, "+899100000001", CUSTOMER)
    assert (virtual.type, virtual.status, virtual.provider_id) == ("virtual", "active", NIL)
    move(directory, "+899100000001", "suspend")
    move(directory, "+899100000001", "release")
    again = provision(directory, SETTINGS, "+899100000001", CUSTOMER)
    assert again.status == "active" and again.id != virtual.id


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        ("+15550000000", "NUMBER_NOT_AVAILABLE"),
        ("+15551234567", "NUMBER_ALREADY_EXISTS"),
        ("+15551234568", "NUMBER_ALREADY_EXISTS"),
        ("+15551234569", "NUMBER_NOT_AVAILABLE"),
        ("+899000123456", "VIRTUAL_NUMBER_RESERVED"),
        ("+89912", "VIRTUAL_NUMBER_FORMAT_INVALID"),
        ("555", "INVALID_NUMBER"),
    ],
)
def test_what_cannot_be_provisioned(number: str, reason: str) -> None:
    directory = Directory()
    directory.put_number(Number(number="+15551234567"))
    directory.put_number(Number(number="+15551234568", status="suspended"))
    directory.put_number(Number(number="+15551234569", status="released"))
    with pytest.raises(RoutingError) as error:
        provision(directory, SETTINGS, number, CUSTOMER)
    assert error.value.reason == reason


def test_the_reserved_range_can_be_moved() -> None:
    assert provision(Directory(), RoutingSettings(reserved_virtual_prefix="+8999"), "+899000123456", CUSTOMER).ours


@pytest.mark.parametrize("number", ["+15551234567", "+899100000001"])
def test_of_many_who_ask_at_once_one_gets_the_number(number: str) -> None:
    directory = Directory()
    directory.put_number(Number(number="+15551234567", status="available"))
    start = threading.Barrier(8)
    won: list[NumberRow] = []
    lost: list[str] = []

    def ask(customer: UUID) -> None:
        start.wait()
        try:
            won.append(provision(directory, SETTINGS, number, customer))
        except RoutingError as error:
            lost.append(error.reason)

    threads = [threading.Thread(target=ask, args=(UUID(int=place + 1),)) for place in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1 and lost == ["NUMBER_ALREADY_EXISTS"] * 7
    assert directory.number(number) is won[0]


# What a store decides by


@pytest.mark.parametrize(
    ("status", "events"), [("active", ("suspend", "release")), ("suspended", ("release",)), ("available", None)]
)
def test_deleting_a_number_walks_the_table_to_released(status: str, events: tuple[str, ...] | None) -> None:
    if events is None:
        for nobodys in (status, "released"):
            with pytest.raises(RoutingError, match=f"is {nobodys} and cannot be deleted") as error:
                released_from(nobodys, "+15551234567")  # type: ignore[arg-type]
            assert error.value.reason == "NUMBER_STATE_INVALID"
        return
    assert released_from(status) == events  # type: ignore[arg-type]
    for event in events:
        status = moved(status, event)  # type: ignore[arg-type]
    assert status == "released"


@pytest.mark.parametrize(
    ("status", "number", "how"),
    [
        (None, "+15551234567", "NUMBER_NOT_AVAILABLE"),
        ("available", "+15551234567", "taken"),
        ("active", "+15551234567", "NUMBER_ALREADY_EXISTS"),
        ("suspended", "+15551234567", "NUMBER_ALREADY_EXISTS"),
        ("released", "+15551234567", "NUMBER_NOT_AVAILABLE"),
        (None, "+899100000001", "made"),
        ("available", "+899100000001", "taken"),
        ("active", "+899100000001", "NUMBER_ALREADY_EXISTS"),
        ("suspended", "+899100000001", "NUMBER_ALREADY_EXISTS"),
        ("released", "+899100000001", "made"),
    ],
)
def test_how_a_customer_gets_a_number(status: NumberStatus | None, number: str, how: str) -> None:
    if how in ("made", "taken"):
        assert provisioned_from(status, number) == how
    else:
        with pytest.raises(RoutingError, match=r"\+") as error:
            provisioned_from(status, number)
        assert error.value.reason == how


def test_the_inventory_takes_new_numbers_and_released_ones_back() -> None:
    check_offerable(None, "+15551234567")
    check_offerable("released", "+15551234567")
    held: tuple[NumberStatus, ...] = ("available", "active", "suspended")
    for status in held:
        with pytest.raises(RoutingError) as error:
            check_offerable(status, "+15551234567")
        assert error.value.reason == "NUMBER_ALREADY_EXISTS"


@pytest.mark.parametrize(
    ("number_type", "origin", "purchased", "returns"),
    [
        ("normal", "provisioned", True, True),
        ("normal", "provisioned", False, False),  # a file's, which was never on offer
        ("normal", "ported", True, False),
        ("normal", "hosted", True, False),
        ("virtual", "provisioned", True, False),
    ],
)
def test_what_came_from_the_inventory_returns_there(
    number_type: Any, origin: Any, purchased: bool, returns: bool
) -> None:
    assert returns_to_inventory(number_type, origin, purchased=purchased) == returns

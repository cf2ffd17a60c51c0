"""The directory: look-ups, changes, and which trunk an address is."""

import threading
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.addresses import AddressTable, parse_address, parse_network
from routing.directory.directory import Directory
from routing.directory.rows import NumberRow
from routing.directory.snapshot import SnapshotBuilder
from routing.errors import RoutingError
from routing.identifiers import named_id
from routing.models.number import Number
from routing.models.provider import Provider
from routing.models.route import Route
from routing.settings import RoutingSettings

FLOW = named_id("flow", "hotline")
OWNER = named_id("customer", "one")


def provider(name: str, hostname: str = "sip.example.com", **values: object) -> Provider:
    return Provider.model_validate({"name": name, "hostname": hostname, **values})


def directory_of(*providers: Provider) -> Directory:
    directory = Directory()
    directory.replace([], providers, [])
    return directory


def test_a_row_reads_like_its_model() -> None:
    given_id = UUID(int=77)
    number = Number(
        id=given_id,
        number="+15551234567",
        customer_id=OWNER,
        call_flow_id=FLOW,
        message_flow_id=UUID(int=5),
        provider_id=UUID(int=6),
        name="Hotline",
        detail="north",
        metadata={"a": [1, 2]},
        origin="ported",
        country="US",
        region="California",
        city="San Francisco",
        kind="local",
        status="suspended",
    )
    row = Directory().put_number(number)
    for name in set(Number.model_fields) - {"tm_create", "tm_update", "tm_delete", "tm_purchase"}:
        assert getattr(row, name) == getattr(number, name), name
    assert row.ours and not row.virtual


def test_a_row_derives_the_id_that_its_model_derives() -> None:
    number = Number(number="+899100000001")
    row = Directory().put_number(number)
    assert (row.id, row.type, row.kind, row.virtual, row.detail) == (number.id, "virtual", "virtual", True, "")
    assert dict(row.metadata) == {} and row.origin == "provisioned" and row.country == row.region == row.city == ""


def test_numbers_are_found_by_their_normal_form() -> None:
    directory = Directory()
    row = directory.put_number(Number(number="+15551234567", call_flow_id=FLOW))
    assert directory.number("+15551234567") is row
    assert directory.number("15551234567") is None
    assert directory.put_number(row) is row
    assert directory.remove_number("+15551234567") and not directory.remove_number("+15551234567")
    assert directory.number("+15551234567") is None


@pytest.mark.parametrize(
    ("status", "own"), [("active", True), ("suspended", True), ("available", False), ("released", False)]
)
def test_own_numbers_are_active_or_suspended(status: str, own: bool) -> None:
    directory = Directory()
    directory.put_number(Number.model_validate({"number": "+15551234567", "status": status}))
    assert directory.own("+15551234567") is own
    assert not directory.own("+15550000000")


def test_replace_swaps_everything_and_hands_back_the_old_to_be_thrown_away() -> None:
    directory = Directory()
    first = provider("first", inbound_addresses=["10.0.0.1"])
    directory.replace([Number(number="+15551234567")], [first], [Route(provider_id=first.id)])
    second = provider("second")
    numbers = [Number(number=f"+1555123{number}") for number in range(1000, 1050)]
    old = directory.replace(numbers, [second], [Route(provider_id=second.id, target="+44")])
    assert directory.number("+15551234567") is None
    assert len(directory.numbers) == 50
    assert directory.provider(first.id) is None and directory.provider_named("first") is None
    assert directory.provider_at("10.0.0.1") is None
    assert directory.provider(second.id) is second is directory.provider_named("second")
    assert [route.target for route in directory.routes] == ["+44"]
    assert directory.providers == [second]
    assert "+15551234567" in old.numbers
    old = directory.replace([], [], [])
    steps = 1
    while old.discard(20):
        steps += 1
    assert steps == 3 and not old.numbers and not len(old.routes)


def test_content_can_be_built_aside_in_slices_while_the_old_serves() -> None:
    directory = Directory()
    directory.put_number(Number(number="+15550000001"))
    builder = SnapshotBuilder()
    builder.numbers([Number(number="+15551230000")])
    builder.numbers([NumberRow("+15551230001", "active", FLOW, FLOW, FLOW, OWNER, 9)])
    assert directory.number("+15550000001") is not None and directory.number("+15551230000") is None
    directory.swap(builder.finish())
    assert directory.number("+15550000001") is None
    assert directory.number("+15551230000") and directory.number("+15551230001")


def test_equal_values_are_shared_between_rows() -> None:
    builder = SnapshotBuilder()
    builder.numbers(
        Number(number=f"+1555123{item}", call_flow_id=UUID(int=4), country="US") for item in range(1000, 1002)
    )
    one, other = builder.finish().numbers.values()
    assert one.call_flow_id is other.call_flow_id and one.place is other.place and one.notes is other.notes


def test_a_provider_in_use_is_not_removed() -> None:
    directory = Directory()
    trunk = provider("primary")
    directory.put_provider(trunk)
    route = Route(provider_id=trunk.id)
    directory.put_route(route)
    with pytest.raises(RoutingError, match="1 routes lead to provider primary; remove or change them first") as error:
        directory.remove_provider(trunk.id)
    assert error.value.reason == "PROVIDER_IN_USE"
    assert directory.remove_route(route.id) and not directory.remove_route(route.id)
    assert directory.remove_provider(trunk.id) and not directory.remove_provider(trunk.id)
    assert directory.provider(trunk.id) is None


def test_changing_a_number_is_atomic_and_a_refusal_changes_nothing() -> None:
    directory = Directory()

    def refuse(row: NumberRow | None) -> NumberRow:
        raise RoutingError("NUMBER_NOT_FOUND", "no")

    with pytest.raises(RoutingError):
        directory.change_number("+15551234567", refuse)
    assert directory.number("+15551234567") is None

    def count(row: NumberRow | None) -> NumberRow:
        key = row.key + 1 if row else 1
        return NumberRow("+15551234567", "active", FLOW, FLOW, FLOW, OWNER, key)

    threads = [
        threading.Thread(target=lambda: [directory.change_number("+15551234567", count) for _ in range(500)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    row = directory.number("+15551234567")
    assert row is not None and row.key == 2000


# Source addresses


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("192.0.2.10", "exact"),
        ("::ffff:192.0.2.10", "exact"),
        ("192.0.2.11", "narrow"),
        ("192.0.2.200", "wide"),
        ("198.51.100.7", "numeric"),
        ("2001:db8:1::5", "six"),
        ("2001:db8::9", "bracketed"),
        ("2001:0db8:0:0::9", "bracketed"),
        ("fe80::1%eth0", "link"),
        ("203.0.113.9", "mapped"),
        ("192.0.3.1", None),
        ("2001:db9::1", None),
        ("not-an-address", None),
        ("", None),
    ],
)
def test_the_trunk_of_an_address(host: str, name: str | None) -> None:
    directory = directory_of(
        provider("wide", inbound_addresses=["192.0.2.0/24"]),
        provider("narrow", inbound_addresses=["192.0.2.8/29"]),
        provider("exact", inbound_addresses=["192.0.2.10"]),
        provider("numeric", "198.51.100.7:5080"),
        provider("six", inbound_addresses=["2001:db8:1::/48"]),
        provider("bracketed", "[2001:db8::9]:5060"),
        provider("link", inbound_addresses=["fe80::/10"]),
        provider("mapped", inbound_addresses=["::ffff:203.0.113.0/120"]),
    )
    for _ in range(2):  # the second answer comes from the memo
        found = directory.provider_at(host)
        assert (found.name if found else None) == name


def test_what_is_configured_goes_before_what_a_name_resolves_to_and_the_first_before_the_second() -> None:
    resolved = provider("resolved")
    directory = directory_of(resolved, provider("configured", inbound_addresses=["10.1.1.1"]))
    directory.set_resolved_addresses(resolved.id, ["10.1.1.1", "10.1.1.2", "2001:db8::5"])
    assert directory.provider_at("10.1.1.1").name == "configured"  # type: ignore[union-attr]
    assert directory.provider_at("10.1.1.2").name == "resolved"  # type: ignore[union-attr]
    twins = directory_of(
        provider("a", inbound_addresses=["10.0.0.0/8"]), provider("b", inbound_addresses=["10.0.0.0/8"])
    )
    assert twins.provider_at("10.2.3.4").name == "a"  # type: ignore[union-attr]


def test_resolved_addresses_follow_the_name_and_outlive_a_reload() -> None:
    trunk = provider("primary")
    directory = directory_of(trunk)
    assert directory.resolved_addresses(trunk.id) == ()
    directory.set_resolved_addresses(trunk.id, ["10.1.1.1"])
    directory.set_resolved_addresses(trunk.id, ["10.1.1.1"])
    assert directory.resolved_addresses(trunk.id) == ("10.1.1.1",)
    assert directory.provider_at("10.1.1.1") is trunk
    directory.replace([], [trunk], [])
    assert directory.provider_at("10.1.1.1") is trunk
    directory.set_resolved_addresses(trunk.id, ["10.1.1.2"])
    assert directory.provider_at("10.1.1.1") is None
    assert directory.provider_at("10.1.1.2") is trunk
    with pytest.raises(ValueError, match="no address"):
        directory.set_resolved_addresses(trunk.id, ["example.com"])
    assert directory.provider_at("10.1.1.2") is trunk
    changed = provider("primary", "other.example.com")
    directory.put_provider(changed)
    assert directory.provider_at("10.1.1.2") is None
    directory.set_resolved_addresses(UUID(int=1), ["10.1.1.3"])
    assert directory.provider_at("10.1.1.3") is None
    directory.replace([], [], [])
    assert directory.provider_at("10.1.1.2") is None


def test_answers_that_were_remembered_go_with_a_change() -> None:
    table: AddressTable[str] = AddressTable()
    assert table.find("10.0.0.1") is None
    table.add("10.0.0.0/8", "net")
    assert table.find("10.0.0.1") == "net"
    table.add("10.0.0.1", "host")
    assert table.find("10.0.0.1") == "host"


def test_a_flood_of_forged_sources_does_not_grow_memory() -> None:
    table: AddressTable[str] = AddressTable()
    table.add("10.0.0.0/8", "net")
    for number in range(10_000):
        table.find(f"11.0.{number >> 8}.{number & 255}")
    assert len(table._memo) <= 4096
    assert table.find("10.5.5.5") == "net"


@given(st.ip_addresses(v=4), st.integers(1, 32), st.ip_addresses(v=4))
def test_networks_match_as_the_library_has_it(base: object, length: int, other: object) -> None:
    import ipaddress

    network = ipaddress.ip_network(f"{base}/{length}", strict=False)
    table: AddressTable[bool] = AddressTable()
    table.add(str(network), True)
    for address in (base, other):
        assert bool(table.find(str(address))) == (ipaddress.ip_address(str(address)) in network)


def test_addresses_and_networks_are_read() -> None:
    assert str(parse_address("[2001:DB8::1]")) == "2001:db8::1"
    assert parse_address("x") is None
    assert str(parse_network("::ffff:10.0.0.0/104")) == "10.0.0.0/8"
    with pytest.raises(ValueError, match=r"write 10\.0\.0\.0/8"):
        parse_network("10.0.0.1/8")


def test_settings_refuse_what_is_no_network_or_domain() -> None:
    with pytest.raises(ValueError, match="no address or network"):
        RoutingSettings(trusted_networks=("lan",))
    with pytest.raises(ValueError, match="more than a host"):
        RoutingSettings(from_domain="a>b")
    assert RoutingSettings(international_prefixes=("0", "0011")).international_prefixes == ("0011", "0")

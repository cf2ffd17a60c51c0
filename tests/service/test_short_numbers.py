"""Short and emergency numbers: who may dial them, which providers get them, and what does not keep them back."""

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from engine.sip.auth.digest import ha1_of_each
from engine.sip.message.message import Request
from routing.directory.extensions import ExtensionRow
from tests.simulation.node import ENGINE, Phone, World, configured
from tests.simulation.peer import ANSWER, OFFER

CALLS = count(1)
OFFICE, GUEST, TRUNK, HELP = "192.0.2.101", "203.0.113.9", "198.51.100.1", "198.51.100.2"


@pytest.fixture
def worlds(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    known: list[World] = []

    def make(routes: list[dict[str, Any]] | None = None, country: str = "US", **trunk: Any) -> World:
        world = World(
            monkeypatch,
            configured(
                sip={"trusted_networks": [f"{OFFICE}/32"]},
                numbering={"default_country": country, "short_numbers": ["4242"]},
                providers=[
                    {"name": "trunk", "hostname": TRUNK, "inbound_addresses": [f"{TRUNK}/32"]} | trunk,
                    {"name": "help", "hostname": HELP},
                ],
                routes=routes if routes is not None else [{"target": "all", "provider": "trunk"}],
                numbers=[{"number": "+15551234567", "call_flow": "to 911"}],
                flows=[
                    {
                        "name": "to 911",
                        "actions": [
                            {"type": "connect", "option": {"destinations": [{"type": "tel", "target": "911"}]}}
                        ],
                    }
                ],
            ),
        )
        known.append(world)
        return world

    yield make
    for world in known:
        world.close()


def call(world: World, dialled: str, source: str = OFFICE, headers: str = "") -> Phone:
    caller = world.phone(source)
    caller.call_id = f"call-{next(CALLS)}"
    caller.invite(headers, OFFER, uri=f"sip:{dialled}@{ENGINE}")
    world.wait(0.3)
    return caller


def refused(caller: Phone) -> int:
    """With what its last call was refused."""
    statuses = [answer.status for answer in caller.responses("INVITE") if answer.call_id == caller.call_id]
    assert statuses[-1] >= 300
    return statuses[-1]


def heard(world: World, host: str = TRUNK) -> list[Request]:
    peer = world.network.nodes.get((host, 5060)) or world.phone(host)
    return peer.requests("INVITE")


@pytest.mark.parametrize(
    ("country", "dialled"),
    [
        *(("US", short) for short in ("911", "112", "933", "411", "988", "4242")),
        *(("DE", short) for short in ("112", "110", "116117", "4242")),
        *(("GB", short) for short in ("999", "112", "100")),
        ("", "911"),
        ("", "112"),
        ("", "4242"),
    ],
)
def test_they_go_out_as_they_stand(worlds: Any, country: str, dialled: str) -> None:
    world = worlds(country=country, tech_prefix="99", tech_postfix="#7", number_format="plain")
    world.phone(TRUNK)
    call(world, dialled)
    [invite] = heard(world)
    assert invite.uri_text == f"sip:{dialled}@{TRUNK}"
    assert f"<sip:{dialled}@" in invite.get("To")


@pytest.mark.parametrize("dialled", ["911", "411", "4242"])
def test_the_prefix_goes_before_them_where_the_route_says_so(worlds: Any, dialled: str) -> None:
    routes = [{"target": "all", "provider": "trunk", "short_prefix": True}]
    world = worlds(routes, tech_prefix="9#", tech_postfix="77@carrier.example", number_format="national")
    world.phone(TRUNK)
    call(world, dialled)
    [invite] = heard(world)
    assert invite.uri_text == f"sip:9%23{dialled}@carrier.example"
    call(world, "+12125551234")
    assert "sip:9%23212555123477@carrier.example" in [one.uri_text for one in heard(world)]


@pytest.mark.parametrize("short", ["911", "411"])
@pytest.mark.parametrize("written", ["{}%23", "{0[0]}-{0[1]}-{0[2]}", "{};phone-context=+1", "{};npdi", "({})"])
def test_however_they_are_written(worlds: Any, short: str, written: str) -> None:
    world = worlds()
    world.phone(TRUNK)
    call(world, written.format(short))
    assert [invite.uri_text for invite in heard(world)] == [f"sip:{short}@{TRUNK}"]


@pytest.mark.parametrize(
    ("country", "dialled"), [("US", "12345"), ("DE", "911"), ("DE", "411"), ("", "411"), ("", "999")]
)
def test_what_is_none_here_is_none(worlds: Any, country: str, dialled: str) -> None:
    world = worlds(country=country)
    world.phone(TRUNK)
    assert call(world, dialled).final("INVITE").status == 404
    assert not heard(world)


@pytest.mark.parametrize(("source", "status"), [(GUEST, 403), (TRUNK, 404)])
def test_strangers_and_trunks_make_no_emergency_calls(worlds: Any, source: str, status: int) -> None:
    world = worlds()
    assert call(world, "911", source).final("INVITE").status == status


def test_routes_for_one_go_before_those_for_all_emergencies_and_these_before_the_rest(worlds: Any) -> None:
    world = worlds(
        [
            {"target": "all", "provider": "trunk"},
            {"target": "emergency", "provider": "help"},
            {"target": "988", "provider": "help"},
            {"target": "+1", "provider": "help"},
        ]
    )
    world.phone(TRUNK), world.phone(HELP)
    for dialled, host in (("911", HELP), ("988", HELP), ("411", TRUNK)):
        call(world, dialled)
        assert f"sip:{dialled}@{host}" in [invite.uri_text for invite in heard(world, host)]


def test_a_route_for_numbers_serves_none_of_them(worlds: Any) -> None:
    world = worlds([{"target": "+9", "provider": "trunk"}, {"target": "+4", "provider": "trunk"}])
    world.phone(TRUNK)
    assert call(world, "411").final("INVITE").status == 480
    assert not heard(world)


def test_an_extension_goes_before_a_short_number_and_an_emergency_before_it(worlds: Any) -> None:
    world = worlds()
    world.phone(TRUNK)
    for name in ("411", "911"):
        row = ExtensionRow(name=name, realm="trunkline", ha1=ha1_of_each(name, "trunkline", name))
        world.node.directory.put_extension(row)
    assert call(world, "411").final("INVITE").status == 480  # its phones are not there
    call(world, "911")
    assert [invite.uri_text for invite in heard(world)] == [f"sip:911@{TRUNK}"]


def test_a_flow_connects_an_emergency_call(worlds: Any) -> None:
    world = worlds()
    world.phone(TRUNK)
    call(world, "+15551234567")
    assert [invite.uri_text for invite in heard(world)] == [f"sip:911@{TRUNK}"]


@pytest.mark.parametrize("limit", [{"max_channels": 1}, {"max_cps": 1}])
def test_a_full_provider_takes_an_emergency_call_all_the_same(worlds: Any, limit: dict[str, int]) -> None:
    world = worlds(**limit)
    trunk = world.phone(TRUNK)
    call(world, "411")
    trunk.answer(heard(world)[0], 200, body=ANSWER, tag="far")
    world.wait(0.1)
    assert refused(call(world, "988")) == 480
    call(world, "911")
    assert f"sip:911@{TRUNK}" in [invite.uri_text for invite in heard(world)]


def test_one_in_cooldown_does_too(worlds: Any) -> None:
    world = worlds()
    trunk = world.phone(TRUNK)
    call(world, "411")
    trunk.answer(heard(world)[0], 503, "Retry-After: 120\r\n", tag="far")
    world.wait(0.3)
    assert refused(call(world, "988")) == 480
    call(world, "911")
    assert f"sip:911@{TRUNK}" in [invite.uri_text for invite in heard(world)]


def test_an_unhealthy_one_is_tried_last_though_it_is_in_cooldown(worlds: Any) -> None:
    world = worlds([{"target": "all", "provider": "trunk"}, {"target": "all", "provider": "help", "priority": 1}])
    world.phone(TRUNK), world.phone(HELP)
    ill = next(one for one in world.node.directory.providers if one.name == "trunk")
    state = world.node.board.state(ill.id.int)
    state.cooldown_until, state.skipped = 1e9, True
    call(world, "911")
    assert [invite.uri_text for invite in heard(world, HELP)] == [f"sip:911@{HELP}"]
    assert not heard(world)


@pytest.mark.parametrize("way", ["draining", "full"])
def test_neither_a_full_engine_nor_one_that_drains_keeps_an_emergency_call_out(worlds: Any, way: str) -> None:
    world = worlds()
    world.phone(TRUNK)
    if way == "draining":
        world.node.agent.endpoint.draining = True
    else:
        world.node.agent.strangers._max_calls = world.node.agent.strangers._calls_of_all = 0
    assert refused(call(world, "411")) == 503
    assert refused(call(world, "911", GUEST)) == 503
    assert refused(call(world, "911", TRUNK)) == 503
    call(world, "911")
    assert f"sip:911@{TRUNK}" in [invite.uri_text for invite in heard(world)]


def test_a_phone_that_may_not_call_out_calls_for_help(worlds: Any) -> None:
    world = worlds()
    world.phone(TRUNK)
    row = ExtensionRow(name="lobby", realm="trunkline", ha1=ha1_of_each("lobby", "trunkline", "lobby"), max_calls=0)
    world.node.directory.put_extension(row)
    phone = world.phone("203.0.113.21")
    for dialled in ("+442079460123", "911"):
        uri = f"sip:{dialled}@{ENGINE}"
        phone.remote_tag = ""
        phone.call_id = f"call-{dialled}"
        phone.invite("", OFFER, uri=uri)
        challenge = [one for one in phone.responses("INVITE") if one.call_id == phone.call_id][-1]
        if challenge.status == 401:
            phone.invite(phone.credentials(challenge, "INVITE", uri, "lobby", "lobby", OFFER), OFFER, uri=uri)
        world.wait(0.3)
    assert [invite.uri_text for invite in heard(world)] == [f"sip:911@{TRUNK}"]


# ---- texts


def text(world: World, dialled: str, source: str = OFFICE) -> Phone:
    sender = world.phone(source)
    sender.call_id = f"text-{next(CALLS)}"
    headers = "P-Asserted-Identity: <sip:+12125550100@x>\r\nContent-Type: text/plain\r\n"
    sender.request("MESSAGE", headers, b"Hello", uri=f"sip:{dialled}@{ENGINE}")
    world.wait(0.5)
    return sender


def texts(world: World, host: str = TRUNK) -> list[Request]:
    """What a provider has been sent, without retransmissions."""
    sent = world.network.nodes[host, 5060].requests("MESSAGE")
    return list({request.call_id: request for request in sent}.values())


@pytest.mark.parametrize("dialled", ["4242", "911", "988", "4-2-4-2", "4242%23", "4242;phone-context=+1"])
def test_a_text_to_one_goes_out_as_a_call_does(worlds: Any, dialled: str) -> None:
    world = worlds(tech_prefix="99", number_format="plain")
    trunk = world.phone(TRUNK)
    sender = text(world, dialled)
    digits = dialled.replace("%23", "").partition(";")[0].replace("-", "")
    [message] = texts(world)
    assert message.uri_text == f"sip:{digits}@{TRUNK}" and message.body == b"Hello"
    trunk.answer(message, 202)
    world.wait(0.5)
    assert sender.statuses("MESSAGE") == [202]


def test_a_text_goes_by_the_route_of_the_short_number_and_its_prefix(worlds: Any) -> None:
    world = worlds(
        [
            {"target": "all", "provider": "help"},
            {"target": "4242", "provider": "trunk", "short_prefix": True},
            {"target": "emergency", "provider": "help", "short_prefix": True},
        ],
        tech_prefix="99",
    )
    world.phone(TRUNK), world.phone(HELP)
    text(world, "4242"), text(world, "911"), text(world, "988")
    assert [one.uri_text for one in texts(world)] == [f"sip:994242@{TRUNK}"]
    assert sorted(one.uri_text for one in texts(world, HELP)) == [f"sip:911@{HELP}", f"sip:988@{HELP}"]


@pytest.mark.parametrize(("dialled", "status"), [("4243", 404), ("411", 404)])
def test_a_text_to_what_is_none_is_for_nobody(worlds: Any, dialled: str, status: int) -> None:
    world = worlds(country="DE")
    world.phone(TRUNK)
    assert text(world, dialled).statuses("MESSAGE")[-1] == status
    assert not texts(world)


@pytest.mark.parametrize("source", [GUEST, TRUNK])
def test_strangers_and_trunks_text_no_short_number(worlds: Any, source: str) -> None:
    world = worlds()
    world.phone(TRUNK)
    for dialled in ("4242", "911"):
        assert text(world, dialled, source).statuses("MESSAGE")[-1] in (403, 404)
    assert not texts(world)

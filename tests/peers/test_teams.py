"""Microsoft Teams Direct Routing, with Kamailio in its place: a trunk over TLS with certificates of both sides, that is
shown a name wherever the engine says who it is, and refuses everything else."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.certificates import Authority
from tests.peers import route_set
from tests.peers.engine import Engine, write_config
from tests.peers.teams import NAME, Teams

pytestmark = pytest.mark.peer

ENGINE, TEAMS, TEAMS_PHONE, PHONE = "127.0.1.10", "127.0.1.4", "127.0.1.5", "127.0.1.6"
SBC, SBC_PORT = "sbc1.example.com", 6061
FOREIGN, OURS = "+821012345678", "+15551234567"
CALL = ["INVITE", "ACK", "INVITE", "ACK", "INVITE", "ACK", "BYE"]


class World:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority(folder)
        self.own = self.authority.issue(SBC, common=SBC)
        self.closing = ExitStack()
        self.engine: Engine
        self.teams: Teams

    def config(self, **provider: Any) -> dict[str, Any]:
        shown = {"certificate": str(self.own.certificate), "key": str(self.own.key)}
        connect = {
            "type": "connect",
            "option": {"destinations": [{"type": "sip", "target": f"sip:desk@{PHONE}:6210"}]},
        }
        return {
            "sip": {
                "listen": [f"udp://{ENGINE}:6060", f"tls://{ENGINE}:{SBC_PORT}"],
                "trusted_networks": [f"{PHONE}/32"],
                "allow_guests": False,
                "tls": {"certificates": [shown], "client_ca": str(self.authority.ca), "client_certificates": "request"},
            },
            "store": f"sqlite:///{self.folder}/trunkline.db",  # without one nobody probes
            "log": {"level": "info", "format": "json"},
            "providers": [
                {
                    "name": "teams",
                    "hostname": f"{TEAMS}:6201",
                    "transport": "tls",
                    "contact_host": f"{SBC}:{SBC_PORT}",
                    "tls": {**shown, "ca": str(self.authority.ca), "names": [NAME]},
                    "tls_client_names": [NAME],
                }
                | provider
            ],
            "routes": [{"target": "all", "provider": "teams"}],
            "flows": [{"name": "in", "actions": [connect]}],
            "numbers": [{"number": OURS, "call_flow": "in"}],
        }

    def start(self, **provider: Any) -> "World":
        self.teams = self.closing.enter_context(
            Teams(
                self.folder / "teams",
                self.authority,
                TEAMS,
                tls=6201,
                udp=6200,
                sbc=SBC,
                sbc_address=f"{ENGINE}:{SBC_PORT}",
                phone=f"{TEAMS_PHONE}:6210",
            )
        )
        self.engine = self.closing.enter_context(Engine.start(write_config(self.folder, self.config(**provider))))
        return self

    def side(self, side: route_set.Side, host: str, port: int, **more: Any) -> Any:
        return self.closing.enter_context(route_set.start(side, self.folder, host, port, **more))

    def said(self) -> str:
        return f"engine:\n{self.engine.log[-6000:]}\nTeams:\n{self.teams.log[-6000:]}"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    with made.closing:
        yield made


@pytest.mark.parametrize("bye", ["caller", "callee"])
def test_a_call_to_teams(world: World, bye: route_set.Side) -> None:
    """OPTIONS first; then all of a call over TLS: both sides re-INVITE, one hangs up, and Teams finds no fault."""
    world.start()
    try:
        world.teams.wait("took OPTIONS over tls")
        callee = world.side("callee", TEAMS_PHONE, 6210, bye=bye)
        caller = world.side("caller", PHONE, 6220, bye=bye, to=f"{ENGINE}:6060", service=FOREIGN)
        route_set.finish(caller, world.folder)
        route_set.finish(callee, world.folder)
        world.teams.wait("took BYE over " + ("tls" if bye == "caller" else "udp"))
        assert f"sip:{FOREIGN}@" in world.teams.wait("took INVITE over tls")
        assert "refused" not in world.teams.log and "Traceback" not in world.engine.log
    except AssertionError as error:
        error.add_note(world.said())
        raise


@pytest.mark.parametrize("bye", ["caller", "callee"])
def test_a_call_from_teams(world: World, bye: route_set.Side) -> None:
    """It comes by a connection of theirs, whose certificate makes it the trunk's: guests are not let in here."""
    world.start()
    try:
        world.teams.wait("took OPTIONS over tls")
        callee = world.side("callee", PHONE, 6210, bye=bye)
        caller = world.side("caller", TEAMS_PHONE, 6220, bye=bye, to=f"{TEAMS}:6200", service=OURS)
        route_set.finish(caller, world.folder)
        route_set.finish(callee, world.folder)
        world.teams.wait("took BYE over " + ("udp" if bye == "caller" else "tls"))
        assert f"<sip:{SBC}:{SBC_PORT};transport=tls>" in world.teams.wait("answered 200 INVITE")
        assert "refused" not in world.teams.log and "Traceback" not in world.engine.log
    except AssertionError as error:
        error.add_note(world.said())
        raise


@pytest.mark.parametrize(
    ("provider", "what"),
    [
        ({"contact_host": ""}, "refused OPTIONS: the Via"),
        ({"contact_host": f"other.example.com:{SBC_PORT}"}, "refused OPTIONS: the Via"),
        ({"contact_host": SBC, "from_domain": "elsewhere.example"}, "refused INVITE: the From"),
    ],
)
def test_what_shows_another_name_is_refused(world: World, provider: dict[str, str], what: str) -> None:
    world.start(**provider)
    try:
        caller = world.side("caller", PHONE, 6220, bye="caller", to=f"{ENGINE}:6060", service=FOREIGN)
        world.teams.wait(what)
        assert caller.wait(30) != 0
    except AssertionError as error:
        error.add_note(world.said())
        raise


def test_without_a_certificate_of_ours_nothing_gets_there(world: World) -> None:
    world.start(tls={"ca": str(world.authority.ca), "names": [NAME]})
    caller = world.side("caller", PHONE, 6220, bye="caller", to=f"{ENGINE}:6060", service=FOREIGN)
    assert caller.wait(30) != 0
    assert "took" not in world.teams.log and "call ended" in world.engine.log

"""The tutorials, command by command, with curl against a started engine: every field of every answer is compared.

The engine is `trunkline serve` in a process of its own with a database on disk; its trunks are SIPp.
"""

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
if str(ROOT) not in sys.path:  # sipp_scenarios is no part of the installed package
    sys.path.insert(0, str(ROOT))

from sipp_scenarios.suite import Provider  # noqa: E402
from tests.api.tutorials import (  # noqa: E402
    ID,
    NIL,
    TEXT,
    TIME,
    Curl,
    Part,
    Shape,
    call_shown,
    differences,
    error,
    number_shown,
    offered,
    providercall,
    providercall_shown,
    providercall_with_actions,
)
from tests.peers.engine import engine_environment, write_config  # noqa: E402
from tests.peers.process import Process  # noqa: E402
from tests.peers.sipp import Sipp  # noqa: E402

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(shutil.which("sipp") is None, reason="SIPp is not installed (apt-get install sip-tester)"),
    pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed (apt-get install curl)"),
]

PASSWORD = "a password for the tutorial"
CALL_STATUS = Shape("the status of a call", "dialing|ringing|progressing|terminating|canceling|hangup")
WORD = Shape("a word", "[a-z]*")
PORT = 5087
ANOTHER = "4dbeabd6-f397-4375-95d2-a38411e07ed1"  # no provider has it
ANSWERING, BUSY, REFUSING, NOBODY = "127.0.0.181", "127.0.0.182", "127.0.0.183", "127.0.0.184"
TEXT_BACK = [{"type": "message_send", "option": {"text": "We are open."}}]
ECHO_BACK = [{"type": "answer"}, {"type": "sleep", "option": {"duration": 100}}, {"type": "hangup"}]


class Started:
    """A started engine: `as_admin` and `as_customer` are logged in by user name and password."""

    def __init__(self, address: str, sip: str, key: str) -> None:
        self.address, self.sip = address, sip
        self.root = Curl(address, key)
        self.as_admin = self._logged_in("platform-admin", "project_super_admin")
        customer = self.root("POST", "/v1.0/customers", {"name": "somebody", "tier": "basic"}, status=201)
        self.as_customer = self._logged_in("customer", "customer_admin", customer_id=customer["id"])

    def _logged_in(self, username: str, permission: str, **more: Any) -> Curl:
        agent = {"username": username, "password": PASSWORD, "permission": permission} | more
        self.root("POST", "/v1.0/agents", agent, status=201)
        login = {"username": username, "password": PASSWORD}
        answer = Curl(self.address, "")(
            "POST", "/v1.0/auth/login", login, status=200, shows={"username": username, "token": TEXT}
        )
        return Curl(self.address, answer["token"])

    def provider(self, name: str, host: str) -> str:
        made = self.as_admin("POST", "/v1.0/providers", {"name": name, "hostname": f"{host}:{PORT}"}, status=201)
        return str(made["id"])

    def followed(self, call_id: str, provider_id: str, until: str = "hangup") -> Any:
        """Asks for the call, as the tutorial does, until it has this status; every answer is compared."""
        shown = call_shown(call_id, provider_id, CALL_STATUS, WORD)
        for _ in range(300):
            call = self.as_admin("GET", f"/v1.0/calls/{call_id}", status=200, shows=shown)
            if call["status"] == until:
                return call
            assert call["status"] != "hangup" and call["hangup_reason"] == "", call
            time.sleep(0.05)  # a call that talks lasts: api.request_rate allows 50 questions a second
        raise AssertionError(f"not {until}: {call}")


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    directory = tmp_path_factory.mktemp("tutorials")
    config: dict[str, Any] = {
        "sip": {"listen": ["udp://127.0.0.1:0"], "probe_interval": 0},
        "api": {"listen": "127.0.0.1:0"},
        "store": f"sqlite:///{directory}/trunkline.db",
    }
    path = write_config(directory, config)
    command = [sys.executable, "-c", "from service.cli.commands import main; main()", "serve", "-c", str(path)]
    environment = {"PYTHONUNBUFFERED": "1", "NO_COLOR": "1", "COLUMNS": "500"} | engine_environment(config)
    with Process(command, cwd=ROOT, env=environment) as engine:
        sip = re.search(r"udp://(\S+)", engine.wait_line(r"^ready: udp://", 30))
        api = re.search(r"(http://[^/ ]+)/v1\.0", engine.wait_line(r"^ready: http://", 30))
        key = re.search(r"(tk_\S+)", engine.wait_line(r"access key of the super admin", 30))
        assert sip and api and key
        yield Started(api[1], sip[1], key[1])
    assert "Traceback" not in engine.log, engine.log


@contextmanager
def trunk(scenario: str, host: str, calls: int = 1, **keys: str) -> Iterator[None]:
    """A SIPp provider, which must see exactly so many calls, all of them as its scenario has it."""
    role = Provider(scenario, host, calls, PORT, keys=keys)
    sipp = Sipp(role, host, PORT, 40, [])
    try:
        assert sipp.listening(), sipp.log()
        yield
        faults = sipp.faults(sipp.drain())
        assert not faults, "\n".join([*faults, sipp.log()])
    finally:
        sipp.close()


# ---- providercalls


def test_a_providercall_command_by_command(started: Started) -> None:
    curl = started.as_admin
    provider = started.provider("first", ANSWERING)
    listed = curl("GET", "/v1.0/providers", status=200)
    assert provider in [row["id"] for row in listed["result"]]
    with trunk("uas_ring_slowly", ANSWERING, calls=3):
        made = curl(
            "POST", "/v1.0/providercalls", providercall(provider), status=201, shows=providercall_shown(provider)
        )
        over = started.followed(made["call_ids"][0], provider)
        assert (over["hangup_reason"], over["sip_status"]) == ("normal", 200)
        assert over["tm_ringing"] and over["tm_progressing"]

        shows = providercall_shown(provider, flow_id=ID)
        acted = curl("POST", "/v1.0/providercalls", providercall_with_actions(provider), status=201, shows=shows)
        assert acted["flow_id"] != NIL
        over = started.followed(acted["call_ids"][0], provider)
        assert (over["hangup_reason"], over["hangup_by"]) == ("normal", "local")
        assert over["tm_progressing"] and over["notes"] == []

        # One that talks for a while is seen in the state that the tutorial shows.
        flow = curl("POST", "/v1.0/flows", {"actions": [{"type": "sleep", "option": {"duration": 60_000}}]}, status=201)
        body = providercall(provider) | {"flow_id": flow["id"]}
        talking = curl("POST", "/v1.0/providercalls", body, status=201, shows=providercall_shown(provider, flow["id"]))
        call_id = talking["call_ids"][0]
        started.followed(call_id, provider, "progressing")
        shows = call_shown(call_id, provider, "progressing")
        curl("GET", f"/v1.0/calls/{call_id}", status=200, shows=shows)
        curl(
            "POST", f"/v1.0/calls/{call_id}/hangup", status=200, shows=call_shown(call_id, provider, CALL_STATUS, WORD)
        )
        assert started.followed(call_id, provider)["hangup_reason"] == "normal"

    row = Part(id=made["id"], provider_id=provider, call_ids=made["call_ids"])
    path = f"/v1.0/providercalls?provider_id={provider}"
    page = {"result": [Part(id=talking["id"]), Part(id=acted["id"]), row], "next_page_token": TEXT}
    curl("GET", path, status=200, shows=page)
    path = f"/v1.0/providercalls/{made['id']}"
    assert curl("GET", path, status=200, shows=providercall_shown(provider)) == made  # it does not change
    curl("DELETE", path, status=200, shows=providercall_shown(provider, tm_delete=TIME))
    curl("GET", path, status=404, shows=error("NOT_FOUND", "PROVIDERCALL_NOT_FOUND"))
    started.followed(made["call_ids"][0], provider)  # its call is still there


def test_errors_are_those_that_the_tutorial_shows(started: Started) -> None:
    provider = started.provider("second", ANSWERING)
    body = providercall(provider)
    denied = error("PERMISSION_DENIED", "PERMISSION_DENIED")
    started.as_customer("POST", "/v1.0/providercalls", body, status=403, shows=denied)
    missing = error("INVALID_ARGUMENT", "PROVIDER_NOT_FOUND")
    started.as_admin("POST", "/v1.0/providercalls", body | {"provider_id": ANOTHER}, status=400, shows=missing)
    started.as_admin("DELETE", f"/v1.0/providers/{provider}", status=200)
    started.as_admin("POST", "/v1.0/providercalls", body, status=400, shows=missing)
    nobody = Curl(started.address, "")
    nobody("POST", "/v1.0/providercalls", body, status=401, shows=error("UNAUTHENTICATED", "AUTHENTICATION_REQUIRED"))
    forged = Curl(started.address, "a.b.c")
    forged("GET", "/v1.0/providercalls", status=401, shows=error("UNAUTHENTICATED", "INVALID_CREDENTIALS"))


@pytest.mark.parametrize(
    ("scenario", "host", "reason", "status"),
    [("uas_486", BUSY, "busy", 486), ("uas_404", REFUSING, "failed", 404), ("", NOBODY, "failed", 0)],
)
def test_how_calls_fail(started: Started, scenario: str, host: str, reason: str, status: int) -> None:
    provider = started.provider(f"at {host}", host)

    def placed() -> Any:
        made = started.as_admin("POST", "/v1.0/providercalls", providercall(provider), status=201)
        return started.followed(made["call_ids"][0], provider)

    if scenario:
        with trunk(scenario, host, header="X-Test: none"):
            over = placed()
        assert over["sip_status"] == status
    else:
        over = placed()
    assert (over["hangup_reason"], over["tm_progressing"]) == (reason, None)
    provider_now = started.as_admin("GET", f"/v1.0/providers/{provider}", status=200)
    assert provider_now["health_status"] in ("unknown", "healthy", "unhealthy")


# ---- numbers


def in_inventory(started: Started, number: str, region: str = "", city: str = "") -> None:
    started.root("POST", "/v1.0/inventory", {"number": number, "region": region, "city": city}, status=201)


def flow_of(started: Started, name: str, actions: Any = ECHO_BACK) -> str:
    body = {"name": name, "actions": actions}
    return str(started.as_customer.short("POST", "/v1.0/flows", body, status=201)["id"])


def test_searched_provisioned_and_given_flows(started: Started) -> None:
    curl = started.as_customer.short
    in_inventory(started, "+15551234567", "California", "San Francisco")
    in_inventory(started, "+15551234568", "California", "Los Angeles")
    found = curl("GET", "/v1.0/number_availables?country=US&type=local", status=200)
    shown = [
        offered("+15551234567", "local", "California", "San Francisco"),
        offered("+15551234568", "local", "California", "Los Angeles"),
    ]
    found["result"].sort(key=lambda row: row["number"])
    assert_shown({"result": shown, "next_page_token": TEXT}, found)
    nothing = {"call_flow_id": NIL, "message_flow_id": NIL}
    made = curl(
        "POST", "/v1.0/numbers", {"number": "+15551234567"}, status=201, shows=number_shown("+15551234567", **nothing)
    )
    # One that is taken is no longer on offer, and cannot be had twice.
    left = curl("GET", "/v1.0/number_availables?country=US&type=local", status=200)
    assert [row["number"] for row in left["result"]] == ["+15551234568"]
    taken = error("ALREADY_EXISTS", "NUMBER_ALREADY_EXISTS")
    curl("POST", "/v1.0/numbers", {"number": "+15551234567"}, status=409, shows=taken)
    # Both flows at once, and each alone (scenarios 2 and 4).
    calls, messages = flow_of(started, "menu"), flow_of(started, "keywords", TEXT_BACK)
    path, both = f"/v1.0/numbers/{made['id']}", {"call_flow_id": calls, "message_flow_id": messages}
    curl("PUT", path, both, status=200, shows=number_shown("+15551234567", **both))
    curl(
        "PUT",
        path,
        {"message_flow_id": NIL},
        status=200,
        shows=number_shown("+15551234567", **both | {"message_flow_id": NIL}),
    )
    curl("PUT", path, {"message_flow_id": messages}, status=200, shows=number_shown("+15551234567", **both))
    # Its states.
    curl("POST", f"{path}/suspend", status=200, shows=Part(status="suspended"))
    curl("POST", f"{path}/reactivate", status=200, shows=Part(status="active"))
    curl("DELETE", path, status=200, shows=Part(status="released", tm_delete=TIME))
    curl("GET", path, status=200, shows=Part(id=made["id"], status="released"))


def test_a_hotline_with_a_toll_free_number(started: Started) -> None:
    curl = started.as_customer.short
    in_inventory(started, "+18005551234")
    page = {"result": [offered("+18005551234", "toll_free", "", "")], "next_page_token": TEXT}
    curl("GET", "/v1.0/number_availables?country=US&type=toll_free", status=200, shows=page)
    made = curl("POST", "/v1.0/numbers", {"number": "+18005551234"}, status=201, shows=number_shown("+18005551234"))
    flow = flow_of(started, "hotline")
    shows = number_shown("+18005551234", call_flow_id=flow)
    curl("PUT", f"/v1.0/numbers/{made['id']}", {"call_flow_id": flow}, status=200, shows=shows)
    called(started, "+18005551234")


def test_a_virtual_number_for_tests(started: Started) -> None:
    curl = started.as_customer.short
    found = curl("GET", "/v1.0/available_numbers?type=virtual&page_size=5", status=200)
    assert len(found["result"]) == 5
    for row in found["result"]:
        assert_shown(Part(number=Shape("a virtual number", r"\+899\d{9}"), type="virtual"), row)
    number = "+899100000001"
    made = curl("POST", "/v1.0/numbers", {"number": number}, status=201, shows=number_shown(number, provider_id=NIL))
    flow = flow_of(started, "for tests")
    shows = number_shown(number, call_flow_id=flow)
    curl("PUT", f"/v1.0/numbers/{made['id']}", {"call_flow_id": flow}, status=200, shows=shows)
    called(started, number)


def assert_shown(shown: Any, answered: Any) -> None:
    assert not differences(shown, answered), json.dumps(answered)


def called(started: Started, number: str) -> None:
    """Somebody calls it, and the flow answers."""
    run = "from service.cli.commands import main; main()"
    command = [sys.executable, "-c", run, "call", number, "--via", started.sip]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=40, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "answered after" in done.stdout

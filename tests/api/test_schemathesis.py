"""schemathesis over the whole OpenAPI document, on both databases: no 500, and every answer as the document says.

The program itself is run, against an API behind a real HTTP server: its examples, its coverage of every boundary (wrong
types, missing parts, methods that are not taken, credentials that are left out), its random data, and its chains of
operations that make a resource, use it and delete it. The same data in every run; `SCHEMATHESIS_EXAMPLES=200` in the
environment searches longer and anew, `SCHEMATHESIS_PATHS=/v1.0/(flows|calls)` (a regular expression) there alone.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from routing.identifiers import NIL
from store import rows
from store.database import tables
from tests.api.conftest import Api
from tests.api.live_api import LiveApi

EXAMPLES = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "0"))
PATHS = os.environ.get("SCHEMATHESIS_PATHS", "")
ROOT = Path(__file__).parents[2]
SOURCE = "+15551234567"
"""What calls come from that are allowed to."""
HOOKS = Path(__file__).with_name("schemathesis_hooks.py")
CONFIG = """
hooks = "{hooks}"
[cache]
enabled = false
[generation]
database = "none"
[parameters]
# Whoever sends the header and one of these is the one of the header; nonsense would be tried for nothing.
token = ""
accesskey = ""

# What the document allows is accepted, or refused for the state of things: credit (402), rights (403), what there is
# (404), what there is already (409), limits (429); wrong passwords are of the right form (401).
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "401", "402", "403", "404", "409", "429"]

# What the document does not allow may also be too large to be read at all (413).
[checks.negative_data_rejection]
expected-statuses = ["400", "401", "403", "404", "405", "406", "409", "413", "415", "422", "428", "429", "5xx"]

# A stream does not end by itself; test_the_stream_of_events has it.
[[operations]]
include-path = "/v1.0/events"
enabled = false
"""


# The boundaries of actions are thousands.
WITHOUT_TIME = """
[[operations]]
include-path = ["/v1.0/flows", "/v1.0/flows/{flow_id}", "/v1.0/calls", "/v1.0/groupcalls", "/v1.0/providercalls"]
include-method = ["POST", "PUT"]
phases.coverage.enabled = false
"""


@pytest.mark.long
@pytest.mark.timeout(3600 + 20 * EXAMPLES if EXAMPLES else 1800)
def test_the_whole_document(store_url: str, tmp_path: Path) -> None:
    (tmp_path / "schemathesis.toml").write_text(CONFIG.replace("{hooks}", str(HOOKS)) + WITHOUT_TIME * (not EXAMPLES))
    with LiveApi.on(store_url) as live:
        there_is = _furnish(live)
        command = [str(Path(sys.executable).with_name("st")), "run", f"{live.address}/openapi.json"]
        command += ["--header", f"Authorization: Bearer {live.api.root_key}", "--continue-on-failure", "--no-color"]
        command += ["--request-timeout", "60", "--max-examples", str(EXAMPLES or 2)]
        command += ["--include-path-regex", PATHS] if PATHS else []
        if not EXAMPLES:
            # Coverage takes a dozen requests for every parameter: on one database, unless there is time.
            phases = "examples,fuzzing,stateful" + ",coverage" * store_url.startswith("sqlite")
            command += ["--generation-deterministic", "--no-shrink", "--workers", "1", "--phases", phases]
        # Hypothesis keeps tables of characters there, which take it seconds to make.
        environment = os.environ | {"HYPOTHESIS_STORAGE_DIRECTORY": str(ROOT / ".hypothesis")}
        environment |= {"THERE_IS": json.dumps(there_is)} | ({} if EXAMPLES else {"BRIEF": "1"})
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2000:]
    # Of some paths, there may be no chains.
    for phase in () if PATHS else ("Examples", "Fuzzing", "Stateful"):
        assert f"{phase} (in" in done.stdout, done.stdout


def test_the_stream_of_events(store_url: str) -> None:
    """By hand: what is wrong with its parameters, and that it is what the document says."""
    with LiveApi.on(store_url) as live, httpx.Client(base_url=live.address, timeout=10) as http:
        http.headers["Authorization"] = f"Bearer {live.api.root_key}"
        for query in ({"since": "x"}, {"since": -1}, {"since": 2**63}, {"types": "nothing"}, {"limit": 1}):
            assert http.get("/v1.0/events", params=query).json()["error"]["status"] == "INVALID_ARGUMENT"
        for value in ("x", "-1", str(2**63), "1.5", ""):
            answer = http.get("/v1.0/events", headers={"Last-Event-ID": value})
            assert answer.json()["error"]["status"] == "INVALID_ARGUMENT"
        for good in ({}, {"since": 0}, {"since": 2**63 - 1}, {"types": ["call_hangup", "call_created"]}):
            with http.stream("GET", "/v1.0/events", params=good) as answer:
                assert answer.status_code == 200
                assert answer.headers["content-type"].startswith("text/event-stream")
                assert next(answer.iter_lines()) == "retry: 2000"


def _furnish(live: LiveApi) -> dict[str, str]:
    """One of everything, so that there is something to find. The ids of what stays: a file declares it then."""
    with httpx.Client(base_url=f"{live.address}/v1.0", timeout=20) as http:
        http.headers["Authorization"] = f"Bearer {live.api.root_key}"

        def post(path: str, **body: Any) -> Any:
            answer = http.post(path, json=body)
            assert answer.status_code == 201, f"{path}: {answer.text}"
            return answer.json()

        provider = post("/providers", name="trunk", hostname="127.0.0.1:9")["id"]
        post("/routes", provider_id=provider, target="all")
        flow = post("/flows", actions=[{"type": "answer"}])["id"]
        texts = post("/flows", actions=[{"type": "message_send", "option": {"text": "We are open."}}])["id"]
        post("/numbers", number="+899100000001", call_flow_id=flow, message_flow_id=texts)
        queue = post("/queues", name="sales")["id"]
        conference = post("/conferences", name="all hands")["id"]
        post("/webhooks", uri="https://example.com/hook")
        source, destination = {"type": "tel", "target": SOURCE}, {"type": "tel", "target": "+821012345678"}
        post("/providercalls", provider_id=provider, source=source, destinations=[destination], flow_id=flow)
    live.run(_declare(live.api, provider, flow, texts))
    root = live.api.root
    return {
        "provider": provider,
        "flow": flow,
        "texts": texts,
        "queue": queue,
        "conference": conference,
        "customer": str(root.customer_id),
        "agent": str(root.agent_id),
        "source": SOURCE,
    }


async def _declare(api: Api, provider: str, *flows: str) -> None:
    """So that no request deletes what others name. And a number that calls may come from: nobody provisions normal
    ones without a provider's inventory."""
    async with api.store.write() as transaction:
        declared = [(tables.providers, provider), *((tables.flows, flow) for flow in flows)]
        for table, identifier in declared:
            await rows.update(transaction, table, UUID(identifier), {"declared_in": "trunkline.toml"})
        number = {"number": SOURCE, "type": "normal", "status": "active", "origin": "provisioned"}
        number |= {"customer_id": api.root.customer_id, "declared_in": "trunkline.toml"}
        number |= {"call_flow_id": UUID(flows[0]), "message_flow_id": NIL, "provider_id": UUID(provider)}
        created = await rows.insert(transaction, tables.numbers, number)
        transaction.changed("number", created["id"], SOURCE)

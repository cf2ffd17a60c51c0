"""schemathesis over the whole OpenAPI document, on both databases: no 500, and every answer as the document says.

The program itself is run, against an API behind a real HTTP server: its examples, its coverage of every boundary (wrong
types, missing parts, methods that are not taken, credentials that are left out), its random data, and its chains of
operations that make a resource, use it and delete it. The same data in every run; `SCHEMATHESIS_EXAMPLES=200` in the
environment searches longer and anew.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.api.live_api import LiveApi

EXAMPLES = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "0"))
CONFIG = """
[cache]
enabled = false
[generation]
database = "none"
[parameters]
# Opaque: what no list has given out is refused.
page_token = ""
# Whoever sends the header and one of these is the one of the header; nonsense would be tried for nothing.
token = ""
accesskey = ""

# A stream does not end by itself; test_the_stream_of_events has it.
[[operations]]
include-path = "/v1.0/events"
enabled = false

# Bodies have rules beyond a schema's: ids that there must be, numbers of a numbering plan, flows, a moment to come. So
# what a schema allows may be a 400 there; a 400 on anything else that the document allows is a fault.
[[operations]]
include-method = ["POST", "PUT"]
checks.positive_data_acceptance.enabled = false

# Parameters that have to go together: `since` before `until`, one country by two names.
[[operations]]
include-path = ["/v1.0/providers/{provider_id}/statistics", "/v1.0/available_numbers", "/v1.0/number_availables"]
checks.positive_data_acceptance.enabled = false
"""


@pytest.mark.timeout(300 + 20 * EXAMPLES)
def test_the_whole_document(store_url: str, tmp_path: Path) -> None:
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    with LiveApi.on(store_url) as live:
        _furnish(live)
        command = [str(Path(sys.executable).with_name("st")), "run", f"{live.address}/openapi.json"]
        command += ["--header", f"Authorization: Bearer {live.api.root_key}", "--continue-on-failure", "--no-color"]
        command += ["--request-timeout", "10", "--max-examples", str(EXAMPLES or 2)]
        if not EXAMPLES:
            # Coverage takes a dozen requests for every parameter: on one database, unless there is time.
            phases = "examples,fuzzing,stateful" + ",coverage" * store_url.startswith("sqlite")
            command += ["--generation-deterministic", "--no-shrink", "--workers", "2", "--phases", phases]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2000:]
    for phase in ("Examples", "Fuzzing", "Stateful"):
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


def _furnish(live: LiveApi) -> None:
    """One of everything, so that there is something to find."""
    with httpx.Client(base_url=f"{live.address}/v1.0", timeout=20) as http:
        http.headers["Authorization"] = f"Bearer {live.api.root_key}"

        def post(path: str, **body: Any) -> Any:
            answer = http.post(path, json=body)
            assert answer.status_code == 201, f"{path}: {answer.text}"
            return answer.json()

        provider = post("/providers", name="trunk", hostname="127.0.0.1:9")["id"]
        post("/routes", provider_id=provider, target="all")
        flow = post("/flows", actions=[{"type": "answer"}])["id"]
        post("/numbers", number="+899100000001", call_flow_id=flow)
        post("/queues", name="sales")
        post("/webhooks", uri="https://example.com/hook")
        source, destination = {"type": "tel", "target": "+15551234567"}, {"type": "tel", "target": "+821012345678"}
        post("/providercalls", provider_id=provider, source=source, destinations=[destination], flow_id=flow)
    assert urlsplit(live.address).hostname == "127.0.0.1"

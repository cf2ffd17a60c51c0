"""The tutorials that this API is to be compatible with, as data: commands in their order, and what each answers.

Only host, token and ids are replaced. An answer that is shown whole has exactly the fields that it has here; of one
that is shown in part (`Part`) other fields may be there, too.
"""

import json
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

NIL = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True)
class Shape:
    """A value that is known by its looks alone."""

    name: str
    pattern: str

    def fits(self, value: Any) -> bool:
        return isinstance(value, str) and re.fullmatch(self.pattern, value) is not None


ID = Shape("an id", r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
TIME = Shape("a time", r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d\.\d{6}Z?")
TEXT = Shape("a text", r"[\s\S]*")
REQUEST_ID = Shape("a request id", r"req_\w+")


class Part(dict[str, Any]):
    """An object of which some fields are shown."""


def differences(shown: Any, answered: Any, place: str = "") -> list[str]:
    """Where an answer is not what the tutorial shows."""
    if isinstance(shown, Shape):
        return [] if shown.fits(answered) else [f"{place}: {answered!r} is not {shown.name}"]
    if isinstance(shown, dict):
        if not isinstance(answered, dict):
            return [f"{place}: {answered!r} is no object"]
        found = [f"{place}.{name} is missing" for name in shown if name not in answered]
        if not isinstance(shown, Part):
            found += [f"{place}.{name} is too much" for name in answered if name not in shown]
        for name in shown.keys() & answered.keys():
            found += differences(shown[name], answered[name], f"{place}.{name}")
        return found
    if isinstance(shown, list):
        if not isinstance(answered, list) or len(shown) != len(answered):
            return [f"{place}: {answered!r} has not {len(shown)} entries"]
        return [
            found
            for index, (one, other) in enumerate(zip(shown, answered, strict=True))
            for found in differences(one, other, f"{place}[{index}]")
        ]
    same = shown == answered and type(shown) is type(answered)
    return [] if same else [f"{place}: {answered!r} instead of {shown!r}"]


class Curl:
    """Runs the commands against an engine, as somebody."""

    def __init__(self, address: str, token: str) -> None:
        self.address = address
        self.token = token

    def __call__(self, method: str, path: str, body: Any = None, *, status: int, shows: Any = None) -> Any:
        """The long spelling: `curl -k --location --request …`."""
        return self._run(["-k", "--location", "--request", method], path, "--data-raw", body, status, shows)

    def short(self, method: str, path: str, body: Any = None, *, status: int, shows: Any = None) -> Any:
        """The short one: `curl -X …`."""
        return self._run(["-X", method], path, "--data", body, status, shows)

    def _run(self, options: Sequence[str], path: str, data: str, body: Any, status: int, shows: Any) -> Any:
        before, _, query = path.partition("?")
        asked = [part for part in (self.token and f"token={self.token}", query) if part]
        url = f"{self.address}{before}" + (f"?{'&'.join(asked)}" if asked else "")
        command = ["curl", *options, url]
        if body is not None:
            command += ["--header", "Content-Type: application/json", data, json.dumps(body, indent=4)]
        # For us, and not the tutorial's: no progress bar, and the status behind the body.
        watched = [*command, "--silent", "--show-error", "--max-time", "20", "--write-out", "\n%{http_code}"]
        done = subprocess.run(watched, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        text, _, code = done.stdout.rpartition("\n")
        answered = json.loads(text)
        assert int(code) == status, f"{command}: {code} {text}"
        if shows is not None:
            assert not differences(shows, answered), f"{command}: {text}"
        return answered


def error(status: str, reason: str) -> dict[str, Any]:
    """The envelope of a failure; details may be there."""
    return {
        "error": Part(status=status, reason=reason, message=TEXT, request_id=REQUEST_ID),
    }


# ---- a providercall

SOURCE = {"type": "tel", "target": "+14155551234"}
DESTINATION = {"type": "tel", "target": "+821012345678"}
NAMELESS = {"target_name": ""}


def providercall(provider_id: str) -> dict[str, Any]:
    """The least that is worth sending."""
    return {"provider_id": provider_id, "source": SOURCE, "destinations": [DESTINATION], "anonymous": "auto"}


def providercall_with_actions(provider_id: str) -> dict[str, Any]:
    """Actions in place of a flow."""
    greeting = {"text": "A short call to see that this trunk works.", "language": "en-US", "gender": "female"}
    actions = [{"type": "answer"}, {"type": "talk", "option": greeting}, {"type": "hangup"}]
    return {"provider_id": provider_id, "source": SOURCE, "destinations": [DESTINATION], "actions": actions}


def providercall_shown(provider_id: str, flow_id: Any = NIL, tm_delete: Any = None) -> dict[str, Any]:
    """The record that answers."""
    return {
        "id": ID,
        "customer_id": ID,
        "provider_id": provider_id,
        "flow_id": flow_id,
        "source": SOURCE | NAMELESS,
        "destinations": [DESTINATION | NAMELESS],
        "anonymous": "auto",
        "call_ids": [ID],
        "groupcall_ids": [],
        "tm_create": TIME,
        "tm_update": TIME,
        "tm_delete": tm_delete,
    }


def call_shown(call_id: str, provider_id: str, status: Any, hangup_reason: Any = "") -> Part:
    """What a call of it shows."""
    return Part(
        id=call_id,
        status=status,
        hangup_reason=hangup_reason,
        metadata={"route_provider_ids": [provider_id], "skip_source_validation": True},
    )


# ---- numbers


def offered(number: str, kind: str, region: str, city: str) -> Part:
    """A number of the search."""
    return Part(number=number, country="US", type=kind, region=region, city=city)


def number_shown(number: str, **more: Any) -> Part:
    """A number that was provisioned."""
    kind = "virtual" if number.startswith("+899") else "normal"
    return Part(id=ID, customer_id=ID, number=number, type=kind, status="active", tm_purchase=TIME, **more)

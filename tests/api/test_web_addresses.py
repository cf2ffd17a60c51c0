"""Web addresses within this network are refused when they are saved, wherever a body may hold one."""

from typing import Any

import pytest

from api.models.web_addresses import web_addresses
from flows.faults import ActionError
from flows.web import exchange
from tests.api.conftest import Api, Client

PRIVATE = [
    "http://127.0.0.1/",
    "https://user@10.0.0.1:8443/hook",
    "http://2130706433/",
    "http://0x7f.1/",
    "http://127.1/",
    "http://0/",
    "http://localhost:9000/",
    "http://[::ffff:127.0.0.1]/",
    "http://[fec0::1]/",
    "http://[64:ff9b:1::7f00:1]/",
    "http://[::ffff:0:127.0.0.1]/",
    "http://192.88.99.1/",
]


def actions_with(uri: str) -> dict[str, dict[str, Any]]:
    return {
        "actions[0].option.uri": {"type": "webhook_send", "option": {"uri": uri}},
        "actions[0].option.event_url": {"type": "fetch", "option": {"event_url": uri}},
        "actions[0].option.sources[1]": {"type": "play", "option": {"sources": ["tone:425/100", uri]}},
    }


async def admin_of(api: Api) -> Client:
    return await api.client()


@pytest.mark.parametrize("uri", PRIVATE)
async def test_webhooks(api: Api, uri: str) -> None:
    admin = await admin_of(api)
    error = await admin.post("/v1.0/webhooks", {"uri": uri}, 400)
    assert (error["reason"], error["details"][0]["field"]) == ("INVALID_REQUEST_PARAMETER", "uri")
    made = await admin.post("/v1.0/webhooks", {"uri": "https://example.com/"})
    path = f"/v1.0/webhooks/{made['id']}"
    assert (await admin.put(path, {"uri": uri}, 400))["details"][0]["field"] == "uri"
    api.services.flows.web.limits.allow_private = True
    await admin.put(path, {"uri": uri})
    await admin.post("/v1.0/webhooks", {"uri": uri})
    # What is there already may be sent back, also when it could not be saved any more.
    api.services.flows.web.limits.allow_private = False
    await admin.put(path, await admin.get(path) | {"name": "old"})


@pytest.mark.parametrize("host", ["a%00.example.com", "%00", "127.0.0.1%00.example.com"])
async def test_a_host_with_a_nul_is_no_internal_error(api: Api, host: str) -> None:
    """It leads nowhere, which shows when it is asked (it was a 500)."""
    admin, uri = await admin_of(api), f"http://{host}/"
    made = await admin.post("/v1.0/webhooks", {"uri": uri})
    await admin.put(f"/v1.0/webhooks/{made['id']}", {"uri": f"{uri}2"})
    await admin.post("/v1.0/queues", {"music": f"{uri}a.wav"})
    for action in actions_with(uri).values():
        await admin.post("/v1.0/flows", {"actions": [action]})
    with pytest.raises(ActionError):
        await exchange(api.services.flows.web, "POST", uri, b"", {})


@pytest.mark.parametrize("uri", ["file:///etc/passwd", "gopher://x/", "ftp://example.com/", "//example.com/", "http:"])
async def test_webhooks_go_over_http_alone(api: Api, uri: str) -> None:
    error = await (await admin_of(api)).post("/v1.0/webhooks", {"uri": uri}, 400)
    assert error["details"][0]["field"] == "uri"


@pytest.mark.parametrize("uri", PRIVATE[:8])
async def test_flows_and_orders(api: Api, uri: str) -> None:
    admin = await admin_of(api)
    good = await admin.post("/v1.0/flows", {"actions": [{"type": "answer"}]})
    for field, action in actions_with(uri).items():
        body = {"actions": [action]}
        for method, path in (("POST", "/v1.0/flows"), ("PUT", f"/v1.0/flows/{good['id']}")):
            error = await admin.ask(method, path, 400, json=body)
            assert (error["reason"], error["details"][0]["field"]) == ("INVALID_ACTION", field)
        verdict = await admin.post("/v1.0/flows/validate", body, 200)
        assert [fault["field"] for fault in verdict["faults"]] == [field] and not verdict["valid"]
        order = body | {"source": _tel("+15551234567"), "destinations": [_tel("+442079460123")]}
        for path in ("/v1.0/calls", "/v1.0/groupcalls"):
            error = await api.root.post(path, order, 400)
            assert (error["reason"], error["details"][0]["field"]) == ("INVALID_ACTION", field), path
    # Where variables decide, it is looked at when somebody is asked.
    for action in actions_with("http://${host}/").values():
        assert (await admin.post("/v1.0/flows/validate", {"actions": [action]}, 200))["valid"]
    api.services.flows.web.limits.allow_private = True
    for action in actions_with(uri).values():
        await admin.post("/v1.0/flows", {"actions": [action]})


def _tel(number: str) -> dict[str, str]:
    return {"type": "tel", "target": number}


@pytest.mark.parametrize("uri", PRIVATE[:6])
async def test_music_of_queues(api: Api, uri: str) -> None:
    admin = await admin_of(api)
    assert (await admin.post("/v1.0/queues", {"music": uri}, 400))["details"][0]["field"] == "music"
    made = await admin.post("/v1.0/queues", {"music": "https://example.com/waltz.ogg"})
    path = f"/v1.0/queues/{made['id']}"
    assert (await admin.put(path, {"music": uri}, 400))["details"][0]["field"] == "music"
    await admin.put(path, {"music": "waltz.ogg"})
    await admin.put(path, {"music": None})


def test_web_addresses_are_found_wherever_actions_ask_for_them() -> None:
    hook = {"type": "webhook_send", "option": {"uri": "http://a/", "data": "http://not-asked/"}}
    play = {"type": "play", "option": {"sources": ["x.wav", "http://b/"]}}
    inner = {"type": "call", "option": {"actions": [hook, {"type": "fetch", "option": {"event_url": "http://c/"}}]}}
    found = {".".join(map(str, place)): text for place, text in web_addresses([play, inner, {"type": 7}, 7, None])}
    assert found == {
        "actions.0.option.sources.0": "x.wav",
        "actions.0.option.sources.1": "http://b/",
        "actions.1.option.actions.0.option.uri": "http://a/",
        "actions.1.option.actions.1.option.event_url": "http://c/",
    }

"""webhook_send: what is sent, what comes back, and where it may not go."""

import asyncio
import json
from typing import Any

import httpx
import pytest

from flows.web import url_text


class Server:
    """Answers as told, and keeps what it got."""

    def __init__(self, world: Any) -> None:
        self.world = world
        self.requests: list[httpx.Request] = []
        self.answer = httpx.Response(200, json={})
        self.addresses = ["93.184.216.34"]
        self.hold: asyncio.Event | None = None
        self.asked = asyncio.Event()
        world.services.web.resolve_host = self.resolve

    async def resolve(self, host: str, port: int) -> list[str]:
        return self.addresses

    async def handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        self.asked.set()
        if self.hold:
            await self.hold.wait()
        return self.answer

    def go(self, *actions: Any) -> Any:
        async def scenario() -> Any:
            async with httpx.AsyncClient(transport=httpx.MockTransport(self.handle)) as client:
                self.world.services.web.http = client
                ran = await self.world.run(list(actions))
                await self.world.services.close()
                return ran

        return asyncio.run(scenario())


@pytest.fixture
def server(world: Any) -> Server:
    return Server(world)


def hook(uri: str = "https://hooks.example.com/x?key=1", **option: Any) -> dict[str, Any]:
    return {"type": "webhook_send", "id": "w", "option": {"uri": uri, **option}}


SHOW = {"type": "reject", "option": {"reason": "${name}|${n}|${list}|${gone}|${yes}"}}


def test_a_synchronous_answer_fills_variables(world: Any, server: Server) -> None:
    server.answer = httpx.Response(
        200, json={"name": "Bob", "n": 1.5, "list": [1, {"a": "ü"}], "gone": None, "yes": True, "call.id": "no"}
    )
    ran = server.go(hook(sync=True, data={"from": "${call.source.number}"}), SHOW)
    assert ran.orders == [("reject", 603, 'Bob|1.5|[1,{"a":"ü"}]||true')]
    (request,) = server.requests
    assert (request.method, str(request.url)) == ("POST", "https://93.184.216.34/x?key=1")
    assert request.headers["host"] == "hooks.example.com"
    assert request.extensions["sni_hostname"] == "hooks.example.com"
    assert request.headers["content-type"] == "application/json"
    assert json.loads(request.content) == {"from": "+15550001111"}
    assert world.log.errors() == ["call.id is set by the engine and cannot be changed; choose another name"]


@pytest.mark.parametrize(
    ("data", "content_type", "body"),
    [
        ("plain ${call.id}", "text/plain; charset=utf-8", b"plain call-1"),
        ('{"a": 1}', "application/json", b'{"a": 1}'),
        (["${call.id}"], "application/json", b'["call-1"]'),
    ],
)
def test_forms_of_data(server: Server, data: Any, content_type: str, body: bytes) -> None:
    server.go(hook(data=data, method="PUT"))
    assert (server.requests[0].headers["content-type"], server.requests[0].content) == (content_type, body)


def test_an_asynchronous_one_does_not_hold_the_flow(world: Any, server: Server) -> None:
    server.answer = httpx.Response(500)
    ran = server.go(hook(method="GET"), {"type": "answer"})
    assert ran.orders[0] == "answer"
    assert server.requests[0].method == "GET"
    assert world.log.lines == [
        (
            "warning",
            "webhook failed",
            {"call_id": "call-1", "action": "w", "error": "https://hooks.example.com/x answered 500"},
        )
    ]


FAILURES = [
    (httpx.Response(302, headers={"Location": "http://127.0.0.1/"}), "https://hooks.example.com/x answered 302"),
    (httpx.Response(200, content=b"<html>"), "the answer is no JSON; no variables were set"),
    (httpx.Response(200, content=b"[1]"), "the answer is no JSON object; no variables were set"),
    (
        httpx.Response(200, content=b"x" * 70_000),
        "the answer of https://hooks.example.com/x is longer than 65536 bytes",
    ),
]


@pytest.mark.parametrize(("answer", "error"), FAILURES, ids=["redirect", "html", "list", "long"])
def test_a_bad_answer_is_logged_and_the_flow_goes_on(
    world: Any, server: Server, answer: httpx.Response, error: str
) -> None:
    server.answer = answer
    assert server.go(hook(sync=True), {"type": "answer"}).orders[0] == "answer"
    assert world.log.errors() == [error]
    assert len(server.requests) == 1


def test_an_empty_answer_sets_nothing(world: Any, server: Server) -> None:
    server.answer = httpx.Response(204)
    server.go(hook(sync=True))
    assert not world.log.errors()


def test_a_server_that_does_not_answer_is_given_up(world: Any, server: Server) -> None:
    server.hold = asyncio.Event()
    world.services.web.limits.timeout = 0.01
    server.go(hook(sync=True), {"type": "answer"})
    assert world.log.errors() == ["https://hooks.example.com/x did not answer within 0.01 s"]


def test_a_hangup_ends_the_waiting(world: Any, server: Server) -> None:
    async def scenario() -> Any:
        server.hold = asyncio.Event()
        async with httpx.AsyncClient(transport=httpx.MockTransport(server.handle)) as client:
            world.services.web.http = client
            call = world.fake_call(world.clock)
            running = asyncio.ensure_future(world.run([hook(sync=True), {"type": "answer"}], call))
            await server.asked.wait()
            call.end("remote", 487)
            return await running

    ran = asyncio.run(scenario())
    assert ran.cancelled
    assert ran.orders == []


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "::ffff:127.0.0.1", "fd00::1"])
def test_private_addresses_are_refused_unless_allowed(world: Any, server: Server, address: str) -> None:
    server.addresses = ["93.184.216.34", address]
    server.go(hook(sync=True))
    assert world.log.errors() == [
        "hooks.example.com is at an address that is private; set webhook.allow_private to allow it"
    ]
    assert not server.requests
    world.services.web.limits.allow_private = True
    world.services.calls.tasks = type(world.services.calls.tasks)()
    server.addresses = [address]
    server.go(hook(sync=True))
    assert len(server.requests) == 1


def test_other_reasons_not_to_send(world: Any, server: Server) -> None:
    server.addresses = []
    flow = [
        {"type": "variable_set", "option": {"key": "uri", "value": "file:///etc/passwd"}},
        hook(sync=True, data="x" * 70_000),
        {**hook(sync=True), "id": "b"},
        {**hook(uri="${uri}", sync=True), "id": "c"},
        {**hook(uri="http://${none}/", sync=True), "id": "d"},
    ]
    server.go(*flow)
    assert world.log.errors() == [
        "the data is longer than 65536 bytes; send less",
        "hooks.example.com does not resolve",
        "option.uri: is no web address; write it like https://example.com/path".removeprefix("option."),
        "uri: is no web address; write it like https://example.com/path",
    ]
    world.log.lines.clear()
    world.services.web.http = None
    world.go([hook(sync=True)])
    assert world.log.errors() == ["this service sends no webhooks"]
    world.log.lines.clear()
    world.services.calls.tasks.limit = 0
    world.go([hook()])
    assert world.log.errors()[0].startswith("webhook of call-1 was not started")


def test_a_name_that_cannot_be_looked_up(world: Any, server: Server) -> None:
    async def fails(host: str, port: int) -> list[str]:
        raise OSError("no such name")

    world.services.web.resolve_host = fails
    server.go(hook(sync=True))
    assert world.log.errors() == ["https://hooks.example.com/x: OSError: no such name"]


def test_secrets_of_an_address_are_not_logged() -> None:
    assert url_text("https://user:pw@example.com/a?token=1") == "https://example.com/a"

"""fetch: what a web server is told, and what becomes of its answer."""

import asyncio
import json
from typing import Any

import httpx
import pytest

from flows.actions import ACTIONS
from flows.faults import FlowError
from flows.language.model import read_flow
from flows.python.flows import FlowCall, compile_python

END = ("hangup", 480, "Q.850;cause=16")
URL = "https://ivr.example.com/next?key=1"


def action(type_: str, **option: Any) -> dict[str, Any]:
    return {"type": type_, "option": option}


class Server:
    """Answers one after the other; the last one again and again."""

    def __init__(self, world: Any) -> None:
        self.world = world
        self.requests: list[httpx.Request] = []
        self.answers: list[Any] = [[]]
        self.address = "93.184.216.34"
        world.services.web.resolve_host = self.resolve

    async def resolve(self, host: str, port: int) -> list[str]:
        return [self.address]

    async def handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, httpx.Response):
            return answer
        return httpx.Response(200, content=answer if isinstance(answer, bytes) else json.dumps(answer).encode())

    def go(self, actions: Any, call: Any = None, **more: Any) -> Any:
        async def scenario() -> Any:
            async with httpx.AsyncClient(transport=httpx.MockTransport(self.handle)) as client:
                self.world.services.web.http = client
                return await self.world.run(actions, call, **more)

        return asyncio.run(scenario())


@pytest.fixture
def server(world: Any) -> Server:
    return Server(world)


FETCH = {"id": "f", **action("fetch", event_url=URL)}


@pytest.mark.parametrize("whole", [False, True])
def test_the_answers_actions_run_in_place(world: Any, server: Server, whole: bool) -> None:
    actions = [action("answer"), action("play", sources=["a.wav"])]
    server.answers = [{"actions": actions} if whole else actions]
    ran = server.go([FETCH, action("sleep", duration=1000)])
    assert ran.orders == ["answer", ("play", "a.wav"), ("sleep", 1.0), END]
    assert not world.log.lines


def test_a_post_tells_the_call_and_all_variables(world: Any, server: Server) -> None:
    call = world.fake_call(world.clock)
    call.typed = ["4", "2"]
    number = world.number("+15550002222")
    server.go(
        [action("digits_receive", length=2), action("variable_set", key="step", value="2"), FETCH], call, number=number
    )
    (request,) = server.requests
    assert (request.method, request.url.query) == ("POST", b"key=1")
    assert request.headers["host"] == "ivr.example.com"
    told = json.loads(request.content)
    assert told.pop("flow")
    assert told == {
        "call": {
            "id": "call-1",
            "direction": "incoming",
            "status": "progressing",
            "source": {"number": "+15550001111", "name": "Ann"},
            "destination": {"number": "+15550002222"},
            "digits": "42",
        },
        "number": "+15550002222",
        "variables": {"call.digits": "42", "step": "2"},
    }


def test_a_get_tells_who_calls_whom_as_parameters(server: Server) -> None:
    server.go([action("fetch", event_url=URL, event_method="GET")])
    (request,) = server.requests
    assert request.method == "GET"
    assert request.content == b""
    assert dict(request.url.params) == {
        "key": "1",
        "call.id": "call-1",
        "call.source.number": "+15550001111",
        "call.destination.number": "+15550002222",
        "call.digits": "",
    }


REFUSED = [
    (b"<html>", "https://ivr.example.com/next answered no JSON; answer with a list of actions"),
    ({"actions": None}, "https://ivr.example.com/next answered no list of actions"),
    (7, "https://ivr.example.com/next answered no list of actions"),
    (
        {"actions": [], "on_complete_flow_id": "x"},
        "https://ivr.example.com/next answered with on_complete_flow_id, which is not known here; "
        "answer with actions alone",
    ),
    (
        [{"type": "sleep", "id": "s"}, {"type": "fly"}],
        'flow "https://ivr.example.com/next", action 1 (sleep, id s): option.duration: is missing; add it; '
        'flow "https://ivr.example.com/next", action 2 (fly): type: "fly" is no action; use one of: ',
    ),
    (httpx.Response(500), "https://ivr.example.com/next answered 500"),
    (b"[" * 100_000, "the answer of https://ivr.example.com/next is longer than 65536 bytes"),
    (b"[" * 60_000, "https://ivr.example.com/next answered no JSON; answer with a list of actions"),
]


@pytest.mark.parametrize(("answer", "sentence"), REFUSED, ids=[text[29:60] for _, text in REFUSED])
@pytest.mark.parametrize("method", ["POST", "GET"])
def test_an_answer_that_cannot_be_run_fails_the_action_and_the_flow_goes_on(
    world: Any, server: Server, method: str, answer: Any, sentence: str
) -> None:
    server.answers = [answer]
    ran = server.go([action("fetch", event_url=URL, event_method=method), action("ringing")])
    assert ran.orders == ["ringing", END]
    (error,) = world.log.errors()
    assert error.startswith(sentence)


def test_no_actions_are_an_answer_too(world: Any, server: Server) -> None:
    assert server.go([FETCH, action("ringing")]).orders == ["ringing", END]
    assert not world.log.lines


def test_private_addresses_are_not_asked(world: Any, server: Server) -> None:
    server.address = "127.0.0.1"
    server.go([FETCH])
    assert server.requests == []
    assert "ivr.example.com is at an address that is private" in world.log.errors()[0]


@pytest.mark.long
def test_a_server_that_always_says_fetch_ends_with_the_budget(world: Any, server: Server) -> None:
    server.answers = [[FETCH]]
    ran = server.go([FETCH])
    assert len(server.requests) == 1000
    assert ran.record.hangup_reason == "failed"


def test_on_a_message_the_answer_must_do_without_a_call(world: Any, server: Server) -> None:
    flow = read_flow({"actions": [FETCH]}, ACTIONS, medium="message")
    assert flow.options
    with pytest.raises(FlowError, match='"answer" needs a call'):
        world.library.compile([action("answer")], "message", "x")


def test_a_fetched_flow_sees_only_what_the_customer_may(world: Any, server: Server) -> None:
    server.answers = [[action("fetch_flow", flow_id="nobodys")]]
    server.go([FETCH])
    assert world.log.errors() == ["there is no flow 'nobodys'"]


def test_a_flow_in_python_fetches_too(world: Any, server: Server) -> None:
    server.answers = [[action("answer")], [action("hangup", reason="busy")]]

    async def flow(call: FlowCall) -> None:
        await call.fetch(URL)
        assert call.answered
        await call.fetch(URL, "GET")

    ran = server.go(compile_python("py", flow))
    assert ran.record.cause == "busy"
    assert [request.method for request in server.requests] == ["POST", "GET"]


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ({}, "option.event_url: is missing; add it"),
        ({"event_url": "x"}, "option.event_url: is no web address; write it like https://example.com/path"),
        ({"event_url": URL, "event_method": "PUT"}, "option.event_method: must be one of 'POST' or 'GET', and is"),
    ],
)
def test_what_is_wrong_is_said_when_the_flow_is_saved(option: Any, sentence: str) -> None:
    with pytest.raises(FlowError) as caught:
        read_flow({"name": "f", "actions": [action("fetch", **option)]}, ACTIONS)
    assert sentence in str(caught.value)

"""Queues, conferences and agents as calls use them: their fields, who waits, who is in, and what flows may name."""

from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

from flows.queues.conferences import Seat
from routing.identifiers import NIL
from store import rows
from store.database import tables
from store.resources.agents import held, turn
from tests.api.conftest import Api

FLOW = {"actions": [{"type": "answer"}]}
AGENT = {"username": "ann", "permission": "customer_agent", "ring_method": "ring_all", "status": "available"}


async def test_a_queue_has_its_music_its_times_and_its_overflow(api: Api) -> None:
    admin = await api.client()
    flow = await admin.post("/v1.0/flows", FLOW)
    values = {
        "ring_timeout": 15_000,
        "wrap_up_timeout": 5_000,
        "max_waiting": 10,
        "music": "tone:425/1000,0/4000*",
        "overflow_flow_id": flow["id"],
    }
    made = await admin.post("/v1.0/queues", values)
    assert {name: made[name] for name in values} == values
    path = f"/v1.0/queues/{made['id']}"
    assert await admin.get(path) == made
    assert (await admin.get("/v1.0/queues"))["result"] == [made]
    cleared = await admin.put(path, dict.fromkeys(values))
    assert {name: cleared[name] for name in values} == {
        "ring_timeout": 0, "wrap_up_timeout": 0, "max_waiting": 0, "music": "", "overflow_flow_id": str(NIL),
    }  # fmt: skip
    assert (await admin.delete(path))["overflow_flow_id"] == str(NIL)


async def test_what_is_no_music_and_no_flow_is_refused(api: Api) -> None:
    admin, other = await api.client(), await api.client()
    for music in ("tone:loud", "ftp://example.com/a.mp3", "a\nb", "http://"):
        error = await admin.post("/v1.0/queues", {"music": music}, 400)
        assert error["details"][0]["field"] == "music"
    theirs = await other.post("/v1.0/flows", FLOW)
    error = await admin.post("/v1.0/queues", {"overflow_flow_id": theirs["id"]}, 400)
    assert (error["reason"], error["details"][0]["field"]) == ("FLOW_NOT_FOUND", "overflow_flow_id")
    made = await admin.post("/v1.0/queues")
    error = await admin.put(f"/v1.0/queues/{made['id']}", {"overflow_flow_id": str(uuid4())}, 400)
    assert error["reason"] == "FLOW_NOT_FOUND"


async def test_a_flow_that_a_queue_overflows_to_is_not_deleted(api: Api) -> None:
    admin = await api.client()
    flow = await admin.post("/v1.0/flows", FLOW)
    made = await admin.post("/v1.0/queues", {"name": "sales", "overflow_flow_id": flow["id"]})
    error = await admin.ask("DELETE", f"/v1.0/flows/{flow['id']}", 409)
    assert error["reason"] == "FLOW_IN_USE" and "queue sales" in error["message"]
    await admin.delete(f"/v1.0/queues/{made['id']}")
    await admin.delete(f"/v1.0/flows/{flow['id']}")


async def test_who_waits_is_shown_in_order(api: Api) -> None:
    admin, other = await api.client(), await api.client()
    made = await admin.post("/v1.0/queues")
    path = f"/v1.0/queues/{made['id']}/callers"
    assert await admin.get(path) == {"result": [], "waiting": 0}
    now = api.services.flows.calls.clock()
    calls = [str(uuid4()), str(uuid4())]
    line: Any = [
        SimpleNamespace(call_id=calls[0], source="+15550001111", joined=now - 60, state="ringing"),
        SimpleNamespace(call_id=calls[1], source="", joined=now, state="waiting"),
    ]
    api.services.flows.queues = SimpleNamespace(callers=lambda queue_id: line)  # type: ignore[assignment]
    answer = await admin.get(path)
    assert answer["waiting"] == 2
    first, second = answer["result"]
    assert 60_000 <= first.pop("waited") < 70_000 and 0 <= second.pop("waited") < 10_000
    assert first == {"call_id": calls[0], "source": "+15550001111", "position": 1, "status": "ringing"}
    assert second == {"call_id": calls[1], "source": "", "position": 2, "status": "waiting"}
    assert (await other.get(path, 404))["reason"] == "QUEUE_NOT_FOUND"


async def test_a_conference_announces_and_shows_its_members(api: Api) -> None:
    admin = await api.client()
    made = await admin.post("/v1.0/conferences", {"name": "all hands"})
    assert made["announce"] is True
    path = f"/v1.0/conferences/{made['id']}"
    assert (await admin.put(path, {"announce": False}))["announce"] is False
    assert await admin.get(f"{path}/members") == {"result": []}
    call = str(uuid4())
    seats = [Seat(call, "+15550001111", 1_700_000_000.0)]
    api.services.flows.conferences = SimpleNamespace(members=lambda identifier: seats)  # type: ignore[assignment]
    answer = await admin.get(f"{path}/members")
    assert answer["result"][0]["call_id"] == call and answer["result"][0]["tm_join"].startswith("2023-11-14T22:13:20")


async def test_what_a_queue_makes_of_an_agent_is_shown_as_a_word(api: Api) -> None:
    admin = await api.client()
    body = {"username": uuid4().hex, "password": "correct horse battery", "status": "available"}
    agent = await admin.post("/v1.0/agents", body)
    node = uuid4()
    for status in ("ringing", "busy"):
        async with api.store.write() as transaction:
            before = ("available", held("ringing", node))
            assert await turn(transaction, UUID(agent["id"]), before, held(status, node))
        assert (await admin.get(f"/v1.0/agents/{agent['id']}"))["status"] == status
    listed = (await admin.get("/v1.0/agents"))["result"]
    assert next(one for one in listed if one["id"] == agent["id"])["status"] == "busy"
    assert (await admin.put(f"/v1.0/agents/{agent['id']}", {"status": "away"}))["status"] == "away"
    assert (await admin.ask("PUT", f"/v1.0/agents/{agent['id']}", 400, json={"status": "ringing"}))["details"]


async def test_a_flow_names_queues_and_conferences_that_there_are(api: Api) -> None:
    admin, other = await api.client(), await api.client()
    queue = await admin.post("/v1.0/queues", {"name": "sales"})
    conference = await admin.post("/v1.0/conferences", {"name": "all hands"})
    for queue_id in (queue["id"], "sales", "${queue}"):
        for conference_id in (conference["id"], "all hands"):
            await admin.post("/v1.0/flows", _joining(queue_id, conference_id))
    theirs = await other.post("/v1.0/flows", _joining(queue["id"], "all hands"), 400)
    assert [detail["field"] for detail in theirs["details"]] == [
        "actions[0].option.queue_id",
        "actions[1].option.conference_id",
    ]
    assert "there is no queue" in theirs["message"]
    within = {"type": "call", "option": {"destinations": [{"type": "tel", "target": "+15551234567"}], "actions": []}}
    within["option"]["actions"] = _joining("nobody", "all hands")["actions"]  # type: ignore[index]
    await admin.post("/v1.0/flows", {"actions": [within]}, 400)
    within["option"]["actions"] = _joining("sales", "all hands")["actions"]  # type: ignore[index]
    await admin.post("/v1.0/flows", {"actions": [within]})


def _joining(queue_id: str, conference_id: str) -> dict[str, Any]:
    return {
        "actions": [
            {"type": "queue_join", "option": {"queue_id": queue_id}},
            {"type": "conference_join", "option": {"conference_id": conference_id}},
        ]
    }


async def test_a_queue_announces_in_words_that_somebody_has(api: Api) -> None:
    admin = await api.client()
    values = {"announce_every": 30_000, "announce_language": "de-DE", "announce_text": ""}
    made = await admin.post("/v1.0/queues", values)
    assert {name: made[name] for name in values} == values
    path = f"/v1.0/queues/{made['id']}"
    error = await admin.put(path, {"announce_language": "ja-JP"}, 400)
    assert error["details"][0]["field"] == "announce_language"
    assert "give announce_text" in error["message"]
    own = {"announce_language": "ja-JP", "announce_text": "${queue.position}番目です。"}
    assert (await admin.put(path, own))["announce_text"] == own["announce_text"]
    cleared = await admin.put(path, dict.fromkeys(values))
    assert {name: cleared[name] for name in values} == {
        "announce_every": 0,
        "announce_language": "",
        "announce_text": "",
    }
    for field, value in (
        ("announce_every", 9_999),
        ("announce_every", -1),
        ("announce_language", "German"),
        ("announce_text", "<speak>a"),
    ):
        error = await admin.post("/v1.0/queues", {field: value}, 400)
        assert error["details"][0]["field"] == field


async def test_what_a_file_declares_is_changed_there_but_for_what_an_agent_says_of_itself(api: Api) -> None:
    file = {"declared_in": "/etc/trunkline.yaml"}
    made = {}
    async with api.store.write() as transaction:
        for word, table, more in (
            ("queues", tables.queues, {"routing_method": "random"}),
            ("conferences", tables.conferences, {}),
            ("agents", tables.agents, AGENT),
        ):
            made[word] = (await rows.insert(transaction, table, {"name": "one"} | more | file))["id"]
    for word, identifier in made.items():
        path = f"/v1.0/{word}/{identifier}"
        assert (await api.root.get(path))["declared_in"] == "/etc/trunkline.yaml"
        error = await api.root.put(path, {"name": "other"}, 409)
        assert error["reason"] == "DECLARED_IN_FILE" and "/etc/trunkline.yaml" in error["message"]
        assert (await api.root.delete(path, 409))["reason"] == "DECLARED_IN_FILE"
    path = f"/v1.0/agents/{made['agents']}"
    assert (await api.root.put(path, {"status": "away", "password": "correct horse"}))["status"] == "away"
    assert (await api.root.put(path, {"status": "away", "name": "x"}, 409))["reason"] == "DECLARED_IN_FILE"

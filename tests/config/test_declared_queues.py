"""Agents, queues and conferences in a configuration file: read, told what is wrong, with their places."""

from pathlib import Path
from uuid import UUID

import pytest

from config.faults import ConfigurationError
from config.loading import load
from routing.identifiers import named_id
from service.cli import commands

OFFICE = """\
agents:
  - {name: ann, addresses: [{type: sip, target: "sip:ann@192.0.2.21"}]}
  - {name: bob, addresses: [{type: tel, target: "+15550001111"}], status: away, ring_method: linear}
queues:
  - name: sales
    agents: [ann, bob]
    routing_method: longest_idle
    ring_timeout: 15000
    music: "tone:425/1000,0/4000*"
    overflow_flow: night
    announce_every: 30000
    announce_text: "Number ${queue.position}"
conferences:
  - {name: all hands, max_members: 20, announce: false}
flows:
  - name: office
    actions: [{type: queue_join, option: {queue_id: sales}}]
  - {name: night, actions: [{type: answer}, {type: conference_join, option: {conference_id: all hands}}]}
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "t.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_they_are_rows_with_ids_in_place_of_names(tmp_path: Path) -> None:
    found = load(write(tmp_path, OFFICE), {})
    ann, bob = (agent.row() for agent in found.agents)
    platform = named_id("customer", "platform")
    assert ann == {
        "id": named_id("agent", "ann"),
        "customer_id": platform,
        "name": "ann",
        "username": "ann",
        "detail": "",
        "addresses": [
            {"type": "sip", "target": "sip:ann@192.0.2.21", "target_name": "", "name": "", "detail": ""},
        ],
        "ring_method": "ring_all",
        "tag_ids": [],
        "status": "available",
        "password_hash": "",
        "permission": "customer_agent",
    }
    assert (bob["status"], bob["ring_method"]) == ("away", "linear")
    (queue,) = (queue.row() for queue in found.queues)
    assert queue["agent_ids"] == [str(named_id("agent", name)) for name in ("ann", "bob")]
    assert (queue["overflow_flow_id"], queue["ring_timeout"]) == (str(named_id("flow", "night")), 15_000)
    assert queue["announce_text"] == "Number ${queue.position}"  # no variable of the environment
    assert not {"agents", "overflow_flow"} & queue.keys()
    (room,) = (conference.row() for conference in found.conferences)
    assert (room["id"], room["max_members"], room["announce"]) == (named_id("conference", "all hands"), 20, False)
    assert (found.warnings, found.notices) == ([], [])


def test_an_id_and_a_customer_may_be_given(tmp_path: Path) -> None:
    given = "{name: a, id: 00000000-0000-0000-0000-000000000007, customer_id: 00000000-0000-0000-0000-000000000008}"
    (room,) = load(write(tmp_path, f"conferences: [{given}]"), {}).conferences
    assert (room.id, room.customer_id) == (UUID(int=7), UUID(int=8))


FAULTS = {
    "agents: [{name: ann}, {name: ann}]": "1: agents[1].name: ann is listed twice, first as entry 1; keep one",
    "agents: [{}]": "1: agents[0].name: is missing; add it",
    "agents: [{name: ann, password: x}]": "1: agents[0].password: unknown setting; remove it, or use one of: ",
    "agents: [{name: a, addresses: [{type: tel, target: x}]}]": "1: agents[0].addresses[0]: the target of a tel",
    "agents: [{name: 100}]": "1: agents[0].name: must be text, and is the number 100; put it in quotes",
    "agents: {}": "1: agents: must be a list, and is an object; begin each entry with a dash",
    "agents: [ann]": "1: agents[0]: must be a mapping, and is 'ann'; write it as {name: value, …}",
    "agents: [{name: ann}]\nqueues: [{name: q, agents: [bob]}]": (
        "2: queues[0].agents[0]: there is no agent named 'bob'; use one of ann"
    ),
    "queues: [{name: q, agents: [bob]}]": "1: queues[0].agents[0]: there is no agent named 'bob'; there are none yet",
    "queues: [{name: q, overflow_flow: x}]": "1: queues[0].overflow_flow: there is no flow named 'x'; there are none",
    "queues: [{name: q, music: 'tone:loud'}]": "1: queues[0].music: ",
    "queues: [{name: q, announce_every: 5000}]": "1: queues[0].announce_every: must be 0 for never, or at least 10000;",
    "queues: [{name: q, announce_every: 30000, announce_language: ja}]": (
        "1: queues[0].announce_language: there are no words of our own in ja, only in en, de,"
    ),
    "queues: [{name: q, wait_timeout: 10m}]": "1: queues[0].wait_timeout: must be a whole number, and is '10m'; write",
    "conferences: [{name: q, max_members: 1001}]": "1: conferences[0].max_members: must be at most 1000;",
    (
        "agents: [{name: ann, customer_id: 00000000-0000-0000-0000-000000000008}]\nqueues: [{name: q, agents: [ann]}]"
    ): "2: queues[0].agents[0]: ann is another customer's; give both the same customer_id",
}


@pytest.mark.parametrize(("text", "said"), FAULTS.items(), ids=list(FAULTS))
def test_a_fault_is_reported_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigurationError) as refused:
        load(path, {})
    (line,) = str(refused.value).splitlines()
    assert line.startswith(f"{path}:{said}"), line


def test_an_agent_that_is_wrong_by_itself_is_known_by_its_name(tmp_path: Path) -> None:
    path = write(tmp_path, "agents: [{name: ann, status: asleep}]\nqueues: [{name: q, agents: [ann]}]")
    with pytest.raises(ConfigurationError) as refused:
        load(path, {})
    (line,) = str(refused.value).splitlines()
    assert "agents[0].status: must be one of" in line


def test_a_name_that_only_the_api_could_know_is_a_note_where_the_file_has_such_things(tmp_path: Path) -> None:
    """Without any queue in the file all of them are the API's, and nothing is said."""
    other = OFFICE.replace("queue_id: sales", "queue_id: support").replace(
        "conference_id: all hands", "conference_id: x"
    )
    path = write(tmp_path, other)
    assert load(path, {}).notices == [
        f"{path}:{line}: flows[{index}].actions[{action}].option.{kind}_id: note: there is no {kind} '{name}' in this "
        "file; unless the API makes it, this action fails"
        for line, index, action, kind, name in ((17, 0, 0, "queue", "support"), (18, 1, 1, "conference", "x"))
    ]
    alone = write(tmp_path, "flows:\n  - {name: a, actions: [{type: queue_join, option: {queue_id: support}}]}\n")
    assert load(alone, {}).notices == []


def test_missing_music_is_reported_by_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, OFFICE.replace("tone:425/1000,0/4000*", "waltz.ogg"))
    assert load(path, {}).missing == [
        f"{path}:9: queues[0].music: there is no file 'waltz.ogg' in the sounds folder, {tmp_path}/sounds"
    ]
    path = write(tmp_path, OFFICE)
    assert commands.main(["check", "-c", str(path)]) == 0
    counted = "0 providers, 0 routes, 0 numbers, 2 flows, 2 agents, 1 queue, 1 conference"
    assert capsys.readouterr().out == f"{path} is in order: {counted}\n"

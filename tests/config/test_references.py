"""Destinations that reach nobody are told when the file is loaded."""

from pathlib import Path

from config.loading import load
from routing.identifiers import named_id

TEXT = """\
flows:
  - name: desk
    actions:
      - type: connect
        option:
          destinations:
            - {type: tel, target: "+821012345678"}
            - {type: extension, target: "100"}
      - type: call
        option:
          destinations: [{type: agent, target: bob}]
          actions:
            - {type: connect, option: {destinations: [{type: extension, target: "101"}]}}
"""


def test_extensions_and_agents_are_notes(tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(TEXT, encoding="utf-8")

    def note(line: int, place: str, what: str) -> str:
        missing = {
            "100": "there is no extension '100' in this file; unless the API makes it,",
            "101": "there is no extension '101' in this file; unless the API makes it,",
            "agents": "there is no agent 'bob' in this file; unless the API makes it,",
        }
        return f"{path}:{line}: flows[0].{place}.type: note: {missing[what]} this destination is not found (404)"

    assert load(path, {}).notices == [
        note(8, "actions[0].option.destinations[1]", "100"),
        note(11, "actions[1].option.destinations[0]", "agents"),
        note(13, "actions[1].option.actions[0].option.destinations[0]", "101"),
    ]


def test_an_agent_of_the_file_is_there(tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(TEXT + "agents: [{name: bob}]\n", encoding="utf-8")
    assert not [note for note in load(path, {}).notices if "no agent" in note]


def test_an_extension_of_the_file_is_there(tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(TEXT + "extensions: [{name: 100}, {name: 101}]\n", encoding="utf-8")
    assert not [note for note in load(path, {}).notices if "no extension" in note]


def test_an_agent_is_rung_at_an_extension_of_its_own_customer(tmp_path: Path) -> None:
    acme = named_id("customer", "acme")
    path = tmp_path / "t.yaml"
    path.write_text(
        f"""\
agents:
  - name: ann
    addresses: [{{type: extension, target: alice}}, {{type: extension, target: bob}}]
  - {{name: bea, addresses: [{{type: extension, target: nobody}}]}}
extensions:
  - {{name: alice}}
  - {{name: bob, customer_id: {acme}}}
""",
        encoding="utf-8",
    )
    assert [note.removeprefix(f"{path}:") for note in load(path, {}).notices] == [
        f"3: agents[0].addresses[1].type: note: bob is customer {acme}'s, and the agent is another's; until both are "
        "of one customer it is not found (404)",
        "4: agents[1].addresses[0].type: note: there is no extension 'nobody' in this file; unless the API makes it, "
        "this destination is not found (404)",
    ]

"""Destinations that reach nobody in this version are told when the file is loaded."""

from pathlib import Path

from config.loading import load

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
        later = {
            "extensions": "extensions come in a later version; until then",
            "agents": "there is no agent 'bob' in this file; unless the API makes it,",
        }
        return f"{path}:{line}: flows[0].{place}.type: note: {later[what]} this destination is not found (404)"

    assert load(path, {}).notices == [
        note(8, "actions[0].option.destinations[1]", "extensions"),
        note(11, "actions[1].option.destinations[0]", "agents"),
        note(13, "actions[1].option.actions[0].option.destinations[0]", "extensions"),
    ]


def test_an_agent_of_the_file_is_there(tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(TEXT + "agents: [{name: bob}]\n", encoding="utf-8")
    assert not [note for note in load(path, {}).notices if "no agent" in note]

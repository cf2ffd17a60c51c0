"""What a configuration file declares, as the store takes it."""

from pathlib import Path

from config.loading import load
from routing.identifiers import named_id
from service.storage import declarations

FLOWS = """
flows_module: greetings.py
flows:
  - {name: survey, id: 7efc9379-2d3e-4e54-9d36-23cff676a83e, actions: [{type: answer}]}
  - {name: plain, actions: [{type: answer}]}
  - {name: one, on_complete_flow_id: survey, actions: [{type: answer}]}
  - {name: two, on_complete_flow_id: plain, actions: [{type: answer}]}
  - {name: three, on_complete_flow_id: 7efc9379-2d3e-4e54-9d36-23cff676a83e, actions: [{type: answer}]}
  - {name: four, on_complete_flow_id: greeting, actions: [{type: answer}]}
  - {name: five, on_complete_flow_id: five, actions: [{type: answer}]}
"""


def test_a_flow_that_completes_another_is_kept_by_its_id(tmp_path: Path) -> None:
    """The API shows ids, and looks by them whether a flow is in use."""
    (tmp_path / "trunkline.yaml").write_text(FLOWS)
    configuration = load(tmp_path / "trunkline.yaml", {}, lambda module, beside: ["greeting"])
    kept = {row["name"]: row["on_complete_flow_id"] for row in declarations(configuration).flows}
    survey = "7efc9379-2d3e-4e54-9d36-23cff676a83e"
    assert kept == {
        "survey": "",
        "plain": "",
        "one": survey,
        "two": str(named_id("flow", "plain")),
        "three": survey,
        "four": str(named_id("flow", "greeting")),
        "five": str(named_id("flow", "five")),
    }

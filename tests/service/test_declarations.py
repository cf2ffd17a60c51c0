"""What a configuration file says of the store and declares, as the store takes it."""

from pathlib import Path

import pytest
import structlog
from structlog.testing import capture_logs

from config.loading import load
from flows.actions import ACTIONS
from flows.language.library import FlowLibrary
from routing.directory.directory import Directory
from routing.identifiers import named_id
from service.storage import Storage, absent_file, declarations, store_url

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


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("sqlite:///./trunkline.db", "sqlite:///{directory}/trunkline.db"),
        ("sqlite:///../kept/t.db?timeout=5", "sqlite:///{parent}/kept/t.db?timeout=5"),
        ("sqlite:////var/lib/t.db", "sqlite:////var/lib/t.db"),
        ("sqlite:///:memory:", "sqlite:///:memory:"),
        (":memory:", ":memory:"),
        ("postgresql://trunkline:secret@db.example/trunkline", "postgresql://trunkline:secret@db.example/trunkline"),
    ],
)
def test_a_relative_path_counts_from_the_configuration_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str, meant: str
) -> None:
    (tmp_path / "trunkline.yaml").write_text(f'store: "{written}"\n')
    monkeypatch.chdir("/")
    for path in (tmp_path / "trunkline.yaml", (tmp_path / "trunkline.yaml").relative_to("/")):
        found = store_url(load(path, {}))
        assert found == meant.format(directory=tmp_path, parent=tmp_path.parent)


async def test_a_store_in_the_directory_of_the_start_is_reported_where_a_new_one_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There an earlier version kept it."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/trunkline.yaml").write_text("store: sqlite:///./kept.db\n")
    (tmp_path / "kept.db").touch()
    monkeypatch.chdir(tmp_path)
    configuration = load(tmp_path / "etc/trunkline.yaml", {})
    assert absent_file(store_url(configuration)) == tmp_path / "etc/kept.db"
    told = []
    for _ in range(2):
        with capture_logs() as lines:
            log = structlog.get_logger()
            storage = await Storage.open(configuration, "sip1", Directory(), FlowLibrary(ACTIONS), log)
            await storage.close()
        told.append([(line["event"], line["file"]) for line in lines])
    assert told == [
        [
            ("made a new store", f"{tmp_path}/etc/kept.db"),
            ("store in the start directory not used", f"{tmp_path}/kept.db"),
        ],
        [],
    ]

"""Types of events are named in one place, which the API and the documentation follow."""

import re
from pathlib import Path

import pytest
from mypy import api as mypy

from api.resources.webhooks import WebhookCreate
from store.event_types import EVENT_TYPES, PAYLOADS

ROOT = Path(__file__).parents[2]


def test_each_type_says_what_its_data_is() -> None:
    assert {kind.partition("_")[0] for kind in EVENT_TYPES} == PAYLOADS.keys()


def test_webhooks_take_each_type() -> None:
    items = WebhookCreate.model_json_schema()["properties"]["events"]["items"]
    assert items["enum"] == list(EVENT_TYPES)


def test_the_documentation_names_each_type_and_no_other() -> None:
    section = (ROOT / "docs" / "api.md").read_text().partition("\n## Events\n")[2]
    assert set(re.findall(r"`([a-z]+_[a-z]+)`", section.partition("happen.")[0])) == set(EVENT_TYPES)


@pytest.mark.long
def test_a_type_that_there_is_not_does_not_pass_the_type_checker(tmp_path: Path) -> None:
    emitter = tmp_path / "emitter.py"
    emitter.write_text(
        "from uuid import UUID\n\nfrom store.store import Transaction\n\n\n"
        "def tell(transaction: Transaction) -> None:\n"
        '    transaction.event("call_hangup", UUID(int=0), {})\n'
        '    transaction.event("call_hungup", UUID(int=0), {})\n'
    )
    found, _, _ = mypy.run(["--config-file", str(ROOT / "pyproject.toml"), str(emitter)])
    assert re.findall(r"emitter.py:(\d+): error: .*call_hungup", found) == ["8"], found

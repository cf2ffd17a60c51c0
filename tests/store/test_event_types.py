"""Types of events are named in one place, which the API and the documentation follow."""

import re
from pathlib import Path
from typing import get_type_hints

from api.resources.webhooks import WebhookCreate
from store.event_types import EVENT_TYPES, PAYLOADS, EventType
from store.store import Transaction

ROOT = Path(__file__).parents[2]


def test_each_type_says_what_its_data_is() -> None:
    assert {kind.partition("_")[0] for kind in EVENT_TYPES} == PAYLOADS.keys()


def test_webhooks_take_each_type() -> None:
    items = WebhookCreate.model_json_schema()["properties"]["events"]["items"]
    assert items["enum"] == list(EVENT_TYPES)


def test_the_documentation_names_each_type_and_no_other() -> None:
    section = (ROOT / "docs" / "api.md").read_text().partition("\n## Events\n")[2]
    assert set(re.findall(r"`([a-z]+_[a-z]+)`", section.partition("happen.")[0])) == set(EVENT_TYPES)


def test_emitters_are_held_to_the_types() -> None:
    """`make lint` checks the word that each of them names."""
    assert get_type_hints(Transaction.event)["kind"] is EventType

"""A number's message flow has no call to act on: the file says so when it is loaded."""

from pathlib import Path

import pytest

from config.faults import ConfigurationError
from config.loading import load

TEXT = """\
numbers:
  - {number: "+15551234567", call_flow: office, message_flow: office}
  - {number: "+15551234568", call_flow: office, message_flow: keywords}
flows:
  - name: office
    actions:
      - {type: variable_set, option: {key: a, value: b}}
      - {type: answer}
  - name: keywords
    actions:
      - {type: branch, option: {variable: message.text, target_ids: {HOURS: hours}}}
      - {id: hours, type: message_send, option: {text: "Mon-Fri 9-5"}}
"""


def test_a_flow_that_needs_a_call_is_no_message_flow(tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(TEXT, encoding="utf-8")
    with pytest.raises(ConfigurationError) as refused:
        load(path, {})
    (fault,) = str(refused.value).splitlines()
    place = "2: numbers[0].message_flow: "
    assert fault == f'{path}:{place}office: action 2 ("answer") cannot run on a message; give it another flow'

"""The word for how a call ended."""

from typing import Any

import pytest

from routing.hunt.outcome import hangup_reason


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"answered": True}, "normal"),
        ({"answered": True, "status": 200}, "normal"),
        ({"answered": True, "timed_out": True}, "timeout"),
        ({"answered": False, "status": 486}, "busy"),
        ({"answered": False, "status": 600}, "busy"),
        ({"answered": False, "status": 408}, "noanswer"),
        ({"answered": False, "status": 480}, "noanswer"),
        ({"answered": False, "kind": "no_reply"}, "noanswer"),
        ({"answered": False, "kind": "no_progress"}, "noanswer"),
        ({"answered": False, "kind": "ring_timeout", "status": 480}, "dialout"),
        ({"answered": False, "kind": "cancelled"}, "cancel"),
        ({"answered": False, "status": 487}, "cancel"),
        ({"answered": False, "kind": "refused", "status": 486}, "busy"),
        ({"answered": False, "kind": "unreachable"}, "failed"),
        ({"answered": False, "timed_out": True}, "timeout"),
        *(
            ({"answered": False, "status": status}, "failed")
            for status in (0, 302, 401, 403, 404, 484, 488, 500, 503, 603)
        ),
    ],
)
def test_hangup_reasons(values: dict[str, Any], reason: str) -> None:
    assert hangup_reason(**values) == reason

"""`trunkline codecs`."""

import pytest

from engine.media.codec import registry
from service.cli.commands import main


@pytest.mark.parametrize("has_opus", [True, False])
def test_it_lists_what_may_be_configured_and_what_is_missing(
    has_opus: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "_has_opus", lambda: has_opus)
    assert main(["codecs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == ["PCMU  8000 Hz", "PCMA  8000 Hz", "G722  16000 Hz"]
    assert lines[3:] == ["opus  48000 Hz" if has_opus else "opus  missing: PyAV has no libopus here"]

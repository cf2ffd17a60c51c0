"""`secret_key`: one key or several, in the file or from the environment, and never in what is said of them."""

import base64
from pathlib import Path

import pytest

from config.faults import ConfigurationError
from config.loading import load
from config.settings import Settings

FIRST, SECOND = (bytes([number]) * 32 for number in (0xFB, 0xFF))
PADDED, URL = (base64.b64encode(FIRST).decode(), base64.urlsafe_b64encode(FIRST).decode())
OTHER = base64.urlsafe_b64encode(SECOND).decode()


def loaded(tmp_path: Path, text: str, environ: dict[str, str] | None = None) -> list[str]:
    path = tmp_path / "trunkline.yaml"
    path.write_text(text)
    return load(path, environ=environ or {}).settings.secret_key


@pytest.mark.parametrize(
    ("text", "environ", "keys"),
    [
        ("log: {level: info}", {}, []),
        ("secret_key: []", {}, []),
        ('secret_key: ""', {}, []),
        (f"secret_key: {PADDED}", {}, [URL]),  # as openssl rand -base64 32 prints it
        (f"secret_key: {URL.rstrip('=')}", {}, [URL]),
        (f"secret_key: [{OTHER}, {PADDED}]", {}, [OTHER, URL]),
        ('secret_key: "${KEYS}"', {"KEYS": f"{OTHER}, {PADDED}\n"}, [OTHER, URL]),
        ('secret_key: ["${NEW}", "${OLD}"]', {"NEW": OTHER, "OLD": URL}, [OTHER, URL]),
        ("log: {level: info}", {"TRUNKLINE_SECRET_KEY": f"{OTHER},{URL}"}, [OTHER, URL]),
    ],
)
def test_keys_in_all_spellings(tmp_path: Path, text: str, environ: dict[str, str], keys: list[str]) -> None:
    assert loaded(tmp_path, text, environ) == keys


@pytest.mark.parametrize("key", ["short", PADDED[:-4], PADDED + "AAAA", "not base64 at all, surely!", "x" * 44])
@pytest.mark.parametrize("where", ["file", "variable", "environment"])
def test_what_is_no_key_is_refused_and_not_repeated(tmp_path: Path, key: str, where: str) -> None:
    text = {"file": f'secret_key: ["{key}"]', "variable": 'secret_key: ["${K}"]', "environment": "log: {level: info}"}
    environ = {"file": {}, "variable": {"K": key}, "environment": {"TRUNKLINE_SECRET_KEY": key}}
    with pytest.raises(ConfigurationError) as refused:
        loaded(tmp_path, text[where], environ[where])
    (fault,) = refused.value.faults
    assert "make one with: openssl rand -base64 32" in str(fault)
    assert key not in str(fault)


def test_a_key_is_not_in_what_settings_print() -> None:
    assert URL not in repr(Settings(secret_key=[PADDED]))
    assert URL not in str(Settings(secret_key=[PADDED]))

"""Numbers of a configuration file, in every form that may be dialled, are kept in their one normal form."""

from pathlib import Path

import pytest

from config.faults import ConfigurationError
from config.loading import Configuration, load
from routing.numbers.normalise import normalise_dialled

FILE = """
numbering: {{default_country: {country}}}
providers: [{{name: trunk, hostname: 192.0.2.7}}]
routes: [{{target: "{target}", provider: trunk}}]
numbers: [{{number: "{number}", call_flow: away}}]
extensions: [{{name: alice, password: "a long password", caller_id: "{number}", caller_ids: ["{number}"]}}]
sip: {{users: [{{username: old, password: "a long password", caller_id: "{number}"}}]}}
flows: [{{name: away, actions: [{{type: connect, option: {{destinations: [{{type: tel, target: "{number}"}}]}}}}]}}]
"""


def read(tmp_path: Path, number: str, country: str = '""', target: str = "all") -> Configuration:
    path = tmp_path / "t.yaml"
    path.write_text(FILE.format(number=number, country=country, target=target), encoding="utf-8")
    return load(path, {})


@pytest.mark.parametrize(
    ("country", "number"),
    [
        ("GB", "020 7946 0123"),
        ("GB", "0044 (0)20 7946 0123"),
        ("US", "011 44 20 7946 0123"),
        ("US", "tel:+44-20-7946-0123"),
        ("AU", "0011442079460123"),
        ('""', "+4402079460123"),
        ('""', "0044 20 7946 0123#"),
    ],
)
def test_all_that_names_a_number_comes_to_the_same(tmp_path: Path, country: str, number: str) -> None:
    made = read(tmp_path, number, country)
    assert [one.number for one in made.numbers] == ["+442079460123"]
    for extension in made.extensions:
        assert extension.caller_id == "+442079460123"
    assert made.settings.sip.users[0].caller_id == "+442079460123"
    assert normalise_dialled(number, made.routing_settings()).number == "+442079460123"


def test_what_lacks_its_country_is_refused_in_its_place(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as refused:
        read(tmp_path, "15551234567")
    said = [str(fault) for fault in refused.value.faults]
    assert len(said) == 4 and all("write + and the country code, as in +15551234567" in line for line in said)
    assert {line.partition("t.yaml:")[2].split(": ")[1] for line in said} == {
        "numbers[0].number",
        "extensions[0].caller_id",
        "extensions[0].caller_ids",
        "sip.users[0].caller_id",
    }


@pytest.mark.parametrize(
    ("country", "target", "kept"),
    [("US", "01144", "+44"), ('""', "0044", "+44"), ('""', "+44 (0)20", "+4420"), ("US", "911", "911")],
)
def test_targets_of_routes_are_read_so_too(tmp_path: Path, country: str, target: str, kept: str) -> None:
    assert read(tmp_path, "+442079460123", country, target).routes[0].target == kept


def test_a_country_that_is_none_is_the_only_fault(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"numbering\.default_country"):
        read(tmp_path, "+442079460123", "Atlantis")

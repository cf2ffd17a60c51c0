"""One normal form of a number, however it is written, dialled, declared or imported."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.errors import RoutingError
from routing.numbers.normalise import normalise_dialled, numbers_to_look_up
from routing.numbers.numbering import checked_number, in_plan, is_e164
from routing.settings import RoutingSettings


def dialled(text: str, country: str = "", **more: Any) -> str:
    return normalise_dialled(text, RoutingSettings(default_country=country, **more)).number


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("+4402079460123", "+442079460123"),
        ("+44(0)2079460123", "+442079460123"),
        ("+490301234567", "+49301234567"),
        ("+5215512345678", "+525512345678"),
        ("+525512345678", "+525512345678"),
        ("+541115 2345 6789".replace(" ", ""), "+5491123456789"),
        ("+390612345678", "+390612345678"),  # in Italy the zero is the number's own
        ("+6102 9123 4567".replace(" ", ""), "+61291234567"),
        ("+15551234567", "+15551234567"),
        ("+899100000001", "+899100000001"),
        ("+999123456789", "+999123456789"),  # no plan knows it: it stays
        ("+80012345678", "+80012345678"),
    ],
)
@pytest.mark.parametrize("way", ["{}", "sip:{}@x", "tel:{}", "00{}", "sip:{}%23@x"])
def test_an_international_number_passes_its_plan(written: str, number: str, way: str) -> None:
    text = written.lstrip("+") if way == "00{}" else written
    assert dialled(way.format(text)) == number


@pytest.mark.parametrize(
    ("country", "text", "number"),
    [
        ("AU", "0011442079460123", "+442079460123"),  # not +11 44…: the country's own prefix goes before a shared one
        ("AU", "00442079460123", "+442079460123"),
        ("AU", "0291234567", "+61291234567"),
        ("US", "011442079460123", "+442079460123"),
        ("US", "00442079460123", "+442079460123"),
        ("JP", "010442079460123", "+442079460123"),
        ("RU", "810442079460123", "+442079460123"),
        ("BR", "005511987654321", "+5511987654321"),  # 00 55: no carrier's code, but the country
        ("BR", "0021442079460123", "+442079460123"),  # 00 21: a carrier's
        ("KR", "001442079460123", "+442079460123"),
        ("HK", "001442079460123", "+442079460123"),
        ("SG", "001442079460123", "+442079460123"),
        ("DE", "00442079460123", "+442079460123"),
        ("DE", "004402079460123", "+442079460123"),
        ("DE", "03012345678", "+493012345678"),
        ("GB", "02079460123", "+442079460123"),
        ("", "00442079460123", "+442079460123"),
        ("", "011442079460123", ""),
    ],
)
def test_what_stands_for_plus_is_the_countrys_own_first(country: str, text: str, number: str) -> None:
    assert dialled(text, country) == number


@pytest.mark.parametrize("text", ["0012", "0011123"])
def test_too_few_digits_behind_it_make_it_none(text: str) -> None:
    assert dialled(text, "AU") == ""


def test_further_prefixes_are_the_operators_word() -> None:
    assert dialled("9442079460123", international_prefixes=("9", "00")) == "+442079460123"


@pytest.mark.parametrize("end", ["#", "%23"])
@pytest.mark.parametrize(
    ("country", "digits", "number"),
    [
        ("", "+12125551234", "+12125551234"),
        ("US", "2125551234", "+12125551234"),
        ("US", "011442079460123", "+442079460123"),
    ],
)
def test_the_key_that_ends_dialling_is_no_digit(end: str, country: str, digits: str, number: str) -> None:
    assert dialled(f"sip:{digits}{end}@x", country) == number


@pytest.mark.parametrize("text", ["*72#", "#31#2125551234", "##", "#", "2125551234##", "alice#"])
def test_other_keys_are_what_they_are(text: str) -> None:
    assert normalise_dialled(text, RoutingSettings(default_country="US")).number == ""


@pytest.mark.parametrize("written", ["+4402079460123", "+44 20 7946 0123", "+44 (0) 20 7946 0123"])
def test_what_is_declared_and_imported_has_it_too(written: str) -> None:
    assert checked_number(written) == "+442079460123"


@pytest.mark.parametrize("written", ["+44020", "+1144207946012", "+52155512345678"])
def test_what_its_plan_does_not_have_is_no_number_of_ours(written: str) -> None:
    with pytest.raises(RoutingError):
        checked_number(written)


@given(st.from_regex(r"\+[1-9][0-9]{6,14}", fullmatch=True))
def test_the_form_is_one_and_a_form_of_its_own(number: str) -> None:
    once = in_plan(number)
    assert is_e164(once) and in_plan(once) == once


@given(
    st.from_regex(r"(\+|00|011|0)?[1-9][0-9]{4,13}#?", fullmatch=True), st.sampled_from(["", "US", "DE", "AU", "BR"])
)
def test_what_a_reading_comes_to_is_among_what_is_looked_up(text: str, country: str) -> None:
    settings = RoutingSettings(default_country=country)
    found = normalise_dialled(text, settings)
    assert not found.number or found.number in numbers_to_look_up(text, settings)

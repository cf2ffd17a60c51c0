"""Numbers that are written down, in a file, a request or a list: read as those that are dialled, or refused."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from phonenumbers import PhoneMetadata, PhoneNumberFormat, PhoneNumberType, example_number_for_type, format_number
from pydantic import ValidationError

from routing.errors import RoutingError
from routing.models.extension import Extension
from routing.models.number import Number
from routing.models.route import Route
from routing.numbers.normalise import normalise_dialled, numbers_to_look_up, written_number
from routing.numbers.numbering import beginning_in_plan, checked_number, in_plan, is_e164
from routing.numbers.short_numbers import is_short
from routing.settings import RoutingSettings

COUNTRIES = ("US", "GB", "FR", "DE", "IT", "AU", "MX", "BR", "RU", "IN", "SG", "SM", "JP", "AR", "HU", "KZ")
TYPES = (PhoneNumberType.FIXED_LINE, PhoneNumberType.MOBILE, PhoneNumberType.TOLL_FREE)


def settings(country: str = "", **more: Any) -> RoutingSettings:
    return RoutingSettings(default_country=country, **more)


def example(country: str, kind: int = PhoneNumberType.FIXED_LINE) -> Any:
    found = example_number_for_type(country, kind)
    return found if found is not None else example_number_for_type(country, PhoneNumberType.FIXED_LINE)


def idd(country: str) -> str:
    metadata = PhoneMetadata.metadata_for_region(country)
    assert metadata is not None
    prefix = metadata.preferred_international_prefix or metadata.international_prefix or "00"
    return (
        "".join(character for character in prefix if character.isdigit()) if prefix.isdigit() or "~" in prefix else "00"
    )


FULLWIDTH = {ord("+"): 0xFF0B} | {ord(str(digit)): 0xFF10 + digit for digit in range(10)}


@pytest.mark.parametrize("country", COUNTRIES)
@pytest.mark.parametrize("kind", TYPES)
def test_every_way_to_write_a_number_is_the_same_number(country: str, kind: int) -> None:
    parsed = example(country, kind)
    number = format_number(parsed, PhoneNumberFormat.E164)
    spaced = format_number(parsed, PhoneNumberFormat.INTERNATIONAL)
    read = settings(country)
    for written in (
        number,
        f" {number} ",
        spaced,
        spaced.replace(" ", "."),
        f"tel:{number}",
        f"TEL:{spaced}",
        f"tel:{number};npdi;rn={number}",
        f"{number}#",
        f"{number};user=phone",
        f"00{number[1:]}" if country not in ("US", "AU", "RU", "SG", "BR", "KZ", "JP") else number,
        f"{idd(country)}{number[1:]}" if country != "BR" else number,
        number.translate(FULLWIDTH),
        spaced.replace(" ", "\u00a0"),
        spaced.replace(" ", "\u2011"),
    ):
        assert written_number(written, read) == number, written
        assert normalise_dialled(written, read).number == number, written
        assert Number.model_validate({"number": written}, context={"numbering": read}).number == number
        made = Extension.model_validate(
            {"name": "a", "caller_id": written, "caller_ids": [written]}, context={"numbering": read}
        )
        assert (made.caller_id, made.caller_ids) == (number, [number])


@pytest.mark.parametrize("country", COUNTRIES)
@pytest.mark.parametrize("kind", TYPES)
def test_a_national_form_is_read_in_its_country_and_refused_without_one(country: str, kind: int) -> None:
    parsed = example(country, kind)
    number, national = (format_number(parsed, form) for form in (PhoneNumberFormat.E164, PhoneNumberFormat.NATIONAL))
    assert written_number(national, settings(country)) == number
    assert normalise_dialled(national, settings(country)).number == number
    with pytest.raises(RoutingError, match=r"no country code|no number"):
        written_number(national, settings())


@pytest.mark.parametrize(
    ("country", "written", "number"),
    [
        ("GB", "0044 (0)20 7946 0123", "+442079460123"),
        ("GB", "+44 020 7946 0123", "+442079460123"),
        ("US", "011 44 20 7946 0123", "+442079460123"),
        ("AU", "0011 44 20 7946 0123", "+442079460123"),
        ("RU", "8~10 44 20 7946 0123", "+442079460123"),
        ("RU", "8 (495) 123-45-67", "+74951234567"),
        ("MX", "+52 1 55 1234 5678", "+525512345678"),
        ("IT", "06 1234 5678", "+390612345678"),
        ("SM", "0549 886377", "+3780549886377"),
        ("US", "tel:212-555-1234;phone-context=+1", "+12125551234"),
        ("", "tel:5551234567;phone-context=+1", "+15551234567"),
        ("", "0044 20 7946 0123", "+442079460123"),
        ("", "899100000001", "+899100000001"),
        ("", "00899100000001", "+899100000001"),
        ("US", "011899100000001", "+899100000001"),
        ("", "+800 1234 5678", "+80012345678"),
        ("US", "1-212-555-1234", "+12125551234"),
        ("US", "212.555.1234", "+12125551234"),
        ("US", "442079460123", "+442079460123"),
    ],
)
def test_forms_of_the_field(country: str, written: str, number: str) -> None:
    assert written_number(written, settings(country)) == number
    assert normalise_dialled(written, settings(country)).number == number


@pytest.mark.parametrize(
    ("country", "written", "words"),
    [
        ("", "2125551234", "no number"),
        ("", "12125551234", "no country code"),
        ("", "15551234567", r"write \+ and the country code, as in \+15551234567"),
        ("", "020 7946 0123", "no number"),
        ("US", "911", "short number"),
        ("DE", "112", "short number"),
        ("DE", "116117", "short number"),
        ("US", "1-800-FLOWERS", "no number"),
        ("US", "sip:+12125551234@example.com", "no number"),
        ("US", "tel:+12125551234;ext=7", "write the number alone"),
        ("US", "+1 212 555 1234 x7", "no number"),
        ("US", "*72", "no number"),
        ("US", "", "no number"),
        ("US", "+", "no number"),
        ("US", "+0044207946", "no number"),
        ("", "+89910000000", "no virtual number"),
        ("", "89910000000012345", "no number"),
        ("US", "2125551234##", "no number"),
        ("US", "+1 212 555 1234, +1 212 555 1235", "no number"),
        ("US", "alice", "no number"),
    ],
)
def test_what_is_refused_says_why(country: str, written: str, words: str) -> None:
    with pytest.raises(RoutingError, match=words):
        written_number(written, settings(country))


def test_what_may_be_two_numbers_is_refused_with_both() -> None:
    # Possible within Germany, in use in the United States.
    with pytest.raises(RoutingError, match=r"may be \+\d+ or \+12125552368; write the one that is meant"):
        written_number("12125552368", settings("DE"))


@pytest.mark.parametrize("short", ["112", "911", "999", "110", "116117", "116123", "988", "411"])
@pytest.mark.parametrize("country", COUNTRIES)
def test_short_numbers_are_nobodys_to_have(short: str, country: str) -> None:
    """Where the plan knows it as one; elsewhere it is what it is dialled as."""
    read = settings(country)
    if is_short(short, read) or len(short) < 6:
        with pytest.raises(RoutingError):
            written_number(short, read)
    elif number := normalise_dialled(short, read).number:
        assert written_number(short, read) == number


WRITTEN = st.from_regex(
    r"(tel:)?[ (]?(\+|00|011|0011|810|0|8)?[ ()0-9./-]{3,18}#?(;npdi|;phone-context=\+[1-9][0-9]?)?", fullmatch=True
)


@given(WRITTEN, st.sampled_from(("", *COUNTRIES)))
def test_what_is_written_is_what_is_dialled(text: str, country: str) -> None:
    """What is kept is what a call to the same text looks for, and keeping it again changes nothing."""
    read = settings(country)
    try:
        number = written_number(text, read)
    except RoutingError:
        return
    assert normalise_dialled(text.strip(), read).number == number
    assert number in numbers_to_look_up(text.strip(), read)
    assert written_number(number, read) == number == in_plan(number) == checked_number(number)
    assert normalise_dialled(number, read).number == number == normalise_dialled(f"sip:{number}@x", read).number


@given(st.from_regex(r"\+[1-9][0-9]{6,14}", fullmatch=True), st.sampled_from(("", *COUNTRIES)))
def test_a_country_of_the_reader_changes_nothing_of_what_comes_with_plus(number: str, country: str) -> None:
    assert normalise_dialled(number, settings(country)).number == normalise_dialled(number, settings()).number
    assert normalise_dialled(f"tel:{number}", settings(country)).number == in_plan(number)


# ---- beginnings of numbers


@pytest.mark.parametrize(
    ("country", "written", "target"),
    [
        ("", "+44", "+44"),
        ("", "+44 20", "+4420"),
        ("", "+44020", "+4420"),
        ("", "+44 (0)20", "+4420"),
        ("", "tel:+4420", "+4420"),
        ("", "0044", "+44"),
        ("", "004402079", "+442079"),
        ("US", "01144", "+44"),
        ("AU", "001144", "+44"),
        ("", "+52155", "+5255"),
        ("", "+3906", "+3906"),
        ("", "+3780549", "+3780549"),
        ("", "+7800", "+7800"),
        ("", "+3606", "+36"),
        ("", "+1", "+1"),
        ("", "+0", ""),
        ("", "+4402079460123", "+442079460123"),
        ("US", "911", "911"),
        ("", "911", "911"),
        ("", "emergency", "emergency"),
        ("", "all", "all"),
        ("GB", "020", ""),
        ("", "020", ""),
        ("", "44", ""),
        ("", "+899", ""),
        ("", "00", ""),
        ("", "All", ""),
        ("", "+44x", ""),
    ],
)
def test_the_target_of_a_route_is_read_as_numbers_are(country: str, written: str, target: str) -> None:
    values = {"provider_id": "00000000-0000-0000-0000-000000000007", "target": written}
    if target:
        made = Route.model_validate(values, context={"numbering": settings(country)})
        assert made.target == target
    else:
        with pytest.raises(ValidationError, match=r"no target|virtual"):
            Route.model_validate(values, context={"numbering": settings(country)})


@given(st.from_regex(r"\+[1-9][0-9]{0,14}", fullmatch=True))
def test_the_form_of_a_beginning_is_a_form_of_its_own(prefix: str) -> None:
    once = beginning_in_plan(prefix)
    assert beginning_in_plan(once) == once


@given(st.from_regex(r"\+[1-9][0-9]{6,14}", fullmatch=True), st.integers(min_value=2, max_value=15))
def test_a_beginning_of_a_number_in_normal_form_stays(number: str, length: int) -> None:
    normal = in_plan(number)
    try:
        assert checked_number(normal) == normal
    except RoutingError:
        return  # no number of any plan
    prefix = normal[:length]
    assert normal.startswith(beginning_in_plan(prefix)) and is_e164(normal)

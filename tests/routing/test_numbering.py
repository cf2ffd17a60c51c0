"""What is a number, and what every written form of it comes to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.sip.message.uri import OtherUri, SipUri, TelUri
from routing.errors import RoutingError
from routing.models.number import Number
from routing.numbers.normalise import normalise_dialled
from routing.numbers.numbering import (
    checked_number,
    describe_number,
    is_country,
    is_reserved,
    national_digits,
    without_separators,
)
from routing.settings import RoutingSettings

PLAIN = RoutingSettings()
AMERICAN = RoutingSettings(default_country="US", international_prefixes=("00", "011"))
BRITISH = RoutingSettings(default_country="GB")

ONE_NUMBER = [
    "+15551234567",
    "15551234567",
    "0015551234567",
    "tel:+15551234567",
    "tel:+1-555-123-4567",
    "tel:5551234567;phone-context=+1",
    "tel:555-1234567;phone-context=+1",
    "tel:15551234567;phone-context=+1",
    "tel:15551234567;phone-context=example.com",
    "sip:+15551234567@example.com",
    "sip:15551234567@example.com;user=phone",
    "sip:+1-555-123-4567@example.com;user=phone",
    "sip:%2B15551234567@example.com",
    "sip:+1%20555%20123%204567@example.com",
    "sip:5551234567;phone-context=+1@example.com;user=phone",
    "sip:+15551234567;npdi;rn=+15550000000@example.com",
    "sips:0015551234567@[2001:db8::1]:5061",
    "SIP:+15551234567@example.com",
    "+1 (555) 123-4567",
    "+1.555.123.4567",
    "+1/555/123/4567",
    "00 1 555 123 45 67",
    "\uff0b\uff11\uff15\uff15\uff15\uff11\uff12\uff13\uff14\uff15\uff16\uff17",
    "+1\u00a0555\u2011123\u20114567",
    "\u202a+15551234567\u202c",
]


@pytest.mark.parametrize("form", ONE_NUMBER)
def test_every_dialled_form_reaches_the_same_number(form: str) -> None:
    assert normalise_dialled(form, PLAIN)[:2] == ("number", "+15551234567")


@pytest.mark.parametrize("form", ONE_NUMBER)
def test_forms_reach_it_when_it_is_ours_and_whatever_the_country(form: str) -> None:
    for settings in (PLAIN, AMERICAN, BRITISH):
        assert normalise_dialled(form, settings, {"+15551234567": 1}).number == "+15551234567", settings.default_country


@pytest.mark.parametrize(
    ("form", "settings", "number"),
    [
        ("5551234567", AMERICAN, "+15551234567"),
        ("(555) 123-4567", AMERICAN, "+15551234567"),
        ("011442079460123", AMERICAN, "+442079460123"),
        ("00442079460123", AMERICAN, "+442079460123"),
        ("442079460123", AMERICAN, "+442079460123"),
        ("02079460123", BRITISH, "+442079460123"),
        ("020 7946 0123", BRITISH, "+442079460123"),
        ("+44 (0)20 7946 0123", PLAIN, "+442079460123"),
        ("0044 (0)20 7946 0123", PLAIN, "+442079460123"),
        ("tel:02079460123;phone-context=+44", PLAIN, "+442079460123"),
        ("899100000001", PLAIN, "+899100000001"),
        ("+899100000001", PLAIN, "+899100000001"),
        ("00899100000001", PLAIN, "+899100000001"),
    ],
)
def test_country_and_prefixes_are_settings(form: str, settings: RoutingSettings, number: str) -> None:
    assert normalise_dialled(form, settings)[:2] == ("number", number)


def test_digits_that_are_ours_are_not_read_as_anything_else() -> None:
    # Norwegian, but ten digits that an American plan would take for its own.
    assert normalise_dialled("4721234567", AMERICAN).number == "+14721234567"
    assert normalise_dialled("4721234567", AMERICAN, {"+4721234567"}).number == "+4721234567"


@pytest.mark.parametrize(
    ("form", "kind"),
    [
        ("", "empty"),
        ("sip:example.com", "empty"),
        ("   ", "empty"),
        ("sip:%20@example.com", "empty"),
        ("+1234567890123456", "overlong"),
        ("001234567890123456", "overlong"),
        ("12345678901234567", "overlong"),
        ("1234567890123456", "overlong"),
        ("1" * 500, "overlong"),
        ("a" * 129, "overlong"),
        ("alice", "extension"),
        ("sip:alice.b@example.com", "extension"),
        ("1001", "extension"),
        ("*72", "extension"),
        ("12#", "extension"),
        ("112", "extension"),
        ("tel:911;phone-context=+1", "extension"),
        ("tel:123;phone-context=+0", "extension"),
        ("+123", "none"),
        ("+0123456789", "none"),
        ("-", "none"),
        ("hello world", "none"),
        ("al<ice", "none"),
        ("sip:@", "none"),
        ("tel:", "none"),
        ("sip:a b@c", "none"),
        ("9999999", "extension"),
        ("899", "extension"),
        ("89910", "extension"),
    ],
)
def test_what_is_no_number(form: str, kind: str) -> None:
    assert normalise_dialled(form, PLAIN)[:2] == (kind, "")


def test_short_digits_stay_an_extension_with_a_default_country() -> None:
    for text in ("1001", "112", "5551234"):
        assert normalise_dialled(text, AMERICAN).kind == "extension"


def test_parsed_uris_are_taken_as_they_are() -> None:
    assert normalise_dialled(SipUri.parse("sip:+15551234567@a"), PLAIN).number == "+15551234567"
    assert normalise_dialled(TelUri.parse("tel:+1-555-123-4567"), PLAIN).number == "+15551234567"
    assert normalise_dialled(OtherUri("urn", "service:sos"), PLAIN).kind == "none"


def test_what_was_dialled_is_kept_within_bounds() -> None:
    assert normalise_dialled("sip:alice@example.com", PLAIN).text == "alice"
    assert len(normalise_dialled("x" * 10_000, PLAIN).text) <= 128
    assert len(normalise_dialled("sip:" + "<" * 10_000, PLAIN).text) <= 128


SEPARATORS = st.sampled_from(["", " ", "-", ".", "(", ")", "/", "\u00a0", "\u2011", "  "])
NUMBERS = st.from_regex(r"\+1[2-9][0-9]{9}|\+8210[0-9]{8}|\+44207[0-9]{7}|\+899[0-9]{9}", fullmatch=True)


@given(NUMBERS, st.lists(SEPARATORS, min_size=16, max_size=16), st.sampled_from(["+", "00", "\uff0b"]), st.data())
def test_any_visual_form_of_a_number_is_that_number(
    number: str, separators: list[str], international: str, data: st.DataObject
) -> None:
    digits = number[1:]
    spread = "".join(digit + separators[place % 16] for place, digit in enumerate(digits))
    # "(0)" is written for callers inside the country and means no digit.
    spread = spread.replace("(0)", "0")
    for settings in (PLAIN, AMERICAN, BRITISH):
        assert normalise_dialled(international + spread, settings).number == number
    scheme = data.draw(st.sampled_from(["sip:{}@h", "sips:{}@h;user=phone", "tel:{}"]))
    assert normalise_dialled(scheme.format(number), PLAIN).number == number


@given(st.text(max_size=40))
def test_normalising_twice_changes_nothing_and_nothing_raises(text: str) -> None:
    for settings in (PLAIN, AMERICAN, BRITISH):
        result = normalise_dialled(text, settings)
        assert bool(result.number) == (result.kind == "number")
        if result.number:
            assert result.number[0] == "+" and result.number[1:].isascii() and result.number[1:].isdigit()
            assert 8 <= len(result.number) <= 16
            assert normalise_dialled(result.number, settings).number == result.number


@given(st.text(alphabet="+0123456789-. ()*#", max_size=20))
def test_normalising_dial_texts_is_idempotent(text: str) -> None:
    for settings in (PLAIN, AMERICAN, BRITISH):
        number = normalise_dialled(text, settings).number
        if number:
            assert normalise_dialled(number, settings).number == number


def test_own_numbers_are_checked() -> None:
    assert checked_number("+1 (555) 123-4567") == "+15551234567"
    assert checked_number("+899100000001") == "+899100000001"
    assert checked_number("+12025550123", strict=True) == "+12025550123"


@pytest.mark.parametrize(
    ("text", "strict", "reason", "words"),
    [
        ("15551234567", False, "INVALID_NUMBER", "write + and 7 to 15 digits"),
        ("+12", False, "INVALID_NUMBER", "write + and 7 to 15 digits"),
        ("+1234567890123456", False, "INVALID_NUMBER", "write + and 7 to 15 digits"),
        ("+1555123", False, "INVALID_NUMBER", "wrong length for country code +1"),
        ("+15551234", False, "INVALID_NUMBER", "wrong length for country code +1"),
        ("+9991234567", False, "INVALID_NUMBER", "no country code"),
        ("+15551234567", True, "INVALID_NUMBER", "not in use in country code +1"),
        ("+89912345678", False, "VIRTUAL_NUMBER_FORMAT_INVALID", "exactly nine digits"),
        ("+8991234567890", False, "VIRTUAL_NUMBER_FORMAT_INVALID", "exactly nine digits"),
        ("alice", False, "INVALID_NUMBER", "'alice' is no number"),
    ],
)
def test_numbers_that_cannot_be_ours_are_refused(text: str, strict: bool, reason: str, words: str) -> None:
    with pytest.raises(RoutingError, match=words.replace("+", r"\+")) as error:
        checked_number(text, strict=strict)
    assert error.value.reason == reason


def test_the_reserved_range_is_a_setting() -> None:
    assert is_reserved("+899000123456", PLAIN.reserved_virtual_prefix)
    assert not is_reserved("+899001123456", PLAIN.reserved_virtual_prefix)
    assert is_reserved("+899500000000", "+8995")
    assert not is_reserved("+899000123456", "")
    assert not is_reserved("+15551234567", "+1")


@pytest.mark.parametrize(
    ("number", "national"),
    [
        ("+15551234567", "5551234567"),
        ("+442079460123", "02079460123"),
        ("+821012345678", "01012345678"),
        ("+390612345678", "0612345678"),
        ("+9991234567", "+9991234567"),
    ],
)
def test_national_digits(number: str, national: str) -> None:
    assert national_digits(number) == national


def test_separators_are_dropped_and_letters_stay() -> None:
    assert without_separators("+1 (555) ABC") == "+1555ABC"


@pytest.mark.parametrize(
    ("number", "country", "kind"),
    [
        ("+14155552671", "US", "local"),
        ("+15551234567", "US", "local"),  # not given out
        ("+18005551234", "US", "toll_free"),
        ("+821012345678", "KR", "mobile"),
        ("+442079460123", "GB", "local"),
        ("+443001234567", "GB", "national"),  # UAN
        ("+449098790123", "GB", "national"),  # premium rate
        ("+445612345678", "GB", "national"),  # VoIP
        ("+447012345678", "GB", "national"),  # personal
        ("+448431234567", "GB", "national"),  # shared cost
        ("+18765550100", "JM", "mobile"),
        ("+77011234567", "KZ", "mobile"),
        ("+80012345678", "", "toll_free"),
        ("+88312345678", "", "national"),
        ("+999123456789", "", ""),
        ("+899100000001", "", "virtual"),
    ],
)
def test_a_number_is_described_by_its_plan(number: str, country: str, kind: str) -> None:
    assert describe_number(number) == (country, kind)
    Number.model_validate({"number": "+899100000001" if kind == "virtual" else "+15551234567", "kind": kind})


def test_countries_are_known_by_their_codes() -> None:
    assert is_country("US") and is_country("KR")
    assert not is_country("us") and not is_country("001") and not is_country("XX") and not is_country("")

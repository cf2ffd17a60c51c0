"""Replaces (RFC 3891): how it is read, and which dialogs can be meant."""

import pytest

from engine.sip.dialog.replaces import FITS, MAX_LENGTH, Replaces
from engine.sip.message.grammar import ParseError


@pytest.mark.parametrize(
    ("text", "replaces"),
    [
        ("98732@sip.example.com;from-tag=r33th4x0r;to-tag=ff87ff", ("98732@sip.example.com", "ff87ff", "r33th4x0r")),
        ("12adf2f34456gs5;to-tag=12345;from-tag=54321;early-only", ("12adf2f34456gs5", "12345", "54321", True)),
        ("  a ; to-tag = b ; FROM-TAG = C ; x=y ; z", ("a", "b", "C")),
        ("425928@bobster.example.org;to-tag=7743;from-tag=6472", ("425928@bobster.example.org", "7743", "6472")),
    ],
)
def test_it_is_read_as_in_section_6_1(text: str, replaces: tuple[str, ...]) -> None:
    found = Replaces.parse(text)
    assert found == Replaces(*replaces)  # type: ignore[arg-type]
    assert found.key == replaces[:3]


@pytest.mark.parametrize(
    "text",
    [
        "",
        ";to-tag=a;from-tag=b",
        "a",
        "a;to-tag=b",
        "a;from-tag=b",
        "a;to-tag;from-tag=b",
        "a;to-tag=;from-tag=b",
        "a;to-tag=b;to-tag=c;from-tag=d",
        "a b;to-tag=c;from-tag=d",
        "a,b;to-tag=c;from-tag=d",
        "a\x00b;to-tag=c;from-tag=d",
        "a;to-tag=b;from-tag=c;" + ";x" * 100,
        "a;to-tag=b;from-tag=" + "c" * MAX_LENGTH,
    ],
)
def test_what_names_no_dialog_is_a_fault(text: str) -> None:
    with pytest.raises(ParseError):
        Replaces.parse(text)


def test_every_state_has_an_answer_and_only_one_may_be_replaced() -> None:
    assert {state for state, _ in FITS} == {"unknown", "over", "early", "answered"}
    assert len(FITS) == 8
    assert [key for key, (status, _) in FITS.items() if not status] == [("answered", False)]


@pytest.mark.parametrize(
    ("state", "early_only", "status"),
    [
        ("unknown", False, 481),
        ("unknown", True, 481),
        ("over", False, 603),
        ("over", True, 603),
        ("early", False, 481),
        ("early", True, 481),
        ("answered", True, 486),
    ],
)
def test_a_dialog_that_may_not_be_replaced_is_refused_as_section_3_says(
    state: str, early_only: bool, status: int
) -> None:
    found, why = FITS[state, early_only]  # type: ignore[index, unused-ignore]
    assert found == status
    said = {"unknown": "no such call", "over": "is over", "early": "not been answered", "answered": "has been answered"}
    assert [key for key, words in said.items() if words in why] == [state]


def test_what_may_be_replaced_needs_no_word() -> None:
    assert FITS["answered", False] == (0, "")

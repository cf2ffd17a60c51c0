"""Branches of ours, and what they say when they come back: RFC 3261 §8.1.1.7, §16.3, RFC 5393 §4.2."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.sip.message.message import Request
from engine.sip.message.parsing import parse
from engine.sip.transaction.branch import MOST_VIAS, PLAIN, Branches, Mark

OURS, THEIRS = Branches("a secret"), Branches("another node's secret")
HEX = st.text("0123456789abcdef", min_size=8, max_size=8)


def request(*branches: str) -> Request:
    vias = "".join(f"Via: SIP/2.0/UDP 192.0.2.{n}:5060;branch={branch}\r\n" for n, branch in enumerate(branches, 1))
    message = parse(
        f"INVITE sip:b@192.0.2.9 SIP/2.0\r\n{vias}From: <sip:a@x>;tag=1\r\nTo: <sip:b@x>\r\nCall-ID: c\r\n"
        "CSeq: 1 INVITE\r\nContact: <sip:a@192.0.2.1>\r\nContent-Length: 0\r\n\r\n".encode()
    )
    assert isinstance(message, Request)
    return message


@given(depth=st.integers(0, 255), dialled=HEX, token=st.text("0123456789abcdefx", min_size=1, max_size=20))
def test_what_a_branch_says_is_read_again(depth: int, dialled: str, token: str) -> None:
    mark = Mark(depth, dialled)
    branch = OURS.make(token, mark)
    assert branch.startswith("z9hG4bK") and OURS.read(branch) == mark
    assert THEIRS.read(branch) is None


@given(place=st.integers(7, 49), letter=st.sampled_from("0123456789abcdef.x"))
def test_nobody_else_can_make_one_or_change_what_it_says(place: int, letter: str) -> None:
    branch = OURS.make("0123456789abcdef", Mark(3, "12345678"))
    changed = branch[:place] + letter + branch[place + 1 :]
    assert changed == branch or OURS.read(changed) is None


@pytest.mark.parametrize(
    "branch",
    [
        "",
        "z9hG4bK",
        "z9hG4bK1",
        "z9hG4bK." + "0" * 26,
        "0" * 100,
        "z9hG4bKé." + "0" * 26,
        "." * 60,
        "z9hG4bK-524287-1---",
    ],
)
def test_what_is_not_ours_is_read_as_nothing(branch: str) -> None:
    assert OURS.read(branch) is None


def test_a_depth_beyond_all_bounds_stays_at_the_bound() -> None:
    mark = OURS.read(OURS.make("t", Mark(10_000)))
    assert mark is not None and mark.depth == 255


def test_each_is_unique_by_its_token_alone() -> None:
    assert OURS.make("a") != OURS.make("b")
    assert OURS.read(OURS.make("a")) == PLAIN


def test_ours_are_found_among_the_vias_of_a_request_that_others_have_sent_on() -> None:
    first, second = OURS.make("1", Mark(1)), OURS.make("2", Mark(4))
    assert OURS.among(request(first)) == (Mark(1),)
    assert OURS.among(request("z9hG4bKproxy", second, "z9hG4bKother", first, "z9hG4bKcaller")) == (Mark(4), Mark(1))
    assert OURS.among(request(f"z9hG4bKproxy, SIP/2.0/TCP x;branch={first}")) == (Mark(1),)
    assert OURS.among(request("z9hG4bKproxy", THEIRS.make("1"))) == ()


def test_a_list_of_vias_that_is_broken_or_without_end_is_looked_at_in_bounds() -> None:
    ours = OURS.make("1")
    assert OURS.among(request("z9hG4bKproxy", "x,,;", ours)) == ()
    assert OURS.among(request(*["z9hG4bKp"] * MOST_VIAS, ours)) == ()


def test_a_number_stands_for_itself_alone_and_for_something_else_at_another_node() -> None:
    assert OURS.stands_for("+15551234567") == OURS.stands_for("+15551234567") != OURS.stands_for("+15551234568")
    assert OURS.stands_for("+15551234567") != THEIRS.stands_for("+15551234567")
    assert len(OURS.stands_for("é\udcff")) == 8

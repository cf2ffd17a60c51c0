"""Whose address a request counts for, behind proxies and without."""

import pytest

from api.http.clients import Clients

PROXIES = ("192.0.2.1", "10.0.0.0/8", "2001:db8:1::/48")


def address(peer: str, *forwarded: str, trusted: tuple[str, ...] = PROXIES) -> str:
    headers = [(b"x-forwarded-for", value.encode("latin-1")) for value in forwarded]
    return Clients(trusted).address({"client": (peer, 5000), "headers": headers})


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("192.0.2.1", ["203.0.113.7"], "203.0.113.7"),
        ("::ffff:192.0.2.1", ["203.0.113.7"], "203.0.113.7"),  # a socket of both families
        ("192.0.2.1", ["203.0.113.7, 10.1.2.3"], "203.0.113.7"),  # through two proxies
        ("192.0.2.1", ["198.51.100.66, 203.0.113.7"], "203.0.113.7"),  # the client wrote the first one
        ("192.0.2.1", ["198.51.100.66", "203.0.113.7", "10.1.2.3"], "203.0.113.7"),  # lines are one list
        ("192.0.2.1", ["10.9.9.9,10.1.2.3"], "10.9.9.9"),  # nobody but proxies: who began
        ("192.0.2.1", ["203.0.113.7:40123"], "203.0.113.7"),
        ("192.0.2.1", ["[2001:db8::7]:40123"], "2001:db8::7"),
        ("192.0.2.1", ["2001:DB8:0:0::7"], "2001:db8::7"),
        ("192.0.2.1", ["::ffff:203.0.113.7"], "203.0.113.7"),
        ("2001:db8:1::5", ["2001:db8::7, 2001:db8:1::6"], "2001:db8::7"),
        ("192.0.2.1", ["  203.0.113.7\t"], "203.0.113.7"),
    ],
)
def test_the_rightmost_address_that_is_no_proxy_asks(peer: str, forwarded: list[str], expected: str) -> None:
    assert address(peer, *forwarded) == expected


@pytest.mark.parametrize(
    "value",
    [
        "",
        ",",
        "unknown",
        "203.0.113.7 ",  # good; the control of this list
        "203.0.113",
        "203.0.113.7:",
        "203.0.113.7:x",
        "203.0.113.7:1234567",
        "0x7f.1",
        "127.1",
        "fe80::1%eth0",
        "[2001:db8::7",
        "[2001:db8::7]x",
        "[203.0.113.7]",
        "for=203.0.113.7",
        "\xff",
        "203.0.113.7\x00",
        "٢٠٣.0.113.7".encode().decode("latin-1"),
        "203.0.113.7, nonsense",
    ],
)
def test_what_is_no_address_is_whoever_passed_it_on(value: str) -> None:
    good = value == "203.0.113.7 "
    assert address("192.0.2.1", value) == ("203.0.113.7" if good else "192.0.2.1")


def test_before_a_bad_entry_the_proxies_still_count() -> None:
    assert address("192.0.2.1", "nonsense, 10.1.2.3") == "10.1.2.3"


@pytest.mark.parametrize("peer", ["203.0.113.9", "2001:db8:2::1", "192.0.2.2", "11.0.0.1"])
def test_what_others_write_says_nothing(peer: str) -> None:
    assert address(peer, "198.51.100.66") == peer
    assert address(peer, "10.1.2.3, 192.0.2.1") == peer


def test_without_proxies_nobody_is_believed() -> None:
    assert address("127.0.0.1", "198.51.100.66", trusted=()) == "127.0.0.1"


def test_a_header_without_end_is_read_a_little_way() -> None:
    assert address("192.0.2.1", ",".join(["203.0.113.7"] + ["10.0.0.1"] * 5000)) == "10.0.0.1"


def test_a_server_that_knows_no_address() -> None:
    assert Clients(PROXIES).address({"client": None, "headers": [(b"x-forwarded-for", b"203.0.113.7")]}) == ""
    assert Clients(PROXIES).address({"headers": []}) == ""

"""Numeric addresses, and what a listener calls itself towards each peer (RFC 3261 §18.1.1)."""

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.transport.addresses import (
    Routes,
    SentBy,
    bracketed,
    canonical,
    error_words,
    family_of,
    peer_host,
    socket_address,
    split_host_port,
)


@pytest.mark.parametrize(
    ("host", "family"),
    [
        ("192.0.2.1", socket.AF_INET),
        ("2001:db8::1", socket.AF_INET6),
        ("::ffff:192.0.2.1", socket.AF_INET6),
        ("fe80::1%2", socket.AF_INET6),
        ("fe80::1%eth0", socket.AF_INET6),
        ("example.com", 0),
        ("127.1", 0),  # the socket module would take it for 127.0.0.1
        ("1", 0),
        ("[::1]", 0),
        ("192.0.2.256", 0),
        ("", 0),
        ("a\0", 0),
        ("\udcff", 0),
    ],
)
def test_only_numeric_addresses_have_a_family(host: str, family: int) -> None:
    assert family_of(host) == family


@given(st.text(max_size=30), st.integers(-10, 70000))
def test_any_text_is_an_address_or_not_and_raises_nothing(host: str, port: int) -> None:
    address = socket_address(host, port)
    assert address is None or (family_of(host) and 0 < port < 65536)
    canonical(host)
    bracketed(host)


def test_zones_of_link_local_addresses_go_to_the_socket_and_never_to_a_peer() -> None:
    assert socket_address("fe80::1%2", 5060) == ("fe80::1", 5060, 0, 2)
    assert socket_address("fe80::1%no-such-device", 5060) == ("fe80::1", 5060, 0, 0)
    assert socket_address(f"fe80::1%{10**30}", 5060) == ("fe80::1", 5060, 0, 0x7FFFFFFF)
    assert peer_host(("fe80::1", 5060, 0, 2)) == "fe80::1%2"
    assert peer_host(("fe80::1%eth0", 5060, 0, 2)) == "fe80::1%2"
    assert peer_host(("2001:db8::1", 5060, 0, 0)) == "2001:db8::1"
    assert canonical("FE80:0::0001%2") == "fe80::1%2"
    assert bracketed("fe80::1%2") == "[fe80::1]"


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("example.com", "example.com", None),
        ("192.0.2.1:5070", "192.0.2.1", 5070),
        ("192.0.2.1:0", "192.0.2.1", 0),
        ("[2001:db8::1]", "2001:db8::1", None),
        ("[2001:db8::1]:5070", "2001:db8::1", 5070),
        ("2001:db8::1", "2001:db8::1", None),
    ],
)
def test_host_and_port_are_told_apart(text: str, host: str, port: int | None) -> None:
    assert split_host_port(text) == (host, port)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":5060",
        "[::1",
        "[::1]5060",
        "[::1]x:5",
        "[host]:5060",
        "host:",
        "host:x",
        "host:65536",
        "a:b:5060",
        "host:٣",
    ],
)
def test_what_is_no_host_and_port_is_said_so(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        split_host_port(text)


@pytest.mark.parametrize(
    ("local", "advertise", "remote", "shown"),
    [
        (("192.0.2.1", 5070), "", "198.51.100.1", "192.0.2.1:5070"),
        (("2001:db8::1", 5070), "", "2001:db8::2", "[2001:db8::1]:5070"),
        (("0.0.0.0", 5060), "", "127.0.0.1", "127.0.0.1:5060"),
        (("0.0.0.0", 5060), "", "127.0.0.9", "127.0.0.1:5060"),
        (("::", 5060), "", "::1", "[::1]:5060"),
        (("0.0.0.0", 5060), "", "not numeric", "127.0.0.1:5060"),
        (("0.0.0.0", 5060), "sip.example.com", "127.0.0.1", "sip.example.com:5060"),
        (("192.0.2.1", 5060), "203.0.113.9", "127.0.0.1", "203.0.113.9:5060"),
        (("192.0.2.1", 5060), "203.0.113.9:6060", "127.0.0.1", "203.0.113.9:6060"),
        (("2001:db8::1", 5060), "203.0.113.9", "2001:db8::2", "[2001:db8::1]:5060"),
        (("::", 5060), "2001:db8::9", "2001:db8::2", "[2001:db8::9]:5060"),
        (("::", 5060), "[2001:db8::9]:6060", "2001:db8::2", "[2001:db8::9]:6060"),
    ],
)
def test_sent_by_is_right_for_each_peer(local: tuple[str, int], advertise: str, remote: str, shown: str) -> None:
    assert SentBy(local, advertise)(remote) == shown


def test_the_route_is_asked_for_once_and_again_when_it_may_have_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    asked: list[str] = []

    def probe(host: str) -> str:
        asked.append(host)
        return f"192.0.2.{len(asked)}"

    monkeypatch.setattr("engine.transport.addresses._probe", probe)
    monkeypatch.setattr("engine.transport.addresses._CACHED_PEERS", 4)
    monkeypatch.setattr("engine.transport.addresses.time.monotonic", lambda: now)
    routes = Routes()
    assert [routes.source("198.51.100.1") for _ in range(3)] == ["192.0.2.1"] * 3
    now += 31
    assert routes.source("198.51.100.1") == "192.0.2.2"
    for number in range(20):
        routes.source(f"198.51.100.{number}")
        assert routes.remembered <= 4


def test_errors_are_words() -> None:
    assert error_words(ConnectionRefusedError(111, "Connection refused")) == "connection refused"
    assert error_words(OSError(28, "x")) == "no space left on device"
    assert error_words(OSError("odd")) == "odd"

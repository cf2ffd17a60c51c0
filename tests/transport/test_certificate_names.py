"""Whose a certificate is (RFC 5922 §7), and the server name in a ClientHello (RFC 6066 §3)."""

import random
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from engine.transport.certificate_names import CertificateNames, fits, names_in
from engine.transport.handshake.client_hello import Incomplete, server_name
from tests.certificates import Authority


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("names"))


WANTED = "carrier.example"


@pytest.mark.parametrize(
    ("names", "common", "wanted", "plain", "with_wildcards"),
    [
        (["sip:carrier.example"], "", WANTED, True, True),
        (["SIP:Carrier.Example"], "", WANTED, True, True),
        (["carrier.example"], "", "CARRIER.example.", True, True),
        (["carrier.example"], "", WANTED, True, True),
        (["other.example", "carrier.example"], "", WANTED, True, True),
        # SIP domains go before DNS names (§7.1)
        (["sip:other.example", "carrier.example"], "", WANTED, False, False),
        (["sip:other.example", "sip:carrier.example"], "", WANTED, True, True),
        # neither a user's URI nor one of another scheme is a domain: DNS names count
        (["sip:alice@carrier.example"], "", WANTED, False, False),
        (["sip:alice@other.example", "carrier.example"], "", WANTED, True, True),
        (["sips:carrier.example"], "", WANTED, False, False),
        (["sips:other.example", "carrier.example"], "", WANTED, True, True),
        # the common name only without alternative names
        ([], "carrier.example", WANTED, True, True),
        (["other.example"], "carrier.example", WANTED, False, False),
        (["192.0.2.1"], "carrier.example", WANTED, False, False),
        ([], "", WANTED, False, False),
        # as a whole (§7.2)
        (["example"], "", WANTED, False, False),
        (["sub.carrier.example"], "", WANTED, False, False),
        (["carrier.example"], "", "sub.carrier.example", False, False),
        (["*.carrier.example"], "", "sip.carrier.example", False, True),
        (["*.carrier.example"], "", "a.sip.carrier.example", False, False),
        (["*.carrier.example"], "", WANTED, False, False),
        (["*.example"], "", WANTED, False, False),
        (["s*.carrier.example"], "", "sip.carrier.example", False, False),
        (["*"], "", WANTED, False, False),
        # addresses
        (["192.0.2.1"], "", "192.0.2.1", True, True),
        (["2001:db8::1"], "", "2001:DB8:0::1", True, True),
        (["2001:db8::1"], "", "[2001:db8::1]", True, True),
        (["192.0.2.1"], "", "192.0.2.2", False, False),
        ([], "192.0.2.1", "192.0.2.1", False, False),
        (["carrier.example"], "", "192.0.2.1", False, False),
    ],
)
def test_whose_a_certificate_is(
    authority: Authority, names: list[str], common: str, wanted: str, plain: bool, with_wildcards: bool
) -> None:
    pem = authority.issue(*names, common=common, file="tried").certificate.read_bytes()
    found = names_in(x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER))
    assert (fits(found, wanted), fits(found, wanted, allow_wildcards=True)) == (plain, with_wildcards)


def test_names_are_shown_without_what_a_terminal_obeys() -> None:
    shown = CertificateNames(("a.example",), ("b\x1b[2J.example", *("c.example" for _ in range(9))), ()).shown
    assert shown == "sip:a.example, b?[2J.example, c.example, c.example, c.example, c.example and 5 more"
    assert CertificateNames().shown == "nobody"


@pytest.mark.parametrize("data", [b"", b"\x30\x03\x02\x01\x01", b"x" * 500])
def test_what_is_no_certificate_raises_value_error(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        names_in(data)


# ---- the ClientHello


def hello(name: str | None) -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    outgoing = ssl.MemoryBIO()
    tls = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


@pytest.mark.parametrize(
    ("asked", "found"), [("carrier.example", "carrier.example"), ("Carrier.EXAMPLE", "carrier.example"), (None, "")]
)
def test_the_name_that_a_client_asks_for_is_found(asked: str | None, found: str) -> None:
    data = hello(asked)
    assert server_name(data) == found
    assert server_name(data + b"more") == found


def test_the_beginning_of_a_hello_is_waited_for() -> None:
    data = hello("carrier.example")
    for length in range(len(data)):
        with pytest.raises(Incomplete):
            server_name(data[:length])


def test_a_name_that_is_not_ascii_is_none() -> None:
    assert server_name(hello("abcd.example").replace(b"abcd", b"a\xff\x00d")) == ""


def test_no_bytes_raise_anything_else() -> None:
    rng = random.Random(5)
    whole = bytearray(hello("carrier.example"))
    for _ in range(20_000):
        data = bytearray(whole)
        for _ in range(rng.randrange(1, 6)):
            data[rng.randrange(5, len(data))] = rng.randrange(256)
        assert isinstance(server_name(bytes(data)), str)
    for size in range(5, 300):
        data = rng.randbytes(size)
        try:
            assert isinstance(server_name(data), str)
        except Incomplete:
            assert data[0] == 22 or size < 5

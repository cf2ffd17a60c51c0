"""Who an address is: provider, client, edge, phone, or a stranger."""

from uuid import UUID

import pytest

from engine.sip.flow import address_of, identity_of, web_page_at
from engine.sip.message.message import Request
from engine.sip.message.parsing import parse
from engine.sip.peers import UNNOTED, counted_source, source_of
from routing.access.admission import identify
from routing.access.peers import MAX_PHONES, PHONE_TTL, KnownPeers, one_party
from routing.addresses import AddressTable
from routing.directory.directory import Directory
from routing.models.provider import Provider
from routing.models.provider_tls import ProviderTls
from routing.settings import RoutingSettings


@pytest.fixture
def clock() -> list[float]:
    return [1000.0]


@pytest.fixture
def peers(clock: list[float]) -> KnownPeers:
    directory = Directory()
    one = Provider(id=UUID(int=1), name="one", hostname="192.0.2.1:5080", inbound_addresses=["198.51.100.0/28"])
    other = Provider(id=UUID(int=2), name="other", hostname="[2001:db8::2]")
    directory.replace([], [one, other], [])
    settings = RoutingSettings(trusted_networks=("10.0.0.0/8", "192.0.2.0/24"), proxies=("203.0.113.5",))
    return KnownPeers(directory, settings, lambda: clock[0])


@pytest.mark.parametrize(
    ("host", "kind"),
    [
        ("192.0.2.1", "provider"),  # before the trusted network that it lies in
        ("198.51.100.9", "provider"),
        ("2001:db8::2", "provider"),
        ("::ffff:192.0.2.1", "provider"),
        ("192.0.2.2", "trusted"),
        ("10.1.2.3", "trusted"),
        ("203.0.113.5", "proxy"),
        ("203.0.113.6", "stranger"),
        ("2001:db8::3", "stranger"),
    ],
)
def test_a_provider_goes_before_a_trusted_network(peers: KnownPeers, host: str, kind: str) -> None:
    assert peers.kind(host) == kind
    assert peers.known(host) == (kind != "stranger")


def test_a_page_in_a_browser_is_known_by_its_log_in_alone(peers: KnownPeers) -> None:
    for host in ("192.0.2.1", "192.0.2.2", "10.1.2.3", "203.0.113.5"):
        assert peers.kind(web_page_at(host)) == "stranger"
        assert peers.accuse(web_page_at(host), "not_sip")
        assert not peers.banned(host)
    peers.phone_at("10.1.2.3")
    assert peers.kind(web_page_at("10.1.2.3")) == "phone"


def test_pages_and_phones_at_one_address_are_banned_by_what_they_did_themselves() -> None:
    clock = [0.0]
    peers = KnownPeers(Directory(), RoutingSettings(), lambda: clock[0])
    phone, page = "203.0.113.77", web_page_at("203.0.113.77")
    peers.phone_at(phone)
    for _ in range(9):
        peers.accuse(page, "credentials")
        peers.accuse(phone, "credentials")
    assert not peers.banned(page) and not peers.banned(phone)
    peers.phone_at(page)  # it has logged in: what phones did there still counts
    assert peers.accuse(page, "credentials")
    assert not peers.banned(page)
    for _ in range(9):
        peers.accuse(page, "credentials")
    assert peers.banned(page) and not peers.banned(phone)
    assert peers.kind(phone) == "phone"
    peers.accuse(phone, "credentials")
    assert peers.banned(phone)
    assert peers.bans.lift(phone) is not None
    assert not peers.banned(phone) and not peers.banned(page)
    for _ in range(10):
        peers.accuse(phone, "credentials")
    assert peers.banned(phone) and peers.banned(page)  # whom is banned himself is by every way


def test_where_a_phone_logged_in_is_known_for_an_hour(peers: KnownPeers, clock: list[float]) -> None:
    peers.phone_at("203.0.113.77")
    assert peers.kind("203.0.113.77") == "phone"
    clock[0] += PHONE_TTL - 1
    assert peers.known("203.0.113.77")
    clock[0] += 1
    assert not peers.known("203.0.113.77")


def test_an_address_is_known_for_as_long_as_a_phone_is_registered_there() -> None:
    clock = [0.0]
    peers = KnownPeers(Directory(), RoutingSettings(), lambda: clock[0])
    peers.phone_at("203.0.113.77", 2 * PHONE_TTL)
    peers.phone_at("203.0.113.77")  # it calls
    clock[0] = 2 * PHONE_TTL - 1
    assert peers.kind("203.0.113.77") == "phone"
    clock[0] += 1
    assert peers.kind("203.0.113.77") == "stranger"


def test_a_ban_forgets_the_phone(peers: KnownPeers) -> None:
    peers.phone_at("203.0.113.77")
    peers.forget("203.0.113.77")
    assert not peers.known("203.0.113.77")


def test_phones_are_bounded_and_the_oldest_goes_first(peers: KnownPeers) -> None:
    for number in range(MAX_PHONES + 1):
        peers.phone_at(f"100.64.{number // 256 % 256}.{number % 256}-{number // 65536}")
    assert not peers.known("100.64.0.0-0")
    assert peers.known("100.64.0.1-0")


def test_a_providers_address_is_reserved_for_everybody_else(peers: KnownPeers) -> None:
    assert peers.reserved("192.0.2.1", "203.0.113.6")
    assert peers.reserved("192.0.2.1", "2001:db8::2"), "another provider is somebody else, too"
    assert not peers.reserved("192.0.2.1", "198.51.100.1"), "one of its own addresses"
    assert not peers.reserved("203.0.113.9", "203.0.113.6")
    assert peers.allied("192.0.2.1", "198.51.100.1")
    assert not peers.allied("192.0.2.1", "203.0.113.6") and not peers.allied("203.0.113.9", "203.0.113.9")


def test_a_providers_name_is_reserved_too(peers: KnownPeers) -> None:
    peers.directory.put_provider(
        Provider(id=UUID(int=3), hostname="SIP.Carrier.Example.", inbound_addresses=["192.0.2.77"])
    )
    assert peers.reserved("sip.carrier.example", "203.0.113.6")
    assert not peers.reserved("sip.carrier.example", "192.0.2.77")
    assert not peers.reserved("carrier.example", "203.0.113.6")


def test_two_providers_at_one_hostname_are_one_party(peers: KnownPeers) -> None:
    for number in (4, 5):
        peers.directory.put_provider(
            Provider(id=UUID(int=number), hostname="gw.example", inbound_addresses=[f"192.0.2.{number}"])
        )
    assert not peers.reserved("192.0.2.4", "192.0.2.5") and not peers.reserved("gw.example", "192.0.2.4")
    assert peers.reserved("192.0.2.4", "203.0.113.6")


def test_a_providers_own_nat_goes_before_the_setting(peers: KnownPeers) -> None:
    peers.directory.put_provider(Provider(id=UUID(int=6), hostname="192.0.2.66", nat="always"))
    assert [peers.nat(host) for host in ("192.0.2.66", "192.0.2.1", "203.0.113.6")] == ["always", "auto", "auto"]
    peers.settings = RoutingSettings(nat="never")
    assert [peers.nat(host) for host in ("192.0.2.66", "192.0.2.1", "203.0.113.6")] == ["always", "never", "never"]


@pytest.mark.parametrize(
    ("host", "counted"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8::1", "2001:db8:0:0::/64"),
        ("2001:DB8:0:0:0:0:0:1", "2001:db8:0:0::/64"),
        ("fe80::1%2", "fe80:0:0:0::/64"),
        ("::1", "0:0:0:0::/64"),
        ("::ffff:192.0.2.1", "0:0:0:0::/64"),
    ],
)
def test_of_ipv6_the_64_is_one_source(host: str, counted: str) -> None:
    assert counted_source(host) == counted


@pytest.mark.parametrize("host", ["192.0.2.1", "198.51.100.9", "2001:db8::2", "10.1.2.3", "203.0.113.5"])
def test_providers_trusted_networks_and_edges_are_never_banned(peers: KnownPeers, host: str) -> None:
    peers.denied = AddressTable()
    peers.denied.add("::/0", True)
    peers.denied.add("0.0.0.0/0", True)
    for _ in range(30):
        assert not peers.accuse(host, "not_sip")
    assert not peers.banned(host)
    assert peers.banned("203.0.113.6")


def test_a_phone_is_banned_and_forgotten(peers: KnownPeers) -> None:
    peers.phone_at("203.0.113.77")
    for _ in range(10):
        assert peers.accuse("203.0.113.77", "credentials")
    assert peers.banned("203.0.113.77")
    assert peers.kind("203.0.113.77") == "stranger"


def test_a_login_ends_the_counting(peers: KnownPeers) -> None:
    for _ in range(3):
        for _ in range(9):
            peers.accuse("203.0.113.77", "credentials")
        peers.phone_at("203.0.113.77")
    assert not peers.banned("203.0.113.77")
    assert peers.kind("203.0.113.77") == "phone"


def test_who_becomes_a_provider_is_banned_no_more(peers: KnownPeers) -> None:
    for _ in range(10):
        peers.accuse("203.0.113.6", "credentials")
    assert peers.banned("203.0.113.6")
    peers.settings = RoutingSettings(trusted_networks=("203.0.113.0/24",))
    assert not peers.banned("203.0.113.6")


def test_who_hides_behind_an_edge_is_a_stranger_and_no_log_in_changes_that(peers: KnownPeers) -> None:
    """As the edge, which is known and never banned, it could guess passwords without end."""
    peers.phone_at(UNNOTED)
    assert peers.kind(UNNOTED) == "stranger"
    for _ in range(10):
        assert peers.accuse(UNNOTED, "credentials")
    assert peers.banned(UNNOTED) and not peers.banned("203.0.113.5")


EDGE_VIA = "SIP/2.0/UDP 203.0.113.5;branch=z9hG4bKe"


@pytest.mark.parametrize(
    ("vias", "source"),
    [
        ((EDGE_VIA, "SIP/2.0/UDP 10.0.0.7:5070;branch=z9hG4bKa;received=198.51.100.200"), "198.51.100.200"),
        ((EDGE_VIA, "SIP/2.0/UDP 198.51.100.200:5070;branch=z9hG4bKa"), "198.51.100.200"),
        ((f"{EDGE_VIA}, SIP/2.0/TCP h.example;branch=z9hG4bKa;received=198.51.100.200",), "198.51.100.200"),
        ((EDGE_VIA, "SIP/2.0/UDP [2001:db8:7::9]:5070;branch=z9hG4bKa"), "2001:db8:7::9"),
        ((EDGE_VIA, "SIP/2.0/UDP h;branch=z9hG4bKa;received=2001:db8:7::9"), "2001:db8:7::9"),
        ((EDGE_VIA, "SIP/2.0/UDP h;branch=z9hG4bKa;received=::ffff:198.51.100.200"), "198.51.100.200"),
        # What the edge took it from is not known:
        ((EDGE_VIA,), "203.0.113.5"),
        ((EDGE_VIA, "SIP/2.0/UDP h.example;branch=z9hG4bKa"), "203.0.113.5"),
        # Nor can it be, because its sender has seen to that:
        ((EDGE_VIA, "SIP/2.0/UDP h.example;branch=z9hG4bKa;received=198.51.100"), UNNOTED),
        ((EDGE_VIA, "SIP/2.0/UDP 198.51.100.200;received=x;branch=z9hG4bKa;received=198.51.100.200"), UNNOTED),
        ((EDGE_VIA, "nonsense"), UNNOTED),
    ],
)
def test_an_edge_s_request_is_the_one_s_it_noted_in_the_via_18_2_1(
    peers: KnownPeers, vias: tuple[str, ...], source: str
) -> None:
    head = "".join(f"Via: {via}\r\n" for via in vias)
    rest = "From: <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\n\r\n"
    request = parse(f"OPTIONS sip:b@h SIP/2.0\r\n{head}{rest}".encode())
    assert isinstance(request, Request)
    assert source_of(request, "203.0.113.5", peers) == source
    assert source_of(request, "203.0.113.6", peers) == "203.0.113.6"  # anybody can write a Via


def test_a_provider_is_shown_what_it_is_to_be_shown(peers: KnownPeers) -> None:
    shown = Provider(id=UUID(int=3), name="three", hostname="192.0.2.30", contact_host="sbc1.example.com:5061")
    peers.directory.put_provider(shown)
    assert [peers.contact_host(host) for host in ("192.0.2.30", "192.0.2.1", "203.0.113.6")] == [
        "sbc1.example.com:5061",
        "",
        "",
    ]


# ---- certificates

CERTIFIED = Provider(
    id=UUID(int=4),
    name="four",
    hostname="sip.four.example",
    tls_client_names=["sip:four.example", "Edge.Four.Example."],
)
BOTH = Provider(
    id=UUID(int=5),
    name="five",
    hostname="192.0.2.50",
    tls_client_names=["five.example"],
    inbound_addresses=["192.0.2.51"],
)


@pytest.fixture
def with_certificates(peers: KnownPeers) -> KnownPeers:
    for provider in (CERTIFIED, BOTH):
        peers.directory.put_provider(provider)
    peers.directory.set_resolved_addresses(CERTIFIED.id, ["192.0.2.40"])
    return peers


@pytest.mark.parametrize(
    ("names", "host", "provider"),
    [
        (["sip:four.example", "four.example"], "203.0.113.9", "four"),
        (["edge.four.example"], "203.0.113.9", "four"),
        (["four.example"], "203.0.113.9", None),  # only the SIP domain was named
        (["other.example", "edge.four.example"], "203.0.113.9", "four"),
        (["other.example"], "203.0.113.9", None),
        (["server:sip.four.example"], "192.0.2.40", "four"),  # over a connection that we made to its hostname
        (["sip.four.example"], "203.0.113.9", None),  # its hostname is none of the names that it shows as a client
        ([], "192.0.2.40", None),  # its address alone is not enough
        (["other.example"], "192.0.2.40", None),
        (["five.example"], "203.0.113.9", "five"),
        ([], "192.0.2.50", "five"),  # it has addresses
        ([], "192.0.2.51", "five"),
        (["five.example"], "192.0.2.40", "five"),  # the certificate goes before the address
        (["edge.four.example"], "192.0.2.51", "four"),
    ],
)
def test_who_has_shown_a_certificate(
    with_certificates: KnownPeers, names: list[str], host: str, provider: str | None
) -> None:
    peers = with_certificates
    party = identity_of(names, host) or host
    source = identify(peers.directory, peers.settings, party, authenticated=True)
    assert (source.provider.name if source.provider else None) == provider
    if provider is not None:
        assert source.kind == "trunk" and peers.known(party) and not peers.banned(party)
        assert peers.kind(party) == "provider" and not peers.accuse(party, "not_sip")
    else:
        assert source.kind == ("guest" if host == "192.0.2.40" else "client")


def test_who_has_one_name_in_certificates_is_one_carrier(with_certificates: KnownPeers) -> None:
    """Its three hosts, say, each of which is a provider: any of them may be named by a call of another."""
    peers = with_certificates
    sibling = Provider(
        id=UUID(int=8), name="eight", hostname="192.0.2.80", tls_client_names=["other.example", "edge.four.example"]
    )
    peers.directory.put_provider(sibling)
    assert one_party(CERTIFIED, sibling) and not one_party(BOTH, sibling) and not one_party(None, sibling)
    assert not peers.reserved("192.0.2.80", "192.0.2.40") and peers.allied("192.0.2.80", "192.0.2.40")
    assert peers.reserved("192.0.2.80", "192.0.2.50")


@pytest.mark.parametrize(("allowed", "known"), [(True, True), (False, False)])
def test_a_wildcard_stands_for_one_label_where_it_may(peers: KnownPeers, allowed: bool, known: bool) -> None:
    names, tls = ["sip.pool.example", "sip:pool.example", "short.example"], ProviderTls(allow_wildcards=allowed)
    pool = Provider(id=UUID(int=6), name="six", hostname="192.0.2.60", tls_client_names=names, tls=tls)
    peers.directory.put_provider(pool)
    assert peers.known(identity_of(["*.pool.example"], "203.0.113.9")) == known
    for other in ("*.sip.pool.example", "*.example", "*.com", "*"):
        assert not peers.known(identity_of([other], "203.0.113.9"))


def test_who_shows_nothing_at_the_address_of_a_certified_trunk_is_a_guest(with_certificates: KnownPeers) -> None:
    """Even in a trusted network, in which that address lies here; nobody else may name it as its own either."""
    peers = with_certificates
    assert identify(peers.directory, peers.settings, "192.0.2.40").kind == "guest"
    assert peers.reserved("192.0.2.40", "203.0.113.9") and not peers.reserved("192.0.2.40", "192.0.2.40")
    assert not peers.reserved("192.0.2.40", identity_of(["edge.four.example"], "203.0.113.9"))
    assert peers.allied("192.0.2.40", identity_of(["edge.four.example"], "203.0.113.9"))


def test_a_banned_address_bans_no_certificate(with_certificates: KnownPeers) -> None:
    peers = with_certificates
    peers.denied = AddressTable()
    peers.denied.add("203.0.113.9", True)
    assert peers.banned("203.0.113.9") and peers.banned(identity_of(["other.example"], "203.0.113.9"))
    assert not peers.banned(identity_of(["edge.four.example"], "203.0.113.9"))


def test_a_certificates_names_cannot_make_up_an_identity() -> None:
    assert identity_of(["a|b", "x@y", "Upper", "\r\n", ""], "192.0.2.1") == ""
    assert identity_of(["good.example", "a@b"], "192.0.2.1") == "good.example@192.0.2.1"
    for length in range(60):  # wherever the end falls, no name is cut
        party = identity_of(["a" * length, *["four.example.attacker.example"] * 1000], "192.0.2.1")
        assert len(party) < 5000 and "four.example" not in party.partition("@")[0].split("|")
    assert [address_of(party) for party in ("192.0.2.1", "a|b@192.0.2.1", "a@fe80::1%2")] == [
        "192.0.2.1",
        "192.0.2.1",
        "fe80::1%2",
    ]

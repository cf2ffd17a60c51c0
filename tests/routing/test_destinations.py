"""Where a `sip:` destination may lead: by who named it, and by every way of writing an address."""

from uuid import UUID

import pytest

from routing.access.destinations import NamedBy, forbidden, is_provider_hostname, least_trusted, named_by
from routing.directory.directory import Directory
from routing.hunt.health import HealthBoard
from routing.hunt.router import Router
from routing.identifiers import NIL, PLATFORM
from routing.models.provider import Provider
from routing.settings import RoutingSettings

CUSTOMER = UUID(int=7)


@pytest.fixture
def directory() -> Directory:
    made = Directory()
    made.put_provider(Provider(name="carrier", hostname="203.0.113.11:5060", inbound_addresses=["198.51.100.0/28"]))
    made.put_provider(Provider(name="six", hostname="[2001:db8::9]"))
    made.put_provider(Provider(name="named", hostname="sbc.carrier.example"))
    made.set_resolved_addresses(made.providers[2].id, ["203.0.113.77"])
    return made


@pytest.mark.parametrize(
    ("host", "why"),
    [
        ("203.0.113.11", "provider"),
        ("198.51.100.3", "provider"),
        ("203.0.113.77", "provider"),
        ("2001:db8::9", "provider"),
        ("2001:0db8:0::0009", "provider"),
        ("::ffff:203.0.113.11", "provider"),
        ("::ffff:cb00:710b", "provider"),
        ("::203.0.113.11", "provider"),
        ("64:ff9b::203.0.113.11", "provider"),
        ("::ffff:0:203.0.113.11", "provider"),
        ("2002:cb00:710b::1", "provider"),
        ("10.1.2.3", "private"),
        ("172.31.255.255", "private"),
        ("192.168.0.1", "private"),
        ("100.64.0.9", "private"),
        ("127.9.9.9", "private"),
        ("169.254.169.254", "private"),
        ("0.0.0.0", "private"),
        ("224.0.1.75", "private"),
        ("255.255.255.255", "private"),
        ("::", "private"),
        ("::1", "private"),
        ("::ffff:127.0.0.1", "private"),
        ("64:ff9b::a00:1", "private"),
        ("::ffff:0:10.0.0.1", "private"),
        ("64:ff9b:1::1", "private"),
        ("2002:c0a8:1::", "private"),
        ("2001:0:a00:1::", "private"),
        ("fd00::5", "private"),
        ("fe80::1%2", "private"),
        ("fec0::1", "private"),
        ("ff02::1", "private"),
        ("sip.example.com", "private"),  # it is to be asked about addresses alone
        ("198.51.100.77", ""),
        ("172.32.0.1", ""),
        ("100.128.0.1", ""),
        ("2a00:1450::1", ""),
    ],
)
def test_an_address_is_judged_however_it_is_written(directory: Directory, host: str, why: str) -> None:
    assert forbidden(directory, RoutingSettings(), host, "customer") == why
    assert forbidden(directory, RoutingSettings(), host, "platform") == (
        why if why == "provider" or host == "sip.example.com" else ""
    )
    assert forbidden(directory, RoutingSettings(), host, "operator") == ""


def test_networks_that_are_listed_open_private_addresses_and_no_provider(directory: Directory) -> None:
    settings = RoutingSettings(destination_networks=("10.20.0.0/16", "203.0.113.0/24", "fd00:1::/32"))
    for host in ("10.20.3.4", "::ffff:10.20.3.4", "64:ff9b::10.20.3.4", "fd00:1::8"):
        assert forbidden(directory, settings, host, "customer") == "", host
    assert forbidden(directory, settings, "10.21.0.1", "customer") == "private"
    assert forbidden(directory, settings, "203.0.113.11", "customer") == "provider"


def test_a_providers_name_is_its_own_before_it_resolves(directory: Directory) -> None:
    assert is_provider_hostname(directory, "SBC.Carrier.example.")
    assert not is_provider_hostname(directory, "carrier.example")
    assert not is_provider_hostname(directory, "203.0.113.11")


@pytest.mark.parametrize(
    ("call_of", "owner", "named"),
    [
        (NIL, NIL, "operator"),
        (PLATFORM, NIL, "operator"),
        (NIL, PLATFORM, "operator"),
        (NIL, CUSTOMER, "customer"),  # a customer's flow or agent on a call that the platform pays for
        (CUSTOMER, NIL, "platform"),
        (CUSTOMER, PLATFORM, "platform"),
        (CUSTOMER, CUSTOMER, "customer"),
        (NIL, None, "customer"),
    ],
)
def test_who_names_a_destination(call_of: UUID, owner: UUID | None, named: NamedBy) -> None:
    assert named_by(call_of, owner) == named


def test_several_destinations_are_named_by_whom_we_trust_least() -> None:
    assert least_trusted(["operator", "customer", "platform"]) == "customer"
    assert least_trusted(["operator", "platform"]) == "platform"


@pytest.mark.parametrize(
    ("uri", "customer", "platform"),
    [
        ("sip:+15550001111@203.0.113.11", "a provider", "a provider"),
        ("sip:x@h.example;maddr=[::ffff:203.0.113.11]", "a provider", "a provider"),
        ("sip:x@SBC.carrier.example", "a provider", "a provider"),
        ("sip:x@10.0.0.1:5070", "private", "may be called"),
        ("sip:x@198.51.100.77", "may be called", "may be called"),
        ("sip:x@somewhere.example", "judged by the addresses", "judged by the addresses"),
        ("tel:+15550001111", "", ""),
        ("+15550001111", "", ""),
        ("sip:", "", ""),
    ],
)
def test_explain_says_what_becomes_of_a_destination(
    directory: Directory, uri: str, customer: str, platform: str
) -> None:
    found = Router(directory, HealthBoard(), RoutingSettings()).explain(uri, 0.0).named
    assert bool(found) is bool(customer)
    if found:
        assert customer in found["customer"]
        assert platform in found["platform"]
        assert "refused" not in found["operator"]

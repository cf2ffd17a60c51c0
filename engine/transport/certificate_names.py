"""Names in certificates, and whether one of them is the name that was meant (RFC 5922 §7)."""

from ipaddress import ip_address
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.x509.oid import NameOID

from engine.sip.message.grammar import ParseError, host_address
from engine.sip.message.uri import SipUri, parse_uri

MOST_NAMES: Final = 100
"""Names of one certificate that are looked at."""
_SHOWN: Final = 6


class CertificateNames(NamedTuple):
    """What a certificate names. Hosts are in lower case, addresses in the one way of writing them.

    Attributes:
        uris: Hosts of `sip:` URIs without a user: SIP domains (RFC 5922 §7.1).
        hosts: DNS names; where there are no alternative names at all, the common name.
        addresses: IP addresses.
    """

    uris: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        """All of them, for people."""
        names = [*(f"sip:{host}" for host in self.uris), *self.hosts, *self.addresses]
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        return ", ".join(_plain(name) for name in names[:_SHOWN]) + more or "nobody"


def read_names(certificate: x509.Certificate) -> CertificateNames:
    """The names of a certificate. Raises ValueError where they cannot be read."""
    try:
        alternative = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        common = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return CertificateNames(hosts=tuple(_host(str(name.value)) for name in common[:1]))
    except (x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise ValueError(f"names that cannot be read: {error}") from None
    found = list(alternative)[:MOST_NAMES]
    uris = (_domain(name.value) for name in found if isinstance(name, x509.UniformResourceIdentifier))
    return CertificateNames(
        uris=tuple(host for host in uris if host),
        hosts=tuple(_host(name.value) for name in found if isinstance(name, x509.DNSName)),
        addresses=tuple(str(name.value) for name in found if isinstance(name, x509.IPAddress)),
    )


def identities(names: CertificateNames) -> tuple[str, ...]:
    """What `engine.sip.flow.identity_of` is told of a client with these names: a SIP domain stands for itself and for
    the host of that name, and where there are any, DNS names stand for nothing (RFC 5922 §7.1)."""
    found = tuple(name for host in names.uris for name in (f"sip:{host}", host))
    return found or names.hosts


def names_in(certificate: bytes) -> CertificateNames:
    """As `read_names`, of a certificate in DER."""
    return read_names(x509.load_der_x509_certificate(certificate))


def fits(names: CertificateNames, wanted: str, allow_wildcards: bool = False) -> bool:
    """Whether a certificate with these names is that of `wanted`: a host name or a numeric address.

    SIP domains count before DNS names: where there are any, no DNS name does (RFC 5922 §7.1). A name is compared as a
    whole, whatever the case (§7.2); with `allow_wildcards` a leading `*` stands for one label.
    """
    wanted = _host(wanted)
    try:
        address = str(ip_address(wanted.strip("[]").partition("%")[0]))
    except ValueError:
        hosts = names.uris or names.hosts
        if wanted in hosts:
            return True
        _, dot, parent = wanted.partition(".")
        return allow_wildcards and bool(dot) and "." in parent and f"*.{parent}" in hosts
    return address in names.addresses or address in names.uris


def _domain(uri: str) -> str:
    """The SIP domain that a URI names; "" for none (RFC 5922 §7.1: its scheme is `sip`, and it has no user)."""
    if "@" in uri:
        return ""
    try:
        parsed = parse_uri(uri)
    except ParseError:
        return ""
    return _host(host_address(parsed.host)) if isinstance(parsed, SipUri) and parsed.scheme == "sip" else ""


def _host(name: str) -> str:
    return name.lower().rstrip(".")


def _plain(name: str) -> str:
    """A peer's text as it may be shown."""
    return "".join(letter if letter.isprintable() else "?" for letter in name[:80])

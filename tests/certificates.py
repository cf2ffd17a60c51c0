"""Certificates for tests, made by `cryptography`: a CA of one's own, and what it signs."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


@dataclass(frozen=True)
class Files:
    """A certificate and its key on disk, as PEM."""

    certificate: Path
    key: Path


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@cache
def _kept_key(name: str) -> ec.EllipticCurvePrivateKey:
    return new_key()


class Authority:
    """A CA. `ca` is its own certificate, in the folder that the others are written to."""

    def __init__(self, folder: Path, name: str = "Test CA") -> None:
        self.folder = folder
        self._key = new_key()
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.now(UTC)
        self.certificate = (
            x509.CertificateBuilder()
            .subject_name(self._name)
            .issuer_name(self._name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=3650))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        self.ca = folder / f"{name.replace(' ', '-').lower()}.pem"
        self.ca.write_bytes(self.certificate.public_bytes(Encoding.PEM))

    def issue(
        self,
        *names: str,
        common: str = "",
        days: float = 365.0,
        file: str = "",
        since: float = 1.0,
        self_signed: bool = False,
    ) -> Files:
        """A certificate with these alternative names, written to the folder as `FILE.pem` and `FILE.key` (mode 0600).

        `names`: "sip:example.com" is a URI, "192.0.2.1" an address, anything else a DNS name; none: no alternative
        names at all. `common`: the common name. `days` from now it ends (negative: it has ended), and `since` days ago
        it began.
        """
        file = file or (common or (names[0] if names else "nameless")).replace("*", "any").replace(":", "-")
        key = _kept_key(f"{self.folder} {file}")
        now = datetime.now(UTC)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)] if common else [])
        signer, issuer = (key, subject) if self_signed else (self._key, self._name)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=max(since, 1.0 - days)))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        )
        if names:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_general(name) for name in names]), critical=not common
            )
        certificate = builder.sign(signer, hashes.SHA256())
        found = Files(self.folder / f"{file}.pem", self.folder / f"{file}.key")
        found.certificate.write_bytes(certificate.public_bytes(Encoding.PEM))
        found.key.touch(mode=0o600)
        found.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return found


def _general(name: str) -> x509.GeneralName:
    if name.partition(":")[0].lower() in ("sip", "sips"):
        return x509.UniformResourceIdentifier(name)
    try:
        address: IPv4Address | IPv6Address = ip_address(name)
    except ValueError:
        return x509.DNSName(name)
    return x509.IPAddress(address)

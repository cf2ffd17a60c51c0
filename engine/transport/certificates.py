"""Certificates that our TLS listeners show: read from files, chosen by the name that a client asks for, read again."""

import ssl
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final, Literal, NamedTuple

from cryptography import x509

from engine.transport.certificate_names import CertificateNames, fits, read_names
from engine.transport.requested_certificate import RequestingContext

MinimumVersion = Literal["1.2", "1.3"]
ClientCertificates = Literal["off", "request", "require"]

VERSIONS: Final[dict[MinimumVersion, ssl.TLSVersion]] = {
    "1.2": ssl.TLSVersion.TLSv1_2,
    "1.3": ssl.TLSVersion.TLSv1_3,
}
_TICKETS: Final = 1  # RFC 8446 §4.6.1: OpenSSL sends two

Stamp = tuple[int, int, int]


class CertificateError(Exception):
    """A certificate or key cannot be used; the text names the file, and what is wrong with it."""


class CertificateFiles(NamedTuple):
    """A certificate with its chain, and its key, as PEM files."""

    certificate: Path
    key: Path


@dataclass(slots=True, frozen=True, kw_only=True)
class ServerTls:
    """What TLS listeners are told.

    Attributes:
        certificates: The first one is shown to who asks for none of their names.
        minimum: The oldest version of TLS that is spoken, with peers that we connect to as well.
        client_ca: The CAs of client certificates.
        client_certificates: Whether clients are asked for theirs, and have to show one.
    """

    certificates: tuple[CertificateFiles, ...]
    minimum: MinimumVersion = "1.2"
    client_ca: Path | None = None
    client_certificates: ClientCertificates = "off"


@dataclass(slots=True, frozen=True, kw_only=True)
class Certificate:
    """One that is shown, as it was when its files were read. `requesting`: the context in place of `context` where
    clients are asked for a certificate, and need none."""

    files: CertificateFiles
    names: CertificateNames
    not_before: datetime
    not_after: datetime
    stamps: tuple[Stamp, ...] = field(repr=False)
    context: ssl.SSLContext = field(repr=False)
    requesting: RequestingContext | None = field(repr=False)


class Certificates:
    """The certificates of TLS listeners, for the handshakes that begin from now on.

    `read` takes what the files hold now: it reads files, so a thread may call it. What it returns is shown once
    `show` is given it.

    Attributes:
        shown: In the order of the settings.
        settings: What they were read by.
        unread: How many of them have files that cannot be used any more.
    """

    def __init__(self, settings: ServerTls) -> None:
        """Raises CertificateError, of the first that cannot be used."""
        found, faults = read_certificates(settings, ())
        if faults:
            raise faults[0]
        if not found:
            raise CertificateError("no certificate is given")
        self.settings = settings
        self.shown = found
        self.unread = 0

    def read(self, settings: ServerTls | None = None) -> tuple[tuple[Certificate, ...], list[CertificateError]]:
        """What the files hold: those that have not changed as they are, and what is wrong with those that cannot be
        used, in whose place stands what was read from the same files before."""
        return read_certificates(settings or self.settings, self.shown, changed=settings not in (None, self.settings))

    def show(
        self, certificates: tuple[Certificate, ...], settings: ServerTls | None = None, *, unread: int = 0
    ) -> None:
        """Use these for handshakes that begin from now on. `unread`: how many could not be read again."""
        self.unread = unread
        if certificates:
            self.shown = certificates
        self.settings = settings or self.settings

    def choose(self, name: str) -> Certificate:
        """The certificate for a client that asks for this name; the first one where none has it."""
        if name and len(self.shown) > 1:
            for wildcards in (False, True):
                for certificate in self.shown:
                    if _has(certificate.names, name, wildcards):
                        return certificate
        return self.shown[0]


def _has(names: CertificateNames, name: str, wildcards: bool) -> bool:
    # A client asks for a host; whether that is a SIP domain or a DNS name of ours is its affair (RFC 5922 §7.1).
    return fits(names, name, wildcards) or fits(names._replace(uris=()), name, wildcards)


def read_certificates(
    settings: ServerTls, before: tuple[Certificate, ...], *, changed: bool = False
) -> tuple[tuple[Certificate, ...], list[CertificateError]]:
    """The certificates of these settings, and what is wrong with those that cannot be used. `before`: those that were
    read before; unless the settings have `changed`, what is the same file still is not read again."""
    known = {certificate.files: certificate for certificate in before}
    found, faults = [], []
    for files in settings.certificates:
        old = known.get(files)
        try:
            stamps = stamps_of(files.certificate, files.key, settings.client_ca)
            if old is None or changed or old.stamps != stamps:
                found.append(_read(files, settings, stamps))
            else:
                found.append(old)
        except CertificateError as error:
            faults.append(error)
            if old is not None:
                found.append(old)
    return tuple(found), faults


def stamps_of(*paths: Path | None) -> tuple[Stamp, ...]:
    """What tells a file from what it was. Raises CertificateError where one is not there."""
    found = []
    for path in paths:
        if path is not None:
            try:
                status = path.stat()
            except OSError as error:
                raise CertificateError(f"{path}: {error.strerror or error}") from None
            found.append((status.st_mtime_ns, status.st_size, status.st_ino))
    return tuple(found)


def load_chain(context: ssl.SSLContext, files: CertificateFiles) -> x509.Certificate:
    """Give a context a certificate and its key; what is in the former. Raises CertificateError."""
    try:
        pem = files.certificate.read_bytes()
    except OSError as error:
        raise CertificateError(f"{files.certificate}: {error.strerror or error}") from None
    try:
        certificate = x509.load_pem_x509_certificates(pem)[0]
    except (ValueError, IndexError):
        problem = "no certificate in PEM, which begins with BEGIN CERTIFICATE"
        raise CertificateError(f"{files.certificate}: {problem}") from None
    try:
        context.load_cert_chain(files.certificate, files.key, password=_no_password)
    except _Protected:
        problem = "the key is protected by a password: write it without one (openssl pkey -in KEY -out PLAIN)"
        raise CertificateError(f"{files.key}: {problem}") from None
    except ssl.SSLError as error:
        raise CertificateError(_key_problem(files, error)) from None
    except OSError as error:
        raise CertificateError(f"{files.key}: {error.strerror or error}") from None
    return certificate


def load_cas(context: ssl.SSLContext, path: Path) -> None:
    """Have a context trust the CAs of a file. Raises CertificateError."""
    try:
        context.load_verify_locations(path)
    except ssl.SSLError:
        raise CertificateError(f"{path}: no certificates of CAs in PEM") from None
    except OSError as error:
        raise CertificateError(f"{path}: {error.strerror or error}") from None


class _Protected(Exception):
    pass


def _no_password() -> str:
    raise _Protected  # OpenSSL would ask at the terminal


def _key_problem(files: CertificateFiles, error: ssl.SSLError) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return f"{files.key}: is not the key of {files.certificate}"
    if error.reason in ("EE_KEY_TOO_SMALL", "CA_MD_TOO_WEAK", "CA_KEY_TOO_SMALL"):
        return f"{files.certificate}: too weak for OpenSSL: {(error.reason or '').replace('_', ' ').lower()}"
    return f"{files.key}: no private key in PEM, or a chain in {files.certificate} that is none"


def _read(files: CertificateFiles, settings: ServerTls, stamps: tuple[Stamp, ...]) -> Certificate:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = VERSIONS[settings.minimum]
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.num_tickets = _TICKETS
    certificate = load_chain(context, files)
    requesting = None
    if settings.client_ca is not None and settings.client_certificates != "off":
        load_cas(context, settings.client_ca)
        if settings.client_certificates == "request":
            requesting = _requesting(context, files, settings.client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
        # A session that is resumed is not verified again: it would outlive a CA that is trusted no more.
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
    try:
        names = read_names(certificate)
    except ValueError as error:
        raise CertificateError(f"{files.certificate}: {error}") from None
    return Certificate(
        files=files,
        names=names,
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        stamps=stamps,
        context=context,
        requesting=requesting,
    )


def _requesting(like: ssl.SSLContext, files: CertificateFiles, client_ca: Path) -> RequestingContext:
    try:
        return RequestingContext(like, files.certificate, files.key, client_ca)
    except ssl.SSLError as error:  # files that were fine a moment ago: they are being replaced
        raise CertificateError(_key_problem(files, error)) from None
    except OSError as error:
        raise CertificateError(f"{error.filename or files.certificate}: {error.strerror or error}") from None

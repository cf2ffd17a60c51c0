"""TLS contexts of the connections that we make, one for each of the terms that peers have (`TlsTerms`)."""

import asyncio
import ssl
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Final

from engine.sip.flow import TlsTerms
from engine.transport.certificates import (
    VERSIONS,
    CertificateError,
    CertificateFiles,
    MinimumVersion,
    Stamp,
    load_cas,
    load_chain,
    stamps_of,
)

_MOST: Final = 256

_Key = tuple[bool, str, str, str, MinimumVersion]


class ClientContexts:
    """Contexts by what they trust and show, made anew when one of their files has changed. `minimum`: the oldest
    version of TLS that is spoken."""

    __slots__ = ("_found", "_minimum")

    def __init__(self, minimum: Callable[[], MinimumVersion]) -> None:
        self._minimum = minimum
        self._found: OrderedDict[_Key, tuple[tuple[Stamp, ...], ssl.SSLContext]] = OrderedDict()

    async def find(self, terms: TlsTerms) -> ssl.SSLContext:
        """The context for these terms. Raises ConnectionError, in words, where one of their files cannot be used."""
        key = (terms.verify, terms.ca, terms.certificate, terms.key, self._minimum())
        known = self._found.get(key)
        try:
            found = await asyncio.to_thread(_current, key, known)
        except CertificateError as error:
            raise ConnectionError(f"no connection over TLS can be made: {error}") from None
        self._found[key] = found
        self._found.move_to_end(key)
        if len(self._found) > _MOST:
            self._found.popitem(last=False)
        return found[1]


def fault_of_files(terms: TlsTerms, minimum: MinimumVersion) -> str:
    """Which of the files of these terms cannot be used, and why; "" where all can. Reads files."""
    try:
        _current((terms.verify, terms.ca, terms.certificate, terms.key, minimum), None)
    except CertificateError as error:
        return str(error)
    return ""


def _current(
    key: _Key, known: tuple[tuple[Stamp, ...], ssl.SSLContext] | None
) -> tuple[tuple[Stamp, ...], ssl.SSLContext]:
    """What is known, unless its files have changed since. Raises CertificateError."""
    verify, ca, certificate, private, minimum = key
    default = ssl.get_default_verify_paths().cafile
    trusted = ca or default if verify else None
    files = CertificateFiles(Path(certificate), Path(private or certificate)) if certificate else None
    stamps = stamps_of(Path(trusted) if trusted else None, *(files or ()))
    if known is not None and known[0] == stamps:
        return known
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # RFC 5922 §7 has other rules for names than HTTPS: they are ours, and looked at when the handshake is done.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED if verify else ssl.CERT_NONE
    context.minimum_version = VERSIONS[minimum]
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    if verify and ca:
        load_cas(context, Path(ca))
    elif verify:
        context.load_default_certs()
    if files is not None:
        load_chain(context, files)
    return stamps, context

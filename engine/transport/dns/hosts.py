"""The hosts file: names with addresses of their own, which come before any name server's."""

from collections.abc import Mapping
from pathlib import Path

from engine.transport.addresses import canonical, family_of

_LARGEST = 1024 * 1024
# RFC 6761 §6.3: these are the loopback whatever a file or a name server says nothing about.
_LOOPBACK = {"localhost": ("127.0.0.1", "::1")}


def parse_hosts(text: str) -> dict[str, tuple[str, ...]]:
    """Lower-cased names to their addresses in the file's order; lines that make no sense are passed over."""
    found: dict[str, tuple[str, ...]] = {}
    for line in text.splitlines():
        address, *names = line.partition("#")[0].split() or [""]
        if not family_of(address):
            continue
        address = canonical(address)
        for name in names:
            key = name.lower().rstrip(".")
            if address not in found.get(key, ()):
                found[key] = (*found.get(key, ()), address)
    return {**_LOOPBACK, **found}


def read_hosts(path: str = "/etc/hosts") -> Mapping[str, tuple[str, ...]]:
    """The hosts file, of which at most 1 MiB is read; only ``localhost`` when there is none.

    One small local file, read once when the engine starts and has no calls.
    """
    try:
        with Path(path).open("rb") as file:
            return parse_hosts(file.read(_LARGEST).decode("utf-8", "replace"))
    except OSError:
        return dict(_LOOPBACK)

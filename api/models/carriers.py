"""What customers are not told: which carriers the platform has, where those are, and what they are told.

Providers and routes are the platform's. A customer sees what became of its calls, not where they went: no provider's
id, name, host, prefix or header, in whatever shows a call, a message or a number, events and webhooks included. What
carriers say in words of their own may hold anything: the RFC's words for the same status stand in its place.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final
from uuid import UUID

from engine.sip.flow import address_of
from engine.sip.message.status import REASONS, reason_phrase
from engine.transport.addresses import family_of
from routing.directory.directory import Directory
from routing.hostnames import parse_host_port
from routing.identifiers import NIL

HIDDEN: Final = "(hidden)"
_SHORTEST: Final = 3
"""Characters of a provider's name: a shorter one stands in many a word."""
# Candidates; whether one is an address says `family_of`.
_ADDRESS: Final = re.compile(r"(?<![\w.:])(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3}|[0-9A-Fa-f]*:[0-9A-Fa-f:]+(?:\.[0-9.]+)?)")
# Words of our own for how a call ended; a carrier's are told from them by who ended it.
_WORDS: Final = re.compile(r"[A-Za-z][\w +,'-]{0,119}", re.ASCII)

Document = Mapping[str, Any]


class Carriers:
    """The platform's carriers as the directory has them at this moment."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        names: set[str] = set()
        for provider in directory.providers:
            host, _ = parse_host_port(provider.hostname)
            names.update((host, provider.name, provider.from_domain, provider.from_user, provider.username))
            names.add(provider.contact_host.partition(":")[0])
            names.update(name.removeprefix("sip:") for name in (*provider.tls_client_names, *provider.tls.names))
            names.update(provider.tech_headers.values())
        # Addresses are found by `_ADDRESS`, networks of them included.
        words = sorted({name for name in names if len(name) >= _SHORTEST and not family_of(name.strip("[]"))})
        alternatives = "|".join(re.escape(word) for word in reversed(words))
        self._names = re.compile(rf"(?<!\w)(?:{alternatives})(?!\w)", re.IGNORECASE) if words else None

    def without(self, text: str) -> str:
        """The text with nothing in it that tells of a carrier."""
        if self._names is not None:
            text = self._names.sub(HIDDEN, text)
        return _ADDRESS.sub(lambda match: HIDDEN if self.at(match[0]) else match[0], text)

    def at(self, party: str) -> bool:
        """Whether this is a carrier's address, or who has shown a carrier's certificate (`Flow.party`)."""
        return bool(family_of(address_of(party))) and self._directory.provider_at(party) is not None

    # ---- documents

    def number(self, document: Document) -> dict[str, Any]:
        """A number without the trunk that it arrives on."""
        return {**document, "provider_id": _like(document["provider_id"])}

    def call(self, document: Document) -> dict[str, Any]:
        """A call without the trunk that it came from or went to."""
        ours = document["hangup_by"] == "local"
        return {
            **document,
            "provider_id": _like(document["provider_id"]),
            "sip_reason": self._said(document["sip_status"], document["sip_reason"], ours=ours),
            "notes": [self.without(note) for note in document["notes"]],
        }

    def attempt(self, document: Document) -> dict[str, Any]:
        """An attempt without the provider. One of a SIP URI is the customer's own, and is shown as it is."""
        if str(document["provider_id"]) == str(NIL):
            return dict(document)
        reason = self._said(document["sip_status"], document["reason"], ours=not document["sip_status"])
        hidden = {"provider_id": _like(document["provider_id"]), "provider_name": "", "request_uri": ""}
        return {**document, **hidden, "reason": reason}

    def message(self, document: Document) -> dict[str, Any]:
        """A text message without the providers that took it or did not."""
        return {**document, "targets": [self._target(target) for target in document["targets"]]}

    def event(self, kind: str, data: Any) -> Any:
        """The data of an event as its customer is told it."""
        shape = _SHAPES.get(kind.partition("_")[0])
        return data if shape is None or not isinstance(data, Mapping) else shape(self, data)

    def _target(self, target: Document) -> dict[str, Any]:
        tried, status = target.get("attempts", ()), target.get("sip_status", 0)
        ours = not status or all(attempt["sip_status"] != status for attempt in tried)
        reason = self._said(status, target.get("sip_reason", ""), ours=ours)
        return {**target, "sip_reason": reason, "attempts": [self.attempt(attempt) for attempt in tried]}

    def _said(self, status: int, text: str, *, ours: bool) -> str:
        if not text or text == REASONS.get(status):
            return text
        if ours and _WORDS.fullmatch(text) and self.without(text) == text:
            return text
        return reason_phrase(status) if status else ""


def _like(provider_id: Any) -> Any:
    """No provider, in whatever form ids are here."""
    return NIL if isinstance(provider_id, UUID) else str(NIL)


def _call(carriers: Carriers, data: Document) -> Any:
    return carriers.call(data) if {"provider_id", "sip_reason", "notes"} <= data.keys() else data


def _number(carriers: Carriers, data: Document) -> Any:
    return carriers.number(data) if "provider_id" in data else data


def _message(carriers: Carriers, data: Document) -> Any:
    return carriers.message(data) if "targets" in data else data


_SHAPES: Final[Mapping[str, Callable[[Carriers, Document], Any]]] = {
    "call": _call,
    "number": _number,
    "message": _message,
}
"""By the first word of an event's type. Those of recordings tell of no carrier, and those of providers go to the
platform alone."""

__all__ = ["HIDDEN", "Carriers"]

"""The event package `presence`: whether an extension is there, and whether it talks (RFC 3856, RFC 3863).

It is open while a phone is registered that has not said otherwise, and busy while it has calls. What phones publish of
themselves (RFC 3903) is folded in: basic status, activity (RFC 4480) and note of the one that spoke last.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from engine.sip.message.grammar import ParseError
from engine.sip.subscription import Resource
from flows.calls.phone_dialogs import PhoneDialogs
from routing.directory.directory import Directory
from routing.location import Location
from service.phones.events.xml import elements, text

PIDF: Final = "urn:ietf:params:xml:ns:pidf"
DATA_MODEL: Final = "urn:ietf:params:xml:ns:pidf:data-model"
RPID: Final = "urn:ietf:params:xml:ns:pidf:rpid"
ACTIVITIES: Final = frozenset(
    (
        *("appointment", "away", "breakfast", "busy", "dinner", "holiday", "in-transit", "looking-for-work", "lunch"),
        *("meal", "meeting", "on-the-phone", "performance", "permanent-absence", "playing", "presentation"),
        *("shopping", "sleeping", "spectator", "steering", "travel", "tv", "vacation", "working", "worship"),
    )
)
"""Those of RFC 4480 §3.2 that need no words of their own."""
LONGEST_NOTE: Final = 255
_ON_THE_PHONE: Final = "on-the-phone"


class Presence(NamedTuple):
    """What one device says of its owner.

    Attributes:
        open: Whether it can be reached.
        activity: What its owner does; "" where nothing was said.
        note: In its owner's words.
    """

    open: bool
    activity: str = ""
    note: str = ""


def read_presence(document: bytes) -> Presence:
    """What a PIDF document says (RFC 3863 §4.1). Raises ParseError."""
    found = elements(document)
    if not found or found[0].path != (f"{PIDF} presence",):
        raise ParseError("the document is no presence")
    basics, activity, note = [], "", ""
    for path, words in found:
        namespace, _, name = path[-1].partition(" ")
        if path[1:] == (f"{PIDF} tuple", f"{PIDF} status", f"{PIDF} basic"):
            basics.append(words.lower())
        elif namespace == RPID and path[-2:-1] == (f"{RPID} activities",) and name in ACTIVITIES:
            activity = activity or name
        elif name == "note" and namespace in (PIDF, DATA_MODEL, RPID):
            note = note or words[:LONGEST_NOTE]
    if any(basic not in ("open", "closed") for basic in basics):
        raise ParseError("a basic status is open or closed")
    # A document without any status says nothing of it (RFC 3863 §4.1.3): who publishes is there.
    return Presence(not basics or "open" in basics, activity, note)


class PresencePackage:
    """See `EventPackage`. The key of a resource is the extension's name."""

    content_type = "application/pidf+xml"

    def __init__(
        self,
        location: Location,
        dialogs: PhoneDialogs,
        directory: Directory,
        published: Callable[[str], list[Presence]],
    ) -> None:
        """`published`: what the devices of an extension say, the one that spoke last at the end."""
        self._location = location
        self._dialogs = dialogs
        self._directory = directory
        self._published = published

    def of(self, name: str) -> Presence:
        """The presence of an extension."""
        said = self._published(name)
        newest = said[-1] if said else Presence(True)
        if not newest.open or not self._location.bindings(name):
            return Presence(False, note=newest.note)
        if self._dialogs.busy(name):
            return Presence(True, _ON_THE_PHONE, newest.note or "On the phone")
        return newest

    def document(self, resource: Resource, version: int) -> bytes | None:
        """The whole presence of an extension, as one tuple and, where it does something, one person."""
        name = str(resource.key)
        extension = self._directory.extension(name)
        if extension is None or not extension.active:
            return None
        presence, entity = self.of(name), text(resource.uri)
        basic = "open" if presence.open else "closed"
        note = f"<note>{text(presence.note)}</note>" if presence.note else ""
        person = ""
        if presence.activity:
            activity = f"<rpid:activities><rpid:{presence.activity}/></rpid:activities>"
            person = f'<dm:person id="person">{activity}</dm:person>\n'
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f'<presence xmlns="{PIDF}" xmlns:dm="{DATA_MODEL}" xmlns:rpid="{RPID}" entity="{entity}">\n'
            f'<tuple id="phone"><status><basic>{basic}</basic></status><contact>{entity}</contact>{note}</tuple>\n'
            f"{person}</presence>\n"
        ).encode()

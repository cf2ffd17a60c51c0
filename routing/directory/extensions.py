"""Extensions, as calls see them: their credentials, the numbers that they may show, and whose they are."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from routing.identifiers import NIL
from routing.models.extension import MAX_CALLS, MAX_CONTACTS

Unlock = Callable[[str, str], str]
"""Makes the JSON text of HA1s from what is kept of an extension; the second is its name, to tell of what fails."""


class KeptHa1(Mapping[str, str]):
    """HA1s as they are kept, encrypted maybe, and read when somebody logs in: of a hundred thousand extensions few do
    in any minute."""

    __slots__ = ("_kept", "_name", "_read", "_unlock")

    def __init__(self, kept: str, name: str, unlock: Unlock) -> None:
        self._kept = kept
        self._name = name
        self._unlock = unlock
        self._read: dict[str, str] | None = None

    def _values(self) -> dict[str, str]:
        if self._read is None:
            self._read = read_ha1(self._unlock(self._kept, self._name)) if self._kept else {}
        return self._read

    def __getitem__(self, algorithm: str) -> str:
        return self._values()[algorithm]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values())

    def __len__(self) -> int:
        return len(self._values())


def read_ha1(text: str) -> dict[str, str]:
    """The HA1s by algorithm in a JSON text; none where it is something else."""
    try:
        values = json.loads(text)
    except ValueError:
        return {}
    if not isinstance(values, dict):
        return {}
    return {str(name): value for name, value in values.items() if isinstance(value, str)}


def write_ha1(values: Mapping[str, str]) -> str:
    """HA1s by algorithm as the JSON text that is kept; "" for none."""
    return json.dumps(dict(values), separators=(",", ":")) if values else ""


@dataclass(slots=True, frozen=True, kw_only=True)
class ExtensionRow:
    """One extension: the user part that its phones register, log in with and are dialled by.

    Attributes:
        id: Nil for one that no store and no file knows.
        name, realm: Of its credentials; the name is unique in the installation.
        ha1: By a digest algorithm's name in lower case, what stands for the password (RFC 7616 §3.4.2).
        customer_id: Whose its calls are, and who pays for them; the nil UUID is the platform.
        display_name: Shown with its number.
        caller_id: The number that is asserted of it (RFC 3325); "" asserts nothing.
        caller_ids: Further numbers that it may show.
        max_calls: Calls out through providers at once; with 0 it may make none.
        max_contacts: Devices that may be registered at once.
        call_flow_id: What runs when it does not answer; nil: the caller is told so.
        mailbox: The name of its mailbox, for message-summary; "" for its own name.
        active: Whether it may register, log in and be rung.
    """

    name: str
    id: UUID = NIL
    realm: str = ""
    ha1: Mapping[str, str] = field(default_factory=dict, repr=False)
    customer_id: UUID = NIL
    display_name: str = ""
    caller_id: str = ""
    caller_ids: frozenset[str] = frozenset()
    max_calls: int = MAX_CALLS
    max_contacts: int = MAX_CONTACTS
    call_flow_id: UUID = NIL
    mailbox: str = ""
    active: bool = True

    def shows(self, *wishes: str) -> str:
        """The number that it shows: the first of its wishes that it may, else its own; "" where it has none."""
        for number in wishes:
            if number and (number == self.caller_id or number in self.caller_ids):
                return number
        return self.caller_id


class ExtensionTable:
    """Extensions by name, and by id.

    Attributes:
        by_name: To be read only.
        realms: Of all of them, each with the number of its extensions.
    """

    __slots__ = ("_by_id", "by_name", "realms")

    def __init__(self) -> None:
        self.by_name: dict[str, ExtensionRow] = {}
        self._by_id: dict[int, ExtensionRow] = {}
        self.realms: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self.by_name)

    def find(self, extension_id: UUID) -> ExtensionRow | None:
        """The extension with this id."""
        return self._by_id.get(extension_id.int)

    def put(self, row: ExtensionRow) -> None:
        """Add or change one; what had its id or its name before goes."""
        for old in (self._by_id.get(row.id.int) if row.id.int else None, self.by_name.get(row.name)):
            if old is not None:
                self._drop(old)
        self.by_name[row.name] = row
        if row.id.int:
            self._by_id[row.id.int] = row
        self.realms[row.realm] = self.realms.get(row.realm, 0) + 1

    def remove(self, extension_id: UUID) -> ExtensionRow | None:
        """Take one out, and return it; None where there is none."""
        row = self._by_id.get(extension_id.int)
        if row is not None:
            self._drop(row)
        return row

    def discard(self, limit: int) -> bool:
        """Throw away up to `limit` of them, for content that was replaced; True while some are left."""
        for _ in range(min(limit, len(self.by_name))):
            _, row = self.by_name.popitem()
            self._by_id.pop(row.id.int, None)
        return bool(self.by_name)

    def _drop(self, row: ExtensionRow) -> None:
        if self.by_name.get(row.name) is not row:
            return
        del self.by_name[row.name]
        self._by_id.pop(row.id.int, None)
        left = self.realms[row.realm] - 1
        if left:
            self.realms[row.realm] = left
        else:
            del self.realms[row.realm]

"""Phones by their credentials: the customer, the numbers that they may show, and the limit of calls out."""

from dataclasses import dataclass
from uuid import UUID

from routing.identifiers import NIL

MAX_CALLS = 4


@dataclass(slots=True, frozen=True, kw_only=True)
class Phone:
    """A login of one or more phones.

    Attributes:
        name, realm: Of its credentials.
        caller_id: The number that is asserted of it (RFC 3325); "" asserts nothing.
        caller_ids: Further numbers that it may show.
        customer_id: Whose its calls are, and who pays for them; the nil UUID is the platform.
        max_calls: Calls out through providers at once; with 0 it may make none.
    """

    name: str
    realm: str = ""
    caller_id: str = ""
    caller_ids: frozenset[str] = frozenset()
    customer_id: UUID = NIL
    max_calls: int = MAX_CALLS

    def shows(self, *wishes: str) -> str:
        """The number that it shows: the first of its wishes that it may, else its own; "" where it has none."""
        for number in wishes:
            if number and (number == self.caller_id or number in self.caller_ids):
                return number
        return self.caller_id


class PhoneCalls:
    """The calls out that each phone has.

    Attributes:
        running: How many, by realm and user name; of phones that have any.
    """

    __slots__ = ("running",)

    def __init__(self) -> None:
        self.running: dict[tuple[str, str], int] = {}

    def take(self, phone: Phone) -> bool:
        """Count one more call out; False where the phone may have no further one."""
        key = (phone.realm, phone.name)
        running = self.running.get(key, 0)
        if running >= phone.max_calls:
            return False
        self.running[key] = running + 1
        return True

    def release(self, phone: Phone) -> None:
        """A call that was counted is over."""
        key = (phone.realm, phone.name)
        left = self.running[key] - 1
        if left:
            self.running[key] = left
        else:
            del self.running[key]

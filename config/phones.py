"""Checks of `sip.users` against the numbers of the file."""

from collections.abc import Callable, Iterator, Sequence

from config.resources import Resources
from config.settings import SipUser
from flows.faults import FieldPath
from routing.identifiers import NIL, PLATFORM


def check_phones(
    users: Sequence[SipUser], resources: Resources, fault: Callable[[FieldPath, str], None]
) -> Iterator[tuple[FieldPath, str]]:
    """Tells `fault` of numbers that are another customer's; what is legal and probably not meant is the result."""
    owners = {number.number: number.customer_id for number in resources.numbers}
    for index, user in enumerate(users):
        place: FieldPath = ("sip", "users", index)
        for field, number in (("caller_id", user.caller_id), *(("caller_ids", each) for each in user.caller_ids)):
            owner = owners.get(number)
            if owner is not None and owner != user.customer_id and {owner, user.customer_id} != {NIL, PLATFORM}:
                fault((*place, field), f"{number} belongs to customer {owner}; write one of the phone's customer")
        if not user.caller_id and user.max_calls and resources.providers:
            problem = f"{user.username} has no caller_id: providers are told no number of its calls; give it one"
            yield place, problem

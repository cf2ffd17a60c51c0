"""Final responses to calls that no media of our own could be opened for: status, Reason and Warning.

Both stand in the final response (RFC 6432, RFC 3261 §20.43), beside the status that the failure itself names.
"""

from typing import Final, NamedTuple

from engine.media.negotiation import NotAcceptable
from engine.media.port_pool import NoPortError
from engine.sip.message.grammar import quote

MEDIA_FAILURES: Final = (NotAcceptable, NoPortError)
"""What orders that need media of our own (answer, progress, echo) raise; `status` is the response that it deserves."""

# RFC 3398 §7.2.4.1 maps the first two causes to these statuses.
_CAUSES: Final = {
    488: 'Q.850;cause=65;text="Bearer capability not implemented"',
    503: 'Q.850;cause=47;text="Resource unavailable"',
}
_BROKEN: Final = 'Q.850;cause=100;text="Invalid information element contents"'


class MediaRefusal(NamedTuple):
    """The final response.

    Attributes:
        status: Of the response.
        cause: A value for Reason.
        headers: Reason, and Warning where it is the caller's description that is at fault.
    """

    status: int
    cause: str
    headers: tuple[tuple[str, str], ...]


def refusal(error: NotAcceptable | NoPortError) -> MediaRefusal:
    """What `error`, one of MEDIA_FAILURES, deserves. How many ports we have is no business of a caller's."""
    cause = _CAUSES.get(error.status, _BROKEN)
    headers = [("Reason", cause)]
    if isinstance(error, NotAcceptable):
        headers.append(("Warning", warning(error)))
    return MediaRefusal(error.status, cause, tuple(headers))


def warning(error: NotAcceptable) -> str:
    """The value of a Warning header with the error's sentence."""
    return f"{error.warning} trunkline {quote(str(error))}"

"""Session timers: a call whose peer has vanished ends by itself (RFC 4028)."""

import re
from typing import NamedTuple

from engine.sip.message.message import Message, Request, Response

_SESSION_EXPIRES = re.compile(r"([0-9]{1,9})[ \t]*(?:;(.*))?", re.DOTALL)
_REFRESHER = re.compile(r"(?:^|;)[ \t]*refresher[ \t]*=[ \t]*(uac|uas)[ \t]*(?:;|$)", re.IGNORECASE)


class SessionTimer(NamedTuple):
    """What both sides agreed on."""

    interval: int  # s
    we_refresh: bool

    def refresh_in(self) -> float:
        """Seconds until we refresh: half of the interval (§10)."""
        return self.interval / 2

    def expires_in(self) -> float:
        """Seconds until a call that nobody refreshed is ended: a little before the interval is over (§10)."""
        return self.interval - min(32.0, self.interval / 3)


def read(message: Message) -> tuple[int, str]:
    """Session-Expires as (seconds, refresher); (0, "") where there is none or it is malformed."""
    found = _SESSION_EXPIRES.fullmatch(message.get("Session-Expires"))
    if found is None:
        return 0, ""
    refresher = _REFRESHER.search(found[2] or "")
    return int(found[1]), refresher[1].lower() if refresher else ""


def read_min_se(message: Message) -> int:
    """Min-SE in seconds, 0 where there is none or it is malformed."""
    text = message.get("Min-SE").split(";", 1)[0].strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def too_small(request: Request, min_se: int) -> bool:
    """Whether to answer 422 (§9): the interval is below what we take, and the caller knows what 422 is."""
    interval, _ = read(request)
    return 0 < interval < min_se and "timer" in request.tokens("Supported")


def agree_as_server(request: Request, wish: int, min_se: int) -> tuple[SessionTimer | None, str]:
    """The timer of a request we answer 2xx, and the header lines for that answer (§9).

    The caller's interval and refresher are taken; where it left them open and knows the extension, we ask for `wish`
    seconds (0: for nothing) and refresh ourselves.
    """
    if "Supported" not in request.first and "Session-Expires" not in request.first:
        return None, ""
    interval, refresher = read(request)
    knows = "timer" in request.tokens("Supported")
    if not interval:
        if not (knows and wish):
            return None, ""
        interval, refresher = max(wish, read_min_se(request), min_se), "uas"
    elif not knows:
        # A proxy asked for it (§9): only we can refresh. It may not be told 422, nor the interval be raised.
        if interval < min_se:
            return None, ""
        refresher = "uas"
    refresher = refresher or "uac"
    require = "Require: timer\r\n" if refresher == "uac" else ""
    return (
        SessionTimer(interval, refresher == "uas"),
        f"Session-Expires: {interval};refresher={refresher}\r\n{require}",
    )


def agree_as_client(response: Response) -> SessionTimer | None:
    """The timer that a 2xx to our request set up (§7.2)."""
    interval, refresher = read(response)
    return SessionTimer(interval, refresher != "uas") if interval else None

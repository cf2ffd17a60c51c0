"""What the command line asks of the programs behind it, as checked values."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(slots=True)
class CallOrder:
    """One call of the softphone.

    Attributes:
        number: What to dial: a number, an extension, or a whole SIP URI.
        via: HOST or HOST:PORT that the INVITE is sent to.
        caller: User part of From; "" is anonymous.
        user, password: Digest credentials; "" where there are none.
        digits: DTMF to send once answered, `,` for a pause of a second.
        duration: Seconds from the answer until the softphone hangs up; 0 leaves that to the other end.
        timeout: Seconds to wait for an answer before it gives up.
        transport: "udp" or "tcp".
        headers: Added to the INVITE.
        dtmf: How: "rfc4733" (INFO where the other end takes no telephone-event), or "info" in any case.
    """

    number: str
    via: str
    caller: str = "trunkline"
    user: str = ""
    password: str = ""
    digits: str = ""
    duration: float = 5.0
    timeout: float = 60.0
    transport: str = "udp"
    headers: Sequence[tuple[str, str]] = ()
    dtmf: Literal["rfc4733", "info"] = "rfc4733"


@dataclass(slots=True)
class MessageOrder:
    """One text of `trunkline message`. What is not here is as in `CallOrder`.

    Attributes:
        sender, recipient: User part of From, and whom it is for; or whole SIP URIs.
        text: What is sent.
        timeout: Seconds to wait for the answer.
        headers: Added to the MESSAGE.
    """

    sender: str
    recipient: str
    text: str
    via: str
    user: str = ""
    password: str = ""
    timeout: float = 32.0
    transport: str = "udp"
    headers: Sequence[tuple[str, str]] = ()


@dataclass(slots=True)
class TrunkOrder:
    """How the little trunk deals with every call and every text that reaches it.

    Attributes:
        listen: Listeners as TRANSPORT://HOST:PORT.
        status: Final status; 200 answers and echoes, and takes texts.
        ring: Seconds of ringing before it.
        early_media: Ring with 183 and media in place of 180.
        option: The option of the command line that names the listeners.
    """

    listen: Sequence[str]
    status: int = 200
    ring: float = 0.0
    early_media: bool = False
    option: str = "--listen"


@dataclass(slots=True)
class ProvidercallOrder:
    """Calls through one provider, without the API.

    Attributes:
        provider: Its name in the configuration.
        source: The caller's number.
        destinations: One call for each.
        flow: Name of the flow to run on the answered calls; "" for none.
        actions: YAML or JSON file with a list of actions to run in its place.
        anonymous: "auto", "yes" or "no".
    """

    config: Path
    provider: str
    source: str
    destinations: Sequence[str]
    flow: str = ""
    actions: Path | None = None
    anonymous: str = "auto"

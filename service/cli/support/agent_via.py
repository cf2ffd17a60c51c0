"""A user agent for one order of the command line: it sends what is to be sent to `--via`, and takes nothing itself."""

import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from rich.console import Console

from engine.capture.ladder import LadderEntry, draw
from engine.dial import DialSpec, Peer
from engine.settings import AgentSettings
from engine.sip.auth.credentials import Credentials
from engine.sip.flow import Flow
from engine.sip.message.grammar import ParseError
from engine.sip.message.uri import SipUri, escape_user, parse_uri
from engine.sip.registration import Registration, RegistrationSpec
from engine.transport.addresses import ROUTES, bracketed
from engine.transport.dns.resolver import Resolver
from engine.transport.listeners import ListenError
from engine.user_agent import OnCall, UserAgent
from routing.hostnames import parse_host_port
from routing.models.tech_headers import check_tech_headers

FAILED, WRONG = 1, 2
OURSELVES: Final = "softphone"
"""What ladders call it."""
RTP_FIRST, RTP_LAST = 32_000, 32_766  # beside the engine's and the little trunk's, below Linux' ephemeral ports


class CannotSend(Exception):
    """Nothing can be sent: a sentence for the user, and the exit code."""

    def __init__(self, sentence: str, exit_code: int = FAILED) -> None:
        super().__init__(sentence)
        self.exit_code = exit_code


@dataclass(frozen=True, slots=True)
class Via:
    """The user agent, started, and the way that its requests go."""

    agent: UserAgent
    via: str
    destination: str
    host: str
    """Our own address, as it stands in URIs."""
    headers: Sequence[tuple[str, str]]
    flow: Flow
    """Where requests go first."""

    def registration(self, name: str, password: str) -> Registration:
        """A registration of the extension `name` at the other end."""
        domain = parse_host_port(self.via)[0]
        spec = RegistrationSpec(
            registrar=f"sip:{domain}",
            destination=self.destination,
            aor=f"sip:{escape_user(name)}@{domain}",
            contact=f"sip:{escape_user(name)}@{self.flow.own_address()}",
            credentials=Credentials(name, password),
        )
        return Registration(self.agent.endpoint, spec)

    def spec(
        self, number: str, caller: str, user: str, password: str, timeout: float, *, registered: bool = False
    ) -> DialSpec:
        """A request for `number`, a number, an extension or a whole URI. `registered`: the caller is known at the other
        end. Raises CannotSend."""
        uri = number if _is_uri(number) else f"sip:{escape_user(number)}@{self.via}"
        host = parse_host_port(self.via)[0] if registered else self.host
        sender = caller if _is_uri(caller) else f"sip:{escape_user(caller)}@{host}"
        for written, trouble in ((uri, f"{number} cannot be dialled"), (sender, f"{caller} cannot be shown")):
            try:
                parse_uri(written)
            except ParseError as error:
                raise CannotSend(f"{trouble}: {error}") from None
        return DialSpec(
            request_uri=uri,
            destination=self.destination,
            from_=f"<{sender}>" if caller else "<sip:anonymous@anonymous.invalid>",
            to=f"<{uri}>",
            headers=self.headers,
            peer=Peer(username=user, password=password),
            no_reply_timeout=min(timeout, 32.0),
            no_progress_timeout=timeout,
            ring_timeout=timeout,
        )


@asynccontextmanager
async def agent_via(
    via: str, transport: str, headers: Sequence[tuple[str, str]], on_call: OnCall | None = None
) -> AsyncIterator[Via]:
    """The user agent for an order, on the address that the way to `via` begins at. `on_call`: takes calls; None: nobody
    does. Raises CannotSend."""
    try:
        for name, value in headers:
            check_tech_headers({name: value})
    except ValueError as error:
        raise CannotSend(f"--header: {error}", WRONG) from None
    target = SipUri.parse(f"sip:{via};transport={transport}")
    resolver = Resolver(transports=(transport,))
    targets = await resolver.resolve(target)
    await resolver.close()
    if not targets:
        raise CannotSend(f"{target.host_address} does not resolve: give an address or a name after --via")
    source = ROUTES.source(targets[0].host)
    if not source:
        raise CannotSend(f"there is no route to {targets[0].host}: check --via and the network")
    settings = AgentSettings(rtp_first=RTP_FIRST, rtp_last=RTP_LAST)
    settings.policy.user_agent = "Trunkline softphone"
    agent = UserAgent(on_call or _refuse_calls, settings)
    host = bracketed(source)
    try:
        await agent.start([f"{transport}://{host}:0"])
    except ListenError as error:
        raise CannotSend(str(error)) from None
    try:
        flow = Flow(next(iter(agent.listeners)), targets[0].host, targets[0].port)
        yield Via(agent, via, str(target), host, headers, flow)
    finally:
        await agent.stop()


def _refuse_calls(incoming: object) -> None:
    """Who calls takes no calls: 480."""


def _is_uri(text: str) -> bool:
    return text[:5].lower().startswith(("sip:", "sips:", "tel:"))


def show_ladder(entries: Sequence[LadderEntry]) -> None:
    """Print a SIP ladder to standard output, as wide as the terminal and with the characters it can show."""
    encoding = (sys.stdout.encoding or "ascii").lower().replace("-", "")
    print(draw(entries, Console().width, ascii_only=not encoding.startswith("utf8")))

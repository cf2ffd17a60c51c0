"""A trunk: a provider made ready for calls. What does not depend on the call is worked out once, when it is saved."""

from collections.abc import Iterator
from dataclasses import dataclass

from routing.directory.rows import Overrides
from routing.hostnames import parse_host_port
from routing.models.codes import expand_codes
from routing.models.provider import Provider
from routing.numbers.dial_string import escaped, formatted
from routing.numbers.numbering import is_e164


@dataclass(slots=True, kw_only=True)
class Terms:
    """How long to wait for a provider, and what its answers mean.

    Attributes:
        failover: Final statuses after which the next provider is tried, unless they are in `stop` too.
        stop: Final statuses that end the hunt in any case.
    """

    no_reply_timeout: float
    no_progress_timeout: float
    ring_timeout: float
    failover: frozenset[int]
    stop: frozenset[int]

    @classmethod
    def of(cls, provider: Provider) -> "Terms":
        """The terms of a checked provider."""
        return cls(
            no_reply_timeout=provider.no_reply_timeout,
            no_progress_timeout=provider.no_progress_timeout,
            ring_timeout=provider.ring_timeout,
            failover=expand_codes(provider.failover_codes),
            stop=expand_codes(provider.stop_codes),
        )

    def overridden(self, route: Overrides) -> "Terms":
        """These terms with what a route puts in their place."""
        return Terms(
            no_reply_timeout=self.no_reply_timeout if route.no_reply_timeout is None else route.no_reply_timeout,
            no_progress_timeout=(
                self.no_progress_timeout if route.no_progress_timeout is None else route.no_progress_timeout
            ),
            ring_timeout=self.ring_timeout if route.ring_timeout is None else route.ring_timeout,
            failover=self.failover if route.failover is None else route.failover,
            stop=self.stop if route.stop is None else route.stop,
        )


def request_transport(provider: Provider) -> str:
    """The transport that requests to this provider go by; "" where that is for its name to say (RFC 3263 §4.1): NAPTR
    is asked for a name without a port, unless the operator has named a transport."""
    where = parse_host_port(provider.hostname)
    open_ = not where.address and where.port is None and "transport" not in provider.model_fields_set
    return "" if open_ else provider.transport


def destination(provider: Provider) -> str:
    """The SIP URI of where requests to this provider go."""
    transport = request_transport(provider)
    return f"sip:{provider.hostname}" + (f";transport={transport}" if transport else "")


def certified(provider: Provider) -> Iterator[str]:
    """The names that a certificate of this provider's may have."""
    for text in provider.tls_client_names:
        name = text.lower().rstrip(".")
        yield name
        _, dot, parent = name.partition(".")
        if provider.tls.allow_wildcards and dot and "." in parent and not name.startswith("sip:"):
            yield f"*.{parent}"


@dataclass(slots=True, kw_only=True)
class Trunk:
    """A provider as the call path reads it.

    Attributes:
        provider: The model that it was made from.
        key: The id as an integer.
        before, after: What stands before the number in the Request-URI, and after it: the host is what follows `@` in
            the postfix, else the hostname.
        destination: SIP URI of where requests go.
        transport: What its requests go by; "" where that is for its name to say.
        user_param: ";user=phone" or "".
        from_domain: Host of its From; "" for the engine's own.
        tech_headers: Names and values in order.
        certified: Names that certificates of its clients may have.
        asserts, prefers, remote_party, diverts, tells_history: Whether P-Asserted-Identity, P-Preferred-Identity,
            Remote-Party-ID, Diversion, History-Info carry identity.
    """

    provider: Provider
    key: int
    name: str
    before: str
    after: str
    destination: str
    transport: str
    user_param: str
    from_user: str
    from_domain: str
    tech_headers: tuple[tuple[str, str], ...]
    asserts: bool
    prefers: bool
    remote_party: bool
    diverts: bool
    tells_history: bool
    terms: Terms
    address: str
    certified: tuple[str, ...]

    @classmethod
    def of(cls, provider: Provider) -> "Trunk":
        """The trunk of a checked provider."""
        postfix, at, request_host = provider.tech_postfix.partition("@")
        user_param = ";user=phone" if provider.user_is_phone else ""
        own = {name.lower() for name in provider.tech_headers}
        # A header that the operator sets by hand replaces ours: two would contradict each other (RFC 3325 §9.1).
        carries = {name for name in provider.caller_id_headers if name.lower() not in own}
        return cls(
            provider=provider,
            key=provider.id.int,
            name=provider.name or str(provider.id),
            before=f"sip:{escaped(provider.tech_prefix)}",
            after=f"{escaped(postfix)}@{request_host if at else provider.hostname}{user_param}",
            destination=destination(provider),
            transport=request_transport(provider),
            user_param=user_param,
            from_user=escaped(provider.from_user),
            # RFC 3261 §19.1.1: a port has no place in the From of a call.
            from_domain=provider.from_domain or provider.contact_host.partition(":")[0],
            tech_headers=tuple(provider.tech_headers.items()),
            asserts="P-Asserted-Identity" in carries,
            prefers="P-Preferred-Identity" in carries,
            remote_party="Remote-Party-ID" in carries,
            diverts="Diversion" in carries,
            tells_history="History-Info" in carries,
            terms=Terms.of(provider),
            address=parse_host_port(provider.hostname).address,
            certified=tuple(certified(provider)),
        )

    def caller_number(self, number: str) -> str:
        """The number of a caller as it is shown to this provider; what is no number in normal form stays."""
        wanted = self.provider.caller_number_format or self.provider.number_format
        return formatted(number, wanted) if wanted != "e164" and is_e164(number) else number

    def request_uri(self, number: str, parameters: str = "", *, short_prefix: bool = False) -> str:
        """The Request-URI for a normalised number; a short one is dialled as it stands, or, with `short_prefix`, with
        the provider's prefix before it. `parameters`: of the number, each behind a semicolon."""
        if number[:1] != "+":
            return f"{self.before if short_prefix else 'sip:'}{number}@{self.after.partition('@')[2]}"
        number_format = self.provider.number_format
        user = number if number_format == "e164" else formatted(number, number_format)
        return f"{self.before}{user}{parameters}{self.after}"

"""The model of a provider (a SIP trunk)."""

import re
from datetime import datetime
from typing import Literal, Self
from uuid import UUID, uuid4

from pydantic import Field, field_validator, model_validator

from engine.sip.flow import TlsTerms
from routing.addresses import parse_network
from routing.hostnames import parse_host_port
from routing.identifiers import NIL, named_id
from routing.models.codes import DEFAULT_FAILOVER_CODES
from routing.models.fields import Codes, DialText, Resource, Text, Timer, checked, refusal
from routing.models.provider_tls import ProviderTls
from routing.models.tech_headers import check_tech_headers
from routing.numbers.numbering import is_country

IdentityHeader = Literal["P-Asserted-Identity", "P-Preferred-Identity", "Remote-Party-ID", "Diversion", "History-Info"]

_PASSED = re.compile(r"[A-Za-z0-9.!%_+~-]{1,63}\*?")
_MIME_TYPE = re.compile(r"(?!multipart/)[a-z0-9.!#$&^_+-]{1,64}/[a-z0-9.!#$&^_+-]{1,64}", re.IGNORECASE)
_CODECS = re.compile(r"[A-Za-z0-9.\-]+(/[0-9]+){0,2}(, *[A-Za-z0-9.\-]+(/[0-9]+){0,2})*")


class Provider(Resource):
    """A SIP trunk. Times are seconds."""

    id: UUID = NIL
    """Derived from the name where none is given; random where there is no name either."""
    type: Literal["sip"] = "sip"
    hostname: str
    """`host` or `host:port`; where requests go."""
    transport: Literal["udp", "tcp", "tls"] = "udp"
    enabled: bool = True
    """Off: calls are not sent there. Calls from there are still this trunk's."""
    inbound_addresses: list[str] = Field(default=[])
    """Addresses and networks whose INVITEs are this trunk's."""
    tls_client_names: list[str] = Field(default=[])
    """Names of certificates: a connection over TLS whose client has shown one of them is this trunk's, whatever its
    address. A host name, or a SIP domain alone as `sip:example.com` (RFC 5922 §7.1)."""
    tls: ProviderTls = ProviderTls()
    """How it shows who it is where `transport` is `tls`, and how we do."""
    tech_prefix: DialText = ""
    tech_postfix: DialText = ""
    pass_headers: list[str] = Field(default=[], max_length=50)
    """Names of header fields, or patterns such as `X-*`, that are carried across, both ways, beside User-to-User."""
    pass_bodies: list[str] = Field(default=[], max_length=50)
    """MIME types of the parts beside a session description that are carried to it. `application/pidf+xml` brings
    Geolocation along (RFC 6442); emergency calls carry it without."""
    follow_redirects: bool = False
    """Whether a 3xx of it is followed, to its own hosts and `redirect_hosts`; off: it counts as a failure."""
    redirect_hosts: list[str] = Field(default=[], max_length=100)
    """Further hosts that it may send calls to: names, addresses and networks."""
    number_parameters: list[Literal["npdi", "rn", "cic", "isup-oli"]] = Field(default=[])
    """Parameters of a dialled number that are kept beside `npdi` and `rn` (RFC 4694)."""
    tech_headers: dict[str, str] = Field(default={})
    """Added to every INVITE, in this order, values as they are."""
    username: DialText = ""
    password: Text = Field(default="", repr=False)
    realm: Text = ""
    from_user: DialText = ""
    from_domain: str = ""
    contact_host: str = ""
    """`host` or `host:port` that it is shown in place of our address: in Contact, Via and From."""
    user_is_phone: bool = False
    caller_id_headers: list[IdentityHeader] = Field(default=["P-Asserted-Identity"])
    number_format: Literal["e164", "plain", "national"] = "e164"
    """How it wants the dialled number: +1555…, 1555…, or as it is dialled in its own country."""
    caller_number_format: Literal["", "e164", "plain", "national"] = ""
    """How it wants the caller's; "": as `number_format`."""
    country: str = ""
    """ISO 3166 code of the country whose national numbers it delivers; "": `numbering.default_country`."""
    called_number_from: Literal["request_uri", "to", "p_called_party_id", "auto"] = "request_uri"
    """Where the number stands that it delivers a call for; `auto`: P-Called-Party-ID, the Request-URI, To: the first
    that has a number of ours."""
    max_channels: int = Field(default=0, ge=0)
    """Calls at once; 0 is no limit."""
    max_cps: int = Field(default=0, ge=0, le=100_000)
    """Attempts within any one second; 0 is no limit."""
    no_reply_timeout: Timer = 4.0
    """Without any response."""
    no_progress_timeout: Timer = 15.0
    """With nothing but 100."""
    ring_timeout: Timer = 60.0
    """Ringing without an answer."""
    failover_codes: Codes = Field(default=DEFAULT_FAILOVER_CODES)
    """Final statuses after which the next provider is tried."""
    stop_codes: Codes = Field(default=[])
    """Final statuses that are the callee's word even though `failover_codes` holds them."""
    nat: Literal["auto", "always", "never"] = "auto"
    """Whether requests in its calls go to where its own came from in place of its Contact; `auto`: as `sip.nat` says,
    and where that is `auto` too, where the Contact is evidently no use."""
    codecs: Text = ""
    """Names in the order of preference, where the engine makes the offer."""
    media: Literal["", "anchor"] = ""
    """`anchor`: media of calls to it passes the engine, or an rtpengine; "": it goes end to end."""
    srtp: Literal["", "sdes"] = ""
    """`sdes`: offers of the engine's own are of SRTP alone (RFC 4568); "": of plain RTP."""
    probe: bool = True
    """Whether it is asked with OPTIONS now and then; off: calls go there as if it were healthy, whatever it is."""
    health_status: Literal["unknown", "healthy", "unhealthy"] = "unknown"
    health_checked_at: datetime | None = None

    @property
    def tls_terms(self) -> TlsTerms | None:
        """What is asked of it over TLS; None: what is asked of anybody."""
        return self.tls.terms

    @property
    def redirects_to(self) -> tuple[str, ...] | None:
        """Hosts and networks that its redirections are followed to; None: they are not followed."""
        if not self.follow_redirects:
            return None
        own = parse_host_port(self.hostname).host.strip("[]").lower()
        return (own, *self.inbound_addresses, *(host.lower() for host in self.redirect_hosts))

    @field_validator("pass_bodies")
    @classmethod
    def _passed_bodies(cls, kinds: list[str]) -> list[str]:
        for kind in kinds:
            if not _MIME_TYPE.fullmatch(kind):
                problem = f"{kind!r} is no MIME type of one part; write one such as application/pidf+xml"
                raise refusal("INVALID_REQUEST_PARAMETER", problem)
        return [kind.lower() for kind in kinds]

    @field_validator("redirect_hosts")
    @classmethod
    def _redirect_hosts(cls, hosts: list[str]) -> list[str]:
        for host in hosts:
            if "/" in host or ":" in host:
                checked("INVALID_REQUEST_PARAMETER", lambda text=host: parse_network(text))  # type: ignore[misc]
            else:
                checked("INVALID_REQUEST_PARAMETER", lambda text=host: parse_host_port(text))  # type: ignore[misc]
        return hosts

    @field_validator("hostname")
    @classmethod
    def _host(cls, hostname: str) -> str:
        checked("INVALID_REQUEST_PARAMETER", lambda: parse_host_port(hostname))
        return hostname

    @field_validator("pass_headers")
    @classmethod
    def _passed(cls, names: list[str]) -> list[str]:
        for name in names:
            if not _PASSED.fullmatch(name):
                problem = (
                    f"{name!r} is no header field's name; write one such as User-to-User, or a pattern such as X-*"
                )
                raise refusal("INVALID_REQUEST_PARAMETER", problem)
        return names

    @field_validator("country")
    @classmethod
    def _country(cls, country: str) -> str:
        if country and not is_country(country):
            problem = f"{country!r} is no country with telephone numbers; write its ISO 3166 code, such as DE or US"
            raise refusal("INVALID_REQUEST_PARAMETER", problem)
        return country

    @field_validator("from_domain")
    @classmethod
    def _domain(cls, domain: str) -> str:
        if domain:
            checked("INVALID_REQUEST_PARAMETER", lambda: parse_host_port(domain))
        return domain

    @field_validator("tech_postfix")
    @classmethod
    def _postfix(cls, postfix: str) -> str:
        _, at, host = postfix.partition("@")
        if at:
            checked("INVALID_REQUEST_PARAMETER", lambda: parse_host_port(host))
        return postfix

    @field_validator("tls_client_names")
    @classmethod
    def _certified(cls, names: list[str]) -> list[str]:
        for name in names:
            host = name.removeprefix("sip:")
            where = checked("INVALID_REQUEST_PARAMETER", lambda text=host: parse_host_port(text))  # type: ignore[misc]
            if where.port is not None or where.address:
                problem = f"{name!r} is no name in a certificate; write one such as sip.example.com, without a port"
                raise refusal("INVALID_REQUEST_PARAMETER", problem)
        return names

    @field_validator("contact_host")
    @classmethod
    def _contact_host(cls, shown: str) -> str:
        if shown:
            checked("INVALID_REQUEST_PARAMETER", lambda: parse_host_port(shown))
            if shown.startswith("["):
                problem = f"{shown!r} is an IPv6 address; write a name that leads here, such as sbc1.example.com:5061"
                raise refusal("INVALID_REQUEST_PARAMETER", problem)
        return shown

    @field_validator("tech_headers")
    @classmethod
    def _headers(cls, headers: dict[str, str]) -> dict[str, str]:
        checked("INVALID_TECH_HEADER", lambda: check_tech_headers(headers))
        return headers

    @field_validator("inbound_addresses")
    @classmethod
    def _addresses(cls, addresses: list[str]) -> list[str]:
        for address in addresses:
            network = checked("INVALID_REQUEST_PARAMETER", lambda text=address: parse_network(text))  # type: ignore[misc]
            if network.prefixlen == 0:
                problem = (
                    f"{address!r} is every address there is: all callers would be this trunk; write the trunk's own"
                )
                raise refusal("INVALID_REQUEST_PARAMETER", problem)
        return addresses

    @field_validator("codecs")
    @classmethod
    def _codec_names(cls, codecs: str) -> str:
        if codecs and not _CODECS.fullmatch(codecs):
            problem = f"{codecs!r} is no list of codecs; write names with commas between them, such as PCMA,PCMU"
            raise refusal("INVALID_REQUEST_PARAMETER", problem)
        return codecs

    @model_validator(mode="after")
    def _identified(self) -> Self:
        if self.id == NIL:
            self.__dict__["id"] = named_id("provider", self.name) if self.name else uuid4()
        return self

"""The settings of the engine: what each one is called, its default, its unit and what it may hold.

Nothing here reads a file. `config.loading` fills these models; `service` hands the values on to the packages that use
them, none of which imports this module.
"""

import base64
import re
import warnings
from typing import Annotated, Any, Literal, NamedTuple, Self, TypeVar
from uuid import UUID

import phonenumbers
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from engine.audio.national_tones import TONES
from engine.transport.addresses import family_of, split_host_port
from engine.transport.listeners import NO_CERTIFICATE, SECURE, ListenError, parse_listen_url
from routing.addresses import parse_network
from routing.hostnames import parse_host_port
from routing.identifiers import NIL
from routing.models.durations import Seconds
from routing.models.extension import MAX_CALLS
from routing.models.fields import number_in

# RFC 3261 §25.1: product = token [SLASH product-version]; what a Server or User-Agent header may hold in plain text.
_USER_AGENT = re.compile(r"[A-Za-z0-9.!%*_+`'~/ ()-]+")
_DATABASE = re.compile(r"sqlite:///\S.*|(postgres|postgresql)://\S+")


DigestAlgorithm = Literal["MD5", "SHA-256", "SHA-512-256"]
CodecName = Literal["PCMU", "PCMA", "G722", "opus"]

Name = TypeVar("Name", bound=str)


def _once_each(names: list[Name]) -> list[Name]:
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{name!r} is listed twice; keep one")
    return names


Ordered = Annotated[list[Name], AfterValidator(_once_each), Field(min_length=1)]
"""Names in the order of preference, each once, and at least one."""


class PortRange(NamedTuple):
    """Ports from `first` to `last`, both included."""

    first: int
    last: int


def _port_range(value: object) -> object:
    if isinstance(value, str) and (match := re.fullmatch(r"([0-9]{1,5})\s*-\s*([0-9]{1,5})", value.strip())):
        first, last = int(match[1]), int(match[2])
        if 1024 <= first < last <= 65535:
            return PortRange(first, last)
    if isinstance(value, PortRange):
        return value
    raise ValueError('is no port range; write FIRST-LAST within 1024 and 65535, such as "20000-29999"')


def _keys(value: object) -> object:
    """Fernet's spelling of each: base64url with padding."""
    if isinstance(value, str):
        value = [key for part in value.split(",") if (key := part.strip())]
    if not isinstance(value, list) or not all(isinstance(key, str) for key in value):
        raise ValueError("is no list of keys; write one key, or a list with the newest first")
    return [_key(key) for key in value]


def _key(text: str) -> str:
    plain = text.strip().replace("-", "+").replace("_", "/").rstrip("=")
    try:
        octets = base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except ValueError:
        octets = b""
    if len(octets) != 32:
        raise ValueError("holds what is no key; make one with: openssl rand -base64 32")
    return base64.urlsafe_b64encode(octets).decode()


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", validate_default=False)


class InviteRate(_Section):
    """A token bucket for the INVITEs and MESSAGEs of one stranger; beyond it they are refused with 503."""

    rate: float = Field(default=20.0, ge=0)
    """INVITEs and MESSAGEs a second that one stranger may send in the long run; 0 switches the limit off."""
    burst: int = Field(default=50, ge=1)
    """How many may come at once beside a second's worth of the rate."""


class RegisterSettings(_Section):
    """How long phones are registered. Times are seconds."""

    default_expires: Seconds = Field(default=3600.0, ge=1, le=604800)
    """Where a phone does not say."""
    min_expires: Seconds = Field(default=60.0, ge=1, le=3600)
    """A phone that asks for less is told to ask for this (423); RFC 3261 §10.3 allows that up to an hour."""
    max_expires: Seconds = Field(default=7200.0, ge=1, le=604800)
    """A phone that asks for more gets this."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.min_expires <= self.default_expires <= self.max_expires:
            raise ValueError("min_expires, default_expires and max_expires grow in this order")
        return self


def _quotable(realm: str) -> str:
    if re.search(r'["\\\x00-\x1f\x7f]', realm):
        raise ValueError("holds a quote, a backslash or a control character; write a plain name, such as trunkline")
    return realm


Realm = Annotated[str, AfterValidator(_quotable)]


class SipUser(_Section):
    """An extension as files of before the list `extensions` have it: digest credentials (RFC 8760) of a client that is
    to be trusted wherever it calls from."""

    username: str = Field(min_length=1, max_length=255)
    password: str = Field(min_length=1, repr=False)
    realm: Realm = ""
    """Another one than `sip.realm`."""
    caller_id: str = ""
    """The number that providers are told of its calls, whatever the phone says itself; "" tells them none."""
    caller_ids: list[str] = []
    """Further numbers that it may show in From."""
    customer_id: UUID = NIL
    """Whose its calls are, and who pays for them; the nil UUID is the platform."""
    max_calls: int = Field(default=MAX_CALLS, ge=0)
    """Calls out through providers that it may have at once; with 0 it may make none."""

    @field_validator("caller_id")
    @classmethod
    def _number(cls, text: str, info: ValidationInfo) -> str:
        return number_in(text, info, strict=False) if text else ""

    @field_validator("caller_ids")
    @classmethod
    def _numbers(cls, texts: list[str], info: ValidationInfo) -> list[str]:
        return [number_in(text, info, strict=False) for text in texts]


class TlsCertificate(_Section):
    """A certificate and its key, both PEM files. Relative paths count from the configuration file."""

    certificate: str = Field(min_length=1)
    """With the certificates of the CAs between it and the root behind it."""
    key: str = Field(min_length=1)


def _version(value: object) -> object:
    return str(value) if isinstance(value, float) else value  # 1.2 is a number where it has no quotes


class TlsSettings(_Section):
    """TLS of listeners, `tls://` and `wss://`, and of connections to providers."""

    certificates: list[TlsCertificate] = []
    """What listeners show: their names are read from them, the client's wish (SNI) chooses, the first one without a
    match. They are read again when they change."""
    minimum: Annotated[Literal["1.2", "1.3"], BeforeValidator(_version)] = "1.2"
    """The oldest version that is spoken."""
    client_ca: str = ""
    """A file of the CAs whose client certificates are trusted. A relative path counts from the configuration file."""
    client_certificates: Literal["off", "request", "require"] = "off"
    """Whether clients are asked for a certificate, and have to show one."""


class WebSocketSettings(_Section):
    """SIP over WebSocket: what `ws://` and `wss://` listeners ask of browsers. Times are seconds."""

    path: str = "/"
    """The path of the address that browsers connect to."""
    origins: list[str] = []
    """The pages that may connect, as browsers write them in Origin; all where there are none."""
    ping: Seconds = Field(default=25.0, ge=0, lt=600)
    """A connection that has been quiet for so long is pinged; 0 pings none."""
    pong_timeout: Seconds = Field(default=10.0, gt=0)
    """How long a browser may take to answer, before its connection counts as gone."""
    proxies: list[str] = []
    """Addresses and networks of web proxies of ours, whose X-Forwarded-For says who connects."""

    @field_validator("path")
    @classmethod
    def _absolute(cls, path: str) -> str:
        if not re.fullmatch(r"/[^\s?#]*", path):
            raise ValueError(f"{path!r} is no path; write one that begins with a slash, such as /sip, without ? and #")
        return path

    @field_validator("origins")
    @classmethod
    def _origins(cls, origins: list[str]) -> list[str]:
        for origin in origins:
            if origin != "null" and not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#\s]+", origin):
                raise ValueError(
                    f"{origin!r} is no origin; write scheme and host alone, such as https://phone.example.com"
                )
        return [origin.lower() for origin in origins]

    @field_validator("proxies")
    @classmethod
    def _networks(cls, networks: list[str]) -> list[str]:
        for network in networks:
            parse_network(network)
        return networks


# Pydantic sees the `register` that every abstract class has in the field of that name. Nobody calls it.
warnings.filterwarnings("ignore", 'Field name "register" in "SipSettings"', UserWarning)


class SipSettings(_Section):
    """How the engine speaks SIP. Times are seconds."""

    listen: list[str] = Field(default=["udp://127.0.0.1:5060", "tcp://127.0.0.1:5060"], min_length=1)
    """Listeners as TRANSPORT://HOST:PORT; the port is the transport's where it is left out, and free to choose at 0."""
    tls: TlsSettings = TlsSettings()
    websocket: WebSocketSettings = WebSocketSettings()
    advertise: str = ""
    """The host that peers see in Via and Contact, where it differs from the listener's."""
    trusted_networks: list[str] = ["127.0.0.1/32"]
    """Addresses and networks of clients that may dial out through providers without credentials."""
    proxies: list[str] = []
    """Addresses and networks of edges of our own (a SIP load balancer): known peers without rights of their own, never
    banned; limits count the address in the Via that they added."""
    destination_networks: list[str] = []
    """Private networks that `sip:` destinations of customers may lead to; none: providers and private addresses are
    refused (DESTINATION_NOT_ALLOWED)."""
    deny_file: str = ""
    """A file of addresses and networks, one a line, that are banned; it is read again when it changes. A relative path
    counts from the configuration file."""
    nat: Literal["auto", "always", "never"] = "auto"
    """Whether requests in a dialog go to where the peer's came from in place of its Contact: `auto` where the Contact
    is evidently no use."""
    allow_guests: bool = True
    """Whether anyone else may call our own numbers."""
    realm: Annotated[Realm, Field(min_length=1)] = "trunkline"
    """What clients are asked to authenticate themselves for."""
    users: list[SipUser] = []
    """Extensions, as older files have them; `extensions` says more."""
    register: RegisterSettings = RegisterSettings()
    nat_ping: Seconds = Field(default=25.0, ge=0, le=600)
    """How often phones that a NAT is in front of are asked with OPTIONS whether they are there; 0 asks none."""
    digest_algorithms: Ordered[DigestAlgorithm] = ["MD5"]
    """What those clients are challenged with, in this order. MD5 alone by default: it is what every phone knows, and
    phones of before RFC 8760 give up where another one stands beside it; an MD5 that is offered can be chosen by
    whoever attacks, so that SHA-256 before it would protect nobody."""
    transfers: Literal["refuse", "clients", "all"] = "clients"
    """Whose REFER is followed in a call that is connected."""
    nameservers: list[str] = []
    """Name servers as ADDRESS or ADDRESS:PORT; none: those of the machine."""
    user_agent: str = "Trunkline"
    """The name in Server and User-Agent; "" sends neither."""
    max_call_duration: Seconds = Field(default=14400.0, gt=0)
    """After this time a call is hung up with the reason `timeout`."""
    max_calls: int = Field(default=20000, ge=1)
    """Calls that may be up at once; a further one is refused with 503."""
    stranger_calls: float = Field(default=0.25, ge=0, le=1)
    """The share of `max_calls` that one stranger's address may have at once, at least one call, and strangers together
    three quarters; 0 is no limit, and 1 none but `max_calls`."""
    max_ringing: Seconds = Field(default=200.0, ge=0)
    """How long an incoming call may stay unanswered, from its INVITE on; 0: for ever."""
    invite_rate: InviteRate = InviteRate()
    drain_timeout: Seconds = Field(default=30.0, ge=0)
    """How long SIGTERM waits for calls to end by themselves before it hangs them up."""
    session_expires: Seconds = Field(default=1800.0, ge=90)
    """Session timer that is offered and asked for (RFC 4028 §4)."""
    min_se: Seconds = Field(default=90.0, ge=90)
    """The shortest session timer that is accepted; RFC 4028 §5 allows nothing below 90."""
    rtp_ports: Annotated[PortRange, BeforeValidator(_port_range)] = PortRange(20000, 29999)
    """Ports of the engine's own media (echo, tones); calls through it carry their media past it."""
    probe_interval: Seconds = Field(default=30.0, ge=0)
    """How often each provider is asked with OPTIONS whether it is there; 0 asks none."""
    t1: Seconds = Field(default=0.5, gt=0, le=10)
    """Round-trip estimate of RFC 3261 §17.1.1.1; every other timer is counted in it."""
    t2: Seconds = Field(default=4.0, gt=0, le=60)
    """The longest interval between retransmissions of a non-INVITE request or a final response."""

    @field_validator("listen")
    @classmethod
    def _listeners(cls, urls: list[str]) -> list[str]:
        for url in urls:
            try:
                parse_listen_url(url)
            except ListenError as error:
                raise ValueError(str(error)) from None
        for url in urls:
            if urls.count(url) > 1 and not url.endswith(":0"):
                raise ValueError(f"{url!r} is listed twice; keep one")
        return urls

    @field_validator("advertise")
    @classmethod
    def _advertised(cls, host: str) -> str:
        if host:
            parse_host_port(host)
        return host

    @field_validator("trusted_networks", "proxies", "destination_networks")
    @classmethod
    def _networks(cls, networks: list[str]) -> list[str]:
        for network in networks:
            parse_network(network)
        return networks

    @field_validator("nameservers")
    @classmethod
    def _numeric(cls, servers: list[str]) -> list[str]:
        for server in servers:
            host, _ = split_host_port(server)
            if not family_of(host):
                raise ValueError(f"{server!r} is no address; write the name server's IP address, such as 192.0.2.53")
        return servers

    @field_validator("user_agent")
    @classmethod
    def _product(cls, name: str) -> str:
        if name and not _USER_AGENT.fullmatch(name):
            raise ValueError("holds characters that a User-Agent header may not; use letters, digits and .-_/ only")
        return name

    @model_validator(mode="after")
    def _users_have_a_realm(self) -> Self:
        for user in self.users:
            user.realm = user.realm or self.realm
        return self

    @model_validator(mode="after")
    def _certificates_for_listeners(self) -> Self:
        for url in self.listen:
            if parse_listen_url(url).transport in SECURE and not self.tls.certificates:
                raise ValueError(f"{url}: {NO_CERTIFICATE}")
        return self

    @model_validator(mode="after")
    def _timers_fit(self) -> Self:
        if self.session_expires < self.min_se:
            raise ValueError("session_expires is below min_se; raise session_expires or lower min_se")
        if self.t2 < self.t1:
            raise ValueError("t2 is below t1; raise t2 or lower t1")
        return self


class NumberingSettings(_Section):
    """How dialled digits become numbers."""

    default_country: str = ""
    """Two letters (ISO 3166) of the country whose national numbers are understood; "" understands none."""
    international_prefixes: list[str] = ["00"]
    """What stands before a country code in place of `+`."""
    short_numbers: list[str] = []
    """Numbers of two to eight digits that are dialled as they stand, beside the short and emergency numbers of
    `default_country`."""
    strict: bool = False
    """Own numbers must be valid in their country's plan, not only possible."""
    reserved_virtual_prefix: str = "+899000"
    """Virtual numbers that begin with this are the platform's own."""

    def read_by(self) -> dict[str, Any]:
        """As routing's settings have it."""
        return {
            "default_country": self.default_country,
            "international_prefixes": tuple(self.international_prefixes),
            "short_numbers": frozenset(self.short_numbers),
            "strict": self.strict,
            "reserved_virtual_prefix": self.reserved_virtual_prefix,
        }

    @field_validator("default_country")
    @classmethod
    def _country(cls, country: str) -> str:
        if country and country not in phonenumbers.SUPPORTED_REGIONS:
            raise ValueError(f"{country!r} is no country; write its two capital letters, such as US, or leave it empty")
        return country

    @field_validator("short_numbers")
    @classmethod
    def _short(cls, numbers: list[str]) -> list[str]:
        for number in numbers:
            if not re.fullmatch(r"[0-9]{2,8}", number):
                raise ValueError(f'{number!r} is no short number; write two to eight digits in quotes, such as "811"')
        return numbers

    @field_validator("international_prefixes")
    @classmethod
    def _prefixes(cls, prefixes: list[str]) -> list[str]:
        for prefix in prefixes:
            if not re.fullmatch(r"[0-9]{1,5}", prefix):
                raise ValueError(f'{prefix!r} is no dialling prefix; write one to five digits in quotes, such as "00"')
        return prefixes

    @field_validator("reserved_virtual_prefix")
    @classmethod
    def _virtual(cls, prefix: str) -> str:
        if prefix and not re.fullmatch(r"\+899[0-9]{0,9}", prefix):
            raise ValueError(f'{prefix!r} is no virtual range; write +899 and up to nine digits, such as "+899000"')
        return prefix


class RequestRate(_Section):
    """A token bucket for API requests; one beyond it is refused with 429 and a Retry-After."""

    rate: float = Field(default=50.0, ge=0)
    """Requests a second in the long run; 0 switches the limit off."""
    burst: int = Field(default=100, ge=1)
    """Requests that may come at once before the rate counts."""


class ApiTlsSettings(_Section):
    """TLS of the API; both files or none."""

    certificate: str = ""
    """PEM, with its chain. A relative path counts from the configuration file."""
    key: str = ""


class ApiSettings(_Section):
    """The REST API."""

    listen: str = "127.0.0.1:8080"
    """HOST:PORT, a free port at 0; "" switches the API off."""
    tls: ApiTlsSettings = ApiTlsSettings()
    """With a certificate the API speaks HTTPS, and nothing else."""
    admin_key: str = Field(default="", repr=False)
    """Access key of the first super admin; "" has the first start make one up and print it once."""
    request_rate: RequestRate = RequestRate()
    """What one customer may ask, where it has no rate of its own."""
    address_rate: RequestRate = RequestRate(rate=20.0, burst=40)
    """What one address may ask without good credentials."""
    trusted_proxies: list[str] = []
    """Addresses and networks of proxies in front of the API: whom their X-Forwarded-For names is who asks. Of anybody
    else that header says nothing."""

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, networks: list[str]) -> list[str]:
        for network in networks:
            parse_network(network)
        return networks

    @field_validator("listen")
    @classmethod
    def _host_and_port(cls, address: str) -> str:
        if not address:
            return address
        host, port = split_host_port(address)
        if not family_of(host) or port is None:
            problem = (
                f'{address!r} is no address to listen at; write HOST:PORT, such as "127.0.0.1:8080", or "" for off'
            )
            raise ValueError(problem)
        return address

    @field_validator("admin_key")
    @classmethod
    def _long_enough(cls, key: str) -> str:
        if key and not re.fullmatch(r"[!-~]{16,255}", key):
            problem = (
                "is no access key; write 16 to 255 letters, digits and signs that nobody can guess, or leave it out"
            )
            raise ValueError(problem)
        return key


class RetentionSettings(_Section):
    """How long the store keeps what only grows; 0 keeps it for ever."""

    calls: Seconds = Field(default=90 * 86400.0, ge=0)
    """Calls that have ended, with their attempts; messages."""
    events: Seconds = Field(default=7 * 86400.0, ge=0)
    """Events, and their deliveries to webhooks."""
    recordings: Seconds = Field(default=0.0, ge=0)
    """Recordings that are over: their rows, and their files in `media.recordings`."""


class WebhookSettings(_Section):
    """What flows may fetch over HTTP."""

    allow_private: bool = False
    """Whether webhooks, fetched actions and sounds may come from loopback and private addresses (off: a flow could
    reach what only this host may)."""


class MediaSettings(_Section):
    """The engine's own media: what it hears and plays where a call ends here."""

    codecs: Ordered[CodecName] = ["PCMU", "PCMA", "G722", "opus"]
    """What the engine offers, in this order, and takes of what it is offered."""
    rtp_timeout: Seconds = Field(default=300.0, ge=0)
    """A call whose peer sends no media for so long, and does not hold us, is hung up; 0 waits for ever."""
    silence: bool = True
    """Whether an answered call that waits (for keys, in `sleep`, between two sounds) is sent silence all the time, as
    phones and border controllers expect that look for a stream."""
    keepalive: Seconds = Field(default=15.0, ge=0)
    """Seconds between two packets of silence to a call that hears nothing: in `block`, and in a queue without music; 0
    sends none."""
    inband_digits: Literal["auto", "never", "always"] = "auto"
    """Whether keys are heard as tones in the sound: `auto` does where no telephone-event was agreed on."""
    sounds: str = "./sounds"
    """The folder that relative names of sounds start from. A relative path counts from the configuration file."""
    largest_sound: int = Field(default=20_000_000, ge=1_000, le=1_000_000_000)
    """Bytes of the largest sound that is played, a file's or a URL's."""
    cache: int = Field(default=128_000_000, ge=1_000_000, le=100_000_000_000)
    """Bytes of decoded and encoded sound, speech among it, that are kept for the next call."""
    voices: str = ""
    """A folder of piper's voices (.onnx files); "" speaks with espeak-ng alone."""
    recordings: str = "./recordings"
    """The folder that recordings are written to. A relative path counts from the configuration file."""
    national: str = "us"
    """The country (ISO 3166) whose tones are meant by `tone:ringback`, `tone:busy` and so on, where none is named."""
    phones: Literal["direct", "anchor"] = "direct"
    """`anchor`: media of calls to registered phones passes us: behind different NATs they do not reach each other."""
    rtpengines: list[str] = []
    """The ng addresses (HOST:PORT) of rtpengines that anchored calls send their media through; none: this process."""

    @field_validator("national")
    @classmethod
    def _known_tones(cls, country: str) -> str:
        found = country.lower()
        if found not in TONES:
            raise ValueError(f"the tones of {country!r} are not known; write one of {', '.join(sorted(TONES))}")
        return found

    @field_validator("rtpengines")
    @classmethod
    def _addresses(cls, addresses: list[str]) -> list[str]:
        for address in addresses:
            host, port = split_host_port(address)
            if not family_of(host) or not port:
                raise ValueError(f'{address!r} is no address; write HOST:PORT, such as "127.0.0.1:2223"')
        return addresses


class LogSettings(_Section):
    """What is logged, and how; logs go to standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["console", "json"] = "console"


class Settings(_Section):
    """Everything but the resource lists."""

    sip: SipSettings = SipSettings()
    numbering: NumberingSettings = NumberingSettings()
    api: ApiSettings = ApiSettings()
    webhook: WebhookSettings = WebhookSettings()
    media: MediaSettings = MediaSettings()
    log: LogSettings = LogSettings()
    store: str = Field(default="sqlite:///./trunkline.db", repr=False)
    """Where everything is kept: a database's URL, or `:memory:` for nothing. A relative path counts from the
    configuration file."""
    secret_key: Annotated[list[str], BeforeValidator(_keys)] = Field(default=[], repr=False)
    """Keys (32 octets in base64) that secrets in the store are encrypted with: the first encrypts, all decrypt. One
    text may hold several, with commas between them; none leaves secrets as they are."""
    redis: str = Field(default="", repr=False)
    """A Redis server through which nodes on one store tell each other of changes; "" does without."""
    retention: RetentionSettings = RetentionSettings()
    node_name: str = Field(default="", max_length=255)
    """What this node is called among those on one store, the same at every start; "" is the host's name and the address
    of the first listener."""
    flows_module: str = ""
    """Python module (importable, or a .py file beside the configuration) that registers flows written in Python."""

    @field_validator("store")
    @classmethod
    def _database(cls, url: str) -> str:
        if not url or url == ":memory:":
            return ":memory:"
        if not _DATABASE.fullmatch(url):
            raise ValueError("is no database; write sqlite:///FILE, postgresql://USER:PASSWORD@HOST/NAME or :memory:")
        return url

    @field_validator("redis")
    @classmethod
    def _redis(cls, url: str) -> str:
        if url and not re.fullmatch(r"(rediss?|unix)://\S+", url):
            raise ValueError("is no Redis server; write redis://HOST:PORT/0, rediss://... or unix://PATH")
        return url

    @field_validator("node_name")
    @classmethod
    def _printable(cls, name: str) -> str:
        if not name.isprintable():
            raise ValueError("holds a control character; write a plain name, such as sip1")
        return name

    @field_validator("flows_module")
    @classmethod
    def _module(cls, name: str) -> str:
        if name and not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*|.*\.py", name):
            raise ValueError(f"{name!r} is no module; write a dotted name or the path of a .py file")
        return name

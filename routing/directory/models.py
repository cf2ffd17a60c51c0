"""Numbers, providers and routes as they are configured: their fields, defaults and checks.

These models are for files and requests; calls are decided on the compact forms in `rows` and `trunk`. Every fault is
a sentence, and its pydantic error type is the stable reason an API reports (INVALID_NUMBER, INVALID_TECH_HEADER, ...).
"""

import re
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Literal, Self, TypeVar
from uuid import UUID, uuid4

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from routing.access.addresses import parse_network
from routing.access.hostnames import parse_host_port
from routing.directory.identifiers import NIL, named_id, route_id
from routing.errors import RoutingError
from routing.hunt.codes import DEFAULT_FAILOVER_CODES, CodeList, canonical_codes
from routing.hunt.tech_headers import check_tech_headers
from routing.numbers.numbering import NumberKind, checked_number, is_virtual

T = TypeVar("T")

NumberStatus = Literal["available", "active", "suspended", "released"]
NumberType = Literal["normal", "virtual"]
NumberOrigin = Literal["provisioned", "ported", "hosted"]
IdentityHeader = Literal["P-Asserted-Identity", "Remote-Party-ID", "Diversion"]

HIGHEST_RATE = 10**12
"""Micro-units a minute: a million currency units, far above any real price and far within 64 bits."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_TARGET = re.compile(r"\+[1-9][0-9]{0,14}")
_CODECS = re.compile(r"[A-Za-z0-9.\-]+(/[0-9]+){0,2}(, *[A-Za-z0-9.\-]+(/[0-9]+){0,2})*")


def _refuse(reason: str, message: str) -> PydanticCustomError:
    # The sentence goes in as a value: it may quote braces, which a template would take for its own.
    return PydanticCustomError(reason, "{message}", {"message": message})


def _check(reason: str, check: Callable[[], T]) -> T:
    try:
        return check()
    except ValueError as error:
        raise _refuse(reason, str(error)) from None


def _plain_text(value: str) -> str:
    if _CONTROL.search(value):
        raise _refuse("INVALID_REQUEST_PARAMETER", "holds a line break or another control character; remove it")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise _refuse("INVALID_REQUEST_PARAMETER", "cannot be written as UTF-8; replace the broken character") from None
    return value


def _codes(value: object) -> object:
    if value is None:
        return None
    if not isinstance(value, list | tuple | set | frozenset):
        raise _refuse("INVALID_REQUEST_PARAMETER", "is no list of statuses; write one such as [503, 5xx]")
    return _check("INVALID_REQUEST_PARAMETER", lambda: canonical_codes(value))


def _timer(value: float) -> float:
    if not 0 < value <= 3600:
        raise _refuse(
            "INVALID_REQUEST_PARAMETER", f"{value:g} s is no time to wait; write seconds above 0 and up to 3600"
        )
    return value


Text = Annotated[str, AfterValidator(_plain_text)]
DialText = Annotated[str, Field(max_length=128), AfterValidator(_plain_text)]
Codes = Annotated[CodeList, BeforeValidator(_codes)]
Timer = Annotated[float, Field(allow_inf_nan=False), AfterValidator(_timer)]


class _Resource(BaseModel):
    model_config = ConfigDict(extra="forbid", validate_default=False)

    name: Text = Field(default="", max_length=255)
    detail: str = ""
    tm_create: datetime | None = None
    tm_update: datetime | None = None
    tm_delete: datetime | None = None


class Number(_Resource):
    """A telephone number of ours, normal or virtual.

    The validation context may hold `strict_numbers`: the number must then be valid in its country's plan.
    """

    id: UUID = NIL
    """Derived from the number where none is given."""
    customer_id: UUID = NIL
    number: str
    type: NumberType = "normal"
    """Follows from the number; a given one must agree with it."""
    status: NumberStatus = "active"
    call_flow_id: UUID = NIL
    message_flow_id: UUID = NIL
    metadata: dict[str, JsonValue] = {}
    provider_id: UUID = NIL
    """The trunk a normal number arrives on; nil where it is not known, and for virtual numbers."""
    origin: NumberOrigin = "provisioned"
    country: Text = ""
    region: Text = ""
    city: Text = ""
    kind: NumberKind = ""
    tm_purchase: datetime | None = None

    @field_validator("number")
    @classmethod
    def _normalised(cls, text: str, info: ValidationInfo) -> str:
        strict = bool(info.context and info.context.get("strict_numbers"))
        try:
            return checked_number(text, strict=strict)
        except RoutingError as error:
            raise _refuse(error.reason, str(error)) from None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        inferred: NumberType = "virtual" if is_virtual(self.number) else "normal"
        if "type" in self.model_fields_set and self.type != inferred:
            problem = f"{self.number} is a {inferred} number; leave type out or write {inferred}"
            raise _refuse("INVALID_NUMBER", problem)
        if inferred == "virtual":
            if self.provider_id != NIL:
                problem = f"{self.number} is virtual and arrives on no trunk; leave its provider out"
                raise _refuse("INVALID_NUMBER", problem)
            if self.kind not in ("", "virtual"):
                raise _refuse("INVALID_NUMBER", f"{self.number} is virtual; leave kind out or write virtual")
        elif self.kind == "virtual":
            raise _refuse("INVALID_NUMBER", f"{self.number} is a normal number and cannot be of the kind virtual")
        # Straight into the dict: assignment would mark the fields as given.
        self.__dict__["type"] = inferred
        if inferred == "virtual":
            self.__dict__["kind"] = "virtual"
        if self.id == NIL:
            self.__dict__["id"] = named_id("number", self.number)
        return self


class Provider(_Resource):
    """A SIP trunk. Times are seconds."""

    id: UUID = NIL
    """Derived from the name where none is given; random where there is no name either."""
    type: Literal["sip"] = "sip"
    hostname: str
    """`host` or `host:port`; where requests go."""
    transport: Literal["udp", "tcp", "tls"] = "udp"
    enabled: bool = True
    """Off: calls are not sent there. Calls from there are still this trunk's."""
    inbound_addresses: list[str] = []
    """Addresses and networks whose INVITEs are this trunk's."""
    tech_prefix: DialText = ""
    tech_postfix: DialText = ""
    tech_headers: dict[str, str] = {}
    """Added to every INVITE, in this order, values as they are."""
    username: DialText = ""
    password: Text = Field(default="", repr=False)
    realm: Text = ""
    from_user: DialText = ""
    from_domain: str = ""
    user_is_phone: bool = False
    caller_id_headers: list[IdentityHeader] = ["P-Asserted-Identity"]
    number_format: Literal["e164", "plain", "national"] = "e164"
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
    failover_codes: Codes = DEFAULT_FAILOVER_CODES
    """Final statuses after which the next provider is tried."""
    stop_codes: Codes = []
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

    @field_validator("hostname")
    @classmethod
    def _host(cls, hostname: str) -> str:
        _check("INVALID_REQUEST_PARAMETER", lambda: parse_host_port(hostname))
        return hostname

    @field_validator("from_domain")
    @classmethod
    def _domain(cls, domain: str) -> str:
        if domain:
            _check("INVALID_REQUEST_PARAMETER", lambda: parse_host_port(domain))
        return domain

    @field_validator("tech_postfix")
    @classmethod
    def _postfix(cls, postfix: str) -> str:
        _, at, host = postfix.partition("@")
        if at:
            _check("INVALID_REQUEST_PARAMETER", lambda: parse_host_port(host))
        return postfix

    @field_validator("tech_headers")
    @classmethod
    def _headers(cls, headers: dict[str, str]) -> dict[str, str]:
        _check("INVALID_TECH_HEADER", lambda: check_tech_headers(headers))
        return headers

    @field_validator("inbound_addresses")
    @classmethod
    def _addresses(cls, addresses: list[str]) -> list[str]:
        for address in addresses:
            network = _check("INVALID_REQUEST_PARAMETER", lambda text=address: parse_network(text))  # type: ignore[misc]
            if network.prefixlen == 0:
                problem = (
                    f"{address!r} is every address there is: all callers would be this trunk; write the trunk's own"
                )
                raise _refuse("INVALID_REQUEST_PARAMETER", problem)
        return addresses

    @field_validator("codecs")
    @classmethod
    def _codec_names(cls, codecs: str) -> str:
        if codecs and not _CODECS.fullmatch(codecs):
            problem = f"{codecs!r} is no list of codecs; write names with commas between them, such as PCMA,PCMU"
            raise _refuse("INVALID_REQUEST_PARAMETER", problem)
        return codecs

    @model_validator(mode="after")
    def _identified(self) -> Self:
        if self.id == NIL:
            self.__dict__["id"] = named_id("provider", self.name) if self.name else uuid4()
        return self


class Route(_Resource):
    """Which provider serves a range of numbers. What is None is left to the provider."""

    id: UUID = NIL
    """Derived from customer, target, provider and priority where none is given."""
    customer_id: UUID = NIL
    """Whose calls it serves; nil: everybody's (the platform's route)."""
    provider_id: UUID
    priority: int = Field(default=0, ge=-1_000_000, le=1_000_000)
    """Lower is tried earlier, among targets of equal length."""
    weight: int = Field(default=1, ge=0, le=1_000_000)
    """Share among equals; 0 comes after all that have one."""
    target: str = "all"
    """`all`, or `+` and the first digits of the numbers."""
    enabled: bool = True
    rate: int = Field(default=0, ge=0, le=HIGHEST_RATE)
    """What a minute costs the caller's customer, in millionths of the currency unit; 0 is free."""
    message_rate: int = Field(default=0, ge=0, le=HIGHEST_RATE)
    """What a text message costs the sender's customer, in millionths of the currency unit; 0 is free."""
    failover_codes: Codes | None = None
    stop_codes: Codes | None = None
    no_reply_timeout: Timer | None = None
    no_progress_timeout: Timer | None = None
    ring_timeout: Timer | None = None

    @field_validator("target")
    @classmethod
    def _prefix(cls, target: str) -> str:
        if target != "all" and not _TARGET.fullmatch(target):
            problem = f"{target!r} is no target; write all, or + and the first digits of the numbers, such as +44"
            raise _refuse("INVALID_REQUEST_PARAMETER", problem)
        if is_virtual(target):
            problem = f"{target!r} is virtual: such numbers never leave for a provider; remove this route"
            raise _refuse("INVALID_REQUEST_PARAMETER", problem)
        return target

    @model_validator(mode="after")
    def _identified(self) -> Self:
        if self.provider_id == NIL:
            raise _refuse("PROVIDER_NOT_FOUND", "the route names no provider; write the provider that it leads to")
        if self.id == NIL:
            self.__dict__["id"] = route_id(self.customer_id, self.target, self.provider_id, self.priority)
        return self

    @property
    def prefix(self) -> str:
        """The target as a string that numbers begin with; "" for all."""
        return "" if self.target == "all" else self.target


def reason_of(error: dict[str, Any]) -> str:
    """The stable reason of one of pydantic's errors, its own ones (missing, extra_forbidden, ...) included."""
    kind = str(error["type"])
    if kind.isupper():
        return kind
    return "MISSING_REQUEST_PARAMETER" if kind == "missing" else "INVALID_REQUEST_PARAMETER"

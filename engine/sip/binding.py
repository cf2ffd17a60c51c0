"""A binding: one contact of an address-of-record, as its REGISTER gave it (RFC 3261 §10)."""

from dataclasses import dataclass

from engine.sip.flow import Flow

NEVER = float("inf")


@dataclass(slots=True, eq=False, kw_only=True)
class Binding:
    """Where one device of an extension is reached.

    Attributes:
        id: Of this node's making; stays the same as long as the device refreshes.
        contact: The name-addr or addr-spec with its parameters, byte for byte as it came, without `expires`.
        expires_place: Where in it `expires` stood, or is put.
        uri_apart: The URI in it, where that is not what stands between its first `<` and `>`; else "": of a hundred
            thousand bindings it would be written twice.
        q: Its preference, 0 to 1 (RFC 3261 §20.10).
        instance: The `+sip.instance` (RFC 5626 §4.1), without quotes; "" for none.
        reg_id: The `reg-id`, where outbound applies; 0 for none.
        call_id, cseq: Of the REGISTER that it is from (RFC 3261 §10.3 step 7).
        expires_at: When it ends (s, on the endpoint's clock).
        flow: Where the REGISTER came from: what the device is reached by where there is no Path.
        path: The Path of that REGISTER (RFC 3327), URIs in order.
        source: The address that the REGISTER came from, which of one that an edge has forwarded is what the edge noted.
        user_agent: As it stood there, which is a peer's text.
        registered_at: When it was made (s, on the endpoint's clock).
        rtt: How long the last keep-alive took (s); None where none was answered.
        natted: Whether it is reached through a NAT, which forgets it unless something is sent.
        due: When its location looks at it next (s).
        extension: Whose it is, by name; its location's.
    """

    id: str
    contact: str
    uri_apart: str = ""
    expires_place: int = 0
    q: float = 1.0
    instance: str = ""
    reg_id: int = 0
    call_id: str = ""
    cseq: int = 0
    expires_at: float = 0.0
    flow: Flow | None = None
    path: tuple[str, ...] = ()
    source: str = ""
    user_agent: str = ""
    registered_at: float = 0.0
    rtt: float | None = None
    natted: bool = False
    due: float = NEVER
    extension: str = ""

    @property
    def uri(self) -> str:
        """The URI in the contact: the Request-URI of what is sent there."""
        return self.uri_apart or _between(self.contact)

    @property
    def transport(self) -> str:
        """The name of the transport that it is reached by, "udp" ...; "" where that is not known."""
        return "" if self.flow is None else self.flow.transport.name

    @property
    def lasts(self) -> bool:
        """Whether it outlives the connection that it came by: there is none, or a proxy holds it (RFC 3327)."""
        return bool(self.path) or self.flow is None or not self.flow.transport.reliable

    def renew(self, newer: "Binding") -> None:
        """Be as `newer` from now on, which is the same device's at the same Contact."""
        self.contact, self.expires_place, self.uri_apart = newer.contact, newer.expires_place, newer.uri_apart
        self.q, self.instance, self.reg_id = newer.q, newer.instance, newer.reg_id
        self.call_id, self.cseq, self.expires_at = newer.call_id, newer.cseq, newer.expires_at
        self.flow, self.path, self.source, self.natted = newer.flow, newer.path, newer.source, newer.natted
        self.user_agent = newer.user_agent


def uri_apart(contact: str, uri: str) -> str:
    """What `Binding.uri_apart` is for a contact with this URI."""
    return "" if _between(contact) == uri else uri


def _between(contact: str) -> str:
    start = contact.find("<") + 1
    return contact[start : contact.find(">", start)] if start else ""

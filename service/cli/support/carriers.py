"""The carriers that `trunkline init` knows, and what it writes for each. docs/trunks.md says where each comes from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Carrier:
    """One carrier, or one kind of them."""

    title: str
    hostname: str
    """Of the server that takes our calls; "" where each customer has one of its own, which is asked for."""
    example: str = ""
    """What a hostname that is asked for looks like."""
    login: bool = True
    """Whether calls to it are answered with 401 or 407, and user name and password are asked for."""
    fields: Sequence[str] = ()
    """Further lines of the provider, with their comments."""
    portal: Sequence[str] = ()
    """What has to be set at the carrier's."""


CARRIERS: Final[Mapping[str, Carrier]] = MappingProxyType(
    {
        "twilio": Carrier(
            title="Twilio Elastic SIP Trunking",
            hostname="",
            example="example.pstn.twilio.com",
            fields=(
                "inbound_addresses:              # where its calls come from, by region",
                '  ["54.172.60.0/30", "54.244.51.0/30", "54.171.127.192/30", "35.156.191.128/30", "54.65.63.192/30",',
                '   "54.169.127.128/30", "54.252.254.64/30", "177.71.206.192/30"]',
            ),
            portal=(
                "Termination: its SIP URI is the hostname; user name and password are those of a Credential List",
                "Origination: add sip:{address}",
                "compare the addresses in inbound_addresses with those that its Networking Info shows",
            ),
        ),
        "telnyx": Carrier(
            title="Telnyx SIP trunking, with credentials",
            hostname="sip.telnyx.com",
            fields=('inbound_addresses: ["192.76.120.10/32", "64.16.250.10/32"]   # those of its region US',),
            portal=(
                "a SIP connection with credentials, and an outbound voice profile with it",
                "calls to you: the connection's inbound settings, by IP address, {address}",
                "in Europe the hostname is sip-eu.telnyx.com, and inbound_addresses are others",
            ),
        ),
        "bandwidth": Carrier(
            title="Bandwidth, known by address",
            hostname="",
            example="216.82.224.202",
            login=False,
            portal=(
                "your address {address} as a termination and as an origination host of a location",
                "it gives you two addresses: add the second one to inbound_addresses, and as a second provider",
            ),
        ),
        "other": Carrier(
            title="another carrier",
            hostname="",
            example="sip.carrier.example",
            portal=("calls to you go to sip:{address}; docs/carriers.md says which setting each wish of theirs is",),
        ),
    }
)
"""By the word that names each on the command line."""

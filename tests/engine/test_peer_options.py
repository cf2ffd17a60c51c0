"""What a provider wants reaches the dialling by reference (`DialSpec.peer`)."""

from dataclasses import fields

import pytest

from engine.dial import DialSpec, Peer, PeerOptions
from routing.models.provider import Provider


@pytest.mark.parametrize("option", fields(Peer), ids=lambda option: option.name)
def test_every_option_of_a_peer_is_a_field_of_a_provider(option: object) -> None:
    name, default = option.name, option.default  # type: ignore[attr-defined]
    assert getattr(Provider(hostname="carrier.example"), name) == default


def test_a_provider_is_dialled_as_it_is_configured() -> None:
    provider: PeerOptions = Provider(hostname="carrier.example", username="u", password="p", srtp="sdes")
    spec = DialSpec(
        request_uri="sip:b@carrier.example",
        destination="sip:carrier.example",
        from_="<sip:a@b.example>",
        to="<sip:b@carrier.example>",
        peer=provider,
    )
    assert spec.peer is provider

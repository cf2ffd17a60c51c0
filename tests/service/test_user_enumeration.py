"""What a stranger asks about users and extensions is answered the same whether there is such a one or not."""

from collections.abc import Callable
from typing import Any

import pytest

from engine.sip.auth import digest_server

Run = Callable[..., None]
GUEST = "127.0.0.12"
SIP = {"users": [{"username": "desk", "password": "s3cret"}, {"username": "1000", "password": "x", "realm": "other"}]}
THERE, NOWHERE = ("desk", "1000", "+899100000098"), ("dusk", "1001", "+899100000099")
NUMBERS: dict[str, Any] = {
    "numbers": [{"number": "+899100000098", "status": "released"}, {"number": "+899100000001", "call_flow": "echo"}],
    "flows": [{"name": "echo", "actions": [{"type": "answer"}]}],
}
METHODS = ("OPTIONS", "REGISTER", "INVITE", "MESSAGE", "SUBSCRIBE", "PUBLISH", "REFER", "BYE", "NOTIFY", "NONSENSE")


async def said(wire: Any, engine: Any, method: str, user: str, *headers: str) -> tuple[Any, ...]:
    """The answer to a request for a user, without what it repeats of the request."""
    uri = f"sip:{user}@127.0.0.1" if method != "REGISTER" else "sip:127.0.0.1"
    request = wire.request(method, uri=uri, body=method == "INVITE", headers=headers, from_=f"<sip:{user}@127.0.0.1>")
    request = request.replace(b"To: <sip:+15551234567@", f"To: <sip:{user}@".encode())
    response = await wire.answer(request, engine.address)
    echoed = ("Via", "From", "To", "Call-ID", "WWW-Authenticate")
    kept = [(name, value.replace(user, "*")) for name, value in response.fields if name not in echoed]
    realms = [value.partition(",")[0] for value in response.lines("WWW-Authenticate")]
    return response.status, response.reason, kept, realms, response.body


@pytest.mark.parametrize("allow_guests", [True, False])
@pytest.mark.parametrize(("there", "nowhere"), [*zip(THERE, NOWHERE, strict=True)])
def test_users_and_numbers_look_like_those_that_are_not_there(
    run: Run, there: str, nowhere: str, allow_guests: bool
) -> None:
    async def test(bench: Any) -> None:
        engine = await bench.engine(sip=SIP | {"allow_guests": allow_guests}, **NUMBERS)
        wire = await bench.wire(GUEST)
        for method in METHODS:
            assert await said(wire, engine, method, there) == await said(wire, engine, method, nowhere), method

    run(test)


def test_a_wrong_password_costs_what_an_unknown_user_does(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many digests are computed for the one as for the other: as many as there are realms that were answered."""
    computed: list[str] = []
    genuine = digest_server.response

    def spy(*given: Any, **named: Any) -> str:
        computed.append(named["nonce"])
        return genuine(*given, **named)

    monkeypatch.setattr(digest_server, "response", spy)

    async def test(bench: Any) -> None:
        engine = await bench.engine(sip=SIP, **NUMBERS)
        wire = await bench.wire(GUEST)
        nonces = []
        for user in ("desk", "nobody"):
            asked = await wire.answer(wire.request(uri="sip:+442079460123@127.0.0.1"), engine.address)
            nonce = asked.get("WWW-Authenticate").partition('nonce="')[2].partition('"')[0]
            nonces.append(nonce)
            line = (
                f'Authorization: Digest username="{user}", realm="trunkline", nonce="{nonce}", uri="sip:x@y", '
                f'response="{"0" * 32}", algorithm=MD5, qop=auth, nc=00000001, cnonce="1"'
            )
            request = wire.request(uri="sip:+442079460123@127.0.0.1", headers=[line])
            assert (await wire.answer(request, engine.address)).status == 403
        assert computed == nonces

    run(test)

"""What an address may ask without good credentials: what it claims to have does not count."""

from collections.abc import Callable, Mapping
from typing import Any

import httpx
import pytest

from api.http.clients import Clients
from api.http.limits import MOST_KNOWN, RequestLimits
from engine.rate_limit import RateLimit
from tests.api.conftest import Api

BURST = 4


class Asker:
    """Asks from one address after the other, on a clock that stands still."""

    def __init__(self, api: Api, proxies: tuple[str, ...] = ()) -> None:
        self.api = api
        self.now = 1000.0
        api.services.clock = lambda: self.now
        api.services.limits = RequestLimits(RateLimit(0, 1), RateLimit(1.0, BURST), lambda: self.now)
        api.services.clients = Clients(proxies)
        transport = api.http._transport
        assert isinstance(transport, httpx.ASGITransport)
        self.transport = transport

    async def ask(self, address: str, path: str = "/v1.0/queues", method: str = "GET", **options: Any) -> int:
        self.transport.client = (address, 5000)
        return (await self.api.http.request(method, path, **options)).status_code

    async def statuses(self, count: int, address: str, path: str = "/v1.0/queues", **options: Any) -> list[int]:
        return [await self.ask(address, path, **options) for _ in range(count)]


CLAIMS: Mapping[str, Mapping[str, Any]] = {
    "nothing": {},
    "basic": {"headers": {"Authorization": "Basic x"}},
    "negotiate": {"headers": {"Authorization": "Negotiate abc"}},
    "bearer": {"headers": {"Authorization": "Bearer nonsense"}},
    "a bearer without a token": {"headers": {"Authorization": "Bearer"}},
    "a token": {"params": {"token": "x"}},
    "a key": {"params": {"accesskey": "tk_x"}},
    "a key that has the form of a token": {"params": {"accesskey": "e30.e30.e30"}},
    "all of it": {"headers": {"Authorization": "Basic x"}, "params": {"token": "x", "accesskey": "x"}},
}


@pytest.mark.parametrize("claim", CLAIMS)
@pytest.mark.parametrize("path", ["/v1.0/queues", "/openapi.json", "/docs", "/redoc", "/v1.0/nothing", "/nothing", "/"])
async def test_no_claim_switches_the_limit_off(api: Api, claim: str, path: str) -> None:
    asker = Asker(api)
    found = await asker.statuses(BURST + 3, "192.0.2.7", path, **CLAIMS[claim])
    assert 429 not in found[:BURST] and found[BURST:] == [429] * 3, found
    assert await asker.ask("192.0.2.8", path, **CLAIMS[claim]) != 429  # from elsewhere


@pytest.mark.parametrize("claim", CLAIMS)
async def test_every_operation_is_limited(api: Api, claim: str) -> None:
    asker = Asker(api)
    await asker.statuses(BURST, "192.0.2.7")
    for method, path in (("POST", "/v1.0/calls"), ("DELETE", "/v1.0/flows/x"), ("HEAD", "/v1.0/queues"), ("X", "/y")):
        assert await asker.ask("192.0.2.7", path, method, **CLAIMS[claim]) == 429


async def test_it_comes_back_with_time(api: Api) -> None:
    asker = Asker(api)
    await asker.statuses(BURST, "192.0.2.7")
    answer = await api.http.get("/v1.0/queues")
    assert answer.status_code == 429 and answer.headers["retry-after"] == "1"
    assert answer.json()["error"]["reason"] == "RATE_LIMIT_EXCEEDED"
    asker.now += 1
    assert await asker.statuses(2, "192.0.2.7") == [401, 429]


async def test_good_credentials_go_on_from_an_address_that_others_have_used_up(api: Api) -> None:
    asker = Asker(api)
    known, new = await api.client(), await api.client()
    good = {"headers": {"Authorization": f"Bearer {known.key}"}}
    assert await asker.statuses(BURST + 3, "192.0.2.7", **good) == [200] * (BURST + 3)  # they take nothing from it
    await asker.statuses(BURST, "192.0.2.7", **CLAIMS["a key"])
    assert await asker.ask("192.0.2.7", **CLAIMS["a key"]) == 429
    assert await asker.ask("192.0.2.7", **good) == 200
    assert await asker.ask("192.0.2.7", headers={"Authorization": f"Bearer {new.key}"}) == 200


async def test_looking_up_what_is_no_good_has_an_end(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many keys somebody makes up, the store is asked about so many; who was known goes on."""
    asker = Asker(api)
    known = await api.client()
    good = {"headers": {"Authorization": f"Bearer {known.key}"}}
    assert await asker.ask("192.0.2.7", **good) == 200
    looked: list[str] = []
    monkeypatch.setattr("api.http.auth._of_key", _counting(looked))
    found = [await asker.ask("192.0.2.7", params={"accesskey": f"tk_{number}"}) for number in range(100)]
    assert found == [401] * BURST + [429] * (100 - BURST)
    assert len(looked) == BURST + 10 * BURST
    monkeypatch.undo()
    api.services.clock = lambda: asker.now
    assert await asker.ask("192.0.2.7", **good) == 200


def _counting(looked: list[str]) -> Callable[..., Any]:
    from api.http.auth import ApiError

    async def of_key(_services: Any, key: str) -> Any:
        looked.append(key)
        raise ApiError("INVALID_CREDENTIALS", "no")

    return of_key


async def test_of_ipv6_a_whole_network_is_one_address(api: Api) -> None:
    asker = Asker(api)
    found = [await asker.ask(f"2001:db8:0:7:{number:x}::1") for number in range(BURST + 2)]
    assert found == [401] * BURST + [429, 429]
    assert await asker.ask("2001:db8:0:8::1") == 401


async def test_behind_a_proxy_each_client_has_its_own(api: Api) -> None:
    asker = Asker(api, ("192.0.2.1",))
    bad = {"headers": {"X-Forwarded-For": "198.51.100.1, 203.0.113.7"}}
    assert await asker.statuses(BURST + 1, "192.0.2.1", **bad) == [401] * BURST + [429]
    assert await asker.ask("192.0.2.1", headers={"X-Forwarded-For": "203.0.113.8"}) == 401
    # Who is no proxy is counted by its own address, whatever it writes.
    found = [await asker.ask("203.0.113.9", headers={"X-Forwarded-For": f"10.0.0.{n}"}) for n in range(BURST + 1)]
    assert found == [401] * BURST + [429]


async def test_without_a_rate_nothing_is_limited(api: Api) -> None:
    asker = Asker(api)
    api.services.limits = RequestLimits(RateLimit(0, 1), RateLimit(0, 1), lambda: asker.now)
    assert set(await asker.statuses(50, "192.0.2.7", **CLAIMS["bearer"])) == {401}


def test_what_is_remembered_is_bounded() -> None:
    limits = RequestLimits(RateLimit(0, 1), RateLimit(1, 1), lambda: 0.0)
    for number in range(MOST_KNOWN + 10):
        limits.remember(f"tk_{number}")
    assert not limits.knows("tk_9") and limits.knows("tk_10") and limits.knows(f"tk_{MOST_KNOWN + 9}")


# ---- logins


async def _login(asker: Asker, address: str, password: str, username: str = "ben") -> int:
    body = {"username": username, "password": password}
    return await asker.ask(address, "/v1.0/auth/login", "POST", json=body)


async def test_wrong_passwords_are_counted_before_they_are_hashed(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[str] = []

    async def fits(password: str, _hash: str | None) -> bool:
        hashed.append(password)
        return password == "right"

    monkeypatch.setattr("api.resources.login.password_fits", fits)
    await api.root.post("/v1.0/agents", {"username": "ben", "password": "correct horse"})
    asker = Asker(api)
    assert [await _login(asker, "192.0.2.7", "wrong") for _ in range(BURST + 5)] == [401] * BURST + [429] * 5
    assert len(hashed) == BURST
    # A right one is given back: it takes nothing from anybody.
    assert [await _login(asker, "192.0.2.8", "right") for _ in range(3 * BURST)] == [200] * 3 * BURST
    # Another user's name, or none, does not help; nor does the address's other traffic count twice.
    assert await _login(asker, "192.0.2.7", "wrong", "anna") == 429
    assert await _login(asker, "192.0.2.9", "wrong") == 401
    assert await asker.statuses(BURST, "192.0.2.9") == [401] * (BURST - 1) + [429]

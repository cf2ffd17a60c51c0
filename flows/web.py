"""HTTP requests for webhooks, fetched actions and sounds: bounded in time and size, to the open Internet alone."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx

from flows.calls.tasks import OwnedTasks, TooManyTasksError
from flows.faults import ActionError
from flows.web_hosts import is_public

T = TypeVar("T")

HostResolver = Callable[[str, int], Awaitable[list[str]]]


@dataclass(slots=True, kw_only=True)
class WebhookLimits:
    """What webhooks may do. `timeout` is seconds for the whole exchange, `body` bytes, each way.

    `allow_private`: whether they may reach loopback, private and link-local addresses, where this host's own services
    live (an author of flows could use us to talk to them).
    """

    timeout: float = 10.0
    body: int = 64 * 1024
    allow_private: bool = False


async def _look_up(host: str, port: int) -> list[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=1)  # SOCK_STREAM
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


@dataclass(slots=True, kw_only=True)
class WebServices:
    """What requests to the web need.

    Attributes:
        http: One shared client; None: this service sends none.
        exchanges: The requests that `http` has under way; whoever closes it closes them first.
        limits: What webhooks may do.
        resolve_host: Addresses of a web server.
    """

    http: httpx.AsyncClient | None = None
    exchanges: OwnedTasks = field(default_factory=OwnedTasks)
    limits: WebhookLimits = field(default_factory=WebhookLimits)
    resolve_host: HostResolver = _look_up


async def send(web: WebServices, method: str, uri: str, data: str | Mapping[str, Any] | list[Any]) -> bytes:
    """Sends and returns the answer's body. Raises ActionError, in words, for whatever goes wrong."""
    body, content_type = _body(data)
    if len(body) > web.limits.body:
        raise ActionError(f"the data is longer than {web.limits.body} bytes; send less")
    status, answer = await exchange(web, method, uri, body, {"Content-Type": content_type})
    if not 200 <= status < 300:
        raise ActionError(f"{url_text(uri)} answered {status}")
    return answer


async def exchange(
    web: WebServices, method: str, uri: str, body: bytes, headers: Mapping[str, str], largest: int = 0
) -> tuple[int, bytes]:
    """One request; the status and the body of the answer. Raises ActionError where there was none, or one of more than
    `largest` bytes (0: what webhooks may have)."""
    if web.http is None:
        raise ActionError("this service sends no webhooks")
    try:
        url = httpx.URL(uri)
        async with asyncio.timeout(web.limits.timeout):
            address = await _checked_address(web, url)
            asking = _exchange(web.http, method, url, address, body, headers, largest or web.limits.body)
            return await _by_itself(web, asking, f"{method} {url_text(uri)}")
    except TooManyTasksError as error:
        raise ActionError(str(error)) from None
    except TimeoutError:
        raise ActionError(f"{url_text(uri)} did not answer within {web.limits.timeout:g} s") from None
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        raise ActionError(f"{url_text(uri)}: {type(error).__name__}: {error}"[:300]) from None


async def _by_itself(web: WebServices, asking: Coroutine[Any, Any, T], name: str) -> T:
    """What `asking` gives, in a task that is cancelled once at most.

    httpx gives a connection back while it is being cancelled. Whoever cancels again in that moment (a time-out within
    a time-out, a hangup at the time-out) would interrupt that, and the shared pool is a connection short for ever.
    """
    task = web.exchanges.start(asking, name)
    try:
        return await asyncio.shield(task)
    finally:
        task.cancel()


def url_text(uri: str) -> str:
    """The address without what may be secret in it: credentials, query."""
    plain = uri.partition("?")[0]
    scheme, _, rest = plain.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"[:200]


def _body(data: str | Mapping[str, Any] | list[Any]) -> tuple[bytes, str]:
    if isinstance(data, str):
        try:
            json.loads(data)
        except (ValueError, RecursionError):
            return data.encode("utf-8", "replace"), "text/plain; charset=utf-8"
        return data.encode("utf-8", "replace"), "application/json"
    return json.dumps(data, ensure_ascii=False).encode("utf-8", "replace"), "application/json"


async def _checked_address(web: WebServices, url: httpx.URL) -> str:
    """The address to connect to: the one that was checked, so that a second look-up cannot give another."""
    if url.scheme not in ("http", "https") or not url.host:
        raise ActionError(f"{url_text(str(url))} is no web address; write it like https://example.com/path")
    port = url.port or (443 if url.scheme == "https" else 80)
    addresses = await web.resolve_host(url.host, port)
    if not addresses:
        raise ActionError(f"{url.host} does not resolve")
    if not web.limits.allow_private:
        for address in addresses:
            if not is_public(address):
                # Without the address: a customer's deliveries show this, and how this network is made is not for them.
                why = "is private; set webhook.allow_private to allow it"
                raise ActionError(f"{url.host} is at an address that {why}")
    return addresses[0]


async def _exchange(
    client: httpx.AsyncClient,
    method: str,
    url: httpx.URL,
    address: str,
    body: bytes,
    headers: Mapping[str, str],
    largest: int,
) -> tuple[int, bytes]:
    request = client.build_request(
        method,
        url.copy_with(host=address),
        content=body if body or method != "GET" else None,
        headers={"Host": url.netloc.decode("ascii"), "Accept": "application/json", **headers},
        extensions={"sni_hostname": url.host} if url.scheme == "https" else None,
        timeout=None,  # the caller has one for the whole exchange; httpx would give up on its own after 5 s of silence
    )
    response = await client.send(request, stream=True, follow_redirects=False)
    try:
        received = bytearray()
        async for chunk in response.aiter_bytes():
            received += chunk
            if len(received) > largest:
                raise ActionError(f"the answer of {url_text(str(url))} is longer than {largest} bytes")
        return response.status_code, bytes(received)
    finally:
        await response.aclose()


def variables_of(body: bytes) -> dict[str, str]:
    """The variables in a JSON answer: each member of the object by its name, inner values as JSON.

    Raises ActionError when it is no JSON object.
    """
    if not body.strip():
        return {}
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        raise ActionError("the answer is no JSON; no variables were set") from None
    if not isinstance(answer, dict):
        raise ActionError("the answer is no JSON object; no variables were set")
    return {name: _text(value) for name, value in answer.items()}


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

"""JSON as requests have it (RFC 8259), read strictly: what two readers could take for two things is refused.

A key twice, of which some take the first and some the last; numbers that there are not (NaN), or that become infinite;
bytes that are no UTF-8; characters that no database keeps.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from itertools import islice
from math import isfinite
from typing import Any, Final

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from api.http.errors import MOST_FAULTS, ApiError, Unreadable, invalid
from flows.faults import printable
from routing.models.sentences import shown_key

BASE: Final = "/v1.0"
"""What the paths of all operations begin with but those of health."""
DEEPEST: Final = 100
"""Objects and lists within each other. Actions may hold actions, and hardly anybody nests ten."""
_UNKEPT: Final = re.compile("[\x00\ud800-\udfff]")
# Only an escape can bring one of those: as they stand they are no UTF-8, or no JSON.
_ESCAPED: Final = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")


def read_json(body: bytes) -> Any:
    """The document. Raises Unreadable."""
    odd = _ESCAPED.search(body) is not None

    def number(text: str) -> float:
        nonlocal odd
        read = float(text)
        odd = odd or not isfinite(read)
        return read

    try:
        text = body.decode("utf-8-sig")
        document = json.loads(text, object_pairs_hook=_object, parse_constant=number, parse_float=number)
    except UnicodeDecodeError:
        raise _unreadable("is not UTF-8; encode it so (RFC 8259 §8.1)") from None
    except RecursionError:
        raise _unreadable("is nested too deeply; write it flatter") from None
    except ValueError as error:
        where = f" at character {error.pos}" if isinstance(error, json.JSONDecodeError) else ""
        raise _unreadable(f"cannot be read as JSON{where}; check its quotes, commas and numbers") from None
    if text.count("[") + text.count("{") > DEEPEST and _is_too_deep(document):
        raise _unreadable(f"is nested more than {DEEPEST} deep; write it flatter")
    if odd and (faults := list(islice(_unkept(document), MOST_FAULTS))):
        raise Unreadable(invalid(faults))
    return document


def _is_too_deep(document: Any) -> bool:
    """Whoever reads it on may do so by recursion, and it is then that they would fail."""
    layer = [document]
    for _ in range(DEEPEST + 1):
        layer = [
            inner
            for value in layer
            if isinstance(value, dict | list)
            for inner in (value.values() if isinstance(value, dict) else value)
        ]
    return any(isinstance(value, dict | list) for value in layer)


def _unreadable(problem: str) -> Unreadable:
    return Unreadable(ApiError("INVALID_JSON_BODY", f"the body {problem}"))


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        twice, _ = Counter(key for key, _ in pairs).most_common(1)[0]
        raise _unreadable(f'has the key "{printable(shown_key(twice))}" twice in one object; keep one of them')
    return made


def _unkept(value: Any, place: tuple[str | int, ...] = ()) -> Iterator[dict[str, Any]]:
    """What is wrong with values that nothing can keep, and where; a key stands for where it is."""
    if isinstance(value, str):
        if found := _UNKEPT.search(value):
            yield _fault(place, _problem(found[0]))
    elif isinstance(value, float):
        if not isfinite(value):
            yield _fault(place, "is no finite number; write digits, fewer of them")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _unkept(item, (*place, number))
    elif isinstance(value, dict):
        for key, item in value.items():
            named = _UNKEPT.sub("?", key)
            if found := _UNKEPT.search(key):
                yield _fault((*place, named), _problem(found[0]))
            yield from _unkept(item, (*place, named))


def _problem(character: str) -> str:
    return "holds a NUL character; remove it" if character == "\0" else "holds half a character; write the whole of it"


def _fault(place: Sequence[str | int], problem: str) -> dict[str, Any]:
    return {"type": "INVALID_REQUEST_PARAMETER", "loc": ("body", *place), "msg": problem}


class _StrictRequest(Request):
    async def json(self) -> Any:
        """The body."""
        return read_json(await self.body())


class StrictRoute(APIRoute):
    """An operation whose body is read by `read_json`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """See FastAPI, "Custom Request and APIRoute class"."""
        handle = super().get_route_handler()

        async def strictly(request: Request) -> Response:
            return await handle(_StrictRequest(request.scope, request.receive))

        return strictly


class Router(APIRouter):
    """The operations of a resource; `api.app` finds it under the name `router` in a module of `api.resources`.

    Attributes:
        about: What the documentation says of its group of operations; "" where another router of the group does.
        base: What its paths begin with.
    """

    def __init__(self, tag: str, about: str, base: str) -> None:
        super().__init__(tags=[tag], route_class=StrictRoute)
        self.tag = tag
        self.about = about
        self.base = base


def router_for(tag: str, about: str = "", *, base: str = BASE) -> Router:
    """The router of a resource. `tag` is what the documentation calls its group of operations, `about` what it says of
    them."""
    return Router(tag, about, base)


def body_examples(bodies: Mapping[str, Any]) -> dict[str, Any]:
    """The `openapi_extra` of an operation that takes a body: bodies that are accepted as they are, by what each is for.
    The one to be shown first comes first. Where a body must name something of the reader's own, that says what to put
    there."""
    shown = {summary: {"summary": summary, "value": body} for summary, body in bodies.items()}
    return {"requestBody": {"content": {"application/json": {"examples": shown}}}}


__all__ = ["BASE", "Router", "StrictRoute", "body_examples", "read_json", "router_for"]

"""Which methods a path takes: for 405 and its Allow header (RFC 9110 §15.5.6)."""

from collections.abc import Iterable
from re import Pattern

from fastapi.routing import iter_route_contexts
from starlette.responses import StreamingResponse
from starlette.routing import BaseRoute


class Methods:
    """The methods of every path that leads somewhere.

    Starlette names in Allow those of the first route at a path alone, and a route here has one method. And it would
    take `PUT /flows/validate` for a change of the flow with the id "validate": a path that is written out goes before
    one with parameters here, whatever the method.
    """

    def __init__(self, routes: Iterable[BaseRoute]) -> None:
        self._written_out: dict[str, set[str]] = {}
        self._patterns: list[tuple[Pattern[str], set[str]]] = []
        for route in iter_route_contexts(list(routes)):
            if not route.methods or route.path is None:
                continue
            methods = set(route.methods)
            # `api.http.requests` answers HEAD where there is a GET, but for streams, which have no end.
            if "GET" in methods and getattr(route, "response_class", None) is not StreamingResponse:
                methods.add("HEAD")
            if "{" in route.path:
                self._patterns.append((route.path_regex, methods))
            else:
                self._written_out.setdefault(route.path, set()).update(methods)

    def at(self, path: str) -> list[str]:
        """What the path takes, sorted; nothing where it leads nowhere."""
        found = self._written_out.get(path)
        if found is None:
            found = set().union(*(methods for pattern, methods in self._patterns if pattern.match(path)))
        return sorted(found)

    def refused(self, method: str, path: str) -> list[str]:
        """What a path that is written out takes in place of this method; nothing where it takes it, or where the path
        has parameters."""
        found = self._written_out.get(path)
        return [] if found is None or method in found else sorted(found)

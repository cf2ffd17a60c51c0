"""Sets of final SIP statuses as an operator writes them: `503`, `5xx`."""

import re
from collections.abc import Iterable

CodeList = list[int | str]

DEFAULT_FAILOVER_CODES: CodeList = ["3xx", 401, 402, 403, 405, 406, 407, 408, 415, 420, 421, 423, 488, "5xx"]
"""Statuses that speak for the trunk and not for the callee."""

_CLASS = re.compile(r"([3-6])[xX]{2}")


def canonical_codes(codes: Iterable[object]) -> CodeList:
    """The codes, numbers as int and classes as `5xx`, each once. Raises ValueError for what is neither."""
    result: CodeList = []
    for code in codes:
        # JSON knows one kind of number: 503.0 is 503.
        text = str(int(code) if isinstance(code, float) and code.is_integer() else code)
        match = _CLASS.fullmatch(text)
        item: int | str
        if match:
            item = f"{match[1]}xx"
        elif text.isascii() and text.isdigit() and len(text) == 3 and 300 <= int(text) <= 699:
            item = int(text)
        else:
            raise ValueError(f"{code!r} is no final status; write a number from 300 to 699, or a class such as 5xx")
        if item not in result:
            result.append(item)
    return result


def expand_codes(codes: Iterable[int | str]) -> frozenset[int]:
    """Every status that `codes` (in canonical form) stand for."""
    statuses: set[int] = set()
    for code in codes:
        if isinstance(code, int):
            statuses.add(code)
        else:
            first = int(code[0]) * 100
            statuses.update(range(first, first + 100))
    return frozenset(statuses)

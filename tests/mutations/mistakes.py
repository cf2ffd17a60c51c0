"""Mistakes made on purpose, found in the syntax tree: each is one change to one row of a table, or one line of code.

`row_mistakes` takes tables that are written as dict literals, flat or nested, and for each row: leaves it out, leads it
to another state, leaves one of its actions out, or changes its value. `code_mistakes` takes functions, and for each
line of theirs: turns a condition round, moves the boundary of a comparison, or leaves a statement out.
"""

import ast
from collections.abc import Iterator
from typing import NamedTuple


class Mistake(NamedTuple):
    """One change: what it is called, and the source with it."""

    name: str
    source: str


class _Source:
    """Text that is addressed by the positions of syntax nodes."""

    def __init__(self, text: str) -> None:
        self.raw = text.encode()
        self._starts = [0]
        for line in self.raw.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))

    def span(self, node: ast.AST) -> tuple[int, int]:
        start = self._starts[node.lineno - 1] + node.col_offset  # type: ignore[attr-defined]
        end = self._starts[node.end_lineno - 1] + node.end_col_offset  # type: ignore[attr-defined]
        return start, end

    def text(self, node: ast.AST) -> str:
        start, end = self.span(node)
        return self.raw[start:end].decode()

    def replaced(self, start: int, end: int, by: str) -> str:
        return (self.raw[:start] + by.encode() + self.raw[end:]).decode()

    def with_(self, node: ast.AST, by: str) -> str:
        return self.replaced(*self.span(node), by)


# ---- rows of tables


def row_mistakes(text: str, table: str) -> Iterator[Mistake]:
    """Mistakes in the dict literal that is assigned to `table` at module level. Raises LookupError: there is none."""
    source, literal = _Source(text), _table(text, table)
    for path, key, value, whole in _rows(literal, ()):
        row = " ".join([*(source.text(part) for part in path), source.text(key) if key else "**"])
        row = f"{table}: {' '.join(row.split())}"
        yield Mistake(f"{row} left out", _without(source, whole, key, value))
        for change, by in _changed_values(source, value, literal):
            yield Mistake(f"{row} {change}", by)


def _table(text: str, name: str) -> ast.Dict:
    for node in ast.parse(text).body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            value = node.value  # type: ignore[union-attr]
            if isinstance(value, ast.Call) and value.args:  # MappingProxyType({...}) and the like
                value = value.args[0]
            if isinstance(value, ast.Dict):
                return value
    raise LookupError(f"no dict literal is assigned to {name}")


Row = tuple[tuple[ast.expr, ...], ast.expr | None, ast.expr, ast.Dict]


def _rows(literal: ast.Dict, path: tuple[ast.expr, ...]) -> Iterator[Row]:
    for key, value in zip(literal.keys, literal.values, strict=True):
        if isinstance(value, ast.Dict) and key is not None:
            yield from _rows(value, (*path, key))
        else:
            yield path, key, value, literal


def _without(source: _Source, whole: ast.Dict, key: ast.expr | None, value: ast.expr) -> str:
    start = source.span(key)[0] if key is not None else source.raw.rindex(b"**", 0, source.span(value)[0])
    end = source.span(value)[1]
    last = source.span(whole)[1]
    comma = source.raw.find(b",", end, last)
    between = source.raw[end:comma] if comma >= 0 else b"-"
    return source.replaced(start, comma + 1 if not between.strip() else end, "")


def _changed_values(source: _Source, value: ast.expr, literal: ast.Dict) -> Iterator[tuple[str, str]]:
    if isinstance(value, ast.Tuple):
        for part in value.elts:
            if isinstance(part, ast.Tuple):
                for action in part.elts:
                    rest = [source.text(other) for other in part.elts if other is not action]
                    by = f"({', '.join(rest)}{',' if len(rest) == 1 else ''})"
                    yield f"without {source.text(action)}", source.with_(part, by)
            else:
                yield from _changed(source, part, _others(source, literal, value.elts.index(part)))
    elif isinstance(value, ast.Call):  # a value with names: its numbers and words are changed
        for part in [*value.args, *(keyword.value for keyword in value.keywords)]:
            yield from _changed(source, part, [])
    else:
        yield from _changed(source, value, _others(source, literal, None))


def _others(source: _Source, literal: ast.Dict, position: int | None) -> list[str]:
    """What stands at this position of the table's other rows."""
    found = []
    for _, _, value, _ in _rows(literal, ()):
        if position is None:
            found.append(source.text(value))
        elif isinstance(value, ast.Tuple) and position < len(value.elts):
            found.append(source.text(value.elts[position]))
    return found


def _changed(source: _Source, node: ast.expr, others: list[str]) -> Iterator[tuple[str, str]]:
    old = source.text(node)
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield f"is {not node.value}", source.with_(node, str(not node.value))
    elif isinstance(node, ast.Constant) and isinstance(node.value, int):
        yield f"is {node.value + 1}", source.with_(node, str(node.value + 1))
    elif isinstance(node, ast.Constant) and node.value is None:
        yield "is True", source.with_(node, "True")
    else:
        for other in others:
            if other != old:
                yield f"leads to {other} instead of {old}", source.with_(node, other)
                break


# ---- lines of code

_BOUNDARIES: dict[type[ast.cmpop], str] = {ast.Lt: "<=", ast.LtE: "<", ast.Gt: ">=", ast.GtE: ">"}


def code_mistakes(text: str, function: str) -> Iterator[Mistake]:
    """Mistakes in one function or method ("Class.method"). Raises LookupError: there is none of that name."""
    source, found = _Source(text), _function(text, function)
    for node in ast.walk(found):
        if isinstance(node, ast.If | ast.IfExp):
            yield _named(function, source, node.test, "turned round", f"(not ({source.text(node.test)}))")
        if isinstance(node, ast.BoolOp):
            for part in node.values:
                neutral = "True" if isinstance(node.op, ast.And) else "False"
                yield _named(function, source, part, f"taken for {neutral}", neutral)
        if isinstance(node, ast.Compare) and type(node.ops[0]) in _BOUNDARIES:
            left, right = source.text(node.left), source.text(node.comparators[0])
            operator = _BOUNDARIES[type(node.ops[0])]
            yield _named(function, source, node, f"with {operator}", f"({left} {operator} {right})")
        if isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant):
            yield _named(function, source, node, "left out", "pass")


def _named(function: str, source: _Source, node: ast.expr | ast.stmt, change: str, by: str) -> Mistake:
    return Mistake(f"{function}: {' '.join(source.text(node).split())[:70]} {change}", source.with_(node, by))


def _function(text: str, name: str) -> ast.AST:
    node: ast.AST = ast.parse(text)
    for part in name.split("."):
        inner = [child for child in ast.iter_child_nodes(node) if getattr(child, "name", None) == part]
        if not inner:
            raise LookupError(f"there is no {name}")
        node = inner[0]
    return node

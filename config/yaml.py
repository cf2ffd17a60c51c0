"""A YAML file as plain data that remembers its lines.

The scalars are those of the YAML 1.2 core schema and not PyYAML's own YAML 1.1: there `+15551234567` is a number,
`0015551234567` an octal one, `no` is false and `12:30` is 750, and every one of these is a trap in a file of telephone
numbers. Here only `true` and `false` are booleans, and what begins with `+` or a zero stays text.
"""

import re
from pathlib import Path
from typing import Any

import yaml

from config.faults import ConfigurationError, Fault, FieldPath

_MERGE_TAG = "tag:yaml.org,2002:merge"
_NAMED = re.compile(r"(alias|anchor|tag handle) '[^']*'")  # a password may begin with * or !
_BARE_HASH = re.compile(r"[\[{].*(?:[:,]\s+|\[\s*)#")  # where a value should begin, within brackets


class _CoreLoader(yaml.SafeLoader):
    """SafeLoader with the YAML 1.2 scalars; it composes nodes, `Document` turns them into values."""


# libyaml, where PyYAML has it: ten times as fast, which thousands of numbers are glad of. Its words for faults are its
# own, so what it refuses is read once more by the other one.
_FastLoader: Any = type("_FastLoader", (getattr(yaml, "CSafeLoader", _CoreLoader),), {})

# Their own tables: add_implicit_resolver would otherwise start from a copy of the YAML 1.1 rules.
_CoreLoader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", [*"~nN", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", [*"tTfF"]),
    ("int", r"-?(?:0|[1-9][0-9]*)", [*"-0123456789"]),
    ("float", r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?|-?\.[0-9]+", [*"-.0123456789"]),
    ("merge", r"<<", ["<"]),
):
    _CoreLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_pattern})\Z"), _first)
_FastLoader.yaml_implicit_resolvers = _CoreLoader.yaml_implicit_resolvers


class Document:
    """A parsed file: its `data`, and the line of any field in it."""

    def __init__(self, name: str, root: yaml.Node | None, data: Any) -> None:
        self.name = name
        self.data = data
        self._root = root

    @classmethod
    def read(cls, path: Path) -> "Document":
        """Read and parse a file. Raises ConfigurationError: unreadable, not UTF-8, no YAML, a key given twice."""
        name = str(path)
        try:
            raw = path.read_bytes()
        except OSError as error:
            reason = error.strerror or str(error)
            problem = f"cannot be read: {reason}; check the path and the permissions"
            raise ConfigurationError([Fault(name, (), problem)]) from None
        try:
            text = raw.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = raw.count(b"\n", 0, error.start) + 1
            problem = f"byte 0x{raw[error.start]:02x} is not UTF-8; save the file as UTF-8"
            raise ConfigurationError([Fault(f"{name}:{line}", (), problem, line)]) from None
        return cls.parse(name, text)

    @classmethod
    def parse(cls, name: str, text: str) -> "Document":
        """Parse YAML text. Raises ConfigurationError as `read` does."""
        try:
            try:
                root = yaml.compose(text, _FastLoader)
            except yaml.YAMLError:
                root = yaml.compose(text, _CoreLoader)
            reader = _Reader(name)
            data = None if root is None else reader.value(root, ())
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = mark.line + 1 if mark else 0
            what = ", ".join(part for part in (error.context, error.problem) if part)
            what = _NAMED.sub(r"\1", what)
            problem = f"not valid YAML: {what}; {_advice(text, line, str(error.problem))}"
            raise ConfigurationError([Fault(f"{name}:{line}", (), problem, line)]) from None
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            problem = f"not valid YAML: the character U+{ord(text[error.position]):04X} is not allowed; remove it"
            raise ConfigurationError([Fault(f"{name}:{line}", (), problem, line)]) from None
        except RecursionError:
            raise ConfigurationError([Fault(name, (), "nested too deeply; write it flatter")]) from None
        if reader.faults:
            raise ConfigurationError(reader.faults)
        return cls(name, root, data)

    def line(self, path: FieldPath) -> int:
        """The line of a field's key, counted from 1; of the nearest enclosing field where this one is not written."""
        node = self._root
        line = 1
        for key in path:
            if isinstance(node, yaml.MappingNode):
                for key_node, value_node in node.value:
                    if key_node.value == key:
                        line, node = key_node.start_mark.line + 1, value_node
                        break
                else:
                    return line
            elif isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
                node = node.value[key]
                line = node.start_mark.line + 1
            else:
                return line
        return line

    def place(self, path: FieldPath) -> str:
        """`FILE:LINE` of a field."""
        return f"{self.name}:{self.line(path)}"


class _Reader:
    """Turns nodes into values and collects what is wrong on the way."""

    def __init__(self, name: str) -> None:
        self.faults: list[Fault] = []
        self._name = name
        self._merging = _CoreLoader("")
        # By identity: an aliased node is read once, so a few lines of nested aliases cannot fill the memory.
        self._values: dict[int, Any] = {}
        self._open: set[int] = set()

    def value(self, node: yaml.Node, path: FieldPath) -> Any:
        identity = id(node)
        if identity in self._values:
            return self._values[identity]
        if identity in self._open:
            self._fault(node, path, "an alias inside its own anchor; write the value out")
            return None
        self._open.add(identity)
        if isinstance(node, yaml.MappingNode):
            value: Any = self._mapping(node, path)
        elif isinstance(node, yaml.SequenceNode):
            value = [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        else:
            value = self._scalar(node, path)
        self._open.discard(identity)
        self._values[identity] = value
        return value

    def _mapping(self, node: yaml.MappingNode, path: FieldPath) -> dict[str, Any]:
        first_lines: dict[str, int] = {}
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._fault(key_node, path, "a key must be a plain name; check indentation and brackets here")
                return {}
            line = key_node.start_mark.line + 1
            if key_node.tag == _MERGE_TAG:
                continue
            if key_node.value in first_lines:
                problem = f"given twice, first on line {first_lines[key_node.value]}; keep one of the two"
                self._fault(key_node, (*path, key_node.value), problem)
            first_lines.setdefault(key_node.value, line)
        if any(key_node.tag == _MERGE_TAG for key_node, _ in node.value):
            self._merging.flatten_mapping(node)
        # Merged keys come first, so that the mapping's own keys win.
        return {key_node.value: self.value(item, (*path, key_node.value)) for key_node, item in node.value}

    def _scalar(self, node: yaml.Node, path: FieldPath) -> Any:
        match node.tag.removeprefix("tag:yaml.org,2002:"):
            case "str" | "merge":
                return node.value
            case "null":
                return None
            case "bool" if node.value.lower() in ("true", "false"):
                return node.value.lower() == "true"
            case "int" if re.fullmatch(r"-?[0-9]{1,4000}", node.value):
                return int(node.value)
            case "float" if re.fullmatch(r"-?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?", node.value):
                return float(node.value)
            case _:
                self._fault(
                    node, path, "a YAML tag is not understood here; write a plain value, in quotes if it begins with !"
                )
                return None

    def _fault(self, node: yaml.Node, path: FieldPath, problem: str) -> None:
        line = node.start_mark.line + 1
        self.faults.append(Fault(f"{self._name}:{line}", path, problem, line))


def _advice(text: str, line: int, problem: str) -> str:
    """What to look at where YAML gave up: telephone keys and variables are what people forget to quote."""
    lines = text.splitlines()
    for number in (line, line - 1):
        if 0 < number <= len(lines) and _BARE_HASH.search(lines[number - 1]):
            return f"a # begins a comment unless it is in quotes: look at line {number}"
    if problem.endswith("got '{'") and 0 < line <= len(lines) and "${" in lines[line - 1]:
        return "put a text with ${ in quotes"
    return "check indentation, colons and quotes here"

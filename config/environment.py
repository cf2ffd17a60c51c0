"""Environment variables: overrides (`TRUNKLINE_SIP__LISTEN`) and secrets (`${NAME}`)."""

import json
import re
from collections.abc import Collection, Container, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, NamedTuple, get_origin

from pydantic import BaseModel

from config.faults import Fault, FieldPath, format_path
from flows.faults import printable

PREFIX = "TRUNKLINE_"
_REFERENCE = re.compile(r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)\}|\$\{")


def environment_place(name: str) -> str:
    """The place that a fault in an environment variable is reported at."""
    return f"environment variable {name}"


@dataclass(slots=True)
class Overrides:
    """Settings that environment variables give: the variable behind each path, and what was wrong with the others."""

    names: dict[FieldPath, str] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    def variable(self, path: FieldPath) -> str | None:
        """The variable that a field's value comes from; None where it comes from the file."""
        for length in range(len(path), 0, -1):
            if name := self.names.get(path[:length]):
                return name
        return None


def override(
    data: dict[str, Any], environ: Mapping[str, str], settings: type[BaseModel], lists: Collection[str]
) -> Overrides:
    """Write the values of `TRUNKLINE_…` variables into `data`, sections separated by two underscores.

    Lists are JSON or separated by commas, whole sections and the resource `lists` JSON, everything else plain text.
    A variable without `__` that names no setting is left alone: it may be a secret that the file refers to.
    """
    overrides = Overrides()
    # Whole sections before their members, so that the narrower variable wins.
    for name in sorted(environ, key=lambda name: (name.count("__"), name)):
        if not name.startswith(PREFIX):
            continue
        segments = name.removeprefix(PREFIX).lower().split("__")
        path: FieldPath = tuple(segments)
        annotation: Any = list if len(path) == 1 and path[0] in lists else _annotation(settings, segments)
        if annotation is None:
            if len(segments) > 1:
                overrides.faults.append(_unknown(name, path, settings))
            continue
        try:
            value = _parse(annotation, environ[name])
        except ValueError as error:
            overrides.faults.append(Fault(environment_place(name), path, str(error)))
            continue
        target = data
        for key in segments[:-1]:
            if not isinstance(target.get(key), dict):
                target[key] = {}
            target = target[key]
        target[segments[-1]] = value
        overrides.names[path] = name
    return overrides


def _annotation(settings: type[BaseModel], segments: list[str]) -> Any:
    model: Any = settings
    for segment in segments:
        if not (isinstance(model, type) and issubclass(model, BaseModel)) or segment not in model.model_fields:
            return None
        model = model.model_fields[segment].annotation
    return model


def _parse(annotation: Any, text: str) -> Any:
    is_list = annotation is list or get_origin(annotation) is list
    is_section = isinstance(annotation, type) and issubclass(annotation, BaseModel)
    if is_section or (is_list and text.lstrip().startswith("[")) or annotation is list:
        try:
            return json.loads(text)
        except ValueError as error:
            raise ValueError(f"not valid JSON: {str(error).lower()}; correct it") from None
    if is_list:
        return [item for part in text.split(",") if (item := part.strip())]
    return text


def _unknown(name: str, path: FieldPath, settings: type[BaseModel]) -> Fault:
    known = list(_variable_names(settings, PREFIX))
    close = get_close_matches(name, known, n=1, cutoff=0.8)
    advice = f"did you mean {close[0]}?" if close else "remove the variable or correct its name"
    return Fault(environment_place(name), (), f"there is no setting {format_path(path)}; {advice}")


def _variable_names(model: type[BaseModel], prefix: str) -> list[str]:
    names = []
    for key, info in model.model_fields.items():
        name = prefix + key.upper()
        names.append(name)
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            names += _variable_names(info.annotation, name + "__")
    return names


class _Use(NamedTuple):
    """A text of the file that `${NAME}` was replaced in."""

    path: FieldPath
    written: str
    expanded: str
    values: list[tuple[str, str]]


@dataclass(slots=True)
class Secrets:
    """Replaces `${NAME}` by what the environment holds, and keeps those values out of messages."""

    faults: list[tuple[FieldPath, str]] = field(default_factory=list)
    _uses: list[_Use] = field(default_factory=list)

    def expand(self, value: Any, path: FieldPath, environ: Mapping[str, str], skipped: Container[FieldPath]) -> Any:
        """`value` with every `${NAME}` in its texts replaced, and `$${` as a plain `${`; but at `skipped` paths."""
        if path in skipped:
            return value
        if isinstance(value, dict):
            return {key: self.expand(item, (*path, key), environ, skipped) for key, item in value.items()}
        if isinstance(value, list):
            return [self.expand(item, (*path, index), environ, skipped) for index, item in enumerate(value)]
        if not isinstance(value, str) or "${" not in value:
            return value
        values: list[tuple[str, str]] = []

        def replacement(match: re.Match[str]) -> str:
            name = match[1]
            if match[0] == "$${":
                return "${"
            if name is None:
                problem = "${ begins the name of an environment variable; close it with }, or write $${ for a plain ${"
                self.faults.append((path, problem))
            elif name not in environ:
                self.faults.append((path, f"the environment variable {name} is not set; export it"))
            else:
                values.append((name, environ[name]))
                return environ[name]
            return match[0]

        expanded = _REFERENCE.sub(replacement, value)
        if values:
            self._uses.append(_Use(path, value, expanded, values))
        return expanded

    def hide(self, text: str, path: FieldPath) -> str:
        """`text` about the field at `path`, with what secrets brought into it, or into a field within it, put back to
        `${NAME}`."""
        for use in self._uses:
            length = min(len(use.path), len(path))
            if use.path[:length] != path[:length]:
                continue
            for secret, public in (
                (use.expanded, use.written),
                *((value, f"${{{name}}}") for name, value in use.values),
            ):
                # Messages quote a value as it is, as repr does, or shortened.
                for form in (secret, repr(secret)[1:-1], printable(secret)):
                    text = text.replace(form, public) if form else text
        return text

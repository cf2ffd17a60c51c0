"""The first configuration of a machine: from a few answers to a commented file that works as it is."""

import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import phonenumbers

from config.loading import load
from service.cli.support.carriers import CARRIERS

ECHO: Final = "+899100000001"
"""Who calls this virtual number hears itself."""
_LATER_NAME: Final = "CARRIER_PASSWORD"
LATER: Final = f"${{{_LATER_NAME}}}"
"""In place of a password at the carrier that nobody has typed: the environment of `serve` has it."""
_LETTERS: Final = "abcdefghjkmnpqrstuvwxyz23456789"  # none that is taken for another one when it is typed into a phone


def new_password() -> str:
    """Sixteen letters and digits that are easily typed: 79 bits."""
    return "".join(secrets.choice(_LETTERS) for _ in range(16))


@dataclass(frozen=True, slots=True, kw_only=True)
class Trunk:
    """How a carrier is reached. `carrier` is one of `CARRIERS`; `password` may be a `${NAME}`."""

    carrier: str
    hostname: str
    username: str = ""
    password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What `trunkline init` has been told. `phones` are names with their passwords, `numbers` in E.164."""

    address: str
    phones: Sequence[tuple[str, str]] = field(default=(), repr=False)
    trunk: Trunk | None = None
    numbers: Sequence[str] = ()


def write(answers: Answers) -> str:
    """The text of the configuration file."""
    sections = (_sip, _extensions, _trunk, _numbers, _flows)
    return "\n".join("\n".join(section) + "\n" for make in sections if (section := [*make(answers)]))


def checked(text: str, file: Path) -> list[str]:
    """Warnings about a configuration that is to be written, as `trunkline check` would say them. Raises
    ConfigurationError for what is wrong with it."""
    with TemporaryDirectory() as folder, _password_given():
        draft = Path(folder) / file.name
        keep(text, draft)
        return [warning.replace(str(draft), str(file)) for warning in load(draft).warnings]


@contextmanager
def _password_given() -> Iterator[None]:
    """What is to be in the environment of `serve` may not be there yet."""
    missing = _LATER_NAME not in os.environ
    os.environ.setdefault(_LATER_NAME, "-")
    try:
        yield
    finally:
        if missing:
            del os.environ[_LATER_NAME]


def keep(text: str, file: Path) -> None:
    """Writes a file that nobody but its owner may read. Raises FileExistsError: what is there is left as it is."""
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as to:
        to.write(text)


def steps(answers: Answers, file: str) -> list[str]:
    """What remains to be done with phones, at the carrier, and here."""
    lines = []
    if answers.phones:
        lines.append(f"phones: user name and password as in {file}; domain (registrar, server) {answers.address}")
        lines.append(f"        dial {ECHO} to hear yourself" + _each_other(answers))
    if answers.trunk is not None:
        carrier = CARRIERS[answers.trunk.carrier]
        said = [wish.format(address=answers.address) for wish in carrier.portal]
        lines += [f"at {carrier.title}:", *(f"        {wish}" for wish in said)]
        if answers.trunk.password == LATER:
            lines.append(f"before `serve`, your password there: export {_LATER_NAME}=...")
    return [*lines, f"then:   trunkline check -c {file}", f"        trunkline serve -c {file}"]


def _each_other(answers: Answers) -> str:
    return f", {answers.phones[1][0]} to ring the other" if len(answers.phones) > 1 else ""


def _sip(answers: Answers) -> Iterator[str]:
    yield "# Written by `trunkline init`. docs/configuration.md has every setting; `trunkline check` finds mistakes."
    yield "# It holds passwords: nobody but its owner may read it."
    yield "sip:"
    yield f'  listen: ["udp://{answers.address}:5060", "tcp://{answers.address}:5060"]'
    yield '  # advertise: "203.0.113.9"        # the address outside, where this machine is behind a NAT'
    yield "  trusted_networks: []               # who may dial out without a password: nobody"
    if answers.trunk is not None or answers.phones:
        yield "media:"
        yield "  phones: anchor                     # two phones behind two NATs hear each other through this machine"
    if country := _country(answers.numbers):
        yield "numbering:"
        yield f"  default_country: {country}                # numbers may be dialled as at home"


def _extensions(answers: Answers) -> Iterator[str]:
    if not answers.phones:
        return
    shown = f', caller_id: "{answers.numbers[0]}"' if answers.numbers else ""
    yield "extensions:                          # whom phones log in as"
    for name, password in answers.phones:
        yield f'  - {{name: "{name}", password: "{password}"{shown}}}'
    if not answers.numbers:
        yield '  # caller_id: "+15551234567" beside a name is the number that the called see of its calls'


def _trunk(answers: Answers) -> Iterator[str]:
    trunk = answers.trunk
    if trunk is None:
        return
    carrier = CARRIERS[trunk.carrier]
    yield f"providers:                           # {carrier.title}"
    yield f"  - name: {trunk.carrier}"
    yield f'    hostname: "{trunk.hostname}"'
    if trunk.username:
        yield f"    username: {_quoted(trunk.username)}"
        yield f"    password: {_quoted(trunk.password)}"
    yield from (f"    {line}" for line in carrier.fields)
    yield "routes:"
    yield f"  - {{target: all, provider: {trunk.carrier}}}      # all foreign numbers: docs/routing.md"


def _numbers(answers: Answers) -> Iterator[str]:
    yield "numbers:                             # what can be called here, and the flow that each call runs"
    for number in answers.numbers:
        provider = f", provider: {answers.trunk.carrier}" if answers.trunk is not None else ""
        yield f'  - {{number: "{number}"{provider}, call_flow: {"desk" if answers.phones else "echo"}}}'
    yield f'  - {{number: "{ECHO}", call_flow: echo}}       # a number of this machine alone'


def _flows(answers: Answers) -> Iterator[str]:
    yield "flows:"
    if answers.numbers and answers.phones:
        yield "  - name: desk                       # all phones ring"
        yield "    actions:"
        yield "      - type: connect"
        yield "        option:"
        yield "          ring_timeout: 30"
        yield "          destinations:"
        for name, _ in answers.phones:
            yield f'            - {{type: extension, target: "{name}"}}'
    yield "  - name: echo                       # who calls hears itself"
    yield "    actions: [{type: answer}, {type: echo, option: {duration: 60000}}]"


def _country(numbers: Sequence[str]) -> str:
    """ISO 3166 code of the first number's country; "" for none."""
    if not numbers:
        return ""
    region = phonenumbers.region_code_for_number(phonenumbers.parse(numbers[0]))
    return region if region is not None and len(region) == 2 and region.isalpha() else ""


def _quoted(text: str) -> str:
    """As YAML in double quotes. `${` begins no variable but ours, whatever somebody's password is."""
    text = text if text == LATER else text.replace("${", "$${")
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

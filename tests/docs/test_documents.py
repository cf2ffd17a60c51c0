"""What README and docs/ show is run: configurations are loaded, programs started, commands given, tables compared.

A fenced block says by its info string what it is: `yaml` a configuration that is in order, `yaml broken` one for the
`console` block behind it, `console` commands with their output, `python program` a whole program, `python flows` a
module of flows. A table that is compared has a comment before it.
"""

import asyncio
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer.main
import yaml
from pydantic import BaseModel

from config.loading import load
from config.settings import Settings
from engine import Call, CallEnded, DialSpec, Outcome, UserAgent
from flows.actions import ACTIONS
from routing.directory.trunk import Trunk
from routing.models.declared import DeclaredNumber, DeclaredRoute
from routing.models.provider import Provider
from routing.numbers.normalise import normalise_dialled
from routing.settings import RoutingSettings
from service.cli.commands import cli, main
from service.node import Node
from service.python_flows import python_flow_names
from tests.network import reserved_port

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FLOW_MODULE = "hotline.py"


class Block(NamedTuple):
    """A fenced block: page and line for messages, the words behind the fence, the text."""

    place: str
    info: str
    text: str


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page."""
    info, start, lines = "", 0, list[str]()
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if not line.startswith("```"):
            lines.append(line)
        elif start:
            yield Block(f"{page.name}:{start}", info, "\n".join(lines) + "\n")
            start = 0
        else:
            info, start, lines = line.removeprefix("```").strip(), number, []
    assert not start, f"{page.name}:{start}: a fence is not closed"


def table(page: Path, name: str) -> list[list[str]]:
    """The cells of the table behind `<!-- name -->`, without its head."""
    _, mark, after = page.read_text(encoding="utf-8").partition(f"<!-- {name} -->\n")
    assert mark, f"{page.name} has no table {name}"
    rows = []
    for line in after.splitlines():
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
    return rows[2:]


def code(cell: str) -> str:
    """The text of a cell that is one code span."""
    match = re.fullmatch(r"`([^`]+)`", cell)
    assert match, f"{cell!r} is no code span"
    return match[1]


ALL = [block for page in PAGES for block in blocks(page)]
INFOS = (
    "", "yaml", "yaml broken", "yaml python", "console", "python program", "python flows",
    "console demo",  # test_cli_page.py
    "sh queues", "json queues",  # tests/peers/test_queues.py
    "yaml api", "sh api", "json api", "python api",  # test_api_page.py
    "yaml security", "sh security start", "sh security", "json security",  # test_security_page.py
    "yaml phones", "sh phones start", "sh phones", "baresip phones", "linphone phones",  # test_phones_page.py
    "python lcr",  # tests/peers/test_route_lookup.py
    "haproxy", "nginx",  # tests/peers/test_web_proxy.py
    "yaml https", "sh https", "sh certbot",  # test_tls_page.py; certbot itself is not run
    "sh sqlite", "yaml nodes", "sh nodes", "json nodes",  # test_store_page.py
)  # fmt: skip


def shown(info: str, page: str = "") -> list[Any]:
    """The blocks with these words, as parameters of a test."""
    found = [block for block in ALL if block.info == info and block.place.startswith(page)]
    return [pytest.param(block, id=block.place) for block in found]


def test_every_block_says_what_it_is() -> None:
    assert [block.place for block in ALL if block.info not in INFOS] == []


@pytest.mark.parametrize("block", shown("yaml"))
def test_a_shown_configuration_is_in_order(block: Block, tmp_path: Path) -> None:
    path = tmp_path / "shown.yaml"
    path.write_text(block.text)
    environ = dict.fromkeys(re.findall(r"\$\{([A-Z_]+)\}", block.text), "a long secret") | {"SECRET_KEY": "A" * 43}
    configuration = load(path, environ)
    assert configuration.warnings == []
    assert configuration.notices == []


@pytest.mark.parametrize("block", shown("console"))
def test_a_shown_command_prints_what_is_shown(
    block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "config", "config", ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    for other in ALL:
        if other.info == "yaml broken" and other.place.split(":")[0] == block.place.split(":")[0]:
            Path("broken.yaml").write_text(other.text)
    commands = re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]
    assert commands
    for command in commands:
        line, _, expected = command.partition("\n")
        words = line.removeprefix(".venv/bin/").split()
        assert words[0] == "trunkline"
        main(words[1:])
        said = capsys.readouterr()
        assert said.out + said.err == expected


# ---- tables


def settings_rows() -> list[Any]:
    return [pytest.param(row, id=row[0].strip("`")) for row in table(ROOT / "docs/configuration.md", "settings")]


@pytest.mark.parametrize("row", settings_rows())
def test_a_setting_has_the_default_and_takes_the_example_of_the_table(row: list[str]) -> None:
    path = code(row[0]).split(".")

    def value(text: str) -> Any:
        given: Any = yaml.safe_load(text)
        for key in reversed(path):
            given = {key: given}
        found: Any = Settings.model_validate(given)
        for key in path:
            found = getattr(found, key)
        return found

    default: Any = Settings()
    for key in path:
        default = getattr(default, key)
    assert value(code(row[2])) == default
    if row[4]:
        value(code(row[4]))


def test_the_table_has_every_setting() -> None:
    def names(model: type[BaseModel], before: str = "") -> Iterator[str]:
        for name, info in model.model_fields.items():
            if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
                yield from names(info.annotation, f"{before}{name}.")
            else:
                yield before + name

    listed = [code(row[0]) for row in table(ROOT / "docs/configuration.md", "settings")]
    assert sorted(listed) == sorted(names(Settings))


# What a file may hold and the pages say in the words of another field, or what only a later API will fill in.
IMPLIED = {
    "id", "type", "detail", "customer_id", "region", "city", "tm_create", "tm_update", "tm_delete", "tm_purchase",
    "call_flow_id", "message_flow_id", "provider_id", "health_status", "health_checked_at", "name",
}  # fmt: skip


@pytest.mark.parametrize("model", [DeclaredNumber, Provider, DeclaredRoute], ids=lambda model: str(model.__name__))
def test_the_tables_of_fields_are_complete_and_their_defaults_right(model: type[BaseModel]) -> None:
    rows = table(ROOT / "docs/routing.md", f"fields: {model.__name__}")
    listed = {code(row[0]): row[1] for row in rows}
    assert set(listed) <= set(model.model_fields)
    assert set(model.model_fields) - set(listed) <= IMPLIED
    for name, cell in listed.items():
        field = model.model_fields[name]
        if cell == "required":
            assert field.is_required(), name
            continue
        default = field.get_default(call_default_factory=True)
        default = str(default) if name.endswith("_id") else default
        default = default.model_dump() if isinstance(default, BaseModel) else default
        assert yaml.safe_load(code(cell)) == default, name


def test_the_table_of_actions_has_every_action_with_its_options_and_defaults() -> None:
    rows = table(ROOT / "docs/flows.md", "actions")
    assert sorted(code(row[0]) for row in rows) == sorted(ACTIONS)
    for row in rows:
        fields = ACTIONS[code(row[0])].options.model_fields
        options = dict(re.findall(r"`(\w+)`(?: \(([^)]*)\))?", row[1]))
        assert set(options) == set(fields), row[0]
        for name, default in options.items():
            if default:
                assert str(yaml.safe_load(default)) == str(fields[name].get_default()), (row[0], name)


@pytest.mark.parametrize("row", table(ROOT / "docs/routing.md", "dialled"), ids=lambda row: row[0].strip("`"))
def test_dialled_forms_are_read_as_the_table_says(row: list[str]) -> None:
    settings = RoutingSettings(**yaml.safe_load(code(row[1])))
    expected = {"an extension": ("extension", ""), "too long": ("overlong", "")}.get(row[2], ("number", row[2]))
    assert normalise_dialled(code(row[0]), settings)[:2] == expected


@pytest.mark.parametrize("row", table(ROOT / "docs/routing.md", "dial strings"), ids=lambda row: row[0].strip("`"))
def test_dial_strings_are_those_of_the_table(row: list[str]) -> None:
    trunk = Trunk.of(Provider(hostname="sip.carrier.example", **yaml.safe_load(code(row[0]))))
    assert trunk.request_uri("+15551234567") == code(row[1])
    assert trunk.request_uri("+442079460123") == code(row[2])


def test_every_command_and_option_is_described() -> None:
    text = (ROOT / "docs/cli.md").read_text(encoding="utf-8")
    group = typer.main.get_command(cli)
    missing = []
    commands = dict(group.commands)  # type: ignore[attr-defined]
    commands |= {f"flow {name}": command for name, command in commands["flow"].commands.items()}
    del commands["flow"]
    for name, command in commands.items():
        _, found, section = text.partition(f"\n## {name}\n")
        section = section.partition("\n## ")[0]
        section += text.partition("\n## ")[0]  # what all commands have
        options = [option for param in command.params for option in param.opts if option.startswith("--")]
        missing += [f"{name} {option}" for option in options if not found or option not in section]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.name))
def test_links_lead_to_files_and_headings_that_exist(page: Path) -> None:
    broken = []
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        name, _, heading = target.partition("#")
        if name.startswith("http"):
            continue
        file = (page.parent / name).resolve() if name else page
        if not file.exists():
            broken.append(target)
        elif heading:
            titles = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            anchors = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
            if heading not in anchors:
                broken.append(target)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.name))
def test_files_that_are_named_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    names = re.findall(r"(?<![\w./-])((?:engine|routing|flows|config|service|tests|scripts)/[\w/.]*\w)", text)
    assert [name for name in names if not (ROOT / name).exists()] == []


# ---- programs


async def call_to(host: str, port: int, user: str = "anybody", caller: str = "tester") -> Outcome:
    """Calls, hangs up when answered, and gives the outcome."""
    agent = UserAgent(lambda call: None)
    await agent.start(["udp://127.0.0.1:0"])
    try:
        uri = f"sip:{user}@{host}:{port}"
        leg = agent.dial(
            DialSpec(
                request_uri=uri, destination=uri, from_=f"<sip:{caller}@127.0.0.1>", to=f"<{uri}>", no_reply_timeout=10
            )
        )
        outcome = await leg.outcome()
        leg.hangup()
        await leg.wait_ended()
        return outcome
    finally:
        await agent.stop()


class Program:
    """A shown program, running in a process of its own."""

    def __init__(self, block: Block, ports: dict[str, int], directory: Path) -> None:
        text = block.text
        for written, port in ports.items():
            text = text.replace(written, str(port))
        path = directory / f"{block.place.replace(':', '_')}.py"
        path.write_text(text)
        self.process = subprocess.Popen(
            [sys.executable, str(path)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def __enter__(self) -> "Program":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()


def test_the_twenty_line_programs_answer_and_forward(tmp_path: Path) -> None:
    echo, forward, _ = [block for block in ALL if block.info == "python program"]
    ports = {"5070": reserved_port(), "5072": reserved_port()}
    with Program(echo, ports, tmp_path), Program(forward, ports, tmp_path):
        outcomes = [asyncio.run(call_to("127.0.0.1", port)) for port in ports.values()]
    assert [(outcome.kind, outcome.status) for outcome in outcomes] == [("answered", 200)] * 2


def test_the_program_that_plays_is_stopped_by_a_key(tmp_path: Path) -> None:
    *_, tone = [block for block in ALL if block.info == "python program"]
    port = reserved_port()

    async def press() -> int:
        agent = UserAgent(lambda call: None)
        await agent.start(["udp://127.0.0.1:0"])
        try:
            uri = f"sip:anybody@127.0.0.1:{port}"
            leg = agent.dial(
                DialSpec(
                    request_uri=uri, destination=uri, from_="<sip:tester@127.0.0.1>", to=f"<{uri}>", no_reply_timeout=10
                )
            )
            assert (await leg.outcome()).kind == "answered"
            with suppress(CallEnded):  # a key counts from its first packet: the end may come before the last
                await leg.send_keys("1#", 0.06, 0.06)
            await asyncio.wait_for(leg.wait_ended(), 30)
            assert leg.media is not None
            return int(leg.media["received"])
        finally:
            await agent.stop()

    with Program(tone, {"5074": port}, tmp_path) as program:
        assert asyncio.run(press()) > 5
        assert program.process.stdout is not None
        assert program.process.stdout.readline() == "pressed #\n"


@pytest.mark.parametrize(
    ("caller", "ended"),
    [("+14155550123", ("answered", 200)), ("+19005550123", ("refused", 603))],
    ids=["let in", "refused"],
)
def test_the_flow_in_python_refuses_and_connects(tmp_path: Path, caller: str, ended: tuple[str, int]) -> None:
    (module,) = [block for block in ALL if block.info == "python flows"]
    (document,) = [block for block in ALL if block.info == "yaml python"]
    (tmp_path / FLOW_MODULE).write_text(module.text)

    async def answer(call: Call) -> None:
        call.answer()
        await call.wait_ended()

    async def scenario() -> Outcome:
        carrier = UserAgent(answer)
        await carrier.start(["udp://127.0.0.9:0"])
        port = next(iter(carrier.listeners)).local[1]
        path = tmp_path / "python.yaml"
        path.write_text(document.text.replace("sip.carrier.example", f'"127.0.0.9:{port}"'))
        alone = {
            "TRUNKLINE_SIP__LISTEN": "udp://127.0.0.1:0",
            "TRUNKLINE_API__LISTEN": "",
            "TRUNKLINE_STORE": ":memory:",
        }
        node = Node(load(path, alone, python_flow_names))
        await node.start()
        try:
            return await call_to("127.0.0.1", next(iter(node.agent.listeners)).local[1], "+15551234567", caller)
        finally:
            await node.close()
            await carrier.stop()

    outcome = asyncio.run(scenario())
    assert (outcome.kind, outcome.status) == ended


@pytest.mark.parametrize(
    "setting",
    sorted(set(re.findall(r"`([a-z_]+):? ?", (ROOT / "docs/carriers.md").read_text().partition("|---|---|")[2]))),
)
def test_what_carriers_ask_for_is_a_setting_of_a_provider(setting: str) -> None:
    values = {"to", "p_called_party_id", "auto", "always", "never", "npdi", "rn", "cic", "isup", "user"}
    assert setting in {*Provider.model_fields, *DeclaredRoute.model_fields} | values

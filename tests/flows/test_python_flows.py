"""Flows written in Python: registration, and the actions as methods."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from flows.actions import ACTIONS
from flows.calls.address import Address
from flows.faults import ActionError
from flows.language.library import FlowLibrary, read_library
from flows.python.flows import FlowCall, FlowModuleError, compile_python, load_module

END = ("hangup", 480, "Q.850;cause=16")
GOOD = """
from flows.python import FlowCall, flow

@flow("hotline")
async def hotline(call: FlowCall) -> None:
    call.answer()
"""


def test_a_module_registers_flows_by_name(tmp_path: Path) -> None:
    (tmp_path / "my_flows.py").write_text(GOOD)
    found = load_module("my_flows.py", tmp_path)
    library = read_library(
        ACTIONS, [{"name": "a", "actions": [{"type": "fetch_flow", "option": {"flow_id": "hotline"}}]}], found
    )
    assert len(library) == 2
    program = library.find("hotline")
    assert program is not None
    assert library.find(program.id) is program
    assert load_module("my_flows.py", tmp_path).keys() == {"hotline"}


def test_a_dotted_module_is_run_again_on_reload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "flows_of_mine.py").write_text(GOOD)
    assert load_module("flows_of_mine").keys() == {"hotline"}
    (tmp_path / "flows_of_mine.py").write_text(GOOD.replace('"hotline"', '"desk_of_mine"') + "\n")
    assert load_module("flows_of_mine").keys() == {"desk_of_mine"}


@pytest.mark.parametrize("module", ["flows", "flows.menus", "flows.python", "service.node", "engine"])
def test_the_engines_own_package_is_no_module_of_flows(tmp_path: Path, module: str) -> None:
    before = sys.modules.get(module)
    with pytest.raises(FlowModuleError) as caught:
        load_module(module, tmp_path)
    path = tmp_path.joinpath(*module.split("."))
    assert str(caught.value) == (
        f"{module}: there is no file {path}.py, and the package {module.partition('.')[0]} is Trunkline's own; "
        "put the file beside the configuration"
    )
    assert sys.modules.get(module) is before


def test_a_dotted_module_beside_the_configuration_may_have_the_name_of_an_own_package(tmp_path: Path) -> None:
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "python.py").write_text(GOOD)
    before = sys.modules["flows"]
    assert load_module("flows.python", tmp_path).keys() == {"hotline"}
    assert sys.modules["flows"] is before


@pytest.mark.parametrize("name", ["json", "flows", "service", "config", "test", "typing", "pytest"])
@pytest.mark.parametrize("package", [False, True])
def test_the_file_beside_the_configuration_goes_first_whatever_else_is_called_so(
    tmp_path: Path, name: str, package: bool
) -> None:
    before = sys.modules.get(name)
    path = tmp_path / name / "__init__.py" if package else tmp_path / f"{name}.py"
    path.parent.mkdir(exist_ok=True)
    path.write_text(GOOD)
    assert load_module(name, tmp_path).keys() == {"hotline"}
    path.write_text(GOOD.replace('"hotline"', '"hotlime"'))  # of one size, within one second
    assert load_module(name, tmp_path).keys() == {"hotlime"}
    assert sys.modules.get(name) is before


def test_a_module_in_a_package_beside_the_configuration_imports_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "json" / "calls").mkdir(parents=True)
    (tmp_path / "json" / "names.py").write_text("NAME = 'first'\n")
    text = "from ..names import NAME\n" + GOOD.replace('"hotline"', "NAME")
    (tmp_path / "json" / "calls" / "desk.py").write_text(text)
    assert load_module("json.calls.desk", tmp_path).keys() == {"first"}
    (tmp_path / "json" / "names.py").write_text("NAME = 'the second'\n")
    assert load_module("json.calls.desk", tmp_path).keys() == {"the second"}
    (tmp_path / "json" / "__init__.py").write_text("raise ValueError('no')")
    with pytest.raises(FlowModuleError, match=r"json\.calls\.desk: line 1: ValueError: no; mend it"):
        load_module("json.calls.desk", tmp_path)


def test_without_a_file_beside_the_configuration_what_python_knows_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.syspath_prepend(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "flows_from_elsewhere.py").write_text(GOOD)
    (tmp_path / "flows_from_elsewhere").mkdir()  # a folder is no module
    assert load_module("flows_from_elsewhere", tmp_path).keys() == {"hotline"}


FAULTS = [
    (None, "m.py: there is no file {path}; write its path as seen from the configuration file"),
    ("x = 1", 'm.py: registers no flow; put @flow("name") before an async def function'),
    ("\nraise ValueError('no key')", "m.py: line 2: ValueError: no key; mend it or remove flows_module"),
    ("def (:", "m.py: SyntaxError: invalid syntax (m.py, line 1); mend it or remove flows_module"),
    (GOOD + GOOD, "m.py: two flows in Python are called 'hotline'; give each its own name"),
    (GOOD.replace('"hotline"', '""'), 'm.py: a flow in Python needs a name; write @flow("name")'),
]


@pytest.mark.parametrize(("text", "sentence"), FAULTS, ids=[str(n) for n in range(len(FAULTS))])
def test_faults_of_the_module(tmp_path: Path, text: str | None, sentence: str) -> None:
    if text is not None:
        (tmp_path / "m.py").write_text(text)
    with pytest.raises(FlowModuleError) as caught:
        load_module("m.py", tmp_path)
    assert str(caught.value) == sentence.format(path=tmp_path / "m.py")


def test_a_module_that_is_not_there() -> None:
    with pytest.raises(
        FlowModuleError, match="no_such_flows: ModuleNotFoundError: No module named 'no_such_flows'; mend"
    ):
        load_module("no_such_flows")


def go(world: Any, function: Any, **more: Any) -> Any:
    return world.go(compile_python("py", function), **more)


def test_actions_are_methods(world: Any) -> None:
    async def flow(call: FlowCall) -> None:
        call.ringing()
        call.progress()
        assert not call.answered
        call.variables.set("a", "x")
        call.answer()
        await call.sleep(1500)
        await call.echo(10)
        assert await call.connect("+15559990000", ring_timeout=5, source="sip:me@example.com") == "answered"
        assert await call.connect(Address(type="agent", target="bob")) == "failed"
        assert call.source == call.record.source == "+15550001111"
        assert call.number is None
        assert call.leg.id == "call-1"

    ran = go(world, flow)
    assert ran.orders[:5] == ["ringing", "progress", "answer", ("sleep", 1.5), ("echo", 0.01)]
    assert ran.orders[6:] == [END]
    assert world.log.errors() == []
    assert ran.record.flow == "py"


def test_sound_and_keys_are_methods(world: Any) -> None:
    world.services.calls.media.recordings = None
    call = world.fake_call(world.clock)
    call.typed = ["1", "2", "#", "3"]

    async def flow(call: FlowCall) -> None:
        await call.play("a.wav", "b.wav", loop=2)
        await call.talk("Hello", language="de-DE", digits_stop=True)
        await call.beep()
        assert await call.digits_receive(key="#") == "12"
        assert await call.digits_receive(length=1) == "3"
        assert call.variables.get("call.digits") == "123"
        await call.digits_send("9,1", duration=80)
        with pytest.raises(ActionError, match="records nothing"):
            await call.recording_start(end_of_key=True)
        with pytest.raises(ActionError, match="nothing is being recorded"):
            await call.recording_stop()
        with pytest.raises(ValueError, match="is no segment"):
            await call.play("tone:")

    ran = go(world, flow, call=call)
    assert ran.orders == [
        "answer",
        *[("play", name) for name in ("a.wav", "b.wav", "a.wav", "b.wav")],
        ("play", "say Hello", "0123456789*#ABCD"),
        ("play", "tone:1000/250"),
        ("send_keys", "9,1", 0.08, 0.1),
        END,
    ]
    assert world.log.errors() == []


@pytest.mark.parametrize(
    ("verb", "order"),
    [
        (lambda call: call.reject(486), ("reject", 486, "")),
        (lambda call: call.redirect(["sip:a@b"]), ("redirect", "sip:a@b")),
        (lambda call: call.hangup("busy"), ("hangup", 486, "Q.850;cause=17")),
    ],
)
def test_what_ends_the_call_ends_the_flow(world: Any, verb: Any, order: Any) -> None:
    async def flow(call: FlowCall) -> None:
        verb(call)

    assert go(world, flow).orders == [order]


def test_relayed_status_ends_the_flow(world: Any) -> None:
    world.agent.script["192.0.2"] = world.refused(486)

    async def flow(call: FlowCall) -> None:
        assert await call.connect("+15559990000", relay_reason=True) == "busy"

    assert go(world, flow).orders == [("reject", 486, "")]


def test_fetched_flows_run_in_place(world: Any) -> None:
    world.flows(inner=[{"type": "answer"}], ends=[{"type": "hangup"}])

    async def flow(call: FlowCall) -> None:
        await call.fetch_flow("inner")
        call.call("+15559990000", source="+15551112222", flow_id="inner")
        await call.webhook_send("https://example.com/")
        with pytest.raises(ActionError, match="there is no flow 'gone'"):
            await call.fetch_flow("gone")
        await call.fetch_flow("ends")

    assert go(world, flow).orders == ["answer", END]
    assert len(world.agent.legs) == 1


def test_block_and_stop(world: Any) -> None:
    async def block(call: FlowCall) -> None:
        await call.block()

    async def stop(call: FlowCall) -> None:
        call.stop()

    async def scenario(function: Any) -> Any:
        call = world.fake_call(world.clock)
        running = asyncio.ensure_future(world.run(compile_python("py", function), call))
        for _ in range(5):
            await asyncio.sleep(0)
        call.end("remote", 487)
        return await running

    for function in (block, stop):
        ran = asyncio.run(scenario(function))
        assert ran.orders == []
        assert ran.record.hangup_reason == "cancel"


def test_an_error_is_logged_and_the_call_hung_up(world: Any) -> None:
    async def flow(call: FlowCall) -> None:
        call.ringing()
        raise KeyError("x")

    assert go(world, flow).orders == ["ringing", END]
    assert world.log.errors() == ["KeyError: 'x'"]


def test_wrong_options_are_errors_of_the_flow(world: Any) -> None:
    async def flow(call: FlowCall) -> None:
        call.reject(200)

    assert go(world, flow).orders == [END]
    assert world.log.errors() == ["code: must be at least 400; write a larger number"]


JUMPS = {"goto", "branch", "condition_variable", "condition_datetime", "condition_caller"}


def test_every_action_but_jumps_is_a_method() -> None:
    assert {name for name in ACTIONS if not hasattr(FlowCall, name)} == JUMPS


def test_an_action_without_a_method_of_its_own_takes_its_options_by_keyword(world: Any) -> None:
    async def flow(call: Any) -> None:
        call.variable_set(key="a", value=True)
        call.record.note(call.variables.get("a"))
        call.variable_set(key="a")

    ran = go(world, flow)
    assert ran.record.notes == ["true"]
    assert ran.orders == [END]
    assert world.log.errors() == ["value: is missing; add it"]


def test_a_flow_in_python_has_1000_actions_too(world: Any) -> None:
    async def flow(call: FlowCall) -> None:
        while True:
            call.ringing()

    assert len(go(world, flow).orders) == 1000
    assert world.log.errors() == ["the call has run as many actions as a call may"]


def test_libraries_are_replaced_as_a_whole() -> None:
    async def flow(call: FlowCall) -> None:
        """Nothing."""

    library = FlowLibrary(ACTIONS, (), {"a": compile_python("a", flow)})
    library.replace(FlowLibrary(ACTIONS, (), {"b": compile_python("b", flow)}))
    assert library.find("a") is None
    assert library.find("b") is not None

"""Flows written in Python: `async def` functions, registered by name, with the actions as methods.

    from flows.python import FlowCall, flow

    @flow("hotline")
    async def hotline(call: FlowCall) -> None:
        call.ringing()
        if await call.connect("+821012345678", ring_timeout=20) != "answered":
            await call.connect("sip:desk@example.com")

The end of the function hangs up, as the end of a list of actions does.
"""

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Awaitable, Callable
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import NoReturn

from flows.calls.ports import CallEnded
from flows.faults import ActionError
from flows.language.options import NO_OPTIONS, NoOptions
from flows.language.program import Program, Step
from flows.language.run import Run
from flows.python.call import FlowCall
from routing.identifiers import named_id

PythonFlow = Callable[[FlowCall], Awaitable[None]]

_registered: dict[str, Program] = {}


class FlowModuleError(Exception):
    """The module of Python flows cannot be used: which one, where, and what is wrong."""


def flow(name: str) -> Callable[[PythonFlow], PythonFlow]:
    """Registers a function under a name, which numbers and flows refer to. Raises FlowModuleError for a name in use."""

    def register(function: PythonFlow) -> PythonFlow:
        if not name:
            raise FlowModuleError('a flow in Python needs a name; write @flow("name")')
        if name in _registered:
            raise FlowModuleError(f"two flows in Python are called {name!r}; give each its own name")
        _registered[name] = compile_python(name, function)
        return function

    return register


def load_module(module: str, beside: Path | None = None) -> dict[str, Program]:
    """The programs of the flows that a module registers, by name. `module` is the path of a `.py` file, relative to the
    folder
    `beside`, or a dotted name: of a file or package there, whatever else is called so, else of what Python can import.
    Raises FlowModuleError, in one line, when it cannot be imported or registers nothing.

    A module that was imported before is run again, so that a reload sees its changes.
    """
    beside = beside or Path()
    _registered.clear()
    try:
        if module.endswith(".py"):
            _run_file(beside / module)
        elif _file_of(module, beside) is not None:
            _run_beside(module, beside)
        elif module.partition(".")[0] in _OWN_PACKAGES:
            _refuse_own_package(module, beside)
        elif module in sys.modules:
            importlib.reload(sys.modules[module])
        else:
            importlib.import_module(module)
    except FlowModuleError as error:
        raise FlowModuleError(f"{module}: {error}") from None
    except Exception as error:  # whatever a module of the user's does when it is imported
        fault = f"{_where(error)}{type(error).__name__}: {error}"
        raise FlowModuleError(f"{module}: {fault}; mend it or remove flows_module") from error
    if not _registered:
        raise FlowModuleError(f'{module}: registers no flow; put @flow("name") before an async def function')
    found = dict(_registered)
    _registered.clear()
    return found


_OWN_PACKAGES = frozenset({"api", "config", "engine", "flows", "routing", "service", "store"})


def _refuse_own_package(module: str, beside: Path) -> NoReturn:
    """It would be run again as if it were the user's, with everything that its modules hold."""
    path, package = beside.joinpath(*module.split(".")), module.partition(".")[0]
    problem = f"there is no file {path}.py, and the package {package} is Trunkline's own"
    raise FlowModuleError(f"{problem}; put the file beside the configuration")


class _AsWritten(SourceFileLoader):
    """Compiles what the file says now. A compiled copy is recognised by the file's size and the second of its last
    change: 486 that became 603 within the second would go on being 486."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        code: CodeType = self.source_to_code(self.get_data(path), path)
        return code


_PREFIX = "trunkline_flows_"
"""Put before the module names of files beside the configuration, so that a `json.py` there does not replace `json`."""


def _run_file(path: Path) -> None:
    if not path.is_file():
        raise FlowModuleError(f"there is no file {path}; write its path as seen from the configuration file")
    _execute(f"{_PREFIX}{path.stem}", path)


def _file_of(module: str, beside: Path) -> Path | None:
    """The file of a dotted name beside the configuration."""
    base = beside.joinpath(*module.split("."))
    return next((path for path in (base / "__init__.py", base.parent / f"{base.name}.py") if path.is_file()), None)


def _run_beside(module: str, beside: Path) -> None:
    """Runs it with the packages that it is in, whose other modules it may import relatively."""
    root, *inner = module.split(".")
    for name in [name for name in sys.modules if f"{name}.".startswith(f"{_PREFIX}{root}.")]:
        del sys.modules[name]  # what a reload is to see
    for depth in range(len(inner) + 1):
        dotted = ".".join([root, *inner[:depth]])
        path = _file_of(dotted, beside)
        if path is not None:
            _execute(_PREFIX + dotted, path)
        else:  # a folder without __init__.py
            package = ModuleType(_PREFIX + dotted)
            package.__path__ = [str(beside.joinpath(*dotted.split(".")))]
            sys.modules[package.__name__] = package


def _execute(name: str, path: Path) -> None:
    loader = _AsWritten(name, str(path))
    within = [str(path.parent)] if path.name == "__init__.py" else None
    spec = importlib.util.spec_from_file_location(name, path, loader=loader, submodule_search_locations=within)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    loader.exec_module(module)


def _where(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    if isinstance(error, SyntaxError) or not frames or "importlib" in frames[-1].filename:
        return ""
    return f"line {frames[-1].lineno}: "


def compile_python(name: str, function: PythonFlow) -> Program:
    """A function as a program of one step."""

    async def run_function(run: Run, _option: NoOptions) -> int | None:
        call = FlowCall(run)
        try:
            await function(call)
        except SystemExit as error:
            # asyncio lets this one end the program, with everybody's calls.
            raise ActionError(f"the flow tried to end the program: {error}") from None
        return call.result

    identifier = str(named_id("flow", name))
    step = Step(id=name, type="python", function=run_function, option=NO_OPTIONS, waits=True, connects=True)
    return Program(id=identifier, name=name, steps=[step], places={name: 0})


__all__ = ["CallEnded", "FlowCall", "FlowModuleError", "PythonFlow", "compile_python", "flow", "load_module"]

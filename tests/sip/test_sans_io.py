"""The protocol stands alone: it loads no event loop, no socket, no random source and no other part of ours."""

import json
import pkgutil
import subprocess
import sys

import pytest

import engine
import engine.sip

MODULES = ["engine.sip", *(module.name for module in pkgutil.walk_packages(engine.sip.__path__, "engine.sip."))]
CODE = "import json, sys; before = {{*sys.modules}}; import {}; print(json.dumps([*set(sys.modules) - before]))"


def loaded_by(*modules: str) -> set[str]:
    code = CODE.format(", ".join(modules))
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(ended.stdout))


def test_the_protocol_loads_nothing_but_itself() -> None:
    assert len(MODULES) > 30
    loaded = loaded_by(*MODULES)
    assert not loaded & {"asyncio", "socket", "selectors", "ssl", "random", "secrets", "threading"}
    ours = {name for name in loaded if name.split(".")[0] in ("engine", "routing", "flows", "config", "service", "api")}
    assert ours == {"engine", *MODULES}


@pytest.mark.parametrize("module", ["engine.sip", "engine.sip.message.parsing"])
def test_a_part_of_it_loads_what_it_needs(module: str) -> None:
    loaded = loaded_by(module)
    assert {"engine", module} <= loaded
    assert not any(name.startswith(("engine.sip.dialog", "engine.sip.transaction")) for name in loaded)


def test_the_names_of_the_engine_are_found_when_they_are_used() -> None:
    for name in engine.__all__:
        assert getattr(engine, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'Bridges'"):
        engine.__getattr__("Bridges")

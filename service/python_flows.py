"""The user's flows in Python, as the configuration names their module."""

from pathlib import Path

from config.faults import ConfigurationError, Fault
from config.loading import Configuration
from flows.language.program import Program
from flows.python.flows import FlowModuleError, load_module


def python_flows(configuration: Configuration) -> dict[str, Program]:
    """The flows of the configured Python module. Raises ConfigurationError when it can be loaded no more."""
    module = configuration.settings.flows_module
    if not module:
        return {}
    try:
        return _load_module(module, configuration.path.parent)
    except FlowModuleError as error:
        raise ConfigurationError([Fault(str(configuration.path), ("flows_module",), str(error))]) from None


def python_flow_names(module: str, beside: Path) -> list[str]:
    """For `config.loading.load`: which flows a Python module registers. Raises ValueError with a sentence."""
    try:
        return list(_load_module(module, beside))
    except FlowModuleError as error:
        raise ValueError(str(error)) from None


def _load_module(module: str, beside: Path) -> dict[str, Program]:
    try:
        return load_module(module, beside)
    except SystemExit as error:  # a script that ends itself must not end the engine that reads it
        problem = f"{module}: ends the program ({error!r}) when it is imported; put a guard around that"
        raise FlowModuleError(problem) from None

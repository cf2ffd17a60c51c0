"""The actions of flows, a module for each subject: an action's options, what it does, where it can run, and what
`trunkline flow run` shows of it.

Every module of this folder is imported with the first one, so `ACTIONS` is always the whole table.
"""

from importlib import import_module
from pkgutil import iter_modules
from typing import Final

from flows.language.registry import ActionRegistry

ACTIONS: Final = ActionRegistry()
"""The actions there are, by the names that flows call them."""
action: Final = ACTIONS.action

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

__all__ = ["ACTIONS", "action"]

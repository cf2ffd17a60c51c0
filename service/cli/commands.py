"""The command line: finds the commands, runs one, and turns what it raises into a line and an exit code.

Every file of this folder is a command: a function of the file's name, or a typer of several commands, `commands`. What
a command needs beyond its options is imported when it runs, so that `--help` is quick and one that is broken stops no
other. Exit codes: 0 done, 1 the work failed, 2 wrong usage or configuration. Errors are one line each on standard
error.
"""

import os
import sys
from collections.abc import Sequence
from importlib import import_module, metadata
from pkgutil import iter_modules
from typing import Annotated

import typer

from config.faults import ConfigurationError
from engine.transport.listeners import ListenError
from service import cli as folder
from service.cli.support import interrupts
from service.cli.support.running import DONE, FAILED, WRONG, complain, one_line, show_faults

_INTERRUPTED = 130  # what typer makes of Ctrl-C

cli = typer.Typer(
    help="A SIP signalling engine with number routing.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code. `arguments` are those of the process by default."""
    with interrupts.raised():
        return _main(arguments)


def _main(arguments: Sequence[str] | None) -> int:
    try:
        words = None if arguments is None else list(arguments)
        result = cli(words, prog_name="trunkline", standalone_mode=False)
        sys.stdout.flush()
    except typer.TyperException as error:
        # Wrong usage comes here; its own rendering takes several lines.
        message = one_line(error.format_message()).rstrip(".")
        if not message:
            return error.exit_code  # there was no command, and the help has been shown
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "trunkline"
        complain(f"{message}; see {command} --help")
        return error.exit_code
    except ConfigurationError as error:
        show_faults(error)
        return WRONG
    except BrokenPipeError:
        # Whoever read our output has gone. The interpreter flushes once more at its end: let it have somewhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (ListenError, OSError) as error:
        complain(one_line(str(error)))
        return FAILED
    except Exception as error:
        if not interrupts.behind(error):
            raise
        result = _INTERRUPTED
    if result == _INTERRUPTED:
        complain("interrupted")
        return FAILED
    return result if isinstance(result, int) else DONE


def _version(asked: bool) -> None:
    if asked:
        try:
            version = metadata.version("trunkline")
        except metadata.PackageNotFoundError:
            version = "(not installed)"
        print(f"trunkline {version}")
        raise typer.Exit(DONE)


@cli.callback()
def _common(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it.")] = False,
) -> None:
    """A SIP signalling engine with number routing."""


def _add_commands() -> None:
    """All files of this folder, in the order of their POSITION; those without one come last."""
    names = [found.name for found in iter_modules(folder.__path__) if not found.ispkg]
    modules = {name: import_module(f"service.cli.{name}") for name in names if name not in ("commands", "__main__")}
    for name, module in sorted(modules.items(), key=lambda found: getattr(found[1], "POSITION", 100)):
        group = getattr(module, "commands", None)
        if group is None:
            cli.command()(getattr(module, name))
        else:
            cli.add_typer(group, name=name)


_add_commands()

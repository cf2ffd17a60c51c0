"""The command line: what may be asked, checked, and handed to the program behind it.

Every program is imported by its own command, so that `--help` is quick and one that is broken stops no other.
Exit codes: 0 done, 1 the work failed, 2 wrong usage or configuration. Errors are one line each on standard error.
"""

import asyncio
import os
import re
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import typer

from config.faults import ConfigurationError
from config.logs import escape
from engine.sip.message.text_message import MAX_TEXT
from engine.transport.listeners import ListenError
from routing.hostnames import parse_host_port
from service.cli import interrupts
from service.cli.admin_commands import commands as admin_commands
from service.cli.flow import commands as flow_commands
from service.cli.options import CallOrder, MessageOrder, ProvidercallOrder, TrunkOrder

DONE, FAILED, WRONG = 0, 1, 2
_INTERRUPTED = 130  # what typer makes of Ctrl-C

cli = typer.Typer(
    help="A SIP signalling engine with number routing.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

ConfigFile = Annotated[
    Path,
    typer.Option("--config", "-c", metavar="FILE", help="The configuration file.", envvar="TRUNKLINE_CONFIG"),
]
_DEFAULT_CONFIG = Path("trunkline.yaml")


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
        message = _one_line(error.format_message()).rstrip(".")
        if not message:
            return error.exit_code  # there was no command, and the help has been shown
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "trunkline"
        _complain(f"{message}; see {command} --help")
        return error.exit_code
    except ConfigurationError as error:
        _show_faults(error)
        return WRONG
    except BrokenPipeError:
        # Whoever read our output has gone. The interpreter flushes once more at its end: let it have somewhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (ListenError, OSError) as error:
        _complain(_one_line(str(error)))
        return FAILED
    except Exception as error:
        if not interrupts.behind(error):
            raise
        result = _INTERRUPTED
    if result == _INTERRUPTED:
        _complain("interrupted")
        return FAILED
    return result if isinstance(result, int) else DONE


def _complain(line: str) -> None:
    print(f"trunkline: {escape(line)}", file=sys.stderr)


def _show_faults(error: ConfigurationError) -> None:
    # FILE:LINE stands first, where editors look for it.
    for fault in error.faults:
        print(escape(str(fault)), file=sys.stderr)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _run(program: Coroutine[Any, Any, int]) -> int:
    """Run a program in the fastest event loop there is. Ctrl-C and SIGTERM cancel it, and it may clean up."""
    factory: Callable[[], asyncio.AbstractEventLoop] | None
    try:
        import uvloop

        factory = uvloop.new_event_loop
    except ImportError:
        factory = None
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(interrupts.cancelled(program))


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


@cli.command()
def serve(
    config: ConfigFile = _DEFAULT_CONFIG,
    with_trunk: Annotated[
        list[str] | None,
        typer.Option(
            metavar="HOST:PORT=STATUS",
            help="Play a provider too, in this process: 127.0.0.2:5080=503 refuses, =200 answers. Repeatable.",
        ),
    ] = None,
) -> int:
    """Run the engine until SIGTERM or Ctrl-C; SIGHUP reloads the configuration."""
    from service.cli import serve as app

    orders = [_played_trunk(text) for text in with_trunk or ()]
    return _run(_serve_beside(orders, app.serve(config)) if orders else app.serve(config))


async def _serve_beside(orders: Sequence[TrunkOrder], engine: Coroutine[Any, Any, int]) -> int:
    """The engine and its little trunks: all end when the engine does, or when a trunk cannot start."""
    from service.cli import trunk as little_trunk

    tasks: list[asyncio.Task[int]] = [
        asyncio.create_task(program) for program in (engine, *map(little_trunk.play, orders))
    ]
    try:
        ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return max(task.result() for task in ended)
    except ListenError as error:
        # Whoever plays trunks tries things out, and mostly has the same running already.
        raise ListenError(f"{error}; where this runs already in another terminal, end it there with Ctrl-C") from None
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@cli.command()
def check(config: ConfigFile = _DEFAULT_CONFIG) -> int:
    """Validate the configuration and every flow in it, and see that its sounds are there."""
    from config.loading import load
    from config.resources import LISTS
    from service.python_flows import python_flow_names

    try:
        configuration = load(config, python_flows=python_flow_names)
    except ConfigurationError as error:
        _show_faults(error)
        return FAILED
    for line in (*configuration.warnings, *configuration.notices):
        print(escape(line), file=sys.stderr)
    for line in configuration.missing:
        print(escape(line), file=sys.stderr)
    if configuration.missing:
        return FAILED
    always = ("providers", "routes", "numbers", "flows")
    counts = [(getattr(configuration, kind), kind) for kind in always]
    counts += [(found, kind) for kind in LISTS if kind not in always and (found := getattr(configuration, kind))]
    summary = ", ".join(f"{len(found)} {kind[:-1] if len(found) == 1 else kind}" for found, kind in counts)
    print(f"{config} is in order: {summary}")
    return DONE


@cli.command()
def explain(
    number: Annotated[str, typer.Argument(metavar="NUMBER", help="What is dialled.")],
    config: ConfigFile = _DEFAULT_CONFIG,
) -> int:
    """Show which flow or which providers a number leads to, and why."""
    from config.loading import load
    from routing.hunt.health import HealthBoard
    from routing.hunt.router import Router
    from service.cli import explain as explain_view
    from service.cli.directory import known_directory
    from service.python_flows import python_flow_names
    from store.database.errors import StoreError

    configuration = load(config, python_flows=python_flow_names)
    try:
        directory, names = asyncio.run(known_directory(configuration))
    except StoreError as error:
        _complain(f"store {_one_line(str(error))}")
        return FAILED
    router = Router(directory, HealthBoard(configuration.transports), configuration.routing_settings())
    explain_view.show(router.explain(number, time.monotonic()), names)
    return DONE


@cli.command()
def call(
    number: Annotated[str, typer.Argument(metavar="NUMBER", help="A number, an extension or a SIP URI.")],
    via: Annotated[str, typer.Option(metavar="HOST:PORT", help="Where the INVITE is sent.")],
    caller: Annotated[str, typer.Option("--from", metavar="NUMBER", help="Who calls.")] = "trunkline",
    user: Annotated[str, typer.Option(help="User name, where credentials are asked for.")] = "",
    password: Annotated[str, typer.Option(envvar="TRUNKLINE_PASSWORD", help="Its password.")] = "",
    digits: Annotated[str, typer.Option(help="Keys to press once answered; a comma pauses.")] = "",
    dtmf: Annotated[str, typer.Option(metavar="rfc4733|info", help="How the keys are sent.")] = "rfc4733",
    duration: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="Hang up after it; 0 waits for the other end.")
    ] = 5.0,
    timeout: Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="Longest wait for an answer.")] = 60.0,
    transport: Annotated[str, typer.Option(metavar="udp|tcp")] = "udp",
    header: Annotated[list[str] | None, typer.Option(metavar="'NAME: VALUE'", help="Repeatable.")] = None,
) -> int:
    """Call a number, send digits, and show the ladder and the outcome."""
    headers = _sent(via, transport, header)
    if set(digits) - set("0123456789*#ABCDabcd,"):
        raise typer.BadParameter("only 0-9, *, #, A-D and commas can be sent", param_hint="'--digits'")
    if dtmf not in ("rfc4733", "info"):
        problem = f"{dtmf!r} is not known; use rfc4733 (telephone-events, once RFC 2833) or info"
        raise typer.BadParameter(problem, param_hint="'--dtmf'")
    from service.cli import call as softphone

    order = CallOrder(
        number,
        via,
        caller,
        user,
        password,
        digits,
        duration,
        timeout,
        transport,
        headers,
        cast(Literal["rfc4733", "info"], dtmf),
    )
    return _run(softphone.call(order))


@cli.command()
def message(
    sender: Annotated[str, typer.Argument(metavar="FROM", help="Who sends it: a number or a SIP URI.")],
    recipient: Annotated[str, typer.Argument(metavar="TO", help="A number, an extension or a SIP URI.")],
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What is sent.")],
    via: Annotated[str, typer.Option(metavar="HOST:PORT", help="Where the MESSAGE is sent.")],
    user: Annotated[str, typer.Option(help="User name, where credentials are asked for.")] = "",
    password: Annotated[str, typer.Option(envvar="TRUNKLINE_PASSWORD", help="Its password.")] = "",
    timeout: Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="Longest wait for the answer.")] = 32.0,
    transport: Annotated[str, typer.Option(metavar="udp|tcp")] = "udp",
    header: Annotated[list[str] | None, typer.Option(metavar="'NAME: VALUE'", help="Repeatable.")] = None,
) -> int:
    """Send a text message, and show the ladder and the outcome."""
    headers = _sent(via, transport, header)
    if not text.strip():
        raise typer.BadParameter("there is nothing in it; write a word", param_hint="'TEXT'")
    if len(text.encode("utf-8", "replace")) > MAX_TEXT:
        raise typer.BadParameter(f"it is longer than {MAX_TEXT} octets; write less", param_hint="'TEXT'")
    from service.cli import message as texter

    return _run(texter.message(MessageOrder(sender, recipient, text, via, user, password, timeout, transport, headers)))


@cli.command()
def trunk(
    listen: Annotated[
        list[str] | None, typer.Option(metavar="URL", help="Where to listen. Repeatable.  [udp://127.0.0.2:5080]")
    ] = None,
    answer: Annotated[bool, typer.Option("--answer", help="Answer and echo; so it does without --status.")] = False,
    status: Annotated[str, typer.Option(metavar="STATUS", help="Refuse with it, such as 503.")] = "",
    ring: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="Ring before that.")] = 0.0,
    early_media: Annotated[bool, typer.Option("--early-media", help="Ring with 183 and sound.")] = False,
) -> int:
    """Play a provider: take every call and every text, print it, and answer or refuse it."""
    if answer and status:
        raise typer.BadParameter("--answer and --status exclude each other; keep one")
    order = TrunkOrder(listen or ["udp://127.0.0.2:5080"], _final_status(status, "'--status'"), ring, early_media)
    from service.cli import trunk as little_trunk

    try:
        return _run(little_trunk.play(order))
    except KeyboardInterrupt:
        return DONE  # a signal is how this one ends


@cli.command()
def providercall(
    provider: Annotated[str, typer.Argument(metavar="PROVIDER", help="Its name in the configuration.")],
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="The caller's number.")],
    destinations: Annotated[list[str], typer.Argument(metavar="DESTINATION...", help="One call for each.")],
    config: ConfigFile = _DEFAULT_CONFIG,
    flow: Annotated[str, typer.Option(metavar="NAME", help="Flow to run on the answered calls.")] = "",
    actions: Annotated[
        Path | None, typer.Option(metavar="FILE", help="YAML or JSON list of actions to run in its place.")
    ] = None,
    anonymous: Annotated[str, typer.Option(metavar="auto|yes|no", help="Hide the caller's number.")] = "auto",
) -> int:
    """Place calls through one provider and print how each went."""
    if flow and actions:
        raise typer.BadParameter("--flow and --actions exclude each other; keep one")
    if anonymous not in ("auto", "yes", "no"):
        raise typer.BadParameter(f"{anonymous!r} is not known; use auto, yes or no", param_hint="'--anonymous'")
    from service.cli import providercall as place

    return _run(place.providercall(ProvidercallOrder(config, provider, source, destinations, flow, actions, anonymous)))


def _played_trunk(text: str) -> TrunkOrder:
    """`HOST:PORT` or `HOST:PORT=STATUS` of `--with-trunk`."""
    address, _, status = text.partition("=")
    _host_port(address, "'--with-trunk'")
    return TrunkOrder([f"udp://{address}"], _final_status(status, "'--with-trunk'"), option="--with-trunk")


def _final_status(text: str, option: str) -> int:
    if not text or text == "200":
        return 200
    if not re.fullmatch(r"[3-6][0-9]{2}", text):
        raise typer.BadParameter(f"{text!r} is no final status; use 200, or 300 to 699", param_hint=option)
    return int(text)


def _host_port(text: str, option: str) -> None:
    try:
        parse_host_port(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


def _sent(via: str, transport: str, header: Sequence[str] | None) -> list[tuple[str, str]]:
    """What all that send something take: checked, the headers in two."""
    headers = [_header(text) for text in header or ()]
    if transport not in ("udp", "tcp"):
        raise typer.BadParameter(f"{transport!r} is no transport; use udp or tcp", param_hint="'--transport'")
    _host_port(via, "'--via'")
    return headers


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip() or not text.isprintable():
        raise typer.BadParameter(f"{text!r} is no header; write 'NAME: VALUE'", param_hint="'--header'")
    return name.strip(), value.strip()


cli.add_typer(flow_commands, name="flow")
cli.add_typer(admin_commands, name="admin")

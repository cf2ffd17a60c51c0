"""`trunkline serve`: from a file to a running engine, until a signal ends it."""

import asyncio
import resource
import signal
import sys
from collections.abc import Coroutine, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import structlog
import typer

from config.faults import ConfigurationError
from config.logs import configure
from engine.transport.listeners import ListenError
from service.cli.support import interrupts
from service.cli.support.options import DEFAULT_CONFIG, ConfigFile, check_host_port, final_status
from service.cli.support.running import DONE, FAILED, WRONG, run
from service.cli.trunk import TrunkOrder, play_trunk
from store.database.errors import StoreError, StoreRefused

if TYPE_CHECKING:
    from config.loading import Configuration
    from service.node import Node

POSITION = 1


def serve(
    config: ConfigFile = DEFAULT_CONFIG,
    with_trunk: Annotated[
        list[str] | None,
        typer.Option(
            metavar="HOST:PORT=STATUS",
            help="Play a provider too, in this process: 127.0.0.2:5080=503 refuses, =200 answers. Repeatable.",
        ),
    ] = None,
) -> int:
    """Run the engine until SIGTERM or Ctrl-C; SIGHUP reloads the configuration."""
    orders = [_played_trunk(text) for text in with_trunk or ()]
    return run(_serve_beside(orders, run_engine(config)) if orders else run_engine(config))


def _played_trunk(text: str) -> TrunkOrder:
    """`HOST:PORT` or `HOST:PORT=STATUS` of `--with-trunk`."""
    address, _, status = text.partition("=")
    check_host_port(address, "'--with-trunk'")
    return TrunkOrder(listen=[f"udp://{address}"], status=final_status(status, "'--with-trunk'"), option="--with-trunk")


async def _serve_beside(orders: Sequence[TrunkOrder], engine: Coroutine[Any, Any, int]) -> int:
    """The engine and its little trunks: all end when the engine does, or when a trunk cannot start."""
    tasks: list[asyncio.Task[int]] = [asyncio.create_task(program) for program in (engine, *map(play_trunk, orders))]
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


async def run_engine(path: Path) -> int:
    """Run the engine with this configuration; the exit code. Raises ConfigurationError with all faults of the file."""
    from config.loading import load
    from service.node import Node
    from service.python_flows import python_flow_names
    from service.workers.gc import GarbageCollection

    configuration = load(path, python_flows=python_flow_names, certificates=True)
    settings = configuration.settings
    configure(settings.log.level, settings.log.format)
    for line in (*configuration.warnings, *configuration.notices, *_left_out(configuration)):
        print(f"trunkline: {line}", file=sys.stderr)
    _raise_descriptor_limit()
    node = Node(configuration)
    try:
        await node.start()
    except (ListenError, StoreError) as error:
        print(f"trunkline: {'store ' if isinstance(error, StoreError) else ''}{error}", file=sys.stderr)
        await node.close()
        return WRONG if isinstance(error, StoreRefused) else FAILED
    collection = GarbageCollection(node.agent.calls, node.log)
    collection.start()
    if node.storage is not None:
        node.storage.feed.subscribe("number", lambda change: None if change else collection.keep())
    signals = Signals(node, path)
    signals.install()
    for transport in node.agent.listeners:
        host = f"[{transport.local[0]}]" if ":" in transport.local[0] else transport.local[0]
        print(f"ready: {transport.name}://{host}:{transport.local[1]}", flush=True)
    _show_api(node)
    try:
        await signals.asked_to_stop()
        await signals.drain(configuration.settings.sip.drain_timeout)
    finally:
        signals.remove()
        await collection.close()
        await node.close()
    return DONE


def _left_out(configuration: "Configuration") -> list[str]:
    """Sounds that are not there are no reason not to start: they may come any time."""
    return [f"{line}; until that is mended it is left out" for line in configuration.missing]


def _show_api(node: "Node") -> None:
    if node.server is None:
        return
    print(f"ready: {node.server.url}/v1.0 (documentation at {node.server.url}/docs)", flush=True)
    if node.made_up_key:
        print(f"access key of the super admin, shown this once: {node.made_up_key}", flush=True)


class Signals:
    """SIGHUP reloads, SIGTERM and SIGINT drain, a second one ends at once."""

    def __init__(self, node: "Node", path: Path) -> None:
        self.node = node
        self._path = path
        self._log = structlog.get_logger()
        self._stop = asyncio.Event()
        self._now = asyncio.Event()
        self._reloading: asyncio.Task[None] | None = None
        self._reload_again = False
        self._installed = ExitStack()

    def install(self) -> None:
        loop = asyncio.get_running_loop()
        self._installed.enter_context(interrupts.handled_by(self._end))
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        self._installed.callback(loop.remove_signal_handler, signal.SIGHUP)

    def remove(self) -> None:
        self._installed.close()
        if self._reloading is not None:
            self._reloading.cancel()

    def _end(self) -> None:
        if self._stop.is_set():
            self._now.set()
        self._stop.set()

    async def asked_to_stop(self) -> None:
        await self._stop.wait()

    async def drain(self, seconds: float) -> None:
        """New calls get 503; calls in progress have `seconds`, or until a second signal."""
        agent = self.node.agent
        self.node.drain()
        if agent.calls:
            self._log.info("draining", legs=len(agent.calls), seconds=seconds)
        draining = asyncio.ensure_future(agent.drain(seconds))
        hurried = asyncio.ensure_future(self._now.wait())
        await asyncio.wait((draining, hurried), return_when=asyncio.FIRST_COMPLETED)
        hurried.cancel()
        if draining.done():
            cut = draining.result()
            if cut:
                self._log.warning("calls hung up at the end of the drain", legs=cut)
        else:
            draining.cancel()
            await asyncio.wait((draining,))

    def _reload(self) -> None:
        if self._reloading is not None and not self._reloading.done():
            self._reload_again = True
            return
        self._reloading = asyncio.get_running_loop().create_task(self._reload_now())

    async def _reload_now(self) -> None:
        from config.loading import load
        from service.python_flows import python_flow_names

        while True:
            self._reload_again = False
            try:
                configuration: Configuration = await asyncio.to_thread(load, self._path, None, python_flow_names)
                notes = await self.node.reload(configuration)
            except ConfigurationError as error:
                for fault in error.faults:
                    self._log.error("reload: nothing has changed", fault=str(fault))
            except StoreError as error:
                self._log.error("reload: nothing has changed", fault=f"store {error}")
            except Exception as error:  # whatever it is, calls go on with what there was
                self._log.error("reload: nothing has changed", fault=f"{type(error).__name__}: {error}", exc_info=True)
            else:
                for note in (*configuration.warnings, *configuration.notices, *_left_out(configuration), *notes):
                    self._log.warning("reload", note=note)
                self._log.info(
                    "reloaded",
                    numbers=len(configuration.numbers),
                    providers=len(configuration.providers),
                    routes=len(configuration.routes),
                    flows=len(configuration.flows),
                )
            if not self._reload_again:
                return


def _raise_descriptor_limit() -> None:
    """An answered call with media of ours holds a descriptor, a TCP peer too."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = hard if hard != resource.RLIM_INFINITY else 1_048_576
    if soft < wanted:
        with suppress(OSError, ValueError):  # the kernel's own bound may be lower
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))

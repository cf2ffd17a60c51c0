"""`trunkline providercall`: calls through one provider, without a running engine, and how each of them went."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from config.logs import configure, escape
from service.cli.support.options import DEFAULT_CONFIG, ConfigFile
from service.cli.support.running import DONE, FAILED, WRONG, run

if TYPE_CHECKING:
    from config.loading import Configuration
    from flows.calls.record import CallRecord
    from routing.hunt.attempt import AttemptReport

POSITION = 7


@dataclass(kw_only=True, slots=True)
class ProvidercallOrder:
    """Calls through one provider, without the API.

    Attributes:
        provider: Its name in the configuration.
        source: The caller's number.
        destinations: One call for each.
        flow: Name of the flow to run on the answered calls; "" for none.
        actions: YAML or JSON file with a list of actions to run in its place.
        anonymous: "auto", "yes" or "no".
    """

    config: Path
    provider: str
    source: str
    destinations: Sequence[str]
    flow: str = ""
    actions: Path | None = None
    anonymous: str = "auto"


def providercall(
    provider: Annotated[str, typer.Argument(metavar="PROVIDER", help="Its name in the configuration.")],
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="The caller's number.")],
    destinations: Annotated[list[str], typer.Argument(metavar="DESTINATION...", help="One call for each.")],
    config: ConfigFile = DEFAULT_CONFIG,
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
    return run(
        place_calls(
            ProvidercallOrder(
                config=config,
                provider=provider,
                source=source,
                destinations=destinations,
                flow=flow,
                actions=actions,
                anonymous=anonymous,
            )
        )
    )


async def place_calls(order: ProvidercallOrder) -> int:
    """Place the calls and print a line for each; 0 when any was answered, 1 when none was, 2 for a wrong request."""
    from config.loading import load
    from engine.transport.listeners import ListenError
    from flows.faults import FlowError
    from flows.origination.providercall import ProviderCallError, any_answered, place_provider_call, read_request
    from service.node import Node
    from service.python_flows import python_flow_names

    configuration = load(order.config, python_flows=python_flow_names)
    provider = next((p for p in configuration.providers if order.provider in (p.name, str(p.id))), None)
    if provider is None:
        known = ", ".join(p.name for p in configuration.providers) or "none"
        return _wrong(f"there is no provider {order.provider!r} in {order.config}; it has: {known}")
    try:
        actions = _actions(order.actions)
        document: dict[str, Any] = {
            "provider_id": str(provider.id),
            "destinations": [{"type": "tel", "target": target} for target in order.destinations],
            "anonymous": order.anonymous,
            "flow_id": order.flow,
            "actions": actions,
        }
        if order.source:
            document["source"] = {"type": "tel", "target": order.source}
        request = read_request(document)
    except (ProviderCallError, ValueError) as error:
        return _wrong(str(error))
    configure("warning", configuration.settings.log.format)
    node = Node(_beside(configuration))
    try:
        await node.start()
    except ListenError as error:
        await node.close()
        return _wrong(str(error))
    try:
        made = place_provider_call(node.flows, request)
        records = await made.wait()
        await node.agent.drain(0)
    except (ProviderCallError, FlowError) as error:
        return _wrong(str(error))
    finally:
        await node.close()
    for record in records:
        print(_line(record))
    return DONE if any_answered(records) else FAILED


def _beside(configuration: "Configuration") -> "Configuration":
    """The same addresses on free ports, and no store: an engine may be running on the configured ones."""
    from engine.transport.listeners import parse_listen_url

    configuration.settings.store, configuration.settings.api.listen = ":memory:", ""
    urls = [parse_listen_url(url) for url in configuration.settings.sip.listen]
    configuration.settings.sip.listen = [f"{u.transport}://{_bracketed(u.host)}:0" for u in urls]
    return configuration


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _actions(path: Path | None) -> list[Any]:
    if path is None:
        return []
    import yaml

    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}; give a YAML or JSON file with a list of actions") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: {' '.join(str(error).split())}; write a YAML or JSON list of actions") from None
    if not isinstance(document, list):
        raise ValueError(f"{path}: is no list; write a YAML or JSON list of actions")
    return document


def _line(record: "CallRecord") -> str:
    """One call: where to, how it ended, and each attempt."""
    answered = f"answered after {record.answered_ms} ms" if record.answered_ms is not None else "not answered"
    attempts = "; ".join(map(_attempt, record.attempt_reports()))
    text = (
        f"{record.destination} {record.id} {answered}, hangup_reason {record.hangup_reason}"
        f" by {record.hangup_by or 'local'}, {record.ended_ms} ms [{attempts or 'no attempt'}]"
    )
    return escape(text)


def _attempt(report: "AttemptReport") -> str:
    if report.skipped:
        return f"{report.provider_name} skipped: {report.skipped}"
    return f"{report.provider_name} {report.request_uri} {report.status or report.reason or report.kind}".lstrip()


def _wrong(text: str) -> int:
    for line in text.splitlines() or [text]:
        print(f"trunkline: {escape(line)}", file=sys.stderr)
    return WRONG

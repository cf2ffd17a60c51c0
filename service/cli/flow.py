"""`trunkline flow`: flows, tried out without a network."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, cast, get_args

import typer

from service.simulator.order import Ending, FlowOrder

POSITION = 8
commands = typer.Typer(help="Flows, tried out without a network.", no_args_is_help=True)


class _LacksOptionError(typer.BadParameter):
    """No value is wrong: one is missing, and the sentence says which."""

    def format_message(self) -> str:
        """The sentence alone."""
        return self.message


_ENDINGS = get_args(Ending)


@commands.callback()
def _flows() -> None:
    """Flows, tried out without a network."""


@commands.command("run")
def run_flow(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A configuration, or one flow in YAML or JSON.")],
    flow: Annotated[str, typer.Option(metavar="NAME", help="The flow to run.")] = "",
    called: Annotated[str, typer.Option(metavar="NUMBER", help="The number that is called.")] = "",
    caller: Annotated[str, typer.Option(metavar="NUMBER", help='Who calls; "" withholds it.')] = "+15555550123",
    digits: Annotated[str, typer.Option(help="Keys to press when asked; a comma waits for the next time.")] = "",
    variables: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="Repeatable.")] = None,
    connect: Annotated[
        str, typer.Option(metavar="|".join(_ENDINGS), help="How every call out ends; none is dialled.")
    ] = "answered",
    talk: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="Whoever answers hangs up after it.")] = 10.0,
    patience: Annotated[
        float, typer.Option(min=1, metavar="SECONDS", help="The caller hangs up when kept waiting so long.")
    ] = 60.0,
    hangup_after: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="The caller hangs up after it; 0 for never.")
    ] = 0.0,
    at: Annotated[str, typer.Option(metavar="TIME", help="When it calls, such as 2026-12-24T18:00 (UTC).")] = "",
    text: Annotated[
        str | None, typer.Option(metavar="WORDS", help="A text message in place of a call: the message flow runs.")
    ] = None,
) -> int:
    """Run a flow against a simulated caller, in simulated time, and print what each action does."""
    if set(digits) - set("0123456789*#ABCDabcd,"):
        raise typer.BadParameter("only 0-9, *, #, A-D and commas can be pressed", param_hint="'--digits'")
    if connect not in _ENDINGS:
        raise typer.BadParameter(f"{connect!r} is not known; use {', '.join(_ENDINGS)}", param_hint="'--connect'")
    order = FlowOrder(
        file=file,
        flow=flow,
        caller=caller,
        called=called,
        digits=digits,
        variables=dict(_variable(text) for text in variables or ()),
        connect=cast(Ending, connect),
        talk=talk,
        patience=patience,
        hangup_after=hangup_after,
        at=_moment(at) if at else None,
        text=text,
    )
    from service.simulator import run

    try:
        return asyncio.run(run.run_flow(order))
    except run.FlowRunError as error:
        if error.option:
            raise typer.BadParameter(str(error), param_hint=f"'{error.option}'") from None
        raise _LacksOptionError(str(error)) from None


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise typer.BadParameter(f"{text!r} sets nothing; write NAME=VALUE", param_hint="'--variables'")
    from flows.language.variables import check_key

    try:
        return check_key(name.strip()), value
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="'--variables'") from None


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        problem = f"{text!r} is no time; write it like 2026-12-24T18:00"
        raise typer.BadParameter(problem, param_hint="'--at'") from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)

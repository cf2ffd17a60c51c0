"""The words for each action of `trunkline flow run`: what it is about to do, and what came of it."""

from collections.abc import Callable, Mapping
from typing import Any

from flows.calls.address import Address
from flows.language.program import HUNG_UP, Program, Step
from flows.language.run import Run
from flows.options import Options
from routing.numbers.normalise import dialled


def rest(run: Run, option: Any) -> str:
    """The options that are not the defaults, of any action."""
    if not isinstance(option, Options):
        return ""
    given = option.model_dump(exclude_defaults=True)
    return "  ".join(f"{name}={value}" for name, value in given.items())


def _seconds(milliseconds: int) -> str:
    return f"{milliseconds / 1000:.1f} s"


def _sources(run: Run, option: Any) -> str:
    times = "" if option.loop == 1 else ", again and again" if option.loop == 0 else f", {option.loop} times"
    return ", ".join(option.sources) + times


def _digits_receive(run: Run, option: Any) -> str:
    parts = [f"{option.length} key{'' if option.length == 1 else 's'}"] if option.length else []
    parts += [f"until {option.key}"] if option.key else []
    return ", ".join([*parts, f"{_seconds(option.duration)} at most"])


def _branch(run: Run, option: Any) -> str:
    return f"{option.variable}={run.variables.get(option.variable)}"


def _condition_variable(run: Run, option: Any) -> str:
    what = "length of " if option.value_type == "length" else ""
    held = run.variables.get(option.variable)
    return f"{what}{option.variable} ({held!r}) {option.condition} {option.value}"


def _condition_datetime(run: Run, option: Any) -> str:
    fields = option.model_dump(exclude_defaults=True, exclude={"false_target_id", "condition"})
    asked = " ".join(f"{name}={value}" for name, value in fields.items())
    return f"{run.env.utc_now():%Y-%m-%d %H:%M} UTC {option.condition} {asked}"


def _condition_caller(run: Run, option: Any) -> str:
    return run.record.source or "anonymous"


def _connect(run: Run, option: Any) -> str:
    return "; ".join(_plan(run, destination) for destination in option.destinations)


def _plan(run: Run, destination: Address) -> str:
    """Where a connect would go."""
    env = run.env
    if destination.type != "tel":
        return f"{destination.target}: would be dialled (it is not)"
    explained = env.router.explain(destination.target, env.clock(), customer_id=run.customer_id)
    if explained.number is not None:
        return f"{explained.number.number}, which is one of our own"
    shown = dialled(destination.target, env.routing, env.directory.numbers).number or destination.target
    names = [entry.provider_name for entry in explained.entries if entry.tried]
    if not names:
        return f"{shown}: {explained.reason}"
    return f"{shown}: would dial via {', '.join(names)} (not dialled)"


def _call(run: Run, option: Any) -> str:
    return ", ".join(destination.target for destination in option.destinations) + ": would be called (not called)"


def _webhook(run: Run, option: Any) -> str:
    return f"{option.method} {option.uri} (not sent)"


def _message_send(run: Run, option: Any) -> str:
    to = ", ".join(destination.target for destination in option.destinations) or run.record.source
    return f'to {to}: "{option.text}"'


def _fetch(run: Run, option: Any) -> str:
    return f"{option.event_method} {option.event_url} (not asked)"


def _recording_start(run: Run, option: Any) -> str:
    parts = [f"until {option.end_of_key}"] if option.end_of_key else []
    parts += [f"{_seconds(option.duration)} at most"] if option.duration else []
    parts += [f"until {_seconds(option.end_of_silence)} of silence"] if option.end_of_silence else []
    parts += ["waits for its end"] if option.wait else []
    return ", ".join(parts)


WORDS: Mapping[str, Callable[[Run, Any], str]] = {
    "play": _sources,
    "talk": lambda run, option: f'"{option.text}"',
    "sleep": lambda run, option: _seconds(option.duration),
    "echo": lambda run, option: _seconds(option.duration) if option.duration else "until the hangup",
    "digits_receive": _digits_receive,
    "digits_send": lambda run, option: "",
    "branch": _branch,
    "condition_variable": _condition_variable,
    "condition_datetime": _condition_datetime,
    "condition_caller": _condition_caller,
    "goto": lambda run, option: "",
    "variable_set": lambda run, option: f"{option.key}={option.value}",
    "hangup": lambda run, option: option.reason,
    "reject": lambda run, option: "",
    "redirect": lambda run, option: ", ".join(option.contacts),
    "connect": _connect,
    "call": _call,
    "queue_join": lambda run, option: f"{option.queue_id} (nobody is rung)",
    "conference_join": lambda run, option: option.conference_id,
    "message_send": _message_send,
    "webhook_send": _webhook,
    "fetch": _fetch,
    "fetch_flow": lambda run, option: "",
    "recording_start": _recording_start,
    "python": lambda run, option: run.step.id,
}


def outcome(run: Run, step: Step, result: Any, keys: str, after: Mapping[str, str]) -> str:
    """What came of an action, in which the caller pressed `keys`; `after` are the variables."""
    if isinstance(result, Program):
        return f"-> flow {result.title}"
    kind = step.type
    if kind == "digits_receive":
        return f'heard "{keys}"' if keys else "heard nothing"
    if kind == "connect" and result != HUNG_UP:
        talked = f", {after.get('connect.duration')} s of talk" if after.get("connect.status") == "answered" else ""
        return f"{after.get('connect.status')}{talked}"
    if kind == "queue_join":
        waited = f"{after.get('queue.status')} after {after.get('queue.waited')} s"
        return waited + (f", {after.get('queue.duration')} s of talk" if after.get("queue.agent") else "")
    if kind == "recording_stop" or (kind == "recording_start" and after.get("recording.ended_by")):
        return f"{int(after.get('recording.duration') or 0) / 1000:.1f} s, ended by {after.get('recording.ended_by')}"
    if kind in ("branch", "goto") or kind.startswith("condition_"):
        return _jump(run, kind, result)
    return ""


def _jump(run: Run, kind: str, result: Any) -> str:
    truth = "" if not kind.startswith("condition_") else "true " if result is None else "false "
    if not isinstance(result, int):
        return f"{truth}-> next" if kind != "goto" else "goes on"
    target = run.program.steps[result]
    return f"{truth}-> {target.id if len(target.id) < 36 else f'{result + 1} ({target.type})'}"

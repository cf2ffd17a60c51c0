"""The output of `trunkline flow run`: each action, what it did, its variables, and how the call ended."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.text import Text

from config.logs import escape
from flows.actions import ACTIONS
from flows.calls.record import CallRecord
from flows.language.program import Program, Step, StepResult
from flows.language.run import Run
from flows.simulation.leg import SimulatedClock

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_INDENT = " " * 16
_LABEL = 24
_WHO = {"local": "the flow", "remote": "the caller"}


@dataclass(slots=True, kw_only=True)
class _Open:
    """An action that runs. `shown`: its line is out already, as others run within it."""

    run: Run
    step: Step
    words: str
    began: float
    before: Mapping[str, str]
    reports: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    keys: str = ""
    shown: bool = False


class FlowView:
    """Prints to `console`: a `StepObserver` of the run, its log, and what the caller's leg tells.

    Attributes:
        actions: Those that have run. `problems`: what failed or was left out.
    """

    def __init__(self, console: Console, clock: SimulatedClock) -> None:
        self.actions = 0
        self.problems = 0
        self._console = console
        self._clock = clock
        self._open: list[_Open] = []
        self._program: Program | None = None

    # ---- the observer

    def step_started(self, run: Run, option: Any) -> None:
        """An action begins."""
        self._flush()
        step = run.step
        if run.program is not self._program:
            self._program = run.program
            self._line("", f"flow {run.program.title}", style="bold")
        action = ACTIONS.get(step.type)
        words = step.id if action is None else action.describe(run, option)  # a flow in Python has a name
        self._open.append(_Open(run=run, step=step, words=words, began=self._clock(), before=run.variables.known()))
        self.actions += 1

    def step_done(self, run: Run, step: Step, result: StepResult) -> None:
        """It has run."""
        opened = self._close(step)
        if opened is None:
            return
        parts = [*opened.reports, _outcome(run, step, result, opened.keys)]
        self._show(opened, "; ".join(part for part in parts if part))
        self._changes(step, opened.before, run.variables.known())

    def on_key(self, key: str) -> None:
        """The caller has pressed a key."""
        if self._open:
            self._open[-1].keys += key

    # ---- what happens meanwhile

    def report(self, words: str) -> None:
        """What the caller's leg was ordered to do, in words."""
        top = self._open[-1] if self._open else None
        if top is None or top.step.type == "python":
            self._flush()
            self._line("", words)
        else:
            top.reports.append(words)

    def debug(self, event: str, **values: Any) -> None:
        """Of no interest here."""

    def info(self, event: str, **values: Any) -> None:
        """An action that was skipped."""
        if "skipped" in event:
            opened = self._close_named(values.get("action"))
            if opened is not None:
                self._show(opened, "skipped: the call is over", "yellow")

    def warning(self, event: str, **values: Any) -> None:
        """Something went wrong."""
        self.problems += 1
        text = str(values.get("error", "")) or event
        opened = self._close_named(values.get("action")) if event == "action failed" else None
        if opened is not None:
            reports = "; ".join(opened.reports)
            self._show(opened, f"{reports}; failed: {text}" if reports else f"failed: {text}", "red")
            return
        if event == "action failed":
            self._flush()
            self._line(str(values.get("type", "")), f"failed: {text}", style="red")
            return
        note = f"{event}: {text}" if text != event else event
        if self._open:
            self._open[-1].notes.append(note)
        else:
            self._note(note)

    error = warning

    # ---- the frame

    def begin(self, record: CallRecord, program: Program | None, does: str = "calls") -> None:
        """Who calls, or texts, whom, and the flow that runs."""
        self._program = program
        line = Text(f"{escape(record.source)} {does} {escape(record.destination)}: ")
        line.append("no message flow" if program is None else f"flow {escape(program.title)}", "bold")
        self._console.print(line, soft_wrap=True)

    def end(self, record: CallRecord, seconds: float) -> None:
        """How it ended."""
        for opened in reversed(self._open):
            self._show(opened, "; ".join([*opened.reports, "cut off by the hangup"]))
        self._open.clear()
        who = _WHO.get(record.hangup_by, record.hangup_by)
        answered = "" if record.answered_ms is not None else "never answered, "
        line = Text(f"{seconds:7.1f} s  ")
        line.append(f"hung up by {who}: {escape(record.hangup_reason)}", "bold")
        line.append(f" ({answered}{record.end_status})")
        self._console.print(line, soft_wrap=True)
        self.over()

    def over(self) -> None:
        """How many actions it took."""
        count = f"{self.actions} action{'' if self.actions == 1 else 's'}"
        problems = f", {self.problems} problem{'' if self.problems == 1 else 's'}" if self.problems else ""
        self._console.print(Text(count + problems, "red" if problems else "green"), soft_wrap=True)

    # ---- lines

    def _close(self, step: Step) -> _Open | None:
        for place in range(len(self._open) - 1, -1, -1):
            if self._open[place].step is step:
                return self._open.pop(place)
        return None

    def _close_named(self, action_id: Any) -> _Open | None:
        found = next((opened for opened in reversed(self._open) if opened.step.id == action_id), None)
        return None if found is None else self._close(found.step)

    def _flush(self) -> None:
        """The line of an action within which something else is to be shown."""
        if self._open and not self._open[-1].shown:
            opened = self._open[-1]
            self._show(opened, "")
            opened.shown = True

    def _show(self, opened: _Open, result: str, style: str = "") -> None:
        step, run = opened.step, opened.run
        if opened.shown:
            self._program = run.program
            self._line(step.type, result, style=style)
        else:
            words = "" if opened.reports and step.type in ("play", "talk", "beep") else opened.words
            joint = "" if not words or not result else " " if result.startswith("->") else "; "
            name = "" if _UUID.fullmatch(step.id) or step.type == "python" else step.id
            number = run.program.steps.index(step) + 1
            self._line(step.type, f"{words}{joint}{result}", number, name, opened.began, style)
        for note in opened.notes:
            self._note(note)
        opened.notes.clear()

    def _note(self, note: str) -> None:
        self._console.print(Text(_INDENT + escape(note), "yellow"), soft_wrap=True)

    def _line(
        self, label: str, words: str, number: int = 0, name: str = "", began: float | None = None, style: str = ""
    ) -> None:
        indent = "  " * sum(opened.shown for opened in self._open)
        line = Text(f"{began:7.1f} s" if began is not None else " " * 9)
        line.append(f"{number or '':>4}  {indent}", "dim")
        if label:
            line.append(label, "cyan")
            line.append(f" [{escape(name)}]" if name else "", "dim")
            line.append(" " * max(1, _LABEL - len(label) - (len(name) + 3 if name else 0)))
        line.append(escape(words), style)
        line.rstrip()
        self._console.print(line, soft_wrap=True)

    def _changes(self, step: Step, before: Mapping[str, str], after: Mapping[str, str]) -> None:
        if step.type == "variable_set":
            return  # its line says so
        changed = [f"{name}={_short(value)}" for name, value in after.items() if before.get(name, "") != value]
        if changed:
            indent = _INDENT[1:] + "  " * sum(opened.shown for opened in self._open) + " " * _LABEL
            self._console.print(Text(indent + escape("  ".join(changed)), "dim"), soft_wrap=True)


def _outcome(run: Run, step: Step, result: StepResult, keys: str) -> str:
    if isinstance(result, Program):
        return f"-> flow {result.title}"
    action = ACTIONS.get(step.type)
    return "" if action is None else action.outcome(run, result, keys)


def _short(value: str) -> str:
    return value if len(value) <= 80 else value[:79] + "…"

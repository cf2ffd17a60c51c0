"""The actions there are: what each may be told, what it does, and where it can run."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flows.actions.answering import answer, hangup, progress, redirect, reject, ringing
from flows.actions.call import call
from flows.actions.conditions import condition_caller, condition_datetime, condition_variable
from flows.actions.connect import connect
from flows.actions.control import block, branch, echo, empty, fetch_flow, goto, sleep, stop, variable_set
from flows.actions.webhook import webhook_send
from flows.options import (
    BranchOptions,
    CallerConditionOptions,
    CallOptions,
    ConnectOptions,
    DatetimeConditionOptions,
    EchoOptions,
    FetchFlowOptions,
    GotoOptions,
    HangupOptions,
    NoOptions,
    Options,
    ProgressOptions,
    RedirectOptions,
    RejectOptions,
    SleepOptions,
    VariableConditionOptions,
    VariableSetOptions,
    WebhookOptions,
)

_CALL = frozenset({"call"})
_ANY = frozenset({"call", "message"})


@dataclass(slots=True)
class Kind:
    """One type of action.

    Attributes:
        function: `function(run, option)`; see `program.Step` for what it returns.
        options: What it may be told.
        waits: It is a coroutine function.
        media: What it can run on: a call, a message.
        ends: Nothing runs behind it.
        answers: The call is answered once it has run.
        before_answer: It has no meaning once the call is answered.
    """

    function: Callable[[Any, Any], Any]
    options: type[Options] = NoOptions
    waits: bool = False
    media: frozenset[str] = _CALL
    ends: bool = False
    answers: bool = False
    before_answer: bool = False


KINDS: dict[str, Kind] = {
    "answer": Kind(answer, answers=True),
    "ringing": Kind(ringing),
    "progress": Kind(progress, ProgressOptions),
    "reject": Kind(reject, RejectOptions, before_answer=True),
    "redirect": Kind(redirect, RedirectOptions, before_answer=True),
    "hangup": Kind(hangup, HangupOptions, ends=True),
    "sleep": Kind(sleep, SleepOptions, waits=True),
    "goto": Kind(goto, GotoOptions, media=_ANY),
    "branch": Kind(branch, BranchOptions, media=_ANY),
    "condition_variable": Kind(condition_variable, VariableConditionOptions, media=_ANY),
    "condition_datetime": Kind(condition_datetime, DatetimeConditionOptions, media=_ANY),
    "condition_caller": Kind(condition_caller, CallerConditionOptions, media=_ANY),
    "variable_set": Kind(variable_set, VariableSetOptions, media=_ANY),
    "connect": Kind(connect, ConnectOptions, waits=True),
    "call": Kind(call, CallOptions, media=_ANY),
    "echo": Kind(echo, EchoOptions, waits=True, answers=True),
    "webhook_send": Kind(webhook_send, WebhookOptions, waits=True, media=_ANY),
    "fetch_flow": Kind(fetch_flow, FetchFlowOptions, media=_ANY),
    "stop": Kind(stop, media=_ANY, ends=True),
    "block": Kind(block, waits=True, ends=True),
    "empty": Kind(empty, media=_ANY),
}

LATER = frozenset(
    {
        "beep",
        "conference_join",
        "digits_receive",
        "digits_send",
        "fetch",
        "message_send",
        "play",
        "queue_join",
        "recording_start",
        "recording_stop",
        "talk",
        "transfer",
    }
)
"""Actions of later versions: known by name, so that the refusal can say what is missing."""

"""The actions there are: what each may be told, what it does, and where it can run."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flows.actions.answering import answer, hangup, progress, redirect, reject, ringing
from flows.actions.call import call
from flows.actions.conditions import condition_caller, condition_datetime, condition_variable
from flows.actions.conference import conference_join
from flows.actions.connect import connect
from flows.actions.control import block, branch, empty, fetch_flow, goto, sleep, stop, variable_set
from flows.actions.digits import digits_receive, digits_send
from flows.actions.fetch import fetch
from flows.actions.message import message_send
from flows.actions.queue import queue_join
from flows.actions.recording import recording_start, recording_stop
from flows.actions.sound import beep, echo, play, talk
from flows.actions.transfer import transfer
from flows.actions.webhook import webhook_send
from flows.options import (
    BranchOptions,
    CallerConditionOptions,
    CallOptions,
    ConferenceJoinOptions,
    ConnectOptions,
    DatetimeConditionOptions,
    DigitsReceiveOptions,
    DigitsSendOptions,
    EchoOptions,
    FetchFlowOptions,
    FetchOptions,
    GotoOptions,
    HangupOptions,
    MessageSendOptions,
    NoOptions,
    Options,
    PlayOptions,
    ProgressOptions,
    QueueJoinOptions,
    RecordingStartOptions,
    RedirectOptions,
    RejectOptions,
    SleepOptions,
    TalkOptions,
    TransferOptions,
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
        sounds: It opens our media: the call is answered once it has run, unless early media was begun before.
        early: It begins early media, or what it runs may.
        before_answer: It has no meaning once the call is answered.
    """

    function: Callable[[Any, Any], Any]
    options: type[Options] = NoOptions
    waits: bool = False
    media: frozenset[str] = _CALL
    ends: bool = False
    answers: bool = False
    sounds: bool = False
    early: bool = False
    before_answer: bool = False


KINDS: dict[str, Kind] = {
    "answer": Kind(answer, answers=True),
    "ringing": Kind(ringing),
    "progress": Kind(progress, ProgressOptions, early=True),
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
    "connect": Kind(connect, ConnectOptions, waits=True, early=True),
    "call": Kind(call, CallOptions, waits=True, media=_ANY),
    "play": Kind(play, PlayOptions, waits=True, sounds=True),
    "talk": Kind(talk, TalkOptions, waits=True, sounds=True),
    "beep": Kind(beep, waits=True, sounds=True),
    "echo": Kind(echo, EchoOptions, waits=True, answers=True),
    "digits_receive": Kind(digits_receive, DigitsReceiveOptions, waits=True, sounds=True),
    "digits_send": Kind(digits_send, DigitsSendOptions, waits=True, answers=True),
    "queue_join": Kind(queue_join, QueueJoinOptions, waits=True, early=True),
    "conference_join": Kind(conference_join, ConferenceJoinOptions, waits=True),
    "webhook_send": Kind(webhook_send, WebhookOptions, waits=True, media=_ANY),
    "recording_start": Kind(recording_start, RecordingStartOptions, waits=True, sounds=True),
    "recording_stop": Kind(recording_stop, waits=True),
    "transfer": Kind(transfer, TransferOptions, waits=True),
    "fetch": Kind(fetch, FetchOptions, waits=True, media=_ANY, early=True),
    "fetch_flow": Kind(fetch_flow, FetchFlowOptions, media=_ANY, early=True),
    "message_send": Kind(message_send, MessageSendOptions, waits=True, media=_ANY),
    "stop": Kind(stop, media=_ANY, ends=True),
    "block": Kind(block, waits=True, ends=True),
    "empty": Kind(empty, media=_ANY),
}

"""The options of every action, with their defaults. What is not named here is refused when a flow is saved.

Durations of actions are milliseconds; ring timeouts are seconds, as they are for providers. One module for each
subject, as in `flows.actions`; everything is to be had from here.
"""

from flows.options.answering import HangupOptions, ProgressOptions, RedirectOptions, RejectOptions
from flows.options.conditions import CallerConditionOptions, DatetimeConditionOptions, VariableConditionOptions
from flows.options.control import BranchOptions, FetchFlowOptions, GotoOptions, SleepOptions, VariableSetOptions
from flows.options.dialling import CallOptions, ConnectOptions
from flows.options.digits import DigitsReceiveOptions, DigitsSendOptions
from flows.options.joining import ConferenceJoinOptions, QueueJoinOptions
from flows.options.messages import MessageSendOptions
from flows.options.model import RUNNING, NoOptions, Options
from flows.options.recording import RecordingStartOptions
from flows.options.sound import EchoOptions, PlayOptions, TalkOptions
from flows.options.transfer import TransferOptions
from flows.options.values import DAY_MS, NIL, Reference
from flows.options.web import FetchOptions, WebhookOptions

__all__ = [
    "DAY_MS",
    "NIL",
    "RUNNING",
    "BranchOptions",
    "CallOptions",
    "CallerConditionOptions",
    "ConferenceJoinOptions",
    "ConnectOptions",
    "DatetimeConditionOptions",
    "DigitsReceiveOptions",
    "DigitsSendOptions",
    "EchoOptions",
    "FetchFlowOptions",
    "FetchOptions",
    "GotoOptions",
    "HangupOptions",
    "MessageSendOptions",
    "NoOptions",
    "Options",
    "PlayOptions",
    "ProgressOptions",
    "QueueJoinOptions",
    "RecordingStartOptions",
    "RedirectOptions",
    "Reference",
    "RejectOptions",
    "SleepOptions",
    "TalkOptions",
    "TransferOptions",
    "VariableConditionOptions",
    "VariableSetOptions",
    "WebhookOptions",
]

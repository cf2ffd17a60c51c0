"""Inbound call tracking: the record follows its leg, and the call can be ended from outside."""

from collections.abc import Callable
from typing import Any

from engine.call import Call
from flows.calls.hangup import end_leg
from flows.calls.phone_dialogs import PhoneDialog
from flows.calls.record import CallRecord
from flows.calls.services import CallServices


class InboundCallTracker:
    """The link between a call of the engine's and its record. The engine lets go of it when the call is over.

    `at_end` is told of the record at the hangup, before what ran on the call has ended.
    """

    __slots__ = ("at_end", "call", "dialog", "record", "services")

    def __init__(
        self, services: CallServices, call: Call, record: CallRecord, at_end: Callable[[CallRecord], None] | None = None
    ) -> None:
        self.services = services
        self.call = call
        self.record = record
        self.at_end = at_end
        self.dialog: PhoneDialog | None = None

    def begin(self) -> None:
        """From now on the call is known, and its record follows it."""
        call = self.call
        call.on_status = self._turned
        call.on_end = self._over
        record = self.record
        if record.phone is not None:
            self.dialog = self.services.phone_dialogs.begin(
                record.phone.name, "initiator", "trying", record.destination or call.dialled
            )
        self.services.registry.begin(record, self)

    def hang_up(self, cause: str) -> None:
        """Ends the call: `Running`."""
        end_leg(self.call, self.record, cause)

    def _turned(self, call: Call) -> None:
        if self.record.follow(call, self.services.clock()):
            self.services.registry.changed(self.record)
            if self.dialog is not None and call.status in ("ringing", "progressing"):
                self.services.phone_dialogs.turn(self.dialog, "confirmed" if call.answered else "early")

    def _over(self, call: Call) -> None:
        services, record = self.services, self.record
        if self.dialog is not None:
            services.phone_dialogs.end(self.dialog)
        record.finish(call, services.clock())
        services.registry.over(record)
        if self.at_end is not None:
            self.at_end(record)
        if not services.registry.observers:
            return
        if call.task is None:
            services.registry.ended(record)
        else:
            # What is being dialled for the call is given up in its task: only then does the record say so.
            call.task.add_done_callback(self._ran)

    def _ran(self, task: Any) -> None:
        self.services.registry.ended(self.record)

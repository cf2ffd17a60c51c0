"""Who may pick a call up: a phone of the same customer, what rings at one of its extensions (RFC 3891)."""

from collections.abc import Coroutine
from typing import Any

from engine.call import Call
from engine.sip.dialog.replaces import FITS, Replaces
from flows.calls.phone_dialogs import PhoneDialog, PhoneDialogs
from flows.calls.record import CallRecord
from flows.transfer.pickup import accept_pickup
from routing.directory.extensions import ExtensionRow
from service.caller_identity import phone_of
from service.intake import Intake


class PickupIntake:
    """What becomes of an INVITE whose Replaces names no dialog of ours: see `AgentHooks.on_pickup`."""

    def __init__(self, intake: Intake, dialogs: PhoneDialogs) -> None:
        self._intake = intake
        self._dialogs = dialogs

    def __call__(self, call: Call, replaces: Replaces) -> Coroutine[Any, Any, Any] | None:
        """The coroutine of the call; None where it may not, and has been told."""
        dialog = self._named(replaces)
        if dialog is None:
            return self._refuse(call, "unknown", replaces.early_only)
        intake, invite = self._intake, call.invite
        source, login, phone = intake.sender(invite, call.remote, call.id, own=call.returned)
        if phone is None:
            if source.kind == "guest" and not call.returned and intake.logins.asks(invite, call.remote.host, login):
                call.reject(401, headers=intake.logins.challenges(invite, call.remote.host, login))
            else:
                call.reject(403)
            return None
        extension = intake.directory.extension(dialog.extension)
        if extension is None or extension.customer_id != phone.customer_id:
            return self._refuse(call, "unknown", replaces.early_only)  # as what does not exist
        if dialog.direction != "recipient" or dialog.state == "confirmed":
            # Who talks is not taken away from whom it talks with.
            return self._refuse(call, "answered" if replaces.early_only else "early", replaces.early_only)
        return accept_pickup(call, dialog, intake.flows, self._record(call, phone, logged_in=login.accepted))

    def _named(self, replaces: Replaces) -> PhoneDialog | None:
        """Phones do not agree on which end's tags a document has, and so on which of them is whose (RFC 4235 §4.1.2):
        as names, the two say the same either way."""
        call_id, one, other, _ = replaces
        return self._dialogs.find(call_id, one, other) or self._dialogs.find(call_id, other, one)

    @staticmethod
    def _refuse(call: Call, state: str, early_only: bool) -> None:
        status, why = FITS[state, early_only]
        call.reject(status, headers=[("Warning", f'399 trunkline "{why}"')])

    def _record(self, call: Call, phone: ExtensionRow, *, logged_in: bool) -> CallRecord:
        intake = self._intake
        caller = phone_of(call.invite, phone, intake.routing, intake.directory)
        return CallRecord(
            call.id,
            "incoming",
            **caller.on_record(),
            source_type="tel" if caller.shown else "extension",
            phone=phone,
            logged_in=logged_in,
            customer_id=phone.customer_id,
            sip_call_ids=[call.sip_call_id],
            created=intake.flows.calls.wall(),
            begun=call.created,
        )

"""Intake of text messages: who sends one, whom it is for, and what it is answered.

As a call's, its sender is a trunk, a client or a guest. What is taken is in the store before the 200 says so.
"""

from collections.abc import Coroutine, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final
from uuid import UUID

from pydantic import ValidationError

from engine.messages import IncomingMessage
from engine.sip.auth.digest_server import Verdict as Login
from engine.sip.flow import Flow
from engine.sip.message.grammar import ParseError
from engine.sip.message.uri import SipUri
from engine.sip.stateless import Refusal
from engine.transport.addresses import bracketed
from flows.calls.address import Address
from flows.calls.tree import MOST_DEEP, Branch, Tree
from flows.messages.inbox import admitted
from flows.messages.model import MessageNotKept, MessageQueueFullError, MessageRequest, TextMessage
from flows.messages.outbox import MessageQueue
from routing.access.admission import Decision, DialOut, Refuse, RingExtension, Source, looped
from routing.access.called_number import called_number
from routing.directory.extensions import ExtensionRow
from routing.directory.number_source import NumberUnavailable
from routing.directory.rows import NumberRow
from routing.hunt.outcome import relayed_answer
from routing.identifiers import NIL
from routing.numbers.dial_string import escaped
from routing.numbers.normalise import normalise_dialled
from routing.numbers.short_numbers import is_emergency
from service.caller_identity import caller_of, phone_of
from service.intake import ASKED, Intake

RETRY_AFTER: Final = 2
"""Seconds after which a sender may come again when the store could not take its message."""


class MessageIntake:
    """Takes messages in, by the rules and the logins of `intake`."""

    def __init__(self, intake: Intake, messages: MessageQueue) -> None:
        self._intake = intake
        self._messages = messages

    def __call__(self, message: IncomingMessage) -> Coroutine[Any, Any, None]:
        """The coroutine of the message."""
        return self._take(message)

    async def _take(self, message: IncomingMessage) -> None:
        intake = self._intake
        services, directory, routing = intake.flows.calls, intake.directory, intake.routing
        request = message.request
        try:
            await services.fetch_numbers(self._missing_numbers(message))
        except NumberUnavailable as error:
            self._unavailable(message, str(error))
            return
        own = message.marks is not None
        source, judged, phone = intake.sender(request, message.remote, message.id, own=own)
        if judged.accepted:
            message.keep()
        if message.within is None:
            asked = called_number(request, source.provider, routing, directory)
        else:
            asked = normalise_dialled(message.uri, routing, directory.numbers)
        if own and (message.depth >= MOST_DEEP or message.loops(asked.number or asked.text)):
            verdict: Decision = looped(asked)
        else:
            verdict = admitted(services, source, asked, message.text)
        if isinstance(verdict, Refuse):
            self._refuse(message, verdict, source, judged)
        elif isinstance(verdict, DialOut):
            await self._relay(message, source, Address(type="tel", target=verdict.target), phone)
        elif isinstance(verdict, RingExtension):
            extension = verdict.extension
            await self._relay(message, source, Address(type="extension", target=extension.name), phone, extension)
        else:
            await self._receive(message, source, verdict.number, phone)

    def _missing_numbers(self, message: IncomingMessage) -> list[str]:
        if message.within is None:
            return self._intake.missing_numbers(message.request, message.remote)
        return self._intake.flows.calls.missing_numbers(message.uri)

    # ---- for a number of ours

    async def _receive(
        self, message: IncomingMessage, source: Source, number: NumberRow, phone: ExtensionRow | None
    ) -> None:
        sender, via, _ = self._sender(message, source, phone)
        kept = TextMessage(
            id=UUID(message.id),
            customer_id=number.customer_id,
            direction="incoming",
            source=sender,
            destinations=[Address(type="tel", target=number.number)],
            text=message.text,
            created=datetime.fromtimestamp(self._intake.flows.calls.wall(), UTC),
            status="received",
            number_id=number.id,
            via=via,
            branch=Branch(Tree(guest=source.kind == "guest"), message.depth),
        )
        try:
            taken = await self._messages.inbox.accept(kept, number)
        except MessageNotKept as error:
            self._unavailable(message, str(error))
            return
        message.answer(200)
        await self._messages.inbox.process(taken)

    def _sender(
        self, message: IncomingMessage, source: Source, phone: ExtensionRow | None
    ) -> tuple[Address | None, str, bool]:
        """Who sends, where that one is reached if its name does not tell, and whether it wants to stay unknown.

        A guest's number is not believed: who claims somebody else's must neither have him texted at our cost nor end
        his messages. It is answered where its message came from, as are clients without a number.
        """
        request = message.request
        routing, directory = self._intake.routing, self._intake.directory
        if phone is None:
            number, name, private, *_ = caller_of(request, source, routing, directory)
            if not number:
                return None, "", True
        else:
            _, name, private, number, *_ = phone_of(request, phone, routing, directory)
        try:
            if number[:1] == "+" and source.kind != "guest":
                return Address(type="tel", target=number, target_name=name[:255]), "", private
            if phone is not None:
                who = f"sip:{escaped(phone.name)}@{routing.from_domain}"  # not what it claims to be
                return Address(type="sip", target=who, target_name=name[:255]), _way_back(message.remote), private
            uri = request.address("From").uri
            if not isinstance(uri, SipUri):
                return None, "", True
            text = f"sip:{uri.user}@{uri.host}" if uri.user else f"sip:{uri.host}"
            return Address(type="sip", target=text, target_name=name[:255]), _way_back(message.remote), private
        except (ParseError, ValidationError):
            return None, "", True

    # ---- for a foreign number, or an extension

    async def _relay(
        self,
        message: IncomingMessage,
        source: Source,
        destination: Address,
        phone: ExtensionRow | None,
        extension: ExtensionRow | None = None,
    ) -> None:
        """A client's message goes through the providers, or to the phones of an extension, and it hears what the far
        end says."""
        helped = destination.type == "tel" and is_emergency(destination.target, self._intake.routing)
        if phone is not None and not phone.max_calls and extension is None and not helped:
            message.answer(403, headers=[("Warning", '399 trunkline "This phone may not call out"')])
            self._tell(self._intake.log.warning, "phone_limit", message, status=403, user=phone.name, max_calls=0)
            return
        sender, _, private = self._sender(message, source, phone)
        asserted = None if phone is None else phone.caller_id
        if extension is not None and phone is not None:  # by its name, as an answer finds it
            name = phone.display_name or ("" if sender is None else sender.target_name)
            sender, asserted = Address(type="extension", target=phone.name, target_name=name), None
        if sender is None:
            message.answer(403, headers=[("Warning", '399 trunkline "A message needs a sender"')])
            return
        order = MessageRequest(
            customer_id=extension.customer_id if extension is not None else NIL if phone is None else phone.customer_id,
            source=sender,
            destinations=[destination],
            text=message.text,
            private=private,
            asserted=asserted,
        )
        try:
            sent = await self._messages.send(order)
        except (MessageNotKept, MessageQueueFullError) as error:
            self._unavailable(message, str(error))
            return
        await sent.over.wait()
        target = sent.targets[0]
        if target.status in ("delivered", "accepted"):
            message.answer(target.sip_status)
        elif target.status == "opted_out":
            message.answer(403, headers=[("Warning", '399 trunkline "The contact wants no messages"')])
        else:
            message.answer(_passed_on(target.sip_status, target.reason))

    # ---- refusals

    def _unavailable(self, message: IncomingMessage, why: str) -> None:
        message.answer(503, headers=[("Retry-After", str(RETRY_AFTER))])
        self._tell(self._intake.log.warning, "not kept", message, status=503, detail=why)

    def _refuse(self, message: IncomingMessage, verdict: Refuse, source: Source, judged: Login) -> None:
        intake = self._intake
        not_let_in = source.kind == "guest" and verdict.cause in ASKED
        status, headers = verdict.status, _warning(verdict)
        if not_let_in and message.marks is None and intake.logins.asks(message.request, message.remote.host, judged):
            status, headers = 401, intake.logins.challenges(message.request, message.remote.host, judged)
        refusal = Refusal(
            status=status,
            reason=verdict.reason if status == verdict.status else "",
            headers="".join(f"{name}: {value}\r\n" for name, value in headers),
            cause="challenged" if status == 401 else verdict.cause,
            first=partial(self._note, message, verdict, source, status),
        )
        message.refuse(refusal)

    def _note(self, message: IncomingMessage, verdict: Refuse, source: Source, status: int) -> None:
        intake = self._intake
        intake.directory.count_refusal(verdict.cause)
        final = status != 401 and verdict.cause in ("foreign_from_guest", "guests_not_allowed")
        if intake.log_calls or final:
            tell = intake.log.warning if final else intake.log.info
            self._tell(tell, verdict.cause, message, status=status, cause=verdict.cause, known_as=source.kind)

    def _tell(self, tell: Any, kind: str, message: IncomingMessage, **values: Any) -> None:
        self._intake.strangers.write(
            tell, kind, "message refused", message_id=message.id, source=message.remote.host, **values
        )


def _warning(verdict: Refuse) -> Sequence[tuple[str, str]]:
    return [("Warning", f'399 trunkline "{verdict.warning}"')] if verdict.warning else []


def _passed_on(status: int, reason: str) -> int:
    """What a client hears of a far end's refusal, or of its silence (RFC 3261 §16.8)."""
    if not status:
        return 408 if reason == "timeout" else 500
    return relayed_answer(status, reason)[0]


def _way_back(flow: Flow) -> str:
    """The URI of the address, or the connection, that a message came from."""
    return f"sip:{bracketed(flow.host)}:{flow.port};transport={flow.transport.name}"


__all__ = ["MessageIntake"]

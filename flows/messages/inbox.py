"""The inbox: messages to numbers of ours are kept, their keywords honoured, and the numbers' flows run.

In two steps: `accept` returns when the message is safe, so that whoever sent it can be told; `process` does what it
asks.
"""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from flows.calls.address import Address
from flows.calls.ports import FlowProgram
from flows.calls.services import CallServices
from flows.messages.model import (
    MessageNotKept,
    MessageQueueFullError,
    MessageRequest,
    MessageStore,
    OptOutChange,
    TextMessage,
)
from flows.messages.opt_out import Keyword, Kind, contact_of, keyword, reply_text
from routing.access.admission import Decision, Refuse, RunFlow, Source, judge, no_message_flow
from routing.directory.rows import NumberRow
from routing.numbers.normalise import DialledNumber

FlowOnMessage = Callable[[FlowProgram, TextMessage, NumberRow], Awaitable[None]]
"""Runs a number's message flow on a message (`flows.language.message_run.run_message`)."""


def admitted(services: CallServices, source: Source, asked: DialledNumber, text: str) -> Decision:
    """What becomes of a message. A number without a message flow takes none but the words that end messages and begin
    them again: whoever gets messages from it must be able to say so."""
    verdict = judge(services.directory, services.routing, source, asked, "message")
    if isinstance(verdict, RunFlow):
        if services.library.find(verdict.number.message_flow_id) is None and keyword(text) is None:
            return no_message_flow(asked.number)
    elif isinstance(verdict, Refuse) and verdict.cause == "no_message_flow" and keyword(text) is not None:
        row = services.directory.number(asked.number)
        if row is not None:
            return RunFlow(row)
    return verdict


class AcceptedMessage(NamedTuple):
    """A message that is safe. `asks`: the keyword that it is; `changed`: whether what it wishes was news."""

    message: TextMessage
    number: NumberRow
    asks: Keyword | None
    changed: bool


class Inbox:
    """Takes messages for our numbers.

    Attributes:
        store: Where they are kept.
    """

    def __init__(
        self,
        services: CallServices,
        store: MessageStore,
        *,
        run_flow: FlowOnMessage,
        send: Callable[[MessageRequest], Awaitable[object]],
    ) -> None:
        self._services = services
        self.store = store
        self._run_flow = run_flow
        self._send = send

    async def accept(self, message: TextMessage, number: NumberRow) -> AcceptedMessage:
        """Commits the message, and what it wishes. Raises MessageNotKept."""
        asks = keyword(message.text)
        change = None
        if asks is not None and asks.kind != "help" and message.source is not None:
            change = OptOutChange(asks.kind, number.number, contact_of(message.source), asks.word)
        changed = await self.store.received(message, change)
        return AcceptedMessage(message, number, asks, changed)

    async def process(self, accepted: AcceptedMessage) -> None:
        """Answers a keyword, or runs the number's message flow. Raises nothing but cancellation."""
        message, number, asks, changed = accepted
        services = self._services
        if asks is not None and not _left_to_the_flow(number, asks, changed):
            # Who asks twice knows already, and may be a machine that answers every answer.
            if changed or asks.kind == "help":
                await self._reply(message, number, asks.kind)
            return
        program = services.library.find(number.message_flow_id)
        if program is None:
            services.log.warning("message flow does not exist", message_id=str(message.id), number=number.number)
            return
        await self._run_flow(program, message, number)

    async def _reply(self, message: TextMessage, number: NumberRow, kind: Kind) -> None:
        text, sender = reply_text(number, kind), message.source
        if not text or sender is None:
            return
        order = MessageRequest(
            customer_id=number.customer_id,
            source=Address(type="tel", target=number.number),
            destinations=[sender],
            text=text,
            number_id=number.id,
            via=message.via,
            branch=message.branch,
            confirmation=kind == "stop",
            automatic=True,
        )
        try:
            await self._send(order)
        except (MessageNotKept, MessageQueueFullError) as error:
            self._services.log.warning("keyword reply not sent", message_id=str(message.id), error=str(error))


def _left_to_the_flow(number: NumberRow, asks: Keyword, changed: bool) -> bool:
    """YES is the answer to many questions, and begins messages again only where they had ended. HELP is the flow's
    where the number's `help_text` is empty."""
    if asks.word == "YES":
        return not changed
    return asks.kind == "help" and not reply_text(number, "help")

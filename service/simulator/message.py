"""`trunkline flow run --text`: a flow, run on a simulated text message."""

from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import uuid4

from flows.calls.address import Address
from flows.calls.record import CallRecord
from flows.language.interpreter import Interpreter
from flows.language.message_run import for_messages, run_message
from flows.language.program import Program
from flows.messages.model import TextMessage
from flows.messages.opt_out import Keyword, keyword, reply_text
from routing.directory.directory import Directory
from routing.directory.rows import NumberRow
from routing.models.number import Number
from service.simulator.view import FlowView


async def texted(flows: Interpreter, view: FlowView, text: str, program: Program | None, record: CallRecord) -> None:
    """Shows what becomes of `text`: the answer to one of the words for opting out, or the flow as it runs (None: the
    number has none, and takes those words alone). `record` tells who sends it to which number."""
    number = record.number_row
    if number is None:  # a flow alone has no number that it belongs to
        directory = Directory(limit=0)
        directory.put_number(Number(number=record.destination))
        number = directory.number(record.destination)
        assert number is not None
    view.begin(record, None if program is None else for_messages(program), does="texts")
    asks = keyword(text)
    # Nobody has opted out here: YES is the flow's.
    if asks is not None and (program is None or not _left_to_the_flow(asks, number)):
        for line in _answered(asks, number, record):
            view.report(line)
        if program is not None:
            view.report(f"flow {program.title} does not run")
        view.over()
        return
    assert program is not None  # a number without one takes no other text
    sender = Address(type="tel", target=record.source) if record.source else None
    message = TextMessage(
        id=uuid4(),
        customer_id=number.customer_id,
        direction="incoming",
        source=sender,
        destinations=[Address(type="tel", target=number.number)],
        text=text,
        created=datetime.fromtimestamp(flows.calls.wall(), UTC),
        status="received",
        number_id=number.id,
    )
    await run_message(flows, program, message, number)
    view.over()


def _left_to_the_flow(asks: Keyword, number: NumberRow) -> bool:
    return asks.word == "YES" or (asks.kind == "help" and not reply_text(number, "help"))


def _answered(asks: Keyword, number: NumberRow, record: CallRecord) -> Iterator[str]:
    """What a word for opting out does, in words."""
    if asks.word == "YES":
        yield "not answered: it would be, where it had texted STOP"
        return
    answer = reply_text(number, asks.kind)
    again = " (where it had texted STOP)" if asks.kind == "start" else ""
    yield f'answered: "{answer}"{again}' if answer else "not answered"
    if asks.kind == "stop":
        yield f"{number.number} sends {record.source or 'whoever this is'} no more messages, until it texts START"

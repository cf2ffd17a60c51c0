"""`trunkline flow run --text`: a flow, run on a text message that nobody has sent."""

from datetime import UTC, datetime
from uuid import uuid4

from flows.address import Address
from flows.environment import FlowEnvironment
from flows.message_run import for_messages, run_message
from flows.messages import TextMessage
from flows.opt_out import keyword, reply_text
from flows.program import Program
from flows.record import CallRecord
from routing.directory import Directory
from routing.models import Number
from service.flow_view import FlowView


async def texted(env: FlowEnvironment, view: FlowView, text: str, program: Program, record: CallRecord) -> None:
    """Shows what becomes of `text`: the answer to one of the words for opting out, or the flow as it runs. `record`
    tells who sends it to which number."""
    number = record.number_row
    if number is None:  # a flow alone has no number that it belongs to
        directory = Directory(limit=0)
        directory.put_number(Number(number=record.destination))
        number = directory.number(record.destination)
        assert number is not None
    view.begin(record, for_messages(program), does="texts")
    asks = keyword(text)
    # Nobody has opted out here: YES is the flow's.
    if asks is not None and asks.word != "YES" and (asks.kind != "help" or reply_text(number, "help")):
        answer = reply_text(number, asks.kind)
        view.told(f'{asks.word} does not reach the flow: answered "{answer}"' if answer else "not answered")
        view.over()
        return
    sender = Address(type="tel", target=record.source) if record.source else None
    message = TextMessage(
        id=uuid4(),
        customer_id=number.customer_id,
        direction="incoming",
        source=sender,
        destinations=[Address(type="tel", target=number.number)],
        text=text,
        created=datetime.fromtimestamp(env.wall(), UTC),
        status="received",
        number_id=number.id,
    )
    await run_message(program, message, number, env)
    view.over()

"""Whose word a destination is: of a flow, of what it holds, fetches or puts together, and of an order."""

from typing import Any
from uuid import UUID

import pytest

from flows.actions import ACTIONS
from flows.actions.fetch import program_of
from flows.calls.address import Address
from flows.calls.context import CallContext
from flows.language.compiler import compile_flow
from flows.language.model import read_flow
from flows.language.program import Program, Step
from flows.language.run import Run
from flows.origination.orders import CallOrder, prepare_calls
from routing.identifiers import NIL, PLATFORM

CUSTOMER, OTHER = UUID(int=5), UUID(int=6)
TARGET = "sip:a@10.0.0.1"
CONNECT = {"type": "connect", "option": {"destinations": [{"type": "sip", "target": TARGET}]}}


def run_of(world: Any, program: Program, customer_id: UUID, step: Step | None = None) -> Run:
    record = world.record(customer_id=customer_id)
    context = CallContext(flows=world.services, call=world.fake_call(world.clock), record=record)
    run = Run(program, world.services, context)
    run.step = step or program.steps[0]
    return run


def flow(owner: UUID, *actions: dict[str, Any]) -> Program:
    made = read_flow({"name": "f", "actions": list(actions or (CONNECT,))}, ACTIONS)
    made.customer_id = owner
    return compile_flow(made)


@pytest.mark.parametrize(
    ("owner", "call_of", "named"),
    [
        (NIL, NIL, "operator"),
        (PLATFORM, PLATFORM, "operator"),
        (NIL, CUSTOMER, "platform"),
        (CUSTOMER, CUSTOMER, "customer"),
        (CUSTOMER, NIL, "customer"),
        (OTHER, CUSTOMER, "customer"),
    ],
)
def test_a_flow_speaks_for_its_owner(world: Any, owner: UUID, call_of: UUID, named: str) -> None:
    assert run_of(world, flow(owner), call_of).named(TARGET) == named


@pytest.mark.parametrize("owner", [NIL, CUSTOMER])
def test_what_a_flow_holds_or_fetches_is_its_owners_word(world: Any, owner: UUID) -> None:
    option = {"destinations": [{"type": "tel", "target": "+15550001111"}], "actions": [CONNECT]}
    within = {"type": "call", "option": option}
    program = flow(owner, within)
    inline = program.steps[0].inline
    assert inline is not None and inline.customer_id == owner
    fetched = program_of(run_of(world, program, CUSTOMER), "https://x.example", b'{"actions": [{"type": "answer"}]}')
    assert fetched is not None and fetched.customer_id == owner


def test_the_actions_of_an_order_are_the_word_of_its_customer(world: Any) -> None:
    order = CallOrder(destinations=[Address(type="sip", target=TARGET)], actions=[CONNECT], customer_id=CUSTOMER)
    assert prepare_calls(world.services, order).flow.customer_id == CUSTOMER


@pytest.mark.parametrize(
    ("written", "named"),
    [(TARGET, "platform"), ("sip:a@${number.metadata.pbx}", "customer"), ("${call.digits}", "customer")],
)
def test_what_a_platforms_flow_puts_together_may_be_the_customers_choice(world: Any, written: str, named: str) -> None:
    connect = {"type": "connect", "option": {"destinations": [{"type": "sip", "target": written}]}}
    source = {"type": "tel", "target": "${call.source.number}"}
    connect["option"] |= {"source": source}  # type: ignore[operator]
    assert run_of(world, flow(NIL, connect), CUSTOMER).named(TARGET) == named


def test_a_flow_in_python_puts_everything_together(world: Any) -> None:
    step = Step(id="f", type="python", function=lambda run, option: None, option=None, waits=True)
    assert run_of(world, Program(name="f", steps=[step]), CUSTOMER).named(TARGET) == "customer"
    assert run_of(world, Program(name="f", steps=[step]), NIL).named(TARGET) == "operator"

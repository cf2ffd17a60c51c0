"""Words of people, keywords, and programs that run without a call."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.actions import ACTIONS
from flows.calls.address import Address
from flows.language.library import read_library
from flows.language.message_run import for_messages
from flows.language.text_match import normalise_keyword
from flows.language.validation import needs_a_call
from flows.messages.model import MAX_CONTACT, Target, TextMessage
from flows.messages.opt_out import contact_of, keyword


@pytest.mark.parametrize(
    ("text", "word"),
    [
        *[(word, word) for word in ("STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT")],
        *[(word, word) for word in ("START", "UNSTOP", "YES", "HELP", "INFO")],
        ("stop", "STOP"),
        (" Stop.\r\n", "STOP"),
        ('"STOP"!', "STOP"),
        ("¡stop!", "STOP"),
        ("\uff33\uff34\uff2f\uff30", "STOP"),  # as Japanese keyboards write it
        ("stop it", ""),
        ("please stop", ""),
        ("S T O P", ""),
        ("stopp", ""),
        ("", ""),
        ("...", ""),
        ("STOP" + "!" * 100, ""),
    ],
)
def test_a_keyword_is_the_whole_message(text: str, word: str) -> None:
    found = keyword(text)
    assert ("" if found is None else found.word) == word


@given(st.text(max_size=60))
def test_keywords_and_folding_take_whatever_comes(text: str) -> None:
    keyword(text)
    assert normalise_keyword(normalise_keyword(text)) == normalise_keyword(text)


@pytest.mark.parametrize("text", ["HOURS", "hours", "  Hours \n", "\u212aours".replace("\u212a", "H")])
def test_words_are_compared_as_people_read_them(text: str) -> None:
    assert normalise_keyword(text) == "hours"
    assert normalise_keyword("STRASSE") == normalise_keyword("straße")
    assert normalise_keyword("e\u0301tat") == normalise_keyword("ÉTAT")


@pytest.mark.parametrize(
    ("address", "contact"),
    [
        (Address(type="tel", target="+15550001111"), "+15550001111"),
        (Address(type="sip", target="sip:Ann@Example.COM;transport=tcp?x=y"), "sip:Ann@example.com"),
        (Address(type="sip", target="ann@example.com"), "sip:ann@example.com"),
        (Address(type="agent", target="bob"), "bob"),
        (Address(type="sip", target="sip:" + "u" * 900 + "@h"), "sip:" + "u" * (MAX_CONTACT - 4)),
    ],
)
def test_whom_an_opt_out_is_about(address: Address, contact: str) -> None:
    assert contact_of(address) == contact


@pytest.mark.parametrize(
    ("targets", "status"),
    [
        (["delivered", "delivered"], "delivered"),
        (["delivered", "accepted"], "sent"),
        (["accepted"], "sent"),
        (["delivered", "failed"], "partly"),
        (["accepted", "opted_out"], "partly"),
        (["opted_out"], "failed"),
        (["failed", "opted_out"], "failed"),
    ],
)
def test_the_status_of_a_message_is_made_of_its_targets(targets: list[Any], status: str) -> None:
    to = Address(type="tel", target="+15550001111")
    message = TextMessage(
        id=uuid4(),
        customer_id=uuid4(),
        direction="outgoing",
        source=to,
        destinations=[to],
        text="x",
        created=datetime.now(UTC),
        status="sending",
        targets=[Target(to, s) for s in targets],
    )
    message.settle()
    assert message.status == status


def test_a_program_for_messages_is_made_once_and_leaves_the_calls_alone() -> None:
    document = {
        "name": "both",
        "actions": [
            {"type": "answer"},
            {"type": "message_send", "option": {"text": "x"}},
            {"type": "hangup", "option": {"reason": "busy"}},
        ],
    }
    (program,) = read_library(ACTIONS, [document])
    functions = [step.function for step in program.steps]
    derived = for_messages(program)
    assert for_messages(program) is derived
    assert [step.function for step in program.steps] == functions
    same = [step is other for step, other in zip(program.steps, derived.steps, strict=True)]
    assert same == [False, True, False]
    assert derived.places == program.places
    assert not derived.steps[0].waits
    problem = 'action 1 ("answer"), action 3 ("hangup") cannot run on a message; give it another flow'
    assert needs_a_call(ACTIONS, (step.type for step in program.steps)) == problem

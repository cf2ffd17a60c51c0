"""What the caller hears of a provider's last word (RFC 3261 §16.7): not everything is meant for it."""

from collections.abc import Iterator

import pytest

from routing.directory.trunk import Trunk
from routing.hunt.candidate import Candidate
from routing.hunt.health import HealthBoard
from routing.hunt.hunt import Hunt
from routing.hunt.identity import CallerIdentity
from routing.hunt.outcome import RELAYED_ANSWERS, relayed_answer
from routing.models.provider import Provider


def refused_with(*answers: tuple[int, str]) -> Hunt:
    """A hunt whose providers answer so, one after another."""
    trunks = [Trunk.of(Provider(name=f"p{n}", hostname=f"192.0.2.{n + 1}")) for n in range(len(answers))]
    candidates: Iterator[Candidate] = iter([Candidate(trunk.key, trunk, None) for trunk in trunks])
    hunt = Hunt("+15551234567", CallerIdentity(), "example.com", HealthBoard(), candidates)
    for status, reason in answers:
        attempt = hunt.next(100.0)
        assert attempt is not None
        hunt.outcome(attempt, "refused", status, reason, now=101.0)
    return hunt


@pytest.mark.parametrize(
    ("answers", "heard"),
    [
        ([(401, "Unauthorized")], (403, "Forbidden")),  # our credentials were refused, not the caller's
        ([(407, "Proxy Authentication Required")], (403, "Forbidden")),
        ([(503, "Busy"), (401, "Unauthorized")], (403, "Forbidden")),
        ([(300, "Multiple Choices")], (480, "Temporarily Unavailable")),
        (
            [(302, "Moved Temporarily")],
            (480, "Temporarily Unavailable"),
        ),  # without a Contact it is none
        ([(399, "")], (480, "Temporarily Unavailable")),
        ([(503, "Service Unavailable")], (500, "Server Internal Error")),  # §16.7 step 6
        ([(302, "Moved"), (403, "Who are you?")], (403, "Who are you?")),  # the last one, in its own words
        ([(402, "Payment Required")], (402, "Payment Required")),
    ],
)
def test_the_last_final_response_as_the_caller_hears_it(answers: list[tuple[int, str]], heard: tuple[int, str]) -> None:
    hunt = refused_with(*answers)
    assert hunt.final() == heard
    # What was really said stays in the records.
    assert [(record.status, record.reason) for record in hunt.records] == answers


def test_no_challenge_and_no_redirection_is_passed_on_at_all() -> None:
    for status in range(300, 700):
        heard = relayed_answer(status, "words")
        assert heard == RELAYED_ANSWERS.get(status, (status, "words"))
        assert heard[0] >= 400 and heard[0] not in (401, 407, 503)

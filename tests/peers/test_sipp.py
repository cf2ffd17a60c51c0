"""The SIPp cases of sipp_scenarios/suite.py as tests, and that SIPp can tell right from wrong."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
if str(ROOT) not in sys.path:  # sipp_scenarios is no part of the installed package
    sys.path.insert(0, str(ROOT))

from sipp_scenarios import __main__ as suite_runner  # noqa: E402
from sipp_scenarios.suite import CASES, HERE, Caller, Case, Provider  # noqa: E402
from tests.peers import sipp  # noqa: E402

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(shutil.which("sipp") is None, reason="SIPp is not installed (apt-get install sip-tester)"),
]


@pytest.fixture(scope="module")
def engine() -> Iterator[suite_runner.Engine]:
    """An engine with trunkline.yaml for all cases of the module."""
    with suite_runner.Engine() as running:
        yield running


def _parameter(number: int, case: Case) -> object:
    marks = [pytest.mark.long] if case.long else []
    return pytest.param(number, case, id=case.name, marks=marks)


@pytest.mark.parametrize(("number", "case"), [_parameter(number, case) for number, case in enumerate(CASES)])
def test_case(number: int, case: Case, engine: suite_runner.Engine) -> None:
    address = suite_runner.ENGINE_IPV6 if case.ipv6 else f"{suite_runner.ENGINE[0]}:{suite_runner.ENGINE[1]}"
    outcome = sipp.run(case, address, suite_runner.FIRST_PORT + 2 * number)
    assert outcome.passed, "\n".join([*outcome.faults, outcome.log])
    assert not engine.faults()


def test_every_scenario_is_used_and_every_name_exists() -> None:
    used = {role.scenario for case in CASES for role in (case.caller, *case.providers)}
    assert used == {path.stem for path in HERE.glob("*.xml")}
    assert len({case.name for case in CASES}) == len(CASES)


def test_providers_of_different_cases_do_not_share_an_address() -> None:
    addresses = [(provider.host, provider.port) for case in CASES for provider in case.providers]
    assert len(set(addresses)) == len(addresses)


@pytest.mark.parametrize(
    ("caller", "provider", "wrong"),
    [
        ("uac_404", "uas_answer", "uac_404"),  # an answer where a refusal belongs
        ("uac_early_media", "uas_answer", "uac_early_media"),  # no early media
        ("uac_call", "uas_update", "uas_update"),  # the UPDATE never comes
        ("uac_call", "uas_prefix", "uas_prefix"),  # the Request-URI is another one
        ("uac_call", "uas_never", "uas_never"),  # a call where none belongs
    ],
)
def test_a_wrong_call_fails_without_any_engine(caller: str, provider: str, wrong: str) -> None:
    """The suite cannot pass by accident: a caller and a provider that do not fit are told apart."""
    calls = 0 if provider == "uas_never" else 1
    role = Provider(provider, "127.0.0.98", calls, port=5098)
    outcome = sipp.direct(Case("wrong", Caller(caller, "+15550100010"), [role], timeout=4.0), 21990)
    assert any(fault.startswith(wrong) for fault in outcome.faults), outcome.log

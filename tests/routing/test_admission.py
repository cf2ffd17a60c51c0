"""Who may dial what: every row of the two tables."""

import itertools
from uuid import UUID

import pytest

from engine.sip.flow import web_page_at
from engine.sip.message.status import reason_phrase
from routing.access.admission import (
    _ANSWERS,
    DialOut,
    Refuse,
    RingExtension,
    RunFlow,
    Source,
    admit,
    client_of,
    identify,
    judge,
    phone_of_customer,
)
from routing.directory.directory import Directory
from routing.directory.extensions import ExtensionRow
from routing.identifiers import NIL, PLATFORM, named_id
from routing.models.number import Number
from routing.models.provider import Provider
from routing.numbers.normalise import normalise_dialled
from routing.settings import RoutingSettings

FLOW = named_id("flow", "hotline")
SETTINGS = RoutingSettings(trusted_networks=("10.0.0.0/8", "2001:db8:7::/48"))
CLOSED = RoutingSettings(allow_guests=False)
PRIMARY = Provider(name="primary", hostname="192.0.2.1:5060", inbound_addresses=["192.0.2.0/28"])
TWIN = Provider(name="twin", hostname="192.0.2.33")

TRUNK = Source("trunk", PRIMARY)
CLIENT = Source("client")
GUEST = Source("guest")

ACTIVE, NO_FLOW, SUSPENDED = "+15551234567", "+15551234568", "+15551234569"
AVAILABLE, RELEASED, OF_TWIN = "+15551234570", "+15551234571", "+15551234572"
VIRTUAL, VIRTUAL_SUSPENDED = "+899100000001", "+899100000002"
FOREIGN = "+821012345678"


@pytest.fixture
def directory() -> Directory:
    directory = Directory()
    directory.replace(
        [
            Number(number=ACTIVE, call_flow_id=FLOW, provider_id=PRIMARY.id),
            Number(number=NO_FLOW),
            Number(number=SUSPENDED, call_flow_id=FLOW, status="suspended"),
            Number(number=AVAILABLE, call_flow_id=FLOW, status="available"),
            Number(number=RELEASED, call_flow_id=FLOW, status="released"),
            Number(number=OF_TWIN, call_flow_id=FLOW, provider_id=TWIN.id),
            Number(number=VIRTUAL, call_flow_id=FLOW),
            Number(number=VIRTUAL_SUSPENDED, call_flow_id=FLOW, status="suspended"),
        ],
        [PRIMARY, TWIN],
        [],
    )
    return directory


@pytest.mark.parametrize(
    ("host", "authenticated", "kind", "name"),
    [
        ("192.0.2.1", False, "trunk", "primary"),
        ("192.0.2.14", False, "trunk", "primary"),
        ("::ffff:192.0.2.14", False, "trunk", "primary"),
        ("192.0.2.33", False, "trunk", "twin"),
        # What comes from a trunk stays a trunk's call: credentials on it change nothing.
        ("192.0.2.33", True, "trunk", "twin"),
        ("10.1.2.3", False, "client", None),
        ("2001:db8:7::1", False, "client", None),
        ("203.0.113.5", True, "client", None),
        ("203.0.113.5", False, "guest", None),
        ("2001:db8:8::1", False, "guest", None),
    ],
)
def test_where_a_call_comes_from(
    directory: Directory, host: str, authenticated: bool, kind: str, name: str | None
) -> None:
    source = identify(directory, SETTINGS, host, authenticated)
    assert source.kind == kind
    assert (source.provider.name if source.provider else None) == name


def test_a_trunk_within_a_trusted_network_is_a_trunk(directory: Directory) -> None:
    trusting = RoutingSettings(trusted_networks=("192.0.2.0/24",))
    assert identify(directory, trusting, "192.0.2.1").kind == "trunk"
    assert identify(directory, trusting, "192.0.2.99").kind == "client"


@pytest.mark.parametrize("host", ["10.1.2.3", "192.0.2.1", "203.0.113.5"])
def test_a_page_in_a_browser_has_no_rights_by_its_address(directory: Directory, host: str) -> None:
    """Any page may have the browser of who reads it connect to what that browser reaches."""
    assert identify(directory, SETTINGS, web_page_at(host)).kind == "guest"
    assert identify(directory, SETTINGS, web_page_at(host), authenticated=True).kind == "client"


def test_a_disabled_trunk_is_a_trunk_still(directory: Directory) -> None:
    directory.put_provider(PRIMARY.model_copy(update={"enabled": False}))
    assert identify(directory, SETTINGS, "192.0.2.1").kind == "trunk"


FLOW_RUNS = "flow"
DIALS_OUT = "out"
# What is dialled -> the answer to (trunk, client, guest).
TABLE: dict[str, tuple[object, object, object]] = {
    ACTIVE: (FLOW_RUNS, FLOW_RUNS, FLOW_RUNS),
    "15551234567": (FLOW_RUNS, FLOW_RUNS, FLOW_RUNS),
    "sip:0015551234567@x;user=phone": (FLOW_RUNS, FLOW_RUNS, FLOW_RUNS),
    OF_TWIN: (FLOW_RUNS, FLOW_RUNS, FLOW_RUNS),
    VIRTUAL: ((404, "virtual_from_trunk"), FLOW_RUNS, FLOW_RUNS),
    "899100000001": ((404, "virtual_from_trunk"), FLOW_RUNS, FLOW_RUNS),
    NO_FLOW: ((480, "no_call_flow"), (480, "no_call_flow"), (480, "no_call_flow")),
    SUSPENDED: ((480, "suspended"), (480, "suspended"), (480, "suspended")),
    VIRTUAL_SUSPENDED: ((404, "virtual_from_trunk"), (480, "suspended"), (480, "suspended")),
    AVAILABLE: ((404, "not_provisioned"), (404, "not_provisioned"), (404, "not_provisioned")),
    RELEASED: ((404, "not_provisioned"), (404, "not_provisioned"), (404, "not_provisioned")),
    FOREIGN: ((404, "unknown_number"), DIALS_OUT, (403, "foreign_from_guest")),
    "+899123123123": ((404, "virtual_from_trunk"), (404, "unknown_number"), (404, "unknown_number")),
    "+8991234": ((404, "virtual_from_trunk"), (404, "unknown_number"), (404, "unknown_number")),
    "alice": ((404, "unknown_extension"), (404, "unknown_extension"), (404, "unknown_extension")),
    "1001": ((404, "unknown_extension"), (404, "unknown_extension"), (404, "unknown_extension")),
    "+12": ((404, "unknown_extension"), (404, "unknown_extension"), (404, "unknown_extension")),
    "sip:example.com": ((484, "empty"), (484, "empty"), (484, "empty")),
    "+1234567890123456": ((484, "overlong"), (484, "overlong"), (484, "overlong")),
}


@pytest.mark.parametrize(("asked", "place"), list(itertools.product(TABLE, range(3))))
def test_what_becomes_of_a_call(directory: Directory, asked: str, place: int) -> None:
    source = (TRUNK, CLIENT, GUEST)[place]
    expected = TABLE[asked][place]
    verdict = admit(directory, SETTINGS, source, normalise_dialled(asked, SETTINGS, directory.numbers))
    if expected == FLOW_RUNS:
        assert isinstance(verdict, RunFlow)
        assert verdict.number.call_flow_id == FLOW
        assert bool(verdict.note) == (asked == OF_TWIN and source is TRUNK)
        assert directory.refused == {}
    elif expected == DIALS_OUT:
        assert verdict == DialOut(FOREIGN)
        assert directory.refused == {}
    else:
        assert isinstance(verdict, Refuse)
        assert (verdict.status, verdict.cause) == expected
        assert directory.refused == {verdict.cause: 1}
        assert verdict.detail and "\n" not in verdict.detail
        assert (verdict.warning != "") == (verdict.cause == "no_call_flow")


def test_480_without_a_call_flow_says_so(directory: Directory) -> None:
    verdict = admit(directory, SETTINGS, GUEST, normalise_dialled(NO_FLOW, SETTINGS))
    assert verdict == Refuse(
        480,
        "Temporarily Unavailable",
        f"Number {NO_FLOW} has no call flow",
        "no_call_flow",
        f"{NO_FLOW} has no call flow",
    )


def test_a_ported_number_is_accepted_from_another_trunk_and_noted(directory: Directory) -> None:
    verdict = admit(directory, SETTINGS, TRUNK, normalise_dialled(OF_TWIN, SETTINGS))
    assert isinstance(verdict, RunFlow)
    assert verdict.note == "arrived on a trunk that is not the number's own"


@pytest.mark.parametrize("asked", TABLE)
def test_without_guests_a_stranger_learns_nothing(directory: Directory, asked: str) -> None:
    verdict = admit(directory, CLOSED, GUEST, normalise_dialled(asked, CLOSED, directory.numbers))
    assert isinstance(verdict, Refuse)
    assert (verdict.status, verdict.cause, verdict.warning) == (403, "guests_not_allowed", "")


def test_toll_fraud_is_counted_and_reported(directory: Directory) -> None:
    for _ in range(3):
        verdict = admit(directory, SETTINGS, GUEST, normalise_dialled(FOREIGN, SETTINGS))
    assert isinstance(verdict, Refuse) and verdict.detail == f"a guest dialled {FOREIGN}, which is none of our numbers"
    admit(directory, SETTINGS, TRUNK, normalise_dialled(FOREIGN, SETTINGS))
    judge(directory, SETTINGS, GUEST, normalise_dialled(FOREIGN, SETTINGS))
    assert directory.refused == {"foreign_from_guest": 3, "unknown_number": 1}


def test_a_nil_flow_that_is_not_the_constant_is_nil_too(directory: Directory) -> None:
    directory.put_number(Number(number=ACTIVE, call_flow_id=UUID(int=0)))
    verdict = admit(directory, SETTINGS, CLIENT, normalise_dialled(ACTIVE, SETTINGS))
    assert isinstance(verdict, Refuse) and verdict.cause == "no_call_flow"


# ---- what refusals look like


@pytest.mark.parametrize(
    ("status", "causes"),
    [
        (403, {"foreign_from_guest", "guests_not_allowed"}),
        (404, {"unknown_number", "not_provisioned", "virtual_from_trunk", "unknown_extension"}),
        (480, {"no_call_flow", "no_message_flow", "suspended"}),
        (482, {"loop"}),
        (484, {"empty", "overlong"}),
    ],
)
def test_a_refusal_has_the_status_and_the_phrase_of_its_kind(status: int, causes: set[str]) -> None:
    assert {cause for cause, answer in _ANSWERS.items() if answer == (status, reason_phrase(status))} == causes


THIEF = UUID(int=7)
TRUSTED = Source("client", all_extensions=True)
OF_ALL = (TRUSTED, client_of(NIL), client_of(PLATFORM))


@pytest.mark.parametrize("source", OF_ALL)
@pytest.mark.parametrize("asked", [ACTIVE[1:], f"00{ACTIVE[1:]}", FOREIGN[1:], f"00{FOREIGN[1:]}", NO_FLOW[1:]])
def test_a_customers_extension_that_is_called_like_a_number_gets_no_calls_for_it(
    directory: Directory, asked: str, source: Source
) -> None:
    dialled = normalise_dialled(asked, SETTINGS, directory.numbers)
    before = judge(directory, SETTINGS, source, dialled)
    directory.put_extension(ExtensionRow(name=asked, id=UUID(int=70), customer_id=THIEF))
    assert not isinstance(before, RingExtension)
    assert judge(directory, SETTINGS, source, dialled) == before


@pytest.mark.parametrize("asked", [ACTIVE[1:], f"00{FOREIGN[1:]}"])
@pytest.mark.parametrize(
    ("owner", "sources"), [(THIEF, (client_of(THIEF), phone_of_customer(THIEF))), (NIL, OF_ALL), (PLATFORM, OF_ALL)]
)
def test_ones_own_extension_is_dialled_by_its_name_also_where_that_is_a_number(
    directory: Directory, asked: str, owner: UUID, sources: tuple[Source, ...]
) -> None:
    row = ExtensionRow(name=asked, id=UUID(int=70), customer_id=owner)
    directory.put_extension(row)
    for source in sources:
        verdict = judge(directory, SETTINGS, source, normalise_dialled(asked, SETTINGS, directory.numbers))
        assert verdict == RingExtension(row)


@pytest.mark.parametrize("name", ["alice", "101", "5551234"])
def test_who_reaches_those_of_all_customers_dials_them_by_names_and_short_digits(
    directory: Directory, name: str
) -> None:
    row = ExtensionRow(name=name, id=UUID(int=70), customer_id=THIEF)
    directory.put_extension(row)
    for source in OF_ALL:
        verdict = judge(directory, SETTINGS, source, normalise_dialled(name, SETTINGS, directory.numbers))
        assert verdict == RingExtension(row)
